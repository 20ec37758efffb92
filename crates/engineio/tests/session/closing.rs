//! How sessions end: by the server, by the client, or by an error.

use kokanee_engineio::{
    CloseReason, Message, Outgoing, PostResponse, Revision, SendOptions, SessionConfig, Transport,
};

use crate::pair::Pair;

fn v3() -> Pair {
    Pair::new(Revision::V3, Transport::Polling, SessionConfig::default())
}

#[test]
fn a_close_answers_the_pending_get() {
    for (mut pair, close) in [(Pair::polling(), "1"), (v3(), "1:1")] {
        pair.client_polls();
        pair.server_closes();
        assert_eq!(pair.poll_body().unwrap(), close);
        assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
        assert!(pair.is_finished());
    }
}

#[test]
fn a_close_waits_for_the_next_get() {
    for (mut pair, end) in [(Pair::polling(), "6\x1e1"), (v3(), "1:61:1")] {
        pair.server_closes();
        assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
        assert!(!pair.is_finished());
        pair.advance(29_999);
        assert!(!pair.is_finished());
        pair.client_polls();
        assert_eq!(pair.poll_body().unwrap(), end);
        assert!(pair.is_finished());
    }
}

#[test]
fn a_close_waits_30_s_at_most() {
    let mut pair = Pair::polling();
    pair.advance(1_000);
    pair.server_closes();
    pair.advance(1_000_000);
    assert_eq!(pair.finished_at(), Some(31_000));
}

#[test]
fn queued_packets_are_delivered_before_the_close() {
    let mut pair = Pair::polling();
    pair.server_sends("one");
    pair.server_sends("two");
    pair.server_closes();
    assert!(!pair.server_tries_to_send("three", SendOptions::default()));
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4one\x1e4two");
    assert!(!pair.is_finished());
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6\x1e1");
    assert!(pair.is_finished());
}

#[test]
fn messages_of_one_turn_are_delivered_before_its_close() {
    let mut pair = Pair::polling();
    pair.client_polls();
    let now = pair.session.deadline().unwrap();
    let message = Outgoing::text("hello");
    assert!(
        pair.session
            .send(now, &message, &[], SendOptions::default())
    );
    pair.server_closes();
    assert_eq!(pair.poll_body().unwrap(), "4hello");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6\x1e1");
}

#[test]
fn an_undelivered_response_is_delivered_before_the_close() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.server_sends("one");
    pair.delay_loss = false;
    pair.server_closes();
    pair.server_notices_loss();
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4one");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6\x1e1");
    assert!(pair.is_finished());
}

#[test]
fn an_aborted_get_does_not_prevent_the_close() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.client_aborts_poll();
    pair.server_closes();
    pair.client_aborts_poll();
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6\x1e1");
}

#[test]
fn a_close_ends_the_post_that_is_being_read() {
    let mut pair = Pair::polling();
    pair.server_pauses_reading(true);
    assert_eq!(pair.client_posts("4hello"), None);
    pair.server_closes();
    assert_eq!(pair.post_answer(), Some(PostResponse::BadRequest));
    pair.server_pauses_reading(false);
    assert!(pair.server_messages().is_empty());
    // Later ones are refused.
    assert_eq!(pair.client_posts("4hello"), Some(PostResponse::BadRequest));
    assert!(pair.server_messages().is_empty());
}

#[test]
fn a_websocket_closes_when_all_is_written() {
    let mut pair = Pair::websocket();
    pair.client_takes(3);
    pair.server_sends("one");
    pair.server_sends("two");
    pair.server_closes();
    assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
    assert!(!pair.is_websocket_closed());
    pair.advance(9_999);
    pair.client_takes(usize::MAX);
    assert_eq!(pair.frames(), ["4one", "4two"]);
    assert!(pair.is_websocket_closed());
    assert!(pair.is_finished());
    // At once if nothing is queued.
    let mut pair = Pair::websocket();
    pair.server_closes();
    assert!(pair.is_websocket_closed());
    assert!(pair.is_finished());
}

#[test]
fn a_websocket_that_is_not_read_closes_after_the_write_timeout() {
    let mut pair = Pair::websocket();
    pair.client_takes(3);
    pair.server_sends("one");
    pair.server_sends("two");
    pair.server_closes();
    pair.advance(1_000_000);
    assert_eq!(pair.finished_at(), Some(10_000));
    assert!(pair.is_websocket_closed());
    // Only a partly written frame is completed, so that the close frame can follow.
    pair.client_takes(usize::MAX);
    assert_eq!(pair.frames(), ["4one"]);
    assert_eq!(pair.session.outbound_bytes(), 0);
}

#[test]
fn a_client_s_close_packet_answers_the_pending_get_with_a_noop() {
    for (mut pair, close, noop) in [(Pair::polling(), "1", "6"), (v3(), "1:1", "1:6")] {
        pair.client_polls();
        assert_eq!(pair.client_posts(close), Some(PostResponse::Ok));
        assert_eq!(pair.poll_body().unwrap(), noop);
        assert_eq!(pair.closed(), Some(CloseReason::TransportClose));
        assert!(pair.is_finished());
    }
}

#[test]
fn packets_after_a_close_packet_are_dropped() {
    let mut pair = Pair::polling();
    pair.server_sends("unread");
    assert_eq!(
        pair.client_posts("4hello\x1e1\x1e4world\x1ex"),
        Some(PostResponse::Ok)
    );
    assert_eq!(pair.server_messages(), ["hello"]);
    assert_eq!(pair.closed(), Some(CloseReason::TransportClose));
    assert!(pair.is_finished());
}

#[test]
fn a_close_packet_over_a_websocket_closes_the_session() {
    for revision in [Revision::V3, Revision::V4] {
        let mut pair = Pair::new(revision, Transport::WebSocket, SessionConfig::default());
        pair.client_sends_frame("4hello");
        pair.client_sends_frame("1");
        pair.client_sends_frame("4world");
        assert_eq!(pair.server_messages(), ["hello"]);
        assert_eq!(pair.closed(), Some(CloseReason::TransportClose));
        assert!(pair.is_websocket_closed());
        assert!(pair.is_finished());
    }
}

#[test]
fn the_end_of_the_transport_is_the_end_of_the_session() {
    for reason in [CloseReason::TransportClose, CloseReason::TransportError] {
        let mut pair = Pair::websocket();
        pair.client_takes(0);
        pair.server_sends("unread");
        pair.transport_closes(reason);
        assert_eq!(pair.closed(), Some(reason));
        assert!(pair.is_finished());
        assert_eq!(pair.session.outbound_bytes(), 0);
    }
}

#[test]
fn the_end_of_the_transport_ends_an_orderly_close() {
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.server_sends("unread");
    pair.server_closes();
    pair.transport_closes(CloseReason::TransportClose);
    assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
    assert!(pair.is_finished());
}

#[test]
fn a_frame_that_is_not_a_packet_closes_the_session() {
    for frame in ["", "7", "x", "b!"] {
        let mut pair = Pair::websocket();
        pair.client_sends_frame("4hello");
        pair.client_sends_frame(frame);
        pair.client_sends_frame("4world");
        assert_eq!(pair.server_messages(), ["hello"]);
        assert_eq!(pair.closed(), Some(CloseReason::ParseError), "{frame:?}");
        assert!(pair.is_websocket_closed());
        assert!(pair.is_finished());
    }
    let mut pair = Pair::new(Revision::V3, Transport::WebSocket, SessionConfig::default());
    pair.client_sends(Message::Binary((&b"4hello"[..]).into()));
    assert_eq!(pair.closed(), Some(CloseReason::ParseError));
}

#[test]
fn a_fault_during_an_orderly_close_ends_it() {
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.server_sends("unread");
    pair.server_closes();
    pair.client_sends_frame("4late");
    pair.client_sends_frame("3");
    assert!(!pair.is_finished());
    assert!(pair.server_messages().is_empty());
    pair.client_sends_frame("x");
    assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
    assert!(pair.is_finished());
}

#[test]
fn a_session_is_closed_once() {
    let mut pair = Pair::polling();
    pair.server_closes();
    pair.server_closes();
    pair.transport_closes(CloseReason::TransportError);
    assert_eq!(pair.closed(), Some(CloseReason::ForcedClose));
    assert!(pair.is_finished());
    pair.server_closes();
}

#[test]
fn all_timers_are_due_after_the_process_was_suspended() {
    // Nothing was read either, so the ping that was due is sent first.
    let mut pair = Pair::websocket();
    pair.oversleep(3_600_000);
    assert_eq!(pair.frames(), ["2"]);
    assert_eq!(pair.closed(), None);
    pair.oversleep(3_600_000);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    // A probe and its noops are over at once.
    let mut pair = Pair::polling();
    pair.probe_opens().unwrap();
    pair.probe_sends("2probe");
    pair.oversleep(10_000);
    pair.client_polls();
    assert!(!pair.is_probing());
    assert_eq!(pair.poll_body(), None);
}

#[test]
fn a_timer_that_fires_early_does_nothing() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.fire_early();
    pair.probe_opens().unwrap();
    pair.probe_sends("2probe");
    pair.advance(99);
    pair.fire_early();
    pair.server_closes();
    pair.fire_early();
    let mut pair = Pair::polling();
    pair.server_closes();
    pair.advance(29_999);
    pair.fire_early();
}
