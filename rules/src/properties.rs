//! Properties of a packet as a rule sees them: a map by the names of MQTT 5.0.

use std::borrow::Cow;

use millrace_core::codec::properties::{Properties, Property, Value as PropertyValue};
use millrace_core::value::Value;

/// The properties of a packet that a client sent, by their names. Authentication Data is a secret and is left out.
#[must_use]
pub(crate) fn by_name(properties: Properties<'_>) -> Value<'_> {
    let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
    let mut user = Vec::new();
    for (property, value) in properties {
        let name = match property {
            Property::PayloadFormatIndicator => "Payload-Format-Indicator",
            Property::MessageExpiryInterval => "Message-Expiry-Interval",
            Property::ContentType => "Content-Type",
            Property::ResponseTopic => "Response-Topic",
            Property::CorrelationData => "Correlation-Data",
            Property::UserProperty => "User-Property",
            Property::SubscriptionIdentifier => "Subscription-Identifier",
            Property::SessionExpiryInterval => "Session-Expiry-Interval",
            Property::AuthenticationMethod => "Authentication-Method",
            Property::RequestProblemInformation => "Request-Problem-Information",
            Property::RequestResponseInformation => "Request-Response-Information",
            Property::WillDelayInterval => "Will-Delay-Interval",
            Property::ServerReference => "Server-Reference",
            Property::ReasonString => "Reason-String",
            Property::ReceiveMaximum => "Receive-Maximum",
            Property::TopicAliasMaximum => "Topic-Alias-Maximum",
            Property::TopicAlias => "Topic-Alias",
            Property::MaximumPacketSize => "Maximum-Packet-Size",
            _ => continue,
        };
        let value = match value {
            PropertyValue::U8(value) => Value::Int(value.into()),
            PropertyValue::U16(value) => Value::Int(value.into()),
            PropertyValue::U32(value) | PropertyValue::Var(value) => Value::Int(value.into()),
            PropertyValue::Str(text) => Value::text(text),
            PropertyValue::Bin(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::text(text),
                Err(_) => Value::Bytes(bytes.into()),
            },
            PropertyValue::Pair(key, value) => {
                user.push((Cow::Borrowed(key), Value::text(value)));
                continue;
            }
        };
        members.push((name.into(), value));
    }
    if !user.is_empty() {
        let pairs = user
            .iter()
            .map(|(key, value)| {
                Value::Map(vec![("key".into(), Value::Text(key.clone())), ("value".into(), value.clone())])
            })
            .collect();
        members.push(("User-Property".into(), Value::Map(last_of_each(user))));
        members.push(("User-Property-Pairs".into(), Value::List(pairs)));
    }
    Value::Map(members)
}

/// At most [`millrace_core::limits::USER_PROPERTIES_MAX`] pairs come with a packet, so searching is quick enough.
fn last_of_each<'a>(pairs: Vec<(Cow<'a, str>, Value<'a>)>) -> Vec<(Cow<'a, str>, Value<'a>)> {
    let mut kept: Vec<(Cow<'a, str>, Value<'a>)> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        match kept.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => kept.push((key, value)),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use millrace_core::codec::properties::Carrier;

    use super::*;

    #[test]
    fn properties_become_members_and_the_last_user_property_counts() {
        let raw = b"\x01\x01\x03\x00\x01j\x09\x00\x02\xff\x00\x26\x00\x01k\x00\x011\x26\x00\x01k\x00\x012";
        assert_eq!(
            by_name(Properties::check(raw, Carrier::Publish).expect("legal")).to_json(),
            "{\"Payload-Format-Indicator\":1,\"Content-Type\":\"j\",\"Correlation-Data\":\"\u{fffd}\\u0000\",\
             \"User-Property\":{\"k\":\"2\"},\
             \"User-Property-Pairs\":[{\"key\":\"k\",\"value\":\"1\"},{\"key\":\"k\",\"value\":\"2\"}]}"
        );
        assert_eq!(by_name(Properties::EMPTY).to_json(), "{}");
    }
}
