//! Namespaces that clients open, and sessions that speak a protocol of the application's.

use std::sync::{Arc, OnceLock};

use kokanee_engineio::Outgoing;
use kokanee_server::{Ack, Data, DisconnectReason, Server, Socket};
use serde_json::json;

use crate::{
    journal::{Journal, journaling},
    support::{Client, TestServer, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_a_client_opens_has_handlers_and_goes_with_its_last_socket() {
    let builder = Server::builder().open_namespaces(2, |namespace| {
        namespace.on("name", async |socket: Socket, ack: Ack| {
            ack.send(socket.namespace().name())
        });
    });
    let server = TestServer::start(builder).await;
    let (mut first, _) = Client::connect_to(&server, "/a", None).await;
    let (second, _) = Client::connect_to(&server, "/a", None).await;
    let answer = first.emit_to_with_ack("/a", "name", json!([])).await;
    assert_eq!(answer, json!(["/a"]));
    first.join("/b", None).await.expect("accepted");
    // No more than two at a time.
    let refusal = first.join("/c", None).await;
    assert_eq!(refusal, Err(json!({ "message": "Invalid namespace" })));
    first.leave("/b").await;
    let io = server.io.clone();
    eventually("/b is gone", || io.find_namespace("/b").is_none()).await;
    first.join("/c", None).await.expect("accepted");
    assert_eq!(io.of("/a").socket_count(), 2);
    first.close().await;
    eventually("/c is gone", || io.find_namespace("/c").is_none()).await;
    assert!(io.find_namespace("/a").is_some());
    second.close().await;
    eventually("/a is gone", || io.find_namespace("/a").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prepares_a_namespace_may_ask_for_others() {
    let made: Arc<OnceLock<Server>> = Arc::default();
    let server = Arc::clone(&made);
    let io = Server::builder()
        .open_namespaces(10, move |_| {
            let io = server.get().expect("clients come later");
            io.of("/seen").on("ask", async || {});
        })
        .build();
    made.set(io.clone()).expect("set once");
    let server = TestServer::start_with(io).await;
    let (mut client, _) = Client::connect_to(&server, "/a", None).await;
    client.join("/b", None).await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_an_own_protocol_are_events_of_one_socket() {
    let (builder, _, mut entries) = journaling();
    let io = builder.raw_messages(true).build();
    io.on(
        "message",
        async |socket: Socket, Data(message): Data<serde_json::Value>| {
            let text = message.as_str().map_or_else(String::new, str::to_owned);
            let _ = socket.send_message(Outgoing::text(&text.to_uppercase()));
            let _ = socket.send_message(Outgoing::binary(vec![1, 2].into()));
        },
    );
    io.on_disconnect(
        async |reason: DisconnectReason, journal: kokanee_server::State<Journal>| {
            journal.note(reason.as_str());
        },
    );
    let server = TestServer::start_with(io).await;
    let mut client = Client::open(&server).await;
    let websocket = client.websocket();
    // Neither is a packet of Socket.IO.
    websocket.send("4hello").await;
    assert_eq!(websocket.text().await, "4HELLO");
    assert_eq!(websocket.binary().await, [1, 2]);
    client.close().await;
    assert_eq!(entries.next().await, "transport close");
}
