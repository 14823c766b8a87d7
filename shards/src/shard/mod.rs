//! Shard: events in, bytes and mesh frames out; synchronous, knows no socket and no clock.
//!
//! One shard is the whole broker for its clients. What each part does:
//! `connect` from the first byte to CONNACK, `publish` what a client sends in, `route` who gets it, `subscriptions`
//! who wants what, `groups` whose turn it is, `retained` what is kept for later, `lifecycle` how a connection and a
//! session end, `rule_stage` what rules make of a message, `events` and `message_events` what else they are told,
//! `republished` what they publish, `peers` and `replies` what goes to other shards and what waits for them.

mod census;
mod client;
mod connect;
mod connection;
mod delayed;
mod events;
pub mod frame;
mod give_back;
mod groups;
pub mod io;
mod lifecycle;
pub mod logic;
mod mark;
mod message_events;
mod outputs;
mod peers;
mod proxy;
mod publish;
mod replies;
mod republished;
mod retained;
mod route;
mod rule_actions;
mod rule_change;
mod rule_stage;
mod shared;
mod slab;
mod subscribers;
mod subscriptions;
mod sys_topics;
pub mod tap;
mod throttle;
pub mod timer_wheel;

use std::sync::Arc;

use bytes::Bytes;
use millrace_core::codec::{self, Direction, FixedHeader};
use millrace_core::message::Memory;
use millrace_core::metrics::{Counter, Counters, Gauge};
use millrace_core::packet::{Packet, ProtocolVersion};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::QueueLimits;
use millrace_core::time::{Millis, Time};
use millrace_core::topic::routes::RouteTable;
use millrace_core::topic::trie::FilterTrie;
use millrace_rules::fields::Event;

use client::Clients;
use connection::{Conn, Conns, Cut, NONE, Pause, Phase};
use delayed::Delayed;
use frame::Frame;
use groups::Groups;
use io::{Accepted, Close, ConnId, Gone, Output, ShardId};
use logic::Work;
use outputs::Outputs;
use peers::Peers;
use replies::{Replies, Reply};
use retained::RetainedStore;
use route::Router;
use timer_wheel::TimerWheel;

pub use census::Census;
pub use rule_change::RuleNumbers;
pub use rule_stage::{RowPort, RuleSet};
pub use shared::{Control, Shared};

use crate::config::{QueueFull, ShardsConfig};
use crate::send_buffer::SendBuffer;

/// Replies of one connection that wait for other shards; more, and reading from it stops.
const HELD_REPLIES_MAX: u32 = 4096;

/// What is asked of the runtime at the end of the turn, in this order.
#[derive(Debug)]
enum Command {
    Send(ConnId, SendBuffer),
    Close(ConnId, Close),
    ReceiveOnce(ConnId),
    Receive(ConnId),
    Pause(ConnId),
    HandOver(ConnId, ShardId, u64),
}

/// What a timer is about.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// CONNECT must have come.
    Connect(ConnId),
    /// The client must have been heard.
    KeepAlive(ConnId),
    /// Reading may go on.
    Resume(ConnId),
    /// The session of a client that is away ends, or its Will is due.
    Away((u32, u32)),
    /// A delayed message is due.
    Delayed,
    /// Once a second: counters, expired messages.
    Second,
}

/// How the cutting of a connection's bytes goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// With the next packet.
    Next,
    /// Not at all: the connection is gone.
    Stop,
}

/// One shard of the broker.
pub struct Shard {
    id: ShardId,
    now: Time,
    shared: Arc<Shared>,
    config: Arc<ShardsConfig>,
    queue_limits: QueueLimits,
    conns: Conns,
    clients: Clients,
    filters: FilterTrie<subscribers::Subscribers>,
    routes: RouteTable,
    router: Router,
    groups: Groups,
    retained: RetainedStore,
    delayed: Delayed,
    peers: Peers,
    replies: Replies,
    handovers: connect::Handovers,
    timers: TimerWheel<Timer>,
    counters: Counters,
    commands: Vec<Command>,
    outputs: Outputs,
    /// Connections whose reading stopped because a mesh ring was full.
    held: Vec<ConnId>,
    /// Clients for whom more waits until their output has left.
    hungry: Vec<u32>,
    congested: bool,
    /// Since the runtime asked.
    work: Work,
    /// Other shards have taken something that replies may wait for.
    replies_due: bool,
    /// Scratch for replies that may leave.
    ready: Vec<Reply>,
    draining: bool,
    sys: sys_topics::SysTopics,
    rules: RuleSet,
    rule_scratch: rule_stage::RuleScratch,
    events: events::Events,
    give_back: give_back::GiveBack,
}

impl Shard {
    /// A shard without connections.
    #[must_use]
    pub fn new(id: ShardId, now: Time, shared: Arc<Shared>, rules: RuleSet) -> Self {
        let config = shared.config();
        let shards = shared.placement.shards();
        let mut timers = TimerWheel::new(now.monotonic);
        timers.insert(now.monotonic, Timer::Second);
        let rule_scratch = rule_stage::RuleScratch::new(Arc::clone(&shared.rule_store));
        let mut shard = Self {
            id,
            now,
            queue_limits: queue_limits(&config, false),
            config,
            conns: Conns::default(),
            clients: Clients::default(),
            // One seed for all: a simulation is then the same each time.
            filters: FilterTrie::with_seed(shared.seed),
            routes: RouteTable::new(shared.seed, Arc::clone(&shared.routes)),
            router: Router::default(),
            groups: Groups::default(),
            retained: RetainedStore::default(),
            delayed: Delayed::default(),
            peers: Peers::new(shards),
            replies: Replies::default(),
            handovers: connect::Handovers::default(),
            timers,
            counters: Counters::default(),
            commands: Vec::new(),
            outputs: Outputs::default(),
            held: Vec::new(),
            hungry: Vec::new(),
            congested: false,
            work: Work::default(),
            replies_due: false,
            ready: Vec::new(),
            draining: false,
            sys: sys_topics::SysTopics::default(),
            rules,
            rule_scratch,
            events: events::Events::default(),
            give_back: give_back::GiveBack::default(),
            shared,
        };
        shard.rules.hands.set_limits(&shard.config.mqtt);
        shard.change_rules(Arc::clone(&shard.rules.book));
        shard
    }

    /// What has been counted, as of now; readers on other threads see [`Shared::counters`].
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes came. They are only borrowed.
    fn on_bytes(&mut self, id: ConnId, mut bytes: &[u8]) {
        let Some(conn) = self.conns.get(id) else { return };
        conn.last_seen = self.now.monotonic;
        self.counters.add(Counter::ReceivedBytes, bytes.len() as u64);
        if !conn.partial.is_empty() {
            let mut partial = std::mem::take(&mut conn.partial);
            if self.complete(id, &mut partial, &mut bytes) == Flow::Stop {
                return;
            }
        }
        if self.cut_all(id, bytes) == Flow::Next {
            self.after_bytes(id, bytes.len());
        }
    }

    /// Fills up an incomplete packet and handles it.
    fn complete(&mut self, id: ConnId, partial: &mut Vec<u8>, bytes: &mut &[u8]) -> Flow {
        loop {
            let need = match self.next_cut(id, partial) {
                Ok(Cut::Incomplete(need)) => need,
                Ok(Cut::Packet(header)) if is_large_publish(header, partial) => {
                    let packet = Bytes::from(std::mem::take(partial));
                    return self.on_packet(id, header, &packet, bytes, Memory::Own(&packet));
                }
                Ok(Cut::Packet(header)) => return self.on_packet(id, header, partial, bytes, Memory::Borrowed),
                Err((reason, why)) => return self.fail(id, reason, &why),
            };
            let missing = need - partial.len();
            // Room for what came as often again, not for what is claimed.
            if missing <= partial.len() {
                partial.reserve_exact(missing);
            }
            if missing > bytes.len() {
                partial.extend_from_slice(bytes);
                *bytes = &[];
                self.conns.at(id.slot).partial = std::mem::take(partial);
                return Flow::Next;
            }
            partial.extend_from_slice(&bytes[..missing]);
            *bytes = &bytes[missing..];
        }
    }

    fn next_cut(&mut self, id: ConnId, bytes: &[u8]) -> Result<Cut, (ReasonCode, String)> {
        let phase = self.conns.at(id.slot).phase;
        match phase {
            Phase::Connected => {
                let cut = connection::cut(bytes, self.config.mqtt.max_packet_size.0 as u32);
                if is_too_large(&cut) {
                    self.counters.add(Counter::LimitHitsPacketBytes, 1);
                }
                cut
            }
            Phase::Proxy => self.next_proxy_cut(bytes),
            // Nothing but CONNECT may come first [MQTT-3.1.0-1]; whatever else claims to come is not waited for.
            _ if bytes.first().is_some_and(|first| first >> 4 != 1) => {
                Err((ReasonCode::ProtocolError, "the first packet is not CONNECT [MQTT-3.1.0-1]".into()))
            }
            _ => {
                let cut = connection::cut(bytes, self.config.limits.connect_bytes.0 as u32);
                if is_too_large(&cut) {
                    self.counters.add(Counter::LimitHitsConnectPacketBytes, 1);
                }
                cut
            }
        }
    }

    /// Cuts packets off the front of the bytes and handles them; keeps the rest.
    fn cut_all(&mut self, id: ConnId, mut bytes: &[u8]) -> Flow {
        while !bytes.is_empty() {
            match self.next_cut(id, bytes) {
                Ok(Cut::Packet(header)) => {
                    let (packet, rest) = bytes.split_at(header.packet_len());
                    if self.on_packet(id, header, packet, rest, Memory::Borrowed) == Flow::Stop {
                        return Flow::Stop;
                    }
                    bytes = rest;
                }
                Ok(Cut::Incomplete(need)) => {
                    let partial = &mut self.conns.at(id.slot).partial;
                    partial.reserve_exact(if need <= 2 * bytes.len() { need } else { bytes.len() });
                    partial.extend_from_slice(bytes);
                    return Flow::Next;
                }
                Err((reason, why)) => return self.fail(id, reason, &why),
            }
        }
        Flow::Next
    }

    fn on_packet(&mut self, id: ConnId, header: FixedHeader, packet: &[u8], rest: &[u8], memory: Memory<'_>) -> Flow {
        self.work.taken += 1;
        let conn = self.conns.at(id.slot);
        match conn.phase {
            Phase::Connected => {}
            Phase::Proxy => return self.on_proxy_header(id, packet),
            _ => return self.on_connect(id, packet, rest),
        }
        let version = conn.version;
        if header.first >> 4 == 3 {
            return match codec::publish::decode(version, header.first, &packet[header.header_len.into()..]) {
                Ok(publish) => self.on_publish(id, &publish, memory),
                Err(error) => self.fail(id, error.reason_code(), &error.to_string()),
            };
        }
        let packet = match codec::decode(version, Direction::ToServer, packet) {
            Ok(packet) => packet,
            Err(error) => return self.fail(id, error.reason_code(), &error.to_string()),
        };
        match packet {
            Packet::PubAck(ack) => self.on_puback(id, &ack),
            Packet::PubRec(ack) => self.on_pubrec(id, &ack),
            Packet::PubRel(ack) => self.on_pubrel(id, &ack),
            Packet::PubComp(ack) => self.on_pubcomp(id, &ack),
            Packet::PingReq => self.on_pingreq(id),
            Packet::Subscribe(subscribe) => self.on_subscribe(id, &subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(id, &unsubscribe),
            Packet::Disconnect(disconnect) => self.on_disconnect(id, &disconnect),
            Packet::Auth(_) => self.fail(
                id,
                ReasonCode::ProtocolError,
                "AUTH without an Authentication Method in CONNECT [MQTT-4.12.0-7]",
            ),
            Packet::Connect(_) => {
                self.fail(id, ReasonCode::ProtocolError, "a second CONNECT on one connection [MQTT-3.1.0-2]")
            }
            _ => self.fail(id, ReasonCode::ProtocolError, "a packet that only servers send"),
        }
    }

    fn on_pingreq(&mut self, id: ConnId) -> Flow {
        self.counters.add(Counter::PacketsReceivedPingreq, 1);
        if self.control_rate_exceeded(id, 0) {
            return Flow::Next;
        }
        if self.events.wants(Event::ClientPing) {
            self.raise_ping(id);
        }
        self.append(id.slot, &[0xD0, 0]);
        self.counters.add(Counter::PacketsSentPingresp, 1);
        Flow::Next
    }

    /// Puts bytes into the output of a connection.
    fn append(&mut self, slot: u32, bytes: &[u8]) {
        self.output(slot).bytes.extend_from_slice(bytes);
    }

    /// The output of a connection, which goes out at the end of the turn.
    #[inline]
    fn output(&mut self, slot: u32) -> &mut SendBuffer {
        self.outputs.of(&mut self.conns, slot)
    }

    /// Encodes a packet into the output of a connection.
    fn encode(&mut self, slot: u32, packet: &Packet<'_>) {
        let version = self.conns.at(slot).version;
        codec::encode(version, packet, &mut self.output(slot).bytes);
    }

    /// Limits that are per second: reading stops until the next one.
    fn after_bytes(&mut self, id: ConnId, count: usize) {
        let limits = &self.config.limits;
        let Some(conn) = self.conns.get(id) else { return };
        if conn.phase != Phase::Connected {
            // The whole CONNECT has not come yet.
            self.commands.push(if self.shared.placement.shards() == 1 { return } else { Command::ReceiveOnce(id) });
            return;
        }
        let output_limit = self.shared.output_limit(self.config.sessions.output_bytes.0);
        if conn.out.len() > output_limit || conn.pending > HELD_REPLIES_MAX {
            self.pause(id, Pause::Output);
            return;
        }
        if limits.byte_rate.0 == 0 && limits.publish_rate == 0 && limits.control_rate == 0 {
            return;
        }
        let rate = conn.rate.at(self.now.monotonic);
        rate.bytes = rate.bytes.saturating_add(count as u32);
        let over = |limit: u64, value: u32| limit != 0 && u64::from(value) > limit;
        let hit = if over(limits.byte_rate.0, rate.bytes) {
            Counter::LimitHitsByteRate
        } else if over(limits.publish_rate.into(), rate.publishes) || over(limits.control_rate.into(), rate.controls) {
            Counter::LimitHitsMessageRate
        } else {
            return;
        };
        if self.pause(id, Pause::Rate) {
            self.counters.add(hit, 1);
            let next_second = Millis((self.now.monotonic.0 / 1000 + 1) * 1000);
            self.timers.insert(next_second, Timer::Resume(id));
        }
    }

    /// While a ring is full whoever makes work for other shards is not read further.
    fn hold_if_congested(&mut self, id: ConnId) {
        if self.congested && self.pause(id, Pause::Mesh) {
            self.held.push(id);
        }
    }

    /// Frees the slot of a connection that is gone for this shard.
    fn free(&mut self, slot: u32) -> Conn {
        let conn = self.conns.close(slot);
        if conn.paused != 0 {
            self.counters.lower(Gauge::RecvPausedNow, 1);
        }
        conn
    }

    /// Stops reading from a connection; whether this reason is new.
    fn pause(&mut self, id: ConnId, why: Pause) -> bool {
        let conn = self.conns.at(id.slot);
        let had = conn.paused;
        conn.paused |= why as u8;
        if had == 0 {
            self.counters.add(Counter::RecvPaused, 1);
            self.counters.raise(Gauge::RecvPausedNow, 1);
            self.commands.push(Command::Pause(id));
        }
        had & why as u8 == 0
    }

    /// Reading goes on if nothing else holds it up. A client could not be heard meanwhile, so its Keep Alive counts
    /// from now.
    fn unpause(&mut self, id: ConnId, why: Pause) {
        let now = self.now.monotonic;
        let Some(conn) = self.conns.get(id).filter(|conn| conn.paused & why as u8 != 0) else { return };
        conn.paused &= !(why as u8);
        if conn.paused == 0 {
            conn.last_seen = now;
            self.counters.lower(Gauge::RecvPausedNow, 1);
            self.commands.push(Command::Receive(id));
        }
    }

    /// Reads on from a client whose output and replies have come down to half of what stopped it.
    fn unpause_if_calm(&mut self, id: ConnId) {
        let limit = self.shared.output_limit(self.config.sessions.output_bytes.0);
        let calm = |conn: &&mut Conn| conn.out.len() <= limit / 2 && conn.pending <= HELD_REPLIES_MAX / 2;
        if self.conns.get(id).filter(|conn| conn.paused & Pause::Output as u8 != 0).as_ref().is_some_and(calm) {
            self.unpause(id, Pause::Output);
        }
    }

    /// Counts a packet that makes work; whether it is over the rate by more than one buffer could bring.
    fn control_rate_exceeded(&mut self, id: ConnId, work: usize) -> bool {
        let limit = self.config.limits.control_rate;
        let rate = self.conns.at(id.slot).rate.at(self.now.monotonic);
        // A filter costs about as much as eight packets that carry none.
        rate.controls = rate.controls.saturating_add(1 + work as u32 / 8);
        limit != 0 && rate.controls > limit.saturating_mul(4)
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Connect(id) => self.on_connect_timeout(id),
            Timer::KeepAlive(id) => self.on_keep_alive(id),
            Timer::Resume(id) => {
                self.unpause(id, Pause::Rate);
            }
            Timer::Away(identity) => self.on_away(identity),
            Timer::Delayed => self.on_delayed(),
            Timer::Second => self.on_second(),
        }
    }

    fn on_second(&mut self) {
        self.timers.insert(Millis(self.now.monotonic.0 + 1000), Timer::Second);
        self.retained.expire(self.now.monotonic, &self.shared);
        self.expire_handovers();
        self.queue_limits = queue_limits(&self.config, self.queue_limits.keep_all);
        if self.shared.pressure() >= 3 {
            // Hardly any memory is left: queues are shortened as messages come.
            self.queue_limits.messages = (self.queue_limits.messages / 4).max(1);
            self.queue_limits.bytes /= 4;
        }
        self.give_back.due = true;
        self.publish_counters();
        self.on_sys_second();
    }
}

/// What the runtime tells a shard.
impl logic::Logic for Shard {
    type Frame = Frame;
    type Control = Control;

    fn accepted(&mut self, now: Time, accepted: Accepted, _out: &mut impl Output) {
        self.now = now;
        self.on_accepted(accepted);
    }

    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], _out: &mut impl Output) {
        self.now = now;
        self.on_bytes(conn, bytes);
    }

    fn gone(&mut self, now: Time, conn: ConnId, how: Gone, _out: &mut impl Output) {
        self.now = now;
        self.on_gone(conn, how);
    }

    fn stalled(&mut self, conn: ConnId, _unsent: usize) {
        if let Some(conn) = self.conns.get(conn) {
            conn.stalled = true;
            conn.out.settle();
        }
    }

    fn drained(&mut self, now: Time, id: ConnId, _out: &mut impl Output) {
        self.now = now;
        let Some(conn) = self.conns.get(id) else { return };
        conn.stalled = false;
        // It took what it was sent, so it is there.
        conn.last_seen = now.monotonic;
        let (client, waits) = (conn.client, !conn.out.is_empty());
        if waits {
            self.outputs.of(&mut self.conns, id.slot);
        }
        if client != NONE {
            self.pump(client);
        }
    }

    fn adopted(&mut self, now: Time, conn: ConnId, from: ShardId, token: u64, _out: &mut impl Output) {
        self.now = now;
        self.on_adopted(conn, from, token);
    }

    fn frame_bytes(frame: &Frame) -> usize {
        frame.bytes()
    }

    fn frame(&mut self, now: Time, from: ShardId, frame: Frame, _out: &mut impl Output) {
        self.now = now;
        match frame {
            Frame::Messages(batch) => self.on_messages(from, *batch),
            Frame::Route(change) => self.on_route_change(from, &change),
            Frame::Handover(handover) => self.on_handover(from, *handover),
            Frame::RetainedQuery(query) => self.retained.queries.push((from, *query)),
            Frame::RetainedPage(page) => self.on_retained_page(*page),
            Frame::GroupJoin(join) => self.on_group_join(from, &join),
            Frame::GroupJoined { reply } => {
                self.replies.joined(reply);
                self.replies_due = true;
            }
            Frame::GroupLeave(leave) => self.on_group_leave(from, &leave),
            Frame::GroupPresence(presence) => {
                let frame::GroupPresence { name, filter, member, online } = *presence;
                self.presence(from, name, filter, member, online);
            }
            Frame::GroupAcked { group, member, count } => self.on_group_acked(from, group, member, count),
            Frame::GroupReturn(returned) => self.on_group_return(from, *returned),
            Frame::Mark { turn } => self.peers.owe(from, turn),
            Frame::Taken { turn } => {
                self.peers.taken(from, turn);
                self.replies_due = true;
            }
        }
    }

    fn turn_begins(&mut self) {
        self.shared.turn_begins(self.id);
    }

    fn turn_ended(&mut self) {
        self.shared.turn_ended(self.id);
    }

    fn mail_read(&mut self, now: Time, _out: &mut impl Output) {
        self.now = now;
        self.answer_retained_queries();
    }

    fn mesh_drained(&mut self, now: Time, _out: &mut impl Output) {
        self.now = now;
        self.congested = false;
        for id in std::mem::take(&mut self.held) {
            self.unpause(id, Pause::Mesh);
        }
    }

    fn control(&mut self, now: Time, control: Control, _out: &mut impl Output) {
        self.now = now;
        self.on_control(control);
    }

    fn next_deadline(&self) -> Millis {
        let idle = self.outputs.is_empty()
            && self.hungry.is_empty()
            && self.commands.is_empty()
            && (self.rules.republished().is_empty() || self.congested);
        if idle { self.timers.next_deadline() } else { self.now.monotonic }
    }

    fn take_work(&mut self) -> Work {
        std::mem::take(&mut self.work)
    }

    fn turn(&mut self, now: Time, out: &mut impl Output) {
        self.now = now;
        for client in std::mem::take(&mut self.hungry) {
            self.pump(client);
        }
        while let Some(timer) = self.timers.pop(now.monotonic) {
            self.fire(timer);
        }
        self.publish_republished();
        self.release_replies();
        self.flush_group_acks();
        self.rules.flush_rows();
        let mut sent = 0;
        let due = self.outputs.take();
        for &slot in &due {
            let id = self.conns.id(slot);
            let conn = self.conns.at(slot);
            // A connection that closed and came again within the turn is listed twice, the first time in vain.
            if !std::mem::take(&mut conn.dirty) || conn.stalled || conn.out.is_empty() {
                continue;
            }
            let bytes = std::mem::take(&mut conn.out);
            if std::mem::take(&mut conn.waits_for_room) && conn.client != NONE {
                self.hungry.push(conn.client);
            }
            let paused = conn.paused & Pause::Output as u8 != 0;
            self.counters.add(Counter::SentBytes, bytes.len() as u64);
            out.send(id, bytes);
            sent += 1;
            if paused {
                self.unpause_if_calm(id);
            }
        }
        for command in self.commands.drain(..) {
            match command {
                Command::Send(conn, bytes) => {
                    self.counters.add(Counter::SentBytes, bytes.len() as u64);
                    out.send(conn, bytes);
                }
                Command::Close(conn, how) => out.close(conn, how),
                Command::ReceiveOnce(conn) => out.receive_once(conn),
                Command::Receive(conn) => out.receive(conn),
                Command::Pause(conn) => out.pause(conn),
                Command::HandOver(conn, to, token) => out.hand_over(conn, to, token),
            }
        }
        self.work.writes += sent as u32;
        self.outputs.put_back(due, sent, out);
        if !self.peers.flush(out) && !self.congested {
            self.congested = true;
            self.counters.add(Counter::MeshStalls, 1);
        }
        if std::mem::take(&mut self.give_back.due) {
            self.give_back();
        }
    }
}

fn queue_limits(config: &ShardsConfig, keep_all: bool) -> QueueLimits {
    QueueLimits {
        messages: config.sessions.queue_messages,
        bytes: config.sessions.queue_bytes.0,
        drop_oldest: config.sessions.queue_full == QueueFull::DropOldest,
        keep_qos0: config.sessions.queue_qos0,
        keep_all,
    }
}

/// From this size on the memory of a packet that came in pieces is not used again for the next one but goes with it.
const OWN_MEMORY_BYTES: usize = 16 * 1024;

/// A PUBLISH whose payload may be sent from where it lies.
fn is_large_publish(header: FixedHeader, packet: &[u8]) -> bool {
    header.first >> 4 == 3 && packet.len() >= OWN_MEMORY_BYTES
}

fn is_too_large(cut: &Result<Cut, (ReasonCode, String)>) -> bool {
    matches!(cut, Err((ReasonCode::PacketTooLarge, _)))
}

/// The remaining Message Expiry Interval in seconds, if there is one (section 3.3.2.3.3).
fn remaining_expiry(expires_at: Millis, now: Millis) -> Option<u32> {
    (expires_at != Millis::NEVER)
        .then(|| u32::try_from(expires_at.0.saturating_sub(now.0).div_ceil(1000)).unwrap_or(u32::MAX))
}

/// Whether a version has Reason Codes and DISCONNECT in both directions.
const fn is_v5(version: ProtocolVersion) -> bool {
    matches!(version, ProtocolVersion::V5)
}
