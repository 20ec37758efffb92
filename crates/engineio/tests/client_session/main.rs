//! The client's session with a scripted server as its peer: wire text in the tests, on a virtual clock.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod client;
mod machine;

use std::time::Duration;

use bytes::Bytes;
use client::{Client, OPEN, UPGRADES, VOLATILE};
use kokanee_engineio::{CloseReason, Outgoing, Revision, SendOptions, Transport};
use proptest::prelude::*;

// Polling.

#[test]
fn one_get_follows_the_other() {
    let mut client = Client::polling(OPEN);
    assert_eq!(client.outputs(), ["opened", "GET"]);
    client.answers("4hello\u{1e}4world");
    assert_eq!(client.messages(), ["hello", "world"]);
    assert_eq!(client.outputs(), ["GET"]);
    client.answers("6");
    assert_eq!(client.outputs(), ["GET"]);
}

#[test]
fn one_post_carries_everything_sent_while_the_last_was_pending() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    assert_eq!(client.outputs(), ["POST 4a"]);
    client.send("b");
    client.send("c");
    assert!(client.outputs().is_empty());
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4b\u{1e}4c"]);
    client.accepts();
    assert!(client.outputs().is_empty());
}

#[test]
fn posts_are_limited_to_max_payload() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("first");
    client.outputs();
    let texts: Vec<String> = (0..10).map(|digit| digit.to_string().repeat(30)).collect();
    for text in &texts {
        client.send(text);
    }
    let mut arrived = Vec::new();
    for _ in 0..20 {
        if client.posts == 0 {
            break;
        }
        client.accepts();
        for output in client.outputs() {
            let body = output.strip_prefix("POST ").unwrap();
            assert!(body.len() <= 100, "{} bytes", body.len());
            arrived.extend(body.split('\u{1e}').map(|packet| packet[1..].to_owned()));
        }
    }
    assert_eq!(arrived, texts, "everything, in order");
    // A packet that is too large by itself is sent: the server refuses it.
    client.send(&"x".repeat(200));
    assert_eq!(client.outputs(), [format!("POST 4{}", "x".repeat(200))]);
}

#[test]
fn posts_have_at_most_16_packets() {
    // The limit in bytes is not reached.
    let mut client = Client::polling(&OPEN.replace("\"maxPayload\":100", "\"maxPayload\":1000000"));
    client.outputs();
    client.send("first");
    for _ in 0..20 {
        client.send("");
    }
    client.outputs();
    client.accepts();
    assert_eq!(
        client.outputs(),
        [format!("POST {}", ["4"; 16].join("\u{1e}"))]
    );
    client.accepts();
    assert_eq!(
        client.outputs(),
        [format!("POST {}", ["4"; 4].join("\u{1e}"))]
    );
}

#[test]
fn attachments_follow_their_message_over_several_posts() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    let attachment = Outgoing::binary(Bytes::from(vec![0; 60]));
    let message = Outgoing::text("52-[\"x\"]");
    let taken = client.session.send(
        client.now,
        &message,
        &[attachment.clone(), attachment],
        SendOptions::default(),
    );
    assert!(taken);
    client.turn();
    client.send("behind");
    let packet = format!("b{}", "A".repeat(80));
    assert_eq!(client.outputs(), ["POST 452-[\"x\"]"]);
    client.accepts();
    assert_eq!(client.outputs(), [format!("POST {packet}")]);
    client.accepts();
    assert_eq!(client.outputs(), [format!("POST {packet}")]);
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4behind"]);
}

#[test]
fn volatile_messages_are_never_queued() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send_with("now", VOLATILE);
    assert_eq!(client.outputs(), ["POST 4now"]);
    client.send_with("late", VOLATILE);
    client.accepts();
    assert!(client.outputs().is_empty());
    // Nor are they queued while the session is opening.
    let mut client = Client::new(Revision::V4, Transport::Polling);
    client.send_with("early", VOLATILE);
    client.answers(OPEN);
    assert_eq!(client.outputs(), ["GET", "opened", "GET"]);
}

// The upgrade.

#[test]
fn the_session_upgrades_when_no_request_is_pending() {
    let mut client = Client::polling(UPGRADES);
    assert_eq!(client.outputs(), ["opened", "dial", "GET"]);
    client.send("by polling");
    client.session.handle_probe_opened(client.now);
    client.turn();
    assert_eq!(client.outputs(), ["POST 4by polling", "probe 2probe"]);
    client.probe_frame("3probe");
    // Both requests are awaited, and messages are sent by POST until the server ends the GET.
    client.send("by polling, too");
    assert!(client.outputs().is_empty());
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4by polling, too"]);
    client.answers("4last\u{1e}6");
    client.send("by WebSocket");
    assert!(client.outputs().is_empty());
    client.accepts();
    assert_eq!(client.messages(), ["last"]);
    assert_eq!(client.outputs(), ["probe 5", "upgraded", "4by WebSocket"]);
    client.frame("4first");
    assert_eq!(client.messages(), ["first"]);
    assert_eq!(client.session.transport(), Transport::WebSocket);
}

#[test]
fn a_probe_that_fails_keeps_polling() {
    let fail: [fn(&mut Client); 4] = [
        |client| {
            client.session.handle_probe_closed(client.now);
            client.turn();
        },
        |client| client.probe_frame("4no pong"),
        |client| client.probe_frame("nonsense"),
        |client| client.advance(10_000),
    ];
    for fail in fail {
        let mut client = Client::polling(UPGRADES);
        client.session.handle_probe_opened(client.now);
        client.turn();
        client.outputs();
        fail(&mut client);
        assert_eq!(client.outputs(), ["drop probe", "upgrade failed"]);
        client.send("a");
        client.answers("4b");
        assert_eq!(client.outputs(), ["POST 4a", "GET"]);
        assert_eq!(client.messages(), ["b"]);
        assert_eq!(client.closed, None);
    }
}

#[test]
fn an_upgrade_whose_requests_do_not_end_times_out() {
    let mut client = Client::polling(UPGRADES);
    client.session.handle_probe_opened(client.now);
    client.probe_frame("3probe");
    client.send("posted");
    client.answers("6");
    client.send("kept");
    client.outputs();
    client.advance(10_000);
    assert_eq!(client.outputs(), ["drop probe", "upgrade failed", "GET"]);
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4kept"]);
}

// The heartbeat.

#[test]
fn pings_are_answered() {
    let mut client = Client::websocket();
    client.frame("2");
    assert_eq!(client.outputs(), ["3"]);
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.answers("2");
    assert_eq!(client.outputs(), ["GET", "POST 3"]);
    // Many pings during a pending POST are answered once.
    for _ in 0..100 {
        client.answers("2\u{1e}2");
    }
    client.outputs();
    client.accepts();
    assert_eq!(client.outputs(), ["POST 3"]);
}

#[test]
fn a_server_that_is_silent_is_dead() {
    let mut client = Client::websocket();
    client.advance(44_000);
    client.frame("2");
    client.advance(44_999);
    assert_eq!(client.closed, None);
    client.advance(1);
    assert_eq!(client.closed_at(CloseReason::PingTimeout), 44_000 + 45_000);
    assert!(client.is_finished);
}

#[test]
fn a_post_that_is_never_answered_ends_the_session() {
    let mut client = Client::polling(OPEN);
    client.advance(10_000);
    client.send("x");
    // The server is otherwise alive.
    for _ in 0..2 {
        client.advance(20_000);
        client.answers("2");
    }
    client.advance(4_999);
    assert_eq!(client.closed, None);
    client.advance(1);
    assert_eq!(client.closed_at(CloseReason::TransportError), 55_000);
    let mut client = Client::polling(OPEN);
    client.send("x");
    client.advance(40_000);
    client.accepts();
    client.answers("2");
    client.advance(44_999);
    assert_eq!(client.closed, None, "it was answered");
}

#[test]
fn revision_3_clients_ping() {
    let mut client = Client::new(Revision::V3, Transport::WebSocket);
    client.frame(OPEN);
    client.advance(25_000);
    assert_eq!(client.outputs(), ["opened", "2"]);
    client.frame("3");
    client.advance(25_000);
    assert_eq!(client.outputs(), ["2"]);
    client.advance(20_000);
    assert_eq!(client.closed_at(CloseReason::PingTimeout), 70_000);
}

#[test]
fn while_the_client_does_not_read_the_server_is_not_dead() {
    let mut client = Client::websocket();
    client.advance(20_000);
    client.session.set_reading_paused(client.now, true);
    client.advance(44_999);
    assert_eq!(client.closed, None);
    client.session.set_reading_paused(client.now, false);
    client.advance(44_999);
    assert_eq!(client.closed, None);
    client.advance(1);
    assert_eq!(client.closed_at(CloseReason::PingTimeout), 109_999);
}

#[test]
fn a_pause_longer_than_the_server_s_timeout_ends_the_session() {
    for revision in [Revision::V4, Revision::V3] {
        let mut client = Client::new(revision, Transport::WebSocket);
        client.frame(OPEN);
        client.advance(20_000);
        client.session.set_reading_paused(client.now, true);
        client.advance(10_000);
        // Repeated, which does not restart the pause.
        client.session.set_reading_paused(client.now, true);
        client.advance(100_000);
        assert_eq!(client.closed_at(CloseReason::PingTimeout), 65_000);
    }
}

#[test]
fn a_suspended_machine_has_missed_its_pings() {
    let mut client = Client::websocket();
    client
        .session
        .handle_resumed(client.now, Duration::from_secs(45));
    client.turn();
    assert_eq!(client.closed, None, "the server may still wait");
    client
        .session
        .handle_resumed(client.now, Duration::from_secs(46));
    client.turn();
    client.closed_at(CloseReason::PingTimeout);
}

// Ends.

#[test]
fn the_servers_close_packet_ends_the_session_on_any_transport() {
    let mut client = Client::websocket();
    client.frame("1");
    assert_eq!(
        client.outputs(),
        ["closed: transport close", "close WebSocket", "finished"]
    );
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.answers("4last\u{1e}1\u{1e}4never");
    assert_eq!(client.messages(), ["last"]);
    assert_eq!(client.outputs(), ["closed: transport close", "finished"]);
}

#[test]
fn closing_sends_queued_packets_first() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    client.send("b");
    client.session.close(client.now);
    client.turn();
    assert_eq!(client.outputs(), ["POST 4a", "closed: forced close"]);
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4b\u{1e}1"]);
    client.accepts();
    assert_eq!(client.outputs(), ["finished"]);
    // A server that does not read cannot delay it.
    let mut client = Client::polling(OPEN);
    client.send("a");
    client.session.close(client.now);
    client.turn();
    client.advance(10_000);
    assert!(client.is_finished);
}

#[test]
fn a_poll_refused_after_the_close_is_not_a_loss() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    client.session.close(client.now);
    client.turn();
    client.accepts();
    let expected = ["POST 4a", "closed: forced close", "POST 1"];
    assert_eq!(client.outputs(), expected);
    // The server has ended the session, and its answer to the POST is on its way.
    client.session.handle_poll_failed();
    client.turn();
    assert!(!client.is_finished);
    client.accepts();
    assert_eq!(client.outputs(), ["finished"]);
    assert!(!client.session.has_lost_packets());
}

#[test]
fn a_poll_that_fails_ends_the_session() {
    let mut client = Client::polling(OPEN);
    client.send("a");
    client.session.handle_poll_failed();
    client.turn();
    assert_eq!(client.closed_at(CloseReason::TransportError), 0);
    assert!(client.session.has_lost_packets());
}

#[test]
fn a_websocket_that_accepts_nothing_ends_the_session_in_time() {
    // The driver has taken all packets, but nothing is written.
    let mut client = Client::websocket();
    client.is_stalled = true;
    client.advance(1000);
    client.send("a");
    assert_eq!(client.outputs(), ["4a"]);
    client.advance(9000);
    client.session.handle_written(client.now, false);
    client.advance(9999);
    assert_eq!(client.closed, None, "some bytes were accepted meanwhile");
    client.send_with("volatile", VOLATILE);
    assert!(client.outputs().is_empty(), "it would have to wait");
    client.advance(1);
    assert_eq!(client.closed_at(CloseReason::TransportError), 20_000);
    assert!(client.is_finished);
}

#[test]
fn closing_ends_when_everything_is_written() {
    for takes_it in [true, false] {
        let mut client = Client::websocket();
        client.is_stalled = true;
        client.send("a");
        client.session.close(client.now);
        client.turn();
        assert_eq!(client.outputs(), ["4a", "closed: forced close"]);
        assert!(!client.session.is_drained());
        if takes_it {
            client.session.handle_written(client.now, true);
            client.turn();
        } else {
            client.advance(10_000);
        }
        assert_eq!(client.outputs(), ["close WebSocket", "finished"]);
    }
}

#[test]
fn a_disconnect_is_sent_some_time_after_the_response_to_the_post() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    client.send("b");
    client.leave("41");
    client.close();
    assert_eq!(client.outputs(), ["POST 4a", "closed: forced close"]);
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4b"]);
    client.advance(1000);
    client.accepts();
    client.advance(19);
    assert!(client.outputs().is_empty());
    client.advance(1);
    assert_eq!(client.outputs(), ["POST 441\u{1e}1"]);
    client.accepts();
    assert_eq!(client.outputs(), ["finished"]);
    assert!(!client.session.has_lost_packets());
}

#[test]
fn a_disconnect_is_sent_some_time_after_the_pong_of_the_websocket() {
    for answers in [true, false] {
        let mut client = Client::websocket();
        client.send("a");
        client.leave("41");
        client.close();
        let expected = ["4a", "ping WebSocket", "closed: forced close"];
        assert_eq!(client.outputs(), expected);
        if answers {
            client.advance(500);
            assert!(!client.session.is_all_read());
            client.pong();
            assert!(client.session.is_all_read());
            client.advance(19);
        } else {
            client.advance(999);
        }
        assert!(client.outputs().is_empty());
        client.advance(1);
        let expected = ["441", "close WebSocket", "finished"];
        assert_eq!(client.outputs(), expected);
        assert!(!client.session.has_lost_packets());
    }
}

#[test]
fn a_websocket_is_pinged_when_everything_is_written() {
    let mut client = Client::websocket();
    client.is_stalled = true;
    client.send("a");
    client.leave("41");
    assert_eq!(client.outputs(), ["4a"]);
    client.advance(5000);
    client.session.handle_written(client.now, true);
    client.turn();
    assert_eq!(client.outputs(), ["ping WebSocket"]);
}

#[test]
fn a_disconnect_is_sent_at_once_if_everything_was_read() {
    let mut client = Client::polling(OPEN);
    client.send("a");
    client.accepts();
    client.outputs();
    client.advance(15);
    client.leave("41");
    client.advance(4);
    assert!(client.outputs().is_empty());
    client.advance(1);
    assert_eq!(client.outputs(), ["POST 441"]);
    client.accepts();
    client.advance(20);
    client.leave("41/b,");
    assert_eq!(client.outputs(), ["POST 441/b,"]);
}

#[test]
fn successive_disconnects_have_one_gap() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    client.leave("41/a,");
    client.leave("41/b,");
    assert_eq!(client.outputs(), ["POST 4a"]);
    client.accepts();
    client.advance(20);
    assert_eq!(client.outputs(), ["POST 441/a,\u{1e}441/b,"]);
}

#[test]
fn packets_sent_after_a_disconnect_stay_after_it() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    client.send("a");
    client.leave("41/a,");
    client.send("40/a,");
    client.send_with("volatile", VOLATILE);
    client.leave("41/a,");
    client.send("c");
    assert!(!client.session.is_drained());
    client.accepts();
    assert_eq!(client.outputs(), ["POST 4a"]);
    client.advance(20);
    assert_eq!(client.outputs(), ["POST 441/a,\u{1e}440/a,"]);
    // The heartbeat does not wait for the gap.
    client.answers("2");
    client.accepts();
    assert_eq!(client.outputs(), ["GET", "POST 3"]);
    client.accepts();
    client.advance(20);
    assert_eq!(client.outputs(), ["POST 441/a,\u{1e}4c"]);
}

#[test]
fn a_connect_after_a_disconnect_has_a_gap() {
    let mut client = Client::polling(OPEN);
    client.outputs();
    // No DISCONNECT was sent yet.
    client.join("40");
    client.join("40/a,");
    client.accepts();
    assert_eq!(client.outputs(), ["POST 440", "POST 440/a,"]);
    client.accepts();
    client.advance(20);
    client.leave("41/a,");
    client.join("40/a,");
    client.send("b");
    client.accepts();
    assert_eq!(client.outputs(), ["POST 441/a,"]);
    client.advance(20);
    assert_eq!(client.outputs(), ["POST 440/a,\u{1e}4b"]);
    // One gap is enough for all that follow.
    client.join("40/b,");
    client.accepts();
    assert_eq!(client.outputs(), ["POST 440/b,"]);
    let mut client = Client::websocket();
    client.advance(20);
    client.leave("41/a,");
    client.join("40/a,");
    assert_eq!(client.outputs(), ["441/a,", "ping WebSocket"]);
    client.pong();
    client.advance(20);
    assert_eq!(client.outputs(), ["440/a,"]);
    client.join("40/b,");
    assert_eq!(client.outputs(), ["440/b,"]);
    client.leave("41/b,");
    client.join("40/b,");
    client.pong();
    client.advance(20);
    assert_eq!(
        client.outputs(),
        ["ping WebSocket", "441/b,", "ping WebSocket"]
    );
}

#[test]
fn an_undelivered_disconnect_is_not_a_loss() {
    // Before the server has read the packets, after it, and if nothing was sent.
    for (sent, heard, cut) in [
        (true, false, true),
        (true, true, false),
        (false, false, false),
    ] {
        let mut client = Client::polling(OPEN);
        client.advance(1000);
        if sent {
            client.send("a");
        }
        client.leave("41");
        client.close();
        if heard {
            client.accepts();
            client.advance(20);
        }
        client
            .session
            .handle_transport_closed(CloseReason::TransportError);
        client.turn();
        assert!(client.is_finished);
        assert_eq!(client.session.has_lost_packets(), cut, "{sent} {heard}");
    }
}

#[test]
fn the_response_to_the_last_poll_is_not_a_loss() {
    // python-socketio ends it with an empty body, before it answers the POST.
    for body in ["", "1", "6", "4late", "garbage"] {
        let mut client = Client::polling(OPEN);
        client.outputs();
        client.send("a");
        client.session.close(client.now);
        client.turn();
        client.answers(body);
        assert_eq!(client.outputs(), ["POST 4a", "closed: forced close"]);
        client.accepts();
        client.accepts();
        assert!(
            client.is_finished && !client.session.has_lost_packets(),
            "{body:?}"
        );
        assert!(client.messages().is_empty());
    }
}

#[test]
fn closing_lets_an_upgrade_finish() {
    let mut client = Client::polling(UPGRADES);
    client.send("a");
    client.leave("41");
    client.close();
    client.session.handle_probe_opened(client.now);
    client.turn();
    client.outputs();
    client.accepts();
    client.advance(20);
    assert_eq!(client.outputs(), ["POST 441"]);
    client.probe_frame("3probe");
    client.accepts();
    assert!(client.outputs().is_empty(), "the server ends the GET");
    client.answers("6");
    let expected = ["probe 5", "upgraded", "close WebSocket", "finished"];
    assert_eq!(client.outputs(), expected);
    assert!(!client.session.has_lost_packets());
}

#[test]
fn closing_abandons_an_upgrade_when_everything_else_is_sent() {
    let mut client = Client::polling(UPGRADES);
    client.outputs();
    client.send("a");
    client.leave("41");
    client.close();
    // A server that responds slowly may still be handling the event.
    client.advance(5000);
    assert_eq!(client.outputs(), ["POST 4a", "closed: forced close"]);
    client.accepts();
    client.advance(20);
    assert_eq!(client.outputs(), ["POST 441"]);
    client.accepts();
    client.advance(999);
    assert!(client.outputs().is_empty());
    client.advance(1);
    assert_eq!(client.outputs(), ["drop probe", "upgrade failed", "POST 1"]);
    client.accepts();
    assert!(client.is_finished && !client.session.has_lost_packets());
    // A failed probe delays nothing.
    let mut client = Client::polling(UPGRADES);
    client.outputs();
    client.close();
    assert_eq!(client.outputs(), ["closed: forced close"]);
    client.session.handle_probe_closed(client.now);
    client.turn();
    assert_eq!(client.outputs(), ["drop probe", "upgrade failed", "POST 1"]);
}

#[test]
fn only_an_open_packet_begins_a_session() {
    for first in [
        "", "4early", "1", "2", "6", "0", "0{}", "0[]", "x", "96:0{}", "b",
    ] {
        let mut client = Client::new(Revision::V4, Transport::WebSocket);
        client.frame(first);
        assert!(client.closed.is_some() && client.is_finished, "{first:?}");
        assert!(client.messages().is_empty());
    }
}

#[test]
fn a_violation_of_the_protocol_ends_an_open_session() {
    for (packet, reason) in [
        (OPEN, CloseReason::TransportError),
        // The server pings in this revision.
        ("3", CloseReason::TransportError),
        ("x", CloseReason::ParseError),
        ("", CloseReason::ParseError),
        ("b!", CloseReason::ParseError),
    ] {
        let mut client = Client::websocket();
        client.frame(packet);
        client.closed_at(reason);
        assert!(client.is_finished, "{packet:?}");
    }
}

// Any server.

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_server_makes_the_session_panic_or_overlap(script in prop::collection::vec(any::<u8>(), 0..200)) {
        machine::live(&script);
    }
}
