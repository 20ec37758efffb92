//! Socket.IO for Rust. Any Socket.IO client can talk to this server: JavaScript, Python, Java, Swift, C#, old (v2) and
//! new (v3, v4), over long-polling and WebSocket.
//!
//! ```no_run
//! use kokanee::{Ack, Data, DisconnectReason, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> kokanee::Result<()> {
//!     let io = Server::new();
//!     let chat = io.of("/");
//!     chat.on_connect(async |socket: Socket| println!("connect {}", socket.id()));
//!     chat.on("my_message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.to("lobby").emit("my_message", &text).await
//!     });
//!     chat.on("sum", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| ack.send(a + b));
//!     chat.on_disconnect(async |socket: Socket, reason: DisconnectReason| {
//!         println!("disconnect {} {reason}", socket.id());
//!     });
//!     io.serve_static("/", "index.html");
//!     io.listen("0.0.0.0:5000").await?;
//!     Ok(())
//! }
//! ```
//!
//! * Handlers are async functions with [extractors](extract) as parameters; see [`Namespace::on`].
//! * Typed events, one definition for both sides: [`derive@Event`], [`Namespace::on_typed`], [`Socket::emit_typed`].
//! * Rooms and broadcasts: [`Socket::join`], [`Socket::to`], [`BroadcastOperator`].
//! * What bounds a client's cost, and what happens on breach: [`Limits`].
//! * Sockets below Socket.IO, and raw peers in a namespace: `net` and `bridge`, with the feature `net`.
//! * Hosting: [`Server::listen`], [`Server::layer`] for axum and tower, [`Server::accept`].

pub use bytes;
pub use http;
pub use kokanee_derive::Event;
pub use kokanee_server::*;
#[cfg(feature = "net")]
pub use {kokanee_bridge as bridge, kokanee_net as net};

/// The result of a program that may fail in several ways.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;

/// Compiles the code of the README with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

/// Runs the programs of the guide with the documentation tests.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../../../docs/from-socket-to-event.md")]
mod guide {}
