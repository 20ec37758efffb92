//! RFC 6455 frames of a client: prebuilt masked frames out, unmasked frames in.
//!
//! The mask key is zero (RFC 6455 section 5.3 asks for an unpredictable key to protect proxies between a browser and
//! a server; a load generator has neither), so a frame can be patched in place after it was built.

use crate::error::Violation;

/// Text frame opcode.
pub(crate) const TEXT: u8 = 0x1;
/// Binary frame opcode.
pub(crate) const BINARY: u8 = 0x2;
/// Close frame opcode.
pub(crate) const CLOSE: u8 = 0x8;
/// Ping frame opcode.
pub(crate) const PING: u8 = 0x9;
/// Pong frame opcode.
pub(crate) const PONG: u8 = 0xa;

const CONTINUATION: u8 = 0x0;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// The length follows in two bytes.
const LENGTH_16: u8 = 0x7e;
/// The length follows in eight bytes.
const LENGTH_64: u8 = 0x7f;

/// Appends a final frame, masked with the zero key.
pub(crate) fn encode(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | length.to_le_bytes()[0]),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(MASKED | LENGTH_16);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(MASKED | LENGTH_64);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A decoder of one connection. Keeps no memory while nothing is incomplete.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Bytes of a frame that is not complete yet.
    pending: Vec<u8>,
    /// A message whose last fragment has not arrived yet, with its opcode.
    fragments: Option<(u8, Vec<u8>)>,
}

/// One frame in a slice of bytes.
struct Frame<'a> {
    fin: bool,
    opcode: u8,
    payload: &'a [u8],
    /// Length of header and payload.
    length: usize,
}

impl Decoder {
    /// Decodes all messages that these bytes complete, and keeps the rest.
    ///
    /// # Errors
    /// [`Violation::Frame`], or what `on_message` (opcode, payload) returns.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        mut on_message: impl FnMut(u8, &[u8]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        if self.pending.is_empty() {
            let consumed = self.walk(bytes, &mut on_message)?;
            self.pending.extend_from_slice(&bytes[consumed..]);
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let consumed = self.walk(&pending, &mut on_message)?;
        if consumed < pending.len() {
            pending.drain(..consumed);
            self.pending = pending;
        }
        Ok(())
    }

    /// Decodes from a slice and returns how much of it was used.
    fn walk(
        &mut self,
        bytes: &[u8],
        on_message: &mut impl FnMut(u8, &[u8]) -> Result<(), Violation>,
    ) -> Result<usize, Violation> {
        let mut consumed = 0;
        while let Some(frame) = first_frame(&bytes[consumed..])? {
            consumed += frame.length;
            let is_control = frame.opcode & 0x8 != 0;
            match (frame.fin, self.fragments.as_mut()) {
                (true, _) if is_control => on_message(frame.opcode, frame.payload)?,
                (true, None) if frame.opcode != CONTINUATION => {
                    on_message(frame.opcode, frame.payload)?;
                }
                (false, None) if !is_control && frame.opcode != CONTINUATION => {
                    self.fragments = Some((frame.opcode, frame.payload.to_vec()));
                }
                (fin, Some((_, message))) if frame.opcode == CONTINUATION => {
                    message.extend_from_slice(frame.payload);
                    if fin && let Some((opcode, message)) = self.fragments.take() {
                        on_message(opcode, &message)?;
                    }
                }
                _ => return Err(Violation::Frame),
            }
        }
        Ok(consumed)
    }
}

/// Returns the first frame, or `None` if it is not complete.
fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 || second & MASKED != 0 {
        return Err(Violation::Frame);
    }
    let (header, length) = match second & 0x7f {
        LENGTH_16 => match rest.first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        LENGTH_64 => match rest.first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(header))
        .ok_or(Violation::Frame)?;
    Ok(bytes.get(header..end).map(|payload| Frame {
        fin: first & FIN != 0,
        opcode: first & 0x0f,
        payload,
        length: end,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes chunks and returns the messages.
    fn decode<'a>(
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<(u8, Vec<u8>)>, Violation> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for chunk in chunks {
            decoder.decode(chunk, |opcode, payload| {
                messages.push((opcode, payload.to_vec()));
                Ok(())
            })?;
        }
        Ok(messages)
    }

    #[test]
    fn frame_is_masked_with_the_zero_key() {
        let mut out = Vec::new();
        encode(TEXT, b"Hello", &mut out);
        assert_eq!(out, b"\x81\x85\0\0\0\0Hello");
    }

    #[test]
    fn length_is_written_in_the_shortest_form() {
        let header = |length| {
            let mut out = Vec::new();
            encode(BINARY, &vec![7; length], &mut out);
            assert!(out.ends_with(&vec![7; length]));
            out.truncate(out.len() - length);
            out
        };
        assert_eq!(header(125), b"\x82\xfd\0\0\0\0");
        assert_eq!(header(126), b"\x82\xfe\x00\x7e\0\0\0\0");
        assert_eq!(header(65_535), b"\x82\xfe\xff\xff\0\0\0\0");
        assert_eq!(header(65_536), b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0");
    }

    #[test]
    fn frames_of_one_read_are_all_decoded() {
        let messages = decode([b"\x81\x012\x82\x02\x01\x02\x88\x00".as_slice()]).unwrap();
        assert_eq!(
            messages,
            [(TEXT, b"2".to_vec()), (BINARY, vec![1, 2]), (CLOSE, vec![])]
        );
    }

    #[test]
    fn frames_are_decoded_at_any_cut() {
        let mut stream = b"\x81\x05Hello\x81\x7e\x01\x00".to_vec();
        stream.extend([b'x'; 256]);
        stream.extend(b"\x81\x7f\0\0\0\0\0\0\0\x03abc\x8a\x00");
        let expected = decode([stream.as_slice()]).unwrap();
        assert_eq!(expected.len(), 4);
        for cut in 0..stream.len() {
            assert_eq!(
                decode([&stream[..cut], &stream[cut..]]).unwrap(),
                expected,
                "cut at {cut}"
            );
        }
        assert_eq!(decode(stream.chunks(1)).unwrap(), expected);
    }

    #[test]
    fn fragments_are_joined_around_control_frames() {
        let messages = decode([b"\x01\x03Hel\x89\x01p\x00\x01l\x80\x01o".as_slice()]).unwrap();
        assert_eq!(messages, [(PING, b"p".to_vec()), (TEXT, b"Hello".to_vec())]);
    }

    #[test]
    fn fragments_out_of_place_are_refused() {
        for stream in [
            b"\x80\x00".as_slice(),
            b"\x01\x00\x81\x00",
            b"\x09\x00",
            b"\x01\x00\x02\x00",
        ] {
            assert_eq!(decode([stream]), Err(Violation::Frame), "{stream:?}");
        }
    }

    #[test]
    fn masked_frames_and_reserved_bits_are_refused() {
        assert_eq!(
            decode([b"\x81\x80\0\0\0\0".as_slice()]),
            Err(Violation::Frame)
        );
        assert_eq!(decode([b"\xc1\x00".as_slice()]), Err(Violation::Frame));
    }

    #[test]
    fn decoder_keeps_no_memory_between_frames() {
        let mut decoder = Decoder::default();
        decoder.decode(b"\x81\x05Hel", |_, _| Ok(())).unwrap();
        decoder.decode(b"lo", |_, _| Ok(())).unwrap();
        assert_eq!(decoder.pending.capacity(), 0);
    }
}
