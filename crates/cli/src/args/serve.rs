//! Options of `kokanee serve`.

use std::{path::PathBuf, time::Duration};

use clap::{
    Args, ValueHint,
    builder::{FalseyValueParser, NonEmptyStringValueParser},
};
use kokanee::{Cookie, Limits, TrustedProxy, bridge::Rule, net::Framing};

use super::{
    common::{ColorArgs, LogArgs, ParserArg, TransportArg},
    parse::{duration, path, time},
};

const SERVE_HELP: &str = "\
Examples:
  # a server with a demo page, on port 3000
  kokanee serve
  # reachable from the network
  kokanee serve --host 0.0.0.0 --port 8080
  # your own page; the server answers the demo events
  kokanee serve --static ./public
  # for pages of another origin
  kokanee serve --cors https://app.example.com
  kokanee serve --tls-cert cert.pem --tls-key key.pem
  # bridge raw TCP peers into the namespace /tcp
  kokanee serve --tcp 7000 --framing lines
  # any free port, with a log for programs
  kokanee serve --port 0 --json | jq

Each option can also be set by an environment variable: KOKANEE_PORT=8080, KOKANEE_QUIET=1.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 failure, 2 wrong usage, 98 port in use, \
130 or 143 stopped immediately by a second signal (Ctrl-C, SIGTERM).";

/// Run a demo server with echo, rooms, chat, acks and a web page
///
/// Any Socket.IO client can connect. Without options the server listens on 127.0.0.1:3000, serves a demo page there, and
/// prints one line for each event. Times are in UTC.
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

    /// Port to listen on; 0 means any free port
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

    /// PEM file with the certificate chain; enables https and wss
    #[arg(long, env = "KOKANEE_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires = "tls_key", help_heading = "Network")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file with the private key
    #[arg(long, env = "KOKANEE_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(requires = "tls_cert", help_heading = "Network")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Origin whose pages may connect, such as `https://example.com`, or * for all; can be repeated
    ///
    /// With --cookie, only pages of the server's own origin and of the listed origins may connect. With * all pages may,
    /// but handlers see cookies only of requests from the server's own origin.
    #[arg(
        long,
        env = "KOKANEE_CORS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) cors: Vec<String>,

    /// Proxy whose forwarding headers are trusted: an address, a network such as 10.0.0.0/8, `loopback` or `private`; can
    /// be repeated
    ///
    /// The headers are X-Forwarded-For, -Proto and -Host, or Forwarded. They set the client's address for limits and the
    /// log, and the server's own origin for the check of a page's origin.
    #[arg(
        long,
        env = "KOKANEE_TRUST_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) trust_proxy: Vec<TrustedProxy>,

    /// Require the PROXY protocol (version 1 or 2) from the proxies of --trust-proxy
    #[arg(long, env = "KOKANEE_PROXY_PROTOCOL", value_parser = FalseyValueParser::new())]
    #[arg(requires = "trust_proxy", help_heading = "Network")]
    pub(crate) proxy_protocol: bool,

    /// Set a cookie with the session id, for load balancers; its name is `io` by default
    #[arg(long, env = "KOKANEE_COOKIE", value_name = "NAME", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "io", value_parser = Cookie::new, help_heading = "Network")]
    pub(crate) cookie: Option<Cookie>,

    /// Let clients whose connection was lost come back within this time, as the same socket, with all that they have missed
    #[arg(long, env = "KOKANEE_RECOVERY", value_name = "TIME", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "2m", value_parser = duration, help_heading = "Protocol")]
    pub(crate) recovery: Option<Duration>,

    /// Serve metrics for Prometheus on this port or HOST:PORT, below the path /metrics
    #[arg(long, env = "KOKANEE_METRICS", value_name = "ADDRESS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "127.0.0.1:9464", help_heading = "Output")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) metrics: Option<String>,

    /// Do not compress long-polling responses
    #[arg(long, env = "KOKANEE_NO_COMPRESSION", value_parser = FalseyValueParser::new(), help_heading = "Network")]
    pub(crate) no_compression: bool,

    /// How long clients have to disconnect when the server stops
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

    /// Also accept clients of Socket.IO 1 and 2 (Engine.IO 3)
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

    /// Timeout for the pong
    #[arg(
        long,
        env = "KOKANEE_PING_TIMEOUT",
        value_name = "TIME",
        default_value = "20s"
    )]
    #[arg(value_parser = duration, help_heading = "Protocol")]
    pub(crate) ping_timeout: Duration,

    /// Timeout for a client to join a namespace
    #[arg(
        long,
        env = "KOKANEE_CONNECT_TIMEOUT",
        value_name = "TIME",
        default_value = "45s"
    )]
    #[arg(value_parser = duration, help_heading = "Protocol")]
    pub(crate) connect_timeout: Duration,

    /// Timeout for an upgrade to a WebSocket
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
    /// If the directory has an index.html, it replaces the demo page; otherwise the demo page stays at /. Names that start
    /// with a dot are not served, except .well-known, and neither are files outside of the directory that symbolic links
    /// point to.
    #[arg(long = "static", env = "KOKANEE_STATIC", value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(help_heading = "Page and files")]
    pub(crate) static_dir: Option<PathBuf>,

    /// The official JavaScript client, served as /socket.io/socket.io.js: a file, or the directory `dist` of its package
    ///
    /// By default the server looks for it in node_modules/socket.io-client/dist and
    /// tests/interop/node_modules/socket.io-client/dist below the current directory. If it is not found, the demo page uses
    /// a small client of its own.
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

    /// Print only the server's address
    #[arg(short, long, env = "KOKANEE_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Print JSON, one object per line
    ///
    /// `event` is the kind of a line: listening, bridge, connect, refuse, disconnect, receive, answer (an ack), send, fail
    /// (of a handler), heap, stopping, stopped, or lost (lines dropped because they could not be written fast enough).
    /// `time` is in milliseconds since 1970.
    #[arg(long, env = "KOKANEE_JSON", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) json: bool,

    /// Print the size of the used heap at this interval (Linux)
    #[arg(long, env = "KOKANEE_REPORT_HEAP", value_name = "TIME", value_parser = duration, help_heading = "Output")]
    pub(crate) report_heap: Option<Duration>,

    #[command(flatten)]
    pub(crate) color: ColorArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Raw sockets whose peers are bridged into a namespace.
#[derive(Debug, Args)]
pub(crate) struct RawArgs {
    /// Bridge TCP connections into the namespace /tcp; listens on a port of --host, or on host:port
    #[arg(long, env = "KOKANEE_TCP", value_name = "ADDRESS")]
    pub(crate) tcp: Option<String>,

    /// Bridge UDP peers into the namespace /udp; listens on a port of --host, or on host:port
    #[arg(long, env = "KOKANEE_UDP", value_name = "ADDRESS")]
    pub(crate) udp: Option<String>,

    /// Bridge connections to this Unix socket into the namespace /unix
    #[cfg(unix)]
    #[arg(long, env = "KOKANEE_UNIX", value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) unix: Option<PathBuf>,

    /// How a byte stream is split into messages: raw, lines, length-prefixed, length-prefixed:2, delimiter:TEXT
    #[arg(
        long,
        env = "KOKANEE_FRAMING",
        value_name = "FRAMING",
        default_value = "raw"
    )]
    pub(crate) framing: Framing,

    /// Target that clients of /tcp may ask the server to dial: a name, an address or a network, with a port or *; can be
    /// repeated. None by default
    #[arg(
        long,
        env = "KOKANEE_ALLOW_TARGET",
        value_name = "HOST:PORT",
        value_delimiter = ','
    )]
    pub(crate) allow_target: Vec<Rule>,

    /// Accept only clients with the `auth` object `{token: TOKEN}` in these namespaces
    #[arg(
        long,
        env = "KOKANEE_RAW_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) raw_token: Option<String>,

    /// How long clients can still send to a raw peer that has closed its sending side
    #[arg(long, env = "KOKANEE_HALF_OPEN", value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(crate) half_open: Duration,

    /// How long a slow client may delay the others that receive from the same raw peer
    ///
    /// After that it misses messages, and the event `missed` says how many from which peer. The used time is given back at a
    /// tenth of the time that passes.
    #[arg(long, env = "KOKANEE_MAX_HOLD_UP", value_name = "TIME", default_value = "1s", value_parser = time)]
    pub(crate) max_hold_up: Duration,

    /// Disconnect a client that has delayed others for --max-hold-up, instead of skipping messages
    #[arg(long, env = "KOKANEE_DISCONNECT_SLOW_WATCHERS", value_parser = FalseyValueParser::new())]
    pub(crate) disconnect_slow_watchers: bool,
}

/// The limits that the command line can change; the library has more.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the options have these names")]
pub(crate) struct LimitArgs {
    /// Maximum size of a message or of a long-polling body
    #[arg(long, env = "KOKANEE_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value_t = Limits::default().max_message_bytes)]
    pub(crate) max_message_bytes: usize,

    /// Maximum buffered bytes per client; above that it is disconnected as a slow consumer
    #[arg(long, env = "KOKANEE_MAX_OUTBOUND_BYTES", value_name = "BYTES", default_value_t = Limits::default().max_outbound_bytes)]
    pub(crate) max_outbound_bytes: usize,

    /// Maximum events per client that wait for handlers; above that the server stops reading from it
    #[arg(long, env = "KOKANEE_MAX_QUEUED_EVENTS", value_name = "COUNT", default_value_t = Limits::default().max_queued_events)]
    pub(crate) max_queued_events: usize,

    /// Maximum binary attachments per packet
    #[arg(long, env = "KOKANEE_MAX_ATTACHMENTS", value_name = "COUNT", default_value_t = Limits::default().max_attachments)]
    pub(crate) max_attachments: usize,

    /// Maximum total size of a packet's attachments
    #[arg(long, env = "KOKANEE_MAX_ATTACHMENT_BYTES", value_name = "BYTES", default_value_t = Limits::default().max_attachment_bytes)]
    pub(crate) max_attachment_bytes: usize,

    /// Maximum rooms per socket
    #[arg(long, env = "KOKANEE_MAX_ROOMS", value_name = "COUNT", default_value_t = Limits::default().max_rooms)]
    pub(crate) max_rooms: usize,

    /// Maximum sessions without a namespace; above that the oldest one is closed if it is older than 5 s
    #[arg(long, env = "KOKANEE_MAX_PENDING", value_name = "COUNT", default_value_t = Limits::default().max_pending_sessions)]
    pub(crate) max_pending: usize,

    /// Maximum sessions without a namespace per client address; see --trust-proxy
    #[arg(long, env = "KOKANEE_MAX_PENDING_PER_ADDRESS", value_name = "COUNT", default_value_t = Limits::default().max_pending_sessions_per_address)]
    pub(crate) max_pending_per_address: usize,
}

impl ServeArgs {
    /// Sets the library's limits from the options.
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
