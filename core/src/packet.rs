//! The control packets as structs: one model for MQTT 3.1, 3.1.1 and 5.0.
//!
//! Everything borrows from the bytes it was decoded from. Packets of version 3 carry empty [`Properties`].

use std::num::NonZeroU16;

use crate::codec::properties::Properties;
use crate::reason_code::ReasonCode;

/// A Packet Identifier: never 0 (MQTT-2.2.1-3).
pub type PacketId = NonZeroU16;

/// The protocol level of a connection, as its CONNECT named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProtocolVersion {
    /// MQTT 3.1, `MQIsdp`.
    V31 = 3,
    /// MQTT 3.1.1.
    V311 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

/// Quality of Service of a message or the greatest one of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// Delivered once or not at all.
    #[default]
    AtMostOnce = 0,
    /// Delivered, perhaps more than once.
    AtLeastOnce = 1,
    /// Delivered once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The Quality of Service with this number.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Any control packet of any version, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named as in the specification")]
pub enum Packet<'a> {
    Connect(Box<Connect<'a>>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(SubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Protocol level.
    pub version: ProtocolVersion,
    /// 3.1 and 3.1.1 bridges set bit 7 of the protocol level; Mosquitto and we take it as a bridge that wants no echo.
    pub bridge: bool,
    /// Clean Start (5.0), Clean Session (3.1.1).
    pub clean_start: bool,
    /// Keep Alive in seconds, 0 for none.
    pub keep_alive: u16,
    /// CONNECT properties.
    pub properties: Properties<'a>,
    /// Client Identifier as sent, perhaps empty.
    pub client_id: &'a str,
    /// The Will, if there is one.
    pub will: Option<Will<'a>>,
    /// User Name.
    pub username: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
}

/// The Will of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Properties.
    pub properties: Properties<'a>,
    /// Will Topic.
    pub topic: &'a str,
    /// Will Payload.
    pub payload: &'a [u8],
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Session Present.
    pub session_present: bool,
    /// Connect Reason Code; for version 3 encoded as the return code that it becomes.
    pub reason_code: ReasonCode,
    /// CONNACK properties.
    pub properties: Properties<'a>,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Sent before, perhaps.
    pub dup: bool,
    /// Quality of Service.
    pub qos: QoS,
    /// Retain.
    pub retain: bool,
    /// Topic Name; empty only in 5.0 together with a Topic Alias.
    pub topic: &'a str,
    /// Packet Identifier, with QoS 1 and 2 only.
    pub packet_id: Option<PacketId>,
    /// PUBLISH properties.
    pub properties: Properties<'a>,
    /// Application Message.
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The PUBLISH it speaks of.
    pub packet_id: PacketId,
    /// Reason Code; always Success in version 3.
    pub reason_code: ReasonCode,
    /// Properties.
    pub properties: Properties<'a>,
}

/// What a SUBSCRIBE asks for one Topic Filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// Maximum QoS.
    pub qos: QoS,
    /// No Local.
    pub no_local: bool,
    /// Retain As Published.
    pub retain_as_published: bool,
    /// Retain Handling.
    pub retain_handling: RetainHandling,
}

/// When a SUBSCRIBE is answered with retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// SUBSCRIBE. The filters were checked when it was decoded: UTF-8, and options legal for the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Packet Identifier.
    pub packet_id: PacketId,
    /// Properties (at most one Subscription Identifier).
    pub properties: Properties<'a>,
    /// Topic Filters with their options, in order; never empty. Not yet checked as Topic Filters.
    pub filters: Vec<(&'a str, SubscriptionOptions)>,
}

/// SUBACK, and UNSUBACK (which has no codes in version 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// Packet Identifier.
    pub packet_id: PacketId,
    /// Properties.
    pub properties: Properties<'a>,
    /// One Reason Code for each Topic Filter.
    pub reason_codes: Vec<ReasonCode>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Packet Identifier.
    pub packet_id: PacketId,
    /// Properties.
    pub properties: Properties<'a>,
    /// Topic Filters, in order; never empty.
    pub filters: Vec<&'a str>,
}

/// DISCONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Reason Code; Normal disconnection in version 3.
    pub reason_code: ReasonCode,
    /// Properties.
    pub properties: Properties<'a>,
}

/// AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Reason Code.
    pub reason_code: ReasonCode,
    /// Properties.
    pub properties: Properties<'a>,
}
