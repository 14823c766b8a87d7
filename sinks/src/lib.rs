//! Drains rings of records into batches and writes them to where they are kept, each row accounted for.
//!
//! | question | module |
//! | --- | --- |
//! | what a sink is in the config | [`config`] |
//! | what a sink must do | [`sink`] |
//! | the shard's end of a sink | [`port`] |
//! | how rows become batches, and what becomes of a batch | [`batch`], [`delivery`], [`retry`] |
//! | the thread between the rings and a sink | `worker` |
//! | what happened to each row | [`account`] |
//! | all sinks: start, account, stop | [`set`] |
//! | the embedded database | [`sqlite`] |

pub mod account;
pub mod batch;
pub mod config;
pub mod delivery;
pub mod port;
pub mod retry;
pub mod set;
pub mod sink;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod worker;

#[cfg(test)]
mod tests;

pub use account::{Account, SinkState, Snapshot};
pub use config::{Buffering, Overflow, SinkConfig};
pub use port::{Offered, SinkPort};
pub use set::{SinkError, Sinks, Stopped};
pub use sink::{Failure, Reason, Sink, Verdicts};
