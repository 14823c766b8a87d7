//! How connections come: the ramp, and the handshake with its deadline.

use millrace_core::codec::encode;
use millrace_core::codec::properties::Property;
use millrace_core::packet::{ConnAck, Connect, Packet, PacketId, QoS, SubAck, Subscribe, SubscriptionOptions, Will};
use millrace_core::reason_code::ReasonCode;

use super::conn::{Role, State};
use super::{Berth, Stage, Swarm};
use crate::plan::{Audience, Story};
use crate::uring::ConnId;

/// Connections of one worker that may be under way although a rate is held: more would only measure our own queue.
const PENDING_MAX: u64 = 4096;
/// Connects begun in one step, so that answers are looked at in between.
const STEP_MAX: u32 = 64;

/// How far the ramp is.
#[derive(Default)]
pub(super) struct RampState {
    start: u64,
    /// The next slot to connect, and the one behind the last.
    next: u32,
    end: u32,
    /// Nanoseconds between two connects of this worker; 0 for as fast as they are answered.
    period: f64,
    pub(super) pending: u64,
    /// When too many were last under way to begin another.
    held: u64,
}

impl Swarm {
    pub(super) fn ramp_begin(&mut self, first: u32, end: u32, now: u64) {
        (self.ramp.next, self.ramp.end) = (first, end);
        let workers = f64::from(self.plan.workers);
        self.ramp.period = self.plan.ramp.rate.map_or(0.0, |rate| 1e9 * workers / rate);
        self.ramp.start = now + (self.ramp.period * f64::from(self.worker) / workers) as u64;
    }

    /// Begins the connections that are due and gives up those that take too long.
    pub(super) fn ramp_step(&mut self, now: u64) -> u64 {
        let pending_max = if self.ramp.period > 0.0 { PENDING_MAX } else { u64::from(self.plan.ramp.pending) };
        let mut budget = STEP_MAX;
        let mut next = u64::MAX;
        while self.ramp.next < self.ramp.end {
            let due = self.ramp.start + (self.ramp.period * f64::from(self.ramp.next)) as u64;
            match self.conns[self.ramp.next as usize].state {
                State::Waiting => {}
                // Its end will be an event, and bring us here again.
                State::Leaving | State::Dropping => break,
                _ => {
                    self.ramp.next += 1;
                    continue;
                }
            }
            if due > now {
                next = due;
                break;
            }
            if self.ramp.pending >= pending_max {
                self.ramp.held = now;
                break;
            }
            if budget == 0 {
                next = now;
                break;
            }
            budget -= 1;
            let slot = self.ramp.next;
            self.ramp.next += 1;
            let mut since = now;
            if self.ramp.period > 0.0 {
                since = due;
                if self.plan.publishers == 0 {
                    // What waited for the broker is not our lateness.
                    self.stats.latencies.lag.saturating_record(now - due.max(self.ramp.held));
                }
            }
            self.begin(slot, since, now);
        }
        while let Some((deadline, conn)) = self.handshakes.front().copied() {
            if deadline > now {
                next = next.min(deadline);
                break;
            }
            self.handshakes.pop_front();
            let timeout = self.plan.ramp.timeout.as_nanos() as u64;
            // It may have got there, and be on another errand by now.
            let Some(met) = self.met(conn).filter(|met| deadline >= met.since + timeout) else { continue };
            match met.state {
                State::Connecting | State::Greeting | State::Subscribing => {
                    self.stats.error("timeout: not ready in time".to_owned());
                    self.give_up(conn.slot);
                }
                State::Leaving => {
                    self.stats.error("timeout: not closed by the broker after DISCONNECT".to_owned());
                    self.close_for_now(conn.slot);
                }
                _ => {}
            }
        }
        next
    }

    pub(super) fn begin(&mut self, slot: u32, since: u64, now: u64) {
        self.ramp.pending += 1;
        self.stats.counts.begun += 1;
        let conn = &mut self.conns[slot as usize];
        conn.state = State::Connecting;
        conn.since = since;
        let id = self.id_of(slot);
        self.orders.connects.push(id);
        self.handshakes.push_back((now + self.plan.ramp.timeout.as_nanos() as u64, id));
    }

    /// The source address of a connection, and which of the targets it goes to.
    pub(crate) fn route(&self, conn: ConnId) -> (usize, Option<std::net::IpAddr>) {
        let Berth { base, worker, workers } = self.berth;
        let client = (base + conn.slot) as usize * workers as usize + worker as usize;
        let ramp = &self.plan.ramp;
        let source = (!ramp.sources.is_empty()).then(|| ramp.sources[client % ramp.sources.len()]);
        // One target after the other would pair each with the same source addresses for ever.
        (client / ramp.sources.len().max(1) % ramp.targets.len(), source)
    }

    /// connect() could not be begun.
    pub(crate) fn connect_failed(&mut self, conn: ConnId, error: &std::io::Error) {
        self.stats.error(format!("connect: {error}"));
        if let Some(met) = self.met(conn) {
            met.state = State::Gone;
            met.generation += 1;
            self.ramp.pending -= 1;
            if self.may_come_back(conn.slot, false) {
                self.conns[conn.slot as usize].state = State::Waiting;
            } else {
                self.stats.counts.failed += 1;
            }
        }
    }

    pub(crate) fn connected(&mut self, conn: ConnId, error: i32, now: u64) {
        let Some(met) = self.met(conn) else { return };
        match (met.state, error) {
            (State::Connecting, 0) => {
                met.state = State::Greeting;
                met.armed = true;
                self.orders.receives.push(conn);
                self.greet(conn.slot);
                if self.plan.identity.keep_alive > 0 {
                    self.pulse.push_back((now + self.pulse_period(), conn));
                }
            }
            (State::Connecting, error) => {
                self.stats.error(format!("connect: {}", std::io::Error::from_raw_os_error(error)));
                met_closing(self, conn);
            }
            _ => self.close_if_quiet(conn.slot),
        }
    }

    fn greet(&mut self, slot: u32) {
        let plan = &self.plan;
        let identity = &plan.identity;
        let client = self.client_of(slot);
        let client_id = plan.client_id(client);
        let mut properties = identity.properties.clone();
        let keeps = plan.story == Story::Offline && slot < self.subscribers;
        if identity.version.is_v5() && identity.session_expiry > 0 && (keeps || plan.story != Story::Offline) {
            properties.push_u32(Property::SessionExpiryInterval, identity.session_expiry);
        }
        let render = |template| plan.render(template, client, 0);
        let username = identity.username.as_ref().map(render);
        let password = identity.password.as_ref().map(render);
        let will_topic = identity.will.as_ref().map(|will| render(&will.topic));
        let will = identity.will.as_ref().zip(will_topic.as_deref()).map(|(will, topic)| Will {
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.as_properties(),
            topic,
            payload: &will.payload,
        });
        let connect = Connect {
            version: identity.version,
            bridge: false,
            clean_start: identity.clean_start && !keeps,
            keep_alive: identity.keep_alive,
            properties: properties.as_properties(),
            client_id: &client_id,
            will,
            username: username.as_deref(),
            password: password.as_deref().map(str::as_bytes),
        };
        let out = self.outbox.of(slot, &mut self.conns[slot as usize]);
        encode(identity.version, &Packet::Connect(Box::new(connect)), out);
    }

    pub(super) fn connack(&mut self, slot: u32, connack: &ConnAck<'_>, now: u64) {
        if self.conns[slot as usize].state != State::Greeting {
            return self.breach(slot, "CONNACK again");
        }
        if connack.reason_code != ReasonCode::Success {
            self.stats.error(format!("refused: {}", connack.reason_code));
            return self.give_up(slot);
        }
        let latency = now.saturating_sub(self.conns[slot as usize].since);
        let returns = self.has_come_back(slot) || matches!(self.stage, Some(Stage::Back(_)));
        match returns {
            true => self.stats.latencies.reconnect.saturating_record(latency),
            false => self.stats.latencies.connect.saturating_record(latency),
        }
        self.stats.counts.resumed += u64::from(connack.session_present);
        let receive_maximum = connack.properties.u16(Property::ReceiveMaximum).unwrap_or(u16::MAX);
        match &mut self.conns[slot as usize].role {
            Role::Publisher(publisher) => {
                publisher.receive_maximum = receive_maximum;
                publisher.alias_maximum = connack.properties.u16(Property::TopicAliasMaximum).unwrap_or(0);
                let session_present = connack.session_present;
                self.forget_aliases(slot);
                self.ready(slot);
                self.send_again_all(slot, session_present);
            }
            Role::Subscriber(subscriber) => {
                if !connack.session_present
                    && let Some(subscriber) = subscriber
                {
                    subscriber.unreleased.clear();
                }
                let waits = self.plan.story == Story::Retained || connack.session_present;
                if slot < self.subscribers && self.plan.filter.is_some() && !waits {
                    self.subscribe(slot)
                } else {
                    self.ready(slot)
                }
            }
        }
    }

    pub(super) fn subscribe(&mut self, slot: u32) {
        let plan = &self.plan;
        let version = plan.identity.version;
        let Some(filter) = &plan.filter else { return };
        let mut filter = plan.render(filter, self.client_of(slot), 0);
        if plan.audience == Audience::Group {
            filter = format!("$share/{}group/{filter}", plan.identity.prefix);
        }
        let options = SubscriptionOptions { qos: plan.subscribe_qos, ..plan.subscription.options };
        let properties = plan.subscription.properties.as_properties();
        let subscribe = Subscribe { packet_id: PacketId::MIN, properties, filters: vec![(&filter, options)] };
        let conn = &mut self.conns[slot as usize];
        conn.state = State::Subscribing;
        encode(version, &Packet::Subscribe(subscribe), self.outbox.of(slot, conn));
    }

    pub(super) fn suback(&mut self, slot: u32, suback: &SubAck<'_>) {
        if self.conns[slot as usize].state != State::Subscribing {
            return self.breach(slot, "SUBACK without SUBSCRIBE");
        }
        match suback.reason_codes.first() {
            Some(code) if code.is_error() => {
                self.stats.error(format!("subscribe refused: {code}"));
                self.give_up(slot);
            }
            Some(code) => {
                if QoS::from_u8(*code as u8).is_some_and(|granted| granted < self.plan.subscribe_qos) {
                    self.stats.error(format!("subscribed with less than asked: {code}"));
                }
                self.ready(slot);
            }
            None => self.breach(slot, "SUBACK without a code"),
        }
    }

    fn ready(&mut self, slot: u32) {
        self.conns[slot as usize].state = State::Ready;
        self.ramp.pending -= 1;
        match self.has_come_back(slot) || matches!(self.stage, Some(Stage::Back(_))) {
            true => self.stats.counts.returned += 1,
            false => self.stats.counts.ready += 1,
        }
        self.stats.counts.open += 1;
        if matches!(self.conns[slot as usize].role, Role::Publisher(_)) {
            self.make_head(slot);
            self.look_at(slot);
        }
    }
}

/// A connect that failed leaves a descriptor on which nothing is in flight.
fn met_closing(swarm: &mut Swarm, conn: ConnId) {
    swarm.ramp.pending -= 1;
    let again = swarm.may_come_back(conn.slot, false);
    swarm.stats.counts.failed += u64::from(!again);
    swarm.conns[conn.slot as usize].state = if again { State::Dropping } else { State::Closing };
    swarm.order_close(conn);
}
