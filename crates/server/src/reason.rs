//! Why a socket was disconnected, and why a socket was refused.

use std::fmt;

use kokanee_engineio::CloseReason;
use kokanee_handler::Fault;
use serde::Serialize;

/// Says why a socket was disconnected. `Display` writes the texts of the JavaScript server. An extractor of `on_disconnect`.
///
/// ```
/// # use kokanee_server::{CloseReason, DisconnectReason, Server, Socket};
/// # let io = Server::new();
/// io.on_disconnect(async |socket: Socket, reason: DisconnectReason| match reason {
///     DisconnectReason::ClientNamespaceDisconnect => println!("{} has logged out", socket.id()),
///     DisconnectReason::Session(CloseReason::PingTimeout) => println!("{} has lost its connection", socket.id()),
///     other => println!("{}: {other}", socket.id()),
/// });
/// assert_eq!(DisconnectReason::ClientNamespaceDisconnect.to_string(), "client namespace disconnect");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server called [`Socket::disconnect`](crate::Socket::disconnect).
    ServerNamespaceDisconnect,
    /// The session ended.
    Session(CloseReason),
}

impl DisconnectReason {
    /// Returns the text of the JavaScript server for this reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::Session(reason) => reason.as_str(),
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Refuses a client that wants to join a namespace: the error of a [middleware](crate::Namespace::middleware). The client
/// receives it as `connect_error`, with message and data.
///
/// A text becomes one, too: `Err("not authorized")`.
///
/// ```
/// use kokanee_server::ConnectError;
///
/// let error = ConnectError::new("not authorized").data(serde_json::json!({ "code": 401 }));
/// // In JavaScript: socket.on("connect_error", (error) => console.log(error.message, error.data.code))
/// assert_eq!(error.to_string(), "not authorized");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectError {
    pub(crate) message: String,
    pub(crate) data: Option<serde_json::Value>,
}

impl ConnectError {
    /// Creates a refusal with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// Returns what the client sees if a parameter of a middleware cannot be extracted.
    pub(crate) fn from_fault(fault: &Fault<'_>) -> Self {
        Self {
            message: fault.message.clone().into_owned(),
            data: fault.data.and_then(|data| serde_json::to_value(data).ok()),
        }
    }

    /// Adds data for the client. What cannot be written as JSON becomes `null`.
    #[must_use]
    pub fn data(mut self, data: impl Serialize) -> Self {
        self.data = Some(serde_json::to_value(data).unwrap_or_default());
        self
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConnectError {}

impl From<&str> for ConnectError {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for ConnectError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}
