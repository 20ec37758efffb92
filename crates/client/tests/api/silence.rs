//! Servers that stop answering: every wait of the has an end.

use std::time::Duration;

use kokanee_client::{AckError, Client, ConnectFailure, Socket, Transport};

use crate::{
    raw::{ACCEPTED, OPEN, Raw, SHORT, connect_while, fails, joined_by_polling, websocket},
    support::{accepted, connected_again, is_pending, journal, reasons},
};

#[tokio::test]
async fn a_handler_does_not_wait_for_an_answer_for_ever() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let (note, mut seen) = journal();
    socket.on("x", move |socket: Socket| {
        let note = note.clone();
        async move {
            let answer = socket.emit_with_ack::<()>("inside", ()).args().await;
            note(answer);
        }
    });
    let mut wire = raw.join(&socket).await;
    let mut outside = Box::pin(socket.emit_with_ack::<()>("outside", ()).args());
    assert!(is_pending(&mut outside).await);
    assert_eq!(wire.next().await, "420[\"outside\"]");
    wire.text("42[\"x\"]").await;
    assert_eq!(wire.next().await, "421[\"inside\"]");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    let answer = seen.next().await;
    assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
    assert!(is_pending(&mut outside).await, "it holds up nobody");
}

#[tokio::test]
async fn servers_that_fall_silent_are_given_up_in_time() {
    for depth in 0..4 {
        let raw = Raw::start().await;
        let builder = websocket(&raw).connect_timeout(SHORT);
        let failure = fails(builder, async {
            let mut wire = raw.accept().await;
            if depth > 0 {
                wire.upgrade().await;
            }
            if depth > 1 {
                wire.text(OPEN).await;
            }
            if depth > 2 {
                // Not the namespace that was asked for.
                wire.text("40/other,{\"sid\":\"x\"}").await;
            }
            wire.closed().await;
        })
        .await;
        assert!(
            matches!(failure, ConnectFailure::Timeout { after } if after == SHORT),
            "{depth}: {failure}"
        );
    }
}

#[tokio::test]
async fn a_silent_namespace_does_not_stop_reconnecting() {
    let raw = Raw::start().await;
    let socket = websocket(&raw)
        .connect_timeout(SHORT)
        .build()
        .expect("usable options");
    drop(raw.join(&socket).await);
    // The second connection is never accepted, the third is.
    let mut second = raw.websocket().await;
    second.text(OPEN).await;
    second.closed().await;
    let _third = raw.joined().await;
    connected_again(&socket).await;
}

#[tokio::test]
async fn a_server_that_never_pings_is_left() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let mut seen = reasons(&socket);
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(r#"0{"sid":"x","upgrades":[],"pingInterval":100,"pingTimeout":100}"#)
            .await;
        wire.next().await;
        wire.text(ACCEPTED).await;
        wire.closed().await;
    };
    connect_while(&socket, script).await;
    assert_eq!(seen.next().await, "ping timeout");
    let _wire = raw.joined().await;
    connected_again(&socket).await;
}

#[tokio::test]
async fn what_is_sent_after_the_time_of_a_connection_is_for_the_next_one() {
    let raw = Raw::start().await;
    let socket = raw.socket();
    let script = async {
        let mut wire = raw.websocket().await;
        wire.text(r#"0{"sid":"x","upgrades":[],"pingInterval":50,"pingTimeout":50}"#)
            .await;
        wire.next().await;
        wire.text(ACCEPTED).await;
        wire
    };
    let _wire = connect_while(&socket, script).await;
    // The whole process stands still, as on a machine that is suspended.
    std::thread::sleep(Duration::from_millis(200));
    socket.emit("late", 1).await.expect("kept");
    let mut wire = raw.joined().await;
    assert_eq!(wire.next().await, "42[\"late\",1]");
}

#[tokio::test]
async fn a_transport_that_is_swallowed_leaves_time_for_the_next() {
    let raw = Raw::start().await;
    let builder = Client::builder(&raw.url())
        .transports([Transport::WebSocket, Transport::Polling])
        .try_all_transports(true)
        .connect_timeout(Duration::from_secs(2));
    let script = async {
        let mut swallowed = raw.accept().await;
        swallowed.request().await;
        (swallowed, joined_by_polling(&raw).await)
    };
    let (socket, _wires) = tokio::join!(accepted(builder.connect()), script);
    assert_eq!(socket.transport(), Some(Transport::Polling));
}

#[tokio::test]
async fn times_without_end_are_no_danger() {
    let raw = Raw::start().await;
    let builder = websocket(&raw)
        .connect_timeout(Duration::MAX)
        .ack_timeout(Duration::MAX)
        .reconnection_delay_max(Duration::MAX)
        .retries(1);
    let (socket, mut wire) = raw.open(builder).await;
    socket.emit("x", ()).await.expect("sent");
    assert_eq!(wire.next().await, "420[\"x\"]");
}
