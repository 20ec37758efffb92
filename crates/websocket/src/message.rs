//! What the decoder returns: data messages and control frames.

use crate::{close::CloseFrame, error::DecodeError, opcode::OpCode};

/// A received message or control frame, borrowed from the input or from the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The start or the answer of the closing handshake; the last message.
    Close(Option<CloseFrame<'a>>),
}

impl<'a> Message<'a> {
    /// Decodes the message in the unmasked `payload` of a whole frame.
    #[inline]
    pub(crate) fn decode(opcode: OpCode, payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match opcode {
            OpCode::Text => Self::Text(decode_text(payload)?),
            OpCode::Binary => Self::Binary(payload),
            OpCode::Ping => Self::Ping(payload),
            OpCode::Pong => Self::Pong(payload),
            OpCode::Close => Self::Close(CloseFrame::decode(payload)?),
            OpCode::Continuation => return Err(DecodeError::StrayContinuation),
        })
    }
}

/// Checks that the payload is UTF-8: with vector instructions from their block size on, where they are faster.
#[inline]
fn decode_text(payload: &[u8]) -> Result<&str, DecodeError> {
    const SHORT_BYTES: usize = 64;
    let text = if payload.len() < SHORT_BYTES {
        str::from_utf8(payload).ok()
    } else {
        simdutf8::basic::from_utf8(payload).ok()
    };
    text.ok_or_else(|| invalid_utf8(payload))
}

/// Finds the first invalid byte, which the fast check does not report.
#[cold]
fn invalid_utf8(payload: &[u8]) -> DecodeError {
    let offset = match str::from_utf8(payload) {
        Ok(_) => payload.len(),
        Err(error) => error.valid_up_to(),
    };
    DecodeError::InvalidUtf8 { offset }
}
