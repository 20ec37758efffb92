//! The blocking client: from plain threads, against a server on a runtime of its own.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use kokanee_client::{
    Ack, AckError, ConnectFailure, Data, DisconnectReason, ReceiveError,
    blocking::{Client, SimpleClient, Socket},
};
use kokanee_server::{EmitError, Server, Socket as Peer};

use crate::support::{LIMIT, add_echo, serve};

/// A server in the background, and its address.
struct Background {
    runtime: tokio::runtime::Runtime,
    url: String,
}

fn start(io: &Server) -> Background {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let address = runtime.block_on(serve(io, 0));
    Background {
        runtime,
        url: format!("http://{address}"),
    }
}

fn echo() -> Server {
    let io = Server::new();
    add_echo(&io);
    io
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LIMIT).expect("an entry")
}

/// A channel whose sender can be shared by handlers.
fn journal<T: Send + 'static>() -> (impl Fn(T) + Clone + Send + Sync + 'static, Receiver<T>) {
    let (sender, receiver): (Sender<T>, _) = channel();
    (move |entry| drop(sender.send(entry)), receiver)
}

#[test]
fn it_emits_calls_and_is_called() {
    let server = start(&echo());
    let socket = Client::connect(&server.url).expect("accepted");
    assert!(socket.is_connected());
    let (note, seen) = journal();
    socket.on("echo", move |Data(text): Data<String>| note(text));
    socket.emit("echo", "hello").expect("sent");
    assert_eq!(next(&seen), "hello");
    let answer: (i32, String) = socket
        .emit_with_ack("echo", (1, "two"))
        .timeout(LIMIT)
        .wait()
        .expect("answered");
    assert_eq!(answer, (1, "two".to_owned()));
    socket.disconnect().expect("all has left");
    assert!(!socket.is_connected() && !socket.is_active());
    socket.connect().expect("accepted again");
    socket.disconnect().expect("all has left");
}

#[test]
fn handlers_may_block_without_stopping_heartbeats() {
    // A ping every 100 ms, which must be answered within 200 ms; the handler blocks for longer than both.
    let io = Server::builder()
        .with_limits(|limits| {
            limits.ping_interval = Duration::from_millis(100);
            limits.ping_timeout = Duration::from_millis(200);
        })
        .build();
    add_echo(&io);
    let server = start(&io);
    let socket = Client::connect(&server.url).expect("accepted");
    let (note, seen) = journal();
    let noted = note.clone();
    socket.on_disconnect(move |reason: DisconnectReason| noted(format!("disconnect {reason}")));
    socket.on("echo", move |Data(number): Data<u32>| {
        thread::sleep(Duration::from_millis(if number == 0 { 1000 } else { 0 }));
        note(number.to_string());
    });
    let id = socket.id();
    for number in 0..10 {
        socket.emit("echo", number).expect("sent");
    }
    // In order, although the first takes longest, and on the same connection.
    for number in 0..10 {
        assert_eq!(next(&seen), number.to_string());
    }
    assert_eq!(socket.id(), id);
    socket.disconnect().expect("all has left");
}

#[test]
fn handlers_can_use_their_socket() {
    let io = echo();
    io.on("start", async |peer: Peer| {
        let sum: i32 = peer.emit_with_ack("sum", (20, 22)).await?;
        peer.emit("result", sum).await?;
        Ok::<_, kokanee_server::BoxError>(())
    });
    let server = start(&io);
    let socket = Client::builder(&server.url)
        .build()
        .expect("usable options");
    let (note, seen) = journal();
    let noted = note.clone();
    // Even a call that waits for the server is possible inside a handler.
    socket.on_connect(move |socket: Socket| {
        let answer: Result<String, AckError> = socket.emit_with_ack("echo", "inside").wait();
        noted(answer.expect("answered"));
    });
    socket.on("sum", |Data((a, b)): Data<(i32, i32)>, ack: Ack| {
        ack.send(a + b)
    });
    socket.on("result", move |Data(sum): Data<i32>| note(sum.to_string()));
    socket.connect().expect("accepted");
    assert_eq!(next(&seen), "inside");
    socket.emit("start", ()).expect("sent");
    assert_eq!(next(&seen), "42");
}

#[test]
fn errors_and_panics_of_handlers_are_reported() {
    let server = start(&echo());
    let socket = Client::connect(&server.url).expect("accepted");
    let (note, seen) = journal();
    let noted = note.clone();
    socket.on_error(move |socket, error| noted(format!("{} {}", socket.namespace(), error.kind())));
    socket.once("echo", |Data(text): Data<String>| -> Result<(), String> {
        Err(text)
    });
    socket.emit("echo", "an error").expect("sent");
    assert_eq!(next(&seen), "/ an error");
    socket.on("echo", |Data(text): Data<String>| {
        assert!(!text.is_empty(), "a panic");
    });
    socket.emit("echo", "").expect("sent");
    assert_eq!(next(&seen), "/ handler panicked: a panic");
    socket.off("echo");
    socket.on_fallback(move |Data(text): Data<String>| note(text));
    socket.emit("echo", "goes on").expect("sent");
    assert_eq!(next(&seen), "goes on");
}

#[test]
fn events_are_an_iterator() {
    let server = start(&echo());
    let socket = Client::connect(&server.url).expect("accepted");
    let mut events = socket.events();
    for number in 0..5 {
        socket.emit("echo", number).expect("sent");
    }
    for (number, received) in events.by_ref().take(5).enumerate() {
        assert_eq!(received.data::<usize>().expect("a number"), number);
    }
    let after = Duration::from_millis(10);
    assert_eq!(
        events.next_timeout(after).expect_err("silence"),
        ReceiveError::Timeout { after }
    );
}

#[test]
fn failures_are_those_of_the_async_client() {
    let failure = Client::connect("http://127.0.0.1:1").expect_err("nobody listens");
    assert!(
        matches!(failure, ConnectFailure::Unreachable { .. }),
        "{failure}"
    );
    let failure = Client::builder("ftp://host").build();
    assert!(matches!(failure, Err(ConnectFailure::Url { .. })));
}

#[test]
fn the_simple_client_blocks_as_well() {
    let io = echo();
    io.on("bye", async |peer: Peer| {
        peer.disconnect();
        Ok::<_, EmitError>(())
    });
    let server = start(&io);
    let mut client = SimpleClient::connect(&server.url).expect("accepted");
    assert!(client.id().is_some());
    client.emit("echo", "a").expect("sent");
    let received = client.receive(LIMIT).expect("an event");
    assert_eq!(
        (received.name(), received.event.args().json()),
        ("echo", "\"a\"")
    );
    assert_eq!(client.call::<i32>("echo", 7).expect("answered"), 7);
    client.emit("bye", ()).expect("sent");
    assert_eq!(
        client.receive(LIMIT).expect_err("the end"),
        ReceiveError::Disconnected
    );
    client.disconnect().expect("all has left");
    server.runtime.shutdown_background();
}
