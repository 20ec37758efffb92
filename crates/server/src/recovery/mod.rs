//! Connection state recovery: a client whose connection was lost comes back as the same socket, with its rooms, its data and
//! the events that it has missed. Spec: Socket.IO, "Connection state recovery".
//!
//! [`Recoveries`] is the state of a namespace: the log of what was sent, and the sockets that have gone. Each socket has a
//! [`Recovering`]. What goes out is stored and sent under one lock, so that every client receives events in the order of their
//! offsets: what a client received last says all about what it has received.
//!
//! ```text
//! Socket::emit ──────────▶ send ──────┐ the offset is the last argument
//! BroadcastOperator::emit ▶ broadcast ┴──▶ Log (once) and the mailboxes of the recipients
//! connection lost ────────▶ leave: id, rooms, data are kept under the client's secret `pid`
//! CONNECT with pid, offset ▶ claim: taken out, for one use ──▶ connect: what it has missed, then it is a recipient again
//! ```

mod sessions;
mod socket;

use std::time::Duration;

use kokanee_cluster::LogLimits;

pub(crate) use self::{
    sessions::{Gone, Recoveries},
    socket::{Left, Recoverable, Recovering, SocketData},
};

/// Sets what connection state recovery keeps, for how long, and for whom; see
/// [`ServerBuilder::recovery`](crate::ServerBuilder::recovery).
///
/// ```
/// # use std::time::Duration;
/// use kokanee_server::{Recovery, Server};
///
/// let io = Server::builder()
///     .recovery(Recovery::default().max_disconnection(Duration::from_secs(30)).max_bytes(16 << 20))
///     .build();
/// ```
#[derive(Debug, Clone)]
pub struct Recovery {
    max_disconnection: Duration,
    skip_middlewares: bool,
    max_packets: usize,
    max_bytes: usize,
    max_sessions: usize,
    max_missed_bytes: usize,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            max_disconnection: Duration::from_secs(120),
            skip_middlewares: true,
            max_packets: 1_000_000,
            max_bytes: 64 * 1024 * 1024,
            max_sessions: 100_000,
            max_missed_bytes: 1024 * 1024,
        }
    }
}

impl Recovery {
    /// Sets for how long a client may be away. Default 2 minutes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let recovery = kokanee_server::Recovery::default().max_disconnection(Duration::from_secs(30));
    /// ```
    #[must_use]
    pub fn max_disconnection(mut self, time: Duration) -> Self {
        self.max_disconnection = time;
        self
    }

    /// Sets whether a client that is recovered passes without the middlewares of its namespace. Default true. With false they
    /// run, and may refuse a client that must not come back; [`Socket::recovered`](crate::Socket::recovered) is true there.
    ///
    /// ```
    /// let recovery = kokanee_server::Recovery::default().skip_middlewares(false);
    /// ```
    #[must_use]
    pub fn skip_middlewares(mut self, skip: bool) -> Self {
        self.skip_middlewares = skip;
        self
    }

    /// Sets how many events a namespace stores at most. Default 1,000,000.
    ///
    /// ```
    /// let recovery = kokanee_server::Recovery::default().max_packets(10_000);
    /// ```
    #[must_use]
    pub fn max_packets(mut self, packets: usize) -> Self {
        self.max_packets = packets;
        self
    }

    /// Sets how many bytes of memory the stored events of a namespace take at most. Default 64 MiB. Besides its text an event
    /// needs about 350 bytes.
    ///
    /// ```
    /// let recovery = kokanee_server::Recovery::default().max_bytes(16 * 1024 * 1024);
    /// ```
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many clients of a namespace that have gone are kept at most. Default 100,000. Beyond that the first that has
    /// gone is forgotten.
    ///
    /// ```
    /// let recovery = kokanee_server::Recovery::default().max_sessions(5_000);
    /// ```
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Sets how many bytes a client may have missed. Default 1 MiB. One that has missed more is not recovered: sending it all
    /// that would take longer than a new start.
    ///
    /// ```
    /// let recovery = kokanee_server::Recovery::default().max_missed_bytes(100_000);
    /// ```
    #[must_use]
    pub fn max_missed_bytes(mut self, bytes: usize) -> Self {
        self.max_missed_bytes = bytes;
        self
    }

    /// Returns how often what is too old is forgotten.
    pub(crate) fn sweep_interval(&self) -> Duration {
        let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(30));
        (self.max_disconnection / 4).clamp(shortest, longest)
    }

    fn log_limits(&self) -> LogLimits {
        LogLimits {
            max_packets: self.max_packets,
            max_bytes: self.max_bytes,
            // The time of an event is that of the sweep before it.
            max_age: self.max_disconnection + self.sweep_interval(),
        }
    }
}
