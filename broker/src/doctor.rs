//! `millrace doctor`: what this host offers against what the broker wants, each with the command that mends it.

use std::path::Path;
use std::time::{Duration, Instant};

use millrace_shards::config::EngineChoice;
use millrace_shards::runtime::probe::{self, Host, IoUringState};
use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::host;
use crate::out::say;

/// Below this, descriptors bound the broker before anything else does.
const DESCRIPTORS_WANTED: u64 = 65_536;
/// Connections that may wait to be accepted when a fleet comes back.
const SOMAXCONN_WANTED: u32 = 4096;
/// Local ports that a load test or a bridge may want.
const LOCAL_PORTS_WANTED: u32 = 28_000;
/// What an empty broker with its buffers and a few thousand clients wants.
const MEMORY_WANTED: u64 = 256 << 20;
/// A write that the disk keeps may take this long.
const SYNC_WANTED: Duration = Duration::from_millis(20);
/// One reading of the clock may take this long.
const CLOCK_WANTED: Duration = Duration::from_nanos(500);
/// Readings of the clock that are measured.
const CLOCK_READS: u32 = 1000;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    /// The broker does not start.
    Fatal,
    /// It starts, and does less or at a higher cost.
    Warning,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    code: &'static str,
    condition: &'static str,
    required: String,
    current: String,
    severity: Severity,
    passed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mend: Vec<String>,
}

impl Row {
    fn new(
        code: &'static str,
        condition: &'static str,
        severity: Severity,
        required: impl Into<String>,
        current: impl Into<String>,
        passed: bool,
    ) -> Self {
        Self { code, condition, required: required.into(), current: current.into(), severity, passed, mend: Vec::new() }
    }

    fn mend(mut self, line: impl Into<String>) -> Self {
        if !self.passed {
            self.mend.push(line.into());
        }
        self
    }
}

/// Runs the verb.
#[must_use]
pub fn run(config: &Config, json: bool) -> Exit {
    let mut rows = host_rows(&probe::probe(), config.engine);
    rows.push(clock());
    rows.extend(data_dir(&config.data_dir));
    rows.extend(ports(config));
    let ok = !rows.iter().any(|row| !row.passed && row.severity == Severity::Fatal);
    if json {
        let document = serde_json::json!({ "version": crate::run::VERSION, "ok": ok, "checks": rows });
        say(&format!("{document:#}\n"));
    } else {
        say(&table(&rows));
    }
    if ok { Exit::Done } else { Exit::Failed }
}

fn host_rows(host: &Host, engine: EngineChoice) -> Vec<Row> {
    let uring_severity = if engine == EngineChoice::IoUring { Severity::Fatal } else { Severity::Warning };
    let mut rows = vec![
        Row::new("H0001", "kernel", uring_severity, "6.1", host.kernel.clone(), host.kernel_new_enough)
            .mend("use a newer kernel; on this one the broker runs on epoll"),
    ];
    rows.push(match &host.io_uring {
        IoUringState::Available => Row::new("H0003", "io_uring", uring_severity, "allowed", "allowed", true),
        IoUringState::Refused { what, error, .. } => {
            let mut row = Row::new("H0003", "io_uring", uring_severity, "allowed", format!("{what}: {error}"), false);
            if host.seccomp == 2 {
                row = row.mend("docker run --security-opt seccomp=deploy/seccomp.json …");
            }
            match host.io_uring_disabled {
                Some(disabled) if disabled > 0 => {
                    row.mend(format!("sysctl -w kernel.io_uring_disabled=0   (now: {disabled})"))
                }
                _ => row,
            }
        }
    });
    let descriptors = host.files_hard;
    rows.push(
        Row::new(
            "H0010",
            "descriptors",
            Severity::Warning,
            format!("{DESCRIPTORS_WANTED} a shard"),
            format!("{descriptors}"),
            descriptors >= DESCRIPTORS_WANTED,
        )
        .mend("LimitNOFILE=1048576 in the unit, --ulimit nofile=1048576 in Docker")
        .mend("or more shards: each holds as many connections as the limit says"),
    );
    if let Some(somaxconn) = host.somaxconn {
        rows.push(
            Row::new(
                "H0011",
                "accept queue",
                Severity::Warning,
                SOMAXCONN_WANTED.to_string(),
                somaxconn.to_string(),
                somaxconn >= SOMAXCONN_WANTED,
            )
            .mend(format!("sysctl -w net.core.somaxconn={SOMAXCONN_WANTED}")),
        );
    }
    if let Some((first, last)) = host.local_ports {
        let ports = u32::from(last.saturating_sub(first)) + 1;
        rows.push(
            Row::new(
                "H0012",
                "local ports",
                Severity::Warning,
                LOCAL_PORTS_WANTED.to_string(),
                format!("{ports} ({first}-{last})"),
                ports >= LOCAL_PORTS_WANTED,
            )
            .mend("sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""),
        );
    }
    if let Some(memory) = host.memory_limit.into_iter().chain(host.memory_total).min() {
        let whose = if host.memory_limit.is_some_and(|limit| limit == memory) { "cgroup" } else { "host" };
        rows.push(
            Row::new(
                "H0013",
                "memory",
                Severity::Warning,
                mebibytes(MEMORY_WANTED),
                format!("{} ({whose})", mebibytes(memory)),
                memory >= MEMORY_WANTED,
            )
            .mend("raise MemoryMax= in the unit, or --memory in Docker"),
        );
    }
    let cores = probe::shards_by_default();
    let allowed = host.cpus.len();
    let quota = host.cpu_quota_percent.map_or_else(String::new, |percent| format!(", quota {percent} %"));
    rows.push(
        Row::new(
            "H0016",
            "cores",
            Severity::Warning,
            "all that are allowed",
            format!("{allowed} allowed{quota}: {cores} by default"),
            usize::from(cores) >= allowed,
        )
        .mend("raise CPUQuota= in the unit or --cpus in Docker, or leave it: the shards follow"),
    );
    rows
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Each turn of a shard reads the clock; where that is a system call or a trip to a device it costs.
fn clock() -> Row {
    let start = Instant::now();
    for _ in 1..CLOCK_READS {
        std::hint::black_box(Instant::now());
    }
    let each = start.elapsed() / CLOCK_READS;
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let source = source.map_or_else(|_| "unknown source".to_owned(), |text| text.trim().to_owned());
    Row::new(
        "H0014",
        "clock",
        Severity::Warning,
        format!("{} ns a reading", CLOCK_WANTED.as_nanos()),
        format!("{} ns ({source})", each.as_nanos()),
        each <= CLOCK_WANTED,
    )
    .mend("a faster source, if /sys/devices/system/clocksource/clocksource0/available_clocksource lists one")
}

/// Looks at the directory where it is, otherwise at the one in which it would be made.
fn data_dir(path: &Path) -> Vec<Row> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or_else(|| Path::new("/"));
    let shown = existing.display().to_string();
    match host::sync_time(existing) {
        Ok(time) => {
            let current = format!("{:.1} ms", time.as_secs_f64() * 1000.0);
            let wanted = format!("{} ms", SYNC_WANTED.as_millis());
            vec![
                Row::new("H0020", "data_dir", Severity::Fatal, "writable", format!("{shown} is"), true),
                Row::new("H0015", "fdatasync", Severity::Warning, wanted, current, time <= SYNC_WANTED)
                    .mend("put data_dir on a local disk: --set data_dir=…"),
            ]
        }
        Err(error) => vec![
            Row::new("H0020", "data_dir", Severity::Fatal, "writable", format!("{shown}: {error}"), false)
                .mend("chown it to this user, or choose another: --set data_dir=…"),
        ],
    }
}

fn ports(config: &Config) -> Vec<Row> {
    let refused = host::ports(config);
    if refused.is_empty() {
        let open = config.listeners.values().filter(|listener| listener.enabled).count();
        return vec![Row::new("H0007", "ports", Severity::Fatal, "free", format!("{open} free"), true)];
    }
    refused
        .into_iter()
        .map(|diagnostic| {
            let row = Row::new(diagnostic.code, "ports", Severity::Fatal, "free", diagnostic.message, false);
            diagnostic.help.into_iter().fold(row, Row::mend)
        })
        .collect()
}

fn table(rows: &[Row]) -> String {
    let head = ["CODE", "CONDITION", "REQUIRED", "CURRENT", "SEVERITY", "PASSED"].map(str::to_owned);
    let cells: Vec<[String; 6]> = std::iter::once(head)
        .chain(rows.iter().map(|row| {
            let severity = match row.severity {
                Severity::Fatal => "fatal",
                Severity::Warning => "warning",
            };
            let passed = if row.passed { "yes" } else { "NO" };
            [row.code, row.condition, &row.required, &row.current, severity, passed].map(str::to_owned)
        }))
        .collect();
    let widths: Vec<usize> =
        (0..6).map(|at| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in cells.iter().enumerate() {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
        let mend = number.checked_sub(1).map_or(&[][..], |at| &rows[at].mend);
        for line in mend {
            text.push_str("       -> ");
            text.push_str(line);
            text.push('\n');
        }
    }
    crate::diagnostics::printable_lines(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            kernel: "6.18.5".to_owned(),
            kernel_new_enough: true,
            io_uring: IoUringState::Available,
            io_uring_disabled: Some(0),
            seccomp: 0,
            files_soft: 1024,
            files_hard: 1_048_576,
            cpus: Vec::new(),
            cpu_quota_percent: None,
            memory_limit: None,
            memory_total: Some(24 << 30),
            somaxconn: Some(4096),
            local_ports: Some((32_768, 60_999)),
        }
    }

    #[test]
    fn a_good_host_passes_and_needs_no_mending() {
        let rows = host_rows(&host(), EngineChoice::Auto);
        assert!(rows.iter().all(|row| row.passed && row.mend.is_empty()), "{rows:#?}");
    }

    #[test]
    fn what_is_missing_comes_with_the_command_that_mends_it() {
        let mut poor = host();
        poor.io_uring = IoUringState::Refused {
            what: "io_uring_setup".to_owned(),
            error: "Operation not permitted (os error 1)".to_owned(),
            errno: Some(1),
            fallback: true,
        };
        poor.seccomp = 2;
        poor.io_uring_disabled = Some(2);
        poor.files_hard = 20_000;
        poor.somaxconn = Some(128);
        poor.memory_limit = Some(64 << 20);
        let rows = host_rows(&poor, EngineChoice::Auto);
        let failed: Vec<&str> = rows.iter().filter(|row| !row.passed).map(|row| row.code).collect();
        assert_eq!(failed, ["H0003", "H0010", "H0011", "H0013"]);
        assert!(rows.iter().all(|row| row.severity == Severity::Warning), "auto has another engine");
        let text = table(&rows);
        for part in
            ["seccomp=deploy/seccomp.json", "io_uring_disabled=0   (now: 2)", "somaxconn=4096", "64 MiB (cgroup)"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let strict = host_rows(&poor, EngineChoice::IoUring);
        assert!(strict.iter().any(|row| row.code == "H0003" && row.severity == Severity::Fatal));
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_where_it_would_be() {
        let path = std::env::temp_dir().join("millrace-doctor/not/there");
        let rows = data_dir(&path);
        assert!(rows[0].passed, "{rows:?}");
        assert!(!path.exists());
        assert!(!data_dir(Path::new("/proc/1/x"))[0].passed);
    }
}
