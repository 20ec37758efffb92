//! Acknowledgements: those that the server sends ([`Ack`](kokanee_handler::Ack)), and those that it waits for.

use std::{
    collections::HashMap,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kokanee_engineio::SendOptions;
use kokanee_handler::{AckError, AckSink, EmitError, read_ack};
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

/// The acknowledgements that the server waits for from one socket. Most sockets have none, so the map is allocated on demand.
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

    /// Registers a wait. Returns `false` if too many are pending.
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

    /// Ends a wait with the client's answer. Unknown and repeated answers are ignored.
    pub(crate) fn resolve(&self, id: AckId, args: Args) {
        match self.remove(id) {
            Some(Waiting::Single(sender)) => drop(sender.send(args)),
            Some(Waiting::Broadcast(collector)) => collector.add(Some(args)),
            None => {}
        }
    }

    /// Fails all waits, because the socket is disconnected.
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

/// Removes a pending wait when its future is dropped or has timed out.
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

/// Sends an event to one client and waits for the answer when it is awaited; see [`Socket::emit_with_ack`].
///
/// A wait ends with the answer, or with an [`AckError`] that says why there is none:
///
/// ```
/// # use std::time::Duration;
/// # use kokanee_server::{AckError, Socket};
/// # async fn f(socket: Socket) -> Result<(), AckError> {
/// match socket.emit_with_ack::<u32>("guess", ()).timeout(Duration::from_secs(5)).await {
///     Ok(number) => println!("{number}"),
///     Err(AckError::Timeout) => println!("too slow"),
///     Err(AckError::Disconnected) => println!("gone"),
///     Err(AckError::Remote(error)) => println!("the client refuses: {error}"),
///     Err(other) => return Err(other), // not sent, or an answer of another type
/// }
/// # Ok(()) }
/// ```
///
/// If it is dropped while it waits, the event was sent and the answer is ignored.
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
    /// same client it also ends after [`Limits::ack_timeout`](crate::Limits::ack_timeout).
    ///
    /// A handler that awaits delays the later events of its socket. After
    /// [`Limits::max_queued_events`](crate::Limits::max_queued_events) of them the server stops reading from the client, so
    /// the answer cannot arrive, and the timeout ends the wait. [`Namespace::concurrent`](crate::Namespace::concurrent)
    /// avoids that, and so does a task:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("start", async |socket: Socket| {
    ///     tokio::spawn(async move {
    ///         let question = socket.emit_with_ack::<String>("continue?", ()).timeout(Duration::from_secs(60));
    ///         println!("{:?}", question.await);
    ///     });
    /// });
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits for the raw arguments of the answer, without decoding them.
    ///
    /// ```
    /// # use kokanee_server::{AckError, Socket};
    /// # async fn f(socket: Socket) -> Result<(), AckError> {
    /// let args = socket.emit_with_ack::<()>("state", ()).args().await?;
    /// println!("{args:?}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`AckError`], but never its `Decode` or `Remote`: an answer that is an error is returned as it is.
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
        Box::pin(async move { read_ack(&self.args().await?) })
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
    /// `None` until all recipients were asked.
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

    /// Adds an answer, or `None` for a socket that has disconnected without one.
    fn add(&self, answer: Option<Args>) {
        self.update(|state| {
            state.finished += 1;
            state.answers.extend(answer);
        });
    }

    /// Registers one recipient. Returns `false` if too many waits are pending for it.
    pub(crate) fn expect_from(self: &Arc<Self>, socket: &Socket, id: AckId) -> bool {
        let max = socket.namespace().limits().max_pending_acks;
        socket
            .acks()
            .insert(id, Waiting::Broadcast(Arc::clone(self)), max)
    }

    /// Waits for the answers of `recipients`, at most `timeout`. Returns them in the order of their arrival, and whether all
    /// of them arrived. Cancel safe: if it is dropped, its waits are removed.
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

/// Removes the pending waits of a broadcast when it has timed out or is dropped.
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
