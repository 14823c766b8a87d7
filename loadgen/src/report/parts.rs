//! The streams of a mix: each is accounted for by itself, and the whole is their sum.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Report;
use super::json::{config_json, latencies_json, whole};
use crate::format::{count, duration};
use crate::plan::Pace;

impl Report {
    /// Takes the parts in: what only they can tell is added up.
    pub(super) fn set_parts(&mut self, parts: Vec<Self>) {
        if parts.is_empty() {
            return;
        }
        let sum = |number: fn(&Self) -> u64| parts.iter().map(number).sum();
        self.lost = sum(|part| part.lost);
        self.counts.unique = sum(|part| part.counts.unique);
        self.counts.doubled = sum(|part| part.counts.doubled);
        self.parts = parts;
    }

    /// A line or two for each.
    pub(super) fn write_parts(&self, out: &mut String) -> std::fmt::Result {
        for part in &self.parts {
            let plan = &part.plan;
            write!(out, "  {:<11}  {}, {} connections", plan.name, plan.scenario, count(plan.connections().into()))?;
            if plan.publishers > 0 {
                write!(out, ", QoS {}, {} B", plan.qos as u8, plan.payload.len())?;
                if let Pace::Open(rate) = plan.pace {
                    write!(out, ", {} msg/s", count(rate as u64))?;
                }
                write!(out, ": sent {}", count(part.counts.sent))?;
            }
            if plan.receives() {
                let counts = &part.counts;
                write!(
                    out,
                    "   received {}   lost {}   doubled {}   reordered {}",
                    count(counts.received),
                    count(part.lost),
                    count(counts.doubled),
                    count(counts.reordered)
                )?;
            }
            if let Some((name, histogram)) = part.main_latency().filter(|(name, _)| *name != "connect") {
                let at = |quantile| duration(histogram.value_at_quantile(quantile).min(histogram.max()));
                write!(out, "   {name} p50 {}, p99 {}", at(0.5), at(0.99))?;
            }
            writeln!(out)?;
            for line in part.streams.iter().flat_map(super::streams::Streams::lines) {
                writeln!(out, "    worst      {line}")?;
            }
        }
        Ok(())
    }

    /// The parts as JSON; nothing where there is only one.
    pub(super) fn parts_json(&self) -> Value {
        if self.parts.is_empty() {
            return Value::Null;
        }
        let part = |part: &Self| {
            json!({
                "name": part.plan.name,
                "config": config_json(&part.plan),
                "connections": { "ready": part.counts.ready, "failed": part.counts.failed, "dropped": part.counts.dropped },
                "messages": part.messages_json(),
                "measured": {
                    "rate_per_s": whole(part.rate()),
                    "sent_per_s": whole(part.rates.sent),
                    "received_per_s": whole(part.rates.received),
                    "acked_per_s": whole(part.rates.acked),
                },
                "streams": part.streams.as_ref().map(super::streams::Streams::json),
                "latency": latencies_json(part),
                "errors": part.errors,
            })
        };
        self.parts.iter().map(part).collect()
    }
}
