//! Requests that a host has read, and whose responses it writes. One that has to wait, as that of long polling,
//! leaves the host: the engine takes the connection over and writes it.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use kokanee_server::{PeerAddress, Server};
use kokanee_workers::Head;
use parking_lot::{Condvar, Mutex};
use pyo3::{prelude::*, types::PyBytes};
use tokio::{sync::Notify, task::AbortHandle};
use tower_service::Service;

use crate::{
    adopt::Taken,
    queue::{Event, Queue},
    runtime,
};

/// A response: its status, headers and body.
pub(crate) struct Reply {
    status: u16,
    reason: &'static str,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// Where a response is, or goes.
enum Slot {
    /// It is not there yet; the host waits for it.
    Waiting,
    Ready(Reply),
    /// The engine writes it to the host's connection.
    Taken(Option<Taken>),
    /// The host has it.
    Given,
}

/// A request that is being answered.
pub(crate) struct PendingState {
    pub(crate) id: u64,
    slot: Mutex<Slot>,
    filled: Condvar,
    taken: Notify,
}

impl std::fmt::Debug for PendingState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingState")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A request that is being answered.
#[pyclass(frozen, module = "kokanee._engine")]
#[derive(Debug)]
pub(crate) struct Pending {
    state: Arc<PendingState>,
    answering: AbortHandle,
    /// It opens a session, so that it is answered at once.
    opens: bool,
}

type PyReply<'py> = (
    u16,
    &'static str,
    Vec<(String, String)>,
    Bound<'py, PyBytes>,
);

#[pymethods]
impl Pending {
    #[getter]
    fn id(&self) -> u64 {
        self.state.id
    }

    /// Whether the request opens a session: then it is answered at once.
    #[getter]
    fn opens(&self) -> bool {
        self.opens
    }

    /// Waits for the response, without the GIL: status, reason, headers and body. `None` after the timeout in seconds.
    #[pyo3(signature = (timeout = None))]
    fn wait<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> Option<PyReply<'py>> {
        let reply = py.detach(|| {
            let deadline = timeout.and_then(|seconds| {
                let timeout = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
                Instant::now().checked_add(timeout)
            });
            let mut slot = self.state.slot.lock();
            while let Slot::Waiting = *slot {
                match deadline {
                    None => self.state.filled.wait(&mut slot),
                    Some(deadline) => {
                        if self
                            .state
                            .filled
                            .wait_until(&mut slot, deadline)
                            .timed_out()
                        {
                            break;
                        }
                    }
                }
            }
            if let Slot::Waiting = *slot {
                return None;
            }
            match std::mem::replace(&mut *slot, Slot::Given) {
                Slot::Ready(reply) => Some(reply),
                other => {
                    *slot = other;
                    None
                }
            }
        });
        reply.map(|reply| {
            let body = PyBytes::new(py, &reply.body);
            (reply.status, reply.reason, reply.headers, body)
        })
    }

    /// The client has left: a poll that waits ends, and what it would have carried is for the next one.
    fn cancel(&self) {
        self.answering.abort();
    }

    /// Takes over the connection of the request by its descriptor, which is duplicated: the engine writes the response to it.
    /// `False` if the response is there already, and the host has to write it.
    fn take_over(&self, fd: i32) -> PyResult<bool> {
        let runtime = runtime::handle()?;
        let mut slot = self.state.slot.lock();
        let Slot::Waiting = *slot else {
            return Ok(false);
        };
        *slot = Slot::Taken(Some(Taken::new(&runtime, fd)?));
        self.state.taken.notify_one();
        Ok(true)
    }
}

impl PendingState {
    /// Takes the connection if it is taken over.
    fn connection(&self) -> Option<Taken> {
        match &mut *self.slot.lock() {
            Slot::Taken(taken) => taken.take(),
            _ => None,
        }
    }

    /// Gives the response to the host. Returns it with the connection if that is taken over.
    fn fill(&self, reply: Reply) -> Option<(Taken, Reply)> {
        let mut slot = self.slot.lock();
        match &mut *slot {
            Slot::Taken(taken) => taken.take().map(|taken| (taken, reply)),
            Slot::Waiting => {
                *slot = Slot::Ready(reply);
                drop(slot);
                self.filled.notify_all();
                None
            }
            _ => None,
        }
    }
}

/// Answers a request with 503 if its task ends without a response, as the engine does.
struct Unanswered(Arc<PendingState>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.fill(Reply::unavailable());
    }
}

/// Makes a request of its head and body.
pub(crate) fn request_of<B>(head: &Head, body: B) -> Result<Request<B>, http::Error> {
    let uri: Uri = if head.secure {
        format!("https://host{}", head.target).parse()?
    } else {
        head.target.parse()?
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(head.method.as_bytes())?;
    *request.uri_mut() = uri;
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        // WSGI's texts are Latin-1.
        let bytes: Option<Vec<u8>> = value
            .chars()
            .map(|char| u8::try_from(u32::from(char)).ok())
            .collect();
        let bytes = bytes.unwrap_or_else(|| value.as_bytes().to_vec());
        let value = HeaderValue::from_bytes(&bytes)?;
        request.headers_mut().append(name, value);
    }
    if let Some(address) = head.address {
        request.extensions_mut().insert(PeerAddress(address));
    }
    Ok(request)
}

/// Puts the headers of a request into its head.
pub(crate) fn set_headers(head: &mut Head, headers: &http::HeaderMap) {
    let texts = headers.iter().map(|(name, value)| {
        let value = value.as_bytes().iter().map(|&byte| char::from(byte));
        (name.as_str().to_owned(), value.collect())
    });
    head.headers = texts.collect();
}

/// Begins to answer a request with what a future returns; `notify` pushes an event when the response is there.
pub(crate) fn start(
    runtime: &tokio::runtime::Handle,
    queue: &Arc<Queue>,
    answering: impl Future<Output = Reply> + Send + 'static,
    id: u64,
    notify: bool,
    opens: bool,
) -> Pending {
    let state = Arc::new(PendingState {
        id,
        slot: Mutex::new(Slot::Waiting),
        filled: Condvar::new(),
        taken: Notify::new(),
    });
    let (pending, queue) = (Arc::clone(&state), Arc::clone(queue));
    let answering = runtime.spawn(async move {
        let unanswered = Unanswered(Arc::clone(&pending));
        let mut reply = pin!(answering);
        let first = tokio::select! {
            biased;
            reply = &mut reply => Some(reply),
            () = pending.taken.notified() => None,
        };
        let taken = match first {
            Some(reply) => pending.fill(reply),
            None => match pending.connection() {
                Some(taken) => until_ended(&taken, reply).await.map(|reply| (taken, reply)),
                None => None,
            },
        };
        drop(unanswered);
        if let Some((taken, reply)) = taken {
            finish(taken, &reply).await;
        } else if notify {
            queue.push(Event::Done(pending));
        }
    });
    Pending {
        state,
        answering: answering.abort_handle(),
        opens,
    }
}

/// Waits for a response while its connection is there. If that ends, the session learns that the request was given up.
async fn until_ended(taken: &Taken, reply: impl Future<Output = Reply>) -> Option<Reply> {
    tokio::select! {
        biased;
        reply = reply => Some(reply),
        () = taken.ended() => None,
    }
}

async fn finish(taken: Taken, reply: &Reply) {
    if let Err(error) = taken.finish(&reply.bytes()).await {
        tracing::debug!(%error, "a connection ended before its response was written");
    }
}

/// Answers a request on its connection.
pub(crate) async fn answer_on(taken: Taken, server: Server, request: Request<Full<Bytes>>) {
    if let Some(reply) = until_ended(&taken, answer(server, request)).await {
        finish(taken, &reply).await;
    }
}

/// The response of the server.
pub(crate) async fn answer(mut server: Server, request: Request<Full<Bytes>>) -> Reply {
    let Ok(response) = server.call(request).await;
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = value.as_bytes().iter().map(|&byte| char::from(byte));
        (name.as_str().to_owned(), value.collect())
    });
    Reply::new(parts.status.as_u16(), headers.collect(), body)
}

impl Reply {
    /// The response if nobody answers.
    pub(crate) fn unavailable() -> Self {
        Self::new(503, Vec::new(), Bytes::new())
    }

    /// A response with the usual reason of its status.
    pub(crate) fn new(status: u16, headers: Vec<(String, String)>, body: Bytes) -> Self {
        let known = http::StatusCode::from_u16(status).ok();
        let reason = known.and_then(|status| status.canonical_reason());
        Self {
            status,
            reason: reason.unwrap_or("Unknown"),
            headers,
            body,
        }
    }

    /// Returns status, headers and body.
    pub(crate) fn into_parts(self) -> (u16, Vec<(String, String)>, Bytes) {
        (self.status, self.headers, self.body)
    }

    /// The response as a host of Rust gives it.
    pub(crate) fn into_response(self) -> http::Response<Bytes> {
        let mut response = http::Response::new(self.body);
        let status = http::StatusCode::from_u16(self.status);
        *response.status_mut() = status.unwrap_or(http::StatusCode::BAD_GATEWAY);
        for (name, value) in &self.headers {
            // The texts are Latin-1.
            let value: Vec<u8> = value.chars().filter_map(|c| u8::try_from(c).ok()).collect();
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(&value),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }

    /// Reads what `bytes` has written.
    pub(crate) fn parse(response: &[u8]) -> Option<Self> {
        let end = response.windows(4).position(|four| four == b"\r\n\r\n")?;
        // A byte is a character, as in Latin-1.
        let head: String = response[..end]
            .iter()
            .map(|&byte| char::from(byte))
            .collect();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<(String, String)> = headers
            .filter(|(name, _)| *name != "connection")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length?.1.parse().ok()?;
        let body = &response[end + 4..];
        if body.len() != length {
            // Its owner has gone in the middle.
            return None;
        }
        Some(Self::new(status, headers, Bytes::copy_from_slice(body)))
    }

    /// The response as the last one of an HTTP/1.1 connection.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).into_bytes();
        let framing = ["connection", "content-length", "transfer-encoding"];
        let headers = self.headers.iter();
        for (name, value) in headers.filter(|(name, _)| !framing.contains(&name.as_str())) {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            // The texts are Latin-1.
            bytes.extend(value.chars().filter_map(|char| u8::try_from(char).ok()));
            bytes.extend_from_slice(b"\r\n");
        }
        let len = self.body.len();
        bytes.extend_from_slice(
            format!("content-length: {len}\r\nconnection: close\r\n\r\n").as_bytes(),
        );
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
