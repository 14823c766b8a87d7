//! What rules keep between events: random numbers and values by client for one shard, values by name for all of them.

mod shelf;
mod store;

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

use millrace_core::value::Value;

use shelf::{Bounds, Shelf};
pub use store::{STORE_BYTES_MAX, STORE_VALUES_MAX, Store};

/// Bytes of one value that is kept, with its name.
pub const KEPT_BYTES_MAX: usize = 64 << 10;
/// Values that a shard keeps for all its clients, `proc_dict_put`.
pub const DICT_VALUES_MAX: usize = 1 << 18;
/// The bytes that these take.
pub const DICT_BYTES_MAX: usize = 64 << 20;
/// Values that a shard keeps for one client.
pub const CLIENT_VALUES_MAX: usize = 64;
/// The bytes that these take.
pub const CLIENT_BYTES_MAX: usize = 64 << 10;

/// See the head of this file. One for each shard; it lives as long as the shard.
#[derive(Debug)]
pub struct State {
    random: Cell<u64>,
    /// By Client Identifier, a byte that none contains, and name.
    dict: RefCell<Shelf>,
    store: OnceCell<Arc<Store>>,
}

impl State {
    /// State whose random numbers follow from a seed, with a store of its own.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let bounds = Bounds { values: DICT_VALUES_MAX, bytes: DICT_BYTES_MAX };
        Self { random: Cell::new(seed), dict: RefCell::new(Shelf::new(bounds)), store: OnceCell::new() }
    }

    /// State with a seed that nobody knows and this store, which other shards have too.
    #[must_use]
    pub fn with_store(store: Arc<Store>) -> Self {
        let state = Self::default();
        Self { store: OnceCell::from(store), ..state }
    }

    /// The next random number (SplitMix64).
    pub fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.random.get().wrapping_add(STEP);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The values by name that all shards share.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.store.get_or_init(Arc::default)
    }

    /// Keeps a value for a client and gives what stood there before. If it is too large nothing stands there after.
    pub fn put(&self, clientid: &str, name: &str, value: Value<'static>) -> Option<Arc<Value<'static>>> {
        let mut dict = self.dict.borrow_mut();
        let key = key(clientid, name);
        let before = dict.remove(&key);
        let bytes = key.len() + size(&value);
        if bytes <= KEPT_BYTES_MAX {
            let own = Bounds { values: CLIENT_VALUES_MAX - 1, bytes: CLIENT_BYTES_MAX.saturating_sub(bytes) };
            dict.trim_prefix(&prefix(clientid), own);
            dict.put(&key, Arc::new(value), bytes, None);
        }
        before
    }

    /// The value that was kept for a client under this name.
    #[must_use]
    pub fn get(&self, clientid: &str, name: &str) -> Option<Arc<Value<'static>>> {
        self.dict.borrow().get(&key(clientid, name))
    }

    /// Forgets a value and gives it.
    pub fn del(&self, clientid: &str, name: &str) -> Option<Arc<Value<'static>>> {
        self.dict.borrow_mut().remove(&key(clientid, name))
    }

    /// Forgets what was kept for a client: it has gone.
    pub fn forget_client(&self, clientid: &str) {
        let mut dict = self.dict.borrow_mut();
        if !dict.is_empty() {
            dict.trim_prefix(&prefix(clientid), Bounds { values: 0, bytes: 0 });
        }
    }
}

impl Default for State {
    /// State with a seed that nobody knows and a store of its own.
    fn default() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}

/// No Client Identifier has this byte [MQTT-1.5.4-2].
fn prefix(clientid: &str) -> String {
    format!("{clientid}\0")
}

fn key(clientid: &str, name: &str) -> String {
    format!("{clientid}\0{name}")
}

/// About the bytes that a value takes.
pub(crate) fn size(value: &Value<'_>) -> usize {
    size_of::<Value<'_>>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(size).sum(),
            Value::Map(members) => {
                members.iter().map(|(name, value)| size_of::<Value<'_>>() + name.len() + size(value)).sum()
            }
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(length: usize) -> Value<'static> {
        Value::Text("x".repeat(length).into())
    }

    #[test]
    fn what_is_kept_for_a_client_is_its_own_until_it_goes() {
        let state = State::default();
        assert_eq!(state.put("a", "n", Value::Int(1)), None);
        assert_eq!(state.put("ab", "n", Value::Int(2)), None);
        assert_eq!(state.put("a", "n", Value::Int(3)).as_deref(), Some(&Value::Int(1)));
        state.forget_client("a");
        assert_eq!(state.get("a", "n"), None);
        assert_eq!(state.get("ab", "n").as_deref(), Some(&Value::Int(2)));
        assert_eq!(state.del("ab", "n").as_deref(), Some(&Value::Int(2)));
        assert!(state.dict.borrow().is_empty());
    }

    #[test]
    fn a_client_that_keeps_much_loses_its_own_oldest_values() {
        let state = State::default();
        state.put("quiet", "n", Value::Int(1));
        for number in 0..1_000 {
            state.put("loud", &number.to_string(), Value::Int(number));
        }
        assert_eq!(state.get("quiet", "n").as_deref(), Some(&Value::Int(1)));
        assert_eq!(state.get("loud", "935"), None);
        assert_eq!(state.get("loud", "936").as_deref(), Some(&Value::Int(936)));
        for number in 0..10 {
            state.put("loud", &number.to_string(), text(CLIENT_BYTES_MAX / 3));
        }
        assert_eq!(state.get("loud", "999"), None);
        assert_eq!(state.get("loud", "7"), None);
        assert!(state.get("loud", "8").is_some() && state.get("loud", "9").is_some());
    }

    #[test]
    fn a_value_that_is_too_large_is_not_kept_and_neither_is_the_one_before() {
        let state = State::default();
        state.put("a", "n", Value::Int(1));
        assert_eq!(state.put("a", "n", text(KEPT_BYTES_MAX)).as_deref(), Some(&Value::Int(1)));
        assert_eq!(state.get("a", "n"), None);
        assert!(!state.store().put("n", text(KEPT_BYTES_MAX), None, 0));
    }

    #[test]
    fn all_clients_together_have_their_bound() {
        let state = State::default();
        for client in 0..2 * DICT_BYTES_MAX / KEPT_BYTES_MAX {
            state.put(&client.to_string(), "n", text(KEPT_BYTES_MAX - 200));
        }
        assert_eq!(state.get("0", "n"), None);
        assert!(state.get(&(2 * DICT_BYTES_MAX / KEPT_BYTES_MAX - 1).to_string(), "n").is_some());
        assert!(state.dict.borrow().bytes() <= DICT_BYTES_MAX);
    }
}
