//! The payload of a close frame (RFC 6455, 5.5.1).

use crate::{close_code::CloseCode, error::DecodeError, header::MAX_CONTROL_PAYLOAD_BYTES};

/// The most bytes of the reason in a close frame, which also contains the code.
pub const MAX_CLOSE_REASON_BYTES: usize = MAX_CONTROL_PAYLOAD_BYTES - 2;

/// Why one endpoint closes the connection, as sent to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The code.
    pub code: CloseCode,
    /// A short text for logs; may be empty.
    pub reason: &'a str,
}

/// A close frame without a reason.
impl From<CloseCode> for CloseFrame<'_> {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: "" }
    }
}

impl<'a> CloseFrame<'a> {
    /// Decodes the payload of a close frame; an empty one carries no code.
    ///
    /// # Errors
    /// [`DecodeError::TruncatedCloseCode`], [`DecodeError::InvalidCloseCode`] or
    /// [`DecodeError::InvalidCloseReason`].
    pub fn decode(payload: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(DecodeError::TruncatedCloseCode),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(DecodeError::InvalidCloseCode { code })?;
        let reason = str::from_utf8(reason).map_err(|error| DecodeError::InvalidCloseReason {
            offset: error.valid_up_to(),
        })?;
        Ok(Some(Self { code, reason }))
    }

    /// Encodes the payload of a close frame.
    ///
    /// A reason of more than [`MAX_CLOSE_REASON_BYTES`] is cut, between two characters.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a payload is 125 bytes at most"
    )]
    pub fn encode(self) -> ClosePayload {
        let mut reason_len = self.reason.len().min(MAX_CLOSE_REASON_BYTES);
        while !self.reason.is_char_boundary(reason_len) {
            reason_len -= 1;
        }
        let len = 2 + reason_len;
        let mut bytes = [0; MAX_CONTROL_PAYLOAD_BYTES];
        bytes[..2].copy_from_slice(&self.code.as_u16().to_be_bytes());
        bytes[2..len].copy_from_slice(&self.reason.as_bytes()[..reason_len]);
        ClosePayload {
            bytes,
            len: len as u8,
        }
    }
}

/// The encoded payload of a close frame.
#[derive(Debug, Clone, Copy)]
pub struct ClosePayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD_BYTES],
    len: u8,
}

impl ClosePayload {
    /// Returns the bytes to send after the header.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Returns the bytes to send after the header, for a client to mask.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_payload_carries_no_code() {
        assert_eq!(CloseFrame::decode(b""), Ok(None));
    }

    #[test]
    fn code_and_reason_are_decoded() {
        let frame = CloseFrame {
            code: CloseCode::GOING_AWAY,
            reason: "bye",
        };
        assert_eq!(CloseFrame::decode(b"\x03\xe9bye"), Ok(Some(frame)));
        assert_eq!(frame.encode().as_slice(), b"\x03\xe9bye");
    }

    #[test]
    fn half_a_code_is_an_error() {
        assert_eq!(
            CloseFrame::decode(b"\x03"),
            Err(DecodeError::TruncatedCloseCode)
        );
    }

    #[test]
    fn code_that_must_not_be_sent_is_an_error() {
        assert_eq!(
            CloseFrame::decode(&1005_u16.to_be_bytes()),
            Err(DecodeError::InvalidCloseCode { code: 1005 })
        );
    }

    #[test]
    fn reason_that_is_not_utf8_is_an_error() {
        assert_eq!(
            CloseFrame::decode(b"\x03\xe8ok\xff"),
            Err(DecodeError::InvalidCloseReason { offset: 2 })
        );
    }

    #[test]
    fn long_reason_is_cut_between_characters() {
        let reason = "€".repeat(60);
        let payload = CloseFrame {
            code: CloseCode::NORMAL,
            reason: &reason,
        }
        .encode();
        assert_eq!(payload.as_slice().len(), 2 + 123);
        let decoded = CloseFrame::decode(payload.as_slice()).unwrap().unwrap();
        assert_eq!(decoded.reason, "€".repeat(41));
        let one_more = format!("a{reason}");
        let payload = CloseFrame {
            code: CloseCode::NORMAL,
            reason: &one_more,
        }
        .encode();
        let decoded = CloseFrame::decode(payload.as_slice()).unwrap().unwrap();
        assert_eq!(decoded.reason, format!("a{}", "€".repeat(40)));
    }
}
