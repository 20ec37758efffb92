//! The GETs of a polling session: whether one is pending, when the next one is due, and which undelivered responses can
//! be sent again.
//!
//! ```text
//!              expect                begin
//!   Idle ───────────────► Due ─────────────────► Pending ──answer──► Idle
//!     ▲                                            │  ▲
//!     │ forget                               abort │  │ begin
//!     └──────────────────────────────────────── Aborted
//! ```

use std::{ops::Deref, time::Instant};

use crate::packet::OutPacket;
#[cfg(doc)]
use crate::session::Session;

/// The packets of a response to a GET, in order, and the number of the response in its session. If it cannot be
/// delivered, they are [returned to the session](Session::handle_poll_undelivered).
#[derive(Debug, PartialEq)]
pub struct PollPackets {
    packets: Vec<OutPacket>,
    /// The responses that they are from. A response without content has no number: `first` is greater than `last` then.
    first: u64,
    last: u64,
}

impl PollPackets {
    /// Appends the packets of a later response.
    pub fn append(&mut self, later: Self) {
        if later.first <= later.last {
            if self.first > self.last {
                self.first = later.first;
            }
            self.last = later.last;
        }
        self.packets.extend(later.packets);
    }
}

impl Deref for PollPackets {
    type Target = [OutPacket];

    fn deref(&self) -> &[OutPacket] {
        &self.packets
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No GET is pending, and none is due.
    Idle,
    /// The client has got its response. The next GET must come in time.
    Due {
        by: Instant,
    },
    Pending,
    /// The client aborted its GET. The next one must come in time.
    Aborted {
        by: Instant,
    },
}

/// The GETs of one session.
#[derive(Debug)]
pub(crate) struct Polls {
    state: State,
    /// The number of the last response with content.
    last_number: u64,
}

impl Polls {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Idle,
            last_number: 0,
        }
    }

    /// Returns whether a GET is pending.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// Returns when the next GET must have come, unless one is pending.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Due { by } | State::Aborted { by } => Some(by),
            State::Idle | State::Pending => None,
        }
    }

    /// Returns whether the client aborted its last GET.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.state, State::Aborted { .. })
    }

    pub(crate) fn begin(&mut self) {
        self.state = State::Pending;
    }

    pub(crate) fn expect(&mut self, by: Instant) {
        self.state = State::Due { by };
    }

    /// Postpones the deadline of the next GET, unless the client aborted the last one.
    pub(crate) fn postpone(&mut self, by: Instant) {
        if let State::Due { .. } = self.state {
            self.expect(by);
        }
    }

    pub(crate) fn abort(&mut self, by: Instant) {
        self.state = State::Aborted { by };
    }

    /// Removes the deadline: no GET is expected any more.
    pub(crate) fn forget(&mut self) {
        if !self.is_pending() {
            self.state = State::Idle;
        }
    }

    /// Numbers the response to the pending GET, or to one that arrived after an upgrade.
    pub(crate) fn answer(&mut self, packets: Vec<OutPacket>) -> PollPackets {
        if self.is_pending() {
            self.state = State::Idle;
        }
        let has_content = packets
            .iter()
            .any(|packet| !matches!(packet, OutPacket::Noop));
        let first = self.last_number + 1;
        self.last_number += u64::from(has_content);
        PollPackets {
            packets,
            first,
            last: self.last_number,
        }
    }

    /// Takes back an undelivered response. Returns `None` if a later one had content, so that sending it again would
    /// break the order.
    pub(crate) fn take_back(&mut self, undelivered: PollPackets) -> Option<Vec<OutPacket>> {
        if undelivered.last != self.last_number {
            return None;
        }
        // The response before may be undelivered, too.
        self.last_number = undelivered.first - 1;
        Some(undelivered.packets)
    }
}
