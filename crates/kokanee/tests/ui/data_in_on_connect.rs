//! There is no event when a client connects.
//~ error[E0277]: only handlers of events have `Data`, `Typed`, `Args`, `RawEvent`, `EventName`, `Ack` and `TypedAck` as parameters
//~ there is no event in `on_connect` and `on_disconnect`: what a client sends with its connection is `Auth<T>`, what it sends later comes to `on("event", async |Data(value): Data<T>, ack: Ack| …)`

use kokanee::{Data, Server};

fn main() {
    let io = Server::new();
    io.on_connect(async |Data(name): Data<String>| println!("{name}"));
}
