//! Functions that ask what a value is or make another kind of it.

use std::borrow::Cow;

use millrace_core::value::Value;

use super::{ANYTHING, Function, TEXT, param, pure, take, text};
use crate::error::{Trouble, met};
use crate::functions::number::rounded;
use crate::value_type::Type;
use crate::{json, ops};

const CONVERTIBLE: Type = Type::NUMBER.or(Type::TEXT).or(Type::BOOL);

pub(super) const TABLE: &[Function] = &[
    pure("null", &[], Type::NULL, "Null: null() is null.", |_| Ok(Value::Null)),
    pure("is_null", &[ANYTHING], Type::BOOL, "Whether it is missing or null: is_null(null) is true.", |args| {
        Ok(Value::Bool(args[0].is_null()))
    }),
    pure(
        "is_not_null",
        &[ANYTHING],
        Type::BOOL,
        "Whether it is neither missing nor null: is_not_null(0) is true.",
        |args| Ok(Value::Bool(!args[0].is_null())),
    ),
    is("is_str", "Whether it is text: is_str('1') is true.", |args| kind(args, Type::TEXT)),
    is("is_bool", "Whether it is true or false: is_bool(true) is true.", |args| kind(args, Type::BOOL)),
    is("is_int", "Whether it is a whole number: is_int(1.0) is false.", |args| kind(args, Type::INT)),
    is("is_float", "Whether it is a float: is_float(1) is false.", |args| kind(args, Type::FLOAT)),
    is("is_num", "Whether it is a number: is_num(1.5) is true.", |args| kind(args, Type::NUMBER)),
    is("is_map", "Whether it is a map: is_map(flags) is true.", |args| kind(args, Type::MAP)),
    is("is_array", "Whether it is a list: is_array(1) is false.", |args| kind(args, Type::LIST)),
    pure("str", &[ANYTHING], Type::TEXT, "The value as text, lists and maps as JSON: str(1.50) is '1.5'.", |args| {
        match take(args, 0) {
            Value::Text(text) => Ok(Value::Text(text)),
            other => to_text("str", &other).map(|text| Value::Text(Cow::Owned(text.into_owned()))),
        }
    }),
    pure(
        "int",
        &[param("value", CONVERTIBLE)],
        Type::INT,
        "A whole number of it, rounded down: int('3.9') is 3, int(-3.14) is -4.",
        |args| match &args[0] {
            Value::Bool(value) => Ok(Value::Int((*value).into())),
            Value::Text(text) => rounded(&read_number("int", text)?, f64::floor),
            other => rounded(other, f64::floor),
        },
    ),
    pure("float", &[param("value", CONVERTIBLE)], Type::FLOAT, "A float of it: float('1') is 1.0.", |args| {
        let number = match &args[0] {
            Value::Bool(value) => Value::Int((*value).into()),
            Value::Text(text) => read_number("float", text)?,
            other => other.borrowed(),
        };
        #[allow(clippy::cast_precision_loss, reason = "a float is what was asked for")]
        match number {
            Value::Int(value) => Ok(Value::Float(value as f64)),
            Value::Float(value) => Ok(Value::Float(value)),
            _ => Err(Trouble::OutOfRange),
        }
    }),
    pure(
        "bool",
        &[param("value", CONVERTIBLE)],
        Type::BOOL,
        "True of true, 1 and 'true', false of false, 0 and 'false': bool(1) is true.",
        |args| match &args[0] {
            Value::Bool(value) => Ok(Value::Bool(*value)),
            Value::Int(1) => Ok(Value::Bool(true)),
            Value::Int(0) => Ok(Value::Bool(false)),
            Value::Text(text) if text == "true" => Ok(Value::Bool(true)),
            Value::Text(text) if text == "false" => Ok(Value::Bool(false)),
            other => Err(conversion("bool", other)),
        },
    ),
    pure("json_decode", &[TEXT], Type::ANY, "The value of a JSON text: json_decode('[1]') is a list.", |args| {
        let mut places = Vec::new();
        let failed = |_| conversion("json_decode", &args[0]);
        json::Json::scan(text(args, 0), &mut places)
            .and_then(|json| json.value(&[]))
            .map(Value::into_owned)
            .map_err(failed)
    }),
    pure("json_encode", &[ANYTHING], Type::TEXT, "The value as JSON text: json_encode('a') is '\"a\"'.", |args| {
        Ok(Value::Text(Cow::Owned(args[0].to_json())))
    }),
];

const fn is(
    name: &'static str,
    about: &'static str,
    body: for<'i> fn(&mut [Value<'i>]) -> Result<Value<'i>, Trouble>,
) -> Function {
    pure(name, &[ANYTHING], Type::BOOL, about, body)
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of every function")]
fn kind<'i>(args: &[Value<'_>], ty: Type) -> Result<Value<'i>, Trouble> {
    Ok(Value::Bool(Type::of(&args[0]).meets(ty)))
}

/// A value as text; null is the word `null`, bytes must be UTF-8.
pub(super) fn to_text<'v>(function: &'static str, value: &'v Value<'_>) -> Result<Cow<'v, str>, Trouble> {
    match value {
        Value::Text(text) => Ok(Cow::Borrowed(text)),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| conversion(function, value)),
        other => Ok(Cow::Owned(other.to_json())),
    }
}

fn read_number(function: &'static str, text: &str) -> Result<Value<'static>, Trouble> {
    ops::numeric(text).map_err(|_| conversion(function, &Value::text(text)))
}

fn conversion(function: &'static str, value: &Value<'_>) -> Trouble {
    Trouble::Conversion { function, met: met(value) }
}
