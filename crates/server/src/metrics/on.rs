//! What a server counts, with the feature `metrics`.
//!
//! What happens for each message is [counted for each thread](super::traffic), and reaches the recorder at an interval. Everything else
//! goes to the recorder at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kokanee_engineio::{CloseReason, Overflow, Transport};
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use parking_lot::Mutex;

use super::{
    SocketRefusal, Traffic, Upgrade,
    names::{
        CLOSED, CONNECTIONS, DROPPED_PACKETS, HANDLER_SECONDS, METRICS, MetricKind, MetricUnit,
        OPENED, OUTBOUND_BYTES, QUEUED_EVENTS, RECOVERIES, REFUSED_REQUESTS, REFUSED_SOCKETS,
        SLOW_CLIENTS, SOCKETS, UNHANDLED_EVENTS, UPGRADES,
    },
    timer::{self, HandlerTimer},
    traffic::{self, Direction},
};

const TRANSPORTS: [Transport; 2] = [Transport::Polling, Transport::WebSocket];

/// What a server counts. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    by_transport: [ByTransport; 2],
    handler_seconds: Histogram,
    queued_events: Gauge,
    outbound_bytes: Gauge,
    unhandled: Counter,
    /// What the recorder has got of the buffered bytes.
    published_bytes: Mutex<f64>,
    is_publishing: AtomicBool,
}

/// The handles of a transport.
struct ByTransport {
    connections: Gauge,
    opened: Counter,
}

impl Default for Inner {
    fn default() -> Self {
        describe();
        Self {
            by_transport: TRANSPORTS.map(ByTransport::new),
            handler_seconds: histogram!(HANDLER_SECONDS.name),
            queued_events: gauge!(QUEUED_EVENTS.name),
            outbound_bytes: gauge!(OUTBOUND_BYTES.name),
            unhandled: counter!(UNHANDLED_EVENTS.name),
            published_bytes: Mutex::default(),
            is_publishing: AtomicBool::new(false),
        }
    }
}

impl ByTransport {
    fn new(transport: Transport) -> Self {
        let transport = transport.as_str();
        Self {
            connections: gauge!(CONNECTIONS.name, "transport" => transport),
            opened: counter!(OPENED.name, "transport" => transport),
        }
    }
}

/// Tells the recorder what the metrics mean.
fn describe() {
    for metric in METRICS {
        let unit = match metric.unit {
            MetricUnit::Count => Unit::Count,
            MetricUnit::Bytes => Unit::Bytes,
            MetricUnit::Seconds => Unit::Seconds,
        };
        match metric.kind {
            MetricKind::Counter => describe_counter!(metric.name, unit, metric.description),
            MetricKind::Gauge => describe_gauge!(metric.name, unit, metric.description),
            MetricKind::Histogram => describe_histogram!(metric.name, unit, metric.description),
        }
    }
}

fn index(transport: Transport) -> usize {
    match transport {
        Transport::Polling => 0,
        Transport::WebSocket => 1,
    }
}

impl Inner {
    fn publish(&self, outbound_bytes: usize) {
        traffic::publish();
        // By the difference, because several servers may share the gauge.
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let bytes = outbound_bytes as f64;
        let mut published = self.published_bytes.lock();
        self.outbound_bytes.increment(bytes - *published);
        *published = bytes;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.publish(0);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[expect(
    clippy::unused_self,
    reason = "whoever counts need not know what has a kept handle"
)]
impl Metrics {
    /// Counts a new connection, until its meter is closed or dropped.
    pub(crate) fn open(&self, transport: Transport) -> Meter {
        let handles = &self.0.by_transport[index(transport)];
        handles.opened.increment(1);
        handles.connections.increment(1);
        Meter {
            metrics: self.clone(),
            transport: Some(transport),
            queued: 0,
            dropped: 0,
        }
    }

    /// Hands to the recorder what the threads have counted.
    pub(crate) fn publish(&self, outbound_bytes: usize) {
        self.0.publish(outbound_bytes);
    }

    /// Returns the right to [publish](Self::publish) at an interval, unless somebody has it.
    pub(crate) fn begin_publishing(&self) -> Option<Publishing> {
        let others = self.0.is_publishing.swap(true, Ordering::AcqRel);
        (!others).then(|| Publishing(Arc::clone(&self.0)))
    }

    /// Returns a timer for an event that is about to be handled, if it is to be measured.
    #[inline]
    pub(crate) fn time_event(&self) -> Option<Arc<HandlerTimer>> {
        timer::is_due().then(|| HandlerTimer::start(&self.0.handler_seconds))
    }

    #[inline]
    pub(crate) fn sent(&self, transport: Transport, traffic: impl FnOnce() -> Traffic) {
        traffic::count(transport, Direction::Sent, traffic());
    }

    #[cold]
    pub(crate) fn volatile_dropped(&self) {
        counter!(DROPPED_PACKETS.name, "policy" => "volatile").increment(1);
    }

    #[cold]
    pub(crate) fn request_refused(&self, reason: &'static str) {
        counter!(REFUSED_REQUESTS.name, "reason" => reason).increment(1);
    }

    #[cold]
    pub(crate) fn socket_refused(&self, refusal: SocketRefusal) {
        let reason = match refusal {
            SocketRefusal::AuthTooLarge => "auth too large",
            SocketRefusal::InvalidNamespace => "invalid namespace",
            SocketRefusal::InternalError => "internal error",
            SocketRefusal::Middleware => "middleware",
        };
        counter!(REFUSED_SOCKETS.name, "reason" => reason).increment(1);
    }

    #[cold]
    pub(crate) fn event_unhandled(&self) {
        self.0.unhandled.increment(1);
    }

    /// Counts a socket of a namespace, `None` for one that was made for a client.
    pub(crate) fn socket_connected(&self, namespace: Option<&str>) {
        sockets(namespace).increment(1);
    }

    pub(crate) fn socket_disconnected(&self, namespace: Option<&str>) {
        sockets(namespace).decrement(1);
    }

    pub(crate) fn recovered(&self) {
        counter!(RECOVERIES.name, "result" => "recovered").increment(1);
    }

    pub(crate) fn not_recovered(&self, reason: &'static str) {
        counter!(RECOVERIES.name, "result" => reason).increment(1);
    }
}

fn sockets(namespace: Option<&str>) -> Gauge {
    // A name begins with a slash.
    let namespace = namespace.unwrap_or("other").to_owned();
    gauge!(SOCKETS.name, "namespace" => namespace)
}

/// The right to publish, until it is dropped.
pub(crate) struct Publishing(Arc<Inner>);

impl Publishing {
    pub(crate) fn end(self) {
        drop(self);
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.0.is_publishing.store(false, Ordering::Release);
    }
}

/// Counts what happens to one connection.
#[derive(Debug)]
pub(crate) struct Meter {
    metrics: Metrics,
    /// `None` when it is closed.
    transport: Option<Transport>,
    /// Events that wait for handlers, as far as the gauge knows.
    queued: usize,
    dropped: u64,
}

#[expect(clippy::unused_self, reason = "see `Metrics`")]
impl Meter {
    #[cold]
    pub(crate) fn upgrade(&mut self, upgrade: Upgrade) {
        let result = match upgrade {
            Upgrade::Completed => "completed",
            Upgrade::Failed => "failed",
        };
        counter!(UPGRADES.name, "result" => result).increment(1);
        if let (Upgrade::Completed, Some(Transport::Polling)) = (upgrade, self.transport) {
            let [polling, websocket] = &self.metrics.0.by_transport;
            polling.connections.decrement(1);
            websocket.connections.increment(1);
            self.transport = Some(Transport::WebSocket);
        }
    }

    #[cold]
    pub(crate) fn closed(&mut self, reason: CloseReason) {
        self.end(reason.as_str());
        if reason == CloseReason::SlowConsumer {
            counter!(SLOW_CLIENTS.name, "result" => "disconnected").increment(1);
        }
    }

    fn end(&mut self, reason: &'static str) {
        let Some(transport) = self.transport.take() else {
            return;
        };
        self.metrics.0.by_transport[index(transport)]
            .connections
            .decrement(1);
        let labels = [("transport", transport.as_str()), ("reason", reason)];
        counter!(CLOSED.name, &labels).increment(1);
        self.queued(0);
    }

    #[inline]
    pub(crate) fn received(&self, transport: Transport, traffic: impl FnOnce() -> Traffic) {
        traffic::count(transport, Direction::Received, traffic());
    }

    #[inline]
    pub(crate) fn sent(&self, transport: Transport, traffic: impl FnOnce() -> Traffic) {
        self.metrics.sent(transport, traffic);
    }

    /// Says how many events wait for handlers.
    #[inline]
    pub(crate) fn queued(&mut self, events: usize) {
        if events != self.queued {
            self.change_queued(events);
        }
    }

    #[inline(never)]
    fn change_queued(&mut self, events: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let (before, after) = (self.queued as f64, events as f64);
        self.metrics.0.queued_events.increment(after - before);
        self.queued = events;
    }

    /// Says how many messages were dropped since the connection was opened.
    #[cold]
    pub(crate) fn drops(&mut self, policy: Overflow, count: u64) {
        let policy = match policy {
            Overflow::DropOldest => "oldest",
            Overflow::DropNewest => "newest",
            // It drops nothing.
            Overflow::Disconnect => return,
        };
        let more = count.saturating_sub(self.dropped);
        counter!(DROPPED_PACKETS.name, "policy" => policy).increment(more);
        self.dropped = self.dropped.max(count);
    }

    /// Counts a client of which messages are dropped.
    #[cold]
    pub(crate) fn dropping(&self) {
        counter!(SLOW_CLIENTS.name, "result" => "dropping").increment(1);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end("task dropped");
    }
}
