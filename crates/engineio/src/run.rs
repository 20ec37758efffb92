//! Finished frames of several text messages, one after the other: what a session's task sends in one turn is one
//! buffer, written with one call.
//!
//! The driver fills it, and the [`Outbox`](crate::outbox) keeps it until it is written. Only for a WebSocket: the
//! single packets cannot be distinguished any more.

use std::cell::Cell;

use kokanee_websocket::{MAX_SERVER_HEADER_BYTES, OpCode, encode_header};

#[cfg(doc)]
use crate::message::Outgoing;

/// What a queued packet counts in addition to its content, so that many empty ones are bounded, too.
pub const OVERHEAD_BYTES: usize = 64;

thread_local! {
    static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Frames of text messages, one after the other. The next run of the thread reuses its memory.
#[derive(Debug, Default)]
pub struct FrameRun {
    bytes: Vec<u8>,
    packets: usize,
}

impl FrameRun {
    /// The largest size of a run. A thread keeps up to twice as much memory for its next run.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Creates an empty run.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            packets: 0,
        }
    }

    /// Appends the [frame of a text message](Outgoing::text_frame), unless the run would become too long. Returns
    /// whether it did.
    #[inline]
    pub fn push(&mut self, frame: &[u8]) -> bool {
        if self.bytes.len() + frame.len() >= Self::MAX_BYTES {
            return false;
        }
        self.prepare();
        self.bytes.extend_from_slice(frame);
        self.packets += 1;
        true
    }

    /// Begins the frame of one more text message, whose text is written directly into the run.
    ///
    /// ```
    /// let mut run = kokanee_engineio::FrameRun::new();
    /// let mut text = run.begin();
    /// text.as_mut_vec().extend_from_slice(b"2[\"hi\"]");
    /// text.finish().expect("it is short");
    /// assert_eq!(run.as_slice(), b"\x81\x0842[\"hi\"]");
    /// ```
    #[inline]
    pub fn begin(&mut self) -> RunText<'_> {
        self.prepare();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(SHORT_HEAD);
        RunText { run: self, start }
    }

    /// Inserts a longer header at `start`, in front of a text that was written after the space for a short one.
    fn insert_header(&mut self, header: &[u8], start: usize) {
        let end = self.bytes.len();
        self.bytes
            .resize(end + header.len() - SHORT_HEADER_BYTES, 0);
        self.bytes
            .copy_within(start + SHORT_HEADER_BYTES..end, start + header.len());
        self.bytes[start..start + header.len()].copy_from_slice(header);
    }

    /// Takes the thread's buffer before the first frame.
    #[inline]
    fn prepare(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = KEPT.take();
            self.bytes.clear();
        }
    }

    /// Appends all of `other`, unless the run would become too long. Returns whether it did.
    pub(crate) fn append(&mut self, other: &Self) -> bool {
        let fits = self.bytes.len() + other.bytes.len() < Self::MAX_BYTES;
        if fits {
            self.bytes.extend_from_slice(&other.bytes);
            self.packets += other.packets;
        }
        fits
    }

    /// Removes all frames. Keeps the memory for the next ones, unless it is large.
    #[inline]
    pub fn clear(&mut self) {
        self.packets = 0;
        self.bytes.clear();
        if self.bytes.capacity() > 2 * Self::MAX_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Returns whether there are no frames.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Returns the number of messages.
    #[inline]
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Returns the frames.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns its size in a queue: its bytes, and an overhead for each packet.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.packets * OVERHEAD_BYTES
    }
}

/// Space for the header of a short frame, and the packet's type.
const SHORT_HEAD: &[u8; 3] = b"\x00\x004";
/// The header's part of [`SHORT_HEAD`].
const SHORT_HEADER_BYTES: usize = 2;

/// The text of a message that is being appended to a run. If it is dropped unfinished, it is removed again.
#[derive(Debug)]
pub struct RunText<'a> {
    run: &'a mut FrameRun,
    start: usize,
}

impl RunText<'_> {
    /// Returns the buffer of the run, for writers that only append the text, which must be UTF-8.
    #[inline]
    pub fn as_mut_vec(&mut self) -> &mut Vec<u8> {
        &mut self.run.bytes
    }

    /// Returns the text so far.
    #[inline]
    pub fn text(&self) -> &[u8] {
        let start = self.start + SHORT_HEAD.len();
        self.run.bytes.get(start..).unwrap_or_default()
    }

    /// Returns whether so many more bytes of text leave the run short enough.
    #[inline]
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.run.bytes.len() + bytes + MAX_SERVER_HEADER_BYTES < FrameRun::MAX_BYTES
    }

    /// Completes the frame.
    ///
    /// # Errors
    /// Returns the unfinished text if the run would become too long.
    #[inline]
    pub fn finish(mut self) -> Result<(), Self> {
        let Self { run, start } = &mut self;
        let payload = *start + SHORT_HEADER_BYTES;
        let header = encode_header(OpCode::Text, run.bytes.len() - payload, None);
        if run.bytes.len() + header.as_slice().len() - SHORT_HEADER_BYTES >= FrameRun::MAX_BYTES {
            return Err(self);
        }
        match (header.as_slice(), run.bytes.get_mut(*start..payload)) {
            (&[first, second], Some(place)) => place.copy_from_slice(&[first, second]),
            (header, _) => run.insert_header(header, *start),
        }
        run.packets += 1;
        // Nothing is to be removed when this is dropped.
        *start = run.bytes.len();
        Ok(())
    }
}

impl Drop for RunText<'_> {
    #[inline]
    fn drop(&mut self) {
        let bytes = &mut self.run.bytes;
        if bytes.len() > self.start {
            bytes.truncate(self.start);
            if bytes.capacity() > 2 * FrameRun::MAX_BYTES {
                bytes.shrink_to_fit();
            }
        }
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 && self.bytes.capacity() <= 2 * Self::MAX_BYTES {
            // Fails when the thread ends.
            let _ = KEPT.try_with(|kept| kept.set(std::mem::take(&mut self.bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TextBuffer;

    /// The frame as [`TextBuffer`] builds it.
    fn frame(text: &str) -> Vec<u8> {
        let mut buffer = TextBuffer::with_capacity(text.len());
        buffer.push_str(text);
        let frame = buffer.finish();
        frame.text_frame().expect("it is text").to_vec()
    }

    #[test]
    fn texts_of_all_lengths_become_frames() {
        let mut run = FrameRun::new();
        let mut expected = Vec::new();
        for length in [0, 1, 124, 125, 126, 127, 1000, 3] {
            let text = "x".repeat(length);
            let mut writing = run.begin();
            writing.as_mut_vec().extend_from_slice(text.as_bytes());
            assert_eq!(writing.text(), text.as_bytes());
            writing.finish().expect("it is short");
            expected.extend(frame(&text));
            assert!(run.push(&frame("between")));
            expected.extend(frame("between"));
        }
        assert_eq!(run.as_slice(), expected);
        assert_eq!(run.weight(), expected.len() + 16 * OVERHEAD_BYTES);
    }

    #[test]
    fn a_cleared_run_keeps_no_frame_and_no_large_memory() {
        let mut run = FrameRun::new();
        run.push(&frame("first"));
        let capacity = run.bytes.capacity();
        run.clear();
        assert!(run.is_empty() && run.as_slice().is_empty());
        assert_eq!((run.weight(), run.bytes.capacity()), (0, capacity));
        run.bytes.reserve(3 * FrameRun::MAX_BYTES);
        run.clear();
        assert_eq!(run.bytes.capacity(), 0);
    }

    #[test]
    fn an_unfinished_text_leaves_the_run_unchanged() {
        let mut run = FrameRun::new();
        drop(run.begin());
        assert!(run.is_empty() && run.as_slice().is_empty());
        run.push(&frame("first"));
        let mut given_up = run.begin();
        given_up.as_mut_vec().extend_from_slice(b"half");
        drop(given_up);
        let mut long = run.begin();
        long.as_mut_vec().resize(3 * FrameRun::MAX_BYTES, b'x');
        let long = long.finish().expect_err("the run would be long");
        assert!(long.text().ends_with(b"xxx"), "it is returned");
        drop(long);
        assert!(run.bytes.capacity() <= 2 * FrameRun::MAX_BYTES);
        run.push(&frame("last"));
        assert_eq!(run.as_slice(), [frame("first"), frame("last")].concat());
    }
}
