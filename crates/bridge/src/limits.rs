//! [`BridgeLimits`]: times and sizes of a bridge.

use std::time::Duration;

/// Times and sizes that bound what a bridge costs, beside the [limits](kokanee_net::Limits) of its servers.
///
/// | limit | default | on breach |
/// |---|---|---|
/// | `max_dialled` | 100 connections that clients have asked for, those in the making included | `dial` fails |
/// | `max_datagram_peers` | 1,000 | datagrams of further senders are thrown away, and counted in the log |
/// | `datagram_idle_timeout` | 60 s without a datagram | the peer is closed (`idle`) |
/// | `half_open_timeout` | 0: a peer that ends its side is closed | the peer is closed |
/// | `max_message_bytes` | 64 KiB either way | from a client: `data` fails; from a peer: it is closed |
/// | `max_hold_up` | 1 s at once, 10 % of the time in the long run | the client [misses messages](crate::SlowWatcher), and gets their number |
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BridgeLimits {
    /// Number of connections that clients have asked for, at the same time. One counts from before its name is resolved
    /// until it is closed.
    pub max_dialled: usize,
    /// Number of senders of datagrams that count as peers at the same time.
    pub max_datagram_peers: usize,
    /// Time after which a sender of datagrams counts as gone.
    pub datagram_idle_timeout: Duration,
    /// Time that clients get to answer a peer that has ended its side.
    pub half_open_timeout: Duration,
    /// Size of a message in bytes, either way. As JSON, control characters take six times their size: the default leaves
    /// such a message well below half of [`Limits::max_outbound_bytes`](kokanee_server::Limits::max_outbound_bytes), so
    /// that no peer can make a client a slow consumer.
    pub max_message_bytes: usize,
    /// Time that a client that has no room for a message of a peer holds up others that have it. What it has used up comes
    /// back at a tenth of the time that passes. Beyond it, [`BridgeBuilder::slow_watcher`](crate::BridgeBuilder::slow_watcher) decides what becomes of the client.
    /// [`Duration::MAX`] makes all wait until [`Limits::write_timeout`](kokanee_server::Limits::write_timeout) ends it.
    ///
    /// Clients that are equally slow, or a single one, hold up nobody but the peer.
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
