//! There is nothing to acknowledge when a client has left.
//~ error[E0277]: only handlers of events have `Data`, `Typed`, `Args`, `RawEvent`, `EventName`, `Ack` and `TypedAck` as parameters
//~ a handler of another kind

use kokanee::{Ack, Server};

fn main() {
    let io = Server::new();
    io.on_disconnect(async |ack: Ack| ack.send("bye"));
}
