//! Hands each end of a ring to its owner: makes sinks, rules and shards from a config, and takes them down in order.
//!
//! Not here: signals (`shutdown`), what is said to people (`run`).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millrace_core::value::Record;
use millrace_rules::book::RuleBook;
use millrace_shards::berths::Berths;
use millrace_shards::config::ShardsConfig;
use millrace_shards::runtime::{self, EngineUsed, ListenerSettings, Runtime, Settings, StartError, probe};
use millrace_shards::shard::io::{ListenerId, ShardId};
use millrace_shards::shard::{Control, RowPort, RuleSet, Shard, Shared};
use millrace_sinks::port::Offered;
use millrace_sinks::{SinkError, SinkPort, Sinks};

use crate::config::Config;
use crate::control::ControlSocket;
use crate::diagnostics::Diagnostic;
use crate::host::{self, DataDir};
use crate::memory::Watermark;
use crate::systemd::Pulse;

/// Of the time that a stop has, kept for the sinks to write what they hold.
const SINKS_SHARE: u32 = 2;
/// How often a stop looks whether the last client has gone.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The running broker.
pub struct Broker {
    runtime: Runtime<Control>,
    shared: Arc<Shared>,
    sinks: Sinks,
    rules: Mutex<Arc<RuleBook>>,
    watermark: Watermark,
    facts: Facts,
    control: Option<ControlSocket>,
    _data_dir: DataDir,
}

/// What there is to say about a broker that has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
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
    /// Descriptors that bound it.
    pub descriptors: u64,
}

impl Broker {
    /// Starts everything.
    ///
    /// # Errors
    /// What is missing; nothing is left running.
    pub fn start(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        host::close_umask();
        let data_dir = DataDir::open(&config.data_dir).map_err(|error| vec![*error])?;
        let shards = if config.shards == 0 { probe::shards_by_default() } else { config.shards };
        let rules = Arc::new(rules(config, &RuleBook::default())?);
        let shards_config = Arc::new(config.shards_config());
        let (sinks, ports) = start_sinks(config, shards, &data_dir)?;
        let names: Vec<String> = sinks.names().map(str::to_owned).collect();

        let now = runtime::now();
        let seed = RandomState::new().build_hasher().finish();
        let shared = Arc::new(Shared::new(shards_config.clone(), shards, seed, now));
        let logics: Vec<_> = ports
            .into_iter()
            .zip(0..shards)
            .map(|(ports, shard)| {
                let (shared, rules, names) = (shared.clone(), rules.clone(), names.clone());
                move || {
                    let ports = names.into_iter().zip(ports.into_iter().map(boxed)).collect();
                    Shard::new(ShardId(shard), runtime::now(), shared, RuleSet::new(rules, ports))
                }
            })
            .collect();
        let settings = settings(&shards_config, shared.berths.clone());
        let runtime = match runtime::start(&settings, logics) {
            Ok(runtime) => runtime,
            Err(error) => {
                sinks.stop(Duration::ZERO);
                return Err(vec![refused_start(&error)]);
            }
        };
        let facts = facts(&runtime, &settings);
        shared.set_addresses(&facts.addresses);
        let watermark = Watermark::start(shared.clone());
        let control = open_control(&data_dir, &runtime);
        Ok(Self { runtime, shared, sinks, rules: Mutex::new(rules), watermark, facts, control, _data_dir: data_dir })
    }

    /// What there is to say about it.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How the watchdog sees that shards turn.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        let vitals = self.runtime.vitals().to_vec();
        let bells: Vec<_> =
            (0..self.runtime.shards()).map(|shard| self.runtime.control(ShardId(shard)).bell().clone()).collect();
        Pulse {
            turns: Box::new(move || vitals.iter().map(|vitals| vitals.turns()).collect()),
            nudge: Box::new(move || bells.iter().for_each(runtime::control::Bell::ring)),
        }
    }

    /// From now on this config holds, of which only what applies live may differ from the one that held.
    ///
    /// # Errors
    /// What is wrong with its rules; nothing has changed then.
    pub fn reload(&self, config: &Config) -> Result<(), Vec<Diagnostic>> {
        self.change_rules(config)?;
        let config = Arc::new(config.shards_config());
        self.shared.set_config(config.clone());
        self.tell(&Control::Reload(config));
        Ok(())
    }

    /// From now on the rules of this config run. They are compiled here, as far as they have changed.
    fn change_rules(&self, config: &Config) -> Result<(), Vec<Diagnostic>> {
        let mut running = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let book = rules(config, &running)?;
        let without: Vec<_> = book
            .sinks()
            .filter(|(_, sink)| !self.sinks.names().any(|name| name == *sink))
            .map(|(rule, sink)| {
                let message = format!("rules.{rule} writes to the sink `{sink}`, which does not run yet");
                Diagnostic::error("C0114", message).help("a new sink starts with the broker: restart it")
            })
            .collect();
        if !without.is_empty() {
            return Err(without);
        }
        *running = Arc::new(book);
        // Under the lock, so that shards hear of changes in the order in which they were made.
        self.tell(&Control::Rules(running.clone()));
        Ok(())
    }

    fn tell(&self, control: &Control) {
        for shard in 0..self.runtime.shards() {
            if !self.runtime.control(ShardId(shard)).send(control.clone()) {
                tracing::error!(event = "shard-ended", shard, "a shard has ended by itself");
            }
        }
    }

    /// Stops accepting, says goodbye to all clients, lets out what waits, writes what the sinks hold; within this time.
    pub fn stop(mut self, timeout: Duration) {
        let over = Instant::now() + timeout;
        drop(self.control.take());
        self.runtime.stop_listening();
        self.tell(&Control::Drain);
        let clients_over = over - timeout / SINKS_SHARE;
        while self.open() > 0 && Instant::now() < clients_over {
            std::thread::sleep(LOOK_EVERY);
        }
        let open = self.open();
        if open > 0 {
            tracing::warn!(event = "clients-left", connections = open, "these did not take their goodbye in time");
        }
        drop(self.watermark);
        self.runtime.stop();
        self.runtime.join();
        for sink in self.sinks.stop(over.saturating_duration_since(Instant::now())) {
            let account = &sink.account;
            let left = account.dropped_stopped + account.queued + account.inflight;
            if left > 0 || !sink.in_time {
                tracing::error!(event = "rows-lost", sink = sink.name.as_str(), rows = left, "rows were not written");
            }
            tracing::info!(
                event = "sink-stopped",
                sink = sink.name.as_str(),
                accepted = account.accepted,
                written = account.written,
                rejected = account.rejected,
                dropped = account.dropped,
                "the account at the end"
            );
        }
    }

    fn open(&self) -> u64 {
        self.runtime.vitals().iter().map(|vitals| vitals.counters().open.load(Ordering::Relaxed)).sum()
    }
}

/// Without it the broker only cannot be asked anything.
fn open_control(dir: &DataDir, runtime: &Runtime<Control>) -> Option<ControlSocket> {
    let shards = (0..runtime.shards()).map(|shard| runtime.control(ShardId(shard)).clone()).collect();
    ControlSocket::open(dir.path(), shards)
        .inspect_err(|error| tracing::warn!(event = "control-closed", "no control socket in data_dir: {error}"))
        .ok()
}

/// A port of a sink as shards want it: what becomes of a row is the port's to count.
struct Port(SinkPort);

impl RowPort for Port {
    fn offer(&mut self, record: Record) -> bool {
        self.0.offer(record) == Offered::Taken
    }

    fn flush(&mut self) {
        self.0.flush();
    }
}

fn boxed(port: SinkPort) -> Box<dyn RowPort> {
    Box::new(Port(port))
}

fn rules(config: &Config, running: &RuleBook) -> Result<RuleBook, Vec<Diagnostic>> {
    let named: Vec<_> = config.rules.iter().map(|(name, rule)| (name.as_str(), rule.clone())).collect();
    // What is wrong with a rule was told with its place when the config was checked.
    running
        .change(&named)
        .map_err(|wrong| wrong.iter().map(|rule| Diagnostic::error("R0003", format!("{rule}"))).collect())
}

fn start_sinks(config: &Config, shards: u16, dir: &DataDir) -> Result<(Sinks, Vec<Vec<SinkPort>>), Vec<Diagnostic>> {
    let named: Vec<_> = config.sinks.iter().map(|(name, sink)| (name.as_str(), sink.clone())).collect();
    Sinks::start(&named, usize::from(shards), dir.path()).map_err(|error| {
        let code = match &error {
            SinkError::Config { .. } => "S0001",
            SinkError::Thread { .. } => "S0002",
        };
        vec![Diagnostic::error(code, error.to_string())]
    })
}

fn settings(config: &ShardsConfig, berths: Arc<Berths>) -> Settings {
    let listeners = (0..)
        .zip(config.open_listeners())
        .map(|(number, (name, listener))| ListenerSettings {
            id: ListenerId(number),
            name: name.to_owned(),
            address: SocketAddr::new(listener.address, listener.port),
            send_buffer: None,
        })
        .collect();
    let connections_max = config.open_listeners().map(|(_, listener)| u64::from(listener.max_connections)).sum();
    Settings { engine: config.engine, listeners, connections_max, berths }
}

fn refused_start(error: &StartError) -> Diagnostic {
    error.remedy().into_iter().fold(Diagnostic::error(error.code(), error.to_string()), Diagnostic::help)
}

fn facts(runtime: &Runtime<Control>, settings: &Settings) -> Facts {
    let descriptors = probe::probe().files_soft;
    let (engine, room) = match runtime.engine() {
        // Direct descriptors are counted for each shard, others for the process.
        EngineUsed::IoUring => ("io_uring", descriptors.saturating_mul(u64::from(runtime.shards()))),
        EngineUsed::Epoll => ("epoll", descriptors),
    };
    Facts {
        engine,
        fallback: runtime.fallback().map(str::to_owned),
        addresses: runtime.addresses().to_vec(),
        shards: runtime.shards(),
        connections_max: room.min(settings.connections_max),
        descriptors,
    }
}
