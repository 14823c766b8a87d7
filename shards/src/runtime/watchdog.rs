//! Sees every shard's turn counter, and reports a turn that takes too long, with its phase.
//!
//! Runs on: a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::reactor::{Phase, Vitals};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A turn longer than this is reported.
const TURN_MAX: Duration = Duration::from_millis(100);
/// A shard that waits still turns each second; without a turn for so long it has not come back from the kernel.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Looks further apart than this mean that the whole process stood still.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// Reports of one shard are at least this far apart.
const REPORT_EVERY: Duration = Duration::from_secs(10);

struct Watched {
    vitals: Arc<Vitals>,
    turns: u64,
    since: Instant,
    reported: Option<Instant>,
    /// Long turns since the last report.
    unreported: u64,
    /// The turn that is under way has been counted.
    counted: bool,
}

/// Looks until the other end of `stop` is gone.
pub(crate) fn watch(shards: &[Arc<Vitals>], stop: &Receiver<()>) {
    let start = Instant::now();
    let mut shards: Vec<Watched> = shards.iter().map(|vitals| Watched::new(Arc::clone(vitals), start)).collect();
    let mut last = start;
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        let stood_still = now.duration_since(last) > STOOD_STILL;
        last = now;
        for (shard, watched) in shards.iter_mut().enumerate() {
            if stood_still {
                watched.since = now;
            }
            watched.look(shard, now);
        }
    }
}

impl Watched {
    const fn new(vitals: Arc<Vitals>, since: Instant) -> Self {
        Self { vitals, turns: 0, since, reported: None, unreported: 0, counted: false }
    }

    fn look(&mut self, shard: usize, now: Instant) {
        let (turns, phase) = (self.vitals.turns(), self.vitals.phase());
        if turns != self.turns || phase == Phase::Ended {
            self.turns = turns;
            self.since = now;
            self.counted = false;
            return;
        }
        let limit = if phase == Phase::Waiting { WAIT_MAX } else { TURN_MAX };
        if now.duration_since(self.since) < limit || self.counted {
            return;
        }
        self.counted = true;
        self.unreported += 1;
        if self.reported.is_none_or(|at| now.duration_since(at) >= REPORT_EVERY) {
            tracing::warn!(
                event = "shard-turn-long",
                shard,
                phase = ?phase,
                turns = self.unreported,
                "a shard's turn takes more than 100 ms: its clients wait"
            );
            self.reported = Some(now);
            self.unreported = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::engine::Counters;

    #[test]
    fn a_shard_that_waits_is_reported_only_when_a_turn_is_missing() {
        let vitals = Arc::new(Vitals::default());
        let start = Instant::now();
        let mut watched = Watched::new(Arc::clone(&vitals), start);
        let at = |ms| start + Duration::from_millis(ms);
        vitals.enter(Phase::Waiting);
        watched.look(0, at(1100));
        assert_eq!(watched.reported, None);
        Counters::count(&vitals.counters.turns);
        watched.look(0, at(1200));
        watched.look(0, at(3100));
        assert_eq!(watched.reported, None);
        watched.look(0, at(3250));
        assert_eq!(watched.reported, Some(at(3250)));
    }

    #[test]
    fn a_turn_over_a_tenth_of_a_second_is_reported_once() {
        let vitals = Arc::new(Vitals::default());
        let start = Instant::now();
        let mut watched = Watched::new(Arc::clone(&vitals), start);
        vitals.enter(Phase::Receiving);
        for ms in [50, 110, 160, 210] {
            watched.look(0, start + Duration::from_millis(ms));
        }
        assert_eq!(watched.reported, Some(start + Duration::from_millis(110)));
        assert_eq!(watched.unreported, 0);
    }
}
