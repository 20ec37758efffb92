//! How the rest of the program reaches the task that owns a session: a queue of commands, and what anybody may read.
//!
//! Packets that the session's own handlers send do not even touch the queue: they are staged on the thread that runs the
//! task, see [`Turn`].

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use kokanee_engineio::{
    CloseReason, FrameRun, OutPacket, Overflow, Revision, SendOptions, Sid, Transport,
};
use kokanee_io::WebSocketIo;
use kokanee_socketio::EncodedPacket;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Limits, handshake::RequestHead};

/// What a waiting packet counts beside its content.
const OVERHEAD_BYTES: usize = 64;

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
    PollUndelivered { packets: Vec<OutPacket> },
    /// The body of a POST came.
    Post {
        body: Bytes,
        binary_form: bool,
        reply: oneshot::Sender<(PostReply, Option<HeldPoll>)>,
    },
    /// A WebSocket asks to take over the session.
    Upgrade { websocket: Box<WebSocketIo> },
    /// A request was broken so that the session cannot go on.
    Fail { reason: CloseReason },
    /// The application closes the connection: `None` when a socket asked for it, else because the server ends.
    Close { reason: Option<CloseReason> },
    /// A socket leaves its namespace. The client is told so.
    Disconnect { socket: crate::SocketId },
    /// Somebody found the queue full.
    Overflow,
}

/// The answer to a GET.
#[derive(Debug)]
pub(crate) enum PollReply {
    /// A payload.
    Packets {
        packets: Vec<OutPacket>,
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
    /// Bytes of the packets that wait here.
    queued: AtomicUsize,
    /// Messages that the policy for slow clients has dropped.
    pub(crate) dropped: AtomicU64,
    transport: AtomicU8,
    /// A POST's body is being received.
    pub(crate) posting: AtomicBool,
    /// The task has been woken, or runs and will look here again before it sleeps: no need to wake it.
    awake: AtomicBool,
    has_commands: AtomicBool,
    /// Somebody waits for room.
    has_waiters: AtomicBool,
    /// The WebSocket may have something to read.
    readable: AtomicBool,
    pub(crate) limits: Arc<Limits>,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    first: Option<Command>,
    rest: Vec<Command>,
    waker: Option<Waker>,
    closed: bool,
    overflow: bool,
    /// Tasks that wait for room.
    waiting: Vec<Waker>,
}

impl Queue {
    /// Whether this is who is woken by commands.
    fn knows(&self, waker: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|own| own.will_wake(waker))
    }
}

/// The session has ended: nobody takes commands any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Bytes beyond which a turn stages no more.
const MAX_STAGED_BYTES: usize = 64 * 1024;

/// What waits for its session on the thread that runs it, in this order.
#[derive(Debug)]
pub(crate) struct Staged {
    /// Texts for a WebSocket, ready to be written.
    pub(crate) run: FrameRun,
    pub(crate) packets: Vec<(EncodedPacket, SendOptions)>,
}

impl Staged {
    const fn new() -> Self {
        Self {
            run: FrameRun::new(),
            packets: Vec::new(),
        }
    }
}

thread_local! {
    /// The mailbox whose task runs on this thread now, by its address; 0 is none.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
    /// Whether its texts may become a run.
    static TAKES_RUNS: Cell<bool> = const { Cell::new(false) };
    static STAGE: RefCell<Staged> = const { RefCell::new(Staged::new()) };
    static STAGED_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// A turn of a session's task on this thread. While it lasts, what is sent to this session from this thread is staged.
pub(crate) struct Turn;

impl Turn {
    /// `takes_runs` says that the session takes text messages as finished frames, until the end of the turn.
    pub(crate) fn begin(mailbox: &Mailbox, takes_runs: bool) -> Self {
        RUNNING.set(mailbox.address_in_memory());
        TAKES_RUNS.set(takes_runs);
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        RUNNING.set(0);
        // Nothing is left, unless the turn panicked: it must not reach the next session.
        STAGED_BYTES.set(0);
        STAGE.with_borrow_mut(|staged| {
            if !staged.packets.is_empty() || !staged.run.is_empty() {
                *staged = Staged::new();
            }
        });
    }
}

/// Whether something was staged in this turn.
pub(crate) fn has_staged() -> bool {
    STAGED_BYTES.get() > 0
}

/// Takes what was staged in this turn.
pub(crate) fn take_staged(f: impl FnOnce(&mut Staged)) {
    if STAGED_BYTES.replace(0) == 0 {
        return;
    }
    // Taken out: what `f` drops may be the application's, and do anything.
    let mut staged = STAGE.replace(Staged::new());
    f(&mut staged);
    staged.packets.clear();
    // The memory is kept for the next turn, unless a burst has made it large.
    if staged.packets.capacity() <= 1024 && !has_staged() {
        STAGE.set(staged);
    }
}

/// Takes the run that was staged in this turn, if there is nothing else.
#[inline]
pub(crate) fn take_only_run() -> Option<FrameRun> {
    if !has_staged() {
        return None;
    }
    STAGE.with_borrow_mut(|staged| {
        staged.packets.is_empty().then(|| {
            STAGED_BYTES.set(0);
            std::mem::take(&mut staged.run)
        })
    })
}

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
        if let Some(waker) = &self.queue.lock().waker {
            waker.wake_by_ref();
        }
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
    ) -> Self {
        Self {
            sid,
            revision,
            head,
            address,
            outbound: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            transport: AtomicU8::new(transport_code(transport)),
            posting: AtomicBool::new(false),
            // The task is started right behind this, and looks here first.
            awake: AtomicBool::new(true),
            has_commands: AtomicBool::new(false),
            has_waiters: AtomicBool::new(false),
            readable: AtomicBool::new(true),
            limits,
            queue: Mutex::default(),
        }
    }

    fn address_in_memory(&self) -> usize {
        std::ptr::from_ref(self).addr()
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

    /// Hands a command to the session's task.
    pub(crate) fn send(&self, command: Command) -> Result<(), Gone> {
        self.push(&mut self.queue.lock(), command)
    }

    #[inline]
    fn push(&self, queue: &mut Queue, command: Command) -> Result<(), Gone> {
        if queue.closed {
            return Err(Gone);
        }
        if queue.first.is_none() {
            queue.first = Some(command);
            self.has_commands.store(true, Ordering::Release);
        } else {
            queue.rest.push(command);
        }
        if !self.awake.swap(true, Ordering::AcqRel)
            && let Some(waker) = &queue.waker
        {
            waker.wake_by_ref();
        }
        Ok(())
    }

    /// Bytes that wait for the client.
    #[inline]
    fn waiting_bytes(&self) -> usize {
        let staged = if RUNNING.get() == self.address_in_memory() {
            STAGED_BYTES.get()
        } else {
            0
        };
        staged + self.handed_over_bytes()
    }

    /// Bytes that every thread knows of.
    fn handed_over_bytes(&self) -> usize {
        self.outbound.load(Ordering::Relaxed) + self.queued.load(Ordering::Relaxed)
    }

    /// Stages a packet, if this session's task runs on this thread and nothing stands against it: the frequent case of
    /// a handler that answers, in which the packet is only looked at. There is [room](Self::poll_room) for it then.
    #[inline]
    pub(crate) fn try_stage(&self, packet: &EncodedPacket, options: SendOptions) -> bool {
        if RUNNING.get() != self.address_in_memory() || !TAKES_RUNS.get() || options.volatile {
            return false;
        }
        let Some(frame) = packet.text_frame() else {
            return false;
        };
        let weight = frame.len() + OVERHEAD_BYTES;
        let staged = STAGED_BYTES.get();
        // What waits already is in front: somebody else may have sent that before our handler went on.
        if staged + weight > MAX_STAGED_BYTES
            || staged + self.handed_over_bytes() + weight > self.limits.max_outbound_bytes / 2
            || self.has_commands()
        {
            return false;
        }
        let is_staged =
            STAGE.with_borrow_mut(|stage| stage.packets.is_empty() && stage.run.push(frame));
        if is_staged {
            STAGED_BYTES.set(staged + weight);
        }
        is_staged
    }

    /// Hands a packet to the session's task.
    ///
    /// A packet for which there is no room is not queued: the task is told, and applies the policy.
    #[inline]
    pub(crate) fn emit(&self, packet: EncodedPacket, options: SendOptions) -> Result<(), Gone> {
        let is_running = RUNNING.get() == self.address_in_memory();
        if is_running && self.try_stage(&packet, options) {
            return Ok(());
        }
        let weight = packet.size_bytes() + OVERHEAD_BYTES;
        let staged = if is_running { STAGED_BYTES.get() } else { 0 };
        let waiting = staged + self.handed_over_bytes();
        let is_full = waiting > 0 && waiting + weight > self.limits.max_outbound_bytes;
        if is_full && self.limits.overflow == Overflow::Disconnect {
            let mut queue = self.queue.lock();
            if !options.volatile && !std::mem::replace(&mut queue.overflow, true) {
                self.push(&mut queue, Command::Overflow)?;
            }
            return Ok(());
        }
        // As for `try_stage`. Not much at a time, because other threads do not see what is staged.
        if is_running && staged < MAX_STAGED_BYTES && !self.has_commands() {
            STAGED_BYTES.set(staged + weight);
            STAGE.with_borrow_mut(|stage| stage.packets.push((packet, options)));
        } else {
            let mut queue = self.queue.lock();
            self.push(&mut queue, Command::Emit { packet, options })?;
            self.queued.fetch_add(weight, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits until half of the outbound limit is free. For direct emits: a handler that sends much goes at the client's pace.
    #[inline]
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Nearly always there is room, so that is seen without the lock.
        if self.has_room() {
            return Poll::Ready(());
        }
        let mut queue = self.queue.lock();
        self.has_waiters.store(true, Ordering::Relaxed);
        // Either the room is seen that the task has just made, or the task sees that somebody waits.
        fence(Ordering::SeqCst);
        if queue.closed || self.has_room() {
            return Poll::Ready(());
        }
        if !queue
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            queue.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Bytes of the packets that the session's task has not taken yet.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits until the session's task has taken what is queued.
    pub(crate) fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.closed || self.queued_bytes() == 0 {
            return Poll::Ready(());
        }
        self.has_waiters.store(true, Ordering::Relaxed);
        queue.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.waiting_bytes() <= self.limits.max_outbound_bytes / 2
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
        self.has_commands.load(Ordering::Acquire)
    }

    /// Takes the waiting commands: the first, and those behind it.
    pub(crate) fn take(&self) -> Option<(Command, Vec<Command>)> {
        if !self.has_commands() {
            return None;
        }
        let mut queue = self.queue.lock();
        self.has_commands.store(false, Ordering::Release);
        // Counted there until the end of the turn tells how much of it is left: never too little, not even for a moment.
        self.outbound
            .fetch_add(self.queued.load(Ordering::Relaxed), Ordering::Relaxed);
        self.queued.store(0, Ordering::Relaxed);
        queue.overflow = false;
        let (first, rest) = (queue.first.take(), std::mem::take(&mut queue.rest));
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        // Those who wait for room look again, and wait on if there is none.
        waiting.into_iter().for_each(Waker::wake);
        Some((first?, rest))
    }

    /// Takes the packet that is the only command, if that is so and it is one message, and says that the task will sleep.
    #[inline]
    pub(crate) fn take_only_packet(
        &self,
        cx: &Context<'_>,
        is_default: bool,
    ) -> Option<EncodedPacket> {
        if !self.has_commands() {
            return None;
        }
        let mut queue = self.queue.lock();
        let is_packet = matches!(&queue.first, Some(Command::Emit { packet, .. })
            if is_default && packet.attachments().is_empty());
        if !is_packet
            || !queue.rest.is_empty()
            || !queue.waiting.is_empty()
            || !queue.knows(cx.waker())
        {
            return None;
        }
        let Some(Command::Emit { packet, .. }) = queue.first.take() else {
            return None;
        };
        self.has_commands.store(false, Ordering::Release);
        self.queued.store(0, Ordering::Relaxed);
        // Whoever sends something from now on wakes the task.
        self.awake.store(false, Ordering::Release);
        Some(packet)
    }

    /// Says that the task wants to sleep. `false` if commands came meanwhile.
    pub(crate) fn sleep(&self, cx: &Context<'_>) -> bool {
        if !self.awake.load(Ordering::Acquire) {
            // Nobody has sent anything since the task slept; it was woken by something else.
            return true;
        }
        let mut queue = self.queue.lock();
        if queue.first.is_some() {
            return false;
        }
        if !queue.knows(cx.waker()) {
            queue.waker = Some(cx.waker().clone());
        }
        self.awake.store(false, Ordering::Release);
        true
    }

    /// Publishes what waits in the session, and wakes those who wait for room.
    pub(crate) fn set_outbound(&self, bytes: usize) {
        if self.outbound.load(Ordering::Relaxed) != bytes {
            self.outbound.store(bytes, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
        // There may be room although this is as it was: what was queued or staged has left at once.
        if self.has_waiters.load(Ordering::Acquire) && self.has_room() {
            let mut queue = self.queue.lock();
            self.has_waiters.store(false, Ordering::Release);
            let waiting = std::mem::take(&mut queue.waiting);
            drop(queue);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Nobody takes commands any more.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        let waiting = std::mem::take(&mut queue.waiting);
        *queue = Queue {
            closed: true,
            ..Queue::default()
        };
        drop(queue);
        waiting.into_iter().for_each(Waker::wake);
    }
}
