//! Extractors: how a handler's parameters are made from what happened.
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

/// Marks what is given to handlers of events.
#[derive(Debug)]
pub enum OnEvent {}
/// Marks what is given to middlewares and handlers of new connections.
#[derive(Debug)]
pub enum OnConnect {}
/// Marks what is given to handlers of ended connections.
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

/// What can happen on the server: bound of extractors that every handler may have.
#[diagnostic::on_unimplemented(
    message = "only handlers of a server have this parameter",
    label = "a handler of another kind",
    note = "handlers of a client have the types of `kokanee::client`, as `client::Socket` and `client::DisconnectReason`"
)]
pub trait ServerKind: for<'a> Kind<Context<'a> = Context<'a>> {}
impl ServerKind for OnEvent {}
impl ServerKind for OnConnect {}
impl ServerKind for OnDisconnect {}

/// What happened to a socket.
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

    /// The socket.
    pub fn socket(&self) -> &'a Socket {
        self.socket
    }

    /// The event, for handlers of events.
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

/// What the client sent with CONNECT as `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Auth<T>(pub T);

impl<K: ServerKind, T: DeserializeOwned> FromContext<K> for Auth<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        context.socket.auth().map(Self).map_err(ExtractError::Auth)
    }
}

/// A value that belongs to the socket, stored with [`Socket::insert`]. For instance the user that a middleware has found.
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
