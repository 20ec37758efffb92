//! Why a socket left its namespace, and why one was not let in.

use std::fmt;

use kokanee_engineio::CloseReason;
use kokanee_handler::Fault;
use serde::Serialize;

/// Why a socket left its namespace. `Display` gives the texts of the JavaScript server.
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
    /// The reason's text.
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

/// Why a client may not join a namespace. The client gets it as `connect_error`, with message and data.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectError {
    pub(crate) message: String,
    pub(crate) data: Option<serde_json::Value>,
}

impl ConnectError {
    /// Refuses with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            data: None,
        }
    }

    /// What the client sees if a parameter of a middleware cannot be made.
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
