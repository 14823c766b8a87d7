//! PUBLISH properties as a rule sees them: a map by the names of MQTT 5.0.

use std::borrow::Cow;

use millrace_core::value::Value;

/// The properties that travel with a message, from their encoded form. They were checked when the packet was decoded;
/// should the bytes end early all the same, the rest is left out.
#[must_use]
pub(crate) fn pub_props(raw: &[u8]) -> Value<'_> {
    let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
    let mut user = Vec::new();
    let mut rest = raw;
    while let Some(identifier) = take(&mut rest, 1) {
        let Some((name, value)) = (match identifier[0] {
            0x01 => take(&mut rest, 1).map(|byte| ("Payload-Format-Indicator", Value::Int(byte[0].into()))),
            0x02 => take(&mut rest, 4).map(|bytes| ("Message-Expiry-Interval", Value::Int(number(bytes)))),
            0x03 => text(&mut rest).map(|value| ("Content-Type", value)),
            0x08 => text(&mut rest).map(|value| ("Response-Topic", value)),
            0x09 => text(&mut rest).map(|value| ("Correlation-Data", value)),
            0x26 => {
                let (Some(Value::Text(key)), Some(value)) = (text(&mut rest), text(&mut rest)) else {
                    break;
                };
                user.push((key, value));
                continue;
            }
            _ => None,
        }) else {
            break;
        };
        members.push((Cow::Borrowed(name), value));
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

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<Value<'a>> {
    let length = number(take(rest, 2)?);
    let bytes = take(rest, usize::try_from(length).ok()?)?;
    Some(match std::str::from_utf8(bytes) {
        Ok(text) => Value::text(text),
        Err(_) => Value::Bytes(Cow::Borrowed(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_become_members_and_the_last_user_property_counts() {
        let raw = b"\x01\x01\x03\x00\x01j\x09\x00\x02\xff\x00\x26\x00\x01k\x00\x011\x26\x00\x01k\x00\x012";
        assert_eq!(
            pub_props(raw).to_json(),
            "{\"Payload-Format-Indicator\":1,\"Content-Type\":\"j\",\"Correlation-Data\":\"\u{fffd}\\u0000\",\
             \"User-Property\":{\"k\":\"2\"},\
             \"User-Property-Pairs\":[{\"key\":\"k\",\"value\":\"1\"},{\"key\":\"k\",\"value\":\"2\"}]}"
        );
        assert_eq!(pub_props(b"").to_json(), "{}");
    }

    #[test]
    fn bytes_that_end_early_leave_the_rest_out() {
        let raw = b"\x03\x00\x01j\x26\x00\x01k\x00\x05v";
        for end in 0..raw.len() {
            let _ = pub_props(&raw[..end]);
        }
        assert_eq!(pub_props(raw).to_json(), "{\"Content-Type\":\"j\"}");
    }
}
