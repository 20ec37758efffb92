//! The allocator of the program, and its statistics.
//!
//! On Linux the program uses jemalloc. glibc never returns the memory of a load peak to the system: after a thousand slow POSTs
//! it keeps hundreds of megabytes. jemalloc returns it after about ten seconds, with background threads, so that an idle server
//! does so, too. Other systems use their own allocator.

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Returns the bytes that are allocated and not freed; `None` if the allocator does not count them.
#[cfg(target_os = "linux")]
pub(crate) fn live_bytes() -> Option<usize> {
    use tikv_jemalloc_ctl::{epoch, stats};
    // This adds up the counters of all threads.
    epoch::advance().ok()?;
    stats::allocated::read().ok()
}

/// Returns the bytes that are allocated and not freed; `None` if the allocator does not count them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn live_bytes() -> Option<usize> {
    None
}
