//! What moves a session's bytes: its Engine.IO [`Session`], its WebSocket, the WebSocket that probes for an upgrade, and the HTTP
//! requests that wait for a response.
//!
//! The [`Session`] decides what is sent and when a transport ends; this reads and writes, and does what the session's
//! [`Output`]s say.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use kokanee_engineio::{
    CloseReason, Message, Output, PollPackets, PostResponse, Record, Session, Transport,
};
use kokanee_io::{Frames, READ_BYTES, ReadEnd, Rest, WebSocketIo};
use kokanee_websocket::{CloseCode, CloseFrame};
use tokio::sync::oneshot;

use super::budget::Budget;
use crate::{
    clock,
    inner::ServerInner,
    mailbox::{HeldPoll, Mailbox, PollReply, PostReply},
    metrics::{Meter, PacketCount, Traffic, Upgrade},
    stage::{Written, write_only_run},
};

pub(super) struct Wire {
    pub(super) server: Arc<ServerInner>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) session: Session,
    pub(super) websocket: Option<Box<WebSocketIo>>,
    /// A WebSocket that wants to take over.
    pub(super) probe: Option<Box<WebSocketIo>>,
    requests: Option<Box<Requests>>,
    /// Says that the WebSocket can be read; see [`Mailbox`].
    read_waker: Waker,
    /// Bytes that wait for the client, as far as the server's total knows of them.
    counted_bytes: usize,
    pub(super) phase: Phase,
    /// A POST or a WebSocket for an upgrade has come that was not looked at.
    pub(super) unread: bool,
    /// What the WebSocket's close frame says, if not nothing.
    pub(super) close_code: Option<CloseCode>,
    pub(super) meter: Meter,
}

/// HTTP requests that wait for their response.
#[derive(Default)]
struct Requests {
    poll: Option<oneshot::Sender<PollReply>>,
    post: Option<oneshot::Sender<(PostReply, Option<HeldPoll>)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The session has ended for the application; its transport is being closed until then.
    Closing {
        until: Instant,
    },
    Done,
}

/// How reading a WebSocket has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing is left to be read now.
    Done,
    /// There may be more.
    Stopped,
    /// The client has sent a message that is larger than the limit.
    TooLarge,
}

impl Wire {
    pub(super) fn new(
        server: Arc<ServerInner>,
        mailbox: Arc<Mailbox>,
        session: Session,
        websocket: Option<WebSocketIo>,
    ) -> Self {
        let read_waker = Waker::from(Arc::clone(&mailbox));
        let meter = server.sessions.metrics.open(session.transport());
        Self {
            server,
            mailbox,
            session,
            websocket: websocket.map(Box::new),
            probe: None,
            requests: None,
            read_waker,
            counted_bytes: 0,
            phase: Phase::Open,
            unread: false,
            close_code: None,
            meter,
        }
    }

    // Requests.

    /// Takes a GET.
    pub(super) fn handle_poll(&mut self, now: Instant, reply: oneshot::Sender<PollReply>) {
        if self.session.handle_poll(now).is_ok() {
            self.requests.get_or_insert_default().poll = Some(reply);
        } else {
            let _ = reply.send(PollReply::Overlap);
        }
    }

    /// Forgets a GET that the client has given up. It may have been answered, and another one come, since then.
    pub(super) fn forget_aborted_poll(&mut self, now: Instant) {
        if let Some(requests) = &mut self.requests
            && let Some(reply) = &requests.poll
            && reply.is_closed()
        {
            requests.poll = None;
            self.session.handle_poll_aborted(now);
        }
    }

    /// Takes the body of a POST.
    pub(super) fn handle_post(
        &mut self,
        body: Bytes,
        binary_form: bool,
        reply: oneshot::Sender<(PostReply, Option<HeldPoll>)>,
    ) {
        self.unread = true;
        self.meter
            .received(Transport::Polling, || Traffic::bytes(body.len()));
        if self.session.handle_post(body, binary_form).is_ok() {
            self.requests.get_or_insert_default().post = Some(reply);
        } else {
            let _ = reply.send((PostReply::Overlap, None));
        }
    }

    /// Takes a WebSocket that wants to take over the session.
    pub(super) fn handle_upgrade(&mut self, now: Instant, mut websocket: Box<WebSocketIo>) {
        if self.session.handle_probe_opened(now).is_ok() {
            self.unread = true;
            self.probe = Some(websocket);
        } else {
            self.meter.upgrade(Upgrade::Failed);
            // The JavaScript server accepts such a WebSocket and closes it at once.
            websocket.start_close(None);
            spawn_close(&self.server, *websocket);
        }
    }

    // Time.

    /// When the rest of a message must have come.
    pub(super) fn message_deadline(&self) -> Option<Instant> {
        Some(self.websocket.as_ref()?.message_since()? + self.server.limits.message_timeout)
    }

    /// Ends the session if the rest of a message has not come in time.
    pub(super) fn check_message_deadline(&mut self, now: Instant) {
        if self.message_deadline().is_some_and(|at| at <= now) {
            if let Some(websocket) = &mut self.websocket {
                websocket.start_close(Some(CloseCode::POLICY_VIOLATION.into()));
            }
            self.session.fail(CloseReason::TransportError);
        }
    }

    /// A peer that takes nothing for too long is slow, if the kernel cannot say that it has acknowledged something. From then on
    /// the kernel decides, until all that waits has left.
    pub(super) fn watch_writes(&mut self, now: Instant) {
        if let Some(websocket) = &mut self.websocket
            && self.session.is_write_overdue(now)
        {
            websocket.watch_peer(Some(self.server.limits.write_timeout));
            self.session
                .set_progress_watched(websocket.is_peer_watched());
        }
    }

    // Reading.

    /// Whether there is a WebSocket to read.
    #[inline]
    pub(super) fn can_read(&self) -> bool {
        self.websocket.is_some() && self.phase == Phase::Open && self.session.is_open()
    }

    /// Reads the WebSocket and hands its messages to `f`, until that returns `false`, the budget is spent, or nothing is left.
    pub(super) fn read_websocket(
        &mut self,
        now: Instant,
        budget: &mut Budget,
        mut f: impl FnMut(Message) -> bool,
    ) -> Reading {
        let Some(websocket) = &mut self.websocket else {
            return Reading::Done;
        };
        let session = &mut self.session;
        let mut cx = Context::from_waker(&self.read_waker);
        let mut goes_on = true;
        while goes_on && !budget.is_spent() && session.is_open() {
            let read = websocket.poll_read(&mut cx, now, |_, frame| {
                budget.take_message();
                if let Some(message) = session.handle_frame(now, frame)
                    && !f(message)
                {
                    goes_on = false;
                    return false;
                }
                !budget.is_spent() && session.is_open()
            });
            // What `f` has left is not read yet.
            if goes_on && read == Poll::Ready(Rest::Perhaps) {
                budget.take_bytes(READ_BYTES);
            }
            match websocket.read_end() {
                Some(ReadEnd::Closed) => {
                    session.handle_transport_closed(CloseReason::TransportClose);
                }
                Some(ReadEnd::Failed) => {
                    session.handle_transport_closed(CloseReason::TransportError);
                }
                Some(ReadEnd::TooLarge) => {
                    let was_open = session.is_open();
                    session.handle_transport_closed(CloseReason::TransportError);
                    if was_open {
                        self.mailbox.set_readable();
                        return Reading::TooLarge;
                    }
                }
                Some(ReadEnd::TimedOut) => {
                    session.handle_transport_closed(CloseReason::SlowConsumer);
                }
                None if read != Poll::Ready(Rest::Perhaps) => return Reading::Done,
                None => {}
            }
        }
        self.mailbox.set_readable();
        Reading::Stopped
    }

    /// Reads the WebSocket that probes. Returns why the session has ended, if it has.
    #[cold]
    pub(super) fn read_probe(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<CloseReason> {
        let Self { probe, session, .. } = self;
        let probe = probe.as_mut()?;
        let (mut upgraded, mut refused) = (false, false);
        let mut others = Vec::new();
        while !upgraded && !refused && probe.read_end().is_none() {
            let read = probe.poll_read(cx, now, |probe, frame| {
                session.handle_probe_frame(now, frame);
                while let Some(output) = session.poll_output() {
                    match output {
                        Output::ProbePacket(packet) => {
                            probe.send_now(packet.websocket_slice(session.revision(), false));
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
                        other => others.push(other),
                    }
                }
                // What comes after the upgrade packet is read as the session's.
                !upgraded && !refused
            });
            if read.is_pending() {
                break;
            }
        }
        let has_ended = probe.read_end().is_some();
        let mut ended = None;
        for output in others {
            if let Some(reason) = self.handle_output(now, output) {
                ended = Some(reason);
            }
        }
        if upgraded {
            tracing::debug!("upgraded to websocket");
            self.meter.upgrade(Upgrade::Completed);
            self.websocket = self.probe.take();
            self.mailbox.set_transport(Transport::WebSocket);
            self.mailbox.set_readable();
        } else if refused || has_ended {
            self.session.handle_probe_closed();
            self.meter.upgrade(Upgrade::Failed);
            if let Some(probe) = self.probe.take() {
                spawn_close(&self.server, *probe);
            }
        }
        ended
    }

    /// Counts the messages that were read, and the bytes.
    #[inline]
    pub(super) fn count_read(&mut self, packets: PacketCount) {
        if let Some(websocket) = &mut self.websocket {
            self.meter.received(Transport::WebSocket, || Traffic {
                packets: packets.get(),
                bytes: websocket.take_read_bytes(),
            });
        }
    }

    // Outputs.

    /// Does what the session asks for. Returns why it has ended for the application, if it has.
    pub(super) fn take_outputs(&mut self, now: Instant) -> Option<CloseReason> {
        self.session.flush(now);
        let (mut posted, mut poll_after, mut ended) = (None, None, None);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::PostResponse(response) => posted = Some(response),
                // What a POST has caused does not overtake its response.
                Output::PollResponse { packets, compress } if posted.is_some() => {
                    poll_after = self.poll_response(now, packets, compress);
                }
                other => {
                    if let Some(reason) = self.handle_output(now, other) {
                        ended = Some(reason);
                    }
                }
            }
        }
        if let Some(response) = posted {
            self.respond_to_post(response, poll_after);
        }
        ended
    }

    fn handle_output(&mut self, now: Instant, output: Output) -> Option<CloseReason> {
        match output {
            Output::PollResponse { packets, compress } => {
                drop(self.poll_response(now, packets, compress));
            }
            Output::PostResponse(response) => self.respond_to_post(response, None),
            Output::CloseProbe => {
                if let Some(mut probe) = self.probe.take() {
                    self.meter.upgrade(Upgrade::Failed);
                    probe.start_close(None);
                    spawn_close(&self.server, *probe);
                }
            }
            Output::Closed(reason) => {
                self.on_closed(now, reason);
                return Some(reason);
            }
            Output::CloseWebSocket => {
                if let Some(websocket) = &mut self.websocket {
                    websocket.start_close(self.close_code.map(CloseFrame::from));
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
            Output::Record(record) => self.log(*record),
            // Only while a probe is being read, and handled there.
            Output::ProbePacket(_) | Output::Upgraded => {}
        }
        None
    }

    #[cold]
    fn log(&self, record: Record) {
        if let Some(log) = &self.server.packet_log {
            log(&self.mailbox.head.extensions, record);
        }
    }

    /// The response to the pending GET, sent when it is dropped.
    fn poll_response(
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

    fn respond_to_post(&mut self, response: PostResponse, poll_after: Option<HeldPoll>) {
        let waiting = self.requests.as_mut();
        if let Some(reply) = waiting.and_then(|requests| requests.post.take()) {
            let response = match response {
                PostResponse::Ok => PostReply::Ok,
                PostResponse::BadRequest => PostReply::BadRequest,
            };
            // If the client has given up its POST, the response to the GET is sent here.
            let _ = reply.send((response, poll_after));
        }
    }

    fn on_closed(&mut self, now: Instant, reason: CloseReason) {
        tracing::debug!(%reason, "session closed");
        self.meter.closed(reason);
        self.close_code = match reason {
            CloseReason::SlowConsumer => Some(CloseCode::POLICY_VIOLATION),
            CloseReason::ServerShuttingDown => Some(CloseCode::GOING_AWAY),
            _ => self.close_code,
        };
        let has_poll = self.requests.as_ref().is_some_and(|it| it.poll.is_some());
        if reason == CloseReason::TransportClose && self.websocket.is_none() && !has_poll {
            self.server.sessions.note_left(self.mailbox.sid, now);
        }
    }

    // Writing.

    /// Writes what the session's own handlers have sent in this turn, if nothing is in front of it: past the session's
    /// queue.
    pub(super) fn write_staged(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some(websocket) = &mut self.websocket else {
            return;
        };
        if !websocket.is_idle() || !self.session.is_drained() || !self.session.is_open() {
            return;
        }
        let mut bytes = 0;
        let write = |frames: &[u8]| {
            bytes = write_frame(websocket, cx, frames);
            bytes
        };
        match write_only_run(write) {
            Written::Nothing => {}
            Written::All(packets) => {
                self.meter
                    .sent(Transport::WebSocket, || Traffic { packets, bytes });
                self.session.note_written();
            }
            Written::Part(run, written) => {
                self.meter.sent(Transport::WebSocket, || Traffic {
                    packets: run.packets(),
                    bytes: written,
                });
                self.session.send_run(now, run);
                self.session.advance(now, written);
            }
        }
    }

    /// Writes what waits, to the WebSocket and to the one that probes.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        let has_nothing = |websocket: &WebSocketIo, session: &Session, phase| {
            phase == Phase::Open && websocket.is_idle() && session.is_drained()
        };
        if let Some(websocket) = &mut self.websocket
            && !has_nothing(websocket, &self.session, self.phase)
        {
            let mut session = Counted::new(&mut self.session);
            let written = websocket.poll_write(cx, now, Some(&mut session));
            session.publish(&self.meter);
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
            self.meter.upgrade(Upgrade::Failed);
            self.session.handle_probe_closed();
        }
    }

    /// Says what waits for the client. If the whole server holds too much, a client for which more waits than its share is
    /// treated as one that has reached its own limit.
    #[inline]
    pub(super) fn publish_outbound(&mut self) {
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
}

/// A session of which the written bytes are counted.
pub(super) struct Counted<'a> {
    session: &'a mut Session,
    bytes: usize,
}

impl<'a> Counted<'a> {
    pub(super) fn new(session: &'a mut Session) -> Self {
        Self { session, bytes: 0 }
    }

    #[inline]
    pub(super) fn publish(self, meter: &Meter) {
        if self.bytes > 0 {
            meter.sent(Transport::WebSocket, || Traffic::bytes(self.bytes));
        }
    }
}

impl Frames for Counted<'_> {
    #[inline]
    fn is_mid_frame(&self) -> bool {
        self.session.is_mid_frame()
    }

    #[inline]
    fn is_drained(&self) -> bool {
        Frames::is_drained(self.session)
    }

    #[inline]
    fn only_frame(&self) -> Option<&[u8]> {
        self.session.only_frame()
    }

    #[inline]
    fn frames<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.session.frames(slices)
    }

    #[inline]
    fn advance(&mut self, now: Instant, count: usize) {
        self.bytes += count;
        self.session.advance(now, count);
    }
}

/// However the task ends, nobody waits for it any more.
impl Drop for Wire {
    fn drop(&mut self) {
        self.count_bytes(0);
        self.server.forget(&self.mailbox);
        self.mailbox.close();
    }
}

/// Writes a frame past the session's queue. Returns how many bytes of it were taken.
pub(super) fn write_frame(
    websocket: &mut WebSocketIo,
    cx: &mut Context<'_>,
    frame: &[u8],
) -> usize {
    match websocket.poll_write_frame(cx, frame) {
        Poll::Ready(Ok(written)) => written,
        // A stream that has failed fails again.
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

/// Writes the close frame of a WebSocket that carries no session, and waits for the peer's end.
async fn close_websocket(mut websocket: WebSocketIo) {
    let now = clock::now();
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
