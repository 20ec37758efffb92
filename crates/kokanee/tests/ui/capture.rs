//! An async closure that captures something cannot be called again and again.
//~ error[E0277]: this is not a handler
//~ not an async function that can be called for every event
//~ if it captures a variable: state of the application is a parameter, `State<T>`; anything else is cloned for each call: `move |socket: Socket| { let x = x.clone(); async move { … } }`

use std::sync::Arc;

use kokanee::{Data, Server, Socket};

fn main() {
    let io = Server::new();
    let name = Arc::new("sockeye".to_owned());
    io.on("greet", async move |socket: Socket, Data(text): Data<String>| {
        socket.emit("greeting", format!("{text} {name}")).await
    });
}
