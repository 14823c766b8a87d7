//! Values for people, each with its kind, and what differs between rows.

use std::fmt::Write as _;

use millrace_core::value::Value;
use millrace_rules::json::{Json, JsonError};

use super::base64;
use crate::diagnostics::printable;

/// A map whose only name is this one stands for bytes, in Base64, where a file says what a row must be.
pub const BYTES_KEY: &str = "$bytes";

/// Reads JSON as rules do.
///
/// # Errors
/// Why it is none.
pub fn from_json(text: &str) -> Result<Value<'static>, JsonError> {
    let mut places = Vec::new();
    Ok(with_bytes(Json::scan(text, &mut places)?.value(&[])?.into_owned()))
}

/// Maps that stand for bytes become bytes.
#[must_use]
pub fn with_bytes(value: Value<'static>) -> Value<'static> {
    match value {
        Value::Map(members) => match &members[..] {
            [(key, Value::Text(text))] if key == BYTES_KEY && base64::decode(text).is_some() => {
                Value::Bytes(base64::decode(text).unwrap_or_default().into())
            }
            _ => Value::Map(members.into_iter().map(|(key, value)| (key, with_bytes(value))).collect()),
        },
        Value::List(items) => Value::List(items.into_iter().map(with_bytes).collect()),
        other => other,
    }
}

/// The other way round: bytes become maps that stand for them.
#[must_use]
pub fn without_bytes(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Bytes(bytes) => Value::Map(vec![(BYTES_KEY.into(), Value::Text(base64::encode(&bytes).into()))]),
        Value::List(items) => Value::List(items.into_iter().map(without_bytes).collect()),
        Value::Map(members) => {
            Value::Map(members.into_iter().map(|(name, value)| (name, without_bytes(value))).collect())
        }
        other => other,
    }
}

/// A value on one line: `{"t": 29.5 float, "clientid": "c1" text}`.
#[must_use]
pub fn typed(value: &Value<'_>) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value<'_>) {
    // Writing to a String cannot fail.
    match value {
        Value::Null => out.push_str("null"),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(members) => {
            out.push('{');
            for (at, (key, member)) in members.iter().enumerate() {
                let _ = write!(out, "{}{}: ", if at > 0 { ", " } else { "" }, Value::text(key).to_json());
                write(out, member);
            }
            out.push('}');
        }
        Value::Bytes(bytes) => {
            out.push_str("0x");
            for byte in bytes.iter() {
                let _ = write!(out, "{byte:02x}");
            }
            out.push_str(" bytes");
        }
        plain => {
            let _ = write!(out, "{} {}", printable(&plain.to_json()), plain.kind());
        }
    }
}

/// A row, a line a column: `t  29.5 float`.
#[must_use]
pub fn lines(row: &Value<'_>) -> String {
    let Value::Map(members) = row else { return format!("{}\n", typed(row)) };
    let width = members.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    members.iter().fold(String::new(), |mut out, (name, value)| {
        let _ = writeln!(out, "{:width$}  {}", printable(name), typed(value));
        out
    })
}

/// What differs, a line each; nothing if the rows are as expected. Without `exact`, columns that are not expected do not
/// count.
#[must_use]
pub fn differences(expected: &[Value<'_>], got: &[Value<'_>], exact: bool) -> Vec<String> {
    let one = expected.len().max(got.len()) == 1;
    let mut found = Vec::new();
    for (at, (expected, got)) in expected.iter().zip(got).enumerate() {
        let path = if one { String::new() } else { format!("row {}", at + 1) };
        differ(&path, expected, got, exact, &mut found);
    }
    if expected.len() != got.len() {
        let rows = |many: usize| if many == 1 { "1 row".to_owned() } else { format!("{many} rows") };
        found.push(format!("expected {}, got {}", rows(expected.len()), rows(got.len())));
    }
    found
}

fn differ(path: &str, expected: &Value<'_>, got: &Value<'_>, exact: bool, found: &mut Vec<String>) {
    let inside = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
    match (expected, got) {
        (Value::Map(wanted), Value::Map(met)) => {
            for (name, value) in wanted {
                match got.member(name) {
                    Some(met) => differ(&inside(name), value, met, true, found),
                    None => found.push(format!("{}: expected {}, is not there", inside(name), typed(value))),
                }
            }
            for (name, value) in met.iter().filter(|(name, _)| exact && expected.member(name).is_none()) {
                found.push(format!("{}: not expected, got {}", inside(name), typed(value)));
            }
        }
        (Value::List(wanted), Value::List(met)) if wanted.len() == met.len() => {
            for (at, (wanted, met)) in wanted.iter().zip(met).enumerate() {
                differ(&format!("{path}[{}]", at + 1), wanted, met, true, found);
            }
        }
        _ if expected.same(got) => {}
        _ => found.push(format!("{path}: expected {}, got {}", typed(expected), typed(got))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value<'static> {
        from_json(json).expect("it is JSON")
    }

    #[test]
    fn each_value_shows_its_kind() {
        assert_eq!(
            typed(&value(r#"{"t":29.5,"n":1,"c":"c1","x":null,"l":[true],"b":{"$bytes":"n05Y"}}"#)),
            r#"{"t": 29.5 float, "n": 1 integer, "c": "c1" text, "x": null, "l": [true boolean], "b": 0x9f4e58 bytes}"#
        );
        assert_eq!(lines(&value(r#"{"temp":1.0,"c":"x"}"#)), "temp  1.0 float\nc     \"x\" text\n");
    }

    #[test]
    fn one_and_one_point_nought_differ() {
        let (one, float) = ([value(r#"{"a":{"b":[1]}}"#)], [value(r#"{"a":{"b":[1.0]},"c":2}"#)]);
        let all = ["a.b[1]: expected 1 integer, got 1.0 float", "c: not expected, got 2 integer"];
        assert_eq!(differences(&one, &float, true), all);
        assert_eq!(differences(&one, &float, false), all[..1]);
        assert_eq!(differences(&one, &one, true), [""; 0]);
        assert_eq!(differences(&[], &one, true), ["expected 0 rows, got 1 row"]);
    }
}
