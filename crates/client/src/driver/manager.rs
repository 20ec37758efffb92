//! [`Manager`]: the sockets of one connection, and the rules by which they are connected, disconnected and connected again.
//! JavaScript: `Manager`.
//!
//! It does no I/O and takes the time as an argument. The [`Driver`](super::Driver) opens the wires that it asks for, feeds
//! it commands and messages, and calls [`handle_timeout`](Manager::handle_timeout) at its [`deadline`](Manager::deadline).

use std::{sync::Arc, task::Poll, time::Instant};

use kokanee_engineio::{CloseReason, Message, SendOptions, Str};
use kokanee_handler::Erased;
use kokanee_socketio::{Args, ClientInput, RawEvent, encode_disconnect};

use super::{
    connection::{Connection, Open, State},
    events::Facts,
    reconnect::{Next, Reconnect},
    socket::{Late, SocketState},
    sockets::Sockets,
    turn::Turn,
};
use crate::{
    engine::{ConnectFailure, wire::Wire},
    extract::ClientKind,
    handlers::Handlers,
    hub::{Command, Hub},
    reason::DisconnectReason,
    reply::{Reply, reply},
    socket::Core,
};

/// Bytes of answers that wait for the server to read them before the client stops to read, beside the send buffer.
const MAX_OWED_BYTES: usize = 8 << 20;

/// The sockets of one connection.
pub(super) struct Manager<W> {
    pub(super) hub: Arc<Hub>,
    pub(super) connection: Connection<W>,
    sockets: Sockets,
    reconnect: Reconnect,
    /// No handle exists any more.
    shutdown: bool,
}

impl<W: Wire> Manager<W> {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let parser = hub.options.parser;
        Self {
            hub,
            connection: Connection::new(parser),
            sockets: Sockets::default(),
            reconnect: Reconnect::default(),
            shutdown: false,
        }
    }

    /// Whether the client has ended: no handle exists, no connection, and no handler runs.
    pub(super) fn is_over(&self) -> bool {
        self.shutdown
            && matches!(self.connection.state, State::Closed)
            && !self.sockets.any(SocketState::is_running)
    }

    /// Whether so much waits for handlers, for readers or to be sent that the client must stop reading.
    pub(super) fn is_behind(&self) -> bool {
        // Only answers can exceed the send buffer so far, as `emit` waits for room.
        let max = self.hub.options.send_buffer_bytes;
        self.hub.leaving_bytes() > max.saturating_add(MAX_OWED_BYTES)
            || self.sockets.any(SocketState::is_behind)
    }

    // Commands.

    /// Does what handles ask for. What that causes is done later in the same round.
    pub(super) fn take_commands(&mut self, turn: &mut Turn<'_, '_>) {
        let Some((first, rest)) = self.hub.take() else {
            return;
        };
        // A connection whose time is over, perhaps because the process did not run, takes nothing more: what is sent is
        // for the next one.
        if let Some(open) = self.connection.open_mut()
            && !open.closing
            && let Some(reason) = open.wire.expire(turn.now)
        {
            self.handle_lost(turn, reason);
        }
        for command in std::iter::once(first).chain(rest) {
            self.handle_command(turn, command);
        }
    }

    fn handle_command(&mut self, turn: &mut Turn<'_, '_>, command: Command) {
        match command {
            Command::Emit { socket, outgoing } => {
                let socket = self.sockets.entry(&socket);
                socket.emit(turn.now, &mut self.connection, outgoing);
            }
            Command::Connect { socket, done } => self.connect(&socket, done),
            Command::Await { socket, done } => self.sockets.entry(&socket).wait(done),
            Command::Disconnect { socket, done } => {
                let socket = self.sockets.entry(&socket);
                socket.disconnect(turn, &mut self.connection, done);
                self.close_if_unwanted(turn.now);
            }
            Command::Reconnect => {
                if let State::Waiting { until } = &mut self.connection.state {
                    *until = turn.now;
                } else if !self.connection.is_closing() {
                    self.handle_lost(turn, CloseReason::TransportClose);
                }
            }
            // What has room again is looked at in this turn.
            Command::Resume => {}
            Command::Shutdown => {
                self.shutdown = true;
                for socket in self.sockets.iter_mut() {
                    socket.disconnect(turn, &mut self.connection, None);
                }
                self.close_if_unwanted(turn.now);
            }
        }
    }

    fn connect(&mut self, core: &Arc<Core>, done: Option<Reply<Result<(), ConnectFailure>>>) {
        if core.namespace.contains([',', '?']) {
            // The comma ends a namespace on the wire, and for servers a question mark begins its query.
            let failure = ConnectFailure::Option {
                option: "namespace",
                reason: "it contains a comma or a question mark".to_owned(),
            };
            if let Some(done) = done {
                reply(done, Err(failure));
            }
            return;
        }
        if self.sockets.entry(core).connect(done)
            // It is asked for now: no more waiting.
            && matches!(self.connection.state, State::Closed | State::Waiting { .. })
        {
            self.connection.state = State::Opening;
        }
    }

    /// Without any socket that wants it, there is no connection.
    fn close_if_unwanted(&mut self, now: Instant) {
        if self.sockets.any(SocketState::is_wanted) {
            return;
        }
        self.reconnect.reset();
        match self.connection.state {
            State::Open(_) => self.connection.close(now),
            _ => self.connection.state = State::Closed,
        }
    }

    // The connection.

    /// The wire that was asked for is open.
    pub(super) fn handle_opened(&mut self, wire: W) {
        self.hub.set_transport(Some(wire.transport()));
        self.hub
            .set_sid(wire.sid().map(|sid| Str::from(sid.to_owned())));
        self.connection.opened(&self.hub.options, wire);
        self.reconnect.on_opened();
    }

    /// The wire that was asked for could not be opened.
    pub(super) fn handle_open_failed(&mut self, turn: &mut Turn<'_, '_>, failure: ConnectFailure) {
        tracing::debug!(%failure, "connecting failed");
        self.connection.state = State::Closed;
        let failure = Arc::new(failure);
        let facts = Facts {
            failure: Some(&failure),
            attempt: self.reconnect.attempts(),
            ..Facts::default()
        };
        self.notify(turn, facts, |handlers| &handlers.connect_error);
        let next = self.reconnect.after_failure(&self.hub.options, turn.now);
        self.go_on(turn, next, &failure);
    }

    /// The connection has ended: sockets are disconnected, and connected again if they are wanted.
    pub(super) fn handle_lost(&mut self, turn: &mut Turn<'_, '_>, reason: CloseReason) {
        // It may be lost twice in one turn: what came last was garbage, and then the end.
        let Some(open) = self.connection.take_open() else {
            return;
        };
        let closing = open.closing;
        let is_complete = closing && open.wire.is_complete();
        let details = open.wire.close_details();
        drop(open);
        self.hub.set_transport(None);
        self.hub.set_sid(None);
        self.hub.set_upgrading(false);
        self.hub.set_outbound(0);
        for socket in self.sockets.iter_mut() {
            socket.on_lost(turn, DisconnectReason::Session(reason), details.as_ref());
        }
        // Without a connection nobody waits for room: there is, or the event is not taken.
        self.hub.wake_waiting();
        self.reply_flushed(is_complete);
        let text = match details {
            Some(details) => format!("{} ({details})", reason.as_str()),
            None => reason.as_str().to_owned(),
        };
        let source = std::io::Error::other(text);
        let failure = ConnectFailure::Interrupted {
            source: source.into(),
        };
        if !closing && !self.hub.options.retry_first_connect {
            // Sockets that were never connected are not connected again by themselves.
            for socket in self.sockets.iter_mut().filter(|socket| socket.is_first()) {
                socket.on_refused(turn, &Arc::new(failure.clone()));
            }
            self.on_settled(turn.now);
        }
        if !self.sockets.any(SocketState::is_wanted) {
            return;
        }
        if closing {
            // A socket was connected while the last connection was being closed.
            self.connection.state = State::Opening;
        } else {
            let next = self.reconnect.after_loss(&self.hub.options, turn.now);
            self.go_on(turn, next, &failure);
        }
    }

    /// Waits for the next attempt, or gives up.
    fn go_on(&mut self, turn: &mut Turn<'_, '_>, next: Next, failure: &ConnectFailure) {
        if let Next::Retry { at } = next {
            self.connection.state = State::Waiting { until: at };
            return;
        }
        if next == Next::AttemptsUsedUp {
            self.notify(turn, Facts::default(), |handlers| {
                &handlers.reconnect_failed
            });
        }
        self.reconnect.reset();
        for socket in self.sockets.iter_mut() {
            socket.give_up(failure);
        }
    }

    /// The session has moved to a WebSocket.
    pub(super) fn handle_upgraded(&mut self, turn: &mut Turn<'_, '_>) {
        let transport = self.connection.open().map(|open| open.wire.transport());
        self.hub.set_transport(transport);
        self.notify(turn, Facts::default(), |handlers| &handlers.upgrade);
    }

    /// What had to be on the wire is, if `all`, or will not be.
    pub(super) fn reply_flushed(&mut self, all: bool) {
        for socket in self.sockets.iter_mut() {
            socket.reply_flushed(all);
        }
    }

    /// Whether somebody waits for the end of a disconnection.
    pub(super) fn is_flushing(&self) -> bool {
        self.sockets.any(SocketState::is_flushing)
    }

    // Joining.

    /// Asks for the `auth` of every socket that wants to be connected, and sends its CONNECT. Returns whether one was sent.
    pub(super) fn poll_joins(&mut self, turn: &mut Turn<'_, '_>) -> bool {
        let version = match self.connection.open() {
            Some(open) if !open.closing => open.namespaces.version(),
            _ => return false,
        };
        let (mut has_joined, mut is_changed) = (false, false);
        let mut failed = Vec::new();
        for socket in self.sockets.iter_mut().filter(|socket| socket.is_to_join()) {
            let Poll::Ready(auth) = socket.poll_auth(turn.cx, version) else {
                continue;
            };
            has_joined = true;
            match auth {
                Ok(auth) => {
                    if socket.join(turn.now, &mut self.connection, auth) {
                        is_changed = true;
                        let attempt = self.reconnect.attempts();
                        socket.on_connected(turn, &mut self.connection, attempt, None, None);
                    }
                }
                Err(reason) => {
                    let option = "auth";
                    failed.push((socket.key, ConnectFailure::Option { option, reason }));
                }
            }
        }
        for (key, failure) in failed {
            self.refuse(turn, key, failure);
        }
        if is_changed {
            self.on_settled(turn.now);
        }
        has_joined
    }

    /// A socket was connected or refused.
    fn on_settled(&mut self, now: Instant) {
        if self.sockets.iter().all(SocketState::is_settled) {
            self.reconnect.on_settled();
        }
        self.close_if_unwanted(now);
    }

    // Messages.

    pub(super) fn handle_message(&mut self, turn: &mut Turn<'_, '_>, message: Message) {
        if self.hub.options.raw_messages {
            return self.handle_raw(turn, message);
        }
        let Some(open) = self.connection.open_mut() else {
            return;
        };
        match open.namespaces.handle_message(message) {
            Ok(Some(input)) => self.handle_input(turn, input),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "protocol error, closing");
                self.handle_lost(turn, CloseReason::ParseError);
            }
        }
    }

    /// Handles a message whose protocol is the application's: an event of the only socket.
    fn handle_raw(&mut self, turn: &mut Turn<'_, '_>, message: Message) {
        // What comes with the open packet may be here before the socket has joined.
        let Some(socket) = self.sockets.iter_mut().find(|it| it.is_wanted()) else {
            return;
        };
        let number = socket.connection_number();
        let args = match message {
            Message::Text(text) => Args::from_serialize(&(&*text, number)),
            Message::Binary(bytes) => {
                let json = format!(r#"[{{"_placeholder":true,"num":0}},{number}]"#);
                Args::from_json(json.into_bytes(), vec![bytes])
            }
        };
        match args {
            Ok(args) => socket.on_event(turn, None, RawEvent::new("message", args)),
            Err(error) => {
                tracing::debug!(%error, "message cannot be handed on, closing");
                self.handle_lost(turn, CloseReason::ParseError);
            }
        }
    }

    fn handle_input(&mut self, turn: &mut Turn<'_, '_>, input: ClientInput) {
        let (ClientInput::Connected { index, .. }
        | ClientInput::Refused { index, .. }
        | ClientInput::OlderServer { index }
        | ClientInput::Event { index, .. }
        | ClientInput::Ack { index, .. }
        | ClientInput::Disconnected { index }) = input;
        let open = self.connection.open_mut();
        let Some(key) = open.and_then(|open| open.namespaces.get_mut(index).copied()) else {
            return;
        };
        let Some(socket) = self.sockets.by_key(key) else {
            return;
        };
        match input {
            ClientInput::Event { id, event, .. } => socket.on_event(turn, id, event),
            ClientInput::Ack { id, args, .. } => {
                socket.on_ack(turn, &mut self.connection, id, args);
            }
            ClientInput::Connected { sid, pid, .. } => {
                let attempt = self.reconnect.attempts();
                socket.on_connected(turn, &mut self.connection, attempt, sid, pid);
                self.on_settled(turn.now);
            }
            ClientInput::Refused { .. } if socket.is_connected() => {
                tracing::debug!("a connected namespace was refused, closing");
                self.handle_lost(turn, CloseReason::ParseError);
            }
            ClientInput::Refused {
                message,
                data,
                payload,
                ..
            } => {
                let failure = ConnectFailure::Refused {
                    message,
                    data,
                    payload: payload.map(|payload| payload.as_str().into()),
                };
                self.refuse(turn, key, failure);
            }
            ClientInput::OlderServer { .. } => {
                let failure = ConnectFailure::WrongRevision {
                    revision: 4,
                    other: 3,
                };
                self.refuse(turn, key, failure);
            }
            ClientInput::Disconnected { .. } if socket.is_connected() => {
                self.connection.leave(key);
                socket.on_server_disconnect(turn);
                self.close_if_unwanted(turn.now);
            }
            ClientInput::Disconnected { .. } => {
                let failure = ConnectFailure::Refused {
                    message: "disconnected by the server".to_owned(),
                    data: None,
                    payload: None,
                };
                self.refuse(turn, key, failure);
            }
        }
    }

    /// A socket is not connected: it leaves the connection, and the application learns why.
    fn refuse(&mut self, turn: &mut Turn<'_, '_>, key: u64, failure: ConnectFailure) {
        if self.hub.options.retry_refused
            && let Some(socket) = self.sockets.by_key(key)
            && !socket.is_first()
        {
            socket.on_failed(turn, &Arc::new(failure));
            return self.handle_lost(turn, CloseReason::TransportClose);
        }
        self.connection.leave(key);
        if let Some(socket) = self.sockets.by_key(key) {
            socket.on_refused(turn, &Arc::new(failure));
        }
        self.on_settled(turn.now);
    }

    // Time.

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let connection = match &self.connection.state {
            State::Waiting { until } => Some(*until),
            State::Open(open) if self.is_flushing() => open.end_deadline(),
            _ => None,
        };
        let sockets = self.sockets.iter().filter_map(SocketState::deadline);
        sockets.chain(connection).min()
    }

    /// Does what is due by now.
    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_, '_>) {
        if let State::Waiting { until } = self.connection.state
            && until <= turn.now
        {
            let facts = Facts {
                attempt: self.reconnect.begin_attempt(),
                ..Facts::default()
            };
            self.notify(turn, facts, |handlers| &handlers.reconnect_attempt);
            self.connection.state = State::Opening;
        }
        for socket in self.sockets.iter_mut() {
            socket.handle_timeout(turn, &mut self.connection);
        }
        self.check_joins(turn);
        let mut end = self.connection.open().and_then(Open::end_deadline);
        if end.take_if(|end| *end <= turn.now).is_some() {
            // The end is on the wire, even if the server does not react.
            self.reply_flushed(true);
        }
    }

    /// Decides on namespaces that have not answered CONNECT in time.
    fn check_joins(&mut self, turn: &mut Turn<'_, '_>) {
        let now = turn.now;
        let late = |socket: &SocketState| Some((socket.key, socket.late(now)?));
        while let Some((key, late)) = self.sockets.iter().find_map(late)
            && let Some(socket) = self.sockets.by_key(key)
        {
            match late {
                Late::Accepted => {
                    let attempt = self.reconnect.attempts();
                    socket.on_connected(turn, &mut self.connection, attempt, None, None);
                    self.on_settled(now);
                }
                Late::Reconnect => return self.handle_lost(turn, CloseReason::PingTimeout),
                Late::Refused => {
                    let packet = encode_disconnect(&socket.core.namespace);
                    self.connection.send(now, &packet, SendOptions::default());
                    let after = self.hub.options.engine.connect_timeout;
                    self.refuse(turn, key, ConnectFailure::Timeout { after });
                }
            }
        }
    }

    // Handlers.

    /// Calls the life-cycle handlers of every socket that wants to be connected.
    fn notify<K: ClientKind>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        facts: Facts<'_>,
        select: impl Fn(&Handlers) -> &[Erased<K>],
    ) {
        for socket in self.sockets.wanted() {
            socket.notify(turn, facts, &select);
        }
    }

    /// Polls the handlers that wait for something.
    pub(super) fn poll_handlers(&mut self, turn: &mut Turn<'_, '_>) {
        for socket in self.sockets.iter_mut() {
            socket.poll_handlers(turn);
        }
    }

    /// Ends everything: nobody waits for anything any more.
    pub(super) fn finish(&mut self) {
        self.hub.close();
        for socket in self.sockets.iter_mut() {
            socket.finish();
        }
    }
}
