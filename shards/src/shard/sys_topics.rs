//! `$SYS` topics: what the first shard publishes about the whole broker.
//!
//! `$SYS/brokers/{node}/…`: version, uptime, datetime, sysdescr, and below `stats/` and `metrics/` each gauge and
//! counter by its name, below `rules/{rule}/` what each rule has counted, its actions by their numbers from 1. They are
//! retained, so that a subscriber sees the last values at once; those of a rule that is gone are removed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millrace_core::message::{Lazy, MessageHead, MessageView};
use millrace_core::metrics::{Counter, Gauge};
use millrace_core::packet::QoS;
use millrace_core::time::{Millis, civil};

use millrace_rules::actions::ActionCounts;

use super::route::Origin;
use super::{RuleNumbers, Shard};

/// Name of this node in topics and events.
pub(super) const NODE: &str = "millrace@127.0.0.1";

const RULE_WORDS: [&str; 4] = ["matched", "passed", "no_result", "failed"];
const ACTION_WORDS: [&str; 4] = ["success", "fallback", "failed", "dropped"];

/// Rules that are told of in one second.
const RULES_AT_ONCE: usize = 128;

/// When they were published last, and what of rules is still to come.
#[derive(Default)]
pub(super) struct SysTopics {
    next: Millis,
    rules: VecDeque<RuleNumbers>,
    /// Rules whose topics are there, with the number of their actions.
    told: BTreeMap<Arc<str>, usize>,
}

impl Shard {
    pub(super) fn on_sys_second(&mut self) {
        let interval = self.config.sys.interval.0;
        let now = self.now.monotonic;
        if self.id.0 != 0 || interval.is_zero() {
            return;
        }
        if self.sys.next > now {
            return self.publish_sys_rules();
        }
        self.sys.next = now.after(interval);
        let counters = self.shared.counters();
        self.publish_sys("$SYS/brokers", NODE);
        let root = format!("$SYS/brokers/{NODE}");
        let uptime = now.since(self.shared.started.monotonic).as_secs();
        self.publish_sys(&format!("{root}/version"), env!("CARGO_PKG_VERSION"));
        self.publish_sys(&format!("{root}/sysdescr"), "Millrace");
        self.publish_sys(&format!("{root}/uptime"), &uptime.to_string());
        self.publish_sys(&format!("{root}/datetime"), &rfc3339(self.now.unix));
        for gauge in Gauge::ALL {
            let topic = format!("{root}/stats/{}", gauge.name());
            self.publish_sys(&topic, &counters.gauge(*gauge).to_string());
        }
        for counter in Counter::ALL {
            let topic = format!("{root}/metrics/{}", counter.name());
            self.publish_sys(&topic, &counters.get(*counter).to_string());
        }
        self.sys.rules = self.shared.rules().into();
        self.forget_sys_rules();
        self.publish_sys_rules();
    }

    /// What the next rules have counted.
    fn publish_sys_rules(&mut self) {
        for _ in 0..RULES_AT_ONCE {
            let Some(RuleNumbers { name, counts, actions }) = self.sys.rules.pop_front() else { return };
            let root = format!("$SYS/brokers/{NODE}/rules/{name}");
            for (word, count) in RULE_WORDS.iter().zip([counts.matched, counts.passed, counts.no_result, counts.failed])
            {
                self.publish_sys(&format!("{root}/{word}"), &count.to_string());
            }
            for (index, ActionCounts { success, fallback, failed, dropped }) in actions.iter().enumerate() {
                for (word, count) in ACTION_WORDS.iter().zip([success, fallback, failed, dropped]) {
                    self.publish_sys(&format!("{root}/actions/{}/{word}", index + 1), &count.to_string());
                }
            }
            let before = self.sys.told.insert(Arc::clone(&name), actions.len()).unwrap_or(0);
            self.forget_sys_actions(&name, actions.len(), before);
        }
    }

    /// Removes the topics of rules that are gone.
    fn forget_sys_rules(&mut self) {
        let mut told = std::mem::take(&mut self.sys.told);
        let there: BTreeSet<&str> = self.sys.rules.iter().map(|rule| &*rule.name).collect();
        let gone: Vec<_> = told.keys().filter(|name| !there.contains(&***name)).cloned().collect();
        for name in gone {
            let actions = told.remove(&name).unwrap_or(0);
            for word in RULE_WORDS {
                self.publish_sys(&format!("$SYS/brokers/{NODE}/rules/{name}/{word}"), "");
            }
            self.forget_sys_actions(&name, 0, actions);
        }
        self.sys.told = told;
    }

    fn forget_sys_actions(&mut self, rule: &str, from: usize, to: usize) {
        for index in from..to {
            for word in ACTION_WORDS {
                self.publish_sys(&format!("$SYS/brokers/{NODE}/rules/{rule}/actions/{}/{word}", index + 1), "");
            }
        }
    }

    fn publish_sys(&mut self, topic: &str, payload: &str) {
        let head = MessageHead { qos: QoS::AtMostOnce, retain: true, expires_at: Millis::NEVER, publisher: 0 };
        self.counters.add(Counter::MessagesOriginatedSys, 1);
        let view = MessageView { head, topic, properties: &[], payload: payload.as_bytes() };
        self.publish_now(&Lazy::new(view), Origin::Elsewhere);
    }
}

/// A wall-clock time as `2026-01-31T23:59:59Z`.
fn rfc3339(unix: Millis) -> String {
    let seconds = unix.0 / 1000;
    let of_day = seconds % 86_400;
    let (year, month, day) = civil((seconds / 86_400) as i64);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Millis(951_782_400_000)), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(Millis(1_798_761_599_999)), "2026-12-31T23:59:59Z");
    }
}
