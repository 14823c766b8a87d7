//! Values as Erlang writes terms: what `sprintf` prints for ~p and ~w.

use std::fmt::Write as _;

use millrace_core::value::{ROW_BYTES_MAX, Value};

use crate::error::Trouble;

/// How texts and lists of characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Readable ones as text, ~p.
    Pretty,
    /// As ~p, and text beyond ASCII says that it is UTF-8, ~tp.
    PrettyUnicode,
    /// As numbers, ~w.
    Plain,
}

/// Writes a value as a term, on one line.
///
/// # Errors
/// If it gets longer than a row can be.
pub(super) fn write(value: &Value<'_>, style: Style, out: &mut String) -> Result<(), Trouble> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) => out.push_str(&value.to_json()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Text(text) => write_binary(text.as_bytes(), Some(text), style, out),
        Value::Bytes(bytes) => write_binary(bytes, None, style, out),
        Value::List(items) => match characters(items).filter(|_| style != Style::Plain) {
            Some(text) => write_quoted(&text, out),
            None => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write(item, style, out)?;
                }
                out.push(']');
            }
        },
        Value::Map(members) => {
            out.push_str("#{");
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_binary(name.as_bytes(), Some(name), style, out);
                out.push_str(" => ");
                write(member, style, out)?;
            }
            out.push('}');
        }
    }
    super::within(out.len())
}

/// The text that a list of readable characters spells.
fn characters(items: &[Value<'_>]) -> Option<String> {
    let character = |item: &Value<'_>| match item {
        Value::Int(code) => u8::try_from(*code).ok().map(char::from).filter(|c| is_readable(*c)),
        _ => None,
    };
    items.iter().map(character).collect::<Option<String>>().filter(|text| !text.is_empty())
}

fn is_readable(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{8}' | '\u{c}' | '\u{1b}')
}

fn write_binary(bytes: &[u8], text: Option<&str>, style: Style, out: &mut String) {
    out.push_str("<<");
    match text.filter(|text| style != Style::Plain && !text.is_empty() && text.chars().all(is_readable)) {
        Some(text) => {
            write_quoted(text, out);
            if style == Style::PrettyUnicode && !text.is_ascii() {
                out.push_str("/utf8");
            }
        }
        None => {
            for (index, byte) in bytes.iter().enumerate().take(ROW_BYTES_MAX) {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(out, "{comma}{byte}");
            }
        }
    }
    out.push_str(">>");
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest form that reads back as the same float, with an exponent where that is shorter: `100.0`, `1.0e3`.
fn float(value: f64) -> String {
    /// From here on not every whole number is a float.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let scientific = format!("{:e}", value.abs());
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value == 0.0 {
        return format!("{sign}0.0");
    }
    let places: i32 = exponent.parse().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    // What an exponent costs in characters, against the zeros that it saves.
    let cost = i32::try_from(exponent.len()).unwrap_or(i32::MAX).saturating_add(2);
    let zeros = places + 1 - i32::try_from(digits).unwrap_or(0);
    let is_short = if zeros < 0 {
        places >= 0 || 1 - places <= cost
    } else {
        zeros + 2 <= cost + i32::from(digits == 1) && value.abs() < WHOLE_MAX
    };
    if is_short {
        return format!("{value:?}");
    }
    let point = if digits == 1 { ".0" } else { "" };
    format!("{sign}{mantissa}{point}e{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_take_the_shorter_form() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1000.0, "1.0e3"),
            (12345.0, "12345.0"),
            (1230.0, "1230.0"),
            (123_000.0, "1.23e5"),
            (9_007_199_254_740_993.0, "9.007199254740992e15"),
            (0.1, "0.1"),
            (0.01, "0.01"),
            (0.001, "0.001"),
            (0.0001, "1.0e-4"),
            (0.00123, "0.00123"),
            (0.000_123, "1.23e-4"),
            (-2.5, "-2.5"),
            (20.2, "20.2"),
            (1e300, "1.0e300"),
            (1.5e-7, "1.5e-7"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
