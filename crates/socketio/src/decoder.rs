//! From messages to packets: the state of one connection's parser.
//!
//! A text message is a packet of the default parser, or announces one whose attachments follow as binary messages. With
//! the msgpack parser every binary message is a packet. Whatever is wrong here ends the connection.
//!
//! Spec: Socket.IO protocol v5, "Packet encoding"; error texts as in the JavaScript parsers.

use bytes::Bytes;
use kokanee_engineio::{Message, Str};

use crate::{
    AckId, Args, MAX_DEPTH, Packet, RawEvent,
    attachments::attach,
    header::{Header, PacketType, ack_id, namespace},
    is_reserved_event_name, msgpack,
    packet::Name,
    scan::{
        Arguments, NameSpan, ScanError, scan_ack, scan_event, scan_strings, scan_value, unescape,
    },
};

/// Which parsers a [`Decoder`] understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ParserKind {
    /// The default parser: JSON text with binary attachments.
    #[default]
    Default,
    /// The msgpack parser: one binary message per packet, in which any number of binary values is possible. A `Date` is the
    /// text that it is in JSON, in a Rust type too. JavaScript's `undefined` is null in an array and missing from an object,
    /// and so are numbers that are not finite null.
    Msgpack,
    /// Whichever the peer uses in its first packet, and from then on that one alone.
    Both,
}

/// Bounds on what one packet may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Most attachments of a packet, and most placeholders for them. Does not hold for the binary values in a msgpack packet,
    /// which are counted nowhere. Defaults to 10.
    pub max_attachments: usize,
    /// Most bytes of all attachments of a packet together; one with two placeholders counts twice. A msgpack packet, which
    /// is kept as JSON text with attachments, may become larger by as much. Defaults to 1,900,000.
    pub max_attachment_bytes: usize,
    /// Deepest nesting of arrays and objects. Defaults to [`MAX_DEPTH`], which is also the most.
    pub max_depth: usize,
    /// Longest namespace in bytes, without its `?query`. Defaults to 255.
    pub max_namespace_bytes: usize,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_attachment_bytes: 1_900_000,
            max_depth: MAX_DEPTH,
            max_namespace_bytes: 255,
        }
    }
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
    waiting: Option<Box<Waiting>>,
}

/// A packet whose attachments have not all come.
#[derive(Debug)]
struct Waiting {
    packet: Packet,
    attachments: Vec<Bytes>,
    announced: usize,
    bytes: usize,
    /// The text included.
    held_bytes: usize,
}

impl Decoder {
    /// A decoder for a new session.
    pub fn new(parser: ParserKind, limits: DecoderLimits) -> Self {
        Self {
            limits,
            parser,
            waiting: None,
        }
    }

    /// Takes the next message. `None` while attachments are outstanding.
    ///
    /// # Errors
    /// [`DecodeError`]: the connection must be closed. What waited for attachments is dropped.
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

    /// Whether a packet waits for attachments. The caller puts a deadline on that.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Bytes of memory that the packet takes that waits for attachments: its text, and those that have come.
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting
            .as_ref()
            .map_or(0, |waiting| waiting.held_bytes)
    }

    /// The parser that the peer uses. `None` before its first packet if both are accepted.
    #[inline]
    pub fn peer_parser(&self) -> Option<ParserKind> {
        (self.parser != ParserKind::Both).then_some(self.parser)
    }

    /// Finds the parts of the most frequent message: an event with a plain name, without attachments. `None` for
    /// all others, and for what is no packet: [`parse`](Self::parse) says more.
    ///
    /// A function of its own that knows little, so that all of it stays in registers.
    #[inline(never)]
    pub(crate) fn straight_event(&mut self, text: &[u8]) -> Option<StraightEvent> {
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
        Some(StraightEvent {
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
        let content = Content::parse(header, text, self.limits.max_depth)?;
        self.parser = ParserKind::Default;
        Ok((header, content))
    }

    /// Makes a packet of the parts, or waits for its attachments.
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
        self.waiting = Some(Box::new(Waiting {
            packet,
            attachments: Vec::new(),
            announced: header.attachments,
            bytes: 0,
            held_bytes,
        }));
        None
    }

    fn on_binary(&mut self, bytes: Bytes) -> Result<Option<Packet>, DecodeError> {
        // A part of a larger body is copied, so that whoever keeps it does not keep the body.
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
        let Waiting {
            packet,
            attachments,
            ..
        } = *waiting;
        attach(packet, attachments, &self.limits).map(Some)
    }
}

/// Where the parts of an event are.
pub(crate) struct StraightEvent {
    /// Start and end of the namespace. `None` for `/`.
    pub(crate) namespace: Option<(usize, usize)>,
    pub(crate) id: Option<AckId>,
    name: NameSpan,
    args: Arguments,
}

impl StraightEvent {
    /// The event, of which `text` is the message.
    #[inline]
    pub(crate) fn take(self, text: Str) -> RawEvent {
        let NameSpan { start, end, .. } = self.name;
        RawEvent::received(Name::InText { start, end }, Args::received(text, self.args))
    }
}

/// Where the parts of a payload are.
#[derive(Debug)]
pub(crate) enum Content {
    /// Name and arguments.
    Event(Name, Arguments),
    /// The arguments of an acknowledgement.
    Ack(Arguments),
    /// The beginning and end of the JSON, if there is one.
    Connect(Option<(usize, usize)>),
    Disconnect,
    /// As for `Connect`.
    ConnectError(Option<(usize, usize)>),
}

impl Content {
    /// Checks the payload of a packet.
    #[inline]
    pub(crate) fn parse(
        header: Header,
        text: &[u8],
        max_depth: usize,
    ) -> Result<Self, DecodeError> {
        let scan_failed = |error| match error {
            ScanError::Invalid => DecodeError::InvalidPayload,
            ScanError::TooDeep => DecodeError::TooDeep {
                max: max_depth.min(MAX_DEPTH),
            },
        };
        let payload = header.payload;
        let json = || {
            let end = scan_value(text, payload, max_depth).map_err(scan_failed)?;
            Ok(Some((payload, end)))
        };
        Ok(match (header.packet_type, header.id) {
            (PacketType::Event, _) => {
                let (span, found) = scan_event(text, payload, max_depth).map_err(scan_failed)?;
                Self::Event(event_name(text, span)?, found)
            }
            (PacketType::Ack, Some(_)) => {
                Self::Ack(scan_ack(text, payload, max_depth).map_err(scan_failed)?)
            }
            (PacketType::Connect, None) => match text.get(payload) {
                None => Self::Connect(None),
                Some(b'{') => Self::Connect(json()?),
                Some(_) => return Err(DecodeError::InvalidPayload),
            },
            (PacketType::Disconnect, None) if payload == text.len() => Self::Disconnect,
            (PacketType::ConnectError, None) => match text.get(payload) {
                // The specification demands a payload, a JavaScript client would crash without one; nothing is lost here.
                None => Self::ConnectError(None),
                Some(b'{' | b'"') => Self::ConnectError(json()?),
                Some(_) => return Err(DecodeError::InvalidPayload),
            },
            _ => return Err(DecodeError::InvalidPayload),
        })
    }

    /// The packet whose parts were found in `text`.
    pub(crate) fn into_packet(self, namespace: Str, id: Option<AckId>, text: Str) -> Packet {
        let json = |span: Option<(usize, usize)>| span.map(|(start, end)| part(&text, start, end));
        match (self, id) {
            (Self::Event(name, found), id) => Packet::Event {
                namespace,
                id,
                event: RawEvent::received(name, Args::received(text, found)),
            },
            (Self::Ack(found), id) => Packet::Ack {
                namespace,
                // Checked when it was parsed.
                id: id.unwrap_or(AckId(0)),
                args: Args::received(text, found),
            },
            (Self::Connect(span), _) => Packet::Connect {
                namespace,
                auth: json(span),
            },
            (Self::Disconnect, _) => Packet::Disconnect { namespace },
            (Self::ConnectError(span), _) => Packet::ConnectError {
                namespace,
                data: json(span),
            },
        }
    }
}

/// The name of an event, which may not be a reserved one however it is spelled.
#[inline]
fn event_name(text: &[u8], span: NameSpan) -> Result<Name, DecodeError> {
    let NameSpan {
        start,
        end,
        escaped,
    } = span;
    let invalid = DecodeError::InvalidPayload;
    if escaped {
        let text = text.get(start..end).unwrap_or_default();
        let name = unescape(std::str::from_utf8(text).map_err(|_| invalid.clone())?);
        return if is_reserved_event_name(name.as_bytes()) {
            Err(invalid)
        } else {
            Ok(Name::Own(name.into()))
        };
    }
    let name = text.get(start..end).unwrap_or_default();
    if is_reserved_event_name(name) {
        Err(invalid)
    } else {
        Ok(Name::InText { start, end })
    }
}

/// A part of `text` between two ASCII characters.
fn part(text: &Str, start: usize, end: usize) -> Str {
    text.slice(start, end)
        .expect("the parser stops at ASCII characters only")
}

/// The peer sent something that is not a packet. The connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A message without content.
    #[error("empty packet")]
    Empty,
    /// The first character is no type.
    #[error("unknown packet type {}", DisplayType(*found))]
    UnknownPacketType {
        /// The first byte.
        found: u8,
    },
    /// The number of attachments is missing, zero or no number.
    #[error("Illegal attachments")]
    IllegalAttachmentCount,
    /// More attachments than allowed.
    #[error("too many attachments")]
    TooManyAttachments {
        /// The limit.
        max: usize,
    },
    /// The attachments of one packet are too large.
    #[error("attachments exceed {max} bytes")]
    AttachmentsTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// A placeholder stands for no attachment.
    #[error("illegal attachments")]
    IllegalPlaceholder,
    /// Text came instead of an attachment.
    #[error("got plaintext data when reconstructing a packet")]
    UnexpectedText,
    /// An attachment came that nothing announced.
    #[error("got binary data when not reconstructing a packet")]
    UnexpectedBinary,
    /// Text came from a peer that has to use msgpack.
    #[error("got plaintext data instead of a msgpack packet")]
    TextInsteadOfMsgpack,
    /// A namespace of excessive length.
    #[error("namespace longer than {max} bytes")]
    NamespaceTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The acknowledgement id is no number, or exceeds 2^63 − 1.
    #[error("invalid packet id")]
    InvalidAckId,
    /// The payload is not JSON, or not what this type of packet carries.
    #[error("invalid payload")]
    InvalidPayload,
    /// Arrays and objects are nested too deep.
    #[error("payload nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// The data of a msgpack packet become so much larger as JSON text.
    #[error("msgpack grows by more than {max} bytes as text")]
    MsgpackTooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The packet is not msgpack, or not a map.
    #[error("invalid msgpack")]
    InvalidMsgpack,
    /// The `type` of a msgpack packet is missing or unknown.
    #[error("invalid packet type")]
    InvalidPacketType,
    /// The `nsp` of a msgpack packet is missing or no namespace.
    #[error("invalid namespace")]
    InvalidNamespace,
}

/// Shows a type character as JavaScript does: a digit as itself, anything else as `NaN`.
struct DisplayType(u8);

impl std::fmt::Display for DisplayType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            digit @ b'0'..=b'9' => write!(f, "{}", digit - b'0'),
            _ => f.write_str("NaN"),
        }
    }
}
