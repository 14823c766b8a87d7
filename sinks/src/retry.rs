//! How long to wait before the next try: twice as long each time up to a bound, and never in step with others.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waiting times of one sink.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    tries: u32,
    seed: u64,
}

impl Backoff {
    /// From about `min` up to `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), tries: 0, seed: RandomState::new().hash_one(0_u8) }
    }

    /// The next waiting time: between half and all of the present bound.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self.min.saturating_mul(1 << self.tries.min(20)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        bound / 2 + bound.mul_f64(self.random() / 2.0)
    }

    /// Something succeeded: the next failure waits `min` again.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    /// At least 0, less than 1 (splitmix64).
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    fn random(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_to_its_bound_and_starts_again_after_success() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(min, max);
        for tries in 0..100 {
            let bound = min.saturating_mul(1 << tries.min(20)).min(max);
            let wait = backoff.next_wait();
            assert!(wait >= bound / 2 && wait <= bound, "{tries}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= min);
    }
}
