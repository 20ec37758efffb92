//! Options of `kokanee serve`.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, ValueHint,
    builder::{FalseyValueParser, NonEmptyStringValueParser},
};
use kokanee::{Cookie, Limits, TrustedProxy, bridge::Rule, net::Framing};

use super::{ColorArgs, LogArgs, ParserArg, TransportArg, duration, path, time};

const SERVE_HELP: &str = "\
Examples:
  # a server and a page that shows it, on port 3000
  kokanee serve
  # for the whole network
  kokanee serve --host 0.0.0.0 --port 8080
  # your own page; the server answers the demo events
  kokanee serve --static ./public
  # for a page of another origin
  kokanee serve --cors https://app.example.com
  kokanee serve --tls-cert cert.pem --tls-key key.pem
  # raw TCP peers as peers of the namespace /tcp
  kokanee serve --tcp 7000 --framing lines
  # any free port, a log for programs
  kokanee serve --port 0 --json | jq

Each option can be an environment variable, too: KOKANEE_PORT=8080, KOKANEE_QUIET=1.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 failure, 2 wrong usage, 98 port in use, \
130 or 143 stopped at once by a second signal (Ctrl-C, SIGTERM).";

/// Run a Socket.IO server: echo, rooms, chat, acks and more, and a page that shows them
///
/// Any Socket.IO client can connect. Without options it listens on port 3000 of this machine, shows a demo page
/// there, and prints what happens, one line for each event. Times are UTC.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
#[command(after_long_help = SERVE_HELP)]
pub(crate) struct ServeArgs {
    /// Address or name to listen on
    #[arg(
        long,
        env = "KOKANEE_HOST",
        default_value = "127.0.0.1",
        help_heading = "Network"
    )]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) host: String,

    /// Port to listen on; 0 is any free one
    #[arg(
        short,
        long,
        env = "KOKANEE_PORT",
        default_value_t = 3000,
        help_heading = "Network"
    )]
    pub(crate) port: u16,

    /// Path of the Socket.IO requests
    #[arg(long, env = "KOKANEE_PATH", default_value = "/socket.io", value_parser = path, help_heading = "Network")]
    pub(crate) path: String,

    /// PEM file with the certificate chain: serve https and wss
    #[arg(long, env = "KOKANEE_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires = "tls_key", help_heading = "Network")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file with the private key
    #[arg(long, env = "KOKANEE_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires = "tls_cert", help_heading = "Network")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Origin whose pages may use the server, such as `https://example.com`, or * for all; can be repeated
    ///
    /// With --cookie, only the server's own pages and those named here may connect. With * all may, but their visitors'
    /// cookies are kept from the handlers unless the page is the server's own.
    #[arg(
        long,
        env = "KOKANEE_CORS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) cors: Vec<String>,

    /// Proxy that is believed when it says for whom it speaks: an address, a network such as 10.0.0.0/8, `loopback` or
    /// `private`; can be repeated
    ///
    /// It says so with X-Forwarded-For, -Proto and -Host, or with Forwarded. The client's address in limits and in the log
    /// is then what it says, and so is the origin that pages are compared with.
    #[arg(
        long,
        env = "KOKANEE_TRUST_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) trust_proxy: Vec<TrustedProxy>,

    /// Demand the PROXY protocol (version 1 or 2) from the proxies of --trust-proxy
    #[arg(long, env = "KOKANEE_PROXY_PROTOCOL", value_parser = FalseyValueParser::new())]
    #[arg(requires = "trust_proxy", help_heading = "Network")]
    pub(crate) proxy_protocol: bool,

    /// Set a cookie with the session's id, for load balancers; it is named `io` unless you say otherwise
    #[arg(long, env = "KOKANEE_COOKIE", value_name = "NAME", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "io", value_parser = Cookie::new, help_heading = "Network")]
    pub(crate) cookie: Option<Cookie>,

    /// Never compress the answers to long-polling
    #[arg(long, env = "KOKANEE_NO_COMPRESSION", value_parser = FalseyValueParser::new(), help_heading = "Network")]
    pub(crate) no_compression: bool,

    /// Time that clients get to leave when the server stops
    #[arg(
        long,
        env = "KOKANEE_SHUTDOWN_TIMEOUT",
        value_name = "TIME",
        default_value = "3s"
    )]
    #[arg(value_parser = duration, help_heading = "Network")]
    pub(crate) shutdown_timeout: Duration,

    /// Transports that clients may use
    #[arg(
        long,
        env = "KOKANEE_TRANSPORTS",
        value_name = "LIST",
        value_enum,
        value_delimiter = ','
    )]
    #[arg(default_value = "polling,websocket", help_heading = "Protocol")]
    pub(crate) transports: Vec<TransportArg>,

    /// How packets are encoded; with `both` each client decides by its first packet
    #[arg(
        long,
        env = "KOKANEE_PARSER",
        value_enum,
        default_value_t,
        help_heading = "Protocol"
    )]
    pub(crate) parser: ParserArg,

    /// Serve clients of the JavaScript versions 1 and 2, too
    #[arg(long, env = "KOKANEE_ALLOW_EIO3", value_parser = FalseyValueParser::new(), help_heading = "Protocol")]
    pub(crate) allow_eio3: bool,

    /// Time between a pong and the next ping, such as 25s or 300ms
    #[arg(
        long,
        env = "KOKANEE_PING_INTERVAL",
        value_name = "TIME",
        default_value = "25s"
    )]
    #[arg(value_parser = duration, help_heading = "Protocol")]
    pub(crate) ping_interval: Duration,

    /// Time in which the pong must come
    #[arg(
        long,
        env = "KOKANEE_PING_TIMEOUT",
        value_name = "TIME",
        default_value = "20s"
    )]
    #[arg(value_parser = duration, help_heading = "Protocol")]
    pub(crate) ping_timeout: Duration,

    /// Time in which a client must join a namespace
    #[arg(
        long,
        env = "KOKANEE_CONNECT_TIMEOUT",
        value_name = "TIME",
        default_value = "45s"
    )]
    #[arg(value_parser = duration, help_heading = "Protocol")]
    pub(crate) connect_timeout: Duration,

    /// Time in which an upgrade to a WebSocket must be finished
    #[arg(
        long,
        env = "KOKANEE_UPGRADE_TIMEOUT",
        value_name = "TIME",
        default_value = "10s"
    )]
    #[arg(value_parser = duration, help_heading = "Protocol")]
    pub(crate) upgrade_timeout: Duration,

    /// Directory whose files are served below /
    ///
    /// The demo page stays at / and keeps its own files, unless the directory has an index.html: then that is the page,
    /// and nothing of the demo page is served. Names that begin with a dot are not served, but for .well-known, and neither
    /// is what symbolic links reach outside of the directory.
    #[arg(long = "static", env = "KOKANEE_STATIC", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "Page and files")]
    pub(crate) static_dir: Option<PathBuf>,

    /// The official JavaScript client, served as /socket.io/socket.io.js: a file, or the directory `dist` of its package
    ///
    /// Without this option it is looked for in node_modules/socket.io-client/dist and
    /// tests/interop/node_modules/socket.io-client/dist below the current directory. The demo page uses it if it is
    /// there, and a small client of its own if not.
    #[arg(long, env = "KOKANEE_SERVE_CLIENT", value_name = "PATH", value_hint = ValueHint::AnyPath)]
    #[arg(help_heading = "Page and files")]
    pub(crate) serve_client: Option<PathBuf>,

    /// Do not serve the official JavaScript client, even if it is found
    #[arg(long, env = "KOKANEE_NO_SERVE_CLIENT", value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with = "serve_client", help_heading = "Page and files")]
    pub(crate) no_serve_client: bool,

    #[command(flatten, next_help_heading = "Raw sockets")]
    pub(crate) raw: RawArgs,

    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) limits: LimitArgs,

    /// Print the address and nothing else
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print JSON, one object a line
    ///
    /// The member `event` says what a line is about: listening, connect, refuse, disconnect, receive, answer (an ack),
    /// send, fail (of a handler), heap, stopping, stopped, or lost (lines that came faster than they could be written).
    /// `time` is in ms since 1970.
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) json: bool,

    /// Print how many bytes of the heap are in use, again and again after this time (Linux)
    #[arg(long, env = "KOKANEE_REPORT_HEAP", value_name = "TIME", value_parser = duration, help_heading = "Output")]
    pub(crate) report_heap: Option<Duration>,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Raw sockets whose peers appear in a namespace.
#[derive(Debug, Args)]
pub(crate) struct RawArgs {
    /// Let what connects by TCP appear in the namespace /tcp: a port of --host, or host:port
    #[arg(long, env = "KOKANEE_TCP", value_name = "ADDRESS")]
    pub(crate) tcp: Option<String>,

    /// Let what sends UDP datagrams appear in the namespace /udp: a port of --host, or host:port
    #[arg(long, env = "KOKANEE_UDP", value_name = "ADDRESS")]
    pub(crate) udp: Option<String>,

    /// Let what connects to this Unix socket appear in the namespace /unix
    #[cfg(unix)]
    #[arg(long, env = "KOKANEE_UNIX", value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) unix: Option<PathBuf>,

    /// How their bytes become messages: raw, lines, length-prefixed, length-prefixed:2, delimiter:TEXT
    #[arg(
        long,
        env = "KOKANEE_FRAMING",
        value_name = "FRAMING",
        default_value = "raw"
    )]
    pub(crate) framing: Framing,

    /// Target that clients of /tcp may have connected to: a name, an address or a network, with its port or *; can be
    /// repeated. By default there is none
    #[arg(
        long,
        env = "KOKANEE_ALLOW_TARGET",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) allow_target: Vec<Rule>,

    /// Let only clients whose `auth` is `{token: TOKEN}` into these namespaces
    #[arg(
        long,
        env = "KOKANEE_RAW_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) raw_token: Option<String>,

    /// Time that clients get to answer a raw peer that has ended its side
    #[arg(long, env = "KOKANEE_HALF_OPEN", value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) half_open: Duration,

    /// Time that a client that reads slowly may hold up the others that watch a raw peer
    ///
    /// Then it misses messages, and the event `missed` says how many of which peer. What it has used up of this time
    /// comes back at a tenth of the time that passes.
    #[arg(long, env = "KOKANEE_MAX_HOLD_UP", value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) max_hold_up: Duration,

    /// Disconnect a client that has held up others for --max-hold-up
    #[arg(long, env = "KOKANEE_DISCONNECT_SLOW_WATCHERS", value_parser = FalseyValueParser::new())]
    pub(crate) disconnect_slow_watchers: bool,
}

/// Limits that are worth a change from the command line; the library has more.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the options have these names")]
pub(crate) struct LimitArgs {
    /// Size of a message or of a long-polling body
    #[arg(long, env = "KOKANEE_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value_t = Limits::default().max_message_bytes)]
    pub(crate) max_message_bytes: usize,

    /// Bytes that may wait for one client before it is disconnected as a slow consumer
    #[arg(long, env = "KOKANEE_MAX_OUTBOUND_BYTES", value_name = "BYTES", default_value_t = Limits::default().max_outbound_bytes)]
    pub(crate) max_outbound_bytes: usize,

    /// Events of one client that may wait for their handlers before it is not read from
    #[arg(long, env = "KOKANEE_MAX_QUEUED_EVENTS", value_name = "COUNT", default_value_t = Limits::default().max_queued_events)]
    pub(crate) max_queued_events: usize,

    /// Binary attachments of a packet
    #[arg(long, env = "KOKANEE_MAX_ATTACHMENTS", value_name = "COUNT", default_value_t = Limits::default().max_attachments)]
    pub(crate) max_attachments: usize,

    /// Size of all attachments of a packet
    #[arg(long, env = "KOKANEE_MAX_ATTACHMENT_BYTES", value_name = "BYTES", default_value_t = Limits::default().max_attachment_bytes)]
    pub(crate) max_attachment_bytes: usize,

    /// Rooms that a socket may join
    #[arg(long, env = "KOKANEE_MAX_ROOMS", value_name = "COUNT", default_value_t = Limits::default().max_rooms)]
    pub(crate) max_rooms: usize,

    /// Sessions that have not joined a namespace yet; beyond it the oldest makes room after 5 s
    #[arg(long, env = "KOKANEE_MAX_PENDING", value_name = "COUNT", default_value_t = Limits::default().max_pending_sessions)]
    pub(crate) max_pending: usize,

    /// The same for one client address; see --trust-proxy
    #[arg(long, env = "KOKANEE_MAX_PENDING_PER_ADDRESS", value_name = "COUNT", default_value_t = Limits::default().max_pending_sessions_per_address)]
    pub(crate) max_pending_per_address: usize,
}

impl ServeArgs {
    /// Puts the options where the library wants them.
    pub(crate) fn apply_limits(&self, limits: &mut Limits) {
        limits.ping_interval = self.ping_interval;
        limits.ping_timeout = self.ping_timeout;
        limits.connect_timeout = self.connect_timeout;
        limits.upgrade_timeout = self.upgrade_timeout;
        limits.max_message_bytes = self.limits.max_message_bytes;
        limits.max_outbound_bytes = self.limits.max_outbound_bytes;
        limits.max_queued_events = self.limits.max_queued_events;
        limits.max_attachments = self.limits.max_attachments;
        limits.max_attachment_bytes = self.limits.max_attachment_bytes;
        limits.max_rooms = self.limits.max_rooms;
        limits.max_pending_sessions = self.limits.max_pending;
        limits.max_pending_sessions_per_address = self.limits.max_pending_per_address;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(options: &[&str]) -> Result<Box<ServeArgs>, clap::Error> {
        let cli = Cli::try_parse_from([&["kokanee", "serve"], options].concat())?;
        match cli.command {
            Command::Serve(args) => Ok(args),
            other => panic!("{other:?} is another command"),
        }
    }

    #[test]
    fn the_limits_of_the_library_are_the_defaults() {
        let args = args(&[]).expect("no options are needed");
        let mut limits = Limits::default();
        args.apply_limits(&mut limits);
        assert_eq!(format!("{limits:?}"), format!("{:?}", Limits::default()));
    }

    #[test]
    fn proxies_are_addresses_networks_and_words() {
        let proxies = |options: &[&str]| args(options).map(|args| args.trust_proxy);
        let two = proxies(&["--trust-proxy", "loopback,10.0.0.0/8"]).expect("valid");
        assert_eq!(two.len(), 2);
        assert!(two.contains(&TrustedProxy::LOOPBACK));
        assert!(proxies(&["--trust-proxy", "proxy.example"]).is_err());
        assert!(args(&["--trust-proxy", "::1", "--proxy-protocol"]).is_ok());
        assert!(args(&["--proxy-protocol"]).is_err(), "of nobody");
    }

    #[test]
    fn a_cookie_has_a_name_by_default() {
        let cookie = |options: &[&str]| {
            args(options).map(|args| args.cookie.map(|cookie| format!("{cookie:?}")))
        };
        assert_eq!(cookie(&[]).expect("valid"), None);
        assert!(
            cookie(&["--cookie"])
                .expect("valid")
                .is_some_and(|cookie| cookie.contains("\"io\""))
        );
        assert!(
            cookie(&["--cookie=sid"])
                .expect("valid")
                .is_some_and(|cookie| cookie.contains("\"sid\""))
        );
        assert!(cookie(&["--cookie=a;b"]).is_err());
    }
}
