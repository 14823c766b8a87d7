//! The events that rules can read and their fields, as tables: names, types and a sentence for people.

use millrace_core::topic::filter;

use crate::value_type::Type;

/// An event that rules can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table below says what each one is")]
pub enum Event {
    MessagePublish,
    MessageDelivered,
    MessageAcked,
    MessageDropped,
    DeliveryDropped,
    ClientConnected,
    ClientDisconnected,
    ClientConnack,
    ClientPing,
    ClientCheckAuthn,
    ClientCheckAuthz,
    SessionSubscribed,
    SessionUnsubscribed,
    SessionCreated,
    SessionResumed,
    SessionTerminated,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug)]
pub struct EventInfo {
    /// Which one.
    pub event: Event,
    /// Its name, as the field `event` has it.
    pub name: &'static str,
    /// What stands after FROM: any of these. Empty for messages, of which FROM names Topic Filters.
    pub topics: &'static [&'static str],
    /// Its fields in the order of `*`, besides those that each event has.
    fields: &'static [EventField],
    /// When it happens.
    pub about: &'static str,
    /// Whether this broker has a part that makes it happen.
    pub raised: bool,
}

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table below says what each one is")]
pub enum EventField {
    Id,
    FromClientId,
    FromUsername,
    ClientId,
    Username,
    PeerHost,
    PeerName,
    SockName,
    Topic,
    Qos,
    Flags,
    Payload,
    PubProps,
    PublishReceivedAt,
    PubackProps,
    Reason,
    ReasonCode,
    Mountpoint,
    ProtoName,
    ProtoVer,
    Keepalive,
    CleanStart,
    ReceiveMaximum,
    ExpiryInterval,
    IsBridge,
    ConnProps,
    ConnectedAt,
    DisconnProps,
    DisconnectedAt,
    SubProps,
    UnsubProps,
    Action,
    IsCache,
    Result,
    AuthzSource,
    IsAnonymous,
    IsSuperuser,
    Timestamp,
    Node,
    Event,
    Metadata,
    Headers,
    ClientAttrs,
    UserProperties,
    Retain,
}

/// What is known of a field.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Which one.
    pub field: EventField,
    /// As it is written in a rule.
    pub name: &'static str,
    /// What its value may be.
    pub ty: Type,
    /// What it is.
    pub about: &'static str,
}

const fn field(field: EventField, name: &'static str, ty: Type, about: &'static str) -> FieldInfo {
    FieldInfo { field, name, ty, about }
}

const TEXT_OR_NULL: Type = Type::TEXT.or(Type::NULL);

/// By the order of [`EventField`].
const FIELDS: [FieldInfo; 45] = [
    field(EventField::Id, "id", Type::TEXT, "Identifier of the message, 32 hexadecimal digits."),
    field(EventField::FromClientId, "from_clientid", TEXT_OR_NULL, "Client Identifier of the publisher."),
    field(EventField::FromUsername, "from_username", TEXT_OR_NULL, "User Name of the publisher; null without one."),
    field(
        EventField::ClientId,
        "clientid",
        Type::TEXT,
        "Client Identifier: of the publisher, or of the receiver where a message is delivered, acknowledged or dropped.",
    ),
    field(EventField::Username, "username", TEXT_OR_NULL, "User Name of that client; null without one."),
    field(EventField::PeerHost, "peerhost", TEXT_OR_NULL, "IP address of that client."),
    field(EventField::PeerName, "peername", TEXT_OR_NULL, "IP address and port of the client."),
    field(EventField::SockName, "sockname", TEXT_OR_NULL, "IP address and port that the client connected to."),
    field(EventField::Topic, "topic", Type::TEXT, "Topic Name, or the Topic Filter of a subscription."),
    field(EventField::Qos, "qos", Type::INT, "Quality of Service: 0, 1 or 2."),
    field(EventField::Flags, "flags", Type::MAP, "`retain` and `dup`, true or false."),
    field(
        EventField::Payload,
        "payload",
        Type::TEXT.or(Type::BYTES),
        "The Application Message; `payload.a.b` reads into it as JSON.",
    ),
    field(EventField::PubProps, "pub_props", Type::MAP, "PUBLISH properties by their names in MQTT 5.0."),
    field(
        EventField::PublishReceivedAt,
        "publish_received_at",
        Type::INT,
        "When the message was received: milliseconds since 1970-01-01T00:00:00Z.",
    ),
    field(EventField::PubackProps, "puback_props", Type::MAP, "Properties of the acknowledgement."),
    field(EventField::Reason, "reason", Type::TEXT, "Why, in a word such as `normal` or `queue_full`."),
    field(EventField::ReasonCode, "reason_code", Type::TEXT, "Name of the Reason Code, such as `success`."),
    field(EventField::Mountpoint, "mountpoint", TEXT_OR_NULL, "Prefix of the client's topics; null without one."),
    field(EventField::ProtoName, "proto_name", Type::TEXT, "`MQTT` or `MQIsdp`."),
    field(EventField::ProtoVer, "proto_ver", Type::INT, "Protocol level: 3, 4 or 5."),
    field(EventField::Keepalive, "keepalive", Type::INT, "Keep Alive in seconds."),
    field(EventField::CleanStart, "clean_start", Type::BOOL, "Clean Start, or Clean Session."),
    field(EventField::ReceiveMaximum, "receive_maximum", Type::INT, "Receive Maximum of the client."),
    field(EventField::ExpiryInterval, "expiry_interval", Type::INT, "Session Expiry Interval in seconds."),
    field(EventField::IsBridge, "is_bridge", Type::BOOL, "Whether the client said that it is a bridge."),
    field(EventField::ConnProps, "conn_props", Type::MAP, "CONNECT properties by their names in MQTT 5.0."),
    field(EventField::ConnectedAt, "connected_at", Type::INT, "When it connected, in milliseconds."),
    field(EventField::DisconnProps, "disconn_props", Type::MAP, "DISCONNECT properties by their names in MQTT 5.0."),
    field(EventField::DisconnectedAt, "disconnected_at", Type::INT, "When it went, in milliseconds."),
    field(EventField::SubProps, "sub_props", Type::MAP, "SUBSCRIBE properties by their names in MQTT 5.0."),
    field(EventField::UnsubProps, "unsub_props", Type::MAP, "UNSUBSCRIBE properties by their names in MQTT 5.0."),
    field(EventField::Action, "action", Type::TEXT, "`publish` or `subscribe`."),
    field(EventField::IsCache, "is_cache", Type::BOOL, "Whether the answer was remembered."),
    field(EventField::Result, "result", Type::TEXT, "`allow` or `deny`."),
    field(EventField::AuthzSource, "authz_source", TEXT_OR_NULL, "Who decided."),
    field(EventField::IsAnonymous, "is_anonymous", Type::BOOL, "Whether it gave no credentials."),
    field(EventField::IsSuperuser, "is_superuser", Type::BOOL, "Whether no access check holds for it."),
    field(EventField::Timestamp, "timestamp", Type::INT, "When the event happened, in milliseconds."),
    field(EventField::Node, "node", Type::TEXT, "Name of the node on which it happened."),
    field(EventField::Event, "event", Type::TEXT, "Name of the event, such as `message.publish`."),
    field(EventField::Metadata, "metadata", Type::MAP, "`rule_id`: the name of the rule itself."),
    field(
        EventField::Headers,
        "headers",
        Type::MAP,
        "Deprecated: `peerhost`, `username` and `properties` of a message.",
    ),
    field(EventField::ClientAttrs, "client_attrs", Type::MAP, "Attributes of the client; always empty."),
    field(
        EventField::UserProperties,
        "user_properties",
        Type::MAP,
        "The User Properties among the PUBLISH properties.",
    ),
    field(EventField::Retain, "retain", Type::BOOL, "RETAIN, as `flags.retain`."),
];

/// Fields of each event, behind its own.
const COMMON: [EventField; 3] = [EventField::Timestamp, EventField::Node, EventField::Event];
/// Fields of each event that are there only when asked for by name.
const BY_NAME: [EventField; 2] = [EventField::Metadata, EventField::ClientAttrs];
/// The same, for events about a message.
const BY_NAME_OF_MESSAGES: [EventField; 3] = [EventField::Headers, EventField::UserProperties, EventField::Retain];

const PUBLISHED: [EventField; 10] = [
    EventField::Id,
    EventField::ClientId,
    EventField::Username,
    EventField::PeerHost,
    EventField::Topic,
    EventField::Qos,
    EventField::Flags,
    EventField::Payload,
    EventField::PubProps,
    EventField::PublishReceivedAt,
];

macro_rules! fields {
    ($($field:ident)*) => { &[$(EventField::$field),*] };
}

const fn event(
    event: Event,
    name: &'static str,
    topics: &'static [&'static str],
    fields: &'static [EventField],
    about: &'static str,
) -> EventInfo {
    EventInfo { event, name, topics, fields, about, raised: true }
}

/// By the order of [`Event`].
const EVENTS: [EventInfo; 16] = [
    event(
        Event::MessagePublish,
        "message.publish",
        &[],
        &PUBLISHED,
        "A message was accepted from a client, or published by a rule.",
    ),
    event(
        Event::MessageDelivered,
        "message.delivered",
        &["$events/message_delivered", "$events/message/delivered"],
        fields!(Id FromClientId FromUsername ClientId Username PeerHost Topic Qos Flags Payload PubProps PublishReceivedAt),
        "A message was sent to a subscriber; for each of them.",
    ),
    event(
        Event::MessageAcked,
        "message.acked",
        &["$events/message_acked", "$events/message/acked"],
        fields!(Id FromClientId FromUsername ClientId Username PeerHost Topic Qos Flags Payload PubProps PubackProps PublishReceivedAt),
        "A subscriber acknowledged a message of QoS 1 or 2.",
    ),
    event(
        Event::MessageDropped,
        "message.dropped",
        &["$events/message_dropped", "$events/message/dropped"],
        fields!(Id Reason ClientId Username PeerHost Topic Qos Flags Payload PubProps PublishReceivedAt),
        "A message was accepted and nobody wanted it, or it was refused.",
    ),
    event(
        Event::DeliveryDropped,
        "delivery.dropped",
        &["$events/delivery_dropped", "$events/message/delivery_dropped"],
        fields!(Id Reason FromClientId FromUsername ClientId Username PeerHost Topic Qos Flags Payload PubProps PublishReceivedAt),
        "A message was not sent to one subscriber: `queue_full`, `no_local`, `expired`, `qos0_msg` or `too_large`.",
    ),
    event(
        Event::ClientConnected,
        "client.connected",
        &["$events/client_connected", "$events/client/connected"],
        fields!(ClientId Username Mountpoint PeerName SockName ProtoName ProtoVer Keepalive CleanStart ReceiveMaximum
            ExpiryInterval IsBridge ConnProps ConnectedAt),
        "A client connected and was accepted.",
    ),
    event(
        Event::ClientDisconnected,
        "client.disconnected",
        &["$events/client_disconnected", "$events/client/disconnected"],
        fields!(Reason ClientId Username PeerName SockName ProtoName ProtoVer DisconnProps DisconnectedAt),
        "A client that was connected went.",
    ),
    event(
        Event::ClientConnack,
        "client.connack",
        &["$events/client_connack", "$events/client/connack"],
        fields!(ReasonCode ClientId CleanStart Username PeerName SockName ProtoName ProtoVer Keepalive ExpiryInterval
            ConnProps),
        "A CONNECT was answered, whatever the answer.",
    ),
    event(
        Event::ClientPing,
        "client.ping",
        &["$events/client_ping", "$events/client/ping"],
        fields!(ClientId Username PeerName SockName ProtoName ProtoVer Keepalive),
        "A client sent PINGREQ.",
    ),
    EventInfo {
        event: Event::ClientCheckAuthn,
        name: "client.check_authn_complete",
        topics: &["$events/client_check_authn_complete", "$events/auth/check_authn_complete"],
        fields: fields!(ClientId Username PeerName ReasonCode IsAnonymous IsSuperuser),
        about: "The credentials of a client were checked.",
        raised: false,
    },
    EventInfo {
        event: Event::ClientCheckAuthz,
        name: "client.check_authz_complete",
        topics: &[
            "$events/client_check_authz_complete",
            "$events/client_check_acl_complete",
            "$events/auth/check_authz_complete",
        ],
        fields: fields!(ClientId Username PeerHost Topic Action IsCache Result AuthzSource),
        about: "It was decided whether a client may publish or subscribe.",
        raised: false,
    },
    event(
        Event::SessionSubscribed,
        "session.subscribed",
        &["$events/session_subscribed", "$events/session/subscribed"],
        fields!(ClientId Username PeerHost Topic Qos SubProps),
        "A client subscribed; for each Topic Filter.",
    ),
    event(
        Event::SessionUnsubscribed,
        "session.unsubscribed",
        &["$events/session_unsubscribed", "$events/session/unsubscribed"],
        fields!(ClientId Username PeerHost Topic Qos UnsubProps),
        "A client unsubscribed; for each Topic Filter.",
    ),
    event(
        Event::SessionCreated,
        "session.created",
        &["$events/session_created", "$events/session/created"],
        fields!(ClientId Username PeerHost CleanStart ExpiryInterval),
        "A client connected and got a new session.",
    ),
    event(
        Event::SessionResumed,
        "session.resumed",
        &["$events/session_resumed", "$events/session/resumed"],
        fields!(ClientId Username PeerHost CleanStart ExpiryInterval),
        "A client connected and got the session that it had left.",
    ),
    event(
        Event::SessionTerminated,
        "session.terminated",
        &["$events/session_terminated", "$events/session/terminated"],
        fields!(Reason ClientId Username),
        "A session ended: `expired`, `discarded`, `normal` and the other reasons of a client that went.",
    ),
];

impl EventField {
    /// What is known of it.
    #[must_use]
    pub const fn info(self) -> &'static FieldInfo {
        &FIELDS[self as usize]
    }
}

impl Event {
    /// How many there are.
    pub const COUNT: usize = EVENTS.len();

    /// All events.
    pub fn all() -> impl Iterator<Item = &'static EventInfo> {
        EVENTS.iter()
    }

    /// What is known of it.
    #[must_use]
    pub const fn info(self) -> &'static EventInfo {
        &EVENTS[self as usize]
    }

    /// The event of this name, `client.connected`, or of this topic, `$events/client_connected`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        EVENTS.iter().find(|info| info.name == name || info.topics.contains(&name)).map(|info| info.event)
    }

    /// The events that this Topic Filter, which begins with `$events/`, asks for.
    pub fn matching(wanted: &str) -> impl Iterator<Item = Self> {
        EVENTS
            .iter()
            .filter(move |info| info.topics.iter().any(|topic| filter::matches(wanted, topic)))
            .map(|info| info.event)
    }

    /// Its fields, in the order of `*`.
    pub fn fields(self) -> impl Iterator<Item = &'static FieldInfo> {
        self.info().fields.iter().chain(&COMMON).map(|field| field.info())
    }

    /// The fields that `*` leaves out.
    pub fn fields_by_name(self) -> impl Iterator<Item = &'static FieldInfo> {
        let of_messages: &[EventField] = if self.is_about_a_message() { &BY_NAME_OF_MESSAGES } else { &[] };
        BY_NAME.iter().chain(of_messages).map(|field| field.info())
    }

    /// The field of this name.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'static FieldInfo> {
        self.fields().chain(self.fields_by_name()).find(|field| field.name == name)
    }

    /// Whether there is a payload.
    #[must_use]
    pub fn is_about_a_message(self) -> bool {
        self.info().fields.contains(&EventField::Payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_lie_in_the_order_of_their_enums() {
        for (index, info) in FIELDS.iter().enumerate() {
            assert_eq!(info.field as usize, index, "{}", info.name);
        }
        for (index, info) in EVENTS.iter().enumerate() {
            assert_eq!(info.event as usize, index, "{}", info.name);
        }
    }

    #[test]
    fn an_event_is_found_by_its_name_and_by_each_of_its_topics() {
        for info in Event::all() {
            assert_eq!(Event::named(info.name), Some(info.event));
            for topic in info.topics {
                assert_eq!(Event::named(topic), Some(info.event));
                assert_eq!(Event::matching(topic).collect::<Vec<_>>(), [info.event]);
            }
        }
        assert_eq!(Event::named("$events/client_conected"), None);
        assert_eq!(Event::matching("$events/session/+").count(), 5);
        assert_eq!(Event::matching("$events/#").count(), Event::COUNT - 1);
    }
}
