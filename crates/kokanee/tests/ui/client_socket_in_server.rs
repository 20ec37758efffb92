//! Server and client have sockets of their own.
//~ only handlers of a client have this parameter
//~ handlers of a server have the types of `kokanee` and `kokanee::server`

use kokanee::{Server, client::Socket};

fn main() {
    let io = Server::new();
    io.on("news", async |socket: Socket| println!("{:?}", socket.id()));
}
