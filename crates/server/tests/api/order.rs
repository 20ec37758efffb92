//! The order in which events are handled, and how far a client may be ahead of its handlers.

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
use kokanee_server::{
    Ack, AckError, Data, DisconnectReason, Limits, ParserKind, Server, ServerBuilder, Socket, State,
};
use kokanee_socketio::{encode_connect, encode_event};
use serde::{Serialize, Serializer, ser};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use tower::Service as _;

use crate::{
    journal::{Entries, Journal, journal, journaling},
    support::{Client, TestServer, eventually, frame, opcode, within},
};

/// Lets handlers of the event `wait` through, one for each permit.
type Gate = Arc<Semaphore>;

/// A server whose event `wait` notes its number, waits at the gate, and notes that it goes on; and a namespace `/other`
/// in which events are answered at once.
fn gated<F: FnOnce(ServerBuilder) -> ServerBuilder>(change: F) -> (Server, Gate, Entries) {
    let (builder, _, entries) = journaling();
    let gate = Arc::new(Semaphore::new(0));
    let io = change(builder).state(Arc::clone(&gate)).build();
    io.on(
        "wait",
        async |Data(number): Data<u32>, journal: State<Journal>, gate: State<Gate>| {
            journal.note(format!("{number}"));
            gate.acquire().await.expect("never closed").forget();
            journal.note(format!("{number} done"));
        },
    );
    io.of("/other")
        .on("echo", async |Data(number): Data<u32>, ack: Ack| {
            ack.send(number)
        });
    (io, gate, entries)
}

/// Waits until the server has taken in everything that the client has sent before.
async fn is_taken_in(client: &mut Client) {
    let answer = client.emit_to_with_ack("/other", "echo", json!([1])).await;
    assert_eq!(answer, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_events_are_handled_in_their_order() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on(
        "event",
        async |Data(number): Data<u32>, State(journal): State<Journal>| {
            match number % 10 {
                3 => tokio::task::yield_now().await,
                7 => tokio::time::sleep(Duration::from_micros(300)).await,
                _ => {}
            }
            journal.note(number);
        },
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    let frames: Vec<u8> = (0..2000)
        .flat_map(|number| frame(0x81, format!("42[\"event\",{number}]").as_bytes()))
        .collect();
    client.websocket().send_raw(frames).await;
    let expected: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    assert_eq!(entries.take(2000).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_post_with_two_thousand_events_is_handled_in_its_order() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on(
        "event",
        async |Data(number): Data<u32>, State(journal): State<Journal>| {
            if number % 100 == 0 {
                tokio::task::yield_now().await;
            }
            journal.note(number);
        },
    );
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    let packets: Vec<String> = (0..2000)
        .map(|number| format!("42[\"event\",{number}]"))
        .collect();
    polling.send(&packets.join("\u{1e}")).await;
    let expected: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    assert_eq!(entries.take(2000).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_waits_for_the_handlers_of_the_one_before() {
    let (io, gate, mut entries) = gated(|builder| builder);
    let (_server, mut client) = TestServer::with_client(io).await;
    client.join("/other", None).await.expect("accepted");
    client.emit("wait", json!([1])).await;
    client.emit("wait", json!([2])).await;
    is_taken_in(&mut client).await;
    assert_eq!(entries.next().await, "1");
    assert!(entries.is_empty(), "the second waits");
    gate.add_permits(2);
    assert_eq!(entries.take(3).await, ["1 done", "2", "2 done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_of_one_connection_do_not_wait_for_each_other() {
    let (io, gate, mut entries) = gated(|builder| builder);
    let (_server, mut client) = TestServer::with_client(io).await;
    client.join("/other", None).await.expect("accepted");
    client.emit("wait", json!([1])).await;
    is_taken_in(&mut client).await;
    gate.add_permits(1);
    assert_eq!(entries.take(2).await, ["1", "1 done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_handles_as_many_events_at_a_time() {
    let (io, gate, mut entries) = gated(|builder| builder);
    io.of("/").concurrent(3);
    let (_server, mut client) = TestServer::with_client(io).await;
    client.join("/other", None).await.expect("accepted");
    for number in 1..=5 {
        client.emit("wait", json!([number])).await;
    }
    is_taken_in(&mut client).await;
    assert_eq!(entries.take(3).await, ["1", "2", "3"]);
    assert!(entries.is_empty(), "three at a time");
    gate.add_permits(1);
    let next = entries.take(2).await;
    assert_eq!(next[1], "4", "{next:?}");
    assert!(entries.is_empty());
    gate.add_permits(4);
    let rest = entries.take(5).await;
    assert!(
        rest.contains(&"5".to_owned()) && rest.contains(&"5 done".to_owned()),
        "{rest:?}"
    );
}

/// A server as that of [`gated`], whose `on_connect` waits at the gate, too.
fn gated_connect<F: FnOnce(ServerBuilder) -> ServerBuilder>(change: F) -> (Server, Gate, Entries) {
    let (io, gate, entries) = gated(change);
    io.on_connect(async |journal: State<Journal>, gate: State<Gate>| {
        gate.acquire().await.expect("never closed").forget();
        journal.note("connected");
    });
    (io, gate, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_on_connect() {
    for concurrency in [1, 3] {
        let (io, gate, mut entries) = gated_connect(|builder| builder);
        io.of("/").concurrent(concurrency);
        let (_server, mut client) = TestServer::with_client(io).await;
        client.join("/other", None).await.expect("accepted");
        client.emit("wait", json!([1])).await;
        client.emit("wait", json!([2])).await;
        is_taken_in(&mut client).await;
        assert!(entries.is_empty(), "not connected yet");
        gate.add_permits(1);
        assert_eq!(entries.take(2).await, ["connected", "1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_on_connect_although_their_client_has_gone() {
    let (io, gate, mut entries) = gated_connect(|builder| builder);
    io.on_disconnect(async |journal: State<Journal>| journal.note("disconnected"));
    let (server, mut client) = TestServer::with_client(io).await;
    client.join("/other", None).await.expect("accepted");
    client.emit("wait", json!([1])).await;
    is_taken_in(&mut client).await;
    client.close().await;
    eventually("its session has ended", || server.io.session_count() == 0).await;
    assert!(entries.is_empty(), "not connected yet");
    gate.add_permits(2);
    let all = ["connected", "1", "1 done", "disconnected"];
    assert_eq!(entries.take(4).await, all);
}

/// What `on_connect` asks of its own client is answered although events wait.
#[tokio::test(flavor = "multi_thread")]
async fn on_connect_gets_acknowledgements_while_events_wait() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket, journal: State<Journal>| {
        let name: String = socket.emit_with_ack("name?", ()).await?;
        journal.note(name);
        Ok::<_, AckError>(())
    });
    io.on("event", async |journal: State<Journal>| {
        journal.note("event");
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("event", json!([])).await;
    let question = client.event().await;
    client.ack(&question, json!(["Ann"])).await;
    assert_eq!(entries.take(2).await, ["Ann", "event"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_event_does_not_hold_up_others_and_begins_in_its_turn() {
    let (io, gate, mut entries) = gated(|builder| builder);
    io.on_concurrent(
        "slow",
        2,
        async |Data(number): Data<u32>, journal: State<Journal>, gate: State<Gate>| {
            journal.note(format!("slow {number}"));
            gate.acquire().await.expect("never closed").forget();
            journal.note(format!("slow {number} done"));
        },
    );
    io.on(
        "event",
        async |Data(number): Data<u32>, journal: State<Journal>| {
            journal.note(format!("event {number}"));
        },
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    client.join("/other", None).await.expect("accepted");
    for (event, number) in [("slow", 1), ("event", 2), ("slow", 3), ("event", 4)] {
        client.emit(event, json!([number])).await;
    }
    assert_eq!(
        entries.take(4).await,
        ["slow 1", "event 2", "slow 3", "event 4"]
    );
    // Two are going on: the next one waits, and so do those behind it.
    client.emit("slow", json!([5])).await;
    client.emit("event", json!([6])).await;
    is_taken_in(&mut client).await;
    assert!(entries.is_empty(), "two at a time");
    gate.add_permits(1);
    assert_eq!(entries.take(3).await, ["slow 1 done", "slow 5", "event 6"]);
    // It waits for an event that is handled in order.
    gate.add_permits(2);
    assert_eq!(entries.take(2).await, ["slow 3 done", "slow 5 done"]);
    client.emit("wait", json!([7])).await;
    client.emit("slow", json!([8])).await;
    is_taken_in(&mut client).await;
    assert_eq!(entries.next().await, "7");
    assert!(entries.is_empty(), "in order");
    gate.add_permits(1);
    assert_eq!(entries.take(2).await, ["7 done", "slow 8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_however_many_handlers_they_have() {
    let note = async |Data(number): Data<u32>, journal: State<Journal>, gate: State<Gate>| {
        journal.note(format!("{number}"));
        gate.acquire().await.expect("never closed").forget();
    };
    for in_order in [true, false] {
        let (io, gate, mut entries) = gated(|builder| builder);
        if in_order {
            io.concurrent(3);
        } else {
            io.on_concurrent("event", 3, async || {});
        }
        io.on("event", note);
        io.on_any(note);
        let (_server, mut client) = TestServer::with_client(io).await;
        client.join("/other", None).await.expect("accepted");
        for number in [1, 2, 3, 4] {
            client.emit("event", json!([number])).await;
        }
        // Each event has two handlers that wait.
        let first = ["1", "1", "2", "2", "3", "3"];
        assert_eq!(entries.take(6).await, first);
        is_taken_in(&mut client).await;
        assert!(entries.is_empty(), "three at a time");
        gate.add_permits(8);
        assert_eq!(entries.take(2).await, ["4", "4"]);
    }
}

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
async fn what_another_task_has_sent_before_the_handler_goes_on_comes_first() {
    const ROUNDS: u32 = 3000;
    let io = Server::new();
    io.on("go", async |socket: Socket| {
        for round in 0..ROUNDS {
            let other = socket.clone();
            let task = tokio::spawn(async move { other.emit("number", round * 2).await });
            task.await.expect("no panic")?;
            socket.emit("number", round * 2 + 1).await?;
        }
        Ok::<_, kokanee_server::EmitError>(())
    });
    // Events that wake the session's task all the time.
    io.of("/noise").on("noise", async || {});
    let (_server, mut client) = TestServer::with_client(io).await;
    client.join("/noise", None).await.expect("accepted");
    client.emit("go", json!([])).await;
    for number in 0..ROUNDS * 2 {
        client.emit_to("/noise", "noise", json!([])).await;
        assert_eq!(client.expect_event("number").await, [number]);
    }
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

/// Arguments that do something else while they are written.
struct While<F>(F);

impl<F: Fn() -> Result<u32, &'static str>> Serialize for While<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0)()
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_handler_sends_leaves_in_its_order_and_whole() {
    let io = Server::new();
    io.on(
        "go",
        async |socket: Socket, Data(what): Data<String>, ack: Ack| {
            socket.emit("first", 1).await?;
            match &*what {
                "bytes" => socket.emit("bytes", Bytes::from_static(b"2")).await?,
                "long" => socket.emit("long", "x".repeat(20_000)).await?,
                "longer header" => socket.emit("header", "x".repeat(200)).await?,
                "answer within" => {
                    let and_answers = While(|| {
                        ack.send("from within").expect("the first answer");
                        Ok(2)
                    });
                    socket.emit("around", and_answers).await?;
                }
                "error" => {
                    let fails = While(|| Err("it does not like to"));
                    assert!(socket.emit("never", ("half", fails)).await.is_err());
                }
                _ => {
                    let panics = While(|| panic!("in the middle"));
                    socket.emit("never", ("half", panics)).await?;
                }
            }
            socket.emit("last", 3).await
        },
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    let client = client.websocket();
    let long = format!(r#"42["long","{}"]"#, "x".repeat(20_000));
    let header = format!(r#"42["header","{}"]"#, "x".repeat(200));
    let around = [r#"430["from within"]"#, r#"42["around",2]"#];
    for (what, expected) in [
        ("long", &[&*long][..]),
        ("longer header", &[&header]),
        // Whole, in front of what was not written to its end yet.
        ("answer within", &around),
        ("error", &[]),
    ] {
        client.send(&format!(r#"420["go","{what}"]"#)).await;
        assert_eq!(client.text().await, r#"42["first",1]"#);
        for text in expected {
            assert_eq!(client.text().await, *text);
        }
        assert_eq!(client.text().await, r#"42["last",3]"#);
    }
    client.send(r#"42["go","bytes"]"#).await;
    assert_eq!(client.text().await, r#"42["first",1]"#);
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let announced = format!(r#"451-["bytes",{placeholder}]"#);
    assert_eq!(client.text().await, announced);
    assert_eq!(client.binary().await, b"2");
    assert_eq!(client.text().await, r#"42["last",3]"#);
    // Of an event that panics while it is written, nothing is left.
    client.send(r#"42["go","panic"]"#).await;
    client.send(r#"42["go","error"]"#).await;
    for expected in [1, 1, 3] {
        let name = if expected == 1 { "first" } else { "last" };
        assert_eq!(client.text().await, format!(r#"42["{name}",{expected}]"#));
    }
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
