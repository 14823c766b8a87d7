//! Slab: values with small stable indices; freed ones are used again under a new generation, low ones first.
//!
//! Invariants: an index and a generation together name one tenant, also after the page it was on has been given back:
//! the page comes again above every generation it had.

use millrace_core::places::{Floors, Places};

/// A table of values.
pub(crate) struct Slab<T> {
    entries: Places<Entry<T>>,
    /// By page, the first generation of its places.
    floors: Floors,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Places::new(), floors: Floors::new() }
    }
}

impl<T> Slab<T> {
    /// Adds a value; returns its index.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let floors = &self.floors;
        let vacant = |page| Entry { generation: floors.of(page), value: None };
        let index = self.entries.take(vacant);
        self.entries.get_mut(index).value = Some(value);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.find_mut(index)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.entries.free(index);
        Some(value)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.entries.find(index)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.find_mut(index)?.value.as_mut()
    }

    /// The values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|(_, entry)| entry.value.as_ref())
    }

    /// Which tenant of the index this is.
    pub(crate) fn generation(&self, index: u32) -> u32 {
        self.entries.find(index).map_or(0, |entry| entry.generation)
    }

    /// The value, if it is still this tenant.
    pub(crate) fn get_if(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        let entry = self.entries.find_mut(index)?;
        if entry.generation != generation {
            return None;
        }
        entry.value.as_mut()
    }

    /// Gives at most `pages` pages back that nobody is on; returns how many went.
    pub(crate) fn give_back(&mut self, pages: usize) -> usize {
        let floors = &mut self.floors;
        self.entries.give_back(pages, |page, entries| floors.may_go(page, entries.iter().map(|entry| entry.generation)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use millrace_core::places::FLOOR_MAX;

    use super::*;

    #[test]
    fn an_old_name_never_meets_a_new_tenant() {
        let mut slab = Slab::default();
        let mut seen = HashSet::new();
        let mut old = Vec::new();
        for round in 0..20_u32 {
            // Each round uses some places more often than others, and gives all pages back.
            let mut now = Vec::new();
            for step in 0..1000 {
                let index = slab.insert((round, step));
                let name = (index, slab.generation(index));
                assert!(seen.insert(name), "{name:?} came again in round {round}");
                if step % 7 == 0 {
                    assert_eq!(slab.remove(index), Some((round, step)));
                    old.push(name);
                } else {
                    now.push(name);
                }
            }
            assert!(old.iter().all(|(index, generation)| slab.get_if(*index, *generation).is_none()));
            for (index, generation) in now {
                assert!(slab.get_if(index, generation).is_some());
                assert!(slab.remove(index).is_some());
                old.push((index, generation));
            }
            assert!(slab.give_back(usize::MAX) >= 3);
            assert_eq!(slab.iter().count(), 0);
            assert!(old.iter().all(|(index, generation)| slab.get_if(*index, *generation).is_none()));
        }
    }

    #[test]
    fn a_page_whose_generations_have_come_far_is_kept() {
        let mut slab = Slab::default();
        let index = slab.insert(());
        slab.entries.get_mut(index).generation = FLOOR_MAX;
        slab.remove(index);
        assert_eq!(slab.give_back(10), 0);
        assert_eq!(slab.generation(index), FLOOR_MAX + 1);
    }
}
