//! What `/proc` tells of this host and of the broker's process.

use std::fs;

use crate::sys;

/// What the processors of this host did while it was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostWatch {
    begun: Option<[u64; 8]>,
    ended: Option<[u64; 8]>,
}

impl HostWatch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn begin(&mut self) {
        self.begun = ticks();
    }

    /// Begins, unless it has begun.
    pub(crate) fn begin_once(&mut self) {
        if self.begun.is_none() {
            self.begin();
        }
    }

    pub(crate) fn end(&mut self) {
        self.ended = ticks();
    }

    pub(crate) fn finish(&mut self) {
        if self.ended.is_none() {
            self.end();
        }
    }

    /// The part of the time that other guests of the hypervisor took, 0 to 1.
    pub(crate) fn stolen(&self) -> f64 {
        let (Some(begun), Some(ended)) = (&self.begun, &self.ended) else { return 0.0 };
        let spent: u64 = ended.iter().zip(begun).map(|(later, earlier)| later.saturating_sub(*earlier)).sum();
        ended[7].saturating_sub(begun[7]) as f64 / spent.max(1) as f64
    }
}

/// user, nice, system, idle, iowait, irq, softirq, steal of all processors together.
fn ticks() -> Option<[u64; 8]> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let mut numbers = stat.lines().next()?.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0));
    Some(std::array::from_fn(|_| numbers.next().unwrap_or(0)))
}

/// The broker's process, looked at from outside.
#[derive(Clone, Debug)]
pub(crate) struct BrokerWatch {
    pub(crate) pid: u32,
    /// Time and processor time in nanoseconds, and resident bytes.
    begun: Option<Look>,
    ended: Option<Look>,
    /// What the last sample saw.
    last: Look,
    /// Resident bytes before anything was connected, and the most that was seen.
    pub(crate) rss_before: u64,
    pub(crate) rss_peak: u64,
}

/// The broker's process between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BrokerSample {
    /// Processors that it kept busy.
    pub(crate) cores: f64,
    pub(crate) rss: u64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: u64,
    cpu: u64,
    rss: u64,
}

impl BrokerWatch {
    /// None if there is no such process that we may look at.
    pub(crate) fn new(pid: u32) -> Option<Self> {
        let look = look(pid)?;
        Some(Self { pid, begun: None, ended: None, last: look, rss_before: look.rss, rss_peak: look.rss })
    }

    pub(crate) fn begin(&mut self) {
        self.begun = look(self.pid);
        self.sample();
    }

    /// What it did since the last sample; none if it is gone.
    pub(crate) fn sample(&mut self) -> Option<BrokerSample> {
        let look = look(self.pid)?;
        let last = std::mem::replace(&mut self.last, look);
        self.rss_peak = self.rss_peak.max(look.rss);
        let cores = look.cpu.saturating_sub(last.cpu) as f64 / look.at.saturating_sub(last.at).max(1) as f64;
        Some(BrokerSample { cores, rss: look.rss })
    }

    pub(crate) fn end(&mut self) {
        self.ended = look(self.pid);
        self.sample();
    }

    /// Processor time in the measured span, in nanoseconds, and the span.
    pub(crate) fn cpu(&self) -> Option<(u64, u64)> {
        let (begun, ended) = (self.begun?, self.ended?);
        Some((ended.cpu.saturating_sub(begun.cpu), ended.at - begun.at))
    }

    /// Resident bytes when the ramp was over.
    pub(crate) fn rss(&self) -> Option<u64> {
        self.begun.map(|look| look.rss)
    }
}

fn look(pid: u32) -> Option<Look> {
    Some(Look { at: sys::now(), cpu: cpu_of(pid)?, rss: rss_of(pid)? })
}

/// What all threads of a process have run so far, in nanoseconds: exact where the kernel tells it, else in ticks.
fn cpu_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which is in brackets: user and system time are words 14 and 15 of all.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|word| word.parse().unwrap_or(0)).sum();
    let exact = fs::read_dir(format!("/proc/{pid}/task")).ok().map(|threads| {
        let of_thread = |thread: fs::DirEntry| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        threads.filter_map(Result::ok).filter_map(of_thread).sum::<u64>()
    });
    // The kernel tells every program of 100 ticks a second. Threads that have ended are in the ticks only.
    let ticked = ticks * 10_000_000;
    match exact {
        Some(exact) if exact > 0 && exact + 1_000_000_000 > ticked => Some(exact),
        _ => Some(ticked),
    }
}

/// How long this thread was ready to run and waited for a processor, in nanoseconds; 0 where the kernel does not tell.
pub(crate) fn thread_wait() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn rss_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A line of `/proc` or nothing.
fn line_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The kernel's own name for its version.
pub(crate) fn kernel() -> String {
    line_of("/proc/sys/kernel/osrelease")
}

/// The model of the processors.
pub(crate) fn cpu_model() -> String {
    let info = line_of("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(String::new, |(_, name)| name.trim().to_owned())
}

/// The local ports that connect may choose, lowest and highest.
pub(crate) fn port_range() -> (u32, u32) {
    let text = line_of("/proc/sys/net/ipv4/ip_local_port_range");
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(low), Some(high)) if low <= high => (low, high),
        _ => (32_768, 60_999),
    }
}

/// Bytes of memory that can be had without swapping.
pub(crate) fn memory_available() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
