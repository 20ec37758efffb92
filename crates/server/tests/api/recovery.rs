//! Connection state recovery: what a client whose connection was lost gets back, and what it never gets.

use std::time::Duration;

use bytes::Bytes;
use kokanee_server::{
    BoxError, ConnectError, Data, DisconnectReason, EmitError, Extension, Namespace, Recovery,
    Server, ServerBuilder, Socket, SocketId, State,
};
use serde_json::{Value, json};

use crate::{
    journal::{Entries, Journal, journal},
    support::{Client, Polling, TestServer, WebSocket, eventually},
};

/// What a client knows of its socket.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    sid: String,
    pid: String,
    offset: Option<String>,
}

impl Known {
    /// The `auth` with which it asks for its socket.
    fn auth(&self) -> Value {
        match &self.offset {
            Some(offset) => json!({ "pid": self.pid, "offset": offset }),
            None => json!({ "pid": self.pid }),
        }
    }

    /// It has received an event with this as its last argument.
    fn note(&mut self, args: &[Value]) {
        let offset = args.last().and_then(Value::as_str);
        self.offset = Some(offset.expect("an offset").to_owned());
    }
}

/// Joins `/` on a new connection.
async fn join(server: &TestServer, auth: Option<Value>) -> (Client, Known) {
    let mut client = Client::open(server).await;
    let auth = auth.map(|auth| auth.to_string()).unwrap_or_default();
    client.websocket().send(&format!("40{auth}")).await;
    let accepted = client.receive(|packet| packet.kind == '0').await.data;
    let text = |name: &str| accepted[name].as_str().expect("a text").to_owned();
    let (sid, pid) = (text("sid"), text("pid"));
    let offset = None;
    (client, Known { sid, pid, offset })
}

/// Loses the connection of a client, and waits until the server knows.
async fn lose(server: &TestServer, client: Client, known: &Known) {
    client.into_websocket().reset();
    gone(server, known).await;
}

async fn gone(server: &TestServer, known: &Known) {
    let id: SocketId = known.sid.parse().expect("an id");
    let io = server.io.clone();
    eventually("the socket has gone", move || io.socket(id).is_none()).await;
}

/// The names of the events that came before the acceptance, which must be that of the socket that the client had.
async fn come_back(server: &TestServer, known: &mut Known) -> (Client, Vec<Vec<Value>>) {
    let (mut client, now) = join(server, Some(known.auth())).await;
    assert_eq!((&now.sid, &now.pid), (&known.sid, &known.pid), "recovered");
    let mut events = Vec::new();
    // All that it has missed came before the acceptance, and is here.
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(20), client.event()).await {
        known.note(event.args());
        let mut data = event.data.as_array().expect("an event").clone();
        data.pop();
        data.extend(event.attachments.iter().map(|bytes| json!(bytes)));
        events.push(data);
    }
    (client, events)
}

async fn comes_as_new(server: &TestServer, known: &Known) -> Client {
    let before = server.io.unrecovered_sockets();
    let (client, now) = join(server, Some(known.auth())).await;
    assert_ne!(now.sid, known.sid);
    assert_ne!(now.pid, known.pid);
    assert_eq!(server.io.unrecovered_sockets(), before + 1);
    client
}

/// A server that notes who comes and goes.
fn recovering(change: impl FnOnce(Recovery) -> Recovery) -> (ServerBuilder, Entries) {
    let (journal, entries) = journal();
    let recovery = change(Recovery::default());
    let builder = Server::builder().recovery(recovery).state(journal);
    (builder, entries)
}

fn note_sockets(io: &Namespace) {
    io.on_connect(async |socket: Socket, State(journal): State<Journal>| {
        let how = if socket.recovered() { "back" } else { "new" };
        journal.note(format!("{how} {}", socket.rooms().join(",")));
    });
    io.on_disconnect(
        async |reason: DisconnectReason, State(journal): State<Journal>| {
            journal.note(format!("gone: {reason}"));
        },
    );
    io.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room)
    });
    io.on("leave", async |socket: Socket, Data(room): Data<String>| {
        socket.leave(room);
    });
}

async fn start(change: impl FnOnce(Recovery) -> Recovery) -> (TestServer, Entries) {
    let (builder, entries) = recovering(change);
    let io = builder.build();
    note_sockets(&io);
    (TestServer::start_with(io).await, entries)
}

/// Has a client in a room, which it has joined before anything was sent.
async fn in_room(server: &TestServer, client: &mut Client, room: &str) {
    client.emit("join", json!([room])).await;
    let io = server.io.clone();
    let room = room.to_owned();
    eventually("the room has a member", move || {
        io.rooms().iter().any(|(name, _)| *name == room)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_data_and_missed_events_return_in_order() -> Result<(), BoxError> {
    struct Name(String);
    let (builder, mut entries) = recovering(|recovery| recovery);
    let io = builder.build();
    note_sockets(&io);
    io.on("name", async |socket: Socket, Data(name): Data<String>| {
        socket.insert(Name(name));
        socket.emit("named", ()).await
    });
    io.on("who?", async |socket: Socket, name: Extension<Name>| {
        socket.emit("you are", name.0.0.clone()).await
    });
    let server = TestServer::start_with(io.clone()).await;
    let (mut client, mut known) = join(&server, None).await;
    in_room(&server, &mut client, "red").await;
    client.emit("name", json!(["Ada"])).await;
    known.note(&client.expect_event("named").await);
    lose(&server, client, &known).await;

    io.emit("everybody", 1).await?;
    io.to("red")
        .emit("red", Bytes::from_static(&[1, 2]))
        .await?;
    io.to("blue").emit("blue", 3).await?;
    io.to(known.sid.parse::<SocketId>()?)
        .emit("you", (4, "four"))
        .await?;
    io.except("red").emit("not red", 5).await?;
    io.volatile().emit("volatile", 6).await?;
    io.except("blue").emit("last", 7).await?;

    let (mut client, events) = come_back(&server, &mut known).await;
    let placeholder = json!({ "_placeholder": true, "num": 0 });
    let expected = [
        vec![json!("everybody"), json!(1)],
        vec![json!("red"), placeholder, json!([1, 2])],
        vec![json!("you"), json!(4), json!("four")],
        vec![json!("last"), json!(7)],
    ];
    assert_eq!(events, expected);
    assert_eq!(
        entries.take(3).await,
        ["new ", "gone: transport error", "back red"]
    );
    // It goes on as if nothing had happened.
    io.to("red").emit("red", 8).await?;
    assert_eq!(client.expect_event("red").await[0], 8);
    client.emit("who?", json!([])).await;
    assert_eq!(client.expect_event("you are").await[0], "Ada");
    assert_eq!(io.recovered_sockets(), 1);
    assert_eq!(io.unrecovered_sockets(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_not_received_anything_comes_back() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    server.io.emit("before", ()).await?;
    let (client, mut known) = join(&server, None).await;
    lose(&server, client, &known).await;
    server.io.emit("after", ()).await?;
    let (_client, events) = come_back(&server, &mut known).await;
    assert_eq!(events, [vec![json!("after")]]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_lost_again_and_again() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (mut client, mut known) = join(&server, None).await;
    for number in 0..5 {
        lose(&server, client, &known).await;
        server.io.emit("number", number).await?;
        let (again, events) = come_back(&server, &mut known).await;
        assert_eq!(events, [vec![json!("number"), json!(number)]]);
        client = again;
    }
    assert_eq!(server.io.recovered_sockets(), 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_received_is_sent_again() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (mut client, mut known) = join(&server, None).await;
    for number in 0..10 {
        server.io.emit("number", number).await?;
    }
    for _ in 0..4 {
        known.note(&client.expect_event("number").await);
    }
    lose(&server, client, &known).await;
    let (_client, events) = come_back(&server, &mut known).await;
    let expected: Vec<_> = (4..10)
        .map(|number| vec![json!("number"), json!(number)])
        .collect();
    assert_eq!(events, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_for_one_use() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (client, known) = join(&server, None).await;
    lose(&server, client, &known).await;
    let (mut client, _) = join(&server, Some(known.auth())).await;
    client.leave("/").await;
    gone(&server, &known).await;
    comes_as_new(&server, &known).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_either_side_has_disconnected_does_not_come_back() -> Result<(), BoxError> {
    let (server, mut entries) = start(|recovery| recovery).await;
    let (mut client, known) = join(&server, None).await;
    client.leave("/").await;
    gone(&server, &known).await;
    comes_as_new(&server, &known).await;
    for closes in [false, true] {
        let (client, known) = join(&server, None).await;
        let socket = server.io.socket(known.sid.parse()?).expect("connected");
        if closes {
            socket.close_connection();
        } else {
            socket.disconnect();
        }
        gone(&server, &known).await;
        drop(client);
        comes_as_new(&server, &known).await;
    }
    let entries = entries.take(2).await;
    assert_eq!(entries, ["new ", "gone: client namespace disconnect"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_connection_gives_way_to_the_clients_new_one() -> Result<(), BoxError> {
    let (server, mut entries) = start(|recovery| recovery).await;
    let (mut dead, mut known) = join(&server, None).await;
    in_room(&server, &mut dead, "red").await;
    server.io.emit("first", ()).await?;
    known.note(&dead.expect_event("first").await);
    // Sent, and lost on its way.
    server.io.to("red").emit("second", ()).await?;
    let (mut client, events) = come_back(&server, &mut known).await;
    assert_eq!(events, [vec![json!("second")]]);
    assert_eq!(
        entries.take(3).await,
        ["new ", "gone: transport close", "back red"],
        "the end of the old connection comes first"
    );
    dead.end().await;
    server.io.to("red").emit("third", ()).await?;
    client.expect_event("third").await;
    assert_eq!(server.io.socket_count(), 1);
    assert_eq!(server.io.rooms(), [("red".to_owned(), 1)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_disconnect_ends_before_on_connect_begins() {
    let (builder, mut entries) = recovering(|recovery| recovery);
    let io = builder.build();
    io.on_connect(async |State(journal): State<Journal>| journal.note("connected"));
    io.on_disconnect(async |State(journal): State<Journal>| {
        journal.note("going");
        tokio::time::sleep(Duration::from_millis(100)).await;
        journal.note("gone");
    });
    let server = TestServer::start_with(io).await;
    let (client, mut known) = join(&server, None).await;
    lose(&server, client, &known).await;
    let (_client, _) = come_back(&server, &mut known).await;
    let entries = entries.take(4).await;
    assert_eq!(entries, ["connected", "going", "gone", "connected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn middlewares_are_skipped_unless_they_shall_run() -> Result<(), BoxError> {
    for skips in [true, false] {
        let (builder, mut entries) = recovering(|recovery| recovery.skip_middlewares(skips));
        let io = builder.build();
        io.middleware(async |socket: Socket, State(journal): State<Journal>| {
            journal.note(format!("middleware {}", socket.recovered()));
            if socket.recovered() {
                Err("banned")
            } else {
                Ok(())
            }
        });
        let server = TestServer::start_with(io).await;
        let (client, mut known) = join(&server, None).await;
        assert_eq!(entries.next().await, "middleware false");
        lose(&server, client, &known).await;
        if skips {
            come_back(&server, &mut known).await;
            assert!(entries.is_empty());
            continue;
        }
        let mut client = Client::open(&server).await;
        let refusal = client.join("/", Some(known.auth())).await;
        assert_eq!(refusal, Err(json!({ "message": "banned" })));
        assert_eq!(entries.next().await, "middleware true");
        comes_as_new(&server, &known).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_lost_while_it_comes_back_may_come_back() -> Result<(), BoxError> {
    let (builder, mut entries) = recovering(|recovery| recovery.skip_middlewares(false));
    let io = builder.build();
    io.middleware(async |socket: Socket, State(journal): State<Journal>| {
        journal.note("middleware");
        if socket.recovered() && socket.handshake().query("slow").is_some() {
            std::future::pending::<()>().await;
        }
        Ok::<_, ConnectError>(())
    });
    let server = TestServer::start_with(io).await;
    let (mut client, mut known) = join(&server, None).await;
    in_room_directly(&server, &known, "red")?;
    server.io.emit("first", ()).await?;
    known.note(&client.expect_event("first").await);
    lose(&server, client, &known).await;
    server.io.to("red").emit("second", ()).await?;
    let slow = server.address;
    let target = "/socket.io/?EIO=4&transport=websocket&slow=1";
    let mut slow = WebSocket::connect(slow, target).await;
    slow.text().await;
    slow.send(&format!("40{}", known.auth())).await;
    entries.take(2).await;
    slow.reset();
    let (_client, events) = come_back(&server, &mut known).await;
    assert_eq!(events, [vec![json!("second")]]);
    Ok(())
}

fn in_room_directly(server: &TestServer, known: &Known, room: &str) -> Result<(), BoxError> {
    let socket = server.io.socket(known.sid.parse()?).expect("connected");
    Ok(socket.join(room)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_count_as_they_were_when_an_event_was_sent() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (client, mut known) = join(&server, None).await;
    let socket = server.io.socket(known.sid.parse()?).expect("connected");
    server.io.emit("start", ()).await?;
    server
        .io
        .to("late")
        .emit("before it has joined", ())
        .await?;
    socket.join("early")?;
    server.io.to("early").emit("lost on its way", ()).await?;
    socket.leave("early");
    socket.join("late")?;
    server.io.to("early").emit("after it has left", ()).await?;
    lose(&server, client, &known).await;
    server.io.to("late").emit("after it has joined", ()).await?;
    let (_client, events) = come_back(&server, &mut known).await;
    let names: Vec<_> = events.iter().map(|event| &event[0]).collect();
    assert_eq!(names, ["start", "lost on its way", "after it has joined"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_a_socket_that_has_gone_waits_for_it() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (client, mut known) = join(&server, None).await;
    let socket = server.io.socket(known.sid.parse()?).expect("connected");
    lose(&server, client, &known).await;
    socket.emit("later", 1).await?;
    let question = socket.emit_with_ack::<u32>("question", ()).await;
    assert!(question.is_err(), "nobody answers");
    let (mut client, events) = come_back(&server, &mut known).await;
    assert_eq!(events, [vec![json!("later"), json!(1)]]);
    // A task that has kept the handle goes on sending to the client.
    socket.emit("on", 2).await?;
    assert_eq!(client.expect_event("on").await[0], 2);
    assert!(!socket.is_connected(), "it is that of the lost connection");
    client.leave("/").await;
    gone(&server, &known).await;
    let late = socket.emit("x", ()).await;
    assert!(matches!(late, Err(EmitError::Disconnected)), "{late:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_for_a_socket_that_cannot_come_back_is_an_error() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (mut client, known) = join(&server, None).await;
    let socket = server.io.socket(known.sid.parse()?).expect("connected");
    client.leave("/").await;
    gone(&server, &known).await;
    assert!(matches!(
        socket.emit("x", ()).await,
        Err(EmitError::Disconnected)
    ));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_offset_of_a_client_stays_right_after_volatile_events() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let (mut client, mut known) = join(&server, None).await;
    server.io.emit("first", ()).await?;
    known.note(&client.expect_event("first").await);
    let offset = known.offset.clone();
    // A JavaScript client takes a last argument that is a text for an offset, or the name of the event.
    server.io.volatile().emit("news", "text").await?;
    assert_eq!(
        client.expect_event("news").await,
        [json!("text"), json!(offset)]
    );
    server.io.volatile().emit("tick", ()).await?;
    assert_eq!(client.expect_event("tick").await, [json!(offset)]);
    server.io.volatile().emit("number", 7).await?;
    assert_eq!(client.expect_event("number").await, [json!(7)]);
    let socket = server.io.socket(known.sid.parse()?).expect("connected");
    socket.emit_volatile("own", "text")?;
    known.note(&client.expect_event("own").await);
    assert_eq!(known.offset, offset);
    lose(&server, client, &known).await;
    let (_client, events) = come_back(&server, &mut known).await;
    assert!(events.is_empty(), "{events:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_in_full_is_not_restored() -> Result<(), BoxError> {
    // Too many events, for which the log has no room.
    let (server, _entries) = start(|recovery| recovery.max_packets(3)).await;
    let (client, known) = join(&server, None).await;
    lose(&server, client, &known).await;
    for number in 0..4 {
        server.io.emit("number", number).await?;
    }
    comes_as_new(&server, &known).await;

    // More than a client may miss.
    let (server, _entries) = start(|recovery| recovery.max_missed_bytes(1000)).await;
    let (client, known) = join(&server, None).await;
    lose(&server, client, &known).await;
    server.io.emit("long", "x".repeat(1000)).await?;
    comes_as_new(&server, &known).await;

    // Not an offset, one that is yet to come, and a secret that nobody has.
    let (server, _entries) = start(|recovery| recovery).await;
    for offset in ["Q84fmOU", "ff", ""] {
        let (client, mut known) = join(&server, None).await;
        lose(&server, client, &known).await;
        known.offset = Some(offset.to_owned());
        comes_as_new(&server, &known).await;
    }
    let (client, mut known) = join(&server, None).await;
    lose(&server, client, &known).await;
    known.pid = "AAAAAAAAAAAAAAAAAAAA".to_owned();
    comes_as_new(&server, &known).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_comes_back_however_much_the_others_get() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery.max_packets(3)).await;
    let (mut client, mut known) = join(&server, None).await;
    server.io.emit("first", ()).await?;
    known.note(&client.expect_event("first").await);
    for number in 0..10 {
        server.io.to("others").emit("number", number).await?;
    }
    lose(&server, client, &known).await;
    let (_client, events) = come_back(&server, &mut known).await;
    assert!(events.is_empty(), "{events:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_that_has_gone_is_forgotten_first() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery.max_sessions(2)).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let (client, known) = join(&server, None).await;
        lose(&server, client, &known).await;
        all.push(known);
    }
    let _new = comes_as_new(&server, &all[0]).await;
    let _second = come_back(&server, &mut all[1]).await;
    come_back(&server, &mut all[2]).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_away_too_long_is_new() {
    let time = Duration::from_millis(200);
    let (server, _entries) = start(|recovery| recovery.max_disconnection(time)).await;
    let (client, known) = join(&server, None).await;
    lose(&server, client, &known).await;
    tokio::time::sleep(2 * time).await;
    comes_as_new(&server, &known).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_clients_come_back() -> Result<(), BoxError> {
    let (server, _entries) = start(|recovery| recovery).await;
    let mut polling = Polling::open(server.address, "EIO=4").await;
    polling.post("40").await;
    let accepted = polling.get().await.text();
    let accepted: Value = serde_json::from_str(&accepted[2..])?;
    let text = |name: &str| accepted[name].as_str().expect("a text").to_owned();
    let (sid, pid) = (text("sid"), text("pid"));
    let offset = None;
    let mut known = Known { sid, pid, offset };
    // The client goes without a word. Its new connection comes before the server notices.
    server.io.emit("missed", 1).await?;
    let mut polling = Polling::open(server.address, "EIO=4").await;
    polling.post(&format!("40{}", known.auth())).await;
    let body = polling.get().await.text();
    let (missed, accepted) = body.split_once('\u{1e}').expect("two packets");
    let event: Value = serde_json::from_str(&missed[2..])?;
    assert_eq!((&event[0], &event[1]), (&json!("missed"), &json!(1)));
    assert!(accepted.contains(&known.sid) && accepted.contains(&known.pid));
    known.note(&[event[2].clone()]);
    let (_client, events) = come_back(&server, &mut known).await;
    assert!(events.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_cannot_come_back_see_nothing_of_it() -> Result<(), BoxError> {
    let builder = Server::builder()
        .allow_eio3(true)
        .recovery(Recovery::default());
    let server = TestServer::start(builder).await;
    let mut old = Polling::open(server.address, "EIO=3").await;
    let (mut new, _) = join(&server, None).await;
    server.io.emit("news", 1).await?;
    assert_eq!(new.expect_event("news").await.len(), 2);
    assert!(old.get().await.text().contains(r#"42["news",1]"#));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_a_client_opened_stays_for_those_who_may_come_back() {
    let time = Duration::from_millis(400);
    let builder = Server::builder()
        .recovery(Recovery::default().max_disconnection(time))
        .open_namespaces(10, |_| {});
    let server = TestServer::start(builder).await;
    let mut client = Client::open(&server).await;
    client.websocket().send("40/a,").await;
    let accepted = client.receive(|packet| packet.kind == '0').await.data;
    client.into_websocket().reset();
    let io = server.io.clone();
    eventually("nobody is there", || {
        io.find_namespace("/a")
            .is_some_and(|a| a.socket_count() == 0)
    })
    .await;
    let mut client = Client::open(&server).await;
    let auth = json!({ "pid": accepted["pid"] });
    let id = client.join("/a", Some(auth)).await;
    assert_eq!(id, Ok(accepted["sid"].as_str().expect("an id").to_owned()));
    client.into_websocket().reset();
    eventually("it goes when nobody comes back", || {
        io.find_namespace("/a").is_none()
    })
    .await;
}
