//! What is wrong with a handler is said when it is attached, and what nobody handles is logged.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use kokanee_client::{Client, Data, Failure, Socket, State, blocking};
use kokanee_server::{Server, Socket as Peer};

use crate::support::{accepted, journal, serve};

const NOWHERE: &str = "http://127.0.0.1:1";

/// The text of the panic.
fn refused<T>(attach: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(attach()))).expect_err("it is refused");
    *panic.downcast::<String>().expect("a text")
}

fn socket() -> Socket {
    Client::builder(NOWHERE).build().expect("usable options")
}

#[tokio::test]
async fn names_that_never_come_are_refused() {
    for (name, call) in [
        ("connect", "use on_connect("),
        ("connection", "use on_connect("),
        ("connect_error", "use on_connect_error("),
        ("disconnect", "use on_disconnect("),
        ("disconnecting", "use on_disconnect("),
        ("newListener", "never comes"),
        ("removeListener", "never comes"),
    ] {
        let plain = || blocking::Client::builder(NOWHERE);
        for text in [
            refused(|| Client::builder(NOWHERE).on(name, async || {})),
            refused(|| Client::builder(NOWHERE).once(name, async || {})),
            refused(|| plain().on(name, || {})),
            refused(|| plain().once(name, || {})),
            refused(|| socket().on(name, async || {}).is_active()),
            refused(|| socket().once(name, async || {}).is_active()),
            refused(|| {
                plain()
                    .build()
                    .map(|socket| socket.on(name, || {}).is_active())
            }),
        ] {
            assert!(text.contains(call) && text.contains(name), "{text}");
        }
    }
    // They can be removed, and are nothing special for the others.
    socket().off("connect").on("reconnect", async || {});
}

#[test]
fn the_panic_names_the_line_of_the_caller() {
    let at = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&at);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        noted
            .lock()
            .expect("no panic")
            .push_str(&place.unwrap_or_default());
    }));
    refused(|| Client::builder(NOWHERE).on("connect", async || {}));
    std::panic::set_hook(before);
    let at = at.lock().expect("no panic");
    assert!(at.contains("attach.rs") && at.contains("tests"), "{at}");
}

#[tokio::test]
async fn a_state_that_was_never_given_is_missed_when_its_handler_is_attached() {
    struct App;
    let event = async |_: State<App>| {};
    let builder = || Client::builder(NOWHERE);
    let plain = || blocking::Client::builder(NOWHERE);
    for text in [
        refused(|| builder().on("x", event).build()),
        refused(|| builder().on_any(event).connect()),
        refused(|| builder().on_connect(event).state(1).build()),
        refused(|| {
            builder()
                .on_connect_error(async |_: Failure, _: State<App>| {})
                .build()
        }),
        refused(|| socket().on("x", event).is_active()),
        refused(|| socket().of("/chat").on_fallback(event).is_active()),
        refused(|| socket().on_disconnect(event).is_active()),
        refused(|| plain().on("x", |_: State<App>| {}).build()),
        refused(|| plain().on("x", |_: State<App>| {}).connect()),
    ] {
        let parts = ["App", "Client::builder(…).state(…)"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let optional = async |state: Option<State<App>>| assert!(state.is_none());
    let _socket = builder().on("x", optional).build().expect("usable options");
    // The state may come after its handlers, and is there for those of all sockets.
    let socket = builder().on("x", event).state(App).build();
    let socket = socket.expect("usable options");
    socket.of("/chat").on("x", event);
}

#[tokio::test]
async fn one_state_is_for_all_sockets_and_kinds_of_handlers() {
    let io = Server::builder().state(7_u32).build();
    // The type is that of the server, too.
    io.of("/chat")
        .on_connect(async |peer: Peer, seven: State<u32>| peer.emit("seven", *seven).await);
    let address = serve(&io, 0).await;
    let (note, mut seen) = journal();
    let noted = note.clone();
    let socket = Client::builder(&format!("http://{address}"))
        .state(String::from("state"))
        .on_connect(move |state: State<String>| {
            noted(format!("connect {}", *state));
            async {}
        })
        .connect();
    let socket = accepted(socket).await;
    assert_eq!(seen.next().await, "connect state");
    let chat = socket.of("/chat");
    chat.on(
        "seven",
        move |Data(seven): Data<u32>, state: State<String>| {
            note(format!("{seven} {}", *state));
            async {}
        },
    );
    accepted(chat.connect()).await;
    assert_eq!(seen.next().await, "7 state");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_name_namespace_and_event() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || written.clone())
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let io = Server::new();
    io.of("/chat").on_connect(async |peer: Peer| {
        for event in ["removed", "fail", "refuse", "end"] {
            peer.emit(event, ()).await?;
        }
        Ok::<_, kokanee_client::EmitError>(())
    });
    let address = serve(&io, 0).await;
    let (note, mut seen) = journal();
    let socket = Client::builder(&format!("http://{address}/chat"))
        .on("removed", async || {})
        .off("removed")
        .on("fail", async || Err::<(), _>("out of fish"))
        .on("refuse", async || {
            Err::<(), _>(kokanee_client::ClientError::new("busy"))
        })
        .on("end", move || {
            let note = note.clone();
            async move {
                tokio::task::yield_now().await;
                tracing::info!("what the application says");
                note(());
            }
        })
        .connect();
    let socket = accepted(socket).await;
    seen.next().await;
    assert_eq!(socket.unhandled_events(), 1);
    let log = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    let has = |parts: &[&str]| {
        let line = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(log.lines().any(line), "{parts:?}: {log}");
    };
    let client = "kokanee_client";
    has(&[
        "INFO",
        "what the application says",
        "event{",
        "\"/chat\"",
        "\"end\"",
    ]);
    has(&[
        "DEBUG",
        client,
        "event without a handler",
        "\"/chat\"",
        "\"removed\"",
    ]);
    has(&[
        "WARN",
        client,
        "event not handled",
        "\"/chat\"",
        "\"fail\"",
        "out of fish",
    ]);
    has(&[
        "DEBUG",
        client,
        "event refused",
        "\"/chat\"",
        "\"refuse\"",
        "busy",
    ]);
}
