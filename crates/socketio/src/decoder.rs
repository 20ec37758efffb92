//! Decodes messages to packets: the state of one connection's parser.
//!
//! A text message is a packet of the default parser, or announces one whose attachments follow as binary messages. With
//! the msgpack parser every binary message is a packet. Every error ends the connection.
//!
//! Spec: Socket.IO protocol v5, "Packet encoding"; error texts as in the JavaScript parsers.

use bytes::Bytes;
use kokanee_engineio::{Message, Str};

use crate::{
    args::Args,
    attach::attach,
    content::{Content, part},
    error::DecodeError,
    header::{Header, PacketType, ack_id, namespace},
    limits::DecoderLimits,
    msgpack,
    packet::{AckId, Name, Packet, RawEvent, is_reserved_event_name},
    scan::{Arguments, NameSpan, scan_event, scan_strings},
};

/// Says which parsers a server or client understands.
///
/// ```
/// use kokanee_socketio::ParserKind;
///
/// // In the builder of a server: .parser(ParserKind::Both), for clients with either parser.
/// assert_eq!(ParserKind::default(), ParserKind::Default);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ParserKind {
    /// The default parser: JSON text with binary attachments.
    #[default]
    Default,
    /// The msgpack parser: one binary message per packet, in which any number of binary values is possible. A `Date` is
    /// received as the string that it is in JSON. JavaScript's `undefined` is null in an array and missing from an
    /// object, and numbers that are not finite are null.
    Msgpack,
    /// The parser of the peer's first packet, and from then on only that one.
    Both,
}

/// Decodes the messages of one session into packets.
///
/// ```
/// use kokanee_engineio::Message;
/// use kokanee_socketio::{Decoder, DecoderLimits, Packet, ParserKind};
///
/// let mut decoder = Decoder::new(ParserKind::Default, DecoderLimits::default());
/// let packet = decoder.decode(Message::Text(r#"2["sum",20,22]"#.into()))?;
/// let Some(Packet::Event { event, .. }) = packet else { panic!("an event was sent") };
/// assert_eq!(event.name(), "sum");
/// assert_eq!(event.args().deserialize::<(i64, i64)>()?, (20, 22));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    parser: ParserKind,
    waiting: Option<Box<PartialPacket>>,
}

/// A packet with outstanding attachments.
#[derive(Debug)]
struct PartialPacket {
    packet: Packet,
    attachments: Vec<Bytes>,
    announced: usize,
    bytes: usize,
    /// Including the text.
    held_bytes: usize,
}

impl Decoder {
    /// Creates a decoder for a new session.
    pub fn new(parser: ParserKind, limits: DecoderLimits) -> Self {
        Self {
            limits,
            parser,
            waiting: None,
        }
    }

    /// Decodes the next message. Returns `None` while attachments are outstanding.
    ///
    /// # Errors
    /// [`DecodeError`]: the connection must be closed. An incomplete packet is dropped.
    #[inline]
    pub fn decode(&mut self, message: Message) -> Result<Option<Packet>, DecodeError> {
        match message {
            Message::Text(text) => {
                let (header, content) = self.parse(text.as_bytes())?;
                Ok(self.on_parsed(text, header, content))
            }
            Message::Binary(bytes) => self.on_binary(bytes),
        }
    }

    /// Returns whether a packet waits for attachments. The caller sets a deadline for them.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Returns the bytes of memory of the packet that waits for attachments: its text and the received attachments.
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting
            .as_ref()
            .map_or(0, |waiting| waiting.held_bytes)
    }

    /// Returns the parser that the peer uses. `None` before its first packet if both are accepted.
    #[inline]
    pub fn peer_parser(&self) -> Option<ParserKind> {
        (self.parser != ParserKind::Both).then_some(self.parser)
    }

    /// Finds the parts of the most frequent message: an event with a plain name, without attachments. Returns `None`
    /// for all other messages, valid or not: [`parse`](Self::parse) handles them.
    ///
    /// A separate function with few variables, so that all of them stay in registers.
    #[inline(never)]
    pub(crate) fn plain_event(&mut self, text: &[u8]) -> Option<PlainEvent> {
        if text.first() != Some(&PacketType::Event.digit())
            || self.waiting.is_some()
            || self.parser == ParserKind::Msgpack
        {
            return None;
        }
        let (namespace, at) = namespace(text, 1, &self.limits).ok()?;
        let (id, payload) = ack_id(text, at).ok()?;
        let max_depth = self.limits.max_depth;
        let (name, args) = match scan_strings(text, payload).filter(|_| max_depth > 0) {
            Some(found) => found,
            None => scan_event(text, payload, max_depth).ok()?,
        };
        let name_text = text.get(name.start..name.end)?;
        if name.escaped || is_reserved_event_name(name_text) {
            return None;
        }
        self.parser = ParserKind::Default;
        Some(PlainEvent {
            namespace,
            id,
            name,
            args,
        })
    }

    /// Finds the parts of a text message.
    fn parse(&mut self, text: &[u8]) -> Result<(Header, Content), DecodeError> {
        if self.waiting.take().is_some() {
            return Err(DecodeError::UnexpectedText);
        }
        if self.parser == ParserKind::Msgpack {
            return Err(DecodeError::TextInsteadOfMsgpack);
        }
        let header = Header::parse(text, &self.limits)?;
        let content = Content::parse(header, text, &self.limits)?;
        self.parser = ParserKind::Default;
        Ok((header, content))
    }

    /// Builds a packet from the parts. Returns `None` if it waits for attachments.
    fn on_parsed(&mut self, text: Str, header: Header, content: Content) -> Option<Packet> {
        let namespace = match header.namespace {
            None => Str::from_static("/"),
            Some((start, end)) => part(&text, start, end),
        };
        let held_bytes = text.held_bytes();
        let packet = content.into_packet(namespace, header.id, text);
        if header.attachments == 0 {
            return Some(packet);
        }
        self.waiting = Some(Box::new(PartialPacket {
            packet,
            attachments: Vec::new(),
            announced: header.attachments,
            bytes: 0,
            held_bytes,
        }));
        None
    }

    fn on_binary(&mut self, bytes: Bytes) -> Result<Option<Packet>, DecodeError> {
        // A part of a larger body is copied, so that keeping it does not keep the whole body allocated.
        let bytes = if bytes.is_unique() {
            bytes
        } else {
            Bytes::copy_from_slice(&bytes)
        };
        let Some(mut waiting) = self.waiting.take() else {
            if self.parser == ParserKind::Default {
                return Err(DecodeError::UnexpectedBinary);
            }
            let packet = msgpack::decode(&bytes, &self.limits)?;
            self.parser = ParserKind::Msgpack;
            return Ok(Some(packet));
        };
        waiting.bytes += bytes.len();
        waiting.held_bytes += bytes.len();
        if waiting.bytes > self.limits.max_attachment_bytes {
            return Err(DecodeError::AttachmentsTooLarge {
                max: self.limits.max_attachment_bytes,
            });
        }
        waiting.attachments.push(bytes);
        if waiting.attachments.len() < waiting.announced {
            self.waiting = Some(waiting);
            return Ok(None);
        }
        let PartialPacket {
            packet,
            attachments,
            ..
        } = *waiting;
        attach(packet, attachments, &self.limits).map(Some)
    }
}

/// Where the parts of an event are.
pub(crate) struct PlainEvent {
    /// Start and end of the namespace. `None` for `/`.
    pub(crate) namespace: Option<(usize, usize)>,
    pub(crate) id: Option<AckId>,
    name: NameSpan,
    args: Arguments,
}

impl PlainEvent {
    /// Builds the event from its message `text`.
    #[inline]
    pub(crate) fn take(self, text: Str) -> RawEvent {
        let NameSpan { start, end, .. } = self.name;
        RawEvent::received(Name::InText { start, end }, Args::received(text, self.args))
    }
}
