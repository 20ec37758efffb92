//! `Data` takes what can be deserialized.
//~ the trait bound `Message: serde::Deserialize
//~ consider adding `#[derive(serde::Deserialize)]` to your `Message` type

use kokanee::{Data, Server};

struct Message {
    text: String,
}

fn main() {
    let io = Server::new();
    io.on("chat", async |Data(message): Data<Message>| println!("{}", message.text));
}
