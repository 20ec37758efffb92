//! Events that the server emits as soon as a socket is connected: whatever way handlers are attached, they get all of them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use kokanee_client::{
    Ack, Client, Data, EventName, RawEvent, SimpleClient, Socket, State, blocking,
};
use kokanee_server::{BoxError, Server, Socket as Peer};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    raw::Raw,
    support::{LIMIT, accepted, journal, serve, within},
};

const EVENTS: u32 = 50;

const NAMES: [&str; 3] = ["welcome", "news", "presence"];

fn name(number: u32) -> &'static str {
    NAMES[number as usize % NAMES.len()]
}

async fn greet(peer: Peer) -> Result<(), BoxError> {
    for number in 0..EVENTS {
        peer.emit(name(number), number).await?;
    }
    Ok(())
}

/// A server that emits as soon as it can, in `/` and in `/chat`.
fn greeting_server() -> Server {
    let io = Server::new();
    io.on_connect(greet);
    io.of("/chat").on_connect(greet);
    io.on("echo", async |Data(number): Data<u32>, ack: Ack| {
        ack.send(number)
    });
    io
}

/// What handlers have received.
pub(crate) type Seen = UnboundedSender<u32>;

pub(crate) fn note(
    seen: &Seen,
) -> impl Fn(Data<u32>) -> std::future::Ready<()> + Clone + Send + Sync + 'static {
    let seen = seen.clone();
    move |Data(number)| {
        // The test may have ended.
        let _ = seen.send(number);
        std::future::ready(())
    }
}

pub(crate) fn note_blocking(seen: &Seen) -> impl Fn(Data<u32>) + Clone + Send + Sync + 'static {
    let seen = seen.clone();
    move |Data(number)| {
        // The test may have ended.
        let _ = seen.send(number);
    }
}

pub(crate) async fn connect(url: &str) -> Socket {
    Client::connect(url).await.expect("accepted")
}

/// The ways of the documentation. Each returns what keeps the connection open.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Builder,
    BuilderAny,
    BuilderFallback,
    BuilderState,
    Build,
    InOnConnect,
    On,
    OnSeparately,
    OnAny,
    OnAnyBeforeOn,
    OnFallback,
    Events,
    EventsBeforeOn,
    Of,
    OfBeforeConnect,
    Simple,
    BlockingBuilder,
    BlockingOn,
    BlockingEvents,
    BlockingSimple,
}

const WAYS: [Way; 20] = [
    Way::Builder,
    Way::BuilderAny,
    Way::BuilderFallback,
    Way::BuilderState,
    Way::Build,
    Way::InOnConnect,
    Way::On,
    Way::OnSeparately,
    Way::OnAny,
    Way::OnAnyBeforeOn,
    Way::OnFallback,
    Way::Events,
    Way::EventsBeforeOn,
    Way::Of,
    Way::OfBeforeConnect,
    Way::Simple,
    Way::BlockingBuilder,
    Way::BlockingOn,
    Way::BlockingEvents,
    Way::BlockingSimple,
];

fn attach(socket: &Socket, seen: &Seen) {
    socket
        .on(NAMES[0], note(seen))
        .on(NAMES[1], note(seen))
        .on(NAMES[2], note(seen));
}

impl Way {
    async fn run(self, url: &str, seen: Seen) -> Box<dyn Send> {
        let builder = Client::builder(url);
        match self {
            Self::Builder => {
                let builder = NAMES
                    .iter()
                    .fold(builder, |builder, name| builder.on(name, note(&seen)));
                Box::new(builder.connect().await.expect("accepted"))
            }
            Self::BuilderAny => Box::new(
                builder
                    .on_any(note(&seen))
                    .connect()
                    .await
                    .expect("accepted"),
            ),
            Self::BuilderFallback => Box::new(
                builder
                    .on_fallback(note(&seen))
                    .connect()
                    .await
                    .expect("accepted"),
            ),
            Self::BuilderState => {
                let handler = async |Data(number): Data<u32>, State(seen): State<Seen>| {
                    // The test may have ended.
                    let _ = seen.send(number);
                };
                let builder = builder.state(seen).on_any(handler);
                Box::new(builder.connect().await.expect("accepted"))
            }
            Self::Build => {
                let socket = builder.build().expect("usable options");
                attach(&socket, &seen);
                socket.connect().await.expect("accepted");
                Box::new(socket)
            }
            Self::InOnConnect => {
                let builder = builder.on_connect(move |socket: Socket| {
                    attach(&socket, &seen);
                    async {}
                });
                Box::new(builder.connect().await.expect("accepted"))
            }
            Self::On => {
                let socket = connect(url).await;
                attach(&socket, &seen);
                Box::new(socket)
            }
            Self::OnSeparately => {
                let socket = connect(url).await;
                for (name, number) in NAMES.iter().zip(0..) {
                    socket.on(name, note(&seen));
                    let echoed: u32 = socket.emit_with_ack("echo", number).await.expect("echoed");
                    assert_eq!(echoed, number);
                }
                Box::new(socket)
            }
            Self::OnAny => {
                let socket = connect(url).await;
                socket.on_any(note(&seen));
                Box::new(socket)
            }
            Self::OnAnyBeforeOn => {
                let socket = connect(url).await;
                socket.on_any(async || {});
                attach(&socket, &seen);
                Box::new(socket)
            }
            Self::OnFallback => {
                let socket = connect(url).await;
                socket.on_fallback(note(&seen));
                Box::new(socket)
            }
            Self::Events => {
                let mut events = connect(url).await.events();
                Box::new(tokio::spawn(async move {
                    while let Some(received) = events.next().await {
                        let _ = seen.send(received.data().expect("a number"));
                    }
                }))
            }
            Self::EventsBeforeOn => {
                let socket = connect(url).await;
                let events = socket.events();
                attach(&socket, &seen);
                Box::new(events)
            }
            Self::Of => {
                let chat = connect(&url.replace("/chat", "")).await.of("/chat");
                chat.connect().await.expect("accepted");
                attach(&chat, &seen);
                Box::new(chat)
            }
            Self::OfBeforeConnect => {
                let chat = connect(&url.replace("/chat", "")).await.of("/chat");
                attach(&chat, &seen);
                chat.connect().await.expect("accepted");
                Box::new(chat)
            }
            Self::Simple => {
                let mut client = SimpleClient::connect(url).await.expect("accepted");
                for _ in 0..EVENTS {
                    let received = client.receive(LIMIT).await.expect("an event");
                    let _ = seen.send(received.data().expect("a number"));
                }
                Box::new(client)
            }
            _ => {
                let url = url.to_owned();
                let ran = tokio::task::spawn_blocking(move || self.run_blocking(&url, &seen));
                ran.await.expect("it does not panic")
            }
        }
    }

    fn run_blocking(self, url: &str, seen: &Seen) -> Box<dyn Send> {
        match self {
            Self::BlockingBuilder => {
                let builder = blocking::Client::builder(url);
                let builder = NAMES.iter().fold(builder, |builder, name| {
                    builder.on(name, note_blocking(seen))
                });
                Box::new(builder.connect().expect("accepted"))
            }
            Self::BlockingOn => {
                let socket = blocking::Client::connect(url).expect("accepted");
                for name in NAMES {
                    socket.on(name, note_blocking(seen));
                }
                Box::new(socket)
            }
            Self::BlockingEvents => {
                let socket = blocking::Client::connect(url).expect("accepted");
                for received in socket.events().take(EVENTS as usize) {
                    let _ = seen.send(received.data().expect("a number"));
                }
                Box::new(socket)
            }
            _ => {
                let mut client = blocking::SimpleClient::connect(url).expect("accepted");
                for _ in 0..EVENTS {
                    let received = client.receive(LIMIT).expect("an event");
                    let _ = seen.send(received.data().expect("a number"));
                }
                Box::new(client)
            }
        }
    }
}

async fn run(address: SocketAddr, way: Way) {
    let (seen, mut received): (Seen, UnboundedReceiver<u32>) = unbounded_channel();
    let path = match way {
        Way::Of | Way::OfBeforeConnect => "/chat",
        _ => "/",
    };
    let what = format!("{way:?}");
    let kept = within(&what, way.run(&format!("http://{address}{path}"), seen)).await;
    let mut numbers = Vec::new();
    while numbers.len() < EVENTS as usize {
        let next = within(&what, received.recv()).await;
        numbers.push(next.expect("the handlers live"));
    }
    if way == Way::OnSeparately {
        // What is attached later gets its events later.
        for one in 0..3 {
            let of_one = numbers.iter().filter(|number| **number % 3 == one);
            assert!(of_one.is_sorted(), "{way:?}: {numbers:?}");
        }
        numbers.sort_unstable();
    }
    let expected: Vec<u32> = (0..EVENTS).collect();
    assert_eq!(numbers, expected, "{way:?}");
    assert!(received.is_empty(), "{way:?}");
    drop(kept);
}

/// 1,000 connections, 50 for each way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_attach_handlers_gets_what_is_emitted_in_on_connect() {
    const RUNS: usize = 1000;
    const AT_A_TIME: usize = 25;
    let address = serve(&greeting_server(), 0).await;
    let ways = WAYS.iter().cycle().take(RUNS).copied();
    let mut running = tokio::task::JoinSet::new();
    for way in ways {
        while running.len() >= AT_A_TIME {
            running
                .join_next()
                .await
                .expect("some run")
                .expect("all came");
        }
        running.spawn(run(address, way));
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("all came");
    }
}

#[tokio::test]
async fn events_of_a_connection_that_is_lost_wait_as_well() {
    let address = serve(&greeting_server(), 0).await;
    let socket = Client::builder(&format!("http://{address}"))
        .reconnection_delay(Duration::from_millis(5))
        .connect();
    let socket = accepted(socket).await;
    let first = socket.id();
    socket.reconnect();
    while socket.id().is_none() || socket.id() == first {
        tokio::task::yield_now().await;
    }
    let (seen, mut received) = unbounded_channel();
    attach(&socket, &seen);
    // All of the second connection come, and nothing of the first one comes after them.
    let mut numbers = Vec::new();
    while numbers.len() < EVENTS as usize || numbers[numbers.len() - EVENTS as usize] != 0 {
        numbers.push(within("an event", received.recv()).await.expect("handlers"));
    }
    let first = numbers.len() - EVENTS as usize;
    let expected: Vec<u32> = (0..EVENTS).collect();
    assert_eq!(numbers[first..], expected);
    assert!(numbers[..first].is_sorted(), "{numbers:?}");

    // And handlers that are attached get everything at once.
    socket.reconnect();
    for number in 0..EVENTS {
        let next = within("an event", received.recv()).await;
        assert_eq!(next, Some(number));
    }
}

#[tokio::test]
async fn an_event_that_waits_is_acknowledged_when_it_is_handled() {
    let io = Server::new();
    let (note, mut answers) = journal();
    io.on_connect(move |peer: Peer| {
        let note = note.clone();
        async move {
            let sum: Result<i32, _> = peer.emit_with_ack("sum", (20, 22)).timeout(LIMIT).await;
            note(sum.map_err(|error| error.to_string()));
        }
    });
    let address = serve(&io, 0).await;
    let socket = connect(&format!("http://{address}")).await;
    // It has come.
    tokio::task::yield_now().await;
    socket.on("sum", async |Data((a, b)): Data<(i32, i32)>, ack: Ack| {
        ack.send(a + b)
    });
    assert_eq!(answers.next().await, Ok(42));
}

/// Waits until so many events were not handled.
async fn unhandled(socket: &Socket, count: u64) {
    within("unhandled events", async {
        while socket.unhandled_events() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(socket.unhandled_events(), count);
}

#[tokio::test]
async fn a_client_that_only_emits_reads_on_and_keeps_the_newest() {
    let server = Raw::start().await;
    let url = server.url();
    let script = async {
        let mut wire = server.joined().await;
        for number in 0..1000 {
            wire.text(&format!(r#"42["tick",{number}]"#)).await;
        }
        wire.text("2").await;
        assert_eq!(wire.next().await, "3", "the heartbeat goes on");
        wire
    };
    let builder = Client::builder(&url).transports([kokanee_client::Transport::WebSocket]);
    let (socket, mut wire) = tokio::join!(accepted(builder.connect()), script);
    unhandled(&socket, 1000 - 256).await;
    socket.emit("still", "there").await.expect("sent");
    assert_eq!(wire.next().await, r#"42["still","there"]"#);
    let (note, mut seen) = journal();
    socket.on("tick", move |Data(number): Data<u32>| {
        note(number);
        async {}
    });
    for number in 1000 - 256..1000 {
        assert_eq!(seen.next().await, number);
    }
    assert_eq!(socket.unhandled_events(), 1000 - 256);
}

#[tokio::test]
async fn the_client_stops_to_read_while_many_are_about_to_be_taken() {
    let server = Raw::start().await;
    let url = server.url();
    let builder = Client::builder(&url).transports([kokanee_client::Transport::WebSocket]);
    let (socket, mut wire) = server.open(builder).await;
    let (note, mut seen) = journal();
    socket.on("tick", move |Data(number): Data<u32>| {
        note(number);
        async {}
    });
    for number in 0..2000 {
        wire.text(&format!(r#"42["tick",{number}]"#)).await;
    }
    for number in 0..2000 {
        assert_eq!(seen.next().await, number);
    }
    assert_eq!(socket.unhandled_events(), 0);
}

#[tokio::test]
async fn events_that_nobody_takes_are_counted_and_gone() {
    let server = Raw::start().await;
    let url = server.url();
    let (note, mut seen) = journal();
    let noted = note.clone();
    let builder = Client::builder(&url)
        .transports([kokanee_client::Transport::WebSocket])
        .on("first", move |Data(number): Data<u32>| {
            noted(number);
            async {}
        });
    let (socket, mut wire) = server.open(builder).await;
    wire.text(r#"42["other",1]"#).await;
    wire.text(r#"42["first",2]"#).await;
    assert_eq!(
        seen.next().await,
        2,
        "it does not wait for the one before it"
    );
    assert_eq!(socket.unhandled_events(), 0, "it waits");
    unhandled(&socket, 1).await;
    // The waiting is over for good.
    wire.text(r#"42["other",3]"#).await;
    unhandled(&socket, 2).await;
    socket.on("other", move |Data(number): Data<u32>| {
        note(number);
        async {}
    });
    wire.text(r#"42["other",4]"#).await;
    assert_eq!(seen.next().await, 4);
    // Of a handler that was removed.
    socket.off("other");
    wire.text(r#"42["other",5]"#).await;
    unhandled(&socket, 3).await;
    // With a reader it is taken, and without it not any more.
    let mut events = socket.events();
    wire.text(r#"42["other",6]"#).await;
    let received = within("an event", events.next()).await.expect("an event");
    assert_eq!(received.data::<u32>().expect("a number"), 6);
    drop(events);
    wire.text(r#"42["other",7]"#).await;
    unhandled(&socket, 4).await;
    assert!(seen.is_empty());
}

#[tokio::test]
async fn all_of_the_builder_is_there_and_a_clone_has_it_too() {
    let io = Server::new();
    io.on("start", async |peer: Peer| peer.emit("one", 1).await);
    let address = serve(&io, 0).await;
    let (note, mut seen) = journal();
    let log = Arc::new(Mutex::new(Vec::new()));
    let noted = [
        note.clone(),
        note.clone(),
        note.clone(),
        note.clone(),
        note.clone(),
    ];
    let [any, fallback, connected, outgoing, failed] = noted;
    let log_of_handlers = Arc::clone(&log);
    let builder = Client::builder(&format!("http://{address}"))
        .state(String::from("state"))
        .on_any(move |EventName(name): EventName, state: State<String>| {
            any(format!("any {} {}", name.as_str(), *state));
            async {}
        })
        .on_fallback(move |event: RawEvent| {
            fallback(format!("fallback {}", event.name()));
            async { Err::<(), _>("an error") }
        })
        .on_connect(move || {
            connected("connect".to_owned());
            async {}
        })
        .on_any_outgoing(move |event| outgoing(format!("outgoing {}", event.name())))
        .on("unused", async || {})
        .off("unused")
        .once("other", async || {})
        .on_disconnect(move || {
            log_of_handlers.lock().expect("no panic").push("disconnect");
            async {}
        })
        .on_error(move |_, error| failed(format!("error: {}", error.kind())));
    for builder in [builder.clone(), builder] {
        let socket = accepted(builder.connect()).await;
        assert_eq!(seen.next().await, "connect");
        socket.emit("start", ()).await.expect("sent");
        for expected in [
            "outgoing start",
            "any one state",
            "fallback one",
            "error: an error",
        ] {
            assert_eq!(seen.next().await, expected);
        }
    }
}
