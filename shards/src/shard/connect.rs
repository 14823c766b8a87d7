//! Connect: from the first byte of a connection to its CONNACK.
//!
//! A connection whose client lives on another shard is handed there with everything it sent so far; nothing of it
//! stays. Until then it receives once at a time, so that no byte can arrive here in between.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};
use millrace_core::codec::properties::{PropertiesBuf, Property};
use millrace_core::codec::{self, DecodeError, Direction, FixedHeader};
use millrace_core::message::{Message, MessageHead, MessageView};
use millrace_core::metrics::{Counter, Gauge};
use millrace_core::packet::{ConnAck, Connect, Packet, ProtocolVersion};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::topic_alias::OutboundAliases;
use millrace_core::session::{NEVER_EXPIRES, Session, Will};
use millrace_core::time::Millis;
use millrace_core::topic::name::{NameError, TopicName};
use millrace_rules::fields::Event;

use super::connection::{Cut, Extras, NONE, Phase};
use super::events::{COMING, Granted};
use super::frame::{Frame, Handover};
use super::give_back::shrink_table;
use super::io::{Accepted, Close, ConnId, ListenerId, ShardId, TOKEN_END};
use super::lifecycle::Cause;
use super::{Command, Flow, Shard, Timer, is_v5, proxy};

/// Sockets over a listener's `max_connections` that may still say CONNECT, to be refused by name; more are closed when
/// they are accepted. And how long they have for it.
const OVER_MAX: u32 = 64;
const OVER_PATIENCE: Duration = Duration::from_secs(1);

/// A CONNACK without properties, in the longest version; and what a Reason String adds besides its text, with longer
/// lengths in front.
const CONNACK_BYTES_MIN: usize = 5;
const REASON_STRING_BYTES: usize = 3 + 2;

/// Both halves of a hand-over come within this time, or one never comes.
const HANDOVER_TIME_MAX: Duration = Duration::from_secs(10);

/// Sockets and frames of hand-overs whose other half has not come yet.
#[derive(Default)]
pub(super) struct Handovers {
    waiting: HashMap<(ShardId, u64), (Half, Millis), RandomState>,
    next: u64,
}

impl Handovers {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Lets go of room that is not needed any more; whether there was any.
    pub(super) fn give_back(&mut self) -> bool {
        shrink_table(&mut self.waiting)
    }
}

enum Half {
    Socket(ConnId),
    /// A socket that failed before its frame came.
    Gone,
    Frame(Handover),
}

/// Why a CONNECT is refused.
struct Refusal(ReasonCode, String);

impl Shard {
    pub(super) fn on_accepted(&mut self, accepted: Accepted) {
        let Accepted { conn: id, listener, peer } = accepted;
        if self.draining {
            self.commands.push(Command::Close(id, Close::Now));
            return;
        }
        self.counters.add(Counter::ConnectionsOpened, 1);
        let state = self.shared.listener(listener);
        state.opened();
        let max = self.shared.listener_config(&self.config, listener).max_connections;
        let mut patience = self.config.limits.connect_timeout.0;
        let over = state.open().saturating_sub(max);
        if over > OVER_MAX {
            state.closed();
            self.counters.add(Counter::ConnectsRefusedLimit, 1);
            self.counters.add(Counter::LimitHitsConnections, 1);
            self.commands.push(Command::Close(id, Close::Now));
            return;
        }
        if over > 0 {
            // It may say who it is, so that it can be told by name that there is no room; silence is not waited for.
            patience = patience.min(OVER_PATIENCE);
        }
        self.begin(id, listener, peer, self.now.monotonic.after(patience));
        self.commands.push(match self.shared.placement.shards() {
            1 => Command::Receive(id),
            _ => Command::ReceiveOnce(id),
        });
    }

    /// A socket that has to say CONNECT until `until`.
    fn begin(&mut self, id: ConnId, listener: ListenerId, peer: SocketAddr, until: Millis) {
        let proxied = self.shared.listener_config(&self.config, listener).proxy_protocol;
        let mountpoint = self.shared.listener_mountpoint(listener);
        let conn = self.conns.open(id);
        conn.phase = if proxied { Phase::Proxy } else { Phase::Connect };
        conn.listener = listener;
        conn.ip = peer.ip();
        conn.port = peer.port();
        conn.last_seen = self.now.monotonic;
        conn.mountpoint = mountpoint;
        self.timers.insert(until, Timer::Connect(id));
    }

    pub(super) fn on_connect_timeout(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| conn.phase != Phase::Connected) {
            self.counters.add(Counter::ConnectsRefusedTimeout, 1);
            self.counters.add(Counter::LimitHitsConnectTimeout, 1);
            self.discard(id, Close::Now);
        }
    }

    pub(super) fn next_proxy_cut(&mut self, bytes: &[u8]) -> Result<Cut, (ReasonCode, String)> {
        match proxy::parse(bytes) {
            Ok(None) => Ok(Cut::Incomplete(bytes.len() + 1)),
            Ok(Some(header)) => Ok(Cut::Packet(FixedHeader { first: 0, header_len: 0, remaining: header.len as u32 })),
            Err(error) => Err((ReasonCode::ProtocolError, error.to_string())),
        }
    }

    pub(super) fn on_proxy_header(&mut self, id: ConnId, bytes: &[u8]) -> Flow {
        let conn = self.conns.at(id.slot);
        if let Ok(Some(proxy::Header { peer: Some(peer), .. })) = proxy::parse(bytes) {
            conn.ip = peer.ip();
            conn.port = peer.port();
        }
        conn.phase = Phase::Connect;
        Flow::Next
    }

    /// CONNECT has come. `rest` is what came behind it.
    pub(super) fn on_connect(&mut self, id: ConnId, packet: &[u8], rest: &[u8]) -> Flow {
        self.counters.add(Counter::PacketsReceivedConnect, 1);
        let connect = match codec::decode(ProtocolVersion::V5, Direction::ToServer, packet) {
            Ok(Packet::Connect(connect)) => connect,
            Ok(_) => return self.fail(id, ReasonCode::ProtocolError, "the first packet is not CONNECT [MQTT-3.1.0-1]"),
            Err(error) => return self.refuse_malformed(id, packet, &error),
        };
        let conn = self.conns.at(id.slot);
        conn.version = connect.version;
        conn.max_packet = connect.properties.u32(Property::MaximumPacketSize).unwrap_or(u32::MAX);
        let assigned;
        let client_id = if connect.client_id.is_empty() {
            // An assigned identifier is made so that it lives here.
            assigned = self.assign_client_id();
            &*assigned
        } else {
            connect.client_id
        };
        let home = self.shared.placement.home(client_id.as_bytes()).shard;
        if home != self.id {
            if !self.shared.berths.take(home, 0) {
                self.counters.add(Counter::ConnectsRefusedServerBusy, 1);
                let why = format!(
                    "the shard of this client has all {} connections that it can hold; try again later",
                    self.shared.berths.size()
                );
                return self.refuse(id, ReasonCode::ServerBusy, &why, Some((&connect, client_id)));
            }
            self.hand_over(id, home, [packet, rest].concat());
            return Flow::Stop;
        }
        match self.check_connect(id, &connect).and_then(|()| self.check_connack(id, &connect, client_id)) {
            Ok(()) => self.accept_connect(id, &connect, client_id),
            Err(Refusal(reason, why)) => self.refuse(id, reason, &why, Some((&connect, client_id))),
        }
    }

    fn assign_client_id(&mut self) -> String {
        loop {
            let id = format!("auto-{:016x}", self.shared.random());
            if self.shared.placement.home(id.as_bytes()).shard == self.id {
                return id;
            }
        }
    }

    fn hand_over(&mut self, id: ConnId, to: ShardId, bytes: Vec<u8>) {
        let conn = self.free(id.slot);
        let token = self.handovers.next % TOKEN_END;
        self.handovers.next += 1;
        let handover =
            Handover { token, listener: conn.listener, peer: conn.peer(), accepted_at: conn.last_seen, bytes };
        self.peers.send(to, Frame::Handover(Box::new(handover)));
        self.commands.push(Command::HandOver(id, to, token));
    }

    pub(super) fn on_adopted(&mut self, id: ConnId, from: ShardId, token: u64) {
        match self.handovers.waiting.remove(&(from, token)) {
            Some((Half::Frame(handover), _)) => self.adopt(id, &handover),
            _ => {
                self.handovers.waiting.insert((from, token), (Half::Socket(id), self.now.monotonic));
            }
        }
    }

    pub(super) fn on_handover(&mut self, from: ShardId, handover: Handover) {
        match self.handovers.waiting.remove(&(from, handover.token)) {
            Some((Half::Socket(id), _)) => self.adopt(id, &handover),
            Some((Half::Gone, _)) => self.shared.listener(handover.listener).closed(),
            _ => {
                self.handovers.waiting.insert((from, handover.token), (Half::Frame(handover), self.now.monotonic));
            }
        }
    }

    /// A socket that could not be taken here leaves its frame behind.
    pub(super) fn expire_handovers(&mut self) {
        let now = self.now.monotonic;
        let lost = |(_, since): &(Half, Millis)| now.since(*since) > HANDOVER_TIME_MAX;
        let gone: Vec<_> = self.handovers.waiting.extract_if(|_, half| lost(half)).map(|(_, (half, _))| half).collect();
        for half in gone {
            match half {
                Half::Frame(handover) => self.shared.listener(handover.listener).closed(),
                Half::Socket(id) => self.commands.push(Command::Close(id, Close::Now)),
                Half::Gone => {}
            }
        }
    }

    /// A socket is gone that was waiting for its frame.
    pub(super) fn on_gone_unknown(&mut self, id: ConnId) {
        let mut halves = self.handovers.waiting.values_mut().map(|(half, _)| half);
        if let Some(half) = halves.find(|half| matches!(half, Half::Socket(socket) if *socket == id)) {
            *half = Half::Gone;
            self.counters.add(Counter::ConnectionsClosedNetwork, 1);
        }
    }

    fn adopt(&mut self, id: ConnId, handover: &Handover) {
        if self.draining {
            self.shared.listener(handover.listener).closed();
            self.commands.push(Command::Close(id, Close::Now));
            return;
        }
        let until = handover.accepted_at.after(self.config.limits.connect_timeout.0);
        self.begin(id, handover.listener, handover.peer, until);
        // The PROXY header was read where the connection was accepted.
        self.conns.at(id.slot).phase = Phase::Connect;
        self.on_bytes(id, &handover.bytes);
    }

    fn check_connect(&mut self, id: ConnId, connect: &Connect<'_>) -> Result<(), Refusal> {
        let mqtt = &self.config.mqtt;
        let listener_id = self.conns.at(id.slot).listener;
        let listener_config = self.shared.listener_config(&self.config, listener_id);
        let listener = self.shared.listener(listener_id);
        if listener.open() > listener_config.max_connections {
            self.counters.add(Counter::ConnectsRefusedLimit, 1);
            self.counters.add(Counter::LimitHitsConnections, 1);
            let max = listener_config.max_connections;
            return Err(Refusal(ReasonCode::ServerBusy, format!("the listener has its max_connections of {max}")));
        }
        if !listener.connect_is_within(listener_config.max_connect_rate, self.now.monotonic) {
            self.counters.add(Counter::ConnectsRefusedRate, 1);
            self.counters.add(Counter::LimitHitsConnectRate, 1);
            let max = listener_config.max_connect_rate;
            return Err(Refusal(
                ReasonCode::ConnectionRateExceeded,
                format!("over max_connect_rate {max} a second; try again later"),
            ));
        }
        if self.shared.pressure() >= 1 {
            self.counters.add(Counter::ConnectsRefusedServerBusy, 1);
            self.counters.add(Counter::LimitHitsMemory, 1);
            return Err(Refusal(ReasonCode::QuotaExceeded, "the broker is at its memory watermark".into()));
        }
        let protocol = |reason, why: String| Err(Refusal(reason, why));
        let len = connect.client_id.len();
        if connect.client_id.is_empty()
            && (connect.version == ProtocolVersion::V31 || (!is_v5(connect.version) && !connect.clean_start))
        {
            return protocol(
                ReasonCode::ClientIdentifierNotValid,
                "an empty Client Identifier needs Clean Session 1 [3.1.1 MQTT-3.1.3-8]".into(),
            );
        }
        if len > usize::from(mqtt.max_client_id_length) {
            let max = mqtt.max_client_id_length;
            return protocol(
                ReasonCode::ClientIdentifierNotValid,
                format!("a Client Identifier of {len} bytes is over max_client_id_length {max}"),
            );
        }
        if let Some(method) = connect.properties.str(Property::AuthenticationMethod) {
            let method: String = method.chars().take(64).flat_map(char::escape_default).collect();
            return protocol(
                ReasonCode::BadAuthenticationMethod,
                format!("Authentication Method \"{method}\" is not configured; connect without one"),
            );
        }
        if let Some(will) = &connect.will {
            if will.qos as u8 > mqtt.maximum_qos {
                let max = mqtt.maximum_qos;
                return protocol(ReasonCode::QoSNotSupported, format!("the Will's QoS is over maximum_qos {max}"));
            }
            if will.retain && !mqtt.retain_available {
                return protocol(ReasonCode::RetainNotSupported, "retained messages are switched off".into());
            }
            // As a PUBLISH would be: who finds out after it has gone cannot be told.
            let judged = self.check_topic(will.topic).and_then(|()| {
                if will.topic.starts_with("$delayed/") { self.check_delayed(will.topic).map(drop) } else { Ok(()) }
            });
            if let Err((reason, why)) = judged {
                return protocol(reason, format!("the Will's topic: {why}"));
            }
        }
        Ok(())
    }

    /// Whether the client can take the CONNACK at all: nothing over its Maximum Packet Size is sent [MQTT-3.1.2-24].
    fn check_connack(&mut self, id: ConnId, connect: &Connect<'_>, client_id: &str) -> Result<(), Refusal> {
        let max = self.conns.at(id.slot).max_packet;
        if max == u32::MAX {
            return Ok(());
        }
        let expiry = self.granted_expiry(connect);
        let keep_alive = self.granted_keep_alive(connect);
        let properties = self.connack_properties(connect, client_id, expiry, keep_alive);
        let packet = Packet::ConnAck(ConnAck {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: properties.as_properties(),
        });
        let mut bytes = Vec::new();
        codec::encode(connect.version, &packet, &mut bytes);
        let len = bytes.len();
        if len as u64 > u64::from(max) {
            let why = format!("CONNACK has {len} bytes, Maximum Packet Size is {max}");
            return Err(Refusal(ReasonCode::PacketTooLarge, why));
        }
        Ok(())
    }

    fn accept_connect(&mut self, id: ConnId, connect: &Connect<'_>, client_id: &str) -> Flow {
        let v5 = is_v5(connect.version);
        let properties = connect.properties;
        let expiry = self.granted_expiry(connect);
        let mountpoint = self.conns.at(id.slot).mountpoint;

        let known = self.clients.find(client_id, mountpoint);
        let gone = if connect.clean_start { Cause::Discarded } else { Cause::TakenOver };
        if let Some(client) = known {
            self.take_over(client, gone);
        }
        // A session that did not outlive its last connection is gone now.
        let known = known.filter(|client| self.clients.get(*client).is_some());
        let (client, session_present) = match known {
            Some(client) if connect.clean_start => {
                self.end_session(client, gone);
                (self.new_client(client_id, connect.version, expiry, mountpoint), false)
            }
            Some(client) => (client, true),
            None => (self.new_client(client_id, connect.version, expiry, mountpoint), false),
        };
        self.end_absence(client);
        self.events.forget(client);
        self.counters.raise(Gauge::Connections, 1);
        self.counters.raise(Gauge::SessionsConnected, 1);

        let keep_alive = self.granted_keep_alive(connect);
        let will = self.will_of(connect, mountpoint);
        let receive_maximum = if v5 { properties.u16(Property::ReceiveMaximum).unwrap_or(u16::MAX) } else { u16::MAX };
        let state = self.clients.get_mut(client).expect("found or made above");
        state.conn = id.slot;
        if std::mem::replace(&mut state.no_echo, connect.bridge) != connect.bridge {
            self.router.changed();
        }
        state.ends_at = Millis::NEVER;
        state.will_at = Millis::NEVER;
        state.session.version = connect.version;
        state.session.expiry = expiry;
        state.session.will = will;
        state.session.inflight.set_limit(receive_maximum.min(self.config.mqtt.max_inflight));

        let alias_maximum = properties.u16(Property::TopicAliasMaximum).unwrap_or(0);
        let alias_maximum = alias_maximum.min(self.config.mqtt.topic_alias_maximum_out);
        let no_problem_information = properties.u8(Property::RequestProblemInformation) == Some(0);
        let conn = self.conns.at(id.slot);
        conn.phase = Phase::Connected;
        conn.client = client;
        conn.keep_alive = keep_alive;
        conn.asked_no_expiry = properties.u32(Property::SessionExpiryInterval).unwrap_or(0) == 0;
        if alias_maximum > 0 || no_problem_information || connect.username.is_some() {
            conn.extras = Some(Box::new(Extras {
                outbound: (alias_maximum > 0).then(|| OutboundAliases::new(alias_maximum)),
                no_problem_information,
                username: connect.username.map(Into::into),
                ..Extras::default()
            }));
        }
        if keep_alive > 0 {
            let deadline = self.keep_alive_deadline(id.slot);
            self.wake_keep_alive(id, deadline);
        }
        if self.shared.placement.shards() > 1 {
            self.commands.push(Command::Receive(id));
        }
        self.send_connack(id, connect, client_id, session_present, expiry, keep_alive);
        if self.events.wants_any(COMING) {
            self.raise_coming(id, connect, client_id, Granted { session_present, expiry, keep_alive });
        }
        if session_present {
            self.resume(client);
        }
        Flow::Next
    }

    fn new_client(&mut self, client_id: &str, version: ProtocolVersion, expiry: u32, mountpoint: u16) -> u32 {
        // The same for each session of that client, so that No Local knows its older messages too; 0 is the broker.
        let hasher = FixedState::with_seed(self.shared.seed);
        let key = hasher.hash_one((client_id, self.shared.mountpoint(mountpoint))).max(1);
        self.clients.insert(Session::new(client_id, key, version, expiry), mountpoint)
    }

    /// Session Expiry Interval in seconds: what was asked for, at most `sessions.max_expiry`.
    pub(super) fn granted_expiry(&self, connect: &Connect<'_>) -> u32 {
        let sessions = &self.config.sessions;
        if is_v5(connect.version) {
            self.bounded_expiry(connect.properties.u32(Property::SessionExpiryInterval).unwrap_or(0))
        } else if connect.clean_start {
            0
        } else {
            u32::try_from(sessions.v3_expiry.0.as_secs()).unwrap_or(NEVER_EXPIRES)
        }
    }

    pub(super) fn bounded_expiry(&self, asked: u32) -> u32 {
        let longest = u32::try_from(self.config.sessions.max_expiry.0.as_secs()).unwrap_or(NEVER_EXPIRES);
        asked.min(longest)
    }

    /// Keep Alive in seconds. Only version 5.0 can be told another one than it asked for (Server Keep Alive), and what a
    /// client has not been told it cannot keep: before that its own value holds, 0 too.
    fn granted_keep_alive(&self, connect: &Connect<'_>) -> u16 {
        let asked = connect.keep_alive;
        let longest = self.config.mqtt.max_keep_alive;
        let is_over = longest != 0 && (asked == 0 || asked > longest);
        if is_over && is_v5(connect.version) { longest } else { asked }
    }

    fn will_of(&mut self, connect: &Connect<'_>, mountpoint: u16) -> Option<Box<Will>> {
        let will = connect.will.as_ref()?;
        let mut scratch = Vec::new();
        let properties = codec::publish::forwardable(will.properties, &mut scratch);
        let mut mounted = String::new();
        let topic = self.mount_topic(mountpoint, will.topic, &mut mounted);
        let head = MessageHead { qos: will.qos, retain: will.retain, expires_at: Millis::NEVER, publisher: 0 };
        Some(Box::new(Will {
            message: Message::new(&MessageView { head, topic, properties, payload: will.payload }),
            delay: will.properties.u32(Property::WillDelayInterval).unwrap_or(0),
            expiry: will.properties.u32(Property::MessageExpiryInterval),
        }))
    }

    fn send_connack(
        &mut self,
        id: ConnId,
        connect: &Connect<'_>,
        client_id: &str,
        session_present: bool,
        expiry: u32,
        keep_alive: u16,
    ) {
        let properties = self.connack_properties(connect, client_id, expiry, keep_alive);
        let packet = Packet::ConnAck(ConnAck {
            // MQTT 3.1 has no Session Present; the bit is reserved there.
            session_present: session_present && connect.version != ProtocolVersion::V31,
            reason_code: ReasonCode::Success,
            properties: properties.as_properties(),
        });
        self.encode(id.slot, &packet);
        self.counters.add(Counter::PacketsSentConnack, 1);
    }

    /// What the CONNACK of an accepted connection says; nothing before version 5.
    fn connack_properties(
        &self,
        connect: &Connect<'_>,
        client_id: &str,
        expiry: u32,
        keep_alive: u16,
    ) -> PropertiesBuf {
        let mut properties = PropertiesBuf::default();
        if is_v5(connect.version) {
            let mqtt = &self.config.mqtt;
            if expiry != connect.properties.u32(Property::SessionExpiryInterval).unwrap_or(0) {
                properties.push_u32(Property::SessionExpiryInterval, expiry);
            }
            properties.push_u16(Property::ReceiveMaximum, mqtt.receive_maximum);
            if mqtt.maximum_qos < 2 {
                properties.push_u8(Property::MaximumQoS, mqtt.maximum_qos);
            }
            if !mqtt.retain_available {
                properties.push_u8(Property::RetainAvailable, 0);
            }
            properties.push_u32(Property::MaximumPacketSize, mqtt.max_packet_size.0 as u32);
            if connect.client_id.is_empty() {
                properties.push_str(Property::AssignedClientIdentifier, client_id);
            }
            if mqtt.topic_alias_maximum > 0 {
                properties.push_u16(Property::TopicAliasMaximum, mqtt.topic_alias_maximum);
            }
            if !mqtt.wildcard_subscription_available {
                properties.push_u8(Property::WildcardSubscriptionAvailable, 0);
            }
            if !mqtt.shared_subscription_available {
                properties.push_u8(Property::SharedSubscriptionAvailable, 0);
            }
            if keep_alive != connect.keep_alive {
                properties.push_u16(Property::ServerKeepAlive, keep_alive);
            }
            if !mqtt.response_information.is_empty()
                && connect.properties.u8(Property::RequestResponseInformation) == Some(1)
            {
                properties.push_str(Property::ResponseInformation, &mqtt.response_information);
            }
        }
        properties
    }

    /// Sends again what was under way [MQTT-4.4.0-1], then what waits.
    fn resume(&mut self, client: u32) {
        if let Some(state) = self.clients.get_mut(client) {
            state.session.inflight.resume();
        }
        self.set_presence(client, true);
        self.pump(client);
    }

    /// Answers a CONNECT that cannot be decoded as well as its version allows, then closes.
    fn refuse_malformed(&mut self, id: ConnId, packet: &[u8], error: &DecodeError) -> Flow {
        self.conns.at(id.slot).version = match connect_level(packet) {
            Some(3) => ProtocolVersion::V31,
            Some(4) => ProtocolVersion::V311,
            // Levels above 5 are answered in the newest version that is known.
            Some(level) if level & 0x7F >= 5 => ProtocolVersion::V5,
            _ => ProtocolVersion::V311,
        };
        self.refuse(id, error.reason_code(), &error.to_string(), None)
    }

    /// CONNACK with an error, then the end of the connection [MQTT-3.2.2-7].
    fn refuse(&mut self, id: ConnId, reason: ReasonCode, why: &str, connect: Option<(&Connect<'_>, &str)>) -> Flow {
        let version = self.conns.at(id.slot).version;
        match reason {
            ReasonCode::ServerBusy | ReasonCode::ConnectionRateExceeded | ReasonCode::QuotaExceeded => {}
            _ => self.counters.add(Counter::ConnectsRefusedProtocol, 1),
        }
        tracing::debug!(event = "connect-refused", peer = %self.conns.at(id.slot).peer(), reason = reason.name(), "{why}");
        // Version 3 has no return code for a malformed CONNECT: the connection is closed without an answer.
        let answerable = is_v5(version) || !matches!(reason, ReasonCode::MalformedPacket | ReasonCode::ProtocolError);
        let answerable = answerable && self.fits(id.slot, CONNACK_BYTES_MIN);
        if answerable {
            let mut properties = PropertiesBuf::default();
            if is_v5(version) && self.fits(id.slot, CONNACK_BYTES_MIN + REASON_STRING_BYTES + why.len()) {
                properties.push_str(Property::ReasonString, why);
            }
            let packet =
                ConnAck { session_present: false, reason_code: reason, properties: properties.as_properties() };
            self.encode(id.slot, &Packet::ConnAck(packet));
            self.counters.add(Counter::PacketsSentConnack, 1);
            if self.events.wants(Event::ClientConnack) {
                self.raise_refused(id, connect, reason);
            }
        }
        self.discard(id, if answerable { Close::Linger } else { Close::Now });
        Flow::Stop
    }

    /// Ends a connection that has no session, after what it has in its output.
    pub(super) fn discard(&mut self, id: ConnId, how: Close) {
        let conn = self.free(id.slot);
        debug_assert_eq!(conn.client, NONE);
        self.shared.listener(conn.listener).closed();
        if how == Close::Linger && !conn.out.is_empty() {
            self.commands.push(Command::Send(id, conn.out));
        }
        self.commands.push(Command::Close(id, how));
    }

    /// Whether a topic may be published to by a client, in a PUBLISH or as a Will. The codec has seen its characters.
    #[inline]
    pub(super) fn check_topic(&mut self, topic: &str) -> Result<(), (ReasonCode, String)> {
        let limits = self.topic_limits();
        if let Err(error) = TopicName::within(topic, limits) {
            match error {
                NameError::TooDeep { .. } => self.counters.add(Counter::LimitHitsTopicLevels, 1),
                NameError::TooLong { .. } => self.counters.add(Counter::LimitHitsTopicBytes, 1),
                _ => {}
            }
            return Err((ReasonCode::TopicNameInvalid, error.to_string()));
        }
        if topic.as_bytes().first() == Some(&b'$') && !topic.starts_with("$delayed/") {
            return Err((
                ReasonCode::NotAuthorized,
                "topics that begin with $ belong to the broker; clients may publish to $delayed/{seconds}/{topic} only"
                    .into(),
            ));
        }
        Ok(())
    }
}

/// The Protocol Level of a CONNECT that may be malformed elsewhere.
fn connect_level(packet: &[u8]) -> Option<u8> {
    let header = FixedHeader::parse(packet).ok()??;
    let body = packet.get(header.header_len.into()..)?;
    let name = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    body.get(2 + name).copied()
}
