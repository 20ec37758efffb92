//! [`Exchange`]: a request in Python's hands.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use hyper::upgrade::OnUpgrade;
use kokanee_server::{PeerAddress, Requester, accept_websocket, is_websocket_request};
use pyo3::{
    create_exception,
    exceptions::{
        PyBrokenPipeError, PyConnectionResetError, PyOSError, PyRuntimeError, PyTimeoutError,
        PyValueError,
    },
    prelude::*,
    types::{PyBytes, PyDict},
};

use super::{
    body::ReplyBody,
    elsewhere::Elsewhere,
    environ,
    exchange::{BodyError, Late, Shared},
    reply,
    websocket::{self, HostWebSocket},
};
use crate::{
    engine::{Engine, Site},
    runtime,
};

create_exception!(
    _engine,
    RequestTooLarge,
    PyOSError,
    "The body of a request is larger than the host takes."
);

create_exception!(
    _engine,
    RequestMalformed,
    PyOSError,
    "The body of a request is not one of HTTP."
);

impl From<BodyError> for PyErr {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => RequestTooLarge::new_err("the request's body is too large"),
            BodyError::TooSlow => PyTimeoutError::new_err("the request's body does not arrive"),
            BodyError::Malformed => RequestMalformed::new_err("the request's body is malformed"),
            BodyError::Gone => PyConnectionResetError::new_err("the client has left"),
        }
    }
}

impl From<Late> for PyErr {
    fn from(late: Late) -> Self {
        match late {
            Late::Answered => PyRuntimeError::new_err("the response was given already"),
            Late::Gone => PyBrokenPipeError::new_err("the client has left"),
        }
    }
}

/// A request that Python answers. One that is dropped without a response is answered with 500.
#[pyclass(frozen, module = "kokanee._engine")]
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    is_websocket: bool,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange")
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.abort();
    }
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let is_websocket = shared
            .with_head(|head| head.method == Method::GET && is_websocket_request(&head.headers));
        Self {
            shared,
            is_websocket: is_websocket.unwrap_or_default(),
        }
    }

    fn head<R>(&self, f: impl FnOnce(&mut http::request::Parts) -> PyResult<R>) -> PyResult<R> {
        let taken = || PyRuntimeError::new_err("an engine has the request");
        self.shared.with_head(f).ok_or_else(taken)?
    }
}

/// What has become of a request for a WebSocket.
#[derive(IntoPyObject)]
pub(crate) enum Accepted {
    Open(HostWebSocket),
    /// It was refused with this status.
    Refused(u16),
}

#[pymethods]
impl Exchange {
    #[getter]
    fn id(&self) -> u64 {
        self.shared.id
    }

    /// Whether the client asks for a WebSocket.
    #[getter]
    fn is_websocket(&self) -> bool {
        self.is_websocket
    }

    /// Adds the request to a copy of a dict, in the form of WSGI. `root` is where the application is mounted.
    fn environ<'py>(&self, base: &Bound<'py, PyDict>, root: &str) -> PyResult<Bound<'py, PyDict>> {
        self.head(|head| environ::environ(base, head, root))
    }

    /// Adds the request to a copy of a dict, in the form of ASGI.
    fn scope<'py>(&self, base: &Bound<'py, PyDict>, root: &str) -> PyResult<Bound<'py, PyDict>> {
        self.head(|head| environ::scope(base, head, root, self.is_websocket))
    }

    /// The body, if all of it is there already.
    fn read_whole<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let body = self.shared.read_whole();
        body.map(|body| PyBytes::new(py, &body))
    }

    /// Waits, without the GIL, for a piece of the body of at most so many bytes. An empty one is the end.
    fn read<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let piece = py.detach(|| self.shared.read(most))?;
        Ok(PyBytes::new(py, &piece))
    }

    /// As `read`, for an event loop: `None` if nothing is there, and the loop will be woken.
    fn try_read<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match self.shared.try_read(most) {
            Some(piece) => Ok(Some(PyBytes::new(py, &piece?))),
            None => Ok(None),
        }
    }

    /// Gives the whole response.
    #[pyo3(signature = (status, headers, body, reason = None))]
    fn respond(
        &self,
        status: u16,
        headers: &Bound<'_, PyAny>,
        body: &[u8],
        reason: Option<&str>,
    ) -> PyResult<()> {
        let mut head = reply::head(status, reason, headers)?;
        let method = self.head(|request| Ok(request.method.clone()))?;
        let body = reply::fit(&mut head, &method, body)?;
        let body = ReplyBody::Whole(Bytes::copy_from_slice(body));
        Ok(self.shared.answer(head.map(|()| body))?)
    }

    /// Begins a response; `write` gives its body.
    #[pyo3(signature = (status, headers, reason = None))]
    fn start(&self, status: u16, headers: &Bound<'_, PyAny>, reason: Option<&str>) -> PyResult<()> {
        let head = reply::head(status, reason, headers)?;
        Ok(self.shared.begin(head)?)
    }

    /// Writes a piece of the response; while the client does not read, waits without the GIL.
    fn write(&self, py: Python<'_>, piece: &[u8]) -> PyResult<()> {
        let piece = Bytes::copy_from_slice(piece);
        Ok(py.detach(|| self.shared.write(piece))?)
    }

    /// As `write`, for an event loop. `False` if it should wait until it is woken.
    fn try_write(&self, piece: &[u8]) -> PyResult<bool> {
        Ok(self.shared.try_write(Bytes::copy_from_slice(piece))?)
    }

    /// Whether there is room to write; if not, the loop will be woken.
    fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// Ends a response that was begun.
    fn end(&self) {
        self.shared.end();
    }

    /// Gives up: 500, or the end of the connection if the response was begun.
    fn abort(&self) {
        self.shared.abort();
    }

    /// Whether the client has left, or has got the response.
    fn is_gone(&self) -> bool {
        self.shared.is_gone()
    }

    /// As `is_gone`, also if the client has only ended its own stream and may read the response. If not, the loop will be woken
    /// then.
    fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Whether the response was given, or begun, or an engine gives it.
    fn is_answered(&self) -> bool {
        self.shared.is_answered()
    }

    /// Gives the request to an engine, which answers it at its own path with this query. `False` if its body was read or it was
    /// answered.
    #[pyo3(signature = (engine, environ = None))]
    fn give(&self, py: Python<'_>, engine: &Engine, environ: Option<Py<PyAny>>) -> PyResult<bool> {
        let Some(uri) = self.shared.with_head(|head| head.uri.clone()) else {
            return Ok(false);
        };
        let cookie = engine.cookie_of(py, &uri)?;
        let Site {
            here,
            path,
            open,
            owner,
        } = engine.site(py)?;
        let server = here.server.clone();
        let given = self.shared.give(server.clone(), |mut head| {
            let owner = owner(&head.uri);
            let requester = head.extensions.get::<Requester>();
            let query = head
                .uri
                .query()
                .map_or_else(String::new, |query| format!("?{query}"));
            let origin = match requester {
                Some(requester) if requester.is_secure() => "https://host",
                _ => "",
            };
            let uri = format!("{origin}{path}/{query}").parse();
            let address = requester.and_then(Requester::address);
            head.uri = uri.map_err(|_| PyValueError::new_err("not a query"))?;
            if let Some(owner) = owner {
                let target = head.uri.clone();
                head.extensions.insert(Elsewhere {
                    owner,
                    server,
                    target,
                });
                return Ok(head);
            }
            if let Some(address) = address {
                head.extensions.insert(PeerAddress(address));
            }
            if let Some(cookie) = cookie {
                head.extensions.insert(cookie);
            }
            open(&mut head, environ);
            Ok::<_, PyErr>(head)
        });
        given.map_or(Ok(false), |given| given.map(|()| true))
    }

    /// Accepts the WebSocket that the client asks for. A handshake that is not one is refused: with this status.
    #[pyo3(signature = (headers, subprotocol = None, most_bytes = 16_777_216))]
    fn accept_websocket(
        &self,
        headers: &Bound<'_, PyAny>,
        subprotocol: Option<&str>,
        most_bytes: usize,
    ) -> PyResult<Accepted> {
        let own = reply::head(200, None, headers)?;
        let protocol = subprotocol.map(HeaderValue::try_from).transpose();
        let protocol = protocol.map_err(|_| PyOSError::new_err("not a value of a header"))?;
        let (answer, upgrade) = self.head(|request| {
            let answer = accept_websocket(request, protocol);
            Ok((answer, request.extensions.remove::<OnUpgrade>()))
        })?;
        let mut response = match answer {
            Ok(response) => response,
            Err(refusal) => {
                let status = refusal.status().as_u16();
                self.shared.answer(refusal.map(ReplyBody::Engine))?;
                return Ok(Accepted::Refused(status));
            }
        };
        let upgrade = upgrade.ok_or(Late::Answered)?;
        let mut fields = own.into_parts().0.headers;
        fields.remove(header::CONTENT_LENGTH);
        for (name, value) in response.headers() {
            fields.insert(name, value.clone());
        }
        *response.headers_mut() = fields;
        self.shared.answer(response.map(ReplyBody::Engine))?;
        Ok(Accepted::Open(websocket::open(
            &runtime::handle()?,
            self.shared.id,
            self.shared.queue(),
            upgrade,
            most_bytes,
        )))
    }
}
