//! What came back, taken apart by hand and as strictly as the specifications allow.

use super::build::Version;

/// The value of a property, by its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Byte, Two Byte, Four Byte or Variable Byte Integer.
    Number(u32),
    /// UTF-8 string.
    Text(String),
    /// Binary Data.
    Binary(Vec<u8>),
    /// User Property.
    Pair(String, String),
}

/// Properties in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(u8, Value)>);

impl Properties {
    /// The number with this identifier.
    #[must_use]
    pub fn number(&self, id: u8) -> Option<u32> {
        self.0.iter().find_map(|(at, value)| match value {
            Value::Number(number) if *at == id => Some(*number),
            _ => None,
        })
    }

    /// The string with this identifier.
    #[must_use]
    pub fn text(&self, id: u8) -> Option<&str> {
        self.0.iter().find_map(|(at, value)| match value {
            Value::Text(text) if *at == id => Some(text.as_str()),
            _ => None,
        })
    }

    /// The Binary Data with this identifier.
    #[must_use]
    pub fn binary(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find_map(|(at, value)| match value {
            Value::Binary(bytes) if *at == id => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// All numbers with this identifier, in order.
    #[must_use]
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        self.0
            .iter()
            .filter_map(|(at, value)| match value {
                Value::Number(number) if *at == id => Some(*number),
                _ => None,
            })
            .collect()
    }

    /// All User Properties, in order.
    #[must_use]
    pub fn user(&self) -> Vec<(&str, &str)> {
        self.0
            .iter()
            .filter_map(|(_, value)| match value {
                Value::Pair(name, value) => Some((name.as_str(), value.as_str())),
                _ => None,
            })
            .collect()
    }
}

/// Any packet: its first byte and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Type and flags.
    pub first: u8,
    /// All behind the Remaining Length.
    pub body: Vec<u8>,
}

/// A CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Session Present.
    pub session_present: bool,
    /// Reason Code or return code.
    pub code: u8,
    /// Properties.
    pub properties: Properties,
}

/// A PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// DUP.
    pub dup: bool,
    /// Quality of Service.
    pub qos: u8,
    /// Retain.
    pub retain: bool,
    /// Topic Name.
    pub topic: String,
    /// Packet Identifier; 0 with QoS 0.
    pub id: u16,
    /// Properties.
    pub properties: Properties,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Delivery {
    /// The payload as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("the payload is text")
    }
}

/// PUBACK to PUBCOMP, SUBACK, UNSUBACK: an identifier, codes, properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Packet Identifier.
    pub id: u16,
    /// Reason Codes: one for each filter; for PUBACK to PUBCOMP one, 0 when left out.
    pub codes: Vec<u8>,
    /// Properties.
    pub properties: Properties,
}

/// The codes that a server may send, by the tables of the specifications.
mod table {
    /// Connect Return codes of version 3.
    pub(super) const CONNACK_3: &[u8] = &[0, 1, 2, 3, 4, 5];
    /// CONNACK of version 5.
    pub(super) const CONNACK: &[u8] = &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
        0x9B, 0x9C, 0x9D, 0x9F,
    ];
    /// PUBACK and PUBREC.
    pub(super) const RECEIVED: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    /// PUBREL and PUBCOMP.
    pub(super) const RELEASED: &[u8] = &[0x00, 0x92];
    /// SUBACK of version 3.
    pub(super) const SUBACK_3: &[u8] = &[0x00, 0x01, 0x02, 0x80];
    /// SUBACK of version 5.
    pub(super) const SUBACK: &[u8] = &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
    /// UNSUBACK of version 5; version 3 has no codes there.
    pub(super) const UNSUBACK: &[u8] = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    /// DISCONNECT.
    pub(super) const DISCONNECT: &[u8] = &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
        0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
}

/// Reads a body from front to back.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(count <= self.0.len(), "the packet ends inside a field");
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn two(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn four(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn varint(&mut self) -> u32 {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte();
            value |= u32::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                assert!(byte != 0 || place == 0, "a Variable Byte Integer is not in its shortest form");
                return value;
            }
        }
        panic!("a Variable Byte Integer has more than four bytes");
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.two());
        self.take(length)
    }

    fn string(&mut self) -> String {
        let text = std::str::from_utf8(self.bytes()).expect("a string is UTF-8");
        assert!(!text.contains('\0'), "a string has no U+0000");
        text.to_owned()
    }

    /// Properties where they are the rest of a packet that may leave them out.
    fn properties(&mut self, version: Version) -> Properties {
        if version < Version::V5 || self.0.is_empty() {
            return Properties::default();
        }
        let length = self.varint() as usize;
        let mut inner = Cursor(self.take(length));
        let mut found = Vec::new();
        while !inner.0.is_empty() {
            let id = inner.byte();
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Value::Number(u32::from(inner.byte())),
                0x13 | 0x21 | 0x22 | 0x23 => Value::Number(u32::from(inner.two())),
                0x02 | 0x11 | 0x18 | 0x27 => Value::Number(inner.four()),
                0x0B => Value::Number(inner.varint()),
                0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Value::Text(inner.string()),
                0x09 | 0x16 => Value::Binary(inner.bytes().to_vec()),
                0x26 => Value::Pair(inner.string(), inner.string()),
                other => panic!("no property has the identifier {other:#04x}"),
            };
            found.push((id, value));
        }
        Properties(found)
    }

    fn end(&self) {
        assert!(self.0.is_empty(), "{} bytes behind the end of the packet", self.0.len());
    }
}

impl Received {
    /// The packet type, 1 to 15.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// The packet as CONNACK.
    #[must_use]
    pub fn connack(&self, version: Version) -> ConnAck {
        assert_eq!(self.first, 0x20, "CONNACK was expected, {self:02x?} came");
        let mut cursor = Cursor(&self.body);
        let flags = cursor.byte();
        assert!(flags <= 1, "reserved bits of the acknowledge flags are set");
        let code = cursor.byte();
        let codes = if version == Version::V5 { table::CONNACK } else { table::CONNACK_3 };
        assert!(codes.contains(&code), "CONNACK has no code {code:#04x}");
        assert!(flags == 0 || code == 0, "a refusal with Session Present");
        let properties = cursor.properties(version);
        cursor.end();
        ConnAck { session_present: flags == 1, code, properties }
    }

    /// The packet as PUBLISH.
    #[must_use]
    pub fn publish(&self, version: Version) -> Delivery {
        assert_eq!(self.kind(), 3, "PUBLISH was expected, {self:02x?} came");
        let qos = (self.first >> 1) & 3;
        let mut cursor = Cursor(&self.body);
        let topic = cursor.string();
        let id = if qos > 0 { cursor.two() } else { 0 };
        assert!(qos == 0 || id != 0, "Packet Identifier 0 with QoS {qos}");
        let properties = if version == Version::V5 {
            assert!(!cursor.0.is_empty(), "a PUBLISH of version 5 has a Property Length");
            cursor.properties(version)
        } else {
            Properties::default()
        };
        Delivery {
            dup: self.first & 8 != 0,
            qos,
            retain: self.first & 1 != 0,
            topic,
            id,
            properties,
            payload: cursor.0.to_vec(),
        }
    }

    /// The packet as one of PUBACK, PUBREC, PUBREL, PUBCOMP, by its first byte.
    #[must_use]
    pub fn ack(&self, version: Version, first: u8) -> Ack {
        assert_eq!(self.first, first, "{first:#04x} was expected, {self:02x?} came");
        let mut cursor = Cursor(&self.body);
        let id = cursor.two();
        let mut code = 0;
        if !cursor.0.is_empty() {
            assert!(version == Version::V5, "version 3 has no Reason Code here");
            code = cursor.byte();
        }
        let codes = if matches!(self.kind(), 4 | 5) { table::RECEIVED } else { table::RELEASED };
        assert!(codes.contains(&code), "{self:02x?} has no code {code:#04x}");
        let properties = cursor.properties(version);
        cursor.end();
        Ack { id, codes: vec![code], properties }
    }

    /// The packet as SUBACK (0x90) or UNSUBACK (0xB0).
    #[must_use]
    pub fn suback(&self, version: Version, first: u8) -> Ack {
        assert_eq!(self.first, first, "{first:#04x} was expected, {self:02x?} came");
        let mut cursor = Cursor(&self.body);
        let id = cursor.two();
        let properties = cursor.properties(version);
        let codes = match (first, version) {
            (0x90, Version::V5) => table::SUBACK,
            (0x90, _) => table::SUBACK_3,
            (_, Version::V5) => table::UNSUBACK,
            _ => &[],
        };
        assert!(cursor.0.iter().all(|code| codes.contains(code)), "codes that are not in the table: {self:02x?}");
        Ack { id, codes: cursor.0.to_vec(), properties }
    }

    /// The packet as DISCONNECT: Reason Code and properties.
    #[must_use]
    pub fn disconnect(&self) -> (u8, Properties) {
        assert_eq!(self.first, 0xE0, "DISCONNECT was expected, {self:02x?} came");
        let mut cursor = Cursor(&self.body);
        let code = if cursor.0.is_empty() { 0 } else { cursor.byte() };
        assert!(table::DISCONNECT.contains(&code), "DISCONNECT of a server has no code {code:#04x}");
        let properties = cursor.properties(Version::V5);
        assert_eq!(properties.number(0x11), None, "a server sets no Session Expiry Interval when it leaves");
        cursor.end();
        (code, properties)
    }
}
