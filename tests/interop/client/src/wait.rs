//! Bounded waits. Nothing is measured against the bound.

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};

/// The longest that a test waits for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Waits for `future`.
///
/// # Panics
/// It is not ready within [`LIMIT`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let output = timeout(LIMIT, future).await;
    output.unwrap_or_else(|_| panic!("nothing within {LIMIT:?}: {what}"))
}

/// Waits until `condition` holds.
///
/// # Panics
/// It does not hold within [`LIMIT`].
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
