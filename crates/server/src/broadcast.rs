//! Broadcasts: who receives them, and how one encoded packet reaches all recipients.

use std::{borrow::Cow, task::Poll, time::Duration};

use kokanee_cluster::Target;
use kokanee_engineio::SendOptions;
use kokanee_handler::{AckError, BoxError, EmitError, Event, IntoOutcome, read_ack};
use kokanee_socketio::{Args, EncodedPacket, ParserKind, encode_event, encode_event_args};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    ack::Collector, namespace::Namespace, recovery::Recoverable, socket::Socket,
    socket_id::SocketId,
};

/// Longest wait of a broadcast for the tasks of its recipients.
const MAX_WAIT_FOR_TASKS: Duration = Duration::from_millis(100);

/// Names one or several rooms: a string, a [`SocketId`], or an array, slice or `Vec` of them.
///
/// ```no_run
/// # async fn f(io: kokanee_server::Server, socket: kokanee_server::Socket) -> Result<(), kokanee_server::EmitError> {
/// io.to("a room").emit("news", 1).await?;
/// io.to(["one", "two"]).emit("news", 2).await?;
/// io.to(&socket.rooms()).except(socket.id()).emit("news", 3).await?;
/// # Ok(()) }
/// ```
pub trait IntoRooms {
    /// Returns the names.
    ///
    /// ```
    /// use kokanee_server::IntoRooms;
    ///
    /// assert_eq!("lobby".into_rooms(), ["lobby"]);
    /// assert_eq!(vec!["one", "two"].into_rooms(), ["one", "two"]);
    /// ```
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

/// Counts the sockets that a broadcast was sent to.
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
/// A handler may end with a broadcast: as its return value, this means success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recipients(usize);

impl Recipients {
    /// Returns the number of sockets that were connected and addressed. It includes sockets that disconnected at that moment,
    /// and those that [`volatile`](BroadcastOperator::volatile) skipped.
    pub fn count(self) -> usize {
        self.0
    }
}

impl IntoOutcome for Recipients {
    fn into_outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Holds the answers to a broadcast; see [`BroadcastOperator::emit_with_ack`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BroadcastAnswers<T> {
    /// Holds the answers, in the order of their arrival.
    pub answers: Vec<T>,
    /// Holds [`AckError::Remote`] of recipients that answered with an error, and [`AckError::Decode`] for answers that do not
    /// fit `T`, in the order of their arrival.
    pub errors: Vec<AckError>,
    /// Says whether every recipient has answered. If not, the others disconnected or did not answer in time.
    pub complete: bool,
    /// Counts the sockets that it was sent to.
    pub recipients: Recipients,
}

/// Describes a recipient that delayed the others; see
/// [`emit_with_backpressure_within`](BroadcastOperator::emit_with_backpressure_within).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SlowRecipient {
    /// Holds the recipient.
    pub socket: Socket,
    /// Says how long the broadcast waited for it after the first recipient had the event.
    pub time: Duration,
    /// Says whether it received the event.
    pub is_delivered: bool,
}

/// Builds a broadcast: to whom it goes and how it is sent. Cheap to clone; every method returns a new value,
/// so an operator can be used several times.
///
/// ```
/// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
/// let players = io.to("game 7").except("spectators");
/// players.clone().emit("round", 1).await?;
/// players.clone().volatile().emit("tick", 16).await?;
/// players.sockets_leave("lobby").await;
/// # Ok(()) }
/// ```
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

    /// Adds rooms. A socket in any of them receives the event, once. Without rooms, all sockets of the namespace receive it.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// io.to("room 1").to("room 2").emit("news", "for both").await?;
    /// # Ok(()) }
    /// ```
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        self.target.rooms.extend(rooms.into_rooms());
        self
    }

    /// Does the same as [`to`](Self::to), like `in` in JavaScript, which is a keyword in Rust.
    #[doc(alias = "in")]
    pub fn within(self, rooms: impl IntoRooms) -> Self {
        self.to(rooms)
    }

    /// Excludes the sockets in these rooms. The id of a socket is a room, too.
    ///
    /// ```
    /// # use kokanee_server::{EmitError, Server, SocketId};
    /// # async fn f(io: Server, author: SocketId) -> Result<(), EmitError> {
    /// io.to("board").except("muted").except(author).emit("drawn", (1, 2)).await?;
    /// # Ok(()) }
    /// ```
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        self.target.except.extend(rooms.into_rooms());
        self
    }

    /// Limits the broadcast to this node. A server without a cluster has only one node, so this changes nothing there.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// io.local().emit("restart", "this node restarts in a minute").await?;
    /// # Ok(()) }
    /// ```
    pub fn local(self) -> Self {
        self
    }

    /// Skips clients that cannot take the event at once: while something is queued for them, or while a polling client has no
    /// request pending.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// // The next position follows in a moment; a late one is worth nothing.
    /// io.to("map").volatile().emit("position", (47.37, 8.54)).await?;
    /// # Ok(()) }
    /// ```
    pub fn volatile(mut self) -> Self {
        self.options.volatile = true;
        self
    }

    /// Sets whether the event may be compressed. Default true. Only responses to polling requests are compressed; see
    /// [`ServerBuilder::http_compression`](crate::ServerBuilder::http_compression).
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server, jpeg: bytes::Bytes) -> Result<(), kokanee_server::EmitError> {
    /// io.to("camera").compress(false).emit("frame", jpeg).await?;
    /// # Ok(()) }
    /// ```
    pub fn compress(mut self, compress: bool) -> Self {
        self.options.compress = compress;
        self
    }

    /// Sets how long [`emit_with_ack`](Self::emit_with_ack) waits for the answers. Default
    /// [`Limits::ack_timeout`](crate::Limits::ack_timeout).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::AckError> {
    /// let votes = io.timeout(Duration::from_secs(30)).emit_with_ack::<bool>("vote", "pizza?").await?;
    /// let (yes, all) = (votes.answers.iter().filter(|yes| **yes).count(), votes.recipients.count());
    /// println!("{yes} of {all}");
    /// # Ok(()) }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the event. It is encoded once, for all recipients; how arguments are written is described at [`Socket::emit`].
    ///
    /// ```
    /// # use kokanee_server::{EmitError, Server};
    /// # async fn f(io: Server) -> Result<(), EmitError> {
    /// match io.to("lobby").emit("move", ("e2", "e4")).await {
    ///     Ok(recipients) => println!("sent to {} sockets", recipients.count()),
    ///     Err(EmitError::Encode(error)) => println!("sent to nobody: {error}"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// With more binary values than [`Limits::max_outbound_attachments`](crate::Limits::max_outbound_attachments) it is an
    /// error, and nobody receives it: always on a server with the default parser, on one with both parsers if one of the
    /// recipients uses the default one.
    ///
    /// Broadcasts of one task arrive in the same order everywhere. A recipient for which
    /// [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) are queued already is disconnected as a slow consumer.
    ///
    /// # Errors
    /// [`EmitError::Encode`] if the arguments cannot be encoded, or not for all recipients.
    pub async fn emit<T: Serialize>(self, event: &str, args: T) -> Result<Recipients, EmitError> {
        let packet = encode_event(self.namespace.name(), None, event, &args)?.shared();
        drop(args);
        self.deliver(&packet).await
    }

    /// Sends the event as [`emit`](Self::emit) does, but at the pace of the slowest recipient: each receives it when it has
    /// room, as with [`Socket::emit`], and this returns when the last has received it. One that takes nothing delays it
    /// until it is disconnected, after [`Limits::write_timeout`](crate::Limits::write_timeout).
    ///
    /// For sources that can be read more slowly, such as a file: nothing piles up, and nobody is disconnected for being slow,
    /// as long as an event is no longer than half of [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes). Not
    /// cancel safe: some recipients may have received it.
    ///
    /// ```
    /// # use kokanee_server::{BoxError, Server};
    /// # async fn f(io: Server) -> Result<(), BoxError> {
    /// # use tokio::io::{AsyncBufReadExt, BufReader};
    /// let log = tokio::fs::File::open("server.log").await?;
    /// let mut lines = BufReader::new(log).lines();
    /// while let Some(line) = lines.next_line().await? {
    ///     io.to("watchers").emit_with_backpressure("line", line).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EmitError::Encode`] if the arguments cannot be encoded.
    pub async fn emit_with_backpressure<T: Serialize>(
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
        // A recipient that has disconnected in the meantime is not an error.
        let _ = futures_util::future::join_all(emits).await;
        Ok(Recipients(sockets.len()))
    }

    /// Sends the event as [`emit_with_backpressure`](Self::emit_with_backpressure) does, but no recipient delays the others for long.
    ///
    /// `timeout` is called with each recipient and returns how long the others wait for it after the first of them has the
    /// event; `None` excludes it. As long as nobody has the event, all are waited for. Returns the recipients that were
    /// waited for, and for how long: some have the event, the others do not.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// let timeout = |_: &kokanee_server::Socket| Some(Duration::from_millis(200));
    /// for late in io.to("watchers").emit_with_backpressure_within("line", "text", timeout).await? {
    ///     println!("{} took {:?}, has it: {}", late.socket.id(), late.time, late.is_delivered);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EmitError::Encode`] if the arguments cannot be encoded.
    pub async fn emit_with_backpressure_within<T: Serialize>(
        self,
        event: &str,
        args: T,
        mut timeout: impl FnMut(&Socket) -> Option<Duration>,
    ) -> Result<Vec<SlowRecipient>, EmitError> {
        let packet = encode_event(self.namespace.name(), None, event, &args)?.shared();
        drop(args);
        let mut waiting = Vec::new();
        self.namespace.for_each(&self.target, |socket| {
            if let Some(timeout) = timeout(socket) {
                waiting.push((socket.clone(), timeout));
            }
        });
        Ok(deliver_within(packet, self.options, waiting).await)
    }

    /// Sends a typed event; see [`Namespace::emit_typed`].
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_typed<E: Event>(self, event: &E) -> Result<Recipients, EmitError> {
        self.emit(E::NAME, event).await
    }

    /// Sends an event with arguments as they were received; see [`Namespace::emit_args`].
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_args(self, event: &str, args: &Args) -> Result<Recipients, EmitError> {
        let packet = encode_event_args(self.namespace.name(), None, event, args)?.shared();
        self.deliver(&packet).await
    }

    /// Fails if one of the recipients could not read the packet, so that it is sent to nobody.
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

    /// Queues the packet for every recipient. If the tasks of recipients are late, waits until the last of them has run: a
    /// burst of broadcasts must not fill the queues of clients that would read it at once. Does not wait for clients.
    async fn deliver(&self, packet: &EncodedPacket) -> Result<Recipients, EmitError> {
        self.check(packet)?;
        let mut recipients = 0;
        let mut observed = Vec::new();
        let mut most = self.namespace.limits().max_outbound_bytes / 4;
        let mut fullest: Option<Socket> = None;
        self.for_each_recipient(packet, |socket, packet| {
            recipients += 1;
            if socket.observes_outgoing() {
                observed.push(socket.clone());
            }
            // A recipient that has just disconnected is not an error.
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
            // A recipient whose thread is blocked by a handler must not delay all others.
            let _ = tokio::time::timeout(MAX_WAIT_FOR_TASKS, taken).await;
        }
        Ok(Recipients(recipients))
    }

    /// Calls `each` with every recipient of an event and the packet for it. If clients may come back, the event is stored.
    #[inline]
    fn for_each_recipient(
        &self,
        packet: &EncodedPacket,
        mut each: impl FnMut(&Socket, &EncodedPacket),
    ) {
        let (namespace, target) = (&self.namespace, &self.target);
        match namespace.recoveries() {
            None => namespace.for_each(target, |socket| each(socket, packet)),
            Some(recoveries) => {
                recoveries.broadcast(target, packet, self.options, |broadcast| {
                    namespace.for_each(target, |socket| {
                        each(socket, broadcast.packet_for(socket.recovering()));
                    });
                });
            }
        }
    }

    /// Sends an event and waits for the acknowledgements of all recipients: the first argument of each becomes a `T`,
    /// or all of them if `T` is a tuple. Without recipients it returns at once.
    ///
    /// ```
    /// # use kokanee_server::{AckError, Server};
    /// # async fn f(io: Server) -> Result<(), AckError> {
    /// let answers = io.to("sensors").emit_with_ack::<f64>("temperature?", ()).await?;
    /// for temperature in &answers.answers {
    ///     println!("{temperature:.1} °C");
    /// }
    /// for error in &answers.errors {
    ///     eprintln!("{error}");
    /// }
    /// if !answers.complete {
    ///     eprintln!("{} of {} have answered", answers.answers.len(), answers.recipients.count());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// When some do not answer in time or disconnect, the other answers are returned, with `complete: false`; so they are
    /// when a socket is not asked because it owes [`Limits::max_pending_acks`](crate::Limits::max_pending_acks) answers
    /// already.
    ///
    /// # Errors
    /// [`AckError::Emit`] if the event cannot be encoded or sent to all. Errors of single answers are in
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
    /// ```
    /// # use kokanee_server::{AckError, Event, Server};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Version {}
    /// # impl Event for Version { const NAME: &'static str = "version"; type Ack = String; }
    /// # async fn f(io: Server) -> Result<(), AckError> {
    /// // #[derive(Event, Serialize, Deserialize)] #[event(ack = String)] struct Version {}
    /// let versions: Vec<String> = io.to("agents").emit_typed_with_ack(&Version {}).await?.answers;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack).
    pub async fn emit_typed_with_ack<E: Event>(
        self,
        event: &E,
    ) -> Result<BroadcastAnswers<E::Ack>, AckError> {
        self.emit_with_ack(E::NAME, event).await
    }

    /// Sends an event with arguments as they were received and waits for the acknowledgements, as
    /// [`emit_with_ack`](Self::emit_with_ack).
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
                // It disconnected at this moment, and its exit has ended the wait.
            }
        }
        let timeout = self
            .timeout
            .unwrap_or_else(|| self.namespace.limits().ack_timeout);
        let (received, complete) = collector.wait(id, &recipients, timeout).await;
        let (mut answers, mut errors) = (Vec::new(), Vec::new());
        for args in &received {
            match read_ack(args) {
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

    /// Returns the connected sockets that the operator selects.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) {
    /// let in_room = io.to("room").except("muted").fetch_sockets().await;
    /// println!("{} may speak", in_room.len());
    /// # }
    /// ```
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

    /// Adds the selected sockets to rooms. A socket whose limits do not allow it is logged as a warning.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) {
    /// io.to("waiting").sockets_join("game 7").await;
    /// io.to("game 7").sockets_leave("waiting").await;
    /// # }
    /// ```
    pub async fn sockets_join(self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        for socket in self.fetch_sockets().await {
            if let Err(error) = socket.join(rooms.as_slice()) {
                tracing::warn!(socket = %socket.id(), %error, "room not joined");
            }
        }
    }

    /// Removes the selected sockets from rooms.
    pub async fn sockets_leave(self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        for socket in self.fetch_sockets().await {
            socket.leave(rooms.as_slice());
        }
    }

    /// Disconnects the selected sockets from the namespace; see [`Socket::disconnect`].
    ///
    /// ```
    /// # use kokanee_server::{Data, Namespace, Server, SocketId};
    /// # let io = Server::new();
    /// io.on("end game", async |io: Namespace, Data(host): Data<SocketId>| {
    ///     io.to("game").except(host).disconnect_sockets().await;
    /// });
    /// ```
    pub async fn disconnect_sockets(self) {
        for socket in self.fetch_sockets().await {
            socket.disconnect();
        }
    }

    /// Closes the connections of the selected sockets, and so disconnects their clients from all namespaces; see
    /// [`Socket::close_connection`].
    pub async fn close_connections(self) {
        for socket in self.fetch_sockets().await {
            socket.close_connection();
        }
    }
}

/// Delivers a packet as [`BroadcastOperator::emit_with_backpressure_within`] describes, which is generic and so calls this.
async fn deliver_within(
    packet: EncodedPacket,
    options: SendOptions,
    mut waiting: Vec<(Socket, Duration)>,
) -> Vec<SlowRecipient> {
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
                if !matches!(socket.try_send_event(packet.clone(), options), Ok(Some(_))) {
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
    let late = waiting.into_iter().map(|(socket, timeout)| {
        let packet = packet.clone();
        async move {
            let emit = socket.emit_encoded(packet, options);
            let is_delivered = tokio::time::timeout(timeout, emit).await.is_ok();
            let time = start.elapsed();
            SlowRecipient {
                socket,
                time,
                is_delivered,
            }
        }
    });
    futures_util::future::join_all(late).await
}
