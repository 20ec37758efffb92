//! The metrics of a server: every name, with its kind, unit, labels and meaning. No other code spells a name.

/// Describes a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, as the recorder gets it. Prometheus adds `_bucket`, `_sum` and `_count` to that of a histogram.
    pub name: &'static str,
    /// What it does.
    pub kind: MetricKind,
    /// The unit of its value.
    pub unit: MetricUnit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub description: &'static str,
}

/// What a metric does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It grows and shrinks.
    Gauge,
    /// It is a distribution.
    Histogram,
}

/// The unit of a metric's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricUnit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

macro_rules! metrics {
    ($($ident:ident = $kind:ident, $name:literal, $unit:ident, [$($label:literal),*], $description:literal;)*) => {
        $(
            pub(super) const $ident: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: MetricUnit::$unit,
                labels: &[$($label),*],
                description: $description,
            };
        )*

        /// All metrics of a server.
        pub const METRICS: &[Metric] = &[$($ident),*];
    };
}

metrics! {
    CONNECTIONS = Gauge, "kokanee_connections", Count, ["transport"],
        "Open connections, by the transport that they use now.";
    OPENED = Counter, "kokanee_connections_opened_total", Count, ["transport"],
        "Connections that were opened, by their first transport.";
    CLOSED = Counter, "kokanee_connections_closed_total", Count, ["transport", "reason"],
        "Connections that have ended, by their last transport and the reason.";
    UPGRADES = Counter, "kokanee_upgrades_total", Count, ["result"],
        "Upgrades from polling to WebSocket: completed, or failed.";
    RECEIVED_PACKETS = Counter, "kokanee_received_packets_total", Count, ["transport"],
        "Messages received: packets of Socket.IO, and their attachments.";
    RECEIVED_BYTES = Counter, "kokanee_received_bytes_total", Bytes, ["transport"],
        "Bytes received: frames of WebSockets, bodies of POST requests.";
    SENT_PACKETS = Counter, "kokanee_sent_packets_total", Count, ["transport"],
        "Messages that were written or queued for a client: packets of Socket.IO, and their attachments.";
    SENT_BYTES = Counter, "kokanee_sent_bytes_total", Bytes, ["transport"],
        "Bytes sent: frames of WebSockets, bodies of the answers to GET requests.";
    HANDLER_SECONDS = Histogram, "kokanee_handler_seconds", Seconds, [],
        "Time from the start of an event's handlers to the end of the last one; with many events, of one in 64.";
    QUEUED_EVENTS = Gauge, "kokanee_queued_events", Count, [],
        "Events that wait for handlers.";
    OUTBOUND_BYTES = Gauge, "kokanee_outbound_bytes", Bytes, [],
        "Bytes that are buffered for clients.";
    DROPPED_PACKETS = Counter, "kokanee_dropped_packets_total", Count, ["policy"],
        "Messages that were not sent to slow clients: the oldest, the newest, or volatile ones.";
    SLOW_CLIENTS = Counter, "kokanee_slow_clients_total", Count, ["result"],
        "Clients that read too slowly: disconnected, or dropping messages.";
    REFUSED_REQUESTS = Counter, "kokanee_refused_requests_total", Count, ["reason"],
        "HTTP requests that were refused.";
    REFUSED_SOCKETS = Counter, "kokanee_refused_sockets_total", Count, ["reason"],
        "Clients that were not let into a namespace.";
    UNHANDLED_EVENTS = Counter, "kokanee_unhandled_events_total", Count, [],
        "Events without a handler.";
    SOCKETS = Gauge, "kokanee_sockets", Count, ["namespace"],
        "Connected sockets; those of namespaces that were made for clients have the label other.";
    RECOVERIES = Counter, "kokanee_recoveries_total", Count, ["result"],
        "Clients that came back and asked for what they have missed: recovered, or the reason why not.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_say_what_prometheus_expects() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len(), "each name once");
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("kokanee_"), "{name}");
            assert!(
                name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'),
                "{name}"
            );
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            let base = name.trim_end_matches("_total");
            assert_eq!(
                base.ends_with("_bytes"),
                metric.unit == MetricUnit::Bytes,
                "{name}"
            );
            assert_eq!(
                base.ends_with("_seconds"),
                metric.unit == MetricUnit::Seconds,
                "{name}"
            );
            assert!(metric.description.ends_with('.'), "{name}");
        }
    }
}
