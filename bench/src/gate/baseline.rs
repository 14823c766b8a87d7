//! The committed baseline: what it was made with and what each path took.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::GateError;
use super::callgrind::Profile;

const HEAD: &str = "\
# Instructions of the hot paths for each operation, and of the functions in them; `bench/gate --bless` writes it.
# What is outside this project stands for itself and again in the function of ours that calls it.

";

/// What counts depend on besides the code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MadeWith {
    pub(super) arch: String,
    pub(super) rustc: String,
    pub(super) libc: String,
    pub(super) valgrind: String,
    pub(super) cpu: String,
}

impl MadeWith {
    /// What is here.
    pub(super) fn here(cpu: &str) -> Self {
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            rustc: said(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), "--version"),
            libc: said("getconf", "GNU_LIBC_VERSION"),
            valgrind: said("valgrind", "--version"),
            cpu: cpu.to_owned(),
        }
    }

    /// What is not as in `other`, in words.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        [
            (&self.rustc, &other.rustc),
            (&self.libc, &other.libc),
            (&self.valgrind, &other.valgrind),
            (&self.cpu, &other.cpu),
        ]
        .into_iter()
        .filter(|(was, is)| was != is)
        .map(|(was, is)| format!("{is}, not {was}"))
        .collect()
    }
}

/// The first line that a program says.
fn said(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").trim().to_owned()
}

/// One path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) instructions: f64,
    pub(super) functions: BTreeMap<String, f64>,
}

impl From<&Profile> for Entry {
    fn from(profile: &Profile) -> Self {
        Self {
            instructions: rounded(profile.instructions),
            functions: profile.functions.iter().map(|(name, cost)| (name.clone(), rounded(*cost))).collect(),
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    pub(super) made_with: MadeWith,
    pub(super) paths: BTreeMap<String, Entry>,
}

impl Baseline {
    /// Where it lies.
    pub(super) fn file() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.toml")
    }

    pub(super) fn read() -> Result<Self, GateError> {
        let file = Self::file();
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).map_err(|error| GateError::file(&name, &error))?;
        toml::from_str(&text).map_err(|error| GateError::Baseline(name, error.to_string()))
    }

    pub(super) fn write(&self) -> Result<(), GateError> {
        let file = Self::file();
        let name = file.display().to_string();
        let text = toml::to_string(self).map_err(|error| GateError::Baseline(name.clone(), error.to_string()))?;
        std::fs::write(&file, format!("{HEAD}{text}")).map_err(|error| GateError::file(&name, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_baseline_has_every_path_and_no_other() {
        let baseline = Baseline::read().expect("it is committed");
        let names: Vec<&str> = baseline.paths.keys().map(String::as_str).collect();
        let mut wanted: Vec<&str> = crate::paths::PATHS.iter().map(|path| path.name).collect();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "bench/gate --bless writes them");
    }
}
