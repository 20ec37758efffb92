//! Escapes text from peers, so that it cannot forge a line, colour the terminal or change the direction of writing.

use std::fmt::Write;

use kokanee::Args;

/// Maximum number of characters shown of a name, or of all arguments of an event.
pub(crate) const MAX_SHOWN: usize = 128;

/// Returns whether a character must be escaped: control characters, invisible characters, line separators and those that
/// change the direction of writing. The joiner within emoji is not escaped.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200c}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A line of limited length, to which characters are added escaped.
struct Shown {
    text: String,
    left: usize,
}

impl Shown {
    fn new() -> Self {
        Self {
            text: String::new(),
            left: MAX_SHOWN,
        }
    }

    /// Adds one character. Returns `false` if the limit is reached.
    fn push(&mut self, c: char) -> bool {
        if self.left == 0 {
            self.text.push('…');
            return false;
        }
        self.left -= 1;
        if is_unsafe(c) {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "\\u{{{:x}}}", u32::from(c));
        } else {
            self.text.push(c);
        }
        true
    }
}

/// Escapes text of a peer, and cuts it after [`MAX_SHOWN`] characters.
pub(crate) fn text(text: &str) -> String {
    let mut shown = Shown::new();
    let _ = text.chars().all(|c| shown.push(c));
    shown.text
}

/// Escapes the name of an event. Puts it in quotes if it could be mistaken for something else.
pub(crate) fn name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-:./@".contains(c);
    let words = name.split(' ');
    if words
        .clone()
        .all(|word| !word.is_empty() && word.chars().all(plain))
    {
        return text(name);
    }
    format!(
        "\"{}\"",
        text(&name.replace('\\', "\\\\").replace('"', "\\\""))
    )
}

/// Escapes the program's own text, which may contain text of peers. Line ends are kept.
pub(crate) fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) && c != '\n' {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Escapes unsafe characters in JSON with JSON's own escapes. Outside of strings it replaces whitespace.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() && c != '\u{7f}' {
            safe.push(' ');
        } else if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Formats arguments as JSON, separated by `, `, with `<3 bytes>` for binary data, cut after [`MAX_SHOWN`] characters. It
/// reads no more of the arguments than it shows.
pub(crate) fn args(args: &Args) -> String {
    const PLACEHOLDER: &str = "{\"_placeholder\":true,\"num\":";
    let mut shown = Shown::new();
    let mut rest = args.json();
    let mut depth = 0_usize;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let mut len = c.len_utf8();
        let fits = match c {
            // A quote after a backslash does not end the string.
            '\\' if in_string => {
                let escaped = rest[1..].chars().next();
                len += escaped.map_or(0, char::len_utf8);
                shown.push(c) && escaped.is_none_or(|escaped| shown.push(escaped))
            }
            '"' => {
                in_string = !in_string;
                shown.push(c)
            }
            _ if in_string => shown.push(c),
            ',' if depth == 0 => shown.push(',') && shown.push(' '),
            _ if c.is_whitespace() => true,
            _ => {
                // Within a string the quotes would be escaped, so this is a real placeholder.
                if let Some((bytes, end)) = rest
                    .strip_prefix(PLACEHOLDER)
                    .and_then(|num| binary(args, num))
                {
                    len = PLACEHOLDER.len() + end;
                    bytes.chars().all(|c| shown.push(c))
                } else {
                    match c {
                        '[' | '{' => depth += 1,
                        ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    shown.push(c)
                }
            }
        };
        if !fits {
            break;
        }
        rest = &rest[len..];
    }
    shown.text
}

/// Describes the attachment of a placeholder, of which `num` is the rest, and returns how long that rest is.
fn binary(args: &Args, num: &str) -> Option<(String, usize)> {
    let (digits, _) = num.split_once('}')?;
    let attachment = args.attachments().get(digits.parse::<usize>().ok()?)?;
    Some((format!("<{} bytes>", attachment.len()), digits.len() + 1))
}

#[cfg(test)]
mod tests {
    use kokanee::bytes::Bytes;

    use super::*;

    fn shown<T: serde::Serialize>(value: T) -> String {
        args(&Args::from_serialize(&value).expect("it can be encoded"))
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(text("\u{1b}[31mred"), r"\u{1b}[31mred");
        assert_eq!(text("\u{9b}31mred"), r"\u{9b}31mred");
        assert_eq!(name("\u{1b}]0;title\u{7}"), r#""\u{1b}]0;title\u{7}""#);
        assert_eq!(shown("\u{1b}[2J"), r#""\u001b[2J""#);
        assert_eq!(shown("\u{9b}2J\u{7f}"), r#""\u{9b}2J\u{7f}""#);
    }

    #[test]
    fn a_line_stays_one_line() {
        for breaking in [
            "a\nb",
            "a\r\nb",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "a\u{b}b",
            "a\u{c}b",
        ] {
            let all = [
                text(breaking),
                name(breaking),
                shown(breaking),
                json(&format!("\"{breaking}\"")),
            ]
            .concat();
            assert!(all.chars().all(|c| !is_unsafe(c)), "{all:?}");
        }
    }

    #[test]
    fn the_writing_is_not_turned_around() {
        assert_eq!(text("user\u{202e}txt.exe"), r"user\u{202e}txt.exe");
        assert_eq!(shown("\u{2066}x\u{2069}"), r#""\u{2066}x\u{2069}""#);
        assert_eq!(json("\"\u{202e}\u{e0041}\""), r#""\u202e\udb40\udc41""#);
    }

    #[test]
    fn shown_text_has_at_most_128_characters() {
        let long = "ä".repeat(10_000);
        assert_eq!(text(&long).chars().count(), MAX_SHOWN + 1);
        assert_eq!(shown(&long).chars().count(), MAX_SHOWN + 1);
        assert!(shown(&long).ends_with("ä…"));
        assert!(shown(vec![0; 10_000]).ends_with('…'));
        assert_eq!(text(&"x".repeat(MAX_SHOWN)), "x".repeat(MAX_SHOWN));
    }

    #[test]
    fn a_name_that_looks_like_something_else_is_quoted() {
        assert_eq!(name("chat message"), "chat message");
        assert_eq!(name("größe:1"), "größe:1");
        assert_eq!(name("echo \"x\""), r#""echo \"x\"""#);
        assert_eq!(name(" "), r#"" ""#);
        assert_eq!(name("a  b"), r#""a  b""#);
        assert_eq!(name(""), r#""""#);
        assert_eq!(name("a\\"), r#""a\\""#);
    }

    #[test]
    fn binary_data_is_its_size() {
        let bytes = Bytes::from_static(b"abc");
        assert_eq!(
            shown(("a,b", &bytes, [&bytes])),
            r#""a,b", <3 bytes>, [<3 bytes>]"#
        );
        assert_eq!(
            shown((r#"{"_placeholder":true,"num":0}"#, &bytes)),
            r#""{\"_placeholder\":true,\"num\":0}", <3 bytes>"#
        );
    }

    #[test]
    fn arguments_are_separated_and_their_parts_are_not() {
        assert_eq!(shown((1, [2, 3], "a\\\",b")), r#"1, [2,3], "a\\\",b""#);
        assert_eq!(shown(()), "");
    }

    #[test]
    fn json_lines_have_no_line_breaks() {
        assert_eq!(json("{\n\"a\":\t\"\u{7f}\"}"), "{ \"a\": \"\\u007f\"}");
    }
}
