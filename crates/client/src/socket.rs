//! A socket: one namespace of a connection, as the application sees it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use kokanee_engineio::{SendOptions, Str, Transport};
use kokanee_handler::{
    EmitError, Event, EventError, Handler, Needs, Running, TypedArgs, caught, in_span,
};
use kokanee_socketio::{
    AckId, Args, EncodeError, EncodedPacket, RawEvent, encode_event, encode_event_args,
};
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use crate::{
    acks::{EmitWithAck, PendingAcks},
    attach::attach_methods,
    attached::{Attached, is_settled},
    engine::ConnectFailure,
    extract::{OnAttempt, OnConnect, OnConnectError, OnDisconnect, OnEvent},
    handlers::{ErrorHandler, Handlers, check_event},
    hub::{Command, Guard, Hub, Outgoing},
    options::Options,
    reason::DisconnectError,
    stream::{Events, Received, Subscriber},
};

/// A socket without the handles' guard: what the connection's task and acknowledgements hold.
pub(crate) struct Core {
    pub(crate) hub: Arc<Hub>,
    pub(crate) namespace: Box<str>,
    handlers: RwLock<Arc<Handlers>>,
    state: Mutex<State>,
    connected: AtomicBool,
    active: AtomicBool,
    pub(crate) acks: PendingAcks,
    ack_ids: AtomicU64,
    has_subscribers: AtomicBool,
    /// How often it was connected: the number of its connection.
    connections: AtomicU64,
    /// Bytes that the connection's task keeps for it.
    pub(crate) held: AtomicUsize,
    /// Events that nobody can take wait for those who are attached now.
    gathers: AtomicBool,
    /// Events that nobody has taken.
    unhandled: AtomicU64,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The events may say anything.
        f.debug_struct("Core")
            .field("namespace", &self.namespace)
            .field("connected", &self.is_connected())
            .field("active", &self.is_active())
            .finish_non_exhaustive()
    }
}

/// What the server says of the socket.
#[derive(Default)]
struct State {
    id: Option<Str>,
    recovered: bool,
    recoverable: bool,
    subscribers: Vec<Subscriber>,
    attached: Attached,
}

impl Core {
    pub(crate) fn new(hub: Arc<Hub>, namespace: &str) -> Self {
        Self {
            hub,
            namespace: namespace.into(),
            handlers: RwLock::default(),
            state: Mutex::default(),
            connected: AtomicBool::new(false),
            active: AtomicBool::new(false),
            acks: PendingAcks::default(),
            ack_ids: AtomicU64::new(0),
            has_subscribers: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            gathers: AtomicBool::new(false),
            unhandled: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn handlers(&self) -> Arc<Handlers> {
        Arc::clone(&self.handlers.read())
    }

    /// Whether a handler is called with every event that is emitted.
    fn has_outgoing_handlers(&self) -> bool {
        !self.handlers.read().outgoing.is_empty()
    }

    /// Returns what was removed, so that the caller drops it without the lock: a handler may use the socket when it is dropped.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Handlers) -> R) -> R {
        let mut handlers = self.handlers.write();
        change(Arc::make_mut(&mut handlers))
    }

    /// Changes the handlers on behalf of the application.
    pub(crate) fn attach<R>(&self, change: impl FnOnce(&mut Handlers) -> R) {
        self.attaches(|_| {}, || drop(self.change(change)));
    }

    /// Removes the handlers of an event.
    pub(crate) fn off(&self, event: &str) {
        self.attach(|handlers| handlers.off(event, self.gathers()));
    }

    /// Removes the handlers of an event that are called once.
    pub(crate) fn remove_once(&self, event: &str) {
        self.change(|handlers| handlers.remove_once(event, self.gathers()));
    }

    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        let subscribe = |state: &mut State| {
            state.subscribers.push(subscriber);
            self.has_subscribers.store(true, Ordering::Release);
        };
        self.attaches(subscribe, || {});
    }

    /// The time is noted before the change is visible, so that what is attached next does not miss the events that this one
    /// takes. The change is counted after it is visible, so that the task looks at it.
    fn attaches(&self, subscribe: impl FnOnce(&mut State), change: impl FnOnce()) {
        let gathers = self.gathers();
        let mut state = self.state();
        let now = Instant::now();
        if gathers && is_settled(state.attached.first, now) {
            state.attached.first = Some(now);
        }
        subscribe(&mut state);
        drop(state);
        change();
        if gathers {
            self.state().attached.changes += 1;
            // A closed client delivers nothing.
            let _ = self.hub.send(Command::Resume);
        }
    }

    pub(crate) fn attached(&self) -> Attached {
        self.state().attached
    }

    fn gathers(&self) -> bool {
        self.gathers.load(Ordering::Acquire)
    }

    /// Whether events wait for those who are attached from now on.
    pub(crate) fn set_gathers(&self, gathers: bool) {
        self.gathers.store(gathers, Ordering::Release);
        if !gathers {
            self.change(Handlers::forget_removed);
        }
    }

    /// Starts handlers in a tracing span with the namespace and the event.
    pub(crate) fn in_span(
        &self,
        event: &str,
        running: &mut Vec<Running>,
        start: impl FnOnce(&mut Vec<Running>),
    ) {
        let name = || tracing::debug_span!("event", namespace = &*self.namespace, event);
        in_span(name, running, start);
    }

    /// Counts an event that nothing was attached for.
    pub(crate) fn count_unhandled(&self, event: &str) {
        self.unhandled.fetch_add(1, Ordering::Relaxed);
        // Without the socket's id, which is a secret with old servers.
        tracing::debug!(
            namespace = &*self.namespace,
            event,
            "event without a handler"
        );
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
    }

    /// Notes what the server says of the socket: its id, and whether it has restored its state.
    pub(crate) fn set_identity(&self, id: Option<Str>, recovered: bool) {
        let mut state = self.state();
        state.id = id;
        state.recovered = recovered;
    }

    /// Notes whether the server keeps the socket's state. It holds for what was received before a connection was lost, too.
    pub(crate) fn set_recoverable(&self, recoverable: bool) {
        self.state().recoverable = recoverable;
    }

    /// The number of its connection, or of the last one.
    pub(crate) fn connection(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// Counts a new connection of the socket.
    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Release);
        if !active {
            // Readers that only wait while the socket is active check that again.
            for subscriber in self.subscribers() {
                subscriber.wake();
            }
        }
    }

    /// Waits until there is room for what a connected socket sends. While it is not connected there is always room: until
    /// the buffer for that is full.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.hub.poll_room(self, cx)
    }

    pub(crate) fn send(self: &Arc<Self>, outgoing: Outgoing) -> Result<(), EmitError> {
        let command = Command::Emit {
            socket: Arc::clone(self),
            outgoing,
        };
        self.hub.send(command).map_err(|_| EmitError::Disconnected)
    }

    /// Whether there are readers of the events as a stream.
    pub(crate) fn has_readers(&self) -> bool {
        self.has_subscribers.load(Ordering::Acquire)
    }

    /// Returns the readers of the events as a stream.
    pub(crate) fn subscribers(&self) -> Vec<Subscriber> {
        if !self.has_readers() {
            return Vec::new();
        }
        self.state().subscribers.clone()
    }

    /// Removes the readers that were dropped.
    pub(crate) fn forget_readers(&self) {
        let mut state = self.state();
        state.subscribers.retain(Subscriber::is_alive);
        self.has_subscribers
            .store(!state.subscribers.is_empty(), Ordering::Release);
    }

    /// Gives an event to the readers of the events as a stream. Returns whether one of them is full now.
    pub(crate) fn publish(&self, received: impl Fn() -> Received) -> bool {
        if !self.has_readers() {
            return false;
        }
        let state = self.state();
        let mut is_full = false;
        let mut wakers = state.subscribers.iter().filter_map(|reader| {
            let pushed = reader.push(received());
            is_full |= pushed.is_full;
            pushed.waker
        });
        // Readers are woken without the lock. There is usually one.
        let (first, others) = (wakers.next(), wakers.collect::<Vec<_>>());
        drop(state);
        first.into_iter().chain(others).for_each(Waker::wake);
        is_full
    }

    /// Whether too many events wait for one of the readers.
    pub(crate) fn has_slow_reader(&self) -> bool {
        self.has_subscribers.load(Ordering::Acquire) && {
            let state = self.state();
            state
                .subscribers
                .iter()
                .any(|reader| reader.is_behind(|| self.acks.is_awaited()))
        }
    }

    pub(crate) fn report(self: &Arc<Self>, guard: Option<&Arc<Guard>>, error: &EventError) {
        let (namespace, event, kind) = (&*self.namespace, error.event(), error.kind());
        // A refusal that the handler means for the server is not a fault.
        if error.is_refusal() {
            tracing::debug!(namespace, event, error = %kind, "event refused");
        } else {
            tracing::warn!(namespace, event, error = %kind, "event not handled");
        }
        if let Some(handler) = &self.handlers().error {
            // Without a handle the client ends anyway, so one more guard changes nothing.
            let guard = guard.map_or_else(|| Arc::new(Guard(Arc::clone(&self.hub))), Arc::clone);
            handler(&Socket::new(Arc::clone(self), guard), error);
        }
    }
}

/// Represents one namespace of a connection to a server. A cheap handle: clones refer to the same socket.
///
/// When the last handle of a connection is dropped, the connection is closed. (A handler that keeps a `Socket` in its closure
/// keeps the connection open; use the handler's parameter instead.)
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/server.md")]
/// use kokanee_client::{Client, Socket};
///
/// let socket = Client::connect(&url).await?;
/// socket.on("question", async |socket: Socket| socket.emit("answer", 42).await);
///
/// let sum: i64 = socket.emit_with_ack("sum", (20, 22)).await?;
/// assert_eq!(sum, 42);
/// socket.disconnect().await?;
/// # Ok(()) }
/// ```
///
/// # Early events
///
/// Handlers are best given to the [builder](crate::ClientBuilder), so that they are attached before the first event. Events for
/// which nothing is attached yet wait for what is attached next, handlers or [readers](Self::events): at most 256 events or 8
/// MiB, until 2 s after the first handler of events or reader was attached, or until 30 s after the first connection if there
/// is none. All that is attached within 100 ms of the first gets these events, in order. Events that nobody takes, from the
/// oldest on, count as [unhandled](Self::unhandled_events). None of this delays heartbeats or acknowledgements.
///
/// - An event that has a handler of its own name when it arrives, and no earlier event that waits, is handled at once.
/// - Before an acknowledgement or a disconnection is handled, all events that have a handler or reader by then are
///   delivered.
/// - An event waits for a handler of its name, a fallback or a reader. [`on_any`](Self::on_any) observes: beside handlers by
///   name it sees an event that none of them takes when the wait ends, and alone it takes all events at once.
#[derive(Debug, Clone)]
#[must_use = "the connection is closed when the last handle is dropped"]
pub struct Socket {
    core: Arc<Core>,
    guard: Arc<Guard>,
}

impl Socket {
    pub(crate) fn new(core: Arc<Core>, guard: Arc<Guard>) -> Self {
        Self { core, guard }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    pub(crate) fn report(&self, error: &EventError) {
        self.core.report(Some(&self.guard), error);
    }

    pub(crate) fn options(&self) -> &Options {
        &self.core.hub.options
    }

    // State.

    /// Returns the name of the namespace, for instance `/`.
    pub fn namespace(&self) -> &str {
        &self.core.namespace
    }

    /// Returns the socket's id, by which the server knows it, or `None` while it is not connected.
    ///
    /// With servers of Socket.IO 2 the id is derived from the session's id, as those servers do, and is as secret as it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// let socket = Client::connect(&url).await?;
    /// assert!(socket.id().is_some());
    ///
    /// socket.disconnect().await?;
    /// assert_eq!(socket.id(), None);
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> Option<String> {
        let state = self.core.state();
        state.id.as_ref().map(|id| id.as_str().to_owned())
    }

    /// Returns whether the socket is connected: the namespace has accepted it.
    pub fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    /// Returns whether the socket is connected or tries to be. JavaScript: `active`.
    ///
    /// It is `true` from [`connect`](Self::connect) until either side disconnects the socket or the client gives up.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// let socket = Client::builder(&url).build()?;
    /// assert!(!socket.is_active());
    ///
    /// socket.connect().await?;
    /// socket.reconnect(); // It may not be connected for a moment, but stays active.
    /// assert!(socket.is_active());
    /// # Ok(()) }
    /// ```
    pub fn is_active(&self) -> bool {
        self.core.is_active()
    }

    /// Returns whether the server has restored the socket's state at the last connection, and has sent the events that were
    /// missed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::{Client, Socket};
    /// # fn example() {
    /// Client::builder("http://localhost:5000").on_connect(async |socket: Socket| {
    ///     if !socket.is_recovered() {
    ///         socket.emit("join", "lobby").await?; // A new socket of the server: rooms are joined again.
    ///     }
    ///     Ok::<_, kokanee_client::EmitError>(())
    /// });
    /// # }
    /// ```
    pub fn is_recovered(&self) -> bool {
        self.core.state().recovered
    }

    /// Returns whether the server keeps the socket's state while the connection is lost. Such a server appends one more argument, a
    /// short text, to each event that wants no acknowledgement. Handlers that ask for fewer arguments do not see it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::{Client, Socket};
    /// # fn example() {
    /// Client::builder("http://localhost:5000").on_connect(async |socket: Socket| {
    ///     println!("missed events come after a cut: {}", socket.is_recoverable());
    /// });
    /// # }
    /// ```
    pub fn is_recoverable(&self) -> bool {
        self.core.state().recoverable
    }

    /// Returns the transport that carries the connection now, or `None` while there is no connection.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Transport};
    ///
    /// let socket = Client::builder(&url).transports([Transport::WebSocket]).connect().await?;
    /// assert_eq!(socket.transport(), Some(Transport::WebSocket));
    /// # Ok(()) }
    /// ```
    pub fn transport(&self) -> Option<Transport> {
        self.core.hub.transport()
    }

    /// Returns whether a WebSocket is about to take over from polling.
    pub fn is_upgrading(&self) -> bool {
        self.core.hub.is_upgrading()
    }

    /// Waits until the upgrade to a WebSocket that is under way is done or has failed; without one, does not wait. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::{Client, Transport};
    /// let socket = Client::connect(&url).await?;
    /// socket.upgraded().await;
    /// assert_eq!(socket.transport(), Some(Transport::WebSocket));
    /// # Ok(()) }
    /// ```
    pub async fn upgraded(&self) {
        self.core.hub.settled().await;
    }

    /// Returns the id of the session that is open, which is a secret. JavaScript: `socket.io.engine.id`.
    pub fn session_id(&self) -> Option<String> {
        let sid = self.core.hub.sid();
        sid.map(|sid| sid.as_str().to_owned())
    }

    /// Returns the socket of another namespace over the same connection. It is not connected yet: call
    /// [`connect`](Self::connect).
    ///
    /// There is one socket for each namespace: while a handle of it exists or it is connected, `of` returns the same one. A
    /// name with a comma or a question mark cannot be sent; `connect` refuses it.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// let socket = Client::connect(&url).await?;
    /// let admin = socket.of("/admin");
    /// admin.connect().await?;
    /// let users: u32 = admin.emit_with_ack("users", ()).await?;
    /// assert_eq!(users, 1);
    /// # Ok(()) }
    /// ```
    pub fn of(&self, namespace: &str) -> Self {
        let namespace = if namespace.starts_with('/') {
            namespace.to_owned()
        } else {
            format!("/{namespace}")
        };
        Self {
            core: self.core.hub.socket(&namespace),
            guard: Arc::clone(&self.guard),
        }
    }

    // Connection.

    /// Connects, and waits until the namespace has accepted.
    ///
    /// If the future is dropped before it is ready, the socket goes on connecting until it is [disconnected](Self::disconnect).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Data};
    ///
    /// let socket = Client::builder(&url).build()?;
    /// socket.on("welcome", async |Data(text): Data<String>| println!("{text}"));
    /// socket.connect().await?;
    /// assert!(socket.is_connected());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns why the connection could not be made. Without [`retry_first_connect`](crate::ClientBuilder::retry_first_connect)
    /// the first failure is returned, and the client does not try again.
    pub async fn connect(&self) -> Result<(), ConnectFailure> {
        let (sender, receiver) = oneshot::channel();
        let command = Command::Connect {
            socket: Arc::clone(&self.core),
            done: Some(sender),
        };
        self.core
            .hub
            .send(command)
            .map_err(|_| ConnectFailure::GivenUp)?;
        receiver.await.unwrap_or(Err(ConnectFailure::GivenUp))
    }

    /// Waits until the socket is connected, for instance again after a loss. Unlike [`connect`](Self::connect) it starts
    /// nothing. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// # use kokanee_client::AckError;
    /// let socket = Client::connect(&url).await?;
    /// let sum: i64 = loop {
    ///     match socket.emit_with_ack("sum", (20, 22)).await {
    ///         // The connection was lost before the answer: ask again when there is a new one.
    ///         Err(AckError::Disconnected) => socket.connected().await?,
    ///         answer => break answer?,
    ///     }
    /// };
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Returns why the socket is not [active](Self::is_active): the refusal of the namespace, for instance in a middleware,
    /// which ends all attempts until [`connect`](Self::connect) is called; the last failure of the attempts to reconnect; or
    /// [`ConnectFailure::GivenUp`] if the socket was disconnected or `connect` was never called.
    pub async fn connected(&self) -> Result<(), ConnectFailure> {
        if self.is_connected() {
            return Ok(());
        }
        let (done, receiver) = oneshot::channel();
        let command = Command::Await {
            socket: Arc::clone(&self.core),
            done,
        };
        self.core
            .hub
            .send(command)
            .map_err(|_| ConnectFailure::GivenUp)?;
        receiver.await.unwrap_or(Err(ConnectFailure::GivenUp))
    }

    /// Disconnects from the namespace, and waits until everything that was sent before has left. With the last namespace the
    /// connection is closed. The socket does not reconnect by itself.
    ///
    /// With the last namespace the server then has 1 s to end its side, so that nothing is lost if the process exits next.
    ///
    /// Many servers drop an event that they have not handed to its handler yet when the socket leaves. So the DISCONNECT packet
    /// is sent 20 ms after the server has shown that it has read everything before it: it has answered the POST, or a ping of
    /// the WebSocket, for which it has 1 s. An upgrade that is under way is finished, or given up 1 s later.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, DisconnectError};
    ///
    /// let socket = Client::connect(&url).await?;
    /// socket.emit("goodbye", ()).await?;
    /// match socket.disconnect().await {
    ///     Ok(()) => println!("everything was sent"),
    ///     Err(DisconnectError::Unsent) => eprintln!("some events were lost"),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`DisconnectError`] if something could not be sent. The socket is disconnected all the same.
    pub async fn disconnect(&self) -> Result<(), DisconnectError> {
        let (sender, receiver) = oneshot::channel();
        let command = Command::Disconnect {
            socket: Arc::clone(&self.core),
            done: Some(sender),
        };
        self.core
            .hub
            .send(command)
            .map_err(|_| DisconnectError::Closed)?;
        match receiver.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(DisconnectError::Unsent),
            Err(_) => Err(DisconnectError::Closed),
        }
    }

    /// Waits until half of the send buffer is free, so that the next [`emit`](Self::emit) does not wait. Cancel safe.
    ///
    /// While the socket is not connected it returns at once: events are then buffered until the buffer is full.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// # let measure = || 42;
    /// let socket = Client::connect(&url).await?;
    /// for _ in 0..3 {
    ///     socket.writable().await;
    ///     // Measured as late as possible: nothing older waits in the buffer for long.
    ///     socket.emit("temperature", measure()).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn writable(&self) {
        std::future::poll_fn(|cx| self.core.poll_room(cx)).await;
    }

    /// Cuts the transport, as if the network had failed, so that all namespaces reconnect. If the client already waits for its
    /// next attempt, it makes that attempt at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn network_changed(socket: &kokanee_client::Socket) {
    /// socket.reconnect(); // The device is in another network now: do not wait for the timeout.
    /// # }
    /// ```
    pub fn reconnect(&self) {
        // A closed client stays closed.
        let _ = self.core.hub.send(Command::Reconnect);
    }

    // Events out.

    pub(crate) fn send_packet(&self, outgoing: Outgoing) -> Result<(), EmitError> {
        let max = self.options().send_buffer_bytes;
        let is_connected = self.is_connected();
        if outgoing.options.volatile && !(is_connected && self.core.hub.has_room(&self.core.held)) {
            return Ok(());
        }
        if !is_connected {
            let waiting = self.core.hub.waiting_bytes();
            if waiting > 0 && waiting + outgoing.weight() > max {
                return Err(EmitError::BufferFull { max });
            }
        }
        self.core.send(outgoing)
    }

    /// Checks that the packet has no more attachments than the server accepts.
    fn checked(
        &self,
        packet: Result<EncodedPacket, EncodeError>,
    ) -> Result<EncodedPacket, EncodeError> {
        let packet = packet?;
        packet.check_attachments(self.options().max_attachments)?;
        Ok(packet)
    }

    fn emit_packet(&self, packet: Result<EncodedPacket, EncodeError>, ack: Option<AckId>) -> Emit {
        Emit {
            socket: self.clone(),
            outgoing: Some(self.checked(packet).map(|packet| Outgoing {
                packet,
                options: SendOptions::default(),
                ack,
                retried: self.options().retries.is_some(),
                connection: None,
            })),
        }
    }

    /// Returns whether a handler of [`on_fallback`](Self::on_fallback) is attached.
    #[doc(hidden)]
    pub fn has_fallback(&self) -> bool {
        !self.core.handlers().fallback.is_empty()
    }

    /// Sends a message as it is, on a client with [`raw_messages`](crate::ClientBuilder::raw_messages), without waiting for room.
    ///
    /// # Errors
    /// When the client is closed, or not connected and too much waits.
    #[doc(hidden)]
    pub fn send_message(&self, message: kokanee_engineio::Outgoing) -> Result<(), EmitError> {
        self.send_packet(Outgoing {
            packet: EncodedPacket::from_message(message),
            options: SendOptions::default(),
            ack: None,
            retried: false,
            connection: None,
        })
    }

    /// Returns the id for the next event that asks for an acknowledgement.
    fn next_ack_id(&self) -> AckId {
        AckId(self.core.ack_ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns an id for a plain event: with retries every event asks for an acknowledgement.
    fn own_ack_id(&self) -> Option<AckId> {
        self.options().retries.map(|_| self.next_ack_id())
    }

    fn note_outgoing(&self, event: &str, args: impl FnOnce() -> Option<Args>) {
        if self.core.has_outgoing_handlers()
            && let Some(args) = args()
        {
            let handlers = self.core.handlers();
            let event = RawEvent::new(event, args);
            for handler in &handlers.outgoing {
                if let Err(panic) = caught(|| handler(&event)) {
                    let (namespace, event) = (self.namespace(), event.name());
                    tracing::warn!(namespace, event, panic, "on_any_outgoing has panicked");
                }
            }
        }
    }

    /// Sends an event. Nothing is sent until the returned future is awaited.
    ///
    /// A tuple is spread over several arguments, `()` is none, everything else is one. [`bytes::Bytes`] at any depth is sent as
    /// binary; at most [`max_outbound_attachments`](crate::ClientBuilder::max_outbound_attachments) of them.
    ///
    /// While the socket is not connected, the event is buffered and sent on reconnect. While it is connected, `emit` waits
    /// while more than half of the send buffer is in use. Cancel safe: if the future is dropped before it is ready, nothing was
    /// sent.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// # let socket = Client::connect(&url).await?;
    /// socket.emit("message", "hello").await?;
    /// socket.emit("move", (3, 4)).await?; // Two arguments.
    /// socket.emit("leave", ()).await?; // No argument.
    /// socket.emit("upload", ("a.bin", bytes::Bytes::from_static(&[1, 2, 3]))).await?;
    /// socket.emit("login", serde_json::json!({ "name": "alice", "age": 42 })).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EmitError`] if the arguments cannot be encoded, the send buffer is full, or the client is closed.
    pub fn emit<T: Serialize>(&self, event: &str, args: T) -> Emit {
        self.note_outgoing(event, || Args::from_serialize(&args).ok());
        let id = self.own_ack_id();
        self.emit_packet(encode_event(self.namespace(), id, event, &args), id)
    }

    /// Sends an event with arguments in the form in which they were received, without decoding them.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::{Args, Socket};
    /// # fn example(from: &Socket, to: Socket) {
    /// // Forwards an event to another server.
    /// from.on("news", move |args: Args| {
    ///     let to = to.clone();
    ///     async move { to.emit_args("news", &args).await }
    /// });
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_args(&self, event: &str, args: &Args) -> Emit {
        self.note_outgoing(event, || Some(args.clone()));
        let id = self.own_ack_id();
        self.emit_packet(encode_event_args(self.namespace(), id, event, args), id)
    }

    /// Sends a typed event, whose type has the name and the arguments.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_client::{EmitError, Event, Socket};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Moved { x: f64, y: f64 }
    ///
    /// impl Event for Moved {
    ///     const NAME: &'static str = "moved";
    ///     type Ack = ();
    /// }
    ///
    /// # async fn example(socket: &Socket) -> Result<(), EmitError> {
    /// socket.emit_typed(&Moved { x: 1.0, y: 2.0 }).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: Event>(&self, event: &E) -> Emit {
        self.emit(E::NAME, event)
    }

    /// Sends an event that is dropped if it cannot be sent at once. It never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(socket: &kokanee_client::Socket) -> Result<(), kokanee_client::EmitError> {
    /// // The next position comes soon: an old one is not worth a wait.
    /// socket.emit_volatile("cursor", (120, 80))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EmitError`] if the arguments cannot be encoded, or the client is closed.
    pub fn emit_volatile<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        self.note_outgoing(event, || Args::from_serialize(&args).ok());
        let packet = self.checked(encode_event(self.namespace(), None, event, &args))?;
        self.send_packet(Outgoing {
            packet,
            options: SendOptions {
                volatile: true,
                ..SendOptions::default()
            },
            ack: None,
            retried: false,
            connection: None,
        })
    }

    /// Sends an event and waits for the server's acknowledgement. Nothing is sent until the returned value is awaited, perhaps
    /// with a [`timeout`](EmitWithAck::timeout).
    ///
    /// The first argument of the answer becomes `T`, or all of them if `T` is a tuple.
    ///
    /// In a handler the wait delays the next events of the socket. When so many events wait that the client stops reading (see
    /// [`on`](Self::on)), it also delays the answer itself and all namespaces of the connection. So the default timeout is 10 s
    /// in handlers. Spawn a task for requests that may take long.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use std::time::Duration;
    /// use kokanee_client::{AckError, Client};
    ///
    /// let socket = Client::connect(&url).await?;
    /// let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).await?;
    /// assert_eq!(sum, 42);
    ///
    /// // The server's handler wants two numbers.
    /// match socket.emit_with_ack::<i64>("sum", "20 22").await {
    ///     Err(AckError::Remote(error)) => assert_eq!(error.code, "invalid_payload"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: impl Serialize,
    ) -> EmitWithAck<T> {
        self.note_outgoing(event, || Args::from_serialize(&args).ok());
        let id = self.next_ack_id();
        let packet = encode_event(self.namespace(), Some(id), event, &args);
        let timeout = self.options().ack_timeout;
        let packet = self.checked(packet).map_err(EmitError::from);
        EmitWithAck::new(self.clone(), id, packet, timeout)
    }

    /// Sends an event with arguments in the form in which they were received, and waits for the acknowledgement, as
    /// [`emit_with_ack`](Self::emit_with_ack) does.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Args, Client};
    ///
    /// let socket = Client::connect(&url).await?;
    /// let args = Args::from_serialize(&(20, 22))?;
    /// let sum: i64 = socket.emit_args_with_ack("sum", &args).await?;
    /// assert_eq!(sum, 42);
    /// # Ok(()) }
    /// ```
    pub fn emit_args_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: &Args,
    ) -> EmitWithAck<T> {
        self.note_outgoing(event, || Some(args.clone()));
        let id = self.next_ack_id();
        let packet = encode_event_args(self.namespace(), Some(id), event, args);
        let timeout = self.options().ack_timeout;
        let packet = self.checked(packet).map_err(EmitError::from);
        EmitWithAck::new(self.clone(), id, packet, timeout)
    }

    /// Sends a typed event and waits for its acknowledgement, as [`emit_with_ack`](Self::emit_with_ack) does.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, Event};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Sum(i64, i64);
    ///
    /// impl Event for Sum {
    ///     const NAME: &'static str = "sum";
    ///     type Ack = i64;
    /// }
    ///
    /// let socket = Client::connect(&url).await?;
    /// let sum = socket.emit_typed_with_ack(&Sum(20, 22)).await?;
    /// assert_eq!(sum, 42);
    /// # Ok(()) }
    /// ```
    pub fn emit_typed_with_ack<E: Event>(&self, event: &E) -> EmitWithAck<E::Ack> {
        self.emit_with_ack(E::NAME, event)
    }

    attach_methods!([&self] self -> &Self, Handler, Socket; "async ", "kokanee_client::Socket");

    pub(crate) fn error_handler(
        handler: impl Fn(&Self, &EventError) + Send + Sync + 'static,
    ) -> ErrorHandler {
        Arc::new(handler)
    }

    pub(crate) fn detach(&self, event: &str) -> &Self {
        self.core.off(event);
        self
    }

    #[track_caller]
    pub(crate) fn attach<R>(
        &self,
        needs: &Needs,
        change: impl FnOnce(&mut Handlers) -> R,
    ) -> &Self {
        self.options().check(needs);
        self.core.attach(change);
        self
    }

    /// Returns the events that arrive from now on, and those that [wait](Self#early-events), as a stream.
    ///
    /// If its reader is slow, the client stops reading from the server when 256 events or 8 MiB wait in the stream.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::Client;
    /// let socket = Client::builder(&url).build()?;
    /// let mut events = socket.events();
    /// socket.connect().await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{} with {} arguments", event.name(), event.event.args().len());
    ///     break; // Only for this example.
    /// }
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> Events {
        let subscriber = Subscriber::default();
        self.core.subscribe(subscriber.clone());
        Events::new(subscriber, self.clone())
    }

    /// Returns the number of events that arrived and that nothing was attached for: neither a handler of their name, nor
    /// [`on_any`](Self::on_any), [`on_fallback`](Self::on_fallback) or a reader of [`events`](Self::events). Each of them is
    /// logged at debug level, too.
    pub fn unhandled_events(&self) -> u64 {
        self.core.unhandled.load(Ordering::Relaxed)
    }
}

/// Sends an event when it is awaited; see [`Socket::emit`].
#[must_use = "nothing is sent until it is awaited"]
pub struct Emit {
    socket: Socket,
    outgoing: Option<Result<Outgoing, EncodeError>>,
}

impl fmt::Debug for Emit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Future for Emit {
    type Output = Result<(), EmitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let emit = self.get_mut();
        ready!(emit.socket.core.poll_room(cx));
        Poll::Ready(match emit.outgoing.take() {
            Some(Ok(outgoing)) => emit.socket.send_packet(outgoing),
            Some(Err(error)) => Err(error.into()),
            // Polled again after completion, which is a mistake of the caller: nothing is sent twice.
            None => Ok(()),
        })
    }
}
