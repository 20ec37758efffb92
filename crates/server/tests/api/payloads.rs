//! Payloads both ways: typed, untyped, binary at any depth.

use bytes::Bytes;
use kokanee_server::{
    Ack, AckError, Args, Auth, ConnectError, Data, EmitError, EncodeError, EventName, Server,
    Socket, Value,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{Client, TestServer, within};

#[derive(Debug, Serialize, Deserialize)]
struct File {
    name: String,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    offset: u32,
    data: Bytes,
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_inside_a_struct_are_binary_both_ways() {
    let io = Server::new();
    io.on(
        "upload",
        async |socket: Socket, Data(mut file): Data<File>| {
            file.name.make_ascii_uppercase();
            file.parts.reverse();
            socket.emit("uploaded", file).await
        },
    );
    let (_server, mut client) = TestServer::with_client(io).await;
    let file = json!([{ "name": "map", "parts": [
        { "offset": 0, "data": { "_placeholder": true, "num": 0 } },
        { "offset": 3, "data": { "_placeholder": true, "num": 1 } },
    ]}]);
    client
        .emit_binary("upload", file, &[b"\x00\x01\x02", b"\xff"])
        .await;
    let event = client.event().await;
    assert_eq!(
        event.data,
        json!(["uploaded", { "name": "MAP", "parts": [
            { "offset": 3, "data": { "_placeholder": true, "num": 0 } },
            { "offset": 0, "data": { "_placeholder": true, "num": 1 } },
        ]}])
    );
    assert_eq!(
        event.attachments,
        [b"\xff".to_vec(), b"\x00\x01\x02".to_vec()]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_may_be_binary() {
    let io = Server::new();
    io.on("download", async |Data(data): Data<Bytes>, ack: Ack| {
        ack.send((data.len(), data))
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let websocket = client.websocket();
    websocket
        .send("451-7[\"download\",{\"_placeholder\":true,\"num\":0}]")
        .await;
    websocket.send_binary(b"\x01\x02\x03\x04").await;
    let ack = client.receive(|packet| packet.kind == '3').await;
    assert_eq!(ack.id, Some(7));
    assert_eq!(ack.data, json!([4, { "_placeholder": true, "num": 0 }]));
    assert_eq!(ack.attachments, [b"\x01\x02\x03\x04"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_may_acknowledge_with_bytes() {
    let io = Server::new();
    io.on("ask", async |socket: Socket, ack: Ack| {
        tokio::spawn(async move {
            let data: Bytes = socket.emit_with_ack("give", ()).await.expect("an answer");
            ack.send(data.len())
        });
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.websocket().send("429[\"ask\"]").await;
    let id = client.event().await.id.expect("it wants an answer");
    client
        .websocket()
        .send(&format!("461-{id}[{{\"_placeholder\":true,\"num\":0}}]"))
        .await;
    client.websocket().send_binary(&[9; 300]).await;
    let ack = client.receive(|packet| packet.kind == '3').await;
    assert_eq!((ack.id, ack.data), (Some(9), json!([300])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_any_argument() {
    let io = Server::new();
    io.on("echo", async |Data(value): Data<Value>, socket: Socket| {
        socket.emit("echo", value).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    for value in [
        json!(true),
        json!(-7),
        json!(1.5),
        json!("text \u{1f41f} \" \\ \n"),
        json!([1, [2, [3]]]),
        json!({ "b": 1, "a": { "c": [] } }),
        json!(18_446_744_073_709_551_615_u64),
    ] {
        client.emit("echo", json!([value])).await;
        assert_eq!(client.expect_event("echo").await, [value]);
    }
    let nested = json!([{ "deep": [{ "_placeholder": true, "num": 0 }] }]);
    client.emit_binary("echo", nested.clone(), &[b"fish"]).await;
    let event = client.event().await;
    assert_eq!(event.args(), nested.as_array().expect("an array"));
    assert_eq!(event.attachments, [b"fish"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_value_is_one_argument() {
    let io = Server::new();
    io.on("echo", async |Data(value): Data<Value>, ack: Ack| {
        ack.send(value)
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("echo", json!([null])).await,
        json!([null])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn args_are_sent_on_as_they_came() {
    let io = Server::new();
    io.on("relay", async |socket: Socket, args: Args| {
        socket.broadcast().emit_args("relayed", &args).await
    });
    let (server, mut sender) = TestServer::with_client(io).await;
    let mut other = Client::connect(&server).await;
    let args = json!([1.0, "two", { "_placeholder": true, "num": 0 }]);
    sender.emit_binary("relay", args.clone(), &[b"three"]).await;
    let event = other.event().await;
    assert_eq!(
        (event.name(), event.args()),
        ("relayed", args.as_array().expect("an array").as_slice())
    );
    assert_eq!(event.attachments, [b"three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tuple_is_several_arguments_and_an_array_is_one() {
    let io = Server::new();
    io.on("send", async |socket: Socket| {
        socket.emit("none", ()).await?;
        socket.emit("one", "text").await?;
        socket.emit("two", (1, "two")).await?;
        socket.emit("array", [1, 2]).await?;
        socket.emit("vec", vec![1, 2]).await?;
        socket.emit("nested", ((1, 2), [3])).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("send", json!([])).await;
    assert_eq!(
        client.expect_event("none").await,
        [] as [serde_json::Value; 0]
    );
    assert_eq!(client.expect_event("one").await, ["text"]);
    assert_eq!(client.expect_event("two").await, [json!(1), json!("two")]);
    assert_eq!(client.expect_event("array").await, [json!([1, 2])]);
    assert_eq!(client.expect_event("vec").await, [json!([1, 2])]);
    assert_eq!(
        client.expect_event("nested").await,
        [json!([1, 2]), json!([3])]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_encoded_is_an_error_and_nothing_is_sent() {
    struct Bad;
    impl Serialize for Bad {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("cannot"))
        }
    }
    let io = Server::new();
    io.on("try", async |socket: Socket, ack: Ack| {
        assert!(matches!(
            socket.emit("bad", Bad).await,
            Err(EmitError::Encode(_))
        ));
        assert!(matches!(
            socket.broadcast().emit("bad", Bad).await,
            Err(EmitError::Encode(_))
        ));
        assert!(
            matches!(socket.emit("connect", 1).await, Err(EmitError::Encode(_))),
            "reserved"
        );
        assert!(matches!(ack.send(Bad), Err(EmitError::Encode(_))));
        // The failed answer was none.
        ack.send("good")
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    assert_eq!(
        client.emit_with_ack("try", json!([])).await,
        json!(["good"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_payload_passes_both_ways() {
    let io = Server::new();
    io.on("echo", async |Data(data): Data<String>, ack: Ack| {
        ack.send(data)
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    let text = "\u{1f41f}x".repeat(150_000);
    let answer = within("the echo", client.emit_with_ack("echo", json!([text]))).await;
    assert_eq!(answer[0].as_str(), Some(text.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volatile_event_is_for_a_client_that_can_take_it() {
    let io = Server::new();
    io.on_connect(async |socket: Socket| {
        socket.emit_volatile("volatile", 1)?;
        socket.emit_uncompressed("lasting", 2).await
    });
    let server = TestServer::start_with(io).await;
    let mut polling = server.open_polling().await;
    // No GET is pending while the POST is handled.
    let joined = polling.join().await;
    assert!(joined.ends_with("\"}\u{1e}42[\"lasting\",2]"), "{joined}");
    let socket = server.io.fetch_sockets().await.remove(0);
    polling.begin_poll().await;
    // The GET is certainly pending when something has come of it.
    socket.emit("wait", ()).await.expect("sent");
    assert_eq!(polling.answer().await.text(), "42[\"wait\"]");
    let mut websocket = Client::connect(&server).await;
    websocket.expect_event("lasting").await;
    let sockets = server.io.fetch_sockets().await;
    for socket in sockets {
        socket
            .emit_volatile("volatile", 3)
            .expect("sent, or passed by");
    }
    assert_eq!(websocket.expect_event("volatile").await, [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_surrogate_pair_is_a_replacement_character_for_whoever_reads_it() {
    #[derive(Debug, Deserialize, Serialize)]
    struct Note {
        text: String,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, Value>,
    }
    let io = Server::new();
    io.on("string", async |Data(text): Data<String>, ack: Ack| {
        ack.send(text)
    });
    io.on("note", async |Data(note): Data<Note>, ack: Ack| {
        ack.send(note)
    });
    io.on("value", async |Data(value): Data<Value>, ack: Ack| {
        ack.send(value)
    });
    io.on("a\u{fffd}", async |EventName(name): EventName, ack: Ack| {
        ack.send(name.as_str())
    });
    io.on("ask", async |socket: Socket, ack: Ack| {
        tokio::spawn(async move {
            let answer: (String, f64) = socket.emit_with_ack("?", ()).await.expect("an answer");
            ack.send((answer.0, answer.1 == f64::INFINITY))
        });
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    for (packet, answer) in [
        (r#"["string","hi \ud83d"]"#, json!(["hi \u{fffd}"])),
        (r#"["string","\ude00\ud83d"]"#, json!(["\u{fffd}\u{fffd}"])),
        (
            r#"["note",{"text":"\udead","\ud83d":"\ud83d\ude00\ud83d","n":1e400}]"#,
            json!([{"text": "\u{fffd}", "\u{fffd}": "😀\u{fffd}", "n": null}]),
        ),
        (r#"["value",["\ud83d"]]"#, json!([["\u{fffd}"]])),
        (r#"["a\ud83d"]"#, json!(["a\u{fffd}"])),
    ] {
        client.websocket().send(&format!("421{packet}")).await;
        let ack = client.receive(|packet| packet.kind == '3').await;
        assert_eq!(ack.data, answer, "{packet}");
    }
    // In the client's own acknowledgement.
    client.websocket().send(r#"422["ask"]"#).await;
    let question = client.event().await;
    let id = question.id.expect("an answer is wanted");
    client
        .websocket()
        .send(&format!(r#"43{id}["\ud83d",1e400]"#))
        .await;
    let ack = client.receive(|packet| packet.kind == '3').await;
    assert_eq!(ack.data, json!(["\u{fffd}", true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_may_hold_whatever_json_can() {
    let io = Server::new();
    io.middleware(async |Auth(auth): Auth<Value>| {
        Err::<(), _>(ConnectError::new("as read").data(auth))
    });
    let server = TestServer::start_with(io).await;
    let mut client = Client::open(&server).await;
    client
        .websocket()
        .send(r#"40{"token":"x\ud83d","\ude00":[1e400,-1e400,1e-400]}"#)
        .await;
    let refusal = client.receive(|packet| packet.kind == '4').await;
    assert_eq!(
        refusal.data["data"],
        json!({"token": "x\u{fffd}", "\u{fffd}": [null, null, 0.0]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_beyond_a_double_is_infinite_or_null_by_type() {
    let io = Server::new();
    io.on("float", async |Data(number): Data<f64>, ack: Ack| {
        // What is sent for infinity is null.
        ack.send((number, number.to_string()))
    });
    io.on("value", async |Data(number): Data<Value>, ack: Ack| {
        ack.send(number)
    });
    io.on("integer", async |Data(_): Data<u64>, ack: Ack| ack.send(()));
    let (_server, mut client) = TestServer::with_client(io).await;
    let long = "9".repeat(400);
    for (packet, answer) in [
        (r#"["float",1e400]"#.to_owned(), json!([null, "inf"])),
        (r#"["float",-1e400]"#.to_owned(), json!([null, "-inf"])),
        (r#"["float",1e-400]"#.to_owned(), json!([0.0, "0"])),
        (format!(r#"["float",{long}]"#), json!([null, "inf"])),
        (r#"["value",1e400]"#.to_owned(), json!([null])),
        (format!(r#"["value",[{long}]]"#), json!([[null]])),
        (
            r#"["value",18446744073709551616]"#.to_owned(),
            json!([18_446_744_073_709_551_616.0]),
        ),
        (
            r#"["integer",1e400]"#.to_owned(),
            json!([{"error": {"code": "invalid_payload", "message":
                "invalid payload: invalid type: floating point `inf`, expected u64"}}]),
        ),
    ] {
        client.websocket().send(&format!("421{packet}")).await;
        let ack = client.receive(|packet| packet.kind == '3').await;
        assert_eq!(ack.data, answer, "{packet}");
    }
}

/// As many bytes as there are, one by one.
fn attachments(count: u8) -> Vec<Bytes> {
    (0..count)
        .map(|byte| Bytes::copy_from_slice(&[byte]))
        .collect()
}

const ELEVEN: &str = "11 binary values, but `max_outbound_attachments` allows 10 in one packet";

#[track_caller]
fn is_refused(error: &EmitError) {
    assert_eq!(error.to_string(), ELEVEN);
    let EmitError::Encode(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        *error,
        EncodeError::TooManyAttachments { count: 11, max: 10 }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_attachments_than_javascript_takes_are_an_error_and_nothing_is_sent() {
    let io = Server::new();
    io.on("go", async |socket: Socket, ack: Ack| {
        let (ten, eleven) = (attachments(10), attachments(11));
        is_refused(&socket.emit("many", &eleven).await.unwrap_err());
        is_refused(&socket.emit_volatile("many", &eleven).unwrap_err());
        let args = Args::from_serialize(&(&eleven,)).expect("arguments");
        is_refused(&socket.emit_args("many", &args).await.unwrap_err());
        let answer = socket.emit_with_ack::<()>("many", &eleven).await;
        assert!(matches!(answer, Err(AckError::Emit(error)) if error.to_string() == ELEVEN));
        // All who are there, or nobody.
        let nobody = socket.namespace().to("an empty room");
        is_refused(&nobody.clone().emit("many", &eleven).await.unwrap_err());
        is_refused(
            &nobody
                .emit_with_backpressure("many", &eleven)
                .await
                .unwrap_err(),
        );
        let all = socket.namespace().to(socket.id());
        is_refused(&all.clone().emit("many", &eleven).await.unwrap_err());
        is_refused(&all.clone().emit_args("many", &args).await.unwrap_err());
        let answers = all.emit_with_ack::<()>("many", &eleven).await;
        assert!(matches!(answers, Err(AckError::Emit(error)) if error.to_string() == ELEVEN));
        // The acknowledgement is still owed.
        is_refused(&ack.send(&eleven).unwrap_err());
        is_refused(&ack.send_args(&args).unwrap_err());
        ack.send(&ten)?;
        socket.emit("many", ten).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.websocket().send("421[\"go\"]").await;
    let ack = client.receive(|packet| packet.kind == '3').await;
    assert_eq!(ack.attachments.len(), 10, "{ack:?}");
    assert_eq!(client.event().await.attachments.len(), 10);

    let io = Server::builder()
        .with_limits(|limits| limits.max_outbound_attachments = 300)
        .build();
    io.on("go", async |socket: Socket| {
        socket.emit("many", attachments(200)).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("go", json!([])).await;
    assert_eq!(client.event().await.attachments.len(), 200);
}
