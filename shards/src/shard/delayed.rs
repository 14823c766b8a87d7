//! Delayed messages: `$delayed/{seconds}/{topic}` is published to `{topic}` when the time has come.
//!
//! They wait on the shard of their publisher, in memory, ordered by when they are due; the wall clock plays no part.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use millrace_core::message::{Lazy, Message, MessageHead, MessageView};
use millrace_core::metrics::{Counter, Gauge, Limit};
use millrace_core::reason_code::ReasonCode;
use millrace_core::time::Millis;

use super::peers::Waits;
use super::publish::Accepted;
use super::route::Origin;
use super::rule_stage::Publisher;
use super::{Shard, Timer};

/// The delayed messages of one shard.
#[derive(Default)]
pub(super) struct Delayed {
    pub(super) due: BinaryHeap<Reverse<Due>>,
    next: u64,
}

impl Delayed {
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}

pub(super) struct Due {
    at: Millis,
    /// Keeps the order of messages that are due at the same time.
    number: u64,
    message: Message,
    publisher: Option<Box<Publisher>>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Shard {
    /// The delay and the topic of a topic that begins with `$delayed/`.
    pub(super) fn check_delayed<'a>(&mut self, topic: &'a str) -> Result<(Duration, &'a str), (ReasonCode, String)> {
        let invalid = |why: String| Err((ReasonCode::TopicNameInvalid, why));
        let rest = topic.strip_prefix("$delayed/").unwrap_or(topic);
        let Some((seconds, topic)) = rest.split_once('/').filter(|(_, topic)| !topic.is_empty()) else {
            return invalid("a delayed message is published to $delayed/{seconds}/{topic}".into());
        };
        let longest = self.config.limits.max_delay.0;
        let delay = match seconds.parse::<u32>() {
            Ok(seconds) if Duration::from_secs(seconds.into()) <= longest => Duration::from_secs(seconds.into()),
            _ => {
                let max = longest.as_secs();
                return invalid(format!("the delay in $delayed/{{seconds}}/{{topic}} is a whole number up to {max}"));
            }
        };
        self.check_topic(topic)?;
        if topic.starts_with('$') {
            return invalid("a delayed message cannot be delayed again".into());
        }
        Ok((delay, topic))
    }

    /// Keeps a message whose topic begins with `$delayed/` until it is due.
    pub(super) fn delay(
        &mut self,
        message: &Lazy<'_>,
        mountpoint: u16,
        origin: Origin<'_>,
    ) -> Result<Accepted, (ReasonCode, String)> {
        let view = message.view();
        let (delay, topic) = self.check_delayed(view.topic)?;
        let size = (view.topic.len() + view.properties.len() + view.payload.len()) as u64;
        if self.shared.delayed_bytes() + size > self.config.limits.max_delayed_bytes.0 {
            self.counters.add(Counter::limit_hits(Limit::DelayedMessages), 1);
            let max = self.config.limits.max_delayed_bytes;
            return Err((ReasonCode::QuotaExceeded, format!("over max_delayed_bytes {max}")));
        }
        if self.shared.delayed() >= self.config.limits.max_delayed {
            self.counters.add(Counter::limit_hits(Limit::DelayedMessages), 1);
            return Err((ReasonCode::QuotaExceeded, format!("over max_delayed {}", self.config.limits.max_delayed)));
        }
        let at = self.now.monotonic.after(delay);
        // The expiry counts from when the message is published, not from when it was handed in.
        let expires_at = match view.head.expires_at {
            Millis::NEVER => Millis::NEVER,
            expires_at => expires_at.after(delay),
        };
        let mut mounted = String::new();
        let topic = self.mount(mountpoint, topic, &mut mounted);
        let head = MessageHead { expires_at, ..view.head };
        let publisher = match origin {
            Origin::Client { client, .. } => self.publisher(client),
            Origin::Rule(trail) => Some(Publisher::rule(trail)),
            Origin::Publisher(_) | Origin::Elsewhere => None,
        };
        let message = Message::new(&MessageView { head, topic, ..*view });
        let message_bytes = message.bytes() as i64;
        self.delayed.due.push(Reverse(Due { at, number: self.delayed.next, message, publisher }));
        self.delayed.next += 1;
        self.shared.delayed_changed(1, message_bytes);
        self.counters.raise(Gauge::DelayedMessages, 1);
        self.timers.insert(at, Timer::Delayed);
        Ok(Accepted { wanted: true, waits: Waits::default() })
    }

    /// Publishes the delayed messages that are due.
    pub(super) fn on_delayed(&mut self) {
        while self.delayed.due.peek().is_some_and(|Reverse(due)| due.at <= self.now.monotonic) {
            let Some(Reverse(due)) = self.delayed.due.pop() else { return };
            self.shared.delayed_changed(-1, -(due.message.bytes() as i64));
            self.counters.lower(Gauge::DelayedMessages, 1);
            self.counters.add(Counter::MessagesOriginatedDelayed, 1);
            let origin = due.publisher.as_deref().map_or(Origin::Elsewhere, Origin::Publisher);
            self.publish_now(&Lazy::shared(&due.message), origin);
        }
    }
}
