//! Connecting: when it resolves, with what it fails, namespaces, the end.

use std::time::Duration;

use kokanee_client::{
    Client, ConnectFailure, DisconnectReason, Endpoint, Failure, Socket, Transport,
};
use kokanee_server::{Auth, ConnectError, DisconnectReason as ServerReason, Handshake, Server};
use serde_json::{Value, json};

use crate::{
    raw::{OPEN, Raw},
    support::{LIMIT, accepted, echo_server, journal, serve, within},
};

#[tokio::test]
async fn connect_resolves_when_the_namespace_has_accepted() {
    let io = echo_server();
    let address = serve(&io, 0).await;
    for transports in [
        vec![Transport::WebSocket],
        vec![Transport::Polling],
        vec![Transport::Polling, Transport::WebSocket],
    ] {
        let socket = Client::builder(&format!("http://{address}"))
            .transports(transports.clone())
            .connect();
        let socket = accepted(socket).await;
        assert!(socket.is_connected());
        assert_eq!(socket.id().map(|id| id.len()), Some(20));
        assert_eq!(socket.namespace(), "/");
        let answer: String = within("an answer", async {
            socket.emit_with_ack("echo", "hi").await.expect("answered")
        })
        .await;
        assert_eq!(answer, "hi");
        within("the disconnection", socket.disconnect())
            .await
            .expect("all has left");
        assert!(!socket.is_connected());
    }
}

#[tokio::test]
async fn a_refusal_comes_with_its_data() {
    let io = Server::new();
    io.of("/admin").middleware(async |Auth(auth): Auth<Value>| {
        if auth["token"] == "secret" {
            Ok(())
        } else {
            Err(ConnectError::new("not authorized").data(json!({"code": 401})))
        }
    });
    let address = serve(&io, 0).await;
    let url = format!("http://{address}/admin");
    let failure = within("a refusal", Client::connect(&url)).await;
    let Err(ConnectFailure::Refused { message, data, .. }) = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(
        (message.as_str(), data),
        ("not authorized", Some(json!({"code": 401})))
    );
    let socket = Client::builder(&url)
        .auth(json!({"token": "secret"}))
        .connect();
    assert!(within("acceptance", socket).await.is_ok());
    let socket = Client::builder(&url)
        .auth_with(|| async { json!({"token": "secret"}) })
        .connect();
    assert!(within("acceptance", socket).await.is_ok());
}

#[tokio::test]
async fn an_unknown_namespace_is_refused() {
    let io = Server::new();
    let address = serve(&io, 0).await;
    let failure = within(
        "a refusal",
        Client::connect(&format!("http://{address}/nowhere")),
    )
    .await;
    assert_eq!(
        failure.expect_err("refused").to_string(),
        "refused by the server: Invalid namespace"
    );
}

#[tokio::test]
async fn namespaces_share_a_connection() {
    let io = echo_server();
    io.of("/chat")
        .on("name", async |ack: kokanee_server::Ack| ack.send("chat"));
    let (note, mut ended) = journal();
    io.on_disconnect(move |reason: ServerReason| {
        note(reason.to_string());
        async {}
    });
    let address = serve(&io, 0).await;
    let root = within("/", Client::connect(&format!("http://{address}")))
        .await
        .expect("accepted");
    let chat = root.of("/chat");
    within("/chat", chat.connect()).await.expect("accepted");
    assert_eq!(io.session_count(), 1);
    let name: String = within("an answer", async {
        chat.emit_with_ack("name", ()).await.expect("answered")
    })
    .await;
    assert_eq!(name, "chat");
    within("the end of /chat", chat.disconnect())
        .await
        .expect("all has left");
    assert!(root.is_connected());
    let echo: i64 = within("an answer", async {
        root.emit_with_ack("echo", 7).await.expect("answered")
    })
    .await;
    assert_eq!(echo, 7);
    within("the end", root.disconnect())
        .await
        .expect("all has left");
    assert_eq!(ended.next().await, "client namespace disconnect");
}

#[tokio::test]
async fn a_namespace_has_one_socket() {
    let io = echo_server();
    let (note, mut joined) = journal();
    io.of("/chat").on_connect(move || {
        note(());
        async {}
    });
    let address = serve(&io, 0).await;
    let root = within("/", Client::connect(&format!("http://{address}")))
        .await
        .expect("accepted");
    let chat = root.of("/chat");
    within("/chat", chat.connect()).await.expect("accepted");
    joined.next().await;
    let same = root.of("chat");
    assert!(same.is_connected(), "the same socket");
    within("/chat", same.connect()).await.expect("it is there");
    assert!(joined.is_empty(), "it was joined once");
    assert_eq!(root.of("/").id(), root.id());
    // Left and forgotten, it can be joined anew, any number of times.
    within("the end", same.disconnect())
        .await
        .expect("all has left");
    assert!(!chat.is_connected() && !chat.is_active());
    drop((chat, same));
    for _ in 0..3 {
        let chat = root.of("/chat");
        within("/chat", chat.connect()).await.expect("accepted");
        joined.next().await;
        within("the end", chat.disconnect())
            .await
            .expect("all has left");
    }
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection() {
    let io = echo_server();
    let (note, mut ended) = journal();
    io.on_disconnect(move |reason: ServerReason| {
        note(reason.to_string());
        async {}
    });
    let address = serve(&io, 0).await;
    let socket = within(
        "the connection",
        Client::connect(&format!("http://{address}")),
    )
    .await
    .expect("accepted");
    let copy = socket.clone();
    drop(socket);
    assert!(copy.is_connected());
    drop(copy);
    assert_eq!(ended.next().await, "client namespace disconnect");
}

#[tokio::test]
async fn handlers_of_the_life_cycle_are_called() {
    let io = echo_server();
    io.on("bye", async |socket: kokanee_server::Socket| {
        socket.disconnect();
    });
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_connect(move |socket: Socket| {
        noted(format!("connect {}", socket.is_connected()));
        async {}
    });
    socket.on_disconnect(move |reason: DisconnectReason| {
        note(format!("disconnect {reason}"));
        async {}
    });
    accepted(socket.connect()).await;
    assert_eq!(seen.next().await, "connect true");
    within("the end", socket.disconnect())
        .await
        .expect("all has left");
    assert_eq!(seen.next().await, "disconnect io client disconnect");
    accepted(socket.connect()).await;
    assert_eq!(seen.next().await, "connect true");
    socket.emit("bye", ()).await.expect("sent");
    assert_eq!(seen.next().await, "disconnect io server disconnect");
    assert!(!socket.is_connected());
}

#[tokio::test]
async fn connect_errors_are_told_to_handlers_too() {
    let socket = Client::builder("http://127.0.0.1:1")
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    socket.on_connect_error(move |failure: Failure| {
        note(failure.to_string());
        async {}
    });
    let failure = within("a failure", socket.connect())
        .await
        .expect_err("nobody listens");
    assert_eq!(seen.next().await, failure.to_string());
    assert!(
        matches!(failure, ConnectFailure::Unreachable { .. }),
        "{failure}"
    );
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    const KEY: &str = "secret key";
    let raw = Raw::start().await;
    let address = raw.url().replace("http://", "");
    let builder = |url: &str| {
        Client::builder(url)
            .transports([Transport::WebSocket])
            .query("token", "secret")
            .header("X-Token", "secret")
            .auth(json!({"token": "secret"}))
            .client_certificate("secret certificate", KEY)
    };
    let with_proxy = builder("http://host").proxy("http://me:secret@proxy");
    let mut printed = vec![format!("{with_proxy:?}")];
    let behind_proxy = with_proxy.build().expect("usable options");
    printed.push(format!("{behind_proxy:?}"));
    let builder = builder(&format!("http://me:secret@{address}?from=secret"));
    printed.push(format!("{builder:?}"));
    let script = async {
        let mut wire = raw.accept().await;
        let head = wire.upgrade().await;
        assert!(head.contains("x-token: secret") && head.contains("from=secret"));
        wire.text(&OPEN.replace("\"sid\":\"", "\"sid\":\"secret"))
            .await;
        wire.next().await;
        wire.text(r#"40{"sid":"secret-id","pid":"secret-pid"}"#)
            .await;
        wire.text(r#"42["x","secret-offset"]"#).await;
        wire
    };
    let simple = within(
        "the connection",
        kokanee_client::SimpleClient::with(builder),
    );
    let (simple, _wire) = tokio::join!(simple, script);
    let mut simple = simple.expect("accepted");
    let received = within("an event", simple.receive(LIMIT)).await;
    assert_eq!(received.expect("an event").name(), "x");
    let emit = simple.socket().emit("x", "secret");
    let asking = simple.socket().emit_with_ack::<()>("x", "secret");
    let events = simple.socket().events();
    printed.push(format!(
        "{simple:?} {:?} {emit:?} {asking:?} {events:?}",
        simple.socket()
    ));
    let printed = printed.join(" ");
    // Bytes are printed as numbers.
    let key = format!("{:?}", KEY.as_bytes());
    let base64 = "bWU6c2VjcmV0";
    for secret in ["secret", base64, key.trim_matches(['[', ']'])] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    assert!(printed.contains("Core") && printed.contains("ClientBuilder"));
}

#[tokio::test]
async fn url_and_headers_may_be_others_for_each_connection() {
    let io = Server::new();
    let (note, mut seen) = journal();
    io.on_connect(move |handshake: Handshake| {
        note((
            handshake.query("round").unwrap_or_default(),
            handshake.header("x-token").unwrap_or_default().to_owned(),
        ));
        async {}
    });
    let address = serve(&io, 0).await;
    let rounds = std::sync::atomic::AtomicU32::new(0);
    let socket = Client::builder("http://no.such.host.invalid")
        .header("X-Token", "none")
        .reconnection_delay(Duration::ZERO)
        .endpoint_with(move || {
            let round = rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move {
                Ok(Endpoint {
                    url: Some(format!("http://{address}?round={round}")),
                    headers: Some(vec![("X-Token".to_owned(), format!("t{round}"))]),
                })
            }
        })
        .connect();
    let socket = accepted(socket).await;
    assert_eq!(seen.next().await, ("0".into(), "t0".to_owned()));
    let sid = socket.session_id();
    assert!(sid.is_some());
    socket.reconnect();
    assert_eq!(seen.next().await, ("1".into(), "t1".to_owned()));
    socket.connected().await.expect("connected again");
    assert_ne!(socket.session_id(), sid);
    socket.upgraded().await;
    assert!(!socket.is_upgrading());
    assert_eq!(socket.transport(), Some(Transport::WebSocket));
}

#[tokio::test]
async fn an_endpoint_that_fails_is_the_failure_of_the_attempt() {
    let builder = Client::builder("http://localhost");
    let failure = builder
        .endpoint_with(async || Err("no token".into()))
        .connect();
    let failure = failure.await.expect_err("no endpoint").to_string();
    assert_eq!(failure, "invalid option endpoint: no token");
}

#[tokio::test]
async fn query_and_headers_reach_the_server() {
    let io = Server::new();
    let (note, mut seen) = journal();
    io.on_connect(move |handshake: Handshake| {
        note((
            handshake.query("room").unwrap_or_default(),
            handshake.query("from").unwrap_or_default(),
            handshake.header("x-token").unwrap_or_default().to_owned(),
        ));
        async {}
    });
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}?from=url"))
        .query("room", "a b")
        .header("X-Token", "t")
        .connect();
    let _socket = accepted(socket).await;
    assert_eq!(
        seen.next().await,
        ("a b".into(), "url".into(), "t".to_owned())
    );
}
