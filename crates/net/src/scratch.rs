//! The read buffer of a worker thread. Connections borrow it while they read, so an idle connection has no buffer.

use std::cell::RefCell;

/// The most bytes of one read: more than the largest datagram, so that a larger one is noticed.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the buffer of this thread. `f` must not call this itself.
pub(crate) fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            scratch.resize(SCRATCH_BYTES, 0);
        }
        f(scratch)
    })
}
