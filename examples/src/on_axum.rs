//! Socket.IO inside an axum application: its routes and its middleware go on beside it.
//!
//! Run it with `cargo run --bin on-axum`; `PORT` sets the port. Then `curl http://127.0.0.1:5001/hello`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use axum::{Router, extract::State, routing::get};
use kokanee::{Ack, Args, Server, Socket};
use tower_http::trace::TraceLayer;

#[tokio::main]
async fn main() -> kokanee::Result<()> {
    let io = Server::new();
    io.on("echo", async |socket: Socket, args: Args, ack: Ack| {
        if ack.is_wanted() {
            ack.send_args(&args)
        } else {
            socket.emit_args("echo", &args).await
        }
    });
    let app = Router::new()
        .route("/hello", get(async || "hello"))
        // An ordinary request reaches all sockets.
        .route("/announce", get(announce))
        .with_state(io.clone())
        .layer(io.layer())
        .layer(TraceLayer::new_for_http());

    let port = std::env::var("PORT").unwrap_or_else(|_| "5001".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn announce(State(io): State<Server>) -> String {
    match io.emit("announcement", "tea is ready").await {
        Ok(_) => "announced\n".to_owned(),
        Err(error) => format!("not announced: {error}\n"),
    }
}
