//! [`Usage`]: two readings of CPU time, and their difference.

use std::time::Duration;

use crate::report::float;

/// CPU time that a process and those that it has started have used, all their threads together.
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
    /// Returns what two processes have used together.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has the accounting")
    )]
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
        }
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
            float(self.user_ticks) / float(total)
        }
    }
}
