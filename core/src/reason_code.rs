//! Reason Codes, and the return codes of version 3 that they become.

use std::fmt;

macro_rules! reason_codes {
    ($($name:ident = $value:literal $text:literal,)*) => {
        /// A Reason Code of MQTT 5.0 (section 2.4).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is named as in the specification")]
        pub enum ReasonCode { $($name = $value,)* }

        impl ReasonCode {
            /// The Reason Code with this number.
            #[must_use]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$name),)* _ => None }
            }

            /// Its name as the specification spells it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reason_codes! {
    Success = 0x00 "Success",
    GrantedQoS1 = 0x01 "Granted QoS 1",
    GrantedQoS2 = 0x02 "Granted QoS 2",
    DisconnectWithWill = 0x04 "Disconnect with Will Message",
    NoMatchingSubscribers = 0x10 "No matching subscribers",
    NoSubscriptionExisted = 0x11 "No subscription existed",
    ContinueAuthentication = 0x18 "Continue authentication",
    ReAuthenticate = 0x19 "Re-authenticate",
    UnspecifiedError = 0x80 "Unspecified error",
    MalformedPacket = 0x81 "Malformed Packet",
    ProtocolError = 0x82 "Protocol Error",
    ImplementationSpecificError = 0x83 "Implementation specific error",
    UnsupportedProtocolVersion = 0x84 "Unsupported Protocol Version",
    ClientIdentifierNotValid = 0x85 "Client Identifier not valid",
    BadUserNameOrPassword = 0x86 "Bad User Name or Password",
    NotAuthorized = 0x87 "Not authorized",
    ServerUnavailable = 0x88 "Server unavailable",
    ServerBusy = 0x89 "Server busy",
    Banned = 0x8A "Banned",
    ServerShuttingDown = 0x8B "Server shutting down",
    BadAuthenticationMethod = 0x8C "Bad authentication method",
    KeepAliveTimeout = 0x8D "Keep Alive timeout",
    SessionTakenOver = 0x8E "Session taken over",
    TopicFilterInvalid = 0x8F "Topic Filter invalid",
    TopicNameInvalid = 0x90 "Topic Name invalid",
    PacketIdentifierInUse = 0x91 "Packet Identifier in use",
    PacketIdentifierNotFound = 0x92 "Packet Identifier not found",
    ReceiveMaximumExceeded = 0x93 "Receive Maximum exceeded",
    TopicAliasInvalid = 0x94 "Topic Alias invalid",
    PacketTooLarge = 0x95 "Packet too large",
    MessageRateTooHigh = 0x96 "Message rate too high",
    QuotaExceeded = 0x97 "Quota exceeded",
    AdministrativeAction = 0x98 "Administrative action",
    PayloadFormatInvalid = 0x99 "Payload format invalid",
    RetainNotSupported = 0x9A "Retain not supported",
    QoSNotSupported = 0x9B "QoS not supported",
    UseAnotherServer = 0x9C "Use another server",
    ServerMoved = 0x9D "Server moved",
    SharedSubscriptionsNotSupported = 0x9E "Shared Subscriptions not supported",
    ConnectionRateExceeded = 0x9F "Connection rate exceeded",
    MaximumConnectTime = 0xA0 "Maximum connect time",
    SubscriptionIdentifiersNotSupported = 0xA1 "Subscription Identifiers not supported",
    WildcardSubscriptionsNotSupported = 0xA2 "Wildcard Subscriptions not supported",
}

impl ReasonCode {
    /// Whether it says that something failed (0x80 and above).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Its name as one word, such as `not_authorized`; three of them are spelt as is usual in logs.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::BadUserNameOrPassword => "bad_username_or_password".to_owned(),
            Self::KeepAliveTimeout => "keepalive_timeout".to_owned(),
            Self::PacketIdentifierInUse => "packet_identifier_inuse".to_owned(),
            _ => self.name().to_ascii_lowercase().replace([' ', '-'], "_"),
        }
    }

    /// The CONNACK return code of MQTT 3.1.1 (section 3.2.2.3) that says this best.
    #[must_use]
    pub const fn v3_connect_return_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => 4,
            Self::NotAuthorized | Self::Banned => 5,
            _ => 3,
        }
    }

    /// What a CONNACK return code of version 3 says; none for the reserved ones.
    #[must_use]
    pub const fn from_v3_connect_return_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), *self as u8)
    }
}
