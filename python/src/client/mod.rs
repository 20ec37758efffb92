//! The clients of this process: one [`ClientEngine`] for each connection to a server, and the queues through which they tell
//! Python what happens.
//!
//! Many clients share one queue, and all of them the threads of the runtime, so that an idle client has no thread of its own.

mod auth;
mod engine;
mod event;
mod options;
mod queue;

pub(crate) use self::{
    auth::AuthRequest,
    engine::ClientEngine,
    event::{ClientEvent, Prepare, event_to_python},
    queue::ClientQueue,
};

/// The kinds of events, as constants of the module.
pub(crate) use self::event::KINDS;
