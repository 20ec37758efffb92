//! The reason of the end is not known before the end.
//~ DisconnectReason` cannot be a parameter of this handler
//~ of `on_disconnect` alone: `DisconnectReason`

use kokanee::{DisconnectReason, Server};

fn main() {
    let io = Server::new();
    io.on("bye", async |reason: DisconnectReason| println!("{reason}"));
}
