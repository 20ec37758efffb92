//! How the rest of the program reaches the task that owns a session: a queue of commands, and what anybody may read.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use bytes::Bytes;
use kokanee_engineio::{CloseReason, OutPacket, Overflow, Revision, SendOptions, Sid, Transport};
use kokanee_socketio::EncodedPacket;
use tokio::sync::oneshot;

use crate::{Limits, handshake::RequestHead, websocket::WebSocketIo};

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
        reply: oneshot::Sender<PostReply>,
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

/// One session, as everybody but its task sees it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) sid: Sid,
    pub(crate) revision: Revision,
    pub(crate) head: RequestHead,
    pub(crate) address: Option<SocketAddr>,
    /// Bytes that wait in the session itself; those of the commands are counted in `queue`.
    outbound: AtomicUsize,
    transport: AtomicU8,
    /// A POST's body is being received.
    pub(crate) posting: AtomicBool,
    limits: Arc<Limits>,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    first: Option<Command>,
    rest: Vec<Command>,
    /// Bytes of the packets that wait here.
    bytes: usize,
    waker: Option<Waker>,
    /// The task runs and will look here again before it sleeps: no need to wake it.
    running: bool,
    closed: bool,
    overflow: bool,
    /// Tasks that wait for room.
    waiting: Vec<Waker>,
}

/// The session has ended: nobody takes commands any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

fn transport_code(transport: Transport) -> u8 {
    match transport {
        Transport::Polling => 0,
        Transport::WebSocket => 1,
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
            transport: AtomicU8::new(transport_code(transport)),
            posting: AtomicBool::new(false),
            limits,
            queue: Mutex::new(Queue {
                first: None,
                rest: Vec::new(),
                bytes: 0,
                waker: None,
                running: true,
                closed: false,
                overflow: false,
                waiting: Vec::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut queue = self.lock();
        if queue.closed {
            return Err(Gone);
        }
        queue.push(command);
        queue.wake_owner();
        Ok(())
    }

    /// Hands a packet to the session's task. Returns the bytes that wait for the client now.
    ///
    /// A packet for which there is no room is not queued: the task is told, and applies the policy.
    pub(crate) fn emit(&self, packet: EncodedPacket, options: SendOptions) -> Result<usize, Gone> {
        let weight = packet.size_bytes() + 64;
        let mut queue = self.lock();
        if queue.closed {
            return Err(Gone);
        }
        let waiting = queue.bytes + self.outbound.load(Ordering::Relaxed);
        let is_full = waiting > 0 && waiting + weight > self.limits.max_outbound_bytes;
        if is_full && self.limits.overflow == Overflow::Disconnect {
            if !options.volatile && !queue.overflow {
                queue.overflow = true;
                queue.push(Command::Overflow);
                queue.wake_owner();
            }
            return Ok(waiting);
        }
        queue.bytes += weight;
        queue.push(Command::Emit { packet, options });
        queue.wake_owner();
        Ok(waiting + weight)
    }

    /// Waits until half of the outbound limit is free. For direct emits: a handler that sends much goes at the client's pace.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> std::task::Poll<()> {
        // Checked without the lock first: nearly always there is room.
        let mut queue = self.lock();
        let waiting = queue.bytes + self.outbound.load(Ordering::Relaxed);
        if queue.closed || waiting <= self.limits.max_outbound_bytes / 2 {
            return std::task::Poll::Ready(());
        }
        if !queue
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            queue.waiting.push(cx.waker().clone());
        }
        std::task::Poll::Pending
    }

    // For the session's task.

    /// Takes the waiting commands: the first, and those behind it. The task counts as running from now on.
    pub(crate) fn take(&self) -> Option<(Command, Vec<Command>)> {
        let mut queue = self.lock();
        queue.running = true;
        queue.bytes = 0;
        queue.overflow = false;
        let first = queue.first.take()?;
        Some((first, std::mem::take(&mut queue.rest)))
    }

    /// Says that the task wants to sleep. `false` if commands came meanwhile.
    pub(crate) fn sleep(&self, cx: &Context<'_>) -> bool {
        let mut queue = self.lock();
        if queue.first.is_some() {
            return false;
        }
        queue.running = false;
        if !queue
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            queue.waker = Some(cx.waker().clone());
        }
        true
    }

    /// Publishes what waits in the session, and wakes those who wait for room.
    pub(crate) fn set_outbound(&self, bytes: usize) {
        if self.outbound.load(Ordering::Relaxed) != bytes {
            self.outbound.store(bytes, Ordering::Relaxed);
            if bytes <= self.limits.max_outbound_bytes / 2 {
                self.wake_waiting();
            }
        }
    }

    fn wake_waiting(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Nobody takes commands any more.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.waker = None;
        queue.first = None;
        queue.rest = Vec::new();
        drop(queue);
        self.wake_waiting();
    }
}

impl Queue {
    fn push(&mut self, command: Command) {
        if self.first.is_none() {
            self.first = Some(command);
        } else {
            self.rest.push(command);
        }
    }

    fn wake_owner(&mut self) {
        if !self.running {
            self.running = true;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }
}
