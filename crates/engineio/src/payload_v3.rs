//! The two forms of revision 3 payloads. Both put a packet's length in front of it.
//!
//! Text: `<length>:<packet>`, the length in UTF-16 code units, as JavaScript counts. Binary ("xhr2"): a mark (0 text, 1
//! binary), the decimal digits of the length in bytes as bytes 0 to 9, 0xff, the packet. Called by `payload` only.
//! Spec: Engine.IO revision 3, "Encoding", "Payload".

use std::io::Write;

use bytes::Bytes;

use crate::{
    message::{Message, Str},
    packet::{DecodeError, OutPacket, Packet, PacketType, Revision, decode_utf8},
};

/// The most digits of a length: those of JavaScript's largest number.
const MAX_LENGTH_DIGITS: usize = 310;

/// Marks a text packet in the binary form.
const TEXT_MARK: u8 = 0;

/// Marks a binary packet in the binary form.
const BINARY_MARK: u8 = 1;

/// Ends a length in the binary form.
const LENGTH_END: u8 = 0xff;

/// The longest prefix: a mark, a length of up to 20 digits and its end.
const MAX_PREFIX_BYTES: usize = 22;

/// Encodes the text form.
pub(crate) fn encode_text(packets: &[OutPacket]) -> Bytes {
    if packets.is_empty() {
        return Bytes::from_static(b"0:");
    }
    let size = packets
        .iter()
        .map(|packet| packet.text_len(Revision::V3) + MAX_PREFIX_BYTES)
        .sum();
    let mut body = Vec::with_capacity(size);
    for packet in packets {
        let text = packet.packet_text(Revision::V3);
        write_length(&mut body, utf16_len(&text));
        body.push(b':');
        body.extend_from_slice(&text);
    }
    Bytes::from(body)
}

/// Encodes the binary form.
pub(crate) fn encode_binary(packets: &[OutPacket]) -> Bytes {
    let size = packets
        .iter()
        .map(|packet| 1 + packet.len() + MAX_PREFIX_BYTES)
        .sum();
    let mut body = Vec::with_capacity(size);
    for packet in packets {
        if let OutPacket::Message(message) = packet
            && let Message::Binary(data) = message.message()
        {
            write_binary_prefix(&mut body, BINARY_MARK, 1 + data.len());
            body.push(PacketType::Message as u8);
            body.extend_from_slice(&data);
        } else {
            let text = packet.packet_text(Revision::V3);
            write_binary_prefix(&mut body, TEXT_MARK, text.len());
            body.extend_from_slice(&text);
        }
    }
    Bytes::from(body)
}

fn write_length(body: &mut Vec<u8>, length: usize) {
    write!(body, "{length}").expect("writing to memory cannot fail");
}

fn write_binary_prefix(body: &mut Vec<u8>, mark: u8, length: usize) {
    body.push(mark);
    let digits = body.len();
    write_length(body, length);
    for digit in &mut body[digits..] {
        *digit -= b'0';
    }
    body.push(LENGTH_END);
}

/// Decodes the next packet of the text form and moves `offset` past it. Returns `None` at the end of the body.
pub(crate) fn decode_text_packet(
    body: &Str,
    offset: &mut usize,
) -> Option<Result<Packet, DecodeError>> {
    let bytes = body.as_bytes();
    while *offset < bytes.len() {
        let (units, start) = match decode_length(bytes, *offset, b'0', b':') {
            Ok(length) => length,
            Err(error) => return Some(Err(error)),
        };
        let Some(length) = utf16_prefix(&bytes[start..], units) else {
            let available = bytes.len() - start;
            return Some(Err(DecodeError::LengthMismatch {
                announced: units,
                available,
                offset: start,
            }));
        };
        let end = start + length;
        *offset = end;
        if length > 0 {
            return Some(Packet::decode_text_range(Revision::V3, body, start..end));
        }
    }
    None
}

/// Decodes the next packet of the binary form and moves `offset` past it. Returns `None` at the end of the body.
pub(crate) fn decode_binary_packet(
    body: &Bytes,
    offset: &mut usize,
) -> Option<Result<Packet, DecodeError>> {
    while let Some(&mark) = body.get(*offset) {
        if mark != TEXT_MARK && mark != BINARY_MARK {
            return Some(Err(DecodeError::UnknownForm {
                byte: mark,
                offset: *offset,
            }));
        }
        let (length, start) = match decode_length(body, *offset + 1, 0, LENGTH_END) {
            Ok(length) => length,
            Err(error) => return Some(Err(error)),
        };
        let available = body.len() - start;
        if length > available {
            return Some(Err(DecodeError::LengthMismatch {
                announced: length,
                available,
                offset: start,
            }));
        }
        let end = start + length;
        *offset = end;
        if length > 0 {
            let packet = body.slice(start..end);
            let decoded = if mark == TEXT_MARK {
                decode_utf8(&packet).and_then(|text| Packet::decode_text(Revision::V3, text))
            } else {
                Packet::decode_binary(Revision::V3, packet)
            };
            return Some(decoded.map_err(|error| error.shifted(start)));
        }
    }
    None
}

/// Reads the length at `start`, whose digits count from the byte `zero`. Returns it and where the packet begins.
fn decode_length(
    bytes: &[u8],
    start: usize,
    zero: u8,
    terminator: u8,
) -> Result<(usize, usize), DecodeError> {
    let invalid = DecodeError::InvalidLength { offset: start };
    let mut length = 0_usize;
    for (digits, &byte) in bytes[start..]
        .iter()
        .take(MAX_LENGTH_DIGITS + 1)
        .enumerate()
    {
        if byte == terminator && digits > 0 {
            return Ok((length, start + digits + 1));
        }
        let digit = byte.wrapping_sub(zero);
        if digit > 9 {
            return Err(invalid);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(digit.into()))
            .ok_or(invalid)?;
    }
    Err(invalid)
}

/// Returns how many UTF-16 code units the text has: two for a character of four bytes, one for any other.
fn utf16_len(text: &[u8]) -> usize {
    text.iter().map(|&byte| utf16_units(byte)).sum()
}

/// Returns how many code units the character has that begins with this byte.
fn utf16_units(byte: u8) -> usize {
    usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0)
}

/// Returns how many bytes of `text` are its first `units` code units. `None` if it is shorter or they end inside a
/// character.
fn utf16_prefix(text: &[u8], units: usize) -> Option<usize> {
    // A character has at least as many bytes as code units. This also bounds the work by the packet's size.
    if text.get(..units)?.is_ascii() {
        return Some(units);
    }
    let mut left = units;
    for (index, &byte) in text.iter().enumerate() {
        let continues = byte & 0xc0 == 0x80;
        if left == 0 && !continues {
            return Some(index);
        }
        left = left.checked_sub(utf16_units(byte))?;
    }
    (left == 0).then_some(text.len())
}
