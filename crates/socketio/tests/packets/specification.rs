//! The examples of the specification, in both directions, and packets of real clients.

use bytes::Bytes;
use kokanee_socketio::{
    AckId, Args, EncodeError, Packet, Value, encode_ack, encode_ack_args, encode_connect,
    encode_connect_error, encode_disconnect, encode_event, encode_event_args,
    encode_legacy_connect_error,
};
use serde_json::json;

use crate::support::{decode, decode_with, event, wire};

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
        wire(&encode_connect_error("/admin", "not authorized", Some(&json!({"code": 1}))).unwrap()),
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

    let two = r#"52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
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
