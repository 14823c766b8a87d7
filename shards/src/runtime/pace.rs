//! Pace: how far apart the turns of a busy shard begin, so that a turn is worth its price.
//!
//! A turn costs some microseconds whatever it does: an entry into the kernel, often a switch to another thread and
//! back, a wake for each shard that it has news for; and each socket that it reads or writes has a price of its own.
//! So a busy shard that is done early rests until the next turn is due, and what comes meanwhile shares it. The busier
//! it is, the longer: at a million messages a second half a millisecond, at fifty thousand fifty microseconds. If nothing
//! came in that time it sleeps, and once something comes it waits a little for what follows. A shard that has little to
//! do does not rest: there latency counts.
//!
//! A few messages for very many are worth a rest of their own: what follows them goes to as many, and a write of two
//! costs hardly more than a write of one.

use std::time::{Duration, Instant};

use millrace_core::time::Millis;

use crate::shard::logic::Work;

/// Packets and messages a second, or writes, from which on turns are paced.
const BUSY: u64 = 40_000;
/// From the beginning of a turn to the beginning of the next, for each packet and message a second.
const PERIOD_NANOS: u64 = 1;
/// The longest time between them.
const PERIOD_MAX: Duration = Duration::from_micros(500);
/// Writes for each message that was taken in, from which on a turn is followed by a rest, if it is of so many writes.
const WRITES_EACH: u32 = 4;
const WRITES_MIN: u32 = 64;
/// How long for each of them.
const WRITE_NANOS: u64 = 2000;
/// Events that end a rest.
pub(super) const EVENTS: usize = 256;
/// Over what time work is counted.
const WINDOW: Duration = Duration::from_millis(5);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Since `since`.
    taken: u64,
    writes: u64,
    since: Millis,
    /// What the writes of the last turn are worth.
    spread: Duration,
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
    pub(super) fn count(&mut self, now: Millis, work: Work) {
        self.taken += u64::from(work.taken);
        self.writes += u64::from(work.writes);
        let is_spread = work.writes >= WRITES_MIN && work.writes / WRITES_EACH >= work.taken;
        let worth = Duration::from_nanos(u64::from(work.writes) * WRITE_NANOS);
        self.spread = if is_spread { PERIOD_MAX.min(worth) } else { Duration::ZERO };
        let passed = now.since(self.since);
        if passed < WINDOW {
            return;
        }
        let a_second =
            self.taken.max(self.writes) * 1_000_000 / u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).max(1);
        self.period = match a_second {
            BUSY.. => PERIOD_MAX.min(Duration::from_nanos(a_second * PERIOD_NANOS)),
            _ => Duration::ZERO,
        };
        (self.taken, self.writes, self.since) = (0, 0, now);
    }

    /// How long to wait for more after the event that ended a sleep.
    pub(super) fn gather(&self) -> Duration {
        self.period / 2
    }

    /// How long to rest before the next turn.
    pub(super) fn rest(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| self.period.saturating_sub(begun.elapsed()).max(self.spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(turns: u64, taken: u32) -> Pace {
        let mut pace = Pace::default();
        for turn in 1..=turns {
            pace.begin();
            pace.count(Millis(turn), Work { taken, writes: 1 });
        }
        pace
    }

    #[test]
    fn only_a_busy_shard_is_paced_and_the_busier_the_slower() {
        assert_eq!(after(20, 10).period, Duration::ZERO, "10,000 a second");
        assert_eq!(after(20, 100).period, Duration::from_micros(100));
        assert_eq!(after(20, 2_000).period, PERIOD_MAX);
        let mut pace = after(20, 2_000);
        pace.count(Millis(1_000), Work { taken: 1, writes: 1 });
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

    #[test]
    fn few_messages_for_many_are_followed_by_a_rest() {
        let mut pace = after(20, 100);
        pace.begin();
        pace.count(Millis(21), Work { taken: 20, writes: 200 });
        assert_eq!(pace.rest(), Duration::from_micros(400));
        pace.count(Millis(21), Work { taken: 60, writes: 200 });
        assert!(pace.rest() <= Duration::from_micros(100), "many messages went to each");
        let mut pace = after(20, 1);
        pace.begin();
        pace.count(Millis(21), Work { taken: 1, writes: 100 });
        assert_eq!(pace.rest(), Duration::ZERO, "it is not busy");
    }
}
