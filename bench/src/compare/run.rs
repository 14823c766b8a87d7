//! One run: a fresh broker, the load tool against it, and what came out.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Cores;
use super::peer::{Peer, Places};
use super::rows::{Kind, Row};
use crate::host;
use crate::process::{Process, Programs, Scratch, command, free_port};
use crate::text::{bytes, count, duration, three_digits};

/// What a run may take beside the measured time: ramp, warm-up, drain.
const BESIDE: Duration = Duration::from_secs(60);

/// The figures of one run, by name; those that a row does not have are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(pub(crate) Vec<(Figure, f64)>);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Messages a second.
    Rate,
    /// Microseconds of processor time of the broker for each message.
    CpuPerMessage,
    /// Processors that the broker kept busy.
    BrokerCores,
    /// Latency of delivery in nanoseconds.
    P50,
    P99,
    P999,
    /// Messages that never came, came twice, came late.
    Lost,
    Doubled,
    Reordered,
    /// Process memory of a connection.
    BytesPerConnection,
    /// Connects a second.
    Connects,
    /// Connections that failed.
    FailedConnections,
    /// 1 if the load tool was the limit.
    ToolLimited,
}

impl Figure {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "messages_per_s",
            Self::CpuPerMessage => "cpu_us_per_message",
            Self::BrokerCores => "broker_cores",
            Self::P50 => "p50_ns",
            Self::P99 => "p99_ns",
            Self::P999 => "p99_9_ns",
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
            Self::BytesPerConnection => "bytes_per_connection",
            Self::Connects => "connects_per_s",
            Self::FailedConnections => "failed_connections",
            Self::ToolLimited => "limited_by_the_load_tool",
        }
    }
}

/// Where each figure is in the report of the load tool.
const OF_MESSAGES: &[(Figure, &str)] = &[
    (Figure::Rate, "/measured/rate_per_s"),
    (Figure::CpuPerMessage, "/broker/cpu_us_per_message"),
    (Figure::BrokerCores, "/broker/cores"),
    (Figure::P50, "/latency/delivery/p50_ns"),
    (Figure::P99, "/latency/delivery/p99_ns"),
    (Figure::P999, "/latency/delivery/p99_9_ns"),
    (Figure::Lost, "/messages/lost"),
    (Figure::Doubled, "/messages/doubled"),
    (Figure::Reordered, "/messages/reordered"),
    (Figure::FailedConnections, "/connections/failed"),
];
const OF_CONNECTIONS: &[(Figure, &str)] = &[
    (Figure::BytesPerConnection, "/broker/bytes_per_connection"),
    (Figure::Connects, "/connections/per_s"),
    (Figure::FailedConnections, "/connections/failed"),
];

impl Figures {
    fn of(row: &Row, report: &Value) -> Self {
        let places = if row.kind == Kind::Idle { OF_CONNECTIONS } else { OF_MESSAGES };
        let mut figures: Vec<(Figure, f64)> =
            places.iter().filter_map(|(figure, place)| Some((*figure, report.pointer(place)?.as_f64()?))).collect();
        let valid = report.pointer("/verdict/valid").and_then(Value::as_bool).unwrap_or(true);
        figures.push((Figure::ToolLimited, if valid { 0.0 } else { 1.0 }));
        Self(figures)
    }

    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        self.0.iter().find_map(|(known, value)| (*known == figure).then_some(*value))
    }

    pub(crate) fn json(&self) -> Value {
        self.0.iter().map(|(figure, value)| (figure.name().to_owned(), (*value).into())).collect::<Map<_, _>>().into()
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measured {
    /// It ran.
    Figures(Figures),
    /// The broker cannot do this.
    Lacks(String),
    /// It did not work.
    Failed(String),
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = match self {
            Self::Figures(figures) => figures,
            Self::Lacks(why) => return write!(f, "not run: {why}"),
            Self::Failed(why) => return write!(f, "FAILED: {}", why.lines().next().unwrap_or_default()),
        };
        if let Some(rate) = figures.get(Figure::Rate) {
            write!(f, "{:>9}/s", count(rate))?;
        }
        if let Some(cpu) = figures.get(Figure::CpuPerMessage) {
            write!(f, "  {} µs each", three_digits(cpu))?;
        }
        if let Some(p99) = figures.get(Figure::P99) {
            write!(f, "  p99 {}", duration(p99))?;
        }
        if let Some(each) = figures.get(Figure::BytesPerConnection) {
            write!(f, "  {} each", bytes(each))?;
        }
        if let Some(connects) = figures.get(Figure::Connects) {
            write!(f, "  {} connects/s", count(connects))?;
        }
        for figure in [Figure::Lost, Figure::Doubled, Figure::Reordered, Figure::FailedConnections] {
            if let Some(value) = figures.get(figure).filter(|value| *value > 0.0) {
                write!(f, "  {} {}", count(value), figure.name())?;
            }
        }
        if figures.get(Figure::ToolLimited) == Some(1.0) {
            f.write_str("  (limited by the load tool)")?;
        }
        Ok(())
    }
}

/// Runs brokers and the load tool.
pub(crate) struct Runner<'a> {
    programs: &'a Programs,
    seconds: u64,
    scratch: Scratch,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(programs: &'a Programs, seconds: u64) -> Result<Self, String> {
        let scratch = Scratch::new("compare").map_err(|error| format!("cannot make a folder: {error}"))?;
        Ok(Self { programs, seconds, scratch })
    }

    /// One run with a broker of its own.
    pub(crate) fn run(&self, peer: &Peer, row: &Row, cores: Cores) -> Result<Measured, String> {
        let dir = self.scratch.path().join("broker");
        // What the broker before has left.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        let (broker_place, tool_place) = cores.places();
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let places = Places { port, threads: cores.threads(), dir: &dir };
        let how = peer.prepare(&places).map_err(|error| format!("cannot write its settings: {error}"))?;
        let program = peer.program().ok_or("it is not there")?;
        let mut start = command(&program, broker_place);
        start.args(how.arguments).envs(how.environment).current_dir(&dir);
        let mut broker = Process::start(start, &dir.join("log"))?;
        broker.wait_for_port(port)?;

        let report = dir.join("report.json");
        let mut load = command(&self.programs.load, tool_place);
        load.args(row.arguments)
            .args(["-p", &port.to_string(), "-V", "4", "-d", &format!("{}s", self.seconds), "--drain", "2s"])
            .args(["--connect-timeout", "30s", "--progress", "none", "--pid", &largest(broker.id()).to_string()])
            .arg("--json")
            .arg(&report);
        let mut load = Process::start(load, &dir.join("load.log"))?;
        let ended = load.wait(Duration::from_secs(self.seconds) + BESIDE);
        if let Some(status) = broker.ended() {
            return Err(format!("the broker ended with {status}: {}", broker.said()));
        }
        match ended {
            Some(status) if status.success() => {
                read(&report).map(|report| Measured::Figures(Figures::of(row, &report)))
            }
            Some(status) => Err(format!("the load tool ended with {status}: {}", load.said())),
            None => Err("the load tool does not end".to_owned()),
        }
    }
}

fn read(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("no report: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("the report cannot be read: {error}"))
}

/// Of a process and those that it has started, the one with the most memory: the broker behind a start script.
fn largest(root: u32) -> u32 {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&member) = family.get(at) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(pid, _)| *pid));
        at += 1;
    }
    family.into_iter().max_by_key(|pid| host::resident(*pid)).unwrap_or(root)
}

/// Who started a process.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows;
    use serde_json::json;

    #[test]
    fn figures_are_found_in_a_report_and_absent_ones_left_out() {
        let row = rows::find("pairs-q0").expect("it is a row");
        let report = json!({
            "measured": { "rate_per_s": 1000 },
            "messages": { "lost": 2, "doubled": 0 },
            "latency": { "delivery": { "p50_ns": 1, "p99_ns": 3_000_000 } },
            "broker": null,
            "verdict": { "valid": false },
        });
        let figures = Figures::of(row, &report);
        assert_eq!(figures.get(Figure::Rate), Some(1000.0));
        assert_eq!((figures.get(Figure::CpuPerMessage), figures.get(Figure::ToolLimited)), (None, Some(1.0)));
        let text = Measured::Figures(figures).to_string();
        assert!(text.contains("p99 3.00 ms") && text.contains("2 lost") && text.contains("limited"), "{text}");
    }

    #[test]
    fn a_process_is_the_largest_of_its_own_family() {
        assert_eq!(largest(std::process::id()), std::process::id());
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
    }
}
