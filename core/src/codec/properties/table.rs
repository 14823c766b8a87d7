//! The property table (section 2.2.2.2): a property is one row of it.
//!
//! Not here: rules between properties or between a property and the rest of its packet; those are with the packet.

use std::fmt;

/// What may carry properties: a packet, seen from its direction where that matters, or the Will of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is named as in the specification")]
pub enum Carrier {
    Connect,
    /// The Will Properties in the payload of a CONNECT.
    Will,
    ConnAck,
    /// PUBLISH from a client.
    Publish,
    /// PUBLISH from the server.
    PublishToClient,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    /// DISCONNECT from a client.
    Disconnect,
    /// DISCONNECT from the server.
    DisconnectToClient,
    Auth,
}

/// The data type of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Byte.
    U8,
    /// Two Byte Integer.
    U16,
    /// Four Byte Integer.
    U32,
    /// Variable Byte Integer.
    Var,
    /// UTF-8 Encoded String.
    Str,
    /// UTF-8 Encoded String that is a Topic Name.
    Topic,
    /// Binary Data.
    Bin,
    /// UTF-8 String Pair.
    Pair,
}

/// Which numbers a property may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All that its type has.
    Any,
    /// 0 and 1.
    Flag,
    /// All but 0.
    NotZero,
}

impl Range {
    /// Whether the number is one of them.
    #[must_use]
    #[inline]
    pub const fn contains(self, number: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Flag => number <= 1,
            Self::NotZero => number != 0,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any number is",
            Self::Flag => "0 and 1 are",
            Self::NotZero => "1 and above is",
        })
    }
}

/// A row of the property table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which property.
    pub property: Property,
    /// Its name as the specification spells it.
    pub name: &'static str,
    /// Its data type.
    pub kind: Kind,
    /// Which numbers it may have.
    pub range: Range,
    /// What may carry it.
    pub carriers: &'static [Carrier],
    /// What may carry it more than once.
    pub repeats_in: &'static [Carrier],
}

macro_rules! property_table {
    ($($identifier:literal $property:ident $name:literal $kind:ident $range:ident $carriers:expr, $repeats:expr;)*) => {
        /// A property; its number is its identifier on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is named as in the specification")]
        pub enum Property { $($property = $identifier,)* }

        /// Every property there is, in the order of the identifiers.
        pub static TABLE: &[Entry] = &[$(Entry {
            property: Property::$property,
            name: $name,
            kind: Kind::$kind,
            range: Range::$range,
            carriers: $carriers,
            repeats_in: $repeats,
        },)*];

        impl Property {
            /// The property with this identifier.
            #[must_use]
            #[inline]
            pub const fn from_identifier(identifier: u32) -> Option<Self> {
                match identifier { $($identifier => Some(Self::$property),)* _ => None }
            }

            /// Its name as the specification spells it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$property => $name,)* }
            }

            /// Its data type.
            #[must_use]
            #[inline]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$property => Kind::$kind,)* }
            }

            /// Which numbers it may have.
            #[must_use]
            #[inline]
            pub const fn range(self) -> Range {
                match self { $(Self::$property => Range::$range,)* }
            }
        }
    };
}

use Carrier::{
    Auth, ConnAck, Connect, Disconnect, DisconnectToClient, PubAck, PubComp, PubRec, PubRel, Publish, PublishToClient,
    SubAck, Subscribe, UnsubAck, Unsubscribe, Will,
};

/// What may carry a User Property.
const EVERYWHERE: &[Carrier] = &[
    Connect,
    Will,
    ConnAck,
    Publish,
    PublishToClient,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    DisconnectToClient,
    Auth,
];
/// What carries an Application Message.
const MESSAGES: &[Carrier] = &[Publish, PublishToClient, Will];
/// What answers another packet, or ends the connection.
const ANSWERS: &[Carrier] =
    &[ConnAck, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, DisconnectToClient, Auth];

property_table! {
    0x01 PayloadFormatIndicator "Payload Format Indicator" U8 Flag MESSAGES, &[];
    0x02 MessageExpiryInterval "Message Expiry Interval" U32 Any MESSAGES, &[];
    0x03 ContentType "Content Type" Str Any MESSAGES, &[];
    0x08 ResponseTopic "Response Topic" Topic Any MESSAGES, &[];
    0x09 CorrelationData "Correlation Data" Bin Any MESSAGES, &[];
    0x0B SubscriptionIdentifier "Subscription Identifier" Var NotZero &[PublishToClient, Subscribe], &[PublishToClient];
    0x11 SessionExpiryInterval "Session Expiry Interval" U32 Any &[Connect, ConnAck, Disconnect], &[];
    0x12 AssignedClientIdentifier "Assigned Client Identifier" Str Any &[ConnAck], &[];
    0x13 ServerKeepAlive "Server Keep Alive" U16 Any &[ConnAck], &[];
    0x15 AuthenticationMethod "Authentication Method" Str Any &[Connect, ConnAck, Auth], &[];
    0x16 AuthenticationData "Authentication Data" Bin Any &[Connect, ConnAck, Auth], &[];
    0x17 RequestProblemInformation "Request Problem Information" U8 Flag &[Connect], &[];
    0x18 WillDelayInterval "Will Delay Interval" U32 Any &[Will], &[];
    0x19 RequestResponseInformation "Request Response Information" U8 Flag &[Connect], &[];
    0x1A ResponseInformation "Response Information" Str Any &[ConnAck], &[];
    0x1C ServerReference "Server Reference" Str Any &[ConnAck, Disconnect, DisconnectToClient], &[];
    0x1F ReasonString "Reason String" Str Any ANSWERS, &[];
    0x21 ReceiveMaximum "Receive Maximum" U16 NotZero &[Connect, ConnAck], &[];
    0x22 TopicAliasMaximum "Topic Alias Maximum" U16 Any &[Connect, ConnAck], &[];
    0x23 TopicAlias "Topic Alias" U16 NotZero &[Publish, PublishToClient], &[];
    0x24 MaximumQoS "Maximum QoS" U8 Flag &[ConnAck], &[];
    0x25 RetainAvailable "Retain Available" U8 Flag &[ConnAck], &[];
    0x26 UserProperty "User Property" Pair Any EVERYWHERE, EVERYWHERE;
    0x27 MaximumPacketSize "Maximum Packet Size" U32 NotZero &[Connect, ConnAck], &[];
    0x28 WildcardSubscriptionAvailable "Wildcard Subscription Available" U8 Flag &[ConnAck], &[];
    0x29 SubscriptionIdentifierAvailable "Subscription Identifier Available" U8 Flag &[ConnAck], &[];
    0x2A SharedSubscriptionAvailable "Shared Subscription Available" U8 Flag &[ConnAck], &[];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Carrier {
    /// Whether it may carry this property.
    #[must_use]
    #[inline]
    pub const fn may_carry(self, property: Property) -> bool {
        ALLOWED[self as usize] & 1 << property as u8 != 0
    }

    /// Whether it may carry this property more than once.
    #[must_use]
    #[inline]
    pub const fn may_repeat(self, property: Property) -> bool {
        REPEATED[self as usize] & 1 << property as u8 != 0
    }
}

/// For each carrier a bit for each identifier: the table turned around for checking.
static ALLOWED: [u64; EVERYWHERE.len()] = bits_by_carrier(false);
static REPEATED: [u64; EVERYWHERE.len()] = bits_by_carrier(true);

const fn bits_by_carrier(repeats: bool) -> [u64; EVERYWHERE.len()] {
    let mut bits = [0; EVERYWHERE.len()];
    let mut row = 0;
    while row < TABLE.len() {
        let entry = &TABLE[row];
        let carriers = if repeats { entry.repeats_in } else { entry.carriers };
        let mut at = 0;
        while at < carriers.len() {
            bits[carriers[at] as usize] |= 1 << entry.property as u8;
            at += 1;
        }
        row += 1;
    }
    bits
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Will => "the Will Properties",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH from a client",
            Self::PublishToClient => "PUBLISH from the server",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::Disconnect => "DISCONNECT from a client",
            Self::DisconnectToClient => "DISCONNECT from the server",
            Self::Auth => "AUTH",
        })
    }
}
