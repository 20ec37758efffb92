//! A run from the options to the report: open, warm up, load, drain.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::clients::ClientFleet;
use crate::error::Error;
use crate::fleet::{ConnectionStats, Fleet};
use crate::load::{Broadcast, Budget, Echo, Load, Tally};
use crate::meter::{Counts, Meter, Reading, Timeline};
use crate::options::{Bound, Generator, Options, Relay, Scenario};
use crate::process;
use crate::raw::RawFleet;
use crate::report::{Latency, Memory, Quantile, Report, Sample, ServerUse, Wave, float};

/// How long a turn of the event loop waits for events.
const TURN: Duration = Duration::from_millis(50);
/// Time between two reports of progress.
const PROGRESS: Duration = Duration::from_millis(250);
/// Time after the last handshake before the memory of open connections is read.
const SETTLE: Duration = Duration::from_secs(1);
/// The largest window; it bounds the memory for send times.
const MAX_WINDOW: usize = 65_536;
/// The largest payload in bytes.
const MAX_PAYLOAD: usize = 16 << 20;
/// File descriptors in addition to the connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// The progress of a run. The callback of [`run()`] gets it about four times a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Connections are being opened.
    Opening {
        /// Connections that their namespace accepted.
        open: usize,
        /// Connections in total.
        total: usize,
    },
    /// The measured part starts.
    Started,
    /// The measured part is under way.
    Running {
        /// Time since the start.
        elapsed: Duration,
        /// Messages that arrived since the start.
        messages: u64,
    },
    /// An interval of the timeline has ended.
    Interval(Sample),
    /// A wave of a storm: all connections are cut.
    Cut {
        /// Number of the wave, counted from 1.
        wave: usize,
        /// Waves in total.
        waves: usize,
    },
    /// The measured part has ended; the connections are still open.
    Finished,
}

/// The callback of [`run()`]; `Break` ends the load early, but messages in flight are still awaited.
type Callback<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Runs a scenario on the calling thread and blocks until it ends.
///
/// # Errors
/// See [`Error`]: the first lost connection, violation of the protocol or missing message ends the run.
///
/// # Panics
/// With [`Options::client`], in an async function: clients run on a runtime of the calling thread.
pub fn run(options: &Options, progress: &mut Callback<'_>) -> Result<Report, Error> {
    let sends_broadcasts = options.scenario == Scenario::Broadcast || options.burst > 0;
    check(
        "connections",
        options.connections,
        1 + usize::from(sends_broadcasts && options.relay == Relay::Broadcast),
        1 << 20,
    )?;
    check("handshakes", options.handshakes, 1, 1 << 20)?;
    check("window", options.window, 1, MAX_WINDOW)?;
    check("waves", options.waves, 1, 1 << 16)?;
    check("payload", options.payload, 8, MAX_PAYLOAD)?;
    let each = match options.generator() {
        Generator::Raw => 1,
        // Long-polling has a connection for each direction, and an upgrade a third one.
        Generator::Client => 3,
    };
    process::raise_descriptor_limit(options.connections as u64 * each + SPARE_DESCRIPTORS);

    let run = Run {
        options,
        progress,
        fleet: fleet(options)?,
        is_interrupted: false,
        timeline: None,
    };
    match options.scenario {
        Scenario::Echo | Scenario::Polling | Scenario::Broadcast => run.load(),
        Scenario::Connect => run.connect(),
        Scenario::Idle => run.idle(),
        Scenario::Storm => run.storm(),
    }
}

/// Returns the fleet that the options ask for, without connections.
fn fleet(options: &Options) -> Result<Box<dyn Fleet>, Error> {
    Ok(match &options.client {
        None => Box::new(RawFleet::new(options)?),
        Some(builder) => Box::new(ClientFleet::new(options, builder)?),
    })
}

fn check(option: &'static str, value: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(Error::Range { option, min, max })
    }
}

/// A running run.
struct Run<'a, 'b> {
    options: &'a Options,
    progress: &'a mut Callback<'b>,
    fleet: Box<dyn Fleet>,
    is_interrupted: bool,
    /// Of the measured part, while it lasts.
    timeline: Option<Timeline>,
}

impl Run<'_, '_> {
    /// Echo, polling and broadcast.
    fn load(mut self) -> Result<Report, Error> {
        self.open()?;
        let Options {
            connections,
            relay,
            bound,
            warmup,
            ..
        } = *self.options;
        let window = self.window();
        let mut load: Box<dyn Load> = if self.options.scenario == Scenario::Broadcast {
            Box::new(Broadcast::new(connections, window, relay))
        } else {
            Box::new(Echo::new(connections, window, Instant::now()))
        };
        if !warmup.is_zero() {
            self.drive(load.as_mut(), Bound::Time(warmup))?;
        }
        let meter = self.begin()?;
        self.drive(load.as_mut(), bound)?;
        let reading = meter.stop()?;
        let tally = load.tally_mut();
        let samples = self.end(tally);
        self.report(Progress::Finished);
        let mut report = self.describe(&reading, tally.messages, tally.latency.total(), samples);
        (report.out_of_order, report.unexpected) = (tally.out_of_order, tally.unexpected);
        Ok(report)
    }

    fn connect(mut self) -> Result<Report, Error> {
        let meter = self.begin()?;
        self.open()?;
        let reading = meter.stop()?;
        let samples = self.end_of_handshakes();
        self.report(Progress::Finished);
        let latency = self.fleet.stats_mut().handshakes.total().clone();
        Ok(self.describe(&reading, self.fleet.stats().ready as u64, &latency, samples))
    }

    fn idle(mut self) -> Result<Report, Error> {
        let Options {
            connections,
            relay,
            burst,
            hold,
            pid,
            ..
        } = *self.options;
        let before = self.resident()?;
        let meter = self.begin()?;
        self.open()?;
        let reading = meter.stop()?;
        self.rest(SETTLE)?;
        let open = self.resident()?;
        if burst > 0 {
            let mut load = Broadcast::new(connections, self.window(), relay);
            // The timeline counts handshakes, not deliveries.
            let timeline = self.timeline.take();
            self.drive(&mut load, Bound::Messages(burst))?;
            self.timeline = timeline;
        }
        self.rest(hold)?;
        let after = self.resident()?;
        let samples = self.end_of_handshakes();
        self.report(Progress::Finished);
        let latency = self.fleet.stats_mut().handshakes.total().clone();
        let mut report = self.describe(&reading, connections as u64, &latency, samples);
        report.memory = pid.map(|_| Memory::of(before, open, after, connections));
        Ok(report)
    }

    fn storm(mut self) -> Result<Report, Error> {
        self.open()?;
        self.rest(SETTLE)?;
        self.fleet.stats_mut().handshakes.clear();
        let total = self.fleet.stats().ready;
        let waves_in_total = self.options.waves;
        let mut waves = Vec::new();
        let meter = self.begin()?;
        for wave in 1..=waves_in_total {
            self.report(Progress::Cut {
                wave,
                waves: waves_in_total,
            });
            waves.extend(self.wave(total)?);
            self.rest(SETTLE)?;
            if self.is_interrupted {
                break;
            }
        }
        let reading = meter.stop()?;
        let samples = self.end_of_handshakes();
        self.report(Progress::Finished);
        let messages = (waves.len() * total) as u64;
        let latency = self.fleet.stats_mut().handshakes.total().clone();
        let mut report = self.describe(&reading, messages, &latency, samples);
        // The time between the waves is not part of them.
        report.elapsed_seconds = waves.iter().map(|wave: &Wave| wave.seconds).sum();
        report.rate = float(messages) / report.elapsed_seconds.max(f64::EPSILON);
        report.failures = self.fleet.stats().failures;
        report.failure_reasons = self.fleet.stats().reasons.clone();
        report.waves = waves;
        Ok(report)
    }

    /// Cuts all connections and waits until all are back. `None` if it was interrupted.
    fn wave(&mut self, total: usize) -> Result<Option<Wave>, Error> {
        let failures = self.fleet.stats().failures;
        let earlier = self.fleet.stats_mut().handshakes.total().clone();
        let start = Instant::now();
        self.fleet.cut();
        let mut stall = StallTimer::new(self.options.stall);
        let mut next_report = Instant::now() + PROGRESS;
        while self.fleet.stats().ready < total {
            self.fleet.turn(None, TURN)?;
            let now = Instant::now();
            let open = self.fleet.stats().ready;
            stall.check(open as u64, (total - open) as u64, now)?;
            self.sample_handshakes(now);
            if now >= next_report {
                next_report = now + PROGRESS;
                self.report(Progress::Opening { open, total });
            }
            if self.is_interrupted {
                return Ok(None);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        self.end_interval_of_handshakes(Instant::now());
        let mut latency = self.fleet.stats_mut().handshakes.total().clone();
        latency
            .subtract(&earlier)
            .expect("what was there before is still there");
        Ok(Some(Wave {
            seconds,
            failures: self.fleet.stats().failures - failures,
            latency: Latency::of(&latency),
        }))
    }

    /// Starts the measured part.
    fn begin(&mut self) -> Result<Meter, Error> {
        let Options { pid, interval, .. } = *self.options;
        self.report(Progress::Started);
        let meter = Meter::start(pid)?;
        // Loads start at zero, handshakes may not.
        let counts = match self.options.scenario {
            Scenario::Storm => self.counts(self.fleet.stats().accepted),
            _ => self.counts(0),
        };
        self.timeline = Some(Timeline::new(pid, interval, Instant::now(), counts));
        Ok(meter)
    }

    /// Ends an interval of a load if it is due.
    fn sample(&mut self, now: Instant, tally: &mut Tally) {
        let counts = self.counts(tally.messages);
        let timeline = self.timeline.as_mut();
        if let Some(timeline) = timeline.filter(|timeline| timeline.is_due(now)) {
            let sample = timeline.sample(now, counts, &mut tally.latency);
            self.report(Progress::Interval(sample));
        }
    }

    /// Ends an interval of handshakes if it is due.
    fn sample_handshakes(&mut self, now: Instant) {
        if self
            .timeline
            .as_ref()
            .is_some_and(|timeline| timeline.is_due(now))
        {
            self.end_interval_of_handshakes(now);
        }
    }

    fn end_interval_of_handshakes(&mut self, now: Instant) {
        let counts = self.counts(self.fleet.stats().accepted);
        if let Some(timeline) = &mut self.timeline {
            let sample = timeline.sample(now, counts, &mut self.fleet.stats_mut().handshakes);
            self.report(Progress::Interval(sample));
        }
    }

    /// Ends the timeline of a load.
    fn end(&mut self, tally: &mut Tally) -> Vec<Sample> {
        let counts = self.counts(tally.messages);
        let timeline = self.timeline.take();
        timeline.map_or_else(Vec::new, |timeline| {
            timeline.finish(Instant::now(), counts, &mut tally.latency)
        })
    }

    /// Ends the timeline of handshakes.
    fn end_of_handshakes(&mut self) -> Vec<Sample> {
        let counts = self.counts(self.fleet.stats().accepted);
        let timeline = self.timeline.take();
        timeline.map_or_else(Vec::new, |timeline| {
            timeline.finish(
                Instant::now(),
                counts,
                &mut self.fleet.stats_mut().handshakes,
            )
        })
    }

    fn counts(&self, messages: u64) -> Counts {
        Counts {
            messages,
            open: self.fleet.stats().ready as u64,
            failures: self.fleet.stats().failures,
        }
    }

    /// Opens all connections.
    fn open(&mut self) -> Result<(), Error> {
        let total = self.options.connections;
        let mut stall = StallTimer::new(self.options.stall);
        let mut next_report = Instant::now();
        while self.fleet.stats().ready < total {
            loop {
                let ConnectionStats { started, ready, .. } = *self.fleet.stats();
                if started == total || started - ready >= self.options.handshakes {
                    break;
                }
                self.fleet.start()?;
            }
            self.fleet.turn(None, TURN)?;
            let open = self.fleet.stats().ready;
            let now = Instant::now();
            stall.check(open as u64, (total - open) as u64, now)?;
            self.sample_handshakes(now);
            if now >= next_report {
                next_report = now + PROGRESS;
                self.report(Progress::Opening { open, total });
                if self.is_interrupted {
                    return Err(Error::Interrupted);
                }
            }
        }
        Ok(())
    }

    /// Runs a load until its budget is spent and everything has arrived.
    fn drive(&mut self, load: &mut dyn Load, bound: Bound) -> Result<(), Error> {
        let start = Instant::now();
        let mut stall = StallTimer::new(self.options.stall);
        let mut next_report = start + PROGRESS;
        let mut emits = Vec::new();
        load.begin(Budget::new(bound, start), start, &mut emits);
        self.fleet.emit(&emits)?;
        while load.in_flight() > 0 {
            self.fleet.turn(Some(load), TURN)?;
            let now = Instant::now();
            self.sample(now, load.tally_mut());
            let messages = load.tally().messages;
            stall.check(messages, load.in_flight(), now)?;
            if now >= next_report {
                next_report = now + PROGRESS;
                self.report(Progress::Running {
                    elapsed: now - start,
                    messages,
                });
            }
            if self.is_interrupted {
                load.stop();
            }
        }
        Ok(())
    }

    /// Only answers pings for a while.
    fn rest(&mut self, time: Duration) -> Result<(), Error> {
        let start = Instant::now();
        while start.elapsed() < time && !self.is_interrupted {
            self.fleet.turn(None, TURN.min(time))?;
            self.sample_handshakes(Instant::now());
        }
        Ok(())
    }

    fn window(&self) -> u32 {
        let window = if self.options.scenario == Scenario::Polling {
            1
        } else {
            self.options.window
        };
        u32::try_from(window).unwrap_or(u32::MAX)
    }

    fn report(&mut self, progress: Progress) {
        self.is_interrupted |= (self.progress)(progress).is_break();
    }

    /// Reads the server's resident memory; zero without a process id.
    fn resident(&self) -> Result<u64, Error> {
        self.options.pid.map_or(Ok(0), |pid| {
            process::resident(pid).map_err(|source| Error::Process { pid, source })
        })
    }

    fn describe(
        &self,
        reading: &Reading,
        messages: u64,
        latency: &Histogram<u64>,
        timeline: Vec<Sample>,
    ) -> Report {
        let options = self.options;
        let elapsed_seconds = reading.elapsed.as_secs_f64();
        Report {
            scenario: options.scenario,
            generator: options.generator(),
            url: options.url.clone(),
            connections: options.connections,
            window: self.window() as usize,
            payload_bytes: options.payload,
            messages,
            elapsed_seconds,
            rate: float(messages) / elapsed_seconds,
            latency: Latency::of(latency),
            out_of_order: 0,
            unexpected: 0,
            load_busy: reading.own.map(|own| own.as_secs_f64() / elapsed_seconds),
            server: reading.server.map(|usage| ServerUse {
                cpu_seconds: usage.cpu.as_secs_f64(),
                cpu_per_message: usage.cpu.as_secs_f64() * 1e6 / float(messages.max(1)),
                user_share: usage.user_share(),
            }),
            memory: None,
            failures: 0,
            failure_reasons: BTreeMap::new(),
            timeline,
            distribution: Quantile::distribution(latency),
            waves: Vec::new(),
        }
    }
}

/// Fails if nothing arrives for too long.
struct StallTimer {
    stall: Duration,
    arrived: u64,
    since: Option<Instant>,
}

impl StallTimer {
    fn new(stall: Duration) -> Self {
        Self {
            stall,
            arrived: 0,
            since: None,
        }
    }

    /// # Errors
    /// [`Error::Stalled`].
    fn check(&mut self, arrived: u64, missing: u64, now: Instant) -> Result<(), Error> {
        if arrived != self.arrived || self.since.is_none() {
            self.arrived = arrived;
            self.since = Some(now);
        }
        match self.since {
            Some(since) if now - since > self.stall => Err(Error::Stalled {
                after: self.stall,
                received: arrived,
                missing,
            }),
            _ => Ok(()),
        }
    }
}
