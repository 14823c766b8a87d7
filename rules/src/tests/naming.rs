//! Names of fields against a second evaluator: a map that each field is written into, and read from, as it comes.

use std::fmt::Write as _;

use millrace_core::value::Value;

use super::fuzz::Random;
use super::run;

const PAYLOAD: &[u8] = br#"{"l":[1,2,3],"o":{"b":5},"n":7}"#;
const READS: [&str; 14] = [
    "1",
    "2",
    "payload.l",
    "payload.o",
    "payload.n",
    "a",
    "a.b",
    "a[1]",
    "a.b.c",
    "b",
    "b.a",
    "b[-1]",
    "l[2].b",
    "a.c",
];
const WRITES: [&str; 14] =
    ["a", "b", "l", "a.b", "a.c", "a.b.c", "a[0]", "a[-0]", "a[1]", "a[-1].b", "b.a[0]", "b.a", "l[2].b", "l[-0]"];

/// A step: a name, or a position with whether it is `-0`.
enum Step<'t> {
    Name(&'t str),
    At(i64, bool),
}

fn steps(path: &str) -> Vec<Step<'_>> {
    path.split(['.', '['])
        .map(|part| match part.strip_suffix(']') {
            Some(position) => Step::At(position.parse().expect("a number"), position == "-0"),
            None => Step::Name(part),
        })
        .collect()
}

fn place(position: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).expect("short");
    let at = if position < 0 { length + position } else { position - 1 };
    (0..length).contains(&at).then(|| usize::try_from(at).expect("in the list"))
}

fn read(value: &Value<'static>, path: &[Step<'_>]) -> Value<'static> {
    match (value, path) {
        (value, []) => value.clone(),
        (Value::Map(_), [Step::Name(name), rest @ ..]) => {
            value.member(name).map_or(Value::Null, |value| read(value, rest))
        }
        (Value::List(items), [Step::At(position, _), rest @ ..]) => {
            place(*position, items.len()).map_or(Value::Null, |at| read(&items[at], rest))
        }
        _ => Value::Null,
    }
}

fn write(value: &Value<'static>, path: &[Step<'_>], new: Value<'static>) -> Value<'static> {
    match path {
        [] => new,
        [Step::Name(name), rest @ ..] => {
            let mut members = if let Value::Map(members) = value { members.clone() } else { Vec::new() };
            let inner = write(value.member(name).unwrap_or(&Value::Null), rest, new);
            match members.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = inner,
                None => members.push(((*name).to_owned().into(), inner)),
            }
            Value::Map(members)
        }
        [Step::At(position, append), rest @ ..] => {
            let Value::List(items) = value else { return Value::List(vec![write(&Value::Null, rest, new)]) };
            let mut items = items.clone();
            if *append {
                items.push(write(&Value::Null, rest, new));
            } else if *position == 0 {
                items.insert(0, write(&Value::Null, rest, new));
            } else if let Some(at) = place(*position, items.len()) {
                items[at] = write(&items[at], rest, new);
            }
            Value::List(items)
        }
    }
}

#[test]
fn reading_and_writing_names_agrees_with_one_map_that_is_written_in_turn() {
    let payload =
        Value::Map(vec![("payload".into(), crate::json::decode(std::str::from_utf8(PAYLOAD).expect("text"), &[]))]);
    let mut random = Random(11);
    let (mut agreed, mut refused) = (0, 0);
    for _ in 0..8_000 {
        let mut sql = "SELECT ".to_owned();
        let mut out = Value::Map(Vec::new());
        let mut known = true;
        for field in 0..1 + random.below(5) {
            let (from, to) = (random.pick(&READS), random.pick(&WRITES));
            write!(sql, "{}{from} AS {to}", if field > 0 { ", " } else { "" }).expect("a String takes everything");
            let value = match from {
                "1" => Value::Int(1),
                "2" => Value::Int(2),
                _ if from.starts_with("payload") => read(&payload, &steps(from)),
                _ => {
                    known &= out.member(&from[..1]).is_some();
                    read(&out, &steps(from))
                }
            };
            out = write(&out, &steps(to), value);
        }
        let got = run(&format!("{sql} FROM \"t/#\""), PAYLOAD);
        if got.starts_with('R') {
            // A name that nothing has yet, a part of a number, a number made of parts.
            refused += 1;
            continue;
        }
        assert!(known, "{sql} reads what is not there");
        let row = crate::json::decode(&got, &[]).into_owned();
        assert!(row.same(&out), "{sql}\n  gave     {got}\n  expected {}", out.to_json());
        agreed += 1;
    }
    assert!(agreed > 1_000, "agreed {agreed}, refused {refused}");
}
