//! The times and limits of a server's sessions, and how a message is to be sent.

use std::time::Duration;

#[cfg(doc)]
use crate::{close::CloseReason, output::Output};

/// The times and limits of a session. One value is shared by all sessions of a server.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Time between a pong and the next ping. Default 25 s.
    pub ping_interval: Duration,
    /// Time in which a pong must come. Default 20 s.
    pub ping_timeout: Duration,
    /// Time in which an upgrade must be finished. Default 10 s.
    pub upgrade_timeout: Duration,
    /// Time in which a polling client must fetch the end of a session that the server closed. Default 30 s.
    pub close_timeout: Duration,
    /// Time in which a client that gave up its GET must send another one. Default 5 s.
    pub aborted_poll_timeout: Duration,
    /// Time in which a WebSocket peer must read some of the pending bytes. Default 10 s.
    pub write_timeout: Duration,
    /// Bytes that may be queued for one client, including 64 for each packet. Default 1 MiB.
    pub max_outbound_bytes: usize,
    /// What happens to a message that exceeds the limit. Default: [`Overflow::Disconnect`].
    pub overflow: Overflow,
    /// Whether a polling session may move to a WebSocket. Default true.
    pub allow_upgrades: bool,
    /// Whether each packet is an [`Output::Record`], for a log. Default false.
    pub records: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(30),
            aborted_poll_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            max_outbound_bytes: 1 << 20,
            overflow: Overflow::Disconnect,
            allow_upgrades: true,
            records: false,
        }
    }
}

/// Says what happens when more than the limit `max_outbound_bytes` would be queued for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Disconnects the client with [`CloseReason::SlowConsumer`]: up to then it has missed nothing.
    #[default]
    Disconnect,
    /// Drops the oldest queued messages, and counts them as `dropped`.
    DropOldest,
    /// Drops the new message, and counts it as `dropped`.
    DropNewest,
}

/// How a message is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// Drop the message if the client cannot take it at once.
    pub volatile: bool,
    /// Allow compression.
    pub compress: bool,
    /// The client waits for the message (an acknowledgement, the answer to CONNECT): it is never dropped and never ends
    /// the session, however much is queued. Instead, the sender stops reading from the client while its queue is full.
    pub owed: bool,
}

impl SendOptions {
    /// The options for a packet that the client waits for.
    pub const OWED: Self = Self {
        volatile: false,
        compress: true,
        owed: true,
    };
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            volatile: false,
            compress: true,
            owed: false,
        }
    }
}
