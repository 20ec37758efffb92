//! The Socket.IO server: [`Server`], its handlers, rooms and broadcasts, and the ways to host it.
//!
//! * [`Server::listen`] is a listener of its own, the fast path;
//! * `Server` is a [`tower_service::Service`], and [`Server::layer`] puts it into an axum or hyper application;
//! * [`Server::accept`] takes a stream that somebody else accepted, with its request already parsed.

mod accept;
mod ack;
mod admission;
mod body;
mod broadcast;
mod client_bundle;
mod compression;
mod cookie;
mod cors;
mod delivery;
mod driver;
mod error;
mod events;
mod extensions;
pub mod extract;
mod forwarded;
mod handler;
mod handshake;
mod http;
mod inner;
mod limits;
mod listen;
mod mailbox;
mod namespace;
mod origin;
mod peer;
mod polling;
mod proxy_protocol;
mod reason;
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
mod throttle;
#[cfg(feature = "tls")]
mod tls;
mod watched;

pub use self::{
    ack::EmitWithAck,
    body::Body,
    broadcast::{BroadcastAnswers, BroadcastOperator, HeldUp, IntoRooms, Recipients},
    cookie::{Cookie, InvalidCookie, SameSite},
    cors::Cors,
    error::{JoinError, ListenError},
    extensions::{NoUpgrade, PeerAddress},
    extract::{Auth, Extension},
    forwarded::{InvalidProxy, TrustedProxy},
    handler::{IntoVerdict, Middleware},
    handshake::Handshake,
    limits::Limits,
    listen::Listener,
    namespace::Namespace,
    reason::{ConnectError, DisconnectReason},
    server::{CloseError, Server, ServerBuilder},
    service::{SocketIoLayer, SocketIoService},
    socket::Socket,
    socket_id::{InvalidSocketId, SocketId},
    static_files::StaticFile,
};
pub use kokanee_engineio::{CloseReason, Overflow, Revision, Str, Transport};
pub use kokanee_handler::{
    Ack, AckError, BoxError, ClientError, Data, EmitError, Event, EventError, EventErrorKind,
    EventKind, EventName, ExtractError, Fault, FromContext, Handler, IntoOutcome, Kind, Needs,
    RemoteError, State, Typed, TypedAck, TypedArgs,
};
pub use kokanee_socketio::{Args, ArgsError, EncodeError, ParserKind, RawEvent, Value};
