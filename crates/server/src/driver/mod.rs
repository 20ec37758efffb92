//! The task that owns a session. What moves its bytes is in [`Wire`], its sockets and their handlers are in [`Sockets`]; here is
//! the turn that brings the two together: commands, time, what is read when.
//!
//! Everybody else sends it commands through its [`Mailbox`]. One turn does, in this order: commands, time, reading, handlers,
//! answers, writing; it repeats while there is something to do, then sleeps until the mailbox, the transport, a handler or
//! the deadline wakes it.

mod budget;
mod sockets;
mod wire;

use std::{
    future::Future,
    ops::ControlFlow,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use kokanee_engineio::{CloseReason, FrameRun, Message, SendOptions, Session, Str, Transport};
use kokanee_io::{PeerState, READ_BYTES, WebSocketIo};
use kokanee_socketio::{DecodeError, EncodedPacket, ParserKind, ProtocolError, ProtocolVersion};
use kokanee_websocket::CloseCode;
use tokio::time::Sleep;

use self::{
    budget::Budget,
    sockets::{Interrupt, Sockets},
    wire::{Counted, Phase, Reading, Wire, write_frame},
};
use crate::{
    clock,
    inner::ServerInner,
    mailbox::{Command, Mailbox},
    metrics::{PacketCount, Traffic},
    sessions::SessionGuard,
    stage::{Turn, has_staged},
};

/// Rounds of one turn, before other tasks get their chance.
const ROUNDS_PER_TURN: usize = 16;

/// Interval at which a connection is looked at that is not read from: has its peer gone?
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How much later than its timer a task runs that was delayed: by its handlers, or because the machine is busy.
const LATE: Duration = Duration::from_millis(50);

/// The client is not read from.
struct Pause {
    since: Instant,
    /// When its WebSocket is looked at next.
    look_at: Option<Instant>,
    /// Since when it is known that it sends nothing more.
    ended: Option<Instant>,
}

/// What wakes the task when nothing else does.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    until: Instant,
}

impl Timer {
    /// Over already: the first turn sets it, which a task must do itself to be woken.
    fn new(now: Instant) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep_until(now.into())),
            until: now,
        }
    }

    /// Makes sure that the task is woken at its deadline; `true` if that has passed. A timer that fires too early is only set
    /// again.
    fn poll(&mut self, cx: &mut Context<'_>, now: Instant, deadline: Instant) -> bool {
        if deadline < self.until || self.until <= now || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(deadline.into());
            self.until = deadline;
            // It must know whom to wake, however much the handlers of this turn have done.
            let mut sleep = pin!(tokio::task::unconstrained(self.sleep.as_mut()));
            return sleep.as_mut().poll(cx).is_ready();
        }
        false
    }
}

pub(crate) struct Driver {
    wire: Wire,
    sockets: Sockets,
    timer: Timer,
    pause: Option<Box<Pause>>,
    /// In this round something was not read, or not all that there was to do was done.
    held_back: bool,
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
        let version = session.revision().into();
        let sockets = Sockets::new(&server, &mailbox, version, guard, now);
        Self {
            wire: Wire::new(server, mailbox, session, websocket),
            sockets,
            timer: Timer::new(now),
            pause: None,
            held_back: false,
        }
    }

    /// Connects a client of an old revision to `/`, as those expect it, and one that does not speak Socket.IO.
    pub(crate) fn connect_unasked(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.sockets.connection.version() == ProtocolVersion::V4 || self.sockets.is_raw() {
            self.join(cx, now, Str::from_static("/"), None);
        }
    }

    // The turn.

    /// Everything that there is to do, up to a limit.
    #[inline(never)]
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        let mut budget = Budget::new();
        let _turn = Turn::begin(self.wire.mailbox.address_in_memory(), self.takes_runs());
        for _ in 0..ROUNDS_PER_TURN {
            // No deadline is earlier than the timer. What comes between the two is too late; but if the task itself is late, what
            // has come may have been in time.
            let is_due = self.timer.until <= now;
            let is_late = is_due && self.timer.until + LATE < now;
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
            self.wire.write_staged(cx, now);
            if self.has_commands() {
                self.take_commands(now);
            }
            if self.wire.session.has_output() {
                self.take_outputs(now);
            }
            self.write(cx, now);
            let had_output = self.wire.session.has_output();
            if had_output {
                self.take_outputs(now);
            }
            if self.wire.phase == Phase::Done {
                return Poll::Ready(());
            }
            let is_held_back = std::mem::take(&mut self.held_back) | self.sockets.take_held_back();
            let has_resumed = is_held_back && self.pause(cx, now);
            let deadline = self.deadline();
            let is_due = self.timer.poll(cx, now, deadline);
            if budget.is_spent() {
                break;
            }
            // What came with the commands after the reading must not wait for whatever wakes the task next.
            let is_idle =
                !has_resumed && !had_output && !is_due && !self.wire.unread && !has_staged();
            // The stream may have become readable before the mailbox knew whom to wake.
            let mailbox = &self.wire.mailbox;
            if is_idle && mailbox.sleep(cx) && !(self.can_read() && mailbox.is_readable()) {
                return Poll::Pending;
            }
        }
        // Enough for one turn: other tasks first, those included of which only the system knows that they have something to do.
        // A mere wake-up would come before them.
        self.held_back = true;
        self.sockets.send_staged(&mut self.wire.session, now);
        let mut others = pin!(tokio::task::yield_now());
        let _ = others.as_mut().poll(cx);
        Poll::Pending
    }

    // Commands.

    /// Whether there is something to be taken, of others or of the session's own handlers.
    fn has_commands(&self) -> bool {
        has_staged() || self.wire.mailbox.has_commands()
    }

    fn take_commands(&mut self, now: Instant) {
        self.sockets.send_staged(&mut self.wire.session, now);
        let Some((first, rest)) = self.wire.mailbox.take() else {
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
                    self.send_run(now, std::mem::take(&mut run));
                    self.handle_command(now, command);
                }
            }
        }
        self.send_run(now, run);
    }

    fn send_run(&mut self, now: Instant, run: FrameRun) {
        self.sockets.send_run(&mut self.wire.session, now, run);
    }

    /// Whether texts may be sent as finished frames. With both parsers the client's first packet decides.
    fn takes_runs(&self) -> bool {
        self.wire.session.takes_runs() && self.sockets.parser() == Some(ParserKind::Default)
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        let session = &mut self.wire.session;
        match command {
            Command::Emit { packet, options } => self.sockets.send(session, now, &packet, options),
            Command::Poll { reply } => {
                // The GET before it may have been given up a moment ago: that is not an overlap.
                self.forget_aborted_poll(now);
                self.wire.handle_poll(now, reply);
            }
            Command::PollAborted => self.forget_aborted_poll(now),
            Command::PollUndelivered { packets } => session.handle_poll_undelivered(now, packets),
            Command::Post {
                body,
                binary_form,
                reply,
            } => self.wire.handle_post(body, binary_form, reply),
            Command::Upgrade { websocket } => {
                // What is to be done with the WebSocket before it.
                if session.has_output() {
                    self.take_outputs(now);
                }
                self.wire.handle_upgrade(now, websocket);
            }
            Command::TooLarge => self.log_too_large(
                "max_message_bytes",
                self.wire.server.limits.max_message_bytes,
            ),
            Command::Fail { reason } => session.fail(reason),
            Command::Close {
                reason: Some(reason),
            } => {
                if self.wire.mailbox.is_delivering() {
                    session.note_delivering(now);
                }
                session.close(now, reason);
            }
            Command::Close { reason: None } => {
                while self.sockets.len() > 0 {
                    self.sockets.disconnect(session, now, 0);
                }
                session.close(now, CloseReason::ForcedClose);
            }
            Command::Disconnect { socket } => {
                if let Some(index) = self.sockets.index_of(socket) {
                    self.sockets.disconnect(session, now, index);
                }
            }
            Command::Overflow => session.fail(CloseReason::SlowConsumer),
        }
    }

    fn forget_aborted_poll(&mut self, now: Instant) {
        // Its response may wait to be sent: then it comes back, and is not lost.
        if self.wire.session.has_output() {
            self.take_outputs(now);
        }
        self.wire.forget_aborted_poll(now);
    }

    fn take_outputs(&mut self, now: Instant) {
        if let Some(reason) = self.wire.take_outputs(now) {
            self.sockets.end_all(reason);
        }
    }

    // Time.

    #[cold]
    fn handle_time(&mut self, now: Instant) {
        if let Phase::Closing { until } = self.wire.phase {
            if until <= now {
                self.wire.phase = Phase::Done;
            }
            return;
        }
        if self.wire.session.deadline().is_some_and(|at| at <= now) {
            if self.wire.mailbox.is_delivering() {
                self.wire.session.note_delivering(now);
            }
            self.wire.watch_writes(now);
            self.wire.session.handle_timeout(now);
        }
        if let Some(pause) = &self.pause {
            if pause.look_at.is_some_and(|at| at <= now) {
                self.look_at_peer(now);
            }
            return;
        }
        if let Err(error) = self.sockets.connection.handle_timeout(now) {
            self.on_protocol_error(now, &error);
        }
        self.wire.check_message_deadline(now);
    }

    fn deadline(&self) -> Instant {
        if let Phase::Closing { until } = self.wire.phase {
            return until;
        }
        let mut deadline = self.wire.session.deadline();
        let mut add = |other: Option<Instant>| {
            if let Some(other) = other {
                deadline = Some(deadline.map_or(other, |deadline| deadline.min(other)));
            }
        };
        match &self.pause {
            None => {
                add(self.sockets.connection.deadline());
                add(self.wire.message_deadline());
            }
            // Of what it cannot send now nothing is due.
            Some(pause) => add(pause.look_at),
        }
        deadline.unwrap_or(self.timer.until)
    }

    // Pausing. Who is slow: see "Who is slow, who is gone" in ARCHITECTURE.md.

    /// Something was not read or handled. Notes that if it still has to wait, and sees to it that the task is woken when it
    /// need not any more. Returns whether there is something to do now.
    #[cold]
    fn pause(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let is_full = self.wire.mailbox.poll_room(cx, 0).is_pending();
        let is_behind = self.sockets.is_behind();
        if !is_full && !is_behind {
            return true;
        }
        self.wire.session.set_reading_paused(now, true);
        let pause = self.pause.get_or_insert_with(|| {
            Box::new(Pause {
                since: now,
                look_at: None,
                ended: None,
            })
        });
        if is_behind && self.wire.websocket.is_some() {
            pause.look_at.get_or_insert(now + WATCH_INTERVAL);
        }
        if is_full {
            self.wire.session.release_post();
        }
        self.wire.session.has_output()
    }

    /// Reading goes on: the client has as much time as it had when it stopped.
    #[cold]
    fn resume(&mut self, now: Instant) {
        let Some(pause) = self.pause.take() else {
            return;
        };
        let time = now.saturating_duration_since(pause.since);
        self.wire.session.set_reading_paused(now, false);
        self.sockets.connection.postpone(time);
        if let Some(websocket) = &mut self.wire.websocket {
            websocket.postpone(time);
        }
    }

    /// Looks whether the peer of a WebSocket has gone that is not read from.
    fn look_at_peer(&mut self, now: Instant) {
        let (Some(websocket), Some(pause)) = (&self.wire.websocket, &mut self.pause) else {
            return;
        };
        pause.look_at = Some(now + WATCH_INTERVAL);
        let session = &mut self.wire.session;
        match websocket.peer_state() {
            PeerState::Unknown => {}
            PeerState::Gone => {
                tracing::debug!("connection was reset while events waited for handlers");
                session.handle_transport_closed(CloseReason::TransportError);
            }
            // What it has sent before is still handled, as long as the handlers get on.
            PeerState::Ended => {
                let ended = *pause.ended.get_or_insert(now);
                if ended + self.wire.server.limits.handler_drain_timeout <= now {
                    tracing::warn!(
                        "client is gone, and what it sent last is lost: handlers do not end"
                    );
                    session.handle_transport_closed(CloseReason::TransportClose);
                }
            }
        }
    }

    // Reading.

    fn can_read(&self) -> bool {
        self.wire.can_read() && self.pause.is_none()
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut Budget) {
        self.wire.unread = false;
        if self.wire.phase != Phase::Open {
            return;
        }
        // It brings no events, and a client that upgrades takes nothing until that is done.
        if self.wire.probe.is_some()
            && let Some(reason) = self.wire.read_probe(cx, now)
        {
            self.sockets.end_all(reason);
        }
        // Whether too much waits for the client is asked after each message: one is read at most before that is known.
        if self.sockets.is_behind() || (self.pause.is_some() && self.sockets.is_paused()) {
            self.held_back = true;
            return;
        }
        if self.pause.is_some() {
            self.resume(now);
        }
        if let Some(message) = self.sockets.take_deferred() {
            self.handle_message(cx, now, message);
        }
        while !budget.is_spent() && self.wire.session.has_post() && !self.sockets.is_paused() {
            let Some(message) = self.wire.session.poll_message(now) else {
                break;
            };
            budget.take_message();
            budget.take_bytes(message.len());
            self.wire
                .meter
                .received(Transport::Polling, || Traffic::packets(1));
            self.handle_message(cx, now, message);
        }
        // What a POST has brought was sent before what comes on a WebSocket.
        if self.wire.session.has_post() {
            self.held_back |= self.sockets.is_paused();
            return;
        }
        self.read_websocket(cx, now, budget);
    }

    /// Reads until nothing is left or something else comes first. What the sockets cannot do alone is done between two reads.
    fn read_websocket(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut Budget) {
        while self.wire.websocket.is_some() && self.wire.mailbox.take_readable() {
            let sockets = &mut self.sockets;
            let (mut interrupt, mut packets) = (None, PacketCount::none());
            let reading = self.wire.read_websocket(now, budget, |message| {
                packets.add_one();
                if let ControlFlow::Break(it) = sockets.handle_message(cx, now, message) {
                    interrupt = Some(it);
                    return false;
                }
                !sockets.is_paused()
            });
            self.wire.count_read(packets);
            if reading == Reading::TooLarge {
                let max = self.wire.server.limits.max_message_bytes;
                self.log_too_large("max_message_bytes", max);
            }
            let is_interrupted = interrupt.is_some();
            if let Some(interrupt) = interrupt {
                self.handle_interrupt(cx, now, interrupt);
            }
            if reading == Reading::Stopped && self.sockets.is_paused() {
                self.held_back = true;
                budget.take_bytes(READ_BYTES);
                return;
            }
            if !is_interrupted {
                return;
            }
        }
    }

    fn handle_message(&mut self, cx: &mut Context<'_>, now: Instant, message: Message) {
        if let ControlFlow::Break(interrupt) = self.sockets.handle_message(cx, now, message) {
            self.handle_interrupt(cx, now, interrupt);
        }
    }

    #[cold]
    fn handle_interrupt(&mut self, cx: &mut Context<'_>, now: Instant, interrupt: Interrupt) {
        match interrupt {
            Interrupt::Connect { namespace, auth } => self.join(cx, now, namespace, auth),
            Interrupt::Error(error) => self.on_protocol_error(now, &error),
        }
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
            self.wire.close_code = Some(CloseCode::POLICY_VIOLATION);
        }
        let session = &mut self.wire.session;
        let reason = match error {
            ProtocolError::NotJoined
            | ProtocolError::AlreadyJoined
            | ProtocolError::UnexpectedConnectError
                if session.transport() == Transport::Polling && !session.is_writable() =>
            {
                CloseReason::ForcedServerClose
            }
            _ => CloseReason::ForcedClose,
        };
        // What handlers have sent before is still delivered.
        self.sockets.send_staged(session, now);
        session.close(now, reason);
    }

    /// Tells the user that a client has sent more than a limit allows.
    #[cold]
    fn log_too_large(&self, limit: &str, max: usize) {
        let Some(skipped) = self.wire.server.size_log.pass() else {
            return;
        };
        let socket = self.sockets.any_id().map(tracing::field::display);
        let address = self.wire.mailbox.address.map(tracing::field::display);
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

    // Joining and handlers.

    fn join(&mut self, cx: &mut Context<'_>, now: Instant, name: Str, auth: Option<Str>) {
        let session = &mut self.wire.session;
        if let Some(index) = self.sockets.join(session, now, name, auth) {
            self.poll_joining(cx, now, index);
        }
    }

    /// Asks the middlewares of a socket for their decision. It may be gone after that, and so may others.
    fn poll_joining(&mut self, cx: &mut Context<'_>, now: Instant, index: usize) {
        match self.sockets.poll_joining(cx, index) {
            None => {}
            Some(Ok(id)) => {
                // What the middlewares have sent goes first, as with the JavaScript server. Sockets may be disconnected by that,
                // the one that is to be accepted among them.
                self.take_commands(now);
                self.sockets.accept(&mut self.wire.session, cx, now, id);
            }
            Some(Err(error)) => {
                let session = &mut self.wire.session;
                self.sockets.reject(session, now, index, &error);
            }
        }
    }

    /// Polls the handlers that wait for something.
    fn poll_handlers(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut index = 0;
        while let Some(is_joining) = self.sockets.is_joining(index) {
            if is_joining {
                let count = self.sockets.len();
                self.poll_joining(cx, now, index);
                if self.sockets.len() != count {
                    // Some have moved to indexes that were passed.
                    index = 0;
                    continue;
                }
            }
            self.sockets.poll_running(cx, index);
            index += 1;
        }
    }

    // Writing.

    /// The most frequent turn, of a broadcast's recipient: packets came, the WebSocket takes them at once, and there is
    /// nothing else to do. `false` if there may be.
    fn deliver(&mut self, cx: &mut Context<'_>) -> bool {
        let wire = &mut self.wire;
        let nothing_else = wire.phase == Phase::Open
            && wire.probe.is_none()
            && wire.server.packet_log.is_none()
            && self.pause.is_none()
            && !self.held_back
            && !self.timer.sleep.is_elapsed()
            && !wire.session.has_post()
            && !wire.mailbox.is_readable()
            && self.sockets.are_idle();
        let Some(websocket) = wire.websocket.as_mut().filter(|_| nothing_else) else {
            return false;
        };
        // After what waits already it would only be looked at twice.
        if !websocket.is_idle() || !wire.session.is_drained() || !wire.session.is_open() {
            return false;
        }
        let is_default = self.sockets.parser() != Some(ParserKind::Msgpack);
        if let Some(packet) = wire.mailbox.take_only_packet(cx, is_default) {
            let frame = wire.session.frame_of(packet.first());
            let written = write_frame(websocket, cx, frame);
            let is_whole = written == frame.len();
            wire.meter.sent(Transport::WebSocket, || Traffic {
                packets: usize::from(is_whole),
                bytes: written,
            });
            if is_whole {
                wire.session.note_written();
                return websocket.is_idle();
            }
            let now = clock::now();
            let options = SendOptions::default();
            self.sockets.send(&mut wire.session, now, &packet, options);
            wire.session.advance(now, written);
            return false;
        }
        let now = clock::now();
        self.take_commands(now);
        let wire = &mut self.wire;
        let Some(websocket) = &mut wire.websocket else {
            return false;
        };
        let mut session = Counted::new(&mut wire.session);
        let written = websocket.poll_write(cx, now, Some(&mut session));
        session.publish(&wire.meter);
        matches!(written, Poll::Ready(Ok(())))
            && wire.session.is_open()
            && wire.session.is_drained()
            && !wire.session.has_output()
            && wire.probe.is_none()
            && !wire.unread
            && self.deadline() >= self.timer.until
            && {
                self.publish_outbound();
                // The stream may have become readable before the mailbox knew whom to wake.
                self.wire.mailbox.sleep(cx) && !self.wire.mailbox.is_readable()
            }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        self.wire.write(cx, now);
        self.publish_outbound();
    }

    /// Says what waits for the client, and what the policy for slow clients has dropped.
    #[inline]
    fn publish_outbound(&mut self) {
        self.wire.publish_outbound();
        self.wire.meter.queued(self.sockets.queued_events());
        let dropped = self.wire.session.dropped();
        if dropped > 0 || self.wire.mailbox.has_dropped_here() {
            self.publish_dropped(dropped);
        }
    }

    #[cold]
    fn publish_dropped(&mut self, dropped: u64) {
        let is_first = self.wire.mailbox.set_dropped(dropped);
        let policy = self.wire.server.limits.overflow;
        self.wire.meter.drops(policy, self.wire.mailbox.dropped());
        if is_first {
            self.wire.meter.dropping();
            let socket = self.sockets.any_id().map(tracing::field::display);
            tracing::warn!(socket, "slow client, dropping messages");
        }
    }
}

/// The frame of a packet that is cheaper to copy than to share.
fn short_frame(packet: &EncodedPacket, options: SendOptions) -> Option<&[u8]> {
    const SHORT_BYTES: usize = 512;
    let frame = packet.text_frame().filter(|_| !options.volatile)?;
    (frame.len() <= SHORT_BYTES).then_some(frame)
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
