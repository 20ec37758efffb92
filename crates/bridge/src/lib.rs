//! The bridge between raw sockets and events: whatever connects to a TCP or Unix server, or sends datagrams to a UDP
//! server, appears in a namespace, and the Socket.IO clients there talk to it.
//!
//! ```no_run
//! use kokanee_bridge::Bridge;
//! use kokanee_net::{Framing, TcpServer};
//! use kokanee_server::Server;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let io = Server::new();
//! let bridge = Bridge::builder().framing(Framing::Lines).attach(&io.of("/tcp"));
//! let raw = TcpServer::bind("127.0.0.1:7000").await?;
//! tokio::spawn(async move { bridge.serve_tcp(raw).await });
//! io.listen("127.0.0.1:3000").await?;
//! # Ok(()) }
//! ```
//!
//! Events that clients get:
//!
//! | event | says |
//! |---|---|
//! | `peers` list | the peers that are there when the client joins; one of them may come as `open`, too |
//! | `open` {id, address, transport, direction} | a peer has come (`in`), or was dialled (`out`) |
//! | `data` id, payload | a message of a peer: text if the framing is textual and it is UTF-8, otherwise bytes |
//! | `missed` id, count | so many messages of the peer have not come, as this client was too slow; it may have gone since |
//! | `end` id | the peer sends nothing more, but still reads; only with [`BridgeLimits::half_open_timeout`] |
//! | `close` id, reason | the peer has gone |
//!
//! Events that clients send, all with an optional acknowledgement, which is `{error: {code, message}}` after a failure
//! (codes: `no_such_peer`, `not_data`, `too_large`, `not_allowed`, `too_many_dialled`, `net`):
//!
//! | event | does | acknowledgement |
//! |---|---|---|
//! | `data` id, payload | sends text or bytes to a peer, as one message | `"ok"` when it is queued |
//! | `close` id | sends what waits, and ends the connection | `"ok"` |
//! | `watch` id, `unwatch` id | chooses whose events come; the id `"all"` is every peer, and where each client begins | `"ok"` |
//! | `peers` | | list of all peers |
//! | `dial` `"host:port"` | connects to a target on the [allow list](Rule), by TCP | the new peer's id |
//!
//! **Who may do that** is decided by the middlewares of the namespace: whoever is let in sees and reaches every peer.
//!
//! **Back-pressure** crosses the bridge both ways. A peer is read at the pace of the slowest client that watches it, and
//! a client at the pace of the peer that it sends to; whoever takes nothing at all is cut off after a time. But a client holds
//! up others for [`BridgeLimits::max_hold_up`] only: then it [misses messages](SlowWatcher) and gets their number, or it is
//! disconnected. Datagrams that arrive meanwhile are kept by the system as long as its buffer lasts. What a peer sends while
//! nobody watches it is gone.

mod bridge;
mod builder;
mod dial;
mod error;
mod handlers;
mod limits;
mod peers;
mod stream;
mod targets;
mod udp;
mod watchers;

pub use self::{
    bridge::Bridge,
    builder::BridgeBuilder,
    limits::BridgeLimits,
    targets::{InvalidRule, Rule},
    watchers::SlowWatcher,
};
