//! What is wrong with a scenario file: a sentence, the line, a caret below it.

use std::fmt::Write as _;
use std::ops::Range;

/// In front of what is no error, but help that was asked for.
pub(crate) const HELP: &str = "\u{1}";

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(crate) message: String,
    /// Where, as a range of bytes.
    pub(crate) span: Option<Range<usize>>,
    /// What stands after the caret; perhaps empty.
    pub(crate) label: String,
}

impl Diagnostic {
    pub(crate) fn new(message: impl Into<String>, span: Option<Range<usize>>, label: impl Into<String>) -> Self {
        Self { message: message.into(), span, label: label.into() }
    }

    /// What was asked for instead of a run.
    pub(crate) fn help(text: String) -> Self {
        Self::new(text, None, HELP)
    }

    /// Draws it for people.
    fn render(&self, file: &str, text: &str, out: &mut String) {
        // Writing to a string does not fail.
        let _ = writeln!(out, "error[L0008]: {}", printable(&self.message));
        let Some(span) = &self.span else { return };
        let start = boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = boundary(text, span.end).clamp(start, line_end.max(start));
        let number = (text[..start].matches('\n').count() + 1).to_string();
        let before = text[line_start..start].chars().count();
        let width = text[start..end].chars().count().max(1);
        let line = printable(&text[line_start..line_end].trim_end_matches('\r').replace('\t', " "));
        let gutter = " ".repeat(number.len());
        let _ = writeln!(out, "{gutter}--> {}:{number}:{}", printable(file), before + 1);
        let _ = writeln!(out, " {number} | {line}");
        let _ = writeln!(out, " {gutter} | {}{} {}", " ".repeat(before), "^".repeat(width), printable(&self.label));
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
}

/// All of them as text, in the order of the file, and the line that sums them up.
pub(crate) fn render(diagnostics: &[Diagnostic], file: &str, text: &str) -> String {
    if let Some(help) = diagnostics.iter().find(|diagnostic| diagnostic.label == HELP) {
        return format!("{HELP}{}", help.message);
    }
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|diagnostic| diagnostic.span.as_ref().map_or(0, |span| span.start));
    let mut out = String::new();
    sorted.iter().for_each(|diagnostic| diagnostic.render(file, text, &mut out));
    let _ = write!(out, "{} error{}; nothing was started", sorted.len(), if sorted.len() == 1 { "" } else { "s" });
    out
}

/// The name that was meant, perhaps.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.chars().count().max(word.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Control characters escaped, so that a file cannot steer a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
