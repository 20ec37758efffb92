//! The errors of packets: received bytes are invalid ([`DecodeError`]), received arguments do not fit a type
//! ([`ArgsError`]), or data cannot be sent ([`EncodeError`]).
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
    /// The first character is not a type.
    #[error("unknown packet type {}", DisplayType(*found))]
    UnknownPacketType {
        /// The first byte.
        found: u8,
    },
    /// The number of attachments is missing, zero or not a number.
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
    /// A placeholder refers to a missing attachment.
    #[error("illegal attachments")]
    IllegalPlaceholder,
    /// Text came instead of an attachment.
    #[error("got plaintext data when reconstructing a packet")]
    UnexpectedText,
    /// An attachment came that no packet announced.
    #[error("got binary data when not reconstructing a packet")]
    UnexpectedBinary,
    /// Text came from a peer that must use msgpack.
    #[error("got plaintext data instead of a msgpack packet")]
    TextInsteadOfMsgpack,
    /// The namespace is too long.
    #[error("namespace longer than {max} bytes")]
    NamespaceTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// The acknowledgement id is not a number, or exceeds 2^63 − 1.
    #[error("invalid packet id")]
    InvalidAckId,
    /// The payload is not JSON, or does not fit the packet's type.
    #[error("invalid payload")]
    InvalidPayload,
    /// Arrays and objects are nested too deep.
    #[error("payload nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// The data of a msgpack packet grows too much when it is translated to JSON text.
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
    /// The `nsp` of a msgpack packet is missing or not a namespace.
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

/// The arguments do not fit the requested type.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ArgsError(pub(crate) serde_json::Error);

/// A packet cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The peers' libraries use this event name themselves.
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
    /// Arguments with bytes also contain a map with `_placeholder: true`, which the receiver would replace by bytes.
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
    /// Bytes in a packet that cannot carry them.
    #[error("bytes are possible in events and acknowledgements only")]
    BinaryNotAllowed,
    /// The type cannot be serialised.
    #[error("{0}")]
    Serialize(Box<str>),
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Serialize(message.to_string().into())
    }
}
