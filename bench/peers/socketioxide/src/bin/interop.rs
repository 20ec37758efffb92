//! socketioxide for the tests of Kokanee's client: of the events in `tests/interop/client/servers/events.mjs` those that have
//! no arguments of any kind and number.

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use axum::Router;
use axum::serve::ListenerExt;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let notes: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async move |socket: SocketRef| {
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
