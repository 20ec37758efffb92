//! Inflates the compressed payload of a message to its content (RFC 7692, 7.2.2).
//!
//! The decoder collects the payload of a compressed message and inflates it when it is complete, so nothing is kept
//! between messages unless the peer keeps its context.

use std::{cell::RefCell, fmt};

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::{
    deflate::{Context, WindowBits},
    error::DecodeError,
};

/// The empty block at the end of each message, which the sender omits.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The smallest and largest initial size of the buffer for the content.
const FIRST_BYTES: std::ops::Range<usize> = 512..65_536;

thread_local! {
    /// The state for messages that do not refer to earlier ones: one for all connections of a thread.
    static SHARED: RefCell<Option<Inflate>> = const { RefCell::new(None) };
}

/// Inflates the messages of one peer.
pub(crate) struct Inflater {
    context: Context,
    /// What the next message may refer to: present from the first message on, if the context is kept.
    kept: Option<Inflate>,
}

impl Inflater {
    pub(crate) const fn new(context: Context) -> Self {
        Self {
            context,
            kept: None,
        }
    }

    /// Inflates the payload of one message to at most `max` bytes.
    pub(crate) fn inflate(&mut self, payload: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
        if self.context.is_kept {
            let bits = self.context.window.as_u8();
            let state = self.kept.get_or_insert_with(|| new_state(bits));
            return inflate(state, bits, payload, max);
        }
        let bits = WindowBits::MAX.as_u8();
        let mut state = SHARED.take().unwrap_or_else(|| new_state(bits));
        let content = inflate(&mut state, bits, payload, max);
        state.reset(false);
        SHARED.set(Some(state));
        content
    }

    /// Returns the approximate number of bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self.kept {
            Some(_) => (1 << self.context.window.as_u8()) + STATE_BYTES,
            None => 0,
        }
    }
}

/// The approximate size of a state without its window.
const STATE_BYTES: usize = 10_000;

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("context", &self.context)
            .field("kept", &self.kept.is_some())
            .finish()
    }
}

fn new_state(bits: u8) -> Inflate {
    // Compressors use 9 where 8 was negotiated.
    Inflate::new(false, bits.max(9))
}

fn inflate(
    state: &mut Inflate,
    bits: u8,
    payload: &[u8],
    max: usize,
) -> Result<Vec<u8>, DecodeError> {
    let mut content = Content::new(payload.len(), max);
    let mut rest = payload;
    loop {
        let Filled {
            status,
            taken,
            is_full,
        } = content.fill(state, rest)?;
        rest = &rest[taken..];
        match status {
            // "A DEFLATE block with BFINAL set to 1": what follows is another stream (7.2.3.4).
            Status::StreamEnd => {
                *state = new_state(bits);
                if rest.is_empty() {
                    return Ok(content.finish());
                }
            }
            _ if is_full => {}
            _ if rest.is_empty() => break,
            _ if taken > 0 => {}
            _ => return Err(DecodeError::InvalidCompression),
        }
    }
    check_end(state)?;
    Ok(content.finish())
}

/// Feeds the tail, and checks that exactly this empty block was missing.
fn check_end(state: &mut Inflate) -> Result<(), DecodeError> {
    // One byte more, which must remain if the block ends before it.
    let [a, b, c, d] = TAIL;
    let tail = [a, b, c, d, 0];
    let (taken_before, given_before) = (state.total_in(), state.total_out());
    let status = state.decompress(&tail, &mut [0; 8], InflateFlush::Block);
    let taken = state.total_in() - taken_before;
    if status == Ok(Status::Ok) && taken == 4 && state.total_out() == given_before {
        Ok(())
    } else {
        Err(DecodeError::InvalidCompression)
    }
}

/// The result of [`Content::fill`].
struct Filled {
    status: Status,
    /// How much of the input was consumed.
    taken: usize,
    /// Whether the buffer is full, so that more output may follow.
    is_full: bool,
}

/// The content of a message while it is inflated.
struct Content {
    /// `bytes[len..]` is unused.
    bytes: Vec<u8>,
    len: usize,
    max: usize,
}

impl Content {
    fn new(payload_len: usize, max: usize) -> Self {
        let first = payload_len.saturating_mul(4);
        let first = first.clamp(FIRST_BYTES.start, FIRST_BYTES.end).min(max);
        Self {
            bytes: vec![0; first],
            len: 0,
            max,
        }
    }

    /// Inflates from the front of `input` until it is consumed or the buffer is full.
    fn fill(&mut self, state: &mut Inflate, input: &[u8]) -> Result<Filled, DecodeError> {
        let mut too_much = [0];
        let has_room = self.len < self.bytes.len() || self.grow();
        let room = if has_room {
            &mut self.bytes[self.len..]
        } else {
            // At the limit, this byte shows whether there is more output.
            &mut too_much[..]
        };
        let (taken_before, given_before) = (state.total_in(), state.total_out());
        let status = state
            .decompress(input, room, InflateFlush::NoFlush)
            .map_err(|_| DecodeError::InvalidCompression)?;
        let [taken, given] = [
            state.total_in() - taken_before,
            state.total_out() - given_before,
        ]
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        if !has_room && given > 0 {
            return Err(DecodeError::TooLarge {
                size: (self.max as u64).saturating_add(1),
                max: self.max,
            });
        }
        self.len += given;
        Ok(Filled {
            status,
            taken,
            is_full: has_room && self.len == self.bytes.len(),
        })
    }

    fn grow(&mut self) -> bool {
        let len = self.bytes.len().saturating_mul(2).max(1).min(self.max);
        let grows = len > self.bytes.len();
        self.bytes.resize(len, 0);
        grows
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}
