//! When to try again: exponential back-off with jitter, as the JavaScript client computes it.

use std::time::Duration;

use kokanee_net::Backoff;

/// How a client reconnects.
#[derive(Debug, Clone)]
pub(crate) struct Reconnection {
    pub(crate) enabled: bool,
    /// Attempts before giving up. `None`: never give up.
    pub(crate) attempts: Option<u32>,
    pub(crate) delay: Duration,
    pub(crate) delay_max: Duration,
    /// From 0 to 1: how much of the delay is left to chance.
    pub(crate) randomization: f64,
}

impl Default for Reconnection {
    fn default() -> Self {
        Self {
            enabled: true,
            attempts: None,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(5),
            randomization: 0.5,
        }
    }
}

impl Reconnection {
    /// The delay before attempt `attempt`, which counts from 0. `random` is from 0 to 1, and different each time.
    pub(crate) fn delay(&self, attempt: u32, random: f64) -> Duration {
        let backoff = Backoff {
            delay: self.delay,
            delay_max: self.delay_max,
            randomization: self.randomization,
            attempts: self.attempts,
        };
        backoff.delay_at(attempt, random)
    }
}

/// A random number from 0 to 1.
pub(crate) fn random() -> f64 {
    // Without random bytes all clients of this process wait the same time, which is better than not to reconnect.
    let number = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(attempt: u32, random: f64) -> u128 {
        Reconnection::default().delay(attempt, random).as_millis()
    }

    #[test]
    fn delays_double_up_to_the_largest() {
        let plain = |attempt| {
            Reconnection {
                randomization: 0.0,
                ..Reconnection::default()
            }
            .delay(attempt, 0.7)
        };
        assert_eq!(plain(0), Duration::from_secs(1));
        assert_eq!(plain(1), Duration::from_secs(2));
        assert_eq!(plain(2), Duration::from_secs(4));
        assert_eq!(plain(3), Duration::from_secs(5));
        assert_eq!(plain(u32::MAX), Duration::from_secs(5));
    }

    #[test]
    fn jitter_goes_both_ways() {
        assert_eq!(millis(0, 0.3), 1150);
        assert_eq!(millis(0, 0.4), 800);
        assert_eq!(millis(0, 0.0), 1000);
        assert_eq!(millis(0, 0.99), 1495);
        assert_eq!(millis(9, 0.4), 5000);
    }
}
