//! What a decoder buffers of a frame or a fragmented message that has not arrived completely.
//!
//! The payload is unmasked, checked and appended to its message as it arrives, so nothing is stored twice and nothing
//! is allocated for bytes that were only announced. The payload of a compressed message is collected first and inflated
//! when it is complete.

use crate::{
    error::DecodeError,
    growth::growth,
    header::{FrameHeader, MAX_CONTROL_PAYLOAD_BYTES, MAX_HEADER_BYTES},
    inflater::Inflater,
    limits::Limits,
    mask::{MaskKey, apply_mask},
    message::Message,
    opcode::OpCode,
    role::Role,
    text::TextBuffer,
};

/// What a decoder needs in addition to its state.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) role: Role,
    pub(crate) limits: Limits,
    /// Present if compression was negotiated.
    pub(crate) inflater: Option<Box<Inflater>>,
}

/// An unfinished frame, an unfinished message, or one frame of the latter.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    header: ShortBuffer<MAX_HEADER_BYTES>,
    frame: Option<Frame>,
    control: ShortBuffer<MAX_CONTROL_PAYLOAD_BYTES>,
    data: Option<DataMessage>,
}

/// A frame whose header is complete and whose payload is not.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    fin: bool,
    key: MaskKey,
    payload_len: usize,
    received: usize,
}

/// A data message that is unfinished, or just complete.
#[derive(Debug)]
pub(crate) struct DataMessage {
    body: Body,
    /// Payload bytes of all its frames so far, according to their headers.
    announced: usize,
    frames: usize,
    is_complete: bool,
}

#[derive(Debug)]
enum Body {
    Text(TextBuffer),
    Binary(Vec<u8>),
    /// The received part of a compressed text or binary message.
    Compressed(OpCode, Vec<u8>),
}

impl Assembly {
    /// Takes bytes from the front of `input` until a message is complete or `input` is empty.
    ///
    /// Returns the opcode of the frame that completed the message, for
    /// [`message`](Self::message).
    pub(crate) fn feed(
        &mut self,
        input: &mut &mut [u8],
        rules: &mut Rules,
    ) -> Result<Option<OpCode>, DecodeError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.feed_header(input, rules)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let part = take_front(input, frame.payload_len - frame.received);
            if rules.role == Role::Server {
                apply_mask(part, frame.key, frame.received);
            }
            frame.received += part.len();
            let is_frame_complete = frame.received == frame.payload_len;
            let Frame { opcode, fin, .. } = frame;
            if !is_frame_complete {
                self.frame = Some(frame);
            }
            match &mut self.data {
                Some(data) if !opcode.is_control() => {
                    // The last frame gives the length of the message; before it only the limit bounds it.
                    let bound = if fin {
                        data.announced
                    } else {
                        rules.limits.max_message_bytes
                    };
                    data.body.push(part, bound)?;
                    if is_frame_complete && fin {
                        data.body.finish(rules)?;
                        data.is_complete = true;
                    }
                }
                _ => self.control.push(part),
            }
            if !is_frame_complete {
                return Ok(None);
            }
            if fin {
                return Ok(Some(opcode));
            }
        }
    }

    /// Returns the message that the last byte of a frame with this opcode has completed.
    pub(crate) fn message(&self, opcode: OpCode) -> Result<Message<'_>, DecodeError> {
        match &self.data {
            Some(data) if !opcode.is_control() => Ok(match &data.body {
                Body::Text(text) => Message::Text(text.as_str()),
                Body::Binary(bytes) | Body::Compressed(_, bytes) => Message::Binary(bytes),
            }),
            _ => Message::decode(opcode, self.control.as_slice()),
        }
    }

    /// Returns whether nothing is unfinished.
    pub(crate) fn is_complete(&self) -> bool {
        self.frame.is_none()
            && self.header.as_slice().is_empty()
            && self.data.as_ref().is_none_or(|data| data.is_complete)
    }

    /// Returns the bytes on the heap, this struct included.
    pub(crate) fn heap_bytes(&self) -> usize {
        let body = self.data.as_ref().map_or(0, |data| data.body.capacity());
        size_of::<Self>() + body
    }

    /// Takes header bytes and begins the frame when its header is complete.
    fn feed_header(
        &mut self,
        input: &mut &mut [u8],
        rules: &Rules,
    ) -> Result<Option<Frame>, DecodeError> {
        // Usually the whole header has arrived.
        if self.header.as_slice().is_empty()
            && let Some((header, frame)) = self.decode_header(input, rules)?
        {
            take_front(input, header.len(rules.role));
            self.begin_frame(&header, frame.payload_len);
            return Ok(Some(frame));
        }
        while !input.is_empty() {
            self.header.push(take_front(input, 1));
            if let Some((header, frame)) = self.decode_header(self.header.as_slice(), rules)? {
                self.header.clear();
                self.begin_frame(&header, frame.payload_len);
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Decodes and checks the header at the front of `bytes`. `None` if it is incomplete.
    fn decode_header(
        &self,
        bytes: &[u8],
        rules: &Rules,
    ) -> Result<Option<(FrameHeader, Frame)>, DecodeError> {
        let may_compress = rules.inflater.is_some();
        let Some(header) = FrameHeader::decode(bytes, rules.role, may_compress)? else {
            return Ok(None);
        };
        let payload_len = admit(&header, self.data.as_ref(), rules.limits)?;
        let Some(key) = header.key(bytes, rules.role) else {
            return Ok(None);
        };
        let frame = Frame {
            opcode: header.opcode,
            fin: header.fin,
            key,
            payload_len,
            received: 0,
        };
        Ok(Some((header, frame)))
    }

    fn begin_frame(&mut self, header: &FrameHeader, payload_len: usize) {
        match header.opcode {
            opcode if header.is_compressed => {
                let body = Body::Compressed(opcode, Vec::new());
                self.data = Some(DataMessage::begin(body, payload_len));
            }
            OpCode::Text => {
                let body = Body::Text(TextBuffer::default());
                self.data = Some(DataMessage::begin(body, payload_len));
            }
            OpCode::Binary => {
                let body = Body::Binary(Vec::new());
                self.data = Some(DataMessage::begin(body, payload_len));
            }
            OpCode::Continuation => {
                if let Some(data) = &mut self.data {
                    data.announced += payload_len;
                    data.frames += 1;
                }
            }
            OpCode::Close | OpCode::Ping | OpCode::Pong => self.control.clear(),
        }
    }
}

impl DataMessage {
    fn begin(body: Body, payload_len: usize) -> Self {
        Self {
            body,
            announced: payload_len,
            frames: 1,
            is_complete: false,
        }
    }
}

impl Body {
    /// Inflates a compressed message.
    fn inflate(opcode: OpCode, payload: &[u8], rules: &mut Rules) -> Result<Self, DecodeError> {
        let Some(inflater) = &mut rules.inflater else {
            return Err(DecodeError::InvalidCompression);
        };
        let content = inflater.inflate(payload, rules.limits.max_message_bytes)?;
        Ok(match opcode {
            OpCode::Text => Self::Text(TextBuffer::from_bytes(content)?),
            _ => Self::Binary(content),
        })
    }

    fn push(&mut self, part: &[u8], bound: usize) -> Result<(), DecodeError> {
        match self {
            Self::Text(text) => text.push(part, bound),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => {
                bytes.reserve_exact(growth(bytes.len(), bytes.capacity(), part.len(), bound));
                bytes.extend_from_slice(part);
                Ok(())
            }
        }
    }

    /// Checks the end of the message, and inflates one that is compressed.
    fn finish(&mut self, rules: &mut Rules) -> Result<(), DecodeError> {
        match self {
            Self::Text(text) => text.check_end()?,
            Self::Binary(_) => {}
            Self::Compressed(opcode, payload) => *self = Self::inflate(*opcode, payload, rules)?,
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => bytes.capacity(),
        }
    }
}

/// At most `N` bytes.
#[derive(Debug)]
struct ShortBuffer<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Default for ShortBuffer<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> ShortBuffer<N> {
    #[expect(clippy::cast_possible_truncation, reason = "the buffer is shorter")]
    fn push(&mut self, part: &[u8]) {
        let len = usize::from(self.len);
        let end = len + part.len();
        self.bytes[len..end].copy_from_slice(part);
        self.len = end as u8;
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Checks a frame against the message that it would begin or continue, and against the limits.
///
/// Returns the length of its payload.
#[inline]
pub(crate) fn admit(
    header: &FrameHeader,
    current: Option<&DataMessage>,
    limits: Limits,
) -> Result<usize, DecodeError> {
    let before = match (header.opcode, current) {
        (OpCode::Close | OpCode::Ping | OpCode::Pong, _) => {
            // Its seven bits bound it.
            return Ok(usize::try_from(header.payload_len).unwrap_or(MAX_CONTROL_PAYLOAD_BYTES));
        }
        (OpCode::Continuation, None) => return Err(DecodeError::StrayContinuation),
        (opcode @ (OpCode::Text | OpCode::Binary), Some(_)) => {
            return Err(DecodeError::UnfinishedMessage { opcode });
        }
        (OpCode::Text | OpCode::Binary, None) => 0,
        (OpCode::Continuation, Some(data)) if data.frames >= limits.max_fragments => {
            return Err(DecodeError::TooManyFragments {
                max: limits.max_fragments,
            });
        }
        (OpCode::Continuation, Some(data)) => data.announced,
    };
    let max = limits.max_message_bytes;
    match usize::try_from(header.payload_len) {
        Ok(payload_len) if payload_len <= max - before => Ok(payload_len),
        _ => Err(DecodeError::TooLarge {
            size: header.payload_len.saturating_add(before as u64),
            max,
        }),
    }
}

/// Splits at most `len` bytes off the front of `input`.
fn take_front<'b>(input: &mut &'b mut [u8], len: usize) -> &'b mut [u8] {
    let whole = std::mem::take(input);
    let (front, rest) = whole.split_at_mut(len.min(whole.len()));
    *input = rest;
    front
}
