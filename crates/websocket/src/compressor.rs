//! Compresses the content of a message to its payload (RFC 7692, 7.2.1).

use std::{cell::RefCell, fmt};

use zlib_rs::{Deflate, DeflateFlush};

use crate::deflate::{DeflateAgreement, WindowBits};

/// The empty block that ends flushed data. The sender omits it and the receiver appends it again.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How many bytes incompressible data may grow by, in addition to one in a thousand.
const OVERHEAD_BYTES: usize = 64;

/// A compressor and the level and window that it was created with.
type Shared = (u8, WindowBits, Deflate);

thread_local! {
    /// The state for messages that do not refer to earlier ones: one for all connections of a thread.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Compresses the messages that one end sends.
///
/// It is small unless its context is kept. With a context, each connection needs its own compressor, and messages must
/// be sent in the order in which they were compressed. Without one, any number of connections with the same
/// [`DeflateAgreement`] can share a compressor and its results.
pub struct Compressor {
    agreement: DeflateAgreement,
    kept: Option<Deflate>,
}

impl Compressor {
    /// Creates a compressor at the start of a connection.
    pub const fn new(agreement: DeflateAgreement) -> Self {
        Self {
            agreement,
            kept: None,
        }
    }

    /// Compresses the content of a text or binary message.
    ///
    /// The result is the payload of a frame whose header is marked as [`compressed`](crate::Header::compressed). `None`
    /// means that the message is to be sent uncompressed: it is shorter than the threshold, or would not become
    /// smaller.
    pub fn compress(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let DeflateAgreement {
            own,
            threshold_bytes,
            level,
            ..
        } = self.agreement;
        if content.is_empty() || content.len() < threshold_bytes || own.window == WindowBits::MIN {
            return None;
        }
        if own.is_kept {
            let state = self
                .kept
                .get_or_insert_with(|| new_state(level, own.window));
            // The output must be sent in any case: the next message may refer to it.
            return compress(state, content, usize::MAX);
        }
        let mut state = match SHARED.take() {
            Some((of_level, of_window, state)) if (of_level, of_window) == (level, own.window) => {
                state
            }
            _ => new_state(level, own.window),
        };
        let payload = compress(&mut state, content, content.len());
        state.reset();
        SHARED.set(Some((level, own.window, state)));
        payload
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor")
            .field("agreement", &self.agreement)
            .field("kept", &self.kept.is_some())
            .finish()
    }
}

fn new_state(level: u8, window: WindowBits) -> Deflate {
    // Level 1 of zlib-rs (0.6.8) panics where a block ends at the end of its buffer of 64 KiB.
    Deflate::new(i32::from(level.max(2)), false, window.as_u8())
}

/// Compresses to fewer than `max` bytes, or returns `None`.
fn compress(state: &mut Deflate, content: &[u8], max: usize) -> Option<Vec<u8>> {
    // The tail takes space until it is cut off.
    let max = max.saturating_add(TAIL.len() - 1);
    let worst = content.len() + content.len() / 1000 + OVERHEAD_BYTES;
    let mut payload = vec![0; (content.len() / 2 + OVERHEAD_BYTES).min(max)];
    let mut len = 0;
    let mut rest = content;
    loop {
        let (taken_before, given_before) = (state.total_in(), state.total_out());
        state
            .compress(rest, &mut payload[len..], DeflateFlush::SyncFlush)
            .ok()?;
        rest = &rest[usize::try_from(state.total_in() - taken_before).ok()?..];
        len += usize::try_from(state.total_out() - given_before).ok()?;
        // A flush is complete when it leaves space in the buffer.
        if len < payload.len() {
            break;
        }
        let more = worst.max(payload.len() + OVERHEAD_BYTES).min(max);
        if more == payload.len() {
            return None;
        }
        payload.resize(more, 0);
    }
    payload.truncate(len);
    debug_assert!(rest.is_empty() && payload.ends_with(&TAIL), "flushed");
    payload.truncate(len - TAIL.len());
    Some(payload)
}
