//! The clocks of the measured part: elapsed time and the CPU time of both processes, in total and per interval.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::process::{self, Usage};
use crate::report::{Recorder, Sample};

/// The last, incomplete interval becomes a sample if it is at least this share of an interval.
const SHORTEST_REST: f64 = 0.2;

/// The clocks at the start of the measured part.
pub(crate) struct Meter {
    start: Instant,
    own: Option<Duration>,
    server: Option<(u32, Usage)>,
}

/// What passed on the clocks of a [`Meter`].
pub(crate) struct Reading {
    pub(crate) elapsed: Duration,
    pub(crate) own: Option<Duration>,
    pub(crate) server: Option<Usage>,
}

impl Meter {
    pub(crate) fn start(pid: Option<u32>) -> Result<Self, Error> {
        let server = pid.map(|pid| Ok((pid, usage(pid)?))).transpose()?;
        let own = process::thread_time();
        Ok(Self {
            start: Instant::now(),
            own,
            server,
        })
    }

    pub(crate) fn stop(self) -> Result<Reading, Error> {
        let elapsed = self.start.elapsed();
        let own = self
            .own
            .zip(process::thread_time())
            .map(|(start, end)| end.saturating_sub(start));
        let server = self
            .server
            .map(|(pid, start)| Ok(usage(pid)?.since(start)))
            .transpose()?;
        Ok(Reading {
            elapsed,
            own,
            server,
        })
    }
}

/// Counts since the start of the measured part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    pub(crate) open: u64,
    pub(crate) failures: u64,
}

/// Cuts the measured part into intervals.
pub(crate) struct Timeline {
    pid: Option<u32>,
    interval: Duration,
    start: Instant,
    /// Start of the current interval.
    begun: Instant,
    counts: Counts,
    usage: Option<Usage>,
    samples: Vec<Sample>,
}

impl Timeline {
    /// Starts from these counts, which the timeline leaves out.
    pub(crate) fn new(pid: Option<u32>, interval: Duration, now: Instant, counts: Counts) -> Self {
        Self {
            pid,
            interval,
            start: now,
            begun: now,
            counts,
            usage: pid.and_then(|pid| Usage::of(pid).ok()),
            samples: Vec::new(),
        }
    }

    /// Returns whether the interval is over.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.begun + self.interval
    }

    /// Ends the interval.
    pub(crate) fn sample(
        &mut self,
        now: Instant,
        counts: Counts,
        latency: &mut Recorder,
    ) -> Sample {
        let length = now - self.begun;
        // An error is reported when the final reading fails.
        let usage = self.pid.and_then(|pid| Usage::of(pid).ok());
        let used = usage.zip(self.usage).map(|(now, then)| now.since(then).cpu);
        let sample = Sample {
            at: (now - self.start).as_secs_f64(),
            seconds: length.as_secs_f64(),
            messages: counts.messages.saturating_sub(self.counts.messages),
            open: counts.open,
            failures: counts.failures.saturating_sub(self.counts.failures),
            latency: latency.end_interval(),
            cpu: used.map(|used| used.as_secs_f64() / length.as_secs_f64().max(f64::EPSILON)),
            memory: self.pid.and_then(|pid| process::resident(pid).ok()),
        };
        self.begun = now;
        self.counts = counts;
        self.usage = usage;
        self.samples.push(sample);
        sample
    }

    /// Ends the last interval, and returns all samples.
    pub(crate) fn finish(
        mut self,
        now: Instant,
        counts: Counts,
        latency: &mut Recorder,
    ) -> Vec<Sample> {
        let rest = now - self.begun;
        if self.samples.is_empty() || rest >= self.interval.mul_f64(SHORTEST_REST) {
            self.sample(now, counts, latency);
        }
        self.samples
    }
}

fn usage(pid: u32) -> Result<Usage, Error> {
    Usage::of(pid).map_err(|source| Error::Process { pid, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_count_what_came_since_the_last() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timeline = Timeline::new(None, second, start, Counts::default());
        let mut latency = Recorder::new();
        let counts = |messages| Counts {
            messages,
            open: 5,
            failures: 0,
        };
        assert!(!timeline.is_due(start + second / 2));
        assert!(timeline.is_due(start + second));
        latency.record(Duration::from_millis(1));
        let sample = timeline.sample(start + second, counts(10), &mut latency);
        assert_eq!(
            (sample.messages, sample.latency.count, sample.open),
            (10, 1, 5)
        );
        let samples = timeline.finish(start + second * 3 / 2, counts(14), &mut latency);
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[1].messages, samples[1].latency.count), (4, 0));
        assert!((samples[1].rate() - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_short_rest_is_no_sample() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timeline = Timeline::new(None, second, start, Counts::default());
        let mut latency = Recorder::new();
        timeline.sample(start + second, Counts::default(), &mut latency);
        let end = start + second + Duration::from_millis(10);
        assert_eq!(
            timeline.finish(end, Counts::default(), &mut latency).len(),
            1
        );
    }
}
