//! Which requests are let in: the checks of a request that belongs to the server, in the order of the JavaScript server,
//! and what a refusal looks like.

use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use kokanee_engineio::{Revision, Sid, Transport};

use crate::{body::Body, mailbox::Mailbox, server::ServerInner, sessions::Full};

type AllowFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The application's own decision about a new session.
#[derive(Clone)]
pub(crate) struct AllowRequest(Arc<dyn Fn(Parts) -> AllowFuture + Send + Sync>);

impl AllowRequest {
    pub(crate) fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move |parts| Box::pin(hook(parts))))
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    TransportUnknown,
    SessionUnknown,
    BadHandshakeMethod,
    BadRequest,
    Forbidden(Option<String>),
    UnsupportedProtocol,
    TooManySessions(Full),
    Closing,
    UrlTooLong,
    MethodNotAllowed,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::TooManySessions(Full::Address) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooManySessions(Full::Server) | Self::Closing => StatusCode::SERVICE_UNAVAILABLE,
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The code of the Engine.IO protocol.
    fn code(&self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SessionUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::Forbidden(_) => 4,
            Self::UnsupportedProtocol => 5,
            _ => 3,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden(Some(message)) => message,
            Self::Forbidden(None) => "Forbidden",
            Self::UnsupportedProtocol => "Unsupported protocol version",
            Self::TooManySessions(Full::Address) => "Too many connections from this address",
            Self::TooManySessions(Full::Server) => "Server is full",
            Self::Closing => "Server is shutting down",
            Self::UrlTooLong => "URL too long",
            Self::MethodNotAllowed => "Method not allowed",
        }
    }

    /// The answer to an ordinary request: JSON. To a WebSocket request: plain text, and the connection is closed.
    pub(crate) fn response(&self, to_upgrade: bool) -> Response<Body> {
        tracing::debug!(
            code = self.code(),
            message = self.message(),
            "request refused"
        );
        let (content_type, body) = if to_upgrade {
            ("text/html", self.message().to_owned())
        } else {
            let message = serde_json::Value::from(self.message());
            (
                "application/json",
                format!("{{\"code\":{},\"message\":{message}}}", self.code()),
            )
        };
        let mut response = Response::new(Body::full(Bytes::from(body)));
        // The JavaScript server answers every refused upgrade with 400, a forbidden one, too.
        *response.status_mut() = match self {
            Self::Forbidden(_) if to_upgrade => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if to_upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        match self {
            Self::TooManySessions(_) | Self::Closing => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::MethodNotAllowed => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
            }
            _ => {}
        }
        response
    }
}

/// The parameters of a request that the server looks at.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    pub(crate) transport: Option<Cow<'a, str>>,
    pub(crate) sid: Option<Cow<'a, str>>,
    pub(crate) revision: Option<Cow<'a, str>>,
    pub(crate) base64: bool,
    /// The digits of `j`: the client polls by JSONP.
    pub(crate) jsonp: Option<String>,
}

impl<'a> Query<'a> {
    /// Reads the parameters as a browser's URL does. `None` if one that matters is there twice, or is empty: two readers
    /// of the same request must not see different things.
    pub(crate) fn parse(query: &'a str) -> Option<Self> {
        let mut parsed = Self::default();
        for (name, value) in pairs(query) {
            let slot = match &*name {
                "transport" => &mut parsed.transport,
                "sid" => &mut parsed.sid,
                "EIO" => &mut parsed.revision,
                "b64" => {
                    parsed.base64 = !value.is_empty();
                    continue;
                }
                "j" => {
                    parsed.jsonp = Some(value.chars().filter(char::is_ascii_digit).collect());
                    continue;
                }
                _ => continue,
            };
            if value.is_empty() || slot.replace(value).is_some() {
                return None;
            }
        }
        Some(parsed)
    }

    pub(crate) fn revision(&self) -> Revision {
        if self.revision.as_deref() == Some("4") {
            Revision::V4
        } else {
            Revision::V3
        }
    }
}

/// The parameters of a query, in one pass. Most have nothing to decode, and are not copied.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = query
            .as_bytes()
            .get(start..)
            .filter(|rest| !rest.is_empty())?;
        let (mut end, mut equals, mut is_plain) = (rest.len(), None, true);
        for (index, byte) in rest.iter().enumerate() {
            match byte {
                b'&' => {
                    end = index;
                    break;
                }
                b'=' if equals.is_none() => equals = Some(index),
                b'%' | b'+' => is_plain = false,
                _ => {}
            }
        }
        // Between ASCII characters.
        let part = |from: usize, to: usize| query.get(start + from..start + to).unwrap_or_default();
        let pair = if is_plain {
            let name_end = equals.unwrap_or(end);
            let value_start = equals.map_or(end, |equals| equals + 1);
            (part(0, name_end).into(), part(value_start, end).into())
        } else {
            form_urlencoded::parse(part(0, end).as_bytes())
                .next()
                .unwrap_or_default()
        };
        start += end + 1;
        Some(pair)
    })
}

/// A request that passed the checks.
pub(crate) enum Admitted {
    /// It opens a session.
    New {
        transport: Transport,
        revision: Revision,
    },
    /// It belongs to a session.
    Known { mailbox: Arc<Mailbox> },
}

/// Whether the request asks for a WebSocket.
pub(crate) fn is_websocket_request(headers: &HeaderMap) -> bool {
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

impl ServerInner {
    /// Checks a request. The order is the JavaScript server's, as a client may see it.
    pub(crate) async fn admit(
        &self,
        parts: &Parts,
        query: &Query<'_>,
    ) -> Result<Admitted, Refusal> {
        let to_websocket = is_websocket_request(&parts.headers);
        let transport = match query.transport.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Refusal::TransportUnknown),
        };
        if !self.transports.contains(&transport) {
            return Err(Refusal::TransportUnknown);
        }
        if let Some(sid) = &query.sid {
            let mailbox = Sid::parse(sid)
                .and_then(|sid| self.sessions.find(&sid))
                .ok_or(Refusal::SessionUnknown)?;
            let mismatch = if to_websocket {
                transport != Transport::WebSocket || !self.session_config.allow_upgrades
            } else {
                mailbox.transport() != transport
            };
            if mismatch || mailbox.revision != query.revision() {
                return Err(Refusal::BadRequest);
            }
            return Ok(Admitted::Known { mailbox });
        }
        if self.is_closing() {
            return Err(Refusal::Closing);
        }
        if parts.method != http::Method::GET {
            return Err(Refusal::BadHandshakeMethod);
        }
        if to_websocket != (transport == Transport::WebSocket) {
            return Err(Refusal::BadRequest);
        }
        if !self.is_origin_allowed(&parts.headers) {
            return Err(Refusal::Forbidden(None));
        }
        if let Some(AllowRequest(hook)) = &self.allow_request {
            hook(parts.clone())
                .await
                .map_err(|message| Refusal::Forbidden((!message.is_empty()).then_some(message)))?;
            if self.is_closing() {
                return Err(Refusal::Closing);
            }
        }
        let revision = query.revision();
        if revision == Revision::V3 && !self.allow_eio3 {
            return Err(Refusal::UnsupportedProtocol);
        }
        Ok(Admitted::New {
            transport,
            revision,
        })
    }

    /// Where a browser sends credentials along, a page of another site could speak for its visitor: such pages must be
    /// allowed by name. Without credentials anybody may connect, as with the JavaScript server.
    fn is_origin_allowed(&self, headers: &HeaderMap) -> bool {
        let credentials =
            self.cookie.is_some() || self.cors.as_ref().is_some_and(|cors| cors.credentials);
        let Some(origin) = headers.get(header::ORIGIN).filter(|_| credentials) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let same = origin
            .split_once("://")
            .is_some_and(|(_, authority)| Some(authority) == host);
        same || self.cors.as_ref().is_some_and(|cors| cors.names(origin))
    }
}
