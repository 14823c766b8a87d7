//! The receiving side: bytes to packets, packets to accounts and answers.

use millrace_core::codec::acks::{AckKind, encode_ack};
use millrace_core::codec::publish::decode_to_client;
use millrace_core::codec::{Direction, FixedHeader, decode};
use millrace_core::packet::{Packet, PacketId, PacketType, QoS};
use millrace_core::reason_code::ReasonCode;

use super::arrived::{Arrived, Pattern};
use super::conn::{Role, Subscriber};
use super::{Swarm, Timeline};
use crate::account::{Bits, Line, Seen, Stream};
use crate::plan::{Audience, Story};
use crate::stamp::Stamp;
use crate::uring::ConnId;

impl Swarm {
    /// Bytes have come. `more` says that the receive goes on.
    pub(crate) fn received(&mut self, conn: ConnId, bytes: &[u8], more: bool, now: u64) {
        let Some(met) = self.met(conn) else { return };
        if !more {
            met.armed = false;
        }
        if !met.is_open() {
            return self.close_if_quiet(conn.slot);
        }
        if !more {
            met.armed = true;
            self.orders.receives.push(conn);
        }
        self.stats.counts.bytes_received += bytes.len() as u64;
        let slot = conn.slot;
        let mut bytes = bytes;
        if let Some(mut partial) = self.conns[slot as usize].partial.take() {
            complete(&mut partial, &mut bytes);
            let taken = self.packets(slot, &partial, now);
            if taken < partial.len() {
                self.keep(slot, partial);
            }
        }
        let taken = self.packets(slot, bytes, now);
        if taken < bytes.len() {
            self.keep(slot, Box::new(bytes[taken..].to_vec()));
        }
        self.settle_recent();
    }

    /// Keeps the beginning of a packet until its end comes.
    #[expect(clippy::box_collection, reason = "as the connection has it")]
    fn keep(&mut self, slot: u32, partial: Box<Vec<u8>>) {
        let conn = &mut self.conns[slot as usize];
        if conn.is_open() {
            conn.partial = Some(partial);
        }
    }

    /// Takes whole packets from the front; says how many bytes they were.
    fn packets(&mut self, slot: u32, bytes: &[u8], now: u64) -> usize {
        let version = self.plan.identity.version;
        let timeline = self.timeline();
        let mut pattern: Option<Pattern<'_>> = None;
        // The last message, if the next one of its publisher is expected behind it.
        let mut last: Option<Stamp> = None;
        let mut at = 0;
        while self.conns[slot as usize].is_open() {
            let rest = &bytes[at..];
            if let Some(pattern) = &mut pattern {
                let run = last.as_ref().map_or(0, |stamp| pattern.run(rest, stamp.sequence));
                if let (Some(stamp), 1..) = (&mut last, run) {
                    at += pattern.len() * run;
                    stamp.sequence += run as u64;
                    self.account_run(slot, stamp, run as u64, timeline, now);
                    continue;
                }
                if let Some(arrived) = pattern.read(rest) {
                    at += pattern.len();
                    last = self.publish_received(slot, arrived, timeline, now);
                    continue;
                }
            }
            let header = match FixedHeader::parse(rest) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => {
                    self.breach(slot, &error.to_string());
                    break;
                }
            };
            let Some(packet) = rest.get(..header.packet_len()) else { break };
            at += packet.len();
            if header.packet_type() == PacketType::Publish {
                let header_len = usize::from(header.header_len);
                match decode_to_client(version, header.first, &packet[header_len..]) {
                    Ok(publish) => {
                        let new = pattern.insert(Pattern::new(packet, header_len, &publish));
                        last = self.publish_received(slot, new.first(), timeline, now);
                    }
                    Err(error) => self.breach(slot, &error.to_string()),
                }
                continue;
            }
            match decode(version, Direction::ToClient, packet) {
                Ok(packet) => self.packet(slot, &packet, now),
                Err(error) => self.breach(slot, &error.to_string()),
            }
        }
        at
    }

    fn packet(&mut self, slot: u32, packet: &Packet<'_>, now: u64) {
        match packet {
            Packet::PubAck(ack) => self.acknowledged(slot, AckKind::PubAck, ack, now),
            Packet::PubRec(ack) => self.acknowledged(slot, AckKind::PubRec, ack, now),
            Packet::PubComp(ack) => self.acknowledged(slot, AckKind::PubComp, ack, now),
            Packet::PubRel(ack) => self.released(slot, ack.packet_id),
            Packet::ConnAck(connack) => self.connack(slot, connack, now),
            Packet::SubAck(suback) => self.suback(slot, suback),
            Packet::PingResp | Packet::UnsubAck(_) => {}
            Packet::Disconnect(disconnect) => {
                self.stats.error(format!("disconnected by the broker: {}", disconnect.reason_code));
                self.give_up(slot);
            }
            other => self.breach(slot, &format!("{} from a broker", other.packet_type())),
        }
    }

    /// Answers and accounts for a message; its stamp if the next one of its publisher is expected behind it.
    #[inline]
    fn publish_received(
        &mut self,
        slot: u32,
        publish: Arrived<'_>,
        timeline: Option<Timeline>,
        now: u64,
    ) -> Option<Stamp> {
        let version = self.plan.identity.version;
        let conn = &mut self.conns[slot as usize];
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => {
                encode_ack(version, AckKind::PubAck, id, ReasonCode::Success, self.outbox.of(slot, conn));
            }
            (QoS::ExactlyOnce, Some(id)) => {
                encode_ack(version, AckKind::PubRec, id, ReasonCode::Success, self.outbox.of(slot, conn));
                let Role::Subscriber(subscriber) = &mut conn.role else { return None };
                let unreleased = &mut subscriber.get_or_insert_default().unreleased;
                if publish.dup && unreleased.contains(&id.get()) {
                    // The same handshake once more, which is no second delivery.
                    return None;
                }
                unreleased.push_back(id.get());
            }
            _ => {}
        }
        if self.plan.story == Story::Retained && publish.payload.is_empty() {
            // What takes a retained message back is no message to account for.
            return None;
        }
        self.stats.counts.received += 1;
        if timeline.is_some_and(|timeline| timeline.measures(now)) {
            self.stats.counts.received_measured += 1;
        }
        let ours = |stamp: &Stamp| stamp.tag == self.plan.tag || self.plan.audience == Audience::Strangers;
        let Some(stamp) = Stamp::read(publish.payload, now).filter(ours) else {
            self.stats.counts.foreign += 1;
            return None;
        };
        self.account(slot, stamp, timeline, now).then_some(stamp)
    }

    /// Accounts for a message; whether the next one of its publisher is expected behind it.
    fn account(&mut self, slot: u32, stamp: Stamp, timeline: Option<Timeline>, now: u64) -> bool {
        let strangers = self.plan.audience == Audience::Strangers;
        if self.plan.story.sends_ahead() {
            // It was sent before: what counts is how long its receiver has waited since it came.
            let latency = now.saturating_sub(self.conns[slot as usize].since);
            self.delivery_took(latency, 1);
        } else if timeline.is_some_and(|timeline| timeline.measures(if strangers { now } else { stamp.intended })) {
            self.delivery_took_since(&stamp, 1, now);
        }
        let seen = match self.plan.audience {
            Audience::Group => self.see_in_group(slot, stamp),
            _ => self.see_alone(slot, &stamp),
        };
        match seen {
            Some(Seen::InOrder) => self.stats.counts.unique += 1,
            Some(Seen::Late) => {
                self.stats.counts.unique += 1;
                self.stats.counts.reordered += 1;
            }
            Some(Seen::Again) => {
                self.stats.counts.doubled += 1;
                return false;
            }
            None => {
                self.stats.counts.foreign += 1;
                return false;
            }
        }
        self.count_delivered(stamp.publisher, 1);
        seen == Some(Seen::InOrder)
            && self.plan.story == Story::Plain
            && matches!(self.plan.audience, Audience::Partner | Audience::All)
    }

    /// Accounts for so many messages that were expected, the last with this stamp and the others alike but for their
    /// sequence.
    fn account_run(&mut self, slot: u32, last: &Stamp, count: u64, timeline: Option<Timeline>, now: u64) {
        let counts = &mut self.stats.counts;
        counts.received += count;
        counts.unique += count;
        if timeline.is_some_and(|timeline| timeline.measures(now)) {
            counts.received_measured += count;
        }
        if timeline.is_some_and(|timeline| timeline.measures(last.intended)) {
            self.delivery_took_since(last, count, now);
        }
        let stream = self.stream_of(slot, last).expect("one was accounted for");
        stream.see_run(count);
        self.count_delivered(last.publisher, count);
    }

    fn delivery_took_since(&mut self, stamp: &Stamp, times: u64, now: u64) {
        let latency = now.saturating_sub(stamp.intended);
        self.delivery_took(latency, times);
        if self.schedule.is_some() || self.plan.audience == Audience::Strangers {
            self.delivery_took_from_sent(latency.saturating_sub(u64::from(stamp.lag)), times);
        }
    }

    fn see_alone(&mut self, slot: u32, stamp: &Stamp) -> Option<Seen> {
        if self.plan.story == Story::Retained {
            let publishers = self.plan.publishers;
            let Role::Subscriber(subscriber) = &mut self.conns[slot as usize].role else { return None };
            let subscriber = subscriber.get_or_insert_default();
            // Each message has a topic of its own, so there is no order among them.
            let at = stamp.publisher as usize;
            if stamp.publisher >= publishers {
                return None;
            }
            if at >= subscriber.seen.len() {
                subscriber.seen.resize(at + 1, Bits::default());
            }
            return Some(if subscriber.seen[at].see(stamp.sequence) { Seen::InOrder } else { Seen::Again });
        }
        Some(self.stream_of(slot, stamp)?.see(stamp.sequence))
    }

    /// The stream that a message to one of our subscribers belongs to.
    fn stream_of(&mut self, slot: u32, stamp: &Stamp) -> Option<&mut Stream> {
        let client = self.client_of(slot);
        let publishers = self.plan.publishers;
        let Role::Subscriber(subscriber) = &mut self.conns[slot as usize].role else { return None };
        let subscriber = subscriber.get_or_insert_default();
        match self.plan.audience {
            Audience::Partner if stamp.publisher == client => {
                if subscriber.streams.is_empty() {
                    subscriber.streams = Vec::with_capacity(1);
                    subscriber.streams.push(Stream::default());
                }
                Some(&mut subscriber.streams[0])
            }
            Audience::All if stamp.publisher < publishers => {
                let at = stamp.publisher as usize;
                if at >= subscriber.streams.len() {
                    subscriber.streams.resize(at + 1, Stream::default());
                }
                Some(&mut subscriber.streams[at])
            }
            Audience::Strangers => {
                let stranger = subscriber.strangers.entry(u64::from(stamp.tag) << 32 | u64::from(stamp.publisher));
                Some(stranger.or_insert_with(|| Stream::from(stamp.sequence)))
            }
            _ => None,
        }
    }

    /// The group as a whole gets each message once; each member gets those of a publisher in order.
    fn see_in_group(&mut self, slot: u32, stamp: Stamp) -> Option<Seen> {
        let Role::Subscriber(subscriber) = &mut self.conns[slot as usize].role else { return None };
        let at = stamp.publisher as usize;
        let new = self.group.get_mut(at)?.see(stamp.sequence);
        let order = &mut subscriber.get_or_insert_default().order;
        if at >= order.len() {
            order.resize(at + 1, 0);
        }
        let late = stamp.sequence < order[at];
        order[at] = order[at].max(stamp.sequence + 1);
        Some(match (new, late) {
            (false, _) => Seen::Again,
            (true, true) => Seen::Late,
            (true, false) => Seen::InOrder,
        })
    }

    fn released(&mut self, slot: u32, id: PacketId) {
        let version = self.plan.identity.version;
        let conn = &mut self.conns[slot as usize];
        if let Role::Subscriber(Some(subscriber)) = &mut conn.role {
            forget(subscriber, id.get());
        }
        encode_ack(version, AckKind::PubComp, id, ReasonCode::Success, self.outbox.of(slot, conn));
    }

    /// The account of each publisher and subscriber, at the end.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for slot in 0..self.subscribers {
            let client = self.client_of(slot);
            let heard: &[Stream] = match &self.conns[slot as usize].role {
                Role::Subscriber(Some(subscriber)) => &subscriber.streams,
                _ => &[],
            };
            let publishers = match self.plan.audience {
                Audience::Partner => client..client + 1,
                Audience::All if self.plan.story != Story::Retained => 0..self.plan.publishers,
                _ => 0..0,
            };
            let nothing = Stream::default();
            for (at, publisher) in publishers.enumerate() {
                let Stream { unique, doubled, reordered, .. } = heard.get(at).unwrap_or(&nothing);
                let (unique, doubled, reordered) = (*unique, *doubled, *reordered);
                lines.push(Line { publisher, subscriber: client, unique, doubled, reordered });
            }
        }
        lines
    }

    /// What streams of strangers lack, at the end.
    pub(crate) fn settle_missed(&mut self) {
        let mut missed = 0;
        for conn in &self.conns {
            if let Role::Subscriber(Some(subscriber)) = &conn.role {
                missed += subscriber.strangers.values().map(Stream::missing).sum::<u64>();
            }
        }
        self.stats.counts.missed = missed;
    }
}

/// Moves as many bytes to the beginning of a packet as it lacks; the rest can be read where it is.
fn complete(partial: &mut Vec<u8>, bytes: &mut &[u8]) {
    while !bytes.is_empty() {
        let whole = match FixedHeader::parse(partial) {
            Ok(Some(header)) => header.packet_len(),
            Ok(None) => partial.len() + 1,
            // Reading it will tell.
            Err(_) => return,
        };
        let lacks = whole.saturating_sub(partial.len());
        if lacks == 0 {
            return;
        }
        let (more, rest) = bytes.split_at(lacks.min(bytes.len()));
        partial.extend_from_slice(more);
        *bytes = rest;
    }
}

fn forget(subscriber: &mut Subscriber, id: u16) {
    let unreleased = &mut subscriber.unreleased;
    if unreleased.front() == Some(&id) {
        unreleased.pop_front();
    } else if let Some(at) = unreleased.iter().position(|other| *other == id) {
        unreleased.remove(at);
    }
}
