//! Conditions on how one side stands to the first: `p99<=1.05x`, `rate>=-2%`, and absolute ones as everywhere.

use super::numbers::ratio;
use crate::expect::{Expectation, NOT_MEASURED, Relation, Words};
use crate::format::parse_number;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Gate {
    /// Times the number of the first side.
    Ratio { text: String, name: String, relation: Relation, factor: f64 },
    /// Whatever the first side has.
    Absolute(Expectation),
}

impl Gate {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Words { name, relation, value, .. } = Words::split(text)?;
        let factor = match (value.strip_suffix('x'), value.strip_suffix('%')) {
            (Some(factor), _) => parse_number(factor)?,
            (_, Some(part)) => match part.as_bytes().first() {
                Some(b'+') => 1.0 + parse_number(&part[1..])? / 100.0,
                Some(b'-') => 1.0 - parse_number(&part[1..])? / 100.0,
                _ => return Expectation::parse(text).map(Self::Absolute),
            },
            (None, None) => return Expectation::parse(text).map(Self::Absolute),
        };
        if factor < 0.0 {
            return Err(format!("{text:?} asks for less than nothing"));
        }
        Ok(Self::Ratio { text: text.to_owned(), name: name.to_owned(), relation, factor })
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Ratio { name, .. } => name,
            Self::Absolute(expectation) => &expectation.name,
        }
    }

    /// Whether it holds for a side, and what was met; `whole` is what a percentage of messages speaks of.
    pub(super) fn judge(&self, base: Option<f64>, other: Option<f64>, whole: f64) -> (bool, String) {
        match self {
            Self::Absolute(expectation) => {
                let verdict = expectation.judge(other, whole);
                (verdict.held, verdict.shown)
            }
            Self::Ratio { relation, factor, .. } => match (base, other) {
                (Some(base), Some(other)) => {
                    let met = ratio(base, other);
                    (relation.holds(met, *factor), format!("{met:.3}x"))
                }
                _ => (false, NOT_MEASURED.to_owned()),
            },
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Ratio { text, .. } => text,
            Self::Absolute(expectation) => expectation.text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, base: f64, other: f64) -> bool {
        Gate::parse(text).expect(text).judge(Some(base), Some(other), 1000.0).0
    }

    #[test]
    fn ratios_are_factors_or_percents_with_a_sign() {
        assert!(holds("cpu_us_per_message<=1.03x", 2.0, 2.06) && !holds("cpu_us_per_message<=1.03x", 2.0, 2.07));
        assert!(holds("p99<=+5%", 100.0, 105.0) && !holds("p99<=+5%", 100.0, 106.0));
        assert!(holds("rate>=-2%", 1000.0, 980.0) && !holds("rate>=-2%", 1000.0, 979.0));
        assert!(holds("lost<=1x", 0.0, 0.0) && !holds("lost<=1x", 0.0, 1.0));
    }

    #[test]
    fn what_has_no_sign_is_absolute() {
        assert!(holds("p99<5ms", 9e9, 4e6) && !holds("p99<5ms", 1.0, 6e6));
        assert!(holds("lost<0.1%", 0.0, 0.0) && !holds("lost<0.1%", 0.0, 1.0));
    }

    #[test]
    fn conditions_that_make_no_sense_are_refused() {
        for text in ["speed<=1.03x", "p99<=x", "p99<=+%", "rate>=-200%", "p99"] {
            assert!(Gate::parse(text).is_err(), "{text}");
        }
        assert!(!Gate::parse("p99<=2x").expect("legal").judge(None, Some(1.0), 0.0).0);
    }
}
