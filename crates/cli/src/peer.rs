//! Builds a client from the options of the command line, and turns its failures into messages and exit codes. Used by
//! `emit`, `listen` and `connect`, and in part by `bench`.

use std::{fs, io, path::Path, process::ExitCode, sync::Arc, time::Duration};

use kokanee::{Args, RemoteError, Transport};
use kokanee_client::{AckError, Client, ClientBuilder, ConnectFailure, EmitError, Socket};
use kokanee_engineio::Revision;
use kokanee_socketio::Value;
use serde::de::IgnoredAny;
use tokio::runtime;

use crate::{
    args::ConnectionArgs, escape, exit::Exit, output::Output, paint::Paint, signal::Signal,
    signals::Signals, trace::report_traces, url,
};

/// Timeout for disconnecting when the result does not matter.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("{0}")]
    Connect(Arc<ConnectFailure>),
    #[error("{0}")]
    Argument(String),
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("cannot send the event: {0}")]
    Emit(#[from] EmitError),
    #[error("the server refused the event: {0}")]
    Refused(RemoteError),
    #[error("no acknowledgement within {0:?}")]
    AckTimeout(Duration),
    #[error("no event within {0:?}")]
    Silence(Duration),
    #[error("the connection was lost: {0}")]
    Lost(&'static str),
    #[error("interrupted by {}", .0.name())]
    Interrupted(Signal),
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

impl From<ConnectFailure> for PeerError {
    fn from(failure: ConnectFailure) -> Self {
        Self::Connect(Arc::new(failure))
    }
}

impl PeerError {
    fn exit(&self) -> ExitCode {
        let exit = match self {
            Self::Connect(failure) => exit_of(failure),
            Self::Argument(_) => Exit::Usage,
            Self::Refused(_) => Exit::Refused,
            Self::Read { .. } | Self::Emit(_) | Self::Start(_) => Exit::Failure,
            Self::AckTimeout(_) | Self::Silence(_) => Exit::Timeout,
            Self::Lost(_) => Exit::Lost,
            Self::Interrupted(signal) => return ExitCode::from(signal.exit_code()),
        };
        exit.into()
    }
}

/// Returns the exit code for a failure to connect.
pub(crate) fn exit_of(failure: &ConnectFailure) -> Exit {
    match failure {
        ConnectFailure::Url { .. } | ConnectFailure::Option { .. } => Exit::Usage,
        ConnectFailure::Refused { .. } | ConnectFailure::Rejected { .. } => Exit::Refused,
        ConnectFailure::Unavailable { status, .. } if status.is_client_error() => Exit::Refused,
        ConnectFailure::Timeout { .. } => Exit::Timeout,
        ConnectFailure::NotSocketIo { .. }
        | ConnectFailure::WrongRevision { .. }
        | ConnectFailure::NoUpgrade { .. }
        | ConnectFailure::Transport { .. } => Exit::Protocol,
        ConnectFailure::Dns { .. }
        | ConnectFailure::Unreachable { .. }
        | ConnectFailure::Proxy { .. }
        | ConnectFailure::Unavailable { .. }
        | ConnectFailure::Tls { .. } => Exit::Unreachable,
        ConnectFailure::Interrupted { .. } => Exit::Lost,
        _ => Exit::Failure,
    }
}

/// Runs a command on a runtime, and prints why it failed.
pub(crate) fn run<F>(args: &ConnectionArgs, command: impl FnOnce(Output) -> F) -> ExitCode
where
    F: Future<Output = Result<(), PeerError>>,
{
    let Ok(output) = Output::start_lossless() else {
        return Exit::Failure.into();
    };
    report_traces(&args.log.filter, &output);
    hint_at_url(args, &output);
    let ended = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(PeerError::Start)
        .and_then(|runtime| {
            let ended = runtime.block_on(command(output.clone()));
            runtime.shutdown_background();
            ended
        });
    let exit = match ended {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            print_error(&error, args, &output);
            error.exit()
        }
    };
    end(&output, exit)
}

/// Writes the last lines of a command. Returns its exit code, or that of the signal that cut the output off.
pub(crate) fn end(output: &Output, exit: ExitCode) -> ExitCode {
    match (output.finish(), output.signal()) {
        (false, Some(signal)) => ExitCode::from(signal.exit_code()),
        _ => exit,
    }
}

/// Prints a hint if the URL probably does not mean what the user wants.
pub(crate) fn hint_at_url(args: &ConnectionArgs, output: &Output) {
    if let Some(hint) = url::hint(&args.url, &args.path) {
        let paint = Paint::for_stderr(args.color);
        output.print_err(format!("{} {}", paint.dim("hint:"), escape::lines(&hint)));
    }
}

fn print_error(error: &PeerError, args: &ConnectionArgs, output: &Output) {
    let paint = Paint::for_stderr(args.color);
    let text = escape::lines(&error.to_string()).replace('\n', " ");
    output.print_err(format!("{} {text}", paint.red("error:")));
    if let PeerError::Connect(failure) = error
        && let ConnectFailure::Refused {
            data: Some(data), ..
        } = &**failure
    {
        let data = escape::json(&data.to_string());
        output.print_err(format!("{} {data}", paint.dim("data:")));
    }
}

/// Builds a socket with these options, which is not connected yet. Needs a runtime.
pub(crate) fn socket(args: &ConnectionArgs, reconnection: bool) -> Result<Socket, PeerError> {
    Ok(builder(args)?.reconnection(reconnection).build()?)
}

/// Returns a builder of a client with these options.
pub(crate) fn builder(args: &ConnectionArgs) -> Result<ClientBuilder, PeerError> {
    let mut builder = Client::builder(&args.url)
        .path(&args.path)
        .upgrade(!args.no_upgrade)
        .revision(match args.revision {
            3 => Revision::V3,
            _ => Revision::V4,
        })
        .parser(args.parser.into())
        .compression(args.compression);
    if let Some(timeout) = args.connect_timeout {
        builder = builder.connect_timeout(timeout);
    }
    if !args.transports.is_empty() {
        builder = builder.transports(args.transports.iter().copied().map(Transport::from));
    }
    if let Some(auth) = &args.auth {
        builder = builder.auth(auth);
    }
    for (name, value) in &args.header {
        builder = builder.header(name, value);
    }
    for (name, value) in &args.query {
        builder = builder.query(name, value);
    }
    if let Some(proxy) = &args.proxy {
        builder = builder.proxy(proxy);
    }
    if let Some(path) = &args.unix_socket {
        builder = builder.unix_socket(path);
    }
    if let Some(path) = &args.ca {
        builder = builder.root_certificate(read(path)?);
    }
    if let (Some(chain), Some(key)) = (&args.cert, &args.key) {
        builder = builder.client_certificate(read(chain)?, read(key)?);
    }
    if args.insecure {
        builder = builder.danger_accept_invalid_certificates();
    }
    Ok(builder)
}

fn read(path: &Path) -> Result<Vec<u8>, PeerError> {
    fs::read(path).map_err(|source| PeerError::Read {
        path: path.display().to_string(),
        source,
    })
}

/// Makes the arguments of an event.
pub(crate) fn pack(values: Vec<Value>) -> Result<Args, PeerError> {
    Args::from_values(values).map_err(|error| PeerError::Argument(error.to_string()))
}

/// Connects, unless a signal comes first.
pub(crate) async fn connect(socket: &Socket, signals: &mut Signals) -> Result<(), PeerError> {
    tokio::select! {
        connected = socket.connect() => Ok(connected?),
        signal = signals.first() => Err(PeerError::Interrupted(signal)),
    }
}

/// Disconnects after everything is sent, unless a signal comes first.
///
/// # Errors
/// Something was not sent, or a signal came.
pub(crate) async fn finish(socket: &Socket, signals: &mut Signals) -> Result<(), PeerError> {
    tokio::select! {
        ended = socket.disconnect() => ended.map_err(|_| PeerError::Lost("before everything was sent")),
        signal = signals.first() => Err(PeerError::Interrupted(signal)),
    }
}

/// Disconnects, for at most [`LEAVE_TIMEOUT`], whether or not everything is sent.
pub(crate) async fn leave(socket: &Socket) {
    // The program ends in both cases.
    let _ = tokio::time::timeout(LEAVE_TIMEOUT, socket.disconnect()).await;
}

/// Converts the result of an event that asked for an acknowledgement.
pub(crate) fn answer(result: Result<Args, AckError>, timeout: Duration) -> Result<Args, PeerError> {
    result.map_err(|error| match error {
        AckError::Timeout => PeerError::AckTimeout(timeout),
        AckError::Disconnected => PeerError::Lost("before the acknowledgement arrived"),
        AckError::Emit(error) => PeerError::Emit(error),
        other => PeerError::Argument(other.to_string()),
    })
}

/// Fails if an acknowledgement is the error of a handler.
pub(crate) fn check_answer(args: &Args) -> Result<(), PeerError> {
    match kokanee_handler::read_ack::<IgnoredAny>(args) {
        Err(AckError::Remote(error)) => Err(PeerError::Refused(error)),
        _ => Ok(()),
    }
}
