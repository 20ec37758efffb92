//! Encodes events, acknowledgements and all other packets as messages, once for all recipients.
//!
//! The text is built in the buffer in which it will be sent. Spec: Socket.IO protocol v5, "Packet encoding".

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use kokanee_engineio::{Message, Outgoing, TextBuffer};
use serde::Serialize;

use crate::{
    args::{Args, is_array},
    attachments::{Attachments, shared},
    decoder::{Decoder, ParserKind},
    error::EncodeError,
    header::PacketType,
    limits::DecoderLimits,
    msgpack,
    packet::{AckId, Packet, RawEvent, is_reserved_event_name},
    ser::{JsonWriter, write_string, write_u64},
};

/// The initial capacity for arguments of unknown size.
const ARGS_BYTES_GUESS: usize = 128;
/// The initial capacity for a packet of unknown size: its head and name are rarely longer than the difference.
const PACKET_BYTES_GUESS: usize = ARGS_BYTES_GUESS + 64;

/// A packet to send, encoded once and shared by all its recipients.
#[derive(Debug, Clone)]
pub struct EncodedPacket(Form);

#[derive(Debug, Clone)]
enum Form {
    /// Only a text, for one recipient.
    Text(Outgoing),
    /// Everything that recipients share.
    Parts(Arc<Parts>),
}

#[derive(Debug)]
struct Parts {
    text: Outgoing,
    attachments: Vec<Outgoing>,
    msgpack: OnceLock<Outgoing>,
    /// The size of the text and the attachments in bytes: every recipient needs it.
    size: usize,
}

impl EncodedPacket {
    /// Builds a packet: `write` appends its text, as if it had no attachments, and returns the attachments.
    ///
    /// # Errors
    /// Those of `write`.
    #[inline]
    pub fn build<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, E>) -> Result<Self, E> {
        let mut buffer = TextBuffer::with_capacity(PACKET_BYTES_GUESS);
        let attachments = write(buffer.as_mut_vec())?;
        Ok(match attachments {
            None => Self(Form::Text(buffer.finish())),
            Some(attachments) => Self::with_attachments(buffer.text(), &attachments),
        })
    }

    fn build_text(write: impl FnOnce(&mut Vec<u8>) -> Attachments) -> Self {
        match Self::build(|out| Ok::<_, Infallible>(write(out))) {
            Ok(packet) => packet,
        }
    }

    /// Creates a packet from a text that was written as if it had no attachments.
    pub fn from_written(text: &[u8], attachments: Attachments) -> Self {
        if let Some(attachments) = attachments {
            return Self::with_attachments(text, &attachments);
        }
        let mut buffer = TextBuffer::with_capacity(text.len());
        buffer.as_mut_vec().extend_from_slice(text);
        Self(Form::Text(buffer.finish()))
    }

    /// Wraps a message that is sent as it is, to a peer whose protocol is the application's.
    pub fn from_message(message: Outgoing) -> Self {
        Self(Form::Text(message))
    }

    /// Creates a packet with attachments. Their number is known only when all of the text is written, and is in front
    /// of it.
    fn with_attachments(text: &[u8], attachments: &[Bytes]) -> Self {
        let mut buffer = TextBuffer::with_capacity(text.len() + 8);
        let out = buffer.as_mut_vec();
        if let Some((&digit, rest)) = text.split_first() {
            out.push(PacketType::binary_digit(digit));
            write_u64(out, attachments.len() as u64);
            out.push(b'-');
            out.extend_from_slice(rest);
        }
        let attachments = attachments.iter().cloned().map(Outgoing::binary);
        let attachments = attachments.collect();
        Self::from_parts(buffer.finish().shared(), attachments)
    }

    /// Returns the messages for a peer with the default parser: the text and then the attachments. No other message may
    /// be sent between them.
    pub fn default_frames(&self) -> impl Iterator<Item = &Outgoing> + Clone {
        std::iter::once(self.first()).chain(self.attachments())
    }

    /// Returns the text for a peer with the default parser.
    #[inline]
    pub fn first(&self) -> &Outgoing {
        match &self.0 {
            Form::Text(text) => text,
            Form::Parts(parts) => &parts.text,
        }
    }

    /// Returns the finished WebSocket frame for a peer with the default parser, if the packet has no attachments.
    #[inline]
    pub fn text_frame(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(text) => text.text_frame(),
            Form::Parts(parts) if parts.attachments.is_empty() => parts.text.text_frame(),
            Form::Parts(_) => None,
        }
    }

    /// Returns the attachments for a peer with the default parser.
    #[inline]
    pub fn attachments(&self) -> &[Outgoing] {
        match &self.0 {
            Form::Text(_) => &[],
            Form::Parts(parts) => &parts.attachments,
        }
    }

    /// Checks the number of attachments, for a peer with the default parser.
    ///
    /// # Errors
    /// [`EncodeError::TooManyAttachments`] if there are more than `max`.
    #[inline]
    pub fn check_attachments(&self, max: usize) -> Result<(), EncodeError> {
        let count = self.attachments().len();
        if count > max {
            return Err(EncodeError::TooManyAttachments { count, max });
        }
        Ok(())
    }

    /// Returns the one message for a peer with the msgpack parser.
    ///
    /// It is encoded on first use and kept if the packet is [`shared`](Self::shared) or has attachments.
    pub fn msgpack(&self) -> Outgoing {
        let encode = || {
            let Message::Text(text) = self.first().message() else {
                // Unreachable: the first message is text.
                return self.first().clone();
            };
            let bytes = |attachment: &Outgoing| match attachment.message() {
                Message::Binary(bytes) => Some(bytes),
                Message::Text(_) => None,
            };
            let attachments: Vec<_> = self.attachments().iter().filter_map(bytes).collect();
            let packet = msgpack::encode(text.as_bytes(), &attachments);
            Outgoing::binary(Bytes::from(packet))
        };
        match &self.0 {
            Form::Text(_) => encode(),
            Form::Parts(parts) => parts.msgpack.get_or_init(encode).clone(),
        }
    }

    /// Decodes the event of the packet, for listeners to outgoing events. Returns `None` for other packets.
    pub fn event(&self) -> Option<RawEvent> {
        let limits = DecoderLimits {
            max_attachments: usize::MAX,
            max_attachment_bytes: usize::MAX,
            any_auth: true,
            ..DecoderLimits::default()
        };
        let mut decoder = Decoder::new(ParserKind::Default, limits);
        let mut messages = self.default_frames().map(Outgoing::message);
        let packet = messages.find_map(|message| decoder.decode(message).transpose())?;
        match packet {
            Ok(Packet::Event { event, .. }) => Some(event),
            _ => None,
        }
    }

    /// Returns the event with one more argument, a text that needs no escapes: the offset with which a client asks for what
    /// it has missed. The packet must be an event. Spec: Socket.IO, "Connection state recovery".
    #[must_use]
    pub fn with_offset(&self, offset: &[u8]) -> Self {
        let text = self.first().text_bytes();
        let mut buffer = TextBuffer::with_capacity(text.len() + offset.len() + 3);
        buffer.as_mut_vec().extend_from_slice(text);
        write_offset(buffer.as_mut_vec(), offset);
        match &self.0 {
            Form::Text(_) => Self(Form::Text(buffer.finish())),
            Form::Parts(parts) => {
                Self::from_parts(buffer.finish().shared(), parts.attachments.clone())
            }
        }
    }

    /// Returns whether the last argument of an event is a text, or its name if it has no arguments: a JavaScript client takes
    /// that for an offset.
    pub fn ends_with_text(&self) -> bool {
        self.first().text_bytes().ends_with(b"\"]")
    }

    /// Makes all later clones share one text and one msgpack message. For packets with many recipients.
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            Form::Text(text) => Self::from_parts(text.shared(), Vec::new()),
            Form::Parts(_) => self,
        }
    }

    fn from_parts(text: Outgoing, attachments: Vec<Outgoing>) -> Self {
        let size = text.len() + attachments.iter().map(Outgoing::len).sum::<usize>();
        Self(Form::Parts(Arc::new(Parts {
            text,
            attachments,
            msgpack: OnceLock::new(),
            size,
        })))
    }

    /// Returns the size of the text and the attachments in bytes.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        match &self.0 {
            Form::Text(text) => text.len(),
            Form::Parts(parts) => parts.size,
        }
    }
}

/// Encodes an event.
///
/// A tuple or tuple struct becomes as many arguments as it has fields, `()` and a unit struct none. Everything else is
/// one argument, including arrays, newtypes and options. Types that serialise as bytes ([`Bytes`], [`Value::Binary`])
/// become attachments. Numbers that are not finite become null.
///
/// `namespace` begins with a slash and contains no comma, here and in the other functions.
///
/// [`Value::Binary`]: crate::Value::Binary
///
/// # Errors
/// [`EncodeError`] if the name is reserved, or the arguments cannot be written.
pub fn encode_event<T: Serialize + ?Sized>(
    namespace: &str,
    id: Option<AckId>,
    name: &str,
    args: &T,
) -> Result<EncodedPacket, EncodeError> {
    EncodedPacket::build(|out| write_event(out, namespace, id, name, args))
}

/// Appends the text of an event and returns its attachments: what [`encode_event`] encodes.
///
/// # Errors
/// As [`encode_event`]. The appended text is incomplete then.
#[inline]
pub fn write_event<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<AckId>,
    name: &str,
    args: &T,
) -> Result<Attachments, EncodeError> {
    write_name(out, namespace, id, name, ARGS_BYTES_GUESS)?;
    write_args(out, args)
}

/// Encodes an event with received arguments, which are copied unchanged.
///
/// # Errors
/// [`EncodeError::ReservedName`].
pub fn encode_event_args(
    namespace: &str,
    id: Option<AckId>,
    name: &str,
    args: &Args,
) -> Result<EncodedPacket, EncodeError> {
    EncodedPacket::build(|out| write_event_args(out, namespace, id, name, args))
}

/// Appends the text of an event and returns its attachments: what [`encode_event_args`] encodes.
///
/// # Errors
/// [`EncodeError::ReservedName`].
#[inline]
pub fn write_event_args(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<AckId>,
    name: &str,
    args: &Args,
) -> Result<Attachments, EncodeError> {
    write_name(out, namespace, id, name, args.text_bytes())?;
    if !args.is_empty() {
        out.push(b',');
    }
    Ok(write_raw_args(out, args))
}

/// Appends an offset to the text of an event, which ends with its last argument; see [`EncodedPacket::with_offset`].
#[inline]
pub fn write_offset(out: &mut Vec<u8>, offset: &[u8]) {
    if out.last() == Some(&b']') {
        out.pop();
    }
    out.extend_from_slice(b",\"");
    out.extend_from_slice(offset);
    out.extend_from_slice(b"\"]");
}

/// Encodes an acknowledgement. `args` are serialised as those of [`encode_event`].
///
/// # Errors
/// [`EncodeError`] if the arguments cannot be written.
pub fn encode_ack<T: Serialize + ?Sized>(
    namespace: &str,
    id: AckId,
    args: &T,
) -> Result<EncodedPacket, EncodeError> {
    EncodedPacket::build(|out| {
        write_head(out, PacketType::Ack, namespace, Some(id), ARGS_BYTES_GUESS);
        out.push(b'[');
        write_args(out, args)
    })
}

/// Encodes an acknowledgement with received arguments, which are copied unchanged.
pub fn encode_ack_args(namespace: &str, id: AckId, args: &Args) -> EncodedPacket {
    EncodedPacket::build_text(|out| {
        let bytes = args.text_bytes();
        write_head(out, PacketType::Ack, namespace, Some(id), bytes);
        out.push(b'[');
        write_raw_args(out, args)
    })
}

/// Encodes a CONNECT. Its payload is the text of a JSON object.
pub fn encode_connect(namespace: &str, json: Option<&str>) -> EncodedPacket {
    let json = json.unwrap_or_default();
    EncodedPacket::build_text(|out| {
        write_head(out, PacketType::Connect, namespace, None, json.len());
        out.extend_from_slice(json.as_bytes());
        None
    })
}

/// Encodes a DISCONNECT.
pub fn encode_disconnect(namespace: &str) -> EncodedPacket {
    EncodedPacket::build_text(|out| {
        write_head(out, PacketType::Disconnect, namespace, None, 0);
        None
    })
}

/// Encodes a `CONNECT_ERROR`, the refusal of a namespace.
///
/// # Errors
/// [`EncodeError`] if the data cannot be written or contains bytes.
pub fn encode_connect_error<T: Serialize + ?Sized>(
    namespace: &str,
    message: &str,
    data: Option<&T>,
) -> Result<EncodedPacket, EncodeError> {
    encode_refusal(namespace, message, |json| {
        json.open(b'{')?;
        json.write_member("message", message)?;
        if let Some(data) = data {
            json.write_member("data", data)?;
        }
        json.close("}");
        Ok(())
    })
}

/// Encodes the refusal of a namespace for clients of protocol revision 4 and older: only the data if there is any,
/// otherwise only the message.
///
/// # Errors
/// [`EncodeError`] if the data cannot be written or contains bytes.
pub fn encode_legacy_connect_error<T: Serialize + ?Sized>(
    namespace: &str,
    message: &str,
    data: Option<&T>,
) -> Result<EncodedPacket, EncodeError> {
    encode_refusal(namespace, message, |json| match data {
        Some(data) => data.serialize(json),
        None => message.serialize(json),
    })
}

fn encode_refusal(
    namespace: &str,
    message: &str,
    write: impl FnOnce(&mut JsonWriter<'_>) -> Result<(), EncodeError>,
) -> Result<EncodedPacket, EncodeError> {
    EncodedPacket::build(|out| {
        let bytes = message.len() + ARGS_BYTES_GUESS;
        write_head(out, PacketType::ConnectError, namespace, None, bytes);
        let mut json = JsonWriter::new(out, 0);
        write(&mut json)?;
        json.finish_without_attachments()?;
        Ok(None)
    })
}

/// Appends an event up to its name, and reserves space for the arguments.
#[inline]
fn write_name(
    out: &mut Vec<u8>,
    namespace: &str,
    id: Option<AckId>,
    name: &str,
    args_bytes: usize,
) -> Result<(), EncodeError> {
    if is_reserved_event_name(name) {
        return Err(EncodeError::ReservedName { name: name.into() });
    }
    let bytes = name.len() + args_bytes;
    write_head(out, PacketType::Event, namespace, id, bytes);
    out.push(b'[');
    write_string(out, name);
    Ok(())
}

/// Appends type, namespace and id, and reserves space for a payload.
#[inline]
fn write_head(
    out: &mut Vec<u8>,
    packet_type: PacketType,
    namespace: &str,
    id: Option<AckId>,
    payload_bytes: usize,
) {
    // Comma, brackets, quotes and an id.
    const REST_BYTES: usize = 24;
    out.reserve(namespace.len() + payload_bytes + REST_BYTES);
    out.push(packet_type.digit());
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(AckId(id)) = id {
        write_u64(out, id);
    }
}

/// Appends the arguments, closes the array and returns the attachments.
fn write_args<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    args: &T,
) -> Result<Attachments, EncodeError> {
    let mut json = JsonWriter::new(out, 1);
    json.write_args(args, !is_array::<T>())?;
    let attachments = json.finish()?;
    out.push(b']');
    Ok(shared(attachments))
}

/// Copies the arguments, closes the array and returns the attachments.
#[inline]
fn write_raw_args(out: &mut Vec<u8>, args: &Args) -> Attachments {
    out.extend_from_slice(args.json_bytes());
    out.push(b']');
    args.shared_attachments()
}
