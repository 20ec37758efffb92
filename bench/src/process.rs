//! What the operating system knows about a process: CPU time, resident memory, limits.
//!
//! Read from the accounting of Linux; elsewhere a process cannot be observed and the functions say so.

use std::time::Duration;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

pub use system::{raise_descriptor_limit, resident, thread_time};

/// CPU time that a process has used, all its threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time. Counted by the scheduler in nanoseconds.
    pub cpu: Duration,
    /// User time in ticks of the kernel.
    pub user_ticks: u64,
    /// System time in ticks of the kernel.
    pub system_ticks: u64,
}

impl Usage {
    /// Reads the accounting of a process.
    ///
    /// # Errors
    /// The process does not exist, or the system has no such accounting.
    pub fn of(pid: u32) -> std::io::Result<Self> {
        system::usage(pid)
    }

    /// Returns what was used since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// Returns the share of user time, 0 to 1. Sampled by the kernel's tick: good to some percent over a second.
    pub fn user_share(self) -> f64 {
        let total = self.user_ticks + self.system_ticks;
        if total == 0 {
            0.0
        } else {
            crate::report::float(self.user_ticks) / crate::report::float(total)
        }
    }
}
