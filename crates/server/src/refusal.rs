//! Reasons to refuse a request, with the codes and texts of the JavaScript server that the client sees.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    body::Body,
    metrics::Metrics,
    sessions::{Full, JOIN_GRACE},
};

/// The reason why a request is refused.
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

    /// Returns the code of the Engine.IO protocol.
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

    /// Returns the name in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::TransportUnknown => "transport unknown",
            Self::SessionUnknown => "session unknown",
            Self::BadHandshakeMethod => "bad handshake method",
            Self::BadRequest => "bad request",
            Self::Forbidden(_) => "forbidden",
            Self::UnsupportedProtocol => "unsupported protocol version",
            Self::TooManySessions(Full::Address) => "address full",
            Self::TooManySessions(Full::Server) => "server full",
            Self::Closing => "shutting down",
            Self::UrlTooLong => "url too long",
            Self::MethodNotAllowed => "method not allowed",
        }
    }

    /// Counts the refusal, and returns the [answer](Self::response).
    pub(crate) fn counted(&self, metrics: &Metrics, to_upgrade: bool) -> Response<Body> {
        metrics.request_refused(self.label());
        self.response(to_upgrade)
    }

    /// Returns the answer: JSON to an ordinary request; plain text to a WebSocket request, whose connection is closed.
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
        // The JavaScript server answers every refused upgrade with 400, even a forbidden one.
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
