//! The signals that ask the program to stop, for all commands that have something to do before they end.
//!
//! The first one is news: the command ends what it does, and its output gets a second. The second one ends the program at
//! once, whatever it does. A thread of its own sees to both, as a command may be stuck in its output.

use std::{io, process, thread};

use tokio::{runtime, sync::watch};

use crate::output::Output;

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C, SIGINT.
    Interrupt,
    /// SIGTERM.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has it"))]
    Terminate,
}

impl Signal {
    /// The name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The exit code of a program that this signal has ended, as shells count.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 128 + 2,
            Self::Terminate => 128 + 15,
        }
    }
}

/// The news of the first signal. From its making on signals do not end the program by themselves.
pub(crate) struct Signals(watch::Receiver<Option<Signal>>);

impl Signals {
    /// Begins to watch. The first signal makes the output hurry.
    pub(crate) fn watch(output: &Output) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut source = {
            let _context = runtime.enter();
            Source::new()?
        };
        let (news, first) = watch::channel(None);
        let output = output.clone();
        let watch = move || {
            runtime.block_on(async {
                let signal = source.next().await;
                output.hurry(signal);
                news.send_replace(Some(signal));
                end_at_once(source.next().await);
            });
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(watch)?;
        Ok(Self(first))
    }

    /// Waits for the first signal, which may have come. Cancel safe.
    pub(crate) async fn first(&mut self) -> Signal {
        match self.0.wait_for(Option::is_some).await.map(|first| *first) {
            Ok(Some(signal)) => signal,
            // The thread ends with the program only.
            _ => std::future::pending().await,
        }
    }
}

#[expect(
    clippy::exit,
    reason = "the thread that would return may be stuck, which is why this was sent"
)]
fn end_at_once(signal: Signal) -> ! {
    // Nothing happens if the terminal is as it was.
    let _ = crossterm::terminal::disable_raw_mode();
    process::exit(signal.exit_code().into())
}

/// The signals of the system.
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

/// Ctrl-C.
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
