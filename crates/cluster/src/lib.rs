//! Rooms and targets: the part of a cluster that a single node needs. No I/O, no locks.
//!
//! [`Rooms`] stores which member is in which room, [`Target`] describes the recipients of a broadcast, and
//! [`Rooms::for_each`] selects them, each once. The server keeps one [`Rooms`] per shard of a namespace.

mod rooms;
mod target;

pub use rooms::{Key, Rooms};
pub use target::Target;
