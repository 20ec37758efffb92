//! Events as a stream, for code that pulls the next event instead of attaching a handler.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::Stream;
use kokanee_handler::Ack;
use kokanee_socketio::{ArgsError, RawEvent};
use serde::de::DeserializeOwned;

use crate::{hub::Command, socket::Socket};

/// The number of events, and their bytes, that wait for a reader before the client stops reading from the server.
const MAX_WAITING: usize = 256;
const MAX_WAITING_BYTES: usize = 8 << 20;
/// The factor for these limits while the socket waits for an acknowledgement, which can only be read after the events.
const FACTOR_AWAITING_ACK: usize = 16;

/// Holds an event of a stream: its name, its arguments, and what answers it.
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/server.md")]
/// # use kokanee_client::Client;
/// let socket = Client::builder(&url).build()?;
/// let mut events = socket.events();
/// socket.connect().await?;
/// if let Some(received) = events.next().await {
///     assert_eq!(received.name(), "welcome");
///     assert_eq!(received.data::<String>()?, "hello");
///     received.ack.send("thank you")?; // Does nothing if the server wants no answer.
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Received {
    /// The name and the arguments.
    pub event: RawEvent,
    /// Answers the event, if the server asked for an acknowledgement.
    pub ack: Ack,
}

impl Received {
    /// Returns the name of the event.
    pub fn name(&self) -> &str {
        self.event.name()
    }

    /// Decodes the arguments of the event: a tuple takes all of them, any other type the first.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::{ArgsError, Received};
    /// # fn example(received: &Received) -> Result<(), ArgsError> {
    /// let first: String = received.data()?;
    /// let (name, size): (String, u64) = received.data()?;
    /// let anything: kokanee_client::Value = received.data()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ArgsError`] if the arguments do not fit `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        self.event.args().deserialize()
    }

    fn weight(&self) -> usize {
        self.event.args().held_bytes()
    }
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Received>,
    bytes: usize,
    waker: Option<Waker>,
    ended: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.exceeds(1)
    }

    fn exceeds(&self, factor: usize) -> bool {
        !self.ended
            && (self.queue.len() >= factor * MAX_WAITING
                || self.bytes >= factor * MAX_WAITING_BYTES)
    }
}

/// The queue of one reader, which the connection's task fills.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscriber(Arc<Mutex<State>>);

impl Subscriber {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an event, and returns the waker of a reader that waits for it.
    #[must_use]
    pub(crate) fn push(&self, received: Received) -> Option<Waker> {
        self.with(|state| {
            if state.ended {
                return None;
            }
            state.bytes += received.weight();
            state.queue.push_back(received);
            state.waker.take()
        })
    }

    /// Whether so many events wait for the reader that the client must stop reading.
    pub(crate) fn is_behind(&self, awaits_ack: bool) -> bool {
        self.with(|state| state.exceeds(if awaits_ack { FACTOR_AWAITING_ACK } else { 1 }))
    }

    /// Wakes the reader, so that it checks the socket again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.with(|state| state.waker.take()) {
            waker.wake();
        }
    }

    /// Whether the reader still exists.
    pub(crate) fn is_alive(&self) -> bool {
        self.with(|state| !state.ended)
    }

    /// Ends the stream: no more events arrive.
    pub(crate) fn end(&self) {
        self.with(|state| state.ended = true);
        self.wake();
    }
}

/// Yields the events of a socket, those that [wait](Socket#early-events) first; see [`Socket::events`].
///
/// The stream continues over reconnections, and ends when the client is closed. It implements [`Stream`](futures_util::Stream),
/// too.
#[derive(Debug)]
pub struct Events {
    subscriber: Subscriber,
    socket: Socket,
}

impl Events {
    pub(crate) fn new(subscriber: Subscriber, socket: Socket) -> Self {
        Self { subscriber, socket }
    }

    /// Waits for the next event. Returns `None` after the client was closed. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::Socket;
    /// # async fn example(socket: &Socket, mut quit: tokio::sync::oneshot::Receiver<()>) {
    /// let mut events = socket.events();
    /// loop {
    ///     tokio::select! {
    ///         Some(received) = events.next() => println!("{}", received.name()),
    ///         _ = &mut quit => break,
    ///         else => break,
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Received> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let (was_full, kept) = self.subscriber.with(|state| {
            let was_full = state.is_full();
            state.ended = true;
            (was_full, std::mem::take(&mut state.queue))
        });
        drop(kept);
        self.socket.core().forget_readers();
        if was_full {
            // No events wait for this reader any more, so the client can read again. A closed client ignores the command.
            let _ = self.socket.core().hub.send(Command::Resume);
        }
    }
}

impl Stream for Events {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let (polled, was_full) = self.subscriber.with(|state| {
            let was_full = state.is_full();
            match state.queue.pop_front() {
                Some(received) => {
                    state.bytes -= received.weight();
                    (Poll::Ready(Some(received)), was_full)
                }
                None if state.ended => (Poll::Ready(None), false),
                None => {
                    state.waker = Some(cx.waker().clone());
                    (Poll::Pending, false)
                }
            }
        });
        if was_full {
            // The client can read again. A closed client ignores the command.
            let _ = self.socket.core().hub.send(Command::Resume);
        }
        polled
    }
}
