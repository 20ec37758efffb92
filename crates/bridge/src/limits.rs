//! [`BridgeLimits`]: the limits of a bridge.

use std::time::Duration;

/// The limits of a bridge, in addition to the [limits](kokanee_net::Limits) of its servers.
///
/// | limit | default | on breach |
/// |---|---|---|
/// | `max_dialled` | 100 connections that clients have dialled, including those being established | `dial` fails |
/// | `max_datagram_peers` | 1,000 | datagrams of further senders are dropped, and counted in the log |
/// | `datagram_idle_timeout` | 60 s without a datagram | the peer is closed (`idle`) |
/// | `half_open_timeout` | 0: a peer that closes its side is closed | the peer is closed |
/// | `max_message_bytes` | 64 KiB in both directions | from a client: `data` fails; from a peer: it is closed |
/// | `max_hold_up` | 1 s at once, 10 % of the time in the long run | the client [misses messages](crate::SlowWatcher), and gets their number |
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BridgeLimits {
    /// Number of connections that clients have dialled, at the same time. A connection counts from before its name is
    /// resolved until it is closed.
    pub max_dialled: usize,
    /// Number of senders of datagrams that count as peers at the same time.
    pub max_datagram_peers: usize,
    /// Time without a datagram after which a sender counts as disconnected.
    pub datagram_idle_timeout: Duration,
    /// Time that clients get to send to a peer that has closed its side.
    pub half_open_timeout: Duration,
    /// Size of a message in bytes, in both directions. As JSON, control characters take six times their size: with the
    /// default, such a message is still well below half of
    /// [`Limits::max_outbound_bytes`](kokanee_server::Limits::max_outbound_bytes), so that no peer can make a client a
    /// slow consumer.
    pub max_message_bytes: usize,
    /// Time for which a client whose queue is full may delay other watchers of a peer. Used time is restored at a tenth
    /// of the elapsed time. Beyond the limit, [`BridgeBuilder::slow_watcher`](crate::BridgeBuilder::slow_watcher)
    /// decides what happens to the client. With [`Duration::MAX`] all others wait until
    /// [`Limits::write_timeout`](kokanee_server::Limits::write_timeout) disconnects it.
    ///
    /// Clients that are equally slow, or a single one, only delay the peer.
    pub max_hold_up: Duration,
}

impl Default for BridgeLimits {
    fn default() -> Self {
        Self {
            max_dialled: 100,
            max_datagram_peers: 1_000,
            datagram_idle_timeout: Duration::from_secs(60),
            half_open_timeout: Duration::ZERO,
            max_message_bytes: 64 * 1024,
            max_hold_up: Duration::from_secs(1),
        }
    }
}
