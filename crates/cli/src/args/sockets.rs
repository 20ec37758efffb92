//! Options of `kokanee tcp` and `kokanee udp`.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
    time::Duration,
};

use clap::{
    Args, Subcommand, ValueHint,
    builder::{FalseyValueParser, NonEmptyStringValueParser},
};
use kokanee::net::Framing;

use super::{ColorArgs, LogArgs, duration, time};

/// What the exit codes of these commands mean.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 success, 1 failure, 2 wrong usage, 4 timeout, 5 a message is too large or not complete, 6 no connection: \
no such host, nobody listens, unreachable, or TLS failed, 7 the connection was lost, 98 address in use, 130 interrupted \
by Ctrl-C, 143 by SIGTERM; servers end with 0 then. A second signal ends the program at once."
    };
}

const TCP_HELP: &str = concat!(
    "\
Examples:
  # a server that sends back what it receives
  kokanee tcp echo --port 5000
  # sends, and prints the answer
  kokanee tcp send localhost:5000 \"hello world\"
  # sends what you type, prints what comes
  kokanee tcp connect example.com:443 --tls
  # takes one connection, and ends with it
  kokanee tcp listen --port 5000 --raw > file
  # prints the lines of any number of clients
  kokanee tcp listen --keep-open --lines --port 5000

",
    exit_codes!()
);

const UDP_HELP: &str = concat!(
    "\
Examples:
  # a server that sends back each datagram
  kokanee udp echo --port 5000
  # sends one, and prints the answer
  kokanee udp send localhost:5000 \"hello world\"
  # a multicast group
  kokanee udp listen --port 5353 --join 224.0.0.251 --hex
  # each line that you type is a datagram
  kokanee udp connect localhost:5000
  # waits 5 s for answers after the last line
  echo hello | kokanee udp connect localhost:5000 --wait 5s

",
    exit_codes!()
);

/// TCP: echo server, listener and clients
///
/// Text is shown with everything escaped that a terminal would act upon.
#[derive(Debug, Args)]
#[command(after_long_help = TCP_HELP)]
pub(crate) struct TcpArgs {
    #[command(subcommand)]
    pub(crate) command: TcpCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TcpCommand {
    /// Send back whatever any number of clients send
    #[command(after_long_help = exit_codes!())]
    Echo(TcpEchoArgs),
    /// Take a connection: print what comes, send what is typed
    #[command(after_long_help = exit_codes!())]
    Listen(TcpListenArgs),
    /// Connect: send what is typed, print what comes
    #[command(after_long_help = exit_codes!())]
    Connect(TcpConnectArgs),
    /// Connect, send, and print the answer
    #[command(after_long_help = exit_codes!())]
    Send(TcpSendArgs),
}

/// UDP: echo server, listener and clients
///
/// Text is shown with everything escaped that a terminal would act upon.
#[derive(Debug, Args)]
#[command(after_long_help = UDP_HELP)]
pub(crate) struct UdpArgs {
    #[command(subcommand)]
    pub(crate) command: UdpCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UdpCommand {
    /// Send back each datagram
    #[command(after_long_help = exit_codes!())]
    Echo(UdpListenArgs),
    /// Print the datagrams that come
    #[command(after_long_help = exit_codes!())]
    Listen(UdpListenArgs),
    /// Send each line that is typed, print what comes
    #[command(after_long_help = exit_codes!())]
    Connect(UdpConnectArgs),
    /// Send datagrams, and print their answers
    #[command(after_long_help = exit_codes!())]
    Send(UdpSendArgs),
}

/// How messages are shown, and what is said beside them.
#[derive(Debug, Args)]
pub(crate) struct ViewArgs {
    /// Show messages in hexadecimal
    #[arg(short = 'x', long, help_heading = "Output")]
    pub(crate) hex: bool,

    /// Write the bytes to stdout as they came, and all else to stderr
    #[arg(long, conflicts_with = "hex", help_heading = "Output")]
    pub(crate) raw: bool,

    /// Print messages only: no addresses, no counts
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What one message is.
#[derive(Debug, Args)]
pub(crate) struct FramingArgs {
    /// How the stream is cut into messages: raw, lines, length-prefixed, length-prefixed:2, delimiter:TEXT
    #[arg(long, value_name = "FRAMING", default_value = "raw")]
    framing: Framing,

    /// The same as --framing lines
    #[arg(short, long, conflicts_with = "framing")]
    lines: bool,
}

impl FramingArgs {
    pub(crate) fn framing(&self) -> Framing {
        if self.lines {
            Framing::Lines
        } else {
            self.framing.clone()
        }
    }
}

/// Where to listen.
#[derive(Debug, Args)]
pub(crate) struct BindArgs {
    /// Address or name to listen on; `::` is all of IPv6 and IPv4
    #[arg(long, env = "KOKANEE_HOST", default_value = "127.0.0.1")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    host: String,

    /// Port to listen on; 0 is any free one
    #[arg(short, long, env = "KOKANEE_PORT", default_value_t = 5000)]
    port: u16,
}

impl BindArgs {
    pub(crate) fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// Whom to talk to.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The peer: `host:port`, or the host alone, with the port after it
    #[arg(value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    host: String,

    /// The port, if it is not part of the first argument
    port: Option<u16>,
}

impl TargetArgs {
    pub(crate) fn address(&self) -> String {
        match self.port {
            Some(port) => address(&self.host, port),
            None => self.host.clone(),
        }
    }
}

/// Host and port as one text: IPv6 addresses are in brackets.
pub(crate) fn address(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// What a TCP server needs.
#[derive(Debug, Args)]
pub(crate) struct TcpServerArgs {
    #[command(flatten)]
    pub(crate) bind: BindArgs,

    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    /// End a connection on which nothing goes either way for this time
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Connections at the same time; further ones are closed
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) max_connections: usize,

    /// PEM file with the certificate chain: encrypt with TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file with the private key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TcpEchoArgs {
    #[command(flatten)]
    pub(crate) server: TcpServerArgs,

    /// End after this many connections
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) count: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
pub(crate) struct TcpListenArgs {
    #[command(flatten)]
    pub(crate) server: TcpServerArgs,

    #[command(flatten)]
    pub(crate) end: EndArgs,

    /// Take any number of connections, and only print what comes
    #[arg(short, long, conflicts_with_all = ["wait", "no_finish"])]
    pub(crate) keep_open: bool,
}

/// What a TCP client needs.
#[derive(Debug, Args)]
pub(crate) struct TcpClientArgs {
    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    /// Encrypt with TLS
    #[arg(long, help_heading = "TLS")]
    pub(crate) tls: bool,

    /// PEM file with certificates that are trusted beside those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls", help_heading = "TLS")]
    pub(crate) ca: Option<PathBuf>,

    /// Name that the server's certificate must have, if it is not the host
    #[arg(long, value_name = "NAME", requires = "tls", help_heading = "TLS")]
    pub(crate) server_name: Option<String>,

    /// Accept any certificate: whoever is in between can read and change everything
    #[arg(long, requires = "tls", conflicts_with = "ca", help_heading = "TLS")]
    pub(crate) insecure: bool,

    /// Time in which the connection must be made
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// What the end of the standard input means for a connection.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// End when nothing has come for this time after the end of the input, instead of at the peer's end
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<Duration>,

    /// Do not end our side with the input; some peers take that for the end of the connection
    #[arg(long)]
    pub(crate) no_finish: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TcpConnectArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    #[command(flatten)]
    pub(crate) client: TcpClientArgs,

    #[command(flatten)]
    pub(crate) end: EndArgs,

    /// End with exit code 4 if nothing goes either way for this time
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct TcpSendArgs {
    #[command(flatten)]
    pub(crate) client: TcpClientArgs,

    #[command(flatten)]
    pub(crate) messages: MessageArgs,

    /// Time to wait for the answer, or for more of it
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// End after this many messages of the answer, instead of at the peer's end
    #[arg(long, value_name = "COUNT")]
    pub(crate) answers: Option<NonZeroU64>,

    /// Do not end our side when all is sent; some peers take that for the end of the connection
    #[arg(long)]
    pub(crate) no_finish: bool,

    /// Do not wait for an answer
    #[arg(long, conflicts_with = "answers")]
    pub(crate) no_answer: bool,
}

/// What to send, and to whom.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The peer: `host:port`, or the host alone, with the port after it
    #[arg(value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    target: String,

    /// Messages: text, or @FILE for the bytes of a file
    #[arg(required = true, value_name = "MESSAGE", allow_negative_numbers = true)]
    words: Vec<String>,

    /// How often they are sent
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "1")]
    pub(crate) count: NonZeroU64,

    /// Time between two of them
    #[arg(short, long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) interval: Duration,
}

impl MessageArgs {
    /// The peer's address, and the messages.
    pub(crate) fn parts(&self) -> Result<(String, &[String]), String> {
        if has_port(&self.target) {
            return Ok((self.target.clone(), &self.words));
        }
        let missing = |what| format!("{what} is missing: HOST:PORT MESSAGE… is expected");
        let (port, messages) = self
            .words
            .split_first()
            .ok_or_else(|| missing("the port"))?;
        let port = port.parse().map_err(|_| missing("the port"))?;
        if messages.is_empty() {
            return Err(missing("the message"));
        }
        Ok((address(&self.target, port), messages))
    }
}

/// Whether this is a host with a port, and not a host alone.
fn has_port(target: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    target.parse::<SocketAddr>().is_ok()
        || matches!(target.rsplit_once(':'), Some((host, port)) if !host.contains(':') && is_port(port))
}

#[derive(Debug, Args)]
pub(crate) struct UdpListenArgs {
    #[command(flatten)]
    pub(crate) bind: BindArgs,

    /// Multicast group whose datagrams are received, too; can be repeated
    #[arg(long, value_name = "GROUP")]
    pub(crate) join: Vec<IpAddr>,

    /// Size above which datagrams are thrown away, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 65_535)]
    pub(crate) max_datagram_bytes: usize,

    /// End after this many datagrams
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) count: Option<NonZeroU64>,

    /// End with exit code 4 if no datagram comes for this time
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UdpConnectArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Time in which answers are still printed after the input has ended; each answer starts it anew
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub(crate) wait: Duration,

    /// End with exit code 4 if nothing comes for this time
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UdpSendArgs {
    #[command(flatten)]
    pub(crate) messages: MessageArgs,

    /// Time to wait for each answer
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Do not wait for answers
    #[arg(long)]
    pub(crate) no_answer: bool,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_behind_a_colon_or_an_argument_of_its_own() {
        let parts = |words: &[&str]| {
            let args = MessageArgs {
                target: words[0].to_owned(),
                words: words[1..].iter().map(|word| (*word).to_owned()).collect(),
                count: NonZeroU64::MIN,
                interval: Duration::ZERO,
            };
            args.parts()
                .map(|(address, messages)| format!("{address} {}", messages.join(" ")))
        };
        for (words, expected) in [
            (&["localhost:5000", "hi"][..], "localhost:5000 hi"),
            (&["localhost", "5000", "hi", "you"], "localhost:5000 hi you"),
            (&["127.0.0.1:5000", "6000"], "127.0.0.1:5000 6000"),
            (&["::1", "5000", "-1"], "[::1]:5000 -1"),
            (&["[::1]:5000", "hi"], "[::1]:5000 hi"),
        ] {
            assert_eq!(parts(words), Ok(expected.to_owned()), "{words:?}");
        }
        for words in [
            &["localhost", "hi"][..],
            &["localhost", "5000"],
            &["::1", "x"],
        ] {
            assert!(
                parts(words).is_err_and(|error| error.contains("is missing")),
                "{words:?}"
            );
        }
    }
}
