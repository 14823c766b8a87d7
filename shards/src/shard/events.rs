//! Events: which rules want what happens to clients and sessions, and telling them.
//!
//! Invariants: nothing is built before it is known that a rule wants it; where no rule does, an event is one branch.
//! Not here: what happens to messages (`message_events.rs`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::RandomState;
use millrace_core::codec::properties::{Carrier, Properties, Property};
use millrace_core::packet::{Connect, ProtocolVersion, QoS};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::outbox::Queued;
use millrace_core::topic::filter::Share;
use millrace_core::value::Value;
use millrace_rules::fields::{Event, EventField};
use millrace_rules::{EventView, Given, Rule};
use smallvec::SmallVec;

use super::client::Clients;
use super::connection::{Conn, Conns, NONE};
use super::give_back::shrink_table;
use super::io::ConnId;
use super::lifecycle::Cause;
use super::rule_stage::Ear;
use super::{Shard, sys_topics};

/// The fields of an event, on the stack.
pub(super) type Fields<'a> = SmallVec<[(EventField, Given<'a>); 16]>;

const fn bit(event: Event) -> u32 {
    1 << event as u32
}

/// A client was accepted.
pub(super) const COMING: u32 =
    bit(Event::ClientConnected) | bit(Event::SessionCreated) | bit(Event::SessionResumed) | bit(Event::ClientConnack);
/// What becomes of a delivery at once.
pub(super) const DELIVERIES: u32 = bit(Event::MessageDelivered) | bit(Event::DeliveryDropped);
/// A message that nobody gets.
pub(super) const UNHEARD: u32 = bit(Event::MessageDropped) | bit(Event::DeliveryDropped);
/// What becomes of a message, for which it needs a [`super::mark::Mark`].
pub(super) const MARKED: u32 = DELIVERIES | bit(Event::MessageAcked) | bit(Event::MessageDropped);

/// What is told of clients that are away: the end of their sessions, what does not reach them, their Wills.
const AWAY: u32 = bit(Event::SessionTerminated) | MARKED;
/// A client went.
pub(super) const GOING: u32 = bit(Event::ClientDisconnected) | AWAY;

/// Which rules want which event, and what has to be kept for them.
#[derive(Default)]
pub(super) struct Events {
    /// The events that any rule wants, as bits.
    wanted: u32,
    rules: [SmallVec<[u32; 2]>; Event::COUNT],
    /// Clients that are away, while a rule may ask who they are.
    away: HashMap<u32, Left, RandomState>,
    /// Deliveries that were dropped from a queue, to be told of at once.
    pub(super) gone: Vec<Queued>,
    /// Scratch for a mark.
    pub(super) mark: Vec<u8>,
}

/// What a connection left behind.
struct Left {
    username: Option<Box<str>>,
    host: IpAddr,
}

/// A client as rules see it.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) client_id: &'a str,
    pub(super) username: Option<&'a str>,
    pub(super) host: Option<IpAddr>,
}

impl Events {
    /// From now on these rules, by their numbers, want events.
    pub(super) fn register<'r>(&mut self, rules: impl Iterator<Item = (u32, &'r Rule)>) {
        *self = Self { away: std::mem::take(&mut self.away), ..Self::default() };
        for (number, rule) in rules {
            for event in rule.events().filter(|event| *event != Event::MessagePublish) {
                self.wanted |= bit(event);
                self.rules[event as usize].push(number);
            }
        }
        if !self.wants_any(AWAY) {
            self.away = HashMap::default();
        }
    }

    /// Whether any rule wants it.
    #[inline]
    pub(super) const fn wants(&self, event: Event) -> bool {
        self.wanted & bit(event) != 0
    }

    /// Whether any rule wants any of these.
    #[inline]
    pub(super) const fn wants_any(&self, events: u32) -> bool {
        self.wanted & events != 0
    }

    /// A client is not away any more, or its session is over.
    pub(super) fn forget(&mut self, client: u32) {
        if !self.away.is_empty() {
            self.away.remove(&client);
        }
    }

    /// Lets go of room that is not needed any more; whether there was any.
    pub(super) fn give_back(&mut self) -> bool {
        shrink_table(&mut self.away)
    }

    /// Who a client of this shard is.
    pub(super) fn who<'a>(&'a self, clients: &'a Clients, conns: &'a Conns, client: u32) -> Option<Who<'a>> {
        let state = clients.get(client)?;
        let client_id = &*state.session.client_id;
        if state.conn != NONE {
            let conn = conns.look(state.conn);
            return Some(Who { client_id, username: conn.username(), host: Some(conn.ip) });
        }
        let left = self.away.get(&client);
        let username = left.and_then(|left| left.username.as_deref());
        Some(Who { client_id, username, host: left.map(|left| left.host) })
    }

    /// Runs the rules that want an event.
    pub(super) fn raise(&self, ear: Ear<'_>, event: Event, fields: &[(EventField, Given<'_>)]) {
        let view = EventView { event, unix_ms: ear.now.unix.0, node: sys_topics::NODE, fields };
        ear.hear(&self.rules[event as usize], view);
    }
}

impl<'a> Who<'a> {
    /// Who it is.
    pub(super) fn fields(self) -> Fields<'a> {
        let mut fields = Fields::new();
        fields.push((EventField::ClientId, Given::Text(self.client_id)));
        fields.push((EventField::Username, text(self.username)));
        fields.push((EventField::PeerHost, self.host.map_or(NOTHING, Given::Host)));
        fields
    }
}

/// A field of which nothing is known.
pub(super) const NOTHING: Given<'static> = Given::Value(Value::Null);

pub(super) fn text(text: Option<&str>) -> Given<'_> {
    text.map_or(NOTHING, Given::Text)
}

pub(super) const fn int(value: u64) -> Given<'static> {
    Given::Value(Value::Int(value as i64))
}

const fn flag(value: bool) -> Given<'static> {
    Given::Value(Value::Bool(value))
}

/// What is told of a connection in each event about one.
fn connection<'a>(client_id: &'a str, username: Option<&'a str>, conn: &Conn, sockname: SocketAddr) -> Fields<'a> {
    let proto_name = if conn.version == ProtocolVersion::V31 { "MQIsdp" } else { "MQTT" };
    let mut fields = Fields::new();
    fields.extend([
        (EventField::ClientId, Given::Text(client_id)),
        (EventField::Username, text(username)),
        (EventField::PeerName, Given::Socket(conn.peer())),
        (EventField::SockName, Given::Socket(sockname)),
        (EventField::ProtoName, Given::Text(proto_name)),
        (EventField::ProtoVer, int(conn.version as u64)),
    ]);
    fields
}

/// What came of a CONNECT that was accepted.
#[derive(Clone, Copy)]
pub(super) struct Granted {
    pub(super) session_present: bool,
    pub(super) expiry: u32,
    pub(super) keep_alive: u16,
}

impl Shard {
    /// A client was accepted: its session, its connection, its CONNACK.
    #[cold]
    pub(super) fn raise_coming(&mut self, id: ConnId, connect: &Connect<'_>, client_id: &str, granted: Granted) {
        let Self { events, rules, rule_scratch, counters, conns, shared, now, .. } = self;
        let conn = conns.look(id.slot);
        let session = if granted.session_present { Event::SessionResumed } else { Event::SessionCreated };
        let expiry = (EventField::ExpiryInterval, int(granted.expiry.into()));
        let clean_start = (EventField::CleanStart, flag(connect.clean_start));
        if events.wants(session) {
            let mut fields = Who { client_id, username: connect.username, host: Some(conn.ip) }.fields();
            fields.extend([clean_start.clone(), expiry.clone()]);
            events.raise(Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None }, session, &fields);
        }
        if !events.wants(Event::ClientConnected) && !events.wants(Event::ClientConnack) {
            return;
        }
        let receive_maximum = connect.properties.u16(Property::ReceiveMaximum).unwrap_or(u16::MAX);
        let mountpoint = Some(shared.mountpoint(conn.mountpoint)).filter(|mountpoint| !mountpoint.is_empty());
        let sockname = shared.address_of(&self.config, conn.listener);
        let mut fields = connection(client_id, connect.username, conn, sockname);
        fields.extend([
            clean_start,
            expiry,
            (EventField::Keepalive, int(granted.keep_alive.into())),
            (EventField::ConnProps, Given::Properties(connect.properties.raw(), Carrier::Connect)),
            (EventField::Mountpoint, text(mountpoint)),
            (EventField::ReceiveMaximum, int(receive_maximum.into())),
            (EventField::IsBridge, flag(connect.bridge)),
            (EventField::ConnectedAt, int(now.unix.0)),
            (EventField::ReasonCode, Given::Text("success")),
        ]);
        for event in [Event::ClientConnected, Event::ClientConnack] {
            if events.wants(event) {
                events.raise(Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None }, event, &fields);
            }
        }
    }

    /// A CONNECT was answered with an error; of one that could not be decoded there is no packet.
    #[cold]
    pub(super) fn raise_refused(&mut self, id: ConnId, connect: Option<(&Connect<'_>, &str)>, reason: ReasonCode) {
        let (expiry, keep_alive) =
            connect.map_or((0, 0), |(connect, _)| (self.granted_expiry(connect), connect.keep_alive));
        let Self { events, rules, rule_scratch, counters, conns, shared, now, .. } = self;
        let conn = conns.look(id.slot);
        let sockname = shared.address_of(&self.config, conn.listener);
        let reason = reason.word();
        let username = connect.and_then(|(connect, _)| connect.username);
        let mut fields = connection(connect.map_or("", |(_, client_id)| client_id), username, conn, sockname);
        fields.push((EventField::ReasonCode, Given::Text(&reason)));
        if let Some((connect, _)) = connect {
            fields.extend([
                (EventField::CleanStart, flag(connect.clean_start)),
                (EventField::ExpiryInterval, int(expiry.into())),
                (EventField::Keepalive, int(keep_alive.into())),
                (EventField::ConnProps, Given::Properties(connect.properties.raw(), Carrier::Connect)),
            ]);
        }
        events.raise(
            Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None },
            Event::ClientConnack,
            &fields,
        );
    }

    /// A connection is over that has just been freed.
    #[cold]
    pub(super) fn raise_going(&mut self, conn: &Conn, cause: Cause, properties: Properties<'_>) {
        let Self { events, rules, rule_scratch, counters, clients, shared, now, .. } = self;
        if events.wants_any(AWAY) {
            let username = conn.username().map(Into::into);
            events.away.insert(conn.client, Left { username, host: conn.ip });
        }
        let Some(client) = clients.get(conn.client) else { return };
        if events.wants(Event::ClientDisconnected) {
            let sockname = shared.address_of(&self.config, conn.listener);
            let reason = cause.word();
            let mut fields = connection(&client.session.client_id, conn.username(), conn, sockname);
            fields.extend([
                (EventField::Reason, Given::Text(&reason)),
                (EventField::DisconnProps, Given::Properties(properties.raw(), Carrier::Disconnect)),
                (EventField::DisconnectedAt, int(now.unix.0)),
            ]);
            events.raise(
                Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None },
                Event::ClientDisconnected,
                &fields,
            );
        }
    }

    /// A session is about to end.
    #[cold]
    pub(super) fn raise_terminated(&mut self, client: u32, cause: Cause) {
        let Self { events, rules, rule_scratch, counters, clients, conns, now, .. } = self;
        let Some(who) = events.who(clients, conns, client) else { return };
        let reason: Cow<'_, str> = cause.word();
        let mut fields = who.fields();
        fields.push((EventField::Reason, Given::Text(&reason)));
        events.raise(
            Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None },
            Event::SessionTerminated,
            &fields,
        );
    }

    #[cold]
    pub(super) fn raise_ping(&mut self, id: ConnId) {
        let Self { events, rules, rule_scratch, counters, clients, conns, shared, now, .. } = self;
        let conn = conns.look(id.slot);
        let Some(client) = clients.get(conn.client) else { return };
        let sockname = shared.address_of(&self.config, conn.listener);
        let mut fields = connection(&client.session.client_id, conn.username(), conn, sockname);
        fields.push((EventField::Keepalive, int(conn.keep_alive.into())));
        events.raise(
            Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None },
            Event::ClientPing,
            &fields,
        );
    }

    /// A client has a subscription, or has it no more. The filter is told as messages are: with the mountpoint.
    #[cold]
    pub(super) fn raise_subscription(
        &mut self,
        event: Event,
        client: u32,
        filter: &str,
        qos: QoS,
        properties: Properties<'_>,
    ) {
        let Self { events, rules, rule_scratch, counters, clients, conns, shared, now, .. } = self;
        let Some(who) = events.who(clients, conns, client) else { return };
        let mountpoint = clients.get(client).map_or("", |client| shared.mountpoint(client.mountpoint));
        let (_, own) = Share::split(filter);
        let mounted = [&filter[..filter.len() - own.len()], mountpoint, own].concat();
        let mut fields = who.fields();
        fields.extend([
            (EventField::Topic, Given::Text(&mounted)),
            (EventField::Qos, int(qos as u64)),
            (EventField::SubProps, Given::Properties(properties.raw(), Carrier::Subscribe)),
            (EventField::UnsubProps, Given::Properties(properties.raw(), Carrier::Unsubscribe)),
        ]);
        events.raise(Ear { rules, scratch: rule_scratch, counters, now: *now, trail: None }, event, &fields);
    }
}
