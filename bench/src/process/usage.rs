//! [`Usage`]: two readings of CPU time, and their difference.

use std::time::Duration;

use crate::report::float;

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
            float(self.user_ticks) / float(total)
        }
    }
}
