//! Counts the background tasks of a shard, so that its reactor yields to them.
//!
//! Runs on: the shard's thread; each has a count of its own.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::Duration;

/// How long the reactor sleeps at most while a background task is pending.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(10);

thread_local! {
    static PENDING: Cell<u32> = const { Cell::new(0) };
}

/// One pending task of this thread's shard; held by the task, dropped at its end.
#[derive(Debug)]
pub struct Pending(PhantomData<*const ()>);

impl Pending {
    /// Announces a task.
    #[must_use]
    pub fn new() -> Self {
        PENDING.set(PENDING.get() + 1);
        Self(PhantomData)
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        PENDING.set(PENDING.get() - 1);
    }
}

/// Whether any task of this thread is pending.
pub(crate) fn is_pending() -> bool {
    PENDING.get() > 0
}
