//! Typed events: name, arguments and acknowledgement of an event are one type, which server and client share.
//!
//! Run it with `cargo run --bin typed`: it is server and client in one.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use kokanee::{Client, Event, Server, Socket, Typed, TypedAck, client};
use serde::{Deserialize, Serialize};

// Both sides use these types. In a real project they are in a separate crate.

/// The event `say`, with one argument, an object.
#[derive(Debug, Serialize, Deserialize, Event)]
struct Say {
    who: String,
    text: String,
}

/// The event `sum`, with two arguments. The answer is their sum, or why there is none.
#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "sum", ack = Result<u8, String>)]
struct Add(u8, u8);

/// Returns the server.
fn serve() -> Server {
    let io = Server::new();
    io.on_typed(async |Typed(say): Typed<Say>, socket: Socket| {
        let text = say.text.to_uppercase();
        socket.emit_typed(&Say { text, ..say }).await
    });
    io.on_typed(async |Typed(Add(a, b)): Typed<Add>, ack: TypedAck<Add>| {
        ack.send(a.checked_add(b).ok_or_else(|| "too large".to_owned()))
    });
    io
}

/// Runs the client.
async fn talk(url: &str) -> kokanee::Result<()> {
    let socket = Client::connect(url).await?;
    let (heard, mut hearing) = tokio::sync::mpsc::channel(1);
    socket.on_typed(move |Typed(say): Typed<Say>, _: client::Socket| {
        let heard = heard.clone();
        async move { heard.send(say).await }
    });
    let (who, text) = ("kokanee".to_owned(), "hello".to_owned());
    socket.emit_typed(&Say { who, text }).await?;
    if let Some(say) = hearing.recv().await {
        println!("{}: {}", say.who, say.text);
    }
    for add in [Add(20, 22), Add(200, 200)] {
        let answer = socket.emit_typed_with_ack(&add);
        match answer.timeout(Duration::from_secs(5)).await? {
            Ok(sum) => println!("{} + {} = {sum}", add.0, add.1),
            Err(error) => println!("{} + {}: {error}", add.0, add.1),
        }
    }
    socket.disconnect().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> kokanee::Result<()> {
    let listener = serve().bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr());
    tokio::spawn(listener.serve());
    talk(&url).await
}
