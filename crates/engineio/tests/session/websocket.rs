//! What a session's WebSocket carries, in the encodings of both revisions.

use kokanee_engineio::{
    Message, Outgoing, PacketType, Record, Revision, SendOptions, SessionConfig, Str, Transport,
};

use crate::pair::{OPEN, Pair};

fn binary() -> Outgoing {
    Outgoing::binary((&[1, 2, 3, 4][..]).into())
}

#[test]
fn each_packet_is_a_frame() {
    let mut pair = Pair::websocket();
    pair.server_sends("hello");
    pair.server_sends("");
    assert_eq!(pair.frames(), ["4hello", "4"]);
    pair.client_sends_frame("4hello");
    pair.client_sends_frame("4");
    assert_eq!(pair.server_messages(), ["hello", ""]);
}

#[test]
fn binary_messages_are_raw() {
    let mut pair = Pair::websocket();
    pair.server_sends_all(&[binary()], SendOptions::default());
    assert_eq!(pair.frames(), ["01020304"]);
    pair.client_sends(Message::Binary((&[1, 2, 3, 4][..]).into()));
    // Base64 is accepted, too.
    pair.client_sends_frame("bAQIDBA==");
    assert_eq!(pair.server_messages(), ["01020304", "01020304"]);
}

#[test]
fn revision_3_puts_the_type_in_front() {
    let mut pair = Pair::new(Revision::V3, Transport::WebSocket, SessionConfig::default());
    pair.server_sends_all(&[binary()], SendOptions::default());
    assert_eq!(pair.frames(), ["0401020304"]);
    pair.client_sends(Message::Binary((&[4, 1, 2, 3, 4][..]).into()));
    pair.client_sends_frame("b4AQIDBA==");
    assert_eq!(pair.server_messages(), ["01020304", "01020304"]);
}

#[test]
fn clients_without_binary_support_get_base64() {
    for (revision, frame) in [(Revision::V4, "bAQIDBA=="), (Revision::V3, "b4AQIDBA==")] {
        let mut pair = Pair::opening(
            revision,
            Transport::WebSocket,
            SessionConfig::default(),
            true,
        );
        assert_eq!(pair.frames(), [OPEN]);
        pair.server_sends_all(&[binary()], SendOptions::default());
        assert_eq!(pair.frames(), [frame]);
    }
}

#[test]
fn frames_may_be_written_in_pieces() {
    let mut pair = Pair::websocket();
    pair.client_takes(0);
    pair.server_sends("hello");
    pair.server_sends_all(&[binary()], SendOptions::default());
    pair.server_sends(&"€".repeat(50_000));
    for _ in 0..20 {
        pair.client_takes(1);
    }
    assert_eq!(pair.frames(), ["4hello", "01020304"]);
    assert!(pair.session.is_mid_frame());
    pair.client_takes(70_000);
    assert!(pair.frames().is_empty());
    pair.client_takes(usize::MAX);
    assert_eq!(pair.frames(), [format!("4{}", "€".repeat(50_000))]);
    assert!(pair.session.is_drained());
    assert!(!pair.session.is_mid_frame());
}

#[test]
fn a_session_records_its_packets_if_it_is_asked_to() {
    let config = SessionConfig {
        records: true,
        ..SessionConfig::default()
    };
    let mut pair = Pair::new(Revision::V4, Transport::WebSocket, config);
    pair.client_sends_frame("4hello");
    assert_eq!(pair.server_messages(), ["hello"]);
    pair.server_sends("world");
    pair.advance(25_000);
    assert_eq!(pair.frames(), ["4world", "2"]);
    pair.client_sends_frame("3");
    let text = |text| Some(Message::Text(Str::from_static(text)));
    let expected = [
        Record::Sent(PacketType::Open, text(&OPEN[1..])),
        Record::UpgradeRequested,
        Record::Upgraded,
        Record::Received(PacketType::Message, text("hello")),
        Record::Sent(PacketType::Message, text("world")),
        Record::Sent(PacketType::Ping, None),
        Record::Received(PacketType::Pong, text("")),
    ];
    assert_eq!(pair.records, expected);
    assert!(!pair.session.takes_runs());

    let mut silent = Pair::websocket();
    silent.client_sends_frame("4hello");
    assert!(silent.records.is_empty());
}
