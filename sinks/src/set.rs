//! All sinks of the broker: start them, read their accounts, stop them without losing what was accepted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use millrace_core::ring::{Sleeper, ring_for};

use crate::account::{Account, Snapshot};
use crate::config::{Buffering, SinkConfig};
use crate::port::SinkPort;
use crate::sink::Sink;
#[cfg(feature = "sqlite")]
use crate::sqlite::Sqlite;
use crate::worker::Worker;

/// Why the sinks cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A setting that cannot work.
    #[error("sinks.{sink}: {why}")]
    Config {
        /// The sink.
        sink: String,
        /// The setting, its value, and what is allowed.
        why: String,
    },
    /// The operating system gave no thread.
    #[error("sinks.{sink}: no thread for it")]
    Thread {
        /// The sink.
        sink: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The running sinks.
#[derive(Debug, Default)]
pub struct Sinks {
    running: Vec<Running>,
    stop: Arc<StopSignal>,
}

#[derive(Debug)]
struct Running {
    account: Arc<Account>,
    thread: JoinHandle<()>,
}

/// How a sink ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The sink's name.
    pub name: String,
    /// Its account at the end.
    pub account: Snapshot,
    /// Whether it ended in time. Otherwise it hangs in the driver, and its last rows are still counted as inflight.
    pub in_time: bool,
}

impl Sinks {
    /// Starts a worker for each sink. The ports come back by shard, then by sink in the order of `configs`.
    ///
    /// A sink that cannot be reached is no error: its rows wait and it is tried again.
    ///
    /// # Errors
    /// A setting that cannot work, or no thread to be had; then nothing is left running.
    #[cfg_attr(
        not(feature = "sqlite"),
        allow(
            unreachable_code,
            unused_mut,
            unused_variables,
            clippy::never_loop,
            reason = "a build without any kind of sink"
        )
    )]
    pub fn start<N: AsRef<str>>(
        configs: &[(N, SinkConfig)],
        shards: usize,
        data_dir: &Path,
    ) -> Result<(Self, Vec<Vec<SinkPort>>), SinkError> {
        let mut sinks = Vec::with_capacity(configs.len());
        for (name, config) in configs {
            let name = name.as_ref();
            let wrong = |why| SinkError::Config { sink: name.to_owned(), why };
            config.buffering().check().map_err(wrong)?;
            let sink: Box<dyn Sink> = match *config {
                #[cfg(feature = "sqlite")]
                SinkConfig::Sqlite(ref config) => Box::new(Sqlite::new(config, data_dir).map_err(wrong)?),
            };
            sinks.push((name.to_owned(), config.buffering(), sink));
        }
        Self::start_each(sinks, shards)
    }

    /// Starts a worker for each of these sinks, whatever they are.
    ///
    /// # Errors
    /// No thread to be had; then nothing is left running.
    pub fn start_each(
        sinks: Vec<(String, Buffering, Box<dyn Sink>)>,
        shards: usize,
    ) -> Result<(Self, Vec<Vec<SinkPort>>), SinkError> {
        let mut set = Self::default();
        let mut ports: Vec<Vec<SinkPort>> = (0..shards).map(|_| Vec::with_capacity(sinks.len())).collect();
        for (name, buffering, sink) in sinks {
            let account = Arc::new(Account::new(&name, shards));
            let sleeper = Sleeper::new();
            let (producers, rings): (Vec<_>, Vec<_>) =
                (0..shards).map(|_| ring_for(buffering.buffer_rows, &sleeper)).unzip();
            let worker =
                Worker { rings, sleeper, sink, account: Arc::clone(&account), buffering, stop: Arc::clone(&set.stop) };
            let started = thread::Builder::new()
                .name(format!("sink {name}").chars().take(15).collect())
                .spawn(move || worker.run());
            let thread = match started {
                Ok(thread) => thread,
                Err(source) => {
                    drop(ports);
                    set.stop(Duration::ZERO);
                    return Err(SinkError::Thread { sink: name, source });
                }
            };
            let bytes_max = (buffering.buffer_bytes / shards.max(1) as u64).max(1);
            for (shard, producer) in producers.into_iter().enumerate() {
                ports[shard].push(SinkPort::new(
                    producer,
                    Arc::clone(&account),
                    shard,
                    thread.thread().clone(),
                    buffering.overflow,
                    bytes_max,
                ));
            }
            set.running.push(Running { account, thread });
        }
        Ok((set, ports))
    }

    /// The names of the sinks, in the order of the ports.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.running.iter().map(|running| running.account.name())
    }

    /// The account of one sink.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.running.iter().map(|running| &running.account).find(|account| account.name() == name)
    }

    /// The accounts of all sinks.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.running.iter().map(|running| &running.account)
    }

    /// Writes everything that was accepted, within `deadline`, and ends. To be called when the shards have stopped and
    /// flushed their ports; a row offered later is dropped and counted.
    pub fn stop(self, deadline: Duration) -> Vec<Stopped> {
        const GRACE: Duration = Duration::from_millis(500);
        for running in &self.running {
            running.account.close();
        }
        let over = Instant::now() + deadline;
        self.stop.set(over);
        for running in &self.running {
            running.thread.thread().unpark();
        }
        let patience = over + GRACE;
        self.running
            .into_iter()
            .map(|running| {
                while !running.thread.is_finished() && Instant::now() < patience {
                    running.thread.thread().unpark();
                    thread::sleep(Duration::from_millis(1));
                }
                let in_time = running.thread.is_finished() && running.thread.join().is_ok();
                Stopped { name: running.account.name().to_owned(), account: running.account.snapshot(), in_time }
            })
            .collect()
    }
}

/// Tells the workers that the end has come, and until when they may still write.
#[derive(Debug, Default)]
pub(crate) struct StopSignal {
    over: Mutex<Option<Instant>>,
}

impl StopSignal {
    fn set(&self, over: Instant) {
        *self.lock() = Some(over);
    }

    /// Whether the end has been asked for.
    pub(crate) fn is_set(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_some_and(|over| Instant::now() >= over)
    }

    /// How long until the deadline, if there is one.
    pub(crate) fn time_left(&self, now: Instant) -> Option<Duration> {
        self.lock().map(|over| over.saturating_duration_since(now))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
