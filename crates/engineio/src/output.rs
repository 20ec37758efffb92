//! What a [`Session`] asks of its driver, and the errors for requests that it refuses.

#[cfg(doc)]
use crate::session::Session;
use crate::{close::CloseReason, packet::OutPacket, polls::PollPackets};

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
