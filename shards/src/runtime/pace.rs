//! Pace: how long a busy shard rests between two turns, so that a turn is worth its price.
//!
//! A turn costs some microseconds whatever it does: an entry into the kernel, often a switch to another thread and
//! back, a wake for each shard that it has news for. A shard that has work enough rests for a moment after each turn;
//! what comes meanwhile shares the next one. A shard that has little to do does not rest: there latency counts.

use std::time::Duration;

use millrace_core::time::Millis;

/// Packets and messages a second from which on a shard rests.
const BUSY: u64 = 40_000;
/// How many of them a turn is to have.
const WORK_OF_A_TURN: u64 = 256;
/// The longest rest.
const REST_MAX: Duration = Duration::from_micros(200);
/// Events that end a rest.
pub(super) const EVENTS: usize = 64;
/// Over what time work is counted.
const WINDOW: Duration = Duration::from_millis(5);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Work since `since`.
    work: u64,
    since: Millis,
    rest: Duration,
}

impl Pace {
    /// Counts what a turn has done.
    pub(super) fn count(&mut self, now: Millis, work: u32) {
        self.work += u64::from(work);
        let passed = now.since(self.since);
        if passed < WINDOW {
            return;
        }
        let a_second = self.work * 1_000_000 / u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).max(1);
        self.rest = match a_second {
            BUSY.. => REST_MAX.min(Duration::from_micros(WORK_OF_A_TURN * 1_000_000 / a_second)),
            _ => Duration::ZERO,
        };
        (self.work, self.since) = (0, now);
    }

    /// How long to rest now; zero for a shard that is not busy.
    pub(super) const fn rest(&self) -> Duration {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(turns: u64, work: u32) -> Duration {
        let mut pace = Pace::default();
        for turn in 1..=turns {
            pace.count(Millis(turn), work);
        }
        pace.rest()
    }

    #[test]
    fn only_a_busy_shard_rests_and_the_busier_the_shorter() {
        assert_eq!(after(20, 10), Duration::ZERO, "10,000 a second");
        assert_eq!(after(20, 100), REST_MAX, "100,000 a second");
        assert_eq!(after(20, 2_560), Duration::from_micros(100));
        let mut pace = Pace::default();
        for turn in 1..20 {
            pace.count(Millis(turn), 1_000);
        }
        assert!(!pace.rest().is_zero());
        pace.count(Millis(1_000), 1);
        assert_eq!(pace.rest(), Duration::ZERO, "it was quiet since");
    }
}
