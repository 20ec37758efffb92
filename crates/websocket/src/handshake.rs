//! The key of the opening handshake and the server's answer to it (RFC 6455, 4.1 and 4.2.2).

use base64_simd::STANDARD;
use sha1::{Digest, Sha1};

/// The value of `Sec-WebSocket-Version`, the only version of the protocol.
pub const VERSION: &str = "13";

/// The number of random bytes in a client's key.
pub const KEY_BYTES: usize = 16;

/// What a server appends to the key before hashing, "a GUID unlikely to be used by endpoints that do not understand the
/// WebSocket Protocol".
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns the value of `Sec-WebSocket-Accept` that answers the `Sec-WebSocket-Key` of a request.
pub fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(ACCEPT_GUID)
        .finalize();
    STANDARD.encode_to_string(digest)
}

/// Returns whether `key` is a valid `Sec-WebSocket-Key`: 16 bytes in base64, hence 22 digits and `==`.
///
/// The four unused bits of the last digit may be set, as clients that choose the digits at random
/// do; JavaScript servers accept those too.
pub fn is_valid_key(key: &[u8]) -> bool {
    match key.split_last_chunk::<2>() {
        Some((digits, b"==")) => {
            digits.len() == 22
                && digits
                    .iter()
                    .all(|&digit| digit.is_ascii_alphanumeric() || digit == b'+' || digit == b'/')
        }
        _ => false,
    }
}

/// Encodes 16 fresh random bytes as the `Sec-WebSocket-Key` of a client.
pub fn encode_key(random: [u8; KEY_BYTES]) -> String {
    STANDARD.encode_to_string(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_the_rfc_is_accepted_with_its_answer() {
        assert!(is_valid_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(
            accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(encode_key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn key_that_is_not_16_bytes_of_base64_is_invalid() {
        let keys: [&[u8]; 8] = [
            b"",
            b"==",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZQA=",
            b"dGhlIHNhbXBsZSBub25jZQAA==",
            b"dGhlIHNhbXBsZSBub25jZ-==",
            b" GhlIHNhbXBsZSBub25jZQ==",
        ];
        for key in keys {
            assert!(!is_valid_key(key), "{}", key.escape_ascii());
        }
    }
}
