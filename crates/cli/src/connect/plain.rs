//! A session without a terminal: reads lines from stdin and prints lines. It ends a while (`--wait`) after the end of the
//! input and the last acknowledgement.

use std::{io, io::BufRead, thread};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    command,
    session::{Said, Session},
};
use crate::{
    args::ConnectArgs,
    escape,
    notice::notices,
    output::Output,
    paint::Paint,
    peer::{self, PeerError},
    signals::Signals,
};

/// Lines that were read and may wait to be handled.
const MAX_LINES: usize = 64;

/// Runs the session.
pub(crate) async fn run(args: &ConnectArgs, output: Output) -> Result<(), PeerError> {
    let (reporter, mut notices) = notices();
    let (joined, mut join) = mpsc::unbounded_channel();
    let mut signals = Signals::watch(&output).map_err(PeerError::Start)?;
    let mut session = Session::new(args, reporter, joined)?;
    let printer = Printer {
        output,
        paint: Paint::for_stdout(args.connection.color),
        is_json: args.json,
    };
    if let Some(socket) = session.socket().cloned() {
        peer::connect(&socket, &mut signals).await?;
    }
    let mut lines = read_lines()?;
    // When the input has ended.
    let mut input_end: Option<Instant> = None;
    let ended = loop {
        if printer.output.is_closed() {
            break Ok(());
        }
        // When the session ends: after the end of the input, if no acknowledgement is pending.
        let until = input_end.filter(|_| session.pending() == 0);
        let until = until.map(|end| end + args.wait);
        let socket = session.socket().cloned();
        // Reads the next line only when the send buffer has room, so that events are sent in order and few are buffered.
        let next_line = async {
            if let Some(socket) = socket {
                socket.writable().await;
            }
            lines.recv().await
        };
        let said = tokio::select! {
            biased;
            signal = signals.first() => break Err(PeerError::Interrupted(signal)),
            notice = notices.recv() => session.on_notice(&notice).into_iter().collect(),
            Some(joined) = join.recv() => session.on_joined(joined),
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break Ok(()),
            line = next_line, if input_end.is_none() => match line.as_deref().map(command::parse) {
                None => {
                    input_end = Some(Instant::now());
                    Vec::new()
                }
                Some(Ok(None)) => Vec::new(),
                Some(Ok(Some(command))) => session.on_command(command).await,
                Some(Err(reason)) => vec![Said::Note(reason)],
            },
        };
        if !printer.print(said) {
            break Ok(());
        }
    };
    let ended = if ended.is_ok() {
        let sockets = session.sockets();
        let finishing = async {
            for socket in &sockets {
                peer::finish(socket, &mut signals).await?;
            }
            Ok(())
        };
        tokio::pin!(finishing);
        loop {
            // Keeps reading meanwhile, because the server may stop reading until its events are read.
            tokio::select! {
                finished = &mut finishing => break finished,
                notice = notices.recv() => {
                    printer.print(session.on_notice(&notice));
                }
            }
        }
    } else {
        session.leave().await;
        ended
    };
    // What arrived before the disconnect.
    while let Some(notice) = notices.try_recv() {
        printer.print(session.on_notice(&notice));
    }
    ended
}

/// Prints the output of a session.
struct Printer {
    output: Output,
    paint: Paint,
    is_json: bool,
}

impl Printer {
    /// Returns whether the session continues.
    fn print(&self, said: impl IntoIterator<Item = Said>) -> bool {
        for said in said {
            match said {
                Said::Entry(entry) if self.is_json => self.output.print(entry.json()),
                Said::Entry(entry) => self.output.print(entry.text(self.paint)),
                Said::Note(text) => self.output.print_err(escape::lines(&text)),
                Said::Clear => {}
                Said::Quit => return false,
            }
        }
        true
    }
}

/// Reads the lines of stdin on a separate thread, because that read blocks.
fn read_lines() -> Result<mpsc::Receiver<String>, PeerError> {
    let (sender, receiver) = mpsc::channel(MAX_LINES);
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("input".to_owned());
    thread.spawn(read).map_err(PeerError::Start)?;
    Ok(receiver)
}
