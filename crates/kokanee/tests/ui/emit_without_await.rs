//! An event is sent when its future is awaited.
//~ a handler cannot return
//~ is to be awaited: `socket.emit(…).await`

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    io.on("news", async |socket: Socket| socket.emit("seen", 1));
}
