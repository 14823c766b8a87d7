//! What is done with the rows of a rule: its actions, compiled from the config and checked against its columns.
//!
//! Names in `sinks` come first, then `actions`, in order; that is how they are numbered, from 1. Who does them knows
//! sinks and topics; here is what they need to know of a row.

mod check;
mod republish;

use std::borrow::Cow;

use millrace_core::metrics::ActionFailure;
use millrace_core::value::Columns;

pub use check::ActionFault;
pub use republish::{Limits, Outgoing, Republish, Scratch};

use crate::config::{ActionConfig, OnActionFailed, RuleConfig};

/// The actions of one rule.
#[derive(Debug)]
pub struct Actions {
    list: Vec<Action>,
    sinks: Vec<String>,
    stops: bool,
    wants_row: bool,
}

/// One action.
#[derive(Debug)]
pub struct Action {
    /// What it does.
    pub what: What,
    /// Tried one after the other if that fails.
    pub fallbacks: Vec<What>,
}

/// What an action does.
#[derive(Debug)]
pub enum What {
    /// Hands the row to a sink: the one at this place in [`Actions::sinks`].
    Sink(usize),
    /// Publishes a message.
    Republish(Box<Republish>),
    /// Writes the row to the log.
    Console,
    /// Nothing.
    Nothing,
}

/// Why an action was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// As it is counted.
    pub why: ActionFailure,
    /// In words, with the value met.
    pub message: Cow<'static, str>,
}

/// How often what happened to one action on one shard; added up when read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionCounts {
    /// Rows that it, or one of its fallbacks, has taken.
    pub success: u64,
    /// Of these, those that a fallback has taken.
    pub fallback: u64,
    /// Rows that neither it nor a fallback could do anything with.
    pub failed: u64,
    /// Rows for which there was no room.
    pub dropped: u64,
}

impl std::ops::AddAssign for ActionCounts {
    fn add_assign(&mut self, other: Self) {
        self.success += other.success;
        self.fallback += other.fallback;
        self.failed += other.failed;
        self.dropped += other.dropped;
    }
}

impl Actions {
    /// Compiles the actions of a rule that makes rows of these columns, by event; with `open`, perhaps of others too.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn compile(config: &RuleConfig, columns: &[&Columns], open: bool) -> Result<Self, Vec<ActionFault>> {
        let mut compiler = check::Checker::new(columns, open);
        let mut list = Vec::new();
        let mut sinks = Sinks::default();
        for sink in &config.sinks {
            if !sinks.0.contains(sink) {
                list.push(Action { what: What::Sink(sinks.place(sink)), fallbacks: Vec::new() });
            }
        }
        compiler.count(config.actions.len());
        for (index, action) in config.actions.iter().enumerate() {
            let at = format!("actions[{}]", index + 1);
            let what = compiler.action(&at, action, &mut sinks);
            let fallbacks = fallbacks(action);
            compiler.count_fallbacks(&at, fallbacks.len());
            let fallbacks = fallbacks.iter().enumerate().filter_map(|(index, fallback)| {
                compiler.fallback(&format!("{at}.fallbacks[{}]", index + 1), fallback, &mut sinks)
            });
            let fallbacks = fallbacks.collect();
            list.extend(what.map(|what| Action { what, fallbacks }));
        }
        compiler.finish()?;
        // One that does nothing always succeeds, so its fallbacks are never tried.
        let wants_row = list.iter().any(|action| !matches!(action.what, What::Nothing));
        let stops = config.on_action_failed == OnActionFailed::Stop;
        Ok(Self { list, sinks: sinks.0, stops, wants_row })
    }

    /// In order.
    #[must_use]
    pub fn list(&self) -> &[Action] {
        &self.list
    }

    /// The names of the sinks that they hand rows to.
    #[must_use]
    pub fn sinks(&self) -> &[String] {
        &self.sinks
    }

    /// Whether those behind one that failed are left out.
    #[must_use]
    pub const fn stop(&self) -> bool {
        self.stops
    }

    /// Whether any of them looks at the row.
    #[must_use]
    pub const fn wants_row(&self) -> bool {
        self.wants_row
    }
}

/// The sinks that a rule names, each once.
#[derive(Default)]
struct Sinks(Vec<String>);

impl Sinks {
    fn place(&mut self, name: &str) -> usize {
        self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        })
    }
}

/// What is tried if an action fails.
#[must_use]
pub fn fallbacks(action: &ActionConfig) -> &[ActionConfig] {
    match action {
        ActionConfig::Republish(republish) => &republish.fallbacks,
        ActionConfig::Sink { fallbacks, .. } => fallbacks,
        ActionConfig::Console {} | ActionConfig::DoNothing {} => &[],
    }
}

#[cfg(test)]
mod tests;
