//! The table of connections: a slot is used again, a generation is not.

use millrace_core::places::{Floors, Places};

use crate::shard::io::ConnId;

/// Slots that the encoding of an operation can tell apart.
pub(crate) const SLOTS_MAX: u32 = 1 << 24;
/// Pages without a tenant that are kept for those who come next.
const IDLE_PAGES_MAX: usize = 4;

/// Tenants by slot. Who chooses the slot differs: the kernel ([`Slots::occupy`]) or this table ([`Slots::claim`]).
pub(crate) struct Slots<T> {
    entries: Places<Entry<T>>,
    /// By page, the generation that its last tenants had, for when it comes again.
    floors: Floors,
}

struct Entry<T> {
    generation: u32,
    tenant: Option<T>,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Places::new(), floors: Floors::new() }
    }

    pub(crate) const fn used(&self) -> usize {
        self.entries.len()
    }

    /// A new tenant in the slot that the kernel chose.
    pub(crate) fn occupy(&mut self, slot: u32, tenant: T) -> ConnId {
        let known = self.entries.find(slot);
        assert!(known.is_none_or(|entry| entry.tenant.is_none()), "the kernel reuses a slot only after it was closed");
        let floors = &self.floors;
        self.entries.take_at(slot, |page| vacant(floors, page));
        self.enter(slot, tenant)
    }

    /// A new tenant in any free slot.
    pub(crate) fn claim(&mut self, tenant: T) -> ConnId {
        let floors = &self.floors;
        let slot = self.entries.take(|page| vacant(floors, page));
        self.enter(slot, tenant)
    }

    fn enter(&mut self, slot: u32, tenant: T) -> ConnId {
        let entry = self.entries.get_mut(slot);
        entry.generation = entry.generation.wrapping_add(1);
        entry.tenant = Some(tenant);
        ConnId { slot, generation: entry.generation }
    }

    #[inline]
    pub(crate) fn get(&self, conn: ConnId) -> Option<&T> {
        let entry = self.entries.find(conn.slot)?;
        if entry.generation == conn.generation { entry.tenant.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        let entry = self.entries.find_mut(conn.slot)?;
        if entry.generation == conn.generation { entry.tenant.as_mut() } else { None }
    }

    /// One past the last slot that was ever used.
    pub(crate) fn end(&self) -> u32 {
        self.entries.end()
    }

    /// Who is in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<ConnId> {
        let entry = self.entries.find(slot)?;
        entry.tenant.as_ref().map(|_| ConnId { slot, generation: entry.generation })
    }

    /// The tenant leaves.
    pub(crate) fn vacate(&mut self, conn: ConnId) -> Option<T> {
        let entry = self.entries.find_mut(conn.slot)?;
        if entry.generation != conn.generation {
            return None;
        }
        let tenant = entry.tenant.take()?;
        self.entries.free(conn.slot);
        if self.entries.idle_pages() > IDLE_PAGES_MAX {
            self.give_back();
        }
        Some(tenant)
    }

    /// One page goes; its slots come again above the generations they had.
    #[cold]
    fn give_back(&mut self) {
        let floors = &mut self.floors;
        self.entries.give_back(1, |page, entries| floors.may_go(page, entries.iter().map(|entry| entry.generation)));
    }
}

fn vacant<T>(floors: &Floors, page: usize) -> Entry<T> {
    Entry { generation: floors.of(page), tenant: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_id_stays_late_when_its_page_was_given_back() {
        let mut slots = Slots::new();
        let mut late = Vec::new();
        for round in 0..5 {
            let now: Vec<ConnId> = (0..5000).map(|_| slots.claim(round)).collect();
            assert!(late.iter().all(|id| slots.get(*id).is_none()));
            for id in &now {
                assert_eq!(slots.vacate(*id), Some(round));
            }
            assert_eq!((slots.used(), slots.entries.idle_pages()), (0, IDLE_PAGES_MAX));
            late.extend(now);
        }
        let chosen = slots.occupy(4000, 9);
        assert!(late.iter().all(|id| *id != chosen));
        assert_eq!((slots.at(4000), slots.at(3999)), (Some(chosen), None));
    }

    #[test]
    fn a_late_id_does_not_reach_the_next_tenant() {
        let mut slots = Slots::new();
        let first = slots.claim('a');
        assert_eq!(slots.vacate(first), Some('a'));
        let second = slots.claim('b');
        assert_eq!(first.slot, second.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.vacate(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(slots.used(), 1);
    }
}
