//! From events, acknowledgements and the rest to messages, once for all recipients.
//!
//! The text is built in the buffer in which it will be sent. Spec: Socket.IO protocol v5, "Packet encoding".

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kokanee_engineio::{Message, Outgoing, TextBuffer};
use serde::{Serialize, ser};

use crate::{
    AckId, Args,
    args::is_array,
    header::PacketType,
    is_reserved_event_name, msgpack,
    ser::{JsonWriter, write_string, write_u64},
};

/// Room for arguments of unknown size.
const ARGS_BYTES_GUESS: usize = 128;

/// A packet to send, encoded once and shared by all its recipients. Cloning counts references.
#[derive(Debug, Clone)]
pub struct EncodedPacket(Form);

#[derive(Debug, Clone)]
enum Form {
    /// A text alone, for one recipient.
    Text(Outgoing),
    /// All that recipients share.
    Parts(Arc<Parts>),
}

#[derive(Debug)]
struct Parts {
    text: Outgoing,
    attachments: Vec<Outgoing>,
    msgpack: OnceLock<Outgoing>,
    /// Bytes of the text and the attachments: asked for by every recipient.
    size: usize,
}

impl EncodedPacket {
    /// The messages for a peer with the default parser: the text and then the attachments, with nothing between them.
    pub fn default_frames(&self) -> impl Iterator<Item = &Outgoing> + Clone {
        std::iter::once(self.first()).chain(self.attachments())
    }

    /// The text for a peer with the default parser.
    #[inline]
    pub fn first(&self) -> &Outgoing {
        match &self.0 {
            Form::Text(text) => text,
            Form::Parts(parts) => &parts.text,
        }
    }

    /// The finished WebSocket frame for a peer with the default parser, if the packet is a text alone.
    #[inline]
    pub fn text_frame(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(text) => text.text_frame(),
            Form::Parts(parts) if parts.attachments.is_empty() => parts.text.text_frame(),
            Form::Parts(_) => None,
        }
    }

    /// The attachments for a peer with the default parser.
    #[inline]
    pub fn attachments(&self) -> &[Outgoing] {
        match &self.0 {
            Form::Text(_) => &[],
            Form::Parts(parts) => &parts.attachments,
        }
    }

    /// The one message for a peer with the msgpack parser.
    ///
    /// It is made on first need and kept if the packet is [`shared`](Self::shared) or has attachments.
    pub fn msgpack(&self) -> Outgoing {
        let encode = || {
            let Message::Text(text) = self.first().message() else {
                // Never the case: the first message is text.
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

    /// Lets all clones made from now on share one text and one msgpack message. For packets with many recipients.
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

    /// Bytes of the text and the attachments.
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
/// one argument, arrays, newtypes and options included. What serialises as bytes ([`Bytes`], [`Value::Binary`]) becomes
/// an attachment. Numbers that are not finite become null.
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
    check_name(name)?;
    let mut text = Text::new(
        PacketType::Event,
        namespace,
        id,
        name.len() + ARGS_BYTES_GUESS,
    );
    text.write_name(name);
    text.finish_with(args)
}

/// Encodes an event with arguments that were received, which are copied as they are.
///
/// # Errors
/// [`EncodeError::ReservedName`].
pub fn encode_event_args(
    namespace: &str,
    id: Option<AckId>,
    name: &str,
    args: &Args,
) -> Result<EncodedPacket, EncodeError> {
    check_name(name)?;
    let mut text = Text::new(
        PacketType::Event,
        namespace,
        id,
        name.len() + args.json_bytes().len(),
    );
    text.write_name(name);
    if !args.is_empty() {
        text.out().push(b',');
    }
    Ok(text.finish_with_raw(args))
}

/// Encodes an acknowledgement. `args` become its arguments as those of [`encode_event`] do.
///
/// # Errors
/// [`EncodeError`] if the arguments cannot be written.
pub fn encode_ack<T: Serialize + ?Sized>(
    namespace: &str,
    id: AckId,
    args: &T,
) -> Result<EncodedPacket, EncodeError> {
    let mut text = Text::new(PacketType::Ack, namespace, Some(id), ARGS_BYTES_GUESS);
    text.out().push(b'[');
    text.finish_with(args)
}

/// Encodes an acknowledgement with arguments that were received, which are copied as they are.
pub fn encode_ack_args(namespace: &str, id: AckId, args: &Args) -> EncodedPacket {
    let mut text = Text::new(
        PacketType::Ack,
        namespace,
        Some(id),
        args.json_bytes().len(),
    );
    text.out().push(b'[');
    text.finish_with_raw(args)
}

/// Encodes a CONNECT with a JSON object, given as text, as payload.
pub fn encode_connect(namespace: &str, json: Option<&str>) -> EncodedPacket {
    let json = json.unwrap_or_default();
    let mut text = Text::new(PacketType::Connect, namespace, None, json.len());
    text.buffer.push_str(json);
    text.finish()
}

/// Encodes a DISCONNECT.
pub fn encode_disconnect(namespace: &str) -> EncodedPacket {
    Text::new(PacketType::Disconnect, namespace, None, 0).finish()
}

/// Encodes a `CONNECT_ERROR`, the refusal of a namespace.
///
/// # Errors
/// [`EncodeError`] if the data cannot be written or contain bytes.
pub fn encode_connect_error<T: Serialize + ?Sized>(
    namespace: &str,
    message: &str,
    data: Option<&T>,
) -> Result<EncodedPacket, EncodeError> {
    let mut text = Text::new(
        PacketType::ConnectError,
        namespace,
        None,
        message.len() + ARGS_BYTES_GUESS,
    );
    let mut json = JsonWriter::new(text.out(), 0);
    json.open(b'{')?;
    json.write_member("message", message)?;
    if let Some(data) = data {
        json.write_member("data", data)?;
    }
    json.close("}");
    json.finish_without_attachments()?;
    Ok(text.finish())
}

/// Encodes the refusal of a namespace for clients of protocol revision 4 and older: the data alone if there are some,
/// otherwise the message.
///
/// # Errors
/// [`EncodeError`] if the data cannot be written or contain bytes.
pub fn encode_legacy_connect_error<T: Serialize + ?Sized>(
    namespace: &str,
    message: &str,
    data: Option<&T>,
) -> Result<EncodedPacket, EncodeError> {
    let mut text = Text::new(
        PacketType::ConnectError,
        namespace,
        None,
        message.len() + ARGS_BYTES_GUESS,
    );
    let mut json = JsonWriter::new(text.out(), 0);
    match data {
        Some(data) => data.serialize(&mut json)?,
        None => message.serialize(&mut json)?,
    }
    json.finish_without_attachments()?;
    Ok(text.finish())
}

#[inline]
fn check_name(name: &str) -> Result<(), EncodeError> {
    if is_reserved_event_name(name) {
        Err(EncodeError::ReservedName { name: name.into() })
    } else {
        Ok(())
    }
}

/// The text of a packet in the making.
struct Text {
    buffer: TextBuffer,
    packet_type: PacketType,
    /// Offset in the buffer behind the packet's type.
    head: usize,
}

impl Text {
    /// Writes type, namespace and id.
    #[inline]
    fn new(
        packet_type: PacketType,
        namespace: &str,
        id: Option<AckId>,
        payload_bytes: usize,
    ) -> Self {
        // Comma, brackets, quotes and an id.
        const REST_BYTES: usize = 24;
        let mut buffer = TextBuffer::with_capacity(namespace.len() + payload_bytes + REST_BYTES);
        let out = buffer.as_mut_vec();
        out.push(packet_type.digit());
        let head = out.len();
        if namespace != "/" {
            out.extend_from_slice(namespace.as_bytes());
            out.push(b',');
        }
        if let Some(AckId(id)) = id {
            write_u64(out, id);
        }
        Self {
            buffer,
            packet_type,
            head,
        }
    }

    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        self.buffer.as_mut_vec()
    }

    /// Opens the array of an event.
    #[inline]
    fn write_name(&mut self, name: &str) {
        self.out().push(b'[');
        write_string(self.out(), name);
    }

    /// Writes the arguments and closes the array.
    fn finish_with<T: Serialize + ?Sized>(
        mut self,
        args: &T,
    ) -> Result<EncodedPacket, EncodeError> {
        let mut json = JsonWriter::new(self.out(), 1);
        json.write_args(args, !is_array::<T>())?;
        let attachments = json.finish()?;
        self.out().push(b']');
        Ok(self.finish_with_attachments(attachments))
    }

    /// Copies the arguments and closes the array.
    #[inline]
    fn finish_with_raw(mut self, args: &Args) -> EncodedPacket {
        self.out().extend_from_slice(args.json_bytes());
        self.out().push(b']');
        if args.attachments().is_empty() {
            self.finish()
        } else {
            self.finish_with_attachments(args.attachments().to_vec())
        }
    }

    fn finish_with_attachments(mut self, attachments: Vec<Bytes>) -> EncodedPacket {
        if attachments.is_empty() {
            return self.finish();
        }
        // The number of attachments is known only now, and stands in front.
        let Self {
            head, packet_type, ..
        } = self;
        let rest = self.out().get(head..).unwrap_or_default();
        let mut buffer = TextBuffer::with_capacity(rest.len() + 8);
        let out = buffer.as_mut_vec();
        out.push(packet_type.binary_digit());
        write_u64(out, attachments.len() as u64);
        out.push(b'-');
        out.extend_from_slice(rest);
        let attachments = attachments.into_iter().map(Outgoing::binary).collect();
        EncodedPacket::from_parts(buffer.finish().shared(), attachments)
    }

    #[inline]
    fn finish(self) -> EncodedPacket {
        EncodedPacket(Form::Text(self.buffer.finish()))
    }
}

/// A packet cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The peers' libraries give this event name a meaning of their own.
    #[error("{name:?} is a reserved event name")]
    ReservedName {
        /// The name.
        name: Box<str>,
    },
    /// Arrays and objects are nested deeper than a receiver would accept.
    #[error("arguments nested deeper than {max}")]
    TooDeep {
        /// The limit, [`MAX_DEPTH`](crate::MAX_DEPTH).
        max: usize,
    },
    /// The key of a map is neither text nor a number.
    #[error("a key must be text or a number")]
    KeyNotText,
    /// Beside bytes there is a map with `_placeholder: true`, which the receiver would take for bytes.
    #[error("arguments with bytes may not contain a key `_placeholder` that is true")]
    PlaceholderInData,
    /// Bytes where the protocol has no place for them.
    #[error("bytes are possible in events and acknowledgements only")]
    BinaryNotAllowed,
    /// The type refuses to be serialised.
    #[error("{0}")]
    Serialize(Box<str>),
}

impl ser::Error for EncodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Serialize(message.to_string().into())
    }
}
