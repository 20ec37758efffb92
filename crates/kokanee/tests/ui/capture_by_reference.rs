//! What a handler borrows must live for as long as the server does.
//~ error[E0597]: `name` does not live long enough
//~ argument requires that `name` is borrowed for `'static`

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    let name = "sockeye".to_owned();
    io.on("greet", async |socket: Socket| socket.emit("greeting", &name).await);
}
