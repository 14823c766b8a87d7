//! One worker: a thread that owns a ring and a swarm for each part of the run, and carries completions and orders
//! between them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::account::{Bits, Line};
use crate::control::{Board, Shared};
use crate::host;
use crate::run_plan::RunPlan;
use crate::stats::{Counts, Stats, histogram};
use crate::swarm::{Stage, Swarm};
use crate::sys;
use crate::uring::{ConnId, Event, OpenError, Ring, Size};

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

/// What a worker has to tell of one part of the run.
pub(crate) struct Outcome {
    /// Its number.
    pub(crate) part: usize,
    pub(crate) stats: Stats,
    pub(crate) group: Vec<Bits>,
    /// The account of each publisher and subscriber.
    pub(crate) lines: Vec<Line>,
    /// What each publisher has sent.
    pub(crate) sent: Vec<(u32, u64)>,
}

/// How hard a worker worked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Share of the measured time that it was busy.
    pub(crate) busy: f64,
    /// Share of the measured time that it waited for a processor.
    pub(crate) waited: f64,
}

/// What a worker has to tell at the end.
pub(crate) struct Ended {
    /// Of each part.
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) load: Load,
}

/// The swarms of a worker, one for each part of the run, each with its range of the ring's slots.
struct Swarms {
    swarms: Vec<Swarm>,
    /// The first slot of each.
    bases: Vec<u32>,
    slots: u32,
}

/// Worker `number` of this machine.
pub(crate) fn run(
    plan: &RunPlan,
    number: u32,
    shared: &Shared,
    delivered: &[Arc<[AtomicU64]>],
) -> Result<Ended, WorkerError> {
    sys::sharpen_timers();
    let mut swarms = Swarms::new(plan, number, delivered);
    let mut ring = Ring::open(size(plan.local_workers(), swarms.slots), &plan.whole.ramp.targets)?;
    let board = &shared.boards[number as usize];
    let mut events = Vec::new();
    let (mut shown, mut shown_records) = (0, 0);
    let mut busy = Busy::default();
    while let Some(stage) = shared.stage() {
        let now = sys::now();
        busy.look(stage, now);
        let next = swarms.step(stage, now);
        swarms.carry_out(&mut ring);
        let now = sys::now();
        if now - shown >= SHOW_NS {
            shown = now;
            let (counts, under_way) = swarms.counts(&ring, now);
            board.show(&counts, under_way);
        }
        if let Some(asked) = shared.asks_for_latencies(board) {
            if swarms.moved(&mut shown_records) {
                swarms.show_latencies(board);
            }
            board.has_shown(asked, &swarms.counts(&ring, now).0);
        }
        let sleep = next.saturating_sub(now).min(SLEEP_MAX_NS);
        ring.turn(Duration::from_nanos(sleep), &mut events);
        swarms.happen(&mut ring, &mut events);
    }
    swarms.swarms.iter_mut().for_each(Swarm::leave);
    swarms.carry_out(&mut ring);
    ring.turn(Duration::ZERO, &mut events);
    let load = busy.load();
    Ok(Ended { outcomes: swarms.end(plan, &ring), load })
}

impl Swarms {
    fn new(plan: &RunPlan, number: u32, delivered: &[Arc<[AtomicU64]>]) -> Self {
        let (mut swarms, mut bases, mut slots) = (Vec::new(), Vec::new(), 0);
        for (at, (part, delivered)) in plan.parts.iter().zip(delivered).enumerate() {
            let worker = plan.worker_of(number, at);
            let mut swarm = Swarm::new(Arc::clone(part), worker, Arc::clone(delivered));
            swarm.settle(slots, number, plan.local_workers());
            bases.push(slots);
            slots +=
                [part.subscribers, part.publishers, part.idle].map(|kind| part.share(kind, worker)).iter().sum::<u32>();
            swarms.push(swarm);
        }
        Self { swarms, bases, slots }
    }

    /// Does all that is due; says when something will be again.
    fn step(&mut self, stage: Stage, now: u64) -> u64 {
        self.swarms.iter_mut().map(|swarm| swarm.step(stage, now)).min().unwrap_or(u64::MAX)
    }

    /// Counts of all, and what they wait for.
    fn counts(&mut self, ring: &Ring, now: u64) -> (Counts, u64) {
        let (mut sum, mut under_way) = (Counts::default(), 0);
        for swarm in &self.swarms {
            sum.join(&swarm.stats.counts);
            under_way += swarm.under_way(now);
        }
        sum.droughts = ring.droughts;
        (sum, under_way)
    }

    /// Whether there are more latencies than before.
    fn moved(&self, before: &mut u64) -> bool {
        let now = self.swarms.iter().map(|swarm| swarm.stats.latencies.records()).sum();
        std::mem::replace(before, now) != now
    }

    fn show_latencies(&self, board: &Board) {
        match self.swarms.as_slice() {
            [one] => board.show_latencies(&one.stats.latencies.delivery, &one.stats.latencies.ack),
            all => {
                let (mut delivery, mut ack) = (histogram(), histogram());
                for swarm in all {
                    delivery.add(&swarm.stats.latencies.delivery).expect("all histograms have the same bounds");
                    ack.add(&swarm.stats.latencies.ack).expect("all histograms have the same bounds");
                }
                board.show_latencies(&delivery, &ack);
            }
        }
    }

    fn end(self, plan: &RunPlan, ring: &Ring) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (part, mut swarm) in self.swarms.into_iter().enumerate() {
            swarm.settle_missed();
            if part == 0 {
                swarm.stats.counts.droughts = ring.droughts;
            }
            let named = plan.parts[part].has_lines();
            let (lines, sent) = if named { (swarm.lines(), swarm.sent()) } else { (Vec::new(), Vec::new()) };
            outcomes.push(Outcome { part, group: swarm.take_group(), lines, sent, stats: swarm.stats });
        }
        outcomes
    }

    /// Hands what the swarms want to the ring.
    fn carry_out(&mut self, ring: &mut Ring) {
        for (swarm, base) in self.swarms.iter_mut().zip(&self.bases) {
            carry_out(swarm, *base, ring);
        }
    }

    /// Tells each swarm what the ring has seen of its connections.
    fn happen(&mut self, ring: &mut Ring, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            let (base, swarm) = match self.swarms.as_mut_slice() {
                [one] => (0, one),
                all => {
                    let at = self.bases.partition_point(|base| *base <= event.conn().slot) - 1;
                    (self.bases[at], &mut all[at])
                }
            };
            happen(swarm, base, ring, event);
        }
    }
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

/// Hands what the swarm wants to the ring, where its slots begin at `base`.
fn carry_out(swarm: &mut Swarm, base: u32, ring: &mut Ring) {
    let there = |conn: ConnId| ConnId { slot: conn.slot + base, ..conn };
    let mut orders = std::mem::take(&mut swarm.orders);
    for conn in orders.connects.drain(..) {
        let (target, source) = swarm.route(conn);
        if let Err(error) = ring.connect(there(conn), target, source) {
            swarm.connect_failed(conn, &error);
        }
    }
    for conn in orders.receives.drain(..) {
        ring.receive(there(conn));
    }
    for conn in orders.cancels.drain(..) {
        ring.cancel(there(conn));
    }
    for conn in orders.closes.drain(..) {
        ring.close(there(conn));
    }
    debug_assert!(swarm.orders.connects.is_empty());
    swarm.orders = orders;
    swarm.flush(|conn, out| {
        let empty = ring.buffer();
        ring.send(there(conn), std::mem::replace(out, empty));
    });
}

/// Tells the swarm what the ring has seen.
fn happen(swarm: &mut Swarm, base: u32, ring: &mut Ring, event: Event) {
    let here = |conn: ConnId| ConnId { slot: conn.slot - base, ..conn };
    match event {
        Event::Received { conn, buffer, len, more } => {
            let now = sys::now();
            swarm.received(here(conn), ring.bytes(buffer, len), more, now);
            ring.give_back(buffer);
        }
        Event::Connected { conn, error } => swarm.connected(here(conn), error, sys::now()),
        Event::ReceiveEnded { conn, error } => swarm.receive_ended(here(conn), error),
        Event::Stalled { conn } => swarm.stalled(here(conn)),
        Event::Drained { conn } => swarm.drained(here(conn)),
        Event::Broken { conn, error } => swarm.broken(here(conn), error),
        Event::Closed { conn } => swarm.closed(here(conn)),
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

    fn load(&self) -> Load {
        let Some(begin) = self.begin else { return Load::default() };
        let end = self.end.unwrap_or_else(Moment::new);
        let whole = (end.at - begin.at).max(1) as f64;
        let part = |later: u64, earlier: u64| later.saturating_sub(earlier) as f64 / whole;
        Load { busy: part(end.cpu, begin.cpu), waited: part(end.waited, begin.waited) }
    }
}
