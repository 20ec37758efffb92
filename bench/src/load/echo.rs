//! Echoes: every connection keeps a number of events in flight that the server sends back.

use std::time::Instant;

use super::{Budget, Load, Outbox, Tally, latency};
use crate::options::Options;
use crate::raw::numbered::Numbered;
use crate::raw::target::Target;

/// The load of the scenarios echo and polling.
#[derive(Debug)]
pub(crate) struct Echo {
    event: Numbered,
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
    pub(crate) fn new(target: &Target, options: &Options, window: u32, now: Instant) -> Self {
        let Options {
            connections,
            payload,
            ..
        } = *options;
        let event = options.event.as_str();
        let event = if options.ack {
            Numbered::with_ack(target, event, payload)
        } else {
            Numbered::new(target, &[event], event, payload)
        };
        // Twice the window, so that an event which is overtaken keeps its time of sending for a while.
        let lane = Lane {
            next: 0,
            expected: 0,
            sent: vec![now; window as usize * 2],
        };
        Self {
            event,
            window,
            lanes: vec![lane; connections],
            budget: Budget::SPENT,
            in_flight: 0,
            tally: Tally::new(),
        }
    }

    fn send(&mut self, connection: usize, now: Instant, outbox: &mut Outbox) {
        if !self.budget.spend(now) {
            return;
        }
        let lane = &mut self.lanes[connection];
        self.event
            .number(outbox.send(connection, self.event.wire()), lane.next);
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
    fn begin(&mut self, budget: Budget, now: Instant, outbox: &mut Outbox) {
        self.budget = budget;
        self.tally.clear();
        for connection in 0..self.lanes.len() {
            for _ in 0..self.window {
                self.send(connection, now, outbox);
            }
        }
    }

    fn on_event(
        &mut self,
        connection: usize,
        packet: &[u8],
        now: Instant,
        outbox: &mut Outbox,
    ) -> bool {
        let lane = &mut self.lanes[connection];
        let number = self
            .event
            .read(packet)
            .filter(|number| lane.next.wrapping_sub(*number).wrapping_sub(1) < u32::MAX / 2);
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
        self.send(connection, now, outbox);
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
    use crate::options::{Bound, Scenario};
    use crate::raw::target::Transport;

    fn echo(connections: usize, window: u32, messages: u64) -> (Echo, Outbox) {
        let options = Options {
            connections,
            payload: 8,
            ..Options::new("http://127.0.0.1:1", Scenario::Echo)
        };
        let target = Target::new(&options, Transport::Polling).unwrap();
        let now = Instant::now();
        let mut echo = Echo::new(&target, &options, window, now);
        let mut outbox = Outbox::default();
        echo.begin(
            Budget::new(Bound::Messages(messages), now),
            now,
            &mut outbox,
        );
        (echo, outbox)
    }

    fn arrive(echo: &mut Echo, connection: usize, packet: &str) -> String {
        let mut outbox = Outbox {
            reading: Some(connection),
            ..Outbox::default()
        };
        echo.on_event(connection, packet.as_bytes(), Instant::now(), &mut outbox);
        String::from_utf8(outbox.own).unwrap()
    }

    #[test]
    fn window_is_filled_and_then_kept() {
        let (mut echo, outbox) = echo(2, 2, 100);
        let first = br#"42["echo","00000000"]42["echo","00000001"]"#.to_vec();
        assert_eq!(outbox.others, [(0, first.clone()), (1, first)]);
        assert_eq!(
            arrive(&mut echo, 0, r#"42["echo","00000000"]"#),
            r#"42["echo","00000002"]"#
        );
        assert_eq!((echo.in_flight(), echo.tally().messages), (4, 1));
    }

    #[test]
    fn count_of_messages_is_exact() {
        let (mut echo, outbox) = echo(2, 2, 3);
        assert_eq!(outbox.others.len(), 2);
        for (connection, number) in [(0, 0), (0, 1), (1, 0)] {
            assert_eq!(
                arrive(
                    &mut echo,
                    connection,
                    &format!("42[\"echo\",\"{number:08x}\"]")
                ),
                ""
            );
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
        arrive(&mut echo, 0, r#"42["echo","00000001"]"#);
        arrive(&mut echo, 0, r#"42["echo","00000000"]"#);
        assert_eq!((echo.tally().messages, echo.tally().out_of_order), (2, 2));
    }

    #[test]
    fn foreign_and_surplus_events_are_unexpected() {
        let (mut echo, _) = echo(1, 1, 1);
        for packet in [
            r#"42["clock"]"#,
            r#"42["echo","00000009"]"#,
            r#"42["echo","00000000"]"#,
            r#"42["echo","00000000"]"#,
        ] {
            arrive(&mut echo, 0, packet);
        }
        assert_eq!((echo.tally().messages, echo.tally().unexpected), (1, 3));
    }
}
