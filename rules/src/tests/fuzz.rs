//! No text makes the parser or checker panic, whatever is in it.

use super::{config, event};
use crate::rule::diagnose;
use crate::{Input, Rows, Rules, Scratch};

/// The body of the fuzz target: any text is refused with places inside it, or compiles and runs.
pub(super) fn sql(text: &str) {
    match diagnose(text) {
        Ok(_) => {
            let mut rules = Rules::compile(&[("r", config(text))]).expect("the checker found nothing");
            let mut scratch = Scratch::default();
            let input = Input::publish(event("t/a", br#"{"a":{"b":[1,2.5,"x"]},"t":"12"}"#), &mut scratch);
            let mut rows = Rows::default();
            let _ = rules.get_mut(0).expect("one rule").evaluate(&input, &mut rows);
            for record in rows.drain() {
                let _ = record.to_map().to_json();
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            for diagnostic in found {
                assert!(diagnostic.span.start <= diagnostic.span.end);
                assert!(diagnostic.span.end as usize <= text.len());
                let _ = diagnostic.render("r", text);
            }
        }
    }
}

/// A small generator of numbers (splitmix64): the same seed gives the same run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }

    pub(super) fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

const PIECES: [&str; 62] = [
    "SELECT ",
    "select",
    "FROM ",
    "WHERE ",
    "AS ",
    "AND ",
    "OR ",
    "NOT ",
    "IN ",
    "IS ",
    "NULL ",
    "CASE ",
    "WHEN ",
    "THEN ",
    "ELSE ",
    "END ",
    "FOREACH ",
    "div ",
    "mod ",
    "*",
    ",",
    ".",
    "..",
    "(",
    ")",
    "[",
    "]",
    "=",
    "!=",
    "<>",
    "<",
    "<=",
    ">",
    ">=",
    "=~",
    "+",
    "-",
    "/",
    "'t/#'",
    "\"t/#\"",
    "'",
    "\"",
    "payload",
    "payload.a.b",
    "payload.t ",
    "topic ",
    "qos ",
    "clientid",
    "x ",
    "abs",
    "concat",
    "coalesce(",
    "1",
    " 2.5 ",
    "-9223372036854775807",
    "1e308",
    "--",
    "\n",
    " ",
    "ü",
    "\0",
    "true ",
];

#[test]
fn any_text_is_refused_or_runs() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let mut text = String::new();
        if random.below(2) == 0 {
            text.push_str("SELECT ");
        }
        for _ in 0..random.below(24) {
            text.push_str(random.pick(&PIECES));
        }
        if random.below(2) == 0 {
            text.push_str(" FROM \"t\"");
        }
        sql(&text);
    }
}

#[test]
fn a_good_rule_with_bytes_changed_is_refused_or_runs() {
    let good = "SELECT payload.a.b[1] AS x.y, CASE WHEN qos > 1 THEN 'a' ELSE \"topic\" END AS c, concat(topic, 1.5) AS d \
                FROM \"t/#\", 'u' WHERE (payload.t > 10 AND NOT topic =~ 'x/+') OR clientid IN ('a', 'b') -- end";
    sql(good);
    let mut random = Random(2);
    for _ in 0..10_000 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = b' ' + u8::try_from(random.below(95)).expect("small"),
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        sql(&String::from_utf8_lossy(&bytes));
    }
}
