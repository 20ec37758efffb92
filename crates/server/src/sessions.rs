//! All sessions of a server, found by their secret id; the limited number of those that have joined no namespace yet; and
//! those that have just ended.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use kokanee_engineio::{CloseReason, SID_LENGTH, Sid};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    limits::Limits,
    mailbox::{Command, Mailbox},
    metrics::Metrics,
};

const SHARDS: usize = 16;

/// Time for which a session without a namespace is not replaced by new sessions. Refused clients are asked to wait this long,
/// because there is room then.
pub(crate) const JOIN_GRACE: Duration = Duration::from_secs(5);

/// How long, and how many, sessions that their clients have closed are remembered.
const LEFT_FOR: Duration = Duration::from_secs(5);
const MAX_LEFT: usize = 1024;

/// How often the recorder of metrics gets what was counted.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

type Shard = Mutex<HashMap<Sid, Arc<Mailbox>, RandomState>>;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    shards: [Shard; SHARDS],
    pending: Mutex<Pending>,
    /// Bytes that are queued for clients, as last published by the tasks of their sessions.
    outbound: AtomicUsize,
    /// Sessions that their clients have closed while no GET was pending, the oldest first.
    left: Mutex<VecDeque<(Instant, Sid)>>,
    /// Tasks that must end before the server is closed: those of sessions, and of disconnected sockets.
    tasks: AtomicUsize,
    idle: Notify,
    pub(crate) metrics: Metrics,
}

/// The sessions that have not joined a namespace yet.
#[derive(Debug, Default)]
struct Pending {
    count: usize,
    /// The number of the next session.
    next: u64,
    /// By number, so that the oldest is the first.
    networks: HashMap<Option<Network>, BTreeMap<u64, (Instant, Sid)>>,
}

/// The origin of sessions: an IPv4 address, or the network of an IPv6 address, because one client has 2^64 of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl Pending {
    fn add(&mut self, network: Option<Network>, now: Instant, sid: Sid) -> u64 {
        let number = self.next;
        self.next += 1;
        self.count += 1;
        self.networks
            .entry(network)
            .or_default()
            .insert(number, (now, sid));
        number
    }

    fn remove(&mut self, network: Option<Network>, number: u64) {
        let Some(sessions) = self.networks.get_mut(&network) else {
            return;
        };
        if sessions.remove(&number).is_some() {
            self.count -= 1;
        }
        if sessions.is_empty() {
            self.networks.remove(&network);
        }
    }

    fn len_of(&self, network: Option<Network>) -> usize {
        self.networks.get(&network).map_or(0, BTreeMap::len)
    }

    /// Returns the network with the most sessions, and the network with the oldest one.
    fn fullest_and_oldest(&self) -> Option<(Option<Network>, Option<Network>)> {
        let fullest = self.networks.iter().max_by_key(|(_, it)| it.len())?.0;
        let oldest = self
            .networks
            .iter()
            .min_by_key(|(_, it)| it.keys().next())?
            .0;
        Some((*fullest, *oldest))
    }
}

/// The reason why no session may be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Address,
}

impl Sessions {
    fn shard(&self, sid: &Sid) -> &Shard {
        // The end of an id is random, so its last character selects a shard evenly.
        &self.shards[usize::from(sid.as_bytes()[SID_LENGTH - 1]) % SHARDS]
    }

    #[inline]
    pub(crate) fn find(&self, sid: &Sid) -> Option<Arc<Mailbox>> {
        self.shard(sid).lock().get(sid).cloned()
    }

    pub(crate) fn insert(&self, mailbox: &Arc<Mailbox>) {
        self.shard(&mailbox.sid)
            .lock()
            .insert(mailbox.sid, Arc::clone(mailbox));
    }

    pub(crate) fn remove(&self, sid: &Sid) {
        let mut shard = self.shard(sid).lock();
        shard.remove(sid);
        if shard.is_empty() {
            shard.shrink_to_fit();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        self.shards
            .iter()
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Records that a session has queued `after` bytes for its client, and had `before`.
    pub(crate) fn count_outbound(&self, before: usize, after: usize) {
        if after > before {
            self.outbound.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.outbound.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Returns how much may be queued for one client while too much is queued for all of them, otherwise `None`.
    pub(crate) fn share(&self, limits: &Limits) -> Option<usize> {
        let max = limits.max_total_outbound_bytes?;
        (self.outbound.load(Ordering::Relaxed) > max)
            .then(|| max / self.tasks.load(Ordering::Relaxed).max(1))
    }

    /// Reserves a place for a new session, and replaces another one if necessary.
    ///
    /// At the limit of an address, and on a full server, the oldest session is ended if it has not joined a namespace for
    /// [`JOIN_GRACE`], so that abandoned sessions block others no longer than that. A full server also ends one of the address
    /// with the most sessions at once if the new session's address has fewer, so that no address blocks the others.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        sid: Sid,
        limits: &Limits,
        now: Instant,
    ) -> Result<(SessionGuard, Option<Full>), Full> {
        let network = address.map(Network::from);
        let mut pending = self.pending.lock();
        let own = pending.len_of(network);
        let mut full = None;
        if network.is_some() && own >= limits.max_pending_sessions_per_address {
            full = Some(Full::Address);
            if !self.end_oldest(&mut pending, network, now.checked_sub(JOIN_GRACE)) {
                return Err(Full::Address);
            }
        } else if pending.count >= limits.max_pending_sessions {
            full = Some(Full::Server);
            let (fullest, oldest) = pending.fullest_and_oldest().ok_or(Full::Server)?;
            let has_more = pending.len_of(fullest) > own + 1;
            if !(has_more && self.end_oldest(&mut pending, fullest, Some(now))
                || self.end_oldest(&mut pending, oldest, now.checked_sub(JOIN_GRACE)))
            {
                return Err(Full::Server);
            }
        }
        let guard = SessionGuard {
            sessions: Arc::clone(self),
            network,
            number: Some(pending.add(network, now, sid)),
            _task: self.task_guard(),
        };
        Ok((guard, full))
    }

    /// Ends the oldest session of a network that has not joined a namespace, if it was opened before that time. Returns
    /// `false` if there is none.
    fn end_oldest(
        &self,
        pending: &mut Pending,
        network: Option<Network>,
        before: Option<Instant>,
    ) -> bool {
        // The first sessions may be WebSockets that are about to open.
        const TRIES: usize = 8;
        let (Some(sessions), Some(before)) = (pending.networks.get(&network), before) else {
            return false;
        };
        let old = sessions
            .iter()
            .take_while(|(_, (opened, _))| *opened <= before);
        let found = old
            .take(TRIES)
            .find_map(|(number, (_, sid))| Some((*number, self.find(sid)?)));
        let Some((number, mailbox)) = found else {
            return false;
        };
        // If it has ended in the meantime, its place is free as well.
        let _ = mailbox.send(Command::Fail {
            reason: CloseReason::ForcedClose,
        });
        pending.remove(network, number);
        true
    }

    /// Remembers a session that its client has closed while no GET was pending: one may still arrive on another connection.
    pub(crate) fn note_left(&self, sid: Sid, now: Instant) {
        let mut left = self.left.lock();
        while left.len() >= MAX_LEFT
            || left
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > LEFT_FOR)
        {
            left.pop_front();
        }
        left.push_back((now, sid));
    }

    /// Returns whether the GET is the first one for a session that its client has just closed.
    pub(crate) fn take_left(&self, sid: &Sid, now: Instant) -> bool {
        let mut left = self.left.lock();
        let found = left.iter().position(|(_, it)| it == sid);
        let entry = found.and_then(|index| left.remove(index));
        if left.is_empty() {
            left.shrink_to_fit();
        }
        entry.is_some_and(|(at, _)| now.duration_since(at) <= LEFT_FOR)
    }

    /// Hands the counts to the recorder of metrics.
    pub(crate) fn publish_metrics(&self) {
        self.metrics.publish(self.outbound.load(Ordering::Relaxed));
    }

    /// Makes sure that a task publishes the metrics, as long as there are sessions.
    pub(crate) fn keep_publishing(self: &Arc<Self>) {
        let Some(mut publishing) = self.metrics.begin_publishing() else {
            return;
        };
        let sessions = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PUBLISH_INTERVAL).await;
                let Some(sessions) = sessions.upgrade() else {
                    return;
                };
                // Before it looks: a session that comes after that begins anew.
                publishing.end();
                let is_needed = sessions.tasks.load(Ordering::Acquire) > 0;
                sessions.publish_metrics();
                publishing = match sessions.metrics.begin_publishing() {
                    Some(publishing) if is_needed => publishing,
                    _ => return,
                };
            }
        });
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
    network: Option<Network>,
    /// Its number among the pending sessions.
    number: Option<u64>,
    _task: TaskGuard,
}

impl SessionGuard {
    /// Marks that the client has joined a namespace.
    pub(crate) fn connected(&mut self) {
        if let Some(number) = self.number.take() {
            self.sessions.pending.lock().remove(self.network, number);
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

#[cfg(test)]
mod tests {
    use kokanee_engineio::{Revision, Transport};

    use super::*;
    use crate::request_head::RequestHead;

    /// The sessions of a server that nobody drives, at a time of the test's own.
    struct Bed {
        sessions: Arc<Sessions>,
        limits: Arc<Limits>,
        now: Instant,
        next: u8,
    }

    impl Bed {
        fn new(total: usize, per_address: usize) -> Self {
            let limits = Limits {
                max_pending_sessions: total,
                max_pending_sessions_per_address: per_address,
                ..Limits::default()
            };
            Self {
                sessions: Arc::default(),
                limits: Arc::new(limits),
                now: Instant::now(),
                next: 0,
            }
        }

        /// Opens a session. It is there until the guard is dropped.
        fn open(&mut self, address: &str) -> Result<(Arc<Mailbox>, SessionGuard), Full> {
            self.next += 1;
            let sid = Sid::from_random([self.next; 15]);
            let address: IpAddr = address.parse().expect(address);
            let admitted = self
                .sessions
                .admit(Some(address), sid, &self.limits, self.now);
            let (guard, _) = admitted?;
            let (parts, ()) = http::Request::new(()).into_parts();
            let mailbox = Arc::new(Mailbox::new(
                sid,
                Revision::V4,
                Transport::Polling,
                RequestHead::new(&parts, false),
                None,
                Arc::clone(&self.limits),
                Metrics::default(),
            ));
            self.sessions.insert(&mailbox);
            Ok((mailbox, guard))
        }

        fn pending(&self) -> usize {
            self.sessions.pending.lock().count
        }
    }

    #[test]
    fn a_session_that_has_joined_gives_its_place_up_once() {
        let mut bed = Bed::new(10, 2);
        let (_, mut first) = bed.open("192.0.2.1").expect("room");
        let _second = bed.open("192.0.2.1").expect("room");
        assert_eq!(bed.open("192.0.2.1").map(drop), Err(Full::Address));
        first.connected();
        first.connected();
        let _third = bed.open("192.0.2.1").expect("room again");
        drop(first);
        assert_eq!(bed.pending(), 2);
        assert_eq!(bed.open("192.0.2.1").map(drop), Err(Full::Address));
    }

    #[test]
    fn the_oldest_that_has_had_its_time_gives_way() {
        let mut bed = Bed::new(10, 2);
        let first = bed.open("192.0.2.1").expect("room");
        bed.now += Duration::from_secs(3);
        let second = bed.open("192.0.2.1").expect("room");
        assert_eq!(bed.open("192.0.2.1").map(drop), Err(Full::Address));
        bed.now += Duration::from_secs(2);
        let third = bed.open("192.0.2.1").expect("the first has had 5 s");
        assert_eq!(bed.open("192.0.2.1").map(drop), Err(Full::Address));
        assert_eq!(bed.pending(), 2);
        // The end of the first one frees no second place.
        drop(first);
        assert_eq!(bed.open("192.0.2.1").map(drop), Err(Full::Address));
        drop((second, third));
        assert_eq!(bed.pending(), 0);
        assert!(bed.sessions.pending.lock().networks.is_empty());
    }

    #[test]
    fn a_flood_from_one_address_keeps_no_other_out() {
        let mut bed = Bed::new(4, 4);
        let _flood: Vec<_> = (0..4)
            .map(|_| bed.open("192.0.2.1").expect("room"))
            .collect();
        assert_eq!(bed.open("192.0.2.1").map(drop), Err(Full::Address));
        let _others = [bed.open("192.0.2.2"), bed.open("192.0.2.3")].map(|it| it.expect("a share"));
        assert_eq!(bed.pending(), 4);
        // Two, one and one: nobody has more than a newcomer would have, by more than one.
        assert_eq!(bed.open("192.0.2.2").map(drop), Err(Full::Server));
        let _last = bed.open("192.0.2.4").expect("the first has two");
        assert_eq!(bed.open("192.0.2.5").map(drop), Err(Full::Server));
        bed.now += JOIN_GRACE;
        let _later = bed.open("192.0.2.5").expect("all have had their time");
        assert_eq!(bed.pending(), 4);
    }

    #[test]
    fn sessions_that_were_left_are_remembered_within_bounds() {
        let bed = Bed::new(1, 1);
        let sid = |number: usize| {
            let mut random = [0; 15];
            random[..8].copy_from_slice(&number.to_be_bytes());
            Sid::from_random(random)
        };
        for number in 0..MAX_LEFT + 10 {
            bed.sessions.note_left(sid(number), bed.now);
        }
        assert_eq!(bed.sessions.left.lock().len(), MAX_LEFT);
        let take = |number, now| bed.sessions.take_left(&sid(number), now);
        assert!(!take(9, bed.now), "the first ones have made room");
        assert!(take(10, bed.now) && !take(10, bed.now), "once");
        let late = bed.now + LEFT_FOR + Duration::from_millis(1);
        assert!(!take(11, late));
        bed.sessions.note_left(sid(0), late);
        assert_eq!(
            bed.sessions.left.lock().len(),
            1,
            "the others have had their time"
        );
    }
}
