//! Runs one path under callgrind and reads what each function took.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::GateError;
use crate::meter::MEASURED;

/// Rounds in front of the counted ones: by then tables and buffers have grown.
const WARM_UP: u32 = 3;
/// Rounds that are counted.
const COUNTED: u32 = 5;

/// The C library picks copies by processor and callgrind shows it different ones on different hosts: the same one for
/// all, the oldest.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load";

/// What one path took, for each operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Profile {
    pub(super) instructions: f64,
    /// By function. Those of this project carry what they call outside it; others stand for themselves, too.
    pub(super) functions: BTreeMap<String, f64>,
    /// Processor features that the measured code can see.
    pub(super) cpu: String,
}

/// The arguments by which this program runs a path instead of measuring all.
pub(super) const RUN: &str = "--run";

/// Runs a path: what the process under callgrind does.
pub(super) fn run(path: &crate::paths::Path) {
    println!("{}", cpu());
    let mut round = (path.prepare)();
    let mut meter = crate::meter::Meter::new();
    for _ in 0..WARM_UP {
        round(&mut meter);
    }
    meter.count();
    for _ in 0..COUNTED {
        round(&mut meter);
    }
}

/// Counts one path.
pub(super) fn count(path: &crate::paths::Path, folder: &Path) -> Result<Profile, GateError> {
    let program = std::env::current_exe().map_err(|error| GateError::file("this program", &error))?;
    let out = folder.join(path.name);
    let output = Command::new("valgrind")
        .env_clear()
        .env("GLIBC_TUNABLES", TUNABLES)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["--tool=callgrind", "--collect-atstart=no", "--compress-strings=no", "--compress-pos=no", "--quiet"])
        .arg(format!("--toggle-collect={MEASURED}*"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([RUN, path.name])
        .stdin(Stdio::null())
        .output()
        .map_err(|_| GateError::NoValgrind)?;
    if !output.status.success() {
        return Err(GateError::Failed(path.name, String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let text = std::fs::read_to_string(&out).map_err(|error| GateError::file(&out.display().to_string(), &error))?;
    let mut profile = parse(&text, (path.operations * u64::from(COUNTED)) as f64);
    profile.cpu = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if profile.instructions == 0.0 {
        return Err(GateError::Nothing(path.name));
    }
    Ok(profile)
}

/// What code that asks for processor features at run time is told.
fn cpu() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "avx2";
    }
    "baseline"
}

/// Reads callgrind's file; `operations` is what everything is divided by.
fn parse(text: &str, operations: f64) -> Profile {
    let mut profile = Profile::default();
    let mut function = String::new();
    let mut callee: Option<String> = None;
    let mut costs: BTreeMap<String, u64> = BTreeMap::new();
    let mut total = 0;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = plain(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = Some(plain(name));
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let Some(cost) = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()) else { continue };
            match callee.take() {
                None => {
                    total += cost;
                    *costs.entry(function.clone()).or_default() += cost;
                }
                // What a function of ours has others do for it is its own cost.
                Some(callee) if is_ours(&function) && !is_ours(&callee) => {
                    *costs.entry(function.clone()).or_default() += cost;
                }
                Some(_) => {}
            }
        }
    }
    profile.instructions = total as f64 / operations;
    profile.functions = costs
        .into_iter()
        .map(|(name, cost)| (name, cost as f64 / operations))
        .filter(|(name, cost)| !name.starts_with("millrace_bench::") && *cost > profile.instructions * 0.003)
        .collect();
    profile
}

/// Whether a function is of this project's crates.
pub(super) fn is_ours(function: &str) -> bool {
    function.contains("millrace_")
}

/// A name without what the compiler makes up anew each time.
fn plain(name: &str) -> String {
    let name = name.split_once('\'').map_or(name, |(name, _)| name);
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.rsplit_once("::h") {
        Some((name, hash)) if is_hash(hash) => name.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
positions: line
events: Ir
summary: 100

ob=/gate
fl=???
fn=millrace_core::codec::decode::h0123456789abcdef
0 30
cfn=malloc
calls=2 0
0 40
cfn=millrace_core::codec::wire::take
calls=1 0
0 30

fn=malloc
0 40

fn=millrace_core::codec::wire::take
0 20
fi=other.rs
7 10

totals: 100
";

    #[test]
    fn a_function_of_ours_carries_what_others_do_for_it() {
        let profile = parse(FILE, 10.0);
        let functions: Vec<(&str, f64)> = profile.functions.iter().map(|(name, cost)| (&**name, *cost)).collect();
        assert_eq!(profile.instructions, 10.0);
        assert_eq!(
            functions,
            [("malloc", 4.0), ("millrace_core::codec::decode", 7.0), ("millrace_core::codec::wire::take", 3.0)]
        );
    }
}
