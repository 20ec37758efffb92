//! A run from the options to the report: open, warm up, load, drain.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fleet::Fleet;
use crate::load::{Broadcast, Budget, Echo, Load, Tally};
use crate::options::{Bound, Options, Scenario};
use crate::process::{self, Usage};
use crate::report::{Latency, Memory, Report, ServerUse, float};
use crate::target::{Target, Transport};

/// How long a turn of the event loop waits for events.
const TURN: Duration = Duration::from_millis(50);
/// Time between two reports of progress.
const PROGRESS: Duration = Duration::from_millis(250);
/// Time after the last handshake before the memory of open connections is read.
const SETTLE: Duration = Duration::from_secs(1);
/// The largest window; it bounds the memory for times of sending.
const MAX_WINDOW: usize = 65_536;
/// The largest payload in bytes.
const MAX_PAYLOAD: usize = 16 << 20;
/// File descriptors beside the connections.
const SPARE_DESCRIPTORS: u64 = 64;

/// Where a run is. Given to the callback of [`run()`], about four times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Connections are being opened.
    Opening {
        /// Connections whose namespace has accepted them.
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
    /// The measured part has ended; the connections are still open.
    Finished,
}

/// The callback of [`run()`]; `Break` ends the load early, what is in flight is still awaited.
type Callback<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Runs a scenario on the calling thread and blocks until it ends.
///
/// # Errors
/// See [`Error`]: the first lost connection, violation of the protocol or missing message ends the run.
pub fn run(options: &Options, progress: &mut Callback<'_>) -> Result<Report, Error> {
    check(
        "connections",
        options.connections,
        1 + usize::from(options.relay == crate::Relay::Broadcast),
        1 << 20,
    )?;
    check("handshakes", options.handshakes, 1, 1 << 20)?;
    check("window", options.window, 1, MAX_WINDOW)?;
    check("payload", options.payload, 8, MAX_PAYLOAD)?;
    process::raise_descriptor_limit(options.connections as u64 + SPARE_DESCRIPTORS);

    let transport = if options.scenario == Scenario::Polling {
        Transport::Polling
    } else {
        Transport::WebSocket
    };
    let run = Run {
        options,
        progress,
        fleet: Fleet::new(Target::new(options, transport)?)?,
        is_interrupted: false,
    };
    match options.scenario {
        Scenario::Echo | Scenario::Polling | Scenario::Broadcast => run.load(),
        Scenario::Connect => run.connect(),
        Scenario::Idle => run.idle(),
    }
}

fn check(option: &'static str, value: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(Error::Range { option, min, max })
    }
}

/// A run under way.
struct Run<'a, 'b> {
    options: &'a Options,
    progress: &'a mut Callback<'b>,
    fleet: Fleet,
    is_interrupted: bool,
}

impl Run<'_, '_> {
    /// Echo, polling and broadcast.
    fn load(mut self) -> Result<Report, Error> {
        self.open()?;
        let Options {
            connections,
            payload,
            relay,
            bound,
            warmup,
            ..
        } = *self.options;
        let window = self.window();
        let target = self.fleet.target();
        let mut load: Box<dyn Load> = if self.options.scenario == Scenario::Broadcast {
            Box::new(Broadcast::new(target, connections, window, payload, relay))
        } else {
            Box::new(Echo::new(
                target,
                connections,
                window,
                payload,
                Instant::now(),
            ))
        };
        if !warmup.is_zero() {
            self.drive(load.as_mut(), Bound::Time(warmup))?;
        }
        self.report(Progress::Started);
        let meter = Meter::start(self.options.pid)?;
        self.drive(load.as_mut(), bound)?;
        let reading = meter.stop()?;
        self.report(Progress::Finished);
        let tally = load.tally();
        let mut report = self.describe(&reading, tally.messages, Latency::of(&tally.latency));
        (report.out_of_order, report.unexpected) = (tally.out_of_order, tally.unexpected);
        Ok(report)
    }

    fn connect(mut self) -> Result<Report, Error> {
        self.report(Progress::Started);
        let meter = Meter::start(self.options.pid)?;
        self.open()?;
        let reading = meter.stop()?;
        self.report(Progress::Finished);
        Ok(self.describe(
            &reading,
            self.fleet.ready() as u64,
            Latency::of(self.fleet.handshakes()),
        ))
    }

    fn idle(mut self) -> Result<Report, Error> {
        let Options {
            connections,
            payload,
            relay,
            burst,
            hold,
            pid,
            ..
        } = *self.options;
        let before = self.resident()?;
        self.report(Progress::Started);
        let meter = Meter::start(pid)?;
        self.open()?;
        let reading = meter.stop()?;
        self.rest(SETTLE)?;
        let open = self.resident()?;
        if burst > 0 {
            let mut load = Broadcast::new(
                self.fleet.target(),
                connections,
                self.window(),
                payload,
                relay,
            );
            self.drive(&mut load, Bound::Messages(burst))?;
        }
        self.rest(hold)?;
        let after = self.resident()?;
        self.report(Progress::Finished);
        let mut report = self.describe(
            &reading,
            connections as u64,
            Latency::of(self.fleet.handshakes()),
        );
        report.memory = pid.map(|_| Memory::of(before, open, after, connections));
        Ok(report)
    }

    /// Opens all connections.
    fn open(&mut self) -> Result<(), Error> {
        let total = self.options.connections;
        let mut patience = Patience::new(self.options.stall);
        let mut next_report = Instant::now();
        while self.fleet.ready() < total {
            while self.fleet.len() < total
                && self.fleet.len() - self.fleet.ready() < self.options.handshakes
            {
                self.fleet.start()?;
            }
            self.fleet.turn(None, TURN)?;
            let open = self.fleet.ready();
            let now = Instant::now();
            patience.check(open as u64, (total - open) as u64, now)?;
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
        let mut patience = Patience::new(self.options.stall);
        let mut next_report = start + PROGRESS;
        self.fleet
            .emit(|outbox| load.begin(Budget::new(bound, start), start, outbox))?;
        while load.in_flight() > 0 {
            self.fleet.turn(Some(load), TURN)?;
            let now = Instant::now();
            let Tally { messages, .. } = *load.tally();
            patience.check(messages, load.in_flight(), now)?;
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

    fn describe(&self, reading: &Reading, messages: u64, latency: Latency) -> Report {
        let options = self.options;
        let elapsed_seconds = reading.elapsed.as_secs_f64();
        Report {
            scenario: options.scenario,
            url: options.url.clone(),
            connections: options.connections,
            window: self.window() as usize,
            payload_bytes: options.payload,
            messages,
            elapsed_seconds,
            rate: float(messages) / elapsed_seconds,
            latency,
            out_of_order: 0,
            unexpected: 0,
            load_busy: reading.own.map(|own| own.as_secs_f64() / elapsed_seconds),
            server: reading.server.map(|usage| ServerUse {
                cpu_seconds: usage.cpu.as_secs_f64(),
                cpu_per_message: usage.cpu.as_secs_f64() * 1e6 / float(messages.max(1)),
                user_share: usage.user_share(),
            }),
            memory: None,
        }
    }
}

/// Notices that nothing arrives any more.
struct Patience {
    stall: Duration,
    arrived: u64,
    since: Option<Instant>,
}

impl Patience {
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

/// The clocks at the start of the measured part.
struct Meter {
    start: Instant,
    own: Option<Duration>,
    server: Option<(u32, Usage)>,
}

/// What passed on the clocks of a [`Meter`].
struct Reading {
    elapsed: Duration,
    own: Option<Duration>,
    server: Option<Usage>,
}

impl Meter {
    fn start(pid: Option<u32>) -> Result<Self, Error> {
        let server = pid.map(|pid| Ok((pid, usage(pid)?))).transpose()?;
        let own = process::thread_time();
        Ok(Self {
            start: Instant::now(),
            own,
            server,
        })
    }

    fn stop(self) -> Result<Reading, Error> {
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

fn usage(pid: u32) -> Result<Usage, Error> {
    Usage::of(pid).map_err(|source| Error::Process { pid, source })
}
