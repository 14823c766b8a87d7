//! Values by name that the rules of all shards share, in memory until the program ends.
//!
//! Names are spread over stripes, each with a lock of its own that is held for one look or one change, and with its part
//! of the bounds: when a stripe is full, what has expired in it goes, then its oldest.
//! Runs on: every shard.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_core::value::Value;

use super::KEPT_BYTES_MAX;
use super::shelf::{Bounds, Shelf};

/// Values in the store.
pub const STORE_VALUES_MAX: usize = 1 << 18;
/// The bytes that they take.
pub const STORE_BYTES_MAX: usize = 128 << 20;

const STRIPES: usize = 16;

/// A stripe on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe(Mutex<Shelf>);

/// See the head of this file.
#[derive(Debug)]
pub struct Store {
    hasher: RandomState,
    stripes: [Stripe; STRIPES],
}

impl Default for Store {
    fn default() -> Self {
        Self::bounded(STORE_VALUES_MAX, STORE_BYTES_MAX)
    }
}

impl Store {
    fn bounded(values: usize, bytes: usize) -> Self {
        let bounds = Bounds { values: values / STRIPES, bytes: bytes / STRIPES };
        Self { hasher: RandomState::new(), stripes: std::array::from_fn(|_| Stripe(Mutex::new(Shelf::new(bounds)))) }
    }

    /// Keeps a value, for so many milliseconds or for good; false if it is too large to be kept: then nothing stands
    /// there.
    pub fn put(&self, name: &str, value: Value<'static>, ttl_ms: Option<u64>, now_ms: u64) -> bool {
        let bytes = name.len() + super::size(&value);
        let value = Arc::new(value);
        let mut shelf = self.shelf(name);
        shelf.expire(now_ms);
        if bytes > KEPT_BYTES_MAX {
            shelf.remove(name);
            return false;
        }
        shelf.put(name, value, bytes, ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms)));
        true
    }

    /// The value of this name that has not expired.
    #[must_use]
    pub fn get(&self, name: &str, now_ms: u64) -> Option<Arc<Value<'static>>> {
        self.shelf(name).get_at(name, now_ms)
    }

    /// Forgets a value.
    pub fn del(&self, name: &str) {
        let removed = self.shelf(name).remove(name);
        drop(removed);
    }

    /// How many values there are, with those that have expired and were not met since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stripes.iter().map(|stripe| locked(stripe).len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.stripes.iter().map(|stripe| locked(stripe).bytes()).sum()
    }

    fn shelf(&self, name: &str) -> MutexGuard<'_, Shelf> {
        #[allow(clippy::cast_possible_truncation, reason = "the lower bits of a hash are as good as any")]
        let stripe = self.hasher.hash_one(name) as usize % STRIPES;
        locked(&self.stripes[stripe])
    }
}

/// A shelf is whole between any two of its changes, so that a panic elsewhere does not spoil it.
fn locked(stripe: &Stripe) -> MutexGuard<'_, Shelf> {
    stripe.0.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_see_what_other_shards_put() {
        let store = Arc::new(Store::default());
        std::thread::scope(|scope| {
            for shard in 0..4_i64 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..1_000 {
                        assert!(store.put(&format!("{shard}/{number}"), Value::Int(shard), None, 0));
                    }
                });
            }
        });
        assert_eq!(store.len(), 4_000);
        assert_eq!(store.get("3/999", 0).as_deref(), Some(&Value::Int(3)));
        store.del("3/999");
        assert_eq!(store.get("3/999", 0), None);
    }

    #[test]
    fn a_value_lives_as_long_as_was_said() {
        let store = Store::default();
        store.put("n", Value::Int(1), Some(50), 1_000);
        assert!(store.get("n", 1_049).is_some());
        assert!(store.get("n", 1_050).is_none());
        store.put("n", Value::Int(2), None, 2_000);
        assert!(store.get("n", u64::MAX).is_some());
        store.put("z", Value::Int(1), Some(0), 0);
        assert!(store.get("z", 0).is_none());
    }

    #[test]
    fn values_without_end_stay_within_the_bounds() {
        let store = Store::bounded(10_000, STORE_BYTES_MAX);
        for number in 0..20_000 {
            store.put(&number.to_string(), Value::Int(1), Some(1_000_000), 0);
        }
        assert!((9_000..=10_000).contains(&store.len()), "{}", store.len());
        let store = Store::bounded(10_000, 1 << 20);
        for number in 0..20_000 {
            store.put(&number.to_string(), Value::Int(1), None, 0);
        }
        assert!(store.bytes() <= 1 << 20 && store.bytes() > 1 << 19, "{}", store.bytes());
    }
}
