//! The report as people read it.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use millrace_core::packet::QoS;

use super::Report;
use crate::format::{bytes, count, duration, many, span};
use crate::plan::{Audience, Pace, Plan, Story};

const LATENCY_COLUMNS: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Report {
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let counts = &self.counts;
        writeln!(out, "{}", headline(&self.plan))?;
        writeln!(
            out,
            "  connections  {} ready in {:.1} s ({}/s), {} failed, {} lost later",
            count(counts.ready),
            self.rates.ramp_seconds,
            count(self.rates.connects as u64),
            count(counts.failed),
            count(counts.dropped)
        )?;
        if counts.returned > 0 {
            writeln!(
                out,
                "  back         {} in {:.2} s ({}/s), {} found their session",
                count(counts.returned),
                self.rates.seconds,
                count((counts.returned as f64 / self.rates.seconds.max(1e-9)) as u64),
                count(counts.resumed)
            )?;
        }
        self.write_messages(out)?;
        self.write_parts(out)?;
        self.write_agents(out)?;
        write!(out, "  {:<11}", "latency")?;
        for (name, _) in LATENCY_COLUMNS {
            write!(out, "  {name:<8}")?;
        }
        out.truncate(out.trim_end().len());
        writeln!(out)?;
        let strangers = self.parts.is_empty() && self.plan.audience == Audience::Strangers;
        let open = matches!(self.plan.pace, Pace::Open(_)) || strangers;
        let from = match (self.plan.story, open) {
            (Story::Plain | Story::Reconnect(_), true) => "from the intended time of sending",
            (Story::Plain | Story::Reconnect(_), false) => "from the time of sending",
            (Story::Offline, _) => "from the time their receiver was to return",
            (Story::Retained, _) => "from SUBSCRIBE",
        };
        write_latency(out, "delivery", &self.latencies.delivery, from)?;
        if open {
            write_latency(out, "  from sent", &self.latencies.delivery_sent, "from the actual time of sending")?;
        }
        write_latency(out, "ack", &self.latencies.ack, if open { from } else { "from the time of sending" })?;
        write_latency(out, "connect", &self.latencies.connect, "until CONNACK")?;
        write_latency(out, "reconnect", &self.latencies.reconnect, "until CONNACK, from the time it was to return")?;
        if let Some(broker) = &self.broker {
            write!(out, "  broker       cpu {:.2} cores", broker.cores)?;
            if let Some(us) = broker.us_per_message {
                write!(out, ", {us:.3} us a message")?;
            }
            write!(out, ", {}", bytes(broker.rss_peak))?;
            if let Some(each) = broker.bytes_per_connection {
                write!(out, ", {each:.0} B more for each connection")?;
            }
            writeln!(out, "  (pid {})", broker.pid)?;
        }
        for (name, times) in &self.errors {
            writeln!(out, "  error        {} times {name}", count(*times))?;
        }
        for verdict in &self.expectations {
            writeln!(out, "  expect       {verdict}")?;
        }
        let lag = match self.latencies.lag.is_empty() {
            true => String::new(),
            false => format!("send lag p99 {}, ", duration(self.latencies.lag.value_at_quantile(0.99))),
        };
        let tool = format!(
            "{lag}busiest worker {:.0} %, waits for a CPU {:.0} %, stolen CPU {:.0} %",
            self.tool.busiest() * 100.0,
            self.tool.longest_wait() * 100.0,
            self.tool.stolen * 100.0
        );
        match self.limits.as_slice() {
            [] => writeln!(out, "valid: {tool}"),
            reasons => writeln!(out, "limited by the load tool: {}  ({tool})", reasons.join("; ")),
        }
    }

    fn write_messages(&self, out: &mut String) -> std::fmt::Result {
        let counts = &self.counts;
        let receives = self.plan.receives();
        if self.plan.publishers == 0 && !receives {
            return Ok(());
        }
        write!(out, "  messages   ")?;
        if self.plan.publishers > 0 {
            write!(out, "  sent {}", count(counts.sent))?;
            if self.plan.qos != QoS::AtMostOnce {
                write!(out, "   acked {}", count(counts.acked))?;
            }
        }
        if receives {
            write!(
                out,
                "   received {}   lost {}   doubled {}   reordered {}",
                count(counts.received),
                count(self.lost),
                count(counts.doubled),
                count(counts.reordered)
            )?;
        }
        for (number, word) in [(counts.unsent, "due but unsent"), (counts.foreign, "of others")] {
            if number > 0 {
                write!(out, "   {} {word}", count(number))?;
            }
        }
        writeln!(out)?;
        for line in self.streams.iter().flat_map(super::streams::Streams::lines) {
            writeln!(out, "    worst      {line}")?;
        }
        write!(out, "  rate       ")?;
        if self.plan.publishers > 0 && !self.plan.story.sends_ahead() {
            write!(out, "  sent {}/s", count(self.rates.sent as u64))?;
            if self.plan.qos != QoS::AtMostOnce {
                write!(out, "   acked {}/s", count(self.rates.acked as u64))?;
            }
        }
        if receives {
            write!(out, "   received {}/s", count(self.rates.received as u64))?;
        }
        writeln!(out, "   in {:.1} s", self.rates.seconds)
    }
}

fn headline(plan: &Plan) -> String {
    let mut out = format!("{}  ", plan.scenario);
    let _ = match plan.audience {
        _ if plan.scenario == "mixed" => {
            write!(out, "{}, {}", many(plan.publishers, "publisher"), many(plan.subscribers, "subscriber"))
        }
        Audience::Partner => write!(out, "{}", many(plan.publishers, "pair")),
        _ if plan.publishers == 0 => write!(out, "{}", many(plan.subscribers, "connection")),
        Audience::Nobody => write!(out, "{}", many(plan.publishers, "publisher")),
        _ => write!(out, "{}, {}", many(plan.publishers, "publisher"), many(plan.subscribers, "subscriber")),
    };
    if plan.idle > 0 {
        let _ = write!(out, " beside {} idle ones", count(plan.idle.into()));
    }
    if plan.publishers > 0 && plan.scenario == "mixed" {
        if let Pace::Open(rate) = plan.pace {
            let _ = write!(out, ", {} msg/s open loop", count(rate as u64));
        }
    } else if plan.publishers > 0 {
        let _ = write!(out, ", QoS {}, {} B", plan.qos as u8, plan.payload.len());
        let _ = match (plan.pace, plan.window) {
            (Pace::Open(rate), _) => write!(out, ", {} msg/s open loop", count(rate as u64)),
            (Pace::Closed, Some(window)) => write!(out, ", {window} in flight, closed loop"),
            (Pace::Closed, None) => write!(out, ", flood"),
        };
    }
    let _ = write!(out, ", {}, MQTT {}", span(plan.duration), plan.identity.version);
    out
}

fn write_latency(out: &mut String, name: &str, histogram: &Histogram<u64>, note: &str) -> std::fmt::Result {
    if histogram.is_empty() {
        return Ok(());
    }
    write!(out, "  {name:<11}")?;
    for (_, quantile) in LATENCY_COLUMNS {
        let value = duration(histogram.value_at_quantile(quantile).min(histogram.max()));
        write!(out, "  {value:<8}")?;
    }
    writeln!(out, "  {note}")
}
