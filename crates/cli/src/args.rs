//! The command line: subcommands, and the values that several of them understand. The options of each are a module.

mod bench;
mod client;
mod completions;
mod inspect;
mod serve;
mod sockets;

use std::{fs, time::Duration};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use kokanee::{ParserKind, Transport};
use tracing_subscriber::EnvFilter;

pub(crate) use bench::{BenchArgs, ScenarioArg};
pub(crate) use client::{ConnectArgs, ConnectionArgs, EmitArgs, ListenArgs};
pub(crate) use completions::{CompletionsArgs, ManArgs};
pub(crate) use inspect::{InspectArgs, InspectForm};
pub(crate) use serve::{RawArgs, ServeArgs};
pub(crate) use sockets::{
    EndArgs, MessageArgs, TcpArgs, TcpClientArgs, TcpCommand, TcpConnectArgs, TcpEchoArgs,
    TcpListenArgs, TcpSendArgs, TcpServerArgs, UdpArgs, UdpCommand, UdpConnectArgs, UdpListenArgs,
    UdpSendArgs, ViewArgs, address,
};

/// Socket.IO for the terminal
#[derive(Debug, Parser)]
#[command(name = "kokanee", version, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parses the arguments of this process. Ends it if they are wrong, or ask for help.
    pub(crate) fn from_process() -> Self {
        let matches = hide_env(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Leaves environment variables out of the help: each option would be twice as long with its own.
fn hide_env(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| arg.hide_env(true));
    command.mut_subcommands(hide_env)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<ServeArgs>),
    Connect(Box<ConnectArgs>),
    Emit(Box<EmitArgs>),
    Listen(Box<ListenArgs>),
    Bench(Box<BenchArgs>),
    Inspect(InspectArgs),
    Tcp(Box<TcpArgs>),
    Udp(Box<UdpArgs>),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportArg {
    /// HTTP long-polling
    Polling,
    /// WebSocket
    Websocket,
}

impl From<TransportArg> for Transport {
    fn from(transport: TransportArg) -> Self {
        match transport {
            TransportArg::Polling => Self::Polling,
            TransportArg::Websocket => Self::WebSocket,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ParserArg {
    /// JSON, with binary data as attachments
    #[default]
    Default,
    /// msgpack, as socket.io-msgpack-parser
    Msgpack,
    /// Whichever a client uses
    Both,
}

impl From<ParserArg> for ParserKind {
    fn from(parser: ParserArg) -> Self {
        match parser {
            ParserArg::Default => Self::Default,
            ParserArg::Msgpack => Self::Msgpack,
            ParserArg::Both => Self::Both,
        }
    }
}

/// When output has colours.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ColorArgs {
    /// When to use colours; `auto` is in a terminal, unless `NO_COLOR` is set
    #[arg(
        long = "color",
        env = "KOKANEE_COLOR",
        value_name = "WHEN",
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub(crate) when: ColorArg,
}

/// What the libraries log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// What the library reports on stderr: off, error, warn, info, debug, trace, or a filter such as `kokanee_client=debug`
    #[arg(
        long = "log-level",
        env = "KOKANEE_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "error",
        value_parser = log_level,
        help_heading = "Output"
    )]
    pub(crate) level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorArg {
    #[default]
    Auto,
    Always,
    Never,
}

/// Parses a time such as `300ms`, `25s` or `2m`: at least 1 ms, at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a number with a unit is expected: 300ms, 25s, 2m or 1h".to_owned()),
    };
    let ms = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms));
    match ms.map(Duration::from_millis) {
        Some(time) if !time.is_zero() && time <= DAY => Ok(time),
        _ => Err("from 1ms to 24h are possible".to_owned()),
    }
}

/// Parses a time that may also be `0s`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" | "0ms" => Ok(Duration::ZERO),
        text => duration(text),
    }
}

/// Parses JSON, or reads it from the file behind an `@`.
pub(crate) fn json_or_file(text: &str) -> Result<serde_json::Value, String> {
    let file = text.strip_prefix('@').map(fs::read_to_string);
    let read = match &file {
        Some(Ok(content)) => content,
        Some(Err(error)) => return Err(format!("the file cannot be read: {error}")),
        None => text,
    };
    serde_json::from_str(read).map_err(|error| format!("this is not JSON: {error}"))
}

/// Parses the path of the Socket.IO requests: a part of a URL, and not `/` alone, where the pages are.
pub(crate) fn path(text: &str) -> Result<String, String> {
    let name = text.trim_matches('/');
    let fits = |c: char| c.is_ascii_graphic() && !"?#%\\\"<>".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        return Err("a path such as /socket.io is expected".to_owned());
    }
    Ok(format!("/{name}"))
}

fn log_level(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The options of a command and of all below it, as `(command, letter, name)`.
    fn options(command: &clap::Command) -> Vec<(String, Option<char>, String)> {
        let own = command.get_arguments().filter_map(|arg| {
            let name = arg.get_long()?.to_owned();
            Some((command.get_name().to_owned(), arg.get_short(), name))
        });
        let below = command.get_subcommands().flat_map(options);
        own.chain(below).collect()
    }

    #[test]
    fn a_letter_is_the_same_option_in_every_command() {
        let options = options(&Cli::command());
        for (command, letter, name) in options.iter().filter(|(_, letter, _)| letter.is_some()) {
            for (other, other_letter, other_name) in &options {
                assert_eq!(
                    letter == other_letter,
                    name == other_name,
                    "{letter:?} --{name} of {command}, {other_letter:?} --{other_name} of {other}"
                );
            }
        }
        assert!(options.len() > 100, "{options:?}");
    }

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
            "1 s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn some_times_may_be_zero() {
        assert_eq!(time("0s"), Ok(Duration::ZERO));
        assert_eq!(time("2s"), duration("2s"));
        assert!(time("-1s").is_err());
    }

    #[test]
    fn json_comes_from_the_command_line_or_a_file() {
        assert_eq!(json_or_file("{\"a\":1}"), Ok(serde_json::json!({"a": 1})));
        assert!(json_or_file("{a:1}").is_err_and(|error| error.contains("not JSON")));
        assert!(
            json_or_file("@/no/such/file").is_err_and(|error| error.contains("cannot be read"))
        );
    }

    #[test]
    fn a_path_has_one_slash_before_it_and_none_behind() {
        assert_eq!(path("/socket.io/"), Ok("/socket.io".to_owned()));
        assert_eq!(path("live/io"), Ok("/live/io".to_owned()));
        for wrong in ["", "/", "//", "/a b", "/a?b", "/a\n", "/é"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
