//! What is wrong with a rule, as data: code, place, words, remedy; and how a terminal shows it.

use std::fmt::Write;

use serde::Serialize;

/// A part of the rule's text, in bytes: from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// From `start` up to `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }

    /// From the start of this one to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.end) }
    }
}

/// Whether a rule can run in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One thing to say about a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Stable code, `R` and four digits.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// What to write in place of the span, where that is known.
    pub replacement: Option<String>,
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, span, message: message.into(), help: None, replacement: None }
    }

    /// The same, with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with what to write instead.
    #[must_use]
    pub fn replace(mut self, replacement: impl Into<String>) -> Self {
        self.replacement = Some(replacement.into());
        self
    }

    /// Words for a terminal: message, place, the line itself and a caret under the mistake.
    #[must_use]
    pub fn render(&self, rule: &str, sql: &str) -> String {
        self.render_in(&format!("rules.{rule}"), sql)
    }

    /// The same for a text that has another name than that of a rule.
    #[must_use]
    pub fn render_in(&self, name: &str, sql: &str) -> String {
        let place = Place::of(self.span, sql);
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let number = place.line.to_string();
        let mut out = String::new();
        // The carets go under characters, not bytes; a tab stays a tab, so that they line up with the line above.
        let indent: String = place.before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(place.marked.chars().count().max(1));
        writeln!(out, "{word}[{}]: {}", self.code, self.message).expect("a String takes everything");
        writeln!(out, " --> {name}, line {number}, column {}", place.before.chars().count() + 1)
            .expect("a String takes everything");
        writeln!(out, "  {number} | {}", place.text).expect("a String takes everything");
        write!(out, "  {} | {indent}{carets}", " ".repeat(number.len())).expect("a String takes everything");
        if let Some(help) = &self.help {
            write!(out, " {help}").expect("a String takes everything");
        }
        out
    }
}

/// Line and column of the start of a span, both from 1; columns are characters.
#[must_use]
pub fn line_and_column(span: Span, sql: &str) -> (usize, usize) {
    let place = Place::of(span, sql);
    (place.line, place.before.chars().count() + 1)
}

struct Place<'s> {
    line: usize,
    text: &'s str,
    before: &'s str,
    marked: &'s str,
}

impl<'s> Place<'s> {
    fn of(span: Span, sql: &'s str) -> Self {
        let start = sql.floor_char_boundary(span.start as usize);
        let line_start = sql[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = sql[start..].find('\n').map_or(sql.len(), |at| start + at);
        let end = sql.ceil_char_boundary(span.end as usize).clamp(start, line_end);
        Self {
            line: sql[..line_start].matches('\n').count() + 1,
            text: &sql[line_start..line_end],
            before: &sql[line_start..start],
            marked: &sql[start..end],
        }
    }
}

/// The word among `known` that was probably meant, if one is near enough.
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let far = word.chars().count().div_ceil(3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, changes and swaps of neighbours between two words, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let a: Vec<char> = a.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let mut best = (rows[i - 1][j] + 1)
                    .min(rows[i][j - 1] + 1)
                    .min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_mistake() {
        let sql = "SELECT payload.level FROM \"t/#\"\nWHERE payload.level = \"high\"";
        let start = sql.find("\"high\"").expect("there");
        let diagnostic = Diagnostic::error(
            "R0102",
            Span::new(start, start + 6),
            "`\"high\"` in double quotes names a field, and no event has it",
        )
        .help("for text write 'high'");
        assert_eq!(
            diagnostic.render("hot", sql),
            "error[R0102]: `\"high\"` in double quotes names a field, and no event has it\n\
             \x20--> rules.hot, line 2, column 23\n\
             \x20 2 | WHERE payload.level = \"high\"\n\
             \x20   |                       ^^^^^^ for text write 'high'"
        );
    }

    #[test]
    fn a_caret_is_placed_by_characters_and_never_outside_the_text() {
        let sql = "SELECT 'grün' ?";
        let rendered = Diagnostic::error("R0001", Span::new(15, 16), "x").render("r", sql);
        assert!(rendered.contains("column 15"), "{rendered}");
        for span in [Span::new(0, 0), Span::new(11, 12), Span::new(900, 1000)] {
            let _ = Diagnostic::error("R0001", span, "x").render("r", sql);
        }
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_near() {
        let known = ["clientid", "username", "topic", "payload"];
        assert_eq!(nearest("cliendid", known), Some("clientid"));
        assert_eq!(nearest("ClientId", known), Some("clientid"));
        assert_eq!(nearest("paylaod", known), Some("payload"));
        assert_eq!(nearest("temperature", known), None);
    }
}
