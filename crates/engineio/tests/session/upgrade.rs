//! Upgrades from polling to a WebSocket, and everything that can go wrong.

use kokanee_engineio::{
    CloseReason, Message, PostResponse, Revision, SessionConfig, Transport, UpgradeRefused,
};

use crate::pair::Pair;

fn v3() -> Pair {
    Pair::new(Revision::V3, Transport::Polling, SessionConfig::default())
}

#[test]
fn a_client_probes_and_upgrades() {
    for mut pair in [Pair::polling(), v3()] {
        pair.client_polls();
        pair.probe_opens().unwrap();
        assert!(pair.probe_frames().is_empty());
        pair.probe_sends("2probe");
        assert_eq!(pair.probe_frames(), ["3probe"]);
        // The client upgrades once no GET is pending, which happens at once.
        assert!(pair.poll_body().unwrap().ends_with('6'));
        pair.probe_sends("5");
        assert_eq!(pair.session.transport(), Transport::WebSocket);
        pair.server_sends("hello");
        assert_eq!(pair.frames(), ["4hello"]);
        pair.client_sends_frame("4world");
        assert_eq!(pair.server_messages(), ["world"]);
    }
}

#[test]
fn gets_get_a_noop_at_once_while_a_client_upgrades() {
    for (mut pair, noop) in [(Pair::polling(), "6"), (v3(), "1:6")] {
        pair.client_polls();
        pair.probe_opens().unwrap();
        pair.advance(1_000);
        assert_eq!(pair.poll_body(), None, "before the probe nothing is sent");
        pair.probe_sends("2probe");
        assert_eq!(pair.poll_body().unwrap(), noop);
        // The GETs that the client sends before it has seen the answer to its probe.
        for _ in 0..7 {
            pair.client_polls();
            assert_eq!(pair.poll_body().unwrap(), noop);
        }
        // Later GETs are answered at an interval, as the client may never see the answer.
        pair.client_polls();
        pair.advance(99);
        assert_eq!(pair.poll_body(), None);
        pair.advance(1);
        assert_eq!(pair.poll_body().unwrap(), noop);
        // Without a GET, no noop is queued for the next one.
        pair.advance(150);
        pair.client_polls();
        pair.advance(49);
        assert_eq!(pair.poll_body(), None);
        pair.advance(1);
        assert_eq!(pair.poll_body().unwrap(), noop);
        assert_eq!(pair.poll_body(), None);
    }
}

#[test]
fn a_get_during_an_upgrade_gets_queued_packets_rather_than_a_noop() {
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    pair.probe_sends("2probe");
    pair.server_sends("hello");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4hello");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6");
}

#[test]
fn messages_travel_by_polling_until_the_upgrade() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.probe_opens().unwrap();
    pair.server_sends("one");
    assert_eq!(pair.poll_body().unwrap(), "4one");
    pair.probe_sends("2probe");
    assert_eq!(pair.client_posts("4hello"), Some(PostResponse::Ok));
    assert_eq!(pair.server_messages(), ["hello"]);
    // Queued messages are sent on the WebSocket, in order.
    pair.server_sends("two");
    pair.server_sends("three");
    pair.probe_sends("5");
    pair.server_sends("four");
    assert_eq!(pair.frames(), ["4two", "4three", "4four"]);
}

#[test]
fn the_upgrade_answers_a_pending_get() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.client_upgrades();
    assert_eq!(pair.poll_body().unwrap(), "6");
    assert_eq!(pair.poll_body(), None);
}

#[test]
fn a_get_that_arrives_after_the_upgrade_is_answered() {
    let mut pair = Pair::polling();
    pair.client_upgrades();
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6");
    pair.client_aborts_poll();
    // The session and its heartbeat continue unchanged.
    for _ in 0..5 {
        pair.advance(25_000);
        assert_eq!(pair.frames(), ["2"]);
        pair.client_sends_frame("3");
    }
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_post_that_is_being_read_comes_before_the_frames() {
    let mut pair = Pair::polling();
    pair.server_pauses_reading(true);
    assert_eq!(pair.client_posts("4one\x1e4two"), None);
    pair.client_upgrades();
    pair.client_sends_frame("4three");
    pair.server_pauses_reading(false);
    assert_eq!(pair.server_messages(), ["one", "two", "three"]);
    assert_eq!(pair.post_answer(), Some(PostResponse::Ok));
}

#[test]
fn a_client_may_upgrade_without_a_probe() {
    for mut pair in [Pair::polling(), v3()] {
        pair.client_polls();
        pair.probe_opens().unwrap();
        pair.probe_sends("5");
        assert_eq!(pair.session.transport(), Transport::WebSocket);
        assert!(pair.poll_body().unwrap().ends_with('6'));
        pair.server_sends("hello");
        assert_eq!(pair.frames(), ["4hello"]);
        pair.client_sends_frame("4world");
        assert_eq!(pair.server_messages(), ["world"]);
    }
}

#[test]
fn any_other_packet_ends_the_probe_alone() {
    for packet in [
        "4hello", "2", "2probe2", "3probe", "1", "6", "0{}", "x", "", "b",
    ] {
        for probed in [false, true] {
            let mut pair = Pair::polling();
            pair.probe_opens().unwrap();
            if probed {
                pair.probe_sends("2probe");
                pair.probe_frames();
            }
            pair.probe_sends(packet);
            pair.client_polls();
            assert!(!pair.is_probing(), "{packet:?}");
            assert_eq!(pair.closed(), None);
            assert!(pair.server_messages().is_empty());
            // The session polls as before, without noops.
            pair.advance(20_000);
            assert_eq!(pair.poll_body(), None);
            pair.server_sends("hello");
            assert_eq!(pair.poll_body().unwrap(), "4hello");
            // A late packet changes nothing, and the client may try again.
            pair.probe_sends("5");
            pair.client_upgrades();
        }
    }
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    pair.probe_sends_frame(Message::Binary((&b"\x02probe"[..]).into()));
    assert!(!pair.is_probing());
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_probe_is_answered_as_often_as_it_comes() {
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    for _ in 0..3 {
        pair.probe_sends("2probe");
        assert_eq!(pair.probe_frames(), ["3probe"]);
    }
    pair.probe_sends("5");
    assert_eq!(pair.session.transport(), Transport::WebSocket);
    // It does not extend the time in which the upgrade must be finished.
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    for _ in 0..8 {
        pair.advance(1_000);
        pair.probe_sends("2probe");
    }
    assert!(pair.is_probing());
    pair.advance(2_000);
    assert!(!pair.is_probing());
    // Up to a limit.
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    for _ in 0..8 {
        pair.probe_sends("2probe");
        assert_eq!(pair.probe_frames(), ["3probe"]);
    }
    pair.probe_sends("2probe");
    assert!(!pair.is_probing());
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_probe_that_takes_too_long_ends_and_polling_continues() {
    for probed in [false, true] {
        let mut pair = Pair::polling();
        pair.advance(5_000);
        pair.probe_opens().unwrap();
        if probed {
            pair.advance(3_000);
            pair.probe_sends("2probe");
            pair.advance(6_999);
        } else {
            pair.advance(9_999);
        }
        assert!(pair.is_probing());
        pair.advance(1);
        assert_eq!(pair.elapsed(), 15_000);
        assert!(!pair.is_probing());
        assert_eq!(pair.closed(), None);
        pair.client_polls();
        pair.advance(1_000);
        assert_eq!(pair.poll_body(), None, "no more noops");
        pair.server_sends("hello");
        assert_eq!(pair.poll_body().unwrap(), "4hello");
        pair.client_upgrades();
    }
}

#[test]
fn a_probe_that_is_closed_leaves_polling_unchanged() {
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    pair.probe_sends("2probe");
    pair.probe_closes();
    pair.client_polls();
    pair.advance(1_000);
    assert_eq!(pair.poll_body(), None, "no more noops");
    pair.server_sends("hello");
    assert_eq!(pair.poll_body().unwrap(), "4hello");
    pair.client_upgrades();
}

#[test]
fn one_websocket_at_a_time_may_probe() {
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    assert_eq!(pair.probe_opens(), Err(UpgradeRefused::Taken));
    pair.probe_sends("2probe");
    assert_eq!(pair.probe_opens(), Err(UpgradeRefused::Taken));
    pair.probe_sends("5");
    assert_eq!(pair.probe_opens(), Err(UpgradeRefused::Taken));
    assert_eq!(pair.session.transport(), Transport::WebSocket);
    assert_eq!(Pair::websocket().probe_opens(), Err(UpgradeRefused::Taken));
}

#[test]
fn upgrades_can_be_switched_off() {
    let config = SessionConfig {
        allow_upgrades: false,
        ..SessionConfig::default()
    };
    let mut pair = Pair::new(Revision::V4, Transport::Polling, config);
    assert_eq!(pair.probe_opens(), Err(UpgradeRefused::NotAllowed));
    assert_eq!(pair.closed(), None);
}

#[test]
fn the_end_of_the_session_ends_the_probe() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.probe_opens().unwrap();
    pair.probe_sends("2probe");
    assert_eq!(pair.poll_body().unwrap(), "6");
    pair.server_sends("hello");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4hello");
    pair.server_closes();
    pair.client_polls();
    assert!(!pair.is_probing());
    assert_eq!(pair.poll_body().unwrap(), "6\x1e1");
    assert_eq!(pair.probe_opens(), Err(UpgradeRefused::Closed));
    // A WebSocket that has not probed is not awaited.
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    pair.server_closes();
    assert!(!pair.is_probing());
    pair.probe_sends("5");
    assert_eq!(pair.session.transport(), Transport::Polling);
    assert_eq!(pair.probe_opens(), Err(UpgradeRefused::Closed));
    // And when the session fails.
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    pair.transport_closes(CloseReason::TransportError);
    assert!(!pair.is_probing());
    assert!(pair.is_finished());
}

#[test]
fn packets_queued_at_the_close_are_sent_on_the_websocket_if_the_client_upgrades() {
    for waiting in [&["one", "two"][..], &[]] {
        let mut pair = Pair::polling();
        pair.client_polls();
        pair.probe_opens().unwrap();
        pair.probe_sends("2probe");
        assert_eq!(pair.poll_body().unwrap(), "6");
        // The client does not poll any more.
        for message in waiting {
            pair.server_sends(message);
        }
        pair.server_closes();
        assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
        assert_eq!(pair.probe_opens(), Err(UpgradeRefused::Closed));
        pair.probe_sends("5");
        let frames: Vec<_> = waiting.iter().map(|it| format!("4{it}")).collect();
        assert_eq!(pair.frames(), frames);
        assert!(pair.is_websocket_closed());
        assert!(pair.is_finished());
    }
}

#[test]
fn an_undelivered_response_is_sent_first_on_the_websocket() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.server_sends("one");
    pair.client_upgrades();
    // Long after the upgrade, with nothing written.
    pair.advance(20_000);
    pair.server_notices_loss();
    assert_eq!(pair.frames(), ["4one"]);
    pair.server_sends("two");
    assert_eq!(pair.frames(), ["4two"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn an_undelivered_response_has_the_whole_write_timeout_on_the_websocket() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.server_sends("one");
    pair.client_upgrades();
    pair.client_takes(0);
    pair.advance(20_000);
    pair.server_notices_loss();
    pair.advance(4_000);
    assert_eq!(pair.closed(), None);
    pair.client_takes(usize::MAX);
    assert_eq!(pair.frames(), ["4one"]);
}

#[test]
fn an_undelivered_response_is_not_sent_out_of_order() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.server_sends("one");
    pair.client_upgrades();
    pair.server_sends("two");
    assert_eq!(pair.frames(), ["4two"]);
    pair.server_notices_loss();
    assert!(pair.frames().is_empty());
    assert_eq!(pair.closed(), Some(CloseReason::TransportError));
    assert!(pair.is_websocket_closed());
}

#[test]
fn an_undelivered_noop_is_not_a_loss() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.client_upgrades();
    pair.server_sends("one");
    pair.server_notices_loss();
    assert_eq!(pair.frames(), ["4one"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn packets_queued_at_the_upgrade_have_the_whole_write_timeout() {
    let mut pair = Pair::polling();
    pair.first_window = 0;
    pair.server_sends("hello");
    pair.advance(20_000);
    pair.client_upgrades();
    pair.advance(9_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
}

#[test]
fn a_noop_must_be_followed_by_a_get() {
    let mut pair = v3();
    pair.client_polls();
    pair.advance(30_000);
    pair.client_posts("1:2");
    pair.client_polls();
    pair.probe_opens().unwrap();
    pair.probe_sends("2probe");
    pair.probe_closes();
    for _ in 0..2 {
        pair.advance(20_000);
        pair.client_posts("1:2");
    }
    pair.advance(20_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert_eq!(pair.finished_at(), Some(75_000));
}
