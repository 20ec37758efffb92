//! The header of a frame: FIN, opcode, payload length and masking key.

use crate::{error::DecodeError, mask::MaskKey, opcode::OpCode, role::Role};

/// The longest header a server sends: two bytes and a 64-bit length, never a masking key.
pub const MAX_SERVER_HEADER_BYTES: usize = 10;

/// The longest header: a server's header and the masking key of a client.
pub const MAX_HEADER_BYTES: usize = MAX_SERVER_HEADER_BYTES + 4;

/// The most payload a control frame (close, ping, pong) can carry.
pub const MAX_CONTROL_PAYLOAD_BYTES: usize = 125;

const FIN: u8 = 0b1000_0000;
const RESERVED_BITS: u8 = 0b0111_0000;
/// RSV1: the message that begins with this frame is compressed (RFC 7692, 6).
const COMPRESSED: u8 = 0b0100_0000;
const OPCODE_BITS: u8 = 0b0000_1111;
const MASKED: u8 = 0b1000_0000;
const LENGTH_BITS: u8 = 0b0111_1111;
const LENGTH_IS_U16: u8 = 126;
const LENGTH_IS_U64: u8 = 127;

/// An encoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    len: u8,
}

impl Header {
    /// Marks the message as compressed by permessage-deflate.
    #[must_use]
    pub const fn compressed(mut self) -> Self {
        self.bytes[0] |= COMPRESSED;
        self
    }

    /// Returns a server's header at the end of a block of fixed size, and its length, so that it can be written in
    /// front of a payload with a copy of fixed size.
    #[inline]
    pub fn flush_right(&self) -> ([u8; MAX_SERVER_HEADER_BYTES], usize) {
        let mut block = [0; MAX_SERVER_HEADER_BYTES];
        let [first, second, long @ ..] = &self.bytes;
        match self.len {
            2 => block[8..].copy_from_slice(&[*first, *second]),
            4 => block[6..].copy_from_slice(&[*first, *second, long[0], long[1]]),
            _ => block.copy_from_slice(&self.bytes[..MAX_SERVER_HEADER_BYTES]),
        }
        (block, usize::from(self.len).min(MAX_SERVER_HEADER_BYTES))
    }

    /// Returns the bytes to send before the payload.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Encodes the header of an unfragmented frame.
///
/// A server passes no `mask`. A client passes a fresh random key and sends the payload masked
/// with it, see [`apply_mask`](crate::apply_mask).
#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm is chosen by the range of the length"
)]
#[inline]
pub fn encode_header(opcode: OpCode, payload_len: usize, mask: Option<MaskKey>) -> Header {
    let mut bytes = [0; MAX_HEADER_BYTES];
    bytes[0] = FIN | opcode as u8;
    let mut len = match payload_len {
        0..=125 => {
            bytes[1] = payload_len as u8;
            2
        }
        126..=0xFFFF => {
            bytes[1] = LENGTH_IS_U16;
            bytes[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = LENGTH_IS_U64;
            bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    };
    if let Some(key) = mask {
        bytes[1] |= MASKED;
        bytes[len..len + 4].copy_from_slice(&key);
        len += 4;
    }
    Header {
        bytes,
        len: len as u8,
    }
}

/// A received frame header up to the masking key, which may not have arrived yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) opcode: OpCode,
    pub(crate) fin: bool,
    /// Whether the message that begins with this frame is compressed.
    pub(crate) is_compressed: bool,
    pub(crate) payload_len: u64,
    /// Where the length ends: the masking key, if there is one, follows.
    length_end: u8,
}

impl FrameHeader {
    /// Decodes the header at the front of `bytes`. Returns `None` if more bytes are needed.
    ///
    /// Each byte is checked as soon as it arrives. A message can be compressed only if `may_compress` is set.
    #[inline]
    pub(crate) fn decode(
        bytes: &[u8],
        role: Role,
        may_compress: bool,
    ) -> Result<Option<Self>, DecodeError> {
        let [first, second, extended @ ..] = bytes else {
            return Ok(None);
        };
        let reserved = first & RESERVED_BITS;
        // "An endpoint MUST NOT set the 'Per-Message Compressed' bit of control frames and
        // non-first fragments of a data message." (RFC 7692, 6)
        if reserved != 0
            && !(may_compress && reserved == COMPRESSED && begins_message(first & OPCODE_BITS))
        {
            return Err(DecodeError::ReservedBits {
                bits: reserved >> 4,
            });
        }
        let Some(opcode) = OpCode::from_bits(first & OPCODE_BITS) else {
            return Err(DecodeError::ReservedOpCode {
                opcode: first & OPCODE_BITS,
            });
        };
        // "The server MUST close the connection upon receiving a frame that is not masked." (5.1)
        match (role, second & MASKED != 0) {
            (Role::Server, false) => return Err(DecodeError::Unmasked),
            (Role::Client, true) => return Err(DecodeError::Masked),
            _ => {}
        }
        let fin = first & FIN != 0;
        let short_len = second & LENGTH_BITS;
        if opcode.is_control() {
            // "All control frames MUST have a payload length of 125 bytes or less and MUST NOT
            // be fragmented." (5.5)
            if !fin {
                return Err(DecodeError::FragmentedControl { opcode });
            }
            if short_len >= LENGTH_IS_U16 {
                return Err(DecodeError::ControlTooLong { opcode });
            }
        }
        // A length in more bytes than it needs is accepted, as JavaScript peers do.
        let (payload_len, length_end) = match short_len {
            LENGTH_IS_U16 => match extended.first_chunk() {
                Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
                None => return Ok(None),
            },
            LENGTH_IS_U64 => match extended.first_chunk() {
                Some(len) => (u64::from_be_bytes(*len), 10),
                None => return Ok(None),
            },
            len => (u64::from(len), 2),
        };
        Ok(Some(Self {
            opcode,
            fin,
            is_compressed: reserved != 0,
            payload_len,
            length_end,
        }))
    }

    /// Returns the length of the header in bytes, including the key of a client.
    #[inline]
    pub(crate) fn len(&self, role: Role) -> usize {
        let key_len = match role {
            Role::Server => size_of::<MaskKey>(),
            Role::Client => 0,
        };
        usize::from(self.length_end) + key_len
    }

    /// Returns the masking key, zero in a frame of a server; `None` if the header is not complete.
    #[inline]
    pub(crate) fn key(&self, bytes: &[u8], role: Role) -> Option<MaskKey> {
        match role {
            Role::Server => bytes
                .get(usize::from(self.length_end)..)?
                .first_chunk()
                .copied(),
            Role::Client => Some(MaskKey::default()),
        }
    }
}

/// Returns the length of the payload if the first two bytes of a frame contain it and belong to a masked, uncompressed,
/// unfragmented text.
#[inline]
pub(crate) fn short_masked_text(first: u8, second: u8) -> Option<usize> {
    let len = second & LENGTH_BITS;
    let is_text = first == FIN | OpCode::Text as u8 && second & MASKED != 0;
    (is_text && len < LENGTH_IS_U16).then_some(usize::from(len))
}

fn begins_message(opcode: u8) -> bool {
    opcode == OpCode::Text as u8 || opcode == OpCode::Binary as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], role: Role) -> Result<Option<(OpCode, bool, u64)>, DecodeError> {
        let header = FrameHeader::decode(bytes, role, false)?;
        Ok(header.map(|header| (header.opcode, header.fin, header.payload_len)))
    }

    // The bytes of RFC 6455, 5.7.

    #[test]
    fn unmasked_text_of_the_rfc() {
        assert_eq!(
            encode_header(OpCode::Text, 5, None).as_slice(),
            [0x81, 0x05]
        );
        assert_eq!(
            decode(&[0x81, 0x05], Role::Client),
            Ok(Some((OpCode::Text, true, 5)))
        );
    }

    #[test]
    fn masked_text_of_the_rfc() {
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d];
        let key = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(encode_header(OpCode::Text, 5, Some(key)).as_slice(), bytes);
        let header = FrameHeader::decode(&bytes, Role::Server, false)
            .unwrap()
            .unwrap();
        assert_eq!(header.len(Role::Server), 6);
        assert_eq!(header.key(&bytes, Role::Server), Some(key));
        assert_eq!(header.key(&bytes[..5], Role::Server), None);
    }

    #[test]
    fn fragments_of_the_rfc() {
        assert_eq!(
            decode(&[0x01, 0x03], Role::Client),
            Ok(Some((OpCode::Text, false, 3)))
        );
        assert_eq!(
            decode(&[0x80, 0x02], Role::Client),
            Ok(Some((OpCode::Continuation, true, 2)))
        );
    }

    #[test]
    fn ping_and_pong_of_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        assert_eq!(
            encode_header(OpCode::Ping, 5, None).as_slice(),
            [0x89, 0x05]
        );
        assert_eq!(
            encode_header(OpCode::Pong, 5, Some(key)).as_slice(),
            [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d]
        );
    }

    #[test]
    fn lengths_of_the_rfc() {
        assert_eq!(
            encode_header(OpCode::Binary, 256, None).as_slice(),
            [0x82, 0x7e, 0x01, 0x00]
        );
        assert_eq!(
            encode_header(OpCode::Binary, 65536, None).as_slice(),
            [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn length_takes_the_fewest_bytes() {
        for (payload_len, header_len) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let header = encode_header(OpCode::Binary, payload_len, None);
            assert_eq!(header.as_slice().len(), header_len, "{payload_len}");
            assert_eq!(
                decode(header.as_slice(), Role::Client),
                Ok(Some((OpCode::Binary, true, payload_len as u64)))
            );
        }
    }

    #[test]
    fn longest_headers_are_what_the_constants_say() {
        let server = encode_header(OpCode::Binary, 1 << 20, None);
        assert_eq!(server.as_slice().len(), MAX_SERVER_HEADER_BYTES);
        let client = encode_header(OpCode::Binary, 1 << 20, Some([1; 4]));
        assert_eq!(client.as_slice().len(), MAX_HEADER_BYTES);
    }

    #[test]
    fn length_in_more_bytes_than_needed_is_accepted() {
        assert_eq!(
            decode(&[0x82, 0x7e, 0, 5], Role::Client),
            Ok(Some((OpCode::Binary, true, 5)))
        );
        assert_eq!(
            decode(&[0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0, 5], Role::Client),
            Ok(Some((OpCode::Binary, true, 5)))
        );
    }

    #[test]
    fn header_is_incomplete_until_its_length_is_there() {
        let header = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0];
        for end in 0..header.len() {
            assert_eq!(decode(&header[..end], Role::Server), Ok(None), "{end}");
        }
    }

    #[test]
    fn two_bytes_are_enough_to_refuse_a_frame() {
        let refused = [
            ([0xc1, 0x80], DecodeError::ReservedBits { bits: 0b100 }),
            ([0x91, 0x80], DecodeError::ReservedBits { bits: 0b001 }),
            ([0x83, 0x80], DecodeError::ReservedOpCode { opcode: 3 }),
            ([0x8f, 0x80], DecodeError::ReservedOpCode { opcode: 15 }),
            ([0x81, 0x00], DecodeError::Unmasked),
            (
                [0x09, 0x80],
                DecodeError::FragmentedControl {
                    opcode: OpCode::Ping,
                },
            ),
            (
                [0x88, 0xfe],
                DecodeError::ControlTooLong {
                    opcode: OpCode::Close,
                },
            ),
        ];
        for (bytes, error) in refused {
            assert_eq!(decode(&bytes, Role::Server), Err(error), "{bytes:x?}");
        }
        assert_eq!(
            decode(&[0x81, 0x80], Role::Client),
            Err(DecodeError::Masked)
        );
    }
}
