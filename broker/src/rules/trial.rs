//! One rule on one event: compiled and evaluated exactly as the shards do it.

use std::time::{Duration, Instant};

use millrace_core::value::{Record, Value};
use millrace_rules::book::RuleBook;
use millrace_rules::config::RuleConfig;
use millrace_rules::diagnostics::{Diagnostic, Severity, line_and_column};
use millrace_rules::error::EvalError;
use millrace_rules::{Outcome, Rows, Rule, RuleDiagnostics, Scratch, State, codes, parse};

use super::sample::Sample;
use crate::diagnostics::printable;

/// A rule that can be tried.
#[derive(Debug)]
pub struct Trial {
    rule: Rule,
    sources: Vec<String>,
}

/// What became of one event.
#[derive(Debug)]
pub enum Answer {
    /// The rows, perhaps none.
    Rows(Vec<Record>),
    /// No source after FROM matches, so the rule does not see the event.
    NotWanted,
    /// The evaluation failed.
    Failed(EvalError),
}

/// Something that is wrong with a rule, as `--json` prints it.
#[derive(Debug, serde::Serialize)]
pub struct Wrong {
    /// What sort of mistake it is.
    pub error: Option<codes::Kind>,
    /// Its code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Wrong {
    /// The diagnostic of a rule with this text.
    #[must_use]
    pub fn of(diagnostic: &Diagnostic, sql: &str) -> Self {
        let (line, column) = line_and_column(diagnostic.span, sql);
        Self {
            error: codes::kind(diagnostic.code),
            code: diagnostic.code,
            message: diagnostic.message.clone(),
            line,
            column,
            help: diagnostic.help.clone(),
        }
    }
}

impl Trial {
    /// Compiles a rule, whether or not its config lets it run.
    ///
    /// # Errors
    /// All that is wrong with it, for each of its texts.
    pub fn new(name: &str, config: &RuleConfig) -> Result<Self, Vec<RuleDiagnostics>> {
        let config = RuleConfig { enabled: true, ..config.clone() };
        let book = RuleBook::compile(&[(name, config.clone())])?;
        let entry = book.entries().iter().flatten().next();
        let rule = entry.expect("a rule that is enabled and compiles is there").rule().clone();
        let query = parse::parse(&config.sql).expect("what compiles can be parsed");
        let sources = query.sources.iter().map(|source| source.text.clone().into_owned()).collect();
        Ok(Self { rule, sources })
    }

    /// What stands after FROM.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Evaluates it, with random numbers that follow from the seed if there is one. Says how long that took.
    pub fn run(&mut self, sample: &Sample, seed: Option<u64>) -> (Answer, Duration) {
        if !sample.is_wanted_by(&self.sources) {
            return (Answer::NotWanted, Duration::ZERO);
        }
        let mut scratch = seed.map_or_else(Scratch::default, |seed| Scratch::with_state(State::seeded(seed)));
        let mut rows = Rows::default();
        let (outcome, took) = sample.with_input(&mut scratch, |input| {
            let started = Instant::now();
            (self.rule.evaluate(input, &mut rows), started.elapsed())
        });
        let answer = match outcome {
            Outcome::Passed | Outcome::NoResult => Answer::Rows(rows.drain().collect()),
            Outcome::Failed(error) => Answer::Failed(error),
        };
        (answer, took)
    }
}

/// Rows as values of their own.
#[must_use]
pub fn values(records: &[Record]) -> Vec<Value<'static>> {
    records.iter().map(|record| record.to_map().into_owned()).collect()
}

/// A failed evaluation as a diagnostic.
#[must_use]
pub fn diagnostic_of(error: &EvalError) -> Diagnostic {
    let help = codes::remedy(error.code()).map(str::to_owned);
    Diagnostic { help, ..Diagnostic::error(error.code(), error.span(), error.message()) }
}

/// The diagnostics of all texts together; where only a rule's SQL can be wrong.
#[must_use]
pub fn all(wrong: &[RuleDiagnostics]) -> Vec<Diagnostic> {
    wrong.iter().flat_map(|wrong| wrong.diagnostics.clone()).collect()
}

/// Diagnostics for people; `name` is that of the text. Control characters cannot steer the terminal.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], name: &str, sql: &str) -> String {
    diagnostics.iter().map(|diagnostic| shown(&diagnostic.render_in(name, sql)) + "\n").collect()
}

/// Lines and tabs as they are, other control characters escaped.
fn shown(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// How many of them are errors.
#[must_use]
pub fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}
