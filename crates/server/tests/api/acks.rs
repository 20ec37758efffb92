//! Acknowledgements, both ways: every wait ends exactly once, and nothing is left behind.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kokanee_server::{Ack, AckError, EmitError, RemoteError, Server, Socket, SocketId, State};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    journal::{Journal, journaling},
    support::{Client, LIMIT, TestServer, eventually, within},
};

async fn connect(server: &TestServer) -> (Client, Socket) {
    let (client, id) = Client::connect_to(server, "/", None).await;
    let id = id.parse::<SocketId>().expect("an id");
    (client, server.io.of("/").socket(id).expect("a socket"))
}

async fn server() -> TestServer {
    TestServer::start(Server::builder()).await
}

// Those we owe.

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_acknowledged_once() {
    let io = Server::new();
    io.on("event", async |ack: Ack, socket: Socket| {
        ack.send("first")?;
        assert!(matches!(
            ack.send("second"),
            Err(EmitError::AlreadyAcknowledged)
        ));
        socket.emit("end", ()).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("event", json!([])).await,
        json!(["first"])
    );
    client.expect_event("end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_may_be_kept_and_sent_by_another_task() {
    let io = Server::new();
    io.on("event", async |ack: Ack| {
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            ack.send((1, "two"))
        });
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("event", json!([])).await,
        json!([1, "two"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_for_a_socket_that_has_left_is_an_error() {
    let (sender, receiver) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let io = Server::new();
    io.on("event", move |ack: Ack| {
        let sender = sender.lock().expect("no panic").take().expect("one event");
        async move { drop(sender.send(ack)) }
    });
    let server = TestServer::start_with(io).await;
    let (mut client, socket) = connect(&server).await;
    client.websocket().send("421[\"event\"]").await;
    let ack = within("the event", receiver).await.expect("handled");
    client.close().await;
    eventually("it has left", || !socket.is_connected()).await;
    assert!(matches!(ack.send(1), Err(EmitError::Disconnected)));
    assert!(matches!(
        socket.emit("late", 1).await,
        Err(EmitError::Disconnected)
    ));
}

// Those that clients owe us.

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_awaited_in_its_type() {
    let server = server().await;
    let (mut client, socket) = connect(&server).await;
    let asking = tokio::spawn(async move {
        let one: String = socket.emit_with_ack("one", 1).await?;
        let two: (u32, String) = socket.emit_with_ack("two", (1, 2)).await?;
        let none: Option<u32> = socket.emit_with_ack("none", ()).await?;
        let raw = socket.emit_with_ack::<()>("raw", ()).args().await?;
        let unfit = socket.emit_with_ack::<u32>("unfit", ()).await;
        assert!(matches!(unfit, Err(AckError::Decode(_))), "{unfit:?}");
        Ok::<_, AckError>((one, two, none, raw.len()))
    });
    for answer in [
        json!(["a", "ignored"]),
        json!([7, "b"]),
        json!([]),
        json!([1, 2, 3]),
        json!(["x"]),
    ] {
        let event = client.event().await;
        client.ack(&event, answer).await;
    }
    let answers = within("the answers", asking)
        .await
        .expect("no panic")
        .expect("answers");
    assert_eq!(answers, ("a".to_owned(), (7, "b".to_owned()), None, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_wait_for_its_own_clients_answer() {
    let io = Server::new();
    io.on("add", async |socket: Socket, ack: Ack| {
        let first: i64 = socket.emit_with_ack("number", 1).await?;
        let second: i64 = socket.emit_with_ack("number", 2).await?;
        ack.send(first + second).map_err(AckError::from)
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.websocket().send("425[\"add\"]").await;
    for number in [20, 22] {
        let event = client.event().await;
        client.ack(&event, json!([number])).await;
    }
    let ack = client.receive(|packet| packet.kind == '3').await;
    assert_eq!((ack.id, ack.data), (Some(5), json!([42])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_timeout() {
    let server = server().await;
    let (mut client, socket) = connect(&server).await;
    let start = Instant::now();
    let answer = socket
        .emit_with_ack::<()>("ask", ())
        .timeout(Duration::from_millis(100))
        .await;
    assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(start.elapsed() < LIMIT);
    client.expect_event("ask").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_does_not_wait_for_an_answer_for_ever() {
    let (builder, _, mut entries) = journaling();
    let io = builder
        .with_limits(|limits| limits.ack_timeout = Duration::from_millis(100))
        .build();
    io.on("ask me", async |socket: Socket, journal: State<Journal>| {
        let answer = socket.emit_with_ack::<()>("question", ()).await;
        journal.note(format!("{answer:?}"));
    });
    let server = TestServer::start_with(io).await;
    let (mut client, socket) = connect(&server).await;
    client.emit("ask me", json!([])).await;
    assert_eq!(entries.next().await, "Err(Timeout)");
    // Elsewhere nobody is held up by the wait.
    let waits = socket.emit_with_ack::<()>("question", ()).args();
    let waited = tokio::time::timeout(Duration::from_millis(400), waits).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_double_and_unasked_answers_are_ignored() {
    let server = server().await;
    let (mut client, socket) = connect(&server).await;
    let late = socket
        .emit_with_ack::<u32>("late", ())
        .timeout(Duration::from_millis(20))
        .await;
    assert!(matches!(late, Err(AckError::Timeout)), "{late:?}");
    let late = client.event().await;
    client.ack(&late, json!([1])).await;
    client.websocket().send("43999999[1]").await;

    let asking = tokio::spawn(async move { socket.emit_with_ack::<u32>("ask", ()).await });
    let event = client.event().await;
    client.ack(&event, json!([2])).await;
    client.ack(&event, json!([3])).await;
    assert_eq!(
        within("the answer", asking)
            .await
            .expect("no panic")
            .expect("an answer"),
        2
    );
    assert_eq!(server.io.session_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_socket_cannot_answer_for_the_one_that_was_asked() {
    let server = server().await;
    let (mut asked, socket) = connect(&server).await;
    let (mut other, _) = connect(&server).await;
    let asking = tokio::spawn(async move { socket.emit_with_ack::<String>("ask", ()).await });
    let event = asked.event().await;
    other.ack(&event, json!(["false"])).await;
    other.close().await;
    asked.ack(&event, json!(["true"])).await;
    assert_eq!(
        within("the answer", asking)
            .await
            .expect("no panic")
            .expect("an answer"),
        "true"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_socket_leaves() {
    let server = server().await;
    let (mut client, socket) = connect(&server).await;
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.emit_with_ack::<()>("ask", ()).await }
    });
    client.expect_event("ask").await;
    client.leave("/").await;
    let answer = within("the end of the wait", asking)
        .await
        .expect("no panic");
    assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
    let answer = socket.emit_with_ack::<()>("ask", ()).await;
    assert!(
        matches!(answer, Err(AckError::Emit(EmitError::Disconnected))),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_connection_breaks() {
    let server = server().await;
    let (mut client, socket) = connect(&server).await;
    let asking = tokio::spawn(async move {
        let waits = (0..100).map(|_| socket.emit_with_ack::<()>("ask", ()).args());
        join_all(waits).await
    });
    client.expect_event("ask").await;
    drop(client);
    let answers = within("the end of the waits", asking)
        .await
        .expect("no panic");
    assert_eq!(answers.len(), 100);
    for answer in answers {
        assert!(matches!(answer, Err(AckError::Disconnected)), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_owes_a_limited_number_of_answers() {
    let io = Server::builder()
        .with_limits(|limits| limits.max_pending_acks = 3)
        .build();
    let server = TestServer::start_with(io).await;
    let (mut client, socket) = connect(&server).await;
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move {
            let waits = (0..3).map(|_| socket.emit_with_ack::<u32>("ask", ()).args());
            join_all(waits).await
        }
    });
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(client.event().await);
    }
    let one_more = socket.emit_with_ack::<u32>("ask", ()).await;
    assert!(
        matches!(one_more, Err(AckError::TooManyPending { max: 3 })),
        "{one_more:?}"
    );
    for event in &asked {
        client.ack(event, json!([1])).await;
    }
    let answers = within("the answers", asking).await.expect("no panic");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_waits_that_timed_out_leave_nothing_behind() {
    // The limit shows it: a single entry that stays would make the last of a later batch fail.
    let io = Server::builder()
        .with_limits(|limits| limits.max_pending_acks = 100)
        .build();
    let server = TestServer::start_with(io).await;
    let (mut client, socket) = connect(&server).await;
    let reading = tokio::spawn(async move {
        for _ in 0..10_000 {
            client.expect_event("ask").await;
        }
        client
    });
    for _ in 0..100 {
        let waits = (0..100).map(|_| {
            socket
                .emit_with_ack::<()>("ask", ())
                .timeout(Duration::from_millis(1))
                .args()
        });
        for answer in join_all(waits).await {
            assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
        }
    }
    within("every question", reading).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let io = Server::builder()
        .with_limits(|limits| limits.max_pending_acks = 10)
        .build();
    let server = TestServer::start_with(io).await;
    let (_client, socket) = connect(&server).await;
    for _ in 0..100 {
        let wait = socket.emit_with_ack::<()>("ask", ()).args();
        let given_up = tokio::time::timeout(Duration::ZERO, wait).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
}

// Those that the recipients of a broadcast owe us.

/// A server with `count` clients in a room.
async fn crowd(
    count: usize,
    change: impl FnOnce(&mut kokanee_server::Limits),
) -> (TestServer, Vec<Client>) {
    let io = Server::builder().with_limits(change).build();
    io.on_connect(async |socket: Socket| socket.join("room"));
    let server = TestServer::start_with(io).await;
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::connect(&server).await);
    }
    let root = server.io.of("/");
    eventually("all have joined", || {
        root.rooms() == [("room".to_owned(), count)]
    })
    .await;
    (server, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_collects_the_answers_of_all() {
    let (server, mut clients) = crowd(5, |_| {}).await;
    let io = server.io.clone();
    let asking =
        tokio::spawn(async move { io.to("room").emit_with_ack::<usize>("ask", "all").await });
    for (number, client) in clients.iter_mut().enumerate() {
        let event = client.event().await;
        assert_eq!((event.name(), event.args()), ("ask", &[json!("all")][..]));
        client.ack(&event, json!([number])).await;
    }
    let mut answers = within("the answers", asking)
        .await
        .expect("no panic")
        .expect("answers");
    answers.answers.sort_unstable();
    assert_eq!(
        (answers.answers, answers.complete),
        (vec![0, 1, 2, 3, 4], true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_returns_what_has_come_in_time() {
    let (server, mut clients) = crowd(3, |_| {}).await;
    let io = server.io.clone();
    let asking = tokio::spawn(async move {
        let timeout = Duration::from_millis(500);
        io.to("room")
            .timeout(timeout)
            .emit_with_ack::<String>("ask", ())
            .await
    });
    let start = Instant::now();
    let event = clients[1].event().await;
    clients[1].ack(&event, json!(["here"])).await;
    let answers = within("the answers", asking)
        .await
        .expect("no panic")
        .expect("answers");
    assert_eq!(
        (answers.answers, answers.complete),
        (vec!["here".to_owned()], false)
    );
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "the others had their time"
    );
    // Too late, and nobody minds.
    let event = clients[0].event().await;
    clients[0].ack(&event, json!(["late"])).await;
    assert_eq!(server.io.session_count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_does_not_wait_for_a_client_that_has_gone() {
    let (server, mut clients) = crowd(3, |limits| limits.ack_timeout = LIMIT * 100).await;
    let io = server.io.clone();
    let asking = tokio::spawn(async move { io.to("room").emit_with_ack::<u32>("ask", ()).await });
    let gone = clients.remove(0);
    let mut left = clients.remove(0);
    left.expect_event("ask").await;
    left.leave("/").await;
    drop(gone);
    let event = clients[0].event().await;
    clients[0].ack(&event, json!([7])).await;
    let answers = within("the answers", asking)
        .await
        .expect("no panic")
        .expect("answers");
    assert_eq!((answers.answers, answers.complete), (vec![7], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_to_nobody_ends_at_once() {
    let server = server().await;
    let asking = server
        .io
        .to("nobody")
        .timeout(LIMIT * 100)
        .emit_with_ack::<u32>("ask", ());
    let answers = within("the end", asking).await.expect("answers");
    assert_eq!((answers.answers, answers.complete), (vec![], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_among_the_answers_to_a_broadcast_are_listed_apart() {
    let (server, mut clients) = crowd(3, |_| {}).await;
    let io = server.io.clone();
    let asking = tokio::spawn(async move { io.to("room").emit_with_ack::<u32>("ask", ()).await });
    let refusal = json!([{ "error": { "code": "busy", "message": "ask again" } }]);
    for (client, answer) in clients
        .iter_mut()
        .zip([refusal, json!([7]), json!(["text"])])
    {
        let event = client.event().await;
        client.ack(&event, answer).await;
    }
    let answers = within("the answers", asking)
        .await
        .expect("no panic")
        .expect("answers");
    assert_eq!((answers.answers, answers.complete), (vec![7], true));
    let errors = &answers.errors;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(
        |error| matches!(error, AckError::Remote(remote) if remote.to_string() == "ask again (busy)")
    ));
    assert!(
        errors
            .iter()
            .any(|error| matches!(error, AckError::Decode(_)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_with_an_error_is_an_error_with_code_message_and_data() {
    let (builder, journal, mut entries) = journaling();
    let io = builder.build();
    io.on(
        "go",
        async |socket: Socket, State(journal): State<Journal>| {
            let answer = socket.emit_with_ack::<u32>("ask", ()).await;
            match answer {
                Err(AckError::Remote(RemoteError {
                    code,
                    message,
                    data,
                    ..
                })) => {
                    let data = data.expect("data");
                    journal.note(format!("{code}, {message}, {data}"));
                }
                other => journal.note(format!("{other:?}")),
            }
            let raw = socket.emit_with_ack::<u32>("ask", ()).args().await?;
            journal.note(raw.json());
            Ok::<_, AckError>(())
        },
    );
    drop(journal);
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("go", json!([])).await;
    let refusal = json!([{ "error": { "code": "busy", "message": "ask again", "data": [1] } }]);
    for _ in 0..2 {
        let event = client.event().await;
        client.ack(&event, refusal.clone()).await;
    }
    assert_eq!(
        entries.take(2).await,
        ["busy, ask again, [1]".to_owned(), refusal[0].to_string(),]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_whose_recipient_can_take_no_more_is_not_complete() {
    let (server, mut clients) = crowd(2, |limits| limits.max_pending_acks = 1).await;
    let first = server.io.fetch_sockets().await.remove(0);
    let asking = tokio::spawn(async move { first.emit_with_ack::<u32>("busy", ()).await });
    let root = server.io.of("/");
    let _busy = {
        let (one, two) = clients.split_at_mut(1);
        tokio::select! { event = one[0].event() => event, event = two[0].event() => event }
    };
    let answers = root
        .timeout(Duration::from_millis(50))
        .emit_with_ack::<u32>("ask", ())
        .await;
    let answers = answers.expect("answers");
    assert!(!answers.complete, "one was not even asked");
    asking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcasts_wait_that_is_given_up_leaves_nothing_behind() {
    let (server, clients) = crowd(2, |limits| limits.max_pending_acks = 10).await;
    for _ in 0..100 {
        let wait = server.io.to("room").emit_with_ack::<u32>("ask", ());
        let given_up = tokio::time::timeout(Duration::ZERO, wait).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    for _ in 0..20 {
        let wait = server
            .io
            .to("room")
            .timeout(Duration::ZERO)
            .emit_with_ack::<u32>("ask", ());
        assert!(!wait.await.expect("answers").complete);
    }
    let socket = server.io.fetch_sockets().await.remove(0);
    let answer = socket
        .emit_with_ack::<u32>("ask", ())
        .timeout(Duration::ZERO)
        .await;
    assert!(matches!(answer, Err(AckError::Timeout)), "{answer:?}");
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_end_before_on_disconnect_runs() {
    let (builder, journal, mut entries) = journaling();
    let io = builder.build();
    let asked = journal.clone();
    io.on("start", move |socket: Socket| {
        let asked = asked.clone();
        async move {
            let answer = socket.emit_with_ack::<()>("ask", ()).await;
            asked.note(format!("{}", answer.expect_err("nobody answers")));
        }
    });
    io.on_disconnect(move |_: Socket| {
        journal.note("on_disconnect");
        async {}
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("start", json!([])).await;
    client.expect_event("ask").await;
    client.close().await;
    let entries = entries.take(2).await;
    assert_eq!(entries, ["socket has been disconnected", "on_disconnect"]);
}
