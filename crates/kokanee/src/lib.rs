//! Socket.IO for Rust: a server and a client, over long-polling and WebSocket. Any Socket.IO client can talk to this server,
//! and this client to any Socket.IO server: JavaScript, Python, Java, Swift, C#, old (v2) and new (v3, v4).
//!
//! A server:
//!
//! ```no_run
//! use kokanee::{Ack, Data, DisconnectReason, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> kokanee::Result<()> {
//!     let io = Server::new();
//!     io.on_connect(async |socket: Socket| println!("connect {}", socket.id()));
//!     io.on("my_message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.to("lobby").emit("my_message", &text).await
//!     });
//!     io.on("sum", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| ack.send(a + b));
//!     io.on_disconnect(async |socket: Socket, reason: DisconnectReason| {
//!         println!("disconnect {} {reason}", socket.id());
//!     });
//!     io.serve_static("/", "index.html");
//!     io.listen("127.0.0.1:5000").await?;
//!     Ok(())
//! }
//! ```
//!
//! And a client of it:
//!
//! ```no_run
//! use std::time::Duration;
//! use kokanee::{Client, Data};
//!
//! # async fn f() -> kokanee::Result<()> {
//! let socket = Client::builder("http://localhost:5000")
//!     .on("my_message", async |Data(text): Data<String>| println!("{text}"))
//!     .connect()
//!     .await?;
//! let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).await?;
//! # Ok(()) }
//! ```
//!
//! What most programs name is here: what both sides share, and the main types of each. All of a side is in [`server`] and
//! [`client`]. What has the same name on both sides, as `Socket` and `DisconnectReason`, is the server's here and the
//! client's in [`client`].
//!
//! * Handlers are async functions with [extractors](server::extract) as parameters; see [`Namespace::on`] and
//!   [`client::Socket::on`].
//! * Typed events, one definition for both sides: [`derive@Event`], [`Namespace::on_typed`], [`Socket::emit_typed`],
//!   [`client::Socket::emit_typed`].
//! * Rooms and broadcasts: [`Socket::join`], [`Socket::to`], [`BroadcastOperator`].
//! * What bounds a client's cost, and what happens on breach: [`Limits`].
//! * Sockets below Socket.IO, and raw peers in a namespace: `net` and `bridge`, with the feature `net`.
//! * For those who know the JavaScript server: `docs/from-javascript.md` has both side by side.
//! * Hosting: [`Server::listen`], [`Server::layer`] for axum and tower, [`Server::accept`].
//! * The client's options are those of [`ClientBuilder`]; [`SimpleClient`] is for scripts, [`client::blocking`] for programs
//!   that are not async.
//!
//! The features `server`, `client` and `tls` (of the server's own listener) are on by default; `axum` has the address of
//! clients read from axum's `ConnectInfo`, and `net` is described above.

pub use bytes;
pub use http;
#[cfg(feature = "client")]
pub use kokanee_client as client;
#[cfg(feature = "client")]
pub use kokanee_client::{Client, ClientBuilder, SimpleClient};
pub use kokanee_derive::Event;
pub use kokanee_engineio::Transport;
pub use kokanee_handler::{
    Ack, AckError, BoxError, ClientError, Data, EmitError, Event, EventError, EventName,
    ExtractError, FromContext, RemoteError, State, Typed, TypedAck,
};
#[cfg(feature = "server")]
pub use kokanee_server as server;
#[cfg(feature = "server")]
pub use kokanee_server::{
    Auth, BroadcastOperator, ConnectError, Cookie, Cors, DisconnectReason, Extension, Handshake,
    Limits, Namespace, Server, ServerBuilder, Socket, SocketId, TrustedProxy,
};
pub use kokanee_socketio::{Args, ArgsError, ParserKind, RawEvent, Value};
#[cfg(feature = "net")]
pub use {kokanee_bridge as bridge, kokanee_net as net};

/// The result of a program that may fail in several ways, or of a handler that ends with `Ok(())`:
///
/// ```no_run
/// # use kokanee::{Server, Socket};
/// # let io = Server::new();
/// io.on_connect(async |socket: Socket| -> kokanee::Result {
///     socket.join("lobby")?;
///     socket.emit("welcome", "hello").await?;
///     Ok(())
/// });
/// ```
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// Compiles the code of the README with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

/// Runs the programs of the guide with the documentation tests.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../../../docs/from-socket-to-event.md")]
mod guide {}
