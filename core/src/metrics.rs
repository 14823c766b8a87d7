//! What has been counted: plain numbers for each shard, added up only when somebody reads.
//!
//! A shard counts into its own [`Counters`] and now and then publishes them to its [`SharedCounters`], which any thread
//! reads without a lock. A reader may meet some numbers of one publication beside some of the next: an identity over
//! several counters holds exactly only once nothing moves.
//!
//! Not here: histograms, and the text of the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::packet::QoS;

macro_rules! table {
    ($(#[$doc:meta])* $enum:ident: $($variant:ident $name:literal => $metric:literal [$($label:expr),*];)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "each variant is named as its metric and labels are")]
        pub enum $enum { $($variant,)* }

        impl $enum {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its own name, snake_case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The metric it is a part of, as exported.
            #[must_use]
            pub const fn metric(self) -> &'static str {
                match self { $(Self::$variant => concat!("millrace_", $metric),)* }
            }

            /// The labels that make it a part of its metric.
            #[must_use]
            pub const fn labels(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Self::$variant => &[$($label),*],)* }
            }
        }
    };
}

table! {
    /// Something that only grows.
    Counter:
    // Connections.
    ConnectionsOpened "connections_opened" => "connections_opened_total" [];
    ConnectionsClosedClient "connections_closed_client" => "connections_closed_total" [("reason", "client")];
    ConnectionsClosedKeepAlive "connections_closed_keep_alive" => "connections_closed_total" [("reason", "keep_alive")];
    ConnectionsClosedTakeover "connections_closed_takeover" => "connections_closed_total" [("reason", "takeover")];
    ConnectionsClosedKicked "connections_closed_kicked" => "connections_closed_total" [("reason", "kicked")];
    ConnectionsClosedProtocolError "connections_closed_protocol_error" => "connections_closed_total" [("reason", "protocol_error")];
    ConnectionsClosedSlow "connections_closed_slow" => "connections_closed_total" [("reason", "slow")];
    ConnectionsClosedTls "connections_closed_tls" => "connections_closed_total" [("reason", "tls")];
    ConnectionsClosedLimit "connections_closed_limit" => "connections_closed_total" [("reason", "limit")];
    ConnectionsClosedAuth "connections_closed_auth" => "connections_closed_total" [("reason", "auth")];
    ConnectionsClosedShutdown "connections_closed_shutdown" => "connections_closed_total" [("reason", "shutdown")];
    ConnectionsClosedNetwork "connections_closed_network" => "connections_closed_total" [("reason", "network")];
    ConnectsRefusedAuth "connects_refused_auth" => "connects_refused_total" [("reason", "auth")];
    ConnectsRefusedBanned "connects_refused_banned" => "connects_refused_total" [("reason", "banned")];
    ConnectsRefusedLimit "connects_refused_limit" => "connects_refused_total" [("reason", "limit")];
    ConnectsRefusedRate "connects_refused_rate" => "connects_refused_total" [("reason", "rate")];
    ConnectsRefusedProtocol "connects_refused_protocol" => "connects_refused_total" [("reason", "protocol")];
    ConnectsRefusedServerBusy "connects_refused_server_busy" => "connects_refused_total" [("reason", "server_busy")];
    ConnectsRefusedTimeout "connects_refused_timeout" => "connects_refused_total" [("reason", "timeout")];
    SessionsEndedClean "sessions_ended_clean" => "sessions_ended_total" [("reason", "clean")];
    SessionsEndedExpired "sessions_ended_expired" => "sessions_ended_total" [("reason", "expired")];
    SessionsEndedTakeover "sessions_ended_takeover" => "sessions_ended_total" [("reason", "takeover")];
    SessionsEndedKicked "sessions_ended_kicked" => "sessions_ended_total" [("reason", "kicked")];
    SessionsEndedLimit "sessions_ended_limit" => "sessions_ended_total" [("reason", "limit")];
    SessionsEndedShutdown "sessions_ended_shutdown" => "sessions_ended_total" [("reason", "shutdown")];
    // Packets, in the order of their type numbers.
    PacketsReceivedConnect "packets_received_connect" => "packets_received_total" [("type", "connect")];
    PacketsReceivedConnack "packets_received_connack" => "packets_received_total" [("type", "connack")];
    PacketsReceivedPublish "packets_received_publish" => "packets_received_total" [("type", "publish")];
    PacketsReceivedPuback "packets_received_puback" => "packets_received_total" [("type", "puback")];
    PacketsReceivedPubrec "packets_received_pubrec" => "packets_received_total" [("type", "pubrec")];
    PacketsReceivedPubrel "packets_received_pubrel" => "packets_received_total" [("type", "pubrel")];
    PacketsReceivedPubcomp "packets_received_pubcomp" => "packets_received_total" [("type", "pubcomp")];
    PacketsReceivedSubscribe "packets_received_subscribe" => "packets_received_total" [("type", "subscribe")];
    PacketsReceivedSuback "packets_received_suback" => "packets_received_total" [("type", "suback")];
    PacketsReceivedUnsubscribe "packets_received_unsubscribe" => "packets_received_total" [("type", "unsubscribe")];
    PacketsReceivedUnsuback "packets_received_unsuback" => "packets_received_total" [("type", "unsuback")];
    PacketsReceivedPingreq "packets_received_pingreq" => "packets_received_total" [("type", "pingreq")];
    PacketsReceivedPingresp "packets_received_pingresp" => "packets_received_total" [("type", "pingresp")];
    PacketsReceivedDisconnect "packets_received_disconnect" => "packets_received_total" [("type", "disconnect")];
    PacketsReceivedAuth "packets_received_auth" => "packets_received_total" [("type", "auth")];
    PacketsSentConnect "packets_sent_connect" => "packets_sent_total" [("type", "connect")];
    PacketsSentConnack "packets_sent_connack" => "packets_sent_total" [("type", "connack")];
    PacketsSentPublish "packets_sent_publish" => "packets_sent_total" [("type", "publish")];
    PacketsSentPuback "packets_sent_puback" => "packets_sent_total" [("type", "puback")];
    PacketsSentPubrec "packets_sent_pubrec" => "packets_sent_total" [("type", "pubrec")];
    PacketsSentPubrel "packets_sent_pubrel" => "packets_sent_total" [("type", "pubrel")];
    PacketsSentPubcomp "packets_sent_pubcomp" => "packets_sent_total" [("type", "pubcomp")];
    PacketsSentSubscribe "packets_sent_subscribe" => "packets_sent_total" [("type", "subscribe")];
    PacketsSentSuback "packets_sent_suback" => "packets_sent_total" [("type", "suback")];
    PacketsSentUnsubscribe "packets_sent_unsubscribe" => "packets_sent_total" [("type", "unsubscribe")];
    PacketsSentUnsuback "packets_sent_unsuback" => "packets_sent_total" [("type", "unsuback")];
    PacketsSentPingreq "packets_sent_pingreq" => "packets_sent_total" [("type", "pingreq")];
    PacketsSentPingresp "packets_sent_pingresp" => "packets_sent_total" [("type", "pingresp")];
    PacketsSentDisconnect "packets_sent_disconnect" => "packets_sent_total" [("type", "disconnect")];
    PacketsSentAuth "packets_sent_auth" => "packets_sent_total" [("type", "auth")];
    ReceivedBytes "received_bytes" => "received_bytes_total" [];
    SentBytes "sent_bytes" => "sent_bytes_total" [];
    // Messages.
    MessagesReceivedQos0 "messages_received_qos0" => "messages_received_total" [("qos", "0")];
    MessagesReceivedQos1 "messages_received_qos1" => "messages_received_total" [("qos", "1")];
    MessagesReceivedQos2 "messages_received_qos2" => "messages_received_total" [("qos", "2")];
    MessagesOriginatedWill "messages_originated_will" => "messages_originated_total" [("origin", "will")];
    MessagesOriginatedDelayed "messages_originated_delayed" => "messages_originated_total" [("origin", "delayed")];
    MessagesOriginatedRepublish "messages_originated_republish" => "messages_originated_total" [("origin", "republish")];
    MessagesOriginatedSource "messages_originated_source" => "messages_originated_total" [("origin", "source")];
    MessagesOriginatedApi "messages_originated_api" => "messages_originated_total" [("origin", "api")];
    MessagesOriginatedSys "messages_originated_sys" => "messages_originated_total" [("origin", "sys")];
    MessagesUnrouted "messages_unrouted" => "messages_unrouted_total" [];
    MessagesRefusedNoPermission "messages_refused_no_permission" => "messages_refused_total" [("reason", "no_permission")];
    MessagesRefusedQuota "messages_refused_quota" => "messages_refused_total" [("reason", "quota")];
    MessagesRefusedTooLarge "messages_refused_too_large" => "messages_refused_total" [("reason", "too_large")];
    MessagesRefusedTopicInvalid "messages_refused_topic_invalid" => "messages_refused_total" [("reason", "topic_invalid")];
    MessagesRefusedPayloadFormat "messages_refused_payload_format" => "messages_refused_total" [("reason", "payload_format")];
    MessagesRefusedStorageFull "messages_refused_storage_full" => "messages_refused_total" [("reason", "storage_full")];
    // Deliveries.
    DeliveriesCreatedQos0 "deliveries_created_qos0" => "deliveries_created_total" [("qos", "0")];
    DeliveriesCreatedQos1 "deliveries_created_qos1" => "deliveries_created_total" [("qos", "1")];
    DeliveriesCreatedQos2 "deliveries_created_qos2" => "deliveries_created_total" [("qos", "2")];
    DeliveriesCompletedQos0 "deliveries_completed_qos0" => "deliveries_completed_total" [("qos", "0")];
    DeliveriesCompletedQos1 "deliveries_completed_qos1" => "deliveries_completed_total" [("qos", "1")];
    DeliveriesCompletedQos2 "deliveries_completed_qos2" => "deliveries_completed_total" [("qos", "2")];
    DeliveriesRestoredQos0 "deliveries_restored_qos0" => "deliveries_restored_total" [("qos", "0")];
    DeliveriesRestoredQos1 "deliveries_restored_qos1" => "deliveries_restored_total" [("qos", "1")];
    DeliveriesRestoredQos2 "deliveries_restored_qos2" => "deliveries_restored_total" [("qos", "2")];
    DeliveriesDroppedQos0QueueFull "deliveries_dropped_qos0_queue_full" => "deliveries_dropped_total" [("qos", "0"), ("reason", "queue_full")];
    DeliveriesDroppedQos0Expired "deliveries_dropped_qos0_expired" => "deliveries_dropped_total" [("qos", "0"), ("reason", "expired")];
    DeliveriesDroppedQos0TooLarge "deliveries_dropped_qos0_too_large" => "deliveries_dropped_total" [("qos", "0"), ("reason", "too_large")];
    DeliveriesDroppedQos0NoLocal "deliveries_dropped_qos0_no_local" => "deliveries_dropped_total" [("qos", "0"), ("reason", "no_local")];
    DeliveriesDroppedQos0Slow "deliveries_dropped_qos0_slow" => "deliveries_dropped_total" [("qos", "0"), ("reason", "slow")];
    DeliveriesDroppedQos0SessionEnded "deliveries_dropped_qos0_session_ended" => "deliveries_dropped_total" [("qos", "0"), ("reason", "session_ended")];
    DeliveriesDroppedQos1QueueFull "deliveries_dropped_qos1_queue_full" => "deliveries_dropped_total" [("qos", "1"), ("reason", "queue_full")];
    DeliveriesDroppedQos1Expired "deliveries_dropped_qos1_expired" => "deliveries_dropped_total" [("qos", "1"), ("reason", "expired")];
    DeliveriesDroppedQos1TooLarge "deliveries_dropped_qos1_too_large" => "deliveries_dropped_total" [("qos", "1"), ("reason", "too_large")];
    DeliveriesDroppedQos1NoLocal "deliveries_dropped_qos1_no_local" => "deliveries_dropped_total" [("qos", "1"), ("reason", "no_local")];
    DeliveriesDroppedQos1Slow "deliveries_dropped_qos1_slow" => "deliveries_dropped_total" [("qos", "1"), ("reason", "slow")];
    DeliveriesDroppedQos1SessionEnded "deliveries_dropped_qos1_session_ended" => "deliveries_dropped_total" [("qos", "1"), ("reason", "session_ended")];
    DeliveriesDroppedQos2QueueFull "deliveries_dropped_qos2_queue_full" => "deliveries_dropped_total" [("qos", "2"), ("reason", "queue_full")];
    DeliveriesDroppedQos2Expired "deliveries_dropped_qos2_expired" => "deliveries_dropped_total" [("qos", "2"), ("reason", "expired")];
    DeliveriesDroppedQos2TooLarge "deliveries_dropped_qos2_too_large" => "deliveries_dropped_total" [("qos", "2"), ("reason", "too_large")];
    DeliveriesDroppedQos2NoLocal "deliveries_dropped_qos2_no_local" => "deliveries_dropped_total" [("qos", "2"), ("reason", "no_local")];
    DeliveriesDroppedQos2Slow "deliveries_dropped_qos2_slow" => "deliveries_dropped_total" [("qos", "2"), ("reason", "slow")];
    DeliveriesDroppedQos2SessionEnded "deliveries_dropped_qos2_session_ended" => "deliveries_dropped_total" [("qos", "2"), ("reason", "session_ended")];
    // Limits, in the order of `Limit`.
    LimitHitsConnections "limit_hits_connections" => "limit_hits_total" [("limit", "connections")];
    LimitHitsConnectRate "limit_hits_connect_rate" => "limit_hits_total" [("limit", "connect_rate")];
    LimitHitsConnectTimeout "limit_hits_connect_timeout" => "limit_hits_total" [("limit", "connect_timeout")];
    LimitHitsPacketBytes "limit_hits_packet_bytes" => "limit_hits_total" [("limit", "packet_bytes")];
    LimitHitsConnectPacketBytes "limit_hits_connect_packet_bytes" => "limit_hits_total" [("limit", "connect_packet_bytes")];
    LimitHitsMessageRate "limit_hits_message_rate" => "limit_hits_total" [("limit", "message_rate")];
    LimitHitsByteRate "limit_hits_byte_rate" => "limit_hits_total" [("limit", "byte_rate")];
    LimitHitsInflight "limit_hits_inflight" => "limit_hits_total" [("limit", "inflight")];
    LimitHitsSubscriptions "limit_hits_subscriptions" => "limit_hits_total" [("limit", "subscriptions")];
    LimitHitsTopicLevels "limit_hits_topic_levels" => "limit_hits_total" [("limit", "topic_levels")];
    LimitHitsTopicBytes "limit_hits_topic_bytes" => "limit_hits_total" [("limit", "topic_bytes")];
    LimitHitsQueuedMessages "limit_hits_queued_messages" => "limit_hits_total" [("limit", "queued_messages")];
    LimitHitsQueuedBytes "limit_hits_queued_bytes" => "limit_hits_total" [("limit", "queued_bytes")];
    LimitHitsRetainedMessages "limit_hits_retained_messages" => "limit_hits_total" [("limit", "retained_messages")];
    LimitHitsRetainedBytes "limit_hits_retained_bytes" => "limit_hits_total" [("limit", "retained_bytes")];
    LimitHitsDelayedMessages "limit_hits_delayed_messages" => "limit_hits_total" [("limit", "delayed_messages")];
    LimitHitsDescriptors "limit_hits_descriptors" => "limit_hits_total" [("limit", "descriptors")];
    LimitHitsMemory "limit_hits_memory" => "limit_hits_total" [("limit", "memory")];
    // Actions of rules that failed, in the order of `ActionFailure`.
    RuleActionFailuresBadTopic "rule_action_failures_bad_topic" => "rule_action_failures_total" [("reason", "bad_topic")];
    RuleActionFailuresBadQos "rule_action_failures_bad_qos" => "rule_action_failures_total" [("reason", "bad_qos")];
    RuleActionFailuresBadRetain "rule_action_failures_bad_retain" => "rule_action_failures_total" [("reason", "bad_retain")];
    RuleActionFailuresBadProperty "rule_action_failures_bad_property" => "rule_action_failures_total" [("reason", "bad_property")];
    RuleActionFailuresTooLarge "rule_action_failures_too_large" => "rule_action_failures_total" [("reason", "too_large")];
    RuleActionFailuresRecursive "rule_action_failures_recursive" => "rule_action_failures_total" [("reason", "recursive")];
    RuleActionFailuresTooManyHops "rule_action_failures_too_many_hops" => "rule_action_failures_total" [("reason", "too_many_hops")];
    RuleActionFailuresRefused "rule_action_failures_refused" => "rule_action_failures_total" [("reason", "refused")];
    RuleActionFailuresQueueFull "rule_action_failures_queue_full" => "rule_action_failures_total" [("reason", "queue_full")];
    RuleActionFailuresSinkFull "rule_action_failures_sink_full" => "rule_action_failures_total" [("reason", "sink_full")];
    RuleActionFailuresNoSink "rule_action_failures_no_sink" => "rule_action_failures_total" [("reason", "no_sink")];
    // The shard itself.
    RecvPaused "recv_paused" => "recv_paused_total" [];
    MeshStalls "mesh_stalls" => "mesh_stalls_total" [];
    BufferExhausted "buffer_exhausted" => "buffer_exhausted_total" [];
}

table! {
    /// Something that is there now.
    Gauge:
    Connections "connections" => "connections" [];
    SessionsConnected "sessions_connected" => "sessions" [("state", "connected")];
    SessionsOffline "sessions_offline" => "sessions" [("state", "offline")];
    SubscriptionsExact "subscriptions_exact" => "subscriptions" [("kind", "exact")];
    SubscriptionsWildcard "subscriptions_wildcard" => "subscriptions" [("kind", "wildcard")];
    SubscriptionsShared "subscriptions_shared" => "subscriptions" [("kind", "shared")];
    SharedGroups "shared_groups" => "shared_groups" [];
    RoutesExact "routes_exact" => "routes" [("kind", "exact")];
    RoutesWildcard "routes_wildcard" => "routes" [("kind", "wildcard")];
    RetainedMessages "retained_messages" => "retained_messages" [];
    RetainedBytes "retained_bytes" => "retained_bytes" [];
    DeliveriesQueued "deliveries_queued" => "deliveries_queued" [];
    DeliveriesQueuedBytes "deliveries_queued_bytes" => "deliveries_queued_bytes" [];
    DeliveriesInflight "deliveries_inflight" => "deliveries_inflight" [];
    DelayedMessages "delayed_messages" => "delayed_messages" [];
    RepublishQueued "republish_queued" => "republish_queued" [];
    RecvPausedNow "recv_paused_now" => "recv_paused" [];
}

/// Why a delivery was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// `queue_full`.
    QueueFull,
    /// `expired`.
    Expired,
    /// `too_large`.
    TooLarge,
    /// `no_local`.
    NoLocal,
    /// `slow`.
    Slow,
    /// `session_ended`.
    SessionEnded,
}

/// A limit that somebody has come up against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `connections`.
    Connections,
    /// `connect_rate`.
    ConnectRate,
    /// `connect_timeout`.
    ConnectTimeout,
    /// `packet_bytes`.
    PacketBytes,
    /// `connect_packet_bytes`.
    ConnectPacketBytes,
    /// `message_rate`.
    MessageRate,
    /// `byte_rate`.
    ByteRate,
    /// `inflight`.
    Inflight,
    /// `subscriptions`.
    Subscriptions,
    /// `topic_levels`.
    TopicLevels,
    /// `topic_bytes`.
    TopicBytes,
    /// `queued_messages`.
    QueuedMessages,
    /// `queued_bytes`.
    QueuedBytes,
    /// `retained_messages`.
    RetainedMessages,
    /// `retained_bytes`.
    RetainedBytes,
    /// `delayed_messages`.
    DelayedMessages,
    /// `descriptors`.
    Descriptors,
    /// `memory`.
    Memory,
}

/// Why an action of a rule was not done for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionFailure {
    /// `bad_topic`.
    BadTopic,
    /// `bad_qos`.
    BadQos,
    /// `bad_retain`.
    BadRetain,
    /// `bad_property`.
    BadProperty,
    /// `too_large`.
    TooLarge,
    /// `recursive`: the rule itself published the message that it would see.
    Recursive,
    /// `too_many_hops`.
    TooManyHops,
    /// `refused`.
    Refused,
    /// `queue_full`.
    QueueFull,
    /// `sink_full`.
    SinkFull,
    /// `no_sink`.
    NoSink,
}

impl ActionFailure {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        let [(_, name)] = Counter::rule_action_failures(self).labels() else { panic!("one label") };
        name
    }

    /// Whether it failed for want of room only.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        matches!(self, Self::QueueFull | Self::SinkFull)
    }
}

impl Counter {
    const COUNT: usize = Self::ALL.len();

    /// A control packet has been received; `packet_type` is 1 (CONNECT) to 15 (AUTH).
    #[must_use]
    pub const fn packets_received(packet_type: u8) -> Self {
        Self::in_family(Self::PacketsReceivedConnect, 15, packet_type as usize - 1)
    }

    /// A control packet has been sent; `packet_type` is 1 (CONNECT) to 15 (AUTH).
    #[must_use]
    pub const fn packets_sent(packet_type: u8) -> Self {
        Self::in_family(Self::PacketsSentConnect, 15, packet_type as usize - 1)
    }

    /// A PUBLISH has been accepted.
    #[must_use]
    pub const fn messages_received(qos: QoS) -> Self {
        Self::in_family(Self::MessagesReceivedQos0, 3, qos as usize)
    }

    /// A message is to be delivered to one subscriber.
    #[must_use]
    pub const fn deliveries_created(qos: QoS) -> Self {
        Self::in_family(Self::DeliveriesCreatedQos0, 3, qos as usize)
    }

    /// A delivery is done: handed to the socket, or with QoS 1 and 2 fully acknowledged.
    #[must_use]
    pub const fn deliveries_completed(qos: QoS) -> Self {
        Self::in_family(Self::DeliveriesCompletedQos0, 3, qos as usize)
    }

    /// A delivery was brought back from disk.
    #[must_use]
    pub const fn deliveries_restored(qos: QoS) -> Self {
        Self::in_family(Self::DeliveriesRestoredQos0, 3, qos as usize)
    }

    /// A delivery will never be done.
    #[must_use]
    pub const fn deliveries_dropped(qos: QoS, reason: DropReason) -> Self {
        const REASONS: usize = DropReason::SessionEnded as usize + 1;
        let member = qos as usize * REASONS + reason as usize;
        Self::in_family(Self::DeliveriesDroppedQos0QueueFull, 3 * REASONS, member)
    }

    /// A limit was met.
    #[must_use]
    pub const fn limit_hits(limit: Limit) -> Self {
        const LIMITS: usize = Limit::Memory as usize + 1;
        Self::in_family(Self::LimitHitsConnections, LIMITS, limit as usize)
    }

    /// An action of a rule was not done.
    #[must_use]
    pub const fn rule_action_failures(why: ActionFailure) -> Self {
        const REASONS: usize = ActionFailure::NoSink as usize + 1;
        Self::in_family(Self::RuleActionFailuresBadTopic, REASONS, why as usize)
    }

    const fn in_family(first: Self, len: usize, member: usize) -> Self {
        assert!(member < len, "a family has no members but its own");
        Self::ALL[first as usize + member]
    }
}

impl Gauge {
    const COUNT: usize = Self::ALL.len();
}

const NUMBERS: usize = Counter::COUNT + Gauge::COUNT;

/// The counters and gauges of one shard, or of several added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The counters, then the gauges.
    numbers: [u64; NUMBERS],
}

impl Counters {
    /// All at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { numbers: [0; NUMBERS] }
    }

    /// `n` more.
    #[inline]
    pub const fn add(&mut self, counter: Counter, n: u64) {
        let number = &mut self.numbers[counter as usize];
        *number = number.wrapping_add(n);
    }

    /// How many.
    #[inline]
    #[must_use]
    pub const fn get(&self, counter: Counter) -> u64 {
        self.numbers[counter as usize]
    }

    /// `n` more of what is there now.
    #[inline]
    pub const fn raise(&mut self, gauge: Gauge, n: u64) {
        let number = &mut self.numbers[Counter::COUNT + gauge as usize];
        *number = number.saturating_add(n);
    }

    /// `n` fewer of what is there now.
    #[inline]
    pub const fn lower(&mut self, gauge: Gauge, n: u64) {
        let number = &mut self.numbers[Counter::COUNT + gauge as usize];
        debug_assert!(*number >= n, "only what was raised is lowered");
        *number = number.saturating_sub(n);
    }

    /// As many are there now.
    #[inline]
    pub const fn set(&mut self, gauge: Gauge, n: u64) {
        self.numbers[Counter::COUNT + gauge as usize] = n;
    }

    /// How many are there now.
    #[inline]
    #[must_use]
    pub const fn gauge(&self, gauge: Gauge) -> u64 {
        self.numbers[Counter::COUNT + gauge as usize]
    }

    /// Adds the numbers of another shard.
    pub fn merge(&mut self, other: &Self) {
        for (number, more) in self.numbers.iter_mut().zip(&other.numbers) {
            *number = number.wrapping_add(*more);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// What a shard has last published: one shard writes, anybody reads.
#[derive(Debug)]
#[repr(align(128))]
pub struct SharedCounters {
    numbers: [AtomicU64; NUMBERS],
}

impl SharedCounters {
    /// All at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { numbers: [const { AtomicU64::new(0) }; NUMBERS] }
    }

    /// Shows the present numbers to readers.
    pub fn publish(&self, counters: &Counters) {
        for (shown, number) in self.numbers.iter().zip(&counters.numbers) {
            // Unchanged numbers are left alone, so that their cache lines stay with the readers.
            if shown.load(Ordering::Relaxed) != *number {
                shown.store(*number, Ordering::Relaxed);
            }
        }
    }

    /// The numbers as last published.
    #[must_use]
    pub fn read(&self) -> Counters {
        let mut counters = Counters::new();
        for (number, shown) in counters.numbers.iter_mut().zip(&self.numbers) {
            *number = shown.load(Ordering::Relaxed);
        }
        counters
    }
}

impl Default for SharedCounters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn is_snake_case(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && !name.ends_with('_')
            && !name.contains("__")
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    #[test]
    fn names_are_unique_and_snake_case() {
        let mut names = HashSet::new();
        let mut series = HashSet::new();
        let counters = Counter::ALL.iter().map(|c| (c.name(), c.metric(), c.labels()));
        let gauges = Gauge::ALL.iter().map(|g| (g.name(), g.metric(), g.labels()));
        for (name, metric, labels) in counters.chain(gauges) {
            assert!(is_snake_case(name) && is_snake_case(metric), "{name}");
            assert!(names.insert(name), "{name}");
            assert!(series.insert((metric, labels)), "{metric} {labels:?}");
            for (label, value) in labels {
                assert!(is_snake_case(label), "{label}");
                assert!(!value.is_empty(), "{name}");
            }
        }
        assert_eq!(names.len(), NUMBERS);
    }

    #[test]
    fn a_metric_is_a_counter_if_its_name_says_so_and_has_one_set_of_labels() {
        let mut keys = std::collections::HashMap::new();
        for counter in Counter::ALL {
            assert!(counter.metric().ends_with("_total"), "{counter:?}");
            let labels: Vec<_> = counter.labels().iter().map(|(key, _)| *key).collect();
            let known = keys.entry(counter.metric()).or_insert_with(|| labels.clone());
            assert_eq!(*known, labels, "{counter:?}");
        }
        for gauge in Gauge::ALL {
            assert!(!gauge.metric().ends_with("_total"), "{gauge:?}");
        }
    }

    #[test]
    fn families_are_in_the_order_of_their_members() {
        assert_eq!(Counter::packets_received(1).name(), "packets_received_connect");
        assert_eq!(Counter::packets_received(15).name(), "packets_received_auth");
        assert_eq!(Counter::packets_sent(4).name(), "packets_sent_puback");
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let q = qos as u8;
            for (counter, name) in [
                (Counter::messages_received(qos), "messages_received"),
                (Counter::deliveries_created(qos), "deliveries_created"),
                (Counter::deliveries_completed(qos), "deliveries_completed"),
                (Counter::deliveries_restored(qos), "deliveries_restored"),
            ] {
                assert_eq!(counter.name(), format!("{name}_qos{q}"));
            }
            for (reason, name) in [
                (DropReason::QueueFull, "queue_full"),
                (DropReason::Expired, "expired"),
                (DropReason::TooLarge, "too_large"),
                (DropReason::NoLocal, "no_local"),
                (DropReason::Slow, "slow"),
                (DropReason::SessionEnded, "session_ended"),
            ] {
                let counter = Counter::deliveries_dropped(qos, reason);
                assert_eq!(counter.name(), format!("deliveries_dropped_qos{q}_{name}"));
            }
        }
        for (limit, name) in [
            (Limit::Connections, "connections"),
            (Limit::ConnectRate, "connect_rate"),
            (Limit::ConnectTimeout, "connect_timeout"),
            (Limit::PacketBytes, "packet_bytes"),
            (Limit::ConnectPacketBytes, "connect_packet_bytes"),
            (Limit::MessageRate, "message_rate"),
            (Limit::ByteRate, "byte_rate"),
            (Limit::Inflight, "inflight"),
            (Limit::Subscriptions, "subscriptions"),
            (Limit::TopicLevels, "topic_levels"),
            (Limit::TopicBytes, "topic_bytes"),
            (Limit::QueuedMessages, "queued_messages"),
            (Limit::QueuedBytes, "queued_bytes"),
            (Limit::RetainedMessages, "retained_messages"),
            (Limit::RetainedBytes, "retained_bytes"),
            (Limit::DelayedMessages, "delayed_messages"),
            (Limit::Descriptors, "descriptors"),
            (Limit::Memory, "memory"),
        ] {
            assert_eq!(Counter::limit_hits(limit).name(), format!("limit_hits_{name}"));
        }
        for (why, name) in [
            (ActionFailure::BadTopic, "bad_topic"),
            (ActionFailure::BadQos, "bad_qos"),
            (ActionFailure::BadRetain, "bad_retain"),
            (ActionFailure::BadProperty, "bad_property"),
            (ActionFailure::TooLarge, "too_large"),
            (ActionFailure::Recursive, "recursive"),
            (ActionFailure::TooManyHops, "too_many_hops"),
            (ActionFailure::Refused, "refused"),
            (ActionFailure::QueueFull, "queue_full"),
            (ActionFailure::SinkFull, "sink_full"),
            (ActionFailure::NoSink, "no_sink"),
        ] {
            assert_eq!(Counter::rule_action_failures(why).name(), format!("rule_action_failures_{name}"));
            assert_eq!(why.name(), name);
        }
    }

    #[test]
    fn readers_add_up_what_shards_publish() {
        let shared = [SharedCounters::new(), SharedCounters::new()];
        let mut counters = Counters::new();
        counters.add(Counter::SentBytes, 40);
        counters.raise(Gauge::Connections, 3);
        counters.lower(Gauge::Connections, 1);
        shared[0].publish(&counters);
        counters.add(Counter::SentBytes, 2);
        counters.set(Gauge::RetainedBytes, 7);
        shared[1].publish(&counters);
        let mut sum = Counters::new();
        for shard in &shared {
            sum.merge(&shard.read());
        }
        assert_eq!(sum.get(Counter::SentBytes), 82);
        assert_eq!(sum.gauge(Gauge::Connections), 4);
        assert_eq!(sum.gauge(Gauge::RetainedBytes), 7);
        assert_eq!(sum.get(Counter::ReceivedBytes), 0);
    }
}
