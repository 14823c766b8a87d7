//! What systemd is told: ready, reloading, stopping, and that every shard still turns.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sd_notify::NotifyState;

/// Tells the service manager, if there is one. Elsewhere it does nothing.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(event = "systemd-notify-failed", error = %error, "the service manager could not be told");
    }
}

/// Start-up is over.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The stop has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How the watchdog sees that shards turn.
pub struct Pulse {
    /// The number of turns that each shard has made.
    pub turns: Box<dyn Fn() -> Vec<u64> + Send>,
    /// Makes each shard turn once, soon: one that has nothing to do sleeps without a limit.
    pub nudge: Box<dyn Fn() + Send>,
}

/// Feeds the watchdog of systemd for as long as every shard turns.
#[derive(Debug)]
pub struct Watchdog {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts it, if systemd wants one.
    #[must_use]
    pub fn start(pulse: Pulse) -> Option<Self> {
        let limit = sd_notify::watchdog_enabled()?;
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || feed(&pulse, limit, &stopped, || tell(&[NotifyState::Watchdog])));
        match thread {
            Ok(thread) => Some(Self { stop, thread: Some(thread) }),
            Err(error) => {
                tracing::error!(event = "watchdog-not-started", error = %error, "systemd will stop the broker");
                None
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // The thread may have ended before; then there is nothing to stop.
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Looks three times within the limit, so that one late look does not matter.
fn feed(pulse: &Pulse, limit: Duration, stopped: &Receiver<()>, mut fed: impl FnMut()) {
    let mut before = (pulse.turns)();
    (pulse.nudge)();
    while stopped.recv_timeout(limit / 3) == Err(RecvTimeoutError::Timeout) {
        let now = (pulse.turns)();
        let stuck: Vec<usize> = (0..now.len()).filter(|at| before.get(*at) == now.get(*at)).collect();
        if stuck.is_empty() {
            fed();
        } else {
            tracing::error!(event = "shard-stuck", shards = ?stuck, "shards do not turn; the watchdog is not fed");
        }
        before = now;
        (pulse.nudge)();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_watchdog_is_fed_only_while_every_shard_turns() {
        let turns = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let stuck = Arc::new(AtomicBool::new(false));
        let (read, nudged, holds) = (turns.clone(), turns, stuck.clone());
        let pulse = Pulse {
            turns: Box::new(move || read.iter().map(|t| t.load(Ordering::Relaxed)).collect()),
            nudge: Box::new(move || {
                nudged[0].fetch_add(1, Ordering::Relaxed);
                if !holds.load(Ordering::Relaxed) {
                    nudged[1].fetch_add(1, Ordering::Relaxed);
                }
            }),
        };
        let (stop, stopped) = channel();
        let mut fed = 0;
        feed(&pulse, Duration::from_millis(3), &stopped, || {
            fed += 1;
            match fed {
                3 => stuck.store(true, Ordering::Relaxed),
                // The nudge after the third look was lost; a fourth would be wrong.
                4 => panic!("a shard does not turn"),
                _ => {}
            }
            if fed == 3 {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(50));
                    let _ = stop.send(());
                });
            }
        });
        assert_eq!(fed, 3);
    }
}
