//! The time as the state machines see it: an argument, never a clock.

use std::time::Duration;

/// One reading of both clocks, taken once a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Monotonic time since an arbitrary start; all deadlines are in this.
    pub monotonic: Millis,
    /// Wall clock, milliseconds since 1970-01-01T00:00:00Z; only for people and payloads.
    pub unix: Millis,
}

/// Milliseconds on one of the clocks of [`Time`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// Later than any time that will be met: "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment plus `duration`, never past [`Millis::NEVER`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this moment; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}
