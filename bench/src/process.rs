//! What the operating system knows about a process: CPU time, resident memory, limits.
//!
//! Read from the accounting of Linux; elsewhere a process cannot be observed and the functions say so.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod usage;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

pub use self::usage::Usage;
pub use system::{raise_descriptor_limit, resident, thread_time};

impl Usage {
    /// Reads the accounting of a process and of those that it has started.
    ///
    /// # Errors
    /// The process does not exist, or the system is not supported.
    pub fn of(pid: u32) -> std::io::Result<Self> {
        system::usage(pid)
    }
}
