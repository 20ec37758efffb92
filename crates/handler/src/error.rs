//! What can go wrong with an event, sorted by whose fault it is.

use std::{error::Error, fmt};

use kokanee_socketio::{ArgsError, EncodeError};

use crate::{ExtractError, RemoteError, refusal::Fault};

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

    /// A short, stable name of the error, as the peer sees it.
    pub fn code(&self) -> &str {
        self.kind.fault().code
    }

    /// Whether the handler has refused the event, with a [`ClientError`](crate::ClientError) or as its own mistake: that is
    /// no fault of ours.
    pub fn is_refusal(&self) -> bool {
        matches!(self.kind, EventErrorKind::Handler(_)) && !self.kind.fault().is_internal()
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

impl EventErrorKind {
    /// What the peer sees of it. Panics, mistakes in our own set-up and the application's errors are not its business, but for
    /// a [`ClientError`](crate::ClientError).
    pub fn fault(&self) -> Fault<'_> {
        match self {
            Self::Panic(_) => Fault::internal(),
            Self::Extract(error) => error.fault(),
            Self::Handler(error) => Fault::of(&**error),
        }
    }
}
