//! Which packets are valid: types, namespaces, ids, names, payloads, and the errors of those that are not.

use kokanee_socketio::{
    AckId, Args, DecodeError, Decoder, DecoderLimits, Packet, ParserKind, encode_ack, encode_event,
    encode_event_args,
};

use crate::support::{binary, decode, decode_with, decoder, event, text, wire};

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
fn namespaces_are_bounded() {
    let name = "n".repeat(255);
    assert_eq!(
        decode(&format!("0/{name},")),
        Err(DecodeError::NamespaceTooLong { max: 255 })
    );
    assert!(decode(&format!("0/{},", &name[1..])).is_ok());
}

#[test]
fn any_auth_is_accepted_on_demand() {
    let any = DecoderLimits {
        any_auth: true,
        ..DecoderLimits::default()
    };
    // An `auth` that is a number looks like an id.
    for (packet, expected) in [
        (r#"0"token""#, Some(r#""token""#)),
        ("0[1]", Some("[1]")),
        ("0true", Some("true")),
        (r#"0/admin,{"a":1}"#, Some(r#"{"a":1}"#)),
        ("05", None),
    ] {
        let decoded = Decoder::new(ParserKind::Default, any.clone()).decode(text(packet));
        let Ok(Some(Packet::Connect { auth, .. })) = decoded else {
            panic!("{packet}: {decoded:?}");
        };
        assert_eq!(auth.as_deref(), expected);
        let is_object = expected.is_some_and(|auth| auth.starts_with('{'));
        assert_eq!(decode(packet).is_ok(), is_object, "{packet}");
    }
    for packet in [r#"0"token"#, "0token", "05.5", "01[2]"] {
        let decoded = Decoder::new(ParserKind::Default, any.clone()).decode(text(packet));
        assert_eq!(decoded, Err(DecodeError::InvalidPayload), "{packet}");
    }
}
