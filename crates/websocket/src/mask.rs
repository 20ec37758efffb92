//! Masking: the exclusive-or of a client's payload with a four-byte key.

/// The key with which a client masks one frame.
pub type MaskKey = [u8; 4];

/// Masks or unmasks `payload` in place.
///
/// `offset` is the position of `payload[0]` within the payload of the frame, so that a payload
/// can be masked in pieces.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: MaskKey, offset: usize) {
    #[expect(clippy::cast_possible_truncation, reason = "it is less than 4")]
    let turned = 8 * (offset % 4) as u32;
    let key = u32::from_le_bytes(key).rotate_right(turned).to_le_bytes();
    let narrow = u32::from_ne_bytes(key);
    // Both halves are the same, so this holds in either byte order.
    let wide = u64::from(narrow) << 32 | u64::from(narrow);
    // The size of two vector registers.
    let (blocks, rest) = payload.as_chunks_mut::<32>();
    for block in blocks {
        for chunk in block.as_chunks_mut::<8>().0 {
            *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
        }
    }
    let (chunks, rest) = rest.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    let (chunks, rest) = rest.as_chunks_mut::<4>();
    for chunk in chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ narrow).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_of_the_rfc_is_masked() {
        let mut payload = *b"Hello";
        apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn every_byte_meets_its_key_byte() {
        let key = [1, 2, 4, 8];
        for len in 0..40 {
            for offset in 0..9 {
                let mut payload = vec![0xf0; len];
                apply_mask(&mut payload, key, offset);
                let expected: Vec<_> = (offset..offset + len)
                    .map(|at| 0xf0 ^ key[at % 4])
                    .collect();
                assert_eq!(payload, expected, "{len} bytes at {offset}");
            }
        }
    }
}
