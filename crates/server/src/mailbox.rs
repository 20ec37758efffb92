//! How the rest of the program reaches the task that owns a session: a queue of commands, and what every thread may read.
//!
//! Packets have four ways in. What the session's own handlers send in a turn of its task is staged on that thread
//! ([`stage`]), if nothing waits that must be sent before it; everything else is queued, under a lock:
//!
//! ```text
//! a handler of this session,            any other code
//!    in a turn of its task                    │
//!      │             │                        │
//!      │ event       │ packet                 │ packet
//!      ▼             ▼                        ▼
//! stage_or_encode   emit, try_emit ─────────────────────────▶ queue_packet
//!      │             │           │      no room in the stage,     │
//!      │             │           │      or commands wait          │
//!      ▼             ▼           ▼                                ▼
//!   stage: its run of frames   stage: its packets          queue of commands
//!      │                         │                                │
//!   1. write_staged          2. send_staged                3. take_commands, or deliver
//! ```
//!
//! The three ways out at the bottom are the [`Driver`](crate::driver::Driver)'s: one write past the session's outbox; into
//! the outbox; and the queue, also into the outbox, or past it if one packet is all that there is to do (`deliver`).
//!
//! The bytes that wait here, in the session, and in answers to GETs that have not left the process are counted together
//! against `max_outbound_bytes`; the policy for slow clients applies to what is queued here, as it does in the session.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake},
};

use bytes::Bytes;
use kokanee_engineio::{
    CloseReason, FrameRun, OVERHEAD_BYTES, Overflow, PollPackets, Revision, RunText, SendOptions,
    Sid, Transport,
};
use kokanee_io::{CommandQueue, Commands, Gone, WebSocketIo};
use kokanee_socketio::{Attachments, EncodedPacket};
use tokio::sync::oneshot;

use crate::{
    limits::Limits,
    metrics::Metrics,
    request_head::RequestHead,
    socket_id::SocketId,
    stage::{self, MAX_STAGED_BYTES},
};

/// What a session's task can be asked for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a packet.
    Emit {
        packet: EncodedPacket,
        options: SendOptions,
    },
    /// A GET came.
    Poll { reply: oneshot::Sender<PollReply> },
    /// A pending GET was given up.
    PollAborted,
    /// The answer of a GET was not delivered.
    PollUndelivered { packets: PollPackets },
    /// The body of a POST came.
    Post {
        body: Bytes,
        binary_form: bool,
        reply: oneshot::Sender<(PostReply, Option<HeldPoll>)>,
    },
    /// A WebSocket asks to take over the session.
    Upgrade { websocket: Box<WebSocketIo> },
    /// The body of a POST is larger than the limit.
    TooLarge,
    /// A request was broken so that the session cannot go on.
    Fail { reason: CloseReason },
    /// The application closes the connection: `None` when a socket asked for it, else because the server ends.
    Close { reason: Option<CloseReason> },
    /// The server disconnects a socket from its namespace: the client gets a DISCONNECT.
    Disconnect { socket: SocketId },
    /// A sender found the queue full.
    Overflow,
}

/// The answer to a GET.
#[derive(Debug)]
pub(crate) enum PollReply {
    /// A payload.
    Packets {
        packets: PollPackets,
        revision: Revision,
        base64: bool,
        compress: bool,
    },
    /// Another GET was pending.
    Overlap,
}

/// The answer to a POST.
#[derive(Debug)]
pub(crate) enum PostReply {
    Ok,
    BadRequest,
    Overlap,
}

/// The answer to a GET that goes with the answer to a POST, and leaves when that one does: some clients take it badly if
/// what their POST has caused overtakes its `ok`. It is given when this is dropped.
#[derive(Debug)]
pub(crate) struct HeldPoll {
    reply: Option<(oneshot::Sender<PollReply>, PollReply)>,
    mailbox: Arc<Mailbox>,
}

impl HeldPoll {
    pub(crate) fn new(
        reply: oneshot::Sender<PollReply>,
        answer: PollReply,
        mailbox: &Arc<Mailbox>,
    ) -> Self {
        Self {
            reply: Some((reply, answer)),
            mailbox: Arc::clone(mailbox),
        }
    }
}

impl Drop for HeldPoll {
    fn drop(&mut self) {
        let Some((reply, answer)) = self.reply.take() else {
            return;
        };
        if let Err(PollReply::Packets { packets, .. }) = reply.send(answer) {
            // The client gave up in this moment. A session that has ended does not mind.
            let _ = self.mailbox.send(Command::PollUndelivered { packets });
        }
    }
}

/// One session, as everybody but its task sees it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) sid: Sid,
    pub(crate) revision: Revision,
    pub(crate) head: RequestHead,
    pub(crate) address: Option<SocketAddr>,
    /// Bytes that wait in the session itself.
    outbound: AtomicUsize,
    /// Bytes of answers to GETs that were given and have not left the process, and their number.
    in_flight: AtomicUsize,
    answers_in_flight: AtomicUsize,
    /// Bytes of the packets that wait here.
    queued: AtomicUsize,
    /// Messages that the policy for slow clients has dropped: by the session, and here.
    dropped: AtomicU64,
    dropped_here: AtomicU64,
    /// The log says that messages are dropped.
    says_dropped: AtomicBool,
    transport: AtomicU8,
    /// A POST's body is being received.
    pub(crate) posting: AtomicBool,
    /// [`Command::Overflow`] is queued. Changed under the lock of the commands.
    overflow: AtomicBool,
    /// The WebSocket may have something to read.
    readable: AtomicBool,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    commands: CommandQueue<Command>,
}

/// The policy for slow clients decides about a packet for which there is no room. Known at compile time.
const BY_POLICY: bool = false;
/// A packet for which there is no room is returned, and the sender waits.
const RETURNED: bool = true;

fn transport_code(transport: Transport) -> u8 {
    match transport {
        Transport::Polling => 0,
        Transport::WebSocket => 1,
    }
}

/// As the waker of the WebSocket's reader: a turn that something else has caused does not try to read.
impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set_readable();
        self.commands.wake_task();
    }
}

impl Mailbox {
    pub(crate) fn new(
        sid: Sid,
        revision: Revision,
        transport: Transport,
        head: RequestHead,
        address: Option<SocketAddr>,
        limits: Arc<Limits>,
        metrics: Metrics,
    ) -> Self {
        Self {
            sid,
            revision,
            head,
            address,
            outbound: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            answers_in_flight: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            dropped_here: AtomicU64::new(0),
            says_dropped: AtomicBool::new(false),
            transport: AtomicU8::new(transport_code(transport)),
            posting: AtomicBool::new(false),
            overflow: AtomicBool::new(false),
            readable: AtomicBool::new(true),
            limits,
            metrics,
            // The task is started right after this, and looks here first.
            commands: CommandQueue::default(),
        }
    }

    /// What the [stage] knows this mailbox by.
    #[inline]
    pub(crate) fn address_in_memory(&self) -> NonZeroUsize {
        NonNull::from(self).addr()
    }

    pub(crate) fn transport(&self) -> Transport {
        if self.transport.load(Ordering::Relaxed) == 0 {
            Transport::Polling
        } else {
            Transport::WebSocket
        }
    }

    pub(crate) fn set_transport(&self, transport: Transport) {
        self.transport
            .store(transport_code(transport), Ordering::Relaxed);
    }

    /// Sends a command to the session's task.
    pub(crate) fn send(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command)
    }

    /// Bytes that wait for the client.
    #[inline]
    fn waiting_bytes(&self) -> usize {
        self.staged_bytes().unwrap_or(0) + self.handed_over_bytes()
    }

    /// Bytes that are staged, if this session's task runs on this thread.
    #[inline]
    fn staged_bytes(&self) -> Option<usize> {
        stage::is_running(self.address_in_memory()).then(stage::staged_bytes)
    }

    /// Whether this session's task runs on this thread: it does in the handlers of its client.
    pub(crate) fn is_running_here(&self) -> bool {
        self.staged_bytes().is_some()
    }

    /// Bytes that every thread knows of.
    fn handed_over_bytes(&self) -> usize {
        self.outbound.load(Ordering::Relaxed)
            + self.in_flight.load(Ordering::Relaxed)
            + self.queued.load(Ordering::Relaxed)
    }

    /// Whether a text may be staged as a frame: this session's task runs on this thread, and nothing waits that must be sent
    /// before it.
    #[inline]
    fn takes_frames(&self, options: SendOptions) -> bool {
        stage::takes_frames(self.address_in_memory())
            && !options.volatile
            // Another thread may have sent a command before the handler went on.
            && !self.has_commands()
    }

    /// Whether there is [room](Self::poll_room) for so many bytes on the stage.
    #[inline]
    fn fits(&self, staged: usize) -> bool {
        staged <= MAX_STAGED_BYTES
            && staged + self.handed_over_bytes() <= self.limits.max_outbound_bytes / 2
    }

    /// Encodes a packet whose text `write` appends, at least so many bytes, and stages it if that is possible: the frequent
    /// case of a handler that answers, in which the text is written in its final place. Otherwise, returns the packet. Before the
    /// text is staged, `seal` may append to it, or refuse.
    ///
    /// # Errors
    /// Those of `write`.
    #[inline]
    pub(crate) fn stage_or_encode<E>(
        &self,
        options: SendOptions,
        least_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, E>,
        seal: impl FnOnce(&mut RunText<'_>) -> bool,
    ) -> Result<Option<EncodedPacket>, E> {
        let staged = stage::staged_bytes() + OVERHEAD_BYTES;
        if least_bytes > FrameRun::MAX_BYTES || !self.takes_frames(options) || !self.fits(staged) {
            return EncodedPacket::build(write).map(Some);
        }
        stage::write_text(staged, write, |staged| self.fits(staged), seal)
    }

    /// Stages a packet if its text may be a frame.
    #[inline]
    fn try_stage(&self, packet: &EncodedPacket, options: SendOptions) -> bool {
        self.takes_frames(options)
            && packet
                .text_frame()
                .is_some_and(|frame| stage::push_frame(frame, |staged| self.fits(staged)))
    }

    /// Hands a packet to the session's task.
    ///
    /// A packet for which there is no room is not queued: the policy is applied.
    #[inline]
    pub(crate) fn emit(&self, packet: EncodedPacket, options: SendOptions) -> Result<(), Gone> {
        self.emit_or::<BY_POLICY>(packet, options).map(drop)
    }

    /// Hands a packet to the session's task if there is room for it; otherwise returns it.
    #[inline]
    pub(crate) fn try_emit(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<Option<EncodedPacket>, Gone> {
        self.emit_or::<RETURNED>(packet, options)
    }

    #[expect(clippy::inline_always, reason = "for each recipient of a broadcast")]
    #[inline(always)]
    fn emit_or<const BEYOND: bool>(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
    ) -> Result<Option<EncodedPacket>, Gone> {
        match self.staged_bytes() {
            None => self.queue_packet::<BEYOND>(packet, options, 0),
            Some(staged) => self.emit_in_turn::<BEYOND>(packet, options, staged),
        }
    }

    /// The packet of a handler of this session, or of what else runs in its task: staged, if it is not too much.
    fn emit_in_turn<const BEYOND: bool>(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
        staged: usize,
    ) -> Result<Option<EncodedPacket>, Gone> {
        if self.try_stage(&packet, options) {
            return Ok(None);
        }
        let weight = packet.size_bytes() + OVERHEAD_BYTES;
        // As for frames. Not much at a time, because other threads do not see what is staged.
        let waits = staged >= MAX_STAGED_BYTES || self.has_commands();
        if waits || (self.is_too_much(staged, weight) && !options.owed) {
            return self.queue_packet::<BEYOND>(packet, options, staged);
        }
        stage::push_packet(packet, options);
        Ok(None)
    }

    /// Puts the packet into the queue of the session's task, if there is room beside what is staged.
    #[expect(clippy::inline_always, reason = "for each recipient of a broadcast")]
    #[inline(always)]
    fn queue_packet<const BEYOND: bool>(
        &self,
        packet: EncodedPacket,
        options: SendOptions,
        staged: usize,
    ) -> Result<Option<EncodedPacket>, Gone> {
        let weight = packet.size_bytes() + OVERHEAD_BYTES;
        let mut commands = self.commands.lock();
        if self.is_too_much(staged, weight) && !options.owed {
            match self.limits.overflow {
                _ if BEYOND == RETURNED => return Ok(Some(packet)),
                // It was sent in the hope that there is room.
                _ if options.volatile => {
                    self.metrics.volatile_dropped();
                    return Ok(None);
                }
                Overflow::Disconnect => {
                    if !self.overflow.swap(true, Ordering::Relaxed) {
                        commands.push(Command::Overflow)?;
                    }
                    return Ok(None);
                }
                Overflow::DropNewest => {
                    self.note_dropped_here();
                    return Ok(None);
                }
                Overflow::DropOldest => {
                    while self.is_too_much(staged, weight)
                        && let Some(Command::Emit { packet: oldest, .. }) =
                            commands.remove_oldest(may_be_dropped)
                    {
                        self.note_dropped_here();
                        let weight = oldest.size_bytes() + OVERHEAD_BYTES;
                        self.queued.fetch_sub(weight, Ordering::Relaxed);
                    }
                }
            }
        }
        commands.push(Command::Emit { packet, options })?;
        self.queued.fetch_add(weight, Ordering::Relaxed);
        Ok(None)
    }

    /// Whether a packet has no room beside what waits. The only one that waits always has, however large it is. An answer to a
    /// GET that is on its way does not wait, however large; but several of them together count.
    ///
    /// With a policy that drops, the session makes room for what it is handed, so only what it was not handed counts.
    #[inline]
    fn is_too_much(&self, staged: usize, weight: usize) -> bool {
        let bytes = staged + self.handed_over_bytes() + weight;
        bytes > self.limits.max_outbound_bytes && self.exceeds(staged, weight)
    }

    #[cold]
    fn exceeds(&self, staged: usize, weight: usize) -> bool {
        let max = self.limits.max_outbound_bytes;
        let queued = staged + self.queued.load(Ordering::Relaxed);
        if self.limits.overflow != Overflow::Disconnect {
            return queued > 0 && queued + weight > max;
        }
        let waiting = queued + self.outbound.load(Ordering::Relaxed);
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let has_several = self.answers_in_flight.load(Ordering::Relaxed) > 1;
        (waiting > 0 && waiting + weight > max) || (in_flight > max && has_several)
    }

    fn note_dropped_here(&self) {
        self.dropped_here.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that the policy for slow clients has dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.dropped_here.load(Ordering::Relaxed)
    }

    /// Whether messages were dropped that the session has not seen.
    #[inline]
    pub(crate) fn has_dropped_here(&self) -> bool {
        self.dropped_here.load(Ordering::Relaxed) > 0
    }

    /// Publishes what the session has dropped. Returns whether it is the first time that something was dropped.
    pub(crate) fn set_dropped(&self, dropped: u64) -> bool {
        self.dropped.store(dropped, Ordering::Relaxed);
        !self.says_dropped.swap(true, Ordering::Relaxed)
    }

    /// Whether an answer to a GET is on its way.
    pub(crate) fn is_delivering(&self) -> bool {
        self.answers_in_flight.load(Ordering::Relaxed) > 0
    }

    /// Waits until half of the outbound limit is free, and a packet of this size fits. For direct emits: a handler that sends
    /// much goes at the client's pace.
    #[inline]
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        self.commands.poll_room(cx, || self.has_room_for(bytes))
    }

    /// Bytes of the packets that the session's task has not taken yet.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits until the session's task has taken what is queued.
    pub(crate) fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.commands.poll_room(cx, || self.queued_bytes() == 0)
    }

    /// Whether half of the outbound limit is free.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_bytes() <= self.limits.max_outbound_bytes / 2
    }

    #[inline]
    fn has_room_for(&self, bytes: usize) -> bool {
        let (waiting, max) = (self.waiting_bytes(), self.limits.max_outbound_bytes);
        let fits = waiting + bytes + OVERHEAD_BYTES <= max || waiting == 0;
        waiting <= max / 2 && fits
    }

    // For the session's task.

    /// Whether the WebSocket may have something to read, asked once.
    pub(crate) fn take_readable(&self) -> bool {
        self.readable.load(Ordering::Acquire) && self.readable.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.readable.load(Ordering::Acquire)
    }

    pub(crate) fn set_readable(&self) {
        self.readable.store(true, Ordering::Release);
    }

    /// Whether commands wait.
    pub(crate) fn has_commands(&self) -> bool {
        self.commands.has_commands()
    }

    /// Takes the waiting commands.
    pub(crate) fn take(&self) -> Option<Commands<Command>> {
        if !self.has_commands() {
            return None;
        }
        let commands = self.commands.lock();
        // They stay counted, as the session's, until the turn ends with the number of bytes that are left of them. So at no
        // moment is too little counted.
        self.outbound
            .fetch_add(self.queued.load(Ordering::Relaxed), Ordering::Relaxed);
        self.queued.store(0, Ordering::Relaxed);
        self.overflow.store(false, Ordering::Relaxed);
        commands.take()
    }

    /// Takes the only command, if it is a packet of one message, and says that the task will sleep.
    #[inline]
    pub(crate) fn take_only_packet(
        &self,
        cx: &Context<'_>,
        is_default: bool,
    ) -> Option<EncodedPacket> {
        if !self.has_commands() {
            return None;
        }
        let mut commands = self.commands.lock();
        let is_packet = |command: &Command| {
            matches!(command, Command::Emit { packet, .. }
                if is_default && packet.attachments().is_empty())
        };
        let Some(Command::Emit { packet, .. }) = commands.take_only(cx, is_packet) else {
            return None;
        };
        self.queued.store(0, Ordering::Relaxed);
        Some(packet)
    }

    /// Says that the task wants to sleep. Returns `false` if commands wait.
    pub(crate) fn sleep(&self, cx: &Context<'_>) -> bool {
        self.commands.sleep(cx)
    }

    /// Publishes what waits in the session, and wakes those who wait for room.
    pub(crate) fn set_outbound(&self, bytes: usize) {
        if self.outbound.load(Ordering::Relaxed) != bytes {
            self.outbound.store(bytes, Ordering::Relaxed);
            self.commands.room_changed(|| self.has_room());
        } else {
            // What was staged may have left, for which only handlers wait that run on this thread.
            self.commands.wake_waiting(|| self.has_room());
        }
    }

    /// An answer to a GET is given.
    pub(crate) fn begin_delivery(&self, bytes: usize) {
        self.answers_in_flight.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An answer to a GET has left the process, or comes back.
    pub(crate) fn end_delivery(&self, bytes: usize) {
        self.answers_in_flight.fetch_sub(1, Ordering::Relaxed);
        self.in_flight.fetch_sub(bytes, Ordering::Relaxed);
        self.commands.room_changed(|| self.has_room());
    }

    /// Takes no more commands.
    pub(crate) fn close(&self) {
        self.commands.close();
    }
}

/// Whether the policy for slow clients may drop a command.
fn may_be_dropped(command: &Command) -> bool {
    matches!(command, Command::Emit { options, .. } if !options.owed)
}
