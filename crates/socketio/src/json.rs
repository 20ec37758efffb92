//! Deserialises any received JSON text: half a surrogate pair is U+FFFD, a number beyond a double is infinite, and a
//! placeholder is its attachment.
//!
//! `serde_json` does not support attachments and rejects the other two, which JavaScript reads and writes. It is
//! faster, so this module is used only for text that it has rejected. The text was scanned before: only the types are
//! checked here.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Error;

use crate::{
    attachments::canonical_placeholder,
    scan::{MAX_DEPTH, Token, Tokens, scan_value, unescape},
    value::Key,
};

/// Deserialises one JSON text that a peer has sent outside of arguments, such as its `auth`. It accepts the same JSON
/// as [`Args::deserialize`](crate::Args::deserialize).
///
/// # Errors
/// If the text is not JSON, or does not fit `T`.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).or_else(|error| {
        if error.is_syntax() && scan_value(text.as_bytes(), 0, MAX_DEPTH).is_ok() {
            T::deserialize(&mut Json::new(text, &[]))
        } else {
            Err(error)
        }
    })
}

/// A deserializer of the successive values in valid text.
#[derive(Debug)]
pub(crate) struct Json<'de> {
    tokens: Tokens<'de>,
    /// The attachments that placeholders refer to.
    attachments: &'de [Bytes],
}

impl<'de> Json<'de> {
    pub(crate) fn new(text: &'de str, attachments: &'de [Bytes]) -> Self {
        Self {
            tokens: Tokens::new(text.as_bytes()),
            attachments,
        }
    }

    /// Takes a placeholder, if one comes next, and returns its attachment.
    fn take_attachment(&mut self) -> Option<&'de Bytes> {
        if self.attachments.is_empty() || self.tokens.peek() != Some(b'{') {
            return None;
        }
        let (num, length) = canonical_placeholder(self.tokens.rest())?;
        self.tokens.jump(length);
        self.attachments.get(num)
    }

    /// Takes the end of an array or object.
    fn close(&mut self) -> Result<(), Error> {
        match self.tokens.next() {
            Some(Token::Close) => Ok(()),
            _ => Err(de::Error::custom("trailing elements")),
        }
    }

    /// Takes a number or a literal.
    fn scalar(&mut self) -> &'de str {
        match self.tokens.next() {
            Some(Token::Scalar(text)) => std::str::from_utf8(text).unwrap_or_default(),
            _ => "",
        }
    }

    fn string(&mut self) -> Cow<'de, str> {
        match self.tokens.next() {
            Some(Token::String(text)) => unescape(std::str::from_utf8(text).unwrap_or_default()),
            _ => Cow::default(),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Json<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(bytes) = self.take_attachment() {
            return visitor.visit_borrowed_bytes(bytes);
        }
        match self.tokens.peek() {
            Some(b'"') => match self.string() {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Some(b'[') => {
                self.tokens.next();
                let value = visitor.visit_seq(Elements(self))?;
                self.close()?;
                Ok(value)
            }
            Some(b'{') => {
                self.tokens.next();
                let value = visitor.visit_map(Members(self))?;
                self.close()?;
                Ok(value)
            }
            Some(_) => match self.scalar() {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => visit_number(number, visitor),
            },
            None => Err(de::Error::custom("missing value")),
        }
    }

    /// Accepts bytes as a sequence, so that `Vec<u8>` works.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.take_attachment() {
            Some(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tokens.peek() {
            Some(b'"') => visitor.visit_bytes(self.string().as_bytes()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tokens.peek() {
            Some(b'n') => {
                self.tokens.next();
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.tokens.peek() {
            Some(b'"') => visitor.visit_enum(self.string().into_deserializer()),
            Some(b'{') => {
                self.tokens.next();
                let value = visitor.visit_enum(MapAccessDeserializer::new(Members(self)))?;
                self.close()?;
                Ok(value)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar().parse() {
            Ok(number) => visitor.visit_i128(number),
            Err(error) => Err(de::Error::custom(error)),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar().parse() {
            Ok(number) => visitor.visit_u128(number),
            Err(error) => Err(de::Error::custom(error)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string unit unit_struct tuple_struct map struct identifier
        ignored_any
    }
}

/// Visits an integer if 64 bits suffice for it, otherwise a double, which is infinite if the number is too large.
fn visit_number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = text.parse() {
        return visitor.visit_u64(number);
    }
    match text.parse() {
        // -0 is a double.
        Ok(number @ ..0) => visitor.visit_i64(number),
        _ => visitor.visit_f64(text.parse().unwrap_or(f64::NAN)),
    }
}

/// The remaining elements of an array.
pub(crate) struct Elements<'a, 'de>(pub(crate) &'a mut Json<'de>);

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        match self.0.tokens.peek() {
            Some(b']') | None => Ok(None),
            Some(_) => seed.deserialize(&mut *self.0).map(Some),
        }
    }
}

/// The remaining members of an object.
struct Members<'a, 'de>(&'a mut Json<'de>);

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        match self.0.tokens.peek() {
            Some(b'"') => seed.deserialize(Key(self.0.string())).map(Some),
            _ => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.0)
    }
}
