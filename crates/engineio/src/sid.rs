//! Session ids: 20 characters of `[A-Za-z0-9_-]` that carry 120 bits.
//!
//! All of them are random, unless several processes share a port: then the first 24 bits say which of them owns the session
//! ([`owner_of`]), and 96 are random.
//!
//! The id of a session is a secret: anybody who knows it can act as the client. Its `Debug` output therefore hides it.

use std::fmt;

/// Length of an id in characters.
pub const SID_LENGTH: usize = 20;

/// The id of a session. Secret; never log it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; SID_LENGTH]);

impl Sid {
    /// Creates an id from 15 random bytes.
    pub fn from_random(random: [u8; 15]) -> Self {
        Self(encode_id(random))
    }

    /// Parses an id of a request. Returns `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        parse_id(text).map(Self)
    }

    /// Returns the id's text, for the handshake packet and the `sid` parameter only.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the characters of the id, for use as a key. As secret as the text.
    pub fn as_bytes(&self) -> &[u8; SID_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sid(secret)")
    }
}

/// The bytes that an id may contain.
const IS_ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        byte += 1;
    }
    allowed
};

/// Parses the characters of an id. Returns `None` if the text cannot be one.
pub fn parse_id(text: &str) -> Option<[u8; SID_LENGTH]> {
    let id: [u8; SID_LENGTH] = text.as_bytes().try_into().ok()?;
    // Checks all bytes without a branch for each, as nearly every id is valid.
    let is_id = id
        .iter()
        .fold(true, |so_far, &byte| so_far & IS_ALLOWED[usize::from(byte)]);
    is_id.then_some(id)
}

/// Encodes 15 bytes as 20 characters of the URL-safe base64 alphabet.
pub fn encode_id(random: [u8; 15]) -> [u8; SID_LENGTH] {
    let mut id = [b'A'; SID_LENGTH];
    let _ = base64_simd::URL_SAFE_NO_PAD.encode(&random, base64_simd::Out::from_slice(&mut id));
    id
}

/// Returns the first three bytes of an id, the owner of the session if several processes share a port. `None` if the text
/// cannot be an id.
pub fn owner_of(text: &str) -> Option<[u8; 3]> {
    let id = parse_id(text)?;
    let mut owner = [0; 3];
    let decoded =
        base64_simd::URL_SAFE_NO_PAD.decode(&id[..4], base64_simd::Out::from_slice(&mut owner));
    decoded.is_ok().then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_twenty_url_safe_characters() {
        let id = Sid::from_random([0xfb; 15]);
        assert_eq!(id.as_str(), "-_v7-_v7-_v7-_v7-_v7");
        assert_eq!(Sid::parse(id.as_str()), Some(id));
    }

    #[test]
    fn an_invalid_id_is_refused() {
        for text in [
            "",
            "__proto__",
            "-_v7-_v7-_v7-_v7-_v",
            "-_v7-_v7-_v7-_v7-_v77",
            "-_v7-_v7-_v7-_v7-_v\u{1}",
        ] {
            assert_eq!(Sid::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_owner_is_the_beginning_of_an_id() {
        let mut random = [7; 15];
        random[..3].copy_from_slice(&[0xfb, 0, 0xff]);
        let id = Sid::from_random(random);
        assert_eq!(id.as_str(), "-wD_BwcHBwcHBwcHBwcH");
        assert_eq!(owner_of(id.as_str()), Some([0xfb, 0, 0xff]));
        assert_eq!(owner_of("-wD_"), None);
    }

    #[test]
    fn debug_output_hides_the_id() {
        assert_eq!(format!("{:?}", Sid::from_random([7; 15])), "Sid(secret)");
    }
}
