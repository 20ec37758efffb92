//! [`EventQueue`]: the events of one socket on their way to handlers and readers, and the handlers that run.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use kokanee_handler::{Ack, Erased, Running, start};
use kokanee_socketio::{AckId, RawEvent};

use super::turn::Turn;
use crate::{
    acks::Sink,
    engine::ConnectFailure,
    extract::{ClientKind, Context},
    handlers::Handlers,
    reason::{CloseDetails, DisconnectReason},
    socket::{Core, Socket},
    stream::Received,
    unclaimed::{Fate, Pace, Takers, Unclaimed},
};

/// Events that wait for a handler before the client stops to read, and their bytes.
const MAX_QUEUED_EVENTS: usize = 1024;
const MAX_QUEUED_BYTES: usize = 8 << 20;

/// What a handler of the life cycle can learn.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    pub(super) reason: Option<DisconnectReason>,
    pub(super) details: Option<&'a CloseDetails>,
    pub(super) failure: Option<&'a Arc<ConnectFailure>>,
    pub(super) attempt: u32,
}

/// The events of one socket.
#[derive(Default)]
pub(super) struct EventQueue {
    /// Handlers that wait for something.
    running: Vec<Running>,
    /// Events that wait for the handlers of those before them.
    queued: VecDeque<(RawEvent, Ack)>,
    /// Events that came before the namespace has accepted.
    before_connect: VecDeque<(RawEvent, Option<AckId>)>,
    /// Of all these events.
    bytes: usize,
    /// Whether a reader was full after the last event. Only events fill it.
    has_full_reader: bool,
    /// Events that nobody can take yet. `None` before the first connection, and when no event waits for that any more.
    unclaimed: Option<Unclaimed>,
}

impl EventQueue {
    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether so much waits that nothing more may be read.
    pub(super) fn is_full(&self, core: &Core) -> bool {
        self.queued.len() + self.before_connect.len() >= MAX_QUEUED_EVENTS
            || self.bytes >= MAX_QUEUED_BYTES
            || self
                .unclaimed
                .as_ref()
                .is_some_and(|unclaimed| unclaimed.is_behind(core))
    }

    /// Whether so much waits for a reader that nothing more may be read.
    pub(super) fn has_slow_reader(&self, core: &Core) -> bool {
        self.has_full_reader && core.has_slow_reader()
    }

    /// Returns when events that nobody could take must be looked at again.
    pub(super) fn deadline(&self, core: &Core) -> Option<Instant> {
        let unclaimed = self.unclaimed.as_ref()?;
        Some(unclaimed.deadline(core))
    }

    /// Keeps events that nobody can take, from the first connection on.
    pub(super) fn gather(&mut self, core: &Core, now: Instant) {
        self.unclaimed = Some(Unclaimed::new(now));
        core.set_gathers(true);
    }

    /// Keeps an event that came before the namespace has accepted: handlers of the connection come first.
    pub(super) fn push_before_connect(&mut self, id: Option<AckId>, event: RawEvent) {
        self.bytes += event.args().held_bytes();
        self.before_connect.push_back((event, id));
    }

    /// Takes the events that came before the namespace has accepted.
    pub(super) fn take_before_connect(&mut self) -> VecDeque<(RawEvent, Option<AckId>)> {
        let events = std::mem::take(&mut self.before_connect);
        let bytes = events.iter().map(|(event, _)| event.args().held_bytes());
        self.bytes -= bytes.sum::<usize>();
        events
    }

    /// Gives an event of a connected socket to those who take it.
    pub(super) fn on_event(
        &mut self,
        turn: &mut Turn<'_, '_>,
        core: &Arc<Core>,
        id: Option<AckId>,
        event: RawEvent,
    ) {
        let ack = id.map_or_else(Ack::default, |id| {
            Ack::new(Sink::new(core), id, event.name())
        });
        match &self.unclaimed {
            Some(unclaimed) if !unclaimed.lets_pass(event.name(), core, turn.now) => {
                self.hand_out(turn, core, Some((event, ack)), Pace::Normal);
            }
            _ => self.deliver(turn, core, event, ack),
        }
    }

    /// Gives out the events that need not wait any more for somebody who can take them, and then a new one.
    pub(super) fn hand_out(
        &mut self,
        turn: &mut Turn<'_, '_>,
        core: &Arc<Core>,
        new: Option<(RawEvent, Ack)>,
        pace: Pace,
    ) {
        let Some(mut unclaimed) = self.unclaimed.take() else {
            return;
        };
        let takers = Takers::of(core);
        let now = turn.now;
        let is_over =
            unclaimed.hand_out(new, &takers, now, pace, |(event, ack), fate| match fate {
                Fate::Taken => self.deliver(turn, core, event, ack),
                Fate::Unhandled => core.count_unhandled(event.name()),
            });
        if is_over {
            core.set_gathers(false);
        } else {
            self.unclaimed = Some(unclaimed);
        }
    }

    /// Gives an event to readers and handlers, now or when those before it are done.
    fn deliver(&mut self, turn: &mut Turn<'_, '_>, core: &Arc<Core>, event: RawEvent, ack: Ack) {
        self.has_full_reader = core.publish(|| Received {
            event: event.clone(),
            ack: ack.clone(),
        });
        if self.queued.is_empty() && self.running.is_empty() {
            // The straight way: nothing of this socket is going on.
            self.start(turn, core, &event, &ack);
            return event.reuse();
        }
        self.bytes += event.args().held_bytes();
        self.queued.push_back((event, ack));
        self.run_queued(turn, core);
    }

    /// Starts waiting events while no other is being handled.
    fn run_queued(&mut self, turn: &mut Turn<'_, '_>, core: &Arc<Core>) {
        while !self.running.iter().any(Running::is_event)
            && let Some((event, ack)) = self.queued.pop_front()
        {
            self.bytes -= event.args().held_bytes();
            self.start(turn, core, &event, &ack);
            event.reuse();
        }
        if self.queued.is_empty() && self.queued.capacity() > 0 {
            self.queued = VecDeque::new();
        }
    }

    /// Calls the handlers of an event, unless no handle exists any more.
    fn start(&mut self, turn: &mut Turn<'_, '_>, core: &Arc<Core>, event: &RawEvent, ack: &Ack) {
        let (handlers, name) = (core.handlers(), event.name());
        let calls = handlers.calls(name);
        if calls.is_empty() {
            if !core.has_readers() {
                core.count_unhandled(name);
            }
            return;
        }
        let Some(guard) = turn.guard.upgrade() else {
            return;
        };
        if calls.has_once() {
            // Before the call: the handler may add itself again.
            core.remove_once(name);
        }
        let socket = Socket::new(Arc::clone(core), guard);
        let context = Context {
            event: Some(event),
            ack: Some(ack),
            ..Context::new(&socket)
        };
        core.in_span(name, &mut self.running, |running| {
            for handler in calls.all() {
                start(handler, &context, Some(ack), turn.cx, running, |error| {
                    socket.report(error);
                });
            }
        });
    }

    /// Calls handlers of the life cycle.
    pub(super) fn notify<K: ClientKind>(
        &mut self,
        turn: &mut Turn<'_, '_>,
        core: &Arc<Core>,
        facts: Facts<'_>,
        select: impl FnOnce(&Handlers) -> &[Erased<K>],
    ) {
        let handlers = core.handlers();
        let selected = select(&handlers);
        if selected.is_empty() {
            return;
        }
        let Some(guard) = turn.guard.upgrade() else {
            return;
        };
        let socket = Socket::new(Arc::clone(core), guard);
        let context = Context {
            reason: facts.reason,
            details: facts.details,
            failure: facts.failure,
            attempt: facts.attempt,
            ..Context::new(&socket)
        };
        for handler in selected {
            core.in_span(K::name(&context), &mut self.running, |running| {
                start(handler, &context, None, turn.cx, running, |error| {
                    socket.report(error);
                });
            });
        }
    }

    /// Polls the handlers that wait for something, and starts the events after them.
    pub(super) fn poll(&mut self, turn: &mut Turn<'_, '_>, core: &Arc<Core>) {
        if self.running.is_empty() {
            return;
        }
        let guard = turn.guard;
        self.running.retain_mut(|running| {
            let report = |error: &_| core.report(guard.upgrade().as_ref(), error);
            running.poll(turn.cx, report).is_pending()
        });
        if self.running.is_empty() {
            self.running = Vec::new();
        }
        self.run_queued(turn, core);
    }
}
