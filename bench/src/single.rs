//! `kokanee-bench load URL`: one run, printed for people or as JSON.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use kokanee_bench::{
    Bound, Latency, Memory, Options, Progress, Relay, Report, Scenario, ServerUse, run,
};

use crate::output::note;

/// The arguments of `kokanee-bench load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The server: http://host:port, with its path if that is not /socket.io/.
    url: String,
    /// What the connections do.
    #[arg(long, value_enum, default_value = "echo")]
    scenario: Scenario,
    /// Number of connections.
    #[arg(short, long)]
    connections: Option<usize>,
    /// Echoes in flight per connection, or broadcasts in flight.
    #[arg(short, long, default_value_t = 1)]
    window: usize,
    /// Length of an event's text argument in bytes.
    #[arg(short, long)]
    payload: Option<usize>,
    /// Duration of the load in seconds.
    #[arg(short = 't', long, value_parser = seconds, default_value = "10")]
    time: Duration,
    /// Stops after this many emitted events instead.
    #[arg(short, long, conflicts_with = "time")]
    messages: Option<u64>,
    /// Seconds of load before the measurement starts.
    #[arg(long, value_parser = seconds, default_value = "1")]
    warmup: Duration,
    /// The namespace to connect to.
    #[arg(long, default_value = "/")]
    namespace: String,
    /// The event that makes the server broadcast.
    #[arg(long, value_enum, default_value = "blast")]
    relay: Relay,
    /// The event of an echo.
    #[arg(long, default_value = "echo")]
    event: String,
    /// An echo is the event's acknowledgement.
    #[arg(long)]
    ack: bool,
    /// Seconds to hold idle connections.
    #[arg(long, value_parser = seconds, default_value = "10")]
    hold: Duration,
    /// Broadcasts to idle connections before they are held.
    #[arg(long, default_value_t = 0)]
    burst: u64,
    /// Process id of the server, to measure its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Load {
    /// Runs the load and prints its report.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let defaults = Options::new(self.url, self.scenario);
        let options = Options {
            connections: self.connections.unwrap_or(defaults.connections),
            window: self.window,
            payload: self.payload.unwrap_or(defaults.payload),
            bound: self
                .messages
                .map_or(Bound::Time(self.time), Bound::Messages),
            warmup: self.warmup,
            namespace: self.namespace,
            relay: self.relay,
            event: self.event,
            ack: self.ack,
            hold: self.hold,
            burst: self.burst,
            pid: self.pid,
            ..defaults
        };
        let report = run(&options, &mut |progress| {
            match progress {
                Progress::Opening { open, total } => {
                    note(&format!("{open} of {total} connections"));
                }
                Progress::Running { elapsed, messages } => {
                    note(&format!(
                        "{:5.1} s  {messages} messages",
                        elapsed.as_secs_f64()
                    ));
                }
                Progress::Started
                | Progress::Interval(_)
                | Progress::Cut { .. }
                | Progress::Finished => {}
            }
            ControlFlow::Continue(())
        })?;
        let text = if self.json {
            serde_json::to_string_pretty(&report)?
        } else {
            render(&report)
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}

/// Parses a number of seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Formats a report as text.
fn render(report: &Report) -> String {
    let Report {
        messages,
        elapsed_seconds,
        rate,
        connections,
        window,
        out_of_order,
        unexpected,
        ..
    } = report;
    let Latency {
        min,
        p50,
        p90,
        p99,
        p999,
        max,
        ..
    } = report.latency;
    let mut lines = vec![
        format!(
            "{} with {connections} connections, window {window}, {} bytes",
            report.scenario.name(),
            report.payload_bytes
        ),
        format!("{messages} in {elapsed_seconds:.2} s = {rate:.0}/s"),
        format!(
            "latency µs: min {min:.0}, p50 {p50:.0}, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0}"
        ),
        format!("out of order {out_of_order}, unexpected {unexpected}"),
    ];
    if let Some(busy) = report.load_busy {
        lines.push(format!("load generator: {:.0} % of a core", busy * 100.0));
    }
    if let Some(ServerUse {
        cpu_per_message,
        user_share,
        ..
    }) = report.server
    {
        let share = user_share * 100.0;
        lines.push(format!(
            "server: {cpu_per_message:.2} µs of CPU per message, {share:.0} % of it in user space"
        ));
    }
    if let Some(Memory {
        open_per_connection,
        after_per_connection,
        ..
    }) = report.memory
    {
        lines.push(format!("server: {open_per_connection:.0} bytes per connection, {after_per_connection:.0} afterwards"));
    }
    lines.join("\n")
}
