//! The run as a whole: workers report their counts here, the main thread moves the stages.
//!
//! Runs on: the main thread; workers write their own [`Board`] and read the stage.
//! Not here: which stage follows when (`director.rs`), the threads (`crew.rs`).

mod crew;
mod director;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

pub(crate) use self::crew::Crew;
pub(crate) use self::director::{Director, Seen};
use crate::agents::AgentAccount;
use crate::host::BrokerWatch;
use crate::progress::{Progress, RampSample, Sample};
use crate::run_plan::RunPlan;
use crate::stats::{Counts, histogram};
use crate::swarm::{Stage, Timeline};
use crate::sys;
use crate::worker::{Load, Outcome, WorkerError};

const RAMP: u8 = 0;
const RUN: u8 = 1;
const AWAY: u8 = 2;
const BACK: u8 = 3;
const CLEAR: u8 = 4;
const LEAVE: u8 = 5;

/// How long workers may take to show their latencies.
const ANSWER_NS: u64 = 50_000_000;

/// What all threads of a run share.
pub(crate) struct Shared {
    stage: AtomicU8,
    start: AtomicU64,
    measure: AtomicU64,
    end: AtomicU64,
    /// How often latencies were asked for.
    asked: AtomicU64,
    /// Whether the boards are of workers of this machine, who answer.
    is_near: bool,
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
    /// With a board for each agent.
    pub(crate) fn far(agents: u32) -> Self {
        Self { is_near: false, ..Self::new(agents) }
    }

    /// With a board for each worker of this machine.
    pub(crate) fn new(boards: u32) -> Self {
        Self {
            stage: AtomicU8::new(RAMP),
            start: AtomicU64::new(0),
            measure: AtomicU64::new(0),
            end: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            is_near: true,
            boards: (0..boards).map(|_| Board::default()).collect(),
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

    /// The stage by number, and its times, for somebody far away.
    pub(crate) fn stage_and_times(&self) -> (u8, Timeline) {
        let stage = self.stage.load(Ordering::Acquire);
        let time = |time: &AtomicU64| time.load(Ordering::Relaxed);
        (stage, Timeline { start: time(&self.start), measure: time(&self.measure), end: time(&self.end) })
    }

    /// Does what [`stage_and_times`](Self::stage_and_times) told elsewhere; a number that is none ends the run.
    pub(crate) fn follow(&self, stage: u8, timeline: Timeline) {
        self.set_with(stage, timeline);
    }

    /// Ends the run.
    pub(crate) fn leave(&self) {
        self.set(LEAVE);
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

    /// Asks the workers of this machine for their latencies and waits until they have shown them, so that none falls into
    /// a later second; a worker that does not answer keeps nobody waiting for long.
    pub(crate) fn ask_for_latencies(&self) {
        if !self.is_near {
            return;
        }
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let deadline = sys::now() + ANSWER_NS;
        while self.boards.iter().any(|board| board.answered.load(Ordering::Acquire) != asked) && sys::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for board in &self.boards {
            sum.join(&board.counts.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    pub(crate) fn under_way(&self) -> u64 {
        self.boards.iter().map(|board| board.under_way.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn any_failed(&self) -> bool {
        self.boards.iter().any(|board| board.failed.load(Ordering::Relaxed))
    }

    pub(crate) fn latencies(&self) -> (Histogram<u64>, Histogram<u64>) {
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
    /// Of each worker and each part.
    pub(crate) outcomes: Vec<Outcome>,
    /// Of each worker.
    pub(crate) loads: Vec<Load>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) ramp: Vec<RampSample>,
    pub(crate) interrupted: bool,
    /// The part of the time that the hypervisor took from the processors, 0 to 1.
    pub(crate) stolen: f64,
    pub(crate) broker: Option<BrokerWatch>,
    /// Those who did it, if it was not this machine.
    pub(crate) agents: Vec<AgentAccount>,
}

/// Carries the plan out on this machine.
pub(crate) fn run(
    plan: &Arc<RunPlan>,
    broker: Option<BrokerWatch>,
    interrupted: &AtomicBool,
    progress: &mut Progress,
) -> Result<Run, WorkerError> {
    let shared = Arc::new(Shared::new(plan.local_workers()));
    let begun = sys::now();
    let crew = Crew::start(plan, &shared)?;
    let mut director = Director::new(plan, &shared, interrupted, progress, broker);
    let (ramp_ns, timeline) = director.direct(begun);
    let Seen { samples, ramp, host, broker } = director.finish();
    shared.leave();
    let (outcomes, loads) = crew.join()?;
    let interrupted = interrupted.load(Ordering::Relaxed);
    let (stolen, agents) = (host.stolen(), Vec::new());
    Ok(Run { timeline, begun, ramp_ns, outcomes, loads, samples, ramp, interrupted, stolen, broker, agents })
}
