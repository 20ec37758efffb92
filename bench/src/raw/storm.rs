//! The scenario storm: schedules the reconnection of cut connections, as after the restart of a server or a proxy.
//!
//! Failed attempts are retried with the back-off of the reference's clients: 1 s, doubled each time up to 5 s, with a random
//! jitter of half of it.

use std::time::{Duration, Instant};

/// The delay before the second attempt.
const DELAY: Duration = Duration::from_secs(1);
/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// Random jitter as a share of the delay.
const RANDOMIZATION: f64 = 0.5;

/// A running wave: which connections are started when.
#[derive(Debug)]
pub(super) struct Storm {
    /// When the connections were cut.
    pub(super) start: Instant,
    /// Connections to start, the next one last.
    due: Vec<(Instant, usize)>,
    /// Attempts of each connection.
    attempts: Vec<u32>,
    chance: Chance,
}

impl Storm {
    /// Schedules the reconnection of cut connections over `spread`.
    pub(super) fn new(count: usize, spread: Duration, now: Instant) -> Self {
        let mut chance = Chance::default();
        let mut due: Vec<_> = (0..count)
            .map(|index| (now + spread.mul_f64(chance.next()), index))
            .collect();
        due.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            start: now,
            due,
            attempts: vec![0; count],
            chance,
        }
    }

    /// Returns a connection that is due now.
    pub(super) fn due(&mut self, now: Instant) -> Option<usize> {
        self.due
            .pop_if(|(at, _)| *at <= now)
            .map(|(_, index)| index)
    }

    /// Returns the time until the next connection is due.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let (at, _) = self.due.last()?;
        Some(at.saturating_duration_since(now))
    }

    /// Schedules another attempt of connections that failed.
    pub(super) fn repeat(&mut self, lost: &[usize], now: Instant) {
        if lost.is_empty() {
            return;
        }
        for &index in lost {
            let delay = delay(self.attempts[index], self.chance.next());
            self.attempts[index] += 1;
            self.due.push((now + delay, index));
        }
        self.due.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// Returns the delay before the next attempt, after `attempts` failed ones.
fn delay(attempts: u32, chance: f64) -> Duration {
    let delay = DELAY.saturating_mul(2_u32.saturating_pow(attempts));
    delay
        .mul_f64(1.0 + RANDOMIZATION * (2.0 * chance - 1.0))
        .min(MAX_DELAY)
}

/// Pseudo-random numbers, the same in each run.
#[derive(Debug)]
struct Chance(u64);

impl Default for Chance {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Chance {
    /// Returns the next number, from 0 to 1.
    fn next(&mut self) -> f64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let [.., a, b, c, d] = self.0.to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_with_jitter() {
        let seconds = |attempts, chance| delay(attempts, chance).as_secs_f64();
        let near = |value: f64, expected: f64| (value - expected).abs() < 1e-9;
        assert!(near(seconds(0, 0.0), 0.5) && near(seconds(0, 1.0), 1.5));
        assert!(near(seconds(1, 0.5), 2.0) && near(seconds(2, 0.5), 4.0));
        assert!(near(seconds(3, 0.5), 5.0) && near(seconds(40, 1.0), 5.0));
    }

    #[test]
    fn chance_spreads_over_its_range() {
        let mut chance = Chance::default();
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let number = chance.next();
            let tenth = tenths
                .iter_mut()
                .enumerate()
                .find(|(index, _)| number * 10.0 <= f64::from(u8::try_from(*index).unwrap() + 1));
            *tenth.unwrap().1 += 1;
        }
        assert!(
            tenths.iter().all(|&count| (800..1200).contains(&count)),
            "{tenths:?}"
        );
    }
}
