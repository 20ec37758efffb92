//! Streams that somebody else accepted, and whose request somebody else has parsed.

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
    /// Takes a stream whose request was read by somebody else: answers it, and keeps the stream if it becomes a
    /// WebSocket. Otherwise the stream is closed after the answer. Returns when the answer is written.
    ///
    /// `unread` is what was read behind the request's head and is not part of its body.
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
        // What the client is still sending would break the connection, and the answer with it.
        tokio::spawn(async move { linger(stream, b"").await });
        Ok(())
    }
}

/// The head of a response as HTTP/1.1 bytes. With a body, the connection ends behind it.
fn head(response: &Response<Body>, body_len: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        // With a body, the line of our own below says it.
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

/// A plain TCP stream is driven as such, anything else behind a box.
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
