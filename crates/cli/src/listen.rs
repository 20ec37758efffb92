//! `kokanee listen`: prints received events.

use std::{process::ExitCode, sync::Arc, time::Duration};

use kokanee::Args;
use kokanee_client::DisconnectReason;
use tokio::time::{Instant, sleep_until};

use crate::{
    args::ListenArgs,
    arguments,
    notice::{Notice, NoticeKind, notices},
    output::Output,
    paint::Paint,
    peer::{self, PeerError},
    signals::Signals,
};

/// Runs the command.
pub(crate) fn run(args: &ListenArgs) -> ExitCode {
    peer::run(&args.connection, |output| async move {
        listen(args, &output).await
    })
}

async fn listen(args: &ListenArgs, output: &Output) -> Result<(), PeerError> {
    let mut listener = Listener::new(args, output)?;
    let mut signals = Signals::watch(output).map_err(PeerError::Start)?;
    let socket = peer::socket(&args.connection, !args.no_reconnect)?;
    let (reporter, mut notices) = notices();
    reporter.watch(&socket);
    // Events may arrive before `connect` returns, and more of them than the queue has room for.
    let connected = {
        let connecting = peer::connect(&socket, &mut signals);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                biased;
                connected = &mut connecting => break connected,
                notice = notices.recv() => {
                    // A failure of the first connection is printed when the command ends.
                    if !matches!(notice.kind, NoticeKind::Failure(_)) && listener.take(&notice)? {
                        return Ok(());
                    }
                }
            }
        }
    };
    connected?;
    let mut silent_since = Instant::now();
    let ended = loop {
        // Without a timeout the timer is only restarted when it elapses.
        let timeout = args.timeout.unwrap_or(Duration::from_secs(24 * 60 * 60));
        tokio::select! {
            notice = notices.recv() => {
                if let NoticeKind::Failure(failure) = &notice.kind
                    && !socket.is_active()
                {
                    // The server refused to reconnect the socket, so no further attempt is made.
                    break Err(PeerError::Connect(Arc::clone(failure)));
                }
                let count = listener.printed;
                match listener.take(&notice) {
                    Ok(false) => {}
                    Ok(true) => break Ok(()),
                    Err(error) => break Err(error),
                }
                if listener.printed > count {
                    silent_since = Instant::now();
                }
            }
            () = sleep_until(silent_since + timeout) => match args.timeout {
                Some(timeout) => break Err(PeerError::Silence(timeout)),
                None => silent_since = Instant::now(),
            },
            signal = signals.first() => break Err(PeerError::Interrupted(signal)),
        }
    };
    peer::leave(&socket).await;
    ended
}

/// Prints the selected events, and counts them.
struct Listener<'a> {
    args: &'a ListenArgs,
    output: &'a Output,
    paint: Paint,
    /// What events are acknowledged with.
    answer: Option<Args>,
    printed: u64,
}

impl<'a> Listener<'a> {
    fn new(args: &'a ListenArgs, output: &'a Output) -> Result<Self, PeerError> {
        let values: Result<Vec<_>, _> = args
            .answer
            .iter()
            .map(|text| arguments::argument(text))
            .collect();
        let answer = match values.map_err(PeerError::Argument)? {
            values if values.is_empty() => None,
            values => Some(peer::pack(values)?),
        };
        Ok(Self {
            args,
            output,
            paint: Paint::for_stdout(args.connection.color),
            answer,
            printed: 0,
        })
    }

    /// Handles a notice. Returns whether the command is done.
    fn take(&mut self, notice: &Notice) -> Result<bool, PeerError> {
        match &notice.kind {
            NoticeKind::Event(event, ack) => {
                if let (Some(answer), true) = (&self.answer, ack.is_wanted()) {
                    // It fails only if the connection is lost, which has a notice of its own.
                    let _ = ack.send_args(answer);
                }
                let is_wanted = self.args.event.is_empty()
                    || self.args.event.iter().any(|name| name == event.name());
                if is_wanted {
                    let entry = notice.entry(None);
                    self.output.print(if self.args.json {
                        entry.json()
                    } else {
                        entry.text(self.paint)
                    });
                    self.printed += 1;
                }
                let is_last = self
                    .args
                    .count
                    .is_some_and(|count| self.printed >= count.get());
                Ok(is_last || self.output.is_closed())
            }
            NoticeKind::Disconnect(DisconnectReason::Client, _) => Ok(false),
            // A socket that the server disconnected does not reconnect by itself.
            NoticeKind::Disconnect(reason, _)
                if self.args.no_reconnect || *reason == DisconnectReason::Server =>
            {
                Err(PeerError::Lost(reason.as_str()))
            }
            NoticeKind::GaveUp => Err(PeerError::Lost("reconnecting failed")),
            _ => {
                if !self.args.quiet {
                    let paint = Paint::for_stderr(self.args.connection.color);
                    self.output.print_err(notice.entry(None).text(paint));
                }
                Ok(false)
            }
        }
    }
}
