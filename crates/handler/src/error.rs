//! The errors of events and acknowledgements.

use std::{convert::Infallible, error::Error, fmt};

use kokanee_socketio::{ArgsError, EncodeError, Value, from_value};
use serde::de::DeserializeOwned;

/// An error of application code, as handlers may return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// An event or acknowledgement could not be sent.
///
/// # Examples
///
/// ```
/// use kokanee_handler::EmitError;
///
/// fn report(error: &EmitError) {
///     match error {
///         EmitError::Encode(error) => panic!("a mistake in this program: {error}"),
///         EmitError::Disconnected => println!("the peer is gone"),
///         error => println!("not sent: {error}"),
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The arguments cannot be encoded, or the event's name is reserved.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The socket is disconnected.
    #[error("the socket is disconnected")]
    Disconnected,
    /// The socket is not connected, and its send buffer is full.
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
///
/// # Examples
///
/// ```
/// use kokanee_handler::AckError;
///
/// fn report(error: &AckError) {
///     match error {
///         AckError::Remote(error) if error.code == "name_too_long" => println!("choose a shorter name"),
///         AckError::Remote(error) => println!("the peer has refused: {}", error.message),
///         AckError::Timeout | AckError::Disconnected => println!("nobody knows whether the peer has handled it"),
///         AckError::Decode(error) => println!("the peer speaks another version: {error}"),
///         error => println!("{error}"),
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The event could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The peer did not acknowledge in time.
    #[error("operation has timed out")]
    Timeout,
    /// The peer disconnected before it acknowledged.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The peer acknowledged with an error.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The acknowledgement does not fit the requested type.
    #[error("unexpected acknowledgement: {0}")]
    Decode(#[from] ArgsError),
    /// More acknowledgements are pending than the limit allows.
    #[error("more than {max} acknowledgements pending")]
    TooManyPending {
        /// The limit.
        max: usize,
    },
}

/// The peer acknowledged an event with an error: its handler failed, or refused the event.
///
/// The peer chooses the text: do not show it to other users unchecked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message} ({code})")]
#[non_exhaustive]
pub struct RemoteError {
    /// A short, stable name that the peer chooses, for example `forbidden`. Kokanee's own are `internal`,
    /// `invalid_payload`, `invalid_auth` and `error`.
    pub code: String,
    /// A text for users.
    pub message: String,
    /// Additional data, if the peer has sent any.
    pub data: Option<Value>,
}

impl RemoteError {
    /// Deserializes the data, `null` if there is none.
    ///
    /// # Errors
    /// [`ArgsError`] if the data does not fit `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        from_value(self.data.as_ref().unwrap_or(&Value::Null))
    }
}

/// A handler's parameter could not be extracted.
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
    /// The socket has no extension of this type.
    #[error("no extension of type {type_name}")]
    Extension {
        /// The type's name.
        type_name: &'static str,
    },
    /// The error of an extractor of the application.
    #[error(transparent)]
    Other(BoxError),
}

impl ExtractError {
    /// Creates the error of an extractor of the application. The peer sees it if it is a
    /// [`ClientError`](crate::ClientError), otherwise `internal error`.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl From<Infallible> for ExtractError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An event could not be handled. The error is passed to the application's `on_error`, and sent to the peer if it asked
/// for an acknowledgement: `{"error":{"code":"…","message":"…"}}`.
#[derive(Debug)]
pub struct EventError {
    event: Box<str>,
    kind: EventErrorKind,
}

/// Why an event could not be handled.
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
    /// Creates the error of an event with this name.
    pub fn new(event: &str, kind: EventErrorKind) -> Self {
        Self {
            event: event.into(),
            kind,
        }
    }

    /// Returns the event's name. For other handlers it is the name in JavaScript: `connection`, `disconnect`, …
    pub fn event(&self) -> &str {
        &self.event
    }

    /// What happened.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_handler::{EventError, EventErrorKind};
    ///
    /// fn count(error: &EventError, bugs: &mut u32, refusals: &mut u32) {
    ///     match error.kind() {
    ///         _ if error.is_refusal() => *refusals += 1,
    ///         EventErrorKind::Extract(_) => println!("{} has sent something else: {error}", error.event()),
    ///         EventErrorKind::Panic(_) | EventErrorKind::Handler(_) => *bugs += 1,
    ///         _ => {}
    ///     }
    /// }
    /// ```
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
