//! Options that several subcommands have.

use clap::{Args, ValueEnum};
use kokanee::{ParserKind, Transport};
use tracing_subscriber::filter::Targets;

use super::parse::log_filter;

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
    /// Whichever the client uses
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

/// When output is coloured.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ColorArgs {
    /// When to use colours; `auto` means in a terminal, unless `NO_COLOR` is set
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

/// Which log messages of the libraries are printed.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Log level of the library on stderr: off, error, warn, info, debug, trace, or a filter such as `kokanee_client=debug`
    #[arg(
        long = "log-level",
        env = "KOKANEE_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "error",
        value_parser = log_filter,
        help_heading = "Output"
    )]
    pub(crate) filter: Targets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorArg {
    #[default]
    Auto,
    Always,
    Never,
}
