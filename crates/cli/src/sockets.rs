//! `kokanee tcp` and `kokanee udp`: what their subcommands have in common. How they fail, and how they end.

mod input;
mod tcp;
mod udp;
mod view;

use std::{process::ExitCode, time::Duration};

use kokanee::net::NetError;
use tokio::runtime;

use crate::{
    args::{TcpArgs, UdpArgs, ViewArgs},
    escape,
    exit::Exit,
    output::Output,
    paint::Paint,
    signals::Signal,
    sockets::view::View,
    trace::report_traces,
};

/// Why a command has ended otherwise than it should.
#[derive(Debug, thiserror::Error)]
enum SocketError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("{0}")]
    Argument(String),
    #[error("nothing came within {0:?}")]
    Silence(Duration),
    #[error("the connection was lost before all was sent")]
    Unsent,
    #[error("interrupted by {}", .0.name())]
    Interrupted(Signal),
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
}

impl SocketError {
    fn exit(&self) -> ExitCode {
        let exit = match self {
            Self::Net(error) => exit_of(error),
            Self::Argument(_) => Exit::Usage,
            Self::Silence(_) => Exit::Timeout,
            Self::Unsent => Exit::Lost,
            Self::Interrupted(signal) => return ExitCode::from(signal.exit_code()),
            Self::Start(_) => Exit::Failure,
        };
        exit.into()
    }
}

fn exit_of(error: &NetError) -> Exit {
    match error {
        NetError::NotAnAddress { .. } => Exit::Usage,
        NetError::AddressInUse { .. } => Exit::AddressInUse,
        NetError::UnknownHost { .. }
        | NetError::Refused { .. }
        | NetError::Unreachable { .. }
        | NetError::Tls { .. } => Exit::Unreachable,
        NetError::ConnectTimeout { .. }
        | NetError::ReadTimeout { .. }
        | NetError::WriteTimeout { .. }
        | NetError::Idle { .. } => Exit::Timeout,
        NetError::Reset { .. } | NetError::Closed { .. } => Exit::Lost,
        NetError::UnexpectedEnd { .. }
        | NetError::FrameCut { .. }
        | NetError::FrameTooLarge { .. }
        | NetError::DelimiterInFrame { .. }
        | NetError::DatagramTooLarge { .. }
        | NetError::DatagramOverLimit { .. } => Exit::Protocol,
        _ => Exit::Failure,
    }
}

/// Runs `kokanee tcp`.
pub(crate) fn tcp(args: &TcpArgs) -> ExitCode {
    run(tcp::view_args(args), |view| async move {
        tcp::run(args, &view).await
    })
}

/// Runs `kokanee udp`.
pub(crate) fn udp(args: &UdpArgs) -> ExitCode {
    run(udp::view_args(args), |view| async move {
        udp::run(args, &view).await
    })
}

/// Runs a command on a runtime, and tells why it failed.
fn run<F>(args: &ViewArgs, command: impl FnOnce(View) -> F) -> ExitCode
where
    F: Future<Output = Result<(), SocketError>>,
{
    let Ok(output) = Output::start_patient() else {
        return Exit::Failure.into();
    };
    report_traces(&args.log.level, &output);
    let ended = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(SocketError::Start)
        .and_then(|runtime| {
            let ended = runtime.block_on(command(View::new(args, &output)));
            // A read of the standard input cannot be ended.
            runtime.shutdown_background();
            ended
        });
    let exit = match ended {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            let paint = Paint::for_stderr(args.color);
            let text = escape::lines(&error.to_string()).replace('\n', " ");
            output.print_err(format!("{} {text}", paint.red("error:")));
            error.exit()
        }
    };
    let was_asked_to_end = output.signal().is_some();
    match (output.finish_patiently(), output.signal()) {
        // It had ended by itself, but nobody took what it had to say.
        (false, Some(signal)) if !was_asked_to_end => ExitCode::from(signal.exit_code()),
        _ => exit,
    }
}
