//! How much memory the process has left, told to the shards, so that they shed load before the kernel ends them.
//!
//! Runs on: a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use millrace_shards::runtime::probe;
use millrace_shards::shard::Shared;

/// How often it looks: a flood of a gigabyte a second moves half of that in between.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches memory until it is dropped.
#[derive(Debug)]
pub struct Watermark {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watermark {
    /// Starts to watch.
    #[must_use]
    pub fn start(shared: Arc<Shared>) -> Self {
        let (stop, stopped) = channel();
        shared.on_release(crate::allocator::release);
        let watch = move || {
            let host = probe::probe();
            let Some(limit) = host.memory_limit.into_iter().chain(host.memory_total).min() else {
                tracing::warn!(event = "memory-unknown", "nobody says how much memory there is; no watermark holds");
                return;
            };
            let mut before = 0;
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                // Here, not on a shard, memory goes back to the host: that may take a while.
                crate::allocator::release(false);
                let Some(used) = resident_bytes() else { continue };
                let level = level(used, limit, shared.config().limits.memory_watermark_percent);
                if level != before {
                    tracing::warn!(event = "memory-pressure", level, used, limit, "memory is short, or no longer");
                    before = level;
                }
                shared.set_pressure(level);
            }
        };
        let thread = std::thread::Builder::new().name("memory".to_owned()).spawn(watch);
        if let Err(error) = &thread {
            tracing::error!(event = "memory-unwatched", error = %error, "no watermark holds");
        }
        Self { stop, thread: thread.ok() }
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        // The thread may have ended before; then there is nothing to stop.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 0 below the watermark; what is above it in three parts, 1 to 3.
fn level(used: u64, limit: u64, watermark_percent: u8) -> u8 {
    let watermark = limit / 100 * u64::from(watermark_percent);
    let Some(over) = used.checked_sub(watermark) else { return 0 };
    let part = (limit.saturating_sub(watermark) / 3).max(1);
    u8::try_from((over / part).min(2)).map_or(3, |whole| whole + 1)
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_in_three_steps_above_the_watermark() {
        let levels = [0, 79, 80, 86, 87, 93, 94, 100, 200].map(|used| level(used * 1000, 100_000, 80));
        assert_eq!(levels, [0, 0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(level(5, 5, 100), 3);
    }

    #[test]
    fn this_process_has_some_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
