//! What this host allows: kernel, `io_uring`, descriptors, processors, memory, ports.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::engine::uring::setup;
use super::sys;

/// One look at the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The kernel's name for its version.
    pub kernel: String,
    /// Whether the kernel is new enough for the `io_uring` engine.
    pub kernel_new_enough: bool,
    /// Whether the `io_uring` engine can run.
    pub io_uring: IoUringState,
    /// `kernel.io_uring_disabled`, where the kernel has it.
    pub io_uring_disabled: Option<u32>,
    /// Seccomp mode of this process: 0 none, 1 strict, 2 filter.
    pub seccomp: u32,
    /// Open files that this process may have now.
    pub files_soft: u64,
    /// Open files that it may raise itself to.
    pub files_hard: u64,
    /// Processors that this process may use.
    pub cpus: Vec<usize>,
    /// Processor time that the cgroup grants, in hundredths of a processor.
    pub cpu_quota_percent: Option<u64>,
    /// Memory that the cgroup grants, in bytes.
    pub memory_limit: Option<u64>,
    /// Memory of the host, in bytes.
    pub memory_total: Option<u64>,
    /// Connections that may wait to be accepted.
    pub somaxconn: Option<u32>,
    /// Local ports for outgoing connections.
    pub local_ports: Option<(u16, u16)>,
}

/// Whether the `io_uring` engine can run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum IoUringState {
    /// It can.
    Available,
    /// It cannot.
    Refused {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        error: String,
        /// The same as a number.
        errno: Option<i32>,
        /// Whether the host refuses it as such; if not, something else is short.
        fallback: bool,
    },
}

/// Looks at the host.
#[must_use]
pub fn probe() -> Host {
    let (files_soft, files_hard) = sys::file_limits();
    Host {
        kernel: sys::kernel_release(),
        kernel_new_enough: sys::kernel_version() >= setup::KERNEL_MIN,
        io_uring: match setup::check() {
            Ok(()) => IoUringState::Available,
            Err(error) => IoUringState::Refused {
                what: error.what.to_owned(),
                fallback: error.is_refusal(),
                errno: error.source.raw_os_error(),
                error: error.source.to_string(),
            },
        },
        io_uring_disabled: io_uring_disabled(),
        seccomp: seccomp_mode(),
        files_soft,
        files_hard,
        cpus: sys::allowed_cpus(),
        cpu_quota_percent: cpu_quota_percent(Path::new("/")),
        memory_limit: memory_limit(Path::new("/")),
        memory_total: memory_total(),
        somaxconn: number("/proc/sys/net/core/somaxconn"),
        local_ports: local_ports(),
    }
}

/// Shards where the config says 0: one a processor that this process may use, as far as its quota goes.
#[must_use]
pub fn shards_by_default() -> u16 {
    let cpus = sys::allowed_cpus().len() as u64;
    let quota = cpu_quota_percent(Path::new("/")).map_or(cpus, |percent| percent.div_ceil(100).max(1));
    u16::try_from(cpus.min(quota)).unwrap_or(super::SHARDS_MAX)
}

/// `kernel.io_uring_disabled`.
pub(crate) fn io_uring_disabled() -> Option<u32> {
    number("/proc/sys/kernel/io_uring_disabled")
}

/// Seccomp mode of this process.
pub(crate) fn seccomp_mode() -> u32 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("Seccomp:"))?;
            line.split_ascii_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}

fn number<N: std::str::FromStr>(path: impl AsRef<Path>) -> Option<N> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn memory_total() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn local_ports() -> Option<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The folders of this process's cgroup for a controller, from its own up to the root: version 2 and version 1. A
/// container often sees only the root of what it has.
fn cgroups(root: &Path, controller: &str) -> (Vec<std::path::PathBuf>, Vec<std::path::PathBuf>) {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let (mut v2, mut v1) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (base, found) = if controllers.is_empty() {
            (root.join("sys/fs/cgroup"), &mut v2)
        } else if controllers.split(',').any(|name| name == controller) {
            let mounted = [controllers, controller]
                .map(|name| root.join("sys/fs/cgroup").join(name))
                .into_iter()
                .find(|folder| folder.is_dir());
            (mounted.unwrap_or_else(|| root.join("sys/fs/cgroup").join(controller)), &mut v1)
        } else {
            continue;
        };
        let mut inside = Path::new(path.trim_start_matches('/'));
        loop {
            found.push(base.join(inside));
            match inside.parent() {
                Some(parent) => inside = parent,
                None => break,
            }
        }
    }
    (v2, v1)
}

/// The lowest memory limit of the cgroups that this process is in.
fn memory_limit(root: &Path) -> Option<u64> {
    let (v2, v1) = cgroups(root, "memory");
    let limits = v2
        .iter()
        .map(|folder| folder.join("memory.max"))
        .chain(v1.iter().map(|folder| folder.join("memory.limit_in_bytes")))
        .filter_map(number::<u64>);
    // Version 1 writes "no limit" as a number near the largest.
    limits.filter(|limit| *limit < 1 << 60).min()
}

/// The lowest processor quota of the cgroups that this process is in.
fn cpu_quota_percent(root: &Path) -> Option<u64> {
    let (v2, v1) = cgroups(root, "cpu");
    let percent = |quota: u64, period: u64| (quota * 100).checked_div(period);
    let new = v2.iter().filter_map(|folder| {
        let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
        let mut fields = text.split_ascii_whitespace();
        percent(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)
    });
    let old = v1.iter().filter_map(|folder| {
        let quota: i64 = number(folder.join("cpu.cfs_quota_us"))?;
        percent(u64::try_from(quota).ok()?, number(folder.join("cpu.cfs_period_us"))?)
    });
    new.chain(old).min()
}

/// The kernel's answer in words that a person can search for.
pub(crate) fn errno_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM".into(),
        Some(libc::EACCES) => "EACCES".into(),
        Some(libc::ENOSYS) => "ENOSYS".into(),
        Some(libc::EINVAL) => "EINVAL".into(),
        Some(libc::ENOMEM) => "ENOMEM".into(),
        Some(libc::EMFILE) => "EMFILE".into(),
        Some(libc::ENFILE) => "ENFILE".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("millrace-probe-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn limits_of_a_version_2_cgroup_count_with_those_above_it() {
        let root = host(
            "v2",
            &[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a/memory.max", "268435456\n"),
                ("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
            ],
        );
        assert_eq!(memory_limit(&root), Some(268_435_456));
        assert_eq!(cpu_quota_percent(&root), Some(150));
        fs::remove_dir_all(root).expect("made above");
    }

    #[test]
    fn limits_of_version_1_cgroups_are_read() {
        let root = host(
            "v1",
            &[
                ("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/x\n"),
                ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
                ("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(memory_limit(&root), Some(1 << 30));
        assert_eq!(cpu_quota_percent(&root), Some(50));
        fs::remove_dir_all(root).expect("made above");
    }

    #[test]
    fn a_look_at_this_host_finds_something() {
        let host = probe();
        assert!(host.files_hard >= host.files_soft && !host.cpus.is_empty());
        assert!(host.memory_total.is_some());
        assert!(shards_by_default() >= 1);
    }
}
