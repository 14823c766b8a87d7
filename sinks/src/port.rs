//! The shard's end of a sink: takes rows without waiting, wakes the worker at most once a turn.
//!
//! Runs on: one shard. Nothing here locks, waits or allocates.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Thread;

use millrace_core::ring::Producer;
use millrace_core::value::Record;

use crate::account::Account;
use crate::config::Overflow;

/// What became of a row that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is in the ring; the worker sees it after [`SinkPort::flush`].
    Taken,
    /// The buffer is full, or the sink has stopped: the row is dropped and counted.
    Dropped,
}

/// Rows that stay invisible to the worker at most, so that a long turn cannot fill the ring while the worker sleeps.
const STAGED_MAX: u32 = 256;

/// Where one shard puts the rows for one sink.
pub struct SinkPort {
    ring: Producer<Record>,
    account: Arc<Account>,
    shard: usize,
    worker: Thread,
    overflow: Overflow,
    bytes_max: u64,
    entered: u64,
    entered_bytes: u64,
    dropped_full: u64,
    dropped_stopped: u64,
    unflushed: bool,
    staged: u32,
}

impl SinkPort {
    pub(crate) fn new(
        ring: Producer<Record>,
        account: Arc<Account>,
        shard: usize,
        worker: Thread,
        overflow: Overflow,
        bytes_max: u64,
    ) -> Self {
        Self {
            ring,
            account,
            shard,
            worker,
            overflow,
            bytes_max,
            entered: 0,
            entered_bytes: 0,
            dropped_full: 0,
            dropped_stopped: 0,
            unflushed: false,
            staged: 0,
        }
    }

    /// The account of the sink.
    #[must_use]
    pub const fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Gives a row to the sink.
    #[inline]
    pub fn offer(&mut self, record: Record) -> Offered {
        self.unflushed = true;
        if self.account.is_closed() {
            self.dropped_stopped += 1;
            return Offered::Dropped;
        }
        let bytes = record.bytes() as u64;
        if self.has_room(bytes) && self.ring.try_push(record).is_ok() {
            self.entered += 1;
            self.entered_bytes += bytes;
            self.staged += 1;
            if self.staged >= STAGED_MAX {
                self.flush();
            }
            return Offered::Taken;
        }
        match self.overflow {
            Overflow::DropNewest => {
                self.dropped_full += 1;
                Offered::Dropped
            }
        }
    }

    /// The end of a turn: what was offered becomes visible to the worker and to readers of the account.
    #[inline]
    pub fn flush(&mut self) {
        if !std::mem::take(&mut self.unflushed) {
            return;
        }
        self.staged = 0;
        let counters = &self.account.ports[self.shard];
        // Before the rows themselves: the worker must not take what has not entered.
        counters.entered_bytes.store(self.entered_bytes, Ordering::Release);
        counters.entered.store(self.entered, Ordering::Release);
        counters.dropped_full.store(self.dropped_full, Ordering::Release);
        counters.dropped_stopped.store(self.dropped_stopped, Ordering::Release);
        if self.ring.publish() {
            self.worker.unpark();
        }
    }

    /// Bytes in the ring stay within the bound; one row alone is always let in.
    #[inline]
    fn has_room(&self, bytes: u64) -> bool {
        let taken = self.account.worker.taken_bytes[self.shard].load(Ordering::Acquire);
        let held = self.entered_bytes.saturating_sub(taken);
        held == 0 || held + bytes <= self.bytes_max
    }
}

impl Drop for SinkPort {
    fn drop(&mut self) {
        self.flush();
    }
}
