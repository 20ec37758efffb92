//! `kokanee tcp` and `kokanee udp`: how their subcommands run and end.

mod error;
mod input;
mod tcp;
mod udp;
mod view;

use std::process::ExitCode;

use tokio::runtime;

use crate::{
    args::{TcpArgs, UdpArgs, ViewArgs},
    escape,
    exit::Exit,
    output::Output,
    paint::Paint,
    sockets::{error::SocketError, view::View},
    trace::report_traces,
};

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

/// Runs a command on a runtime, and prints why it failed.
fn run<F>(args: &ViewArgs, command: impl FnOnce(View) -> F) -> ExitCode
where
    F: Future<Output = Result<(), SocketError>>,
{
    let Ok(output) = Output::start_lossless() else {
        return Exit::Failure.into();
    };
    report_traces(&args.log.filter, &output);
    let ended = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(SocketError::Start)
        .and_then(|runtime| {
            let ended = runtime.block_on(command(View::new(args, &output)));
            // This does not wait for a pending read of stdin, which cannot be cancelled.
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
    let was_interrupted = output.signal().is_some();
    match (output.finish(), output.signal()) {
        // The command had ended, but a signal cut its output off.
        (false, Some(signal)) if !was_interrupted => ExitCode::from(signal.exit_code()),
        _ => exit,
    }
}
