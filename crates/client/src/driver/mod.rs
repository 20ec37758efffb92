//! The task that owns one connection: its engine, the namespaces on it, their handlers, and what happens between two
//! connections.
//!
//! Handles send it commands through the [`Hub`]. One turn does: commands, the link, handlers, timers; it repeats while
//! there is something to do.
//!
//! ```text
//!            connect()                opened                     lost
//!   Idle ───────────────► Opening ───────────► Open ────────────────────┐
//!    ▲                      ▲  │ failed                                 ▼
//!    │ disconnect(), gave up│  └──────────────────────────────────► Waiting
//!    └──────────────────────┴───────────── back-off is over ───────────┘
//! ```

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use kokanee_engineio::{CloseReason, Message, Revision, SendOptions, Str};
use kokanee_handler::{Ack, AckError, Erased, Running, caught, poll_caught, start};
use kokanee_socketio::{
    AckId, ClientConnection, ClientInput, EncodedPacket, Join, ParserKind, ProtocolVersion,
    RawEvent, encode_connect, encode_disconnect,
};
use tokio::{sync::oneshot, time::Sleep};

use crate::{
    acks::{DEFAULT_ACK_TIMEOUT, Sink},
    engine::{ConnectFailure, Engine, UpgradeEvent},
    extract::{ClientKind, Context},
    handlers::{Handlers, Handling},
    hub::{Command, Guard, Hub, Outgoing},
    options::{Auth, AuthValue},
    reason::{CloseDetails, DisconnectReason},
    socket::{Core, Socket},
    stream::Received,
    unclaimed::{Fate, Pace, Takers, Unclaimed},
};

/// Events that wait for a handler before the client stops to read, and their bytes.
const MAX_QUEUED_EVENTS: usize = 1024;
const MAX_QUEUED_BYTES: usize = 8 << 20;
/// Bytes of answers that wait for the server to read them before the client stops to read, beside the send buffer.
const MAX_OWED_BYTES: usize = 8 << 20;
/// Time in which an old server must have refused `/` that we have left before. It need not accept it. The gap after the goodbye,
/// up to 1 s, is part of it.
const SILENT_JOIN: Duration = Duration::from_secs(2);
/// Time for the server to end a connection that we have closed, before those who wait for the end are told.
const END_GRACE: Duration = Duration::from_secs(1);
/// Longest text that is taken for an offset of a server that recovers connections.
const MAX_OFFSET_BYTES: usize = 64;
/// Messages for which memory is kept between two turns.
const KEPT_MESSAGES: usize = 4;
/// Rounds of one turn, after which other tasks get their chance.
const ROUNDS_PER_TURN: usize = 16;

type Opening = Pin<Box<dyn Future<Output = Result<Engine, ConnectFailure>> + Send>>;
type Joining = Pin<Box<dyn Future<Output = AuthValue> + Send>>;
type Done<T> = oneshot::Sender<T>;

/// The connection to the server.
enum Link {
    Idle,
    Opening(Opening),
    Open(Box<Open>),
    /// Until the next attempt.
    Waiting(Pin<Box<Sleep>>),
}

/// A connection that is up.
struct Open {
    engine: Engine,
    /// Each namespace and the key of its member.
    connection: ClientConnection<u64>,
    /// We have ended it.
    closing: bool,
    /// When those who wait for the end are told, even if the server has not ended the connection by then.
    told_by: Option<Instant>,
}

/// How far a socket has come.
enum Phase {
    /// It does not want to be connected.
    Idle,
    /// It will be connected when the link is up.
    Wanted,
    /// Its `auth` is being made.
    Authenticating(Joining),
    /// CONNECT was sent. The namespace must have answered by then, unless silence is an acceptance.
    Joining {
        until: Instant,
        silently: bool,
    },
    Connected,
}

/// One socket, and what its handlers are doing.
struct Member {
    key: u64,
    core: Arc<Core>,
    phase: Phase,
    /// Whether its namespace has accepted it since it was told to connect.
    was_connected: bool,
    waiters: Vec<Done<Result<(), ConnectFailure>>>,
    /// Why it does not want to be connected, if it does not.
    rests_for: ConnectFailure,
    /// Packets that wait for the connection.
    buffer: VecDeque<Outgoing>,
    /// Packets that are sent until they are acknowledged, one at a time.
    retried: VecDeque<Retried>,
    running: Vec<Running>,
    /// Events whose turn has not come, and their bytes.
    waiting: VecDeque<(RawEvent, Ack)>,
    /// Events that came before the namespace has accepted.
    early: VecDeque<(RawEvent, Option<AckId>)>,
    /// Of all these events.
    waiting_bytes: usize,
    /// Events that nobody can take yet. `None` before the first connection, and when no event waits for that any more.
    unclaimed: Option<Unclaimed>,
}

struct Retried {
    outgoing: Outgoing,
    tries: u32,
    /// When the server must have acknowledged it. `None`: it is not under way.
    until: Option<Instant>,
}

/// Somebody who waits for what was sent before a disconnection to be on the wire.
struct Flushing {
    /// The member that was disconnected.
    key: u64,
    /// Whether something had not left then. If not, only the goodbye can be lost.
    has_waiting: bool,
    done: Done<bool>,
}

/// The task.
pub(crate) struct Driver {
    hub: Arc<Hub>,
    guard: Weak<Guard>,
    link: Link,
    members: Vec<Member>,
    next_key: u64,
    /// Attempts since the last connection.
    attempts: u32,
    /// Whether a connection was made since somebody has asked for one.
    was_open: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// Memory for the messages of a turn.
    messages: Vec<Message>,
    /// Handlers or readers are behind, so nothing is read.
    paused: bool,
    flushing: Vec<Flushing>,
    shutdown: bool,
}

/// What a turn has found to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

impl Driver {
    pub(crate) fn new(hub: Arc<Hub>, guard: Weak<Guard>) -> Self {
        Self {
            hub,
            guard,
            link: Link::Idle,
            members: Vec::new(),
            next_key: 0,
            attempts: 0,
            was_open: false,
            timer: None,
            messages: Vec::new(),
            paused: false,
            flushing: Vec::new(),
            shutdown: false,
        }
    }

    fn member(&mut self, core: &Arc<Core>) -> &mut Member {
        let found = self
            .members
            .iter()
            .position(|member| Arc::ptr_eq(&member.core, core));
        let index = found.unwrap_or_else(|| {
            self.forget_unused();
            self.next_key += 1;
            self.members.reserve_exact(1);
            self.members.push(Member {
                key: self.next_key,
                core: Arc::clone(core),
                phase: Phase::Idle,
                was_connected: false,
                waiters: Vec::new(),
                rests_for: ConnectFailure::GivenUp,
                buffer: VecDeque::new(),
                retried: VecDeque::new(),
                running: Vec::new(),
                waiting: VecDeque::new(),
                early: VecDeque::new(),
                waiting_bytes: 0,
                unclaimed: None,
            });
            self.members.len() - 1
        });
        &mut self.members[index]
    }

    /// Forgets sockets that nobody can use any more.
    fn forget_unused(&mut self) {
        let hub = &self.hub;
        self.members.retain(|member| {
            let is_used = Arc::strong_count(&member.core) > 1
                || !matches!(member.phase, Phase::Idle)
                || !member.running.is_empty();
            if !is_used {
                let retried = member.retried.iter().map(|retried| &retried.outgoing);
                for outgoing in member.buffer.iter().chain(retried) {
                    hub.let_go(&member.core.held, outgoing.weight());
                }
            }
            is_used
        });
    }

    fn by_key(&mut self, key: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.key == key)
    }

    /// Whether some socket wants to be connected.
    fn is_wanted(&self) -> bool {
        self.members
            .iter()
            .any(|member| !matches!(member.phase, Phase::Idle))
    }

    // Commands.

    /// What they cause is done further on in the same round.
    fn take_commands(&mut self, cx: &mut TaskContext<'_>) {
        if let Some((first, rest)) = self.hub.take() {
            // A connection whose time is over, perhaps because the process did not run, takes nothing more: what is sent is
            // for the next one.
            if let Link::Open(open) = &mut self.link
                && !open.closing
                && let Some(reason) = open.engine.expire()
            {
                self.on_lost(cx, reason);
            }
            for command in std::iter::once(first).chain(rest) {
                self.handle_command(cx, command);
            }
        }
    }

    fn handle_command(&mut self, cx: &mut TaskContext<'_>, command: Command) {
        match command {
            Command::Connect { socket, done } => self.on_connect_command(&socket, done),
            Command::Await { socket, done } => self.on_await(&socket, done),
            Command::Emit { socket, outgoing } => self.on_emit(&socket, outgoing),
            Command::Disconnect { socket, done } => {
                let has_waiting =
                    matches!(&self.link, Link::Open(open) if !open.engine.is_flushed());
                self.disconnect(cx, &socket);
                let key = self.member(&socket).key;
                self.flushing.extend(done.map(|done| Flushing {
                    key,
                    has_waiting,
                    done,
                }));
                self.close_if_unwanted();
            }
            Command::Reconnect => {
                if let Link::Open(open) = &self.link
                    && !open.closing
                {
                    self.on_lost(cx, CloseReason::TransportClose);
                } else if let Link::Waiting(sleep) = &mut self.link {
                    sleep.as_mut().reset(tokio::time::Instant::now());
                }
            }
            // Whoever has room again is looked at in this turn.
            Command::Resume => {}
            Command::Shutdown => {
                self.shutdown = true;
                self.close_all(cx);
            }
        }
    }

    fn on_connect_command(
        &mut self,
        core: &Arc<Core>,
        done: Option<Done<Result<(), ConnectFailure>>>,
    ) {
        if core.namespace.contains([',', '?']) {
            // The comma ends a namespace on the wire, and servers take what follows a question mark for no part of it.
            let failure = ConnectFailure::Option {
                option: "namespace",
                reason: "it contains a comma or a question mark".to_owned(),
            };
            if let Some(done) = done {
                // Whoever asked may have given up.
                let _ = done.send(Err(failure));
            }
            return;
        }
        let member = self.member(core);
        if matches!(member.phase, Phase::Connected) {
            if let Some(done) = done {
                // Whoever asked may have given up.
                let _ = done.send(Ok(()));
            }
            return;
        }
        member.waiters.extend(done);
        if matches!(member.phase, Phase::Idle) {
            member.phase = Phase::Wanted;
            member.core.set_active(true);
        }
        match &self.link {
            // Somebody asks for it now: no more waiting.
            Link::Idle | Link::Waiting(_) => self.open(),
            Link::Opening(_) | Link::Open(_) => {}
        }
    }

    fn on_await(&mut self, core: &Arc<Core>, done: Done<Result<(), ConnectFailure>>) {
        let member = self.member(core);
        let answer = match member.phase {
            Phase::Connected => Ok(()),
            Phase::Idle => Err(member.rests_for.duplicate()),
            _ => return member.waiters.push(done),
        };
        // Whoever asked may have given up.
        let _ = done.send(answer);
    }

    fn open(&mut self) {
        let config = Arc::clone(&self.hub.options.engine);
        self.link = Link::Opening(Box::pin(async move { Engine::open(&config).await }));
    }

    fn on_emit(&mut self, core: &Arc<Core>, outgoing: Outgoing) {
        if outgoing.retried {
            self.hub.hold(&core.held, outgoing.weight());
            self.member(core).retried.push_back(Retried {
                outgoing,
                tries: 0,
                until: None,
            });
            return self.send_retried();
        }
        let weight = outgoing.weight();
        // An answer to an event of the last connection.
        let is_late = outgoing
            .connection
            .is_some_and(|number| number != core.connection());
        let is_kept = !outgoing.options.volatile && outgoing.connection.is_none();
        let member = self.member(core);
        if matches!(member.phase, Phase::Connected) && !is_late {
            self.hub.release(weight);
            self.send_once(core, &outgoing);
        } else if !is_kept {
            self.hub.release(weight);
        } else {
            member.buffer.push_back(outgoing);
            self.hub.hold(&core.held, weight);
        }
    }

    fn send_once(&mut self, core: &Core, outgoing: &Outgoing) {
        if let Some(id) = outgoing.ack {
            core.acks.mark_sent(id);
        }
        self.send(&outgoing.packet, outgoing.options);
    }

    /// Sends a packet in the encoding of this client. Without a connection it is dropped.
    fn send(&mut self, packet: &EncodedPacket, options: SendOptions) {
        let Link::Open(open) = &mut self.link else {
            return;
        };
        if self.hub.options.parser == ParserKind::Msgpack {
            open.engine.send(&packet.msgpack(), &[], options);
        } else {
            open.engine
                .send(packet.first(), packet.attachments(), options);
        }
    }

    /// Sends a packet with which a socket joins or leaves, apart from what is before it.
    fn send_apart(
        &mut self,
        packet: &EncodedPacket,
        send: fn(&mut Engine, &kokanee_engineio::Outgoing),
    ) {
        if let Link::Open(open) = &mut self.link {
            if self.hub.options.parser == ParserKind::Msgpack {
                send(&mut open.engine, &packet.msgpack());
            } else {
                send(&mut open.engine, packet.first());
            }
        }
    }

    // Joining and leaving.

    /// Asks for the `auth` of every socket that wants to be connected, and sends its CONNECT.
    fn join_wanted(&mut self, cx: &mut TaskContext<'_>) -> Progress {
        let Link::Open(open) = &self.link else {
            return Progress::None;
        };
        let joins =
            |member: &Member| matches!(member.phase, Phase::Wanted | Phase::Authenticating(_));
        if open.closing || !self.members.iter().any(joins) {
            return Progress::None;
        }
        let mut progress = Progress::None;
        let until = Instant::now() + self.hub.options.engine.connect_timeout;
        let mut ready = Vec::new();
        let version = open.connection.version();
        for member in &mut self.members {
            if let Phase::Wanted = member.phase {
                // Old servers do not wait for what we say of `/`, so neither may we.
                let is_asked = version == ProtocolVersion::V5 || *member.core.namespace != *"/";
                let auth = match &self.hub.options.auth {
                    auth if is_asked => auth,
                    _ => &Auth::None,
                };
                let auth = match auth {
                    Auth::None => Ok(std::future::ready(Ok(serde_json::Value::Null)).boxed()),
                    Auth::Value(value) => Ok(std::future::ready(value.clone()).boxed()),
                    Auth::Function(function) => caught(|| function()),
                };
                member.phase = Phase::Authenticating(
                    auth.unwrap_or_else(|panic| std::future::ready(Err(panicked(&panic))).boxed()),
                );
            }
            if let Phase::Authenticating(auth) = &mut member.phase
                && let Poll::Ready(auth) = poll_caught(auth.as_mut(), cx)
            {
                let silently = false;
                member.phase = Phase::Joining { until, silently };
                let auth = auth.unwrap_or_else(|panic| Err(panicked(&panic)));
                ready.push((member.key, Arc::clone(&member.core), auth));
            }
        }
        for (key, core, auth) in ready {
            progress = Progress::Some;
            match auth {
                Ok(auth) => self.join(cx, key, &core, auth),
                Err(reason) => {
                    let option = "auth";
                    self.on_refused(cx, key, ConnectFailure::Option { option, reason });
                }
            }
        }
        progress
    }

    fn join(
        &mut self,
        cx: &mut TaskContext<'_>,
        key: u64,
        core: &Arc<Core>,
        auth: serde_json::Value,
    ) {
        // What came for the connection before is for nobody.
        drop(self.take_early(key));
        let Link::Open(open) = &mut self.link else {
            return;
        };
        let version = open.connection.version();
        let namespace = Str::from(core.namespace.to_string());
        match open.connection.join(namespace, key) {
            Join::Send => {}
            Join::SendAgain => {
                if let Some(member) = self.by_key(key) {
                    member.phase = Phase::Joining {
                        until: Instant::now() + SILENT_JOIN,
                        silently: true,
                    };
                }
            }
            Join::Wait => return,
            Join::Done => {
                let sid = self.legacy_id(key);
                return self.on_connected(cx, key, sid, None);
            }
        }
        let packet = match version {
            ProtocolVersion::V5 => {
                let auth = with_recovery(auth, core);
                encode_connect(
                    &core.namespace,
                    auth.map(|auth| auth.to_string()).as_deref(),
                )
            }
            ProtocolVersion::V4 => encode_connect(&legacy_namespace(&core.namespace, &auth), None),
        };
        self.send_apart(&packet, Engine::send_join);
    }

    fn disconnect(&mut self, cx: &mut TaskContext<'_>, core: &Arc<Core>) {
        let member = self.member(core);
        let key = member.key;
        let phase = member.rest(&ConnectFailure::GivenUp);
        if matches!(phase, Phase::Connected | Phase::Joining { .. }) {
            self.send_apart(&encode_disconnect(&core.namespace), Engine::send_goodbye);
            self.leave(key);
        }
        if let Phase::Connected = phase {
            self.on_disconnected(cx, key, DisconnectReason::Client, None);
        }
    }

    /// Takes a socket out of the connection.
    fn leave(&mut self, key: u64) {
        if let Link::Open(open) = &mut self.link {
            let index = open.connection.sockets().position(|&other| other == key);
            index.and_then(|index| open.connection.leave(index));
        }
    }

    fn close_all(&mut self, cx: &mut TaskContext<'_>) {
        let cores: Vec<_> = self
            .members
            .iter()
            .map(|member| Arc::clone(&member.core))
            .collect();
        for core in cores {
            self.disconnect(cx, &core);
        }
        self.close_if_unwanted();
    }

    /// Without any socket that wants it, there is no connection.
    fn close_if_unwanted(&mut self) {
        if self.is_wanted() {
            return;
        }
        self.was_open = false;
        match &mut self.link {
            Link::Idle => {}
            Link::Opening(_) | Link::Waiting(_) => {
                self.link = Link::Idle;
                self.attempts = 0;
            }
            Link::Open(open) => {
                if !std::mem::replace(&mut open.closing, true) {
                    open.engine.close();
                }
            }
        }
    }

    // The link.

    fn poll_link(&mut self, cx: &mut TaskContext<'_>) -> Progress {
        match &mut self.link {
            Link::Idle => Progress::None,
            Link::Waiting(sleep) => {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Progress::None;
                }
                self.attempts += 1;
                let attempt = self.attempts;
                self.each(cx, attempt, None, |handlers| &handlers.reconnect_attempt);
                self.open();
                Progress::Some
            }
            Link::Opening(opening) => {
                match opening.as_mut().poll(cx) {
                    Poll::Pending => return Progress::None,
                    Poll::Ready(Ok(engine)) => self.on_open(engine),
                    Poll::Ready(Err(failure)) => self.on_open_failed(cx, failure),
                }
                Progress::Some
            }
            Link::Open(_) => self.poll_open(cx),
        }
    }

    fn on_open(&mut self, engine: Engine) {
        let version = match engine.revision() {
            Revision::V3 => ProtocolVersion::V4,
            Revision::V4 => ProtocolVersion::V5,
        };
        let options = &self.hub.options;
        let connection = ClientConnection::new(options.parser, options.decoder.clone(), version);
        self.hub.set_transport(Some(engine.transport()));
        self.link = Link::Open(Box::new(Open {
            engine,
            connection,
            closing: false,
            told_by: None,
        }));
        self.was_open = true;
    }

    fn on_open_failed(&mut self, cx: &mut TaskContext<'_>, failure: ConnectFailure) {
        tracing::debug!(%failure, "connecting failed");
        self.link = Link::Idle;
        let failure = Arc::new(failure);
        self.each_failure(cx, &failure);
        let retries = self.hub.options.reconnection
            && (self.was_open || self.hub.options.retry_first_connect);
        if !retries {
            return self.give_up(&failure);
        }
        self.wait_for_next(cx, &failure);
    }

    /// Nobody tries to connect any more.
    fn give_up(&mut self, failure: &ConnectFailure) {
        self.attempts = 0;
        self.was_open = false;
        for member in &mut self.members {
            member.rest(failure);
        }
    }

    /// Begins to wait for the next attempt, if there is one.
    fn wait_for_next(&mut self, cx: &mut TaskContext<'_>, failure: &ConnectFailure) {
        let backoff = &self.hub.options.backoff;
        if backoff
            .attempts
            .is_some_and(|attempts| self.attempts >= attempts)
        {
            self.each(cx, 0, None, |handlers| &handlers.reconnect_failed);
            return self.give_up(failure);
        }
        let delay = backoff.delay(self.attempts);
        self.link = Link::Waiting(Box::pin(tokio::time::sleep(delay)));
    }

    fn poll_open(&mut self, cx: &mut TaskContext<'_>) -> Progress {
        self.paused = self.is_behind();
        let Link::Open(open) = &mut self.link else {
            return Progress::None;
        };
        // What comes behind the end is for nobody, but for the answer to what was sent last.
        open.engine.set_paused(self.paused && !open.closing);
        let mut messages = std::mem::take(&mut self.messages);
        let turn = open.engine.poll(cx, &mut |message| messages.push(message));
        self.hub.set_outbound(open.engine.outbound_bytes());
        let upgrade = open.engine.take_upgrade_event();
        let is_flushed = open.engine.is_flushed();
        if open.engine.is_end_written() && open.told_by.is_none() {
            open.told_by = Some(Instant::now() + END_GRACE);
        }
        if let Some(UpgradeEvent::Done) = upgrade {
            self.hub.set_transport(Some(open.engine.transport()));
            self.each(cx, 0, None, |handlers| &handlers.upgrade);
        }
        let mut progress = if upgrade.is_some() {
            Progress::Some
        } else {
            Progress::None
        };
        if !messages.is_empty() {
            for message in messages.drain(..) {
                self.handle_message(cx, message);
            }
            // What the messages have caused.
            let has_work = match &self.link {
                Link::Open(open) => open.engine.has_work(),
                _ => true,
            };
            if has_work {
                progress = Progress::Some;
            }
        }
        if messages.capacity() <= KEPT_MESSAGES {
            self.messages = messages;
        }
        if let Poll::Ready(reason) = turn {
            self.on_lost(cx, reason);
            return Progress::Some;
        }
        let closing = matches!(&self.link, Link::Open(open) if open.closing);
        if is_flushed && !closing && !self.flushing.is_empty() {
            self.flushed(true);
            progress = Progress::Some;
        }
        progress
    }

    /// What had to be on the wire is, or will not be.
    fn flushed(&mut self, all: bool) {
        // What waits for another connection, or to be sent once more, has not left either.
        let keeps_some = |member: &Member| !member.buffer.is_empty() || !member.retried.is_empty();
        for flushing in self.flushing.drain(..) {
            let mut members = self.members.iter();
            let keeps_some = members.any(|member| member.key == flushing.key && keeps_some(member));
            // Whoever asked may have given up.
            let _ = flushing
                .done
                .send((all || !flushing.has_waiting) && !keeps_some);
        }
    }

    /// Whether handlers, readers or the answers to the server are so far behind that it must wait.
    fn is_behind(&self) -> bool {
        // What exceeds the send buffer by so much is answers: whoever emits waits for room.
        let max = self
            .hub
            .options
            .send_buffer_bytes
            .saturating_add(MAX_OWED_BYTES);
        if self.hub.leaving_bytes() > max {
            return true;
        }
        self.members.iter().any(|member| {
            member.waiting.len() + member.early.len() >= MAX_QUEUED_EVENTS
                || member.waiting_bytes >= MAX_QUEUED_BYTES
                // While it joins, nothing comes for readers but the answer to that.
                || !matches!(member.phase, Phase::Joining { .. }) && member.core.has_slow_reader()
                || member.unclaimed.as_ref().is_some_and(|events| events.is_behind(&member.core))
        })
    }

    /// The connection has ended: sockets are disconnected, and connected again if they are wanted.
    fn on_lost(&mut self, cx: &mut TaskContext<'_>, reason: CloseReason) {
        // It may be lost twice in one turn: what came last was garbage, and then the end.
        let Link::Open(open) = &self.link else {
            return;
        };
        let closing = open.closing;
        let is_complete = closing && open.engine.is_complete();
        let details = open.engine.close_details();
        self.link = Link::Idle;
        self.paused = false;
        self.hub.set_transport(None);
        self.hub.set_outbound(0);
        let lost: Vec<_> = self
            .members
            .iter_mut()
            .filter(|member| !matches!(member.phase, Phase::Idle))
            .map(|member| {
                let phase = std::mem::replace(&mut member.phase, Phase::Wanted);
                (member.key, matches!(phase, Phase::Connected))
            })
            .collect();
        for (key, was_connected) in lost {
            if was_connected {
                let reason = DisconnectReason::Session(reason);
                self.on_disconnected(cx, key, reason, details.as_ref());
            }
        }
        // Without a connection nobody waits for room: there is, or the event is not taken.
        self.hub.wake_waiting();
        self.flushed(is_complete);
        let text = match details {
            Some(details) => format!("{} ({details})", reason.as_str()),
            None => reason.as_str().to_owned(),
        };
        let source = std::io::Error::other(text);
        let failure = ConnectFailure::Interrupted { source };
        if !closing && !self.hub.options.retry_first_connect {
            self.fail_first(cx, &failure);
        }
        if !self.is_wanted() {
            return;
        }
        if closing {
            // Somebody has connected a socket while the last connection was being closed.
            self.open();
        } else if self.hub.options.reconnection {
            self.wait_for_next(cx, &failure);
        } else {
            self.give_up(&failure);
        }
    }

    /// Sockets that were never connected are not connected again by themselves.
    fn fail_first(&mut self, cx: &mut TaskContext<'_>, failure: &ConnectFailure) {
        let first =
            |member: &&Member| !member.was_connected && !matches!(member.phase, Phase::Idle);
        let keys: Vec<_> = self
            .members
            .iter()
            .filter(first)
            .map(|member| member.key)
            .collect();
        for key in keys {
            self.on_refused(cx, key, failure.duplicate());
        }
    }

    fn on_disconnected(
        &mut self,
        cx: &mut TaskContext<'_>,
        key: u64,
        reason: DisconnectReason,
        details: Option<&CloseDetails>,
    ) {
        let guard = self.guard.upgrade();
        let Some(member) = self.by_key(key) else {
            return;
        };
        member.hand_out(guard.as_ref(), None, Pace::Hurry, cx);
        member.core.set_connected(false);
        {
            let mut state = member.core.state();
            state.id = None;
            state.recovered = false;
            if matches!(reason, DisconnectReason::Client | DisconnectReason::Server) {
                state.pid = None;
                state.offset = None;
            }
        }
        for retried in &mut member.retried {
            retried.until = None;
        }
        let keep = member
            .retried
            .front()
            .and_then(|retried| retried.outgoing.ack);
        member.core.acks.fail_sent(keep);
        let handlers = member.core.handlers();
        if let Some(guard) = guard {
            let socket = Socket::new(Arc::clone(&member.core), guard);
            let context = Context {
                reason: Some(reason),
                details,
                ..Context::new(&socket)
            };
            for handler in &handlers.disconnect {
                call(handler, &context, cx, &mut member.running);
            }
        }
    }

    // Messages.

    fn handle_message(&mut self, cx: &mut TaskContext<'_>, message: Message) {
        let Link::Open(open) = &mut self.link else {
            return;
        };
        match open.connection.handle_message(message) {
            Ok(Some(input)) => self.handle_input(cx, input),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "protocol error, closing");
                self.on_lost(cx, CloseReason::ParseError);
            }
        }
    }

    fn handle_input(&mut self, cx: &mut TaskContext<'_>, input: ClientInput) {
        let index = match &input {
            ClientInput::Connected { index, .. }
            | ClientInput::Refused { index, .. }
            | ClientInput::OlderServer { index }
            | ClientInput::Event { index, .. }
            | ClientInput::Ack { index, .. }
            | ClientInput::Disconnected { index } => *index,
        };
        let Link::Open(open) = &mut self.link else {
            return;
        };
        let Some(key) = open.connection.get_mut(index).copied() else {
            return;
        };
        match input {
            ClientInput::Connected { sid, pid, .. } => {
                let sid = sid.or_else(|| self.legacy_id(key));
                self.on_connected(cx, key, sid, pid);
            }
            ClientInput::Refused { .. } if self.is_connected(key) => {
                tracing::debug!("a connected namespace was refused, closing");
                self.on_lost(cx, CloseReason::ParseError);
            }
            ClientInput::Refused { message, data, .. } => {
                self.leave(key);
                self.on_refused(cx, key, ConnectFailure::Refused { message, data });
            }
            ClientInput::OlderServer { .. } => {
                self.leave(key);
                let failure = ConnectFailure::WrongRevision {
                    revision: 4,
                    other: 3,
                };
                self.on_refused(cx, key, failure);
            }
            ClientInput::Event { id, event, .. } => self.on_event(cx, key, id, event),
            ClientInput::Ack { id, args, .. } => self.on_ack(cx, key, id, args),
            ClientInput::Disconnected { .. } => {
                self.leave(key);
                if !self.is_connected(key) {
                    let (message, data) = ("disconnected by the server".to_owned(), None);
                    let failure = ConnectFailure::Refused { message, data };
                    return self.on_refused(cx, key, failure);
                }
                if let Some(member) = self.by_key(key) {
                    member.rest(&ConnectFailure::GivenUp);
                }
                self.on_disconnected(cx, key, DisconnectReason::Server, None);
                self.close_if_unwanted();
            }
        }
    }

    fn is_connected(&self, key: u64) -> bool {
        let mut members = self.members.iter();
        members.any(|member| member.key == key && matches!(member.phase, Phase::Connected))
    }

    /// The id of a socket whose server does not name it: revision 4 and older derive it from the session's.
    fn legacy_id(&mut self, key: u64) -> Option<Str> {
        let Link::Open(open) = &self.link else {
            return None;
        };
        let sid = open.engine.sid()?.to_owned();
        let namespace = &self.by_key(key)?.core.namespace;
        Some(Str::from(if **namespace == *"/" {
            sid
        } else {
            format!("{namespace}#{sid}")
        }))
    }

    fn on_connected(
        &mut self,
        cx: &mut TaskContext<'_>,
        key: u64,
        sid: Option<Str>,
        pid: Option<Str>,
    ) {
        let guard = self.guard.upgrade();
        let attempts = self.attempts;
        let Some(member) = self.by_key(key) else {
            return;
        };
        if !matches!(member.phase, Phase::Joining { .. }) {
            return;
        }
        member.phase = Phase::Connected;
        member.was_connected = true;
        {
            let mut state = member.core.state();
            // As in JavaScript: the same private id again says that the server has restored the state.
            state.recovered = pid.is_some() && state.pid == pid;
            if !state.recovered {
                state.offset = None;
            }
            state.pid = pid;
            state.id = sid;
        }
        if member.core.connection() == 0 {
            member.unclaimed = Some(Unclaimed::new(Instant::now()));
            member.core.set_gathers(true);
        }
        member.core.count_connection();
        member.core.set_connected(true);
        for waiter in member.waiters.drain(..) {
            // Whoever asked may have given up.
            let _ = waiter.send(Ok(()));
        }
        let core = Arc::clone(&member.core);
        let buffer = std::mem::take(&mut member.buffer);
        for outgoing in buffer {
            self.hub.let_go(&core.held, outgoing.weight());
            // Whoever has given up on the answer may have sent the event again.
            if outgoing.ack.is_none_or(|id| core.acks.is_waiting(id)) {
                self.send_once(&core, &outgoing);
            }
        }
        self.send_retried();
        let Some(member) = self.by_key(key) else {
            return;
        };
        if let Some(guard) = guard {
            let handlers = member.core.handlers();
            let socket = Socket::new(core, guard);
            let context = Context {
                attempt: attempts,
                ..Context::new(&socket)
            };
            for handler in &handlers.connect {
                call(handler, &context, cx, &mut member.running);
            }
            if attempts > 0 {
                for handler in &handlers.reconnect {
                    call(handler, &context, cx, &mut member.running);
                }
            }
        }
        for (event, id) in self.take_early(key) {
            self.on_event(cx, key, id, event);
        }
        self.end_attempts();
    }

    /// When every socket has its answer, the next loss starts with the first attempt again.
    fn end_attempts(&mut self) {
        if self
            .members
            .iter()
            .all(|member| matches!(member.phase, Phase::Idle | Phase::Connected))
        {
            self.attempts = 0;
        }
    }

    fn on_refused(&mut self, cx: &mut TaskContext<'_>, key: u64, failure: ConnectFailure) {
        let guard = self.guard.upgrade();
        let failure = Arc::new(failure);
        if let Some(member) = self.by_key(key) {
            member.rest(&failure);
            if let Some(guard) = guard {
                let handlers = member.core.handlers();
                let socket = Socket::new(Arc::clone(&member.core), guard);
                let context = Context {
                    failure: Some(&failure),
                    ..Context::new(&socket)
                };
                for handler in &handlers.connect_error {
                    call(handler, &context, cx, &mut member.running);
                }
            }
        }
        self.end_attempts();
        self.close_if_unwanted();
    }

    /// The events that came before the namespace has accepted.
    fn take_early(&mut self, key: u64) -> VecDeque<(RawEvent, Option<AckId>)> {
        let Some(member) = self.by_key(key) else {
            return VecDeque::new();
        };
        let early = std::mem::take(&mut member.early);
        let bytes = early.iter().map(|(event, _)| event.args().held_bytes());
        member.waiting_bytes -= bytes.sum::<usize>();
        early
    }

    fn on_event(&mut self, cx: &mut TaskContext<'_>, key: u64, id: Option<AckId>, event: RawEvent) {
        let guard = self.guard.upgrade();
        let Some(member) = self.by_key(key) else {
            return;
        };
        {
            let mut state = member.core.state();
            // Servers that recover connections put an offset behind the arguments, but not of events that they want to
            // have acknowledged.
            if state.pid.is_some()
                && id.is_none()
                && let Some(offset) = offset_of(&event)
            {
                state.offset = Some(offset);
            }
        }
        // Some servers send events before they have accepted the namespace; handlers of the connection come first.
        if !matches!(member.phase, Phase::Connected) {
            member.waiting_bytes += event.args().held_bytes();
            member.early.push_back((event, id));
            return;
        }
        let ack = ack_of(&member.core, id, event.name());
        if member.unclaimed.is_some() {
            member.hand_out(guard.as_ref(), Some((event, ack)), Pace::Normal, cx);
        } else {
            member.deliver(guard.as_ref(), event, ack, cx);
        }
    }

    /// Hands out events that have waited for somebody who can take them.
    fn hand_out(&mut self, cx: &mut TaskContext<'_>) {
        let guard = self.guard.upgrade();
        for member in &mut self.members {
            member.hand_out(guard.as_ref(), None, Pace::Normal, cx);
        }
    }

    fn on_ack(
        &mut self,
        cx: &mut TaskContext<'_>,
        key: u64,
        id: AckId,
        args: kokanee_socketio::Args,
    ) {
        let guard = self.guard.upgrade();
        let Some(member) = self.by_key(key) else {
            return;
        };
        member.hand_out(guard.as_ref(), None, Pace::Hurry, cx);
        let is_front = member
            .retried
            .front()
            .is_some_and(|retried| retried.outgoing.ack == Some(id));
        let released = is_front.then(|| member.retried.pop_front()).flatten();
        let core = Arc::clone(&member.core);
        core.acks.resolve(id, Ok(args));
        if let Some(retried) = released {
            self.hub.let_go(&core.held, retried.outgoing.weight());
            self.send_retried();
        }
    }

    // Retries.

    /// Sends the next packet of each socket that is sent until it is acknowledged.
    fn send_retried(&mut self) {
        let timeout = self.hub.options.ack_timeout.unwrap_or(DEFAULT_ACK_TIMEOUT);
        let mut packets = Vec::new();
        for member in &mut self.members {
            if matches!(member.phase, Phase::Connected)
                && let Some(retried) = member.retried.front_mut()
                && retried.until.is_none()
            {
                retried.until = Some(Instant::now() + timeout);
                retried.tries += 1;
                packets.push(retried.outgoing.packet.clone());
            }
        }
        for packet in packets {
            self.send(&packet, SendOptions::default());
        }
    }

    /// Sends again what was not acknowledged in time, or gives it up.
    fn check_retried(&mut self) {
        let now = Instant::now();
        let retries = self.hub.options.retries.unwrap_or(0);
        for member in &mut self.members {
            let Some(retried) = member.retried.front_mut() else {
                continue;
            };
            if retried.until.is_none_or(|until| until > now) {
                continue;
            }
            retried.until = None;
            if retried.tries > retries
                && let Some(given_up) = member.retried.pop_front()
            {
                self.hub
                    .let_go(&member.core.held, given_up.outgoing.weight());
                if let Some(id) = given_up.outgoing.ack {
                    member.core.acks.resolve(id, Err(AckError::Timeout));
                }
            }
        }
        self.send_retried();
    }

    /// Cuts off servers that do not answer a CONNECT, but for those that need not.
    fn check_joining(&mut self, cx: &mut TaskContext<'_>) {
        let now = Instant::now();
        let late = |member: &&Member| member.joins_until().is_some_and(|until| until <= now);
        let options = Arc::clone(&self.hub.options);
        let Some(member) = self.members.iter().find(late) else {
            return;
        };
        let key = member.key;
        if matches!(member.phase, Phase::Joining { silently: true, .. }) {
            let sid = self.legacy_id(key);
            return self.on_connected(cx, key, sid, None);
        }
        if member.was_connected || options.retry_first_connect {
            // As if the network had failed: perhaps the next connection is a better one.
            return self.on_lost(cx, CloseReason::PingTimeout);
        }
        let core = Arc::clone(&member.core);
        self.send(&encode_disconnect(&core.namespace), SendOptions::default());
        self.leave(key);
        let after = options.engine.connect_timeout;
        self.on_refused(cx, key, ConnectFailure::Timeout { after });
    }

    /// Tells those who wait for the end of a connection that it is on the wire, even if the server does not react.
    fn check_end(&mut self) {
        if self.told_by().is_some_and(|at| at <= Instant::now()) {
            self.flushed(true);
        }
    }

    fn told_by(&self) -> Option<Instant> {
        match &self.link {
            Link::Open(open) if !self.flushing.is_empty() => open.told_by,
            _ => None,
        }
    }

    fn poll_timer(&mut self, cx: &mut TaskContext<'_>) -> Progress {
        let deadlines = |member: &Member| {
            let retry = member.retried.front().and_then(|retried| retried.until);
            let unclaimed = member.unclaimed.as_ref();
            let handed_out = unclaimed.map(|events| events.deadline(&member.core));
            let all = [retry, member.joins_until(), handed_out];
            all.into_iter().flatten().min()
        };
        let members = self.members.iter().filter_map(deadlines);
        let next = members.chain(self.told_by()).min();
        let Some(next) = next else {
            self.timer = None;
            return Progress::None;
        };
        let next = tokio::time::Instant::from(next);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Progress::None;
        }
        self.check_retried();
        self.check_joining(cx);
        self.check_end();
        self.hand_out(cx);
        Progress::Some
    }

    // Handlers.

    /// Calls the life-cycle handlers of every socket that wants to be connected.
    fn each<K: ClientKind>(
        &mut self,
        cx: &mut TaskContext<'_>,
        attempt: u32,
        failure: Option<&Arc<ConnectFailure>>,
        select: impl Fn(&Handlers) -> &Vec<Erased<K>>,
    ) {
        let Some(guard) = self.guard.upgrade() else {
            return;
        };
        for member in &mut self.members {
            if matches!(member.phase, Phase::Idle) {
                continue;
            }
            let handlers = member.core.handlers();
            let socket = Socket::new(Arc::clone(&member.core), Arc::clone(&guard));
            let context = Context {
                failure,
                attempt,
                ..Context::new(&socket)
            };
            for handler in select(&handlers) {
                call(handler, &context, cx, &mut member.running);
            }
        }
    }

    fn each_failure(&mut self, cx: &mut TaskContext<'_>, failure: &Arc<ConnectFailure>) {
        let attempt = self.attempts;
        self.each(cx, attempt, Some(failure), |handlers| {
            &handlers.connect_error
        });
    }

    /// Polls the handlers that wait for something.
    fn poll_handlers(&mut self, cx: &mut TaskContext<'_>) {
        let guard = self.guard.upgrade();
        for member in &mut self.members {
            if member.running.is_empty() {
                continue;
            }
            let core = &member.core;
            member.running.retain_mut(|running| {
                running
                    .poll(cx, |error| core.report(guard.as_ref(), error))
                    .is_pending()
            });
            if member.running.is_empty() {
                member.running = Vec::new();
            }
            if let Some(guard) = &guard {
                member.run_waiting(guard, cx);
            }
        }
    }

    /// Everything has ended: those who wait are told.
    fn finish(&mut self) {
        self.hub.close();
        for member in &mut self.members {
            for waiter in member.waiters.drain(..) {
                // Whoever asked may have given up.
                let _ = waiter.send(Err(ConnectFailure::GivenUp));
            }
            member.core.set_connected(false);
            member.core.set_active(false);
            member.core.acks.fail_all();
            for subscriber in member.core.subscribers() {
                subscriber.end();
            }
        }
        self.flushed(false);
    }
}

impl Member {
    /// It does not want to be connected any more; those who wait for it are told why. Returns how far it had come.
    fn rest(&mut self, failure: &ConnectFailure) -> Phase {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        self.rests_for = failure.duplicate();
        for waiter in self.waiters.drain(..) {
            // Whoever asked may have given up.
            let _ = waiter.send(Err(failure.duplicate()));
        }
        self.core.set_connected(false);
        self.core.set_active(false);
        self.was_connected = false;
        self.fail_kept();
        phase
    }

    /// Drops the packets that wait for a connection and that somebody wants to have answered: nobody knows when. The others
    /// go with the next connection.
    fn fail_kept(&mut self) {
        let core = &self.core;
        let stays = |outgoing: &Outgoing| {
            let failed = outgoing
                .ack
                .is_some_and(|id| core.acks.resolve(id, Err(AckError::Disconnected)));
            if failed {
                core.hub.let_go(&core.held, outgoing.weight());
            }
            !failed
        };
        self.buffer.retain(stays);
        self.retried.retain(|retried| stays(&retried.outgoing));
    }

    /// When its namespace must have answered.
    fn joins_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Joining { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Gives out the events that need not wait any more for somebody who can take them, and then a new one.
    fn hand_out(
        &mut self,
        guard: Option<&Arc<Guard>>,
        new: Option<(RawEvent, Ack)>,
        pace: Pace,
        cx: &mut TaskContext<'_>,
    ) {
        let Some(mut unclaimed) = self.unclaimed.take() else {
            return;
        };
        let takers = Takers::of(&self.core);
        let is_over = unclaimed.hand_out(
            new,
            &takers,
            Instant::now(),
            pace,
            |(event, ack), fate| match fate {
                Fate::Taken => self.deliver(guard, event, ack, cx),
                Fate::Unhandled => self.core.count_unhandled(event.name()),
            },
        );
        if is_over {
            self.core.set_gathers(false);
        } else {
            self.unclaimed = Some(unclaimed);
        }
    }

    /// Gives an event to readers and handlers, now or when those before it are done.
    fn deliver(
        &mut self,
        guard: Option<&Arc<Guard>>,
        event: RawEvent,
        ack: Ack,
        cx: &mut TaskContext<'_>,
    ) {
        self.core.publish(|| Received {
            event: event.clone(),
            ack: ack.clone(),
        });
        if let Some(guard) = guard
            && self.waiting.is_empty()
            && self.running.is_empty()
        {
            // The straight way: nothing of this socket is going on.
            self.start(guard, &event, &ack, cx);
            return event.reuse();
        }
        self.waiting_bytes += event.args().held_bytes();
        self.waiting.push_back((event, ack));
        if let Some(guard) = guard {
            self.run_waiting(guard, cx);
        }
    }

    /// Starts waiting events while no other is being handled.
    fn run_waiting(&mut self, guard: &Arc<Guard>, cx: &mut TaskContext<'_>) {
        while !self.running.iter().any(Running::is_event) {
            let Some((event, ack)) = self.waiting.pop_front() else {
                break;
            };
            self.waiting_bytes -= event.args().held_bytes();
            self.start(guard, &event, &ack, cx);
            event.reuse();
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
    }

    fn start(&mut self, guard: &Arc<Guard>, event: &RawEvent, ack: &Ack, cx: &mut TaskContext<'_>) {
        let socket = Socket::new(Arc::clone(&self.core), Arc::clone(guard));
        let context = Context {
            event: Some(event),
            ack: Some(ack),
            ..Context::new(&socket)
        };
        let handlers = self.core.handlers();
        let name = event.name();
        if handlers.has_once(name) {
            // Before the call: the handler may add itself again.
            self.core.remove_once(name);
        }
        let core = &self.core;
        let mut is_taken = core.has_readers();
        core.in_span(name, &mut self.running, |running| {
            for handler in handlers.any.iter().chain(handlers.event(name)) {
                is_taken = true;
                start(handler, &context, Some(ack), cx, running, |error| {
                    core.report(Some(guard), error);
                });
            }
        });
        if !is_taken {
            core.count_unhandled(name);
        }
    }
}

/// Calls a handler of the life cycle.
fn call<K: ClientKind>(
    handler: &Erased<K>,
    context: &Context<'_>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    let socket = context.socket();
    socket.core().in_span(K::name(context), running, |running| {
        start(handler, context, None, cx, running, |error| {
            socket.report(error);
        });
    });
}

fn panicked(panic: &str) -> String {
    format!("its function has panicked: {panic}")
}

fn ack_of(core: &Arc<Core>, id: Option<AckId>, event: &str) -> Ack {
    id.map_or_else(Ack::default, |id| Ack::new(Sink::new(core), id, event))
}

/// The last argument, if it can be the offset of a server that recovers connections: a short text without spaces. Any other
/// text, taken for one, would cost us the recovery.
fn offset_of(event: &RawEvent) -> Option<Str> {
    let is_offset = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let rest = event.args().json().strip_suffix('"')?;
    let (before, text) = rest.rsplit_once('"')?;
    let is_whole = before.is_empty() || before.ends_with(',');
    (is_whole && !text.is_empty() && text.len() <= MAX_OFFSET_BYTES && text.bytes().all(is_offset))
        .then(|| Str::from(text))
}

/// The `auth` of a socket whose state the server may have kept. Spec: Socket.IO, "Connection state recovery".
fn with_recovery(auth: serde_json::Value, core: &Core) -> Option<serde_json::Value> {
    let state = core.state();
    let Some(pid) = &state.pid else {
        return auth.is_object().then_some(auth);
    };
    let mut object = match auth {
        serde_json::Value::Object(object) => object,
        _ => serde_json::Map::new(),
    };
    object.insert("pid".to_owned(), pid.as_str().into());
    if let Some(offset) = &state.offset {
        object.insert("offset".to_owned(), offset.as_str().into());
    }
    Some(serde_json::Value::Object(object))
}

/// Old servers take the `auth` as the query of the namespace.
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

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let driver = self.get_mut();
        let _handling = Handling::start();
        for _ in 0..ROUNDS_PER_TURN {
            driver.take_commands(cx);
            let found = [
                driver.join_wanted(cx),
                driver.poll_link(cx),
                driver.poll_timer(cx),
            ];
            driver.poll_handlers(cx);
            // While handlers are behind nothing is read, so nothing but this says that there is more.
            let resumed = driver.paused && !driver.is_behind();
            // Without a connection nothing is left to be sent.
            if !matches!(driver.link, Link::Open(_)) {
                driver.flushed(true);
            }
            let is_over = driver.shutdown
                && matches!(driver.link, Link::Idle)
                && driver
                    .members
                    .iter()
                    .all(|member| member.running.is_empty());
            if is_over {
                driver.finish();
                return Poll::Ready(());
            }
            if found == [Progress::None; 3] && !resumed && driver.hub.sleep(cx) {
                return Poll::Pending;
            }
        }
        // Enough for one turn: other tasks first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A task that is dropped with its runtime leaves nobody waiting.
impl Drop for Driver {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use kokanee_socketio::{Args, Value};

    use super::*;

    fn offset(args: &[Value]) -> Option<String> {
        let args = Args::from_values(args.iter().cloned()).expect("values");
        offset_of(&RawEvent::new("x", args)).map(|offset| offset.as_str().to_owned())
    }

    #[test]
    fn an_offset_is_a_short_text_behind_the_arguments() {
        assert_eq!(offset(&["Q84fHBt".into()]).as_deref(), Some("Q84fHBt"));
        assert_eq!(
            offset(&[1.into(), "1700-0".into()]).as_deref(),
            Some("1700-0")
        );
        assert_eq!(
            offset(&["a b".into(), "x.0".into()]).as_deref(),
            Some("x.0")
        );
        for text in ["", "two words", "quote\"", "end\\", "ä", &"x".repeat(65)] {
            assert_eq!(offset(&[text.into()]), None, "{text}");
        }
        assert_eq!(offset(&[]), None);
        assert_eq!(offset(&[1.into()]), None);
        assert_eq!(offset(&["x".into(), 1.into()]), None);
    }
}
