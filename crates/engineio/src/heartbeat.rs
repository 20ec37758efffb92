//! Heartbeat of a session, server side. Revision 4: the server pings every `ping_interval` and the client answers within
//! `ping_timeout`. Revision 3: the client pings, and has `ping_interval + ping_timeout` for it.
//!
//! Called by [`Session`](crate::Session) only. Spec: Engine.IO v4, "Heartbeat".

use std::time::{Duration, Instant};

use crate::packet::Revision;

/// ```text
///            interval over: ping goes out              no pong in time
/// Waiting ────────────────────────────────► Pinged ────────────────────► dead
///    ▲                                        │ other packet: the timeout restarts, once
///    └────────────────── pong ────────────────┘
/// ```
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Revision 4: the next ping is due at `until`.
    Waiting { until: Instant },
    /// Revision 4: a ping was sent and its pong is due at `until`.
    Pinged { until: Instant, extended: bool },
    /// Revision 3: the client's next ping is due at `until`.
    Listening { until: Instant },
}

/// What is to be done when the deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    SendPing,
    Dead,
}

impl Heartbeat {
    pub(crate) fn new(
        revision: Revision,
        interval: Duration,
        timeout: Duration,
        now: Instant,
    ) -> Self {
        let state = match revision {
            Revision::V4 => State::Waiting {
                until: now + interval,
            },
            Revision::V3 => State::Listening {
                until: now + interval + timeout,
            },
        };
        Self {
            interval,
            timeout,
            state,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        match self.state {
            State::Waiting { until } | State::Pinged { until, .. } | State::Listening { until } => {
                until
            }
        }
    }

    /// Returns the longest time in which a living peer may be silent.
    pub(crate) fn max_silence(&self) -> Duration {
        self.interval + self.timeout
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) -> Beat {
        match self.state {
            State::Waiting { .. } => {
                self.state = State::Pinged {
                    until: now + self.timeout,
                    extended: false,
                };
                Beat::SendPing
            }
            State::Pinged { .. } | State::Listening { .. } => Beat::Dead,
        }
    }

    /// Handles a pong. It counts once per ping; others are ignored, so that unsolicited pongs do not keep a session
    /// alive.
    pub(crate) fn on_pong(&mut self, now: Instant) {
        if let State::Pinged { .. } = self.state {
            self.state = State::Waiting {
                until: now + self.interval,
            };
        }
    }

    /// Handles the client's ping, in revision 3.
    pub(crate) fn on_ping(&mut self, now: Instant) {
        if let State::Listening { until } = &mut self.state {
            *until = now + self.interval + self.timeout;
        }
    }

    /// Handles any other packet: a peer that is busy sending gets the time for its pong once more, but only once.
    pub(crate) fn on_packet(&mut self, now: Instant) {
        if let State::Pinged { until, extended } = &mut self.state
            && !*extended
        {
            *until = now + self.timeout;
            *extended = true;
        }
    }

    /// Returns whether the next deadline is one for the peer, not for the next ping of this side.
    pub(crate) fn is_awaiting(&self) -> bool {
        !matches!(self.state, State::Waiting { .. })
    }

    /// Extends the peer's deadline by one interval, because this side did not read.
    pub(crate) fn extend(&mut self, now: Instant) {
        match &mut self.state {
            State::Waiting { .. } => {}
            State::Pinged { until, .. } | State::Listening { until } => {
                *until = now + self.interval;
            }
        }
    }

    /// Restarts the peer's deadline: the ping was sent only now, or this side did not read.
    pub(crate) fn postpone(&mut self, now: Instant) {
        match &mut self.state {
            State::Waiting { .. } => {}
            State::Pinged { until, .. } => *until = now + self.timeout,
            State::Listening { until } => *until = now + self.interval + self.timeout,
        }
    }
}
