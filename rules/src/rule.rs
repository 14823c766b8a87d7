//! The rules of a shard: compiled once, evaluated per message, counted without a lock.
//!
//! Runs on: compiled anywhere; a clone for each shard. Clones share the closures, which only read; what is written per
//! row (counters, the count of who holds the column names) is each shard's own.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use millrace_core::value::{Columns, Record, Row};
use smallvec::SmallVec;

use crate::check::check;
use crate::config::{Compat, RuleConfig};
use crate::diagnostics::Diagnostic;
use crate::error::EvalError;
use crate::fields::Event;
use crate::input::Input;
use crate::parse::parse;
use crate::program::{Made, Program, RowColumns};
use crate::tree::Plan;

/// All rules that run, each for itself.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Compiles the rules; those that are not enabled are checked and left out.
    ///
    /// # Errors
    /// What is wrong, for each rule with a mistake.
    pub fn compile<N: AsRef<str>>(configs: &[(N, RuleConfig)]) -> Result<Self, Vec<RuleDiagnostics>> {
        let mut rules = Vec::new();
        let mut wrong = Vec::new();
        for (name, config) in configs {
            let name = name.as_ref();
            match plan(&config.sql, name, config.compat) {
                Ok(plan) if config.enabled => {
                    let number = u32::try_from(rules.len()).expect("nobody writes four thousand million rules");
                    rules.push(Rule::new(number, name, config, plan));
                }
                Ok(_) => {}
                Err(diagnostics) => {
                    wrong.push(RuleDiagnostics { rule: name.to_owned(), sql: config.sql.clone(), diagnostics })
                }
            }
        }
        if wrong.is_empty() { Ok(Self { rules }) } else { Err(wrong) }
    }

    /// The rules by their numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this number.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Rule> {
        self.rules.get_mut(usize::try_from(number).ok()?)
    }
}

/// What is wrong with one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDiagnostics {
    /// Its name in the config.
    pub rule: String,
    /// Its text.
    pub sql: String,
    /// The mistakes.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for RuleDiagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&diagnostic.render(&self.rule, &self.sql))?;
        }
        Ok(())
    }
}

/// Parses and checks one rule without compiling it.
///
/// # Errors
/// Everything that is wrong with it. Without an error: what is allowed but probably not meant.
pub fn diagnose(sql: &str) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    plan(sql, "", Compat::default()).map(|plan| plan.warnings)
}

fn plan(sql: &str, rule: &str, compat: Compat) -> Result<Plan, Vec<Diagnostic>> {
    let query = parse(sql).map_err(|diagnostic| vec![diagnostic])?;
    check(&query, sql, rule, compat)
}

/// How often what happened to one rule on one shard; added up when read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Messages that one of its filters matched.
    pub matched: u64,
    /// Messages that made a row.
    pub passed: u64,
    /// Messages that WHERE turned away.
    pub no_result: u64,
    /// Messages for which the evaluation failed.
    pub failed: u64,
}

impl AddAssign for RuleCounts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.passed += other.passed;
        self.no_result += other.no_result;
        self.failed += other.failed;
    }
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It made rows.
    Passed,
    /// WHERE turned it away.
    NoResult,
    /// The evaluation failed; it made no row.
    Failed(EvalError),
}

/// Where rows are made; a shard keeps one and uses it again and again.
#[derive(Debug, Default)]
pub struct Rows {
    scratch: Row,
    records: SmallVec<[Record; 1]>,
}

impl Rows {
    /// The rows of the last evaluation.
    #[must_use]
    pub fn as_slice(&self) -> &[Record] {
        &self.records
    }

    /// Takes the rows of the last evaluation.
    pub fn drain(&mut self) -> impl Iterator<Item = Record> + '_ {
        self.records.drain(..)
    }
}

/// One compiled rule.
#[derive(Debug)]
pub struct Rule {
    number: u32,
    shared: Arc<Compiled>,
    /// The columns of the rows, by event.
    columns: SmallVec<[RowColumns; 1]>,
    counts: RuleCounts,
    /// Rows of the last event that made any.
    rows: usize,
}

/// What clones of a rule share.
#[derive(Debug)]
struct Compiled {
    name: String,
    config: RuleConfig,
    filters: Vec<String>,
    sinks: Vec<String>,
    warnings: Vec<Diagnostic>,
    /// By event.
    programs: SmallVec<[Program; 1]>,
}

impl Clone for Rule {
    /// The same rule for another shard, its counters at 0.
    fn clone(&self) -> Self {
        Self::of(self.number, Arc::clone(&self.shared))
    }
}

impl Rule {
    fn new(number: u32, name: &str, config: &RuleConfig, plan: Plan) -> Self {
        let mut sinks: Vec<String> = Vec::new();
        for sink in &config.sinks {
            if !sinks.contains(sink) {
                sinks.push(sink.clone());
            }
        }
        let shared = Compiled {
            name: name.to_owned(),
            config: config.clone(),
            filters: plan.filters,
            sinks,
            warnings: plan.warnings,
            programs: plan.blocks.into_iter().map(Program::new).collect(),
        };
        Self::of(number, Arc::new(shared))
    }

    fn of(number: u32, shared: Arc<Compiled>) -> Self {
        let columns = shared.programs.iter().map(Program::columns).collect();
        Self { number, shared, columns, counts: RuleCounts::default(), rows: 0 }
    }

    /// Compiles one rule.
    ///
    /// # Errors
    /// What is wrong with its text.
    pub fn compile(number: u32, name: &str, config: &RuleConfig) -> Result<Self, Vec<Diagnostic>> {
        plan(&config.sql, name, config.compat).map(|plan| Self::new(number, name, config, plan))
    }

    /// Its number in its rule set, as its records carry it.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its text, to say where in it something failed.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.shared.config.sql
    }

    /// The Topic Filters of the messages that it wants. It wants a message once, however many of them match.
    #[must_use]
    pub fn filters(&self) -> &[String] {
        &self.shared.filters
    }

    /// The names of the sinks that get its rows.
    #[must_use]
    pub fn sinks(&self) -> &[String] {
        &self.shared.sinks
    }

    /// The events that it reads: messages if it has filters, and those after FROM.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.shared.programs.iter().map(Program::event)
    }

    /// What it is in the config.
    #[must_use]
    pub fn config(&self) -> &RuleConfig {
        &self.shared.config
    }

    /// Whether both are clones of one rule.
    #[must_use]
    pub fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The columns of its rows, for each event that it reads. Where the members of an element become columns there are
    /// more, in the rows themselves.
    pub fn columns(&self) -> impl Iterator<Item = &Arc<Columns>> {
        self.columns.iter().map(RowColumns::known)
    }

    /// Whether its rows may have columns that only the message decides: FOREACH without DO.
    #[must_use]
    pub fn has_open_columns(&self) -> bool {
        self.shared.programs.iter().any(Program::has_open_columns)
    }

    /// What is allowed in it but probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.shared.warnings
    }

    /// What happened so far on this shard.
    #[must_use]
    pub const fn counts(&self) -> RuleCounts {
        self.counts
    }

    /// How many rows the last event made that made any.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Evaluates the rule for an event that it reads. `rows` then holds what it made.
    pub fn evaluate(&mut self, input: &Input<'_>, rows: &mut Rows) -> Outcome {
        rows.records.clear();
        self.run(input, Some(rows))
    }

    /// The same for a rule of which nobody wants the rows: what cannot fail is not computed.
    pub fn judge(&mut self, input: &Input<'_>) -> Outcome {
        self.run(input, None)
    }

    #[inline]
    fn run(&mut self, input: &Input<'_>, rows: Option<&mut Rows>) -> Outcome {
        self.counts.matched += 1;
        input.refuel();
        let event = input.event();
        let programs = &self.shared.programs;
        let Some(at) = programs.iter().position(|program| program.event() == event) else {
            self.counts.no_result += 1;
            return Outcome::NoResult;
        };
        let made = match rows {
            Some(rows) => {
                let Rows { scratch, records } = rows;
                let mut made = Made { scratch, records, columns: &mut self.columns[at], rule: self.number };
                let outcome = programs[at].run(input, Some(&mut made));
                if outcome.is_err() {
                    records.clear();
                }
                outcome
            }
            None => programs[at].run(input, None),
        };
        match made {
            Ok(rows @ 1..) => {
                self.rows = rows;
                self.counts.passed += 1;
                Outcome::Passed
            }
            Ok(0) => {
                self.counts.no_result += 1;
                Outcome::NoResult
            }
            Err(error) => {
                self.counts.failed += 1;
                Outcome::Failed(error)
            }
        }
    }
}
