//! The task that owns one connection: its engine, the namespaces on it, their handlers, and what happens between two
//! connections.
//!
//! Handles send it commands through the [`Hub`](crate::hub::Hub). One turn does: commands, joins, the engine, timers, handlers; it repeats
//! while there is something to do. What it decides, and when, is up to the [`Manager`], which does no I/O.

mod connection;
mod events;
mod manager;
mod reconnect;
mod recovery;
mod retry;
mod socket;
mod sockets;
#[cfg(test)]
mod tests;
mod turn;

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Instant,
};

use kokanee_engineio::Message;
use tokio::time::Sleep;

use self::{connection::State, manager::Manager, turn::Turn};
use crate::{
    engine::{ConnectFailure, Engine, UpgradeEvent, open::open, wire::Wire},
    handlers::Handling,
    hub::Guard,
    socket::Socket,
};

/// Messages for which memory is kept between two turns.
const KEPT_MESSAGES: usize = 4;
/// Rounds of one turn, after which other tasks get their chance.
const ROUNDS_PER_TURN: usize = 16;

type Opening = Pin<Box<dyn Future<Output = Result<Engine, ConnectFailure>> + Send>>;

/// The task.
pub(crate) struct Driver {
    guard: Weak<Guard>,
    manager: Manager<Engine>,
    io: Io,
}

/// What the task waits for: the engine's opening, messages, and the time.
#[derive(Default)]
struct Io {
    /// The engine that the manager has asked for.
    opening: Option<Opening>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Memory for the messages of a turn.
    messages: Vec<Message>,
    /// Too much waits for handlers or readers, so nothing is read.
    paused: bool,
}

impl Driver {
    /// Drives the connection of this socket, which does not keep the task alive.
    pub(crate) fn new(socket: &Socket) -> Self {
        Self {
            guard: Arc::downgrade(socket.guard()),
            manager: Manager::new(Arc::clone(&socket.core().hub)),
            io: Io::default(),
        }
    }
}

impl Io {
    /// Does what can be done now. Returns whether there may be more to do.
    fn round(&mut self, manager: &mut Manager<Engine>, turn: &mut Turn<'_, '_>) -> bool {
        manager.take_commands(turn);
        let has_joined = manager.poll_joins(turn);
        let has_moved = self.poll_connection(manager, turn);
        let was_due = self.poll_timer(manager, turn);
        manager.poll_handlers(turn);
        // While too much waits for handlers nothing is read, so nothing else says that there is more.
        let resumed = self.paused && !manager.is_behind();
        has_joined || has_moved || was_due || resumed
    }

    /// Opens or polls the engine. Returns whether something has happened.
    fn poll_connection(&mut self, manager: &mut Manager<Engine>, turn: &mut Turn<'_, '_>) -> bool {
        if let State::Open(_) = manager.connection.state {
            return self.poll_engine(manager, turn);
        }
        self.paused = false;
        // Without a connection nothing is left to be sent.
        manager.reply_flushed(true);
        if !matches!(manager.connection.state, State::Opening) {
            self.opening = None;
            return false;
        }
        let opening = self.opening.get_or_insert_with(|| {
            let options = Arc::clone(&manager.hub.options);
            Box::pin(async move { open(&options.next_connection().await?).await })
        });
        let Poll::Ready(opened) = opening.as_mut().poll(turn.cx) else {
            return false;
        };
        self.opening = None;
        match opened {
            Ok(engine) => manager.handle_opened(engine),
            Err(failure) => manager.handle_open_failed(turn, failure),
        }
        true
    }

    fn poll_engine(&mut self, manager: &mut Manager<Engine>, turn: &mut Turn<'_, '_>) -> bool {
        self.paused = manager.is_behind();
        let Some(open) = manager.connection.open_mut() else {
            return false;
        };
        let messages = &mut self.messages;
        // What comes after the end is for nobody, except the answer to what was sent last.
        open.wire.set_paused(turn.now, self.paused && !open.closing);
        let polled = open
            .wire
            .poll(turn.cx, turn.now, &mut |message| messages.push(message));
        manager.hub.set_outbound(open.wire.outbound_bytes());
        let upgrade = open.wire.take_upgrade_event();
        let is_flushed = open.wire.is_flushed();
        if open.wire.is_end_written() {
            open.on_end_written(turn.now);
        }
        let is_upgrading = open.wire.is_upgrading();
        if let Some(UpgradeEvent::Done) = upgrade {
            manager.handle_upgraded(turn);
        }
        manager.hub.set_upgrading(is_upgrading);
        let mut has_more = upgrade.is_some();
        if !self.messages.is_empty() {
            has_more |= self.handle_messages(manager, turn);
        }
        if let Poll::Ready(reason) = polled {
            manager.handle_lost(turn, reason);
            return true;
        }
        if is_flushed && !manager.connection.is_closing() && manager.is_flushing() {
            manager.reply_flushed(true);
            has_more = true;
        }
        has_more
    }

    /// Handles what the engine has received. Returns whether that has caused something to be sent.
    fn handle_messages(&mut self, manager: &mut Manager<Engine>, turn: &mut Turn<'_, '_>) -> bool {
        for message in self.messages.drain(..) {
            manager.handle_message(turn, message);
        }
        if self.messages.capacity() > KEPT_MESSAGES {
            self.messages = Vec::new();
        }
        let open = manager.connection.open();
        open.is_none_or(|open| open.wire.has_work())
    }

    /// Keeps the manager's deadlines. Returns whether one has passed.
    fn poll_timer(&mut self, manager: &mut Manager<Engine>, turn: &mut Turn<'_, '_>) -> bool {
        let Some(deadline) = manager.deadline() else {
            self.timer = None;
            return false;
        };
        let at = tokio::time::Instant::from(deadline);
        let timer = match &mut self.timer {
            // It wakes the task in time, and is moved then if need be.
            Some(timer) if timer.deadline() <= at && !timer.is_elapsed() => return false,
            Some(timer) => {
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        // It must know whom to wake, however much this turn has done: it is not polled again before its time.
        let mut timer = pin!(tokio::task::unconstrained(timer.as_mut()));
        if timer.as_mut().poll(turn.cx).is_pending() {
            return false;
        }
        // Not before the deadline, whatever the clock says.
        turn.now = turn.now.max(deadline);
        manager.handle_timeout(turn);
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { guard, manager, io } = self.get_mut();
        let _handling = Handling::start();
        for _ in 0..ROUNDS_PER_TURN {
            let turn = &mut Turn {
                cx,
                now: Instant::now(),
                guard,
            };
            let has_more = io.round(manager, turn);
            if manager.is_over() {
                manager.finish();
                return Poll::Ready(());
            }
            if !has_more && manager.hub.sleep(cx) {
                return Poll::Pending;
            }
        }
        // Enough for one turn: other tasks first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A task that is dropped with its runtime leaves nobody waiting.
impl Drop for Driver {
    fn drop(&mut self) {
        self.manager.finish();
    }
}
