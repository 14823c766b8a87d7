//! What is measured and what is only made ready: a path says it, the meter keeps to it.

use std::time::{Duration, Instant};

/// The function whose inside callgrind counts, as it is named in a profile.
pub const MEASURED: &str = "millrace_bench::meter::measured";

/// Measures parts of a path.
#[derive(Debug, Default)]
pub struct Meter {
    counts: bool,
    spent: Duration,
}

impl Meter {
    /// One that only times.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What runs in [`Meter::run`] is counted from now on, if callgrind watches this process.
    pub const fn count(&mut self) {
        self.counts = true;
    }

    /// Time spent in [`Meter::run`].
    #[must_use]
    pub const fn spent(&self) -> Duration {
        self.spent
    }

    /// Runs a part that is measured. Not within itself.
    #[inline(always)]
    pub fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        if self.counts {
            return measured(part);
        }
        let begun = Instant::now();
        let result = part();
        self.spent += begun.elapsed();
        result
    }
}

/// See [`MEASURED`].
#[inline(never)]
fn measured<R>(part: impl FnOnce() -> R) -> R {
    part()
}
