//! A tap over the control socket: samples of what rules do, a line of JSON each, until time or reader end it.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millrace_core::value::Value;
use millrace_rules::fields::EventField;
use millrace_shards::runtime::control::Control as ShardControl;
use millrace_shards::shard::Control;
use millrace_shards::shard::tap::{Outcomes, PER_SECOND_MAX, Sample, Seen, tap};
use serde::{Deserialize, Serialize};

use super::{Reply, say};
use crate::rules::typed;

/// How often it is looked whether somebody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a look may take.
const LOOK: Duration = Duration::from_millis(1);
/// Rules that one tap names.
const RULES_MAX: usize = 1_000;
/// Seconds that a tap may run.
const SECONDS_MAX: u64 = 86_400;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapRequest {
    /// Names of rules.
    pub rules: Vec<String>,
    /// Which outcomes.
    pub outcomes: Vec<OutcomeName>,
    /// Samples a second at most.
    pub limit: u32,
    /// How long; without it as long as somebody reads.
    pub seconds: Option<u64>,
}

/// An outcome, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum OutcomeName {
    /// It made rows.
    Passed,
    /// WHERE turned it away.
    NoResult,
    /// It failed.
    Failed,
}

impl TapRequest {
    /// Whether it is within bounds.
    ///
    /// # Errors
    /// What is not, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            return Err(format!("a tap wants 1 to {RULES_MAX} rules"));
        }
        if self.outcomes.is_empty() {
            return Err("a tap wants an outcome: passed, no_result or failed".to_owned());
        }
        if !(1..=PER_SECOND_MAX).contains(&self.limit) {
            return Err(format!("the limit is 1 to {PER_SECOND_MAX} samples a second"));
        }
        match self.seconds {
            Some(0) | Some(SECONDS_MAX..) => Err(format!("a tap runs 1 to {SECONDS_MAX} seconds")),
            _ => Ok(()),
        }
    }

    fn outcomes(&self) -> Outcomes {
        let has = |name| self.outcomes.contains(&name);
        Outcomes {
            passed: has(OutcomeName::Passed),
            no_result: has(OutcomeName::NoResult),
            failed: has(OutcomeName::Failed),
        }
    }
}

/// Serves a tap.
///
/// # Errors
/// Who asked has gone, or does not take what comes.
pub fn serve(
    stream: &mut UnixStream,
    request: &TapRequest,
    shards: &[ShardControl<Control>],
    stop: &AtomicBool,
) -> io::Result<()> {
    let (tap, reader) = tap(request.rules.clone(), request.outcomes(), request.limit);
    for shard in shards {
        shard.send(Control::Tap(tap.clone()));
    }
    drop(tap);
    let rules = request.rules.join(",");
    tracing::info!(event = "rules-tapped", rules = rules.as_str(), limit = request.limit, "somebody looks at rules");
    let told = say(stream, &Reply::Ok {}).and_then(|()| pass_on(stream, request, &reader, stop));
    tracing::info!(event = "rules-untapped", rules = rules.as_str(), "nobody looks any more");
    told
}

fn pass_on(
    stream: &mut UnixStream,
    request: &TapRequest,
    reader: &millrace_shards::shard::tap::TapReader,
    stop: &AtomicBool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK))?;
    let end = request.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut window = Instant::now();
    let mut left = request.limit;
    let mut over = 0;
    loop {
        let now = Instant::now();
        if stop.load(Ordering::Relaxed) || end.is_some_and(|end| now >= end) {
            return Ok(());
        }
        let wait = end.map_or(LOOK_EVERY, |end| LOOK_EVERY.min(end.saturating_duration_since(now)));
        match reader.next_within(wait) {
            Ok(mut sample) => {
                // Each shard keeps to the limit for itself; together they may be over it.
                if window.elapsed() >= Duration::from_secs(1) {
                    (window, left) = (now, request.limit);
                }
                if left == 0 {
                    over += 1 + sample.skipped;
                    continue;
                }
                left -= 1;
                sample.skipped += std::mem::take(&mut over);
                stream.write_all(format!("{}\n", as_json(&sample)).as_bytes())?;
            }
            Err(_) if has_gone(stream) => return Ok(()),
            // All shards have ended: the broker stops, and says so by `stop`.
            Err(crossbeam_error) if crossbeam_error.is_disconnected() => std::thread::sleep(LOOK_EVERY),
            Err(_) => {}
        }
    }
}

fn has_gone(mut stream: &UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
        }
    }
}

/// A sample as a line: the event can be given to `rules test`.
fn as_json(sample: &Sample) -> String {
    let name = |name: &'static str| Cow::Borrowed(name);
    let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let mut members = vec![
        (name("rule"), Value::text(&sample.rule)),
        (name("at"), number(sample.unix_ms)),
        (name("skipped"), number(sample.skipped)),
    ];
    match &sample.seen {
        Seen::Passed(rows, left_out) => {
            members.push((name("outcome"), Value::text("passed")));
            members
                .push((name("rows"), Value::List(rows.iter().map(|row| typed::without_bytes(row.to_map())).collect())));
            members.push((name("rows_left_out"), number(*left_out as u64)));
        }
        Seen::NoResult => members.push((name("outcome"), Value::text("no_result"))),
        Seen::Failed(error) => {
            members.push((name("outcome"), Value::text("failed")));
            members.push((name("code"), Value::text(error.code())));
            members.push((name("message"), Value::text(error.message())));
            members.push((name("from"), number(error.span().start.into())));
            members.push((name("to"), number(error.span().end.into())));
        }
    }
    let mut event = vec![(name("event"), Value::text(sample.event.info().name))];
    for (field, value) in sample.fields.iter().filter(|(field, _)| *field != EventField::Event) {
        match (field, value) {
            (EventField::Payload, Value::Bytes(bytes)) => {
                event.push((name("payload_base64"), Value::Text(crate::rules::base64::encode(bytes).into())));
            }
            _ => event.push((name(field.info().name), typed::without_bytes(value.borrowed()))),
        }
    }
    members.push((name("event"), Value::Map(event)));
    members.push((name("fields_left_out"), number(sample.fields_left_out as u64)));
    Value::Map(members).to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_bounds() {
        let good = TapRequest {
            rules: vec!["a".to_owned()],
            outcomes: vec![OutcomeName::Failed],
            limit: 100,
            seconds: Some(30),
        };
        assert_eq!(good.check(), Ok(()));
        for bad in [
            TapRequest { rules: Vec::new(), ..good.clone() },
            TapRequest { outcomes: Vec::new(), ..good.clone() },
            TapRequest { limit: 0, ..good.clone() },
            TapRequest { limit: PER_SECOND_MAX + 1, ..good.clone() },
            TapRequest { seconds: Some(0), ..good.clone() },
            TapRequest { seconds: Some(u64::MAX), ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
