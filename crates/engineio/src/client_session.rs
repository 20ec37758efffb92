//! One Engine.IO session, client side: its transport, its queue of outgoing packets, and when the server counts as
//! dead.
//!
//! The counterpart of [`Session`](crate::Session). The driver does what [`ClientSession::poll_output`] returns
//! (requests, a second connection for the upgrade), passes the responses back (`handle_*`), writes the packets of
//! [`ClientSession::poll_packet`] to the WebSocket and reports when they are written
//! ([`ClientSession::handle_written`]), and sleeps until [`ClientSession::deadline`]. Spec: Engine.IO v4 and v3,
//! "Protocol".
//!
//! A DISCONNECT ([`ClientSession::send_disconnect`]) is sent after a gap: when it arrives, many servers drop events that
//! they have not passed to a handler yet.
//!
//! ```text
//!                open packet                    close(), server's close, fault
//!   Opening ─────────────────► Open ────────────────────────────────────────────────┐
//!                               │ Polling ──"2probe"──"3probe"──(pause)──"5"──► WebSocket │
//!                               └────────────────────────────────────────────────────┤
//!                                                                                    ▼
//!                                     Closing: queued packets are sent ───► Closed
//! ```

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    close::CloseReason,
    config::SendOptions,
    handshake::Handshake,
    heartbeat::{Beat, Heartbeat},
    message::{Message, Outgoing},
    outbox::{Outbox, Part, weight},
    packet::{OutPacket, Packet, Revision},
    payload::PayloadDecoder,
    queue::Queue,
    transport::Transport,
};

/// The times and limits of a client's sessions.
#[derive(Debug, Clone)]
pub struct ClientSessionConfig {
    /// The revision to speak. Default: revision 4.
    pub revision: Revision,
    /// Whether a polling session moves to a WebSocket if the server offers it. Default true.
    pub upgrade: bool,
    /// Time in which an upgrade must be finished; after it the session continues with polling. Default 10 s.
    pub upgrade_timeout: Duration,
    /// Time in which the server must read some of the pending bytes on a WebSocket. Default 10 s.
    pub write_timeout: Duration,
    /// Time in which the server must read some of the pending bytes after the client closed the session. Default 10 s.
    pub close_timeout: Duration,
    /// Bytes that may be queued, including 64 for each packet. Default 1 MiB.
    pub max_outbound_bytes: usize,
}

impl Default for ClientSessionConfig {
    fn default() -> Self {
        Self {
            revision: Revision::V4,
            upgrade: true,
            upgrade_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            max_outbound_bytes: 1 << 20,
        }
    }
}

/// What the driver must do. Packets for the WebSocket come from [`ClientSession::poll_packet`] instead.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientOutput {
    /// The open packet came.
    Opened(Handshake),
    /// Send a GET. Its answer goes to [`ClientSession::handle_poll_response`].
    Poll,
    /// Send a POST with these packets. Its answer goes to [`ClientSession::handle_post_response`].
    Post(Vec<OutPacket>),
    /// Open a WebSocket with the id of the polling session.
    OpenProbe,
    /// Send this packet on the probing WebSocket.
    ProbePacket(OutPacket),
    /// Send a WebSocket ping after what was written. Its pong goes to [`ClientSession::handle_pong`].
    PingWebSocket,
    /// Drop the probing WebSocket, or the attempt to open it.
    CloseProbe,
    /// The probing WebSocket carries the session from now on.
    Upgraded,
    /// The session continues with polling.
    UpgradeFailed,
    /// The session has ended for the application. Queued packets are still sent until [`ClientOutput::Finished`].
    Closed(CloseReason),
    /// Close the WebSocket when all packets are written.
    CloseWebSocket,
    /// The last output: drop the session.
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Closing { since: Instant },
    Closed,
}

/// The longest separator between two packets of a payload: revision 3 puts a length in front of each, digits and a
/// colon, or up to ten bytes in the binary form.
const SEPARATOR_BYTES: usize = 11;

/// Time between the moment in which the server has read all packets and a DISCONNECT, so that its handlers get the
/// packets.
const GAP: Duration = Duration::from_millis(20);
/// Time in which the pong must come that shows that the server has read all packets.
const PONG_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that an upgrade may still take after all packets of a closing session were sent.
const FINAL_UPGRADE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most packets of one POST: the default limit of python-socketio's server.
const MAX_PACKETS_PER_POST: usize = 16;

/// The progress of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    /// The WebSocket is being opened, or its probe is unanswered.
    Probing { until: Instant },
    /// The probe was answered: no new GET is sent, and pending requests are awaited. Some servers end the pending GET
    /// only at a tick of 100 ms, so messages are still sent by POST meanwhile: its response may end the GET, too.
    Pausing { until: Instant },
}

/// Whether the server has read all sent messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    /// It has, at this time.
    Read(Instant),
    /// Unknown.
    Unknown,
    /// A WebSocket ping was sent after them, and its pong must come by then.
    Pinged { until: Instant },
}

/// One Engine.IO session, client side.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct ClientSession {
    config: Arc<ClientSessionConfig>,
    outbox: Outbox,
    /// The packets after each gap. The first of these queues may be sent when the server has had time for the packets
    /// before it.
    gaps: VecDeque<Outbox>,
    /// Whether only DISCONNECTs were sent since the last gap.
    only_disconnects: bool,
    /// The server did not answer a WebSocket ping: it is not pinged again.
    ignores_pings: bool,
    /// Whether a DISCONNECT was sent after the last CONNECT with a gap before it.
    sent_disconnect: bool,
    /// Whether the server has read all sent messages.
    read_state: ReadState,
    outputs: Queue<ClientOutput>,
    /// The response to a GET, decoded packet by packet.
    received: Option<Box<PayloadDecoder>>,
    heartbeat: Option<Heartbeat>,
    upgrade: Option<Upgrade>,
    max_payload: Option<usize>,
    state: State,
    transport: Transport,
    /// When the outbox last began to fill or shrank, or the WebSocket accepted bytes.
    progress: Instant,
    /// The driver has packets that the WebSocket has not accepted yet.
    unwritten: bool,
    /// The session ended before all packets were sent.
    lost_packets: bool,
    poll_pending: bool,
    /// When the pending POST was sent.
    post_sent_at: Option<Instant>,
    /// When the driver stopped reading from the server.
    paused_since: Option<Instant>,
}

/// Returns the earlier of two deadlines.
#[inline]
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl ClientSession {
    /// Creates a session that has received nothing yet. With polling its first output is a [`ClientOutput::Poll`]; on a
    /// WebSocket the server sends first.
    pub fn new(config: Arc<ClientSessionConfig>, transport: Transport, now: Instant) -> Self {
        let mut session = Self {
            config,
            outbox: Outbox::new(now),
            gaps: VecDeque::new(),
            only_disconnects: false,
            ignores_pings: false,
            sent_disconnect: false,
            read_state: ReadState::Read(now),
            outputs: Queue::default(),
            received: None,
            heartbeat: None,
            upgrade: None,
            max_payload: None,
            state: State::Opening,
            transport,
            progress: now,
            unwritten: false,
            lost_packets: false,
            poll_pending: false,
            post_sent_at: None,
            paused_since: None,
        };
        session.request(now);
        session
    }

    // Input from outside.

    /// Handles a message of the session's WebSocket. Returns the content if it is a message packet.
    pub fn handle_frame(&mut self, now: Instant, frame: Message) -> Option<Message> {
        match Packet::decode_frame(self.config.revision, frame) {
            Ok(packet) => self.handle_packet(now, packet),
            Err(_) => {
                self.fail(CloseReason::ParseError);
                None
            }
        }
    }

    /// Handles the response to the pending GET. Fetch its messages with [`poll_message`](Self::poll_message). The
    /// response is ignored after the application closed the session: python-socketio sends an empty body then.
    pub fn handle_poll_response(&mut self, now: Instant, body: Bytes, binary_form: bool) {
        self.poll_pending = false;
        if matches!(self.state, State::Closing { .. } | State::Closed) {
            return self.request(now);
        }
        self.received = Some(Box::new(PayloadDecoder::new(
            self.config.revision,
            body,
            binary_form,
        )));
    }

    /// Returns the next message of the last GET's response. After the last message the next request is sent.
    pub fn poll_message(&mut self, now: Instant) -> Option<Message> {
        loop {
            match self.received.as_mut()?.next() {
                Some(Ok(packet)) => {
                    if let Some(message) = self.handle_packet(now, packet) {
                        return Some(message);
                    }
                }
                Some(Err(_)) => self.fail(CloseReason::ParseError),
                None => {
                    self.received = None;
                    self.request(now);
                }
            }
        }
    }

    /// Handles the failure or refusal of the pending GET. Ignored while closing: the server may already have dropped
    /// the session, and the response to the POST shows whether it has received the packets.
    pub fn handle_poll_failed(&mut self) {
        self.poll_pending = false;
        if !matches!(self.state, State::Closing { .. }) {
            self.fail(CloseReason::TransportError);
        }
    }

    /// Handles the response to the pending POST.
    pub fn handle_post_response(&mut self, now: Instant) {
        self.post_sent_at = None;
        self.progress = now;
        self.read_state = ReadState::Read(now);
        self.request(now);
        self.end_gaps(now);
    }

    /// Notes that the WebSocket has accepted some or `all` of the packets that [`poll_packet`](Self::poll_packet)
    /// returned.
    pub fn handle_written(&mut self, now: Instant, all: bool) {
        if self.unwritten {
            self.unwritten = !all;
            self.progress = now;
            self.end_gaps(now);
        }
    }

    /// Handles the pong to the ping of [`ClientOutput::PingWebSocket`].
    pub fn handle_pong(&mut self, now: Instant) {
        if let ReadState::Pinged { .. } = self.read_state {
            self.read_state = ReadState::Read(now);
            self.end_gaps(now);
        }
    }

    /// Handles the opening of the probing WebSocket.
    pub fn handle_probe_opened(&mut self, _now: Instant) {
        if let Some(Upgrade::Probing { .. }) = self.upgrade {
            self.outputs
                .push(ClientOutput::ProbePacket(OutPacket::Probe));
        }
    }

    /// Handles a message of the probing WebSocket.
    pub fn handle_probe_frame(&mut self, now: Instant, frame: Message) {
        let packet = Packet::decode_frame(self.config.revision, frame);
        match (self.upgrade, packet) {
            (Some(Upgrade::Probing { until }), Ok(Packet::Pong(data))) if data == "probe" => {
                // The server ends the pending GET with a noop.
                self.upgrade = Some(Upgrade::Pausing { until });
                self.upgrade_if_paused(now);
            }
            (Some(_), _) => self.end_upgrade(now),
            (None, _) => {}
        }
    }

    /// Handles the end of the probing WebSocket, or that it could not be opened. The session continues with polling.
    pub fn handle_probe_closed(&mut self, now: Instant) {
        if self.upgrade.is_some() {
            self.end_upgrade(now);
        }
    }

    /// Handles the end of the transport: the server closed it, or it failed.
    pub fn handle_transport_closed(&mut self, reason: CloseReason) {
        self.fail(reason);
    }

    /// Handles that the machine was suspended for this long, which the monotonic clock does not count. The session ends
    /// if the server must have timed out meanwhile.
    pub fn handle_resumed(&mut self, _now: Instant, suspended: Duration) {
        if self
            .heartbeat
            .as_ref()
            .is_some_and(|heartbeat| suspended > heartbeat.max_silence())
        {
            self.fail(CloseReason::PingTimeout);
        }
    }

    /// Does what is due. Call it when [`deadline`](Self::deadline) has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Closing { since } => {
                if self.close_deadline(since) <= now {
                    self.note_loss();
                    return self.finish();
                }
            }
            State::Closed | State::Opening => return,
            State::Open => {}
        }
        if self.upgrade_deadline().is_some_and(|at| at <= now) {
            self.end_upgrade(now);
        }
        self.end_gaps(now);
        if self.state != State::Open {
            return;
        }
        if [self.write_deadline(), self.post_deadline()]
            .into_iter()
            .flatten()
            .any(|at| at <= now)
        {
            return self.fail(CloseReason::TransportError);
        }
        if self.pause_deadline().is_some_and(|at| at <= now) {
            // Whatever has arrived unread, the server must have timed out.
            return self.fail(CloseReason::PingTimeout);
        }
        if let Some(heartbeat) = &mut self.heartbeat
            && heartbeat.deadline() <= now
        {
            if self.paused_since.is_some() && heartbeat.is_awaiting() {
                // Nothing was read, so the silence does not show that the server is dead.
                return heartbeat.postpone(now);
            }
            match heartbeat.on_timeout(now) {
                Beat::SendPing => self.push_now(now, OutPacket::Ping, Part::Owed),
                Beat::Dead => self.fail(CloseReason::PingTimeout),
            }
        }
    }

    /// Notes that the driver pauses or resumes reading from the server because its handlers are too slow. A pause after
    /// which the server must have timed out ends the session.
    pub fn set_reading_paused(&mut self, now: Instant, paused: bool) {
        if paused {
            self.paused_since.get_or_insert(now);
        } else if self.paused_since.take().is_some()
            && let Some(heartbeat) = &mut self.heartbeat
        {
            heartbeat.postpone(now);
        }
    }

    // Commands.

    /// Queues one packet of the layer above: a message and its attachments. Queues all of them or none, and returns
    /// whether it did.
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
        self.only_disconnects = false;
        let weight = weight(message, attachments);
        // A packet may exceed the limit if the queue is empty.
        let waiting = self.outbound_bytes();
        if waiting > 0 && waiting + weight > self.config.max_outbound_bytes {
            return false;
        }
        self.push(now, OutPacket::Message(message.clone()), Part::Event);
        for attachment in attachments {
            self.push(
                now,
                OutPacket::Message(attachment.clone()),
                Part::Attachment,
            );
        }
        true
    }

    /// Queues a DISCONNECT of the layer above. It is sent 20 ms after the server has read all earlier packets, as the
    /// response to a POST or the pong to a WebSocket ping shows; a missing pong is awaited for 1 s. A DISCONNECT that
    /// the server does not receive does not count as lost.
    pub fn send_disconnect(&mut self, now: Instant, message: &Outgoing) {
        if self.state != State::Open {
            return;
        }
        self.sent_disconnect = true;
        if !std::mem::replace(&mut self.only_disconnects, true) {
            self.gaps.push_back(Outbox::new(now));
        }
        self.push(now, OutPacket::Message(message.clone()), Part::Owed);
        self.end_gaps(now);
    }

    /// Queues a CONNECT of the layer above: after a gap if a DISCONNECT was sent since the last one. A JavaScript server that
    /// reads both in one turn closes the session.
    pub fn send_connect(&mut self, now: Instant, message: &Outgoing) {
        if self.state == State::Open && std::mem::take(&mut self.sent_disconnect) {
            self.gaps.push_back(Outbox::new(now));
        }
        self.send(now, message, &[], SendOptions::default());
        self.end_gaps(now);
    }

    /// Closes the session: sends queued packets, finishes a running upgrade, then sends the close packet.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Opening => return self.fail(CloseReason::ForcedClose),
            State::Open => {}
            State::Closing { .. } | State::Closed => return,
        }
        self.outputs
            .push(ClientOutput::Closed(CloseReason::ForcedClose));
        self.state = State::Closing { since: now };
        self.heartbeat = None;
        // During a probe it is not known yet which transport is to be closed. Some servers end the session with the
        // probe.
        if self.upgrade.is_none() {
            self.push_close(now);
        }
        self.end_gaps(now);
    }

    // Outputs.

    /// Returns the next thing to do. Call it until it returns `None`.
    #[inline]
    pub fn poll_output(&mut self, now: Instant) -> Option<ClientOutput> {
        // Collected as late as possible, so that one POST carries everything sent meanwhile.
        if self.outputs.is_empty() && self.can_post() {
            self.post(now);
        }
        self.outputs.pop()
    }

    /// Returns whether [`poll_output`](Self::poll_output) would return something.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || self.can_post()
    }

    /// Returns whether packets are queued for the WebSocket.
    #[inline]
    pub fn has_packet(&self) -> bool {
        self.transport == Transport::WebSocket && !self.outbox.is_empty()
    }

    /// Returns the next packet to write to the session's WebSocket.
    pub fn poll_packet(&mut self, now: Instant) -> Option<OutPacket> {
        if self.transport != Transport::WebSocket {
            return None;
        }
        let packet = self.outbox.pop_packet()?;
        self.progress = now;
        self.unwritten = true;
        if let OutPacket::Message(_) = packet {
            self.read_state = ReadState::Unknown;
        }
        Some(packet)
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called. `None` while the session is opening, for
    /// which the driver has its own deadline, and when it is finished.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Opening | State::Closed => None,
            State::Closing { since } => {
                let others = [self.upgrade_deadline(), self.gap_deadline()];
                let others = others.into_iter().flatten();
                others.chain([self.close_deadline(since)]).min()
            }
            State::Open => {
                let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
                let first = earlier(heartbeat, self.upgrade_deadline());
                let first = earlier(first, self.gap_deadline());
                let first = earlier(first, self.write_deadline());
                let first = earlier(first, self.post_deadline());
                earlier(first, self.pause_deadline())
            }
        }
    }

    // Facts.

    /// Returns the transport that carries the session now.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the protocol's revision.
    pub fn revision(&self) -> Revision {
        self.config.revision
    }

    /// Returns whether messages can be exchanged.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether a message would be sent at once.
    pub fn is_writable(&self) -> bool {
        self.state == State::Open
            && self.outbox.is_empty()
            && self.gaps.is_empty()
            && match self.transport {
                Transport::WebSocket => !self.unwritten,
                Transport::Polling => self.post_sent_at.is_none() && self.can_request(),
            }
    }

    /// Returns whether everything is sent: no packets are queued, and no request or write is pending.
    pub fn is_drained(&self) -> bool {
        self.has_left() && self.gaps.is_empty()
    }

    /// Returns whether the server has shown that it has read all sent messages.
    pub fn is_all_read(&self) -> bool {
        matches!(self.read_state, ReadState::Read(_))
    }

    /// Returns whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns whether the session ended before all packets were sent, apart from DISCONNECTs.
    pub fn has_lost_packets(&self) -> bool {
        self.lost_packets
    }

    /// Returns the number of queued bytes, including 64 for each packet.
    pub fn outbound_bytes(&self) -> usize {
        let gaps = self.gaps.iter().map(Outbox::bytes);
        self.outbox.bytes() + gaps.sum::<usize>()
    }

    // Reactions.

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Option<Message> {
        match (self.state, packet) {
            (State::Opening, Packet::Open(json)) => match Handshake::decode(&json) {
                Ok(handshake) => self.on_open(now, handshake),
                Err(_) => self.fail(CloseReason::ParseError),
            },
            // The open packet must be the first packet, and come once.
            (State::Opening, _) | (State::Open, Packet::Open(_)) => {
                self.fail(CloseReason::TransportError);
            }
            (State::Open, packet) => return self.handle_open_packet(now, packet),
            // The application closed the session: packets are ignored.
            (State::Closing { .. } | State::Closed, _) => {}
        }
        None
    }

    fn handle_open_packet(&mut self, now: Instant, packet: Packet) -> Option<Message> {
        let heartbeat = self.heartbeat.as_mut()?;
        // Every packet shows that the server is alive.
        heartbeat.on_packet(now);
        match (packet, self.config.revision) {
            (Packet::Message(message), _) => {
                heartbeat.on_ping(now);
                return Some(message);
            }
            (Packet::Ping(data), Revision::V4) => {
                heartbeat.on_ping(now);
                if !self.outbox.has_heartbeat() {
                    self.push_now(now, OutPacket::pong(&data), Part::Owed);
                }
            }
            (Packet::Pong(_), Revision::V3) => heartbeat.on_pong(now),
            // Spec, "Heartbeat": the direction is fixed in each revision.
            (Packet::Ping(_), Revision::V3) | (Packet::Pong(_), Revision::V4) => {
                self.fail(CloseReason::TransportError);
            }
            (Packet::Close, _) => self.on_close(),
            (Packet::Noop | Packet::Upgrade | Packet::Open(_), _) => heartbeat.on_ping(now),
        }
        None
    }

    fn on_open(&mut self, now: Instant, handshake: Handshake) {
        self.state = State::Open;
        // The client's heartbeat in one revision is the server's in the other.
        let mirrored = match self.config.revision {
            Revision::V3 => Revision::V4,
            Revision::V4 => Revision::V3,
        };
        self.heartbeat = Some(Heartbeat::new(
            mirrored,
            handshake.ping_interval,
            handshake.ping_timeout,
            now,
        ));
        self.max_payload = handshake.max_payload;
        let offers_websocket = handshake.upgrades.iter().any(|name| *name == "websocket");
        self.outputs.push(ClientOutput::Opened(handshake));
        if self.transport == Transport::Polling && self.config.upgrade && offers_websocket {
            self.upgrade = Some(Upgrade::Probing {
                until: now + self.config.upgrade_timeout,
            });
            self.outputs.push(ClientOutput::OpenProbe);
        }
    }

    /// Handles the server's close packet.
    fn on_close(&mut self) {
        self.fail(CloseReason::TransportClose);
    }

    /// Sends the requests that are due.
    fn request(&mut self, now: Instant) {
        if self.transport != Transport::Polling {
            return;
        }
        if let Some(Upgrade::Pausing { .. }) = self.upgrade {
            return self.upgrade_if_paused(now);
        }
        let polls = matches!(self.state, State::Opening | State::Open);
        if polls && !self.poll_pending && self.received.is_none() {
            self.poll_pending = true;
            self.outputs.push(ClientOutput::Poll);
        }
    }

    fn can_request(&self) -> bool {
        self.poll_pending || !matches!(self.upgrade, Some(Upgrade::Pausing { .. }))
    }

    /// Returns whether a POST with queued packets may be sent now.
    #[inline]
    fn can_post(&self) -> bool {
        self.transport == Transport::Polling
            && self.post_sent_at.is_none()
            && !self.outbox.is_empty()
            && self.can_request()
            && matches!(self.state, State::Open | State::Closing { .. })
    }

    /// Sends queued packets by POST, as many as the server accepts in one.
    fn post(&mut self, now: Instant) {
        let max = self.max_payload.unwrap_or(usize::MAX);
        let mut packets = Vec::new();
        let mut size = 0;
        while let Some(next) = self.outbox.peek_packet() {
            let bytes = next.text_len(self.config.revision) + SEPARATOR_BYTES;
            let is_full = size + bytes > max || packets.len() >= MAX_PACKETS_PER_POST;
            if is_full && !packets.is_empty() {
                break;
            }
            size += bytes;
            packets.extend(self.outbox.pop_packet());
        }
        self.post_sent_at = Some(now);
        self.progress = now;
        self.read_state = ReadState::Unknown;
        self.outputs.push(ClientOutput::Post(packets));
    }

    /// Upgrades once no request is pending, so that no message is lost, duplicated or reordered.
    fn upgrade_if_paused(&mut self, now: Instant) {
        if self.poll_pending || self.post_sent_at.is_some() || self.received.is_some() {
            return;
        }
        self.upgrade = None;
        self.transport = Transport::WebSocket;
        self.progress = now;
        self.unwritten = true;
        self.outputs
            .push(ClientOutput::ProbePacket(OutPacket::Upgrade));
        self.outputs.push(ClientOutput::Upgraded);
    }

    fn end_upgrade(&mut self, now: Instant) {
        self.upgrade = None;
        self.outputs.push(ClientOutput::CloseProbe);
        self.outputs.push(ClientOutput::UpgradeFailed);
        self.request(now);
        if let State::Closing { .. } = self.state {
            self.push_close(now);
        }
    }

    /// Appends a packet to the queue.
    fn push(&mut self, now: Instant, packet: OutPacket, part: Part) {
        match self.gaps.back_mut() {
            Some(last) => last.push(now, packet, part),
            None => self.push_now(now, packet, part),
        }
    }

    /// Appends a packet to those before the first gap.
    fn push_now(&mut self, now: Instant, packet: OutPacket, part: Part) {
        // An unanswered POST is not progress, even if packets are queued after it.
        if self.outbox.is_empty() && self.post_sent_at.is_none() {
            self.progress = now;
        }
        self.outbox.push(now, packet, part);
    }

    /// Queues the close packet. A WebSocket needs none: it is closed instead.
    fn push_close(&mut self, now: Instant) {
        if self.transport == Transport::Polling {
            self.push(now, OutPacket::Close, Part::Owed);
        }
    }

    /// Returns whether all packets before the first gap were passed to the server or the operating system.
    fn has_left(&self) -> bool {
        self.outbox.is_empty() && self.post_sent_at.is_none() && !self.unwritten
    }

    /// Returns when the next gap ends, or the pong times out.
    fn gap_deadline(&self) -> Option<Instant> {
        match self.read_state {
            _ if self.gaps.is_empty() || !self.has_left() => None,
            ReadState::Read(at) => Some(at + GAP),
            ReadState::Pinged { until } => Some(until),
            ReadState::Unknown => None,
        }
    }

    fn upgrade_deadline(&self) -> Option<Instant> {
        let (Upgrade::Probing { until } | Upgrade::Pausing { until }) = self.upgrade?;
        Some(match self.state {
            State::Closing { since } if self.is_drained() => {
                until.min(since.max(self.progress) + FINAL_UPGRADE_TIMEOUT)
            }
            _ => until,
        })
    }

    /// Ends gaps that are over, and finishes a closing session when all packets are sent.
    fn end_gaps(&mut self, now: Instant) {
        while !self.gaps.is_empty() && self.has_left() {
            if self.read_state == ReadState::Unknown && self.transport == Transport::WebSocket {
                if self.ignores_pings {
                    self.read_state = ReadState::Read(now);
                } else {
                    let until = now + PONG_TIMEOUT;
                    self.read_state = ReadState::Pinged { until };
                    self.outputs.push(ClientOutput::PingWebSocket);
                }
            }
            if self.gap_deadline().is_some_and(|at| at > now) {
                return;
            }
            self.ignores_pings |= matches!(self.read_state, ReadState::Pinged { .. });
            self.outbox = self.gaps.pop_front().unwrap_or_else(|| Outbox::new(now));
            self.progress = now;
        }
        let is_closing = matches!(self.state, State::Closing { .. });
        if is_closing && self.is_drained() && self.upgrade.is_none() {
            self.finish();
        }
    }

    fn write_deadline(&self) -> Option<Instant> {
        (self.transport == Transport::WebSocket && (self.unwritten || !self.outbox.is_empty()))
            .then(|| self.progress + self.config.write_timeout)
    }

    /// Returns when the pending POST times out: after the longest time in which a living server may be silent, as
    /// servers respond late while their handlers are busy.
    fn post_deadline(&self) -> Option<Instant> {
        let posted = self.post_sent_at?;
        Some(posted + self.heartbeat.as_ref()?.max_silence())
    }

    /// Returns when the server must have timed out because reading is paused.
    fn pause_deadline(&self) -> Option<Instant> {
        let since = self.paused_since?;
        Some(since + self.heartbeat.as_ref()?.max_silence())
    }

    fn fail(&mut self, reason: CloseReason) {
        match self.state {
            State::Opening | State::Open => self.outputs.push(ClientOutput::Closed(reason)),
            State::Closing { .. } => {}
            State::Closed => return,
        }
        self.note_loss();
        self.finish();
    }

    /// Notes whether queued packets are lost.
    fn note_loss(&mut self) {
        self.lost_packets |= if self.only_disconnects {
            !self.gaps.is_empty()
        } else {
            !self.is_drained()
        };
        self.outbox.discard();
        self.gaps.clear();
    }

    /// Returns when closing times out: the time restarts with every packet that is sent.
    fn close_deadline(&self, since: Instant) -> Instant {
        since.max(self.progress) + self.config.close_timeout
    }

    fn finish(&mut self) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.received = None;
        self.heartbeat = None;
        if self.upgrade.take().is_some() {
            self.outputs.push(ClientOutput::CloseProbe);
        }
        if self.transport == Transport::WebSocket {
            self.outputs.push(ClientOutput::CloseWebSocket);
        }
        self.outputs.push(ClientOutput::Finished);
    }
}
