//! How a socket ends: `on_disconnect` runs exactly once, with the reason, after everything that came before.

use std::{sync::Arc, time::Duration};

use kokanee_server::{Data, DisconnectReason, EmitError, Limits, Server, Socket, State};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    journal::{Entries, Journal, journaling},
    support::{Client, LIMIT, TestServer, eventually, opcode},
};

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

/// Checks that the next entry is this reason, and that none follows until the server has ended.
async fn assert_ends_once(server: &TestServer, entries: &mut Entries, reason: &str) {
    assert_eq!(entries.next().await, reason);
    eventually("the session has ended", || server.io.session_count() == 0).await;
    server.io.close(LIMIT).await.expect("all is done in time");
    assert!(entries.is_empty(), "on_disconnect runs once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_leaves_the_namespace() {
    let (io, mut entries) = noting(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    client.leave("/").await;
    assert_eq!(entries.next().await, "client namespace disconnect");
    client.close().await;
    server.io.close(LIMIT).await.expect("all is done in time");
    assert!(
        entries.is_empty(),
        "the connection's end is not a second one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_disconnects_the_socket() {
    let (io, mut entries) = noting(|_| {});
    io.on("bye", async |socket: Socket| socket.disconnect());
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("bye", json!([])).await;
    client.expect_disconnect("/").await;
    assert_eq!(entries.next().await, "server namespace disconnect");
    client.join("/", None).await.expect("the session lives");
    client.close().await;
    assert_ends_once(&server, &mut entries, "transport close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_disconnects_the_connection() {
    let (io, mut entries) = noting(|_| {});
    io.of("/other")
        .on_disconnect(async |reason: DisconnectReason, journal: State<Journal>| {
            journal.note(format!("other: {reason}"));
        });
    io.on("bye", async |socket: Socket| socket.close_connection());
    let (server, mut client) = TestServer::with_client(io).await;
    client.join("/other", None).await.expect("accepted");
    client.emit("bye", json!([])).await;
    client.expect_disconnect("/").await;
    client.expect_disconnect("/other").await;
    client.end().await;
    let mut both = entries.take(2).await;
    both.sort();
    assert_eq!(
        both,
        [
            "other: server namespace disconnect",
            "server namespace disconnect"
        ]
    );
    server.io.close(LIMIT).await.expect("all is done in time");
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_before_the_server_disconnects() {
    let (io, mut entries) = noting(|_| {});
    io.on("bye", async |socket: Socket| {
        for number in 0..100 {
            socket.emit("number", number).await?;
        }
        socket.close_connection();
        Ok::<_, EmitError>(())
    });
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("bye", json!([])).await;
    for number in 0..100 {
        assert_eq!(client.expect_event("number").await, [number]);
    }
    client.expect_disconnect("/").await;
    assert_ends_once(&server, &mut entries, "server namespace disconnect").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_is_a_transport_close() {
    let (io, mut entries) = noting(|_| {});
    let server = TestServer::start_with(io).await;
    Client::connect(&server).await.close().await;
    assert_ends_once(&server, &mut entries, "transport close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_stream_is_a_transport_close() {
    let (io, mut entries) = noting(|_| {});
    let server = TestServer::start_with(io).await;
    drop(Client::connect(&server).await);
    assert_ends_once(&server, &mut entries, "transport close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_packet_is_a_transport_close() {
    let (io, mut entries) = noting(|_| {});
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    polling.send("1").await;
    assert_ends_once(&server, &mut entries, "transport close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_frame_is_a_transport_error() {
    let (io, mut entries) = noting(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    // Not masked.
    client
        .websocket()
        .send_raw([0x80 | opcode::TEXT, 1, b'3'])
        .await;
    assert_ends_once(&server, &mut entries, "transport error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_connection_is_a_transport_error() {
    let (io, mut entries) = noting(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    let stream = socket2::SockRef::from(&*client.websocket().stream());
    stream
        .set_linger(Some(Duration::ZERO))
        .expect("a TCP option");
    drop(client);
    assert_ends_once(&server, &mut entries, "transport error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_sign_of_life_is_a_ping_timeout() {
    let (io, mut entries) = noting(|limits| {
        limits.ping_interval = Duration::from_millis(50);
        limits.ping_timeout = Duration::from_millis(50);
        limits.close_handshake_timeout = Duration::from_millis(50);
    });
    let (server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.websocket().text().await,
        "2",
        "a ping, which is not answered"
    );
    assert_ends_once(&server, &mut entries, "ping timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_polling_session_is_a_ping_timeout() {
    let (io, mut entries) = noting(|limits| {
        limits.ping_interval = Duration::from_millis(50);
        limits.ping_timeout = Duration::from_millis(50);
    });
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    assert_ends_once(&server, &mut entries, "ping timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_protocol_is_a_forced_close() {
    let (io, mut entries) = noting(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    client.websocket().send("42not json").await;
    assert_ends_once(&server, &mut entries, "forced close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_packet_is_a_parse_error() {
    let (io, mut entries) = noting(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    client.websocket().send("9").await;
    assert_ends_once(&server, &mut entries, "parse error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_server_is_a_shutdown() {
    let (io, mut entries) = noting(|_| {});
    let (server, client) = TestServer::with_client(io).await;
    let closing = server.closing();
    let mut client = client;
    client.end().await;
    let closed = closing.await.expect("no panic");
    closed.expect("in time");
    assert_ends_once(&server, &mut entries, "server shutting down").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_socket_of_a_connection_ends() {
    let (io, mut entries) = noting(|_| {});
    for name in ["/one", "/two"] {
        io.of(name)
            .on_disconnect(async |socket: Socket, journal: State<Journal>| {
                journal.note(socket.namespace().name());
            });
    }
    let (server, mut client) = TestServer::with_client(io).await;
    client.join("/one", None).await.expect("accepted");
    client.join("/two", None).await.expect("accepted");
    client.close().await;
    let mut all = entries.take(3).await;
    all.sort();
    assert_eq!(all, ["/one", "/two", "transport close"]);
    server.io.close(LIMIT).await.expect("all is done in time");
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_disconnect_sees_the_rooms_which_are_left_already() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket| socket.join(["a", "b"]));
    io.on_disconnect(async |socket: Socket, journal: State<Journal>| {
        journal.note(socket.rooms().join(","));
        journal.note(socket.namespace().rooms().len());
        journal.note(socket.namespace().socket_count());
        journal.note(socket.is_connected());
        journal.note(socket.to("a").fetch_sockets().await.len());
        journal.note(socket.emit("late", 1).await.expect_err("nobody is there"));
    });
    let server = TestServer::start_with(io).await;
    Client::connect(&server).await.close().await;
    let entries = entries.take(6).await;
    assert_eq!(
        entries,
        ["a,b", "0", "0", "false", "0", "the socket is disconnected"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_disconnect_may_tell_the_others() {
    let io = Server::new();
    io.on_disconnect(async |socket: Socket| socket.broadcast().emit("left", socket.id()).await);
    let (server, mut witness) = TestServer::with_client(io).await;
    let (leaver, id) = Client::connect_to(&server, "/", None).await;
    leaver.close().await;
    assert_eq!(witness.expect_event("left").await, [id]);
}

/// Lets handlers of the event `wait` through.
type Gate = Arc<Semaphore>;

/// A server whose event `wait` notes its number before and after the gate.
fn gated(change: impl FnOnce(&mut Limits)) -> (Server, Gate, Entries) {
    let (builder, _, entries) = journaling();
    let gate = Arc::new(Semaphore::new(0));
    let io = builder.with_limits(change).state(Arc::clone(&gate)).build();
    io.on(
        "wait",
        async |Data(number): Data<u32>, journal: State<Journal>, gate: State<Gate>| {
            journal.note(format!("{number}"));
            gate.acquire().await.expect("never closed").forget();
            journal.note(format!("{number} done"));
        },
    );
    io.on_disconnect(
        async |reason: DisconnectReason, State(journal): State<Journal>| {
            journal.note(reason);
        },
    );
    (io, gate, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_runs_when_the_client_leaves_runs_to_its_end() {
    let (io, gate, mut entries) = gated(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("wait", json!([1])).await;
    assert_eq!(entries.next().await, "1");
    client.close().await;
    eventually("it has left", || server.io.of("/").socket_count() == 0).await;
    assert!(entries.is_empty(), "on_disconnect waits for it");
    gate.add_permits(1);
    assert_eq!(entries.take(2).await, ["1 done", "transport close"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_came_before_the_end_are_handled_before_on_disconnect() {
    let (io, gate, mut entries) = gated(|_| {});
    let (server, mut client) = TestServer::with_client(io).await;
    for number in 1..=3 {
        client.emit("wait", json!([number])).await;
    }
    client.leave("/").await;
    eventually("it has left", || server.io.of("/").socket_count() == 0).await;
    gate.add_permits(3);
    let entries = entries.take(7).await;
    let expected = [
        "1",
        "1 done",
        "2",
        "2 done",
        "3",
        "3 done",
        "client namespace disconnect",
    ];
    assert_eq!(entries, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_does_not_hold_back_on_disconnect_for_ever() {
    let (io, gate, mut entries) =
        gated(|limits| limits.handler_drain_timeout = Duration::from_millis(100));
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("wait", json!([1])).await;
    assert_eq!(entries.next().await, "1");
    client.close().await;
    assert_eq!(entries.next().await, "transport close");
    // It is not cut off, only not waited for.
    gate.add_permits(1);
    assert_eq!(entries.next().await, "1 done");
    server.io.close(LIMIT).await.expect("all is done in time");
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_does_not_cost_on_disconnect() {
    let (io, mut entries) = noting(|_| {});
    io.on("panic", async |_: Socket| -> () { panic!("a handler") });
    io.on("panic later", async |_: Socket| -> () {
        tokio::task::yield_now().await;
        panic!("a handler")
    });
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("panic", json!([])).await;
    client.emit("panic later", json!([])).await;
    client.emit("panic", json!([])).await;
    client.close().await;
    assert_ends_once(&server, &mut entries, "transport close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_connect_that_hangs_does_not_hold_back_on_disconnect_for_long() {
    let (io, mut entries) =
        noting(|limits| limits.handler_drain_timeout = Duration::from_millis(50));
    io.on_connect(async || std::future::pending::<()>().await);
    let server = TestServer::start_with(io).await;
    Client::connect(&server).await.close().await;
    assert_ends_once(&server, &mut entries, "transport close").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_for_a_handler_that_hangs_are_dropped_after_the_disconnection() {
    let (io, gate, mut entries) =
        gated(|limits| limits.handler_drain_timeout = Duration::from_millis(100));
    io.on_connect(async |State(gate): State<Gate>, journal: State<Journal>| {
        journal.note("connecting");
        gate.acquire().await.expect("never closed").forget();
        journal.note("connected");
    });
    let (server, mut client) = TestServer::with_client(io).await;
    assert_eq!(entries.next().await, "connecting");
    client.emit("wait", json!([1])).await;
    client.close().await;
    assert_eq!(entries.next().await, "transport close");
    // The handler goes on, and no event is handled after it.
    gate.add_permits(2);
    assert_eq!(entries.next().await, "connected");
    server.io.close(LIMIT).await.expect("all is done in time");
    drop(server);
    assert_eq!(entries.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnect_called_twice_ends_once() {
    let (io, mut entries) = noting(|_| {});
    io.on("bye", async |socket: Socket| {
        socket.disconnect();
        socket.close_connection();
        socket.disconnect();
    });
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("bye", json!([])).await;
    client.expect_disconnect("/").await;
    client.end().await;
    assert_ends_once(&server, &mut entries, "server namespace disconnect").await;
}
