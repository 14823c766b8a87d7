//! Give back: memory that a crowd of clients needed goes back once they are gone, a part of it each second.
//!
//! Invariants: one call takes well under a millisecond, whatever the tables hold; it runs at the end of a turn, where
//! no list names a slot that is free.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use super::Shard;
use crate::room::{ROOM_KEPT, shrink};

/// Pages of each table that go in one second: 65,536 connections and as many sessions.
const PAGES_A_SECOND: usize = 256;
/// Hash tables with more entries than this are left as they are, since each entry has to be looked at.
const REHASHED_MAX: usize = 8192;
/// The allocator keeps a page that has become empty for sixteen looks at it; so many seconds it is made to look.
const ALLOCATOR_SECONDS: u8 = 20;

/// Sessions with which the allocator's look at all of its memory takes less than a millisecond.
const SESSIONS_MAX: usize = 50_000;

/// What this shard has still to give back.
#[derive(Default)]
pub(super) struct GiveBack {
    /// A second is over.
    pub(super) due: bool,
    /// How often the allocator is still to be asked.
    allocator: u8,
    /// Bytes that had been sent a second ago.
    sent: u64,
}

impl Shard {
    /// Once a second, when the turn is over.
    pub(super) fn give_back(&mut self) {
        let mut gone = self.conns.give_back(PAGES_A_SECOND);
        gone += self.clients.give_back(PAGES_A_SECOND);
        gone += self.filters.give_back(PAGES_A_SECOND);
        gone += self.routes.give_back(PAGES_A_SECOND);
        gone += self.retained.give_back(PAGES_A_SECOND);
        gone += self.groups.give_back(PAGES_A_SECOND);
        gone += usize::from(self.handovers.give_back());
        gone += usize::from(self.router.give_back());
        gone += usize::from(self.events.give_back());
        gone += usize::from(shrink(&mut self.commands));
        gone += usize::from(shrink(&mut self.held));
        gone += usize::from(shrink(&mut self.hungry));
        gone += usize::from(shrink(&mut self.delayed.due));
        let sent = self.counters.get(millrace_core::metrics::Counter::SentBytes);
        let is_idle = sent == std::mem::replace(&mut self.give_back.sent, sent);
        gone += usize::from(self.outputs.give_back(is_idle));
        if gone > 0 {
            self.give_back.allocator = ALLOCATOR_SECONDS;
        }
        if self.give_back.allocator > 0 {
            self.give_back.allocator -= 1;
            // In the end once thoroughly, unless so much is in use that it would take a while.
            let last = self.give_back.allocator == 0;
            self.shared.release_memory(last && self.clients.len() <= SESSIONS_MAX);
        }
    }
}

/// Makes a table smaller that once held much more; whether it did.
pub(super) fn shrink_table<K: Hash + Eq, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) -> bool {
    let is_roomy =
        table.capacity() > 2 * ROOM_KEPT && table.capacity() / 4 > table.len() && table.len() <= REHASHED_MAX;
    if is_roomy {
        table.shrink_to((table.len() * 2).max(ROOM_KEPT));
    }
    is_roomy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_tables_shrink_when_most_of_them_has_gone() {
        let mut list: Vec<u32> = (0..100_000).collect();
        let mut table: HashMap<u32, u32> = (0..100_000).map(|n| (n, n)).collect();
        assert!(!shrink(&mut list) && !shrink_table(&mut table));
        list.truncate(1000);
        table.retain(|n, _| *n < 1000);
        assert!(shrink(&mut list) && shrink_table(&mut table));
        assert!(list.capacity() < 4000 && table.capacity() < 8000);
        assert!(!shrink(&mut list) && !shrink_table(&mut table));
        assert!(list.iter().all(|n| table.get(n) == Some(n)));
        list.clear();
        table.clear();
        assert!(shrink(&mut list) && shrink_table(&mut table));
        assert!(list.capacity() <= ROOM_KEPT && table.capacity() <= 2 * ROOM_KEPT);
        assert!(!shrink(&mut list) && !shrink_table(&mut table));
    }
}
