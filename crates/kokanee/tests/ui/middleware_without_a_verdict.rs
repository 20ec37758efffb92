//! A middleware decides.
//~ error[E0277]: a middleware cannot return `()`
//~ `if allowed { Ok(()) } else { Err("not authorized") }`

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    io.middleware(async |socket: Socket| println!("{}", socket.id()));
}
