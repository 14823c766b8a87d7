//! JSON payloads: scanned once into a flat list of places, values made only of what is asked for.
//!
//! The scanner (`marks`, `scan`) finds the tokens of 64 bytes at a time and then walks from token to token; a text that
//! it refuses is walked again byte by byte to say where (`refusal`).
//!
//! What a hostile payload meets:
//! - not UTF-8, or not exactly one JSON text: an error with the byte where it stopped, whichever member was asked for,
//!   so that the outcome never hangs on the order of members;
//! - deeper than [`DEPTH_MAX`] or more than [`PLACES_MAX`] values: an error; the scanner does not recurse;
//! - a member twice: the later one counts;
//! - a whole number beyond 64 bits with sign: the nearest float; a number beyond a float: an error when it is asked for;
//! - half a surrogate pair in `\u` escapes: U+FFFD.

use std::borrow::Cow;
use std::collections::HashMap;

use millrace_core::value::Value;

use crate::ast::Step;

mod marks;
mod number;
mod place;
mod refusal;
mod scan;
mod text;

pub use number::number;
pub use place::Place;

use place::Kind;
use refusal::refusal;
use text::Unescaped;

/// Lists and maps inside each other.
pub const DEPTH_MAX: usize = 128;
/// Values and member names in one text.
pub const PLACES_MAX: usize = 1 << 20;

/// Why a text gives no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not UTF-8.
    #[error("not UTF-8 at byte {0}")]
    NotText(usize),
    /// It is not JSON.
    #[error("not JSON at byte {0}")]
    NotJson(usize),
    /// Lists and maps lie too deep inside each other.
    #[error("nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// It has too many values.
    #[error("more than {PLACES_MAX} values")]
    TooMany,
    /// A number that no float holds.
    #[error("a number out of range at byte {0}")]
    OutOfRange(usize),
}

/// A scanned text.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a> {
    text: &'a str,
    places: &'a [Place],
}

impl<'a> Json<'a> {
    /// Scans the text. `places` is only a buffer to use again.
    ///
    /// # Errors
    /// If it is not JSON, or over a limit.
    pub fn scan(text: &'a str, places: &'a mut Vec<Place>) -> Result<Self, JsonError> {
        if text.len() > Place::END_MAX {
            return Err(JsonError::TooMany);
        }
        match scan::scan(text.as_bytes(), places) {
            Some(count) => Ok(Self { text, places: &places[..count] }),
            None => Err(refusal(text.as_bytes())),
        }
    }

    /// The value at the end of a path; null where the path leads nowhere.
    ///
    /// # Errors
    /// A number out of range.
    pub fn value(&self, steps: &[Step]) -> Result<Value<'a>, JsonError> {
        self.value_counted(steps, &mut 0)
    }

    /// The same; adds to `visited` how many places were looked at on the way, and how many the value is made of.
    pub(crate) fn value_counted(&self, steps: &[Step], visited: &mut usize) -> Result<Value<'a>, JsonError> {
        let mut at = 0;
        for (index, step) in steps.iter().enumerate() {
            let place = self.places[at];
            let found = match (place.kind(), step) {
                (Kind::Map, Step::Name(name)) => self.member(at, name, visited),
                (Kind::Map, Step::Index(index)) => self.member(at, &index.to_string(), visited),
                (Kind::List, Step::Index(index)) => self.element(at, *index, visited),
                // A text may hold JSON itself; if it does not, the path leads nowhere.
                (Kind::Plain | Kind::Escaped, _) => {
                    *visited += place.end() - place.start();
                    return Ok(decode(&self.string(place), &steps[index..]));
                }
                _ => None,
            };
            let Some(found) = found else {
                return Ok(Value::Null);
            };
            at = found;
        }
        *visited += self.after(at) - at;
        let place = self.places[at];
        if place.holds_others() { self.make(at).map(|(value, _)| value) } else { self.scalar(place) }
    }

    /// The place after this one and everything inside it.
    #[inline]
    fn after(&self, at: usize) -> usize {
        let place = self.places[at];
        if place.holds_others() { place.end() } else { at + 1 }
    }

    /// The place of a member's value: of the last one, if there are several.
    fn member(&self, map: usize, name: &str, visited: &mut usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let inside = &self.places[..self.after(map)];
        // Most names differ in their first byte or in their length: those are not compared further.
        let first = name.bytes().next().unwrap_or(b'"');
        let mut at = map + 1;
        let mut found = None;
        while at + 1 < inside.len() {
            let (key, value) = (inside[at], inside[at + 1]);
            let named = if key.kind() == Kind::Escaped {
                Unescaped(self.raw(key).chars()).eq(name.chars())
            } else {
                bytes.get(key.start()) == Some(&first)
                    && bytes.get(key.start()..key.end()).is_some_and(|raw| raw == name.as_bytes())
            };
            if named {
                found = Some(at + 1);
            }
            *visited += 1;
            at = if value.holds_others() { value.end() } else { at + 2 };
        }
        found
    }

    fn element(&self, list: usize, index: i64, visited: &mut usize) -> Option<usize> {
        let end = self.after(list);
        let mut from_list = |mut nth: u64| {
            let mut at = list + 1;
            while at < end {
                *visited += 1;
                nth -= 1;
                if nth == 0 {
                    return Some(at);
                }
                at = self.after(at);
            }
            None
        };
        match index {
            0 => None,
            1.. => from_list(index.unsigned_abs()),
            _ => {
                let mut length = 0;
                let mut at = list + 1;
                while at < end {
                    length += 1;
                    at = self.after(at);
                }
                let back = index.unsigned_abs();
                (back <= length).then(|| from_list(length - back + 1)).flatten()
            }
        }
    }

    fn raw(&self, place: Place) -> &'a str {
        &self.text[place.start()..place.end()]
    }

    fn string(&self, place: Place) -> Cow<'a, str> {
        let raw = self.raw(place);
        match place.kind() {
            Kind::Escaped => Cow::Owned(Unescaped(raw.chars()).collect()),
            _ => Cow::Borrowed(raw),
        }
    }

    #[inline]
    fn scalar(&self, place: Place) -> Result<Value<'a>, JsonError> {
        Ok(match place.kind() {
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => number(self.raw(place)).ok_or(JsonError::OutOfRange(place.start()))?,
            Kind::Plain | Kind::Escaped => Value::Text(self.string(place)),
            _ => Value::Null,
        })
    }

    /// The value at a place, and the place after it. It recurses as deep as the text, which has its limit.
    fn make(&self, at: usize) -> Result<(Value<'a>, usize), JsonError> {
        let place = self.places[at];
        let end = self.after(at);
        let value = match place.kind() {
            Kind::List => {
                let mut items = Vec::new();
                let mut at = at + 1;
                while at < end {
                    let (item, next) = self.make(at)?;
                    items.push(item);
                    at = next;
                }
                Value::List(items)
            }
            Kind::Map => {
                let mut members = Members::default();
                let mut at = at + 1;
                while at < end {
                    let name = self.string(self.places[at]);
                    let (value, next) = self.make(at + 1)?;
                    members.set(name, value);
                    at = next;
                }
                Value::Map(members.list)
            }
            _ => self.scalar(place)?,
        };
        Ok((value, end))
    }
}

/// The value at the end of a path into a text of its own; null if it is not JSON or the path leads nowhere.
#[must_use]
pub fn decode(text: &str, steps: &[Step]) -> Value<'static> {
    let mut places = Vec::new();
    Json::scan(text, &mut places).and_then(|json| json.value(steps)).map_or(Value::Null, Value::into_owned)
}

/// Collects members; one that comes again replaces the first. Small maps are searched, large ones hashed.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub(crate) list: Vec<(Cow<'a, str>, Value<'a>)>,
    index: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Members<'a> {
    pub(crate) fn set(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        const SEARCHED: usize = 8;
        let known = if self.list.len() <= SEARCHED {
            self.list.iter().position(|(known, _)| *known == name)
        } else {
            if self.index.is_empty() {
                self.index = self.list.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            }
            self.index.get(&name).copied()
        };
        if let Some(at) = known {
            self.list[at].1 = value;
            return;
        }
        if !self.index.is_empty() {
            self.index.insert(name.clone(), self.list.len());
        }
        self.list.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, steps: &[Step]) -> Result<String, JsonError> {
        let mut places = Vec::new();
        let json = Json::scan(text, &mut places)?;
        json.value(steps).map(|value| value.to_json())
    }

    fn name(name: &str) -> Step {
        Step::Name(name.into())
    }

    #[test]
    fn paths_lead_to_values_or_to_null() {
        let text = r#" {"a":{"b":[10, 2.50, {"c":"x\ny"}]},"n":null, "1":"one","":true} "#;
        let at = |steps: &[Step]| get(text, steps).expect("JSON");
        assert_eq!(at(&[name("a"), name("b"), Step::Index(1)]), "10");
        assert_eq!(at(&[name("a"), name("b"), Step::Index(2)]), "2.5");
        assert_eq!(at(&[name("a"), name("b"), Step::Index(-1), name("c")]), r#""x\ny""#);
        assert_eq!(at(&[name("a"), name("b"), Step::Index(-3)]), "10");
        for nowhere in [0, 4, -4, i64::MAX, i64::MIN] {
            assert_eq!(at(&[name("a"), name("b"), Step::Index(nowhere)]), "null");
        }
        assert_eq!(at(&[name("n"), name("x")]), "null");
        assert_eq!(at(&[name("a"), name("x"), name("y")]), "null");
        assert_eq!(at(&[Step::Index(1)]), r#""one""#);
        assert_eq!(at(&[name("")]), "true");
        assert_eq!(at(&[]), r#"{"a":{"b":[10,2.5,{"c":"x\ny"}]},"n":null,"1":"one","":true}"#);
    }

    #[test]
    fn the_later_of_two_members_counts() {
        assert_eq!(get(r#"{"a":1,"\u0061":2}"#, &[name("a")]), Ok("2".into()));
        assert_eq!(get(r#"{"a":1,"b":0,"a":2}"#, &[]), Ok(r#"{"a":2,"b":0}"#.into()));
        let many: String = (0..100).map(|i| format!("\"k{}\":{i},", i % 50)).collect();
        let made = get(&format!("{{{many}\"z\":0}}"), &[]).expect("JSON");
        assert!(made.starts_with(r#"{"k0":50,"k1":51,"#), "{made}");
    }

    #[test]
    fn numbers_keep_their_kind_and_huge_ones_are_named() {
        for (text, json) in [
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9.223372036854775808e18"),
            ("-0", "0"),
            ("1.0", "1.0"),
            ("1e2", "100.0"),
        ] {
            let value = get(text, &[]).expect(text);
            let same: f64 = value.parse().expect("a number");
            assert_eq!(same, json.parse::<f64>().expect("a number"), "{text}");
            assert_eq!(value.contains(['.', 'e']), json.contains('.'), "{text} {value}");
        }
        assert_eq!(get(r#"{"a":1e999,"b":1}"#, &[name("b")]), Ok("1".into()));
        assert_eq!(get(r#"{"a":1e999,"b":1}"#, &[name("a")]), Err(JsonError::OutOfRange(5)));
    }

    #[test]
    fn surrogates_are_joined_or_replaced() {
        assert_eq!(get(r#""\ud83d\ude00""#, &[]), Ok("\"😀\"".into()));
        assert_eq!(get(r#""\ud83dx""#, &[]), Ok("\"\u{fffd}x\"".into()));
        assert_eq!(get(r#""\ude00\u0041""#, &[]), Ok("\"\u{fffd}A\"".into()));
        assert_eq!(get(r#""\ud83d\u0041""#, &[]), Ok("\"\u{fffd}A\"".into()));
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_stops() {
        for (text, at) in [
            ("", 0),
            ("21 5", 3),
            ("{\"a\":1", 6),
            ("{\"a\":1,}", 7),
            ("[1,]", 3),
            ("{a:1}", 1),
            ("01", 1),
            ("1.", 2),
            ("+1", 0),
            ("nul", 0),
            ("\"a\nb\"", 2),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 5),
            ("[1}", 2),
            ("\u{feff}1", 0),
            ("NaN", 0),
        ] {
            assert_eq!(get(text, &[]), Err(JsonError::NotJson(at)), "{text:?}");
        }
    }

    #[test]
    fn depth_and_count_have_limits() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(get(&nested(DEPTH_MAX), &[]).is_ok());
        assert_eq!(get(&nested(DEPTH_MAX + 1), &[]), Err(JsonError::TooDeep));
        assert_eq!(get(&"[".repeat(100_000), &[]), Err(JsonError::TooDeep));
        let many = format!("[{}1]", "1,".repeat(PLACES_MAX));
        assert_eq!(get(&many, &[]), Err(JsonError::TooMany));
    }

    #[test]
    fn a_path_goes_on_into_a_text_that_holds_json() {
        let text = r#"{"a":"{\"b\":[1,2]}","c":"no json"}"#;
        assert_eq!(get(text, &[name("a"), name("b"), Step::Index(2)]), Ok("2".into()));
        assert_eq!(get(text, &[name("c"), name("b")]), Ok("null".into()));
    }
}
