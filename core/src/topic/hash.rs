//! The hash of topics, filters and levels: seeded, so that nobody outside can make texts that collide.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::{FoldHasher, RandomState};

/// Odd, with its bits well spread: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash function that its seed has picked.
#[derive(Clone, Debug)]
pub(super) struct TopicHash {
    seed: u64,
    shared: SharedSeed,
}

impl TopicHash {
    /// One that this process alone knows.
    pub(super) fn random() -> Self {
        Self::with_seed(RandomState::default().hash_one(SPREAD))
    }

    /// The one that `seed` picks, the same for all who use that seed.
    pub(super) const fn with_seed(seed: u64) -> Self {
        Self { seed: seed ^ SPREAD, shared: SharedSeed::from_u64(seed) }
    }

    /// The hash of one text.
    #[inline]
    pub(super) fn of(&self, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(text);
        hasher.finish()
    }

    /// The hash of a level below a node, from the hash of the level.
    #[inline]
    pub(super) const fn below(level: u64, node: u32) -> u64 {
        let wide = ((level ^ node as u64) as u128) * (SPREAD as u128);
        (wide as u64) ^ ((wide >> 64) as u64)
    }
}
