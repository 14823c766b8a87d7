//! Pace: how far apart the turns of a busy shard begin, so that a turn is worth its price.
//!
//! A turn costs some microseconds whatever it does: an entry into the kernel, often a switch to another thread and
//! back, a wake for each shard that it has news for; and each socket that it reads or writes has a price of its own.
//! So a busy shard that is done early rests until the next turn is due, and what comes meanwhile shares it. The busier
//! it is, the longer: at a million messages a second half a millisecond, at fifty thousand fifty microseconds. A shard
//! that has little to do does not rest: there latency counts.

use std::time::{Duration, Instant};

use millrace_core::time::Millis;

/// Packets and messages a second from which on turns are paced.
const BUSY: u64 = 40_000;
/// From the beginning of a turn to the beginning of the next, for each packet and message a second.
const PERIOD_NANOS: u64 = 1;
/// The longest time between them.
const PERIOD_MAX: Duration = Duration::from_micros(500);
/// Events that end a rest.
pub(super) const EVENTS: usize = 256;
const GATHER: u32 = 2;
/// Over what time work is counted.
const WINDOW: Duration = Duration::from_millis(5);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Work since `since`.
    work: u64,
    since: Millis,
    /// Zero for a shard that is not busy.
    period: Duration,
    begun: Option<Instant>,
}

impl Pace {
    /// A turn begins.
    pub(super) fn begin(&mut self) {
        self.begun = (!self.period.is_zero()).then(Instant::now);
    }

    /// Counts what a turn has done.
    pub(super) fn count(&mut self, now: Millis, work: u32) {
        self.work += u64::from(work);
        let passed = now.since(self.since);
        if passed < WINDOW {
            return;
        }
        let a_second = self.work * 1_000_000 / u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).max(1);
        self.period = match a_second {
            BUSY.. => PERIOD_MAX.min(Duration::from_nanos(a_second * PERIOD_NANOS)),
            _ => Duration::ZERO,
        };
        (self.work, self.since) = (0, now);
    }

    pub(super) fn gather(&self) -> Duration {
        self.period / GATHER
    }

    /// How long to rest before the next turn.
    pub(super) fn rest(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| self.period.saturating_sub(begun.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(turns: u64, work: u32) -> Pace {
        let mut pace = Pace::default();
        for turn in 1..=turns {
            pace.begin();
            pace.count(Millis(turn), work);
        }
        pace
    }

    #[test]
    fn only_a_busy_shard_is_paced_and_the_busier_the_slower() {
        assert_eq!(after(20, 10).period, Duration::ZERO, "10,000 a second");
        assert_eq!(after(20, 100).period, Duration::from_micros(100));
        assert_eq!(after(20, 2_000).period, PERIOD_MAX);
        let mut pace = after(20, 2_000);
        pace.count(Millis(1_000), 1);
        assert_eq!(pace.rest(), Duration::ZERO, "it was quiet since");
    }

    #[test]
    fn a_turn_that_took_its_time_is_followed_by_the_next_at_once() {
        let mut pace = after(20, 2_000);
        pace.begin();
        assert!(!pace.rest().is_zero());
        std::thread::sleep(PERIOD_MAX);
        assert_eq!(pace.rest(), Duration::ZERO);
    }
}
