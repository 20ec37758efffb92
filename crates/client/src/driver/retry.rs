//! [`RetryQueue`]: events that are sent until the server acknowledges them, one at a time and in order.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use kokanee_socketio::AckId;

use crate::{acks::DEFAULT_ACK_TIMEOUT, hub::Outgoing, options::Options};

/// The events of one socket that wait for their acknowledgements.
pub(super) struct RetryQueue {
    queue: VecDeque<Retried>,
    /// How long the server has to acknowledge each try.
    timeout: Duration,
    /// Tries after the first one.
    retries: u32,
}

struct Retried {
    outgoing: Outgoing,
    tries: u32,
    /// When the server must have acknowledged it. `None`: it must be sent, for the first time or again.
    deadline: Option<Instant>,
}

impl RetryQueue {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            queue: VecDeque::new(),
            timeout: options.ack_timeout.unwrap_or(DEFAULT_ACK_TIMEOUT),
            retries: options.retries.unwrap_or(0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.queue.push_back(Retried {
            outgoing,
            tries: 0,
            deadline: None,
        });
    }

    /// Returns the packet that must be sent now: the first one, unless it waits for its acknowledgement. The socket must be
    /// connected.
    pub(super) fn poll_send(&mut self, now: Instant) -> Option<&Outgoing> {
        let first = self.queue.front_mut()?;
        if first.deadline.is_some() {
            return None;
        }
        first.deadline = Some(now + self.timeout);
        first.tries += 1;
        Some(&first.outgoing)
    }

    /// Returns the packet that this answer acknowledges. Late and repeated answers acknowledge nothing.
    pub(super) fn on_ack(&mut self, id: AckId) -> Option<Outgoing> {
        self.pop_if(|first| first.outgoing.ack == Some(id))
    }

    /// Notes that nothing is acknowledged any more of what was sent on the connection that has ended.
    pub(super) fn on_disconnected(&mut self) {
        if let Some(first) = self.queue.front_mut() {
            first.deadline = None;
        }
    }

    /// Returns when the server must have acknowledged what was sent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().and_then(|first| first.deadline)
    }

    /// Lets a packet that was not acknowledged in time be sent again. Returns it if that was its last try.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Outgoing> {
        let first = self.queue.front_mut()?;
        if first.deadline.is_none_or(|deadline| deadline > now) {
            return None;
        }
        first.deadline = None;
        let retries = self.retries;
        self.pop_if(|first| first.tries > retries)
    }

    /// Keeps the packets for which this is true.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Outgoing) -> bool) {
        self.queue.retain(|retried| keep(&retried.outgoing));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.queue.iter().map(|retried| &retried.outgoing)
    }

    fn pop_if(&mut self, condition: impl FnOnce(&Retried) -> bool) -> Option<Outgoing> {
        if condition(self.queue.front()?) {
            return self.queue.pop_front().map(|retried| retried.outgoing);
        }
        None
    }
}
