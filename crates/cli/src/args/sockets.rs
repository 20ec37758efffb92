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

use super::{
    common::{ColorArgs, LogArgs},
    parse::{duration, time},
};

/// The exit codes of these commands, for their help.
macro_rules! exit_codes {
    () => {
        "\
Exit codes: 0 success, 1 failure, 2 wrong usage, 4 timeout, 5 a message is too large or incomplete, 6 no connection: \
unknown host, nothing listens there, unreachable, or TLS failed, 7 the connection was lost, 98 address in use, 130 interrupted \
by Ctrl-C, 143 by SIGTERM; servers exit with 0 on a signal. A second signal ends the program immediately."
    };
}

const TCP_HELP: &str = concat!(
    "\
Examples:
  # a server that sends back what it receives
  kokanee tcp echo --port 5000
  # sends a message and prints the reply
  kokanee tcp send localhost:5000 \"hello world\"
  # sends what you type, prints what is received
  kokanee tcp connect example.com:443 --tls
  # accepts one connection, and exits when it ends
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
  # sends a datagram and prints the reply
  kokanee udp send localhost:5000 \"hello world\"
  # joins a multicast group
  kokanee udp listen --port 5353 --join 224.0.0.251 --hex
  # each line that you type is a datagram
  kokanee udp connect localhost:5000
  # waits 5 s for replies after the last line
  echo hello | kokanee udp connect localhost:5000 --wait 5s

",
    exit_codes!()
);

/// TCP: echo server, listener and clients
///
/// Control characters in received text are shown as escapes.
#[derive(Debug, Args)]
#[command(after_long_help = TCP_HELP)]
pub(crate) struct TcpArgs {
    #[command(subcommand)]
    pub(crate) command: TcpCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TcpCommand {
    /// Send everything back, to any number of clients
    #[command(after_long_help = exit_codes!())]
    Echo(TcpEchoArgs),
    /// Accept one connection: print what is received, send what is typed
    #[command(after_long_help = exit_codes!())]
    Listen(TcpListenArgs),
    /// Connect: send what is typed, print what is received
    #[command(after_long_help = exit_codes!())]
    Connect(TcpConnectArgs),
    /// Connect, send, and print the reply
    #[command(after_long_help = exit_codes!())]
    Send(TcpSendArgs),
}

/// UDP: echo server, listener and clients
///
/// Control characters in received text are shown as escapes.
#[derive(Debug, Args)]
#[command(after_long_help = UDP_HELP)]
pub(crate) struct UdpArgs {
    #[command(subcommand)]
    pub(crate) command: UdpCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UdpCommand {
    /// Send every datagram back
    #[command(after_long_help = exit_codes!())]
    Echo(UdpListenArgs),
    /// Print received datagrams
    #[command(after_long_help = exit_codes!())]
    Listen(UdpListenArgs),
    /// Send each typed line as a datagram, print what is received
    #[command(after_long_help = exit_codes!())]
    Connect(UdpConnectArgs),
    /// Send datagrams and print the replies
    #[command(after_long_help = exit_codes!())]
    Send(UdpSendArgs),
}

/// How messages are shown, and what else is printed.
#[derive(Debug, Args)]
pub(crate) struct ViewArgs {
    /// Show messages in hexadecimal
    #[arg(short = 'x', long, help_heading = "Output")]
    pub(crate) hex: bool,

    /// Write the received bytes unchanged to stdout, and everything else to stderr
    #[arg(long, conflicts_with = "hex", help_heading = "Output")]
    pub(crate) raw: bool,

    /// Print only messages, without connections and totals
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// How a stream is split into messages.
#[derive(Debug, Args)]
pub(crate) struct FramingArgs {
    /// How the stream is split into messages: raw, lines, length-prefixed, length-prefixed:2, delimiter:TEXT
    #[arg(long, value_name = "FRAMING", default_value = "raw")]
    framing: Framing,

    /// Short for --framing lines
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
    /// Address or name to listen on; `::` means all IPv6 and IPv4 addresses
    #[arg(long, env = "KOKANEE_HOST", default_value = "127.0.0.1")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    host: String,

    /// Port to listen on; 0 means any free port
    #[arg(short, long, env = "KOKANEE_PORT", default_value_t = 5000)]
    port: u16,
}

impl BindArgs {
    pub(crate) fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

/// The peer to talk to.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The peer: `host:port`, or the host with the port as the next argument
    #[arg(value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    host: String,

    /// Port of the peer, if the first argument is only the host
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

/// Joins host and port; IPv6 addresses are put in brackets.
pub(crate) fn address(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// Options of TCP servers.
#[derive(Debug, Args)]
pub(crate) struct TcpServerArgs {
    #[command(flatten)]
    pub(crate) bind: BindArgs,

    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    /// Close a connection that is idle in both directions for this long
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Maximum concurrent connections; further ones are closed
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub(crate) max_connections: usize,

    /// PEM file with the certificate chain; enables TLS
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

    /// Exit after this many connections
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) count: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
pub(crate) struct TcpListenArgs {
    #[command(flatten)]
    pub(crate) server: TcpServerArgs,

    #[command(flatten)]
    pub(crate) end: EndArgs,

    /// Accept any number of connections, and only print what is received
    #[arg(short, long, conflicts_with_all = ["wait", "no_finish"])]
    pub(crate) keep_open: bool,
}

/// Options of TCP clients.
#[derive(Debug, Args)]
pub(crate) struct TcpClientArgs {
    #[command(flatten)]
    pub(crate) framing: FramingArgs,

    /// Encrypt with TLS
    #[arg(long, help_heading = "TLS")]
    pub(crate) tls: bool,

    /// PEM file with CA certificates to trust in addition to the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls", help_heading = "TLS")]
    pub(crate) ca: Option<PathBuf>,

    /// Name expected in the server's certificate, if it is not the host
    #[arg(long, value_name = "NAME", requires = "tls", help_heading = "TLS")]
    pub(crate) server_name: Option<String>,

    /// Accept any certificate: anyone on the network path can read and change everything
    #[arg(long, requires = "tls", conflicts_with = "ca", help_heading = "TLS")]
    pub(crate) insecure: bool,

    /// Timeout for connecting
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// How the end of stdin ends a connection.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// Exit if nothing is received for this long after the end of the input, instead of waiting for the peer to close
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<Duration>,

    /// Do not close the sending side at the end of the input; some peers then close the connection
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

    /// Exit with code 4 if the connection is idle in both directions for this long
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct TcpSendArgs {
    #[command(flatten)]
    pub(crate) client: TcpClientArgs,

    #[command(flatten)]
    pub(crate) messages: MessageArgs,

    /// Time to wait for the reply, or for more of it
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

/// The peer, and what to send to it.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The peer: `host:port`, or the host with the port as the next argument
    #[arg(value_name = "HOST:PORT", value_hint = ValueHint::Hostname)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    target: String,

    /// Messages to send: text, or @FILE for the bytes of a file
    #[arg(required = true, value_name = "MESSAGE", allow_negative_numbers = true)]
    words: Vec<String>,

    /// How many times to send them
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "1")]
    pub(crate) count: NonZeroU64,

    /// Time between two rounds
    #[arg(short, long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) interval: Duration,
}

impl MessageArgs {
    /// Returns the peer's address, and the messages.
    pub(crate) fn parts(&self) -> Result<(String, &[String]), String> {
        if has_port(&self.target) {
            return Ok((self.target.clone(), &self.words));
        }
        let missing = |what| format!("{what} is missing: expected HOST:PORT MESSAGE…");
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

/// Returns whether this is a host with a port, and not only a host.
fn has_port(target: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    target.parse::<SocketAddr>().is_ok()
        || matches!(target.rsplit_once(':'), Some((host, port)) if !host.contains(':') && is_port(port))
}

#[derive(Debug, Args)]
pub(crate) struct UdpListenArgs {
    #[command(flatten)]
    pub(crate) bind: BindArgs,

    /// Multicast group to join; can be repeated
    #[arg(long, value_name = "GROUP")]
    pub(crate) join: Vec<IpAddr>,

    /// Maximum size of a datagram; larger ones are dropped
    #[arg(long, value_name = "BYTES", default_value_t = 65_535)]
    pub(crate) max_datagram_bytes: usize,

    /// Exit after this many datagrams
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) count: Option<NonZeroU64>,

    /// Exit with code 4 if no datagram arrives for this long
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UdpConnectArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How long to wait for replies after the end of the input; each reply restarts the wait
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub(crate) wait: Duration,

    /// Exit with code 4 if nothing is received for this long
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UdpSendArgs {
    #[command(flatten)]
    pub(crate) messages: MessageArgs,

    /// Time to wait for each reply
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Do not wait for replies
    #[arg(long)]
    pub(crate) no_answer: bool,

    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_follows_a_colon_or_is_an_argument() {
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
