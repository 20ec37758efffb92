//! Properties of all packets and all input.

use bytes::Bytes;
use indexmap::IndexMap;
use kokanee_engineio::Message;
use kokanee_socketio::{
    AckId, Args, Connection, ConnectionConfig, Decoder, DecoderLimits, EncodedPacket, Packet,
    ParserKind, ProtocolVersion, Value, encode_ack_args, encode_event, encode_event_args,
    is_reserved_event_name,
};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("whole numbers change their form", |number| number.fract()
                != 0.0)
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\\n]{0,40}".prop_map(Value::from),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|bytes| Value::from(Bytes::from(bytes))),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<IndexMap<_, _>>())),
        ]
    })
}

fn decoder(parser: ParserKind) -> Decoder {
    Decoder::new(
        parser,
        DecoderLimits {
            max_attachments: 1000,
            ..DecoderLimits::default()
        },
    )
}

fn decode_default(packet: &EncodedPacket) -> Packet {
    let mut decoder = decoder(ParserKind::Default);
    let mut decoded = None;
    for frame in packet.default_frames() {
        assert_eq!(decoded, None);
        decoded = decoder.decode(frame.message()).expect("a packet");
    }
    decoded.expect("a packet")
}

fn decode_msgpack(packet: &EncodedPacket) -> Packet {
    decoder(ParserKind::Msgpack)
        .decode(packet.msgpack().message())
        .expect("a packet")
        .expect("a packet")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn events_survive_both_encodings(
        namespace in "/[a-z/]{0,10}",
        id in proptest::option::of(0..i64::MAX as u64),
        name in any::<String>().prop_filter("reserved", |name| !is_reserved_event_name(name)),
        values in proptest::collection::vec(value(), 0..4),
    ) {
        let args = Args::from_values(values.clone()).unwrap();
        let spliced = encode_event_args(&namespace, id.map(AckId), &name, &args).unwrap();
        let serialized = encode_event(&namespace, id.map(AckId), &name, &args).unwrap();
        prop_assert!(spliced.default_frames().eq(serialized.default_frames()));
        for packet in [decode_default(&spliced), decode_msgpack(&spliced)] {
            let Packet::Event { namespace: got_namespace, id: got_id, event } = packet else { panic!() };
            prop_assert_eq!(&got_namespace, namespace.as_str());
            prop_assert_eq!(got_id, id.map(AckId));
            prop_assert_eq!(event.name(), name.as_str());
            prop_assert_eq!(event.args(), &args);
            prop_assert_eq!(event.args().len(), values.len());
            prop_assert_eq!(event.args().to_values().unwrap(), values.clone());
            if let Some(first) = values.first() {
                prop_assert_eq!(&event.args().deserialize::<Value>().unwrap(), first);
            }
        }
    }

    #[test]
    fn acks_survive_both_encodings(id in 0..i64::MAX as u64, values in proptest::collection::vec(value(), 0..4)) {
        let packet = encode_ack_args("/", AckId(id), &Args::from_values(values.clone()).unwrap());
        for packet in [decode_default(&packet), decode_msgpack(&packet)] {
            let Packet::Ack { id: got_id, args, .. } = packet else { panic!() };
            prop_assert_eq!(got_id, AckId(id));
            prop_assert_eq!(args.to_values().unwrap(), values.clone());
        }
    }

    #[test]
    fn json_of_serde_json_is_the_same(value in value()) {
        let text = encode_event("/", None, "", &(&value,)).unwrap();
        if text.attachments().is_empty() {
            let json = serde_json::to_string(&("", &value)).unwrap();
            prop_assert_eq!(text.first().message(), Message::Text(format!("2{json}").into()));
        }
    }

    #[test]
    fn odd_json_is_read_like_its_plain_copy(
        parts in proptest::collection::vec(any::<String>(), 1..5),
        halves in proptest::collection::vec(prop_oneof![r"\\u[dD][89aAbB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"], 4),
        number in r"-?[1-9][0-9]{0,30}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,4})?",
    ) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        // A space between two halves prevents a pair.
        let odd: Vec<String> = parts.iter().zip(&halves)
            .map(|(part, half)| format!(r#"{} {half}""#, quoted(part).strip_suffix('"').unwrap()))
            .collect();
        let expected: Vec<Value> = parts.iter().map(|part| Value::from(format!("{part} \u{fffd}"))).collect();
        let float: f64 = number.parse().unwrap();
        let text = format!("2[\"a\",[{}],{number},{{{}:{number}}}]", odd.join(","), odd[0]);
        let Ok(Some(Packet::Event { event, .. })) = decoder(ParserKind::Default).decode(Message::Text(text.as_str().into()))
        else {
            panic!("{text}")
        };
        let (strings, got, object): (Vec<Value>, f64, Value) = event.args().deserialize().unwrap();
        prop_assert_eq!(&strings, &expected);
        prop_assert_eq!(got.to_bits(), float.to_bits());
        let member = object.get(expected[0].as_str().unwrap()).expect("the key of the wire");
        prop_assert_eq!(member.as_f64(), Some(float).filter(|float| float.is_finite()));
        let raw = encode_event_args("/", None, "a", event.args()).unwrap();
        prop_assert_eq!(raw.first().message(), Message::Text(text.as_str().into()));
    }

    #[test]
    fn the_fast_path_of_events_agrees_with_the_general_one(
        text in prop_oneof![
            r#"2(/a,|/b,|/,)?[0-9]{0,2}\["[a-z\\"]{0,3}"(,"[ -~é\x01]{0,40}"){0,3}\]? ?"#,
            r#"2(/a,)?\[("x"|1|"connect") ?(, ?("x"|1\.5|null|\[1,\[\]\]|\{"a":\{"b":[]"]?\})){0,3}\]"#,
            r#"[0-9](/a,|/b,|/,)?[0-9]{0,2}[\[\]{}"\\,:a ]{0,12}"#,
        ]
    ) {
        straight_way(&text);
    }

    #[test]
    fn arbitrary_messages_never_panic(messages in proptest::collection::vec(message(), 0..6)) {
        for parser in [ParserKind::Default, ParserKind::Msgpack, ParserKind::Both] {
            let mut decoder = Decoder::new(parser, DecoderLimits::default());
            for message in &messages {
                if let Ok(Some(packet)) = decoder.decode(message.clone()) {
                    read_and_send_on(packet);
                }
            }
        }
    }
}

/// Checks that an event is the same on both paths, and that other messages take the general one.
fn straight_way(text: &str) {
    #[expect(clippy::disallowed_methods, reason = "no time passes")]
    let now = std::time::Instant::now();
    let config = ConnectionConfig::default();
    let mut connection = Connection::new(&config, ProtocolVersion::V5, now);
    for namespace in ["/", "/a"] {
        connection.join(namespace.into(), namespace);
    }
    let long = decoder(ParserKind::Default).decode(Message::Text(text.into()));
    match connection.handle_event(text.into()) {
        Ok((index, id, event)) => {
            let namespace = (*connection.get_mut(index).expect("joined")).into();
            let packet = Packet::Event {
                namespace,
                id,
                event,
            };
            assert_eq!(Ok(Some(packet)), long, "{text}");
        }
        Err(back) => {
            assert_eq!(back, text);
            // Names with escapes may be any name.
            let is_frequent = matches!(long, Ok(Some(Packet::Event { namespace, .. }))
                if namespace != "/b" && !text.contains('\\'));
            assert!(!is_frequent, "{text}");
        }
    }
}

/// Does everything with a packet that an application may do.
fn read_and_send_on(packet: Packet) {
    let (name, args) = match packet {
        Packet::Event { event, .. } => (event.name().to_owned(), event.into_args()),
        Packet::Ack { args, .. } => (String::new(), args),
        _ => return,
    };
    let raw = encode_event_args("/", None, &name, &args).expect("received arguments can be sent");
    let raw_again = decode_default(&raw);
    assert!(matches!(raw_again, Packet::Event { event, .. } if event.args() == &args));
    decode_msgpack(&raw);
    let values = args.to_values().expect("every JSON has a value");
    assert_eq!(values.len(), args.len());
    let rebuilt = Args::from_values(values.clone()).expect("received arguments can be sent");
    assert_eq!(
        rebuilt.to_values().expect("received arguments can be sent"),
        values
    );
    let _ = args.deserialize::<(Value, Option<Bytes>)>();
    let _ = args.deserialize::<String>();
}

/// Messages, some of which are packets or similar.
fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        "\\PC{0,30}".prop_map(|text| Message::Text(text.into())),
        r#"[0-9]([0-9]{1,2}-)?(/[a-z]{0,3},?)?[0-9]{0,3}(\[("[a-z\\u0-9]{0,5}"|1|null)(,("x"|1\.5|null|\[\]|\{"_placeholder":(true|1),"num":[012]\}|\{"num":0,"_placeholder":true\})){0,3}\])?"#
            .prop_map(|text| Message::Text(text.into())),
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| Message::Binary(bytes.into())),
        proptest::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| {
            Message::Binary([b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1a", &bytes[..]].concat().into())
        }),
    ]
}
