//! The end of a connection that the application wants, and what it resolves meanwhile.

use std::time::Duration;

use kokanee_client::{AckError, Client, ConnectFailure};
use kokanee_websocket::OpCode;

use crate::{
    raw::{Raw, connect_while, disconnect_while, polling, websocket},
    support::{is_pending, within},
};

#[tokio::test]
async fn a_goodbye_that_the_server_does_not_wait_for_is_no_loss() {
    let raw = Raw::start().await;
    let (socket, mut wire) = raw.open(websocket(&raw)).await;
    socket.emit("bye", ()).await.expect("sent");
    assert_eq!(wire.next().await, "42[\"bye\"]");
    drop(wire);
    within("the end", socket.disconnect())
        .await
        .expect("all has left");
}

#[tokio::test]
async fn a_goodbye_follows_the_pong_of_a_server_that_has_read_everything() {
    let raw = Raw::start().await;
    let (socket, mut wire) = raw.open(websocket(&raw)).await;
    socket.emit("last", 1).await.expect("sent");
    let mut disconnecting = Box::pin(within("the end", socket.disconnect()));
    let ping = tokio::select! {
        biased;
        _ = &mut disconnecting => panic!("nothing was asked"),
        ping = async {
            assert_eq!(wire.next_or_ping().await, "42[\"last\",1]");
            wire.next_or_ping().await
        } => ping,
    };
    let payload = ping.strip_prefix("ping ").expect("a ping").to_owned();
    let script = async move {
        wire.frame(OpCode::Pong, b"another").await;
        wire.frame(OpCode::Pong, payload.as_bytes()).await;
        assert_eq!(wire.next_or_ping().await, "41");
        assert_eq!(wire.next_or_ping().await, "closed");
        drop(wire);
    };
    let (ended, ()) = tokio::join!(disconnecting, script);
    ended.expect("all has left");
}

#[tokio::test]
async fn a_poll_that_ends_empty_before_the_posts_answer_is_no_loss() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    socket.emit("last", ()).await.expect("sent");
    assert_eq!(posts.post().await.1, "42[\"last\"]");
    let script = async {
        posts.answer("", "ok").await;
        assert_eq!(posts.post().await.1, "41\u{1e}1");
        // python-socketio on threads. The client looks at it first.
        gets.answer("Content-Type: text/plain\r\n", "").await;
        posts.answer("", "ok").await;
    };
    disconnect_while(&socket, script).await;
}

#[tokio::test]
async fn disconnect_of_one_namespace_waits_for_its_post() {
    let raw = Raw::start().await;
    let (socket, mut gets, mut posts) = polling(&raw).await;
    let other = socket.of("/other");
    let script = async {
        assert_eq!(posts.post().await.1, "40/other,");
        posts.answer("", "ok").await;
        gets.answer("", "40/other,{\"sid\":\"other\"}").await;
    };
    connect_while(&other, script).await;
    let mut disconnecting = Box::pin(within("the end", other.disconnect()));
    tokio::select! {
        biased;
        _ = &mut disconnecting => panic!("nothing was posted"),
        (_, body) = posts.post() => assert_eq!(body, "41/other,"),
    }
    assert!(
        is_pending(&mut disconnecting).await,
        "the server has not answered"
    );
    posts.answer("", "ok").await;
    disconnecting.await.expect("all has left");
    assert!(socket.is_connected());
}

#[tokio::test]
async fn giving_up_fails_what_waits_for_answers() {
    let socket = Client::builder("http://127.0.0.1:1")
        .build()
        .expect("usable options");
    let mut asking = Box::pin(socket.emit_with_ack::<()>("x", ()).args());
    assert!(is_pending(&mut asking).await);
    let failure = within("a failure", socket.connect()).await;
    assert!(
        matches!(failure, Err(ConnectFailure::Unreachable { .. })),
        "{failure:?}"
    );
    let answer = within("a failure", asking).await;
    assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
}

#[tokio::test]
async fn the_first_failure_is_returned_every_time() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let mut wire = raw.join(&socket).await;
    let script = async {
        wire.closed().await;
        // Neither is there anybody any more.
        drop((wire, raw));
    };
    disconnect_while(&socket, script).await;
    let failure = within("a failure", socket.connect()).await;
    assert!(
        matches!(failure, Err(ConnectFailure::Unreachable { .. })),
        "{failure:?}"
    );
}

#[test]
fn the_end_of_the_runtime_leaves_nobody_waiting() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (client, other) = (runtime(), runtime());
    let (socket, _wire) = client.block_on(async {
        let raw = Raw::start().await;
        raw.open(websocket(&raw)).await
    });
    let mut asking = Box::pin(socket.emit_with_ack::<()>("x", ()).args());
    assert!(other.block_on(is_pending(&mut asking)));
    drop(client);
    let answer = other.block_on(async { within("a failure", asking).await });
    assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
    assert!(!socket.is_connected() && !socket.is_active());
}

#[test]
fn disconnect_returns_when_the_close_is_on_the_wire() {
    let server = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let raw = server.block_on(Raw::start());
    let builder = websocket(&raw);
    let connecting = client.spawn(builder.connect());
    let mut wire = server.block_on(raw.joined());
    let socket = client
        .block_on(connecting)
        .expect("no panic")
        .expect("accepted");
    let (reading, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        server.block_on(async {
            for _ in 0..3 {
                // The test may have failed.
                let _ = reading.send(wire.next().await);
            }
        });
    });
    client.block_on(async {
        socket.emit("last", 1).await.expect("sent");
        within("the end", socket.disconnect())
            .await
            .expect("all has left");
    });
    // Nobody is left who could write.
    client.shutdown_background();
    let read: Vec<_> = read.into_iter().collect();
    assert_eq!(read, ["42[\"last\",1]", "41", "closed"]);
}

#[tokio::test]
async fn disconnect_does_not_wait_for_a_server_that_does_not_react() {
    let raw = Raw::start().await;
    let (socket, mut wire) = raw.open(websocket(&raw)).await;
    // The server reads nothing and ends nothing, for which it has 10 s.
    let end = tokio::time::timeout(Duration::from_secs(5), socket.disconnect());
    end.await.expect("on the wire").expect("all has left");
    within("the end said again", socket.disconnect())
        .await
        .expect("all has left");
    assert_eq!(wire.next().await, "41");
    assert_eq!(wire.next().await, "closed");
}
