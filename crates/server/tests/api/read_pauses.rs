//! How far a client may be ahead of its handlers: the server stops reading, and still notices its end.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kokanee_engineio::Message;
use kokanee_server::{DisconnectReason, Limits, ParserKind, Server, ServerBuilder, State};
use kokanee_socketio::{encode_connect, encode_event};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Service as _;

use crate::{
    journal::{Entries, Journal, journal},
    order::{Gate, gated, gated_connect},
    support::{Client, TestServer, eventually, frame, opcode, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_does_not_stop_heartbeats() {
    let (io, gate, mut entries) = gated(|builder| {
        builder.with_limits(|limits| {
            limits.ping_interval = Duration::from_millis(60);
            limits.ping_timeout = Duration::from_secs(1);
        })
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("wait", json!([1])).await;
    assert_eq!(entries.next().await, "1");
    for _ in 0..5 {
        assert_eq!(client.websocket().text().await, "2", "a ping");
        client.websocket().send("3").await;
    }
    gate.add_permits(1);
    assert_eq!(entries.next().await, "1 done");
}

/// A server whose handlers wait for the gate, and that stops to read from a client with two events that wait.
fn soon_paused(change: impl FnOnce(&mut Limits)) -> (Server, Gate, Entries) {
    gated(|builder| {
        builder.with_limits(|limits| {
            limits.max_queued_events = 2;
            limits.ping_interval = Duration::from_millis(500);
            limits.ping_timeout = Duration::from_millis(500);
            change(limits);
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_read_from_is_not_taken_for_dead_at_once() {
    let (io, gate, mut entries) = soon_paused(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    for number in 1..=6 {
        client.emit("wait", json!([number])).await;
    }
    assert_eq!(entries.next().await, "1");
    // The pong stays unread behind the events until it is overdue.
    assert_eq!(client.websocket().text().await, "2", "a ping");
    client.websocket().send("3").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    gate.add_permits(6);
    let rest = entries.take(11).await;
    assert_eq!(rest.last().map(String::as_str), Some("6 done"));
    assert_eq!(server.io.session_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_client_that_is_not_read_from_is_noticed() {
    for (how, reason) in [
        ("reset", "transport error"),
        ("end", "transport close"),
        ("silence", "ping timeout"),
    ] {
        let (io, _gate, mut entries) = soon_paused(|limits| {
            limits.handler_drain_timeout = Duration::from_millis(200);
            if how != "silence" {
                limits.ping_interval = Duration::from_secs(25);
            }
        });
        io.on_disconnect(
            async |reason: DisconnectReason, State(journal): State<Journal>| {
                journal.note(reason);
            },
        );
        let (server, mut client) = TestServer::with_client(io).await;
        // More than is read.
        for number in 1..=300 {
            client.emit("wait", json!([number])).await;
        }
        assert_eq!(entries.next().await, "1");
        let _silent = match how {
            "reset" => {
                client.into_websocket().reset();
                None
            }
            "end" => {
                client
                    .websocket()
                    .stream()
                    .shutdown()
                    .await
                    .expect("an end");
                Some(client)
            }
            _ => Some(client),
        };
        assert_eq!(entries.next().await, reason, "{how}");
        eventually("its session has ended", || server.io.session_count() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_sent_before_its_end_is_handled_though_handlers_are_behind() {
    let (io, gate, mut entries) =
        soon_paused(|limits| limits.ping_interval = Duration::from_secs(25));
    let (server, mut client) = TestServer::with_client(io).await;
    for number in 1..=100 {
        client.emit("wait", json!([number])).await;
    }
    assert_eq!(entries.next().await, "1");
    client
        .websocket()
        .stream()
        .shutdown()
        .await
        .expect("an end");
    // The end is known, and the handlers go on.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gate.add_permits(100);
    let rest = entries.take(199).await;
    assert_eq!(rest.last().map(String::as_str), Some("100 done"));
    eventually("its session has ended", || server.io.session_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_events_is_read_no_faster_than_it_is_handled() {
    flood(gated).await;
}

/// The limits hold for what waits for `on_connect`, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_events_is_not_read_before_on_connect_has_ended() {
    flood(gated_connect).await;
}

type Change = fn(ServerBuilder) -> ServerBuilder;

async fn flood(make: fn(Change) -> (Server, Gate, Entries)) {
    const EVENTS: usize = 2000;
    const EVENT_BYTES: usize = 1000;
    const PIPE_BYTES: usize = 4096;
    let (io, gate, mut entries) =
        make(|builder| builder.with_limits(|limits| limits.max_queued_events = 8));
    // A pipe instead of TCP, because its buffer is known: what has left the client beyond it was read by the server.
    let (mut client, stream) = tokio::io::duplex(PIPE_BYTES);
    let request = Request::builder()
        .uri("/socket.io/?EIO=4&transport=websocket")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(http_body_util::Empty::<Bytes>::new())
        .expect("a request");
    io.accept(stream, request, b"", None)
        .await
        .expect("the pipe is open");
    let mut frames = frame(0x80 | opcode::TEXT, b"40");
    let padding = "x".repeat(EVENT_BYTES);
    for number in 0..EVENTS {
        let event = format!("42[\"wait\",{number},\"{padding}\"]");
        frames.extend(frame(0x80 | opcode::TEXT, event.as_bytes()));
    }
    let frame_bytes = frames.len() / EVENTS;
    let mut written = 0;
    while let Ok(count) =
        tokio::time::timeout(Duration::from_millis(300), client.write(&frames[written..])).await
    {
        written += count.expect("the connection lives");
    }
    // One event is handled, eight wait, one read of the pipe is undecoded, and the pipe itself is full.
    let most = (1 + 8) * frame_bytes + 2 * PIPE_BYTES + frame_bytes;
    assert!(
        written <= most,
        "{written} bytes were taken, at most {most} should be"
    );
    if entries.is_empty() {
        gate.add_permits(1);
        assert_eq!(entries.next().await, "connected");
    }
    assert_eq!(entries.next().await, "0");
    assert!(entries.is_empty());

    gate.add_permits(EVENTS);
    let (mut reader, mut writer) = tokio::io::split(client);
    let sink = tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
    });
    within("the rest is taken", writer.write_all(&frames[written..]))
        .await
        .expect("it lives");
    for number in 0..EVENTS {
        assert_eq!(entries.next().await, format!("{number} done"));
        if number + 1 < EVENTS {
            assert_eq!(entries.next().await, format!("{}", number + 1));
        }
    }
    sink.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bytes_is_read_no_faster_than_it_is_handled() {
    let (io, gate, mut entries) =
        gated(|builder| builder.with_limits(|limits| limits.max_queued_bytes = 10_000));
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    let padding = "x".repeat(5_000);
    let packets: Vec<String> = (0..20)
        .map(|number| format!("42[\"wait\",{number},\"{padding}\"]"))
        .collect();
    let body = packets.join("\u{1e}");
    let target = polling.target.clone();
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    polling.posts().send(request).await;
    assert_eq!(entries.next().await, "0");
    assert!(
        polling
            .posts()
            .is_silent_for(Duration::from_millis(200))
            .await,
        "the POST waits for the handlers"
    );
    gate.add_permits(20);
    let response = polling.posts().response().await;
    assert_eq!(response.brief(), (200, "ok".to_owned()));
    let rest = entries.take(39).await;
    assert_eq!(rest.last().map(String::as_str), Some("19 done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn msgpack_that_becomes_too_much_waits_for_the_handlers() {
    const EVENTS: u32 = 6;
    let (io, gate, mut entries) = gated(|builder| builder.parser(ParserKind::Msgpack));
    let server = TestServer::start_with(io).await;
    let (mut websocket, _) = server.open_websocket().await;
    let mut packets = vec![encode_connect("/", None)];
    let numbers = vec![0.1 + 0.2; 80_000];
    for number in 0..EVENTS {
        // Two megabytes as text, or nothing.
        let numbers = if number % 3 == 2 { &[] } else { &numbers[..] };
        packets.push(encode_event("/", None, "wait", &(number, numbers)).expect("a packet"));
    }
    let (_, mut writer) = websocket.stream().split();
    let sent = async {
        for packet in packets {
            let Message::Binary(packet) = packet.msgpack().message() else {
                panic!("a msgpack packet is binary");
            };
            let frame = frame(0x80 | opcode::BINARY, &packet);
            writer
                .write_all(&frame)
                .await
                .expect("the connection lives");
        }
    };
    let handled = async {
        for number in 0..EVENTS {
            assert_eq!(entries.next().await, number.to_string());
            gate.add_permits(1);
            assert_eq!(entries.next().await, format!("{number} done"));
        }
    };
    within("all is sent and handled in order", async {
        tokio::join!(sent, handled)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_comes_within_a_turn_is_read_in_that_turn() {
    let io = Server::new();
    let (gate, target) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(OnceLock::<String>::new()),
    );
    let (seen, mut entries) = journal();
    let noted = seen.clone();
    let (own, waits, place) = (io.clone(), Arc::clone(&gate), Arc::clone(&target));
    io.of("/").concurrent(2).on("first", move || {
        let (mut own, waits, place) = (own.clone(), Arc::clone(&waits), Arc::clone(&place));
        noted.note("first");
        async move {
            // Handlers that wait are polled in every turn of their session: this one waits for a turn, not for a waker.
            poll_fn(|_| {
                if waits.load(Ordering::SeqCst) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            let target = place.get().expect("it is known").as_str();
            let body = Full::new(Bytes::from_static(b"42[\"second\"]"));
            let request = Request::post(target).body(body).expect("a request");
            let mut call = own.call(request);
            // Polled once, it hands the POST over: in the middle of the turn of its own session.
            poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
            tokio::spawn(call);
        }
    });
    io.on("second", move || {
        seen.note("second");
        async {}
    });
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    target.set(polling.target.clone()).expect("set once");
    polling.join().await;
    polling.send("42[\"first\"]").await;
    assert_eq!(entries.next().await, "first");
    gate.store(true, Ordering::SeqCst);
    // A turn that a command has caused, so that the next command wakes nobody.
    polling.begin_poll().await;
    assert_eq!(entries.next().await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pong_that_comes_while_a_handler_blocks_the_task_is_in_time() {
    let builder = Server::builder().with_limits(|limits| {
        limits.ping_interval = Duration::from_millis(200);
        limits.ping_timeout = Duration::from_millis(200);
    });
    let io = builder.build();
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    io.on("block", move || {
        let _ = begins.send(());
        async { std::thread::sleep(Duration::from_millis(600)) }
    });
    let server = TestServer::start_with(io).await;
    let mut websocket = Client::connect(&server).await.into_websocket();
    assert_eq!(websocket.text().await, "2");
    websocket.send(r#"42["block"]"#).await;
    within("the handler", begun.recv()).await;
    websocket.send("3").await;
    assert_eq!(websocket.text().await, "2", "the next ping");
}
