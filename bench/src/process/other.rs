//! Other systems, which are not supported.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::usage::Usage;

/// Always fails, because this system is not supported.
pub(super) fn usage(_pid: u32) -> io::Result<Usage> {
    Err(ErrorKind::Unsupported.into())
}

/// Always fails, because this system is not supported.
///
/// # Errors
/// [`ErrorKind::Unsupported`].
pub fn resident(_pid: u32) -> io::Result<u64> {
    Err(ErrorKind::Unsupported.into())
}

/// Returns `None`, because this system is not supported.
pub fn thread_time() -> Option<Duration> {
    None
}

/// Leaves the limit as it is.
pub fn raise_descriptor_limit(_needed: u64) {}
