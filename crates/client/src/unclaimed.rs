//! Early events: those for which no handler or reader is attached yet. They wait for handlers and readers that are attached
//! after the socket was connected, as in `let socket = Client::connect(…).await?; socket.on(…);`.
//!
//! Owned by the connection's task, for each socket from its first connection until [`UNATTACHED`] or [`ATTACHED`] is over.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use kokanee_handler::Ack;
use kokanee_socketio::RawEvent;

use crate::{
    attached::{SETTLE, is_settled},
    handlers::Handlers,
    socket::Core,
};

/// The number of events that may wait, and their bytes. One event may always wait. If there are more, the oldest are given up.
const MAX_EVENTS: usize = 256;
const MAX_BYTES: usize = 8 << 20;
/// How long events wait while nothing is attached.
const UNATTACHED: Duration = Duration::from_secs(30);
/// How long they wait after the first handler or reader was attached.
const ATTACHED: Duration = Duration::from_secs(2);
type Waiting = (RawEvent, Ack);

/// The events of one socket that wait.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// When no event waits any longer.
    until: Instant,
    /// Whether something is attached, even if it does not take these events.
    attached: bool,
    /// The number of changes at which the queue was searched last.
    seen: u64,
    /// How many events at the front of the queue had no taker then.
    passed: usize,
}

/// Whether events wait for more to be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Normal,
    /// Something arrived that must not overtake the waiting events.
    Hurry,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has a handler or reader.
    Taken,
    /// It has none.
    Unhandled,
}

impl Unclaimed {
    /// Makes the queue of a socket that has just been connected for the first time.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            until: now + UNATTACHED,
            attached: false,
            seen: 0,
            passed: 0,
        }
    }

    /// Delivers the events whose wait is over, in order, and then the new event, if it need not wait. With [`Pace::Hurry`],
    /// events that have a taker by now are delivered without waiting for more to be attached. Returns whether no event waits
    /// from now on.
    pub(crate) fn hand_out(
        &mut self,
        new: Option<Waiting>,
        takers: &Takers,
        now: Instant,
        pace: Pace,
        mut decide: impl FnMut(Waiting, Fate),
    ) -> bool {
        let is_over = now >= self.until;
        if !is_over && !self.attached && takers.take_some() {
            self.attached = true;
            self.until = now + ATTACHED;
        }
        let settled = is_over || pace == Pace::Hurry || is_settled(takers.changed, now);
        let looks = settled && (is_over || self.seen != takers.changes);
        let mut waiting = VecDeque::new();
        if looks {
            self.seen = takers.changes;
            self.bytes = 0;
            waiting = std::mem::take(&mut self.queue);
        }
        let decides = settled
            || new
                .as_ref()
                .is_some_and(|(event, _)| self.is_next(event, takers));
        for waiting in waiting.into_iter().chain(new) {
            let name = waiting.0.name();
            if decides && takers.take(name) {
                decide(waiting, Fate::Taken);
            } else if is_over || decides && takers.have_taken(name) {
                decide(waiting, takers.watch());
            } else {
                self.bytes += waiting.0.args().held_bytes();
                self.queue.push_back(waiting);
            }
        }
        if settled {
            self.passed = self.queue.len();
        }
        // If the events are about to be delivered, the client stops reading instead.
        while decides
            && self.is_too_much()
            && self.queue.len() > 1
            && let Some(oldest) = self.queue.pop_front()
        {
            self.bytes -= oldest.0.args().held_bytes();
            self.passed -= 1;
            decide(oldest, takers.watch());
        }
        is_over
    }

    /// Whether a new event has a handler of its own name, and no event before it is about to be delivered.
    fn is_next(&self, event: &RawEvent, takers: &Takers) -> bool {
        let mut queue = self.queue.iter();
        takers.name(event.name())
            && self.passed == self.queue.len()
            && !queue.any(|(event, _)| takers.take(event.name()))
    }

    /// Returns when to search the queue again, if nothing happens.
    pub(crate) fn deadline(&self, core: &Core) -> Instant {
        let attached = core.attached();
        match attached.first {
            Some(first) if !self.queue.is_empty() && self.seen != attached.changes => {
                self.until.min(first + SETTLE)
            }
            _ => self.until,
        }
    }

    /// Whether the client must stop reading. That takes a moment only, as the events are about to be delivered.
    pub(crate) fn is_behind(&self, core: &Core) -> bool {
        let now = Instant::now();
        self.is_too_much() && now < self.until && !is_settled(core.attached().first, now)
    }

    fn is_too_much(&self) -> bool {
        self.queue.len() > MAX_EVENTS || self.bytes > MAX_BYTES
    }
}

/// Those who take the events of a socket.
pub(crate) struct Takers {
    handlers: Arc<Handlers>,
    has_readers: bool,
    /// When they began to change.
    changed: Option<Instant>,
    /// How often they have changed, at least.
    changes: u64,
}

impl Takers {
    fn new(
        handlers: Arc<Handlers>,
        has_readers: bool,
        changed: Option<Instant>,
        changes: u64,
    ) -> Self {
        Self {
            handlers,
            has_readers,
            changed,
            changes,
        }
    }

    /// Those who take events of this socket now.
    pub(crate) fn of(core: &Core) -> Self {
        // The count is looked at first and the time last: see `Core::attaches`.
        let changes = core.attached().changes;
        let handlers = core.handlers();
        let has_readers = core.has_readers();
        let changed = core.attached().first;
        Self::new(handlers, has_readers, changed, changes)
    }

    /// Whether they take anything.
    fn take_some(&self) -> bool {
        self.has_readers || self.handlers.take_some()
    }

    /// Whether they take events of this name. Who only watches does not.
    fn take(&self, event: &str) -> bool {
        self.has_readers || self.handlers.take(event)
    }

    /// Whether one of them is for events of this name alone.
    fn name(&self, event: &str) -> bool {
        self.handlers.name(event)
    }

    /// What becomes of an event that none of them takes: those who watch see it.
    fn watch(&self) -> Fate {
        if self.handlers.any.is_empty() {
            Fate::Unhandled
        } else {
            Fate::Taken
        }
    }

    /// Whether they take, or have once taken, events of this name.
    fn have_taken(&self, event: &str) -> bool {
        self.handlers.know(event)
    }
}

#[cfg(test)]
mod tests {
    use kokanee_socketio::Args;

    use super::*;
    use crate::extract::OnEvent;

    const MS: Duration = Duration::from_millis(1);

    /// Handlers of these events, the last of them attached at `changed`.
    fn takers(names: &[&str], changed: Option<Instant>) -> Takers {
        let mut handlers = Handlers::default();
        for name in names {
            handlers.on(
                name,
                kokanee_handler::Handler::<(), OnEvent>::erase(async || {}),
                false,
            );
        }
        Takers::new(handlers.into(), false, changed, names.len() as u64)
    }

    struct Case {
        unclaimed: Unclaimed,
        start: Instant,
        decided: Vec<String>,
        hurries: bool,
    }

    impl Case {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                unclaimed: Unclaimed::new(start),
                start,
                decided: Vec::new(),
                hurries: false,
            }
        }

        /// So many milliseconds later, perhaps with a new event. Returns whether the waiting has ended.
        fn at(&mut self, ms: u32, takers: &Takers, new: Option<&str>) -> bool {
            let new = new.map(|name| (RawEvent::new(name, Args::none()), Ack::default()));
            let decided = &mut self.decided;
            let now = self.start + ms * MS;
            let pace = if self.hurries {
                Pace::Hurry
            } else {
                Pace::Normal
            };
            self.unclaimed
                .hand_out(new, takers, now, pace, |(event, _), fate| {
                    decided.push(format!("{} {fate:?}", event.name()));
                })
        }

        fn decided(&mut self) -> Vec<String> {
            std::mem::take(&mut self.decided)
        }
    }

    #[test]
    fn without_anybody_events_wait_for_30_s() {
        let mut case = Case::new();
        let nobody = takers(&[], None);
        assert!(!case.at(0, &nobody, Some("a")));
        assert!(!case.at(29_999, &nobody, Some("b")));
        assert!(case.decided().is_empty());
        assert!(case.at(30_000, &nobody, Some("c")));
        assert_eq!(
            case.decided(),
            ["a Unhandled", "b Unhandled", "c Unhandled"]
        );
    }

    #[test]
    fn what_is_attached_within_a_moment_gets_all_in_order() {
        let mut case = Case::new();
        let at = |ms: u32| Some(case.start + ms * MS);
        let (none, first, both) = (
            takers(&[], None),
            takers(&["a"], at(10_000)),
            takers(&["a", "b"], at(10_000)),
        );
        for name in ["a", "b", "a"] {
            case.at(1, &none, Some(name));
        }
        case.at(10_001, &first, Some("b"));
        case.at(10_099, &both, Some("a"));
        assert!(case.decided().is_empty());
        case.at(10_100, &both, None);
        assert_eq!(
            case.decided(),
            ["a Taken", "b Taken", "a Taken", "b Taken", "a Taken"]
        );
        assert_eq!(case.unclaimed.bytes, 0);
        case.at(10_101, &both, Some("b"));
        assert_eq!(case.decided(), ["b Taken"], "at once");
    }

    #[test]
    fn others_wait_2_s_more_and_nothing_waits_for_them() {
        let mut case = Case::new();
        // Attached before the connection.
        let one = takers(&["a"], None);
        case.at(0, &one, Some("b"));
        case.at(1, &one, Some("a"));
        assert_eq!(case.decided(), ["a Taken"]);
        // Attached later.
        let both = takers(&["a", "b"], Some(case.start + 1_000 * MS));
        case.at(1_000, &both, None);
        assert!(case.decided().is_empty());
        case.at(1_100, &both, Some("c"));
        assert_eq!(case.decided(), ["b Taken"]);
        assert!(!case.at(1_999, &both, None));
        assert!(case.at(2_000, &both, None));
        assert_eq!(case.decided(), ["c Unhandled"]);
    }

    #[test]
    fn an_event_with_its_own_handler_waits_only_for_those_before_it() {
        let mut case = Case::new();
        let at = |ms: u32| Some(case.start + ms * MS);
        let (one, two, three) = (
            takers(&["a"], at(0)),
            takers(&["a", "b"], at(200)),
            takers(&["a", "b", "c"], at(400)),
        );
        case.at(1, &one, Some("a"));
        assert_eq!(case.decided(), ["a Taken"]);
        case.at(2, &one, Some("c"));
        case.at(3, &one, Some("a"));
        assert!(
            case.decided().is_empty(),
            "its handler may be attached next"
        );
        case.at(100, &one, None);
        assert_eq!(case.decided(), ["a Taken"]);
        case.at(201, &two, Some("b"));
        assert_eq!(case.decided(), ["b Taken"], "nobody took the one before it");
        case.at(401, &three, Some("a"));
        assert!(case.decided().is_empty(), "the one before it is taken now");
        case.at(500, &three, None);
        assert_eq!(case.decided(), ["c Taken", "a Taken"]);
    }

    #[test]
    fn in_a_hurry_what_is_taken_by_now_goes_out() {
        let mut case = Case::new();
        for name in ["a", "b", "a"] {
            case.at(0, &takers(&[], None), Some(name));
        }
        let one = takers(&["a"], Some(case.start));
        case.hurries = true;
        case.at(1, &one, None);
        assert_eq!(case.decided(), ["a Taken", "a Taken"]);
        let both = takers(&["a", "b"], Some(case.start));
        case.at(2, &both, None);
        assert_eq!(case.decided(), ["b Taken"]);
    }

    #[test]
    fn the_limit_is_not_extended_by_what_is_attached_after_it() {
        let mut case = Case::new();
        case.at(0, &takers(&[], None), Some("b"));
        let late = takers(&["a"], Some(case.start + 30_000 * MS));
        assert!(case.at(30_001, &late, None));
        assert_eq!(case.decided(), ["b Unhandled"]);
    }

    #[test]
    fn who_watches_takes_events_at_once_if_there_is_nobody_else() {
        let any = || kokanee_handler::Handler::<(), OnEvent>::erase(async || {});
        let mut handlers = Handlers::default();
        handlers.any.push(any());
        let mut case = Case::new();
        let alone = Takers::new(handlers.clone().into(), false, None, 0);
        case.at(0, &alone, Some("a"));
        assert_eq!(case.decided(), ["a Taken"]);

        handlers.on("b", any(), false);
        let mut case = Case::new();
        let watcher = Takers::new(handlers.into(), false, None, 0);
        case.at(0, &watcher, Some("a"));
        assert!(!case.at(1_999, &watcher, None));
        assert!(case.decided().is_empty());
        assert!(case.at(2_000, &watcher, None));
        assert_eq!(case.decided(), ["a Taken"]);
    }

    #[test]
    fn an_event_whose_handler_was_removed_does_not_wait() {
        let mut case = Case::new();
        let mut handlers = Handlers::default();
        handlers.on(
            "a",
            kokanee_handler::Handler::<(), OnEvent>::erase(async || {}),
            true,
        );
        handlers.remove_once("a", true);
        case.at(0, &Takers::new(handlers.into(), false, None, 1), Some("a"));
        assert_eq!(case.decided(), ["a Unhandled"]);
    }

    #[test]
    fn the_oldest_make_room_but_one_event_may_always_wait() {
        let mut case = Case::new();
        let nobody = takers(&[], None);
        let large = |name: &str| {
            let text = "x".repeat(MAX_BYTES / 2);
            (
                RawEvent::new(name, Args::from_serialize(&text).expect("a text")),
                Ack::default(),
            )
        };
        let mut given_up = Vec::new();
        for name in ["a", "b", "c"] {
            let (new, now) = (Some(large(name)), case.start);
            case.unclaimed
                .hand_out(new, &nobody, now, Pace::Normal, |(event, _), fate| {
                    given_up.push(format!("{} {fate:?}", event.name()));
                });
        }
        assert_eq!(given_up, ["a Unhandled", "b Unhandled"]);
        for number in 0..MAX_EVENTS {
            case.at(1, &nobody, Some(&number.to_string()));
        }
        assert_eq!(case.decided(), ["c Unhandled"]);
        case.at(1, &nobody, Some("z"));
        assert_eq!(case.decided(), ["0 Unhandled"]);
    }
}
