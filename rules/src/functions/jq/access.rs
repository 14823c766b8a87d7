//! How jq programs reach into values: members, elements, slices, and updates of them.

use std::rc::Rc;

use jaq_core::box_iter::{BoxIter, box_once};
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{ValR, ValT, ValX};

use super::budget;
use super::operators::set;
use super::value::{CELL, JqError, JqValue, Members, Weighed};

impl From<bool> for JqValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<isize> for JqValue {
    fn from(value: isize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<String> for JqValue {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Range<Self>> for JqValue {
    fn from(range: Range<Self>) -> Self {
        let bounds = [("start", range.start), ("end", range.end)];
        Self::map(
            bounds.into_iter().map(|(name, bound)| (Rc::new(name.to_owned()), bound.unwrap_or_default())).collect(),
        )
    }
}

impl FromIterator<Self> for JqValue {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        let mut list = Vec::new();
        for item in items {
            budget::operation();
            if budget::stopped() {
                return Self::Null;
            }
            list.push(item);
        }
        Self::list(list)
    }
}

/// The parts of a value, one after the other.
struct Parts {
    of: JqValue,
    next: usize,
}

impl Iterator for Parts {
    type Item = (JqValue, JqValue);

    fn next(&mut self) -> Option<Self::Item> {
        let part = match &self.of {
            JqValue::List(list) => list.parts.get(self.next).map(|item| (JqValue::count(self.next), item.clone())),
            JqValue::Map(map) => {
                map.parts.get_index(self.next).map(|(name, value)| (JqValue::Text(Rc::clone(name)), value.clone()))
            }
            _ => None,
        };
        self.next += 1;
        // Without a step the parts simply end: the program ends with them.
        part.filter(|_| budget::step().is_ok())
    }
}

impl JqValue {
    fn parts(self) -> Result<Parts, JqError> {
        match self {
            Self::List(_) | Self::Map(_) => Ok(Parts { of: self, next: 0 }),
            other => Err(JqError::typ(other, "iterable (array or object)")),
        }
    }

    /// Where in so many parts a bound lies.
    fn bound(bound: Option<&Self>, length: usize, default: usize, round: fn(f64) -> f64) -> Result<usize, JqError> {
        let bound = match bound {
            None | Some(Self::Null) => return Ok(default),
            Some(Self::Int(bound)) => *bound,
            #[allow(clippy::cast_possible_truncation, reason = "far outside is outside")]
            Some(Self::Float(bound)) => round(*bound) as i64,
            Some(other) => return Err(JqError::typ(other.clone(), "number")),
        };
        let length_signed = i64::try_from(length).unwrap_or(i64::MAX);
        let from_start = if bound < 0 { bound.saturating_add(length_signed) } else { bound };
        Ok(usize::try_from(from_start.clamp(0, length_signed)).unwrap_or(length))
    }

    fn bounds(range: &Range<&Self>, length: usize) -> Result<std::ops::Range<usize>, JqError> {
        let start = Self::bound(range.start, length, 0, f64::floor)?;
        let end = Self::bound(range.end, length, length, f64::ceil)?;
        Ok(start..end.max(start))
    }

    /// The position of an element; negative ones count from the end.
    fn position(index: &Self, length: usize) -> Option<i64> {
        let index = match index {
            Self::Int(index) => *index,
            #[allow(clippy::cast_possible_truncation, reason = "far outside is outside")]
            Self::Float(index) if !index.is_nan() => index.floor() as i64,
            _ => return None,
        };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        Some(if index < 0 { index.saturating_add(length) } else { index })
    }
}

/// The bounds of a slice that is written as a map.
fn slice(index: &JqValue) -> Option<Range<&JqValue>> {
    let JqValue::Map(map) = index else { return None };
    let bound = |wanted: &str| map.parts.iter().find(|(name, _)| name.as_str() == wanted).map(|(_, bound)| bound);
    (map.parts.len() <= 2).then_some(())?;
    bound("start").or(bound("end"))?;
    Some(bound("start")..bound("end"))
}

impl ValT for JqValue {
    fn from_num(digits: &str) -> ValR<Self> {
        let number = digits.parse().map(Self::Int).or_else(|_| digits.parse().map(Self::Float));
        number.map_err(|_| JqError::typ(Self::text(digits), "number"))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(pairs: I) -> ValR<Self> {
        let mut members = Members::new();
        for (name, value) in pairs {
            match name {
                Self::Text(name) => members.insert(name, value),
                other => return Err(JqError::typ(other, "object key")),
            };
        }
        budget::check()?;
        Ok(Self::map(members))
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Self, Self), Self>> {
        match self.parts() {
            Ok(parts) => Box::new(parts.map(Ok)),
            Err(error) => box_once(Err(error)),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        match self.parts() {
            Ok(parts) => Box::new(parts.map(|(_, value)| Ok(value))),
            Err(error) => box_once(Err(error)),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        budget::operation();
        budget::check()?;
        match (&self, index) {
            (Self::Null, Self::Text(_) | Self::Int(_) | Self::Float(_) | Self::Null) => Ok(Self::Null),
            (Self::Map(map), Self::Text(name)) => Ok(map.parts.get(name).cloned().unwrap_or_default()),
            (Self::List(list), Self::Int(_) | Self::Float(_)) => {
                let position = Self::position(index, list.parts.len()).and_then(|at| usize::try_from(at).ok());
                Ok(position.and_then(|at| list.parts.get(at)).cloned().unwrap_or_default())
            }
            (Self::List(_) | Self::Text(_) | Self::Null, Self::Map(_)) if slice(index).is_some() => {
                self.range(slice(index).unwrap_or_default())
            }
            _ => Err(JqError::index(self, index.clone())),
        }
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        match &self {
            Self::Null => Ok(Self::Null),
            Self::List(list) => {
                let bounds = Self::bounds(&range, list.parts.len())?;
                budget::spend(CELL * bounds.len());
                budget::check()?;
                Ok(Self::list(list.parts[bounds].to_vec()))
            }
            Self::Text(text) => {
                budget::spend(text.len());
                budget::check()?;
                let bounds = Self::bounds(&range, text.chars().count())?;
                Ok(Self::text(text.chars().skip(bounds.start).take(bounds.len()).collect::<String>()))
            }
            _ => Err(JqError::typ(self, "array or string")),
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        let made = |value: Self| {
            budget::step()?;
            f(value).next().transpose()
        };
        match self {
            Self::List(list) => {
                let mut items = Vec::with_capacity(list.parts.len());
                for item in Rc::unwrap_or_clone(list).parts {
                    items.extend(made(item)?);
                }
                Ok(Self::list(items))
            }
            Self::Map(map) => {
                let mut members = Members::with_capacity(map.parts.len());
                for (name, value) in Rc::unwrap_or_clone(map).parts {
                    if let Some(value) = made(value)? {
                        members.insert(name, value);
                    }
                }
                Ok(Self::map(members))
            }
            other => opt.fail(other, |value| JqError::typ(value, "iterable (array or object)").into()),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        budget::step()?;
        match (self, index) {
            (Self::Null, Self::Text(_)) => Self::map(Members::new()).map_index(index, opt, f).map(null_if_empty),
            (Self::Null, Self::Int(_) | Self::Float(_)) => {
                Self::list(Vec::new()).map_index(index, opt, f).map(null_if_empty)
            }
            (Self::Map(mut map), Self::Text(name)) => {
                copies(&mut map, |map| 2 * map.len())?;
                let map_mut = Rc::make_mut(&mut map);
                let old = map_mut.parts.get_mut(name).map(std::mem::take);
                let had = old.is_some();
                let weight = old.as_ref().map_or(0, |old| old.size().1);
                match f(old.unwrap_or_default()).next().transpose()? {
                    Some(new) => {
                        map_mut.subtract(weight);
                        set(map_mut, name, |_| Ok::<_, JqError>(new))?;
                    }
                    None if had => {
                        budget::spend(map_mut.parts.len());
                        map_mut.parts.shift_remove(name);
                        map_mut.subtract(weight + name.len());
                    }
                    None => {}
                }
                Ok(Self::Map(map).checked())
            }
            (Self::List(list), Self::Int(_) | Self::Float(_)) => {
                let position = Self::position(index, list.parts.len()).and_then(|at| usize::try_from(at).ok());
                let Some(at) = position else {
                    return opt.fail(Self::List(list), |list| JqError::index(list, index.clone()).into());
                };
                with_element(list, at, f)
            }
            (list @ (Self::List(_) | Self::Null), Self::Map(_)) if slice(index).is_some() => {
                list.map_range(slice(index).unwrap_or_default(), opt, f)
            }
            (other, _) => opt.fail(other, |value| JqError::index(value, index.clone()).into()),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        budget::step()?;
        let list = match self {
            Self::Null => Vec::new(),
            Self::List(list) => {
                budget::spend(CELL * list.parts.len());
                budget::check()?;
                Rc::unwrap_or_clone(list).parts
            }
            other => return opt.fail(other, |value| JqError::typ(value, "array").into()),
        };
        let mut list = list;
        let bounds = Self::bounds(&range, list.len())?;
        let new = match f(Self::list(list[bounds.clone()].to_vec())).next().transpose()? {
            Some(Self::List(new)) => Rc::unwrap_or_clone(new).parts,
            Some(other) => return Err(JqError::typ(other, "array").into()),
            None => Vec::new(),
        };
        list.splice(bounds, new);
        Ok(Self::list(list))
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Text(_) => self,
            other => Self::text(other.to_json()),
        }
    }
}

/// Pays for the copy that a change of shared parts makes.
fn copies<T>(parts: &mut Rc<Weighed<T>>, count: impl Fn(&T) -> usize) -> Result<(), JqError> {
    if Rc::get_mut(parts).is_none() {
        budget::spend(CELL * count(&parts.parts));
    }
    budget::check()
}

/// The list with what is made of the element at a position; nulls fill up to there.
fn with_element<'a, I: Iterator<Item = ValX<'a, JqValue>>>(
    mut list: Rc<Weighed<Vec<JqValue>>>,
    at: usize,
    f: impl Fn(JqValue) -> I,
) -> ValX<'a, JqValue> {
    copies(&mut list, Vec::len)?;
    let length = list.parts.len();
    let inner = Rc::make_mut(&mut list);
    let old = inner.parts.get_mut(at).map(std::mem::take);
    let weight = old.as_ref().map_or(0, |old| old.size().1);
    match f(old.unwrap_or_default()).next().transpose()? {
        Some(new) => {
            if at >= length {
                budget::spend(CELL.saturating_mul(at - length + 1));
                budget::check()?;
                inner.parts.resize(at + 1, JqValue::Null);
                inner.add(0, CELL.saturating_mul(at - length));
            }
            let (depth, new_weight) = new.size();
            inner.subtract(weight);
            inner.add(depth, new_weight);
            inner.parts[at] = new;
        }
        None if at < length => {
            budget::spend(length - at);
            inner.parts.remove(at);
            inner.subtract(weight);
        }
        None => {}
    }
    Ok(JqValue::List(list).checked())
}

/// An update of null that set nothing leaves it null.
fn null_if_empty(value: JqValue) -> JqValue {
    match &value {
        JqValue::Map(map) if map.parts.is_empty() => JqValue::Null,
        JqValue::List(list) if list.parts.is_empty() => JqValue::Null,
        _ => value,
    }
}
