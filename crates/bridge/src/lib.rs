//! The bridge between raw sockets and events: every peer that connects to a TCP or Unix server, or sends datagrams to a
//! UDP server, appears in a namespace, and the Socket.IO clients there exchange messages with it.
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
//! | event | meaning |
//! |---|---|
//! | `peers` list | the current peers when the client joins; one of them may also come as `open` |
//! | `open` {id, address, transport, direction} | a peer has connected (`in`), or was dialled (`out`) |
//! | `data` id, payload | a message of a peer: text if the framing is textual and it is UTF-8, otherwise bytes |
//! | `missed` id, count | the number of messages of the peer that this client missed because it was too slow; the peer may have disconnected since |
//! | `end` id | the peer has closed its side, but still reads; only with [`BridgeLimits::half_open_timeout`] |
//! | `close` id, reason | the peer has disconnected |
//!
//! Events that clients send, all with an optional acknowledgement, which is `{error: {code, message}}` after a failure
//! (codes: `no_such_peer`, `not_data`, `too_large`, `not_allowed`, `too_many_dialled`, `net`):
//!
//! | event | does | acknowledgement |
//! |---|---|---|
//! | `data` id, payload | sends text or bytes to a peer, as one message | `"ok"` when it is queued |
//! | `close` id | sends queued messages, and closes the connection | `"ok"` |
//! | `watch` id, `unwatch` id | chooses whose events the client gets; the id `"all"` means every peer, and is the default | `"ok"` |
//! | `peers` | | list of all peers |
//! | `dial` `"host:port"` | connects to a target on the [allow list](Rule), by TCP | the new peer's id |
//!
//! **Access** is decided by the middlewares of the namespace: every client that they accept sees and reaches every
//! peer.
//!
//! **Back-pressure** works in both directions. A peer is read at the pace of its slowest watcher, and a client at the
//! pace of the peer that it sends to; a peer or client that reads nothing at all is disconnected after a time. A client
//! can delay others for [`BridgeLimits::max_hold_up`] only: then it [misses messages](SlowWatcher) and gets their
//! number, or it is disconnected. The system buffers datagrams that arrive meanwhile, as far as its buffer suffices.
//! Messages of a peer without watchers are dropped.

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
