//! Functions that compare, and those that choose what is there.

use std::cmp::Ordering;

use millrace_core::value::Value;

use super::conversion::to_text;
use super::{ANYTHING, Body, Function, NUMBER, param, pure};
use crate::ast::BinaryOp;
use crate::error::Trouble;
use crate::ops;
use crate::value_type::Type;

const OTHER: super::Param = param("other", Type::ANY);
const NUMBERS: &[super::Param] = &[NUMBER, param("other", Type::NUMBER)];

/// A row for a question about the order of two texts.
macro_rules! texts {
    ($name:literal, $holds:pat, $about:literal) => {
        pure($name, &[ANYTHING, OTHER], Type::BOOL, $about, |args| {
            Ok(Value::Bool(matches!(text_order($name, args)?, $holds)))
        })
    };
}

/// A row for a question about the order of two numbers.
macro_rules! numbers {
    ($name:literal, $op:ident, $about:literal) => {
        pure($name, NUMBERS, Type::BOOL, $about, |args| {
            ops::compare(BinaryOp::$op, &args[0], &args[1]).map(Value::Bool)
        })
    };
}

use Ordering::{Equal, Greater, Less};

pub(super) const TABLE: &[Function] = &[
    pure(
        "eq",
        &[ANYTHING, OTHER],
        Type::BOOL,
        "Whether two values are the same, numbers by value: eq(1, 1.0) is true, eq(1, '1') is false.",
        |args| {
            Ok(Value::Bool(match (&args[0], &args[1]) {
                (a @ (Value::Int(_) | Value::Float(_)), b @ (Value::Int(_) | Value::Float(_))) => {
                    ops::compare(BinaryOp::Equal, a, b)?
                }
                (a, b) => a.same(b),
            }))
        },
    ),
    pure(
        "str_comp",
        &[ANYTHING, OTHER],
        Type::TEXT.or(Type::NULL),
        "How two values are ordered as texts, 'lt', 'eq' or 'gt': str_comp('a', 'b') is 'lt'.",
        |args| Ok(text_order("str_comp", args)?.map_or(Value::Null, word)),
    ),
    texts!("str_eq", Some(Equal), "Whether two values are the same as texts: str_eq(1, '1') is true."),
    texts!("str_neq", Some(Less | Greater), "Whether two values are not the same as texts: str_neq('a', 'b') is true."),
    texts!("str_lt", Some(Less), "Whether the first comes before the other as text: str_lt('a', 'b') is true."),
    texts!(
        "str_lte",
        Some(Less | Equal),
        "Whether the first does not come after the other as text: str_lte('a', 'a') is true."
    ),
    texts!("str_gt", Some(Greater), "Whether the first comes after the other as text: str_gt(9, 10) is true."),
    texts!(
        "str_gte",
        Some(Greater | Equal),
        "Whether the first does not come before the other as text: str_gte('b', 'a') is true."
    ),
    pure(
        "num_comp",
        NUMBERS,
        Type::TEXT,
        "How two numbers are ordered, 'lt', 'eq' or 'gt': num_comp(1, 1.0) is 'eq'.",
        |args| {
            let holds = |op| ops::compare(op, &args[0], &args[1]);
            Ok(word(if holds(BinaryOp::Less)? {
                Less
            } else if holds(BinaryOp::Greater)? {
                Greater
            } else {
                Equal
            }))
        },
    ),
    numbers!("num_eq", Equal, "Whether two numbers are the same: num_eq(1, 1.0) is true."),
    numbers!("num_neq", NotEqual, "Whether two numbers are not the same: num_neq(1, 2) is true."),
    numbers!("num_lt", Less, "Whether the first number is less: num_lt(1, 2) is true."),
    numbers!("num_lte", LessOrEqual, "Whether the first number is not more: num_lte(2, 2) is true."),
    numbers!("num_gt", Greater, "Whether the first number is more: num_gt(2, 1) is true."),
    numbers!("num_gte", GreaterOrEqual, "Whether the first number is not less: num_gte(2, 2) is true."),
    Function {
        name: "coalesce",
        params: &[ANYTHING],
        required: 1,
        repeats: true,
        returns: Type::ANY,
        about: "The first argument, or item of the only one, that is not null: coalesce(null, 2) is 2.",
        verify: None,
        body: Body::Pure(|args| Ok(first(args, |value| !value.is_null()).unwrap_or_default())),
    },
    Function {
        name: "coalesce_ne",
        params: &[ANYTHING],
        required: 1,
        repeats: true,
        returns: Type::ANY,
        about: "The first argument, or item of the only one, that is neither null nor an empty text: coalesce_ne('', 2) is 2.",
        verify: None,
        body: Body::Pure(|args| {
            let is_some =
                |value: &Value<'_>| !value.is_null() && !matches!(value, Value::Text(text) if text.is_empty());
            Ok(first(args, is_some).unwrap_or_default())
        }),
    },
];

/// The order of two values as texts; null is ordered only with itself.
fn text_order(function: &'static str, args: &[Value<'_>]) -> Result<Option<Ordering>, Trouble> {
    Ok(match (&args[0], &args[1]) {
        (Value::Null, Value::Null) => Some(Equal),
        (Value::Null, _) | (_, Value::Null) => None,
        (a @ Value::Bytes(_), b @ (Value::Text(_) | Value::Bytes(_))) | (a @ Value::Text(_), b @ Value::Bytes(_)) => {
            Some(super::string_bytes(a).cmp(super::string_bytes(b)))
        }
        (a, b) => Some(to_text(function, a)?.cmp(&to_text(function, b)?)),
    })
}

const fn word<'i>(order: Ordering) -> Value<'i> {
    Value::text(match order {
        Less => "lt",
        Equal => "eq",
        Greater => "gt",
    })
}

fn first<'i>(args: &mut [Value<'i>], fits: impl Fn(&Value<'_>) -> bool) -> Option<Value<'i>> {
    match args {
        [Value::List(items)] => items.iter_mut().find(|item| fits(item)).map(std::mem::take),
        args => args.iter_mut().find(|arg| fits(arg)).map(std::mem::take),
    }
}
