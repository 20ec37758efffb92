//! Streams that the application accepted, with a request that it has read already.

use std::{any::Any, io, net::SocketAddr};

use http::{Request, Response, header};
use http_body_util::BodyExt;
use kokanee_io::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::{body::Body, listen::linger, peer::Peer, respond::not_found, server::Server};

impl Server {
    /// Answers a request on a stream whose request head was read already, and keeps the stream if it becomes a WebSocket.
    /// Otherwise the stream is closed after the answer. Returns when the answer is written.
    ///
    /// `unread` is what was read after the request's head and is not part of its body.
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// use kokanee_server::Server;
    /// use tokio::net::TcpStream;
    ///
    /// // A program that reads requests itself, and serves other protocols on the same port.
    /// async fn serve(io: Server, stream: TcpStream, head: http::request::Parts, unread: Vec<u8>) -> std::io::Result<()> {
    ///     let address = stream.peer_addr()?;
    ///     let request = http::Request::from_parts(head, http_body_util::Empty::<bytes::Bytes>::new());
    ///     io.accept(stream, request, &unread, Some(address)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub async fn accept<S, B>(
        &self,
        stream: S,
        request: Request<B>,
        unread: &[u8],
        address: Option<SocketAddr>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: http_body::Body<Data: Send, Error: std::fmt::Display> + Send,
    {
        let mut stream = stream;
        let peer = Peer {
            address,
            secure: request.uri().scheme() == Some(&http::uri::Scheme::HTTPS),
            lingers: true,
            needs_host: false,
            ..Peer::default()
        };
        let answer = if self.inner().is_ours(request.uri().path()) {
            self.inner().handle(request.map(Box::pin), &peer).await
        } else {
            not_found().into()
        };
        if let Some(ticket) = answer.ticket {
            stream.write_all(&head(&answer.response, None)).await?;
            stream.flush().await?;
            ticket.run(plain(stream), unread, Vec::new());
            return Ok(());
        }
        let (parts, body) = answer.response.into_parts();
        let body = body.collect().await?.to_bytes();
        let response = Response::from_parts(parts, Body::empty());
        let mut bytes = head(&response, Some(body.len()));
        bytes.extend_from_slice(&body);
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        // Unread bytes would reset the connection, and the client could lose the answer.
        tokio::spawn(async move { linger(stream, b"").await });
        Ok(())
    }
}

/// Returns the head of a response as HTTP/1.1 bytes. With a body, the connection ends after it.
fn head(response: &Response<Body>, body_len: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        // With a body, the line below replaces it.
        if body_len.is_some() && name == header::CONNECTION {
            continue;
        }
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if let Some(len) = body_len {
        head.extend_from_slice(
            format!("content-length: {len}\r\nconnection: close\r\n").as_bytes(),
        );
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Unwraps a plain TCP stream, and boxes any other.
fn plain<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> Stream {
    let mut stream = Some(stream);
    let any: &mut dyn Any = &mut stream;
    if let Some(tcp) = any
        .downcast_mut::<Option<TcpStream>>()
        .and_then(Option::take)
    {
        kokanee_io::tune(&tcp);
        return Stream::Tcp(tcp);
    }
    match stream {
        Some(stream) => Stream::Other(Box::pin(stream)),
        None => unreachable!("taken only above, which returns"),
    }
}
