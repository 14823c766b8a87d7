//! What became of an export: the sums, then a line for each rule and sink that is not as it was, with what to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use millrace_rules::diagnostics::{Diagnostic, Severity, line_and_column};
use serde::Serialize;

use super::differences::Difference;
use super::model::{Imported, Rule, Verdict, short};
use crate::diagnostics::printable;

/// Reasons of one rule that are told in the text; `--json` has all.
const REASONS_SHOWN: usize = 6;

/// How many became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// They do what they did.
    pub taken: usize,
    /// They run, and something of them is gone or other than it was.
    pub changed: usize,
    /// They do not run.
    pub not_supported: usize,
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        self.total += 1;
        match verdict {
            Verdict::Taken => self.taken += 1,
            Verdict::Changed => self.changed += 1,
            Verdict::NotSupported => self.not_supported += 1,
        }
    }
}

/// What became of one rule, sink or source.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// `rule`, `sink` or `source`.
    pub what: &'static str,
    /// Its name in the config, if something of it is written.
    pub name: Option<String>,
    /// What it is in the export.
    pub old: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, and what to do.
    pub reasons: Vec<String>,
    /// What the checker says.
    pub diagnostics: Vec<Said>,
    /// What may mean something else, by the names in `differences`.
    pub differences: Vec<Difference>,
}

/// A diagnostic with its place.
#[derive(Debug, Serialize)]
pub struct Said {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The rest of it.
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
}

/// A difference and the rules that it is about.
#[derive(Debug, Serialize)]
pub struct Group {
    /// Which.
    pub difference: Difference,
    /// In words.
    pub words: &'static str,
    /// Names in the config.
    pub rules: Vec<String>,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The export.
    pub file: String,
    /// The version of EMQX that it is of.
    pub version: String,
    /// Where the config went.
    pub out: Option<String>,
    /// Rules.
    pub rules: Counts,
    /// Sinks.
    pub sinks: Counts,
    /// Each of them.
    pub entries: Vec<Entry>,
    /// What means something else.
    pub differences: Vec<Group>,
    /// What else was in the file.
    pub left_out: Vec<String>,
}

impl Report {
    /// Of this import.
    #[must_use]
    pub fn new(imported: &Imported, file: &str, out: Option<&Path>) -> Self {
        let mut report = Self {
            file: file.to_owned(),
            version: imported.version.clone(),
            out: out.map(|out| out.display().to_string()),
            rules: Counts::default(),
            sinks: Counts::default(),
            entries: Vec::new(),
            differences: Vec::new(),
            left_out: imported.left_out.clone(),
        };
        let mut groups: BTreeMap<Difference, Vec<String>> = BTreeMap::new();
        for rule in &imported.rules {
            report.rules.add(rule.verdict());
            if rule.verdict() != Verdict::NotSupported {
                for difference in &rule.differences {
                    groups.entry(*difference).or_default().push(rule.name.clone());
                }
            }
            report.entries.push(entry(rule));
        }
        for sink in &imported.sinks {
            report.sinks.add(Verdict::NotSupported);
            let mut reasons = vec![format!(
                "this version has no sink of the kind `{}`; its parameters are written commented out, and a sink \
                 of the kind `sqlite` can take its rows",
                sink.kind
            )];
            if let Some(topic) = &sink.own_topic {
                reasons.push(format!(
                    "it took the messages of `{}` by itself; a rule for that is written below it",
                    short(topic, 80)
                ));
            }
            report.entries.push(Entry {
                what: "sink",
                name: Some(sink.name.clone()),
                old: sink.old.clone(),
                verdict: Verdict::NotSupported,
                reasons,
                diagnostics: Vec::new(),
                differences: Vec::new(),
            });
        }
        for source in &imported.sources {
            report.entries.push(Entry {
                what: "source",
                name: None,
                old: source.old.clone(),
                verdict: Verdict::NotSupported,
                reasons: vec![source.why.clone()],
                diagnostics: Vec::new(),
                differences: Vec::new(),
            });
        }
        report.differences = groups
            .into_iter()
            .map(|(difference, rules)| Group { difference, words: difference.words(), rules })
            .collect();
        report
    }

    /// Whether everything was taken or changed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.entries.iter().all(|entry| entry.verdict != Verdict::NotSupported)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let counts = |word: &str, counts: &Counts| {
            format!(
                "{} {word}{}: {} taken, {} changed, {} not supported",
                counts.total,
                if counts.total == 1 { "" } else { "s" },
                counts.taken,
                counts.changed,
                counts.not_supported
            )
        };
        let mut text = format!("{} (EMQX {}): {}", printable(&self.file), self.version, counts("rule", &self.rules));
        if self.sinks.total > 0 {
            text.push_str("; ");
            text.push_str(&counts("sink", &self.sinks));
        }
        if let Some(out) = &self.out {
            let _ = write!(text, " -> {}", printable(out));
        }
        text.push('\n');
        for verdict in [Verdict::Changed, Verdict::NotSupported] {
            for entry in self.entries.iter().filter(|entry| entry.verdict == verdict) {
                entry.tell(&mut text);
            }
        }
        for entry in self.entries.iter().filter(|entry| entry.verdict != Verdict::NotSupported) {
            for said in &entry.diagnostics {
                let _ = writeln!(text, "  warning        {}: {}", entry.shown(), said.words());
            }
        }
        for group in &self.differences {
            let _ = writeln!(text, "  differs        {}: {}", listed(&rules(&group.rules)), group.words);
        }
        if !self.left_out.is_empty() {
            let _ = writeln!(
                text,
                "  left out       {}: only rules and what they write to are read",
                listed(&self.left_out)
            );
        }
        text
    }

    /// For scripts; with the config in it, if it went nowhere else.
    #[must_use]
    pub fn json(&self, config: Option<&str>) -> String {
        #[derive(Serialize)]
        struct Whole<'r> {
            #[serde(flatten)]
            report: &'r Report,
            #[serde(skip_serializing_if = "Option::is_none")]
            config: Option<&'r str>,
        }
        let mut text = serde_json::to_string_pretty(&Whole { report: self, config })
            .expect("a report has only text, numbers and names of fields");
        text.push('\n');
        text
    }
}

fn entry(rule: &Rule) -> Entry {
    let is_refused = rule.verdict() == Verdict::NotSupported;
    let mut reasons = rule.refusals.clone();
    reasons.extend(rule.changes.iter().cloned());
    Entry {
        what: "rule",
        name: (!is_refused || !rule.config.sql.is_empty()).then(|| rule.name.clone()),
        old: rule.old.clone(),
        verdict: rule.verdict(),
        reasons,
        diagnostics: rule
            .diagnostics
            .iter()
            .map(|diagnostic| {
                let (line, column) = line_and_column(diagnostic.span, &rule.config.sql);
                Said { line, column, diagnostic: diagnostic.clone() }
            })
            .collect(),
        differences: rule.differences.clone(),
    }
}

impl Entry {
    /// As the config calls it, or else the export.
    fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("{}s.{name}", self.what),
            None => format!("{} {}", self.what, self.old),
        }
    }

    fn tell(&self, text: &mut String) {
        let (word, errors) = match self.verdict {
            Verdict::NotSupported => ("not supported", Some(Severity::Error)),
            Verdict::Changed | Verdict::Taken => ("changed", None),
        };
        let said = self.diagnostics.iter().filter(|said| Some(said.diagnostic.severity) == errors).map(Said::words);
        let mut reasons: Vec<String> = said.chain(self.reasons.iter().cloned()).collect();
        let more = reasons.len().saturating_sub(REASONS_SHOWN);
        reasons.truncate(REASONS_SHOWN);
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        let remedy = match (self.verdict, self.what, &self.name) {
            (Verdict::NotSupported, "rule", Some(_)) => " (written commented out: mend it and take the `#` away)",
            _ => "",
        };
        let is_known = self.name.as_ref().is_none_or(|name| *name == self.old);
        let old = if is_known { String::new() } else { format!(" ({})", self.old) };
        let _ = writeln!(text, "  {word:<14} {}{old}: {}{remedy}", self.shown(), reasons.join("; "));
    }
}

impl Said {
    fn words(&self) -> String {
        let diagnostic = &self.diagnostic;
        let help = diagnostic.help.as_ref().map_or_else(String::new, |help| format!(", {help}"));
        printable(&format!(
            "{} line {}, column {}: {}{help}",
            diagnostic.code, self.line, self.column, diagnostic.message
        ))
    }
}

fn rules(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("rules.{name}")).collect()
}

/// The first few, and how many more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}
