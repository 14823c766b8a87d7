//! Berths: room for sockets on each shard, taken before a socket comes there.
//!
//! A table of descriptors that is full cannot refuse politely: the kernel closes the socket that does not fit. So a
//! shard takes a berth before it asks for a connection, and one of the other shard before it hands one over; who gets
//! none can still be told why.
//!
//! Runs on: any thread; touched when a connection comes or goes, never for a message.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::shard::io::ShardId;

/// See the head of this file.
#[derive(Debug)]
pub struct Berths {
    size: AtomicU32,
    taken: Box<[AtomicU32]>,
}

impl Berths {
    /// As many as there can be numbers, until [`Berths::limit`] says less.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        Self { size: AtomicU32::new(u32::MAX), taken: (0..shards).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Each shard has this many from now on.
    pub fn limit(&self, size: u32) {
        self.size.store(size, Relaxed);
    }

    /// Each shard has this many.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size.load(Relaxed)
    }

    /// Takes one of a shard if more than `keep` are free there.
    #[must_use]
    pub fn take(&self, shard: ShardId, keep: u32) -> bool {
        let room = self.size().saturating_sub(keep);
        self.of(shard).fetch_update(Relaxed, Relaxed, |taken| (taken < room).then_some(taken + 1)).is_ok()
    }

    /// Gives some of a shard back.
    pub fn give(&self, shard: ShardId, count: u32) {
        let before = self.of(shard).fetch_sub(count, Relaxed);
        debug_assert!(before >= count, "shard {} gives {count} berths back of {before}", shard.0);
    }

    /// How many of a shard are taken.
    #[must_use]
    pub fn taken(&self, shard: ShardId) -> u32 {
        self.of(shard).load(Relaxed)
    }

    fn of(&self, shard: ShardId) -> &AtomicU32 {
        &self.taken[usize::from(shard.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_gives_no_more_than_it_has_and_keeps_some_for_others() {
        let berths = Berths::new(2);
        berths.limit(3);
        let (near, far) = (ShardId(0), ShardId(1));
        assert!(berths.take(near, 1) && berths.take(near, 1));
        assert!(!berths.take(near, 1), "the last one is kept");
        assert!(berths.take(near, 0));
        assert!(!berths.take(near, 0));
        assert!(berths.take(far, 1), "each shard has its own");
        berths.give(near, 2);
        assert_eq!((berths.taken(near), berths.taken(far)), (1, 1));
        assert!(berths.take(near, 1));
    }
}
