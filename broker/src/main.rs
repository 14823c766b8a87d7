//! The program: reads the config, makes the rings, hands each end to its owner, starts, stops.

pub mod cli;
pub mod client;
pub mod config;
pub mod diagnostics;
pub mod exit;
pub mod explain;
pub mod logging;
pub mod out;
pub mod timestamp;

fn main() -> std::process::ExitCode {
    cli::run()
}
