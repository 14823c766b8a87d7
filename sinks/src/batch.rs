//! Rows gathered until there are enough of them, by number or bytes, or the first one has waited long enough.

use std::time::{Duration, Instant};

use millrace_core::value::Record;

/// When a batch is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows.
    pub rows: usize,
    /// Bytes of all rows; a larger row is a batch of its own.
    pub bytes: usize,
    /// How long the first row may wait for others.
    pub age: Duration,
}

/// A batch while it is gathered.
#[derive(Debug)]
pub struct Batch {
    limits: BatchLimits,
    rows: Vec<Record>,
    bytes: usize,
    first_at: Option<Instant>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, rows: Vec::new(), bytes: 0, first_at: None }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Record, now: Instant) {
        self.bytes += row.bytes();
        self.rows.push(row);
        self.first_at.get_or_insert(now);
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether no more rows belong into it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    /// How much longer it may wait for rows; zero when it is due, nothing when it is empty.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        let first_at = self.first_at?;
        if self.is_full() {
            return Some(Duration::ZERO);
        }
        Some(self.limits.age.saturating_sub(now.saturating_duration_since(first_at)))
    }

    /// Takes the rows; the batch is empty again.
    pub fn take(&mut self) -> Vec<Record> {
        self.bytes = 0;
        self.first_at = None;
        std::mem::take(&mut self.rows)
    }
}
