//! The server's end: what waits is sent, everybody's `on_disconnect` runs, nobody new is taken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_server::{Data, DisconnectReason, Server, Socket, State};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    journal::{Journal, journaling},
    support::{Client, LIMIT, TestServer, WebSocket, WebSocketEnd, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn on_disconnect_runs_once_for_each_of_a_hundred_clients() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_disconnect(
        async |socket: Socket, reason: DisconnectReason, journal: State<Journal>| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            journal.note(format!("{} {reason}", socket.id()));
        },
    );
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr();
    let listening = tokio::spawn(listener.serve());
    let server = TestServer::start_with(io).await;
    let mut ids = Vec::new();
    let mut polling = Vec::new();
    let mut websockets = Vec::new();
    for number in 0..100 {
        let reply = match number % 3 {
            // Waits in a GET.
            0 => {
                let mut client = server.open_polling().await;
                let reply = client.join().await;
                client.begin_poll().await;
                polling.push((client, true));
                reply
            }
            // Polls again later.
            1 => {
                let mut client = server.open_polling().await;
                let reply = client.join().await;
                polling.push((client, false));
                reply
            }
            _ => {
                let mut websocket =
                    WebSocket::connect(address, "/socket.io/?EIO=4&transport=websocket").await;
                websocket.text().await;
                let reply = websocket.join().await;
                websockets.push(websocket);
                reply
            }
        };
        let id = reply
            .trim_start_matches("40{\"sid\":\"")
            .trim_end_matches("\"}");
        ids.push(format!("{id} server shutting down"));
    }
    let closing = server.closing();
    for websocket in &mut websockets {
        websocket.end().await;
    }
    for (client, waits) in &mut polling {
        let end = if *waits {
            client.answer().await
        } else {
            client.get().await
        };
        assert_eq!(end.status, 200, "{end:?}");
        assert!(end.text().ends_with('1'), "a close packet: {end:?}");
    }
    let closed = within("the end", closing).await.expect("no panic");
    closed.expect("in time");
    within("listen returns", listening).await.expect("no panic");
    let refused = tokio::net::TcpStream::connect(address).await;
    refused.expect_err("nobody listens any more");
    let mut entries_noted = entries.take(100).await;
    entries_noted.sort();
    ids.sort();
    assert_eq!(entries_noted, ids);
    assert!(entries.is_empty());
    assert_eq!(server.io.session_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_end() {
    let server = TestServer::start(Server::builder()).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    let mut websocket = Client::connect(&server).await;
    let data = Bytes::from(vec![1; 500_000]);
    for number in 0..2 {
        server
            .io
            .emit("part", (number, data.clone()))
            .await
            .expect("sent");
    }
    let closing = server.closing();
    for number in 0..2 {
        assert_eq!(websocket.expect_event("part").await[0], number);
    }
    websocket.end().await;
    let payload = polling.poll().await;
    let packets: Vec<&str> = payload.split('\u{1e}').map(|packet| &packet[..3]).collect();
    assert_eq!(packets, ["451", "bAQ", "451", "bAQ"]);
    assert_eq!(polling.poll().await, "6\u{1e}1");
    let closed = within("the end", closing).await.expect("no panic");
    closed.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_run_are_waited_for() {
    let (builder, _, mut entries) = journaling();
    let gate = Arc::new(Semaphore::new(0));
    let io = builder.state(Arc::clone(&gate)).build();
    io.on(
        "wait",
        async |Data(number): Data<u32>, journal: State<Journal>, gate: State<Arc<Semaphore>>| {
            journal.note(number);
            gate.acquire().await.expect("never closed").forget();
            journal.note("handled");
        },
    );
    io.on_disconnect(async |journal: State<Journal>| journal.note("disconnect"));
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("wait", json!([1])).await;
    assert_eq!(entries.next().await, "1");
    let closing = server.closing();
    client.end().await;
    assert!(!closing.is_finished());
    gate.add_permits(1);
    let closed = within("the end", closing).await.expect("no panic");
    closed.expect("in time");
    assert_eq!(entries.take(2).await, ["handled", "disconnect"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_new_is_taken_while_the_server_ends() {
    let server = TestServer::start(Server::builder()).await;
    // A client that does not fetch its end keeps the server from ending at once.
    let mut last = server.open_polling().await;
    last.join().await;
    let mut told = server.open_polling().await;
    told.join().await;
    told.begin_poll().await;
    let closing = server.closing();
    let end = told.answer().await.text();
    assert!(
        end.ends_with('1'),
        "a close packet, so the end has begun: {end}"
    );
    let refused = server.get("/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    let mut http = server.http().await;
    http.send(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    assert_eq!(http.response().await.status, 503);
    last.poll().await;
    let closed = within("the end", closing).await.expect("no panic");
    closed.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_being_opened_when_the_server_ends_is_not_forgotten() {
    let asked = Arc::new(Semaphore::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let builder = Server::builder().allow_request({
        let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
        move |_| {
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            async move {
                asked.add_permits(1);
                gate.acquire().await.expect("never closed").forget();
                Ok(())
            }
        }
    });
    let server = TestServer::start(builder).await;
    let mut http = server.http().await;
    http.send("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    within("the request", asked.acquire())
        .await
        .expect("never closed")
        .forget();
    // Nobody is there yet, so this is done at once.
    server.io.close(LIMIT).await.expect("all is done in time");
    gate.add_permits(1);
    let response = http.try_response().await;
    assert!(
        response
            .as_ref()
            .is_none_or(|response| response.status == 503),
        "{response:?}"
    );
    assert_eq!(server.io.session_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_stuck_does_not_hold_up_the_end() {
    let ended = Arc::new(AtomicUsize::new(0));
    let io = Server::new();
    io.on_disconnect({
        let ended = Arc::clone(&ended);
        move |_: Socket| {
            ended.fetch_add(1, Ordering::Relaxed);
            async {}
        }
    });
    let server = TestServer::start_with(io).await;
    let (mut stuck, _) = server.open_websocket().await;
    let stream = socket2::SockRef::from(&*stuck.stream());
    stream
        .set_recv_buffer_size(8 * 1024)
        .expect("a socket option");
    stuck.join().await;
    let socket = server.io.fetch_sockets().await.remove(0);
    // Until the kernel takes no more, and half of the limit waits here.
    let data = Bytes::from(vec![0; 256 * 1024]);
    let wait = Duration::from_millis(200);
    while let Ok(sent) = tokio::time::timeout(wait, socket.emit("part", &data)).await {
        sent.expect("it waits for room instead of being cut off");
    }
    let start = Instant::now();
    let done = server.io.close(Duration::from_millis(300)).await;
    assert_eq!(
        done.expect_err("an error says so").deadline.as_millis(),
        300
    );
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(
        ended.load(Ordering::Relaxed),
        1,
        "its handler has run all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_disconnect_that_hangs_does_not_hold_up_the_end() {
    let io = Server::new();
    io.on_disconnect(async |_: Socket| std::future::pending::<()>().await);
    let (server, _client) = TestServer::with_client(io).await;
    let closing = server.io.close(Duration::from_millis(200));
    within("the deadline", closing)
        .await
        .expect_err("an error says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_session_that_was_abandoned_does_not_hold_up_the_end() {
    for already_closing in [false, true] {
        let io = Server::builder()
            .with_limits(|limits| limits.aborted_poll_timeout = Duration::from_millis(300))
            .build();
        let server = TestServer::start_with(io).await;
        let mut abandoned = server.open_polling().await;
        abandoned.join().await;
        if already_closing {
            server.io.close_connections().await;
        }
        let start = Instant::now();
        server
            .io
            .close(Duration::from_secs(60))
            .await
            .expect("all is done in time");
        // Far from the 30 s that a client otherwise has.
        assert!(start.elapsed() < Duration::from_secs(8));
        drop(abandoned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_close_frame_says_why_the_server_closes() {
    let server = TestServer::start(Server::builder()).await;
    let mut client = Client::connect(&server).await;
    let closing = server.closing();
    assert_eq!(client.end().await, WebSocketEnd::Code(1001));
    let closed = closing.await.expect("no panic");
    closed.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_are_not_all_closed_in_the_same_moment() {
    const CLIENTS: usize = 1_001;
    let server = TestServer::start(Server::builder()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (mut websocket, _) = server.open_websocket().await;
        websocket.join().await;
        clients.push(websocket);
    }
    let start = Instant::now();
    let closing = tokio::spawn({
        let io = server.io.clone();
        async move { io.close(Duration::from_secs(12)).await }
    });
    let mut ends = Vec::new();
    for mut client in clients {
        assert_eq!(client.end().await, WebSocketEnd::Code(1001));
        ends.push(start.elapsed());
    }
    let closed = closing.await.expect("no panic");
    closed.expect("in time");
    // Three groups, a second apart. They are read one after the other, so the latest tells.
    let last = ends.iter().max().expect("there are some");
    assert!(*last >= Duration::from_millis(1_900), "{last:?}");
}
