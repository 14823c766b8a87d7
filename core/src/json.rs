//! JSON payloads: scanned once into a flat list of places, values made only of what is asked for.
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

use crate::value::Value;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member by name.
    Name(String),
    /// An element: from 1, or from -1 backwards.
    Index(i64),
}

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

/// Where one value or member name lies in the text.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    kind: Kind,
    /// First byte: of a text behind its quote.
    start: u32,
    /// The byte after the last; of a text that of its closing quote.
    end: u32,
    /// The place after everything inside this one.
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    True,
    False,
    Number,
    /// A text without escapes.
    Plain,
    /// A text with escapes.
    Escaped,
    List,
    /// Names and values in turn.
    Map,
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
        Scanner { bytes: text.as_bytes(), at: 0, places }.scan()?;
        Ok(Self { text, places })
    }

    /// The value at the end of a path; null where the path leads nowhere.
    ///
    /// # Errors
    /// A number out of range.
    pub fn value(&self, steps: &[Step]) -> Result<Value<'a>, JsonError> {
        self.value_counted(steps, &mut 0)
    }

    /// The same; adds to `visited` how many places were looked at on the way, and how many the value is made of.
    pub fn value_counted(&self, steps: &[Step], visited: &mut usize) -> Result<Value<'a>, JsonError> {
        let mut at = 0;
        for (index, step) in steps.iter().enumerate() {
            let place = &self.places[at];
            let found = match (place.kind, step) {
                (Kind::Map, Step::Name(name)) => self.member(at, name, visited),
                (Kind::Map, Step::Index(index)) => self.member(at, &index.to_string(), visited),
                (Kind::List, Step::Index(index)) => self.element(at, *index, visited),
                // A text may hold JSON itself; if it does not, the path leads nowhere.
                (Kind::Plain | Kind::Escaped, _) => {
                    *visited += (place.end - place.start) as usize;
                    return Ok(decode(&self.string(place), &steps[index..]));
                }
                _ => None,
            };
            let Some(found) = found else {
                return Ok(Value::Null);
            };
            at = found;
        }
        *visited += self.places[at].next as usize - at;
        self.make(at).map(|(value, _)| value)
    }

    /// The place of a member's value: of the last one, if there are several.
    fn member(&self, map: usize, name: &str, visited: &mut usize) -> Option<usize> {
        let end = self.places[map].next as usize;
        let mut at = map + 1;
        let mut found = None;
        while at < end {
            *visited += 1;
            if self.is_named(&self.places[at], name) {
                found = Some(at + 1);
            }
            at = self.places[at + 1].next as usize;
        }
        found
    }

    fn element(&self, list: usize, index: i64, visited: &mut usize) -> Option<usize> {
        let end = self.places[list].next as usize;
        let mut from_list = |mut nth: u64| {
            let mut at = list + 1;
            while at < end {
                *visited += 1;
                nth -= 1;
                if nth == 0 {
                    return Some(at);
                }
                at = self.places[at].next as usize;
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
                    at = self.places[at].next as usize;
                }
                let back = index.unsigned_abs();
                (back <= length).then(|| from_list(length - back + 1)).flatten()
            }
        }
    }

    fn raw(&self, place: &Place) -> &'a str {
        &self.text[place.start as usize..place.end as usize]
    }

    fn is_named(&self, place: &Place, name: &str) -> bool {
        let raw = self.raw(place);
        match place.kind {
            Kind::Escaped => Unescaped(raw.chars()).eq(name.chars()),
            _ => raw == name,
        }
    }

    fn string(&self, place: &Place) -> Cow<'a, str> {
        let raw = self.raw(place);
        match place.kind {
            Kind::Escaped => Cow::Owned(Unescaped(raw.chars()).collect()),
            _ => Cow::Borrowed(raw),
        }
    }

    /// The value at a place, and the place after it. It recurses as deep as the text, which has its limit.
    fn make(&self, at: usize) -> Result<(Value<'a>, usize), JsonError> {
        let place = &self.places[at];
        let end = place.next as usize;
        let value = match place.kind {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => number(self.raw(place)).ok_or(JsonError::OutOfRange(place.start as usize))?,
            Kind::Plain | Kind::Escaped => Value::Text(self.string(place)),
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
                    let name = self.string(&self.places[at]);
                    let (value, next) = self.make(at + 1)?;
                    members.set(name, value);
                    at = next;
                }
                Value::Map(members.list)
            }
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

/// Reads a number as JSON writes it.
#[must_use]
pub fn number(text: &str) -> Option<Value<'static>> {
    if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        && let Ok(whole) = text.parse()
    {
        return Some(Value::Int(whole));
    }
    text.parse().ok().and_then(Value::float)
}

/// Collects members; one that comes again replaces the first. Small maps are searched, large ones hashed.
#[derive(Default)]
struct Members<'a> {
    list: Vec<(Cow<'a, str>, Value<'a>)>,
    index: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Members<'a> {
    fn set(&mut self, name: Cow<'a, str>, value: Value<'a>) {
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

/// The characters of a text with escapes; the scanner has checked them.
struct Unescaped<'a>(std::str::Chars<'a>);

impl Unescaped<'_> {
    fn code(&mut self) -> u32 {
        self.0.by_ref().take(4).fold(0, |code, digit| code * 16 + digit.to_digit(16).unwrap_or(0))
    }
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let first = self.0.next()?;
        if first != '\\' {
            return Some(first);
        }
        Some(match self.0.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let code = self.code();
                if (0xd800..0xdc00).contains(&code) && self.0.as_str().starts_with("\\u") {
                    let mut ahead = Self(self.0.clone());
                    ahead.0.nth(1);
                    let low = ahead.code();
                    if (0xdc00..0xe000).contains(&low) {
                        self.0 = ahead.0;
                        return char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
                    }
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        })
    }
}

struct Scanner<'t, 'p> {
    bytes: &'t [u8],
    at: usize,
    places: &'p mut Vec<Place>,
}

impl Scanner<'_, '_> {
    fn scan(mut self) -> Result<(), JsonError> {
        self.places.clear();
        if u32::try_from(self.bytes.len()).is_err() {
            return Err(JsonError::TooMany);
        }
        // The open lists and maps: where each begins among the places.
        let mut open = [0_u32; DEPTH_MAX];
        let mut depth = 0;
        loop {
            // Here a value begins.
            self.skip_blanks();
            let place = self.places.len();
            let opened = match self.peek() {
                Some(b'{') => Some(Kind::Map),
                Some(b'[') => Some(Kind::List),
                _ => None,
            };
            let mut closed = true;
            if let Some(kind) = opened {
                self.push(kind, self.at, self.at)?;
                self.at += 1;
                if depth == DEPTH_MAX {
                    return Err(JsonError::TooDeep);
                }
                open[depth] = narrow(place);
                depth += 1;
                self.skip_blanks();
                let end = if kind == Kind::Map { b'}' } else { b']' };
                if self.peek() == Some(end) {
                    self.at += 1;
                    depth -= 1;
                    self.close(place);
                } else {
                    closed = false;
                    if kind == Kind::Map {
                        self.name()?;
                    }
                }
            } else {
                self.scalar()?;
            }
            // Here a value has ended, unless a list or map has just been opened.
            while closed {
                if depth == 0 {
                    self.skip_blanks();
                    return if self.at == self.bytes.len() { Ok(()) } else { self.fail() };
                }
                let outer = open[depth - 1] as usize;
                let map = self.places[outer].kind == Kind::Map;
                self.skip_blanks();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if map {
                            self.skip_blanks();
                            self.name()?;
                        }
                        closed = false;
                    }
                    Some(b'}') if map => {
                        self.at += 1;
                        depth -= 1;
                        self.close(outer);
                    }
                    Some(b']') if !map => {
                        self.at += 1;
                        depth -= 1;
                        self.close(outer);
                    }
                    _ => return self.fail(),
                }
            }
        }
    }

    fn fail<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::NotJson(self.at))
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    fn push(&mut self, kind: Kind, start: usize, end: usize) -> Result<(), JsonError> {
        if self.places.len() == PLACES_MAX {
            return Err(JsonError::TooMany);
        }
        let next = narrow(self.places.len() + 1);
        self.places.push(Place { kind, start: narrow(start), end: narrow(end), next });
        Ok(())
    }

    fn close(&mut self, place: usize) {
        let next = narrow(self.places.len());
        let place = &mut self.places[place];
        place.end = narrow(self.at);
        place.next = next;
    }

    fn name(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail();
        }
        self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return self.fail();
        }
        self.at += 1;
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => {
                self.digits()?;
                self.push(Kind::Number, start, self.at)
            }
            Some(b't') => self.word(b"true", Kind::True),
            Some(b'f') => self.word(b"false", Kind::False),
            Some(b'n') => self.word(b"null", Kind::Null),
            _ => self.fail(),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return self.fail();
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, self.at)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.some_digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.fail() } else { Ok(()) }
    }

    /// Skips characters of a text that mean only themselves, eight bytes at a time while there are as many.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some(eight) = self.bytes.get(self.at..self.at + 8) {
            let eight = u64::from_le_bytes(eight.try_into().expect("eight bytes were taken"));
            let special = special_bytes(eight);
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::Plain;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => {
                    self.push(kind, start, self.at)?;
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return self.fail();
                                }
                                self.at += 1;
                            }
                        }
                        _ => return self.fail(),
                    }
                }
                Some(0..=0x1f) | None => return self.fail(),
                Some(_) => self.at += 1,
            }
        }
    }
}

/// The high bit of each byte that is a quote, a backslash or a control character. Bytes above the lowest such one may be
/// marked wrongly, as a borrow passes through them; the lowest never is.
#[inline]
const fn special_bytes(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = eight ^ (ONES * b'"' as u64);
    let backslash = eight ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (is_quote | is_backslash | is_control) & HIGH
}

fn narrow(at: usize) -> u32 {
    u32::try_from(at).expect("the text was found to have under 4 GiB")
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
    fn special_bytes_are_found_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                for around in [b'a', 0x7f, 0x80, 0xff, b' ', b'!', b'#', b'[', b']'] {
                    let mut eight = [around; 8];
                    eight[at] = byte;
                    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
                    let expected = eight.iter().position(special);
                    let marked = special_bytes(u64::from_le_bytes(eight));
                    let found = (marked != 0).then(|| marked.trailing_zeros() as usize / 8);
                    assert_eq!(found, expected, "{eight:?}");
                }
            }
        }
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
