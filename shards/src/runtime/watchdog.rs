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
    let mut shards: Vec<Watched> = shards
        .iter()
        .map(|vitals| Watched {
            vitals: Arc::clone(vitals),
            turns: 0,
            since: start,
            reported: None,
            unreported: 0,
            counted: false,
        })
        .collect();
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        for (shard, watched) in shards.iter_mut().enumerate() {
            watched.look(shard, now);
        }
    }
}

impl Watched {
    fn look(&mut self, shard: usize, now: Instant) {
        let (turns, phase) = (self.vitals.turns(), self.vitals.phase());
        if turns != self.turns || matches!(phase, Phase::Waiting | Phase::Ended) {
            self.turns = turns;
            self.since = now;
            self.counted = false;
            return;
        }
        if now.duration_since(self.since) < TURN_MAX || self.counted {
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
