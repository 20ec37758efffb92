//! [`ServerHandle`] and the registry below it: the connections of a server, and how it is closed.
//!
//! A server registers a connection when it starts the task of its handler; that task owns the [`Registration`].

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use slab::Slab;
use tokio::{sync::Notify, task::AbortHandle};

use crate::{connection_inner::ConnectionInner, stop::Stop};

/// The connections of a server, and whether it is closing.
#[derive(Default)]
pub(crate) struct Registry {
    connections: Mutex<Slab<Entry>>,
    stop: Arc<Stop>,
    refused: AtomicU64,
    /// Wakes tasks that wait for the last connection to end.
    ended: Notify,
}

struct Entry {
    task: AbortHandle,
    connection: Weak<ConnectionInner>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Slab<Entry>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection whose task `spawn` starts. Returns `false` if there are `max` connections already, and
    /// counts that as a refusal.
    pub(crate) fn admit(
        self: &Arc<Self>,
        max: usize,
        spawn: impl FnOnce(Registration) -> AbortHandle,
    ) -> bool {
        // Locked while the task starts, so that it cannot end before it is registered.
        let mut connections = self.lock();
        if connections.len() >= max {
            drop(connections);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let vacant = connections.vacant_entry();
        let registration = Registration {
            registry: Arc::clone(self),
            key: vacant.key(),
        };
        vacant.insert(Entry {
            task: spawn(registration),
            connection: Weak::new(),
        });
        true
    }

    /// Waits until the server closes.
    pub(crate) async fn stopped(&self) {
        self.stop.wait().await;
    }

    fn stop(&self) {
        self.stop.set();
        for (_, entry) in &*self.lock() {
            if let Some(connection) = entry.connection.upgrade() {
                connection.stop.wake();
            }
        }
    }
}

/// A connection's entry in the registry, which is removed on drop, when its task ends in any way.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    key: usize,
}

impl Registration {
    /// Returns the flag of whether the server is closing.
    pub(crate) fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.registry.stop)
    }

    /// Sets the connection to wake when the server closes.
    pub(crate) fn set_connection(&self, connection: &Arc<ConnectionInner>) {
        if let Some(entry) = self.registry.lock().get_mut(self.key) {
            entry.connection = Arc::downgrade(connection);
        }
    }
}

impl Drop for Registration {
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

/// Closes a server and counts its connections. Cheap to clone.
#[derive(Clone)]
pub struct ServerHandle(pub(crate) Arc<Registry>);

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("connections", &self.connection_count())
            .field("is_closing", &self.0.stop.is_set())
            .finish()
    }
}

impl ServerHandle {
    /// Closes the server: it accepts no more connections, and `serve` returns. Handlers receive the data that has
    /// arrived and then the end, as if the peer had closed its side, so that they can finish. Handlers that have not
    /// returned at the deadline are aborted. Returns whether all returned in time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
    /// use std::time::Duration;
    /// use kokanee_net::{Connection, NetError, TcpServer};
    ///
    /// let server = TcpServer::bind("127.0.0.1:0").await?;
    /// let handle = server.handle();
    /// tokio::spawn(server.serve(async |mut conn: Connection| {
    ///     while let Some(data) = conn.recv().await? {
    ///         conn.send_all(&data).await?;
    ///     }
    ///     conn.send_all(b"goodbye").await // Also when the server closes.
    /// }));
    /// if !handle.close(Duration::from_secs(5)).await {
    ///     eprintln!("some handlers were cut off");
    /// }
    /// # Ok(()) }
    /// ```
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

    /// Waits until there are no connections.
    async fn idle(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.connection_count() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Returns the number of connections.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(handle: kokanee_net::ServerHandle) {
    /// println!("{} connections, {} refused", handle.connection_count(), handle.refused_count());
    /// # }
    /// ```
    pub fn connection_count(&self) -> usize {
        self.0.lock().len()
    }

    /// Returns the number of connections that were closed at once, because there were
    /// [`Limits::max_connections`](crate::Limits::max_connections) already.
    pub fn refused_count(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}
