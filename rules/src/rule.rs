//! The rules of a shard: compiled once, evaluated per message, counted without a lock.
//!
//! Runs on: compiled anywhere; a clone for each shard. Clones share the closures, which only read; what is written per
//! row (counters, the count of who holds the column names) is each shard's own.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use millrace_core::value::{Columns, Record, Row, RowTooLarge, Value};
use smallvec::SmallVec;

use crate::check::check;
use crate::compile::{Compiler, Frame, TestFn, ValueFn};
use crate::config::RuleConfig;
use crate::diagnostics::{Diagnostic, Span};
use crate::error::{EvalError, Trouble};
use crate::fields::Event;
use crate::input::{At, Input};
use crate::parse::parse;
use crate::tree::{Output, Plan};

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
            match plan(&config.sql) {
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
    plan(sql).map(|plan| plan.warnings)
}

fn plan(sql: &str) -> Result<Plan, Vec<Diagnostic>> {
    let query = parse(sql).map_err(|diagnostic| vec![diagnostic])?;
    check(&query, sql)
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
    /// Takes the rows of the last evaluation.
    pub fn drain(&mut self) -> impl Iterator<Item = Record> + '_ {
        self.records.drain(..)
    }
}

/// One compiled rule.
#[derive(Debug)]
pub struct Rule {
    number: u32,
    program: Arc<Program>,
    columns: Arc<Columns>,
    counts: RuleCounts,
}

impl Clone for Rule {
    /// The same rule for another shard, its counters at 0.
    fn clone(&self) -> Self {
        Self {
            number: self.number,
            program: Arc::clone(&self.program),
            columns: self.program.columns(),
            counts: RuleCounts::default(),
        }
    }
}

impl Rule {
    fn new(number: u32, name: &str, config: &RuleConfig, plan: Plan) -> Self {
        let program = Arc::new(Program::new(name, config, plan));
        Self { number, columns: program.columns(), program, counts: RuleCounts::default() }
    }

    /// Its number in its rule set, as its records carry it.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// Its text, to say where in it something failed.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.program.sql
    }

    /// The Topic Filters of the messages that it wants. It wants a message once, however many of them match.
    #[must_use]
    pub fn filters(&self) -> &[String] {
        &self.program.filters
    }

    /// The events that it wants besides messages.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.program.events
    }

    /// The names of the sinks that get its rows.
    #[must_use]
    pub fn sinks(&self) -> &[String] {
        &self.program.sinks
    }

    /// The columns of its rows.
    #[must_use]
    pub fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// What is allowed in it but probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.program.warnings
    }

    /// What happened so far on this shard.
    #[must_use]
    pub const fn counts(&self) -> RuleCounts {
        self.counts
    }

    /// Evaluates the rule for a message that one of its filters matches. `rows` then holds what it made.
    pub fn evaluate(&mut self, input: &Input<'_>, rows: &mut Rows) -> Outcome {
        rows.records.clear();
        self.counts.matched += 1;
        input.refuel();
        match self.program.run(input, &mut rows.scratch) {
            Ok(true) => {
                let unix_ms = input.unix_ms();
                rows.records.push(rows.scratch.record(&self.columns, self.number, unix_ms));
                self.counts.passed += 1;
                Outcome::Passed
            }
            Ok(false) => {
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

/// What clones of a rule share.
struct Program {
    name: String,
    sql: String,
    filters: Vec<String>,
    events: Vec<Event>,
    sinks: Vec<String>,
    warnings: Vec<Diagnostic>,
    constants: Vec<Value<'static>>,
    slots: Vec<(ValueFn, Span)>,
    early: Vec<usize>,
    late: Vec<usize>,
    condition: Option<TestFn>,
    outputs: Vec<(String, Output)>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} over {:?}", self.name, self.filters)
    }
}

impl Program {
    fn new(name: &str, config: &RuleConfig, plan: Plan) -> Self {
        let mut compiler = Compiler::default();
        let slots = plan
            .slots
            .into_iter()
            .map(|node| {
                let span = node.span;
                (compiler.value(node), span)
            })
            .collect();
        let condition = plan.condition.map(|node| compiler.test(node));
        let mut sinks: Vec<String> = Vec::new();
        for sink in &config.sinks {
            if !sinks.contains(sink) {
                sinks.push(sink.clone());
            }
        }
        Self {
            name: name.to_owned(),
            sql: config.sql.clone(),
            filters: plan.filters,
            events: plan.events,
            sinks,
            warnings: plan.warnings,
            constants: compiler.constants,
            slots,
            early: plan.early,
            late: plan.late,
            condition,
            outputs: plan.columns,
        }
    }

    fn columns(&self) -> Arc<Columns> {
        let names = self.outputs.iter().map(|(name, _)| name.as_str().into()).collect();
        Arc::new(Columns::new(names))
    }

    /// Whether there is a row; it is then in `row`.
    fn run(&self, input: &Input<'_>, row: &mut Row) -> Result<bool, EvalError> {
        let frame = Frame { input, constants: &self.constants };
        let mut slots = SmallVec::<[Value<'_>; 16]>::new();
        slots.resize_with(self.slots.len(), || Value::Null);
        for &slot in &self.early {
            slots[slot] = self.slots[slot].0(&frame, &slots)?;
        }
        if let Some(condition) = &self.condition
            && !condition(&frame, &slots)?
        {
            return Ok(false);
        }
        for &slot in &self.late {
            slots[slot] = self.slots[slot].0(&frame, &slots)?;
        }
        row.clear();
        for (_, output) in &self.outputs {
            self.write(output, &slots, row)?;
        }
        Ok(true)
    }

    fn write(&self, output: &Output, slots: &[Value<'_>], row: &mut Row) -> Result<(), EvalError> {
        let too_large = |RowTooLarge| Trouble::TooLarge;
        match output {
            Output::Slot(slot) => row.push(&slots[*slot]).map_err(too_large).at(self.slots[*slot].1),
            Output::Map(members) => {
                row.begin_map(members.len()).map_err(too_large).at(Span::default())?;
                for (name, member) in members {
                    row.key(name).map_err(too_large).at(Span::default())?;
                    self.write(member, slots, row)?;
                }
                Ok(())
            }
            Output::One(inner) => {
                row.begin_list(1).map_err(too_large).at(Span::default())?;
                self.write(inner, slots, row)
            }
        }
    }
}
