//! The allocator of the program, and what it counts.
//!
//! glibc keeps what many clients have used at the same time for good: after a thousand slow POSTs hundreds of megabytes. jemalloc
//! gives it back after about ten seconds, by threads of its own, so that an idle server does so, too. Elsewhere the system's
//! allocator is used.

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that are allocated and not freed. `None` with an allocator that does not count them.
#[cfg(target_os = "linux")]
pub(crate) fn live_bytes() -> Option<usize> {
    use tikv_jemalloc_ctl::{epoch, stats};
    // The counters of all threads are added up at this.
    epoch::advance().ok()?;
    stats::allocated::read().ok()
}

/// Bytes that are allocated and not freed. `None` with an allocator that does not count them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn live_bytes() -> Option<usize> {
    None
}
