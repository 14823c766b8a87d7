//! The thread between the rings of all shards and one sink: gathers batches, delivers them, counts.
//!
//! Runs on: a thread of its own, so that a sink may block. It sleeps without a limit while there is nothing to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use millrace_core::ring::{Consumer, Sleeper};
use millrace_core::value::Record;
use tracing::{info, warn};

use crate::account::{Account, SinkState, add};
use crate::batch::Batch;
use crate::config::Buffering;
use crate::delivery::{Delivery, Next};
use crate::retry::Backoff;
use crate::set::StopSignal;
use crate::sink::{Reason, Sink};

pub(crate) struct Worker {
    pub(crate) rings: Vec<Consumer<Record>>,
    pub(crate) sleeper: Sleeper,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) account: Arc<Account>,
    pub(crate) buffering: Buffering,
    pub(crate) stop: Arc<StopSignal>,
}

impl Worker {
    /// Works until it is told to stop and all rows are settled, or the deadline for that has passed.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::new(self.buffering.batch);
        let mut writer = Writer {
            delivery: Delivery::default(),
            backoff: Backoff::new(self.buffering.retry_min, self.buffering.retry_max),
            open: false,
            complained: None,
            suppressed: 0,
        };
        let mut next_ring = 0;
        loop {
            // Before the rings are drained: what was offered before the signal is then seen.
            let stopping = self.stop.is_set();
            self.drain(&mut batch, &mut next_ring);
            let now = Instant::now();
            match batch.time_left(now) {
                None if stopping => break,
                None => self.sleep(),
                Some(left) if left.is_zero() || stopping => {
                    writer.deliver(&mut self, batch.take());
                    if self.stop.is_over() {
                        break;
                    }
                }
                // No ring is watched meanwhile, so that shards need not wake anybody; a few looks are enough.
                Some(left) => thread::park_timeout(left.min(self.look_every())),
            }
        }
        self.give_up(&mut writer.delivery);
        self.sink.close();
        self.account.set_state(SinkState::Stopped);
    }

    fn look_every(&self) -> Duration {
        const SHORTEST: Duration = Duration::from_micros(500);
        const LONGEST: Duration = Duration::from_millis(10);
        (self.buffering.batch.age / 4).clamp(SHORTEST, LONGEST)
    }

    /// Takes rows from the rings in turn, a few of each, until the batch is full or all are empty.
    fn drain(&mut self, batch: &mut Batch, next_ring: &mut usize) {
        const AT_ONCE: usize = 32;
        let now = Instant::now();
        let rings = self.rings.len();
        let mut idle = 0;
        while idle < rings && !batch.is_full() {
            let ring = *next_ring % rings;
            *next_ring = (ring + 1) % rings;
            let mut taken = 0;
            let mut bytes = 0;
            while taken < AT_ONCE && !batch.is_full() {
                let Some(row) = self.rings[ring].pop() else {
                    break;
                };
                taken += 1;
                bytes += row.bytes() as u64;
                batch.push(row, now);
            }
            if taken == 0 {
                idle += 1;
            } else {
                idle = 0;
                add(&self.account.worker.taken, taken as u64);
                add(&self.account.worker.taken_bytes[ring], bytes);
            }
        }
    }

    /// Sleeps until a shard has rows or the end is asked for.
    fn sleep(&self) {
        self.sleeper.prepare();
        if self.rings.iter().all(Consumer::is_empty) && !self.stop.is_set() {
            thread::park();
        }
        self.sleeper.awake();
    }

    /// Counts what could not be delivered before the end, in the hands of the worker and in the rings.
    fn give_up(&mut self, delivery: &mut Delivery) {
        let mut left = delivery.abandon() as u64;
        for (index, ring) in self.rings.iter_mut().enumerate() {
            while let Some(row) = ring.pop() {
                add(&self.account.worker.taken, 1);
                add(&self.account.worker.taken_bytes[index], row.bytes() as u64);
                left += 1;
            }
        }
        if left > 0 {
            add(&self.account.worker.dropped_stopped, left);
            warn!(
                event = "sink-rows-lost",
                sink = self.account.name(),
                rows = left,
                "the sink was stopped before these rows were written"
            );
        }
    }
}

/// The state of the worker's dealings with its sink.
struct Writer {
    delivery: Delivery,
    backoff: Backoff,
    open: bool,
    /// When rejected rows were last logged.
    complained: Option<Instant>,
    suppressed: u64,
}

impl Writer {
    /// Delivers a batch, however long it takes; only the deadline of a stop ends it early.
    fn deliver(&mut self, worker: &mut Worker, rows: Vec<Record>) {
        let oldest = rows.iter().map(Record::unix_ms).min().unwrap_or(0);
        worker.account.worker.oldest_unix_ms.store(oldest, Ordering::Release);
        let rejected_before = worker.account.worker.rejected.load(Ordering::Relaxed);
        self.delivery.begin(rows);
        while !self.delivery.is_done() {
            if worker.stop.is_over() {
                return;
            }
            if !self.open {
                if let Err(reason) = worker.sink.open() {
                    self.wait(worker, &reason);
                    continue;
                }
                self.open = true;
            }
            let progress = self.delivery.step(worker.sink.as_mut());
            let counters = &worker.account.worker;
            add(&counters.written, progress.written);
            if !progress.rejected.is_empty() {
                worker.account.rejected(&progress.rejected);
                add(&counters.rejected, progress.rejected.len() as u64);
                self.complain(&worker.account, &progress.rejected);
            }
            if progress.written > 0 || !progress.rejected.is_empty() {
                self.backoff.reset();
            }
            match progress.next {
                Next::Done | Next::Continue => {}
                Next::Wait(reason) => self.wait(worker, &reason),
                Next::Reopen(reason) => {
                    worker.sink.close();
                    self.open = false;
                    self.wait(worker, &reason);
                }
            }
        }
        let account = &worker.account;
        add(&account.worker.batches, 1);
        account.worker.oldest_unix_ms.store(0, Ordering::Release);
        let rejecting = account.worker.rejected.load(Ordering::Relaxed) != rejected_before;
        let state = if rejecting { SinkState::Rejecting } else { SinkState::Ok };
        if account.set_state(state) == SinkState::Retrying {
            info!(event = "sink-recovered", sink = account.name(), "rows are written again");
        }
    }

    /// Waits before the next try; the end of a stop's deadline ends the wait.
    fn wait(&mut self, worker: &Worker, reason: &Reason) {
        let account = &worker.account;
        add(&account.worker.retries, 1);
        account.failed(reason);
        if account.set_state(SinkState::Retrying) != SinkState::Retrying {
            warn!(
                event = "sink-retrying",
                sink = account.name(),
                code = reason.code,
                "rows are kept and tried again: {}",
                reason.message
            );
        }
        let until = Instant::now() + self.backoff.next_wait();
        loop {
            let now = Instant::now();
            if now >= until || worker.stop.is_over() {
                return;
            }
            let left = until - now;
            thread::park_timeout(worker.stop.time_left(now).map_or(left, |stop| left.min(stop)));
        }
    }

    /// Says that rows were rejected, at most every ten seconds.
    fn complain(&mut self, account: &Account, reasons: &[Reason]) {
        const EVERY: Duration = Duration::from_secs(10);
        let now = Instant::now();
        self.suppressed += reasons.len() as u64;
        if self.complained.is_some_and(|last| now.duration_since(last) < EVERY) {
            return;
        }
        if let Some(reason) = reasons.last() {
            warn!(
                event = "sink-rejecting",
                sink = account.name(),
                code = reason.code,
                rejected = self.suppressed,
                "{}",
                reason.message
            );
        }
        self.complained = Some(now);
        self.suppressed = 0;
    }
}
