//! A handler is async.
//~ error[E0277]: `()` is not a future

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    io.on_connect(|socket: Socket| println!("{}", socket.id()));
}
