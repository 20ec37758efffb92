//! The time of sessions: tokio's, so that a test can pause it and let it advance. Called where the protocol crates need it.

use std::time::Instant;

/// Returns the time of tokio's clock: the system's, except under a paused runtime.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
