//! An event is answered through its acknowledgement.
//~ error[E0277]: a handler cannot return `i64`
//~ an event is answered through a parameter: `async |ack: Ack| ack.send(value)`, or `ack.send_result(result)`

use kokanee::{Data, Server};

fn main() {
    let io = Server::new();
    io.on("sum", async |Data((a, b)): Data<(i64, i64)>| a + b);
}
