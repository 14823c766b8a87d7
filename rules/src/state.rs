//! What rules of one shard keep between messages: random numbers, values by client, values by name.

use std::cell::Cell;

/// See the head of this file. One for each shard; it lives as long as the shard.
#[derive(Debug)]
pub struct State {
    random: Cell<u64>,
}

impl State {
    /// State whose random numbers follow from a seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { random: Cell::new(seed) }
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
}

impl Default for State {
    /// State with a seed that nobody knows.
    fn default() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}
