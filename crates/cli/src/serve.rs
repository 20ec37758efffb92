//! `kokanee serve`: builds the server, announces it, and shuts it down on a signal.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use kokanee::{
    Cors, Recovery, Server,
    net::NetError,
    server::{ListenError, Listener},
};
use serde::Serialize;
use tokio::runtime;

use crate::{
    args::{ParserArg, ServeArgs, TransportArg},
    demo::{self, Bridges},
    escape, heap,
    log::{EventLog, Format, json_line},
    metrics::Metrics,
    output::Output,
    page,
    paint::Paint,
    raw::{self, RawSockets},
    signal::Signal,
    signals::Signals,
    trace::report_traces,
};

const PORT_IN_USE: u8 = 98;
const FAILURE: u8 = 1;

/// Why the server could not start, or stopped unexpectedly.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("port {port} of {host} is in use")]
    PortInUse { host: String, port: u16 },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot serve {}: {source}", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("cannot serve metrics on {address}: {source}")]
    Metrics { address: String, source: io::Error },
    #[error("the listener stopped unexpectedly")]
    Ended,
}

impl ServeError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::PortInUse { .. } | Self::Net(NetError::AddressInUse { .. }) => PORT_IN_USE,
            Self::Metrics { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                PORT_IN_USE
            }
            _ => FAILURE,
        }
    }

    /// Returns what the user can do.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PortInUse { .. } => {
                Some("choose another port with --port, or any free one with --port 0")
            }
            Self::Listen(ListenError::Bind { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("ports below 1024 need special privileges; choose another one with --port")
            }
            _ => None,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    let lost_line = if args.json { lost_json } else { lost_text };
    let Ok(output) = Output::start(lost_line) else {
        // Without a thread there is neither a server nor a way to report the error.
        return ExitCode::from(FAILURE);
    };
    report_traces(&args.log.filter, &output);
    let ended = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Start)
        .and_then(|runtime| {
            let ended = runtime.block_on(serve(args, &output));
            // This does not wait for running handlers.
            runtime.shutdown_background();
            ended
        });
    let code = match ended {
        Ok(()) => 0,
        Err(error) => {
            let paint = Paint::for_stderr(args.color);
            output.err(format!(
                "{} {}",
                paint.red("error:"),
                escape::lines(&error.to_string())
            ));
            if let Some(hint) = error.hint() {
                output.err(format!("{} {hint}", paint.dim("hint:")));
            }
            error.exit_code()
        }
    };
    output.finish_briefly();
    ExitCode::from(code)
}

/// Serves until a signal.
async fn serve(args: &ServeArgs, output: &Output) -> Result<(), ServeError> {
    let console = Console::new(args, output);
    let client = find_client(args)?;
    // Before the server is built, which looks for a recorder then.
    let metrics = bind_metrics(args).await?;
    let io = build(args, &console, client.as_deref());
    let has_page = serve_files(args, &io)?;
    demo::register(&io);

    let listener = bind(args, &io).await?;
    let raw = RawSockets::bind(&args.raw, &args.host).await?;
    let bridged = raw.addresses();
    let raw = raw.serve(&io, &args.raw);
    let address = listener.local_addr();
    // Before the address is printed, because a signal may follow immediately.
    let mut signals = Signals::watch(output).map_err(ServeError::Start)?;
    let start = Instant::now();
    let mut listening = tokio::spawn(listener.serve());
    let clock = tokio::spawn(demo::run_clock(io.clone()));
    console.announce(&url(args, address), address.port());
    for (namespace, address) in bridged {
        console.bridged(namespace, &address);
    }
    if let Some(metrics) = metrics {
        console.measured(&metrics.url());
        metrics.serve(&io);
    }
    if has_page {
        console.note(&client_note(args, client.as_deref()));
    }

    let signal = tokio::select! {
        signal = signals.first() => signal,
        _ = &mut listening => return Err(ServeError::Ended),
        () = console.report_heap(args.report_heap) => return Ok(()),
    };
    console.stopping(signal, io.session_count());
    let closing = async {
        // First, so that clients are notified that the raw peers are gone.
        let raw_in_time = raw.close(args.shutdown_timeout).await;
        io.close(args.shutdown_timeout).await.is_ok() && raw_in_time
    };
    let in_time = closing.await;
    clock.abort();
    console.stopped(in_time, start.elapsed().as_secs());
    Ok(())
}

/// Builds the server from the options. The event log's handlers run before all others.
fn build(args: &ServeArgs, console: &Console, client: Option<&Path>) -> Server {
    let log = EventLog::new(console.output.clone(), console.format());
    let mut builder = Server::builder()
        .path(&args.path)
        .parser(args.parser.into())
        .transports(args.transports.iter().copied().map(Into::into))
        .allow_eio3(args.allow_eio3)
        .trust_proxies(args.trust_proxy.iter().copied())
        .with_limits(|limits| args.apply_limits(limits))
        .state(Bridges(raw::namespaces(&args.raw)))
        .state(log.clone());
    if args.no_compression {
        builder = builder.http_compression(None);
    }
    if !args.cors.is_empty() {
        builder = builder.cors(Cors::origins(&args.cors));
    }
    if let Some(cookie) = &args.cookie {
        builder = builder.cookie(cookie.clone());
    }
    if let Some(client) = client {
        builder = builder.serve_client(client);
    }
    if let Some(time) = args.recovery {
        builder = builder.recovery(Recovery::default().max_disconnection(time));
    }
    let io = builder.build();
    for namespace in ["/", "/private"]
        .into_iter()
        .chain(raw::namespaces(&args.raw))
    {
        log.watch(&io.of(namespace));
    }
    io
}

/// Returns the path of the official client to serve.
fn find_client(args: &ServeArgs) -> Result<Option<PathBuf>, ServeError> {
    match &args.serve_client {
        Some(path) => {
            usable(path, path.metadata())?;
            Ok(Some(path.clone()))
        }
        None if args.no_serve_client => Ok(None),
        None => Ok(page::find_client(Path::new("."))),
    }
}

/// Converts the error of a path that cannot be served.
fn usable<T>(path: &Path, found: io::Result<T>) -> Result<T, ServeError> {
    found.map_err(|source| ServeError::Files {
        path: path.to_owned(),
        source,
    })
}

/// Serves the directory of the options, and the demo page unless the directory has a page. Returns whether the demo page
/// is served.
fn serve_files(args: &ServeArgs, io: &Server) -> Result<bool, ServeError> {
    let mut has_page = true;
    if let Some(directory) = &args.static_dir {
        usable(directory, directory.read_dir())?;
        io.serve_static("/", directory);
        has_page = !directory.join("index.html").is_file();
    }
    if has_page {
        page::serve(io);
    }
    Ok(has_page)
}

async fn bind_metrics(args: &ServeArgs) -> Result<Option<Metrics>, ServeError> {
    let Some(address) = &args.metrics else {
        return Ok(None);
    };
    let bound = Metrics::bind(address).await;
    bound.map(Some).map_err(|source| ServeError::Metrics {
        address: address.clone(),
        source,
    })
}

async fn bind(args: &ServeArgs, io: &Server) -> Result<Listener, ServeError> {
    let host = in_url(&args.host);
    let bound = io.bind(&format!("{host}:{}", args.port)).await;
    let listener = bound.map_err(|error| match error {
        ListenError::AddressInUse { .. } => ServeError::PortInUse {
            host: args.host.clone(),
            port: args.port,
        },
        other => other.into(),
    })?;
    let listener = if args.proxy_protocol {
        listener.proxy_protocol()
    } else {
        listener
    };
    match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Ok(listener.tls(certificate, key)?),
        _ => Ok(listener),
    }
}

/// Formats a host for URLs: IPv6 addresses are put in brackets.
fn in_url(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    }
}

/// Returns the URL to open in a browser on this machine.
fn url(args: &ServeArgs, address: SocketAddr) -> String {
    let scheme = if args.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        _ => in_url(&args.host),
    };
    format!("{scheme}://{host}:{}", address.port())
}

/// Describes which client the page uses, and what may prevent it from connecting.
fn client_note(args: &ServeArgs, client: Option<&Path>) -> String {
    let has_websocket = args.transports.contains(&TransportArg::Websocket);
    let what = match client {
        Some(path) => format!("the official JavaScript client of {}", path.display()),
        None => {
            "its own small client, because the official one was not found (--serve-client PATH)"
                .to_owned()
        }
    };
    let obstacle = if args.path != "/socket.io" {
        "it connects only to /socket.io, not to the path of --path"
    } else if args.parser == ParserArg::Msgpack {
        "it does not speak msgpack; use --parser both to serve it"
    } else if client.is_none() && !has_websocket {
        "it needs --transports websocket"
    } else {
        return format!("The page uses {what}.");
    };
    format!("The page uses {what}, but {obstacle}.")
}

/// Prints the command's own messages on stdout.
struct Console {
    output: Output,
    is_quiet: bool,
    is_json: bool,
    paint: Paint,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Announcement<'a> {
    Listening {
        url: &'a str,
        port: u16,
    },
    Bridge {
        namespace: &'a str,
        address: &'a str,
    },
    Metrics {
        url: &'a str,
    },
    Stopping {
        signal: &'a str,
        sessions: usize,
    },
    Stopped {
        complete: bool,
    },
    Heap {
        bytes: usize,
    },
    Lost {
        lines: u64,
    },
}

impl Console {
    fn new(args: &ServeArgs, output: &Output) -> Self {
        Self {
            output: output.clone(),
            is_quiet: args.quiet,
            is_json: args.json,
            paint: Paint(!args.json && Paint::for_stdout(args.color).0),
        }
    }

    /// Returns the format of the event log.
    fn format(&self) -> Format {
        match (self.is_quiet, self.is_json, self.paint) {
            (true, ..) => Format::Silent,
            (false, true, _) => Format::Json,
            (false, false, Paint(true)) => Format::Colored,
            (false, false, Paint(false)) => Format::Plain,
        }
    }

    fn announce(&self, url: &str, port: u16) {
        self.output.out(if self.is_json {
            json_line(&Announcement::Listening { url, port })
        } else {
            let (name, url) = (
                concat!("Kokanee ", env!("CARGO_PKG_VERSION")),
                self.paint.bold(url),
            );
            format!("{name} is listening on {url} - open it in a browser; press Ctrl-C to stop.")
        });
    }

    fn bridged(&self, namespace: &str, address: &str) {
        let text = format!("Raw peers of {address} are bridged into the namespace {namespace}.");
        self.say(&text, &Announcement::Bridge { namespace, address });
    }

    fn measured(&self, url: &str) {
        let text = format!("Prometheus fetches metrics from {url}.");
        self.say(&text, &Announcement::Metrics { url });
    }

    fn say(&self, text: &str, announcement: &Announcement<'_>) {
        if self.is_quiet {
            return;
        }
        self.output.out(if self.is_json {
            json_line(announcement)
        } else {
            text.to_owned()
        });
    }

    /// Prints the size of the used heap at an interval.
    async fn report_heap(&self, interval: Option<Duration>) {
        let Some(interval) = interval else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(interval);
        loop {
            ticks.tick().await;
            if let Some(bytes) = heap::live_bytes() {
                self.output.out(if self.is_json {
                    json_line(&Announcement::Heap { bytes })
                } else {
                    format!("{bytes} bytes of the heap are in use.")
                });
            }
        }
    }

    fn note(&self, text: &str) {
        if !self.is_quiet && !self.is_json {
            self.output.out(self.paint.dim(text));
        }
    }

    fn stopping(&self, signal: Signal, sessions: usize) {
        let signal = signal.name();
        let clients = match sessions {
            0 => "no clients connected".to_owned(),
            1 => "disconnecting 1 client".to_owned(),
            many => format!("disconnecting {many} clients"),
        };
        let text = format!("{signal}: stopping, {clients}; send it again to stop immediately.");
        self.say(&text, &Announcement::Stopping { signal, sessions });
    }

    fn stopped(&self, complete: bool, seconds: u64) {
        let text = if complete {
            "Stopped"
        } else {
            "Stopped before all clients and handlers had finished"
        };
        self.say(
            &format!("{text}, after {seconds} s."),
            &Announcement::Stopped { complete },
        );
    }
}

fn lost_text(lines: u64) -> String {
    format!("… {lines} lines were dropped here: they could not be written fast enough")
}

fn lost_json(lines: u64) -> String {
    json_line(&Announcement::Lost { lines })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(options: &[&str]) -> Box<ServeArgs> {
        match Cli::parse_from([&["kokanee", "serve"], options].concat()).command {
            Command::Serve(args) => args,
            other => panic!("{other:?} is another command"),
        }
    }

    #[test]
    fn the_url_is_one_that_can_be_opened() {
        let address = |text: &str| text.parse().expect("an address");
        assert_eq!(
            url(&args(&[]), address("127.0.0.1:3000")),
            "http://127.0.0.1:3000"
        );
        assert_eq!(
            url(&args(&["--host", "0.0.0.0"]), address("0.0.0.0:80")),
            "http://127.0.0.1:80"
        );
        assert_eq!(
            url(&args(&["--host", "::1"]), address("[::1]:3000")),
            "http://[::1]:3000"
        );
        assert_eq!(
            url(&args(&["--host", "::"]), address("[::]:3000")),
            "http://[::1]:3000"
        );
        assert_eq!(
            url(&args(&["--host", "localhost"]), address("127.0.0.1:1")),
            "http://localhost:1"
        );
        let tls = args(&["--tls-cert", "c.pem", "--tls-key", "k.pem"]);
        assert_eq!(
            url(&tls, address("127.0.0.1:3000")),
            "https://127.0.0.1:3000"
        );
    }

    #[test]
    fn the_note_describes_the_client_of_the_page() {
        assert!(
            client_note(&args(&[]), Some(Path::new("dist")))
                .ends_with("official JavaScript client of dist.")
        );
        assert!(client_note(&args(&[]), None).contains("small client"));
        assert!(
            client_note(&args(&["--parser", "msgpack"]), None)
                .contains("but it does not speak msgpack")
        );
        assert!(
            client_note(&args(&["--path", "/x"]), None)
                .contains("but it connects only to /socket.io")
        );
        assert!(client_note(&args(&["--transports", "polling"]), None).contains("but it needs"));
    }
}
