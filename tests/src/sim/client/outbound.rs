//! Outbound: publishing, subscribing, acknowledging.

use millrace_core::codec::acks::{AckKind, encode_ack};
use millrace_core::codec::properties::{Properties, PropertiesBuf, Property};
use millrace_core::packet::{Packet, Publish, QoS, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe};
use millrace_core::reason_code::ReasonCode;
use millrace_core::topic::filter::Share;

use super::{Change, Client, Out, OutStage, id};
use crate::sim::network::Network;
use crate::sim::oracle::{Oracle, Sent, Subscribed};
use crate::sim::rng::Rng;

impl Client {
    pub(super) fn send_ack(
        &mut self,
        network: &mut Network,
        now: u64,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        let mut bytes = Vec::new();
        encode_ack(self.habits.version, kind, id(packet_id), reason, &mut bytes);
        self.send_bytes(network, now, &bytes);
    }

    pub(super) fn free_id(&mut self) -> u16 {
        loop {
            let id = self.next_id;
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if self.out.iter().all(|out| out.id != id) && !self.changes.contains_key(&id) {
                return id;
            }
        }
    }

    pub(super) fn transmit(&mut self, out: &Out, again: bool, network: &mut Network, oracle: &mut Oracle, now: u64) {
        let mut properties = PropertiesBuf::new();
        let mut topic = &*out.topic;
        if self.v5() {
            if let Some(seconds) = out.expiry {
                properties.push_u32(Property::MessageExpiryInterval, seconds);
            }
            // The first topics of a connection get an alias each.
            match self.aliases_out.iter().position(|known| *known == out.topic) {
                Some(at) => {
                    properties.push_u16(Property::TopicAlias, at as u16 + 1);
                    topic = "";
                }
                None if self.aliases_out.len() < usize::from(self.alias_limit.min(4)) && out.uid.is_multiple_of(3) => {
                    self.aliases_out.push(out.topic.clone());
                    properties.push_u16(Property::TopicAlias, self.aliases_out.len() as u16);
                }
                None => {}
            }
        }
        let publish = Publish {
            dup: again,
            qos: out.qos,
            retain: out.retain,
            topic,
            packet_id: (out.qos != QoS::AtMostOnce).then(|| id(out.id)),
            properties: properties.as_properties(),
            payload: &out.payload,
        };
        self.send(network, now, &Packet::Publish(publish));
        oracle.transmitted(out.uid);
        match out.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.pubacks.push_back(out.id),
            QoS::ExactlyOnce => self.pubrecs.push_back(out.id),
        }
    }

    pub(super) fn publish(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
        let qos = rng.below(3) as u8;
        if qos > 0 && self.out.len() >= self.habits.window {
            return;
        }
        let (topic, delay) = match rng.below(20) {
            0..12 => (format!("t/{}/{}", rng.below(3), rng.below(3)), None),
            12..15 => (format!("s/{}", rng.below(3)), None),
            15..19 => (format!("r/{}/{}", self.index, rng.below(3)), None),
            _ => (format!("d/{}", rng.below(3)), Some(rng.below(4))),
        };
        let retain = topic.starts_with("r/");
        let removes = retain && rng.chance(15);
        let expiry = (self.v5() && rng.chance(8)).then(|| rng.between(1, 10) as u32);
        let size = if removes { 0 } else { rng.pick(&[8, 8, 20, 20, 100, 100, 1500, 6000, 20_000]) };
        let uid = oracle.publish(Sent {
            publisher: self.index,
            topic: topic.clone(),
            qos,
            retain,
            removes,
            expires: expiry.is_some() || delay.is_some(),
            size,
            first_sent: 0,
            last_sent: 0,
            tries: 0,
            acked: None,
            will: delay.is_some(),
        });
        let payload = if removes { Vec::new() } else { Oracle::payload(uid, size) };
        let topic = delay.map_or(topic.clone(), |delay| format!("$delayed/{delay}/{topic}"));
        let out_id = if qos == 0 { 0 } else { self.free_id() };
        let qos = QoS::from_u8(qos).expect("below 3");
        let out = Out { id: out_id, uid, stage: OutStage::Publish, topic, payload, qos, retain, expiry };
        self.transmit(&out, false, network, oracle, now);
        if qos != QoS::AtMostOnce {
            self.out.push_back(out);
        }
    }

    /// Publishes a retained message with QoS 1.
    pub fn retain(&mut self, topic: String, size: usize, network: &mut Network, oracle: &mut Oracle, now: u64) {
        let uid = oracle.publish(Sent {
            publisher: self.index,
            topic: topic.clone(),
            qos: 1,
            retain: true,
            removes: false,
            expires: false,
            size,
            first_sent: 0,
            last_sent: 0,
            tries: 0,
            acked: None,
            will: false,
        });
        let (id, payload) = (self.free_id(), Oracle::payload(uid, size));
        let (stage, qos) = (OutStage::Publish, QoS::AtLeastOnce);
        let out = Out { id, uid, stage, topic, payload, qos, retain: true, expiry: None };
        self.transmit(&out, false, network, oracle, now);
        self.out.push_back(out);
    }

    pub(super) fn change(&mut self, mut change: Change, network: &mut Network, oracle: &mut Oracle, now: u64) {
        let packet_id = self.free_id();
        self.epoch.changing += 1;
        match &mut change {
            Change::Subscribe(filters, subscription_id, sent) => {
                *sent = oracle.now();
                for (filter, options) in &*filters {
                    if Share::split(filter).0.is_some() {
                        oracle.joins(filter, options.qos as u8, self.epoch.max_packet);
                    }
                    let known = self.epoch.subscriptions.iter_mut();
                    let mut known = known.filter(|known| known.filter == *filter && !known.leaving);
                    if let Some(known) = known.next() {
                        known.qos_min = known.qos_min.min(options.qos as u8);
                        known.no_local_ever |= options.no_local;
                        known.retain_as_published |= options.retain_as_published;
                        continue;
                    }
                    self.epoch.subscriptions.push(Subscribed {
                        filter: filter.clone(),
                        qos_min: options.qos as u8,
                        qos: options.qos as u8,
                        no_local: options.no_local,
                        no_local_ever: options.no_local,
                        retain_as_published: options.retain_as_published,
                        id: *subscription_id,
                        acked: None,
                        gone: None,
                        leaving: false,
                        left: 0,
                        made: *sent,
                    });
                }
                let mut properties = PropertiesBuf::new();
                if *subscription_id != 0 {
                    properties.push_var(Property::SubscriptionIdentifier, *subscription_id);
                }
                let filters = filters.iter().map(|(filter, options)| (&**filter, *options)).collect();
                let subscribe = Subscribe { packet_id: id(packet_id), properties: properties.as_properties(), filters };
                self.send(network, now, &Packet::Subscribe(subscribe));
            }
            Change::Unsubscribe(filters, sent) => {
                for filter in &*filters {
                    let known = self.epoch.subscriptions.iter_mut();
                    for known in known.filter(|known| known.filter == *filter && !known.leaving) {
                        known.leaving = true;
                        known.left = *sent;
                        if known.is_shared() {
                            oracle.left(self.index, filter);
                        }
                    }
                }
                let filters = filters.iter().map(|filter| &**filter).collect();
                let unsubscribe = Unsubscribe { packet_id: id(packet_id), properties: Properties::EMPTY, filters };
                self.send(network, now, &Packet::Unsubscribe(unsubscribe));
            }
        }
        self.changes.insert(packet_id, change);
    }

    pub(super) fn subscribe(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
        let v5 = self.v5();
        let mut filters = Vec::new();
        for _ in 0..rng.between(1, 3) {
            let shared = self.habits.share.filter(|_| rng.chance(40));
            let filter = shared.map_or_else(|| filter(rng), Into::into);
            let qos = match shared {
                Some(_) => 1 + u64::from(self.habits.share.is_some_and(|share| share.len() % 2 == 0)),
                None => rng.below(3),
            };
            let mut options = SubscriptionOptions {
                qos: QoS::from_u8(qos as u8).expect("below 3"),
                ..SubscriptionOptions::default()
            };
            if v5 {
                options.no_local = shared.is_none() && rng.chance(20);
                options.retain_as_published = rng.chance(20);
                options.retain_handling =
                    rng.pick(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
            }
            if filters.iter().all(|(known, _)| *known != filter) {
                filters.push((filter, options));
            }
        }
        let subscription_id = if v5 && rng.chance(50) { rng.between(1, 500) as u32 } else { 0 };
        self.change(Change::Subscribe(filters, subscription_id, 0), network, oracle, now);
    }

    pub(super) fn unsubscribe(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
        let known: Vec<_> =
            self.epoch.subscriptions.iter().filter(|known| !known.leaving).map(|known| &known.filter).collect();
        let filter = if known.is_empty() { "t/none".into() } else { known[rng.index(known.len())].clone() };
        let sent = oracle.now();
        self.change(Change::Unsubscribe(vec![filter], sent), network, oracle, now);
    }
}

/// A filter for the topics that are not shared.
fn filter(rng: &mut Rng) -> String {
    let (a, b) = (rng.below(3), rng.below(3));
    match rng.below(12) {
        0..4 => format!("t/{a}/{b}"),
        4 => format!("t/+/{b}"),
        5 => format!("t/{a}/+"),
        6 => "t/#".into(),
        7 => format!("t/{a}/#"),
        8 => format!("+/{a}/{b}"),
        9 => format!("r/{a}/+"),
        10 => "r/#".into(),
        _ => "d/+".into(),
    }
}
