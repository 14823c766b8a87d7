//! The fields of each event, as one table: names, types and a sentence for people.

use crate::value_type::Type;

/// An event that rules can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message was accepted from a client; FROM names Topic Filters.
    MessagePublish,
}

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table below says what each one is")]
pub enum EventField {
    Id,
    ClientId,
    Username,
    PeerHost,
    Topic,
    Qos,
    Flags,
    Payload,
    PubProps,
    PublishReceivedAt,
    Timestamp,
    Node,
    Event,
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

const MESSAGE_PUBLISH: [FieldInfo; 13] = [
    field(EventField::Id, "id", Type::TEXT, "Identifier of the message, 32 hexadecimal digits."),
    field(EventField::ClientId, "clientid", Type::TEXT, "Client Identifier of the publisher."),
    field(EventField::Username, "username", Type::TEXT.or(Type::NULL), "User Name of the publisher; null without one."),
    field(EventField::PeerHost, "peerhost", Type::TEXT, "IP address of the publisher."),
    field(EventField::Topic, "topic", Type::TEXT, "Topic Name."),
    field(EventField::Qos, "qos", Type::INT, "Quality of Service it was published with: 0, 1 or 2."),
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
        "When it was received: milliseconds since 1970-01-01T00:00:00Z.",
    ),
    field(EventField::Timestamp, "timestamp", Type::INT, "When the event happened, in the same unit."),
    field(EventField::Node, "node", Type::TEXT, "Name of the node that received it."),
    field(EventField::Event, "event", Type::TEXT, "Name of the event: `message.publish`."),
];

impl Event {
    /// Its fields, in the order of `*`.
    #[must_use]
    pub const fn fields(self) -> &'static [FieldInfo] {
        match self {
            Self::MessagePublish => &MESSAGE_PUBLISH,
        }
    }

    /// The field of this name.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'static FieldInfo> {
        self.fields().iter().find(|field| field.name == name)
    }
}
