//! Why WHERE was true or false: its terms, each evaluated by itself on the same event, and the values that they read.
//!
//! It works on the text alone. What cannot be taken apart is left unsaid.

use std::ops::Range;

use millrace_core::value::Value;
use millrace_rules::config::{Compat, RuleConfig};
use millrace_rules::token::{Token, TokenKind, tokens};

use super::sample::Sample;
use super::trial::{Answer, Trial, values};

/// Values that are shown at most.
const VALUES_MAX: usize = 6;
/// Characters of a value or term that are shown.
const SHOWN: usize = 80;
/// The name of the column that a probe reads.
const PROBE: &str = "probe of a condition";

/// `WHERE payload.temp > 25 was false; payload.temp = 21.5`, if it can be said.
#[must_use]
pub fn condition(sql: &str, compat: Compat, sample: &Sample, seed: Option<u64>) -> Option<String> {
    let tokens = tokens(sql).ok()?;
    let parts = Parts::of(&tokens)?;
    let probe = Probe { sql, parts: &parts, compat, sample, seed };
    let whole = parts.condition.clone();
    let terms = terms(&tokens, &parts);
    let term = terms
        .iter()
        .find(|term| !matches!(probe.value(&sql[(*term).clone()]), Some(Value::Bool(true))))
        .cloned()
        .unwrap_or(whole);
    let text = &sql[term.clone()];
    let Value::Bool(value) = probe.value(text)? else { return None };
    let mut said = format!("WHERE {} was {value}", short(text));
    let mut shown: Vec<&str> = Vec::new();
    for path in paths(&tokens, &term).into_iter().map(|range| &sql[range]) {
        if shown.len() < VALUES_MAX
            && !shown.contains(&path)
            && let Some(met) = probe.value(path)
        {
            said.push_str(if shown.is_empty() { "; " } else { ", " });
            said.push_str(&format!("{} = {}", short(path), short(&met.to_json())));
            shown.push(path);
        }
    }
    Some(said)
}

/// The parts of a rule's text.
struct Parts {
    /// What stands between SELECT and FROM; of FOREACH nothing.
    fields: Option<Range<usize>>,
    /// What stands between FROM and WHERE.
    sources: Range<usize>,
    /// What stands behind WHERE.
    condition: Range<usize>,
}

fn start(token: &Token<'_>) -> usize {
    token.span.start as usize
}

fn end(token: &Token<'_>) -> usize {
    token.span.end as usize
}

fn is_word(token: &Token<'_>, word: &str) -> bool {
    matches!(token.kind, TokenKind::Name(name) if name.eq_ignore_ascii_case(word))
}

/// The tokens that stand in no bracket and in no CASE, by their places in the list.
fn outer<'t, 's>(tokens: &'t [Token<'s>]) -> impl Iterator<Item = (usize, &'t Token<'s>)> {
    let mut depth = 0_usize;
    tokens.iter().enumerate().filter(move |(_, token)| {
        let (opens, closes) = match token.kind {
            TokenKind::Symbol(symbol) => (matches!(symbol, "(" | "["), matches!(symbol, ")" | "]")),
            _ => (is_word(token, "case"), is_word(token, "end")),
        };
        depth = depth.saturating_sub(usize::from(closes));
        let is_outer = depth == 0;
        depth += usize::from(opens);
        is_outer
    })
}

impl Parts {
    fn of(tokens: &[Token<'_>]) -> Option<Self> {
        let first = tokens.first()?;
        let (from_at, from) = outer(tokens).find(|(_, token)| is_word(token, "from"))?;
        let (_, condition) = outer(tokens).find(|(at, token)| *at > from_at && is_word(token, "where"))?;
        let last = tokens.iter().rev().find(|token| token.kind != TokenKind::End)?;
        Some(Self {
            fields: is_word(first, "select").then(|| end(first)..start(from)),
            sources: end(from)..start(condition),
            condition: end(condition)..end(last),
        })
    }
}

fn inside<'t, 's>(tokens: &'t [Token<'s>], range: &Range<usize>) -> &'t [Token<'s>] {
    let from = tokens.iter().position(|token| start(token) >= range.start).unwrap_or(tokens.len());
    let to = tokens.iter().position(|token| end(token) > range.end || token.kind == TokenKind::End);
    tokens.get(from..to.unwrap_or(tokens.len())).unwrap_or_default()
}

/// What AND joins, if nothing binds looser.
fn terms(tokens: &[Token<'_>], parts: &Parts) -> Vec<Range<usize>> {
    let tokens = inside(tokens, &parts.condition);
    if outer(tokens).any(|(_, token)| is_word(token, "or")) {
        return vec![parts.condition.clone()];
    }
    let mut terms = Vec::new();
    let mut from = parts.condition.start;
    for (_, token) in outer(tokens).filter(|(_, token)| is_word(token, "and")) {
        terms.push(from..start(token));
        from = end(token);
    }
    terms.push(from..parts.condition.end);
    terms
}

/// Names with the way into them, `payload.a[1]`, that are no functions.
fn paths(tokens: &[Token<'_>], range: &Range<usize>) -> Vec<Range<usize>> {
    let tokens = inside(tokens, range);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begin = at;
        at += 1;
        if !matches!(tokens[begin].kind, TokenKind::Name(_) | TokenKind::Quoted(_)) {
            continue;
        }
        loop {
            match &tokens[at..] {
                [dot, name, ..]
                    if dot.kind == TokenKind::Symbol(".")
                        && !matches!(name.kind, TokenKind::Symbol(_) | TokenKind::Float(_)) =>
                {
                    at += 2;
                }
                [open, Token { kind: TokenKind::Int(_), .. }, close, ..]
                    if open.kind == TokenKind::Symbol("[") && close.kind == TokenKind::Symbol("]") =>
                {
                    at += 3;
                }
                _ => break,
            }
        }
        let calls = tokens.get(at).is_some_and(|token| token.kind == TokenKind::Symbol("("));
        if !calls {
            found.push(start(&tokens[begin])..end(&tokens[at - 1]));
        }
    }
    found
}

/// What evaluates a part of a rule by itself.
struct Probe<'a> {
    sql: &'a str,
    parts: &'a Parts,
    compat: Compat,
    sample: &'a Sample,
    seed: Option<u64>,
}

impl Probe<'_> {
    /// The value of an expression, with the names that the fields give; without them if that is no rule.
    fn value(&self, expression: &str) -> Option<Value<'static>> {
        let fields = self.parts.fields.clone().map(|fields| format!("{},", &self.sql[fields]));
        fields.as_deref().into_iter().chain([""]).find_map(|fields| {
            let sources = &self.sql[self.parts.sources.clone()];
            // A comment may stand at the end of each part.
            let sql = format!("SELECT {fields}\n({expression}\n) AS \"{PROBE}\" FROM {sources}");
            let config = RuleConfig { sql, compat: self.compat, ..RuleConfig::default() };
            let (answer, _) = Trial::new("probe", &config).ok()?.run(self.sample, self.seed);
            let Answer::Rows(records) = answer else { return None };
            values(&records).first()?.member(PROBE).cloned()
        })
    }
}

/// On one line, and not too long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(sql: &str, event: &str) -> Option<String> {
        let sources = ["t/#".to_owned()];
        let taken = Sample::parse("event", event, &sources, 0).expect("it is an event");
        condition(sql, Compat::V5, &taken.sample, Some(0))
    }

    #[test]
    fn the_term_that_was_false_is_named_with_what_it_read() {
        let sql =
            "SELECT payload.a AS a FROM \"t/#\" WHERE a = 1 AND (payload.b > 5 or topic = 'x') and qos = 0 -- end";
        assert_eq!(
            why(sql, r#"{"payload":{"a":1,"b":2}}"#).expect("it can be said"),
            "WHERE (payload.b > 5 or topic = 'x') was false; payload.b = 2, topic = \"t/a\""
        );
        assert_eq!(
            why(sql, r#"{"payload":{"a":1,"b":9}}"#).expect("it can be said"),
            "WHERE a = 1 AND (payload.b > 5 or topic = 'x') and qos = 0 was true; a = 1, payload.b = 9, topic = \"t/a\", qos = 0"
        );
    }

    #[test]
    fn what_cannot_be_taken_apart_is_left_unsaid() {
        assert_eq!(why("SELECT * FROM \"t/#\"", "{}"), None);
        assert_eq!(why("SELECT * FROM \"t/#\" WHERE payload.a > 1", r#"{"payload":"no JSON"}"#), None);
    }
}
