//! Arguments come in `Data`.
//~ String` cannot be a parameter of this handler
//~ of handlers of events: `Data<T>` for the arguments, as in `Data(text): Data<String>` or `Data((a, b)): Data<(i64, i64)>`, and `Ack`

use kokanee::Server;

fn main() {
    let io = Server::new();
    io.on("greet", async |name: String| println!("{name}"));
}
