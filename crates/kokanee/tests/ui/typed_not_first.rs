//! The event of a typed handler is known by its first parameter.
//~ error[E0277]: the first parameter must be `Typed<E>`

use kokanee::{Ack, Server};

fn main() {
    let io = Server::new();
    io.on_typed(async |ack: Ack| ack.send(()));
}
