//! Requests of a listener that are not for the server: where each goes, and what the service that answers them gets. Called
//! by `listen.rs` for each request.

use std::{convert::Infallible, future::poll_fn, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use kokanee_handler::BoxError;
use tower_service::Service;

use crate::{body::Body, forwarded::Client, http::BoxFuture, moving::Mover};

/// Says where a request of a [`Listener`](crate::Listener) goes.
#[derive(Debug)]
pub enum Route {
    /// To the server. Its path must be below [`path`](crate::ServerBuilder::path); the function may have changed it.
    Server,
    /// To a static file, or to the fallback.
    Fallback,
    /// Nowhere: this is the response.
    Answer(Box<Response<Body>>),
}

/// Describes who has sent a request: the connection's other end or, if that is a
/// [trusted](crate::ServerBuilder::trust_proxies) proxy, the client that it reports. In the extensions of requests that a
/// [fallback](crate::Listener::fallback) gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester(Client);

impl Requester {
    pub(crate) fn of(client: Client) -> Self {
        Self(client)
    }

    /// Creates one, for the tests of a fallback or for a host of its own.
    ///
    /// ```
    /// use kokanee_server::Requester;
    ///
    /// let requester = Requester::new(Some(([127, 0, 0, 1], 5000).into()), true);
    /// assert_eq!(requester.address().map(|address| address.port()), Some(5000));
    /// assert!(requester.is_secure());
    /// ```
    pub fn new(address: Option<SocketAddr>, secure: bool) -> Self {
        Self(Client {
            address,
            secure,
            host: None,
        })
    }

    /// Returns the address. The port is 0 if a proxy does not report it. `None` on a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// Returns whether the connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.0.secure
    }

    /// Returns the host and port that were asked for.
    pub fn host(&self) -> Option<&str> {
        self.0.host.as_ref().map(|(host, _)| host.as_str())
    }
}

pub(crate) type Router = dyn Fn(&mut Parts) -> Route + Send + Sync;
/// A service, as a function.
pub(crate) type Fallback = dyn Fn(Request<Incoming>) -> BoxFuture<Response<Body>> + Send + Sync;

/// What a listener does with its requests, if anything other than the usual.
#[derive(Clone, Default)]
pub(crate) struct Routing {
    route: Option<Arc<Router>>,
    fallback: Option<Arc<Fallback>>,
    /// The fallback learns of the end of a client's stream, and answers all the same.
    pub(crate) tells_end: bool,
    /// Decides whether a request of the fallback moves with its connection.
    pub(crate) mover: Option<Mover>,
}

impl Routing {
    pub(crate) fn set_route(
        &mut self,
        route: impl Fn(&mut Parts) -> Route + Send + Sync + 'static,
    ) {
        self.route = Some(Arc::new(route));
    }

    pub(crate) fn set_fallback<S, B>(&mut self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.fallback = Some(Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
                let Ok(response) = service.call(request).await;
                response.map(Body::stream)
            })
        }));
    }

    /// Returns the function that decides about requests, if there is one.
    pub(crate) fn route(&self) -> Option<&Router> {
        self.route.as_deref()
    }

    pub(crate) fn fallback(&self) -> Option<&Arc<Fallback>> {
        self.fallback.as_ref()
    }
}
