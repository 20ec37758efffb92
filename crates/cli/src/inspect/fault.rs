//! An error in the input, and how it is shown.

use serde::{Serialize, Serializer, ser::SerializeStruct};
use unicode_width::UnicodeWidthStr;

use crate::{escape, paint::Paint};

/// Characters of text shown on either side of the error.
const SHOWN: usize = 40;
/// Bytes in a row of a hex dump.
const ROW: usize = 16;

/// An error in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Offset in bytes from the start of the input or line. For errors within decoded data (base64, fragments, compression)
    /// it is the offset of the encoded data.
    pub(crate) offset: usize,
    pub(crate) reason: String,
    /// The bytes that contain the error.
    pub(crate) context: Vec<u8>,
    /// Offset in the context.
    pub(crate) at: usize,
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fault = serializer.serialize_struct("Fault", 2)?;
        fault.serialize_field("offset", &self.offset)?;
        fault.serialize_field("reason", &self.reason)?;
        fault.end()
    }
}

impl Fault {
    /// Returns a fault at byte `at` of `context`, which starts at byte `start` of the input.
    pub(crate) fn new(reason: impl Into<String>, context: &[u8], at: usize, start: usize) -> Self {
        Self {
            offset: start + at,
            reason: reason.into(),
            context: context.to_vec(),
            at: at.min(context.len()),
        }
    }

    /// Formats the error as text: the reason, the position, and an excerpt with a pointer.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let head = format!(
            "{} at byte {}: {}",
            paint.red("error"),
            self.offset,
            escape::lines(&self.reason)
        );
        let (shown, column) = match str::from_utf8(&self.context) {
            Ok(text) if is_text(text) => excerpt(text, self.at),
            _ => hex_row(&self.context, self.at),
        };
        let pointer = format!("{}{}", " ".repeat(column), paint.red("^"));
        vec![head, format!("  {shown}"), format!("  {pointer}")]
    }
}

/// Returns whether text can be shown as text instead of bytes.
fn is_text(text: &str) -> bool {
    text.chars()
        .all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{1e}'))
}

/// Returns the text around byte `at`, and the column of that byte in it.
fn excerpt(text: &str, at: usize) -> (String, usize) {
    let at = (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    let (before, after) = text.split_at(at);
    let skipped = before.chars().count().saturating_sub(SHOWN);
    let mut shown = String::new();
    if skipped > 0 {
        shown.push('…');
    }
    shown.push_str(&safe(before.chars().skip(skipped)));
    let column = shown.width();
    let mut rest = after.chars();
    shown.push_str(&safe(rest.by_ref().take(SHOWN)));
    if rest.next().is_some() {
        shown.push('…');
    }
    (shown, column)
}

fn safe(characters: impl Iterator<Item = char>) -> String {
    let text: String = characters.collect();
    escape::lines(&text).replace('\n', "\\u{a}")
}

/// Returns the row of a hex dump with byte `at`, and the column of that byte in it.
fn hex_row(bytes: &[u8], at: usize) -> (String, usize) {
    let start = at / ROW * ROW;
    let start = if start == bytes.len() {
        start.saturating_sub(ROW)
    } else {
        start
    };
    let row = bytes.get(start..).unwrap_or_default();
    let hex: Vec<_> = row
        .iter()
        .take(ROW)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let label = format!("{start:04x}  ");
    let column = label.len() + 3 * (at - start);
    (label + &hex.join(" "), column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reason: &str, context: &[u8], at: usize) -> String {
        Fault::new(reason, context, at, 0)
            .lines(Paint(false))
            .join("\n")
    }

    #[test]
    fn the_pointer_is_below_the_byte() {
        assert_eq!(
            lines("no", br#"2["a",}]"#, 6),
            "error at byte 6: no\n  2[\"a\",}]\n        ^"
        );
    }

    #[test]
    fn wide_and_escaped_characters_take_their_room() {
        assert_eq!(
            lines("no", "鮭\u{1e}x".as_bytes(), 4),
            "error at byte 4: no\n  鮭\\u{1e}x\n          ^"
        );
    }

    #[test]
    fn a_long_text_is_cut_around_the_fault() {
        let text = "a".repeat(100) + "b" + &"c".repeat(100);
        let shown = lines("no", text.as_bytes(), 100);
        let rows: Vec<_> = shown.lines().collect();
        assert_eq!(
            rows[1],
            format!("  …{}b{}…", "a".repeat(40), "c".repeat(39))
        );
        assert_eq!(rows[2].find('^'), Some(2 + 1 + 40));
    }

    #[test]
    fn bytes_are_shown_as_a_row_of_hex() {
        let bytes: Vec<u8> = (0..40).map(|byte| byte | 0x80).collect();
        assert_eq!(
            lines("no", &bytes, 17),
            "error at byte 17: no\n  0010  90 91 92 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f\n           ^"
        );
        assert!(lines("no", &bytes[..16], 16).contains("0000  80"));
    }
}
