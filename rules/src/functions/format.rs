//! `sprintf`: a text with values put in, by the directives of Erlang's formats.
//!
//! A directive is `~`, perhaps a width (negative: to the left), `.` and a precision, `.` and a filling character, `t`,
//! and a letter: `~s` text, `~p` and `~w` any value as a term, `~b` a whole number, `~f` `~e` `~g` floats, `~c` a
//! character, `~n` a line end, `~i` nothing of a value, `~~` a tilde. `*` takes a width or precision from the arguments.

use std::borrow::Cow;

use millrace_core::value::{ROW_BYTES_MAX, Value};

use super::characters::{length, place};
use super::number::float;
use super::term::{self, Style};
use super::{Body, Function, TEXT, owned, param, pure, text, within};
use crate::error::{Trouble, met};
use crate::value_type::Type;

/// Decimals of a float, and digits of a number's base.
const PRECISION_MAX: usize = 253;

pub(super) const TABLE: &[Function] = &[
    Function {
        name: "sprintf",
        params: &[TEXT, param("value", Type::ANY)],
        required: 1,
        repeats: true,
        returns: Type::TEXT,
        about: "The text with values put in, ~s a text, ~p anything, ~b a whole number, ~.2f a float: sprintf('~s: ~.1f', 'a', 2.25) is 'a: 2.2'.",
        verify: Some(|args| match args {
            [Some(Value::Text(format)), values @ ..] => verify(format, values.len()),
            _ => Ok(()),
        }),
        body: Body::Pure(|args| written(text(args, 0), &args[1..])),
    },
    Function {
        verify: Some(|args| match args {
            [Some(Value::Text(format)), Some(Value::List(values))] => verify(format, values.len()),
            _ => Ok(()),
        }),
        ..pure(
            "sprintf_s",
            &[TEXT, param("values", Type::LIST)],
            Type::TEXT,
            "As sprintf, with the values in a list: sprintf_s('~b/~b', [1, 2]) is '1/2'.",
            |args| match args {
                [Value::Text(format), Value::List(values)] => written(format, values),
                _ => Ok(Value::Null),
            },
        )
    },
];

fn verify(format: &str, given: usize) -> Result<(), String> {
    let mut rest = format;
    let mut wanted = 0;
    while let Some(piece) = next(&mut rest)? {
        wanted += piece.values();
    }
    enough(wanted, given)
}

fn written<'o>(format: &str, values: &[Value<'_>]) -> Result<Value<'o>, Trouble> {
    let given = values.len();
    let mut values = Values { left: values, taken: 0 };
    let mut rest = format;
    let mut out = String::new();
    while let Some(piece) = next(&mut rest).or_else(failed)? {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Directive(directive) => directive.write(&mut values, &mut out)?,
        }
        within(out.len())?;
    }
    enough(values.taken, given).or_else(failed)?;
    owned(out)
}

fn enough(wanted: usize, given: usize) -> Result<(), String> {
    if wanted == given { Ok(()) } else { Err(format!("the format wants {wanted} values, got {given}")) }
}

/// A part of a format.
enum Piece<'f> {
    Text(&'f str),
    Directive(Directive),
}

/// A number of a directive.
#[derive(Clone, Copy)]
enum Number {
    Given(usize),
    /// Of the arguments.
    Taken,
}

struct Directive {
    letter: char,
    to_left: bool,
    width: Option<Number>,
    precision: Option<Number>,
    filling: char,
    unicode: bool,
}

impl Piece<'_> {
    /// How many arguments it takes.
    fn values(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            Self::Directive(it) => {
                let taken = |number| usize::from(matches!(number, Some(Number::Taken)));
                taken(it.width)
                    + taken(it.precision)
                    + match it.letter {
                        'n' | '~' => 0,
                        'x' | 'X' => 2,
                        _ => 1,
                    }
            }
        }
    }
}

/// Reads the next part of a format.
fn next<'f>(rest: &mut &'f str) -> Result<Option<Piece<'f>>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let at = memchr::memchr(b'~', rest.as_bytes()).unwrap_or(rest.len());
    if at > 0 {
        let (text, behind) = rest.split_at(at);
        *rest = behind;
        return Ok(Some(Piece::Text(text)));
    }
    let whole = *rest;
    let mut chars = whole[1..].chars().peekable();
    let to_left = chars.next_if_eq(&'-').is_some();
    let width = number(&mut chars);
    let (mut precision, mut filling) = (None, ' ');
    if chars.next_if_eq(&'.').is_some() {
        precision = number(&mut chars);
        if chars.next_if_eq(&'.').is_some() {
            filling = chars.next().unwrap_or(' ');
        }
    }
    let mut unicode = false;
    while let Some(mark) = chars.next_if(|c| matches!(c, 't' | 'l')) {
        unicode |= mark == 't';
    }
    let letter = chars.next().ok_or_else(|| format!("{whole} at the end is no directive; ~~ is a tilde"))?;
    if !"spwbBxX#+cefgni~".contains(letter) {
        return Err(format!("~{letter} is no directive; ~~ is a tilde"));
    }
    *rest = &whole[whole.len() - chars.map(char::len_utf8).sum::<usize>()..];
    Ok(Some(Piece::Directive(Directive { letter, to_left, width, precision, filling, unicode })))
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Number> {
    if chars.next_if_eq(&'*').is_some() {
        return Some(Number::Taken);
    }
    let mut number = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let digit = usize::try_from(digit).unwrap_or(0);
        number = Some(number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit));
    }
    number.map(Number::Given)
}

/// The arguments behind the format.
struct Values<'v, 'i> {
    left: &'v [Value<'i>],
    taken: usize,
}

impl<'v, 'i> Values<'v, 'i> {
    fn next(&mut self) -> Result<&'v Value<'i>, Trouble> {
        let [first, left @ ..] = self.left else {
            return failed(format!("the format wants more than {} values", self.taken));
        };
        self.left = left;
        self.taken += 1;
        Ok(first)
    }

    /// A number of a directive; whether it was negative.
    fn number(&mut self, number: Option<Number>) -> Result<Option<(usize, bool)>, Trouble> {
        Ok(match number {
            None => None,
            Some(Number::Given(number)) => Some((number, false)),
            Some(Number::Taken) => match self.next()? {
                Value::Int(number) => Some((usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX), *number < 0)),
                other => return failed(format!("* wants an integer, got {}", met(other))),
            },
        })
    }
}

fn failed<T>(why: String) -> Result<T, Trouble> {
    Err(Trouble::Failed { function: "sprintf", why })
}

impl Directive {
    fn write(&self, values: &mut Values<'_, '_>, out: &mut String) -> Result<(), Trouble> {
        let width = values.number(self.width)?;
        let to_left = self.to_left || width.is_some_and(|(_, negative)| negative);
        let field = Field { width: width.map(|(width, _)| width), to_left, filling: self.filling };
        let precision = values.number(self.precision)?.map(|(precision, _)| precision);
        let wants = |what: &str, value: &Value<'_>| {
            failed(format!("~{} wants {what}, got {}; ~p takes anything", self.letter, met(value)))
        };
        match self.letter {
            's' => {
                let value = values.next()?;
                let text: Cow<'_, str> = match value {
                    Value::Text(text) => Cow::Borrowed(text),
                    Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
                    Value::Bool(value) => Cow::Owned(value.to_string()),
                    Value::Null => Cow::Borrowed(""),
                    other => return wants("text", other),
                };
                field.text(&text, precision, out)
            }
            'p' | 'w' => {
                let style = match (self.letter, self.unicode) {
                    ('w', _) => Style::Plain,
                    (_, false) => Style::Pretty,
                    (_, true) => Style::PrettyUnicode,
                };
                let mut term = String::new();
                term::write(values.next()?, style, &mut term)?;
                // A width is the length of a line to ~p; it writes one.
                if self.letter == 'w' { field.number(&term, out) } else { append(&term, out) }
            }
            'b' | 'B' | 'x' | 'X' | '#' | '+' => {
                let number = match values.next()? {
                    Value::Int(number) => *number,
                    other => return wants("an integer", other),
                };
                let base = u32::try_from(precision.unwrap_or(10)).ok().filter(|base| (2..=36).contains(base));
                let Some(base) = base else {
                    return failed(format!("~{} wants a base from 2 to 36", self.letter));
                };
                let prefix: Cow<'_, str> = match self.letter {
                    '#' | '+' => Cow::Owned(format!("{base}#")),
                    'x' | 'X' => match values.next()? {
                        Value::Text(prefix) => Cow::Borrowed(prefix),
                        other => return wants("a text as prefix", other),
                    },
                    _ => Cow::Borrowed(""),
                };
                let digits = in_base(number.unsigned_abs(), base, matches!(self.letter, 'B' | 'X' | '#'));
                let sign = if number < 0 { "-" } else { "" };
                field.number(&[sign, &*prefix, &digits].concat(), out)
            }
            'f' | 'e' | 'g' => {
                let number = match values.next()? {
                    value @ (Value::Int(_) | Value::Float(_)) => float(value),
                    other => return wants("a number", other),
                };
                let precision = precision.unwrap_or(6);
                let least = match self.letter {
                    'f' => 0,
                    'g' => 1,
                    _ => 2,
                };
                if !(least..=PRECISION_MAX).contains(&precision) {
                    return failed(format!("~{} wants a precision from {least} to {PRECISION_MAX}", self.letter));
                }
                let written = match self.letter {
                    'f' => format!("{number:.precision$}"),
                    'e' => scientific(number, precision),
                    _ => general(number, precision),
                };
                field.number(&written, out)
            }
            'c' => {
                let value = values.next()?;
                let Some(character) = character(value) else {
                    return wants("the number of a character", value);
                };
                let times = precision.or(field.width).unwrap_or(1);
                within(times.saturating_mul(character.len_utf8()))?;
                let width = field.width.filter(|_| precision.is_some());
                Field { width, ..field }.text(&character.to_string().repeat(times), None, out)
            }
            'n' | '~' => {
                let character = if self.letter == 'n' { "\n" } else { "~" };
                let times = precision.or(field.width).unwrap_or(1);
                within(times)?;
                append(&character.repeat(times), out)
            }
            _ => values.next().map(drop),
        }
    }
}

/// Where a written value goes: so many characters, at one side of them.
#[derive(Clone, Copy)]
struct Field {
    width: Option<usize>,
    to_left: bool,
    filling: char,
}

impl Field {
    /// A text that is too long is cut.
    fn text(self, text: &str, precision: Option<usize>, out: &mut String) -> Result<(), Trouble> {
        let Some(width) = self.width.or(precision) else {
            return append(text, out);
        };
        let most = precision.map_or(width, |precision| precision.min(width));
        let text = &text[..place(text, 0, most)];
        // What a precision leaves free is always behind the text.
        let behind = precision.map_or(0, |_| most - length(text));
        let free = width - length(text) - behind;
        let (before, behind) = if self.to_left { (0, free + behind) } else { (free, behind) };
        self.fill(before, out)?;
        append(text, out)?;
        self.fill(behind, out)
    }

    /// A number that is too long becomes stars.
    fn number(self, number: &str, out: &mut String) -> Result<(), Trouble> {
        let Some(width) = self.width else {
            return append(number, out);
        };
        let length = length(number);
        if length > width {
            return Self { filling: '*', ..self }.fill(width, out);
        }
        let (before, behind) = if self.to_left { (0, width - length) } else { (width - length, 0) };
        self.fill(before, out)?;
        append(number, out)?;
        self.fill(behind, out)
    }

    fn fill(self, times: usize, out: &mut String) -> Result<(), Trouble> {
        within(out.len().saturating_add(times.saturating_mul(self.filling.len_utf8())))?;
        out.extend(std::iter::repeat_n(self.filling, times));
        Ok(())
    }
}

fn append(text: &str, out: &mut String) -> Result<(), Trouble> {
    within((out.len() + text.len()).min(ROW_BYTES_MAX + 1))?;
    out.push_str(text);
    Ok(())
}

fn character(value: &Value<'_>) -> Option<char> {
    match value {
        Value::Int(code) => u32::try_from(*code).ok().and_then(char::from_u32),
        _ => None,
    }
}

fn in_base(mut number: u64, base: u32, upper: bool) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % u64::from(base)).ok().and_then(|digit| char::from_digit(digit, base));
        digits.extend(digit);
        number /= u64::from(base);
        if number == 0 {
            break;
        }
    }
    let digits = digits.into_iter().rev();
    if upper { digits.map(|digit| digit.to_ascii_uppercase()).collect() } else { digits.collect() }
}

/// So many digits and a power of ten: `1.50000e+0`.
fn scientific(number: f64, precision: usize) -> String {
    let decimals = precision.saturating_sub(1);
    let written = format!("{number:.decimals$e}");
    match written.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
        _ => written,
    }
}

/// So many digits, as `~f` from 0.1 to 10,000 and as `~e` elsewhere.
fn general(number: f64, precision: usize) -> String {
    let size = number.abs();
    let whole_digits = [1.0, 10.0, 100.0, 1000.0, 10_000.0].iter().filter(|limit| size >= **limit).count();
    let decimals = precision.saturating_sub(whole_digits);
    if !(0.1..10_000.0).contains(&size) || decimals == 0 {
        return scientific(number, precision.max(2));
    }
    format!("{number:.decimals$}")
}
