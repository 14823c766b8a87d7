//! Millrace beside its peers: the same load tool, the same scenarios, in turn, on one core and on all.
//!
//! Each figure is the median of several rounds, and in each round every broker runs a scenario before the next one
//! begins, so that what happens to the machine happens to all of them. Each run has a broker of its own.

mod peer;
mod rows;
mod run;
mod svg;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::host;
use crate::process::Programs;
use peer::Peer;
use rows::{ROWS, Row};
use run::{Measured, Runner};
use table::Results;

const USAGE: &str = "\
usage: bench/compare [--peers NAME,...] [--rows NAME,...] [--on one|all|both] [--rounds N] [--seconds N] [--out DIR]
                     [--bin DIR] [--install] [--list]

Runs Millrace and its peers in the same scenarios and writes compare.md, compare.json and compare.svg.
  --peers LIST   such as mosquitto,rmqttd; all: every peer that is there; without it the usual ones that are there
  --rows LIST    scenarios; without it all
  --on WHICH     one: the broker on core 0, the load tool on core 1; all: both on all cores; without it both
  --rounds N     times that each broker runs each scenario, 2 if it is not given
  --seconds N    measured time of one run, 3 if it is not given
  --out DIR      where the files go; target/compare if it is not given
  --bin DIR      millrace and millrace-load lie here; without it they are built
  --install      installs the wanted peers that are not there
  --list         names peers, rows and where each peer is
";

/// On which cores the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The first one, and the load tool on the second.
    One,
    /// All, and so does the load tool.
    All,
}

impl Cores {
    const fn name(self) -> &'static str {
        match self {
            Self::One => "one core",
            Self::All => "all cores",
        }
    }

    /// Where the broker runs, and the load tool.
    const fn places(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::One => (Some("0"), Some("1")),
            Self::All => (None, None),
        }
    }

    fn threads(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => host::cores(),
        }
    }
}

struct Options {
    peers: Option<String>,
    rows: Vec<&'static Row>,
    on: Vec<Cores>,
    rounds: u64,
    seconds: u64,
    out: PathBuf,
    bin: Option<PathBuf>,
    install: bool,
    list: bool,
}

impl Options {
    fn read(mut arguments: Arguments) -> Result<Self, String> {
        let rows = match arguments.value::<String>("--rows")? {
            None => ROWS.iter().collect(),
            Some(names) => names
                .split(',')
                .map(|name| rows::find(name).ok_or_else(|| format!("there is no row {name}; --list names all")))
                .collect::<Result<_, _>>()?,
        };
        let on = match arguments.value::<String>("--on")?.as_deref() {
            None | Some("both") => vec![Cores::One, Cores::All],
            Some("one") => vec![Cores::One],
            Some("all") => vec![Cores::All],
            Some(other) => return Err(format!("--on {other}: it is one, all or both")),
        };
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let options = Self {
            peers: arguments.value("--peers")?,
            rows,
            on,
            rounds: arguments.count("--rounds")?.unwrap_or(2).max(1),
            seconds: arguments.count("--seconds")?.unwrap_or(3).max(1),
            out: arguments.value("--out")?.unwrap_or_else(|| target.join("compare")),
            bin: arguments.value("--bin")?,
            install: arguments.switch("--install"),
            list: arguments.switch("--list"),
        };
        arguments.end()?;
        if host::cores() < 2 && options.on.contains(&Cores::One) {
            return Err("the broker and the load tool want a core each: two are needed, or --on all".to_owned());
        }
        Ok(options)
    }
}

/// What the program does.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    if arguments.ask_for_help() {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let outcome = Options::read(arguments)
        .map_err(|error| (2, error))
        .and_then(|options| if options.list { list() } else { compare(&options) }.map_err(|error| (1, error)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            eprintln!("error: {error}");
            ExitCode::from(code)
        }
    }
}

fn list() -> Result<(), String> {
    println!("rows:");
    for row in ROWS {
        println!("  {:<18} {}", row.name, row.title);
    }
    println!("peers:");
    for peer in peer::all(None)? {
        let place =
            peer.program().map_or_else(|| format!("not there: {}", peer.install()), |p| p.display().to_string());
        println!("  {:<18} {place}", peer.key);
    }
    Ok(())
}

fn compare(options: &Options) -> Result<(), String> {
    let begun = Instant::now();
    let programs = Programs::find(options.bin.clone())?;
    let peers = chosen(options, &programs)?;
    let names: Vec<String> = peers.iter().map(|peer| format!("{} ({})", peer.name, peer.version())).collect();
    say(&format!("{}\n{}", host::describe(), names.join("\n")));
    let runner = Runner::new(&programs, options.seconds)?;
    let mut results = Results::default();
    for &cores in &options.on {
        for &row in options.rows.iter().filter(|row| cores == Cores::One || row.on_all) {
            for round in 0..options.rounds {
                for peer in &peers {
                    let measured = match peer.lacks(row.needs) {
                        Some(why) => Measured::Lacks(why.to_owned()),
                        None => runner.run(peer, row, cores).unwrap_or_else(Measured::Failed),
                    };
                    say(&format!("{:<9} {:<18} {} {:<12} {measured}", cores.name(), row.name, round + 1, peer.name));
                    results.add(cores, row, &peer.key, measured);
                }
            }
        }
    }
    write(options, &peers, &results, begun.elapsed().as_secs())
}

/// The brokers that take part, ours first.
fn chosen(options: &Options, programs: &Programs) -> Result<Vec<Peer>, String> {
    let all = peer::all(Some(programs))?;
    let wanted: Option<Vec<&str>> = match options.peers.as_deref() {
        Some("all") | None => None,
        Some(names) => Some(names.split(',').collect()),
    };
    if let Some(unknown) = wanted.iter().flatten().find(|name| !all.iter().any(|peer| peer.key == **name)) {
        return Err(format!("there is no peer {unknown}; --list names all"));
    }
    let mut peers = Vec::new();
    for peer in all {
        let named = wanted.as_ref().is_some_and(|names| names.contains(&&*peer.key));
        let usual = wanted.is_none() && (peer.usual || options.peers.is_some());
        if !(peer.key == peer::OURS || named || usual) {
            continue;
        }
        if let Some(installer) = peer.installer().filter(|_| options.install && peer.program().is_none()) {
            say(&format!("installing {}: {}", peer.name, peer.install()));
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
            let installed = Command::new("bash").current_dir(root).args(["-c", &installer]).status();
            if !installed.is_ok_and(|status| status.success()) {
                return Err(format!("{} cannot be installed", peer.name));
            }
        }
        match peer.program() {
            Some(_) => peers.push(peer),
            None if named => return Err(format!("{} is not there: {}", peer.name, peer.install())),
            None => say(&format!("{} is left out, it is not there: {}", peer.name, peer.install())),
        }
    }
    Ok(peers)
}

fn write(options: &Options, peers: &[Peer], results: &Results, took: u64) -> Result<(), String> {
    let written = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let versions: Vec<Value> =
        peers.iter().map(|peer| json!({ "peer": peer.key, "name": peer.name, "version": peer.version() })).collect();
    let document = json!({
        "schema": "millrace-compare/1",
        "written_at_unix_s": written,
        "took_s": took,
        "machine": host::json(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "peers": versions,
        "results": results.json(),
    });
    let markdown = table::markdown(results, peers, &options.on, (options.rounds, options.seconds, took));
    let cannot = |error: std::io::Error| format!("cannot write into {}: {error}", options.out.display());
    std::fs::create_dir_all(&options.out).map_err(cannot)?;
    let file = |name: &str, text: &str| std::fs::write(options.out.join(name), text).map_err(cannot);
    file("compare.json", &format!("{document:#}\n"))?;
    file("compare.md", &markdown)?;
    file("compare.svg", &svg::draw(results, peers))?;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{markdown}");
    say(&format!("written to {}", options.out.display()));
    Ok(())
}

/// What is going on.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
