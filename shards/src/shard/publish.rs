//! Publish: what a client sends in: PUBLISH with its checks, and the acknowledgements of both directions.

use std::time::Duration;

use millrace_core::codec::acks::{self, AckKind};
use millrace_core::codec::properties::{Properties, PropertiesBuf, Property};
use millrace_core::codec::publish::forwardable;
use millrace_core::message::{Lazy, Memory, MessageHead, MessageView};
use millrace_core::metrics::{Counter, Gauge};
use millrace_core::packet::{Ack, Packet, PacketId, Publish, QoS};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::Acked;
use millrace_core::session::inflight::Stage;
use millrace_core::time::Millis;
use millrace_rules::fields::Event;

use super::connection::Conn;
use super::io::ConnId;
use super::peers::Waits;
use super::route::Origin;
use super::{Flow, Shard, is_v5};

/// What came of a message that was accepted.
pub(super) struct Accepted {
    /// Somebody wants it: a subscriber, another shard, a rule, the retained store.
    pub(super) wanted: bool,
    /// Who must have taken it before it is acknowledged.
    pub(super) waits: Waits,
}

/// What is told of a PUBLISH that is not accepted. Made where that is known: handing the packet itself around would keep
/// it in memory on the way of those that are.
#[derive(Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) topic: &'a str,
    pub(super) packet_id: Option<PacketId>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) properties: Properties<'a>,
    pub(super) payload: &'a [u8],
}

impl<'a> Refused<'a> {
    #[inline(always)]
    const fn of(publish: &Publish<'a>) -> Self {
        let Publish { topic, packet_id, qos, retain, dup, properties, payload, .. } = *publish;
        Self { topic, packet_id, qos, retain, dup, properties, payload }
    }
}

impl Shard {
    pub(super) fn on_publish(&mut self, id: ConnId, publish: &Publish<'_>, memory: Memory<'_>) -> Flow {
        let qos = publish.qos;
        self.counters.add(Counter::PacketsReceivedPublish, 1);
        self.counters.add(Counter::messages_received(qos), 1);
        let conn = self.conns.at(id.slot);
        let (client, v5) = (conn.client, is_v5(conn.version));
        conn.rate.at(self.now.monotonic).publishes += 1;
        self.hold_if_congested(id);
        let mqtt = &self.config.mqtt;
        if qos as u8 > mqtt.maximum_qos {
            let why = format!("QoS {} is over maximum_qos {} [MQTT-3.2.2-11]", qos as u8, mqtt.maximum_qos);
            return self.fail_publish(id, Refused::of(publish), ReasonCode::QoSNotSupported, &why);
        }
        if publish.retain && !mqtt.retain_available {
            let why = "retained messages are switched off [MQTT-3.2.2-14]";
            return self.fail_publish(id, Refused::of(publish), ReasonCode::RetainNotSupported, why);
        }
        // An alias holds even if the message itself has come before.
        let alias_topic;
        let topic = match self.resolve_alias(id, publish) {
            Ok(None) => publish.topic,
            Ok(Some(topic)) => {
                alias_topic = topic;
                &*alias_topic
            }
            Err(why) => return self.fail(id, ReasonCode::TopicAliasInvalid, &why),
        };
        if let Some(packet_id) = publish.packet_id
            && let Some(flow) = self.admit_publish(id, client, packet_id, publish)
        {
            return flow;
        }
        if let Err((reason, why)) = self.check_topic(topic) {
            return self.refuse_publish(id, Refused::of(publish), reason, &why);
        }
        if v5
            && publish.properties.u8(Property::PayloadFormatIndicator) == Some(1)
            && std::str::from_utf8(publish.payload).is_err()
        {
            let why = "Payload Format Indicator 1 says UTF-8, and the payload is not";
            if qos == QoS::AtMostOnce {
                return self.fail_publish(id, Refused::of(publish), ReasonCode::PayloadFormatInvalid, why);
            }
            return self.refuse_publish(id, Refused::of(publish), ReasonCode::PayloadFormatInvalid, why);
        }

        let expires_at = match publish.properties.u32(Property::MessageExpiryInterval) {
            Some(seconds) => self.now.monotonic.after(Duration::from_secs(seconds.into())),
            None => Millis::NEVER,
        };
        let key = self.clients.get(client).map_or(0, |client| client.session.key);
        let head = MessageHead { qos, retain: publish.retain, expires_at, publisher: key };
        let mut scratch = std::mem::take(&mut self.router.properties);
        let mut mounted = std::mem::take(&mut self.router.topic);
        let mountpoint = self.conns.at(id.slot).mountpoint;
        let topic = self.mount_topic(mountpoint, topic, &mut mounted);
        let properties = forwardable(publish.properties, &mut scratch);
        let view = MessageView { head, topic, properties, payload: publish.payload };
        let origin = Origin::Client { client, dup: publish.dup };
        let outcome = self.accept_message(&Lazy::within(view, memory), mountpoint, origin);
        self.router.properties = scratch;
        self.router.topic = mounted;
        match outcome {
            Ok(accepted) => {
                if let Some(packet_id) = publish.packet_id {
                    if qos == QoS::ExactlyOnce
                        && let Some(client) = self.clients.get_mut(client)
                    {
                        client.session.received.insert(packet_id);
                    }
                    let reason = if accepted.wanted { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
                    self.acknowledge(id, packet_id, qos, reason, accepted.waits);
                }
                Flow::Next
            }
            Err((reason, why)) => self.refuse_publish(id, Refused::of(publish), reason, &why),
        }
    }

    /// Receive Maximum, and QoS 2 messages that come again. `Some` if the packet has been dealt with.
    fn admit_publish(&mut self, id: ConnId, client: u32, packet_id: PacketId, publish: &Publish<'_>) -> Option<Flow> {
        let qos = publish.qos;
        let conn = self.conns.at(id.slot);
        // Only version 5.0 is told a maximum; before that the Packet Identifiers are all there is.
        let maximum = if is_v5(conn.version) { self.config.mqtt.receive_maximum } else { u16::MAX };
        let pubacks = conn.pubacks as usize;
        let session = &mut self.clients.get_mut(client)?.session;
        if qos == QoS::ExactlyOnce && session.received.contains(packet_id) {
            return Some(self.on_publish_again(id, packet_id, Refused::of(publish)));
        }
        if session.received.len() + pubacks >= usize::from(maximum) {
            self.counters.add(Counter::LimitHitsInflight, 1);
            let why =
                format!("more than {maximum} unacknowledged QoS 1 and 2 messages (receive_maximum) [MQTT-3.3.4-7]");
            return Some(self.fail_publish(id, Refused::of(publish), ReasonCode::ReceiveMaximumExceeded, &why));
        }
        None
    }

    /// The topic behind a Topic Alias, or a new alias noted (section 3.3.2.3.4).
    fn resolve_alias(&mut self, id: ConnId, publish: &Publish<'_>) -> Result<Option<String>, String> {
        let Some(alias) = publish.properties.u16(Property::TopicAlias) else { return Ok(None) };
        let maximum = self.config.mqtt.topic_alias_maximum;
        let extras = self.conns.at(id.slot).extras.get_or_insert_default();
        if publish.topic.is_empty() {
            let topic = extras.inbound.get(alias);
            return topic
                .map(|topic| Some(topic.to_owned()))
                .ok_or_else(|| format!("Topic Alias {alias} has not been set on this connection"));
        }
        if extras.inbound.set(alias, publish.topic, maximum) {
            Ok(None)
        } else {
            Err(format!("Topic Alias {alias} is not from 1 to the Topic Alias Maximum {maximum} [MQTT-3.3.2-9]"))
        }
    }

    /// A QoS 2 message that was routed before: only the answer may have been lost [MQTT-4.3.3-10].
    #[cold]
    fn on_publish_again(&mut self, id: ConnId, packet_id: PacketId, publish: Refused<'_>) -> Flow {
        if !publish.dup && self.events.wants(Event::MessageDropped) {
            self.raise_refused_publish(id, &publish, ReasonCode::PacketIdentifierInUse);
        }
        self.acknowledge(id, packet_id, publish.qos, ReasonCode::Success, Waits::default());
        Flow::Next
    }

    /// A PUBLISH after which the connection cannot go on.
    #[cold]
    fn fail_publish(&mut self, id: ConnId, publish: Refused<'_>, reason: ReasonCode, why: &str) -> Flow {
        if self.events.wants(Event::MessageDropped) {
            self.raise_refused_publish(id, &publish, reason);
        }
        self.fail(id, reason, why)
    }

    /// A PUBLISH that is not accepted: said in its acknowledgement where there is one (5.0), counted in any case.
    #[cold]
    fn refuse_publish(&mut self, id: ConnId, publish: Refused<'_>, reason: ReasonCode, why: &str) -> Flow {
        self.counters.add(refused(reason), 1);
        if self.events.wants(Event::MessageDropped) {
            self.raise_refused_publish(id, &publish, reason);
        }
        let conn = self.conns.at(id.slot);
        let client = conn.client;
        let Some(packet_id) = publish.packet_id else {
            if is_v5(conn.version) && reason == ReasonCode::TopicNameInvalid {
                return self.fail(id, reason, why);
            }
            return Flow::Next;
        };
        if !is_v5(conn.version)
            && publish.qos == QoS::ExactlyOnce
            && let Some(client) = self.clients.get_mut(client)
        {
            // Version 3 has no error code here: the exchange goes on to its end, only the message is dropped.
            client.session.received.insert(packet_id);
        }
        if self.conns.at(id.slot).wants_problem_information() {
            let mut properties = PropertiesBuf::default();
            properties.push_str(Property::ReasonString, why);
            let ack = Ack { packet_id, reason_code: reason, properties: properties.as_properties() };
            let packet = if publish.qos == QoS::ExactlyOnce { Packet::PubRec(ack) } else { Packet::PubAck(ack) };
            if self.fits(id.slot, 64 + why.len()) && self.conns.at(id.slot).pending == 0 {
                self.count_ack(publish.qos);
                self.encode(id.slot, &packet);
                return Flow::Next;
            }
        }
        self.acknowledge(id, packet_id, publish.qos, reason, Waits::default());
        Flow::Next
    }

    /// Whether a packet of about this size is within the client's Maximum Packet Size.
    pub(super) fn fits(&mut self, slot: u32, bytes: usize) -> bool {
        bytes as u64 <= u64::from(self.conns.at(slot).max_packet)
    }

    fn count_ack(&mut self, qos: QoS) {
        let counter = if qos == QoS::ExactlyOnce { Counter::PacketsSentPubrec } else { Counter::PacketsSentPuback };
        self.counters.add(counter, 1);
    }

    /// PUBACK or PUBREC, once everybody has taken the message.
    fn acknowledge(&mut self, id: ConnId, packet_id: PacketId, qos: QoS, reason: ReasonCode, waits: Waits) {
        self.count_ack(qos);
        let kind = if qos == QoS::ExactlyOnce { AckKind::PubRec } else { AckKind::PubAck };
        let Conn { version, pending, .. } = *self.conns.at(id.slot);
        if pending == 0 && waits.is_none() {
            acks::encode_ack(version, kind, packet_id, reason, &mut self.output(id.slot).bytes);
            return;
        }
        self.replies.hold_ack(&mut self.conns, waits, id, acks::ack(version, kind, packet_id, reason));
    }

    pub(super) fn on_pubrel(&mut self, id: ConnId, ack: &Ack<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedPubrel, 1);
        self.counters.add(Counter::PacketsSentPubcomp, 1);
        let conn = self.conns.at(id.slot);
        let (client, version, pending) = (conn.client, conn.version, conn.pending);
        let known = self.clients.get_mut(client).is_some_and(|client| client.session.received.remove(ack.packet_id));
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        if pending == 0 {
            acks::encode_ack(version, AckKind::PubComp, ack.packet_id, reason, &mut self.output(id.slot).bytes);
        } else {
            let answer = acks::ack(version, AckKind::PubComp, ack.packet_id, reason);
            self.replies.hold_ack(&mut self.conns, Waits::default(), id, answer);
        }
        Flow::Next
    }

    pub(super) fn on_puback(&mut self, id: ConnId, ack: &Ack<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedPuback, 1);
        if self.events.wants(Event::MessageAcked) {
            self.raise_acked(id, ack, Stage::Puback);
        }
        let client = self.conns.at(id.slot).client;
        let Some(state) = self.clients.get_mut(client) else { return Flow::Next };
        match state.session.on_puback(ack.packet_id) {
            Acked::Done { qos, group } => self.delivered(client, qos, group),
            // An identifier that is not in use is no error in any version; the answer may have crossed a takeover.
            Acked::Release { .. } | Acked::Unknown => {}
        }
        Flow::Next
    }

    pub(super) fn on_pubrec(&mut self, id: ConnId, ack: &Ack<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedPubrec, 1);
        if self.events.wants(Event::MessageAcked) {
            self.raise_acked(id, ack, Stage::Pubrec);
        }
        let conn = self.conns.at(id.slot);
        let (client, version) = (conn.client, conn.version);
        let Some(state) = self.clients.get_mut(client) else { return Flow::Next };
        match state.session.on_pubrec(ack.packet_id, ack.reason_code.is_error()) {
            Acked::Done { qos, group } => self.delivered(client, qos, group),
            Acked::Release { group } => {
                if group != 0 {
                    self.group_acked(client, group);
                }
                self.send_pubrel(client, ack.packet_id);
            }
            Acked::Unknown => {
                // An error needs no answer; anything else is told that it is unknown (section 4.13.2).
                if !ack.reason_code.is_error() {
                    self.counters.add(Counter::PacketsSentPubrel, 1);
                    let reason = ReasonCode::PacketIdentifierNotFound;
                    acks::encode_ack(version, AckKind::PubRel, ack.packet_id, reason, &mut self.output(id.slot).bytes);
                }
            }
        }
        Flow::Next
    }

    pub(super) fn on_pubcomp(&mut self, id: ConnId, ack: &Ack<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedPubcomp, 1);
        let client = self.conns.at(id.slot).client;
        let Some(state) = self.clients.get_mut(client) else { return Flow::Next };
        if let Acked::Done { qos, group } = state.session.on_pubcomp(ack.packet_id) {
            self.delivered(client, qos, group);
        }
        Flow::Next
    }

    pub(super) fn send_pubrel(&mut self, client: u32, packet_id: PacketId) {
        let Some(slot) = self.clients.get(client).filter(|client| client.is_online()).map(|client| client.conn) else {
            return;
        };
        self.counters.add(Counter::PacketsSentPubrel, 1);
        let version = self.conns.at(slot).version;
        acks::encode_ack(version, AckKind::PubRel, packet_id, ReasonCode::Success, &mut self.output(slot).bytes);
    }

    /// A delivery of QoS 1 or 2 is complete: the window has room for the next.
    fn delivered(&mut self, client: u32, qos: QoS, group: u64) {
        self.counters.add(Counter::deliveries_completed(qos), 1);
        self.counters.lower(Gauge::DeliveriesInflight, 1);
        if group != 0 {
            self.group_acked(client, group);
        }
        let Some(state) = self.clients.get(client) else { return };
        let session = &state.session;
        if session.queued() > 0 || session.inflight.has_unseen() || state.feeds.is_some() {
            self.pump(client);
        }
    }
}

/// The counter for a message that was not accepted.
const fn refused(reason: ReasonCode) -> Counter {
    match reason {
        ReasonCode::NotAuthorized => Counter::MessagesRefusedNoPermission,
        ReasonCode::QuotaExceeded => Counter::MessagesRefusedQuota,
        ReasonCode::PayloadFormatInvalid => Counter::MessagesRefusedPayloadFormat,
        _ => Counter::MessagesRefusedTopicInvalid,
    }
}
