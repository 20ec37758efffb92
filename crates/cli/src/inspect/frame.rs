//! Parses the header of a WebSocket frame of either direction, with a position for each error.
//!
//! Spec: RFC 6455, 5.2.

use std::fmt::Write;

use kokanee_websocket::{MaskKey, OpCode};

use super::record::FrameRecord;

/// A frame at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: OpCode,
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
    pub(crate) key: Option<MaskKey>,
    /// Start of the payload.
    pub(crate) start: usize,
    /// End of the payload.
    pub(crate) end: usize,
}

/// An error in a frame, and at which of its bytes it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FrameFault {
    pub(crate) at: usize,
    pub(crate) reason: String,
}

fn fault<T>(at: usize, reason: impl Into<String>) -> Result<T, FrameFault> {
    let reason = reason.into();
    Err(FrameFault { at, reason })
}

impl Frame {
    /// Reads the frame at the start of `bytes`, which must not be empty.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, FrameFault> {
        let (first, Some(&second)) = (bytes[0], bytes.get(1)) else {
            return fault(bytes.len(), "the frame ends within its header");
        };
        if first & 0x30 != 0 {
            return fault(0, "a reserved bit is set (RSV2 or RSV3)");
        }
        let opcode = match first & 0x0f {
            0x0 => OpCode::Continuation,
            0x1 => OpCode::Text,
            0x2 => OpCode::Binary,
            0x8 => OpCode::Close,
            0x9 => OpCode::Ping,
            0xa => OpCode::Pong,
            other => return fault(0, format!("opcode {other:#x} is reserved")),
        };
        let fin = first & 0x80 != 0;
        let compressed = first & 0x40 != 0;
        if opcode.is_control() && !fin {
            return fault(0, "a control frame cannot be fragmented");
        }
        if compressed && !matches!(opcode, OpCode::Text | OpCode::Binary) {
            return fault(
                0,
                "only the first frame of a message can be marked as compressed",
            );
        }
        let (length, length_end) = match second & 0x7f {
            126 => (
                bytes
                    .get(2..4)
                    .and_then(|length| length.first_chunk())
                    .map(|&length| u64::from(u16::from_be_bytes(length))),
                4,
            ),
            127 => (
                bytes
                    .get(2..10)
                    .and_then(|length| length.first_chunk())
                    .map(|&length| u64::from_be_bytes(length)),
                10,
            ),
            short => (Some(u64::from(short)), 2),
        };
        if opcode.is_control() && length_end > 2 {
            return fault(1, "a control frame can have at most 125 bytes");
        }
        let Some(length) = length else {
            return fault(bytes.len(), "the frame ends within its length");
        };
        let is_masked = second & 0x80 != 0;
        let key = bytes
            .get(length_end..)
            .and_then(|rest| rest.first_chunk())
            .copied();
        if is_masked && key.is_none() {
            return fault(bytes.len(), "the frame ends within its masking key");
        }
        let key = key.filter(|_| is_masked);
        let start = length_end + if is_masked { size_of::<MaskKey>() } else { 0 };
        let available = bytes.len() - start;
        match usize::try_from(length) {
            Ok(length) if length <= available => Ok(Self {
                opcode,
                fin,
                compressed,
                key,
                start,
                end: start + length,
            }),
            _ => fault(
                bytes.len(),
                format!(
                    "the frame's length is {length} bytes, but only {available} follow its header"
                ),
            ),
        }
    }

    /// Returns the record of the header.
    pub(crate) fn record(&self) -> FrameRecord {
        FrameRecord {
            opcode: opcode_name(self.opcode),
            fin: self.fin,
            compressed: self.compressed,
            mask: self.key.map(|key| {
                key.iter().fold(String::new(), |mut hex, byte| {
                    // Writing to a string cannot fail.
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            }),
            payload: self.end - self.start,
            close: None,
        }
    }
}

const fn opcode_name(opcode: OpCode) -> &'static str {
    match opcode {
        OpCode::Continuation => "continuation",
        OpCode::Text => "text",
        OpCode::Binary => "binary",
        OpCode::Close => "close",
        OpCode::Ping => "ping",
        OpCode::Pong => "pong",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masked_text_of_the_rfc_is_read() {
        let bytes = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        let frame = Frame::read(&bytes).expect("a frame");
        assert_eq!((frame.start, frame.end), (6, 11));
        assert_eq!(frame.record().mask.as_deref(), Some("37fa213d"));
    }

    #[test]
    fn each_fault_is_at_its_byte() {
        for (bytes, at, reason) in [
            (&[0x81][..], 1, "header"),
            (&[0x91, 0x00], 0, "reserved bit"),
            (&[0x83, 0x00], 0, "opcode 0x3"),
            (&[0x09, 0x00], 0, "cannot be fragmented"),
            (&[0xc8, 0x00], 0, "compressed"),
            (&[0x89, 0x7e, 0, 200], 1, "125"),
            (&[0x81, 0x7e, 0], 3, "length"),
            (&[0x81, 0x82, 1, 2], 4, "key"),
            (&[0x81, 0x03, b'a'], 3, "3 bytes, but only 1"),
        ] {
            let fault = Frame::read(bytes).expect_err(reason);
            assert_eq!(fault.at, at, "{reason}");
            assert!(fault.reason.contains(reason), "{}", fault.reason);
        }
    }
}
