//! Decodes received bytes into messages (RFC 6455, 5 and 6.2).
//!
//! A whole frame in the input is returned as a slice of it. Everything else (split frames, fragmented and compressed
//! messages) is collected in an [`Assembly`], which is slower.

use std::mem;

use crate::{
    assembly::{Assembly, Rules, admit},
    deflate::DeflateAgreement,
    error::DecodeError,
    header::{FrameHeader, short_masked_text},
    inflater::Inflater,
    limits::Limits,
    mask::{MaskKey, apply_mask},
    message::Message,
    opcode::OpCode,
    role::Role,
};

/// Decodes the peer's bytes into messages.
///
/// It is small between messages, and buffers only bytes that were received: a compressed message is inflated when it is
/// complete. It needs more memory only if the peer keeps its compression context; see
/// [`DeflateOptions`](crate::DeflateOptions).
#[derive(Debug)]
pub struct Decoder {
    state: State,
    rules: Rules,
}

/// ```text
///        whole frame                   part of a frame, or a fragment
///         ┌─────┐        ┌───────────────────────────────────────────┐
///         │     ▼        │                                           ▼
///         └──── Idle ────┘         Delivered ◄── message ─── Assembling
///                ▲   next call         │        complete
///                └─────────────────────┘
///
///        a close frame ──► Closed              an error ──► Failed
/// ```
#[derive(Debug)]
enum State {
    /// Nothing is buffered.
    Idle,
    /// A frame or a message is unfinished; a control frame between fragments may be buffered too.
    Assembling(Box<Assembly>),
    /// Nothing is unfinished; the last returned message is stored here until the next call.
    Delivered(Box<Assembly>),
    /// A close frame was returned; its payload may be stored here.
    Closed(Option<Box<Assembly>>),
    /// The peer broke the protocol.
    Failed(DecodeError),
}

impl Decoder {
    /// Creates a decoder at the start of a connection, after the opening handshake.
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            state: State::Idle,
            rules: Rules {
                role,
                limits,
                inflater: None,
            },
        }
    }

    /// Creates a decoder at the start of a connection on which compression was negotiated.
    pub fn with_deflate(role: Role, limits: Limits, agreement: &DeflateAgreement) -> Self {
        let mut decoder = Self::new(role, limits);
        decoder.rules.inflater = Some(Box::new(Inflater::new(agreement.peer)));
        decoder
    }

    /// Decodes the next message from the front of `input` and advances it.
    ///
    /// The payload is unmasked in place. `None` means that all input is consumed and that the decoder holds no returned
    /// message any more. Bytes after a close frame are discarded.
    ///
    /// # Errors
    /// The first violation of the protocol or of the limits, as soon as its bytes have arrived. The decoder has then
    /// failed: each later call returns the same error and consumes nothing.
    #[inline]
    pub fn decode<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Message<'s>>, DecodeError> {
        if !matches!(self.state, State::Idle) {
            return self.resume(input);
        }
        if input.is_empty() {
            return Ok(None);
        }
        match take_whole_message(input, &self.rules) {
            Ok(Some(message)) => {
                if matches!(message, Message::Close(_)) {
                    self.state = State::Closed(None);
                }
                Ok(Some(message))
            }
            Ok(None) => self.assemble(input),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Decodes in every state except `Idle`.
    #[inline(never)]
    fn resume<'s, 'b: 's>(
        &'s mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Message<'s>>, DecodeError> {
        match &mut self.state {
            State::Idle | State::Delivered(_) => {
                self.state = State::Idle;
                self.decode(input)
            }
            State::Assembling(_) => self.assemble(input),
            State::Closed(held) => {
                *held = None;
                *input = &mut [];
                Ok(None)
            }
            State::Failed(error) => Err(*error),
        }
    }

    /// Frees the memory of the last returned message, which is otherwise kept until the next call of
    /// [`decode`](Self::decode).
    pub fn release(&mut self) {
        if matches!(self.state, State::Delivered(_)) {
            self.state = State::Idle;
        }
    }

    /// Returns the number of heap bytes for an unfinished frame or message, or for the last returned one.
    pub fn buffered_bytes(&self) -> usize {
        self.state.assembly().map_or(0, Assembly::heap_bytes)
    }

    /// Returns the approximate number of heap bytes for what the peer's compressed messages may refer to.
    pub fn context_bytes(&self) -> usize {
        let inflater = self.rules.inflater.as_ref();
        inflater.map_or(0, |inflater| inflater.heap_bytes())
    }

    /// Returns whether the rest of a frame or of a fragmented message is still to come.
    pub const fn is_mid_message(&self) -> bool {
        matches!(self.state, State::Assembling(_))
    }

    /// Decodes the next message from buffered bytes and `input`.
    fn assemble(&mut self, input: &mut &mut [u8]) -> Result<Option<Message<'_>>, DecodeError> {
        let mut assembly = match mem::replace(&mut self.state, State::Idle) {
            State::Assembling(assembly) => assembly,
            _ => Box::default(),
        };
        let opcode = match assembly.feed(input, &mut self.rules) {
            Ok(Some(opcode)) => opcode,
            Ok(None) => {
                self.state = State::Assembling(assembly);
                return Ok(None);
            }
            Err(error) => return Err(self.fail(error)),
        };
        // Checks a close frame before the assembly is borrowed by the caller.
        if let Err(error) = assembly.message(opcode) {
            return Err(self.fail(error));
        }
        self.state = if opcode == OpCode::Close {
            State::Closed(Some(assembly))
        } else if assembly.is_complete() {
            State::Delivered(assembly)
        } else {
            State::Assembling(assembly)
        };
        let assembly = self.state.assembly();
        assembly
            .map(|assembly| assembly.message(opcode))
            .transpose()
    }

    #[cold]
    fn fail(&mut self, error: DecodeError) -> DecodeError {
        self.state = State::Failed(error);
        error
    }
}

impl State {
    fn assembly(&self) -> Option<&Assembly> {
        match self {
            Self::Assembling(assembly)
            | Self::Delivered(assembly)
            | Self::Closed(Some(assembly)) => Some(assembly),
            Self::Idle | Self::Closed(None) | Self::Failed(_) => None,
        }
    }
}

/// Takes the frame at the front of `input` if it is complete and a whole uncompressed message.
#[inline]
fn take_whole_message<'b>(
    input: &mut &'b mut [u8],
    rules: &Rules,
) -> Result<Option<Message<'b>>, DecodeError> {
    let role = rules.role;
    if role == Role::Server
        && let Some((key, payload)) = take_short_text(input, rules.limits)
    {
        apply_mask(payload, key, 0);
        return Message::decode(OpCode::Text, payload).map(Some);
    }
    let Some(header) = FrameHeader::decode(input, role, rules.inflater.is_some())? else {
        return Ok(None);
    };
    let payload_len = admit(&header, None, rules.limits)?;
    let Some(key) = header.key(input, role) else {
        return Ok(None);
    };
    let header_len = header.len(role);
    if !header.fin || header.is_compressed || input.len() - header_len < payload_len {
        return Ok(None);
    }
    let (frame, rest) = mem::take(input).split_at_mut(header_len + payload_len);
    *input = rest;
    let payload = &mut frame[header_len..];
    if role == Role::Server {
        apply_mask(payload, key, 0);
    }
    Message::decode(header.opcode, payload).map(Some)
}

/// Takes the most frequent kind of frame, if it is at the front of `input`: a client's whole uncompressed text whose
/// length is in the first two bytes.
#[inline]
fn take_short_text<'b>(
    input: &mut &'b mut [u8],
    limits: Limits,
) -> Option<(MaskKey, &'b mut [u8])> {
    const HEADER_BYTES: usize = 6;
    let [first, second, key @ ..] = &**input else {
        return None;
    };
    let payload_len = short_masked_text(*first, *second)?;
    let key = *key.first_chunk()?;
    if payload_len > limits.max_message_bytes || input.len() - HEADER_BYTES < payload_len {
        return None;
    }
    let (frame, rest) = mem::take(input).split_at_mut(HEADER_BYTES + payload_len);
    *input = rest;
    Some((key, &mut frame[HEADER_BYTES..]))
}
