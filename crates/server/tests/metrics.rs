//! What the server counts, as a recorder of metrics gets it.

mod support;

use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use kokanee_server::{
    ConnectError, Data, Overflow, Recovery, Server, ServerBuilder, Socket,
    metrics::{METRICS, MetricKind},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::{Client, TestServer, http, within};

/// The recorder is the process's, so one test at a time has it.
static RECORDER: LazyLock<Mutex<Snapshotter>> = LazyLock::new(|| {
    let recorder = DebuggingRecorder::new();
    let values = recorder.snapshotter();
    recorder.install().expect("the only recorder");
    Mutex::new(values)
});

/// A server whose metrics are recorded.
struct Bed {
    server: TestServer,
    values: BTreeMap<String, f64>,
    recorder: MutexGuard<'static, Snapshotter>,
}

impl Bed {
    async fn new(builder: ServerBuilder, prepare: impl FnOnce(&Server)) -> Self {
        let recorder = RECORDER.lock().await;
        // What the tests before have left.
        drop(recorder.snapshot());
        let io = builder.build();
        prepare(&io);
        Self {
            server: TestServer::start_with(io).await,
            values: BTreeMap::new(),
            recorder,
        }
    }

    /// Takes what was counted since the last time.
    fn take(&mut self) {
        self.server.io.publish_metrics();
        for (key, _, _, value) in self.recorder.snapshot().into_vec() {
            let key = key.key();
            let labels = key
                .labels()
                .map(|label| format!(" {}={}", label.key(), label.value()));
            let name = std::iter::once(key.name().to_owned())
                .chain(labels)
                .collect();
            let known = self.values.entry(name).or_default();
            #[expect(clippy::cast_precision_loss, reason = "they are small")]
            match value {
                DebugValue::Counter(count) => *known += count as f64,
                // A snapshot resets it.
                DebugValue::Gauge(change) => *known += change.into_inner(),
                DebugValue::Histogram(values) => *known += values.len() as f64,
            }
        }
    }

    fn value(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or_default()
    }

    /// Waits until these metrics have these values.
    async fn expect(&mut self, expected: &[(&str, f64)]) {
        let wait = async {
            loop {
                self.take();
                let is_equal =
                    |&(name, value): &(&str, f64)| self.value(name).to_bits() == value.to_bits();
                if expected.iter().all(is_equal) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let is_equal = tokio::time::timeout(support::LIMIT, wait).await.is_ok();
        assert!(is_equal, "{expected:?} is not in {:#?}", self.values);
    }
}

fn echo(io: &Server) {
    io.on("echo", async |socket: Socket, Data(text): Data<String>| {
        socket.emit("echo", text).await
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_packets_and_handlers_are_counted_by_transport() {
    let mut bed = Bed::new(Server::builder(), echo).await;
    let mut websocket = bed.server.websocket("EIO=4").await;
    let open = websocket.text().await;
    websocket.send("40").await;
    let accepted = websocket.text().await;
    bed.expect(&[
        ("kokanee_connections transport=websocket", 1.0),
        ("kokanee_connections_opened_total transport=websocket", 1.0),
        ("kokanee_sockets namespace=/", 1.0),
        ("kokanee_received_packets_total transport=websocket", 1.0),
        ("kokanee_sent_packets_total transport=websocket", 1.0),
    ])
    .await;
    let packet = r#"42["echo","abc"]"#;
    for _ in 0..10 {
        websocket.send(packet).await;
        assert_eq!(websocket.text().await, packet);
    }
    // The header of a short frame has 2 bytes, and 4 for the mask of a client.
    let received = 6 + "40".len() + 10 * (6 + packet.len());
    let sent = 2 + open.len() + 2 + accepted.len() + 10 * (2 + packet.len());
    #[expect(clippy::cast_precision_loss, reason = "they are small")]
    bed.expect(&[
        ("kokanee_received_packets_total transport=websocket", 11.0),
        ("kokanee_sent_packets_total transport=websocket", 11.0),
        (
            "kokanee_received_bytes_total transport=websocket",
            received as f64,
        ),
        ("kokanee_sent_bytes_total transport=websocket", sent as f64),
        ("kokanee_handler_seconds", 10.0),
    ])
    .await;
    websocket.send_close(1000).await;
    bed.expect(&[
        ("kokanee_connections transport=websocket", 0.0),
        (
            "kokanee_connections_closed_total transport=websocket reason=transport close",
            1.0,
        ),
        ("kokanee_sockets namespace=/", 0.0),
        ("kokanee_outbound_bytes", 0.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_moves_the_connection_and_one_that_fails_does_not() {
    let mut bed = Bed::new(Server::builder(), echo).await;
    let mut polling = bed.server.open_polling().await;
    polling.join().await;
    polling.send("42[\"echo\",\"abc\"]").await;
    assert_eq!(polling.poll().await, "42[\"echo\",\"abc\"]");
    bed.expect(&[
        ("kokanee_connections transport=polling", 1.0),
        ("kokanee_received_packets_total transport=polling", 2.0),
        ("kokanee_received_bytes_total transport=polling", 18.0),
        ("kokanee_sent_packets_total transport=polling", 2.0),
    ])
    .await;
    let mut failing = bed.server.probed(&polling.sid).await;
    failing.send_close(1000).await;
    bed.expect(&[("kokanee_upgrades_total result=failed", 1.0)])
        .await;
    let mut websocket = bed.server.probed(&polling.sid).await;
    websocket.send("5").await;
    bed.expect(&[
        ("kokanee_upgrades_total result=completed", 1.0),
        ("kokanee_connections transport=polling", 0.0),
        ("kokanee_connections transport=websocket", 1.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_events_without_a_handler_are_counted() {
    let mut bed = Bed::new(Server::builder(), |io| {
        echo(io);
        io.of("/closed")
            .middleware(async |_: Socket| Err::<(), _>(ConnectError::new("a text for the client")));
    })
    .await;
    let mut client = Client::connect(&bed.server).await;
    client.emit("unknown", json!([])).await;
    client
        .join("/nowhere", None)
        .await
        .expect_err("no such namespace");
    client
        .join("/closed", None)
        .await
        .expect_err("a middleware");
    let answer = bed
        .server
        .get("/socket.io/?EIO=4&transport=carrier-pigeon")
        .await;
    assert_eq!(answer.status, 400);
    let answer = bed
        .server
        .get("/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA")
        .await;
    assert_eq!(answer.status, 400);
    bed.expect(&[
        ("kokanee_unhandled_events_total", 1.0),
        (
            "kokanee_refused_sockets_total reason=invalid namespace",
            1.0,
        ),
        ("kokanee_refused_sockets_total reason=middleware", 1.0),
        (
            "kokanee_refused_requests_total reason=transport unknown",
            1.0,
        ),
        ("kokanee_refused_requests_total reason=session unknown", 1.0),
        ("kokanee_sockets namespace=/", 1.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_and_what_they_miss_are_counted() {
    let builder = Server::builder().with_limits(|limits| {
        limits.max_outbound_bytes = 10_000;
        limits.overflow = Overflow::DropOldest;
    });
    let mut bed = Bed::new(builder, echo).await;
    let mut polling = bed.server.open_polling().await;
    polling.join().await;
    let text = "x".repeat(1000);
    for _ in 0..30 {
        bed.server.io.emit("news", &text).await.expect("sent");
    }
    bed.expect(&[("kokanee_slow_clients_total result=dropping", 1.0)])
        .await;
    bed.take();
    let waiting = bed.value("kokanee_outbound_bytes");
    assert!((1000.0..=10_000.0).contains(&waiting), "{waiting}");
    let kept = polling.poll().await.matches("news").count();
    #[expect(clippy::cast_precision_loss, reason = "they are few")]
    let dropped = (30 - kept) as f64;
    bed.expect(&[
        ("kokanee_dropped_packets_total policy=oldest", dropped),
        ("kokanee_outbound_bytes", 0.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_fetches_is_a_slow_one() {
    let builder = Server::builder().with_limits(|limits| limits.max_outbound_bytes = 10_000);
    let mut bed = Bed::new(builder, echo).await;
    let mut polling = bed.server.open_polling().await;
    polling.join().await;
    let text = "x".repeat(1000);
    for _ in 0..12 {
        bed.server.io.emit("news", &text).await.expect("sent");
    }
    bed.expect(&[
        ("kokanee_slow_clients_total result=disconnected", 1.0),
        (
            "kokanee_connections_closed_total transport=polling reason=slow consumer",
            1.0,
        ),
        ("kokanee_connections transport=polling", 0.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_is_measured_to_its_end_and_others_are_queued() {
    static GO: OnceLock<tokio::sync::Semaphore> = OnceLock::new();
    let go = GO.get_or_init(|| tokio::sync::Semaphore::new(0));
    let mut bed = Bed::new(Server::builder(), |io| {
        io.on("wait", async || {
            go.acquire().await.expect("open").forget();
        });
    })
    .await;
    let mut client = Client::connect(&bed.server).await;
    for _ in 0..3 {
        client.emit("wait", json!([])).await;
    }
    bed.expect(&[
        ("kokanee_queued_events", 2.0),
        ("kokanee_handler_seconds", 0.0),
    ])
    .await;
    go.add_permits(3);
    bed.expect(&[
        ("kokanee_queued_events", 0.0),
        ("kokanee_handler_seconds", 3.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_back_are_counted() {
    let builder = Server::builder().recovery(Recovery::default());
    let mut bed = Bed::new(builder, echo).await;
    let joined = async |auth: &str| {
        let mut client = Client::open(&bed.server).await;
        client.websocket().send(&format!("40{auth}")).await;
        let accepted = client.receive(|packet| packet.kind == '0').await.data;
        (client, accepted["pid"].as_str().expect("a pid").to_owned())
    };
    let (client, pid) = joined("").await;
    client.into_websocket().reset();
    let auth = json!({ "pid": pid }).to_string();
    let (_client, _) = within("the client is back", joined(&auth)).await;
    let (_other, _) = joined(r#"{"pid":"AAAAAAAAAAAAAAAAAAAA"}"#).await;
    bed.expect(&[
        ("kokanee_recoveries_total result=recovered", 1.0),
        ("kokanee_recoveries_total result=unknown", 1.0),
        ("kokanee_sockets namespace=/", 2.0),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_clients_choose_are_one_label() {
    let builder = Server::builder().open_namespaces(10, |_| {});
    let mut bed = Bed::new(builder, echo).await;
    let mut client = Client::connect(&bed.server).await;
    for name in ["/a", "/b"] {
        client.join(name, None).await.expect("made for it");
    }
    bed.expect(&[
        ("kokanee_sockets namespace=/", 1.0),
        ("kokanee_sockets namespace=other", 2.0),
    ])
    .await;
    assert!(!bed.values.keys().any(|name| name.contains("/a")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_recorded_is_listed_with_its_labels() {
    let bed = Bed::new(Server::builder(), echo).await;
    let mut client = Client::connect(&bed.server).await;
    client.emit("unknown", json!([])).await;
    bed.server
        .request(http::get("/socket.io/?EIO=9&transport=polling", &[]))
        .await;
    client.close().await;
    for (key, unit, description, value) in bed.recorder.snapshot().into_vec() {
        let (key, name) = (key.key(), key.key().name());
        let found = METRICS.iter().find(|metric| metric.name == name);
        let metric = found.unwrap_or_else(|| panic!("{name} is not listed"));
        let labels: Vec<_> = key.labels().map(|label| label.key().to_owned()).collect();
        assert_eq!(labels, metric.labels, "{name}");
        assert!(unit.is_some(), "{name}");
        assert_eq!(description.as_deref(), Some(metric.description));
        let kind = match value {
            DebugValue::Counter(_) => MetricKind::Counter,
            DebugValue::Gauge(_) => MetricKind::Gauge,
            DebugValue::Histogram(_) => MetricKind::Histogram,
        };
        assert_eq!(kind, metric.kind, "{name}");
    }
}

/// Returns every word in which the text says a metric, without what Prometheus adds to a histogram's name.
fn metrics_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
        .filter(|word| word.starts_with("kokanee_"))
        .map(|word| word.trim_end_matches("_bucket"))
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let text = include_str!("../../../dashboards/kokanee.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let mut shown = BTreeMap::new();
    for target in targets {
        let expression = target["expr"].as_str().expect("an expression");
        let names: Vec<_> = metrics_in(expression).collect();
        let [name] = names[..] else {
            panic!("{expression} is about one metric");
        };
        let by = expression
            .strip_prefix("sum by (")
            .and_then(|it| it.split_once(')'));
        let label = by.map(|(label, _)| label);
        let legend = target["legendFormat"].as_str().expect("a legend");
        assert_eq!(label.is_some(), legend.contains("{{"), "{legend}");
        if let Some(label) = label {
            assert!(legend.contains(&format!("{{{{{label}}}}}")), "{legend}");
        }
        shown.insert(name, label);
    }
    for metric in METRICS {
        let label = shown.remove(metric.name);
        let label = label.unwrap_or_else(|| panic!("{} is not shown", metric.name));
        let is_known = label.is_none_or(|label| metric.labels.contains(&label));
        assert!(is_known, "{} has no label {label:?}", metric.name);
    }
    assert!(shown.is_empty(), "{shown:?} are not metrics");
}

#[test]
fn the_page_about_metrics_lists_every_one_with_its_labels() {
    let page = include_str!("../../../docs/observability.md");
    let rows = page.lines().filter(|line| line.starts_with("| `kokanee_"));
    let mut listed: BTreeMap<_, _> = rows
        .filter_map(|row| {
            let mut cells = row.trim_matches('|').split(" | ");
            let name = cells.next()?.trim().trim_matches('`');
            Some((name, cells.next()?.trim().to_owned()))
        })
        .collect();
    for metric in METRICS {
        let labels: Vec<_> = metric.labels.iter().map(|it| format!("`{it}`")).collect();
        assert_eq!(
            listed.remove(metric.name),
            Some(labels.join(", ")),
            "{}",
            metric.name
        );
    }
    assert!(listed.is_empty(), "{listed:?} are not metrics");
}
