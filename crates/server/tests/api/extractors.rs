//! What the parameters of handlers can be.

use std::sync::Arc;

use kokanee_server::{
    Ack, Args, Auth, ClientError, Data, EventName, Extension, ExtractError, FromContext, Handshake,
    Namespace, RawEvent, Server, Socket, SocketId, State, Transport,
    extract::{Context, OnConnect, OnEvent, ServerKind},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    journal::journaling,
    support::{Client, TestServer, WebSocket, within},
};

/// A server with one event, and the answer that it gives to these arguments.
async fn answer(io: Server, event: &str, args: Value) -> Value {
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit_with_ack(event, args).await
}

#[derive(Debug, Deserialize)]
struct Order {
    fish: String,
    count: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_one_type_is_the_first_argument() {
    let io = Server::new();
    io.on("hello", async |Data(name): Data<String>, ack: Ack| {
        ack.send(format!("hello {name}"))
    });
    assert_eq!(
        answer(io, "hello", json!(["sockeye", "ignored"])).await,
        json!(["hello sockeye"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_tuple_is_all_arguments() {
    let io = Server::new();
    io.on("sum", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| {
        ack.send(a + b)
    });
    assert_eq!(answer(io, "sum", json!([20, 22])).await, json!([42]));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_struct_is_an_object() {
    let io = Server::new();
    io.on("order", async |Data(order): Data<Order>, ack: Ack| {
        ack.send((order.fish, order.count))
    });
    let order = json!([{ "fish": "coho", "count": 3 }]);
    assert_eq!(answer(io, "order", order).await, json!(["coho", 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_unit_needs_no_arguments() {
    let io = Server::new();
    io.on("tick", async |Data(()): Data<()>, ack: Ack| {
        ack.send("tock")
    });
    assert_eq!(answer(io, "tick", json!([])).await, json!(["tock"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_an_option_may_be_missing_or_null() {
    let io = Server::new();
    io.on(
        "name",
        async |Data(name): Data<Option<String>>, ack: Ack| ack.send(name),
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(client.emit_with_ack("name", json!([])).await, json!([null]));
    assert_eq!(
        client.emit_with_ack("name", json!([null])).await,
        json!([null])
    );
    assert_eq!(
        client.emit_with_ack("name", json!(["chum"])).await,
        json!(["chum"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn args_are_the_arguments_as_they_came() {
    let io = Server::new();
    io.on("echo", async |args: Args, ack: Ack| ack.send_args(&args));
    let args = json!([1, "two", { "three": [3.5, null] }]);
    assert_eq!(answer(io, "echo", args.clone()).await, args);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_and_event_name_tell_which_event_it_was() {
    let io = Server::new();
    io.on_any(
        async |EventName(name): EventName, event: RawEvent, ack: Ack| {
            ack.send((&*name, event.name(), event.args().len()))
        },
    );
    assert_eq!(
        answer(io, "anything", json!([1, 2, 3])).await,
        json!(["anything", "anything", 3])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ack_is_wanted_only_if_the_client_asked() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on(
        "event",
        async |ack: Ack, State(journal): State<crate::journal::Journal>| {
            journal.note(ack.is_wanted());
            ack.send("answer")
                .expect("without a question it does nothing");
            journal.note(ack.is_wanted());
        },
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("event", json!([])).await;
    assert_eq!(entries.take(2).await, ["false", "false"]);
    assert_eq!(
        client.emit_with_ack("event", json!([])).await,
        json!(["answer"])
    );
    assert_eq!(entries.take(2).await, ["true", "false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_shared_by_the_whole_server() {
    struct River(&'static str);
    let io = Server::builder().state(River("Fraser")).build();
    io.on("river", async |river: State<River>, ack: Ack| {
        ack.send(river.0.0)
    });
    assert_eq!(answer(io, "river", json!([])).await, json!(["Fraser"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_was_not_given_is_an_error_of_ours() {
    let io = Server::new();
    io.on(
        "river",
        async |river: Result<State<String>, ExtractError>| river.map(drop),
    );
    let answer = answer(io, "river", json!([])).await;
    assert_eq!(answer[0]["error"]["code"], "internal");
    assert_eq!(answer[0]["error"]["message"], "internal error");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_belongs_to_its_socket() {
    struct User(String);
    let io = Server::new();
    io.middleware(async |socket: Socket, Auth(user): Auth<Value>| {
        socket.insert(User(user["name"].as_str().unwrap_or_default().to_owned()));
        Ok::<_, String>(())
    });
    io.on("who", async |user: Extension<User>, ack: Ack| {
        ack.send(&user.0.0)
    });
    let server = TestServer::start_with(io).await;
    let (mut ann, _) = Client::connect_to(&server, "/", Some(json!({ "name": "Ann" }))).await;
    let (mut bob, _) = Client::connect_to(&server, "/", Some(json!({ "name": "Bob" }))).await;
    assert_eq!(ann.emit_with_ack("who", json!([])).await, json!(["Ann"]));
    assert_eq!(bob.emit_with_ack("who", json!([])).await, json!(["Bob"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_replaced_by_one_of_its_type() {
    let io = Server::new();
    io.on(
        "set",
        async |socket: Socket, Data(count): Data<u32>, ack: Ack| {
            ack.send(socket.insert(count).map(|old: Arc<u32>| *old))
        },
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(client.emit_with_ack("set", json!([1])).await, json!([null]));
    assert_eq!(client.emit_with_ack("set", json!([2])).await, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_is_what_the_client_sent_with_connect() {
    #[derive(Deserialize)]
    struct Login {
        token: String,
    }
    let io = Server::new();
    io.on("token", async |Auth(login): Auth<Login>, ack: Ack| {
        ack.send(login.token)
    });
    let server = TestServer::start_with(io).await;
    let (mut client, _) = Client::connect_to(&server, "/", Some(json!({ "token": "abc" }))).await;
    assert_eq!(
        client.emit_with_ack("token", json!([])).await,
        json!(["abc"])
    );
    let mut without = Client::connect(&server).await;
    let answer = without.emit_with_ack("token", json!([])).await;
    assert_eq!(answer[0]["error"]["code"], "invalid_auth");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_is_the_request_that_opened_the_session() {
    let io = Server::new();
    io.on("handshake", async |handshake: Handshake, ack: Ack| {
        ack.send(json!({
            "url": handshake.url(),
            "room": handshake.query("room"),
            "missing": handshake.query("missing"),
            "pairs": handshake.query_pairs().len(),
            "agent": handshake.header("user-agent"),
            "headers": handshake.headers().contains_key("sec-websocket-key"),
            "ip": handshake.address().map(|address| address.ip().to_string()),
            "secure": handshake.secure(),
            "xdomain": handshake.xdomain(),
            "recent": handshake.issued().elapsed().is_ok_and(|age| age.as_secs() < 60),
            "auth": handshake.auth::<Value>().ok(),
        }))
    });
    let server = TestServer::start_with(io).await;
    let target = "/socket.io/?EIO=4&transport=websocket&room=a%20b&room=c";
    let headers = [("User-Agent", "test"), ("Origin", "http://other.example")];
    let mut websocket = WebSocket::connect_with(server.address, target, &headers).await;
    websocket.text().await;
    websocket.send("40{\"token\":1}").await;
    websocket.text().await;
    websocket.send("420[\"handshake\"]").await;
    let answer = websocket.text().await;
    let answer: Value = serde_json::from_str(&answer["430".len()..]).expect("JSON");
    assert_eq!(
        answer[0],
        json!({
            "url": target,
            "room": "c",
            "missing": null,
            "pairs": 4,
            "agent": "test",
            "headers": true,
            "ip": "127.0.0.1",
            "secure": false,
            "xdomain": true,
            "recent": true,
            "auth": { "token": 1 },
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_namespace_server_and_id_are_those_of_the_event() {
    let io = Server::new();
    io.of("/admin").on(
        "where",
        async |socket: Socket, id: SocketId, namespace: Namespace, server: Server, ack: Ack| {
            let found = namespace.socket(id);
            ack.send(json!({
                "id": socket.id(),
                "same": socket.id() == id,
                "namespace": namespace.name(),
                "found": found == Some(socket.clone()),
                "sessions": server.session_count(),
                "connected": socket.is_connected(),
                "websocket": socket.transport() == Transport::WebSocket,
            }))
        },
    );
    let server = TestServer::start_with(io).await;
    let (mut client, id) = Client::connect_to(&server, "/admin", None).await;
    let answer = client.emit_to_with_ack("/admin", "where", json!([])).await;
    assert_eq!(
        answer[0],
        json!({
            "id": id,
            "same": true,
            "namespace": "/admin",
            "found": true,
            "sessions": 1,
            "connected": true,
            "websocket": true,
        })
    );
    assert_ne!(id, client.session, "the session's id is a secret");
}

/// A user that an extractor of the application finds in the connection's auth.
struct Admin(String);

impl<K: ServerKind> FromContext<K> for Admin {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let auth: Value = context.socket().auth().map_err(ExtractError::other)?;
        match auth["admin"].as_str() {
            Some(name) => Ok(Self(name.to_owned())),
            None => Err(ExtractError::other(
                ClientError::new("admins only").code("refused"),
            )),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extractor_of_the_application_serves_every_kind_of_handler() {
    let (builder, journal, mut entries) = journaling();
    let io = builder.build();
    let on_connect = journal.clone();
    io.on_connect(move |Admin(name): Admin| {
        on_connect.note(format!("connect {name}"));
        async {}
    });
    let on_disconnect = journal.clone();
    io.on_disconnect(move |Admin(name): Admin| {
        on_disconnect.note(format!("disconnect {name}"));
        async {}
    });
    io.on("name", async |Admin(name): Admin, ack: Ack| ack.send(name));
    let server = TestServer::start_with(io).await;
    let (mut client, _) = Client::connect_to(&server, "/", Some(json!({ "admin": "Ann" }))).await;
    assert_eq!(
        client.emit_with_ack("name", json!([])).await,
        json!(["Ann"])
    );
    client.close().await;
    assert_eq!(entries.take(2).await, ["connect Ann", "disconnect Ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extractor_that_refuses_answers_and_the_connection_lives() {
    let (builder, journal, mut entries) = journaling();
    let io = builder.build();
    journal.note_errors(&io.of("/"));
    io.on("name", async |Admin(name): Admin, ack: Ack| ack.send(name));
    io.on("echo", async |Data(value): Data<Value>, ack: Ack| {
        ack.send(value)
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let answer = client.emit_with_ack("name", json!([])).await;
    assert_eq!(
        answer,
        json!([{ "error": { "code": "refused", "message": "admins only" } }])
    );
    assert_eq!(entries.next().await, "refused: admins only");
    assert_eq!(client.emit_with_ack("echo", json!([1])).await, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_or_a_result_lets_the_handler_run_without_its_parameter() {
    let io = Server::new();
    io.on(
        "try",
        async |admin: Option<Admin>, data: Result<Data<u32>, ExtractError>, ack: Ack| {
            let data = data
                .map(|Data(number)| number)
                .map_err(|error| error.code().to_owned());
            ack.send((admin.map(|Admin(name)| name), data))
        },
    );
    let (server, mut guest) = TestServer::with_client(io).await;
    let answer = guest.emit_with_ack("try", json!(["text"])).await;
    assert_eq!(answer, json!([null, { "Err": "invalid_payload" }]));
    let (mut admin, _) = Client::connect_to(&server, "/", Some(json!({ "admin": "Ann" }))).await;
    assert_eq!(
        admin.emit_with_ack("try", json!([7])).await,
        json!(["Ann", { "Ok": 7 }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_parameters_are_as_good_as_one() {
    #[expect(clippy::too_many_arguments, reason = "as many as a handler may have")]
    async fn handler(
        socket: Socket,
        _: Namespace,
        _: Server,
        _: Handshake,
        EventName(name): EventName,
        Data(number): Data<u32>,
        args: Args,
        ack: Ack,
    ) -> Result<(), kokanee_server::EmitError> {
        ack.send((socket.id(), &*name, number, args.len()))
    }
    let io = Server::new();
    io.on("all", handler);
    let server = TestServer::start_with(io).await;
    let (mut client, id) = Client::connect_to(&server, "/", None).await;
    let answer = client.emit_with_ack("all", json!([5, 6])).await;
    assert_eq!(answer, json!([id, "all", 5, 2]));
}

/// Only the kinds that make sense compile; that an own extractor may choose its kind is seen here.
struct OnlyEvents;
impl FromContext<OnEvent> for OnlyEvents {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        assert!(context.event().is_some(), "an event has one");
        Ok(Self)
    }
}
struct OnlyConnects;
impl FromContext<OnConnect> for OnlyConnects {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        assert!(context.event().is_none(), "a connection has none");
        Ok(Self)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extractor_may_serve_one_kind_of_handler() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let io = Server::new();
    io.on_connect(move |OnlyConnects| {
        let sender = sender
            .lock()
            .expect("no panic")
            .take()
            .expect("one connection");
        async move { sender.send(()).expect("awaited") }
    });
    io.on("event", async |OnlyEvents, ack: Ack| ack.send("ok"));
    assert_eq!(answer(io, "event", json!([])).await, json!(["ok"]));
    within("on_connect", receiver).await.expect("it ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_socket_can_be_an_argument() {
    let io = Server::new();
    io.on(
        "whisper",
        async |io: Namespace, Data((to, text)): Data<(SocketId, String)>, ack: Ack| {
            let sent = io.to(to).emit("whisper", text).await?;
            ack.send((to, to.to_string(), sent.count()))
        },
    );
    let server = TestServer::start_with(io).await;
    let (mut one, id) = Client::connect_to(&server, "/", None).await;
    let mut two = Client::connect(&server).await;
    assert_eq!(
        two.emit_with_ack("whisper", json!([id, "psst"])).await,
        json!([id, id, 1])
    );
    assert_eq!(one.expect_event("whisper").await, ["psst"]);
    for wrong in [json!("short"), json!("a b c d e f g h i j "), json!(7)] {
        let answer = two.emit_with_ack("whisper", json!([wrong, ""])).await;
        assert_eq!(answer[0]["error"]["code"], "invalid_payload", "{answer}");
    }
    assert!(
        id.parse::<SocketId>()
            .is_ok_and(|parsed| parsed.as_ref() == id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_an_event_is_text() {
    let io = Server::new();
    io.on_any(async |name: EventName, ack: Ack| {
        let is_chat = name == "chat" && name.starts_with("ch") && name != *"other";
        ack.send((is_chat, name.to_string(), name.len()))
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("chat", json!([])).await,
        json!([true, "chat", 4])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_found_by_name() {
    let io = Server::new();
    io.on_connect(async |socket: Socket, handshake: Handshake| {
        let cookies = ["session", "theme", "other"].map(|name| handshake.cookie(name));
        socket.emit("cookies", cookies).await
    });
    let server = TestServer::start_with(io).await;
    let target = "/socket.io/?EIO=4&transport=websocket";
    let headers = [
        ("Cookie", "theme=\"dark\"; session=s%3A1"),
        ("Cookie", "other=2"),
    ];
    let mut websocket = WebSocket::connect_with(server.address, target, &headers).await;
    websocket.text().await;
    websocket.join().await;
    assert_eq!(
        websocket.text().await,
        "42[\"cookies\",[\"s:1\",\"dark\",\"2\"]]"
    );
}
