//! The task that owns one session: its transport, its Engine.IO [`Session`], its Socket.IO [`Connection`], its handlers.
//!
//! Everybody else sends it commands through its [`Mailbox`]. One turn does, in this order: commands, time, reading, handlers,
//! answers, writing; it repeats while there is something to do, then sleeps until the mailbox, the transport, a handler or
//! the deadline wakes it.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_engineio::{
    CloseReason, FrameRun, Message, Output, PollPackets, PostResponse, SendOptions, Session, Str,
    Transport,
};
use kokanee_handler::{EventError, EventErrorKind, Running, poll_caught};
use kokanee_io::{PeerState, READ_BYTES, ReadEnd, Rest, WebSocketIo};
use kokanee_socketio::{
    AckId, Connection, DecodeError, EncodedPacket, Input, ParserKind, ProtocolError,
    ProtocolVersion, RawEvent, encode_connect, encode_connect_error, encode_disconnect,
    encode_legacy_connect_error,
};
use kokanee_websocket::CloseCode;
use tokio::{sync::oneshot, time::Sleep};

use crate::{
    events,
    handler::MiddlewareFuture,
    inner::{ServerInner, random_id},
    mailbox::{Command, HeldPoll, Mailbox, PollReply, PostReply},
    namespace::KeptHandlers,
    reason::{ConnectError, DisconnectReason},
    sessions::SessionGuard,
    socket::Socket,
    socket_id::SocketId,
    stage::{Turn, has_staged, take_only_run, take_staged},
};

/// Messages that one turn takes in before other tasks get their chance.
const MESSAGES_PER_TURN: usize = 128;
/// Bytes that it takes in, fragments of unfinished messages included.
const BYTES_PER_TURN: usize = READ_BYTES;
/// Rounds of one turn, for the same reason.
const ROUNDS_PER_TURN: usize = 16;

/// Interval at which a connection is looked at that is not read from: has its peer gone?
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How much later than its timer a task runs that has been held up: by its handlers, or because the machine is busy.
const LATE: Duration = Duration::from_millis(50);

/// What is left of a turn.
struct Budget {
    /// None are left when no bytes are left.
    messages: usize,
    bytes: usize,
}

impl Budget {
    fn take_message(&mut self) {
        self.messages = self.messages.saturating_sub(1);
    }

    fn take_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        if self.bytes == 0 {
            self.messages = 0;
        }
    }

    #[inline]
    fn is_spent(&self) -> bool {
        self.messages == 0
    }
}

/// The client is not read from.
struct Pause {
    since: Instant,
    /// When its WebSocket is looked at next.
    look_at: Option<Instant>,
    /// Since when it is known that it sends nothing more.
    ended: Option<Instant>,
}

/// One socket of the connection, and what its handlers are doing.
pub(crate) struct Member {
    socket: Socket,
    handlers: KeptHandlers,
    /// The middlewares, while they decide. Events wait meanwhile.
    joining: Option<MiddlewareFuture>,
    /// `on_connect` and events whose handlers wait for something.
    running: Vec<Running>,
    /// Counts the events whose handlers have waited.
    held: u32,
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

impl Member {
    /// Whether no handler of it is going on.
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

    /// Notes that the handlers from this place on hold an event, the last of them its bytes. Returns how many.
    #[cold]
    fn hold(&mut self, event: &RawEvent, first: usize) -> usize {
        let bytes = event_bytes(event);
        let handlers = self.handlers.get(self.socket.namespace());
        let is_concurrent = handlers.concurrent(event.name()).is_some();
        self.held = self.held.wrapping_add(1);
        for running in self.running.iter_mut().skip(first) {
            running.set_number(self.held);
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
impl Drop for Member {
    fn drop(&mut self) {
        self.socket.exit();
    }
}

pub(crate) struct Driver {
    server: Arc<ServerInner>,
    mailbox: Arc<Mailbox>,
    session: Session,
    connection: Connection<Member>,
    websocket: Option<Box<WebSocketIo>>,
    /// A WebSocket that wants to take over.
    probe: Option<Box<WebSocketIo>>,
    requests: Option<Box<Requests>>,
    /// Says that the WebSocket can be read; see [`Mailbox`].
    read_waker: Waker,
    sleep: Pin<Box<Sleep>>,
    sleeps_until: Instant,
    /// Events that wait for a handler, and their size: what the client may still send is limited by it.
    queued_events: usize,
    queued_bytes: usize,
    /// Bytes that wait for the client, as far as the server's total knows of them.
    counted_bytes: usize,
    pause: Option<Box<Pause>>,
    /// In this round something was not read or started, or not all that there was to do was done.
    held_back: bool,
    /// Bytes of the events whose handlers wait for something, which may hold them.
    held_bytes: usize,
    /// How many those are, and those that wait for a handler.
    open_events: usize,
    /// A msgpack packet that came while there was no room for what it becomes.
    deferred: Option<Bytes>,
    phase: Phase,
    /// A POST or a WebSocket for an upgrade has come that was not looked at.
    unread: bool,
    /// What the WebSocket's close frame says, if not nothing.
    close_code: Option<CloseCode>,
    guard: SessionGuard,
}

/// HTTP requests that wait for their answer.
#[derive(Default)]
struct Requests {
    poll: Option<oneshot::Sender<PollReply>>,
    post: Option<oneshot::Sender<(PostReply, Option<HeldPoll>)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The session has ended for the application; its transport is being closed until then.
    Closing {
        until: Instant,
    },
    Done,
}

/// What a turn has found to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

/// However the task ends, nobody waits for it any more.
impl Drop for Driver {
    fn drop(&mut self) {
        self.count_bytes(0);
        self.server.forget(&self.mailbox);
        self.mailbox.close();
    }
}

impl Driver {
    pub(crate) fn new(
        server: Arc<ServerInner>,
        mailbox: Arc<Mailbox>,
        session: Session,
        websocket: Option<WebSocketIo>,
        guard: SessionGuard,
        now: Instant,
    ) -> Self {
        let version = match session.revision() {
            kokanee_engineio::Revision::V3 => ProtocolVersion::V4,
            kokanee_engineio::Revision::V4 => ProtocolVersion::V5,
        };
        let mailbox_handle = Arc::clone(&mailbox);
        let connection = Connection::new(&server.connection_config, version, now);
        Self {
            server,
            mailbox,
            session,
            connection,
            websocket: websocket.map(Box::new),
            probe: None,
            requests: None,
            read_waker: Waker::from(mailbox_handle),
            sleep: Box::pin(tokio::time::sleep_until(now.into())),
            // Over already: the first turn sets the timer, which a task must do itself to be woken.
            sleeps_until: now,
            queued_events: 0,
            queued_bytes: 0,
            counted_bytes: 0,
            pause: None,
            held_back: false,
            held_bytes: 0,
            open_events: 0,
            deferred: None,
            phase: Phase::Open,
            unread: false,
            close_code: None,
            guard,
        }
    }

    /// Connects a client of an old revision to `/`, as those expect it.
    pub(crate) fn connect_legacy(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.connection.version() == ProtocolVersion::V4 {
            self.join(cx, now, Str::from_static("/"), None);
        }
    }

    // The turn.

    /// Everything that there is to do, up to a limit.
    #[inline(never)]
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let mut budget = Budget {
            messages: MESSAGES_PER_TURN,
            bytes: BYTES_PER_TURN,
        };
        let _turn = Turn::begin(self.mailbox.address_in_memory(), self.takes_runs());
        for _ in 0..ROUNDS_PER_TURN {
            // No deadline is earlier than the timer. What comes between the two is too late; but if the task itself is late, what
            // has come may have been in time.
            let is_due = self.sleeps_until <= now;
            let is_late = is_due && self.sleeps_until + LATE < now;
            if is_due && !is_late {
                self.handle_time(now);
            }
            if self.has_commands() {
                self.take_commands(now);
            }
            self.read(cx, now, &mut budget);
            if is_late {
                self.handle_time(now);
            }
            self.poll_handlers(cx, now);
            // What handlers have sent goes out together.
            self.write_staged(cx, now);
            if self.has_commands() {
                self.take_commands(now);
            }
            if self.session.has_output() {
                self.take_outputs(now);
            }
            self.write(cx, now);
            let outputs = if self.session.has_output() {
                self.take_outputs(now);
                Progress::Some
            } else {
                Progress::None
            };
            if self.phase == Phase::Done {
                return Poll::Ready(());
            }
            let resumed = if std::mem::take(&mut self.held_back) {
                self.pause(cx, now)
            } else {
                Progress::None
            };
            let woken = self.poll_sleep(cx, now);
            if budget.is_spent() {
                break;
            }
            // What came with the commands behind the reading must not wait for whatever wakes the task next.
            let idle =
                [resumed, outputs, woken] == [Progress::None; 3] && !self.unread && !has_staged();
            // The stream may have become readable before the mailbox knew whom to wake.
            if idle && self.mailbox.sleep(cx) && !(self.can_read() && self.mailbox.is_readable()) {
                return Poll::Pending;
            }
        }
        // Enough for one turn: other tasks first, those included of which only the system knows that they have something to do.
        // A mere wake-up would come before them.
        self.held_back = true;
        self.send_staged(now);
        let mut others = pin!(tokio::task::yield_now());
        let _ = others.as_mut().poll(cx);
        Poll::Pending
    }

    // Commands.

    /// Whether there is something to be taken, of others or of the session's own handlers.
    fn has_commands(&self) -> bool {
        has_staged() || self.mailbox.has_commands()
    }

    fn take_commands(&mut self, now: Instant) {
        self.send_staged(now);
        let Some((first, rest)) = self.mailbox.take() else {
            return;
        };
        if rest.is_empty() {
            return self.handle_command(now, first);
        }
        if !self.takes_runs() {
            for command in std::iter::once(first).chain(rest) {
                self.handle_command(now, command);
            }
            return;
        }
        // A burst of short texts is written as one piece.
        let mut run = FrameRun::default();
        for command in std::iter::once(first).chain(rest) {
            match command {
                Command::Emit { packet, options }
                    if short_frame(&packet, options).is_some_and(|frame| run.push(frame)) => {}
                command => {
                    self.session.send_run(now, std::mem::take(&mut run));
                    self.handle_command(now, command);
                }
            }
        }
        self.session.send_run(now, run);
    }

    /// Whether texts may be sent as finished frames. With both parsers the client's first packet decides.
    fn takes_runs(&self) -> bool {
        self.session.takes_runs()
            && self.connection.decoder().peer_parser() == Some(ParserKind::Default)
    }

    /// Sends what the session's own handlers have sent in this turn.
    fn send_staged(&mut self, now: Instant) {
        take_staged(|run, packets| {
            self.session.send_run(now, run);
            for (packet, options) in packets.drain(..) {
                self.send(now, &packet, options);
            }
        });
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Emit { packet, options } => self.send(now, &packet, options),
            Command::Poll { reply } => {
                // The GET before it may have been given up a moment ago: that is no overlap.
                self.forget_aborted_poll(now);
                if self.session.handle_poll(now).is_ok() {
                    self.requests.get_or_insert_default().poll = Some(reply);
                } else {
                    let _ = reply.send(PollReply::Overlap);
                }
            }
            Command::PollAborted => self.forget_aborted_poll(now),
            Command::PollUndelivered { packets } => {
                self.session.handle_poll_undelivered(now, packets);
            }
            Command::Post {
                body,
                binary_form,
                reply,
            } => {
                self.unread = true;
                if self.session.handle_post(body, binary_form).is_ok() {
                    self.requests.get_or_insert_default().post = Some(reply);
                } else {
                    let _ = reply.send((PostReply::Overlap, None));
                }
            }
            Command::Upgrade { websocket } => self.handle_upgrade(now, websocket),
            Command::TooLarge => {
                let max = self.server.limits.max_message_bytes;
                self.log_too_large("max_message_bytes", max);
            }
            Command::Fail { reason } => self.session.fail(reason),
            Command::Close {
                reason: Some(reason),
            } => {
                if self.mailbox.is_delivering() {
                    self.session.note_delivering(now);
                }
                self.session.close(now, reason);
            }
            Command::Close { reason: None } => {
                while !self.connection.is_empty() {
                    self.disconnect(now, 0, DisconnectReason::ServerNamespaceDisconnect);
                }
                self.session.close(now, CloseReason::ForcedClose);
            }
            Command::Disconnect { socket } => {
                if let Some(index) = self.index_of(socket) {
                    self.disconnect(now, index, DisconnectReason::ServerNamespaceDisconnect);
                }
            }
            Command::Overflow => self.session.fail(CloseReason::SlowConsumer),
        }
    }

    /// Takes note of a GET that the client has given up. It may have been answered, and another one come, since then.
    fn forget_aborted_poll(&mut self, now: Instant) {
        // Its answer may wait to be given: then it comes back, and is not lost.
        if self.session.has_output() {
            self.take_outputs(now);
        }
        let Some(requests) = &mut self.requests else {
            return;
        };
        if requests
            .poll
            .as_ref()
            .is_some_and(oneshot::Sender::is_closed)
        {
            requests.poll = None;
            self.session.handle_poll_aborted(now);
        }
    }

    fn index_of(&self, id: SocketId) -> Option<usize> {
        self.connection
            .sockets()
            .position(|member| member.socket.id() == id)
    }

    fn handle_upgrade(&mut self, now: Instant, mut websocket: Box<WebSocketIo>) {
        // What is to be done with the WebSocket before it.
        if self.session.has_output() {
            self.take_outputs(now);
        }
        if self.session.handle_probe_opened(now).is_ok() {
            self.unread = true;
            self.probe = Some(websocket);
        } else {
            // The JavaScript server accepts such a WebSocket and closes it at once.
            websocket.start_close(None);
            spawn_close(&self.server, *websocket);
        }
    }

    /// Sends a packet in the encoding that this client uses.
    fn send(&mut self, now: Instant, packet: &EncodedPacket, options: SendOptions) {
        if self.connection.decoder().peer_parser() == Some(ParserKind::Msgpack) {
            self.session.send(now, &packet.msgpack(), &[], options);
        } else {
            self.session
                .send(now, packet.first(), packet.attachments(), options);
        }
    }

    // Time.

    #[cold]
    fn handle_time(&mut self, now: Instant) {
        if let Phase::Closing { until } = self.phase {
            if until <= now {
                self.phase = Phase::Done;
            }
            return;
        }
        if self.session.deadline().is_some_and(|at| at <= now) {
            if self.mailbox.is_delivering() {
                self.session.note_delivering(now);
            }
            self.watch_writes(now);
            self.session.handle_timeout(now);
        }
        if let Some(pause) = &self.pause {
            if pause.look_at.is_some_and(|at| at <= now) {
                self.look_at_peer(now);
            }
            return;
        }
        if let Err(error) = self.connection.handle_timeout(now) {
            self.on_protocol_error(now, &error);
        }
        if self.message_deadline().is_some_and(|at| at <= now) {
            if let Some(websocket) = &mut self.websocket {
                websocket.start_close(Some(CloseCode::POLICY_VIOLATION));
            }
            self.session.fail(CloseReason::TransportError);
        }
    }

    /// A peer that takes nothing for too long is slow, if the kernel cannot say that it has acknowledged something. From then on
    /// the kernel decides, until all that waits has left.
    fn watch_writes(&mut self, now: Instant) {
        if let Some(websocket) = &mut self.websocket
            && self.session.is_write_overdue(now)
        {
            websocket.watch_peer(Some(self.server.limits.write_timeout));
            self.session
                .set_progress_watched(websocket.is_peer_watched());
        }
    }

    fn message_deadline(&self) -> Option<Instant> {
        Some(self.websocket.as_ref()?.message_since()? + self.server.limits.message_timeout)
    }

    fn deadline(&self) -> Instant {
        if let Phase::Closing { until } = self.phase {
            return until;
        }
        let mut deadline = self.session.deadline();
        let mut add = |other: Option<Instant>| {
            if let Some(other) = other {
                deadline = Some(deadline.map_or(other, |deadline| deadline.min(other)));
            }
        };
        match &self.pause {
            None => {
                add(self.connection.deadline());
                add(self.message_deadline());
            }
            // Of what it cannot send now nothing is due.
            Some(pause) => add(pause.look_at),
        }
        deadline.unwrap_or(self.sleeps_until)
    }

    /// Makes sure that the task is woken at its deadline. A timer that fires too early is only set again.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let deadline = self.deadline();
        if deadline < self.sleeps_until || self.sleeps_until <= now || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(deadline.into());
            self.sleeps_until = deadline;
            // It must know whom to wake, however much the handlers of this turn have done.
            let mut sleep = pin!(tokio::task::unconstrained(self.sleep.as_mut()));
            if sleep.as_mut().poll(cx).is_ready() {
                return Progress::Some;
            }
        }
        Progress::None
    }

    // Reading.

    // Who is slow: see "Who is slow, who is gone" in ARCHITECTURE.md.

    /// Whether the client must wait before more of it is read and handled.
    #[inline]
    fn is_paused(&self) -> bool {
        self.is_behind() || !self.mailbox.has_room()
    }

    /// Whether handlers are too far behind.
    #[inline]
    fn is_behind(&self) -> bool {
        // Nearly always nothing is going on.
        self.open_events > 0 && self.is_far_behind()
    }

    /// Whether reading stops. A single event may be of any size, and what comes behind it may be what its handler waits for.
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
            || (events > 1 && queued + self.held_bytes >= most)
            || matches!(&self.deferred, Some(packet) if self.has_no_room(packet))
    }

    /// Whether a msgpack packet must wait: what it becomes, mostly less than three times as much, may be too much beside
    /// what is there.
    fn has_no_room(&self, packet: &Bytes) -> bool {
        let limits = &self.server.limits;
        let most = limits.max_message_bytes.saturating_mul(3);
        let held = self.queued_bytes + self.held_bytes;
        held > 0 && held + 3 * packet.len() > most.saturating_add(limits.max_queued_bytes)
    }

    /// Something was not read or handled. Notes that if it still has to wait, and sees to it that the task is woken when it
    /// need not any more.
    #[cold]
    fn pause(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let is_full = self.mailbox.poll_room(cx, 0).is_pending();
        let is_behind = self.is_behind();
        if !is_full && !is_behind {
            return Progress::Some;
        }
        self.session.set_reading_paused(now, true);
        let pause = self.pause.get_or_insert_with(|| {
            Box::new(Pause {
                since: now,
                look_at: None,
                ended: None,
            })
        });
        if is_behind && self.websocket.is_some() {
            pause.look_at.get_or_insert(now + WATCH_INTERVAL);
        }
        if is_full {
            self.session.release_post();
        }
        if self.session.has_output() {
            Progress::Some
        } else {
            Progress::None
        }
    }

    /// Reading goes on: the client has as much time as it had when it stopped.
    #[cold]
    fn resume(&mut self, now: Instant) {
        let Some(pause) = self.pause.take() else {
            return;
        };
        let time = now.saturating_duration_since(pause.since);
        self.session.set_reading_paused(now, false);
        self.connection.postpone(time);
        if let Some(websocket) = &mut self.websocket {
            websocket.postpone(time);
        }
    }

    /// Looks whether the peer of a WebSocket has gone that is not read from.
    fn look_at_peer(&mut self, now: Instant) {
        let (Some(websocket), Some(pause)) = (&self.websocket, &mut self.pause) else {
            return;
        };
        pause.look_at = Some(now + WATCH_INTERVAL);
        match websocket.peer_state() {
            PeerState::Unknown => {}
            PeerState::Gone => {
                tracing::debug!("connection was reset while handlers were behind");
                self.session
                    .handle_transport_closed(CloseReason::TransportError);
            }
            // What it has sent before is still handled, as long as the handlers get on.
            PeerState::Ended => {
                let ended = *pause.ended.get_or_insert(now);
                if ended + self.server.limits.handler_drain_timeout <= now {
                    tracing::warn!(
                        "client is gone, and what it sent last is lost: handlers do not end"
                    );
                    self.session
                        .handle_transport_closed(CloseReason::TransportClose);
                }
            }
        }
    }

    fn can_read(&self) -> bool {
        self.websocket.is_some()
            && self.phase == Phase::Open
            && self.session.is_open()
            && self.pause.is_none()
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut Budget) {
        self.unread = false;
        if self.phase != Phase::Open {
            return;
        }
        // It brings no events, and a client that upgrades takes nothing until that is done.
        if self.probe.is_some() {
            self.read_probe(cx, now);
        }
        // Whether too much waits for the client is asked after each message: one is read at most before that is known.
        if self.is_behind() || (self.pause.is_some() && self.is_paused()) {
            self.held_back = true;
            return;
        }
        if self.pause.is_some() {
            self.resume(now);
        }
        if self.deferred.is_some()
            && let Some(packet) = self.deferred.take()
        {
            self.handle_message(cx, now, Message::Binary(packet));
        }
        while !budget.is_spent() && self.session.has_post() && !self.is_paused() {
            let Some(message) = self.session.poll_message(now) else {
                break;
            };
            budget.take_message();
            budget.take_bytes(message.len());
            self.handle_message(cx, now, message);
        }
        // What a POST has brought was sent before what comes on a WebSocket.
        if self.session.has_post() {
            self.held_back |= self.is_paused();
            return;
        }
        if self.websocket.is_some() && self.mailbox.take_readable() {
            self.read_websocket(cx, now, budget);
        }
    }

    fn read_websocket(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut Budget) {
        let Some(mut websocket) = self.websocket.take() else {
            return;
        };
        let read_waker = self.read_waker.clone();
        let mut read_cx = Context::from_waker(&read_waker);
        let mut is_paused = false;
        loop {
            if budget.is_spent() || is_paused || !self.session.is_open() {
                // There may be more.
                self.mailbox.set_readable();
                self.held_back |= is_paused;
                break;
            }
            let read = websocket.poll_read(&mut read_cx, now, |_, frame| {
                budget.take_message();
                if let Some(message) = self.session.handle_frame(now, frame) {
                    self.handle_message(cx, now, message);
                }
                is_paused = self.is_paused();
                !is_paused && !budget.is_spent() && self.session.is_open()
            });
            if read == Poll::Ready(Rest::Perhaps) {
                budget.take_bytes(READ_BYTES);
            }
            match websocket.read_end() {
                Some(ReadEnd::Closed) => self
                    .session
                    .handle_transport_closed(CloseReason::TransportClose),
                Some(end @ (ReadEnd::Failed | ReadEnd::TooLarge)) => {
                    if end == ReadEnd::TooLarge && self.session.is_open() {
                        let max = self.server.limits.max_message_bytes;
                        self.log_too_large("max_message_bytes", max);
                    }
                    self.session
                        .handle_transport_closed(CloseReason::TransportError);
                }
                Some(ReadEnd::TimedOut) => self
                    .session
                    .handle_transport_closed(CloseReason::SlowConsumer),
                None if read != Poll::Ready(Rest::Perhaps) => break,
                None => {}
            }
        }
        self.websocket = Some(websocket);
    }

    #[cold]
    fn read_probe(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(mut probe) = self.probe.take() else {
            return;
        };
        let (mut upgraded, mut refused) = (false, false);
        while !upgraded && !refused && probe.read_end().is_none() {
            let read = probe.poll_read(cx, now, |probe, frame| {
                self.session.handle_probe_frame(now, frame);
                while let Some(output) = self.session.poll_output() {
                    match output {
                        Output::ProbePacket(packet) => {
                            probe.send_now(packet.websocket_slice(self.session.revision(), false));
                        }
                        Output::CloseProbe => {
                            refused = true;
                            probe.start_close(None);
                        }
                        // What follows is about the session's WebSocket.
                        Output::Upgraded => {
                            upgraded = true;
                            break;
                        }
                        other => self.handle_output(now, other),
                    }
                }
                // What comes behind the upgrade packet is read as the session's.
                !upgraded && !refused
            });
            if read.is_pending() {
                break;
            }
        }
        if upgraded {
            tracing::debug!("upgraded to websocket");
            self.websocket = Some(probe);
            self.mailbox.set_transport(Transport::WebSocket);
            self.mailbox.set_readable();
        } else if refused || probe.read_end().is_some() {
            self.session.handle_probe_closed();
            spawn_close(&self.server, *probe);
        } else {
            self.probe = Some(probe);
        }
    }

    // Socket.IO.

    #[inline]
    fn handle_message(&mut self, cx: &mut Context<'_>, now: Instant, message: Message) {
        let message = match message {
            Message::Text(text) => match self.connection.handle_event(text) {
                Ok((index, id, event)) => {
                    self.handle_event(cx, index, id, &event);
                    return event.reuse();
                }
                Err(text) => Message::Text(text),
            },
            binary @ Message::Binary(_) => binary,
        };
        self.handle_other(cx, now, message);
    }

    /// Handles a message that did not go the straight way.
    #[inline(never)]
    fn handle_other(&mut self, cx: &mut Context<'_>, now: Instant, message: Message) {
        if let Message::Binary(packet) = &message
            && self.connection.decoder().peer_parser() == Some(ParserKind::Msgpack)
            && self.has_no_room(packet)
        {
            self.deferred = Some(packet.clone());
            return;
        }
        match self
            .connection
            .handle_message(&self.server.connection_config, now, message)
        {
            Ok(None) => {}
            Ok(Some(Input::Event {
                index,
                id,
                ref event,
            })) => self.handle_event(cx, index, id, event),
            Ok(Some(Input::Ack { index, id, args })) => {
                if let Some(member) = self.connection.get_mut(index) {
                    member.socket.acks().resolve(id, args);
                }
            }
            Ok(Some(Input::Connect { namespace, auth })) => self.join(cx, now, namespace, auth),
            Ok(Some(Input::Disconnect { index })) => {
                self.leave(now, index, DisconnectReason::ClientNamespaceDisconnect);
            }
            Err(error) => self.on_protocol_error(now, &error),
        }
    }

    /// Tells the user that a client has sent more than a limit allows.
    #[cold]
    fn log_too_large(&self, limit: &str, max: usize) {
        let Some(skipped) = self.server.size_log.pass() else {
            return;
        };
        let mut sockets = self.connection.sockets();
        let socket = sockets
            .next()
            .map(|member| tracing::field::display(member.socket.id()));
        let address = self.mailbox.address.map(tracing::field::display);
        tracing::warn!(
            limit,
            max,
            socket,
            address,
            skipped,
            "a client sent more bytes than the limit {limit} allows, its connection is closed; raise the limit if the client \
             is yours"
        );
    }

    fn on_protocol_error(&mut self, now: Instant, error: &ProtocolError) {
        tracing::debug!(%error, "socket.io protocol error, closing");
        if let ProtocolError::Decode(
            DecodeError::AttachmentsTooLarge { max } | DecodeError::MsgpackTooLarge { max },
        ) = *error
        {
            self.log_too_large("max_attachment_bytes", max);
        }
        if let ProtocolError::TooManyNamespaces { .. } = error {
            self.close_code = Some(CloseCode::POLICY_VIOLATION);
        }
        let reason = match error {
            ProtocolError::NotJoined
            | ProtocolError::AlreadyJoined
            | ProtocolError::UnexpectedConnectError
                if self.session.transport() == Transport::Polling
                    && !self.session.is_writable() =>
            {
                CloseReason::ForcedServerClose
            }
            _ => CloseReason::ForcedClose,
        };
        // What handlers have sent before is still delivered.
        self.send_staged(now);
        self.session.close(now, reason);
    }

    fn join(&mut self, cx: &mut Context<'_>, now: Instant, name: Str, auth: Option<Str>) {
        let Some(namespace) = self.server.namespace(&name) else {
            return self.refuse(now, &name, &ConnectError::new("Invalid namespace"), true);
        };
        let Ok(id) = random_id().map(SocketId::from_random) else {
            return self.refuse(now, &name, &ConnectError::new("internal error"), false);
        };
        let auths = self.connection.sockets().map(|member| &member.socket);
        let kept: usize = auths.map(Socket::auth_bytes).sum();
        let auth_bytes = auth.as_ref().map_or(0, Str::held_bytes);
        if kept > 0 && kept + auth_bytes > self.server.limits.max_message_bytes {
            return self.refuse(now, &name, &ConnectError::new("auth too large"), false);
        }
        let server = Arc::clone(&self.server);
        let parser = self.connection.decoder().peer_parser();
        let socket = Socket::new(
            id,
            namespace,
            server,
            Arc::clone(&self.mailbox),
            auth,
            parser,
        );
        socket.enter();
        let joining = events::start_middlewares(&socket);
        let handlers = KeptHandlers::new(socket.namespace());
        let member = Member {
            socket,
            handlers,
            joining,
            running: Vec::new(),
            held: 0,
            waiting: VecDeque::new(),
        };
        self.connection.join(name, member);
        self.poll_joining(cx, now, self.connection.len() - 1);
    }

    /// Asks the middlewares of a socket for their decision. It may be gone after that, and so may others.
    fn poll_joining(&mut self, cx: &mut Context<'_>, now: Instant, index: usize) {
        let Some(member) = self.connection.get_mut(index) else {
            return;
        };
        let verdict = match &mut member.joining {
            None => Ok(()),
            Some(joining) => match poll_caught(joining.as_mut(), cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(verdict)) => verdict,
                Poll::Ready(Err(panic)) => {
                    events::report(
                        &member.socket,
                        &EventError::new("connection", EventErrorKind::Panic(panic)),
                    );
                    Err(ConnectError::new("internal error"))
                }
            },
        };
        member.joining = None;
        match verdict {
            Ok(()) => {
                let socket = member.socket.id();
                self.accept(cx, now, socket);
            }
            Err(error) => {
                let name = Str::from(member.socket.namespace().name());
                member
                    .socket
                    .namespace()
                    .note_refused(&member.socket, &error);
                self.forget(now, index);
                self.refuse(now, &name, &error, false);
            }
        }
    }

    fn accept(&mut self, cx: &mut Context<'_>, now: Instant, socket: SocketId) {
        // What the middlewares have sent goes first, as with the JavaScript server. Sockets may be disconnected by that, the
        // one that is to be accepted among them.
        self.take_commands(now);
        let Some(index) = self.index_of(socket) else {
            return;
        };
        self.connection.accept(index);
        self.guard.connected();
        let Some(member) = self.connection.get_mut(index) else {
            return;
        };
        let socket = member.socket.clone();
        let reply = format!("{{\"sid\":\"{}\"}}", socket.id());
        let reply = match self.connection.version() {
            ProtocolVersion::V5 => encode_connect(socket.namespace().name(), Some(&reply)),
            ProtocolVersion::V4 => encode_connect(socket.namespace().name(), None),
        };
        self.send(now, &reply, SendOptions::OWED);
        // Connected before anybody can see it, and after the reply: no broadcast comes before it.
        socket.set_connected();
        if let Some(member) = self.connection.get_mut(index) {
            events::start_connect(&socket, cx, &mut member.running);
        }
        self.run_waiting(cx, index);
    }

    fn refuse(
        &mut self,
        now: Instant,
        namespace: &str,
        error: &ConnectError,
        unknown_namespace: bool,
    ) {
        self.send_staged(now);
        let packet = match self.connection.version() {
            ProtocolVersion::V4 if !unknown_namespace => {
                encode_legacy_connect_error(namespace, &error.message, error.data.as_ref())
            }
            _ => encode_connect_error(namespace, &error.message, error.data.as_ref()),
        };
        match packet {
            Ok(packet) => self.send(now, &packet, SendOptions::OWED),
            Err(error) => tracing::error!(%error, "refusal cannot be encoded"),
        }
    }

    fn handle_event(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        id: Option<AckId>,
        event: &RawEvent,
    ) {
        let Some(member) = self.connection.get_mut(index) else {
            return;
        };
        if member.joining.is_none() && member.waiting.is_empty() && member.running.is_empty() {
            // The straight way: nothing of this socket is going on.
            member.start(event, id, cx);
            if !member.running.is_empty() {
                self.held_bytes += member.hold(event, 0);
                self.open_events += 1;
            }
            return;
        }
        self.queued_events += 1;
        self.open_events += 1;
        self.queued_bytes += event_bytes(event);
        member.waiting.push_back((event.clone(), id));
        self.run_waiting(cx, index);
    }

    /// Starts waiting events while their socket allows it.
    fn run_waiting(&mut self, cx: &mut Context<'_>, index: usize) {
        let Some(member) = self.connection.get_mut(index) else {
            return;
        };
        while member.may_start() {
            if !self.mailbox.has_room() {
                self.held_back = true;
                break;
            }
            let Some((event, id)) = member.waiting.pop_front() else {
                break;
            };
            self.queued_events -= 1;
            self.queued_bytes -= event_bytes(&event);
            let before = member.running.len();
            member.start(&event, id, cx);
            if member.running.len() > before {
                self.held_bytes += member.hold(&event, before);
            } else {
                self.open_events -= 1;
            }
        }
        if member.waiting.is_empty() {
            member.waiting = VecDeque::new();
        }
    }

    /// Polls the handlers that wait for something.
    fn poll_handlers(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut index = 0;
        while let Some(member) = self.connection.get_mut(index) {
            if member.joining.is_some() {
                let count = self.connection.len();
                self.poll_joining(cx, now, index);
                if self.connection.len() != count {
                    // Some have moved to places that were passed.
                    index = 0;
                    continue;
                }
            }
            if let Some(member) = self.connection.get_mut(index)
                && !member.running.is_empty()
            {
                let Member {
                    socket, running, ..
                } = member;
                running.retain_mut(|handler| {
                    let is_pending = events::poll(handler, socket, cx).is_pending();
                    if !is_pending && handler.weight() > 0 {
                        self.held_bytes -= handler.weight();
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
            index += 1;
        }
    }

    // Leaving.

    /// The server disconnects a socket: the client is told.
    fn disconnect(&mut self, now: Instant, index: usize, reason: DisconnectReason) {
        self.send_staged(now);
        if let Some(member) = self.connection.get_mut(index) {
            let packet = encode_disconnect(member.socket.namespace().name());
            self.send(now, &packet, SendOptions::OWED);
        }
        self.leave(now, index, reason);
    }

    fn leave(&mut self, now: Instant, index: usize, reason: DisconnectReason) {
        if let Some(member) = self.forget(now, index) {
            self.end(member, reason);
        }
    }

    fn forget(&mut self, now: Instant, index: usize) -> Option<Member> {
        let member = self
            .connection
            .leave(&self.server.connection_config, now, index)?;
        let held = member.running.iter().map(Running::weight);
        for bytes in held.filter(|&bytes| bytes > 0) {
            self.held_bytes -= bytes;
            self.open_events -= 1;
        }
        self.queued_events -= member.waiting.len();
        self.open_events -= member.waiting.len();
        self.queued_bytes -= member
            .waiting
            .iter()
            .map(|(event, _)| event_bytes(event))
            .sum::<usize>();
        Some(member)
    }

    /// A socket has left: what it has begun goes on without the session, then `on_disconnect` runs.
    fn end(&self, mut member: Member, reason: DisconnectReason) {
        if !member.socket.exit() {
            return;
        }
        let socket = member.socket.clone();
        let running = std::mem::take(&mut member.running);
        let waiting = std::mem::take(&mut member.waiting);
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

    // Outputs.

    fn take_outputs(&mut self, now: Instant) {
        self.session.flush(now);
        let mut posted = None;
        let mut behind = None;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::PostResponse(response) => posted = Some(response),
                // What a POST has caused does not overtake its answer.
                Output::PollResponse { packets, compress } if posted.is_some() => {
                    behind = self.poll_answer(now, packets, compress);
                }
                other => self.handle_output(now, other),
            }
        }
        if let Some(response) = posted {
            self.answer_post(response, behind);
        }
    }

    fn handle_output(&mut self, now: Instant, output: Output) {
        match output {
            Output::PollResponse { packets, compress } => {
                drop(self.poll_answer(now, packets, compress));
            }
            Output::PostResponse(response) => self.answer_post(response, None),
            Output::CloseProbe => {
                if let Some(mut probe) = self.probe.take() {
                    probe.start_close(None);
                    spawn_close(&self.server, *probe);
                }
            }
            Output::Closed(reason) => self.on_closed(now, reason),
            Output::CloseWebSocket => {
                if let Some(websocket) = &mut self.websocket {
                    websocket.start_close(self.close_code);
                }
            }
            Output::Finished => {
                self.server.forget(&self.mailbox);
                let wait = self.server.limits.close_handshake_timeout;
                self.phase = if self.websocket.is_some() {
                    Phase::Closing { until: now + wait }
                } else {
                    Phase::Done
                };
            }
            // Only while a probe is being read, and handled there.
            Output::ProbePacket(_) | Output::Upgraded => {}
        }
    }

    /// The answer to the pending GET, given when it is dropped.
    fn poll_answer(
        &mut self,
        now: Instant,
        packets: PollPackets,
        compress: bool,
    ) -> Option<HeldPoll> {
        let waiting = self.requests.as_mut();
        let Some(reply) = waiting.and_then(|requests| requests.poll.take()) else {
            // Nobody waits any more.
            self.session.handle_poll_undelivered(now, packets);
            return None;
        };
        let (revision, base64) = (self.session.revision(), self.session.is_base64());
        let answer = PollReply::Packets {
            packets,
            revision,
            base64,
            compress,
        };
        Some(HeldPoll::new(reply, answer, &self.mailbox))
    }

    fn answer_post(&mut self, response: PostResponse, behind: Option<HeldPoll>) {
        let reply = self
            .requests
            .as_mut()
            .and_then(|requests| requests.post.take());
        if let Some(reply) = reply {
            let answer = match response {
                PostResponse::Ok => PostReply::Ok,
                PostResponse::BadRequest => PostReply::BadRequest,
            };
            // If the client has given up its POST, the GET's answer is given here.
            let _ = reply.send((answer, behind));
        }
    }

    fn on_closed(&mut self, now: Instant, reason: CloseReason) {
        tracing::debug!(%reason, "session closed");
        self.close_code = match reason {
            CloseReason::SlowConsumer => Some(CloseCode::POLICY_VIOLATION),
            CloseReason::ServerShuttingDown => Some(CloseCode::GOING_AWAY),
            _ => self.close_code,
        };
        let has_poll = self.requests.as_ref().is_some_and(|it| it.poll.is_some());
        if reason == CloseReason::TransportClose && self.websocket.is_none() && !has_poll {
            self.server.sessions.note_left(self.mailbox.sid, now);
        }
        self.queued_events = 0;
        self.queued_bytes = 0;
        self.held_bytes = 0;
        self.open_events = 0;
        self.deferred = None;
        for member in self.connection.take_all() {
            self.end(member, DisconnectReason::Session(reason));
        }
    }

    // Writing.

    /// The most frequent turn, of a broadcast's recipient: packets came, the WebSocket takes them at once, and there is
    /// nothing else to do. `false` if there may be.
    fn deliver(&mut self, cx: &mut Context<'_>) -> bool {
        let nothing_else = self.phase == Phase::Open
            && self.probe.is_none()
            && self.pause.is_none()
            && !self.held_back
            && !self.sleep.is_elapsed()
            && !self.session.has_post()
            && !self.mailbox.is_readable()
            && self.connection.sockets().all(Member::is_idle);
        let Some(websocket) = self.websocket.as_mut().filter(|_| nothing_else) else {
            return false;
        };
        // Behind what waits already it would only be looked at twice.
        if !websocket.is_idle() || !self.session.is_drained() || !self.session.is_open() {
            return false;
        }
        let is_default = self.connection.decoder().peer_parser() != Some(ParserKind::Msgpack);
        if let Some(packet) = self.mailbox.take_only_packet(cx, is_default) {
            let frame = self.session.frame_of(packet.first());
            let written = write_frame(websocket, cx, frame);
            if written == frame.len() {
                self.session.note_written();
                return websocket.is_idle();
            }
            let now = Instant::now();
            self.send(now, &packet, SendOptions::default());
            self.session.advance(now, written);
            return false;
        }
        let now = Instant::now();
        self.take_commands(now);
        let Some(websocket) = &mut self.websocket else {
            return false;
        };
        let written = websocket.poll_write(cx, now, Some(&mut self.session));
        matches!(written, Poll::Ready(Ok(())))
            && self.session.is_open()
            && self.session.is_drained()
            && !self.session.has_output()
            && self.probe.is_none()
            && !self.unread
            && self.deadline() >= self.sleeps_until
            && {
                self.publish_outbound();
                self.note_dropped();
                // The stream may have become readable before the mailbox knew whom to wake.
                self.mailbox.sleep(cx) && !self.mailbox.is_readable()
            }
    }

    /// Writes what the session's own handlers have sent in this turn, if nothing is in front of it: past the session's
    /// queue.
    fn write_staged(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(websocket) = &mut self.websocket else {
            return;
        };
        if !websocket.is_idle() || !self.session.is_drained() || !self.session.is_open() {
            return;
        }
        if let Some(run) = take_only_run() {
            let written = write_frame(websocket, cx, run.as_slice());
            if written == run.as_slice().len() {
                self.session.note_written();
            } else {
                self.session.send_run(now, run);
                self.session.advance(now, written);
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        let has_nothing = |websocket: &WebSocketIo, session: &Session, phase| {
            phase == Phase::Open && websocket.is_idle() && session.is_drained()
        };
        if let Some(websocket) = &mut self.websocket
            && !has_nothing(websocket, &self.session, self.phase)
        {
            let written = websocket.poll_write(cx, now, Some(&mut self.session));
            if let Poll::Ready(Err(error)) = &written {
                let is_slow =
                    websocket.is_peer_watched() && error.kind() == io::ErrorKind::TimedOut;
                self.session.handle_transport_closed(if is_slow {
                    CloseReason::SlowConsumer
                } else {
                    CloseReason::TransportError
                });
                if matches!(self.phase, Phase::Closing { .. }) {
                    self.phase = Phase::Done;
                }
            }
            if let (Phase::Closing { .. }, Poll::Ready(_)) = (self.phase, written)
                && websocket.poll_linger(cx).is_ready()
            {
                self.phase = Phase::Done;
            }
            if websocket.is_peer_watched() && self.session.is_drained() {
                websocket.watch_peer(None);
                self.session.set_progress_watched(false);
            }
        }
        if let Some(probe) = &mut self.probe
            && let Poll::Ready(Err(_)) = probe.poll_write(cx, now, None::<&mut Session>)
        {
            self.probe = None;
            self.session.handle_probe_closed();
        }
        self.publish_outbound();
        self.note_dropped();
    }

    /// Says what waits for the client. If the whole server holds too much, a client for which more waits than its share is
    /// treated as one that has reached its own limit.
    #[inline]
    fn publish_outbound(&mut self) {
        let bytes = self.session.outbound_bytes();
        if bytes != self.counted_bytes {
            self.count_bytes(bytes);
            if let Some(share) = self.server.sessions.share(&self.server.limits)
                && bytes > share
            {
                self.session.shrink_outbound(share);
                self.count_bytes(self.session.outbound_bytes());
            }
        }
        self.mailbox.set_outbound(self.session.outbound_bytes());
    }

    fn count_bytes(&mut self, bytes: usize) {
        self.server
            .sessions
            .count_outbound(self.counted_bytes, bytes);
        self.counted_bytes = bytes;
    }

    /// Tells the application what the policy for slow clients has dropped.
    fn note_dropped(&self) {
        let dropped = self.session.dropped();
        if dropped == 0 {
            return;
        }
        if self.mailbox.set_dropped(dropped) == 0 {
            let socket = self.connection.sockets().next();
            let socket = socket.map(|member| tracing::field::display(member.socket.id()));
            tracing::warn!(socket, "slow client, dropping messages");
        }
    }
}

/// Writes a frame past the session's queue. Returns how many bytes of it were taken.
fn write_frame(websocket: &mut WebSocketIo, cx: &mut Context<'_>, frame: &[u8]) -> usize {
    match websocket.poll_write_frame(cx, frame) {
        Poll::Ready(Ok(written)) => written,
        // A stream that has failed fails again.
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

/// The frame of a packet that is cheaper to copy than to share.
fn short_frame(packet: &EncodedPacket, options: SendOptions) -> Option<&[u8]> {
    const SHORT_BYTES: usize = 512;
    let frame = packet.text_frame().filter(|_| !options.volatile)?;
    (frame.len() <= SHORT_BYTES).then_some(frame)
}

fn event_bytes(event: &RawEvent) -> usize {
    // What the queue itself needs for it counts, too.
    event.args().held_bytes() + 128
}

/// Writes the close frame of a WebSocket that carries no session, and waits for the peer's end.
async fn close_websocket(mut websocket: WebSocketIo) {
    let now = Instant::now();
    let written =
        std::future::poll_fn(|cx| websocket.poll_write(cx, now, None::<&mut Session>)).await;
    if written.is_ok() {
        std::future::poll_fn(|cx| websocket.poll_linger(cx)).await;
    }
}

fn spawn_close(server: &ServerInner, websocket: WebSocketIo) {
    tokio::spawn(tokio::time::timeout(
        server.limits.close_handshake_timeout,
        close_websocket(websocket),
    ));
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        if driver.deliver(cx) {
            return Poll::Pending;
        }
        driver.turn(cx)
    }
}
