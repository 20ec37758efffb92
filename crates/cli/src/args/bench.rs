//! Options of `kokanee bench`.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint, builder::FalseyValueParser};
use kokanee_bench::{Relay, Scenario};

use super::{
    client::ConnectionArgs,
    parse::{duration, time},
};

const HELP: &str = "\
The server must handle the events echo (sends the same arguments back) and broadcast, as `kokanee serve` does. idle, storm \
and connect work with any Socket.IO server, and so does echo with --ack and the name of any event that is acknowledged. \
A lost message ends the run.

Connections are made by the raw generator, which speaks plain http and Engine.IO 4, or by Kokanee's client: with --client, and \
automatically for https, --revision 3, --proxy and other connection options. The client needs about twice the CPU time per \
message, and in a storm it reconnects with its own back-off. Both use one core, and the result says how busy it was.

Examples:
  # echo on 100 connections, for 10 s
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

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 refused by the server, 4 timeout: nothing arrived, 5 the server \
violates the protocol, 6 no connection, 7 a connection was lost, 130 interrupted by \
Ctrl-C, 143 by SIGTERM. A second signal ends the program immediately.";

/// Load-test a server and measure rate, latency, CPU and memory
///
/// The path of the URL is the namespace. The result is printed when the run ends, as text or JSON (--json), and written as a
/// page with charts (--html FILE). With --pid it includes the CPU time and the memory of a server on this machine.
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

    /// Events in flight on each connection; in the broadcast scenario, broadcasts in flight
    #[arg(
        short,
        long,
        value_name = "COUNT",
        default_value_t = 1,
        help_heading = "Load"
    )]
    pub(crate) window: usize,

    /// Size of each event's text argument
    #[arg(long, value_name = "BYTES", help_heading = "Load")]
    pub(crate) payload: Option<usize>,

    /// Duration of the measurement
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Load")]
    pub(crate) duration: Duration,

    /// Stop after this many events instead of after --duration
    #[arg(
        short,
        long,
        value_name = "COUNT",
        conflicts_with = "duration",
        help_heading = "Load"
    )]
    pub(crate) messages: Option<NonZeroU64>,

    /// Duration of the load before the measurement starts
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time, help_heading = "Load")]
    pub(crate) warmup: Duration,

    /// Event name for echo and polling
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "echo",
        help_heading = "Load"
    )]
    pub(crate) event: String,

    /// Count acknowledgements as echoes, whatever their arguments
    #[arg(short, long, help_heading = "Load")]
    pub(crate) ack: bool,

    /// Event that makes the server broadcast
    #[arg(long, value_enum, default_value = "broadcast", help_heading = "Load")]
    pub(crate) relay: Relay,

    /// Concurrent handshakes while connections are opened (not in a storm)
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 64,
        help_heading = "Load"
    )]
    pub(crate) handshakes: usize,

    /// How long idle holds the connections
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Load")]
    pub(crate) hold: Duration,

    /// How many times a storm cuts the connections
    #[arg(long, value_name = "COUNT", default_value_t = 3, help_heading = "Load")]
    pub(crate) waves: usize,

    /// Time over which the connections of a storm reconnect; 0s is all at once (raw generator only)
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, help_heading = "Load")]
    pub(crate) spread: Duration,

    /// Fail if nothing arrives for this long
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Load")]
    pub(crate) timeout: Duration,

    /// Process id of the server whose CPU time and memory are measured (Linux)
    #[arg(long, help_heading = "Load")]
    pub(crate) pid: Option<u32>,

    /// Use Kokanee's client instead of the raw generator (automatic for https, proxies, revision 3)
    #[arg(long, help_heading = "Connection")]
    pub(crate) client: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Print the result as JSON
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) json: bool,

    /// Write the result to this file, as a self-contained page with charts
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,

    /// Do not show progress
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// What the connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ScenarioArg {
    /// Every connection keeps --window events in flight, and the server sends them back
    #[default]
    Echo,
    /// One connection keeps --window broadcasts to all others in flight
    Broadcast,
    /// Connections are opened and held, to measure the memory of the server
    Idle,
    /// All connections are cut at once and reconnect, --waves times
    Storm,
    /// Like echo, over long-polling: one POST and one GET for each event
    Polling,
    /// Connections are opened, with --handshakes concurrent handshakes
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
