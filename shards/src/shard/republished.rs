//! Republished: messages that rules have made, on their way into routing.
//!
//! They wait until the message that caused them has been routed and are published at the end of the turn, so many in
//! each. They run through rules again: a trail says through which they came, which ends what would go round for ever.
//!
//! Invariants: messages, their bytes and the work of one turn are bounded; what is over a bound is an action that
//! failed, and counted.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_core::message::{Lazy, Message};
use millrace_core::metrics::{ActionFailure, Counter};
use smallvec::SmallVec;

use super::Shard;
use super::connection::Pause;
use super::io::ConnId;
use super::route::Origin;

/// Rules that one message may come through, one after the other.
pub(super) const HOPS_MAX: usize = 8;
/// Messages that wait on one shard.
const QUEUE_MESSAGES_MAX: usize = 65_536;
/// Their bytes; one message alone may be larger.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Messages of one turn, with those that they make in their turn.
const TURN_MESSAGES_MAX: usize = 4096;
/// Bytes of messages of one turn.
const TURN_BYTES_MAX: usize = 4 << 20;
/// Messages that one event may make.
const EVENT_MESSAGES_MAX: usize = 1024;

/// Which rules a message came through.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    /// [`millrace_rules::book::Entry::id`], the last one at the end.
    rules: SmallVec<[u64; HOPS_MAX]>,
    /// The last rule's name.
    name: Arc<str>,
    /// Which of its actions, from 0.
    action: usize,
}

impl Trail {
    /// The trail of what a rule makes of a message with this trail; none if it would be too long.
    pub(super) fn behind(before: Option<&Self>, id: u64, name: &Arc<str>, action: usize) -> Option<Self> {
        let mut rules = before.map_or_else(SmallVec::new, |trail| trail.rules.clone());
        if rules.len() == HOPS_MAX {
            return None;
        }
        rules.push(id);
        Some(Self { rules, name: Arc::clone(name), action })
    }

    /// As it was written on a message: of its last rule only the identifier is known.
    pub(super) fn through(rules: impl Iterator<Item = u64>) -> Option<Self> {
        let rules: SmallVec<_> = rules.take(HOPS_MAX).collect();
        (!rules.is_empty()).then(|| Self { rules, name: Arc::from(""), action: 0 })
    }

    /// The rules, the last one at the end.
    pub(super) fn rules(&self) -> &[u64] {
        &self.rules
    }

    /// Whether this rule has published the message.
    #[inline]
    pub(super) fn ends_with(&self, id: u64) -> bool {
        self.rules.last() == Some(&id)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn action(&self) -> usize {
        self.action
    }
}

/// One message that waits.
struct Pending {
    message: Message,
    trail: Trail,
    /// The rule's number.
    rule: usize,
    /// It is made by a fallback.
    fallback: bool,
}

/// The messages that wait on one shard.
#[derive(Default)]
pub(super) struct Republished {
    queue: VecDeque<Pending>,
    bytes: usize,
    /// Asked for since the shard began.
    asked: usize,
    /// [`Self::asked`] when the event under way began.
    event: usize,
    /// Connections whose reading stopped because much waits that their messages made.
    held: Vec<ConnId>,
}

impl Republished {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    #[inline]
    pub(super) const fn begin_event(&mut self) {
        self.event = self.asked;
    }

    /// Whether the event under way has made messages.
    #[inline]
    pub(super) const fn has_grown(&self) -> bool {
        self.event != self.asked
    }

    /// More waits than one turn takes.
    fn is_crowded(&self) -> bool {
        self.queue.len() > TURN_MESSAGES_MAX || self.bytes > TURN_BYTES_MAX
    }

    /// An action asks for a message; whether there is room for one.
    pub(super) fn ask(&mut self) -> Result<(), &'static str> {
        self.asked += 1;
        if self.asked - self.event > EVENT_MESSAGES_MAX {
            Err("one event makes at most 1,024 messages")
        } else if self.queue.len() >= QUEUE_MESSAGES_MAX || self.bytes >= QUEUE_BYTES_MAX {
            Err("too many messages of rules wait to be published")
        } else {
            Ok(())
        }
    }

    /// Adds a message that was asked for.
    pub(super) fn push(&mut self, message: Message, trail: Trail, rule: usize, fallback: bool) {
        self.bytes += message.bytes();
        self.queue.push_back(Pending { message, trail, rule, fallback });
    }

    fn pop(&mut self) -> Option<Pending> {
        const ROOM_KEPT: usize = 256;
        let pending = self.queue.pop_front()?;
        self.bytes -= pending.message.bytes();
        if self.queue.is_empty() {
            self.queue.shrink_to(ROOM_KEPT);
        }
        Some(pending)
    }
}

impl Shard {
    /// Publishes what rules have made of messages before, as much as one turn takes.
    pub(super) fn publish_republished(&mut self) {
        // While a ring is full, what makes work for other shards waits here.
        if self.rules.republished().is_empty() || self.congested {
            return;
        }
        let (mut messages, mut bytes) = (0, 0);
        while messages < TURN_MESSAGES_MAX && bytes < TURN_BYTES_MAX {
            let republished = &mut self.rules.hands.republished;
            let Some(pending) = republished.pop() else { break };
            let asked = republished.asked;
            bytes += pending.message.bytes();
            self.publish_one(&pending);
            messages += 1 + (self.rules.republished().asked - asked);
        }
        if !self.rules.republished().is_crowded() {
            for id in std::mem::take(&mut self.rules.hands.republished.held) {
                self.unpause(id, Pause::Rules);
            }
        }
    }

    fn publish_one(&mut self, pending: &Pending) {
        let published =
            self.accept_message(&Lazy::shared(&pending.message), 0, Origin::Rule(&pending.trail)).map(|_| ());
        if published.is_ok() {
            self.counters.add(Counter::MessagesOriginatedRepublish, 1);
        } else {
            self.counters.add(Counter::rule_action_failures(ActionFailure::Refused), 1);
        }
        let now = self.now.monotonic;
        // The rule may have changed meanwhile: what it did before is not counted as its own.
        let Some(Some(running)) = self.rules.running.get_mut(pending.rule) else { return };
        if !pending.trail.ends_with(running.entry.id()) {
            return;
        }
        let here = &mut running.here;
        let Some(counts) = here.counts.get_mut(pending.trail.action) else { return };
        match published {
            Ok(()) => {
                counts.success += 1;
                counts.fallback += u64::from(pending.fallback);
            }
            Err((_, why)) => {
                counts.failed += 1;
                here.tell_refusal(pending.trail.action, ActionFailure::Refused, &why, now);
            }
        }
    }

    /// A client whose messages make more than the shard publishes is not read further until that has gone.
    #[inline]
    pub(super) fn hold_if_rules_ask_much(&mut self, client: u32) {
        let republished = self.rules.republished();
        if !republished.has_grown() || !republished.is_crowded() {
            return;
        }
        let Some(slot) = self.connection_of(client) else { return };
        let id = self.conns.id(slot);
        if self.pause(id, Pause::Rules) {
            self.rules.hands.republished.held.push(id);
        }
    }
}
