//! Which shard owns a key: client ids, retained topics and shared groups all go through here.
//!
//! A key hashes to one of 4,096 fixed slots, a map gives slots to shards. Only the map knows the number of shards, so
//! records that carry a slot stay valid when it changes.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::shard::io::ShardId;

/// Slots that keys hash to.
pub const SLOTS: u16 = 4096;

/// A node of a cluster; alone there is only node 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeId(pub u16);

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The node.
    pub node: NodeId,
    /// The shard on it.
    pub shard: ShardId,
    /// Version of the slot map that said so.
    pub epoch: u32,
}

/// The slot map.
#[derive(Clone, Debug)]
pub struct Placement {
    shards: u16,
    epoch: u32,
}

impl Placement {
    /// All slots on this node, spread evenly over its shards.
    #[must_use]
    pub const fn solo(shards: u16) -> Self {
        Self { shards, epoch: 0 }
    }

    /// The slot of a key.
    #[must_use]
    pub fn slot(key: &[u8]) -> u16 {
        // A fixed seed: every shard, and every start, must agree.
        (FixedState::with_seed(0x4d69_6c6c_7261_6365).hash_one(key) % u64::from(SLOTS)) as u16
    }

    /// Where a slot lives.
    #[must_use]
    pub fn of_slot(&self, slot: u16) -> Home {
        let shard = u32::from(slot) * u32::from(self.shards) / u32::from(SLOTS);
        Home { node: NodeId(0), shard: ShardId(shard as u16), epoch: self.epoch }
    }

    /// Where a key lives.
    #[must_use]
    pub fn home(&self, key: &[u8]) -> Home {
        self.of_slot(Self::slot(key))
    }

    /// Number of shards.
    #[must_use]
    pub const fn shards(&self) -> u16 {
        self.shards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_gets_its_share_of_keys() {
        for shards in [1u16, 2, 3, 8, 52] {
            let placement = Placement::solo(shards);
            let mut counts = vec![0u32; shards.into()];
            for key in 0..100_000u32 {
                counts[usize::from(placement.home(format!("client-{key}").as_bytes()).shard.0)] += 1;
            }
            let fair = 100_000 / u32::from(shards);
            assert!(counts.iter().all(|count| (fair * 8 / 10..fair * 12 / 10 + 60).contains(count)), "{counts:?}");
        }
    }
}
