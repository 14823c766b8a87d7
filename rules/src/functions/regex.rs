//! Functions of regular expressions.

use std::borrow::Cow;

use millrace_core::value::Value;

use super::pattern::{Groups, Pattern};
use super::{Function, Items, OfEvent, TEXT, Verify, of_event, param, part, take, text, within};
use crate::error::Trouble;
use crate::input::Input;
use crate::value_type::Type;

const PATTERN: super::Param = param("pattern", Type::TEXT);

const fn row(
    name: &'static str,
    params: &'static [super::Param],
    returns: Type,
    about: &'static str,
    body: OfEvent,
) -> Function {
    const VERIFY: Verify = |args| match args.get(1) {
        Some(Some(Value::Text(pattern))) => Pattern::compile(pattern).map(drop),
        _ => Ok(()),
    };
    of_event(name, params, returns, about, body).verified(VERIFY)
}

pub(super) const TABLE: &[Function] = &[
    row(
        "regex_match",
        &[TEXT, PATTERN],
        Type::BOOL,
        "Whether a pattern is found in the text: regex_match('abc123', '[0-9]+') is true.",
        |input, args| {
            let pattern = Pattern::of("regex_match", text(args, 1), input)?;
            pattern.is_match(text(args, 0), input).map(Value::Bool)
        },
    ),
    row(
        "regex_replace",
        &[TEXT, PATTERN, param("by", Type::TEXT)],
        Type::TEXT,
        "The text with each match replaced; & is the match, \\1 its first group: regex_replace('ab1', '[1-9]', '[&]') is 'ab[1]'.",
        replace,
    ),
    row(
        "regex_extract",
        &[TEXT, PATTERN],
        Type::LIST,
        "The groups of the first match: regex_extract('2021-05', '(\\d+)-(\\d+)') is ['2021', '05'].",
        |input, args| {
            let pattern = Pattern::of("regex_extract", text(args, 1), input)?;
            pattern.begin(text(args, 0), input)?;
            let mut groups = pattern.find(text(args, 0), 0, true, input)?.unwrap_or_default();
            while groups.last().is_some_and(Option::is_none) {
                groups.pop();
            }
            let mut parts = Items::default();
            for group in groups.into_iter().skip(1) {
                parts.push(part(&args[0], group.unwrap_or(0..0)))?;
            }
            Ok(Value::List(parts.0))
        },
    ),
];

/// A piece of what a match is replaced by.
enum Piece<'t> {
    Text(&'t str),
    Group(usize),
}

fn replace<'i>(input: &'i Input<'_>, args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    let pattern = Pattern::of("regex_replace", text(args, 1), input)?;
    let whole = text(args, 0);
    pattern.begin(whole, input)?;
    let pieces = pieces(text(args, 2));
    let groups_wanted = pieces.iter().any(|piece| matches!(piece, Piece::Group(1..)));
    let mut replaced = String::new();
    let (mut copied, mut from) = (0, 0);
    let mut is_changed = false;
    while let Some(groups) = pattern.find(whole, from, groups_wanted, input)? {
        let Some(Some(found)) = groups.first().cloned() else {
            break;
        };
        is_changed = true;
        replaced.push_str(&whole[copied..found.start]);
        expand(&pieces, whole, &groups, &mut replaced)?;
        copied = found.end;
        from = found.end;
        if found.is_empty() {
            // Nothing was used up: the next search begins one character further.
            let Some(next) = whole[from..].chars().next() else {
                break;
            };
            from += next.len_utf8();
        }
    }
    if !is_changed {
        return Ok(take(args, 0));
    }
    replaced.push_str(&whole[copied..]);
    within(replaced.len())?;
    Ok(Value::Text(Cow::Owned(replaced)))
}

fn expand(pieces: &[Piece<'_>], whole: &str, groups: &Groups, out: &mut String) -> Result<(), Trouble> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Group(number) => {
                if let Some(Some(range)) = groups.get(*number) {
                    out.push_str(&whole[range.clone()]);
                }
            }
        }
        within(out.len())?;
    }
    Ok(())
}

/// Reads a replacement: `&` and `\0` are the match, `\1`, `\g1` and `\g{1}` a group, any other character behind a
/// backslash is that character.
fn pieces(by: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = by;
    while let Some(at) = rest.find(['&', '\\']) {
        if at > 0 {
            pieces.push(Piece::Text(&rest[..at]));
        }
        let special = &rest[at..];
        if let Some(behind) = special.strip_prefix('&') {
            pieces.push(Piece::Group(0));
            rest = behind;
        } else if let Some((number, behind)) = group(&special[1..]) {
            pieces.push(Piece::Group(number));
            rest = behind;
        } else {
            let character = special[1..].chars().next().map_or(0, char::len_utf8);
            // A backslash at the very end is one.
            let from = usize::from(character > 0);
            pieces.push(Piece::Text(&special[from..=character]));
            rest = &special[1 + character..];
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The number of a group, and what follows it.
fn group(text: &str) -> Option<(usize, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    if let Some(braced) = text.strip_prefix("g{") {
        let (number, rest) = braced.split_once('}')?;
        return Some((number.parse().ok()?, rest));
    }
    let plain = text.strip_prefix('g').unwrap_or(text);
    let (number, rest) = plain.split_at(digits(plain));
    Some((number.parse().ok()?, rest))
}
