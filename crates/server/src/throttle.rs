//! Log lines that any client can cause in large numbers: one per pause, with the number of skipped lines.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Decides whether a line is due.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Option<(Instant, u64)>>);

impl Throttle {
    /// Returns the number of lines that were skipped since the last one, if one is due now.
    pub(crate) fn pass(&self) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, skipped)) if at.elapsed() < PAUSE => {
                *skipped += 1;
                None
            }
            other => {
                let skipped = other.map_or(0, |(_, skipped)| skipped);
                *other = Some((Instant::now(), 0));
                Some(skipped)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_and_the_others_are_counted() {
        let throttle = Throttle::default();
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        let long_ago = Instant::now()
            .checked_sub(PAUSE)
            .expect("a machine that runs");
        *throttle.0.lock().expect("nobody panics") = Some((long_ago, 2));
        assert_eq!(throttle.pass(), Some(2));
    }
}
