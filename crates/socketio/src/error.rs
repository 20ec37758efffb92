//! What can go wrong with a packet, by direction: received bytes are wrong ([`DecodeError`]), received arguments do not fit
//! a type ([`ArgsError`]), or data cannot be sent ([`EncodeError`]).
//!
//! The texts of [`DecodeError`] are those of the JavaScript parsers.

use std::fmt;

use serde::ser;

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

impl fmt::Display for DisplayType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            digit @ b'0'..=b'9' => write!(f, "{}", digit - b'0'),
            _ => f.write_str("NaN"),
        }
    }
}

/// The arguments do not fit the type that was asked for.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ArgsError(pub(crate) serde_json::Error);

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
    /// More binary values than a peer with the default parser accepts: the JavaScript libraries end the connection at the
    /// eleventh. With the msgpack parser any number is possible.
    #[error("{count} binary values, but `max_outbound_attachments` allows {max} in one packet")]
    TooManyAttachments {
        /// How many there are.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// Bytes where the protocol has no place for them.
    #[error("bytes are possible in events and acknowledgements only")]
    BinaryNotAllowed,
    /// The type refuses to be serialised.
    #[error("{0}")]
    Serialize(Box<str>),
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Serialize(message.to_string().into())
    }
}
