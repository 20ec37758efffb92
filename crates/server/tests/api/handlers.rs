//! Which handlers run for an event, and in which order.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use kokanee_server::{Ack, Data, EventName, Server, Socket, State};
use serde_json::json;

use crate::{
    journal::{Journal, journaling},
    support::{Client, TestServer},
};

#[tokio::test(flavor = "multi_thread")]
async fn handlers_of_one_event_run_in_the_order_of_their_registration() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on("event", async |State(journal): State<Journal>| {
        journal.note("first");
    });
    io.on("event", async |State(journal): State<Journal>| {
        journal.note("second");
    });
    io.on_any(async |State(journal): State<Journal>| journal.note("any"));
    io.on("event", async |State(journal): State<Journal>| {
        journal.note("third");
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    client.emit("event", json!([])).await;
    assert_eq!(entries.take(4).await, ["any", "first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_any_sees_events_that_nobody_else_handles() {
    let io = Server::new();
    io.on_any(async |EventName(name): EventName, ack: Ack| ack.send(&*name));
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(
        client.emit_with_ack("unheard of", json!([])).await,
        json!(["unheard of"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_handler_is_ignored() {
    let io = Server::new();
    io.on("echo", async |Data(value): Data<u32>, ack: Ack| {
        ack.send(value)
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    client.emit("unknown", json!([1, 2, 3])).await;
    assert_eq!(client.emit_with_ack("echo", json!([1])).await, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_have_handlers_of_their_own() {
    let io = Server::new();
    io.on("where", async |ack: Ack| ack.send("root"));
    io.of("/admin")
        .on("where", async |ack: Ack| ack.send("admin"));
    io.of("users")
        .on("where", async |ack: Ack| ack.send("users"));
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    client.join("/admin", None).await.expect("accepted");
    client.join("/users", None).await.expect("accepted");
    assert_eq!(
        client.emit_to_with_ack("/admin", "where", json!([])).await,
        json!(["admin"])
    );
    assert_eq!(
        client.emit_to_with_ack("/", "where", json!([])).await,
        json!(["root"])
    );
    assert_eq!(
        client.emit_to_with_ack("/users", "where", json!([])).await,
        json!(["users"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_removed_with_off_runs_no_more() {
    let io = Server::new();
    io.on("event", async |ack: Ack| ack.send("handled"));
    io.on("echo", async |ack: Ack| ack.send("echo"));
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(
        client.emit_with_ack("event", json!([])).await,
        json!(["handled"])
    );
    server.io.of("/").off("event");
    server
        .io
        .on("event", async |ack: Ack| ack.send("handled anew"));
    assert_eq!(
        client.emit_with_ack("event", json!([])).await,
        json!(["handled anew"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_one_socket_keeps_what_its_closure_captured() {
    let io = Server::new();
    io.on_connect(async |socket: Socket| {
        let count = Arc::new(AtomicUsize::new(0));
        socket.on("count", move |ack: Ack| {
            let count = Arc::clone(&count);
            async move { ack.send(count.fetch_add(1, Ordering::Relaxed) + 1) }
        });
    });
    let server = TestServer::start_with(io).await;
    let mut one = Client::connect(&server).await;
    let mut two = Client::connect(&server).await;
    assert_eq!(one.emit_with_ack("count", json!([])).await, json!([1]));
    assert_eq!(one.emit_with_ack("count", json!([])).await, json!([2]));
    assert_eq!(two.emit_with_ack("count", json!([])).await, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_one_socket_runs_behind_the_namespaces_handlers() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket| {
        socket.on("event", async |State(journal): State<Journal>| {
            journal.note("socket");
        });
    });
    io.on("event", async |State(journal): State<Journal>| {
        journal.note("namespace");
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    client.emit("event", json!([])).await;
    assert_eq!(entries.take(2).await, ["namespace", "socket"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_one_socket_can_be_added_and_removed_at_any_time() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on("add", async |socket: Socket, ack: Ack| {
        socket.on("event", async |State(journal): State<Journal>| {
            journal.note("heard");
        });
        ack.send(())
    });
    io.on("remove", async |socket: Socket, ack: Ack| {
        socket.off("event");
        ack.send(())
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    for step in ["event", "add", "event", "remove", "event"] {
        client.emit(step, json!([])).await;
    }
    assert_eq!(client.emit_with_ack("add", json!([])).await, json!([]));
    assert_eq!(entries.next().await, "heard");
    assert!(entries.is_empty(), "only the event between was heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_added_while_clients_are_connected_serves_them() {
    let server = TestServer::start(Server::builder()).await;
    let mut client = Client::connect(&server).await;
    server.io.on("new", async |ack: Ack| ack.send("here"));
    assert_eq!(
        client.emit_with_ack("new", json!([])).await,
        json!(["here"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_connect_runs_after_the_client_was_told() {
    let io = Server::new();
    io.on_connect(async |socket: Socket| socket.emit("welcome", socket.id()).await);
    let server = TestServer::start_with(io).await;
    let (mut websocket, _) = server.open_websocket().await;
    let reply = websocket.join().await;
    assert!(
        reply.starts_with("40{\"sid\":\""),
        "the reply comes first: {reply}"
    );
    let id = &reply["40{\"sid\":\"".len()..reply.len() - 2];
    assert_eq!(websocket.text().await, format!("42[\"welcome\",\"{id}\"]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_connect_that_waits_does_not_hold_back_events() {
    let io = Server::new();
    io.on_connect(async || std::future::pending::<()>().await);
    io.on("echo", async |Data(value): Data<u32>, ack: Ack| {
        ack.send(value)
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.emit_with_ack("echo", json!([1])).await, json!([1]));
}
