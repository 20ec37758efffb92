//! One Engine.IO session, server side: which transport carries it, what waits to be sent, when it is dead.
//!
//! The driver that owns a session feeds it requests, frames and the time (`handle_*`), gives it messages to send
//! ([`Session::send`]), and after every input does what [`Session::poll_message`] and [`Session::poll_output`] return until
//! both are empty; then it sleeps until [`Session::deadline`]. Spec: Engine.IO v4 and v3, "Protocol".
//!
//! ```text
//!              first request                      close(), client's close, fault
//!   (handshake) ───────────► Open ─────────────────────────────────────────────┐
//!                            │  transport: Polling ──"2probe", "5"──► WebSocket │
//!                            └──────────────────────────────────────────────────┤
//!                                                                               ▼
//!                                 Closing: what waits is still delivered ──► Closed
//! ```

use std::{
    io::IoSlice,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    close::CloseReason,
    config::{Overflow, SendOptions, SessionConfig},
    heartbeat::{Beat, Heartbeat},
    message::{Message, Outgoing},
    outbox::{Outbox, Part},
    output::{Output, Overlap, PostResponse, UpgradeRefused},
    packet::{DecodeError, OutPacket, Packet, Revision},
    payload::PayloadDecoder,
    polls::{PollPackets, Polls},
    queue::Queue,
    run::{FrameRun, OVERHEAD_BYTES},
    transport::Transport,
};

/// Probes of one WebSocket that are answered: a client that sends more does not read the answers.
const MAX_PROBES: u8 = 8;

/// GETs that are answered with a noop at once while a client upgrades: the one that is pending when its probe comes, and
/// those that it sends before it has seen the answer to the probe.
const PROMPT_NOOPS: u8 = 8;

/// Interval at which later ones are answered, in case that the answer to the probe never reaches the client. JavaScript
/// answers all of them so.
const UPGRADE_NOOP_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Ended for the application; what waits is delivered until then.
    Closing {
        until: Instant,
    },
    Closed,
}

/// A WebSocket that wants to take over.
#[derive(Debug, Clone, Copy)]
struct Probe {
    until: Instant,
    /// Set when the probe packet came: the next time at which a pending GET gets a noop.
    noop_at: Option<Instant>,
    /// How many more GETs get it at once.
    prompt_noops: u8,
    /// How many more probes are answered.
    probes: u8,
}

/// A POST being processed: decoded packet by packet, so that a body of a million packets costs nothing extra.
#[derive(Debug)]
struct Post {
    packets: PayloadDecoder,
    /// The client got its `ok` before the end, so that it can fetch what waits for it.
    answered: bool,
    /// The next one, which came after that.
    next: Option<Box<PayloadDecoder>>,
}

impl Post {
    fn new(packets: PayloadDecoder) -> Self {
        Self {
            packets,
            answered: false,
            next: None,
        }
    }

    /// Whether a POST waits for its answer.
    fn is_awaited(&self) -> bool {
        !self.answered || self.next.is_some()
    }
}

/// One Engine.IO session, server side.
///
/// The driver that owns it feeds it requests, frames and the time (`handle_*`), gives it messages to send
/// ([`send`](Self::send)), and after every input does what [`poll_message`](Self::poll_message) and
/// [`poll_output`](Self::poll_output) return until both are empty; then it sleeps until [`deadline`](Self::deadline).
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that are independent of each other"
)]
pub struct Session {
    config: Arc<SessionConfig>,
    outbox: Outbox,
    outputs: Queue<Output>,
    post: Option<Box<Post>>,
    probe: Option<Box<Probe>>,
    heartbeat: Heartbeat,
    state: State,
    polls: Polls,
    dropped: u64,
    revision: Revision,
    transport: Transport,
    base64: bool,
    /// Whether the WebSocket has carried anything: what went before it can no longer be sent again.
    wrote_frames: bool,
    compress: bool,
    reading_paused: bool,
    /// Somebody else sees to it that the peer takes what is written.
    progress_watched: bool,
    /// The peer's time was extended because reading is paused.
    extended: bool,
}

impl Session {
    /// Starts a session whose first request has just come. `base64` is for clients that cannot take binary.
    ///
    /// The driver sends the open packet with [`open`](Self::open).
    pub fn new(
        config: Arc<SessionConfig>,
        revision: Revision,
        transport: Transport,
        base64: bool,
        now: Instant,
    ) -> Self {
        let heartbeat = Heartbeat::new(revision, config.ping_interval, config.ping_timeout, now);
        Self {
            config,
            outbox: Outbox::new(now),
            outputs: Queue::default(),
            post: None,
            probe: None,
            heartbeat,
            state: State::Open,
            polls: Polls::new(),
            dropped: 0,
            revision,
            transport,
            base64,
            wrote_frames: false,
            compress: false,
            reading_paused: false,
            progress_watched: false,
            extended: false,
        }
    }

    /// Sends the open packet.
    pub fn open(&mut self, now: Instant, handshake: OutPacket) {
        self.push(now, handshake, Part::Owed);
        if self.transport == Transport::Polling {
            self.polls.expect(now + self.heartbeat.patience());
        }
    }

    // Input from outside.

    /// A GET came. Its answer is an [`Output::PollResponse`]; it has none if the session is finished.
    ///
    /// # Errors
    /// [`Overlap`] if another GET is pending: that one is answered with a close packet and the session ends.
    pub fn handle_poll(&mut self, now: Instant) -> Result<(), Overlap> {
        if self.polls.is_pending() {
            self.fail(CloseReason::TransportError);
            return Err(Overlap);
        }
        if self.state == State::Closed {
            return Ok(());
        }
        if self.transport == Transport::WebSocket {
            // It has crossed the upgrade: nothing will come on this way any more.
            self.answer_poll(vec![OutPacket::Noop], false);
            return Ok(());
        }
        self.polls.begin();
        if self.state != State::Open && self.outbox.is_empty() {
            // The end of an orderly close. The noop is what the JavaScript server sends here, too.
            self.answer_poll(vec![OutPacket::Noop, OutPacket::Close], false);
            self.finish();
        } else if self.outbox.is_empty() {
            self.release_poll(now);
        }
        Ok(())
    }

    /// The pending GET was given up by the client before it was answered. Nothing is lost: the next GET gets it. But it
    /// must come soon, as most clients that give up a GET are gone.
    pub fn handle_poll_aborted(&mut self, now: Instant) {
        if !self.polls.is_pending() {
            return;
        }
        let patience = self.heartbeat.patience();
        let time = self.config.aborted_poll_timeout.min(patience);
        self.polls.abort(now + time);
    }

    /// The answer of a GET could not be delivered: its packets go first into the next one.
    ///
    /// If a later answer or a WebSocket has carried something since, the session ends: their place in the order is gone.
    pub fn handle_poll_undelivered(&mut self, now: Instant, undelivered: PollPackets) {
        let is_lost = undelivered
            .iter()
            .any(|packet| !matches!(packet, OutPacket::Noop));
        if self.state == State::Closed || !is_lost {
            return;
        }
        let Some(mut packets) = self
            .polls
            .take_back(undelivered)
            .filter(|_| !self.wrote_frames)
        else {
            return self.fail(CloseReason::TransportError);
        };
        packets.retain(|packet| !matches!(packet, OutPacket::Noop));
        self.outbox.restore(now, packets);
        self.flush(now);
    }

    /// The body of a POST came. Its messages are fetched with [`poll_message`](Self::poll_message); its answer is an
    /// [`Output::PostResponse`]; it has none if the session is finished.
    ///
    /// # Errors
    /// [`Overlap`] if another POST is being processed; the session ends.
    pub fn handle_post(&mut self, body: Bytes, binary_form: bool) -> Result<(), Overlap> {
        if self.post.as_ref().is_some_and(|post| post.is_awaited()) {
            self.fail(CloseReason::TransportError);
            return Err(Overlap);
        }
        match self.state {
            State::Open => {
                let packets = PayloadDecoder::new(self.revision, body, binary_form);
                match &mut self.post {
                    None => self.post = Some(Box::new(Post::new(packets))),
                    Some(post) => post.next = Some(Box::new(packets)),
                }
            }
            State::Closing { .. } => self
                .outputs
                .push(Output::PostResponse(PostResponse::BadRequest)),
            State::Closed => {}
        }
        Ok(())
    }

    /// The next message of the POST being processed. The driver may stop calling for a while: then the client's POST waits.
    pub fn poll_message(&mut self, now: Instant) -> Option<Message> {
        loop {
            let next = self.post.as_mut()?.packets.next();
            match next {
                Some(Ok(packet)) => {
                    if let Some(message) = self.handle_packet(now, packet) {
                        return Some(message);
                    }
                }
                Some(Err(_)) => self.fail(CloseReason::ParseError),
                None => {
                    let post = self.post.as_mut()?;
                    if !post.answered {
                        self.outputs.push(Output::PostResponse(PostResponse::Ok));
                    }
                    match post.next.take() {
                        None => self.post = None,
                        Some(next) => **post = Post::new(*next),
                    }
                }
            }
        }
    }

    /// Answers the POST being processed before its end, unless a GET is pending. The driver calls it when it reads no further
    /// because of what waits for the client: one that has no GET pending may send the next only after its POST.
    pub fn release_post(&mut self) {
        let is_free = self.transport == Transport::Polling && !self.polls.is_pending();
        if let Some(post) = self.post.as_mut().filter(|post| is_free && !post.answered) {
            post.answered = true;
            self.outputs.push(Output::PostResponse(PostResponse::Ok));
        }
    }

    /// A message came on the session's WebSocket. Returns the content if it was a message packet.
    #[inline]
    pub fn handle_frame(&mut self, now: Instant, frame: Message) -> Option<Message> {
        match self.decode_frame(frame) {
            Ok(Packet::Message(message)) => self.take_message(now, message),
            Ok(packet) => self.handle_packet(now, packet),
            Err(_) => {
                self.fail(CloseReason::ParseError);
                None
            }
        }
    }

    /// A WebSocket asks to take over the session.
    ///
    /// # Errors
    /// [`UpgradeRefused`]; the session goes on as it is.
    pub fn handle_probe_opened(&mut self, now: Instant) -> Result<(), UpgradeRefused> {
        if self.state != State::Open {
            return Err(UpgradeRefused::Closed);
        }
        if self.transport == Transport::WebSocket || self.probe.is_some() {
            return Err(UpgradeRefused::Taken);
        }
        if !self.config.allow_upgrades {
            return Err(UpgradeRefused::NotAllowed);
        }
        self.probe = Some(Box::new(Probe {
            until: now + self.config.upgrade_timeout,
            noop_at: None,
            prompt_noops: PROMPT_NOOPS,
            probes: MAX_PROBES,
        }));
        Ok(())
    }

    /// A message came on the WebSocket that probes.
    pub fn handle_probe_frame(&mut self, now: Instant, frame: Message) {
        let packet = self.decode_frame(frame);
        let Some(probe) = &mut self.probe else { return };
        match packet {
            // Not only once, as the JavaScript server does.
            Ok(Packet::Ping(data)) if data == "probe" && probe.probes > 0 => {
                probe.probes -= 1;
                probe.noop_at = Some(now + UPGRADE_NOOP_INTERVAL);
                self.outputs
                    .push(Output::ProbePacket(OutPacket::pong(&data)));
                if self.polls.is_pending() {
                    self.release_poll(now);
                }
            }
            // Some clients send it without a probe.
            Ok(Packet::Upgrade) => self.upgrade(now),
            _ => self.close_probe(),
        }
    }

    /// The WebSocket that probes is gone. The session goes on polling.
    pub fn handle_probe_closed(&mut self) {
        self.probe = None;
    }

    /// The transport has ended: the peer closed it, or it failed.
    pub fn handle_transport_closed(&mut self, reason: CloseReason) {
        self.fail(reason);
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let State::Closing { until } = self.state {
            if until <= now {
                self.finish();
            }
            return;
        }
        if self.state == State::Closed {
            return;
        }
        if let Some(probe) = &mut self.probe {
            if probe.until <= now {
                self.close_probe();
            } else if let Some(at) = &mut probe.noop_at
                && *at <= now
            {
                *at = now + UPGRADE_NOOP_INTERVAL;
                if self.polls.is_pending() {
                    self.answer_poll(vec![OutPacket::Noop], false);
                    self.polls.expect(now + self.heartbeat.patience());
                }
            }
        }
        if self.is_write_overdue(now) {
            return self.fail(CloseReason::SlowConsumer);
        }
        if self.polls.deadline().is_some_and(|at| at <= now) {
            let reason = if self.polls.is_aborted() {
                CloseReason::TransportError
            } else {
                CloseReason::PingTimeout
            };
            return self.fail(reason);
        }
        if self.heartbeat.deadline() <= now {
            if self.outbox.has_heartbeat() && self.heartbeat.is_awaiting() {
                // It has not left: whether the peer takes what is in front of it is for the write deadline, or the next GET's.
                return self.heartbeat.postpone(now);
            }
            if self.reading_paused && self.heartbeat.is_awaiting() && !self.extended {
                // We did not listen, so the silence says little about the peer. But not for ever.
                self.extended = true;
                return self.heartbeat.extend(now);
            }
            match self.heartbeat.on_timeout(now) {
                Beat::SendPing => self.push(now, OutPacket::Ping, Part::Owed),
                Beat::Dead => self.fail(CloseReason::PingTimeout),
            }
        }
    }

    /// Says that the driver stops or starts to read from the peer, because its handlers are behind or because it does not take
    /// what waits for it. A peer that is not read from for so long that its ping or pong is overdue gets one
    /// `ping_interval` more.
    pub fn set_reading_paused(&mut self, now: Instant, paused: bool) {
        if self.reading_paused && !paused {
            self.heartbeat.postpone(now);
            self.extended = false;
        }
        self.reading_paused = paused;
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) would end the session because the peer takes nothing. Somebody closer to
    /// the peer may know better.
    pub fn is_write_overdue(&self, now: Instant) -> bool {
        self.write_deadline().is_some_and(|at| at <= now)
    }

    /// Says whether somebody closer to the peer sees to it that it takes what is written: then `write_timeout` does not count.
    pub fn set_progress_watched(&mut self, watched: bool) {
        self.progress_watched = watched;
    }

    /// Says that the answer to the last GET is still on its way: the time for the next one has not begun.
    pub fn note_delivering(&mut self, now: Instant) {
        self.polls.postpone(now + self.heartbeat.patience());
    }

    // Commands.

    /// Sends one packet of the layer above: a message and those that belong to it (its attachments). All of them are
    /// sent, or none. Returns whether they were taken.
    #[inline]
    pub fn send(
        &mut self,
        now: Instant,
        message: &Outgoing,
        attachments: &[Outgoing],
        options: SendOptions,
    ) -> bool {
        if self.state != State::Open || (options.volatile && !self.is_writable()) {
            return false;
        }
        // One message may be larger than the limit if it waits alone.
        if !options.owed && self.outbox.bytes() > 0 && !self.make_room(now, message, attachments) {
            return false;
        }
        let (first, others) = if options.owed {
            (Part::Owed, Part::Owed)
        } else {
            (Part::Event, Part::Attachment)
        };
        self.compress |= options.compress;
        self.push(now, OutPacket::Message(message.clone()), first);
        for attachment in attachments {
            self.push(now, OutPacket::Message(attachment.clone()), others);
        }
        true
    }

    /// Whether [`send_run`](Self::send_run) may be used: a WebSocket carries the session, and no policy drops single messages.
    #[inline]
    pub fn takes_runs(&self) -> bool {
        self.transport == Transport::WebSocket && self.config.overflow == Overflow::Disconnect
    }

    /// Sends many text messages at once; see [`takes_runs`](Self::takes_runs). That there is room for those that are not
    /// [owed](SendOptions::owed) is the caller's care.
    pub fn send_run(&mut self, now: Instant, run: FrameRun) {
        if self.state != State::Open || run.is_empty() {
            return;
        }
        self.outbox.push_run(now, run);
    }

    /// The finished frame of a message for this session's WebSocket.
    #[inline]
    pub fn frame_of<'a>(&self, message: &'a Outgoing) -> &'a [u8] {
        message.websocket_slice(self.revision.is_v3(), self.base64)
    }

    /// Notes that the driver has written finished frames past the queue, in which nothing waited.
    #[inline]
    pub fn note_written(&mut self) {
        self.wrote_frames = true;
    }

    /// Applies the policy if there is no room behind what waits. `false` if the new packet must not be sent.
    fn make_room(&mut self, now: Instant, message: &Outgoing, attachments: &[Outgoing]) -> bool {
        let weight = std::iter::once(message)
            .chain(attachments)
            .map(|part| part.len() + OVERHEAD_BYTES)
            .sum::<usize>();
        if self.outbox.bytes() + weight > self.config.max_outbound_bytes {
            // A client whose GET is pending is not slow: it gets what this turn has gathered so far.
            self.flush(now);
        }
        while self.outbox.bytes() > 0
            && self.outbox.bytes() + weight > self.config.max_outbound_bytes
        {
            match self.config.overflow {
                Overflow::Disconnect => {
                    self.fail(CloseReason::SlowConsumer);
                    return false;
                }
                Overflow::DropOldest if self.outbox.drop_oldest() => self.dropped += 1,
                Overflow::DropOldest | Overflow::DropNewest => {
                    self.dropped += 1;
                    return false;
                }
            }
        }
        true
    }

    /// Closes the session. What waits is still delivered, for a limited time.
    pub fn close(&mut self, now: Instant, reason: CloseReason) {
        let mut until = match self.transport {
            Transport::Polling => now + self.config.close_timeout,
            Transport::WebSocket => now + self.config.write_timeout,
        };
        if reason == CloseReason::ServerShuttingDown {
            until = until.min(self.gone_at().unwrap_or(until));
        }
        match &mut self.state {
            State::Open => {}
            State::Closing { until: before } => {
                *before = until.min(*before);
                return;
            }
            State::Closed => return,
        }
        // A client that has probed may not poll any more: what waits reaches it by either way.
        if self
            .probe
            .as_ref()
            .is_some_and(|probe| probe.noop_at.is_none())
        {
            self.close_probe();
        }
        self.outputs.push(Output::Closed(reason));
        self.state = State::Closing { until };
        self.end_post();
        self.flush(now);
        self.finish_if_drained();
    }

    /// When a polling client without a GET counts as gone, where that must be known soon: a client that lives sends the next
    /// one at once.
    fn gone_at(&self) -> Option<Instant> {
        let due = self.polls.deadline()?;
        if self.polls.is_aborted() {
            return Some(due);
        }
        let answered = due.checked_sub(self.heartbeat.patience())?;
        Some(answered + self.config.aborted_poll_timeout)
    }

    /// Ends the session at once and drops what waits.
    pub fn fail(&mut self, reason: CloseReason) {
        match self.state {
            State::Open => self.outputs.push(Output::Closed(reason)),
            State::Closing { .. } => {}
            State::Closed => return,
        }
        self.end_post();
        self.finish();
    }

    // Outputs.

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called. `None` when the session is finished.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Closing { until } => Some(until),
            State::Open => {
                let mut deadline = self.heartbeat.deadline();
                if let Some(other) = self.write_deadline() {
                    deadline = deadline.min(other);
                }
                if let Some(other) = self.polls.deadline() {
                    deadline = deadline.min(other);
                }
                if let Some(probe) = &self.probe {
                    deadline =
                        deadline.min(probe.noop_at.map_or(probe.until, |at| at.min(probe.until)));
                }
                Some(deadline)
            }
        }
    }

    /// Answers the pending GET if something waits. The driver calls it at the end of a turn, so that all packets of the
    /// turn go out in one body.
    #[inline]
    pub fn flush(&mut self, now: Instant) {
        if !self.can_flush() {
            return;
        }
        if self.outbox.has_heartbeat() {
            self.heartbeat.postpone(now);
        }
        let packets = self.outbox.take();
        let compress = std::mem::take(&mut self.compress);
        self.answer_poll(packets, compress);
        if self.state == State::Open {
            self.polls.expect(now + self.heartbeat.patience());
        }
    }

    /// Fills `slices` with what is to be written to the WebSocket and returns how many slices it used.
    pub fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.transport != Transport::WebSocket {
            return 0;
        }
        self.outbox.frames(self.revision, self.base64, slices)
    }

    /// What is to be written, if it is a single frame: the common case, which needs no list.
    #[inline]
    pub fn only_frame(&self) -> Option<&[u8]> {
        if self.transport != Transport::WebSocket {
            return None;
        }
        self.outbox.only_frame(self.revision, self.base64)
    }

    /// Notes that `count` bytes of the frames were written.
    #[inline]
    pub fn advance(&mut self, now: Instant, count: usize) {
        if count == 0 {
            return;
        }
        let had_heartbeat = self.outbox.has_heartbeat();
        self.outbox.advance(now, self.revision, self.base64, count);
        if had_heartbeat && !self.outbox.has_heartbeat() {
            self.heartbeat.postpone(now);
        }
        self.wrote_frames = true;
        self.finish_if_drained();
    }

    // Facts.

    /// The transport that carries the session now.
    #[inline]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The protocol's revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether polling bodies and frames must be text only.
    pub fn is_base64(&self) -> bool {
        self.base64
    }

    /// Whether [`poll_output`](Self::poll_output) has something, at the latest after [`flush`](Self::flush).
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || self.can_flush()
    }

    #[inline]
    fn can_flush(&self) -> bool {
        self.transport == Transport::Polling && self.polls.is_pending() && !self.outbox.is_empty()
    }

    /// Whether messages can be exchanged.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether a message sent now would leave at once.
    #[inline]
    pub fn is_writable(&self) -> bool {
        self.outbox.is_empty()
            && (self.transport == Transport::WebSocket || self.polls.is_pending())
    }

    /// Whether everything that had to be sent was handed over.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether a WebSocket frame is partly written: nothing may come between.
    #[inline]
    pub fn is_mid_frame(&self) -> bool {
        self.outbox.is_mid_frame()
    }

    /// Bytes of the messages that wait to be sent, 64 for each packet included.
    #[inline]
    pub fn outbound_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Whether a POST is being processed.
    #[inline]
    pub fn has_post(&self) -> bool {
        self.post.is_some()
    }

    /// Number of messages that [`Overflow`] dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Applies [`Overflow`] until at most `max_bytes` wait, because the whole process holds too much.
    pub fn shrink_outbound(&mut self, max_bytes: usize) {
        while self.outbox.bytes() > max_bytes {
            match self.config.overflow {
                Overflow::DropOldest | Overflow::DropNewest if self.outbox.drop_oldest() => {
                    self.dropped += 1;
                }
                Overflow::DropOldest | Overflow::DropNewest => return,
                Overflow::Disconnect => return self.fail(CloseReason::SlowConsumer),
            }
        }
    }

    // Reactions.

    #[inline]
    fn decode_frame(&self, frame: Message) -> Result<Packet, DecodeError> {
        match frame {
            Message::Text(text) => Packet::decode_text(self.revision, text),
            Message::Binary(bytes) => Packet::decode_binary(self.revision, bytes),
        }
    }

    #[inline]
    fn take_message(&mut self, now: Instant, message: Message) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        self.heartbeat.on_packet(now);
        Some(message)
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        match (packet, self.revision) {
            (Packet::Message(message), _) => return self.take_message(now, message),
            // A pong counts only for a ping that has left: blind pongs must not keep a client alive that never reads.
            (Packet::Pong(_), Revision::V4) => {
                if !self.outbox.has_heartbeat() {
                    self.heartbeat.on_pong(now);
                }
            }
            (Packet::Ping(_), Revision::V3) => {
                self.heartbeat.on_ping(now);
                if !self.outbox.has_heartbeat() {
                    self.push(now, OutPacket::pong(""), Part::Owed);
                }
            }
            // Spec, "Heartbeat": the direction is fixed in each revision.
            (Packet::Ping(_), Revision::V4) | (Packet::Pong(_), Revision::V3) => {
                self.fail(CloseReason::TransportError);
            }
            (Packet::Close, _) => self.on_close(),
            (Packet::Open(_) | Packet::Upgrade | Packet::Noop, _) => self.heartbeat.on_packet(now),
        }
        None
    }

    /// The client's close packet. A pending GET is answered with a noop; the POST that brought it gets its `ok`.
    fn on_close(&mut self) {
        self.outputs
            .push(Output::Closed(CloseReason::TransportClose));
        self.close_probe();
        if self.polls.is_pending() {
            self.answer_poll(vec![OutPacket::Noop], false);
        }
        if self.post.take().is_some_and(|post| post.is_awaited()) {
            self.outputs.push(Output::PostResponse(PostResponse::Ok));
        }
        self.finish();
    }

    fn upgrade(&mut self, now: Instant) {
        self.probe = None;
        if self.polls.is_pending() {
            self.answer_poll(vec![OutPacket::Noop], false);
        }
        self.transport = Transport::WebSocket;
        self.polls.forget();
        self.outbox.note_progress(now);
        self.outputs.push(Output::Upgraded);
        self.finish_if_drained();
    }

    fn close_probe(&mut self) {
        if self.probe.take().is_some() {
            self.outputs.push(Output::CloseProbe);
        }
    }

    #[inline]
    fn push(&mut self, now: Instant, packet: OutPacket, part: Part) {
        self.outbox.push(now, packet, part);
    }

    /// Answers the pending GET with a noop while a client that has probed waits for that: it upgrades when no GET is pending.
    fn release_poll(&mut self, now: Instant) {
        if let Some(probe) = &mut self.probe
            && probe.noop_at.is_some()
            && probe.prompt_noops > 0
        {
            probe.prompt_noops -= 1;
            self.answer_poll(vec![OutPacket::Noop], false);
            self.polls.expect(now + self.heartbeat.patience());
        }
    }

    fn answer_poll(&mut self, packets: Vec<OutPacket>, compress: bool) {
        let packets = self.polls.answer(packets);
        self.outputs
            .push(Output::PollResponse { packets, compress });
    }

    fn end_post(&mut self) {
        if self.post.take().is_some_and(|post| post.is_awaited()) {
            self.outputs
                .push(Output::PostResponse(PostResponse::BadRequest));
        }
    }

    fn write_deadline(&self) -> Option<Instant> {
        (self.transport == Transport::WebSocket
            && !self.progress_watched
            && !self.outbox.is_empty())
        .then(|| self.outbox.progress() + self.config.write_timeout)
    }

    /// Closing ends when everything was delivered: on a WebSocket once it is written, on polling with the close packet.
    fn finish_if_drained(&mut self) {
        if !matches!(self.state, State::Closing { .. }) || !self.outbox.is_empty() {
            return;
        }
        match self.transport {
            Transport::WebSocket => self.finish(),
            Transport::Polling if self.polls.is_pending() => self.finish(),
            // The next GET ends it.
            Transport::Polling => {}
        }
    }

    fn finish(&mut self) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.close_probe();
        self.outbox.discard();
        self.polls.forget();
        if self.polls.is_pending() {
            self.answer_poll(vec![OutPacket::Close], false);
        }
        if self.transport == Transport::WebSocket {
            self.outputs.push(Output::CloseWebSocket);
        }
        self.outputs.push(Output::Finished);
    }
}
