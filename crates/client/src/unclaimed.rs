//! Events that came before anybody could take them. They wait for handlers and readers that are attached after the socket
//! was connected, as in `let socket = Client::connect(…).await?; socket.on(…);`.
//!
//! Owned by the connection's task, for each socket from its first connection on until [`UNATTACHED`] or [`ATTACHED`] is over.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use kokanee_handler::Ack;
use kokanee_socketio::RawEvent;

use crate::socket::{Core, Takers};

/// Events that wait, and their bytes. One event may always wait. Beyond that the oldest are given up.
const MAX_EVENTS: usize = 256;
const MAX_BYTES: usize = 8 << 20;
/// How long events wait while nobody takes any.
const UNATTACHED: Duration = Duration::from_secs(30);
/// How long they wait since somebody takes some.
const ATTACHED: Duration = Duration::from_secs(2);
/// What is attached one right after the other sees the same events: they are handed out when nothing was attached for so long.
const SETTLE: Duration = Duration::from_millis(100);

type Waiting = (RawEvent, Ack);

/// The events of one socket that wait.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// When the waiting ends for good.
    until: Instant,
    /// Somebody takes events, if not these.
    attached: bool,
    /// The change of the handlers for which the queue was looked through last.
    seen: Option<Instant>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Somebody takes it.
    Taken,
    /// Nobody does.
    Unhandled,
}

impl Unclaimed {
    /// For a socket that has just been connected for the first time.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            until: now + UNATTACHED,
            attached: false,
            seen: None,
        }
    }

    /// Hands out the events for which the waiting is over, in order, and then the one that has just come, if it need not wait.
    /// Returns whether nothing waits from now on.
    pub(crate) fn hand_out(
        &mut self,
        new: Option<Waiting>,
        takers: &Takers,
        now: Instant,
        mut decide: impl FnMut(Waiting, Fate),
    ) -> bool {
        if !self.attached && takers.take_some() {
            self.attached = true;
            self.until = now + ATTACHED;
        }
        let is_over = now >= self.until;
        let decides = is_over || is_settled(takers.changed, now);
        let mut waiting = VecDeque::new();
        if decides && (is_over || self.seen != takers.changed) {
            self.seen = takers.changed;
            self.bytes = 0;
            waiting = std::mem::take(&mut self.queue);
        }
        for waiting in waiting.into_iter().chain(new) {
            let name = waiting.0.name();
            if decides && takers.take(name) {
                decide(waiting, Fate::Taken);
            } else if is_over || decides && takers.have_taken(name) {
                decide(waiting, Fate::Unhandled);
            } else {
                self.bytes += waiting.0.args().held_bytes();
                self.queue.push_back(waiting);
            }
        }
        // If they are about to be taken, the client stops to read instead.
        while decides
            && self.is_too_much()
            && self.queue.len() > 1
            && let Some(oldest) = self.queue.pop_front()
        {
            self.bytes -= oldest.0.args().held_bytes();
            decide(oldest, Fate::Unhandled);
        }
        is_over
    }

    /// When to look again, if nothing happens.
    pub(crate) fn deadline(&self, core: &Core) -> Option<Instant> {
        if self.queue.is_empty() {
            return None;
        }
        let changed = core
            .attached()
            .filter(|changed| self.seen != Some(*changed));
        let settled = changed.map(|changed| changed + SETTLE);
        Some(self.until.min(settled.unwrap_or(self.until)))
    }

    /// Whether the client must stop to read, which is for a moment only: they are about to be taken.
    pub(crate) fn is_behind(&self, core: &Core) -> bool {
        let now = Instant::now();
        self.is_too_much() && now < self.until && !is_settled(core.attached(), now)
    }

    fn is_too_much(&self) -> bool {
        self.queue.len() > MAX_EVENTS || self.bytes > MAX_BYTES
    }
}

/// Whether nothing was attached just now, so that more is to be expected.
fn is_settled(changed: Option<Instant>, now: Instant) -> bool {
    changed.is_none_or(|changed| now >= changed + SETTLE)
}

#[cfg(test)]
mod tests {
    use kokanee_socketio::Args;

    use super::*;
    use crate::{extract::OnEvent, handlers::Handlers};

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
        Takers::new(handlers.into(), false, changed)
    }

    struct Case {
        unclaimed: Unclaimed,
        start: Instant,
        decided: Vec<String>,
    }

    impl Case {
        fn new() -> Self {
            let start = Instant::now();
            Self {
                unclaimed: Unclaimed::new(start),
                start,
                decided: Vec::new(),
            }
        }

        /// So many milliseconds later, perhaps with a new event. Returns whether the waiting has ended.
        fn at(&mut self, ms: u32, takers: &Takers, new: Option<&str>) -> bool {
            let new = new.map(|name| (RawEvent::new(name, Args::none()), Ack::default()));
            let decided = &mut self.decided;
            let now = self.start + ms * MS;
            self.unclaimed
                .hand_out(new, takers, now, |(event, _), fate| {
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
            takers(&["a", "b"], at(10_099)),
        );
        for name in ["a", "b", "a"] {
            case.at(1, &none, Some(name));
        }
        case.at(10_098, &first, Some("b"));
        case.at(10_198, &both, Some("a"));
        assert!(case.decided().is_empty());
        case.at(10_199, &both, None);
        assert_eq!(
            case.decided(),
            ["a Taken", "b Taken", "a Taken", "b Taken", "a Taken"]
        );
        assert_eq!(case.unclaimed.bytes, 0);
        case.at(10_200, &both, Some("b"));
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
    fn an_event_whose_handler_was_removed_does_not_wait() {
        let mut case = Case::new();
        let mut handlers = Handlers::default();
        handlers.on(
            "a",
            kokanee_handler::Handler::<(), OnEvent>::erase(async || {}),
            true,
        );
        handlers.remove_once("a");
        case.at(0, &Takers::new(handlers.into(), false, None), Some("a"));
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
                .hand_out(new, &nobody, now, |(event, _), fate| {
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
