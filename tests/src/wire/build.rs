//! Packets written by hand, from the tables of the specifications and not from our codec, so that it is not tested
//! with itself.

/// Protocol level, as CONNECT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.
    V31 = 3,
    /// MQTT 3.1.1.
    V311 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

/// All versions, for suites that run in each.
pub const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// A Variable Byte Integer in its shortest form.
#[must_use]
pub fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value % 128).expect("it is under 128");
        value /= 128;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Two bytes of length and the bytes: a UTF-8 string or Binary Data.
#[must_use]
pub fn text(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u16::try_from(content.len()).expect("a string has at most 65,535 bytes");
    [&length.to_be_bytes()[..], content].concat()
}

/// A whole packet: first byte, Remaining Length, body.
#[must_use]
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first][..], &varint(body.len()), body].concat()
}

/// Properties with their length in front; nothing at all before version 5.
#[must_use]
pub fn properties(version: Version, raw: &[u8]) -> Vec<u8> {
    if version < Version::V5 {
        return Vec::new();
    }
    [&varint(raw.len())[..], raw].concat()
}

/// One property with its identifier, by the type of its value.
pub mod property {
    use super::{text, varint};

    /// A property of one byte.
    #[must_use]
    pub fn byte(id: u8, value: u8) -> Vec<u8> {
        vec![id, value]
    }

    /// A Two Byte Integer.
    #[must_use]
    pub fn two(id: u8, value: u16) -> Vec<u8> {
        [&[id][..], &value.to_be_bytes()].concat()
    }

    /// A Four Byte Integer.
    #[must_use]
    pub fn four(id: u8, value: u32) -> Vec<u8> {
        [&[id][..], &value.to_be_bytes()].concat()
    }

    /// A Variable Byte Integer.
    #[must_use]
    pub fn var(id: u8, value: usize) -> Vec<u8> {
        [&[id][..], &varint(value)].concat()
    }

    /// A string or Binary Data.
    #[must_use]
    pub fn string(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
        [&[id][..], &text(value)].concat()
    }

    /// A User Property.
    #[must_use]
    pub fn user(name: &str, value: &str) -> Vec<u8> {
        [&[0x26][..], &text(name), &text(value)].concat()
    }
}

/// A CONNECT.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Protocol level.
    pub version: Version,
    /// Client Identifier.
    pub client_id: String,
    /// Clean Start or Clean Session.
    pub clean: bool,
    /// Keep Alive in seconds.
    pub keep_alive: u16,
    /// Properties without their length.
    pub properties: Vec<u8>,
    /// The Will.
    pub will: Option<Will>,
    /// User Name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
}

/// The Will of a CONNECT.
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// Will Topic.
    pub topic: String,
    /// Will Payload.
    pub payload: Vec<u8>,
    /// Will QoS.
    pub qos: u8,
    /// Will Retain.
    pub retain: bool,
    /// Properties without their length.
    pub properties: Vec<u8>,
}

impl Will {
    /// A Will of QoS 0 that is not retained.
    #[must_use]
    pub fn new(topic: &str, payload: &str) -> Self {
        Self { topic: topic.to_owned(), payload: payload.into(), ..Self::default() }
    }

    /// With this Will QoS.
    #[must_use]
    pub const fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// With Will Retain.
    #[must_use]
    pub const fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With one more property.
    #[must_use]
    pub fn property(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }
}

impl Connect {
    /// A CONNECT with a clean session and without Keep Alive.
    #[must_use]
    pub fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            keep_alive: 0,
            properties: Vec::new(),
            will: None,
            username: None,
            password: None,
        }
    }

    /// Wants to resume a session that stays after the connection: Clean Session 0; in version 5 with an expiry of one
    /// hour.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.clean = false;
        if self.version == Version::V5 {
            self.properties.extend(property::four(0x11, 3600));
        }
        self
    }

    /// With Clean Start or Clean Session as said.
    #[must_use]
    pub const fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// With this Keep Alive.
    #[must_use]
    pub const fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// With a Will.
    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// With one more property.
    #[must_use]
    pub fn property(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// The Connect Flags.
    #[must_use]
    pub fn flags(&self) -> u8 {
        let mut flags = u8::from(self.clean) << 1;
        if let Some(will) = &self.will {
            flags |= 0x04 | (will.qos << 3) | (u8::from(will.retain) << 5);
        }
        flags | (u8::from(self.password.is_some()) << 6) | (u8::from(self.username.is_some()) << 7)
    }

    /// The packet.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with_flags(self.flags())
    }

    /// The packet with other Connect Flags than its fields ask for.
    #[must_use]
    pub fn bytes_with_flags(&self, flags: u8) -> Vec<u8> {
        let name = if self.version == Version::V31 { "MQIsdp" } else { "MQTT" };
        let mut body = text(name);
        body.extend([self.version as u8, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(properties(self.version, &self.properties));
        body.extend(text(&self.client_id));
        if let Some(will) = &self.will {
            body.extend(properties(self.version, &will.properties));
            body.extend(text(&will.topic));
            body.extend(text(&will.payload));
        }
        if let Some(username) = &self.username {
            body.extend(text(username));
        }
        if let Some(password) = &self.password {
            body.extend(text(password));
        }
        packet(0x10, &body)
    }
}

/// A PUBLISH.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Topic Name.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of Service.
    pub qos: u8,
    /// Packet Identifier, written with QoS 1 and 2.
    pub id: u16,
    /// Retain.
    pub retain: bool,
    /// DUP.
    pub dup: bool,
    /// Properties without their length.
    pub properties: Vec<u8>,
}

impl Publish {
    /// A PUBLISH of QoS 0.
    #[must_use]
    pub fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            id: 0,
            retain: false,
            dup: false,
            properties: Vec::new(),
        }
    }

    /// With QoS 1 or 2 and this Packet Identifier.
    #[must_use]
    pub const fn qos(mut self, qos: u8, id: u16) -> Self {
        self.qos = qos;
        self.id = id;
        self
    }

    /// With Retain.
    #[must_use]
    pub const fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With DUP.
    #[must_use]
    pub const fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// With one more property.
    #[must_use]
    pub fn property(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// The packet.
    #[must_use]
    pub fn bytes(&self, version: Version) -> Vec<u8> {
        let mut body = text(&self.topic);
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        body.extend(properties(version, &self.properties));
        body.extend(&self.payload);
        let first = 0x30 | (u8::from(self.dup) << 3) | (self.qos << 1) | u8::from(self.retain);
        packet(first, &body)
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP in their short form, by first byte.
#[must_use]
pub fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP of version 5 with a Reason Code.
#[must_use]
pub fn ack_with(first: u8, id: u16, reason: u8) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes()[..], &[reason, 0]].concat())
}

/// The first bytes of the acknowledgements.
pub mod first {
    /// PUBACK.
    pub const PUBACK: u8 = 0x40;
    /// PUBREC.
    pub const PUBREC: u8 = 0x50;
    /// PUBREL.
    pub const PUBREL: u8 = 0x62;
    /// PUBCOMP.
    pub const PUBCOMP: u8 = 0x70;
}

/// SUBSCRIBE with filters and their options (before version 5: the QoS).
#[must_use]
pub fn subscribe(version: Version, id: u16, raw_properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, raw_properties));
    for (filter, options) in filters {
        body.extend(text(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xA2, &body)
}

/// PINGREQ.
#[must_use]
pub fn pingreq() -> Vec<u8> {
    packet(0xC0, &[])
}

/// DISCONNECT without anything, which says Normal disconnection.
#[must_use]
pub fn disconnect() -> Vec<u8> {
    packet(0xE0, &[])
}

/// DISCONNECT of version 5 with a Reason Code and properties.
#[must_use]
pub fn disconnect_with(reason: u8, raw_properties: &[u8]) -> Vec<u8> {
    packet(0xE0, &[&[reason][..], &properties(Version::V5, raw_properties)].concat())
}
