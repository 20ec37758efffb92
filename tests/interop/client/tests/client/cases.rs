//! The cases that every server and every way to connect passes alike.

use std::time::Duration;

use kokanee_client::{
    Ack, Args, ConnectFailure, Data, DisconnectReason, Revision, Transport, Value,
};
use kokanee_client_interop::within;
use serde_json::json;
use tokio::{sync::mpsc, time::sleep};

use crate::support::{Server, Way, call, events, next, values};

/// Runs all cases, one after the other.
pub(crate) async fn run(server: &Server, way: Way) {
    connects_over_the_wanted_transport(server, way).await;
    values_come_back(server, way).await;
    binary_comes_back(server, way).await;
    events_reach_handlers(server, way).await;
    client_acknowledges(server, way).await;
    bursts_keep_their_order(server, way).await;
    large_messages_pass(server, way).await;
    namespaces_share_a_connection(server, way).await;
    the_root_comes_and_goes(server, way).await;
    refusal_carries_its_data(server, way).await;
    handshake_carries_what_was_set(server, way).await;
    server_ends_a_namespace(server, way).await;
    disconnected_socket_connects_again(server, way).await;
}

async fn connects_over_the_wanted_transport(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    assert!(socket.is_connected());
    let wanted = match way {
        Way::Polling => "polling",
        Way::WebSocket | Way::Upgrade => "websocket",
    };
    // An upgrade may take a moment.
    within("the wanted transport", async {
        while call(&socket, "transport", vec![]).await != [Value::from(wanted)] {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(socket.transport().map(Transport::as_str), Some(wanted));
    socket.disconnect().await.unwrap();
    assert!(!socket.is_connected());
}

async fn values_come_back(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    for args in [
        json!([]),
        json!(["a text", ""]),
        json!([
            0,
            -1,
            1.5,
            2_147_483_648_i64,
            9_007_199_254_740_991_i64,
            1e-7
        ]),
        json!([true, false, null]),
        json!([[], {}, [[]], { "a": { "b": [{ "c": null }] } }]),
        json!([
            "ä€ßø",
            "日本語",
            "emoji 😀👩‍👩‍👧 𝄞",
            "\u{0}\u{1}\u{1e}\u{1f}",
            "\u{2028}\u{2029}",
            "quotes \" \\ / slashes"
        ]),
        json!([{ "ключ 😀": "значение" }, { "_placeholder": true, "num": 0 }]),
    ] {
        let args: Vec<Value> = values(args);
        assert_eq!(call(&socket, "echo", args.clone()).await, args);
    }
    socket.disconnect().await.unwrap();
}

async fn binary_comes_back(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let bytes = |len: usize| Value::Binary((0..=u8::MAX).cycle().step_by(7).take(len).collect());
    let nested = Value::Array(vec![Value::from("x"), Value::Array(vec![bytes(3)])]);
    for args in [
        vec![bytes(4)],
        vec![bytes(0)],
        vec![bytes(256), Value::from("text"), bytes(1)],
        vec![nested, bytes(300_000)],
        (0..10).map(bytes).collect(),
    ] {
        assert_eq!(call(&socket, "echo", args.clone()).await, args);
    }
    socket.disconnect().await.unwrap();
}

async fn events_reach_handlers(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let mut said = events(&socket, "said");
    let args = vec![
        Value::from("one"),
        Value::Binary(vec![1, 2, 3].into()),
        Value::from(json!({ "two": 2 })),
    ];
    socket
        .emit_args("say", &Args::from_values(args.clone()).unwrap())
        .await
        .unwrap();
    assert_eq!(next(&mut said).await, args);
    // Typed.
    let (sender, mut typed) = mpsc::unbounded_channel();
    socket.off("said");
    socket.on("said", move |Data(said): Data<(String, u32)>| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(said);
        }
    });
    socket.emit("say", ("answer", 42)).await.unwrap();
    let received = within("a typed event", typed.recv()).await.unwrap();
    assert_eq!(received, ("answer".to_owned(), 42));
    socket.disconnect().await.unwrap();
}

async fn client_acknowledges(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let mut answered = events(&socket, "answered");
    socket.on(
        "question",
        async |Data((a, b)): Data<(i64, i64)>, ack: Ack| {
            assert!(ack.is_wanted());
            ack.send((a + b, "sum"))
        },
    );
    for (a, b) in [(20, 22), (-1, 1)] {
        socket.emit("call me", ("question", a, b)).await.unwrap();
        assert_eq!(
            next(&mut answered).await,
            [Value::from(a + b), Value::from("sum")]
        );
    }
    socket.on("bytes?", async |ack: Ack| {
        ack.send_args(&Args::from_values([Value::Binary(vec![7; 1000].into())])?)
    });
    socket.emit("call me", ("bytes?",)).await.unwrap();
    assert_eq!(
        next(&mut answered).await,
        [Value::Binary(vec![7; 1000].into())]
    );
    socket.disconnect().await.unwrap();
}

async fn bursts_keep_their_order(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let mut numbers = events(&socket, "number");
    socket.emit("burst", 500).await.unwrap();
    for number in 0..500 {
        socket.emit("number", number).await.unwrap();
    }
    let report = call(&socket, "report", vec![]).await;
    assert_eq!(report, values(json!([{ "received": 500, "error": null }])));
    for number in 0..500 {
        assert_eq!(next(&mut numbers).await[0], Value::from(number));
    }
    socket.disconnect().await.unwrap();
}

async fn large_messages_pass(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let args = vec![Value::from("0123456789 äöü€😀".repeat(20_000))];
    assert!(call(&socket, "echo", args.clone()).await == args);
    socket.disconnect().await.unwrap();
}

async fn namespaces_share_a_connection(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let chat = socket.of("/chat");
    within("the other namespace", chat.connect()).await.unwrap();
    let mut said = [events(&socket, "said"), events(&chat, "said")];
    for round in 0..3 {
        socket.emit("say", ("main", round)).await.unwrap();
        chat.emit("say", ("chat", round)).await.unwrap();
    }
    for round in 0..3 {
        assert_eq!(
            next(&mut said[0]).await[..2],
            values(json!(["main", round]))
        );
        assert_eq!(
            next(&mut said[1]).await[..2],
            values(json!(["chat", round]))
        );
    }
    // Leaving the one does not end the other.
    chat.disconnect().await.unwrap();
    assert!(!chat.is_connected() && socket.is_connected());
    assert_eq!(
        call(&socket, "echo", values(json!([1]))).await,
        values(json!([1]))
    );
    within("the other namespace again", chat.connect())
        .await
        .unwrap();
    assert_eq!(
        call(&chat, "echo", values(json!([2]))).await,
        values(json!([2]))
    );
    socket.disconnect().await.unwrap();
    chat.disconnect().await.unwrap();
}

async fn the_root_comes_and_goes(server: &Server, way: Way) {
    // An `auth` that takes its time: servers of revision 4 do not wait for it.
    let client = server.client(way, "/chat").auth_with(|| async {
        sleep(Duration::from_millis(20)).await;
        json!({})
    });
    let chat = within("a connection", client.connect()).await.unwrap();
    let root = chat.of("/");
    for round in 0..3 {
        within("the root", root.connect()).await.unwrap();
        let args = values(json!([round]));
        assert_eq!(call(&root, "echo", args.clone()).await, args);
        root.disconnect().await.unwrap();
        assert!(chat.is_connected());
    }
    chat.disconnect().await.unwrap();
}

async fn refusal_carries_its_data(server: &Server, way: Way) {
    let wrong = server
        .client(way, "/private")
        .auth(json!({ "token": "wrong" }));
    let failure = within("a refusal", wrong.connect()).await.unwrap_err();
    let data = json!({ "code": 401, "hint": "say the token" });
    match (server.revision, failure) {
        (Revision::V3, ConnectFailure::Refused { data: Some(it), .. }) => assert_eq!(it, data),
        (
            _,
            ConnectFailure::Refused {
                message, data: it, ..
            },
        ) => {
            assert_eq!((message.as_str(), it), ("not authorized", Some(data)));
        }
        (_, other) => panic!("{other}"),
    }
    if server.revision == Revision::V4 {
        let right = server
            .client(way, "/private")
            .auth(json!({ "token": "kokanee" }));
        let socket = within("connected", right.connect()).await.unwrap();
        assert_eq!(
            call(&socket, "echo", values(json!(["in"]))).await,
            values(json!(["in"]))
        );
        socket.disconnect().await.unwrap();
    }
}

async fn handshake_carries_what_was_set(server: &Server, way: Way) {
    let client = server
        .client(way, "/")
        .auth_with(async || json!({ "fresh": [1, 2] }))
        .query("room", "a b&c=ü")
        .header("x-test", "one");
    let socket = within("connected", client.connect()).await.unwrap();
    let handshake = call(&socket, "handshake", vec![]).await.remove(0);
    if server.revision == Revision::V4 {
        assert_eq!(
            handshake.get("auth"),
            Some(&Value::from(json!({ "fresh": [1, 2] })))
        );
    }
    let headers = handshake.get("headers").unwrap();
    assert_eq!(headers.get("x-test").and_then(Value::as_str), Some("one"));
    let room = handshake
        .get("query")
        .unwrap()
        .get("room")
        .and_then(Value::as_str);
    // The Python server shows the query as it came.
    assert!(
        matches!(
            room,
            Some("a b&c=ü" | "a+b%26c%3D%C3%BC" | "a%20b%26c%3D%C3%BC")
        ),
        "{room:?}"
    );
    socket.disconnect().await.unwrap();
}

async fn server_ends_a_namespace(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let (sender, mut reasons) = mpsc::unbounded_channel();
    socket.on_disconnect(move |reason: DisconnectReason| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(reason.to_string());
        }
    });
    socket.emit("disconnect me", false).await.unwrap();
    let reason = within("the end", reasons.recv()).await.unwrap();
    assert_eq!(reason, "io server disconnect");
    // The server has said so: no reconnection.
    assert!(!socket.is_connected());
    within("connected again", socket.connect()).await.unwrap();
    assert_eq!(
        call(&socket, "echo", values(json!([1]))).await,
        values(json!([1]))
    );
    socket.disconnect().await.unwrap();
}

async fn disconnected_socket_connects_again(server: &Server, way: Way) {
    let socket = server.connect(way).await;
    let first = socket.id();
    for _ in 0..3 {
        socket.disconnect().await.unwrap();
        assert!(!socket.is_connected());
        within("connected again", socket.connect()).await.unwrap();
        assert_eq!(
            call(&socket, "echo", values(json!([1]))).await,
            values(json!([1]))
        );
    }
    assert_ne!(socket.id(), first);
    socket.disconnect().await.unwrap();
}
