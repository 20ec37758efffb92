//! A server in twenty lines: it relays messages to a room and adds two numbers.
//!
//! Run it with `cargo run --bin chat` and connect any Socket.IO client to <http://127.0.0.1:5000>.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use kokanee::{Ack, Data, DisconnectReason, Server, Socket};

#[tokio::main]
async fn main() -> kokanee::Result<()> {
    let io = Server::new();
    io.on_connect(async |socket: Socket| {
        println!("connect {}", socket.id());
        socket.join("lobby")
    });
    io.on(
        "my_message",
        async |socket: Socket, Data(text): Data<String>| {
            socket.to("lobby").emit("my_message", &text).await
        },
    );
    io.on("sum", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| {
        ack.send(a + b)
    });
    io.on_disconnect(async |socket: Socket, reason: DisconnectReason| {
        println!("disconnect {} {reason}", socket.id());
    });
    io.listen("127.0.0.1:5000").await?;
    Ok(())
}
