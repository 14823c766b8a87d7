//! What two sides are compared by: each number, how far chance moves it, and which way is better.
//!
//! A side of several runs spans from its lowest to its highest. A side of one run spans what its own seconds and its own
//! histogram say, and some more, because one run says nothing of the next. Where two spans touch, a difference is noise.

use crate::expect::{LATENCIES, PERCENTILES, Unit, unit_of};
use crate::report::saved::{Point, Saved};

/// Percentiles that are shown of each latency.
const SHOWN: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];
/// How many standard errors chance may take.
const ERRORS: f64 = 3.0;
/// What one run may differ from the next for no reason, as part of the number; of several runs it is half.
const SLACK: f64 = 0.02;
const SLACK_OF_LATENCY: f64 = 0.05;
const SLACK_OF_MEMORY: f64 = 0.10;
/// Connections from which on the memory of each says something.
const MANY: f64 = 1000.0;

/// Which way a number should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
    /// Neither is better.
    Neither,
}

/// A number by its name.
#[derive(Clone, Debug)]
pub(super) struct Number {
    /// As in `--expect`.
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// Chance has no part in it: one lost message is one too many.
    exact: bool,
}

/// A number of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) low: f64,
    /// The median of the runs.
    pub(super) middle: f64,
    pub(super) high: f64,
}

/// How a side stands to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Same,
    Noise,
    Better,
    Worse,
    More,
    Less,
    /// One of them was not measured, or one run cannot tell.
    Unknown,
}

impl Standing {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Noise => "within noise",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::More => "more",
            Self::Less => "less",
            Self::Unknown => "-",
        }
    }
}

/// The numbers that at least one of these runs has.
pub(super) fn numbers(sides: &[Vec<Saved>]) -> Vec<Number> {
    let runs = || sides.iter().flatten();
    let mut numbers = Vec::new();
    let mut add = |name: &str, better, exact| {
        let unit = unit_of(name).expect("these are names of the table");
        numbers.push(Number { name: name.to_owned(), unit, better, exact });
    };
    let messages = runs().any(|run| run.receives() || run.config_number("publishers") > 0);
    for name in ["rate", "sent_rate", "acked_rate", "received_rate", "connect_rate"] {
        if name == "connect_rate" && messages {
            continue;
        }
        // What `rate` means is not shown twice under its own name.
        let told = name == "rate" || runs().any(|run| run.value(name) != run.value("rate"));
        if told && runs().any(|run| run.value(name).is_some_and(|rate| rate > 0.0)) {
            add(name, if name == "sent_rate" { Better::Neither } else { Better::More }, false);
        }
    }
    for latency in LATENCIES.iter().filter(|name| **name != "lag" && !(messages && **name == "connect")) {
        if runs().any(|run| run.latencies().any(|(name, _)| name == *latency)) {
            for percentile in SHOWN {
                add(&format!("{latency}.{percentile}"), Better::Less, false);
            }
        }
    }
    for name in ["lost", "doubled", "reordered", "unsent", "errors", "failed", "dropped"] {
        let always = name == "lost" && runs().any(Saved::receives);
        if always || runs().any(|run| run.value(name).is_some_and(|number| number > 0.0)) {
            add(name, Better::Less, true);
        }
    }
    for (name, better) in [
        ("broker.cpu_us_per_message", Better::Less),
        ("broker.cores", Better::Neither),
        ("broker.rss_bytes", Better::Less),
        ("broker.bytes_per_connection", Better::Less),
    ] {
        let few = name.ends_with("per_connection") && runs().any(|run| run.value("ready") < Some(MANY));
        if !few && runs().any(|run| run.value(name).is_some()) {
            add(name, better, false);
        }
    }
    numbers
}

impl Number {
    /// None if not every run of the side has it.
    pub(super) fn span(&self, runs: &[Saved]) -> Option<Span> {
        let mut values: Vec<f64> = runs.iter().map(|run| run.value(&self.name)).collect::<Option<_>>()?;
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        if self.exact {
            return Some(Span { low, middle, high });
        }
        let slack = match self.unit {
            Unit::Nanoseconds => SLACK_OF_LATENCY,
            Unit::Bytes => SLACK_OF_MEMORY,
            _ => SLACK,
        };
        let (low, high, slack) = match runs {
            [run] => {
                let (low, high) = self.within(run, middle);
                (low, high, slack)
            }
            _ => (low, high, slack / 2.0),
        };
        Some(Span { low: low * (1.0 - slack), middle, high: high * (1.0 + slack) })
    }

    /// How far chance moves the number of one run, as that run tells it.
    fn within(&self, run: &Saved, value: f64) -> (f64, f64) {
        if self.unit == Unit::Nanoseconds {
            return self.percentile_within(run).unwrap_or((value, value));
        }
        let of = |rate: fn(&Point) -> u64| run.series.iter().map(|point| rate(point) as f64).collect();
        let busy = |point: &Point| point.broker_cores;
        let seconds: Vec<f64> = match self.name.as_str() {
            "rate" | "received_rate" if run.receives() => of(|point| point.received_per_s),
            "rate" | "acked_rate" if run.measured.acked_per_s > 0 => of(|point| point.acked_per_s),
            "rate" | "sent_rate" => of(|point| point.sent_per_s),
            "broker.cores" => run.series.iter().filter_map(busy).collect(),
            "broker.cpu_us_per_message" => {
                let each = |point: &Point| {
                    let rate = if run.receives() { point.received_per_s } else { point.sent_per_s };
                    Some(point.broker_cores? * 1e6 / (rate > 0).then_some(rate as f64)?)
                };
                run.series.iter().filter_map(each).collect()
            }
            _ => Vec::new(),
        };
        let error = ERRORS * standard_error(&seconds);
        ((value - error).max(0.0), value + error)
    }

    /// Percentiles lie where they do because of so many values: as many steps aside as chance takes. The highest are
    /// where one event put them, which has no bound above. Values that come together are slow together, which only the
    /// seconds tell: what differs from one to the next, by factors because latencies are spread by factors, counts too.
    fn percentile_within(&self, run: &Saved) -> Option<(f64, f64)> {
        let (latency, percentile) = self.name.split_once('.')?;
        let histogram = run.latency.get(latency)?.histogram()?;
        let (_, quantile) = PERCENTILES.iter().find(|(name, _)| *name == percentile)?;
        let aside = ERRORS * (quantile * (1.0 - quantile) / histogram.len() as f64).sqrt();
        let at = |quantile: f64| histogram.value_at_quantile(quantile.clamp(0.0, 1.0)).min(histogram.max()) as f64;
        let high = if quantile + aside < 1.0 { at(quantile + aside) } else { f64::INFINITY };
        let of: fn(&Point) -> u64 = match percentile {
            "p50" => |point| point.p50_ns,
            "p90" => |point| point.p90_ns,
            "p99" => |point| point.p99_ns,
            "p99.9" => |point| point.p99_9_ns,
            _ => |point| point.max_ns,
        };
        let seconds: Vec<f64> = run.series.iter().map(of).filter(|ns| *ns > 0).map(|ns| (ns as f64).ln()).collect();
        let factor = (ERRORS * standard_error(&seconds)).exp();
        let value = at(*quantile);
        Some((at(quantile - aside).min(value / factor), high.max(value * factor)))
    }

    /// How `other` stands to `base`.
    pub(super) fn standing(&self, base: Option<Span>, other: Option<Span>) -> Standing {
        let (Some(base), Some(other)) = (base, other) else { return Standing::Unknown };
        if base.middle == other.middle {
            return Standing::Same;
        }
        if base.high.is_infinite() || other.high.is_infinite() {
            return Standing::Unknown;
        }
        if !self.exact && base.low <= other.high && other.low <= base.high {
            return Standing::Noise;
        }
        match (self.better, other.middle > base.middle) {
            (Better::Neither, true) => Standing::More,
            (Better::Neither, false) => Standing::Less,
            (Better::More, true) | (Better::Less, false) => Standing::Better,
            (Better::More, false) | (Better::Less, true) => Standing::Worse,
        }
    }
}

/// How often `base` goes into `other`.
pub(super) fn ratio(base: f64, other: f64) -> f64 {
    if base == other { 1.0 } else { other / base }
}

/// Of the mean of these values; none of it if there are too few to tell.
fn standard_error(values: &[f64]) -> f64 {
    if values.len() < 3 {
        return 0.0;
    }
    let number = values.len() as f64;
    let mean = values.iter().sum::<f64>() / number;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (number - 1.0);
    (variance / number).sqrt()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};
    use serde_json::json;

    use super::*;
    use crate::report::base64;

    fn run(rate: u64, lost: u64, seconds: &[u64]) -> Saved {
        let series: Vec<_> = seconds.iter().map(|rate| json!({ "received_per_s": rate })).collect();
        let run = json!({
            "schema": "millrace-load/1",
            "messages": { "expected": 100, "lost": lost },
            "measured": { "rate_per_s": rate, "received_per_s": rate },
            "series": series,
        });
        Saved::from_json(run).expect("it has the schema")
    }

    fn standing(name: &str, base: &[Saved], other: &[Saved]) -> Standing {
        let all = numbers(&[base.to_vec(), other.to_vec()]);
        let number = all.iter().find(|number| number.name == name).expect("it is compared");
        number.standing(number.span(base), number.span(other))
    }

    #[test]
    fn one_run_needs_a_clear_difference() {
        let steady = [1000, 1000, 1000, 1000];
        assert_eq!(standing("rate", &[run(1000, 0, &steady)], &[run(1030, 0, &steady)]), Standing::Noise);
        assert_eq!(standing("rate", &[run(1000, 0, &steady)], &[run(1100, 0, &steady)]), Standing::Better);
        // Its own seconds say that it is not steady.
        let shaky = [500, 1500, 700, 1300];
        assert_eq!(standing("rate", &[run(1000, 0, &shaky)], &[run(1100, 0, &shaky)]), Standing::Noise);
    }

    #[test]
    fn several_runs_say_themselves_what_noise_is() {
        let side = |rates: [u64; 3]| rates.map(|rate| run(rate, 0, &[]));
        assert_eq!(standing("rate", &side([990, 1000, 1010]), &side([1040, 1050, 1060])), Standing::Better);
        assert_eq!(standing("rate", &side([900, 1000, 1100]), &side([1040, 1050, 1060])), Standing::Noise);
        assert_eq!(standing("rate", &side([1040, 1050, 1060]), &side([990, 1000, 1010])), Standing::Worse);
    }

    #[test]
    fn a_percentile_is_as_shaky_as_its_seconds() {
        let number =
            Number { name: "delivery.p50".to_owned(), unit: Unit::Nanoseconds, better: Better::Less, exact: false };
        let mut histogram = crate::stats::histogram();
        histogram.record_n(1_000_000, 10_000).expect("in bounds");
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).expect("it can be kept");
        let run = |seconds: [u64; 4]| {
            let series = seconds.map(|ns| json!({ "p50_ns": ns }));
            let histogram = base64::encode(&bytes);
            let latency =
                json!({ "count": 10_000, "p50_ns": 1e6 as u64, "max_ns": 1e6 as u64, "hdr_v2_base64": histogram });
            let run = json!({ "schema": "millrace-load/1", "latency": { "delivery": latency }, "series": series });
            Saved::from_json(run).expect("it has the schema")
        };
        let steady = number.span(&[run([1_000_000; 4])]).expect("it was measured");
        assert!(steady.high < 1.1e6 && steady.low > 0.9e6, "{steady:?}");
        let shaky = number.span(&[run([500_000, 2_000_000, 500_000, 2_000_000])]).expect("it was measured");
        assert!(shaky.high > 2e6 && shaky.low < 0.5e6, "{shaky:?}");
    }

    #[test]
    fn one_lost_message_is_no_noise() {
        assert_eq!(standing("lost", &[run(1, 0, &[])], &[run(1, 1, &[])]), Standing::Worse);
        assert_eq!(standing("lost", &[run(1, 0, &[])], &[run(1, 0, &[])]), Standing::Same);
    }

    #[test]
    fn nothing_against_nothing_is_the_same() {
        assert_eq!((ratio(0.0, 0.0), ratio(2.0, 3.0)), (1.0, 1.5));
        assert!(ratio(0.0, 1.0).is_infinite());
    }
}
