//! Echoes: every connection keeps a number of events in flight, and the server sends them back.

use std::time::Instant;

use super::{Budget, Emit, Load, Tally, latency};

/// The load of the scenarios echo and polling.
#[derive(Debug)]
pub(crate) struct Echo {
    window: u32,
    lanes: Vec<Lane>,
    budget: Budget,
    in_flight: u64,
    tally: Tally,
}

/// One connection.
#[derive(Debug, Clone)]
struct Lane {
    /// Number of the next event.
    next: u32,
    /// Number of the oldest event that can arrive in order.
    expected: u32,
    /// When the last events were sent, by number modulo the length.
    sent: Vec<Instant>,
}

impl Echo {
    pub(crate) fn new(connections: usize, window: u32, now: Instant) -> Self {
        // Twice the window, so that the send time of an overtaken event is kept for a while.
        let lane = Lane {
            next: 0,
            expected: 0,
            sent: vec![now; window as usize * 2],
        };
        Self {
            window,
            lanes: vec![lane; connections],
            budget: Budget::SPENT,
            in_flight: 0,
            tally: Tally::new(),
        }
    }

    fn send(&mut self, connection: usize, now: Instant, emits: &mut Vec<Emit>) {
        if !self.budget.spend(now) {
            return;
        }
        let lane = &mut self.lanes[connection];
        emits.push(Emit {
            connection,
            number: lane.next,
        });
        *lane.sent_at(lane.next) = now;
        lane.next = lane.next.wrapping_add(1);
        self.in_flight += 1;
    }
}

impl Lane {
    fn sent_at(&mut self, number: u32) -> &mut Instant {
        let index = number as usize % self.sent.len();
        &mut self.sent[index]
    }
}

impl Load for Echo {
    fn begin(&mut self, budget: Budget, now: Instant, emits: &mut Vec<Emit>) {
        self.budget = budget;
        self.tally.clear();
        for connection in 0..self.lanes.len() {
            for _ in 0..self.window {
                self.send(connection, now, emits);
            }
        }
    }

    fn on_arrival(
        &mut self,
        connection: usize,
        number: Option<u32>,
        now: Instant,
        emits: &mut Vec<Emit>,
    ) -> bool {
        let lane = &mut self.lanes[connection];
        let number =
            number.filter(|number| lane.next.wrapping_sub(*number).wrapping_sub(1) < u32::MAX / 2);
        let (Some(number), true) = (number, self.in_flight > 0) else {
            self.tally.unexpected += 1;
            return false;
        };
        self.tally
            .latency
            .record(latency(*lane.sent_at(number), now));
        self.tally.out_of_order += u64::from(number != lane.expected);
        lane.expected = number.wrapping_add(1);
        self.tally.messages += 1;
        self.in_flight -= 1;
        self.send(connection, now, emits);
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
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Bound;

    fn echo(connections: usize, window: u32, messages: u64) -> (Echo, Vec<(usize, u32)>) {
        let now = Instant::now();
        let mut echo = Echo::new(connections, window, now);
        let mut emits = Vec::new();
        echo.begin(Budget::new(Bound::Messages(messages), now), now, &mut emits);
        (echo, pairs(&emits))
    }

    fn arrive(echo: &mut Echo, connection: usize, number: Option<u32>) -> Vec<(usize, u32)> {
        let mut emits = Vec::new();
        echo.on_arrival(connection, number, Instant::now(), &mut emits);
        pairs(&emits)
    }

    fn pairs(emits: &[Emit]) -> Vec<(usize, u32)> {
        emits
            .iter()
            .map(|emit| (emit.connection, emit.number))
            .collect()
    }

    #[test]
    fn window_is_filled_and_then_kept() {
        let (mut echo, first) = echo(2, 2, 100);
        assert_eq!(first, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(arrive(&mut echo, 0, Some(0)), [(0, 2)]);
        assert_eq!((echo.in_flight(), echo.tally().messages), (4, 1));
    }

    #[test]
    fn count_of_messages_is_exact() {
        let (mut echo, first) = echo(2, 2, 3);
        assert_eq!(first.len(), 3);
        for (connection, number) in first {
            assert!(arrive(&mut echo, connection, Some(number)).is_empty());
        }
        assert_eq!(
            (
                echo.in_flight(),
                echo.tally().messages,
                echo.tally().out_of_order
            ),
            (0, 3, 0)
        );
    }

    #[test]
    fn overtaking_is_counted() {
        let (mut echo, _) = echo(1, 2, 2);
        arrive(&mut echo, 0, Some(1));
        arrive(&mut echo, 0, Some(0));
        assert_eq!((echo.tally().messages, echo.tally().out_of_order), (2, 2));
    }

    #[test]
    fn foreign_and_surplus_events_are_unexpected() {
        let (mut echo, _) = echo(1, 1, 1);
        for number in [None, Some(9), Some(0), Some(0)] {
            arrive(&mut echo, 0, number);
        }
        assert_eq!((echo.tally().messages, echo.tally().unexpected), (1, 3));
    }
}
