//! [`Clock`]: the timer of a connection, and the watch for a machine that was suspended.

use std::{
    future::Future,
    mem,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use tokio::time::{Sleep, sleep_until};

/// How often the clocks are compared, at most: it costs more than a message.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// A wall clock that is so much ahead of the monotonic one has seen a suspended machine.
const SUSPENDED: Duration = Duration::from_secs(10);

/// The time of one connection.
pub(crate) struct Clock {
    sleep: Pin<Box<Sleep>>,
    sleeps_until: Instant,
    /// When the task last looked at both clocks.
    looked: (Instant, SystemTime),
    next_look: Instant,
}

impl Clock {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(now.into())),
            sleeps_until: now,
            looked: (now, SystemTime::now()),
            next_look: now + LOOK_INTERVAL,
        }
    }

    /// Returns how much time has passed since the last look, if the machine was suspended meanwhile.
    ///
    /// The monotonic clock stands still while the machine is suspended, and so do all timers; the wall clock does not.
    pub(crate) fn take_suspension(&mut self, now: Instant) -> Option<Duration> {
        if now < self.next_look {
            return None;
        }
        self.next_look = now + LOOK_INTERVAL;
        let wall = SystemTime::now();
        let (then, wall_then) = mem::replace(&mut self.looked, (now, wall));
        let elapsed = wall.duration_since(wall_then).unwrap_or_default();
        (elapsed > now.duration_since(then) + SUSPENDED).then_some(elapsed)
    }

    /// Whether the time has come to which the timer was set last.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.sleeps_until <= now
    }

    /// Sets the timer to a deadline, unless it fires earlier anyway. Ready if the deadline has passed already.
    pub(crate) fn poll_deadline(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Poll<()> {
        if deadline < self.sleeps_until || self.is_due(now) {
            self.sleeps_until = deadline;
            return self.poll_at(cx, deadline);
        }
        Poll::Pending
    }

    /// Ready at this time, whatever the timer was set to before.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.sleep.as_mut().reset(at.into());
        // It must know whom to wake, however much this turn has done: it is not polled again before its time.
        pin!(tokio::task::unconstrained(self.sleep.as_mut())).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn suspended_machine_is_noticed_once() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let hour = Duration::from_secs(3600);
        clock.looked.1 -= hour;
        assert_eq!(clock.take_suspension(start + LOOK_INTERVAL / 2), None);
        let elapsed = clock.take_suspension(start + LOOK_INTERVAL);
        assert!(elapsed.is_some_and(|elapsed| elapsed >= hour));
        assert_eq!(clock.take_suspension(start + 2 * LOOK_INTERVAL), None);
    }

    #[tokio::test]
    async fn timer_wakes_a_task_that_had_used_up_its_budget() {
        let start = Instant::now();
        let deadline = start + Duration::from_millis(20);
        let mut clock = Clock::new(start);
        let mut is_set = false;
        let woken = std::future::poll_fn(|cx| {
            if !mem::replace(&mut is_set, true) {
                while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
                assert!(clock.poll_deadline(cx, start, deadline).is_pending());
            }
            let now = Instant::now();
            if now < deadline {
                return Poll::Pending;
            }
            Poll::Ready(now)
        });
        let limit = Duration::from_secs(10);
        let woken = tokio::time::timeout(limit, woken).await.expect("woken");
        assert!(woken < start + limit, "only the limit has woken it");
    }

    #[tokio::test]
    async fn timer_is_moved_to_an_earlier_deadline_only() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        let at = |secs| start + Duration::from_secs(secs);
        let mut set = |now, deadline| {
            let cx = &mut Context::from_waker(std::task::Waker::noop());
            let polled = clock.poll_deadline(cx, now, deadline);
            assert!(polled.is_pending());
            clock.sleeps_until
        };
        assert_eq!(set(start, at(300)), at(300));
        assert_eq!(set(start, at(200)), at(200));
        assert_eq!(set(start, at(400)), at(200));
        assert_eq!(set(at(200), at(400)), at(400));
    }
}
