//! `millrace-load report`: a saved run, told once more.

use std::path::PathBuf;

use clap::Args;

use super::Saved;
use super::files::Files;
use crate::exit::Exit;
use crate::expect::Expectation;

/// A saved run.
#[derive(Args, Debug)]
pub(crate) struct ReportOptions {
    /// What --json of a run has written, - for standard input
    #[arg(value_name = "RUN.json")]
    run: PathBuf,
    /// Write a page with charts that needs nothing but a browser, - for standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a line for each second as CSV, - for standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write percentile distributions for HdrHistogram's plotter: FILE.delivery.hgrm and so on
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// One more condition such as p99<5ms; the exit code is 99 if one of these does not hold
    #[arg(long, value_parser = Expectation::parse)]
    expect: Vec<Expectation>,
}

/// Tells a saved run.
pub(crate) fn again(options: &ReportOptions) -> Exit {
    let mut saved = match Saved::read(&options.run) {
        Ok(saved) => saved,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Failed;
        }
    };
    let mut exit = Exit::Done;
    for expectation in &options.expect {
        let verdict = saved.judge(expectation);
        if !verdict.held {
            exit = Exit::NotHeld;
        }
        saved.expectations.push(verdict.into());
    }
    let files =
        Files { json: None, csv: options.csv.as_deref(), hgrm: options.hgrm.as_deref(), html: options.html.as_deref() };
    match saved.write(&files) {
        Ok(()) => exit,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}
