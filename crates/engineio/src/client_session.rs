//! One Engine.IO session, client side: which transport carries it, what waits to be sent, when the server is dead.
//!
//! The mirror image of [`Session`](crate::Session). The driver does what [`ClientSession::poll_output`] says (requests, a
//! second connection for the upgrade), feeds the answers back (`handle_*`), writes [`ClientSession::poll_packet`] to the
//! WebSocket and says when it is written ([`ClientSession::handle_written`]), and sleeps until [`ClientSession::deadline`]. Spec: Engine.IO v4 and v3, "Protocol".
//!
//! A goodbye ([`ClientSession::send_goodbye`]) leaves after a gap: many servers drop an event that they have not handed to its
//! handler yet when a goodbye comes.
//!
//! ```text
//!                open packet                    close(), server's close, fault
//!   Opening ─────────────────► Open ────────────────────────────────────────────────┐
//!                               │ Polling ──"2probe"──"3probe"──(pause)──"5"──► WebSocket │
//!                               └────────────────────────────────────────────────────┤
//!                                                                                    ▼
//!                                     Closing: what waits is still sent ──► Closed
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
    outbox::{Outbox, Part},
    packet::{DecodeError, OutPacket, Packet, Revision},
    payload::PayloadDecoder,
    queue::Queue,
    run::OVERHEAD_BYTES,
    transport::Transport,
};

/// The times and limits of a client's sessions.
#[derive(Debug, Clone)]
pub struct ClientSessionConfig {
    /// The revision to speak. Default: revision 4.
    pub revision: Revision,
    /// Whether a polling session moves to a WebSocket if the server offers it. Default true.
    pub upgrade: bool,
    /// Time in which an upgrade must be finished; after it the session goes on polling. Default 10 s.
    pub upgrade_timeout: Duration,
    /// Time in which the server must take some of what waits for it on a WebSocket. Default 10 s.
    pub write_timeout: Duration,
    /// Time in which the server must take some of what waits when the client closes the session. Default 10 s.
    pub close_timeout: Duration,
    /// Bytes that may wait to be sent, 64 for each packet included. Default 1 MiB.
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

/// What the driver must do. Packets for the WebSocket are not here: see [`ClientSession::poll_packet`].
#[derive(Debug, Clone, PartialEq)]
pub enum ClientOutput {
    /// The open packet came.
    Opened(Handshake),
    /// Send a GET. Its answer goes to [`ClientSession::handle_poll_response`].
    Poll,
    /// Send a POST with these packets. Its answer goes to [`ClientSession::handle_post_response`].
    Post(Vec<OutPacket>),
    /// Open a WebSocket beside the polling session, with its id.
    OpenProbe,
    /// Send this packet on the WebSocket that probes.
    ProbePacket(OutPacket),
    /// Send a ping of the WebSocket's own behind what was written. Its pong goes to [`ClientSession::handle_pong`].
    PingWebSocket,
    /// Drop the WebSocket that probes, or the attempt to open it.
    CloseProbe,
    /// The WebSocket that probed carries the session from now on.
    Upgraded,
    /// The session goes on polling.
    UpgradeFailed,
    /// The session has ended for the application. What waits is still sent until [`ClientOutput::Finished`].
    Closed(CloseReason),
    /// Close the WebSocket when what waits is written.
    CloseWebSocket,
    /// Nothing more comes: forget the session.
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Closing { since: Instant },
    Closed,
}

/// What stands between two packets of a payload, at most: revision 3 puts a length in front of each, digits and a colon, or
/// up to ten bytes in the binary form.
const SEPARATOR_BYTES: usize = 11;

/// How long a server that has read what was sent is given to hand it to its handlers, before a goodbye follows.
const GAP: Duration = Duration::from_millis(20);
/// How long the pong is waited for that shows that the server has read what was sent.
const PONG_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an upgrade may still take when all else of a session that is being closed has left.
const LAST_UPGRADE: Duration = Duration::from_secs(1);

/// Packets of one POST, at most. python-socketio's server takes no more, unless it is told to.
const MAX_PACKETS_PER_POST: usize = 16;

/// How far an upgrade has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upgrade {
    /// The WebSocket is being opened, or its probe is under way.
    Probing { until: Instant },
    /// The probe was answered: no new GET is made, and the requests under way are waited for. Some servers end the pending
    /// GET only at a tick of 100 ms, so what is sent meanwhile still goes by POST: its answer may end the GET, too.
    Pausing { until: Instant },
}

/// Whether the server has read the messages that have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// By this time.
    By(Instant),
    /// Nobody knows.
    Perhaps,
    /// The WebSocket was pinged behind them, and its pong is waited for.
    Asked { until: Instant },
}

/// One Engine.IO session, client side.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct ClientSession {
    config: Arc<ClientSessionConfig>,
    outbox: Outbox,
    /// What follows each gap. The first may leave when the server has had time for what left before.
    gaps: VecDeque<Outbox>,
    /// Whether nothing but goodbyes was sent since the last gap.
    parting: bool,
    /// The server has not answered a ping that asked whether it has read everything: it is not asked again.
    answers_no_ping: bool,
    /// Whether a goodbye was ever sent.
    has_parted: bool,
    /// Whether the server has read the messages that have left.
    heard: Heard,
    outputs: Queue<ClientOutput>,
    /// The answer of a GET, decoded packet by packet.
    received: Option<Box<PayloadDecoder>>,
    heartbeat: Option<Heartbeat>,
    upgrade: Option<Upgrade>,
    max_payload: Option<usize>,
    state: State,
    transport: Transport,
    /// When the outbox last began to fill or got smaller, or the WebSocket has taken something.
    progress: Instant,
    /// The driver has packets of ours that the WebSocket has not taken yet.
    unwritten: bool,
    /// It has ended before everything had left.
    cut: bool,
    poll_pending: bool,
    /// When the POST was sent that is under way.
    posted: Option<Instant>,
    /// Since when the driver does not read from the server.
    paused_since: Option<Instant>,
}

impl ClientSession {
    /// A session of which nothing has been received. On polling its first output is a [`ClientOutput::Poll`]; on a
    /// WebSocket the server speaks first.
    pub fn new(config: Arc<ClientSessionConfig>, transport: Transport, now: Instant) -> Self {
        let mut session = Self {
            config,
            outbox: Outbox::new(now),
            gaps: VecDeque::new(),
            parting: false,
            answers_no_ping: false,
            has_parted: false,
            heard: Heard::By(now),
            outputs: Queue::default(),
            received: None,
            heartbeat: None,
            upgrade: None,
            max_payload: None,
            state: State::Opening,
            transport,
            progress: now,
            unwritten: false,
            cut: false,
            poll_pending: false,
            posted: None,
            paused_since: None,
        };
        session.request(now);
        session
    }

    // Input from outside.

    /// A message came on the session's WebSocket. Returns the content if it was a message packet.
    pub fn handle_frame(&mut self, now: Instant, frame: Message) -> Option<Message> {
        match self.decode_frame(frame) {
            Ok(packet) => self.handle_packet(now, packet),
            Err(_) => {
                self.fail(CloseReason::ParseError);
                None
            }
        }
    }

    /// The pending GET was answered. Its messages are fetched with [`poll_message`](Self::poll_message). Of a session that the
    /// application has ended it says nothing: python-socketio answers with an empty body then.
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

    /// The next message of the last GET's answer. The next request is made when there is none.
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

    /// The pending GET failed, or was refused. Behind the session's own end that is no news, as the server has no session to
    /// answer for any more: whether it has taken what was sent is what the POST's answer says.
    pub fn handle_poll_failed(&mut self) {
        self.poll_pending = false;
        if !matches!(self.state, State::Closing { .. }) {
            self.fail(CloseReason::TransportError);
        }
    }

    /// The pending POST was answered.
    pub fn handle_post_response(&mut self, now: Instant) {
        self.posted = None;
        self.progress = now;
        self.heard = Heard::By(now);
        self.request(now);
        self.go_on(now);
    }

    /// The session's WebSocket has taken some of what [`poll_packet`](Self::poll_packet) has returned, or all of it.
    pub fn handle_written(&mut self, now: Instant, all: bool) {
        if self.unwritten {
            self.unwritten = !all;
            self.progress = now;
            self.go_on(now);
        }
    }

    /// The pong came that [`ClientOutput::PingWebSocket`] has asked for.
    pub fn handle_pong(&mut self, now: Instant) {
        if let Heard::Asked { .. } = self.heard {
            self.heard = Heard::By(now);
            self.go_on(now);
        }
    }

    /// The WebSocket that shall take over is open.
    pub fn handle_probe_opened(&mut self, _now: Instant) {
        if let Some(Upgrade::Probing { .. }) = self.upgrade {
            self.outputs
                .push(ClientOutput::ProbePacket(OutPacket::Probe));
        }
    }

    /// A message came on the WebSocket that probes.
    pub fn handle_probe_frame(&mut self, now: Instant, frame: Message) {
        let packet = self.decode_frame(frame);
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

    /// The WebSocket that probes is gone, or could not be opened. The session goes on polling.
    pub fn handle_probe_closed(&mut self, now: Instant) {
        if self.upgrade.is_some() {
            self.end_upgrade(now);
        }
    }

    /// The transport has ended: the server closed it, or it failed.
    pub fn handle_transport_closed(&mut self, reason: CloseReason) {
        self.fail(reason);
    }

    /// The machine was suspended for this long, which the monotonic clock has not seen. If the server cannot have waited
    /// so long, the session ends.
    pub fn handle_resumed(&mut self, _now: Instant, suspended: Duration) {
        if self
            .heartbeat
            .as_ref()
            .is_some_and(|heartbeat| suspended > heartbeat.patience())
        {
            self.fail(CloseReason::PingTimeout);
        }
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Closing { since } => {
                if self.closes_by(since) <= now {
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
        self.go_on(now);
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
            // Nothing that we could have read would have kept us in the server's eyes.
            return self.fail(CloseReason::PingTimeout);
        }
        if let Some(heartbeat) = &mut self.heartbeat
            && heartbeat.deadline() <= now
        {
            if self.paused_since.is_some() && heartbeat.is_awaiting() {
                // We did not listen, so the silence says nothing about the server.
                return heartbeat.postpone(now);
            }
            match heartbeat.on_timeout(now) {
                Beat::SendPing => self.push_now(now, OutPacket::Ping, Part::Owed),
                Beat::Dead => self.fail(CloseReason::PingTimeout),
            }
        }
    }

    /// Says that the driver stops or starts to read from the server, because its handlers are behind. A pause in which the
    /// server must have given us up ends the session.
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

    /// Sends one packet of the layer above: a message and those that belong to it (its attachments). All of them are
    /// taken, or none. Returns whether they were.
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
        self.parting = false;
        let weight = std::iter::once(message)
            .chain(attachments)
            .map(|part| part.len() + OVERHEAD_BYTES)
            .sum::<usize>();
        // One packet may be larger than the limit if it waits alone.
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

    /// Sends the packet with which a peer of the layer above leaves. It leaves after a gap, when the server has read what was
    /// sent before (a POST was answered, or a ping of the WebSocket, for 1 s), and 20 ms later. It is no loss if the server
    /// does not take it.
    pub fn send_goodbye(&mut self, now: Instant, message: &Outgoing) {
        if self.state != State::Open {
            return;
        }
        self.has_parted = true;
        if !std::mem::replace(&mut self.parting, true) {
            self.gaps.push_back(Outbox::new(now));
        }
        self.push(now, OutPacket::Message(message.clone()), Part::Owed);
        self.go_on(now);
    }

    /// Sends the packet with which a peer of the layer above comes: after a gap if one has left before, perhaps the same. A
    /// JavaScript server that reads both in one turn closes the session.
    pub fn send_join(&mut self, now: Instant, message: &Outgoing) {
        if self.has_parted && self.state == State::Open {
            self.gaps.push_back(Outbox::new(now));
        }
        self.send(now, message, &[], SendOptions::default());
        self.go_on(now);
    }

    /// Ends the session in order: what waits is sent first, an upgrade that is under way ends, then the server is told.
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
        // While a WebSocket probes nobody knows yet which transport is to be closed. Some servers end the session with it.
        if self.upgrade.is_none() {
            self.push_close(now);
        }
        self.go_on(now);
    }

    // Outputs.

    /// The next thing to do, until `None`.
    #[inline]
    pub fn poll_output(&mut self, now: Instant) -> Option<ClientOutput> {
        // Gathered as late as possible, so that one POST takes all that was sent meanwhile.
        if self.outputs.is_empty() && self.can_post() {
            self.post(now);
        }
        self.outputs.pop()
    }

    /// Whether [`poll_output`](Self::poll_output) has something.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty() || self.can_post()
    }

    /// Whether packets wait to be written to the WebSocket.
    #[inline]
    pub fn has_packet(&self) -> bool {
        self.transport == Transport::WebSocket && !self.outbox.is_empty()
    }

    /// The next packet to write to the session's WebSocket.
    pub fn poll_packet(&mut self, now: Instant) -> Option<OutPacket> {
        if self.transport != Transport::WebSocket {
            return None;
        }
        let packet = self.outbox.pop_packet()?;
        self.progress = now;
        self.unwritten = true;
        if let OutPacket::Message(_) = packet {
            self.heard = Heard::Perhaps;
        }
        Some(packet)
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called. `None` while the session is opening, for which the
    /// driver has a deadline of its own, and when it is finished.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Opening | State::Closed => None,
            State::Closing { since } => {
                let others = [self.upgrade_deadline(), self.gap_deadline()];
                let others = others.into_iter().flatten();
                others.chain([self.closes_by(since)]).min()
            }
            State::Open => {
                let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
                [
                    heartbeat,
                    self.upgrade_deadline(),
                    self.gap_deadline(),
                    self.write_deadline(),
                    self.post_deadline(),
                    self.pause_deadline(),
                ]
                .into_iter()
                .flatten()
                .min()
            }
        }
    }

    // Facts.

    /// The transport that carries the session now.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The protocol's revision.
    pub fn revision(&self) -> Revision {
        self.config.revision
    }

    /// Whether messages can be exchanged.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether a message sent now would leave at once.
    pub fn is_writable(&self) -> bool {
        self.state == State::Open
            && self.outbox.is_empty()
            && self.gaps.is_empty()
            && match self.transport {
                Transport::WebSocket => !self.unwritten,
                Transport::Polling => self.posted.is_none() && self.can_request(),
            }
    }

    /// Whether everything is sent: nothing waits, and nothing is under way.
    pub fn is_drained(&self) -> bool {
        self.has_left() && self.gaps.is_empty()
    }

    /// Whether the server has shown that it has read all messages that have left.
    pub fn is_heard(&self) -> bool {
        matches!(self.heard, Heard::By(_))
    }

    /// Whether the session has ended.
    pub fn is_over(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the session has ended before all that was sent had left. Goodbyes do not count.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Bytes that wait to be sent, 64 for each packet included.
    pub fn outbound_bytes(&self) -> usize {
        let gaps = self.gaps.iter().map(Outbox::bytes);
        self.outbox.bytes() + gaps.sum::<usize>()
    }

    // Reactions.

    fn decode_frame(&self, frame: Message) -> Result<Packet, DecodeError> {
        match frame {
            Message::Text(text) => Packet::decode_text(self.config.revision, text),
            Message::Binary(bytes) => Packet::decode_binary(self.config.revision, bytes),
        }
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) -> Option<Message> {
        match (self.state, packet) {
            (State::Opening, Packet::Open(json)) => match Handshake::decode(&json) {
                Ok(handshake) => self.on_open(now, handshake),
                Err(_) => self.fail(CloseReason::ParseError),
            },
            // Nothing may come before the open packet, and no second one after it.
            (State::Opening, _) | (State::Open, Packet::Open(_)) => {
                self.fail(CloseReason::TransportError);
            }
            (State::Open, packet) => return self.handle_open_packet(now, packet),
            // The application has ended it: what comes is for nobody.
            (State::Closing { .. } | State::Closed, _) => {}
        }
        None
    }

    fn handle_open_packet(&mut self, now: Instant, packet: Packet) -> Option<Message> {
        let heartbeat = self.heartbeat.as_mut()?;
        // Whatever the server sends shows that it lives.
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
        // The client's part of a revision is the server's part of the other.
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

    /// The server's close packet.
    fn on_close(&mut self) {
        self.fail(CloseReason::TransportClose);
    }

    /// Makes the requests that are due.
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

    /// Whether something waits that a POST may carry now.
    #[inline]
    fn can_post(&self) -> bool {
        self.transport == Transport::Polling
            && self.posted.is_none()
            && !self.outbox.is_empty()
            && self.can_request()
            && matches!(self.state, State::Open | State::Closing { .. })
    }

    /// Puts what waits into a POST, as much as the server takes.
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
        self.posted = Some(now);
        self.progress = now;
        self.heard = Heard::Perhaps;
        self.outputs.push(ClientOutput::Post(packets));
    }

    /// Once nothing is under way by polling, the WebSocket takes over: no message is lost, doubled or overtaken.
    fn upgrade_if_paused(&mut self, now: Instant) {
        if self.poll_pending || self.posted.is_some() || self.received.is_some() {
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

    /// Adds a packet behind everything that waits.
    fn push(&mut self, now: Instant, packet: OutPacket, part: Part) {
        match self.gaps.back_mut() {
            Some(last) => last.push(now, packet, part),
            None => self.push_now(now, packet, part),
        }
    }

    /// Adds a packet behind what waits for no gap.
    fn push_now(&mut self, now: Instant, packet: OutPacket, part: Part) {
        // A POST that is not answered is not progress, whatever waits after it.
        if self.outbox.is_empty() && self.posted.is_none() {
            self.progress = now;
        }
        self.outbox.push(now, packet, part);
    }

    /// A WebSocket has an end of its own.
    fn push_close(&mut self, now: Instant) {
        if self.transport == Transport::Polling {
            self.push(now, OutPacket::Close, Part::Owed);
        }
    }

    /// Whether all that may leave now is with the server, or with the system.
    fn has_left(&self) -> bool {
        self.outbox.is_empty() && self.posted.is_none() && !self.unwritten
    }

    /// When the next gap is over, or the server has not answered in time.
    fn gap_deadline(&self) -> Option<Instant> {
        match self.heard {
            _ if self.gaps.is_empty() || !self.has_left() => None,
            Heard::By(at) => Some(at + GAP),
            Heard::Asked { until } => Some(until),
            Heard::Perhaps => None,
        }
    }

    fn upgrade_deadline(&self) -> Option<Instant> {
        let (Upgrade::Probing { until } | Upgrade::Pausing { until }) = self.upgrade?;
        Some(match self.state {
            State::Closing { since } if self.is_drained() => {
                until.min(since.max(self.progress) + LAST_UPGRADE)
            }
            _ => until,
        })
    }

    /// Goes over the gaps whose time is over, and ends a session that is being closed when everything has left.
    fn go_on(&mut self, now: Instant) {
        while !self.gaps.is_empty() && self.has_left() {
            if self.heard == Heard::Perhaps && self.transport == Transport::WebSocket {
                if self.answers_no_ping {
                    self.heard = Heard::By(now);
                } else {
                    let until = now + PONG_TIMEOUT;
                    self.heard = Heard::Asked { until };
                    self.outputs.push(ClientOutput::PingWebSocket);
                }
            }
            if self.gap_deadline().is_some_and(|at| at > now) {
                return;
            }
            self.answers_no_ping |= matches!(self.heard, Heard::Asked { .. });
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

    /// When a POST must have been answered. Servers answer late while their handlers are behind, but as long as they may be
    /// silent otherwise.
    fn post_deadline(&self) -> Option<Instant> {
        let patience = self.heartbeat.as_ref()?.patience();
        self.posted.map(|posted| posted + patience)
    }

    /// When a server that we have not listened to must have given us up.
    fn pause_deadline(&self) -> Option<Instant> {
        let patience = self.heartbeat.as_ref()?.patience();
        self.paused_since.map(|since| since + patience)
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

    /// What has not left is lost.
    fn note_loss(&mut self) {
        self.cut |= if self.parting {
            !self.gaps.is_empty()
        } else {
            !self.is_drained()
        };
        self.outbox.discard();
        self.gaps.clear();
    }

    /// When an orderly end is given up: the time begins again with everything that leaves.
    fn closes_by(&self, since: Instant) -> Instant {
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
