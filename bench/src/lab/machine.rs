//! The machine of the comparison: which CPU runs what, and the priority over other work.

use std::fs;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::output::note;

const AUTOGROUP: &str = "/proc/self/autogroup";

/// The CPUs of servers and load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pinning {
    pub(super) server: usize,
    pub(super) load: usize,
}

/// A raised priority of this login session. Reset on drop.
#[derive(Debug)]
pub(super) struct Priority {
    is_raised: bool,
}

impl Pinning {
    /// Runs `start` on the servers' CPU, which its children inherit, and returns to the load's CPU.
    pub(super) fn start<T>(self, start: impl FnOnce() -> T) -> T {
        pin(self.server);
        let started = start();
        pin(self.load);
        started
    }
}

impl Priority {
    /// Raises the priority of this session's scheduler group, because `nice` has no effect between sessions.
    pub(super) fn raise() -> Self {
        let is_raised = fs::write(AUTOGROUP, "-10").is_ok();
        if !is_raised {
            note(
                "the session's priority cannot be raised; other work on this machine disturbs more",
            );
        }
        Self { is_raised }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        if self.is_raised {
            // It is a best effort.
            let _ = fs::write(AUTOGROUP, "0");
        }
    }
}

/// Binds the calling thread to a CPU.
fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if let Err(error) = set
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
    {
        note(&format!("cannot run on CPU {cpu} alone: {error}"));
    }
}
