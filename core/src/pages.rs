//! A dense array that grows by pages, so that growing never copies nor holds it twice.
//!
//! Invariants: all pages but the last are full, and no page is empty.

const PAGE: usize = 256;

/// Values at `0..len()`.
pub struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Pages<T> {
    /// Without values.
    #[must_use]
    pub const fn new() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `value` at the end and returns where that is.
    ///
    /// # Panics
    /// If there are four thousand million.
    pub fn push(&mut self, value: T) -> u32 {
        let at = u32::try_from(self.len).expect("fewer than 4 billion values fit in memory");
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(value),
            last => {
                // The first page grows as it is needed, since most tables stay small.
                let capacity = if last.is_some() { PAGE } else { 4 };
                let mut page = Vec::with_capacity(capacity);
                page.push(value);
                self.pages.push(page);
            }
        }
        self.len += 1;
        at
    }

    /// Takes the value at `at` out and moves the last one there.
    ///
    /// # Panics
    /// If there is none.
    pub fn swap_remove(&mut self, at: u32) -> T {
        let page = self.pages.last_mut().expect("there is a value at `at`");
        let last = page.pop().expect("no page is empty");
        if page.is_empty() {
            self.pages.pop();
        }
        self.len -= 1;
        if at as usize == self.len { last } else { std::mem::replace(self.get_mut(at), last) }
    }

    /// The value at a place that is known to be taken.
    ///
    /// # Panics
    /// If it is not.
    #[inline]
    #[must_use]
    pub fn get(&self, at: u32) -> &T {
        &self.pages[at as usize / PAGE][at as usize % PAGE]
    }

    /// The same, to change it.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.pages[at as usize / PAGE][at as usize % PAGE]
    }

    /// All values in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// Bytes that it keeps in memory, without what the values keep elsewhere.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let values: usize = self.pages.iter().map(Vec::capacity).sum();
        values * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_keeps_the_rest_and_frees_pages() {
        let mut pages = Pages::new();
        for n in 0..1000_u32 {
            assert_eq!(pages.push(n), n);
        }
        assert_eq!(pages.swap_remove(3), 3);
        assert_eq!(*pages.get(3), 999);
        assert_eq!(pages.swap_remove(998), 998);
        let mut left: Vec<u32> = pages.iter().copied().collect();
        left.sort_unstable();
        let expected: Vec<u32> = (0..998).filter(|n| *n != 3).chain([999]).collect();
        assert_eq!(left, expected);
        while !pages.is_empty() {
            pages.swap_remove(0);
        }
        assert!(pages.pages.is_empty());
    }
}
