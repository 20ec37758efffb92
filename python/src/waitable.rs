//! A queue from the tasks of Rust to Python, which takes out of it on threads or on a loop.
//!
//! ```text
//! tasks of Rust ──push──▶ queue ──wait──▶ threads: a condition variable, without the GIL
//!                           │
//!                           └─ wakes a descriptor when it is no longer empty ──▶ greenlets and event loops: drain
//! ```
//!
//! No item is dropped while the queue is locked: the end of one may push another.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use pyo3::Python;
use tokio::sync::Notify;

/// What may wait for Python.
pub(crate) trait Item: Send {
    /// Whether it counts for the bound of its queue.
    fn counts(&self) -> bool {
        true
    }

    /// Whether nobody needs it any more, so that it is left out.
    fn is_stale(&self) -> bool {
        false
    }
}

struct State<T> {
    items: VecDeque<T>,
    /// How many of them count for the bound.
    counted: usize,
    /// Threads that wait for an item.
    waiting: usize,
    /// How many that count were taken so far.
    taken: u64,
    closed: bool,
    /// The descriptor's two ends, if somebody asked for it.
    wake: Option<(UnixStream, UnixStream)>,
}

pub(crate) struct Waitable<T> {
    state: Mutex<State<T>>,
    /// How many that count may wait, if those that push care.
    most: usize,
    filled: Condvar,
    /// More items have come than threads wait for one.
    unattended: Condvar,
    emptied: Notify,
}

impl<T: Item> State<T> {
    fn push(&mut self, item: T) {
        self.counted += usize::from(item.counts());
        self.items.push_back(item);
    }

    /// Takes the next item that is needed; those before it are put aside, to be dropped later.
    fn pop(&mut self, stale: &mut Vec<T>) -> Option<T> {
        loop {
            let item = self.items.pop_front()?;
            if item.counts() {
                self.counted -= 1;
                self.taken += 1;
            }
            if !item.is_stale() {
                return Some(item);
            }
            stale.push(item);
        }
    }

    fn wake(&mut self) {
        if let Some((_, writer)) = &mut self.wake {
            // A full descriptor is readable already.
            let _ = writer.write(&[1]);
        }
    }
}

impl<T: Item> Waitable<T> {
    /// Creates a queue for so many items that count.
    pub(crate) fn new(most: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            counted: 0,
            waiting: 0,
            taken: 0,
            closed: false,
            wake: None,
        };
        Self {
            state: Mutex::new(state),
            most,
            filled: Condvar::new(),
            unattended: Condvar::new(),
            emptied: Notify::new(),
        }
    }

    /// Adds an item, also beyond the bound.
    pub(crate) fn push(&self, item: T) {
        self.add(&mut self.state.lock(), item);
    }

    /// Adds an item, unless too many wait or the queue is closed: then it comes back.
    pub(crate) fn try_push(&self, item: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed || state.counted >= self.most {
            return Err(item);
        }
        self.add(&mut state, item);
        Ok(())
    }

    /// Adds an item, also beyond the bound, unless the queue is closed: then it is dropped.
    pub(crate) fn push_open(&self, item: T) {
        let mut state = self.state.lock();
        if state.closed {
            // What its end does may come here.
            drop(state);
            return drop(item);
        }
        self.add(&mut state, item);
    }

    fn add(&self, state: &mut State<T>, item: T) {
        let was_empty = state.items.is_empty();
        state.push(item);
        if state.waiting > 0 {
            self.filled.notify_one();
        }
        // A thread that was woken for another item still counts as waiting.
        if state.items.len() > state.waiting {
            self.unattended.notify_one();
        }
        if was_empty {
            state.wake();
        }
    }

    /// Waits while more items wait for Python than may.
    pub(crate) async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.state.lock().counted < self.most {
                return;
            }
            emptied.await;
        }
    }

    fn pop(&self, state: &mut State<T>, stale: &mut Vec<T>) -> Option<T> {
        let before = state.counted;
        let item = state.pop(stale);
        let half = self.most / 2;
        if before > half && state.counted <= half {
            self.emptied.notify_waiters();
        }
        item
    }

    /// Takes an item that is there.
    pub(crate) fn try_next(&self) -> Option<T> {
        let mut stale = Vec::new();
        let mut state = self.state.lock();
        self.pop(&mut state, &mut stale)
    }

    /// Takes the next item; waits for it, without the GIL, so long or, without a limit, until the queue is closed.
    pub(crate) fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> Option<T> {
        let item = self.try_next();
        item.or_else(|| py.detach(|| self.wait_detached(timeout)))
    }

    fn wait_detached(&self, timeout: Option<Duration>) -> Option<T> {
        let mut stale = Vec::new();
        let mut state = self.state.lock();
        let mut is_late = false;
        loop {
            if let Some(item) = self.pop(&mut state, &mut stale) {
                return Some(item);
            }
            if !stale.is_empty() {
                // Their ends may be the next items.
                MutexGuard::unlocked(&mut state, || stale.clear());
                continue;
            }
            if state.closed || is_late {
                return None;
            }
            state.waiting += 1;
            match timeout {
                Some(timeout) => {
                    is_late = self.filled.wait_for(&mut state, timeout).timed_out();
                }
                None => self.filled.wait(&mut state),
            }
            state.waiting -= 1;
        }
    }

    /// Takes up to `max` items, and makes the descriptor unreadable if those were all.
    pub(crate) fn drain(&self, max: usize) -> Vec<T> {
        let mut stale = Vec::new();
        let mut state = self.state.lock();
        let mut items = Vec::with_capacity(max.min(state.items.len()));
        while items.len() < max
            && let Some(item) = self.pop(&mut state, &mut stale)
        {
            items.push(item);
        }
        if state.items.is_empty()
            && let Some((reader, _)) = &mut state.wake
        {
            let mut bytes = [0; 64];
            while matches!(reader.read(&mut bytes), Ok(count) if count == bytes.len()) {}
        }
        items
    }

    /// How many items wait, and how many threads wait for one.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.items.len(), state.waiting)
    }

    /// Waits until all threads are busy and for so long no item was taken though some wait, and returns how many do. 0: closed.
    pub(crate) fn wait_busy(&self, patience: Duration) -> usize {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return 0;
            }
            if state.items.len() <= state.waiting {
                self.unattended.wait(&mut state);
                continue;
            }
            let before = state.taken;
            MutexGuard::unlocked(&mut state, || std::thread::sleep(patience));
            if state.taken == before && state.items.len() > state.waiting {
                return state.items.len();
            }
        }
    }

    /// The descriptor that is readable while items wait.
    pub(crate) fn fileno(&self) -> io::Result<i32> {
        let mut state = self.state.lock();
        if state.wake.is_none() {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            state.wake = Some((reader, writer));
        }
        if !state.items.is_empty() {
            state.wake();
        }
        let reader = state.wake.as_ref().map(|(reader, _)| reader.as_raw_fd());
        Ok(reader.unwrap_or(-1))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Ends all waits, and drops the items that are there.
    pub(crate) fn close_now(&self) {
        self.close();
        let mut state = self.state.lock();
        let items = std::mem::take(&mut state.items);
        state.counted = 0;
        drop(state);
        self.emptied.notify_waiters();
        drop(items);
    }

    /// Ends all waits when the items that are there were taken.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.wake();
        drop(state);
        self.filled.notify_all();
        self.unattended.notify_all();
    }
}
