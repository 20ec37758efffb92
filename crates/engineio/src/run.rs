//! Finished frames of several text messages, one behind the other: what one turn of a session's task sends is one piece
//! of memory, written with one call.
//!
//! Filled by the driver, kept by the [`Outbox`](crate::outbox) until it is written. Only for a WebSocket: the packets cannot
//! be told apart any more.

use std::cell::Cell;

#[cfg(doc)]
use crate::Outgoing;
use crate::outbox::OVERHEAD_BYTES;

/// The memory that a thread keeps for its next run at most, and the bytes beyond which a run takes no more.
const MAX_RUN_BYTES: usize = 16 * 1024;

thread_local! {
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Frames of text messages, one behind the other. Its memory is used again by the next one of the thread.
#[derive(Debug, Default)]
pub struct FrameRun {
    bytes: Vec<u8>,
    packets: usize,
}

impl FrameRun {
    /// No frames.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            packets: 0,
        }
    }

    /// Adds the [frame of a text message](Outgoing::text_frame), if neither it nor what is here already is long. Returns
    /// whether it has.
    #[inline]
    pub fn push(&mut self, frame: &[u8]) -> bool {
        if self.bytes.len() + frame.len() >= MAX_RUN_BYTES {
            return false;
        }
        if self.packets == 0 {
            self.bytes = KEPT.take();
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(frame);
        self.packets += 1;
        true
    }

    /// Adds all of `other`, if that makes no long run.
    pub(crate) fn append(&mut self, other: &Self) -> bool {
        let fits = self.bytes.len() + other.bytes.len() < MAX_RUN_BYTES;
        if fits {
            self.bytes.extend_from_slice(&other.bytes);
            self.packets += other.packets;
        }
        fits
    }

    /// Whether there are no frames.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The frames.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What it counts while it waits: its bytes, and an overhead for each packet.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.packets * OVERHEAD_BYTES
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 && self.bytes.capacity() <= 2 * MAX_RUN_BYTES {
            // Fails when the thread ends.
            let _ = KEPT.try_with(|kept| kept.set(std::mem::take(&mut self.bytes)));
        }
    }
}
