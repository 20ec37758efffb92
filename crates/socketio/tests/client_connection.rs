//! The client's side of a connection: wire text in, [`ClientInput`] out.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use bytes::Bytes;
use kokanee_engineio::Message;
use kokanee_socketio::{
    AckId, ClientConnection, ClientInput, DecodeError, DecoderLimits, Join, ParserKind,
    ProtocolVersion,
};

/// A connection with a socket in each of these namespaces.
fn joined(version: ProtocolVersion, namespaces: &[&'static str]) -> ClientConnection<&'static str> {
    let mut connection =
        ClientConnection::new(ParserKind::Default, DecoderLimits::default(), version);
    for namespace in namespaces {
        connection.join((*namespace).into(), *namespace);
    }
    connection
}

fn v5() -> ClientConnection<&'static str> {
    joined(ProtocolVersion::V5, &["/", "/chat"])
}

/// Describes the input of one text; empty if there is none.
fn take(connection: &mut ClientConnection<&'static str>, text: &str) -> String {
    describe(connection, Message::Text(text.into())).unwrap()
}

fn describe(
    connection: &mut ClientConnection<&'static str>,
    message: Message,
) -> Result<String, DecodeError> {
    let Some(input) = connection.handle_message(message)? else {
        return Ok(String::new());
    };
    let (index, text) = match input {
        ClientInput::Connected { index, sid, pid } => {
            let text = |id: Option<kokanee_engineio::Str>| id.map(|id| id.as_str().to_owned());
            (index, format!("connected {:?} {:?}", text(sid), text(pid)))
        }
        ClientInput::Refused {
            index,
            message,
            data,
            ..
        } => (index, format!("refused {message} {data:?}")),
        ClientInput::OlderServer { index } => (index, "older server".to_owned()),
        ClientInput::Event { index, id, event } => {
            let attachments = event.args().attachments().len();
            let (name, json) = (event.name(), event.args().json());
            let id = id.map(|AckId(id)| id);
            (index, format!("event {name} {json} {id:?} {attachments}"))
        }
        ClientInput::Ack {
            index,
            id: AckId(id),
            args,
        } => (index, format!("ack {id} {}", args.json())),
        ClientInput::Disconnected { index } => (index, "disconnected".to_owned()),
    };
    let socket = connection.get_mut(index).unwrap();
    Ok(format!("{socket}: {text}"))
}

#[test]
fn a_refusal_has_all_that_the_server_has_sent() {
    for (text, sent) in [
        (
            r#"4{"message":"no","hint":1}"#,
            Some(r#"{"message":"no","hint":1}"#),
        ),
        (r#"4"no""#, Some(r#""no""#)),
        ("4", None),
    ] {
        let input = v5().handle_message(Message::Text(text.into())).unwrap();
        let Some(ClientInput::Refused { payload, .. }) = input else {
            panic!("{input:?}")
        };
        assert_eq!(payload.as_deref(), sent, "{text}");
    }
}

#[test]
fn packets_find_their_namespace() {
    let mut connection = v5();
    for (text, input) in [
        (r#"0{"sid":"a"}"#, r#"/: connected Some("a") None"#),
        (
            r#"0/chat,{"sid":"b","pid":"p"}"#,
            r#"/chat: connected Some("b") Some("p")"#,
        ),
        (r#"2["x",1]"#, "/: event x 1 None 0"),
        (r#"2/chat,12["x"]"#, "/chat: event x  Some(12) 0"),
        ("3/chat,7[true]", "/chat: ack 7 true"),
        ("1/chat,", "/chat: disconnected"),
        ("1", "/: disconnected"),
    ] {
        assert_eq!(take(&mut connection, text), input, "{text}");
    }
}

#[test]
fn packets_for_unknown_namespaces_are_ignored() {
    let mut connection = v5();
    connection.leave(1);
    for text in [
        r#"0/other,{"sid":"a"}"#,
        r#"2/chat,["sent before the disconnect"]"#,
        "3/chat,7[]",
        "1/chat,",
        r#"4/other,{"message":"no"}"#,
    ] {
        assert_eq!(take(&mut connection, text), "", "{text}");
    }
    assert_eq!(connection.len(), 1);
}

#[test]
fn refusals_have_many_forms() {
    for (text, input) in [
        (r#"4{"message":"no"}"#, "/: refused no None"),
        (
            r#"4{"message":"no","data":{"code":1}}"#,
            r#"/: refused no Some(Object {"code": Number(1)})"#,
        ),
        // Without a message, and as old servers send them.
        ("4", "/: refused not accepted None"),
        (
            r#"4{"message":"no\ud83d","data":{"\ude00":1e400}}"#,
            "/: refused no\u{fffd} Some(Object {\"\u{fffd}\": Null})",
        ),
        (r#"4"\ude00\ud83d""#, "/: refused \u{fffd}\u{fffd} None"),
        (r#"4"no""#, "/: refused no None"),
        (
            r#"4/chat,{"code":1}"#,
            r#"/chat: refused not accepted Some(Object {"code": Number(1)})"#,
        ),
    ] {
        assert_eq!(take(&mut v5(), text), input, "{text}");
    }
}

#[test]
fn an_acceptance_without_an_id_is_an_older_servers() {
    for text in ["0", "0{}", r#"0{"sid":7}"#] {
        assert_eq!(take(&mut v5(), text), "/: older server", "{text}");
    }
    let mut old = joined(ProtocolVersion::V4, &["/", "/chat"]);
    assert_eq!(take(&mut old, "0"), "/: connected None None");
    // The server repeats the query of the namespace.
    assert_eq!(
        take(&mut old, "0/chat?token=1,"),
        "/chat: connected None None"
    );
}

#[test]
fn old_servers_connect_the_root_by_themselves() {
    let join = |connection: &mut ClientConnection<&'static str>, namespace: &'static str| {
        connection.join(namespace.into(), namespace)
    };
    // Joined before the server's CONNECT, and after it.
    let mut early = joined(ProtocolVersion::V4, &[]);
    assert_eq!(join(&mut early, "/"), Join::Wait);
    assert_eq!(take(&mut early, "0"), "/: connected None None");
    let mut late = joined(ProtocolVersion::V4, &[]);
    assert_eq!(join(&mut late, "/chat"), Join::Send);
    assert_eq!(take(&mut late, "0"), "");
    assert_eq!(join(&mut late, "/"), Join::Done);
    // After leaving it, joining needs a CONNECT, even if late packets come.
    for mut connection in [early, late, joined(ProtocolVersion::V4, &["/"])] {
        let index = connection.len() - 1;
        assert_eq!(connection.leave(index), Some("/"));
        assert_eq!(take(&mut connection, "0"), "");
        assert_eq!(join(&mut connection, "/"), Join::SendAgain);
    }
    // Likewise if the server has refused it, or ended it.
    for text in ["4\"no\"", "1"] {
        let mut connection = joined(ProtocolVersion::V4, &["/chat"]);
        take(&mut connection, "0");
        assert_eq!(take(&mut connection, text), "");
        assert_eq!(join(&mut connection, "/"), Join::SendAgain);
    }
    // Newer servers wait for a CONNECT.
    assert_eq!(join(&mut joined(ProtocolVersion::V5, &[]), "/"), Join::Send);
}

#[test]
fn attachments_are_awaited() {
    let mut connection = v5();
    assert_eq!(
        take(
            &mut connection,
            r#"52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#
        ),
        ""
    );
    let bytes = || Message::Binary(Bytes::from_static(b"x"));
    assert_eq!(describe(&mut connection, bytes()), Ok(String::new()));
    let event = describe(&mut connection, bytes()).unwrap();
    assert!(
        event.starts_with("/: event x ") && event.ends_with(" None 2"),
        "{event}"
    );
    // No other packet may come between them, and no bytes without an event.
    assert!(describe(&mut connection, bytes()).is_err());
    take(&mut connection, r#"51-["x",{"_placeholder":true,"num":0}]"#);
    assert!(describe(&mut connection, Message::Text("2[\"y\"]".into())).is_err());
}
