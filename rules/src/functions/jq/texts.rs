//! The functions of jq for texts and formats.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jaq_core::ValR;
use jaq_core::data::JustLut;
use jaq_core::native::{bome, unary};

use super::budget;
use super::natives::split_by;
use super::value::{CELL, JqError, JqValue};

type Row = (&'static str, usize, jaq_core::RunPtr<JustLut<JqValue>>);

pub(super) const ROWS: &[Row] = &[
    ("utf8bytelength", 0, |cv| bome(text(&cv.1).map(|text| JqValue::count(text.len())))),
    ("ascii_downcase", 0, |cv| bome(text(&cv.1).map(|text| JqValue::text(text.to_ascii_lowercase())))),
    ("ascii_upcase", 0, |cv| bome(text(&cv.1).map(|text| JqValue::text(text.to_ascii_uppercase())))),
    ("trim", 0, |cv| bome(text(&cv.1).map(|text| JqValue::text(text.trim())))),
    ("ltrim", 0, |cv| bome(text(&cv.1).map(|text| JqValue::text(text.trim_start())))),
    ("rtrim", 0, |cv| bome(text(&cv.1).map(|text| JqValue::text(text.trim_end())))),
    ("startswith", 1, |cv| unary(cv, |whole, part| Ok(JqValue::Bool(text(&whole)?.starts_with(text(&part)?))))),
    ("endswith", 1, |cv| unary(cv, |whole, part| Ok(JqValue::Bool(text(&whole)?.ends_with(text(&part)?))))),
    ("ltrimstr", 1, |cv| unary(cv, |whole, part| Ok(without(whole, &part, |whole, part| whole.strip_prefix(part))))),
    ("rtrimstr", 1, |cv| unary(cv, |whole, part| Ok(without(whole, &part, |whole, part| whole.strip_suffix(part))))),
    ("split", 1, |cv| unary(cv, |whole, separator| split_by(&whole, &separator))),
    ("explode", 0, |cv| bome(explode(&cv.1))),
    ("implode", 0, |cv| bome(implode(&cv.1))),
    ("@base64", 0, |cv| bome(Ok(JqValue::text(STANDARD.encode(shown(&cv.1)))))),
    ("@base64d", 0, |cv| bome(base64_decoded(&cv.1))),
    ("@uri", 0, |cv| bome(Ok(escaped(&cv.1, uri)))),
    ("@html", 0, |cv| bome(Ok(escaped(&cv.1, html)))),
    ("@csv", 0, |cv| bome(row(&cv.1, ",", |text| format!("\"{}\"", text.replace('"', "\"\""))))),
    ("@tsv", 0, |cv| {
        let escape =
            |text: &str| text.replace('\\', "\\\\").replace('\t', "\\t").replace('\r', "\\r").replace('\n', "\\n");
        bome(row(&cv.1, "\t", escape))
    }),
    ("@sh", 0, |cv| {
        let one = matches!(cv.1, JqValue::List(_));
        let value = if one { cv.1 } else { JqValue::list(vec![cv.1]) };
        bome(row(&value, " ", |text| format!("'{}'", text.replace('\'', "'\\''"))))
    }),
];

fn text(value: &JqValue) -> Result<&str, JqError> {
    match value {
        JqValue::Text(text) => {
            budget::spend(text.len());
            budget::check()?;
            Ok(text)
        }
        other => Err(JqError::typ(other.clone(), "string")),
    }
}

/// A text as it is, anything else as JSON.
fn shown(value: &JqValue) -> String {
    match value {
        JqValue::Text(text) => {
            budget::spend(2 * text.len());
            text.as_str().to_owned()
        }
        other => other.to_json(),
    }
}

/// The text without a part; anything else as it is.
fn without(whole: JqValue, part: &JqValue, strip: for<'t> fn(&'t str, &str) -> Option<&'t str>) -> JqValue {
    match (&whole, part) {
        (JqValue::Text(text), JqValue::Text(part)) => match strip(text, part) {
            Some(rest) => JqValue::text(rest),
            None => whole,
        },
        _ => whole,
    }
}

fn explode(value: &JqValue) -> ValR<JqValue> {
    let text = text(value)?;
    budget::spend(CELL * text.len());
    budget::check()?;
    Ok(JqValue::list(text.chars().map(|character| JqValue::Int(u32::from(character).into())).collect()))
}

fn implode(value: &JqValue) -> ValR<JqValue> {
    let JqValue::List(list) = value else { return Err(JqError::typ(value.clone(), "array")) };
    let character = |code: &JqValue| match code {
        JqValue::Int(code) => u32::try_from(*code).ok().and_then(char::from_u32),
        _ => None,
    };
    let text: Option<String> = list.parts.iter().map(character).collect();
    budget::spend(CELL * list.parts.len());
    text.map(JqValue::text).ok_or_else(|| JqError::typ(value.clone(), "array of code points"))
}

fn base64_decoded(value: &JqValue) -> ValR<JqValue> {
    match STANDARD.decode(shown(value)) {
        Ok(bytes) => Ok(JqValue::text(String::from_utf8_lossy(&bytes))),
        Err(_) => Err(JqError::typ(value.clone(), "Base64")),
    }
}

fn escaped(value: &JqValue, escape: fn(char, &mut String)) -> JqValue {
    let mut out = String::new();
    for character in shown(value).chars() {
        escape(character, &mut out);
    }
    JqValue::text(out)
}

fn uri(character: char, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '~') {
        out.push(character);
        return;
    }
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        out.push('%');
        out.push(DIGITS[usize::from(byte >> 4)].into());
        out.push(DIGITS[usize::from(byte & 15)].into());
    }
}

fn html(character: char, out: &mut String) {
    match character {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        '\'' => out.push_str("&#39;"),
        '"' => out.push_str("&quot;"),
        other => out.push(other),
    }
}

/// The elements of a list, none of them with parts, in one text.
fn row(value: &JqValue, between: &str, quote: fn(&str) -> String) -> ValR<JqValue> {
    let JqValue::List(list) = value else { return Err(JqError::typ(value.clone(), "array")) };
    let mut out = String::new();
    for (at, item) in list.parts.iter().enumerate() {
        budget::spend(CELL);
        if at > 0 {
            out.push_str(between);
        }
        match item {
            JqValue::Null => {}
            JqValue::Text(_) => out.push_str(&quote(text(item)?)),
            JqValue::List(_) | JqValue::Map(_) => return Err(JqError::typ(item.clone(), "cell of a row")),
            other => out.push_str(&other.to_json()),
        }
    }
    Ok(JqValue::text(out))
}
