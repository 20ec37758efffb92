//! Options of `kokanee bench`.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint, builder::FalseyValueParser};
use kokanee_bench::{Relay, Scenario};

use super::{ConnectionArgs, duration, time};

const HELP: &str = "\
The server has to know the events: echo (the same arguments back) and broadcast, as `kokanee serve` does. idle, storm and \
connect work with any Socket.IO server, and so does echo with --ack and the name of any event that is acknowledged. \
A lost message ends the run.

The raw generator makes the connections unless Kokanee's client is asked for (--client) or needed: for https, --revision 3, \
--proxy and whatever else is said about the connection. The raw generator speaks plain http and Engine.IO 4. Clients take \
about twice its CPU time for a message, and in a storm they come back by their own back-off. Both use one core, and the \
result says how busy it was.

Examples:
  # echoes on 100 connections, for 10 s
  kokanee bench http://127.0.0.1:3000
  kokanee bench 127.0.0.1:3000 broadcast -c 500 \\
    --pid $(pidof kokanee)
  kokanee bench 127.0.0.1:3000/private echo --ack \\
    --event whoami --auth '{\"token\":\"kokanee\"}' -d 30s
  kokanee bench 127.0.0.1:3000 storm -c 2000 --waves 5 \\
    --html storm.html
  kokanee bench 127.0.0.1:3000 idle -c 10000 --hold 1m \\
    --json
  kokanee bench https://staging.example.com echo -c 200 \\
    --ack --event rooms -H 'Authorization: Bearer abc'

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 refused by the server, 4 nothing arrived for too long, 5 the server \
does not keep to the protocol, 6 no connection, 7 a connection was lost, 130 interrupted by \
Ctrl-C, 143 by SIGTERM. A second signal ends the program at once.";

/// Put a server under load and measure it: rate, latency, CPU and memory
///
/// The path of the URL is the namespace. What is measured is printed when the run ends, as text, as JSON (--json) or as a
/// page with charts (--html FILE). With --pid the CPU time and the memory of a server on this machine are part of it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub(crate) struct BenchArgs {
    /// What the connections do
    #[arg(index = 2, value_enum, default_value_t)]
    pub(crate) scenario: ScenarioArg,

    /// Number of connections
    #[arg(short, long, value_name = "COUNT", help_heading = "Load")]
    pub(crate) connections: Option<usize>,

    /// Events in flight on each connection, or broadcasts in flight
    #[arg(
        short,
        long,
        value_name = "COUNT",
        default_value_t = 1,
        help_heading = "Load"
    )]
    pub(crate) window: usize,

    /// Size of the text argument of each event
    #[arg(long, value_name = "BYTES", help_heading = "Load")]
    pub(crate) payload: Option<usize>,

    /// Time of load
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Load")]
    pub(crate) duration: Duration,

    /// End after this many events instead
    #[arg(
        short,
        long,
        value_name = "COUNT",
        conflicts_with = "duration",
        help_heading = "Load"
    )]
    pub(crate) messages: Option<NonZeroU64>,

    /// Time of load before the measurement begins
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time, help_heading = "Load")]
    pub(crate) warmup: Duration,

    /// Name of the event of echo and polling
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "echo",
        help_heading = "Load"
    )]
    pub(crate) event: String,

    /// Echoes are acknowledgements, whatever they carry
    #[arg(short, long, help_heading = "Load")]
    pub(crate) ack: bool,

    /// The event that makes the server broadcast
    #[arg(long, value_enum, default_value = "broadcast", help_heading = "Load")]
    pub(crate) relay: Relay,

    /// Handshakes in flight while connections are opened, but in a storm
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 64,
        help_heading = "Load"
    )]
    pub(crate) handshakes: usize,

    /// Time to hold the connections of idle
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Load")]
    pub(crate) hold: Duration,

    /// How often a storm cuts the connections
    #[arg(long, value_name = "COUNT", default_value_t = 3, help_heading = "Load")]
    pub(crate) waves: usize,

    /// Time over which the connections of a storm come back, not with clients; 0s is all at once
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, help_heading = "Load")]
    pub(crate) spread: Duration,

    /// End the run if nothing arrives for this time
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Load")]
    pub(crate) timeout: Duration,

    /// Process id of the server, to measure its CPU time and memory (Linux)
    #[arg(long, help_heading = "Load")]
    pub(crate) pid: Option<u32>,

    /// Connections are Kokanee's client, as they are anyhow where the raw generator cannot make them
    #[arg(long, help_heading = "Connection")]
    pub(crate) client: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Print the result as JSON
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) json: bool,

    /// Write the result as a page with charts, which needs no other file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,

    /// Do not show the progress
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// What the connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// Every connection keeps --window events in flight, which the server sends back
    #[default]
    Echo,
    /// One connection keeps --window broadcasts to all others in flight
    Broadcast,
    /// Connections are opened and held; the memory of the server is what matters
    Idle,
    /// All connections are cut at once and come back, --waves times
    Storm,
    /// As echo, over long-polling: one POST and one GET for each event
    Polling,
    /// Connections are opened, --handshakes at a time
    Connect,
}

impl From<ScenarioArg> for Scenario {
    fn from(scenario: ScenarioArg) -> Self {
        match scenario {
            ScenarioArg::Echo => Self::Echo,
            ScenarioArg::Broadcast => Self::Broadcast,
            ScenarioArg::Idle => Self::Idle,
            ScenarioArg::Storm => Self::Storm,
            ScenarioArg::Polling => Self::Polling,
            ScenarioArg::Connect => Self::Connect,
        }
    }
}
