//! Events and acknowledgements, both ways.

use std::{future::IntoFuture as _, time::Duration};

use bytes::Bytes;
use kokanee_client::{
    Ack, AckError, Args, Client, ClientError, Data, EmitError, EncodeError, EventErrorKind,
    EventName, ParserKind, SimpleClient, Socket, Transport,
};
use kokanee_engineio::Message;
use kokanee_server::{Server, Socket as Peer};
use kokanee_socketio::{Decoder, DecoderLimits, Packet};
use serde_json::{Value, json};

use crate::support::{accepted, add_echo, echo_server, journal, serve, within};

async fn connect(io: &Server) -> Socket {
    let address = serve(io, 0).await;
    within(
        "the connection",
        Client::connect(&format!("http://{address}")),
    )
    .await
    .expect("accepted")
}

#[tokio::test]
async fn events_come_in_order_while_handlers_wait() {
    let socket = connect(&echo_server()).await;
    let (note, mut seen) = journal();
    socket.on("echo", move |Data(number): Data<u64>| {
        let note = note.clone();
        async move {
            if number % 3 == 0 {
                tokio::task::yield_now().await;
            }
            note(number);
        }
    });
    for number in 0..100_u64 {
        socket.emit("echo", number).await.expect("sent");
    }
    for number in 0..100 {
        assert_eq!(seen.next().await, number);
    }
}

#[tokio::test]
async fn binary_travels_at_any_depth_with_both_parsers() {
    for parser in [ParserKind::Default, ParserKind::Msgpack] {
        let io = Server::builder().parser(parser).build();
        add_echo(&io);
        let address = serve(&io, 0).await;
        for transports in [vec![Transport::Polling], vec![Transport::WebSocket]] {
            let socket = Client::builder(&format!("http://{address}"))
                .parser(parser)
                .transports(transports)
                .connect();
            let socket = accepted(socket).await;
            let bytes = Bytes::from(vec![0, 255, 7]);
            let (text, inner): (String, Vec<Bytes>) = within("an answer", async {
                socket
                    .emit_with_ack("echo", ("x", vec![bytes.clone(), Bytes::new()]))
                    .await
                    .expect("answered")
            })
            .await;
            assert_eq!((text.as_str(), inner), ("x", vec![bytes, Bytes::new()]));
        }
    }
}

#[tokio::test]
async fn the_server_can_ask_for_an_answer() {
    let io = Server::new();
    let socket = connect(&io).await;
    socket.on("sum", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| {
        ack.send(a + b)
    });
    socket.on("wrong", async |Data(_): Data<i64>, ack: Ack| ack.send(0));
    let peer = io.fetch_sockets().await.remove(0);
    let sum: i64 = within("an answer", async {
        peer.emit_with_ack("sum", (20, 22)).await.expect("answered")
    })
    .await;
    assert_eq!(sum, 42);
    let error = within("an answer", async {
        peer.emit_with_ack::<i64>("wrong", "text").await
    })
    .await;
    let Err(AckError::Remote(error)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.code, "invalid_payload");
}

#[tokio::test]
async fn answers_that_do_not_come_end_with_the_time_or_the_connection() {
    let io = Server::new();
    io.on("silence", async || {});
    let socket = connect(&io).await;
    let none = socket
        .emit_with_ack::<()>("silence", ())
        .timeout(Duration::from_millis(50));
    let error = within("the end of the time", none.args()).await;
    assert!(matches!(error, Err(AckError::Timeout)), "{error:?}");
    let pending = tokio::spawn(socket.emit_with_ack::<()>("silence", ()).args());
    within("the server's view", async {
        while io.fetch_sockets().await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The event is on its way before the connection ends.
    let _: Result<(), _> = within("a round trip", async {
        socket
            .emit_with_ack::<()>("silence", ())
            .timeout(Duration::from_millis(50))
            .await
    })
    .await;
    within("the end", socket.disconnect())
        .await
        .expect("all has left");
    let error = within("the end of the wait", pending)
        .await
        .expect("no panic");
    assert!(matches!(error, Err(AckError::Disconnected)), "{error:?}");
}

#[tokio::test]
async fn once_any_and_off() {
    let socket = connect(&echo_server()).await;
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.once("echo", move |Data(text): Data<String>| {
        noted(format!("once {text}"));
        async {}
    });
    let noted = note.clone();
    socket.on_any(move |EventName(name): EventName| {
        noted(format!("any {name}"));
        async {}
    });
    let noted = note.clone();
    socket.on_any_outgoing(move |event| noted(format!("out {}", event.name())));
    let noted = note.clone();
    socket.on("echo", move || {
        noted("removed before it is called".to_owned());
        async {}
    });
    socket.off("echo");
    let noted = note.clone();
    socket.once("echo", move |Data(text): Data<String>| {
        noted(format!("once {text}"));
        async {}
    });
    socket.emit("echo", "a").await.expect("sent");
    assert_eq!(seen.next().await, "out echo");
    assert_eq!(seen.next().await, "any echo");
    assert_eq!(seen.next().await, "once a");
    socket.emit("echo", "b").await.expect("sent");
    assert_eq!(seen.next().await, "out echo");
    assert_eq!(seen.next().await, "any echo");
    let _: Value = within("a round trip", async {
        socket.emit_with_ack("echo", 1).await.expect("answered")
    })
    .await;
    assert_eq!(seen.next().await, "out echo");
    assert!(seen.is_empty(), "once is once");
}

#[tokio::test]
async fn the_fallback_gets_what_nobody_else_wants() {
    let socket = connect(&echo_server()).await;
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_fallback(
        move |EventName(name): EventName, Data(text): Data<String>| {
            noted(format!("{name} {text}"));
            async {}
        },
    );
    socket.emit("echo", "first").await.expect("sent");
    assert_eq!(seen.next().await, "echo first");
    socket.once("echo", move |Data(text): Data<String>| {
        note(format!("once {text}"));
        async {}
    });
    socket.emit("echo", "second").await.expect("sent");
    assert_eq!(seen.next().await, "once second");
    socket.emit("echo", "third").await.expect("sent");
    assert_eq!(seen.next().await, "echo third");
}

#[tokio::test]
async fn what_is_sent_before_the_connection_leaves_with_it() {
    let io = echo_server();
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .send_buffer_bytes(1000)
        .build()
        .expect("usable options");
    let (note, mut seen) = journal();
    socket.on("echo", move |Data(number): Data<u64>| {
        note(number);
        async {}
    });
    for number in 0..5_u64 {
        socket.emit("echo", number).await.expect("kept");
    }
    socket.emit_volatile("echo", 99).expect("dropped");
    let full = socket.emit("echo", "x".repeat(2000)).await;
    assert!(
        matches!(full, Err(EmitError::BufferFull { max: 1000 })),
        "{full:?}"
    );
    accepted(socket.connect()).await;
    for number in 0..5 {
        assert_eq!(seen.next().await, number);
    }
    assert!(seen.is_empty());
}

#[tokio::test]
async fn events_can_be_read_as_a_stream() {
    let socket = connect(&echo_server()).await;
    let mut events = socket.events();
    let sender = socket.clone();
    let sending = tokio::spawn(async move {
        for number in 0..2000_u64 {
            sender.emit("echo", number).await.expect("sent");
        }
    });
    for number in 0..2000_u64 {
        let received = within("an event", events.next())
            .await
            .expect("the client lives");
        assert_eq!(received.event.name(), "echo");
        assert_eq!(
            received
                .event
                .args()
                .deserialize::<u64>()
                .expect("a number"),
            number
        );
    }
    sending.await.expect("no panic");
}

#[tokio::test]
async fn a_panic_costs_one_event_alone() {
    let socket = connect(&echo_server()).await;
    let (note, mut seen) = journal();
    let noted = note.clone();
    socket.on_error(move |_, error| noted(error.to_string()));
    socket.on("echo", move |Data(text): Data<String>| {
        assert!(text != "bad", "no good");
        note(text);
        async {}
    });
    for text in ["bad", "good"] {
        socket.emit("echo", text).await.expect("sent");
    }
    assert_eq!(
        seen.next().await,
        r#"event "echo": handler panicked: no good"#
    );
    assert_eq!(seen.next().await, "good");
}

/// A server whose handlers refuse, and which asks its client for what it refuses.
fn refusing_server(note: impl Fn(String) + Clone + Send + Sync + 'static) -> Server {
    let io = Server::new();
    io.on("delete", async || {
        Err::<(), _>(
            ClientError::new("not yours")
                .code("forbidden")
                .data(json!({ "owner": "bob" })),
        )
    });
    io.on("break", async || Err::<(), _>("password=hunter2"));
    io.on("double", async |Data(number): Data<i64>, ack: Ack| {
        ack.send(2 * number)
    });
    io.on("ask", move |peer: Peer, Data(event): Data<String>| {
        let note = note.clone();
        async move {
            let answer: Result<i64, _> = peer.emit_with_ack(&event, "text").await;
            note(answer.expect_err("it refuses").to_string());
        }
    });
    io
}

fn is_refused<T: std::fmt::Debug>(answer: Result<T, AckError>) {
    let Err(AckError::Remote(error)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((&*error.code, &*error.message), ("forbidden", "not yours"));
    let data: Value = error.data_as().expect("data");
    assert_eq!(data, json!({ "owner": "bob" }));
}

#[tokio::test]
async fn what_a_handler_of_the_server_refuses_is_an_error_that_can_be_read() {
    let address = serve(&refusing_server(|_| {}), 0).await;
    let url = format!("http://{address}");
    let socket = accepted(Client::connect(&url)).await;
    let asked = socket.emit_with_ack::<i64>("delete", 1).into_future();
    is_refused(within("the answer", asked).await);
    // Whatever is expected, an error is one.
    let asked = socket.emit_with_ack::<Value>("delete", 1).into_future();
    is_refused(within("the answer", asked).await);
    let raw = within("the answer", socket.emit_with_ack::<()>("delete", 1).args()).await;
    let raw = raw.expect("raw arguments stay raw");
    assert!(raw.json().starts_with(r#"{"error":{"#), "{}", raw.json());

    let asked = socket.emit_with_ack::<i64>("break", 1).into_future();
    let error = within("the answer", asked)
        .await
        .expect_err("it has failed");
    assert_eq!(error.to_string(), "internal error (internal)");
    let asked = socket.emit_with_ack::<i64>("double", "two").into_future();
    let answer = within("the answer", asked).await;
    let Err(AckError::Remote(error)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(error.code, "invalid_payload");

    let simple = accepted(SimpleClient::connect(&url)).await;
    is_refused(within("the answer", simple.call::<i64>("delete", 1)).await);
    let blocking = tokio::task::spawn_blocking(move || {
        let socket = kokanee_client::blocking::Client::connect(&url).expect("accepted");
        is_refused(socket.emit_with_ack::<i64>("delete", 1).wait());
        let simple = kokanee_client::blocking::SimpleClient::connect(&url).expect("accepted");
        is_refused(simple.call::<i64>("delete", 1));
    });
    within("the answers", blocking).await.expect("no panic");
}

#[tokio::test]
async fn what_a_handler_of_the_client_refuses_is_an_error_of_the_server() {
    let (note, mut answers) = journal();
    let io = refusing_server(note);
    io.of("/chat")
        .on("start", async |peer: Peer| peer.emit("fail", ()).await);
    let address = serve(&io, 0).await;
    let (note, mut errors) = journal();
    let socket = Client::builder(&format!("http://{address}"))
        .on("refuse", async || {
            Err::<(), _>(ClientError::new("busy").code("busy"))
        })
        .on("fail", async || Err::<(), _>("a secret"))
        .on("number", async |Data(number): Data<i64>, ack: Ack| {
            ack.send(number)
        })
        .on_error(move |socket, error| {
            let kind = matches!(error.kind(), EventErrorKind::Extract(_));
            note((
                socket.namespace().to_owned(),
                error.event().to_owned(),
                kind,
            ));
        })
        .connect();
    let socket = accepted(socket).await;
    for (event, answer, is_extract) in [
        ("refuse", "busy (busy)", false),
        ("fail", "internal error (internal)", false),
        ("number", "invalid_payload", true),
    ] {
        socket.emit("ask", event).await.expect("sent");
        let answered = answers.next().await;
        assert!(answered.contains(answer), "{answered}");
        assert_eq!(
            errors.next().await,
            ("/".to_owned(), event.to_owned(), is_extract)
        );
    }
    // Each namespace has its own.
    let chat = socket.of("/chat");
    let (note, mut errors) = journal();
    chat.on("fail", async || Err::<(), _>("an error"))
        .on_error(move |socket, error| note(format!("{} {error}", socket.namespace())));
    accepted(chat.connect()).await;
    chat.emit("start", ()).await.expect("sent");
    assert_eq!(errors.next().await, r#"/chat event "fail": an error"#);
}

#[tokio::test]
async fn large_messages_go_in_pieces_of_what_the_server_takes() {
    let io = Server::builder()
        .with_limits(|limits| limits.max_message_bytes = 20_000)
        .build();
    add_echo(&io);
    let address = serve(&io, 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .transports([Transport::Polling])
        .connect();
    let socket = accepted(socket).await;
    let (note, mut seen) = journal();
    socket.on("echo", move |Data((number, _)): Data<(u64, Value)>| {
        note(number);
        async {}
    });
    for number in 0..50_u64 {
        socket
            .emit("echo", (number, json!("x".repeat(3000))))
            .await
            .expect("sent");
    }
    for number in 0..50 {
        assert_eq!(seen.next().await, number);
    }
}

/// Arguments as a peer has sent them.
fn received(args: &str) -> Args {
    let message = Message::Text(format!("30[{args}]").as_str().into());
    let mut decoder = Decoder::new(ParserKind::Default, DecoderLimits::default());
    match decoder.decode(message) {
        Ok(Some(Packet::Ack { args, .. })) => args,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn json_that_rust_types_do_not_hold_has_a_value_and_is_sent_back_as_it_came() {
    const ODD: &str = r#""hi \ud83d",-1e400,{"\ude00":[1e400]}"#;
    let io = Server::new();
    let (note, mut seen) = journal();
    io.on("go", async |socket: kokanee_server::Socket, ack: Ack| {
        socket.emit_args("odd", &received(ODD)).await?;
        ack.send_args(&received(ODD))
    });
    io.on("back", move |args: Args| {
        note(args.json().to_owned());
        std::future::ready(())
    });
    let socket = connect(&io).await;
    let (note, mut typed) = journal();
    socket.on(
        "odd",
        move |socket: Socket, args: Args, Data(all): Data<(String, f64, Value)>| {
            note(all);
            async move { socket.emit_args("back", &args).await }
        },
    );
    let answer = socket.emit_with_ack::<(String, f64, Value)>("go", ());
    let expected = (
        "hi \u{fffd}".to_owned(),
        f64::NEG_INFINITY,
        json!({"\u{fffd}": [null]}),
    );
    assert_eq!(
        within("an answer", answer.into_future())
            .await
            .expect("answered"),
        expected
    );
    assert_eq!(typed.next().await, expected);
    assert_eq!(seen.next().await, ODD);
}

#[tokio::test]
async fn more_attachments_than_javascript_takes_are_an_error_but_with_msgpack() {
    const TEXT: &str = "11 binary values, but `max_outbound_attachments` allows 10 in one packet";
    let eleven = vec![Bytes::from_static(b"x"); 11];
    let io = Server::builder()
        .with_limits(|limits| {
            limits.max_attachments = 11;
            limits.max_outbound_attachments = 11;
        })
        .build();
    add_echo(&io);
    let (note, mut refused) = journal();
    let parts = eleven.clone();
    io.on("go", async |socket: kokanee_server::Socket, ack: Ack| {
        let parts = socket.emit_with_ack::<usize>("question", ());
        tokio::spawn(async move { ack.send(parts.await.expect("answered")) });
    });
    let address = serve(&io, 0).await;
    let url = format!("http://{address}");
    let socket = within("the connection", Client::connect(&url)).await;
    let socket = socket.expect("accepted");
    socket.on("question", move |ack: Ack| {
        let error = ack.send(&parts).unwrap_err();
        note(error.to_string());
        // It is still owed.
        std::future::ready(ack.send(10))
    });
    let args = Args::from_serialize(&(&eleven,)).expect("arguments");
    for error in [
        socket.emit("echo", &eleven).await.unwrap_err(),
        socket.emit_args("echo", &args).await.unwrap_err(),
        socket.emit_volatile("echo", &eleven).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), TEXT);
        assert!(matches!(
            error,
            EmitError::Encode(EncodeError::TooManyAttachments { count: 11, max: 10 })
        ));
    }
    let answer = socket.emit_with_ack::<Value>("echo", &eleven).await;
    assert!(matches!(answer, Err(AckError::Emit(error)) if error.to_string() == TEXT));
    let answer = socket.emit_args_with_ack::<Value>("echo", &args).await;
    assert!(matches!(answer, Err(AckError::Emit(error)) if error.to_string() == TEXT));
    let asked = socket.emit_with_ack::<usize>("go", ());
    assert_eq!(
        within("an answer", asked.into_future())
            .await
            .expect("answered"),
        10
    );
    assert_eq!(refused.next().await, TEXT);

    let more = Client::builder(&url).max_outbound_attachments(11).connect();
    let more = accepted(more).await;
    let answer = more.emit_with_ack::<Vec<Bytes>>("echo", &eleven);
    assert_eq!(
        within("an answer", answer.into_future())
            .await
            .expect("answered"),
        eleven
    );

    let io = Server::builder().parser(ParserKind::Msgpack).build();
    add_echo(&io);
    let address = serve(&io, 0).await;
    let msgpack = Client::builder(&format!("http://{address}")).parser(ParserKind::Msgpack);
    let msgpack = within("the connection", msgpack.connect()).await;
    let fifty = vec![Bytes::from_static(b"x"); 50];
    let msgpack = msgpack.expect("accepted");
    let answer = msgpack.emit_with_ack::<Vec<Bytes>>("echo", &fifty);
    assert_eq!(
        within("an answer", answer.into_future())
            .await
            .expect("answered"),
        fifty
    );
}
