//! The text of a message that arrives in parts, checked as it arrives.

use crate::{error::DecodeError, growth::growth};

/// Text received so far: valid UTF-8 and up to three bytes of a split code point.
#[derive(Debug, Default)]
pub(crate) struct TextBuffer {
    text: String,
    // Invariant: between calls, `split[..split_len]` begins a code point and does not end it.
    split: [u8; 4],
    split_len: u8,
}

impl TextBuffer {
    /// Appends the next bytes of a message that will have at most `bound` bytes.
    ///
    /// # Errors
    /// [`DecodeError::InvalidUtf8`] at the first byte that cannot be part of valid UTF-8.
    pub(crate) fn push(&mut self, part: &[u8], bound: usize) -> Result<(), DecodeError> {
        let part = self.finish_split_code_point(part)?;
        let more = growth(self.text.len(), self.text.capacity(), part.len(), bound);
        self.text.reserve_exact(more);
        match simdutf8::basic::from_utf8(part) {
            Ok(text) => {
                self.text.push_str(text);
                Ok(())
            }
            Err(_) => self.push_up_to_split_code_point(part),
        }
    }

    /// Checks that the text does not end within a code point.
    ///
    /// # Errors
    /// [`DecodeError::InvalidUtf8`] where that code point starts.
    pub(crate) fn check_end(&self) -> Result<(), DecodeError> {
        match self.split_len {
            0 => Ok(()),
            _ => Err(self.invalid_here()),
        }
    }

    /// Checks the text of a complete message.
    ///
    /// # Errors
    /// [`DecodeError::InvalidUtf8`] at the first byte that cannot be part of valid UTF-8.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self {
                text,
                ..Self::default()
            }),
            Err(error) => Err(DecodeError::InvalidUtf8 {
                offset: error.utf8_error().valid_up_to(),
            }),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Takes the rest of the split code point from the front of `part` and returns what follows.
    fn finish_split_code_point<'p>(&mut self, part: &'p [u8]) -> Result<&'p [u8], DecodeError> {
        let mut rest = part;
        while self.split_len > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                break;
            };
            rest = after;
            self.split[usize::from(self.split_len)] = byte;
            self.split_len += 1;
            match str::from_utf8(&self.split[..usize::from(self.split_len)]) {
                Ok(code_point) => {
                    self.text.push_str(code_point);
                    self.split_len = 0;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(self.invalid_here()),
            }
        }
        Ok(rest)
    }

    /// Appends `part`, which is not valid by itself: it ends within a code point, or is invalid.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the begun code point has three bytes at most"
    )]
    fn push_up_to_split_code_point(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        let Some(chunk) = part.utf8_chunks().next() else {
            return Ok(());
        };
        self.text.push_str(chunk.valid());
        let split = chunk.invalid();
        let is_last = chunk.valid().len() + split.len() == part.len();
        let is_begun = str::from_utf8(split).is_err_and(|error| error.error_len().is_none());
        if !(is_last && is_begun) {
            return Err(self.invalid_here());
        }
        self.split[..split.len()].copy_from_slice(split);
        self.split_len = split.len() as u8;
        Ok(())
    }

    fn invalid_here(&self) -> DecodeError {
        DecodeError::InvalidUtf8 {
            offset: self.text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push_bytes(bytes: &[u8]) -> (TextBuffer, Result<(), DecodeError>) {
        let mut buffer = TextBuffer::default();
        let result = bytes
            .iter()
            .try_for_each(|&byte| buffer.push(&[byte], bytes.len()));
        (buffer, result)
    }

    #[test]
    fn code_point_may_be_split_anywhere() {
        let text = "a¢€𤭢z";
        for at in 0..=text.len() {
            let (front, back) = text.as_bytes().split_at(at);
            let mut buffer = TextBuffer::default();
            buffer.push(front, text.len()).unwrap();
            buffer.push(back, text.len()).unwrap();
            buffer.check_end().unwrap();
            assert_eq!(buffer.as_str(), text);
        }
        let (buffer, result) = push_bytes(text.as_bytes());
        assert_eq!((buffer.as_str(), result), (text, Ok(())));
    }

    #[test]
    fn bad_byte_is_an_error_before_its_code_point_is_complete() {
        let (_, result) = push_bytes(b"ok\xf4\x90");
        assert_eq!(result, Err(DecodeError::InvalidUtf8 { offset: 2 }));
        let whole = TextBuffer::default().push(b"ok\xf4\x90", 9);
        assert_eq!(whole, Err(DecodeError::InvalidUtf8 { offset: 2 }));
    }

    #[test]
    fn begun_code_point_followed_by_text_is_an_error() {
        let mut buffer = TextBuffer::default();
        assert_eq!(
            buffer.push(b"\xe2\x82A", 3),
            Err(DecodeError::InvalidUtf8 { offset: 0 })
        );
    }

    #[test]
    fn end_within_a_code_point_is_an_error() {
        let (buffer, result) = push_bytes(b"abc\xe2\x82");
        assert_eq!(result, Ok(()));
        assert_eq!(
            buffer.check_end(),
            Err(DecodeError::InvalidUtf8 { offset: 3 })
        );
    }
}
