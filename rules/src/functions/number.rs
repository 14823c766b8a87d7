//! Functions of numbers.

use millrace_core::value::Value;

use super::{Function, NUMBER, param, pure};
use crate::ast::BinaryOp;
use crate::error::Trouble;
use crate::ops;
use crate::value_type::Type;

pub(super) const TABLE: &[Function] = &[
    pure("abs", &[NUMBER], Type::NUMBER, "The number without its sign: abs(-1.2) is 1.2.", |args| match &args[0] {
        Value::Int(value) => value.checked_abs().map(Value::Int).ok_or(Trouble::OutOfRange),
        other => as_float(other, f64::abs),
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
    pure("sqrt", &[NUMBER], Type::FLOAT, "The square root: sqrt(4) is 2.0.", |args| as_float(&args[0], f64::sqrt)),
    pure(
        "power",
        &[NUMBER, param("exponent", Type::NUMBER)],
        Type::FLOAT,
        "The number to a power, a float: power(2, 10) is 1024.0.",
        |args| {
            let exponent = float(&args[1]);
            as_float(&args[0], |base| base.powf(exponent))
        },
    ),
    pure(
        "mod",
        &[param("number", Type::INT), param("divisor", Type::INT)],
        Type::INT,
        "The remainder, with the sign of the number: mod(-7, 3) is -1.",
        |args| ops::arithmetic(BinaryOp::Mod, &args[0], &args[1]),
    ),
    pure(
        "fmod",
        &[NUMBER, param("divisor", Type::NUMBER)],
        Type::FLOAT,
        "The remainder of floats, with the sign of the number: fmod(-32, 5) is -2.0.",
        |args| {
            let divisor = float(&args[1]);
            if divisor == 0.0 {
                return Err(Trouble::DivisionByZero);
            }
            as_float(&args[0], |number| number % divisor)
        },
    ),
];

#[allow(clippy::cast_precision_loss, reason = "functions of floats take whole numbers as floats")]
fn float(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        _ => f64::NAN,
    }
}

fn as_float(value: &Value<'_>, apply: impl Fn(f64) -> f64) -> Result<Value<'static>, Trouble> {
    Value::float(apply(float(value))).ok_or(Trouble::OutOfRange)
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
