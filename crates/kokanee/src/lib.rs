//! Socket.IO for Rust: a server and a client, over long-polling and WebSocket.
//!
//! Any Socket.IO client can connect to this server, and this client connects to any Socket.IO server: JavaScript, Python, Java,
//! Swift, C#, of the versions 2, 3 and 4.
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
//! The root of this crate has the types that most programs name: what both sides share, and the main types of each side.
//! Everything else is in [`server`] and [`client`]. Where both sides have a type of the same name, such as `Socket` and
//! `DisconnectReason`, the one in the root is the server's.
//!
//! # The guide
//!
//! The folder `docs/` of the repository has a guide of ten short pages, whose programs run as tests. `docs/README.md` is
//! its index.
//!
//! | page | main items |
//! |---|---|
//! | A first server, `docs/first-server.md` | [`Server::new`], [`Server::listen`], [`Namespace::on`] |
//! | Events and acknowledgements, `docs/events.md` | [`Data`], [`Ack`], [`Socket::emit`], [`Socket::emit_with_ack`], [`derive@Event`] |
//! | Rooms, `docs/rooms.md` | [`Socket::join`], [`Socket::to`], [`BroadcastOperator`] |
//! | Namespaces and middleware, `docs/namespaces.md` | [`Server::of`], [`Namespace::middleware`], [`Auth`], [`State`], [`Extension`] |
//! | Errors, `docs/errors.md` | [`ClientError`], [`Namespace::on_error`], [`AckError`] |
//! | Binary data and files, `docs/binary.md` | [`bytes::Bytes`], [`Args`] |
//! | The client, `docs/client.md` | [`Client`], [`ClientBuilder`], [`SimpleClient`], [`client::blocking`] |
//! | Hosting and proxies, `docs/hosting.md` | [`Server::layer`], [`Server::accept`], [`Server::close`], [`TrustedProxy`], [`Cors`] |
//! | Testing your handlers, `docs/testing.md` | [`Server::bind`], [`SimpleClient::call`] |
//! | Tuning and limits, `docs/tuning.md` | [`Limits`] |
//!
//! Which parameters a handler can have is the table of `docs/extractors.md`; what a call of the JavaScript server or client is here,
//! that of `docs/from-javascript.md`. Sockets below Socket.IO, and raw peers in a namespace, are `net` and `bridge`:
//! `docs/from-socket-to-event.md`.
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `server` | the server | yes |
//! | `client` | the client, which always has TLS | yes |
//! | `tls` | TLS on the server's own listener | yes |
//! | `axum` | the address of clients from axum's `ConnectInfo` | |
//! | `net` | TCP, UDP and Unix sockets, and the bridge between them and events | |

pub use bytes;
pub use http;
#[cfg(feature = "client")]
pub use kokanee_client as client;
#[cfg(feature = "client")]
pub use kokanee_client::{Client, ClientBuilder, SimpleClient};
/// Defines an event for both sides: its name, its arguments and its acknowledgement are one type.
///
/// ```
/// use kokanee::{AckError, Event, Server, Socket, Typed, TypedAck};
/// use serde::{Deserialize, Serialize};
///
/// /// The event `add` with two arguments, acknowledged with their sum.
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(ack = i64)]
/// struct Add(i64, i64);
///
/// /// The event `chat message` with one argument, an object.
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(name = "chat message")]
/// struct ChatMessage {
///     text: String,
/// }
///
/// assert_eq!((Add::NAME, ChatMessage::NAME), ("add", "chat message"));
///
/// let io = Server::new();
/// io.on_typed(async |Typed(Add(a, b)): Typed<Add>, ack: TypedAck<Add>| ack.send(a + b));
///
/// async fn ask(socket: Socket) -> Result<i64, AckError> {
///     socket.emit_typed(&ChatMessage { text: "how much is 20 + 22?".to_owned() }).await?;
///     socket.emit_typed_with_ack(&Add(20, 22)).await
/// }
/// ```
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
    Limits, Namespace, Recovery, Server, ServerBuilder, Socket, SocketId, TrustedProxy,
};
pub use kokanee_socketio::{Args, ArgsError, ParserKind, RawEvent, Value};
#[cfg(feature = "net")]
pub use {kokanee_bridge as bridge, kokanee_net as net};

/// The result of a program that may fail in several ways, or of a handler that uses `?` and ends with `Ok(())`.
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

/// Compiles the code of the README, and runs the programs of the guide, with the documentation tests.
#[cfg(all(doctest, feature = "client", feature = "server"))]
mod documents {
    #[doc = include_str!("../../../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/first-server.md")]
    mod first_server {}
    #[doc = include_str!("../../../docs/events.md")]
    mod events {}
    #[doc = include_str!("../../../docs/rooms.md")]
    mod rooms {}
    #[doc = include_str!("../../../docs/namespaces.md")]
    mod namespaces {}
    #[doc = include_str!("../../../docs/errors.md")]
    mod errors {}
    #[doc = include_str!("../../../docs/binary.md")]
    mod binary {}
    #[doc = include_str!("../../../docs/client.md")]
    mod client {}
    #[doc = include_str!("../../../docs/recovery.md")]
    mod recovery {}
    #[cfg(feature = "tls")]
    #[doc = include_str!("../../../docs/hosting.md")]
    mod hosting {}
    #[doc = include_str!("../../../docs/testing.md")]
    mod testing {}
    #[doc = include_str!("../../../docs/tuning.md")]
    mod tuning {}
    #[cfg(feature = "metrics")]
    #[doc = include_str!("../../../docs/observability.md")]
    mod observability {}
    #[cfg(feature = "net")]
    #[doc = include_str!("../../../docs/from-socket-to-event.md")]
    mod from_socket_to_event {}
}
