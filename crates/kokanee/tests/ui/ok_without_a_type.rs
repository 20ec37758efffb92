//! Nothing says which error `Ok(())` is not: `async |socket: Socket| -> kokanee::Result { … }` does.
//~ error[E0282]: type annotations needed
//~ consider specifying the generic arguments

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    io.on("greet", async |socket: Socket| {
        socket.emit("greeting", "hello").await?;
        Ok(())
    });
}
