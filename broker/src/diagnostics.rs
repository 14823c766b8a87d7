//! What an operator is told when something is wrong: a code, one sentence, the place, a way out.
//!
//! A [`Diagnostic`] is plain data; [`Diagnostic::render`] draws it for people, with the line and a caret below it.
//! Each code has an entry in [`crate::explain`].

use std::fmt::Write as _;
use std::ops::Range;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is started.
    Error,
    /// It works, though perhaps not as meant.
    Warning,
}

/// Where in a text something was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path of the file, or another name for the text.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The whole line.
    pub text: String,
    /// Characters that the caret underlines, at least 1.
    pub width: usize,
    /// What stands after the caret; perhaps empty.
    pub label: String,
}

impl Place {
    /// The place of the byte range in a text.
    #[must_use]
    pub fn of(file: &str, text: &str, range: &Range<usize>) -> Self {
        let start = floor_boundary(text, range.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = floor_boundary(text, range.end).clamp(start, line_end.max(start));
        Self {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: text[line_start..line_end].trim_end_matches('\r').to_owned(),
            width: text[start..end].chars().count().max(1),
            label: String::new(),
        }
    }

    /// The same place with words after the caret.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code, such as `C0101`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence: what was met, what is allowed.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What to type, a line each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), place: None, help: Vec::new() }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same with its place.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// The same with one more line of help.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }

    /// As text for people, each line ended. Control characters of what was met are escaped.
    #[must_use]
    pub fn render(&self) -> String {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{word}[{}]: {}\n", self.code, printable(&self.message));
        if let Some(place) = &self.place {
            let number = place.line.to_string();
            let gutter = " ".repeat(number.len());
            // Tabs become one space, so that the caret stands below what it means.
            let line = printable(&place.text.replace('\t', " "));
            let caret = "^".repeat(place.width);
            let indent = " ".repeat(place.column - 1);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gutter}--> {}:{}:{}", printable(&place.file), place.line, place.column);
            let _ = writeln!(text, " {number} | {line}");
            let _ = writeln!(text, " {gutter} | {indent}{caret} {}", printable(&place.label));
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for line in &self.help {
            let _ = writeln!(text, "  {}", printable(line));
        }
        text
    }
}

/// `many` diagnostics as text, and the line that sums them up.
#[must_use]
pub fn render_all(diagnostics: &[Diagnostic], consequence: &str) -> String {
    let mut text: String = diagnostics.iter().map(Diagnostic::render).collect();
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        let _ = writeln!(text, "{errors} error{}; {consequence}", if errors == 1 { "" } else { "s" });
    }
    text
}

/// Control characters escaped, so that what was read from elsewhere cannot steer a terminal or forge a line.
#[must_use]
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// The same for text of several lines.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// The candidate that the word was most likely meant to be, if one is near.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(word.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_its_line_and_a_caret() {
        let text = "[listeners.default]\nmax_conections = 50_000\n";
        let place = Place::of("/etc/millrace/millrace.toml", text, &(20..34));
        let shown = Diagnostic::error("C0101", "unknown key `max_conections`")
            .at(Some(place.labelled("did you mean `max_connections`?")))
            .render();
        assert_eq!(
            shown,
            "error[C0101]: unknown key `max_conections`\n --> /etc/millrace/millrace.toml:2:1\n 2 | max_conections = \
             50_000\n   | ^^^^^^^^^^^^^^ did you mean `max_connections`?\n"
        );
    }

    #[test]
    fn places_count_characters_and_survive_any_range() {
        let text = "ä = \"ö\"\nb";
        for start in 0..=text.len() + 2 {
            for end in 0..=text.len() + 2 {
                let place = Place::of("f", text, &(start..end));
                assert!(place.column >= 1 && place.width >= 1, "{start}..{end}");
            }
        }
        assert_eq!(Place::of("f", text, &(5..9)).column, 5);
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let shown = Diagnostic::error("C0101", "unknown key `\u{1b}[31m`\n").render();
        assert_eq!(shown, "error[C0101]: unknown key `\\u{1b}[31m`\\n\n");
    }

    #[test]
    fn the_nearest_word_is_named_only_when_it_is_near() {
        assert_eq!(nearest("max_conections", ["max_connections", "port"]), Some("max_connections"));
        assert_eq!(nearest("colour", ["port", "address"]), None);
    }
}
