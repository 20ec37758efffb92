//! When handlers and readers were attached, as far as early events wait for them.

use std::time::{Duration, Instant};

/// What is attached one right after the other sees the same events: they are handed out so long after the first of it.
pub(crate) const SETTLE: Duration = Duration::from_millis(100);

/// What was attached while events are gathered.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attached {
    /// When the first of those was attached that were attached one right after the other.
    pub(crate) first: Option<Instant>,
    /// How often something was attached.
    pub(crate) changes: u64,
}

/// Whether nothing was attached just now, so that no more is to be expected.
pub(crate) fn is_settled(changed: Option<Instant>, now: Instant) -> bool {
    changed.is_none_or(|changed| now >= changed + SETTLE)
}
