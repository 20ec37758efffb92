//! The text encoding of every packet, in both directions: what valid peers send, and invalid packets.

use std::collections::HashMap;

use bytes::Bytes;
use kokanee_engineio::{Message, Outgoing};
use kokanee_socketio::{
    AckId, Args, DecodeError, Decoder, DecoderLimits, EncodeError, EncodedPacket, Packet,
    ParserKind, RawEvent, Value, encode_ack, encode_ack_args, encode_connect, encode_connect_error,
    encode_disconnect, encode_event, encode_event_args, encode_legacy_connect_error, from_json,
    from_value, to_value,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

fn decoder() -> Decoder {
    Decoder::new(ParserKind::Default, DecoderLimits::default())
}

fn text(text: &str) -> Message {
    Message::Text(text.into())
}

fn binary(bytes: &'static [u8]) -> Message {
    Message::Binary(Bytes::from_static(bytes))
}

fn decode(packet: &str) -> Result<Packet, DecodeError> {
    decoder()
        .decode(text(packet))
        .map(|packet| packet.expect("no attachments are outstanding"))
}

fn decode_with(packet: &str, attachments: &[&'static [u8]]) -> Result<Packet, DecodeError> {
    let mut decoder = decoder();
    let mut decoded = decoder.decode(text(packet))?;
    for attachment in attachments {
        assert_eq!(decoded, None);
        assert!(decoder.is_waiting());
        decoded = decoder.decode(binary(attachment))?;
    }
    assert!(!decoder.is_waiting());
    Ok(decoded.expect("all attachments are there"))
}

fn event(packet: Packet) -> RawEvent {
    let Packet::Event { event, .. } = packet else {
        panic!("{packet:?} is not an event")
    };
    event
}

fn args(packet: &str) -> Args {
    match decode(packet).expect("a packet") {
        Packet::Event { event, .. } => event.into_args(),
        Packet::Ack { args, .. } => args,
        other => panic!("{other:?} has no arguments"),
    }
}

/// The messages of a packet; text as it is, bytes in brackets.
fn wire(packet: &EncodedPacket) -> Vec<String> {
    let shown = |frame: &Outgoing| match frame.message() {
        Message::Text(text) => text.as_str().to_owned(),
        Message::Binary(bytes) => format!("{bytes:?}"),
    };
    packet.default_frames().map(shown).collect()
}

mod specification {
    use super::*;

    #[test]
    fn connect() {
        assert_eq!(
            decode("0"),
            Ok(Packet::Connect {
                namespace: "/".into(),
                auth: None
            })
        );
        assert_eq!(decode("0/custom"), decode("0/custom,"));
        assert_eq!(
            decode(r#"0{"token":"123"}"#),
            Ok(Packet::Connect {
                namespace: "/".into(),
                auth: Some(r#"{"token":"123"}"#.into())
            })
        );
        assert_eq!(
            decode(r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"} "#),
            Ok(Packet::Connect {
                namespace: "/admin".into(),
                auth: Some(r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#.into())
            })
        );
        assert_eq!(wire(&encode_connect("/", None)), ["0"]);
        assert_eq!(
            wire(&encode_connect("/", Some(r#"{"token":"123"}"#))),
            [r#"0{"token":"123"}"#]
        );
        assert_eq!(wire(&encode_connect("/admin", None)), ["0/admin,"]);
        assert_eq!(
            wire(&encode_connect(
                "/admin",
                Some(r#"{"sid":"oSO0OpakMV_3jnilAAAA"}"#)
            )),
            [r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}"#]
        );
    }

    #[test]
    fn connect_of_old_clients_keeps_its_query() {
        let namespace = "/foo?token=1234&uid=abcd".into();
        assert_eq!(
            decode("0/foo?token=1234&uid=abcd,"),
            Ok(Packet::Connect {
                namespace,
                auth: None
            })
        );
    }

    #[test]
    fn disconnect() {
        assert_eq!(
            decode("1"),
            Ok(Packet::Disconnect {
                namespace: "/".into()
            })
        );
        assert_eq!(
            decode("1/admin,"),
            Ok(Packet::Disconnect {
                namespace: "/admin".into()
            })
        );
        assert_eq!(wire(&encode_disconnect("/")), ["1"]);
        assert_eq!(wire(&encode_disconnect("/admin")), ["1/admin,"]);
    }

    #[test]
    fn events() {
        let none = Args::none();
        for (packet, namespace, id, name, json) in [
            (r#"2["foo"]"#, "/", None, "foo", ""),
            (r#"2/admin,["bar"]"#, "/admin", None, "bar", ""),
            (r#"212["foo"]"#, "/", Some(AckId(12)), "foo", ""),
            (
                r#"2/admin,456["project:delete",123]"#,
                "/admin",
                Some(AckId(456)),
                "project:delete",
                "123",
            ),
            (
                r#"2["missed",1,"Q84fmOU"]"#,
                "/",
                None,
                "missed",
                r#"1,"Q84fmOU""#,
            ),
        ] {
            let Ok(Packet::Event {
                namespace: got_namespace,
                id: got_id,
                event,
            }) = decode(packet)
            else {
                panic!("{packet}")
            };
            assert_eq!(
                (got_namespace.as_str(), got_id, event.name()),
                (namespace, id, name)
            );
            assert_eq!(event.args().json(), json);
            assert_eq!(
                wire(&encode_event_args(namespace, id, name, event.args()).unwrap()),
                [packet]
            );
            assert_eq!(
                wire(&encode_event(namespace, id, name, event.args()).unwrap()),
                [packet]
            );
        }
        assert_eq!(event(decode(r#"2["foo"]"#).unwrap()).args(), &none);
        let project = encode_event("/admin", Some(AckId(456)), "project:delete", &123).unwrap();
        assert_eq!(wire(&project), [r#"2/admin,456["project:delete",123]"#]);
    }

    #[test]
    fn acks() {
        assert_eq!(
            decode("312[]"),
            Ok(Packet::Ack {
                namespace: "/".into(),
                id: AckId(12),
                args: Args::none()
            })
        );
        let Ok(Packet::Ack {
            namespace,
            id,
            args,
        }) = decode(r#"3/admin,13["bar"]"#)
        else {
            panic!()
        };
        assert_eq!(
            (
                namespace.as_str(),
                id,
                args.deserialize::<String>().unwrap().as_str()
            ),
            ("/admin", AckId(13), "bar")
        );
        assert_eq!(wire(&encode_ack("/", AckId(12), &()).unwrap()), ["312[]"]);
        assert_eq!(
            wire(&encode_ack("/admin", AckId(13), "bar").unwrap()),
            [r#"3/admin,13["bar"]"#]
        );
        assert_eq!(
            wire(&encode_ack_args("/admin", AckId(13), &args)),
            [r#"3/admin,13["bar"]"#]
        );
    }

    #[test]
    fn connect_errors() {
        for (packet, namespace, data) in [
            (
                r#"4{"message":"Not authorized"}"#,
                "/",
                r#"{"message":"Not authorized"}"#,
            ),
            (
                r#"4/admin,{"message":"not authorized","data":{"code":1}}"#,
                "/admin",
                r#"{"message":"not authorized","data":{"code":1}}"#,
            ),
            (
                r#"4/random,{"message":"Invalid namespace"}"#,
                "/random",
                r#"{"message":"Invalid namespace"}"#,
            ),
            (
                r#"4/admin,"Not authorized""#,
                "/admin",
                r#""Not authorized""#,
            ),
        ] {
            let expected = Packet::ConnectError {
                namespace: namespace.into(),
                data: Some(data.into()),
            };
            assert_eq!(decode(packet), Ok(expected));
        }
        let none = None::<&()>;
        assert_eq!(
            wire(&encode_connect_error("/", "Not authorized", none).unwrap()),
            [r#"4{"message":"Not authorized"}"#]
        );
        assert_eq!(
            wire(
                &encode_connect_error("/admin", "not authorized", Some(&json!({"code": 1})))
                    .unwrap()
            ),
            [r#"4/admin,{"message":"not authorized","data":{"code":1}}"#]
        );
        assert_eq!(
            wire(&encode_legacy_connect_error("/admin", "Not authorized", none).unwrap()),
            [r#"4/admin,"Not authorized""#]
        );
        assert_eq!(
            wire(&encode_legacy_connect_error("/", "no", Some(&json!({"code": 1}))).unwrap()),
            [r#"4{"code":1}"#]
        );
        assert_eq!(
            encode_connect_error("/", "no", Some(&Bytes::from_static(b"x"))).unwrap_err(),
            EncodeError::BinaryNotAllowed
        );
    }

    #[test]
    fn binary_events() {
        let packet = decode_with(
            r#"51-["baz",{"_placeholder":true,"num":0}]"#,
            &[b"\x01\x02\x03\x04"],
        )
        .unwrap();
        let event = event(packet);
        assert_eq!(event.name(), "baz");
        assert_eq!(
            event.args().to_values().unwrap(),
            [Value::Binary(Bytes::from_static(&[1, 2, 3, 4]))]
        );
        assert_eq!(
            event.args().deserialize::<Bytes>().unwrap(),
            [1, 2, 3, 4][..]
        );
        assert_eq!(event.args().deserialize::<Vec<u8>>().unwrap(), [1, 2, 3, 4]);
        let expected = [
            r#"51-["baz",{"_placeholder":true,"num":0}]"#,
            r#"b"\x01\x02\x03\x04""#,
        ];
        assert_eq!(
            wire(&encode_event("/", None, "baz", &Bytes::from_static(&[1, 2, 3, 4])).unwrap()),
            expected
        );
        assert_eq!(
            wire(&encode_event_args("/", None, "baz", event.args()).unwrap()),
            expected
        );

        let two =
            r#"52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        let packet = decode_with(two, &[b"a", b"b"]).unwrap();
        let Packet::Event {
            namespace,
            id: None,
            event,
        } = packet
        else {
            panic!()
        };
        assert_eq!(namespace, "/admin");
        let pair = event.args().deserialize::<(Bytes, Bytes)>().unwrap();
        assert_eq!(pair, (Bytes::from_static(b"a"), Bytes::from_static(b"b")));
        assert_eq!(
            wire(&encode_event("/admin", None, "baz", &pair).unwrap()),
            [two, r#"b"a""#, r#"b"b""#]
        );
    }

    #[test]
    fn binary_acks() {
        let packet = r#"61-15["bar",{"_placeholder":true,"num":0}]"#;
        let Ok(Packet::Ack {
            namespace,
            id,
            args,
        }) = decode_with(packet, &[b"x"])
        else {
            panic!()
        };
        assert_eq!((namespace.as_str(), id), ("/", AckId(15)));
        assert_eq!(
            args.deserialize::<(String, Bytes)>().unwrap(),
            ("bar".to_owned(), Bytes::from_static(b"x"))
        );
        assert_eq!(wire(&encode_ack_args("/", id, &args)), [packet, r#"b"x""#]);
    }

    #[test]
    fn binary_event_of_a_real_old_client() {
        let packet = decode_with(
            r#"51-0["echo",{"_placeholder":true,"num":0},"€"]"#,
            &[b"\x09\x08"],
        )
        .unwrap();
        let Packet::Event { id, event, .. } = packet else {
            panic!()
        };
        assert_eq!((id, event.name()), (Some(AckId(0)), "echo"));
        let (bytes, text) = event.args().deserialize::<(Bytes, String)>().unwrap();
        assert_eq!((&bytes[..], text.as_str()), (&[9, 8][..], "€"));
    }
}

mod validity {
    use super::*;

    #[test]
    fn unknown_packet_types() {
        for (packet, message) in [
            ("7", "unknown packet type 7"),
            ("9[]", "unknown packet type 9"),
            ("x", "unknown packet type NaN"),
            ("é", "unknown packet type NaN"),
            (" 2[\"a\"]", "unknown packet type NaN"),
            ("-1", "unknown packet type NaN"),
        ] {
            assert_eq!(decode(packet).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn empty_messages() {
        assert_eq!(decode(""), Err(DecodeError::Empty));
    }

    #[test]
    fn errors_read_as_in_javascript() {
        let mut waiting = decoder();
        waiting.decode(text("51-[\"a\"]")).unwrap();
        let plain = waiting.decode(text("2[\"a\"]")).unwrap_err();
        assert_eq!(
            plain.to_string(),
            "got plaintext data when reconstructing a packet"
        );
        assert!(!waiting.is_waiting());
        let binary = decoder().decode(binary(b"x")).unwrap_err();
        assert_eq!(
            binary.to_string(),
            "got binary data when not reconstructing a packet"
        );
        assert_eq!(
            decode("5[]").unwrap_err().to_string(),
            "Illegal attachments"
        );
        assert_eq!(
            decode("511-[]").unwrap_err().to_string(),
            "too many attachments"
        );
        assert_eq!(decode("2{}").unwrap_err().to_string(), "invalid payload");
        let placeholder =
            decode_with(r#"51-["a",{"_placeholder":true,"num":1}]"#, &[b"x"]).unwrap_err();
        assert_eq!(placeholder.to_string(), "illegal attachments");
    }

    #[test]
    fn a_second_header_while_attachments_are_outstanding() {
        let mut decoder = decoder();
        assert_eq!(decoder.decode(text("52-[\"a\"]")), Ok(None));
        assert_eq!(decoder.decode(binary(b"x")), Ok(None));
        assert_eq!(
            decoder.decode(text("51-[\"a\"]")),
            Err(DecodeError::UnexpectedText)
        );
    }

    #[test]
    fn attachment_counts() {
        for packet in [
            "5",
            "5-",
            "5x",
            "51",
            "50-[\"a\"]",
            "5-1-[]",
            "50x1-[]",
            "51e0-[]",
            "51.5-[]",
            "60-[]",
            "6[]",
        ] {
            assert_eq!(
                decode(packet),
                Err(DecodeError::IllegalAttachmentCount),
                "{packet}"
            );
        }
        for count in ["11", "1000000000", "1000000000000000000000000000000"] {
            assert_eq!(
                decode(&format!("5{count}-[]")),
                Err(DecodeError::TooManyAttachments { max: 10 })
            );
        }
        let ten = [&b"x"[..]; 10];
        assert!(decode_with("510-[\"a\"]", &ten).is_ok());
    }

    #[test]
    fn unused_attachments_and_repeated_placeholders() {
        let packet = decode_with(
            r#"52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            &[b"x", b"y"],
        );
        let (first, second) = event(packet.unwrap())
            .args()
            .deserialize::<(Bytes, Bytes)>()
            .unwrap();
        assert_eq!((&first[..], &second[..]), (&b"x"[..], &b"x"[..]));
    }

    #[test]
    fn placeholders_must_stand_for_an_attachment() {
        for num in [
            "1",
            "-1",
            "\"0\"",
            "\"splice\"",
            "0.5",
            "0.0",
            "1e0",
            "null",
            "[]",
            "\"__proto__\"",
            "99999999999999999999",
        ] {
            let packet = format!(r#"51-["a",{{"_placeholder":true,"num":{num}}}]"#);
            assert_eq!(
                decode_with(&packet, &[b"x"]),
                Err(DecodeError::IllegalPlaceholder),
                "{num}"
            );
        }
        let missing = decode_with(r#"51-["a",{"_placeholder":true}]"#, &[b"x"]);
        assert_eq!(missing, Err(DecodeError::IllegalPlaceholder));
    }

    #[test]
    fn unusual_placeholders_are_placeholders() {
        for placeholder in [
            r#"{"num":0,"_placeholder":true}"#,
            r#"{ "_placeholder" : true , "num" : 0 }"#,
            r#"{"_placeholder":true,"num":0,"more":1}"#,
            r#"{"\u005fplaceholder":true,"num":0}"#,
            r#"{"_placeholder":false,"num":9,"_placeholder":true,"num":0}"#,
        ] {
            let packet = decode_with(&format!("51-[\"a\\n\",{placeholder}]"), &[b"x"]).unwrap();
            let event = event(packet);
            assert_eq!(event.name(), "a\n");
            assert_eq!(
                event.args().deserialize::<Bytes>().unwrap(),
                b"x"[..],
                "{placeholder}"
            );
            assert_eq!(
                wire(&encode_event_args("/", None, "a", event.args()).unwrap()),
                [r#"51-["a",{"_placeholder":true,"num":0}]"#, "b\"x\""]
            );
        }
    }

    #[test]
    fn only_unusual_placeholders_are_rewritten() {
        for (before, after) in [
            (
                r#"{"num":0,"_placeholder":true},"\u0061", [1.50 ,{"a":{"num":1,"_placeholder":true}}],{"b":1,"b":2}"#,
                r#"{"_placeholder":true,"num":0},"\u0061", [1.50 ,{"a":{"_placeholder":true,"num":1}}],{"b":1,"b":2}"#,
            ),
            (
                r#"{"_placeholder":false,"num":0},{"num":1,"_placeholder":true,"_placeholder":1},{"_placeholder":[true]}"#,
                r#"{"_placeholder":false,"num":0},{"num":1,"_placeholder":true,"_placeholder":1},{"_placeholder":[true]}"#,
            ),
            (
                r#"[{"num":9,"num":1,"_placeholder":true,"in":{"num":0,"_placeholder":true}}],{"num":0,"_placeholder":true}"#,
                r#"[{"_placeholder":true,"num":1}],{"_placeholder":true,"num":0}"#,
            ),
        ] {
            let packet = decode_with(&format!("52-[\"a\",{before}]"), &[b"x", b"y"]).unwrap();
            assert_eq!(event(packet).args().json(), after);
        }
        for illegal in [
            r#""0""#,
            "-1",
            "1.0",
            "2",
            "null",
            "[0]",
            "{}",
            "18446744073709551616",
        ] {
            let packet = format!("52-[\"a\",{{\"num\":{illegal},\"_placeholder\":true}}]");
            assert_eq!(
                decode_with(&packet, &[b"x", b"y"]),
                Err(DecodeError::IllegalPlaceholder),
                "{illegal}"
            );
        }
    }

    #[test]
    fn data_like_a_placeholder_is_unchanged() {
        for data in [
            r#"{"_placeholder":false,"num":0}"#,
            r#"{"_placeholder":1,"num":0}"#,
            r#""_placeholder""#,
            r#""\"_placeholder""#,
        ] {
            let packet = decode_with(&format!("51-[\"a\",{data}]"), &[b"x"]).unwrap();
            let values = event(packet).args().to_values().unwrap();
            assert_eq!(values[0].to_string(), data);
        }
    }

    #[test]
    fn placeholders_without_attachments_are_data() {
        for num in ["0", "99", "\"splice\""] {
            let data = format!(r#"{{"_placeholder":true,"num":{num}}}"#);
            let args = args(&format!("2[\"a\",{data}]"));
            assert_eq!(args.json(), data);
            assert_eq!(args.deserialize::<Value>().unwrap().to_string(), data);
            assert_eq!(
                wire(&encode_event("/", None, "a", &args).unwrap()),
                [format!("2[\"a\",{data}]")]
            );
        }
    }

    #[test]
    fn one_attachment_is_not_multiplied() {
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let many = [placeholder; 11].join(",");
        let too_many = DecodeError::TooManyAttachments { max: 10 };
        assert_eq!(
            decode_with(&format!("51-[\"a\",{many}]"), &[b"x"]),
            Err(too_many.clone())
        );
        let unusual = [r#"{"num":0,"_placeholder":true}"#; 11].join(",");
        assert_eq!(
            decode_with(&format!("51-[\"a\",{unusual}]"), &[b"x"]),
            Err(too_many)
        );
        let limits = DecoderLimits {
            max_attachment_bytes: 3,
            ..DecoderLimits::default()
        };
        let mut decoder = Decoder::new(ParserKind::Default, limits);
        decoder
            .decode(text(&format!("51-[\"a\",{placeholder},{placeholder}]")))
            .unwrap();
        assert_eq!(
            decoder.decode(binary(b"xy")),
            Err(DecodeError::AttachmentsTooLarge { max: 3 })
        );
    }

    #[test]
    fn attachments_are_bounded_together() {
        let limits = DecoderLimits {
            max_attachment_bytes: 3,
            ..DecoderLimits::default()
        };
        let mut decoder = Decoder::new(ParserKind::Default, limits);
        assert_eq!(decoder.decode(text("52-[\"a\"]")), Ok(None));
        assert_eq!(decoder.decode(binary(b"xy")), Ok(None));
        assert_eq!(
            decoder.decode(binary(b"xy")),
            Err(DecodeError::AttachmentsTooLarge { max: 3 })
        );
        assert!(!decoder.is_waiting());
    }

    #[test]
    fn payloads_of_the_wrong_type() {
        for packet in [
            "0[1]",
            "0\"s\"",
            "0null",
            "0{",
            "0{}x",
            "0 {}",
            "012",
            "012{}",
            "1{}",
            "1null",
            "1[]",
            "1/admin,{}",
            "11",
            "2",
            "2{}",
            "2\"a\"",
            "2null",
            "2[]",
            "2[null]",
            "2[{}]",
            "2[[]]",
            "2[true]",
            r#"2[{"toString":"foo"}]"#,
            "2[\"a\"",
            "2[\"a\",]",
            "2[\"a\"]x",
            "2[\"a\"][]",
            "2[\"a\"]]",
            "2 [\"a\"]",
            "2/admin[\"a\"]",
            "2a,[\"a\"]",
            "3[]",
            "31",
            "31{}",
            "31\"a\"",
            "31null",
            "31[",
            "31[]]",
            "4[]",
            "4null",
            "41",
            "41{}",
            "431",
            "2[\"a\",NaN]",
            "2[\"a\",-Infinity]",
            "2[\"a\",undefined]",
            "2[\"a\",01]",
            "2[\"a\",'b']",
            "2[\"a\x01\"]",
            "2[\"\\x\"]",
        ] {
            assert_eq!(decode(packet), Err(DecodeError::InvalidPayload), "{packet}");
        }
        assert_eq!(decode("51-{}"), Err(DecodeError::InvalidPayload));
        assert_eq!(decode("61-[]"), Err(DecodeError::InvalidPayload));
    }

    #[test]
    fn connect_error_without_payload() {
        assert_eq!(
            decode("4"),
            Ok(Packet::ConnectError {
                namespace: "/".into(),
                data: None
            })
        );
    }

    #[test]
    fn reserved_event_names_are_refused_in_any_spelling() {
        for name in [
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
        ] {
            assert_eq!(
                decode(&format!("2[\"{name}\"]")),
                Err(DecodeError::InvalidPayload)
            );
            let escaped = format!(
                "2[\"\\u{:04x}{}\"]",
                u32::from(name.as_bytes()[0]),
                &name[1..]
            );
            assert_eq!(decode(&escaped), Err(DecodeError::InvalidPayload));
            let error = encode_event("/", None, name, &()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("\"{name}\" is a reserved event name")
            );
            assert!(encode_event_args("/", None, name, &Args::none()).is_err());
        }
    }

    #[test]
    fn all_other_event_names_are_delivered() {
        for name in [
            "connection",
            "error",
            "__proto__",
            "constructor",
            "",
            "*",
            "Connect",
            "connect ",
            "日本",
        ] {
            assert_eq!(
                event(decode(&format!("2[\"{name}\",1]")).unwrap()).name(),
                name
            );
            assert_eq!(
                wire(&encode_event("/", None, name, &1).unwrap()),
                [format!("2[\"{name}\",1]")]
            );
        }
        assert_eq!(
            event(decode(r#"2["a\u0062\"\n\ud83d\ude00"]"#).unwrap()).name(),
            "ab\"\n😀"
        );
        for number in ["0", "12", "-1", "1.5", "9007199254740993"] {
            assert_eq!(
                event(decode(&format!("2[{number}]")).unwrap()).name(),
                number
            );
        }
    }

    #[test]
    fn ack_ids_are_exact() {
        for id in [0, 1, 9_007_199_254_740_993, i64::MAX as u64] {
            let Ok(Packet::Event { id: got, .. }) = decode(&format!("2{id}[\"a\"]")) else {
                panic!()
            };
            assert_eq!(got, Some(AckId(id)));
            assert_eq!(
                wire(&encode_ack("/", AckId(id), &()).unwrap()),
                [format!("3{id}[]")]
            );
        }
        for id in [
            "9223372036854775808",
            "18446744073709551616",
            "1".repeat(400).as_str(),
        ] {
            assert_eq!(
                decode(&format!("2{id}[\"a\"]")),
                Err(DecodeError::InvalidAckId)
            );
        }
    }

    #[test]
    fn whitespace_is_allowed_where_json_allows_it() {
        let event = event(decode("2[ \"a\" , 1 ,\t{ \"b\" : [ ] } ]\r\n").unwrap());
        assert_eq!((event.name(), event.args().len()), ("a", 2));
        assert_eq!(
            event
                .args()
                .deserialize::<(i32, Value)>()
                .unwrap()
                .1
                .to_string(),
            r#"{"b":[]}"#
        );
        let args = event.args();
        let echoed = wire(&encode_event_args("/", None, "a", args).unwrap()).remove(0);
        assert_eq!(
            decode(&echoed).unwrap(),
            decode("2[\"a\", 1 ,\t{ \"b\" : [ ] } ]").unwrap()
        );
        assert!(self::args("31[ ]").is_empty());
    }

    #[test]
    fn namespaces_are_bounded() {
        let name = "n".repeat(255);
        assert_eq!(
            decode(&format!("0/{name},")),
            Err(DecodeError::NamespaceTooLong { max: 255 })
        );
        assert!(decode(&format!("0/{},", &name[1..])).is_ok());
    }

    #[test]
    fn nesting_is_bounded_and_received_packets_can_be_forwarded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let args = args(&format!("2[\"a\",{}]", nested(511)));
        let value: Value = args.deserialize().unwrap();
        let echoed = encode_event("/", None, "a", &value).unwrap();
        assert_eq!(wire(&echoed), [format!("2[\"a\",{}]", nested(511))]);
        assert_eq!(
            wire(&encode_event_args("/", None, "a", &args).unwrap()),
            wire(&echoed)
        );
        assert_eq!(
            wire(&encode_ack("/", AckId(1), &value).unwrap()),
            [format!("31[{}]", nested(511))]
        );
        assert_eq!(
            encode_event("/", None, "a", &vec![value]).unwrap_err(),
            EncodeError::TooDeep { max: 512 }
        );
        for depth in [512, 5_000, 100_000] {
            let packet = format!("2[\"a\",{}]", nested(depth));
            assert_eq!(decode(&packet), Err(DecodeError::TooDeep { max: 512 }));
        }
        assert_eq!(
            decode(&format!("2[\"a\",{}", "[".repeat(1_000_000))),
            Err(DecodeError::TooDeep { max: 512 })
        );
        let limits = DecoderLimits {
            max_depth: 2,
            ..DecoderLimits::default()
        };
        let mut decoder = Decoder::new(ParserKind::Default, limits);
        assert!(decoder.decode(text("2[\"a\",[1]]")).is_ok());
        assert_eq!(
            decoder.decode(text("2[\"a\",[[]]]")),
            Err(DecodeError::TooDeep { max: 2 })
        );
    }

    /// JSON that JavaScript reads and Rust's types cannot represent: the text, and its value.
    const ODD: [(&str, &str); 14] = [
        (r#""hi \ud83d""#, r#""hi \ufffd""#),
        (r#""\ud83d hi""#, r#""\ufffd hi""#),
        (r#""\ude00""#, r#""\ufffd""#),
        (r#""\uDE00\uD83D""#, r#""\ufffd\ufffd""#),
        (r#""\ud83d\ud83d\ude00""#, r#""\ufffd😀""#),
        (r#""\ud83d\n\\""#, r#""\ufffd\n\\""#),
        (r#""\ud83d\u0041""#, r#""\ufffdA""#),
        (
            r#"{"\ud83d":1,"b":[{"\udfff":"\ud800"}]}"#,
            r#"{"\ufffd":1,"b":[{"\ufffd":"\ufffd"}]}"#,
        ),
        ("1e400", "null"),
        ("-1e400", "null"),
        ("[1E+400,-1.5e-400,1e-400]", "[null,-0.0,0.0]"),
        ("123456789012345678901234567890", "1.2345678901234568e29"),
        (
            r#"{"a":1e999,"b":"\ud83d","c":[true,false,null,{},[],-1,1.5,"é"]}"#,
            r#"{"a":null,"b":"\ufffd","c":[true,false,null,{},[],-1,1.5,"é"]}"#,
        ),
        (" [ 1 , 1e400 , \"\\ud83d\" ] ", r#"[1,null,"\ufffd"]"#),
    ];

    #[test]
    fn every_json_has_a_value_and_is_forwarded_unchanged() {
        for (json, value) in ODD {
            let expected: serde_json::Value = serde_json::from_str(value).unwrap();
            let packet = format!("2[\"a\",{json}]");
            let args = args(&packet);
            assert_eq!(args.json(), json);
            assert_eq!(args.deserialize::<serde_json::Value>().unwrap(), expected);
            let expected = Value::from(expected);
            assert_eq!(args.deserialize::<Value>().unwrap(), expected, "{json}");
            assert_eq!(args.to_values().unwrap()[0], expected, "{json}");
            // Among other arguments, and in acknowledgements.
            let several = self::args(&format!("31[0,{json},\"x\"]"));
            let (zero, odd, x) = several.deserialize::<(u8, Value, String)>().unwrap();
            assert_eq!(
                (zero, odd, x.as_str()),
                (0, expected.clone(), "x"),
                "{json}"
            );
            assert_eq!(
                wire(&encode_event_args("/", None, "a", &args).unwrap()),
                [packet]
            );
            assert_eq!(
                wire(&encode_ack_args("/", AckId(1), &several)),
                [format!("31[0,{json},\"x\"]")]
            );
            // And among bytes, with any form of placeholder.
            let placeholder = r#"{"_placeholder":true,"num":0}"#;
            for unusual in [
                placeholder,
                r#"{ "num" : 0, "\u005fplaceholder":true, "x":[{}] }"#,
            ] {
                let packet = format!("51-[\"a\",{json},{unusual}]");
                let event = event(decode_with(&packet, &[b"x"]).unwrap());
                let (odd, bytes) = event.args().deserialize::<(Value, Bytes)>().unwrap();
                assert_eq!((&odd, &bytes[..]), (&expected, &b"x"[..]), "{json}");
                assert_eq!(
                    wire(&encode_event_args("/", None, "a", event.args()).unwrap())[0],
                    format!("51-[\"a\",{json},{placeholder}]")
                );
            }
        }
        let long = "9".repeat(400);
        let args = args(&format!("2[\"a\",{long},-{long}]"));
        assert_eq!(args.to_values().unwrap(), [Value::Null, Value::Null]);
        assert_eq!(args.json(), format!("{long},-{long}"));
    }

    #[test]
    fn odd_json_has_a_value_in_every_type() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Shape {
            Empty,
            Named(String),
            Sized { width: f64 },
            Pair(f64, String),
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct All {
            text: String,
            character: char,
            number: f64,
            small: f32,
            none: Option<f64>,
            some: Option<String>,
            exact: u128,
            shapes: Vec<Shape>,
            by_number: HashMap<i32, f64>,
            tuple: (bool, Newtype),
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Newtype(String);
        let json = r#"{"text":"\ud83d!","character":"\udead","number":-1e400,"small":1e39,"none":null,"some":"\ud83d",
            "exact":340282366920938463463374607431768211455,"ignored":["\ud83d",{"a":1e400}],
            "shapes":["Empty",{"Named":"\ud83d"},{"Sized":{"width":1e400}},{"Pair":[1,"\ud83d"]}],
            "by_number":{"1":2,"-3":1e400},"tuple":[true,"\ud83d"]}"#;
        let args = args(&format!("2[\"a\",{json}]"));
        let text = |text: &str| text.to_owned();
        assert_eq!(
            args.deserialize::<All>().unwrap(),
            All {
                text: text("\u{fffd}!"),
                character: '\u{fffd}',
                number: f64::NEG_INFINITY,
                small: f32::INFINITY,
                none: None,
                some: Some(text("\u{fffd}")),
                exact: u128::MAX,
                shapes: vec![
                    Shape::Empty,
                    Shape::Named(text("\u{fffd}")),
                    Shape::Sized {
                        width: f64::INFINITY
                    },
                    Shape::Pair(1.0, text("\u{fffd}")),
                ],
                by_number: HashMap::from([(1, 2.0), (-3, f64::INFINITY)]),
                tuple: (true, Newtype(text("\u{fffd}"))),
            }
        );
        // JSON that fits no type is an error of the arguments.
        let error = self::args("2[\"a\",1e400]")
            .deserialize::<u64>()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid type: floating point `inf`, expected u64"
        );
        let args = self::args(r#"2["a",[1,2,"\ud83d"]]"#);
        assert!(args.deserialize::<((u8, u8),)>().is_err());
        assert!(args.deserialize::<((u8, u8, u8),)>().is_err());
    }

    #[test]
    fn odd_json_may_be_as_deep_as_any() {
        let deepest = format!("{}\"\\ud83d\"{}", "[".repeat(511), "]".repeat(511));
        let args = args(&format!("2[\"a\",{deepest}]"));
        let value: Value = args.deserialize().unwrap();
        assert_eq!(value.to_string(), deepest.replace("\\ud83d", "\u{fffd}"));
    }

    #[test]
    fn odd_names_and_payloads_are_read() {
        for (json, name) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            ("1e999", "1e999"),
            ("-1e-999", "-1e-999"),
        ] {
            let event = event(decode(&format!("2[{json},1]")).unwrap());
            assert_eq!((event.name(), event.args().json()), (name, "1"));
        }
        let auth = r#"{"token":"\ud83d","n":1e400}"#;
        let Ok(Packet::Connect { auth: read, .. }) = decode(&format!("0{auth}")) else {
            panic!()
        };
        assert_eq!(read.as_deref(), Some(auth));
        let auth: Value = from_json(&read.unwrap()).unwrap();
        assert_eq!(auth, Value::from(json!({"token": "\u{fffd}", "n": null})));
        for text in ["", "{", r#"{"a":"\ud83d""#, "1e400x", "nul"] {
            assert!(from_json::<Value>(text).is_err(), "{text}");
        }
    }
}

mod arguments {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: i32,
        y: Option<f64>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(i32, String);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newtype((i32, i32));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Empty,
        Circle(f64),
        Line(i32, i32),
        Box { w: i32, h: i32 },
    }

    fn json(args: &(impl Serialize + ?Sized)) -> String {
        Args::from_serialize(args)
            .expect("arguments")
            .json()
            .to_owned()
    }

    #[test]
    fn tuples_are_several_arguments() {
        assert_eq!(json(&(1, "a", [2, 3])), r#"1,"a",[2,3]"#);
        assert_eq!(json(&Pair(1, "a".to_owned())), r#"1,"a""#);
        assert_eq!(json(&((1, 2),)), "[1,2]");
        assert_eq!(json(&()), "");
        assert_eq!(json(&Unit), "");
        assert_eq!(json(&&&(1, 2)), "1,2");
        let args = Args::from_serialize(&(1, "a")).unwrap();
        assert_eq!(args.len(), 2);
        assert_eq!(
            args.deserialize::<(i32, String)>().unwrap(),
            (1, "a".to_owned())
        );
        assert_eq!(args.deserialize::<Pair>().unwrap(), Pair(1, "a".to_owned()));
    }

    #[test]
    fn everything_else_is_one_argument() {
        assert_eq!(json(&[1, 2]), "[1,2]");
        assert_eq!(json(&&[1, 2]), "[1,2]");
        assert_eq!(json(&[1, 2][..]), "[1,2]");
        assert_eq!(json(&vec![1, 2]), "[1,2]");
        assert_eq!(json(&Newtype((1, 2))), "[1,2]");
        assert_eq!(json(&Some((1, 2))), "[1,2]");
        assert_eq!(json(&None::<i32>), "null");
        assert_eq!(json("text"), r#""text""#);
        assert_eq!(json(&Point { x: 1, y: None }), r#"{"x":1,"y":null}"#);
        assert_eq!(
            json(&json!([1, {"a": [null, true]}])),
            r#"[1,{"a":[null,true]}]"#
        );
        let args = Args::from_serialize(&[1, 2]).unwrap();
        assert_eq!(args.deserialize::<[i32; 2]>().unwrap(), [1, 2]);
        assert_eq!(args.deserialize::<Vec<i32>>().unwrap(), [1, 2]);
        assert_eq!(args.deserialize::<Newtype>().unwrap(), Newtype((1, 2)));
        assert_eq!(
            args.deserialize::<Option<(i32, i32)>>().unwrap(),
            Some((1, 2))
        );
        assert_eq!(args.deserialize::<((i32, i32),)>().unwrap(), ((1, 2),));
    }

    #[test]
    fn enums_and_structs_are_one_argument() {
        for (shape, text) in [
            (Shape::Empty, r#""Empty""#),
            (Shape::Circle(1.5), r#"{"Circle":1.5}"#),
            (Shape::Line(1, 2), r#"{"Line":[1,2]}"#),
            (Shape::Box { w: 1, h: 2 }, r#"{"Box":{"w":1,"h":2}}"#),
        ] {
            assert_eq!(json(&shape), text);
            assert_eq!(
                args(&format!("2[\"a\",{text}]"))
                    .deserialize::<Shape>()
                    .unwrap(),
                shape
            );
            let value = to_value(&shape).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(from_value::<Shape>(&value).unwrap(), shape);
        }
        let point = args(r#"2["a",{"x":1,"y":2.5}]"#)
            .deserialize::<Point>()
            .unwrap();
        assert_eq!(point, Point { x: 1, y: Some(2.5) });
    }

    #[test]
    fn further_arguments_are_ignored() {
        let args = args(r#"2["a",1,"b",[2]]"#);
        assert_eq!(args.len(), 3);
        assert_eq!(args.deserialize::<i32>().unwrap(), 1);
        assert_eq!(args.deserialize::<(i32,)>().unwrap(), (1,));
        assert_eq!(
            args.deserialize::<(i32, String)>().unwrap(),
            (1, "b".to_owned())
        );
        assert_eq!(args.deserialize::<Option<i32>>().unwrap(), Some(1));
        args.deserialize::<()>().unwrap();
        assert_eq!(args.deserialize::<Unit>().unwrap(), Unit);
    }

    #[test]
    fn missing_arguments_are_an_error_unless_they_are_optional() {
        let args = Args::none();
        args.deserialize::<()>().unwrap();
        assert_eq!(args.deserialize::<Option<String>>().unwrap(), None);
        assert_eq!(args.deserialize::<Unit>().unwrap(), Unit);
        let message = |error: kokanee_socketio::ArgsError| error.to_string();
        assert_eq!(
            args.deserialize::<String>().map_err(message),
            Err("missing argument, expected a string".to_owned())
        );
        assert_eq!(
            args.deserialize::<Point>().map_err(message),
            Err("missing argument, expected struct Point".to_owned())
        );
        assert_eq!(
            args.deserialize::<(i32, i32)>().map_err(message),
            Err("argument 1 is missing, expected i32".to_owned())
        );
        let one = self::args("2[\"a\",1]");
        assert_eq!(
            one.deserialize::<(i32, i32)>().map_err(message),
            Err("argument 2 is missing, expected i32".to_owned())
        );
        assert_eq!(
            one.deserialize::<(i32, Option<String>, Option<i32>)>()
                .map_err(message),
            Ok((1, None, None))
        );
        assert!(args.deserialize::<[i32; 2]>().is_err());
        assert!(args.deserialize::<Value>().is_err());
        let wrong = self::args("2[\"a\",1]")
            .deserialize::<String>()
            .map_err(message)
            .unwrap_err();
        assert!(
            wrong.starts_with("invalid type: integer `1`, expected a string"),
            "{wrong}"
        );
    }

    #[test]
    fn bytes_are_found_at_any_depth() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            name: String,
            parts: Vec<Bytes>,
            meta: HashMap<u32, Option<Bytes>>,
        }
        let file = File {
            name: "a".to_owned(),
            parts: vec![Bytes::from_static(b"x"), Bytes::new()],
            meta: HashMap::from([(7, Some(Bytes::from_static(b"z")))]),
        };
        let packet = encode_event("/", None, "up", &(&file, 1)).unwrap();
        assert_eq!(
            wire(&packet),
            [
                r#"53-["up",{"name":"a","parts":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}],"meta":{"7":{"_placeholder":true,"num":2}}},1]"#,
                r#"b"x""#,
                r#"b"""#,
                r#"b"z""#
            ]
        );
        let mut decoder = decoder();
        let mut decoded = None;
        for frame in packet.default_frames() {
            decoded = decoder.decode(frame.message()).unwrap();
        }
        let event = event(decoded.unwrap());
        assert_eq!(
            event.args().deserialize::<(File, i32)>().unwrap(),
            (file, 1)
        );
        assert_eq!(event.args().size_bytes(), packet.size_bytes());
    }

    #[test]
    fn data_that_looks_like_a_placeholder_cannot_join_bytes() {
        let literal = json!({"_placeholder": true, "num": 99});
        let error = encode_event("/", None, "a", &(literal.clone(), Bytes::new())).unwrap_err();
        assert_eq!(error, EncodeError::PlaceholderInData);
        assert_eq!(
            wire(&encode_event("/", None, "a", &literal).unwrap()),
            [format!("2[\"a\",{literal}]")]
        );
        let text = encode_event("/", None, "a", &("\"_placeholder\":true", Bytes::new())).unwrap();
        assert_eq!(text.attachments().len(), 1);
    }

    #[test]
    fn numbers_that_are_not_finite_become_null() {
        assert_eq!(
            json(&(f64::NAN, f64::INFINITY, f32::NEG_INFINITY, 1.5, 0.1_f32)),
            "null,null,null,1.5,0.1"
        );
        assert_eq!(
            json(&(i64::MIN, u64::MAX)),
            "-9223372036854775808,18446744073709551615"
        );
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(
            json("\"\\\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}/é😀"),
            "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}/é😀\""
        );
        assert_eq!(json(&format_args!("a\"{}", 1)), r#""a\"1""#);
        assert_eq!(json(&'"'), r#""\"""#);
    }

    #[test]
    fn keys_are_text() {
        assert_eq!(json(&HashMap::from([(1, 2)])), r#"{"1":2}"#);
        assert_eq!(json(&HashMap::from([(true, 2)])), r#"{"true":2}"#);
        assert_eq!(json(&HashMap::from([('"', 2)])), r#"{"\"":2}"#);
        let error = Args::from_serialize(&HashMap::from([(vec![1], 2)])).unwrap_err();
        assert_eq!(error, EncodeError::KeyNotText);
    }

    #[test]
    fn received_arguments_are_a_tuple_when_they_are_serialised() {
        let args = args(r#"2["a",1,{"b":[2]}]"#);
        assert_eq!(
            wire(&encode_event("/", None, "c", &args).unwrap()),
            [r#"2["c",1,{"b":[2]}]"#]
        );
        assert_eq!(
            wire(&encode_event("/", None, "c", &(&args, 3)).unwrap()),
            [r#"2["c",[1,{"b":[2]}],3]"#]
        );
        assert_eq!(serde_json::to_string(&args).unwrap(), r#"[1,{"b":[2]}]"#);
    }

    #[test]
    fn values_share_their_bytes() {
        let bytes = Bytes::from(vec![7; 100]);
        let args = Args::from_values([Value::from(1), Value::from(bytes.clone())]).unwrap();
        assert_eq!(args.attachments()[0].as_ptr(), bytes.as_ptr());
        let values = args.to_values().unwrap();
        assert_eq!(values[1].as_binary().unwrap().as_ptr(), bytes.as_ptr());
        assert_eq!(from_value::<Vec<u8>>(&values[1]).unwrap(), bytes);
        assert_eq!(to_value(&values[1]).unwrap(), values[1]);
    }

    #[test]
    fn an_event_stays_compact() {
        assert!(size_of::<RawEvent>() <= 100);
        assert!(size_of::<Decoder>() <= 64);
        assert!(size_of::<EncodedPacket>() <= 64);
    }
}
