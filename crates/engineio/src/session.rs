//! One Engine.IO session, server side: its transport, its queue of outgoing packets, and when the client counts as
//! dead.
//!
//! The driver that owns a session passes it requests, frames and the time (`handle_*`) and messages to send
//! ([`Session::send`]). After every input it does what [`Session::poll_message`] and [`Session::poll_output`] return
//! until both return `None`, then it sleeps until [`Session::deadline`]. Spec: Engine.IO v4 and v3, "Protocol".
//!
//! ```text
//!              first request                      close(), client's close, fault
//!   (handshake) ───────────► Open ─────────────────────────────────────────────┐
//!                            │  transport: Polling ──"2probe", "5"──► WebSocket │
//!                            └──────────────────────────────────────────────────┤
//!                                                                               ▼
//!                                 Closing: queued packets are delivered ───► Closed
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
    outbox::{Outbox, Part, weight},
    output::{Output, Overlap, PostResponse, Record, UpgradeRefused},
    packet::{OutPacket, Packet, PacketType, Revision},
    payload::PayloadDecoder,
    polls::{PollPackets, Polls},
    post::Post,
    queue::Queue,
    run::FrameRun,
    transport::Transport,
};

/// Most probes of one WebSocket that are answered: a client that sends more does not read the answers.
const MAX_PROBES: u8 = 8;

/// GETs that are answered with a noop at once during an upgrade: the one that is pending when the probe arrives, and
/// those that the client sends before it has seen the answer to the probe.
const PROMPT_NOOPS: u8 = 8;

/// Interval at which later GETs are answered with a noop, in case the answer to the probe never reaches the client. The
/// JavaScript server answers all of them at this interval.
const UPGRADE_NOOP_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Ended for the application; queued packets are delivered until then.
    Closing {
        until: Instant,
    },
    Closed,
}

/// A WebSocket that the client wants to upgrade to.
#[derive(Debug, Clone, Copy)]
struct Probe {
    until: Instant,
    /// Set when the probe packet came: when the pending GET gets the next noop.
    noop_at: Option<Instant>,
    /// How many more GETs get a noop at once.
    prompt_noops: u8,
    /// How many more probes are answered.
    probes: u8,
}

/// One Engine.IO session, server side.
///
/// The driver that owns it passes it requests, frames and the time (`handle_*`) and messages to send
/// ([`send`](Self::send)). After every input it does what [`poll_message`](Self::poll_message) and
/// [`poll_output`](Self::poll_output) return until both return `None`, then it sleeps until
/// [`deadline`](Self::deadline).
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
    /// Whether anything was sent on the WebSocket: undelivered responses to GETs can no longer be sent in order then.
    wrote_frames: bool,
    compress: bool,
    reading_paused: bool,
    /// The driver or the kernel enforces the write timeout.
    progress_watched: bool,
    /// The peer's time was extended because reading is paused.
    extended: bool,
    /// Whether each packet is an [`Output::Record`].
    records: bool,
    max_poll_packets: u16,
}

impl Session {
    /// Creates a session whose first request has just arrived. `base64` is for clients that do not support binary.
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
        let records = config.records;
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
            records,
            max_poll_packets: u16::MAX,
        }
    }

    /// Sets how many packets a response to a GET may have, for clients that take only so many. Not 0.
    pub fn set_max_poll_packets(&mut self, max: u16) {
        self.max_poll_packets = max.max(1);
    }

    /// Sends the open packet.
    pub fn open(&mut self, now: Instant, handshake: OutPacket) {
        self.push(now, handshake, Part::Owed);
        if self.records && self.transport == Transport::WebSocket {
            self.record(Record::UpgradeRequested);
            self.record(Record::Upgraded);
        }
        if self.transport == Transport::Polling {
            self.polls.expect(now + self.heartbeat.max_silence());
        }
    }

    // Input from outside.

    /// Handles a GET. Its response is an [`Output::PollResponse`]; there is none if the session is finished.
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
            // It was sent before the upgrade: nothing is sent by polling any more.
            self.answer_poll(vec![OutPacket::Noop], false);
            return Ok(());
        }
        self.polls.begin();
        if self.state != State::Open && self.outbox.is_empty() {
            // The end of a close. The JavaScript server sends this noop, too.
            self.answer_poll(vec![OutPacket::Noop, OutPacket::Close], false);
            self.finish();
        } else if self.outbox.is_empty() {
            self.release_poll(now);
        }
        Ok(())
    }

    /// Handles that the client aborted the pending GET. Nothing is lost: the packets go to the next GET. It must come
    /// soon, as most clients that abort a GET have disconnected.
    pub fn handle_poll_aborted(&mut self, now: Instant) {
        if !self.polls.is_pending() {
            return;
        }
        let max_silence = self.heartbeat.max_silence();
        let time = self.config.aborted_poll_timeout.min(max_silence);
        self.polls.abort(now + time);
    }

    /// Handles that the response to a GET could not be delivered: the next one begins with its packets.
    ///
    /// The session ends if later packets were sent meanwhile, by polling or on a WebSocket: the order would be broken.
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

    /// Handles the body of a POST. Fetch its messages with [`poll_message`](Self::poll_message). Its response is an
    /// [`Output::PostResponse`]; there is none if the session is finished.
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

    /// Returns the next message of the POST being processed. While the driver pauses calling it, the client's POST
    /// stays pending.
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

    /// Answers the POST being processed before its end, unless a GET is pending. The driver calls it when it pauses
    /// reading because the client's queue is full: the client may send its next GET only after the response to its
    /// POST.
    pub fn release_post(&mut self) {
        let is_free = self.transport == Transport::Polling && !self.polls.is_pending();
        if let Some(post) = self.post.as_mut().filter(|post| is_free && !post.answered) {
            post.answered = true;
            self.outputs.push(Output::PostResponse(PostResponse::Ok));
        }
    }

    /// Handles a message of the session's WebSocket. Returns the content if it is a message packet.
    #[inline]
    pub fn handle_frame(&mut self, now: Instant, frame: Message) -> Option<Message> {
        match Packet::decode_frame(self.revision, frame) {
            Ok(Packet::Message(message)) => self.take_message(now, message),
            Ok(packet) => self.handle_packet(now, packet),
            Err(_) => {
                self.fail(CloseReason::ParseError);
                None
            }
        }
    }

    /// Handles the opening of a WebSocket that the client wants to upgrade to.
    ///
    /// # Errors
    /// [`UpgradeRefused`]; the session continues unchanged.
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
        if self.records {
            self.record(Record::UpgradeRequested);
        }
        self.probe = Some(Box::new(Probe {
            until: now + self.config.upgrade_timeout,
            noop_at: None,
            prompt_noops: PROMPT_NOOPS,
            probes: MAX_PROBES,
        }));
        Ok(())
    }

    /// Handles a message of the probing WebSocket.
    pub fn handle_probe_frame(&mut self, now: Instant, frame: Message) {
        let packet = Packet::decode_frame(self.revision, frame);
        let Some(probe) = &mut self.probe else { return };
        match packet {
            // Several times, as the JavaScript server does.
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

    /// Handles the end of the probing WebSocket. The session continues with polling.
    pub fn handle_probe_closed(&mut self) {
        self.probe = None;
    }

    /// Handles the end of the transport: the peer closed it, or it failed.
    pub fn handle_transport_closed(&mut self, reason: CloseReason) {
        self.fail(reason);
    }

    /// Does what is due. Call it when [`deadline`](Self::deadline) has passed.
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
                    self.polls.expect(now + self.heartbeat.max_silence());
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
                // The ping is still queued: the write deadline or the deadline of the next GET covers the packets
                // before it.
                return self.heartbeat.postpone(now);
            }
            if self.reading_paused && self.heartbeat.is_awaiting() && !self.extended {
                // Nothing was read, so the silence does not show that the peer is dead. Extended once.
                self.extended = true;
                return self.heartbeat.extend(now);
            }
            match self.heartbeat.on_timeout(now) {
                Beat::SendPing => self.push(now, OutPacket::Ping, Part::Owed),
                Beat::Dead => self.fail(CloseReason::PingTimeout),
            }
        }
    }

    /// Notes that the driver pauses or resumes reading from the peer, because its handlers or the peer are too slow. If
    /// the peer's ping or pong becomes overdue during a pause, its deadline is extended by one `ping_interval`.
    pub fn set_reading_paused(&mut self, now: Instant, paused: bool) {
        if self.reading_paused && !paused {
            self.heartbeat.postpone(now);
            self.extended = false;
        }
        self.reading_paused = paused;
    }

    /// Returns whether [`handle_timeout`](Self::handle_timeout) would end the session because the peer does not read.
    /// The driver may know better, for example from the kernel.
    pub fn is_write_overdue(&self, now: Instant) -> bool {
        self.write_deadline().is_some_and(|at| at <= now)
    }

    /// Sets whether the driver or the kernel detects a peer that does not read: then `write_timeout` does not apply
    /// here.
    pub fn set_progress_watched(&mut self, watched: bool) {
        self.progress_watched = watched;
    }

    /// Notes that the response to the last GET is still being sent: the time for the next GET has not begun.
    pub fn note_delivering(&mut self, now: Instant) {
        self.polls.postpone(now + self.heartbeat.max_silence());
    }

    // Commands.

    /// Queues one packet of the layer above: a message and its attachments. Queues all of them or none, and returns
    /// whether it did.
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
        // A message may exceed the limit if the queue is empty.
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

    /// Returns whether [`send_run`](Self::send_run) may be used: a WebSocket carries the session, the overflow policy
    /// does not drop single messages, and none is recorded.
    #[inline]
    pub fn takes_runs(&self) -> bool {
        self.transport == Transport::WebSocket
            && self.config.overflow == Overflow::Disconnect
            && !self.records
    }

    /// Queues many text messages at once; see [`takes_runs`](Self::takes_runs). The caller checks the limit for those
    /// that are not [owed](SendOptions::owed).
    pub fn send_run(&mut self, now: Instant, run: FrameRun) {
        if self.state != State::Open || run.is_empty() {
            return;
        }
        self.outbox.push_run(now, run);
    }

    /// Returns the finished frame of a message for this session's WebSocket.
    #[inline]
    pub fn frame_of<'a>(&self, message: &'a Outgoing) -> &'a [u8] {
        message.websocket_slice(self.revision.is_v3(), self.base64)
    }

    /// Notes that the driver has written finished frames directly, while the queue was empty.
    #[inline]
    pub fn note_written(&mut self) {
        self.wrote_frames = true;
    }

    /// Applies the overflow policy if the queue is full. Returns `false` if the new packet must not be queued.
    fn make_room(&mut self, now: Instant, message: &Outgoing, attachments: &[Outgoing]) -> bool {
        let weight = weight(message, attachments);
        if self.outbox.bytes() + weight > self.config.max_outbound_bytes {
            // A client whose GET is pending is not slow: it gets what this turn has queued so far.
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

    /// Closes the session. Queued packets are still delivered, for a limited time.
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
        // A client that has probed may not poll any more: its queued packets are sent by either transport.
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

    /// Returns when a polling client without a pending GET counts as disconnected during a shutdown: a living client
    /// sends its next GET at once.
    fn gone_at(&self) -> Option<Instant> {
        let due = self.polls.deadline()?;
        if self.polls.is_aborted() {
            return Some(due);
        }
        let answered = due.checked_sub(self.heartbeat.max_silence())?;
        Some(answered + self.config.aborted_poll_timeout)
    }

    /// Ends the session at once and drops queued packets.
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

    /// Returns the next thing to do. Call it until it returns `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called. `None` when the session is finished.
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

    /// Answers the pending GET if packets are queued. The driver calls it at the end of a turn, so that all packets of
    /// the turn are sent in one body.
    #[inline]
    pub fn flush(&mut self, now: Instant) {
        if !self.can_flush() {
            return;
        }
        let had_heartbeat = self.outbox.has_heartbeat();
        let packets = self.outbox.take_first(usize::from(self.max_poll_packets));
        if had_heartbeat && !self.outbox.has_heartbeat() {
            self.heartbeat.postpone(now);
        }
        let compress = std::mem::take(&mut self.compress);
        self.answer_poll(packets, compress);
        if self.state == State::Open {
            self.polls.expect(now + self.heartbeat.max_silence());
        }
    }

    /// Fills `slices` with the bytes to write to the WebSocket and returns how many slices it used.
    pub fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.transport != Transport::WebSocket {
            return 0;
        }
        self.outbox.frames(self.revision, self.base64, slices)
    }

    /// Returns the bytes to write to the WebSocket if they are a single frame, the most frequent case.
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

    /// Returns the transport that carries the session now.
    #[inline]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the protocol's revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns whether polling bodies and frames must be text only.
    pub fn is_base64(&self) -> bool {
        self.base64
    }

    /// Returns whether [`poll_output`](Self::poll_output) returns something, at the latest after
    /// [`flush`](Self::flush).
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || self.can_flush()
    }

    #[inline]
    fn can_flush(&self) -> bool {
        self.transport == Transport::Polling && self.polls.is_pending() && !self.outbox.is_empty()
    }

    /// Returns whether messages can be exchanged.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether a message would be sent at once.
    #[inline]
    pub fn is_writable(&self) -> bool {
        self.outbox.is_empty()
            && (self.transport == Transport::WebSocket || self.polls.is_pending())
    }

    /// Returns whether all packets were passed to the driver.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Returns whether a WebSocket frame is partly written: no other frame may be written then.
    #[inline]
    pub fn is_mid_frame(&self) -> bool {
        self.outbox.is_mid_frame()
    }

    /// Returns the bytes of the queued messages, including 64 for each packet.
    #[inline]
    pub fn outbound_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Returns whether a POST is being processed.
    #[inline]
    pub fn has_post(&self) -> bool {
        self.post.is_some()
    }

    /// Returns the number of messages that [`Overflow`] dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Applies [`Overflow`] until at most `max_bytes` are queued, because all sessions together have queued too much.
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
    fn take_message(&mut self, now: Instant, message: Message) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        if self.records {
            let content = Some(message.clone());
            self.record(Record::Received(PacketType::Message, content));
        }
        self.heartbeat.on_packet(now);
        Some(message)
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Option<Message> {
        if self.state != State::Open {
            return None;
        }
        if self.records && !matches!(packet, Packet::Message(_)) {
            self.record(Record::received(&packet));
        }
        match (packet, self.revision) {
            (Packet::Message(message), _) => return self.take_message(now, message),
            // A pong counts only for a ping that was sent: unsolicited pongs must not keep a client alive that never
            // reads.
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

    /// Handles the client's close packet. A pending GET is answered with a noop; the POST that contained it gets its
    /// `ok`.
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
        if self.records {
            self.record(Record::Upgraded);
        }
        self.finish_if_drained();
    }

    fn close_probe(&mut self) {
        if self.probe.take().is_some() {
            self.outputs.push(Output::CloseProbe);
        }
    }

    #[cold]
    fn record(&mut self, record: Record) {
        self.outputs.push(Output::Record(Box::new(record)));
    }

    #[inline]
    fn push(&mut self, now: Instant, packet: OutPacket, part: Part) {
        if self.records {
            self.record(Record::sent(&packet));
        }
        self.outbox.push(now, packet, part);
    }

    /// Answers the pending GET with a noop during an upgrade: the client sends its upgrade packet when no GET is
    /// pending.
    fn release_poll(&mut self, now: Instant) {
        if let Some(probe) = &mut self.probe
            && probe.noop_at.is_some()
            && probe.prompt_noops > 0
        {
            probe.prompt_noops -= 1;
            self.answer_poll(vec![OutPacket::Noop], false);
            self.polls.expect(now + self.heartbeat.max_silence());
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

    /// Finishes a closing session when all packets are delivered: on a WebSocket once they are written, with polling
    /// once the close packet is sent.
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
