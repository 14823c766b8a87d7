//! Functions that make another kind of value of a value.

use std::borrow::Cow;
use std::fmt::Write;

use millrace_core::value::Value;

use super::{ANYTHING, BINARY, DATA, Function, NUMBER, TEXT, bytes, of_bytes, param, pure, take, text};
use crate::error::{Trouble, met};
use crate::functions::number::rounded;
use crate::value_type::Type;
use crate::{json, ops};

const CONVERTIBLE: Type = Type::NUMBER.or(Type::TEXT).or(Type::BOOL);
/// Digits after the point, at most.
const DECIMALS_MAX: i64 = 253;

pub(super) const TABLE: &[Function] = &[
    pure("null", &[], Type::NULL, "Null: null() is null.", |_| Ok(Value::Null)),
    pure(
        "str",
        &[ANYTHING],
        Type::TEXT,
        "The value as text, a map or list as JSON, a list of printable Latin-1 characters as these: str(1.50) is '1.5'.",
        |args| written("str", take(args, 0)),
    ),
    pure("any_to_str", &[ANYTHING], Type::TEXT, "The same as str: any_to_str(true) is 'true'.", |args| {
        written("any_to_str", take(args, 0))
    }),
    pure("str_utf8", &[ANYTHING], Type::TEXT, "The same as str: str_utf8('grün') is 'grün'.", |args| {
        written("str_utf8", take(args, 0))
    }),
    pure(
        "str_utf16_le",
        &[ANYTHING],
        BINARY,
        "The value as text, encoded in UTF-16 from the low byte: bin2hexstr(str_utf16_le('ü')) is 'FC00'.",
        |args| {
            let value = written("str_utf16_le", take(args, 0))?;
            let Value::Text(text) = value else { return Ok(Value::Null) };
            Ok(of_bytes(text.encode_utf16().flat_map(u16::to_le_bytes).collect()))
        },
    ),
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
    pure(
        "float",
        &[param("value", CONVERTIBLE), param("decimals", Type::INT)],
        Type::FLOAT,
        "A float of it, with so many digits after the point: float('1') is 1.0, float(3.14159, 2) is 3.14.",
        |args| {
            let number = match &args[0] {
                Value::Bool(value) => Value::Int((*value).into()),
                Value::Text(text) => read_number("float", text)?,
                other => other.borrowed(),
            };
            let number = as_float(&number).ok_or(Trouble::OutOfRange)?;
            let Some(decimals) = args.get(1) else { return Ok(Value::Float(number)) };
            let text = decimal(number, digits("float", decimals)?);
            text.parse().ok().and_then(Value::float).ok_or(Trouble::OutOfRange)
        },
    )
    .requires(1)
    .verified(|constants| verify_digits(constants, 1)),
    pure(
        "float2str",
        &[NUMBER, param("decimals", Type::INT)],
        Type::TEXT,
        "The number with so many digits after the point, zeros at the end left out: float2str(20.2, 10) is '20.2'.",
        |args| {
            let decimals = digits("float2str", &args[1])?;
            let number = as_float(&args[0]).ok_or(Trouble::OutOfRange)?;
            Ok(Value::Text(decimal(number, decimals).into()))
        },
    )
    .verified(|constants| verify_digits(constants, 1)),
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
    pure(
        "map",
        &[param("value", Type::MAP.or(Type::TEXT))],
        Type::MAP,
        "A map, also of the JSON text of one: map('{\"a\":1}') is the map in which a is 1.",
        |args| to_map("map", take(args, 0)).map(Value::Map),
    ),
    pure(
        "bin2hexstr",
        &[DATA, param("prefix", Type::TEXT)],
        Type::TEXT,
        "The bytes as hexadecimal digits in upper case, behind a prefix: bin2hexstr('ab', '0x') is '0x6162'.",
        |args| Ok(hex(if args.len() > 1 { text(args, 1) } else { "" }, bytes(args, 0))),
    )
    .requires(1),
    pure(
        "sqlserver_bin2hexstr",
        &[DATA],
        Type::TEXT,
        "The bytes as SQL Server writes them: sqlserver_bin2hexstr('ab') is '0x6162'.",
        |args| Ok(hex("0x", bytes(args, 0))),
    ),
    pure(
        "hexstr2bin",
        &[TEXT, param("prefix", Type::TEXT)],
        BINARY,
        "The bytes that hexadecimal digits say, without the prefix that they begin with; an odd number of digits gets a 0 in front: hexstr2bin('0x6162', '0x') is 'ab'.",
        |args| {
            let whole = text(args, 0);
            let digits = if args.len() > 1 { whole.strip_prefix(text(args, 1)) } else { Some(whole) };
            digits.and_then(unhex).map(of_bytes).ok_or_else(|| conversion("hexstr2bin", &args[0]))
        },
    )
    .requires(1),
];

/// What `str` makes of a value: a list of characters by their numbers is text.
fn written<'i>(function: &'static str, value: Value<'i>) -> Result<Value<'i>, Trouble> {
    match value {
        Value::Text(text) => Ok(Value::Text(text)),
        Value::List(items) => {
            let characters: Option<String> = items.iter().map(character).collect();
            Ok(Value::Text(characters.unwrap_or_else(|| Value::List(items).to_json()).into()))
        }
        other => to_text(function, &other).map(|text| Value::Text(Cow::Owned(text.into_owned()))),
    }
}

/// The printable character of Latin-1 with this number.
fn character(value: &Value<'_>) -> Option<char> {
    let Value::Int(code) = value else { return None };
    let code = u8::try_from(*code).ok()?;
    matches!(code, 8..=13 | 27 | 32..=126 | 160..=255).then(|| char::from(code))
}

/// A value as text; null is the word `null`, bytes must be UTF-8.
pub(super) fn to_text<'v>(function: &'static str, value: &'v Value<'_>) -> Result<Cow<'v, str>, Trouble> {
    match value {
        Value::Text(text) => Ok(Cow::Borrowed(text)),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| conversion(function, value)),
        other => Ok(Cow::Owned(other.to_json())),
    }
}

/// The members of a map, or of the map that a JSON text holds.
pub(super) fn to_map<'i>(function: &'static str, value: Value<'i>) -> Result<Vec<(Cow<'i, str>, Value<'i>)>, Trouble> {
    let decoded = match &value {
        Value::Text(text) => decoded(text).ok(),
        _ => None,
    };
    match decoded.unwrap_or(value) {
        Value::Map(members) => Ok(members),
        other => Err(conversion(function, &other)),
    }
}

/// The value of a JSON text.
pub(super) fn decoded(text: &str) -> Result<Value<'static>, json::JsonError> {
    let mut places = Vec::new();
    json::Json::scan(text, &mut places).and_then(|json| json.value(&[])).map(Value::into_owned)
}

fn read_number(function: &'static str, text: &str) -> Result<Value<'static>, Trouble> {
    ops::numeric(text).map_err(|_| conversion(function, &Value::text(text)))
}

#[allow(clippy::cast_precision_loss, reason = "a float is what was asked for")]
const fn as_float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

pub(super) fn conversion(function: &'static str, value: &Value<'_>) -> Trouble {
    Trouble::Conversion { function, met: met(value) }
}

fn digits(function: &'static str, value: &Value<'_>) -> Result<usize, Trouble> {
    digits_of(value).ok_or_else(|| Trouble::Failed {
        function,
        why: format!("wants 0 to {DECIMALS_MAX} decimals, got {}", met(value)),
    })
}

fn digits_of(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::Int(digits) if (0..=DECIMALS_MAX).contains(digits) => usize::try_from(*digits).ok(),
        _ => None,
    }
}

fn verify_digits(constants: &[Option<&Value<'static>>], at: usize) -> Result<(), String> {
    match constants.get(at).copied().flatten() {
        Some(value) if digits_of(value).is_none() => {
            Err(format!("there can be 0 to {DECIMALS_MAX} decimals, not {}", met(value)))
        }
        _ => Ok(()),
    }
}

/// The number with so many digits after the point at most, zeros at the end left out but the first.
///
/// Up to 17 digits the number plus half of the last digit is cut there, as floats add and not as decimals would:
/// 20.2 with 17 digits ends in 28, though its exact value is nearer to 29.
fn decimal(number: f64, decimals: usize) -> String {
    const CUT_DIGITS_MAX: usize = 17;
    const CUT_MAX: f64 = 9_007_199_254_740_992.0;
    /// No float has more digits after the point that are not zero.
    const ALL_DIGITS: usize = 1074;
    let mut text = String::new();
    let written = if decimals <= CUT_DIGITS_MAX && number.abs() <= CUT_MAX {
        let half = 0.5 / 10_f64.powi(i32::try_from(decimals).expect("at most 17"));
        let sign = if number < 0.0 { "-" } else { "" };
        let written = write!(text, "{sign}{:.ALL_DIGITS$}", number.abs() + half);
        let point = text.find('.').unwrap_or(text.len());
        text.truncate(if decimals == 0 { point } else { point + 1 + decimals });
        written
    } else {
        write!(text, "{number:.decimals$}")
    };
    written.expect("a String takes everything");
    if let Some(point) = text.find('.') {
        let kept = text.trim_end_matches('0').len();
        text.truncate(kept.max(point + 2));
    }
    text
}

fn hex(prefix: &str, bytes: &[u8]) -> Value<'static> {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut text = String::with_capacity(prefix.len() + 2 * bytes.len());
    text.push_str(prefix);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    Value::Text(text.into())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (first, rest) = text.as_bytes().split_at(text.len() % 2);
    let mut bytes = Vec::with_capacity(text.len().div_ceil(2));
    for &lonely in first {
        bytes.push(digit(lonely)?);
    }
    for pair in rest.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}
