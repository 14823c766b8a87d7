//! Subscriptions: who wants what on this shard, and telling the other shards.
//!
//! A SUBACK leaves when every shard knows the route, so that a message published after it is never missed.

use millrace_core::codec::properties::{Properties, Property};
use millrace_core::metrics::{Counter, Gauge};
use millrace_core::packet::{Packet, QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions, Unsubscribe};
use millrace_core::reason_code::ReasonCode;
use millrace_core::session::Subscription;
use millrace_core::topic::filter::{self, FilterError, Share};
use millrace_core::topic::name::TopicLimits;
use millrace_core::topic::routes::RouteTable;
use millrace_rules::fields::Event;

use super::connection::{Conn, NONE};
use super::frame::{Frame, RouteChange};
use super::io::{ConnId, ShardId};
use super::peers::Waits;
use super::replies::Reply;
use super::retained::FeedStart;
use super::subscribers::{Subscriber, Subscribers, Target};
use super::{Flow, Shard, is_v5};

impl Shard {
    pub(super) fn topic_limits(&self) -> TopicLimits {
        TopicLimits { levels: self.config.mqtt.max_topic_levels, bytes: self.config.mqtt.max_topic_length }
    }

    pub(super) fn on_subscribe(&mut self, id: ConnId, subscribe: &Subscribe<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedSubscribe, 1);
        self.hold_if_congested(id);
        let client = self.conns.at(id.slot).client;
        let v5 = is_v5(self.conns.at(id.slot).version);
        if self.control_rate_exceeded(id, subscribe.filters.len()) {
            self.counters.add(Counter::LimitHitsMessageRate, 1);
            return self.fail(id, ReasonCode::MessageRateTooHigh, "over control_rate SUBSCRIBE packets a second");
        }
        let subscription_id = subscribe.properties.u32(Property::SubscriptionIdentifier).unwrap_or(0);
        let mut waits = Waits::default();
        let mut feeds = Vec::new();
        let mut reason_codes = Vec::with_capacity(subscribe.filters.len());
        for (text, options) in &subscribe.filters {
            let code = match filter::Subscription::parse(text, self.topic_limits()) {
                Err(error) => {
                    match error {
                        FilterError::TooDeep { .. } => self.counters.add(Counter::LimitHitsTopicLevels, 1),
                        FilterError::TooLong { .. } => self.counters.add(Counter::LimitHitsTopicBytes, 1),
                        _ => {}
                    }
                    tracing::debug!(event = "subscription-refused", "{error}");
                    ReasonCode::TopicFilterInvalid
                }
                Ok(parsed) => {
                    if parsed.share.is_some() && options.no_local {
                        let why = "No Local on a shared subscription [MQTT-3.8.3-4]";
                        return self.fail(id, ReasonCode::ProtocolError, why);
                    }
                    match self.subscription_refusal(client, text, &parsed) {
                        Some(refusal) => refusal,
                        None => {
                            if self.events.wants(Event::SessionSubscribed) {
                                let properties = subscribe.properties;
                                self.raise_subscription(
                                    Event::SessionSubscribed,
                                    client,
                                    text,
                                    options.qos,
                                    properties,
                                );
                            }
                            self.subscribe(client, text, &parsed, *options, subscription_id, &mut waits, &mut feeds)
                        }
                    }
                }
            };
            // Version 3.1.1 has one code for all failures; 3.1 has none, and the closest is QoS 0.
            reason_codes.push(code);
        }
        if !feeds.is_empty() {
            // A message that did not find a new route is in the retained store before that is asked.
            for shard in self.shared.in_a_turn().filter(|shard| *shard != self.id) {
                self.peers.wait_for(shard, &mut waits);
            }
        }
        let packet =
            Packet::SubAck(SubAck { packet_id: subscribe.packet_id, properties: Properties::default(), reason_codes });
        debug_assert!(v5 || subscription_id == 0);
        self.reply(id, &packet, Counter::PacketsSentSuback, waits, feeds)
    }

    /// Sends a packet to a client once everybody has taken what it promises, then retained messages. A client that
    /// cannot take the packet cannot go on without it either.
    fn reply(
        &mut self,
        id: ConnId,
        packet: &Packet<'_>,
        counter: Counter,
        waits: Waits,
        feeds: Vec<FeedStart>,
    ) -> Flow {
        let Conn { version, pending, max_packet, .. } = *self.conns.at(id.slot);
        let mut bytes = Vec::new();
        millrace_core::codec::encode(version, packet, &mut bytes);
        if bytes.len() as u64 > u64::from(max_packet) {
            let why = "the answer is over the client's Maximum Packet Size [MQTT-3.1.2-24]";
            return self.fail(id, ReasonCode::PacketTooLarge, why);
        }
        self.counters.add(counter, 1);
        if pending == 0 && waits.is_none() {
            self.append(id.slot, &bytes);
            self.start_feeds(id, feeds);
        } else {
            let reply = Reply::Client { conn: id, packets: bytes, feeds };
            self.replies.hold(&mut self.conns, waits, reply);
        }
        Flow::Next
    }

    fn subscription_refusal(
        &mut self,
        client: u32,
        text: &str,
        parsed: &filter::Subscription<'_>,
    ) -> Option<ReasonCode> {
        let mqtt = &self.config.mqtt;
        if parsed.share.is_some() && !mqtt.shared_subscription_available {
            return Some(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if !mqtt.wildcard_subscription_available && parsed.filter.contains(['+', '#']) {
            return Some(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        let session = &self.clients.get(client)?.session;
        let known = session.subscriptions.iter().any(|subscription| *subscription.filter == *text);
        if !known && session.subscriptions.len() >= self.config.sessions.max_subscriptions as usize {
            self.counters.add(Counter::LimitHitsSubscriptions, 1);
            return Some(ReasonCode::QuotaExceeded);
        }
        None
    }

    #[allow(clippy::too_many_arguments, reason = "one entry of a SUBSCRIBE with what its packet collects")]
    fn subscribe(
        &mut self,
        client: u32,
        text: &str,
        parsed: &filter::Subscription<'_>,
        options: SubscriptionOptions,
        id: u32,
        waits: &mut Waits,
        feeds: &mut Vec<FeedStart>,
    ) -> ReasonCode {
        let Some(state) = self.clients.get_mut(client) else { return ReasonCode::UnspecifiedError };
        let mountpoint = state.mountpoint;
        let subscriptions = &mut state.session.subscriptions;
        let known = subscriptions.iter_mut().find(|subscription| *subscription.filter == *text);
        let is_new = known.is_none();
        if let Some(subscription) = known {
            subscription.options = options;
            subscription.id = id;
        } else {
            // Most clients have one subscription: no spare room for more.
            subscriptions.reserve_exact(usize::from(subscriptions.len() < 2));
            subscriptions.push(Subscription { filter: text.into(), options, id });
            self.counters.raise(subscription_gauge(text), 1);
        }
        let mut mounted = String::new();
        let filter = self.mount(mountpoint, parsed.filter, &mut mounted);
        if let Some(share) = parsed.share {
            self.join_group(client, share, filter, options, id, waits);
            return granted(options.qos);
        }
        let entry = Subscriber::client(client, options, id);
        self.subscribe_announced(filter, entry, waits);
        if !is_new {
            self.change_feeds_of(client, filter, options, id);
        }
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wants_retained && self.config.mqtt.retain_available {
            feeds.push(FeedStart { filter: filter.into(), options, id });
        }
        granted(options.qos)
    }

    /// Adds or replaces a subscriber, who may rely on it once what is waited for has come.
    pub(super) fn subscribe_announced(&mut self, filter: &str, subscriber: Subscriber, waits: &mut Waits) {
        if self.subscribe_target(filter, subscriber) {
            self.announce(filter, true);
        }
        if RouteTable::is_told(filter) {
            // Not only the first subscriber of a filter relies on the route.
            self.peers.wait_for_routes(self.id, waits);
        }
    }

    /// Adds or replaces a subscriber; `true` if it is the first of its filter on this shard.
    pub(super) fn subscribe_target(&mut self, filter: &str, subscriber: Subscriber) -> bool {
        self.router.changed();
        let subscribers = self.filters.entry(filter, Subscribers::default);
        let first = !subscribers.is_route();
        subscribers.insert(subscriber);
        first
    }

    /// Removes a subscriber; tells the other shards if it was the last.
    pub(super) fn unsubscribe_target(&mut self, filter: &str, target: Target) {
        let Some(subscribers) = self.filters.get_mut(filter) else { return };
        self.router.changed();
        let was_route = subscribers.is_route();
        subscribers.remove(target);
        let is_route = subscribers.is_route();
        if subscribers.is_empty() {
            self.filters.remove(filter);
        }
        if was_route && !is_route {
            self.announce(filter, false);
        }
    }

    /// Makes known to all other shards that this one wants a filter, or does not any more.
    fn announce(&mut self, filter: &str, wanted: bool) {
        let shards = self.shared.placement.shards();
        if shards == 1 {
            return;
        }
        if !RouteTable::is_told(filter) {
            return self.route_changed(filter, self.id, wanted);
        }
        for shard in (0..shards).map(ShardId).filter(|shard| *shard != self.id) {
            self.peers.send(shard, Frame::Route(Box::new(RouteChange { filter: filter.into(), wanted })));
        }
        if wanted {
            self.peers.announced();
        }
    }

    pub(super) fn on_route_change(&mut self, from: ShardId, change: &RouteChange) {
        self.router.changed();
        self.route_changed(&change.filter, from, change.wanted);
    }

    fn route_changed(&mut self, filter: &str, by: ShardId, wanted: bool) {
        if wanted {
            self.routes.add(filter, by.0);
        } else {
            self.routes.remove(filter, by.0);
        }
    }

    pub(super) fn on_unsubscribe(&mut self, id: ConnId, unsubscribe: &Unsubscribe<'_>) -> Flow {
        self.counters.add(Counter::PacketsReceivedUnsubscribe, 1);
        if self.control_rate_exceeded(id, unsubscribe.filters.len()) {
            self.counters.add(Counter::LimitHitsMessageRate, 1);
            return self.fail(id, ReasonCode::MessageRateTooHigh, "over control_rate UNSUBSCRIBE packets a second");
        }
        let client = self.conns.at(id.slot).client;
        let mut reason_codes = Vec::with_capacity(unsubscribe.filters.len());
        let mut waits = Waits::default();
        for text in &unsubscribe.filters {
            let Some(state) = self.clients.get_mut(client) else { continue };
            let subscriptions = &mut state.session.subscriptions;
            let code = match subscriptions.iter().position(|subscription| *subscription.filter == **text) {
                Some(at) => {
                    let qos = subscriptions.swap_remove(at).options.qos;
                    if self.events.wants(Event::SessionUnsubscribed) {
                        let properties = unsubscribe.properties;
                        self.raise_subscription(Event::SessionUnsubscribed, client, text, qos, properties);
                    }
                    // A group elsewhere chooses this member until it has heard of it [MQTT-3.10.4-2].
                    if let Some(home) = self.forget_subscription(client, text).filter(|home| *home != self.id) {
                        self.peers.wait_for(home, &mut waits);
                    }
                    ReasonCode::Success
                }
                None => ReasonCode::NoSubscriptionExisted,
            };
            reason_codes.push(code);
        }
        let packet = Packet::UnsubAck(SubAck {
            packet_id: unsubscribe.packet_id,
            properties: Properties::default(),
            reason_codes,
        });
        self.reply(id, &packet, Counter::PacketsSentUnsuback, waits, Vec::new())
    }

    /// Takes a subscription that the session does not list any more out of the filters or its group; says where the
    /// group lives.
    pub(super) fn forget_subscription(&mut self, client: u32, text: &str) -> Option<ShardId> {
        self.counters.lower(subscription_gauge(text), 1);
        let mountpoint = self.clients.get(client).map_or(0, |client| client.mountpoint);
        let (share, filter) = Share::split(text);
        let mut mounted = String::new();
        let filter = self.mount(mountpoint, filter, &mut mounted).to_owned();
        match share {
            Some(share) => Some(self.leave_group(client, share, &filter)),
            None => {
                self.unsubscribe_target(&filter, Target::Client(client));
                self.end_feeds_of(client, &filter);
                None
            }
        }
    }

    /// A topic or filter with its client's mountpoint in front.
    pub(super) fn mount<'a>(&self, mountpoint: u16, text: &'a str, mounted: &'a mut String) -> &'a str {
        if mountpoint == 0 {
            return text;
        }
        mounted.clear();
        mounted.push_str(self.shared.mountpoint(mountpoint));
        mounted.push_str(text);
        mounted
    }

    /// A topic to publish to with its client's mountpoint in front; `$delayed/…` is mounted when it is due.
    pub(super) fn mount_topic<'a>(&self, mountpoint: u16, topic: &'a str, mounted: &'a mut String) -> &'a str {
        if topic.starts_with('$') { topic } else { self.mount(mountpoint, topic, mounted) }
    }

    /// Whether a client is connected, and where.
    pub(super) fn connection_of(&self, client: u32) -> Option<u32> {
        self.clients.get(client).map(|client| client.conn).filter(|slot| *slot != NONE)
    }
}

const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

fn subscription_gauge(text: &str) -> Gauge {
    match Share::split(text) {
        (Some(_), _) => Gauge::SubscriptionsShared,
        (None, filter) if filter::has_wildcards(filter) => Gauge::SubscriptionsWildcard,
        (None, _) => Gauge::SubscriptionsExact,
    }
}
