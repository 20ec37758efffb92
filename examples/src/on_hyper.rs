//! Socket.IO on plain hyper, beside a route of the application: requests below `/socket.io` go to the server.
//!
//! Run it with `cargo run --bin on-hyper`; `PORT` sets the port.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::convert::Infallible;

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kokanee::{Ack, Args, Server, Socket, server::Body};
use tower_service::Service;

/// Answers `/health`, and hands everything else to the server.
async fn route(mut io: Server, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/health" {
        return Ok(Response::new(Body::full("ok\n")));
    }
    io.call(request).await
}

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
        let io = io.clone();
        let service = service_fn(move |request| route(io.clone(), request));
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
