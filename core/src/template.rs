//! Templates: a text with `${…}` in it, read once, bound to the columns of a rule, rendered over its rows.
//!
//! - `${a.b[1]}`: a column and the way into it; elements count from 1, or from -1 backwards; `'…'` around a name that
//!   has a `.`, `[`, `}` or `:-` in it, with `''` for a quote. `${.a}` is `${a}`, `${.}` the whole row as JSON.
//! - `${a:-none}`: what is written if the value is null or missing; without it nothing is.
//! - `$${` writes `${`.
//!
//! Numbers are written compactly, lists and maps as JSON, bytes as they are. The way may lead into a text that holds
//! JSON itself; into any other text it leads to nothing.
//!
//! Invariants: rendering costs no more than its allowance, whatever the row holds.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::json::Step;
use crate::value::{Columns, Record, Value};

/// Bytes of the text of a template.
pub const TEMPLATE_BYTES_MAX: usize = 64 << 10;
/// Values in one template.
pub const VALUES_MAX: usize = 256;
/// Steps of one path.
pub const STEPS_MAX: usize = 64;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value(Slot),
}

/// One `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    /// The column; absent for the whole row.
    root: Option<Box<str>>,
    /// Where that column is, as far as is known.
    column: usize,
    steps: Box<[Step]>,
    default: Box<str>,
    /// Of the path, in the text.
    span: Range<usize>,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Stable code, `R02` and two digits.
    pub code: &'static str,
    /// Where it is, in bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Rendering would have cost more than its allowance: bytes written, and bytes of JSON looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text would be too large, or take too long to make")]
pub struct TooLarge;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where it is not one, or over a limit.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Parser { text, at: 0 }.template()
    }

    /// A template that writes the whole row as JSON.
    #[must_use]
    pub fn whole_row() -> Self {
        let slot = Slot { root: None, column: 0, steps: Box::default(), default: Box::default(), span: 0..0 };
        Self { parts: vec![Part::Value(slot)] }
    }

    /// Notes where its columns are, so that rendering does not look for them. A rule over several events makes rows
    /// with other columns for each; any of them will do.
    ///
    /// # Errors
    /// The first column that is nowhere among them.
    pub fn bind(&mut self, columns: &[&Columns]) -> Result<(), TemplateError> {
        let mut missing = Ok(());
        for part in &mut self.parts {
            let Part::Value(slot) = part else { continue };
            let Some(root) = &slot.root else { continue };
            let place = |columns: &&Columns| columns.names().iter().position(|name| name == root);
            match columns.iter().find_map(place) {
                Some(column) => slot.column = column,
                None if missing.is_ok() => missing = Err(no_column(root, slot.span.clone(), columns)),
                None => {}
            }
        }
        missing
    }

    /// The text, if there is no `${…}` in it.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The parts of it that are the same for each row, in order.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Value(_) => None,
        })
    }

    /// What every text that it makes begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether it is exactly one `${…}`, so that it has a [`Template::value`].
    #[must_use]
    pub fn is_value(&self) -> bool {
        matches!(self.parts[..], [Part::Value(_)])
    }

    /// The value of a template that is exactly one `${…}`; its default as a text. Null if it is not.
    ///
    /// # Errors
    /// If it costs more than the allowance.
    pub fn value<'r>(&self, record: &'r Record, allowance: &mut usize) -> Result<Value<'r>, TooLarge> {
        let [Part::Value(slot)] = &self.parts[..] else { return Ok(Value::Null) };
        Ok(match slot.value(record, allowance)? {
            Value::Null if !slot.default.is_empty() => Value::Text(slot.default.to_string().into()),
            value => value,
        })
    }

    /// Appends what it makes of a row.
    ///
    /// # Errors
    /// If it costs more than the allowance, from which what it costs is taken.
    pub fn render(&self, record: &Record, out: &mut Vec<u8>, allowance: &mut usize) -> Result<(), TooLarge> {
        for part in &self.parts {
            match part {
                Part::Text(text) => put(text.as_bytes(), out, allowance)?,
                Part::Value(slot) => match slot.value(record, allowance)? {
                    Value::Null => put(slot.default.as_bytes(), out, allowance)?,
                    value => render_value(&value, out, allowance)?,
                },
            }
        }
        Ok(())
    }
}

/// Appends a value as templates write it; null as nothing.
///
/// # Errors
/// If it costs more than the allowance.
pub fn render_value(value: &Value<'_>, out: &mut Vec<u8>, allowance: &mut usize) -> Result<(), TooLarge> {
    match value {
        Value::Null => Ok(()),
        Value::Text(text) => put(text.as_bytes(), out, allowance),
        Value::Bytes(bytes) => put(bytes, out, allowance),
        value => value.write_json(&mut Bounded { out, allowance }).map_err(|fmt::Error| TooLarge),
    }
}

impl Slot {
    fn value<'r>(&self, record: &'r Record, allowance: &mut usize) -> Result<Value<'r>, TooLarge> {
        let Some(root) = &self.root else { return Ok(record.to_map()) };
        let names = record.columns().names();
        // A rule over several events has rows with different columns.
        let column = match names.get(self.column) {
            Some(name) if name == root => Some(self.column),
            _ => names.iter().position(|name| name == root),
        };
        let Some(column) = column else { return Ok(Value::Null) };
        let mut searched = 0;
        let value = record.at(column, &self.steps, &mut searched);
        spend(searched, allowance)?;
        Ok(value)
    }
}

fn spend(bytes: usize, allowance: &mut usize) -> Result<(), TooLarge> {
    *allowance = allowance.checked_sub(bytes).ok_or(TooLarge)?;
    Ok(())
}

fn put(bytes: &[u8], out: &mut Vec<u8>, allowance: &mut usize) -> Result<(), TooLarge> {
    spend(bytes.len(), allowance)?;
    out.extend_from_slice(bytes);
    Ok(())
}

struct Bounded<'o> {
    out: &'o mut Vec<u8>,
    allowance: &'o mut usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put(text.as_bytes(), self.out, self.allowance).map_err(|TooLarge| fmt::Error)
    }
}

#[cold]
fn no_column(root: &str, span: Range<usize>, columns: &[&Columns]) -> TemplateError {
    let mut names: Vec<&str> = Vec::new();
    for name in columns.iter().flat_map(|columns| columns.names()) {
        if !names.contains(&&**name) {
            names.push(name);
        }
    }
    let help = match names.iter().min_by_key(|name| strange(root, name)).filter(|name| strange(root, name) <= 2) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let mut list = String::new();
            for (at, name) in names.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(list, "{}`{name}`", if at > 0 { ", " } else { "" });
            }
            format!("the rule makes {list}")
        }
    };
    TemplateError { code: "R0204", span, message: format!("the rule makes no column `{root}`"), help }
}

/// How many characters must change to make one word of the other, without regard to case.
fn strange(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let other: Vec<char> = other.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, mine) in one.chars().take(LONGEST).flat_map(char::to_lowercase).enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (index, theirs) in other.iter().enumerate() {
            let changed = before + usize::from(mine != *theirs);
            before = row[index + 1];
            row[index + 1] = changed.min(before + 1).min(row[index] + 1);
        }
    }
    row[other.len()]
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn template(mut self) -> Result<Template, TemplateError> {
        if self.text.len() > TEMPLATE_BYTES_MAX {
            let what = format!("{} bytes are too many for a template", self.text.len());
            return Err(too_much(0..self.text.len(), what, format!("at most {TEMPLATE_BYTES_MAX}")));
        }
        let mut parts = Vec::new();
        let mut values = 0;
        let mut plain = String::new();
        while let Some(dollar) = self.rest().find('$') {
            plain.push_str(&self.rest()[..dollar]);
            self.at += dollar;
            if self.eat("$${") {
                plain.push_str("${");
            } else if self.rest().starts_with("${") {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(Part::Value(self.slot()?));
                values += 1;
                if values > VALUES_MAX {
                    let what = format!("more than {VALUES_MAX} values in one template");
                    return Err(too_much(0..self.text.len(), what, "make the text in the rule".to_owned()));
                }
            } else {
                plain.push('$');
                self.at += 1;
            }
        }
        plain.push_str(self.rest());
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Template { parts })
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// From `${` up to behind `}`.
    fn slot(&mut self) -> Result<Slot, TemplateError> {
        let start = self.at;
        self.at += 2;
        let path_start = self.at;
        let unclosed = |to: usize| TemplateError {
            code: "R0201",
            span: start..to,
            message: "`${` is not closed".to_owned(),
            help: "end it with `}`, or write `$${` for the characters `${`".to_owned(),
        };
        let mut path = Vec::new();
        let dot = self.eat(".");
        let ends = |parser: &Self| parser.rest().starts_with('}') || parser.rest().starts_with(":-");
        if !(dot && ends(self)) {
            loop {
                if path.len() > STEPS_MAX {
                    let what = format!("a path of more than {STEPS_MAX} steps");
                    return Err(too_much(path_start..self.at, what, "read the value in the rule".to_owned()));
                }
                path.push(Step::Name(self.name(start)?));
                while self.rest().starts_with('[') {
                    path.push(self.index()?);
                }
                if !self.eat(".") {
                    break;
                }
            }
        }
        let span = path_start..self.at;
        let mut default = "";
        if self.eat(":-") {
            let end = self.rest().find('}').ok_or_else(|| unclosed(self.text.len()))?;
            default = &self.rest()[..end];
            self.at += end;
        }
        if !self.eat("}") {
            if self.rest().contains('}') {
                return Err(bad_path(self.at..self.at + next_char(self.rest()), "a `.`, `[`, `:-` or `}` comes here"));
            }
            return Err(unclosed(self.text.len()));
        }
        let mut path = path.into_iter();
        let root = path.next().map(|step| match step {
            Step::Name(name) => name.into(),
            Step::Index(index) => index.to_string().into(),
        });
        Ok(Slot { root, column: 0, steps: path.collect(), default: default.into(), span })
    }

    fn name(&mut self, slot: usize) -> Result<String, TemplateError> {
        if self.eat("'") {
            let mut name = String::new();
            loop {
                let Some(quote) = self.rest().find('\'') else {
                    return Err(TemplateError {
                        code: "R0201",
                        span: slot..self.text.len(),
                        message: "the quote in `${` is not closed".to_owned(),
                        help: "end the name with `'`; a quote inside is written twice".to_owned(),
                    });
                };
                name.push_str(&self.rest()[..quote]);
                self.at += quote + 1;
                if !self.eat("'") {
                    return Ok(name);
                }
                name.push('\'');
            }
        }
        let rest = self.rest();
        let end = rest.find(['.', '[', '}']).unwrap_or(rest.len());
        let end = rest[..end].find(":-").unwrap_or(end);
        if end == 0 {
            let help = "name a column, as in `${payload.temp}`; `${.}` is the whole row";
            return Err(bad_path(slot..self.at + next_char(rest), help));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn index(&mut self) -> Result<Step, TemplateError> {
        let rest = self.rest();
        let end = rest.find(']').unwrap_or(rest.len());
        match rest[1..end].parse::<i64>() {
            Ok(index) if index != 0 && end < rest.len() => {
                self.at += end + 1;
                Ok(Step::Index(index))
            }
            _ => Err(TemplateError {
                code: "R0203",
                span: self.at..self.at + (end + 1).min(rest.len()),
                message: "not an index".to_owned(),
                help: "elements count from [1], or from [-1] backwards".to_owned(),
            }),
        }
    }
}

fn next_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn bad_path(span: Range<usize>, help: &str) -> TemplateError {
    TemplateError { code: "R0202", span, message: "not a path".to_owned(), help: help.to_owned() }
}

fn too_much(span: Range<usize>, message: String, help: String) -> TemplateError {
    TemplateError { code: "R0205", span, message, help }
}

#[cfg(test)]
mod tests;
