//! What it means that a client has ended its stream while its request is answered: nothing, as `nc -N` and other clients end it
//! and read the answer; or that the client has left, if the answer may take until something happens. TCP does not tell one from the other.
//!
//! | request | at the end of the stream |
//! |---|---|
//! | a poll that waits | The poll is aborted, so that its session learns that the client has left. |
//! | all others of the server, static files | They are answered. |
//! | of a [fallback](crate::Listener::fallback) | Its future is dropped; with [`tell_end`](crate::Listener::tell_end), it is told, and answers. |

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

const IGNORED: u8 = 0;
const WAKES: u8 = 1;
const DROPS: u8 = 2;
const LEAVES: u8 = 3;

#[derive(Debug, Default)]
struct State {
    meaning: AtomicU8,
    has_come: AtomicBool,
}

/// Says whether the client has ended its stream, and what that means.
#[derive(Debug, Clone, Default)]
pub struct StreamEnd(Arc<State>);

impl StreamEnd {
    /// Returns whether the client has ended its stream, or its connection is broken. The task that answers is woken then.
    #[doc(hidden)]
    pub fn has_come(&self) -> bool {
        self.0.has_come.load(Ordering::Relaxed)
    }

    /// Drops the request at the end of the stream.
    #[doc(hidden)]
    pub fn drop_request(&self) {
        self.set(DROPS);
    }

    /// Wakes the task that answers at the end of the stream.
    pub(crate) fn wake(&self) {
        self.set(WAKES);
    }

    /// Answers the request also after the end of the stream. So it is for each request at first.
    pub(crate) fn ignore(&self) {
        self.set(IGNORED);
    }

    /// Has the connection leave its listener, which looks for no end any more.
    pub(crate) fn leave(&self) {
        self.set(LEAVES);
    }

    fn set(&self, meaning: u8) {
        self.0.meaning.store(meaning, Ordering::Relaxed);
    }

    /// Returns whether the end of the stream is to be looked for.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.0.meaning.load(Ordering::Relaxed), WAKES | DROPS) && !self.has_come()
    }

    /// Marks that the stream has ended.
    pub(crate) fn note(&self) {
        self.0.has_come.store(true, Ordering::Relaxed);
    }

    /// Returns whether the client counts as gone, so that the request is to be dropped.
    pub(crate) fn has_left(&self) -> bool {
        self.0.meaning.load(Ordering::Relaxed) == DROPS && self.has_come()
    }

    /// Returns whether the connection leaves its listener.
    pub(crate) fn is_leaving(&self) -> bool {
        self.0.meaning.load(Ordering::Relaxed) == LEAVES
    }
}
