//! Rooms: who is in them, who may join, and how the server moves sockets about.

use kokanee_server::{Ack, Data, JoinError, Server, Socket};
use serde_json::json;

use crate::support::{Client, TestServer, eventually};

/// A server with events `join` and `leave` (a list of rooms), answered with the rooms of the socket.
fn rooms_server(io: Server) -> Server {
    io.on(
        "join",
        async |socket: Socket, Data(rooms): Data<Vec<String>>, ack: Ack| match socket.join(rooms) {
            Ok(()) => ack.send(socket.rooms()),
            Err(error) => ack.send(error.to_string()),
        },
    );
    io.on(
        "leave",
        async |socket: Socket, Data(rooms): Data<Vec<String>>, ack: Ack| {
            socket.leave(rooms);
            ack.send(socket.rooms())
        },
    );
    io
}

/// A client whose socket has joined rooms.
async fn member(server: &TestServer, rooms: &[&str]) -> (Client, String) {
    let (mut client, id) = Client::connect_to(server, "/", None).await;
    if !rooms.is_empty() {
        assert_eq!(
            client.emit_with_ack("join", json!([rooms])).await,
            json!([rooms])
        );
    }
    (client, id)
}

fn socket_of(server: &TestServer, id: &str) -> Socket {
    let id = id.parse::<kokanee_server::SocketId>().expect("an id");
    server.io.of("/").socket(id).expect("a socket")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_joins_and_leaves_rooms() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (mut client, id) = member(&server, &[]).await;
    assert_eq!(
        client.emit_with_ack("join", json!([["a", "b"]])).await,
        json!([["a", "b"]])
    );
    assert_eq!(
        client.emit_with_ack("join", json!([["a"]])).await,
        json!([["a", "b"]])
    );
    assert_eq!(
        client.emit_with_ack("join", json!([["c"]])).await,
        json!([["a", "b", "c"]])
    );
    assert_eq!(
        client.emit_with_ack("leave", json!([["a", "x"]])).await,
        json!([["b", "c"]])
    );
    let rooms = [("b".to_owned(), 1), ("c".to_owned(), 1)];
    assert_eq!(server.io.of("/").rooms(), rooms);
    // Join and leave do not change its own room.
    assert_eq!(
        client.emit_with_ack("leave", json!([[id]])).await,
        json!([["b", "c"]])
    );
    server
        .io
        .to(id.as_str())
        .emit("private", 1)
        .await
        .expect("sent");
    assert_eq!(client.expect_event("private").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_left_with_the_connection() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (one, _) = member(&server, &["a", "b"]).await;
    let (_two, _) = member(&server, &["b"]).await;
    let both = [("a".to_owned(), 1), ("b".to_owned(), 2)];
    assert_eq!(server.io.of("/").rooms(), both);
    one.close().await;
    let root = server.io.of("/");
    eventually("one has left", || root.rooms() == [("b".to_owned(), 1)]).await;
    assert_eq!(root.socket_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_another_socket_is_not_joined_by_accident() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (mut spy, spy_id) = member(&server, &[]).await;
    let (_victim, victim_id) = member(&server, &[]).await;
    let spy_socket = socket_of(&server, &spy_id);
    assert_eq!(
        spy_socket.join(victim_id.as_str()),
        Err(JoinError::RoomOfSocket)
    );
    let answer = spy.emit_with_ack("join", json!([[victim_id]])).await;
    assert_eq!(
        answer[0],
        "the room is another socket's own; join_room_of allows it"
    );
    // One's own is always joined.
    assert_eq!(spy_socket.join(spy_id.as_str()), Ok(()));
    server
        .io
        .to(victim_id.as_str())
        .emit("private", 1)
        .await
        .expect("sent");
    server.io.emit("end", ()).await.expect("sent");
    assert_eq!(spy.event().await.name(), "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_another_socket_may_be_joined_on_purpose() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (mut first, first_id) = member(&server, &[]).await;
    let (mut second, second_id) = member(&server, &[]).await;
    let other = first_id.parse::<kokanee_server::SocketId>().expect("an id");
    socket_of(&server, &second_id)
        .join_room_of(other)
        .expect("joined");
    server.io.to(other).emit("for both", 1).await.expect("sent");
    assert_eq!(first.expect_event("for both").await, [1]);
    assert_eq!(second.expect_event("for both").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_in_a_limited_number_of_rooms() {
    let io = Server::builder()
        .with_limits(|limits| limits.max_rooms = 3)
        .build();
    let server = TestServer::start_with(rooms_server(io)).await;
    let (mut client, id) = member(&server, &["a", "b"]).await;
    let socket = socket_of(&server, &id);
    assert_eq!(
        socket.join(["c", "d", "e"]),
        Err(JoinError::TooManyRooms { max: 3 })
    );
    assert_eq!(
        socket.rooms(),
        ["a", "b", "c"],
        "those before the limit are joined"
    );
    assert_eq!(socket.join("a"), Ok(()), "it is in it already");
    assert_eq!(
        client.emit_with_ack("leave", json!([["a"]])).await,
        json!([["b", "c"]])
    );
    assert_eq!(socket.join("d"), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_name_has_a_limited_length() {
    let io = Server::builder()
        .with_limits(|limits| limits.max_room_bytes = 8)
        .build();
    let server = TestServer::start_with(rooms_server(io)).await;
    let (_client, id) = member(&server, &[]).await;
    let socket = socket_of(&server, &id);
    assert_eq!(socket.join("12345678"), Ok(()));
    assert_eq!(
        socket.join("123456789"),
        Err(JoinError::NameTooLong { size: 9, max: 8 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_has_left_joins_nothing() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (client, id) = member(&server, &["a"]).await;
    let socket = socket_of(&server, &id);
    client.close().await;
    eventually("it has left", || !socket.is_connected()).await;
    assert_eq!(socket.join("b"), Err(JoinError::Disconnected));
    socket.leave("a");
    assert_eq!(socket.rooms(), ["a"], "the rooms it was in");
    assert!(server.io.of("/").rooms().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_moves_sockets_between_rooms() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (_one, one_id) = member(&server, &["a"]).await;
    let (_two, two_id) = member(&server, &["a", "b"]).await;
    let (_three, three_id) = member(&server, &["b"]).await;
    let [one, two, three] = [&one_id, &two_id, &three_id].map(|id| socket_of(&server, id));
    server.io.to("a").except("b").sockets_join(["x", "y"]).await;
    assert_eq!(one.rooms(), ["a", "x", "y"]);
    assert_eq!(two.rooms(), ["a", "b"]);
    server.io.to(["a", "b"]).sockets_leave("b").await;
    assert_eq!((two.rooms(), three.rooms()), (vec!["a".to_owned()], vec![]));
    server.io.sockets_join("all").await;
    assert_eq!(server.io.to("all").fetch_sockets().await.len(), 3);
    server.io.sockets_leave(["all", "x"]).await;
    let rooms = [("a".to_owned(), 2), ("y".to_owned(), 1)];
    assert_eq!(server.io.of("/").rooms(), rooms);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_sockets_finds_whom_a_broadcast_would_reach() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (_one, one_id) = member(&server, &["a", "b"]).await;
    let (_two, two_id) = member(&server, &["b"]).await;
    let ids = async |sockets: Vec<Socket>| {
        let mut ids: Vec<String> = sockets
            .iter()
            .map(|socket| socket.id().to_string())
            .collect();
        ids.sort();
        ids
    };
    let mut both = vec![one_id.clone(), two_id.clone()];
    both.sort();
    assert_eq!(ids(server.io.fetch_sockets().await).await, both);
    assert_eq!(
        ids(server.io.to(["a", "b"]).fetch_sockets().await).await,
        both
    );
    assert_eq!(
        ids(server.io.to("b").except("a").fetch_sockets().await).await,
        std::slice::from_ref(&two_id)
    );
    let one = socket_of(&server, &one_id);
    assert_eq!(ids(one.broadcast().fetch_sockets().await).await, [two_id]);
    assert!(server.io.to("nobody").fetch_sockets().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_disconnects_the_sockets_of_a_room() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (mut one, _) = member(&server, &["a"]).await;
    let (mut two, _) = member(&server, &["b"]).await;
    server.io.to("a").disconnect_sockets().await;
    one.expect_disconnect("/").await;
    assert_eq!(
        two.emit_with_ack("leave", json!([[]])).await,
        json!([["b"]])
    );
    // The session of the first lives: it may come back.
    one.join("/", None).await.expect("accepted");
    server.io.of("/").close_connections().await;
    one.expect_disconnect("/").await;
    one.end().await;
    two.expect_disconnect("/").await;
    two.end().await;
    eventually("both sessions have ended", || {
        server.io.session_count() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_room_name_in_two_namespaces_is_two_rooms() {
    let io = rooms_server(Server::new());
    io.of("/other")
        .on_connect(async |socket: Socket| socket.join("a"));
    let server = TestServer::start_with(io).await;
    let (mut client, _) = member(&server, &["a"]).await;
    client.join("/other", None).await.expect("accepted");
    let other = server.io.of("/other");
    eventually("on_connect has joined", || other.rooms().len() == 1).await;
    server.io.to("a").emit("root", 1).await.expect("sent");
    other.to("a").emit("other", 2).await.expect("sent");
    let (first, second) = (client.event().await, client.event().await);
    assert_eq!((first.namespace.as_str(), first.name()), ("/", "root"));
    assert_eq!(
        (second.namespace.as_str(), second.name()),
        ("/other", "other")
    );
}

#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "references are forms, too"
)]
#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_given_in_any_form() {
    let server = TestServer::start_with(rooms_server(Server::new())).await;
    let (_client, id) = member(&server, &[]).await;
    let socket = socket_of(&server, &id);
    let (text, list) = ("e".to_owned(), vec!["f".to_owned(), "g".to_owned()]);
    socket.join("a").expect("joined");
    socket.join(["b", "c"]).expect("joined");
    socket.join(&["d"]).expect("joined");
    socket.join(&text).expect("joined");
    socket.join(&list).expect("joined");
    socket.join(&list[..]).expect("joined");
    socket.join(vec!["h"]).expect("joined");
    socket
        .join(std::borrow::Cow::Borrowed("i"))
        .expect("joined");
    let all = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    assert_eq!(socket.rooms(), all);
    let io = &server.io;
    let sockets =
        async |operator: kokanee_server::BroadcastOperator| operator.fetch_sockets().await.len();
    assert_eq!(sockets(io.to(&socket.rooms())).await, 1);
    assert_eq!(sockets(io.to(&all)).await, 1);
    assert_eq!(sockets(io.to(socket.id())).await, 1);
    assert_eq!(sockets(io.to([socket.id()])).await, 1);
    assert_eq!(sockets(io.local().except(&socket.id())).await, 0);
    socket.leave(&all);
    assert!(socket.rooms().is_empty());
}
