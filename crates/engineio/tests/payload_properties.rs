//! Properties of payloads of any content.

use bytes::Bytes;
use kokanee_engineio::{
    Handshake, Message, OutPacket, Outgoing, Packet, PayloadDecoder, Revision, Str,
    decode_jsonp_form, encode_jsonp, encode_payload,
};
use proptest::prelude::*;

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![Just(Revision::V3), Just(Revision::V4)]
}

/// Text that is often short, and often has characters of two to four bytes.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        any::<char>(),
        Just('é'),
        Just('€'),
        Just('😀'),
        prop::char::range(' ', '~')
    ];
    prop::collection::vec(character, 0..40).prop_map(String::from_iter)
}

/// A packet to send and what its receiver must see. Revision 4 does not escape its separator, so texts have none.
fn packet() -> impl Strategy<Value = (OutPacket, Packet)> {
    let text = || text().prop_map(|text| text.replace('\u{1e}', ""));
    prop_oneof![
        Just((OutPacket::Close, Packet::Close)),
        Just((OutPacket::Ping, Packet::Ping(Str::default()))),
        Just((OutPacket::Probe, Packet::Ping("probe".into()))),
        Just((OutPacket::Upgrade, Packet::Upgrade)),
        Just((OutPacket::Noop, Packet::Noop)),
        text().prop_map(|data| (OutPacket::pong(&data), Packet::Pong(data.into()))),
        text().prop_map(|content| {
            (
                OutPacket::Message(Outgoing::text(&content)),
                Packet::Message(Message::Text(content.into())),
            )
        }),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|content| {
            let content = Bytes::from(content);
            (
                OutPacket::Message(Outgoing::binary(content.clone())),
                Packet::Message(Message::Binary(content)),
            )
        }),
    ]
}

/// Random bytes that often resemble payloads.
fn hostile_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            &b"\x1e"[..],
            b"4",
            b"b",
            b"b4",
            b"2probe",
            b":",
            b"1:",
            b"2:4",
            b"0:",
            b"3:4",
            b"99999999999999999999",
            b"\x00",
            b"\x01",
            b"\x00\x01\xff",
            b"\x01\x02\xff\x04",
            b"\xff",
            "é".as_bytes(),
            "😀".as_bytes(),
            b"AQI=",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_survive_a_payload(
        revision in revision(),
        packets in prop::collection::vec(packet(), 1..20),
        supports_binary in any::<bool>(),
    ) {
        let (sent, expected): (Vec<_>, Vec<_>) = packets.into_iter().unzip();
        let body = encode_payload(revision, &sent, supports_binary);
        prop_assert_eq!(body.binary, revision == Revision::V3 && supports_binary && expected.iter().any(
            |packet| matches!(packet, Packet::Message(Message::Binary(_)))
        ));
        let received: Result<Vec<_>, _> = PayloadDecoder::new(revision, body.bytes, body.binary).collect();
        prop_assert_eq!(received, Ok(expected));
    }

    #[test]
    fn packets_survive_a_websocket(revision in revision(), (sent, expected) in packet(), base64 in any::<bool>()) {
        let (opcode, content) = sent.websocket_content(revision, base64);
        let received = if opcode == kokanee_websocket::OpCode::Text {
            Packet::decode_text(revision, Str::from_utf8(&content).unwrap())
        } else {
            Packet::decode_binary(revision, content)
        };
        prop_assert_eq!(received, Ok(expected));
    }

    #[test]
    fn any_body_ends_at_its_first_error(revision in revision(), body in hostile_body(), binary_form in any::<bool>()) {
        let size = body.len();
        let mut packets = PayloadDecoder::new(revision, body.into(), binary_form);
        let mut offset = 0;
        // Each packet except the last takes at least one byte.
        for _ in 0..=size {
            match packets.next() {
                Some(Ok(_)) => {
                    prop_assert!(packets.offset() > offset && packets.offset() <= size);
                    offset = packets.offset();
                }
                Some(Err(_)) | None => break,
            }
        }
        prop_assert_eq!(packets.next(), None);
    }

    #[test]
    fn any_frame_is_decoded_or_refused(revision in revision(), frame in hostile_body()) {
        let frame = Bytes::from(frame);
        let _ = Packet::decode_binary(revision, frame.clone());
        if let Ok(text) = Str::from_utf8(&frame) {
            let first = text.as_bytes().first().copied();
            if Packet::decode_text(revision, text).is_ok() {
                prop_assert!(matches!(first, Some(b'0'..=b'6' | b'b')));
            }
        }
    }

    #[test]
    fn any_handshake_is_parsed_or_refused(json in text()) {
        let _ = Handshake::decode(&json);
    }

    #[test]
    fn text_survives_jsonp(content in text(), index in text()) {
        let script = encode_jsonp(&index, content.as_bytes());
        let start = script.iter().position(|&byte| byte == b'(').unwrap() + 1;
        let parsed: String = serde_json::from_slice(script[start..].strip_suffix(b");").unwrap()).unwrap();
        prop_assert_eq!(parsed, content);
    }

    #[test]
    fn text_survives_a_jsonp_form(content in text()) {
        // Clients escape, then the browser submits the form. The escapes are ambiguous for a newline after a backslash.
        prop_assume!(!content.contains("\\\n"));
        let escaped = content.replace("\\n", "\\\\n").replace('\n', "\\n");
        let form: Vec<_> = escaped.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let payload = decode_jsonp_form(format!("d={}", form.concat()).as_bytes());
        prop_assert_eq!(payload.as_deref(), Some(content.as_bytes()));
    }

    #[test]
    fn any_form_is_decoded_or_refused(body in hostile_body()) {
        let _ = decode_jsonp_form(&[b"d=", &body[..]].concat());
    }
}
