//! [`Options`]: what all sockets of a client share.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use kokanee_handler::{BoxError, Needs, States};
use kokanee_net::Backoff;
use kokanee_socketio::{DecoderLimits, ParserKind};
use serde::Serialize;

use crate::engine::{ConnectFailure, EngineConfig, Target, tls::Tls, without_secrets};

/// An object, or null for nothing, or any value if the application says so; or why it cannot be sent.
pub(crate) type AuthValue = Result<serde_json::Value, String>;
pub(crate) type AuthFuture = Pin<Box<dyn Future<Output = AuthValue> + Send>>;

pub(crate) fn auth_value(auth: impl Serialize) -> AuthValue {
    match serde_json::to_value(auth) {
        Ok(value) if value.is_object() || value.is_null() => Ok(value),
        Ok(_) => Err("it must serialize to a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What is sent with CONNECT.
#[derive(Clone, Default)]
pub(crate) enum Auth {
    #[default]
    None,
    Value(AuthValue),
    Function(Arc<dyn Fn() -> AuthFuture + Send + Sync>),
}

/// Holds what may be different for each connection of a client; see
/// [`ClientBuilder::endpoint_with`](crate::ClientBuilder::endpoint_with).
///
/// # Examples
///
/// ```
/// use kokanee_client::Endpoint;
///
/// let endpoint = Endpoint {
///     headers: Some(vec![("authorization".to_owned(), "Bearer fresh".to_owned())]),
///     ..Endpoint::default()
/// };
/// ```
#[derive(Clone, Default)]
pub struct Endpoint {
    /// The URL in place of the builder's. Its path is ignored: the namespaces stay the same.
    pub url: Option<String>,
    /// The headers in place of all of the builder's.
    pub headers: Option<Vec<(String, String)>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and the query are secrets, or may be.
        f.debug_struct("Endpoint")
            .field("url", &self.url.as_deref().map(without_secrets))
            .finish_non_exhaustive()
    }
}

type EndpointFuture = Pin<Box<dyn Future<Output = Result<Endpoint, BoxError>> + Send>>;
pub(crate) type EndpointFunction = Arc<dyn Fn() -> EndpointFuture + Send + Sync>;

/// Returns the headers of every request of a connection.
pub(crate) fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, ConnectFailure> {
    let unusable = |reason: &dyn fmt::Display| ConnectFailure::Option {
        option: "header",
        reason: reason.to_string(),
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|error| unusable(&error))?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|error| unusable(&error))?;
        map.append(name, value);
    }
    Ok(map)
}

/// What all sockets of a connection share.
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub(crate) struct Options {
    pub(crate) engine: Arc<EngineConfig>,
    pub(crate) endpoint: Option<EndpointFunction>,
    pub(crate) tls: Tls,
    /// Whether it connects again by itself.
    pub(crate) reconnection: bool,
    pub(crate) backoff: Backoff,
    pub(crate) retry_first_connect: bool,
    pub(crate) retry_refused: bool,
    /// The protocol above the session is the application's.
    pub(crate) raw_messages: bool,
    pub(crate) parser: ParserKind,
    pub(crate) decoder: DecoderLimits,
    pub(crate) auth: Auth,
    pub(crate) ack_timeout: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) send_buffer_bytes: usize,
    pub(crate) max_pending_acks: usize,
    /// Of a packet that is sent. Without a limit for the msgpack parser.
    pub(crate) max_attachments: usize,
    pub(crate) state: States,
}

impl Options {
    /// Returns how the next connection is made.
    pub(crate) async fn next_connection(&self) -> Result<Arc<EngineConfig>, ConnectFailure> {
        let Some(function) = &self.endpoint else {
            return Ok(Arc::clone(&self.engine));
        };
        let endpoint = function().await.map_err(|error| ConnectFailure::Option {
            option: "endpoint",
            reason: error.to_string(),
        })?;
        let mut engine = EngineConfig::clone(&self.engine);
        if let Some(url) = &endpoint.url {
            engine.target = Target::parse(url)?;
            engine.tls = (engine.target.secure)
                .then(|| self.tls.configure())
                .transpose()?;
        }
        if let Some(headers) = &endpoint.headers {
            engine.headers = header_map(headers)?;
        }
        Ok(Arc::new(engine))
    }

    /// Refuses a handler that could never run.
    #[track_caller]
    pub(crate) fn check(&self, needs: &Needs) {
        self.state.check(needs, STATE_CALL);
    }
}

/// How a state is given.
pub(crate) const STATE_CALL: &str = "Client::builder(…).state(…)";
