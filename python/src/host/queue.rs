//! What happens at the host's own listener, on its way to Python: new requests, and requests that somebody waits for.
//!
//! As the queue of events (`queue.rs`), it is emptied by threads, which wait on a condition variable without the GIL, or by an
//! event loop, which waits for a descriptor. It has a bound: requests beyond it are answered with 503.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::exchange::Shared;

/// What Python gets.
pub(crate) enum Event {
    /// A request.
    Request(Arc<Shared>),
    /// A request or a WebSocket that Python has asked to be woken for, by its id.
    Ready(u64),
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// How many of them are requests.
    requests: usize,
    /// Threads that wait.
    waiting: usize,
    /// Requests that were taken so far.
    taken: u64,
    closed: bool,
    wake: Option<(UnixStream, UnixStream)>,
}

impl State {
    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Request(_) = event {
            self.requests -= 1;
            self.taken += 1;
        }
        Some(event)
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// More requests have come than threads wait for one.
    unattended: Condvar,
    most: usize,
}

impl Queue {
    /// Creates a queue for so many requests.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// Adds an event. `false`: too many requests wait, or the queue is closed.
    pub(crate) fn push(&self, event: Event) -> bool {
        let mut state = self.state.lock();
        if let Event::Request(_) = event {
            if state.closed || state.requests >= self.most {
                return false;
            }
            state.requests += 1;
        }
        let was_empty = state.events.is_empty();
        state.events.push_back(event);
        if state.waiting > 0 {
            self.filled.notify_one();
        }
        if state.events.len() > state.waiting {
            self.unattended.notify_one();
        }
        if was_empty {
            wake(&mut state);
        }
        true
    }

    /// Takes an event that is there.
    pub(crate) fn try_next(&self) -> Option<Event> {
        self.state.lock().pop()
    }

    /// Waits for an event. `None` after the timeout, or when the queue is closed and empty.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Event> {
        let mut state = self.state.lock();
        loop {
            if let Some(event) = state.pop() {
                return Some(event);
            }
            if state.closed {
                return None;
            }
            state.waiting += 1;
            let late = self.filled.wait_for(&mut state, timeout).timed_out();
            state.waiting -= 1;
            if late {
                return state.pop();
            }
        }
    }

    /// Takes up to `max` events, and the mark that the descriptor is readable if none is left.
    pub(crate) fn drain(&self, max: usize) -> Vec<Event> {
        let mut state = self.state.lock();
        let count = max.min(state.events.len());
        let events = std::iter::from_fn(|| state.pop()).take(count).collect();
        if state.events.is_empty()
            && let Some((reader, _)) = &mut state.wake
        {
            let mut bytes = [0; 64];
            while matches!(reader.read(&mut bytes), Ok(count) if count == bytes.len()) {}
        }
        events
    }

    /// Waits until no thread waits and for so long no request was taken though some wait, and returns how many do. 0: closed.
    pub(crate) fn wait_busy(&self, patience: Duration) -> usize {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return 0;
            }
            if state.events.len() <= state.waiting {
                self.unattended.wait(&mut state);
                continue;
            }
            let before = state.taken;
            drop(state);
            std::thread::sleep(patience);
            state = self.state.lock();
            if state.taken == before && state.events.len() > state.waiting {
                return state.events.len();
            }
        }
    }

    /// The descriptor that is readable while events wait.
    pub(crate) fn fileno(&self) -> io::Result<i32> {
        let mut state = self.state.lock();
        if state.wake.is_none() {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            state.wake = Some((reader, writer));
        }
        if !state.events.is_empty() {
            wake(&mut state);
        }
        Ok(state
            .wake
            .as_ref()
            .map_or(-1, |(reader, _)| reader.as_raw_fd()))
    }

    /// Takes no more requests, and ends all waits when those that are there were taken.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        wake(&mut state);
        drop(state);
        self.filled.notify_all();
        self.unattended.notify_all();
    }
}

fn wake(state: &mut State) {
    if let Some((_, writer)) = &mut state.wake {
        // A full descriptor is readable already.
        let _ = writer.write(&[1]);
    }
}
