//! The Socket.IO server: [`Server`], its handlers, rooms and broadcasts, and the ways to host it.
//!
//! ```no_run
//! use kokanee_server::{Ack, Data, Server, Socket};
//!
//! # async fn run() -> Result<(), kokanee_server::ListenError> {
//! let io = Server::new();
//! io.on_connect(async |socket: Socket| socket.join("lobby"));
//! io.on("message", async |socket: Socket, Data(text): Data<String>, ack: Ack| {
//!     let others = socket.to("lobby").emit("message", text).await?;
//!     ack.send(others.count())
//! });
//! io.listen("127.0.0.1:3000").await
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | handle events | [`Namespace::on`], [`extract`]; for one socket [`Socket::on`] |
//! | answer them | [`Ack`]; errors: [`ClientError`] |
//! | send to one client, and wait for its answer | [`Socket::emit`], [`Socket::emit_with_ack`] |
//! | send to many | [`Namespace::to`], [`Socket::broadcast`], [`BroadcastOperator`] |
//! | decide who may connect | [`Namespace::middleware`], [`ServerBuilder::allow_request`], [`Cors`] |
//! | limit what a client can cost | [`Limits`] |
//! | listen on an address, the fastest way | [`Server::listen`], [`Server::bind`] |
//! | listen on a Unix socket, or on one that was passed on | [`Server::listener`] |
//! | serve an application on the same address | [`Listener::fallback`] |
//! | serve inside of an axum, hyper or tower application | [`Server::layer`]; `Server` is a [`tower_service::Service`] |
//! | serve a stream that the application accepted | [`Server::serve_stream`], [`Server::accept`] |
//! | count what happens | the feature `metrics` |
//! | shut down | [`Server::close`] |

mod accept;
mod acceptor;
mod ack;
mod admission;
#[cfg(unix)]
mod adopter;
mod body;
mod broadcast;
mod client_bundle;
mod clock;
mod compression;
mod cookie;
mod cors;
mod delivery;
mod driver;
mod error;
mod events;
mod extensions;
pub mod extract;
mod fallback;
mod forwarded;
mod handler;
mod handshake;
mod host;
mod http;
mod inner;
mod leaving;
mod limits;
mod listen;
mod mailbox;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
mod metrics;
mod moving;
mod namespace;
mod origin;
mod peer;
mod polling;
mod proxy_protocol;
mod reason;
mod recovery;
mod refusal;
mod request_head;
mod respond;
mod server;
mod service;
mod sessions;
mod socket;
mod socket_id;
mod stage;
mod static_files;
mod stream_end;
mod throttle;
#[cfg(feature = "tls")]
mod tls;
mod watched;
mod websocket_handshake;
mod whole_body;

#[cfg(unix)]
#[doc(hidden)]
pub use self::adopter::Adopter;
#[doc(hidden)]
pub use self::websocket_handshake::{accept_websocket, first_protocol, is_websocket_request};
pub use self::{
    acceptor::Accept,
    ack::EmitWithAck,
    admission::owner_of_request,
    body::Body,
    broadcast::{BroadcastAnswers, BroadcastOperator, IntoRooms, Recipients, SlowRecipient},
    cookie::{Cookie, CookieAttributes, InvalidCookie, SameSite},
    cors::Cors,
    error::{JoinError, ListenError},
    extensions::{NoUpgrade, OriginChecked, PeerAddress},
    extract::{Auth, Extension},
    fallback::{Requester, Route},
    forwarded::{InvalidProxy, TrustedProxy},
    handler::{IntoVerdict, Middleware},
    handshake::Handshake,
    limits::Limits,
    listen::Listener,
    namespace::Namespace,
    reason::{ConnectError, DisconnectReason},
    recovery::Recovery,
    server::{CloseError, Server, ServerBuilder},
    service::{SocketIoLayer, SocketIoService},
    socket::Socket,
    socket_id::{InvalidSocketId, SocketId},
    static_files::StaticFile,
};
#[doc(hidden)]
pub use self::{moving::Taker, stream_end::StreamEnd, whole_body::read_body};
pub use kokanee_engineio::{CloseReason, Overflow, Revision, Str, Transport};
pub use kokanee_handler::{
    Ack, AckError, BoxError, ClientError, Data, EmitError, Event, EventError, EventErrorKind,
    EventKind, EventName, ExtractError, Fault, FromContext, Handler, IntoOutcome, Kind, Needs,
    RemoteError, State, Typed, TypedAck, TypedArgs,
};
pub use kokanee_socketio::{Args, ArgsError, EncodeError, ParserKind, RawEvent, Value};
