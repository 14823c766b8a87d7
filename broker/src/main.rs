//! The program: reads the config, makes the rings, hands each end to its owner, starts, stops.

pub mod allocator;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod diagnostics;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod host;
pub mod import;
pub mod logging;
pub mod memory;
pub mod out;
pub mod rules;
pub mod run;
pub mod shutdown;
pub mod systemd;
pub mod timestamp;
pub mod wiring;

fn main() -> std::process::ExitCode {
    cli::run()
}
