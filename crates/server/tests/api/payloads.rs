//! Payloads both ways: typed, untyped, binary at any depth.

use bytes::Bytes;
use kokanee_server::{Ack, Args, Data, EmitError, Server, Socket, Value};
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut sender = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start_with(io).await;
    let mut client = Client::connect(&server).await;
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
