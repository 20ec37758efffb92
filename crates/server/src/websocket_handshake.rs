//! The opening handshake of a WebSocket (RFC 6455, 4.2): which requests ask for one, and what each is answered, whether it is for the
//! server or for an application on the same listener.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{self, HeaderName},
    request::Parts,
};

use crate::{body::Body, refusal::Refusal};

/// Returns whether the request asks for a WebSocket.
#[doc(hidden)]
pub fn is_websocket_request(headers: &HeaderMap) -> bool {
    let has = |name, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(token))
            })
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// Returns the protocol that a client names first.
#[doc(hidden)]
pub fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = named.split(',').next()?.trim();
    if first.is_empty() {
        return None;
    }
    HeaderValue::try_from(first).ok()
}

/// Returns the answer to a request for a WebSocket, with the protocol that was chosen.
///
/// # Errors
/// The refusal, if the handshake is not one that RFC 6455 allows.
#[doc(hidden)]
pub fn accept_websocket(
    request: &Parts,
    protocol: Option<HeaderValue>,
) -> Result<Response<Body>, Box<Response<Body>>> {
    if request.method != Method::GET {
        return Err(Box::new(Refusal::BadHandshakeMethod.response(true)));
    }
    if request.version < Version::HTTP_11 {
        return Err(refused("WebSocket needs HTTP/1.1"));
    }
    let key = request
        .headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| kokanee_websocket::is_valid_key(key)) else {
        return Err(refused("Missing or invalid Sec-WebSocket-Key header"));
    };
    check_version(&request.headers)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(kokanee_websocket::accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// Checks the version of the protocol. Spec, RFC 6455 4.4: a server that does not speak it lists those that it does.
fn check_version(headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_some_and(|version| version == kokanee_websocket::VERSION) {
        return Ok(());
    }
    let mut response = refused("Missing or invalid Sec-WebSocket-Version header");
    let mut add = |name: HeaderName, value| {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    };
    add(header::SEC_WEBSOCKET_VERSION, kokanee_websocket::VERSION);
    if version.is_some() {
        // Spec, RFC 9110 15.5.22: 426 names the protocol that is needed.
        add(header::UPGRADE, "websocket");
        add(header::CONNECTION, "Upgrade, close");
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    }
    Err(response)
}

fn refused(message: &'static str) -> Box<Response<Body>> {
    let mut response = Response::new(Body::full(message));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Box::new(response)
}
