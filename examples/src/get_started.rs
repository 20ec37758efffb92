//! The chat of the JavaScript server's "get started", with its `index.html` as it is.
//!
//! Put that page into a folder and `npm install socket.io-client` there, then start this in it:
//! `cargo run --manifest-path …/kokanee/Cargo.toml --bin get-started`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use kokanee::{Data, Server};

#[tokio::main]
async fn main() -> kokanee::Result<()> {
    let io = Server::builder()
        .serve_client("node_modules/socket.io-client/dist")
        .build();
    io.serve_static("/", "index.html");
    io.on(
        "chat message",
        async |io: Server, Data(message): Data<String>| io.emit("chat message", message).await,
    );

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = io.bind(&format!("127.0.0.1:{port}")).await?;
    println!("server running at http://{}", listener.local_addr());
    listener.serve().await;
    Ok(())
}
