//! Moves the stages of a run: ramp, what is measured, the wait for what is under way.
//!
//! Runs on: the main thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{AWAY, BACK, CLEAR, RUN, Shared};
use crate::host::{BrokerWatch, HostWatch};
use crate::plan::Story;
use crate::progress::{Progress, RampSample, Sample};
use crate::run_plan::RunPlan;
use crate::stats::{Counts, histogram};
use crate::swarm::Timeline;
use crate::sys;

/// How often the main thread looks.
const TICK: Duration = Duration::from_millis(20);
/// Between the order to begin and the first message, so that all workers have seen it.
const HEAD_START_NS: u64 = 50_000_000;
/// How long nothing moves at the end before the rest is given up.
const QUIET_NS: u64 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Moments of the ramp that are kept, and how far apart they are at first; when there are more, every second one goes.
const RAMP_SAMPLES_MAX: usize = 128;
const RAMP_SAMPLE_NS: u64 = 50_000_000;

/// What was seen of a run from above.
pub(crate) struct Seen {
    pub(crate) samples: Vec<Sample>,
    pub(crate) ramp: Vec<RampSample>,
    pub(crate) host: HostWatch,
    pub(crate) broker: Option<BrokerWatch>,
}

/// See the head of this file.
pub(crate) struct Director<'a> {
    plan: &'a RunPlan,
    shared: &'a Shared,
    interrupted: &'a AtomicBool,
    progress: &'a mut Progress,
    samples: Vec<Sample>,
    ramp: Vec<RampSample>,
    host: HostWatch,
    broker: Option<BrokerWatch>,
    /// Between the order to begin and the first message.
    head_start_ns: u64,
}

impl<'a> Director<'a> {
    pub(crate) fn new(
        plan: &'a RunPlan,
        shared: &'a Shared,
        interrupted: &'a AtomicBool,
        progress: &'a mut Progress,
        broker: Option<BrokerWatch>,
    ) -> Self {
        Self {
            plan,
            shared,
            interrupted,
            progress,
            samples: Vec::new(),
            ramp: Vec::new(),
            host: HostWatch::new(),
            broker,
            head_start_ns: HEAD_START_NS,
        }
    }

    /// With more time between the order to begin and the first message.
    pub(crate) fn with_head_start(mut self, head_start_ns: u64) -> Self {
        self.head_start_ns = head_start_ns;
        self
    }

    /// The run from the ramp to the end, but for the goodbyes: how long the ramp took, and when was measured.
    pub(crate) fn direct(&mut self, begun: u64) -> (u64, Option<Timeline>) {
        let ramp_ns = self.ramp(begun);
        let timeline = match self.plan.story() {
            Story::Plain => {
                let timeline = self.measure();
                if let Some(timeline) = timeline {
                    self.drain(timeline);
                }
                timeline
            }
            Story::Reconnect(rounds) => self.reconnect(rounds),
            Story::Offline | Story::Retained => self.send_ahead(),
        };
        (ramp_ns, timeline)
    }

    /// What was seen.
    pub(crate) fn finish(mut self) -> Seen {
        self.host.finish();
        Seen { samples: self.samples, ramp: self.ramp, host: self.host, broker: self.broker }
    }

    fn must_stop(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.shared.any_failed()
    }

    /// Waits until every connection is ready or has failed; says how long that took.
    fn ramp(&mut self, begun: u64) -> u64 {
        let total = u64::from(self.plan.whole.connections());
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
        let start = sys::now() + self.head_start_ns;
        let measure = start + self.plan.whole.warm_up.as_nanos() as u64;
        let mut timeline = Timeline { start, measure, end: measure + self.plan.whole.duration.as_nanos() as u64 };
        self.shared.set_with(RUN, timeline);
        sleep_until(timeline.measure, self);
        self.watch();
        let mut next = sys::now();
        let mut before = (sys::now(), self.shared.counts(), histogram());
        loop {
            next += SECOND_NS;
            let until = next.min(timeline.end);
            while sys::now() < until && !self.must_stop() && !self.is_complete() && !self.is_deserted() {
                std::thread::sleep(TICK.min(Duration::from_nanos(until.saturating_sub(sys::now()).max(1))));
            }
            self.sample(&mut before, timeline);
            let now = sys::now();
            if now >= timeline.end {
                break;
            }
            if self.must_stop() || self.is_complete() || self.is_deserted() {
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
        let limit = self.plan.whole.duration.as_nanos() as u64;
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
        let patience = self.plan.whole.duration.as_nanos() as u64;
        if self.plan.story() == Story::Offline {
            self.shared.set(AWAY);
            let publishers = u64::from(self.plan.whole.publishers);
            self.wait_until(sys::now() + patience, |counts| counts.open <= publishers);
        }
        let start = sys::now();
        let limit = self.plan.whole.limit.unwrap_or(0);
        let sending = Timeline { start, measure: start, end: start + patience };
        self.shared.set_with(RUN, sending);
        self.wait_until(sending.end, |counts| counts.acked >= limit);
        let outcome = self.come_for_it(patience);
        if self.plan.story() == Story::Retained {
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
        let awaited = u64::from(self.plan.whole.subscribers);
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
        let all = if self.plan.receives() { delivery } else { ack };
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
        let Some(limit) = self.plan.whole.limit else { return false };
        self.plan.whole.publishers > 0 && self.shared.counts().sent >= limit
    }

    /// Whether all connections are gone for good.
    fn is_deserted(&self) -> bool {
        self.shared.counts().open == 0 && !self.plan.reconnects()
    }

    /// Waits for what is under way, as long as it moves.
    fn drain(&mut self, timeline: Timeline) {
        // What ended the measured time leaves what is under way its time; what comes now does not.
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        let (mut moved, mut seen) = (sys::now(), 0);
        let limit = timeline.end.max(sys::now()) + self.plan.whole.drain.as_nanos() as u64;
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
            let quiet = if self.plan.drains_fast() { QUIET_NS } else { 2 * QUIET_NS };
            let again = !interrupted && self.interrupted.load(Ordering::Relaxed);
            if now > limit || now - moved > quiet || again || self.shared.any_failed() {
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
