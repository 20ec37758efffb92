//! What a run has measured, ready for `serde`.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::options::{Generator, Scenario};

/// The result of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// What was run.
    pub scenario: Scenario,
    /// What made the connections.
    #[serde(default)]
    pub generator: Generator,
    /// The server's URL.
    pub url: String,
    /// Number of connections.
    pub connections: usize,
    /// Messages in flight per connection, or broadcasts in flight.
    pub window: usize,
    /// Length of an event's text argument in bytes.
    pub payload_bytes: usize,
    /// Echoes, deliveries, polling cycles or opened connections, according to the scenario.
    pub messages: u64,
    /// Time of the measured part in seconds.
    pub elapsed_seconds: f64,
    /// Messages per second.
    pub rate: f64,
    /// Echo and polling: the round trip. Broadcast: from the emit to the last delivery. Connect and idle: from the
    /// start of the TCP connection to the accepted namespace.
    pub latency: Latency,
    /// Messages that arrived after a later one of the same connection.
    pub out_of_order: u64,
    /// Events that do not belong to the load.
    pub unexpected: u64,
    /// Share of one core that the load generator itself used, 0 to 1; above 0.9 it limits the result. Linux only.
    pub load_busy: Option<f64>,
    /// What the server process used, if its id was given.
    pub server: Option<ServerUse>,
    /// Memory of the server process, if its id was given and the scenario is `idle`.
    pub memory: Option<Memory>,
    /// Connection attempts that failed and were retried. Only in a storm; other scenarios end with the first failure.
    #[serde(default)]
    pub failures: u64,
    /// Failed attempts by the error of the system, the server or the client.
    #[serde(default)]
    pub failure_reasons: BTreeMap<String, u64>,
    /// The measured part over time, one sample per interval.
    #[serde(default)]
    pub timeline: Vec<Sample>,
    /// The latency by quantile, for as many quantiles as the number of samples allows.
    #[serde(default)]
    pub distribution: Vec<Quantile>,
    /// The waves of a storm.
    #[serde(default)]
    pub waves: Vec<Wave>,
}

/// What happened in one interval of the measured part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When the interval ended, in seconds from the start.
    pub at: f64,
    /// Length of the interval in seconds.
    pub seconds: f64,
    /// Messages that arrived in the interval.
    pub messages: u64,
    /// Connections that were open at its end.
    pub open: u64,
    /// Connection attempts that failed in the interval.
    pub failures: u64,
    /// Latency of the messages that arrived in the interval.
    pub latency: Latency,
    /// CPU time that the server used per time, 1 is one core; if its process id was given.
    pub cpu: Option<f64>,
    /// Resident memory of the server in bytes at the end of the interval, if its process id was given.
    pub memory: Option<u64>,
}

impl Sample {
    /// Returns the messages per second.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 {
            float(self.messages) / self.seconds
        } else {
            0.0
        }
    }
}

/// One point of the distribution of the latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The share of samples that are at or below the value, 0 to 1.
    pub quantile: f64,
    /// The latency in microseconds.
    pub micros: f64,
}

/// One wave of a storm: all connections were cut and reconnected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Seconds from the cut until the last connection was back.
    pub seconds: f64,
    /// Attempts that failed and were retried.
    pub failures: u64,
    /// From the cut until a connection was back.
    pub latency: Latency,
}

/// Quantiles of a latency in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Number of samples.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % are at or below this value.
    pub p90: f64,
    /// 99 % are at or below this value.
    pub p99: f64,
    /// 99.9 % are at or below this value.
    pub p999: f64,
    /// Largest value.
    pub max: f64,
}

/// CPU time of the server process during the measured part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// User and system time in seconds, exact.
    pub cpu_seconds: f64,
    /// CPU time per message in microseconds.
    pub cpu_per_message: f64,
    /// Share of user time, 0 to 1, sampled by the kernel's tick: good to some percent over a second.
    pub user_share: f64,
}

/// Resident memory of the server process around an `idle` run, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Before the first connection.
    pub before: u64,
    /// With all connections open, one second after the last.
    pub open: u64,
    /// After the burst and the hold time.
    pub after: u64,
    /// `open` less `before`, per connection.
    pub open_per_connection: f64,
    /// `after` less `before`, per connection.
    pub after_per_connection: f64,
}

impl Latency {
    /// Reads the quantiles of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            min: micros(histogram.min()),
            mean: histogram.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        }
    }
}

impl Memory {
    /// Relates three readings to a number of connections.
    pub(crate) fn of(before: u64, open: u64, after: u64, connections: usize) -> Self {
        let per_connection =
            |bytes: u64| (float(bytes) - float(before)) / float(connections as u64);
        Self {
            before,
            open,
            after,
            open_per_connection: per_connection(open),
            after_per_connection: per_connection(after),
        }
    }
}

/// The quantiles of [`Report::distribution`], except 0 and 1.
const QUANTILES: [f64; 17] = [
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999,
    0.999_99,
];

impl Quantile {
    /// Reads the distribution of a histogram of nanoseconds.
    pub(crate) fn distribution(histogram: &Histogram<u64>) -> Vec<Self> {
        if histogram.is_empty() {
            return Vec::new();
        }
        let count = float(histogram.len());
        let known = QUANTILES
            .into_iter()
            .filter(|quantile| (1.0 - quantile) * count >= 1.0);
        let inner = known.map(|quantile| Self {
            quantile,
            micros: micros(histogram.value_at_quantile(quantile)),
        });
        let first = Self {
            quantile: 0.0,
            micros: micros(histogram.min()),
        };
        let last = Self {
            quantile: 1.0,
            micros: micros(histogram.max()),
        };
        [first].into_iter().chain(inner).chain([last]).collect()
    }
}

/// Latencies of a whole run and of the current interval. Each is recorded once.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    interval: Histogram<u64>,
    /// Of the intervals that have ended.
    ended: Histogram<u64>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            interval: histogram(),
            ended: histogram(),
        }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        record(&mut self.interval, duration);
    }

    /// Ends the interval and returns its latency.
    pub(crate) fn end_interval(&mut self) -> Latency {
        let latency = Latency::of(&self.interval);
        self.ended += &self.interval;
        self.interval.reset();
        latency
    }

    /// Ends the interval and returns the whole histogram.
    pub(crate) fn total(&mut self) -> &Histogram<u64> {
        self.end_interval();
        &self.ended
    }

    /// Resets everything to zero.
    pub(crate) fn clear(&mut self) {
        self.interval.reset();
        self.ended.reset();
    }
}

/// Converts a count for a division; counts here are far below 2^52.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of a run are far below 2^52"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Converts nanoseconds to microseconds.
fn micros(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1_000.0
}

/// The longest latency that is distinguished, in nanoseconds.
const LONGEST: u64 = 600_000_000_000;

/// Returns an empty histogram of nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds and 3 digits are valid")
}

/// Records a duration in nanoseconds.
pub(crate) fn record(histogram: &mut Histogram<u64>, duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    histogram.saturating_record(nanoseconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_reported_in_microseconds() {
        let mut samples = histogram();
        for milliseconds in 1..=100 {
            record(&mut samples, Duration::from_millis(milliseconds));
        }
        record(&mut samples, Duration::from_secs(7_200));
        let Latency {
            count,
            min,
            p50,
            p99,
            max,
            ..
        } = Latency::of(&samples);
        assert_eq!(count, 101);
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 1e-3;
        assert!(
            near(min, 1_000.0) && near(p50, 51_000.0) && near(p99, 100_000.0) && near(max, 600e6)
        );
    }

    #[test]
    fn intervals_add_up_to_the_whole() {
        let mut recorder = Recorder::new();
        recorder.record(Duration::from_millis(1));
        assert_eq!(recorder.end_interval().count, 1);
        recorder.record(Duration::from_millis(2));
        recorder.record(Duration::from_millis(3));
        assert_eq!(recorder.end_interval().count, 2);
        assert_eq!(recorder.end_interval().count, 0);
        assert_eq!(recorder.total().len(), 3);
    }

    #[test]
    fn distribution_goes_as_far_as_the_samples_tell() {
        let mut samples = histogram();
        for milliseconds in 1..=100 {
            record(&mut samples, Duration::from_millis(milliseconds));
        }
        let quantiles: Vec<_> = Quantile::distribution(&samples)
            .iter()
            .map(|point| point.quantile)
            .collect();
        assert_eq!(
            (quantiles.first(), quantiles.last()),
            (Some(&0.0), Some(&1.0))
        );
        assert!(quantiles.contains(&0.98) && !quantiles.contains(&0.995));
        assert!(quantiles.is_sorted());
    }

    #[test]
    fn memory_is_related_to_the_connections() {
        let memory = Memory::of(1_000, 3_000, 2_000, 10);
        assert!((memory.open_per_connection - 200.0).abs() < 1e-9);
        assert!((memory.after_per_connection - 100.0).abs() < 1e-9);
    }
}
