//! Connections that fail or are lost and try again, and messages that are sent again because nobody acknowledged them.

use millrace_core::codec::acks::{AckKind, encode_ack};
use millrace_core::packet::PacketId;
use millrace_core::reason_code::ReasonCode;

use super::conn::{Role, State};
use super::{Stage, Swarm};
use crate::uring::ConnId;

/// How long a connection waits before it tries again.
const WAIT_NS: u64 = 1_000_000_000;
/// How soon one is looked at whose descriptor is still being closed.
const LOOK_AGAIN_NS: u64 = 50_000_000;

/// What is known of a connection that has failed before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// Times that it did not get ready since it last was.
    failures: u32,
    /// Times that it was lost.
    losses: u32,
    /// It was ready once.
    was_ready: bool,
}

/// A message that may have to be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    due: u64,
    conn: ConnId,
    id: u16,
    sequence: u64,
}

impl Swarm {
    /// Whether a connection that did not get ready, or was lost, is to try again; if so that is arranged.
    pub(super) fn may_come_back(&mut self, slot: u32, was_ready: bool) -> bool {
        let ramp = &self.plan.ramp;
        if ramp.retries == 0 && ramp.reconnects == Some(0) || matches!(self.stage, Some(Stage::Back(_)) | None) {
            return false;
        }
        let trouble = self.troubles.entry(slot).or_default();
        let again = if was_ready {
            trouble.was_ready = true;
            trouble.failures = 0;
            trouble.losses += 1;
            ramp.reconnects.is_none_or(|most| trouble.losses <= most)
        } else {
            trouble.failures += 1;
            // Whoever was there before has the losses to spend.
            trouble.failures <= ramp.retries
                || trouble.was_ready && ramp.reconnects.is_none_or(|most| trouble.failures <= most)
        };
        if again {
            self.comebacks.push_back((self.now + WAIT_NS, slot));
        }
        again
    }

    /// Whether this connection, which has become ready, was so before.
    pub(super) fn has_come_back(&mut self, slot: u32) -> bool {
        match self.troubles.get_mut(&slot) {
            Some(trouble) => {
                trouble.failures = 0;
                trouble.was_ready
            }
            None => false,
        }
    }

    /// Begins those connections again that have waited long enough.
    pub(super) fn comeback_step(&mut self, now: u64) -> u64 {
        for _ in 0..self.comebacks.len() {
            let Some((due, slot)) = self.comebacks.front().copied() else { break };
            if due > now {
                return due;
            }
            self.comebacks.pop_front();
            match self.conns[slot as usize].state {
                State::Waiting => self.begin(slot, now, now),
                State::Dropping | State::Leaving => self.comebacks.push_back((now + LOOK_AGAIN_NS, slot)),
                _ => {}
            }
        }
        self.comebacks.front().map_or(u64::MAX, |(due, _)| *due)
    }

    /// A publisher is back: what was not acknowledged is sent again, with DUP if the broker may know it.
    pub(super) fn send_again_all(&mut self, slot: u32, session_present: bool) {
        let Some(publisher) = self.publisher(slot) else { return };
        let mut waiting = publisher.window.waiting();
        // As they were sent.
        waiting.sort_unstable_by_key(|(_, pending)| pending.sequence);
        for (id, _) in waiting {
            self.send_again(slot, id, session_present);
        }
    }

    /// Remembers a message that may have to be sent again.
    pub(super) fn watch(&mut self, slot: u32, id: u16, sequence: u64, now: u64) {
        if let Some(interval) = self.plan.retry_interval {
            let pending = Pending { due: now + interval.as_nanos() as u64, conn: self.id_of(slot), id, sequence };
            self.unanswered.push_back(pending);
        }
    }

    /// Sends again what nobody has acknowledged for too long.
    pub(super) fn retry_step(&mut self, now: u64) -> u64 {
        while let Some(pending) = self.unanswered.front().copied() {
            if pending.due > now {
                return pending.due;
            }
            self.unanswered.pop_front();
            let slot = pending.conn.slot;
            let ready = self.met(pending.conn).is_some_and(|met| met.state == State::Ready && !met.stalled);
            let waits = self.publisher(slot).and_then(|publisher| publisher.window.get(pending.id));
            if waits.is_some_and(|slot| slot.sequence == pending.sequence) {
                if ready {
                    self.send_again(slot, pending.id, true);
                }
                self.watch(slot, pending.id, pending.sequence, now);
            }
        }
        u64::MAX
    }

    fn send_again(&mut self, slot: u32, id: u16, known: bool) {
        let Some(waiting) = self.publisher(slot).and_then(|publisher| publisher.window.get(id)) else { return };
        let Some(packet_id) = PacketId::new(id) else { return };
        if waiting.received && known {
            let version = self.plan.identity.version;
            let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
            encode_ack(version, AckKind::PubRel, packet_id, ReasonCode::Success, out);
            return;
        }
        waiting.received = false;
        let (intended, sequence) = (waiting.intended, waiting.sequence);
        let now = self.now.max(intended);
        self.put_message(slot, Some(packet_id), known, sequence, intended, now);
        self.stats.counts.resent += 1;
    }

    /// The generation of a connection that comes back is another, but its role remembers.
    pub(super) fn forget_aliases(&mut self, slot: u32) {
        if let Role::Publisher(publisher) = &mut self.conns[slot as usize].role {
            publisher.alias_known = false;
        }
    }
}
