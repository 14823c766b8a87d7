//! Cases in a TOML file: a rule, an event, the rows that must come of it.
//!
//! ```toml
//! config = "millrace.toml"     # where `rule` looks; or `sql` here or in the case
//! now = 1653561612000          # clock and seed are fixed; these are what holds without them
//! seed = 0
//! [[case]]
//! name = "hot readings become rows"
//! rule = "hot"
//! event = { topic = "t/1", clientid = "c1", payload = '{"temp":31.5}' }
//! expect = [{ t = 31.5, clientid = "c1" }]     # [] is no row
//! [[case]]
//! name = "a payload that is no JSON fails"
//! rule = "hot"
//! event = { payload = "31.5 degrees" }
//! expect_error = "R0301"
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use millrace_core::value::Value;
use millrace_rules::RuleConfig;
use millrace_rules::codes;
use millrace_rules::config::Compat;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::sources::{Unread, not_toml, rules_of};
use super::{read, shown, typed};
use crate::diagnostics::{Diagnostic, Place, nearest};

/// The clock where a file sets none: 2022-05-26T10:40:12Z.
pub const NOW: u64 = 1_653_561_612_000;
/// What random numbers follow from where a file says nothing.
pub const SEED: u64 = 0;

const FILE_KEYS: [&str; 7] = ["config", "rule", "sql", "compat", "now", "seed", "case"];
const CASE_KEYS: [&str; 12] = [
    "name",
    "rule",
    "sql",
    "compat",
    "now",
    "seed",
    "event",
    "event_file",
    "expect",
    "expect_error",
    "exact",
    "description",
];

/// One case.
#[derive(Debug)]
pub struct Case {
    /// What it holds, as a sentence.
    pub name: String,
    /// The line on which it begins.
    pub line: usize,
    /// What a diagnostic calls the rule's text.
    pub title: String,
    /// The rule.
    pub rule: RuleConfig,
    /// The event; without one the default message.
    pub event: Option<Value<'static>>,
    /// What must come of it.
    pub expect: Expect,
    /// The clock.
    pub now: u64,
    /// What random numbers follow from.
    pub seed: u64,
}

/// What must come of an event.
#[derive(Debug)]
pub enum Expect {
    /// These rows, in this order.
    Rows {
        /// The rows.
        rows: Vec<Value<'static>>,
        /// Whether columns that are not named count.
        exact: bool,
    },
    /// The rule is refused or fails with this code.
    Error(String),
}

/// Reads the cases of a file.
///
/// # Errors
/// All that is wrong with it.
pub fn read_cases(path: &Path) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let file = shown(path);
    let text = read(path).map_err(|message| vec![Diagnostic::error("C0121", message)])?;
    let (root, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| not_toml(&file, &text, error)).collect());
    }
    let mut reader = Reader { file: &file, text: &text, directory: path.parent(), found: Vec::new() };
    let cases = reader.file(root.get_ref());
    if reader.found.is_empty() { Ok(cases) } else { Err(reader.found) }
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    directory: Option<&'t Path>,
    found: Vec<Diagnostic>,
}

/// What holds for a case that does not say it itself.
#[derive(Clone, Default)]
struct Defaults {
    rule: Option<(String, Range<usize>)>,
    sql: Option<String>,
    compat: Option<Compat>,
    now: Option<u64>,
    seed: Option<u64>,
}

type Rules = BTreeMap<String, (String, RuleConfig)>;

impl Reader<'_> {
    fn wrong(&mut self, span: &Range<usize>, message: impl Into<String>, label: impl Into<String>) {
        let place = Place::of(self.file, self.text, span).labelled(label);
        self.found.push(Diagnostic::error("C0121", message).at(Some(place)));
    }

    fn file(&mut self, root: &DeTable<'_>) -> Vec<Case> {
        self.known(root, &FILE_KEYS);
        let rules = self.config(root);
        let defaults = self.defaults(root, Defaults::default());
        let Some((_, value)) = entry(root, "case") else {
            self.wrong(&(0..0), "there is no [[case]]", "write [[case]] with name, rule, event and expect");
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(&value.span(), "`case` is a list of tables", "write [[case]]");
            return Vec::new();
        };
        let mut cases = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => cases.extend(self.case(table, &item.span(), &rules, &defaults)),
                _ => self.wrong(&item.span(), "a case is a table", "write [[case]]"),
            }
        }
        cases
    }

    /// Keys that mean nothing are slips.
    fn known(&mut self, table: &DeTable<'_>, keys: &[&str]) {
        for (key, _) in table.iter() {
            let name = key.get_ref();
            if !keys.contains(&&**name) {
                let label = nearest(name, keys.iter().copied()).map_or_else(
                    || format!("known here: {}", keys.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                self.wrong(&key.span(), format!("unknown key `{name}`"), label);
            }
        }
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<(String, Range<usize>)> {
        let (_, value) = entry(table, key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.to_string(), value.span())),
            _ => {
                self.wrong(&value.span(), format!("`{key}` wants text"), "write it in quotes");
                None
            }
        }
    }

    fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<u64> {
        let (_, value) = entry(table, key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            self.wrong(&value.span(), format!("`{key}` wants a whole number from 0"), "");
        }
        number
    }

    fn config(&mut self, root: &DeTable<'_>) -> Rules {
        let Some((name, span)) = self.text(root, "config") else { return Rules::new() };
        let path = self.beside(&name);
        match rules_of(&path) {
            Ok(rules) => rules.into_iter().map(|rule| (rule.name, (rule.title, rule.config))).collect(),
            Err(Unread::File(message)) => {
                self.wrong(&span, message, "the path is taken from the directory of this file");
                Rules::new()
            }
            Err(Unread::Config(diagnostics)) => {
                self.found.extend(diagnostics);
                Rules::new()
            }
        }
    }

    fn beside(&self, name: &str) -> std::path::PathBuf {
        self.directory.unwrap_or_else(|| Path::new("")).join(name)
    }

    fn defaults(&mut self, table: &DeTable<'_>, over: Defaults) -> Defaults {
        let compat = self.text(table, "compat").and_then(|(version, span)| match version.as_str() {
            "4.x" => Some(Compat::V4),
            "5.x" => Some(Compat::V5),
            _ => {
                self.wrong(&span, format!("{version:?} is not a choice of `compat`"), "allowed: 4.x, 5.x");
                None
            }
        });
        let (rule, sql) = (self.text(table, "rule"), self.text(table, "sql").map(|(sql, _)| sql));
        if let (Some((_, span)), Some(_)) = (&rule, &sql) {
            self.wrong(span, "`rule` and `sql` both name the rule", "keep one of them");
        }
        let named = rule.is_some() || sql.is_some();
        Defaults {
            rule: rule.or(over.rule.filter(|_| !named)),
            sql: sql.or(over.sql.filter(|_| !named)),
            compat: compat.or(over.compat),
            now: self.number(table, "now").or(over.now),
            seed: self.number(table, "seed").or(over.seed),
        }
    }

    fn case(&mut self, table: &DeTable<'_>, span: &Range<usize>, rules: &Rules, over: &Defaults) -> Option<Case> {
        self.known(table, &CASE_KEYS);
        let name = match self.text(table, "name") {
            Some((name, _)) => name,
            None => {
                if entry(table, "name").is_none() {
                    self.wrong(span, "a case has no `name`", "say in a sentence what it holds");
                }
                String::new()
            }
        };
        let of = self.defaults(table, over.clone());
        let rule = self.rule(&of, span, rules);
        let event = self.event(table);
        let expect = self.expect(table, span);
        let (title, rule) = rule?;
        Some(Case {
            name,
            line: Place::of(self.file, self.text, span).line,
            title,
            rule,
            event: event?,
            expect: expect?,
            now: of.now.unwrap_or(NOW),
            seed: of.seed.unwrap_or(SEED),
        })
    }

    fn rule(&mut self, of: &Defaults, span: &Range<usize>, rules: &Rules) -> Option<(String, RuleConfig)> {
        match (&of.rule, &of.sql) {
            (_, Some(sql)) => {
                let compat = of.compat.unwrap_or_default();
                Some(("sql".to_owned(), RuleConfig { sql: sql.clone(), compat, ..RuleConfig::default() }))
            }
            (Some((name, span)), None) => {
                if let Some((title, rule)) = rules.get(name) {
                    let compat = of.compat.unwrap_or(rule.compat);
                    return Some((title.clone(), RuleConfig { compat, ..rule.clone() }));
                }
                let known: Vec<&str> = rules.keys().map(String::as_str).collect();
                let label = match (nearest(name, known.iter().copied()), known.is_empty()) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, true) => {
                        "no `config` with rules is named; write config = \"millrace.toml\" on top".to_owned()
                    }
                    (None, false) => format!("there are: {}", known.join(", ")),
                };
                self.wrong(span, format!("there is no rule `{name}`"), label);
                None
            }
            (None, None) => {
                self.wrong(span, "a case has neither `rule` nor `sql`", "name a rule of the config, or write one");
                None
            }
        }
    }

    /// `Some(None)` if the case has none, `None` if it is wrong.
    fn event(&mut self, table: &DeTable<'_>) -> Option<Option<Value<'static>>> {
        if let Some((key, value)) = entry(table, "event") {
            if entry(table, "event_file").is_some() {
                self.wrong(&key.span(), "`event` and `event_file` both give the event", "keep one of them");
            }
            return self.value(value).map(Some);
        }
        let Some((name, span)) = self.text(table, "event_file") else {
            return entry(table, "event_file").is_none().then_some(None);
        };
        match read(&self.beside(&name)).map(|text| typed::from_json(&text)) {
            Ok(Ok(value)) => Some(Some(value)),
            Ok(Err(error)) => {
                self.wrong(&span, format!("the event in {name} is {error}"), "");
                None
            }
            Err(message) => {
                self.wrong(&span, message, "the path is taken from the directory of this file");
                None
            }
        }
    }

    fn expect(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Expect> {
        let exact = match entry(table, "exact").map(|(_, value)| (value.get_ref(), value.span())) {
            None => true,
            Some((DeValue::Boolean(exact), _)) => *exact,
            Some((_, span)) => {
                self.wrong(&span, "`exact` is true or false", "");
                true
            }
        };
        match (entry(table, "expect"), self.text(table, "expect_error")) {
            (Some((key, _)), Some(_)) => {
                self.wrong(&key.span(), "`expect` and `expect_error` cannot both come true", "keep one of them");
                None
            }
            (None, Some((code, span))) => {
                let code = code.to_ascii_uppercase();
                if codes::explain(&code).is_none() {
                    let label = nearest(&code, codes::CODES.iter().map(|known| known.code)).map_or_else(
                        || "`millrace explain all` lists them".to_owned(),
                        |near| format!("did you mean {near}?"),
                    );
                    self.wrong(&span, format!("there is no code {code}"), label);
                    return None;
                }
                Some(Expect::Error(code))
            }
            (Some((_, value)), None) => match self.value(value)? {
                Value::List(rows) => Some(Expect::Rows { rows, exact }),
                _ => {
                    self.wrong(&value.span(), "`expect` wants a list of rows", "[] is no row, [{ a = 1 }] is one");
                    None
                }
            },
            (None, None) => {
                if entry(table, "expect_error").is_none() {
                    self.wrong(span, "a case has neither `expect` nor `expect_error`", "expect = [] is no row");
                }
                None
            }
        }
    }

    /// A value; a text in which JSON stands is that JSON, which can say null.
    fn value(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value<'static>> {
        if let DeValue::String(text) = value.get_ref() {
            return match typed::from_json(text) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.wrong(
                        &value.span(),
                        format!("the text is {error}"),
                        "write a table, or JSON in single quotes",
                    );
                    None
                }
            };
        }
        self.plain(value).map(typed::with_bytes)
    }

    fn plain(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value<'static>> {
        Some(match value.get_ref() {
            DeValue::String(text) => Value::Text(Cow::Owned(text.to_string())),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(number) => match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(number) => Value::Int(number),
                Err(_) => {
                    self.wrong(&value.span(), "a whole number has at most 64 bits with sign", "");
                    return None;
                }
            },
            DeValue::Float(number) => match number.as_str().replace('_', "").parse().ok().and_then(Value::float) {
                Some(number) => number,
                None => {
                    self.wrong(&value.span(), "rules have no infinite numbers", "");
                    return None;
                }
            },
            DeValue::Datetime(_) => {
                self.wrong(&value.span(), "rules have no dates", "write text in quotes, or milliseconds as a number");
                return None;
            }
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.plain(item)).collect::<Option<_>>()?),
            DeValue::Table(table) => Value::Map(
                table
                    .iter()
                    .map(|(key, value)| Some((Cow::Owned(key.get_ref().to_string()), self.plain(value)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

type Key<'t> = &'t Spanned<Cow<'t, str>>;

fn entry<'t>(table: &'t DeTable<'t>, key: &str) -> Option<(Key<'t>, &'t Spanned<DeValue<'t>>)> {
    table.iter().find(|(name, _)| name.get_ref() == key)
}
