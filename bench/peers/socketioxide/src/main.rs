//! socketioxide on `axum::serve` with the two events of the load.
//!
//! One thread (`current_thread`), the default adapter, default heartbeat and payload limit. The outgoing buffer of a
//! connection is raised from 128 to 4,096 packets, because socketioxide drops what does not fit and the load counts
//! every message.

use axum::Router;
use axum::serve::ListenerExt;
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(4_096).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |socket: SocketRef, Data::<Value>(data)| {
            if let Err(error) = socket.emit("echo", &data) {
                eprintln!("echo: {error}");
            }
        });
        socket.on("blast", async |Data::<String>(text), io: SocketIo| {
            if let Err(error) = io.emit("blast", &text).await {
                eprintln!("blast: {error}");
            }
        });
    });

    let port = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok())
        .unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("nodelay: {error}");
        }
    });
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = axum::serve(listener, Router::new().layer(layer)) => result,
        _ = terminate.recv() => Ok(()),
        result = tokio::signal::ctrl_c() => result,
    }
}
