//! Extractors: the parameters that handlers of the client can have.
//!
//! | parameter | gives | handlers |
//! |---|---|---|
//! | [`Socket`] | the socket | all |
//! | [`State<T>`](kokanee_handler::State) | the application's value of type `T` | all |
//! | [`Data<T>`](kokanee_handler::Data), [`Args`](kokanee_socketio::Args) | the arguments, decoded or as they came | of events |
//! | [`Typed<E>`](kokanee_handler::Typed) | a typed event, as first parameter | of events |
//! | [`RawEvent`], [`EventName`](kokanee_handler::EventName) | the event, its name | of events |
//! | [`Ack`], [`TypedAck<E>`](kokanee_handler::TypedAck) | what answers the event | of events |
//! | [`DisconnectReason`], [`CloseDetails`] | why the socket was disconnected | `on_disconnect` |
//! | [`Failure`] | why a connection failed | `on_connect_error` |
//! | [`Attempt`] | the number of the attempt | `on_reconnect`, `on_reconnect_attempt` |
//!
//! Your own types can be parameters, too: implement [`FromContext`], see [`Context`].

use std::{ops::Deref, sync::Arc};

use kokanee_handler::{Ack, EventKind, ExtractError, FromContext, Kind};
use kokanee_socketio::RawEvent;

use crate::{
    engine::ConnectFailure,
    reason::{CloseDetails, DisconnectReason},
    socket::Socket,
};

/// Holds what is known when something has happened to a socket. An extractor of yours reads it in
/// [`FromContext::from_context`].
///
/// # Examples
///
/// ```
/// use kokanee_client::{ExtractError, FromContext, extract::{Context, OnEvent}};
///
/// /// The size of the event's arguments as JSON.
/// struct Size(usize);
///
/// impl FromContext<OnEvent> for Size {
///     fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
///         let event = context.event().ok_or_else(|| ExtractError::other("there is no event"))?;
///         Ok(Self(event.args().text_bytes()))
///     }
/// }
///
/// # fn example(socket: kokanee_client::Socket) {
/// socket.on("news", async |Size(bytes): Size| println!("{bytes} bytes"));
/// # }
/// ```
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

    /// Returns the socket.
    pub fn socket(&self) -> &'a Socket {
        self.socket
    }

    /// Returns the event, if this is for a handler of events.
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
    /// Marks handlers of events.
    OnEvent "",
    /// Marks handlers of connections and reconnections.
    OnConnect "connect",
    /// Marks handlers of disconnections.
    OnDisconnect "disconnect",
    /// Marks handlers of failed connections.
    OnConnectError "connect_error",
    /// Marks handlers of attempts to reconnect.
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
/// Marks what can happen to a client: the bound of extractors that every handler can have.
///
/// # Examples
///
/// ```
/// use kokanee_client::{ExtractError, FromContext, extract::{ClientKind, Context}};
///
/// /// The name of the namespace.
/// struct Namespace(String);
///
/// impl<K: ClientKind> FromContext<K> for Namespace {
///     fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
///         Ok(Self(context.socket().namespace().to_owned()))
///     }
/// }
///
/// # fn example(socket: kokanee_client::Socket) {
/// socket.on_connect(async |Namespace(name): Namespace| println!("connected to {name}"));
/// # }
/// ```
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

/// Holds why a connection could not be made. A parameter of [`on_connect_error`](Socket::on_connect_error); it dereferences to
/// the [`ConnectFailure`].
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

/// Holds the number of an attempt to reconnect, from 1 on. A parameter of [`on_reconnect`](Socket::on_reconnect) and
/// [`on_reconnect_attempt`](Socket::on_reconnect_attempt).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl FromContext<OnAttempt> for Attempt {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        Ok(Self(context.attempt))
    }
}
