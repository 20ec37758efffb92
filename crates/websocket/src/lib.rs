//! The WebSocket protocol (RFC 6455) without I/O: frames, masking, messages, close codes and the
//! key of the opening handshake.
//!
//! The caller owns the socket. Received bytes go through a [`Decoder`], which returns [`Message`]s borrowed from those
//! bytes wherever it can; a frame to send is an [`encode_header`] followed by the payload, which a client also masks
//! with [`apply_mask`]. The only supported extension is permessage-deflate (RFC 7692), which both ends must enable:
//! [`DeflateOptions`] negotiates it, [`Decoder::with_deflate`] inflates and [`Compressor`] compresses. Without it a
//! reserved bit is a protocol error.
//!
//! ```
//! use kokanee_websocket::{Decoder, Limits, Message, OpCode, Role, apply_mask, encode_header};
//!
//! // A client sends "Hello".
//! let key = [0x37, 0xfa, 0x21, 0x3d];
//! let mut payload = *b"Hello";
//! apply_mask(&mut payload, key, 0);
//! let mut received = encode_header(OpCode::Text, payload.len(), Some(key)).as_slice().to_vec();
//! received.extend_from_slice(&payload);
//!
//! // A server reads it.
//! let mut decoder = Decoder::new(Role::Server, Limits::default());
//! let mut input = received.as_mut_slice();
//! assert_eq!(decoder.decode(&mut input)?, Some(Message::Text("Hello")));
//! assert_eq!(decoder.decode(&mut input)?, None);
//! # Ok::<(), kokanee_websocket::DecodeError>(())
//! ```

#![expect(
    clippy::mut_mut,
    reason = "decoding advances a slice of the caller's buffer and unmasks in it"
)]

mod assembly;
mod close;
mod close_code;
mod compressor;
mod decoder;
mod deflate;
mod error;
mod extension;
mod growth;
mod handshake;
mod header;
mod inflater;
mod limits;
mod mask;
mod message;
mod opcode;
mod role;
mod text;

pub use close::{CloseFrame, ClosePayload, MAX_CLOSE_REASON_BYTES};
pub use close_code::CloseCode;
pub use compressor::Compressor;
pub use decoder::Decoder;
pub use deflate::{
    DeflateAgreement, DeflateOptions, EXTENSIONS_HEADER, NegotiationError, WindowBits,
};
pub use error::DecodeError;
pub use handshake::{KEY_BYTES, VERSION, accept_key, encode_key, is_valid_key};
pub use header::{
    Header, MAX_CONTROL_PAYLOAD_BYTES, MAX_HEADER_BYTES, MAX_SERVER_HEADER_BYTES, encode_header,
};
pub use limits::Limits;
pub use mask::{MaskKey, apply_mask};
pub use message::Message;
pub use opcode::OpCode;
pub use role::Role;
