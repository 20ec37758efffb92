//! What a client may see of an error is for the middleware to say.
//~ a middleware cannot return
//~ `.map_err(|_| ConnectError::new("no such user"))?`

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    io.middleware(async |socket: Socket| -> kokanee::Result {
        socket.join("room")?;
        Ok(())
    });
}
