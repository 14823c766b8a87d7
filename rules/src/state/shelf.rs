//! Values by name within bounds: what has expired goes first, then the oldest.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use millrace_core::value::Value;

/// About what one entry takes besides its name and its value.
pub(super) const ENTRY_BYTES: usize = 256;

/// How much a shelf holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) values: usize,
    pub(super) bytes: usize,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Shelf {
    bounds: Bounds,
    entries: BTreeMap<Arc<str>, Entry>,
    by_age: BTreeMap<u64, Arc<str>>,
    /// By the moment at which they expire and their age: those that do.
    by_expiry: BTreeMap<(u64, u64), Arc<str>>,
    bytes: usize,
    puts: u64,
}

#[derive(Debug)]
struct Entry {
    value: Arc<Value<'static>>,
    bytes: usize,
    age: u64,
    expires_ms: Option<u64>,
}

impl Shelf {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_expiry: BTreeMap::new(),
            bytes: 0,
            puts: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<Value<'static>>> {
        self.entries.get(key).map(|entry| Arc::clone(&entry.value))
    }

    /// The value unless it has expired.
    pub(super) fn get_at(&self, key: &str, now_ms: u64) -> Option<Arc<Value<'static>>> {
        let entry = self.entries.get(key)?;
        entry.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms).then(|| Arc::clone(&entry.value))
    }

    /// Puts a value of so many bytes, which may expire. The oldest go if there are then too many.
    pub(super) fn put(&mut self, key: &str, value: Arc<Value<'static>>, bytes: usize, expires_ms: Option<u64>) {
        self.remove(key);
        let bytes = bytes + ENTRY_BYTES;
        let key: Arc<str> = key.into();
        let age = self.puts;
        self.puts += 1;
        self.by_age.insert(age, Arc::clone(&key));
        if let Some(expires_ms) = expires_ms {
            self.by_expiry.insert((expires_ms, age), Arc::clone(&key));
        }
        self.entries.insert(key, Entry { value, bytes, age, expires_ms });
        self.bytes += bytes;
        while self.entries.len() > self.bounds.values || self.bytes > self.bounds.bytes {
            let Some((_, oldest)) = self.by_age.first_key_value() else { return };
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }

    /// Drops some of what has expired: a put makes one entry, so that two are enough to keep up.
    pub(super) fn expire(&mut self, now_ms: u64) {
        for _ in 0..2 {
            match self.by_expiry.first_key_value() {
                Some(((expires_ms, _), key)) if *expires_ms <= now_ms => {
                    let key = Arc::clone(key);
                    self.remove(&key);
                }
                _ => return,
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Value<'static>>> {
        let entry = self.entries.remove(key)?;
        self.by_age.remove(&entry.age);
        if let Some(expires_ms) = entry.expires_ms {
            self.by_expiry.remove(&(expires_ms, entry.age));
        }
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Removes the oldest of those whose names begin so until they are within the bounds.
    pub(super) fn trim_prefix(&mut self, prefix: &str, bounds: Bounds) {
        let inside = (Bound::Included(prefix), Bound::Unbounded);
        let mut found: Vec<(u64, usize, Arc<str>)> = self
            .entries
            .range::<str, _>(inside)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| (entry.age, entry.bytes - ENTRY_BYTES, Arc::clone(key)))
            .collect();
        let mut bytes: usize = found.iter().map(|(_, bytes, _)| bytes).sum();
        let mut count = found.len();
        if count > bounds.values || bytes > bounds.bytes {
            found.sort_unstable_by_key(|(age, ..)| *age);
        }
        for (_, size, key) in found {
            if count <= bounds.values && bytes <= bounds.bytes {
                return;
            }
            self.remove(&key);
            count -= 1;
            bytes -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shelf: &mut Shelf, key: &str, expires_ms: Option<u64>) {
        shelf.put(key, Arc::new(Value::Null), 10, expires_ms);
    }

    #[test]
    fn the_oldest_goes_first_and_a_put_makes_young() {
        let mut shelf = Shelf::new(Bounds { values: 3, bytes: usize::MAX });
        for key in ["a", "b", "c", "a", "d"] {
            put(&mut shelf, key, None);
        }
        let kept: Vec<_> = ["a", "b", "c", "d"].into_iter().filter(|key| shelf.get(key).is_some()).collect();
        assert_eq!(kept, ["a", "c", "d"]);
        assert_eq!((shelf.len(), shelf.bytes()), (3, 3 * (ENTRY_BYTES + 10)));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut shelf = Shelf::new(Bounds { values: 100, bytes: 2 * (ENTRY_BYTES + 10) });
        for key in ["a", "b", "c"] {
            put(&mut shelf, key, None);
        }
        assert!(shelf.get("a").is_none() && shelf.get("b").is_some() && shelf.get("c").is_some());
    }

    #[test]
    fn what_has_expired_is_not_seen_and_goes_before_the_oldest() {
        let mut shelf = Shelf::new(Bounds { values: 2, bytes: usize::MAX });
        put(&mut shelf, "old", None);
        put(&mut shelf, "short", Some(100));
        assert!(shelf.get_at("short", 99).is_some() && shelf.get_at("short", 100).is_none());
        shelf.expire(100);
        put(&mut shelf, "new", None);
        assert!(shelf.get("old").is_some() && shelf.get("short").is_none());
        assert!(shelf.by_expiry.is_empty());
        assert_eq!(shelf.by_age.len(), 2);
    }
}
