//! The table of functions: name, parameters, result, what it does. A new one is one row and its tests.

mod array;
mod bits;
mod calendar;
mod characters;
mod compare;
mod compress;
mod context;
mod conversion;
mod dialect;
mod encode;
mod env;
mod format;
mod hash;
mod join;
mod jq;
mod kind;
mod map;
mod math;
mod number;
mod pattern;
mod random;
mod regex;
mod search;
mod state;
mod term;
mod time;
mod topic;
mod uuid;
mod zone;

use std::borrow::Cow;
use std::ops::Range;

use millrace_core::value::{ROW_BYTES_MAX, Value};

use crate::error::{Trouble, met};
use crate::input::Input;
use crate::value_type::Type;

/// A function that rules can call.
#[derive(Debug)]
pub struct Function {
    /// As it is written.
    pub name: &'static str,
    /// What it takes, in order.
    pub params: &'static [Param],
    /// How many of them must be given.
    pub required: usize,
    /// Whether the last one may be given again and again.
    pub repeats: bool,
    /// What it gives.
    pub returns: Type,
    /// What it does, in a sentence with an example.
    pub about: &'static str,
    /// What is wrong with those arguments that are constants, in words: for what would fail only when it runs.
    pub(crate) verify: Option<Verify>,
    /// How it does that.
    pub(crate) body: Body,
}

/// Gets the arguments that are constants, `None` in the places of the others.
pub(crate) type Verify = fn(&[Option<&Value<'static>>]) -> Result<(), String>;

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// A word for it.
    pub name: &'static str,
    /// What it may be. Anything else fails before the function is called.
    pub ty: Type,
}

/// What a function depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// On its arguments alone: with constant ones it is computed when the rule is compiled.
    Pure(for<'i> fn(&mut [Value<'i>]) -> Result<Value<'i>, Trouble>),
    /// On the event as well.
    OfEvent(OfEvent),
}

/// What computes a function of the event.
pub(crate) type OfEvent = for<'i, 'a> fn(&'i Input<'a>, &mut [Value<'i>]) -> Result<Value<'i>, Trouble>;

const TABLES: &[&[Function]] = &[
    number::TABLE,
    math::TABLE,
    random::TABLE,
    bits::TABLE,
    characters::TABLE,
    search::TABLE,
    regex::TABLE,
    join::TABLE,
    format::TABLE,
    compare::TABLE,
    topic::TABLE,
    conversion::TABLE,
    context::TABLE,
    kind::TABLE,
    map::TABLE,
    array::TABLE,
    hash::TABLE,
    encode::TABLE,
    compress::TABLE,
    uuid::TABLE,
    env::TABLE,
    jq::TABLE,
    time::TABLE,
    state::TABLE,
];

/// All functions.
pub fn all() -> impl Iterator<Item = &'static Function> {
    TABLES.iter().copied().flatten()
}

/// The function of this name, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name.eq_ignore_ascii_case(name))
}

impl Function {
    /// Whether it can be called with so many arguments.
    #[must_use]
    pub const fn takes(&self, args: usize) -> bool {
        args >= self.required && (self.repeats || args <= self.params.len())
    }

    /// The parameter that the argument at this place, from 0, is for.
    #[must_use]
    pub fn param(&self, index: usize) -> Option<&'static Param> {
        self.params.get(index).or_else(|| self.params.last().filter(|_| self.repeats))
    }

    /// How many arguments it wants, in words: `2 arguments (text, pattern)`.
    #[must_use]
    pub fn wants(&self) -> String {
        let names: Vec<_> = self.params.iter().map(|param| param.name).collect();
        let many = if self.repeats {
            format!("{} or more arguments", self.required)
        } else if self.required < self.params.len() {
            format!("{} to {} arguments", self.required, self.params.len())
        } else if self.params.len() == 1 {
            "1 argument".to_owned()
        } else {
            format!("{} arguments", self.params.len())
        };
        if names.is_empty() {
            many
        } else {
            format!("{many} ({}{})", names.join(", "), if self.repeats { ", …" } else { "" })
        }
    }

    pub(crate) fn call<'i>(&self, input: &'i Input<'_>, args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
        for (index, arg) in args.iter().enumerate() {
            let wanted = self.param(index).map_or(Type::ANY, |param| param.ty);
            if !Type::of(arg).meets(wanted) {
                return Err(Trouble::Argument { function: self.name, index: index + 1, wanted, met: met(arg) });
            }
            input.pay(match arg {
                Value::Text(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
                Value::List(_) | Value::Map(_) => 1024,
                _ => 1,
            })?;
        }
        let result = match self.body {
            Body::Pure(body) => body(args),
            Body::OfEvent(body) => body(input, args),
        }?;
        input.pay(made(&result))?;
        Ok(result)
    }
}

/// The bytes that a function has made, beyond what it only passes on.
#[inline]
fn made(value: &Value<'_>) -> usize {
    match value {
        Value::Text(Cow::Owned(text)) => text.len(),
        Value::Bytes(Cow::Owned(bytes)) => bytes.len(),
        Value::List(items) => size_of::<Value<'_>>() * items.len(),
        Value::Map(members) => 2 * size_of::<Value<'_>>() * members.len(),
        _ => 1,
    }
}

const fn param(name: &'static str, ty: Type) -> Param {
    Param { name, ty }
}

/// A row of the table whose last parameters may be left out.
const fn optional(
    name: &'static str,
    params: &'static [Param],
    required: usize,
    returns: Type,
    about: &'static str,
    body: for<'i> fn(&mut [Value<'i>]) -> Result<Value<'i>, Trouble>,
) -> Function {
    Function { required, ..pure(name, params, returns, about, body) }
}

/// A row of the table whose parameters must all be given.
const fn pure(
    name: &'static str,
    params: &'static [Param],
    returns: Type,
    about: &'static str,
    body: for<'i> fn(&mut [Value<'i>]) -> Result<Value<'i>, Trouble>,
) -> Function {
    row(name, params, returns, about, Body::Pure(body))
}

/// The same for a function that needs the event, or pays for what it makes.
const fn of_event(
    name: &'static str,
    params: &'static [Param],
    returns: Type,
    about: &'static str,
    body: OfEvent,
) -> Function {
    row(name, params, returns, about, Body::OfEvent(body))
}

const fn row(name: &'static str, params: &'static [Param], returns: Type, about: &'static str, body: Body) -> Function {
    Function { name, params, required: params.len(), repeats: false, returns, about, verify: None, body }
}

impl Function {
    /// The row with only the first so many parameters required.
    const fn requires(mut self, required: usize) -> Self {
        self.required = required;
        self
    }

    /// The row with a look at its constants when a rule is saved.
    const fn verified(mut self, verify: Verify) -> Self {
        self.verify = Some(verify);
        self
    }
}

const NUMBER: Param = param("number", Type::NUMBER);
const TEXT: Param = param("text", Type::TEXT);
const ANYTHING: Param = param("value", Type::ANY);
/// Text is bytes too, wherever bytes are wanted.
const BINARY: Type = Type::TEXT.or(Type::BYTES);
const DATA: Param = param("data", BINARY);

fn take<'i>(args: &mut [Value<'i>], index: usize) -> Value<'i> {
    args.get_mut(index).map(std::mem::take).unwrap_or_default()
}

/// The text of an argument that the table declares to be one.
fn text<'v>(args: &'v [Value<'_>], index: usize) -> &'v str {
    match args.get(index) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// Texts that need not be UTF-8.
const STRING: Type = Type::TEXT.or(Type::BYTES);
const BYTES: Param = param("text", STRING);

/// The bytes of an argument that the table declares to be a [`STRING`].
fn bytes<'v>(args: &'v [Value<'_>], index: usize) -> &'v [u8] {
    args.get(index).map_or(b"", string_bytes)
}

fn string_bytes<'v>(value: &'v Value<'_>) -> &'v [u8] {
    match value {
        Value::Text(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        _ => b"",
    }
}

/// A whole number that may be left out.
fn whole(args: &[Value<'_>], index: usize) -> Option<i64> {
    match args.get(index) {
        Some(Value::Int(value)) => Some(*value),
        _ => None,
    }
}

/// Bytes as a value: text if they are UTF-8.
///
/// # Errors
/// If there are more than a row can hold.
fn string<'i>(bytes: Vec<u8>) -> Result<Value<'i>, Trouble> {
    within(bytes.len())?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::Text(Cow::Owned(text)),
        Err(error) => Value::Bytes(Cow::Owned(error.into_bytes())),
    })
}

fn owned<'i>(text: String) -> Result<Value<'i>, Trouble> {
    within(text.len())?;
    Ok(Value::Text(Cow::Owned(text)))
}

/// Refuses a result of so many bytes if no row could hold it.
const fn within(bytes: usize) -> Result<(), Trouble> {
    if bytes > ROW_BYTES_MAX { Err(Trouble::TooLarge) } else { Ok(()) }
}

/// Some of the bytes of a text or of bytes, borrowed where these are.
fn part<'i>(value: &Value<'i>, range: Range<usize>) -> Value<'i> {
    match value {
        Value::Text(Cow::Borrowed(text)) => match text.get(range.clone()) {
            Some(part) => Value::text(part),
            None => Value::Bytes(Cow::Borrowed(&text.as_bytes()[range])),
        },
        Value::Bytes(Cow::Borrowed(bytes)) => match std::str::from_utf8(&bytes[range.clone()]) {
            Ok(part) => Value::text(part),
            Err(_) => Value::Bytes(Cow::Borrowed(&bytes[range])),
        },
        other => match String::from_utf8(string_bytes(other)[range].to_vec()) {
            Ok(text) => Value::Text(Cow::Owned(text)),
            Err(error) => Value::Bytes(Cow::Owned(error.into_bytes())),
        },
    }
}

/// As [`part`] of an argument that is not needed any more: an owned text keeps its allocation.
fn cut<'i>(args: &mut [Value<'i>], index: usize, range: Range<usize>) -> Value<'i> {
    match take(args, index) {
        Value::Text(Cow::Owned(mut text)) if text.is_char_boundary(range.start) && text.is_char_boundary(range.end) => {
            text.truncate(range.end);
            text.drain(..range.start);
            Value::Text(Cow::Owned(text))
        }
        other => part(&other, range),
    }
}

/// Values one after the other, as many as a row could hold.
#[derive(Default)]
struct Items<'i>(Vec<Value<'i>>);

impl<'i> Items<'i> {
    fn push(&mut self, value: Value<'i>) -> Result<(), Trouble> {
        within(size_of::<Value<'_>>() * self.0.len())?;
        self.0.push(value);
        Ok(())
    }
}

/// Which of these words an argument is; the first one if it is left out.
fn choice(function: &'static str, args: &[Value<'_>], index: usize, words: &[&str]) -> Result<usize, Trouble> {
    match args.get(index) {
        Some(Value::Text(text)) => words
            .iter()
            .position(|word| word == text)
            .ok_or_else(|| Trouble::Failed { function, why: no_choice(&args[index], words) }),
        _ => Ok(0),
    }
}

/// Whether a constant argument is one of these words.
fn verify_choice(args: &[Option<&Value<'static>>], index: usize, words: &[&str]) -> Result<(), String> {
    match args.get(index) {
        Some(Some(value @ Value::Text(text))) if !words.contains(&text.as_ref()) => Err(no_choice(value, words)),
        _ => Ok(()),
    }
}

fn no_choice(value: &Value<'_>, words: &[&str]) -> String {
    format!("{} is none of '{}'", met(value), words.join("', '"))
}

/// A number that must not be negative.
fn count(function: &'static str, args: &[Value<'_>], index: usize) -> Result<Option<usize>, Trouble> {
    match whole(args, index) {
        None => Ok(None),
        Some(value) if value < 0 => Err(Trouble::Failed { function, why: negative(&args[index]) }),
        Some(value) => Ok(Some(usize::try_from(value).unwrap_or(usize::MAX))),
    }
}

/// Whether a constant argument is not negative.
fn verify_count(args: &[Option<&Value<'static>>], index: usize) -> Result<(), String> {
    match args.get(index) {
        Some(Some(value @ Value::Int(number))) if *number < 0 => Err(negative(value)),
        _ => Ok(()),
    }
}

fn negative(value: &Value<'_>) -> String {
    format!("{} is less than 0", met(value))
}

fn of_bytes(bytes: Vec<u8>) -> Value<'static> {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text.into()),
        Err(not_text) => Value::Bytes(not_text.into_bytes().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_row_is_complete() {
        let names: Vec<_> = all().map(|function| function.name).collect();
        for (index, function) in all().enumerate() {
            assert!(!names[..index].contains(&function.name), "{} comes twice", function.name);
            assert!(function.about.len() > 10 && function.required <= function.params.len(), "{}", function.name);
            assert_eq!(function.name, function.name.to_ascii_lowercase());
        }
    }
}
