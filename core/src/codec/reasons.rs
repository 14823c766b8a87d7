//! Which Reason Codes a packet may have (section 2.4 and the tables of section 3), and from which side.

use crate::codec::Direction;
use crate::codec::error::{DecodeError, Field};
use crate::codec::wire::Reader;
use crate::packet::PacketType;
use crate::reason_code::ReasonCode::{self, *};

const CONNACK: &[ReasonCode] = &[
    Success,
    UnspecifiedError,
    MalformedPacket,
    ProtocolError,
    ImplementationSpecificError,
    UnsupportedProtocolVersion,
    ClientIdentifierNotValid,
    BadUserNameOrPassword,
    NotAuthorized,
    ServerUnavailable,
    ServerBusy,
    Banned,
    BadAuthenticationMethod,
    TopicNameInvalid,
    PacketTooLarge,
    QuotaExceeded,
    PayloadFormatInvalid,
    RetainNotSupported,
    QoSNotSupported,
    UseAnotherServer,
    ServerMoved,
    ConnectionRateExceeded,
];
const PUBACK: &[ReasonCode] = &[
    Success,
    NoMatchingSubscribers,
    UnspecifiedError,
    ImplementationSpecificError,
    NotAuthorized,
    TopicNameInvalid,
    PacketIdentifierInUse,
    QuotaExceeded,
    PayloadFormatInvalid,
];
const PUBREL: &[ReasonCode] = &[Success, PacketIdentifierNotFound];
const SUBACK: &[ReasonCode] = &[
    Success,
    GrantedQoS1,
    GrantedQoS2,
    UnspecifiedError,
    ImplementationSpecificError,
    NotAuthorized,
    TopicFilterInvalid,
    PacketIdentifierInUse,
    QuotaExceeded,
    SharedSubscriptionsNotSupported,
    SubscriptionIdentifiersNotSupported,
    WildcardSubscriptionsNotSupported,
];
const UNSUBACK: &[ReasonCode] = &[
    Success,
    NoSubscriptionExisted,
    UnspecifiedError,
    ImplementationSpecificError,
    NotAuthorized,
    TopicFilterInvalid,
    PacketIdentifierInUse,
];
const DISCONNECT_TO_SERVER: &[ReasonCode] = &[
    Success,
    DisconnectWithWill,
    UnspecifiedError,
    MalformedPacket,
    ProtocolError,
    ImplementationSpecificError,
    BadAuthenticationMethod,
    TopicNameInvalid,
    ReceiveMaximumExceeded,
    TopicAliasInvalid,
    PacketTooLarge,
    MessageRateTooHigh,
    QuotaExceeded,
    AdministrativeAction,
    PayloadFormatInvalid,
];
const DISCONNECT_TO_CLIENT: &[ReasonCode] = &[
    Success,
    UnspecifiedError,
    MalformedPacket,
    ProtocolError,
    ImplementationSpecificError,
    NotAuthorized,
    ServerBusy,
    ServerShuttingDown,
    BadAuthenticationMethod,
    KeepAliveTimeout,
    SessionTakenOver,
    TopicFilterInvalid,
    TopicNameInvalid,
    ReceiveMaximumExceeded,
    TopicAliasInvalid,
    PacketTooLarge,
    MessageRateTooHigh,
    QuotaExceeded,
    AdministrativeAction,
    PayloadFormatInvalid,
    RetainNotSupported,
    QoSNotSupported,
    UseAnotherServer,
    ServerMoved,
    SharedSubscriptionsNotSupported,
    ConnectionRateExceeded,
    MaximumConnectTime,
    SubscriptionIdentifiersNotSupported,
    WildcardSubscriptionsNotSupported,
];
const AUTH_TO_SERVER: &[ReasonCode] = &[ContinueAuthentication, ReAuthenticate];
const AUTH_TO_CLIENT: &[ReasonCode] = &[Success, ContinueAuthentication];

/// The Reason Codes of this packet in this direction; none for packets without a Reason Code.
#[must_use]
pub const fn allowed(packet: PacketType, direction: Direction) -> &'static [ReasonCode] {
    match (packet, direction) {
        (PacketType::ConnAck, _) => CONNACK,
        (PacketType::PubAck | PacketType::PubRec, _) => PUBACK,
        (PacketType::PubRel | PacketType::PubComp, _) => PUBREL,
        (PacketType::SubAck, _) => SUBACK,
        (PacketType::UnsubAck, _) => UNSUBACK,
        (PacketType::Disconnect, Direction::ToServer) => DISCONNECT_TO_SERVER,
        (PacketType::Disconnect, Direction::ToClient) => DISCONNECT_TO_CLIENT,
        (PacketType::Auth, Direction::ToServer) => AUTH_TO_SERVER,
        (PacketType::Auth, Direction::ToClient) => AUTH_TO_CLIENT,
        _ => &[],
    }
}

/// Judges a Reason Code.
#[inline]
pub(crate) fn check(packet: PacketType, direction: Direction, code: u8) -> Result<ReasonCode, DecodeError> {
    match ReasonCode::from_u8(code) {
        Some(reason_code) if allowed(packet, direction).contains(&reason_code) => Ok(reason_code),
        _ => Err(DecodeError::ReasonCode { packet, code }),
    }
}

/// Reads a Reason Code.
#[inline]
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    packet: PacketType,
    direction: Direction,
) -> Result<ReasonCode, DecodeError> {
    check(packet, direction, reader.u8(Field::ReasonCode)?)
}
