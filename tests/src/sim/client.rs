//! Client: a well-behaved MQTT client of 3.1.1 or 5.0 with bad luck, and what it checks by itself.
//!
//! Everything a client may demand of one connection is asserted here (order of acknowledgements, Packet Identifiers,
//! Receive Maximum, Maximum Packet Size, aliases, Session Present); what needs the others' view is the oracle's.

mod behaviour;
mod inbound;
mod outbound;

use std::collections::{HashMap, HashSet, VecDeque};

use millrace_core::codec;
use millrace_core::codec::acks::AckKind;
use millrace_core::codec::properties::{PropertiesBuf, Property};
use millrace_core::packet::{Connect, Packet, PacketId, ProtocolVersion, QoS, SubscriptionOptions, Will};

use super::network::{LinkId, Network};
use super::oracle::{Epoch, Oracle, Sent, Subscribed, WillStory};
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

    pub(super) fn v5(&self) -> bool {
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
        let ends = self.lost_at.saturating_add(u64::from(self.expiry) * 1000);
        // A CONNECT that was given up may have found the session expired, and begun another.
        self.insist_clean |= self.given_up.is_some() && now >= ends;
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

    pub(super) fn send(&mut self, network: &mut Network, now: u64, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(self.habits.version, packet, &mut bytes);
        self.send_bytes(network, now, &bytes);
    }

    pub(super) fn send_bytes(&mut self, network: &mut Network, now: u64, bytes: &[u8]) {
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
    pub(super) fn begin_session(&mut self, oracle: &mut Oracle) {
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
}
