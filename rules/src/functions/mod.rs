//! The table of functions: name, parameters, result, what it does. A new one is one row and its tests.

mod calendar;
mod context;
mod conversion;
mod number;
mod state;
mod string;
mod time;
mod zone;

use millrace_core::value::Value;

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
    OfEvent(for<'i, 'a> fn(&'i Input<'a>, &mut [Value<'i>]) -> Result<Value<'i>, Trouble>),
}

const TABLES: &[&[Function]] =
    &[number::TABLE, string::TABLE, conversion::TABLE, context::TABLE, time::TABLE, state::TABLE];

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
        match self.body {
            Body::Pure(body) => body(args),
            Body::OfEvent(body) => body(input, args),
        }
    }
}

const fn param(name: &'static str, ty: Type) -> Param {
    Param { name, ty }
}

/// A row of the table whose parameters must all be given.
const fn pure(
    name: &'static str,
    params: &'static [Param],
    returns: Type,
    about: &'static str,
    body: for<'i> fn(&mut [Value<'i>]) -> Result<Value<'i>, Trouble>,
) -> Function {
    Function {
        name,
        params,
        required: params.len(),
        repeats: false,
        returns,
        about,
        verify: None,
        body: Body::Pure(body),
    }
}

const NUMBER: Param = param("number", Type::NUMBER);
const TEXT: Param = param("text", Type::TEXT);
const ANYTHING: Param = param("value", Type::ANY);

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
