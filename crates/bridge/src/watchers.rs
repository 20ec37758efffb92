//! Watchers that are slower than others: how long those wait, and what a slow one misses then.
//!
//! A peer is read at the pace of its watchers. While one of them has a message and another one has no room for it, the latter
//! holds the former up, and uses up its *patience*: [`BridgeLimits::max_hold_up`](crate::BridgeLimits::max_hold_up), which
//! comes back at a tenth of the time that passes. Without patience left it *lags*:
//!
//! ```text
//!            no patience left                     has room: `missed` events, then it is as before
//! in step ────────────────────▶ lagging ─────────────────────────────────────────────▶ in step
//!                               │  messages are counted, not sent
//!                               └─ SlowWatcher::IsDisconnected: disconnected
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use kokanee_server::{BroadcastOperator, HeldUp, Namespace, Socket, SocketId};
use serde::Serialize;
use tokio::time::Instant;

use crate::peers::Peer;

/// The room of those who watch every peer.
pub(crate) const ALL: &str = "all";
/// Part of the time that comes back as patience.
const RECOVERY: u32 = 10;

/// What becomes of a client that watches a peer and has held up the other watchers for
/// [`BridgeLimits::max_hold_up`](crate::BridgeLimits::max_hold_up).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlowWatcher {
    /// It misses messages until it has room again. Then `missed` events say how many of which peer. The default.
    #[default]
    Misses,
    /// It is disconnected, and its connection is closed.
    IsDisconnected,
}

/// What watchers learn of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A message, which lagging watchers miss.
    Message,
    /// A peer has come or gone, which nobody misses.
    Change,
}

/// The watchers of a bridge.
#[derive(Debug)]
pub(crate) struct Watchers {
    namespace: Namespace,
    /// [`BridgeLimits::max_hold_up`](crate::BridgeLimits::max_hold_up).
    max_hold_up: Duration,
    slow_watcher: SlowWatcher,
    /// Those that were slow lately.
    slow: Mutex<HashMap<SocketId, Slow>>,
}

#[derive(Debug)]
struct Slow {
    /// How long it may hold up the others, at `at`.
    patience: Duration,
    at: Instant,
    /// Messages that it has missed, by the ids of their peers. `None` if it does not lag.
    missed: Option<BTreeMap<String, u64>>,
}

impl Slow {
    /// Its patience now.
    fn patience(&self, max: Duration) -> Duration {
        let back = self.at.elapsed() / RECOVERY;
        self.patience.saturating_add(back).min(max)
    }
}

impl Watchers {
    pub(crate) fn new(
        namespace: &Namespace,
        max_hold_up: Duration,
        slow_watcher: SlowWatcher,
    ) -> Self {
        Self {
            namespace: namespace.clone(),
            max_hold_up,
            slow_watcher,
            slow: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketId, Slow>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who watch a peer.
    pub(crate) fn of(&self, peer: &str) -> BroadcastOperator {
        self.namespace.to([ALL.to_owned(), Peer::room(peer)])
    }

    /// Forgets a client that has left.
    pub(crate) fn remove(&self, id: SocketId) {
        self.lock().remove(&id);
    }

    /// Tells the watchers of a peer something, at the pace of the slowest that has patience left.
    pub(crate) async fn tell<T: Serialize>(
        self: &Arc<Self>,
        peer: &str,
        news: News,
        event: &str,
        args: &T,
    ) {
        let max = self.max_hold_up;
        let mut lagging = Vec::new();
        let patience = |socket: &Socket| {
            let mut all = self.lock();
            let slow = all.get_mut(&socket.id());
            match slow.map(|slow| (slow.patience(max), &mut slow.missed)) {
                None => Some(max),
                Some((patience, None)) => Some(patience),
                Some((_, Some(missed))) => {
                    match news {
                        News::Message => count(missed, peer),
                        News::Change => lagging.push(socket.id().as_str().to_owned()),
                    }
                    None
                }
            }
        };
        let watchers = self.of(peer);
        // Texts and bytes can always be encoded, and there is no other error.
        let late = watchers.emit_patiently_within(event, args, patience).await;
        for held_up in late.unwrap_or_default() {
            self.on_held_up(&held_up, peer, news);
            if !held_up.is_delivered && news == News::Change {
                lagging.push(held_up.socket.id().as_str().to_owned());
            }
        }
        if !lagging.is_empty() {
            // It is little, and whoever has no room even for that is a slow consumer of the server.
            let _ = self.namespace.to(lagging).emit(event, args).await;
        }
    }

    /// Takes note of a watcher that the others have waited for.
    fn on_held_up(self: &Arc<Self>, held_up: &HeldUp, peer: &str, news: News) {
        let (socket, max) = (&held_up.socket, self.max_hold_up);
        let mut all = self.lock();
        if !socket.is_connected() {
            // It may have been forgotten already.
            return;
        }
        let slow = all.entry(socket.id()).or_insert_with(|| Slow {
            patience: max,
            at: Instant::now(),
            missed: None,
        });
        slow.patience = slow.patience(max).saturating_sub(held_up.time);
        slow.at = Instant::now();
        if held_up.is_delivered {
            return;
        }
        // Another peer's task may have found it lagging meanwhile.
        let was_lagging = slow.missed.is_some();
        let missed = slow.missed.get_or_insert_default();
        if news == News::Message {
            count(missed, peer);
        }
        if was_lagging {
            return;
        }
        tracing::debug!(socket = %socket.id(), time = ?held_up.time, "a watcher has held up others");
        match self.slow_watcher {
            SlowWatcher::Misses => {
                tokio::spawn(Arc::clone(self).catch_up(socket.clone()));
            }
            SlowWatcher::IsDisconnected => socket.close_connection(),
        }
    }

    /// Tells a watcher what it has missed, as soon as it has room, and lets it get messages again.
    async fn catch_up(self: Arc<Self>, socket: Socket) {
        loop {
            socket.writable().await;
            let mut all = self.lock();
            let Some(slow) = all.get_mut(&socket.id()) else {
                return;
            };
            // Under the lock, so that no message comes between the last count and the next message that it gets.
            while let Some((peer, count)) = slow.missed.as_mut().and_then(BTreeMap::pop_first) {
                if !socket.is_connected() {
                    return;
                }
                if !emit_now(&socket, "missed", (&peer, count))
                    && let Some(missed) = &mut slow.missed
                {
                    missed.insert(peer, count);
                    break;
                }
            }
            if slow.missed.as_ref().is_none_or(BTreeMap::is_empty) {
                slow.missed = None;
                return;
            }
        }
    }
}

fn count(missed: &mut BTreeMap<String, u64>, peer: &str) {
    match missed.get_mut(peer) {
        Some(count) => *count += 1,
        None => {
            missed.insert(peer.to_owned(), 1);
        }
    }
}

/// Sends an event if there is room for it now.
fn emit_now(socket: &Socket, event: &str, args: impl Serialize) -> bool {
    let emit = pin!(socket.emit(event, args));
    let polled = emit.poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}
