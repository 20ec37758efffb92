//! What can go wrong with an event, sorted by whose fault it is.

use kokanee_socketio::{ArgsError, EncodeError};

use crate::ExtractError;

/// Errors of user code that handlers may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

/// An event was not handled to its end. Reported to the application's `on_error`, and to the peer if it asked for an
/// acknowledgement: `{"error":{"code":"…","message":"…"}}`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
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
    /// A short, stable name of the error, as the peer sees it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Extract(error) => error.code(),
            Self::Handler(_) => "handler",
            Self::Panic(_) => "panic",
        }
    }

    /// What the peer may know: panics and mistakes in our own set-up are not its business.
    pub fn public_message(&self) -> String {
        match self {
            Self::Panic(_) => "internal error".to_owned(),
            Self::Extract(error) => error.public_message(),
            Self::Handler(error) => error.to_string(),
        }
    }
}
