//! What happens at the host's own listener, on its way to Python: new requests, and requests that somebody waits for.

use std::sync::Arc;

use super::exchange::Shared;
use crate::waitable::{Item, Waitable};

/// What Python gets.
pub(crate) enum Event {
    /// A request.
    Request(Arc<Shared>),
    /// A request or a WebSocket that Python has asked to be woken for, by its id.
    Ready(u64),
}

impl Item for Event {
    fn counts(&self) -> bool {
        matches!(self, Self::Request(_))
    }
}

/// Its bound is that of requests: more are answered with 503.
pub(crate) type Queue = Waitable<Event>;
