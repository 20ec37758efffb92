//! From a request to a response: routes what is below the server's path, opens sessions, and hands polls, posts and
//! `WebSockets` to the task of their session. Every host of the server calls this.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Body as HttpBody;
use kokanee_engineio::{CloseReason, Handshake, OutPacket, Session, Sid, Str, Transport};
use kokanee_io::{Stream, WebSocketIo};
use tokio::time::{Sleep, sleep};

use crate::{
    admission::{Admitted, ClaimedSid, NewSession, Query},
    body::Body,
    client_bundle::ClientBundle,
    clock,
    delivery::Deliveries,
    driver::Driver,
    extensions::{NoUpgrade, PeerAddress},
    forwarded::Client,
    host::is_host,
    inner::ServerInner,
    mailbox::{Command, Mailbox},
    origin::Pages,
    peer::Peer,
    polling::{PendingPoll, PendingPost, noop},
    refusal::Refusal,
    request_head::RequestHead,
    respond::{not_found, refused, status},
    sessions::{Full, SessionGuard},
    websocket_handshake::{accept_websocket, first_protocol, is_websocket_request},
};

/// Most packets in an answer that python-socketio's client reads: it drops the connection, and all of them, if there are more.
const PYTHON_POLL_PACKETS: u16 = 16;

/// How much, and for how long, is read of a request that was answered before its end, so that the client, which often does
/// not read before it has sent everything, receives the answer instead of a reset.
pub(crate) const MAX_DRAIN_BYTES: u64 = 16 * 1024 * 1024;
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The answer to a request. With a ticket it is 101: after that is sent, the ticket is run with the stream.
pub(crate) struct Outcome {
    pub(crate) response: Response<Body>,
    pub(crate) ticket: Option<Box<Ticket>>,
}

impl From<Response<Body>> for Outcome {
    fn from(response: Response<Body>) -> Self {
        Self {
            response,
            ticket: None,
        }
    }
}

/// A request that is being answered.
///
/// Everything that needs no waiting is done when this is created. The request's head is dropped then, because it would keep the
/// host's read buffer, unless the answer waits for a file or the application's decision. The future is `Unpin`, so that
/// hosts can poll it in place.
pub(crate) struct PendingOutcome<B> {
    step: Step<B>,
    /// Headers that are added to any answer.
    headers: Option<Box<HeaderMap>>,
    /// A body that is not read. When it is dropped, the host may end the connection, so it is kept until the answer.
    unread: Option<B>,
    drain: Drain<B>,
}

/// What is done with an unread body when the answer is known.
enum Drain<B> {
    /// Nothing: the host handles it, or the client waits for `100 Continue` before it sends it.
    Not,
    /// It is read first: a client that cannot send often does not read the answer.
    First,
    Now(Draining<B>),
}

/// What an answer waits for.
enum Step<B> {
    Nothing(Outcome),
    /// The first packets of a session.
    Opening(PendingPoll),
    Poll(PendingPoll),
    Post(PendingPost<B>),
    /// A file, or the application's decision.
    Other(BoxFuture<Outcome>),
    Done,
}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<B> PendingOutcome<B> {
    pub(crate) fn now(answer: impl Into<Outcome>) -> Self {
        Step::from(answer).into()
    }

    /// Creates an answer that waits for something other than a session.
    pub(crate) fn later(answer: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Step::Other(Box::pin(answer)).into()
    }

    /// Returns whether the answer waits until there is something to send.
    pub(crate) fn is_poll(&self) -> bool {
        matches!(self.step, Step::Poll(_))
    }
}

impl<B> From<Step<B>> for PendingOutcome<B> {
    fn from(step: Step<B>) -> Self {
        Self {
            step,
            headers: None,
            unread: None,
            drain: Drain::Not,
        }
    }
}

impl<B, A: Into<Outcome>> From<A> for Step<B> {
    fn from(answer: A) -> Self {
        Self::Nothing(answer.into())
    }
}

impl<B> Future for PendingOutcome<B>
where
    B: HttpBody<Data: Send, Error: std::fmt::Display> + Send + Unpin,
{
    type Output = Outcome;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Drain::Now(draining) = &mut self.drain {
            ready!(draining.poll(cx));
            self.drain = Drain::Not;
        }
        let mut answer = match &mut self.step {
            Step::Opening(poll) | Step::Poll(poll) => ready!(Pin::new(poll).poll(cx)).into(),
            Step::Post(post) => {
                let answer = ready!(post.poll_response(cx)).into();
                if let Some(body) = post.unread() {
                    self.unread = Some(body);
                }
                answer
            }
            Step::Other(other) => ready!(other.as_mut().poll(cx)),
            step => match std::mem::replace(step, Step::Done) {
                Step::Nothing(answer) => answer,
                // A future is not polled after it has ended.
                _ => return Poll::Pending,
            },
        };
        if let Drain::First = self.drain
            && let Some(body) = self.unread.take()
        {
            self.step = Step::Nothing(answer);
            self.drain = Drain::Now(Draining::new(body));
            return self.as_mut().poll(cx);
        }
        self.step = Step::Done;
        if let Some(headers) = self.headers.take() {
            for (name, value) in headers.iter() {
                answer.response.headers_mut().append(name, value.clone());
            }
        }
        Poll::Ready(answer)
    }
}

/// A WebSocket that was accepted for a session, and waits for its stream.
pub(crate) struct Ticket {
    server: Arc<ServerInner>,
    owner: Owner,
}

enum Owner {
    /// The WebSocket opens a session.
    New {
        mailbox: Arc<Mailbox>,
        guard: SessionGuard,
        base64: bool,
    },
    /// The WebSocket upgrades a polling session.
    Known(Arc<Mailbox>),
}

impl Ticket {
    fn answer(self, response: Response<Body>) -> Outcome {
        Outcome {
            response,
            ticket: Some(Box::new(self)),
        }
    }

    /// Gives the stream to its session. `unread` was read after the request already; `unsent` is the rest of the
    /// response.
    pub(crate) fn run(self, stream: Stream, unread: &[u8], unsent: Vec<u8>) {
        let mut websocket = WebSocketIo::new(stream, unread, self.server.limits.websocket());
        if !unsent.is_empty() {
            websocket.send_head(unsent);
        }
        match self.owner {
            Owner::New {
                mailbox,
                guard,
                base64,
            } => {
                self.server.sessions.insert(&mailbox);
                start_session(&self.server, mailbox, guard, base64, false, Some(websocket));
            }
            // If the session has ended in the meantime, the WebSocket is dropped.
            Owner::Known(mailbox) => drop(mailbox.send(Command::Upgrade {
                websocket: Box::new(websocket),
            })),
        }
    }
}

/// Starts the task of a session. The open packet is queued when this returns.
fn start_session(
    server: &Arc<ServerInner>,
    mailbox: Arc<Mailbox>,
    guard: SessionGuard,
    base64: bool,
    may_upgrade: bool,
    websocket: Option<WebSocketIo>,
) {
    let now = clock::now();
    let config = server.session_config();
    let transport = mailbox.transport();
    let can_upgrade = may_upgrade
        && transport == Transport::Polling
        && config.allow_upgrades
        && server.transports.contains(&Transport::WebSocket);
    let handshake = Handshake {
        sid: mailbox.sid.as_str().into(),
        upgrades: if can_upgrade {
            vec![Str::from_static("websocket")]
        } else {
            Vec::new()
        },
        ping_interval: config.ping_interval,
        ping_timeout: config.ping_timeout,
        max_payload: Some(server.limits.max_message_bytes),
    };
    let mut session = Session::new(config, mailbox.revision, transport, base64, now);
    if mailbox.head.is_of_python_client() {
        session.set_max_poll_packets(PYTHON_POLL_PACKETS);
    }
    session.open(now, OutPacket::open(&handshake));
    if server.is_closing() {
        // The shutdown has begun since the request was admitted, and may not have seen this session.
        session.close(now, CloseReason::ServerShuttingDown);
    }
    let mut driver = Driver::new(Arc::clone(server), mailbox, session, websocket, guard, now);
    server.sessions.keep_publishing();
    let mut started = false;
    tokio::spawn(std::future::poll_fn(move |cx| {
        if !std::mem::replace(&mut started, true) {
            driver.connect_unasked(cx, now);
        }
        Pin::new(&mut driver).poll(cx)
    }));
}

impl ServerInner {
    /// Returns whether the request is for this server: its path, or a name below it.
    pub(crate) fn is_ours(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request below the server's path.
    pub(crate) fn handle<B>(self: &Arc<Self>, request: Request<B>, peer: &Peer) -> PendingOutcome<B>
    where
        B: HttpBody<Data: Send, Error: std::fmt::Display> + Send + Unpin,
    {
        let (parts, body) = request.into_parts();
        // Spec: RFC 9112 3.2.
        let needs_host = peer.needs_host && parts.version == Version::HTTP_11;
        if !is_sound(&parts, needs_host) {
            return PendingOutcome::now(refused(StatusCode::BAD_REQUEST));
        }
        let mut body = Some(body).filter(|body| !body.is_end_stream());
        let drain = if body.is_none() || peer.lingers || parts.headers.contains_key(header::EXPECT)
        {
            Drain::Not
        } else {
            Drain::First
        };
        let mut headers = None;
        let step = match &self.cors {
            None => self.route(parts, &mut body, peer),
            Some(cors) => {
                let headers = &mut **headers.insert(Box::new(HeaderMap::new()));
                if parts.method == Method::OPTIONS {
                    cors.apply_preflight(&parts.headers, headers);
                    status(StatusCode::NO_CONTENT).into()
                } else {
                    cors.apply(&parts.headers, headers);
                    self.route(parts, &mut body, peer)
                }
            }
        };
        PendingOutcome {
            step,
            headers,
            unread: body,
            drain,
        }
    }

    /// Takes the body if it will be read.
    fn route<B>(self: &Arc<Self>, parts: Parts, body: &mut Option<B>, peer: &Peer) -> Step<B>
    where
        B: HttpBody<Data: Send, Error: std::fmt::Display> + Send + Unpin,
    {
        let to_websocket = is_websocket_request(&parts.headers);
        let url = parts
            .uri
            .path_and_query()
            .map_or("", http::uri::PathAndQuery::as_str);
        if url.len() > self.limits.max_url_bytes {
            return self.refuse(&Refusal::UrlTooLong, to_websocket).into();
        }
        let rest = parts.uri.path().strip_prefix(self.path.as_str());
        let name = rest.and_then(|rest| rest.strip_prefix('/'));
        if name.is_some_and(ClientBundle::is_name) {
            let server = Arc::clone(self);
            return Step::Other(Box::pin(async move { server.bundle(&parts).await.into() }));
        }
        let Some(query) = Query::parse(parts.uri.query().unwrap_or_default()) else {
            return self.refuse(&Refusal::BadRequest, to_websocket).into();
        };
        match self.admit(&parts, &query, to_websocket, peer) {
            Ok(Admitted::Known { mailbox }) if to_websocket => self.upgrade(mailbox, &parts).into(),
            Ok(Admitted::Known { mailbox }) => self.poll_or_post(mailbox, query, parts, body, peer),
            Ok(Admitted::New(new)) => self.open_if_allowed(parts, query, new, peer),
            Err(Refusal::SessionUnknown) if !to_websocket && parts.method == Method::GET => {
                self.poll_of_unknown(&query, &parts.headers).into()
            }
            Err(refusal) => self.refuse(&refusal, to_websocket).into(),
        }
    }

    /// Counts a refusal, and returns the answer.
    fn refuse(&self, refusal: &Refusal, to_upgrade: bool) -> Response<Body> {
        refusal.counted(&self.sessions.metrics, to_upgrade)
    }

    /// Returns the answer to a request for a WebSocket, or the refusal.
    fn accept_websocket(&self, parts: &Parts) -> Result<Response<Body>, Box<Response<Body>>> {
        let answer = accept_websocket(parts, first_protocol(&parts.headers));
        if answer.is_err() {
            self.sessions.metrics.request_refused("bad handshake");
        }
        answer
    }

    /// Answers a polling request of a session.
    #[inline]
    fn poll_or_post<B>(
        &self,
        mailbox: Arc<Mailbox>,
        query: Query,
        parts: Parts,
        body: &mut Option<B>,
        peer: &Peer,
    ) -> Step<B>
    where
        B: HttpBody<Data: Send, Error: std::fmt::Display> + Send + Unpin,
    {
        match parts.method {
            Method::GET => {
                let deliveries = peer.deliveries.clone();
                let mut poll = self.poll(mailbox, query, &parts.headers, deliveries);
                poll.reuse(parts.headers);
                Step::Poll(poll)
            }
            Method::POST => match PendingPost::new(mailbox, &query, parts.headers, body) {
                Ok(post) => Step::Post(post),
                Err(response) => (*response).into(),
            },
            _ => self.refuse(&Refusal::MethodNotAllowed, false).into(),
        }
    }

    /// Answers a GET of a session that is unknown: with a noop if its client has just closed it.
    fn poll_of_unknown(&self, query: &Query, headers: &HeaderMap) -> Response<Body> {
        match query.sid {
            ClaimedSid::Sid(sid) if self.sessions.take_left(&sid, clock::now()) => {
                noop(query, headers)
            }
            _ => self.refuse(&Refusal::SessionUnknown, false),
        }
    }

    /// Accepts a WebSocket that upgrades a session.
    fn upgrade(self: &Arc<Self>, mailbox: Arc<Mailbox>, parts: &Parts) -> Outcome {
        match self.accept_websocket(parts) {
            Ok(response) => {
                let ticket = Ticket {
                    server: Arc::clone(self),
                    owner: Owner::Known(mailbox),
                };
                ticket.answer(response)
            }
            Err(refusal) => (*refusal).into(),
        }
    }

    /// Opens a session, after the application has allowed it if it wants to be asked.
    fn open_if_allowed<B>(
        self: &Arc<Self>,
        mut parts: Parts,
        query: Query,
        new: NewSession,
        peer: &Peer,
    ) -> Step<B> {
        let NewSession {
            transport,
            client,
            pages,
        } = new;
        if pages == Pages::WithoutCredentials {
            parts.headers.remove(header::COOKIE);
            parts.headers.remove(header::AUTHORIZATION);
            // Layers of the host have read them.
            parts.extensions.clear();
        }
        if client.address.is_none() {
            self.log_no_address();
        }
        let deliveries = peer.deliveries.clone();
        let Some(hook) = self.allow_request.clone() else {
            return match self.open(&parts, query, transport, &client, deliveries) {
                Opened::Polling(poll) => Step::Opening(poll),
                Opened::Answered(answer) => answer.into(),
            };
        };
        let mut asked = parts.clone();
        if let Some(address) = client.address {
            asked.extensions.insert(PeerAddress(address));
        }
        let server = Arc::clone(self);
        Step::Other(Box::pin(async move {
            if let Err(refusal) = server.consent(&hook, asked).await {
                let to_websocket = transport == Transport::WebSocket;
                return server.refuse(&refusal, to_websocket).into();
            }
            match server.open(&parts, query, transport, &client, deliveries) {
                Opened::Polling(poll) => poll.await.into(),
                Opened::Answered(answer) => answer,
            }
        }))
    }

    /// Answers a request for a name below the server's path.
    async fn bundle(&self, parts: &Parts) -> Response<Body> {
        let Some(bundle) = &self.client_bundle else {
            return not_found();
        };
        let path = parts.uri.path();
        let name = path.strip_prefix(self.path.as_str()).unwrap_or_default();
        let name = name.strip_prefix('/').unwrap_or_default();
        let file = bundle.serve(name, &parts.method, &parts.headers).await;
        file.unwrap_or_else(not_found)
    }

    fn poll(
        &self,
        mailbox: Arc<Mailbox>,
        query: Query,
        request: &HeaderMap,
        deliveries: Option<Arc<Deliveries>>,
    ) -> PendingPoll {
        PendingPoll::new(
            &self.sessions,
            mailbox,
            query,
            request,
            self.compression_threshold,
            deliveries,
        )
    }

    /// Logs that a limit of new sessions is reached, and what can be done.
    fn log_full(&self, full: Full, address: Option<IpAddr>, consequence: &str) {
        let Some(skipped) = self.limit_log.pass() else {
            return;
        };
        let address = address.map(tracing::field::display);
        match full {
            Full::Server => tracing::warn!(
                limit = "max_pending_sessions",
                max = self.limits.max_pending_sessions,
                address,
                skipped,
                "too many sessions have joined no namespace, {consequence}; raise the limit max_pending_sessions \
                 (--max-pending) if these are clients of yours"
            ),
            Full::Address => tracing::warn!(
                limit = "max_pending_sessions_per_address",
                max = self.limits.max_pending_sessions_per_address,
                address,
                skipped,
                "too many sessions of one address have joined no namespace, {consequence}; if it is a proxy's, name it with \
                 trust_proxies (--trust-proxy), or raise the limit max_pending_sessions_per_address \
                 (--max-pending-per-address)"
            ),
        }
    }

    /// Logs that a client of another revision was refused: nobody sees more of it than a client that does not connect.
    fn log_revision(&self, address: Option<IpAddr>) {
        let Some(skipped) = self.revision_log.pass() else {
            return;
        };
        let address = address.map(tracing::field::display);
        tracing::warn!(
            address,
            skipped,
            "a client speaks Engine.IO 3, as the JavaScript clients 1 and 2 do, and is refused; allow_eio3 lets it in"
        );
    }

    /// Logs that no proxy can be trusted, because the host does not say who has connected.
    fn log_no_address(&self) {
        if !self.trusted_proxies.is_empty()
            && let Some(skipped) = self.proxy_log.pass()
        {
            tracing::warn!(
                skipped,
                "trust_proxies has no effect: the host of the server does not say who has connected; with axum, use the feature \
                 `axum` and into_make_service_with_connect_info::<SocketAddr>(), elsewhere insert a PeerAddress into the \
                 extensions of the requests"
            );
        }
    }

    fn open(
        self: &Arc<Self>,
        parts: &Parts,
        query: Query,
        transport: Transport,
        client: &Client,
        deliveries: Option<Arc<Deliveries>>,
    ) -> Opened {
        let Client {
            address, secure, ..
        } = *client;
        let to_websocket = transport == Transport::WebSocket;
        let refuse = |refusal: Refusal| Opened::from(self.refuse(&refusal, to_websocket));
        if !self.is_served(query.revision) {
            self.log_revision(address.map(|address| address.ip()));
            return refuse(Refusal::UnsupportedProtocol);
        }
        let mut upgrade = None;
        if to_websocket {
            match self.accept_websocket(parts) {
                Ok(response) => upgrade = Some(response),
                Err(refusal) => return (*refusal).into(),
            }
        }
        let Ok(sid) = self.new_id().map(Sid::from_random) else {
            tracing::error!("no random bytes for a session id");
            return refuse(Refusal::BadRequest);
        };
        let ip = address.map(|address| address.ip());
        let guard = match self.sessions.admit(ip, sid, &self.limits, clock::now()) {
            Ok((guard, None)) => guard,
            Ok((guard, Some(full))) => {
                self.log_full(full, ip, "the oldest one is ended");
                guard
            }
            Err(full) => {
                self.log_full(full, ip, "the new one is refused");
                return refuse(Refusal::TooManySessions(full));
            }
        };
        let cookie = self
            .cookie
            .as_ref()
            .map(|cookie| cookie.header(&sid, secure, parts.extensions.get()));
        let head = RequestHead::new(parts, secure);
        let limits = Arc::clone(&self.limits);
        let revision = query.revision;
        let mailbox = Arc::new(Mailbox::new(
            sid,
            revision,
            transport,
            head,
            address,
            limits,
            self.sessions.metrics.clone(),
        ));
        let base64 = query.base64;
        let Some(mut response) = upgrade else {
            self.sessions.insert(&mailbox);
            let may_upgrade = parts.extensions.get::<NoUpgrade>().is_none();
            let opened = Arc::clone(&mailbox);
            start_session(self, opened, guard, base64, may_upgrade, None);
            let mut poll = self.poll(mailbox, query, &parts.headers, deliveries);
            poll.cookie = cookie;
            return Opened::Polling(poll);
        };
        if let Some(cookie) = cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        let owner = Owner::New {
            mailbox,
            guard,
            base64,
        };
        let ticket = Ticket {
            server: Arc::clone(self),
            owner,
        };
        Opened::Answered(ticket.answer(response))
    }
}

/// A body that is read to its end and discarded, within limits.
struct Draining<B> {
    body: B,
    left: u64,
    until: Pin<Box<Sleep>>,
}

impl<B: HttpBody<Data: Send> + Unpin> Draining<B> {
    fn new(body: B) -> Self {
        Self {
            body,
            left: MAX_DRAIN_BYTES,
            until: Box::pin(sleep(DRAIN_TIMEOUT)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let size = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            self.left = self.left.saturating_sub(size);
            if self.left == 0 {
                break;
            }
        }
        Poll::Ready(())
    }
}

/// Returns whether the target host and the end of a request are unambiguous: it names at most one host, and its only transfer
/// encoding, if any, is `chunked`, as the server decodes no other. Otherwise a proxy could see a different request in it.
/// Spec: RFC 9112 3.2, 6.1 and 7.4.
///
/// The host may be missing only if a host application may have removed the field.
#[inline]
pub(crate) fn is_sound(request: &Parts, needs_host: bool) -> bool {
    let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let (mut hosts, mut encodings) = (0, 0);
    // One iteration instead of three look-ups.
    let are_sound = request.headers.iter().all(|(name, value)| {
        let value = value.as_bytes();
        match name.as_str() {
            "host" => {
                hosts += 1;
                hosts == 1 && is_host(value)
            }
            "transfer-encoding" => {
                encodings += 1;
                encodings == 1 && is_chunked(value)
            }
            // Chunks are always acceptable, so a client must not list them.
            "te" => !value.split(|byte| b",;".contains(byte)).any(is_chunked),
            _ => true,
        }
    });
    are_sound && (hosts > 0 || !needs_host)
}

/// The decision about a request to open a session.
enum Opened {
    /// The session exists, and its first packet will be the answer.
    Polling(PendingPoll),
    Answered(Outcome),
}

impl From<Response<Body>> for Opened {
    fn from(response: Response<Body>) -> Self {
        Self::Answered(response.into())
    }
}
