//! Socket.IO packets, parsers and connections without I/O.
//!
//! [`Decoder`] decodes the messages of one Engine.IO session to [`Packet`]s; the `encode_*` functions encode events,
//! acknowledgements and all other packets as an [`EncodedPacket`] that all recipients share. Arguments stay raw
//! ([`Args`]) until a handler asks for a type.
//!
//! Spec: Socket.IO protocol, revision 5 (revisions 4 and 3 differ in the connection, not in the packets), and the
//! msgpack parser of the JavaScript family.

mod args;
mod attach;
mod attachments;
mod client_connection;
mod connection;
mod content;
mod convert;
mod decoder;
mod encode;
mod error;
mod header;
mod json;
mod limits;
mod msgpack;
mod packet;
mod scan;
mod ser;
mod value;

pub use args::Args;
pub use attachments::Attachments;
pub use client_connection::{ClientConnection, ClientInput, Join};
pub use connection::{Connection, ConnectionConfig, Input, ProtocolError, ProtocolVersion};
pub use convert::{from_value, to_value};
pub use decoder::{Decoder, ParserKind};
pub use encode::{
    EncodedPacket, encode_ack, encode_ack_args, encode_connect, encode_connect_error,
    encode_disconnect, encode_event, encode_event_args, encode_legacy_connect_error, write_event,
    write_event_args, write_offset,
};
pub use error::{ArgsError, DecodeError, EncodeError};
pub use json::from_json;
pub use limits::DecoderLimits;
pub use packet::{AckId, Packet, RawEvent, is_reserved_event_name};
pub use scan::MAX_DEPTH;
pub use value::Value;
