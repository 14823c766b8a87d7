//! Rule change: which rules run, swapped between two messages; and what they have counted, for other threads.
//!
//! A rule that has not changed keeps its number, its counters and its place among the filters.

use std::sync::Arc;

use millrace_rules::RuleCounts;
use millrace_rules::actions::ActionCounts;
use millrace_rules::book::{Entry, RuleBook};
use millrace_rules::fields::Event;

use super::rule_stage::Running;
use super::subscribers::{Subscriber, Target};
use super::{Shard, Shared};

/// What one rule has counted, on one shard or on all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleNumbers {
    /// Its name in the config.
    pub name: Arc<str>,
    /// What happened to messages.
    pub counts: RuleCounts,
    /// What happened to rows, by action.
    pub actions: Box<[ActionCounts]>,
}

impl Shard {
    /// From the next message on these rules run.
    pub(super) fn change_rules(&mut self, book: Arc<RuleBook>) {
        let numbers = book.entries().len().max(self.rules.running.len());
        self.rules.running.resize_with(numbers, || None);
        for number in 0..numbers {
            let new = book.entries().get(number).and_then(Option::as_ref);
            let old = self.rules.running[number].as_ref().map(|running| &running.entry);
            match (old, new) {
                (None, None) => continue,
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => continue,
                _ => {}
            }
            let old = self.rules.running[number].take();
            self.move_filters(number as u32, old.as_ref().map(|running| &*running.entry), new.map(|new| &**new));
            self.rules.running[number] = new.map(|entry| Running::new(entry, &self.rules.hands));
        }
        self.rules.running.truncate(book.entries().len());
        let running = (0..).zip(&self.rules.running);
        self.events.register(running.filter_map(|(number, running)| Some((number, &running.as_ref()?.here.rule))));
        self.queue_limits.keep_all = self.events.wants(Event::MessageAcked);
        self.rules.book = book;
    }

    /// Takes the filters that only the old rule has out of those of subscriptions, and puts the new ones in.
    fn move_filters(&mut self, number: u32, old: Option<&Entry>, new: Option<&Entry>) {
        let filters = |entry: Option<&Entry>| entry.map_or(Vec::new(), |entry| entry.rule().filters().to_vec());
        let (old, new) = (filters(old), filters(new));
        for filter in old.iter().filter(|filter| !new.contains(filter)) {
            self.unsubscribe_target(filter, Target::Rule(number));
        }
        for filter in new.iter().filter(|filter| !old.contains(filter)) {
            self.subscribe_target(filter, Subscriber::rule(number));
        }
    }

    /// Makes visible to other threads what rules have counted.
    pub(super) fn publish_rule_numbers(&self) {
        let numbers = self.rules.running.iter().flatten().map(|Running { here, .. }| RuleNumbers {
            name: Arc::clone(&here.name),
            counts: here.rule.counts(),
            actions: here.counts.clone(),
        });
        self.shared.set_rule_numbers(self.id, numbers);
    }
}

impl Shared {
    /// What rules have counted on all shards, by name; as old as each shard's last second.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleNumbers> {
        let mut all: Vec<RuleNumbers> = Vec::new();
        for shard in &self.rule_numbers {
            all.extend(shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned());
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.dedup_by(|more, sum| {
            if more.name != sum.name {
                return false;
            }
            sum.counts += more.counts;
            // Shards may be at different texts of a rule for a moment.
            for (sum, more) in sum.actions.iter_mut().zip(&more.actions) {
                *sum += *more;
            }
            true
        });
        all
    }
}
