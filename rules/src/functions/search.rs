//! Functions that look for a part of a text: byte for byte, in texts that need not be UTF-8.

use memchr::memmem;
use millrace_core::value::Value;

use super::{
    BYTES, Function, Items, STRING, bytes, choice, cut, optional, param, part, pure, string, take, verify_choice,
    within,
};
use crate::error::Trouble;
use crate::value_type::Type;

const ENDS: &[&str] = &["leading", "trailing"];
const PLACES: &[&str] = &["all", "leading", "trailing"];
const WAYS: &[&str] = &["all", "notrim", "leading", "leading_notrim", "trailing", "trailing_notrim"];
const BREAKS: &[&str] = &["nocrlf"];

pub(super) const TABLE: &[Function] = &[
    Function {
        verify: Some(|args| verify_choice(args, 2, ENDS)),
        ..optional(
            "find",
            &[BYTES, param("part", STRING), param("which", Type::TEXT)],
            2,
            STRING,
            "The rest from where a part is found, or nothing: find('eeabcabcee', 'abc', 'trailing') is 'abcee'.",
            |args| {
                let (whole, wanted) = (bytes(args, 0), bytes(args, 1));
                let found = match ENDS[choice("find", args, 2, ENDS)?] {
                    _ if wanted.is_empty() => Some(0),
                    "trailing" => memmem::rfind(whole, wanted),
                    _ => memmem::find(whole, wanted),
                };
                let end = whole.len();
                Ok(cut(args, 0, found.unwrap_or(end)..end))
            },
        )
    },
    Function {
        verify: Some(|args| verify_choice(args, 3, PLACES)),
        ..optional(
            "replace",
            &[BYTES, param("part", STRING), param("by", STRING), param("which", Type::TEXT)],
            3,
            STRING,
            "The text with a part replaced, all of them or one: replace('a-b-c', '-', '', 'leading') is 'ab-c'.",
            replace,
        )
    },
    Function {
        verify: Some(|args| verify_choice(args, 2, WAYS)),
        ..optional(
            "split",
            &[BYTES, param("separator", STRING), param("how", Type::TEXT)],
            2,
            Type::LIST,
            "The parts between separators, empty ones left out: split('a;;b', ';') is ['a', 'b'], with 'notrim' it is ['a', '', 'b'].",
            split,
        )
    },
    Function {
        verify: Some(|args| verify_choice(args, 2, BREAKS)),
        ..optional(
            "tokens",
            &[BYTES, param("separators", STRING), param("line breaks", Type::TEXT)],
            2,
            Type::LIST,
            "The parts between any of the separators, each of which is one byte; 'nocrlf' adds line ends: tokens(' a/b', '/ ') is ['a', 'b'].",
            tokens,
        )
    },
    pure(
        "rm_prefix",
        &[BYTES, param("prefix", STRING)],
        STRING,
        "The text without a prefix, if it has that: rm_prefix('dev/1', 'dev/') is '1'.",
        |args| {
            let (whole, prefix) = (bytes(args, 0), bytes(args, 1));
            let start = if whole.starts_with(prefix) { prefix.len() } else { 0 };
            let end = whole.len();
            Ok(cut(args, 0, start..end))
        },
    ),
    pure("ascii", &[BYTES], Type::INT, "The first byte as a number: ascii('a') is 97.", |args| {
        bytes(args, 0)
            .first()
            .map(|byte| Value::Int((*byte).into()))
            .ok_or_else(|| Trouble::Failed { function: "ascii", why: "an empty text has no first byte".to_owned() })
    }),
];

fn replace<'i>(args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    let which = PLACES[choice("replace", args, 3, PLACES)?];
    let (whole, wanted, by) = (bytes(args, 0), bytes(args, 1), bytes(args, 2));
    let found = match which {
        _ if wanted.is_empty() => None,
        "trailing" => memmem::rfind(whole, wanted),
        _ => memmem::find(whole, wanted),
    };
    let Some(first) = found else {
        return Ok(take(args, 0));
    };
    let mut replaced = Vec::with_capacity(whole.len());
    replaced.extend_from_slice(&whole[..first]);
    replaced.extend_from_slice(by);
    let mut from = first + wanted.len();
    if which == "all" {
        let finder = memmem::Finder::new(wanted);
        while let Some(next) = finder.find(&whole[from..]) {
            replaced.extend_from_slice(&whole[from..from + next]);
            replaced.extend_from_slice(by);
            within(replaced.len())?;
            from += next + wanted.len();
        }
    }
    replaced.extend_from_slice(&whole[from..]);
    string(replaced)
}

fn split<'i>(args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    let way = WAYS[choice("split", args, 2, WAYS)?];
    let keeps_empty = way.ends_with("notrim");
    let (whole, separator) = (bytes(args, 0), bytes(args, 1));
    let mut parts = Items::default();
    let mut add = |from: usize, to: usize| {
        if from < to || keeps_empty { parts.push(part(&args[0], from..to)) } else { Ok(()) }
    };
    let mut from = 0;
    if separator.is_empty() {
    } else if way.starts_with("leading") || way.starts_with("trailing") {
        let found = if way.starts_with('l') { memmem::find(whole, separator) } else { memmem::rfind(whole, separator) };
        if let Some(at) = found {
            add(0, at)?;
            from = at + separator.len();
        }
    } else {
        for at in memmem::find_iter(whole, separator) {
            add(from, at)?;
            from = at + separator.len();
        }
    }
    add(from, whole.len())?;
    Ok(Value::List(parts.0))
}

fn tokens<'i>(args: &mut [Value<'i>]) -> Result<Value<'i>, Trouble> {
    let mut separates = [false; 256];
    if args.len() > 2 {
        choice("tokens", args, 2, BREAKS)?;
        separates[usize::from(b'\r')] = true;
        separates[usize::from(b'\n')] = true;
    }
    for byte in bytes(args, 1) {
        separates[usize::from(*byte)] = true;
    }
    let mut parts = Items::default();
    let mut from = 0;
    for piece in bytes(args, 0).split(|byte| separates[usize::from(*byte)]) {
        if !piece.is_empty() {
            parts.push(part(&args[0], from..from + piece.len()))?;
        }
        from += piece.len() + 1;
    }
    Ok(Value::List(parts.0))
}
