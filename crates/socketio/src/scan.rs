//! Checks in one pass that the text of a payload is JSON (RFC 8259), and finds the name and the arguments.
//!
//! The decoder calls it for every packet with a payload, so that all other code can rely on valid text. The scanner
//! keeps its nesting in a bit stack and never recurses. Its position is passed by value, so that it stays in a
//! register.

use std::borrow::Cow;

use memchr::memchr;
use wide::u8x16;

/// Deepest nesting of arrays and objects that is decoded or encoded, counting the array of arguments itself.
pub const MAX_DEPTH: usize = 512;

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// Not JSON, or not a payload of this type of packet.
    Invalid,
    /// Nested deeper than allowed.
    TooDeep,
}

/// Where the arguments are in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Offset of the first argument, or of the closing bracket if there is none.
    pub(crate) start: usize,
    /// How many there are.
    pub(crate) count: usize,
    /// Offset after the closing bracket.
    pub(crate) end: usize,
}

/// The first element of an event's array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameSpan {
    /// Offset of its text, without quotes.
    pub(crate) start: usize,
    /// Offset after its text.
    pub(crate) end: usize,
    /// Whether the text contains escapes.
    pub(crate) escaped: bool,
}

/// Scans the payload of an event, `["name",…]`. The name is a string or a number.
pub(crate) fn scan_event(
    text: &[u8],
    at: usize,
    max_depth: usize,
) -> Result<(NameSpan, Arguments), ScanError> {
    let mut scanner = Scanner { text, at };
    scanner.expect(b'[')?;
    let mut nesting = Nesting::new(max_depth);
    nesting.push(Container::Array)?;
    scanner.skip_whitespace();
    let name = match scanner.peek() {
        Some(b'"') => {
            scanner.at += 1;
            let start = scanner.at;
            let escaped = scanner.string()?;
            NameSpan {
                start,
                end: scanner.at - 1,
                escaped,
            }
        }
        Some(b'-' | b'0'..=b'9') => {
            let start = scanner.at;
            scanner.at = scanner.number()?;
            NameSpan {
                start,
                end: scanner.at,
                escaped: false,
            }
        }
        _ => return Err(ScanError::Invalid),
    };
    scanner.skip_whitespace();
    let arguments = match scanner.next() {
        Some(b',') => {
            let start = scanner.at;
            let count = scanner.values(&mut nesting)?;
            Arguments {
                start,
                count,
                end: scanner.at,
            }
        }
        Some(b']') => Arguments {
            start: scanner.at - 1,
            count: 0,
            end: scanner.at,
        },
        _ => return Err(ScanError::Invalid),
    };
    scanner.finish()?;
    Ok((name, arguments))
}

/// Scans the payload of an event that consists only of strings without escapes: `["name","…"]`. This needs no nesting.
/// Returns `None` for all others, valid or not.
#[inline]
pub(crate) fn scan_strings(text: &[u8], at: usize) -> Option<(NameSpan, Arguments)> {
    let [b'[', b'"', ..] = text.get(at..)? else {
        return None;
    };
    let name_end = find_special(text, at + 2);
    let name = NameSpan {
        start: at + 2,
        end: name_end,
        escaped: false,
    };
    let [b'"', b',', b'"', ..] = text.get(name_end..)? else {
        return None;
    };
    let start = name_end + 2;
    let mut string = start;
    let mut count = 1;
    loop {
        let end = find_special(text, string + 1);
        match text.get(end..)? {
            [b'"', b']'] => {
                let end = text.len();
                return Some((name, Arguments { start, count, end }));
            }
            [b'"', b',', b'"', ..] => {
                string = end + 2;
                count += 1;
            }
            _ => return None,
        }
    }
}

/// Scans the payload of an acknowledgement, `[…]`.
pub(crate) fn scan_ack(text: &[u8], at: usize, max_depth: usize) -> Result<Arguments, ScanError> {
    let mut scanner = Scanner { text, at };
    scanner.expect(b'[')?;
    let mut nesting = Nesting::new(max_depth);
    nesting.push(Container::Array)?;
    let start = scanner.at;
    scanner.skip_whitespace();
    let arguments = if scanner.peek() == Some(b']') {
        scanner.at += 1;
        Arguments {
            start: scanner.at - 1,
            count: 0,
            end: scanner.at,
        }
    } else {
        let count = scanner.values(&mut nesting)?;
        Arguments {
            start,
            count,
            end: scanner.at,
        }
    };
    scanner.finish()?;
    Ok(arguments)
}

/// Scans one value and returns the offset after it. Only whitespace may follow.
pub(crate) fn scan_value(text: &[u8], at: usize, max_depth: usize) -> Result<usize, ScanError> {
    let mut scanner = Scanner { text, at };
    scanner.values(&mut Nesting::new(max_depth))?;
    let end = scanner.at;
    scanner.finish()?;
    Ok(end)
}

/// Returns the offset of the first `"`, `\` or control character from `at` on: the characters that end the plain part
/// of a JSON string and that must be escaped in one. Returns the length of `bytes` if there is none.
#[inline]
pub(crate) fn find_special(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (blocks, tail) = rest.as_chunks::<16>();
    let mut at = at;
    for block in blocks {
        let found = special_bytes(block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += 16;
    }
    let found = match bytes.last_chunk() {
        // The bytes in front of the tail were checked before.
        Some(block) => (special_bytes(block) >> (16 - tail.len())).trailing_zeros() as usize,
        None => {
            let found = tail.iter().position(|&byte| is_special(byte));
            found.unwrap_or(tail.len())
        }
    };
    at + found.min(tail.len())
}

/// Returns whether a byte ends the plain part of a JSON string.
#[inline]
pub(crate) fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Returns which bytes of a block are special: bit 0 for the first one.
#[inline]
fn special_bytes(block: &[u8; 16]) -> u32 {
    let block = u8x16::new(*block);
    let control = block.simd_eq(block.min(u8x16::splat(0x1f)));
    let quote = block.simd_eq(u8x16::splat(b'"'));
    let backslash = block.simd_eq(u8x16::splat(b'\\'));
    (control | quote | backslash).to_bitmask()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// The open arrays and objects.
struct Nesting {
    /// The innermost ones, one bit each, which is set for an object. The lowest bit is the innermost one.
    objects: u64,
    /// Those around them, 64 per number. Usually empty.
    outer: Vec<u64>,
    depth: usize,
    max_depth: usize,
}

impl Nesting {
    #[inline]
    fn new(max_depth: usize) -> Self {
        Self {
            objects: 0,
            outer: Vec::new(),
            depth: 0,
            max_depth: max_depth.min(MAX_DEPTH),
        }
    }

    #[inline]
    fn push(&mut self, container: Container) -> Result<(), ScanError> {
        if self.depth >= self.max_depth {
            return Err(ScanError::TooDeep);
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.objects);
        }
        self.objects = self.objects << 1 | u64::from(container == Container::Object);
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
        if self.depth.is_multiple_of(64)
            && let Some(objects) = self.outer.pop()
        {
            self.objects = objects;
        }
    }

    #[inline]
    fn innermost(&self) -> Option<Container> {
        (self.depth > 0).then_some(if self.objects & 1 == 1 {
            Container::Object
        } else {
            Container::Array
        })
    }
}

#[derive(Clone, Copy)]
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// Scans values from the beginning of one until everything in `nesting` is closed. Returns how many values there
    /// were at depth 1.
    #[inline]
    fn values(&mut self, nesting: &mut Nesting) -> Result<usize, ScanError> {
        let mut count = 1;
        'value: loop {
            self.skip_whitespace();
            match self.next().ok_or(ScanError::Invalid)? {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    nesting.push(Container::Object)?;
                    self.skip_whitespace();
                    match self.next() {
                        Some(b'"') => {
                            self.key()?;
                            continue 'value;
                        }
                        Some(b'}') => nesting.pop(),
                        _ => return Err(ScanError::Invalid),
                    }
                }
                b'[' => {
                    nesting.push(Container::Array)?;
                    self.skip_whitespace();
                    if self.peek() != Some(b']') {
                        continue 'value;
                    }
                    self.at += 1;
                    nesting.pop();
                }
                b'-' | b'0'..=b'9' => {
                    self.at -= 1;
                    self.at = self.number()?;
                }
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                b'n' => self.literal(b"ull")?,
                _ => return Err(ScanError::Invalid),
            }
            // After a value.
            while let Some(container) = nesting.innermost() {
                self.skip_whitespace();
                match (self.next(), container) {
                    (Some(b','), Container::Array) => {
                        count += usize::from(nesting.depth == 1);
                        continue 'value;
                    }
                    (Some(b','), Container::Object) => {
                        self.skip_whitespace();
                        self.expect(b'"')?;
                        self.key()?;
                        continue 'value;
                    }
                    (Some(b']'), Container::Array) | (Some(b'}'), Container::Object) => {
                        nesting.pop();
                    }
                    _ => return Err(ScanError::Invalid),
                }
            }
            return Ok(count);
        }
    }

    /// Scans the rest of a key after its opening quote, and the colon.
    #[inline]
    fn key(&mut self) -> Result<(), ScanError> {
        self.string()?;
        self.skip_whitespace();
        self.expect(b':')
    }

    /// Scans the rest of a string after its opening quote. Returns whether it contains escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, ScanError> {
        let end = find_special(self.text, self.at);
        let is_plain = self.text.get(end) == Some(&b'"');
        self.at = if is_plain {
            end + 1
        } else {
            self.escaped_string()?
        };
        Ok(!is_plain)
    }

    /// Returns the offset after the closing quote.
    #[inline(never)]
    fn escaped_string(mut self) -> Result<usize, ScanError> {
        loop {
            self.at = find_special(self.text, self.at);
            match self.next() {
                Some(b'"') => return Ok(self.at),
                Some(b'\\') => self.escape()?,
                _ => return Err(ScanError::Invalid),
            }
        }
    }

    /// Scans the rest of an escape after its backslash. Lone surrogates are allowed, as in JavaScript.
    fn escape(&mut self) -> Result<(), ScanError> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self
                    .text
                    .get(self.at..self.at + 4)
                    .ok_or(ScanError::Invalid)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) {
                    Ok(())
                } else {
                    Err(ScanError::Invalid)
                }
            }
            _ => Err(ScanError::Invalid),
        }
    }

    /// Scans a number of any size from its first byte on. Returns the offset after it.
    #[inline(never)]
    fn number(mut self) -> Result<usize, ScanError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(ScanError::Invalid),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.at)
    }

    /// Scans one or more digits.
    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        self.skip_digits();
        if self.at > start {
            Ok(())
        } else {
            Err(ScanError::Invalid)
        }
    }

    fn skip_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn literal(&mut self, rest: &[u8]) -> Result<(), ScanError> {
        if !self
            .text
            .get(self.at..)
            .is_some_and(|text| text.starts_with(rest))
        {
            return Err(ScanError::Invalid);
        }
        self.at += rest.len();
        Ok(())
    }

    /// Checks that only whitespace follows.
    fn finish(&mut self) -> Result<(), ScanError> {
        self.skip_whitespace();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(ScanError::Invalid)
        }
    }

    #[inline]
    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.next() == Some(byte) {
            Ok(())
        } else {
            Err(ScanError::Invalid)
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// A token of valid JSON text, without commas and colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `[`
    Array,
    /// `{`
    Object,
    /// `]` or `}`
    Close,
    /// The text of a string between its quotes, escapes untouched.
    String(&'a [u8]),
    /// A number, `true`, `false` or `null`.
    Scalar(&'a [u8]),
}

/// Splits text that was scanned before. The tokens of invalid text are unspecified.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the text after the last token.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Returns the first byte of the next token.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' = self.text.get(self.at)? {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Skips `bytes` bytes.
    pub(crate) fn jump(&mut self, bytes: usize) {
        self.at += bytes;
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let first = self.peek()?;
        let start = self.at;
        self.at += 1;
        Some(match first {
            b'[' => Token::Array,
            b'{' => Token::Object,
            b']' | b'}' => Token::Close,
            b'"' => {
                loop {
                    self.at = find_special(self.text, self.at);
                    match self.text.get(self.at)? {
                        b'"' => break,
                        _ => self.at += 2,
                    }
                }
                self.at += 1;
                Token::String(self.text.get(start + 1..self.at - 1)?)
            }
            _ => {
                let ends =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                let bytes = self.text.get(start..)?;
                let length = bytes.iter().position(ends).unwrap_or(bytes.len());
                self.at = start + length;
                Token::Scalar(bytes.get(..length)?)
            }
        })
    }
}

/// Unescapes the text between the quotes of a string in valid JSON. Half a surrogate pair, which JavaScript allows and
/// Rust does not, becomes U+FFFD.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut escape = escape.chars();
        let character = match escape.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (character, behind) = unescape_unit(escape.as_str());
                escape = behind.chars();
                character
            }
            Some(other) => other,
            None => break,
        };
        out.push(character);
        rest = escape.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns the character whose escape continues with `text`, after `\u`, and the text after it.
fn unescape_unit(text: &str) -> (char, &str) {
    let (unit, rest) = hex_digits(text);
    if (0xd800..0xdc00).contains(&unit)
        && let Some(second) = rest.strip_prefix("\\u")
        && let (low @ 0xdc00..=0xdfff, behind) = hex_digits(second)
    {
        let pair = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(pair).unwrap_or_default(), behind);
    }
    let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
    (character, rest)
}

/// Parses four hexadecimal digits. Returns the number and the text after them.
fn hex_digits(text: &str) -> (u32, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or_default();
    (u32::from_str_radix(digits, 16).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_valid(text: &str) -> bool {
        scan_value(text.as_bytes(), 0, MAX_DEPTH).is_ok()
    }

    /// The reference for the scanner, except for numbers out of range and lone surrogates.
    fn is_json(text: &str) -> bool {
        let mut json = serde_json::Deserializer::from_str(text);
        json.disable_recursion_limit();
        serde::de::IgnoredAny::deserialize(&mut json).is_ok() && json.end().is_ok()
    }

    use serde::Deserialize;

    #[test]
    fn json_is_rfc_8259() {
        for text in [
            "0",
            "-0",
            "1.5e+10",
            "1E-2",
            "\"\"",
            "\"\\u00e9\\n\\/\"",
            "[]",
            "{}",
            " [ 1 , 2 ] ",
            "{\"a\":{\"b\":[]}}",
            "true",
            "false",
            "null",
            "\"\u{7f}\"",
            "{\"a\":1,\"a\":2}",
            "\"\\ud800\"",
            "[[],{},[{}]]",
        ] {
            assert!(is_valid(text), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "1e+",
            "-",
            "--1",
            "0x1",
            "NaN",
            "Infinity",
            "-Infinity",
            "nul",
            "True",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[",
            "]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{,}",
            "[}",
            "{]",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\u{1f}\"",
            "'a'",
            "1 1",
            "[]x",
            "undefined",
        ] {
            assert!(!is_valid(text), "{text}");
        }
    }

    #[test]
    fn numbers_are_valid_whatever_their_size() {
        for text in [
            "1e99999",
            "-1e309",
            "1.8e308",
            "123456789.0e304",
            "1e-99999",
        ] {
            assert!(is_valid(text), "{text}");
        }
        assert!(is_valid(&"9".repeat(5000)));
        assert!(is_valid(&format!(
            "-{}.5E+{}",
            "9".repeat(400),
            "9".repeat(400)
        )));
    }

    #[test]
    fn nesting_is_counted_and_never_recursed() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| "{\"a\":".repeat(depth - 1) + "{}" + &"}".repeat(depth - 1);
        for text in [nested(512), objects(512)] {
            assert!(is_valid(&text));
        }
        for text in [
            nested(513),
            objects(513),
            nested(100_000),
            "[".repeat(1_000_000),
            "{\"\":[".repeat(500_000),
        ] {
            assert_eq!(
                scan_value(text.as_bytes(), 0, usize::MAX),
                Err(ScanError::TooDeep)
            );
        }
        assert_eq!(scan_value(b"[[]]", 0, 1), Err(ScanError::TooDeep));
    }

    #[test]
    fn every_level_is_closed_as_it_was_opened() {
        for depth in [63, 64, 65, 127, 128, 129, 200] {
            let is_object = |level: usize| level * level % 7 < 3;
            let opened: String = (0..depth)
                .map(|level| if is_object(level) { "{\"a\":" } else { "[" })
                .collect();
            let closed = |wrong: Option<usize>| -> String {
                let close = |level| is_object(level) != (wrong == Some(level));
                (0..depth)
                    .rev()
                    .map(|level| if close(level) { '}' } else { ']' })
                    .collect()
            };
            assert!(is_valid(&format!("{opened}1{}", closed(None))), "{depth}");
            for level in 0..depth {
                let text = format!("{opened}1{}", closed(Some(level)));
                assert!(!is_valid(&text), "{depth}, {level}");
            }
        }
    }

    #[test]
    fn arguments_are_located_and_counted() {
        let event = |text: &str| {
            scan_event(text.as_bytes(), 0, MAX_DEPTH)
                .map(|(_, args)| (args.start, args.count, args.end))
        };
        assert_eq!(event(r#"["a"]"#), Ok((4, 0, 5)));
        assert_eq!(event(r#"["a",1,[2,3],{"b":4,"c":5}]"#), Ok((5, 3, 27)));
        assert_eq!(event("[ \"a\" , 1 ] \n"), Ok((7, 1, 11)));
        let ack = |text: &str| {
            scan_ack(text.as_bytes(), 0, MAX_DEPTH).map(|args| (args.start, args.count, args.end))
        };
        assert_eq!(ack("[]"), Ok((1, 0, 2)));
        assert_eq!(ack("[ ]"), Ok((2, 0, 3)));
        assert_eq!(ack("[1,[2,3]]"), Ok((1, 2, 9)));
    }

    #[test]
    fn special_bytes_are_found_at_every_offset() {
        for length in 0..70 {
            let plain = vec![b'a'; length];
            assert_eq!(find_special(&plain, 0), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0, 0x1f] {
                    let mut bytes = plain.clone();
                    bytes[at] = special;
                    assert_eq!(find_special(&bytes, 0), at);
                    assert_eq!(find_special(&bytes, at + 1), length);
                }
                for plain_byte in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut bytes = plain.clone();
                    bytes[at] = plain_byte;
                    assert_eq!(find_special(&bytes, 0), length);
                }
            }
        }
    }

    #[test]
    fn tokens_follow_the_text() {
        let tokens: Vec<_> = Tokens::new(br#" {"a\"":[1, true,"x"]} "#).collect();
        assert_eq!(
            tokens,
            [
                Token::Object,
                Token::String(br#"a\""#),
                Token::Array,
                Token::Scalar(b"1"),
                Token::Scalar(b"true"),
                Token::String(b"x"),
                Token::Close,
                Token::Close
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn scanner_agrees_with_serde_json_on_json_like_text(text in r#"([\[\]{},: ]|"[a\\"u0-9]*"|"[a-c]*"|true|null|-?[0-9.eE+-]{1,6}){0,12}"#) {
            prop_assert_eq!(is_valid(&text), is_json(&text));
        }

        #[test]
        fn scanner_agrees_with_serde_json_on_any_text(text in "\\PC{0,40}") {
            prop_assert_eq!(is_valid(&text), is_json(&text));
        }

        #[test]
        fn scanner_agrees_with_serde_json_on_arbitrary_strings(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert!(is_valid(&json));
            let broken = format!("\"{text}\"");
            prop_assert_eq!(is_valid(&broken), is_json(&broken));
        }
    }
}
