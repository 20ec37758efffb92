//! What a server counts, for the recorder of the crate [`metrics`](https://docs.rs/metrics) that the program installs.
//!
//! Install the recorder before the server is built: the handles of its metrics are made then, and kept. Packets and bytes are counted for
//! each thread, and reach the recorder within a second, or with `Server::publish_metrics`.
//!
//! **What it costs.** A message costs two additions to a counter of its thread; the recorder sees their sum once a second. Of handlers,
//! all events are measured as long as a thread handles fewer than 100 of them a second, then one in 64, because a clock costs more than
//! a short handler. Everything else is counted where it happens, which is not for each message.
//!
//! **Labels** have few values: reasons, transports, and the namespaces of the program. What clients choose is not a label.
//!
//! Without the feature `metrics`, the functions here are empty.

#[cfg(feature = "metrics")]
mod names;
#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;
#[cfg(feature = "metrics")]
mod timer;
#[cfg(feature = "metrics")]
mod traffic;

#[cfg(feature = "metrics")]
pub use self::names::{METRICS, Metric, MetricKind, MetricUnit};
#[cfg(not(feature = "metrics"))]
pub(crate) use self::off::{HandlerTimer, Meter, Metrics, PacketCount};
#[cfg(feature = "metrics")]
pub(crate) use self::{
    on::{Meter, Metrics},
    timer::HandlerTimer,
    traffic::PacketCount,
};

/// The result of an upgrade.
#[derive(Clone, Copy)]
pub(crate) enum Upgrade {
    Completed,
    Failed,
}

/// Why a client was not let into a namespace.
#[derive(Clone, Copy)]
pub(crate) enum SocketRefusal {
    AuthTooLarge,
    InvalidNamespace,
    InternalError,
    Middleware,
}

/// Messages and bytes, received or sent.
#[derive(Clone, Copy, Default)]
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "nothing is counted")
)]
pub(crate) struct Traffic {
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
}

impl Traffic {
    pub(crate) fn packets(packets: usize) -> Self {
        Self { packets, bytes: 0 }
    }

    pub(crate) fn bytes(bytes: usize) -> Self {
        Self { packets: 0, bytes }
    }
}
