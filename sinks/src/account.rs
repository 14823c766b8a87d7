//! What happened to each row: `accepted = written + rejected + dropped + queued + inflight`, at every moment.
//!
//! Each counter has one writer and only grows. A shard counts what it hands over, the worker what it takes and what
//! became of it; queued and inflight are the differences. A reader loads what comes later in a row's life first, so that
//! no difference is ever negative, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sink::Reason;

/// Counters of one sink.
#[derive(Debug)]
pub struct Account {
    name: String,
    pub(crate) ports: Box<[PortCounters]>,
    pub(crate) worker: WorkerCounters,
    state: AtomicU8,
    closed: AtomicBool,
    words: Mutex<Words>,
}

/// Counters that one shard writes. They are kept apart by cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct PortCounters {
    /// Rows put into the ring.
    pub(crate) entered: AtomicU64,
    /// Bytes put into the ring.
    pub(crate) entered_bytes: AtomicU64,
    /// Rows that found no room.
    pub(crate) dropped_full: AtomicU64,
    /// Rows that came after the end.
    pub(crate) dropped_stopped: AtomicU64,
}

/// Counters that the worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerCounters {
    /// Rows taken out of the rings.
    pub(crate) taken: AtomicU64,
    /// Bytes taken out of each ring.
    pub(crate) taken_bytes: Box<[AtomicU64]>,
    pub(crate) written: AtomicU64,
    pub(crate) rejected: AtomicU64,
    /// Rows given up at the end.
    pub(crate) dropped_stopped: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) batches: AtomicU64,
    /// Message time of the oldest row in the present batch; 0 for none.
    pub(crate) oldest_unix_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Words {
    last_error: Option<LastError>,
    rejected_by_code: BTreeMap<&'static str, u64>,
}

/// The last thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When: milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
    /// What, in the server's words.
    pub reason: Reason,
}

/// How a sink is, judged by its last outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SinkState {
    /// Nothing has been tried yet.
    Starting = 0,
    /// The last batch was written.
    Ok = 1,
    /// The last try failed; the next one is coming.
    Retrying = 2,
    /// The last batch had rows that were rejected.
    Rejecting = 3,
    /// It takes nothing any more.
    Stopped = 4,
}

/// One reading of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Rows that rules made for this sink.
    pub accepted: u64,
    /// Rows that the server has.
    pub written: u64,
    /// Rows that the server refused.
    pub rejected: u64,
    /// Rows dropped, for whatever reason.
    pub dropped: u64,
    /// Of these, rows that found the buffer full.
    pub dropped_full: u64,
    /// Of these, rows that came after the end or were left at it.
    pub dropped_stopped: u64,
    /// Rows in the rings.
    pub queued: u64,
    /// Bytes of these.
    pub queued_bytes: u64,
    /// Rows in the hands of the worker.
    pub inflight: u64,
    /// Tries that failed and were repeated.
    pub retries: u64,
    /// Batches that were settled.
    pub batches: u64,
    /// When the message of the oldest row in the worker's hands was received; none without one.
    pub oldest_unix_ms: Option<u64>,
    /// How the sink is.
    pub state: SinkState,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// Rejected rows by the code of the reason.
    pub rejected_by_code: BTreeMap<&'static str, u64>,
}

impl Snapshot {
    /// Whether the identity holds.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.written + self.rejected + self.dropped + self.queued + self.inflight
    }
}

impl Account {
    pub(crate) fn new(name: &str, shards: usize) -> Self {
        Self {
            name: name.to_owned(),
            ports: (0..shards).map(|_| PortCounters::default()).collect(),
            worker: WorkerCounters {
                taken_bytes: (0..shards).map(|_| AtomicU64::new(0)).collect(),
                ..WorkerCounters::default()
            },
            state: AtomicU8::new(SinkState::Starting as u8),
            closed: AtomicBool::new(false),
            words: Mutex::default(),
        }
    }

    /// The sink's name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads all counters, at any time and from any thread.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let worker = &self.worker;
        // Latest first: see the head of this file.
        let written = load(&worker.written);
        let rejected = load(&worker.rejected);
        let left = load(&worker.dropped_stopped);
        let settled = written + rejected + left;
        let taken_bytes: u64 = worker.taken_bytes.iter().map(load).sum();
        let taken = load(&worker.taken);
        let sum = |of: fn(&PortCounters) -> &AtomicU64| self.ports.iter().map(|port| load(of(port))).sum::<u64>();
        let entered_bytes = sum(|port| &port.entered_bytes);
        let entered = sum(|port| &port.entered);
        let dropped_full = sum(|port| &port.dropped_full);
        let late = sum(|port| &port.dropped_stopped);
        let dropped = dropped_full + late + left;
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            accepted: entered + dropped_full + late,
            written,
            rejected,
            dropped,
            dropped_full,
            dropped_stopped: late + left,
            queued: entered.saturating_sub(taken),
            queued_bytes: entered_bytes.saturating_sub(taken_bytes),
            inflight: taken.saturating_sub(settled),
            retries: load(&worker.retries),
            batches: load(&worker.batches),
            oldest_unix_ms: Some(load(&worker.oldest_unix_ms)).filter(|oldest| *oldest != 0),
            state: self.state(),
            last_error: words.last_error.clone(),
            rejected_by_code: words.rejected_by_code.clone(),
        }
    }

    /// How the sink is.
    #[must_use]
    pub fn state(&self) -> SinkState {
        match self.state.load(Ordering::Acquire) {
            0 => SinkState::Starting,
            1 => SinkState::Ok,
            2 => SinkState::Retrying,
            3 => SinkState::Rejecting,
            _ => SinkState::Stopped,
        }
    }

    /// Sets the state and says what it was.
    pub(crate) fn set_state(&self, state: SinkState) -> SinkState {
        let before = self.state();
        self.state.store(state as u8, Ordering::Release);
        before
    }

    pub(crate) fn failed(&self, reason: &Reason) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.last_error = Some(LastError { unix_ms: unix_ms(), reason: reason.clone() });
    }

    pub(crate) fn rejected(&self, reasons: &[Reason]) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        for reason in reasons {
            *words.rejected_by_code.entry(reason.code).or_default() += 1;
        }
        if let Some(reason) = reasons.last() {
            words.last_error = Some(LastError { unix_ms: unix_ms(), reason: reason.clone() });
        }
    }

    /// From here on ports drop what they are offered.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Adds to a counter that only the caller writes.
#[inline]
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Release);
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
