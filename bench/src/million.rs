//! A million connections in one broker process on one machine, then messages through it to random clients.
//!
//! A table of direct descriptors has as many places as a process may have descriptors, so a broker whose host does not
//! raise that limit gets more shards than cores: each has a table of its own. The clients are `millrace-load sub`, each
//! with a subscription of its own; `millrace-load pub` sends to one of them at a time.

mod preflight;
mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::arguments::Arguments;
use crate::host;
use crate::process::{Process, Programs, Scratch, command, free_port};
use crate::text::count;
use preflight::Preflight;
use report::Report;

const USAGE: &str = "\
usage: bench/million [--connections N] [--rate N] [--seconds N] [--connrate N] [--shards N] [--bin DIR] [--json FILE]
                     [--dry-run]

Opens N connections to one broker process, each with a subscription, and sends messages to random ones.
  --connections N  connections, such as 50k; 1m if it is not given
  --rate N         messages a second, 1000 if it is not given
  --seconds N      how long, 30 if it is not given
  --connrate N     connects a second; without it as fast as they are answered
  --shards N       shards; without it one a core, more if the limit of descriptors asks for it
  --bin DIR        millrace and millrace-load lie here; without it they are built
  --json FILE      writes the result as JSON, too
  --dry-run        says what this host lacks, and stops
";

/// Publishers that share the rate.
const PUBLISHERS: u64 = 20;
/// The ramp is over when nothing has been connected for so long that something is wrong.
const STANDSTILL: Duration = Duration::from_secs(60);
/// Let idle connections settle before memory is read.
const SETTLE: Duration = Duration::from_secs(3);

/// What was asked for.
#[derive(Clone, Debug)]
struct Options {
    connections: u64,
    rate: u64,
    seconds: u64,
    connrate: Option<u64>,
    shards: u64,
    bin: Option<PathBuf>,
    json: Option<PathBuf>,
    dry_run: bool,
}

impl Options {
    fn read(mut arguments: Arguments) -> Result<Self, String> {
        let connections = arguments.count("--connections")?.unwrap_or(1_000_000);
        let options = Self {
            connections,
            rate: arguments.count("--rate")?.unwrap_or(1000),
            seconds: arguments.count("--seconds")?.unwrap_or(30),
            connrate: arguments.count("--connrate")?,
            shards: arguments.count("--shards")?.unwrap_or_else(|| preflight::shards(connections)),
            bin: arguments.value("--bin")?,
            json: arguments.value("--json")?,
            dry_run: arguments.switch("--dry-run"),
        };
        arguments.end()?;
        if options.connections == 0 || options.rate == 0 || options.seconds == 0 || options.shards == 0 {
            return Err("connections, rate, seconds and shards are above 0".to_owned());
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
    let options = match Options::read(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let preflight = Preflight::new(options.connections, options.shards);
    eprint!("{preflight}");
    if preflight.refuses() {
        return ExitCode::FAILURE;
    }
    if options.dry_run {
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(report) => {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "{report}");
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Report, String> {
    let programs = Programs::find(options.bin.clone())?;
    let scratch = Scratch::new("million").map_err(|error| format!("cannot make a folder: {error}"))?;
    let file = |name: &str| scratch.path().join(name);
    let port = free_port().map_err(|error| format!("no free port: {error}"))?;

    say(&format!("starting the broker with {} shards", options.shards));
    let memory_before = host::memory_available().unwrap_or_default();
    let mut start = command(&programs.broker, None);
    start.arg("run");
    for setting in [
        format!("shards={}", options.shards),
        format!("data_dir={}", file("data").display()),
        format!("listeners.default.port={port}"),
        format!("listeners.default.max_connections={}", options.connections + options.connections / 10 + 1000),
        // What a rule of the built-in config does is not what is shown here.
        "rules.demo.enabled=false".to_owned(),
    ] {
        start.args(["--set", &setting]);
    }
    let mut broker = Process::start(start, &file("broker.log"))?;
    broker.wait_for_port(port).map_err(|error| format!("the broker {error}"))?;
    let empty = host::resident(broker.id()).unwrap_or_default();

    say(&format!("opening {} connections", count(options.connections as f64)));
    let mut hold = command(&programs.load, None);
    hold.args(["sub", "--topic", "m/%i", "--progress", "plain", "--duration", "24h", "--keepalive", "1200"])
        .args(["--count", &options.connections.to_string(), "--port", &port.to_string()])
        .arg("--json")
        .arg(file("sub.json"));
    if let Some(rate) = options.connrate {
        hold.args(["--connrate", &rate.to_string()]);
    }
    let sockets = host::tcp_sockets().unwrap_or_default();
    let ramp_begun = Instant::now();
    let mut clients = Process::start(hold, &file("sub.log"))?;
    wait_for_ramp(options, &mut broker, &mut clients, sockets)?;
    let ramp = ramp_begun.elapsed();
    std::thread::sleep(SETTLE);
    let full = host::resident(broker.id()).unwrap_or_default();
    let tool = host::resident(clients.id()).unwrap_or_default();
    let memory_after = host::memory_available().unwrap_or_default();

    say(&format!("sending {} messages a second for {} s", count(options.rate as f64), options.seconds));
    let mut publish = command(&programs.load, None);
    publish
        .args(["pub", "--topic", &format!("m/%rand_{}", options.connections), "--size", "64", "--warm-up", "0"])
        .args(["--count", &PUBLISHERS.to_string(), "--rate", &options.rate.to_string()])
        .args(["--duration", &options.seconds.to_string(), "--port", &port.to_string(), "--workers", "1"])
        .arg("--json")
        .arg(file("pub.json"));
    let mut publishers = Process::start(publish, &file("pub.log"))?;
    if !publishers.wait(Duration::from_secs(options.seconds + 60)).is_some_and(|status| status.success()) {
        return Err(format!("the publishers did not end well:\n{}", publishers.said()));
    }
    std::thread::sleep(Duration::from_secs(1));
    if let Some(status) = broker.ended() {
        return Err(format!("the broker ended with {status}:\n{}", broker.said()));
    }
    let busy = host::resident(broker.id()).unwrap_or_default();

    say("closing");
    clients.signal(Signal::INT);
    if clients.wait(Duration::from_secs(300)).is_none() {
        return Err("the clients do not end".to_owned());
    }
    let report = Report {
        connections: options.connections,
        shards: options.shards,
        rate: options.rate,
        ramp,
        empty,
        full,
        busy,
        kernel: memory_before.saturating_sub(memory_after).saturating_sub(full + tool),
        clients: read(&file("sub.json"), &clients)?,
        publishers: read(&file("pub.json"), &publishers)?,
    };
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(report)
}

/// Waits until the clients say that they have begun to listen.
fn wait_for_ramp(
    options: &Options,
    broker: &mut Process,
    clients: &mut Process,
    sockets_before: u64,
) -> Result<(), String> {
    let mut moved = Instant::now();
    let mut most = 0;
    let mut told = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let said = clients.said();
        if let Some(status) = clients.ended() {
            return Err(format!("the clients ended with {status}:\n{said}"));
        }
        if let Some(status) = broker.ended() {
            return Err(format!("the broker ended with {status}:\n{}", broker.said()));
        }
        // Lines of the ramp say "connecting", later ones name rates.
        if said.lines().any(|line| line.contains(" in/s")) {
            return Ok(());
        }
        let open = host::tcp_sockets().unwrap_or_default().saturating_sub(sockets_before) / 2;
        if open > most {
            (most, moved) = (open, Instant::now());
        }
        if told.elapsed() > Duration::from_secs(5) && open < options.connections {
            told = Instant::now();
            say(&format!("  {} of {}", count(open as f64), count(options.connections as f64)));
        }
        if moved.elapsed() > STANDSTILL {
            return Err(format!(
                "the ramp stands still at {}:\n{said}\nbroker:\n{}",
                count(most as f64),
                broker.said()
            ));
        }
    }
}

fn read(file: &std::path::Path, process: &Process) -> Result<Value, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("no report in {}: {error}\n{}", file.display(), process.said()))?;
    serde_json::from_str(&text).map_err(|error| format!("{} is no report: {error}", file.display()))
}

/// What is going on.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
