//! The order in which events are handled, and in which answers leave.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kokanee_server::{Ack, AckError, Data, Server, ServerBuilder, Socket, State};
use serde::{Serialize, Serializer, ser};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    journal::{Entries, Journal, journaling},
    support::{Client, TestServer, eventually, frame},
};

/// Lets handlers of the event `wait` through, one for each permit.
pub(crate) type Gate = Arc<Semaphore>;

/// A server whose event `wait` notes its number, waits at the gate, and notes that it goes on; and a namespace `/other`
/// in which events are answered at once.
pub(crate) fn gated<F: FnOnce(ServerBuilder) -> ServerBuilder>(
    change: F,
) -> (Server, Gate, Entries) {
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
pub(crate) fn gated_connect<F: FnOnce(ServerBuilder) -> ServerBuilder>(
    change: F,
) -> (Server, Gate, Entries) {
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
    // Two are going on: the next one waits, and so do those after it.
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
