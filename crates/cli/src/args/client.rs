//! Options of the commands that connect to a server: `emit`, `listen` and `connect`. `bench` shares those of the connection.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, ValueHint, builder::FalseyValueParser, value_parser};

use super::{ColorArgs, LogArgs, ParserArg, TransportArg, duration, json_or_file, path, time};

/// What the exit codes of these commands mean.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 success, 1 failure, 2 wrong usage, 3 refused by the server, its namespace or its handler, 4 timeout, 5 the server does \
not speak the protocol (or another revision), 6 no connection: no such host, nobody listens, TLS or the proxy failed, \
7 the connection was lost or closed by the server, 130 interrupted by Ctrl-C, 143 by SIGTERM. A second signal ends the program at once."
    };
}

const EMIT_HELP: &str = concat!(
    "\
Each argument of the event is JSON; what is not JSON is text. @FILE is the content of a file as binary data, and the \
JSON {\"_binary\": \"<base64>\"} is binary data, too. Answers are printed as JSON, one array of arguments a line.

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
Lost connections are made again, and stderr says so. Events can be missed meanwhile.

Examples:
  # all events
  kokanee listen http://localhost:3000
  kokanee listen localhost:3000 -e clock --json | jq .args
  # one event, or exit code 4
  kokanee listen localhost:3000 --count 1 --timeout 5s
  # answers what wants an answer
  kokanee listen localhost:3000 --answer '\"ok\"'

",
    exit_codes!()
);

const CONNECT_HELP: &str = concat!(
    "\
What you type is an event and its arguments: JSON, plain words, or @FILE for binary data. A name with spaces is written \
in quotes. With a ? in front an answer is asked for. Commands begin with a slash; /help lists them.

  # emits the event echo with two arguments
  echo 1 {\"a\": 2}
  # asks for an answer
  ?\"chat message\" hello
  # sends the content of a file
  binary @picture.png
  # joins a room of the demo server, and the namespace /admin
  /join lobby
  /ns admin
  # hides an event that comes too often
  /mute clock

Tab completes the names of events that came, the arrows recall what was typed before. Without a terminal, lines are read \
from the standard input and events are written to the standard output, one a line. After the end of the input, and all \
answers, what comes is printed for one more second (--wait).

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
    /// The server: `http://host:port` (or https, ws, wss; http if it is left out), with the namespace as its path
    #[arg(value_hint = ValueHint::Url)]
    pub(crate) url: String,

    /// Path of the Socket.IO requests
    #[arg(long, env = "KOKANEE_PATH", default_value = "/socket.io", value_parser = path, help_heading = "Connection")]
    pub(crate) path: String,

    /// `auth` for the namespace: JSON, or @FILE with it
    #[arg(long, env = "KOKANEE_AUTH", value_name = "JSON", value_parser = json_or_file, help_heading = "Connection")]
    pub(crate) auth: Option<serde_json::Value>,

    /// Transports in the order in which they are used [default: polling,websocket, of bench: websocket]
    #[arg(
        long,
        env = "KOKANEE_TRANSPORTS",
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    pub(crate) transports: Vec<TransportArg>,

    /// Stay with the first transport
    #[arg(long, help_heading = "Connection")]
    pub(crate) no_upgrade: bool,

    /// Header of every request, as `Name: value`; can be repeated
    #[arg(short = 'H', long, value_name = "HEADER", value_parser = header, help_heading = "Connection")]
    pub(crate) header: Vec<(String, String)>,

    /// Parameter of every request, as `name=value`; can be repeated
    #[arg(long, value_name = "PARAMETER", value_parser = parameter, help_heading = "Connection")]
    pub(crate) query: Vec<(String, String)>,

    /// Revision of the Engine.IO protocol: 3 for servers of Socket.IO 2
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

    /// Compress what is sent (permessage-deflate), if the server does
    #[arg(long, help_heading = "Connection")]
    pub(crate) compression: bool,

    /// Proxy: `http://host:port` or `socks5://host:port`
    #[arg(
        long,
        env = "KOKANEE_PROXY",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub(crate) proxy: Option<String>,

    /// Connect by this Unix socket instead of the URL's host and port
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Connection")]
    pub(crate) unix_socket: Option<PathBuf>,

    /// PEM file with certificates that are trusted beside those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Connection")]
    pub(crate) ca: Option<PathBuf>,

    /// PEM file with the certificate of this client
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "key", help_heading = "Connection")]
    pub(crate) cert: Option<PathBuf>,

    /// PEM file with its private key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "cert", help_heading = "Connection")]
    pub(crate) key: Option<PathBuf>,

    /// Accept any certificate of the server: whoever is in between can read and change everything
    #[arg(long, help_heading = "Connection")]
    pub(crate) insecure: bool,

    /// Time in which the connection must be made [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Connection")]
    pub(crate) connect_timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl ConnectionArgs {
    /// Whether nothing is asked for beside a server, its path and `auth`.
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

/// Send an event, and print its answer
#[derive(Debug, Args)]
#[command(after_long_help = EMIT_HELP)]
pub(crate) struct EmitArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Name of the event
    #[arg(allow_negative_numbers = true)]
    pub(crate) event: String,

    /// Its arguments: JSON, text, or @FILE
    #[arg(allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,

    /// Take the arguments as text, even if they look like JSON or a file
    #[arg(long)]
    pub(crate) text: bool,

    /// Add the content of a file as an argument after the others; can be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) binary: Vec<PathBuf>,

    /// Wait for the answer (acknowledgement), and print it
    #[arg(short, long)]
    pub(crate) ack: bool,

    /// Time in which the answer must come
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// How often the event is sent
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "1")]
    pub(crate) count: NonZeroU64,

    /// Time between two of them
    #[arg(short, long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) interval: Duration,
}

/// Print the events that come
#[derive(Debug, Args)]
#[command(after_long_help = LISTEN_HELP)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Print events of this name only; can be repeated
    #[arg(short, long, value_name = "NAME")]
    pub(crate) event: Vec<String>,

    /// End after this many events
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) count: Option<NonZeroU64>,

    /// End with exit code 4 if no event comes for this time
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Answer each event that wants an answer with this: JSON, text, or @FILE; can be repeated for several arguments
    #[arg(long, value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) answer: Vec<String>,

    /// End with exit code 7 when the connection is lost, instead of making it again
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Print JSON, one object a line; bytes are `{"_binary": "<base64>"}`
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Say nothing on stderr about connections that are lost and made
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
}

/// Talk to a server: see its events, type yours
#[derive(Debug, Args)]
#[command(after_long_help = CONNECT_HELP)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    /// Without a terminal: JSON, one object a line
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// Do not show events of this name; can be repeated, and changed with /mute and /unmute
    #[arg(long, value_name = "NAME")]
    pub(crate) mute: Vec<String>,

    /// Without a terminal: time in which events are still printed after the input has ended and all answers are there
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) wait: Duration,

    /// Neither read nor write the file with what was typed before
    #[arg(long)]
    pub(crate) no_history: bool,
}

/// Parses `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("a header is expected, such as `Authorization: Bearer abc`".to_owned()),
    }
}

/// Parses `name=value`.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a parameter is expected, such as token=abc".to_owned()),
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
