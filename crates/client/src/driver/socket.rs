//! [`SocketState`]: one socket as the driver sees it: how far it is connected, and what waits for that.
//!
//! ```text
//!         connect()          open             auth              CONNECT
//!   Idle ──────────► Wanted ──────► Authenticating ──────► Joining ──────► Connected
//!    ▲                 ▲ the connection was lost              │                │
//!    │                 └──────────────────────────────────────┴────────────────┤
//!    └── disconnect(), refused, disconnected by the server, gave up ───────────┘
//! ```

use std::{
    collections::VecDeque,
    future::ready,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use kokanee_engineio::{SendOptions, Str};
use kokanee_handler::{AckError, Erased, caught, poll_caught};
use kokanee_socketio::{AckId, Args, Join, ProtocolVersion, RawEvent, encode_connect};

use super::{
    connection::Connection,
    events::{EventQueue, Facts},
    recovery::Recovery,
    retry::RetryQueue,
    turn::Turn,
};
use crate::{
    engine::{ConnectFailure, wire::Wire},
    extract::ClientKind,
    handlers::Handlers,
    hub::Outgoing,
    options::{Auth, AuthFuture, AuthValue},
    reason::{CloseDetails, DisconnectReason},
    reply::{Reply, reply},
    socket::Core,
    unclaimed::Pace,
};

/// Time in which an old server must have refused `/` after the client has left it before. It need not accept it. The gap after
/// the goodbye, up to 1 s, is part of it.
const SILENT_JOIN: Duration = Duration::from_secs(2);

/// How far a socket is.
enum Phase {
    /// It does not want to be connected.
    Idle,
    /// It will be connected when the connection is open.
    Wanted,
    /// The application has not returned its `auth` yet.
    Authenticating(AuthFuture),
    /// CONNECT was sent. The namespace must have answered by then.
    Joining {
        deadline: Instant,
        /// Silence is an acceptance.
        silently: bool,
    },
    Connected,
}

/// What follows a namespace that has not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// The namespace has accepted by saying nothing.
    Accepted,
    /// As if the network had failed: the next connection may be a better one.
    Reconnect,
    /// The socket is not connected.
    Refused,
}

/// Somebody who waits for what was sent before a disconnection to be on the wire.
struct Flushing {
    /// Whether something had not left then. If not, only the goodbye can be lost.
    has_unsent: bool,
    done: Reply<bool>,
}

/// One socket of the connection.
pub(super) struct SocketState {
    pub(super) key: u64,
    pub(super) core: Arc<Core>,
    phase: Phase,
    /// Whether its namespace has accepted it since it was asked to connect.
    was_connected: bool,
    /// Those who wait for the namespace to accept.
    waiters: Vec<Reply<Result<(), ConnectFailure>>>,
    /// Why it does not want to be connected, if it does not.
    inactive_because: ConnectFailure,
    /// Packets that wait for the connection.
    buffer: VecDeque<Outgoing>,
    retries: RetryQueue,
    recovery: Recovery,
    events: EventQueue,
    flushing: Vec<Flushing>,
}

impl SocketState {
    pub(super) fn new(key: u64, core: Arc<Core>) -> Self {
        let retries = RetryQueue::new(&core.hub.options);
        Self {
            key,
            core,
            phase: Phase::Idle,
            was_connected: false,
            waiters: Vec::new(),
            inactive_because: ConnectFailure::GivenUp,
            buffer: VecDeque::new(),
            retries,
            recovery: Recovery::default(),
            events: EventQueue::default(),
            flushing: Vec::new(),
        }
    }

    /// Whether it wants to be connected.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }

    /// The number of the connection that is open: that of the socket's connections.
    pub(super) fn connection_number(&self) -> u64 {
        self.core.connection() + u64::from(!self.is_connected())
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Whether it is wanted, but its namespace has never accepted it.
    pub(super) fn is_first(&self) -> bool {
        self.is_wanted() && !self.was_connected
    }

    /// Whether it waits for nothing: it is connected, or does not want to be.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Connected)
    }

    /// Whether it has to join its namespace.
    pub(super) fn is_to_join(&self) -> bool {
        matches!(self.phase, Phase::Wanted | Phase::Authenticating(_))
    }

    pub(super) fn is_running(&self) -> bool {
        self.events.is_running()
    }

    /// Whether a handle may use it again, or something of it goes on.
    pub(super) fn is_used(&self) -> bool {
        Arc::strong_count(&self.core) > 1 || self.is_wanted() || self.is_running()
    }

    /// Whether so much waits for its handlers or readers that nothing may be read.
    pub(super) fn is_behind(&self) -> bool {
        // While it joins, nothing comes for readers except the answer to that.
        !matches!(self.phase, Phase::Joining { .. }) && self.events.has_slow_reader(&self.core)
            || self.events.is_full(&self.core)
    }

    /// Returns when something must be done even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let joining = match self.phase {
            Phase::Joining { deadline, .. } => Some(deadline),
            _ => None,
        };
        let all = [
            joining,
            self.retries.deadline(),
            self.events.deadline(&self.core),
        ];
        all.into_iter().flatten().min()
    }

    // Connecting.

    /// Asks for a connection. Returns whether it must be made: the socket is not connected yet.
    pub(super) fn connect(&mut self, done: Option<Reply<Result<(), ConnectFailure>>>) -> bool {
        if self.is_connected() {
            if let Some(done) = done {
                reply(done, Ok(()));
            }
            return false;
        }
        self.waiters.extend(done);
        if !self.is_wanted() {
            self.phase = Phase::Wanted;
            self.core.set_active(true);
        }
        true
    }

    /// Replies when the socket is connected, or will not be.
    pub(super) fn wait(&mut self, done: Reply<Result<(), ConnectFailure>>) {
        match self.phase {
            Phase::Connected => reply(done, Ok(())),
            Phase::Idle => reply(done, Err(self.inactive_because.clone())),
            _ => self.waiters.push(done),
        }
    }

    /// Asks the application for `auth`, once for each connection. Ready when it is there: CONNECT must be sent.
    pub(super) fn poll_auth(
        &mut self,
        cx: &mut TaskContext<'_>,
        version: ProtocolVersion,
    ) -> Poll<AuthValue> {
        if let Phase::Wanted = self.phase {
            // Old servers connect `/` without an `auth`, and do not wait for one.
            let is_asked = version == ProtocolVersion::V5 || *self.core.namespace != *"/";
            let auth = match &self.core.hub.options.auth {
                Auth::Function(function) if is_asked => caught(|| function()),
                Auth::Value(value) if is_asked => Ok(ready(value.clone()).boxed()),
                _ => Ok(ready(Ok(serde_json::Value::Null)).boxed()),
            };
            self.phase = Phase::Authenticating(
                auth.unwrap_or_else(|panic| ready(Err(panicked(&panic))).boxed()),
            );
        }
        let Phase::Authenticating(auth) = &mut self.phase else {
            return Poll::Pending;
        };
        poll_caught(auth.as_mut(), cx)
            .map(|auth| auth.unwrap_or_else(|panic| Err(panicked(&panic))))
    }

    /// Joins the namespace: sends CONNECT if the server waits for one. Returns whether the server has accepted already.
    pub(super) fn join<W: Wire>(
        &mut self,
        now: Instant,
        connection: &mut Connection<W>,
        auth: serde_json::Value,
    ) -> bool {
        let is_raw = self.core.hub.options.raw_messages;
        if !is_raw {
            // What came before it was asked for is for nobody.
            drop(self.events.take_before_connect());
        }
        let Some(open) = connection.open_mut() else {
            self.phase = Phase::Wanted;
            return false;
        };
        let namespace = &*self.core.namespace;
        let join = open
            .namespaces
            .join(Str::from(namespace.to_owned()), self.key);
        let silently = join == Join::SendAgain;
        let timeout = if silently {
            SILENT_JOIN
        } else {
            self.core.hub.options.engine.connect_timeout
        };
        self.phase = Phase::Joining {
            deadline: now + timeout,
            silently,
        };
        match join {
            _ if is_raw => return true,
            Join::Wait => return false,
            Join::Done => return true,
            Join::Send | Join::SendAgain => {}
        }
        let packet = match open.namespaces.version() {
            ProtocolVersion::V5 => {
                let auth = self.recovery.auth(auth).map(|auth| auth.to_string());
                encode_connect(namespace, auth.as_deref())
            }
            ProtocolVersion::V4 => encode_connect(&legacy_namespace(namespace, &auth), None),
        };
        connection.send_connect(now, &packet);
        false
    }

    /// The namespace has accepted: sends what has waited for that.
    pub(super) fn on_connected<W: Wire>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        connection: &mut Connection<W>,
        attempt: u32,
        sid: Option<Str>,
        pid: Option<Str>,
    ) {
        if !matches!(self.phase, Phase::Joining { .. }) {
            return;
        }
        self.phase = Phase::Connected;
        self.was_connected = true;
        let sid = sid.or_else(|| connection.legacy_id(&self.core.namespace));
        self.core.set_recoverable(pid.is_some());
        self.core.set_identity(sid, self.recovery.on_connected(pid));
        if self.core.connection() == 0 {
            self.events.gather(&self.core, turn.now);
        }
        self.core.count_connection();
        self.core.set_connected(true);
        for waiter in self.waiters.drain(..) {
            reply(waiter, Ok(()));
        }
        for outgoing in std::mem::take(&mut self.buffer) {
            self.core
                .hub
                .release_kept(&self.core.held, outgoing.weight());
            // A caller that has given up on the answer may have sent the event again.
            if outgoing.ack.is_none_or(|id| self.core.acks.is_waiting(id)) {
                self.send(turn.now, connection, &outgoing);
            }
        }
        self.send_retried(turn.now, connection);
        let facts = Facts {
            attempt,
            ..Facts::default()
        };
        self.notify(turn, facts, |handlers| &handlers.connect);
        if attempt > 0 {
            self.notify(turn, facts, |handlers| &handlers.reconnect);
        }
        for (event, id) in self.events.take_before_connect() {
            self.on_event(turn, id, event);
        }
    }

    /// The socket is not connected, and is not to be any more.
    pub(super) fn on_refused(&mut self, turn: &mut Turn<'_, '_>, failure: &Arc<ConnectFailure>) {
        self.deactivate(failure);
        self.on_failed(turn, failure);
    }

    /// An attempt to connect the socket has failed.
    pub(super) fn on_failed(&mut self, turn: &mut Turn<'_, '_>, failure: &Arc<ConnectFailure>) {
        let facts = Facts {
            failure: Some(failure),
            ..Facts::default()
        };
        self.notify(turn, facts, |handlers| &handlers.connect_error);
    }

    /// Says what follows if the namespace has not answered by now.
    pub(super) fn late(&self, now: Instant) -> Option<Late> {
        let Phase::Joining { deadline, silently } = self.phase else {
            return None;
        };
        if deadline > now {
            return None;
        }
        Some(if silently {
            Late::Accepted
        } else if self.was_connected || self.core.hub.options.retry_first_connect {
            Late::Reconnect
        } else {
            Late::Refused
        })
    }

    // Disconnecting.

    /// Disconnects on request. Replies when that is on the wire.
    pub(super) fn disconnect<W: Wire>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        connection: &mut Connection<W>,
        done: Option<Reply<bool>>,
    ) {
        let has_unsent = connection.has_unsent();
        let phase = self.deactivate(&ConnectFailure::GivenUp);
        if matches!(phase, Phase::Connected | Phase::Joining { .. }) {
            if self.core.hub.options.raw_messages {
                connection.leave(self.key);
            } else {
                connection.send_disconnect(turn.now, &self.core.namespace, self.key);
            }
        }
        if let Phase::Connected = phase {
            self.on_disconnected(turn, DisconnectReason::Client, None);
        }
        self.flushing
            .extend(done.map(|done| Flushing { has_unsent, done }));
    }

    /// The server has disconnected the socket.
    pub(super) fn on_server_disconnect(&mut self, turn: &mut Turn<'_, '_>) {
        self.deactivate(&ConnectFailure::GivenUp);
        self.on_disconnected(turn, DisconnectReason::Server, None);
    }

    /// The connection is lost. The socket is to be connected by the next one.
    pub(super) fn on_lost(
        &mut self,
        turn: &mut Turn<'_, '_>,
        reason: DisconnectReason,
        details: Option<&CloseDetails>,
    ) {
        drop(self.events.take_before_connect());
        if self.is_wanted()
            && let Phase::Connected = std::mem::replace(&mut self.phase, Phase::Wanted)
        {
            self.on_disconnected(turn, reason, details);
        }
    }

    fn on_disconnected(
        &mut self,
        turn: &mut Turn<'_, '_>,
        reason: DisconnectReason,
        details: Option<&CloseDetails>,
    ) {
        self.events.hand_out(turn, &self.core, None, Pace::Hurry);
        self.core.set_connected(false);
        self.core.set_identity(None, false);
        if matches!(reason, DisconnectReason::Client | DisconnectReason::Server) {
            self.recovery.clear();
        }
        self.retries.on_disconnected();
        self.core.acks.fail_sent();
        let facts = Facts {
            reason: Some(reason),
            details,
            ..Facts::default()
        };
        self.notify(turn, facts, |handlers| &handlers.disconnect);
    }

    /// The socket does not want to be connected any more; those who wait for that learn why. Returns how far it was.
    fn deactivate(&mut self, failure: &ConnectFailure) -> Phase {
        drop(self.events.take_before_connect());
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        self.inactive_because = failure.clone();
        for waiter in self.waiters.drain(..) {
            reply(waiter, Err(failure.clone()));
        }
        self.core.set_connected(false);
        self.core.set_active(false);
        self.was_connected = false;
        self.fail_kept();
        phase
    }

    /// Gives up: no attempt to connect follows.
    pub(super) fn give_up(&mut self, failure: &ConnectFailure) {
        self.deactivate(failure);
    }

    /// Drops the packets that wait for a connection and for an answer: nobody knows when it would come. The others leave with
    /// the next connection.
    fn fail_kept(&mut self) {
        let core = &self.core;
        let keep = |outgoing: &Outgoing| {
            let failed = outgoing
                .ack
                .is_some_and(|id| core.acks.resolve(id, Err(AckError::Disconnected)));
            if failed {
                core.hub.release_kept(&core.held, outgoing.weight());
            }
            !failed
        };
        self.buffer.retain(keep);
        self.retries.retain(keep);
    }

    /// Releases what waits, as nobody uses the socket any more.
    pub(super) fn release(&self) {
        for outgoing in self.buffer.iter().chain(self.retries.iter()) {
            self.core
                .hub
                .release_kept(&self.core.held, outgoing.weight());
        }
    }

    /// Whether somebody waits for the end of a disconnection.
    pub(super) fn is_flushing(&self) -> bool {
        !self.flushing.is_empty()
    }

    /// What had to be on the wire is, if `all`, or will not be.
    pub(super) fn reply_flushed(&mut self, all: bool) {
        // What waits for another connection, or to be sent once more, has not left either.
        let keeps_some = !self.buffer.is_empty() || !self.retries.is_empty();
        for flushing in self.flushing.drain(..) {
            reply(flushing.done, (all || !flushing.has_unsent) && !keeps_some);
        }
    }

    /// The client has ended: nobody waits for anything any more.
    pub(super) fn finish(&mut self) {
        for waiter in self.waiters.drain(..) {
            reply(waiter, Err(ConnectFailure::GivenUp));
        }
        self.core.set_connected(false);
        self.core.set_active(false);
        self.core.acks.fail_all();
        for subscriber in self.core.subscribers() {
            subscriber.end();
        }
        self.reply_flushed(false);
    }

    // Packets.

    /// Sends a packet, now or when the socket is connected.
    pub(super) fn emit<W: Wire>(
        &mut self,
        now: Instant,
        connection: &mut Connection<W>,
        outgoing: Outgoing,
    ) {
        let (hub, weight) = (&self.core.hub, outgoing.weight());
        if outgoing.retried {
            hub.count_kept(&self.core.held, weight);
            self.retries.push(outgoing);
            return self.send_retried(now, connection);
        }
        // Of the last connection, such as the answer to one of its events.
        let is_late = outgoing
            .connection
            .is_some_and(|number| number != self.core.connection());
        let is_kept = !outgoing.options.volatile && outgoing.connection.is_none();
        if self.is_connected() && !is_late {
            hub.release(weight);
            self.send(now, connection, &outgoing);
        } else if is_kept {
            hub.count_kept(&self.core.held, weight);
            self.buffer.push_back(outgoing);
        } else {
            hub.release(weight);
            if let Some(id) = outgoing.ack {
                self.core.acks.resolve(id, Err(AckError::Disconnected));
            }
        }
    }

    fn send<W: Wire>(&self, now: Instant, connection: &mut Connection<W>, outgoing: &Outgoing) {
        if let Some(id) = outgoing.ack {
            self.core.acks.mark_sent(id);
        }
        connection.send(now, &outgoing.packet, outgoing.options);
    }

    /// Sends the next packet that is sent until it is acknowledged.
    fn send_retried<W: Wire>(&mut self, now: Instant, connection: &mut Connection<W>) {
        if self.is_connected()
            && let Some(outgoing) = self.retries.poll_send(now)
        {
            connection.send(now, &outgoing.packet, SendOptions::default());
        }
    }

    pub(super) fn on_event(&mut self, turn: &mut Turn<'_, '_>, id: Option<AckId>, event: RawEvent) {
        self.recovery.on_event(id, &event);
        if self.is_connected() {
            self.events.on_event(turn, &self.core, id, event);
        } else {
            // Some servers send events before they have accepted the namespace.
            self.events.push_before_connect(id, event);
        }
    }

    pub(super) fn on_ack<W: Wire>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        connection: &mut Connection<W>,
        id: AckId,
        args: Args,
    ) {
        self.events.hand_out(turn, &self.core, None, Pace::Hurry);
        let acknowledged = self.retries.on_ack(id);
        self.core.acks.resolve(id, Ok(args));
        if let Some(outgoing) = acknowledged {
            self.core
                .hub
                .release_kept(&self.core.held, outgoing.weight());
            self.send_retried(turn.now, connection);
        }
    }

    /// Sends again what was not acknowledged in time, or gives it up; hands out events that have waited long enough.
    pub(super) fn handle_timeout<W: Wire>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        connection: &mut Connection<W>,
    ) {
        if let Some(given_up) = self.retries.handle_timeout(turn.now) {
            self.core
                .hub
                .release_kept(&self.core.held, given_up.weight());
            if let Some(id) = given_up.ack {
                self.core.acks.resolve(id, Err(AckError::Timeout));
            }
        }
        self.send_retried(turn.now, connection);
        self.events.hand_out(turn, &self.core, None, Pace::Normal);
    }

    // Handlers.

    /// Calls handlers of the life cycle.
    pub(super) fn notify<K: ClientKind>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        facts: Facts<'_>,
        select: impl FnOnce(&Handlers) -> &[Erased<K>],
    ) {
        self.events.notify(turn, &self.core, facts, select);
    }

    /// Polls the handlers that wait for something.
    pub(super) fn poll_handlers(&mut self, turn: &mut Turn<'_, '_>) {
        self.events.poll(turn, &self.core);
    }
}

fn panicked(panic: &str) -> String {
    format!("its function has panicked: {panic}")
}

/// Returns the namespace with the `auth` as its query, as old servers take it.
fn legacy_namespace(namespace: &str, auth: &serde_json::Value) -> String {
    let Some(object) = auth.as_object().filter(|object| !object.is_empty()) else {
        return namespace.to_owned();
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in object {
        match value.as_str() {
            Some(text) => query.append_pair(name, text),
            None => query.append_pair(name, &value.to_string()),
        };
    }
    format!("{namespace}?{}", query.finish())
}
