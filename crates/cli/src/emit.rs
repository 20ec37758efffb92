//! `kokanee emit`: sends an event once or several times, and prints the acknowledgements.

use std::{process::ExitCode, time::Duration};

use kokanee::Args;
use kokanee_client::Socket;
use kokanee_socketio::Value;
use tokio::time::{Instant, sleep_until};

use crate::{
    args::EmitArgs,
    arguments, entry, escape,
    output::Output,
    peer::{self, PeerError},
    signals::Signals,
};

/// Runs the command.
pub(crate) fn run(args: &EmitArgs) -> ExitCode {
    peer::run(&args.connection, |output| async move {
        emit(args, &output).await
    })
}

async fn emit(args: &EmitArgs, output: &Output) -> Result<(), PeerError> {
    // Before anything is sent.
    let packed = pack(args)?;
    let mut signals = Signals::watch(output).map_err(PeerError::Start)?;
    let socket = peer::socket(&args.connection, false)?;
    peer::connect(&socket, &mut signals).await?;
    let sent = tokio::select! {
        sent = send(args, &socket, &packed, output) => sent,
        signal = signals.first() => Err(PeerError::Interrupted(signal)),
    };
    match sent {
        Ok(()) => peer::finish(&socket, &mut signals).await,
        Err(error) => {
            peer::leave(&socket).await;
            Err(error)
        }
    }
}

async fn send(
    args: &EmitArgs,
    socket: &Socket,
    packed: &Args,
    output: &Output,
) -> Result<(), PeerError> {
    let mut next = Instant::now();
    for round in 0..args.count.get() {
        if round > 0 && args.interval > Duration::ZERO {
            next += args.interval;
            sleep_until(next).await;
        }
        if !socket.is_connected() {
            return Err(PeerError::Lost("before all events were sent"));
        }
        if args.ack {
            let call = socket.emit_args_with_ack::<()>(&args.event, packed);
            let result = call.timeout(args.timeout).args().await;
            let answer = peer::answer(result, args.timeout)?;
            let values = serde_json::Value::from(entry::values(&answer));
            output.print(escape::json(&values.to_string()));
            peer::check_answer(&answer)?;
            if output.is_closed() {
                return Ok(());
            }
        } else {
            socket.emit_args(&args.event, packed).await?;
        }
    }
    Ok(())
}

/// Makes the event's arguments from the command line.
fn pack(args: &EmitArgs) -> Result<Args, PeerError> {
    let mut values = Vec::new();
    for text in &args.args {
        values.push(if args.text {
            Value::from(text.as_str())
        } else {
            arguments::argument(text).map_err(PeerError::Argument)?
        });
    }
    for path in &args.binary {
        let path = path.display().to_string();
        values.push(arguments::file(&path).map_err(PeerError::Argument)?);
    }
    peer::pack(values)
}
