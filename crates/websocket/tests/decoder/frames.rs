//! Frames as a hostile or sloppy peer writes them, and what a decoder returns for their bytes.

use kokanee_websocket::{DecodeError, Decoder, Limits, MaskKey, Message, Role, apply_mask};

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

const KEY: MaskKey = [0x37, 0xfa, 0x21, 0x3d];

/// One frame, valid or invalid.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    first_byte: u8,
    /// How much of the payload is sent.
    sent: usize,
    payload: Vec<u8>,
    /// Whether the mask is present where it must not be, or missing where it must be.
    wrongly_masked: bool,
}

impl Frame {
    pub(crate) fn new(first_byte: u8, payload: impl AsRef<[u8]>) -> Self {
        Self {
            first_byte,
            sent: payload.as_ref().len(),
            payload: payload.as_ref().to_vec(),
            wrongly_masked: false,
        }
    }

    /// Sets RSV1 (4), RSV2 (2) and RSV3 (1).
    pub(crate) fn reserved_bits(mut self, bits: u8) -> Self {
        self.first_byte |= bits << 4;
        self
    }

    /// Marks the message as compressed.
    pub(crate) fn compressed(self) -> Self {
        self.reserved_bits(4)
    }

    /// Announces the whole payload and stops after `sent` bytes of it.
    pub(crate) fn cut_after(mut self, sent: usize) -> Self {
        self.sent = sent;
        self
    }

    pub(crate) fn wrongly_masked(mut self, wrongly_masked: bool) -> Self {
        self.wrongly_masked = wrongly_masked;
        self
    }

    /// Appends the bytes that the peer of a decoder with this role sends.
    fn encode(&self, role: Role, bytes: &mut Vec<u8>) {
        let is_masked = (role == Role::Server) != self.wrongly_masked;
        let mask_bit = if is_masked { 0x80 } else { 0 };
        bytes.push(self.first_byte);
        match self.payload.len() {
            len @ 0..=125 => bytes.push(mask_bit | u8::try_from(len).unwrap()),
            len @ 126..=0xffff => {
                bytes.push(mask_bit | 0x7e);
                bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                bytes.push(mask_bit | 0x7f);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        let mut payload = self.payload[..self.sent].to_vec();
        if is_masked {
            bytes.extend(KEY);
            apply_mask(&mut payload, KEY, 0);
        }
        bytes.append(&mut payload);
    }
}

pub(crate) fn text(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x81, payload)
}

pub(crate) fn binary(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x82, payload)
}

pub(crate) fn text_start(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x01, payload)
}

pub(crate) fn binary_start(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x02, payload)
}

pub(crate) fn middle(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x00, payload)
}

pub(crate) fn end(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x80, payload)
}

pub(crate) fn ping(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x89, payload)
}

pub(crate) fn pong(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x8a, payload)
}

pub(crate) fn close(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x88, payload)
}

pub(crate) fn close_with(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    close([&code.to_be_bytes(), reason.as_ref()].concat())
}

/// The bytes of these frames as the peer of a decoder with this role sends them.
pub(crate) fn encode(frames: &[Frame], role: Role) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(role, &mut bytes);
    }
    bytes
}

/// A [`Message`] that outlives its decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Message<'_>> for Event {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(payload) => Self::Ping(payload.to_vec()),
            Message::Pong(payload) => Self::Pong(payload.to_vec()),
            Message::Close(frame) => {
                Self::Close(frame.map(|frame| (frame.code.as_u16(), frame.reason.to_owned())))
            }
        }
    }
}

/// The observable state of a decoder after some input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) error: Option<DecodeError>,
    pub(crate) is_mid_message: bool,
}

/// Feeds `bytes` in chunks of these sizes, over and over.
pub(crate) fn decode_in_chunks(
    bytes: &[u8],
    sizes: &[usize],
    role: Role,
    limits: Limits,
) -> Outcome {
    feed_in_chunks(&mut Decoder::new(role, limits), bytes, sizes)
}

/// Feeds `bytes` to this decoder in chunks of these sizes, over and over.
pub(crate) fn feed_in_chunks(decoder: &mut Decoder, bytes: &[u8], sizes: &[usize]) -> Outcome {
    let mut events = Vec::new();
    let mut error = None;
    let mut rest = bytes;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() || error.is_some() {
            break;
        }
        let (chunk, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        let mut chunk = chunk.to_vec();
        error = decode_chunk(decoder, &mut chunk, &mut events).err();
    }
    if !decoder.is_mid_message() {
        assert_eq!(decoder.buffered_bytes(), 0);
    }
    Outcome {
        events,
        error,
        is_mid_message: decoder.is_mid_message(),
    }
}

/// Feeds `bytes` at once.
pub(crate) fn decode_at_once(bytes: &[u8], role: Role, limits: Limits) -> Outcome {
    decode_in_chunks(bytes, &[bytes.len()], role, limits)
}

/// Feeds one chunk as a driver does: until the decoder asks for more.
pub(crate) fn decode_chunk(
    decoder: &mut Decoder,
    chunk: &mut [u8],
    events: &mut Vec<Event>,
) -> Result<(), DecodeError> {
    let mut input = chunk;
    while let Some(message) = decoder.decode(&mut input)? {
        events.push(message.into());
    }
    assert!(input.is_empty(), "all input is consumed");
    Ok(())
}
