//! Functions of characters: what a reader takes for one, an accented letter as well as an emoji with its parts.

use std::borrow::Cow;
use std::collections::HashSet;

use millrace_core::value::Value;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    Function, TEXT, choice, count, cut, optional, owned, param, pure, take, text, verify_choice, verify_count, within,
};
use crate::error::Trouble;
use crate::value_type::Type;

const TRIMMED: &[super::Param] = &[TEXT, param("characters", Type::TEXT)];
const SIDES: &[&str] = &["trailing", "both", "leading"];

pub(super) const TABLE: &[Function] = &[
    pure("lower", &[TEXT], Type::TEXT, "The text in lower case: lower('Ab') is 'ab'.", |args| {
        cased(args, |byte| byte.is_ascii_uppercase(), str::make_ascii_lowercase, str::to_lowercase)
    }),
    pure("upper", &[TEXT], Type::TEXT, "The text in upper case: upper('Ab') is 'AB'.", |args| {
        cased(args, |byte| byte.is_ascii_lowercase(), str::make_ascii_uppercase, str::to_uppercase)
    }),
    optional(
        "trim",
        TRIMMED,
        1,
        Type::TEXT,
        "The text without blanks, or without other characters, around it: trim(' a ') is 'a', trim('--a-', '-') is 'a'.",
        |args| Ok(trimmed(args, true, true)),
    ),
    optional(
        "ltrim",
        TRIMMED,
        1,
        Type::TEXT,
        "The text without blanks, or without other characters, at its start: ltrim(' a ') is 'a '.",
        |args| Ok(trimmed(args, true, false)),
    ),
    optional(
        "rtrim",
        TRIMMED,
        1,
        Type::TEXT,
        "The text without blanks, or without other characters, at its end: rtrim('1.500', '0') is '1.5'.",
        |args| Ok(trimmed(args, false, true)),
    ),
    pure(
        "reverse",
        &[TEXT],
        Type::TEXT,
        "The characters from the last to the first: reverse('grün') is 'nürg'.",
        |args| owned(text(args, 0).graphemes(true).rev().collect()),
    ),
    pure("strlen", &[TEXT], Type::INT, "The number of characters: strlen('grün') is 4.", |args| {
        Ok(Value::Int(i64::try_from(length(text(args, 0))).unwrap_or(i64::MAX)))
    }),
    Function {
        verify: Some(|args| verify_count(args, 1).and_then(|()| verify_count(args, 2))),
        ..optional(
            "substr",
            &[TEXT, param("start", Type::INT), param("length", Type::INT)],
            2,
            Type::TEXT,
            "The characters from a place, counted from 0, or so many of them: substr('abcd', 1, 2) is 'bc'.",
            |args| {
                let start = count("substr", args, 1)?.unwrap_or(0);
                let length = count("substr", args, 2)?;
                let whole = text(args, 0);
                let start = place(whole, 0, start);
                let end = length.map_or(whole.len(), |length| place(whole, start, length));
                Ok(cut(args, 0, start..end))
            },
        )
    },
    Function {
        verify: Some(|args| verify_choice(args, 2, SIDES)),
        ..optional(
            "pad",
            &[TEXT, param("length", Type::INT), param("where", Type::TEXT), param("filling", Type::TEXT)],
            2,
            Type::TEXT,
            "The text, filled up to so many characters with blanks or other text: pad('abc', 5, 'leading', '0') is '00abc'.",
            pad,
        )
    },
];

fn cased<'i>(
    args: &mut [Value<'i>],
    changes: fn(&u8) -> bool,
    ascii: fn(&mut str),
    any: fn(&str) -> String,
) -> Result<Value<'i>, Trouble> {
    let whole = text(args, 0);
    if !whole.is_ascii() {
        return owned(any(whole));
    }
    if !whole.as_bytes().iter().any(changes) {
        return Ok(take(args, 0));
    }
    let Value::Text(whole) = take(args, 0) else {
        return Ok(Value::Null);
    };
    let mut whole = whole.into_owned();
    ascii(&mut whole);
    Ok(Value::Text(Cow::Owned(whole)))
}

fn trimmed<'i>(args: &mut [Value<'i>], start: bool, end: bool) -> Value<'i> {
    let whole = text(args, 0);
    let range = if args.len() > 1 {
        let unwanted: HashSet<&str> = text(args, 1).graphemes(true).collect();
        let from = if start { lead(whole.graphemes(true), &unwanted) } else { 0 };
        let left = &whole[from..];
        from..whole.len() - if end { lead(left.graphemes(true).rev(), &unwanted) } else { 0 }
    } else {
        let from = if start { whole.len() - whole.trim_start().len() } else { 0 };
        let left = &whole[from..];
        from..from + if end { left.trim_end().len() } else { left.len() }
    };
    cut(args, 0, range)
}

/// The bytes of the unwanted characters that come first.
fn lead<'t>(characters: impl Iterator<Item = &'t str>, unwanted: &HashSet<&str>) -> usize {
    characters.take_while(|character| unwanted.contains(character)).map(str::len).sum()
}

/// Whether each byte is one character: ASCII without a line end of two.
fn is_plain(text: &str) -> bool {
    text.is_ascii() && memchr::memchr(b'\r', text.as_bytes()).is_none()
}

/// The number of characters.
pub(super) fn length(text: &str) -> usize {
    if is_plain(text) { text.len() } else { text.graphemes(true).count() }
}

/// Where the character begins that is so many behind `from`; the end of the text if there are fewer.
pub(super) fn place(text: &str, from: usize, characters: usize) -> usize {
    let rest = &text[from..];
    let window = &rest.as_bytes()[..rest.len().min(characters.saturating_add(1))];
    if window.is_ascii() && memchr::memchr(b'\r', window).is_none() {
        return from + rest.len().min(characters);
    }
    rest.grapheme_indices(true).nth(characters).map_or(text.len(), |(at, _)| from + at)
}

fn pad<'i>(args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    let side = choice("pad", args, 2, SIDES)?;
    let wanted = usize::try_from(super::whole(args, 1).unwrap_or(0)).unwrap_or(0);
    let filling = if args.len() > 3 { text(args, 3) } else { " " };
    let whole = text(args, 0);
    let missing = wanted.saturating_sub(length(whole));
    if missing == 0 {
        return Ok(take(args, 0));
    }
    let bytes = missing.saturating_mul(filling.len()).saturating_add(whole.len());
    within(bytes.max(missing))?;
    let before = match SIDES[side] {
        "leading" => missing,
        "both" => missing / 2,
        _ => 0,
    };
    let mut padded = String::with_capacity(bytes);
    padded.push_str(&filling.repeat(before));
    padded.push_str(whole);
    padded.push_str(&filling.repeat(missing - before));
    owned(padded)
}
