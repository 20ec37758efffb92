//! [`Reconnect`]: when the client connects again, and when it gives up. It knows no socket and no clock.

use std::time::Instant;

use crate::options::Options;

/// The attempts to connect again.
#[derive(Debug, Default)]
pub(super) struct Reconnect {
    /// Attempts since all sockets were connected.
    attempts: u32,
    /// Whether a connection was open since a socket was first wanted.
    was_open: bool,
}

/// What follows a failed attempt or a lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next attempt begins at this time.
    Retry { at: Instant },
    /// No attempt is left.
    AttemptsUsedUp,
    /// The options ask for no attempt.
    GiveUp,
}

impl Reconnect {
    /// Returns the number of attempts since all sockets were connected; 0 before the first loss.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts an attempt that begins after a delay. Returns its number.
    pub(super) fn begin_attempt(&mut self) -> u32 {
        self.attempts += 1;
        self.attempts
    }

    /// Notes that a connection is open. Its sockets may not be connected yet.
    pub(super) fn on_opened(&mut self) {
        self.was_open = true;
    }

    /// Notes that every socket has its answer: the next loss starts with the first attempt.
    pub(super) fn on_settled(&mut self) {
        self.attempts = 0;
    }

    /// Notes that no socket wants a connection: the next one is the first one again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Decides what follows a connection that could not be opened. The very first one is repeated only on request.
    pub(super) fn after_failure(&self, options: &Options, now: Instant) -> Next {
        if self.was_open || options.retry_first_connect {
            self.after_loss(options, now)
        } else {
            Next::GiveUp
        }
    }

    /// Decides what follows a connection that was open.
    pub(super) fn after_loss(&self, options: &Options, now: Instant) -> Next {
        let backoff = &options.backoff;
        if !options.reconnection {
            Next::GiveUp
        } else if backoff.attempts.is_some_and(|max| self.attempts >= max) {
            Next::AttemptsUsedUp
        } else {
            Next::Retry {
                at: now + backoff.delay(self.attempts),
            }
        }
    }
}
