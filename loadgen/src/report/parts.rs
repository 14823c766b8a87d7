//! The streams of a mix: each is accounted for by itself, and the whole is their sum.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::json::{config_json, latencies_json, whole};
use super::saved::Saved;
use super::{Report, table};
use crate::format::{count, duration};

/// Members of a mix's configuration that are those of its streams together.
const TOGETHER: &[&str] =
    &["scenario", "publishers", "subscribers", "idle", "qos", "loop", "rate_per_s", "connect_rate_per_s", "limit"];

impl Report {
    /// The configuration of the run. What only streams of a mix have, each its own, is null.
    pub(super) fn config_json(&self) -> Value {
        let mut config = config_json(&self.plan);
        let parts: Vec<Value> = self.parts.iter().map(|part| config_json(&part.plan)).collect();
        for (name, value) in config.as_object_mut().into_iter().flatten() {
            if !TOGETHER.contains(&name.as_str()) && parts.iter().any(|part| part[name] != *value) {
                *value = Value::Null;
            }
        }
        config
    }

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

impl Saved {
    /// A line or two for each.
    pub(super) fn write_parts(&self, out: &mut String) -> std::fmt::Result {
        for part in self.parts.iter().flatten() {
            let number = |name: &str| part.config.get(name).and_then(Value::as_u64).unwrap_or(0);
            let connections = number("publishers") + number("subscribers") + number("idle");
            let scenario = part.config.get("scenario").and_then(Value::as_str).unwrap_or("run");
            write!(out, "  {:<11}  {scenario}, {} connections", part.name, count(connections))?;
            if number("publishers") > 0 {
                write!(out, ", QoS {}, {} B", number("qos"), number("payload_bytes"))?;
                if let Some(rate) = part.config.get("rate_per_s").and_then(Value::as_f64) {
                    write!(out, ", {} msg/s", count(rate as u64))?;
                }
                write!(out, ": sent {}", count(part.messages.sent))?;
            }
            if part.messages.expected.is_some() {
                write!(
                    out,
                    "   received {}   lost {}   doubled {}   reordered {}",
                    count(part.messages.received),
                    count(part.messages.lost.unwrap_or(0)),
                    count(part.messages.doubled),
                    count(part.messages.reordered)
                )?;
            }
            if let Some((name, latency)) = part.main_latency().filter(|(name, _)| *name != "connect") {
                let at = |name| latency.percentile(name).map_or_else(|| "-".to_owned(), duration);
                write!(out, "   {name} p50 {}, p99 {}", at("p50"), at("p99"))?;
            }
            writeln!(out)?;
            table::write_worst(out, part.streams.as_ref())?;
        }
        Ok(())
    }
}
