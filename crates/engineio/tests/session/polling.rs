//! GET and POST: what they carry, and what happens when they fail or overlap.

use kokanee_engineio::{
    CloseReason, Outgoing, Overlap, PostResponse, Revision, SendOptions, SessionConfig, Transport,
};

use crate::pair::{OPEN, Pair};

fn v3() -> Pair {
    Pair::new(Revision::V3, Transport::Polling, SessionConfig::default())
}

#[test]
fn the_response_to_the_first_get_is_the_handshake() {
    let open = |revision| {
        Pair::opening(
            revision,
            Transport::Polling,
            SessionConfig::default(),
            false,
        )
    };
    let mut pair = open(Revision::V4);
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), OPEN);
    let mut pair = open(Revision::V3);
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), format!("{}:{OPEN}", OPEN.len()));
}

#[test]
fn a_get_waits_until_there_is_something_to_send() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.advance(24_000);
    assert_eq!(pair.poll_body(), None);
    pair.server_sends("hello");
    assert_eq!(pair.poll_body().unwrap(), "4hello");
}

#[test]
fn messages_sent_between_two_gets_come_in_one_body() {
    let mut pair = Pair::polling();
    pair.server_sends("hello");
    pair.server_sends("€");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4hello\x1e4€");
    let mut pair = v3();
    pair.server_sends("hello");
    pair.server_sends("€");
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "6:4hello2:4€");
}

#[test]
fn messages_of_one_turn_come_in_one_body() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.server_sends_at_once(["a", "b", "c"]);
    assert_eq!(pair.poll_body().unwrap(), "4a\x1e4b\x1e4c");
    assert_eq!(pair.poll_body(), None);
}

#[test]
fn binary_messages_are_base64() {
    let bytes = Outgoing::binary((&[1, 2, 3, 4][..]).into());
    let mut pair = Pair::polling();
    pair.server_sends_all(std::slice::from_ref(&bytes), SendOptions::default());
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "bAQIDBA==");
    pair.client_posts("bAQIDBA==");
    assert_eq!(pair.server_messages(), ["01020304"]);

    let mut pair = Pair::opening(
        Revision::V3,
        Transport::Polling,
        SessionConfig::default(),
        true,
    );
    pair.client_polls();
    pair.poll_body();
    pair.server_sends_all(std::slice::from_ref(&bytes), SendOptions::default());
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "10:b4AQIDBA==");
    pair.client_posts("10:b4AQIDBA==");
    assert_eq!(pair.server_messages(), ["01020304"]);

    let mut pair = v3();
    pair.server_sends_all(&[bytes], SendOptions::default());
    pair.client_polls();
    assert_eq!(
        pair.poll_bytes().unwrap()[..],
        *b"\x01\x05\xff\x04\x01\x02\x03\x04"
    );
    pair.try_post(&b"\x01\x05\xff\x04\x01\x02\x03\x04"[..], true)
        .unwrap();
    assert_eq!(pair.post_answer(), Some(PostResponse::Ok));
    assert_eq!(pair.server_messages(), ["01020304"]);
}

#[test]
fn a_payload_is_delivered_in_order() {
    let mut pair = Pair::polling();
    assert_eq!(
        pair.client_posts("4hello\x1e4world\x1e4"),
        Some(PostResponse::Ok)
    );
    assert_eq!(pair.server_messages(), ["hello", "world", ""]);
    let mut pair = v3();
    assert_eq!(pair.client_posts("6:4hello2:4€"), Some(PostResponse::Ok));
    assert_eq!(pair.server_messages(), ["hello", "€"]);
}

#[test]
fn packets_without_a_meaning_here_are_ignored() {
    let mut pair = Pair::polling();
    assert_eq!(
        pair.client_posts("0{}\x1e5\x1e6\x1e3\x1e4hello"),
        Some(PostResponse::Ok)
    );
    assert_eq!(pair.server_messages(), ["hello"]);
    assert_eq!(pair.closed(), None);
}

#[test]
fn messages_before_a_parse_error_in_a_payload_are_delivered() {
    for (revision, body) in [
        (Revision::V4, "4one\x1e4two\x1e7\x1e4three"),
        (Revision::V4, "4one\x1e4two\x1e\x1e4three"),
        (Revision::V3, "4:4one4:4two3:4x"),
        (Revision::V3, "4:4one4:4twox:4three"),
    ] {
        let mut pair = Pair::new(revision, Transport::Polling, SessionConfig::default());
        pair.client_polls();
        assert_eq!(pair.client_posts(body), Some(PostResponse::BadRequest));
        assert_eq!(pair.server_messages(), ["one", "two"], "{body}");
        assert_eq!(pair.closed(), Some(CloseReason::ParseError));
        assert!(pair.is_finished());
    }
}

#[test]
fn a_body_that_is_not_a_payload_closes_the_session() {
    for (revision, body, binary_form) in [
        (Revision::V4, &b""[..], false),
        (Revision::V4, b"4hello", true),
        (Revision::V4, b"4\xff", false),
        (Revision::V3, b"", false),
        (Revision::V3, b"", true),
        (Revision::V3, b"4hello", false),
    ] {
        let mut pair = Pair::new(revision, Transport::Polling, SessionConfig::default());
        pair.try_post(body, binary_form).unwrap();
        assert_eq!(pair.post_answer(), Some(PostResponse::BadRequest));
        assert_eq!(pair.closed(), Some(CloseReason::ParseError));
        assert!(pair.is_finished());
    }
}

#[test]
fn an_aborted_get_loses_nothing() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.client_aborts_poll();
    pair.server_sends("hello");
    assert_eq!(pair.closed(), None);
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4hello");
    // After that, the client has its usual time for the next GET.
    pair.advance(44_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
}

#[test]
fn a_get_that_was_not_aborted_stays_pending() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.server_sends("hello");
    // Too late: it is answered.
    pair.client_aborts_poll();
    pair.advance(44_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
}

#[test]
fn an_undelivered_response_comes_first_in_the_next_one() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.client_loses_answers(true);
    pair.server_sends_at_once(["one", "two"]);
    pair.server_sends("three");
    pair.client_loses_answers(false);
    pair.client_polls();
    assert_eq!(pair.poll_body().unwrap(), "4one\x1e4two\x1e4three");
}

#[test]
fn an_undelivered_response_is_sent_to_the_pending_get() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.server_sends("one");
    pair.delay_loss = false;
    pair.client_polls();
    pair.server_notices_loss();
    assert_eq!(pair.poll_body().unwrap(), "4one");
}

#[test]
fn an_undelivered_response_after_a_later_one_ends_the_session() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.delay_loss = true;
    pair.server_sends("one");
    pair.delay_loss = false;
    pair.client_polls();
    pair.server_sends("two");
    assert_eq!(pair.poll_body().unwrap(), "4two");
    // Delivered now, it would be out of order.
    pair.server_notices_loss();
    assert_eq!(pair.closed(), Some(CloseReason::TransportError));
}

#[test]
fn a_second_get_closes_the_session() {
    for (revision, close) in [(Revision::V4, "1"), (Revision::V3, "1:1")] {
        let mut pair = Pair::new(revision, Transport::Polling, SessionConfig::default());
        pair.client_polls();
        assert_eq!(pair.try_poll(), Err(Overlap));
        assert_eq!(pair.poll_body().unwrap(), close);
        assert_eq!(pair.poll_body(), None);
        assert_eq!(pair.closed(), Some(CloseReason::TransportError));
        assert!(pair.is_finished());
    }
}

#[test]
fn a_second_post_closes_the_session() {
    let mut pair = Pair::polling();
    pair.client_polls();
    pair.server_pauses_reading(true);
    assert_eq!(pair.client_posts("4hello"), None);
    assert_eq!(pair.try_post("4world", false), Err(Overlap));
    assert_eq!(pair.post_answer(), Some(PostResponse::BadRequest));
    assert_eq!(pair.poll_body().unwrap(), "1");
    assert_eq!(pair.closed(), Some(CloseReason::TransportError));
    assert!(pair.is_finished());
    pair.server_pauses_reading(false);
    assert!(pair.server_messages().is_empty());
}

#[test]
fn a_post_is_answered_when_all_of_it_was_processed() {
    let mut pair = Pair::polling();
    pair.server_pauses_reading(true);
    assert_eq!(pair.client_posts("4hello\x1e4world"), None);
    assert!(pair.session.has_post());
    pair.advance(10_000);
    assert_eq!(pair.post_answer(), None);
    pair.server_pauses_reading(false);
    assert_eq!(pair.server_messages(), ["hello", "world"]);
    assert_eq!(pair.post_answer(), Some(PostResponse::Ok));
}

#[test]
fn a_client_that_does_not_poll_is_dead() {
    // The handshake's GET never comes.
    let mut pair = Pair::opening(
        Revision::V4,
        Transport::Polling,
        SessionConfig::default(),
        false,
    );
    pair.advance(44_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
    assert!(pair.is_finished());
    // The GET is aborted, and the client continues to POST pings.
    let mut pair = v3();
    pair.client_polls();
    pair.advance(10_000);
    pair.client_aborts_poll();
    for _ in 0..4 {
        pair.client_posts("1:2");
        pair.advance(10_000);
    }
    assert_eq!(pair.finished_at(), Some(15_000));
    assert_eq!(pair.closed(), Some(CloseReason::TransportError));
    // A GET that was answered is not followed by another one.
    let mut pair = v3();
    pair.client_polls();
    pair.server_sends("x");
    for _ in 0..4 {
        pair.client_posts("1:2");
        pair.advance(10_000);
    }
    assert_eq!(pair.closed(), None);
    pair.advance(4_999);
    assert_eq!(pair.closed(), None);
    pair.advance(1);
    assert_eq!(pair.finished_at(), Some(45_000));
    assert_eq!(pair.closed(), Some(CloseReason::PingTimeout));
}

#[test]
fn requests_after_the_end_get_no_answer() {
    let mut pair = Pair::polling();
    pair.transport_closes(CloseReason::TransportError);
    assert!(pair.is_finished());
    pair.client_polls();
    assert_eq!(pair.poll_body(), None);
    assert_eq!(pair.client_posts("4hello"), None);
    assert!(pair.server_messages().is_empty());
    assert!(pair.probe_opens().is_err());
    assert!(!pair.server_tries_to_send("hello", SendOptions::default()));
    pair.client_aborts_poll();
    pair.server_closes();
    pair.transport_closes(CloseReason::TransportClose);
    pair.advance(1_000_000);
}

#[test]
fn a_response_has_at_most_as_many_packets_as_the_client_takes() {
    let mut pair = Pair::polling();
    pair.session.set_max_poll_packets(2);
    let parts = [
        Outgoing::text("a"),
        Outgoing::binary((&[1][..]).into()),
        Outgoing::binary((&[2][..]).into()),
    ];
    assert!(pair.server_sends_all(&parts, SendOptions::default()));
    pair.server_sends("b");
    let bodies: Vec<String> = std::iter::from_fn(|| {
        pair.client_polls();
        pair.poll_body()
    })
    .collect();
    assert_eq!(bodies, ["4a\u{1e}bAQ==", "bAg==\u{1e}4b"]);
    assert!(pair.session.is_drained() && pair.session.outbound_bytes() == 0);
}

#[test]
fn a_close_waits_until_all_packets_are_fetched() {
    let mut pair = Pair::polling();
    pair.session.set_max_poll_packets(2);
    for text in ["a", "b", "c"] {
        pair.server_sends(text);
    }
    pair.server_closes();
    for body in ["4a\u{1e}4b", "4c", "6\u{1e}1"] {
        assert!(!pair.is_finished());
        pair.client_polls();
        assert_eq!(pair.poll_body().unwrap(), body);
    }
    assert!(pair.is_finished());
}
