//! Payloads: several packets in one long-polling body, with the JSONP wrapping of such bodies.
//!
//! The server decodes POST bodies and encodes the answers to GET, the client does the reverse. Revision 4 joins packets
//! with the byte 0x1e; how revision 3 does it is in `payload_v3`. Spec: Engine.IO, "HTTP long-polling".

use std::iter::FusedIterator;

use bytes::Bytes;

use crate::{
    message::Str,
    packet::{DecodeError, OutPacket, Packet, Revision, decode_utf8},
    payload_v3::{decode_binary_packet, decode_text_packet, encode_binary, encode_text},
};

/// Separates the packets of a revision 4 payload.
const RECORD_SEPARATOR: u8 = 0x1e;

/// A finished long-polling body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadBody {
    /// The body.
    pub bytes: Bytes,
    /// Whether this is revision 3's binary form, whose content type is `application/octet-stream`. Otherwise it is text.
    pub binary: bool,
}

/// Joins packets into one long-polling body.
///
/// A body of one revision 4 packet is the packet's own shared text. `supports_binary` matters to revision 3 only: with
/// it the binary form is used as soon as one packet is a binary message. Clients that sent `b64` do not support it, nor
/// does JSONP.
pub fn encode_payload(
    revision: Revision,
    packets: &[OutPacket],
    supports_binary: bool,
) -> PayloadBody {
    let is_binary =
        |packet: &OutPacket| matches!(packet, OutPacket::Message(message) if message.is_binary());
    let (bytes, binary) = match revision {
        Revision::V4 => (join(packets), false),
        Revision::V3 if supports_binary && packets.iter().any(is_binary) => {
            (encode_binary(packets), true)
        }
        Revision::V3 => (encode_text(packets), false),
    };
    PayloadBody { bytes, binary }
}

fn join(packets: &[OutPacket]) -> Bytes {
    if let [packet] = packets {
        return packet.packet_text(Revision::V4);
    }
    let size = packets
        .iter()
        .map(|packet| packet.text_len(Revision::V4) + 1)
        .sum();
    let mut body = Vec::with_capacity(size);
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            body.push(RECORD_SEPARATOR);
        }
        body.extend_from_slice(&packet.packet_text(Revision::V4));
    }
    Bytes::from(body)
}

/// Splits a long-polling body into packets: an iterator.
///
/// The packets are slices of one copy of the body, or of the body itself if it is binary, so a body of a million tiny
/// packets costs nothing until they are read. The body is read once, whatever it contains. A text body is checked to be
/// UTF-8 before the first packet. The iterator returns the packets before the first invalid one, then the error, then
/// `None`.
///
/// ```
/// use kokanee_engineio::{Message, Packet, PayloadDecoder, Revision};
/// let mut packets = PayloadDecoder::new(Revision::V4, "4hello\x1e2".into(), false);
/// assert_eq!(packets.next(), Some(Ok(Packet::Message(Message::Text("hello".into())))));
/// assert_eq!(packets.next(), Some(Ok(Packet::Ping("".into()))));
/// assert_eq!(packets.next(), None);
/// ```
#[derive(Debug, Clone)]
pub struct PayloadDecoder {
    body: Body,
    offset: usize,
}

#[derive(Debug, Clone)]
enum Body {
    /// Revision 4.
    Joined(Str),
    /// Revision 3, text form.
    Counted(Str),
    /// Revision 3, binary form.
    Binary(Bytes),
    /// Invalid as a whole.
    Refused(DecodeError),
    /// At its end.
    Finished,
}

impl PayloadDecoder {
    /// Creates a decoder of `body`. `binary_form` says that its content type is `application/octet-stream`.
    ///
    /// Errors, even of the whole body, are reported by the iterator.
    pub fn new(revision: Revision, body: Bytes, binary_form: bool) -> Self {
        let body = match revision {
            _ if body.is_empty() => Body::Refused(DecodeError::EmptyPacket { offset: 0 }),
            Revision::V4 if binary_form => {
                Body::Refused(DecodeError::BinaryBody { size: body.len() })
            }
            Revision::V4 => decode_utf8(&body).map_or_else(Body::Refused, Body::Joined),
            Revision::V3 if binary_form => Body::Binary(body),
            Revision::V3 => decode_utf8(&body).map_or_else(Body::Refused, Body::Counted),
        };
        Self { body, offset: 0 }
    }

    /// Returns how many bytes of the body have been decoded.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl Iterator for PayloadDecoder {
    type Item = Result<Packet, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let packet = match &self.body {
            Body::Joined(body) => {
                let (packet, more) = decode_joined(body, &mut self.offset);
                if !more {
                    self.body = Body::Finished;
                }
                Some(packet)
            }
            Body::Counted(body) => decode_text_packet(body, &mut self.offset),
            Body::Binary(body) => decode_binary_packet(body, &mut self.offset),
            Body::Refused(error) => Some(Err(*error)),
            Body::Finished => None,
        };
        if !matches!(packet, Some(Ok(_))) {
            self.body = Body::Finished;
        }
        packet
    }
}

impl FusedIterator for PayloadDecoder {}

/// Decodes the packet at `offset` up to the next separator, and returns whether there was one.
fn decode_joined(body: &Str, offset: &mut usize) -> (Result<Packet, DecodeError>, bool) {
    let start = *offset;
    let separator = memchr::memchr(RECORD_SEPARATOR, &body.as_bytes()[start..]);
    let end = separator.map_or(body.as_bytes().len(), |length| start + length);
    *offset = end + usize::from(separator.is_some());
    (
        Packet::decode_text_range(Revision::V4, body, start..end),
        separator.is_some(),
    )
}

/// Wraps a text payload for JSONP: `___eio[0]("…");`.
///
/// `index` is the `j` parameter of the request; other characters than digits are removed, so that no client can inject
/// script into the response.
pub fn encode_jsonp(index: &str, payload: &[u8]) -> Bytes {
    let mut script = Vec::with_capacity(
        "___eio[](\"\");".len() + index.len() + payload.len() + payload.len() / 8,
    );
    script.extend_from_slice(b"___eio[");
    script.extend(index.bytes().filter(u8::is_ascii_digit));
    script.extend_from_slice(b"](\"");
    let mut rest = payload;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => script.extend_from_slice(b"\\\""),
            b'\\' => script.extend_from_slice(b"\\\\"),
            b'\n' => script.extend_from_slice(b"\\n"),
            b'\r' => script.extend_from_slice(b"\\r"),
            b'\t' => script.extend_from_slice(b"\\t"),
            0x08 => script.extend_from_slice(b"\\b"),
            0x0c => script.extend_from_slice(b"\\f"),
            0x00..=0x1f => script.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                b'0' + (byte >> 4),
                b"0123456789abcdef"[usize::from(byte & 0xf)],
            ]),
            // U+2028 and U+2029 are valid in JSON, but ended a line of script before ECMAScript 2019.
            0xe2 if after.starts_with(&[0x80, 0xa8]) => {
                script.extend_from_slice(b"\\u2028");
                rest = &after[2..];
            }
            0xe2 if after.starts_with(&[0x80, 0xa9]) => {
                script.extend_from_slice(b"\\u2029");
                rest = &after[2..];
            }
            _ => script.push(byte),
        }
    }
    script.extend_from_slice(b"\");");
    Bytes::from(script)
}

/// Decodes the payload in a JSONP POST body, an `application/x-www-form-urlencoded` form with the field `d`.
///
/// Browsers rewrite the line ends of a form, so clients send a newline as `\n` and double a backslash in front of an
/// `n`. A newline after a backslash is therefore ambiguous, as in JavaScript; JSON has none. Returns `None` without a
/// field `d`: such a request is to be ignored. Of several fields the first counts.
pub fn decode_jsonp_form(body: &[u8]) -> Option<Bytes> {
    let field = body
        .split(|&byte| byte == b'&')
        .find_map(|field| field.strip_prefix(b"d="))?;
    let mut payload = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let decoded = match (byte, after) {
            (b'+', _) => b' ',
            (b'%', &[high, low, ref after @ ..]) => match (hex_digit(high), hex_digit(low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            _ => byte,
        };
        match (decoded, payload.as_slice()) {
            (b'n', [.., b'\\', b'\\']) => {
                payload.pop();
                payload.push(b'n');
            }
            (b'n', [.., b'\\']) => {
                payload.pop();
                payload.push(b'\n');
            }
            _ => payload.push(decoded),
        }
    }
    Some(Bytes::from(payload))
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
