//! The values of jq programs: shared, counted in bytes and levels as they are made, so that none grows past its bound.
//!
//! Invariants: no value is nested deeper than [`DEPTH_MAX`] or would have more than [`WEIGHT_MAX`] written out, however
//! often its parts are shared; what would be more stops the program and is null.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use indexmap::IndexMap;
use millrace_core::value::{ROW_BYTES_MAX, Value, compare_int_float};

use super::budget::{self, Stop};

/// An error of a jq program.
pub(super) type JqError = jaq_core::Error<JqValue>;

/// Lists and maps inside each other.
const DEPTH_MAX: usize = 128;
/// Bytes of a value written out.
const WEIGHT_MAX: usize = ROW_BYTES_MAX;
/// Bytes of a value that has no parts, or of what holds them together.
pub(super) const CELL: usize = 32;

pub(super) type Members = IndexMap<Rc<String>, JqValue>;

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub(super) enum JqValue {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<String>),
    List(Rc<Weighed<Vec<Self>>>),
    Map(Rc<Weighed<Members>>),
}

/// Parts with their levels and bytes, at least.
#[derive(Clone, Debug, Default)]
pub(super) struct Weighed<T> {
    pub(super) parts: T,
    depth: usize,
    weight: usize,
}

impl JqValue {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        budget::operation();
        budget::spend(text.len());
        if text.len() > WEIGHT_MAX {
            budget::stop(Stop::Size);
            return Self::Null;
        }
        Self::Text(Rc::new(text))
    }

    /// A list of these values.
    pub(super) fn list(parts: Vec<Self>) -> Self {
        budget::operation();
        budget::spend(CELL * parts.len());
        let mut list = Weighed { parts, depth: 1, weight: CELL };
        for at in 0..list.parts.len() {
            let (depth, weight) = list.parts[at].size();
            list.add(depth, weight);
        }
        Self::List(Rc::new(list)).checked()
    }

    /// A map of these members.
    pub(super) fn map(parts: Members) -> Self {
        budget::operation();
        budget::spend(2 * CELL * parts.len());
        let mut map = Weighed { parts, depth: 1, weight: CELL };
        for at in 0..map.parts.len() {
            let (name, value) = map.parts.get_index(at).expect("within the length");
            let (depth, weight) = value.size();
            let named = name.len();
            map.add(depth, weight + named);
        }
        Self::Map(Rc::new(map)).checked()
    }

    /// The value, unless it is too large.
    pub(super) fn checked(self) -> Self {
        let (depth, weight) = self.size();
        if depth > DEPTH_MAX {
            budget::stop(Stop::Depth);
        } else if weight > WEIGHT_MAX {
            budget::stop(Stop::Size);
        } else {
            return self;
        }
        Self::Null
    }

    /// Its levels and its bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Text(text) => (0, CELL + text.len()),
            Self::List(list) => (list.depth, list.weight),
            Self::Map(map) => (map.depth, map.weight),
            _ => (0, CELL),
        }
    }

    /// The name that jq has for its kind.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }

    /// A number as a float.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub(super) const fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A float that is whole as a whole number.
    pub(super) fn whole(value: f64) -> Self {
        const TWO_63: f64 = 9_223_372_036_854_775_808.0;
        #[allow(clippy::cast_possible_truncation, reason = "whole, and within the range of i64")]
        if value.fract() == 0.0 && (-TWO_63..TWO_63).contains(&value) {
            Self::Int(value as i64)
        } else {
            Self::Float(value)
        }
    }

    /// A number of parts.
    pub(super) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The order of jq: null, false, true, numbers, texts, lists, maps.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        budget::operation();
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(a), Self::Float(b)) if !b.is_nan() => compare_int_float(*a, *b),
            (Self::Float(a), Self::Int(b)) if !a.is_nan() => compare_int_float(*b, *a).reverse(),
            (Self::Float(a), Self::Float(b)) if !a.is_nan() && !b.is_nan() => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal)
            }
            // What is not a number comes before all numbers, and before itself: it equals nothing.
            (Self::Float(a), Self::Int(_) | Self::Float(_)) if a.is_nan() => Ordering::Less,
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => Ordering::Greater,
            (Self::Text(a), Self::Text(b)) => {
                if Rc::ptr_eq(a, b) {
                    return Ordering::Equal;
                }
                budget::spend(a.len().min(b.len()) / 8);
                a.cmp(b)
            }
            (Self::List(a), Self::List(b)) => {
                if Rc::ptr_eq(a, b) {
                    return Ordering::Equal;
                }
                for (a, b) in a.parts.iter().zip(&b.parts) {
                    let order = a.compare(b);
                    if order.is_ne() || budget::stopped() {
                        return order;
                    }
                }
                a.parts.len().cmp(&b.parts.len())
            }
            (Self::Map(a), Self::Map(b)) => {
                if Rc::ptr_eq(a, b) {
                    return Ordering::Equal;
                }
                compare_maps(&a.parts, &b.parts)
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Int(_) | Self::Float(_) => 3,
            Self::Text(_) => 4,
            Self::List(_) => 5,
            Self::Map(_) => 6,
        }
    }

    /// The value of a rule as one of jq.
    pub(super) fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Float(value) => Self::Float(value),
            Value::Text(text) => Self::text(text),
            Value::Bytes(bytes) => Self::text(String::from_utf8_lossy(&bytes)),
            Value::List(items) => Self::list(items.into_iter().map(Self::of).collect()),
            Value::Map(members) => Self::map(
                members.into_iter().map(|(name, value)| (Rc::new(name.into_owned()), Self::of(value))).collect(),
            ),
        }
    }

    /// The value of jq as one of rules: what is not a number becomes null, what is infinite the largest float.
    pub(super) fn to_value(&self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) if value.is_nan() => Value::Null,
            Self::Float(value) => Value::Float(value.clamp(f64::MIN, f64::MAX)),
            Self::Text(text) => Value::Text(text.as_str().to_owned().into()),
            Self::List(list) => Value::List(list.parts.iter().map(Self::to_value).collect()),
            Self::Map(map) => Value::Map(
                map.parts.iter().map(|(name, value)| (name.as_str().to_owned().into(), value.to_value())).collect(),
            ),
        }
    }

    /// Its JSON text.
    pub(super) fn to_json(&self) -> String {
        budget::spend(2 * self.size().1);
        if budget::stopped() {
            return String::new();
        }
        self.to_value().to_json()
    }
}

impl<T> Weighed<T> {
    /// Counts a part.
    pub(super) fn add(&mut self, depth: usize, weight: usize) {
        self.depth = self.depth.max(1 + depth);
        self.weight = self.weight.saturating_add(weight);
    }

    /// Counts a part no longer.
    pub(super) fn subtract(&mut self, weight: usize) {
        self.weight = self.weight.saturating_sub(weight).max(CELL);
    }
}

fn compare_maps(a: &Members, b: &Members) -> Ordering {
    budget::spend(4 * CELL * (a.len() + b.len()));
    let sorted = |map: &Members| {
        let mut names: Vec<_> = map.keys().cloned().collect();
        names.sort_unstable();
        names
    };
    let (names, others) = (sorted(a), sorted(b));
    names.cmp(&others).then_with(|| {
        let mut orders = names.iter().map(|name| a[name].compare(&b[name]));
        orders.find(|order| order.is_ne() || budget::stopped()).unwrap_or(Ordering::Equal)
    })
}

impl PartialEq for JqValue {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl PartialOrd for JqValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.compare(other))
    }
}

/// For messages: its JSON, and only the beginning of it.
impl fmt::Display for JqValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 60;
        match self {
            Self::Text(text) if text.len() > SHOWN => {
                let cut = &text[..text.floor_char_boundary(SHOWN)];
                write!(f, "{}…", Value::text(cut).to_json())
            }
            Self::List(list) if self.size().1 > 4 * SHOWN => write!(f, "an array of {}", list.parts.len()),
            Self::Map(map) if self.size().1 > 4 * SHOWN => write!(f, "an object of {}", map.parts.len()),
            _ => f.write_str(&self.to_value().to_json()),
        }
    }
}
