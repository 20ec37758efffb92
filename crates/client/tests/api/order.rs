//! The order of packets and events around a connection: what belongs to which connection, and what comes first.

use std::time::Duration;

use kokanee_client::{Ack, Client, ConnectFailure, Data, EmitError, Failure, Socket};

use crate::{
    raw::{ACCEPTED, OPEN, Raw, connect_while},
    support::{journal, within},
};

#[tokio::test]
async fn the_last_failure_comes_before_the_end_of_all_attempts() {
    // The JavaScript client says `reconnect_failed` first.
    let socket = Client::builder("http://127.0.0.1:1")
        .reconnection_delay(Duration::from_millis(1))
        .reconnection_attempts(2)
        .retry_first_connect(true)
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_connect_error(move |_: Failure| {
        noted("connect error");
        async {}
    });
    socket.on_reconnect_failed(move |_: Socket| {
        note("failed");
        async {}
    });
    let failure = within("a failure", socket.connect()).await;
    assert!(
        matches!(failure, Err(ConnectFailure::Unreachable { .. })),
        "{failure:?}"
    );
    for expected in ["connect error", "connect error", "connect error", "failed"] {
        assert_eq!(seen.next().await, expected);
    }
    assert!(!socket.is_active());
}

#[tokio::test]
async fn only_what_can_be_an_offset_is_one() {
    // The JavaScript client takes any text at the end of any event, which costs it the recovery.
    let raw = Raw::start().await;
    let socket = raw.socket();
    socket.on("ask", async |ack: Ack| ack.send(()));
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        assert_eq!(wire.next().await, "40");
        wire.text(r#"40{"sid":"public","pid":"private"}"#).await;
        wire.text(r#"42["x",1,"Q84fHBt"]"#).await;
        wire.text(r#"42["volatile","a sentence, no offset"]"#).await;
        wire.text(r#"427["ask","text"]"#).await;
        assert_eq!(wire.next().await, "437[]");
    };
    connect_while(&socket, script).await;
    let mut wire = raw.websocket().await;
    wire.text(OPEN).await;
    assert_eq!(
        wire.next().await,
        r#"40{"pid":"private","offset":"Q84fHBt"}"#
    );
    wire.text(r#"40{"sid":"public","pid":"private"}"#).await;
    within("recovered", async {
        while !socket.is_recovered() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_for_the_connection_on_which_it_was_asked_for() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let (note, mut asked) = journal();
    socket.on("ask", move |ack: Ack| {
        note(ack);
        async {}
    });
    let mut wire = raw.join(&socket).await;
    wire.text("427[\"ask\"]").await;
    let old = asked.next().await;
    drop(wire);
    let mut wire = raw.joined().await;
    wire.text("427[\"ask\"]").await;
    let new = asked.next().await;
    assert!(matches!(old.send("old"), Err(EmitError::Disconnected)));
    new.send("new").expect("sent");
    assert_eq!(wire.next().await, "437[\"new\"]");
}

#[tokio::test]
async fn events_before_the_acceptance_are_handled_after_it() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_connect(move |_: Socket| {
        noted("connected".to_owned());
        async {}
    });
    socket.on("hello", move |Data(name): Data<String>, ack: Ack| {
        note(name);
        async move { ack.send("thanks") }
    });
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        assert!(wire.next().await.starts_with("40"));
        wire.text("425[\"hello\",\"one\"]").await;
        wire.text("42[\"hello\",\"two\"]").await;
        wire.text(ACCEPTED).await;
        assert_eq!(wire.next().await, "435[\"thanks\"]");
        wire
    };
    let _wire = connect_while(&socket, script).await;
    for expected in ["connected", "one", "two"] {
        assert_eq!(seen.next().await, expected);
    }
}
