//! The closures against a second evaluator: a naive walk over the tree as written, with its own operators.

use std::cmp::Ordering;

use super::fuzz::Random;
use super::{config, evaluate, event};
use crate::ast::{BinaryOp, Expr, ExprKind, Field, Literal, PathStep, Step};
use crate::parse::parse;
use crate::{Input, Rules, Scratch};

/// A value of the oracle. Numbers keep their kind.
#[derive(Clone, Debug, PartialEq)]
enum Simple {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

use Simple::{Bool, Float, Int, List, Map, Null, Text};

impl Simple {
    fn json(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(",");
        match self {
            Null => "null".to_owned(),
            Bool(value) => value.to_string(),
            Text(text) => format!("\"{text}\""),
            Int(_) | Float(_) => number_text(self),
            List(items) => format!("[{}]", joined(items.iter().map(Self::json).collect())),
            Map(members) => {
                format!(
                    "{{{}}}",
                    joined(members.iter().map(|(name, value)| format!("\"{name}\":{}", value.json())).collect())
                )
            }
        }
    }

    fn part(&self, step: &Step) -> Self {
        match (self, step) {
            (Map(members), Step::Name(name)) => {
                members.iter().find(|(known, _)| known == name).map_or(Null, |(_, value)| value.clone())
            }
            (List(items), Step::Index(index)) => {
                let length = i64::try_from(items.len()).expect("short");
                let at = if *index < 0 { length + index } else { index - 1 };
                usize::try_from(at).ok().and_then(|at| items.get(at)).cloned().unwrap_or(Null)
            }
            _ => Null,
        }
    }
}

/// `None` is a failed evaluation.
type Walked = Option<Simple>;

fn field(name: &str, steps: &[Step]) -> Walked {
    Some(match (name, steps) {
        ("qos", []) => Int(1),
        ("topic", []) => Text("t/a".into()),
        ("username", []) => Null,
        ("payload", [Step::Name(member), rest @ ..]) if member == "l" || member == "o" => {
            let whole = if member == "l" {
                List(vec![Int(3), Float(2.5), Text("12".into()), List(vec![Int(1), Null])])
            } else {
                Map(vec![("k".into(), Int(5)), ("l".into(), List(vec![Int(1), Int(2)]))])
            };
            rest.iter().fold(whole, |value, step| value.part(step))
        }
        ("payload", [Step::Name(member)]) => match member.as_str() {
            "i" => Int(3),
            "m" => Int(-4),
            "z" => Int(0),
            "f" => Float(2.5),
            "big" => Int(i64::MAX),
            "t" => Text("12".into()),
            "w" => Text("warm".into()),
            "y" => Bool(true),
            "n" => Bool(false),
            _ => Null,
        },
        _ => return None,
    })
}

const PAYLOAD: &[u8] =
    br#"{"i":3,"m":-4,"z":0,"f":2.5,"big":9223372036854775807,"t":"12","w":"warm","y":true,"n":false,"null":null,
    "l":[3,2.5,"12",[1,null]],"o":{"k":5,"l":[1,2]}}"#;

fn walk(expr: &Expr<'_>) -> Walked {
    match &expr.kind {
        ExprKind::Literal(literal) => Some(match literal {
            Literal::Null => Null,
            Literal::Bool(value) => Bool(*value),
            Literal::Int(value) => Int(*value),
            Literal::Float(value) => Float(*value),
            Literal::Text(text) => Text(text.clone().into_owned()),
        }),
        ExprKind::Path(path) => {
            let fixed = |steps: &[PathStep<'_>]| -> Vec<Step> {
                steps
                    .iter()
                    .map_while(|step| if let PathStep::Fixed(step) = step { Some(step.clone()) } else { None })
                    .collect()
            };
            let known = fixed(&path.steps);
            let mut value = field(&path.root, &known)?;
            for step in &path.steps[known.len()..] {
                value = match step {
                    PathStep::Fixed(step) => value.part(step),
                    PathStep::Computed(index) => match position(index)? {
                        Int(index) => value.part(&Step::Index(index)),
                        _ => Null,
                    },
                    PathStep::Slice(first, last, _) => slice(value, *first, *last)?,
                };
            }
            Some(value)
        }
        ExprKind::List(items) => items.iter().map(walk).collect::<Option<_>>().map(List),
        ExprKind::Range(first, last) => (first <= last).then(|| List((*first..=*last).map(Int).collect())),
        ExprKind::Negate(inner) => match walk(inner)? {
            Int(value) => value.checked_neg().map(Int),
            Float(value) => Some(Float(-value)),
            _ => None,
        },
        ExprKind::Not(inner) => Some(Bool(walk(inner)? == Bool(false))),
        ExprKind::And(terms) => {
            for term in terms {
                if walk(term)? != Bool(true) {
                    return Some(Bool(false));
                }
            }
            Some(Bool(true))
        }
        ExprKind::Or(terms) => {
            for term in terms {
                if walk(term)? == Bool(true) {
                    return Some(Bool(true));
                }
            }
            Some(Bool(false))
        }
        ExprKind::Binary(op, left, right) => {
            let (left, right) = (walk(left)?, walk(right)?);
            if op.compares() { compare(*op, &left, &right) } else { calculate(*op, left, right) }
        }
        ExprKind::In { value, list, negated } => {
            let value = walk(value)?;
            for item in list {
                if walk(item)? == value {
                    return Some(Bool(!negated));
                }
            }
            Some(Bool(*negated))
        }
        ExprKind::IsNull { value, negated } => Some(Bool((walk(value)? == Null) != *negated)),
        ExprKind::Case { subject, branches, otherwise } => {
            let subject = match subject {
                Some(subject) => walk(subject)?,
                None => Bool(true),
            };
            for (when, then) in branches {
                if walk(when)? == subject {
                    return walk(then);
                }
            }
            otherwise.as_ref().map_or(Some(Null), |otherwise| walk(otherwise))
        }
        ExprKind::Call { name, args, .. } => {
            let args: Option<Vec<_>> = args.iter().map(walk).collect();
            match (name.as_ref(), args?.as_slice()) {
                ("coalesce", args) => Some(args.iter().find(|arg| **arg != Null).cloned().unwrap_or(Null)),
                ("is_null", [arg]) => Some(Bool(*arg == Null)),
                ("abs", [Int(value)]) => value.checked_abs().map(Int),
                ("abs", [Float(value)]) => Some(Float(value.abs())),
                _ => None,
            }
        }
    }
}

/// A position in a path into the payload: a plain name there is a member of the payload.
fn position(index: &Expr<'_>) -> Walked {
    match &index.kind {
        ExprKind::Path(path) if path.root != "payload" => field("payload", &[Step::Name(path.root.to_string())]),
        _ => walk(index),
    }
}

fn slice(value: Simple, first: i64, last: i64) -> Walked {
    let List(items) = value else { return None };
    let length = i64::try_from(items.len()).expect("short");
    let from_one = |position: i64| if position < 0 { length + 1 + position } else { position };
    let (first, last) = (from_one(first), from_one(last));
    let kept = (1..).zip(items).filter(|(position, _)| (first..=last).contains(position)).map(|(_, item)| item);
    (first >= 1).then(|| List(kept.collect()))
}

fn calculate(op: BinaryOp, left: Simple, right: Simple) -> Walked {
    match (op, left, right) {
        (BinaryOp::Divide, left, right) => {
            let (a, b) = (float(&left)?, float(&right)?);
            if b == 0.0 { None } else { finite(a / b) }
        }
        (op, Int(a), Int(b)) => {
            let wide = match op {
                BinaryOp::Add => i128::from(a) + i128::from(b),
                BinaryOp::Subtract => i128::from(a) - i128::from(b),
                BinaryOp::Multiply => i128::from(a) * i128::from(b),
                _ if b == 0 => return None,
                BinaryOp::Div => i128::from(a) / i128::from(b),
                _ => i128::from(a) % i128::from(b),
            };
            i64::try_from(wide).ok().map(Int)
        }
        (BinaryOp::Div | BinaryOp::Mod, ..) => None,
        (BinaryOp::Add, Text(a), Text(b)) => Some(Text(a + &b)),
        (BinaryOp::Add, Text(a), b @ (Int(_) | Float(_))) => Some(Text(a + &number_text(&b))),
        (BinaryOp::Add, a @ (Int(_) | Float(_)), Text(b)) => Some(Text(number_text(&a) + &b)),
        (op, a, b) => {
            let (a, b) = (float(&a)?, float(&b)?);
            finite(match op {
                BinaryOp::Add => a + b,
                BinaryOp::Subtract => a - b,
                _ => a * b,
            })
        }
    }
}

fn finite(value: f64) -> Walked {
    value.is_finite().then_some(Float(value))
}

fn float(value: &Simple) -> Option<f64> {
    match value {
        Int(value) => Some(*value as f64),
        Float(value) => Some(*value),
        _ => None,
    }
}

fn number_text(value: &Simple) -> String {
    match value {
        Int(value) => value.to_string(),
        Float(value) => millrace_core::value::Value::Float(*value).to_json(),
        _ => String::new(),
    }
}

fn compare(op: BinaryOp, left: &Simple, right: &Simple) -> Walked {
    let parsed = |text: &str| {
        let mut digits = text.strip_prefix('-').unwrap_or(text).bytes();
        if digits.next() == Some(b'0') && digits.next().is_some_and(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match text.parse() {
            Ok(whole) => Some(Int(whole)),
            Err(_) => text.parse().ok().filter(|value: &f64| value.is_finite()).map(Float),
        }
    };
    let order = match (left, right) {
        (Null, Null) => Some(Ordering::Equal),
        (Null, _) | (_, Null) => return Some(Bool(false)),
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (Int(_) | Float(_), Int(_) | Float(_)) => float(left)?.partial_cmp(&float(right)?),
        (Int(_) | Float(_), Text(text)) => return compare(op, left, &parsed(text)?),
        (Text(text), Int(_) | Float(_)) => return compare(op, &parsed(text)?, right),
        (Text(a), Text(b)) => Some(a.cmp(b)),
        (Bool(a), Bool(b)) => Some(a.cmp(b)),
        (Bool(a), Text(b)) => Some(a.to_string().cmp(b)),
        (Text(a), Bool(b)) => Some(a.cmp(&b.to_string())),
        (List(_), List(_)) | (Map(_), Map(_)) => (left == right).then_some(Ordering::Equal),
        _ => None,
    };
    Some(Bool(match op {
        BinaryOp::Equal => order == Some(Ordering::Equal),
        BinaryOp::NotEqual => order != Some(Ordering::Equal),
        BinaryOp::Less => order == Some(Ordering::Less),
        BinaryOp::LessOrEqual => order.is_some_and(Ordering::is_le),
        BinaryOp::Greater => order == Some(Ordering::Greater),
        _ => order.is_some_and(Ordering::is_ge),
    }))
}

fn expression(random: &mut Random, depth: usize) -> String {
    const LEAVES: [&str; 31] = [
        "payload.l",
        "payload.l[1]",
        "payload.l[-1][2]",
        "payload.l[4][1]",
        "payload.o.k",
        "payload.o.l",
        "payload.l[2..3]",
        "[1..3]",
        "payload.o",
        "payload.i",
        "payload.m",
        "payload.z",
        "payload.f",
        "payload.big",
        "payload.t",
        "payload.w",
        "payload.y",
        "payload.n",
        "payload.null",
        "payload.gone",
        "qos",
        "topic",
        "username",
        "0",
        "1",
        "12",
        "2.5",
        "'12'",
        "'warm'",
        "true",
        "null",
    ];
    if depth == 0 || random.below(8) == 0 {
        return random.pick(&LEAVES).to_owned();
    }
    let mut next = || expression(random, depth - 1);
    let (a, b, c) = (next(), next(), next());
    match random.below(20) {
        0 => format!("(- {a})"),
        1 => format!("(NOT {a})"),
        2 => format!("({a} IN ({b}, {c}))"),
        3 => format!("({a} NOT IN ({b}))"),
        4 => format!("({a} IS NULL)"),
        5 => format!("(CASE WHEN {a} THEN {b} ELSE {c} END)"),
        6 => format!("(CASE {a} WHEN {b} THEN {c} END)"),
        7 => format!("coalesce({a}, {b})"),
        8 => format!("is_null({a})"),
        9 => format!("abs({a})"),
        10 => format!("({a} AND {b} AND {c})"),
        11 => format!("({a} OR {b})"),
        12 => format!("[{a}, {b}]"),
        13 => format!("payload.l[{a}]"),
        14 => format!("payload.o.l[qos + {b}]"),
        15 => format!(
            "payload.l[{}..{}]",
            random.pick(&["1", "2", "-2", "-4", "-5"]),
            random.pick(&["1", "3", "-1", "-3", "9"])
        ),
        _ => {
            let op = random.pick(&["+", "-", "*", "/", "div", "mod", "=", "!=", "<", "<=", ">", ">="]);
            format!("({a} {op} {b})")
        }
    }
}

#[test]
fn closures_agree_with_the_oracle_on_generated_expressions() {
    const SEED: u64 = 7;
    let mut random = Random(SEED);
    let (mut agreed, mut failed, mut refused) = (0, 0, 0);
    let mut scratch = Scratch::default();
    let input = Input::publish(event("t/a", PAYLOAD), &mut scratch);
    for round in 0..100_000 {
        let text = expression(&mut random, 1 + round % 4);
        let sql = format!("SELECT {text} AS v FROM \"t\"");
        let Ok(mut rules) = Rules::compile(&[("r", config(&sql))]) else {
            // Types or constants that can never work are refused beforehand.
            refused += 1;
            continue;
        };
        let query = parse(&sql).expect("it compiled");
        let [Field::Expr { expr, .. }] = query.fields.as_slice() else {
            panic!("one field was written");
        };
        let got = evaluate(&mut rules, &input);
        match walk(expr) {
            Some(expected) => {
                assert_eq!(got, format!("{{\"v\":{}}}", expected.json()), "{sql}");
                agreed += 1;
            }
            None => {
                assert!(got.starts_with("R03"), "{sql} gave {got}, the oracle fails");
                failed += 1;
            }
        }
    }
    assert!(agreed > 25_000 && failed > 2_500, "agreed {agreed}, failed {failed}, refused {refused}");
}
