//! Accepts connections: one task for each, a limit on their number, and a graceful shutdown.
//!
//! TCP and Unix servers share [`StreamServer`].

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::net::TcpListener;

use crate::{
    connection::Connection,
    endpoint::Endpoint,
    error::NetError,
    limits::Limits,
    options::TcpOptions,
    outcome::Outcome,
    registry::{Registration, Registry},
    stop::Stop,
    stream::Stream,
    tls::ServerTls,
};

/// Pause after a failed accept, usually because of too many open files, which is temporary.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Shortest time between two log entries of the same problem.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), peer.into()))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Unix(stream), peer.into()))
            }
        }
    }
}

/// A listening socket and the settings of its connections.
pub(crate) struct StreamServer {
    pub(crate) listener: Listener,
    pub(crate) address: Endpoint,
    pub(crate) setup: Arc<Setup>,
    pub(crate) registry: Arc<Registry>,
}

/// How an accepted stream becomes a connection.
pub(crate) struct Setup {
    pub(crate) options: TcpOptions,
    pub(crate) limits: Arc<Limits>,
    pub(crate) tls: Option<ServerTls>,
}

impl StreamServer {
    pub(crate) fn new(listener: Listener, address: Endpoint, setup: Setup) -> Self {
        Self {
            listener,
            address,
            setup: Arc::new(setup),
            registry: Arc::default(),
        }
    }

    /// Accepts one connection, which is not registered.
    pub(crate) async fn accept(&self) -> Result<Connection, NetError> {
        let (stream, peer) = self.listener.accept().await.map_err(|error| {
            NetError::from_io("accept connections on", self.address.to_string(), error)
        })?;
        self.setup
            .establish(stream, peer, self.address.clone(), None)
            .await
    }

    /// Runs a handler for every connection, until the server closes.
    pub(crate) async fn serve<F, Fut>(self, handler: F)
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let mut reports = Reports::default();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = self.registry.stopped() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.spawn(stream, &peer, &handler, &mut reports),
                Err(error) => {
                    let address = self.address.to_string();
                    let error = NetError::from_io("accept connections on", address, error);
                    if reports.is_due() {
                        tracing::error!(%error, "connections wait");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn<F, Fut>(
        &self,
        stream: Stream,
        peer: &Endpoint,
        handler: &Arc<F>,
        reports: &mut Reports,
    ) where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let max = self.setup.limits.max_connections;
        let ends = (peer.clone(), self.address.clone());
        let is_admitted = self.registry.admit(max, |registration| {
            let (setup, handler) = (Arc::clone(&self.setup), Arc::clone(handler));
            tokio::spawn(run(registration, setup, stream, ends, handler)).abort_handle()
        });
        if !is_admitted && reports.is_due() {
            tracing::warn!(%peer, max, "too many connections, closing a new one");
        }
    }
}

/// Runs one connection.
async fn run<F, Fut>(
    registration: Registration,
    setup: Arc<Setup>,
    stream: Stream,
    (peer, local): (Endpoint, Endpoint),
    handler: Arc<F>,
) where
    F: Fn(Connection) -> Fut,
    Fut: Future<Output: Outcome>,
{
    // Boxed, as it ends before the handler begins, and would make every task larger.
    let stop = Some(registration.stop());
    let established = Box::pin(setup.establish(stream, peer, local, stop)).await;
    drop(setup);
    let connection = match established {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "connection not established");
            return;
        }
    };
    let inner = Arc::clone(connection.inner());
    registration.set_connection(&inner);
    let ended = handler(connection);
    drop(handler);
    match ended.await.into_error() {
        Some(error) => tracing::debug!(%error, "handler ended with an error"),
        // Sends close_notify, so that the peer sees that no data is missing, unless the handler has moved the
        // connection to another task.
        None if inner.is_secure && Arc::strong_count(&inner) == 1 => Box::pin(inner.end()).await,
        None => {}
    }
}

impl Setup {
    pub(crate) async fn establish(
        &self,
        stream: Stream,
        peer: Endpoint,
        listening: Endpoint,
        stop: Option<Arc<Stop>>,
    ) -> Result<Connection, NetError> {
        let limits = Arc::clone(&self.limits);
        let Stream::Tcp(stream) = stream else {
            return Ok(Connection::new(stream, peer, listening, limits, stop));
        };
        let fail = |source| NetError::from_io("set up the connection to", peer.to_string(), source);
        self.options.apply(&SockRef::from(&stream)).map_err(fail)?;
        let local = stream.local_addr().map_err(fail)?.into();
        let stream = match &self.tls {
            None => Stream::Tcp(stream),
            Some(tls) => {
                let accepting = tls.accept(stream, &peer);
                match tokio::time::timeout(limits.handshake_timeout, accepting).await {
                    Ok(accepted) => accepted?,
                    Err(_late) => {
                        return Err(NetError::Tls {
                            context: peer.to_string(),
                            reason: format!("no handshake within {:?}", limits.handshake_timeout),
                        });
                    }
                }
            }
        };
        Ok(Connection::new(stream, peer, local, limits, stop))
    }
}

/// Limits how often the same problem is logged.
#[derive(Default)]
struct Reports {
    last: Option<Instant>,
}

impl Reports {
    fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}
