//! Requests that a host has read, and whose responses it writes: long polling where the connection cannot be taken over.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use kokanee_server::{PeerAddress, Server};
use parking_lot::{Condvar, Mutex};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};
use tokio::task::AbortHandle;
use tower_service::Service;

use crate::queue::{Event, Queue};

/// A response: its status, headers and body.
pub(crate) struct Reply {
    status: u16,
    reason: &'static str,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// A request that is being answered.
pub(crate) struct PendingState {
    pub(crate) id: u64,
    reply: Mutex<Option<Reply>>,
    filled: Condvar,
}

impl std::fmt::Debug for PendingState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingState")
            .field("id", &self.id)
            .finish()
    }
}

/// A request that is being answered.
#[pyclass(frozen, module = "kokanee._engine")]
#[derive(Debug)]
pub(crate) struct Pending {
    state: Arc<PendingState>,
    answering: AbortHandle,
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

    /// Waits for the response, without the GIL: status, reason, headers and body. `None` after the timeout in seconds.
    #[pyo3(signature = (timeout = None))]
    fn wait<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> Option<PyReply<'py>> {
        let reply = py.detach(|| {
            let mut reply = self.state.reply.lock();
            while reply.is_none() {
                match timeout {
                    None => self.state.filled.wait(&mut reply),
                    Some(seconds) => {
                        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                        if self.state.filled.wait_for(&mut reply, timeout).timed_out() {
                            break;
                        }
                    }
                }
            }
            reply.take()
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
}

/// What a host knows of a request.
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) address: Option<(String, u16)>,
    pub(crate) secure: bool,
}

impl Head {
    /// The request without its body.
    pub(crate) fn request<B>(&self, body: B) -> PyResult<Request<B>> {
        let invalid = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|error| invalid(&error))?;
        let uri: Uri = if self.secure {
            format!("https://host{}", self.target).parse()
        } else {
            self.target.parse()
        }
        .map_err(|error| invalid(&error))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| invalid(&error))?;
            // WSGI's texts are Latin-1.
            let bytes: Option<Vec<u8>> = value
                .chars()
                .map(|char| u8::try_from(u32::from(char)).ok())
                .collect();
            let bytes = bytes.unwrap_or_else(|| value.as_bytes().to_vec());
            let value = HeaderValue::from_bytes(&bytes).map_err(|error| invalid(&error))?;
            request.headers_mut().append(name, value);
        }
        if let Some(address) = self.socket_address() {
            request.extensions_mut().insert(PeerAddress(address));
        }
        Ok(request)
    }

    pub(crate) fn socket_address(&self) -> Option<std::net::SocketAddr> {
        let (host, port) = self.address.as_ref()?;
        Some(std::net::SocketAddr::new(host.parse().ok()?, *port))
    }
}

/// Begins to answer a request; `notify` pushes an event when the response is there.
pub(crate) fn start(
    server: &Server,
    runtime: &tokio::runtime::Handle,
    queue: &Arc<Queue>,
    request: Request<Full<Bytes>>,
    id: u64,
    notify: bool,
) -> Pending {
    let state = Arc::new(PendingState {
        id,
        reply: Mutex::new(None),
        filled: Condvar::new(),
    });
    let (pending, queue) = (Arc::clone(&state), Arc::clone(queue));
    let mut server = server.clone();
    let answering = runtime.spawn(async move {
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
        *pending.reply.lock() = Some(Reply {
            status: parts.status.as_u16(),
            reason: parts.status.canonical_reason().unwrap_or("Unknown"),
            headers: headers.collect(),
            body,
        });
        pending.filled.notify_all();
        if notify {
            queue.push(Event::Done(pending));
        }
    });
    Pending {
        state,
        answering: answering.abort_handle(),
    }
}
