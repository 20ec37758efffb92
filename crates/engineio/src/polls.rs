//! The GETs of a polling session: whether one is pending, when the next one is due, and which answers may come back.
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

/// The packets of an answer to a GET, in order, and its place among the answers of its session. If it could not be
/// delivered, they go [back](Session::handle_poll_undelivered).
#[derive(Debug, PartialEq)]
pub struct PollPackets {
    packets: Vec<OutPacket>,
    /// The answers that they are from. Those in which nothing is to be lost have no number: `first` is then behind `last`.
    first: u64,
    last: u64,
}

impl PollPackets {
    /// Adds those of a later answer.
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
    /// The client has its answer. The next GET must come in time.
    Due {
        by: Instant,
    },
    Pending,
    /// The client gave up its GET. The next one must come in time.
    Aborted {
        by: Instant,
    },
}

/// The GETs of one session.
#[derive(Debug)]
pub(crate) struct Polls {
    state: State,
    /// The number of the last answer in which something can be lost.
    answers: u64,
}

impl Polls {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Idle,
            answers: 0,
        }
    }

    /// Whether a GET waits for its answer.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// When the next GET must have come, unless one is pending.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Due { by } | State::Aborted { by } => Some(by),
            State::Idle | State::Pending => None,
        }
    }

    /// Whether the client gave up its last GET.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.state, State::Aborted { .. })
    }

    pub(crate) fn begin(&mut self) {
        self.state = State::Pending;
    }

    pub(crate) fn expect(&mut self, by: Instant) {
        self.state = State::Due { by };
    }

    /// The time for the next GET begins later, if the client has not given up the last one.
    pub(crate) fn postpone(&mut self, by: Instant) {
        if let State::Due { .. } = self.state {
            self.expect(by);
        }
    }

    pub(crate) fn abort(&mut self, by: Instant) {
        self.state = State::Aborted { by };
    }

    /// No GET is expected any more.
    pub(crate) fn forget(&mut self) {
        if !self.is_pending() {
            self.state = State::Idle;
        }
    }

    /// Numbers the answer to the GET that is pending, or to one that has crossed an upgrade.
    pub(crate) fn answer(&mut self, packets: Vec<OutPacket>) -> PollPackets {
        if self.is_pending() {
            self.state = State::Idle;
        }
        let has_content = packets
            .iter()
            .any(|packet| !matches!(packet, OutPacket::Noop));
        let first = self.answers + 1;
        self.answers += u64::from(has_content);
        PollPackets {
            packets,
            first,
            last: self.answers,
        }
    }

    /// Takes an answer back that could not be delivered. `None` if a later one has carried something, so that its place in the
    /// order is gone.
    pub(crate) fn take_back(&mut self, undelivered: PollPackets) -> Option<Vec<OutPacket>> {
        if undelivered.last != self.answers {
            return None;
        }
        // The one before may come back, too.
        self.answers = undelivered.first - 1;
        Some(undelivered.packets)
    }
}
