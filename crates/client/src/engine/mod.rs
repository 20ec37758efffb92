//! One Engine.IO connection over real transports: dialling, long-polling, WebSocket, the upgrade between them.
//!
//! [`Engine`] owns the [`ClientSession`] and does its I/O; the [driver](crate::driver) polls it, and knows nothing of
//! HTTP. Everything happens inside that one task: dropping an engine drops its connections.

mod budget;
mod clock;
mod config;
mod cookies;
mod dial;
mod error;
mod mask;
pub(crate) mod open;
mod polling;
mod probe;
mod proxy;
mod refusal;
mod request;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod url;
mod websocket;
pub(crate) mod wire;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use kokanee_engineio::{
    ClientOutput, ClientSession, CloseReason, Message, OutPacket, Outgoing, Revision, SendOptions,
    Transport,
};
use kokanee_io::ReadEnd;

pub use self::error::ConnectFailure;
use self::{
    budget::Budget,
    clock::Clock,
    cookies::Cookies,
    polling::Polling,
    probe::{Probe, ProbeTurn},
    refusal::{is_other_revision, refusal, wrong_revision},
    request::FullResponse,
    websocket::WebSocket,
    wire::Wire,
};
pub(crate) use self::{
    config::EngineConfig,
    proxy::Proxy,
    url::{Target, without_secrets},
};
use crate::reason::CloseDetails;

/// Rounds of one turn, after which other tasks get their chance.
const ROUNDS_PER_TURN: usize = 16;

/// What became of an upgrade to a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeEvent {
    /// The WebSocket carries the session.
    Done,
    /// The session goes on polling.
    Failed,
}

/// One Engine.IO connection.
pub(crate) struct Engine {
    config: Arc<EngineConfig>,
    session: ClientSession,
    websocket: Option<Box<WebSocket>>,
    polling: Option<Box<Polling>>,
    probe: Option<Probe>,
    cookies: Cookies,
    sid: Option<Box<str>>,
    /// Messages that came with the open packet.
    early: VecDeque<Message>,
    clock: Clock,
    upgrade_event: Option<UpgradeEvent>,
    /// Why the server has refused the session, instead of its open packet.
    refused: Option<ConnectFailure>,
    closed: Option<CloseReason>,
    /// When the server must have taken the end of a session that the client has closed in order.
    ends_by: Option<Instant>,
    /// The end of the session is on the wire.
    end_written: bool,
    finished: bool,
    paused: bool,
}

impl Wire for Engine {
    fn send(
        &mut self,
        now: Instant,
        message: &Outgoing,
        attachments: &[Outgoing],
        options: SendOptions,
    ) -> bool {
        self.session.send(now, message, attachments, options)
    }

    fn send_connect(&mut self, now: Instant, message: &Outgoing) {
        self.session.send_connect(now, message);
    }

    fn send_disconnect(&mut self, now: Instant, message: &Outgoing) {
        self.session.send_disconnect(now, message);
    }

    fn close(&mut self, now: Instant) {
        self.ends_by = Some(now + self.config.session.close_timeout);
        self.session.close(now);
    }

    fn expire(&mut self, now: Instant) -> Option<CloseReason> {
        self.check_time(now);
        if !self.session.is_closed() {
            return None;
        }
        self.take_outputs(now);
        self.closed
    }

    fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    fn revision(&self) -> Revision {
        self.session.revision()
    }

    fn transport(&self) -> Transport {
        self.session.transport()
    }

    fn is_flushed(&self) -> bool {
        self.session.is_drained()
    }

    fn is_complete(&self) -> bool {
        let has_left = self.websocket.is_none() || self.end_written;
        !self.session.has_lost_packets() && (has_left || self.session.is_all_read())
    }

    fn close_details(&self) -> Option<CloseDetails> {
        self.websocket.as_ref()?.close_details()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("transport", &self.session.transport())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that has not received anything. With a WebSocket it does not poll.
    fn new(
        config: &Arc<EngineConfig>,
        cookies: Cookies,
        websocket: Option<WebSocket>,
        now: Instant,
    ) -> Self {
        let transport = match websocket {
            Some(_) => Transport::WebSocket,
            None => Transport::Polling,
        };
        let polling = websocket.is_none().then(Box::default);
        Self {
            config: Arc::clone(config),
            session: ClientSession::new(Arc::clone(&config.session), transport, now),
            websocket: websocket.map(Box::new),
            polling,
            probe: None,
            cookies,
            sid: None,
            early: VecDeque::new(),
            clock: Clock::new(now),
            upgrade_event: None,
            refused: None,
            closed: None,
            ends_by: None,
            end_written: false,
            finished: false,
            paused: false,
        }
    }

    /// Polls until the open packet has come.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        let mut messages = Vec::new();
        let turn = self.poll_turn(cx, Instant::now(), &mut |message| messages.push(message));
        self.early.extend(messages);
        if let Some(refused) = self.refused.take() {
            return Poll::Ready(Err(refused));
        }
        if self.sid.is_some() {
            return Poll::Ready(Ok(()));
        }
        turn.map(|reason| Err(self.no_handshake(reason)))
    }

    /// The connection has ended before its open packet.
    fn no_handshake(&self, reason: CloseReason) -> ConnectFailure {
        let revision = self.session.revision();
        let read_end = self.websocket.as_ref().and_then(|ws| ws.io.read_end());
        if revision == Revision::V3 && matches!(read_end, Some(ReadEnd::Failed | ReadEnd::TooLarge))
        {
            // The JavaScript server refuses this revision with the text of an HTTP answer inside the WebSocket.
            return wrong_revision(revision);
        }
        let mut reason = match reason {
            CloseReason::ParseError => "its first packet is not a handshake",
            _ => "it closed the connection before its handshake",
        }
        .to_owned();
        if let Some(details) = self.close_details() {
            reason = format!("{reason} ({details})");
        }
        ConnectFailure::NotSocketIo {
            path: self.config.path.clone(),
            reason,
        }
    }

    /// Reads, writes, upgrades and watches the time as far as possible without waiting; hands every received message to
    /// `on_message`. Ready when the session has ended; if it was [closed](Self::close), when the server has everything, or
    /// its time for that is over.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        on_message: &mut dyn FnMut(Message),
    ) -> Poll<CloseReason> {
        while let Some(message) = self.early.pop_front() {
            on_message(message);
        }
        self.poll_turn(cx, now, on_message)
    }

    /// Stops or goes on to read from the server.
    pub(crate) fn set_paused(&mut self, now: Instant, paused: bool) {
        if self.paused != paused {
            self.session.set_reading_paused(now, paused);
            self.paused = paused;
        }
    }

    /// Whether there is something to be written or done that nobody wakes the task for.
    pub(crate) fn has_work(&self) -> bool {
        self.session.has_output() || self.session.has_packet()
    }

    /// Bytes that wait to be sent.
    pub(crate) fn outbound_bytes(&self) -> usize {
        self.session.outbound_bytes()
    }

    /// Whether the end of the session is on the wire, and all before it.
    pub(crate) fn is_end_written(&self) -> bool {
        self.end_written
    }

    /// What became of the upgrade, once.
    pub(crate) fn take_upgrade_event(&mut self) -> Option<UpgradeEvent> {
        self.upgrade_event.take()
    }

    /// Whether a WebSocket is about to take over.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.probe.is_some()
    }

    fn check_time(&mut self, now: Instant) {
        if let Some(elapsed) = self.clock.take_suspension(now) {
            tracing::debug!(?elapsed, "the machine was suspended");
            self.session.handle_resumed(now, elapsed);
        }
        // No deadline is earlier than the timer.
        if self.clock.is_due(now) && self.session.deadline().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
    }

    // The turn: time, reading, outputs, writing; again while there is something to do.

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        on_message: &mut dyn FnMut(Message),
    ) -> Poll<CloseReason> {
        let mut budget = Budget::new();
        for _ in 0..ROUNDS_PER_TURN {
            self.check_time(now);
            self.take_outputs(now);
            let polled = self.read_polling(cx, now, &mut budget, on_message);
            let probed = self.poll_probe(cx, now);
            self.read_websocket(cx, now, &mut budget, on_message);
            let done = self.take_outputs(now);
            self.write(cx, now);
            let written = self.take_outputs(now);
            let is_due = self.poll_sleep(cx, now);
            if let (Some(reason), true) = (self.closed, self.finished)
                && self.poll_end(cx, now).is_ready()
            {
                return Poll::Ready(reason);
            }
            if self.refused.is_some() {
                return Poll::Pending;
            }
            if budget.is_spent() {
                // There may be more.
                break;
            }
            if !(polled || probed || done || written || is_due) {
                return Poll::Pending;
            }
        }
        // Enough for one turn: other tasks first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sets the timer to the session's deadline. Returns whether that has passed.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(deadline) = self.session.deadline() else {
            return false;
        };
        let is_due = self.clock.poll_deadline(cx, now, deadline).is_ready();
        if is_due {
            // This turn goes by an earlier time.
            cx.waker().wake_by_ref();
        }
        is_due
    }

    // Reading. Each returns whether something has happened.

    fn read_polling(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        budget: &mut Budget,
        on_message: &mut dyn FnMut(Message),
    ) -> bool {
        let Some(polling) = &mut self.polling else {
            return false;
        };
        let mut progress = false;
        if !self.paused
            && let Poll::Ready(response) = polling.gets.poll(cx)
        {
            progress = true;
            if self.sid.is_none() {
                self.on_first_get(now, response);
            } else {
                self.on_get(now, response);
            }
        }
        while !self.paused
            && !budget.is_spent()
            && let Some(message) = self.session.poll_message(now)
        {
            progress = true;
            budget.spend(message.len());
            on_message(message);
        }
        // Also while nothing is read: what is sent may be what the handlers wait for.
        if let Some(polling) = &mut self.polling
            && let Poll::Ready(response) = polling.posts.poll(cx)
        {
            progress = true;
            self.on_post(now, response);
        }
        progress
    }

    /// The response to the GET that asks for the open packet.
    fn on_first_get(&mut self, now: Instant, response: Result<FullResponse, ConnectFailure>) {
        let response = match response {
            Ok(response) if response.status.is_success() => response,
            Ok(response) => {
                self.refused = Some(refusal(&self.config, &response));
                return;
            }
            Err(error) => {
                self.refused = Some(error);
                return;
            }
        };
        let revision = self.session.revision();
        if is_other_revision(revision, &response.body) {
            self.refused = Some(wrong_revision(revision));
            return;
        }
        self.take_poll_response(now, &response);
        if self.session.is_open() {
            return;
        }
        // Nothing is decoded before it is asked for, the open packet excepted.
        self.early.extend(self.session.poll_message(now));
        if !self.session.is_open() {
            self.refused = Some(refusal(&self.config, &response));
        }
    }

    fn on_get(&mut self, now: Instant, response: Result<FullResponse, ConnectFailure>) {
        match response {
            Ok(response) if response.status.is_success() => {
                return self.take_poll_response(now, &response);
            }
            Ok(response) => tracing::debug!(status = %response.status, "poll refused"),
            Err(error) => tracing::debug!(%error, "poll failed"),
        }
        self.session.handle_poll_failed();
    }

    fn take_poll_response(&mut self, now: Instant, response: &FullResponse) {
        self.take_cookies(response);
        let (body, binary) = (response.body.clone(), response.is_binary());
        self.session.handle_poll_response(now, body, binary);
    }

    fn take_cookies(&mut self, response: &FullResponse) {
        if self.config.cookies {
            self.cookies.take(&response.headers);
        }
    }

    fn on_post(&mut self, now: Instant, response: Result<FullResponse, ConnectFailure>) {
        match response {
            Ok(response) if response.status.is_success() => {
                self.take_cookies(&response);
                return self.session.handle_post_response(now);
            }
            Ok(response) => tracing::debug!(status = %response.status, "post refused"),
            Err(error) => tracing::debug!(%error, "post failed"),
        }
        self.session
            .handle_transport_closed(CloseReason::TransportError);
    }

    fn read_websocket(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        budget: &mut Budget,
        on_message: &mut dyn FnMut(Message),
    ) {
        if !self.paused
            && let Some(websocket) = &mut self.websocket
        {
            websocket.read(cx, now, &mut self.session, budget, on_message);
        }
    }

    fn poll_probe(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(probe) = &mut self.probe else {
            return false;
        };
        let turn = probe.poll(cx, now, &mut self.session);
        if turn == ProbeTurn::Failed {
            self.on_probe_failed(now);
        }
        turn != ProbeTurn::Waits
    }

    fn on_probe_failed(&mut self, now: Instant) {
        self.probe = None;
        self.session.handle_probe_closed(now);
    }

    // Outputs.

    /// Does what the session says. Returns whether there was something.
    fn take_outputs(&mut self, now: Instant) -> bool {
        let has_some = self.session.has_output();
        if has_some {
            while let Some(output) = self.session.poll_output(now) {
                self.handle_output(now, output);
            }
        }
        has_some
    }

    fn handle_output(&mut self, now: Instant, output: ClientOutput) {
        match output {
            ClientOutput::Opened(handshake) => {
                self.sid = Some(handshake.sid.as_str().into());
                if self.session.transport() == Transport::WebSocket {
                    self.config.upgraded.store(true, Ordering::Relaxed);
                }
            }
            ClientOutput::Poll => self.start_get(),
            ClientOutput::Post(packets) => self.start_post(&packets),
            ClientOutput::OpenProbe => {
                let sid = self.sid.as_deref();
                self.probe = Some(Probe::dial(&self.config, &self.cookies, sid));
            }
            ClientOutput::ProbePacket(packet) => {
                if let Some(probe) = &mut self.probe {
                    probe.send(&packet, &self.session);
                }
            }
            ClientOutput::PingWebSocket => {
                if let Some(websocket) = &mut self.websocket {
                    websocket.pending.push_ping();
                }
            }
            ClientOutput::CloseProbe => self.probe = None,
            ClientOutput::Upgraded => {
                if let Some(Probe::Open(websocket)) = self.probe.take() {
                    self.websocket = Some(websocket);
                }
                self.polling = None;
                self.upgrade_event = Some(UpgradeEvent::Done);
                self.config.upgraded.store(true, Ordering::Relaxed);
            }
            ClientOutput::UpgradeFailed => {
                self.probe = None;
                self.upgrade_event = Some(UpgradeEvent::Failed);
            }
            ClientOutput::Closed(reason) => {
                tracing::debug!(%reason, "session closed");
                self.closed = Some(reason);
            }
            ClientOutput::CloseWebSocket => {
                if let Some(websocket) = &mut self.websocket {
                    websocket.pending.fill(&mut self.session, now);
                    websocket.io.start_close(None);
                }
            }
            ClientOutput::Finished => {
                self.finished = true;
                // Everything is being written: the time of the server to read it begins.
                self.ends_by = self
                    .ends_by
                    .map(|_| now + self.config.session.close_timeout);
            }
        }
    }

    fn start_get(&mut self) {
        let polling = self.polling.get_or_insert_default();
        let started = polling.start_get(&self.config, &self.cookies, self.sid.as_deref());
        self.on_started(started);
    }

    fn start_post(&mut self, packets: &[OutPacket]) {
        let polling = self.polling.get_or_insert_default();
        let revision = self.session.revision();
        let sid = self.sid.as_deref();
        let started = polling.start_post(&self.config, &self.cookies, sid, revision, packets);
        self.on_started(started);
    }

    /// A request that cannot even be made ends the session.
    fn on_started(&mut self, started: Result<(), ConnectFailure>) {
        if let Err(error) = started {
            tracing::debug!(%error, "request cannot be made");
            self.session
                .handle_transport_closed(CloseReason::TransportError);
        }
    }

    // Writing.

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        if let Some(websocket) = &mut self.websocket
            && websocket.write(cx, now, &mut self.session).is_err()
        {
            self.session
                .handle_transport_closed(CloseReason::TransportError);
            self.websocket = None;
        }
        if let Some(probe) = &mut self.probe
            && !probe.write(cx, now)
        {
            self.on_probe_failed(now);
        }
    }

    /// The end of a session: after a fault what can be written at once; in order until the server has read everything, as a
    /// reset because of what the client has not read would take it away again.
    fn poll_end(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Some(websocket) = &mut self.websocket else {
            return Poll::Ready(());
        };
        let written = websocket
            .io
            .poll_write(cx, now, Some(&mut websocket.pending));
        self.end_written = matches!(written, Poll::Ready(Ok(())));
        let Some(until) = self.ends_by.filter(|&until| until > now) else {
            return Poll::Ready(());
        };
        let ended = match written {
            Poll::Ready(Ok(())) => websocket.io.poll_linger(cx),
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        };
        if ended.is_pending() {
            return self.clock.poll_at(cx, until);
        }
        ended
    }
}
