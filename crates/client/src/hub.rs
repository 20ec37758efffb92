//! How handles reach the task that owns the connection: a queue of commands, and what anybody may read.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use kokanee_engineio::{OVERHEAD_BYTES, SendOptions, Str, Transport};
use kokanee_io::{CommandQueue, Commands, Gone};
use kokanee_socketio::{AckId, EncodedPacket};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{engine::ConnectFailure, options::Options, socket::Core};

/// What the connection's task can be asked for.
pub(crate) enum Command {
    /// Connect a socket.
    Connect {
        socket: Arc<Core>,
        done: Option<oneshot::Sender<Result<(), ConnectFailure>>>,
    },
    /// Say when a socket is connected, or that it will not be.
    Await {
        socket: Arc<Core>,
        done: oneshot::Sender<Result<(), ConnectFailure>>,
    },
    /// Send a packet, now or when the socket is connected.
    Emit {
        socket: Arc<Core>,
        outgoing: Outgoing,
    },
    /// Disconnect a socket.
    Disconnect {
        socket: Arc<Core>,
        done: Option<oneshot::Sender<bool>>,
    },
    /// Close the transport as a failure would, to connect again.
    Reconnect,
    /// A reader of events has caught up: read on.
    Resume,
    /// There are no handles any more.
    Shutdown,
}

/// A packet on its way.
pub(crate) struct Outgoing {
    pub(crate) packet: EncodedPacket,
    pub(crate) options: SendOptions,
    pub(crate) ack: Option<AckId>,
    /// Sent again until it is acknowledged.
    pub(crate) retried: bool,
    /// The only connection of its socket that it is for, if it is not for any.
    pub(crate) connection: Option<u64>,
}

impl Outgoing {
    pub(crate) fn weight(&self) -> usize {
        self.packet.size_bytes() + OVERHEAD_BYTES
    }
}

/// One connection, as everybody but its task sees it.
pub(crate) struct Hub {
    pub(crate) options: Arc<Options>,
    commands: CommandQueue<Command>,
    /// The sockets, one for each namespace.
    sockets: Mutex<Vec<Weak<Core>>>,
    /// Bytes of packets that the task has not taken yet.
    queued: AtomicUsize,
    /// Bytes of packets that the task keeps: until their socket is connected, or they are acknowledged.
    held: AtomicUsize,
    /// Bytes that wait in the session.
    outbound: AtomicUsize,
    /// 0: none, 1: polling, 2: WebSocket.
    transport: AtomicU8,
    /// The id of the session that is open.
    sid: Mutex<Option<Str>>,
    /// A WebSocket is about to take over from polling.
    upgrading: AtomicBool,
    upgraded: Notify,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options are full of secrets, and so is what waits.
        f.debug_struct("Hub")
            .field("transport", &self.transport())
            .field("waiting_bytes", &self.waiting_bytes())
            .finish_non_exhaustive()
    }
}

impl Hub {
    pub(crate) fn new(options: Arc<Options>) -> Self {
        Self {
            options,
            commands: CommandQueue::default(),
            sockets: Mutex::default(),
            queued: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            outbound: AtomicUsize::new(0),
            transport: AtomicU8::new(0),
            sid: Mutex::default(),
            upgrading: AtomicBool::new(false),
            upgraded: Notify::new(),
        }
    }

    /// The socket of a namespace: there is one at a time, however often it is asked for.
    pub(crate) fn socket(self: &Arc<Self>, namespace: &str) -> Arc<Core> {
        let mut sockets = self.sockets.lock();
        let mut known = sockets.iter().filter_map(Weak::upgrade);
        if let Some(core) = known.find(|core| *core.namespace == *namespace) {
            return core;
        }
        sockets.retain(|core| core.strong_count() > 0);
        sockets.reserve_exact(1);
        let core = Arc::new(Core::new(Arc::clone(self), namespace));
        sockets.push(Arc::downgrade(&core));
        core
    }

    /// Hands a command to the connection's task.
    pub(crate) fn send(&self, command: Command) -> Result<(), Gone> {
        let weight = match &command {
            Command::Emit { outgoing, .. } => outgoing.weight(),
            _ => 0,
        };
        let mut commands = self.commands.lock();
        commands.push(command)?;
        // Under the lock: the task cannot release it before.
        self.queued.fetch_add(weight, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that wait to be sent, for whatever.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.leaving_bytes() + self.held.load(Ordering::Relaxed)
    }

    /// Bytes that wait for nothing but the server to read.
    pub(crate) fn leaving_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed) + self.outbound.load(Ordering::Relaxed)
    }

    /// Whether a connected socket, for which `held` bytes are kept, has room. What other sockets keep may stay for long, and
    /// does not count.
    pub(crate) fn has_room(&self, held: &AtomicUsize) -> bool {
        let waiting = self.leaving_bytes() + held.load(Ordering::Relaxed);
        waiting <= self.options.send_buffer_bytes / 2
    }

    /// Waits until the socket has room, or is not connected.
    pub(crate) fn poll_room(&self, socket: &Core, cx: &mut Context<'_>) -> Poll<()> {
        self.commands
            .poll_room(cx, || !socket.is_connected() || self.has_room(&socket.held))
    }

    /// The transport that carries the connection now.
    pub(crate) fn transport(&self) -> Option<Transport> {
        match self.transport.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Transport::Polling),
            _ => Some(Transport::WebSocket),
        }
    }

    /// The id of the session that is open.
    pub(crate) fn sid(&self) -> Option<Str> {
        self.sid.lock().clone()
    }

    /// Whether a WebSocket is about to take over from polling.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.upgrading.load(Ordering::Acquire)
    }

    /// Waits until no WebSocket is about to take over any more.
    pub(crate) async fn settled(&self) {
        loop {
            let upgraded = self.upgraded.notified();
            if !self.is_upgrading() {
                return;
            }
            upgraded.await;
        }
    }

    // For the connection's task.

    /// Takes the waiting commands.
    pub(crate) fn take(&self) -> Option<Commands<Command>> {
        self.commands.take()
    }

    /// Says that the task wants to sleep. Returns `false` if commands wait.
    pub(crate) fn sleep(&self, cx: &Context<'_>) -> bool {
        self.commands.sleep(cx)
    }

    /// A packet was handed to the session, or given up.
    pub(crate) fn release(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A packet that was taken is kept for its socket.
    pub(crate) fn count_kept(&self, held: &AtomicUsize, bytes: usize) {
        held.fetch_add(bytes, Ordering::Relaxed);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.release(bytes);
    }

    /// A packet that was kept is sent, or given up.
    pub(crate) fn release_kept(&self, held: &AtomicUsize, bytes: usize) {
        held.fetch_sub(bytes, Ordering::Relaxed);
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.wake_waiting();
    }

    /// Publishes what waits in the session, and wakes those who wait for room.
    pub(crate) fn set_outbound(&self, bytes: usize) {
        self.outbound.store(bytes, Ordering::Relaxed);
        let max = self.options.send_buffer_bytes;
        self.commands
            .room_changed(|| self.leaving_bytes() <= max / 2);
    }

    /// Wakes those who wait for room, as a socket is not connected any more, or keeps less.
    pub(crate) fn wake_waiting(&self) {
        self.commands.room_changed(|| true);
    }

    pub(crate) fn set_transport(&self, transport: Option<Transport>) {
        let code = match transport {
            None => 0,
            Some(Transport::Polling) => 1,
            Some(Transport::WebSocket) => 2,
        };
        self.transport.store(code, Ordering::Relaxed);
    }

    pub(crate) fn set_sid(&self, sid: Option<Str>) {
        *self.sid.lock() = sid;
    }

    pub(crate) fn set_upgrading(&self, upgrading: bool) {
        if self.is_upgrading() != upgrading {
            self.upgrading.store(upgrading, Ordering::Release);
            self.upgraded.notify_waiters();
        }
    }

    /// Takes no more commands.
    pub(crate) fn close(&self) {
        self.commands.close();
    }
}

/// Ends the connection when the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Arc<Hub>);

impl Drop for Guard {
    fn drop(&mut self) {
        // If the task has ended already, there is nothing to end.
        let _ = self.0.send(Command::Shutdown);
    }
}
