//! Formats JSON for a terminal: on one line if it is short, otherwise indented; escaped, and coloured on request.

use std::fmt::Write;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::{escape, paint::Paint, value::BINARY_KEY};

/// Characters of one line.
const WIDTH: usize = 88;
/// Maximum number of bytes shown of binary data.
const SHOWN_BYTES: usize = 12;

/// Formats a count with its noun.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

/// Formats a value on one line if that fits into the width after `indent`, otherwise on several lines; all except the first
/// are indented.
pub(crate) fn pretty(value: &Value, indent: usize, paint: Paint) -> String {
    let mut text = String::new();
    write_value(&mut text, value, indent, paint);
    text
}

/// Formats a value on one line.
pub(crate) fn compact(value: &Value, paint: Paint) -> String {
    let mut text = String::new();
    write_line(&mut text, value, paint);
    text
}

/// Wraps a line between words. If the line has two columns, separated by two spaces, the lines are indented to the second
/// one.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let first = text.find("  ").unwrap_or(0);
    let rest = &text[first..];
    let indent = text[..first].width() + rest.len() - rest.trim_start().len();
    let indent = if first > 0 && indent <= width / 2 {
        indent
    } else {
        0
    };
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in text.split_inclusive(' ') {
        if line.width() + piece.trim_end().width() > width && !line.trim().is_empty() {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(indent);
        }
        line.push_str(piece);
    }
    lines.push(line.trim_end().to_owned());
    lines
}

fn write_value(text: &mut String, value: &Value, indent: usize, paint: Paint) {
    if indent + compact(value, Paint(false)).chars().count() <= WIDTH {
        return write_line(text, value, paint);
    }
    let inner = indent + 2;
    let pad = " ".repeat(inner);
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { ",\n" } else { "\n" });
                text.push_str(&pad);
                write_value(text, element, inner, paint);
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}]", " ".repeat(indent));
        }
        Value::Object(members) if !members.is_empty() && bytes_of(value).is_none() => {
            text.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                text.push_str(if index > 0 { ",\n" } else { "\n" });
                text.push_str(&pad);
                text.push_str(&paint.blue(&string(key)));
                text.push_str(": ");
                write_value(text, member, inner, paint);
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}}}", " ".repeat(indent));
        }
        other => write_line(text, other, paint),
    }
}

fn write_line(text: &mut String, value: &Value, paint: Paint) {
    if let Some(bytes) = bytes_of(value) {
        return text.push_str(&paint.magenta(&describe_bytes(&bytes)));
    }
    match value {
        Value::String(content) => text.push_str(&paint.green(&string(content))),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                write_line(text, element, paint);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                text.push_str(&paint.blue(&string(key)));
                text.push_str(": ");
                write_line(text, member, paint);
            }
            text.push('}');
        }
        Value::Number(number) => text.push_str(&paint.yellow(&number.to_string())),
        other => text.push_str(&paint.cyan(&other.to_string())),
    }
}

fn string(content: &str) -> String {
    escape::json(&Value::from(content).to_string())
}

/// Returns the binary data that an object represents.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let base64 = members.get(BINARY_KEY)?.as_str()?;
    base64_simd::STANDARD.decode_to_vec(base64).ok()
}

/// Describes binary data: its length, and its first bytes.
pub(crate) fn describe_bytes(bytes: &[u8]) -> String {
    let mut text = format!("<{} bytes", bytes.len());
    for (index, byte) in bytes.iter().take(SHOWN_BYTES).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{byte:02x}", if index > 0 { " " } else { ": " });
    }
    text.push_str(if bytes.len() > SHOWN_BYTES {
        " …>"
    } else {
        ">"
    });
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_broken_between_words() {
        assert_eq!(wrap("one two three", 80), ["one two three"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("一二 三四 五", 5), ["一二", "三四", "五"]);
        assert_eq!(
            wrap("/ns    joins a namespace", 16),
            ["/ns    joins a", "       namespace"]
        );
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn what_is_short_stays_on_a_line() {
        let value = json!({ "a": [1, null, true], "b": { "_binary": "AQID" } });
        assert_eq!(
            pretty(&value, 0, Paint(false)),
            r#"{"a": [1, null, true], "b": <3 bytes: 01 02 03>}"#
        );
    }

    #[test]
    fn what_is_long_is_indented() {
        let long = "x".repeat(80);
        let value = json!([{ "a": long, "b": {} }, 1]);
        assert_eq!(
            pretty(&value, 1, Paint(false)),
            format!("[\n   {{\n     \"a\": \"{long}\",\n     \"b\": {{}}\n   }},\n   1\n ]")
        );
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let value = json!({ "\u{1b}[2J": "\u{202e}\u{9b}x\u{7f}" });
        let shown = compact(&value, Paint(false));
        assert_eq!(shown, r#"{"\u001b[2J": "\u202e\u009bx\u007f"}"#);
    }
}
