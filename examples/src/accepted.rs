//! An application with its own listener: it reads each request, answers its own routes, and hands Socket.IO requests to the server.
//!
//! Run it with `cargo run --bin accepted`; `PORT` sets the port.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::io;

use kokanee::{Ack, Args, Server, Socket, http::Request, server::Body};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

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
    let port = std::env::var("PORT").unwrap_or_else(|_| "5003".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let io = io.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(io, stream).await {
                println!("connection ended: {error}");
            }
        });
    }
}

async fn serve(io: Server, mut stream: TcpStream) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (
        request_line.next().unwrap_or_default(),
        request_line.next().unwrap_or_default(),
    );
    if !target.starts_with("/socket.io") {
        return stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nhi\n")
            .await;
    }
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let address = stream.peer_addr()?;
    match request.body(Body::empty()) {
        Ok(request) => io.accept(stream, request, &[], Some(address)).await,
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Reads the head of a request, of at most 16 KiB. A WebSocket client sends nothing after it until it gets the answer.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == 16 * 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(stream.read_u8().await?);
    }
    String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
}
