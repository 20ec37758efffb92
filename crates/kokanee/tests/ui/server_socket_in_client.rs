//! Server and client have sockets of their own.
//~ only handlers of a server have this parameter
//~ handlers of a client have the types of `kokanee::client`

use kokanee::{Client, Data, Socket};

fn main() {
    let _client = Client::builder("http://127.0.0.1:3000")
        .on("news", async |socket: Socket, Data(text): Data<String>| socket.emit("seen", text).await);
}
