//! RouteTable: which other shards want a topic. Each shard has one, and all are told the same changes.
//!
//! A filter without wildcards is kept as part of its hash alone, with the shard and how many of that shard's filters
//! share that part: 8 bytes instead of a text, since every shard pays for it. Two filters of one hash cost a needless
//! hand-over, which the shard that gets it finds out; a route is never lost by them.
//!
//! Invariants: each filter of each shard is added once and then removed once (its first local subscriber comes, its
//! last one goes).

use smallvec::SmallVec;

use super::filter::has_wildcards;
use super::hash::TopicHash;
use super::trie::FilterTrie;
use crate::slots::Slots;

/// Shards that there can be in one process.
pub const SHARDS_MAX: usize = 1024;

const SHARD_BITS: u32 = SHARDS_MAX.ilog2();
const COUNT_BITS: u32 = 6;
/// A count that has come here stays, and with it the route: the filters it stands for are no longer known.
const COUNT_STUCK: u64 = (1 << COUNT_BITS) - 1;

/// Topic Filters to the shards that want what matches them.
#[derive(Debug)]
pub struct RouteTable {
    hash: TopicHash,
    /// Hash of a filter without wildcards to `count << SHARD_BITS | shard`.
    exact: Slots<{ SHARD_BITS + COUNT_BITS }>,
    wild: FilterTrie<SmallVec<[u16; 8]>>,
}

impl RouteTable {
    /// An empty one. All shards get the same `seed`, which clients must not know.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { hash: TopicHash::with_seed(seed), exact: Slots::new(), wild: FilterTrie::with_seed(seed) }
    }

    /// Whether no shard wants anything.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    /// How many pairs of a filter without wildcards and a shard there are, and how many filters with wildcards.
    #[must_use]
    pub const fn len(&self) -> (usize, usize) {
        (self.exact.len(), self.wild.len())
    }

    /// `shard` now wants what matches `filter` (valid, without share prefix).
    pub fn add(&mut self, filter: &str, shard: u16) {
        assert!(usize::from(shard) < SHARDS_MAX, "shards are below SHARDS_MAX");
        if has_wildcards(filter) {
            let shards = self.wild.entry(filter, SmallVec::new);
            if !shards.contains(&shard) {
                shards.push(shard);
            }
            return;
        }
        let hash = self.hash.of(filter.as_bytes());
        match self.slot(hash, shard) {
            None => self.exact.insert(hash, slot_data(shard, 1)),
            Some(COUNT_STUCK) => {}
            Some(count) => {
                let old = slot_data(shard, count);
                self.exact.replace(hash, old, slot_data(shard, count + 1));
            }
        }
    }

    /// `shard` no longer wants what matches `filter`, which it has wanted until now.
    pub fn remove(&mut self, filter: &str, shard: u16) {
        if has_wildcards(filter) {
            if let Some(shards) = self.wild.get_mut(filter) {
                shards.retain(|other| *other != shard);
                if shards.is_empty() {
                    self.wild.remove(filter);
                }
            }
            return;
        }
        let hash = self.hash.of(filter.as_bytes());
        match self.slot(hash, shard) {
            None | Some(COUNT_STUCK) => {}
            Some(1) => {
                self.exact.remove(hash, slot_data(shard, 1));
            }
            Some(count) => {
                let old = slot_data(shard, count);
                self.exact.replace(hash, old, slot_data(shard, count - 1));
            }
        }
    }

    /// Adds the shards that want `topic` to `into`, and seldom one that does not.
    #[inline]
    pub fn shards(&self, topic: &str, into: &mut ShardSet) {
        if !self.exact.is_empty() {
            self.exact.find(self.hash.of(topic.as_bytes()), |data| {
                into.insert(slot_shard(data));
                false
            });
        }
        if !self.wild.is_empty() {
            self.wild.matches(topic, |shards| {
                for shard in shards {
                    into.insert(*shard);
                }
            });
        }
    }

    /// Gives some of the memory back that was needed once; returns how many pages.
    pub fn give_back(&mut self, pages: usize) -> usize {
        self.wild.give_back(pages)
    }

    /// What it keeps in memory. Visits all filters with wildcards.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.exact.bytes() + self.wild.bytes()
    }

    /// The count of this hash and shard.
    fn slot(&self, hash: u64, shard: u16) -> Option<u64> {
        self.exact.find(hash, |data| slot_shard(data) == shard).map(|data| data >> SHARD_BITS)
    }
}

fn slot_data(shard: u16, count: u64) -> u64 {
    count << SHARD_BITS | u64::from(shard)
}

const fn slot_shard(data: u64) -> u16 {
    (data & ((1 << SHARD_BITS) - 1)) as u16
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
