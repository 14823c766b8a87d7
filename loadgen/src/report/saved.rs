//! A report as it is kept: the JSON of schema `millrace-load/1`, read back.
//!
//! Tables, pages, files and comparisons are all made of this, so that a run says the same at its end and years later.
//! Invariants: what an older or newer program left out is empty, never an error; a file of another kind is one.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::base64;
use crate::expect::{LATENCIES, Verdict};

/// The schema that is written and understood.
pub(crate) const SCHEMA: &str = "millrace-load/1";
/// A report of a day has a point a second; this is far more.
const FILE_MAX: u64 = 256 << 20;

/// See the head of this file. Field by field it is what docs/load.md describes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Saved {
    pub(crate) schema: String,
    pub(crate) program: Program,
    pub(crate) written_at_unix_s: u64,
    pub(crate) command: Vec<String>,
    pub(crate) interrupted: bool,
    pub(crate) headline: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) environment: Map<String, Value>,
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
    pub(crate) measured: Measured,
    pub(crate) streams: Option<Streams>,
    pub(crate) bytes: Bytes,
    pub(crate) latency: BTreeMap<String, Latency>,
    /// The streams of a mix.
    pub(crate) parts: Option<Vec<Part>>,
    pub(crate) agents: Option<Agents>,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) broker: Option<Broker>,
    pub(crate) tool: Tool,
    pub(crate) expectations: Vec<Condition>,
    pub(crate) verdict: Judgement,
    pub(crate) series_latency: Option<String>,
    pub(crate) series: Vec<Point>,
    pub(crate) ramp: Vec<RampPoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) version: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Connections {
    pub(crate) planned: u64,
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    pub(crate) returned: u64,
    pub(crate) resumed: u64,
    pub(crate) ramp_ns: u64,
    pub(crate) per_s: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Messages {
    pub(crate) sent: u64,
    pub(crate) unsent: u64,
    pub(crate) acked: u64,
    /// Sent once more because no answer came.
    pub(crate) resent: u64,
    /// None where nobody was to receive anything.
    pub(crate) expected: Option<u64>,
    pub(crate) received: u64,
    pub(crate) lost: Option<u64>,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    pub(crate) foreign: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Measured {
    /// Since the first connect.
    pub(crate) begins_ns: u64,
    pub(crate) duration_ns: u64,
    pub(crate) rate_per_s: u64,
    pub(crate) sent_per_s: u64,
    pub(crate) received_per_s: u64,
    pub(crate) acked_per_s: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Streams {
    pub(crate) number: u64,
    pub(crate) with_loss: u64,
    pub(crate) with_doubles: u64,
    pub(crate) with_reordering: u64,
    pub(crate) worst: Vec<Stream>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    pub(crate) publisher: u64,
    pub(crate) subscriber: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Bytes {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    /// From when it is counted, in words.
    pub(crate) from: String,
    hdr_v2_base64: String,
    /// `min_ns`, `mean_ns`, and one for each of [`PERCENTILES`](crate::expect::PERCENTILES).
    #[serde(flatten)]
    numbers: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Broker {
    pub(crate) pid: u64,
    pub(crate) cores: f64,
    pub(crate) cpu_us_per_message: Option<f64>,
    pub(crate) rss_bytes: u64,
    pub(crate) rss_peak_bytes: u64,
    pub(crate) bytes_per_connection: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tool {
    pub(crate) workers_busy: Vec<f64>,
    pub(crate) workers_waited_for_cpu: Vec<f64>,
    pub(crate) stolen_cpu: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    pub(crate) condition: String,
    pub(crate) held: bool,
    pub(crate) met: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Judgement {
    pub(crate) valid: bool,
    pub(crate) limited_by_the_load_tool: Vec<String>,
}

/// One stream of a mix.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) messages: Messages,
    pub(crate) measured: Measured,
    pub(crate) streams: Option<Streams>,
    pub(crate) latency: BTreeMap<String, Latency>,
}

/// The machines of a run that was led from elsewhere.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Agents {
    pub(crate) members: Vec<Agent>,
    /// How wrong latencies may be because of clocks; none if it does not matter.
    pub(crate) latency_error_ns: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Agent {
    pub(crate) address: String,
    pub(crate) workers: u64,
    pub(crate) connections: u64,
    pub(crate) clock_error_ns: u64,
    pub(crate) clock_drift_ns: u64,
    /// Why it was lost.
    pub(crate) lost: Option<String>,
}

/// A second of the measured time.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Point {
    pub(crate) at_ns: u64,
    pub(crate) sent_per_s: u64,
    pub(crate) received_per_s: u64,
    pub(crate) acked_per_s: u64,
    pub(crate) connected: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p99_9_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_rss_bytes: Option<u64>,
}

/// A moment of the ramp.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RampPoint {
    pub(crate) at_ns: u64,
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) broker_cores: Option<f64>,
    pub(crate) broker_rss_bytes: Option<u64>,
}

impl From<Verdict> for Condition {
    fn from(verdict: Verdict) -> Self {
        Self { condition: verdict.text, held: verdict.held, met: verdict.met }
    }
}

impl Latency {
    /// A number by its name in [`PERCENTILES`](crate::expect::PERCENTILES); none above the greatest value.
    pub(crate) fn percentile(&self, name: &str) -> Option<u64> {
        let number = |name: &str| self.numbers.get(name).and_then(Value::as_u64);
        let max = number("max_ns")?;
        // A value within a bucket is named by the bucket's end.
        number(&format!("{}_ns", name.replace('.', "_"))).map(|value| value.min(max))
    }

    pub(crate) fn mean(&self) -> Option<u64> {
        self.numbers.get("mean_ns").and_then(Value::as_u64)
    }

    pub(crate) fn min(&self) -> Option<u64> {
        self.numbers.get("min_ns").and_then(Value::as_u64)
    }

    /// The histogram itself; none if it was not kept.
    pub(crate) fn histogram(&self) -> Option<Histogram<u64>> {
        let bytes = base64::decode(&self.hdr_v2_base64)?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .ok()
            .filter(|histogram: &Histogram<u64>| !histogram.is_empty())
    }
}

/// The most telling of these.
fn main_latency(latencies: &BTreeMap<String, Latency>) -> Option<(&'static str, &Latency)> {
    ["delivery", "ack", "reconnect", "connect"]
        .into_iter()
        .find_map(|name| latencies.get(name).filter(|one| one.count > 0).map(|one| (name, one)))
}

impl Part {
    pub(crate) fn main_latency(&self) -> Option<(&'static str, &Latency)> {
        main_latency(&self.latency)
    }
}

impl Tool {
    pub(crate) fn busiest(&self) -> f64 {
        self.workers_busy.iter().copied().fold(0.0, f64::max)
    }

    pub(crate) fn longest_wait(&self) -> f64 {
        self.workers_waited_for_cpu.iter().copied().fold(0.0, f64::max)
    }
}

impl Saved {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        use std::io::Read as _;
        let shown = path.display();
        let mut text = String::new();
        let read = if path.as_os_str() == "-" {
            std::io::stdin().take(FILE_MAX + 1).read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
        };
        read.map_err(|error| format!("cannot read {shown}: {error}"))?;
        if text.len() as u64 > FILE_MAX {
            return Err(format!("{shown} is longer than {FILE_MAX} bytes, which no report is"));
        }
        Self::parse(&text).map_err(|error| format!("{shown} {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        Self::from_json(value)
    }

    /// The error continues a sentence that begins with the name of the file.
    pub(crate) fn from_json(value: Value) -> Result<Self, String> {
        match value.get("schema").and_then(Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => return Err(format!("has the schema {other:?}; this program knows {SCHEMA:?}")),
            None => return Err(format!("is no report of a run: it has no schema {SCHEMA:?}")),
        }
        serde_json::from_value(value).map_err(|error| format!("is not what its schema {SCHEMA:?} says: {error}"))
    }

    /// A number of the configuration.
    pub(crate) fn config_number(&self, name: &str) -> u64 {
        self.config.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    pub(crate) fn scenario(&self) -> &str {
        self.config.get("scenario").and_then(Value::as_str).unwrap_or("run")
    }

    /// Whether deliveries were accounted for.
    pub(crate) const fn receives(&self) -> bool {
        self.messages.expected.is_some()
    }

    /// Whether messages wait for subscribers that come after they were sent.
    pub(crate) fn sends_ahead(&self) -> bool {
        match self.config.get("sends_ahead").and_then(Value::as_bool) {
            Some(ahead) => ahead,
            None => matches!(self.scenario(), "offline" | "retained"),
        }
    }

    /// Latencies that are told, in their order. Where nothing is due before it is sent, it is not told twice.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = (&'static str, &Latency)> {
        let closed = self.config.get("loop").and_then(Value::as_str) == Some("closed");
        let told = LATENCIES.iter().filter(move |name| !closed || **name != "delivery_sent");
        told.filter_map(|name| self.latency.get(*name).filter(|one| one.count > 0).map(|one| (*name, one)))
    }

    /// What `p99` means without more words.
    pub(crate) fn main_latency(&self) -> Option<(&'static str, &Latency)> {
        main_latency(&self.latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused_with_a_reason() {
        for (text, word) in [
            ("{", "not JSON"),
            ("[]", "no report"),
            (r#"{"schema":"other/9"}"#, "other/9"),
            (r#"{"schema":"millrace-load/1","series":7}"#, "not what its schema"),
        ] {
            let error = Saved::parse(text).expect_err(text);
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_another_version_left_out_is_empty() {
        let saved = Saved::parse(r#"{"schema":"millrace-load/1","messages":{"sent":7},"new":{"a":1}}"#).expect("legal");
        assert_eq!((saved.value("sent"), saved.value("p99"), saved.value("broker.cores")), (Some(7.0), None, None));
        assert!(!saved.receives() && saved.latencies().next().is_none());
    }

    #[test]
    fn a_broken_histogram_is_none() {
        for text in ["", "HISTE", "AAAA", "HISTEwAAAAA="] {
            let latency = Latency { hdr_v2_base64: text.to_owned(), ..Latency::default() };
            assert!(latency.histogram().is_none(), "{text}");
        }
    }
}
