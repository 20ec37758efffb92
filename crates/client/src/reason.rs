//! Why a socket was disconnected.

use std::fmt;

use kokanee_engineio::CloseReason;

/// Why a socket was disconnected. Shown as the JavaScript client's texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server has disconnected the socket. It is not connected again by itself.
    Server,
    /// [`Socket::disconnect`](crate::Socket::disconnect) was called, or all handles were dropped.
    Client,
    /// The server has sent what cannot be understood.
    ParseError,
    /// The session has ended.
    Session(CloseReason),
}

impl DisconnectReason {
    /// The reason's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "io server disconnect",
            Self::Client => "io client disconnect",
            Self::ParseError | Self::Session(CloseReason::ParseError) => "parse error",
            Self::Session(CloseReason::PingTimeout) => "ping timeout",
            Self::Session(CloseReason::TransportClose) => "transport close",
            Self::Session(_) => "transport error",
        }
    }
}

/// Not everything had left when a socket was disconnected. It is disconnected all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The connection has failed, the server has taken nothing for 10 s, or something waited for a connection or for the
    /// acknowledgement of an event before it.
    #[error("not everything that was sent has left before the end")]
    Unsent,
    /// The client's runtime has ended.
    #[error("the client is closed")]
    Closed,
}

/// What the server has said as it closed the WebSocket: a parameter that handlers of disconnections can have beside the
/// [`DisconnectReason`]. Shown as code and reason, or as nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CloseDetails {
    /// The code of its close frame, for instance 1008. `None` over polling, and if there was no such frame or no code in it.
    pub code: Option<u16>,
    /// Its reason, at most 123 bytes. Often empty.
    pub reason: String,
}

impl fmt::Display for CloseDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason.as_str()) {
            (None, _) => Ok(()),
            (Some(code), "") => write!(f, "{code}"),
            (Some(code), reason) => write!(f, "{code} {reason}"),
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
