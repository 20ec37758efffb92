//! The msgpack parser of the JavaScript family: one map `{type, nsp, data, id}` per packet, in one binary message.
//!
//! With either parser, packets are kept as JSON text with attachments, so this module translates: [`decode`] writes
//! received data as JSON, [`encode`] reads the text of an encoded packet. JavaScript's `undefined` (extension 0 of one
//! byte) is removed, and a `Date` (extension 0 of eight bytes) becomes the string that it is in JSON.

use std::borrow::Cow;

use bytes::Bytes;
use kokanee_engineio::Str;
use serde::Serializer;

use crate::{
    attachments::canonical_placeholder,
    content::Content,
    error::{DecodeError, EncodeError},
    header::{Header, PacketType, check_namespace_length},
    limits::DecoderLimits,
    packet::{AckId, Packet},
    scan::{Token, Tokens, unescape},
    ser::JsonWriter,
};

/// Decodes one packet.
pub(crate) fn decode(message: &Bytes, limits: &DecoderLimits) -> Result<Packet, DecodeError> {
    let mut reader = Reader {
        message,
        at: 0,
        attachment_bytes: 0,
        limits,
    };
    let members = reader.members()?;
    if reader.at != message.len() {
        return Err(DecodeError::InvalidMsgpack);
    }
    let packet_type = members.packet_type.ok_or(DecodeError::InvalidPacketType)?;
    let namespace = members.namespace.ok_or(DecodeError::InvalidNamespace)?;
    // A comma would end the namespace in a text packet to other clients.
    if !namespace.starts_with('/') || namespace.contains(',') {
        return Err(DecodeError::InvalidNamespace);
    }
    check_namespace_length(namespace.as_bytes(), limits)?;
    let namespace = if namespace == "/" {
        Str::from_static("/")
    } else {
        Str::from(namespace.as_ref())
    };
    let id = members.id;
    let (json, attachments) = members.data;
    let text = Str::from_utf8(&json).map_err(|_| DecodeError::InvalidMsgpack)?;
    let header = Header {
        packet_type,
        attachments: 0,
        namespace: None,
        id,
        payload: 0,
    };
    let content = Content::parse(header, text.as_bytes(), limits)?;
    let packet = content.into_packet(namespace, id, text);
    if attachments.is_empty() {
        return Ok(packet);
    }
    match packet {
        Packet::Event {
            namespace,
            id,
            event,
        } => {
            let event = event.map_args(|args| args.with_attachments(attachments));
            Ok(Packet::Event {
                namespace,
                id,
                event,
            })
        }
        Packet::Ack {
            namespace,
            id,
            args,
        } => Ok(Packet::Ack {
            namespace,
            id,
            args: args.with_attachments(attachments),
        }),
        _ => Err(DecodeError::InvalidPayload),
    }
}

/// The members of a packet's map, if present. If a name comes twice, the last one counts.
#[derive(Default)]
struct Members<'a> {
    packet_type: Option<PacketType>,
    namespace: Option<Cow<'a, str>>,
    id: Option<AckId>,
    /// JSON text and the attachments of its placeholders.
    data: (Vec<u8>, Vec<Bytes>),
}

/// Extension 0 of one byte.
const UNDEFINED: [u8; 2] = [0xd4, 0x00];

/// A message being read. Nothing is allocated for a length that was only announced.
struct Reader<'a> {
    message: &'a Bytes,
    at: usize,
    /// Bytes of all binary values so far.
    attachment_bytes: usize,
    limits: &'a DecoderLimits,
}

impl<'a> Reader<'a> {
    /// Reads the map of a packet.
    fn members(&mut self) -> Result<Members<'a>, DecodeError> {
        let count = match self.byte()? {
            marker @ 0x80..=0x8f => u64::from(marker & 0x0f),
            0xde => self.number(2)?,
            0xdf => self.number(4)?,
            _ => return Err(DecodeError::InvalidMsgpack),
        };
        let mut members = Members::default();
        // Every member takes at least two bytes, so the message ends before a false count does.
        for _ in 0..count {
            let key = self.byte()?;
            let key = self.string(key)?.ok_or(DecodeError::InvalidMsgpack)?;
            match key.as_ref() {
                "type" => {
                    members.packet_type = self.integer()?.and_then(PacketType::from_number);
                }
                "nsp" => {
                    let marker = self.byte()?;
                    members.namespace = self.string(marker)?;
                }
                "id" if self.skip_undefined() => members.id = None,
                "id" => {
                    let number = self.integer()?.filter(|&id| i64::try_from(id).is_ok());
                    members.id = Some(AckId(number.ok_or(DecodeError::InvalidAckId)?));
                }
                // python-socketio sends nil if there is no data.
                "data" if self.skip_undefined() || self.skip_nil() => {
                    members.data = (Vec::new(), Vec::new());
                }
                "data" => members.data = self.json()?,
                _ => {
                    self.json()?;
                }
            }
        }
        Ok(members)
    }

    /// Reads one value. Returns it as JSON, with its attachments.
    fn json(&mut self) -> Result<(Vec<u8>, Vec<Bytes>), DecodeError> {
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text, 0);
        self.value(&mut json)?;
        let mut attachments = json.finish().map_err(decode_error)?;
        // Bytes that are a small part of the message are copied, so that keeping them does not keep the whole message
        // allocated.
        if 4 * self.attachment_bytes < 3 * self.message.len() {
            for attachment in &mut attachments {
                *attachment = Bytes::copy_from_slice(attachment);
            }
        }
        Ok((text, attachments))
    }

    /// Translates one value, and checks the size of the text.
    fn value(&mut self, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        self.any_value(json)?;
        let max = self.limits.max_attachment_bytes;
        let taken = json.written_bytes() + size_of_val(json.attachments());
        if taken > self.message.len().saturating_add(max) {
            return Err(DecodeError::MsgpackTooLarge { max });
        }
        Ok(())
    }

    /// Translates one value. The recursion is bounded by the depth that the writer allows.
    fn any_value(&mut self, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        let marker = self.byte()?;
        match marker {
            0x00..=0x7f => json.serialize_u8(marker),
            0xe0..=0xff => json.serialize_i8(i8::from_be_bytes([marker])),
            0xcc => json.serialize_u64(self.number(1)?),
            0xcd => json.serialize_u64(self.number(2)?),
            0xce => json.serialize_u64(self.number(4)?),
            0xcf => json.serialize_u64(self.number(8)?),
            0xd0 => json.serialize_i64(self.signed(1)?),
            0xd1 => json.serialize_i64(self.signed(2)?),
            0xd2 => json.serialize_i64(self.signed(4)?),
            0xd3 => json.serialize_i64(self.signed(8)?),
            0xca => json.serialize_f64(f32::from_be_bytes(*self.chunk()?).into()),
            0xcb => json.serialize_f64(f64::from_be_bytes(*self.chunk()?)),
            0xc0 => json.serialize_unit(),
            0xc2 | 0xc3 => json.serialize_bool(marker == 0xc3),
            0xc4 => return self.sized_binary(1, json),
            0xc5 => return self.sized_binary(2, json),
            0xc6 => return self.sized_binary(4, json),
            0x90..=0x9f => return self.array(u64::from(marker & 0x0f), json),
            0xdc => return self.sized_array(2, json),
            0xdd => return self.sized_array(4, json),
            0x80..=0x8f => return self.map(u64::from(marker & 0x0f), json),
            0xde => return self.sized_map(2, json),
            0xdf => return self.sized_map(4, json),
            0xc7 => return self.sized_extension(1, json),
            0xc8 => return self.sized_extension(2, json),
            0xc9 => return self.sized_extension(4, json),
            0xd4..=0xd8 => return self.fixed_extension(1 << (marker - 0xd4), json),
            _ => {
                let text = self.string(marker)?.ok_or(DecodeError::InvalidMsgpack)?;
                json.serialize_str(&text)
            }
        }
        .map_err(decode_error)
    }

    fn sized_array(&mut self, size: usize, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        let length = self.number(size)?;
        self.array(length, json)
    }

    fn array(&mut self, length: u64, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        json.open(b'[').map_err(decode_error)?;
        for _ in 0..length {
            json.write_separator();
            self.value(json)?;
        }
        json.close("]");
        Ok(())
    }

    fn sized_map(&mut self, size: usize, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        let length = self.number(size)?;
        self.map(length, json)
    }

    fn map(&mut self, length: u64, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        json.open(b'{').map_err(decode_error)?;
        for _ in 0..length {
            let at = self.at;
            let marker = self.byte()?;
            let key = match self.string(marker)? {
                Some(key) => key,
                None => {
                    // In JavaScript all keys are text.
                    self.at = at;
                    let number = self.integer()?.ok_or(DecodeError::InvalidMsgpack)?;
                    Cow::Owned(number.to_string())
                }
            };
            if !self.skip_undefined() {
                json.write_key(&key);
                self.value(json)?;
            }
        }
        json.close("}");
        Ok(())
    }

    fn sized_binary(&mut self, size: usize, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        let length = self.number(size)?;
        self.binary(length, json)
    }

    fn binary(&mut self, length: u64, json: &mut JsonWriter<'_>) -> Result<(), DecodeError> {
        let bytes = self.take(length)?;
        let bytes = self.message.slice_ref(bytes);
        let max = self.limits.max_attachment_bytes;
        self.attachment_bytes += bytes.len();
        if self.attachment_bytes > max {
            return Err(DecodeError::AttachmentsTooLarge { max });
        }
        json.write_binary(bytes).map_err(decode_error)
    }

    /// Translates an extension with a length: to bytes if its type is 0, as JavaScript writes an `ArrayBuffer`.
    fn sized_extension(
        &mut self,
        size: usize,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), DecodeError> {
        let length = self.number(size)?;
        match self.signed(1)? {
            0 => self.binary(length, json),
            extension => self.unknown_extension(extension, length, json),
        }
    }

    fn fixed_extension(
        &mut self,
        length: u64,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), DecodeError> {
        match (self.signed(1)?, length) {
            // `undefined`, which is null in an array.
            (0, 1) => {
                self.take(1)?;
                json.serialize_unit().map_err(decode_error)
            }
            (0, 8) => match iso_8601(self.signed(8)?) {
                Some(date) => json.serialize_str(&date),
                None => json.serialize_unit(),
            }
            .map_err(decode_error),
            (0, _) => self.binary(length, json),
            (extension, _) => self.unknown_extension(extension, length, json),
        }
    }

    /// Translates an undefined extension to `[type, bytes]`.
    fn unknown_extension(
        &mut self,
        extension: i64,
        length: u64,
        json: &mut JsonWriter<'_>,
    ) -> Result<(), DecodeError> {
        json.open(b'[').map_err(decode_error)?;
        json.serialize_i64(extension).map_err(decode_error)?;
        json.write_separator();
        self.binary(length, json)?;
        json.close("]");
        Ok(())
    }

    /// Reads the rest of a string after its marker. Returns `None` if the marker is not one of a string.
    fn string(&mut self, marker: u8) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let length = match marker {
            0xa0..=0xbf => u64::from(marker & 0x1f),
            0xd9 => self.number(1)?,
            0xda => self.number(2)?,
            0xdb => self.number(4)?,
            _ => return Ok(None),
        };
        let bytes = self.take(length)?;
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => without_surrogates(bytes).map(|text| Some(Cow::Owned(text))),
        }
    }

    /// Reads a value that must be an integer. Returns `None` if it is negative or something else.
    fn integer(&mut self) -> Result<Option<u64>, DecodeError> {
        Ok(match self.byte()? {
            marker @ 0x00..=0x7f => Some(marker.into()),
            0xcc => Some(self.number(1)?),
            0xcd => Some(self.number(2)?),
            0xce => Some(self.number(4)?),
            0xcf => Some(self.number(8)?),
            0xd0 => u64::try_from(self.signed(1)?).ok(),
            0xd1 => u64::try_from(self.signed(2)?).ok(),
            0xd2 => u64::try_from(self.signed(4)?).ok(),
            0xd3 => u64::try_from(self.signed(8)?).ok(),
            _ => None,
        })
    }

    /// Takes JavaScript's `undefined`, if that comes next.
    fn skip_undefined(&mut self) -> bool {
        let rest = self.message.get(self.at..).unwrap_or_default();
        let is_undefined = rest.starts_with(&UNDEFINED) && rest.len() > UNDEFINED.len();
        if is_undefined {
            self.at += UNDEFINED.len() + 1;
        }
        is_undefined
    }

    fn skip_nil(&mut self) -> bool {
        let is_nil = self.message.get(self.at) == Some(&0xc0);
        self.at += usize::from(is_nil);
        is_nil
    }

    /// Reads an unsigned number of 1 to 8 bytes in big-endian order.
    fn number(&mut self, size: usize) -> Result<u64, DecodeError> {
        let bytes = self.take(size as u64)?;
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Reads a signed number of 1 to 8 bytes in big-endian order.
    fn signed(&mut self, size: usize) -> Result<i64, DecodeError> {
        let unused_bits = 64 - 8 * size;
        Ok((self.number(size)? << unused_bits).cast_signed() >> unused_bits)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.chunk::<1>().map(|&[byte]| byte)
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        self.take(N as u64)?
            .first_chunk()
            .ok_or(DecodeError::InvalidMsgpack)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let rest = self.message.get(self.at..).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let taken = rest.get(..length).ok_or(DecodeError::InvalidMsgpack)?;
        self.at += length;
        Ok(taken)
    }
}

/// Replaces half a surrogate pair, which some encoders write as three bytes that are not UTF-8, by U+FFFD, as in JSON.
fn without_surrogates(bytes: &[u8]) -> Result<String, DecodeError> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = memchr::memchr(0xed, bytes.get(at..).unwrap_or_default()) {
        at += found;
        if let Some(character @ [_, 0xa0..=0xbf, 0x80..=0xbf]) = bytes.get_mut(at..at + 3) {
            character.copy_from_slice("\u{fffd}".as_bytes());
        }
        at += 1;
    }
    String::from_utf8(bytes).map_err(|_| DecodeError::InvalidMsgpack)
}

/// Converts the error of writing received data as JSON.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn decode_error(error: EncodeError) -> DecodeError {
    match error {
        EncodeError::TooDeep { max } => DecodeError::TooDeep { max },
        EncodeError::PlaceholderInData => DecodeError::IllegalPlaceholder,
        _ => DecodeError::InvalidPayload,
    }
}

/// Formats a JavaScript date, in milliseconds from 1970, as `toISOString` does. Returns `None` if it is out of
/// JavaScript's range.
fn iso_8601(milliseconds: i64) -> Option<String> {
    const DAY: i64 = 86_400_000;
    const MAX: i64 = 100_000_000 * DAY;
    if !(-MAX..=MAX).contains(&milliseconds) {
        return None;
    }
    let (days, time) = (milliseconds.div_euclid(DAY), milliseconds.rem_euclid(DAY));
    // Count from 0000-03-01 on: leap days end years that begin in March, and 400 of those have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year_of_era + i64::from(month <= 2);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let (hours, minutes, seconds) = (time / 3_600_000, time / 60_000 % 60, time / 1_000 % 60);
    let milliseconds = time % 1_000;
    Some(format!(
        "{year}-{month:02}-{day_of_month:02}T{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}Z"
    ))
}

/// Encodes a packet from its text in the default encoding and its attachments.
pub(crate) fn encode(text: &[u8], attachments: &[Bytes]) -> Vec<u8> {
    let unlimited = DecoderLimits {
        max_attachments: usize::MAX,
        max_attachment_bytes: usize::MAX,
        max_depth: usize::MAX,
        max_namespace_bytes: usize::MAX,
        any_auth: true,
    };
    // Kokanee's encoder wrote the text, so it has a head.
    let Ok(header) = Header::parse(text, &unlimited) else {
        return Vec::new();
    };
    let namespace = header
        .namespace
        .and_then(|(start, end)| text.get(start..end))
        .unwrap_or(b"/");
    let data = text.get(header.payload..).unwrap_or_default();
    let mut writer = Writer(Vec::with_capacity(
        text.len() + 24 + attachments.iter().map(Bytes::len).sum::<usize>(),
    ));
    let members = 2 + usize::from(!data.is_empty()) + usize::from(header.id.is_some());
    writer.length(members, &MAP);
    writer.string(b"type");
    writer.integer(i128::from(header.packet_type.digit() - b'0'));
    writer.string(b"nsp");
    writer.string(namespace);
    if !data.is_empty() {
        writer.string(b"data");
        writer.json(data, attachments);
    }
    if let Some(AckId(id)) = header.id {
        writer.string(b"id");
        writer.integer(id.into());
    }
    writer.0
}

/// How the lengths of one kind of value are written: in the marker, or in 1, 2 or 4 bytes after one.
struct Lengths {
    fixed: Option<(u8, usize)>,
    byte: Option<u8>,
    two: u8,
    four: u8,
}

const STRING: Lengths = Lengths {
    fixed: Some((0xa0, 31)),
    byte: Some(0xd9),
    two: 0xda,
    four: 0xdb,
};
const BINARY: Lengths = Lengths {
    fixed: None,
    byte: Some(0xc4),
    two: 0xc5,
    four: 0xc6,
};
const ARRAY: Lengths = Lengths {
    fixed: Some((0x90, 15)),
    byte: None,
    two: 0xdc,
    four: 0xdd,
};
const MAP: Lengths = Lengths {
    fixed: Some((0x80, 15)),
    byte: None,
    two: 0xde,
    four: 0xdf,
};

struct Writer(Vec<u8>);

impl Writer {
    /// Translates valid JSON text.
    fn json(&mut self, text: &[u8], attachments: &[Bytes]) {
        let lengths = count_elements(text);
        let mut lengths = lengths.into_iter();
        let mut tokens = Tokens::new(text);
        loop {
            let before = tokens.rest();
            let Some(token) = tokens.next() else { return };
            match token {
                Token::Array => self.length(lengths.next().unwrap_or_default(), &ARRAY),
                Token::Object => {
                    let elements = lengths.next().unwrap_or_default();
                    let object = before
                        .get(before.len() - tokens.rest().len() - 1..)
                        .unwrap_or_default();
                    match canonical_placeholder(object)
                        .and_then(|(num, length)| Some((attachments.get(num)?, length)))
                    {
                        Some((attachment, length)) => {
                            self.sized(attachment, &BINARY);
                            tokens.jump(length - 1);
                        }
                        None => self.length(elements / 2, &MAP),
                    }
                }
                Token::Close => {}
                Token::String(escaped) => {
                    let text = std::str::from_utf8(escaped).unwrap_or_default();
                    self.string(unescape(text).as_bytes());
                }
                Token::Scalar(b"null") => self.0.push(0xc0),
                Token::Scalar(b"false") => self.0.push(0xc2),
                Token::Scalar(b"true") => self.0.push(0xc3),
                Token::Scalar(number) => self.number(number),
            }
        }
    }

    /// Writes a number in the smallest form. Whole numbers are integers, as far as a double represents them exactly.
    fn number(&mut self, text: &[u8]) {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let text = std::str::from_utf8(text).unwrap_or_default();
        if let Ok(integer) = text.parse::<i128>()
            && i128::from(i64::MIN) <= integer
            && integer <= i128::from(u64::MAX)
        {
            return self.integer(integer);
        }
        let number: f64 = text.parse().unwrap_or(f64::NAN);
        if number.fract() == 0.0 && number.abs() <= EXACT {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the line above makes sure it fits"
            )]
            return self.integer(number as i128);
        }
        self.0.push(0xcb);
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// Writes an integer between the least `i64` and the greatest `u64`.
    fn integer(&mut self, number: i128) {
        let (marker, size) = match number {
            -32..=127 => (None, 1),
            128..=0xff => (Some(0xcc), 1),
            0x100..=0xffff => (Some(0xcd), 2),
            0x1_0000..=0xffff_ffff => (Some(0xce), 4),
            0x1_0000_0000.. => (Some(0xcf), 8),
            -0x80..=-33 => (Some(0xd0), 1),
            -0x8000..=-0x81 => (Some(0xd1), 2),
            -0x8000_0000..=-0x8001 => (Some(0xd2), 4),
            _ => (Some(0xd3), 8),
        };
        self.0.extend(marker);
        let bytes = number.to_be_bytes();
        self.0.extend_from_slice(&bytes[bytes.len() - size..]);
    }

    fn string(&mut self, text: &[u8]) {
        self.sized(text, &STRING);
    }

    fn sized(&mut self, bytes: &[u8], lengths: &Lengths) {
        self.length(bytes.len(), lengths);
        self.0.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize, lengths: &Lengths) {
        let bytes = length.to_be_bytes();
        let size = match *lengths {
            Lengths {
                fixed: Some((marker, max)),
                ..
            } if length <= max => {
                return self.0.push(marker | bytes[bytes.len() - 1]);
            }
            Lengths {
                byte: Some(marker), ..
            } if length <= 0xff => {
                self.0.push(marker);
                1
            }
            Lengths { two: marker, .. } if length <= 0xffff => {
                self.0.push(marker);
                2
            }
            Lengths { four: marker, .. } => {
                self.0.push(marker);
                4
            }
        };
        self.0.extend_from_slice(&bytes[bytes.len() - size..]);
    }
}

/// Counts the tokens directly in each array and object of valid JSON text, in the order in which they begin. An object
/// has two for every member.
fn count_elements(text: &[u8]) -> Vec<usize> {
    let mut counts = Vec::new();
    let mut open = Vec::new();
    for token in Tokens::new(text) {
        if token == Token::Close {
            open.pop();
            continue;
        }
        if let Some(count) = open
            .last()
            .and_then(|&innermost: &usize| counts.get_mut(innermost))
        {
            *count += 1;
        }
        if matches!(token, Token::Array | Token::Object) {
            open.push(counts.len());
            counts.push(0);
        }
    }
    counts
}
