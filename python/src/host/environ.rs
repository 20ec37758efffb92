//! Requests in the forms of WSGI and ASGI.

use std::borrow::Cow;

use http::{HeaderMap, Version, header, request::Parts};
use kokanee_server::Requester;
use percent_encoding::percent_decode_str;
use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

/// A text of Latin-1, as WSGI has them.
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => {
            let text: String = bytes.iter().copied().map(char::from).collect();
            PyString::new(py, &text)
        }
    }
}

fn version(parts: &Parts) -> &'static str {
    if parts.version == Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    }
}

/// The part of a path below `root`; the whole path if it is not below.
fn below<'a>(root: &str, path: &'a [u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(root.as_bytes())?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// Adds a request to a copy of `base`, as WSGI says. `root` is the path at which the application is mounted.
pub(crate) fn environ<'py>(
    base: &Bound<'py, PyDict>,
    parts: &Parts,
    root: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let py = base.py();
    let environ = base.copy()?;
    let path: Cow<'_, [u8]> = percent_decode_str(parts.uri.path()).into();
    let info = below(root, &path).unwrap_or(&path);
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    environ.set_item(intern!(py, "REQUEST_METHOD"), parts.method.as_str())?;
    environ.set_item(intern!(py, "PATH_INFO"), latin1(py, info))?;
    // Clients may send more than ASCII as it is.
    let query = parts.uri.query().unwrap_or_default();
    environ.set_item(intern!(py, "QUERY_STRING"), latin1(py, query.as_bytes()))?;
    let target = latin1(py, target.as_bytes());
    environ.set_item(intern!(py, "RAW_URI"), &target)?;
    environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
    let protocol = if parts.version == Version::HTTP_10 {
        intern!(py, "HTTP/1.0")
    } else {
        intern!(py, "HTTP/1.1")
    };
    environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
    let requester = parts.extensions.get::<Requester>();
    if let Some(address) = requester.and_then(Requester::address) {
        environ.set_item(
            intern!(py, "REMOTE_ADDR"),
            address.ip().to_canonical().to_string(),
        )?;
        environ.set_item(intern!(py, "REMOTE_PORT"), address.port().to_string())?;
    }
    if requester.is_some_and(Requester::is_secure) {
        environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
    }
    headers(&environ, &parts.headers)?;
    let host = requester.and_then(Requester::host);
    if let Some(host) = host {
        environ.set_item(intern!(py, "HTTP_HOST"), host)?;
    }
    if !environ.contains(intern!(py, "SERVER_NAME"))? {
        // A Unix socket has no host and port, and WSGI wants some.
        let named = || parts.headers.get(header::HOST)?.to_str().ok();
        let is_secure = requester.is_some_and(Requester::is_secure);
        let (name, port) = name_and_port(host.or_else(named).unwrap_or_default(), is_secure);
        environ.set_item(intern!(py, "SERVER_NAME"), name)?;
        environ.set_item(intern!(py, "SERVER_PORT"), port)?;
    }
    Ok(environ)
}

/// The name and the port in a `Host` field, neither of which may be empty.
fn name_and_port(host: &str, is_secure: bool) -> (&str, &str) {
    let (name, port) = match host.rsplit_once(':') {
        // The rest of an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => (host, ""),
        Some(both) => both,
        None => (host, ""),
    };
    let name = if name.is_empty() { "localhost" } else { name };
    let port = match (port, is_secure) {
        ("", false) => "80",
        ("", true) => "443",
        (port, _) => port,
    };
    (name, port)
}

fn headers(environ: &Bound<'_, PyDict>, headers: &HeaderMap) -> PyResult<()> {
    let py = environ.py();
    let mut key = String::with_capacity(32);
    for name in headers.keys() {
        // It would look like the same name with a hyphen.
        if name.as_str().contains('_') {
            continue;
        }
        let mut values = headers.get_all(name).iter();
        let first = values.next().map_or(&b""[..], |value| value.as_bytes());
        let separator = if name == header::COOKIE { "; " } else { "," };
        let value = match values.next() {
            None => latin1(py, first),
            Some(second) => {
                let mut all = first.to_vec();
                for value in std::iter::once(second).chain(values) {
                    all.extend_from_slice(separator.as_bytes());
                    all.extend_from_slice(value.as_bytes());
                }
                latin1(py, &all)
            }
        };
        if name == header::CONTENT_TYPE {
            environ.set_item(intern!(py, "CONTENT_TYPE"), value)?;
        } else if name == header::CONTENT_LENGTH {
            environ.set_item(intern!(py, "CONTENT_LENGTH"), value)?;
        } else {
            key.clear();
            key.push_str("HTTP_");
            key.extend(name.as_str().chars().map(|char| match char {
                '-' => '_',
                other => other.to_ascii_uppercase(),
            }));
            environ.set_item(PyString::new(py, &key), value)?;
        }
    }
    Ok(())
}

/// Adds a request to a copy of `base`, as ASGI says.
pub(crate) fn scope<'py>(
    base: &Bound<'py, PyDict>,
    parts: &Parts,
    root: &str,
    is_websocket: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let py = base.py();
    let scope = base.copy()?;
    let requester = parts.extensions.get::<Requester>();
    let secure = requester.is_some_and(Requester::is_secure);
    let (kind, scheme) = match (is_websocket, secure) {
        (false, false) => (intern!(py, "http"), intern!(py, "http")),
        (false, true) => (intern!(py, "http"), intern!(py, "https")),
        (true, false) => (intern!(py, "websocket"), intern!(py, "ws")),
        (true, true) => (intern!(py, "websocket"), intern!(py, "wss")),
    };
    scope.set_item(intern!(py, "type"), kind)?;
    scope.set_item(intern!(py, "http_version"), version(parts))?;
    scope.set_item(intern!(py, "scheme"), scheme)?;
    if is_websocket {
        let protocols = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let protocols = protocols.iter().filter_map(|value| value.to_str().ok());
        let protocols = protocols.flat_map(|value| value.split(','));
        let protocols: Vec<&str> = protocols.map(str::trim).collect();
        scope.set_item(intern!(py, "subprotocols"), protocols)?;
    } else {
        scope.set_item(intern!(py, "method"), parts.method.as_str())?;
    }
    let raw = parts.uri.path();
    let path: Cow<'_, [u8]> = percent_decode_str(raw).into();
    // The path includes that of the mount, also if a proxy has removed it.
    let prefix = if below(root, &path).is_some() {
        ""
    } else {
        root
    };
    let path = format!("{prefix}{}", String::from_utf8_lossy(&path));
    let raw = format!("{prefix}{raw}");
    scope.set_item(intern!(py, "path"), path)?;
    scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, raw.as_bytes()))?;
    let query = parts.uri.query().unwrap_or_default();
    scope.set_item(
        intern!(py, "query_string"),
        PyBytes::new(py, query.as_bytes()),
    )?;
    let host = requester.and_then(Requester::host);
    let list = PyList::empty(py);
    for (name, value) in &parts.headers {
        let value = match host {
            Some(host) if name == header::HOST => host.as_bytes(),
            _ => value.as_bytes(),
        };
        let name = PyBytes::new(py, name.as_str().as_bytes());
        list.append(PyTuple::new(py, [name, PyBytes::new(py, value)])?)?;
    }
    scope.set_item(intern!(py, "headers"), list)?;
    let client = requester
        .and_then(Requester::address)
        .map(|address| (address.ip().to_canonical().to_string(), address.port()));
    scope.set_item(intern!(py, "client"), client)?;
    Ok(scope)
}
