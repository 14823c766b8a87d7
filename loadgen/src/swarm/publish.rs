//! The sending side: what is due, what the window allows, and what becomes of acknowledgements.

use std::cmp::Reverse;
use std::sync::atomic::Ordering;

use millrace_core::codec::acks::{AckKind, encode_ack};
use millrace_core::codec::publish::Delivery;
use millrace_core::packet::{Ack, QoS};
use millrace_core::reason_code::ReasonCode;

use super::conn::{Conn, Role, State};
use super::message::delivery;
use super::{Swarm, Timeline};
use crate::pacing::Schedule;
use crate::plan::Pace;

/// Bytes gathered for one connection before they are sent.
const GATHER_MAX: usize = 64 * 1024;
/// Messages published in one step, so that what comes is looked at in between.
const STEP_MAX: u32 = 2048;
/// How often windows that count deliveries on other workers are looked at.
const LOOK_NS: u64 = 100_000;
/// How long nothing comes before what is missing is written off and the window opened again.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Whether deliveries still come.
#[derive(Default)]
pub(super) struct Progress {
    since: u64,
    delivered: u64,
}

impl Swarm {
    pub(super) fn run_begin(&mut self, timeline: Timeline) {
        let plan = &self.plan;
        if self.publishers == 0 {
            return;
        }
        if let Pace::Open(rate) = plan.pace {
            let share = f64::from(self.publishers) / f64::from(plan.publishers);
            let part = f64::from(self.worker) / f64::from(plan.workers);
            let ours = (0..self.publishers).map(|number| plan.limit_of(self.publisher_number(number)));
            let limit = plan.limit.map(|_| ours.sum());
            let schedule = Schedule::new(timeline.start, timeline.end, rate * share, self.publishers, limit);
            self.schedule = Some(schedule.shifted(part));
        }
        self.late.clear();
        let random = self.plan.random_wait.is_some();
        for number in 0..self.publishers {
            let slot = self.subscribers + number;
            self.look_at(slot);
            let wait = self.plan.wait_of(self.publisher_number(number));
            if let (Some(publisher), true) = (self.publisher(slot), random) {
                publisher.wait = wait;
                self.release_next(number);
            }
        }
    }

    /// Says when the next message of a publisher is due that begins later than its turn.
    fn release_next(&mut self, number: u32) {
        let Some(schedule) = self.schedule else { return };
        let slot = self.subscribers + number;
        let due =
            self.publisher(slot).and_then(|publisher| schedule.due_later(number, publisher.released, publisher.wait));
        self.late.extend(due.map(|due| Reverse((due, number))));
    }

    /// How many messages of a publisher have become due.
    fn owed(&self, number: u32) -> u64 {
        match (&self.conns[(self.subscribers + number) as usize].role, self.schedule) {
            (Role::Publisher(publisher), _) if self.plan.random_wait.is_some() => publisher.released,
            (_, Some(schedule)) => schedule.share(self.passed, number),
            (_, None) => 0,
        }
    }

    /// Publishes what is due of those who begin later than their turn; says when the next message is.
    fn late_step(&mut self, schedule: Schedule, now: u64) -> u64 {
        let mut budget = STEP_MAX;
        while let Some(Reverse((due, number))) = self.late.peek().copied() {
            if due > now || schedule.is_over(due) {
                let next = if schedule.is_over(due) { u64::MAX } else { due };
                return self.catch_up_all(schedule, now).min(next);
            }
            if budget == 0 {
                self.catch_up_all(schedule, now);
                return now;
            }
            budget -= 1;
            self.late.pop();
            let slot = self.subscribers + number;
            if let Some(publisher) = self.publisher(slot) {
                publisher.released += 1;
            }
            self.release_next(number);
            self.publish_or_owe(slot, due, now);
        }
        self.catch_up_all(schedule, now)
    }

    /// A message has become due: it leaves, or is owed.
    fn publish_or_owe(&mut self, slot: u32, due: u64, now: u64) {
        if self.publisher(slot).is_some_and(|publisher| publisher.behind) {
            return;
        }
        if self.takes(slot) > 0 {
            if self.timeline().is_some_and(|timeline| timeline.measures(due)) {
                self.stats.latencies.lag.saturating_record(now - due);
            }
            self.publish(slot, 1, due, now);
        } else {
            self.fall_behind(slot);
        }
    }

    /// Sends what publishers owe that may have room again; says when to look again.
    fn catch_up_all(&mut self, schedule: Schedule, now: u64) -> u64 {
        let mut queue = std::mem::take(&mut self.queue);
        for slot in queue.drain(..) {
            self.catch_up(schedule, slot, now);
        }
        if self.queue.is_empty() {
            self.queue = queue;
            return u64::MAX;
        }
        now
    }

    /// Publishes what is due or what windows allow.
    pub(super) fn publish_step(&mut self, timeline: Timeline, now: u64) -> u64 {
        match self.schedule {
            Some(schedule) if self.plan.random_wait.is_some() => self.late_step(schedule, now),
            Some(schedule) => self.open_step(schedule, now),
            None if self.publishers > 0 => self.closed_step(timeline, now),
            None => u64::MAX,
        }
    }

    /// Takes back what was retained: an empty message to each topic.
    pub(super) fn clear_step(&mut self, now: u64) -> u64 {
        let mut left = false;
        for number in 0..self.publishers {
            let slot = self.subscribers + number;
            while self.conns[slot as usize].state == State::Ready && self.clear_one(slot) {}
            left |= self.is_full(slot);
        }
        if left { now } else { u64::MAX }
    }

    /// Whether there was one to take back, and room for it.
    fn clear_one(&mut self, slot: u32) -> bool {
        let client = self.client_of(slot);
        let conn = &mut self.conns[slot as usize];
        let full = conn.stalled || self.outbox.len(conn) >= GATHER_MAX;
        let Role::Publisher(publisher) = &mut conn.role else { return false };
        if full || publisher.cleared == publisher.sent {
            return false;
        }
        let sequence = publisher.cleared;
        publisher.cleared += 1;
        self.stats.counts.cleared += 1;
        let topic = self.plan.render(&self.plan.topic, client, sequence);
        let empty = Delivery { qos: QoS::AtMostOnce, ..delivery(&self.plan, None, &topic, &[], &[]) };
        empty.encode(self.plan.identity.version, self.outbox.of(slot, conn));
        true
    }

    fn open_step(&mut self, schedule: Schedule, now: u64) -> u64 {
        let count = schedule.count(now);
        let mut budget = STEP_MAX;
        while self.passed < count && budget > 0 {
            budget -= 1;
            let (number, _) = schedule.owner(self.passed);
            let slot = self.subscribers + number;
            let due = schedule.due(self.passed);
            self.passed += 1;
            self.publish_or_owe(slot, due, now);
        }
        let again = self.catch_up_all(schedule, now);
        if self.passed < count {
            return now;
        }
        again.min(schedule.next(self.passed).unwrap_or(u64::MAX))
    }

    /// A message is due that cannot leave. Whatever is in the way will say when it is gone, but for our own buffer.
    fn fall_behind(&mut self, slot: u32) {
        if let Some(publisher) = self.publisher(slot) {
            publisher.behind = true;
        }
        if self.is_full(slot) {
            self.look_at(slot);
        }
    }

    /// Sends what a publisher owes, each message with the time at which it was due.
    fn catch_up(&mut self, schedule: Schedule, slot: u32, now: u64) {
        let number = slot - self.subscribers;
        let owed = self.owed(number);
        let Some(publisher) = self.publisher(slot) else { return };
        publisher.queued = false;
        let (mut sent, wait) = (publisher.sent, publisher.wait);
        while sent < owed && self.takes(slot) > 0 {
            self.publish(slot, 1, schedule.due_of(number, sent) + wait, now);
            sent += 1;
        }
        if let Some(publisher) = self.publisher(slot) {
            publisher.behind = sent < owed;
        }
        if sent < owed && self.is_full(slot) {
            self.look_at(slot);
        }
    }

    fn closed_step(&mut self, timeline: Timeline, now: u64) -> u64 {
        if now < timeline.start {
            return timeline.start;
        }
        if now >= timeline.end {
            self.queue.clear();
            return u64::MAX;
        }
        let before = self.stats.counts.sent;
        if self.floods {
            for publisher in 0..self.publishers {
                self.fill(self.subscribers + publisher, now);
            }
        } else {
            let mut queue = std::mem::take(&mut self.queue);
            for slot in queue.drain(..) {
                if let Some(publisher) = self.publisher(slot) {
                    publisher.queued = false;
                }
                self.fill(slot, now);
            }
            if self.queue.is_empty() {
                self.queue = queue;
            }
        }
        let windows = !self.delivered.is_empty();
        if windows {
            self.write_off(now);
        }
        let patience = if windows { now + PATIENCE_NS } else { u64::MAX };
        match (self.plan.window.is_some(), self.stats.counts.sent > before) {
            (false, true) => now,
            (false, false) => now + LOOK_NS,
            (true, _) if !self.queue.is_empty() => now,
            (true, _) if self.floods && self.plan.workers > 1 => now + LOOK_NS,
            (true, _) => patience.min(timeline.end),
        }
    }

    /// Publishes as much as the window of this publisher allows.
    fn fill(&mut self, slot: u32, now: u64) {
        let limit = self.plan.limit_of(self.publisher_number(slot - self.subscribers));
        let room = self.room(slot);
        let Some(publisher) = self.publisher(slot) else { return };
        let mut room = room.min(limit.saturating_sub(publisher.sent));
        while room > 0 {
            let count = self.takes(slot).min(room);
            if count == 0 {
                break;
            }
            self.publish(slot, count, now, now);
            room -= count;
        }
        if room > 0 && self.is_full(slot) && !self.floods {
            self.look_at(slot);
        }
    }

    /// Messages of QoS 0 that may go out before others have been delivered. A window is filled again when half of it is
    /// free: one message for each delivery would make every message a packet of its own, and measure the network stack.
    fn room(&mut self, slot: u32) -> u64 {
        if self.delivered.is_empty() {
            return u64::MAX;
        }
        let copies = self.plan.copies();
        let window = u64::from(self.plan.window.unwrap_or(u32::MAX));
        let delivered = self.delivered_of(slot);
        let Some(publisher) = self.publisher(slot) else { return 0 };
        let under_way = (publisher.sent * copies).saturating_sub(delivered + publisher.written_off);
        let free = if copies == 1 {
            window.saturating_sub(under_way)
        } else {
            (window * copies).saturating_sub(under_way) / copies
        };
        if free >= window.div_ceil(2) { free } else { 0 }
    }

    fn delivered_of(&self, slot: u32) -> u64 {
        let number = self.publisher_number(slot - self.subscribers) as usize;
        self.delivered[number].load(Ordering::Relaxed)
    }

    /// What was lost must not close windows for ever: when nothing has come for a while it is not waited for.
    fn write_off(&mut self, now: u64) {
        let delivered = (0..self.publishers).map(|at| self.delivered_of(self.subscribers + at)).sum();
        if delivered != self.progress.delivered || self.progress.since == 0 {
            self.progress = Progress { since: now, delivered };
            return;
        }
        if now - self.progress.since < PATIENCE_NS {
            return;
        }
        self.progress.since = now;
        let copies = self.plan.copies();
        for publisher in 0..self.publishers {
            let slot = self.subscribers + publisher;
            let delivered = self.delivered_of(slot);
            let Some(publisher) = self.publisher(slot) else { continue };
            let under_way = (publisher.sent * copies).saturating_sub(delivered + publisher.written_off);
            if under_way > 0 {
                publisher.written_off += under_way;
                self.stats.counts.written_off += 1;
                self.look_at(slot);
            }
        }
    }

    /// How many messages this publisher's connection takes.
    #[inline]
    fn takes(&self, slot: u32) -> u64 {
        let conn = &self.conns[slot as usize];
        let Role::Publisher(publisher) = &conn.role else { return 0 };
        let gathered = self.outbox.len(conn);
        if conn.state != State::Ready || conn.stalled || gathered >= GATHER_MAX {
            return 0;
        }
        // Those without a head have any size.
        let each = publisher.head.len() + self.filler.len();
        let fit = if publisher.head.is_empty() { 1 } else { (GATHER_MAX - gathered).div_ceil(each) };
        let window = match self.plan.qos {
            QoS::AtMostOnce => usize::MAX,
            _ => {
                let window = self.plan.window.unwrap_or(u32::MAX).min(u32::from(publisher.receive_maximum));
                (window as usize).saturating_sub(publisher.window.len())
            }
        };
        fit.min(window) as u64
    }

    /// Whether only our own buffer is in the way, which the end of this step empties.
    fn is_full(&self, slot: u32) -> bool {
        let conn = &self.conns[slot as usize];
        conn.state == State::Ready && !conn.stalled && self.outbox.len(conn) >= GATHER_MAX
    }

    /// Looks at this publisher in the next step.
    #[inline]
    pub(super) fn look_at(&mut self, slot: u32) {
        if let Role::Publisher(publisher) = &mut self.conns[slot as usize].role
            && !publisher.queued
        {
            publisher.queued = true;
            self.queue.push(slot);
        }
    }

    pub(super) fn acknowledged(&mut self, slot: u32, kind: AckKind, ack: &Ack<'_>, now: u64) {
        let (timeline, qos) = (self.timeline(), self.plan.qos);
        let id = ack.packet_id;
        let Some(window) = self.publisher(slot).map(|publisher| &mut publisher.window) else {
            return self.breach(slot, "an acknowledgement for a subscriber that published nothing");
        };
        let Some(pending) = window.get(id.get()) else {
            return self.breach(slot, "an acknowledgement of nothing");
        };
        let intended = pending.intended;
        let refused = ack.reason_code.is_error();
        if kind == AckKind::PubRec && !refused {
            pending.received = true;
            let version = self.plan.identity.version;
            let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
            encode_ack(version, AckKind::PubRel, id, ReasonCode::Success, out);
            return;
        }
        let right = match (qos, kind) {
            (QoS::AtLeastOnce, AckKind::PubAck) | (QoS::ExactlyOnce, AckKind::PubRec) => true,
            (QoS::ExactlyOnce, AckKind::PubComp) => pending.received,
            _ => false,
        };
        if !right {
            return self.breach(slot, "an acknowledgement of another QoS");
        }
        window.release(id.get());
        self.stats.counts.acked += 1;
        self.stats.counts.acked_measured += u64::from(timeline.is_some_and(|timeline| timeline.measures(now)));
        if refused {
            self.stats.error(format!("publish refused: {}", ack.reason_code));
        } else if timeline.is_some_and(|timeline| timeline.measures(intended)) {
            self.ack_took(now.saturating_sub(intended));
        }
        self.look_at(slot);
    }

    /// At the end: what was due and never left.
    pub(super) fn settle_unsent(&mut self) {
        let mut unsent = 0;
        for number in 0..self.publishers {
            let owed = self.owed(number);
            if let Some(publisher) = self.publisher(self.subscribers + number) {
                unsent += owed.saturating_sub(publisher.sent);
            }
        }
        self.stats.counts.unsent = unsent;
    }

    fn our_publishers(&self) -> impl Iterator<Item = (&Conn, u32)> {
        self.conns[self.subscribers as usize..].iter().zip(0..self.publishers)
    }

    /// How much each publisher has sent, at the end.
    pub(crate) fn sent(&self) -> Vec<(u32, u64)> {
        let publishers = self.our_publishers();
        publishers
            .map(|(conn, number)| match &conn.role {
                Role::Publisher(publisher) => (self.publisher_number(number), publisher.sent),
                Role::Subscriber(_) => (self.publisher_number(number), 0),
            })
            .collect()
    }

    /// Messages that wait for an acknowledgement or for the chance to leave; reckoned only when no more become due.
    pub(crate) fn under_way(&self, now: u64) -> u64 {
        if self.timeline().is_none_or(|timeline| now < timeline.end) {
            return u64::from(self.publishers);
        }
        let owed = |number: u32, sent: u64| self.owed(number).saturating_sub(sent);
        let publishers = self.our_publishers();
        publishers
            .filter(|(conn, _)| conn.state == State::Ready)
            .map(|(conn, number)| match &conn.role {
                Role::Publisher(publisher) => publisher.window.len() as u64 + owed(number, publisher.sent),
                Role::Subscriber(_) => 0,
            })
            .sum()
    }
}
