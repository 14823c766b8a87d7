//! What holds of all functions: their examples are true, and nothing that they are given makes them panic.

use std::borrow::Cow;

use millrace_core::value::Value;

use super::fuzz::Random;
use super::{event, value};
use crate::functions::all;
use crate::{Input, Scratch};

#[test]
fn the_examples_of_the_documentation_are_true() {
    let example = fancy_regex::Regex::new(
        r"(?<call>\b[a-z_0-9]+\((?:[^()']|'(?:[^']|'')*'|\((?:[^()']|'(?:[^']|'')*')*\))*\)) is (?<value>true\b|false\b|null\b|-?\d+(?:\.\d+)?|'(?:[^']|'')*'|\[[^\]]*\])",
    )
    .expect("a pattern");
    let mut checked = 0;
    for function in all() {
        for found in example.captures_iter(function.about) {
            let found = found.expect("short texts");
            let (call, expected) = (&found["call"], &found["value"]);
            let met = value(call, b"{}");
            // What asks for a field or for more of the language is an example all the same.
            if met.starts_with("R0") && !met.contains("R03") && !met.contains("R0114") {
                continue;
            }
            // Maps have no literal: such a result is written as JSON.
            let expected = if expected.contains('{') { expected.to_owned() } else { value(expected, b"{}") };
            assert_eq!(met, expected, "{call}");
            checked += 1;
        }
    }
    assert!(checked > 70, "{checked} examples");
}

/// Any value: of each kind, of sizes that matter, nested a little.
fn any(random: &mut Random, depth: usize) -> Value<'static> {
    const TEXTS: [&str; 24] = [
        "",
        "a",
        "abc",
        "grün",
        "e\u{301}x",
        "👨\u{200d}👩\u{200d}👧",
        "\r\n",
        "a,b;c/d",
        "trailing",
        "signed",
        "little",
        "integer",
        "bits",
        "float",
        "notrim",
        "leading",
        "both",
        "~s ~p ~5.2f ~*b ~..*e~n~~",
        "~-9223372036854775808s~c",
        "(a+)+\\1$",
        "[\\w&&\\d]|(?=x)",
        "&\\1\\g{2}\\",
        "a/+/#",
        "\\x41\\n\\",
    ];
    const NUMBERS: [i64; 12] = [0, 1, -1, 2, 7, 8, 63, 64, 65, 1 << 20, i64::MAX, i64::MIN];
    const FLOATS: [f64; 8] = [0.0, -0.0, 0.5, -1.5, 1e300, -1e-300, 9.3e18, f64::MAX];
    match random.below(if depth > 0 { 9 } else { 7 }) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::Int(NUMBERS[random.below(NUMBERS.len())]),
        3 => Value::Float(FLOATS[random.below(FLOATS.len())]),
        4 => Value::Text(Cow::Owned(TEXTS[random.below(TEXTS.len())].to_owned())),
        5 => Value::text(TEXTS[random.below(TEXTS.len())]),
        6 => Value::Bytes(Cow::Borrowed(&[0xff, b'a', 0xc3, 0xbc, 0])),
        7 => Value::List((0..random.below(4)).map(|_| any(random, depth - 1)).collect()),
        _ => Value::Map((0..random.below(4)).map(|_| ("topic".into(), any(random, depth - 1))).collect()),
    }
}

#[test]
fn whatever_a_function_is_given_it_answers() {
    let mut random = Random(7);
    let mut scratch = Scratch::default();
    let input = Input::publish(event("t/a", b"{}"), &mut scratch);
    let mut answered = 0;
    for function in all() {
        for _ in 0..500 {
            let most = if function.repeats { function.required + 3 } else { function.params.len() };
            let count = function.required + random.below(most - function.required + 1);
            let mut args: Vec<_> = (0..count)
                .map(|index| {
                    // Mostly of the right kind, so that more than the kinds is tried.
                    let wanted = function.param(index).expect("a parameter").ty;
                    let mut arg = any(&mut random, 2);
                    for _ in 0..20 {
                        if crate::value_type::Type::of(&arg).meets(wanted) {
                            break;
                        }
                        arg = any(&mut random, 2);
                    }
                    arg
                })
                .collect();
            input.refuel();
            if let Ok(value) = function.call(&input, &mut args) {
                assert!(
                    crate::value_type::Type::of(&value).is_within(function.returns),
                    "{} gave {value:?}, not {}",
                    function.name,
                    function.returns
                );
                answered += 1;
            }
        }
    }
    assert!(answered > 15_000, "{answered} calls gave a value");
}
