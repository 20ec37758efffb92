//! Engine.IO without I/O: packets, payloads, and the [`Session`] that a driver feeds with requests, frames and the time.
//!
//! Spec: Engine.IO protocol, revision 4 and revision 3. Outgoing messages are encoded once ([`Outgoing`]) and shared.

mod client_session;
mod close;
mod config;
mod handshake;
mod heartbeat;
mod message;
mod outbox;
mod output;
mod packet;
mod payload;
mod payload_v3;
mod polls;
mod post;
mod queue;
mod run;
mod session;
mod sid;
mod transport;

pub use client_session::{ClientOutput, ClientSession, ClientSessionConfig};
pub use close::CloseReason;
pub use config::{Overflow, SendOptions, SessionConfig};
pub use handshake::{Handshake, HandshakeError};
pub use message::{InvalidUtf8, Message, Outgoing, Str, TextBuffer};
pub use output::{Output, Overlap, PostResponse, Record, UpgradeRefused};
pub use packet::{ControlText, DecodeError, OutPacket, Packet, PacketType, Revision};
pub use payload::{PayloadBody, PayloadDecoder, decode_jsonp_form, encode_jsonp, encode_payload};
pub use polls::PollPackets;
pub use run::{FrameRun, OVERHEAD_BYTES, RunText};
pub use session::Session;
pub use sid::{SID_LENGTH, Sid, encode_id, owner_of, parse_id};
pub use transport::Transport;
