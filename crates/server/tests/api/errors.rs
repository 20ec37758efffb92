//! Events that are not handled to their end: payloads that do not fit, errors, panics. Each costs itself alone.

use kokanee_server::{
    Ack, BoxError, ClientError, Data, ExtractError, FromContext, Server, Socket, State,
    extract::{Context, ServerKind},
};
use serde_json::{Value, json};

use crate::{
    journal::{Entries, Journal, journal, journaling},
    support::{Client, TestServer},
};

/// A server whose errors go to the journal, with an event `echo` to see that a connection lives.
fn reporting() -> (Server, Entries) {
    let (builder, journal, entries) = journaling();
    let io = builder.build();
    journal.note_errors(&io.of("/"));
    io.on("echo", async |Data(value): Data<Value>, ack: Ack| {
        ack.send(value)
    });
    (io, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_whose_data_cannot_be_sent_is_answered_without_them() {
    let (io, _entries) = reporting();
    io.on("refuse", async || {
        let many = vec![bytes::Bytes::from_static(b"x"); 1000];
        Err::<(), _>(ClientError::new("too much").code("many").data(many))
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("refuse", json!([])).await,
        json!([{ "error": { "code": "many", "message": "too much" } }])
    );
}

async fn assert_alive(client: &mut Client) {
    assert_eq!(client.emit_with_ack("echo", json!([1])).await, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_does_not_fit_is_reported_and_answered() {
    let (io, mut entries) = reporting();
    io.on("count", async |Data(_): Data<u32>, ack: Ack| {
        ack.send("never")
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("count", json!(["many"])).await;
    let error = &answer[0]["error"];
    assert_eq!(error["code"], "invalid_payload");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("invalid type: string \"many\", expected u32"),
        "{message}"
    );
    let reported = entries.next().await;
    assert_eq!(reported, format!("invalid_payload: {message}"));
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_does_not_fit_is_reported_without_an_acknowledgement_too() {
    let (io, mut entries) = reporting();
    io.on("count", async |Data(_): Data<(u32, u32)>| {});
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("count", json!([1])).await;
    let reported = entries.next().await;
    assert!(reported.starts_with("invalid_payload: "), "{reported}");
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_handler_is_reported_and_answered() {
    let (io, mut entries) = reporting();
    io.on("fail", async || Err::<(), _>("out of fish"));
    io.on("wait and fail", async || {
        tokio::task::yield_now().await;
        Err::<(), BoxError>("out of patience".into())
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("fail", json!([])).await;
    assert_eq!(
        answer,
        json!([{ "error": { "code": "internal", "message": "internal error" } }])
    );
    let answer = client.emit_with_ack("wait and fail", json!([])).await;
    assert_eq!(
        answer,
        json!([{ "error": { "code": "internal", "message": "internal error" } }])
    );
    assert_eq!(
        entries.take(2).await,
        ["internal: out of fish", "internal: out of patience"]
    );
    assert_alive(&mut client).await;
}

#[derive(Debug, thiserror::Error)]
enum ChatError {
    #[error(transparent)]
    Refused(#[from] ClientError),
    #[error("password=hunter2")]
    Database,
}

fn divide(a: i64, b: i64) -> Result<i64, ChatError> {
    if b == 13 {
        return Err(ChatError::Database);
    }
    let error = ClientError::new("division by zero").code("division_by_zero");
    Ok(a.checked_div(b).ok_or(error.data(json!({ "by": b })))?)
}

/// The one documented form, whichever way the error takes.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_error_means_for_the_client_is_all_that_it_gets() {
    let (io, mut entries) = reporting();
    io.on(
        "return",
        async |Data((a, b)): Data<(i64, i64)>, ack: Ack| {
            let answer = divide(a, b)?;
            Ok::<_, BoxError>(ack.send(answer)?)
        },
    );
    io.on("send", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| {
        ack.send_result(divide(a, b))
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    for event in ["return", "send"] {
        assert_eq!(client.emit_with_ack(event, json!([6, 2])).await, json!([3]));
        let refused = json!([{ "error": {
            "code": "division_by_zero", "message": "division by zero", "data": { "by": 0 },
        } }]);
        assert_eq!(client.emit_with_ack(event, json!([6, 0])).await, refused);
        let internal = json!([{ "error": { "code": "internal", "message": "internal error" } }]);
        assert_eq!(client.emit_with_ack(event, json!([6, 13])).await, internal);
        // The application learns of it in full, whether or not the client has asked for an answer.
        client.emit(event, json!([6, 13])).await;
        assert_eq!(
            entries.take(3).await,
            [
                "division_by_zero: division by zero",
                "internal: password=hunter2",
                "internal: password=hunter2"
            ]
        );
    }
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_answer_is_reported_but_not_sent() {
    let (io, mut entries) = reporting();
    io.on("fail", async |ack: Ack| {
        ack.send("done")?;
        Err::<(), BoxError>("too late".into())
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("fail", json!([])).await,
        json!(["done"])
    );
    assert_eq!(entries.next().await, "internal: too late");
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_handler_costs_its_event_alone() {
    let (io, mut entries) = reporting();
    io.on("panic", async |_: Socket| -> () {
        panic!("the secret plan")
    });
    io.on("panic", async |State(journal): State<Journal>| {
        journal.note("the other handler");
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("panic", json!([])).await;
    assert_eq!(
        answer,
        json!([{ "error": { "code": "internal", "message": "internal error" } }])
    );
    let entries = entries.take(2).await;
    assert_eq!(
        entries,
        [
            "internal: handler panicked: the secret plan",
            "the other handler"
        ]
    );
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_behind_an_await_costs_its_event_alone() {
    let (io, mut entries) = reporting();
    io.on("panic", async |Data(number): Data<u32>| -> () {
        tokio::task::yield_now().await;
        panic!("number {number}");
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("panic", json!([7])).await;
    assert_eq!(answer[0]["error"]["code"], "internal");
    assert_eq!(entries.next().await, "internal: handler panicked: number 7");
    assert_alive(&mut client).await;
}

struct Panicking;

impl<K: ServerKind> FromContext<K> for Panicking {
    fn from_context(_: &Context<'_>) -> Result<Self, ExtractError> {
        panic!("no such parameter")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_an_extractor_costs_its_event_alone() {
    let (io, mut entries) = reporting();
    io.on("panic", async |_: Panicking| {});
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("panic", json!([])).await;
    assert_eq!(answer[0]["error"]["code"], "internal");
    assert_eq!(
        entries.next().await,
        "internal: handler panicked: no such parameter"
    );
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_on_connect_costs_nothing_else() {
    let (io, mut entries) = reporting();
    io.on_connect(async |_: Socket| -> () { panic!("on connect") });
    io.on_connect(async |State(journal): State<Journal>| journal.note("the other handler"));
    let (_server, mut client) = TestServer::with_client(io).await;
    let entries = entries.take(2).await;
    assert_eq!(
        entries,
        [
            "internal: handler panicked: on connect",
            "the other handler"
        ]
    );
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_on_disconnect_does_not_stop_the_other_handlers() {
    let (io, mut entries) = reporting();
    io.on_disconnect(async |_: Socket| -> () { panic!("on disconnect") });
    io.on_disconnect(async |State(journal): State<Journal>| journal.note("the other handler"));
    let server = TestServer::start_with(io).await;
    Client::connect(&server).await.close().await;
    let entries = entries.take(2).await;
    assert_eq!(
        entries,
        [
            "internal: handler panicked: on disconnect",
            "the other handler"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_middleware_refuses_its_socket_alone() {
    let (io, entries) = reporting();
    let admin = io.of("/admin");
    admin.middleware(async |_: Socket| -> Result<(), String> { panic!("the secret plan") });
    let (admins, mut admin_entries) = journal();
    admins.note_errors(&admin);
    let (_server, mut client) = TestServer::with_client(io).await;
    let refusal = client.join("/admin", None).await.expect_err("refused");
    assert_eq!(refusal, json!({ "message": "internal error" }));
    assert_eq!(
        admin_entries.next().await,
        "internal: handler panicked: the secret plan"
    );
    assert_alive(&mut client).await;
    assert!(entries.is_empty(), "it is an error of the other namespace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_on_error_itself_costs_nothing_else() {
    let io = Server::new();
    io.of("/").on_error(|_, _| panic!("on error"));
    io.on("fail", async || Err::<(), _>("out of fish"));
    io.on("echo", async |Data(value): Data<Value>, ack: Ack| {
        ack.send(value)
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("fail", json!([])).await;
    assert_eq!(answer[0]["error"]["message"], "internal error");
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_on_error_for_a_middleware_costs_nothing_else() {
    let io = Server::new();
    let admin = io.of("/admin");
    admin.on_error(|_, _| panic!("on error"));
    admin.middleware(async |_: Socket| -> Result<(), String> { panic!("middleware") });
    io.on("echo", async |Data(value): Data<Value>, ack: Ack| {
        ack.send(value)
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let refusal = client.join("/admin", None).await.expect_err("refused");
    assert_eq!(refusal["message"], "internal error");
    assert_alive(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_connection_is_nothing_to_the_others() {
    let (io, _entries) = reporting();
    io.on("panic", async |_: Socket| -> () { panic!("alone") });
    let (server, mut one) = TestServer::with_client(io).await;
    let mut two = Client::connect(&server).await;
    one.emit("panic", json!([])).await;
    assert_alive(&mut two).await;
    assert_alive(&mut one).await;
}
