//! The limits that bound the cost of a peer.

use std::time::Duration;

/// The limits of a server, or of a client's connection.
///
/// | limit | default | on breach |
/// |---|---|---|
/// | `max_connections` | 10,000 | a further connection is closed at once, and counted |
/// | `connect_timeout` | 10 s for all addresses of a name | [`ConnectTimeout`](crate::NetError::ConnectTimeout) |
/// | `handshake_timeout` | 10 s for TLS | connection closed |
/// | `read_timeout` | none | [`ReadTimeout`](crate::NetError::ReadTimeout) |
/// | `write_timeout` | 30 s without progress | [`WriteTimeout`](crate::NetError::WriteTimeout) |
/// | `idle_timeout` | none | [`Idle`](crate::NetError::Idle) |
/// | `max_frame_bytes` | 1,000,000 | [`FrameTooLarge`](crate::NetError::FrameTooLarge) |
/// | `max_queued_bytes` | 1 MiB | `send` waits, `try_send` fails with [`QueueFull`](crate::NetError::QueueFull) |
/// | `max_datagram_bytes` | 65,535 | dropped, with [`DatagramOverLimit`](crate::NetError::DatagramOverLimit) |
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/echo_server.md")]
/// use std::time::Duration;
/// use kokanee_net::{NetError, TcpClient};
///
/// let client = TcpClient::new(address)
///     .with_limits(|limits| limits.idle_timeout = Some(Duration::from_millis(10)));
/// let mut conn = client.connect().await?;
/// assert!(matches!(conn.recv().await, Err(NetError::Idle { .. })));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Number of connections of a server at the same time.
    pub max_connections: usize,
    /// Time in which a client's connection must be established.
    pub connect_timeout: Duration,
    /// Time in which a TLS handshake must be finished.
    pub handshake_timeout: Duration,
    /// Longest time for which one call waits for data.
    pub read_timeout: Option<Duration>,
    /// Time in which the peer must read some of the sent data.
    pub write_timeout: Option<Duration>,
    /// Longest time without data in either direction. Checked by calls that wait for data.
    pub idle_timeout: Option<Duration>,
    /// Size of a frame of a [`Framing`](crate::Framing) in bytes.
    pub max_frame_bytes: usize,
    /// Bytes that may be queued in a [`SendQueue`](crate::SendQueue), including 64 for each message.
    pub max_queued_bytes: usize,
    /// Size of a received datagram in bytes.
    pub max_datagram_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            read_timeout: None,
            write_timeout: Some(Duration::from_secs(30)),
            idle_timeout: None,
            max_frame_bytes: 1_000_000,
            max_queued_bytes: 1 << 20,
            max_datagram_bytes: 65_535,
        }
    }
}
