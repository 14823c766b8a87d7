//! RouteTable: which shards want a topic. Filters without wildcards are in one table for all shards; of those with
//! wildcards each shard has a table of its own, and all are told the same changes.
//!
//! Invariants: each filter of each shard is added once and then removed once (its first local subscriber comes, its
//! last one goes).

use std::sync::Arc;

use smallvec::SmallVec;

use super::exact_routes::{ExactRoutes, Seen};
use super::filter::has_wildcards;
use super::trie::FilterTrie;

/// Shards that there can be in one process.
pub const SHARDS_MAX: usize = 1024;

/// Topic Filters to the shards that want what matches them, as one shard knows them.
#[derive(Debug)]
pub struct RouteTable {
    exact: Arc<ExactRoutes>,
    wild: FilterTrie<SmallVec<[u16; 8]>>,
}

impl RouteTable {
    /// One that knows no filter with wildcards yet; clients must not know the seed.
    #[must_use]
    pub fn new(seed: u64, exact: Arc<ExactRoutes>) -> Self {
        Self { exact, wild: FilterTrie::with_seed(seed) }
    }

    /// Whether a change of this filter's routes has to be told to each shard.
    #[must_use]
    pub fn is_told(filter: &str) -> bool {
        has_wildcards(filter)
    }

    /// `shard` now wants what matches `filter` (valid, without share prefix).
    pub fn add(&mut self, filter: &str, shard: u16) {
        if !has_wildcards(filter) {
            return self.exact.add(filter, shard);
        }
        let shards = self.wild.entry(filter, SmallVec::new);
        if !shards.contains(&shard) {
            shards.push(shard);
        }
    }

    /// `shard` no longer wants what matches `filter`, which it has wanted until now.
    pub fn remove(&mut self, filter: &str, shard: u16) {
        if !has_wildcards(filter) {
            return self.exact.remove(filter, shard);
        }
        if let Some(shards) = self.wild.get_mut(filter) {
            shards.retain(|other| *other != shard);
            if shards.is_empty() {
                self.wild.remove(filter);
            }
        }
    }

    /// Adds the shards that want `topic` to `into`, and seldom one that does not. The answer holds until
    /// [`Self::is_current`] denies it or a filter with wildcards is added or removed here.
    #[inline]
    pub fn shards(&self, topic: &str, into: &mut ShardSet) -> Seen {
        if !self.wild.is_empty() {
            self.wild.matches(topic, |shards| {
                for shard in shards {
                    into.insert(*shard);
                }
            });
        }
        self.exact.shards(topic, into)
    }

    /// Whether nothing has come or gone since then that a search in filters without wildcards would tell.
    #[inline]
    #[must_use]
    pub fn is_current(&self, seen: Seen) -> bool {
        self.exact.is_current(seen)
    }

    /// Gives some of the memory back that was needed once; returns how many pages.
    pub fn give_back(&mut self, pages: usize) -> usize {
        self.wild.give_back(pages)
    }
}

/// A set of shards, in place; costs what the greatest shard in it costs.
#[derive(Clone, Debug)]
pub struct ShardSet {
    words: [u64; SHARDS_MAX / 64],
    /// Words from here on are 0.
    used: usize,
}

impl ShardSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [0; SHARDS_MAX / 64], used: 0 }
    }

    /// Adds a shard.
    #[inline]
    pub fn insert(&mut self, shard: u16) {
        let word = usize::from(shard / 64);
        self.words[word] |= 1 << (shard % 64);
        self.used = self.used.max(word + 1);
    }

    /// Takes a shard out.
    #[inline]
    pub fn remove(&mut self, shard: u16) {
        if let Some(word) = self.words[..self.used].get_mut(usize::from(shard / 64)) {
            *word &= !(1 << (shard % 64));
        }
    }

    /// Whether the shard is in it.
    #[inline]
    #[must_use]
    pub fn contains(&self, shard: u16) -> bool {
        let word = self.words[..self.used].get(usize::from(shard / 64));
        word.is_some_and(|word| word >> (shard % 64) & 1 == 1)
    }

    /// Takes all out.
    #[inline]
    pub fn clear(&mut self) {
        self.words[..self.used].fill(0);
        self.used = 0;
    }

    /// Whether none is in it.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words[..self.used].iter().all(|word| *word == 0)
    }

    /// How many are in it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        let ones = self.words[..self.used].iter().map(|word| word.count_ones());
        ones.sum::<u32>() as usize
    }

    /// The shards, ascending.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0_u16..).zip(&self.words[..self.used]).flat_map(|(at, word)| Ones(*word).map(move |bit| at * 64 + bit))
    }
}

impl Default for ShardSet {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for ShardSet {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for ShardSet {}

impl Extend<u16> for ShardSet {
    fn extend<I: IntoIterator<Item = u16>>(&mut self, shards: I) {
        for shard in shards {
            self.insert(shard);
        }
    }
}

/// The positions of the ones of a word, ascending.
struct Ones(u64);

impl Iterator for Ones {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as u16;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests;
