//! Why a socket was disconnected.

use std::fmt;

use kokanee_engineio::CloseReason;

/// Says why a socket was disconnected. `Display` gives the texts of the JavaScript client.
///
/// # Examples
///
/// ```
/// use kokanee_client::{Client, CloseReason, DisconnectReason, Socket};
///
/// # fn example() {
/// Client::builder("http://localhost:5000").on_disconnect(async |reason: DisconnectReason| match reason {
///     // The client does not reconnect after this.
///     DisconnectReason::Server => println!("the server has disconnected this socket"),
///     DisconnectReason::Session(CloseReason::PingTimeout) => println!("the network has failed"),
///     reason => println!("disconnected: {reason}"),
/// });
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server has disconnected the socket. The socket does not reconnect by itself.
    Server,
    /// [`Socket::disconnect`](crate::Socket::disconnect) was called, or all handles were dropped.
    Client,
    /// The server has sent something that cannot be decoded.
    ParseError,
    /// The session has ended.
    Session(CloseReason),
}

impl DisconnectReason {
    /// Returns the text of the JavaScript client for this reason.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{CloseReason, DisconnectReason};
    ///
    /// assert_eq!(DisconnectReason::Server.as_str(), "io server disconnect");
    /// assert_eq!(DisconnectReason::Session(CloseReason::PingTimeout).as_str(), "ping timeout");
    /// ```
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

/// Says that something could not be sent before a socket was disconnected. The socket is disconnected all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectError {
    /// The connection has failed, the server has read nothing for 10 s, or something still waited for a connection or for the
    /// acknowledgement of an earlier event.
    #[error("not everything was sent before the socket was disconnected")]
    Unsent,
    /// The runtime of the client has ended.
    #[error("the client is closed")]
    Closed,
}

/// Holds what the server has said when it closed the WebSocket. Handlers of disconnections can have it as a parameter beside
/// the [`DisconnectReason`]. `Display` gives code and reason, or nothing.
///
/// # Examples
///
/// ```
/// use kokanee_client::{Client, CloseDetails};
///
/// # fn example() {
/// Client::builder("http://localhost:5000").on_disconnect(async |details: CloseDetails| match details.code {
///     Some(1012) => println!("the server restarts"),
///     Some(_) => println!("closed: {details}"),
///     None => {}
/// });
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CloseDetails {
    /// The code of the close frame, for instance 1008. `None` over polling, or if there was no close frame or no code in it.
    pub code: Option<u16>,
    /// The reason in the close frame, at most 123 bytes. Often empty.
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
