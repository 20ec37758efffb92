//! The two requests of long polling while they wait: a GET for packets; a POST for its body, and for the session to take it.
//!
//! Created by [`handle`](crate::inner::ServerInner::handle) from an admitted request. They keep those parts of it on which
//! their answer depends.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as HttpBody;
use kokanee_engineio::{
    CloseReason, OutPacket, PayloadBody, PollPackets, Revision, Transport, decode_jsonp_form,
    encode_jsonp, encode_payload,
};
use memchr::memmem;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    admission::Query,
    body::Body,
    clock,
    compression::{Encoding, compress, negotiate},
    delivery::{Deliveries, Delivery},
    limits::Limits,
    mailbox::{Command, HeldPoll, Mailbox, PollReply, PostReply},
    metrics::Traffic,
    refusal::Refusal,
    respond::{bad_request, refused, status},
    sessions::Sessions,
};

/// A GET that waits for its answer. If it is dropped before, the session learns that it was aborted.
pub(crate) struct PendingPoll {
    mailbox: Arc<Mailbox>,
    answer: oneshot::Receiver<PollReply>,
    jsonp: Option<String>,
    is_old_explorer: bool,
    /// The encoding for bodies, and the size from which they are compressed.
    compression: Option<(usize, Encoding)>,
    deliveries: Option<Arc<Deliveries>>,
    /// Where to look up a session that has ended in the meantime.
    sessions: Arc<Sessions>,
    /// Set if this request has opened the session.
    pub(crate) cookie: Option<HeaderValue>,
    /// Those of the answer, empty so far.
    headers: HeaderMap,
}

impl PendingPoll {
    /// Asks the session for packets.
    pub(crate) fn new(
        sessions: &Arc<Sessions>,
        mailbox: Arc<Mailbox>,
        query: Query,
        request: &HeaderMap,
        compression_threshold: Option<usize>,
        deliveries: Option<Arc<Deliveries>>,
    ) -> Self {
        let (reply, answer) = oneshot::channel();
        // If the session has ended, it is dropped, which is noticed below.
        let _ = mailbox.send(Command::Poll { reply });
        Self {
            mailbox,
            answer,
            jsonp: query.jsonp,
            is_old_explorer: is_old_explorer(request),
            compression: compression_threshold
                .and_then(|threshold| Some((threshold, negotiate(request)?))),
            deliveries,
            sessions: Arc::clone(sessions),
            cookie: None,
            headers: HeaderMap::new(),
        }
    }

    /// Reuses the memory of the request's headers for those of the answer.
    pub(crate) fn reuse(&mut self, request: HeaderMap) {
        self.headers = emptied(request);
    }

    fn response(
        &mut self,
        packets: PollPackets,
        payload: PayloadBody,
        may_compress: bool,
    ) -> Response<Body> {
        let headers = &mut self.headers;
        let mut bytes = wrap(
            payload,
            self.jsonp.as_deref(),
            headers,
            self.is_old_explorer,
        );
        if let Some((threshold, encoding)) = self.compression.filter(|_| may_compress)
            && bytes.len() >= threshold
        {
            bytes = compress(bytes, encoding, headers);
        }
        let connection = self.deliveries.clone();
        let metrics = &self.mailbox.metrics;
        metrics.sent(Transport::Polling, || Traffic::bytes(bytes.len()));
        let delivery = Delivery::new(packets, bytes.len(), &self.mailbox, connection);
        respond(Body::packets(bytes, delivery), &mut self.headers)
    }
}

impl Future for PendingPoll {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let mut response = match ready!(Pin::new(&mut self.answer).poll(cx)) {
            Ok(PollReply::Packets {
                packets,
                revision,
                base64,
                compress,
            }) => {
                let supports_binary = !base64 && self.jsonp.is_none();
                let payload = encode_payload(revision, &packets, supports_binary);
                self.response(packets, payload, compress)
            }
            Ok(PollReply::Overlap) => bad_request(),
            Err(_) if self.sessions.take_left(&self.mailbox.sid, clock::now()) => {
                let poll = &mut *self;
                let (jsonp, headers) = (poll.jsonp.as_deref(), &mut poll.headers);
                let noop = encode_payload(poll.mailbox.revision, &[OutPacket::Noop], false);
                let bytes = wrap(noop, jsonp, headers, poll.is_old_explorer);
                respond(Body::full(bytes), headers)
            }
            Err(_) => Refusal::SessionUnknown.counted(&self.mailbox.metrics, false),
        };
        if let Some(cookie) = self.cookie.take() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Poll::Ready(response)
    }
}

impl Drop for PendingPoll {
    fn drop(&mut self) {
        if self.answer.is_terminated() {
            return;
        }
        // The answer arrives before this and is given back, or does not arrive.
        self.answer.close();
        let command = match self.answer.try_recv() {
            Ok(PollReply::Packets { packets, .. }) => Command::PollUndelivered { packets },
            _ => Command::PollAborted,
        };
        // If the session has ended, nothing is to do.
        let _ = self.mailbox.send(command);
    }
}

/// A POST that waits for its body, and then for the session to take it.
pub(crate) struct PendingPost<B> {
    /// Kept until the session has answered.
    posting: Option<Posting>,
    step: PostStep<B>,
    binary_form: bool,
    is_jsonp: bool,
    is_old_explorer: bool,
    /// Those of the answer, empty so far.
    headers: HeaderMap,
}

enum PostStep<B> {
    Receiving(Receiving<B>),
    Taken(oneshot::Receiver<(PostReply, Option<HeldPoll>)>),
}

impl<B> PendingPost<B>
where
    B: HttpBody<Data: Send, Error: std::fmt::Display> + Send + Unpin,
{
    /// Checks what is known about the POST before its body has arrived, and takes the body. `None` is an empty one.
    pub(crate) fn new(
        mailbox: Arc<Mailbox>,
        query: &Query,
        request: HeaderMap,
        body: &mut Option<B>,
    ) -> Result<Self, Box<Response<Body>>> {
        if mailbox.posting.swap(true, Ordering::AcqRel) {
            fail(&mailbox);
            return Err(Box::new(bad_request()));
        }
        let posting = Posting {
            mailbox,
            complete: false,
        };
        let mailbox = &posting.mailbox;
        let binary_form = request
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value == "application/octet-stream");
        if binary_form && mailbox.revision == Revision::V4 {
            return Err(Box::new(bad_request()));
        }
        // Never decompressed: a small body must not become a large one.
        if request.contains_key(header::CONTENT_ENCODING) {
            return Err(Box::new(status(StatusCode::UNSUPPORTED_MEDIA_TYPE)));
        }
        let length = body.as_ref().map_or(0, |body| body.size_hint().lower());
        if length > mailbox.limits.max_message_bytes as u64 {
            posting.note_too_large();
            return Err(Box::new(refused(StatusCode::PAYLOAD_TOO_LARGE)));
        }
        let is_jsonp = query.jsonp.is_some();
        Ok(Self {
            posting: Some(posting),
            step: PostStep::Receiving(Receiving::new(body.take())),
            binary_form,
            is_jsonp,
            is_old_explorer: is_old_explorer(&request),
            headers: emptied(request),
        })
    }

    #[inline]
    pub(crate) fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        if let PostStep::Receiving(receiving) = &mut self.step
            && let Some(posting) = &mut self.posting
        {
            let mailbox = &posting.mailbox;
            let mut body = match ready!(receiving.poll(cx, &mailbox.limits)) {
                Ok(body) => body,
                Err(status) => {
                    if status == StatusCode::PAYLOAD_TOO_LARGE {
                        posting.note_too_large();
                    }
                    return Poll::Ready(refused(status));
                }
            };
            posting.complete = true;
            if self.binary_form {
                // Copied: its packets are slices of it, which would keep the connection's whole read buffer.
                body = Bytes::copy_from_slice(&body);
            }
            if self.is_jsonp {
                // Without the field it is empty, which the JavaScript server accepts.
                match decode_jsonp_form(&body) {
                    Some(payload) => body = payload,
                    None => return Poll::Ready(self.posted()),
                }
            }
            let (reply, answer) = oneshot::channel();
            let post = Command::Post {
                body,
                binary_form: self.binary_form,
                reply,
            };
            if mailbox.send(post).is_err() {
                let metrics = &mailbox.metrics;
                return Poll::Ready(Refusal::SessionUnknown.counted(metrics, false));
            }
            self.step = PostStep::Taken(answer);
        }
        let PostStep::Taken(answer) = &mut self.step else {
            return Poll::Pending;
        };
        // The GET's answer, if any, is given when this returns: after the POST's own.
        let answer = ready!(Pin::new(answer).poll(cx));
        // Before the answer, because the client may send the next POST after it.
        let refusal = match &answer {
            Ok((PostReply::BadRequest, _)) => Some(Refusal::BadRequest),
            Ok(_) => None,
            Err(_) => Some(Refusal::SessionUnknown),
        };
        let posting = self.posting.take();
        if let (Some(refusal), Some(posting)) = (refusal, posting) {
            return Poll::Ready(refusal.counted(&posting.mailbox.metrics, false));
        }
        Poll::Ready(match answer {
            Ok((PostReply::Ok, _behind)) => self.posted(),
            _ => bad_request(),
        })
    }

    /// Returns the rest of a body that was refused before its end.
    pub(crate) fn unread(&mut self) -> Option<B> {
        match &mut self.step {
            PostStep::Receiving(receiving) => receiving.body.take(),
            PostStep::Taken(_) => None,
        }
    }

    /// Returns the answer to a POST whose packets were processed.
    fn posted(&mut self) -> Response<Body> {
        // Not plain text, for which some browsers would offer a download.
        add_headers(&mut self.headers, &HTML, self.is_old_explorer);
        respond(Body::full("ok"), &mut self.headers)
    }
}

/// Marks that a POST of the session is in progress: until this is dropped, no other is accepted. If the body is incomplete
/// then, the client's stream of messages is broken, and the session is closed.
struct Posting {
    mailbox: Arc<Mailbox>,
    complete: bool,
}

impl Posting {
    /// Makes the session log that its client exceeds the limit.
    fn note_too_large(&self) {
        let metrics = &self.mailbox.metrics;
        metrics.request_refused("payload too large");
        // If the session has ended, it does not log.
        let _ = self.mailbox.send(Command::TooLarge);
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.mailbox.posting.store(false, Ordering::Release);
        if !self.complete {
            fail(&self.mailbox);
        }
    }
}

fn fail(mailbox: &Mailbox) {
    // If the session has ended, nothing is to do.
    let _ = mailbox.send(Command::Fail {
        reason: CloseReason::TransportError,
    });
}

/// Time after which a body must have arrived at the minimum rate.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// A body that is being received, within the limits of size, time and rate.
struct Receiving<B> {
    body: Option<B>,
    first: Bytes,
    rest: BytesMut,
    /// Since when the client has sent nothing, and the timer that ends the wait.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Receiving<B>
where
    B: HttpBody<Data: Send, Error: std::fmt::Display> + Send + Unpin,
{
    fn new(body: Option<B>) -> Self {
        Self {
            body,
            first: Bytes::new(),
            rest: BytesMut::new(),
            wait: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, limits: &Limits) -> Poll<Result<Bytes, StatusCode>> {
        while let Some(body) = self.body.as_mut().filter(|body| !body.is_end_stream()) {
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                return self
                    .poll_deadline(cx, limits)
                    .map(|()| Err(StatusCode::REQUEST_TIMEOUT));
            };
            let data = match frame {
                None => break,
                Some(Err(_)) => return Poll::Ready(Err(StatusCode::BAD_REQUEST)),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(mut data) = data else {
                continue;
            };
            let count = data.remaining();
            if self.size_bytes() + count > limits.max_message_bytes {
                return Poll::Ready(Err(StatusCode::PAYLOAD_TOO_LARGE));
            }
            let data = data.copy_to_bytes(count);
            if self.first.is_empty() {
                self.first = data;
            } else {
                self.rest.extend_from_slice(&data);
            }
        }
        Poll::Ready(Ok(self.whole()))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, limits: &Limits) -> Poll<()> {
        let by_rate = Duration::from_millis(
            (self.size_bytes() as u64).saturating_mul(1000) / limits.min_body_rate.max(1) as u64,
        );
        let allowed = limits.body_timeout.min(by_rate + RATE_GRACE);
        let (since, sleep) = self.wait.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + allowed)))
        });
        if sleep.deadline() != *since + allowed {
            sleep.as_mut().reset(*since + allowed);
        }
        sleep.as_mut().poll(cx)
    }

    fn size_bytes(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Returns the body in one piece. A short body is a slice of the connection's read buffer.
    fn whole(&mut self) -> Bytes {
        if self.rest.is_empty() {
            return std::mem::take(&mut self.first);
        }
        let mut whole = BytesMut::with_capacity(self.size_bytes());
        whole.extend_from_slice(&self.first);
        whole.extend_from_slice(&self.rest);
        whole.freeze()
    }
}

/// Returns an empty map for headers, in the memory of another one if that is small: the wait for the answer may be long.
fn emptied(mut headers: HeaderMap) -> HeaderMap {
    // 1.3 KB. The capacity counts different names, the length also repeated ones.
    const MAX_KEPT_HEADERS: usize = 12;
    if headers.capacity().max(headers.len()) > MAX_KEPT_HEADERS {
        return HeaderMap::new();
    }
    headers.clear();
    headers
}

/// Returns the answer to a GET that arrives after its client has closed the session: a noop packet.
pub(crate) fn noop(query: &Query, request: &HeaderMap) -> Response<Body> {
    let payload = encode_payload(query.revision, &[OutPacket::Noop], false);
    let mut headers = HeaderMap::new();
    let jsonp = query.jsonp.as_deref();
    let bytes = wrap(payload, jsonp, &mut headers, is_old_explorer(request));
    respond(Body::full(bytes), &mut headers)
}

/// Returns the body of the answer to a GET, as a script for JSONP, and its header fields.
fn wrap(
    payload: PayloadBody,
    jsonp: Option<&str>,
    headers: &mut HeaderMap,
    is_old_explorer: bool,
) -> Bytes {
    let (content_type, bytes) = match jsonp {
        Some(index) => (&JAVASCRIPT, encode_jsonp(index, &payload.bytes)),
        None if payload.binary => (&OCTETS, payload.bytes),
        None => (&PLAIN_TEXT, payload.bytes),
    };
    add_headers(headers, content_type, is_old_explorer);
    if jsonp.is_some() {
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
    }
    bytes
}

fn respond(body: Body, headers: &mut HeaderMap) -> Response<Body> {
    let mut response = Response::new(body);
    std::mem::swap(response.headers_mut(), headers);
    response
}

// Constants: creating a value from a text checks each of its bytes.
static PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
static JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=UTF-8");
static OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
static HTML: HeaderValue = HeaderValue::from_static("text/html");
static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

fn add_headers(headers: &mut HeaderMap, content_type: &HeaderValue, is_old_explorer: bool) {
    headers.insert(header::CONTENT_TYPE, content_type.clone());
    headers.insert(header::CACHE_CONTROL, NO_STORE.clone());
    if is_old_explorer {
        headers.insert(header::X_XSS_PROTECTION, HeaderValue::from_static("0"));
    }
}

/// Returns whether the client is an old Internet Explorer, which blocks some payloads as an attack without a special header.
fn is_old_explorer(request: &HeaderMap) -> bool {
    request.get(header::USER_AGENT).is_some_and(|agent| {
        let says = |token: &str| memmem::find(agent.as_bytes(), token.as_bytes()).is_some();
        says(";MSIE") || says("Trident/")
    })
}
