//! The gate: hot paths under callgrind, compared with the committed baseline.
//!
//! Instructions do not depend on how busy a machine is, so they can be held to a few per cent where time cannot.

mod baseline;
mod callgrind;
mod verdict;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

use crate::paths::{self, PATHS, Path};
use baseline::{Baseline, Entry, MadeWith};
use callgrind::Profile;
use verdict::Verdict;

const USAGE: &str = "\
usage: bench/gate [--bless] [--list] [PATH...]

Counts the instructions of the hot paths and fails if one takes over 3 % more than bench/baseline.toml says.
  --bless   writes what was counted into the baseline
  --list    names the paths
  PATH      only these
";

/// Why the gate cannot say anything.
#[derive(Debug, Error)]
pub(crate) enum GateError {
    /// No valgrind.
    #[error("cannot start valgrind; install it: apt-get install valgrind libc6-dbg")]
    NoValgrind,
    /// No addr2line.
    #[error("cannot start addr2line; install it: apt-get install binutils")]
    NoAddr2Line,
    /// The measured process failed.
    #[error("{0} under valgrind failed: {1}")]
    Failed(&'static str, String),
    /// Callgrind did not see the measured function.
    #[error("{0}: callgrind counted nothing, so the measured function has another name in this build")]
    Nothing(&'static str),
    /// A file.
    #[error("cannot read or write {0}: {1}")]
    File(String, String),
    /// The baseline makes no sense.
    #[error("{0} is no baseline: {1}")]
    Baseline(String, String),
}

impl GateError {
    fn file(name: &str, error: &std::io::Error) -> Self {
        Self::File(name.to_owned(), error.to_string())
    }
}

/// What the program does.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    let (bless, names) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [callgrind::RUN, name] if paths::find(name).is_some() => {
            paths::find(name).into_iter().for_each(callgrind::run);
            return ExitCode::SUCCESS;
        }
        ["--list"] => {
            PATHS.iter().for_each(|path| say(&format!("{:<26} {}\n", path.name, path.operation)));
            return ExitCode::SUCCESS;
        }
        ["--bless", names @ ..] => (true, names.to_vec()),
        names => (false, names.to_vec()),
    };
    if names.contains(&"--help") || names.iter().any(|name| paths::find(name).is_none()) {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    }
    let wanted: Vec<&Path> = PATHS.iter().filter(|path| names.is_empty() || names.contains(&path.name)).collect();
    match gate(&wanted, bless) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts and compares, or blesses; whether nothing has grown.
fn gate(wanted: &[&Path], bless: bool) -> Result<bool, GateError> {
    let mut baseline = match Baseline::read() {
        Ok(baseline) => baseline,
        Err(_) if bless => Baseline::default(),
        Err(error) => return Err(error),
    };
    if !bless && baseline.made_with.arch != std::env::consts::ARCH {
        say(&format!("gate: the baseline is for {}, nothing to compare here\n", baseline.made_with.arch));
        return Ok(true);
    }
    let profiles = count_all(wanted)?;
    let here = MadeWith::here(profiles.first().map_or("", |(_, profile)| &profile.cpu));
    if bless {
        if wanted.len() == PATHS.len() {
            baseline.paths.clear();
        }
        baseline.made_with = here;
        for (path, profile) in &profiles {
            say(&format!("{:<26} {:>9.1}\n", path.name, profile.instructions));
            baseline.paths.insert(path.name.to_owned(), Entry::from(profile));
        }
        return baseline.write().map(|()| true);
    }
    let verdict = Verdict::new(&baseline, &here, &profiles);
    say(&verdict.to_string());
    Ok(verdict.holds())
}

/// Counts, on as many processors as there are.
fn count_all<'a>(wanted: &[&'a Path]) -> Result<Vec<(&'a Path, Profile)>, GateError> {
    let folder = std::env::temp_dir().join(format!("millrace-gate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| GateError::file(&folder.display().to_string(), &error))?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
    let next = AtomicUsize::new(0);
    let counted = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(path) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = callgrind::count(path, &folder);
                    counted.lock().expect("no worker panics with it").push((*path, result));
                }
            });
        }
    });
    let _ = std::fs::remove_dir_all(&folder);
    let mut counted = counted.into_inner().expect("no worker panics with it");
    counted.sort_by_key(|(path, _)| PATHS.iter().position(|known| known.name == path.name));
    counted.into_iter().map(|(path, result)| result.map(|profile| (path, profile))).collect()
}

/// Writes to standard output. A closed pipe is no error: who read it has read enough.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
