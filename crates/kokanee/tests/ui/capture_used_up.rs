//! A closure that gives away what it captured can be called once alone.
//~ error[E0277]: this is not a handler
//~ if it captures a variable: state of the application is a parameter, `State<T>`; anything else is cloned for each call: `move |socket: Socket| { let x = x.clone(); async move { … } }`

use kokanee::{Server, Socket};

fn main() {
    let io = Server::new();
    let name = "sockeye".to_owned();
    io.on("greet", move |socket: Socket| async move {
        socket.emit("greeting", name).await
    });
}
