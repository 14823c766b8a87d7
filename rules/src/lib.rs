//! Turns rule SQL into a checked tree of closures and runs it on one message.
//!
//! | question | module |
//! | --- | --- |
//! | what a rule is in the config | [`config`] |
//! | how its text becomes tokens and a tree | [`token`], [`parse`], [`ast`] |
//! | what names and types mean, and what is wrong | `check`, [`fields`], [`functions`], [`diagnostics`] |
//! | how the checked tree becomes closures, and what they do | `tree`, `compile`, `ops`, `path` |
//! | what happens with them for one event | `program` |
//! | what a rule sees of an event | [`input`], [`json`] |
//! | what rules keep between events | [`state`] |
//! | what a code means | [`codes`] |
//! | how rules are evaluated and counted | [`rule`], [`error`] |

pub mod ast;
mod check;
pub mod codes;
mod columns;
mod compile;
pub mod config;
pub mod diagnostics;
pub mod error;
pub mod fields;
pub mod functions;
pub mod input;
pub mod json;
mod ops;
pub mod parse;
mod path;
mod program;
mod properties;
pub mod rule;
pub mod state;
pub mod token;
mod tree;
pub mod value_type;

#[cfg(test)]
mod tests;

pub use config::RuleConfig;
pub use input::{EventView, Given, Input, PublishEvent, Scratch};
pub use rule::{Outcome, Rows, Rule, RuleCounts, RuleDiagnostics, Rules};
pub use state::State;
