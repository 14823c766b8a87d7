//! `millrace-load`: a swarm of MQTT clients that measures a broker without flattering it.
//!
//! | question | module |
//! | --- | --- |
//! | what can be typed | [`cli`], [`options`], [`mod@format`], [`properties`], [`payload`], [`template`], [`files`] |
//! | what stands in a scenario file, and in the streams of a mix | [`mod@file`], [`mix`] |
//! | what a run does | [`scenario`], [`addresses`], [`plan`], [`run_plan`], [`preflight`] |
//! | who connects, sends and receives | [`swarm`] on a ring ([`uring`]), driven by a [`worker`] |
//! | when a message is due | [`pacing`] |
//! | what a message carries and who misses one | [`stamp`], [`account`] |
//! | when what begins and ends | [`control`] |
//! | how several machines run as one | [`agents`], [`source`] |
//! | what is said of it | [`progress`], [`report`], [`expect`] |

mod account;
mod addresses;
mod agents;
mod cli;
mod control;
mod exit;
mod expect;
mod file;
mod files;
mod format;
mod host;
mod mix;
mod options;
mod pacing;
mod payload;
mod plan;
mod preflight;
mod progress;
mod properties;
mod report;
mod run_plan;
mod scenario;
mod source;
mod stamp;
mod stats;
mod swarm;
mod sys;
mod template;
mod uring;
mod worker;

/// Small allocations of many threads, which is what connections are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
