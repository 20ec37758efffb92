//! One packet: the content of a WebSocket frame, or a part of a long-polling body.
//!
//! [`Packet`] is a decoded packet of the peer, [`OutPacket`] a packet to send. Several packets in one body are a
//! [payload](crate::PayloadDecoder). Spec: Engine.IO, "Packet encoding".

use std::{fmt, ops::Range};

use bytes::Bytes;
use kokanee_websocket::{OpCode, encode_header};

use crate::{
    handshake::Handshake,
    message::{Message, Outgoing, Str},
};

/// Revision of the Engine.IO protocol, the `EIO` query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Revision 3: spoken by Socket.IO 1 and 2.
    V3,
    /// Revision 4: spoken by Socket.IO 3 and later.
    V4,
}

impl Revision {
    /// Returns whether this is revision 3.
    pub const fn is_v3(self) -> bool {
        matches!(self, Self::V3)
    }
}

/// The kinds of packets. The number of each is its type on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// `0`: the handshake.
    Open = 0,
    /// `1`: the sender ends the session.
    Close = 1,
    /// `2`: a heartbeat, or the probe of an upgrade.
    Ping = 2,
    /// `3`: the answer to a ping.
    Pong = 3,
    /// `4`: text or bytes of the application.
    Message = 4,
    /// `5`: the client moves to the transport that it has probed.
    Upgrade = 5,
    /// `6`: nothing; ends a poll.
    Noop = 6,
}

impl PacketType {
    /// Returns the type with this number.
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Open,
            1 => Self::Close,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Message,
            5 => Self::Upgrade,
            6 => Self::Noop,
            _ => return None,
        })
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Message => "message",
            Self::Upgrade => "upgrade",
            Self::Noop => "noop",
        })
    }
}

/// A packet received from the peer.
///
/// Text shares the memory of the frame or body that it came in.
///
/// ```
/// use kokanee_engineio::{Message, Packet, Revision, Str};
/// let packet = Packet::decode_text(Revision::V4, Str::from_static("4hello"));
/// assert_eq!(packet, Ok(Packet::Message(Message::Text(Str::from_static("hello")))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The handshake, not yet parsed: see [`Handshake::decode`](crate::Handshake::decode).
    Open(Str),
    /// The peer ends the session.
    Close,
    /// A heartbeat with its data: empty, or `probe` during an upgrade.
    Ping(Str),
    /// The answer to a ping, with the data of that ping.
    Pong(Str),
    /// A message.
    Message(Message),
    /// The client moves to the transport that carried this packet.
    Upgrade,
    /// Nothing.
    Noop,
}

impl Packet {
    /// Decodes a WebSocket text frame, or one packet of a text payload.
    ///
    /// `b…` (revision 3: `b4…`) is a binary message in base64. The standard and the URL-safe alphabet are accepted,
    /// also mixed; the padding may be missing, bits after the last byte may be set, and ASCII whitespace is skipped.
    /// Other characters are an error; JavaScript skips them. Data of close, upgrade and noop packets is ignored.
    ///
    /// # Errors
    /// [`DecodeError`] when `text` is empty, its type is unknown or its base64 is invalid.
    #[inline]
    pub fn decode_text(revision: Revision, text: Str) -> Result<Self, DecodeError> {
        // By far the most frequent packet: no reference count changes.
        if text.as_bytes().first() == Some(&b'4') {
            return Ok(Self::Message(Message::Text(text.without_digit())));
        }
        let end = text.as_bytes().len();
        Self::decode_text_range(revision, &text, 0..end)
    }

    /// Decodes a WebSocket binary frame, or one binary packet of a revision 3 payload.
    ///
    /// Revision 4 has binary messages only, without a type. Revision 3 puts the type in front as a number, not a digit.
    ///
    /// # Errors
    /// [`DecodeError`] when, in revision 3, `bytes` is empty, its type is unknown, or the data of a packet other than a
    /// message is not UTF-8.
    pub fn decode_binary(revision: Revision, bytes: Bytes) -> Result<Self, DecodeError> {
        if !revision.is_v3() {
            return Ok(Self::Message(Message::Binary(bytes)));
        }
        let &byte = bytes
            .first()
            .ok_or(DecodeError::EmptyPacket { offset: 0 })?;
        let kind =
            PacketType::from_number(byte).ok_or(DecodeError::UnknownType { byte, offset: 0 })?;
        Self::from_bytes(kind, bytes.slice(1..)).map_err(|error| error.shifted(1))
    }

    /// Returns the type of this packet.
    pub const fn kind(&self) -> PacketType {
        match self {
            Self::Open(_) => PacketType::Open,
            Self::Close => PacketType::Close,
            Self::Ping(_) => PacketType::Ping,
            Self::Pong(_) => PacketType::Pong,
            Self::Message(_) => PacketType::Message,
            Self::Upgrade => PacketType::Upgrade,
            Self::Noop => PacketType::Noop,
        }
    }

    /// Decodes the text packet at `range` of `body`. Both ends are at character boundaries.
    pub(crate) fn decode_text_range(
        revision: Revision,
        body: &Str,
        range: Range<usize>,
    ) -> Result<Self, DecodeError> {
        let Range { start, end } = range;
        let Some((&byte, rest)) = body.as_bytes()[start..end].split_first() else {
            return Err(DecodeError::EmptyPacket { offset: start });
        };
        if byte == b'b' {
            return Self::decode_base64(revision, rest).map_err(|error| error.shifted(start + 1));
        }
        let kind = type_of_digit(byte, start)?;
        // The type is one ASCII character, so the data begins at a character boundary too.
        let data = || body.slice(start + 1, end).unwrap_or_default();
        Ok(match kind {
            PacketType::Open => Self::Open(data()),
            PacketType::Close => Self::Close,
            PacketType::Ping => Self::Ping(data()),
            PacketType::Pong => Self::Pong(data()),
            // A small part of a large body is copied, so that keeping it does not keep the whole body allocated.
            PacketType::Message if 2 * (end - start) < body.as_bytes().len() => {
                Self::Message(Message::Text(Str::from(&*data())))
            }
            PacketType::Message => Self::Message(Message::Text(data())),
            PacketType::Upgrade => Self::Upgrade,
            PacketType::Noop => Self::Noop,
        })
    }

    /// Decodes what follows the `b`.
    fn decode_base64(revision: Revision, text: &[u8]) -> Result<Self, DecodeError> {
        if !revision.is_v3() {
            return Ok(Self::Message(Message::Binary(decode_base64(text)?)));
        }
        let Some((&byte, data)) = text.split_first() else {
            return Err(DecodeError::EmptyPacket { offset: 0 });
        };
        let kind = type_of_digit(byte, 0)?;
        decode_base64(data)
            .and_then(|data| Self::from_bytes(kind, data))
            .map_err(|error| error.shifted(1))
    }

    /// Creates a packet from data in bytes. Only messages are binary: the data of other packets is text.
    fn from_bytes(kind: PacketType, data: Bytes) -> Result<Self, DecodeError> {
        Ok(match kind {
            PacketType::Open => Self::Open(decode_utf8(&data)?),
            PacketType::Close => Self::Close,
            PacketType::Ping => Self::Ping(decode_utf8(&data)?),
            PacketType::Pong => Self::Pong(decode_utf8(&data)?),
            PacketType::Message => Self::Message(Message::Binary(data)),
            PacketType::Upgrade => Self::Upgrade,
            PacketType::Noop => Self::Noop,
        })
    }
}

fn type_of_digit(byte: u8, offset: usize) -> Result<PacketType, DecodeError> {
    PacketType::from_number(byte.wrapping_sub(b'0'))
        .ok_or(DecodeError::UnknownType { byte, offset })
}

/// Checks that a whole text is UTF-8, and copies it.
pub(crate) fn decode_utf8(bytes: &[u8]) -> Result<Str, DecodeError> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Ok(Str::received(text)),
        Err(_) => Err(DecodeError::InvalidUtf8 {
            offset: std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len),
        }),
    }
}

fn decode_base64(text: &[u8]) -> Result<Bytes, DecodeError> {
    if let Ok(data) = base64_simd::STANDARD.decode_to_vec(text) {
        return Ok(Bytes::from(data));
    }
    let standard: Vec<u8> = text
        .iter()
        .map(|&byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        })
        .collect();
    base64_simd::forgiving_decode_to_vec(&standard)
        .map(Bytes::from)
        .map_err(|_| DecodeError::InvalidBase64 {
            size: text.len(),
            offset: 0,
        })
}

/// The peer's bytes are not Engine.IO packets. Offsets count bytes from the beginning of the frame or body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A packet, or a whole body, is empty.
    #[error("packet without a type at byte {offset}")]
    EmptyPacket {
        /// Where the type is missing.
        offset: usize,
    },
    /// A packet begins with a byte that is not a type.
    #[error("unknown packet type {byte:#04x} at byte {offset}")]
    UnknownType {
        /// The byte in place of the type.
        byte: u8,
        /// Where it is.
        offset: usize,
    },
    /// A binary message in a text is not base64.
    #[error("invalid base64 of {size} bytes at byte {offset}")]
    InvalidBase64 {
        /// Size of the base64 text.
        size: usize,
        /// Where it begins.
        offset: usize,
    },
    /// A text is not UTF-8.
    #[error("invalid UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// The first byte that is not part of a character.
        offset: usize,
    },
    /// Revision 3: a packet's length is not a decimal number, has too many digits, or does not end.
    #[error("invalid packet length at byte {offset}")]
    InvalidLength {
        /// Where the length begins.
        offset: usize,
    },
    /// Revision 3: a packet is shorter than its announced length, or that length ends inside a character.
    #[error(
        "packet at byte {offset} is announced with length {announced}, but {available} bytes follow"
    )]
    LengthMismatch {
        /// The length in the body: UTF-16 code units in a text body, bytes in a binary one.
        announced: usize,
        /// Bytes from the packet to the end of the body.
        available: usize,
        /// Where the packet begins, after its length.
        offset: usize,
    },
    /// Revision 3: a packet of a binary body begins neither as text (0) nor as binary (1).
    #[error("packet at byte {offset} is marked {byte:#04x}, neither text nor binary")]
    UnknownForm {
        /// The byte in place of the mark.
        byte: u8,
        /// Where it is.
        offset: usize,
    },
    /// Revision 4 has no binary bodies.
    #[error("binary body of {size} bytes in revision 4")]
    BinaryBody {
        /// Size of the body.
        size: usize,
    },
}

impl DecodeError {
    /// Returns the error with its offset increased by `by`, for a packet inside a body.
    pub(crate) fn shifted(mut self, by: usize) -> Self {
        match &mut self {
            Self::EmptyPacket { offset }
            | Self::UnknownType { offset, .. }
            | Self::InvalidBase64 { offset, .. }
            | Self::InvalidUtf8 { offset }
            | Self::InvalidLength { offset }
            | Self::LengthMismatch { offset, .. }
            | Self::UnknownForm { offset, .. } => *offset += by,
            Self::BinaryBody { .. } => {}
        }
        self
    }
}

/// A packet to send. Cloning copies at most a reference.
#[derive(Debug, Clone, PartialEq)]
pub enum OutPacket {
    /// The handshake: see [`OutPacket::open`].
    Open(ControlText),
    /// Ends the session.
    Close,
    /// A heartbeat.
    Ping,
    /// `2probe`: the client's first packet on the transport that it upgrades to.
    Probe,
    /// The answer to a ping: see [`OutPacket::pong`].
    Pong(ControlText),
    /// A message, encoded once for all its recipients.
    Message(Outgoing),
    /// Moves the session to the transport that carries this packet.
    Upgrade,
    /// Nothing; ends a poll.
    Noop,
}

impl OutPacket {
    /// Creates the open packet with this handshake.
    pub fn open(handshake: &Handshake) -> Self {
        Self::Open(ControlText::new(PacketType::Open, &handshake.encode()))
    }

    /// Creates the answer to a ping that came with `data`.
    pub fn pong(data: &str) -> Self {
        Self::Pong(match data {
            "" => ControlText {
                frame: Bytes::from_static(&[0x81, 1, b'3']),
                start: 2,
            },
            "probe" => ControlText {
                frame: Bytes::from_static(b"\x81\x063probe"),
                start: 2,
            },
            data => ControlText::new(PacketType::Pong, data),
        })
    }

    /// Returns the type of this packet.
    pub const fn kind(&self) -> PacketType {
        match self {
            Self::Open(_) => PacketType::Open,
            Self::Close => PacketType::Close,
            Self::Ping | Self::Probe => PacketType::Ping,
            Self::Pong(_) => PacketType::Pong,
            Self::Message(_) => PacketType::Message,
            Self::Upgrade => PacketType::Upgrade,
            Self::Noop => PacketType::Noop,
        }
    }

    /// Returns the size of the content in bytes, without type, base64 or header.
    pub fn len(&self) -> usize {
        match self {
            Self::Close | Self::Ping | Self::Upgrade | Self::Noop => 0,
            Self::Probe => "probe".len(),
            Self::Open(text) | Self::Pong(text) => text.data().len(),
            Self::Message(message) => message.len(),
        }
    }

    /// Returns whether the packet has no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the size of [`packet_text`](Self::packet_text) in bytes: the size of the packet in a text payload,
    /// without the separator.
    pub fn text_len(&self, revision: Revision) -> usize {
        match self {
            Self::Message(message) if message.is_binary() => {
                let prefix = if revision.is_v3() {
                    "b4".len()
                } else {
                    "b".len()
                };
                prefix + base64_simd::STANDARD.encoded_length(message.len())
            }
            _ => 1 + self.len(),
        }
    }

    /// Returns the packet as text, binary messages in base64. Shared: nothing is copied.
    pub fn packet_text(&self, revision: Revision) -> Bytes {
        match self {
            Self::Open(text) | Self::Pong(text) => text.frame.slice(usize::from(text.start)..),
            Self::Close => Bytes::from_static(b"1"),
            Self::Ping => Bytes::from_static(b"2"),
            Self::Probe => Bytes::from_static(b"2probe"),
            Self::Message(message) => message.packet_text(revision.is_v3()),
            Self::Upgrade => Bytes::from_static(b"5"),
            Self::Noop => Bytes::from_static(b"6"),
        }
    }

    /// Returns the finished, unmasked WebSocket frame. Shared: nothing is copied.
    ///
    /// Revision 3 puts the type in front of binary messages; `base64` is for clients that do not support binary frames.
    pub fn websocket_frame(&self, revision: Revision, base64: bool) -> Bytes {
        match self {
            Self::Open(text) | Self::Pong(text) => text.frame.clone(),
            Self::Message(message) => message.websocket_frame(revision.is_v3(), base64),
            packet => Bytes::from_static(packet.static_frame()),
        }
    }

    /// Returns the bytes of [`websocket_frame`](Self::websocket_frame), borrowed.
    pub fn websocket_slice(&self, revision: Revision, base64: bool) -> &[u8] {
        match self {
            Self::Open(text) | Self::Pong(text) => &text.frame,
            Self::Message(message) => message.websocket_slice(revision.is_v3(), base64),
            packet => packet.static_frame(),
        }
    }

    /// Returns the opcode and content of the WebSocket frame, for callers that mask or compress it themselves.
    pub fn websocket_content(&self, revision: Revision, base64: bool) -> (OpCode, Bytes) {
        if let (Self::Message(message), false) = (self, base64)
            && let Message::Binary(data) = message.message()
        {
            let content = match revision {
                Revision::V3 => [&[PacketType::Message as u8][..], &data].concat().into(),
                Revision::V4 => data,
            };
            return (OpCode::Binary, content);
        }
        (OpCode::Text, self.packet_text(revision))
    }

    /// Returns the frame of a constant packet: FIN and opcode 1, the size, the packet. Empty for other packets.
    const fn static_frame(&self) -> &'static [u8] {
        match self {
            Self::Close => &[0x81, 1, b'1'],
            Self::Ping => &[0x81, 1, b'2'],
            Self::Probe => b"\x81\x062probe",
            Self::Upgrade => &[0x81, 1, b'5'],
            Self::Noop => &[0x81, 1, b'6'],
            Self::Open(_) | Self::Pong(_) | Self::Message(_) => &[],
        }
    }
}

/// An open or pong packet, framed once. Created by [`OutPacket::open`] and [`OutPacket::pong`].
#[derive(Clone, PartialEq, Eq)]
pub struct ControlText {
    /// The header of the WebSocket frame, the digit of the type, the data.
    frame: Bytes,
    /// Where the header ends and the packet begins.
    start: u8,
}

impl ControlText {
    fn new(kind: PacketType, data: &str) -> Self {
        let header = encode_header(OpCode::Text, 1 + data.len(), None);
        let header = header.as_slice();
        Self {
            frame: [header, &[b'0' + kind as u8], data.as_bytes()]
                .concat()
                .into(),
            start: u8::try_from(header.len()).expect("headers have at most 10 bytes"),
        }
    }

    /// Returns the data after the type.
    pub fn data(&self) -> &[u8] {
        &self.frame[usize::from(self.start) + 1..]
    }
}

impl fmt::Debug for ControlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.data()), f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(revision: Revision, packet: &'static str) -> Result<Packet, DecodeError> {
        Packet::decode_text(revision, Str::from_static(packet))
    }

    fn binary(revision: Revision, packet: &'static [u8]) -> Result<Packet, DecodeError> {
        Packet::decode_binary(revision, Bytes::from_static(packet))
    }

    /// The encodings of a packet for a WebSocket.
    fn forms() -> impl Iterator<Item = (Revision, bool)> {
        [Revision::V3, Revision::V4]
            .into_iter()
            .flat_map(|revision| [(revision, false), (revision, true)])
    }

    fn message(content: &'static str) -> Packet {
        Packet::Message(Message::Text(Str::from_static(content)))
    }

    fn bytes(content: &'static [u8]) -> Packet {
        Packet::Message(Message::Binary(Bytes::from_static(content)))
    }

    #[test]
    fn first_character_is_the_type() {
        for revision in [Revision::V3, Revision::V4] {
            assert_eq!(text(revision, "0{}"), Ok(Packet::Open("{}".into())));
            assert_eq!(text(revision, "0"), Ok(Packet::Open("".into())));
            assert_eq!(text(revision, "1"), Ok(Packet::Close));
            assert_eq!(text(revision, "2"), Ok(Packet::Ping("".into())));
            assert_eq!(text(revision, "2probe"), Ok(Packet::Ping("probe".into())));
            assert_eq!(text(revision, "3"), Ok(Packet::Pong("".into())));
            assert_eq!(text(revision, "3probe"), Ok(Packet::Pong("probe".into())));
            assert_eq!(text(revision, "4hello"), Ok(message("hello")));
            assert_eq!(text(revision, "4€"), Ok(message("€")));
            assert_eq!(text(revision, "5"), Ok(Packet::Upgrade));
            assert_eq!(text(revision, "6"), Ok(Packet::Noop));
        }
    }

    #[test]
    fn empty_message_has_empty_text() {
        assert_eq!(text(Revision::V4, "4"), Ok(message("")));
    }

    #[test]
    fn data_of_close_upgrade_and_noop_is_ignored() {
        assert_eq!(text(Revision::V4, "1x"), Ok(Packet::Close));
        assert_eq!(text(Revision::V4, "5x"), Ok(Packet::Upgrade));
        assert_eq!(text(Revision::V4, "6x"), Ok(Packet::Noop));
        assert_eq!(binary(Revision::V3, &[1, 0xff]), Ok(Packet::Close));
    }

    #[test]
    fn unknown_types_are_refused_with_their_byte() {
        for (packet, byte) in [
            ("7", b'7'),
            ("x4", b'x'),
            ("/", b'/'),
            (" 4", b' '),
            ("\u{1e}4", 0x1e),
            ("é", 0xc3),
        ] {
            for revision in [Revision::V3, Revision::V4] {
                assert_eq!(
                    text(revision, packet),
                    Err(DecodeError::UnknownType { byte, offset: 0 }),
                    "{packet}"
                );
            }
        }
        assert_eq!(
            binary(Revision::V3, b"4x"),
            Err(DecodeError::UnknownType {
                byte: b'4',
                offset: 0
            })
        );
        assert_eq!(
            text(Revision::V3, "b7AQ=="),
            Err(DecodeError::UnknownType {
                byte: b'7',
                offset: 1
            })
        );
    }

    #[test]
    fn empty_packets_are_refused() {
        assert_eq!(
            text(Revision::V4, ""),
            Err(DecodeError::EmptyPacket { offset: 0 })
        );
        assert_eq!(
            text(Revision::V3, ""),
            Err(DecodeError::EmptyPacket { offset: 0 })
        );
        assert_eq!(
            text(Revision::V3, "b"),
            Err(DecodeError::EmptyPacket { offset: 1 })
        );
        assert_eq!(
            binary(Revision::V3, b""),
            Err(DecodeError::EmptyPacket { offset: 0 })
        );
    }

    #[test]
    fn revision_4_binary_frame_is_a_message_without_a_type() {
        assert_eq!(
            binary(Revision::V4, &[1, 2, 3, 4]),
            Ok(bytes(&[1, 2, 3, 4]))
        );
        assert_eq!(binary(Revision::V4, b""), Ok(bytes(b"")));
    }

    #[test]
    fn revision_3_binary_frame_begins_with_the_numeric_type() {
        assert_eq!(
            binary(Revision::V3, &[4, 1, 2, 3, 4]),
            Ok(bytes(&[1, 2, 3, 4]))
        );
        assert_eq!(binary(Revision::V3, &[4]), Ok(bytes(b"")));
        assert_eq!(
            binary(Revision::V3, b"\x02probe"),
            Ok(Packet::Ping("probe".into()))
        );
        assert_eq!(
            binary(Revision::V3, b"\x02p\xff"),
            Err(DecodeError::InvalidUtf8 { offset: 2 })
        );
    }

    #[test]
    fn base64_is_a_binary_message() {
        assert_eq!(text(Revision::V4, "bAQIDBA=="), Ok(bytes(&[1, 2, 3, 4])));
        assert_eq!(text(Revision::V4, "b"), Ok(bytes(b"")));
        assert_eq!(text(Revision::V3, "b4AQIDBA=="), Ok(bytes(&[1, 2, 3, 4])));
        assert_eq!(text(Revision::V3, "b4"), Ok(bytes(b"")));
        assert_eq!(
            text(Revision::V3, "b2cHJvYmU="),
            Ok(Packet::Ping("probe".into()))
        );
        assert_eq!(
            text(Revision::V3, "b2/w=="),
            Err(DecodeError::InvalidUtf8 { offset: 2 })
        );
    }

    #[test]
    fn base64_may_lack_padding_and_use_the_url_safe_alphabet() {
        for packet in [
            "b+/8=",
            "b-_8=",
            "b+_8",
            "b-/8",
            "b-_9",
            " b-_8".trim(),
            "b-_\n8=",
            "b -_8 ",
        ] {
            assert_eq!(
                text(Revision::V4, packet),
                Ok(bytes(&[0xfb, 0xff])),
                "{packet:?}"
            );
        }
    }

    #[test]
    fn base64_with_other_characters_is_refused() {
        for (packet, size) in [
            ("b!", 1),
            ("bA", 1),
            ("bAQ=", 3),
            ("bAQ==AQ==", 8),
            ("b=", 1),
            ("bAQI\u{e9}", 5),
        ] {
            assert_eq!(
                text(Revision::V4, packet),
                Err(DecodeError::InvalidBase64 { size, offset: 1 }),
                "{packet}"
            );
        }
        assert_eq!(
            text(Revision::V3, "b4!!!!"),
            Err(DecodeError::InvalidBase64 { size: 4, offset: 2 })
        );
    }

    #[test]
    fn decoded_text_shares_the_memory_of_the_frame() {
        let frame = Str::from("4hello".to_owned());
        let first = frame.as_bytes().as_ptr();
        let Ok(Packet::Message(Message::Text(text))) = Packet::decode_text(Revision::V4, frame)
        else {
            panic!("it is a text message")
        };
        assert_eq!(text.as_bytes().as_ptr(), first.wrapping_add(1));
    }

    #[test]
    fn control_packets_are_encoded_as_their_digit() {
        for revision in [Revision::V3, Revision::V4] {
            let text = |packet: &OutPacket| packet.packet_text(revision);
            assert_eq!(text(&OutPacket::Close), "1");
            assert_eq!(text(&OutPacket::Ping), "2");
            assert_eq!(text(&OutPacket::Probe), "2probe");
            assert_eq!(text(&OutPacket::pong("")), "3");
            assert_eq!(text(&OutPacket::pong("probe")), "3probe");
            assert_eq!(text(&OutPacket::pong("other")), "3other");
            assert_eq!(text(&OutPacket::Message(Outgoing::text("hello"))), "4hello");
            assert_eq!(text(&OutPacket::Upgrade), "5");
            assert_eq!(text(&OutPacket::Noop), "6");
        }
        let binary = OutPacket::Message(Outgoing::binary(Bytes::from_static(&[1, 2, 3, 4])));
        assert_eq!(binary.packet_text(Revision::V4), "bAQIDBA==");
        assert_eq!(binary.packet_text(Revision::V3), "b4AQIDBA==");
    }

    fn handshake() -> Handshake {
        Handshake {
            sid: "lv_VI97HAXpY6yYWAAAC".into(),
            upgrades: vec!["websocket".into()],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: Some(1_000_000),
        }
    }

    #[test]
    fn open_packet_is_the_digit_and_the_handshake() {
        let packet = OutPacket::open(&handshake());
        assert_eq!(
            packet.packet_text(Revision::V4),
            r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    /// Every kind of packet that can be sent, with binary and text messages around the sizes that change the header.
    fn samples() -> Vec<OutPacket> {
        let mut packets = vec![
            OutPacket::open(&handshake()),
            OutPacket::Close,
            OutPacket::Ping,
            OutPacket::Probe,
            OutPacket::pong(""),
            OutPacket::pong("probe"),
            OutPacket::pong("€"),
            OutPacket::pong(&"x".repeat(125)),
            OutPacket::Upgrade,
            OutPacket::Noop,
        ];
        for size in [0, 1, 2, 3, 123, 124, 125, 126, 65_534, 65_535] {
            packets.push(OutPacket::Message(
                Outgoing::text(&"x".repeat(size)).shared(),
            ));
            packets.push(OutPacket::Message(Outgoing::binary(vec![7; size].into())));
        }
        packets
    }

    #[test]
    fn websocket_frame_is_the_header_and_the_content() {
        for packet in samples() {
            for (revision, base64) in forms() {
                let (opcode, content) = packet.websocket_content(revision, base64);
                let header = encode_header(opcode, content.len(), None);
                let frame = [header.as_slice(), &content].concat();
                assert_eq!(
                    packet.websocket_frame(revision, base64),
                    frame,
                    "{packet:?}"
                );
                assert_eq!(
                    packet.websocket_slice(revision, base64),
                    frame,
                    "{packet:?}"
                );
            }
        }
    }

    #[test]
    fn sizes_are_those_of_the_encoded_packet() {
        for packet in samples() {
            for (revision, _) in forms() {
                assert_eq!(
                    packet.text_len(revision),
                    packet.packet_text(revision).len(),
                    "{packet:?}"
                );
            }
            assert_eq!(
                1 + packet.len(),
                packet.websocket_content(Revision::V3, false).1.len(),
                "{packet:?}"
            );
        }
    }

    #[test]
    fn websocket_content_decodes_to_the_same_kind() {
        for packet in samples() {
            for (revision, base64) in forms() {
                let decoded = match packet.websocket_content(revision, base64) {
                    (OpCode::Text, text) => {
                        Packet::decode_text(revision, Str::from_utf8(&text).unwrap())
                    }
                    (_, bytes) => Packet::decode_binary(revision, bytes),
                };
                assert_eq!(decoded.map(|packet| packet.kind()), Ok(packet.kind()));
            }
        }
    }

    #[test]
    fn encoding_shares_the_memory_of_the_packet() {
        for packet in samples() {
            for (revision, base64) in forms() {
                let frame = packet.websocket_frame(revision, base64);
                assert_eq!(
                    frame.as_ptr(),
                    packet.websocket_slice(revision, base64).as_ptr(),
                    "{packet:?}"
                );
                let text = packet.packet_text(revision);
                assert_eq!(
                    text.as_ptr(),
                    packet.packet_text(revision).as_ptr(),
                    "{packet:?}"
                );
            }
        }
    }

    #[test]
    fn types_are_named_as_in_the_protocol() {
        let names = (0..7)
            .filter_map(PacketType::from_number)
            .map(|kind| kind.to_string());
        assert_eq!(
            names.collect::<Vec<_>>().join(" "),
            "open close ping pong message upgrade noop"
        );
        assert_eq!(PacketType::from_number(7), None);
    }
}
