//! Emits that wait for room: who sends much goes at the pace of the client that reads, and loses nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kokanee_server::{Ack, Data, EmitError, Overflow, Server, Socket};
use serde_json::json;

use crate::{
    journal::Entries,
    slow_consumer::{deaf, noting, text},
    support::{Client, Http, LIMIT, TestServer, frame, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_sends_much_goes_at_the_clients_pace() {
    const PARTS: usize = 800;
    let (io, entries) = noting(|_| {});
    io.on("download", async |socket: Socket, ack: Ack| {
        let part = Bytes::from(vec![7; 64 * 1024]);
        for number in 0..PARTS {
            socket.emit("part", (number, part.clone())).await?;
        }
        ack.send("done")
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.websocket().send("421[\"download\"]").await;
    for number in 0..PARTS {
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let part = client.event().await;
        assert_eq!((part.name(), &part.args()[0]), ("part", &json!(number)));
        assert_eq!(part.attachments[0].len(), 64 * 1024);
    }
    let ack = client.receive(|packet| packet.kind == '3').await;
    assert_eq!(ack.data, json!(["done"]));
    assert!(entries.is_empty(), "it was never taken for a slow consumer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_sends_large_events_goes_on_when_they_have_left() {
    let io = Server::new();
    io.on("download", async |socket: Socket| {
        // Each alone is more than half of what may wait.
        let part = "x".repeat(700_000);
        for _ in 0..20 {
            socket.emit("part", &part).await?;
        }
        Ok::<_, EmitError>(())
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("download", json!([])).await;
    for _ in 0..20 {
        client.expect_event("part").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_task_that_sends_much_goes_at_the_clients_pace() {
    let (io, entries) = noting(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    let socket = server.io.fetch_sockets().await.remove(0);
    for task in 0..3 {
        let socket = socket.clone();
        tokio::spawn(async move {
            let part = "x".repeat(300_000);
            for number in 0..20 {
                socket
                    .emit("part", (task, number, &part))
                    .await
                    .expect("sent");
            }
        });
    }
    let mut next = [0; 3];
    for _ in 0..60 {
        let part = client.expect_event("part").await;
        let task = usize::try_from(part[0].as_u64().expect("a task")).expect("small");
        assert_eq!(part[1], next[task]);
        next[task] += 1;
    }
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_for_room_is_told_when_the_client_goes() {
    let (io, mut entries) = noting(|limits| limits.write_timeout = Duration::from_millis(300));
    let server = TestServer::start_with(io).await;
    let deaf = deaf(&server).await;
    let socket = server.io.fetch_sockets().await.remove(0);
    let sending = tokio::spawn(async move {
        let part = Bytes::from(vec![0; 256 * 1024]);
        loop {
            if let Err(error) = socket.emit("part", &part).await {
                return error;
            }
        }
    });
    let error = within("the end of the wait", sending)
        .await
        .expect("no panic");
    assert!(matches!(error, EmitError::Disconnected), "{error:?}");
    assert_eq!(entries.next().await, "slow consumer");
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_from_a_handler_reaches_clients_that_read_though_a_thread_is_busy() {
    const BROADCASTS: usize = 100;
    let (io, entries) = noting(|_| {});
    io.on("burst", async |socket: Socket| {
        let text = "x".repeat(15_000);
        for number in 0..BROADCASTS {
            socket.namespace().emit("news", (number, &text)).await?;
        }
        Ok::<_, EmitError>(())
    });
    let server = TestServer::start_with(io).await;
    let busy = tokio::spawn(async {
        loop {
            std::thread::sleep(Duration::from_millis(50));
            tokio::task::yield_now().await;
        }
    });
    let mut readers = Vec::new();
    for number in 0..10 {
        let mut client = Client::connect(&server).await;
        if number == 9 {
            client.emit("burst", json!([])).await;
        }
        readers.push(tokio::spawn(async move {
            for number in 0..BROADCASTS {
                assert_eq!(client.expect_event("news").await[0], number);
            }
            client
        }));
    }
    let mut clients = Vec::new();
    for reader in readers {
        let client = within("every broadcast", reader).await;
        clients.push(client.expect("nothing is missing"));
    }
    assert!(entries.is_empty(), "nobody was taken for a slow consumer");
    busy.abort();
}

/// A server that answers `big` with so many bytes as it is asked for, in the handler, in a task of its own, or many at once;
/// and `join` with all rooms of the client, one more each time.
fn answering() -> (Server, Entries) {
    let (io, entries) = noting(|_| {});
    io.on("join", async |socket: Socket, ack: Ack| {
        socket.join(format!("room {}", socket.rooms().len()))?;
        ack.send(socket.rooms())?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    io.on("big", async |Data(bytes): Data<usize>, ack: Ack| {
        ack.send(text(bytes))
    });
    io.on("later", async |Data(bytes): Data<usize>, ack: Ack| {
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            let _ = ack.send(text(bytes));
        });
    });
    let many = io.of("/many");
    many.concurrent(64);
    many.on("big", async |Data(bytes): Data<usize>, ack: Ack| {
        tokio::task::yield_now().await;
        ack.send(text(bytes))
    });
    (io, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_gets_all_answers_however_many_it_asks_for_at_once() {
    for (namespace, event, bytes, count) in [
        ("/", "join", 0, 900),
        ("/", "big", 10_000, 400),
        ("/", "later", 10_000, 400),
        ("/many", "big", 10_000, 400),
        ("/", "big", 900_000, 20),
        // More than the limit, each alone.
        ("/", "big", 3_000_000, 5),
    ] {
        let (io, entries) = answering();
        let server = TestServer::start_with(io).await;
        let (mut websocket, _) = server.open_websocket().await;
        websocket.join().await;
        let prefix = if namespace == "/" {
            String::new()
        } else {
            websocket.send(&format!("40{namespace},")).await;
            websocket.text().await;
            format!("{namespace},")
        };
        // All at once, and only then it reads.
        let mut frames = Vec::new();
        for id in 0..count {
            let text = format!("42{prefix}{id}[\"{event}\",{bytes}]");
            frames.extend(frame(0x81, text.as_bytes()));
        }
        websocket.send_raw(frames).await;
        let mut ids = Vec::new();
        while ids.len() < count {
            let text = websocket.text_after_pings().await;
            let text = text
                .strip_prefix(&format!("43{prefix}"))
                .expect("an answer");
            let (id, rest) = text.split_once('[').expect("its arguments");
            assert!(rest.len() >= bytes);
            ids.push(id.parse::<usize>().expect("an id"));
        }
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(0..count), "{event} of {namespace}");
        assert!(entries.is_empty(), "{event} of {namespace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_asks_is_read_no_further_and_cut_off_at_the_write_timeout() {
    const ANSWER_BYTES: usize = 10_000;
    static ANSWERS: AtomicUsize = AtomicUsize::new(0);
    let (io, mut entries) = noting(|limits| {
        limits.write_timeout = Duration::from_millis(500);
        limits.close_handshake_timeout = Duration::from_millis(200);
    });
    io.on("big", async |ack: Ack| {
        ANSWERS.fetch_add(1, Ordering::Relaxed);
        ack.send("x".repeat(ANSWER_BYTES))
    });
    let server = TestServer::start_with(io).await;
    let mut websocket = deaf(&server).await;
    let asking = async {
        for id in 0..100_000 {
            let frame = frame(0x81, format!("42{id}[\"big\"]").as_bytes());
            if websocket.try_send_raw(frame).await.is_err() {
                break;
            }
        }
    };
    let (_, reason) = tokio::join!(tokio::time::timeout(LIMIT, asking), entries.next());
    assert_eq!(reason, "slow consumer");
    // What the system takes, half of the limit, and one more.
    let answers = ANSWERS.load(Ordering::Relaxed) * ANSWER_BYTES;
    assert!(answers < 8 << 20, "{answers} bytes of answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn emits_that_wait_for_room_never_end_a_client() {
    const EACH: u64 = 20;
    for overflow in [
        Overflow::Disconnect,
        Overflow::DropNewest,
        Overflow::DropOldest,
    ] {
        let (io, entries) = noting(|limits| limits.overflow = overflow);
        let (server, mut client) = TestServer::with_client(io).await;
        let sockets = server.io.of("/").fetch_sockets().await;
        // From several tasks at once, of sizes that fit together and that do not.
        let mut emitting = Vec::new();
        for bytes in [300, 200_000, 400_000, 900_000, 1_500_000] {
            let socket = sockets[0].clone();
            emitting.push(tokio::spawn(async move {
                for _ in 0..EACH {
                    socket.emit("text", text(bytes)).await.expect("sent");
                }
            }));
        }
        for _ in 0..5 * EACH {
            client.expect_event("text").await;
        }
        for task in emitting {
            task.await.expect("no panic");
        }
        assert_eq!(sockets[0].dropped(), 0, "{overflow:?}");
        assert!(entries.is_empty(), "{overflow:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_upgrades_though_much_waits_for_it_or_its_handlers_are_behind() {
    for (event, is_posting) in [("wait", false), ("big", false), ("big", true)] {
        let (io, _entries) = answering();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let handler_gate = Arc::clone(&gate);
        io.on("wait", move |ack: Ack| {
            let gate = Arc::clone(&handler_gate);
            async move {
                gate.acquire().await.expect("never closed").forget();
                ack.send("x")
            }
        });
        let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
        io.on_any(move || {
            let _ = begins.send(());
            async {}
        });
        let server = TestServer::start_with(io).await;
        let mut polling = server.open_polling().await;
        polling.join().await;
        // More than is read before handlers or the client catch up.
        let count = 400;
        let events: Vec<_> = (0..count)
            .map(|id| format!("42{id}[\"{event}\",3000]"))
            .collect();
        let posting = {
            let (target, address) = (polling.target.clone(), server.address);
            let body = events.join("\x1e");
            tokio::spawn(async move { Http::connect(address).await.post(&target, body).await })
        };
        // A POST that comes after the upgrade is refused.
        within("the POST", begun.recv()).await;
        if is_posting {
            // Its GET takes some, and not all.
            polling.poll().await;
        }
        let mut websocket = server.probed(&polling.sid).await;
        websocket.send("5").await;
        gate.add_permits(count);
        let last = format!("43{}[", count - 1);
        while !websocket.text_after_pings().await.starts_with(&last) {}
        assert_eq!(posting.await.expect("no panic").text(), "ok");
    }
}
