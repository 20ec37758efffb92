//! The handlers of one socket. Adding a handler replaces the whole set, so that handlers are called without a lock.

use std::{cell::Cell, collections::HashMap, fmt, sync::Arc};

use kokanee_handler::{Erased, EventError, check_event_name};
use kokanee_socketio::RawEvent;

use crate::{
    extract::{OnAttempt, OnConnect, OnConnectError, OnDisconnect, OnEvent},
    socket::Socket,
};

pub(crate) type ErrorHandler = Arc<dyn Fn(&Socket, &EventError) + Send + Sync>;
type OutgoingHandler = Arc<dyn Fn(&RawEvent) + Send + Sync>;

thread_local! {
    static HANDLING: Cell<bool> = const { Cell::new(false) };
}

/// Marks that this thread runs handlers, until it is dropped.
pub(crate) struct Handling {
    before: bool,
}

impl Handling {
    pub(crate) fn start() -> Self {
        let before = HANDLING.replace(true);
        Self { before }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        HANDLING.set(self.before);
    }
}

/// Whether this thread runs a handler, so that a wait delays other handlers.
pub(crate) fn is_handling() -> bool {
    HANDLING.get()
}

#[derive(Clone, Default)]
pub(crate) struct Handlers {
    pub(crate) connect: Vec<Erased<OnConnect>>,
    pub(crate) disconnect: Vec<Erased<OnDisconnect>>,
    pub(crate) connect_error: Vec<Erased<OnConnectError>>,
    pub(crate) reconnect_attempt: Vec<Erased<OnAttempt>>,
    pub(crate) reconnect: Vec<Erased<OnAttempt>>,
    pub(crate) reconnect_failed: Vec<Erased<OnConnect>>,
    pub(crate) upgrade: Vec<Erased<OnConnect>>,
    pub(crate) any: Vec<Erased<OnEvent>>,
    /// For events without a handler by name.
    pub(crate) fallback: Vec<Erased<OnEvent>>,
    pub(crate) outgoing: Vec<OutgoingHandler>,
    /// The handlers by name. While early events are kept, a name whose handlers were removed stays, with an empty list.
    events: HashMap<Box<str>, Vec<Listener>>,
    pub(crate) error: Option<ErrorHandler>,
}

#[derive(Clone)]
struct Listener {
    handler: Erased<OnEvent>,
    once: bool,
}

impl Handlers {
    pub(crate) fn on(&mut self, event: &str, handler: Erased<OnEvent>, once: bool) {
        self.events
            .entry(event.into())
            .or_default()
            .push(Listener { handler, once });
    }

    /// Returns the removed handlers, so that the caller drops them without a lock.
    pub(crate) fn off(&mut self, event: &str, stays_known: bool) -> impl Sized + use<> {
        if stays_known {
            self.events.get_mut(event).map(std::mem::take)
        } else {
            self.events.remove(event)
        }
    }

    /// Forgets the names of handlers that were removed.
    pub(crate) fn forget_removed(&mut self) {
        self.events.retain(|_, listeners| !listeners.is_empty());
    }

    /// Whether there is a handler of any event.
    pub(crate) fn take_some(&self) -> bool {
        let mut listeners = self.events.values();
        !self.any.is_empty()
            || !self.fallback.is_empty()
            || listeners.any(|listeners| !listeners.is_empty())
    }

    /// Whether a handler of this name, or the fallback, is called for an event. Handlers of all events take it only if there
    /// are no handlers by name.
    pub(crate) fn take(&self, name: &str) -> bool {
        self.event(name).next().is_some()
            || !self.any.is_empty() && !self.events.values().any(|listeners| !listeners.is_empty())
    }

    /// Whether there is a handler of this name.
    pub(crate) fn name(&self, name: &str) -> bool {
        self.events
            .get(name)
            .is_some_and(|listeners| !listeners.is_empty())
    }

    /// Whether there is a handler of this name, or was one while early events were kept.
    pub(crate) fn know(&self, name: &str) -> bool {
        self.events.contains_key(name)
    }

    /// Returns the handlers of an event, or the fallback handlers if it has none.
    pub(crate) fn event(&self, name: &str) -> impl Iterator<Item = &Erased<OnEvent>> {
        let listeners = self.events.get(name).map_or(&[][..], Vec::as_slice);
        let fallback = match listeners {
            [] => self.fallback.as_slice(),
            _ => &[],
        };
        let own = listeners.iter().map(|listener| &listener.handler);
        own.chain(fallback)
    }

    /// Whether an event has handlers that are called only once.
    pub(crate) fn has_once(&self, name: &str) -> bool {
        self.events
            .get(name)
            .is_some_and(|listeners| listeners.iter().any(|listener| listener.once))
    }

    pub(crate) fn remove_once(&mut self, name: &str, stays_known: bool) {
        if let Some(listeners) = self.events.get_mut(name) {
            listeners.retain(|listener| !listener.once);
            if listeners.is_empty() && !stays_known {
                self.events.remove(name);
            }
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("events", &self.events.keys())
            .finish_non_exhaustive()
    }
}

/// Checks that a server can send events of this name.
#[track_caller]
pub(crate) fn check_event(event: &str) {
    check_event_name(event, |event| match event {
        "connect" | "connection" => Some("on_connect(async |socket: Socket| …)"),
        "disconnect" | "disconnecting" => Some("on_disconnect(async |reason: DisconnectReason| …)"),
        "connect_error" => Some("on_connect_error(async |failure: Failure| …)"),
        _ => None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_removed_handlers_are_forgotten() {
        let mut handlers = Handlers::default();
        let add = |handlers: &mut Handlers, once| {
            let handler = kokanee_handler::Handler::<(), OnEvent>::erase(async || {});
            handlers.on("a", handler, once);
        };
        for stays_known in [true, false] {
            add(&mut handlers, true);
            handlers.remove_once("a", stays_known);
            assert_eq!(handlers.know("a"), stays_known);
            add(&mut handlers, false);
            let _ = handlers.off("a", stays_known);
            assert_eq!(handlers.know("a"), stays_known);
            assert!(!handlers.take_some());
        }
        add(&mut handlers, false);
        let _ = handlers.off("a", true);
        handlers.forget_removed();
        assert!(!handlers.know("a"));
    }
}
