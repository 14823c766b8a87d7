//! One worker: a thread that owns a ring and a swarm and carries completions and orders between them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::account::{Bits, Line};
use crate::control::Shared;
use crate::host;
use crate::plan::Plan;
use crate::stats::Stats;
use crate::swarm::{Stage, Swarm};
use crate::sys;
use crate::uring::{Event, OpenError, Ring, Size};

/// The longest sleep: how late a change of stage may be seen.
const SLEEP_MAX_NS: u64 = 5_000_000;
/// How often counts are shown.
const SHOW_NS: u64 = 2_000_000;
/// Receive memory of all workers together.
const BUFFER_MEMORY: usize = 64 * 1024 * 1024;

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// There is no ring.
    #[error("{0}")]
    Ring(#[from] OpenError),
    /// There is no thread.
    #[error("start a worker: {0}")]
    Thread(io::Error),
}

/// What a worker has to tell at the end.
pub(crate) struct Outcome {
    pub(crate) stats: Stats,
    pub(crate) group: Vec<Bits>,
    /// The account of each publisher and subscriber.
    pub(crate) lines: Vec<Line>,
    /// What each publisher has sent.
    pub(crate) sent: Vec<(u32, u64)>,
    /// Share of the measured time that this worker was busy.
    pub(crate) busy: f64,
    /// Share of the measured time that it waited for a processor.
    pub(crate) waited: f64,
}

pub(crate) fn run(
    plan: &Arc<Plan>,
    number: u32,
    shared: &Shared,
    delivered: Arc<[AtomicU64]>,
) -> Result<Outcome, WorkerError> {
    sys::sharpen_timers();
    let kinds = [plan.subscribers, plan.publishers, plan.idle];
    let slots = kinds.iter().map(|kind| plan.share(*kind, number)).sum();
    let mut ring = Ring::open(size(plan.workers, slots), &plan.ramp.targets)?;
    let mut swarm = Swarm::new(Arc::clone(plan), number, delivered);
    let board = &shared.boards[number as usize];
    let mut events = Vec::new();
    let (mut shown, mut shown_records) = (0, 0);
    let mut busy = Busy::default();
    while let Some(stage) = shared.stage() {
        let now = sys::now();
        busy.look(stage, now);
        let next = swarm.step(stage, now);
        carry_out(&mut swarm, &mut ring);
        let now = sys::now();
        if now - shown >= SHOW_NS {
            shown = now;
            swarm.stats.counts.droughts = ring.droughts;
            board.show(&swarm.stats.counts, swarm.under_way(now));
        }
        if let Some(asked) = shared.asks_for_latencies(board) {
            if swarm.stats.latencies.moved(&mut shown_records) {
                board.show_latencies(&swarm.stats.latencies.delivery, &swarm.stats.latencies.ack);
            }
            board.has_shown(asked, &swarm.stats.counts);
        }
        let sleep = next.saturating_sub(now).min(SLEEP_MAX_NS);
        ring.turn(Duration::from_nanos(sleep), &mut events);
        happen(&mut swarm, &mut ring, &mut events);
    }
    swarm.leave();
    carry_out(&mut swarm, &mut ring);
    ring.turn(Duration::ZERO, &mut events);
    swarm.settle_missed();
    swarm.stats.counts.droughts = ring.droughts;
    let (busy, waited) = busy.share();
    let (lines, sent) = if plan.has_lines() { (swarm.lines(), swarm.sent()) } else { (Vec::new(), Vec::new()) };
    Ok(Outcome { group: swarm.take_group(), lines, sent, busy, waited, stats: swarm.stats })
}

/// A ring for so many connections, small where there are many workers.
fn size(workers: u32, slots: u32) -> Size {
    let many = workers > 8;
    let buffer_bytes = 16 * 1024;
    let buffers = (BUFFER_MEMORY / buffer_bytes / workers as usize).clamp(32, 1024);
    // Rounded down to a power of two.
    let buffers = 1_u16 << buffers.ilog2();
    Size { slots: slots.max(1), entries: if many { 512 } else { 4096 }, buffers, buffer_bytes }
}

/// Hands what the swarm wants to the ring.
fn carry_out(swarm: &mut Swarm, ring: &mut Ring) {
    let mut orders = std::mem::take(&mut swarm.orders);
    for conn in orders.connects.drain(..) {
        let (target, source) = swarm.route(conn);
        if let Err(error) = ring.connect(conn, target, source) {
            swarm.connect_failed(conn, &error);
        }
    }
    for conn in orders.receives.drain(..) {
        ring.receive(conn);
    }
    for conn in orders.cancels.drain(..) {
        ring.cancel(conn);
    }
    for conn in orders.closes.drain(..) {
        ring.close(conn);
    }
    debug_assert!(swarm.orders.connects.is_empty());
    swarm.orders = orders;
    swarm.flush(|conn, out| {
        let empty = ring.buffer();
        ring.send(conn, std::mem::replace(out, empty));
    });
}

/// Tells the swarm what the ring has seen.
fn happen(swarm: &mut Swarm, ring: &mut Ring, events: &mut Vec<Event>) {
    for event in events.drain(..) {
        match event {
            Event::Received { conn, buffer, len, more } => {
                let now = sys::now();
                swarm.received(conn, ring.bytes(buffer, len), more, now);
                ring.give_back(buffer);
            }
            Event::Connected { conn, error } => swarm.connected(conn, error, sys::now()),
            Event::ReceiveEnded { conn, error } => swarm.receive_ended(conn, error),
            Event::Stalled { conn } => swarm.stalled(conn),
            Event::Drained { conn } => swarm.drained(conn),
            Event::Broken { conn, error } => swarm.broken(conn, error),
            Event::Closed { conn } => swarm.closed(conn),
        }
    }
}

/// How much of the measured time this thread ran, and waited for a processor to run on.
#[derive(Default)]
struct Busy {
    begin: Option<Moment>,
    end: Option<Moment>,
}

#[derive(Clone, Copy)]
struct Moment {
    at: u64,
    cpu: u64,
    waited: u64,
}

impl Moment {
    fn new() -> Self {
        Self { at: sys::now(), cpu: sys::thread_cpu(), waited: host::thread_wait() }
    }
}

impl Busy {
    fn look(&mut self, stage: Stage, now: u64) {
        let (Stage::Run(timeline) | Stage::Back(timeline)) = stage else { return };
        if self.begin.is_none() && now >= timeline.measure {
            self.begin = Some(Moment::new());
        }
        if self.end.is_none() && now >= timeline.end {
            self.end = Some(Moment::new());
        }
    }

    fn share(&self) -> (f64, f64) {
        let Some(begin) = self.begin else { return (0.0, 0.0) };
        let end = self.end.unwrap_or_else(Moment::new);
        let whole = (end.at - begin.at).max(1) as f64;
        ((end.cpu - begin.cpu) as f64 / whole, (end.waited - begin.waited) as f64 / whole)
    }
}
