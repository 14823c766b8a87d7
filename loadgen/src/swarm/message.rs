//! Messages as bytes: encoded whole, or a head made once for each publisher with a stamp behind it.

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
    /// Appends what is behind the head to what waits for this connection.
    pub(super) fn put_payload(&mut self, slot: u32, sequence: u64, intended: u64, now: u64) {
        let publisher = self.publisher_number(slot - self.subscribers);
        let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
        let mut stamped = 0;
        if let Payload::Stamped(size) = &self.plan.payload {
            let lag = u32::try_from(now - intended).unwrap_or(u32::MAX);
            let start = out.len();
            Stamp { tag: self.plan.tag, publisher, sequence, intended, lag }.write(*size, out);
            stamped = out.len() - start;
        }
        out.extend_from_slice(&self.filler[stamped..]);
    }

    /// Encodes a whole message, which is slower than to begin it with a head that was made before.
    pub(super) fn put_message(
        &mut self,
        slot: u32,
        packet_id: Option<PacketId>,
        dup: bool,
        sequence: u64,
        intended: u64,
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
                let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
                Delivery { dup, topic_alias, ..message }.encode(version, out);
                out.truncate(out.len() - self.filler.len());
                let now = self.now.max(intended);
                self.put_payload(slot, sequence, intended, now);
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
