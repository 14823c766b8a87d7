//! Ways into values: reading what lies at the end of one, writing to it, taking a slice.

use std::borrow::Cow;

use millrace_core::value::Value;

use crate::ast::{PutStep, Step};
use crate::error::{Trouble, met};
use crate::json;

/// What a path leads to.
pub(crate) enum Found<'v, 'i, 's> {
    /// A value.
    Here(&'v Value<'i>),
    /// A text on the way, that may hold JSON, and the steps that are left.
    InText(&'v str, &'s [Step]),
    /// Nothing.
    Nothing,
}

/// The end of a path, without copying anything on the way.
pub(crate) fn find<'v, 'i, 's>(mut value: &'v Value<'i>, steps: &'s [Step]) -> Found<'v, 'i, 's> {
    for (at, step) in steps.iter().enumerate() {
        let next = match (value, step) {
            (Value::Map(_), Step::Name(name)) => value.member(name),
            (Value::List(items), Step::Index(index)) => position(*index, items.len()).map(|at| &items[at]),
            (Value::Text(text), _) => return Found::InText(text, &steps[at..]),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return Found::Nothing,
        }
    }
    Found::Here(value)
}

/// The end of a path into any value; null where it leads nowhere. A text may hold JSON.
pub(crate) fn walk<'i>(mut value: Value<'i>, steps: &[Step]) -> Value<'i> {
    for (at, step) in steps.iter().enumerate() {
        value = match (value, step) {
            (Value::Map(mut members), Step::Name(name)) => {
                match members.iter().rposition(|(known, _)| known == name.as_str()) {
                    Some(at) => members.swap_remove(at).1,
                    None => Value::Null,
                }
            }
            (Value::List(mut items), Step::Index(index)) => match position(*index, items.len()) {
                Some(at) => items.swap_remove(at),
                None => Value::Null,
            },
            (Value::Text(text), _) => return json::decode(&text, &steps[at..]),
            _ => Value::Null,
        };
    }
    value
}

/// The place, from 0, of the element at a position from 1, or from -1 backwards.
fn position(index: i64, length: usize) -> Option<usize> {
    let at = if index < 0 { i64::try_from(length).ok()?.checked_add(index) } else { index.checked_sub(1) };
    at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < length)
}

/// The elements from one position to another, both included; what lies beyond the end is not there.
pub(crate) fn slice(value: Value<'_>, first: i64, last: i64) -> Result<Value<'_>, Trouble> {
    let value = match value {
        Value::Text(text) => match json::decode(&text, &[]) {
            list @ Value::List(_) => list,
            _ => return Err(Trouble::NoList(met(&Value::Text(text)))),
        },
        other => other,
    };
    let Value::List(mut items) = value else { return Err(Trouble::NoList(met(&value))) };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let from_one = |position: i64| if position < 0 { length + 1 + position } else { position };
    let (first, last) = (from_one(first), from_one(last));
    if first < 1 {
        return Err(Trouble::BeforeTheList { length: items.len() });
    }
    let whole = |position: i64| usize::try_from(position.clamp(0, length)).unwrap_or_default();
    items.truncate(whole(last));
    items.drain(..whole(first - 1).min(items.len()));
    Ok(Value::List(items))
}

/// Writes a value to the end of a path. `names` are those of the steps, which live longer.
///
/// What is no map becomes one where a name is wanted, and what is no list becomes a list of one; a text may hold JSON.
/// An element that is not there is not written: lists do not grow but by `[0]` and `[-0]`.
pub(crate) fn put<'i>(target: &mut Value<'i>, steps: &[PutStep], names: &'i [Value<'static>], value: Value<'i>) {
    let [step, rest @ ..] = steps else {
        *target = value;
        return;
    };
    if let Value::Text(text) = target {
        let decoded = json::decode(text, &[]);
        *target = decoded;
    }
    match step {
        PutStep::Name(_) => {
            let Some(Value::Text(name)) = names.first() else { return };
            if !matches!(target, Value::Map(_)) {
                *target = Value::Map(Vec::new());
            }
            let Value::Map(members) = target else { return };
            let at = members.iter().rposition(|(known, _)| known == name.as_ref()).unwrap_or_else(|| {
                members.push((Cow::Borrowed(name.as_ref()), Value::Null));
                members.len() - 1
            });
            put(&mut members[at].1, rest, &names[1..], value);
        }
        PutStep::Index(_) | PutStep::Append => {
            let made = |base: Option<&mut Value<'i>>, value: Value<'i>| match base {
                Some(base) => {
                    put(base, rest, &names[1..], value);
                    Value::Null
                }
                None => {
                    let mut new = Value::Null;
                    put(&mut new, rest, &names[1..], value);
                    new
                }
            };
            let Value::List(items) = target else {
                *target = Value::List(vec![made(None, value)]);
                return;
            };
            match step {
                PutStep::Index(0) => items.insert(0, made(None, value)),
                PutStep::Append => items.push(made(None, value)),
                PutStep::Index(index) => {
                    if let Some(at) = position(*index, items.len()) {
                        made(Some(&mut items[at]), value);
                    }
                }
                PutStep::Name(_) => {}
            }
        }
    }
}
