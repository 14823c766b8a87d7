//! What a run has brought, added up and judged.
//!
//! All that is shown goes through its JSON: `json.rs` makes it, `saved.rs` reads it, whether a moment or a year later.
//! Not here: how that looks as a table (`table.rs`), as a page (`html/`), in the other files (`files.rs`).

mod again;
mod base64;
mod command;
mod compare;
mod files;
mod html;
mod json;
mod machines;
mod members;
mod parts;
mod saved;
mod streams;
mod table;
mod values;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::account::Bits;
use crate::agents::AgentAccount;
use crate::control::Run;
use crate::exit::Exit;
use crate::expect::{Expectation, Verdict};
use crate::options::OutputOptions;
use crate::plan::{Audience, Plan, Story};
use crate::progress::{RampSample, Sample};
use crate::run_plan::RunPlan;
use crate::stats::{Counts, Latencies, Stats};

use files::Files;

pub(crate) use again::{ReportOptions, again};
pub(crate) use compare::{CompareOptions, compare};
pub(crate) use saved::Saved;

/// See the head of this file.
pub(crate) struct Report {
    plan: Arc<Plan>,
    counts: Counts,
    lost: u64,
    latencies: Latencies,
    streams: Option<streams::Streams>,
    errors: BTreeMap<String, u64>,
    rates: Rates,
    broker: Option<Broker>,
    tool: Tool,
    samples: Vec<Sample>,
    ramp: Vec<RampSample>,
    /// Nanoseconds from the first connect to the measured time.
    begins: u64,
    expectations: Vec<Verdict>,
    /// Why the load tool, and not the broker, was what was measured; empty if it was not.
    limits: Vec<String>,
    interrupted: bool,
    /// The streams of a mix.
    parts: Vec<Self>,
    agents: Vec<AgentAccount>,
    /// Percentiles that are told besides the usual ones.
    percentiles: Vec<f64>,
}

/// Of the measured time, in seconds and messages a second.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    seconds: f64,
    sent: f64,
    received: f64,
    acked: f64,
    connects: f64,
    ramp_seconds: f64,
}

/// The broker's process.
#[derive(Clone, Copy, Debug)]
struct Broker {
    pid: u32,
    cores: f64,
    us_per_message: Option<f64>,
    rss: u64,
    rss_peak: u64,
    bytes_per_connection: Option<f64>,
}

/// The load tool itself.
#[derive(Clone, Debug, Default)]
struct Tool {
    /// The busy part of each worker's time.
    busy: Vec<f64>,
    /// The part that each waited for a processor.
    waited: Vec<f64>,
    stolen: f64,
}

impl Tool {
    fn busiest(&self) -> f64 {
        self.busy.iter().copied().fold(0.0, f64::max)
    }

    fn longest_wait(&self) -> f64 {
        self.waited.iter().copied().fold(0.0, f64::max)
    }
}

impl Report {
    pub(crate) fn new(plan: &RunPlan, run: &Run, expectations: &[Expectation]) -> Self {
        let parts = match plan.is_mixed() {
            true => plan.parts.iter().enumerate().map(|(at, part)| Self::of(part, Some(at), run)).collect(),
            false => Vec::new(),
        };
        let mut report = Self::of(&plan.whole, None, run);
        report.set_parts(parts);
        report.limits = verdict::limits(&report);
        if !expectations.is_empty() {
            let saved = report.saved();
            report.expectations = expectations.iter().map(|expectation| saved.judge(expectation)).collect();
        }
        report
    }

    /// The account of one part of the run, or of all.
    fn of(plan: &Arc<Plan>, part: Option<usize>, run: &Run) -> Self {
        let outcomes = || run.outcomes.iter().filter(|outcome| part.is_none_or(|part| part == outcome.part));
        let mut stats = Stats::new();
        let mut group: Vec<Bits> = Vec::new();
        for outcome in outcomes() {
            stats.join(&outcome.stats);
            if group.is_empty() {
                group.clone_from(&outcome.group);
            } else {
                group.iter_mut().zip(&outcome.group).for_each(|(mine, theirs)| mine.join(theirs));
            }
        }
        let Stats { mut counts, latencies, errors } = stats;
        if plan.audience == Audience::Group {
            // Members on different workers may have got the same message, which only the joined account shows.
            counts.unique = group.iter().map(Bits::unique).sum();
            counts.doubled = group.iter().map(|bits| bits.received).sum::<u64>() - counts.unique;
        }
        let lost = match plan.audience {
            Audience::Strangers => counts.missed,
            _ => counts.expected.saturating_sub(counts.unique),
        };
        let seconds = run.timeline.map_or(0.0, |timeline| (timeline.end - timeline.measure) as f64 / 1e9);
        let per_second = |number: u64| if seconds > 0.0 { number as f64 / seconds } else { 0.0 };
        let ramp_seconds = run.ramp_ns as f64 / 1e9;
        if plan.story.sends_ahead() {
            // They were sent and acknowledged before the measured time.
            (counts.sent_measured, counts.acked_measured) = (0, 0);
        }
        let rates = Rates {
            seconds,
            sent: per_second(counts.sent_measured),
            received: per_second(counts.received_measured),
            acked: per_second(counts.acked_measured),
            connects: counts.ready as f64 / ramp_seconds.max(1e-9),
            ramp_seconds,
        };
        let tool = Tool {
            busy: run.loads.iter().map(|load| load.busy).collect(),
            waited: run.loads.iter().map(|load| load.waited).collect(),
            stolen: run.stolen,
        };
        let messages = if counts.received_measured > 0 { counts.received_measured } else { counts.sent_measured };
        let broker = run.broker.as_ref().and_then(|watch| {
            let (cpu, span) = watch.cpu()?;
            let rss = watch.rss()?;
            Some(Broker {
                pid: watch.pid,
                cores: cpu as f64 / span.max(1) as f64,
                us_per_message: (messages > 0).then(|| cpu as f64 / 1e3 / messages as f64),
                rss,
                rss_peak: watch.rss_peak,
                bytes_per_connection: (counts.ready > 0)
                    .then(|| rss.saturating_sub(watch.rss_before) as f64 / counts.ready as f64),
            })
        });
        Self {
            plan: Arc::clone(plan),
            counts,
            lost,
            latencies,
            streams: plan.has_lines().then(|| streams::Streams::new(outcomes())),
            errors,
            rates,
            broker,
            tool,
            samples: run.samples.clone(),
            ramp: run.ramp.clone(),
            begins: run.timeline.map_or(0, |timeline| timeline.measure.saturating_sub(run.begun)),
            expectations: Vec::new(),
            limits: Vec::new(),
            interrupted: run.interrupted,
            parts: Vec::new(),
            agents: run.agents.clone(),
            percentiles: Vec::new(),
        }
    }

    /// Tells these percentiles as well.
    pub(crate) fn with_percentiles(mut self, percentiles: &[f64]) -> Self {
        self.percentiles = percentiles.to_vec();
        self.parts.iter_mut().for_each(|part| part.percentiles = percentiles.to_vec());
        self
    }

    fn latency(&self, name: &str) -> Option<&Histogram<u64>> {
        Some(match name {
            "delivery" => &self.latencies.delivery,
            "delivery_sent" => &self.latencies.delivery_sent,
            "ack" => &self.latencies.ack,
            "connect" => &self.latencies.connect,
            "reconnect" => &self.latencies.reconnect,
            "lag" => &self.latencies.lag,
            _ => return None,
        })
    }

    /// What `rate` means: deliveries, else acknowledgements, else messages sent, else connects.
    fn rate(&self) -> f64 {
        let Rates { sent, received, acked, connects, .. } = self.rates;
        if let Story::Reconnect(_) = self.plan.story {
            return self.counts.returned as f64 / self.rates.seconds.max(1e-9);
        }
        if self.plan.publishers == 0 && self.plan.audience != Audience::Strangers {
            return connects;
        }
        match (self.plan.receives(), acked > 0.0) {
            (true, _) => received,
            (false, true) => acked,
            (false, false) => sent,
        }
    }

    /// What a file of it would bring back.
    fn saved(&self) -> Saved {
        Saved::from_json(self.json()).expect("a report that was just made has its own schema")
    }

    /// Writes what was asked for.
    pub(crate) fn write(&self, output: &OutputOptions) -> Result<(), String> {
        let json = self.json();
        self.saved().write(&Files {
            json: output.json.as_deref().map(|path| (path, &json)),
            csv: output.csv.as_deref(),
            hgrm: output.hgrm.as_deref(),
            html: output.html.as_deref(),
        })
    }

    pub(crate) fn exit(&self, strict: bool) -> Exit {
        if self.interrupted {
            Exit::Interrupted
        } else if self.agents.iter().any(|agent| agent.lost.is_some()) {
            Exit::Failed
        } else if self.counts.ready == 0 || self.counts.dropped >= self.counts.ready && self.counts.open == 0 {
            // Nothing connected, or nothing was left.
            Exit::Failed
        } else if self.expectations.iter().any(|verdict| !verdict.held) {
            Exit::NotHeld
        } else if strict && !self.limits.is_empty() {
            Exit::Failed
        } else {
            Exit::Done
        }
    }
}
