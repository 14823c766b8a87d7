//! The simulator: shards, clients and everything between them in one thread, from one seed.
//!
//! A run has three parts: a busy one in which clients work and things go wrong; a calm one in which everybody comes
//! back and gets what is due, after which the oracle judges; and a farewell after which nothing may be left.

pub mod client;
pub mod fuzz;
pub mod network;
pub mod oracle;
pub mod rng;
pub mod scenarios;

use std::sync::Arc;
use std::time::Duration;

use millrace_core::metrics::{Counter, Counters, Gauge};
use millrace_core::packet::ProtocolVersion;
use millrace_core::time::{Millis, Time};
use millrace_core::units::{ByteSize, Span};
use millrace_shards::config::{Listener, QueueFull, ShardsConfig, ShareStrategy};
use millrace_shards::shard::io::{Accepted, Gone, ListenerId, ShardId};
use millrace_shards::shard::logic::Logic;
use millrace_shards::shard::{RuleSet, Shard, Shared};

use client::{Client, Habits, Role};
use network::{Event, Network};
use oracle::Oracle;
use rng::Rng;

/// The shape of one run, from its seed.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Shards.
    pub shards: u16,
    /// Steps of the busy part.
    pub steps: u32,
    /// Clients that work.
    pub workers: usize,
    /// Whether things go wrong.
    pub faults: bool,
    /// Queues are so short that messages are dropped; then only their number is judged.
    pub short_queues: bool,
    /// The config.
    pub config: ShardsConfig,
    ring_capacity: usize,
    tiny_chunks: bool,
}

impl Setup {
    /// What a seed says.
    #[must_use]
    pub fn from_seed(rng: &mut Rng) -> Self {
        let shards = rng.pick(&[1, 2, 2, 3, 8]);
        let short_queues = rng.chance(15);
        let mut config = ShardsConfig { shards, ..ShardsConfig::default() };
        config.listeners.insert("default".into(), Listener::default());
        config.sys.interval = Span(Duration::from_secs(rng.pick(&[0, 0, 0, 10])));
        config.sessions.max_expiry = Span(Duration::from_secs(86_400));
        config.sessions.queue_messages = if short_queues { rng.between(1, 10) as u32 } else { 1_000_000 };
        config.sessions.queue_bytes = ByteSize(1 << 30);
        config.sessions.queue_full = rng.pick(&[QueueFull::DropOldest, QueueFull::DropNewest]);
        config.sessions.queue_qos0 = rng.chance(30);
        config.sessions.output_bytes = ByteSize(rng.pick(&[100, 4096, 1 << 20]));
        config.mqtt.receive_maximum = rng.pick(&[8, 20, 1024]);
        config.mqtt.max_inflight = rng.pick(&[1, 3, 100, 1024]);
        config.mqtt.topic_alias_maximum_out = rng.pick(&[0, 2, 16]);
        config.shared.strategy = rng.pick(&[
            ShareStrategy::RoundRobin,
            ShareStrategy::Random,
            ShareStrategy::Sticky,
            ShareStrategy::HashClient,
            ShareStrategy::HashTopic,
            ShareStrategy::LeastInflight,
        ]);
        config.limits.control_rate = 0;
        if rng.chance(20) {
            config.limits.publish_rate = 20;
            config.limits.byte_rate = ByteSize(20_000);
        }
        Self {
            shards,
            steps: rng.pick(&[200, 600, 1500]),
            workers: rng.between(2, 10) as usize,
            faults: rng.chance(85),
            short_queues,
            config,
            ring_capacity: rng.pick(&[1, 2, 16, 1024]),
            tiny_chunks: rng.chance(10),
        }
    }

    fn habits(&self, rng: &mut Rng) -> Habits {
        let v5 = rng.chance(60);
        let expiry = if v5 { rng.pick(&[0, 2, 30, 3600, u32::MAX]) } else { rng.pick(&[0, 7200]) };
        let most = usize::from(self.config.mqtt.receive_maximum);
        Habits {
            version: if v5 { ProtocolVersion::V5 } else { ProtocolVersion::V311 },
            expiry,
            keep_alive: rng.pick(&[0, 1, 5, 60]),
            receive_maximum: (v5 && rng.chance(50)).then(|| rng.between(1, 20) as u16),
            max_packet: (v5 && rng.chance(30)).then(|| rng.pick(&[40, 200, 2000])),
            alias_maximum: if v5 { rng.pick(&[0, 3, 100]) } else { 0 },
            window: rng.pick(&[1, 4, 8, most]).min(most),
            ack_chance: rng.pick(&[0, 10, 60, 90, 100]),
            share: rng.chance(60).then(|| rng.pick(&["$share/g1/s/+", "$share/gg/s/1", "$queue/s/#", "$share/g3/s/2"])),
            loyal: rng.chance(50),
        }
    }
}

/// One simulated broker with its clients.
pub struct Sim {
    setup: Setup,
    rng: Rng,
    now: u64,
    network: Network,
    shared: Arc<Shared>,
    shards: Vec<Shard>,
    clients: Vec<Client>,
    oracle: Oracle,
}

impl Sim {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let setup = Setup::from_seed(&mut rng);
        let mut sim = Self::with_setup(rng, setup);
        sim.add_clients();
        sim
    }

    /// Two shards without clients.
    #[must_use]
    pub fn empty(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut setup = Setup::from_seed(&mut rng);
        setup.shards = 2;
        setup.config.limits.max_delay = Span(Duration::from_secs(3600));
        Self::with_setup(rng, setup)
    }

    fn with_setup(mut rng: Rng, setup: Setup) -> Self {
        let start = 1_000_000 + rng.below(10_000);
        let now = time(start);
        let shared = Arc::new(Shared::new(Arc::new(setup.config.clone()), setup.shards, rng.any(), now));
        let shards = (0..setup.shards)
            .map(|shard| Shard::new(ShardId(shard), now, shared.clone(), RuleSet::default()))
            .collect();
        let network = Network::new(setup.shards, setup.ring_capacity, setup.tiny_chunks);
        let mut oracle = Oracle::default();
        oracle.lossy = setup.short_queues;
        Self { setup, rng, now: start, network, shared, shards, clients: Vec::new(), oracle }
    }

    fn add_clients(&mut self) {
        let watcher = Habits {
            version: ProtocolVersion::V5,
            expiry: u32::MAX,
            keep_alive: 0,
            receive_maximum: None,
            max_packet: None,
            alias_maximum: 5,
            window: 1,
            ack_chance: 90,
            share: None,
            loyal: true,
        };
        self.clients.push(Client::new(0, Role::Watcher, watcher));
        for index in 1..=self.setup.workers {
            let habits = self.setup.habits(&mut self.rng);
            self.clients.push(Client::new(index, Role::Worker, habits));
        }
    }

    /// Runs all parts. Panics with what is wrong.
    pub fn run(&mut self) -> u64 {
        // The watcher is there before any Will can be due.
        self.calm_until(|sim| sim.clients[0].is_settled(), "the watcher to come");
        self.network.calm = false;
        for _ in 0..self.setup.steps {
            self.busy_step();
        }
        self.settle();
        self.judge();
        self.farewell();
        self.oracle.proven
    }

    fn busy_step(&mut self) {
        self.now += match self.rng.below(1000) {
            0..500 => 0,
            500..900 => self.rng.between(1, 20),
            900..995 => self.rng.between(20, 1500),
            // The machine slept.
            _ => self.rng.pick(&[5000, 40_000]),
        };
        let faults = self.setup.faults;
        for _ in 0..self.rng.between(1, 3) {
            let index = self.rng.index(self.clients.len());
            let client = &mut self.clients[index];
            client.read(&mut self.network, &mut self.oracle, &mut self.rng, self.now);
            client.keep_alive(&mut self.network, self.now);
            client.act(&mut self.network, &mut self.oracle, &mut self.rng, self.now, faults);
        }
        for index in 0..self.shards.len() {
            if self.rng.chance(60) {
                self.step(index);
            }
        }
        if self.rng.chance(3) {
            self.check_identity();
        }
    }

    /// One turn of one shard.
    fn step(&mut self, index: usize) {
        let id = ShardId(index as u16);
        let now = time(self.now);
        let events = self.network.events(id, now.monotonic, &mut self.rng);
        let shard = &mut self.shards[index];
        if events.is_empty() && shard.next_deadline() > now.monotonic {
            return;
        }
        let mut out = self.network.verbs(id, now.monotonic, &mut self.rng);
        shard.turn_begins();
        for event in events {
            match event {
                Event::Accepted(conn) => {
                    let peer = ([127, 0, 0, 1], conn.slot as u16).into();
                    shard.accepted(now, Accepted { conn, listener: ListenerId(0), peer }, &mut out);
                }
                Event::Adopted(conn, from, token) => shard.adopted(now, conn, from, token, &mut out),
                Event::Received(conn, bytes) => shard.received(now, conn, &bytes, &mut out),
                Event::Gone(conn, in_order) => {
                    shard.gone(now, conn, if in_order { Gone::Closed } else { Gone::Failed }, &mut out);
                }
                Event::Drained(conn) => shard.drained(now, conn, &mut out),
                Event::Frame(from, frame) => shard.frame(now, from, frame, &mut out),
                Event::MeshDrained => shard.mesh_drained(now, &mut out),
            }
        }
        shard.mail_read(now, &mut out);
        shard.turn(now, &mut out);
        if self.network.mesh_is_idle() {
            shard.turn_ended();
        }
        for (conn, unsent) in self.network.stalls(id) {
            shard.stalled(conn, unsent);
        }
    }

    fn calm_until(&mut self, done: impl Fn(&Self) -> bool, what: &str) {
        self.network.calm = true;
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            // What rates hold back takes its time.
            self.now += if self.setup.config.limits.publish_rate > 0 { 100 } else { 5 };
            for index in 0..self.clients.len() {
                let client = &mut self.clients[index];
                client.read(&mut self.network, &mut self.oracle, &mut self.rng, self.now);
                if client.role != Role::Probe && client.may_connect(&self.network, self.now) {
                    client.connect(&mut self.network, &mut self.oracle, &mut self.rng, self.now);
                }
                client.acknowledge(true, &mut self.network, &mut self.rng, self.now);
                client.keep_alive(&mut self.network, self.now);
            }
            self.step_all();
        }
        let waiting: Vec<_> = self.clients.iter().filter(|client| !client.is_settled()).collect();
        panic!("waited in vain for {what}: {waiting:#?}\n{:#?}", self.census());
    }

    /// Everybody comes back and gets what is due.
    fn settle(&mut self) {
        for client in &mut self.clients {
            client.calm_down(self.now);
        }
        self.calm_until(Self::is_settled, "all clients to settle");
        // The answer to a PINGREQ comes behind everything that was due before; Wills may be due still.
        let end = self.now + 25_000;
        while self.now < end {
            self.now += 500;
            for client in &mut self.clients {
                client.ping(&mut self.network, self.now);
            }
            self.calm_until(Self::is_settled, "all clients to settle");
        }
    }

    /// Nobody waits for anything.
    fn is_settled(&self) -> bool {
        self.clients.iter().all(Client::is_settled)
            && self.network.mesh_is_idle()
            && self.shards.iter().all(|shard| {
                let census = shard.census();
                (census.queued, census.inflight, census.feeds, census.replies) == (0, 0, 0, 0)
            })
    }

    fn judge(&mut self) {
        self.check_identity();
        let counters = self.counters();
        assert_eq!(counters.get(Counter::ConnectionsClosedProtocolError), 0, "clients broke no rule");
        assert_eq!(counters.get(Counter::ConnectsRefusedProtocol), 0, "clients broke no rule");
        for client in &self.clients {
            self.oracle.judge_session(client.index, &client.epoch);
        }
        self.oracle.judge_groups();
        let dropped: u64 = [
            Counter::DeliveriesDroppedQos1QueueFull,
            Counter::DeliveriesDroppedQos2QueueFull,
            Counter::DeliveriesDroppedQos1TooLarge,
            Counter::DeliveriesDroppedQos2TooLarge,
        ]
        .iter()
        .map(|counter| counters.get(*counter))
        .sum();
        let missing = std::mem::take(&mut self.oracle.missing);
        let allowed = if self.setup.short_queues { dropped } else { 0 };
        assert!(
            missing.len() as u64 <= allowed,
            "{} acknowledged messages are missing, {dropped} were dropped: {missing:#?}\n{:?}",
            missing.len(),
            self.census()
        );
        if !self.setup.short_queues {
            self.oracle.judge_wills();
        }
        self.probe();
    }

    /// Somebody new asks for all retained messages.
    fn probe(&mut self) {
        let index = self.clients.len();
        let mut habits = self.setup.habits(&mut self.rng);
        habits.max_packet = None;
        self.clients.push(Client::new(index, Role::Probe, habits));
        let client = &mut self.clients[index];
        client.connect(&mut self.network, &mut self.oracle, &mut self.rng, self.now);
        self.calm_until(|sim| sim.clients[index].is_settled(), "the probe to settle");
        for _ in 0..20 {
            self.clients[index].ping(&mut self.network, self.now);
            self.calm_until(Self::is_settled, "retained messages");
        }
        let epoch = &self.clients[index].epoch;
        self.oracle.judge_retained(epoch);
    }

    /// All go, all sessions expire; nothing may be left.
    fn farewell(&mut self) {
        for client in &mut self.clients {
            client.disconnect(&mut self.network, self.now);
        }
        for _ in 0..4000 {
            self.now += 50;
            for client in &mut self.clients {
                client.read(&mut self.network, &mut self.oracle, &mut self.rng, self.now);
            }
            self.step_all();
            if self.network.slots_in_use() == 0 && self.network.mesh_is_idle() {
                break;
            }
        }
        self.expire();
    }

    fn step_all(&mut self) {
        for index in 0..self.shards.len() {
            self.step(index);
        }
    }

    /// Time passes until every session has expired; nothing may be left.
    fn expire(&mut self) {
        for _ in 0..50 {
            self.now += 2 * 3600 * 1000;
            self.step_all();
        }
        for _ in 0..20 {
            self.now += 1000;
            self.step_all();
        }
        let left: Vec<_> = self.network.links.iter().filter(|link| !link.is_closed()).collect();
        assert!(left.is_empty(), "connections are left: {left:?}\n{:?}\n{:#?}", self.network.mesh(), self.census());
        let counters = self.shared.counters();
        for gauge in [
            Gauge::Connections,
            Gauge::SessionsConnected,
            Gauge::SessionsOffline,
            Gauge::SubscriptionsExact,
            Gauge::SubscriptionsWildcard,
            Gauge::SubscriptionsShared,
            Gauge::SharedGroups,
            Gauge::DeliveriesQueued,
            Gauge::DeliveriesQueuedBytes,
            Gauge::DeliveriesInflight,
            Gauge::DelayedMessages,
        ] {
            assert_eq!(counters.gauge(gauge), 0, "{} in the end: {:#?}", gauge.name(), self.census());
        }
        self.check_identity();
        for shard in &self.shards {
            assert!(shard.census().is_idle(), "something is left: {:#?}", self.census());
        }
    }

    fn counters(&self) -> Counters {
        let mut sum = Counters::new();
        for shard in &self.shards {
            sum.merge(shard.counters());
        }
        sum
    }

    fn census(&self) -> Vec<millrace_shards::shard::Census> {
        self.shards.iter().map(Shard::census).collect()
    }

    /// Every delivery that was created is completed, dropped by name, or still held.
    fn check_identity(&self) {
        if !self.network.mesh_is_idle() {
            return;
        }
        let counters = self.counters();
        let sum = |part: &str| -> u64 {
            Counter::ALL.iter().filter(|counter| counter.name().starts_with(part)).map(|c| counters.get(*c)).sum()
        };
        let born = sum("deliveries_created") + sum("deliveries_restored");
        let over = sum("deliveries_completed") + sum("deliveries_dropped");
        let census = self.census();
        let held: u64 = census.iter().map(|shard| (shard.queued + shard.inflight) as u64).sum();
        assert_eq!(born, over + held, "deliveries created = over + held ({over} + {held}): {census:#?}");
        for (gauge, truth) in [
            (Gauge::DeliveriesQueued, census.iter().map(|shard| shard.queued as u64).sum::<u64>()),
            (Gauge::DeliveriesQueuedBytes, census.iter().map(|shard| shard.queued_bytes).sum()),
            (Gauge::DeliveriesInflight, census.iter().map(|shard| shard.inflight as u64).sum()),
        ] {
            assert_eq!(counters.gauge(gauge), truth, "the gauge {}", gauge.name());
        }
        // The same from the counters alone, as an operator reads it.
        let told = counters.gauge(Gauge::DeliveriesQueued) + counters.gauge(Gauge::DeliveriesInflight);
        assert_eq!(born, over + told, "created = completed + dropped + inflight + queued");
    }
}

fn time(now: u64) -> Time {
    Time { monotonic: Millis(now), unix: Millis(1_790_000_000_000 + now) }
}

/// Runs one seed; says how it went, so that two runs can be compared.
#[must_use]
pub fn trace(seed: u64) -> (u64, u64, u64, u64) {
    let mut sim = Sim::new(seed);
    let proven = sim.run();
    (proven, sim.oracle.tick, sim.network.frames, sim.now)
}

/// Runs one seed; says how many deliveries were proven. Panics with what is wrong.
#[must_use]
pub fn run(seed: u64) -> u64 {
    Sim::new(seed).run()
}
