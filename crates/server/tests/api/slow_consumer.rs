//! Clients that do not read: they are cut off within their limits, they cost nobody else anything, and nothing is lost
//! silently on a connection that stays open.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use kokanee_server::{DisconnectReason, EmitError, Limits, Overflow, Server, Socket, State};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};

use crate::{
    journal::{Entries, Journal, journaling},
    support::{
        Client, LIMIT, Polling, TestServer, WebSocket, WebSocketEnd, eventually, frame, http,
        within,
    },
};

/// Bytes that the kernel may take for a connection, more or less: what is sent beyond waits in the server.
const RECEIVE_BUFFER_BYTES: usize = 8 * 1024;

/// A server that notes how sockets end.
pub(crate) fn noting(change: impl FnOnce(&mut Limits)) -> (Server, Entries) {
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
pub(crate) async fn deaf(server: &TestServer) -> WebSocket {
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
    let closed = server.io.close(LIMIT).await;
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

pub(crate) fn text(bytes: usize) -> String {
    "x".repeat(bytes)
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
