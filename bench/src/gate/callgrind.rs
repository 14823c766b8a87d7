//! Runs one path under callgrind and reads what each function took.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
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
        .args(["--dump-instr=yes", "--dump-line=no"])
        .arg(format!("--toggle-collect={MEASURED}*"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(&program)
        .args([RUN, path.name])
        .stdin(Stdio::null())
        .output()
        .map_err(|_| GateError::NoValgrind)?;
    if !output.status.success() {
        return Err(GateError::Failed(path.name, String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let text = std::fs::read_to_string(&out).map_err(|error| GateError::file(&out.display().to_string(), &error))?;
    let costs = parse(&text);
    let addresses: BTreeSet<u64> = costs.here.keys().map(|(_, address)| *address).collect();
    let inner = inner_functions(&program, &addresses, &folder.join(format!("{}.addresses", path.name)))?;
    let mut profile = costs.profile(&inner, (path.operations * u64::from(COUNTED)) as f64);
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

/// What was counted, before addresses have names.
#[derive(Debug, Default, PartialEq)]
struct Costs {
    total: u64,
    /// In the measured program, by the function that holds the address and by address.
    here: BTreeMap<(String, u64), u64>,
    /// In functions outside this project.
    others: BTreeMap<String, u64>,
}

/// Reads callgrind's file.
fn parse(text: &str) -> Costs {
    let mut costs = Costs::default();
    let mut function = String::new();
    let mut callee: Option<String> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = plain(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = Some(plain(name));
        } else if let Some((address, cost)) = line.strip_prefix("0x").and_then(|line| line.split_once(' ')) {
            let (Ok(address), Ok(cost)) = (u64::from_str_radix(address, 16), cost.trim().parse::<u64>()) else {
                continue;
            };
            let is_own = callee.is_none();
            // What a function of ours has others do for it is its own cost.
            let is_for_us = callee.take().is_some_and(|callee| !is_ours(&callee));
            if is_own {
                costs.total += cost;
            }
            if is_ours(&function) && (is_own || is_for_us) {
                *costs.here.entry((function.clone(), address)).or_default() += cost;
            } else if is_own {
                *costs.others.entry(function.clone()).or_default() += cost;
            }
        }
    }
    costs
}

impl Costs {
    /// By function, also by those that the compiler put into others; for each of the operations.
    fn profile(self, inner: &BTreeMap<u64, String>, operations: f64) -> Profile {
        let mut functions: BTreeMap<String, u64> = self.others;
        for ((function, address), cost) in self.here {
            *functions.entry(inner.get(&address).cloned().unwrap_or(function)).or_default() += cost;
        }
        let instructions = self.total as f64 / operations;
        let functions = functions
            .into_iter()
            .map(|(name, cost)| (name, cost as f64 / operations))
            .filter(|(name, cost)| !name.starts_with("millrace_bench::") && *cost > instructions * 0.003)
            .collect();
        Profile { instructions, functions, cpu: String::new() }
    }
}

/// For each address the innermost function of this project that its code came from, wherever it was put.
fn inner_functions(program: &Path, addresses: &BTreeSet<u64>, list: &Path) -> Result<BTreeMap<u64, String>, GateError> {
    let text: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let name = list.display().to_string();
    let cannot = |error: std::io::Error| GateError::file(&name, &error);
    std::fs::write(list, text).map_err(cannot)?;
    let output = Command::new("addr2line")
        .args(["--inlines", "--functions", "--demangle", "--addresses", "--exe"])
        .arg(program)
        .stdin(File::open(list).map_err(cannot)?)
        .output()
        .map_err(|_| GateError::NoAddr2Line)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bench/ lies in the root");
    Ok(innermost(&String::from_utf8_lossy(&output.stdout), &root.display().to_string()))
}

/// Reads what addr2line says: an address, then a line of a name and one of a place for each function, innermost first.
/// `root` is where the project lay when the program was built.
fn innermost(text: &str, root: &str) -> BTreeMap<u64, String> {
    let mut names = BTreeMap::new();
    let mut address = None;
    let mut lines = text.lines();
    while let Some(name) = lines.next() {
        if let Some(hex) = name.strip_prefix("0x") {
            address = u64::from_str_radix(hex, 16).ok();
            continue;
        }
        let place = lines.next().and_then(|place| place.strip_prefix(root)).map(|place| place.trim_start_matches('/'));
        let (Some(at), Some(place)) = (address, place.filter(|place| !place.starts_with("bench/"))) else { continue };
        names.entry(at).or_insert_with(|| match name.contains("::") {
            true => plain(name),
            // The names of functions that were put into others stand alone.
            false => format!("{name} ({})", place.split(':').next().unwrap_or(place)),
        });
    }
    names
}

/// Whether a function is of this project's crates.
pub(super) fn is_ours(function: &str) -> bool {
    function.contains("millrace_") || function.ends_with(".rs)")
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
positions: instr
events: Ir
summary: 100

ob=/gate
fl=???
fn=millrace_core::codec::decode::h0123456789abcdef
0x10 30
cob=/libc.so.6
cfn=malloc
calls=2 0x99
0x11 40
cfn=millrace_core::codec::wire::take
calls=1 0x20
0x12 30

ob=/libc.so.6
fn=malloc
0x99 40

ob=/gate
fn=millrace_core::codec::wire::take
0x20 20
fi=other.rs
0x21 10

totals: 100
";

    const NAMES: &str = "\
0x0000000000000010
millrace_core::codec::decode
/millrace/core/src/codec/mod.rs:1
0x0000000000000011
alloc::vec::Vec<T,A>::push
/rustc/alloc/vec.rs:9
parse
/millrace/core/src/codec/header.rs:4 (discriminator 2)
millrace_core::codec::decode
/millrace/core/src/codec/mod.rs:2
0x0000000000000020
??
??:0
";

    #[test]
    fn a_function_of_ours_carries_what_others_do_for_it_wherever_the_compiler_put_it() {
        let profile = parse(FILE).profile(&innermost(NAMES, "/millrace"), 10.0);
        let functions: Vec<(&str, f64)> = profile.functions.iter().map(|(name, cost)| (&**name, *cost)).collect();
        assert_eq!(profile.instructions, 10.0);
        let expected = [
            ("malloc", 4.0),
            ("millrace_core::codec::decode", 3.0),
            ("millrace_core::codec::wire::take", 3.0),
            ("parse (core/src/codec/header.rs)", 4.0),
        ];
        assert_eq!(functions, expected);
    }
}
