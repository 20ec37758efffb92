//! All sessions of a server, found by their secret id, and how many of them have not joined a namespace yet.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use kokanee_engineio::Sid;
use tokio::sync::Notify;

use crate::{Limits, mailbox::Mailbox};

const SHARDS: usize = 16;

type Shard = Mutex<HashMap<Sid, Arc<Mailbox>, RandomState>>;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    shards: [Shard; SHARDS],
    pending: AtomicUsize,
    pending_by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Bytes that wait for clients, as far as their sessions' tasks have published them.
    outbound: AtomicUsize,
    /// Tasks that must end before the server has: of sessions, and of sockets that have left.
    tasks: AtomicUsize,
    idle: Notify,
}

/// Why no session may be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Address,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    fn shard(&self, sid: &Sid) -> &Shard {
        // Ids are random, so that any of their characters will do.
        &self.shards[usize::from(sid.as_bytes()[0]) % SHARDS]
    }

    pub(crate) fn find(&self, sid: &Sid) -> Option<Arc<Mailbox>> {
        lock(self.shard(sid)).get(sid).cloned()
    }

    pub(crate) fn insert(&self, mailbox: &Arc<Mailbox>) {
        lock(self.shard(&mailbox.sid)).insert(mailbox.sid, Arc::clone(mailbox));
    }

    pub(crate) fn remove(&self, sid: &Sid) {
        let mut shard = lock(self.shard(sid));
        shard.remove(sid);
        if shard.is_empty() {
            shard.shrink_to_fit();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        self.shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// A session holds `after` bytes for its client, and held `before`.
    pub(crate) fn count_outbound(&self, before: usize, after: usize) {
        if after > before {
            self.outbound.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.outbound.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// How much may wait for one client while too much waits for all of them. `None` if that is not so.
    pub(crate) fn share(&self, limits: &Limits) -> Option<usize> {
        let max = limits.max_total_outbound_bytes?;
        (self.outbound.load(Ordering::Relaxed) > max)
            .then(|| max / self.tasks.load(Ordering::Relaxed).max(1))
    }

    /// Reserves a place for a new session.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<SessionGuard, Full> {
        if self.pending.load(Ordering::Relaxed) >= limits.max_pending_sessions {
            return Err(Full::Server);
        }
        if let Some(address) = address {
            let mut pending = lock(&self.pending_by_address);
            let count = pending.entry(address).or_default();
            if *count >= limits.max_pending_sessions_per_address {
                return Err(Full::Address);
            }
            *count += 1;
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        let task = self.task_guard();
        Ok(SessionGuard {
            sessions: Arc::clone(self),
            address,
            pending: true,
            _task: task,
        })
    }

    pub(crate) fn task_guard(self: &Arc<Self>) -> TaskGuard {
        self.tasks.fetch_add(1, Ordering::AcqRel);
        TaskGuard(Arc::clone(self))
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn wait_idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts a session as pending until it is in a namespace, and as open until it is dropped.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    sessions: Arc<Sessions>,
    address: Option<IpAddr>,
    pending: bool,
    _task: TaskGuard,
}

impl SessionGuard {
    /// The client is in a namespace.
    pub(crate) fn connected(&mut self) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        self.sessions.pending.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut pending = lock(&self.sessions.pending_by_address);
            if let Some(count) = pending.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    pending.remove(&address);
                }
            }
        }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.connected();
    }
}

/// Counts a task that a graceful shutdown waits for.
#[derive(Debug)]
pub(crate) struct TaskGuard(Arc<Sessions>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
