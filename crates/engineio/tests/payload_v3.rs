//! Revision 3 payloads in both forms, as the JavaScript server writes them.

use bytes::Bytes;
use kokanee_engineio::{
    DecodeError, Message, OutPacket, Outgoing, Packet, PayloadBody, PayloadDecoder, Revision,
    encode_payload,
};

fn decode_text(body: impl Into<Bytes>) -> Vec<Result<Packet, DecodeError>> {
    PayloadDecoder::new(Revision::V3, body.into(), false).collect()
}

fn decode_binary(body: impl Into<Bytes>) -> Vec<Result<Packet, DecodeError>> {
    PayloadDecoder::new(Revision::V3, body.into(), true).collect()
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

fn text_body(packets: &[OutPacket]) -> Bytes {
    let body = encode_payload(Revision::V3, packets, false);
    assert!(!body.binary);
    body.bytes
}

/// "hello" and the bytes 1 to 4 in the binary form.
const XHR2: &[u8] = &[
    0x00, 0x06, 0xff, 0x34, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x01, 0x05, 0xff, 0x04, 0x01, 0x02, 0x03,
    0x04,
];

#[test]
fn text_form_counts_characters_in_front_of_each_packet() {
    assert_eq!(
        text_body(&[send_text("hello"), send_text("€")]),
        "6:4hello2:4€"
    );
    assert_eq!(
        decode_text("6:4hello2:4€"),
        [Ok(text("hello")), Ok(text("€"))]
    );
}

#[test]
fn text_form_counts_utf16_code_units() {
    let message = "😀".repeat(22) + "x";
    let body = text_body(&[send_text(&message)]);
    assert_eq!(body, format!("46:4{message}"));
    assert_eq!(decode_text(body), [Ok(text(&message))]);
    assert_eq!(
        decode_text("3:4😀2:4é2:4\u{ffff}"),
        [Ok(text("😀")), Ok(text("é")), Ok(text("\u{ffff}"))]
    );
}

#[test]
fn text_form_has_binary_in_base64() {
    assert_eq!(
        text_body(&[send_text("hello"), send_binary(&[1, 2, 3, 4])]),
        "6:4hello10:b4AQIDBA=="
    );
    assert_eq!(
        decode_text("6:4hello10:b4AQIDBA=="),
        [Ok(text("hello")), Ok(binary(&[1, 2, 3, 4]))]
    );
}

#[test]
fn control_packets_have_lengths_too() {
    let packets = [
        OutPacket::Close,
        OutPacket::Ping,
        OutPacket::Probe,
        OutPacket::pong("probe"),
        OutPacket::Noop,
    ];
    assert_eq!(text_body(&packets), "1:11:26:2probe6:3probe1:6");
}

#[test]
fn no_packets_are_a_zero_length() {
    for supports_binary in [false, true] {
        let body = encode_payload(Revision::V3, &[], supports_binary);
        assert_eq!(
            body,
            PayloadBody {
                bytes: "0:".into(),
                binary: false
            }
        );
    }
    assert_eq!(decode_text("0:"), []);
}

#[test]
fn empty_body_is_an_error() {
    assert_eq!(
        decode_text(""),
        [Err(DecodeError::EmptyPacket { offset: 0 })]
    );
    assert_eq!(
        decode_binary(""),
        [Err(DecodeError::EmptyPacket { offset: 0 })]
    );
}

#[test]
fn zero_length_packets_are_skipped() {
    assert_eq!(
        decode_text("0:2:4a0:0:2:4b0:"),
        [Ok(text("a")), Ok(text("b"))]
    );
    assert_eq!(
        decode_binary(&b"\x00\x00\xff\x00\x02\xff4a\x01\x00\xff"[..]),
        [Ok(text("a"))]
    );
}

#[test]
fn text_length_must_be_decimal_digits_and_a_colon() {
    for body in [
        "a:4", ":4", "-1:4", "+1:4", " 1:4", "1 :4", "1.0:4", "1e1:4", "0x1:4", "4", "12", "１:4",
    ] {
        assert_eq!(
            decode_text(body),
            [Err(DecodeError::InvalidLength { offset: 0 })],
            "{body}"
        );
    }
    assert_eq!(
        decode_text("2:4ax"),
        [Ok(text("a")), Err(DecodeError::InvalidLength { offset: 4 })]
    );
    assert_eq!(
        decode_text("2:4a1"),
        [Ok(text("a")), Err(DecodeError::InvalidLength { offset: 4 })]
    );
    assert_eq!(decode_text("02:4a"), [Ok(text("a"))]);
}

#[test]
fn text_length_must_fit_the_body() {
    let mismatch = |announced, available| DecodeError::LengthMismatch {
        announced,
        available,
        offset: 2,
    };
    assert_eq!(decode_text("3:4a"), [Err(mismatch(3, 2))]);
    assert_eq!(decode_text("3:4€"), [Err(mismatch(3, 4))]);
    assert_eq!(decode_text("1:"), [Err(mismatch(1, 0))]);
    assert_eq!(decode_text("4:4😀"), [Err(mismatch(4, 5))]);
}

#[test]
fn text_length_must_not_end_inside_a_surrogate_pair() {
    let error = DecodeError::LengthMismatch {
        announced: 2,
        available: 5,
        offset: 2,
    };
    assert_eq!(decode_text("2:4😀"), [Err(error)]);
}

#[test]
fn huge_lengths_are_refused_without_overflow() {
    let max = usize::MAX.to_string();
    let mismatch = DecodeError::LengthMismatch {
        announced: usize::MAX,
        available: 1,
        offset: max.len() + 1,
    };
    assert_eq!(decode_text(format!("{max}:4")), [Err(mismatch)]);
    let invalid = DecodeError::InvalidLength { offset: 0 };
    for digits in [
        "1".to_owned() + &max,
        "9".repeat(310),
        "9".repeat(1_000_000),
    ] {
        assert_eq!(decode_text(digits.clone() + ":4"), [Err(invalid)]);
        assert_eq!(decode_text(digits), [Err(invalid)]);
    }
    assert_eq!(decode_text("0".repeat(309) + "2:4a"), [Ok(text("a"))]);
    assert_eq!(decode_text("0".repeat(310) + "2:4a"), [Err(invalid)]);
}

#[test]
fn bad_packet_in_a_good_length_is_an_error() {
    assert_eq!(
        decode_text("2:4a1:x2:4b"),
        [
            Ok(text("a")),
            Err(DecodeError::UnknownType {
                byte: b'x',
                offset: 6
            })
        ]
    );
    assert_eq!(
        decode_text("1:b"),
        [Err(DecodeError::EmptyPacket { offset: 3 })]
    );
    assert_eq!(
        decode_text("3:b4!"),
        [Err(DecodeError::InvalidBase64 { size: 1, offset: 4 })]
    );
}

#[test]
fn invalid_utf8_anywhere_refuses_the_whole_text_body() {
    assert_eq!(
        decode_text(&b"2:4a2:4\xff"[..]),
        [Err(DecodeError::InvalidUtf8 { offset: 7 })]
    );
}

#[test]
fn binary_form_marks_each_packet() {
    let packets = [send_text("hello"), send_binary(&[1, 2, 3, 4])];
    let body = encode_payload(Revision::V3, &packets, true);
    assert_eq!(
        body,
        PayloadBody {
            bytes: Bytes::from_static(XHR2),
            binary: true
        }
    );
    assert_eq!(
        decode_binary(XHR2),
        [Ok(text("hello")), Ok(binary(&[1, 2, 3, 4]))]
    );
}

#[test]
fn binary_form_is_used_only_for_binary_and_only_if_supported() {
    let mixed = [send_text("hello"), send_binary(&[1, 2, 3, 4])];
    assert!(encode_payload(Revision::V3, &mixed, true).binary);
    assert!(!encode_payload(Revision::V3, &mixed, false).binary);
    let text_only = [send_text("hello"), OutPacket::Ping];
    let body = encode_payload(Revision::V3, &text_only, true);
    assert_eq!(
        body,
        PayloadBody {
            bytes: "6:4hello1:2".into(),
            binary: false
        }
    );
}

#[test]
fn binary_form_has_one_byte_per_digit_of_the_length_in_bytes() {
    let message = "€".repeat(33);
    let body = encode_payload(Revision::V3, &[send_text(&message), send_binary(b"")], true).bytes;
    let expected = [
        &[0, 1, 0, 0, 0xff, b'4'],
        message.as_bytes(),
        &[1, 1, 0xff, 4],
    ]
    .concat();
    assert_eq!(body, expected);
    assert_eq!(decode_binary(body), [Ok(text(&message)), Ok(binary(b""))]);
}

#[test]
fn binary_form_takes_base64_in_text_packets() {
    assert_eq!(
        decode_binary(&b"\x00\x01\x00\xffb4AQIDBA=="[..]),
        [Ok(binary(&[1, 2, 3, 4]))]
    );
}

#[test]
fn binary_form_must_have_known_marks() {
    assert_eq!(
        decode_binary(&b"4hello"[..]),
        [Err(DecodeError::UnknownForm {
            byte: b'4',
            offset: 0
        })]
    );
    assert_eq!(
        decode_binary([XHR2, &[2]].concat()),
        [
            Ok(text("hello")),
            Ok(binary(&[1, 2, 3, 4])),
            Err(DecodeError::UnknownForm {
                byte: 2,
                offset: 17
            })
        ]
    );
}

#[test]
fn binary_length_must_be_digits_and_an_end() {
    let invalid = DecodeError::InvalidLength { offset: 1 };
    for body in [
        &b"\x00"[..],
        b"\x00\xff",
        b"\x00\x01",
        b"\x00\x0a\xff4",
        b"\x006\xff4hello",
        b"\x00\x06:4hello",
    ] {
        assert_eq!(decode_binary(body), [Err(invalid)], "{body:?}");
    }
    for size in [310, 311, 1_000_000] {
        assert_eq!(
            decode_binary([&[0][..], &vec![9; size], b"\xff4"].concat()),
            [Err(invalid)]
        );
        assert_eq!(decode_binary(vec![0; size + 1]), [Err(invalid)]);
    }
    let padded = |zeros: usize| [&vec![0; 1 + zeros][..], &[2, 0xff], b"4a"].concat();
    assert_eq!(decode_binary(padded(309)), [Ok(text("a"))]);
    assert_eq!(decode_binary(padded(310)), [Err(invalid)]);
}

#[test]
fn binary_length_must_fit_the_body() {
    let error = DecodeError::LengthMismatch {
        announced: 6,
        available: 5,
        offset: 3,
    };
    assert_eq!(decode_binary(&b"\x00\x06\xff4hell"[..]), [Err(error)]);
}

#[test]
fn bad_packet_in_the_binary_form_is_an_error() {
    assert_eq!(
        decode_binary(&b"\x00\x02\xff4\xff"[..]),
        [Err(DecodeError::InvalidUtf8 { offset: 4 })]
    );
    assert_eq!(
        decode_binary(&b"\x00\x01\xffx"[..]),
        [Err(DecodeError::UnknownType {
            byte: b'x',
            offset: 3
        })]
    );
    assert_eq!(
        decode_binary(&b"\x01\x01\xff4"[..]),
        [Err(DecodeError::UnknownType {
            byte: b'4',
            offset: 3
        })]
    );
    assert_eq!(
        decode_binary(&b"\x01\x02\xff\x02\xff"[..]),
        [Err(DecodeError::InvalidUtf8 { offset: 4 })]
    );
}

#[test]
fn nothing_comes_after_an_error() {
    let mut packets = PayloadDecoder::new(Revision::V3, "1:x2:4a".into(), false);
    assert_eq!(
        packets.next(),
        Some(Err(DecodeError::UnknownType {
            byte: b'x',
            offset: 2
        }))
    );
    for _ in 0..3 {
        assert_eq!(packets.next(), None);
    }
}

#[test]
fn errors_name_their_facts() {
    let shown =
        |results: Vec<Result<Packet, DecodeError>>| results[0].as_ref().unwrap_err().to_string();
    assert_eq!(shown(decode_text("x")), "invalid packet length at byte 0");
    assert_eq!(
        shown(decode_text("9:4a")),
        "packet at byte 2 is announced with length 9, but 2 bytes follow"
    );
    assert_eq!(
        shown(decode_binary("x")),
        "packet at byte 0 is marked 0x78, neither text nor binary"
    );
}

#[test]
fn decoded_binary_shares_the_memory_of_the_body() {
    let body = Bytes::from_static(XHR2);
    let binary = PayloadDecoder::new(Revision::V3, body.clone(), true).last();
    match binary {
        Some(Ok(Packet::Message(Message::Binary(bytes)))) => {
            assert_eq!(bytes.as_ptr(), body[13..].as_ptr());
        }
        other => panic!("not a binary message: {other:?}"),
    }
}

#[test]
fn million_tiny_packets_are_decoded_in_one_pass() {
    const PACKETS: usize = 1_000_000;
    for (packet, binary_form) in [
        (&b"1:4"[..], false),
        (b"2:4\xc3\xa9", false),
        (b"\x00\x01\xff4", true),
    ] {
        let body = Bytes::from(packet.repeat(PACKETS));
        let mut packets = PayloadDecoder::new(Revision::V3, body.clone(), binary_form);
        for index in 0..PACKETS {
            // Each step advances by its length and packet only.
            assert_eq!(packets.offset(), index * packet.len());
            assert!(matches!(
                packets.next(),
                Some(Ok(Packet::Message(Message::Text(_))))
            ));
        }
        assert_eq!(packets.offset(), body.len());
        assert_eq!(packets.next(), None);
    }
}

#[test]
fn million_empty_packets_are_skipped_in_one_pass() {
    assert_eq!(decode_text("0:".repeat(1_000_000)), []);
    assert_eq!(decode_binary(b"\x00\x00\xff".repeat(1_000_000)), []);
}
