//! Engine.IO without I/O: packets, payloads, and the [`Session`] that a driver feeds with requests, frames and the time.
//!
//! Spec: Engine.IO protocol, revision 4 and revision 3. What goes out is encoded once ([`Outgoing`]) and shared.

mod client_session;
mod close;
mod handshake;
mod heartbeat;
mod message;
mod outbox;
mod packet;
mod payload;
mod payload_v3;
mod queue;
mod run;
mod session;
mod sid;

pub use client_session::{ClientOutput, ClientSession, ClientSessionConfig};
pub use close::CloseReason;
pub use handshake::{Handshake, HandshakeError};
pub use message::{InvalidUtf8, Message, Outgoing, Str, TextBuffer};
pub use packet::{ControlText, DecodeError, OutPacket, Packet, PacketType, Revision};
pub use payload::{PayloadBody, PayloadDecoder, decode_jsonp_form, encode_jsonp, encode_payload};
pub use run::{FrameRun, RunText};
pub use session::{
    Output, Overflow, Overlap, PollPackets, PostResponse, SendOptions, Session, SessionConfig,
    Transport, UpgradeRefused,
};
pub use sid::{SID_LENGTH, Sid, encode_id, parse_id};
