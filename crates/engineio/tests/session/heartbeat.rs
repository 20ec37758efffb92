//! Which side pings when, and when a silent peer is dead. The interval is 25 s, the timeout 20 s.

use kokanee_engineio::{CloseReason, PostResponse, Revision, SessionConfig, Transport};

use crate::pair::Pair;

const TRANSPORTS: [Transport; 2] = [Transport::Polling, Transport::WebSocket];

fn v3(transport: Transport) -> Pair {
    Pair::new(Revision::V3, transport, SessionConfig::default())
}

/// A client that polls or reads continuously, and sends on its transport.
struct Client {
    pair: Pair,
    transport: Transport,
}

impl Client {
    fn new(revision: Revision, transport: Transport) -> Self {
        let mut pair = Pair::new(revision, transport, SessionConfig::default());
        if transport == Transport::Polling {
            pair.client_polls();
        }
        Self { pair, transport }
    }

    fn sends(&mut self, packet: &str) {
        match self.transport {
            Transport::WebSocket => self.pair.client_sends_frame(packet),
            Transport::Polling => {
                let body = match self.pair.session.revision() {
                    Revision::V4 => packet.to_owned(),
                    Revision::V3 => format!("{}:{packet}", packet.len()),
                };
                self.pair.client_posts(body);
            }
        }
    }

    fn gets(&mut self) -> Vec<String> {
        match self.transport {
            Transport::WebSocket => self.pair.frames(),
            Transport::Polling => {
                let mut bodies = Vec::new();
                while let Some(body) = self.pair.poll_body() {
                    bodies.push(body);
                    if !self.pair.is_finished() {
                        self.pair.client_polls();
                    }
                }
                bodies
            }
        }
    }

    #[track_caller]
    fn dies_at(&mut self, milliseconds: u128) {
        assert_eq!(self.pair.closed(), None);
        self.pair.advance(200_000);
        assert_eq!(self.pair.finished_at(), Some(milliseconds));
        assert_eq!(self.pair.closed(), Some(CloseReason::PingTimeout));
    }
}

#[test]
fn the_server_pings_after_the_interval() {
    for transport in TRANSPORTS {
        let mut client = Client::new(Revision::V4, transport);
        client.pair.advance(24_999);
        assert!(client.gets().is_empty());
        client.pair.advance(1);
        assert_eq!(client.gets(), ["2"]);
        client.pair.advance(300);
        client.sends("3");
        // The period is the interval plus the round trip.
        client.pair.advance(24_999);
        assert!(client.gets().is_empty());
        client.pair.advance(1);
        assert_eq!(client.gets(), ["2"]);
        assert_eq!(client.pair.elapsed(), 50_300);
    }
}

#[test]
fn a_client_without_a_pong_is_dead() {
    for transport in TRANSPORTS {
        let mut client = Client::new(Revision::V4, transport);
        client.pair.advance(25_000);
        assert_eq!(client.gets(), ["2"]);
        client.dies_at(45_000);
    }
}

#[test]
fn a_dead_client_s_get_is_answered() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.advance(25_000);
    assert_eq!(pair.poll_body().unwrap(), "2");
    pair.client_polls();
    pair.advance(20_000);
    assert_eq!(pair.poll_body().unwrap(), "1");
    assert!(pair.is_finished());
}

#[test]
fn a_pong_counts_once() {
    for transport in TRANSPORTS {
        let mut client = Client::new(Revision::V4, transport);
        // A pong before the ping does not count.
        client.pair.advance(10_000);
        client.sends("3");
        client.pair.advance(15_000);
        assert_eq!(client.gets(), ["2"]);
        client.sends("3");
        client.pair.advance(10_000);
        client.sends("3");
        client.pair.advance(15_000);
        assert_eq!(client.gets(), ["2"]);
        client.dies_at(70_000);
    }
}

#[test]
fn a_pong_for_an_unsent_ping_does_not_count() {
    // It waits for a GET.
    let mut pair = Pair::polling();
    pair.advance(25_000);
    assert_eq!(pair.client_posts("3"), Some(PostResponse::Ok));
    pair.advance(20_000);
    assert_eq!(pair.finished_at(), Some(45_000));
    // The ping waits after a frame that the client does not read.
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.advance(20_000);
    pair.server_sends("hello");
    pair.advance(5_000);
    pair.client_takes(3);
    pair.client_sends_frame("3");
    pair.client_takes(5);
    assert_eq!(pair.frames(), ["4hello"]);
    // Now a part of the ping is sent.
    pair.client_takes(2);
    pair.client_sends_frame("3");
    pair.client_takes(1);
    assert_eq!(pair.frames(), ["2"]);
    pair.advance(20_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    // The same with a pong in time.
    let mut pair = Pair::websocket();
    pair.client_takes(2);
    pair.advance(25_000);
    pair.client_takes(1);
    pair.client_sends_frame("3");
    pair.advance(20_000);
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_ping_in_an_undelivered_response_was_not_sent() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.client_loses_answers(true);
    pair.advance(25_000);
    pair.client_loses_answers(false);
    pair.client_posts("3");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "2");
    pair.advance(20_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
}

#[test]
fn the_first_other_packet_extends_the_timeout_once() {
    for transport in TRANSPORTS {
        for other in ["4hello", "6", "5"] {
            let mut client = Client::new(Revision::V4, transport);
            // While no pong is awaited, packets do not count.
            client.pair.advance(24_000);
            client.sends(other);
            client.pair.advance(1_000);
            assert_eq!(client.gets(), ["2"]);
            client.pair.advance(19_999);
            client.sends(other);
            client.pair.advance(10_000);
            client.sends(other);
            client.dies_at(64_999);
        }
    }
}

#[test]
fn every_ping_has_its_own_extension() {
    let mut client = Client::new(Revision::V4, Transport::WebSocket);
    client.pair.advance(35_000);
    client.sends("4hello");
    client.pair.advance(15_000);
    client.sends("3");
    client.pair.advance(25_000);
    assert_eq!(client.gets(), ["2", "2"]);
    client.pair.advance(10_000);
    client.sends("4hello");
    client.dies_at(105_000);
}

#[test]
fn the_direction_of_pings_is_fixed() {
    for transport in TRANSPORTS {
        for (revision, packet) in [
            (Revision::V4, "2"),
            (Revision::V4, "2probe"),
            (Revision::V3, "3"),
        ] {
            let mut client = Client::new(revision, transport);
            client.sends(packet);
            assert_eq!(client.pair.closed(), Some(CloseReason::TransportError));
            assert!(client.pair.is_finished());
        }
    }
}

#[test]
fn revision_3_clients_ping() {
    for transport in TRANSPORTS {
        let mut client = Client::new(Revision::V3, transport);
        let pong = if transport == Transport::Polling {
            "1:3"
        } else {
            "3"
        };
        client.pair.advance(44_999);
        assert!(client.gets().is_empty());
        client.sends("2");
        assert_eq!(client.gets(), [pong]);
        client.pair.advance(30_000);
        // The data of a ping is not sent back.
        client.sends("2probe");
        assert_eq!(client.gets(), [pong]);
        client.pair.advance(10_000);
        // Messages do not count as pings.
        client.sends("4hello");
        assert_eq!(client.pair.server_messages(), ["hello"]);
        client.dies_at(44_999 + 30_000 + 45_000);
    }
}

#[test]
fn revision_3_pings_are_answered_once_while_the_pong_is_queued() {
    let mut pair = v3(Transport::Polling);
    pair.client_posts("1:2".repeat(1_000));
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "1:3");
    pair.client_posts("1:2");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "1:3");
}

#[test]
fn heartbeats_are_found_without_a_search() {
    // The queue is long, and each of many pings checks whether a pong is queued.
    let mut pair = v3(Transport::Polling);
    for _ in 0..10_000 {
        pair.server_sends("");
    }
    pair.client_posts("1:2".repeat(300_000));
    assert_eq!(pair.closed(), None);
    pair.client_polls();
    assert!(pair.poll_body().unwrap().ends_with("1:41:3"));
}

#[test]
fn an_upgraded_session_keeps_its_heartbeat() {
    let mut pair = Pair::polling();
    pair.advance(10_000);
    pair.client_upgrades();
    pair.advance(15_000);
    assert_eq!(pair.frames(), ["2"]);
    pair.client_sends_frame("3");
    pair.advance(25_000);
    assert_eq!(pair.frames(), ["2"]);
    pair.advance(20_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(pair.finished_at(), Some(70_000));

    let mut pair = v3(Transport::Polling);
    pair.advance(10_000);
    pair.client_upgrades();
    pair.advance(30_000);
    pair.client_sends_frame("2");
    assert_eq!(pair.frames(), ["3"]);
    pair.advance(50_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(pair.finished_at(), Some(85_000));
}

#[test]
fn an_upgrade_during_a_ping_does_not_stop_the_clock() {
    // The ping was sent by polling.
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.advance(25_000);
    assert_eq!(pair.poll_body().unwrap(), "2");
    pair.client_polls();
    pair.client_upgrades();
    pair.advance(20_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(pair.finished_at(), Some(45_000));
    // It is sent on the WebSocket, and answered there.
    let mut pair = Pair::polling();
    pair.advance(25_000);
    pair.client_upgrades();
    assert_eq!(pair.frames(), ["2"]);
    pair.client_sends_frame("3");
    pair.advance(25_000);
    assert_eq!(pair.frames(), ["2"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_peer_that_is_not_read_from_has_one_interval_more() {
    let mut pair = Pair::websocket();
    pair.advance(20_000);
    pair.server_pauses_reading(true);
    pair.advance(5_000);
    assert_eq!(pair.frames(), ["2"]);
    pair.client_sends_frame("3");
    pair.advance(44_999);
    assert_eq!(pair.closed(), None);
    pair.server_pauses_reading(false);
    pair.advance(25_000);
    assert_eq!(pair.frames(), ["2"], "the pong had arrived before");
    // This ping is not answered; the deadline restarts when reading resumes.
    pair.advance(10_000);
    pair.server_pauses_reading(true);
    pair.advance(30_000);
    pair.server_pauses_reading(false);
    let resumed = pair.elapsed();
    pair.advance(100_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(pair.finished_at(), Some(resumed + 20_000));
    // An endless pause does not keep a dead peer: 25 s until the ping, 20 s for the pong, and 25 s more.
    let mut pair = Pair::websocket();
    pair.server_pauses_reading(true);
    pair.advance(1_000_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(pair.finished_at(), Some(70_000));
    // Revision 3.
    let mut pair = v3(Transport::WebSocket);
    pair.advance(40_000);
    pair.server_pauses_reading(true);
    pair.advance(20_000);
    assert_eq!(pair.closed(), None);
    pair.server_pauses_reading(false);
    let resumed = pair.elapsed();
    pair.advance(100_000);
    assert_eq!(pair.finished_at(), Some(resumed + 45_000));
    let mut pair = v3(Transport::WebSocket);
    pair.server_pauses_reading(true);
    pair.advance(1_000_000);
    assert_eq!(pair.finished_at(), Some(70_000));
}

#[test]
fn the_time_for_a_pong_begins_when_the_ping_is_sent() {
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.server_sends(&"x".repeat(100_000));
    // Slowly, but steadily: the ping waits for 30 s.
    for _ in 0..11 {
        pair.advance(5_000);
        pair.client_takes(1_000);
    }
    assert_eq!(pair.elapsed(), 55_000);
    assert_eq!(pair.closed(), None);
    pair.client_takes(usize::MAX);
    assert_eq!(pair.frames().last().map(String::as_str), Some("2"));
    pair.advance(19_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
}
