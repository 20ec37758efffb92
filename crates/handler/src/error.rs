//! What can go wrong with an event, sorted by whose fault it is.

use std::{convert::Infallible, error::Error, fmt};

use kokanee_socketio::{ArgsError, EncodeError, Value, from_value};
use serde::de::DeserializeOwned;

/// Errors of user code that handlers may return.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An event or acknowledgement could not be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The arguments cannot be encoded, or the event's name is reserved.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The socket is not connected any more.
    #[error("the socket is disconnected")]
    Disconnected,
    /// The socket is not connected, and so much waits already that this event is not kept for later.
    #[error("not connected, and the send buffer of {max} bytes is full")]
    BufferFull {
        /// The limit in bytes.
        max: usize,
    },
    /// The acknowledgement was sent before.
    #[error("the event is acknowledged already")]
    AlreadyAcknowledged,
}

/// No usable acknowledgement came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The event could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The peer did not answer in time.
    #[error("operation has timed out")]
    Timeout,
    /// The peer went away before it answered.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The peer answered with an error.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The answer does not fit the type that was asked for.
    #[error("unexpected acknowledgement: {0}")]
    Decode(#[from] ArgsError),
    /// The peer owes more answers than the limits allow.
    #[error("more than {max} acknowledgements pending")]
    TooManyPending {
        /// The limit.
        max: usize,
    },
}

/// The peer answered an event with an error: its handler failed, or refused.
///
/// The text is the peer's own, so it is shown to no other user without a thought.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message} ({code})")]
#[non_exhaustive]
pub struct RemoteError {
    /// A short, stable name, as the peer calls it: `forbidden`. Kokanee's own are `internal`, `invalid_payload`, `invalid_auth`
    /// and `error`.
    pub code: String,
    /// A text for people.
    pub message: String,
    /// More, if the peer has sent any.
    pub data: Option<Value>,
}

impl RemoteError {
    /// Deserializes the data, `null` if there is none.
    ///
    /// # Errors
    /// When it does not fit `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        from_value(self.data.as_ref().unwrap_or(&Value::Null))
    }
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
    /// The application has no state of this type.
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
    #[error(transparent)]
    Other(BoxError),
}

impl ExtractError {
    /// An error of your own extractor. The peer sees it if it is a [`ClientError`](crate::ClientError), otherwise
    /// `internal error`.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl From<Infallible> for ExtractError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An event was not handled to its end. Reported to the application's `on_error`, and to the peer if it asked for an
/// acknowledgement: `{"error":{"code":"…","message":"…"}}`.
#[derive(Debug)]
pub struct EventError {
    event: Box<str>,
    kind: EventErrorKind,
}

/// What has kept an event from being handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventErrorKind {
    /// The event does not fit the handler's parameters.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The handler returned an error.
    #[error("{0}")]
    Handler(BoxError),
    /// The handler panicked.
    #[error("handler panicked: {0}")]
    Panic(String),
}

impl EventError {
    /// Says what happened to an event of this name.
    pub fn new(event: &str, kind: EventErrorKind) -> Self {
        Self {
            event: event.into(),
            kind,
        }
    }

    /// The event's name. If a handler of something else failed, its name in JavaScript: `connection`, `disconnect`, …
    pub fn event(&self) -> &str {
        &self.event
    }

    /// What happened.
    pub fn kind(&self) -> &EventErrorKind {
        &self.kind
    }
}

/// `event "sum": invalid payload: …`
impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {:?}: {}", self.event, self.kind)
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            EventErrorKind::Extract(error) => error.source(),
            EventErrorKind::Handler(error) => error.source(),
            EventErrorKind::Panic(_) => None,
        }
    }
}
