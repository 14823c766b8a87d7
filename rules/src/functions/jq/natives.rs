//! The functions of jq that are not made of others. Each pays for what it looks through and makes.
//!
//! Not here: what reads files, other messages, the environment, the clock or the process; regular expressions; dates.

use std::cmp::Ordering;
use std::rc::Rc;

use jaq_core::box_iter::box_once;
use jaq_core::data::JustLut;
use jaq_core::native::{Fun, bome, run, unary, v};
use jaq_core::{Exn, Native, RunPtr, ValR};

use super::budget::{self, Stop};
use super::operators::split;
use super::program::STEP_NAME;
use super::texts;
use super::value::{CELL, JqError, JqValue};
use crate::functions::conversion::decoded;

/// Levels of a path that a program makes.
const PATH_MAX: usize = 300;

type Data = JustLut<JqValue>;
type Row = (&'static str, usize, RunPtr<Data>);

/// All natives, those of the crate first.
pub(super) fn all() -> impl Iterator<Item = Fun<Data>> {
    let ours = ROWS.iter().chain(texts::ROWS).map(|(name, args, body)| run::<Data>((*name, v(*args), *body)));
    jaq_core::funs().chain(ours).chain([(STEP_NAME, v(0), step())])
}

/// One step of the budget: gives what it gets.
fn step() -> Native<Data> {
    Native::new(|cv| bome(budget::step().map(|()| cv.1)))
        .with_paths(|cv| {
            budget::spend(CELL);
            if cv.1.1.iter().nth(PATH_MAX).is_some() {
                budget::stop(Stop::Depth);
            }
            box_once(budget::step().map(|()| cv.1).map_err(Exn::from))
        })
        .with_update(|cv, update| match budget::step_of_update() {
            Ok(()) => update(cv.1),
            Err(error) => box_once(Err(error.into())),
        })
}

const ROWS: &[Row] = &[
    ("length", 0, |cv| bome(length(cv.1))),
    ("type", 0, |cv| bome(Ok(JqValue::text(cv.1.kind())))),
    ("has", 1, |cv| unary(cv, |value, key| has(&value, &key))),
    ("contains", 1, |cv| unary(cv, |whole, part| contains(&whole, &part).map(JqValue::Bool))),
    ("sort", 0, |cv| bome(elements(cv.1).map(|items| JqValue::list(sorted(items))))),
    ("_sorted", 0, |cv| bome(elements(cv.1).map(|pairs| JqValue::list(by_first(pairs).map(second).collect())))),
    ("_grouped", 0, |cv| bome(elements(cv.1).map(grouped))),
    ("reverse", 0, |cv| bome(reversed(cv.1))),
    ("flatten", 0, |cv| bome(flattened(cv.1, &JqValue::Int(i64::MAX)))),
    ("flatten", 1, |cv| unary(cv, |value, depth| flattened(value, &depth))),
    ("indices", 1, |cv| unary(cv, |whole, part| indices(&whole, &part))),
    ("tojson", 0, |cv| bome(Ok(JqValue::text(cv.1.to_json())))),
    ("fromjson", 0, |cv| bome(from_json(cv.1))),
    ("tonumber", 0, |cv| bome(to_number(cv.1))),
    ("infinite", 0, |_| bome(Ok(JqValue::Float(f64::INFINITY)))),
    ("nan", 0, |_| bome(Ok(JqValue::Float(f64::NAN)))),
    ("isinfinite", 0, |cv| bome(float(cv.1).map(|value| JqValue::Bool(value.is_infinite())))),
    ("isnan", 0, |cv| bome(float(cv.1).map(|value| JqValue::Bool(value.is_nan())))),
    ("floor", 0, |cv| bome(rounded(cv.1, f64::floor))),
    ("ceil", 0, |cv| bome(rounded(cv.1, f64::ceil))),
    ("round", 0, |cv| bome(rounded(cv.1, f64::round))),
    ("trunc", 0, |cv| bome(rounded(cv.1, f64::trunc))),
    ("sqrt", 0, |cv| bome(of_float(cv.1, f64::sqrt))),
    ("cbrt", 0, |cv| bome(of_float(cv.1, f64::cbrt))),
    ("exp", 0, |cv| bome(of_float(cv.1, f64::exp))),
    ("exp2", 0, |cv| bome(of_float(cv.1, f64::exp2))),
    ("exp10", 0, |cv| bome(of_float(cv.1, |value| 10_f64.powf(value)))),
    ("log", 0, |cv| bome(of_float(cv.1, f64::ln))),
    ("log2", 0, |cv| bome(of_float(cv.1, f64::log2))),
    ("log10", 0, |cv| bome(of_float(cv.1, f64::log10))),
    ("sin", 0, |cv| bome(of_float(cv.1, f64::sin))),
    ("cos", 0, |cv| bome(of_float(cv.1, f64::cos))),
    ("tan", 0, |cv| bome(of_float(cv.1, f64::tan))),
    ("asin", 0, |cv| bome(of_float(cv.1, f64::asin))),
    ("acos", 0, |cv| bome(of_float(cv.1, f64::acos))),
    ("atan", 0, |cv| bome(of_float(cv.1, f64::atan))),
    ("pow", 2, |mut cv| {
        let (exponent, base) = (cv.0.pop_var(), cv.0.pop_var());
        bome(float(base).and_then(|base| Ok(JqValue::whole(base.powf(float(exponent)?)))))
    }),
    ("atan2", 2, |mut cv| {
        let (x, y) = (cv.0.pop_var(), cv.0.pop_var());
        bome(float(y).and_then(|y| Ok(JqValue::Float(y.atan2(float(x)?)))))
    }),
];

fn length(value: JqValue) -> ValR<JqValue> {
    Ok(match value {
        JqValue::Null => JqValue::Int(0),
        JqValue::Bool(_) => return Err(JqError::typ(value, "something with a length")),
        JqValue::Int(number) => number.checked_abs().map_or(JqValue::Float(-(i64::MIN as f64)), JqValue::Int),
        JqValue::Float(number) => JqValue::Float(number.abs()),
        JqValue::Text(text) => {
            budget::spend(text.len() / 8);
            JqValue::count(text.chars().count())
        }
        JqValue::List(list) => JqValue::count(list.parts.len()),
        JqValue::Map(map) => JqValue::count(map.parts.len()),
    })
}

fn has(value: &JqValue, key: &JqValue) -> ValR<JqValue> {
    match (value, key) {
        (JqValue::Map(map), JqValue::Text(name)) => Ok(JqValue::Bool(map.parts.contains_key(name))),
        (JqValue::List(list), JqValue::Int(at)) => {
            Ok(JqValue::Bool(usize::try_from(*at).is_ok_and(|at| at < list.parts.len())))
        }
        _ => Err(JqError::index(value.clone(), key.clone())),
    }
}

/// Whether the one has all of the other, as jq says: texts as parts of texts, members and elements in any order.
fn contains(whole: &JqValue, part: &JqValue) -> Result<bool, JqError> {
    budget::operation();
    budget::check()?;
    Ok(match (whole, part) {
        (JqValue::Text(whole), JqValue::Text(part)) => {
            budget::spend(whole.len() + part.len());
            whole.contains(part.as_str())
        }
        (JqValue::List(whole), JqValue::List(part)) => {
            for part in &part.parts {
                let mut found = false;
                for whole in &whole.parts {
                    found = found || whole.kind() == part.kind() && contains(whole, part)?;
                }
                if !found {
                    return Ok(false);
                }
            }
            true
        }
        (JqValue::Map(whole), JqValue::Map(part)) => {
            for (name, part) in &part.parts {
                match whole.parts.get(name) {
                    Some(whole) if whole.kind() == part.kind() && contains(whole, part)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ if whole.kind() == part.kind() => whole == part,
        _ => return Err(JqError::typ(part.clone(), whole.kind())),
    })
}

fn elements(value: JqValue) -> Result<Vec<JqValue>, JqError> {
    match value {
        JqValue::List(list) => {
            budget::spend(CELL * list.parts.len());
            budget::check()?;
            Ok(Rc::unwrap_or_clone(list).parts)
        }
        other => Err(JqError::typ(other, "array")),
    }
}

/// Sorts, equal values in their order. A comparison that a stopped program makes may be wrong, and does no harm.
fn sorted(items: Vec<JqValue>) -> Vec<JqValue> {
    sorted_by(items, JqValue::compare)
}

/// Sorts pairs by their first parts alone.
fn by_first(pairs: Vec<JqValue>) -> impl Iterator<Item = JqValue> {
    sorted_by(pairs, |a, b| first(a).compare(first(b))).into_iter()
}

fn sorted_by(items: Vec<JqValue>, order: impl Fn(&JqValue, &JqValue) -> Ordering) -> Vec<JqValue> {
    let mut runs: Vec<Vec<JqValue>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut rest = runs.into_iter();
        while let Some(first) = rest.next() {
            merged.push(match rest.next() {
                Some(second) => merge(first, second, &order),
                None => first,
            });
        }
        runs = merged;
    }
    runs.pop().unwrap_or_default()
}

fn merge(first: Vec<JqValue>, second: Vec<JqValue>, order: &impl Fn(&JqValue, &JqValue) -> Ordering) -> Vec<JqValue> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        let before = budget::stopped() || order(a, b) != Ordering::Greater;
        merged.extend(if before { first.next() } else { second.next() });
    }
    merged.extend(first);
    merged.extend(second);
    merged
}

fn first(pair: &JqValue) -> &JqValue {
    match pair {
        JqValue::List(list) => list.parts.first().unwrap_or(pair),
        other => other,
    }
}

fn second(pair: JqValue) -> JqValue {
    match pair {
        JqValue::List(pair) => pair.parts.get(1).cloned().unwrap_or_default(),
        other => other,
    }
}

fn grouped(pairs: Vec<JqValue>) -> JqValue {
    let mut groups: Vec<Vec<JqValue>> = Vec::new();
    let mut last: Option<JqValue> = None;
    for pair in by_first(pairs) {
        let key = first(&pair).clone();
        if last.as_ref() != Some(&key) {
            groups.push(Vec::new());
        }
        last = Some(key);
        if let Some(group) = groups.last_mut() {
            group.push(second(pair));
        }
    }
    JqValue::list(groups.into_iter().map(JqValue::list).collect())
}

fn reversed(value: JqValue) -> ValR<JqValue> {
    match value {
        JqValue::Null => Ok(JqValue::list(Vec::new())),
        JqValue::Text(text) => Ok(JqValue::text(text.chars().rev().collect::<String>())),
        other => elements(other).map(|items| JqValue::list(items.into_iter().rev().collect())),
    }
}

fn flattened(value: JqValue, depth: &JqValue) -> ValR<JqValue> {
    fn add(items: &[JqValue], depth: i64, out: &mut Vec<JqValue>) {
        for item in items {
            budget::spend(CELL);
            match item {
                _ if budget::stopped() => return,
                JqValue::List(inner) if depth > 0 => add(&inner.parts, depth - 1, out),
                other => out.push(other.clone()),
            }
        }
    }
    match (value, depth) {
        (JqValue::List(list), JqValue::Int(depth @ 0..)) => {
            let mut out = Vec::new();
            add(&list.parts, *depth, &mut out);
            Ok(JqValue::list(out))
        }
        (JqValue::List(_), depth) => Err(JqError::typ(depth.clone(), "depth")),
        (other, _) => Err(JqError::typ(other, "array")),
    }
}

fn indices(whole: &JqValue, part: &JqValue) -> ValR<JqValue> {
    let found = match (whole, part) {
        (JqValue::Null, _) => return Ok(JqValue::Null),
        (JqValue::Text(whole), JqValue::Text(part)) => {
            if part.is_empty() {
                return Ok(JqValue::Null);
            }
            budget::spend(whole.len().saturating_mul(2));
            let mut found = Vec::new();
            let (mut seen, mut at) = (0, 0);
            while let Some(next) = whole[seen..].find(part.as_str()) {
                budget::spend(CELL + part.len());
                if budget::stopped() {
                    break;
                }
                at += whole[seen..seen + next].chars().count();
                found.push(JqValue::count(at));
                let first = whole[seen + next..].chars().next().map_or(1, char::len_utf8);
                seen += next + first;
                at += 1;
            }
            found
        }
        (JqValue::List(whole), JqValue::List(part)) => {
            if part.parts.is_empty() {
                return Ok(JqValue::Null);
            }
            let windows = whole.parts.windows(part.parts.len()).enumerate();
            windows.filter(|(_, window)| !budget::stopped() && *window == part.parts.as_slice()).map(position).collect()
        }
        (JqValue::List(whole), part) => {
            let items = whole.parts.iter().enumerate();
            items.filter(|(_, item)| !budget::stopped() && *item == part).map(position).collect()
        }
        _ => return Err(JqError::index(whole.clone(), part.clone())),
    };
    Ok(JqValue::list(found))
}

fn position<T>((at, _): (usize, T)) -> JqValue {
    JqValue::count(at)
}

fn from_json(value: JqValue) -> ValR<JqValue> {
    let JqValue::Text(text) = &value else { return Err(JqError::typ(value, "string")) };
    budget::spend(text.len().saturating_mul(4));
    budget::check()?;
    match decoded(text) {
        Ok(decoded) => Ok(JqValue::of(decoded)),
        Err(_) => Err(JqError::typ(value, "JSON")),
    }
}

fn to_number(value: JqValue) -> ValR<JqValue> {
    match &value {
        JqValue::Int(_) | JqValue::Float(_) => Ok(value),
        JqValue::Text(text) => match crate::ops::numeric(text) {
            Ok(number) => Ok(JqValue::of(number)),
            Err(_) => Err(JqError::typ(value, "number")),
        },
        _ => Err(JqError::typ(value, "number")),
    }
}

fn float(value: JqValue) -> Result<f64, JqError> {
    value.as_float().ok_or_else(|| JqError::typ(value, "number"))
}

fn rounded(value: JqValue, round: fn(f64) -> f64) -> ValR<JqValue> {
    match value {
        JqValue::Int(_) => Ok(value),
        other => float(other).map(|value| JqValue::whole(round(value))),
    }
}

fn of_float(value: JqValue, apply: fn(f64) -> f64) -> ValR<JqValue> {
    float(value).map(|value| JqValue::whole(apply(value)))
}

/// The words of a text between separators, as `split` gives them.
pub(super) fn split_by(value: &JqValue, separator: &JqValue) -> ValR<JqValue> {
    match (value, separator) {
        (JqValue::Text(text), JqValue::Text(separator)) => Ok(split(text, separator)),
        (JqValue::Text(_), other) | (other, _) => Err(JqError::typ(other.clone(), "string")),
    }
}
