//! socketioxide for the tests of Kokanee's clients: of the events in `tests/interop/client/servers/events.mjs` those that have
//! no arguments of any kind and number, and these, in the namespaces `/`, `/chat` and, for those who say the token, `/private`:
//!
//! | event of the client | the server |
//! |---|---|
//! | `echo` value, `echo bytes` bytes | acknowledges with the same |
//! | `say` value, `say bytes` bytes | emits `said` with the same |
//! | `ask me` value | emits `question` with it, and `answered` with the client's answer |
//! | `disconnect me` | disconnects the socket |

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use axum::Router;
use axum::body::Bytes;
use axum::serve::ListenerExt;
use serde::Serialize;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;
use tokio::net::TcpListener;

const TOKEN: &str = "kokanee";

fn acknowledge(ack: AckSender, value: &impl Serialize) {
    if let Err(error) = ack.send(value) {
        eprintln!("acknowledgement: {error}");
    }
}

fn emit(socket: &SocketRef, event: &str, value: &impl Serialize) {
    if let Err(error) = socket.emit(event, value) {
        eprintln!("{event}: {error}");
    }
}

/// What all namespaces have.
fn serve(socket: &SocketRef) {
    socket.on("echo", async |Data::<Value>(value), ack: AckSender| {
        acknowledge(ack, &value);
    });
    socket.on(
        "echo bytes",
        async |Data::<Bytes>(bytes), ack: AckSender| {
            acknowledge(ack, &bytes);
        },
    );
    socket.on("say", async |socket: SocketRef, Data::<Value>(value)| {
        emit(&socket, "said", &value);
    });
    socket.on(
        "say bytes",
        async |socket: SocketRef, Data::<Bytes>(bytes)| {
            emit(&socket, "said", &bytes);
        },
    );
    socket.on(
        "ask me",
        async |socket: SocketRef, Data::<Value>(value)| match socket
            .emit_with_ack::<_, Value>("question", &value)
        {
            Ok(answer) => match answer.await {
                Ok(answer) => emit(&socket, "answered", &answer),
                Err(error) => eprintln!("answer: {error}"),
            },
            Err(error) => eprintln!("question: {error}"),
        },
    );
    socket.on("disconnect me", async |socket: SocketRef| {
        if let Err(error) = socket.disconnect() {
            eprintln!("disconnect: {error}");
        }
    });
}

/// Lets those in who say the token.
async fn check(Data(auth): Data<Value>) -> Result<(), &'static str> {
    if auth["token"] == TOKEN {
        Ok(())
    } else {
        Err("not authorized")
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let notes: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let (layer, io) = SocketIo::new_layer();
    io.ns("/chat", async |socket: SocketRef| serve(&socket));
    io.ns(
        "/private",
        (async |socket: SocketRef| serve(&socket)).with(check),
    );
    io.ns("/", async move |socket: SocketRef| {
        serve(&socket);
        let noted = Arc::clone(&notes);
        socket.on("note", async move |Data::<String>(key)| {
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            *notes.entry(key).or_default() += 1;
        });
        socket.on("noted", async move |Data::<String>(key), ack: AckSender| {
            let count = {
                let notes = noted.lock().unwrap_or_else(PoisonError::into_inner);
                notes.get(&key).copied().unwrap_or_default()
            };
            if let Err(error) = ack.send(&count) {
                eprintln!("noted: {error}");
            }
        });
    });

    let port = std::env::args()
        .skip_while(|argument| argument != "--port")
        .nth(1)
        .and_then(|port| port.parse().ok())
        .unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening {}", listener.local_addr()?.port());
    // The test ends the server by closing its standard input.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("nodelay: {error}");
        }
    });
    axum::serve(listener, Router::new().layer(layer)).await
}
