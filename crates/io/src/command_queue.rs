//! A queue of commands for one task, which any thread may fill: how handles reach the task that owns a session or a
//! connection.
//!
//! The server's `Mailbox` and the client's `Hub` each wrap one. They count the bytes that wait, and decide what is too much;
//! here is what both need: the commands, the wakers of the task and of those who wait for room, and the rules by which no
//! wake-up is lost.
//!
//! # No wake-up of the task is lost
//!
//! `awake` is `false` only while the task sleeps. [`sleep`](CommandQueue::sleep) sets it to `false` under the lock, after it has
//! seen that there are no commands. A sender puts its command into the queue and sets `awake` to `true` under the same lock.
//! So whoever has the lock first is seen by the other: either the task sees the command and does not sleep, or the sender sees
//! that the task sleeps, and wakes it. Only the sender that changes `awake` from `false` to `true` wakes the task, so a
//! burst wakes it once.
//!
//! If something else has woken the task (its socket, a timer), `awake` is still `false` and the task may sleep again without
//! the lock: every sender since then would have set it to `true`.
//!
//! `has_commands` is a hint that saves the lock. It may be read as `false` just before a command comes; then `awake` decides,
//! as above.
//!
//! # No wake-up of those who wait for room is lost
//!
//! What counts as room is the owner's: atomic counts that change without the lock. That is the pattern called store buffering:
//!
//! ```text
//! who waits (poll_room)             who makes room (room_changed)
//! has_waiters = true                count = less
//! fence(SeqCst)                     fence(SeqCst)
//! read the counts                   read has_waiters
//! ```
//!
//! Without the fences, both sides could read the old value: a processor may delay a store until after a later load. The fences
//! are in one order. The side whose fence is second reads what the other side has stored before its fence. So
//! either the room is seen, or the waiter is. Its waker is found then, as the waiter does all of this under the lock, and the waking
//! side takes the wakers under the same lock.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::atomic::{AtomicBool, Ordering, fence},
    task::{Context, Poll, Waker},
};

use parking_lot::{Mutex, MutexGuard};

/// A queue of commands for one task, which any thread may fill. The task sleeps while there are none; senders may wait until the
/// owner of the queue says that there is room.
pub struct CommandQueue<C> {
    /// The task is running and will look here before it sleeps, or it has been woken to do so.
    awake: AtomicBool,
    has_commands: AtomicBool,
    /// Whether somebody may wait for room. It may be `true` although nobody waits any more.
    has_waiters: AtomicBool,
    queue: Mutex<Queue<C>>,
}

struct Queue<C> {
    /// Most of the time there is only one command, which needs no allocation here.
    first: Option<C>,
    // Invariant: empty while `first` is `None`.
    rest: VecDeque<C>,
    /// Wakes the task.
    task: Option<Waker>,
    /// Wake those who wait for room.
    waiting: Vec<Waker>,
    is_closed: bool,
}

impl<C> Queue<C> {
    const fn new() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
            task: None,
            waiting: Vec::new(),
            is_closed: false,
        }
    }

    fn is_task(&self, waker: &Waker) -> bool {
        self.task.as_ref().is_some_and(|task| task.will_wake(waker))
    }
}

/// The task has ended and takes no more commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// The first command, and those after it.
pub type Commands<C> = (C, VecDeque<C>);

/// An empty queue, whose task is running: it must call [`sleep`](CommandQueue::sleep) to be woken.
impl<C> Default for CommandQueue<C> {
    fn default() -> Self {
        Self {
            awake: AtomicBool::new(true),
            has_commands: AtomicBool::new(false),
            has_waiters: AtomicBool::new(false),
            queue: Mutex::new(Queue::new()),
        }
    }
}

/// Commands may contain secrets, and are left out.
impl<C> fmt::Debug for CommandQueue<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandQueue")
            .field("has_commands", &self.has_commands())
            .finish_non_exhaustive()
    }
}

impl<C> CommandQueue<C> {
    /// Sends a command to the task, and wakes it if it sleeps.
    ///
    /// # Errors
    /// [`Gone`] if the task has ended.
    #[inline]
    pub fn send(&self, command: C) -> Result<(), Gone> {
        self.lock().push(command)
    }

    /// Locks the queue, to do several things as one. Meanwhile no other thread may send or take commands.
    #[inline]
    pub fn lock(&self) -> LockedQueue<'_, C> {
        LockedQueue {
            shared: self,
            queue: self.queue.lock(),
        }
    }

    /// Whether commands wait.
    #[inline]
    pub fn has_commands(&self) -> bool {
        self.has_commands.load(Ordering::Acquire)
    }

    /// Waits until `has_room` says that there is room, or until the queue is closed. `has_room` may be called twice, the second
    /// time under the lock, and must read its counts each time.
    ///
    /// Whoever changes these counts so that there may be room calls [`room_changed`](Self::room_changed).
    #[inline]
    pub fn poll_room(&self, cx: &Context<'_>, has_room: impl Fn() -> bool) -> Poll<()> {
        // Nearly always there is room, which is seen without the lock.
        if has_room() {
            return Poll::Ready(());
        }
        let mut queue = self.queue.lock();
        self.has_waiters.store(true, Ordering::Relaxed);
        // Pairs with the other fence, see the head of this file.
        fence(Ordering::SeqCst);
        if queue.is_closed || has_room() {
            return Poll::Ready(());
        }
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        if !queue.waiting.iter().any(is_known) {
            queue.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes those who wait for room, if there is some. To be called after a change of a count that [`poll_room`] reads.
    ///
    /// [`poll_room`]: Self::poll_room
    #[inline]
    pub fn room_changed(&self, has_room: impl FnOnce() -> bool) {
        // Pairs with the other fence, see the head of this file.
        fence(Ordering::SeqCst);
        self.wake_waiting(has_room);
    }

    /// Wakes those who wait for room, if there is some, after a change that only this thread can see, as it concerns no one
    /// on another thread. Unlike [`room_changed`](Self::room_changed) it has no fence.
    #[inline]
    pub fn wake_waiting(&self, has_room: impl FnOnce() -> bool) {
        if self.has_waiters.load(Ordering::Acquire) && has_room() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let mut queue = self.queue.lock();
        self.has_waiters.store(false, Ordering::Relaxed);
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Wakes the task although there is no command for it.
    pub fn wake_task(&self) {
        if let Some(task) = &self.queue.lock().task {
            task.wake_by_ref();
        }
    }

    // For the task.

    /// Takes all commands that wait. Wakes those who wait for room: they look again, as it may be what they wait for that
    /// commands are taken.
    #[inline]
    pub fn take(&self) -> Option<Commands<C>> {
        if !self.has_commands() {
            return None;
        }
        self.lock().take()
    }

    /// Announces that the task will sleep: it must return [`Poll::Pending`] with this context. Returns `false` if commands wait,
    /// so that it must not.
    ///
    /// A task has the same waker for all its life, as every spawned task does.
    #[inline]
    pub fn sleep(&self, cx: &Context<'_>) -> bool {
        if !self.awake.load(Ordering::Acquire) {
            // Nothing was sent since the task slept; something else has woken it.
            return true;
        }
        let mut queue = self.queue.lock();
        if queue.first.is_some() {
            return false;
        }
        if !queue.is_task(cx.waker()) {
            queue.task = Some(cx.waker().clone());
        }
        self.awake.store(false, Ordering::Release);
        true
    }

    /// Closes the queue: drops the commands that wait, refuses those that come, and wakes those who wait for room.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        let mut ended = mem::replace(&mut *queue, Queue::new());
        queue.is_closed = true;
        // A command that is dropped may run any code, and use this queue.
        drop(queue);
        mem::take(&mut ended.waiting)
            .into_iter()
            .for_each(Waker::wake);
    }
}

/// A [`CommandQueue`] under its lock. The owner's own state that goes with the commands, as their size, may be changed
/// with it.
pub struct LockedQueue<'a, C> {
    shared: &'a CommandQueue<C>,
    queue: MutexGuard<'a, Queue<C>>,
}

impl<C> fmt::Debug for LockedQueue<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedQueue").finish_non_exhaustive()
    }
}

impl<C> LockedQueue<'_, C> {
    /// Sends a command to the task, and wakes it if it sleeps.
    ///
    /// # Errors
    /// [`Gone`] if the task has ended.
    #[inline]
    pub fn push(&mut self, command: C) -> Result<(), Gone> {
        let Self { shared, queue } = self;
        if queue.is_closed {
            // A command that is dropped may run any code, and use this queue.
            MutexGuard::unlocked(queue, || drop(command));
            return Err(Gone);
        }
        if queue.first.is_none() {
            queue.first = Some(command);
            shared.has_commands.store(true, Ordering::Release);
        } else {
            queue.rest.push_back(command);
        }
        if !shared.awake.swap(true, Ordering::AcqRel)
            && let Some(task) = &queue.task
        {
            task.wake_by_ref();
        }
        Ok(())
    }

    /// Removes the oldest command that is `wanted`.
    pub fn remove_oldest(&mut self, wanted: impl Fn(&C) -> bool) -> Option<C> {
        let queue = &mut *self.queue;
        if queue.first.as_ref().is_some_and(&wanted) {
            let next = queue.rest.pop_front();
            // Without a next one, `has_commands` stays set: the task looks, and finds nothing.
            mem::replace(&mut queue.first, next)
        } else {
            let index = queue.rest.iter().position(wanted)?;
            queue.rest.remove(index)
        }
    }

    /// Takes all commands that wait, as [`CommandQueue::take`].
    pub fn take(self) -> Option<Commands<C>> {
        let Self { shared, mut queue } = self;
        shared.has_commands.store(false, Ordering::Release);
        let (first, rest) = (queue.first.take(), mem::take(&mut queue.rest));
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        waiting.into_iter().for_each(Waker::wake);
        Some((first?, rest))
    }

    /// Takes the only command that waits, and announces that the task will [sleep](CommandQueue::sleep). Returns `None`, and
    /// changes nothing, if there are several commands, if it is not `wanted`, if somebody waits for room, or if the task has
    /// another waker than before.
    #[inline]
    pub fn take_only(&mut self, cx: &Context<'_>, wanted: impl FnOnce(&C) -> bool) -> Option<C> {
        let Self { shared, queue } = self;
        let is_wanted = queue.first.as_ref().is_some_and(wanted);
        if !is_wanted
            || !queue.rest.is_empty()
            || !queue.waiting.is_empty()
            || !queue.is_task(cx.waker())
        {
            return None;
        }
        shared.has_commands.store(false, Ordering::Release);
        shared.awake.store(false, Ordering::Release);
        queue.first.take()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
        thread::{self, Thread},
        time::{Duration, Instant},
    };

    use super::*;

    /// Rounds of the tests with threads; an interpreter needs long for each.
    const ROUNDS: usize = if cfg!(miri) { 100 } else { 100_000 };
    /// A wake-up that takes longer is lost.
    const LOST: Duration = Duration::from_secs(60);

    /// A waker that counts.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Relaxed)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn counter() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    /// Wakes a thread that is parked.
    struct Parked {
        thread: Thread,
        is_woken: AtomicBool,
    }

    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.is_woken.store(true, Ordering::Release);
            self.thread.unpark();
        }
    }

    impl Parked {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                thread: thread::current(),
                is_woken: AtomicBool::new(false),
            })
        }

        /// Sleeps until it is woken.
        fn park(&self) {
            let start = Instant::now();
            while !self.is_woken.swap(false, Ordering::AcqRel) {
                assert!(start.elapsed() < LOST, "a wake-up was lost");
                thread::park_timeout(LOST);
            }
        }
    }

    fn spin_until(condition: impl Fn() -> bool) {
        let start = Instant::now();
        for round in 0_u32.. {
            if condition() {
                return;
            }
            if round % 64 == 63 {
                assert!(start.elapsed() < LOST, "the other thread has stopped");
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }

    fn taken(queue: &CommandQueue<u32>) -> Vec<u32> {
        let commands = queue.take().into_iter();
        commands
            .flat_map(|(first, rest)| std::iter::once(first).chain(rest))
            .collect()
    }

    #[test]
    fn commands_are_taken_in_order_and_all_at_once() {
        let queue = CommandQueue::default();
        assert!(queue.take().is_none() && !queue.has_commands());
        for command in 1..=3 {
            queue.send(command).expect("it is open");
        }
        assert!(queue.has_commands());
        assert_eq!(taken(&queue), [1, 2, 3]);
        assert!(queue.take().is_none() && !queue.has_commands());
    }

    #[test]
    fn a_task_that_sleeps_is_woken_once_and_does_not_sleep_before_it_has_looked() {
        let queue = CommandQueue::default();
        let (wakes, waker) = counter();
        let cx = Context::from_waker(&waker);
        queue.send(1).expect("it is open");
        assert!(!queue.sleep(&cx), "a command waits");
        assert_eq!(taken(&queue), [1]);
        assert!(queue.sleep(&cx));
        assert!(queue.sleep(&cx), "something else has woken it");
        queue.send(2).expect("it is open");
        queue.send(3).expect("it is open");
        assert_eq!(wakes.get(), 1);
        assert!(!queue.sleep(&cx));
        assert_eq!(taken(&queue), [2, 3]);
        queue.send(4).expect("it is open");
        assert_eq!(wakes.get(), 1, "it is running");
        queue.wake_task();
        assert_eq!(wakes.get(), 2);
    }

    #[test]
    fn the_only_command_is_taken_and_the_task_sleeps() {
        let queue = CommandQueue::default();
        let (wakes, waker) = counter();
        let cx = Context::from_waker(&waker);
        queue.send(1).expect("it is open");
        assert_eq!(queue.lock().take_only(&cx, |_| true), None, "no waker yet");
        assert_eq!(taken(&queue), [1]);
        assert!(queue.sleep(&cx));
        queue.send(2).expect("it is open");
        assert_eq!(queue.lock().take_only(&cx, |_| false), None, "unwanted");
        assert_eq!(queue.lock().take_only(&cx, |_| true), Some(2));
        assert!(!queue.has_commands());
        queue.send(3).expect("it is open");
        assert_eq!(wakes.get(), 2, "it sleeps again");
        queue.send(4).expect("it is open");
        assert_eq!(queue.lock().take_only(&cx, |_| true), None, "two of them");
        assert_eq!(taken(&queue), [3, 4]);
        queue.send(5).expect("it is open");
        assert!(queue.poll_room(&cx, || false).is_pending());
        assert_eq!(
            queue.lock().take_only(&cx, |_| true),
            None,
            "a waiter must be woken"
        );
        assert_eq!(taken(&queue), [5]);
    }

    #[test]
    fn the_oldest_wanted_command_is_removed() {
        let queue = CommandQueue::default();
        for command in 1..=4 {
            queue.send(command).expect("it is open");
        }
        let is_even = |command: &u32| command.is_multiple_of(2);
        assert_eq!(queue.lock().remove_oldest(is_even), Some(2));
        assert_eq!(queue.lock().remove_oldest(|_| true), Some(1));
        assert_eq!(queue.lock().remove_oldest(|&command| command > 4), None);
        assert_eq!(taken(&queue), [3, 4]);
        queue.send(5).expect("it is open");
        assert_eq!(queue.lock().remove_oldest(|_| true), Some(5));
        assert_eq!(queue.lock().remove_oldest(|_| true), None);
        assert!(taken(&queue).is_empty());
        queue.send(6).expect("it is open");
        assert_eq!(taken(&queue), [6]);
    }

    #[test]
    fn those_who_wait_are_woken_by_room_by_taken_commands_and_by_the_end() {
        let queue = CommandQueue::default();
        let (wakes, waker) = counter();
        let cx = Context::from_waker(&waker);
        assert!(queue.poll_room(&cx, || true).is_ready());
        queue.room_changed(|| true);
        assert_eq!(wakes.get(), 0, "nobody waited");

        assert!(queue.poll_room(&cx, || false).is_pending());
        assert!(queue.poll_room(&cx, || false).is_pending());
        queue.room_changed(|| false);
        assert_eq!(wakes.get(), 0, "no room");
        queue.room_changed(|| true);
        assert_eq!(wakes.get(), 1, "the same waker waited twice");

        assert!(queue.poll_room(&cx, || false).is_pending());
        queue.send(1).expect("it is open");
        assert_eq!(taken(&queue), [1]);
        assert_eq!(wakes.get(), 2);

        assert!(queue.poll_room(&cx, || false).is_pending());
        queue.close();
        assert_eq!(wakes.get(), 3);
        assert!(queue.poll_room(&cx, || false).is_ready());
    }

    #[test]
    fn a_closed_queue_drops_its_commands_outside_the_lock_and_takes_no_more() {
        struct Looks(Arc<CommandQueue<Self>>);
        impl Drop for Looks {
            fn drop(&mut self) {
                assert!(self.0.lock().take().is_none());
            }
        }
        let queue = Arc::new(CommandQueue::default());
        queue.send(Looks(Arc::clone(&queue))).expect("it is open");
        queue.close();
        assert_eq!(Arc::strong_count(&queue), 1, "it was dropped");
        assert_eq!(queue.send(Looks(Arc::clone(&queue))), Err(Gone));
    }

    /// One thread sends at the moment in which the other goes to sleep.
    #[test]
    fn no_command_is_missed_by_a_task_that_goes_to_sleep() {
        let queue = Arc::new(CommandQueue::default());
        let handled = Arc::new(AtomicUsize::new(0));
        let task = thread::spawn({
            let (queue, handled) = (Arc::clone(&queue), Arc::clone(&handled));
            move || {
                let parked = Parked::new();
                let waker = Waker::from(Arc::clone(&parked));
                let cx = Context::from_waker(&waker);
                while handled.load(Relaxed) < ROUNDS {
                    let only = queue.lock().take_only(&cx, |round| round % 3 == 0);
                    if let Some(round) = only {
                        assert_eq!(round, handled.load(Relaxed));
                        handled.store(round + 1, Ordering::Release);
                        if round + 1 < ROUNDS {
                            parked.park();
                        }
                        continue;
                    }
                    if let Some((round, rest)) = queue.take() {
                        assert!(rest.is_empty() && round == handled.load(Relaxed));
                        handled.store(round + 1, Ordering::Release);
                    } else if queue.sleep(&cx) {
                        parked.park();
                    }
                }
            }
        });
        for round in 0..ROUNDS {
            queue.send(round).expect("it is open");
            spin_until(|| handled.load(Ordering::Acquire) > round);
        }
        task.join().expect("it has handled all");
    }

    /// One thread makes room at the moment in which the other begins to wait for it.
    #[test]
    fn no_room_is_missed_by_who_begins_to_wait() {
        let queue = Arc::new(CommandQueue::<()>::default());
        // Odd while there is no room.
        let count = Arc::new(AtomicUsize::new(0));
        let task = thread::spawn({
            let (queue, count) = (Arc::clone(&queue), Arc::clone(&count));
            move || {
                for round in 0..ROUNDS {
                    spin_until(|| count.load(Relaxed) == 2 * round + 1);
                    count.store(2 * round + 2, Relaxed);
                    queue.room_changed(|| true);
                }
            }
        });
        let parked = Parked::new();
        let waker = Waker::from(Arc::clone(&parked));
        let cx = Context::from_waker(&waker);
        for round in 0..ROUNDS {
            count.store(2 * round + 1, Relaxed);
            let has_room = || count.load(Relaxed).is_multiple_of(2);
            while queue.poll_room(&cx, has_room).is_pending() {
                parked.park();
            }
        }
        task.join().expect("it has made room each time");
    }
}
