//! Errors of the public API, sorted by whose fault they are.

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
