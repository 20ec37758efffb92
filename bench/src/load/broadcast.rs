//! Broadcasts: one connection emits, every recipient's delivery is awaited before the next broadcast is sent.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Budget, Emit, Load, Tally, latency};
use crate::options::Relay;

/// Number of the connection that emits.
const SENDER: usize = 0;

/// The load of the scenario broadcast.
#[derive(Debug)]
pub(crate) struct Broadcast {
    window: u32,
    recipients: u64,
    /// Number of the next broadcast.
    next: u32,
    /// The broadcasts in flight, oldest first; the last one has the number before `next`.
    flights: VecDeque<Flight>,
    /// Number of the next delivery, per connection.
    expected: Vec<u32>,
    budget: Budget,
    tally: Tally,
}

#[derive(Debug)]
struct Flight {
    missing: u64,
    sent: Instant,
}

impl Broadcast {
    /// Returns a load whose broadcasts go to all connections, with or without the sender.
    pub(crate) fn new(connections: usize, window: u32, relay: Relay) -> Self {
        let recipients = match relay {
            Relay::Blast => connections,
            Relay::Broadcast => connections - 1,
        };
        Self {
            window,
            recipients: recipients as u64,
            next: 0,
            flights: VecDeque::new(),
            expected: vec![0; connections],
            budget: Budget::SPENT,
            tally: Tally::new(),
        }
    }

    fn send(&mut self, now: Instant, emits: &mut Vec<Emit>) {
        if !self.budget.spend(now) {
            return;
        }
        emits.push(Emit {
            connection: SENDER,
            number: self.next,
        });
        self.flights.push_back(Flight {
            missing: self.recipients,
            sent: now,
        });
        self.next = self.next.wrapping_add(1);
    }

    /// Returns the broadcast in flight with this number.
    fn flight(&mut self, number: u32) -> Option<&mut Flight> {
        // The latest has age 1.
        let age = self.next.wrapping_sub(number) as usize;
        let index = self.flights.len().checked_sub(age)?;
        self.flights.get_mut(index)
    }
}

impl Load for Broadcast {
    fn begin(&mut self, budget: Budget, now: Instant, emits: &mut Vec<Emit>) {
        self.budget = budget;
        self.tally.clear();
        for _ in 0..self.window {
            self.send(now, emits);
        }
    }

    fn on_arrival(
        &mut self,
        connection: usize,
        number: Option<u32>,
        now: Instant,
        emits: &mut Vec<Emit>,
    ) -> bool {
        let Some((number, flight)) = number.and_then(|number| Some((number, self.flight(number)?)))
        else {
            self.tally.unexpected += 1;
            return false;
        };
        let Some(missing) = flight.missing.checked_sub(1) else {
            self.tally.unexpected += 1;
            return false;
        };
        flight.missing = missing;
        let sent = flight.sent;
        self.tally.messages += 1;
        let expected = &mut self.expected[connection];
        self.tally.out_of_order += u64::from(*expected != number);
        *expected = number.wrapping_add(1);
        if missing == 0 {
            self.tally.latency.record(latency(sent, now));
            while self
                .flights
                .front()
                .is_some_and(|flight| flight.missing == 0)
            {
                self.flights.pop_front();
            }
            self.send(now, emits);
        }
        true
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn stop(&mut self) {
        self.budget = Budget::SPENT;
    }

    fn in_flight(&self) -> u64 {
        self.flights.iter().map(|flight| flight.missing).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Bound;

    fn broadcast(
        connections: usize,
        window: u32,
        messages: u64,
        relay: Relay,
    ) -> (Broadcast, Vec<Emit>) {
        let mut broadcast = Broadcast::new(connections, window, relay);
        let mut emits = Vec::new();
        let now = Instant::now();
        broadcast.begin(Budget::new(Bound::Messages(messages), now), now, &mut emits);
        (broadcast, emits)
    }

    fn arrive(broadcast: &mut Broadcast, connection: usize, number: u32) -> Vec<Emit> {
        let mut emits = Vec::new();
        broadcast.on_arrival(connection, Some(number), Instant::now(), &mut emits);
        emits
    }

    fn by_sender(number: u32) -> [Emit; 1] {
        [Emit {
            connection: SENDER,
            number,
        }]
    }

    #[test]
    fn next_broadcast_waits_for_every_delivery() {
        let (mut broadcast, emits) = broadcast(3, 1, 10, Relay::Blast);
        assert_eq!(emits, by_sender(0));
        assert!(arrive(&mut broadcast, 0, 0).is_empty());
        assert!(arrive(&mut broadcast, 1, 0).is_empty());
        assert_eq!(arrive(&mut broadcast, 2, 0), by_sender(1));
        assert_eq!((broadcast.tally().messages, broadcast.in_flight()), (3, 3));
    }

    #[test]
    fn relayed_broadcast_does_not_come_back_to_its_sender() {
        let (mut broadcast, _) = broadcast(3, 1, 1, Relay::Broadcast);
        arrive(&mut broadcast, 1, 0);
        arrive(&mut broadcast, 2, 0);
        assert_eq!(broadcast.in_flight(), 0);
    }

    #[test]
    fn order_is_checked_per_connection() {
        let (mut broadcast, _) = broadcast(2, 2, 2, Relay::Blast);
        for (connection, number) in [(0, 0), (1, 1), (0, 1), (1, 0)] {
            arrive(&mut broadcast, connection, number);
        }
        assert_eq!(
            (broadcast.tally().out_of_order, broadcast.in_flight()),
            (2, 0)
        );
    }

    #[test]
    fn surplus_deliveries_are_unexpected() {
        let (mut broadcast, _) = broadcast(2, 1, 1, Relay::Blast);
        for (connection, number) in [(0, 0), (1, 0), (1, 0), (1, 7)] {
            arrive(&mut broadcast, connection, number);
        }
        assert_eq!(
            (broadcast.tally().messages, broadcast.tally().unexpected),
            (2, 2)
        );
    }
}
