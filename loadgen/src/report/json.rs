//! The report as JSON, schema `millrace-load/1`: integers of nanoseconds in `*_ns`, exact counts, the histograms
//! themselves.

use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use serde_json::{Map, Value, json};

use super::{Report, base64, command, saved, table};
use crate::expect::{LATENCIES, PERCENTILES};
use crate::host::{self, BrokerSample};
use crate::plan::{Audience, Pace, Plan, Story};
use crate::progress::{RampSample, Sample};

impl Report {
    pub(super) fn json(&self) -> Value {
        let counts = &self.counts;
        let receives = self.plan.receives();
        let expectations: Vec<Value> = self
            .expectations
            .iter()
            .map(|verdict| json!({ "condition": verdict.text, "held": verdict.held, "met": verdict.met }))
            .collect();
        let series: Vec<Value> = self.samples.iter().map(sample_json).collect();
        let ramp: Vec<Value> = self.ramp.iter().map(ramp_json).collect();
        let written = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        json!({
            "schema": saved::SCHEMA,
            "program": { "name": "millrace-load", "version": env!("CARGO_PKG_VERSION") },
            "written_at_unix_s": written,
            "command": command::kept(std::env::args()),
            "interrupted": self.interrupted,
            "headline": table::headline(&self.plan, &self.parts),
            "config": self.config_json(),
            "environment": {
                "kernel": host::kernel(),
                "cpu": host::cpu_model(),
                "cpus": crate::sys::allowed_cpus(),
            },
            "connections": {
                "planned": self.plan.connections(),
                "ready": counts.ready,
                "failed": counts.failed,
                "dropped": counts.dropped,
                "returned": counts.returned,
                "resumed": counts.resumed,
                "ramp_ns": (self.rates.ramp_seconds * 1e9) as u64,
                "per_s": whole(self.rates.connects),
            },
            "messages": self.messages_json(),
            "measured": {
                "begins_ns": self.begins,
                "duration_ns": (self.rates.seconds * 1e9) as u64,
                "sent": counts.sent_measured,
                "received": counts.received_measured,
                "acked": counts.acked_measured,
                "rate_per_s": whole(self.rate()),
                "sent_per_s": whole(self.rates.sent),
                "received_per_s": whole(self.rates.received),
                "acked_per_s": whole(self.rates.acked),
            },
            "streams": self.streams.as_ref().map(super::streams::Streams::json),
            "bytes": { "sent": counts.bytes_sent, "received": counts.bytes_received },
            "latency": latencies_json(self),
            "parts": self.parts_json(),
            "agents": self.agents_json(),
            "errors": self.errors,
            "broker": self.broker.map(|broker| json!({
                "pid": broker.pid,
                "cores": rounded(broker.cores),
                "cpu_us_per_message": broker.us_per_message.map(rounded),
                "rss_bytes": broker.rss,
                "rss_peak_bytes": broker.rss_peak,
                "bytes_per_connection": broker.bytes_per_connection.map(whole),
            })),
            "tool": {
                "workers_busy": self.tool.busy.iter().map(|busy| rounded(*busy)).collect::<Vec<_>>(),
                "workers_waited_for_cpu": self.tool.waited.iter().map(|part| rounded(*part)).collect::<Vec<_>>(),
                "stolen_cpu": rounded(self.tool.stolen),
                "windows_written_off": counts.written_off,
                "receive_droughts": counts.droughts,
                "pings": counts.pings,
            },
            "expectations": expectations,
            "verdict": { "valid": self.limits.is_empty(), "limited_by_the_load_tool": self.limits },
            "series_latency": if receives { "delivery" } else { "ack" },
            "series": series,
            "ramp": ramp,
        })
    }

    pub(super) fn messages_json(&self) -> Value {
        let counts = &self.counts;
        let receives = self.plan.receives();
        json!({
            "sent": counts.sent,
            "unsent": counts.unsent,
            "acked": counts.acked,
            "resent": counts.resent,
            "expected": if receives { json!(counts.expected) } else { Value::Null },
            "received": counts.received,
            "lost": if receives { json!(self.lost) } else { Value::Null },
            "doubled": counts.doubled,
            "reordered": counts.reordered,
            "foreign": counts.foreign,
        })
    }

    /// From when a latency is counted.
    fn from(&self, latency: &str) -> String {
        let strangers = self.parts.is_empty() && self.plan.audience == Audience::Strangers;
        let open = matches!(self.plan.pace, Pace::Open(_)) || strangers;
        let from = match (self.plan.story, open) {
            (Story::Plain | Story::Reconnect(_), true) => "from the intended time of sending",
            (Story::Plain | Story::Reconnect(_), false) => "from the time of sending",
            (Story::Offline, _) => "from the time their receiver was to return",
            (Story::Retained, _) => "from SUBSCRIBE",
        };
        let from = match latency {
            "delivery" => from,
            "delivery_sent" => "from the actual time of sending",
            "ack" if open => from,
            "ack" => "from the time of sending",
            "connect" => "until CONNACK",
            "reconnect" => "until CONNACK, from the time it was to return",
            _ => "how late it was sent though it could have been",
        };
        from.to_owned()
    }
}

fn sample_json(sample: &Sample) -> Value {
    let mut point = json!({
        "at_ns": sample.at,
        "sent_per_s": whole(sample.sent_rate),
        "received_per_s": whole(sample.received_rate),
        "acked_per_s": whole(sample.acked_rate),
        "connected": sample.open,
        "latencies": sample.latencies,
        "p50_ns": sample.p50,
        "p90_ns": sample.p90,
        "p99_ns": sample.p99,
        "p99_9_ns": sample.p99_9,
        "max_ns": sample.max,
    });
    add_broker(&mut point, sample.broker);
    point
}

fn ramp_json(sample: &RampSample) -> Value {
    let mut point = json!({ "at_ns": sample.at, "ready": sample.ready, "failed": sample.failed });
    add_broker(&mut point, sample.broker);
    point
}

fn add_broker(point: &mut Value, broker: Option<BrokerSample>) {
    if let Some(broker) = broker {
        point["broker_cores"] = rounded(broker.cores).into();
        point["broker_rss_bytes"] = broker.rss.into();
    }
}

pub(super) fn latencies_json(report: &Report) -> Value {
    let mut latency = Map::new();
    for name in LATENCIES {
        if let Some(histogram) = report.latency(name).filter(|histogram| !histogram.is_empty()) {
            latency.insert((*name).to_owned(), latency_json(histogram, &report.from(name), &report.percentiles));
        }
    }
    latency.into()
}

fn latency_json(histogram: &Histogram<u64>, from: &str, more: &[f64]) -> Value {
    let mut object = Map::new();
    object.insert("count".to_owned(), histogram.len().into());
    object.insert("from".to_owned(), from.into());
    object.insert("min_ns".to_owned(), histogram.min().into());
    object.insert("mean_ns".to_owned(), (histogram.mean() as u64).into());
    for (name, quantile) in PERCENTILES {
        let value = if *quantile < 1.0 { histogram.value_at_quantile(*quantile) } else { histogram.max() };
        object.insert(format!("{}_ns", name.replace('.', "_")), value.into());
    }
    for percentile in more {
        let name = format!("p{}_ns", percentile.to_string().replace('.', "_"));
        object.insert(name, histogram.value_at_quantile(percentile / 100.0).into());
    }
    let mut bytes = Vec::new();
    if V2Serializer::new().serialize(histogram, &mut bytes).is_ok() {
        object.insert("hdr_v2_base64".to_owned(), base64::encode(&bytes).into());
    }
    object.into()
}

pub(super) fn config_json(plan: &Plan) -> Value {
    let (pace, rate) = match plan.pace {
        _ if plan.publishers == 0 => (Value::Null, None),
        Pace::Open(rate) => (json!("open"), Some(rate)),
        Pace::Closed => (json!("closed"), None),
    };
    json!({
        "scenario": plan.scenario,
        "sends_ahead": plan.story.sends_ahead(),
        "tag": plan.tag,
        "workers": plan.workers,
        "targets": plan.ramp.targets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "source_addresses": plan.ramp.sources.len(),
        "connect_rate_per_s": plan.ramp.rate,
        "version": plan.identity.version.to_string(),
        "keep_alive_s": plan.identity.keep_alive,
        "clean_start": plan.identity.clean_start,
        "client_prefix": plan.identity.prefix,
        "topic": (plan.publishers > 0).then(|| plan.topic.to_string()),
        "filter": plan.filter.as_ref().map(ToString::to_string),
        "publishers": plan.publishers,
        "subscribers": plan.subscribers,
        "idle": plan.idle,
        "qos": plan.qos as u8,
        "subscribe_qos": plan.subscribe_qos as u8,
        "retain": plan.retain,
        "payload_bytes": plan.payload.len(),
        "loop": pace,
        "rate_per_s": rate,
        "in_flight": plan.window,
        "limit": plan.limit,
        "warm_up_ns": plan.warm_up.as_nanos() as u64,
        "duration_ns": plan.duration.as_nanos() as u64,
    })
}

/// A rate as an integer.
pub(super) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_has_all_its_percentiles_and_itself() {
        let mut histogram = crate::stats::histogram();
        histogram.record(1_234_567).expect("in bounds");
        let json = latency_json(&histogram, "until CONNACK", &[75.0, 99.5]);
        for name in ["p75_ns", "p99_5_ns", "count", "min_ns", "p50_ns", "p99_9_ns", "p99_99_ns", "max_ns"] {
            assert!(json[name].is_u64(), "{name} in {json}");
        }
        // The cookie of an uncompressed V2 histogram.
        assert!(json["hdr_v2_base64"].as_str().is_some_and(|text| text.starts_with("HISTE")), "{json}");
    }
}
