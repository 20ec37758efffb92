//! What the connections do once they are open: a closed loop of events, their answers and their bookkeeping.

mod broadcast;
mod echo;

use std::time::{Duration, Instant};

use crate::options::Bound;
use crate::report::Recorder;

pub(crate) use broadcast::Broadcast;
pub(crate) use echo::Echo;

/// A load on open connections.
pub(crate) trait Load {
    /// Starts a load within this budget: sends what may be in flight.
    fn begin(&mut self, budget: Budget, now: Instant, outbox: &mut Outbox);

    /// Takes an event packet and sends what follows; returns whether it belongs to the load.
    fn on_event(
        &mut self,
        connection: usize,
        packet: &[u8],
        now: Instant,
        outbox: &mut Outbox,
    ) -> bool;

    /// Returns the figures since `begin`.
    fn tally(&self) -> &Tally;

    /// Returns the same for what closes an interval.
    fn tally_mut(&mut self) -> &mut Tally;

    /// Ends the sending; what is in flight is still awaited.
    fn stop(&mut self);

    /// Returns the number of messages that have not arrived.
    fn in_flight(&self) -> u64;
}

/// Figures of a load.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Messages that arrived.
    pub(crate) messages: u64,
    /// Messages that arrived behind a younger one.
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

/// Bytes to send, collected while the packets of one read are handled.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Number of the connection that is being read.
    pub(crate) reading: Option<usize>,
    /// What goes to the connection that is being read.
    pub(crate) own: Vec<u8>,
    /// What goes to other connections.
    pub(crate) others: Vec<(usize, Vec<u8>)>,
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

    /// Starts again at zero.
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

    /// A budget for nothing.
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

impl Outbox {
    /// Adds the wire form of one event for a connection and returns where to patch it.
    pub(crate) fn send(&mut self, connection: usize, wire: &[u8]) -> &mut [u8] {
        // What is sent now must not overtake what waits for the end of the turn.
        let waiting = self
            .others
            .iter()
            .rposition(|(other, _)| *other == connection);
        let out = match waiting {
            None if self.reading == Some(connection) => &mut self.own,
            Some(index) => &mut self.others[index].1,
            None => {
                self.others.push((connection, Vec::new()));
                &mut self.others.last_mut().expect("an entry was pushed").1
            }
        };
        let start = out.len();
        out.extend_from_slice(wire);
        &mut out[start..]
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

    #[test]
    fn nothing_overtakes_what_waits() {
        let mut outbox = Outbox {
            reading: Some(1),
            ..Outbox::default()
        };
        outbox.send(0, b"a");
        outbox.reading = Some(0);
        outbox.send(0, b"b");
        assert_eq!(
            (outbox.own.as_slice(), outbox.others),
            (b"".as_slice(), vec![(0, b"ab".to_vec())])
        );
    }

    #[test]
    fn outbox_keeps_the_read_connection_apart() {
        let mut outbox = Outbox {
            reading: Some(1),
            ..Outbox::default()
        };
        outbox.send(1, b"a");
        outbox.send(2, b"b");
        outbox.send(2, b"c");
        assert_eq!(
            (outbox.own.as_slice(), outbox.others),
            (b"a".as_slice(), vec![(2, b"bc".to_vec())])
        );
    }
}
