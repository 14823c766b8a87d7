//! A scenario file as keys and values with their places: one table, and one for each stream of a mix.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;

/// The array of tables in which the streams of a mix stand.
pub(crate) const STREAM: &str = "stream";

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Words apart by `-`, as options are.
    pub(crate) name: String,
    pub(crate) key: Range<usize>,
    pub(crate) place: Range<usize>,
    pub(crate) value: Value,
}

/// A value as text, which its option will read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    One(String),
    Flag(bool),
    Many(Vec<String>),
    /// Names with a text each.
    Named(Vec<(String, String)>),
    /// What no option takes, in words.
    Unfit(&'static str),
}

/// A table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    pub(crate) entries: Vec<Entry>,
    /// Where it begins.
    pub(crate) place: Range<usize>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) top: Section,
    pub(crate) streams: Vec<Section>,
}

impl Document {
    /// Reads as much as is TOML; the rest is in the diagnostics.
    pub(crate) fn parse(text: &str, found: &mut Vec<Diagnostic>) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            found.push(Diagnostic::new(format!("this is not TOML: {message}"), error.span(), ""));
        }
        let mut document = Self::default();
        for (key, value) in table.get_ref() {
            if key.get_ref() == STREAM {
                document.streams = streams(key, value, found);
            } else {
                document.top.entries.push(entry(key, value));
            }
        }
        document
    }
}

fn streams(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Section> {
    let mut wrong = || {
        found.push(Diagnostic::new("`stream` is a list of tables", Some(key.span()), "write [[stream]] above each"));
        Vec::new()
    };
    let DeValue::Array(items) = value.get_ref() else { return wrong() };
    let mut streams = Vec::new();
    for item in items {
        let DeValue::Table(table) = item.get_ref() else { return wrong() };
        let entries = table.iter().map(|(key, value)| entry(key, value)).collect();
        streams.push(Section { entries, place: item.span() });
    }
    streams
}

fn entry(key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> Entry {
    let name = key.get_ref().replace('_', "-");
    Entry { name, key: key.span(), place: value.span(), value: read(value.get_ref()) }
}

fn read(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Boolean(value) => Value::Flag(*value),
        DeValue::Array(items) => match items.iter().map(|item| plain(item.get_ref())).collect() {
            Some(texts) => Value::Many(texts),
            None => Value::Unfit("a list of lists or tables"),
        },
        DeValue::Table(table) => {
            let named = table.iter().map(|(key, value)| Some((key.get_ref().to_string(), plain(value.get_ref())?)));
            named.collect::<Option<_>>().map_or(Value::Unfit("a table of lists or tables"), Value::Named)
        }
        DeValue::Datetime(_) => Value::Unfit("a date"),
        other => plain(other).map_or(Value::Unfit("this"), Value::One),
    }
}

/// A value that is neither list nor table, as it could be typed.
fn plain(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or(digits, |number| number.to_string())
        }
        DeValue::Float(number) => number.as_str().replace('_', ""),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}
