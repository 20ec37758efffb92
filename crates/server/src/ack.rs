//! Acknowledgements: those we owe a client ([`Ack`](kokanee_handler::Ack)), and those that clients owe us.

use std::{
    collections::HashMap,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kokanee_engineio::SendOptions;
use kokanee_handler::{AckError, AckSink, EmitError, answer};
use kokanee_socketio::{AckId, Args, EncodedPacket};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::socket::Socket;

impl AckSink for Socket {
    fn namespace_name(&self) -> &str {
        self.namespace().name()
    }

    fn max_attachments(&self) -> usize {
        self.attachment_limit()
    }

    fn send_ack(&self, packet: EncodedPacket) -> Result<(), EmitError> {
        self.send_packet(packet, SendOptions::OWED)
    }
}

/// The acknowledgements that one socket owes us. Most sockets owe none, so the map is behind a pointer.
#[expect(clippy::box_collection, reason = "keeps the idle socket small")]
#[derive(Debug, Default)]
pub(crate) struct PendingAcks(Mutex<Option<Box<HashMap<AckId, Waiting>>>>);

#[derive(Debug)]
enum Waiting {
    Single(oneshot::Sender<Args>),
    Broadcast(Arc<Collector>),
}

impl PendingAcks {
    fn with<R>(&self, f: impl FnOnce(&mut Option<Box<HashMap<AckId, Waiting>>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers a wait. `false` if too many are pending.
    fn insert(&self, id: AckId, waiting: Waiting, max: usize) -> bool {
        self.with(|pending| {
            let pending = pending.get_or_insert_default();
            if pending.len() >= max {
                return false;
            }
            pending.insert(id, waiting);
            true
        })
    }

    fn remove(&self, id: AckId) -> Option<Waiting> {
        self.with(|pending| {
            let waiting = pending.as_mut()?.remove(&id);
            if pending.as_ref().is_some_and(|pending| pending.is_empty()) {
                *pending = None;
            }
            waiting
        })
    }

    /// The client's answer. Unknown and repeated ones are ignored.
    pub(crate) fn resolve(&self, id: AckId, args: Args) {
        match self.remove(id) {
            Some(Waiting::Single(sender)) => drop(sender.send(args)),
            Some(Waiting::Broadcast(collector)) => collector.add(Some(args)),
            None => {}
        }
    }

    /// The socket is gone: nobody will answer.
    pub(crate) fn fail_all(&self) {
        for (_, waiting) in self
            .with(Option::take)
            .into_iter()
            .flat_map(|pending| *pending)
        {
            if let Waiting::Broadcast(collector) = waiting {
                collector.add(None);
            }
        }
    }
}

/// Takes a pending wait back when its future is dropped or has timed out.
#[derive(Debug)]
struct Registration<'a> {
    socket: &'a Socket,
    id: AckId,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.socket.acks().remove(self.id);
    }
}

/// An event for one client that asks for an answer. Await it to send it; see [`Socket::emit_with_ack`].
#[derive(Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct EmitWithAck<T> {
    socket: Socket,
    id: AckId,
    packet: Result<EncodedPacket, EmitError>,
    timeout: Option<Duration>,
    answer: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> EmitWithAck<T> {
    pub(crate) fn new(socket: Socket, id: AckId, packet: Result<EncodedPacket, EmitError>) -> Self {
        Self {
            socket,
            id,
            packet,
            timeout: None,
            answer: std::marker::PhantomData,
        }
    }

    /// Sets how long to wait for the answer. Without it the wait ends with the answer or the connection; in a handler of the
    /// same client it ends after [`Limits::ack_timeout`](crate::Limits::ack_timeout), too.
    ///
    /// A handler that awaits holds up the later events of its socket, and with more than
    /// [`Limits::max_queued_events`](crate::Limits::max_queued_events) of them its client is not read from, the answer included:
    /// then the timeout is what ends it. [`Namespace::concurrent`](crate::Namespace::concurrent) and tasks of your own hold up
    /// nothing.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits for the raw arguments of the answer.
    ///
    /// # Errors
    /// [`AckError`], but never its `Decode` or `Remote`.
    pub async fn args(self) -> Result<Args, AckError> {
        let Self {
            socket,
            id,
            packet,
            timeout,
            ..
        } = self;
        let packet = packet?;
        let (sender, receiver) = oneshot::channel();
        let max = socket.namespace().limits().max_pending_acks;
        if !socket.acks().insert(id, Waiting::Single(sender), max) {
            return Err(AckError::TooManyPending { max });
        }
        let registration = Registration {
            socket: &socket,
            id,
        };
        socket.note_outgoing(&packet);
        socket.send_packet(packet, SendOptions::default())?;
        let in_handler = socket.mailbox().is_running_here();
        let default = in_handler.then(|| socket.namespace().limits().ack_timeout);
        let answer = match timeout.or(default) {
            None => receiver.await,
            Some(timeout) => tokio::time::timeout(timeout, receiver)
                .await
                .map_err(|_| AckError::Timeout)?,
        };
        drop(registration);
        answer.map_err(|_| AckError::Disconnected)
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for EmitWithAck<T> {
    type Output = Result<T, AckError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { answer(&self.args().await?) })
    }
}

/// Collects the answers to one broadcast.
#[derive(Debug)]
pub(crate) struct Collector {
    state: Mutex<Collected>,
    done: tokio::sync::Notify,
}

#[derive(Debug)]
struct Collected {
    /// `None` until everybody was asked.
    expected: Option<usize>,
    finished: usize,
    answers: Vec<Args>,
}

impl Collector {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(Collected {
                expected: None,
                finished: 0,
                answers: Vec::new(),
            }),
            done: tokio::sync::Notify::new(),
        })
    }

    fn update(&self, f: impl FnOnce(&mut Collected)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut state);
        if state.expected == Some(state.finished) {
            self.done.notify_one();
        }
    }

    /// An answer, or the end of a socket that will not answer.
    fn add(&self, answer: Option<Args>) {
        self.update(|state| {
            state.finished += 1;
            state.answers.extend(answer);
        });
    }

    /// Registers one recipient. `false` if it cannot take another wait.
    pub(crate) fn expect_from(self: &Arc<Self>, socket: &Socket, id: AckId) -> bool {
        let max = socket.namespace().limits().max_pending_acks;
        socket
            .acks()
            .insert(id, Waiting::Broadcast(Arc::clone(self)), max)
    }

    /// Waits for the answers of `recipients`, at most `timeout`. Returns them in the order of their arrival, and
    /// whether all of them came. Dropped before its end, it leaves nothing behind.
    pub(crate) async fn wait(
        &self,
        id: AckId,
        recipients: &[Socket],
        timeout: Duration,
    ) -> (Vec<Args>, bool) {
        self.update(|state| state.expected = Some(recipients.len()));
        let mut asked = Asked { id, recipients };
        if tokio::time::timeout(timeout, self.done.notified())
            .await
            .is_ok()
        {
            asked.recipients = &[];
        }
        drop(asked);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = std::mem::take(&mut state.answers);
        let complete = answers.len() == recipients.len();
        (answers, complete)
    }
}

/// Takes the pending waits of a broadcast back when it has timed out or is given up.
struct Asked<'a> {
    id: AckId,
    recipients: &'a [Socket],
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        for socket in self.recipients {
            socket.acks().remove(self.id);
        }
    }
}
