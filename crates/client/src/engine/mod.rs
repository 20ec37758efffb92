//! One Engine.IO connection over real transports: dialling, long-polling, WebSocket, the upgrade between them.
//!
//! [`Engine`] owns the [`ClientSession`] and does its I/O; the [driver](crate::driver) polls it, and knows nothing of
//! HTTP. Everything happens inside that one task: dropping an engine drops its connections.

mod clock;
mod config;
mod cookies;
mod dial;
mod error;
mod mask;
mod polling;
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
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Instant,
};

use kokanee_engineio::{
    ClientOutput, ClientSession, CloseReason, Message, OutPacket, Outgoing, Revision, SendOptions,
    Transport,
};
use kokanee_io::{ReadEnd, Rest};

pub use self::error::ConnectFailure;
use self::{
    clock::Clock,
    cookies::Cookies,
    polling::Polling,
    refusal::{is_other_revision, refusal, wrong_revision},
    request::Answer,
    websocket::WebSocket,
    wire::Wire,
};
pub(crate) use self::{
    config::EngineConfig,
    proxy::Proxy,
    url::{Target, without_secrets},
};
use crate::reason::CloseDetails;

/// Messages that one turn takes in before other tasks get their chance. A large one counts as one for every so many bytes.
const MESSAGES_PER_TURN: usize = 128;
const BYTES_PER_MESSAGE: usize = 16 * 1024;
/// Rounds of one turn, for the same reason.
const ROUNDS_PER_TURN: usize = 16;

/// What became of an upgrade to a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeEvent {
    /// The WebSocket carries the session.
    Done,
    /// The session goes on polling.
    Failed,
}

type Probing = Pin<Box<dyn Future<Output = Result<WebSocket, ConnectFailure>> + Send>>;

/// A WebSocket that is to take over.
enum Probe {
    Dialling(Probing),
    Open(Box<WebSocket>),
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
    closed: Option<CloseReason>,
    /// When the peer must have taken the end of a session that we have closed in order.
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

    fn send_join(&mut self, now: Instant, message: &Outgoing) {
        self.session.send_connect(now, message);
    }

    fn send_goodbye(&mut self, now: Instant, message: &Outgoing) {
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
        let (code, reason) = self.websocket.as_ref()?.io.close_frame()?;
        Some(CloseDetails {
            code: Some(code.as_u16()),
            reason: reason.to_owned(),
        })
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

/// What a turn has found to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Some,
    None,
}

impl Engine {
    /// Connects and shakes hands; ready when the open packet has come. Dropping it gives everything up.
    ///
    /// # Errors
    /// [`ConnectFailure`] of the last transport that was tried.
    pub(crate) async fn open(config: &Arc<EngineConfig>) -> Result<Self, ConnectFailure> {
        let mut order = config.order();
        if !config.try_all_transports {
            order.truncate(1);
        }
        let mut left = config.connect_timeout;
        let mut opened = Err(ConnectFailure::Option {
            option: "transports",
            reason: "there is none".to_owned(),
        });
        let mut waiting = order.into_iter();
        while let Some(transport) = waiting.next() {
            let start = Instant::now();
            // A transport that is swallowed on the way leaves time for the others.
            let share = left / u32::try_from(waiting.len() + 1).unwrap_or(u32::MAX);
            opened = tokio::time::timeout(share, Self::open_with(config, transport))
                .await
                .unwrap_or(Err(ConnectFailure::Timeout {
                    after: config.connect_timeout,
                }));
            if opened.is_ok() {
                break;
            }
            left = left.saturating_sub(start.elapsed());
        }
        if opened.is_err() {
            // The WebSocket of the last time may not be possible any more.
            config.upgraded.store(false, Ordering::Relaxed);
        }
        opened
    }

    async fn open_with(
        config: &Arc<EngineConfig>,
        transport: Transport,
    ) -> Result<Self, ConnectFailure> {
        let mut cookies = Cookies::default();
        let websocket = match transport {
            Transport::WebSocket => {
                Some(Box::new(websocket::open(config, &mut cookies, None).await?))
            }
            Transport::Polling => None,
        };
        let polling = websocket.is_none().then(Box::default);
        let now = Instant::now();
        let mut engine = Self {
            config: Arc::clone(config),
            session: ClientSession::new(Arc::clone(&config.session), transport, now),
            websocket,
            polling,
            probe: None,
            cookies,
            sid: None,
            early: VecDeque::new(),
            clock: Clock::new(now),
            upgrade_event: None,
            closed: None,
            ends_by: None,
            end_written: false,
            finished: false,
            paused: false,
        };
        std::future::poll_fn(|cx| engine.poll_open(cx)).await?;
        Ok(engine)
    }

    /// Polls until the open packet is there.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        let (mut messages, mut failure) = (Vec::new(), None);
        let on_message = &mut |message| messages.push(message);
        let turn = self.poll_turn(cx, Instant::now(), on_message, &mut failure);
        self.early.extend(messages);
        if let Some(failure) = failure {
            return Poll::Ready(Err(failure));
        }
        if self.sid.is_some() {
            return Poll::Ready(Ok(()));
        }
        match turn {
            Poll::Ready(reason) => Poll::Ready(Err(self.no_handshake(reason))),
            Poll::Pending => Poll::Pending,
        }
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
            CloseReason::ParseError => "its first packet is no handshake",
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
        self.poll_turn(cx, now, on_message, &mut None)
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
        failure: &mut Option<ConnectFailure>,
    ) -> Poll<CloseReason> {
        let mut budget = MESSAGES_PER_TURN;
        for _ in 0..ROUNDS_PER_TURN {
            self.check_time(now);
            self.take_outputs(now);
            let polled = self.read_polling(cx, now, &mut budget, on_message, failure);
            let probed = self.read_probe(cx, now);
            self.read_websocket(cx, now, &mut budget, on_message);
            let done = self.take_outputs(now);
            self.write(cx, now);
            let written = self.take_outputs(now);
            let slept = self.poll_sleep(cx, now);
            let is_idle = [polled, probed, done, written, slept] == [Progress::None; 5];
            if let (Some(reason), true) = (self.closed, self.finished)
                && self.poll_end(cx, now).is_ready()
            {
                return Poll::Ready(reason);
            }
            if failure.is_some() {
                return Poll::Pending;
            }
            if budget == 0 {
                // There may be more.
                break;
            }
            if is_idle {
                return Poll::Pending;
            }
        }
        // Enough for one turn: other tasks first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let Some(deadline) = self.session.deadline() else {
            return Progress::None;
        };
        if self.clock.poll_deadline(cx, now, deadline).is_ready() {
            // This turn goes by an earlier time.
            cx.waker().wake_by_ref();
            return Progress::Some;
        }
        Progress::None
    }

    // Reading.

    fn read_polling(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        budget: &mut usize,
        on_message: &mut dyn FnMut(Message),
        failure: &mut Option<ConnectFailure>,
    ) -> Progress {
        let mut progress = Progress::None;
        let Some(polling) = &mut self.polling else {
            return progress;
        };
        if !self.paused
            && let Poll::Ready(answer) = polling.gets.poll(cx)
        {
            progress = Progress::Some;
            self.on_get(now, answer, failure);
        }
        while !self.paused
            && *budget > 0
            && let Some(message) = self.session.poll_message(now)
        {
            *budget = budget.saturating_sub(1 + message.len() / BYTES_PER_MESSAGE);
            progress = Progress::Some;
            on_message(message);
        }
        // Also while nothing is read: what is sent may be what the handlers wait for.
        if let Some(polling) = &mut self.polling
            && let Poll::Ready(answer) = polling.posts.poll(cx)
        {
            progress = Progress::Some;
            self.on_post(now, answer);
        }
        progress
    }

    fn on_get(
        &mut self,
        now: Instant,
        answer: Result<Answer, ConnectFailure>,
        failure: &mut Option<ConnectFailure>,
    ) {
        let is_opening = self.sid.is_none();
        match answer {
            Ok(answer) if answer.status.is_success() => {
                if is_opening {
                    let revision = self.session.revision();
                    if is_other_revision(revision, &answer.body) {
                        *failure = Some(wrong_revision(revision));
                        return;
                    }
                }
                self.take_cookies(&answer);
                let binary = answer.is_binary();
                self.session
                    .handle_poll_response(now, answer.body.clone(), binary);
                if is_opening && !self.session.is_open() {
                    // Nothing is decoded before it is asked for, the open packet excepted.
                    let refused = refusal(&self.config, &answer);
                    self.note_opening(now, refused, failure);
                }
            }
            Ok(answer) if is_opening => *failure = Some(refusal(&self.config, &answer)),
            Err(error) if is_opening => *failure = Some(error),
            Ok(answer) => {
                tracing::debug!(status = %answer.status, "poll refused");
                self.session.handle_poll_failed();
            }
            Err(error) => {
                tracing::debug!(%error, "poll failed");
                self.session.handle_poll_failed();
            }
        }
    }

    fn take_cookies(&mut self, answer: &Answer) {
        if self.config.cookies {
            self.cookies.take(&answer.headers);
        }
    }

    /// The first answer was decoded as far as its open packet, or has none.
    fn note_opening(
        &mut self,
        now: Instant,
        refused: ConnectFailure,
        failure: &mut Option<ConnectFailure>,
    ) {
        if let Some(message) = self.session.poll_message(now) {
            self.early.push_back(message);
        }
        if !self.session.is_open() {
            *failure = Some(refused);
        }
    }

    fn on_post(&mut self, now: Instant, answer: Result<Answer, ConnectFailure>) {
        match answer {
            Ok(answer) if answer.status.is_success() => {
                self.take_cookies(&answer);
                self.session.handle_post_response(now);
            }
            Ok(answer) => {
                tracing::debug!(status = %answer.status, "post refused");
                self.session
                    .handle_transport_closed(CloseReason::TransportError);
            }
            Err(error) => {
                tracing::debug!(%error, "post failed");
                self.session
                    .handle_transport_closed(CloseReason::TransportError);
            }
        }
    }

    fn read_websocket(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        budget: &mut usize,
        on_message: &mut dyn FnMut(Message),
    ) {
        let Some(websocket) = self.websocket.as_mut().filter(|_| !self.paused) else {
            return;
        };
        while *budget > 0 && websocket.io.read_end().is_none() {
            let session = &mut self.session;
            let read = websocket.io.poll_read(cx, now, |_, frame| {
                *budget = budget.saturating_sub(1 + frame.len() / BYTES_PER_MESSAGE);
                if let Some(message) = session.handle_frame(now, frame) {
                    on_message(message);
                }
                *budget > 0
            });
            if websocket.io.take_pong() {
                self.session.handle_pong(now);
            }
            match websocket.io.read_end() {
                Some(ReadEnd::Closed) => {
                    self.session
                        .handle_transport_closed(CloseReason::TransportClose);
                }
                // We do not ask for the last.
                Some(ReadEnd::Failed | ReadEnd::TooLarge | ReadEnd::TimedOut) => {
                    self.session
                        .handle_transport_closed(CloseReason::TransportError);
                }
                // The task is woken when there is more.
                None if read != Poll::Ready(Rest::Perhaps) => break,
                None => {}
            }
        }
    }

    fn read_probe(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let mut progress = Progress::None;
        if let Some(Probe::Dialling(dialling)) = &mut self.probe {
            match dialling.as_mut().poll(cx) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(websocket)) => {
                    self.probe = Some(Probe::Open(Box::new(websocket)));
                    self.session.handle_probe_opened(now);
                }
                Poll::Ready(Err(error)) => {
                    if let ConnectFailure::NoUpgrade { .. } = error {
                        tracing::warn!(%error, "upgrade failed, the session goes on polling");
                    } else {
                        tracing::debug!(%error, "upgrade failed");
                    }
                    self.probe = None;
                    self.session.handle_probe_closed(now);
                }
            }
            progress = Progress::Some;
            let _ = self.take_outputs(now);
        }
        let Some(Probe::Open(websocket)) = &mut self.probe else {
            return progress;
        };
        let session = &mut self.session;
        while websocket.io.read_end().is_none() {
            let mut upgraded = false;
            let read = websocket.io.poll_read(cx, now, |_, frame| {
                session.handle_probe_frame(now, frame);
                upgraded = true;
                // What comes behind the answer to the probe is for the session.
                false
            });
            if read.is_pending() {
                break;
            }
            progress = Progress::Some;
            if upgraded {
                break;
            }
        }
        if websocket.io.read_end().is_some() {
            session.handle_probe_closed(now);
            self.probe = None;
            return Progress::Some;
        }
        progress
    }

    // Outputs.

    fn take_outputs(&mut self, now: Instant) -> Progress {
        let mut progress = Progress::None;
        while let Some(output) = self.session.poll_output(now) {
            progress = Progress::Some;
            self.handle_output(now, output);
        }
        progress
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
            ClientOutput::OpenProbe => self.open_probe(),
            ClientOutput::ProbePacket(packet) => self.send_on_probe(&packet),
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

    fn open_probe(&mut self) {
        let config = Arc::clone(&self.config);
        let mut cookies = self.cookies.clone();
        let sid = self.sid.clone();
        self.probe = Some(Probe::Dialling(Box::pin(async move {
            let opened = websocket::open(&config, &mut cookies, sid.as_deref());
            tokio::time::timeout(config.session.upgrade_timeout, opened)
                .await
                .unwrap_or(Err(ConnectFailure::Timeout {
                    after: config.session.upgrade_timeout,
                }))
        })));
    }

    fn send_on_probe(&mut self, packet: &OutPacket) {
        if let Some(Probe::Open(websocket)) = &mut self.probe {
            let frame = packet.websocket_slice(self.session.revision(), false);
            // In order with what the session sends once it is upgraded.
            websocket.pending.push(frame);
        }
    }

    // Writing.

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        if let Some(websocket) = &mut self.websocket {
            loop {
                websocket.pending.fill(&mut self.session, now);
                let waiting = websocket.pending.len();
                let written = websocket
                    .io
                    .poll_write(cx, now, Some(&mut websocket.pending));
                let is_all = matches!(written, Poll::Ready(Ok(())));
                if is_all || websocket.pending.len() < waiting {
                    self.session.handle_written(now, is_all);
                }
                match written {
                    Poll::Ready(Ok(())) if self.session.has_packet() => {}
                    Poll::Ready(Ok(())) | Poll::Pending => break,
                    Poll::Ready(Err(_)) => {
                        self.session
                            .handle_transport_closed(CloseReason::TransportError);
                        self.websocket = None;
                        break;
                    }
                }
            }
        }
        if let Some(Probe::Open(websocket)) = &mut self.probe
            && let Poll::Ready(Err(_)) =
                websocket
                    .io
                    .poll_write(cx, now, Some(&mut websocket.pending))
        {
            self.probe = None;
            self.session.handle_probe_closed(now);
        }
    }

    /// The end of a session: after a fault what can be written at once; in order until the server has read everything, as a
    /// reset because of what we have not read would take it away again.
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
