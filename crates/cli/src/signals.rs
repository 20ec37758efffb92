//! Watches for signals that ask the program to stop, for all commands with something to do before they end.
//!
//! After the first signal the command stops, and its output gets a second. The second signal ends the program immediately.
//! A separate thread handles both, because a command may be blocked by its output.

use std::{io, process, thread};

use tokio::{runtime, sync::watch};

use crate::{output::Output, signal::Signal};

/// Waits for the first signal. While it exists, signals no longer end the program by themselves.
pub(crate) struct Signals(watch::Receiver<Option<Signal>>);

impl Signals {
    /// Starts watching. The first signal also limits how long the output waits.
    pub(crate) fn watch(output: &Output) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut source = {
            let _context = runtime.enter();
            Source::new()?
        };
        let (sender, first) = watch::channel(None);
        let output = output.clone();
        let watch = move || {
            runtime.block_on(async {
                let signal = source.next().await;
                output.hurry(signal);
                sender.send_replace(Some(signal));
                end_immediately(source.next().await);
            });
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch)?;
        Ok(Self(first))
    }

    /// Waits for the first signal; returns immediately if it was received before. Cancel safe.
    pub(crate) async fn first(&mut self) -> Signal {
        match self.0.wait_for(Option::is_some).await.map(|first| *first) {
            Ok(Some(signal)) => signal,
            // The thread ends only with the program.
            _ => std::future::pending().await,
        }
    }
}

#[expect(
    clippy::exit,
    reason = "the main thread may be blocked, so it cannot return from main"
)]
fn end_immediately(signal: Signal) -> ! {
    // This does nothing if raw mode is not enabled.
    let _ = crossterm::terminal::disable_raw_mode();
    process::exit(signal.exit_code().into())
}

/// The signals of Unix.
#[cfg(unix)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// The signal of Windows.
#[cfg(windows)]
struct Source(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Source {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Signal {
        self.0.recv().await;
        Signal::Interrupt
    }
}
