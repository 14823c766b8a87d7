//! An event that a person wrote down: one JSON object of its fields, the rest as a real event without them would have it.
//!
//! A message of which all is plain is evaluated as the shards evaluate messages ([`Input::publish`]), any other event as
//! they evaluate events ([`Input::fields`]).

use std::borrow::Cow;
use std::net::IpAddr;

use millrace_core::packet::QoS;
use millrace_core::topic::filter;
use millrace_core::topic::name::{TopicLimits, TopicName};
use millrace_core::value::Value;
use millrace_rules::fields::{Event, EventField};
use millrace_rules::value_type::Type;
use millrace_rules::{EventView, Given, Input, PublishEvent, Scratch};

use super::fill::{CLIENT, default_id, default_of, topic_for, with_retain, with_user_properties};
use super::{base64, typed};
use crate::diagnostics::{Diagnostic, Place, nearest};

/// The payload of the message that is taken when no event is given.
pub const DEFAULT_PAYLOAD: &str = "{\"msg\":\"hello\"}";
/// Name of the node, as the broker has it.
const NODE: &str = "millrace@127.0.0.1";
/// Names in the JSON that are no fields.
const NAME_OF_BASE64: &str = "payload_base64";

/// One event.
#[derive(Debug)]
pub struct Sample {
    event: Event,
    unix_ms: u64,
    node: Cow<'static, str>,
    topic: String,
    payload: Vec<u8>,
    /// Without the payload, which is borrowed from this.
    fields: Vec<(EventField, Given<'static>)>,
    publish: Option<Publish>,
}

/// What a plain message has besides topic and payload.
#[derive(Debug)]
struct Publish {
    id: u128,
    clientid: String,
    username: Option<String>,
    peerhost: IpAddr,
    qos: QoS,
    retain: bool,
    dup: bool,
}

/// A sample and what is to be said about it.
#[derive(Debug)]
pub struct Taken {
    /// The event.
    pub sample: Sample,
    /// What was left out of it.
    pub warnings: Vec<String>,
}

/// Fields by their names as they were given.
pub(super) type Members = Vec<(EventField, Value<'static>)>;

impl Sample {
    /// Reads the JSON text of this name, for a rule with these sources after FROM; `now` is the clock if the event has
    /// no timestamp.
    ///
    /// # Errors
    /// Why it is no event.
    pub fn parse(name: &str, text: &str, sources: &[String], now: u64) -> Result<Taken, Box<Diagnostic>> {
        let wrong = |message: String| Box::new(Diagnostic::error("C0120", message));
        let value = typed::from_json(text).map_err(|error| {
            use millrace_rules::json::JsonError;
            let place = match error {
                JsonError::NotText(at) | JsonError::NotJson(at) | JsonError::OutOfRange(at) => {
                    Some(Place::of(name, text, &(at..at + 1)))
                }
                JsonError::TooDeep | JsonError::TooMany => None,
            };
            Box::new(wrong(format!("the event in {name} is {error}")).at(place))
        })?;
        Self::of(value, sources, now).map_err(wrong)
    }

    /// Takes a JSON object that was read already.
    ///
    /// # Errors
    /// Why it is no event, in words.
    pub fn of(value: Value<'static>, sources: &[String], now: u64) -> Result<Taken, String> {
        let Value::Map(members) = value else {
            return Err(format!("an event is a JSON object of its fields, this is {}", shortly(&value)));
        };
        let event = event_of(&members, sources)?;
        let mut warnings = Vec::new();
        let mut payload = None;
        let mut given: Members = Vec::new();
        for (name, value) in members {
            match &*name {
                "event" => {}
                NAME_OF_BASE64 => payload = Some(from_base64(&value)?),
                "payload" if event.is_about_a_message() => payload = payload_of(value).or(payload),
                _ => match event.field(&name) {
                    Some(info) => {
                        check(info.field, info.name, info.ty, &value)?;
                        given.retain(|(known, _)| *known != info.field);
                        given.push((info.field, value));
                    }
                    None => warnings.push(unknown(event, &name)),
                },
            }
        }
        let sample = Self::new(event, given, payload.unwrap_or_default(), sources, now)?;
        Ok(Taken { sample, warnings })
    }

    /// The message that is taken when no event is given: [`DEFAULT_PAYLOAD`] on a topic that the rule wants.
    ///
    /// # Errors
    /// If the rule wants messages of no topic that a client can publish to.
    pub fn default_for(sources: &[String], now: u64) -> Result<Self, String> {
        let payload = ("payload".into(), Value::text(DEFAULT_PAYLOAD));
        let event = first_event(sources);
        let members = if event.is_about_a_message() { vec![payload] } else { Vec::new() };
        Self::of(Value::Map(members), sources, now).map(|taken| taken.sample)
    }

    fn new(event: Event, mut given: Members, payload: Vec<u8>, sources: &[String], now: u64) -> Result<Self, String> {
        let unix_ms = match find(&given, EventField::Timestamp) {
            Some(Value::Int(ms)) => {
                u64::try_from(*ms).map_err(|_| format!("`timestamp` is before 1970: {ms} milliseconds"))?
            }
            _ => now,
        };
        if event.field("topic").is_some() && find(&given, EventField::Topic).is_none() {
            given.push((EventField::Topic, Value::Text(topic_for(event, sources).into())));
        }
        let topic = match find(&given, EventField::Topic) {
            Some(Value::Text(topic)) => topic.clone().into_owned(),
            _ => String::new(),
        };
        if event == Event::MessagePublish
            && let Err(why) = TopicName::parse(&topic, TopicLimits::PROTOCOL)
        {
            return Err(format!("`topic` = '{topic}' is no topic to publish to: {why}"));
        }
        with_retain(&mut given);
        with_user_properties(&mut given);
        let node = match find(&given, EventField::Node) {
            Some(Value::Text(node)) => node.clone(),
            _ => Cow::Borrowed(NODE),
        };
        let publish = if event == Event::MessagePublish { plain(&given, unix_ms) } else { None };
        let mut fields: Vec<(EventField, Given<'static>)> =
            given.into_iter().map(|(field, value)| (field, Given::Value(value))).collect();
        for info in event.fields() {
            if !fields.iter().any(|(known, _)| *known == info.field)
                && let Some(value) = default_of(info.field, event, unix_ms)
            {
                fields.push((info.field, value));
            }
        }
        Ok(Self { event, unix_ms, node, topic, payload, fields, publish })
    }

    /// Which event it is.
    #[must_use]
    pub const fn event(&self) -> Event {
        self.event
    }

    /// Its topic; empty for an event without one.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether a rule with these sources after FROM sees it.
    #[must_use]
    pub fn is_wanted_by(&self, sources: &[String]) -> bool {
        sources.iter().any(|source| {
            if source.starts_with(EVENTS) {
                Event::matching(source).any(|event| event == self.event)
            } else {
                self.event == Event::MessagePublish && filter::matches(source, &self.topic)
            }
        })
    }

    /// Runs something with the event as rules see it.
    pub fn with_input<T>(&self, scratch: &mut Scratch, run: impl FnOnce(&Input<'_>) -> T) -> T {
        if let Some(publish) = &self.publish {
            let event = PublishEvent {
                id: publish.id,
                clientid: &publish.clientid,
                username: publish.username.as_deref(),
                peerhost: publish.peerhost,
                topic: &self.topic,
                qos: publish.qos,
                retain: publish.retain,
                dup: publish.dup,
                payload: &self.payload,
                properties: &[],
                unix_ms: self.unix_ms,
                node: &self.node,
            };
            return run(&Input::publish(event, scratch));
        }
        let mut fields = self.fields.clone();
        if self.event.is_about_a_message() {
            fields.push((EventField::Payload, Given::Payload(&self.payload)));
        }
        let view = EventView { event: self.event, unix_ms: self.unix_ms, node: &self.node, fields: &fields };
        run(&Input::fields(view, scratch))
    }
}

/// What the topics of events begin with.
pub(super) const EVENTS: &str = "$events/";

/// The event that the first source asks for.
fn first_event(sources: &[String]) -> Event {
    sources
        .first()
        .filter(|source| source.starts_with(EVENTS))
        .and_then(|source| Event::matching(source).next())
        .unwrap_or(Event::MessagePublish)
}

fn event_of(members: &[(Cow<'_, str>, Value<'_>)], sources: &[String]) -> Result<Event, String> {
    match members.iter().rev().find(|(name, _)| name == "event") {
        None | Some((_, Value::Null)) => Ok(first_event(sources)),
        Some((_, Value::Text(name))) => Event::named(name).ok_or_else(|| {
            let names = || Event::all().map(|info| info.name);
            match nearest(name, names()) {
                Some(near) => format!("there is no event `{name}`; did you mean `{near}`?"),
                None => format!("there is no event `{name}`; there are {}", names().collect::<Vec<_>>().join(", ")),
            }
        }),
        Some((_, other)) => Err(format!("`event` is the name of the event, this is {}", shortly(other))),
    }
}

fn shortly(value: &Value<'_>) -> String {
    const SHOWN: usize = 40;
    let text = typed::typed(value);
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

fn from_base64(value: &Value<'_>) -> Result<Vec<u8>, String> {
    match value {
        Value::Text(text) => base64::decode(text),
        _ => None,
    }
    .ok_or_else(|| format!("`{NAME_OF_BASE64}` is no Base64: {}", shortly(value)))
}

/// Text is the payload itself, anything else its JSON.
fn payload_of(value: Value<'static>) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.into_owned().into_bytes()),
        Value::Bytes(bytes) => Some(bytes.into_owned()),
        other => Some(other.to_json().into_bytes()),
    }
}

fn check(field: EventField, name: &str, ty: Type, value: &Value<'_>) -> Result<(), String> {
    if !value.is_null() && !Type::of(value).is_within(ty) {
        return Err(format!("`{name}` wants {ty}, this is {}", shortly(value)));
    }
    if field == EventField::Qos && !matches!(value, Value::Int(0..=2) | Value::Null) {
        return Err(format!("`qos` is 0, 1 or 2, this is {}", shortly(value)));
    }
    Ok(())
}

fn unknown(event: Event, name: &str) -> String {
    let info = event.info();
    let names = || event.fields().chain(event.fields_by_name()).map(|field| field.name);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("{} has no field `{name}`, it is left out; {help}", info.name)
}

pub(super) fn find(given: &Members, wanted: EventField) -> Option<&Value<'static>> {
    given.iter().find(|(field, _)| *field == wanted).map(|(_, value)| value)
}

/// The message without anything that the shards would not know of it.
fn plain(given: &Members, unix_ms: u64) -> Option<Publish> {
    let mut publish = Publish {
        id: default_id(unix_ms),
        clientid: CLIENT.to_owned(),
        username: None,
        peerhost: IpAddr::from([127, 0, 0, 1]),
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
    };
    for (field, value) in given {
        match (field, value) {
            (EventField::Id, Value::Text(id)) if id.len() == 32 && !id.bytes().any(|b| b.is_ascii_lowercase()) => {
                publish.id = u128::from_str_radix(id, 16).ok()?;
            }
            (EventField::ClientId, Value::Text(text)) => publish.clientid = text.clone().into_owned(),
            (EventField::Username, Value::Text(text)) => publish.username = Some(text.clone().into_owned()),
            (EventField::Username, Value::Null) => publish.username = None,
            (EventField::PeerHost, Value::Text(text)) => {
                publish.peerhost = text.parse().ok().filter(|host: &IpAddr| host.to_string() == **text)?;
            }
            (EventField::Qos, Value::Int(0)) => publish.qos = QoS::AtMostOnce,
            (EventField::Qos, Value::Int(1)) => publish.qos = QoS::AtLeastOnce,
            (EventField::Qos, Value::Int(2)) => publish.qos = QoS::ExactlyOnce,
            (EventField::Flags, Value::Map(flags)) if flags.len() == 2 => {
                let flag = |name: &str| match value.member(name) {
                    Some(Value::Bool(flag)) => Some(*flag),
                    _ => None,
                };
                (publish.retain, publish.dup) = (flag("retain")?, flag("dup")?);
            }
            (EventField::Retain, Value::Bool(_)) => {}
            (EventField::PubProps | EventField::ClientAttrs, Value::Map(members)) if members.is_empty() => {}
            (EventField::Topic, Value::Text(_)) | (EventField::Timestamp, Value::Int(_)) => {}
            (EventField::PublishReceivedAt, Value::Int(ms)) if u64::try_from(*ms) == Ok(unix_ms) => {}
            (EventField::Node, Value::Text(_)) => {}
            _ => return None,
        }
    }
    match (find(given, EventField::Retain), publish.retain) {
        (Some(Value::Bool(retain)), flag) if *retain != flag => None,
        _ => Some(publish),
    }
}
