//! JSON as the scanner reads it, beside what serde_json makes of the same bytes.

use millrace_core::value::Value;

use super::fuzz::Random;
use crate::json::Json;

/// Compares one text; whether both took it.
fn compare(text: &str) -> bool {
    let mut places = Vec::new();
    let ours = Json::scan(text, &mut places);
    let theirs: Result<serde_json::Value, _> = serde_json::from_str(text);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            let ours = ours.value(&[]).expect("what they can read has no number out of range");
            assert!(same(&ours, &theirs), "{text}\n{}\n{theirs}", ours.to_json());
            true
        }
        (Err(_), Err(_)) => false,
        (Ok(_), Err(error)) => {
            // What we take on purpose: halves of surrogate pairs, numbers that nobody asks for, one level more.
            let error = error.to_string();
            let known = ["number out of range", "surrogate", "hex escape", "recursion limit"];
            assert!(known.iter().any(|known| error.contains(known)), "{text}\nwas taken: {error}");
            false
        }
        (Err(error), Ok(_)) => panic!("{text}\nwas refused: {error}"),
    }
}

fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
        (Value::Int(a), serde_json::Value::Number(b)) => b.as_i64() == Some(*a) || (*a == 0 && b.as_f64() == Some(0.0)),
        // Their fast reading of floats may be one off in the last place.
        (Value::Float(a), serde_json::Value::Number(b)) => {
            b.as_f64().is_some_and(|b| (a - b).abs() <= a.abs() * f64::EPSILON)
        }
        (Value::Text(a), serde_json::Value::String(b)) => a == b,
        (Value::List(a), serde_json::Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), serde_json::Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a_name, a), (b_name, b))| a_name == b_name && same(a, b))
        }
        _ => false,
    }
}

const BLANKS: [&str; 8] = ["", "", "", " ", "  ", "\n", "\t\r\n", "                                                  "];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "temp",
    "grün und 😀",
    "\\\"",
    "\\\\",
    "a\\\\\\\"b",
    "\\u0041\\ud83d\\ude00",
    "\\/\\b\\f\\n\\r\\t",
    "{\\\"inside\\\": [1, 2, {}]}",
    "exactly as long as one block, which has sixty-four bytes: 012345",
    "[],:{}",
    "\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\",
    "\u{7f}\u{80}",
];
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "7",
    "-12",
    "3.25",
    "-0.5",
    "1e3",
    "2E-2",
    "1.5e+10",
    "123456789012345678",
    "9223372036854775808",
    "1653561612345",
    "229.81",
    "0.1234567890123456789",
];

fn write(random: &mut Random, depth: usize, out: &mut String) {
    let blank = |random: &mut Random, out: &mut String| out.push_str(random.pick(&BLANKS));
    blank(random, out);
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0 => out.push_str(random.pick(&["true", "false", "null"])),
        1 | 2 => out.push_str(random.pick(&NUMBERS)),
        3 | 4 => {
            out.push('"');
            out.push_str(random.pick(&TEXTS));
            out.push('"');
        }
        5 | 6 => {
            out.push('[');
            let items = random.below(5);
            for index in 0..items {
                if index > 0 {
                    out.push(',');
                }
                write(random, depth - 1, out);
            }
            if items == 0 {
                blank(random, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            let members = random.below(6);
            for index in 0..members {
                if index > 0 {
                    out.push(',');
                }
                blank(random, out);
                out.push('"');
                out.push_str(random.pick(&TEXTS));
                out.push('"');
                blank(random, out);
                out.push(':');
                write(random, depth - 1, out);
            }
            if members == 0 {
                blank(random, out);
            }
            out.push('}');
        }
    }
    blank(random, out);
}

#[test]
fn random_texts_are_read_as_others_read_them() {
    let mut random = Random(23);
    for _ in 0..6_000 {
        let mut text = String::new();
        write(&mut random, 5, &mut text);
        assert!(compare(&text), "{text}");
    }
}

#[test]
fn mutated_texts_are_refused_when_others_refuse_them() {
    const PIECES: [&str; 24] = [
        "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "\u{1}", "0", "-", ".", "e", "t", "true", "nul", "\\u12",
        "/", "\u{0}", "é", "\t", "\"\"",
    ];
    let mut random = Random(29);
    let mut taken = 0;
    for _ in 0..40_000 {
        let mut text = String::new();
        write(&mut random, 3, &mut text);
        let mut bytes = text.into_bytes();
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len() + 1);
            let end = (at + random.below(3)).min(bytes.len());
            let piece = if random.below(3) == 0 { "" } else { random.pick(&PIECES) };
            bytes.splice(at..end, piece.bytes());
        }
        if let Ok(text) = String::from_utf8(bytes) {
            taken += usize::from(compare(&text));
        }
    }
    assert!(taken > 2_000, "{taken}");
}

#[test]
fn every_start_of_a_text_and_every_shift_of_it_is_read_alike() {
    let text =
        r#"{"device":"press-0042","temp":36.6,"ok":true,"pos":{"x":12.75,"y":-3.5},"tags":["a\"1","b\\"],"at":null}"#;
    for end in 0..=text.len() {
        assert_eq!(compare(&text[..end]), end == text.len());
    }
    for shift in 0..130 {
        assert!(compare(&format!("{}{text}{}", " ".repeat(shift), "\n".repeat(shift % 70))));
        assert!(!compare(&format!("{}{text}{}x", " ".repeat(shift), " ".repeat(shift % 70))));
        assert!(compare(&format!("[{}{text}]", "1,".repeat(shift))));
    }
}
