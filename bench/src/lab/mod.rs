//! The comparison of servers on one machine: pinned, interleaved, counted. Linux only.

mod cases;
mod compare;
mod counts;
mod machine;
mod memory;
mod page;
mod servers;
mod soak;
mod table;
mod traffic;

pub(crate) use compare::Compare;
pub(crate) use counts::{Instructions, Syscalls};
pub(crate) use memory::Memory;
pub(crate) use soak::Soak;
