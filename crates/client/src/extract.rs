//! What handlers of the client can have as parameters.
//!
//! Handlers of events: [`Socket`], [`Data<T>`](kokanee_handler::Data), [`Ack`], `Args`, `RawEvent`, `EventName`, and your own
//! types that implement [`FromContext`]. Handlers of the life cycle: [`Socket`] and what is named at each method.

use std::{ops::Deref, sync::Arc};

use kokanee_handler::{Ack, EventKind, ExtractError, FromContext, Kind};
use kokanee_socketio::RawEvent;

use crate::{
    engine::ConnectFailure,
    reason::{CloseDetails, DisconnectReason},
    socket::Socket,
};

/// What happened to a socket.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) event: Option<&'a RawEvent>,
    pub(crate) ack: Option<&'a Ack>,
    pub(crate) reason: Option<DisconnectReason>,
    pub(crate) details: Option<&'a CloseDetails>,
    pub(crate) failure: Option<&'a Arc<ConnectFailure>>,
    pub(crate) attempt: u32,
}

impl<'a> Context<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        Self {
            socket,
            event: None,
            ack: None,
            reason: None,
            details: None,
            failure: None,
            attempt: 0,
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

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $event:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Kind for $name {
                type Context<'a> = Context<'a>;

                fn name<'c>(context: &'c Context<'_>) -> &'c str {
                    context.event.map_or($event, RawEvent::name)
                }

                fn state<T: Send + Sync + 'static>(context: &Context<'_>) -> Option<Arc<T>> {
                    context.socket.options().state.find()
                }
            }

            impl ClientKind for $name {}
        )*
    };
}

kinds! {
    /// Marks what is given to handlers of events.
    OnEvent "",
    /// Marks what is given to handlers of connections and reconnections.
    OnConnect "connect",
    /// Marks what is given to handlers of disconnections.
    OnDisconnect "disconnect",
    /// Marks what is given to handlers of failed connections.
    OnConnectError "connect_error",
    /// Marks what is given to handlers of attempts to reconnect.
    OnAttempt "reconnect_attempt",
}

impl EventKind for OnEvent {
    fn event<'c>(context: &'c Context<'_>) -> Option<&'c RawEvent> {
        context.event
    }

    fn ack(context: &Context<'_>) -> Ack {
        context.ack.cloned().unwrap_or_default()
    }
}

/// What can happen on the client: bound of extractors that every handler may have.
#[diagnostic::on_unimplemented(
    message = "only handlers of a client have this parameter",
    label = "a handler of another kind",
    note = "handlers of a server have the types of `kokanee` and `kokanee::server`, as `Socket` and `DisconnectReason`"
)]
pub trait ClientKind: for<'a> Kind<Context<'a> = Context<'a>> {}

impl<K: ClientKind> FromContext<K> for Socket {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.socket.clone())
    }
}

impl FromContext<OnDisconnect> for DisconnectReason {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        context
            .reason
            .ok_or_else(|| ExtractError::other("there is no reason"))
    }
}

impl FromContext<OnDisconnect> for CloseDetails {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(context.details.cloned().unwrap_or_default())
    }
}

/// Why a connection could not be made.
#[derive(Debug, Clone)]
pub struct Failure(pub Arc<ConnectFailure>);

impl Deref for Failure {
    type Target = ConnectFailure;

    fn deref(&self) -> &ConnectFailure {
        &self.0
    }
}

impl FromContext<OnConnectError> for Failure {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let failure = context.failure.cloned();
        failure
            .map(Self)
            .ok_or_else(|| ExtractError::other("there is no failure"))
    }
}

/// The number of an attempt to reconnect, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl FromContext<OnAttempt> for Attempt {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(Self(context.attempt))
    }
}
