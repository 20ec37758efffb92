//! The requests that the host gives to an engine without Python, and what Python can later ask about the one that opened a
//! session.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderMap, Request, Uri, header, request::Parts};
use kokanee_server::{Requester, Route, Socket};
use pyo3::{prelude::*, types::PyDict};

use super::{elsewhere::Elsewhere, environ};
use crate::{
    engine::{Open, OwnerOf},
    here::Here,
};

/// Which pages' requests need not be shown to Python.
#[derive(Debug, Clone)]
pub(crate) enum Origins {
    /// Those of the host that is asked, and these.
    OwnAnd(Vec<String>),
    All,
    /// Python decides.
    Unknown,
}

/// Where an engine is below the host's address.
pub(crate) struct Site {
    /// The path for clients, without a slash at its end.
    pub(crate) prefix: String,
    /// The path of the engine.
    pub(crate) path: String,
    pub(crate) origins: Origins,
    pub(crate) secure: bool,
    pub(crate) open: Arc<Open>,
    pub(crate) owner: Arc<OwnerOf>,
    pub(crate) here: Arc<Here>,
    /// The host ends.
    pub(crate) stopped: Arc<AtomicBool>,
}

impl Site {
    /// Decides about a request: the engine's, if it is below the path and of a page that may connect.
    pub(crate) fn route(&self, parts: &mut Parts) -> Route {
        let path = parts.uri.path();
        let below = match path.strip_prefix(self.prefix.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => return Route::Fallback,
        };
        if self.here.server.is_closed() && !self.stopped.load(Ordering::Relaxed) {
            // The application has shut it down. Python starts the next one.
            return Route::Fallback;
        }
        if !self.accepts(&parts.headers) {
            // Python refuses it, and logs why.
            return Route::Fallback;
        }
        let owner = (self.owner)(&parts.uri);
        let mut target = parts.uri.clone();
        if self.prefix != self.path {
            let query = parts
                .uri
                .query()
                .map_or_else(String::new, |query| format!("?{query}"));
            let Ok(uri) = format!("{}{below}{query}", self.path).parse() else {
                return Route::Fallback;
            };
            target = uri;
        }
        if let Some(owner) = owner {
            let server = self.here.server.clone();
            parts.extensions.insert(Elsewhere {
                owner,
                server,
                target,
            });
            return Route::Fallback;
        }
        parts.uri = target;
        (self.open)(parts, None);
        Route::Server
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let (Origins::OwnAnd(allowed), Ok(origin)) = (&self.origins, origin.to_str()) else {
            return matches!(self.origins, Origins::All);
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let is_own = host.is_some_and(|host| {
            match origin.split_once("://") {
                // A proxy may have decrypted.
                Some(("https", page)) => page == host,
                Some(("http", page)) => {
                    page == host && !self.secure && !headers.contains_key("x-forwarded-proto")
                }
                _ => false,
            }
        });
        is_own || allowed.iter().any(|name| name == origin)
    }
}

/// The request that opened a session, until somebody asks for it as a dict.
#[pyclass(frozen, module = "kokanee._engine")]
#[derive(Debug)]
pub(crate) struct Opening {
    /// Target, then name and value of each header, each after its length.
    fields: Box<[u8]>,
    address: Option<std::net::SocketAddr>,
    secure: bool,
    is_websocket: bool,
}

impl Opening {
    pub(crate) fn of(socket: &Socket) -> Self {
        let handshake = socket.handshake();
        let headers = handshake.headers();
        let mut fields = Vec::with_capacity(512);
        let mut add = |field: &[u8]| {
            let len = u16::try_from(field.len()).unwrap_or(u16::MAX);
            fields.extend_from_slice(&len.to_be_bytes());
            fields.extend_from_slice(&field[..usize::from(len)]);
        };
        add(handshake.url().as_bytes());
        for (name, value) in &headers {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        Self {
            fields: fields.into_boxed_slice(),
            address: handshake.address(),
            secure: handshake.secure(),
            is_websocket: headers.contains_key(header::UPGRADE),
        }
    }

    fn parts(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        let mut rest = &*self.fields;
        let mut fields = std::iter::from_fn(|| {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (field, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = after;
            Some(field)
        });
        if let Some(Ok(uri)) = fields.next().map(Uri::try_from) {
            parts.uri = uri;
        }
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            if let (Ok(name), Ok(value)) = (
                header::HeaderName::from_bytes(name),
                header::HeaderValue::from_bytes(value),
            ) {
                parts.headers.append(name, value);
            }
        }
        parts
            .extensions
            .insert(Requester::new(self.address, self.secure));
        parts
    }
}

#[pymethods]
impl Opening {
    /// Adds the request to a copy of a dict, in the form of WSGI.
    fn environ<'py>(&self, base: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        environ::environ(base, &self.parts(), "")
    }

    /// Adds the request to a copy of a dict, in the form of ASGI.
    fn scope<'py>(&self, base: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        environ::scope(base, &self.parts(), "", self.is_websocket)
    }
}
