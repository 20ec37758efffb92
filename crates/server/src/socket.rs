//! A socket: one connection in one namespace, as handlers see it.

mod life;

use std::{
    any::TypeId,
    cell::RefCell,
    fmt,
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use kokanee_engineio::{Outgoing, RunText, SendOptions, Str, Transport};
use kokanee_handler::{EmitError, Event, Handler, TypedArgs, caught};
use kokanee_socketio::{
    Args, Attachments, EncodeError, EncodedPacket, ParserKind, RawEvent, encode_event,
    encode_event_args, from_json, write_event, write_event_args,
};
use parking_lot::{Mutex, MutexGuard};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use crate::{
    ack::{EmitWithAck, PendingAcks},
    broadcast::{BroadcastOperator, IntoRooms},
    error::JoinError,
    extract::{OnDisconnect, OnEvent},
    handshake::Handshake,
    inner::ServerInner,
    mailbox::{Command, Mailbox},
    namespace::{Handlers, Namespace, SocketKey, check_event},
    recovery::{Recoverable, Recovering, SocketData},
    server::Server,
    socket_id::SocketId,
};

thread_local! {
    /// The sockets whose `on_any_outgoing` listeners are being called.
    static OBSERVED: RefCell<Vec<SocketId>> = const { RefCell::new(Vec::new()) };
}

/// Represents one connection in one namespace. A cheap handle: clones are the same socket, and it may be kept after the
/// connection has ended.
///
/// ```
/// # use kokanee_server::{Server, Socket};
/// # let io = Server::new();
/// io.on("hello", async |socket: Socket| {
///     println!("{} says hello over {:?}", socket.id(), socket.transport());
///     socket.emit("welcome", "hello to you").await?; // to this client
///     socket.broadcast().emit("joined", socket.id()).await // to all others
/// });
/// ```
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    id: SocketId,
    namespace: Namespace,
    /// The most attachments that fit in one packet to the client, by its parser.
    max_attachments: usize,
    server: Arc<ServerInner>,
    mailbox: Arc<Mailbox>,
    auth: Option<Str>,
    key: OnceLock<SocketKey>,
    state: AtomicU8,
    acks: PendingAcks,
    /// `None` if its state is not kept when its connection is lost.
    recovering: Option<Box<Recovering>>,
    /// Which parts of `extra` are in use: bits of [`LISTENERS`], [`OUTGOING`] and [`OVER`]. Changed under the lock of `extra`.
    listening: AtomicU8,
    /// Rarely used state, in one allocation.
    extra: Mutex<Option<Box<Extra>>>,
}

#[derive(Default)]
struct Extra {
    extensions: SocketData,
    listeners: Option<Arc<Handlers>>,
    outgoing: Vec<OutgoingHandler>,
    /// The rooms at the moment of disconnection, for `on_disconnect`.
    last_rooms: Vec<String>,
    /// Dropped when the end of the socket was handled.
    ending: Vec<oneshot::Sender<()>>,
}

type OutgoingHandler = Arc<dyn Fn(&RawEvent) + Send + Sync>;

/// The socket has listeners of its own.
const LISTENERS: u8 = 1;
/// The socket has listeners of outgoing events.
const OUTGOING: u8 = 2;
/// The end of the socket was handled: a listener that is added now would never be called.
const OVER: u8 = 4;

const JOINING: u8 = 0;
const CONNECTED: u8 = 1;
const DISCONNECTED: u8 = 2;
/// Another connection of the client has taken its place, and its session does not know that yet.
const REPLACED: u8 = 3;

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
        recovering: Option<Recovering>,
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
            key: OnceLock::new(),
            state: AtomicU8::new(JOINING),
            acks: PendingAcks::default(),
            recovering: recovering.map(Box::new),
            listening: AtomicU8::new(0),
            extra: Mutex::new(None),
        }))
    }

    pub(crate) fn has_gone(&self) -> bool {
        self.0.state.load(Ordering::Acquire) >= DISCONNECTED
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

    /// Returns the listeners of this socket alone.
    pub(crate) fn listeners(&self) -> Option<Arc<Handlers>> {
        if !self.is_listening(LISTENERS) {
            return None;
        }
        self.lock_extra().as_ref()?.listeners.clone()
    }

    /// Does the same for an event that has arrived, and removes the listeners that are for one event only.
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

    /// Adds a listener, unless the end of the socket was handled: listeners may hold the socket, and a listener that is never
    /// dropped would keep it in memory.
    fn listen(&self, what: u8, add: impl FnOnce(&mut Extra)) {
        // If it is not called, it is dropped without the lock: dropping it runs code of the application.
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

    /// Returns whether there are disconnect handlers for this socket.
    pub(crate) fn has_on_disconnect(&self) -> bool {
        !self.namespace().handlers().disconnect.is_empty()
            || self
                .listeners()
                .is_some_and(|own| !own.disconnect.is_empty())
    }

    /// Drops the listeners of this socket after its end was handled: they may hold the socket.
    pub(crate) fn drop_listeners(&self) {
        let mut extra = self.lock_extra();
        self.0.listening.store(OVER, Ordering::Release);
        let dropped = extra.as_mut().map(|extra| {
            let outgoing = std::mem::take(&mut extra.outgoing);
            let ending = std::mem::take(&mut extra.ending);
            (extra.listeners.take(), outgoing, ending)
        });
        drop(extra);
        // Without the lock: dropping them runs code of the application.
        drop(dropped);
    }

    /// Returns whether there are listeners of outgoing events.
    #[inline]
    pub(crate) fn observes_outgoing(&self) -> bool {
        self.is_listening(OUTGOING)
    }

    /// Calls the listeners of outgoing events.
    #[inline]
    pub(crate) fn note_outgoing(&self, packet: &EncodedPacket) {
        if self.observes_outgoing() {
            self.tell_of_outgoing(packet);
        }
    }

    #[cold]
    fn tell_of_outgoing(&self, packet: &EncodedPacket) {
        // Listeners are not called for events that they send to the socket themselves: that would never end.
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

    fn lock_extra(&self) -> MutexGuard<'_, Option<Box<Extra>>> {
        self.0.extra.lock()
    }

    fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        f(self.lock_extra().get_or_insert_default())
    }

    // Properties.

    /// Returns the public id.
    pub fn id(&self) -> SocketId {
        self.0.id
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Returns the server.
    pub fn server(&self) -> Server {
        Server::from_inner(Arc::clone(&self.0.server))
    }

    /// Returns the first HTTP request of the client's session: address, headers, query, cookies.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     let handshake = socket.handshake();
    ///     println!("{} comes from {:?}, page {:?}", socket.id(), handshake.address(), handshake.header("referer"));
    /// });
    /// ```
    pub fn handshake(&self) -> Handshake {
        Handshake {
            socket: self.clone(),
        }
    }

    /// Returns the `auth` that the client sent with CONNECT, deserialized to `T`. If the client sent none, it is an empty
    /// object. Handlers get it with the [`Auth`](crate::Auth) extractor, too.
    ///
    /// ```
    /// # use kokanee_server::{BoxError, Server, Socket};
    /// # let io = Server::new();
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String }
    ///
    /// io.on_connect(async |socket: Socket| {
    ///     let login: Login = socket.auth()?;
    ///     println!("{} has the token {}", socket.id(), login.token);
    ///     Ok::<_, BoxError>(())
    /// });
    /// ```
    ///
    /// # Errors
    /// When `auth` does not fit `T`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        from_json(self.0.auth.as_ref().map_or("{}", Str::as_str))
    }

    /// Returns the JSON text that the client sent with CONNECT as `auth`. For bindings to other languages.
    #[doc(hidden)]
    pub fn auth_json(&self) -> Option<&str> {
        self.0.auth.as_ref().map(Str::as_str)
    }

    /// Returns the memory that `auth` takes, in bytes.
    pub(crate) fn auth_bytes(&self) -> usize {
        self.0.auth.as_ref().map_or(0, Str::held_bytes)
    }

    /// Returns whether the socket is connected: accepted by the middlewares, and not disconnected.
    pub fn is_connected(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == CONNECTED
    }

    /// Returns the transport that carries the connection now. It changes when a polling client upgrades to a WebSocket.
    pub fn transport(&self) -> Transport {
        self.0.mailbox.transport()
    }

    /// Returns how many messages to this client were dropped because it did not take them in time. Always 0 with the default
    /// [`Limits::overflow`](crate::Limits::overflow), which disconnects such a client instead.
    ///
    /// The count covers all namespaces of the connection.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("statistics", async |socket: Socket| {
    ///     socket.emit("statistics", ("dropped", socket.dropped())).await
    /// });
    /// ```
    pub fn dropped(&self) -> u64 {
        self.0.mailbox.dropped()
    }

    /// Returns the Engine.IO revision of the client: 4, or 3 for old clients that
    /// [`allow_eio3`](crate::ServerBuilder::allow_eio3) admits.
    pub fn revision(&self) -> kokanee_engineio::Revision {
        self.0.mailbox.revision
    }

    /// Returns whether this is a socket that the client had before and whose connection was lost: it has the same id, rooms
    /// and data as then, and the client gets what it has missed. Always false without
    /// [`ServerBuilder::recovery`](crate::ServerBuilder::recovery).
    ///
    /// ```
    /// # use kokanee_server::{BoxError, Server, Socket};
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     if !socket.recovered() {
    ///         socket.join("lobby")?;
    ///         socket.emit("everything", "that a new client needs").await?;
    ///     }
    ///     Ok::<_, BoxError>(())
    /// });
    /// ```
    pub fn recovered(&self) -> bool {
        self.recovering().is_some_and(Recovering::is_recovered)
    }

    // State of the application.

    /// Stores a value in the socket, one of each type, and returns the value that it replaces. Handlers get it with the
    /// [`Extension`](crate::Extension) extractor.
    ///
    /// ```
    /// # use kokanee_server::{Data, Extension, Server, Socket};
    /// # let io = Server::new();
    /// struct Name(String);
    ///
    /// io.on("name", async |socket: Socket, Data(name): Data<String>| {
    ///     socket.insert(Name(name));
    /// });
    /// io.on("chat", async |socket: Socket, name: Extension<Name>, Data(text): Data<String>| {
    ///     socket.broadcast().emit("chat", (&name.0.0, text)).await
    /// });
    /// ```
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let old =
            self.with_extra(|extra| extra.extensions.insert(TypeId::of::<T>(), Arc::new(value)));
        old.and_then(|old| old.downcast().ok())
    }

    /// Returns the value of this type that [`insert`](Self::insert) stored.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// # use kokanee_server::{DisconnectReason, Server, Socket};
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| { socket.insert(AtomicU32::new(0)); });
    /// io.on_any(async |socket: Socket| {
    ///     if let Some(events) = socket.extension::<AtomicU32>() {
    ///         events.fetch_add(1, Ordering::Relaxed);
    ///     }
    /// });
    /// ```
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
        if self.has_gone() {
            return Err(EmitError::Disconnected);
        }
        packet.check_attachments(self.0.max_attachments)?;
        self.0
            .mailbox
            .emit(packet, options)
            .map_err(|_gone| EmitError::Disconnected)
    }

    /// Sends an event without acknowledgement; if there is no room, the policy for slow clients is applied.
    fn send_event(&self, packet: EncodedPacket, options: SendOptions) -> Result<(), EmitError> {
        let sent = self.send_recoverably(packet, options, |packet| {
            self.send_packet(packet, options).map(|()| None)
        });
        sent.map(drop)
    }

    /// Sends an event without acknowledgement if there is room for it; otherwise returns the packet.
    pub(crate) fn try_send_event(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<Option<EncodedPacket>, EmitError> {
        self.send_recoverably(packet, options, |packet| {
            self.try_send_packet(packet, options)
        })
    }

    fn try_send_packet(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<Option<EncodedPacket>, EmitError> {
        if self.has_gone() {
            return Err(EmitError::Disconnected);
        }
        packet.check_attachments(self.0.max_attachments)?;
        self.0
            .mailbox
            .try_emit(packet, options)
            .map_err(|_gone| EmitError::Disconnected)
    }

    /// Sends an event to this client.
    ///
    /// A tuple becomes several arguments, `()` none, everything else one. [`bytes::Bytes`] at any depth is sent as binary; at
    /// most [`Limits::max_outbound_attachments`](crate::Limits::max_outbound_attachments) of them fit in one event.
    ///
    /// ```
    /// # use kokanee_server::{BoxError, Socket};
    /// # async fn f(socket: Socket) -> Result<(), BoxError> {
    /// socket.emit("refresh", ()).await?; // no argument
    /// socket.emit("news", "text").await?; // one argument
    /// socket.emit("move", (3, 4)).await?; // two arguments
    /// socket.emit("point", serde_json::json!({ "x": 3, "y": 4 })).await?; // one argument, an object
    /// socket.emit("image", ("cat.png", bytes::Bytes::from_static(b"\x89PNG"))).await?; // text and binary
    /// # Ok(()) }
    /// ```
    ///
    /// Waits while more than half of [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) is queued for this
    /// client, or so much that the event would exceed the limit. An event that is larger than the limit waits until
    /// nothing else is queued. Cancel safe: if the future is dropped before it is ready, nothing was sent.
    ///
    /// The arguments are encoded when the future is polled for the first time, and dropped after that. In a handler they must
    /// be `Send`.
    ///
    /// # Errors
    /// [`EmitError::Encode`] if the arguments cannot be encoded, [`EmitError::Disconnected`] if the socket is disconnected.
    #[inline]
    pub fn emit<T: Serialize>(
        &self,
        event: &str,
        args: T,
    ) -> impl Future<Output = Result<(), EmitError>> {
        self.emit_with(event, args, SendOptions::default())
    }

    /// Sends a typed event to this client. Its type says the name and the arguments.
    ///
    /// ```
    /// # use kokanee_server::{EmitError, Event, Socket};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Moved { x: i32, y: i32 }
    /// # impl Event for Moved { const NAME: &'static str = "moved"; type Ack = (); }
    /// # async fn f(socket: Socket) -> Result<(), EmitError> {
    /// // #[derive(Event, Serialize, Deserialize)] struct Moved { x: i32, y: i32 }
    /// socket.emit_typed(&Moved { x: 3, y: 4 }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: Event>(&self, event: &E) -> impl Future<Output = Result<(), EmitError>> {
        self.emit(E::NAME, event)
    }

    /// Sends an event with arguments as they were received, without decoding them. For relays.
    ///
    /// ```
    /// # use kokanee_server::{Args, Server, Socket};
    /// # let io = Server::new();
    /// io.on("echo", async |socket: Socket, args: Args| socket.emit_args("echo", &args).await);
    /// ```
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

    /// Encodes an event whose text `write` appends, at least `least_bytes` long. Returns `None` if the event is sent already.
    #[inline]
    fn stage(
        &self,
        options: SendOptions,
        least_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, EncodeError>,
    ) -> Result<Option<EncodedPacket>, EmitError> {
        let has_gone = self.has_gone();
        if has_gone && self.recovering().is_none() {
            return Err(EmitError::Disconnected);
        }
        if has_gone || self.observes_outgoing() {
            let packet = EncodedPacket::build(write)?;
            self.note_outgoing(&packet);
            return Ok(Some(packet));
        }
        let (mailbox, seal) = (&self.0.mailbox, |text: &mut RunText<'_>| self.seal(text));
        Ok(mailbox.stage_or_encode(options, least_bytes, write, seal)?)
    }

    /// Waits until at most half of [`Limits::max_outbound_bytes`](crate::Limits::max_outbound_bytes) is queued for this
    /// client, so that the next event is sent without waiting. Returns at once when the socket is disconnected. Cancel safe.
    ///
    /// For a source whose values grow old: wait first, then ask for the newest one.
    ///
    /// ```
    /// # use kokanee_server::{EmitError, Socket};
    /// # async fn latest_price() -> f64 { 1.0 }
    /// # async fn f(socket: Socket) -> Result<(), EmitError> {
    /// loop {
    ///     socket.writable().await;
    ///     socket.emit("price", latest_price().await).await?;
    /// }
    /// # }
    /// ```
    pub async fn writable(&self) {
        poll_fn(|cx| self.0.mailbox.poll_room(cx, 0)).await;
    }

    /// Waits for room and sends a packet.
    pub(crate) async fn emit_encoded(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<(), EmitError> {
        let mut packet = packet;
        loop {
            let bytes = packet.size_bytes();
            poll_fn(|cx| self.0.mailbox.poll_room(cx, bytes)).await;
            // Another sender may have taken the room in the meantime.
            match self.try_send_event(packet, options)? {
                None => return Ok(()),
                Some(returned) => packet = returned,
            }
        }
    }

    /// Sends an event that is dropped if the client cannot take it at once: while something is queued for it, or while a
    /// polling client has no request pending. Does not wait.
    ///
    /// ```
    /// # use kokanee_server::{Data, Server, Socket};
    /// # let io = Server::new();
    /// // The next position follows soon; a late one is worth nothing.
    /// io.on("position?", async |socket: Socket| socket.emit_volatile("position", (3.5, 4.5)));
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit). An event that is dropped is not an error.
    pub fn emit_volatile<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        let packet = encode_event(self.0.namespace.name(), None, event, &args)?;
        self.note_outgoing(&packet);
        self.send_event(
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
        self.send_event(packet, SendOptions::default())
    }

    /// Sends a message as it is, on a server with [`raw_messages`](crate::ServerBuilder::raw_messages).
    ///
    /// # Errors
    /// When the socket is disconnected.
    #[doc(hidden)]
    pub fn send_message(&self, message: Outgoing) -> Result<(), EmitError> {
        self.send_packet(EncodedPacket::from_message(message), SendOptions::default())
    }

    /// Sends an event that is never compressed. For arguments that are compressed already.
    ///
    /// ```
    /// # async fn f(socket: kokanee_server::Socket, jpeg: bytes::Bytes) -> Result<(), kokanee_server::EmitError> {
    /// socket.emit_uncompressed("photo", jpeg).await?;
    /// # Ok(()) }
    /// ```
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
    ///
    /// Nothing is sent until it is awaited. The arguments are encoded by this call.
    pub fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: impl Serialize,
    ) -> EmitWithAck<T> {
        let id = self.0.namespace.next_ack_id();
        let packet = encode_event(self.0.namespace.name(), Some(id), event, &args);
        EmitWithAck::new(self.clone(), id, packet.map_err(EmitError::from))
    }

    /// Sends a typed event and waits for its answer, whose type belongs to the event. See
    /// [`emit_with_ack`](Self::emit_with_ack).
    ///
    /// ```
    /// # use kokanee_server::{AckError, Event, Socket};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Sum(i64, i64);
    /// # impl Event for Sum { const NAME: &'static str = "sum"; type Ack = i64; }
    /// # async fn f(socket: Socket) -> Result<(), AckError> {
    /// // #[derive(Event, Serialize, Deserialize)] #[event(ack = i64)] struct Sum(i64, i64);
    /// let sum = socket.emit_typed_with_ack(&Sum(20, 22)).await?;
    /// assert_eq!(sum, 42_i64);
    /// # Ok(()) }
    /// ```
    pub fn emit_typed_with_ack<E: Event>(&self, event: &E) -> EmitWithAck<E::Ack> {
        self.emit_with_ack(E::NAME, event)
    }

    /// Sends an event with arguments as they were received and waits for the answer; see
    /// [`emit_with_ack`](Self::emit_with_ack).
    ///
    /// ```
    /// # use kokanee_server::{Ack, Args, BoxError, Data, Namespace, Server, SocketId};
    /// # let io = Server::new();
    /// // Relays a question from one client to another, and the answer back.
    /// io.on("ask", async |io: Namespace, Data((to,)): Data<(SocketId,)>, args: Args, ack: Ack| {
    ///     let other = io.socket(to).ok_or("no such socket")?;
    ///     let answer = other.emit_args_with_ack::<serde_json::Value>("ask", &args).args().await?;
    ///     Ok::<_, BoxError>(ack.send_args(&answer)?)
    /// });
    /// ```
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
    /// As [`Namespace::on`]. In a handler the panic ends the handler, and is reported as its error.
    #[track_caller]
    pub fn on<Args, H: Handler<Args, OnEvent>>(&self, event: &str, handler: H) {
        check_event(event);
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.on(event, handler.erase()));
    }

    /// Adds a listener to this socket alone that is called for one event only, and removed before it runs.
    ///
    /// ```
    /// # use kokanee_server::{Data, Server, Socket};
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     socket.once("name", async |socket: Socket, Data(name): Data<String>| socket.join(name));
    /// });
    /// ```
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
    /// ```
    /// # use kokanee_server::{RawEvent, Server, Socket};
    /// # let io = Server::new();
    /// io.on("trace me", async |socket: Socket| {
    ///     socket.on_any(async |socket: Socket, event: RawEvent| println!("{}: {}", socket.id(), event.name()));
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_any<Args, H: Handler<Args, OnEvent>>(&self, handler: H) {
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.any.push(handler.erase()));
    }

    /// Adds a disconnect handler to this socket alone. It runs once, after those of [`Namespace::on_disconnect`]; never if the
    /// socket is disconnected before it is added.
    ///
    /// ```
    /// # use kokanee_server::{DisconnectReason, Server, Socket};
    /// # let io = Server::new();
    /// io.on("open file", async |socket: Socket| {
    ///     let file = "a file that only this client has opened";
    ///     socket.on_disconnect(move |reason: DisconnectReason| async move { println!("closing {file}: {reason}") });
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_disconnect<Args, H: Handler<Args, OnDisconnect>>(&self, handler: H) {
        self.0.namespace.check(&H::needs());
        self.change_listeners(|listeners| listeners.disconnect.push(handler.erase()));
    }

    /// Adds a listener called with every outgoing event before it is sent, those of broadcasts and those that ask for an
    /// acknowledgement included. It must not block.
    ///
    /// Events that the listener itself sends to this socket do not call it again. A panic in it is logged.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     let id = socket.id();
    ///     socket.on_any_outgoing(move |event| println!("to {id}: {} {:?}", event.name(), event.args()));
    /// });
    /// ```
    pub fn on_any_outgoing(&self, handler: impl Fn(&RawEvent) + Send + Sync + 'static) {
        self.listen(OUTGOING, |extra| extra.outgoing.push(Arc::new(handler)));
    }

    /// Adds a listener of a typed event to this socket alone, as [`Namespace::on_typed`] does for all sockets.
    ///
    /// ```
    /// # use kokanee_server::{Event, Server, Socket, Typed, TypedAck};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Sum(i64, i64);
    /// # impl Event for Sum { const NAME: &'static str = "sum"; type Ack = i64; }
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     socket.on_typed(async |Typed(Sum(a, b)): Typed<Sum>, ack: TypedAck<Sum>| ack.send(a + b));
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`Namespace::on`].
    #[track_caller]
    pub fn on_typed<Args: TypedArgs, H: Handler<Args, OnEvent>>(&self, handler: H) {
        self.on(Args::Event::NAME, handler);
    }

    /// Removes this socket's own listeners of an event. Handlers of the namespace stay.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("stop", async |socket: Socket| socket.off("count"));
    /// ```
    pub fn off(&self, event: &str) {
        if self.is_listening(LISTENERS) {
            let mut removed = Vec::new();
            self.change_listeners(|listeners| removed = listeners.off(event));
            // Without the lock: dropping them runs code of the application.
            drop(removed);
        }
    }

    // Rooms.

    /// Joins rooms: one, or several.
    ///
    /// ```
    /// # use kokanee_server::{Data, Server, Socket};
    /// # let io = Server::new();
    /// io.on("join", async |socket: Socket, Data(room): Data<String>| {
    ///     socket.join(["everybody", &room])?;
    ///     socket.to(&room).emit("joined", socket.id()).await?;
    ///     Ok::<_, kokanee_server::BoxError>(())
    /// });
    /// ```
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

    /// Joins the room of another socket, and so receives what is sent to that socket alone. [`join`](Self::join) refuses
    /// that, so that no client gets it by choosing the name of a room.
    ///
    /// ```
    /// # use kokanee_server::{Data, Server, Socket, SocketId};
    /// # fn is_supervisor(socket: &Socket) -> bool { true }
    /// # let io = Server::new();
    /// io.on("watch", async |socket: Socket, Data(other): Data<SocketId>| {
    ///     if is_supervisor(&socket) { socket.join_room_of(other) } else { Ok(()) }
    /// });
    /// ```
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
        let socket = *self.0.key.get().ok_or(JoinError::Disconnected)?;
        let joined = self.change_rooms(socket, |rooms, key, note| {
            // Checked under the lock: after `exit` the key may belong to another socket.
            if self.has_gone() {
                return Err(JoinError::Disconnected);
            }
            if rooms.room_count_of(key) >= limits.max_rooms && !rooms.is_in(key, room) {
                return Err(JoinError::TooManyRooms {
                    max: limits.max_rooms,
                });
            }
            if rooms.join(key, room) {
                note(room, true);
            }
            Ok(())
        });
        joined.unwrap_or(Err(JoinError::Disconnected))
    }

    /// Leaves rooms. Ignores those that the socket is not in. When a socket disconnects, it leaves all its rooms by itself.
    ///
    /// ```
    /// # use kokanee_server::{Data, Server, Socket};
    /// # let io = Server::new();
    /// io.on("leave", async |socket: Socket, Data(room): Data<String>| socket.leave(room));
    /// io.on("leave all", async |socket: Socket| socket.leave(socket.rooms()));
    /// ```
    pub fn leave(&self, rooms: impl IntoRooms) {
        let Some(&socket) = self.0.key.get() else {
            return;
        };
        let rooms = rooms.into_rooms();
        self.change_rooms(socket, |all, key, note| {
            if !self.has_gone() {
                for room in rooms {
                    if all.leave(key, &room) {
                        note(&room, false);
                    }
                }
            }
        });
    }

    /// Returns the joined rooms, without the socket's own id room. After a disconnect, returns the rooms at that moment.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on_disconnect(async |socket: Socket| {
    ///     // The socket has left them, so only the others receive this.
    ///     socket.to(socket.rooms()).emit("left", socket.id()).await
    /// });
    /// ```
    pub fn rooms(&self) -> Vec<String> {
        let current = self.0.key.get().and_then(|&socket| {
            self.0.namespace.with_rooms(socket, |rooms, key| {
                (!self.has_gone())
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

    // Broadcasts to the other sockets.

    /// Begins a broadcast to all other sockets of the namespace.
    ///
    /// ```
    /// # use kokanee_server::{Data, Server, Socket};
    /// # let io = Server::new();
    /// io.on("chat", async |socket: Socket, Data(text): Data<String>| {
    ///     socket.broadcast().emit("chat", (socket.id(), text)).await
    /// });
    /// ```
    pub fn broadcast(&self) -> BroadcastOperator {
        BroadcastOperator::new(self.0.namespace.clone()).except(self.0.id.as_str())
    }

    /// Begins a broadcast to the other sockets in these rooms. To include this socket, use
    /// [`Namespace::to`] on [`namespace`](Self::namespace).
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("typing", async |socket: Socket| {
    ///     socket.to("room 1").to("room 2").emit("typing", socket.id()).await
    /// });
    /// ```
    pub fn to(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.broadcast().to(rooms)
    }

    /// Does the same as [`to`](Self::to), like `in` in JavaScript, which is a keyword in Rust.
    #[doc(alias = "in")]
    pub fn within(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.to(rooms)
    }

    /// Begins a broadcast to the other sockets, except those in these rooms.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("note", async |socket: Socket| socket.except("muted").emit("note", socket.id()).await);
    /// ```
    pub fn except(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.broadcast().except(rooms)
    }

    // Disconnecting.

    /// Disconnects the socket from its namespace after its queued packets are sent. The client's connection and its other
    /// namespaces stay: the JavaScript server's `socket.disconnect()`.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("goodbye", async |socket: Socket| {
    ///     socket.emit("goodbye", ()).await?; // the client receives this first
    ///     socket.disconnect();
    ///     Ok::<_, kokanee_server::EmitError>(())
    /// });
    /// ```
    pub fn disconnect(&self) {
        self.end(Command::Disconnect { socket: self.0.id });
    }

    /// Disconnects the client from all its namespaces and closes the connection after its queued packets are sent: the
    /// JavaScript server's `socket.disconnect(true)`.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # let io = Server::new();
    /// io.on("log out everywhere", async |socket: Socket| socket.close_connection());
    /// ```
    pub fn close_connection(&self) {
        self.end(Command::Close { reason: None });
    }

    fn end(&self, command: Command) {
        // If the session has ended, there is nothing to do.
        let _ = self.0.mailbox.send(command);
    }
}
