//! FilterTrie: Topic Filters to values, and a Topic Name to the values of all filters that it matches.
//!
//! All filters, with their values, lie in one dense array that a hash of the whole filter points into; that is all a
//! filter without wildcards needs, and why a topic meets it with one hash and one probe. Filters with wildcards also
//! have a path in a tree of levels, which a topic descends level by level.

mod levels;

use super::filter::has_wildcards;
use super::hash::TopicHash;
use super::text::Text;
use crate::pages::Pages;
use crate::slots::Slots;
use levels::LevelTree;

/// Keeps whole filters with wildcards apart from topics of the same text.
const WILD: u64 = 0xA5A5_5A5A_3C3C_C3C3;

/// A map from Topic Filters (valid, without share prefix) to values.
pub struct FilterTrie<V> {
    hash: TopicHash,
    entries: Pages<Entry<V>>,
    /// Hash of a whole filter to its entry.
    index: Slots<32>,
    /// How many entries have no wildcard.
    exact: usize,
    wild: LevelTree,
}

struct Entry<V> {
    filter: Text<22>,
    value: V,
}

impl<V> FilterTrie<V> {
    /// An empty one, with a seed of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with_hash(TopicHash::random())
    }

    /// An empty one that hashes by `seed`, which clients must not know.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self::with_hash(TopicHash::with_seed(seed))
    }

    const fn with_hash(hash: TopicHash) -> Self {
        Self { hash, entries: Pages::new(), index: Slots::new(), exact: 0, wild: LevelTree::new() }
    }

    /// How many filters it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `filter`, made if there is none.
    pub fn entry(&mut self, filter: &str, make: impl FnOnce() -> V) -> &mut V {
        let is_wild = has_wildcards(filter);
        let hash = self.hash_filter(filter, is_wild);
        let at = if let Some(at) = self.find(filter, hash) {
            at
        } else {
            let at = self.entries.push(Entry { filter: Text::new(filter.as_bytes()), value: make() });
            self.index.insert(hash, u64::from(at));
            if is_wild {
                self.wild.insert(&self.hash, filter, at);
            } else {
                self.exact += 1;
            }
            at
        };
        &mut self.entries.get_mut(at).value
    }

    /// The value of `filter`.
    #[must_use]
    pub fn get(&self, filter: &str) -> Option<&V> {
        let hash = self.hash_filter(filter, has_wildcards(filter));
        let at = self.find(filter, hash)?;
        Some(&self.entries.get(at).value)
    }

    /// The value of `filter`, to change.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut V> {
        let hash = self.hash_filter(filter, has_wildcards(filter));
        let at = self.find(filter, hash)?;
        Some(&mut self.entries.get_mut(at).value)
    }

    /// Takes `filter` out, with all that it alone needed.
    pub fn remove(&mut self, filter: &str) -> Option<V> {
        let is_wild = has_wildcards(filter);
        let hash = self.hash_filter(filter, is_wild);
        let at = self.find(filter, hash)?;
        self.index.remove(hash, u64::from(at));
        if is_wild {
            self.wild.remove(&self.hash, filter);
        } else {
            self.exact -= 1;
        }
        let removed = self.entries.swap_remove(at);
        let moved_from = u32::try_from(self.entries.len()).expect("positions are u32");
        if at != moved_from {
            self.point_anew(moved_from, at);
        }
        Some(removed.value)
    }

    /// Gives `each` the values of all filters that `topic` matches, in no order.
    #[inline]
    pub fn matches<'a>(&'a self, topic: &str, mut each: impl FnMut(&'a V)) {
        if let Some(at) = self.find_topic(topic) {
            each(&self.entries.get(at).value);
        }
        if !self.wild.is_empty() {
            self.wild.matches(&self.hash, topic, |at| {
                each(&self.entries.get(at).value);
            });
        }
    }

    /// Gives `each` the values of all filters that `topic` matches, to change, in no order.
    #[inline]
    pub fn matches_mut(&mut self, topic: &str, mut each: impl FnMut(&mut V)) {
        if let Some(at) = self.find_topic(topic) {
            each(&mut self.entries.get_mut(at).value);
        }
        if !self.wild.is_empty() {
            self.wild.matches(&self.hash, topic, |at| {
                each(&mut self.entries.get_mut(at).value);
            });
        }
    }

    /// All filters and values; the order is that of insertion as long as nothing is removed.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries.iter().map(|entry| (entry.filter.as_str(), &entry.value))
    }

    /// Gives some of the memory back that was needed once; returns how many pages. The rest goes with each removal.
    pub fn give_back(&mut self, pages: usize) -> usize {
        self.wild.give_back(pages)
    }

    /// What it keeps in memory, without what the values keep elsewhere. Visits all filters.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self.entries.iter().map(|e| e.filter.heap_bytes()).sum();
        texts + self.entries.bytes() + self.index.bytes() + self.wild.bytes()
    }

    #[inline]
    fn hash_filter(&self, filter: &str, is_wild: bool) -> u64 {
        self.hash.of(filter.as_bytes()) ^ if is_wild { WILD } else { 0 }
    }

    #[inline]
    fn find_topic(&self, topic: &str) -> Option<u32> {
        if self.exact == 0 {
            return None;
        }
        self.find(topic, self.hash.of(topic.as_bytes()))
    }

    #[inline]
    fn find(&self, filter: &str, hash: u64) -> Option<u32> {
        let found = self.index.find(hash, |at| self.entries.get(at as u32).filter.as_bytes() == filter.as_bytes());
        found.map(|at| at as u32)
    }

    /// Makes everything that points to the entry that was at `from` point to `to`, where it is now.
    fn point_anew(&mut self, from: u32, to: u32) {
        let entry = self.entries.get(to);
        let filter = entry.filter.as_str();
        let is_wild = has_wildcards(filter);
        let hash = self.hash_filter(filter, is_wild);
        let known = self.index.replace(hash, u64::from(from), u64::from(to));
        debug_assert!(known, "each entry is in the index");
        if is_wild {
            self.wild.insert(&self.hash, filter, to);
        }
    }
}

impl<V> Default for FilterTrie<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> std::fmt::Debug for FilterTrie<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterTrie")
            .field("exact", &self.exact)
            .field("wild", &(self.len() - self.exact))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
