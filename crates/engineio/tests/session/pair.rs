//! A session with a scripted client as its peer, on a virtual clock.
//!
//! [`Pair`] is a driver: after every input it handles all outputs of the session, and it calls `handle_timeout` exactly
//! at the deadline. The invariants of every session, whatever its client does, are asserted here for all tests.

use std::{
    collections::VecDeque,
    io::IoSlice,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kokanee_engineio::{
    CloseReason, Handshake, Message, OutPacket, Outgoing, Output, Overlap, Packet, PayloadDecoder,
    PollPackets, PostResponse, Record, Revision, SendOptions, Session, SessionConfig, Transport,
    UpgradeRefused, encode_payload,
};
use kokanee_websocket::{Decoder, Limits, Message as Frame, Role};

/// The options of a message that may be dropped.
pub(crate) const VOLATILE: SendOptions = SendOptions {
    volatile: true,
    compress: true,
    owed: false,
};

/// The handshake of all sessions here, as it is on the wire.
pub(crate) const OPEN: &str =
    r#"0{"sid":"sockeye","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#;

#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that are independent of each other"
)]
pub(crate) struct Pair {
    pub(crate) session: Session,
    revision: Revision,
    start: Instant,
    now: Instant,
    // The server's side.
    messages: VecDeque<String>,
    paused: bool,
    closed: Option<CloseReason>,
    finished: bool,
    finished_at: Option<Instant>,
    // Messages on their way to the server.
    unread: VecDeque<Message>,
    // The client's side.
    get_pending: bool,
    post_pending: bool,
    bodies: VecDeque<Bytes>,
    post_answers: VecDeque<PostResponse>,
    /// Responses do not reach the client, and the server notices at once.
    lose_answers: bool,
    /// The last response does not reach the client, and the server has not noticed yet.
    pub(crate) delay_loss: bool,
    held: Option<PollPackets>,
    probe: Option<VecDeque<String>>,
    /// What the session was asked to record.
    pub(crate) records: Vec<Record>,
    /// Bytes that the client reads from a WebSocket after an upgrade.
    pub(crate) first_window: usize,
    websocket: Option<Box<ClientSocket>>,
    received: Vec<Message>,
}

/// The client's end of the WebSocket that carries the session.
struct ClientSocket {
    /// Bytes that the client still reads.
    window: usize,
    decoder: Decoder,
    frames: VecDeque<String>,
    closed: bool,
}

impl ClientSocket {
    fn new(window: usize) -> Self {
        Self {
            window,
            decoder: Decoder::new(Role::Client, Limits::default()),
            frames: VecDeque::new(),
            closed: false,
        }
    }
}

impl Pair {
    /// A revision 4 session whose polling handshake is done.
    pub(crate) fn polling() -> Self {
        Self::new(Revision::V4, Transport::Polling, SessionConfig::default())
    }

    /// A revision 4 session whose WebSocket handshake is done.
    pub(crate) fn websocket() -> Self {
        Self::new(Revision::V4, Transport::WebSocket, SessionConfig::default())
    }

    /// A session whose client has received the handshake.
    pub(crate) fn new(revision: Revision, transport: Transport, config: SessionConfig) -> Self {
        let mut pair = Self::opening(revision, transport, config, false);
        match transport {
            Transport::Polling => {
                pair.client_polls();
                let body = pair.poll_body().unwrap();
                assert!(body.ends_with(OPEN), "{body}");
            }
            Transport::WebSocket => assert_eq!(pair.frames(), [OPEN]),
        }
        pair
    }

    /// A session whose open packet is queued for the first request.
    pub(crate) fn opening(
        revision: Revision,
        transport: Transport,
        config: SessionConfig,
        base64: bool,
    ) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual clock starts somewhere")]
        let start = Instant::now();
        let handshake = Handshake {
            sid: "sockeye".into(),
            upgrades: Vec::new(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: None,
        };
        let mut session = Session::new(Arc::new(config), revision, transport, base64, start);
        session.open(start, OutPacket::open(&handshake));
        let mut pair = Self {
            session,
            revision,
            start,
            now: start,
            messages: VecDeque::new(),
            paused: false,
            closed: None,
            finished: false,
            finished_at: None,
            unread: VecDeque::new(),
            get_pending: false,
            post_pending: false,
            bodies: VecDeque::new(),
            post_answers: VecDeque::new(),
            lose_answers: false,
            delay_loss: false,
            held: None,
            probe: None,
            records: Vec::new(),
            first_window: usize::MAX,
            websocket: (transport == Transport::WebSocket)
                .then(|| Box::new(ClientSocket::new(usize::MAX))),
            received: Vec::new(),
        };
        pair.turn();
        pair
    }

    // The client.

    pub(crate) fn client_polls(&mut self) {
        self.try_poll().unwrap();
    }

    pub(crate) fn try_poll(&mut self) -> Result<(), Overlap> {
        let polled = self.session.handle_poll(self.now);
        if polled.is_ok() {
            self.get_pending = !self.finished;
        }
        self.turn();
        polled
    }

    pub(crate) fn client_aborts_poll(&mut self) {
        self.get_pending = false;
        self.session.handle_poll_aborted(self.now);
        self.turn();
    }

    /// Sets whether responses to GETs are lost from now on.
    pub(crate) fn client_loses_answers(&mut self, lose: bool) {
        self.lose_answers = lose;
    }

    /// The server notices the loss of the response that `delay_loss` discarded.
    pub(crate) fn server_notices_loss(&mut self) {
        let packets = self.held.take().unwrap();
        self.session.handle_poll_undelivered(self.now, packets);
        self.turn();
    }

    /// Sends a POST and returns its response, unless the server has stopped reading.
    pub(crate) fn client_posts(&mut self, body: impl Into<Bytes>) -> Option<PostResponse> {
        self.try_post(body, false).unwrap();
        self.post_answer()
    }

    pub(crate) fn try_post(
        &mut self,
        body: impl Into<Bytes>,
        binary_form: bool,
    ) -> Result<(), Overlap> {
        let posted = self.session.handle_post(body.into(), binary_form);
        if posted.is_ok() {
            self.post_pending = !self.finished;
        }
        self.turn();
        posted
    }

    pub(crate) fn post_answer(&mut self) -> Option<PostResponse> {
        self.post_answers.pop_front()
    }

    pub(crate) fn client_sends_frame(&mut self, text: &str) {
        self.client_sends(Message::Text(text.into()));
    }

    pub(crate) fn client_sends(&mut self, frame: Message) {
        self.unread.push_back(frame);
        self.turn();
    }

    pub(crate) fn probe_opens(&mut self) -> Result<(), UpgradeRefused> {
        let opened = self.session.handle_probe_opened(self.now);
        if opened.is_ok() {
            assert!(self.probe.is_none(), "two probes at a time");
            self.probe = Some(VecDeque::new());
        }
        self.turn();
        opened
    }

    pub(crate) fn probe_sends(&mut self, text: &str) {
        self.probe_sends_frame(Message::Text(text.into()));
    }

    pub(crate) fn probe_sends_frame(&mut self, frame: Message) {
        self.session.handle_probe_frame(self.now, frame);
        self.turn();
    }

    pub(crate) fn probe_closes(&mut self) {
        self.probe = None;
        self.session.handle_probe_closed();
        self.turn();
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// The frames that the client received on the probing WebSocket.
    pub(crate) fn probe_frames(&mut self) -> Vec<String> {
        self.probe.as_mut().unwrap().drain(..).collect()
    }

    pub(crate) fn client_upgrades(&mut self) {
        self.probe_opens().unwrap();
        self.probe_sends("2probe");
        assert_eq!(self.probe_frames(), ["3probe"]);
        self.probe_sends("5");
        assert_eq!(self.session.transport(), Transport::WebSocket);
    }

    /// Sets how many more bytes the client reads from its WebSocket.
    pub(crate) fn client_takes(&mut self, bytes: usize) {
        self.websocket.as_mut().unwrap().window = bytes;
        self.turn();
    }

    /// The body of the oldest answered GET.
    pub(crate) fn poll_body(&mut self) -> Option<String> {
        let body = self.poll_bytes()?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) fn poll_bytes(&mut self) -> Option<Bytes> {
        self.bodies.pop_front()
    }

    /// The frames received on the client's WebSocket; binary ones as hexadecimal numbers.
    pub(crate) fn frames(&mut self) -> Vec<String> {
        self.websocket.as_mut().unwrap().frames.drain(..).collect()
    }

    pub(crate) fn is_websocket_closed(&self) -> bool {
        self.websocket.as_ref().unwrap().closed
    }

    /// All messages that the client has received, in order, by either transport.
    pub(crate) fn received(&self) -> &[Message] {
        &self.received
    }

    // The server.

    pub(crate) fn server_sends(&mut self, text: &str) {
        assert!(self.server_tries_to_send(text, SendOptions::default()));
    }

    pub(crate) fn server_tries_to_send(&mut self, text: &str, options: SendOptions) -> bool {
        self.server_sends_all(&[Outgoing::text(text)], options)
    }

    /// Sends a message with its attachments.
    pub(crate) fn server_sends_all(&mut self, messages: &[Outgoing], options: SendOptions) -> bool {
        let sent = self
            .session
            .send(self.now, &messages[0], &messages[1..], options);
        self.turn();
        sent
    }

    /// Sends several messages within one turn.
    pub(crate) fn server_sends_at_once<'a>(&mut self, messages: impl IntoIterator<Item = &'a str>) {
        for message in messages {
            let message = Outgoing::text(message);
            self.session
                .send(self.now, &message, &[], SendOptions::default());
        }
        self.turn();
    }

    pub(crate) fn server_closes(&mut self) {
        self.session.close(self.now, CloseReason::ForcedClose);
        self.turn();
    }

    pub(crate) fn transport_closes(&mut self, reason: CloseReason) {
        self.session.handle_transport_closed(reason);
        self.turn();
    }

    pub(crate) fn server_pauses_reading(&mut self, paused: bool) {
        self.paused = paused;
        self.session.set_reading_paused(self.now, paused);
        self.turn();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// The messages that the server received; binary ones as hexadecimal numbers.
    pub(crate) fn server_messages(&mut self) -> Vec<String> {
        self.messages.drain(..).collect()
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn is_get_pending(&self) -> bool {
        self.get_pending
    }

    pub(crate) fn is_post_pending(&self) -> bool {
        self.post_pending
    }

    // Time.

    /// Advances the clock. Timers fire in between, each at its time.
    pub(crate) fn advance(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(deadline) = self.session.deadline().filter(|&at| at <= end) {
            assert!(deadline >= self.now, "a deadline was missed");
            self.now = deadline;
            self.fire();
        }
        self.now = end;
    }

    /// Advances the clock like a suspended process: all timers fire late and at once.
    pub(crate) fn oversleep(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        if self.session.deadline().is_some_and(|at| at <= self.now) {
            self.fire();
        }
    }

    /// Calls the timer although nothing is due.
    pub(crate) fn fire_early(&mut self) {
        let deadline = self.session.deadline();
        self.session.handle_timeout(self.now);
        assert_eq!(self.session.poll_output(), None, "nothing was due");
        assert_eq!(self.session.deadline(), deadline);
    }

    fn fire(&mut self) {
        self.session.handle_timeout(self.now);
        self.turn();
        let deadline = self.session.deadline();
        assert!(
            deadline.is_none_or(|next| next > self.now),
            "the timer fires again at once"
        );
    }

    /// Milliseconds from the beginning until the session was finished.
    pub(crate) fn finished_at(&self) -> Option<u128> {
        Some((self.finished_at? - self.start).as_millis())
    }

    /// Milliseconds from the beginning until now.
    pub(crate) fn elapsed(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    // The driver.

    /// Handles all outputs and messages.
    fn turn(&mut self) {
        loop {
            let read = self.read();
            self.session.flush(self.now);
            let mut did = read;
            while let Some(output) = self.session.poll_output() {
                self.handle_output(output);
                did = true;
            }
            did |= self.write();
            if !did {
                break;
            }
        }
        assert_eq!(self.session.deadline().is_none(), self.finished);
        assert_eq!(self.session.is_open(), self.closed.is_none());
    }

    /// A POST is read to its end before the next frame.
    fn read(&mut self) -> bool {
        if self.paused {
            return false;
        }
        let mut read = false;
        while let Some(message) = self.session.poll_message(self.now) {
            self.deliver(&message);
            read = true;
        }
        if self.session.transport() == Transport::WebSocket
            && let Some(frame) = self.unread.pop_front()
        {
            if let Some(message) = self.session.handle_frame(self.now, frame) {
                self.deliver(&message);
            }
            read = true;
        }
        read
    }

    fn deliver(&mut self, message: &Message) {
        assert_eq!(self.closed, None, "a message after the end");
        self.messages.push_back(show(message));
    }

    fn handle_output(&mut self, output: Output) {
        assert!(!self.finished, "{output:?} after the last output");
        match output {
            Output::PollResponse { packets, .. } => {
                assert!(self.get_pending, "{packets:?} without a GET");
                self.get_pending = false;
                self.receive_body(packets);
            }
            Output::PostResponse(response) => {
                assert!(self.post_pending, "{response:?} without a POST");
                self.post_pending = false;
                self.post_answers.push_back(response);
            }
            Output::ProbePacket(packet) => {
                let text = packet.packet_text(self.revision).to_vec();
                let probe = self.probe.as_mut().unwrap();
                probe.push_back(String::from_utf8(text).unwrap());
            }
            Output::CloseProbe => assert!(self.probe.take().is_some(), "no probe to close"),
            Output::Upgraded => {
                assert!(self.probe.take().is_some(), "no probe to upgrade to");
                assert!(!self.get_pending, "the GET was forgotten");
                self.websocket = Some(Box::new(ClientSocket::new(self.first_window)));
            }
            Output::Closed(reason) => {
                assert_eq!(self.closed, None, "closed again: {reason}");
                self.closed = Some(reason);
            }
            Output::CloseWebSocket => {
                let websocket = self.websocket.as_mut().unwrap();
                assert!(!websocket.closed, "the WebSocket is closed twice");
                websocket.closed = true;
            }
            Output::Record(record) => self.records.push(*record),
            Output::Finished => {
                assert!(self.closed.is_some(), "finished, but not closed");
                assert!(!self.get_pending, "a GET was forgotten");
                assert!(!self.post_pending, "a POST was forgotten");
                assert!(self.probe.is_none(), "the probe was not closed");
                self.finished = true;
                self.finished_at = Some(self.now);
            }
        }
    }

    fn receive_body(&mut self, packets: PollPackets) {
        if self.lose_answers {
            self.session.handle_poll_undelivered(self.now, packets);
            return;
        }
        if self.delay_loss {
            self.held = Some(packets);
            return;
        }
        let body = encode_payload(self.revision, &packets, !self.session.is_base64());
        for packet in PayloadDecoder::new(self.revision, body.bytes.clone(), body.binary) {
            if let Packet::Message(message) = packet.unwrap() {
                self.received.push(message);
            }
        }
        self.bodies.push_back(body.bytes);
    }

    /// Moves frames to the client, as far as it reads.
    fn write(&mut self) -> bool {
        let Some(websocket) = &mut self.websocket else {
            return false;
        };
        let mut slices = [IoSlice::new(&[]); 4];
        let used = self.session.frames(&mut slices);
        let mut bytes: Vec<u8> = slices[..used]
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        bytes.truncate(websocket.window);
        if bytes.is_empty() {
            return false;
        }
        if websocket.window != usize::MAX {
            websocket.window -= bytes.len();
        }
        self.session.advance(self.now, bytes.len());
        let mut input = bytes.as_mut_slice();
        while let Some(frame) = websocket.decoder.decode(&mut input).unwrap() {
            let (frame, packet) = match frame {
                Frame::Text(text) => (
                    text.to_owned(),
                    Packet::decode_text(self.revision, text.into()),
                ),
                Frame::Binary(bytes) => (
                    hex(bytes),
                    Packet::decode_binary(self.revision, Bytes::copy_from_slice(bytes)),
                ),
                other => panic!("the session writes {other:?}"),
            };
            websocket.frames.push_back(frame);
            if let Packet::Message(message) = packet.unwrap() {
                self.received.push(message);
            }
        }
        true
    }
}

/// A message as the tests write it.
pub(crate) fn show(message: &Message) -> String {
    match message {
        Message::Text(text) => text.to_string(),
        Message::Binary(bytes) => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}
