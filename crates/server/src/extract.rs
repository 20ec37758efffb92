//! Extractors: the types that a handler's parameters may have, and how they are made.
//!
//! A handler is an async function whose parameters implement [`FromContext`] for its kind: [`OnEvent`], [`OnConnect`] or
//! [`OnDisconnect`]. Implement it for your own types, for instance a user that a middleware has stored.

use std::{ops::Deref, sync::Arc};

use kokanee_handler::{Ack, EventKind, ExtractError, FromContext, Kind};
use kokanee_socketio::RawEvent;
use serde::de::DeserializeOwned;

use crate::{
    handshake::Handshake, namespace::Namespace, reason::DisconnectReason, server::Server,
    socket::Socket, socket_id::SocketId,
};

/// Marks handlers of events: `on`, `on_any`, `on_fallback` and their kin.
#[derive(Debug)]
pub enum OnEvent {}
/// Marks middlewares and handlers of new sockets.
#[derive(Debug)]
pub enum OnConnect {}
/// Marks handlers of disconnected sockets.
#[derive(Debug)]
pub enum OnDisconnect {}

macro_rules! kinds {
    ($($name:ident $event:literal),*) => {
        $(
            impl Kind for $name {
                type Context<'a> = Context<'a>;

                fn name<'c>(context: &'c Context<'_>) -> &'c str {
                    context.event.map_or($event, RawEvent::name)
                }

                fn state<T: Send + Sync + 'static>(context: &Context<'_>) -> Option<Arc<T>> {
                    context.socket.server().state()
                }
            }
        )*
    };
}

kinds!(OnEvent "", OnConnect "connection", OnDisconnect "disconnect");

impl EventKind for OnEvent {
    fn event<'c>(context: &'c Context<'_>) -> Option<&'c RawEvent> {
        context.event
    }

    fn ack(context: &Context<'_>) -> Ack {
        context.ack.cloned().unwrap_or_default()
    }
}

/// Bounds extractors that every handler of a server may have; see [`FromContext`].
#[diagnostic::on_unimplemented(
    message = "only handlers of a server have this parameter",
    label = "a handler of another kind",
    note = "handlers of a client have the types of `kokanee::client`, as `client::Socket` and `client::DisconnectReason`"
)]
pub trait ServerKind: for<'a> Kind<Context<'a> = Context<'a>> {}
impl ServerKind for OnEvent {}
impl ServerKind for OnConnect {}
impl ServerKind for OnDisconnect {}

/// Describes what happened to a socket: what extractors read.
///
/// ```
/// use kokanee_server::{ExtractError, FromContext, Handshake, Server, extract::{Context, ServerKind}};
///
/// /// The language that the client's browser prefers.
/// struct Language(String);
///
/// impl<K: ServerKind> FromContext<K> for Language {
///     fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
///         let handshake = context.socket().handshake();
///         let header = handshake.header("accept-language").ok_or_else(|| ExtractError::other("no language"))?;
///         Ok(Self(header.chars().take(2).collect()))
///     }
/// }
///
/// let io = Server::new();
/// io.on("hello", async |Language(language): Language| println!("{language}"));
/// ```
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) event: Option<&'a RawEvent>,
    pub(crate) ack: Option<&'a Ack>,
    pub(crate) reason: Option<DisconnectReason>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        Self {
            socket,
            event: None,
            ack: None,
            reason: None,
        }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &'a Socket {
        self.socket
    }

    /// Returns the event, in handlers of events.
    pub fn event(&self) -> Option<&'a RawEvent> {
        self.event
    }
}

impl<K: ServerKind> FromContext<K> for Socket {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.clone())
    }
}

impl<K: ServerKind> FromContext<K> for SocketId {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.id())
    }
}

impl<K: ServerKind> FromContext<K> for Namespace {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.namespace().clone())
    }
}

impl<K: ServerKind> FromContext<K> for Server {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.server())
    }
}

impl<K: ServerKind> FromContext<K> for Handshake {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.handshake())
    }
}

impl FromContext<OnDisconnect> for DisconnectReason {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        context
            .reason
            .ok_or_else(|| ExtractError::other("there is no reason"))
    }
}

/// Extracts what the client sent with CONNECT as `auth`, deserialized to `T`. If the client sent none, it is an empty object.
///
/// ```
/// # use kokanee_server::{Auth, Server, Socket};
/// # let io = Server::new();
/// #[derive(serde::Deserialize)]
/// struct Login {
///     token: Option<String>,
/// }
///
/// // In JavaScript: io({ auth: { token: "secret" } })
/// io.middleware(async |Auth(login): Auth<Login>| {
///     if login.token.as_deref() == Some("secret") { Ok(()) } else { Err("not authorized") }
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Auth<T>(pub T);

impl<K: ServerKind, T: DeserializeOwned> FromContext<K> for Auth<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        context.socket.auth().map(Self).map_err(ExtractError::Auth)
    }
}

/// Extracts a value that belongs to the socket, stored with [`Socket::insert`]; for instance the user that a middleware has
/// found. The handler is not called if there is none: an `Option<Extension<T>>` may be missing.
///
/// ```
/// # use kokanee_server::{Auth, Extension, Server, Socket};
/// # let io = Server::new();
/// #[derive(serde::Deserialize)]
/// struct User { name: String }
///
/// io.middleware(async |socket: Socket, Auth(user): Auth<User>| {
///     socket.insert(user);
///     Ok::<_, &str>(())
/// });
/// io.on("who am I?", async |socket: Socket, user: Extension<User>| socket.emit("you are", &user.name).await);
/// ```
#[derive(Debug)]
pub struct Extension<T>(pub Arc<T>);

impl<T> Deref for Extension<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<K: ServerKind, T: Send + Sync + 'static> FromContext<K> for Extension<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let missing = ExtractError::Extension {
            type_name: std::any::type_name::<T>(),
        };
        context.socket.extension().map(Self).ok_or(missing)
    }
}
