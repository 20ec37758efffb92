//! The binary values of a packet, and the placeholders for them in its text: `{"_placeholder":true,"num":n}` for
//! attachment `n`.
//!
//! Spec: Socket.IO protocol v5, "Packet encoding".

use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

/// The bytes among the arguments of one packet, in the order of their placeholders. `None` if there are none.
pub type Attachments = Option<Arc<[Bytes]>>;

/// Makes attachments shareable.
#[inline]
pub(crate) fn shared(attachments: Vec<Bytes>) -> Attachments {
    (!attachments.is_empty()).then(|| attachments.into())
}

/// The text in front of the number of a placeholder.
pub(crate) const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":"#;

/// Returns the number and the length in bytes of the canonical placeholder at the beginning of `text`, if there is one.
pub(crate) fn canonical_placeholder(text: &[u8]) -> Option<(usize, usize)> {
    let rest = text.strip_prefix(PLACEHOLDER.as_bytes())?;
    // Longer numbers are not canonical, and exceed every limit.
    let digits = rest
        .iter()
        .take(9)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let num = std::str::from_utf8(rest.get(..digits)?)
        .ok()?
        .parse()
        .ok()?;
    (rest.get(digits) == Some(&b'}')).then_some((num, PLACEHOLDER.len() + digits + 1))
}

/// Returns how many placeholders `text` contains, in the form that Kokanee's encoder writes.
pub(crate) fn count_placeholders(text: &[u8]) -> usize {
    memmem::find_iter(text, br#""_placeholder":true"#)
        .filter(|&at| at == 0 || text.get(at - 1) != Some(&b'\\'))
        .count()
}
