//! Socket.IO on plain hyper: the server is the service of each connection.
//!
//! Run it with `cargo run --bin on-hyper`; `PORT` sets the port.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use kokanee::{Ack, Args, Server, Socket};

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
    let port = std::env::var("PORT").unwrap_or_else(|_| "5002".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(io.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            if let Err(error) = connection.await {
                println!("connection ended: {error}");
            }
        });
    }
}
