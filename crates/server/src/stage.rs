//! What the handlers of a session send to their own client in a turn of the session's task: kept in thread-locals until the
//! task sends it, so that no lock is taken.
//!
//! The [`Driver`](crate::driver::Driver) begins a [`Turn`] and takes what was staged in it. The
//! [`Mailbox`](crate::mailbox::Mailbox) adds to it, and decides what may be staged: see its diagram. A turn belongs to the
//! mailbox whose address in memory it has; any other mailbox finds nothing here.
//!
//! ```text
//! text of an event, while it is written ── write_text ──▶ ┌─────────┐ write_only_run ─▶ one write, past the session
//! finished frame of a text ────────────── push_frame ───▶ │   run   │
//!                                                         ├─────────┤ take_staged ────▶ the session's outbox
//! any other packet, and all after it ──── push_packet ──▶ │ packets │
//!                                                         └─────────┘
//! ```
//!
//! The run is always sent before the packets. So no frame is added to it while there are packets.

use std::{
    cell::{Cell, RefCell},
    num::NonZeroUsize,
};

use kokanee_engineio::{FrameRun, OVERHEAD_BYTES, RunText, SendOptions};
use kokanee_socketio::{Attachments, EncodedPacket};

/// Bytes beyond which a turn stages no more: other threads do not see what is staged.
pub(crate) const MAX_STAGED_BYTES: usize = 64 * 1024;

/// Packets and how they are to be sent.
pub(crate) type Packets = Vec<(EncodedPacket, SendOptions)>;

/// The turn on this thread.
struct Stage {
    /// The address of the mailbox whose task runs.
    running: Cell<Option<NonZeroUsize>>,
    /// The same address if the session takes text messages as finished frames.
    takes_runs: Cell<Option<NonZeroUsize>>,
    /// The same address if frames may be added to the run now.
    open_for: Cell<Option<NonZeroUsize>>,
    /// The size of all that is staged, with its overhead.
    bytes: Cell<usize>,
}

thread_local! {
    static STAGE: Stage = const {
        Stage {
            running: Cell::new(None),
            takes_runs: Cell::new(None),
            open_for: Cell::new(None),
            bytes: Cell::new(0),
        }
    };
    /// What is staged first: frames of texts for a WebSocket, ready to be written.
    static RUN: RefCell<FrameRun> = const { RefCell::new(FrameRun::new()) };
    /// What is staged after the run.
    static PACKETS: RefCell<Packets> = const { RefCell::new(Vec::new()) };
}

impl Stage {
    /// Allows frames to be added to the run if the session takes them. The run must be the last that is staged.
    #[inline]
    fn open(&self) {
        self.open_for.set(self.takes_runs.get());
    }

    /// Forbids frames to be added to the run.
    #[inline]
    fn close(&self) {
        self.open_for.set(None);
    }
}

/// A turn of a session's task on this thread. Until it is dropped, what this thread sends to this session is staged.
pub(crate) struct Turn;

impl Turn {
    /// Begins the turn of the task whose mailbox has this address. `takes_runs` says that its session takes text messages as
    /// finished frames, until the end of the turn.
    pub(crate) fn begin(mailbox: NonZeroUsize, takes_runs: bool) -> Self {
        STAGE.with(|stage| {
            stage.running.set(Some(mailbox));
            stage.takes_runs.set(takes_runs.then_some(mailbox));
            stage.open();
        });
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        STAGE.with(|stage| {
            stage.running.set(None);
            stage.takes_runs.set(None);
            stage.close();
        });
        // Nothing is left, unless the turn panicked: it must not reach the next session.
        take_staged(|_, _| {});
    }
}

// For the session's task.

/// Whether something was staged in this turn.
#[inline]
pub(crate) fn has_staged() -> bool {
    staged_bytes() > 0
}

/// Takes what was staged in this turn.
pub(crate) fn take_staged(f: impl FnOnce(FrameRun, &mut Packets)) {
    if !has_staged() {
        return;
    }
    // Taken out: what `f` drops may be the application's, and do anything.
    let (run, mut packets) = (RUN.take(), PACKETS.take());
    STAGE.with(|stage| {
        stage.bytes.set(0);
        stage.open();
    });
    f(run, &mut packets);
    packets.clear();
    // The memory is kept for the next turn, unless a burst has made it large.
    if packets.capacity() <= 1024 && !has_staged() {
        PACKETS.set(packets);
    }
}

/// What has become of the run.
pub(crate) enum Written {
    /// There is none, or it is not all that is staged.
    Nothing,
    /// All, so many messages.
    All(usize),
    /// Only so many of its bytes were written.
    Part(FrameRun, usize),
}

/// Writes the run that was staged in this turn with `write`, if nothing else is staged. `write` returns how many bytes it has
/// written.
#[inline]
pub(crate) fn write_only_run(write: impl FnOnce(&[u8]) -> usize) -> Written {
    let staged = staged_bytes();
    if staged == 0 || !PACKETS.with_borrow(Packets::is_empty) {
        return Written::Nothing;
    }
    RUN.with_borrow_mut(|run| {
        // A subscriber to logs may run the application's code. What that sends is sent after the run.
        STAGE.with(Stage::close);
        let written = write(run.as_slice());
        STAGE.with(|stage| {
            stage.bytes.set(stage.bytes.get() - staged);
            if stage.bytes.get() == 0 {
                stage.open();
            }
        });
        if written < run.as_slice().len() {
            return Written::Part(std::mem::take(run), written);
        }
        let packets = run.packets();
        // Its memory is the next run's.
        run.clear();
        Written::All(packets)
    })
}

// For the mailbox.

/// Returns the size of what is staged on this thread.
#[inline]
pub(crate) fn staged_bytes() -> usize {
    STAGE.with(|stage| stage.bytes.get())
}

/// Whether the task of this mailbox runs on this thread.
#[inline]
pub(crate) fn is_running(mailbox: NonZeroUsize) -> bool {
    STAGE.with(|stage| stage.running.get() == Some(mailbox))
}

/// Whether the task of this mailbox runs on this thread, and frames may be added to its run.
#[inline]
pub(crate) fn takes_frames(mailbox: NonZeroUsize) -> bool {
    STAGE.with(|stage| stage.open_for.get() == Some(mailbox))
}

/// Writes a text as the next frame of the run, in its final place. Returns it as a packet instead if it cannot be one frame,
/// or if `fits` refuses the bytes that would be staged with it, or `seal` the text, to which it may append a little. `staged` are
/// these bytes without the text itself. The stage must [take frames](takes_frames).
///
/// # Errors
/// Those of `write`.
#[inline]
pub(crate) fn write_text<E>(
    staged: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, E>,
    fits: impl FnOnce(usize) -> bool,
    seal: impl FnOnce(&mut RunText<'_>) -> bool,
) -> Result<Option<EncodedPacket>, E> {
    RUN.with_borrow_mut(|run| {
        let mut text = run.begin();
        // `write` may run the application's code. What that sends itself is sent before this text.
        STAGE.with(Stage::close);
        let attachments = write(text.as_mut_vec());
        let is_last = PACKETS.with_borrow(Packets::is_empty);
        if is_last {
            STAGE.with(Stage::open);
        }
        let attachments = attachments?;
        let written = text.text().len();
        if is_last && attachments.is_none() && fits(staged + written) && seal(&mut text) {
            let sealed = text.text().len();
            match text.finish() {
                Ok(()) => {
                    STAGE.with(|stage| stage.bytes.set(staged + sealed));
                    return Ok(None);
                }
                Err(returned) => text = returned,
            }
        }
        Ok(Some(EncodedPacket::from_written(text.text(), attachments)))
    })
}

/// Adds the frame of a text to the run. Returns `false` if the run would become long, or if `fits` refuses the bytes that
/// would be staged with it. The stage must [take frames](takes_frames).
#[inline]
pub(crate) fn push_frame(frame: &[u8], fits: impl FnOnce(usize) -> bool) -> bool {
    let staged = staged_bytes() + frame.len() + OVERHEAD_BYTES;
    let is_staged = fits(staged) && RUN.with_borrow_mut(|run| run.push(frame));
    if is_staged {
        STAGE.with(|stage| stage.bytes.set(staged));
    }
    is_staged
}

/// Stages a packet after everything else.
pub(crate) fn push_packet(packet: EncodedPacket, options: SendOptions) {
    STAGE.with(|stage| {
        let weight = packet.size_bytes() + OVERHEAD_BYTES;
        stage.bytes.set(stage.bytes.get() + weight);
        stage.close();
    });
    PACKETS.with_borrow_mut(|packets| packets.push((packet, options)));
}
