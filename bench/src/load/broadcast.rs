//! Broadcasts: one connection emits, every recipient's delivery is awaited before the next broadcast is sent.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Budget, Load, Outbox, Tally, latency};
use crate::options::Relay;
use crate::raw::numbered::Numbered;
use crate::raw::target::Target;

/// Number of the connection that emits.
const SENDER: usize = 0;

/// The load of the scenario broadcast.
#[derive(Debug)]
pub(crate) struct Broadcast {
    event: Numbered,
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
    pub(crate) fn new(
        target: &Target,
        connections: usize,
        window: u32,
        payload: usize,
        relay: Relay,
    ) -> Self {
        let (request, recipients): (&[&str], _) = match relay {
            Relay::Blast => (&["blast"], connections),
            Relay::Broadcast => (&["broadcast", "blast"], connections - 1),
        };
        Self {
            event: Numbered::new(target, request, "blast", payload),
            window,
            recipients: recipients as u64,
            next: 0,
            flights: VecDeque::new(),
            expected: vec![0; connections],
            budget: Budget::SPENT,
            tally: Tally::new(),
        }
    }

    fn send(&mut self, now: Instant, outbox: &mut Outbox) {
        if !self.budget.spend(now) {
            return;
        }
        self.event
            .number(outbox.send(SENDER, self.event.wire()), self.next);
        self.flights.push_back(Flight {
            missing: self.recipients,
            sent: now,
        });
        self.next = self.next.wrapping_add(1);
    }

    /// Returns the broadcast in flight with this number.
    fn flight(&mut self, number: u32) -> Option<&mut Flight> {
        // The youngest has age 1.
        let age = self.next.wrapping_sub(number) as usize;
        let index = self.flights.len().checked_sub(age)?;
        self.flights.get_mut(index)
    }
}

impl Load for Broadcast {
    fn begin(&mut self, budget: Budget, now: Instant, outbox: &mut Outbox) {
        self.budget = budget;
        self.tally.clear();
        for _ in 0..self.window {
            self.send(now, outbox);
        }
    }

    fn on_event(
        &mut self,
        connection: usize,
        packet: &[u8],
        now: Instant,
        outbox: &mut Outbox,
    ) -> bool {
        let number = self.event.read(packet);
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
            self.send(now, outbox);
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
    use crate::options::{Bound, Options, Scenario};
    use crate::raw::target::Transport;

    fn broadcast(
        connections: usize,
        window: u32,
        messages: u64,
        relay: Relay,
    ) -> (Broadcast, Outbox) {
        let options = Options::new("http://127.0.0.1:1", Scenario::Broadcast);
        let target = Target::new(&options, Transport::Polling).unwrap();
        let mut broadcast = Broadcast::new(&target, connections, window, 8, relay);
        let mut outbox = Outbox::default();
        let now = Instant::now();
        broadcast.begin(
            Budget::new(Bound::Messages(messages), now),
            now,
            &mut outbox,
        );
        (broadcast, outbox)
    }

    fn arrive(broadcast: &mut Broadcast, connection: usize, number: u32) -> Vec<(usize, Vec<u8>)> {
        let mut outbox = Outbox {
            reading: Some(connection),
            ..Outbox::default()
        };
        let packet = format!("42[\"blast\",\"{number:08x}\"]");
        broadcast.on_event(connection, packet.as_bytes(), Instant::now(), &mut outbox);
        outbox.others
    }

    #[test]
    fn next_broadcast_waits_for_every_delivery() {
        let (mut broadcast, outbox) = broadcast(3, 1, 10, Relay::Blast);
        assert_eq!(outbox.others, [(0, br#"42["blast","00000000"]"#.to_vec())]);
        assert!(arrive(&mut broadcast, 0, 0).is_empty());
        assert!(arrive(&mut broadcast, 1, 0).is_empty());
        assert_eq!(
            arrive(&mut broadcast, 2, 0),
            [(0, br#"42["blast","00000001"]"#.to_vec())]
        );
        assert_eq!((broadcast.tally().messages, broadcast.in_flight()), (3, 3));
    }

    #[test]
    fn relayed_broadcast_does_not_come_back_to_its_sender() {
        let (mut broadcast, outbox) = broadcast(3, 1, 1, Relay::Broadcast);
        assert_eq!(
            outbox.others,
            [(0, br#"42["broadcast","blast","00000000"]"#.to_vec())]
        );
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
