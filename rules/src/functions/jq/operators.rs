//! The operators of jq on its values.

use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::rc::Rc;

use jaq_core::ops::Math;

use super::budget::{self, Stop};
use super::value::{CELL, JqError, JqValue, Members, Weighed};

type Result = std::result::Result<JqValue, JqError>;

impl Add for JqValue {
    type Output = Result;

    fn add(self, other: Self) -> Result {
        budget::operation();
        budget::check()?;
        Ok(match (self, other) {
            (Self::Null, value) | (value, Self::Null) => value,
            (Self::Int(a), Self::Int(b)) => match a.checked_add(b) {
                Some(sum) => Self::Int(sum),
                None => Self::Float(float(a) + float(b)),
            },
            (Self::Text(mut a), Self::Text(b)) => {
                let own = if Rc::get_mut(&mut a).is_some() { 0 } else { a.len() };
                budget::spend(own + b.len());
                if b.len() > isize::MAX as usize - a.len() {
                    budget::stop(Stop::Size);
                }
                budget::check()?;
                Rc::make_mut(&mut a).push_str(&b);
                Self::Text(a).checked()
            }
            (Self::List(mut a), Self::List(b)) => {
                let own = if Rc::get_mut(&mut a).is_some() { 0 } else { a.parts.len() };
                budget::spend(CELL * (own + b.parts.len()));
                budget::check()?;
                let list = Rc::make_mut(&mut a);
                for item in &b.parts {
                    let (depth, weight) = item.size();
                    list.add(depth, weight);
                    list.parts.push(item.clone());
                }
                Self::List(a).checked()
            }
            (Self::Map(a), Self::Map(b)) => merged(a, &b, |_, new| Ok(new.clone()))?,
            (a, b) => match (a.as_float(), b.as_float()) {
                (Some(a), Some(b)) => Self::Float(a + b),
                _ => return Err(JqError::math(a, Math::Add, b)),
            },
        })
    }
}

impl Sub for JqValue {
    type Output = Result;

    fn sub(self, other: Self) -> Result {
        budget::operation();
        budget::check()?;
        match (&self, &other) {
            (Self::Int(a), Self::Int(b)) => {
                Ok(a.checked_sub(*b).map_or_else(|| Self::Float(float(*a) - float(*b)), Self::Int))
            }
            (Self::List(a), Self::List(b)) => {
                let kept = |item: &&Self| !b.parts.iter().any(|taken| budget::stopped() || taken == *item);
                Ok(Self::list(a.parts.iter().filter(kept).cloned().collect()))
            }
            _ => floats(self, Math::Sub, other, |a, b| a - b),
        }
    }
}

impl Mul for JqValue {
    type Output = Result;

    fn mul(self, other: Self) -> Result {
        budget::operation();
        budget::check()?;
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => {
                Ok(a.checked_mul(b).map_or_else(|| Self::Float(float(a) * float(b)), Self::Int))
            }
            (Self::Text(text), times @ (Self::Int(_) | Self::Float(_)))
            | (times @ (Self::Int(_) | Self::Float(_)), Self::Text(text)) => repeated(&text, &times),
            (Self::Map(a), Self::Map(b)) => deeply_merged(a, &b),
            (a, b) => floats(a, Math::Mul, b, |a, b| a * b),
        }
    }
}

impl Div for JqValue {
    type Output = Result;

    fn div(self, other: Self) -> Result {
        budget::operation();
        budget::check()?;
        match (&self, &other) {
            (_, Self::Int(0)) if self.as_float().is_some() => Err(by_zero(self, Math::Div, other)),
            (_, Self::Float(0.0)) if self.as_float().is_some() => Err(by_zero(self, Math::Div, other)),
            (Self::Int(a), Self::Int(b)) if a.checked_rem(*b) == Some(0) => Ok(Self::Int(a / b)),
            (Self::Text(text), Self::Text(separator)) => Ok(split(text, separator)),
            _ => floats(self, Math::Div, other, |a, b| a / b),
        }
    }
}

impl Rem for JqValue {
    type Output = Result;

    fn rem(self, other: Self) -> Result {
        budget::operation();
        budget::check()?;
        #[allow(clippy::cast_possible_truncation, reason = "jq cuts both to whole numbers")]
        let cut = |value: &Self| match value {
            Self::Int(value) => Some(*value),
            Self::Float(value) if !value.is_nan() => Some(*value as i64),
            _ => None,
        };
        match (cut(&self), cut(&other)) {
            (Some(_), Some(0)) => Err(by_zero(self, Math::Rem, other)),
            (Some(a), Some(b)) => Ok(Self::Int(a.wrapping_rem(b))),
            _ => floats(self, Math::Rem, other, |_, _| f64::NAN),
        }
    }
}

impl Neg for JqValue {
    type Output = Result;

    fn neg(self) -> Result {
        match self {
            Self::Int(value) => Ok(value.checked_neg().map_or_else(|| Self::Float(-float(value)), Self::Int)),
            Self::Float(value) => Ok(Self::Float(-value)),
            other => Err(JqError::typ(other, "number")),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "what leaves the range of whole numbers goes on as a float")]
const fn float(value: i64) -> f64 {
    value as f64
}

fn floats(a: JqValue, op: Math, b: JqValue, apply: impl Fn(f64, f64) -> f64) -> Result {
    match (a.as_float(), b.as_float()) {
        (Some(x), Some(y)) => Ok(JqValue::Float(apply(x, y))),
        _ => Err(JqError::math(a, op, b)),
    }
}

fn by_zero(a: JqValue, op: Math, b: JqValue) -> JqError {
    JqError::str(format_args!("{}, because the divisor is zero", JqError::math(a, op, b)))
}

fn repeated(text: &str, times: &JqValue) -> Result {
    let times = times.as_float().unwrap_or_default();
    if times.is_nan() || times <= 0.0 {
        return Ok(JqValue::Null);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; far too many is refused")]
    let times = (times as usize).max(1);
    budget::spend(text.len().saturating_mul(times));
    budget::check()?;
    Ok(JqValue::text(text.repeat(times)))
}

/// The pieces of a text between separators; its characters if the separator is empty.
pub(super) fn split(text: &str, separator: &str) -> JqValue {
    budget::spend(text.len());
    if text.is_empty() {
        return JqValue::list(Vec::new());
    }
    let mut pieces = Vec::new();
    let mut push = |piece: &str| {
        pieces.push(JqValue::text(piece));
        !budget::stopped()
    };
    if separator.is_empty() {
        text.chars().all(|character| push(character.encode_utf8(&mut [0; 4])));
    } else {
        text.split(separator).all(&mut push);
    }
    JqValue::list(pieces)
}

/// The first map with the members of the second; `join` says what becomes of a member of both.
fn merged(mut a: Rc<Weighed<Members>>, b: &Weighed<Members>, join: impl Fn(JqValue, &JqValue) -> Result) -> Result {
    let own = if Rc::get_mut(&mut a).is_some() { 0 } else { a.parts.len() };
    budget::spend(2 * CELL * (own + b.parts.len()));
    budget::check()?;
    let map = Rc::make_mut(&mut a);
    for (name, new) in &b.parts {
        set(map, name, |old| match old {
            Some(old) => join(old, new),
            None => Ok(new.clone()),
        })?;
    }
    Ok(JqValue::Map(a).checked())
}

/// Sets a member to what is made of the one that was there.
pub(super) fn set<E>(
    map: &mut Weighed<Members>,
    name: &Rc<String>,
    make: impl FnOnce(Option<JqValue>) -> std::result::Result<JqValue, E>,
) -> std::result::Result<(), E> {
    let old = map.parts.get_mut(name).map(std::mem::take);
    match &old {
        Some(old) => map.subtract(old.size().1),
        None => map.add(0, name.len()),
    }
    let new = make(old)?;
    let (depth, weight) = new.size();
    map.add(depth, weight);
    map.parts.insert(Rc::clone(name), new);
    Ok(())
}

fn deeply_merged(a: Rc<Weighed<Members>>, b: &Weighed<Members>) -> Result {
    merged(a, b, |old, new| match (old, new) {
        (JqValue::Map(old), JqValue::Map(new)) => deeply_merged(old, new),
        (_, new) => Ok(new.clone()),
    })
}
