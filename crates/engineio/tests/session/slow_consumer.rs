//! A client that reads slower than the server sends: how much is queued, for how long, and what is dropped.

use kokanee_engineio::{
    CloseReason, Message, Outgoing, Overflow, Revision, SendOptions, SessionConfig, Transport,
};

use crate::pair::{Pair, VOLATILE, show};

/// What each queued packet counts in addition to its content.
const OVERHEAD: usize = 64;

/// A client that does not read, and a server that queues up to `packets` packets of 36 bytes.
fn stalled(overflow: Overflow, packets: usize) -> Pair {
    let config = SessionConfig {
        max_outbound_bytes: packets * (36 + OVERHEAD),
        overflow,
        ..SessionConfig::default()
    };
    let mut pair = Pair::new(Revision::V4, Transport::WebSocket, config);
    pair.client_takes(0);
    pair
}

/// A message of 36 bytes.
fn message(name: &str) -> String {
    format!("{name:-<36}")
}

fn send(pair: &mut Pair, name: &str) -> bool {
    pair.server_tries_to_send(&message(name), SendOptions::default())
}

/// A message of 36 bytes with as many attachments of 36 bytes.
fn with_attachments(name: &str, attachments: usize) -> Vec<Outgoing> {
    let mut all = vec![Outgoing::text(&message(name))];
    all.extend((0..attachments).map(|_| Outgoing::binary(message(name).into())));
    all
}

/// The names of all received messages, including attachments.
fn received(pair: &mut Pair) -> Vec<String> {
    pair.client_takes(usize::MAX);
    pair.received().iter().map(name).collect()
}

/// The name of a message, with a plus if it is an attachment.
fn name(message: &Message) -> String {
    match message {
        Message::Text(text) => text.trim_end_matches('-').to_owned(),
        Message::Binary(bytes) => {
            let name = String::from_utf8(bytes.to_vec()).unwrap();
            format!("+{}", name.trim_end_matches('-'))
        }
    }
}

#[test]
fn the_limit_counts_bytes_and_packets() {
    let mut pair = stalled(Overflow::Disconnect, 3);
    for name in ["a", "b", "c"] {
        assert!(send(&mut pair, name));
    }
    assert_eq!(pair.session.outbound_bytes(), 300);
    assert!(!send(&mut pair, "d"));
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
    // Empty messages are bounded, too.
    let mut pair = stalled(Overflow::Disconnect, 16);
    for _ in 0..25 {
        assert!(pair.server_tries_to_send("", SendOptions::default()));
    }
    assert!(!pair.server_tries_to_send("", SendOptions::default()));
}

#[test]
fn a_slow_consumer_is_disconnected() {
    let mut pair = stalled(Overflow::Disconnect, 2);
    send(&mut pair, "a");
    send(&mut pair, "b");
    // Half of the first frame is sent: it is completed, the rest is dropped.
    pair.client_takes(19);
    assert!(!send(&mut pair, "c"));
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
    assert!(pair.is_websocket_closed());
    assert!(pair.is_finished());
    assert_eq!(received(&mut pair), ["a"]);
    assert_eq!(pair.session.dropped(), 0);
    // Polling.
    let config = SessionConfig {
        max_outbound_bytes: 200,
        ..SessionConfig::default()
    };
    let mut pair = Pair::new(Revision::V4, Transport::Polling, config);
    send(&mut pair, "a");
    send(&mut pair, "b");
    assert!(!send(&mut pair, "c"));
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
    assert!(pair.is_finished());
}

#[test]
fn the_oldest_messages_are_dropped() {
    let mut pair = stalled(Overflow::DropOldest, 3);
    for name in ["a", "b", "c", "d", "e"] {
        assert!(send(&mut pair, name));
    }
    assert_eq!(pair.session.dropped(), 2);
    assert_eq!(pair.session.outbound_bytes(), 300);
    assert_eq!(received(&mut pair), ["c", "d", "e"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_partly_written_frame_is_not_dropped() {
    let mut pair = stalled(Overflow::DropOldest, 3);
    send(&mut pair, "a");
    send(&mut pair, "b");
    send(&mut pair, "c");
    pair.client_takes(1);
    assert!(pair.session.is_mid_frame());
    assert!(send(&mut pair, "d"));
    assert_eq!(received(&mut pair), ["a", "c", "d"]);
    assert!(!pair.session.is_mid_frame());
}

#[test]
fn pings_are_not_dropped() {
    let mut pair = stalled(Overflow::DropOldest, 3);
    pair.advance(25_000);
    for name in ["a", "b", "c", "d"] {
        assert!(send(&mut pair, name));
    }
    pair.client_takes(usize::MAX);
    let frames = pair.frames();
    assert_eq!(frames.first().map(String::as_str), Some("2"));
    // And does not count against the limit.
    assert_eq!(received(&mut pair), ["b", "c", "d"]);
}

#[test]
fn an_event_is_dropped_with_its_attachments() {
    let mut pair = stalled(Overflow::DropOldest, 6);
    for name in ["a", "b"] {
        assert!(pair.server_sends_all(&with_attachments(name, 2), SendOptions::default()));
    }
    assert!(send(&mut pair, "c"));
    assert_eq!(pair.session.dropped(), 1);
    assert_eq!(pair.session.outbound_bytes(), 400);
    assert_eq!(received(&mut pair), ["b", "+b", "+b", "c"]);
}

#[test]
fn attachments_of_an_event_that_was_sent_are_not_dropped() {
    // The text of `a` was sent, or a part of it, or a part of its first attachment.
    for taken in [1, 39, 45, 78] {
        let mut pair = stalled(Overflow::DropOldest, 4);
        assert!(pair.server_sends_all(&with_attachments("a", 2), SendOptions::default()));
        pair.client_takes(taken);
        send(&mut pair, "b");
        for name in ["c", "d", "e"] {
            assert!(send(&mut pair, name));
        }
        let names = received(&mut pair);
        assert_eq!(names[..3], ["a", "+a", "+a"], "after {taken} bytes");
        assert_eq!(names.last().map(String::as_str), Some("e"));
        assert_eq!(pair.session.dropped() + names.len() as u64, 7);
    }
}

#[test]
fn an_event_in_an_undelivered_response_is_not_dropped() {
    let config = SessionConfig {
        max_outbound_bytes: 400,
        overflow: Overflow::DropOldest,
        ..SessionConfig::default()
    };
    let mut pair = Pair::new(Revision::V4, Transport::Polling, config);
    pair.client_polls();
    pair.client_loses_answers(true);
    assert!(pair.server_sends_all(&with_attachments("a", 1), SendOptions::default()));
    pair.client_loses_answers(false);
    assert_eq!(pair.session.outbound_bytes(), 200);
    for name in ["b", "c", "d"] {
        assert!(send(&mut pair, name));
    }
    assert!(!pair.server_sends_all(&with_attachments("e", 2), SendOptions::default()));
    assert_eq!(pair.session.dropped(), 4);
    pair.client_polls();
    let names: Vec<_> = pair.received().iter().map(name).collect();
    assert_eq!(names, ["a", "+a"]);
}

#[test]
fn the_new_message_is_dropped_if_no_other_can_be() {
    let mut pair = stalled(Overflow::DropOldest, 3);
    assert!(pair.server_sends_all(&with_attachments("a", 2), SendOptions::default()));
    pair.client_takes(1);
    assert!(!send(&mut pair, "b"));
    assert_eq!(pair.session.dropped(), 1);
    assert_eq!(received(&mut pair), ["a", "+a", "+a"]);
}

#[test]
fn the_newest_message_is_dropped() {
    let mut pair = stalled(Overflow::DropNewest, 3);
    for name in ["a", "b"] {
        assert!(send(&mut pair, name));
    }
    // As a whole, although its text would fit.
    assert!(!pair.server_sends_all(&with_attachments("c", 1), SendOptions::default()));
    assert!(send(&mut pair, "d"));
    assert!(!send(&mut pair, "e"));
    assert_eq!(pair.session.dropped(), 2);
    assert_eq!(received(&mut pair), ["a", "b", "d"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn a_message_beyond_the_limit_may_be_queued_alone() {
    for overflow in [
        Overflow::Disconnect,
        Overflow::DropOldest,
        Overflow::DropNewest,
    ] {
        let mut pair = stalled(overflow, 2);
        assert!(pair.server_sends_all(&with_attachments("a", 5), SendOptions::default()));
        assert_eq!(pair.session.outbound_bytes(), 600);
        assert_eq!(pair.session.dropped(), 0);
        assert_eq!(received(&mut pair).len(), 6);
    }
    // But not after another one.
    let mut pair = stalled(Overflow::Disconnect, 2);
    send(&mut pair, "a");
    assert!(!pair.server_sends_all(&with_attachments("b", 5), SendOptions::default()));
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
}

#[test]
fn a_client_whose_get_is_pending_is_not_slow() {
    let config = SessionConfig {
        max_outbound_bytes: 200,
        ..SessionConfig::default()
    };
    let mut pair = Pair::new(Revision::V4, Transport::Polling, config);
    pair.client_polls();
    let all: Vec<String> = ["a", "b", "c", "d"].map(message).into();
    pair.server_sends_at_once(all.iter().map(String::as_str));
    assert_eq!(pair.closed(), None);
    pair.client_polls();
    let received: Vec<_> = pair.received().iter().map(show).collect();
    assert_eq!(received, all);
}

#[test]
fn a_client_that_does_not_read_is_disconnected_at_the_deadline() {
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.advance(5_000);
    pair.server_sends("hello");
    pair.advance(5_000);
    pair.server_sends("world");
    pair.advance(4_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
    assert_eq!(pair.finished_at(), Some(15_000));
}

#[test]
fn a_client_that_reads_a_little_is_not_disconnected() {
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.server_sends("hello");
    for _ in 0..4 {
        pair.advance(9_999);
        assert_eq!(pair.closed(), None);
        pair.client_takes(1);
    }
    pair.client_takes(usize::MAX);
    assert_eq!(pair.frames(), ["4hello", "2"]);
    // A write of zero bytes is not progress.
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.server_sends("hello");
    pair.advance(9_999);
    let now = pair.session.deadline().unwrap();
    pair.session.advance(now, 0);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::SlowConsumer));
}

#[test]
fn polling_has_no_write_deadline() {
    let mut pair = Pair::polling();
    pair.server_sends("hello");
    pair.advance(20_000);
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4hello");
    // Nor does the time before an upgrade count.
    let mut pair = Pair::polling();
    pair.server_sends("hello");
    pair.advance(20_000);
    pair.client_upgrades();
    assert_eq!(pair.frames(), ["4hello"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn volatile_messages_are_sent_only_if_they_need_no_queue() {
    let mut pair = Pair::websocket();
    assert!(pair.server_tries_to_send("a", VOLATILE));
    pair.client_takes(2);
    assert!(pair.server_sends_all(&with_attachments("b", 1), VOLATILE));
    assert!(!pair.server_tries_to_send("c", VOLATILE));
    assert!(!pair.server_sends_all(&with_attachments("d", 1), VOLATILE));
    assert_eq!(received(&mut pair), ["a", "b", "+b"]);
    assert_eq!(
        pair.session.dropped(),
        0,
        "volatile messages are not counted"
    );
    assert!(pair.server_tries_to_send("e", VOLATILE));

    let mut pair = Pair::polling();
    assert!(!pair.server_tries_to_send("a", VOLATILE));
    pair.client_polls();
    assert!(pair.server_tries_to_send("b", VOLATILE));
    assert_eq!(pair.poll_body().unwrap(), "4b");
    assert!(!pair.server_tries_to_send("c", VOLATILE));
    pair.client_polls();
    assert_eq!(pair.poll_body(), None);
}
