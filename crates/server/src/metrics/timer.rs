//! How long the handlers of events take. With few events, all are measured; with many, one in [`SAMPLE`], because a clock costs more than
//! a short handler.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::Histogram;

use crate::clock;

thread_local! {
    static SAMPLER: Sampler = const { Sampler::new() };
}

/// Returns whether the event that this thread is about to handle is to be measured.
#[inline]
pub(super) fn is_due() -> bool {
    SAMPLER.with(Sampler::is_due)
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
    #[cold]
    pub(super) fn start(seconds: &Histogram) -> Arc<Self> {
        Arc::new(Self {
            since: clock::now(),
            seconds: seconds.clone(),
        })
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
