//! Extractors: how a handler's parameters are made from what happened.
//!
//! A handler is an async function whose parameters implement [`FromContext`] for its kind: [`OnEvent`], [`OnConnect`] or
//! [`OnDisconnect`]. Implement it for your own types, for instance a user that a middleware has stored.

use std::{convert::Infallible, ops::Deref, sync::Arc};

use kokanee_socketio::{Args, ArgsError, Event};
use serde::de::DeserializeOwned;

use crate::{Ack, DisconnectReason, Handshake, Namespace, Server, Socket, SocketId};

/// Marks what is given to handlers of events.
#[derive(Debug)]
pub enum OnEvent {}
/// Marks what is given to middlewares and handlers of new connections.
#[derive(Debug)]
pub enum OnConnect {}
/// Marks what is given to handlers of ended connections.
#[derive(Debug)]
pub enum OnDisconnect {}

/// What happened to a socket.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) event: Option<&'a Event>,
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
    pub fn event(&self) -> Option<&'a Event> {
        self.event
    }
}

/// A parameter of handlers of kind `K`.
pub trait FromContext<K>: Sized {
    /// Makes the parameter.
    ///
    /// # Errors
    /// What is missing or does not fit. The handler is not called then, and the error is reported.
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError>;
}

/// A handler's parameter could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The event's arguments do not fit the handler's type.
    #[error("invalid payload: {0}")]
    Payload(#[from] ArgsError),
    /// The connection's `auth` does not fit.
    #[error("invalid auth: {0}")]
    Auth(serde_json::Error),
    /// Nothing of this type was given to [`ServerBuilder::state`](crate::ServerBuilder::state).
    #[error("no state of type {type_name}")]
    State {
        /// The type's name.
        type_name: &'static str,
    },
    /// Nothing of this type was stored in the socket.
    #[error("no extension of type {type_name}")]
    Extension {
        /// The type's name.
        type_name: &'static str,
    },
    /// An extractor of the application refused.
    #[error("{0}")]
    Other(crate::BoxError),
}

impl ExtractError {
    /// A short, stable name of the error, as the client sees it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Payload(_) => "invalid_payload",
            Self::Auth(_) => "invalid_auth",
            Self::State { .. } | Self::Extension { .. } => "internal",
            Self::Other(_) => "refused",
        }
    }

    /// What the client may know of it.
    pub(crate) fn public_message(&self) -> String {
        match self {
            Self::State { .. } | Self::Extension { .. } => "internal error".to_owned(),
            other => other.to_string(),
        }
    }

    /// An error of your own extractor.
    pub fn other(error: impl Into<crate::BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl From<Infallible> for ExtractError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The arguments of an event: a tuple takes all of them, any other type the first.
///
/// Binary arguments, at any depth, come as [`bytes::Bytes`] (or anything that deserializes from bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromContext<OnEvent> for Data<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        match context.event {
            Some(event) => Ok(Self(event.args().deserialize()?)),
            None => Ok(Self(Args::none().deserialize()?)),
        }
    }
}

/// The arguments as they came, to be passed on or read later.
impl FromContext<OnEvent> for Args {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.event.map(Event::args).cloned().unwrap_or_default())
    }
}

/// The event itself: name and arguments.
impl FromContext<OnEvent> for Event {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        context
            .event
            .cloned()
            .ok_or_else(|| ExtractError::other("there is no event"))
    }
}

/// The name of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventName(pub kokanee_engineio::Str);

impl FromContext<OnEvent> for EventName {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(Self(
            context
                .event
                .map(|event| event.name().into())
                .unwrap_or_default(),
        ))
    }
}

impl FromContext<OnEvent> for Ack {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context
            .ack
            .cloned()
            .unwrap_or_else(|| Self::new(context.socket, None)))
    }
}

impl<K> FromContext<K> for Socket {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.clone())
    }
}

impl<K> FromContext<K> for SocketId {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.id())
    }
}

impl<K> FromContext<K> for Namespace {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.namespace().clone())
    }
}

impl<K> FromContext<K> for Server {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.server())
    }
}

impl<K> FromContext<K> for Handshake {
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

impl<K, T: DeserializeOwned> FromContext<K> for Auth<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        context.socket.auth().map(Self).map_err(ExtractError::Auth)
    }
}

/// A value that belongs to the whole server, given to [`ServerBuilder::state`](crate::ServerBuilder::state).
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<K, T: Send + Sync + 'static> FromContext<K> for State<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let missing = ExtractError::State {
            type_name: std::any::type_name::<T>(),
        };
        context.socket.server().state().map(Self).ok_or(missing)
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

impl<K, T: Send + Sync + 'static> FromContext<K> for Extension<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let missing = ExtractError::Extension {
            type_name: std::any::type_name::<T>(),
        };
        context.socket.extension().map(Self).ok_or(missing)
    }
}

/// A parameter that may be missing.
impl<K, T: FromContext<K>> FromContext<K> for Option<T> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(T::from_context(context).ok())
    }
}

/// A parameter whose error the handler wants to see.
impl<K, T: FromContext<K>> FromContext<K> for Result<T, ExtractError> {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(T::from_context(context))
    }
}
