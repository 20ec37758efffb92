//! Rooms, targets and the log: the part of a cluster that a single node needs. No I/O, no locks.
//!
//! [`Rooms`] stores which member is in which room, [`Target`] describes the recipients of a broadcast, and
//! [`Rooms::for_each`] selects them, each once. The server keeps one [`Rooms`] per shard of a namespace.
//! [`Log`] stores what was sent, for members that come back after their connection was lost.

mod log;
mod rooms;
mod target;
mod texts;

pub use log::{
    History, InvalidPosition, Log, LogLimits, Member, Missed, Position, PositionText, Recipients,
    Trimmed,
};
pub use rooms::{Key, Rooms};
pub use target::Target;
