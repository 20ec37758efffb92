//! The arguments of an event or acknowledgement: kept as received, deserialised when a handler asks for a type.
//!
//! With either parser, arguments are kept as JSON text with attachments, so they can be forwarded unchanged.

use std::{any::type_name, fmt, marker::PhantomData};

use bytes::Bytes;
use kokanee_engineio::Str;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, DeserializeSeed, Expected, IgnoredAny, SeqAccess, Visitor},
    forward_to_deserialize_any,
    ser::SerializeTupleStruct,
};

use crate::{
    attachments::{Attachments, shared},
    error::{ArgsError, EncodeError},
    json::{self, Json},
    scan::{Arguments, MAX_DEPTH, ScanError, find_special, scan_ack},
    ser::JsonWriter,
    value::Value,
};

/// The raw arguments of an event or an acknowledgement. Clones share the memory.
///
/// Arguments serialise as a tuple: `encode_event(namespace, None, name, &args)` forwards each as one argument.
#[derive(Clone)]
pub struct Args {
    /// Text that ends with the array of arguments; an event's name may be its first element.
    text: Str,
    start: usize,
    count: usize,
    // Invariant: all placeholders are in canonical form and in range.
    attachments: Attachments,
}

impl Args {
    /// Returns an empty list of arguments.
    pub const fn none() -> Self {
        Self {
            text: Str::from_static("[]"),
            start: 1,
            count: 0,
            attachments: None,
        }
    }

    /// Serialises arguments as [`encode_event`](crate::encode_event) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_socketio::Args;
    ///
    /// # fn main() -> Result<(), kokanee_socketio::EncodeError> {
    /// assert_eq!(Args::from_serialize(&("move", 3, 4))?.json(), r#""move",3,4"#);
    /// assert_eq!(Args::from_serialize(&[3, 4])?.len(), 1, "only a tuple is spread");
    /// assert!(Args::from_serialize(&())?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EncodeError`], as when they are sent.
    pub fn from_serialize<T: Serialize + ?Sized>(args: &T) -> Result<Self, EncodeError> {
        let mut text = Vec::from(b"[");
        let mut writer = JsonWriter::new(&mut text, 1);
        writer.write_args(args, !is_array::<T>())?;
        let attachments = writer.finish()?;
        Self::written(text, attachments)
    }

    /// Serialises a single argument.
    pub(crate) fn from_one<T: Serialize + ?Sized>(argument: &T) -> Result<Self, EncodeError> {
        let mut text = Vec::from(b"[");
        let mut writer = JsonWriter::new(&mut text, 1);
        writer.write_args(argument, false)?;
        let attachments = writer.finish()?;
        Self::written(text, attachments)
    }

    /// Creates arguments from values, sharing their bytes.
    ///
    /// # Errors
    /// [`EncodeError`], as when they are sent.
    pub fn from_values(args: impl IntoIterator<Item = Value>) -> Result<Self, EncodeError> {
        let mut text = Vec::from(b"[");
        let mut writer = JsonWriter::new(&mut text, 1);
        for value in args {
            writer.write_separator();
            writer.write_value(&value)?;
        }
        let attachments = writer.finish()?;
        Self::written(text, attachments)
    }

    /// Makes arguments of the text of a JSON array, as a serializer of another language writes it. Bytes are
    /// `{"_placeholder":true,"num":0}` in the text, in exactly this form and in order, and follow as attachments.
    ///
    /// # Errors
    /// When the text is not one JSON array, or nested too deeply.
    #[doc(hidden)]
    pub fn from_json(text: Vec<u8>, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        let mut text = text;
        match text.pop() {
            Some(b']') => Self::written(text, attachments),
            _ => Err(EncodeError::Serialize(
                "the arguments are not a JSON array".into(),
            )),
        }
    }

    /// Creates arguments from written text, an array without its closing bracket.
    pub(crate) fn written(mut text: Vec<u8>, attachments: Vec<Bytes>) -> Result<Self, EncodeError> {
        text.push(b']');
        let found = scan_ack(&text, 0, MAX_DEPTH).map_err(|error| match error {
            ScanError::TooDeep => EncodeError::TooDeep { max: MAX_DEPTH },
            // For example a type that serialises values without keys.
            ScanError::Invalid => EncodeError::Serialize("the arguments are not JSON".into()),
        })?;
        let text = Str::from_utf8(&text).expect("serializers write text");
        Ok(Self::received(text, found).with_attachments(attachments))
    }

    #[inline]
    pub(crate) fn received(text: Str, found: Arguments) -> Self {
        let Arguments { start, count, end } = found;
        // Whitespace may follow the array.
        let text = if end == text.as_bytes().len() {
            text
        } else {
            text.slice(0, end).unwrap_or_default()
        };
        Self {
            text,
            start,
            count,
            attachments: None,
        }
    }

    pub(crate) fn with_attachments(mut self, attachments: Vec<Bytes>) -> Self {
        self.attachments = shared(attachments);
        self
    }

    /// Deserialises the arguments.
    ///
    /// A tuple or tuple struct takes as many arguments as it has fields; every other type takes the first argument, and
    /// so does an array `[T; N]`. Further arguments are ignored. Without arguments, `()` and `Option` succeed.
    /// Deserialised bytes are copies; [`to_values`](Self::to_values) shares them.
    ///
    /// All JSON has a value, as in JavaScript: half a surrogate pair (`"\ud83d"`) is U+FFFD in a `String`, a number
    /// beyond a double (`1e400`) is infinite in an `f64` and null in a [`Value`], and an integer of more than 64 bits
    /// is the nearest double, except in an `i128` or `u128`. [`json`](Self::json) and forwarded arguments keep the
    /// received text.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_socketio::Args;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let args = Args::from_serialize(&("move", 3, 4))?;
    /// let (name, x, y): (String, i32, i32) = args.deserialize()?;
    /// let first: String = args.deserialize()?;
    /// let (_, _, _, z): (String, i32, i32, Option<i32>) = args.deserialize()?;
    /// assert_eq!((name, x, y, z), (first, 3, 4, None));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ArgsError`] if the arguments are too few or do not fit `T`.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        let spread = !is_array::<T>();
        if self.attachments.is_none() {
            let mut first = json_deserializer(self.text_to_end());
            let args = T::deserialize(ArgsDeserializer {
                text: self.text_to_end(),
                first: (self.count > 0).then_some(&mut first),
                all: self.elements(),
                spread,
            });
            // The text is valid JSON, so a syntax error is a limitation of serde_json.
            if !matches!(&args, Err(error) if error.is_syntax()) {
                return args.map_err(ArgsError);
            }
        }
        let (mut first, mut all) = (self.lenient(), self.lenient());
        let args = T::deserialize(ArgsDeserializer {
            text: "",
            first: (self.count > 0).then_some(&mut first),
            all: json::Elements(&mut all),
            spread,
        });
        args.map_err(ArgsError)
    }

    /// Returns the arguments as values, whose bytes are shared.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_socketio::{Args, Value};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // For code that does not know the types.
    /// for value in Args::from_serialize(&("move", 3))?.to_values()? {
    ///     match value {
    ///         Value::String(text) => println!("text {text}"),
    ///         Value::Binary(bytes) => println!("{} bytes", bytes.len()),
    ///         other => println!("{other}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// None for received arguments: any JSON has a [`Value`].
    pub fn to_values(&self) -> Result<Vec<Value>, ArgsError> {
        let elements = de::value::SeqAccessDeserializer::new(self.elements());
        let mut values = match Vec::<Value>::deserialize(elements) {
            Ok(values) => values,
            Err(_) => {
                let mut json = Json::new(self.text_to_end(), &[]);
                let elements = de::value::SeqAccessDeserializer::new(json::Elements(&mut json));
                Vec::deserialize(elements).map_err(ArgsError)?
            }
        };
        if let Some(attachments) = &self.attachments {
            let mut take = |num: Option<usize>| {
                let attachment = num.and_then(|num| attachments.get(num));
                attachment
                    .cloned()
                    .ok_or_else(|| ArgsError(de::Error::custom("illegal attachments")))
            };
            values
                .iter_mut()
                .try_for_each(|value| value.replace_placeholders(&mut take))?;
        }
        Ok(values)
    }

    /// Returns the arguments as JSON text, separated by commas; bytes are placeholders.
    pub fn json(&self) -> &str {
        self.text_to_end().strip_suffix(']').unwrap_or_default()
    }

    /// Returns the bytes of [`json`](Self::json).
    #[inline]
    pub(crate) fn json_bytes(&self) -> &[u8] {
        let bytes = self.text.as_bytes();
        let end = bytes.len().saturating_sub(1);
        bytes.get(self.start..end).unwrap_or_default()
    }

    /// Returns the bytes among the arguments.
    #[inline]
    pub fn attachments(&self) -> &[Bytes] {
        self.attachments.as_deref().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn shared_attachments(&self) -> Attachments {
        self.attachments.clone()
    }

    /// Returns how many arguments there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are no arguments.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the size of the text and the attachments in bytes.
    pub fn size_bytes(&self) -> usize {
        self.text.as_bytes().len() + self.attachments().iter().map(Bytes::len).sum::<usize>()
    }

    /// Returns the bytes of memory that the arguments keep allocated, including the received buffer and the list of
    /// attachments. Queues count this size.
    #[doc(hidden)]
    pub fn held_bytes(&self) -> usize {
        let attachments = self.attachments();
        let content = attachments.iter().map(Bytes::len).sum::<usize>();
        self.text.held_bytes() + size_of_val(attachments) + content
    }

    /// Returns the bytes of [`json`](Self::json).
    #[inline]
    #[doc(hidden)]
    pub fn text_bytes(&self) -> usize {
        self.json_bytes().len()
    }

    #[inline]
    pub(crate) fn reuse(self) {
        self.text.reuse();
    }

    /// Returns a part of the text between two ASCII characters.
    #[inline]
    pub(crate) fn text_part(&self, start: usize, end: usize) -> &str {
        self.text.part(start, end).unwrap_or_default()
    }

    /// Returns the arguments' text and the bracket after it.
    fn text_to_end(&self) -> &str {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// Returns a deserializer for JSON that `serde_json` does not support.
    fn lenient(&self) -> Json<'_> {
        Json::new(self.text_to_end(), self.attachments())
    }

    fn elements(&self) -> Elements<'_> {
        Elements {
            rest: self.text_to_end(),
            count: self.count,
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::none()
    }
}

/// Arguments are equal if their text and their attachments are: `1.0` and `1` are different.
impl PartialEq for Args {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json() && self.attachments() == other.attachments()
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.json())?;
        if self.attachments.is_some() {
            write!(f, " + {:?}", self.attachments())?;
        }
        Ok(())
    }
}

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let values = self.to_values().map_err(serde::ser::Error::custom)?;
        let mut tuple = serializer.serialize_tuple_struct("Args", values.len())?;
        for value in &values {
            tuple.serialize_field(value)?;
        }
        tuple.end()
    }
}

/// Returns whether `T` is an array `[T; N]`, which serde does not distinguish from a tuple.
pub(crate) fn is_array<T: ?Sized>() -> bool {
    type_name::<T>().trim_start_matches('&').starts_with('[')
}

/// Returns a deserializer of text whose syntax and depth the scanner has checked.
fn json_deserializer(text: &str) -> serde_json::Deserializer<serde_json::de::StrRead<'_>> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.disable_recursion_limit();
    json
}

/// Returns the string at the beginning of `text`, if there is one without escapes.
fn plain_string(text: &str) -> Option<&str> {
    let text = text.strip_prefix('"')?;
    let (plain, rest) = text.split_at_checked(find_special(text.as_bytes(), 0))?;
    rest.starts_with('"').then_some(plain)
}

/// The arguments in raw text, in order.
struct Elements<'a> {
    rest: &'a str,
    count: usize,
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut json = json_deserializer(self.rest);
        let element = seed.deserialize(&mut json)?;
        let read = json.into_iter::<IgnoredAny>().byte_offset();
        let rest = self.rest.get(read..).unwrap_or_default();
        let Some(rest) = rest.trim_ascii_start().strip_prefix([',', ']']) else {
            return Err(de::Error::custom("the type does not read its argument"));
        };
        self.rest = rest;
        self.count -= 1;
        Ok(Some(element))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.count)
    }
}

/// The arguments of a tuple. Those at the end may be missing, as JavaScript omits them: an `Option` in the tuple is
/// `None` then.
struct Padded<A> {
    present: A,
    taken: usize,
    len: usize,
}

impl<A> Padded<A> {
    fn new(present: A, len: usize) -> Self {
        let taken = 0;
        Self {
            present,
            taken,
            len,
        }
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Padded<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        let mut seed = Some(seed);
        self.taken += 1;
        let present = self.present.next_element_seed(UnusedSeed(&mut seed))?;
        match seed {
            Some(seed) if present.is_none() && self.taken <= self.len => {
                let missing = Missing {
                    number: self.taken,
                    error: PhantomData,
                };
                seed.deserialize(missing).map(Some)
            }
            _ => Ok(present),
        }
    }
}

/// A seed that remains unused if there is no element.
struct UnusedSeed<'a, T>(&'a mut Option<T>);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for UnusedSeed<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        match self.0.take() {
            Some(seed) => seed.deserialize(deserializer),
            None => Err(de::Error::custom("an argument is read twice")),
        }
    }
}

/// A missing argument.
struct Missing<E> {
    number: usize,
    error: PhantomData<E>,
}

impl<'de, E: de::Error> Deserializer<'de> for Missing<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        let expected: &dyn Expected = &visitor;
        let number = self.number;
        Err(E::custom(format_args!(
            "argument {number} is missing, expected {expected}"
        )))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Chooses between the first argument and all of them by what the type asks for.
struct ArgsDeserializer<'de, D, A> {
    /// The first argument's text, for fast access to a string; empty to disable that.
    text: &'de str,
    /// The first argument, if there is one.
    first: Option<D>,
    all: A,
    /// Whether a tuple takes all arguments.
    spread: bool,
}

impl<'de, D: Deserializer<'de>, A> ArgsDeserializer<'de, D, A> {
    fn first(self, expected: &dyn Expected) -> Result<D, D::Error> {
        self.first
            .ok_or_else(|| de::Error::custom(format_args!("missing argument, expected {expected}")))
    }
}

/// The methods for types that take the first argument.
macro_rules! first_argument {
    ($($method:ident($($parameter:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($parameter: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.first(&visitor)?.$method($($parameter,)* visitor)
        })*
    };
}

impl<'de, D, A> Deserializer<'de> for ArgsDeserializer<'de, D, A>
where
    D: Deserializer<'de>,
    A: SeqAccess<'de, Error = D::Error>,
{
    type Error = D::Error;

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if self.spread {
            visitor.visit_seq(Padded::new(self.all, len))
        } else {
            self.first(&visitor)?.deserialize_tuple(len, visitor)
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_seq(Padded::new(self.all, len))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        match self.first {
            Some(first) => first.deserialize_option(visitor),
            None => visitor.visit_none(),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        match plain_string(self.text) {
            Some(text) => visitor.visit_borrowed_str(text),
            None => self.first(&visitor)?.deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_str(visitor)
    }

    first_argument! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
    }
}
