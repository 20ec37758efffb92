//! Middlewares: who may join, and what happens to a socket while they decide.

use std::sync::Arc;

use kokanee_server::{Ack, Auth, ConnectError, Data, DisconnectReason, Server, Socket, State};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    journal::{Entries, Journal, journaling},
    support::{Client, TestServer, eventually},
};

/// What the middleware of `/slow` waits for. Closed, it refuses.
type Gate = Arc<Semaphore>;

/// A server with a namespace `/slow` whose middleware joins a room, then waits at the gate, and a namespace `/` whose
/// events are answered at once.
fn gated() -> (Server, Gate, Entries) {
    let (builder, _, entries) = journaling();
    let gate = Arc::new(Semaphore::new(0));
    let io = builder.state(Arc::clone(&gate)).build();
    let slow = io.of("/slow");
    slow.middleware(
        async |socket: Socket, gate: State<Gate>, journal: State<Journal>| {
            socket.join("patient").expect("a room");
            journal.note("middleware");
            match gate.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(ConnectError::new("closed")),
            }
            Ok(())
        },
    );
    slow.on_connect(async |journal: State<Journal>| journal.note("connect"));
    slow.on_disconnect(async |reason: DisconnectReason, journal: State<Journal>| {
        journal.note(reason);
    });
    slow.on(
        "event",
        async |Data(number): Data<u32>, journal: State<Journal>| {
            journal.note(number);
        },
    );
    io.on("echo", async |Data(number): Data<u32>, ack: Ack| {
        ack.send(number)
    });
    (io, gate, entries)
}

/// Waits until the server has taken in everything that the client has sent before.
async fn is_taken_in(client: &mut Client) {
    assert_eq!(client.emit_with_ack("echo", json!([1])).await, json!([1]));
}

async fn begin_to_join(client: &mut Client) {
    client.websocket().send("40/slow,").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn middlewares_run_one_after_the_other_then_on_connect() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.middleware(async |journal: State<Journal>| {
        journal.note("first begins");
        tokio::task::yield_now().await;
        journal.note("first ends");
        Ok::<_, String>(())
    });
    io.middleware(async |journal: State<Journal>| {
        journal.note("second");
        Ok::<_, String>(())
    });
    io.on_connect(async |journal: State<Journal>| journal.note("connect"));
    let server = TestServer::start_with(io).await;
    Client::connect(&server).await;
    assert_eq!(
        entries.take(4).await,
        ["first begins", "first ends", "second", "connect"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_refusal_ends_the_decision() {
    let (builder, _, entries) = journaling();
    let io = builder.build();
    io.middleware(async || Err::<(), _>("closed today"));
    io.middleware(async |journal: State<Journal>| {
        journal.note("second");
        Ok::<_, String>(())
    });
    io.on_connect(async |journal: State<Journal>| journal.note("connect"));
    let server = TestServer::start_with(io).await;
    let mut client = Client::open(&server).await;
    assert_eq!(
        client.join("/", None).await,
        Err(json!({ "message": "closed today" }))
    );
    assert!(entries.is_empty(), "nothing after it runs");
    assert_eq!(server.io.of("/").socket_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_carries_data() {
    let io = Server::new();
    io.middleware(async |Auth(auth): Auth<Value>| {
        if auth["token"] == "secret" {
            return Ok(());
        }
        Err(ConnectError::new("not authorized").data(json!({ "code": 401, "retry": false })))
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::open(&server).await;
    let refusal = client.join("/", Some(json!({ "token": "guess" }))).await;
    let data = json!({ "code": 401, "retry": false });
    assert_eq!(
        refusal,
        Err(json!({ "message": "not authorized", "data": data }))
    );
    // The session lives, and the client may try again.
    client
        .join("/", Some(json!({ "token": "secret" })))
        .await
        .expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_that_does_not_fit_refuses() {
    #[derive(serde::Deserialize)]
    struct Login {
        #[expect(dead_code, reason = "it never comes")]
        token: String,
    }
    let io = Server::new();
    io.middleware(async |_: Auth<Login>| Ok::<_, String>(()));
    let server = TestServer::start_with(io).await;
    let mut client = Client::open(&server).await;
    let refusal = client.join("/", None).await.expect_err("refused");
    let message = refusal["message"].as_str().expect("a message");
    assert!(
        message.starts_with("invalid auth: missing field `token`"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_does_not_exist_refuses() {
    let server = TestServer::start(Server::builder()).await;
    let mut client = Client::open(&server).await;
    let refusal = client.join("/nowhere", None).await;
    assert_eq!(refusal, Err(json!({ "message": "Invalid namespace" })));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_sent_before_acceptance_are_handled_behind_it_in_order() {
    let (io, gate, mut entries) = gated();
    let (_server, mut client) = TestServer::with_client(io).await;
    begin_to_join(&mut client).await;
    for number in 1..=5 {
        client.emit_to("/slow", "event", json!([number])).await;
    }
    is_taken_in(&mut client).await;
    assert_eq!(entries.next().await, "middleware");
    assert!(entries.is_empty(), "the events wait");
    gate.add_permits(1);
    assert_eq!(entries.take(6).await, ["connect", "1", "2", "3", "4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_sent_before_a_refusal_are_dropped() {
    let (io, gate, mut entries) = gated();
    let (_server, mut client) = TestServer::with_client(io).await;
    begin_to_join(&mut client).await;
    client.emit_to("/slow", "event", json!([1])).await;
    is_taken_in(&mut client).await;
    assert_eq!(entries.next().await, "middleware");
    gate.close();
    let refusal = client.receive(|packet| packet.kind == '4').await;
    assert_eq!(
        (refusal.namespace.as_str(), &refusal.data["message"]),
        ("/slow", &json!("closed"))
    );
    is_taken_in(&mut client).await;
    assert!(
        entries.is_empty(),
        "neither handlers nor on_disconnect have run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_joined_in_a_middleware_is_kept() {
    let (io, gate, mut entries) = gated();
    let server = TestServer::start_with(io).await;
    let (mut client, _) = {
        gate.add_permits(1);
        Client::connect_to(&server, "/slow", None).await
    };
    assert_eq!(entries.take(2).await, ["middleware", "connect"]);
    server
        .io
        .of("/slow")
        .to("patient")
        .emit("hello", 1)
        .await
        .expect("sent");
    assert_eq!(client.expect_event("hello").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_pass_by_a_socket_that_is_not_accepted() {
    let (io, gate, mut entries) = gated();
    let (server, mut client) = TestServer::with_client(io).await;
    begin_to_join(&mut client).await;
    assert_eq!(entries.next().await, "middleware");
    let slow = server.io.of("/slow");
    slow.emit("too early", 1).await.expect("sent");
    slow.to("patient").emit("too early", 2).await.expect("sent");
    assert!(slow.fetch_sockets().await.is_empty());
    is_taken_in(&mut client).await;
    gate.add_permits(1);
    assert_eq!(entries.next().await, "connect");
    slow.to("patient").emit("in time", 3).await.expect("sent");
    assert_eq!(
        client.receive(|packet| packet.kind == '0').await.namespace,
        "/slow"
    );
    assert_eq!(client.expect_event("in time").await, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_socket_has_left_its_rooms() {
    let (io, gate, mut entries) = gated();
    let (server, mut client) = TestServer::with_client(io).await;
    begin_to_join(&mut client).await;
    assert_eq!(entries.next().await, "middleware");
    let slow = server.io.of("/slow");
    assert_eq!(slow.rooms(), [("patient".to_owned(), 1)]);
    gate.close();
    client.receive(|packet| packet.kind == '4').await;
    assert!(slow.rooms().is_empty());
    assert_eq!(slow.socket_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_it_is_decided_about_was_never_there() {
    let (io, gate, mut entries) = gated();
    let (server, mut client) = TestServer::with_client(io).await;
    begin_to_join(&mut client).await;
    assert_eq!(entries.next().await, "middleware");
    client.close().await;
    eventually("the session has ended", || server.io.session_count() == 0).await;
    gate.add_permits(1);
    server
        .io
        .close(crate::support::LIMIT)
        .await
        .expect("all is done in time");
    assert!(entries.is_empty(), "neither on_connect nor on_disconnect");
    assert_eq!(gate.available_permits(), 1, "its middleware was dropped");
}

/// A middleware of `/a` that disconnects the client's socket of `/` while the one of `/b` still decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_leaves_while_others_join_changes_nothing_for_them() {
    let (builder, _, mut entries) = journaling();
    let gate = Arc::new(Semaphore::new(0));
    let io = builder.state(Arc::clone(&gate)).build();
    io.of("/");
    io.of("/a").middleware(async |socket: Socket| {
        let others = socket.server().of("/").fetch_sockets().await;
        for other in others {
            other.disconnect();
        }
        Ok::<_, ConnectError>(())
    });
    io.of("/a")
        .on_connect(async |journal: State<Journal>| journal.note("a"));
    io.of("/b").middleware(async |gate: State<Gate>| {
        let _permit = gate.acquire().await;
        Err::<(), _>(ConnectError::new("denied"))
    });
    io.of("/b")
        .on_connect(async |journal: State<Journal>| journal.note("b"));
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    assert!(polling.join().await.starts_with("40{\"sid\":\""));
    polling.send("40/b,\u{1e}40/a,").await;
    let mut packets = Vec::new();
    while packets.len() < 2 {
        packets.extend(polling.poll().await.split('\u{1e}').map(str::to_owned));
    }
    assert_eq!(packets[0], "41");
    assert!(packets[1].starts_with("40/a,{\"sid\":\""), "{packets:?}");
    assert_eq!(entries.next().await, "a");
    gate.add_permits(1);
    assert_eq!(polling.poll().await, "44/b,{\"message\":\"denied\"}");
    assert!(entries.is_empty(), "/b was never connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_its_middleware_disconnects_is_not_connected() {
    let (builder, _, entries) = journaling();
    let io = builder.build();
    let shy = io.of("/shy");
    shy.middleware(async |socket: Socket| {
        socket.disconnect();
        Ok::<_, ConnectError>(())
    });
    shy.on_connect(async |journal: State<Journal>| journal.note("connect"));
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    polling.send("40/shy,").await;
    assert_eq!(polling.poll().await, "41/shy,");
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_a_middleware_refuses_are_counted() {
    let (io, gate, _entries) = gated();
    io.of("/no").middleware(async || Err::<(), _>("no"));
    io.of("/broken")
        .middleware(async |_: Auth<u32>| Ok::<_, ConnectError>(()));
    gate.add_permits(1);
    let (server, mut client) = TestServer::with_client(io).await;
    client.join("/slow", None).await.expect("accepted");
    for namespace in ["/no", "/broken", "/no", "/nowhere"] {
        let refused = client.join(namespace, None).await;
        refused.expect_err("refused");
    }
    let io = &server.io;
    let counts = ["/no", "/broken", "/slow", "/"].map(|name| io.of(name).refusals());
    assert_eq!((counts, io.refusals()), ([2, 1, 0, 0], 3));
}
