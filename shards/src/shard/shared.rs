//! Shared: the few numbers that all shards keep together, and what the control side tells them.
//!
//! For a message, only the routes are looked at, which nobody locks for that. Limits for the whole broker are counted
//! when something is kept or let go.

#[expect(deprecated, reason = "see Shared::random")]
use std::hash::{Hasher, SipHasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, fence};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use millrace_core::metrics::{Counter, Counters, Gauge, SharedCounters};
use millrace_core::session::Held;
use millrace_core::time::{Millis, Time};
use millrace_core::topic::ExactRoutes;
use millrace_rules::book::RuleBook;
use millrace_rules::state::Store;

use super::RuleNumbers;
use super::Shard;
use super::io::{ListenerId, ShardId};
use super::tap::Tap;
use crate::assign::Placement;
use crate::berths::Berths;
use crate::config::{Listener, Retained, ShardsConfig};

/// What the control side tells a shard.
#[derive(Clone, Debug)]
pub enum Control {
    /// Another config holds from now on.
    Reload(Arc<ShardsConfig>),
    /// These rules run from now on.
    Rules(Arc<RuleBook>),
    /// Take samples of what rules do.
    Tap(Tap),
    /// Stop: tell all clients and let them go.
    Drain,
}

/// The few numbers that all shards keep together.
pub struct Shared {
    /// Which shard owns which key.
    pub placement: Placement,
    /// Seed of the hashes that all shards must agree on.
    pub seed: u64,
    /// Room for sockets on each shard.
    pub berths: Arc<Berths>,
    /// When the broker started.
    pub started: Time,
    /// Which shards want what, as far as filters have no wildcards.
    pub(super) routes: Arc<ExactRoutes>,
    /// By shard, whether it is in a turn.
    turning: Box<[Turning]>,
    config: RwLock<Arc<ShardsConfig>>,
    listeners: Vec<ListenerState>,
    listener_names: Vec<String>,
    /// Distinct mountpoints; the first is none.
    mountpoints: Vec<Box<str>>,
    /// By listener, which of the mountpoints it has.
    listener_mountpoints: Vec<u16>,
    /// Where listeners are bound, by name.
    addresses: OnceLock<Vec<(String, SocketAddr)>>,
    counters: Vec<SharedCounters>,
    /// What rules have counted, by shard. Locked once a second by the shard, and by readers.
    pub(super) rule_numbers: Box<[Mutex<Vec<RuleNumbers>>]>,
    /// What rules keep by name, for all shards.
    pub(super) rule_store: Arc<Store>,
    random: AtomicU64,
    pressure: AtomicU8,
    offline: AtomicI64,
    delayed: AtomicI64,
    delayed_bytes: AtomicI64,
    retained: AtomicI64,
    retained_bytes: AtomicI64,
    release_memory: OnceLock<fn(bool)>,
}

/// Written at each turn by its shard; a line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Turning(AtomicBool);

/// Connections of one listener, all shards together.
#[derive(Default)]
pub(super) struct ListenerState {
    open: AtomicU32,
    /// Second in the upper half, connects in the lower.
    window: AtomicU64,
}

impl ListenerState {
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(super) fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Counts a connect; whether it is within the rate of this second.
    pub(super) fn connect_is_within(&self, rate: u32, now: Millis) -> bool {
        let second = now.0 / 1000;
        let window = self.window.load(Relaxed);
        if window >> 32 == second & 0xFFFF_FFFF {
            self.window.fetch_add(1, Relaxed);
            (window & 0xFFFF_FFFF) < u64::from(rate)
        } else {
            self.window.store(second << 32 | 1, Relaxed);
            rate > 0
        }
    }
}

impl Shared {
    /// For this many shards.
    #[must_use]
    pub fn new(config: Arc<ShardsConfig>, shards: u16, seed: u64, started: Time) -> Self {
        let listener_names: Vec<String> = config.open_listeners().map(|(name, _)| name.to_owned()).collect();
        let mut mountpoints: Vec<Box<str>> = vec!["".into()];
        let mut listener_mountpoints = Vec::new();
        for (_, listener) in config.open_listeners() {
            let known = mountpoints.iter().position(|known| **known == *listener.mountpoint);
            let id = known.unwrap_or_else(|| {
                mountpoints.push(listener.mountpoint.as_str().into());
                mountpoints.len() - 1
            });
            listener_mountpoints.push(id as u16);
        }
        Self {
            placement: Placement::solo(shards),
            seed,
            berths: Arc::new(Berths::new(shards)),
            started,
            routes: Arc::new(ExactRoutes::new(seed)),
            turning: (0..shards).map(|_| Turning::default()).collect(),
            listeners: listener_names.iter().map(|_| ListenerState::default()).collect(),
            listener_names,
            mountpoints,
            listener_mountpoints,
            addresses: OnceLock::new(),
            config: RwLock::new(config),
            counters: (0..shards).map(|_| SharedCounters::new()).collect(),
            rule_numbers: (0..shards).map(|_| Mutex::default()).collect(),
            rule_store: Arc::default(),
            random: AtomicU64::new(0),
            pressure: AtomicU8::new(0),
            offline: AtomicI64::new(0),
            delayed: AtomicI64::new(0),
            delayed_bytes: AtomicI64::new(0),
            retained: AtomicI64::new(0),
            retained_bytes: AtomicI64::new(0),
            release_memory: OnceLock::new(),
        }
    }

    /// The config that holds now; shards keep their own copy.
    #[must_use]
    pub fn config(&self) -> Arc<ShardsConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the config for shards that start later.
    pub fn set_config(&self, config: Arc<ShardsConfig>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// A shard begins a turn: what it looks up from now on others may have to wait for.
    pub(super) fn turn_begins(&self, shard: ShardId) {
        self.turning[usize::from(shard.0)].0.store(true, Relaxed);
        fence(SeqCst);
    }

    /// All that the shard has sent in this turn is in the rings of others.
    pub(super) fn turn_ended(&self, shard: ShardId) {
        self.turning[usize::from(shard.0)].0.store(false, Release);
    }

    /// The shards that are in a turn, and may have looked for something before the caller made it known. What all
    /// others have sent because they did not find it is in the rings.
    pub(super) fn in_a_turn(&self) -> impl Iterator<Item = ShardId> {
        fence(SeqCst);
        (0..).map(ShardId).zip(&self.turning).filter(|(_, turning)| turning.0.load(Acquire)).map(|(shard, _)| shard)
    }

    pub(super) fn listener(&self, listener: ListenerId) -> &ListenerState {
        &self.listeners[usize::from(listener.0)]
    }

    pub(super) fn listener_config<'a>(&self, config: &'a ShardsConfig, listener: ListenerId) -> &'a Listener {
        let name = &self.listener_names[usize::from(listener.0)];
        config.listeners.get(name).expect("a reload keeps the listeners that are open")
    }

    /// Which mountpoint the clients of a listener have, as it was when the broker started; 0 is none.
    pub(super) fn listener_mountpoint(&self, listener: ListenerId) -> u16 {
        self.listener_mountpoints[usize::from(listener.0)]
    }

    /// Where listeners are bound, by name; before that is known it is what the config says. Set once only.
    pub fn set_addresses(&self, addresses: &[(String, SocketAddr)]) {
        let _ = self.addresses.set(addresses.to_vec());
    }

    /// What the clients of a listener connect to, as rules see it.
    pub(super) fn address_of(&self, config: &ShardsConfig, listener: ListenerId) -> SocketAddr {
        let name = &self.listener_names[usize::from(listener.0)];
        let bound = self.addresses.get().and_then(|bound| bound.iter().find(|(known, _)| known == name));
        bound.map_or_else(
            || {
                let listener = self.listener_config(config, listener);
                SocketAddr::new(listener.address, listener.port)
            },
            |(_, address)| *address,
        )
    }

    /// The text of a mountpoint.
    pub(super) fn mountpoint(&self, id: u16) -> &str {
        &self.mountpoints[usize::from(id)]
    }

    /// The counters of all shards, added up; as old as each shard's last second.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::new();
        for counters in &self.counters {
            sum.merge(&counters.read());
        }
        sum
    }

    /// What the rules of one shard have counted. While somebody reads, the numbers before stay for another second.
    pub(super) fn set_rule_numbers(&self, shard: ShardId, numbers: impl Iterator<Item = RuleNumbers>) {
        if let Ok(mut shown) = self.rule_numbers[usize::from(shard.0)].try_lock() {
            shown.clear();
            shown.extend(numbers);
        }
    }

    /// A number that nobody can foresee, for assigned names and random choices.
    pub(super) fn random(&self) -> u64 {
        // A keyed hash of a shared counter: one number tells nothing of the next. The same seed gives the same row.
        #[expect(deprecated, reason = "the one hasher of the standard library whose key can be given")]
        let mut hasher = SipHasher::new_with_keys(self.seed, self.seed.rotate_left(32) ^ 0x9E37_79B9_7F4A_7C15);
        hasher.write_u64(self.random.fetch_add(1, Relaxed));
        hasher.finish()
    }

    /// How a shard tells the allocator of its thread that much has been freed; with `true` it shall look at all of its
    /// memory, else only where there is room. It must not take long. Set once only.
    pub fn on_release(&self, release: fn(bool)) {
        let _ = self.release_memory.set(release);
    }

    pub(super) fn release_memory(&self, thoroughly: bool) {
        if let Some(release) = self.release_memory.get() {
            release(thoroughly);
        }
    }

    /// How much memory there is: 0 enough; 1 no new clients; 2 less output is kept for slow clients; 3 hardly any.
    pub fn set_pressure(&self, level: u8) {
        self.pressure.store(level, Relaxed);
    }

    pub(super) fn pressure(&self) -> u8 {
        self.pressure.load(Relaxed)
    }

    /// Bytes of output that one slow client may hold back.
    #[inline]
    pub(super) fn output_limit(&self, configured: u64) -> usize {
        (configured >> (2 * self.pressure().saturating_sub(1))) as usize
    }

    pub(super) fn offline_is_full(&self, max: u32) -> bool {
        self.offline.load(Relaxed) >= i64::from(max)
    }

    pub(super) fn offline_changed(&self, by: i64) {
        self.offline.fetch_add(by, Relaxed);
    }

    pub(super) fn delayed(&self) -> u32 {
        self.delayed.load(Relaxed).max(0) as u32
    }

    pub(super) fn delayed_bytes(&self) -> u64 {
        self.delayed_bytes.load(Relaxed).max(0) as u64
    }

    pub(super) fn delayed_changed(&self, by: i64, bytes: i64) {
        self.delayed.fetch_add(by, Relaxed);
        self.delayed_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn retained_count_is_full(&self, limits: &Retained) -> bool {
        self.retained.load(Relaxed) >= i64::from(limits.max_messages)
    }

    pub(super) fn retained_bytes_are_full(&self, limits: &Retained, more: u64) -> bool {
        let bytes = u64::try_from(self.retained_bytes.load(Relaxed)).unwrap_or(0);
        bytes.saturating_add(more) > limits.max_bytes.0
    }

    pub(super) fn retained_changed(&self, count: usize, new_count: usize, bytes: usize, new_bytes: usize) {
        if (count, bytes) != (new_count, new_bytes) {
            self.retained.fetch_add(new_count as i64 - count as i64, Relaxed);
            self.retained_bytes.fetch_add(new_bytes as i64 - bytes as i64, Relaxed);
        }
    }
}

impl Shard {
    pub(super) fn on_control(&mut self, control: Control) {
        match control {
            Control::Reload(config) => {
                self.queue_limits = super::queue_limits(&config, self.queue_limits.keep_all);
                self.rules.hands.set_limits(&config.mqtt);
                self.config = config;
            }
            Control::Rules(book) => self.change_rules(book),
            Control::Tap(tap) => self.rules.tap(tap),
            Control::Drain => self.drain(),
        }
    }

    /// A session held one thing and now holds another.
    #[inline]
    pub(super) fn held_changed(&mut self, from: Held, to: Held) {
        if from == to {
            return;
        }
        self.gauge_changed(Gauge::DeliveriesInflight, from.inflight as u64, to.inflight as u64);
        self.gauge_changed(Gauge::DeliveriesQueued, from.queued as u64, to.queued as u64);
        self.gauge_changed(Gauge::DeliveriesQueuedBytes, from.queued_bytes, to.queued_bytes);
    }

    const fn gauge_changed(&mut self, gauge: Gauge, from: u64, to: u64) {
        if to >= from {
            self.counters.raise(gauge, to - from);
        } else {
            self.counters.lower(gauge, from - to);
        }
    }

    /// The queue of a client had no room: says which of its bounds it has met.
    #[cold]
    pub(super) fn count_full_queue(&mut self, client: u32) {
        if let Some(state) = self.clients.get(client) {
            let limit = state.session.full_limit(&self.queue_limits);
            self.counters.add(Counter::limit_hits(limit), 1);
        }
    }

    pub(super) fn publish_counters(&mut self) {
        self.counters.set(Gauge::RetainedMessages, self.retained.len() as u64);
        self.counters.set(Gauge::RetainedBytes, self.retained.bytes() as u64);
        self.counters.set(Gauge::RepublishQueued, self.rules.republished().len() as u64);
        self.shared.counters[usize::from(self.id.0)].publish(&self.counters);
        self.publish_rule_numbers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_is_off_has_no_number() {
        let mut config = ShardsConfig::default();
        let listener =
            |enabled, mountpoint: &str| Listener { enabled, mountpoint: mountpoint.into(), ..Listener::default() };
        config.listeners =
            [("a".into(), listener(false, "off/")), ("b".into(), listener(true, "on/"))].into_iter().collect();
        let now = Time { monotonic: Millis(0), unix: Millis(0) };
        let shared = Shared::new(Arc::new(config), 1, 7, now);
        assert_eq!(shared.mountpoint(shared.listener_mountpoint(ListenerId(0))), "on/");
        assert_eq!(&*shared.listener_config(&shared.config(), ListenerId(0)).mountpoint, "on/");
    }
}
