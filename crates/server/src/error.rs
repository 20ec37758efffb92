//! Errors of the public API, sorted by whose fault they are.

use kokanee_socketio::{ArgsError, EncodeError};

use crate::extract::ExtractError;

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
    /// The socket owes more answers than [`Limits::max_pending_acks`](crate::Limits::max_pending_acks).
    #[error("more than {max} acknowledgements pending")]
    TooManyPending {
        /// The limit.
        max: usize,
    },
}

/// A room could not be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The socket is not connected any more.
    #[error("the socket is disconnected")]
    Disconnected,
    /// The room's name is the id of another socket: who joins it gets that socket's private messages.
    #[error("the room is another socket's own; join_room_of allows it")]
    RoomOfSocket,
    /// The room's name is too long.
    #[error("room name of {size} bytes exceeds the limit of {max}")]
    NameTooLong {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The socket is in too many rooms.
    #[error("the socket is in {max} rooms, which is the limit")]
    TooManyRooms {
        /// The limit.
        max: usize,
    },
}

/// An event was not handled to its end. Reported to [`Namespace::on_error`](crate::Namespace::on_error), and to the
/// client if it asked for an acknowledgement: `{"error":{"code":"…","message":"…"}}`.
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
    /// A short, stable name of the error, as the client sees it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Extract(error) => error.code(),
            Self::Handler(_) => "handler",
            Self::Panic(_) => "panic",
        }
    }

    /// What the client may know: panics and mistakes in the server's own set-up are not its business.
    pub(crate) fn public_message(&self) -> String {
        match self {
            Self::Panic(_) => "internal error".to_owned(),
            Self::Extract(error) => error.public_message(),
            Self::Handler(error) => error.to_string(),
        }
    }
}

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is in use.
    #[error(
        "address in use: {address}; choose another port, or stop the program that listens there"
    )]
    AddressInUse {
        /// The address.
        address: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificate or key cannot be used.
    #[cfg(feature = "tls")]
    #[error("TLS: {0}")]
    Tls(String),
    /// Static files.
    #[error("cannot serve {path}: {source}")]
    Files {
        /// The file or directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}
