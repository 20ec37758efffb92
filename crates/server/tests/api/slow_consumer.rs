//! Clients that do not read: they are cut off within their limits, they cost nobody else anything, and nothing is lost
//! silently on a connection that stays open.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use kokanee_server::{
    Ack, Data, DisconnectReason, EmitError, Limits, Overflow, Server, Socket, State,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};

use crate::{
    journal::{Entries, Journal, journaling},
    support::{
        Client, Http, PATIENCE, Polling, TestServer, WebSocket, WebSocketEnd, eventually, frame,
        http, within,
    },
};

/// Bytes that the kernel may take for a connection, more or less: what is sent beyond waits in the server.
const RECEIVE_BUFFER_BYTES: usize = 8 * 1024;

/// A server that notes how sockets end.
fn noting(change: impl FnOnce(&mut Limits)) -> (Server, Entries) {
    let (builder, _, entries) = journaling();
    let io = builder.with_limits(change).build();
    io.on_disconnect(
        async |reason: DisconnectReason, State(journal): State<Journal>| {
            journal.note(reason);
        },
    );
    (io, entries)
}

/// A connected client that the test never reads from.
async fn deaf(server: &TestServer) -> WebSocket {
    let (mut websocket, _) = server.open_websocket().await;
    let stream = socket2::SockRef::from(&*websocket.stream());
    stream
        .set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
        .expect("a socket option");
    websocket.join().await;
    websocket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_off_and_the_others_lose_nothing() {
    let (io, mut entries) = noting(|limits| {
        limits.write_timeout = Duration::from_millis(500);
        limits.close_handshake_timeout = Duration::from_millis(200);
    });
    let server = TestServer::start_with(io).await;
    let _deaf = deaf(&server).await;
    let mut reader = Client::connect(&server).await;
    let text = "x".repeat(16 * 1024);
    let sending = tokio::spawn({
        let io = server.io.clone();
        async move {
            for number in 0..1000 {
                io.emit("news", (number, &text)).await.expect("sent");
                // At a pace at which a client that reads is never behind.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for number in 0..1000 {
        assert_eq!(reader.expect_event("news").await[0], number);
    }
    within("the end of the broadcasts", sending)
        .await
        .expect("no panic");
    assert_eq!(entries.next().await, "slow consumer");
    eventually("its session has ended", || server.io.session_count() == 1).await;
    assert!(entries.is_empty(), "once, and nobody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_makes_no_progress_is_cut_off_though_little_waits() {
    let (io, mut entries) = noting(|limits| {
        limits.write_timeout = Duration::from_millis(200);
        limits.max_outbound_bytes = 100 << 20;
        limits.close_handshake_timeout = Duration::from_millis(200);
    });
    let server = TestServer::start_with(io).await;
    let _deaf = deaf(&server).await;
    let data = Bytes::from(vec![0; 16 << 20]);
    server.io.emit("file", data).await.expect("sent");
    assert_eq!(entries.next().await, "slow consumer");
    let closed = server.io.close(PATIENCE).await;
    closed.expect("its task ends, although nothing can be written");
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_client_that_fetches_nothing_is_cut_off_at_the_limit() {
    let (io, mut entries) = noting(|limits| limits.max_outbound_bytes = 10_000);
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    let text = "x".repeat(1000);
    for _ in 0..9 {
        server.io.emit("news", &text).await.expect("sent");
    }
    assert!(entries.is_empty());
    server.io.emit("news", &text).await.expect("sent");
    assert_eq!(entries.next().await, "slow consumer");
    assert_eq!(
        polling.get().await.status,
        400,
        "the session is unknown now"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_broadcasts_reaches_everybody_in_order() {
    const CLIENTS: usize = 500;
    const BROADCASTS: usize = 200;
    let io = Server::builder()
        .with_limits(|limits| limits.max_pending_sessions_per_address = CLIENTS)
        .build();
    let server = TestServer::start_with(io).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&server).await);
    }
    let text = "x".repeat(100);
    for number in 0..BROADCASTS {
        server.io.emit("news", (number, &text)).await.expect("sent");
    }
    for client in &mut clients {
        for number in 0..BROADCASTS {
            assert_eq!(client.expect_event("news").await[0], number);
        }
    }
    assert_eq!(server.io.session_count(), CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_larger_than_the_limit_reaches_clients_that_read() {
    const BROADCASTS: usize = 100;
    let server = TestServer::start(Server::builder()).await;
    let mut readers = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(&server).await;
        readers.push(tokio::spawn(async move {
            for number in 0..BROADCASTS {
                assert_eq!(client.expect_event("news").await[0], number);
            }
        }));
    }
    // 1.5 MB: more than may wait for one client, and no more than the kernel takes if readers are late.
    let text = "x".repeat(15_000);
    for number in 0..BROADCASTS {
        server.io.emit("news", (number, &text)).await.expect("sent");
    }
    for reader in readers {
        within("every broadcast", reader)
            .await
            .expect("nothing is missing");
    }
}

/// What a polling client gets after 20 events of 1,000 bytes when 10,000 bytes may wait.
async fn numbers_that_stay(overflow: Overflow) -> Vec<u64> {
    let (io, entries) = noting(|limits| {
        limits.max_outbound_bytes = 10_000;
        limits.overflow = overflow;
    });
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    let text = "x".repeat(1000 - 64 - "2[\"news\",00,\"\"]".len());
    for number in 10..30 {
        server.io.emit("news", (number, &text)).await.expect("sent");
    }
    let payload = polling.poll().await;
    assert!(entries.is_empty(), "the connection lives");
    let socket = server.io.fetch_sockets().await.remove(0);
    eventually("all dropped messages are counted", || {
        socket.dropped() == 10
    })
    .await;
    payload
        .split('\u{1e}')
        .map(|packet| {
            packet["42[\"news\",".len()..][..2]
                .parse()
                .expect("a number")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_dropped_if_the_application_wants_it() {
    assert_eq!(
        numbers_that_stay(Overflow::DropOldest).await,
        (20..30).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_are_dropped_if_the_application_wants_it() {
    assert_eq!(
        numbers_that_stay(Overflow::DropNewest).await,
        (10..20).collect::<Vec<_>>()
    );
}

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

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
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
    let (_, reason) = tokio::join!(tokio::time::timeout(PATIENCE, asking), entries.next());
    assert_eq!(reason, "slow consumer");
    // What the system takes, half of the limit, and one more.
    let answers = ANSWERS.load(Ordering::Relaxed) * ANSWER_BYTES;
    assert!(answers < 8 << 20, "{answers} bytes of answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_drop_bound_what_waits_for_a_task_that_does_not_run() {
    for overflow in [
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Disconnect,
    ] {
        for volatile in [true, false] {
            let (io, mut entries) = noting(|limits| {
                limits.overflow = overflow;
                limits.max_outbound_bytes = 100_000;
            });
            let gate = Arc::new(Mutex::new(()));
            let handler_gate = Arc::clone(&gate);
            io.on("block", move |State(journal): State<Journal>| {
                let gate = Arc::clone(&handler_gate);
                async move {
                    journal.note("blocks");
                    drop(gate.lock());
                }
            });
            let (server, mut client) = TestServer::with_client(io).await;
            let sockets = server.io.of("/").fetch_sockets().await;
            let socket = sockets.first().expect("it is connected");
            let blocked = gate.lock();
            client.emit("block", json!([])).await;
            assert_eq!(entries.next().await, "blocks");
            let (emits, padding, kept) = if volatile {
                (50_000, String::new(), 2_500)
            } else {
                (30, "x".repeat(10_000), 12)
            };
            for number in 0..emits {
                let news = (number, &padding);
                if volatile {
                    let _ = socket.emit_volatile("news", news);
                } else {
                    // It would wait a moment for a task that is far behind.
                    let mut emit = pin!(server.io.emit("news", news));
                    poll_fn(|cx| Poll::Ready(emit.as_mut().poll(cx).is_ready())).await;
                }
            }
            drop(blocked);
            if overflow == Overflow::Disconnect && !volatile {
                assert_eq!(client.end().await, WebSocketEnd::Code(1008));
                continue;
            }
            client.emit("nothing", json!([])).await;
            let mut received: Vec<u64> = Vec::new();
            let ending = async {
                loop {
                    let event = client.event().await;
                    if event.name() == "end" {
                        break;
                    }
                    received.push(event.args()[0].as_u64().expect("a number"));
                }
            };
            let (ended, ()) = tokio::join!(socket.emit("end", ()), ending);
            ended.expect("sent");
            assert!(received.len() < kept, "{} were kept", received.len());
            assert!(received.is_sorted());
            if volatile {
                continue;
            }
            assert_eq!(received.len() as u64 + socket.dropped(), emits);
            let expected = match overflow {
                Overflow::DropOldest => emits - 1,
                _ => 0,
            };
            assert!(received.contains(&expected), "{overflow:?} {received:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clients_together_hold_no_more_than_their_budget() {
    const CLIENTS: usize = 20;
    let (io, mut entries) = noting(|limits| {
        limits.max_outbound_bytes = 100_000;
        limits.max_total_outbound_bytes = Some(400_000);
        limits.ping_interval = Duration::from_secs(2);
        limits.ping_timeout = Duration::from_secs(1);
    });
    let (server, mut reader) = TestServer::with_client(io).await;
    let mut abandoned = Vec::new();
    for _ in 0..CLIENTS {
        let mut polling = server.open_polling().await;
        polling.join().await;
        abandoned.push(polling);
    }
    // Each is far from its own limit.
    for number in 0..30 {
        server
            .io
            .emit("news", (number, "x".repeat(1_000)))
            .await
            .expect("sent");
        assert_eq!(reader.expect_event("news").await[0], number);
    }
    // So some of them had to go, those that held more than their share.
    assert_eq!(entries.next().await, "slow consumer");
    let held = |sessions: usize| (sessions - 1) * 30 * 1_064;
    eventually("the rest fits", || {
        held(server.io.session_count()) <= 400_000
    })
    .await;
    assert!(
        held(server.io.session_count()) > 200_000,
        "no more than needed"
    );
    // And nothing of that stays counted.
    drop(abandoned);
    while server.io.session_count() > 1 {
        server.io.emit("tick", ()).await.expect("sent");
        assert!(reader.expect_event("tick").await.is_empty());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut abandoned = Vec::new();
    for _ in 0..10 {
        let mut polling = server.open_polling().await;
        polling.join().await;
        abandoned.push(polling);
    }
    for number in 0..30 {
        server
            .io
            .emit("news", (number, "x".repeat(1_000)))
            .await
            .expect("sent");
        assert_eq!(reader.expect_event("news").await[0], number);
    }
    assert_eq!(server.io.session_count(), 11);
}

/// A slow link to the server: takes so many bytes a second from it, steadily, and delays nothing of the client's.
async fn slow_link(server: SocketAddr, bytes_per_second: usize) -> SocketAddr {
    const TICK: Duration = Duration::from_millis(20);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket
                .set_recv_buffer_size(8 * 1024)
                .expect("a socket option");
            let upstream = socket.connect(server).await.expect("the server listens");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let per_second = u32::try_from(bytes_per_second).expect("a link that is slow");
                let mut buffer = vec![0; bytes_per_second / 50];
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    if to_client.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                    // What was read has taken its time.
                    let share = u32::try_from(count).expect("small");
                    tokio::time::sleep((Duration::from_secs(1) * share / per_second).min(TICK))
                        .await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_a_slow_link_is_not_a_slow_consumer() {
    // Twenty times as fast and as impatient as 256 kbit/s and the defaults. It is more than the system takes by itself.
    const RATE: usize = 640_000;
    const LARGE: usize = 5_000_000;
    let (io, mut entries) = noting(|limits| limits.write_timeout = Duration::from_millis(500));
    io.on("many", async |socket: Socket| {
        for number in 0..80 {
            socket.emit("text", (number, text(64 * 1024))).await?;
        }
        Ok::<_, EmitError>(())
    });
    io.on("large", async |socket: Socket| {
        socket.emit("text", (0, text(LARGE))).await
    });
    let server = TestServer::start_with(io).await;
    let websocket = async |event: &str, count: u64| {
        let address = slow_link(server.address, RATE).await;
        let mut websocket =
            WebSocket::connect(address, "/socket.io/?EIO=4&transport=websocket").await;
        websocket.text().await;
        websocket.join().await;
        websocket.send(&format!("42[\"{event}\"]")).await;
        for number in 0..count {
            let text = websocket.text_after_pings().await;
            assert!(text.starts_with(&format!("42[\"text\",{number},")));
        }
        websocket.send_close(1000).await;
    };
    let polling = async {
        let address = slow_link(server.address, RATE).await;
        let mut polling = Polling::open(address, "EIO=4").await;
        polling.join().await;
        polling.send("42[\"large\"]").await;
        assert!(polling.poll().await.len() > LARGE);
        polling
    };
    let (_polling, ..) = tokio::join!(polling, websocket("many", 80), websocket("large", 1));
    for _ in 0..2 {
        assert_eq!(entries.next().await, "transport close");
    }
    assert!(entries.is_empty());
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

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_nothing_is_cut_off_though_its_task_is_busy_and_no_kernel_watches_it() {
    let (io, mut entries) = noting(|limits| {
        limits.write_timeout = Duration::from_millis(500);
        limits.overflow = Overflow::DropOldest;
    });
    let (mut client, stream) = tokio::io::duplex(4096);
    let server = io.clone();
    tokio::spawn(async move { server.serve_stream(stream, None).await });
    let request = http::upgrade("/socket.io/?EIO=4&transport=websocket", &[]);
    client.write_all(&request).await.expect("sent");
    client.write_all(&frame(0x81, b"40")).await.expect("sent");
    eventually("it has joined", || io.session_count() == 1).await;
    let emitting = tokio::spawn({
        let io = io.clone();
        async move {
            loop {
                io.emit("news", text(1_000)).await.expect("sent");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    assert_eq!(entries.next().await, "slow consumer");
    emitting.abort();
}
