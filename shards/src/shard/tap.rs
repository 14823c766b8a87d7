//! Taps: samples of what rules make of events, for people who look; one branch where nobody does.
//!
//! Runs on: the shard takes samples, at most so many a second, and never waits; who reads them does so elsewhere.
//! Invariants: what lies between the two is bounded in samples and in bytes; what does not fit is counted, not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use millrace_core::value::{Record, Value};
use millrace_rules::error::EvalError;
use millrace_rules::fields::{Event, EventField};
use millrace_rules::{Input, Outcome, Rows, Rule};

/// Samples that lie between the shards and who reads them.
const SAMPLES_MAX: usize = 256;
/// Bytes of fields, and again of rows, that one sample may have.
const SAMPLE_BYTES_MAX: usize = 64 << 10;
/// Taps at the same time.
pub const TAPS_MAX: usize = 8;
/// Samples a second that one tap may take from one shard.
pub const PER_SECOND_MAX: u32 = 1_000;

/// Which outcomes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one for each outcome")]
pub struct Outcomes {
    /// It made rows.
    pub passed: bool,
    /// WHERE turned it away.
    pub no_result: bool,
    /// The evaluation failed.
    pub failed: bool,
}

/// What a shard needs for one tap; a clone for each.
#[derive(Clone, Debug)]
pub struct Tap {
    rules: Arc<[String]>,
    outcomes: Outcomes,
    per_second: u32,
    samples: Sender<Sample>,
    over: Arc<AtomicBool>,
}

/// Where the samples of a tap come out. Dropping it ends the tap.
#[derive(Debug)]
pub struct TapReader {
    samples: Receiver<Sample>,
    over: Arc<AtomicBool>,
}

/// What one rule made of one event.
#[derive(Debug)]
pub struct Sample {
    /// The rule.
    pub rule: String,
    /// When the event happened: milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
    /// Which event.
    pub event: Event,
    /// Its fields, without those that are null.
    pub fields: Vec<(EventField, Value<'static>)>,
    /// How many fields were too large.
    pub fields_left_out: usize,
    /// What became of it.
    pub seen: Seen,
    /// How many more events there were since the last sample of this tap from this shard.
    pub skipped: u64,
}

/// What became of an event.
#[derive(Debug)]
pub enum Seen {
    /// It made rows: those that are not too large together, and how many are left out.
    Passed(Vec<Record>, usize),
    /// WHERE turned it away.
    NoResult,
    /// The evaluation failed.
    Failed(EvalError),
}

/// A tap on rules of these names, at most so many samples a second from each shard.
#[must_use]
pub fn tap(rules: Vec<String>, outcomes: Outcomes, per_second: u32) -> (Tap, TapReader) {
    let (sender, receiver) = bounded(SAMPLES_MAX);
    let over = Arc::new(AtomicBool::new(false));
    let per_second = per_second.min(PER_SECOND_MAX);
    let tap = Tap { rules: rules.into(), outcomes, per_second, samples: sender, over: over.clone() };
    (tap, TapReader { samples: receiver, over })
}

impl TapReader {
    /// The next sample, if one comes within this time.
    ///
    /// # Errors
    /// None came, or all shards have ended.
    pub fn next_within(&self, time: Duration) -> Result<Sample, RecvTimeoutError> {
        self.samples.recv_timeout(time)
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The taps of one shard.
#[derive(Debug, Default)]
pub(super) struct Taps {
    taps: Vec<Tapped>,
}

#[derive(Debug)]
struct Tapped {
    tap: Tap,
    /// The second of which `left` samples are left.
    second: u64,
    left: u32,
    skipped: u64,
}

impl Taps {
    pub(super) fn add(&mut self, tap: Tap) {
        self.taps.retain(|tapped| !tapped.tap.over.load(Ordering::Relaxed));
        if self.taps.len() < TAPS_MAX {
            let left = tap.per_second;
            self.taps.push(Tapped { tap, second: 0, left, skipped: 0 });
        }
    }

    /// Whether nobody looks.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.taps.is_empty()
    }

    /// Notes what a rule made of an event.
    #[cold]
    pub(super) fn note(&mut self, rule: &Rule, input: &Input<'_>, outcome: &Outcome, rows: &Rows) {
        self.taps.retain_mut(|tapped| tapped.note(rule, input, outcome, rows));
    }
}

impl Tapped {
    /// Whether somebody still reads it.
    fn note(&mut self, rule: &Rule, input: &Input<'_>, outcome: &Outcome, rows: &Rows) -> bool {
        if self.tap.over.load(Ordering::Relaxed) {
            return false;
        }
        let wanted = match outcome {
            Outcome::Passed => self.tap.outcomes.passed,
            Outcome::NoResult => self.tap.outcomes.no_result,
            Outcome::Failed(_) => self.tap.outcomes.failed,
        };
        if !wanted || !self.tap.rules.iter().any(|name| name == rule.name()) {
            return true;
        }
        let second = input.unix_ms() / 1000;
        if second != self.second {
            (self.second, self.left) = (second, self.tap.per_second);
        }
        // A full channel is looked at before the sample is made, which is what costs.
        if self.left == 0 || self.tap.samples.is_full() {
            self.skipped += 1;
            return true;
        }
        self.left -= 1;
        match self.tap.samples.try_send(sample(rule, input, outcome, rows, self.skipped)) {
            Ok(()) => self.skipped = 0,
            Err(TrySendError::Full(_)) => self.skipped += 1,
            Err(TrySendError::Disconnected(_)) => return false,
        }
        true
    }
}

fn sample(rule: &Rule, input: &Input<'_>, outcome: &Outcome, rows: &Rows, skipped: u64) -> Sample {
    let mut room = SAMPLE_BYTES_MAX;
    let mut fields = Vec::new();
    let mut fields_left_out = 0;
    for info in input.event().fields() {
        let value = input.field(info.field);
        match room.checked_sub(bytes(&value)) {
            _ if value.is_null() => {}
            Some(left) => {
                room = left;
                fields.push((info.field, value.into_owned()));
            }
            None => fields_left_out += 1,
        }
    }
    let seen = match outcome {
        Outcome::Passed => {
            let mut room = SAMPLE_BYTES_MAX;
            let mut kept = Vec::new();
            for record in rows.as_slice() {
                let Some(left) = room.checked_sub(record.bytes()) else { break };
                room = left;
                kept.push(record.clone());
            }
            let left_out = rows.as_slice().len() - kept.len();
            Seen::Passed(kept, left_out)
        }
        Outcome::NoResult => Seen::NoResult,
        Outcome::Failed(error) => Seen::Failed(error.clone()),
    };
    Sample {
        rule: rule.name().to_owned(),
        unix_ms: input.unix_ms(),
        event: input.event(),
        fields,
        fields_left_out,
        seen,
        skipped,
    }
}

/// About what a value takes.
fn bytes(value: &Value<'_>) -> usize {
    size_of::<Value<'_>>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(bytes).sum(),
            Value::Map(members) => members.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use millrace_core::packet::QoS;
    use millrace_rules::{PublishEvent, RuleConfig, Rules, Scratch};

    use super::*;

    const ALL: Outcomes = Outcomes { passed: true, no_result: true, failed: true };

    /// Runs a rule over messages with this payload at these times, under a tap.
    fn run(taps: &mut Taps, payload: &[u8], times: &[u64]) {
        let sql = "SELECT payload.t AS t FROM \"a\" WHERE payload.t > 1".to_owned();
        let config = RuleConfig { sql, ..RuleConfig::default() };
        let rules = Rules::compile(&[("hot", config)]).expect("it is a rule");
        let mut rule = rules.as_slice()[0].clone();
        let (mut scratch, mut rows) = (Scratch::default(), Rows::default());
        for unix_ms in times {
            let event = PublishEvent {
                id: 1,
                clientid: "c",
                username: None,
                peerhost: [127, 0, 0, 1].into(),
                topic: "a",
                qos: QoS::AtMostOnce,
                retain: false,
                dup: false,
                payload,
                properties: &[],
                unix_ms: *unix_ms,
                node: "n",
            };
            let input = Input::publish(event, &mut scratch);
            let outcome = rule.evaluate(&input, &mut rows);
            taps.note(&rule, &input, &outcome, &rows);
        }
    }

    fn tapped(rules: &[&str], outcomes: Outcomes, per_second: u32) -> (Taps, TapReader) {
        let mut taps = Taps::default();
        let (tap, reader) = tap(rules.iter().map(|name| (*name).to_owned()).collect(), outcomes, per_second);
        taps.add(tap);
        (taps, reader)
    }

    fn all(reader: &TapReader) -> Vec<Sample> {
        std::iter::from_fn(|| reader.next_within(Duration::ZERO).ok()).collect()
    }

    #[test]
    fn a_sample_has_the_event_and_what_became_of_it() {
        let (mut taps, reader) = tapped(&["hot"], ALL, 10);
        run(&mut taps, b"{\"t\":2}", &[7]);
        run(&mut taps, b"{\"t\":1}", &[7]);
        run(&mut taps, b"x", &[7]);
        let samples = all(&reader);
        let [passed, no_result, failed] = &samples[..] else { panic!("{samples:?}") };
        assert!(matches!(&passed.seen, Seen::Passed(rows, 0) if rows[0].to_map().to_json() == "{\"t\":2}"));
        assert!(matches!(no_result.seen, Seen::NoResult));
        assert!(matches!(&failed.seen, Seen::Failed(error) if error.code() == "R0301"));
        assert_eq!((passed.rule.as_str(), passed.unix_ms, passed.fields_left_out), ("hot", 7, 0));
        let payload = passed.fields.iter().find(|(field, _)| *field == EventField::Payload);
        assert_eq!(payload.map(|(_, value)| value), Some(&Value::text("{\"t\":2}")));
        assert!(!passed.fields.iter().any(|(field, _)| *field == EventField::Username), "null is left out");
    }

    #[test]
    fn only_what_is_wanted_is_taken_and_no_more_than_a_second_allows() {
        let (mut taps, reader) = tapped(&["hot"], Outcomes { passed: false, ..ALL }, 2);
        run(&mut taps, b"{\"t\":2}", &[0]);
        run(&mut taps, b"{\"t\":1}", &[0, 1, 2, 3, 1000]);
        let skipped: Vec<u64> = all(&reader).iter().map(|sample| sample.skipped).collect();
        assert_eq!(skipped, [0, 0, 2]);
        let (mut taps, reader) = tapped(&["other"], ALL, 2);
        run(&mut taps, b"{\"t\":2}", &[0]);
        assert!(all(&reader).is_empty());
    }

    #[test]
    fn who_does_not_read_loses_samples_and_who_goes_ends_the_tap() {
        let (mut taps, reader) = tapped(&["hot"], ALL, PER_SECOND_MAX + 1);
        let times: Vec<u64> = vec![5; SAMPLES_MAX + 10];
        run(&mut taps, b"{\"t\":2}", &times);
        assert_eq!(all(&reader).len(), SAMPLES_MAX);
        run(&mut taps, b"{\"t\":2}", &[5]);
        assert_eq!(all(&reader)[0].skipped, 10);
        drop(reader);
        run(&mut taps, b"{\"t\":2}", &[5]);
        assert!(taps.is_empty());
    }

    #[test]
    fn what_is_large_is_left_out() {
        let (mut taps, reader) = tapped(&["hot"], ALL, 10);
        let payload = [b"{\"t\":\"9\",\"x\":\"", &vec![b'x'; SAMPLE_BYTES_MAX][..], b"\"}"].concat();
        run(&mut taps, &payload, &[0]);
        let sample = &all(&reader)[0];
        assert_eq!(sample.fields_left_out, 1);
        assert!(matches!(&sample.seen, Seen::Passed(rows, 0) if rows.len() == 1));
    }
}
