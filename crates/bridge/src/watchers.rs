//! Watchers that are slower than others: how long the others wait, and which messages the slow one misses then.
//!
//! A peer is read at the pace of its watchers. While the queue of one of them is full and another one already has the
//! message, the former delays the latter, and uses up its *allowance*:
//! [`BridgeLimits::max_hold_up`](crate::BridgeLimits::max_hold_up), which is restored at a tenth of the elapsed time. A
//! watcher without allowance *lags*:
//!
//! ```text
//!            no allowance left                    has room: `missed` events, then it is as before
//! in step ────────────────────▶ lagging ─────────────────────────────────────────────▶ in step
//!                               │  messages are counted, not sent
//!                               └─ SlowWatcher::Disconnect: disconnected
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use kokanee_server::{BroadcastOperator, Namespace, SlowRecipient, Socket, SocketId};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::time::Instant;

use crate::peers::Peer;

/// The room of the watchers of all peers.
pub(crate) const ALL: &str = "all";
/// The allowance is restored at the elapsed time divided by this.
const RECOVERY: u32 = 10;

/// What happens to a client that has delayed the other watchers of a peer for
/// [`BridgeLimits::max_hold_up`](crate::BridgeLimits::max_hold_up).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlowWatcher {
    /// Drops its messages until its queue has room again. Then the client gets a `missed` event per peer with the number of
    /// messages. The default.
    #[default]
    DropMessages,
    /// Disconnects it and closes its connection.
    Disconnect,
}

/// The kinds of notifications of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A message, which lagging watchers miss.
    Message,
    /// A peer has connected or disconnected, which lagging watchers get, too.
    Change,
}

/// The watchers of a bridge.
#[derive(Debug)]
pub(crate) struct Watchers {
    namespace: Namespace,
    /// [`BridgeLimits::max_hold_up`](crate::BridgeLimits::max_hold_up).
    max_hold_up: Duration,
    slow_watcher: SlowWatcher,
    /// Watchers that were slow recently.
    slow: Mutex<HashMap<SocketId, Slow>>,
}

#[derive(Debug)]
struct Slow {
    /// How long it may delay the others, as of `at`.
    allowance: Duration,
    at: Instant,
    /// The numbers of missed messages, by the ids of their peers. `None` if it does not lag.
    missed: Option<BTreeMap<String, u64>>,
}

impl Slow {
    /// Returns its current allowance.
    fn allowance(&self, max: Duration) -> Duration {
        let back = self.at.elapsed() / RECOVERY;
        self.allowance.saturating_add(back).min(max)
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
        self.slow.lock()
    }

    /// Returns the watchers of a peer.
    pub(crate) fn of(&self, peer: &str) -> BroadcastOperator {
        self.namespace.to([ALL.to_owned(), Peer::room(peer)])
    }

    /// Removes a client that has disconnected.
    pub(crate) fn remove(&self, id: SocketId) {
        self.lock().remove(&id);
    }

    /// Notifies the watchers of a peer, at the pace of the slowest one that does not lag.
    pub(crate) async fn notify<T: Serialize>(
        self: &Arc<Self>,
        peer: &str,
        notice: Notice,
        event: &str,
        args: &T,
    ) {
        let max = self.max_hold_up;
        let mut lagging = Vec::new();
        let allowance = |socket: &Socket| {
            let mut all = self.lock();
            let slow = all.get_mut(&socket.id());
            match slow.map(|slow| (slow.allowance(max), &mut slow.missed)) {
                None => Some(max),
                Some((allowance, None)) => Some(allowance),
                Some((_, Some(missed))) => {
                    match notice {
                        Notice::Message => count(missed, peer),
                        Notice::Change => lagging.push(socket.id().as_str().to_owned()),
                    }
                    None
                }
            }
        };
        let watchers = self.of(peer);
        // Encoding is the only error, and text and bytes can always be encoded.
        let late = watchers
            .emit_with_backpressure_within(event, args, allowance)
            .await;
        for held_up in late.unwrap_or_default() {
            self.on_held_up(&held_up, peer, notice);
            if !held_up.is_delivered && notice == Notice::Change {
                lagging.push(held_up.socket.id().as_str().to_owned());
            }
        }
        if !lagging.is_empty() {
            // These events are small. A client whose queue is too full even for them is a slow consumer of the server.
            let _ = self.namespace.to(lagging).emit(event, args).await;
        }
    }

    /// Handles a watcher that has delayed the others.
    fn on_held_up(self: &Arc<Self>, held_up: &SlowRecipient, peer: &str, notice: Notice) {
        let (socket, max) = (&held_up.socket, self.max_hold_up);
        let mut all = self.lock();
        if !socket.is_connected() {
            // It may have been removed already.
            return;
        }
        let slow = all.entry(socket.id()).or_insert_with(|| Slow {
            allowance: max,
            at: Instant::now(),
            missed: None,
        });
        slow.allowance = slow.allowance(max).saturating_sub(held_up.time);
        slow.at = Instant::now();
        if held_up.is_delivered {
            return;
        }
        // Another peer's task may have marked it as lagging meanwhile.
        let was_lagging = slow.missed.is_some();
        let missed = slow.missed.get_or_insert_default();
        if notice == Notice::Message {
            count(missed, peer);
        }
        if was_lagging {
            return;
        }
        tracing::debug!(socket = %socket.id(), time = ?held_up.time, "a watcher has delayed others");
        match self.slow_watcher {
            SlowWatcher::DropMessages => {
                tokio::spawn(Arc::clone(self).catch_up(socket.clone()));
            }
            SlowWatcher::Disconnect => socket.close_connection(),
        }
    }

    /// Sends a watcher the numbers of missed messages as soon as its queue has room. From then on it gets messages
    /// again.
    async fn catch_up(self: Arc<Self>, socket: Socket) {
        loop {
            socket.writable().await;
            let mut all = self.lock();
            let Some(slow) = all.get_mut(&socket.id()) else {
                return;
            };
            // Under the lock, so that no message is missed between the last count and the next message.
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

/// Sends an event if the queue has room for it now.
fn emit_now(socket: &Socket, event: &str, args: impl Serialize) -> bool {
    let emit = pin!(socket.emit(event, args));
    let polled = emit.poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}
