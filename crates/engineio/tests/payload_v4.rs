//! Revision 4 payloads, as the protocol and the JavaScript server write them.

use std::time::Duration;

use bytes::Bytes;
use kokanee_engineio::{
    DecodeError, Handshake, Message, OutPacket, Outgoing, Packet, PayloadBody, PayloadDecoder,
    Revision, Str, encode_payload,
};

fn decode(body: impl Into<Bytes>) -> Vec<Result<Packet, DecodeError>> {
    PayloadDecoder::new(Revision::V4, body.into(), false).collect()
}

fn text(content: &str) -> Packet {
    Packet::Message(Message::Text(content.into()))
}

fn binary(content: &'static [u8]) -> Packet {
    Packet::Message(Message::Binary(Bytes::from_static(content)))
}

fn send_text(content: &str) -> OutPacket {
    OutPacket::Message(Outgoing::text(content))
}

fn send_binary(content: &'static [u8]) -> OutPacket {
    OutPacket::Message(Outgoing::binary(Bytes::from_static(content)))
}

fn encode(packets: &[OutPacket]) -> Bytes {
    let body = encode_payload(Revision::V4, packets, true);
    assert!(!body.binary, "revision 4 has no binary form");
    body.bytes
}

#[test]
fn packets_are_joined_with_the_record_separator() {
    let packets = [send_text("hello"), OutPacket::Ping, send_text("world")];
    assert_eq!(encode(&packets), "4hello\x1e2\x1e4world");
    assert_eq!(
        decode("4hello\x1e2\x1e4world"),
        [
            Ok(text("hello")),
            Ok(Packet::Ping("".into())),
            Ok(text("world"))
        ]
    );
}

#[test]
fn binary_is_base64_without_a_type() {
    assert_eq!(
        encode(&[send_text("hello"), send_binary(&[1, 2, 3, 4])]),
        "4hello\x1ebAQIDBA=="
    );
    assert_eq!(
        decode("4hello\x1ebAQIDBA=="),
        [Ok(text("hello")), Ok(binary(&[1, 2, 3, 4]))]
    );
    assert_eq!(encode(&[send_binary(b"")]), "b");
    assert_eq!(decode("b"), [Ok(binary(b""))]);
}

#[test]
fn handshake_and_initial_packet_travel_in_one_body() {
    let handshake = Handshake {
        sid: "lv_VI97HAXpY6yYWAAAC".into(),
        upgrades: vec!["websocket".into()],
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        max_payload: Some(1_000_000),
    };
    let body = encode(&[OutPacket::open(&handshake), send_text("hey")]);
    assert_eq!(
        body,
        "0{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\
         \"pingTimeout\":20000,\"maxPayload\":1000000}\x1e4hey"
    );
    let mut packets = PayloadDecoder::new(Revision::V4, body, false);
    let Some(Ok(Packet::Open(json))) = packets.next() else {
        panic!("the first packet is the handshake")
    };
    assert_eq!(Handshake::decode(&json), Ok(handshake));
    assert_eq!(packets.next(), Some(Ok(text("hey"))));
    assert_eq!(packets.next(), None);
}

#[test]
fn text_of_any_script_is_kept() {
    assert_eq!(encode(&[send_text("€"), send_text("😀")]), "4€\x1e4😀");
    assert_eq!(decode("4€\x1e4😀"), [Ok(text("€")), Ok(text("😀"))]);
}

#[test]
fn empty_body_is_an_error() {
    assert_eq!(decode(""), [Err(DecodeError::EmptyPacket { offset: 0 })]);
}

#[test]
fn empty_packet_is_an_error() {
    assert_eq!(
        decode("\x1e"),
        [Err(DecodeError::EmptyPacket { offset: 0 })]
    );
    assert_eq!(
        decode("4a\x1e"),
        [Ok(text("a")), Err(DecodeError::EmptyPacket { offset: 3 })]
    );
    assert_eq!(
        decode("4a\x1e\x1e4b"),
        [Ok(text("a")), Err(DecodeError::EmptyPacket { offset: 3 })]
    );
}

#[test]
fn packets_before_the_first_bad_one_are_delivered() {
    assert_eq!(
        decode("4a\x1eabc\x1e4b"),
        [
            Ok(text("a")),
            Err(DecodeError::UnknownType {
                byte: b'a',
                offset: 3
            })
        ]
    );
    assert_eq!(
        decode("4a\x1eb!!!!\x1e4b"),
        [
            Ok(text("a")),
            Err(DecodeError::InvalidBase64 { size: 4, offset: 4 })
        ]
    );
}

#[test]
fn nothing_comes_after_an_error() {
    let mut packets = PayloadDecoder::new(Revision::V4, "x\x1e4a".into(), false);
    assert_eq!(
        packets.next(),
        Some(Err(DecodeError::UnknownType {
            byte: b'x',
            offset: 0
        }))
    );
    for _ in 0..3 {
        assert_eq!(packets.next(), None);
    }
}

#[test]
fn invalid_utf8_anywhere_refuses_the_whole_body() {
    assert_eq!(
        decode(&b"4a\x1e4b\xff"[..]),
        [Err(DecodeError::InvalidUtf8 { offset: 5 })]
    );
    assert_eq!(
        decode(&b"4\xed\xa0\x80"[..]),
        [Err(DecodeError::InvalidUtf8 { offset: 1 })]
    );
}

#[test]
fn binary_body_is_an_error() {
    let packets = PayloadDecoder::new(Revision::V4, "4a".into(), true);
    assert_eq!(
        packets.collect::<Vec<_>>(),
        [Err(DecodeError::BinaryBody { size: 2 })]
    );
}

#[test]
fn errors_name_their_facts() {
    let shown = |body: &'static [u8]| decode(body).pop().unwrap().unwrap_err().to_string();
    assert_eq!(shown(b""), "packet without a type at byte 0");
    assert_eq!(shown(b"4a\x1e9"), "unknown packet type 0x39 at byte 3");
    assert_eq!(shown(b"b?"), "invalid base64 of 1 bytes at byte 1");
    assert_eq!(shown(b"4\xff"), "invalid UTF-8 at byte 1");
    assert_eq!(
        PayloadDecoder::new(Revision::V4, "4a".into(), true)
            .next()
            .unwrap()
            .unwrap_err()
            .to_string(),
        "binary body of 2 bytes in revision 4"
    );
}

#[test]
fn no_packets_are_an_empty_body() {
    let body = encode_payload(Revision::V4, &[], true);
    assert_eq!(
        body,
        PayloadBody {
            bytes: Bytes::new(),
            binary: false
        }
    );
}

#[test]
fn body_of_one_packet_is_the_packets_own_text() {
    let message = Outgoing::text("hello").shared();
    let shared = message.polling_text().unwrap();
    let body = encode(&[OutPacket::Message(message)]);
    assert_eq!(body, "4hello");
    assert_eq!(body.as_ptr(), shared.as_ptr());
}

#[test]
fn a_small_part_of_a_large_body_does_not_keep_the_body() {
    let body = Bytes::from(format!("4one\x1e4{}", "x".repeat(100)));
    let texts: Vec<Str> = PayloadDecoder::new(Revision::V4, body, false)
        .map(|packet| match packet {
            Ok(Packet::Message(Message::Text(text))) => text,
            other => panic!("not a text message: {other:?}"),
        })
        .collect();
    assert_eq!((texts[0].as_str(), texts[1].len()), ("one", 100));
    // The first packet was copied: it does not keep the body allocated.
    let distance = (texts[1].as_ptr() as usize).abs_diff(texts[0].as_ptr() as usize);
    assert_ne!(distance, "one\x1e4".len());
}

#[test]
fn million_tiny_packets_are_decoded_in_one_pass() {
    const PACKETS: usize = 1_000_000;
    let body = Bytes::from("4\x1e".repeat(PACKETS - 1) + "4");
    let mut packets = PayloadDecoder::new(Revision::V4, body.clone(), false);
    for index in 0..PACKETS {
        // Each step advances by its packet and separator only.
        assert_eq!(packets.offset(), index * 2);
        assert_eq!(
            packets.next(),
            Some(Ok(Packet::Message(Message::Text(Str::default()))))
        );
    }
    assert_eq!(packets.offset(), body.len());
    assert_eq!(packets.next(), None);
}
