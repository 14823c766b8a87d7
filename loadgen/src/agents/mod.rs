//! A run on several machines: agents that lend their processors and addresses, and the one who leads them.
//!
//! | question | module |
//! | --- | --- |
//! | what they say to each other | [`wire`], [`pack`] |
//! | who may lead | [`auth`] |
//! | what an agent does | [`mod@serve`] |
//! | what the leader does | [`team`], [`member`] |
//!
//! Invariants: every machine has the same plan, made of the same words, and its own workers of it; all times are those
//! of the leader's clock, to which each agent's is set for the run.

mod auth;
mod member;
mod pack;
mod serve;
mod team;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use self::serve::serve;
pub(crate) use self::team::{AgentAccount, Team};

/// Where an agent listens, if nothing else is said.
pub(crate) const LISTEN: &str = "127.0.0.1:9465";
