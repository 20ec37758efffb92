//! What the connections do once they are open: a closed loop of events and replies, and its bookkeeping.
//!
//! A load knows events by their sequence numbers only. A [`Fleet`](crate::fleet::Fleet) sends them and reads them back.

mod broadcast;
mod echo;
mod message;

use std::time::{Duration, Instant};

use crate::options::Bound;
use crate::report::Recorder;

pub(crate) use broadcast::Broadcast;
pub(crate) use echo::Echo;
pub(crate) use message::{DIGITS, Message, Reply, number};

/// A load on open connections.
pub(crate) trait Load {
    /// Starts a load within this budget: adds what may be in flight.
    fn begin(&mut self, budget: Budget, now: Instant, emits: &mut Vec<Emit>);

    /// Handles an arrival and adds the events to send next. `number` is `None` if it is not a reply to an event of the
    /// load. Returns whether it belongs to the load.
    fn on_arrival(
        &mut self,
        connection: usize,
        number: Option<u32>,
        now: Instant,
        emits: &mut Vec<Emit>,
    ) -> bool;

    /// Returns the figures since `begin`.
    fn tally(&self) -> &Tally;

    /// Returns the figures, to close an interval.
    fn tally_mut(&mut self) -> &mut Tally;

    /// Stops sending; messages in flight are still awaited.
    fn stop(&mut self);

    /// Returns the number of messages that have not arrived.
    fn in_flight(&self) -> u64;
}

/// The event of the run, to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Emit {
    /// Number of the connection.
    pub(crate) connection: usize,
    /// Its sequence number.
    pub(crate) number: u32,
}

/// Figures of a load.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages that arrived.
    pub(crate) messages: u64,
    /// Messages that arrived after a later one.
    pub(crate) out_of_order: u64,
    /// Events that do not belong to the load.
    pub(crate) unexpected: u64,
    /// Latencies.
    pub(crate) latency: Recorder,
}

/// What may still be emitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    messages: u64,
    deadline: Option<Instant>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            messages: 0,
            out_of_order: 0,
            unexpected: 0,
            latency: Recorder::new(),
        }
    }

    /// Resets all figures to zero.
    fn clear(&mut self) {
        self.latency.clear();
        (self.messages, self.out_of_order, self.unexpected) = (0, 0, 0);
    }
}

impl Budget {
    /// Returns a budget that starts now.
    pub(crate) fn new(bound: Bound, now: Instant) -> Self {
        match bound {
            Bound::Time(time) => Self {
                messages: u64::MAX,
                deadline: Some(now + time),
            },
            Bound::Messages(messages) => Self {
                messages,
                deadline: None,
            },
        }
    }

    /// Returns an empty budget.
    const SPENT: Self = Self {
        messages: 0,
        deadline: None,
    };

    /// Takes one message from the budget; `false` if it is spent.
    fn spend(&mut self, now: Instant) -> bool {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            *self = Self::SPENT;
        }
        let left = self.messages.checked_sub(1);
        self.messages = left.unwrap_or(0);
        left.is_some()
    }
}

/// Time between two arrivals of the same message, zero if the clock did not move.
fn latency(sent: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_of_messages_is_spent_one_by_one() {
        let now = Instant::now();
        let mut budget = Budget::new(Bound::Messages(2), now);
        assert_eq!(
            [budget.spend(now), budget.spend(now), budget.spend(now)],
            [true, true, false]
        );
    }

    #[test]
    fn budget_of_time_ends_at_its_deadline_for_good() {
        let now = Instant::now();
        let mut budget = Budget::new(Bound::Time(Duration::from_secs(1)), now);
        assert!(budget.spend(now));
        assert!(!budget.spend(now + Duration::from_secs(1)));
        assert!(!budget.spend(now));
    }
}
