//! Slab: values with small stable indices; freed ones are used again under a new generation.

use millrace_core::pages::Pages;

/// A table of values.
pub(crate) struct Slab<T> {
    entries: Pages<Entry<T>>,
    free: Vec<u32>,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Pages::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Adds a value; returns its index.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries.get_mut(index).value = Some(value);
            return index;
        }
        self.entries.push(Entry { generation: 0, value: Some(value) })
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.find_mut(index)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(index);
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
        self.entries.iter().filter_map(|entry| entry.value.as_ref())
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
}
