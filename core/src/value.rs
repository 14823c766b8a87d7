//! Value and Record: what rules produce and sinks store.
//!
//! A [`Value`] borrows where it can, from a payload, a topic or a record. A [`Record`] is one finished row in one shared
//! allocation and one pointer wide: that is what goes through the rings, is counted in bytes and can be kept on disk.
//! [`Row`] is the scratch in which it is built.
//!
//! Invariants: a `Float` is finite; a record holds exactly one value a column.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use triomphe::ThinArc;

use crate::json::{self, Step};

/// Bytes that the values of one record may take.
pub const ROW_BYTES_MAX: usize = 16 << 20;
/// Lists and maps inside each other, at most.
pub const VALUE_DEPTH_MAX: usize = 160;

/// One value. There is one null: a field that is missing and JSON's `null` are the same.
#[derive(Clone, Debug, Default)]
pub enum Value<'a> {
    /// Missing, or JSON `null`.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number with a fraction, or too large for [`Value::Int`].
    Float(f64),
    /// UTF-8 text.
    Text(Cow<'a, str>),
    /// Bytes that are not UTF-8 text.
    Bytes(Cow<'a, [u8]>),
    /// Values in order.
    List(Vec<Self>),
    /// Names with values in order; where a name comes twice the later one counts.
    Map(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    /// Text that is borrowed.
    #[must_use]
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A number, unless it is infinite or not a number.
    #[must_use]
    pub fn float(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Float(value))
    }

    /// Whether it is [`Value::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What kind of value it is, in a word for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }

    /// The member of a map with this name; null if there is none or it is not a map.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else {
            return None;
        };
        members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether both are the same value of the same kind; `1` and `1.0` are not.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, a)| other.member(key).is_some_and(|b| a.same(b)))
                    && b.iter().all(|(key, _)| self.member(key).is_some())
            }
            _ => false,
        }
    }

    /// The same value without any borrow.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Map(members) => Value::Map(
                members.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect(),
            ),
        }
    }

    /// The same value, borrowed from this one; lists and maps are copied, their texts are not.
    #[must_use]
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
            Self::List(items) => Value::List(items.iter().map(Self::borrowed).collect()),
            Self::Map(members) => {
                Value::Map(members.iter().map(|(key, value)| (Cow::Borrowed(key.as_ref()), value.borrowed())).collect())
            }
        }
    }

    /// The value as JSON. Bytes become a text in which what is not UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json).expect("a String takes everything");
        json
    }

    /// Writes the value as JSON.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::Float(value) => write_float(out, *value),
            Self::Text(text) => write_json_text(out, text),
            Self::Bytes(bytes) => write_json_text(out, &String::from_utf8_lossy(bytes)),
            Self::List(items) => {
                out.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    item.write_json(out)?;
                }
                out.write_char(']')
            }
            Self::Map(members) => {
                out.write_char('{')?;
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    write_json_text(out, key)?;
                    out.write_char(':')?;
                    value.write_json(out)?;
                }
                out.write_char('}')
            }
        }
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

/// Writes a float so that it reads back as the same float and is seen to be one: `21.5`, `30.0`, `1e300`.
fn write_float(out: &mut impl fmt::Write, value: f64) -> fmt::Result {
    let size = value.abs();
    if size != 0.0 && !(1e-5..1e16).contains(&size) { write!(out, "{value:e}") } else { write!(out, "{value:?}") }
}

fn write_json_text(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.write_str(&text[plain..at])?;
        plain = at + 1;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
    }
    out.write_str(&text[plain..])?;
    out.write_char('"')
}

/// Compares a whole number with a float by their exact values; neither is rounded to the other's kind.
#[must_use]
pub fn compare_int_float(int: i64, float: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    const EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
    if int.unsigned_abs() <= EXACT {
        #[allow(clippy::cast_precision_loss, reason = "so small a number is a float exactly")]
        return (int as f64).partial_cmp(&float).unwrap_or(Ordering::Equal);
    }
    if float >= TWO_63 {
        Ordering::Less
    } else if float < -TWO_63 {
        Ordering::Greater
    } else {
        #[allow(clippy::cast_possible_truncation, reason = "within the range of i64, and cut on purpose")]
        let whole = float.trunc() as i64;
        int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
    }
}

/// The names of the columns of a rule's rows, shared by all of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Columns {
    names: Box<[Box<str>]>,
}

impl Columns {
    /// Columns of these names, in order.
    #[must_use]
    pub fn new(names: Vec<Box<str>>) -> Self {
        Self { names: names.into_boxed_slice() }
    }

    /// The names in order.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// One row of a rule: shared by all who hold it, one allocation, one pointer.
#[derive(Clone)]
pub struct Record(ThinArc<Head, u8>);

struct Head {
    columns: Arc<Columns>,
    unix_ms: u64,
    rule: u32,
}

impl Record {
    /// The columns that its values belong to.
    #[must_use]
    pub fn columns(&self) -> &Arc<Columns> {
        &self.0.header.header.columns
    }

    /// Number of the rule that made it, as the rule set counts them.
    #[must_use]
    pub fn rule(&self) -> u32 {
        self.0.header.header.rule
    }

    /// When the message was received: milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.0.header.header.unix_ms
    }

    /// Its values, one a column.
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        Values { rest: &self.0.slice }
    }

    /// The value at the end of a path into a column; null where it leads nowhere. A text on the way may hold JSON; how
    /// many bytes of such text and how many values were looked through is added to `searched`.
    #[must_use]
    pub fn at(&self, column: usize, steps: &[Step], searched: &mut usize) -> Value<'_> {
        let mut values = self.values();
        *searched += values.pass(column);
        if values.rest.is_empty() { Value::Null } else { find(values.rest, steps, searched) }
    }

    /// The bytes it keeps in memory, for queues that are bounded in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Head>() + 2 * size_of::<usize>() + self.0.slice.len()
    }

    /// The row as one map from column to value.
    #[must_use]
    pub fn to_map(&self) -> Value<'_> {
        Value::Map(self.columns().names().iter().map(|name| Cow::Borrowed(name.as_ref())).zip(self.values()).collect())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_map().to_json())
    }
}

/// The values of a [`Record`], in the order of its columns.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    rest: &'a [u8],
}

impl Values<'_> {
    fn pass(&mut self, count: usize) -> usize {
        (0..count).map(|_| if self.rest.is_empty() { 0 } else { skip(&mut self.rest) }).sum()
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        (!self.rest.is_empty()).then(|| read(&mut self.rest))
    }

    fn count(mut self) -> usize {
        let mut count = 0;
        while !self.rest.is_empty() {
            skip(&mut self.rest);
            count += 1;
        }
        count
    }
}

/// The row has more bytes than [`ROW_BYTES_MAX`], or is nested deeper than [`VALUE_DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTooLarge;

/// A row while it is built; its buffer is used again for the next one.
#[derive(Debug, Default)]
pub struct Row {
    bytes: Vec<u8>,
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;

impl Row {
    /// Begins a new row.
    pub fn clear(&mut self) {
        const KEPT: usize = 64 << 10;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }

    /// Adds the value of the next column, or of what was begun last.
    ///
    /// # Errors
    /// If the row became too large.
    #[inline]
    pub fn push(&mut self, value: &Value<'_>) -> Result<(), RowTooLarge> {
        self.push_at(value, VALUE_DEPTH_MAX)
    }

    fn push_at(&mut self, value: &Value<'_>, depth: usize) -> Result<(), RowTooLarge> {
        let deeper = || depth.checked_sub(1).ok_or(RowTooLarge);
        match value {
            Value::Null => self.bytes.push(NULL),
            Value::Bool(false) => self.bytes.push(FALSE),
            Value::Bool(true) => self.bytes.push(TRUE),
            Value::Int(value) => {
                self.bytes.push(INT);
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            Value::Float(value) => {
                self.bytes.push(FLOAT);
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            Value::Text(text) => {
                self.bytes.push(TEXT);
                return self.lengthy(text.as_bytes());
            }
            Value::Bytes(bytes) => {
                self.bytes.push(BYTES);
                return self.lengthy(bytes);
            }
            Value::List(items) => {
                let depth = deeper()?;
                self.begin_list(items.len())?;
                for item in items {
                    self.push_at(item, depth)?;
                }
            }
            Value::Map(members) => {
                let depth = deeper()?;
                self.begin_map(members.len())?;
                for (key, value) in members {
                    self.key(key)?;
                    self.push_at(value, depth)?;
                }
            }
        }
        self.check()
    }

    /// Begins a map: `members` times [`Row::key`] and one value must follow.
    ///
    /// # Errors
    /// If the row became too large.
    pub fn begin_map(&mut self, members: usize) -> Result<(), RowTooLarge> {
        self.bytes.push(MAP);
        self.count(members)
    }

    /// Begins a list: `items` values must follow.
    ///
    /// # Errors
    /// If the row became too large.
    pub fn begin_list(&mut self, items: usize) -> Result<(), RowTooLarge> {
        self.bytes.push(LIST);
        self.count(items)
    }

    /// The name of the next member of a map.
    ///
    /// # Errors
    /// If the row became too large.
    pub fn key(&mut self, key: &str) -> Result<(), RowTooLarge> {
        self.lengthy(key.as_bytes())
    }

    /// The finished row. As many values were pushed as there are columns.
    #[must_use]
    pub fn record(&self, columns: &Arc<Columns>, rule: u32, unix_ms: u64) -> Record {
        let head = Head { columns: Arc::clone(columns), unix_ms, rule };
        let record = Record(ThinArc::from_header_and_slice(head, &self.bytes));
        debug_assert_eq!(record.values().count(), columns.len(), "one value for each column");
        record
    }

    fn count(&mut self, count: usize) -> Result<(), RowTooLarge> {
        let count = u32::try_from(count).map_err(|_| RowTooLarge)?;
        self.bytes.extend_from_slice(&count.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn lengthy(&mut self, bytes: &[u8]) -> Result<(), RowTooLarge> {
        if bytes.len() > ROW_BYTES_MAX {
            return Err(RowTooLarge);
        }
        self.count(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        self.check()
    }

    #[inline]
    const fn check(&self) -> Result<(), RowTooLarge> {
        if self.bytes.len() > ROW_BYTES_MAX {
            return Err(RowTooLarge);
        }
        Ok(())
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    take(rest, N).try_into().expect("as many bytes were taken")
}

fn take_lengthy<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let count = take_count(rest);
    take(rest, count)
}

fn take_count(rest: &mut &[u8]) -> usize {
    u32::from_le_bytes(take_array(rest)) as usize
}

fn take_text<'a>(rest: &mut &'a [u8]) -> &'a str {
    std::str::from_utf8(take_lengthy(rest)).expect("only text was written as text")
}

/// Reads what [`Row::push`] wrote; the bytes never leave the process in between.
fn read<'a>(rest: &mut &'a [u8]) -> Value<'a> {
    let [tag] = take_array(rest);
    match tag {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(i64::from_le_bytes(take_array(rest))),
        FLOAT => Value::Float(f64::from_le_bytes(take_array(rest))),
        TEXT => Value::text(take_text(rest)),
        BYTES => Value::Bytes(Cow::Borrowed(take_lengthy(rest))),
        LIST => {
            let count = take_count(rest);
            Value::List((0..count).map(|_| read(rest)).collect())
        }
        MAP => {
            let count = take_count(rest);
            Value::Map((0..count).map(|_| (Cow::Borrowed(take_text(rest)), read(rest))).collect())
        }
        _ => unreachable!("a row holds only the tags above"),
    }
}

/// Goes past one value; says of how many it is made.
fn skip(rest: &mut &[u8]) -> usize {
    let [tag] = take_array(rest);
    match tag {
        INT | FLOAT => {
            take(rest, 8);
            1
        }
        TEXT | BYTES => {
            take_lengthy(rest);
            1
        }
        LIST => (0..take_count(rest)).fold(1, |values, _| values + skip(rest)),
        MAP => (0..take_count(rest)).fold(1, |values, _| {
            take_lengthy(rest);
            values + skip(rest)
        }),
        _ => 1,
    }
}

/// The value at the end of a path into the value that comes next, without making what lies beside the path.
fn find<'a>(mut rest: &'a [u8], steps: &[Step], searched: &mut usize) -> Value<'a> {
    for (taken, step) in steps.iter().enumerate() {
        let [tag] = take_array(&mut rest);
        let found = match (tag, step) {
            (MAP, step) => {
                let number;
                let wanted = match step {
                    Step::Name(name) => name,
                    Step::Index(index) => {
                        number = index.to_string();
                        &number
                    }
                };
                let mut found = None;
                for _ in 0..take_count(&mut rest) {
                    if take_lengthy(&mut rest) == wanted.as_bytes() {
                        found = Some(rest);
                    }
                    *searched += skip(&mut rest);
                }
                found
            }
            (LIST, Step::Index(index)) => {
                let count = take_count(&mut rest) as u64;
                let nth = match index {
                    1.. => index.unsigned_abs(),
                    // One that lies before the first becomes one behind the last.
                    _ => count.wrapping_sub(index.unsigned_abs()).wrapping_add(1),
                };
                (1..=count).contains(&nth).then(|| {
                    *searched += (1..nth).map(|_| skip(&mut rest)).sum::<usize>();
                    rest
                })
            }
            (TEXT, _) => {
                let text = take_text(&mut rest);
                *searched += text.len();
                return json::decode(text, &steps[taken..]);
            }
            _ => None,
        };
        match found {
            Some(found) => rest = found,
            None => return Value::Null,
        }
    }
    read(&mut rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_kind() -> Vec<Value<'static>> {
        vec![
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(-0.5),
            Value::text("grün"),
            Value::Bytes(Cow::Borrowed(&[0xff, 0])),
            Value::List(vec![Value::Int(1), Value::List(vec![])]),
            Value::Map(vec![("a".into(), Value::Map(vec![])), ("b".into(), Value::Null)]),
        ]
    }

    fn record(values: &[Value<'_>]) -> Record {
        let columns = Columns::new((0..values.len()).map(|i| format!("c{i}").into()).collect());
        let mut row = Row::default();
        for value in values {
            row.push(value).expect("small");
        }
        row.record(&Arc::new(columns), 7, 1_000)
    }

    #[test]
    fn a_record_gives_back_every_kind_of_value() {
        let values = every_kind();
        let record = record(&values);
        assert_eq!(record.values().collect::<Vec<_>>(), values);
        assert_eq!((record.rule(), record.unix_ms()), (7, 1_000));
        assert_eq!(size_of::<Record>(), size_of::<usize>());
    }

    #[test]
    fn a_row_over_its_limit_is_refused() {
        let mut row = Row::default();
        let big = "x".repeat(ROW_BYTES_MAX);
        assert_eq!(row.push(&Value::text(&big)), Err(RowTooLarge));
        row.clear();
        let mut deep = Value::Null;
        for _ in 0..=VALUE_DEPTH_MAX {
            deep = Value::List(vec![deep]);
        }
        assert_eq!(row.push(&deep), Err(RowTooLarge));
        row.clear();
        assert_eq!(row.push(&Value::Null), Ok(()));
    }

    #[test]
    fn json_keeps_kinds_apart_and_escapes_controls() {
        let json = |value: Value<'_>| value.to_json();
        assert_eq!(json(Value::Float(30.0)), "30.0");
        assert_eq!(json(Value::Float(1e300)), "1e300");
        assert_eq!(json(Value::Float(0.0)), "0.0");
        assert_eq!(json(Value::text("a\"\\\n\u{1}é")), "\"a\\\"\\\\\\n\\u0001é\"");
        assert_eq!(
            record(&every_kind()[6..]).to_map().to_json(),
            "{\"c0\":\"\u{fffd}\\u0000\",\"c1\":[1,[]],\"c2\":{\"a\":{},\"b\":null}}"
        );
    }

    #[test]
    fn whole_numbers_and_floats_compare_exactly() {
        let big = (1_i64 << 53) + 1;
        assert_eq!(compare_int_float(big, (1_i64 << 53) as f64), Ordering::Greater);
        assert_eq!(compare_int_float(i64::MAX, 9.3e18), Ordering::Less);
        assert_eq!(compare_int_float(i64::MAX, 9_223_372_036_854_775_808.0), Ordering::Less);
        assert_eq!(compare_int_float(i64::MIN, -9_223_372_036_854_775_808.0), Ordering::Equal);
        assert_eq!(compare_int_float(1, 1.5), Ordering::Less);
        assert_eq!(compare_int_float(-1, -1.5), Ordering::Greater);
        assert_eq!(compare_int_float(0, -0.0), Ordering::Equal);
    }

    #[test]
    fn a_path_into_a_record_ends_where_it_leads() {
        let map = Value::Map(vec![("l".into(), Value::List((1..=3).map(Value::Int).collect()))]);
        let record = record(&[map, Value::text("{\"a\":[5]}")]);
        let at = |column, steps: &[Step]| record.at(column, steps, &mut 0);
        let name = |name: &str| Step::Name(name.to_owned());
        assert_eq!(at(1, &[name("a"), Step::Index(-1)]), Value::Int(5));
        for (index, found) in
            [(1, Some(1)), (3, Some(3)), (4, None), (-1, Some(3)), (-3, Some(1)), (-4, None), (0, None)]
        {
            assert_eq!(at(0, &[name("l"), Step::Index(index)]), found.map_or(Value::Null, Value::Int), "{index}");
        }
        assert_eq!(at(0, &[Step::Index(i64::MIN)]), Value::Null);
        assert_eq!(at(7, &[]), Value::Null);
    }

    #[test]
    fn the_later_of_two_members_with_one_name_counts() {
        let map = Value::Map(vec![("a".into(), Value::Int(1)), ("a".into(), Value::Int(2))]);
        assert_eq!(map.member("a"), Some(&Value::Int(2)));
    }
}
