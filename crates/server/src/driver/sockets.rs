//! The sockets of a session: its Socket.IO [`Connection`], the handlers that run for each socket, and the events that wait for
//! them.
//!
//! What it counts of those events decides when reading stops; see "Who is slow, who is gone" in ARCHITECTURE.md. Whatever
//! needs more than the sockets interrupts the driver, see [`Interrupt`].

use std::{
    collections::VecDeque, ops::ControlFlow, sync::Arc, task::Context, task::Poll, time::Instant,
};

use bytes::Bytes;
use kokanee_engineio::{CloseReason, FrameRun, Message, SendOptions, Session, Str, Transport};
use kokanee_handler::{EventError, EventErrorKind, Running, poll_caught};
use kokanee_socketio::{
    AckId, Args, Connection, EncodedPacket, Input, ParserKind, ProtocolError, ProtocolVersion,
    RawEvent, encode_connect, encode_connect_error, encode_disconnect, encode_legacy_connect_error,
};

use crate::{
    events,
    handler::MiddlewareFuture,
    inner::ServerInner,
    mailbox::Mailbox,
    metrics::{SocketRefusal, Traffic},
    namespace::{KeptHandlers, Namespace},
    reason::{ConnectError, DisconnectReason},
    recovery::{Recoverable, Recoveries},
    sessions::SessionGuard,
    socket::Socket,
    socket_id::SocketId,
    stage::take_staged,
};

/// What the sockets cannot do alone: reading stops until the driver has done it.
pub(super) enum Interrupt {
    /// The client asks to join a namespace.
    Connect { namespace: Str, auth: Option<Str> },
    /// The client broke the protocol.
    Error(ProtocolError),
}

pub(super) struct Sockets {
    server: Arc<ServerInner>,
    mailbox: Arc<Mailbox>,
    pub(super) connection: Connection<SocketState>,
    /// Events that wait for their turn, and their size: what the client may still send is limited by it.
    queued_events: usize,
    queued_bytes: usize,
    /// Bytes of the events whose handlers have not finished, which may hold them.
    running_bytes: usize,
    /// How many those are, and those that wait for their turn.
    open_events: usize,
    /// A msgpack packet that came while there was no room for what it becomes.
    deferred: Option<Bytes>,
    /// An event was not started in this round, as too much waits for the client.
    held_back: bool,
    guard: SessionGuard,
}

/// One socket, and what its handlers are doing.
pub(super) struct SocketState {
    socket: Socket,
    handlers: KeptHandlers,
    /// The middlewares, while they decide. Events wait meanwhile.
    joining: Option<MiddlewareFuture>,
    /// `on_connect` and events whose handlers wait for something.
    running: Vec<Running>,
    /// The number of the last event whose handlers had to wait.
    last_number: u32,
    /// Events whose turn has not come.
    waiting: VecDeque<(RawEvent, Option<AckId>)>,
}

/// How many events these handlers are of. Those of one event are side by side.
fn count_events<'a>(handlers: impl Iterator<Item = &'a Running>) -> usize {
    let mut last = None;
    handlers
        .map(Running::number)
        .filter(|&number| last.replace(number) != Some(number))
        .count()
}

fn event_bytes(event: &RawEvent) -> usize {
    // What the queue itself needs for it counts, too.
    event.args().held_bytes() + 128
}

impl SocketState {
    fn new(socket: Socket, joining: Option<MiddlewareFuture>) -> Self {
        let handlers = KeptHandlers::new(socket.namespace());
        Self {
            socket,
            handlers,
            joining,
            running: Vec::new(),
            last_number: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Whether none of its handlers is running.
    fn is_idle(&self) -> bool {
        self.joining.is_none() && self.running.is_empty()
    }

    /// Whether the turn of the first event that waits has come.
    fn may_start(&mut self) -> bool {
        let Some((event, _)) = self.waiting.front() else {
            return false;
        };
        // Events do not overtake the middlewares and `on_connect`.
        if self.joining.is_some() || !self.running.iter().all(Running::is_event) {
            return false;
        }
        let handlers = self.handlers.get(self.socket.namespace());
        let in_order = |running: &&Running| !running.is_concurrent();
        let of_its_name = |running: &&Running| running.event() == event.name();
        let running = self.running.iter();
        let most = handlers.concurrent(event.name());
        count_events(running.clone().filter(in_order)) < handlers.concurrency
            && most.is_none_or(|most| count_events(running.filter(of_its_name)) < most)
    }

    /// Starts the handlers of an event; those that wait for something are kept.
    #[inline]
    fn start(&mut self, event: &RawEvent, id: Option<AckId>, cx: &mut Context<'_>) {
        let handlers = self.handlers.get(self.socket.namespace());
        events::start_event(&self.socket, handlers, event, id, cx, &mut self.running);
    }

    /// Numbers the handlers of an event that wait for something, from the index `first` on; the last one counts the event's
    /// bytes. Returns how many.
    #[cold]
    fn number(&mut self, event: &RawEvent, first: usize) -> usize {
        let bytes = event_bytes(event);
        let handlers = self.handlers.get(self.socket.namespace());
        let is_concurrent = handlers.concurrent(event.name()).is_some();
        self.last_number = self.last_number.wrapping_add(1);
        for running in self.running.iter_mut().skip(first) {
            running.set_number(self.last_number);
            if is_concurrent {
                running.set_concurrent();
            }
        }
        if let Some(last) = self.running.last_mut() {
            last.set_weight(bytes);
        }
        bytes
    }
}

/// Rooms are left even if the task ends in an unforeseen way.
impl Drop for SocketState {
    fn drop(&mut self) {
        self.socket.exit(false);
    }
}

impl Sockets {
    pub(super) fn new(
        server: &Arc<ServerInner>,
        mailbox: &Arc<Mailbox>,
        version: ProtocolVersion,
        guard: SessionGuard,
        now: Instant,
    ) -> Self {
        Self {
            server: Arc::clone(server),
            mailbox: Arc::clone(mailbox),
            connection: Connection::new(&server.connection_config, version, now),
            queued_events: 0,
            queued_bytes: 0,
            running_bytes: 0,
            open_events: 0,
            deferred: None,
            held_back: false,
            guard,
        }
    }

    // Facts.

    /// How many events wait for their turn.
    #[inline]
    pub(super) fn queued_events(&self) -> usize {
        self.queued_events
    }

    pub(super) fn len(&self) -> usize {
        self.connection.len()
    }

    /// Whether the middlewares of the socket at `index` are deciding. `None` if there is no socket.
    #[inline]
    pub(super) fn is_joining(&mut self, index: usize) -> Option<bool> {
        let state = self.connection.get_mut(index)?;
        Some(state.joining.is_some())
    }

    /// Whether no handler of any socket is running.
    #[inline]
    pub(super) fn are_idle(&self) -> bool {
        self.connection.sockets().all(SocketState::is_idle)
    }

    pub(super) fn index_of(&self, id: SocketId) -> Option<usize> {
        self.connection
            .sockets()
            .position(|state| state.socket.id() == id)
    }

    /// The id of one of the sockets, for logs.
    pub(super) fn any_id(&self) -> Option<SocketId> {
        let mut sockets = self.connection.sockets();
        sockets.next().map(|state| state.socket.id())
    }

    /// The parser that the client uses. With both parsers its first packet decides.
    #[inline]
    pub(super) fn parser(&self) -> Option<ParserKind> {
        self.connection.decoder().peer_parser()
    }

    /// Whether the client's messages are the application's.
    #[inline]
    pub(super) fn is_raw(&self) -> bool {
        self.server.raw_messages
    }

    // Whether reading goes on.

    /// Whether the client must wait before more of it is read and handled.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.is_behind() || !self.mailbox.has_room()
    }

    /// Whether too many events wait for handlers.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        // Nearly always nothing is going on.
        self.open_events > 0 && self.is_far_behind()
    }

    /// Whether reading stops. A single event may be of any size, and what comes after it may be what its handler waits for.
    #[cold]
    fn is_far_behind(&self) -> bool {
        let limits = &self.server.limits;
        let waiting = self.connection.decoder().waiting_bytes();
        let queued = self.queued_bytes + waiting;
        let events = self.open_events + usize::from(waiting > 0);
        let most = limits
            .max_queued_bytes
            .saturating_add(limits.max_message_bytes);
        self.queued_events >= limits.max_queued_events
            || (self.queued_events > 0 && queued >= limits.max_queued_bytes)
            || (events > 1 && queued + self.running_bytes >= most)
            || matches!(&self.deferred, Some(packet) if self.has_no_room(packet))
    }

    /// Whether a msgpack packet must wait: what it becomes, mostly less than three times as much, may be too much beside
    /// what is there.
    fn has_no_room(&self, packet: &Bytes) -> bool {
        let limits = &self.server.limits;
        let most = limits.max_message_bytes.saturating_mul(3);
        let held = self.queued_bytes + self.running_bytes;
        held > 0 && held + 3 * packet.len() > most.saturating_add(limits.max_queued_bytes)
    }

    /// Whether an event was not started since the last call, as too much waits for the client.
    #[inline]
    pub(super) fn take_held_back(&mut self) -> bool {
        std::mem::take(&mut self.held_back)
    }

    /// Takes the packet that came while there was no room for it.
    #[inline]
    pub(super) fn take_deferred(&mut self) -> Option<Message> {
        self.deferred.as_ref()?;
        self.deferred.take().map(Message::Binary)
    }

    // Reading.

    /// Handles a message of the client. Breaks with what is to be done before the next one.
    #[inline]
    pub(super) fn handle_message(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        message: Message,
    ) -> ControlFlow<Interrupt> {
        if self.is_raw() {
            self.handle_raw(cx, message);
            return ControlFlow::Continue(());
        }
        let message = match message {
            Message::Text(text) => match self.connection.handle_event(text) {
                Ok((index, id, event)) => {
                    self.handle_event(cx, index, id, &event);
                    event.reuse();
                    return ControlFlow::Continue(());
                }
                Err(text) => Message::Text(text),
            },
            binary @ Message::Binary(_) => binary,
        };
        self.handle_other(cx, now, message)
    }

    /// Handles a message that did not go the straight way.
    #[inline(never)]
    fn handle_other(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        message: Message,
    ) -> ControlFlow<Interrupt> {
        if let Message::Binary(packet) = &message
            && self.parser() == Some(ParserKind::Msgpack)
            && self.has_no_room(packet)
        {
            self.deferred = Some(packet.clone());
            return ControlFlow::Continue(());
        }
        let config = &self.server.connection_config;
        match self.connection.handle_message(config, now, message) {
            Ok(None) => {}
            Ok(Some(Input::Event {
                index,
                id,
                ref event,
            })) => self.handle_event(cx, index, id, event),
            Ok(Some(Input::Ack { index, id, args })) => {
                if let Some(state) = self.connection.get_mut(index) {
                    state.socket.acks().resolve(id, args);
                }
            }
            Ok(Some(Input::Connect { namespace, auth })) => {
                return ControlFlow::Break(Interrupt::Connect { namespace, auth });
            }
            Ok(Some(Input::Disconnect { index })) => {
                self.leave(now, index, DisconnectReason::ClientNamespaceDisconnect);
            }
            Err(error) => return ControlFlow::Break(Interrupt::Error(error)),
        }
        ControlFlow::Continue(())
    }

    /// Handles a message of a client that does not speak Socket.IO: an event of its only socket.
    #[cold]
    fn handle_raw(&mut self, cx: &mut Context<'_>, message: Message) {
        let args = match message {
            Message::Text(text) => Args::from_serialize(&(&*text,)),
            Message::Binary(bytes) => {
                let placeholder = br#"[{"_placeholder":true,"num":0}]"#;
                Args::from_json(placeholder.to_vec(), vec![bytes])
            }
        };
        match args {
            Ok(args) => self.handle_event(cx, 0, None, &RawEvent::new("message", args)),
            Err(error) => tracing::error!(%error, "message cannot be handed on"),
        }
    }

    fn handle_event(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        id: Option<AckId>,
        event: &RawEvent,
    ) {
        let Some(state) = self.connection.get_mut(index) else {
            return;
        };
        if state.joining.is_none() && state.waiting.is_empty() && state.running.is_empty() {
            // The straight way: nothing of this socket is going on.
            state.start(event, id, cx);
            if !state.running.is_empty() {
                self.running_bytes += state.number(event, 0);
                self.open_events += 1;
            }
            return;
        }
        self.queued_events += 1;
        self.open_events += 1;
        self.queued_bytes += event_bytes(event);
        state.waiting.push_back((event.clone(), id));
        self.run_waiting(cx, index);
    }

    // Handlers.

    /// Starts waiting events while their socket allows it.
    fn run_waiting(&mut self, cx: &mut Context<'_>, index: usize) {
        let Some(state) = self.connection.get_mut(index) else {
            return;
        };
        while state.may_start() {
            if !self.mailbox.has_room() {
                self.held_back = true;
                break;
            }
            let Some((event, id)) = state.waiting.pop_front() else {
                break;
            };
            self.queued_events -= 1;
            self.queued_bytes -= event_bytes(&event);
            let before = state.running.len();
            state.start(&event, id, cx);
            if state.running.len() > before {
                self.running_bytes += state.number(&event, before);
            } else {
                self.open_events -= 1;
            }
        }
        if state.waiting.is_empty() {
            state.waiting = VecDeque::new();
        }
    }

    /// Polls the handlers of a socket that wait for something, then starts its next events.
    #[inline]
    pub(super) fn poll_running(&mut self, cx: &mut Context<'_>, index: usize) {
        if let Some(state) = self.connection.get_mut(index)
            && !state.running.is_empty()
        {
            let SocketState {
                socket, running, ..
            } = state;
            running.retain_mut(|handler| {
                let is_pending = events::poll(handler, socket, cx).is_pending();
                if !is_pending && handler.weight() > 0 {
                    self.running_bytes -= handler.weight();
                    self.open_events -= 1;
                }
                is_pending
            });
            if running.is_empty() {
                *running = Vec::new();
            }
        }
        if self.queued_events > 0 {
            self.run_waiting(cx, index);
        }
    }

    // Joining.

    /// Starts the middlewares of a new socket, or refuses it. Returns its index.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "kept, or cloned if the namespace went in this moment"
    )]
    pub(super) fn join(
        &mut self,
        session: &mut Session,
        now: Instant,
        name: Str,
        auth: Option<Str>,
    ) -> Option<usize> {
        let auths = self.connection.sockets().map(|state| &state.socket);
        let kept: usize = auths.map(Socket::auth_bytes).sum();
        let auth_bytes = auth.as_ref().map_or(0, Str::held_bytes);
        if kept > 0 && kept + auth_bytes > self.server.limits.max_message_bytes {
            let error = ConnectError::new("auth too large");
            let metrics = &self.mailbox.metrics;
            metrics.socket_refused(SocketRefusal::AuthTooLarge);
            self.refuse(session, now, &name, &error, false);
            return None;
        }
        let (socket, joining) = loop {
            let Some(namespace) = self.server.namespace_for_client(&name) else {
                let error = ConnectError::new("Invalid namespace");
                let metrics = &self.mailbox.metrics;
                metrics.socket_refused(SocketRefusal::InvalidNamespace);
                self.refuse(session, now, &name, &error, true);
                return None;
            };
            let Ok((socket, joining)) = self.enter(&namespace, auth.clone()) else {
                let error = ConnectError::new("internal error");
                let metrics = &self.mailbox.metrics;
                metrics.socket_refused(SocketRefusal::InternalError);
                self.refuse(session, now, &name, &error, false);
                return None;
            };
            // It may have been forgotten in this moment, as there was nobody in it.
            let known = self.server.namespace(&name);
            if known.is_some_and(|known| known.is(&namespace)) {
                break (socket, joining);
            }
            socket.exit(true);
        };
        self.connection
            .join(name, SocketState::new(socket, joining));
        Some(self.connection.len() - 1)
    }

    /// Creates a socket in a namespace: a new one, or the one that the client had before its connection was lost. Returns it
    /// with what must end before it is accepted.
    fn enter(
        &self,
        namespace: &Namespace,
        auth: Option<Str>,
    ) -> Result<(Socket, Option<MiddlewareFuture>), getrandom::Error> {
        let may_recover = self.connection.version() == ProtocolVersion::V5;
        let recoveries = namespace.recoveries().filter(|_| may_recover);
        let asked = auth.as_deref();
        let restored =
            recoveries.and_then(|all| all.claim(namespace.name(), asked?, &self.mailbox.metrics));
        let (server, mailbox) = (Arc::clone(&self.server), Arc::clone(&self.mailbox));
        let (parser, namespace) = (self.parser(), namespace.clone());
        let Some(restored) = restored else {
            let id = SocketId::from_random(self.server.new_id()?);
            let pid = recoveries.map(|_| self.server.new_id()).transpose()?;
            let recovering = recoveries.zip(pid).map(|(all, pid)| all.begin(pid));
            let socket = Socket::new(id, namespace, server, mailbox, auth, parser, recovering);
            socket.enter();
            let joining = events::start_middlewares(&socket);
            return Ok((socket, joining));
        };
        let (id, recovering) = (restored.id, Some(restored.recovering));
        let socket = Socket::new(id, namespace, server, mailbox, auth, parser, recovering);
        socket.enter();
        socket.restore(&restored.rooms, restored.data);
        let skips = recoveries.is_some_and(Recoveries::skips_middlewares);
        let middlewares = (!skips)
            .then(|| events::start_middlewares(&socket))
            .flatten();
        let joining = events::after_end(restored.ended, middlewares);
        Ok((socket, joining))
    }

    /// Asks the middlewares of a socket for their decision. `None` if they have not decided.
    pub(super) fn poll_joining(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
    ) -> Option<Result<SocketId, ConnectError>> {
        let state = self.connection.get_mut(index)?;
        let verdict = match &mut state.joining {
            None => Ok(()),
            Some(joining) => match poll_caught(joining.as_mut(), cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok(verdict)) => verdict,
                Poll::Ready(Err(panic)) => {
                    events::report(
                        &state.socket,
                        &EventError::new("connection", EventErrorKind::Panic(panic)),
                    );
                    Err(ConnectError::new("internal error"))
                }
            },
        };
        state.joining = None;
        Some(verdict.map(|()| state.socket.id()))
    }

    /// Connects a socket that the middlewares have let in: answers the client, runs `on_connect`.
    pub(super) fn accept(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
        now: Instant,
        id: SocketId,
    ) {
        let Some(index) = self.index_of(id) else {
            return;
        };
        self.connection.accept(index);
        self.guard.connected();
        let Some(state) = self.connection.get_mut(index) else {
            return;
        };
        let socket = state.socket.clone();
        // A recipient from now on, after what it has missed. What others send waits until the reply is written.
        let Some(missed) = socket.connect() else {
            return session.close(now, CloseReason::ForcedClose);
        };
        for packet in &missed {
            self.send(session, now, packet, SendOptions::OWED);
        }
        let reply = match socket.recovering() {
            None => format!("{{\"sid\":\"{}\"}}", socket.id()),
            Some(recovering) => {
                let pid = recovering.pid().as_str();
                format!("{{\"sid\":\"{}\",\"pid\":\"{pid}\"}}", socket.id())
            }
        };
        let reply = match self.connection.version() {
            ProtocolVersion::V5 => encode_connect(socket.namespace().name(), Some(&reply)),
            ProtocolVersion::V4 => encode_connect(socket.namespace().name(), None),
        };
        if !self.is_raw() {
            self.send(session, now, &reply, SendOptions::OWED);
        }
        if let Some(state) = self.connection.get_mut(index) {
            events::start_connect(&socket, cx, &mut state.running);
        }
        self.run_waiting(cx, index);
    }

    /// Removes a socket that the middlewares have refused, and tells the client why.
    pub(super) fn reject(
        &mut self,
        session: &mut Session,
        now: Instant,
        index: usize,
        error: &ConnectError,
    ) {
        let Some(state) = self.connection.get_mut(index) else {
            return;
        };
        let name = Str::from(state.socket.namespace().name());
        state.socket.namespace().note_refused(&state.socket, error);
        let metrics = &self.mailbox.metrics;
        metrics.socket_refused(SocketRefusal::Middleware);
        state.socket.exit(false);
        self.forget(now, index);
        self.refuse(session, now, &name, error, false);
    }

    fn refuse(
        &self,
        session: &mut Session,
        now: Instant,
        namespace: &str,
        error: &ConnectError,
        unknown_namespace: bool,
    ) {
        self.send_staged(session, now);
        if self.is_raw() {
            return;
        }
        let packet = match self.connection.version() {
            ProtocolVersion::V4 if !unknown_namespace => {
                encode_legacy_connect_error(namespace, &error.message, error.data.as_ref())
            }
            _ => encode_connect_error(namespace, &error.message, error.data.as_ref()),
        };
        match packet {
            Ok(packet) => self.send(session, now, &packet, SendOptions::OWED),
            Err(error) => tracing::error!(%error, "refusal cannot be encoded"),
        }
    }

    // Leaving.

    /// Disconnects a socket for the server: the client gets a DISCONNECT.
    pub(super) fn disconnect(&mut self, session: &mut Session, now: Instant, index: usize) {
        self.send_staged(session, now);
        if !self.is_raw()
            && let Some(state) = self.connection.get_mut(index)
        {
            let packet = encode_disconnect(state.socket.namespace().name());
            self.send(session, now, &packet, SendOptions::OWED);
        }
        self.leave(now, index, DisconnectReason::ServerNamespaceDisconnect);
    }

    fn leave(&mut self, now: Instant, index: usize, reason: DisconnectReason) {
        if let Some(state) = self.forget(now, index) {
            self.end(state, reason);
        }
    }

    /// Takes a socket and its events out of what is counted.
    fn forget(&mut self, now: Instant, index: usize) -> Option<SocketState> {
        let config = &self.server.connection_config;
        let state = self.connection.leave(config, now, index)?;
        let held = state.running.iter().map(Running::weight);
        for bytes in held.filter(|&bytes| bytes > 0) {
            self.running_bytes -= bytes;
            self.open_events -= 1;
        }
        self.queued_events -= state.waiting.len();
        self.open_events -= state.waiting.len();
        let queued = state.waiting.iter().map(|(event, _)| event_bytes(event));
        self.queued_bytes -= queued.sum::<usize>();
        Some(state)
    }

    /// Ends all sockets, as the session has ended.
    pub(super) fn end_all(&mut self, reason: CloseReason) {
        self.queued_events = 0;
        self.queued_bytes = 0;
        self.running_bytes = 0;
        self.open_events = 0;
        self.deferred = None;
        for state in self.connection.take_all() {
            self.end(state, DisconnectReason::Session(reason));
        }
    }

    /// A socket has left: what it has begun goes on without the session, then `on_disconnect` runs.
    fn end(&self, mut state: SocketState, reason: DisconnectReason) {
        let may_return = matches!(reason, DisconnectReason::Session(reason) if reason != CloseReason::ParseError);
        if !state.socket.exit(may_return) {
            return;
        }
        let socket = state.socket.clone();
        let running = std::mem::take(&mut state.running);
        let waiting = std::mem::take(&mut state.waiting);
        if running.is_empty() && waiting.is_empty() && !socket.has_on_disconnect() {
            socket.drop_listeners();
            return;
        }
        let guard = self.server.task_guard();
        tokio::spawn(async move {
            events::finish(socket, running, waiting, reason).await;
            drop(guard);
        });
    }

    // Sending.

    /// Sends a packet in the encoding that this client uses.
    pub(super) fn send(
        &self,
        session: &mut Session,
        now: Instant,
        packet: &EncodedPacket,
        options: SendOptions,
    ) {
        let attachments = packet.attachments();
        let (is_sent, packets) = if self.parser() == Some(ParserKind::Msgpack) {
            (session.send(now, &packet.msgpack(), &[], options), 1)
        } else {
            let is_sent = session.send(now, packet.first(), attachments, options);
            (is_sent, 1 + attachments.len())
        };
        let metrics = &self.mailbox.metrics;
        if is_sent {
            metrics.sent(session.transport(), || Traffic::packets(packets));
        } else if options.volatile && session.is_open() {
            metrics.volatile_dropped();
        }
    }

    /// Sends finished frames.
    #[inline]
    pub(super) fn send_run(&self, session: &mut Session, now: Instant, run: FrameRun) {
        let packets = run.packets();
        if packets > 0 {
            let metrics = &self.mailbox.metrics;
            metrics.sent(Transport::WebSocket, || Traffic::packets(packets));
        }
        session.send_run(now, run);
    }

    /// Sends what the session's own handlers have sent in this turn.
    pub(super) fn send_staged(&self, session: &mut Session, now: Instant) {
        take_staged(|run, packets| {
            self.send_run(session, now, run);
            for (packet, options) in packets.drain(..) {
                self.send(session, now, &packet, options);
            }
        });
    }
}
