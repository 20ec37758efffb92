//! Long-polling: GETs bring messages and POSTs take them, each kind on a connection of its own that is kept.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use kokanee_engineio::{OutPacket, Revision, Transport, encode_payload};

use super::{
    config::EngineConfig,
    cookies::Cookies,
    error::ConnectFailure,
    request::{FullResponse, HttpConnection, post, request},
};

type Exchange =
    Pin<Box<dyn Future<Output = (HttpConnection, Result<FullResponse, ConnectFailure>)> + Send>>;

/// The connection for one kind of request: free, or with a request under way.
pub(crate) enum Requests {
    Free(HttpConnection),
    Busy(Exchange),
}

impl Default for Requests {
    fn default() -> Self {
        Self::Free(HttpConnection::default())
    }
}

impl Requests {
    fn start(&mut self, config: &Arc<EngineConfig>, request: Request<Full<Bytes>>) {
        if let Self::Free(connection) = self {
            let connection = mem::take(connection);
            *self = Self::Busy(Box::pin(connection.exchange(Arc::clone(config), request)));
        }
    }

    /// Ready when the request under way has been answered, or has failed.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<FullResponse, ConnectFailure>> {
        let Self::Busy(exchange) = self else {
            return Poll::Pending;
        };
        let (connection, response) = ready!(exchange.as_mut().poll(cx));
        *self = Self::Free(connection);
        Poll::Ready(response)
    }
}

/// The requests of a session, and their two connections.
#[derive(Default)]
pub(crate) struct Polling {
    pub(crate) gets: Requests,
    pub(crate) posts: Requests,
}

impl Polling {
    /// Starts a GET.
    ///
    /// # Errors
    /// The request cannot be made: path, query or headers are wrong.
    pub(crate) fn start_get(
        &mut self,
        config: &Arc<EngineConfig>,
        cookies: &Cookies,
        sid: Option<&str>,
    ) -> Result<(), ConnectFailure> {
        let body = Bytes::new();
        let request = request(config, cookies, Method::GET, Transport::Polling, sid, body)?;
        self.gets.start(config, request);
        Ok(())
    }

    /// Starts a POST with these packets.
    ///
    /// # Errors
    /// As for [`start_get`](Self::start_get).
    pub(crate) fn start_post(
        &mut self,
        config: &Arc<EngineConfig>,
        cookies: &Cookies,
        sid: Option<&str>,
        revision: Revision,
        packets: &[OutPacket],
    ) -> Result<(), ConnectFailure> {
        let body = encode_payload(revision, packets, revision == Revision::V3);
        let request = post(config, cookies, sid, body.bytes, body.binary)?;
        self.posts.start(config, request);
        Ok(())
    }
}
