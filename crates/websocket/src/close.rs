//! Close codes and the payload of a close frame (RFC 6455, 5.5.1 and 7.4).

use std::fmt;

use crate::{error::DecodeError, header::MAX_CONTROL_PAYLOAD_BYTES};

/// The most bytes of reason that fit a close frame beside the code.
pub const MAX_CLOSE_REASON_BYTES: usize = MAX_CONTROL_PAYLOAD_BYTES - 2;

/// A close code that may be sent in a close frame.
///
/// The codes 1005, 1006 and 1015, which only describe how a connection ended, are none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that this endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: data that does not fit the kind of message, as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer broke a policy of this endpoint.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: the message is too large.
    pub const TOO_LARGE: Self = Self(1009);
    /// 1010: a client misses an extension in the server's handshake.
    pub const MISSING_EXTENSION: Self = Self(1010);
    /// 1011: an unexpected condition in the server.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid response from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The close code `code`, if it may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a connection is closed, as one endpoint tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The code.
    pub code: CloseCode,
    /// A few words for a log; may be empty.
    pub reason: &'a str,
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
        bytes[..2].copy_from_slice(&self.code.0.to_be_bytes());
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
    /// The bytes to send after the header.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The bytes to send after the header, for a client to mask.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_close_codes() {
        let valid: Vec<_> = (0..=u16::MAX)
            .filter(|&code| CloseCode::new(code).is_some())
            .collect();
        let expected: Vec<_> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(valid, expected);
    }

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
