//! Inbound: what the broker says, and what of it a client can judge by itself.

use millrace_core::codec::acks::AckKind;
use millrace_core::codec::properties::Property;
use millrace_core::codec::{self, Direction, FixedHeader};
use millrace_core::packet::{Packet, Publish, QoS, SubscriptionOptions};
use millrace_core::reason_code::ReasonCode;

use super::{Change, Client, Out, OutStage, Phase, Reading, Role};
use crate::sim::network::Network;
use crate::sim::oracle::{Arrival, Oracle};
use crate::sim::rng::Rng;

impl Client {
    /// Reads what has come and handles it.
    pub fn read(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
        let Some(link) = self.link else { return };
        if network.links[link].vanished {
            return;
        }
        let max = match self.reading {
            Reading::All => 64 * 1024,
            Reading::Slowly => rng.between(1, 40) as usize,
            Reading::Stopped(until) if until > now => 0,
            Reading::Stopped(_) => {
                self.reading = Reading::All;
                64 * 1024
            }
        };
        let bytes = network.read(link, max);
        self.input.extend(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        while let Some(header) = FixedHeader::parse(&input[at..]).expect("the broker sends good headers") {
            let end = at + header.packet_len();
            if end > input.len() {
                break;
            }
            let bytes = &input[at..end];
            if let Some(maximum) = self.habits.max_packet {
                let allowed = bytes.len() <= maximum as usize;
                assert!(allowed, "{}: a packet of {} bytes, Maximum Packet Size is {maximum}", self.name, bytes.len());
            }
            let packet = codec::decode(self.habits.version, Direction::ToClient, bytes);
            let packet = packet.unwrap_or_else(|error| panic!("{}: {error} in {bytes:02X?}", self.name));
            at = end;
            self.on_packet(&packet, network, oracle, now);
            if self.link != Some(link) {
                return;
            }
        }
        input.drain(..at);
        self.input = input;
        if network.links[link].is_over_for_client() {
            network.finish(link);
            self.forget_connection(network, oracle, now);
            self.phase = Phase::Offline(now + rng.pick(&[0, 10, 500, 3000, 10_000]));
        }
    }

    pub(super) fn on_packet(&mut self, packet: &Packet<'_>, network: &mut Network, oracle: &mut Oracle, now: u64) {
        let name = self.name.clone();
        if self.phase == Phase::Connecting {
            assert!(matches!(packet, Packet::ConnAck(_)), "{name}: {packet:?} before CONNACK");
        }
        match packet {
            Packet::ConnAck(connack) => {
                assert_eq!(self.phase, Phase::Connecting, "{name}: a second CONNACK");
                assert_eq!(connack.reason_code, ReasonCode::Success, "{name}: {connack:?}");
                self.alias_limit = connack.properties.u16(Property::TopicAliasMaximum).unwrap_or(0);
                self.on_connack(connack.session_present, network, oracle, now);
            }
            Packet::Publish(publish) => self.on_publish(publish, oracle),
            Packet::PubAck(ack) => {
                let expected = self.pubacks.pop_front();
                assert_eq!(expected, Some(ack.packet_id.get()), "{name}: PUBACK out of order [MQTT-4.6.0-2]");
                self.finish_out(ack.packet_id.get(), oracle);
            }
            Packet::PubRec(ack) => {
                let expected = self.pubrecs.pop_front();
                assert_eq!(expected, Some(ack.packet_id.get()), "{name}: PUBREC out of order [MQTT-4.6.0-3]");
                assert!(!ack.reason_code.is_error(), "{name}: {ack:?}");
                let id = ack.packet_id.get();
                let out = self.out.iter_mut().find(|out| out.id == id).expect("it was expected");
                out.stage = OutStage::Release;
                out.payload.clear();
                let uid = out.uid;
                oracle.acked(uid);
                self.pubcomps.push_back(id);
                self.send_ack(network, now, AckKind::PubRel, id, ReasonCode::Success);
            }
            Packet::PubComp(ack) => {
                let expected = self.pubcomps.pop_front();
                assert_eq!(expected, Some(ack.packet_id.get()), "{name}: PUBCOMP out of order");
                self.finish_out(ack.packet_id.get(), oracle);
            }
            Packet::PubRel(ack) => {
                let id = ack.packet_id.get();
                self.unreleased.remove(&id);
                self.due.push_back((AckKind::PubComp, id));
            }
            Packet::SubAck(ack) => {
                let Some(Change::Subscribe(filters, subscription_id, sent)) = self.changes.remove(&ack.packet_id.get())
                else {
                    panic!("{name}: {ack:?} is no answer")
                };
                assert_eq!(ack.reason_codes.len(), filters.len(), "{name}: {ack:?}");
                for (code, (filter, options)) in ack.reason_codes.iter().zip(&filters) {
                    assert_eq!(*code as u8, options.qos as u8, "{name}: {filter}");
                    self.subscribed(filter, *options, subscription_id, sent, oracle);
                }
                self.epoch.changed = oracle.now();
                self.epoch.changing -= 1;
            }
            Packet::UnsubAck(ack) => {
                let Some(Change::Unsubscribe(filters, sent)) = self.changes.remove(&ack.packet_id.get()) else {
                    panic!("{name}: {ack:?} is no answer")
                };
                for filter in &filters {
                    for known in self.epoch.subscriptions.iter_mut().filter(|known| known.filter == *filter) {
                        if known.leaving && known.left <= sent {
                            known.gone.get_or_insert(oracle.tick + 1);
                        }
                    }
                }
                self.epoch.changed = oracle.now();
                self.epoch.changing -= 1;
            }
            Packet::PingResp => {
                self.pings = self.pings.checked_sub(1).expect("PINGRESP answers PINGREQ");
            }
            Packet::Disconnect(disconnect) => {
                let fair = matches!(
                    disconnect.reason_code,
                    ReasonCode::SessionTakenOver | ReasonCode::KeepAliveTimeout | ReasonCode::ServerShuttingDown
                );
                assert!(fair, "{name}: {disconnect:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    pub(super) fn on_connack(&mut self, present: bool, network: &mut Network, oracle: &mut Oracle, now: u64) {
        let name = &self.name;
        if self.clean {
            assert!(!present, "{name}: Session Present after Clean Start [MQTT-3.2.2-2]");
        } else if self.has_session == Some(false) {
            assert!(!present, "{name}: Session Present, but there was none [MQTT-3.2.2-3]");
        } else if self.has_session == Some(true) {
            let ends = self.lost_at.saturating_add(u64::from(self.expiry) * 1000);
            let lives = now < ends;
            assert!(present || !lives, "{name}: the session is gone before its expiry [MQTT-3.2.2-3]");
        }
        if let Some(will) = self.previous_will.take() {
            let story = &mut oracle.wills[will.story];
            if story.must == Some((0, 1)) && self.previous_abrupt {
                if !present {
                    // Its session ended at the latest now.
                    story.must = Some((1, 1));
                } else if now < self.lost_at + will.delay_ms {
                    story.must = Some((0, 0));
                }
            }
        }
        self.phase = Phase::Online;
        self.given_up = None;
        self.expiry = if self.clean && !self.v5() { 0 } else { self.habits.expiry };
        self.has_session = Some(self.expiry > 0);
        self.insist_clean = false;
        if !present {
            self.begin_session(oracle);
        }
        let again: Vec<Out> = self.out.iter().cloned().collect();
        for out in again {
            match out.stage {
                OutStage::Publish => self.transmit(&out, true, network, oracle, now),
                OutStage::Release => {
                    self.pubcomps.push_back(out.id);
                    self.send_ack(network, now, AckKind::PubRel, out.id, ReasonCode::Success);
                }
            }
        }
        for change in std::mem::take(&mut self.redo) {
            self.epoch.changing -= 1;
            self.change(change, network, oracle, now);
        }
        if !present {
            match self.role {
                Role::Watcher => {
                    let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
                    self.change(Change::Subscribe(vec![("w/#".into(), options)], 0, 0), network, oracle, now);
                }
                Role::Probe => {
                    let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
                    self.change(Change::Subscribe(vec![("#".into(), options)], 0, 0), network, oracle, now);
                }
                Role::Worker => {}
            }
        }
    }

    pub(super) fn on_publish(&mut self, publish: &Publish<'_>, oracle: &mut Oracle) {
        let name = &self.name;
        let topic = match publish.properties.u16(Property::TopicAlias) {
            None => publish.topic.to_owned(),
            Some(alias) => {
                let within = (1..=self.habits.alias_maximum).contains(&alias);
                assert!(within, "{name}: Topic Alias {alias}, at most {}", self.habits.alias_maximum);
                if publish.topic.is_empty() {
                    self.aliases.get(&alias).unwrap_or_else(|| panic!("{name}: unknown alias {alias}")).clone()
                } else {
                    self.aliases.insert(alias, publish.topic.to_owned());
                    publish.topic.to_owned()
                }
            }
        };
        let mut is_new = true;
        if let Some(packet_id) = publish.packet_id {
            let packet_id = packet_id.get();
            if std::mem::take(&mut self.fresh) {
                assert_eq!(packet_id, 1, "{name}: the first Packet Identifier of a session");
            }
            assert!(self.open.insert(packet_id), "{name}: Packet Identifier {packet_id} is in use [MQTT-2.2.1-4]");
            let maximum = usize::from(self.receive_maximum);
            assert!(self.open.len() <= maximum, "{name}: over Receive Maximum {maximum} [MQTT-3.3.4-9]");
            if publish.qos == QoS::ExactlyOnce {
                is_new = self.unreleased.insert(packet_id);
                assert!(is_new || publish.dup, "{name}: Packet Identifier {packet_id} again without DUP");
                self.due.push_back((AckKind::PubRec, packet_id));
            } else {
                let free = !self.unreleased.contains(&packet_id);
                assert!(free, "{name}: Packet Identifier {packet_id} belongs to a QoS 2 message");
                self.due.push_back((AckKind::PubAck, packet_id));
            }
        }
        if !is_new {
            return;
        }
        let ids = self.v5().then(|| publish.properties.subscription_ids().collect());
        let arrival = Arrival {
            topic: &topic,
            payload: publish.payload,
            qos: publish.qos as u8,
            dup: publish.dup,
            retain: publish.retain,
            ids,
        };
        if self.role == Role::Probe {
            if publish.retain && !topic.starts_with('$') {
                oracle.arrived_retained(&mut self.epoch, &arrival);
            }
            return;
        }
        oracle.arrived(self.index, &mut self.epoch, &arrival);
    }

    pub(super) fn finish_out(&mut self, id: u16, oracle: &mut Oracle) {
        let at = self.out.iter().position(|out| out.id == id);
        let out = self.out.remove(at.expect("it was expected")).expect("found");
        oracle.acked(out.uid);
    }

    pub(super) fn subscribed(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        subscription_id: u32,
        sent: u64,
        oracle: &mut Oracle,
    ) {
        let now = oracle.now();
        let known =
            self.epoch.subscriptions.iter_mut().rev().find(|known| known.filter == filter && known.made <= sent);
        let known = known.expect("noted when it was sent");
        known.acked.get_or_insert(now);
        known.qos = options.qos as u8;
        known.retain_as_published = options.retain_as_published;
        known.no_local = options.no_local;
        known.id = subscription_id;
        if known.is_shared() && !known.leaving {
            oracle.joined(self.index, known.made, filter);
        }
    }
}
