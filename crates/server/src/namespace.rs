//! A namespace: its handlers, its sockets and its rooms.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::FixedState;
use kokanee_cluster::{Key, Rooms, Target};
use kokanee_handler::{
    AckError, EmitError, Erased, Event, EventError, Handler, Needs, States, TypedArgs,
    check_event_name,
};
use kokanee_socketio::{AckId, Args, ParserKind};
use parking_lot::RwLock;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    broadcast::{BroadcastAnswers, BroadcastOperator, IntoRooms, Recipients},
    extract::{OnConnect, OnDisconnect, OnEvent},
    handler::{ErasedMiddleware, Middleware},
    limits::Limits,
    reason::ConnectError,
    recovery::{Recoveries, Recovery},
    socket::Socket,
    socket_id::SocketId,
};

type ErrorHandler = Arc<dyn Fn(&Socket, &EventError) + Send + Sync>;

/// Checks that clients can send events of this name.
#[track_caller]
pub(crate) fn check_event(event: &str) {
    check_event_name(event, |event| match event {
        "connect" | "connection" => Some("on_connect(async |socket: Socket| …)"),
        "disconnect" | "disconnecting" => {
            Some("on_disconnect(async |socket: Socket, reason: DisconnectReason| …)")
        }
        "connect_error" => Some("middleware(…), whose errors the client gets under this name"),
        _ => None,
    });
}

/// The handlers of a namespace, or the listeners of one socket. Replaced as a whole when a handler is added.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) middlewares: Vec<ErasedMiddleware>,
    pub(crate) connect: Vec<Erased<OnConnect>>,
    pub(crate) disconnect: Vec<Erased<OnDisconnect>>,
    pub(crate) any: Vec<Erased<OnEvent>>,
    /// Handlers of events that have no other handler.
    pub(crate) fallback: Vec<Erased<OnEvent>>,
    /// Sorted by the length of the name, then by the name: a search needs few comparisons, most of them of lengths alone.
    events: Vec<(Box<str>, Vec<Erased<OnEvent>>)>,
    /// Which handlers in `events` are for one event only: the event's name, and their index there.
    once: Vec<(Box<str>, usize)>,
    /// Events whose handlers do not delay later events, and how many of one socket are handled at the same time.
    concurrent: Vec<(Box<str>, usize)>,
    error: Option<ErrorHandler>,
    /// How many events of one socket are handled at the same time.
    pub(crate) concurrency: usize,
}

impl Handlers {
    pub(crate) fn new() -> Self {
        Self {
            concurrency: 1,
            ..Self::default()
        }
    }

    pub(crate) fn on(&mut self, event: &str, handler: Erased<OnEvent>) {
        match self.find(event) {
            Ok(at) => self.events[at].1.push(handler),
            Err(at) => self.events.insert(at, (event.into(), vec![handler])),
        }
    }

    /// Removes the handlers of an event and returns them. The caller drops them after it has released the lock.
    pub(crate) fn off(&mut self, event: &str) -> Vec<Erased<OnEvent>> {
        self.once.retain(|(name, _)| **name != *event);
        self.concurrent.retain(|(name, _)| **name != *event);
        self.find(event)
            .map(|at| self.events.remove(at).1)
            .unwrap_or_default()
    }

    /// Adds a handler that [`remove_once`](Self::remove_once) removes.
    pub(crate) fn once(&mut self, event: &str, handler: Erased<OnEvent>) {
        let place = self.event(event).len();
        self.once.push((event.into(), place));
        self.on(event, handler);
    }

    /// Returns whether some of an event's handlers are for one event only.
    pub(crate) fn has_once(&self, event: &str) -> bool {
        self.once.iter().any(|(name, _)| **name == *event)
    }

    /// Removes the handlers of an event that are for one event only.
    pub(crate) fn remove_once(&mut self, event: &str) {
        let Ok(at) = self.find(event) else { return };
        let mut place = 0;
        self.events[at].1.retain(|_| {
            place += 1;
            let is_once = |(name, at): &(Box<str>, usize)| **name == *event && at + 1 == place;
            !self.once.iter().any(is_once)
        });
        if self.events[at].1.is_empty() {
            self.events.remove(at);
        }
        self.once.retain(|(name, _)| **name != *event);
    }

    fn set_concurrent(&mut self, event: &str, events: usize) {
        self.concurrent.retain(|(name, _)| **name != *event);
        self.concurrent.push((event.into(), events.max(1)));
    }

    /// Returns how many events of this name are handled at the same time, if they do not delay later events.
    pub(crate) fn concurrent(&self, name: &str) -> Option<usize> {
        let found = self.concurrent.iter().find(|(event, _)| **event == *name);
        found.map(|&(_, events)| events)
    }

    /// Returns the handlers of an event.
    #[inline]
    pub(crate) fn event(&self, name: &str) -> &[Erased<OnEvent>] {
        self.find(name).map_or(&[], |at| &self.events[at].1)
    }

    /// Returns the index of an event's handlers, or as an error the index where they would be.
    #[inline]
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.events.binary_search_by(|(other, _)| {
            let lengths = other.len().cmp(&name.len());
            lengths.then_with(|| other.as_bytes().cmp(name.as_bytes()))
        })
    }
}

/// The handlers of a namespace as each socket caches them, so that it finds them without a lock.
pub(crate) struct KeptHandlers {
    handlers: Arc<Handlers>,
    version: u64,
}

impl KeptHandlers {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        // The version first: a change between the two is seen by the next `get`.
        let version = namespace.0.version.load(Ordering::Acquire);
        Self {
            handlers: namespace.handlers(),
            version,
        }
    }

    /// Returns the current handlers.
    #[inline]
    pub(crate) fn get(&mut self, namespace: &Namespace) -> &Handlers {
        if namespace.0.version.load(Ordering::Acquire) != self.version {
            *self = Self::new(namespace);
        }
        &self.handlers
    }
}

/// Represents a namespace of a server, for instance `/`: handlers, sockets and rooms of its own. A cheap handle: clones are
/// the same namespace.
///
/// [`Server::of`](crate::Server::of) returns one, and handlers get theirs as a parameter. A client connects to a namespace
/// by name; a name that [`of`](crate::Server::of) was not called with is refused as `Invalid namespace`.
///
/// ```
/// # use kokanee_server::{Data, Namespace, Server};
/// # let io = Server::new();
/// let chat = io.of("/chat");
/// chat.on("message", async |chat: Namespace, Data(text): Data<String>| chat.emit("message", text).await);
/// assert_eq!(chat.name(), "/chat");
/// ```
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    name: Box<str>,
    /// A client has asked for it, and it goes with its last socket.
    on_demand: bool,
    limits: Arc<Limits>,
    state: Arc<States>,
    parser: ParserKind,
    handlers: RwLock<Arc<Handlers>>,
    /// Counts the changes of `handlers`, so that sockets can cache them.
    version: AtomicU64,
    shards: Box<[RwLock<Rooms<Socket>>]>,
    recoveries: Option<Box<Recoveries<Socket>>>,
    ack_ids: AtomicU64,
    unhandled_events: AtomicU64,
    refusals: AtomicU64,
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

/// Finds a socket in its namespace: the shard, and its key there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SocketKey {
    shard: u32,
    key: Key,
}

impl Namespace {
    pub(crate) fn new(
        name: &str,
        limits: Arc<Limits>,
        state: Arc<States>,
        parser: ParserKind,
        shards: usize,
        on_demand: bool,
        recovery: Option<&Recovery>,
    ) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            on_demand,
            limits,
            state,
            parser,
            handlers: RwLock::new(Arc::new(Handlers::new())),
            version: AtomicU64::new(0),
            shards: (0..shards.max(1)).map(|_| RwLock::default()).collect(),
            recoveries: recovery.map(|settings| Box::new(Recoveries::new(settings.clone()))),
            ack_ids: AtomicU64::new(0),
            unhandled_events: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }))
    }

    /// Returns the name, with its leading `/`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it goes with its last socket.
    pub(crate) fn is_on_demand(&self) -> bool {
        self.0.on_demand
    }

    /// The state with which clients may come back, if they may.
    #[inline]
    pub(crate) fn recoveries(&self) -> Option<&Recoveries<Socket>> {
        self.0.recoveries.as_deref()
    }

    /// Whether somebody is in it, or may come back.
    pub(crate) fn is_in_use(&self) -> bool {
        self.socket_count() > 0 || self.recoveries().is_some_and(Recoveries::keeps_any)
    }

    /// Whether both are the same namespace, not only of one name.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns the parser that the server uses.
    pub(crate) fn parser(&self) -> ParserKind {
        self.0.parser
    }

    pub(crate) fn next_ack_id(&self) -> AckId {
        AckId(self.0.ack_ids.fetch_add(1, Ordering::Relaxed))
    }

    // Handlers.

    pub(crate) fn handlers(&self) -> Arc<Handlers> {
        Arc::clone(&self.0.handlers.read())
    }

    fn change(&self, change: impl FnOnce(&mut Handlers)) -> &Self {
        let mut handlers = self.0.handlers.write();
        change(Arc::make_mut(&mut handlers));
        self.0.version.fetch_add(1, Ordering::Release);
        self
    }

    /// Refuses a handler that could never run as it is meant to.
    #[track_caller]
    pub(crate) fn check(&self, needs: &Needs) {
        self.0.state.check(needs, "Server::builder().state(…)");
    }

    /// Adds a middleware: an async function that decides whether a socket may join, before `on_connect`. Several run in
    /// the order in which they were added; the first error refuses the socket.
    ///
    /// ```no_run
    /// # use kokanee_server::{Auth, ConnectError, Server};
    /// # let io = Server::new();
    /// #[derive(serde::Deserialize)]
    /// struct Login { token: String }
    ///
    /// io.of("/admin").middleware(async |Auth(login): Auth<Login>| {
    ///     if login.token == "secret" { Ok(()) } else { Err(ConnectError::new("not authorized").data(401)) }
    /// });
    /// ```
    ///
    /// A refusal is logged at debug level and counted; see [`refusals`](Self::refusals).
    ///
    /// # Panics
    /// As [`on`](Self::on), for a missing state.
    #[doc(alias = "use")]
    #[track_caller]
    pub fn middleware<Args, M: Middleware<Args>>(&self, middleware: M) -> &Self {
        self.check(&M::needs());
        self.change(|handlers| handlers.middlewares.push(middleware.erase()))
    }

    /// Adds a handler of new sockets. It runs after the socket is connected and its client was notified.
    ///
    /// The socket's events wait until its handlers of this kind have ended, within
    /// [`Limits::max_queued_events`](crate::Limits::max_queued_events) and
    /// [`Limits::max_queued_bytes`](crate::Limits::max_queued_bytes); beyond these limits the server stops reading from the
    /// client. A task that the handler spawns does not delay events: use `tokio::spawn` for a loop that sends something every
    /// second.
    ///
    /// ```
    /// # use kokanee_server::{Server, Socket};
    /// # async fn history() -> Vec<String> { Vec::new() }
    /// # let io = Server::new();
    /// io.on_connect(async |socket: Socket| {
    ///     socket.join("lobby")?;
    ///     // The client's first event is handled after this, however long it takes.
    ///     socket.emit("history", history().await).await?;
    ///     Ok::<_, kokanee_server::BoxError>(())
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on), for a missing state.
    #[doc(alias = "connection")]
    #[doc(alias = "connect")]
    #[track_caller]
    pub fn on_connect<Args, H: Handler<Args, OnConnect>>(&self, handler: H) -> &Self {
        self.check(&H::needs());
        self.change(|handlers| handlers.connect.push(handler.erase()))
    }

    /// Adds a handler of an event. Several handlers of one event run in the order in which they were added.
    ///
    /// Its parameters are [extractors](crate::extract): at most eight, in any order. It may return nothing, or a `Result` whose
    /// error becomes the answer to the event; see [`Ack`](crate::Ack).
    ///
    /// ```
    /// # use kokanee_server::{Ack, Data, Server, Socket};
    /// # let io = Server::new();
    /// io.on("message", async |socket: Socket, Data(text): Data<String>| {
    ///     socket.broadcast().emit("message", text).await
    /// });
    /// io.on("add", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| ack.send(a + b));
    /// ```
    ///
    /// The events of one socket are handled in order: the next one when the handlers of the one before have ended; see
    /// [`on_concurrent`](Self::on_concurrent) and [`concurrent`](Self::concurrent).
    ///
    /// # Panics
    /// If events of this name never arrive, as with `connection` and `disconnect`, for which there are
    /// [`on_connect`](Self::on_connect) and [`on_disconnect`](Self::on_disconnect); and if the handler has a parameter
    /// [`State<T>`](crate::State) but the server was built without such a state.
    #[track_caller]
    pub fn on<Args, H: Handler<Args, OnEvent>>(&self, event: &str, handler: H) -> &Self {
        check_event(event);
        self.check(&H::needs());
        self.change(|handlers| handlers.on(event, handler.erase()))
    }

    /// Adds a handler of an event that does not delay later events: the next one is handled while it still waits for
    /// something, up to `events` of this name and socket at the same time. One more than that waits for its turn, and so do
    /// those after it.
    ///
    /// For work that takes long and whose order does not matter. If one handler of an event is concurrent, all of this
    /// event's are. It starts in order: when the handlers of earlier events have ended.
    ///
    /// ```
    /// # use kokanee_server::{Ack, Data, Server};
    /// # async fn resize(image: bytes::Bytes) -> bytes::Bytes { image }
    /// # let io = Server::new();
    /// // Messages go on while up to four images of a client are being resized.
    /// io.of("/").on_concurrent("resize", 4, async |Data(image): Data<bytes::Bytes>, ack: Ack| {
    ///     ack.send(resize(image).await)
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_concurrent<Args, H: Handler<Args, OnEvent>>(
        &self,
        event: &str,
        events: usize,
        handler: H,
    ) -> &Self {
        self.on(event, handler);
        self.change(|handlers| handlers.set_concurrent(event, events))
    }

    /// Adds a handler of the typed event that is its first parameter.
    ///
    /// ```no_run
    /// # use kokanee_server::{Server, Typed, TypedAck, Event};
    /// # let io = Server::new();
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Sum(i64, i64);
    /// # impl Event for Sum { const NAME: &'static str = "sum"; type Ack = i64; }
    /// io.of("/").on_typed(async |Typed(Sum(a, b)): Typed<Sum>, ack: TypedAck<Sum>| ack.send(a + b));
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_typed<Args: TypedArgs, H: Handler<Args, OnEvent>>(&self, handler: H) -> &Self {
        self.on(Args::Event::NAME, handler)
    }

    /// Adds a handler of every event, whatever its name. It runs before those of [`on`](Self::on).
    ///
    /// ```
    /// # use kokanee_server::{RawEvent, Server, Socket};
    /// # let io = Server::new();
    /// io.on_any(async |socket: Socket, event: RawEvent| {
    ///     println!("{}: {} {:?}", socket.id(), event.name(), event.args());
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on), for a missing state.
    #[doc(alias = "onAny")]
    #[track_caller]
    pub fn on_any<Args, H: Handler<Args, OnEvent>>(&self, handler: H) -> &Self {
        self.check(&H::needs());
        self.change(|handlers| handlers.any.push(handler.erase()))
    }

    /// Adds a handler of events that have no handler of their own, neither here nor at their socket.
    ///
    /// Without one, and without [`on_any`](Self::on_any), such an event is counted
    /// ([`unhandled_events`](Self::unhandled_events)) and logged at debug level.
    ///
    /// ```
    /// # use kokanee_server::{Ack, ClientError, EventName, Server};
    /// # let io = Server::new();
    /// io.of("/").on_fallback(async |EventName(name): EventName| {
    ///     Err::<(), _>(ClientError::new(format!("there is no event {name:?}")).code("unknown_event"))
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on), for a missing state.
    #[track_caller]
    pub fn on_fallback<Args, H: Handler<Args, OnEvent>>(&self, handler: H) -> &Self {
        self.check(&H::needs());
        self.change(|handlers| handlers.fallback.push(handler.erase()))
    }

    /// Adds a handler of sockets that have disconnected, for whatever reason. It runs exactly once for every socket that was
    /// connected, after those of [`on_connect`](Self::on_connect) and of its events. It waits for these during
    /// [`Limits::handler_drain_timeout`](crate::Limits::handler_drain_timeout).
    ///
    /// ```
    /// # use kokanee_server::{DisconnectReason, Namespace, Server, Socket};
    /// # let io = Server::new();
    /// io.on_disconnect(async |socket: Socket, reason: DisconnectReason, io: Namespace| {
    ///     println!("{} has left ({reason}), it was in {:?}", socket.id(), socket.rooms());
    ///     io.emit("left", socket.id()).await
    /// });
    /// ```
    ///
    /// # Panics
    /// As [`on`](Self::on), for a missing state.
    #[doc(alias = "disconnect")]
    #[doc(alias = "disconnecting")]
    #[track_caller]
    pub fn on_disconnect<Args, H: Handler<Args, OnDisconnect>>(&self, handler: H) -> &Self {
        self.check(&H::needs());
        self.change(|handlers| handlers.disconnect.push(handler.erase()))
    }

    /// Sets the error handler, called when an event's arguments do not fit or its handler fails or panics.
    ///
    /// Such events are always logged, and the client receives the error as its acknowledgement, if it asked for one.
    ///
    /// ```
    /// # use kokanee_server::Server;
    /// # let io = Server::new();
    /// io.of("/").on_error(|socket, error| {
    ///     // event "sum" of 3Kd…: invalid payload: invalid type: string "two", expected i64
    ///     eprintln!("event {:?} of {}: {}", error.event(), socket.id(), error.kind());
    /// });
    /// ```
    pub fn on_error(
        &self,
        handler: impl Fn(&Socket, &EventError) + Send + Sync + 'static,
    ) -> &Self {
        let mut error: Option<ErrorHandler> = Some(Arc::new(handler));
        // The previous one is dropped after the lock is released.
        self.change(|handlers| std::mem::swap(&mut handlers.error, &mut error))
    }

    /// Removes the handlers of an event.
    ///
    /// ```
    /// # use kokanee_server::{Data, Namespace, Server};
    /// # let io = Server::new();
    /// io.on("vote", async |io: Namespace, Data(choice): Data<u32>| io.emit("voted", choice).await);
    /// io.on("end of vote", async |io: Namespace| { io.off("vote"); });
    /// ```
    pub fn off(&self, event: &str) -> &Self {
        let mut removed = Vec::new();
        self.change(|handlers| removed = handlers.off(event));
        // Without the lock: dropping them runs code of the application.
        drop(removed);
        self
    }

    /// Handles up to `events` events of one socket at the same time, without their order. Default 1. For single events
    /// use [`on_concurrent`](Self::on_concurrent).
    ///
    /// ```
    /// # use kokanee_server::{Ack, Data, Server};
    /// # async fn look_up(key: String) -> u64 { 1 }
    /// # let io = Server::new();
    /// io.of("/queries").concurrent(16).on("look up", async |Data(key): Data<String>, ack: Ack| {
    ///     ack.send(look_up(key).await)
    /// });
    /// ```
    pub fn concurrent(&self, events: usize) -> &Self {
        self.change(|handlers| handlers.concurrency = events.max(1))
    }

    pub(crate) fn report(&self, socket: &Socket, error: &EventError) {
        let (event, kind) = (error.event(), error.kind());
        // An error that the handler meant for the client is not a fault.
        if error.is_refusal() {
            tracing::debug!(namespace = self.name(), socket = %socket.id(), event, error = %kind, "event refused");
        } else {
            tracing::warn!(namespace = self.name(), socket = %socket.id(), event, error = %kind, "event not handled");
        }
        if let Some(handler) = &self.handlers().error {
            handler(socket, error);
        }
    }

    /// Counts and logs an event for which there is no handler.
    #[cold]
    pub(crate) fn note_unhandled(&self, socket: &Socket, event: &str) {
        self.0.unhandled_events.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(namespace = self.name(), socket = %socket.id(), event, "event without a handler");
    }

    /// Counts and logs a socket that a middleware refused.
    #[cold]
    pub(crate) fn note_refused(&self, socket: &Socket, error: &ConnectError) {
        self.0.refusals.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(namespace = self.name(), socket = %socket.id(), message = error.message, "socket refused");
    }

    /// Returns the number of events for which there was no handler at all, neither [`on`](Self::on) nor
    /// [`on_any`](Self::on_any), [`on_fallback`](Self::on_fallback) or one of the socket's own. Each is logged at debug level.
    ///
    /// ```
    /// let io = kokanee_server::Server::new();
    /// assert_eq!((io.unhandled_events(), io.refusals(), io.socket_count()), (0, 0, 0));
    /// ```
    pub fn unhandled_events(&self) -> u64 {
        self.0.unhandled_events.load(Ordering::Relaxed)
    }

    /// Returns the number of sockets that a middleware refused. Each is logged at debug level.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// Returns how many clients have come back as the sockets that they were before; see [`Socket::recovered`].
    ///
    /// ```
    /// # fn f(io: kokanee_server::Server) {
    /// let (back, lost) = (io.recovered_sockets(), io.unrecovered_sockets());
    /// println!("{back} clients have come back, {lost} had to begin anew");
    /// # }
    /// ```
    pub fn recovered_sockets(&self) -> u64 {
        self.recoveries().map_or(0, Recoveries::recovered)
    }

    /// Returns how many clients wanted to come back and could not: they were away too long, or have missed too much. The log
    /// has the reason of each.
    pub fn unrecovered_sockets(&self) -> u64 {
        self.recoveries().map_or(0, Recoveries::unrecovered)
    }

    // Sockets and rooms.

    fn shard(&self, shard: u32) -> Option<&RwLock<Rooms<Socket>>> {
        self.0.shards.get(shard as usize)
    }

    pub(crate) fn insert(&self, socket: &Socket) -> SocketKey {
        let hash = FixedState::default().hash_one(socket.id());
        let shard = u32::try_from(hash % self.0.shards.len() as u64).unwrap_or_default();
        let key = self.0.shards[shard as usize]
            .write()
            .insert(socket.id().as_str(), socket.clone());
        SocketKey { shard, key }
    }

    /// Takes a socket out of the namespace and returns its rooms.
    pub(crate) fn remove(&self, socket: SocketKey) -> Vec<String> {
        let Some(shard) = self.shard(socket.shard) else {
            return Vec::new();
        };
        let mut rooms = shard.write();
        let names = rooms.rooms_of(socket.key).map(str::to_owned).collect();
        rooms.remove(socket.key);
        names
    }

    pub(crate) fn with_rooms<R>(
        &self,
        socket: SocketKey,
        f: impl FnOnce(&Rooms<Socket>, Key) -> R,
    ) -> Option<R> {
        self.shard(socket.shard)
            .map(|shard| f(&shard.read(), socket.key))
    }

    pub(crate) fn with_rooms_mut<R>(
        &self,
        socket: SocketKey,
        f: impl FnOnce(&mut Rooms<Socket>, Key) -> R,
    ) -> Option<R> {
        self.shard(socket.shard)
            .map(|shard| f(&mut shard.write(), socket.key))
    }

    /// Calls `f` for every connected socket of the target. A shard's lock is held meanwhile: `f` must be quick.
    pub(crate) fn for_each(&self, target: &Target, mut f: impl FnMut(&Socket)) {
        for shard in &self.0.shards {
            shard.read().for_each(target, |socket| {
                if socket.is_connected() {
                    f(socket);
                }
            });
        }
    }

    /// Returns the connected socket with this id.
    ///
    /// ```
    /// # use kokanee_server::{Data, Namespace, Server, SocketId};
    /// # let io = Server::new();
    /// io.on("kick", async |io: Namespace, Data(id): Data<SocketId>| {
    ///     if let Some(socket) = io.socket(id) {
    ///         socket.close_connection();
    ///     }
    /// });
    /// ```
    #[doc(alias = "sockets")]
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        let found = self
            .0
            .shards
            .iter()
            .find_map(|shard| shard.read().get(id.as_str()).cloned());
        found.filter(Socket::is_connected)
    }

    pub(crate) fn is_socket_id(&self, name: &str) -> bool {
        self.0
            .shards
            .iter()
            .any(|shard| shard.read().get(name).is_some())
    }

    /// Returns the number of sockets, including those that the middlewares have not accepted yet.
    pub fn socket_count(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Returns the rooms of the namespace with the number of sockets in each, sorted by name.
    ///
    /// ```
    /// # let io = kokanee_server::Server::new();
    /// for (room, sockets) in io.rooms() {
    ///     println!("{sockets:>6} {room}");
    /// }
    /// assert!(io.rooms().is_empty());
    /// ```
    #[doc(alias = "adapter")]
    pub fn rooms(&self) -> Vec<(String, usize)> {
        let mut rooms = std::collections::BTreeMap::<String, usize>::new();
        for shard in &self.0.shards {
            for (name, count) in shard.read().rooms() {
                *rooms.entry(name.to_owned()).or_default() += count;
            }
        }
        rooms.into_iter().collect()
    }

    // Broadcasts.

    fn operator(&self) -> BroadcastOperator {
        BroadcastOperator::new(self.clone())
    }

    /// Sends an event to every socket of the namespace.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// io.emit("maintenance", ("in", 10, "minutes")).await?; // in the namespace `/`
    /// let recipients = io.of("/admin").emit("load", 0.7).await?;
    /// println!("{} administrators", recipients.count());
    /// # Ok(()) }
    /// ```
    ///
    /// How arguments are written is described at [`Socket::emit`], what happens with slow clients at
    /// [`BroadcastOperator::emit`].
    ///
    /// # Errors
    /// [`EmitError::Encode`] if the arguments cannot be encoded.
    pub async fn emit<T: Serialize>(&self, event: &str, args: T) -> Result<Recipients, EmitError> {
        self.operator().emit(event, args).await
    }

    /// Sends a typed event to every socket of the namespace.
    ///
    /// ```
    /// # use kokanee_server::{EmitError, Event, Server};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Price { pair: String, price: f64 }
    /// # impl Event for Price { const NAME: &'static str = "price"; type Ack = (); }
    /// # async fn f(io: Server) -> Result<(), EmitError> {
    /// io.emit_typed(&Price { pair: "EUR/CHF".to_owned(), price: 0.93 }).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_typed<E: Event>(&self, event: &E) -> Result<Recipients, EmitError> {
        self.emit(E::NAME, event).await
    }

    /// Sends an event with arguments as they were received to every socket of the namespace, without decoding them.
    ///
    /// ```
    /// # use kokanee_server::{Namespace, RawEvent, Server};
    /// # let io = Server::new();
    /// // A relay: what one client sends, all receive.
    /// io.on_any(async |io: Namespace, event: RawEvent| io.emit_args(event.name(), event.args()).await);
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_args(&self, event: &str, args: &Args) -> Result<Recipients, EmitError> {
        self.operator().emit_args(event, args).await
    }

    /// Sends an event to every socket of the namespace and waits for their acknowledgements; see
    /// [`BroadcastOperator::emit_with_ack`].
    ///
    /// # Errors
    /// As [`BroadcastOperator::emit_with_ack`].
    pub async fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: impl Serialize,
    ) -> Result<BroadcastAnswers<T>, AckError> {
        self.operator().emit_with_ack(event, args).await
    }

    /// Sends a typed event to every socket of the namespace and waits for their acknowledgements; see
    /// [`BroadcastOperator::emit_typed_with_ack`].
    ///
    /// # Errors
    /// As [`BroadcastOperator::emit_with_ack`].
    pub async fn emit_typed_with_ack<E: Event>(
        &self,
        event: &E,
    ) -> Result<BroadcastAnswers<E::Ack>, AckError> {
        self.operator().emit_typed_with_ack(event).await
    }

    /// Begins a broadcast to the sockets in these rooms.
    ///
    /// ```
    /// # use kokanee_server::{EmitError, Server, SocketId};
    /// # async fn f(io: Server, id: SocketId) -> Result<(), EmitError> {
    /// io.to("lobby").emit("news", 1).await?; // a room
    /// io.to(["lobby", "hall"]).emit("news", 2).await?; // several: a socket in both receives it once
    /// io.to(id).emit("news", 3).await?; // one socket, by its id
    /// # Ok(()) }
    /// ```
    pub fn to(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.operator().to(rooms)
    }

    /// Does the same as [`to`](Self::to), like `in` in JavaScript, which is a keyword in Rust.
    #[doc(alias = "in")]
    pub fn within(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.operator().to(rooms)
    }

    /// Begins a broadcast to all sockets except those in these rooms.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// io.except("muted").emit("chime", ()).await?;
    /// # Ok(()) }
    /// ```
    pub fn except(&self, rooms: impl IntoRooms) -> BroadcastOperator {
        self.operator().except(rooms)
    }

    /// Begins a broadcast that stays on this node; see [`BroadcastOperator::local`].
    pub fn local(&self) -> BroadcastOperator {
        self.operator().local()
    }

    /// Begins a broadcast that skips clients which cannot take it at once; see [`BroadcastOperator::volatile`].
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) -> Result<(), kokanee_server::EmitError> {
    /// io.volatile().emit("cursor", (12, 40)).await?;
    /// # Ok(()) }
    /// ```
    pub fn volatile(&self) -> BroadcastOperator {
        self.operator().volatile()
    }

    /// Begins a broadcast that may be compressed, or not; see [`BroadcastOperator::compress`].
    pub fn compress(&self, compress: bool) -> BroadcastOperator {
        self.operator().compress(compress)
    }

    /// Begins a broadcast that waits this long for acknowledgements; see [`BroadcastOperator::timeout`].
    pub fn timeout(&self, timeout: std::time::Duration) -> BroadcastOperator {
        self.operator().timeout(timeout)
    }

    /// Returns all connected sockets.
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) {
    /// for socket in io.fetch_sockets().await {
    ///     println!("{} in {:?}", socket.id(), socket.rooms());
    /// }
    /// # }
    /// ```
    #[doc(alias = "sockets")]
    pub async fn fetch_sockets(&self) -> Vec<Socket> {
        self.operator().fetch_sockets().await
    }

    /// Adds all sockets to these rooms, where their limits allow it; see [`BroadcastOperator::sockets_join`].
    pub async fn sockets_join(&self, rooms: impl IntoRooms) {
        self.operator().sockets_join(rooms).await;
    }

    /// Removes all sockets from these rooms.
    pub async fn sockets_leave(&self, rooms: impl IntoRooms) {
        self.operator().sockets_leave(rooms).await;
    }

    /// Disconnects all sockets from the namespace; see [`Socket::disconnect`].
    ///
    /// ```
    /// # async fn f(io: kokanee_server::Server) {
    /// io.of("/game").disconnect_sockets().await; // their other namespaces stay
    /// io.of("/game").close_connections().await; // their connections are closed
    /// # }
    /// ```
    pub async fn disconnect_sockets(&self) {
        self.operator().disconnect_sockets().await;
    }

    /// Closes the connections of all sockets, and so disconnects their clients from all namespaces; see
    /// [`Socket::close_connection`].
    pub async fn close_connections(&self) {
        self.operator().close_connections().await;
    }
}
