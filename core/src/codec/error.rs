//! What may be wrong with the bytes of a peer: one variant for each rule, with what was met.

use std::fmt;

use crate::codec::Direction;
use crate::codec::properties::{Carrier, Property};
use crate::limits::{FILTERS_PER_PACKET_MAX, USER_PROPERTIES_MAX};
use crate::packet::{PacketType, ProtocolVersion};
use crate::reason_code::ReasonCode;

/// The part of a packet that an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named as in the specification")]
pub enum Field {
    FixedHeader,
    RemainingLength,
    Body,
    ProtocolName,
    ProtocolLevel,
    ConnectFlags,
    KeepAlive,
    ClientId,
    WillTopic,
    WillPayload,
    UserName,
    Password,
    ConnectAcknowledgeFlags,
    TopicName,
    PacketId,
    ReasonCode,
    TopicFilter,
    SubscriptionOptions,
    PropertyLength,
    WillPropertyLength,
    PropertyIdentifier,
    Properties,
    Property(Property),
}

impl Field {
    /// Its name as the specification spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FixedHeader => "fixed header",
            Self::RemainingLength => "Remaining Length",
            Self::Body => "body",
            Self::ProtocolName => "Protocol Name",
            Self::ProtocolLevel => "Protocol Version",
            Self::ConnectFlags => "Connect Flags",
            Self::KeepAlive => "Keep Alive",
            Self::ClientId => "Client Identifier",
            Self::WillTopic => "Will Topic",
            Self::WillPayload => "Will Payload",
            Self::UserName => "User Name",
            Self::Password => "Password",
            Self::ConnectAcknowledgeFlags => "Connect Acknowledge Flags",
            Self::TopicName => "Topic Name",
            Self::PacketId => "Packet Identifier",
            Self::ReasonCode => "Reason Code",
            Self::TopicFilter => "Topic Filter",
            Self::SubscriptionOptions => "Subscription Options",
            Self::PropertyLength => "Property Length",
            Self::WillPropertyLength => "Will Property Length",
            Self::PropertyIdentifier => "Property Identifier",
            Self::Properties => "Properties",
            Self::Property(property) => property.name(),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Each row: what was met, the Reason Code that answers it, the normative statement, the message.
macro_rules! decode_errors {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $($field:ident: $type:ty),* })?
            => $reason:expr, $statement:expr, $text:literal $(, $arg:expr)*;
    )*) => {
        /// Why bytes are not a packet that may be sent here.
        ///
        /// Statement numbers are those of MQTT 5.0; a rule that only 3.1.1 has carries its number there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[allow(missing_docs, reason = "fields are what was met; the message names them")]
        pub enum DecodeError { $( $(#[$doc])* $name $({ $($field: $type),* })?, )* }

        #[allow(unused_variables, reason = "not every row uses all that was met")]
        impl DecodeError {
            /// The Reason Code with which the connection is refused or closed.
            #[must_use]
            pub const fn reason_code(&self) -> ReasonCode {
                match *self { $( Self::$name $({ $($field),* })? => $reason, )* }
            }

            /// The number of the normative statement that was broken, where there is one: of MQTT 5.0, or of 3.1.1
            /// where that stands before it.
            #[must_use]
            pub const fn statement(&self) -> Option<&'static str> {
                match *self { $( Self::$name $({ $($field),* })? => $statement, )* }
            }

            fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $( Self::$name $({ $($field),* })? => write!(f, $text $(, $arg)*), )*
                }
            }
        }
    };
}

use ReasonCode::{
    MalformedPacket, ProtocolError, QuotaExceeded, TopicAliasInvalid, TopicNameInvalid, UnsupportedProtocolVersion,
};

decode_errors! {
    /// Packet type 0.
    PacketTypeZero => MalformedPacket, None, "packet type 0 is reserved";
    /// Fixed header flags that this packet type does not have.
    ReservedFlags { packet: PacketType, flags: u8 } => MalformedPacket,
        Some(match packet {
            PacketType::PubRel => "MQTT-3.6.1-1",
            PacketType::Subscribe => "MQTT-3.8.1-1",
            PacketType::Unsubscribe => "MQTT-3.10.1-1",
            PacketType::Disconnect => "MQTT-3.14.1-1",
            PacketType::Auth => "MQTT-3.15.1-1",
            _ => "MQTT-2.1.3-1",
        }),
        "flags of {packet} are {flags:04b}, {:04b} is due", packet.flags();
    /// AUTH on a connection of version 3.
    NoSuchPacket { packet: PacketType, version: ProtocolVersion } => MalformedPacket, None,
        "{packet} does not exist in MQTT {version}";
    /// A packet that only the other side may send.
    WrongDirection { packet: PacketType, direction: Direction } => ProtocolError, None,
        "{packet} may not be sent {direction}";
    /// More bytes than the limit of the connection.
    PacketTooLarge { bytes: u32, limit: u32 } => ReasonCode::PacketTooLarge, None,
        "packet of {bytes} bytes is over the limit of {limit}";
    /// A Variable Byte Integer that goes on after its fourth byte.
    VarIntTooLong { field: Field } => MalformedPacket, None,
        "{field} goes on after four bytes, the longest Variable Byte Integer";
    /// A Variable Byte Integer that fewer bytes could say.
    VarIntNotShortest { field: Field } => MalformedPacket, Some("MQTT-1.5.5-1"),
        "{field} is not in its shortest form";
    /// The packet is over before this field is.
    PacketEnds { field: Field, needed: u32, left: u32 } => MalformedPacket, None,
        "packet ends in {field}: {needed} bytes are due, {left} are left";
    /// The packet goes on after its last field.
    TrailingBytes { packet: PacketType, left: u32 } => MalformedPacket, None,
        "{packet} goes on for {left} bytes after its last field";
    /// Text that is not UTF-8.
    NotUtf8 { field: Field, at: u32 } => MalformedPacket, Some("MQTT-1.5.4-1"),
        "{field} is not UTF-8 from byte {at} on";
    /// U+0000 in text.
    NullCharacter { field: Field, at: u32 } => MalformedPacket, Some("MQTT-1.5.4-2"),
        "{field} has U+0000 at byte {at}";
    /// A wildcard in a Topic Name.
    TopicWildcard { field: Field, found: char, at: u32 } =>
        match field {
            Field::Property(_) => ProtocolError,
            _ => TopicNameInvalid,
        },
        Some(match field {
            Field::TopicName => "MQTT-3.3.2-2",
            Field::Property(_) => "MQTT-3.3.2-14",
            _ => "MQTT-4.7.0-1",
        }),
        "{field} has the wildcard '{found}' at byte {at}";
    /// A Topic Name without a character.
    TopicEmpty { field: Field } => TopicNameInvalid, Some("MQTT-4.7.3-1"), "{field} is empty";
    /// Neither Topic Name nor Topic Alias.
    TopicAndAliasMissing => ProtocolError, None, "Topic Name is empty and there is no Topic Alias";
    /// QoS 3 in a PUBLISH.
    PublishQoS => MalformedPacket, Some("MQTT-3.3.1-4"), "QoS 3 in PUBLISH, 0 to 2 are allowed";
    /// DUP with QoS 0.
    DupWithoutQoS => MalformedPacket, Some("MQTT-3.3.1-2"), "DUP is set in a PUBLISH of QoS 0";
    /// Packet Identifier 0.
    PacketIdZero { packet: PacketType } => ProtocolError,
        Some(match packet {
            PacketType::Publish | PacketType::Subscribe | PacketType::Unsubscribe => "MQTT-2.2.1-3",
            PacketType::SubAck | PacketType::UnsubAck => "MQTT-2.2.1-6",
            _ => "MQTT-2.2.1-5",
        }),
        "Packet Identifier of {packet} is 0, 1 to 65535 are allowed";
    /// An identifier that no property has.
    PropertyUnknown { identifier: u32 } => MalformedPacket, None,
        "there is no property 0x{identifier:02X}";
    /// A property that this packet may not carry.
    PropertyNotAllowed { property: Property, carrier: Carrier } =>
        match (property, carrier) {
            (Property::SubscriptionIdentifier, Carrier::Publish)
            | (Property::SessionExpiryInterval, Carrier::DisconnectToClient) => ProtocolError,
            _ => MalformedPacket,
        },
        match (property, carrier) {
            (Property::SubscriptionIdentifier, Carrier::Publish) => Some("MQTT-3.3.4-6"),
            (Property::SessionExpiryInterval, Carrier::DisconnectToClient) => Some("MQTT-3.14.2-2"),
            _ => None,
        },
        "{property} may not be in {carrier}";
    /// A property that may be there once was there again.
    PropertyTwice { property: Property } => ProtocolError, None,
        "{property} is there twice, once is allowed";
    /// A value that the property may not have.
    PropertyValue { property: Property, value: u32 } =>
        match property {
            Property::TopicAlias => TopicAliasInvalid,
            _ => ProtocolError,
        },
        match property {
            Property::TopicAlias => Some("MQTT-3.3.2-8"),
            _ => None,
        },
        "{property} is {value}, {} allowed", property.range();
    /// More User Properties than one packet may have here.
    UserPropertiesTooMany => QuotaExceeded, None,
        "more than {} User Properties in one packet", USER_PROPERTIES_MAX;
    /// Authentication Data, but no Authentication Method.
    AuthenticationMethodMissing { packet: PacketType } => ProtocolError, None,
        "{packet} has no Authentication Method";
    /// A Protocol Name that is not MQTT's.
    ProtocolName => UnsupportedProtocolVersion, Some("MQTT-3.1.2-1"),
        "Protocol Name is neither MQTT nor MQIsdp";
    /// A Protocol Version that we do not speak, or not under this Protocol Name.
    ProtocolLevel { level: u8 } => UnsupportedProtocolVersion, Some("MQTT-3.1.2-2"),
        "Protocol Version is {level}, MQIsdp 3 and MQTT 4 or 5 are supported";
    /// Bit 0 of the Connect Flags.
    ConnectFlagReserved => MalformedPacket, Some("MQTT-3.1.2-3"),
        "bit 0 of the Connect Flags is set, 0 is due";
    /// Will QoS without a Will.
    WillQoSWithoutWill => MalformedPacket, Some("MQTT-3.1.2-11"), "Will QoS without the Will Flag";
    /// Will QoS 3.
    WillQoS => MalformedPacket, Some("MQTT-3.1.2-12"), "Will QoS is 3, 0 to 2 are allowed";
    /// Will Retain without a Will.
    WillRetainWithoutWill => MalformedPacket, Some("MQTT-3.1.2-13"),
        "Will Retain without the Will Flag";
    /// Password without User Name, which 5.0 alone allows.
    PasswordWithoutUserName { version: ProtocolVersion } => MalformedPacket, Some("3.1.1 MQTT-3.1.2-22"),
        "MQTT {version} has no Password without a User Name";
    /// Bits of the Connect Acknowledge Flags that mean nothing.
    ConnectAcknowledgeFlags { flags: u8 } => MalformedPacket, Some("MQTT-3.2.2-1"),
        "Connect Acknowledge Flags are {flags:08b}, only bit 0 may be set";
    /// Session Present in a refusal.
    SessionPresentInRefusal => ProtocolError, Some("MQTT-3.2.2-6"),
        "Session Present is set although the connection is refused";
    /// A Reason Code that does not exist, or not in this packet from this side.
    ReasonCode { packet: PacketType, code: u8 } => ProtocolError,
        match packet {
            PacketType::ConnAck => Some("MQTT-3.2.2-8"),
            PacketType::PubAck => Some("MQTT-3.4.2-1"),
            PacketType::PubRec => Some("MQTT-3.5.2-1"),
            PacketType::PubRel => Some("MQTT-3.6.2-1"),
            PacketType::PubComp => Some("MQTT-3.7.2-1"),
            PacketType::SubAck => Some("MQTT-3.9.3-2"),
            PacketType::UnsubAck => Some("MQTT-3.11.3-2"),
            PacketType::Disconnect => Some("MQTT-3.14.2-1"),
            PacketType::Auth => Some("MQTT-3.15.2-1"),
            _ => None,
        },
        "Reason Code 0x{code:02X} may not be in {packet}";
    /// No Topic Filter.
    FiltersMissing { packet: PacketType } => ProtocolError,
        Some(match packet {
            PacketType::Unsubscribe => "MQTT-3.10.3-2",
            _ => "MQTT-3.8.3-2",
        }),
        "{packet} has no Topic Filter";
    /// More Topic Filters than one packet may have here.
    FiltersTooMany { packet: PacketType } => QuotaExceeded, None,
        "{packet} has more than {} Topic Filters", FILTERS_PER_PACKET_MAX;
    /// Reserved bits of the Subscription Options, or QoS 3.
    SubscriptionOptions { bits: u8 } => MalformedPacket, Some("MQTT-3.8.3-5"),
        "Subscription Options are {bits:08b}, QoS 0 to 2 and no reserved bits are allowed";
    /// Retain Handling 3.
    RetainHandling => ProtocolError, None, "Retain Handling is 3, 0 to 2 are allowed";
    /// No Local on a Shared Subscription.
    NoLocalShared => ProtocolError, Some("MQTT-3.8.3-4"), "No Local is set for a Shared Subscription";
}

const _: () = assert!(std::mem::size_of::<DecodeError>() <= 16);

impl DecodeError {
    /// In which version a CONNECT of an unsupported level is answered: the nearest that we speak.
    #[must_use]
    pub const fn answer_version(&self) -> Option<ProtocolVersion> {
        match *self {
            Self::ProtocolLevel { level } if level & 0x7F >= 5 => Some(ProtocolVersion::V5),
            Self::ProtocolLevel { .. } => Some(ProtocolVersion::V311),
            _ => None,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)?;
        match self.statement() {
            Some(statement) => write!(f, " [{statement}]"),
            None => Ok(()),
        }
    }
}
