//! Which handlers run for an event, and in which order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use kokanee_server::{
    Ack, Args, ConnectError, Data, DisconnectReason, Event, EventName, ExtractError, Namespace,
    Server, Socket, State, Typed,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{
    journal::{Journal, journal, journaling},
    support::{Client, TestServer, within},
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
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("event", json!([])).await;
    assert_eq!(entries.take(4).await, ["any", "first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_any_sees_events_that_nobody_else_handles() {
    let io = Server::new();
    io.on_any(async |EventName(name): EventName, ack: Ack| ack.send(&*name));
    let (_server, mut client) = TestServer::with_client(io).await;
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
    let (_server, mut client) = TestServer::with_client(io).await;
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
    let (_server, mut client) = TestServer::with_client(io).await;
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
    let (server, mut client) = TestServer::with_client(io).await;
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
    let (server, mut one) = TestServer::with_client(io).await;
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
    let (_server, mut client) = TestServer::with_client(io).await;
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
    let (_server, mut client) = TestServer::with_client(io).await;
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

/// The message of a panic.
fn refusal<R>(add: impl FnOnce() -> R) -> String {
    let added = std::panic::catch_unwind(std::panic::AssertUnwindSafe(add));
    let panic = added.err().expect("a panic");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_events_that_never_come_are_refused_with_the_right_call() {
    struct Reserved;
    impl serde::Serialize for Reserved {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }
    impl<'de> serde::Deserialize<'de> for Reserved {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }
    impl Event for Reserved {
        const NAME: &'static str = "disconnect";
        type Ack = ();
    }
    let io = Server::new();
    let chat = io.of("/chat");
    for (name, call) in [
        ("connect", "use on_connect("),
        ("connection", "use on_connect("),
        ("disconnect", "use on_disconnect("),
        ("disconnecting", "use on_disconnect("),
        ("connect_error", "use middleware("),
        ("newListener", "no Socket.IO implementation sends it"),
        ("removeListener", "no Socket.IO implementation sends it"),
    ] {
        for text in [
            refusal(|| io.on(name, async || ())),
            refusal(|| chat.on(name, async || ())),
            refusal(|| io.on_concurrent(name, 2, async || ())),
        ] {
            assert!(text.contains(name) && text.contains(call), "{text}");
        }
    }
    let text = refusal(|| io.on_typed(async |_: Typed<Reserved>| ()));
    assert!(text.contains("use on_disconnect("), "{text}");

    let (refused, mut entries) = journal();
    io.on_connect(move |socket: Socket| {
        refused.note(refusal(|| socket.on("disconnect", async || ())));
        refused.note(refusal(|| socket.on_typed(async |_: Typed<Reserved>| ())));
        async {}
    });
    let (_server, _client) = TestServer::with_client(io).await;
    for text in entries.take(2).await {
        assert!(text.contains("use on_disconnect("), "{text}");
    }
}

#[test]
fn a_handler_whose_state_was_never_given_is_refused() {
    struct Forgotten;
    let io = Server::builder().state(7_u32).build();
    let chat = io.of("/chat");
    let needs = |_: State<u32>, _: State<Forgotten>| async {};
    for text in [
        refusal(|| io.on("event", needs)),
        refusal(|| io.on_concurrent("event", 2, needs)),
        refusal(|| io.on_connect(needs)),
        refusal(|| io.on_disconnect(needs)),
        refusal(|| chat.on_any(needs)),
        refusal(|| chat.on_fallback(needs)),
        refusal(|| {
            io.middleware(async |_: State<Forgotten>| Ok::<_, String>(()));
        }),
    ] {
        assert!(text.contains("Forgotten>"), "{text}");
        assert!(text.contains("Server::builder().state(…)"), "{text}");
        assert!(!text.contains("State<u32>"), "{text}");
        assert!(text.ends_with("given are [\"u32\"]"), "{text}");
    }
    io.on(
        "event",
        async |_: State<u32>, _: Option<State<Forgotten>>| {},
    );
    io.on(
        "event",
        async |_: Result<State<Forgotten>, ExtractError>| {},
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_fallback_gets_the_events_that_have_no_handler_of_their_own() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    let note = async |EventName(name): EventName, State(journal): State<Journal>| {
        journal.note(format!("fallback {}", &*name));
    };
    io.on_fallback(note);
    io.on_connect(async |socket: Socket| socket.on("own", async |ack: Ack| ack.send("own")));
    io.on("known", async |ack: Ack| ack.send("known"));
    let (server, mut client) = TestServer::with_client(io).await;
    for event in ["known", "own"] {
        assert_eq!(client.emit_with_ack(event, json!([])).await, json!([event]));
    }
    client.emit("unknown", json!([])).await;
    server.io.of("/").off("known");
    client.emit("known", json!([])).await;
    let all = ["fallback unknown", "fallback known"];
    assert_eq!(entries.take(2).await, all);
    assert_eq!(server.io.unhandled_events(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_any_handler_are_counted() {
    let io = Server::new();
    let known = async |ack: Ack| ack.send(());
    io.on("known", known);
    io.of("/chat").on("known", known);
    let (server, mut client) = TestServer::with_client(io).await;
    client.join("/chat", None).await.expect("accepted");
    for event in ["unknown", "known", "unknown"] {
        client.emit(event, json!([])).await;
    }
    client.emit_to_with_ack("/chat", "known", json!([])).await;
    client.websocket().send(r#"42/chat,["unknown"]"#).await;
    client.emit_to_with_ack("/chat", "known", json!([])).await;
    let io = &server.io;
    assert_eq!(io.of("/").unhandled_events(), 2);
    assert_eq!(io.of("/chat").unhandled_events(), 1);
    assert_eq!(io.unhandled_events(), 3);
    // Who sees every event has seen these, too.
    io.on_any(async || {});
    client.emit("unknown", json!([])).await;
    client.emit_with_ack("known", json!([])).await;
    assert_eq!(io.unhandled_events(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_for_one_event_is_called_once_and_in_its_place() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket| {
        socket.on("event", async |State(journal): State<Journal>| {
            journal.note("first");
        });
        socket.once("event", async |State(journal): State<Journal>| {
            journal.note("once");
        });
        socket.on("event", async |State(journal): State<Journal>| {
            journal.note("last");
        });
        socket.once("alone", async |State(journal): State<Journal>| {
            journal.note("alone");
        });
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    for name in ["event", "alone", "event", "alone", "event"] {
        client.emit(name, json!([])).await;
    }
    assert_eq!(
        entries.take(8).await,
        [
            "first", "once", "last", "alone", "first", "last", "first", "last"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_has_listeners_of_every_event_and_of_its_end() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket| {
        socket.on_any(async |name: EventName, State(journal): State<Journal>| {
            journal.note(format!("socket's any {name}"));
        });
        socket.on_disconnect(
            async |reason: DisconnectReason, State(journal): State<Journal>| {
                journal.note(format!("socket's end: {reason}"));
            },
        );
    });
    io.on_any(async |State(journal): State<Journal>| journal.note("any"));
    io.on("event", async |State(journal): State<Journal>| {
        journal.note("event");
    });
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit("event", json!([])).await;
    assert_eq!(
        entries.take(3).await,
        ["any", "socket's any event", "event"]
    );
    // The namespace has no handler of the end: that of the socket is called all the same.
    client.close().await;
    assert_eq!(entries.next().await, "socket's end: transport close");
    server
        .io
        .on_disconnect(async |State(journal): State<Journal>| journal.note("end"));
    Client::connect(&server).await.close().await;
    assert_eq!(
        entries.take(2).await,
        ["end", "socket's end: transport close"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_of_all_that_is_sent_to_its_socket() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket, State(journal): State<Journal>| {
        socket.on_any_outgoing(move |event| {
            let args = match event.args().deserialize::<Value>() {
                Ok(json) => json.to_string(),
                Err(_) => format!("{:?}", event.args().deserialize::<Bytes>()),
            };
            journal.note(format!("{} {args}", event.name()));
        });
    });
    io.on("go", async |socket: Socket, args: Args, ack: Ack| {
        socket.emit_volatile("volatile", 2)?;
        socket.emit("plain", (1, "x")).await?;
        socket.emit_args("args", &args).await?;
        socket.emit("binary", Bytes::from_static(b"ab")).await?;
        socket.to("nobody").emit("others", 0).await?;
        socket.server().emit("all", 3).await?;
        socket
            .server()
            .local()
            .emit_with_backpressure("patient", 4)
            .await?;
        // The client does not answer.
        let answer = socket.emit_with_ack::<()>("ask", 5);
        drop(answer.timeout(Duration::from_millis(1)).await);
        ack.send("an answer is not an event")
    });
    let (server, mut client) = TestServer::with_client(io).await;
    client.emit_with_ack("go", json!(["in"])).await;
    assert_eq!(
        entries.take(7).await,
        [
            "volatile 2",
            "plain 1",
            "args \"in\"",
            "binary Ok(b\"ab\")",
            "all 3",
            "patient 4",
            "ask 5"
        ]
    );
    assert!(entries.is_empty());
    // And they are sent.
    let mut client = Client::connect(&server).await;
    client.emit("go", json!([6])).await;
    for name in [
        "volatile", "plain", "args", "binary", "all", "patient", "ask",
    ] {
        assert_eq!(client.event().await.name(), name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_what_is_sent_may_panic_and_send() {
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    io.on_connect(async |socket: Socket, State(journal): State<Journal>| {
        let own = socket.clone();
        socket.on_any_outgoing(|_| panic!("a listener"));
        socket.on_any_outgoing(move |event| {
            journal.note(event.name());
            let sent = own.emit("inner", 1).now_or_never();
            sent.expect("no wait").expect("connected");
        });
    });
    io.on("go", async |io: Namespace| io.emit("outer", 2).await);
    let (_server, mut client) = TestServer::with_client(io).await;
    for _ in 0..2 {
        client.emit("go", json!([])).await;
        assert_eq!(client.event().await.name(), "outer");
        assert_eq!(client.event().await.name(), "inner");
    }
    assert_eq!(entries.take(2).await, ["outer", "outer"]);
    assert!(entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_may_use_their_socket_and_namespace_when_they_are_removed() {
    /// Adds a handler when it is dropped.
    struct Held(Option<Socket>, Namespace);
    impl Drop for Held {
        fn drop(&mut self) {
            if let Some(socket) = &self.0 {
                socket.on("anew", async || {});
            }
            self.1.on("anew", async || {});
        }
    }
    fn handler(held: Held) -> impl Fn() -> std::future::Ready<()> + Clone + Send + Sync + 'static {
        let held = Arc::new(held);
        move || {
            let _ = &held;
            std::future::ready(())
        }
    }
    let (builder, _, mut entries) = journaling();
    let io = builder.build();
    let root = io.of("/");
    io.on_connect(move |socket: Socket, State(journal): State<Journal>| {
        socket.on("own", handler(Held(Some(socket.clone()), root.clone())));
        root.on("all", handler(Held(None, root.clone())));
        socket.off("own");
        root.off("all");
        journal.note("removed");
        async {}
    });
    let (_server, _client) = TestServer::with_client(io).await;
    assert_eq!(entries.next().await, "removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_hold_their_socket_go_with_it() {
    /// Sends when it is dropped.
    struct Held(UnboundedSender<&'static str>);
    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let (sender, mut dropped) = unbounded_channel();
    let io = Server::new();
    io.of("/refused").middleware({
        let sender = sender.clone();
        move |socket: Socket| {
            let (held, own) = (Held(sender.clone()), socket.clone());
            socket.on("never", move || {
                let _ = (&held, &own);
                async {}
            });
            async { Err::<(), _>(ConnectError::new("no")) }
        }
    });
    io.on_connect(move |socket: Socket| {
        let held = [0; 2].map(|_| (Held(sender.clone()), socket.clone()));
        let [listener, outgoing] = held;
        socket.on("event", move || {
            let _ = &listener;
            async {}
        });
        socket.on_any_outgoing(move |_| {
            let _ = &outgoing;
        });
        async {}
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.join("/refused", None).await.expect_err("refused");
    assert_eq!(within("the drop", dropped.recv()).await, Some("dropped"));
    client.close().await;
    for _ in 0..2 {
        assert_eq!(within("the drop", dropped.recv()).await, Some("dropped"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_has_all_of_its_namespace() {
    let io = Server::new();
    io.on_error(|_, _| {}).concurrent(1);
    io.on("in", async |socket: Socket, ack: Ack| {
        socket.join("room").expect("a room");
        ack.send(())
    });
    io.on("gone", async |ack: Ack| ack.send("handled"));
    io.off("gone");
    io.on("gone", async |ack: Ack| ack.send("anew"));
    let server = TestServer::start_with(io).await;
    let io = &server.io;
    let (mut client, id) = Client::connect_to(&server, "/", None).await;
    assert_eq!(
        client.emit_with_ack("gone", json!([])).await,
        json!(["anew"])
    );
    client.emit_with_ack("in", json!([])).await;
    assert_eq!(io.rooms(), [("room".to_owned(), 1)]);
    assert_eq!(io.socket_count(), 1);
    let id = id.parse().expect("an id");
    assert_eq!(io.socket(id), io.of("/").socket(id));
    let limit = Duration::from_secs(5);
    for operator in [
        io.volatile(),
        io.local(),
        io.compress(false),
        io.timeout(limit),
        io.within("room"),
        io.except("other"),
    ] {
        operator.emit("to all", ()).await.expect("sent");
        client.expect_event("to all").await;
    }
    io.disconnect_sockets().await;
    client.expect_disconnect("/").await;
    assert_eq!(io.session_count(), 1, "the connection stays");
}
