//! The server as a tower service: in axum, hyper or any other host that takes such services.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Either;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use kokanee_io::Stream;
use tokio::net::TcpStream;

use crate::{
    body::Body,
    extensions::address_of,
    http::{BoxFuture, PendingOutcome, Ticket},
    peer::Peer,
    respond::not_found,
    server::Server,
    watched::WatchedStream,
};

impl Server {
    /// Answers a request that is for this server, and takes over the connection if it becomes a WebSocket.
    pub(crate) fn respond<B>(&self, mut request: Request<B>, peer: &Peer) -> Responding<B>
    where
        B: http_body::Body<Data: Send, Error: std::fmt::Display> + Send + Unpin,
    {
        let upgrade = hyper::upgrade::on(&mut request);
        Responding {
            answering: self.inner().handle(request, peer),
            upgrade: Some(upgrade),
        }
    }

    /// Returns a layer that answers the server's requests and passes on all others.
    ///
    /// ```
    /// # use kokanee_server::Server;
    /// let io = Server::new();
    /// let app: axum::Router = axum::Router::new()
    ///     .route("/", axum::routing::get(async || "hello"))
    ///     .layer(io.layer());
    /// ```
    ///
    /// Layers that are added after it run before it, and what they put into the request's extensions is in
    /// [`Handshake::extensions`](crate::Handshake::extensions). With the feature `axum` the client's address is that of
    /// axum's `ConnectInfo<SocketAddr>`; see [`PeerAddress`](crate::PeerAddress). When the application shuts down, call
    /// [`close`](Self::close) first: axum waits for open requests, and so for polls, up to 25 s each.
    ///
    /// Files of [`serve_client`](crate::ServerBuilder::serve_client) that do not exist are logged as a warning.
    pub fn layer(&self) -> SocketIoLayer {
        if let Err(error) = self.inner().check_files() {
            tracing::warn!(%error, "files that the server is to serve are missing");
        }
        SocketIoLayer {
            server: self.clone(),
        }
    }
}

/// The future of a response, on a connection that may become a WebSocket.
pub(crate) struct Responding<B> {
    answering: PendingOutcome<B>,
    upgrade: Option<OnUpgrade>,
}

impl<B> From<PendingOutcome<B>> for Responding<B> {
    /// The connection does not become a WebSocket.
    fn from(answering: PendingOutcome<B>) -> Self {
        Self {
            answering,
            upgrade: None,
        }
    }
}

impl<B> Responding<B> {
    /// Returns whether the response waits until there is something to send.
    pub(crate) fn is_poll(&self) -> bool {
        self.answering.is_poll()
    }
}

impl<B> Future for Responding<B>
where
    B: http_body::Body<Data: Send, Error: std::fmt::Display> + Send + Unpin,
{
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let answer = ready!(Pin::new(&mut self.answering).poll(cx));
        if let Some(ticket) = answer.ticket
            && let Some(upgrade) = self.upgrade.take()
        {
            tokio::spawn(hand_over(upgrade, ticket));
        }
        Poll::Ready(answer.response)
    }
}

async fn hand_over(upgrade: OnUpgrade, ticket: Box<Ticket>) {
    match upgrade.await {
        Ok(upgraded) => {
            let (stream, unread, unsent) = unwrap_stream(upgraded);
            ticket.run(stream, &unread, unsent);
        }
        Err(error) => tracing::debug!(%error, "upgrade failed"),
    }
}

/// Takes the plain TCP stream out of hyper's wrappers, so that a WebSocket costs no more than its stream. Returns also what was
/// read after the request, and what is left to be written of the response.
fn unwrap_stream(upgraded: Upgraded) -> (Stream, Bytes, Vec<u8>) {
    let upgraded = match upgraded.downcast::<TokioIo<WatchedStream<TcpStream>>>() {
        Ok(parts) => {
            let (stream, ahead, unsent) = parts.io.into_inner().into_parts();
            let unread = if ahead.is_empty() {
                parts.read_buf
            } else {
                [&parts.read_buf[..], &ahead].concat().into()
            };
            return (Stream::Tcp(stream), unread, unsent);
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            kokanee_io::tune(&stream);
            (Stream::Tcp(stream), parts.read_buf, Vec::new())
        }
        Err(upgraded) => {
            let stream = Stream::Other(Box::pin(TokioIo::new(upgraded)));
            (stream, Bytes::new(), Vec::new())
        }
    }
}

/// Returns what the host knows about the connection, from the request.
fn peer_of<B>(request: &Request<B>) -> Peer {
    Peer {
        address: address_of(request.extensions()),
        secure: request.uri().scheme() == Some(&http::uri::Scheme::HTTPS),
        ..Peer::default()
    }
}

/// Answers requests that are not for the server with 404.
impl<B> tower_service::Service<Request<B>> for Server
where
    B: http_body::Body<Data: Send, Error: std::fmt::Display> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            if !server.inner().is_ours(request.uri().path()) {
                return Ok(not_found());
            }
            let peer = peer_of(&request);
            Ok(server.respond(request.map(Box::pin), &peer).await)
        })
    }
}

/// Wraps services of a tower application; made by [`Server::layer`].
#[derive(Debug, Clone)]
pub struct SocketIoLayer {
    server: Server,
}

impl<S> tower_layer::Layer<S> for SocketIoLayer {
    type Service = SocketIoService<S>;

    fn layer(&self, inner: S) -> SocketIoService<S> {
        SocketIoService {
            server: self.server.clone(),
            inner,
        }
    }
}

/// Answers the server's requests and passes on all others to `S`; made by [`SocketIoLayer`].
#[derive(Debug, Clone)]
pub struct SocketIoService<S> {
    server: Server,
    inner: S,
}

impl<S, B, R> tower_service::Service<Request<B>> for SocketIoService<S>
where
    S: tower_service::Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: Send + 'static,
    B: http_body::Body<Data: Send, Error: std::fmt::Display> + Send + 'static,
{
    type Response = Response<Either<Body, R>>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.server.inner().is_ours(request.uri().path()) {
            let server = self.server.clone();
            let peer = peer_of(&request);
            return Box::pin(async move {
                let response = server.respond(request.map(Box::pin), &peer).await;
                Ok(response.map(Either::Left))
            });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(answer.await?.map(Either::Right)) })
    }
}
