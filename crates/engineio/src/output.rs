//! What a [`Session`] asks of its driver, and the errors for requests that it refuses.

#[cfg(doc)]
use crate::session::Session;
use crate::{
    close::CloseReason,
    message::{Message, Str},
    packet::{OutPacket, Packet, PacketType},
    polls::PollPackets,
};

/// What the driver must do. Frames for the WebSocket come from [`Session::frames`] instead.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Answer the pending GET with these packets.
    PollResponse {
        /// The packets of the body, in order.
        packets: PollPackets,
        /// Whether one of them may be compressed.
        compress: bool,
    },
    /// Answer the pending POST.
    PostResponse(PostResponse),
    /// Send this packet on the probing WebSocket.
    ProbePacket(OutPacket),
    /// Close the probing WebSocket. The session continues.
    CloseProbe,
    /// The probing WebSocket carries the session from now on.
    Upgraded,
    /// The session has ended for the application. Queued packets are still delivered until [`Output::Finished`].
    Closed(CloseReason),
    /// Close the WebSocket; all packets are sent.
    CloseWebSocket,
    /// The last output: drop the session.
    Finished,
    /// What the session has done. Only with [`SessionConfig::records`](crate::SessionConfig::records).
    Record(Box<Record>),
}

/// What a session has done, for a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A packet has come. The data of a ping or pong may be empty; other packets than messages have none.
    Received(PacketType, Option<Message>),
    /// A packet was queued.
    Sent(PacketType, Option<Message>),
    /// The client wants to upgrade to a WebSocket, or has begun with one.
    UpgradeRequested,
    /// The session is on the WebSocket.
    Upgraded,
}

impl Record {
    /// Returns the record of a packet that has come.
    pub(crate) fn received(packet: &Packet) -> Self {
        let (kind, data) = match packet {
            Packet::Message(message) => (PacketType::Message, Some(message.clone())),
            Packet::Open(_) => (PacketType::Open, None),
            Packet::Close => (PacketType::Close, None),
            Packet::Ping(data) => (PacketType::Ping, Some(Message::Text(data.clone()))),
            Packet::Pong(data) => (PacketType::Pong, Some(Message::Text(data.clone()))),
            Packet::Upgrade => (PacketType::Upgrade, None),
            Packet::Noop => (PacketType::Noop, None),
        };
        Self::Received(kind, data)
    }

    /// Returns the record of a packet that is sent.
    pub(crate) fn sent(packet: &OutPacket) -> Self {
        let data = match packet {
            OutPacket::Message(message) => Some(message.message()),
            OutPacket::Open(text) | OutPacket::Pong(text) => {
                Str::from_utf8(text.data()).ok().map(Message::Text)
            }
            OutPacket::Close
            | OutPacket::Ping
            | OutPacket::Probe
            | OutPacket::Upgrade
            | OutPacket::Noop => None,
        };
        Self::Sent(packet.kind(), data)
    }
}

/// The answer to a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostResponse {
    /// All packets were processed.
    Ok,
    /// A packet was invalid or not allowed; the session is closed.
    BadRequest,
}

/// A GET or POST came while another one was in progress. It is refused, and the session is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("overlapping requests of one session")]
pub struct Overlap;

/// Why a session refuses an upgrade to a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// The session is on a WebSocket already, or another WebSocket is probing.
    #[error("the session is upgraded or upgrading already")]
    Taken,
    /// Upgrades are switched off.
    #[error("upgrades are not allowed")]
    NotAllowed,
    /// The session has ended.
    #[error("the session is closed")]
    Closed,
}
