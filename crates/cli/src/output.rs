//! Everything that the program writes goes through one thread, so that a stopped terminal or a pipe without a reader blocks
//! nothing else.
//!
//! A command may wait for its output without a limit. A signal ends that wait: printed lines get [`HURRY_TIMEOUT`] from then
//! on and the last ones [`FINISH_TIMEOUT`], twice if more follow: one second in total.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::signal::Signal;

/// Lines that may wait to be written. Further ones are dropped and counted.
const MAX_WAITING: usize = 8192;
/// Bytes of one write.
const BATCH_BYTES: usize = 16 * 1024;
/// Time for the last lines to be written when the program ends by a signal.
const FINISH_TIMEOUT: Duration = Duration::from_millis(350);
/// Time after a signal in which lines still wait for room in the queue.
const HURRY_TIMEOUT: Duration = Duration::from_millis(300);
/// Time between two checks for room in the queue, or a signal.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Writes to stdout and stderr through the output thread. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
    is_closed: Arc<AtomicBool>,
    /// The first signal that the program received, and when.
    signal: Arc<OnceLock<(Signal, Instant)>>,
}

#[derive(Debug)]
enum Line {
    Out(String),
    Err(String),
    /// Text with escape sequences for the terminal on stdout, written unchanged.
    Screen(String),
    /// Bytes for stdout, written unchanged.
    Bytes(Vec<u8>),
    /// Replaces the status line on stderr, which stays below everything else.
    Status(String),
    /// Reports when everything before it is written.
    Finish(Sender<()>),
}

impl Output {
    /// Starts the output thread. `lost_line` formats the line that reports a number of dropped lines.
    pub(crate) fn start(lost_line: fn(u64) -> String) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel(MAX_WAITING);
        let lost = Arc::<AtomicU64>::default();
        let is_closed = Arc::<AtomicBool>::default();
        let writer = Writer {
            out: Sink::new(io::stdout()),
            err: Sink::new(io::stderr()),
            lost: Arc::clone(&lost),
            is_closed: Arc::clone(&is_closed),
            lost_line,
            status: String::new(),
        };
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self {
            lines,
            lost,
            is_closed,
            signal: Arc::default(),
        })
    }

    /// Starts the output thread for a command that drops no line before a signal, because it uses [`print`](Self::print).
    pub(crate) fn start_lossless() -> io::Result<Self> {
        Self::start(|lines| format!("{lines} lines were dropped"))
    }

    /// Writes a line to stdout, or drops it if the queue is full.
    pub(crate) fn out(&self, line: String) {
        self.send(Line::Out(line));
    }

    /// Writes a line to stderr, or drops it if the queue is full.
    pub(crate) fn err(&self, line: String) {
        self.send(Line::Err(line));
    }

    /// Writes a line to stdout. Waits while the queue is full, so that no line is dropped.
    pub(crate) fn print(&self, line: String) {
        self.wait_to_send(Line::Out(line));
    }

    /// Writes a line to stderr as [`print`](Self::print) does.
    pub(crate) fn print_err(&self, line: String) {
        self.wait_to_send(Line::Err(line));
    }

    /// Writes bytes to stdout without a line end, and waits until they are written.
    pub(crate) fn print_bytes(&self, bytes: Vec<u8>) {
        self.wait_to_send(Line::Bytes(bytes));
        self.finish();
    }

    /// Writes text with escape sequences to the terminal on stdout, without a line end.
    pub(crate) fn screen(&self, text: String) {
        self.wait_to_send(Line::Screen(text));
    }

    /// Shows a status line on stderr until the next one replaces it; an empty one removes it. For terminals only.
    pub(crate) fn status(&self, line: String) {
        // If the queue is full, the next status line replaces this one anyway.
        let _ = self.lines.try_send(Line::Status(line));
    }

    /// Returns whether stdout is closed at the other end.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Records a signal: from now on nothing waits long for room in the queue, or until everything is written.
    pub(crate) fn hurry(&self, signal: Signal) {
        // Only the first signal is recorded.
        let _ = self.signal.set((signal, Instant::now()));
    }

    /// Returns the first signal that the program received.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.signal.get().map(|(signal, _)| *signal)
    }

    /// Waits for room in the queue. [`HURRY_TIMEOUT`] after a signal the line is dropped.
    fn wait_to_send(&self, line: Line) {
        let is_late = || {
            let signal = self.signal.get();
            signal.is_some_and(|(_, at)| at.elapsed() >= HURRY_TIMEOUT)
        };
        self.send_until(line, is_late);
    }

    fn send_until(&self, mut line: Line, is_late: impl Fn() -> bool) {
        // It cannot be disconnected: the thread lives as long as this handle.
        while let Err(TrySendError::Full(unsent)) = self.lines.try_send(line) {
            if is_late() {
                return;
            }
            line = unsent;
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until all lines are written, without a limit until a signal, then for [`FINISH_TIMEOUT`]. Returns whether all
    /// are written.
    pub(crate) fn finish(&self) -> bool {
        let start = Instant::now();
        self.finish_unless(|| {
            let signal = self.signal.get();
            signal.is_some_and(|(_, at)| start.max(*at).elapsed() >= FINISH_TIMEOUT)
        })
    }

    /// Waits for at most [`FINISH_TIMEOUT`] until all lines are written. Returns whether they are.
    pub(crate) fn finish_briefly(&self) -> bool {
        let start = Instant::now();
        self.finish_unless(|| start.elapsed() >= FINISH_TIMEOUT)
    }

    fn finish_unless(&self, is_late: impl Fn() -> bool) -> bool {
        let (done, is_done) = mpsc::channel();
        self.send_until(Line::Finish(done), &is_late);
        loop {
            match is_done.recv_timeout(LOOK_INTERVAL) {
                Ok(()) => return true,
                // It was not queued, or the thread has ended: then there is nothing to wait for.
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if is_late() => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn send(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The state of the output thread.
struct Writer {
    out: Sink<io::Stdout>,
    err: Sink<io::Stderr>,
    lost: Arc<AtomicU64>,
    is_closed: Arc<AtomicBool>,
    lost_line: fn(u64) -> String,
    /// The status line that is shown.
    status: String,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Line>) {
        loop {
            let line = match lines.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Disconnected) => return,
                // All queued lines are written together, before the wait.
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match lines.recv() {
                        Ok(line) => line,
                        Err(mpsc::RecvError) => return,
                    }
                }
            };
            self.report_lost();
            match line {
                Line::Out(line) => {
                    self.hide_status();
                    self.out.push(&line);
                }
                Line::Err(line) => {
                    self.hide_status();
                    self.err.push(&line);
                }
                Line::Screen(text) => self.out.write(text.as_bytes()),
                Line::Bytes(bytes) => self.out.write(&bytes),
                Line::Status(line) => {
                    self.hide_status();
                    self.out.flush();
                    self.err.write(line.as_bytes());
                    self.status = line;
                }
                Line::Finish(done) => {
                    self.flush();
                    // The receiver may have given up.
                    let _ = done.send(());
                }
            }
        }
    }

    fn hide_status(&mut self) {
        if !std::mem::take(&mut self.status).is_empty() {
            self.err.write(b"\r\x1b[2K");
            self.err.flush();
        }
    }

    fn report_lost(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.out.push(&(self.lost_line)(lost));
        }
    }

    fn flush(&mut self) {
        self.report_lost();
        self.out.flush();
        self.err.flush();
        if self.out.is_broken {
            self.is_closed.store(true, Ordering::Relaxed);
        }
    }
}

/// One stream. After its first error, such as a closed pipe, it discards everything.
struct Sink<W> {
    stream: W,
    batch: Vec<u8>,
    is_broken: bool,
}

impl<W: Write> Sink<W> {
    fn new(stream: W) -> Self {
        Self {
            stream,
            batch: Vec::new(),
            is_broken: false,
        }
    }

    fn push(&mut self, line: &str) {
        self.write(line.as_bytes());
        self.write(b"\n");
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        self.batch.extend_from_slice(bytes);
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            let written = self
                .stream
                .write_all(&self.batch)
                .and_then(|()| self.stream.flush());
            self.is_broken |= written.is_err();
            self.batch.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pipe {
        written: Vec<u8>,
        is_closed: bool,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.written.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_closed_pipe_nothing_is_written_or_kept() {
        let mut sink = Sink::new(Pipe {
            written: Vec::new(),
            is_closed: false,
        });
        sink.push("one");
        sink.flush();
        sink.stream.is_closed = true;
        sink.push("two");
        sink.flush();
        sink.stream.is_closed = false;
        sink.push("three");
        sink.flush();
        assert_eq!(sink.stream.written, b"one\n");
        assert!(sink.batch.is_empty());
    }
}
