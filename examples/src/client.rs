//! A client in twenty lines: it prints what it receives, asks for a sum, and sends a message.
//!
//! Start a server with `cargo run --bin chat`, then this with `cargo run --bin client`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use kokanee::{
    Client, Data,
    client::{DisconnectReason, Failure},
};

#[tokio::main]
async fn main() -> kokanee::Result<()> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("http://127.0.0.1:5000");
    // Handlers that are given to the builder are there before the first event.
    let socket = Client::builder(url)
        .on("my_message", async |Data(text): Data<String>| {
            println!("{text}");
        })
        // It reconnects automatically; these handlers report it.
        .on_disconnect(async |reason: DisconnectReason| println!("disconnected: {reason}"))
        .on_connect_error(async |failure: Failure| println!("{}", *failure))
        .connect()
        .await?;
    println!("connected as {}", socket.id().unwrap_or_default());
    let sum: i64 = socket
        .emit_with_ack("sum", (20, 22))
        .timeout(Duration::from_secs(1))
        .await?;
    println!("20 + 22 = {sum}");
    socket.emit("my_message", "hello").await?;
    socket.disconnect().await?;
    Ok(())
}
