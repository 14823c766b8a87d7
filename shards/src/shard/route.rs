//! Route: one message to local sessions and to the shards that want it.
//!
//! Hot path: no allocation for QoS 0, none per subscriber. A packet that goes to many is encoded once for each shape
//! (version, QoS, RETAIN) and copied; only the Packet Identifier differs.

use millrace_core::codec::publish::Delivery;
use millrace_core::message::{LARGE_BYTES, Lazy, MessageView};
use millrace_core::metrics::{Counter, DropReason, Gauge};
use millrace_core::packet::{PacketId, ProtocolVersion, QoS};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::inflight::Stage;
use millrace_core::session::outbox::Queued;
use millrace_core::session::topic_alias::OutboundAlias;
use millrace_core::session::{Admit, ByQoS, Dropped, Grant, SubscriptionIds};
use millrace_core::time::Millis;
use millrace_core::topic::exact_routes::Seen;
use millrace_core::topic::routes::ShardSet;
use millrace_rules::fields::Event;
use smallvec::SmallVec;

use super::connection::NONE;
use super::events::{DELIVERIES, MARKED, UNHEARD};
use super::frame::{Batch, Purpose};
use super::io::ShardId;
use super::message_events::admit_watched;
use super::peers::Waits;
use super::publish::Accepted;
use super::republished::Trail;
use super::rule_stage::Publisher;
use super::subscribers::Target;
use super::{Shard, is_v5, remaining_expiry};

/// What a Topic Alias adds to a packet at most: its property, and a byte more for each of two lengths.
const ALIAS_BYTES: usize = 5;

/// Subscribers of one topic for which room is kept.
const CLIENTS_KEPT: usize = 4096;

/// What the routing step keeps from one message to the next.
#[derive(Default)]
pub(super) struct Router {
    /// Who wanted the last topic; out while it is in use.
    matched: Option<Box<Matched>>,
    /// Counts changes of what [`Matched`] was made from.
    changes: u64,
    stamp: u32,
    /// The packet of the shape that was encoded last.
    frame: Vec<u8>,
    shape: Option<Shape>,
    packet_id_at: usize,
    /// Scratch for properties and mounted topics of the message under way.
    pub(super) properties: Vec<u8>,
    pub(super) topic: String,
}

impl Router {
    /// A subscriber, a route or what decides about an echo has changed.
    pub(super) const fn changed(&mut self) {
        self.changes += 1;
    }

    fn put_back(&mut self, matched: Box<Matched>) {
        let before = self.matched.replace(matched);
        debug_assert!(before.is_none(), "it was taken");
        // Nothing is there to be dropped, and asking costs more than a look at the topic.
        std::mem::forget(before);
    }

    /// Forgets a topic that very many wanted; whether there was one.
    pub(super) fn give_back(&mut self) -> bool {
        self.matched.take_if(|matched| matched.clients.capacity() > CLIENTS_KEPT).is_some()
    }
}

/// Who wants a topic of a publisher. Messages come in runs of one topic: all but the first of a run find it here.
#[derive(Default)]
struct Matched {
    topic: String,
    publisher: u64,
    /// [`Router::changes`] and [`Router::stamp`] at that time.
    changes: u64,
    stamp: u32,
    clients: Vec<Match>,
    groups: Vec<u32>,
    rules: Vec<u32>,
    /// Other shards, once they were looked up: what comes from one of them goes to no other.
    remote: SmallVec<[u16; 4]>,
    seen: Option<Seen>,
    /// The publisher itself, if it wants no message of its own back.
    own: Option<u32>,
}

impl Matched {
    fn is_of(&self, message: &MessageView<'_>, changes: u64) -> bool {
        self.changes == changes && self.publisher == message.head.publisher && self.topic == message.topic
    }

    #[inline]
    const fn is_wanted_here(&self) -> bool {
        !(self.clients.is_empty() && self.groups.is_empty() && self.rules.is_empty())
    }

    /// Once the other shards were looked up.
    fn has_no_subscriber(&self) -> bool {
        self.clients.is_empty() && self.groups.is_empty() && self.remote.is_empty() && self.own.is_none()
    }
}

/// Where a message comes from: rules see only what this shard's own clients publish.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'a> {
    /// A client of this shard.
    Client { client: u32, dup: bool },
    /// Somebody who was a client of this shard when it published.
    Publisher(&'a Publisher),
    /// A rule of this shard; through which rules the message came.
    Rule(&'a Trail),
    /// Another shard, or the broker itself.
    Elsewhere,
}

impl<'a> Origin<'a> {
    /// The rules that the message came through.
    pub(super) const fn trail(self) -> Option<&'a Trail> {
        match self {
            Self::Rule(trail) => Some(trail),
            Self::Publisher(publisher) => publisher.trail(),
            Self::Client { .. } | Self::Elsewhere => None,
        }
    }
}

/// A local client that gets a message, with all its matching subscriptions taken together.
struct Match {
    client: u32,
    qos: QoS,
    retain_as_published: bool,
    /// Of the message under way.
    grant: Grant,
}

/// What two deliveries of one message must share to be the same bytes but for the Packet Identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    version: ProtocolVersion,
    qos: QoS,
    retain: bool,
    mountpoint: u16,
}

impl Shard {
    /// A message that passed all checks: rules, the retained store, subscribers here and elsewhere.
    pub(super) fn accept_message(
        &mut self,
        message: &Lazy<'_>,
        mountpoint: u16,
        origin: Origin<'_>,
    ) -> Result<Accepted, (ReasonCode, String)> {
        if message.view().topic.starts_with("$delayed/") {
            return self.delay(message, mountpoint, origin);
        }
        Ok(self.publish_now(message, origin))
    }

    pub(super) fn publish_now(&mut self, message: &Lazy<'_>, origin: Origin<'_>) -> Accepted {
        if self.events.wants_any(MARKED) && message.mark().is_empty() {
            return self.publish_marked(message, origin);
        }
        let mut waits = Waits::default();
        let mut wanted = false;
        let view = message.view();
        if view.head.retain {
            wanted |= self.retain(message, &mut waits);
        }
        let mut matched = self.matched(view);
        wanted |= matched.is_wanted_here() && self.route_matched(&mut matched, message, origin) > 0;
        wanted |= self.route_remote(&mut matched, message, &mut waits);
        if self.events.wants_any(UNHEARD) {
            self.raise_unheard(&matched, message, origin);
        }
        self.router.put_back(matched);
        if !wanted {
            self.counters.add(Counter::MessagesUnrouted, 1);
        }
        if view.head.qos == QoS::AtMostOnce {
            waits = Waits::default();
        }
        Accepted { wanted, waits }
    }

    /// Tells rules that nobody but rules got a message, or that its publisher did not want it back.
    #[cold]
    fn raise_unheard(&mut self, matched: &Matched, message: &Lazy<'_>, origin: Origin<'_>) {
        let view = message.view();
        if let Some(own) = matched.own
            && self.events.wants(Event::DeliveryDropped)
        {
            self.raise_no_local(own, message, view.head.qos);
        }
        let is_retained = view.head.retain && !view.payload.is_empty();
        if self.events.wants(Event::MessageDropped) && !is_retained && matched.has_no_subscriber() {
            self.raise_dropped(message, origin, "no_subscribers");
        }
    }

    /// Gives a message to the other shards that have subscribers for it.
    fn route_remote(&mut self, matched: &mut Matched, message: &Lazy<'_>, waits: &mut Waits) -> bool {
        if self.shared.placement.shards() == 1 {
            return false;
        }
        let view = message.view();
        if !matched.seen.is_some_and(|seen| self.routes.is_current(seen)) {
            let mut shards = ShardSet::new();
            matched.seen = Some(self.routes.shards(view.topic, &mut shards));
            shards.remove(self.id.0);
            matched.remote.clear();
            matched.remote.extend(shards.iter());
        }
        for &shard in &matched.remote {
            let to = ShardId(shard);
            self.peers.message(to, Purpose::Route { topic: matched.stamp }, message);
            if view.head.qos != QoS::AtMostOnce {
                self.peers.wait_for(to, waits);
            }
        }
        !matched.remote.is_empty()
    }

    /// Who on this shard wants a message; to be put back.
    #[inline]
    fn matched(&mut self, view: &MessageView<'_>) -> Box<Matched> {
        let mut matched = self.router.matched.take().unwrap_or_default();
        if !matched.is_of(view, self.router.changes) {
            self.look_up(&mut matched, view);
        }
        matched
    }

    /// As [`Self::matched`], for a message whose topic and publisher are those of the last one with the same number.
    #[inline]
    fn matched_in_run(&mut self, view: &MessageView<'_>, run: u32, last: &mut Option<(u32, u32)>) -> Box<Matched> {
        let mut matched = self.router.matched.take().unwrap_or_default();
        if *last != Some((run, matched.stamp)) || matched.changes != self.router.changes {
            if !matched.is_of(view, self.router.changes) {
                self.look_up(&mut matched, view);
            }
            *last = Some((run, matched.stamp));
        }
        matched
    }

    fn look_up(&mut self, matched: &mut Matched, view: &MessageView<'_>) {
        let Matched { topic, publisher, changes, stamp, clients: found, groups, rules, remote, seen, own } = matched;
        topic.clear();
        topic.push_str(view.topic);
        (*publisher, *changes) = (view.head.publisher, self.router.changes);
        found.clear();
        groups.clear();
        rules.clear();
        remote.clear();
        *seen = None;
        *own = None;
        self.router.stamp = self.router.stamp.wrapping_add(1);
        *stamp = self.router.stamp;
        let (stamp, publisher) = (*stamp, *publisher);
        let clients = &mut self.clients;
        self.filters.matches(view.topic, |subscribers| {
            for subscriber in subscribers.iter() {
                match subscriber.target() {
                    Target::Group(group) => groups.push(group),
                    // A rule with several matching filters runs once.
                    Target::Rule(rule) if !rules.contains(&rule) => rules.push(rule),
                    Target::Rule(_) => {}
                    Target::Client(index) => {
                        let Some(client) = clients.get_mut(index) else { continue };
                        if publisher == client.session.key && (subscriber.no_local || client.no_echo) {
                            *own = Some(index);
                            continue;
                        }
                        // The stamp comes round again after 2^32 topics: what it points at must be this client.
                        let known = found.get_mut(client.at as usize).filter(|known| known.client == index);
                        if let Some(known) = known.filter(|_| client.stamp == stamp) {
                            known.qos = known.qos.max(subscriber.qos);
                            known.retain_as_published |= subscriber.retain_as_published;
                            if subscriber.id != 0 {
                                known.grant.subscription_ids.push(subscriber.id);
                            }
                            continue;
                        }
                        client.stamp = stamp;
                        client.at = found.len() as u32;
                        let mut grant = Grant::default();
                        if subscriber.id != 0 {
                            grant.subscription_ids.push(subscriber.id);
                        }
                        found.push(Match {
                            client: index,
                            qos: subscriber.qos,
                            retain_as_published: subscriber.retain_as_published,
                            grant,
                        });
                    }
                }
            }
        });
        if own.is_some_and(|own| found.iter().any(|found| found.client == own)) {
            *own = None;
        }
    }

    fn route_matched(&mut self, matched: &mut Matched, message: &Lazy<'_>, origin: Origin<'_>) -> usize {
        let Matched { clients, groups, rules, .. } = matched;
        self.router.shape = None;
        let mut wanted = clients.len() + groups.len();
        if !rules.is_empty() && !matches!(origin, Origin::Elsewhere) {
            wanted += rules.len();
            self.run_rules(rules, message, origin);
        }
        let alone = clients.len() == 1;
        let head = message.view().head;
        for found in clients {
            found.grant.qos = found.qos.min(head.qos);
            found.grant.retain = head.retain && found.retain_as_published;
            self.deliver(found.client, message, &found.grant, alone);
        }
        for group in groups {
            self.deliver_to_group(*group, message);
        }
        wanted
    }

    /// One delivery to one local client. `alone`: nobody else gets the same packet, so it is encoded in place.
    #[inline]
    pub(super) fn deliver(&mut self, client: u32, message: &Lazy<'_>, grant: &Grant, alone: bool) {
        if self.events.wants_any(DELIVERIES) {
            self.deliver_as::<true>(client, message, grant, alone);
        } else {
            self.deliver_as::<false>(client, message, grant, alone);
        }
    }

    /// `WATCHED`: a rule reads what becomes of deliveries.
    fn deliver_as<const WATCHED: bool>(&mut self, client: u32, message: &Lazy<'_>, grant: &Grant, alone: bool) {
        let Some(state) = self.clients.get_mut(client) else { return };
        let now = self.now.monotonic;
        // `mount/#` matches the parent level too, which lies outside the mountpoint.
        if state.mountpoint != 0 && !message.view().topic.starts_with(self.shared.mountpoint(state.mountpoint)) {
            return;
        }
        if message.view().head.expires_at <= now {
            self.count_created(grant);
            self.drop_delivery::<WATCHED>(client, message, grant, Dropped::Expired);
            return;
        }
        let slot = state.conn;
        let (online, room) = if slot == NONE {
            (false, false)
        } else {
            let conn = self.conns.at(slot);
            let limit = self.shared.output_limit(self.config.sessions.output_bytes.0);
            (true, conn.out.len() < limit)
        };
        if online
            && self.conns.at(slot).max_packet != u32::MAX
            && !self.is_within_client_limit(slot, client, message, grant)
        {
            self.count_created(grant);
            self.drop_delivery::<WATCHED>(client, message, grant, Dropped::TooLarge);
            return;
        }
        let Some(state) = self.clients.get_mut(client) else { return };
        let had = state.session.held();
        let admit = if WATCHED {
            let gone = &mut self.events.gone;
            admit_watched(&mut state.session, message, grant, online, room, &self.queue_limits, gone)
        } else {
            state.session.admit(message, grant, online, room, &self.queue_limits)
        };
        let has = state.session.held();
        self.held_changed(had, has);
        if !matches!(admit, Admit::Away) {
            self.count_created(grant);
        }
        match admit {
            Admit::Send(packet_id) => {
                if packet_id.is_none() {
                    self.counters.add(Counter::deliveries_completed(grant.qos), 1);
                }
                self.encode_message(client, slot, message, grant, packet_id, false, alone);
                if WATCHED && self.events.wants(Event::MessageDelivered) {
                    self.raise_delivered(client, message, grant);
                }
            }
            Admit::Queued { dropped: oldest } => {
                if online && !room {
                    self.conns.at(slot).waits_for_room = true;
                }
                self.count_dropped(Dropped::QueueFull, oldest);
                if oldest != ByQoS::default() {
                    self.count_full_queue(client);
                    if WATCHED {
                        self.raise_gone(client, Dropped::QueueFull);
                    }
                }
            }
            Admit::Away => {
                if WATCHED {
                    self.raise_not_delivered(client, message, grant, Dropped::Slow);
                }
            }
            Admit::Dropped(why) => {
                self.drop_delivery::<WATCHED>(client, message, grant, why);
                if why == Dropped::QueueFull {
                    self.count_full_queue(client);
                }
            }
        }
    }

    /// A delivery does not happen.
    fn drop_delivery<const WATCHED: bool>(&mut self, client: u32, message: &Lazy<'_>, grant: &Grant, why: Dropped) {
        self.counters.add(dropped(grant.qos, why), 1);
        if WATCHED {
            self.raise_not_delivered(client, message, grant, why);
        }
    }

    /// A delivery begins. Those through groups were counted when the member was chosen: they may wander.
    fn count_created(&mut self, grant: &Grant) {
        if grant.group == 0 || grant.qos == QoS::AtMostOnce {
            self.counters.add(Counter::deliveries_created(grant.qos), 1);
        }
    }

    fn count_dropped(&mut self, why: Dropped, by_qos: ByQoS) {
        for (qos, count) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().zip(by_qos) {
            self.counters.add(dropped(qos, why), count.into());
        }
    }

    /// Section 3.1.2.11.4: a packet over the client's Maximum Packet Size is not sent, the delivery counts as done.
    fn is_within_client_limit(&mut self, slot: u32, client: u32, message: &Lazy<'_>, grant: &Grant) -> bool {
        let mountpoint = self.clients.get(client).map_or(0, |client| client.mountpoint);
        let mounted = self.shared.mountpoint(mountpoint).len();
        let conn = self.conns.at(slot);
        let delivery = delivery(message.view(), grant, Some(PacketId::MIN), false, mounted, self.now.monotonic);
        delivery.size(conn.version) as u64 <= u64::from(conn.max_packet)
    }

    /// Encodes a delivery that was queued or is sent again.
    pub(super) fn encode_delivery(&mut self, client: u32, queued: &Queued, packet_id: Option<PacketId>, dup: bool) {
        let Some(slot) = self.clients.get(client).filter(|client| client.is_online()).map(|client| client.conn) else {
            return;
        };
        let message = Lazy::shared(&queued.message);
        self.encode_message(client, slot, &message, &queued.grant, packet_id, dup, true);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one packet, on the hot path")]
    fn encode_message(
        &mut self,
        client: u32,
        slot: u32,
        message: &Lazy<'_>,
        grant: &Grant,
        packet_id: Option<PacketId>,
        dup: bool,
        alone: bool,
    ) {
        let view = message.view();
        self.counters.add(Counter::PacketsSentPublish, 1);
        let mountpoint = self.clients.get(client).map_or(0, |client| client.mountpoint);
        let mounted = self.shared.mountpoint(mountpoint).len();
        let now = self.now.monotonic;
        let conn = self.conns.at(slot);
        let version = conn.version;
        let aliased = is_v5(version) && conn.extras.as_ref().is_some_and(|extras| extras.outbound.is_some());
        let shape = Shape { version, qos: grant.qos, retain: grant.retain, mountpoint };
        let is_large = view.payload.len() >= LARGE_BYTES;
        if alone || aliased || is_large || !grant.subscription_ids.is_empty() {
            let mut delivery = delivery(view, grant, packet_id, dup, mounted, now);
            // An alias must not make the packet too large for the client.
            let has_room = conn.max_packet == u32::MAX
                || delivery.size(version) + ALIAS_BYTES <= usize::try_from(conn.max_packet).unwrap_or(usize::MAX);
            if aliased
                && has_room
                && let Some(aliases) = conn.extras.as_mut().and_then(|extras| extras.outbound.as_mut())
            {
                match aliases.of(delivery.topic) {
                    OutboundAlias::None => {}
                    OutboundAlias::Set(alias) => delivery.topic_alias = Some(alias),
                    OutboundAlias::Use(alias) => {
                        delivery.topic_alias = Some(alias);
                        delivery.topic = "";
                    }
                }
            }
            if is_large {
                self.put_large(slot, &delivery, message);
            } else {
                delivery.encode(version, &mut self.output(slot).bytes);
            }
            return;
        }
        if self.router.shape != Some(shape) {
            self.router.shape = Some(shape);
            self.router.frame.clear();
            let packet_id = packet_id.map(|_| PacketId::MIN);
            let delivery = delivery(view, grant, packet_id, dup, mounted, now);
            self.router.packet_id_at = delivery.encode(version, &mut self.router.frame).unwrap_or(0);
        }
        let out = &mut self.outputs.of(&mut self.conns, slot).bytes;
        let start = out.len();
        out.extend_from_slice(&self.router.frame);
        if let Some(packet_id) = packet_id {
            let at = start + self.router.packet_id_at;
            out[at..at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }

    /// Encodes a delivery whose payload is sent from where it lies, if that may be. Behind a stalled send it may wait
    /// for long, and holds no more memory than its own.
    #[inline(never)]
    fn put_large(&mut self, slot: u32, delivery: &Delivery<'_>, message: &Lazy<'_>) {
        let conn = self.conns.at(slot);
        let (version, stalled) = (conn.version, conn.stalled);
        let out = self.output(slot);
        if let Some(payload) = message.payload() {
            delivery.encode_head(version, &mut out.bytes);
            out.push(payload);
        } else if let Some(payload) = message.passing_payload().filter(|_| !stalled) {
            delivery.encode_head(version, &mut out.bytes);
            out.push_passing(payload);
        } else {
            delivery.encode(version, &mut out.bytes);
        }
    }

    /// Sends what waits for a client, as far as its window and its output have room; then asks for more retained
    /// messages if there is room for those.
    pub(super) fn pump(&mut self, client: u32) {
        let now = self.now.monotonic;
        let limit = self.shared.output_limit(self.config.sessions.output_bytes.0);
        loop {
            let Some(state) = self.clients.get_mut(client) else { return };
            let slot = state.conn;
            if !state.is_online() {
                break;
            }
            let conn = self.conns.at(slot);
            if conn.out.len() >= limit {
                conn.waits_for_room = true;
                break;
            }
            if let Some((packet_id, entry)) = state.session.inflight.next_unseen() {
                match entry.kept.cloned() {
                    Some(queued) if entry.stage != Stage::Pubcomp => self.send_again(client, slot, packet_id, &queued),
                    _ => self.send_pubrel(client, packet_id),
                }
                continue;
            }
            if state.session.inflight.has_unseen() {
                break;
            }
            let had = state.session.held();
            let expired = if self.events.wants(Event::DeliveryDropped) {
                state.session.expire_queued_watched(now, |queued| self.events.gone.push(queued))
            } else {
                state.session.expire_queued(now)
            };
            let left = state.session.held();
            let front = if conn.max_packet == u32::MAX { None } else { state.session.front().cloned() };
            if left != had {
                self.count_dropped(Dropped::Expired, expired);
                self.held_changed(had, left);
                self.raise_gone(client, Dropped::Expired);
            }
            if let Some(queued) = front
                && !self.is_within_client_limit(slot, client, &Lazy::shared(&queued.message), &queued.grant)
            {
                self.drop_delivery::<true>(client, &Lazy::shared(&queued.message), &queued.grant, Dropped::TooLarge);
                if let Some(state) = self.clients.get_mut(client) {
                    state.session.pop_queued();
                    let has = state.session.held();
                    self.held_changed(left, has);
                }
                continue;
            }
            let Some(state) = self.clients.get_mut(client) else { return };
            let next = state.session.next_queued(self.queue_limits.keep_all);
            let has = state.session.held();
            self.held_changed(left, has);
            let Some((queued, packet_id)) = next else { break };
            if packet_id.is_none() {
                self.counters.add(Counter::deliveries_completed(queued.grant.qos), 1);
            }
            self.encode_delivery(client, &queued, packet_id, false);
            if self.events.wants(Event::MessageDelivered) {
                self.raise_delivered(client, &Lazy::shared(&queued.message), &queued.grant);
            }
        }
        self.feed(client);
    }

    /// Sends a delivery again after a reconnect, unless this connection takes smaller packets only.
    fn send_again(&mut self, client: u32, slot: u32, packet_id: PacketId, queued: &Queued) {
        let lazy = Lazy::shared(&queued.message);
        if self.conns.at(slot).max_packet != u32::MAX
            && !self.is_within_client_limit(slot, client, &lazy, &queued.grant)
        {
            self.drop_delivery::<true>(client, &lazy, &queued.grant, Dropped::TooLarge);
            if let Some(state) = self.clients.get_mut(client) {
                state.session.inflight.end(packet_id);
                self.counters.lower(Gauge::DeliveriesInflight, 1);
            }
            return;
        }
        self.encode_delivery(client, queued, Some(packet_id), true);
    }

    /// Messages from another shard.
    pub(super) fn on_messages(&mut self, from: ShardId, batch: Batch) {
        let mut last = None;
        batch.each(|purpose, message| {
            self.work.taken += 1;
            match purpose {
                Purpose::Route { topic } => {
                    let mut matched = self.matched_in_run(message.view(), topic, &mut last);
                    self.route_matched(&mut matched, message, Origin::Elsewhere);
                    self.router.put_back(matched);
                }
                Purpose::Member { member, group, qos, retain, subscription_id } => {
                    let mut subscription_ids = SubscriptionIds::new();
                    if subscription_id != 0 {
                        subscription_ids.push(subscription_id);
                    }
                    let group = super::groups::reference(from, group);
                    self.deliver_to_member(member, message, &Grant { qos, retain, subscription_ids, group });
                }
                Purpose::Retain => self.retain_here(message),
            }
        });
    }
}

/// The PUBLISH for one delivery.
fn delivery<'a>(
    view: &MessageView<'a>,
    grant: &'a Grant,
    packet_id: Option<PacketId>,
    dup: bool,
    mounted: usize,
    now: Millis,
) -> Delivery<'a> {
    Delivery {
        dup,
        qos: grant.qos,
        retain: grant.retain,
        packet_id: if grant.qos == QoS::AtMostOnce { None } else { packet_id },
        topic: view.topic.get(mounted..).unwrap_or(view.topic),
        topic_alias: None,
        message_expiry: remaining_expiry(view.head.expires_at, now),
        subscription_ids: &grant.subscription_ids,
        properties: view.properties,
        payload: view.payload,
    }
}

/// The counter for a delivery that did not happen.
const fn dropped(qos: QoS, why: Dropped) -> Counter {
    Counter::deliveries_dropped(
        qos,
        match why {
            Dropped::QueueFull => DropReason::QueueFull,
            Dropped::Expired => DropReason::Expired,
            Dropped::TooLarge => DropReason::TooLarge,
            Dropped::Slow => DropReason::Slow,
        },
    )
}
