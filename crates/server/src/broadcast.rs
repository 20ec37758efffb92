//! Broadcasts: whom they are for, and how one encoded packet reaches all of them.

use std::{borrow::Cow, task::Poll, time::Duration};

use kokanee_cluster::Target;
use kokanee_engineio::SendOptions;
use kokanee_handler::{AckError, BoxError, EmitError, Event, IntoOutcome, answer};
use kokanee_socketio::{Args, EncodedPacket, ParserKind, encode_event, encode_event_args};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{ack::Collector, namespace::Namespace, socket::Socket, socket_id::SocketId};

/// Longest wait of a broadcast for the tasks of its recipients.
const MAX_WAIT_FOR_TASKS: Duration = Duration::from_millis(100);

/// Names of rooms: one, or several. A string, a [`SocketId`], or an array, slice or `Vec` of them.
///
/// ```no_run
/// # async fn f(io: kokanee_server::Server, socket: kokanee_server::Socket) -> Result<(), kokanee_server::EmitError> {
/// io.to("a room").emit("news", 1).await?;
/// io.to(["one", "two"]).emit("news", 2).await?;
/// io.to(&socket.rooms()).except(socket.id()).emit("news", 3).await?;
/// # Ok(()) }
/// ```
pub trait IntoRooms {
    /// The names.
    fn into_rooms(self) -> Vec<String>;
}

impl IntoRooms for &str {
    fn into_rooms(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl IntoRooms for String {
    fn into_rooms(self) -> Vec<String> {
        vec![self]
    }
}

impl IntoRooms for &String {
    fn into_rooms(self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl IntoRooms for Cow<'_, str> {
    fn into_rooms(self) -> Vec<String> {
        vec![self.into_owned()]
    }
}

impl IntoRooms for SocketId {
    fn into_rooms(self) -> Vec<String> {
        vec![self.into()]
    }
}

impl IntoRooms for &SocketId {
    fn into_rooms(self) -> Vec<String> {
        (*self).into_rooms()
    }
}

impl<R: Into<String>> IntoRooms for Vec<R> {
    fn into_rooms(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<R: Into<String>, const N: usize> IntoRooms for [R; N] {
    fn into_rooms(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<R: AsRef<str>> IntoRooms for &[R] {
    fn into_rooms(self) -> Vec<String> {
        self.iter().map(|room| room.as_ref().to_owned()).collect()
    }
}

impl<R: AsRef<str>> IntoRooms for &Vec<R> {
    fn into_rooms(self) -> Vec<String> {
        self.as_slice().into_rooms()
    }
}

impl<R: AsRef<str>, const N: usize> IntoRooms for &[R; N] {
    fn into_rooms(self) -> Vec<String> {
        self.as_slice().into_rooms()
    }
}

/// How many sockets a broadcast was for.
///
/// ```no_run
/// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
/// let recipients = io.to("admins").emit("alarm", "smoke").await?;
/// if recipients.count() == 0 {
///     println!("nobody is there");
/// }
/// # Ok(()) }
/// ```
///
/// A handler may end with a broadcast: it takes this for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recipients(usize);

impl Recipients {
    /// Returns the number of sockets that were connected and addressed. One that has gone in that moment, or that
    /// [`volatile`](BroadcastOperator::volatile) has passed by, counts, too.
    pub fn count(self) -> usize {
        self.0
    }
}

impl IntoOutcome for Recipients {
    fn into_outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The answers to a broadcast.
#[derive(Debug)]
#[non_exhaustive]
pub struct BroadcastAnswers<T> {
    /// The answers, in the order of their arrival.
    pub answers: Vec<T>,
    /// What is not among them: [`AckError::Remote`] of recipients that answered with an error, [`AckError::Decode`] for
    /// answers that do not fit `T`. In the order of their arrival, too.
    pub errors: Vec<AckError>,
    /// Whether every recipient has answered. If not, the rest went away or did not answer in time.
    pub complete: bool,
    /// How many sockets it was for.
    pub recipients: Recipients,
}

/// A recipient that has held up the others, as
/// [`emit_patiently_within`](BroadcastOperator::emit_patiently_within) tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeldUp {
    /// The recipient.
    pub socket: Socket,
    /// How long it was waited for while another one had the event.
    pub time: Duration,
    /// Whether it has got the event.
    pub is_delivered: bool,
}

/// A broadcast in the making: says whom it is for and how it is sent. Cheap to clone; every method returns a new value,
/// so that an operator can be used several times.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before emit"]
pub struct BroadcastOperator {
    namespace: Namespace,
    target: Target,
    options: SendOptions,
    timeout: Option<Duration>,
}

impl BroadcastOperator {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            target: Target::default(),
            options: SendOptions::default(),
            timeout: None,
        }
    }

    /// Adds rooms. A socket in any of them gets the event, once.
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        self.target.rooms.extend(rooms.into_rooms());
        self
    }

    /// Same as [`to`](Self::to).
    #[doc(alias = "in")]
    pub fn within(self, rooms: impl IntoRooms) -> Self {
        self.to(rooms)
    }

    /// Leaves out the sockets in these rooms. The id of a socket is a room, too.
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        self.target.except.extend(rooms.into_rooms());
        self
    }

    /// Stays on this node. A server without a cluster has no other, so it changes nothing there.
    pub fn local(self) -> Self {
        self
    }

    /// Passes by clients that cannot take the event at once.
    pub fn volatile(mut self) -> Self {
        self.options.volatile = true;
        self
    }

    /// Says whether the event may be compressed. Default true.
    pub fn compress(mut self, compress: bool) -> Self {
        self.options.compress = compress;
        self
    }

    /// Sets how long [`emit_with_ack`](Self::emit_with_ack) waits for the answers. Default
    /// [`Limits::ack_timeout`](crate::Limits::ack_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the event. It is encoded once, for all recipients.
    ///
    /// With more binary values than [`Limits::max_outbound_attachments`](crate::Limits::max_outbound_attachments) it is an
    /// error, and nobody gets it: always on a server with the default parser, on one with both parsers if one of the
    /// recipients uses the default one.
    ///
    /// Broadcasts of one task arrive in their order everywhere. A recipient for whom
    /// [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) wait already is disconnected as a slow consumer.
    ///
    /// # Errors
    /// When the arguments cannot be encoded or sent to all.
    pub async fn emit<T: Serialize>(self, event: &str, args: T) -> Result<Recipients, EmitError> {
        let packet = encode_event(self.namespace.name(), None, event, &args)?.shared();
        drop(args);
        self.deliver(&packet).await
    }

    /// Sends the event as [`emit`](Self::emit) does, but at the pace of the slowest recipient: each gets it when it has
    /// room, as with [`Socket::emit`], and this returns when the last has got it. One that takes nothing holds it up
    /// until it is disconnected, after [`Limits::write_timeout`](crate::Limits::write_timeout).
    ///
    /// For whoever reads from somewhere and can wait: nothing piles up, and nobody is disconnected for being slow, as long as
    /// an event is no longer than half of [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes). Not cancel
    /// safe: some recipients may have got it.
    ///
    /// # Errors
    /// When the arguments cannot be encoded.
    pub async fn emit_patiently<T: Serialize>(
        self,
        event: &str,
        args: T,
    ) -> Result<Recipients, EmitError> {
        let packet = encode_event(self.namespace.name(), None, event, &args)?.shared();
        drop(args);
        self.check(&packet)?;
        let options = self.options;
        let sockets = self.fetch_sockets().await;
        let emits = sockets.iter().map(|socket| {
            socket.note_outgoing(&packet);
            socket.emit_encoded(packet.clone(), options)
        });
        // A recipient that has gone meanwhile is no error.
        let _ = futures_util::future::join_all(emits).await;
        Ok(Recipients(sockets.len()))
    }

    /// Sends the event as [`emit_patiently`](Self::emit_patiently) does, but no recipient holds up the others for long.
    ///
    /// `patience` says for each recipient how long the others wait for it, from the time when the first of them has the
    /// event; `None` leaves it out. As long as nobody has it, all are waited for. Returns those who were waited for, and for
    /// how long: some have the event, the others have not.
    ///
    /// # Errors
    /// When the arguments cannot be encoded.
    pub async fn emit_patiently_within<T: Serialize>(
        self,
        event: &str,
        args: T,
        mut patience: impl FnMut(&Socket) -> Option<Duration>,
    ) -> Result<Vec<HeldUp>, EmitError> {
        let packet = encode_event(self.namespace.name(), None, event, &args)?.shared();
        drop(args);
        let options = self.options;
        let mut waiting = Vec::new();
        self.namespace.for_each(&self.target, |socket| {
            if let Some(patience) = patience(socket) {
                waiting.push((socket.clone(), patience));
            }
        });
        for (socket, _) in &waiting {
            socket.note_outgoing(&packet);
        }
        std::future::poll_fn(|cx| {
            let before = waiting.len();
            waiting.retain(|(socket, _)| {
                loop {
                    if socket
                        .mailbox()
                        .poll_room(cx, packet.size_bytes())
                        .is_pending()
                    {
                        break true;
                    }
                    // One that has gone meanwhile is not an error, and holds nobody up. Somebody else may have taken the room.
                    if !matches!(socket.try_send_packet(packet.clone(), options), Ok(Some(_))) {
                        break false;
                    }
                }
            });
            if waiting.len() < before || waiting.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let start = Instant::now();
        let late = waiting.into_iter().map(|(socket, patience)| {
            let packet = packet.clone();
            async move {
                let emit = socket.emit_encoded(packet, options);
                let is_delivered = tokio::time::timeout(patience, emit).await.is_ok();
                let time = start.elapsed();
                HeldUp {
                    socket,
                    time,
                    is_delivered,
                }
            }
        });
        Ok(futures_util::future::join_all(late).await)
    }

    /// Sends a typed event.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_typed<E: Event>(self, event: &E) -> Result<Recipients, EmitError> {
        self.emit(E::NAME, event).await
    }

    /// Sends an event with arguments as they were received.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_args(self, event: &str, args: &Args) -> Result<Recipients, EmitError> {
        let packet = encode_event_args(self.namespace.name(), None, event, args)?.shared();
        self.deliver(&packet).await
    }

    /// A packet that one of its recipients could not read is sent to nobody.
    fn check(&self, packet: &EncodedPacket) -> Result<(), EmitError> {
        let max = self.namespace.limits().max_outbound_attachments;
        let mut checked = packet.check_attachments(max);
        if checked.is_err() && self.namespace.parser() != ParserKind::Default {
            checked = Ok(());
            self.namespace.for_each(&self.target, |socket| {
                if let Err(error) = packet.check_attachments(socket.attachment_limit()) {
                    checked = Err(error);
                }
            });
        }
        Ok(checked?)
    }

    /// Queues the packet for every recipient. If the tasks of recipients are far behind, it waits until the last of them
    /// has run: a burst of broadcasts must not fill the queues of clients that would read it at once. It does not wait
    /// for clients.
    async fn deliver(&self, packet: &EncodedPacket) -> Result<Recipients, EmitError> {
        self.check(packet)?;
        let mut recipients = 0;
        let mut observed = Vec::new();
        let mut most = self.namespace.limits().max_outbound_bytes / 4;
        let mut fullest: Option<Socket> = None;
        self.namespace.for_each(&self.target, |socket| {
            recipients += 1;
            if socket.observes_outgoing() {
                observed.push(socket.clone());
            }
            // A recipient that has just gone is no error.
            let _ = socket.mailbox().emit(packet.clone(), self.options);
            let queued = socket.mailbox().queued_bytes();
            if queued > most {
                most = queued;
                fullest = Some(socket.clone());
            }
        });
        for socket in observed {
            socket.note_outgoing(packet);
        }
        if let Some(socket) = fullest {
            let taken = std::future::poll_fn(|cx| socket.mailbox().poll_taken(cx));
            // One whose thread is blocked by a handler must not hold up everybody.
            let _ = tokio::time::timeout(MAX_WAIT_FOR_TASKS, taken).await;
        }
        Ok(Recipients(recipients))
    }

    /// Sends an event and waits for the acknowledgements of all recipients: the first argument of each becomes a `T`,
    /// or all of them if `T` is a tuple. Without recipients it ends at once.
    ///
    /// When some do not answer in time or go away, the rest is returned, with `complete: false`; so it is when a socket
    /// is not asked because it owes [`Limits::max_pending_acks`](crate::Limits::max_pending_acks) answers already.
    ///
    /// # Errors
    /// When the event cannot be encoded or sent to all. What is wrong with an answer is in
    /// [`BroadcastAnswers::errors`].
    pub async fn emit_with_ack<T: DeserializeOwned>(
        self,
        event: &str,
        args: impl Serialize,
    ) -> Result<BroadcastAnswers<T>, AckError> {
        let id = self.namespace.next_ack_id();
        let packet = encode_event(self.namespace.name(), Some(id), event, &args)
            .map_err(EmitError::from)?
            .shared();
        drop(args);
        self.collect(id, packet).await
    }

    /// Sends a typed event and waits for the acknowledgements, as [`emit_with_ack`](Self::emit_with_ack).
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack).
    pub async fn emit_typed_with_ack<E: Event>(
        self,
        event: &E,
    ) -> Result<BroadcastAnswers<E::Ack>, AckError> {
        self.emit_with_ack(E::NAME, event).await
    }

    /// The same with arguments as they were received.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack).
    pub async fn emit_args_with_ack<T: DeserializeOwned>(
        self,
        event: &str,
        args: &Args,
    ) -> Result<BroadcastAnswers<T>, AckError> {
        let id = self.namespace.next_ack_id();
        let packet = encode_event_args(self.namespace.name(), Some(id), event, args)
            .map_err(EmitError::from)?
            .shared();
        self.collect(id, packet).await
    }

    async fn collect<T: DeserializeOwned>(
        self,
        id: kokanee_socketio::AckId,
        packet: EncodedPacket,
    ) -> Result<BroadcastAnswers<T>, AckError> {
        self.check(&packet)?;
        let collector = Collector::new();
        let mut recipients = Vec::new();
        let (mut count, mut all_asked) = (0, true);
        self.namespace.for_each(&self.target, |socket| {
            count += 1;
            if collector.expect_from(socket, id) {
                recipients.push(socket.clone());
            } else {
                all_asked = false;
            }
        });
        for socket in &recipients {
            socket.note_outgoing(&packet);
            if socket.send_packet(packet.clone(), self.options).is_err() {
                // It left in this moment, and its wait was ended by its own exit.
            }
        }
        let timeout = self
            .timeout
            .unwrap_or_else(|| self.namespace.limits().ack_timeout);
        let (received, complete) = collector.wait(id, &recipients, timeout).await;
        let (mut answers, mut errors) = (Vec::new(), Vec::new());
        for args in &received {
            match answer(args) {
                Ok(answer) => answers.push(answer),
                Err(error) => errors.push(error),
            }
        }
        Ok(BroadcastAnswers {
            answers,
            errors,
            complete: complete && all_asked,
            recipients: Recipients(count),
        })
    }

    /// The connected sockets that are addressed.
    #[expect(
        clippy::unused_async,
        reason = "with a cluster it asks the other nodes"
    )]
    pub async fn fetch_sockets(self) -> Vec<Socket> {
        let mut sockets = Vec::new();
        self.namespace
            .for_each(&self.target, |socket| sockets.push(socket.clone()));
        sockets
    }

    /// Puts the sockets in rooms, where their limits allow it.
    pub async fn sockets_join(self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        for socket in self.fetch_sockets().await {
            if let Err(error) = socket.join(rooms.as_slice()) {
                tracing::warn!(socket = %socket.id(), %error, "room not joined");
            }
        }
    }

    /// Takes the sockets out of rooms.
    pub async fn sockets_leave(self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        for socket in self.fetch_sockets().await {
            socket.leave(rooms.as_slice());
        }
    }

    /// Disconnects the sockets from the namespace; see [`Socket::disconnect`].
    pub async fn disconnect_sockets(self) {
        for socket in self.fetch_sockets().await {
            socket.disconnect();
        }
    }

    /// Closes the connections of the sockets, and so disconnects their clients from all namespaces; see
    /// [`Socket::close_connection`].
    pub async fn close_connections(self) {
        for socket in self.fetch_sockets().await {
            socket.close_connection();
        }
    }
}
