//! What this machine is and offers, from /proc.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The first line that a program says on either stream, without what is around it.
#[must_use]
pub fn said(program: &Path, arguments: &[String]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// A number in a file of one number.
#[must_use]
pub fn number(file: &str) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}

/// The value of `key` in a file of lines such as `Key:  12 kB`, in bytes where the unit says so.
fn keyed(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let mut words = line.split_whitespace();
    let value: u64 = words.next()?.parse().ok()?;
    Some(if words.next() == Some("kB") { value * 1024 } else { value })
}

/// Memory that can be had without swapping, in bytes: the host's, or what the cgroup leaves.
#[must_use]
pub fn memory_available() -> Option<u64> {
    let host = keyed("/proc/meminfo", "MemAvailable")?;
    let cgroup = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, current)| most.saturating_sub(current));
    Some(cgroup.map_or(host, |left| left.min(host)))
}

/// Memory of a process that is in use now, in bytes.
#[must_use]
pub fn resident(pid: u32) -> Option<u64> {
    keyed(&format!("/proc/{pid}/status"), "VmRSS")
}

/// The most descriptors that a process may have.
#[must_use]
pub fn descriptors() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find(|line| line.starts_with("Max open files"))?;
    let hard = line.split_whitespace().nth(4)?;
    if hard == "unlimited" { number("/proc/sys/fs/nr_open") } else { hard.parse().ok() }
}

/// TCP sockets that are open on this host, both ends counted.
#[must_use]
pub fn tcp_sockets() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/sockstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("TCP: inuse "))?.split(' ').next()?.parse().ok()
}

/// Processors that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The model of the processor.
#[must_use]
pub fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.to_owned())
}

/// Release of the kernel.
#[must_use]
pub fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "unknown".to_owned(), |r| r.trim().to_owned())
}

/// The machine in one line.
#[must_use]
pub fn describe() -> String {
    let memory = keyed("/proc/meminfo", "MemTotal").unwrap_or_default();
    format!("{} x {}, {} memory, Linux {}", cores(), cpu(), crate::text::bytes(memory as f64), kernel())
}

/// The same as JSON.
#[must_use]
pub fn json() -> Value {
    json!({
        "cores": cores(),
        "cpu": cpu(),
        "memory_bytes": keyed("/proc/meminfo", "MemTotal"),
        "kernel": kernel(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_be_described() {
        assert!(memory_available().is_some_and(|bytes| bytes > 1 << 20));
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        assert!(descriptors().is_some_and(|most| most > 2));
        assert!(describe().contains("Linux"));
    }
}
