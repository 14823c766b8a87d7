//! Messages as bytes: encoded whole, or copies that begin with a head made once for each publisher.

use std::sync::Arc;

use millrace_core::codec::properties::Property;
use millrace_core::codec::publish::Delivery;
use millrace_core::packet::{PacketId, QoS};

use super::Swarm;
use super::conn::Role;
use crate::payload::PayloadValues;
use crate::plan::{Payload, Plan};
use crate::stamp::Stamp;
use crate::sys;

/// The Topic Alias of a publisher's only topic.
const ALIAS: u16 = 1;

impl Swarm {
    /// Publishes so many messages that were due at the same time.
    #[inline]
    pub(super) fn publish(&mut self, slot: u32, count: u64, intended: u64, now: u64) {
        let measured = self.timeline().is_some_and(|timeline| timeline.measures(intended));
        let headed = self.publisher(slot).is_some_and(|publisher| !publisher.head.is_empty());
        if headed && self.plan.retry_interval.is_none() {
            self.put_messages(slot, count, intended, now);
        } else {
            (0..count).for_each(|_| self.put_one(slot, intended, now));
        }
        self.stats.counts.sent += count;
        self.stats.counts.expected += count * self.plan.copies();
        self.stats.counts.sent_measured += if measured { count } else { 0 };
    }

    /// Appends messages that begin with the publisher's head. They are alike but for the Packet Identifier and the
    /// sequence, so all but the first are copies of it.
    fn put_messages(&mut self, slot: u32, count: u64, intended: u64, now: u64) {
        let number = self.publisher_number(slot - self.subscribers);
        let conn = &mut self.conns[slot as usize];
        let place = self.outbox.place(slot, conn);
        let out = self.outbox.bytes(place);
        let Role::Publisher(publisher) = &mut conn.role else { return };
        let mut stamp = stamp_of(&self.plan, number, publisher.sent, intended, now);
        let (start, head, each) = (out.len(), publisher.head.len(), publisher.head.len() + self.filler.len());
        out.reserve(count as usize * each);
        for nth in 0..count as usize {
            let at = start + nth * each;
            if nth == 0 {
                out.extend_from_slice(&publisher.head);
                out.extend_from_slice(&self.filler);
            } else {
                out.extend_from_within(start..start + each);
            }
            if self.plan.qos != QoS::AtMostOnce {
                let id_at = at + usize::from(publisher.packet_id_at);
                let id = publisher.window.take(intended, publisher.sent);
                out[id_at..id_at + 2].copy_from_slice(&id.to_be_bytes());
            }
            if let Some(stamp) = &mut stamp {
                stamp.sequence = publisher.sent;
                stamp.put(&mut out[at + head..]);
            }
            publisher.sent += 1;
        }
    }

    /// Appends a message that is like no other, or that may have to be sent again.
    fn put_one(&mut self, slot: u32, intended: u64, now: u64) {
        let qos = self.plan.qos;
        let Some(publisher) = self.publisher(slot) else { return };
        let sequence = publisher.sent;
        publisher.sent += 1;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            _ => PacketId::new(publisher.window.take(intended, sequence)),
        };
        self.put_message(slot, packet_id, false, sequence, intended, now);
        if let Some(id) = packet_id {
            self.watch(slot, id.get(), sequence, now);
        }
    }

    /// Encodes a whole message.
    pub(super) fn put_message(
        &mut self,
        slot: u32,
        packet_id: Option<PacketId>,
        dup: bool,
        sequence: u64,
        intended: u64,
        now: u64,
    ) {
        let client = self.client_of(slot);
        let plan = Arc::clone(&self.plan);
        let topic = plan.render(&plan.topic, client, sequence);
        let properties = properties_of(&plan, client);
        let version = plan.identity.version;
        let takes_alias = self.publisher(slot).is_some_and(|publisher| publisher.alias_maximum > 0);
        let topic_alias = (plan.description.topic_alias && takes_alias).then_some(ALIAS);
        match &plan.payload {
            Payload::Template(template) => {
                let mut text = String::new();
                let client_id = plan.client_id(client);
                let unique = u64::from(client) << 40 | sequence;
                let values = PayloadValues { time: sys::wall_clock(), unique, client_id: &client_id, sequence };
                template.render(&values, &mut text);
                let message = delivery(&plan, packet_id, &topic, &properties, text.as_bytes());
                let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
                Delivery { dup, topic_alias, ..message }.encode(version, out);
            }
            Payload::Stamped(_) | Payload::Literal(_) => {
                let message = delivery(&plan, packet_id, &topic, &properties, &self.filler);
                let number = self.publisher_number(slot - self.subscribers);
                let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
                Delivery { dup, topic_alias, ..message }.encode(version, out);
                if let Some(stamp) = stamp_of(&plan, number, sequence, intended, now) {
                    let payload_at = out.len() - self.filler.len();
                    stamp.put(&mut out[payload_at..]);
                }
            }
        }
        if topic_alias.is_some() && !dup {
            self.alias(slot, client);
        }
    }

    /// From the first message on the broker knows the alias of its topic.
    fn alias(&mut self, slot: u32, client: u32) {
        let Some(publisher) = self.publisher(slot) else { return };
        if !publisher.alias_known {
            publisher.alias_known = true;
            self.make_head_of(slot, client);
        }
    }

    /// Encodes once what all messages of a publisher begin with.
    pub(super) fn make_head(&mut self, slot: u32) {
        if let Some(publisher) = self.publisher(slot) {
            publisher.head = Box::default();
        }
        let fixed = !self.plan.topic.varies() && !matches!(self.plan.payload, Payload::Template(_));
        let aliased = self.plan.description.topic_alias
            && self.publisher(slot).is_some_and(|publisher| publisher.alias_maximum > 0);
        // With an alias the first message is another than the rest.
        if fixed && !aliased {
            self.make_head_of(slot, self.client_of(slot));
        }
    }

    fn make_head_of(&mut self, slot: u32, client: u32) {
        let plan = &self.plan;
        if matches!(plan.payload, Payload::Template(_)) {
            return;
        }
        let known = match &self.conns[slot as usize].role {
            Role::Publisher(publisher) => publisher.alias_known,
            Role::Subscriber(_) => false,
        };
        let topic = if known { String::new() } else { plan.render(&plan.topic, client, 0) };
        let packet_id = (plan.qos != QoS::AtMostOnce).then_some(PacketId::MIN);
        let properties = properties_of(plan, client);
        let mut packet = Vec::new();
        let message = delivery(plan, packet_id, &topic, &properties, &self.filler);
        let message = Delivery { topic_alias: known.then_some(ALIAS), ..message };
        let at = message.encode(plan.identity.version, &mut packet);
        packet.truncate(packet.len() - self.filler.len());
        if let Some(publisher) = self.publisher(slot) {
            publisher.head = packet.into_boxed_slice();
            publisher.packet_id_at = at.map_or(0, |at| u16::try_from(at).unwrap_or(u16::MAX));
        }
    }
}

/// What a message carries in front of its payload, if it is to carry anything.
fn stamp_of(plan: &Plan, publisher: u32, sequence: u64, intended: u64, now: u64) -> Option<Stamp> {
    let lag = u32::try_from(now - intended).unwrap_or(u32::MAX);
    matches!(plan.payload, Payload::Stamped(_)).then_some(Stamp { tag: plan.tag, publisher, sequence, intended, lag })
}

/// The properties of a client's messages.
fn properties_of(plan: &Plan, client: u32) -> Vec<u8> {
    let description = &plan.description;
    let mut properties = description.properties.clone();
    if let Some(template) = &description.response_topic {
        properties.push_str(Property::ResponseTopic, &plan.render(template, client, 0));
    }
    properties.as_properties().raw().to_vec()
}

pub(super) fn delivery<'a>(
    plan: &Plan,
    packet_id: Option<PacketId>,
    topic: &'a str,
    properties: &'a [u8],
    payload: &'a [u8],
) -> Delivery<'a> {
    Delivery {
        dup: false,
        qos: plan.qos,
        retain: plan.retain,
        packet_id,
        topic,
        topic_alias: None,
        message_expiry: plan.description.message_expiry,
        subscription_ids: &[],
        properties,
        payload,
    }
}
