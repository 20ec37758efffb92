//! The package's own host: a listener whose requests are Python's, except those for an engine.
//!
//! | step | file |
//! |---|---|
//! | Where a request goes: to an engine without Python, or into the queue. | `site.rs` |
//! | The request and its response, as both sides see it. | `exchange.rs`, `body.rs` |
//! | How Python gets it: threads wait, an event loop is woken. | `queue.rs` |
//! | The request as a dict of WSGI or ASGI; the response that Python gives. | `environ.rs`, `reply.rs` |
//! | A WebSocket of an ASGI application. | `websocket.rs` |
//! | A request for the session of another worker. | `elsewhere.rs` |

mod body;
mod elsewhere;
mod environ;
mod exchange;
mod python;
mod queue;
mod reply;
mod site;
mod websocket;

use std::{
    convert::Infallible,
    future::poll_fn,
    os::fd::RawFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use kokanee_server::{Accept, Adopter, Listener, Server, TrustedProxy, read_body};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyOSError, PyValueError},
    prelude::*,
};
use socket2::{Domain, TcpKeepalive};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::AbortHandle,
};
use tower_service::Service;

use self::{
    body::{ReplyBody, RequestBody, Running},
    elsewhere::Elsewhere,
    exchange::{BodyLimits, Shared, Verdict},
    queue::{Event, Queue},
    site::{Origins, Site},
};
pub(crate) use self::{
    python::{Exchange, RequestMalformed, RequestTooLarge},
    site::Opening,
    websocket::HostWebSocket,
};
use crate::{adopt::duplicate, engine::Engine, runtime, workers::moving};

/// Bodies up to this size are read before Python gets the request, so that a slow client holds no thread.
const SMALL_BODY: usize = 64 * 1024;

/// How long a connection is silent before the kernel asks whether its client is there, and how often it asks.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// What the connections of a host share.
struct Inner {
    queue: Arc<Queue>,
    limits: BodyLimits,
    ids: AtomicU64,
    /// Requests that are being answered.
    running: Arc<AtomicUsize>,
    /// Connections end.
    ending: watch::Sender<bool>,
}

/// Says that the connection does not wait for an exchange any more.
struct Leaving(Option<Arc<Shared>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.leave();
        }
    }
}

fn status(status: StatusCode) -> Response<ReplyBody> {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut response = Response::new(ReplyBody::Whole(Bytes::from(reason)));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    if status != StatusCode::INTERNAL_SERVER_ERROR {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

impl Inner {
    /// Answers a request: Python does, or the engine that Python gives it to, or the worker whose session it is for.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<ReplyBody> {
        let running = Running::new(&self.running);
        let (mut head, body) = request.into_parts();
        if let Some(elsewhere) = head.extensions.remove::<Elsewhere>() {
            let body = RequestBody::Unread(body);
            return elsewhere::answer(elsewhere, self.limits.timeout, head, body).await;
        }
        let body = match self.body(&head.headers, body).await {
            Ok(body) => body,
            Err(refusal) => return status(refusal),
        };
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let (shared, mut decided) =
            Shared::new(id, Arc::clone(&self.queue), self.limits, head, body);
        let mut leaving = Leaving(Some(Arc::clone(&shared)));
        let request = Event::Request(Arc::clone(&shared));
        if self.queue.try_push(request).is_err() {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let decision = poll_fn(|cx| {
            shared.look_for_end();
            Pin::new(&mut decided).poll(cx)
        });
        match decision.await {
            Ok(Verdict::Reply(mut response)) => {
                if let ReplyBody::Stream(_) = response.body() {
                    // It leaves with its stream.
                    leaving.0 = None;
                }
                response.body_mut().keep(running);
                response
            }
            Ok(Verdict::Engine(server, request)) => {
                elsewhere::engine(server, self.limits.timeout, request).await
            }
            Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Reads a small body.
    async fn body(
        &self,
        headers: &http::HeaderMap,
        body: Incoming,
    ) -> Result<RequestBody, StatusCode> {
        if body.is_end_stream() {
            return Ok(RequestBody::Read(Bytes::new()));
        }
        let size = body.size_hint().exact();
        if size.is_some_and(|size| size > self.limits.most_bytes) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if size.is_none_or(|size| size > SMALL_BODY as u64) || headers.contains_key(header::EXPECT)
        {
            return Ok(RequestBody::Unread(body));
        }
        let mut read = Vec::new();
        read_body(body, &mut read, SMALL_BODY, self.limits.timeout).await?;
        Ok(RequestBody::Read(read.into()))
    }
}

/// The service that gives requests to Python.
#[derive(Clone)]
struct ToPython(Arc<Inner>);

impl Service<Request<Incoming>> for ToPython {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

/// A host: takes connections of sockets that listen, and gives their requests to Python.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct Host {
    inner: Arc<Inner>,
    tls: Option<(String, String)>,
    proxies: Vec<TrustedProxy>,
    /// What accepts connections.
    accepting: Mutex<Vec<AbortHandle>>,
    /// What serves connections that come from other workers, one for each socket.
    adopters: Mutex<Vec<Arc<Adopter>>>,
    /// None are accepted any more.
    stopped: Arc<AtomicBool>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

#[pymethods]
impl Host {
    #[new]
    #[pyo3(signature = (max_body, body_timeout, backlog, tls = None, trusted_proxies = Vec::new()))]
    fn new(
        max_body: u64,
        body_timeout: f64,
        backlog: usize,
        tls: Option<(String, String)>,
        trusted_proxies: Vec<String>,
    ) -> PyResult<Self> {
        let timeout = Duration::try_from_secs_f64(body_timeout)
            .map_err(|error| PyValueError::new_err(format!("body timeout: {error}")))?;
        let limits = BodyLimits {
            most_bytes: max_body,
            timeout,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                queue: Arc::new(Queue::new(backlog)),
                limits,
                ids: AtomicU64::new(0),
                running: Arc::default(),
                ending: watch::Sender::new(false),
            }),
            tls,
            proxies: crate::config::proxies(&trusted_proxies)?,
            accepting: Mutex::default(),
            adopters: Mutex::default(),
            stopped: Arc::default(),
        })
    }

    /// Takes connections of a socket, which is duplicated. With an engine, requests below `prefix` are its own if they are of
    /// no page, or of one that may connect: of the host that is asked or of `origins` (`None`: Python decides; `*`: all).
    #[pyo3(signature = (fd, engine = None, prefix = String::new(), origins = None))]
    fn listen(
        &self,
        py: Python<'_>,
        fd: RawFd,
        engine: Option<&Engine>,
        prefix: String,
        origins: Option<Vec<String>>,
    ) -> PyResult<()> {
        let runtime = runtime::handle()?;
        let socket = socket2::Socket::from(duplicate(fd)?);
        socket.set_nonblocking(true)?;
        if socket.domain()? != Domain::UNIX {
            // Its connections inherit this. A WebSocket of the application's own has no other heartbeat.
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE_TIME)
                .with_interval(KEEPALIVE_INTERVAL);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        let mut site = None;
        let server = match engine {
            None => Server::builder()
                .trust_proxies(self.proxies.iter().copied())
                .build(),
            Some(engine) => {
                let crate::engine::Site {
                    here,
                    path,
                    open,
                    owner,
                } = engine.site(py)?;
                site = Some(Site {
                    prefix: format!("/{}", prefix.trim_matches('/')),
                    path,
                    origins: match origins {
                        None => Origins::Unknown,
                        Some(names) if names.iter().any(|name| name == "*") => Origins::All,
                        Some(names) => Origins::OwnAnd(names),
                    },
                    secure: self.tls.is_some(),
                    open,
                    owner,
                    here: Arc::clone(&here),
                    stopped: Arc::clone(&self.stopped),
                });
                here.server.clone()
            }
        };
        let _inside = runtime.enter();
        let task = if socket.domain()? == Domain::UNIX {
            self.accept(&server, UnixListener::from_std(socket.into())?, site)?
        } else {
            self.accept(&server, TcpListener::from_std(socket.into())?, site)?
        };
        self.accepting.lock().push(task);
        Ok(())
    }

    /// Waits for a request without the GIL. `None` after the timeout in seconds, or when the host is closed.
    fn next(&self, py: Python<'_>, timeout: f64) -> Option<Exchange> {
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
        match self.inner.queue.wait(py, Some(timeout))? {
            Event::Request(shared) => Some(Exchange::new(shared)),
            Event::Ready(_) => None,
        }
    }

    /// The descriptor that is readable while `drain` has something.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.inner.queue.fileno()?)
    }

    /// Takes up to `max` requests, and ids of those that are to be woken.
    fn drain<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let events = self.inner.queue.drain(max).into_iter();
        let python = |event| match event {
            Event::Request(shared) => Ok(Bound::new(py, Exchange::new(shared))?.into_any()),
            Event::Ready(id) => Ok(id.into_pyobject(py)?.into_any()),
        };
        events.map(python).collect()
    }

    /// Waits, without the GIL, until all threads are busy and for so many seconds no request was taken though some wait, and
    /// returns how many do. 0: the host is closed.
    fn wait_busy(&self, py: Python<'_>, patience: f64) -> usize {
        let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
        py.detach(|| self.inner.queue.wait_busy(patience))
    }

    /// How many requests are being answered.
    fn running(&self) -> usize {
        self.inner.running.load(Ordering::Relaxed)
    }

    /// Accepts no more connections. Those that exist go on.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        for task in &*self.accepting.lock() {
            task.abort();
        }
    }

    /// Ends the connections: at once if they are idle, after their response otherwise.
    fn end_connections(&self) {
        self.inner.ending.send_replace(true);
    }

    /// Waits without the GIL until all requests are answered. `False` after the timeout in seconds.
    fn wait_answered(&self, py: Python<'_>, timeout: f64) -> bool {
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
        let deadline = Instant::now() + timeout;
        py.detach(|| {
            while self.running() > 0 {
                if Instant::now() >= deadline {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            true
        })
    }

    /// Takes no more requests, and ends the waits of threads.
    fn close(&self) {
        self.inner.queue.close();
    }
}

impl Host {
    fn accept<L: Accept>(
        &self,
        server: &Server,
        socket: L,
        site: Option<Site>,
    ) -> PyResult<AbortHandle> {
        let failed = |error: kokanee_server::ListenError| PyOSError::new_err(error.to_string());
        let mut listener: Listener<L> = server
            .listener(socket)
            .map_err(failed)?
            .stop_with(self.inner.ending.subscribe())
            .tell_end()
            .fallback(ToPython(Arc::clone(&self.inner)));
        let here = site.as_ref().map(|site| Arc::clone(&site.here));
        listener = match site {
            Some(site) => listener.route(move |parts| site.route(parts)),
            None => listener.route(|_| kokanee_server::Route::Fallback),
        };
        if let Some((certificate, key)) = &self.tls {
            listener = listener
                .tls(certificate.as_ref(), key.as_ref())
                .map_err(failed)?;
        } else if let Some(here) = here {
            listener = listener.let_move(self.inner.limits.timeout, |parts, address| {
                let elsewhere = parts.extensions.remove::<Elsewhere>()?;
                Some(moving::taker(elsewhere.owner, address))
            });
            let adopter = Arc::new(listener.adopter());
            here.adopt_with(&adopter);
            self.adopters.lock().push(adopter);
        }
        Ok(tokio::spawn(listener.serve()).abort_handle())
    }
}
