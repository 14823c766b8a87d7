//! Functions of the event itself.

use std::borrow::Cow;

use millrace_core::topic::filter;
use millrace_core::value::Value;

use super::{Function, OfEvent, Param, of_event, param, text};
use crate::ast::Step;
use crate::error::Trouble;
use crate::fields::EventField;
use crate::input::Input;
use crate::value_type::Type;

const TEXT_OR_NULL: Type = Type::TEXT.or(Type::NULL);
const FILTERS: [Param; 3] =
    [param("filters", Type::LIST.or(Type::NULL)), param("topic", Type::TEXT), param("qos", Type::INT)];

const fn of_field(name: &'static str, returns: Type, about: &'static str, body: OfEvent) -> Function {
    of_event(name, &[], returns, about, body)
}

pub(super) const TABLE: &[Function] = &[
    of_field(
        "msgid",
        TEXT_OR_NULL,
        "The identifier of the message, as the field id: strlen(msgid()) is 32.",
        |input, _| Ok(input.field(EventField::Id)),
    ),
    of_field(
        "clientid",
        TEXT_OR_NULL,
        "The Client Identifier, as the field of that name: clientid() is 'c_steve'.",
        |input, _| Ok(input.field(EventField::ClientId)),
    ),
    of_field(
        "username",
        TEXT_OR_NULL,
        "The User Name, as the field of that name: username() is null for a client without one.",
        |input, _| Ok(input.field(EventField::Username)),
    ),
    of_field(
        "clientip",
        TEXT_OR_NULL,
        "The IP address of the client, as the field peerhost: clientip() is '127.0.0.1'.",
        |input, _| Ok(input.field(EventField::PeerHost)),
    ),
    of_field(
        "peerhost",
        TEXT_OR_NULL,
        "The IP address of the client, as the field of that name: peerhost() is '127.0.0.1'.",
        |input, _| Ok(input.field(EventField::PeerHost)),
    ),
    of_field(
        "qos",
        Type::INT.or(Type::NULL),
        "The Quality of Service, as the field of that name: qos() is 1.",
        |input, _| Ok(input.field(EventField::Qos)),
    ),
    of_field(
        "flags",
        Type::MAP.or(Type::NULL),
        "RETAIN and DUP, as the field of that name: flags() is {\"retain\":true,\"dup\":false}.",
        |input, _| Ok(input.field(EventField::Flags)),
    ),
    of_event(
        "flag",
        &[param("name", Type::TEXT)],
        Type::BOOL.or(Type::NULL),
        "One of the flags, 'retain' or 'dup': flag('dup') is false.",
        |input, args| {
            Ok(match (input.field(EventField::Flags), text(args, 0)) {
                (Value::Null, _) => Value::Null,
                (_, "retain") => Value::Bool(input.retain()),
                (_, "dup") => Value::Bool(input.dup()),
                _ => Value::Null,
            })
        },
    )
    .verified(|args| match args.first() {
        Some(Some(Value::Text(name))) if name != "retain" && name != "dup" => {
            Err(format!("'{name}' is no flag: there are 'retain' and 'dup'"))
        }
        _ => Ok(()),
    }),
    of_event(
        "topic",
        &[param("level", Type::INT)],
        TEXT_OR_NULL,
        "The Topic Name, or one of its levels from 1: topic(2) of 'a/b' is 'b'.",
        |input, args| {
            Ok(match args.first() {
                Some(Value::Int(level)) => usize::try_from(*level)
                    .ok()
                    .and_then(|level| level.checked_sub(1))
                    .and_then(|level| match input.topic() {
                        Cow::Borrowed(topic) => topic.split('/').nth(level).map(Value::text),
                        Cow::Owned(topic) => {
                            topic.split('/').nth(level).map(|level| Value::Text(Cow::Owned(level.to_owned())))
                        }
                    })
                    .unwrap_or_default(),
                _ => input.field(EventField::Topic),
            })
        },
    )
    .requires(0),
    of_event(
        "payload",
        &[param("path", Type::TEXT)],
        Type::ANY,
        "The payload, or what a path of names and numbers with points between them leads to in it as JSON: \
         payload('a.b') of {\"a\":{\"b\":1}} is 1.",
        |input, args| {
            if args.is_empty() || input.field(EventField::Payload).is_null() {
                return Ok(input.field(EventField::Payload));
            }
            let steps: Vec<_> = text(args, 0).split('.').map(step).collect();
            input.payload(&steps)
        },
    )
    .requires(0),
    of_event(
        "contains_topic",
        &FILTERS,
        Type::BOOL,
        "Whether a list of Topic Filters, or of maps with topic and qos, has exactly this topic, and with this qos if it is \
         given: contains_topic(json_decode('[{\"topic\":\"t/a\",\"qos\":1}]'), 't/a') is true.",
        |input, args| contains(input, args, |wanted, topic| wanted == topic),
    )
    .requires(2),
    of_event(
        "contains_topic_match",
        &FILTERS,
        Type::BOOL,
        "The same where either may match the other by its wildcards: \
         contains_topic_match(json_decode('[{\"topic\":\"t/#\",\"qos\":1}]'), 't/a', 1) is true.",
        |input, args| contains(input, args, match_either),
    )
    .requires(2),
];

/// A number is a place in a list; maps look it up as a name.
fn step(segment: &str) -> Step {
    match segment.parse::<i64>() {
        Ok(index) if index.to_string() == segment => Step::Index(index),
        _ => Step::Name(segment.into()),
    }
}

/// Whether they are the same, or one of them is a Topic Filter that matches the other.
fn match_either(wanted: &str, topic: &str) -> bool {
    wanted == topic
        || if filter::has_wildcards(topic) { filter::matches(topic, wanted) } else { filter::matches(wanted, topic) }
}

fn contains<'i>(input: &Input<'_>, args: &[Value<'_>], is_it: fn(&str, &str) -> bool) -> Result<Value<'i>, Trouble> {
    let Some(Value::List(filters)) = args.first() else { return Ok(Value::Bool(false)) };
    let topic = text(args, 1);
    for element in filters {
        let (wanted, qos) = match element {
            Value::Text(wanted) => (wanted, None),
            element => match element.member("topic") {
                Some(Value::Text(wanted)) => (wanted, element.member("qos")),
                _ => continue,
            },
        };
        input.pay(wanted.len() + topic.len())?;
        if args.get(2).is_none_or(|qos_wanted| qos == Some(qos_wanted)) && is_it(wanted, topic) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
