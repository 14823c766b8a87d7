//! What `millrace sub -F` prints of a message: text with `%` letters, as `mosquitto_sub` has them.

use std::io::{self, Write};

use millrace_core::codec::properties::{Property, Value};
use millrace_core::packet::{PacketId, Publish};

use crate::timestamp::Timestamp;

/// A format that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Field(char),
}

const FIELDS: &str = "tpxXjJlqrdmIUCDEFRSPA";

impl Format {
    /// Understands a format.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub fn parse(text: &str, line_end: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => match chars.next() {
                    Some('%') => plain.push(b'%'),
                    Some(field) if FIELDS.contains(field) => {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                        parts.push(Part::Field(field));
                    }
                    Some(other) => {
                        return Err(format!("-F knows no %{other}; there are: {FIELDS}"));
                    }
                    None => {
                        return Err("-F ends with a single %; write %% for a percent sign".to_owned());
                    }
                },
                '\\' => plain.push(match chars.next() {
                    Some('n') => b'\n',
                    Some('t') => b'\t',
                    Some('r') => b'\r',
                    Some('0') => 0,
                    Some('\\') => b'\\',
                    Some(other) => {
                        return Err(format!("-F knows no \\{other}; there are: \\n \\t \\r \\0 \\\\"));
                    }
                    None => return Err("-F ends with a single \\; write \\\\ for one".to_owned()),
                }),
                c => plain.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        if line_end {
            plain.push(b'\n');
        }
        parts.push(Part::Text(plain));
        Ok(Self { parts })
    }

    /// Prints a message.
    ///
    /// # Errors
    /// The output does not take it.
    pub fn write(&self, publish: &Publish<'_>, out: &mut impl Write) -> io::Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.write_all(text)?,
                Part::Field(field) => write_field(*field, publish, out)?,
            }
        }
        Ok(())
    }
}

fn write_field(field: char, publish: &Publish<'_>, out: &mut impl Write) -> io::Result<()> {
    let properties = publish.properties;
    let text = |property, out: &mut dyn Write| out.write_all(properties.str(property).unwrap_or("").as_bytes());
    match field {
        't' => out.write_all(publish.topic.as_bytes()),
        'p' => out.write_all(publish.payload),
        'x' => publish.payload.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        'X' => publish.payload.iter().try_for_each(|byte| write!(out, "{byte:02X}")),
        'j' => write!(out, "{}", json(publish, false)),
        'J' => write!(out, "{}", json(publish, true)),
        'l' => write!(out, "{}", publish.payload.len()),
        'q' => write!(out, "{}", publish.qos as u8),
        'r' => write!(out, "{}", u8::from(publish.retain)),
        'd' => write!(out, "{}", u8::from(publish.dup)),
        'm' => write!(out, "{}", publish.packet_id.map_or(0, PacketId::get)),
        'I' => write!(out, "{}", Timestamp::now()),
        'U' => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            write!(out, "{}.{:09}", now.as_secs(), now.subsec_nanos())
        }
        'C' => text(Property::ContentType, out),
        'R' => text(Property::ResponseTopic, out),
        'D' => out.write_all(properties.bin(Property::CorrelationData).unwrap_or_default()),
        'E' => number(properties.u32(Property::MessageExpiryInterval), out),
        'F' => number(properties.u8(Property::PayloadFormatIndicator).map(u32::from), out),
        'A' => number(properties.u16(Property::TopicAlias).map(u32::from), out),
        'S' => {
            let ids: Vec<String> = properties.subscription_ids().map(|id| id.to_string()).collect();
            out.write_all(ids.join(",").as_bytes())
        }
        'P' => {
            let pairs: Vec<String> =
                properties.user_properties().map(|(name, value)| format!("{name}:{value}")).collect();
            out.write_all(pairs.join(" ").as_bytes())
        }
        _ => Ok(()),
    }
}

fn number(value: Option<u32>, out: &mut impl Write) -> io::Result<()> {
    value.map_or(Ok(()), |value| write!(out, "{value}"))
}

/// The message as JSON; its payload as JSON too, if it is some and that is asked for.
fn json(publish: &Publish<'_>, payload_as_json: bool) -> serde_json::Value {
    let text = || String::from_utf8_lossy(publish.payload).into_owned().into();
    let payload: serde_json::Value = match payload_as_json {
        true => serde_json::from_slice(publish.payload).unwrap_or_else(|_| text()),
        false => text(),
    };
    let mut object = serde_json::json!({
        "ts": Timestamp::now().to_string(),
        "topic": publish.topic,
        "qos": publish.qos as u8,
        "retain": publish.retain,
        "bytes": publish.payload.len(),
        "payload": payload,
    });
    let mut properties = serde_json::Map::new();
    for (property, value) in publish.properties.iter() {
        let name = property.name().to_ascii_lowercase().replace(' ', "_");
        let value = match value {
            Value::U8(number) => number.into(),
            Value::U16(number) => number.into(),
            Value::U32(number) | Value::Var(number) => number.into(),
            Value::Str(text) => text.into(),
            Value::Bin(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
            Value::Pair(name, value) => serde_json::json!([name, value]),
        };
        // User Properties and Subscription Identifiers may be several.
        match property {
            Property::UserProperty | Property::SubscriptionIdentifier => {
                let list = properties.entry(name).or_insert_with(|| serde_json::Value::Array(Vec::new()));
                if let serde_json::Value::Array(items) = list {
                    items.push(value);
                }
            }
            _ => {
                properties.insert(name, value);
            }
        }
    }
    if !properties.is_empty() {
        object["properties"] = properties.into();
    }
    object
}
