//! The table of connections: a slot is used again, a generation is not.

use millrace_core::pages::Pages;

use crate::shard::io::ConnId;

/// Slots that the encoding of an operation can tell apart.
pub(crate) const SLOTS_MAX: u32 = 1 << 24;

/// Tenants by slot. Who chooses the slot differs: the kernel ([`Slots::occupy`]) or this table ([`Slots::claim`]).
pub(crate) struct Slots<T> {
    entries: Pages<Entry<T>>,
    free: Vec<u32>,
    used: usize,
}

struct Entry<T> {
    generation: u32,
    tenant: Option<T>,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Pages::new(), free: Vec::new(), used: 0 }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// A new tenant in the slot that the kernel chose.
    pub(crate) fn occupy(&mut self, slot: u32, tenant: T) -> ConnId {
        while slot as usize >= self.entries.len() {
            self.entries.push(Entry { generation: 0, tenant: None });
        }
        let entry = self.entries.get_mut(slot);
        assert!(entry.tenant.is_none(), "the kernel reuses a slot only after it was closed");
        entry.generation = entry.generation.wrapping_add(1);
        entry.tenant = Some(tenant);
        self.used += 1;
        ConnId { slot, generation: entry.generation }
    }

    /// A new tenant in any free slot.
    pub(crate) fn claim(&mut self, tenant: T) -> ConnId {
        let slot = self
            .free
            .pop()
            .unwrap_or_else(|| u32::try_from(self.entries.len()).expect("limited by the number of descriptors"));
        self.occupy(slot, tenant)
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
        u32::try_from(self.entries.len()).expect("limited by the number of descriptors")
    }

    /// Who is in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<ConnId> {
        let entry = self.entries.find(slot)?;
        entry.tenant.as_ref().map(|_| ConnId { slot, generation: entry.generation })
    }

    /// The tenant leaves; the kernel knows by itself that the slot is free.
    pub(crate) fn vacate(&mut self, conn: ConnId) -> Option<T> {
        let entry = self.entries.find_mut(conn.slot)?;
        if entry.generation != conn.generation {
            return None;
        }
        let tenant = entry.tenant.take()?;
        self.used -= 1;
        Some(tenant)
    }

    /// The tenant leaves, and the slot goes back to the table.
    pub(crate) fn release(&mut self, conn: ConnId) -> Option<T> {
        let tenant = self.vacate(conn)?;
        self.free.push(conn.slot);
        Some(tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_id_does_not_reach_the_next_tenant() {
        let mut slots = Slots::new();
        let first = slots.claim('a');
        assert_eq!(slots.release(first), Some('a'));
        let second = slots.claim('b');
        assert_eq!(first.slot, second.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.release(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(slots.used(), 1);
    }
}
