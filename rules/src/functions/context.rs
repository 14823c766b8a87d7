//! Functions of the event itself.

use std::borrow::Cow;

use millrace_core::value::Value;

use super::{Body, Function, param};
use crate::fields::EventField;
use crate::value_type::Type;

const fn of_field(name: &'static str, returns: Type, about: &'static str, body: Body) -> Function {
    Function { name, params: &[], required: 0, repeats: false, returns, about, verify: None, body }
}

pub(super) const TABLE: &[Function] = &[
    of_field(
        "clientid",
        Type::TEXT,
        "The Client Identifier of the publisher, as the field of that name.",
        Body::OfEvent(|input, _| Ok(input.field(EventField::ClientId))),
    ),
    of_field(
        "username",
        Type::TEXT.or(Type::NULL),
        "The User Name of the publisher, as the field of that name.",
        Body::OfEvent(|input, _| Ok(input.field(EventField::Username))),
    ),
    of_field(
        "qos",
        Type::INT,
        "The Quality of Service, as the field of that name.",
        Body::OfEvent(|input, _| Ok(input.field(EventField::Qos))),
    ),
    Function {
        name: "topic",
        params: &[param("level", Type::INT)],
        required: 0,
        repeats: false,
        returns: Type::TEXT.or(Type::NULL),
        about: "The Topic Name, or one of its levels from 1: topic(2) of 'a/b' is 'b'.",
        verify: None,
        body: Body::OfEvent(|input, args| {
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
        }),
    },
];
