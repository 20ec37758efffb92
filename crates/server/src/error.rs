//! Errors of the public API, sorted by whose fault they are.

/// Says why a room could not be joined.
///
/// ```
/// # use kokanee_server::{ClientError, Data, JoinError, Server, Socket};
/// # let io = Server::new();
/// io.on("join", async |socket: Socket, Data(room): Data<String>| match socket.join(room) {
///     // These two are the client's mistake, so the client sees them.
///     Err(error @ (JoinError::TooManyRooms { .. } | JoinError::NameTooLong { .. })) => {
///         Err(ClientError::new(error.to_string()).code("room"))
///     }
///     Err(_) | Ok(()) => Ok(()),
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The socket is not connected any more.
    #[error("the socket is disconnected")]
    Disconnected,
    /// The room's name is the id of another socket: a socket that joins it receives that socket's private messages.
    #[error("the room is another socket's own; join_room_of allows it")]
    RoomOfSocket,
    /// The room's name is too long.
    #[error("room name of {size} bytes exceeds the limit of {max}")]
    NameTooLong {
        /// The size of the name in bytes.
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

/// Says why a server could not be started.
///
/// ```no_run
/// # use kokanee_server::{ListenError, Server};
/// # async fn f() -> Result<(), ListenError> {
/// let io = Server::new();
/// let listener = match io.bind("127.0.0.1:3000").await {
///     Err(ListenError::AddressInUse { .. }) => io.bind("127.0.0.1:0").await?, // any free port
///     other => other?,
/// };
/// println!("listening on {}", listener.local_addr());
/// listener.serve().await;
/// # Ok(()) }
/// ```
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
    /// A file or directory that is to be served cannot be read.
    #[error("cannot serve {path}: {source}")]
    Files {
        /// The file or directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}
