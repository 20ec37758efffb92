//! Options of the commands that connect to a server: `emit`, `listen` and `connect`. `bench` has those of the connection, too.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, ValueHint, builder::FalseyValueParser, value_parser};

use super::{
    common::{ColorArgs, LogArgs, ParserArg, TransportArg},
    parse::{duration, json_or_file, path, time},
};

/// The exit codes of these commands, for their help.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 success, 1 failure, 2 wrong usage, 3 refused by the server, its namespace or its handler, 4 timeout, 5 the server does \
not speak the protocol, or another revision of it, 6 no connection: unknown host, nothing listens there, TLS or the proxy failed, \
7 the connection was lost or closed by the server, 130 interrupted by Ctrl-C, 143 by SIGTERM. A second signal ends the program \
immediately."
    };
}

const EMIT_HELP: &str = concat!(
    "\
Each argument is parsed as JSON; an argument that is not valid JSON is sent as text. @FILE sends the content of a file as \
binary data, and so does the JSON {\"_binary\": \"<base64>\"}. Acknowledgements are printed as JSON, one array of arguments per line.

Examples:
  kokanee emit http://localhost:3000 'chat message' hello
  # prints [-1,{\"a\":[2,3]}]
  kokanee emit localhost:3000 echo -1 '{\"a\":[2,3]}' --ack
  kokanee emit localhost:3000 binary --binary picture.png -a
  kokanee emit localhost:3000/private whoami --ack \\
    --auth '{\"token\":\"kokanee\"}'
  kokanee emit https://example.com tick -n 10 --interval 1s

",
    exit_codes!()
);

const LISTEN_HELP: &str = concat!(
    "\
A lost connection is reconnected automatically and reported on stderr. Events sent in between can be missed.

Examples:
  # all events
  kokanee listen http://localhost:3000
  kokanee listen localhost:3000 -e clock --json | jq .args
  # one event; exit code 4 if none arrives within 5 s
  kokanee listen localhost:3000 --count 1 --timeout 5s
  # acknowledges every event that asks for it
  kokanee listen localhost:3000 --answer '\"ok\"'

",
    exit_codes!()
);

const CONNECT_HELP: &str = concat!(
    "\
Type an event name and its arguments: JSON, plain words, or @FILE for binary data. Put a name with spaces in quotes. Put a ? \
in front to ask for an acknowledgement. Commands start with a slash; /help lists them.

  # emits the event echo with two arguments
  echo 1 {\"a\": 2}
  # asks for an acknowledgement
  ?\"chat message\" hello
  # sends the content of a file
  binary @picture.png
  # joins a room of the demo server, and the namespace /admin
  /join lobby
  /ns admin
  # hides an event that arrives too often
  /mute clock

Tab completes the names of received events, the arrow keys recall earlier lines. Without a terminal, lines are read \
from stdin and events are written to stdout, one per line. After the end of the input and the last acknowledgement, \
events are printed for one more second (--wait).

Examples:
  kokanee connect http://localhost:3000
  kokanee connect localhost:3000 --mute clock
  kokanee connect localhost:3000/private --auth @auth.json
  echo '?who' | kokanee connect localhost:3000

",
    exit_codes!()
);

/// Where and how to connect.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// Server URL with the namespace as its path: `http://host:port/namespace` (or https, ws, wss; default http)
    #[arg(value_hint = ValueHint::Url)]
    pub(crate) url: String,

    /// Path of the Socket.IO requests
    #[arg(long, env = "KOKANEE_PATH", default_value = "/socket.io", value_parser = path, help_heading = "Connection")]
    pub(crate) path: String,

    /// The `auth` object for the namespace: JSON, or @FILE to read it from a file
    #[arg(long, env = "KOKANEE_AUTH", value_name = "JSON", value_parser = json_or_file, help_heading = "Connection")]
    pub(crate) auth: Option<serde_json::Value>,

    /// Transports, in the order in which they are tried [default: polling,websocket; for bench: websocket]
    #[arg(
        long,
        env = "KOKANEE_TRANSPORTS",
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    pub(crate) transports: Vec<TransportArg>,

    /// Stay on the first transport
    #[arg(long, help_heading = "Connection")]
    pub(crate) no_upgrade: bool,

    /// Header sent with every request, as `Name: value`; can be repeated
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header, help_heading = "Connection")]
    pub(crate) header: Vec<(String, String)>,

    /// Query parameter sent with every request, as `name=value`; can be repeated
    #[arg(long, value_name = "PARAMETER", value_parser = parameter, help_heading = "Connection")]
    pub(crate) query: Vec<(String, String)>,

    /// Revision of the Engine.IO protocol: 3 for Socket.IO 2 servers
    #[arg(short, long, value_parser = value_parser!(u8).range(3..=4), default_value_t = 4, help_heading = "Connection")]
    pub(crate) revision: u8,

    /// How packets are encoded
    #[arg(
        long,
        env = "KOKANEE_PARSER",
        value_enum,
        default_value_t,
        help_heading = "Connection"
    )]
    pub(crate) parser: ParserArg,

    /// Compress messages (permessage-deflate) if the server supports it
    #[arg(long, help_heading = "Connection")]
    pub(crate) compression: bool,

    /// Proxy to connect through: `http://host:port` or `socks5://host:port`
    #[arg(
        long,
        env = "KOKANEE_PROXY",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub(crate) proxy: Option<String>,

    /// Connect to this Unix socket instead of the URL's host and port
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Connection")]
    pub(crate) unix_socket: Option<PathBuf>,

    /// PEM file with CA certificates to trust in addition to the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Connection")]
    pub(crate) ca: Option<PathBuf>,

    /// PEM file with the client certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "key", help_heading = "Connection")]
    pub(crate) cert: Option<PathBuf>,

    /// PEM file with the client certificate's private key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "cert", help_heading = "Connection")]
    pub(crate) key: Option<PathBuf>,

    /// Accept any server certificate: anyone on the network path can read and change everything
    #[arg(long, help_heading = "Connection")]
    pub(crate) insecure: bool,

    /// Timeout for connecting [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Connection")]
    pub(crate) connect_timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl ConnectionArgs {
    /// Returns whether the raw generator can make the connection: only the server, its path and `auth` are set.
    pub(crate) fn is_plain(&self) -> bool {
        let Self {
            url: _,
            path: _,
            auth: _,
            transports,
            no_upgrade,
            header,
            query,
            revision,
            parser,
            compression,
            proxy,
            unix_socket,
            ca,
            cert,
            key,
            insecure,
            connect_timeout,
            color: _,
            log: _,
        } = self;
        let has_file = [unix_socket, ca, cert, key]
            .iter()
            .any(|file| file.is_some());
        transports.is_empty()
            && header.is_empty()
            && query.is_empty()
            && *revision == 4
            && *parser == ParserArg::Default
            && proxy.is_none()
            && connect_timeout.is_none()
            && !(*no_upgrade || *compression || *insecure || has_file)
    }
}

/// Send an event and print the acknowledgement
#[derive(Debug, Args)]
#[command(after_long_help = EMIT_HELP)]
pub(crate) struct EmitArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Name of the event
    #[arg(allow_negative_numbers = true)]
    pub(crate) event: String,

    /// Arguments of the event: JSON, text, or @FILE
    #[arg(allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,

    /// Send the arguments as text, even if they look like JSON or @FILE
    #[arg(long)]
    pub(crate) text: bool,

    /// Append the content of a file as a binary argument; can be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) binary: Vec<PathBuf>,

    /// Wait for the acknowledgement and print it
    #[arg(short, long)]
    pub(crate) ack: bool,

    /// Timeout for the acknowledgement
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// How many times to send the event
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "1")]
    pub(crate) count: NonZeroU64,

    /// Time between two events
    #[arg(short, long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) interval: Duration,
}

/// Print incoming events
#[derive(Debug, Args)]
#[command(after_long_help = LISTEN_HELP)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Print only events with this name; can be repeated
    #[arg(short, long, value_name = "NAME")]
    pub(crate) event: Vec<String>,

    /// Stop after this many events
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) count: Option<NonZeroU64>,

    /// Exit with code 4 if no event arrives for this long
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Acknowledge events that ask for it with this argument: JSON, text, or @FILE; can be repeated
    #[arg(long, value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) answer: Vec<String>,

    /// Exit with code 7 when the connection is lost, instead of reconnecting
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Print JSON, one object per line; binary data is `{"_binary": "<base64>"}`
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Do not report lost and new connections on stderr
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
}

/// Talk to a server interactively: see its events, type your own
#[derive(Debug, Args)]
#[command(after_long_help = CONNECT_HELP)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Print JSON, one object per line, and read lines from stdin even in a terminal
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Hide events with this name; can be repeated, and changed with /mute and /unmute
    #[arg(long, value_name = "NAME")]
    pub(crate) mute: Vec<String>,

    /// Without a terminal: how long to print events after the end of the input and the last acknowledgement
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) wait: Duration,

    /// Do not read or write the history file
    #[arg(long)]
    pub(crate) no_history: bool,
}

/// Parses `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected a header such as `Authorization: Bearer abc`".to_owned()),
    }
}

/// Parses `name=value`.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected a parameter such as token=abc".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_parameters_have_a_name() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("X-A:  b: c "), pair("X-A", "b: c"));
        assert!(header(": b").is_err() && header("X-A").is_err());
        assert_eq!(parameter("a=b=c"), pair("a", "b=c"));
        assert!(parameter("=b").is_err() && parameter("a").is_err());
    }
}
