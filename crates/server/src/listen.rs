//! The server's own listener: HTTP/1.1 by hyper, TLS by rustls, and deadlines that hyper does not have.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Body as HttpBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kokanee_handler::BoxError;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    acceptor::Accept,
    body::Body,
    clock,
    error::ListenError,
    extensions::PeerAddress,
    fallback::{Fallback, Requester, Route, Routing},
    forwarded::{Client, is_trusted},
    http::{DRAIN_TIMEOUT, MAX_DRAIN_BYTES, PendingOutcome, is_sound},
    leaving::leave,
    limits::Limits,
    moving::{self, Mover, Taker, is_plain},
    peer::Peer,
    proxy_protocol,
    respond::{not_found, refused},
    server::Server,
    service::Responding,
    static_files,
    watched::{Busy, Ending, Watch, WatchedStream},
};

/// Connections that the system queues until the server accepts them.
const BACKLOG: i32 = 4096;

/// Holds a bound address that is not served yet; made by [`Server::bind`].
///
/// ```no_run
/// # use kokanee_server::{ListenError, Server};
/// # async fn f(io: Server) -> Result<(), ListenError> {
/// let listener = io.bind("127.0.0.1:0").await?;
/// println!("listening on {}", listener.local_addr());
/// listener.serve().await;
/// # Ok(()) }
/// ```
///
/// `L` is the socket: a [`TcpListener`] or, with [`Server::listener`], a [`UnixListener`](tokio::net::UnixListener).
pub struct Listener<L = TcpListener> {
    server: Server,
    socket: L,
    routing: Arc<Routing>,
    proxy_protocol: bool,
    /// Ends the listener and its connections.
    stop: watch::Receiver<bool>,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl<L: std::fmt::Debug> std::fmt::Debug for Listener<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on an address (`host:port`) until [`close`](Self::close).
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), kokanee_server::ListenError> {
    /// let io = kokanee_server::Server::new();
    /// io.listen("0.0.0.0:3000").await?; // all IPv4 interfaces; "127.0.0.1:3000" is this machine only
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn listen(&self, address: &str) -> Result<(), ListenError> {
        self.bind(address).await?.serve().await;
        Ok(())
    }

    /// Binds an address (`host:port`; port 0 is any free port) for [`Listener::serve`]. Clients that connect before that wait.
    ///
    /// ```
    /// # use kokanee_server::Server;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_server::ListenError> {
    /// let io = Server::new();
    /// let listener = io.bind("127.0.0.1:0").await?;
    /// assert_ne!(listener.local_addr().port(), 0);
    /// tokio::spawn(listener.serve());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ListenError`] if the address cannot be listened on, or if a file that is to be served does not
    /// exist: a file or directory of [`serve_static`](Self::serve_static), or the client of
    /// [`serve_client`](crate::ServerBuilder::serve_client).
    pub async fn bind(&self, address: &str) -> Result<Listener, ListenError> {
        self.inner().check_files()?;
        let error = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::AddressInUse {
                address: address.to_owned(),
            },
            _ => ListenError::Bind {
                address: address.to_owned(),
                source,
            },
        };
        let addresses = tokio::net::lookup_host(address).await.map_err(error)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in addresses {
            match bind(candidate) {
                Ok(socket) => return self.listener(socket),
                Err(source) => last = source,
            }
        }
        Err(error(last))
    }

    /// Wraps a socket that listens already: one that another process has bound and passed on, or a Unix socket.
    ///
    /// ```no_run
    /// # use kokanee_server::{BoxError, Server};
    /// # async fn f(io: Server) -> Result<(), BoxError> {
    /// let socket = tokio::net::UnixListener::bind("/run/chat.socket")?;
    /// io.listener(socket)?.serve().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ListenError`] if a file that is to be served does not exist, as with [`bind`](Self::bind).
    pub fn listener<L: Accept>(&self, socket: L) -> Result<Listener<L>, ListenError> {
        self.inner().check_files()?;
        Ok(Listener {
            server: self.clone(),
            socket,
            routing: Arc::default(),
            proxy_protocol: false,
            stop: self.inner().stop.subscribe(),
            #[cfg(feature = "tls")]
            tls: None,
        })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // A restarted server can use its port again at once. On Windows the option means something else.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    /// Returns the address, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .expect("a socket that listens has an address")
    }
}

impl<L: Accept> Listener<L> {
    /// Answers the requests that are not for the server, and for which there is no static file, with a service. By default they
    /// are answered with 404.
    ///
    /// The service may be an application of axum, or a function:
    ///
    /// ```
    /// # use kokanee_server::{ListenError, Server};
    /// # async fn f(io: Server) -> Result<(), ListenError> {
    /// let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
    /// io.bind("127.0.0.1:3000").await?.fallback(app).serve().await;
    /// # Ok(()) }
    /// ```
    ///
    /// ```
    /// use http::{Request, Response};
    /// use hyper::body::Incoming;
    /// use kokanee_server::{Body, Requester};
    /// # use kokanee_server::{ListenError, Server};
    ///
    /// # async fn f(io: Server) -> Result<(), ListenError> {
    /// let who = tower::service_fn(async |request: Request<Incoming>| {
    ///     let address = request.extensions().get().and_then(Requester::address);
    ///     Ok(Response::new(Body::full(format!("you are {address:?}\n"))))
    /// });
    /// io.bind("127.0.0.1:3000").await?.fallback(who).serve().await;
    /// # Ok(()) }
    /// ```
    ///
    /// Request and response are streams: the body of the request is read as the service takes it, and that of the response is
    /// asked for as the client takes it. The extensions have the [`PeerAddress`] and the [`Requester`], and `hyper::upgrade::on`
    /// gives the connection after a response with status 101. If the client leaves, the service's future or its body is dropped; a client
    /// that has only ended its own stream counts as one that has left.
    /// Of the [`Limits`], those of heads, connections and writing apply, and none of bodies.
    #[must_use]
    pub fn fallback<S, B>(mut self, service: S) -> Self
    where
        S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Arc::make_mut(&mut self.routing).set_fallback(service);
        self
    }

    /// Tells the fallback that a client has ended its stream, and answers that client: the extensions of its requests have a
    /// [`StreamEnd`].
    #[doc(hidden)]
    #[must_use]
    pub fn tell_end(mut self) -> Self {
        Arc::make_mut(&mut self.routing).tells_end = true;
        self
    }

    /// Moves connections away: asks a function for each request of the fallback, unless its connection is encrypted or it has
    /// a form that cannot move, who takes the connection, to which this address belongs. Each part of the body of a request must come within a time.
    #[cfg(unix)]
    #[doc(hidden)]
    #[must_use]
    pub fn let_move(
        mut self,
        timeout: Duration,
        ask: impl Fn(&mut Parts, Option<SocketAddr>) -> Option<Taker> + Send + Sync + 'static,
    ) -> Self {
        let ask = Arc::new(ask);
        Arc::make_mut(&mut self.routing).mover = Some(Mover { ask, timeout });
        self
    }

    /// Asks a function for each request where it goes, in place of the comparison with the server's
    /// [`path`](crate::ServerBuilder::path). The function may change the request's head, so also its path and extensions.
    ///
    /// ```
    /// use http::request::Parts;
    /// use kokanee_server::Route;
    /// # use kokanee_server::{ListenError, Server};
    ///
    /// # async fn f(io: Server) -> Result<(), ListenError> {
    /// // The same server at a second path.
    /// let route = |request: &mut Parts| match request.uri.path() {
    ///     "/chat/" => {
    ///         let query = request.uri.query().unwrap_or_default();
    ///         request.uri = format!("/socket.io/?{query}").parse().expect("a path and a query that was one");
    ///         Route::Server
    ///     }
    ///     path if path.starts_with("/socket.io/") => Route::Server,
    ///     _ => Route::Fallback,
    /// };
    /// io.bind("127.0.0.1:3000").await?.route(route).serve().await;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn route(mut self, route: impl Fn(&mut Parts) -> Route + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.routing).set_route(route);
        self
    }

    /// Encrypts the connections with the certificate chain and the key of two PEM files.
    ///
    /// ```no_run
    /// # use std::path::Path;
    /// # use kokanee_server::{ListenError, Server};
    /// # async fn f(io: Server) -> Result<(), ListenError> {
    /// let listener = io.bind("0.0.0.0:443").await?;
    /// listener.tls(Path::new("fullchain.pem"), Path::new("privkey.pem"))?.serve().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ListenError::Tls`] if the files cannot be read or do not belong together.
    #[cfg(feature = "tls")]
    pub fn tls(
        mut self,
        certificate: &std::path::Path,
        key: &std::path::Path,
    ) -> Result<Self, ListenError> {
        self.tls = Some(crate::tls::acceptor(certificate, key)?);
        Ok(self)
    }

    /// Requires the PROXY protocol, version 1 or 2, from peers that [`trust_proxies`](crate::ServerBuilder::trust_proxies)
    /// names: what `send-proxy-v2` of HAProxy, `proxy_protocol` of nginx and many load balancers send in front of the first
    /// request. The address in it is the client's.
    ///
    /// ```no_run
    /// # use kokanee_server::{BoxError, Server};
    /// # async fn f() -> Result<(), BoxError> {
    /// let io = Server::builder().trust_proxies(["10.0.0.0/8".parse()?]).build();
    /// io.bind("10.0.0.5:3000").await?.proxy_protocol().serve().await;
    /// # Ok(()) }
    /// ```
    ///
    /// The header must arrive within [`header_timeout`](crate::Limits::header_timeout), and has at most 4 KiB; a connection
    /// without it is closed. Other peers are served without a header.
    #[must_use]
    pub fn proxy_protocol(mut self) -> Self {
        self.proxy_protocol = true;
        self
    }

    /// Has a signal end the listener and its HTTP connections, each after the response that is under way, in place of
    /// [`Server::close`]: the requests that are not for the server are still answered then.
    #[doc(hidden)]
    #[must_use]
    pub fn stop_with(mut self, stop: watch::Receiver<bool>) -> Self {
        self.stop = stop;
        self
    }

    /// Serves until [`Server::close`]. If the future is dropped, no more connections are accepted, and those that exist go on.
    pub async fn serve(self) {
        if self.proxy_protocol && self.server.inner().trusted_proxies.is_empty() {
            tracing::warn!("the PROXY protocol is not used, as trust_proxies names no proxy");
        }
        let mut stop = self.stop.clone();
        let mut last_log: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, address)) => self.spawn(stream, address),
                Err(error) => {
                    // Mostly out of file descriptors, which passes. The loop must not spin or fill the log.
                    if last_log.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                        tracing::error!(%error, "cannot accept connections");
                        last_log = Some(Instant::now());
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn spawn(&self, mut stream: L::Stream, address: Option<SocketAddr>) {
        let site = self.site();
        #[cfg(feature = "tls")]
        let tls = self.tls.clone();
        if self.proxy_protocol
            && let Some(proxy) = address
            && is_trusted(&self.server.inner().trusted_proxies, proxy.ip())
        {
            tokio::spawn(async move {
                let address = match L::as_tcp(&mut stream) {
                    Some(tcp) => read_proxy_header(&site.server, tcp, proxy).await,
                    None => Some(proxy),
                };
                let Some(address) = address else {
                    return;
                };
                #[cfg(feature = "tls")]
                if let Some(tls) = tls {
                    return Box::pin(serve_tls(site, tls, stream, Some(address))).await;
                }
                Box::pin(serve_connection(
                    site,
                    stream,
                    Vec::new(),
                    Some(address),
                    false,
                ))
                .await;
            });
            return;
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = tls {
            tokio::spawn(serve_tls(site, tls, stream, address));
            return;
        }
        tokio::spawn(serve_connection(site, stream, Vec::new(), address, false));
    }

    pub(crate) fn site(&self) -> Site {
        Site {
            server: self.server.clone(),
            routing: Arc::clone(&self.routing),
            stop: self.stop.clone(),
        }
    }
}

/// What a connection needs of its listener.
#[derive(Clone)]
pub(crate) struct Site {
    server: Server,
    pub(crate) routing: Arc<Routing>,
    stop: watch::Receiver<bool>,
}

/// Reads the address in front of the first request: that of the client, or of the proxy for a connection of its own.
async fn read_proxy_header(
    server: &Server,
    stream: &mut TcpStream,
    proxy: SocketAddr,
) -> Option<SocketAddr> {
    let deadline = server.limits().header_timeout;
    let error = match tokio::time::timeout(deadline, proxy_protocol::read(stream)).await {
        Ok(Ok(client)) => return Some(client.unwrap_or(proxy)),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    // A peer that sends nothing only checks whether the port is open.
    if error.kind() != io::ErrorKind::UnexpectedEof
        && let Some(skipped) = server.inner().proxy_log.pass()
    {
        tracing::warn!(%proxy, %error, skipped, "trusted proxy does not speak the PROXY protocol, closing");
    }
    None
}

#[cfg(feature = "tls")]
async fn serve_tls<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: Site,
    tls: tokio_rustls::TlsAcceptor,
    stream: S,
    address: Option<SocketAddr>,
) {
    let deadline = site.server.limits().header_timeout;
    match tokio::time::timeout(deadline, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve_connection(site, stream, Vec::new(), address, true).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake too slow"),
    }
}

impl Server {
    /// Serves HTTP on a stream that another listener accepted. Returns when the connection has ended, or has become a
    /// WebSocket.
    ///
    /// ```no_run
    /// # use kokanee_server::Server;
    /// # async fn f(io: Server) -> std::io::Result<()> {
    /// let listener = tokio::net::UnixListener::bind("/run/chat.socket")?;
    /// loop {
    ///     let (stream, _) = listener.accept().await?;
    ///     let io = io.clone();
    ///     tokio::spawn(async move { io.serve_stream(stream, None).await });
    /// }
    /// # }
    /// ```
    pub async fn serve_stream<S>(&self, stream: S, address: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        serve_connection(self.site(), stream, Vec::new(), address, false).await;
    }

    pub(crate) fn site(&self) -> Site {
        Site {
            server: self.clone(),
            routing: Arc::default(),
            stop: self.inner().stop.subscribe(),
        }
    }
}

/// Serves HTTP on a stream of which something was `read` already.
pub(crate) async fn serve_connection<S>(
    site: Site,
    stream: S,
    read: Vec<u8>,
    address: Option<SocketAddr>,
    secure: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (server, routing, mut stop) = (site.server, site.routing, site.stop);
    let limits = Arc::clone(&server.inner().limits);
    let signal = stop.clone();
    let watch = Arc::new(Watch::new(routing.mover.is_some() && is_plain::<S>()));
    let stream = TokioIo::new(WatchedStream::new(stream, read, Arc::clone(&watch)));
    let peer = Peer {
        address,
        secure,
        deliveries: Some(Arc::clone(&watch.deliveries)),
        lingers: true,
        needs_host: true,
    };
    let service = {
        let (watch, server) = (Arc::clone(&watch), server.clone());
        service_fn(move |request| Reply::new(&server, &routing, request, &peer, &watch))
    };
    let http = protocol(&limits);
    let mut connection = http.serve_connection(stream, service).with_upgrades();
    let stopped = async {
        // An error means that the server is gone, which is a reason to stop, too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut stopped = std::pin::pin!(stopped);
    let mut sleep = std::pin::pin!(tokio::time::sleep_until(watch.deadline(&limits).into()));
    let mut stopping = false;
    // The waker of the timer and the stop signal. They are polled when it changes or they have fired, not at every turn.
    let mut registered: Option<Waker> = None;
    let ending = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "HTTP connection ended");
            }
            return Poll::Ready(Ending::Answered);
        }
        if let Some(ending) = watch.over() {
            return Poll::Ready(ending);
        }
        let is_registered = registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        // An error is a change, too.
        if !is_registered || (!stopping && signal.has_changed().unwrap_or(true)) {
            registered = Some(cx.waker().clone());
            if !stopping && stopped.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
                cx.waker().wake_by_ref();
            }
        }
        // A shorter deadline may have begun since the timer was set.
        let sooner = watch
            .short_deadline(&limits)
            .filter(|&deadline| deadline < sleep.deadline().into_std());
        if let Some(deadline) = sooner {
            sleep.as_mut().reset(deadline.into());
        }
        let asks_timer = !is_registered || sooner.is_some() || sleep.is_elapsed();
        while asks_timer && sleep.as_mut().poll(cx).is_ready() {
            let deadline = watch.deadline(&limits);
            if deadline <= clock::now() {
                tracing::debug!("HTTP connection too slow or idle, closing");
                return Poll::Ready(watch.ending());
            }
            sleep.as_mut().reset(deadline.into());
        }
        Poll::Pending
    })
    .await;
    // If it became a WebSocket, the stream was taken.
    let parts = connection.into_parts().map(unread);
    // Undelivered packets go back to their sessions now.
    drop(watch);
    if let Some((stream, unread)) = parts {
        Box::pin(end(stream, unread, ending)).await;
    }
}

/// Returns the stream of a connection, and what was read of it and not answered.
fn unread<S: 'static, T>(parts: http1::Parts<TokioIo<WatchedStream<S>>, T>) -> (S, Vec<u8>) {
    let (stream, ahead, _) = parts.io.into_inner().into_parts();
    (stream, [&*parts.read_buf, &ahead].concat())
}

/// Ends the service of a connection.
async fn end<S>(stream: S, unread: Vec<u8>, ending: Ending)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match ending {
        Ending::Cut => {}
        Ending::Moved(moved) => moved.give(stream, &unread),
        Ending::LateHead => linger(stream, REQUEST_TIMEOUT).await,
        Ending::Answered => linger(stream, b"").await,
    }
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // What the end of the client's stream means depends on the request: see `stream_end.rs`.
    http.half_close(true);
    // Head and body are written in one piece: copying a small answer is faster than a vectored write.
    http.writev(false);
    http.max_buf_size(limits.max_header_bytes.max(8192));
    if limits.max_headers != 100 {
        http.max_headers(limits.max_headers);
    }
    http
}

/// The answer to a request whose head is not complete in time.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Ends a connection so that the client can read the last answer, and writes it if it is not written yet. What the client
/// is still sending is read and discarded: unread bytes would reset the connection, and the client could lose the answer.
pub(crate) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &[u8]) {
    // Errors mean that the client has gone.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let mut unread = vec![0; 16 * 1024];
        let mut left = MAX_DRAIN_BYTES;
        while left > 0 {
            match stream.read(&mut unread).await? {
                0 => break,
                count => left = left.saturating_sub(count as u64),
            }
        }
        io::Result::Ok(())
    })
    .await;
}

/// The future of the response to a request.
struct Reply {
    responding: Responding<Incoming>,
    /// The connection ends after it.
    closes: bool,
    /// A response of the server with status 101 is kept for its WebSocket.
    is_servers: bool,
    busy: Option<Busy>,
}

impl Reply {
    fn new(
        server: &Server,
        routing: &Routing,
        request: Request<Incoming>,
        peer: &Peer,
        watch: &Arc<Watch>,
    ) -> Self {
        let busy = Busy::new(watch);
        // A body may have both a length and chunks; hyper uses the chunks and hides the length. A proxy that uses the length
        // would find the end at another byte, so no request may follow. Spec: RFC 9112 6.1.
        let is_chunked = request.body().size_hint().exact().is_none();
        if let Some(route) = routing.route() {
            let (mut parts, body) = request.into_parts();
            let route = route(&mut parts);
            let request = Request::from_parts(parts, body);
            return Self::routed(server, routing, request, peer, route, is_chunked, busy);
        }
        let route = if server.inner().is_ours(request.uri().path()) {
            Route::Server
        } else {
            Route::Fallback
        };
        Self::routed(server, routing, request, peer, route, is_chunked, busy)
    }

    #[inline]
    fn routed(
        server: &Server,
        routing: &Routing,
        request: Request<Incoming>,
        peer: &Peer,
        route: Route,
        is_chunked: bool,
        busy: Busy,
    ) -> Self {
        let is_servers = matches!(route, Route::Server);
        let responding = match route {
            Route::Server => {
                let responding = server.respond(request, peer);
                if responding.is_poll() {
                    busy.end().drop_request();
                }
                responding
            }
            Route::Answer(response) => PendingOutcome::now(*response).into(),
            Route::Fallback => other(server, routing, request, peer, &busy).into(),
        };
        Self {
            responding,
            closes: is_chunked,
            is_servers,
            busy: Some(busy),
        }
    }
}

impl Future for Reply {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(Pin::new(&mut self.responding).poll(cx));
        if self.closes {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if let Some(busy) = self.busy.take() {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS && self.is_servers {
                busy.note_upgrade();
            }
            // While a stream lasts, its connection is not idle, however long nothing is sent.
            response.body_mut().keep_busy(busy);
        }
        Poll::Ready(Ok(response))
    }
}

/// Answers a request that is not for the server: with a file, by the fallback, or with 404.
fn other(
    server: &Server,
    routing: &Routing,
    request: Request<Incoming>,
    peer: &Peer,
    busy: &Busy,
) -> PendingOutcome<Incoming> {
    busy.note_other();
    let (mut parts, body) = request.into_parts();
    if !is_sound(&parts, parts.version == Version::HTTP_11) {
        return PendingOutcome::now(refused(StatusCode::BAD_REQUEST));
    }
    if let Some(watch) = busy.movable()
        && let Some(mover) = &routing.mover
        && moving::can_move_with(&parts, &body)
        && let Some(taker) = (mover.ask)(&mut parts, peer.address)
    {
        let read = moving::head_bytes(&parts, &body);
        let watch = Arc::clone(watch);
        let go = move |moved| watch.leave(moved);
        let leaving = leave(go, read, body, mover.timeout, taker);
        return PendingOutcome::later(leaving);
    }
    let file = {
        let files = server.inner().static_files.read();
        files.find(parts.uri.path())
    };
    let fallback = routing.fallback().map(Arc::clone);
    if fallback.is_some() {
        if let Some(address) = peer.address {
            parts.extensions.insert(PeerAddress(address));
        }
        let client = Client::of(&server.inner().trusted_proxies, peer, &parts);
        parts.extensions.insert(Requester::of(client));
        if routing.tells_end {
            parts.extensions.insert(busy.end().clone());
        }
    }
    let (end, tells_end) = (busy.end().clone(), routing.tells_end);
    let fall_back = move |fallback: &Fallback, request| {
        if tells_end {
            end.wake();
        } else {
            end.drop_request();
        }
        fallback(request)
    };
    if let (None, Some(fallback)) = (&file, &fallback) {
        // The usual case, without the files' part of the future.
        let answering = fall_back(fallback.as_ref(), Request::from_parts(parts, body));
        return PendingOutcome::later(async move { answering.await.into() });
    }
    PendingOutcome::later(async move {
        let served = match file {
            Some(file) => static_files::serve(file, &parts.method, &parts.headers).await,
            None => None,
        };
        let is_head = parts.method == Method::HEAD;
        let mut response = match (served, fallback) {
            (Some(served), _) => served,
            (None, Some(fallback)) => {
                let request = Request::from_parts(parts, body);
                return fall_back(fallback.as_ref(), request).await.into();
            }
            (None, None) => not_found(),
        };
        if is_head {
            *response.body_mut() = Body::empty();
        }
        drop(body);
        response.into()
    })
}
