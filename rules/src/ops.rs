//! The operators: what they do with two values that have met.
//!
//! Null: there is one. Two nulls are equal; any comparison of null with something else is false, `!=` too.
//! Numbers compare by value whatever their kind; a number meets a text as the number written there, a boolean meets a
//! text as its name; other unlike kinds are neither equal nor ordered.

use std::borrow::Cow;
use std::cmp::Ordering;

use millrace_core::value::{Value, compare_int_float};

use crate::ast::BinaryOp;
use crate::error::{Trouble, met};
use crate::json;

/// Applies a comparison.
#[inline]
pub(crate) fn compare(op: BinaryOp, left: &Value<'_>, right: &Value<'_>) -> Result<bool, Trouble> {
    let order = match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => return Ok(false),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Float(b)) => Some(compare_int_float(*a, *b)),
        (Value::Float(a), Value::Int(b)) => Some(compare_int_float(*b, *a).reverse()),
        (Value::Text(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.as_ref().cmp(b.as_ref())),
        (Value::Text(a), Value::Bytes(b)) => Some(a.as_bytes().cmp(b.as_ref())),
        (Value::Bytes(a), Value::Text(b)) => Some(a.as_ref().cmp(b.as_bytes())),
        (Value::Int(_) | Value::Float(_), Value::Text(text)) => {
            return compare(op, left, &numeric(text)?);
        }
        (Value::Text(text), Value::Int(_) | Value::Float(_)) => {
            return compare(op, &numeric(text)?, right);
        }
        (Value::Bool(a), Value::Text(b)) => Some(bool_name(*a).cmp(b.as_ref())),
        (Value::Text(a), Value::Bool(b)) => Some(a.as_ref().cmp(bool_name(*b))),
        (Value::List(_), Value::List(_)) | (Value::Map(_), Value::Map(_)) => {
            left.same(right).then_some(Ordering::Equal)
        }
        _ => None,
    };
    Ok(match op {
        BinaryOp::Equal => order == Some(Ordering::Equal),
        BinaryOp::NotEqual => order != Some(Ordering::Equal),
        BinaryOp::Less => order == Some(Ordering::Less),
        BinaryOp::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        BinaryOp::Greater => order == Some(Ordering::Greater),
        BinaryOp::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => false,
    })
}

/// The bytes that a comparison may have to look at.
#[inline]
pub(crate) fn work(left: &Value<'_>, right: &Value<'_>) -> usize {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => a.len().min(b.len()),
        (Value::Bytes(a), Value::Bytes(b)) => a.len().min(b.len()),
        _ => 1,
    }
}

/// The number that a text holds: as JSON writes numbers, with a plus sign too.
pub(crate) fn numeric(text: &str) -> Result<Value<'static>, Trouble> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let plausible =
        digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'))
            && digits.bytes().any(|byte| byte.is_ascii_digit());
    plausible.then(|| json::number(digits)).flatten().ok_or_else(|| Trouble::NotNumeric(met(&Value::text(text))))
}

pub(crate) const fn bool_name(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Applies an arithmetic operator. `+` joins texts, and a text with a number.
#[inline]
pub(crate) fn arithmetic<'i>(op: BinaryOp, left: &Value<'i>, right: &Value<'i>) -> Result<Value<'i>, Trouble> {
    if let (Value::Int(a), Value::Int(b)) = (left, right) {
        return whole(op, *a, *b);
    }
    if let (Some(a), Some(b)) = (as_float(left), as_float(right)) {
        let result = match op {
            BinaryOp::Add => a + b,
            BinaryOp::Subtract => a - b,
            BinaryOp::Multiply => a * b,
            BinaryOp::Divide if b == 0.0 => return Err(Trouble::DivisionByZero),
            BinaryOp::Divide => a / b,
            _ => return Err(operands(op, left, right)),
        };
        return Value::float(result).ok_or(Trouble::OutOfRange);
    }
    if op == BinaryOp::Add
        && let (Some(a), Some(b)) = (as_text(left), as_text(right))
        && (matches!(left, Value::Text(_)) || matches!(right, Value::Text(_)))
    {
        return Ok(Value::Text(Cow::Owned([a, b].concat())));
    }
    Err(operands(op, left, right))
}

fn whole(op: BinaryOp, a: i64, b: i64) -> Result<Value<'static>, Trouble> {
    let result = match op {
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Subtract => a.checked_sub(b),
        BinaryOp::Multiply => a.checked_mul(b),
        _ if b == 0 => return Err(Trouble::DivisionByZero),
        BinaryOp::Div => a.checked_div(b),
        // The remainder of the one division that overflows is 0 all the same.
        BinaryOp::Mod => Some(a.wrapping_rem(b)),
        #[allow(clippy::cast_precision_loss, reason = "the quotient of `/` is a float")]
        _ => return Value::float(a as f64 / b as f64).ok_or(Trouble::OutOfRange),
    };
    result.map(Value::Int).ok_or(Trouble::OutOfRange)
}

/// The negative of a number.
pub(crate) fn negate(value: &Value<'_>) -> Result<Value<'static>, Trouble> {
    match value {
        Value::Int(value) => value.checked_neg().map(Value::Int).ok_or(Trouble::OutOfRange),
        Value::Float(value) => Ok(Value::Float(-value)),
        other => Err(Trouble::Operands { op: "-", left: "nothing".to_owned(), right: met(other) }),
    }
}

#[allow(clippy::cast_precision_loss, reason = "one operand is a float, so the result is one")]
const fn as_float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

fn as_text<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Int(_) | Value::Float(_) => Some(Cow::Owned(value.to_json())),
        _ => None,
    }
}

fn operands(op: BinaryOp, left: &Value<'_>, right: &Value<'_>) -> Trouble {
    Trouble::Operands { op: op.symbol(), left: met(left), right: met(right) }
}
