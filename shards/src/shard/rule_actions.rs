//! Rule actions: does for one row what its rule says, in order, with fallbacks.

use std::time::Duration;

use millrace_core::message::{Message, MessageHead, MessageView};
use millrace_core::metrics::{ActionFailure, Counter, Counters};
use millrace_core::time::Millis;
use millrace_core::topic::name::TopicLimits;
use millrace_core::value::Record;
use millrace_rules::actions::{Limits, Refused, Republish, Scratch, What};
use millrace_rules::book::Entry;

use super::republished::{HOPS_MAX, Republished, Trail};
use super::rule_stage::{Cause, Here, RowPort};
use crate::config::Mqtt;

/// Lines of one rule and shard a second that the action `console` writes.
const CONSOLE_LINES_MAX: u32 = 10;
/// Bytes of a row in the log.
const CONSOLE_BYTES_MAX: usize = 8 << 10;

/// What actions reach: sinks, and the queue of messages to be published.
pub(super) struct Hands {
    names: Vec<String>,
    ports: Vec<Box<dyn RowPort>>,
    dirty: bool,
    pub(super) republished: Republished,
    limits: Limits,
    scratch: Scratch,
}

impl Default for Hands {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// What became of one try.
enum Done {
    /// It is done.
    Now,
    /// It is counted when it is done.
    Later,
}

impl Hands {
    pub(super) fn new(ports: Vec<(String, Box<dyn RowPort>)>) -> Self {
        let (names, ports) = ports.into_iter().unzip();
        Self {
            names,
            ports,
            dirty: false,
            republished: Republished::default(),
            limits: limits(&Mqtt::default()),
            scratch: Scratch::default(),
        }
    }

    /// From now on messages of rules must keep within these settings.
    pub(super) fn set_limits(&mut self, mqtt: &Mqtt) {
        self.limits = limits(mqtt);
    }

    /// The port of a sink.
    pub(super) fn port(&self, sink: &str) -> Option<usize> {
        self.names.iter().position(|name| name == sink)
    }

    pub(super) const fn begin_event(&mut self) {
        self.republished.begin_event();
    }

    pub(super) fn flush(&mut self) {
        if std::mem::take(&mut self.dirty) {
            for port in &mut self.ports {
                port.flush();
            }
        }
    }

    /// All actions of a rule for one row.
    pub(super) fn act(
        &mut self,
        entry: &Entry,
        here: &mut Here,
        record: &Record,
        cause: Cause<'_>,
        counters: &mut Counters,
    ) {
        for (index, action) in entry.actions().list().iter().enumerate() {
            let mut outcome =
                self.try_one(&action.what, &mut OneRow { here, record, cause, entry, index, fallback: false });
            let mut fallbacks = action.fallbacks.iter();
            let mut fallback = false;
            while let Err(refused) = outcome {
                counters.add(Counter::rule_action_failures(refused.why), 1);
                here.tell_refusal(index, refused.why, &refused.message, cause.now);
                let Some(what) = fallbacks.next() else {
                    outcome = Err(refused);
                    break;
                };
                fallback = true;
                outcome = self.try_one(what, &mut OneRow { here, record, cause, entry, index, fallback });
            }
            let Some(counts) = here.counts.get_mut(index) else { return };
            match outcome {
                Ok(Done::Now) => {
                    counts.success += 1;
                    counts.fallback += u64::from(fallback);
                }
                Ok(Done::Later) => {}
                Err(refused) => {
                    *(if refused.why.is_drop() { &mut counts.dropped } else { &mut counts.failed }) += 1;
                    if entry.actions().stop() {
                        return;
                    }
                }
            }
        }
    }

    fn try_one(&mut self, what: &What, row: &mut OneRow<'_>) -> Result<Done, Refused> {
        match what {
            What::Nothing => Ok(Done::Now),
            What::Sink(sink) => self.offer(*sink, row).map(|()| Done::Now),
            What::Republish(republish) => self.republish(republish, row).map(|()| Done::Later),
            What::Console => {
                row.here.write(row.record, row.cause.now);
                Ok(Done::Now)
            }
        }
    }

    fn offer(&mut self, sink: usize, row: &OneRow<'_>) -> Result<(), Refused> {
        let Some(port) = row.here.ports.get(sink).copied().flatten() else {
            let message = "its sink does not run".into();
            return Err(Refused { why: ActionFailure::NoSink, message });
        };
        self.dirty = true;
        if self.ports[port].offer(row.record.clone()) {
            return Ok(());
        }
        Err(Refused { why: ActionFailure::SinkFull, message: "the buffer of its sink is full".into() })
    }

    fn republish(&mut self, republish: &Republish, row: &OneRow<'_>) -> Result<(), Refused> {
        let OneRow { entry, here, record, cause, index, fallback } = row;
        let Some(trail) = Trail::behind(cause.trail, entry.id(), &here.name, *index) else {
            let message = format!("the message came through {HOPS_MAX} rules: do they feed each other?").into();
            return Err(Refused { why: ActionFailure::TooManyHops, message });
        };
        self.republished.ask().map_err(|why| Refused { why: ActionFailure::QueueFull, message: why.into() })?;
        let made = republish.render(record, cause.qos, &self.limits, &mut self.scratch)?;
        let expires_at = match made.expiry {
            Some(seconds) => cause.now.after(Duration::from_secs(seconds.into())),
            None => Millis::NEVER,
        };
        let head = MessageHead { qos: made.qos, retain: made.retain, expires_at, publisher: 0 };
        let view = MessageView { head, topic: made.topic, properties: made.properties, payload: made.payload };
        let number = here.rule.number() as usize;
        self.republished.push(Message::new(&view), trail, number, *fallback);
        Ok(())
    }
}

/// One row on its way through the actions of its rule.
struct OneRow<'a> {
    entry: &'a Entry,
    here: &'a mut Here,
    record: &'a Record,
    cause: Cause<'a>,
    /// Which action.
    index: usize,
    fallback: bool,
}

impl Here {
    #[cold]
    pub(super) fn tell_refusal(&mut self, action: usize, why: ActionFailure, message: &str, now: Millis) {
        let Some(left_out) = self.failures.pass(now, 1) else { return };
        tracing::warn!(
            event = "rule-action-failed",
            rule = &*self.name,
            action = action + 1,
            reason = why.name(),
            left_out,
            "{message}"
        );
    }

    /// The action `console`.
    fn write(&mut self, record: &Record, now: Millis) {
        let Some(left_out) = self.console.pass(now, CONSOLE_LINES_MAX) else { return };
        let mut row = record.to_map().to_json();
        if row.len() > CONSOLE_BYTES_MAX {
            row.truncate(row.floor_char_boundary(CONSOLE_BYTES_MAX));
            row.push('…');
        }
        tracing::info!(event = "rule-console", rule = &*self.name, left_out, "{row}");
    }
}

fn limits(mqtt: &Mqtt) -> Limits {
    Limits {
        topic: TopicLimits { levels: mqtt.max_topic_levels, bytes: mqtt.max_topic_length },
        qos: mqtt.maximum_qos,
        retain: mqtt.retain_available,
        bytes: usize::try_from(mqtt.max_packet_size.0).unwrap_or(usize::MAX),
    }
}
