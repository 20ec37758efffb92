//! `kokanee bench`: runs a load of the library `kokanee-bench`, shows its progress, and prints the result.

mod chart;
mod html;
mod progress;
mod text;

use std::{fs, io, ops::ControlFlow, process::ExitCode};

use kokanee_bench::{Bound, Error, Options, Report, Violation, run as run_load};
use kokanee_client::{ClientBuilder, CloseReason, ConnectFailure, DisconnectReason, Transport};

use crate::{
    args::{BenchArgs, ScenarioArg, TransportArg},
    bench::progress::Reporter,
    escape,
    exit::Exit,
    output::Output,
    paint::Paint,
    peer::{self, PeerError},
    signals::Signals,
    trace::report_traces,
    url::ServerUrl,
};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("{0}")]
    Url(String),
    #[error("{0}")]
    Conflict(&'static str),
    #[error(transparent)]
    Client(#[from] PeerError),
    #[error(transparent)]
    Run(#[from] Error),
    #[error("cannot write {path}: {source}")]
    Html { path: String, source: io::Error },
}

impl BenchError {
    fn exit(&self) -> Exit {
        match self {
            Self::Url(_) | Self::Conflict(_) => Exit::Usage,
            Self::Client(_) | Self::Html { .. } => Exit::Failure,
            Self::Run(error) => match error {
                Error::Url { .. } | Error::Range { .. } => Exit::Usage,
                Error::Resolve { .. } => Exit::Unreachable,
                Error::Connection { source, .. } if is_loss(source) => Exit::Lost,
                Error::Connection { .. } => Exit::Unreachable,
                Error::Connect { source, .. } => peer::exit_of(source),
                Error::Stalled { .. } => Exit::Timeout,
                Error::Interrupted => Exit::Interrupted,
                Error::Violation { violation, .. } => match violation {
                    Violation::Refused { .. } => Exit::Refused,
                    Violation::Lost {
                        reason:
                            DisconnectReason::ParseError
                            | DisconnectReason::Session(CloseReason::ParseError),
                    } => Exit::Protocol,
                    Violation::Eof | Violation::Closed { .. } | Violation::Lost { .. } => {
                        Exit::Lost
                    }
                    _ => Exit::Protocol,
                },
                _ => Exit::Failure,
            },
        }
    }

    /// Returns what the user can do.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Run(Error::Violation {
                violation: Violation::Status { status },
                ..
            }) if text::is_address_limit(status) => {
                return Some(format!("this is {}", text::ADDRESS_LIMIT));
            }
            Self::Run(Error::Violation {
                violation: Violation::Http,
                ..
            }) => Some(
                "the response is not HTTP: if the server expects TLS on this port, use a URL with https:// or wss://",
            ),
            Self::Run(Error::Stalled { .. }) => Some(
                "does the server reply to this event? --event and --ack select the event; idle, storm and connect need none",
            ),
            Self::Run(Error::Violation {
                violation: Violation::Status { .. },
                ..
            }) => Some("is this a Socket.IO server? --path sets the path of its requests"),
            Self::Run(Error::Process { .. }) => {
                Some("--pid works only on Linux, for a process on this machine")
            }
            Self::Run(error) if is_out_of_files(error) => {
                Some("raise the limit of open files: ulimit -n")
            }
            _ => None,
        };
        hint.map(str::to_owned)
    }
}

/// `EMFILE`.
const TOO_MANY_FILES: i32 = 24;

fn is_out_of_files(error: &Error) -> bool {
    let source = match error {
        Error::Connection { source, .. } => source,
        Error::Connect { source, .. } => match &**source {
            ConnectFailure::Unreachable { source, .. } => source,
            _ => return false,
        },
        _ => return false,
    };
    source.raw_os_error() == Some(TOO_MANY_FILES)
}

fn is_loss(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> ExitCode {
    let Ok(output) = Output::start_lossless() else {
        return Exit::Failure.into();
    };
    report_traces(&args.connection.log.filter, &output);
    peer::hint_at_url(&args.connection, &output);
    // The first signal ends the run after everything in flight has arrived. If watching fails, it ends the program.
    let _signals = Signals::watch(&output);
    let exit = match measure(args, &output) {
        Ok(()) if output.signal().is_some() => Exit::Interrupted,
        Ok(()) => Exit::Success,
        Err(error) => {
            let paint = Paint::for_stderr(args.connection.color);
            let mut reason = error.to_string();
            if let BenchError::Run(error) = &error
                && let Some(source) = std::error::Error::source(error)
            {
                reason = format!("{reason}: {source}");
            }
            output.print_err(format!(
                "{} {}",
                paint.red("error:"),
                escape::lines(&reason)
            ));
            if let Some(hint) = error.hint() {
                output.print_err(format!("{} {hint}", paint.dim("hint:")));
            }
            error.exit()
        }
    };
    let exit = match (exit, output.signal()) {
        (Exit::Interrupted, Some(signal)) => ExitCode::from(signal.exit_code()),
        (exit, _) => exit.into(),
    };
    peer::end(&output, exit)
}

fn measure(args: &BenchArgs, output: &Output) -> Result<(), BenchError> {
    let options = options(args)?;
    let mut reporter = Reporter::new(args, output.clone());
    let report = run_load(&options, &mut |progress| {
        reporter.on_progress(progress);
        if output.signal().is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    reporter.finish();
    let report = report?;
    print(args, &report, output);
    if let Some(path) = &args.html {
        let page = html::page(&report, &options);
        fs::write(path, page).map_err(|source| BenchError::Html {
            path: path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

fn print(args: &BenchArgs, report: &Report, output: &Output) {
    if args.json {
        let json = serde_json::to_string_pretty(report).unwrap_or_else(|error| error.to_string());
        output.print(escape::lines(&json));
    } else {
        for line in text::lines(report, Paint::for_stdout(args.connection.color)) {
            output.print(line);
        }
    }
}

/// Converts the options of the command line to those of the library.
fn options(args: &BenchArgs) -> Result<Options, BenchError> {
    let connection = &args.connection;
    let url = ServerUrl::parse(&connection.url).map_err(BenchError::Url)?;
    let needs_client = !url.is_plain || !connection.is_plain();
    let client = (args.client || needs_client)
        .then(|| client(args))
        .transpose()?;
    let url_with_path = format!("{}{}/", url.origin, connection.path);
    let defaults = Options::new(url_with_path, args.scenario.into());
    Ok(Options {
        client,
        connections: args.connections.unwrap_or(defaults.connections),
        window: args.window,
        payload: args.payload.unwrap_or(defaults.payload),
        bound: match args.messages {
            Some(messages) => Bound::Messages(messages.get()),
            None => Bound::Time(args.duration),
        },
        warmup: args.warmup,
        namespace: url.namespace,
        auth: connection.auth.clone(),
        relay: args.relay,
        event: args.event.clone(),
        ack: args.ack,
        handshakes: args.handshakes,
        stall: args.timeout,
        hold: args.hold,
        waves: args.waves,
        spread: args.spread,
        pid: args.pid,
        ..defaults
    })
}

/// Builds Kokanee's client. By default it connects directly over WebSocket, like the raw generator.
fn client(args: &BenchArgs) -> Result<ClientBuilder, BenchError> {
    let has_transports = !args.connection.transports.is_empty();
    if !args.spread.is_zero() {
        return Err(BenchError::Conflict(
            "--spread works only with the raw generator: Kokanee's client reconnects with its own back-off",
        ));
    }
    let has_polling = args.connection.transports.contains(&TransportArg::Polling);
    if has_transports && !has_polling && args.scenario == ScenarioArg::Polling {
        return Err(BenchError::Conflict(
            "the polling scenario needs the polling transport, but --transports does not include it",
        ));
    }
    let builder = peer::builder(&args.connection)?;
    if has_transports {
        return Ok(builder);
    }
    Ok(builder.transports([Transport::WebSocket]))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use kokanee_bench::{Generator, Scenario};

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(arguments: &[&str]) -> Box<BenchArgs> {
        match Cli::parse_from([&["kokanee", "bench"], arguments].concat()).command {
            Command::Bench(args) => args,
            other => panic!("{other:?} is another command"),
        }
    }

    #[test]
    fn path_of_the_url_and_path_of_the_requests_are_two_things() {
        let args = parse(&[
            "http://127.0.0.1:3000/chat",
            "storm",
            "--path",
            "/io",
            "--auth",
            "{\"a\":1}",
        ]);
        let options = options(&args).expect("valid");
        assert_eq!(options.url, "http://127.0.0.1:3000/io/");
        assert_eq!(options.namespace, "/chat");
        assert_eq!(options.scenario, Scenario::Storm);
        assert_eq!(options.connections, 1000);
        assert_eq!(options.auth, Some(serde_json::json!({"a": 1})));
    }

    #[test]
    fn clients_are_used_where_they_are_asked_for_or_needed() {
        let made_by = |arguments: &[&str]| options(&parse(arguments)).expect("valid").generator();
        for plain in [
            &["http://a.example"][..],
            &["a.example/chat", "--auth", "{}", "--path", "/io"],
        ] {
            assert_eq!(made_by(plain), Generator::Raw, "{plain:?}");
        }
        for other in [
            &["http://a.example", "--client"][..],
            &["https://a.example"],
            &["wss://a.example"],
            &["http://a.example?token=1"],
            &["http://a.example", "--revision", "3"],
            &["http://a.example", "--proxy", "http://b.example"],
            &["http://a.example", "--unix-socket", "/run/a"],
            &["http://a.example", "-H", "A: b"],
            &["http://a.example", "--query", "a=b"],
            &["http://a.example", "--parser", "msgpack"],
            &["http://a.example", "--transports", "polling"],
            &["http://a.example", "--connect-timeout", "1s"],
        ] {
            assert_eq!(made_by(other), Generator::Client, "{other:?}");
        }
    }

    #[test]
    fn the_report_does_not_tell_secrets_of_the_url() {
        let args = parse(&["https://user:secret@a.example/chat?token=secret"]);
        let options = options(&args).expect("valid");
        assert_eq!(options.url, "https://a.example/socket.io/");
        assert_eq!(options.namespace, "/chat");
    }

    #[test]
    fn errors_have_codes_of_their_own() {
        let violation = |violation| {
            BenchError::Run(Error::Violation {
                connection: 0,
                violation,
            })
        };
        let connection = |kind: io::ErrorKind| {
            BenchError::Run(Error::Connection {
                connection: 0,
                source: kind.into(),
            })
        };
        let lost = |reason| violation(Violation::Lost { reason });
        let status = "HTTP/1.1 404 Not Found".to_owned();
        for (error, exit) in [
            (BenchError::Conflict(""), Exit::Usage),
            (
                violation(Violation::Refused {
                    packet: String::new(),
                }),
                Exit::Refused,
            ),
            (violation(Violation::Status { status }), Exit::Protocol),
            (violation(Violation::Eof), Exit::Lost),
            (lost(DisconnectReason::Server), Exit::Lost),
            (lost(DisconnectReason::ParseError), Exit::Protocol),
            (
                connection(io::ErrorKind::ConnectionRefused),
                Exit::Unreachable,
            ),
            (connection(io::ErrorKind::ConnectionReset), Exit::Lost),
            (BenchError::Run(Error::Interrupted), Exit::Interrupted),
        ] {
            assert_eq!(error.exit(), exit, "{error}");
        }
    }
}
