//! Functions of whole numbers, and those that round to one.

use millrace_core::value::Value;

use super::{Function, NUMBER, param, pure};
use crate::ast::BinaryOp;
use crate::error::{Trouble, met};
use crate::ops;
use crate::value_type::Type;

pub(super) const TABLE: &[Function] = &[
    pure("abs", &[NUMBER], Type::NUMBER, "The number without its sign: abs(-1.2) is 1.2.", |args| match &args[0] {
        Value::Int(value) => value.checked_abs().map(Value::Int).ok_or(Trouble::OutOfRange),
        other => as_float("abs", other, f64::abs),
    }),
    pure("ceil", &[NUMBER], Type::INT, "The next whole number upward: ceil(1.2) is 2.", |args| {
        rounded(&args[0], f64::ceil)
    }),
    pure("floor", &[NUMBER], Type::INT, "The next whole number downward: floor(-1.2) is -2.", |args| {
        rounded(&args[0], f64::floor)
    }),
    pure("round", &[NUMBER], Type::INT, "The nearest whole number, halves away from 0: round(2.5) is 3.", |args| {
        rounded(&args[0], f64::round)
    }),
    pure(
        "mod",
        &[param("number", Type::INT), param("divisor", Type::INT)],
        Type::INT,
        "The remainder, with the sign of the number: mod(-7, 3) is -1.",
        |args| ops::arithmetic(BinaryOp::Mod, &args[0], &args[1]),
    ),
    pure(
        "int2hexstr",
        &[param("number", Type::INT)],
        Type::TEXT,
        "The number in hexadecimal digits: int2hexstr(255) is 'FF', int2hexstr(-15) is '-F'.",
        |args| {
            let number = super::whole(args, 0).unwrap_or_default();
            let sign = if number < 0 { "-" } else { "" };
            super::owned(format!("{sign}{:X}", number.unsigned_abs()))
        },
    ),
];

#[allow(clippy::cast_precision_loss, reason = "functions of floats take whole numbers as floats")]
pub(super) fn float(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        _ => f64::NAN,
    }
}

/// A function of floats; it is not defined where it is not a number.
pub(super) fn as_float<'i>(
    function: &'static str,
    value: &Value<'_>,
    apply: impl Fn(f64) -> f64,
) -> Result<Value<'i>, Trouble> {
    let result = apply(float(value));
    if result.is_nan() {
        return Err(Trouble::Failed { function, why: format!("not defined for {}", met(value)) });
    }
    Value::float(result).ok_or(Trouble::OutOfRange)
}

pub(super) fn rounded(value: &Value<'_>, apply: impl Fn(f64) -> f64) -> Result<Value<'static>, Trouble> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    match value {
        Value::Int(value) => Ok(Value::Int(*value)),
        other => {
            let whole = apply(float(other));
            if !(-TWO_63..TWO_63).contains(&whole) {
                return Err(Trouble::OutOfRange);
            }
            #[allow(clippy::cast_possible_truncation, reason = "whole, and within the range of i64")]
            Ok(Value::Int(whole as i64))
        }
    }
}
