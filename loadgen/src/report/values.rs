//! The numbers of a report by the names that conditions and comparisons use.

use super::saved::Saved;
use crate::expect::{Expectation, LATENCIES, Verdict, quantile_of};

impl Saved {
    /// Of what a percentage of messages speaks.
    pub(crate) fn whole(&self) -> f64 {
        self.messages.expected.unwrap_or(0).max(self.messages.sent) as f64
    }

    pub(crate) fn judge(&self, expectation: &Expectation) -> Verdict {
        expectation.judge(self.value(&expectation.name), self.whole())
    }

    /// The number that a name of `--expect` stands for.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let (messages, connections, measured) = (&self.messages, &self.connections, &self.measured);
        let number = match name {
            "sent" => messages.sent,
            "acked" => messages.acked,
            "received" => messages.received,
            "lost" => messages.lost.unwrap_or(0),
            "doubled" => messages.doubled,
            "reordered" => messages.reordered,
            "unsent" => messages.unsent,
            "foreign" => messages.foreign,
            "ready" => connections.ready,
            "failed" => connections.failed,
            "dropped" => connections.dropped,
            "returned" => connections.returned,
            "resumed" => connections.resumed,
            "errors" => self.errors.values().sum(),
            "rate" => measured.rate_per_s,
            "sent_rate" => measured.sent_per_s,
            "received_rate" => measured.received_per_s,
            "acked_rate" => measured.acked_per_s,
            "connect_rate" => connections.per_s,
            _ => return self.other_value(name),
        };
        Some(number as f64)
    }

    fn other_value(&self, name: &str) -> Option<f64> {
        if let Some(name) = name.strip_prefix("broker.") {
            let broker = self.broker.as_ref()?;
            return match name {
                "cpu_us_per_message" => broker.cpu_us_per_message,
                "cores" => Some(broker.cores),
                "rss_bytes" => Some(broker.rss_peak_bytes as f64),
                "bytes_per_connection" => broker.bytes_per_connection,
                _ => None,
            };
        }
        let (latency, percentile) = match name.split_once('.') {
            Some((latency, percentile)) if LATENCIES.contains(&latency) => (self.latency.get(latency)?, percentile),
            _ => (self.main_latency()?.1, name),
        };
        let quantile = quantile_of(percentile).filter(|_| latency.count > 0)?;
        let counted =
            || latency.histogram().map(|histogram| histogram.value_at_quantile(quantile).min(histogram.max()));
        latency.percentile(percentile).or_else(counted).map(|ns| ns as f64)
    }
}
