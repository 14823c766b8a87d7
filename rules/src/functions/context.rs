//! Functions of the event itself.

use millrace_core::value::Value;

use super::{Body, Function, param};
use crate::fields::EventField;
use crate::value_type::Type;

const fn of_field(name: &'static str, returns: Type, about: &'static str, body: Body) -> Function {
    Function { name, params: &[], required: 0, repeats: false, returns, about, body }
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
        body: Body::OfEvent(|input, args| {
            let topic = input.event().topic;
            Ok(match args.first() {
                Some(Value::Int(level)) => usize::try_from(*level)
                    .ok()
                    .and_then(|level| level.checked_sub(1))
                    .and_then(|level| topic.split('/').nth(level))
                    .map_or(Value::Null, Value::text),
                _ => Value::text(topic),
            })
        }),
    },
];
