//! Broadcasts: whom they reach, in which order, and in which encoding.

use bytes::Bytes;
use kokanee_engineio::Message;
use kokanee_server::{Ack, Args, Data, EmitError, Event, ParserKind, Recipients, Server, Socket};
use kokanee_socketio::{AckId, Decoder, DecoderLimits, Packet, encode_connect, encode_event};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::support::{Client, Http, Polling, TestServer, WebSocket};

/// A server whose event `join` puts the socket in rooms.
async fn server() -> TestServer {
    let io = Server::new();
    io.on(
        "join",
        async |socket: Socket, Data(rooms): Data<Vec<String>>, ack: Ack| {
            socket.join(rooms).expect("rooms");
            ack.send(())
        },
    );
    TestServer::start_with(io).await
}

async fn member(server: &TestServer, rooms: &[&str]) -> (Client, Socket) {
    let (mut client, id) = Client::connect_to(server, "/", None).await;
    client.emit_with_ack("join", json!([rooms])).await;
    let id = id.parse::<kokanee_server::SocketId>().expect("an id");
    let socket = server.io.of("/").socket(id).expect("a socket");
    (client, socket)
}

/// The events of one client up to `end`, which the test broadcasts to everybody at its end.
async fn events(client: &mut Client) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let event = client.event().await;
        if event.name() == "end" {
            return names;
        }
        names.push(event.name().to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_and_except_select_whom_it_is_for() {
    let server = server().await;
    let (mut a, _) = member(&server, &["a"]).await;
    let (mut ab, _) = member(&server, &["a", "b"]).await;
    let (mut b, _) = member(&server, &["b"]).await;
    let (mut nowhere, _) = member(&server, &[]).await;
    let io = &server.io;
    io.emit("all", ()).await.expect("sent");
    io.to("a").emit("to a", ()).await.expect("sent");
    io.within("b").emit("within b", ()).await.expect("sent");
    io.except("a").emit("not a", ()).await.expect("sent");
    io.to("a")
        .except("b")
        .emit("a, not b", ())
        .await
        .expect("sent");
    io.except(["a", "b"])
        .emit("neither", ())
        .await
        .expect("sent");
    io.to("nobody").emit("nobody", ()).await.expect("sent");
    io.emit("end", ()).await.expect("sent");
    assert_eq!(events(&mut a).await, ["all", "to a", "a, not b"]);
    assert_eq!(events(&mut ab).await, ["all", "to a", "within b"]);
    assert_eq!(events(&mut b).await, ["all", "within b", "not a"]);
    assert_eq!(events(&mut nowhere).await, ["all", "not a", "neither"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_in_several_rooms_gets_a_broadcast_once() {
    let server = server().await;
    let (mut client, socket) = member(&server, &["a", "b", "c"]).await;
    let io = &server.io;
    io.to(["a", "b"]).emit("one call", ()).await.expect("sent");
    io.to("a")
        .to("b")
        .within("c")
        .emit("three calls", ())
        .await
        .expect("sent");
    io.to("a")
        .to(socket.id())
        .emit("its own room", ())
        .await
        .expect("sent");
    io.emit("end", ()).await.expect("sent");
    assert_eq!(
        events(&mut client).await,
        ["one call", "three calls", "its own room"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sockets_broadcast_leaves_out_itself() {
    let server = server().await;
    let (mut sender, socket) = member(&server, &["a"]).await;
    let (mut other, _) = member(&server, &["a"]).await;
    let (mut outside, _) = member(&server, &["b"]).await;
    socket
        .broadcast()
        .emit("broadcast", ())
        .await
        .expect("sent");
    socket.to("a").emit("to a", ()).await.expect("sent");
    socket
        .within(["a", "b"])
        .emit("within both", ())
        .await
        .expect("sent");
    socket.except("b").emit("except b", ()).await.expect("sent");
    socket.emit("itself", ()).await.expect("sent");
    server.io.emit("end", ()).await.expect("sent");
    assert_eq!(events(&mut sender).await, ["itself"]);
    assert_eq!(
        events(&mut other).await,
        ["broadcast", "to a", "within both", "except b"]
    );
    assert_eq!(events(&mut outside).await, ["broadcast", "within both"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_be_used_again() {
    let server = server().await;
    let (mut a, _) = member(&server, &["a"]).await;
    let (mut b, _) = member(&server, &["b"]).await;
    let to_a = server.io.to("a");
    to_a.clone().emit("first", ()).await.expect("sent");
    to_a.clone().to("b").emit("both", ()).await.expect("sent");
    to_a.emit("second", ()).await.expect("sent");
    server.io.emit("end", ()).await.expect("sent");
    assert_eq!(events(&mut a).await, ["first", "both", "second"]);
    assert_eq!(events(&mut b).await, ["both"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_broadcasts_reach_the_sockets_of_this_node() {
    let server = server().await;
    let (mut client, _) = member(&server, &["a"]).await;
    server
        .io
        .of("/")
        .local()
        .to("a")
        .emit("local", 1)
        .await
        .expect("sent");
    assert_eq!(client.expect_event("local").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volatile_broadcast_passes_by_who_cannot_take_it() {
    let server = server().await;
    let (mut ready, _) = member(&server, &[]).await;
    let mut busy = server.open_polling().await;
    busy.join().await;
    let root = server.io.of("/");
    root.volatile().emit("volatile", 1).await.expect("sent");
    root.emit("lasting", 2).await.expect("sent");
    assert_eq!(ready.expect_event("volatile").await, [1]);
    assert_eq!(ready.expect_event("lasting").await, [2]);
    // No GET was pending: only what is not volatile was kept.
    assert_eq!(busy.poll().await, "42[\"lasting\",2]");
}

#[tokio::test(flavor = "multi_thread")]
async fn compress_decides_about_the_answer_of_a_poll() {
    let server = server().await;
    let mut polling = server.open_polling().await;
    polling.join().await;
    let mut http = Http::connect(server.address).await;
    let text = "x".repeat(5000);
    let get = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
        polling.target
    );
    server
        .io
        .of("/")
        .local()
        .compress(false)
        .emit("plain", &text)
        .await
        .expect("sent");
    http.send(&get).await;
    let response = http.response().await;
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(response.text(), format!("42[\"plain\",\"{text}\"]"));
    server
        .io
        .of("/")
        .local()
        .compress(true)
        .emit("small", &text)
        .await
        .expect("sent");
    http.send(&get).await;
    let response = http.response().await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert!(response.body.len() < 500, "{} bytes", response.body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broadcasts_of_one_task_arrive_in_order_everywhere() {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(member(&server, &["room"]).await.0);
    }
    let io = server.io.clone();
    let sender = tokio::spawn(async move {
        for number in 0..1000 {
            io.to("room").emit("count", number).await.expect("sent");
        }
    });
    for client in &mut clients {
        for number in 0..1000 {
            assert_eq!(client.expect_event("count").await, [number]);
        }
    }
    sender.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broadcasts_of_several_tasks_lose_nothing() {
    let server = server().await;
    let (mut one, _) = member(&server, &["room"]).await;
    let (mut two, _) = member(&server, &["room"]).await;
    for task in 0..4 {
        let io = server.io.clone();
        tokio::spawn(async move {
            for number in 0..250 {
                io.to("room")
                    .emit("count", (task, number))
                    .await
                    .expect("sent");
            }
        });
    }
    for client in [&mut one, &mut two] {
        let mut next = [0; 4];
        for _ in 0..1000 {
            let event = client.expect_event("count").await;
            let task = usize::try_from(event[0].as_u64().expect("a task")).expect("small");
            assert_eq!(event[1], next[task], "each task's own are in order");
            next[task] += 1;
        }
        assert_eq!(next, [250; 4]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_and_direct_events_of_one_task_are_in_order() {
    let server = server().await;
    let (mut client, socket) = member(&server, &["room"]).await;
    for number in 0..50 {
        socket.emit("event", number * 3).await.expect("sent");
        server
            .io
            .to("room")
            .emit("event", number * 3 + 1)
            .await
            .expect("sent");
        server.io.emit("event", number * 3 + 2).await.expect("sent");
    }
    for number in 0..150 {
        assert_eq!(client.expect_event("event").await, [number]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_broadcast_and_its_own_answer_are_in_order() {
    let io = Server::new();
    io.on("go", async |socket: Socket| {
        socket.emit("1", ()).await?;
        socket.namespace().emit("2", ()).await?;
        tokio::task::yield_now().await;
        socket.emit("3", ()).await?;
        socket.namespace().emit("4", ()).await?;
        socket.emit("end", ()).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("go", json!([])).await;
    assert_eq!(events(&mut client).await, ["1", "2", "3", "4"]);
}

/// A WebSocket client of the msgpack parser.
struct MsgpackClient {
    websocket: WebSocket,
    decoder: Decoder,
}

impl MsgpackClient {
    async fn connect(server: &TestServer) -> Self {
        let (mut websocket, _) = server.open_websocket().await;
        let Message::Binary(connect) = encode_connect("/", None).msgpack().message() else {
            panic!("a msgpack packet is binary");
        };
        websocket.send_binary(&connect).await;
        let decoder = Decoder::new(ParserKind::Msgpack, DecoderLimits::default());
        let mut client = Self { websocket, decoder };
        let reply = client.packet().await;
        assert!(matches!(reply, Packet::Connect { .. }), "{reply:?}");
        client
    }

    async fn emit<T: Serialize + ?Sized>(&mut self, id: Option<AckId>, event: &str, args: &T) {
        let packet = encode_event("/", id, event, args).expect("a packet");
        let Message::Binary(packet) = packet.msgpack().message() else {
            panic!("a msgpack packet is binary");
        };
        self.websocket.send_binary(&packet).await;
    }

    /// The arguments of the next packet, whichever it is.
    async fn args<T: DeserializeOwned>(&mut self) -> T {
        let args = match self.packet().await {
            Packet::Event { event, .. } => event.into_args(),
            Packet::Ack { args, .. } => args,
            other => panic!("{other:?} has no arguments"),
        };
        args.deserialize().expect("they fit")
    }

    async fn packet(&mut self) -> Packet {
        let message = Message::Binary(Bytes::from(self.websocket.binary().await));
        self.decoder
            .decode(message)
            .expect("a packet")
            .expect("a whole one")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_broadcast_reaches_every_transport_and_parser_at_once() {
    let server = TestServer::start(Server::builder().parser(ParserKind::Both)).await;
    let mut polling = Polling::open(server.address, "EIO=4").await;
    polling.join().await;
    polling.begin_poll().await;
    let mut websocket = Client::connect(&server).await;
    let mut msgpack = MsgpackClient::connect(&server).await;
    let data = Bytes::from_static(b"\x00\x01\xfe\xff");
    server
        .io
        .emit("file", ("map", data.clone()))
        .await
        .expect("sent");

    let response = polling.answer().await;
    let placeholder = "{\"_placeholder\":true,\"num\":0}";
    let expected = format!("451-[\"file\",\"map\",{placeholder}]\u{1e}bAAH+/w==");
    assert_eq!(response.text(), expected);

    let event = websocket.event().await;
    assert_eq!(
        event.data,
        json!(["file", "map", { "_placeholder": true, "num": 0 }])
    );
    assert_eq!(event.attachments, [&data[..]]);

    let Packet::Event { event, .. } = msgpack.packet().await else {
        panic!("an event")
    };
    assert_eq!(event.name(), "file");
    let (name, bytes): (String, Bytes) = event.args().deserialize().expect("they fit");
    assert_eq!((name.as_str(), bytes), ("map", data));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_binary_values_passes_between_clients_of_the_msgpack_parser() {
    let io = Server::builder().parser(ParserKind::Both).build();
    io.on("echo", async |socket: Socket, args: Args| {
        socket.emit_args("echo", &args).await
    });
    io.on("ask", async |args: Args, ack: Ack| ack.send_args(&args));
    io.on(
        "send",
        async |socket: Socket, Data((room, parts)): Data<(String, Vec<Bytes>)>, ack: Ack| {
            let sent = socket.namespace().to(room).emit("many", parts).await;
            ack.send(sent.map_err(|error| error.to_string()).err())
        },
    );
    io.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room)
    });
    let server = TestServer::start_with(io).await;
    let mut msgpack = MsgpackClient::connect(&server).await;
    let fifty = vec![Bytes::from_static(b"x"); 50];
    msgpack.emit(None, "echo", &(&fifty, 1)).await;
    assert_eq!(msgpack.args::<(Vec<Bytes>, u8)>().await, (fifty.clone(), 1));
    msgpack.emit(Some(AckId(7)), "ask", &(&fifty, 2)).await;
    assert_eq!(msgpack.args::<(Vec<Bytes>, u8)>().await, (fifty.clone(), 2));
    // To rooms: one that both are in, and one of its own.
    for room in ["both", "msgpack"] {
        msgpack.emit(None, "join", room).await;
    }
    let mut default = Client::connect(&server).await;
    default.emit("join", json!(["both"])).await;
    default.emit_with_ack("ask", json!([])).await;
    let send = async |msgpack: &mut MsgpackClient, room: &str, parts: &[Bytes]| {
        msgpack.emit(Some(AckId(8)), "send", &(room, parts)).await;
    };
    send(&mut msgpack, "msgpack", &fifty).await;
    assert_eq!(msgpack.args::<Vec<Bytes>>().await, fifty);
    assert_eq!(msgpack.args::<Option<String>>().await, None);
    send(&mut msgpack, "both", &fifty).await;
    let error = "50 binary values, but `max_outbound_attachments` allows 10 in one packet";
    assert_eq!(msgpack.args::<String>().await, error);
    // It was sent to nobody: what comes next is this.
    send(&mut msgpack, "both", &fifty[..10]).await;
    assert_eq!(msgpack.args::<Vec<Bytes>>().await, fifty[..10]);
    assert_eq!(default.event().await.attachments.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_says_how_many_it_was_for() {
    let server = server().await;
    let (mut one, socket) = member(&server, &["a", "b"]).await;
    let (mut two, _) = member(&server, &["b"]).await;
    let io = &server.io;
    let args = Args::from_serialize(&1).expect("it can be encoded");
    let count = |sent: Result<Recipients, EmitError>| sent.expect("sent").count();
    assert_eq!(count(io.emit("x", 1).await), 2);
    assert_eq!(count(io.to(["a", "b"]).emit("x", 1).await), 2, "each once");
    assert_eq!(count(io.to("nobody").emit("x", 1).await), 0);
    assert_eq!(count(io.to("b").emit_args("x", &args).await), 2);
    assert_eq!(count(io.to("a").emit_with_backpressure("x", 1).await), 1);
    assert_eq!(count(socket.broadcast().emit("x", 1).await), 1);
    assert_eq!(count(socket.to("a").emit("x", 1).await), 0);
    assert_eq!(count(io.volatile().emit("x", 1).await), 2);
    for client in [&mut one, &mut two] {
        client.emit_with_ack("join", json!([["c"]])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_end_with_a_broadcast() {
    let io = Server::new();
    io.on("all", async |socket: Socket| {
        socket.server().emit("heard", ()).await
    });
    let (_server, mut client) = TestServer::with_client(io).await;
    client.emit("all", json!([])).await;
    client.expect_event("heard").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_event_is_answered_by_all() {
    #[derive(Serialize, Deserialize)]
    struct Double(u32);
    impl Event for Double {
        const NAME: &'static str = "double";
        type Ack = u32;
    }
    let server = server().await;
    let (mut one, _) = member(&server, &["a"]).await;
    let (mut two, _) = member(&server, &[]).await;
    for (operator, count) in [(server.io.to("a"), 1), (server.io.local(), 2)] {
        let asking = tokio::spawn(async move { operator.emit_typed_with_ack(&Double(21)).await });
        for client in [&mut one, &mut two].into_iter().take(count) {
            let asked = client.event().await;
            assert_eq!(asked.name(), "double");
            client.ack(&asked, json!([42])).await;
        }
        let answers = asking.await.expect("no panic").expect("answered");
        assert_eq!(answers.answers, vec![42; count]);
        assert_eq!(answers.recipients.count(), count);
        assert!(answers.complete);
    }
}
