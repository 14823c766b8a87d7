//! Makes the message that a rule publishes: topic, QoS, RETAIN, payload and properties from templates over one row.

use std::borrow::Cow;

use millrace_core::codec::properties::{PropertiesBuf, Property};
use millrace_core::limits::{FIELD_BYTES_MAX, USER_PROPERTIES_MAX};
use millrace_core::metrics::ActionFailure;
use millrace_core::packet::QoS;
use millrace_core::template::{Template, TooLarge, render_value};
use millrace_core::topic::name::{TopicLimits, TopicName};
use millrace_core::value::{Record, Value};

use super::Refused;
use super::check::belongs_to_the_broker;

/// Bytes of templates that one message may be made of, and of JSON that is looked through for it.
const ALLOWANCE: usize = 16 << 20;

/// What a message that a rule publishes may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Its topic.
    pub topic: TopicLimits,
    /// Its QoS.
    pub qos: u8,
    /// Whether it may be retained.
    pub retain: bool,
    /// Bytes of topic, properties and payload.
    pub bytes: usize,
}

/// `kind = "republish"`, compiled.
#[derive(Debug)]
pub struct Republish {
    pub(super) topic: Template,
    pub(super) qos: Option<ValueFrom>,
    pub(super) retain: Option<ValueFrom>,
    pub(super) payload: Template,
    pub(super) properties: Properties,
}

#[derive(Debug)]
pub(super) enum ValueFrom {
    Constant(Value<'static>),
    Template(Template),
}

#[derive(Debug)]
pub(super) struct Properties {
    /// Places in [`PROPERTIES`] with what makes their values.
    pub(super) listed: Vec<(usize, Template)>,
    pub(super) user: UserFrom,
}

#[derive(Debug)]
pub(super) enum UserFrom {
    None,
    Whole(Template),
    ByName(Vec<(String, Template)>),
}

/// The properties that a rule can give a message, by their names in the config.
pub(super) const PROPERTIES: [(&str, Property); 5] = [
    ("Payload-Format-Indicator", Property::PayloadFormatIndicator),
    ("Message-Expiry-Interval", Property::MessageExpiryInterval),
    ("Content-Type", Property::ContentType),
    ("Response-Topic", Property::ResponseTopic),
    ("Correlation-Data", Property::CorrelationData),
];

/// Where messages are made; used again for each.
#[derive(Debug, Default)]
pub struct Scratch {
    topic: Vec<u8>,
    payload: Vec<u8>,
    text: Vec<u8>,
    properties: PropertiesBuf,
}

/// A message that is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'s> {
    /// Topic Name.
    pub topic: &'s str,
    /// Quality of Service.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// Message Expiry Interval in seconds.
    pub expiry: Option<u32>,
    /// The other properties, encoded.
    pub properties: &'s [u8],
    /// Application Message.
    pub payload: &'s [u8],
}

impl Republish {
    /// Makes the message for a row; `qos` is what it has if nothing else is said.
    ///
    /// # Errors
    /// A value that cannot be what it is to be.
    pub fn render<'s>(
        &self,
        record: &Record,
        qos: QoS,
        limits: &Limits,
        scratch: &'s mut Scratch,
    ) -> Result<Outgoing<'s>, Refused> {
        const KEPT: usize = 64 << 10;
        let Scratch { topic, payload, text, properties } = scratch;
        let mut allowance = ALLOWANCE;
        for buffer in [&mut *topic, &mut *payload, &mut *text] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        if properties.as_properties().raw().len() > KEPT {
            *properties = PropertiesBuf::new();
        }
        properties.clear();
        self.topic.render(record, topic, &mut allowance)?;
        let topic = check_topic(topic, limits)?;
        let qos = match &self.qos {
            None => qos,
            Some(from) => {
                let value = from.value(record, text, &mut allowance)?;
                qos_of(&value).ok_or_else(|| refused(ActionFailure::BadQos, "is no QoS (0, 1 or 2)", &value))?
            }
        };
        if qos as u8 > limits.qos {
            let message = format!("QoS {} is over maximum_qos {}", qos as u8, limits.qos);
            return Err(Refused { why: ActionFailure::BadQos, message: message.into() });
        }
        let retain = match &self.retain {
            None => false,
            Some(from) => {
                let value = from.value(record, text, &mut allowance)?;
                retain_of(&value)
                    .ok_or_else(|| refused(ActionFailure::BadRetain, "is neither true nor false", &value))?
            }
        };
        if retain && !limits.retain {
            let message = "retained messages are switched off (retain_available)".into();
            return Err(Refused { why: ActionFailure::BadRetain, message });
        }
        self.payload.render(record, payload, &mut allowance)?;
        let mut made = Made { record, text, properties, allowance, expiry: None };
        for (property, template) in &self.properties.listed {
            made.property(PROPERTIES[*property], template, payload, limits)?;
        }
        made.user(&self.properties.user)?;
        let expiry = made.expiry;
        let properties = properties.as_properties().raw();
        let bytes = topic.len() + properties.len() + payload.len();
        if bytes > limits.bytes {
            let message = format!("the message has {bytes} bytes, over max_packet_size {}", limits.bytes);
            return Err(Refused { why: ActionFailure::TooLarge, message: message.into() });
        }
        Ok(Outgoing { topic, qos, retain, expiry, properties, payload })
    }
}

impl From<TooLarge> for Refused {
    fn from(error: TooLarge) -> Self {
        Self { why: ActionFailure::TooLarge, message: error.to_string().into() }
    }
}

fn check_topic<'t>(topic: &'t [u8], limits: &Limits) -> Result<&'t str, Refused> {
    let bad = |message: String| Refused { why: ActionFailure::BadTopic, message: message.into() };
    let shown = || shown(&Value::Text(String::from_utf8_lossy(topic)));
    let name = std::str::from_utf8(topic).map_err(|_| bad(format!("the topic {} is not UTF-8", shown())))?;
    TopicName::parse(name, limits.topic).map_err(|error| bad(format!("{error}: {}", shown())))?;
    belongs_to_the_broker(name).map_or(Ok(name), |wrong| Err(bad(format!("{wrong}: {}", shown()))))
}

impl ValueFrom {
    /// The value; of a template that is more than one value, its text.
    fn value<'r>(
        &'r self,
        record: &'r Record,
        text: &'r mut Vec<u8>,
        allowance: &mut usize,
    ) -> Result<Value<'r>, TooLarge> {
        let template = match self {
            Self::Constant(value) => return Ok(value.borrowed()),
            Self::Template(template) if template.is_value() => return template.value(record, allowance),
            Self::Template(template) => template,
        };
        text.clear();
        template.render(record, text, allowance)?;
        Ok(Value::Text(String::from_utf8_lossy(text)))
    }
}

/// The QoS that a value says.
pub(super) fn qos_of(value: &Value<'_>) -> Option<QoS> {
    match value {
        Value::Int(level) => QoS::from_u8(u8::try_from(*level).ok()?),
        Value::Text(text) => match &**text {
            "0" => Some(QoS::AtMostOnce),
            "1" => Some(QoS::AtLeastOnce),
            "2" => Some(QoS::ExactlyOnce),
            _ => None,
        },
        _ => None,
    }
}

/// The flag that a value says.
pub(super) fn retain_of(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        Value::Text(text) => match &**text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The properties of one message while they are made.
struct Made<'m> {
    record: &'m Record,
    text: &'m mut Vec<u8>,
    properties: &'m mut PropertiesBuf,
    allowance: usize,
    expiry: Option<u32>,
}

impl Made<'_> {
    /// Renders a template; nothing for one that is a single value which is null.
    fn text(&mut self, template: &Template) -> Result<Option<&[u8]>, Refused> {
        self.text.clear();
        if template.is_value() {
            let value = template.value(self.record, &mut self.allowance)?;
            if value.is_null() {
                return Ok(None);
            }
            render_value(&value, self.text, &mut self.allowance)?;
        } else {
            template.render(self.record, self.text, &mut self.allowance)?;
        }
        Ok(Some(self.text))
    }

    fn property(
        &mut self,
        (name, property): (&str, Property),
        template: &Template,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<(), Refused> {
        if self.text(template)?.is_none() {
            return Ok(());
        }
        let bad = |what: &str| bad_property(name, what, self.text);
        match property {
            Property::PayloadFormatIndicator => {
                let indicator = match &self.text[..] {
                    b"0" => 0,
                    b"1" => 1,
                    _ => return Err(bad("is neither 0 nor 1")),
                };
                if indicator == 1 && std::str::from_utf8(payload).is_err() {
                    return Err(bad("says UTF-8, and the payload is not"));
                }
                self.properties.push_u8(property, indicator);
            }
            Property::MessageExpiryInterval => {
                let seconds = std::str::from_utf8(self.text).ok().and_then(|text| text.parse().ok());
                self.expiry = Some(seconds.ok_or_else(|| bad("is no whole number of seconds"))?);
            }
            Property::CorrelationData => {
                if self.text.len() > FIELD_BYTES_MAX {
                    return Err(bad("is too long"));
                }
                self.properties.push_bin(property, self.text);
            }
            _ => {
                let text = field(self.text).ok_or_else(|| bad("is too long, not UTF-8 or has U+0000"))?;
                if property == Property::ResponseTopic {
                    TopicName::parse(text, limits.topic).map_err(|_| bad("is no Topic Name"))?;
                }
                self.properties.push_str(property, text);
            }
        }
        Ok(())
    }

    fn user(&mut self, from: &UserFrom) -> Result<(), Refused> {
        match from {
            UserFrom::None => Ok(()),
            UserFrom::ByName(list) => {
                let mut count = 0;
                for (name, template) in list {
                    if self.text(template)?.is_some() {
                        self.pair(name, &mut count)?;
                    }
                }
                Ok(())
            }
            UserFrom::Whole(template) => {
                let value = template.value(self.record, &mut self.allowance)?;
                let members = match &value {
                    Value::Null => return Ok(()),
                    Value::Map(members) => members,
                    other => return Err(refused(ActionFailure::BadProperty, "is no map of User Properties", other)),
                };
                let mut count = 0;
                for (name, value) in members {
                    // A name that came several times with its message has a list of values.
                    let values = if let Value::List(items) = value { &items[..] } else { std::slice::from_ref(value) };
                    for value in values.iter().filter(|value| !value.is_null()) {
                        self.text.clear();
                        render_value(value, self.text, &mut self.allowance)?;
                        self.pair(name, &mut count)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// A User Property of this name, its value being the text.
    fn pair(&mut self, name: &str, count: &mut usize) -> Result<(), Refused> {
        let what = format!("User Property {}", shown(&Value::text(name)));
        let bad = |why: &str| bad_property(&what, why, self.text);
        *count += 1;
        if *count > USER_PROPERTIES_MAX {
            return Err(bad(&format!("is one more than {USER_PROPERTIES_MAX}")));
        }
        let (Some(name), Some(value)) = (field(name.as_bytes()), field(self.text)) else {
            return Err(bad("is too long, not UTF-8 or has U+0000"));
        };
        self.properties.push_pair(Property::UserProperty, name, value);
        Ok(())
    }
}

/// A UTF-8 Encoded String (section 1.5.4).
fn field(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= FIELD_BYTES_MAX && !text.contains('\0'))
}

#[cold]
fn bad_property(name: &str, what: &str, text: &[u8]) -> Refused {
    let message = format!("{name} {what}: {}", shown(&Value::Text(String::from_utf8_lossy(text))));
    Refused { why: ActionFailure::BadProperty, message: message.into() }
}

#[cold]
fn refused(why: ActionFailure, what: &str, value: &Value<'_>) -> Refused {
    Refused { why, message: format!("{} {what}", shown(value)).into() }
}

/// The beginning of a value, for a message.
fn shown(value: &Value<'_>) -> Cow<'static, str> {
    const SHOWN: usize = 80;
    let value = match value {
        Value::Text(text) if text.len() > SHOWN => Value::text(&text[..text.floor_char_boundary(SHOWN)]),
        value => value.borrowed(),
    };
    let mut json = value.to_json();
    if json.len() > 2 * SHOWN {
        json.truncate(json.floor_char_boundary(2 * SHOWN));
        json.push('…');
    }
    json.into()
}
