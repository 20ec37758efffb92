//! The msgpack parser: the bytes that the JavaScript parser writes, and invalid ones.

use bytes::Bytes;
use kokanee_engineio::Message;
use kokanee_socketio::{
    AckId, DecodeError, Decoder, DecoderLimits, EncodeError, EncodedPacket, Packet, ParserKind,
    Value, encode_ack, encode_connect, encode_connect_error, encode_disconnect, encode_event,
    encode_event_args,
};
use serde_json::json;

fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    let mut decoder = Decoder::new(ParserKind::Msgpack, DecoderLimits::default());
    let packet = decoder.decode(Message::Binary(Bytes::copy_from_slice(bytes)))?;
    Ok(packet.expect("a msgpack packet is complete"))
}

/// `83 type 02 nsp "/" data …`
fn event_bytes(data: &[u8]) -> Vec<u8> {
    [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat()
}

/// The text of the one argument of an event whose data are `92 "a" …`.
fn argument(bytes: &[u8]) -> Result<String, DecodeError> {
    match decode(&event_bytes(&[b"\x92\xa1a", bytes].concat()))? {
        Packet::Event { event, .. } => Ok(event.args().json().to_owned()),
        other => panic!("{other:?} is not an event"),
    }
}

fn bytes(packet: &EncodedPacket) -> Bytes {
    let Message::Binary(bytes) = packet.msgpack().message() else {
        panic!("msgpack is binary")
    };
    bytes
}

#[test]
fn connect_with_undefined_data() {
    let connect = Packet::Connect {
        namespace: "/".into(),
        auth: None,
    };
    assert_eq!(
        decode(b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/"),
        Ok(connect.clone())
    );
    assert_eq!(decode(b"\x82\xa4type\x00\xa3nsp\xa1/"), Ok(connect));
}

#[test]
fn undefined_members_are_removed() {
    let reply = b"\x83\xa4type\x00\xa4data\x82\xa3sid\xa1x\xa3pid\xd4\x00\x00\xa3nsp\xa6/admin";
    let auth = Some(r#"{"sid":"x"}"#.into());
    assert_eq!(
        decode(reply),
        Ok(Packet::Connect {
            namespace: "/admin".into(),
            auth
        })
    );
    let refusal = b"\x83\xa4type\x04\xa4data\x82\xa7message\xa2no\xa4data\xd4\x00\x00\xa3nsp\xa1/";
    let data = Some(r#"{"message":"no"}"#.into());
    assert_eq!(
        decode(refusal),
        Ok(Packet::ConnectError {
            namespace: "/".into(),
            data
        })
    );
    assert_eq!(argument(b"\x91\xd4\x00\x00").unwrap(), "[null]");
}

#[test]
fn other_keys_are_tolerated_in_any_order() {
    let packet = b"\x85\xa7options\x81\xa8compress\xc3\xa4data\x92\xa1a\x01\xa2id\x0c\xa3nsp\xa1/\xa4type\x02";
    let Ok(Packet::Event {
        namespace,
        id,
        event,
    }) = decode(packet)
    else {
        panic!()
    };
    assert_eq!(
        (namespace.as_str(), id, event.name(), event.args().json()),
        ("/", Some(AckId(12)), "a", "1")
    );
    let absent = [
        &b"\x84\xa2id\xd4\x00\x00"[..],
        &event_bytes(b"\x91\xa1a")[1..],
    ]
    .concat();
    assert!(matches!(
        decode(&absent),
        Ok(Packet::Event { id: None, .. })
    ));
}

#[test]
fn every_form_of_value() {
    for (bytes, json) in [
        (&b"\x00"[..], "0"),
        (b"\x7f", "127"),
        (b"\xff", "-1"),
        (b"\xe0", "-32"),
        (b"\xcc\xff", "255"),
        (b"\xcd\xff\xff", "65535"),
        (b"\xce\xff\xff\xff\xff", "4294967295"),
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            "18446744073709551615",
        ),
        (b"\xd0\x80", "-128"),
        (b"\xd1\x80\x00", "-32768"),
        (b"\xd2\x80\x00\x00\x00", "-2147483648"),
        (
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            "-9223372036854775808",
        ),
        (b"\xca\x3f\xc0\x00\x00", "1.5"),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
        (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "null"),
        (b"\xc0", "null"),
        (b"\xc2", "false"),
        (b"\xc3", "true"),
        (b"\xa0", r#""""#),
        (b"\xa2\"\n", r#""\"\n""#),
        (b"\xd9\x01x", r#""x""#),
        (b"\xda\x00\x01x", r#""x""#),
        (b"\xdb\x00\x00\x00\x01x", r#""x""#),
        (b"\x90", "[]"),
        (b"\xdc\x00\x02\x01\x02", "[1,2]"),
        (b"\xdd\x00\x00\x00\x01\x01", "[1]"),
        (b"\x80", "{}"),
        (b"\xde\x00\x01\xa1a\x01", r#"{"a":1}"#),
        (b"\xdf\x00\x00\x00\x01\xa1a\x01", r#"{"a":1}"#),
        (b"\x82\x00\xc3\xcc\xff\xc2", r#"{"0":true,"255":false}"#),
        (
            b"\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            r#""1970-01-01T00:00:00.000Z""#,
        ),
        (
            b"\xd7\x00\x00\x00\x01\x8b\xcf\xe5\x68\x7b",
            r#""2023-11-14T22:13:20.123Z""#,
        ),
        (
            b"\xd7\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            r#""1969-12-31T23:59:59.999Z""#,
        ),
        (b"\xd7\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "null"),
    ] {
        assert_eq!(argument(bytes).as_deref(), Ok(json), "{bytes:x?}");
    }
}

#[test]
fn dates_are_iso_8601() {
    for (milliseconds, text) in [
        (951_782_400_000_i64, "2000-02-29T00:00:00.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
    ] {
        let bytes = [&b"\xd7\x00"[..], &milliseconds.to_be_bytes()].concat();
        assert_eq!(argument(&bytes).unwrap(), format!("\"{text}\""));
    }
}

#[test]
fn binary_and_array_buffers_are_bytes() {
    for bytes in [
        &b"\xc4\x02hi"[..],
        b"\xc5\x00\x02hi",
        b"\xc6\x00\x00\x00\x02hi",
        b"\xc7\x02\x00hi",
        b"\xc8\x00\x02\x00hi",
        b"\xc9\x00\x00\x00\x02\x00hi",
        b"\xd5\x00hi",
    ] {
        let Ok(Packet::Event { event, .. }) = decode(&event_bytes(&[b"\x92\xa1a", bytes].concat()))
        else {
            panic!()
        };
        assert_eq!(
            event.args().deserialize::<Bytes>().unwrap(),
            b"hi"[..],
            "{bytes:x?}"
        );
        assert_eq!(event.args().json(), r#"{"_placeholder":true,"num":0}"#);
    }
    // Eight bytes after a length are a buffer, not a date.
    let buffer = b"\x92\xa1a\xc7\x08\x0012345678";
    let Ok(Packet::Event { event, .. }) = decode(&event_bytes(buffer)) else {
        panic!()
    };
    assert_eq!(
        event.args().deserialize::<Bytes>().unwrap(),
        b"12345678"[..]
    );
}

#[test]
fn unknown_extensions_are_type_and_bytes() {
    for bytes in [&b"\xd4\x05x"[..], b"\xc7\x01\x05x"] {
        let Ok(Packet::Event { event, .. }) = decode(&event_bytes(&[b"\x92\xa1a", bytes].concat()))
        else {
            panic!()
        };
        let expected = Value::Array(vec![Value::from(5), Value::from(Bytes::from_static(b"x"))]);
        assert_eq!(event.args().to_values().unwrap(), [expected]);
    }
}

#[test]
fn acks_may_carry_bytes() {
    let packet = b"\x84\xa4type\x03\xa3nsp\xa1/\xa2id\xcd\x01\x00\xa4data\x91\xc4\x01x";
    let Ok(Packet::Ack { id, args, .. }) = decode(packet) else {
        panic!()
    };
    assert_eq!(
        (id, args.deserialize::<Bytes>().unwrap()),
        (AckId(256), Bytes::from_static(b"x"))
    );
}

#[test]
fn nil_means_no_data() {
    // As python-socketio sends it.
    let packet = b"\x83\xa4type\x01\xa4data\xc0\xa3nsp\xa1/";
    assert!(matches!(decode(packet), Ok(Packet::Disconnect { .. })));
    let connect = b"\x83\xa4type\x00\xa4data\xc0\xa3nsp\xa1/";
    assert!(matches!(
        decode(connect),
        Ok(Packet::Connect { auth: None, .. })
    ));
    let event = b"\x83\xa4type\x02\xa4data\xc0\xa3nsp\xa1/";
    assert_eq!(decode(event), Err(DecodeError::InvalidPayload));
}

#[test]
fn packets_are_encoded() {
    assert_eq!(
        bytes(&encode_connect("/", None)),
        b"\x82\xa4type\x00\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        bytes(&encode_connect("/admin", Some(r#"{"sid":"x"}"#))),
        b"\x83\xa4type\x00\xa3nsp\xa6/admin\xa4data\x81\xa3sid\xa1x"[..]
    );
    assert_eq!(
        bytes(&encode_disconnect("/")),
        b"\x82\xa4type\x01\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        bytes(&encode_event("/", Some(AckId(1)), "a", &()).unwrap()),
        b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a\xa2id\x01"[..]
    );
    assert_eq!(
        bytes(&encode_ack("/", AckId(1000), &(true, None::<i32>)).unwrap()),
        b"\x84\xa4type\x03\xa3nsp\xa1/\xa4data\x92\xc3\xc0\xa2id\xcd\x03\xe8"[..]
    );
    assert_eq!(
        bytes(&encode_connect_error("/", "no", None::<&()>).unwrap()),
        b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x81\xa7message\xa2no"[..]
    );
    let nested = encode_event("/", None, "a", &json!({"k": [1, {"b": "c"}], "e": {}})).unwrap();
    assert_eq!(
        bytes(&nested),
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\x82\xa1k\x92\x01\x81\xa1b\xa1c\xa1e\x80"[..]
    );
}

#[test]
fn placeholders_are_replaced_by_bytes() {
    let packet = encode_event(
        "/",
        None,
        "a",
        &(Bytes::from_static(b"x"), [Bytes::from_static(b"yz")], 1),
    )
    .unwrap();
    assert_eq!(
        bytes(&packet),
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x94\xa1a\xc4\x01x\x91\xc4\x02yz\x01"[..]
    );
    // Without attachments it is data.
    let data = encode_event("/", None, "a", &json!({"_placeholder": true, "num": 0})).unwrap();
    assert_eq!(
        bytes(&data),
        b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\x82\xac_placeholder\xc3\xa3num\x00"[..]
    );
}

#[test]
fn numbers_take_the_smallest_form() {
    let event = |value: serde_json::Value| {
        let bytes = bytes(&encode_event("/", None, "a", &value).unwrap());
        bytes.slice(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a".len()..)
    };
    for (value, bytes) in [
        (json!(127), &b"\x7f"[..]),
        (json!(128), b"\xcc\x80"),
        (json!(255), b"\xcc\xff"),
        (json!(256), b"\xcd\x01\x00"),
        (json!(65536), b"\xce\x00\x01\x00\x00"),
        (
            json!(4_294_967_296_u64),
            b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
        ),
        (json!(u64::MAX), b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        (json!(-32), b"\xe0"),
        (json!(-33), b"\xd0\xdf"),
        (json!(-128), b"\xd0\x80"),
        (json!(-129), b"\xd1\xff\x7f"),
        (json!(-32769), b"\xd2\xff\xff\x7f\xff"),
        (json!(i64::MIN), b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
        (json!(1.0), b"\x01"),
        (json!(1.5), b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
    ] {
        assert_eq!(event(value.clone()), bytes, "{value}");
    }
    assert_eq!(event(json!("x".repeat(32)))[..2], b"\xd9\x20"[..]);
    assert_eq!(event(json!("x".repeat(256)))[..3], b"\xda\x01\x00"[..]);
    assert_eq!(event(json!(vec![0; 16]))[..3], b"\xdc\x00\x10"[..]);
    assert_eq!(
        event(json!(vec![0; 65_536]))[..5],
        b"\xdd\x00\x01\x00\x00"[..]
    );
}

#[test]
fn raw_text_is_translated_whatever_it_contains() {
    let mut decoder = Decoder::new(ParserKind::Default, DecoderLimits::default());
    let text = format!(
        r#"2["a","\u00e9\ud83d\ude00\ud800x\"\\\/\n",{} , 1e2 ]"#,
        "9".repeat(400)
    );
    let Ok(Some(Packet::Event { event, .. })) = decoder.decode(Message::Text(text.into())) else {
        panic!()
    };
    let packet = encode_event_args("/", None, "a", event.args()).unwrap();
    let mut expected = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x94\xa1a".to_vec();
    expected.push(0xa0 | 0x0e);
    expected.extend_from_slice("é😀\u{fffd}x\"\\/\n".as_bytes());
    expected.extend_from_slice(b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00\x64");
    assert_eq!(bytes(&packet), expected);
}

#[test]
fn clones_of_a_shared_packet_are_translated_once() {
    let packet = encode_event("/", None, "a", &1).unwrap().shared();
    let clone = packet.clone();
    assert_eq!(bytes(&packet).as_ptr(), bytes(&clone).as_ptr());
}

#[test]
fn packets_of_the_wrong_kind() {
    for (packet, error) in [
        (&b""[..], "invalid msgpack"),
        (b"\xc0", "invalid msgpack"),
        (b"\x90", "invalid msgpack"),
        (b"\x80", "invalid packet type"),
        (b"\x81\xa4type\x02", "invalid namespace"),
        (b"\x82\xa4type\x05\xa3nsp\xa1/", "invalid packet type"),
        (b"\x82\xa4type\xff\xa3nsp\xa1/", "invalid packet type"),
        (b"\x82\xa4type\xa12\xa3nsp\xa1/", "invalid msgpack"),
        (b"\x82\xa4type\x00\xa3nsp\x01", "invalid namespace"),
        (b"\x82\xa4type\x00\xa3nsp\xa1a", "invalid namespace"),
        (b"\x82\xa4type\x00\xa3nsp\xa3/,a", "invalid namespace"),
        (
            b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x90",
            "invalid payload",
        ),
        (
            b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\x80",
            "invalid payload",
        ),
        (
            b"\x83\xa4type\x04\xa3nsp\xa1/\xa4data\x01",
            "invalid payload",
        ),
        (b"\x82\xa4type\x02\xa3nsp\xa1/", "invalid payload"),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x80",
            "invalid payload",
        ),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa7connect",
            "invalid payload",
        ),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xc4\x01a",
            "invalid payload",
        ),
        (
            b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\x90",
            "invalid payload",
        ),
        (
            b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a\xa2id\xff",
            "invalid packet id",
        ),
        (
            b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a\xa2id\xa11",
            "invalid packet id",
        ),
        (b"\x83\xa4type\x02\xa3nsp\xa1/\xa2id", "invalid msgpack"),
        (
            b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x81\xa1a\xc4\x01x",
            "invalid payload",
        ),
    ] {
        let got = decode(packet).unwrap_err().to_string();
        // The bytes after a value of the wrong kind may be misread.
        assert!(
            got == error || (error == "invalid msgpack" && got.starts_with("invalid")),
            "{packet:x?}: {got}"
        );
    }
    let mut decoder = Decoder::new(ParserKind::Msgpack, DecoderLimits::default());
    assert_eq!(
        decoder.decode(Message::Text("0".into())),
        Err(DecodeError::TextInsteadOfMsgpack)
    );
}

#[test]
fn truncated_packets_and_trailing_bytes() {
    let whole = event_bytes(b"\x94\xa1a\xc4\x02xy\x82\xa1b\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1c\xd4\x00\x00\xd9\x01z");
    assert!(decode(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(decode(&whole[..length]).is_err());
    }
    assert_eq!(
        decode(&[&whole[..], b"\x00"].concat()),
        Err(DecodeError::InvalidMsgpack)
    );
}

#[test]
fn announced_lengths_allocate_nothing() {
    for bytes in [
        &b"\xdd\x7f\xff\xff\xff"[..],
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\xdd\xff\xff\xff\xff\x01\x02",
        b"\xc1",
        b"\xa1\xff",
    ] {
        assert_eq!(argument(bytes), Err(DecodeError::InvalidMsgpack));
    }
    assert_eq!(
        decode(b"\xdf\xff\xff\xff\xff"),
        Err(DecodeError::InvalidMsgpack)
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| [&vec![0x91; depth - 1][..], &[0x90]].concat();
    assert!(argument(&nested(511)).is_ok());
    for depth in [512, 100_000] {
        assert_eq!(
            argument(&nested(depth)),
            Err(DecodeError::TooDeep { max: 512 })
        );
    }
    assert_eq!(
        argument(&vec![0x91; 1_000_000]),
        Err(DecodeError::TooDeep { max: 512 })
    );
    assert_eq!(
        argument(&b"\x81\xa1a".repeat(100_000)),
        Err(DecodeError::TooDeep { max: 512 })
    );
    // Unused keys are bounded, too.
    let ignored = [&b"\x81\xa1x"[..], &vec![0x91; 100_000]].concat();
    assert_eq!(decode(&ignored), Err(DecodeError::TooDeep { max: 512 }));
}

#[test]
fn any_number_of_binary_values_is_possible() {
    for count in [11_u16, 50, 5_000] {
        let mut data = vec![0xdc];
        data.extend(count.to_be_bytes());
        data.extend(b"\xc4\x01x".repeat(usize::from(count)));
        let packet = decode(&event_bytes(&[b"\x92\xa1a", &data[..]].concat())).unwrap();
        let Packet::Event { event, .. } = packet else {
            panic!()
        };
        let values: Vec<Bytes> = event.args().deserialize().unwrap();
        assert_eq!(values, vec![&b"x"[..]; usize::from(count)]);
        let again = encode_event_args("/", None, "a", event.args()).unwrap();
        assert!(bytes(&again).ends_with(&data[3..]));
        let too_many = EncodeError::TooManyAttachments {
            count: count.into(),
            max: 10,
        };
        assert_eq!(again.check_attachments(10), Err(too_many));
        assert_eq!(again.check_attachments(count.into()), Ok(()));
    }
}

#[test]
fn data_may_grow_by_the_limit_of_attachments() {
    let limits = DecoderLimits {
        max_attachment_bytes: 10_000,
        ..DecoderLimits::default()
    };
    let mut decoder = Decoder::new(ParserKind::Msgpack, limits);
    let mut decode = |data: &[u8]| {
        let data = [b"\x92\xa1a", data].concat();
        decoder.decode(Message::Binary(event_bytes(&data).into()))
    };
    let array = |count: u16, element: &[u8]| {
        let head = [&[0xdc][..], &count.to_be_bytes()].concat();
        [head, element.repeat(usize::from(count))].concat()
    };
    let too_large = Err(DecodeError::MsgpackTooLarge { max: 10_000 });
    // `false,` is six bytes, and an attachment its placeholder and a reference.
    assert!(decode(&array(1_990, b"\xc2")).is_ok());
    assert_eq!(decode(&array(2_010, b"\xc2")), too_large);
    assert!(decode(&array(140, b"\xc4\x00")).is_ok());
    assert_eq!(decode(&array(180, b"\xc4\x00")), too_large);
    assert_eq!(decode(&array(2_010, b"\xa1\x01")), too_large);
    assert_eq!(
        decode(&array(2, &[b"\xc5\x13\x89", &[0; 5_001][..]].concat())),
        Err(DecodeError::AttachmentsTooLarge { max: 10_000 })
    );
    // A small attachment does not keep a large message allocated either.
    let junk = [
        b"\x84\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a\xc4\x01x\xa4junk\xc5\x27\x10",
        &[0; 10_000][..],
    ];
    let limits = DecoderLimits {
        max_attachment_bytes: 20_000,
        ..DecoderLimits::default()
    };
    let mut decoder = Decoder::new(ParserKind::Msgpack, limits);
    let message = Bytes::from(junk.concat());
    let Ok(Some(Packet::Event { event, .. })) = decoder.decode(Message::Binary(message.clone()))
    else {
        panic!()
    };
    assert_eq!(event.args().attachments(), [&b"x"[..]]);
    assert!(message.is_unique());
}

#[test]
fn half_a_surrogate_pair_may_be_written_as_three_bytes() {
    for (bytes, json) in [
        (&b"\xa5hi\xed\xa0\xbd"[..], "\"hi\u{fffd}\""),
        (b"\xa6\xed\xb8\x80\xed\xa0\xbd", "\"\u{fffd}\u{fffd}\""),
        (b"\xa6\xed\x95\x9c\xed\xbf\xbf", "\"\u{d55c}\u{fffd}\""),
        (b"\x81\xa3\xed\xa0\xbd\xc3", "{\"\u{fffd}\":true}"),
    ] {
        assert_eq!(argument(bytes).as_deref(), Ok(json));
    }
    let Ok(Packet::Event { event, .. }) = decode(&event_bytes(b"\x91\xa4a\xed\xa0\xbd")) else {
        panic!()
    };
    assert_eq!(event.name(), "a\u{fffd}");
    for bytes in [
        &b"\xa2\xed\xa0"[..],
        b"\xa1\xed",
        b"\xa3\xed\xa0x",
        b"\xa2\xff\xfe",
        b"\xa2\xc0\x80",
    ] {
        assert_eq!(argument(bytes), Err(DecodeError::InvalidMsgpack));
    }
}

#[test]
fn numbers_beyond_a_double_are_infinite() {
    let mut decoder = Decoder::new(ParserKind::Default, DecoderLimits::default());
    let text = r#"2["a",1e400,-1e400]"#;
    let Ok(Some(Packet::Event { event, .. })) = decoder.decode(Message::Text(text.into())) else {
        panic!()
    };
    let packet = bytes(&encode_event_args("/", None, "a", event.args()).unwrap());
    assert!(
        packet.ends_with(b"\x93\xa1a\xcb\x7f\xf0\0\0\0\0\0\0\xcb\xff\xf0\0\0\0\0\0\0"),
        "{packet:?}"
    );
    // When received, they are what JavaScript writes for them in JSON.
    assert_eq!(argument(b"\xcb\x7f\xf0\0\0\0\0\0\0").as_deref(), Ok("null"));
}

#[test]
fn data_that_looks_like_a_placeholder_cannot_join_bytes() {
    let literal = b"\x82\xac_placeholder\xc3\xa3num\x00";
    assert_eq!(
        argument(literal).unwrap(),
        r#"{"_placeholder":true,"num":0}"#
    );
    let joined = [&b"\x92\xc4\x01x"[..], literal].concat();
    assert_eq!(argument(&joined), Err(DecodeError::IllegalPlaceholder));
}

#[test]
fn the_first_packet_chooses_the_parser() {
    let connect = Message::Binary(Bytes::from_static(b"\x82\xa4type\x00\xa3nsp\xa1/"));
    let mut decoder = Decoder::new(ParserKind::Both, DecoderLimits::default());
    assert_eq!(decoder.peer_parser(), None);
    assert!(decoder.decode(connect.clone()).is_ok());
    assert_eq!(decoder.peer_parser(), Some(ParserKind::Msgpack));
    assert_eq!(
        decoder.decode(Message::Text("0".into())),
        Err(DecodeError::TextInsteadOfMsgpack)
    );

    let mut decoder = Decoder::new(ParserKind::Both, DecoderLimits::default());
    assert!(decoder.decode(Message::Text("0".into())).is_ok());
    assert_eq!(decoder.peer_parser(), Some(ParserKind::Default));
    assert_eq!(decoder.decode(connect), Err(DecodeError::UnexpectedBinary));
    assert_eq!(decoder.decode(Message::Text("51-[\"a\"]".into())), Ok(None));
    assert!(matches!(
        decoder.decode(Message::Binary(Bytes::new())),
        Ok(Some(Packet::Event { .. }))
    ));
}
