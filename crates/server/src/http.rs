//! From a request to a response: routes what is below the server's path, opens sessions, and hands polls, posts and
//! `WebSockets` to the task of their session. Every host of the server calls this.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use kokanee_engineio::{
    CloseReason, Handshake, OutPacket, Revision, Session, Sid, Str, Transport, decode_jsonp_form,
    encode_jsonp, encode_payload,
};
use kokanee_io::{Stream, WebSocketIo};
use tokio::sync::oneshot;

use crate::{
    admission::{Admitted, Query, Refusal, is_websocket_request},
    body::Body,
    compression::compress,
    driver::Driver,
    handshake::RequestHead,
    mailbox::{Command, Mailbox, PollReply, PostReply},
    server::{ServerInner, random_id},
    sessions::SessionGuard,
};

/// The answer to a request.
pub(crate) enum Answer {
    Response(Response<Body>),
    /// Send this response (101), then run the ticket with the stream.
    WebSocket {
        response: Response<Body>,
        ticket: Ticket,
    },
}

/// The other end of the HTTP connection that a request came on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) secure: bool,
    /// Where the answers of polls are noted until they have left, if the host can tell.
    pub(crate) deliveries: Option<Arc<Deliveries>>,
}

/// The poll answer that was given to an HTTP connection and has not left the process yet. If the connection breaks now,
/// its packets go back to the session.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<Option<(Arc<Mailbox>, Vec<OutPacket>)>>);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Option<(Arc<Mailbox>, Vec<OutPacket>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was written has been handed to the system.
    pub(crate) fn confirm(&self) {
        *self.lock() = None;
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        if let Some((mailbox, packets)) = self.lock().take() {
            // A session that has ended does not need them.
            let _ = mailbox.send(Command::PollUndelivered { packets });
        }
    }
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        Self::Response(response)
    }
}

/// A WebSocket that was promised to a session, and waits for its stream.
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
    /// It wants to take over a polling session.
    Known(Arc<Mailbox>),
}

impl Ticket {
    /// Gives the stream to its session. `unread` was read behind the request already.
    pub(crate) fn run(self, stream: Stream, unread: &[u8]) {
        let websocket = WebSocketIo::new(stream, unread, self.server.limits.websocket());
        match self.owner {
            Owner::New {
                mailbox,
                guard,
                base64,
            } => {
                self.server.sessions.insert(&mailbox);
                start_session(&self.server, mailbox, guard, base64, Some(websocket));
            }
            // A session that has ended meanwhile takes the WebSocket with it.
            Owner::Known(mailbox) => drop(mailbox.send(Command::Upgrade {
                websocket: Box::new(websocket),
            })),
        }
    }
}

/// Starts the task of a session. The open packet waits to be sent when this returns.
fn start_session(
    server: &Arc<ServerInner>,
    mailbox: Arc<Mailbox>,
    guard: SessionGuard,
    base64: bool,
    websocket: Option<WebSocketIo>,
) {
    let now = Instant::now();
    let limits = &server.limits;
    let transport = mailbox.transport();
    let can_upgrade = transport == Transport::Polling
        && server.session_config.allow_upgrades
        && server.transports.contains(&Transport::WebSocket);
    let handshake = Handshake {
        sid: mailbox.sid.as_str().into(),
        upgrades: if can_upgrade {
            vec![Str::from_static("websocket")]
        } else {
            Vec::new()
        },
        ping_interval: limits.ping_interval,
        ping_timeout: limits.ping_timeout,
        max_payload: Some(limits.max_message_bytes),
    };
    let mut session = Session::new(
        Arc::clone(&server.session_config),
        mailbox.revision,
        transport,
        base64,
        now,
    );
    session.open(now, OutPacket::open(&handshake));
    if server.is_closing() {
        // The server's end has begun since the request was let in, and may not have seen this session.
        session.close(now, CloseReason::ServerShuttingDown);
    }
    let mut driver = Driver::new(Arc::clone(server), mailbox, session, websocket, guard, now);
    let mut started = false;
    tokio::spawn(std::future::poll_fn(move |cx| {
        if !std::mem::replace(&mut started, true) {
            driver.connect_legacy(cx, now);
        }
        std::pin::Pin::new(&mut driver).poll(cx)
    }));
}

impl ServerInner {
    /// Whether the request is for this server: its path, or a name below it.
    pub(crate) fn is_ours(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request below the server's path.
    pub(crate) async fn handle<B>(self: &Arc<Self>, request: Request<B>, peer: &Peer) -> Answer
    where
        B: HttpBody<Data: Send, Error: std::fmt::Display> + Send,
    {
        let (parts, body) = request.into_parts();
        let mut answer = if self.cors.is_some() && parts.method == Method::OPTIONS {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.into()
        } else {
            self.route(&parts, body, peer).await
        };
        if let Some(cors) = &self.cors {
            let (Answer::Response(response) | Answer::WebSocket { response, .. }) = &mut answer;
            if parts.method == Method::OPTIONS {
                cors.apply_preflight(&parts.headers, response.headers_mut());
            } else {
                cors.apply(&parts.headers, response.headers_mut());
            }
        }
        answer
    }

    async fn route<B>(self: &Arc<Self>, parts: &Parts, body: B, peer: &Peer) -> Answer
    where
        B: HttpBody<Data: Send, Error: std::fmt::Display> + Send,
    {
        let to_websocket = is_websocket_request(&parts.headers);
        let url = parts
            .uri
            .path_and_query()
            .map_or("", http::uri::PathAndQuery::as_str);
        if url.len() > self.limits.max_url_bytes {
            return Refusal::UrlTooLong.response(to_websocket).into();
        }
        let rest = parts
            .uri
            .path()
            .strip_prefix(self.path.as_str())
            .unwrap_or_default();
        if !matches!(rest, "" | "/") {
            let name = rest.trim_start_matches('/');
            let file = match &self.client_bundle {
                Some(bundle) => bundle.serve(name, &parts.method, &parts.headers).await,
                None => None,
            };
            return file.unwrap_or_else(not_found).into();
        }
        let Some(query) = Query::parse(parts.uri.query().unwrap_or_default()) else {
            return Refusal::BadRequest.response(to_websocket).into();
        };
        match self.admit(parts, &query).await {
            Err(refusal) => refusal.response(to_websocket).into(),
            Ok(Admitted::New {
                transport,
                revision,
            }) => self.open(parts, &query, transport, revision, peer).await,
            Ok(Admitted::Known { mailbox }) if to_websocket => match check_websocket(parts) {
                Ok(response) => {
                    let ticket = Ticket {
                        server: Arc::clone(self),
                        owner: Owner::Known(mailbox),
                    };
                    Answer::WebSocket { response, ticket }
                }
                Err(refusal) => (*refusal).into(),
            },
            Ok(Admitted::Known { mailbox }) => match parts.method {
                Method::GET => self
                    .poll(&mailbox, &query, &parts.headers, peer)
                    .await
                    .into(),
                Method::POST => self
                    .post(&mailbox, &query, &parts.headers, body)
                    .await
                    .into(),
                _ => Refusal::MethodNotAllowed.response(false).into(),
            },
        }
    }

    async fn open(
        self: &Arc<Self>,
        parts: &Parts,
        query: &Query<'_>,
        transport: Transport,
        revision: Revision,
        peer: &Peer,
    ) -> Answer {
        let Peer {
            address, secure, ..
        } = *peer;
        let to_websocket = transport == Transport::WebSocket;
        let mut upgrade = None;
        if to_websocket {
            match check_websocket(parts) {
                Ok(response) => upgrade = Some(response),
                Err(refusal) => return (*refusal).into(),
            }
        }
        let guard = match self
            .sessions
            .admit(address.map(|address| address.ip()), &self.limits)
        {
            Ok(guard) => guard,
            Err(full) => return Refusal::TooManySessions(full).response(to_websocket).into(),
        };
        let Ok(sid) = random_id().map(Sid::from_random) else {
            tracing::error!("no random bytes for a session id");
            return Refusal::BadRequest.response(to_websocket).into();
        };
        let head = RequestHead::new(parts, secure);
        let limits = Arc::clone(&self.limits);
        let mailbox = Arc::new(Mailbox::new(
            sid, revision, transport, head, address, limits,
        ));
        let Some(mut response) = upgrade else {
            self.sessions.insert(&mailbox);
            start_session(self, Arc::clone(&mailbox), guard, query.base64, None);
            let mut response = self.poll(&mailbox, query, &parts.headers, peer).await;
            self.add_cookie(&mut response, &sid, secure);
            return response.into();
        };
        self.add_cookie(&mut response, &sid, secure);
        let owner = Owner::New {
            mailbox,
            guard,
            base64: query.base64,
        };
        Answer::WebSocket {
            response,
            ticket: Ticket {
                server: Arc::clone(self),
                owner,
            },
        }
    }

    fn add_cookie(&self, response: &mut Response<Body>, sid: &Sid, secure: bool) {
        if let Some(cookie) = &self.cookie {
            response
                .headers_mut()
                .append(header::SET_COOKIE, cookie.header(sid, secure));
        }
    }

    async fn poll(
        &self,
        mailbox: &Arc<Mailbox>,
        query: &Query<'_>,
        request: &HeaderMap,
        peer: &Peer,
    ) -> Response<Body> {
        let (reply, answer) = oneshot::channel();
        if mailbox.send(Command::Poll { reply }).is_err() {
            return Refusal::SessionUnknown.response(false);
        }
        let mut pending = PendingPoll { mailbox, answer };
        match (&mut pending.answer).await {
            Ok(PollReply::Packets {
                packets,
                revision,
                base64,
                compress: allowed,
            }) => {
                let payload = encode_payload(revision, &packets, !base64);
                let mut response = Response::new(Body::empty());
                let headers = response.headers_mut();
                let jsonp = query.jsonp.as_deref().filter(|_| revision == Revision::V3);
                let (content_type, bytes) = match jsonp {
                    Some(index) => (
                        "text/javascript; charset=UTF-8",
                        encode_jsonp(index, &payload.bytes),
                    ),
                    None if payload.binary => ("application/octet-stream", payload.bytes),
                    None => ("text/plain; charset=UTF-8", payload.bytes),
                };
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                if jsonp.is_some() {
                    headers.insert(
                        header::X_CONTENT_TYPE_OPTIONS,
                        HeaderValue::from_static("nosniff"),
                    );
                }
                add_xss_header(request, headers);
                let threshold = self.compression_threshold.filter(|_| allowed);
                let bytes = compress(bytes, threshold, request, headers);
                *response.body_mut() = Body::full(bytes);
                if let Some(deliveries) = &peer.deliveries {
                    *deliveries.lock() = Some((Arc::clone(mailbox), packets));
                }
                response
            }
            Ok(PollReply::Overlap) => bad_request(),
            Err(_) => Refusal::SessionUnknown.response(false),
        }
    }

    async fn post<B>(
        &self,
        mailbox: &Arc<Mailbox>,
        query: &Query<'_>,
        request: &HeaderMap,
        body: B,
    ) -> Response<Body>
    where
        B: HttpBody<Data: Send, Error: std::fmt::Display> + Send,
    {
        if mailbox.posting.swap(true, Ordering::AcqRel) {
            fail(mailbox);
            return bad_request();
        }
        let mut posting = Posting {
            mailbox,
            complete: false,
        };
        let content_type = request
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let binary_form = content_type == b"application/octet-stream";
        if binary_form && mailbox.revision == Revision::V4 {
            return bad_request();
        }
        // Never inflated: a small body must not become a large one.
        if request.contains_key(header::CONTENT_ENCODING) {
            return status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let mut body = match collect(body, &self.limits).await {
            Ok(body) => body,
            Err(refused) => {
                let mut response = status(refused);
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
                return response;
            }
        };
        posting.complete = true;
        if query.jsonp.is_some() && mailbox.revision == Revision::V3 {
            // Without its field there is nothing in it, which the JavaScript server takes for fine.
            match decode_jsonp_form(&body) {
                Some(payload) => body = payload,
                None => return posted(request),
            }
        }
        let (reply, answer) = oneshot::channel();
        if mailbox
            .send(Command::Post {
                body,
                binary_form,
                reply,
            })
            .is_err()
        {
            return Refusal::SessionUnknown.response(false);
        }
        // The GET's answer, if there is one, is given when this returns: behind the POST's own.
        let answer = answer.await;
        drop(posting);
        match answer {
            Ok((PostReply::Ok, _behind)) => posted(request),
            Ok((PostReply::BadRequest, _behind)) => Refusal::BadRequest.response(false),
            Ok((PostReply::Overlap, _behind)) => bad_request(),
            Err(_) => Refusal::SessionUnknown.response(false),
        }
    }
}

/// A GET that waits for its answer. Dropped before it came, it tells the session that it was given up.
struct PendingPoll<'a> {
    mailbox: &'a Mailbox,
    answer: oneshot::Receiver<PollReply>,
}

impl Drop for PendingPoll<'_> {
    fn drop(&mut self) {
        if self.answer.is_terminated() {
            return;
        }
        // The answer comes before this, and is given back, or not at all.
        self.answer.close();
        let command = match self.answer.try_recv() {
            Ok(PollReply::Packets { packets, .. }) => Command::PollUndelivered { packets },
            _ => Command::PollAborted,
        };
        // A session that has ended does not mind.
        let _ = self.mailbox.send(command);
    }
}

/// A POST of the session is in progress: until this is dropped no other may come. A body that is not complete then has
/// broken the client's stream of messages, so the session cannot go on.
struct Posting<'a> {
    mailbox: &'a Mailbox,
    complete: bool,
}

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.mailbox.posting.store(false, Ordering::Release);
        if !self.complete {
            fail(self.mailbox);
        }
    }
}

fn fail(mailbox: &Mailbox) {
    // A session that has ended needs no more.
    let _ = mailbox.send(Command::Fail {
        reason: CloseReason::TransportError,
    });
}

/// Time after which a body must have come at the minimum rate.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// Collects a body within the limits of size, time and rate. What it announces is checked before anything is read.
async fn collect<B>(body: B, limits: &crate::Limits) -> Result<Bytes, StatusCode>
where
    B: HttpBody<Data: Send, Error: std::fmt::Display> + Send,
{
    if body.size_hint().lower() > limits.max_message_bytes as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut body = pin!(body);
    let start = tokio::time::Instant::now();
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let size = first.as_ref().map_or(0, Bytes::len) + rest.len();
        let by_rate = Duration::from_millis(
            (size as u64).saturating_mul(1000) / limits.min_body_rate.max(1) as u64,
        );
        let deadline = start
            + limits
                .body_timeout
                .min(RATE_GRACE.max(by_rate + RATE_GRACE));
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(StatusCode::BAD_REQUEST),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        let count = bytes::Buf::remaining(&data);
        if size + count > limits.max_message_bytes {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let data = bytes::Buf::copy_to_bytes(&mut data, count);
        match &first {
            None => first = Some(data),
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    let first = first.unwrap_or_default();
    Ok(if rest.is_empty() {
        // Copied to its size: a slice would keep the connection's whole read buffer.
        Bytes::copy_from_slice(&first)
    } else {
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        whole.freeze()
    })
}

/// Answers a WebSocket's opening handshake. Spec: RFC 6455 4.2.
fn check_websocket(parts: &Parts) -> Result<Response<Body>, Box<Response<Body>>> {
    if parts.method != Method::GET {
        return Err(Box::new(Refusal::BadHandshakeMethod.response(true)));
    }
    if parts.version < Version::HTTP_11 {
        return Err(Box::new(bad_websocket("WebSocket needs HTTP/1.1")));
    }
    let key = parts
        .headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| kokanee_websocket::is_valid_key(key)) else {
        return Err(Box::new(bad_websocket(
            "Missing or invalid Sec-WebSocket-Key header",
        )));
    };
    if parts
        .headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        let mut response = bad_websocket("Missing or invalid Sec-WebSocket-Version header");
        response.headers_mut().insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        return Err(Box::new(response));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(kokanee_websocket::accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let protocol = parts
        .headers
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|value| value.to_str().ok());
    let first = protocol
        .and_then(|value| value.split(',').next())
        .map(str::trim)
        .filter(|name| !name.is_empty());
    if let Some(Ok(first)) = first.map(HeaderValue::try_from) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, first);
    }
    Ok(response)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 400 without a body: requests that overlap, or a body of the wrong kind.
fn bad_request() -> Response<Body> {
    status(StatusCode::BAD_REQUEST)
}

pub(crate) fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::full("Not Found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn bad_websocket(message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(message));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer to a POST whose packets were processed.
fn posted(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::full("ok"));
    let headers = response.headers_mut();
    // Not plain text: some browsers would offer a download.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add_xss_header(request, headers);
    response
}

/// Old Internet Explorers take some payloads for an attack, unless told otherwise.
fn add_xss_header(request: &HeaderMap, response: &mut HeaderMap) {
    let agent = request
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    if agent.contains(";MSIE") || agent.contains("Trident/") {
        response.insert(header::X_XSS_PROTECTION, HeaderValue::from_static("0"));
    }
}
