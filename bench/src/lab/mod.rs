//! The comparison of servers on one machine: pinned, interleaved, counted. Linux only.

mod cases;
mod compare;
mod counts;
mod machine;
mod servers;
mod table;

pub(crate) use compare::Compare;
pub(crate) use counts::{Instructions, Syscalls};
