//! What can go wrong in a run, sorted by fault: the caller's options, the network, the server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kokanee_client::{ConnectFailure, DisconnectReason};

/// Why a run ended without a report.
///
/// A lost connection or a lost message makes the numbers of a closed loop meaningless, so the run ends with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be used.
    #[error("{url:?} is not of the form http://host:port or http://host:port/path/")]
    Url {
        /// The URL as it was given.
        url: String,
    },
    /// The host of the URL has no address.
    #[error("cannot resolve {host:?}")]
    Resolve {
        /// Host and port.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// A number in the options is zero or too large.
    #[error("{option} must be between {min} and {max}")]
    Range {
        /// The name of the option.
        option: &'static str,
        /// The smallest value that works.
        min: usize,
        /// The largest value that works.
        max: usize,
    },
    /// The event loop could not be set up or failed.
    #[error("the event loop failed")]
    EventLoop(#[source] io::Error),
    /// A connection failed.
    #[error("connection {connection} failed")]
    Connection {
        /// Number of the connection, counted from 0.
        connection: usize,
        /// What the operating system said.
        source: io::Error,
    },
    /// A client could not connect.
    #[error("connection {connection} could not be made")]
    Connect {
        /// Number of the connection, counted from 0.
        connection: usize,
        /// What the client says.
        source: Arc<ConnectFailure>,
    },
    /// A server did not do what the protocol or the contract of the load asks for.
    #[error("connection {connection}: {violation}")]
    Violation {
        /// Number of the connection, counted from 0.
        connection: usize,
        /// What the server did.
        violation: Violation,
    },
    /// Nothing arrived for too long although messages are in flight.
    #[error("no progress for {after:?}: {received} messages arrived, {missing} are missing")]
    Stalled {
        /// How long nothing arrived.
        after: Duration,
        /// Messages that arrived.
        received: u64,
        /// Messages that are still in flight.
        missing: u64,
    },
    /// The callback ended the run before all connections were open.
    #[error("interrupted before all connections were open")]
    Interrupted,
    /// The server process cannot be observed.
    #[error("cannot read the accounting of process {pid}")]
    Process {
        /// The process id.
        pid: u32,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// Why a connection failed, without its number.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Connection { source, .. } => source.to_string(),
            Self::Violation { violation, .. } => violation.to_string(),
            other => other.to_string(),
        }
    }
}

/// What a server did wrong on one connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The TCP connection ended.
    #[error("the server closed the connection")]
    Eof,
    /// A client was disconnected.
    #[error("the connection was lost: {reason}")]
    Lost {
        /// What the client says.
        reason: DisconnectReason,
    },
    /// A close frame, a close packet or a disconnect packet arrived.
    #[error("the server closed the session: {packet}")]
    Closed {
        /// The packet, shortened.
        packet: String,
    },
    /// The namespace refused the connection.
    #[error("the namespace refused the connection: {packet}")]
    Refused {
        /// The packet, shortened.
        packet: String,
    },
    /// An HTTP response has another status than the protocol asks for.
    #[error("unexpected response: {status}")]
    Status {
        /// The status line.
        status: String,
    },
    /// An HTTP response cannot be read.
    #[error("malformed http response")]
    Http,
    /// A frame has the mask bit or a reserved bit set, or a fragment is out of place.
    #[error("malformed frame")]
    Frame,
    /// A packet came where another was due.
    #[error("unexpected packet: {packet}")]
    Packet {
        /// The packet, shortened.
        packet: String,
    },
}

impl Violation {
    /// Renders at most 80 bytes of a packet for an error message.
    pub(crate) fn excerpt(packet: &[u8]) -> String {
        String::from_utf8_lossy(&packet[..packet.len().min(80)]).into_owned()
    }
}
