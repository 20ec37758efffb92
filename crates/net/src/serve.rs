//! Accepting connections: one task for each, a limit on their number, and an end that lets them finish.
//!
//! TCP and Unix servers are both made of [`StreamServer`].

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use slab::Slab;
use socket2::SockRef;
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};

use crate::{
    Connection, Endpoint, Limits, NetError, ServerTls, TcpOptions, link::Link, stream::Stream,
};

/// Pause after a failed accept: out of file descriptors, mostly, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Least time between two reports of the same trouble.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a handler returns: nothing, or a `Result` whose error is logged.
pub trait Outcome {
    /// The error, if there was one.
    fn into_error(self) -> Option<String>;
}

impl Outcome for () {
    fn into_error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Outcome for Result<(), E> {
    fn into_error(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// The connections of a server, and whether it is closing.
#[derive(Default)]
pub(crate) struct Registry {
    connections: Mutex<Slab<Entry>>,
    is_stopping: AtomicBool,
    refused: AtomicU64,
    /// Wakes the accepting task when the server closes.
    stop: Notify,
    /// Wakes whoever waits for the last connection to end.
    ended: Notify,
}

struct Entry {
    task: AbortHandle,
    link: Weak<Link>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Slab<Entry>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Ready when the server closes.
    pub(crate) async fn stopped(&self) {
        loop {
            // Made before the look at the flag, so that no notice is missed.
            let notified = self.stop.notified();
            if self.is_stopping() {
                return;
            }
            notified.await;
        }
    }

    fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
        for (_, entry) in &*self.lock() {
            if let Some(link) = entry.link.upgrade() {
                link.stop.wake();
            }
        }
    }
}

/// The place of a connection in the registry, given back when its task ends, however that is.
struct Place {
    registry: Arc<Registry>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.registry.lock();
        connections.try_remove(self.key);
        let is_last = connections.is_empty();
        drop(connections);
        if is_last {
            self.registry.ended.notify_waiters();
        }
    }
}

/// Closes a server, and knows its connections. A cheap handle.
#[derive(Clone)]
pub struct ServerHandle(pub(crate) Arc<Registry>);

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("connections", &self.connection_count())
            .field("is_closing", &self.0.is_stopping())
            .finish()
    }
}

impl ServerHandle {
    /// Ends the server: it accepts nothing more, and `serve` returns. Handlers receive what has arrived and then the end,
    /// as if the peer had ended its side, so they can finish what they are at. Those that have not returned at the
    /// deadline are cut off. Returns whether all were done in time.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.0.stop();
        let in_time = tokio::time::timeout(deadline, self.idle()).await.is_ok();
        if !in_time {
            for (_, entry) in &*self.0.lock() {
                entry.task.abort();
            }
        }
        in_time
    }

    /// Waits until there is no connection.
    async fn idle(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.connection_count() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Number of connections.
    pub fn connection_count(&self) -> usize {
        self.0.lock().len()
    }

    /// Number of connections that were closed at once, because there were [`Limits::max_connections`] already.
    pub fn refused_count(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

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

/// A listening socket and what its connections get.
pub(crate) struct StreamServer {
    pub(crate) listener: Listener,
    pub(crate) address: Endpoint,
    pub(crate) setup: Arc<Setup>,
    pub(crate) registry: Arc<Registry>,
}

/// How a connection is made of a stream that was accepted.
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

    /// Accepts one connection, which nobody counts.
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
                Ok((stream, peer)) => self.spawn(stream, peer, &handler, &mut reports),
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

    fn spawn<F, Fut>(&self, stream: Stream, peer: Endpoint, handler: &Arc<F>, reports: &mut Reports)
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let max = self.setup.limits.max_connections;
        // Held while the task starts, so that it cannot end before its place is taken.
        let mut connections = self.registry.lock();
        if connections.len() >= max {
            drop(connections);
            self.registry.refused.fetch_add(1, Ordering::Relaxed);
            if reports.is_due() {
                tracing::warn!(%peer, max, "too many connections, closing a new one");
            }
            return;
        }
        let vacant = connections.vacant_entry();
        let place = Place {
            registry: Arc::clone(&self.registry),
            key: vacant.key(),
        };
        let (setup, handler) = (Arc::clone(&self.setup), Arc::clone(handler));
        let local = self.address.clone();
        let task = tokio::spawn(run(place, setup, stream, (peer, local), handler));
        vacant.insert(Entry {
            task: task.abort_handle(),
            link: Weak::new(),
        });
    }
}

/// The task of one connection.
async fn run<F, Fut>(
    place: Place,
    setup: Arc<Setup>,
    stream: Stream,
    (peer, local): (Endpoint, Endpoint),
    handler: Arc<F>,
) where
    F: Fn(Connection) -> Fut,
    Fut: Future<Output: Outcome>,
{
    // Boxed, as it is gone when the handler begins, and would make every task larger.
    let registry = Some(Arc::clone(&place.registry));
    let established = Box::pin(setup.establish(stream, peer, local, registry)).await;
    drop(setup);
    let connection = match established {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "connection not made");
            return;
        }
    };
    let link = Arc::clone(connection.link());
    if let Some(entry) = place.registry.lock().get_mut(place.key) {
        entry.link = Arc::downgrade(&link);
    }
    let ended = handler(connection);
    drop(handler);
    match ended.await.into_error() {
        Some(error) => tracing::debug!(%error, "handler ended with an error"),
        // The peer must see that nothing is missing, unless the handler has given the connection to another task.
        None if link.is_secure && Arc::strong_count(&link) == 1 => Box::pin(link.end()).await,
        None => {}
    }
}

impl Setup {
    pub(crate) async fn establish(
        &self,
        stream: Stream,
        peer: Endpoint,
        listening: Endpoint,
        registry: Option<Arc<Registry>>,
    ) -> Result<Connection, NetError> {
        let limits = Arc::clone(&self.limits);
        let Stream::Tcp(stream) = stream else {
            return Ok(Connection::new(stream, peer, listening, limits, registry));
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
        Ok(Connection::new(stream, peer, local, limits, registry))
    }
}

/// Keeps the same trouble from filling the log.
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
