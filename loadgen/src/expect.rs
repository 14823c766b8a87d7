//! Conditions on the numbers of a report: `p99<5ms`, `lost=0`, `rate>=50k`.

use std::fmt;

use crate::format::{count, duration, parse_exact, parse_number, parse_rate};

/// What a number is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    PerSecond,
    Number,
    /// May be asked for as a part of what was expected.
    Messages,
    Microseconds,
    Bytes,
}

/// Names that stand for numbers, with their units. Latencies are made of [`PERCENTILES`] and the names of [`LATENCIES`].
const NAMES: &[(&str, Unit)] = &[
    ("sent", Unit::Messages),
    ("acked", Unit::Messages),
    ("received", Unit::Messages),
    ("lost", Unit::Messages),
    ("doubled", Unit::Messages),
    ("reordered", Unit::Messages),
    ("unsent", Unit::Messages),
    ("foreign", Unit::Messages),
    ("ready", Unit::Number),
    ("failed", Unit::Number),
    ("dropped", Unit::Number),
    ("returned", Unit::Number),
    ("resumed", Unit::Number),
    ("errors", Unit::Number),
    ("rate", Unit::PerSecond),
    ("sent_rate", Unit::PerSecond),
    ("received_rate", Unit::PerSecond),
    ("acked_rate", Unit::PerSecond),
    ("connect_rate", Unit::PerSecond),
    ("broker.cpu_us_per_message", Unit::Microseconds),
    ("broker.cores", Unit::Number),
    ("broker.rss_bytes", Unit::Bytes),
    ("broker.bytes_per_connection", Unit::Bytes),
];

/// What can be said of each latency.
pub(crate) const PERCENTILES: &[(&str, f64)] =
    &[("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// Latencies by name; without one the most telling of the scenario is meant.
pub(crate) const LATENCIES: &[&str] = &["delivery", "delivery_sent", "ack", "connect", "reconnect", "lag"];

/// What is said of a number that a run does not have.
pub(crate) const NOT_MEASURED: &str = "not measured in this run";

/// How a number is to stand to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Relation {
    pub(crate) fn holds(self, met: f64, value: f64) -> bool {
        match self {
            Self::Less => met < value,
            Self::AtMost => met <= value,
            Self::Equal => (met - value).abs() < f64::EPSILON,
            Self::AtLeast => met >= value,
            Self::More => met > value,
        }
    }
}

impl Unit {
    /// A number with its unit.
    pub(crate) fn show(self, met: f64) -> String {
        match self {
            Self::Nanoseconds => duration(met as u64),
            Self::PerSecond => format!("{}/s", count(met as u64)),
            Self::Microseconds => format!("{met:.2} us"),
            _ if met.fract() != 0.0 => format!("{met:.2}"),
            _ => count(met as u64),
        }
    }
}

/// The parts of a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words<'a> {
    /// One that is known.
    pub(crate) name: &'a str,
    pub(crate) relation: Relation,
    pub(crate) value: &'a str,
    pub(crate) unit: Unit,
}

impl<'a> Words<'a> {
    pub(crate) fn split(text: &'a str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=']).ok_or_else(|| {
            format!("{text:?} has no comparison: write a name, one of < <= = >= >, and a value, such as p99<5ms")
        })?;
        let (name, rest) = text.split_at(at);
        let (relation, value) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Relation::AtMost, &rest[2..]),
            [b'>', b'=', ..] => (Relation::AtLeast, &rest[2..]),
            [b'=', b'=', ..] => (Relation::Equal, &rest[2..]),
            [b'<', ..] => (Relation::Less, &rest[1..]),
            [b'>', ..] => (Relation::More, &rest[1..]),
            _ => (Relation::Equal, &rest[1..]),
        };
        let (name, value) = (full_name(name.trim()), value.trim());
        let unit = unit_of(name).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "{name:?} names nothing that is measured: there are percentiles such as p50 and p99.9, and max, perhaps \
                 with one of {} and a dot in front, and {}",
                LATENCIES.join(", "),
                names.join(", ")
            )
        })?;
        Ok(Self { name, relation, value, unit })
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    text: String,
    pub(crate) name: String,
    unit: Unit,
    relation: Relation,
    value: f64,
    /// The value is a part of what was expected to be delivered.
    relative: bool,
}

/// How a condition turned out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) held: bool,
    /// What was met, none if the run has no such number.
    pub(crate) met: Option<f64>,
    pub(crate) shown: String,
}

impl Expectation {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Words { name, relation, value, unit } = Words::split(text)?;
        let relative = unit == Unit::Messages && value.ends_with('%');
        let value = match unit {
            Unit::Nanoseconds => parse_exact(value)?.as_nanos() as f64,
            Unit::PerSecond => parse_rate(value)?,
            Unit::Messages if relative => parse_number(value.trim_end_matches('%'))? / 100.0,
            Unit::Number | Unit::Messages | Unit::Microseconds | Unit::Bytes => parse_number(value)?,
        };
        Ok(Self { text: text.to_owned(), name: name.to_owned(), unit, relation, value, relative })
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Judges the number that was met, of which `whole` is what a percentage speaks of.
    pub(crate) fn judge(&self, met: Option<f64>, whole: f64) -> Verdict {
        let held = met.is_some_and(|met| {
            let met = if self.relative { met / whole.max(1.0) } else { met };
            self.relation.holds(met, self.value)
        });
        let shown = met.map_or_else(|| NOT_MEASURED.to_owned(), |met| self.unit.show(met));
        Verdict { text: self.text.clone(), held, met, shown }
    }
}

/// A name as it is in the table: `broker.` may be left out.
fn full_name(name: &str) -> &str {
    let same = |(known, _): &&(&'static str, Unit)| known.strip_prefix("broker.") == Some(name);
    NAMES.iter().find(same).map_or(name, |(known, _)| *known)
}

/// The part of all values that a name such as `p99.5` speaks of.
pub(crate) fn quantile_of(name: &str) -> Option<f64> {
    if let Some((_, quantile)) = PERCENTILES.iter().find(|(known, _)| *known == name) {
        return Some(*quantile);
    }
    let number = name.strip_prefix('p')?.parse::<f64>().ok()?;
    (number > 0.0 && number < 100.0).then_some(number / 100.0)
}

pub(crate) fn unit_of(name: &str) -> Option<Unit> {
    let percentile = match name.split_once('.') {
        Some((latency, percentile)) if LATENCIES.contains(&latency) => percentile,
        _ => name,
    };
    if quantile_of(percentile).is_some() {
        return Some(Unit::Nanoseconds);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.held { "held" } else { "NOT HELD" };
        write!(f, "{} {held} ({})", self.text, self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, met: f64, whole: f64) -> bool {
        Expectation::parse(text).expect(text).judge(Some(met), whole).held
    }

    #[test]
    fn conditions_compare_in_their_units() {
        assert!(judged("p99<5ms", 4_999_999.0, 0.0) && !judged("p99<5ms", 5_000_000.0, 0.0));
        assert!(judged("p99<=5ms", 5_000_000.0, 0.0));
        assert!(judged("lost=0", 0.0, 0.0) && !judged("lost=0", 1.0, 0.0) && judged("lost==0", 0.0, 0.0));
        assert!(judged("rate>=50k", 50_000.0, 0.0) && !judged("rate>=50k/s", 49_999.0, 0.0));
        assert!(judged("ack.p99.9 < 2s", 1e9, 0.0) && judged("delivery.p97.5<2s", 1e9, 0.0));
        assert!(judged("broker.cpu_us_per_message<1.5", 1.2, 0.0));
    }

    #[test]
    fn the_broker_need_not_be_named() {
        assert_eq!(Expectation::parse("cpu_us_per_message<2").expect("legal").name, "broker.cpu_us_per_message");
    }

    #[test]
    fn losses_may_be_a_part_of_what_was_expected() {
        assert!(judged("lost<0.1%", 99.0, 100_000.0) && !judged("lost<0.1%", 100.0, 100_000.0));
    }

    #[test]
    fn a_condition_that_names_nothing_is_refused_before_the_run() {
        for text in ["speed>5", "p100<5ms", "p0<5ms", "p99<5", "p99", "lost=few", "foo.p99<1ms", "rate<1h"] {
            assert!(Expectation::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let verdict = Expectation::parse("connect.p99<5ms").expect("legal").judge(None, 0.0);
        assert!(!verdict.held && verdict.to_string().contains("not measured"));
    }
}
