//! Events that wait: for a connection, for a namespace, for room in the send buffer.

use kokanee_client::{AckError, EmitError};

use crate::{
    raw::{ACCEPTED, OPEN, Raw, SHORT, connect_while, websocket},
    support::{is_pending, within},
};

#[tokio::test]
async fn an_emit_that_waits_for_room_ends_with_the_connection() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).retries(1).reconnection(false);
    let builder = builder.send_buffer_bytes(1000);
    let (socket, wire) = raw.open(builder).await;
    // The server acknowledges nothing, so they wait here.
    let waiting = loop {
        let mut emit = Box::pin(socket.emit("x", "x".repeat(100)));
        if tokio::time::timeout(SHORT, &mut emit).await.is_err() {
            break emit;
        }
    };
    drop(wire);
    within("the end of the wait", waiting)
        .await
        .expect("there is room for it, or would be an error");
    assert!(!socket.is_connected());
    // And then there is none.
    let mut emits = 0;
    let failure = loop {
        match within("an answer", socket.emit("x", "x".repeat(100))).await {
            Ok(()) => emits += 1,
            Err(failure) => break failure,
        }
        assert!(emits < 10, "the buffer has an end");
    };
    assert_eq!(
        failure.to_string(),
        "not connected, and the send buffer of 1000 bytes is full"
    );
}

#[tokio::test]
async fn what_waits_for_one_namespace_does_not_hold_up_another() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(1000);
    let (socket, mut wire) = raw.open(builder).await;
    let other = socket.of("/other");
    let text = "x".repeat(600);
    other.emit("x", &text).await.expect("kept");
    let full = other.emit("x", &text).await;
    assert!(
        matches!(full, Err(EmitError::BufferFull { max: 1000 })),
        "{full:?}"
    );
    for _ in 0..3 {
        within("room", socket.emit("y", ())).await.expect("sent");
        assert_eq!(wire.next().await, "42[\"y\"]");
    }
    // What is kept goes away with its socket.
    let script = async {
        assert_eq!(wire.next().await, "40/other,");
        wire.text("40/other,{\"sid\":\"other\"}").await;
        assert!(wire.next().await.starts_with("42/other,[\"x\","));
    };
    connect_while(&other, script).await;
    within("room", other.emit("y", ())).await.expect("sent");
    assert_eq!(wire.next().await, "42/other,[\"y\"]");
}

#[tokio::test]
async fn volatile_events_are_dropped_while_the_namespace_has_not_accepted() {
    // The JavaScript client keeps them if the transport happens to be writable.
    let raw = Raw::start().await;
    let socket = raw.socket();
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(OPEN).await;
        assert_eq!(wire.next().await, "40");
        socket.emit_volatile("dropped", 1).expect("dropped");
        socket.emit("kept", 2).await.expect("kept");
        wire.text(ACCEPTED).await;
        assert_eq!(wire.next().await, "42[\"kept\",2]");
    };
    connect_while(&socket, script).await;
}

#[tokio::test]
async fn volatile_events_never_wait_for_room() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(1000);
    let (socket, mut wire) = raw.open(builder).await;
    // In one turn of this thread: the connection's task takes nothing meanwhile.
    for number in 0..100 {
        socket.emit_volatile("x", number).expect("sent or dropped");
    }
    assert_eq!(wire.next().await, "42[\"x\",0]");
}

#[tokio::test]
async fn questions_wait_for_room_as_other_events() {
    let raw = Raw::start().await;
    let builder = websocket(&raw).send_buffer_bytes(1000);
    let (socket, mut wire) = raw.open(builder).await;
    // In one turn of this thread: the connection's task takes nothing meanwhile.
    socket.emit("x", "x".repeat(600)).await.expect("sent");
    let mut asking = Box::pin(socket.emit_with_ack::<()>("never", ()).args());
    assert!(is_pending(&mut asking).await);
    drop(asking);
    let mut asking = Box::pin(socket.emit_with_ack::<i32>("sum", ()).args());
    let script = async {
        assert!(wire.next().await.starts_with("42[\"x\","));
        assert_eq!(wire.next().await, "421[\"sum\"]");
        wire.text("431[7]").await;
    };
    let (answer, ()) = tokio::join!(within("an answer", &mut asking), script);
    assert_eq!(answer.expect("answered").json(), "7");
}

#[tokio::test]
async fn an_event_whose_answer_nobody_waits_for_is_not_sent_later() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let asking = socket.emit_with_ack::<()>("late", ()).timeout(SHORT);
    let answer = within("a failure", asking.args()).await;
    assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
    socket.emit("kept", ()).await.expect("kept");
    let script = async {
        let mut wire = raw.joined().await;
        assert_eq!(wire.next().await, "42[\"kept\"]");
    };
    connect_while(&socket, script).await;
}
