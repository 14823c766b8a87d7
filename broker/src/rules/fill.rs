//! What an event has in the fields that nobody gave: as in a real event in which nothing is special.

use std::borrow::Cow;
use std::net::IpAddr;

use millrace_core::value::Value;
use millrace_rules::Given;
use millrace_rules::fields::{Event, EventField};

use super::sample::{EVENTS, Members, find};

/// The Client Identifier of a client that is not named.
pub(super) const CLIENT: &str = "c1";
/// The Client Identifier of the publisher of a message that another client got.
const PUBLISHER: &str = "c0";
/// What stands in a topic where the filter has a wildcard.
const ANY_LEVEL: &str = "a";

/// A topic that the first filter matches.
pub(super) fn topic_for(event: Event, sources: &[String]) -> String {
    let filter = sources.iter().find(|source| event == Event::MessagePublish && !source.starts_with(EVENTS));
    let filter = filter.map_or("t/#", String::as_str);
    let levels: Vec<&str> =
        filter.split('/').map(|level| if matches!(level, "+" | "#") { ANY_LEVEL } else { level }).collect();
    levels.join("/")
}

/// `retain` alone is RETAIN among the flags too.
pub(super) fn with_retain(given: &mut Members) {
    if let (Some(Value::Bool(retain)), None) = (find(given, EventField::Retain), find(given, EventField::Flags)) {
        let flags = vec![("retain".into(), Value::Bool(*retain)), ("dup".into(), Value::Bool(false))];
        given.push((EventField::Flags, Value::Map(flags)));
    }
    // Flags that are not given are false.
    if let Some((_, Value::Map(flags))) = given.iter_mut().find(|(field, _)| *field == EventField::Flags) {
        for name in ["retain", "dup"] {
            if !flags.iter().any(|(known, _)| known == name) {
                flags.push((name.into(), Value::Bool(false)));
            }
        }
    }
}

/// User Properties come as a map and as pairs, whichever was given.
pub(super) fn with_user_properties(given: &mut Members) {
    const MAP: &str = "User-Property";
    const PAIRS: &str = "User-Property-Pairs";
    for (_, value) in given.iter_mut() {
        let added = match (value.member(MAP), value.member(PAIRS)) {
            (Some(Value::Map(user)), None) => {
                let pair = |(key, value): &(Cow<'static, str>, Value<'static>)| {
                    Value::Map(vec![("key".into(), Value::Text(key.clone())), ("value".into(), value.clone())])
                };
                (PAIRS, Value::List(user.iter().map(pair).collect()))
            }
            (None, Some(Value::List(pairs))) => {
                let mut user: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
                for pair in pairs {
                    if let (Some(Value::Text(key)), Some(value)) = (pair.member("key"), pair.member("value")) {
                        user.retain(|(known, _)| known != key);
                        user.push((key.clone(), value.clone()));
                    }
                }
                (MAP, Value::Map(user))
            }
            _ => continue,
        };
        if let Value::Map(members) = value {
            members.push((added.0.into(), added.1));
        }
    }
}

/// As the broker numbers messages: the time in front.
pub(super) fn default_id(unix_ms: u64) -> u128 {
    u128::from(unix_ms) << 64 | 1
}

/// What a field has in an event in which nothing is special.
pub(super) fn default_of(field: EventField, event: Event, unix_ms: u64) -> Option<Given<'static>> {
    let ms = || Given::Value(Value::Int(i64::try_from(unix_ms).unwrap_or(i64::MAX)));
    let int = |number| Given::Value(Value::Int(number));
    let bool = |value| Given::Value(Value::Bool(value));
    Some(match field {
        EventField::Id => Given::Id(default_id(unix_ms)),
        EventField::ClientId => Given::Text(CLIENT),
        EventField::FromClientId => Given::Text(PUBLISHER),
        EventField::PeerHost => Given::Host(IpAddr::from([127, 0, 0, 1])),
        EventField::PeerName => Given::Text("127.0.0.1:50000"),
        EventField::SockName => Given::Text("127.0.0.1:1883"),
        EventField::Qos => int(if event == Event::MessageAcked { 1 } else { 0 }),
        EventField::Flags => Given::Flags { retain: false, dup: false },
        EventField::PubProps
        | EventField::PubackProps
        | EventField::ConnProps
        | EventField::DisconnProps
        | EventField::SubProps
        | EventField::UnsubProps => Given::Value(Value::Map(Vec::new())),
        EventField::PublishReceivedAt | EventField::ConnectedAt | EventField::DisconnectedAt => ms(),
        EventField::Reason => Given::Text(match event {
            Event::MessageDropped => "no_subscribers",
            Event::DeliveryDropped => "queue_full",
            Event::SessionTerminated => "expired",
            _ => "normal",
        }),
        EventField::ReasonCode => Given::Text("success"),
        EventField::ProtoName => Given::Text("MQTT"),
        EventField::ProtoVer => int(5),
        EventField::Keepalive => int(60),
        EventField::CleanStart => bool(true),
        EventField::ReceiveMaximum => int(65_535),
        EventField::ExpiryInterval => int(0),
        EventField::IsAnonymous => bool(true),
        EventField::IsBridge | EventField::IsCache | EventField::IsSuperuser => bool(false),
        EventField::Action => Given::Text("publish"),
        EventField::Result => Given::Text("allow"),
        _ => return None,
    })
}
