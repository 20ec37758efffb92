//! What a server counts, with the feature `metrics`.
//!
//! What happens for each message is added to a [`Shard`], of which each thread has its own; [`Metrics::publish`] hands the sums to the
//! recorder. Everything else goes to the recorder at once.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
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
        OPENED, OUTBOUND_BYTES, QUEUED_EVENTS, RECEIVED_BYTES, RECEIVED_PACKETS, RECOVERIES,
        REFUSED_REQUESTS, REFUSED_SOCKETS, SENT_BYTES, SENT_PACKETS, SLOW_CLIENTS, SOCKETS,
        UNHANDLED_EVENTS, UPGRADES,
    },
};
use crate::clock;

/// More threads share shards.
const SHARDS: usize = 16;
const TRANSPORTS: [Transport; 2] = [Transport::Polling, Transport::WebSocket];

/// What a server counts. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    shards: [Shard; SHARDS],
    by_transport: [ByTransport; 2],
    handler_seconds: Histogram,
    queued_events: Gauge,
    outbound_bytes: Gauge,
    unhandled: Counter,
    published: Mutex<Published>,
    is_publishing: AtomicBool,
}

/// What a thread has counted.
#[derive(Default)]
#[repr(align(128))]
struct Shard([Counts; 2]);

/// Messages and bytes of a transport.
#[derive(Default)]
struct Counts {
    received: AtomicTraffic,
    sent: AtomicTraffic,
}

#[derive(Default)]
struct AtomicTraffic {
    packets: AtomicUsize,
    bytes: AtomicUsize,
}

impl AtomicTraffic {
    #[inline]
    fn add(&self, traffic: Traffic) {
        self.packets.fetch_add(traffic.packets, Ordering::Relaxed);
        self.bytes.fetch_add(traffic.bytes, Ordering::Relaxed);
    }

    fn add_to(&self, sum: &mut Traffic) {
        sum.packets = sum
            .packets
            .wrapping_add(self.packets.load(Ordering::Relaxed));
        sum.bytes = sum.bytes.wrapping_add(self.bytes.load(Ordering::Relaxed));
    }
}

/// The handles of a transport.
struct ByTransport {
    connections: Gauge,
    opened: Counter,
    received: TrafficCounters,
    sent: TrafficCounters,
}

struct TrafficCounters {
    packets: Counter,
    bytes: Counter,
}

impl TrafficCounters {
    /// Hands to the recorder what has been added since `last`.
    fn publish(&self, now: Traffic, last: &mut Traffic) {
        let increase = |now: usize, last: usize| now.wrapping_sub(last) as u64;
        self.packets.increment(increase(now.packets, last.packets));
        self.bytes.increment(increase(now.bytes, last.bytes));
        *last = now;
    }
}

/// What the recorder has got: received and sent, by transport; and the buffered bytes.
#[derive(Default)]
struct Published {
    traffic: [[Traffic; 2]; 2],
    outbound_bytes: f64,
}

impl Default for Inner {
    fn default() -> Self {
        describe();
        Self {
            shards: Default::default(),
            by_transport: TRANSPORTS.map(ByTransport::new),
            handler_seconds: histogram!(HANDLER_SECONDS.name),
            queued_events: gauge!(QUEUED_EVENTS.name),
            outbound_bytes: gauge!(OUTBOUND_BYTES.name),
            unhandled: counter!(UNHANDLED_EVENTS.name),
            published: Mutex::default(),
            is_publishing: AtomicBool::new(false),
        }
    }
}

impl ByTransport {
    fn new(transport: Transport) -> Self {
        let transport = transport.as_str();
        let counters = |packets: &'static str, bytes: &'static str| TrafficCounters {
            packets: counter!(packets, "transport" => transport),
            bytes: counter!(bytes, "transport" => transport),
        };
        Self {
            connections: gauge!(CONNECTIONS.name, "transport" => transport),
            opened: counter!(OPENED.name, "transport" => transport),
            received: counters(RECEIVED_PACKETS.name, RECEIVED_BYTES.name),
            sent: counters(SENT_PACKETS.name, SENT_BYTES.name),
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
    /// The shard of this thread.
    #[inline]
    fn shard(&self) -> &Shard {
        &self.shards[SHARD.get() % SHARDS]
    }

    fn publish(&self, outbound_bytes: usize) {
        let mut published = self.published.lock();
        for (index, handles) in self.by_transport.iter().enumerate() {
            let (mut received, mut sent) = (Traffic::default(), Traffic::default());
            for Shard(shard) in &self.shards {
                shard[index].received.add_to(&mut received);
                shard[index].sent.add_to(&mut sent);
            }
            let [last_received, last_sent] = &mut published.traffic[index];
            handles.received.publish(received, last_received);
            handles.sent.publish(sent, last_sent);
        }
        // By the difference, because several servers may share the gauge.
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        let bytes = outbound_bytes as f64;
        self.outbound_bytes
            .increment(bytes - published.outbound_bytes);
        published.outbound_bytes = bytes;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.publish(0);
    }
}

thread_local! {
    static SHARD: Cell<usize> = Cell::new(next_shard());
    static SAMPLER: Sampler = const { Sampler::new() };
}

fn next_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
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
    pub(crate) fn time_event(&self) -> Option<HandlerTimer> {
        SAMPLER
            .with(Sampler::is_due)
            .then(|| HandlerTimer::start(&self.0.handler_seconds))
    }

    #[inline]
    pub(crate) fn sent(&self, transport: Transport, traffic: impl FnOnce() -> Traffic) {
        self.0.shard().0[index(transport)].sent.add(traffic());
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
        let traffic = traffic();
        if traffic.bytes > 0 || traffic.packets > 0 {
            let shard = self.metrics.0.shard();
            shard.0[index(transport)].received.add(traffic);
        }
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

/// Decides which events are measured.
struct Sampler {
    /// Events until the next one that is measured.
    left: Cell<u32>,
    every: Cell<u32>,
    /// When the second began, and how many events it had.
    since: Cell<Option<Instant>>,
    events: Cell<u32>,
}

/// Events of a thread in a second beyond which not all are measured.
const MEASURED_PER_SECOND: u32 = 100;
const SAMPLE: u32 = 64;

impl Sampler {
    const fn new() -> Self {
        Self {
            left: Cell::new(1),
            every: Cell::new(1),
            since: Cell::new(None),
            events: Cell::new(0),
        }
    }

    #[inline]
    fn is_due(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        left == 0 && {
            self.plan(clock::now());
            true
        }
    }

    /// Decides when the next event is measured.
    #[inline(never)]
    fn plan(&self, now: Instant) {
        let events = self.events.get() + self.every.get();
        let since = self.since.get().unwrap_or(now);
        let is_over = now.saturating_duration_since(since) >= Duration::from_secs(1);
        if events > MEASURED_PER_SECOND {
            self.every.set(SAMPLE);
        } else if is_over {
            self.every.set(1);
        }
        self.events.set(if is_over { 0 } else { events });
        self.since.set(Some(if is_over { now } else { since }));
        self.left.set(self.every.get());
    }
}

/// Measures the handlers of an event, until it is dropped.
pub(crate) struct HandlerTimer {
    since: Instant,
    seconds: Histogram,
}

impl HandlerTimer {
    #[inline(never)]
    fn start(seconds: &Histogram) -> Self {
        Self {
            since: clock::now(),
            seconds: seconds.clone(),
        }
    }
}

impl Drop for HandlerTimer {
    fn drop(&mut self) {
        let time = clock::now().saturating_duration_since(self.since);
        self.seconds.record(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of the events are measured that come at this interval.
    fn measured(sampler: &Sampler, now: &mut Instant, events: u32, interval: Duration) -> u32 {
        (0..events)
            .filter(|_| {
                *now += interval;
                let left = sampler.left.get() - 1;
                sampler.left.set(left);
                if left == 0 {
                    sampler.plan(*now);
                }
                left == 0
            })
            .count()
            .try_into()
            .expect("few")
    }

    #[test]
    fn few_events_are_all_measured_and_of_many_one_in_64() {
        let (sampler, mut now) = (Sampler::new(), Instant::now());
        let slow = Duration::from_millis(50);
        assert_eq!(measured(&sampler, &mut now, 1000, slow), 1000);
        let fast = Duration::from_micros(10);
        let many = measured(&sampler, &mut now, 64_000, fast);
        assert!((1000..1200).contains(&many), "{many}");
        // The change is noticed at the next one that is measured.
        measured(&sampler, &mut now, 2 * SAMPLE, slow);
        assert_eq!(measured(&sampler, &mut now, 1000, slow), 1000);
    }
}
