//! The run as a whole: workers report their counts here, the main thread moves the stages.
//!
//! Runs on: the main thread; workers write their own [`Board`] and read the stage.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::host::{BrokerWatch, HostWatch};
use crate::plan::{Audience, Pace, Plan, Story};
use crate::progress::{Progress, RampSample, Sample};
use crate::stats::{Counts, histogram};
use crate::swarm::{Stage, Swarm, Timeline};
use crate::sys;
use crate::worker::{self, Outcome, WorkerError};

const RAMP: u8 = 0;
const RUN: u8 = 1;
const AWAY: u8 = 2;
const BACK: u8 = 3;
const CLEAR: u8 = 4;
const LEAVE: u8 = 5;

/// How often the main thread looks.
const TICK: Duration = Duration::from_millis(20);
/// Between the order to begin and the first message, so that all workers have seen it.
const HEAD_START_NS: u64 = 50_000_000;
/// How long nothing moves at the end before the rest is given up.
const QUIET_NS: u64 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// How long workers may take to show their latencies.
const ANSWER_NS: u64 = 50_000_000;
/// Moments of the ramp that are kept, and how far apart they are at first; when there are more, every second one goes.
const RAMP_SAMPLES_MAX: usize = 128;
const RAMP_SAMPLE_NS: u64 = 50_000_000;

/// What all threads of a run share.
pub(crate) struct Shared {
    stage: AtomicU8,
    start: AtomicU64,
    measure: AtomicU64,
    end: AtomicU64,
    /// How often latencies were asked for.
    asked: AtomicU64,
    pub(crate) boards: Vec<Board>,
}

/// What one worker shows of itself.
#[derive(Default)]
pub(crate) struct Board {
    counts: Mutex<Counts>,
    under_way: AtomicU64,
    /// Delivery and acknowledgement latencies so far, put here when they are asked for.
    latencies: Mutex<Option<(Histogram<u64>, Histogram<u64>)>>,
    /// The last time of asking that was answered.
    answered: AtomicU64,
    failed: AtomicBool,
}

impl Board {
    pub(crate) fn show(&self, counts: &Counts, under_way: u64) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = *counts;
        self.under_way.store(under_way, Ordering::Relaxed);
    }

    pub(crate) fn show_latencies(&self, delivery: &Histogram<u64>, ack: &Histogram<u64>) {
        *self.latencies.lock().unwrap_or_else(PoisonError::into_inner) = Some((delivery.clone(), ack.clone()));
    }

    /// What was asked for has been shown, with the counts that belong to it.
    pub(crate) fn has_shown(&self, asked: u64, counts: &Counts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = *counts;
        self.answered.store(asked, Ordering::Release);
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn new(workers: u32) -> Self {
        Self {
            stage: AtomicU8::new(RAMP),
            start: AtomicU64::new(0),
            measure: AtomicU64::new(0),
            end: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            boards: (0..workers).map(|_| Board::default()).collect(),
        }
    }

    /// The stage, none when the run is over.
    pub(crate) fn stage(&self) -> Option<Stage> {
        let stage = self.stage.load(Ordering::Acquire);
        let timeline = Timeline {
            start: self.start.load(Ordering::Relaxed),
            measure: self.measure.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
        };
        Some(match stage {
            RAMP => Stage::Ramp,
            AWAY => Stage::Away,
            RUN => Stage::Run(timeline),
            BACK => Stage::Back(timeline),
            CLEAR => Stage::Clear,
            _ => return None,
        })
    }

    fn set(&self, stage: u8) {
        self.stage.store(stage, Ordering::Release);
    }

    fn set_with(&self, stage: u8, timeline: Timeline) {
        self.start.store(timeline.start, Ordering::Relaxed);
        self.measure.store(timeline.measure, Ordering::Relaxed);
        self.end.store(timeline.end, Ordering::Relaxed);
        self.set(stage);
    }

    /// A worker is to show its latencies: which time of asking this is.
    pub(crate) fn asks_for_latencies(&self, board: &Board) -> Option<u64> {
        let asked = self.asked.load(Ordering::Acquire);
        (board.answered.load(Ordering::Relaxed) != asked).then_some(asked)
    }

    /// Asks all workers for their latencies and waits until they have shown them, so that none falls into a later second;
    /// a worker that does not answer keeps nobody waiting for long.
    fn ask_for_latencies(&self) {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let deadline = sys::now() + ANSWER_NS;
        while self.boards.iter().any(|board| board.answered.load(Ordering::Acquire) != asked) && sys::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for board in &self.boards {
            sum.join(&board.counts.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    fn under_way(&self) -> u64 {
        self.boards.iter().map(|board| board.under_way.load(Ordering::Relaxed)).sum()
    }

    fn any_failed(&self) -> bool {
        self.boards.iter().any(|board| board.failed.load(Ordering::Relaxed))
    }

    fn latencies(&self) -> (Histogram<u64>, Histogram<u64>) {
        let (mut delivery, mut ack) = (histogram(), histogram());
        for board in &self.boards {
            if let Some((one, other)) = &*board.latencies.lock().unwrap_or_else(PoisonError::into_inner) {
                delivery.add(one).expect("all histograms have the same bounds");
                ack.add(other).expect("all histograms have the same bounds");
            }
        }
        (delivery, ack)
    }
}

/// What a run has brought.
pub(crate) struct Run {
    pub(crate) timeline: Option<Timeline>,
    /// When the first connect was due.
    pub(crate) begun: u64,
    pub(crate) ramp_ns: u64,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) ramp: Vec<RampSample>,
    pub(crate) interrupted: bool,
    pub(crate) host: HostWatch,
    pub(crate) broker: Option<BrokerWatch>,
}

/// Carries the plan out.
pub(crate) fn run(
    plan: &Arc<Plan>,
    broker: Option<BrokerWatch>,
    interrupted: &AtomicBool,
    progress: &mut Progress,
) -> Result<Run, WorkerError> {
    let shared = Arc::new(Shared::new(plan.workers));
    let delivered: Arc<[AtomicU64]> = (0..Swarm::delivered_len(plan)).map(|_| AtomicU64::new(0)).collect();
    let begun = sys::now();
    let workers: Vec<JoinHandle<Result<Outcome, WorkerError>>> = (0..plan.workers)
        .map(|number| {
            let (plan, shared, delivered) = (Arc::clone(plan), Arc::clone(&shared), Arc::clone(&delivered));
            std::thread::Builder::new()
                .name(format!("worker {number}"))
                .spawn(move || {
                    let outcome = worker::run(&plan, number, &shared, delivered);
                    if outcome.is_err() {
                        shared.boards[number as usize].fail();
                    }
                    outcome
                })
                .map_err(WorkerError::Thread)
        })
        .collect::<Result<_, _>>()?;

    let mut director = Director {
        plan,
        shared: &shared,
        interrupted,
        progress,
        samples: Vec::new(),
        ramp: Vec::new(),
        host: HostWatch::new(),
        broker,
    };
    let ramp_ns = director.ramp(begun);
    let timeline = match plan.story {
        Story::Plain => {
            let timeline = director.measure();
            if let Some(timeline) = timeline {
                director.drain(timeline);
            }
            timeline
        }
        Story::Reconnect(rounds) => director.reconnect(rounds),
        Story::Offline | Story::Retained => director.send_ahead(),
    };
    director.host.finish();
    shared.set(LEAVE);
    let mut outcomes = Vec::new();
    for worker in workers {
        outcomes.push(worker.join().expect("a worker that panics ends the program")?);
    }
    let Director { samples, ramp, host, broker, .. } = director;
    let interrupted = interrupted.load(Ordering::Relaxed);
    Ok(Run { timeline, begun, ramp_ns, outcomes, samples, ramp, interrupted, host, broker })
}

struct Director<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    interrupted: &'a AtomicBool,
    progress: &'a mut Progress,
    samples: Vec<Sample>,
    ramp: Vec<RampSample>,
    host: HostWatch,
    broker: Option<BrokerWatch>,
}

impl Director<'_> {
    fn must_stop(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.shared.any_failed()
    }

    /// Waits until every connection is ready or has failed; says how long that took.
    fn ramp(&mut self, begun: u64) -> u64 {
        let total = u64::from(self.plan.connections());
        let (mut next, mut every) = (0, RAMP_SAMPLE_NS);
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let counts = self.shared.counts();
            let elapsed = sys::now() - begun;
            let over = counts.ready + counts.failed >= total || self.must_stop();
            if over || elapsed >= next {
                let broker = self.broker.as_mut().and_then(BrokerWatch::sample);
                self.ramp.push(RampSample { at: elapsed, ready: counts.ready, failed: counts.failed, broker });
                if self.ramp.len() >= RAMP_SAMPLES_MAX {
                    // The last one stays.
                    let mut keep = true;
                    self.ramp.retain(|_| {
                        keep = !keep;
                        keep
                    });
                    every *= 2;
                }
                next = elapsed + every;
            }
            if over {
                return elapsed;
            }
            self.progress.ramp(&counts, total, elapsed);
        }
    }

    /// Sends for as long as was asked; none if there is nothing to go on with.
    fn measure(&mut self) -> Option<Timeline> {
        let counts = self.shared.counts();
        if counts.open == 0 || self.must_stop() {
            return None;
        }
        let start = sys::now() + HEAD_START_NS;
        let measure = start + self.plan.warm_up.as_nanos() as u64;
        let mut timeline = Timeline { start, measure, end: measure + self.plan.duration.as_nanos() as u64 };
        self.shared.set_with(RUN, timeline);
        sleep_until(timeline.measure, self);
        self.watch();
        let mut next = sys::now();
        let mut before = (sys::now(), self.shared.counts(), histogram());
        loop {
            next += SECOND_NS;
            let until = next.min(timeline.end);
            while sys::now() < until && !self.must_stop() && !self.is_complete() && self.shared.counts().open > 0 {
                std::thread::sleep(TICK.min(Duration::from_nanos(until.saturating_sub(sys::now()).max(1))));
            }
            self.sample(&mut before, timeline);
            let now = sys::now();
            if now >= timeline.end {
                break;
            }
            if self.must_stop() || self.is_complete() || self.shared.counts().open == 0 {
                timeline.end = now;
                self.shared.set_with(RUN, timeline);
                break;
            }
        }
        self.unwatch();
        Some(timeline)
    }

    fn watch(&mut self) {
        self.host.begin();
        if let Some(broker) = &mut self.broker {
            broker.begin();
        }
    }

    fn unwatch(&mut self) {
        self.host.end();
        if let Some(broker) = &mut self.broker {
            broker.end();
        }
    }

    /// Waits until `done`, at most until `deadline`; says whether it came to be.
    fn wait_until(&self, deadline: u64, mut done: impl FnMut(&Counts) -> bool) -> bool {
        loop {
            std::thread::sleep(Duration::from_millis(2));
            if done(&self.shared.counts()) {
                return true;
            }
            if self.must_stop() || sys::now() >= deadline {
                return false;
            }
        }
    }

    /// All are dropped and return, round after round; what is measured is how long they take to be back.
    fn reconnect(&mut self, rounds: u32) -> Option<Timeline> {
        if self.shared.counts().open == 0 || self.must_stop() {
            return None;
        }
        let limit = self.plan.duration.as_nanos() as u64;
        let measure = sys::now();
        self.watch();
        let mut before = (measure, self.shared.counts(), histogram());
        for _ in 0..rounds {
            let start = sys::now();
            let timeline = Timeline { start, measure, end: start + limit };
            self.shared.set_with(BACK, timeline);
            let earlier = before.1;
            self.wait_until(timeline.end, |counts| {
                let settled = (counts.returned + counts.failed) - (earlier.returned + earlier.failed);
                settled >= earlier.open
            });
            self.sample(&mut before, Timeline { end: sys::now(), ..timeline });
            if self.must_stop() || before.1.open == 0 {
                break;
            }
        }
        self.unwatch();
        Some(Timeline { start: measure, measure, end: sys::now() })
    }

    /// Messages are sent first; then those for whom they wait come for them, which is what is measured.
    fn send_ahead(&mut self) -> Option<Timeline> {
        let patience = self.plan.duration.as_nanos() as u64;
        if self.plan.story == Story::Offline {
            self.shared.set(AWAY);
            let publishers = u64::from(self.plan.publishers);
            self.wait_until(sys::now() + patience, |counts| counts.open <= publishers);
        }
        let start = sys::now();
        let limit = self.plan.limit.unwrap_or(0);
        let sending = Timeline { start, measure: start, end: start + patience };
        self.shared.set_with(RUN, sending);
        self.wait_until(sending.end, |counts| counts.acked >= limit);
        let outcome = self.come_for_it(patience);
        if self.plan.story == Story::Retained {
            self.shared.set(CLEAR);
            let until = sys::now() + 2 * QUIET_NS;
            while self.shared.counts().cleared < self.shared.counts().sent && sys::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        outcome
    }

    /// Subscribers come for what was sent before.
    fn come_for_it(&mut self, patience: u64) -> Option<Timeline> {
        if self.must_stop() || self.shared.counts().open == 0 {
            return None;
        }
        let start = sys::now();
        let mut timeline = Timeline { start, measure: start, end: start + patience };
        self.watch();
        let mut before = (start, self.shared.counts(), histogram());
        self.shared.set_with(BACK, timeline);
        let (mut moved, mut seen) = (start, 0);
        let awaited = u64::from(self.plan.subscribers);
        self.wait_until(timeline.end, |counts| {
            let now = sys::now();
            if counts.received + counts.returned != seen {
                (moved, seen) = (now, counts.received + counts.returned);
            }
            // A moment longer than all of them took, for those that come twice.
            let complete = counts.unique >= counts.expected && now - moved > QUIET_NS / 4;
            counts.returned + counts.failed >= awaited && (complete || now - moved > 2 * QUIET_NS)
        });
        timeline.end = moved.max(start + 1);
        self.sample(&mut before, timeline);
        self.unwatch();
        Some(timeline)
    }

    fn sample(&mut self, before: &mut (u64, Counts, Histogram<u64>), timeline: Timeline) {
        self.shared.ask_for_latencies();
        let (now, counts) = (sys::now(), self.shared.counts());
        let (delivery, ack) = self.shared.latencies();
        let all = if self.plan.copies() > 0 || self.plan.audience == Audience::Strangers { delivery } else { ack };
        let mut interval = all.clone();
        // What was recorded is never taken back.
        let _ = interval.subtract(&before.2);
        let mut sample = Sample::new(now - timeline.measure, now - before.0, &before.1, &counts, &interval);
        sample.broker = self.broker.as_mut().and_then(BrokerWatch::sample);
        self.progress.run(&sample, timeline.end.saturating_sub(now), timeline.end - timeline.measure);
        self.samples.push(sample);
        *before = (now, counts, all);
    }

    /// Whether a limited run has sent all of its messages.
    fn is_complete(&self) -> bool {
        let Some(limit) = self.plan.limit else { return false };
        self.plan.publishers > 0 && self.shared.counts().sent >= limit
    }

    /// Waits for what is under way, as long as it moves.
    fn drain(&mut self, timeline: Timeline) {
        let (mut moved, mut seen) = (sys::now(), 0);
        let limit = timeline.end.max(sys::now()) + self.plan.drain.as_nanos() as u64;
        loop {
            std::thread::sleep(Duration::from_millis(5));
            let counts = self.shared.counts();
            let under_way = self.shared.under_way();
            let now = sys::now();
            // A group's members may get the same message; what came more than once is no reason to wait less.
            let missing = counts.expected.saturating_sub(counts.unique);
            if missing == 0 && under_way == 0 && now > timeline.end + 2 * TICK.as_nanos() as u64 {
                return;
            }
            let motion = counts.received + counts.acked + counts.sent;
            if motion != seen {
                (moved, seen) = (now, motion);
            }
            let quiet =
                if self.plan.pace == Pace::Closed && self.plan.qos as u8 == 0 { QUIET_NS } else { 2 * QUIET_NS };
            if now > limit || now - moved > quiet || self.must_stop() {
                return;
            }
            self.progress.drain(missing.max(under_way));
        }
    }
}

fn sleep_until(time: u64, director: &Director<'_>) {
    loop {
        let left = Duration::from_nanos(time.saturating_sub(sys::now()));
        if left.is_zero() || director.must_stop() {
            return;
        }
        std::thread::sleep(left.min(TICK));
    }
}
