//! Which requests are let in: the checks of a request that belongs to the server, in the order of the JavaScript server,
//! and what a refusal looks like.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use kokanee_engineio::{Revision, Sid, Transport};

use crate::{
    body::Body,
    forwarded::Client,
    http::Peer,
    mailbox::Mailbox,
    origin::Pages,
    server::ServerInner,
    sessions::{Full, JOIN_GRACE},
};

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
                headers.insert(header::RETRY_AFTER, JOIN_GRACE.as_secs().into());
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
#[derive(Debug)]
pub(crate) struct Query {
    /// `None` if it is none that the server knows.
    pub(crate) transport: Option<Transport>,
    pub(crate) sid: ClaimedSid,
    pub(crate) revision: Revision,
    pub(crate) base64: bool,
    /// The digits of `j`: the client polls by JSONP.
    pub(crate) jsonp: Option<String>,
}

/// The session that a request says it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClaimedSid {
    None,
    Sid(Sid),
    /// What cannot be an id.
    Malformed,
}

impl Query {
    /// Reads the parameters as a browser's URL does. `None` if one that matters is there twice, or is empty: two readers
    /// of the same request must not see different things.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let decoded: Vec<_>;
        let mut values = Values::default();
        // Most have nothing to decode.
        if memchr::memchr2(b'%', b'+', query.as_bytes()).is_none() {
            let mut rest = Some(query);
            while let Some(parameters) = rest {
                let (parameter, others) = cut(parameters, b'&');
                let (name, value) = cut(parameter, b'=');
                values.take(name, value.unwrap_or_default())?;
                rest = others;
            }
        } else {
            decoded = form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| PARAMETERS.contains(&&**name))
                .collect();
            for (name, value) in &decoded {
                values.take(name, value)?;
            }
        }
        Some(Self {
            transport: match values.transport {
                Some("polling") => Some(Transport::Polling),
                Some("websocket") => Some(Transport::WebSocket),
                _ => None,
            },
            sid: match values.sid {
                None => ClaimedSid::None,
                Some(sid) => Sid::parse(sid).map_or(ClaimedSid::Malformed, ClaimedSid::Sid),
            },
            revision: match values.revision {
                Some("4") => Revision::V4,
                _ => Revision::V3,
            },
            base64: values.base64,
            jsonp: values.jsonp,
        })
    }
}

/// What is in front of an ASCII character, and what is behind it, if it is there. For short texts faster than `split_once`.
fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    match memchr::memchr(at, text.as_bytes()) {
        Some(index) => (&text[..index], Some(&text[index + 1..])),
        None => (text, None),
    }
}

/// The names of the parameters.
const PARAMETERS: [&str; 5] = ["transport", "sid", "EIO", "b64", "j"];

/// The values of the parameters, as they are read.
#[derive(Default)]
struct Values<'a> {
    transport: Option<&'a str>,
    sid: Option<&'a str>,
    revision: Option<&'a str>,
    base64: bool,
    jsonp: Option<String>,
}

impl<'a> Values<'a> {
    /// Takes one parameter. `None` if there can be no such one.
    fn take(&mut self, name: &str, value: &'a str) -> Option<()> {
        let slot = match name {
            "transport" => &mut self.transport,
            "sid" => &mut self.sid,
            "EIO" => &mut self.revision,
            "b64" => {
                self.base64 = !value.is_empty();
                return Some(());
            }
            "j" => {
                self.jsonp = Some(value.chars().filter(char::is_ascii_digit).collect());
                return Some(());
            }
            _ => return Some(()),
        };
        let is_first = slot.is_none() && !value.is_empty();
        *slot = Some(value);
        is_first.then_some(())
    }
}

/// A request that passed the checks.
pub(crate) enum Admitted {
    /// It opens a session, if the application and [`is_served`](ServerInner::is_served) have nothing against it.
    New {
        transport: Transport,
        client: Client,
        pages: Pages,
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
    pub(crate) fn admit(
        &self,
        parts: &Parts,
        query: &Query,
        to_websocket: bool,
        peer: &Peer,
    ) -> Result<Admitted, Refusal> {
        let transport = query
            .transport
            .filter(|transport| self.transports.contains(transport))
            .ok_or(Refusal::TransportUnknown)?;
        match query.sid {
            ClaimedSid::None => {}
            ClaimedSid::Malformed => return Err(Refusal::SessionUnknown),
            ClaimedSid::Sid(sid) => {
                let mailbox = self.sessions.find(&sid).ok_or(Refusal::SessionUnknown)?;
                let mismatch = if to_websocket {
                    transport != Transport::WebSocket || !self.session_config.allow_upgrades
                } else {
                    mailbox.transport() != transport
                };
                if mismatch || mailbox.revision != query.revision {
                    return Err(Refusal::BadRequest);
                }
                return Ok(Admitted::Known { mailbox });
            }
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
        let client = Client::of(&self.trusted_proxies, peer, parts);
        let pages = self.check_origin(&parts.headers, &client)?;
        Ok(Admitted::New {
            transport,
            client,
            pages,
        })
    }

    /// Asks the application whether a session may be opened.
    pub(crate) async fn consent(
        &self,
        AllowRequest(hook): &AllowRequest,
        parts: Parts,
    ) -> Result<(), Refusal> {
        hook(parts)
            .await
            .map_err(|message| Refusal::Forbidden((!message.is_empty()).then_some(message)))?;
        if self.is_closing() {
            return Err(Refusal::Closing);
        }
        Ok(())
    }

    /// Whether sessions of this revision may be opened.
    pub(crate) fn is_served(&self, revision: Revision) -> bool {
        revision != Revision::V3 || self.allow_eio3
    }
}
