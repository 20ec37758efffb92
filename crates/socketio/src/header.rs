//! The head of a text packet, in front of the JSON: `<type>[<attachments>-][<namespace>,][<ack id>]`.
//!
//! Spec: Socket.IO protocol v5, "Packet encoding". Stricter than the JavaScript parser, which accepts all of
//! JavaScript's numbers (`0x1`, `1e0`, spaces): digits only.

use memchr::memchr;

use crate::{error::DecodeError, limits::DecoderLimits, packet::AckId};

/// The type of a packet on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketType {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
}

impl PacketType {
    /// Returns the type with this number, except the binary ones.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Connect,
            1 => Self::Disconnect,
            2 => Self::Event,
            3 => Self::Ack,
            4 => Self::ConnectError,
            _ => return None,
        })
    }

    /// Returns the digit in front of a packet without attachments.
    pub(crate) const fn digit(self) -> u8 {
        match self {
            Self::Connect => b'0',
            Self::Disconnect => b'1',
            Self::Event => b'2',
            Self::Ack => b'3',
            Self::ConnectError => b'4',
        }
    }

    /// Returns the digit of an event or acknowledgement with attachments, given the digit of one without.
    pub(crate) const fn binary_digit(digit: u8) -> u8 {
        if digit == Self::Ack.digit() {
            b'6'
        } else {
            b'5'
        }
    }
}

/// A parsed head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) packet_type: PacketType,
    /// Number of attachments to come. Greater than 0 exactly for types 5 and 6.
    pub(crate) attachments: usize,
    /// Start and end of the namespace. `None` for `/`.
    pub(crate) namespace: Option<(usize, usize)>,
    pub(crate) id: Option<AckId>,
    /// Offset of the JSON.
    pub(crate) payload: usize,
}

/// Longest attachment count that is read as a number.
const MAX_COUNT_DIGITS: usize = 8;

/// Longest acknowledgement id: the digits of 2^63 − 1.
const MAX_ID_DIGITS: usize = 19;

impl Header {
    /// Parses the head of `text` in time linear in the head's length.
    #[inline]
    pub(crate) fn parse(text: &[u8], limits: &DecoderLimits) -> Result<Self, DecodeError> {
        let (packet_type, binary) = match *text.first().ok_or(DecodeError::Empty)? {
            b'0' => (PacketType::Connect, false),
            b'1' => (PacketType::Disconnect, false),
            b'2' => (PacketType::Event, false),
            b'3' => (PacketType::Ack, false),
            b'4' => (PacketType::ConnectError, false),
            b'5' => (PacketType::Event, true),
            b'6' => (PacketType::Ack, true),
            other => return Err(DecodeError::UnknownPacketType { found: other }),
        };
        let mut at = 1;
        let mut attachments = 0;
        if binary {
            let end = end_of_digits(text, at);
            if text.get(end) != Some(&b'-') || end == at {
                return Err(DecodeError::IllegalAttachmentCount);
            }
            attachments = match number(text, at, end, MAX_COUNT_DIGITS) {
                Some(0) => return Err(DecodeError::IllegalAttachmentCount),
                Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
                None => usize::MAX,
            };
            if attachments > limits.max_attachments {
                return Err(DecodeError::TooManyAttachments {
                    max: limits.max_attachments,
                });
            }
            at = end + 1;
        }
        let (namespace, at) = namespace(text, at, limits)?;
        let (id, payload) = ack_id(text, at)?;
        Ok(Self {
            packet_type,
            attachments,
            namespace,
            id,
            payload,
        })
    }
}

/// Returns the start and end of the namespace at `at`, if there is one other than `/`, and the offset after it.
#[inline]
pub(crate) fn namespace(
    text: &[u8],
    at: usize,
    limits: &DecoderLimits,
) -> Result<(Option<(usize, usize)>, usize), DecodeError> {
    if text.get(at) != Some(&b'/') {
        return Ok((None, at));
    }
    let rest = text.get(at..).unwrap_or_default();
    let length = memchr(b',', rest).unwrap_or(rest.len());
    check_namespace_length(rest.get(..length).unwrap_or_default(), limits)?;
    let namespace = (length > 1).then_some((at, at + length));
    // The comma may be missing at the end of the text.
    Ok((namespace, (at + length + 1).min(text.len())))
}

/// Returns the acknowledgement id at `at`, if there is one, and the offset after it.
#[inline]
pub(crate) fn ack_id(text: &[u8], at: usize) -> Result<(Option<AckId>, usize), DecodeError> {
    let end = end_of_digits(text, at);
    if end == at {
        return Ok((None, end));
    }
    let id = number(text, at, end, MAX_ID_DIGITS).filter(|&id| i64::try_from(id).is_ok());
    Ok((Some(AckId(id.ok_or(DecodeError::InvalidAckId)?)), end))
}

/// Checks the length of a namespace. Its query, which old clients use for their auth, does not count.
pub(crate) fn check_namespace_length(
    namespace: &[u8],
    limits: &DecoderLimits,
) -> Result<(), DecodeError> {
    let max = limits.max_namespace_bytes;
    if namespace.len() > max && memchr(b'?', namespace).is_none_or(|query| query > max) {
        return Err(DecodeError::NamespaceTooLong { max });
    }
    Ok(())
}

fn end_of_digits(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}

/// Returns the number in `text[start..end]`, all digits. `None` if there are more than `max_digits`, of which 19 always
/// fit.
fn number(text: &[u8], start: usize, end: usize, max_digits: usize) -> Option<u64> {
    let digits = text
        .get(start..end)
        .filter(|digits| digits.len() <= max_digits)?;
    Some(
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, DecodeError> {
        Header::parse(text.as_bytes(), &DecoderLimits::default())
    }

    #[test]
    fn every_part_is_optional() {
        let header = parse(r#"52-/admin,456["a"]"#).unwrap();
        assert_eq!(
            header,
            Header {
                packet_type: PacketType::Event,
                attachments: 2,
                namespace: Some((3, 9)),
                id: Some(AckId(456)),
                payload: 13
            }
        );
        let header = parse("0/custom").unwrap();
        assert_eq!((header.namespace, header.payload), (Some((1, 8)), 8));
        assert_eq!(parse("2[]").unwrap().payload, 1);
        assert_eq!(parse("2/,[]").unwrap().namespace, None);
    }

    #[test]
    fn attachment_counts_are_digits() {
        for text in [
            "5", "5-", "5x", "51", "5[]", "50-[]", "5-1-", "50x1-[]", "51e0-[]", "51.0-[]",
            "5 1-[]", "6", "60-[]",
        ] {
            assert_eq!(
                parse(text),
                Err(DecodeError::IllegalAttachmentCount),
                "{text}"
            );
        }
        for text in [
            "511-[]",
            "51000000000-[]",
            "51000000000000000000000000000000-[]",
        ] {
            assert_eq!(
                parse(text),
                Err(DecodeError::TooManyAttachments { max: 10 }),
                "{text}"
            );
        }
        assert_eq!(parse("510-[]").unwrap().attachments, 10);
    }

    #[test]
    fn a_million_digits_fail_in_linear_time() {
        let digits = "1".repeat(1_000_000);
        assert_eq!(
            parse(&format!("5{digits}-[]")),
            Err(DecodeError::TooManyAttachments { max: 10 })
        );
        assert_eq!(
            parse(&format!("5{digits}")),
            Err(DecodeError::IllegalAttachmentCount)
        );
        assert_eq!(
            parse(&format!("2{digits}[]")),
            Err(DecodeError::InvalidAckId)
        );
    }

    #[test]
    fn ack_ids_fit_63_bits() {
        assert_eq!(
            parse("29007199254740993[]").unwrap().id,
            Some(AckId(9_007_199_254_740_993))
        );
        assert_eq!(
            parse("29223372036854775807[]").unwrap().id,
            Some(AckId(i64::MAX as u64))
        );
        for id in [
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert_eq!(parse(&format!("2{id}[]")), Err(DecodeError::InvalidAckId));
        }
    }

    #[test]
    fn namespaces_are_bounded_without_their_query() {
        let name = format!("/{}", "n".repeat(254));
        assert!(parse(&format!("0{name},")).is_ok());
        assert!(parse(&format!("0{name}?token={},", "t".repeat(2000))).is_ok());
        assert_eq!(
            parse(&format!("0{name}n,")),
            Err(DecodeError::NamespaceTooLong { max: 255 })
        );
    }
}
