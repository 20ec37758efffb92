//! A socket: one connection in one namespace, as handlers see it.

use std::{
    any::{Any, TypeId},
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::poll_fn,
    str::FromStr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use kokanee_engineio::{SID_LENGTH, SendOptions, Str, Transport, encode_id, parse_id};
use kokanee_handler::{EmitError, Event, Handler, TypedArgs, caught};
use kokanee_socketio::{
    Args, Attachments, EncodeError, EncodedPacket, ParserKind, RawEvent, encode_event,
    encode_event_args, from_json, write_event, write_event_args,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    BroadcastOperator, Handshake, JoinError, Namespace, Server,
    ack::{EmitWithAck, PendingAcks},
    broadcast::IntoRooms,
    extract::{OnDisconnect, OnEvent},
    mailbox::{Command, Mailbox},
    namespace::{Handlers, Place, check_event},
    server::ServerInner,
};

/// The public id of a socket: 20 characters of `[A-Za-z0-9_-]`, unrelated to the session's secret id.
///
/// It is what the client calls `socket.id`, and a room of its own. It can be made from text and from an argument:
///
/// ```no_run
/// # use kokanee_server::{Data, Namespace, Server, SocketId};
/// # let io = Server::new();
/// io.on("whisper", async |io: Namespace, Data((to, text)): Data<(SocketId, String)>| {
///     io.to(to).emit("whisper", text).await
/// });
/// assert!("not an id".parse::<SocketId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId([u8; SID_LENGTH]);

impl SocketId {
    pub(crate) fn from_random(random: [u8; 15]) -> Self {
        Self(encode_id(random))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SocketId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not the id of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a socket")]
#[non_exhaustive]
pub struct InvalidSocketId;

impl FromStr for SocketId {
    type Err = InvalidSocketId;

    fn from_str(text: &str) -> Result<Self, InvalidSocketId> {
        parse_id(text).map(Self).ok_or(InvalidSocketId)
    }
}

impl AsRef<str> for SocketId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<SocketId> for String {
    fn from(id: SocketId) -> Self {
        id.as_str().to_owned()
    }
}

thread_local! {
    /// The sockets whose `on_any_outgoing` functions are being called.
    static OBSERVED: RefCell<Vec<SocketId>> = const { RefCell::new(Vec::new()) };
}

/// One connection in one namespace. A cheap handle; it may be kept after the connection has ended.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    id: SocketId,
    namespace: Namespace,
    /// How many the client takes in one packet, by its parser.
    max_attachments: usize,
    server: Arc<ServerInner>,
    mailbox: Arc<Mailbox>,
    auth: Option<Str>,
    place: OnceLock<Place>,
    state: AtomicU8,
    acks: PendingAcks,
    /// What of `extra` is looked for: bits of [`LISTENERS`], [`OUTGOING`] and [`OVER`]. Changed under its lock.
    listening: AtomicU8,
    /// What most sockets never need, in one allocation.
    extra: Mutex<Option<Box<Extra>>>,
}

#[derive(Default)]
struct Extra {
    extensions: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    listeners: Option<Arc<Handlers>>,
    outgoing: Vec<OutgoingHandler>,
    /// The rooms at the moment of disconnection, for `on_disconnect`.
    last_rooms: Vec<String>,
}

type OutgoingHandler = Arc<dyn Fn(&RawEvent) + Send + Sync>;

/// There are listeners of this socket alone,
const LISTENERS: u8 = 1;
/// and of what is sent to it;
const OUTGOING: u8 = 2;
/// its end was handled, and listeners would never be called.
const OVER: u8 = 4;

const JOINING: u8 = 0;
const CONNECTED: u8 = 1;
const DISCONNECTED: u8 = 2;

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.0.id)
            .field("namespace", &self.0.namespace.name())
            .finish()
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Socket {}

impl Socket {
    pub(crate) fn new(
        id: SocketId,
        namespace: Namespace,
        server: Arc<ServerInner>,
        mailbox: Arc<Mailbox>,
        auth: Option<Str>,
        parser: Option<ParserKind>,
    ) -> Self {
        let max_attachments = match parser {
            Some(ParserKind::Msgpack) => usize::MAX,
            _ => server.limits.max_outbound_attachments,
        };
        Self(Arc::new(Inner {
            id,
            namespace,
            max_attachments,
            server,
            mailbox,
            auth,
            place: OnceLock::new(),
            state: AtomicU8::new(JOINING),
            acks: PendingAcks::default(),
            listening: AtomicU8::new(0),
            extra: Mutex::new(None),
        }))
    }

    // Life cycle, called by the driver.

    /// Enters the namespace, not connected yet: broadcasts pass it by.
    pub(crate) fn enter(&self) {
        self.0.place.get_or_init(|| self.0.namespace.insert(self));
    }

    pub(crate) fn set_connected(&self) {
        self.0.state.store(CONNECTED, Ordering::Release);
    }

    /// Leaves the namespace and all rooms, and fails what waits for the client's answers. Does nothing the second time.
    /// Returns whether the socket was connected.
    pub(crate) fn exit(&self) -> bool {
        let before = self.0.state.swap(DISCONNECTED, Ordering::AcqRel);
        if before == DISCONNECTED {
            return false;
        }
        if let Some(place) = self.0.place.get() {
            let rooms = self.0.namespace.remove(*place);
            if !rooms.is_empty() {
                self.with_extra(|extra| extra.last_rooms = rooms);
            }
        }
        self.0.acks.fail_all();
        if before == JOINING {
            self.drop_listeners();
        }
        before == CONNECTED
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.0.mailbox
    }

    #[inline]
    pub(crate) fn attachment_limit(&self) -> usize {
        self.0.max_attachments
    }

    pub(crate) fn acks(&self) -> &PendingAcks {
        &self.0.acks
    }

    fn is_listening(&self, what: u8) -> bool {
        self.0.listening.load(Ordering::Acquire) & what != 0
    }

    /// The listeners of this socket alone.
    pub(crate) fn listeners(&self) -> Option<Arc<Handlers>> {
        if !self.is_listening(LISTENERS) {
            return None;
        }
        self.lock_extra().as_ref()?.listeners.clone()
    }

    /// The same for an event that has come: those for one event only are not there for the next.
    pub(crate) fn listeners_of(&self, event: &str) -> Option<Arc<Handlers>> {
        if !self.is_listening(LISTENERS) {
            return None;
        }
        let mut extra = self.lock_extra();
        let listeners = extra.as_mut()?.listeners.as_mut()?;
        let now = Arc::clone(listeners);
        if now.has_once(event) {
            Arc::make_mut(listeners).remove_once(event);
        }
        Some(now)
    }

    /// Adds a listener, unless none would be called any more: it may hold the socket, which would hold it for ever.
    fn listen(&self, what: u8, add: impl FnOnce(&mut Extra)) {
        // If it is not called, it is dropped without the lock: it holds what is the application's.
        let mut add = Some(add);
        self.with_extra(|extra| {
            if !self.is_listening(OVER)
                && let Some(add) = add.take()
            {
                add(extra);
                self.0.listening.fetch_or(what, Ordering::Release);
            }
        });
    }

    fn change_listeners(&self, change: impl FnOnce(&mut Handlers)) {
        self.listen(LISTENERS, |extra| {
            let listeners = extra
                .listeners
                .get_or_insert_with(|| Arc::new(Handlers::new()));
            change(Arc::make_mut(listeners));
        });
    }

    /// Whether somebody hears of the end of this socket.
    pub(crate) fn has_on_disconnect(&self) -> bool {
        !self.namespace().handlers().disconnect.is_empty()
            || self
                .listeners()
                .is_some_and(|own| !own.disconnect.is_empty())
    }

    /// Drops the listeners of this socket when all have been called: they may hold it.
    pub(crate) fn drop_listeners(&self) {
        let mut extra = self.lock_extra();
        self.0.listening.store(OVER, Ordering::Release);
        let dropped = extra.as_mut().map(|extra| {
            let outgoing = std::mem::take(&mut extra.outgoing);
            (extra.listeners.take(), outgoing)
        });
        drop(extra);
        // They are the application's, and may do anything.
        drop(dropped);
    }

    /// Whether somebody is told of what is sent to this socket.
    #[inline]
    pub(crate) fn observes_outgoing(&self) -> bool {
        self.is_listening(OUTGOING)
    }

    /// Tells of an event that is sent to this socket.
    #[inline]
    pub(crate) fn note_outgoing(&self, packet: &EncodedPacket) {
        if self.observes_outgoing() {
            self.tell_of_outgoing(packet);
        }
    }

    #[cold]
    fn tell_of_outgoing(&self, packet: &EncodedPacket) {
        // Of what these functions send to the socket themselves they do not hear, which would never end.
        if OBSERVED.with_borrow(|observed| observed.contains(&self.id())) {
            return;
        }
        let handlers = self
            .lock_extra()
            .as_ref()
            .map(|extra| extra.outgoing.clone());
        let Some(event) = packet.event() else { return };
        OBSERVED.with_borrow_mut(|observed| observed.push(self.id()));
        for handler in handlers.iter().flatten() {
            if let Err(panic) = caught(|| handler(&event)) {
                let (namespace, event) = (self.namespace().name(), event.name());
                tracing::error!(namespace, socket = %self.id(), event, panic, "an on_any_outgoing function panicked");
            }
        }
        OBSERVED.with_borrow_mut(Vec::pop);
    }

    fn lock_extra(&self) -> std::sync::MutexGuard<'_, Option<Box<Extra>>> {
        self.0.extra.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        f(self.lock_extra().get_or_insert_default())
    }

    // Facts.

    /// The public id.
    pub fn id(&self) -> SocketId {
        self.0.id
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The server.
    pub fn server(&self) -> Server {
        Server::from_inner(Arc::clone(&self.0.server))
    }

    /// How the client came.
    pub fn handshake(&self) -> Handshake {
        Handshake {
            socket: self.clone(),
        }
    }

    /// What the client sent with CONNECT as `auth`, in the type you expect. Absent auth is an empty object.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        from_json(self.0.auth.as_ref().map_or("{}", Str::as_str))
    }

    /// Returns the JSON text that the client sent with CONNECT as `auth`. For bindings to other languages.
    #[doc(hidden)]
    pub fn auth_json(&self) -> Option<&str> {
        self.0.auth.as_ref().map(Str::as_str)
    }

    /// Bytes that are kept of it.
    pub(crate) fn auth_bytes(&self) -> usize {
        self.0.auth.as_ref().map_or(0, Str::held_bytes)
    }

    /// Whether the socket is connected: accepted by the middlewares, and not gone.
    pub fn is_connected(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == CONNECTED
    }

    /// The transport that carries the connection now.
    pub fn transport(&self) -> Transport {
        self.0.mailbox.transport()
    }

    /// How many messages to this client were dropped, because it did not take them in time and
    /// [`Limits::overflow`](crate::Limits::overflow) says so. Those of all its namespaces together; 0 with the default
    /// policy, which disconnects instead.
    pub fn dropped(&self) -> u64 {
        self.0.mailbox.dropped()
    }

    /// The revision of Engine.IO that the client speaks.
    pub fn revision(&self) -> kokanee_engineio::Revision {
        self.0.mailbox.revision
    }

    // State of the application.

    /// Stores a value in the socket, one of each type; returns the one that was there.
    /// Handlers get it with the [`Extension`](crate::Extension) extractor.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let old =
            self.with_extra(|extra| extra.extensions.insert(TypeId::of::<T>(), Arc::new(value)));
        old.and_then(|old| old.downcast().ok())
    }

    /// The value of this type that was stored.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = Arc::clone(
            self.lock_extra()
                .as_ref()?
                .extensions
                .get(&TypeId::of::<T>())?,
        );
        value.downcast().ok()
    }

    // Events.

    #[inline]
    pub(crate) fn send_packet(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<(), EmitError> {
        if self.0.state.load(Ordering::Acquire) == DISCONNECTED {
            return Err(EmitError::Disconnected);
        }
        packet.check_attachments(self.0.max_attachments)?;
        self.0
            .mailbox
            .emit(packet, options)
            .map_err(|_gone| EmitError::Disconnected)
    }

    /// Sends a packet if there is room for it; otherwise returns it.
    pub(crate) fn try_send_packet(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<Option<EncodedPacket>, EmitError> {
        if self.0.state.load(Ordering::Acquire) == DISCONNECTED {
            return Err(EmitError::Disconnected);
        }
        packet.check_attachments(self.0.max_attachments)?;
        self.0
            .mailbox
            .try_emit(packet, options)
            .map_err(|_gone| EmitError::Disconnected)
    }

    /// Sends an event. A tuple is spread over several arguments, `()` is none, everything else is one;
    /// [`bytes::Bytes`] at any depth is sent as binary, at most
    /// [`Limits::max_outbound_attachments`](crate::Limits::max_outbound_attachments) of them.
    ///
    /// Waits while more than half of [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) is on its way to
    /// this client, or so much that the event would exceed the limit; an event that exceeds it alone waits until nothing is on
    /// its way. Cancel safe: dropped before it is ready, nothing was sent.
    ///
    /// The arguments are encoded when the future is polled for the first time, and then dropped. In a handler they must be
    /// `Send`.
    ///
    /// # Errors
    /// When the arguments cannot be encoded or the socket is disconnected.
    #[inline]
    pub fn emit<T: Serialize>(
        &self,
        event: &str,
        args: T,
    ) -> impl Future<Output = Result<(), EmitError>> {
        self.emit_with(event, args, SendOptions::default())
    }

    /// Sends a typed event.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: Event>(&self, event: &E) -> impl Future<Output = Result<(), EmitError>> {
        self.emit(E::NAME, event)
    }

    /// Sends an event with arguments as they were received.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    #[inline]
    pub async fn emit_args(&self, event: &str, args: &Args) -> Result<(), EmitError> {
        let options = SendOptions::default();
        let staged = self.stage(options, args.text_bytes(), |out| {
            write_event_args(out, self.0.namespace.name(), None, event, args)
        })?;
        match staged {
            None => Ok(()),
            Some(packet) => self.emit_encoded(packet, options).await,
        }
    }

    #[inline]
    async fn emit_with<T: Serialize>(
        &self,
        event: &str,
        args: T,
        options: SendOptions,
    ) -> Result<(), EmitError> {
        let staged = self.stage(options, 0, |out| {
            write_event(out, self.0.namespace.name(), None, event, &args)
        })?;
        drop(args);
        match staged {
            None => Ok(()),
            Some(packet) => self.emit_encoded(packet, options).await,
        }
    }

    /// Encodes an event whose text `write` appends, at least so many bytes. `None` says that it is on its way.
    #[inline]
    fn stage(
        &self,
        options: SendOptions,
        least_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, EncodeError>,
    ) -> Result<Option<EncodedPacket>, EmitError> {
        if self.0.state.load(Ordering::Acquire) == DISCONNECTED {
            return Err(EmitError::Disconnected);
        }
        if self.observes_outgoing() {
            let packet = EncodedPacket::build(write)?;
            self.tell_of_outgoing(&packet);
            return Ok(Some(packet));
        }
        Ok(self
            .0
            .mailbox
            .stage_or_encode(options, least_bytes, write)?)
    }

    /// Waits until there is room for an event, so that the next one leaves without waiting: no more than half of
    /// [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) is on its way. There always is when the socket is
    /// disconnected. Cancel safe.
    pub async fn writable(&self) {
        poll_fn(|cx| self.0.mailbox.poll_room(cx, 0)).await;
    }

    /// Sends a packet as soon as there is room for it.
    pub(crate) async fn emit_encoded(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<(), EmitError> {
        let mut packet = packet;
        loop {
            let bytes = packet.size_bytes();
            poll_fn(|cx| self.0.mailbox.poll_room(cx, bytes)).await;
            // Somebody else may have taken the room in between.
            match self.try_send_packet(packet, options)? {
                None => return Ok(()),
                Some(returned) => packet = returned,
            }
        }
    }

    /// Sends an event that the client does not get if it cannot take it at once.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_volatile<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        let packet = encode_event(self.0.namespace.name(), None, event, &args)?;
        self.note_outgoing(&packet);
        self.send_packet(
            packet,
            SendOptions {
                volatile: true,
                ..SendOptions::default()
            },
        )
    }

    /// Sends an event without waiting for room: beyond [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) the
    /// policy of [`Limits::overflow`](crate::Limits::overflow) applies, as to a broadcast. For bindings to other languages,
    /// whose `emit` never waits.
    ///
    /// # Errors
    /// When the socket is disconnected, or the event has more attachments than its client takes.
    #[doc(hidden)]
    pub fn send_args(&self, event: &str, args: &Args) -> Result<(), EmitError> {
        let packet = encode_event_args(self.0.namespace.name(), None, event, args)?;
        self.note_outgoing(&packet);
        self.send_packet(packet, SendOptions::default())
    }

    /// Sends an event that is never compressed.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_uncompressed<T: Serialize>(
        &self,
        event: &str,
        args: T,
    ) -> impl Future<Output = Result<(), EmitError>> {
        let options = SendOptions {
            compress: false,
            ..SendOptions::default()
        };
        self.emit_with(event, args, options)
    }

    /// Sends an event and waits for the client's answer: await what this returns, perhaps with a
    /// [`timeout`](EmitWithAck::timeout). The answer's first argument becomes `T`, or all of them if `T` is a tuple.
    ///
    /// ```no_run
    /// # async fn f(socket: kokanee_server::Socket) -> Result<(), kokanee_server::AckError> {
    /// use std::time::Duration;
    /// let name: String = socket.emit_with_ack("who are you?", ()).timeout(Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    pub fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: impl Serialize,
    ) -> EmitWithAck<T> {
        let id = self.0.namespace.next_ack_id();
        let packet = encode_event(self.0.namespace.name(), Some(id), event, &args);
        EmitWithAck::new(self.clone(), id, packet.map_err(EmitError::from))
    }

    /// Sends a typed event and waits for its answer, as [`emit_with_ack`](Self::emit_with_ack).
    pub fn emit_typed_with_ack<E: Event>(&self, event: &E) -> EmitWithAck<E::Ack> {
        self.emit_with_ack(E::NAME, event)
    }

    /// The same with arguments as they were received.
    pub fn emit_args_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: &Args,
    ) -> EmitWithAck<T> {
        let id = self.0.namespace.next_ack_id();
        let packet = encode_event_args(self.0.namespace.name(), Some(id), event, args);
        EmitWithAck::new(self.clone(), id, packet.map_err(EmitError::from))
    }

    /// Adds a listener to this socket alone, for state that a closure has captured. It runs after the namespace's
    /// handlers of the event.
    ///
    /// ```no_run
    /// # use kokanee_server::{Ack, Server, Socket};
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     let count = std::sync::atomic::AtomicU64::new(0);
    ///     socket.on("count", move |ack: Ack| {
    ///         let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ///         async move { ack.send(count) }
    ///     });
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`Namespace::on`]. In a handler that ends the handler, and is reported as its error.
    #[track_caller]
    pub fn on<Args, H: Handler<Args, OnEvent>>(&self, event: &str, handler: H) {
        check_event(event);
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.on(event, handler.erase()));
    }

    /// Adds a listener to this socket alone that is called for one event only.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn once<Args, H: Handler<Args, OnEvent>>(&self, event: &str, handler: H) {
        check_event(event);
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.once(event, handler.erase()));
    }

    /// Adds a listener of every event of this socket, whatever its name. It runs after [`Namespace::on_any`] and before the
    /// handlers of the event.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_any<Args, H: Handler<Args, OnEvent>>(&self, handler: H) {
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.any.push(handler.erase()));
    }

    /// Adds a handler of the end of this socket alone. It runs after those of [`Namespace::on_disconnect`], once; never if
    /// the socket has left before it is added.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_disconnect<Args, H: Handler<Args, OnDisconnect>>(&self, handler: H) {
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.disconnect.push(handler.erase()));
    }

    /// Adds a function that is called with every event that is sent to this socket, also by broadcasts and with
    /// acknowledgements. It must be quick. What it sends to this socket itself is sent, but it is not called with it; a panic
    /// in it is logged.
    pub fn on_any_outgoing(&self, handler: impl Fn(&RawEvent) + Send + Sync + 'static) {
        self.listen(OUTGOING, |extra| extra.outgoing.push(Arc::new(handler)));
    }

    /// Adds a listener of a typed event to this socket alone, as [`Namespace::on_typed`].
    ///
    /// # Panics
    /// As [`Namespace::on`].
    #[track_caller]
    pub fn on_typed<Args: TypedArgs, H: Handler<Args, OnEvent>>(&self, handler: H) {
        self.on(Args::Event::NAME, handler);
    }

    /// Removes this socket's own listeners of an event.
    pub fn off(&self, event: &str) {
        if self.is_listening(LISTENERS) {
            let mut removed = Vec::new();
            self.change_listeners(|listeners| removed = listeners.off(event));
            // Without the lock: they are the application's, and may do anything.
            drop(removed);
        }
    }

    // Rooms.

    /// Joins rooms.
    ///
    /// # Errors
    /// [`JoinError`] of the first room that cannot be joined; those before it are joined.
    pub fn join(&self, rooms: impl IntoRooms) -> Result<(), JoinError> {
        for room in rooms.into_rooms() {
            if room != self.0.id.as_str() && self.0.namespace.is_socket_id(&room) {
                return Err(JoinError::RoomOfSocket);
            }
            self.join_unchecked(&room)?;
        }
        Ok(())
    }

    /// Joins the room of another socket, and so gets what is sent to that socket alone.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_room_of(&self, other: SocketId) -> Result<(), JoinError> {
        self.join_unchecked(other.as_str())
    }

    fn join_unchecked(&self, room: &str) -> Result<(), JoinError> {
        let limits = self.0.namespace.limits();
        if room.len() > limits.max_room_bytes {
            return Err(JoinError::NameTooLong {
                size: room.len(),
                max: limits.max_room_bytes,
            });
        }
        if room == self.0.id.as_str() {
            return Ok(());
        }
        let place = *self.0.place.get().ok_or(JoinError::Disconnected)?;
        let joined = self.0.namespace.with_rooms_mut(place, |rooms, key| {
            // Checked under the lock: after `exit` the place may belong to another socket.
            if self.0.state.load(Ordering::Acquire) == DISCONNECTED {
                return Err(JoinError::Disconnected);
            }
            if rooms.room_count_of(key) >= limits.max_rooms && !rooms.is_in(key, room) {
                return Err(JoinError::TooManyRooms {
                    max: limits.max_rooms,
                });
            }
            rooms.join(key, room);
            Ok(())
        });
        joined.unwrap_or(Err(JoinError::Disconnected))
    }

    /// Leaves rooms. Those that it is not in are passed over.
    pub fn leave(&self, rooms: impl IntoRooms) {
        let Some(&place) = self.0.place.get() else {
            return;
        };
        self.0.namespace.with_rooms_mut(place, |all, key| {
            if self.0.state.load(Ordering::Acquire) != DISCONNECTED {
                for room in rooms.into_rooms() {
                    all.leave(key, &room);
                }
            }
        });
    }

    /// The rooms that it is in, but for its own. After disconnection, those it was in then.
    pub fn rooms(&self) -> Vec<String> {
        let current = self.0.place.get().and_then(|&place| {
            self.0.namespace.with_rooms(place, |rooms, key| {
                (self.0.state.load(Ordering::Acquire) != DISCONNECTED)
                    .then(|| rooms.rooms_of(key).map(str::to_owned).collect::<Vec<_>>())
            })
        });
        match current.flatten() {
            Some(rooms) => rooms,
            None => self
                .lock_extra()
                .as_ref()
                .map(|extra| extra.last_rooms.clone())
                .unwrap_or_default(),
        }
    }

    // Broadcasts, to others.

    /// Begins a broadcast to all other sockets of the namespace.
    pub fn broadcast(&self) -> BroadcastOperator {
        BroadcastOperator::new(self.0.namespace.clone()).except(self.0.id.as_str())
    }

    /// Begins a broadcast to the other sockets in these rooms.
    pub fn to(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.broadcast().to(rooms)
    }

    /// Same as [`to`](Self::to).
    #[doc(alias = "in")]
    pub fn within(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.to(rooms)
    }

    /// Begins a broadcast to the other sockets but for those in these rooms.
    pub fn except(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.broadcast().except(rooms)
    }

    // The end.

    /// Disconnects the socket from its namespace, when what waits has been sent. The client's connection and its other
    /// namespaces stay: what the JavaScript server calls `socket.disconnect()`.
    pub fn disconnect(&self) {
        self.end(Command::Disconnect { socket: self.0.id });
    }

    /// Disconnects the client from all its namespaces and closes the connection, when what waits has been sent: what the
    /// JavaScript server calls `socket.disconnect(true)`.
    pub fn close_connection(&self) {
        self.end(Command::Close { reason: None });
    }

    fn end(&self, command: Command) {
        // A session that is gone needs no goodbye.
        let _ = self.0.mailbox.send(command);
    }
}
