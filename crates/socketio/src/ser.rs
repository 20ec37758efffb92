//! Writes arguments as compact JSON directly into the packet's buffer and extracts the bytes among them as attachments.
//!
//! Differs from plain JSON in three ways: `serialize_bytes` writes a placeholder and keeps the bytes, nesting is
//! limited to [`MAX_DEPTH`], and the outermost tuple becomes several arguments.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use serde::{Serialize, Serializer, ser};
use serde_json::ser::{CompactFormatter, Formatter};

use crate::{
    attachments::{PLACEHOLDER, count_placeholders},
    error::EncodeError,
    scan::{MAX_DEPTH, find_special},
    value::Value,
};

/// Appends a JSON string.
#[inline]
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Appends an integer.
pub(crate) fn write_u64(out: &mut Vec<u8>, number: u64) {
    CompactFormatter
        .write_u64(out, number)
        .expect("writing to memory cannot fail");
}

/// Appends the text between the quotes of a JSON string.
#[inline]
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    // Nearly always there is nothing to escape.
    let end = find_special(out, start);
    if end < out.len() {
        out.truncate(end);
        escape(out, text, end - start);
    }
}

/// Appends the rest of a string, from the first byte that must be escaped.
fn escape(out: &mut Vec<u8>, text: &str, mut done: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    loop {
        let at = find_special(bytes, done);
        out.extend_from_slice(&bytes[done..at]);
        let Some(&special) = bytes.get(at) else {
            return;
        };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        done = at + 1;
    }
}

/// Writes values into a buffer.
pub(crate) struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where this writer began.
    start: usize,
    attachments: Vec<Bytes>,
    depth: usize,
}

impl<'a> JsonWriter<'a> {
    /// Creates a writer for values inside `depth` arrays or objects.
    pub(crate) fn new(out: &'a mut Vec<u8>, depth: usize) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            attachments: Vec::new(),
            depth,
        }
    }

    /// Returns the attachments, in the order of their placeholders.
    pub(crate) fn finish(self) -> Result<Vec<Bytes>, EncodeError> {
        let written = self.out.get(self.start..).unwrap_or_default();
        // In a packet with attachments, the receiver would read data that looks like a placeholder as one.
        if !self.attachments.is_empty() && count_placeholders(written) != self.attachments.len() {
            return Err(EncodeError::PlaceholderInData);
        }
        Ok(self.attachments)
    }

    /// Like [`finish`](Self::finish), for payloads that cannot have attachments.
    pub(crate) fn finish_without_attachments(self) -> Result<(), EncodeError> {
        if self.attachments.is_empty() {
            Ok(())
        } else {
            Err(EncodeError::BinaryNotAllowed)
        }
    }

    /// Writes the arguments of a packet. `spread` makes a tuple several of them.
    pub(crate) fn write_args<T: Serialize + ?Sized>(
        &mut self,
        args: &T,
        spread: bool,
    ) -> Result<(), EncodeError> {
        if spread {
            return args.serialize(ArgsSerializer(self));
        }
        self.write_separator();
        args.serialize(&mut *self)
    }

    /// Writes a value without copying its bytes.
    pub(crate) fn write_value(&mut self, value: &Value) -> Result<(), EncodeError> {
        match value {
            Value::Binary(bytes) => self.write_binary(bytes.clone()),
            Value::Array(elements) => {
                self.open(b'[')?;
                for element in elements {
                    self.write_separator();
                    self.write_value(element)?;
                }
                self.close("]");
                Ok(())
            }
            Value::Object(members) => {
                self.open(b'{')?;
                for (key, member) in members {
                    self.write_key(key);
                    self.write_value(member)?;
                }
                self.close("}");
                Ok(())
            }
            scalar => scalar.serialize(self),
        }
    }

    /// Writes a placeholder and keeps the bytes.
    pub(crate) fn write_binary(&mut self, bytes: Bytes) -> Result<(), EncodeError> {
        // To the reader, a placeholder is an object.
        self.check_depth()?;
        self.out.extend_from_slice(PLACEHOLDER.as_bytes());
        write_u64(self.out, self.attachments.len() as u64);
        self.out.push(b'}');
        self.attachments.push(bytes);
        Ok(())
    }

    /// Writes a member's key and the colon after it.
    pub(crate) fn write_key(&mut self, key: &str) {
        self.write_separator();
        write_string(self.out, key);
        self.out.push(b':');
    }

    /// Writes a member of an object.
    pub(crate) fn write_member<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.write_key(key);
        value.serialize(self)
    }

    /// Writes a comma, except in front of the first element.
    pub(crate) fn write_separator(&mut self) {
        // No value ends with an opening bracket, because strings end with a quote.
        if !matches!(self.out.last(), Some(b'[' | b'{')) {
            self.out.push(b',');
        }
    }

    pub(crate) fn open(&mut self, bracket: u8) -> Result<(), EncodeError> {
        self.check_depth()?;
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    /// Closes one array or object for each bracket.
    pub(crate) fn close(&mut self, brackets: &str) {
        self.depth -= brackets.len();
        self.out.extend_from_slice(brackets.as_bytes());
    }

    /// Returns the size of the text so far in bytes.
    pub(crate) fn written_bytes(&self) -> usize {
        self.out.len() - self.start
    }

    /// Returns the attachments so far.
    pub(crate) fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    fn check_depth(&self) -> Result<(), EncodeError> {
        if self.depth >= MAX_DEPTH {
            Err(EncodeError::TooDeep { max: MAX_DEPTH })
        } else {
            Ok(())
        }
    }

    /// Opens `{"variant":` and another bracket.
    fn open_variant(&mut self, variant: &str, bracket: u8) -> Result<(), EncodeError> {
        self.open(b'{')?;
        self.write_key(variant);
        self.open(bracket)
    }
}

/// The methods for numbers, which the formatter writes.
macro_rules! number {
    ($($method:ident, $type:ty, $write:ident;)*) => {
        $(fn $method(self, number: $type) -> Result<(), EncodeError> {
            CompactFormatter.$write(self.out, number).expect("writing to memory cannot fail");
            Ok(())
        })*
    };
}

impl<'w, 'a> Serializer for &'w mut JsonWriter<'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'w, 'a>;
    type SerializeTuple = Compound<'w, 'a>;
    type SerializeTupleStruct = Compound<'w, 'a>;
    type SerializeTupleVariant = Compound<'w, 'a>;
    type SerializeMap = Compound<'w, 'a>;
    type SerializeStruct = Compound<'w, 'a>;
    type SerializeStructVariant = Compound<'w, 'a>;

    number! {
        serialize_i8, i8, write_i8;
        serialize_i16, i16, write_i16;
        serialize_i32, i32, write_i32;
        serialize_i64, i64, write_i64;
        serialize_i128, i128, write_i128;
        serialize_u8, u8, write_u8;
        serialize_u16, u16, write_u16;
        serialize_u32, u32, write_u32;
        serialize_u64, u64, write_u64;
        serialize_u128, u128, write_u128;
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    // JSON has no NaN and no infinity; JavaScript writes null for them.
    fn serialize_f32(self, number: f32) -> Result<(), EncodeError> {
        if !number.is_finite() {
            return self.serialize_unit();
        }
        CompactFormatter
            .write_f32(self.out, number)
            .expect("writing to memory cannot fail");
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Result<(), EncodeError> {
        if !number.is_finite() {
            return self.serialize_unit();
        }
        CompactFormatter
            .write_f64(self.out, number)
            .expect("writing to memory cannot fail");
        Ok(())
    }

    fn serialize_char(self, character: char) -> Result<(), EncodeError> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), EncodeError> {
        write_string(self.out, text);
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, text: &T) -> Result<(), EncodeError> {
        self.out.push(b'"');
        write!(Escaping(self.out), "{text}").map_err(ser::Error::custom)?;
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.write_binary(Bytes::copy_from_slice(bytes))
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.open(b'{')?;
        self.write_key(variant);
        value.serialize(&mut *self)?;
        self.close("}");
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Compound<'w, 'a>, EncodeError> {
        self.open(b'[')?;
        Ok(Compound {
            writer: self,
            close: "]",
        })
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound<'w, 'a>, EncodeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Compound<'w, 'a>, EncodeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'w, 'a>, EncodeError> {
        self.open_variant(variant, b'[')?;
        Ok(Compound {
            writer: self,
            close: "]}",
        })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Compound<'w, 'a>, EncodeError> {
        self.open(b'{')?;
        Ok(Compound {
            writer: self,
            close: "}",
        })
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        len: usize,
    ) -> Result<Compound<'w, 'a>, EncodeError> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'w, 'a>, EncodeError> {
        self.open_variant(variant, b'{')?;
        Ok(Compound {
            writer: self,
            close: "}}",
        })
    }
}

/// An array, an object or the arguments of a packet being written.
pub(crate) struct Compound<'w, 'a> {
    writer: &'w mut JsonWriter<'a>,
    /// The closing brackets; empty for arguments.
    close: &'static str,
}

impl Compound<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.writer.write_separator();
        value.serialize(&mut *self.writer)
    }

    fn close(self) {
        self.writer.close(self.close);
    }
}

impl ser::SerializeSeq for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTuple for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.writer.write_separator();
        key.serialize(KeySerializer(self.writer.out))?;
        self.writer.out.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.writer.write_member(key, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Compound<'_, '_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.writer.write_member(key, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close();
        Ok(())
    }
}

/// Escapes formatted text in a JSON string.
struct Escaping<'w>(&'w mut Vec<u8>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_escaped(self.0, text);
        Ok(())
    }
}

/// Writes a value as the arguments: a tuple as several, a unit as none, anything else as one.
struct ArgsSerializer<'w, 'a>(&'w mut JsonWriter<'a>);

impl<'w, 'a> ArgsSerializer<'w, 'a> {
    fn single(self) -> &'w mut JsonWriter<'a> {
        self.0.write_separator();
        self.0
    }
}

/// The methods for types that are one argument.
macro_rules! single {
    ($($method:ident($($parameter:ident: $type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $($parameter: $type),*) -> Result<$ok, EncodeError> {
            self.single().$method($($parameter),*)
        })*
    };
}

impl<'w, 'a> Serializer for ArgsSerializer<'w, 'a> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'w, 'a>;
    type SerializeTuple = Compound<'w, 'a>;
    type SerializeTupleStruct = Compound<'w, 'a>;
    type SerializeTupleVariant = Compound<'w, 'a>;
    type SerializeMap = Compound<'w, 'a>;
    type SerializeStruct = Compound<'w, 'a>;
    type SerializeStructVariant = Compound<'w, 'a>;

    fn serialize_tuple(self, _len: usize) -> Result<Compound<'w, 'a>, EncodeError> {
        Ok(Compound {
            writer: self.0,
            close: "",
        })
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Compound<'w, 'a>, EncodeError> {
        Ok(Compound {
            writer: self.0,
            close: "",
        })
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self.single())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self.single())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.single()
            .serialize_newtype_variant(name, index, variant, value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, text: &T) -> Result<(), EncodeError> {
        self.single().collect_str(text)
    }

    single! {
        serialize_bool(value: bool) -> ();
        serialize_i8(value: i8) -> ();
        serialize_i16(value: i16) -> ();
        serialize_i32(value: i32) -> ();
        serialize_i64(value: i64) -> ();
        serialize_i128(value: i128) -> ();
        serialize_u8(value: u8) -> ();
        serialize_u16(value: u16) -> ();
        serialize_u32(value: u32) -> ();
        serialize_u64(value: u64) -> ();
        serialize_u128(value: u128) -> ();
        serialize_f32(value: f32) -> ();
        serialize_f64(value: f64) -> ();
        serialize_char(value: char) -> ();
        serialize_str(value: &str) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> ();
        serialize_seq(len: Option<usize>) -> Compound<'w, 'a>;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> Compound<'w, 'a>;
        serialize_map(len: Option<usize>) -> Compound<'w, 'a>;
        serialize_struct(name: &'static str, len: usize) -> Compound<'w, 'a>;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) -> Compound<'w, 'a>;
    }
}

/// Writes a member's key: a string, or a number, boolean or variant as a string.
struct KeySerializer<'w>(&'w mut Vec<u8>);

/// The methods for keys that are numbers or booleans.
macro_rules! quoted_key {
    ($($method:ident, $type:ty;)*) => {
        $(fn $method(self, key: $type) -> Result<(), EncodeError> {
            self.collect_str(&key)
        })*
    };
}

impl Serializer for KeySerializer<'_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = ser::Impossible<(), EncodeError>;
    type SerializeTuple = ser::Impossible<(), EncodeError>;
    type SerializeTupleStruct = ser::Impossible<(), EncodeError>;
    type SerializeTupleVariant = ser::Impossible<(), EncodeError>;
    type SerializeMap = ser::Impossible<(), EncodeError>;
    type SerializeStruct = ser::Impossible<(), EncodeError>;
    type SerializeStructVariant = ser::Impossible<(), EncodeError>;

    quoted_key! {
        serialize_bool, bool;
        serialize_i8, i8;
        serialize_i16, i16;
        serialize_i32, i32;
        serialize_i64, i64;
        serialize_i128, i128;
        serialize_u8, u8;
        serialize_u16, u16;
        serialize_u32, u32;
        serialize_u64, u64;
        serialize_u128, u128;
        serialize_f32, f32;
        serialize_f64, f64;
        serialize_char, char;
    }

    fn serialize_str(self, key: &str) -> Result<(), EncodeError> {
        write_string(self.0, key);
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, key: &T) -> Result<(), EncodeError> {
        self.0.push(b'"');
        write!(Escaping(self.0), "{key}").map_err(ser::Error::custom)?;
        self.0.push(b'"');
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        key: &T,
    ) -> Result<(), EncodeError> {
        key.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, key: &T) -> Result<(), EncodeError> {
        key.serialize(self)
    }

    fn serialize_bytes(self, _key: &[u8]) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self::SerializeSeq, EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self::SerializeTuple, EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleStruct, EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStruct, EncodeError> {
        Err(EncodeError::KeyNotText)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant, EncodeError> {
        Err(EncodeError::KeyNotText)
    }
}
