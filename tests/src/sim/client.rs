//! Client: a well-behaved MQTT client of 3.1.1 or 5.0 with bad luck, and what it checks by itself.
//!
//! Everything a client may demand of one connection is asserted here (order of acknowledgements, Packet Identifiers,
//! Receive Maximum, Maximum Packet Size, aliases, Session Present); what needs the others' view is the oracle's.

use std::collections::{HashMap, HashSet, VecDeque};

use millrace_core::codec::acks::{AckKind, encode_ack};
use millrace_core::codec::properties::{Properties, PropertiesBuf, Property};
use millrace_core::codec::{self, Direction, FixedHeader};
use millrace_core::packet::{
    Connect, Disconnect, Packet, PacketId, ProtocolVersion, Publish, QoS, RetainHandling, Subscribe,
    SubscriptionOptions, Unsubscribe, Will,
};
use millrace_core::reason_code::ReasonCode;

use millrace_core::topic::filter::Share;

use super::network::{LinkId, Network};
use super::oracle::{Arrival, Epoch, Oracle, Sent, Subscribed, WillStory};
use super::rng::Rng;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Publishes, subscribes and fails.
    Worker,
    /// Sees all Wills; its session lives throughout.
    Watcher,
    /// Comes in the end and asks for all retained messages.
    Probe,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Away until that time.
    Offline(u64),
    /// CONNECT was sent.
    Connecting,
    /// CONNACK came.
    Online,
}

/// How it reads.
#[derive(Clone, Copy, Debug)]
enum Reading {
    All,
    Slowly,
    Stopped(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutStage {
    Publish,
    Release,
}

/// A QoS 1 or 2 message of its own that is under way.
#[derive(Clone, Debug)]
struct Out {
    id: u16,
    uid: u64,
    stage: OutStage,
    topic: String,
    payload: Vec<u8>,
    qos: QoS,
    retain: bool,
    expiry: Option<u32>,
}

#[derive(Clone, Debug)]
enum Change {
    Subscribe(Vec<(String, SubscriptionOptions)>, u32, u64),
    Unsubscribe(Vec<String>, u64),
}

/// The connection's end, as far as its Will is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    None,
    Sent,
}

#[derive(Debug)]
struct LastWill {
    story: usize,
    delay_ms: u64,
}

/// Settings of a client that do not change.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Version it speaks.
    pub version: ProtocolVersion,
    /// Session Expiry Interval in seconds.
    pub expiry: u32,
    /// Keep Alive in seconds.
    pub keep_alive: u16,
    /// Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size.
    pub max_packet: Option<u32>,
    /// Topic Alias Maximum.
    pub alias_maximum: u16,
    /// Messages it has under way.
    pub window: usize,
    /// Chance that it acknowledges what is due when it acts, in percent.
    pub ack_chance: u64,
    /// The shared subscription it uses.
    pub share: Option<&'static str>,
    /// It never begins a new session.
    pub loyal: bool,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub index: usize,
    /// Its Client Identifier.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// How it is.
    pub habits: Habits,
    /// Where it is.
    pub phase: Phase,
    /// Its connection.
    pub link: Option<LinkId>,
    /// A connection that it gave up before CONNACK came.
    given_up: Option<LinkId>,
    /// What it knows of its session.
    pub epoch: Epoch,
    /// Whether the broker must have a session for it.
    has_session: Option<bool>,
    /// What the session under way was granted.
    expiry: u32,
    insist_clean: bool,
    clean: bool,
    lost_at: u64,
    input: Vec<u8>,
    out: VecDeque<Out>,
    next_id: u16,
    /// QoS 2 messages received and not released: part of the session.
    unreleased: HashSet<u16>,
    /// PUBLISH packets of this connection whose last acknowledgement has not been sent.
    open: HashSet<u16>,
    due: VecDeque<(AckKind, u16)>,
    aliases: HashMap<u16, String>,
    aliases_out: Vec<String>,
    alias_limit: u16,
    /// Receive Maximum of this connection.
    receive_maximum: u16,
    pubacks: VecDeque<u16>,
    pubrecs: VecDeque<u16>,
    pubcomps: VecDeque<u16>,
    changes: HashMap<u16, Change>,
    redo: Vec<Change>,
    fresh: bool,
    spoke_at: u64,
    reading: Reading,
    will: Option<LastWill>,
    /// The Will of the connection before, and whether that broke.
    previous_will: Option<LastWill>,
    previous_abrupt: bool,
    farewell: Farewell,
    quitting: bool,
    /// PINGREQ packets without an answer.
    pings: u32,
    /// Wills and messages it may still make.
    pub quiet: bool,
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("identifiers begin with 1")
}

impl Client {
    /// A client that has never connected.
    #[must_use]
    pub fn new(index: usize, role: Role, habits: Habits) -> Self {
        Self {
            index,
            name: format!("client-{index}"),
            role,
            habits,
            phase: Phase::Offline(0),
            link: None,
            given_up: None,
            epoch: Epoch::default(),
            has_session: Some(false),
            expiry: 0,
            insist_clean: false,
            clean: false,
            lost_at: 0,
            input: Vec::new(),
            out: VecDeque::new(),
            next_id: 1,
            unreleased: HashSet::new(),
            open: HashSet::new(),
            due: VecDeque::new(),
            aliases: HashMap::new(),
            aliases_out: Vec::new(),
            alias_limit: 0,
            receive_maximum: u16::MAX,
            pubacks: VecDeque::new(),
            pubrecs: VecDeque::new(),
            pubcomps: VecDeque::new(),
            changes: HashMap::new(),
            redo: Vec::new(),
            fresh: false,
            spoke_at: 0,
            reading: Reading::All,
            will: None,
            previous_will: None,
            previous_abrupt: false,
            farewell: Farewell::None,
            quitting: false,
            pings: 0,
            quiet: false,
        }
    }

    fn v5(&self) -> bool {
        self.habits.version == ProtocolVersion::V5
    }

    /// Whether it waits for nothing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Online
            && self.out.is_empty()
            && self.due.is_empty()
            && self.changes.is_empty()
            && self.unreleased.is_empty()
            && self.open.is_empty()
            && self.pings == 0
    }

    /// Whether it is time to connect. Not while the CONNECT of a connection that it has given up may still arrive: that
    /// would take over from this one, and nobody could say which session is which.
    #[must_use]
    pub fn may_connect(&self, network: &Network, now: u64) -> bool {
        let is_past = |link: LinkId| network.links[link].answered || network.links[link].is_closed();
        matches!(self.phase, Phase::Offline(until) if until <= now) && self.given_up.is_none_or(is_past)
    }

    /// Connects; with another connection still open if there is one.
    pub fn connect(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
        self.forget_connection(network, oracle, now);
        let link = network.connect(rng);
        self.link = Some(link);
        self.phase = Phase::Connecting;
        self.reading = Reading::All;
        let may_clean = self.role == Role::Worker && !self.quiet && !self.habits.loyal;
        self.clean = self.insist_clean
            || (self.habits.expiry == 0 && !self.v5())
            || self.role == Role::Probe
            || (may_clean && rng.chance(15));
        if self.clean {
            self.insist_clean = true;
        }
        let mut properties = PropertiesBuf::new();
        let mut will_properties = PropertiesBuf::new();
        let mut delay = 0;
        if self.v5() {
            if self.habits.expiry > 0 {
                properties.push_u32(Property::SessionExpiryInterval, self.habits.expiry);
            }
            if let Some(maximum) = self.habits.receive_maximum {
                // A later connection may allow less than an earlier one.
                let maximum = rng.between(1, maximum.into()) as u16;
                self.receive_maximum = maximum;
                properties.push_u16(Property::ReceiveMaximum, maximum);
            }
            if let Some(maximum) = self.habits.max_packet {
                properties.push_u32(Property::MaximumPacketSize, maximum);
            }
            if self.habits.alias_maximum > 0 {
                properties.push_u16(Property::TopicAliasMaximum, self.habits.alias_maximum);
            }
            if rng.chance(20) {
                properties.push_u8(Property::RequestProblemInformation, 0);
            }
            delay = rng.pick(&[0, 0, 1, 3, 20]);
            if delay > 0 {
                will_properties.push_u32(Property::WillDelayInterval, delay);
            }
        }
        let with_will = self.role == Role::Worker && !self.quiet && rng.chance(40);
        let mut will_text = None;
        if with_will {
            let qos = rng.below(3) as u8;
            let topic = format!("w/{}/{}", self.index, oracle.wills.len());
            let uid = oracle.publish(Sent {
                publisher: self.index,
                topic: topic.clone(),
                qos,
                retain: false,
                removes: false,
                expires: false,
                size: 8,
                first_sent: 0,
                last_sent: 0,
                tries: 0,
                acked: None,
                will: true,
            });
            oracle.transmitted(uid);
            // It is published at some time to come.
            oracle.sent[uid as usize].first_sent = u64::MAX;
            oracle.wills.push(WillStory { uid, must: Some((0, 1)) });
            self.will = Some(LastWill { story: oracle.wills.len() - 1, delay_ms: u64::from(delay) * 1000 });
            will_text = Some((topic, Oracle::payload(uid, 8), qos));
        }
        let name = self.name.clone();
        let connect = Connect {
            version: self.habits.version,
            bridge: false,
            clean_start: self.clean,
            keep_alive: self.habits.keep_alive,
            properties: properties.as_properties(),
            client_id: &name,
            will: will_text.as_ref().map(|(topic, payload, qos)| Will {
                qos: QoS::from_u8(*qos).expect("below 3"),
                retain: false,
                properties: will_properties.as_properties(),
                topic,
                payload,
            }),
            username: None,
            password: None,
        };
        self.send(network, now, &Packet::Connect(Box::new(connect)));
    }

    fn send(&mut self, network: &mut Network, now: u64, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(self.habits.version, packet, &mut bytes);
        self.send_bytes(network, now, &bytes);
    }

    fn send_bytes(&mut self, network: &mut Network, now: u64, bytes: &[u8]) {
        self.spoke_at = now;
        if let Some(link) = self.link {
            let link = &mut network.links[link];
            if !link.reset && !link.vanished && !link.up_end {
                link.up.extend(bytes);
            }
        }
    }

    /// The connection is over as far as this client knows; its session goes on.
    pub fn forget_connection(&mut self, network: &Network, oracle: &mut Oracle, now: u64) {
        let Some(link) = self.link.take() else { return };
        if self.epoch.subscriptions.iter().any(Subscribed::is_shared) {
            oracle.groups_disturbed = true;
        }
        let was_online = self.phase == Phase::Online;
        if !was_online {
            self.given_up = Some(link);
        }
        self.phase = Phase::Offline(now);
        // The broker may have ended it long before this client came to read that.
        let lost_at = network.links[link].closed_at.unwrap_or(now).min(now);
        if was_online {
            self.lost_at = lost_at;
        } else if now >= self.lost_at.saturating_add(u64::from(self.expiry) * 1000) {
            // The CONNECT may have found the session expired and begun another.
            self.insist_clean = true;
        }
        if let Some(will) = &self.will {
            let story = &mut oracle.wills[will.story];
            // A connection that ends without DISCONNECT publishes its Will; when, the next one will tell.
            story.must = match (was_online, self.farewell) {
                (true, Farewell::None) if will.delay_ms == 0 || self.expiry == 0 => Some((1, 1)),
                _ => Some((0, 1)),
            };
        }
        self.previous_abrupt = was_online && self.farewell == Farewell::None;
        self.previous_will = self.will.take();
        if was_online && self.expiry == 0 {
            self.has_session = Some(false);
        }
        if !was_online && self.habits.expiry > 0 {
            // Whether the broker took the CONNECT is not known.
            self.has_session = None;
        }
        self.farewell = Farewell::None;
        // What was under way may have gone to another member of a group.
        self.fresh = false;
        self.quitting = false;
        self.pings = 0;
        self.input.clear();
        self.due.clear();
        self.open.clear();
        self.aliases.clear();
        self.aliases_out.clear();
        self.pubacks.clear();
        self.pubrecs.clear();
        self.pubcomps.clear();
        let mut changes: Vec<_> = self.changes.drain().collect();
        changes.sort_by_key(|(id, _)| *id);
        self.redo.extend(changes.into_iter().map(|(_, change)| change));
    }

    /// A new session: nothing of the old one holds.
    fn begin_session(&mut self, oracle: &mut Oracle) {
        for known in self.epoch.subscriptions.drain(..) {
            if known.is_shared() {
                oracle.left(self.index, &known.filter);
            }
        }
        self.epoch = Epoch::default();
        self.epoch.max_packet = self.habits.max_packet.unwrap_or(u32::MAX);
        oracle.now();
        self.out.clear();
        self.unreleased.clear();
        self.redo.clear();
        self.fresh = true;
    }

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

    fn on_packet(&mut self, packet: &Packet<'_>, network: &mut Network, oracle: &mut Oracle, now: u64) {
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

    fn on_connack(&mut self, present: bool, network: &mut Network, oracle: &mut Oracle, now: u64) {
        let name = &self.name;
        if self.clean {
            assert!(!present, "{name}: Session Present after Clean Start [MQTT-3.2.2-2]");
        } else if self.has_session == Some(false) {
            assert!(!present, "{name}: Session Present, but there was none [MQTT-3.2.2-3]");
        } else if self.has_session == Some(true) {
            let ends = self.lost_at.saturating_add(u64::from(self.expiry) * 1000);
            let lives = now < ends;
            assert!(present || !lives, "{name}: the session is gone before its expiry [MQTT-3.2.2-2]");
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

    fn on_publish(&mut self, publish: &Publish<'_>, oracle: &mut Oracle) {
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

    fn finish_out(&mut self, id: u16, oracle: &mut Oracle) {
        let at = self.out.iter().position(|out| out.id == id);
        let out = self.out.remove(at.expect("it was expected")).expect("found");
        oracle.acked(out.uid);
    }

    fn subscribed(
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

    fn send_ack(&mut self, network: &mut Network, now: u64, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        let mut bytes = Vec::new();
        encode_ack(self.habits.version, kind, id(packet_id), reason, &mut bytes);
        self.send_bytes(network, now, &bytes);
    }

    fn free_id(&mut self) -> u16 {
        loop {
            let id = self.next_id;
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if self.out.iter().all(|out| out.id != id) && !self.changes.contains_key(&id) {
                return id;
            }
        }
    }

    fn transmit(&mut self, out: &Out, again: bool, network: &mut Network, oracle: &mut Oracle, now: u64) {
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

    fn publish(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
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
        let size = if removes { 0 } else { rng.pick(&[8, 8, 20, 20, 100, 1500, 6000]) };
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

    fn change(&mut self, mut change: Change, network: &mut Network, oracle: &mut Oracle, now: u64) {
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

    fn subscribe(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
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

    fn unsubscribe(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) {
        let known: Vec<_> =
            self.epoch.subscriptions.iter().filter(|known| !known.leaving).map(|known| &known.filter).collect();
        let filter = if known.is_empty() { "t/none".into() } else { known[rng.index(known.len())].clone() };
        let sent = oracle.now();
        self.change(Change::Unsubscribe(vec![filter], sent), network, oracle, now);
    }

    /// Sends what it owes.
    pub fn acknowledge(&mut self, all: bool, network: &mut Network, rng: &mut Rng, now: u64) {
        if self.phase != Phase::Online || self.quitting {
            return;
        }
        while !self.due.is_empty() && (all || rng.chance(self.habits.ack_chance)) {
            let (kind, packet_id) = self.due.pop_front().expect("not empty");
            if kind != AckKind::PubRec {
                self.open.remove(&packet_id);
            }
            self.send_ack(network, now, kind, packet_id, ReasonCode::Success);
        }
    }

    /// Sends PINGREQ in time.
    pub fn keep_alive(&mut self, network: &mut Network, now: u64) {
        let period = u64::from(self.habits.keep_alive) * 1000;
        if self.phase == Phase::Online && !self.quitting && period > 0 && now - self.spoke_at > period / 2 {
            self.pings += 1;
            self.send(network, now, &Packet::PingReq);
        }
    }

    /// Asks for a sign of life, which comes behind all answers that are due.
    pub fn ping(&mut self, network: &mut Network, now: u64) {
        if self.phase == Phase::Online && !self.quitting {
            self.pings += 1;
            self.send(network, now, &Packet::PingReq);
        }
    }

    /// Does something, or lets something happen to it.
    pub fn act(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64, faults: bool) {
        if let Phase::Offline(_) = self.phase {
            if self.may_connect(network, now) {
                self.connect(network, oracle, rng, now);
            }
            return;
        }
        if faults && self.fail(network, oracle, rng, now) {
            return;
        }
        if self.phase != Phase::Online || self.quitting {
            return;
        }
        self.acknowledge(false, network, rng, now);
        if self.role != Role::Worker {
            return;
        }
        match rng.below(100) {
            0..55 => {
                for _ in 0..rng.between(1, 6) {
                    self.publish(network, oracle, rng, now);
                }
            }
            55..70 => self.subscribe(network, oracle, rng, now),
            70..74 => self.unsubscribe(network, oracle, rng, now),
            74..76 => self.ping(network, now),
            76..78 if faults => self.reading = Reading::Slowly,
            78..79 if faults => self.reading = Reading::Stopped(now + rng.between(10, 20_000)),
            79..90 => self.reading = Reading::All,
            90..92 if faults => self.disconnect(network, now),
            _ => {}
        }
    }

    /// Reads and acknowledges promptly from now on.
    pub fn calm_down(&mut self, now: u64) {
        self.quiet = true;
        self.reading = Reading::All;
        if let Phase::Offline(until) = &mut self.phase {
            *until = now;
        }
    }

    /// DISCONNECT and FIN.
    pub fn disconnect(&mut self, network: &mut Network, now: u64) {
        let Some(link) = self.link.filter(|_| self.phase == Phase::Online) else { return };
        let disconnect = Disconnect { reason_code: ReasonCode::Success, properties: Properties::EMPTY };
        self.send(network, now, &Packet::Disconnect(disconnect));
        network.finish(link);
        self.farewell = Farewell::Sent;
        self.quitting = true;
    }

    /// Bad luck of all kinds.
    fn fail(&mut self, network: &mut Network, oracle: &mut Oracle, rng: &mut Rng, now: u64) -> bool {
        let Some(link) = self.link else { return false };
        let back = now + rng.pick(&[0, 1, 50, 2000, 8000, 30_000]);
        match rng.below(1000) {
            0..8 => network.reset(link),
            8..12 => network.vanish(link),
            // The half that was sent so far arrives, then the end.
            12..16 => network.finish(link),
            // Another connection takes this one over; nobody reads here any more.
            16..22 if !self.quitting && self.phase == Phase::Online => {
                network.vanish(link);
                self.connect(network, oracle, rng, now);
                return true;
            }
            _ => return false,
        }
        self.forget_connection(network, oracle, now);
        self.phase = Phase::Offline(back);
        true
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
