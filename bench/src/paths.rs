//! The hot paths: each can be run again and again, and says which part of it is to be measured.

mod parts;
mod whole;

use crate::meter::Meter;

/// Runs one round of a path.
pub type Round = Box<dyn FnMut(&mut Meter)>;

/// One hot path.
pub struct Path {
    /// Its name, also in the baseline.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Operations of one round.
    pub operations: u64,
    /// Makes everything ready.
    pub prepare: fn() -> Round,
}

/// All of them.
pub const PATHS: &[Path] = &[
    parts::DECODE_QOS_0,
    parts::DECODE_QOS_1,
    parts::DECODE_QOS_2,
    parts::DECODE_V5,
    parts::ENCODE_QOS_1,
    parts::MATCH_EXACT,
    parts::MATCH_WILDCARD,
    parts::ROUTE,
    parts::RULE,
    parts::RULE_THRESHOLD,
    parts::RULE_STAR,
    parts::RULE_JUDGED,
    whole::PUBLISH_QOS_0,
    whole::PUBLISH_QOS_1,
    whole::PUBLISH_QOS_2,
    whole::PUBLISH_4_KIB,
    whole::FAN_OUT,
    whole::FAN_OUT_QOS_1,
    whole::CROSS_SHARD_QOS_0,
    whole::CROSS_SHARD_QOS_1,
    whole::SESSION_ACK,
    whole::PUBLISH_RULE,
    whole::CONNECT,
];

/// The path of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Path> {
    PATHS.iter().find(|path| path.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_name_of_its_own_and_runs() {
        for (at, path) in PATHS.iter().enumerate() {
            assert!(PATHS[..at].iter().all(|other| other.name != path.name), "{} is there twice", path.name);
            let mut round = (path.prepare)();
            let mut meter = Meter::new();
            round(&mut meter);
            round(&mut meter);
            assert!(path.operations > 0 && !meter.spent().is_zero(), "{} does nothing", path.name);
        }
    }
}
