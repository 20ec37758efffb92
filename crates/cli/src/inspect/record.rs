//! The result: one [`Record`] for each packet, frame or error. `--json` prints its JSON.

use kokanee_engineio::Handshake;
use serde::Serialize;

use super::fault::Fault;

/// The direction of a packet. Masked frames are from clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// To the server.
    Sent,
    /// To the client.
    Received,
}

/// A packet, frame or error in the input. Fields that do not apply are not in the JSON.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Record {
    /// Number of the line, from 1, if the input is decoded line by line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<Direction>,
    /// Offset in bytes from the start of the input, or of the line.
    pub(crate) offset: usize,
    /// Length in the input, in bytes.
    pub(crate) length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame: Option<FrameRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packet: Option<PacketRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<MessageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Fault>,
}

/// The header of a WebSocket frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FrameRecord {
    pub(crate) opcode: &'static str,
    pub(crate) fin: bool,
    pub(crate) compressed: bool,
    /// The masking key in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mask: Option<String>,
    /// Bytes of the payload.
    pub(crate) payload: usize,
    /// Of a close frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) close: Option<CloseRecord>,
}

/// The content of a close frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CloseRecord {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// An Engine.IO packet.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct PacketRecord {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) revision: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handshake: Option<HandshakeRecord>,
    /// Text after the type, unless it is a Socket.IO packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Content of a binary message in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
}

/// The content of an open packet.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct HandshakeRecord {
    pub(crate) sid: String,
    pub(crate) upgrades: Vec<String>,
    pub(crate) ping_interval_ms: u128,
    pub(crate) ping_timeout_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_payload: Option<usize>,
}

impl From<Handshake> for HandshakeRecord {
    fn from(handshake: Handshake) -> Self {
        Self {
            sid: handshake.sid.to_string(),
            upgrades: handshake.upgrades.iter().map(ToString::to_string).collect(),
            ping_interval_ms: handshake.ping_interval.as_millis(),
            ping_timeout_ms: handshake.ping_timeout.as_millis(),
            max_payload: handshake.max_payload,
        }
    }
}

/// A Socket.IO packet, or an attachment of one.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct MessageRecord {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ack: Option<u64>,
    /// Number of attachments that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attachments: Option<usize>,
    /// Number of the attachment, from 1, and the number of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<(usize, usize)>,
    /// Name of an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<String>,
    /// Arguments of an event or acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<Vec<serde_json::Value>>,
    /// Payload of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<serde_json::Value>,
}

impl MessageRecord {
    pub(crate) const fn of(kind: &'static str) -> Self {
        Self {
            kind,
            namespace: None,
            ack: None,
            attachments: None,
            part: None,
            event: None,
            args: None,
            data: None,
        }
    }
}
