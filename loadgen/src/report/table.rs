//! The report as people read it.

use std::fmt::Write as _;

use super::Report;
use super::saved::{Condition, Latency, Saved, Streams};
use crate::expect::{Expectation, Verdict};
use crate::format::{bytes, count, duration, many, span};
use crate::plan::{Audience, Pace, Plan};

const LATENCY_COLUMNS: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

impl Saved {
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write_table(&mut out);
        for_terminal(&out)
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let connections = &self.connections;
        let seconds = self.measured.duration_ns as f64 / 1e9;
        writeln!(out, "{}", self.title())?;
        writeln!(
            out,
            "  connections  {} ready in {:.1} s ({}/s), {} failed, {} lost later",
            count(connections.ready),
            connections.ramp_ns as f64 / 1e9,
            count(connections.per_s),
            count(connections.failed),
            count(connections.dropped)
        )?;
        if connections.returned > 0 {
            writeln!(
                out,
                "  back         {} in {seconds:.2} s ({}/s), {} found their session",
                count(connections.returned),
                count((connections.returned as f64 / seconds.max(1e-9)) as u64),
                count(connections.resumed)
            )?;
        }
        self.write_messages(out)?;
        self.write_parts(out)?;
        self.write_agents(out)?;
        write!(out, "  {:<11}", "latency")?;
        for name in LATENCY_COLUMNS {
            write!(out, "  {name:<8}")?;
        }
        out.truncate(out.trim_end().len());
        writeln!(out)?;
        for (name, latency) in self.latencies().filter(|(name, _)| *name != "lag") {
            write_latency(out, if name == "delivery_sent" { "  from sent" } else { name }, latency)?;
        }
        if let Some(broker) = &self.broker {
            write!(out, "  broker       cpu {:.2} cores", broker.cores)?;
            if let Some(us) = broker.cpu_us_per_message {
                write!(out, ", {us:.3} us a message")?;
            }
            write!(out, ", {}", bytes(broker.rss_peak_bytes))?;
            if let Some(each) = broker.bytes_per_connection {
                write!(out, ", {each:.0} B more for each connection")?;
            }
            writeln!(out, "  (pid {})", broker.pid)?;
        }
        for (name, times) in &self.errors {
            writeln!(out, "  error        {} times {name}", count(*times))?;
        }
        for condition in &self.expectations {
            writeln!(out, "  expect       {}", self.verdict_of(condition))?;
        }
        let tool = self.tool_line();
        match self.verdict.limited_by_the_load_tool.as_slice() {
            [] => writeln!(out, "valid: {tool}"),
            reasons => writeln!(out, "limited by the load tool: {}  ({tool})", reasons.join("; ")),
        }
    }

    /// What was run, in one line.
    pub(super) fn title(&self) -> &str {
        if self.headline.is_empty() { self.scenario() } else { &self.headline }
    }

    /// What the load tool itself had to bear.
    pub(super) fn tool_line(&self) -> String {
        let lag = self.latency.get("lag").and_then(|lag| lag.percentile("p99"));
        let lag = lag.map_or_else(String::new, |lag| format!("send lag p99 {}, ", duration(lag)));
        format!(
            "{lag}busiest worker {:.0} %, waits for a CPU {:.0} %, stolen CPU {:.0} %",
            self.tool.busiest() * 100.0,
            self.tool.longest_wait() * 100.0,
            self.tool.stolen_cpu * 100.0
        )
    }

    /// A kept condition, with what it met in its unit.
    pub(super) fn verdict_of(&self, condition: &Condition) -> Verdict {
        let (text, held, met) = (condition.condition.clone(), condition.held, condition.met);
        let shown = match Expectation::parse(&text) {
            Ok(expectation) => expectation.judge(met, 1.0).shown,
            Err(_) => met.map_or_else(String::new, |met| met.to_string()),
        };
        Verdict { text, held, met, shown }
    }

    fn write_messages(&self, out: &mut String) -> std::fmt::Result {
        let (messages, measured) = (&self.messages, &self.measured);
        let (receives, publishes) = (self.receives(), self.config_number("publishers") > 0);
        let acknowledged = self.config_number("qos") > 0;
        if !publishes && !receives {
            return Ok(());
        }
        write!(out, "  messages   ")?;
        if publishes {
            write!(out, "  sent {}", count(messages.sent))?;
            if acknowledged {
                write!(out, "   acked {}", count(messages.acked))?;
            }
        }
        if receives {
            write!(
                out,
                "   received {}   lost {}   doubled {}   reordered {}",
                count(messages.received),
                count(messages.lost.unwrap_or(0)),
                count(messages.doubled),
                count(messages.reordered)
            )?;
        }
        for (number, word) in
            [(messages.resent, "sent again"), (messages.unsent, "due but unsent"), (messages.foreign, "of others")]
        {
            if number > 0 {
                write!(out, "   {} {word}", count(number))?;
            }
        }
        writeln!(out)?;
        write_worst(out, self.streams.as_ref())?;
        write!(out, "  rate       ")?;
        if publishes && !self.sends_ahead() {
            write!(out, "  sent {}/s", count(measured.sent_per_s))?;
            if acknowledged {
                write!(out, "   acked {}/s", count(measured.acked_per_s))?;
            }
        }
        if receives {
            write!(out, "   received {}/s", count(measured.received_per_s))?;
        }
        writeln!(out, "   in {:.1} s", measured.duration_ns as f64 / 1e9)
    }
}

/// Names may come from a broker or from a file of others; a terminal must not obey them.
pub(super) fn for_terminal(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\n' { '\u{fffd}' } else { letter }).collect()
}

/// What a plan is, in one line. Streams of a mix may speak several versions.
pub(super) fn headline(plan: &Plan, streams: &[Report]) -> String {
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
    let _ = write!(out, ", {}", span(plan.duration));
    let version = plan.identity.version;
    if streams.iter().all(|stream| stream.plan.identity.version == version) {
        let _ = write!(out, ", MQTT {version}");
    }
    out
}

/// The worst streams, if any is not whole.
pub(super) fn write_worst(out: &mut String, streams: Option<&Streams>) -> std::fmt::Result {
    for stream in streams.iter().flat_map(|streams| &streams.worst) {
        writeln!(
            out,
            "    worst      publisher {} to subscriber {}: lost {}, doubled {}, reordered {}",
            stream.publisher,
            stream.subscriber,
            count(stream.lost),
            count(stream.doubled),
            count(stream.reordered)
        )?;
    }
    Ok(())
}

fn write_latency(out: &mut String, name: &str, latency: &Latency) -> std::fmt::Result {
    write!(out, "  {name:<11}")?;
    for percentile in LATENCY_COLUMNS {
        let value = latency.percentile(percentile).map_or_else(|| "-".to_owned(), duration);
        write!(out, "  {value:<8}")?;
    }
    writeln!(out, "  {}", latency.from)
}
