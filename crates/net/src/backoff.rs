//! [`Backoff`]: the delays between attempts. Exponential, with jitter, as the JavaScript client of Socket.IO computes
//! them.

use std::time::Duration;

/// The delays between attempts.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kokanee_net::Backoff;
///
/// // 100 ms, 200 ms, 400 ms, … 10 s, without chance; ten attempts in all.
/// let backoff = Backoff {
///     delay: Duration::from_millis(100),
///     delay_max: Duration::from_secs(10),
///     randomization: 0.0,
///     attempts: Some(10),
/// };
/// assert_eq!(backoff.delay(2), Duration::from_millis(400));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay after the first failure. It doubles with each further one. Default 1 s.
    pub delay: Duration,
    /// The longest delay. Default 5 s.
    pub delay_max: Duration,
    /// The random part of the delay, from 0 to 1, so that many clients do not reconnect at once. Default 0.5.
    pub randomization: f64,
    /// Attempts before giving up. Default `None`: never.
    pub attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(5),
            randomization: 0.5,
            attempts: None,
        }
    }
}

impl Backoff {
    /// Returns the delay before attempt `attempt`, which counts from 0.
    pub fn delay(&self, attempt: u32) -> Duration {
        self.delay_at(attempt, random())
    }

    /// Returns the delay before attempt `attempt` for a given random number from 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kokanee_net::Backoff;
    ///
    /// assert_eq!(Backoff::default().delay_at(0, 0.3), Duration::from_millis(1150));
    /// assert_eq!(Backoff::default().delay_at(0, 0.4), Duration::from_millis(800));
    /// ```
    pub fn delay_at(&self, attempt: u32, random: f64) -> Duration {
        let base = self.delay.as_secs_f64() * 2_f64.powi(attempt.min(60).cast_signed());
        let deviation = random * self.randomization * base;
        // As in JavaScript: a digit of the same random number decides the sign.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a digit"
        )]
        let up = (random * 10.0) as u32 % 2 == 1;
        let delay = if up {
            base + deviation
        } else {
            base - deviation
        };
        Duration::try_from_secs_f64(delay.max(0.0))
            .unwrap_or(self.delay_max)
            .min(self.delay_max)
    }
}

/// Returns a random number from 0 to 1.
fn random() -> f64 {
    // Without random bytes all clients of this process wait equally long, which is better than not retrying.
    let number = getrandom::u32().unwrap_or(u32::MAX / 2);
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(attempt: u32, random: f64) -> u128 {
        Backoff::default().delay_at(attempt, random).as_millis()
    }

    #[test]
    fn delays_double_up_to_the_largest() {
        let plain = |attempt| {
            Backoff {
                randomization: 0.0,
                ..Backoff::default()
            }
            .delay_at(attempt, 0.7)
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
