//! Why a session ended.

use std::fmt;

/// Why a session ended. `Display` gives the texts that the JavaScript server uses, where it has the reason.
///
/// # Examples
///
/// ```
/// use kokanee_engineio::CloseReason;
///
/// fn report(reason: CloseReason) {
///     match reason {
///         CloseReason::TransportClose | CloseReason::PingTimeout => {} // Clients come and go.
///         CloseReason::SlowConsumer => println!("a client has read too slowly"),
///         reason => println!("a session has ended: {reason}"),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed the WebSocket or sent a close packet.
    TransportClose,
    /// The transport failed, or the peer broke its rules (overlapping requests, wrong heartbeat direction, bad frames).
    TransportError,
    /// No packet came in time.
    PingTimeout,
    /// An Engine.IO packet could not be decoded.
    ParseError,
    /// This side closed the session.
    ForcedClose,
    /// This side closed the session while no GET of the peer was pending.
    ForcedServerClose,
    /// The peer did not read: its outbound queue was full, or a write made no progress in time.
    SlowConsumer,
    /// The server is shutting down.
    ServerShuttingDown,
}

impl CloseReason {
    /// Returns the reason's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ForcedServerClose => "forced server close",
            Self::SlowConsumer => "slow consumer",
            Self::ServerShuttingDown => "server shutting down",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
