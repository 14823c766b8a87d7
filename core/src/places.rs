//! Values at places that stay theirs: the lowest free place is taken first, and pages without any are given back.
//!
//! Like [`crate::pages`] it grows by pages, so that growing copies nothing. Because low places are preferred, the last
//! pages of a table that has shrunk run empty by themselves.
//!
//! Invariants: a place that is taken has a value; a value at a free place means nothing, and its page may go at any
//! time that the owner asks for it.

/// Places of one page.
const PAGE: usize = 256;
const WORDS: usize = PAGE / 64;
/// The first page grows as it is needed, since most tables stay small.
const FIRST: usize = 4;

/// Values at places.
pub struct Places<T> {
    pages: Vec<Page<T>>,
    /// By page, whether it has a free place.
    roomy: Vec<u64>,
    len: usize,
    /// Pages that hold memory and no place that is taken.
    idle: usize,
}

struct Page<T> {
    /// As far as places were ever taken.
    values: Vec<T>,
    /// By place, whether it is taken.
    taken: [u64; WORDS],
}

impl<T> Page<T> {
    const fn new() -> Self {
        Self { values: Vec::new(), taken: [0; WORDS] }
    }

    fn is_idle(&self) -> bool {
        self.values.capacity() != 0 && self.taken == [0; WORDS]
    }

    fn is_taken(&self, at: usize) -> bool {
        self.taken[at / 64] >> (at % 64) & 1 == 1
    }
}

impl<T> Places<T> {
    /// Without values.
    #[must_use]
    pub const fn new() -> Self {
        Self { pages: Vec::new(), roomy: Vec::new(), len: 0, idle: 0 }
    }

    /// How many places are taken.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Pages that hold memory and no place that is taken.
    #[must_use]
    pub const fn idle_pages(&self) -> usize {
        self.idle
    }

    /// One past the last place that there ever was, or more.
    #[must_use]
    pub const fn end(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }

    /// Takes the lowest free place; `vacant` makes the value of a place that had none, by its page.
    ///
    /// # Panics
    /// If four thousand million are taken.
    pub fn take(&mut self, vacant: impl FnMut(usize) -> T) -> u32 {
        let known = self.roomy.iter().position(|word| *word != 0);
        let page = known.map_or(self.pages.len(), |word| word * 64 + self.roomy[word].trailing_zeros() as usize);
        let taken = self.pages.get(page).map_or([0; WORDS], |page| page.taken);
        let word = taken.iter().position(|word| *word != u64::MAX).expect("the page has a free place");
        let place = word * 64 + taken[word].trailing_ones() as usize;
        let at = u32::try_from(page * PAGE + place).expect("fewer than 4 billion values fit in memory");
        self.take_at(at, vacant);
        at
    }

    /// Takes the place `at`, which must be free.
    pub fn take_at(&mut self, at: u32, mut vacant: impl FnMut(usize) -> T) {
        let (page, place) = split(at);
        while self.pages.len() <= page {
            let new = self.pages.len();
            self.pages.push(Page::new());
            if self.roomy.len() <= new / 64 {
                self.roomy.push(0);
            }
            self.roomy[new / 64] |= 1 << (new % 64);
        }
        let of = &mut self.pages[page];
        debug_assert!(!of.is_taken(place), "a place has one tenant");
        self.idle -= usize::from(of.is_idle());
        if of.values.capacity() == 0 {
            of.values.reserve_exact(if page == 0 { FIRST } else { PAGE });
        }
        while of.values.len() <= place {
            of.values.push(vacant(page));
        }
        of.taken[place / 64] |= 1 << (place % 64);
        if of.taken == [u64::MAX; WORDS] {
            self.roomy[page / 64] &= !(1 << (page % 64));
        }
        self.len += 1;
    }

    /// Lets go of the place `at`, which must be taken. Its value stays as it is, for whoever takes the place next.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn free(&mut self, at: u32) {
        let (page, place) = split(at);
        let of = &mut self.pages[page];
        debug_assert!(of.is_taken(place), "only a place that is taken is let go");
        of.taken[place / 64] &= !(1 << (place % 64));
        self.roomy[page / 64] |= 1 << (page % 64);
        self.idle += usize::from(of.is_idle());
        self.len -= 1;
    }

    /// Gives the memory of at most `most` pages back in which no place is taken, the last ones first; `may` sees what a
    /// page still holds and may keep it. Returns how many went.
    pub fn give_back(&mut self, most: usize, mut may: impl FnMut(usize, &[T]) -> bool) -> usize {
        let mut gone = 0;
        if self.idle == 0 {
            return gone;
        }
        for (number, page) in self.pages.iter_mut().enumerate().rev() {
            if gone == most || self.idle == 0 {
                break;
            }
            if page.is_idle() && may(number, &page.values) {
                page.values = Vec::new();
                self.idle -= 1;
                gone += 1;
            }
        }
        gone
    }

    /// The value at a place that is known to be taken.
    ///
    /// # Panics
    /// If there never was one.
    #[inline]
    #[must_use]
    pub fn get(&self, at: u32) -> &T {
        &self.pages[at as usize / PAGE].values[at as usize % PAGE]
    }

    /// The same, to change it.
    ///
    /// # Panics
    /// If there never was one.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.pages[at as usize / PAGE].values[at as usize % PAGE]
    }

    /// The value at a place, free or taken, if there is one.
    #[inline]
    #[must_use]
    pub fn find(&self, at: u32) -> Option<&T> {
        self.pages.get(at as usize / PAGE)?.values.get(at as usize % PAGE)
    }

    /// The same, to change it.
    #[inline]
    pub fn find_mut(&mut self, at: u32) -> Option<&mut T> {
        self.pages.get_mut(at as usize / PAGE)?.values.get_mut(at as usize % PAGE)
    }

    /// The places that are taken and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.pages.iter().enumerate().flat_map(|(number, page)| {
            let taken = page.values.iter().enumerate().filter(|(place, _)| page.is_taken(*place));
            taken.map(move |(place, value)| ((number * PAGE + place) as u32, value))
        })
    }

    /// Bytes that it keeps in memory, without what the values keep elsewhere.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let values: usize = self.pages.iter().map(|page| page.values.capacity()).sum();
        values * size_of::<T>() + self.pages.capacity() * size_of::<Page<T>>() + self.roomy.capacity() * 8
    }
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A page in which a generation has come this far is kept: it must not run round.
pub const FLOOR_MAX: u32 = u32::MAX / 2;

/// By page of a table whose places have generations, how far they had come when the page was given back. It comes again
/// above that, so that a place and a generation together name one tenant for ever.
#[derive(Debug, Default)]
pub struct Floors(Vec<u32>);

impl Floors {
    /// For a table of which no page has gone.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The generation that places of a page begin with.
    #[must_use]
    pub fn of(&self, page: usize) -> u32 {
        self.0.get(page).copied().unwrap_or(0)
    }

    /// Whether a page with these generations may go, which is then remembered; for [`Places::give_back`].
    pub fn may_go(&mut self, page: usize, generations: impl Iterator<Item = u32>) -> bool {
        let last = generations.max().unwrap_or(0);
        if last < FLOOR_MAX {
            self.0.resize(self.0.len().max(page + 1), 0);
            self.0[page] = last.max(self.0[page]);
        }
        last < FLOOR_MAX
    }
}

const fn split(at: u32) -> (usize, usize) {
    (at as usize / PAGE, at as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_lowest_free_place_is_taken_first() {
        let mut places = Places::new();
        for expected in 0..1000 {
            assert_eq!(places.take(|_| 0), expected);
        }
        for at in [700, 3, 999, 258] {
            places.free(at);
        }
        let again: Vec<u32> = (0..5).map(|_| places.take(|_| 0)).collect();
        assert_eq!(again, [3, 258, 700, 999, 1000]);
    }

    #[test]
    fn pages_that_nobody_needs_are_given_back_a_few_at_a_time() {
        let mut places = Places::new();
        for at in 0..10 * PAGE as u32 {
            assert_eq!(places.take(|_| at), at);
        }
        let full = places.bytes();
        for at in (0..10 * PAGE as u32).filter(|at| *at != 5 * PAGE as u32 + 7) {
            places.free(at);
        }
        assert_eq!(places.give_back(4, |_, _| true), 4);
        assert_eq!(places.give_back(100, |page, _| page != 2), 4);
        assert_eq!(places.give_back(100, |_, _| true), 1);
        assert_eq!(places.give_back(100, |_, _| true), 0);
        assert!(places.bytes() < full / 4, "{} of {full}", places.bytes());
        assert_eq!(places.iter().map(|(at, _)| at).collect::<Vec<_>>(), [5 * PAGE as u32 + 7]);
        assert_eq!(places.find(0), None);
        assert_eq!(places.take(|page| page as u32), 0);
        assert_eq!(places.find(0), Some(&0));
    }

    #[test]
    fn it_holds_what_a_map_holds() {
        let mut places = Places::new();
        let mut model = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..50_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = state >> 33;
            let growing = (step / 10_000).is_multiple_of(2);
            if number % 8 < if growing { 5 } else { 3 } {
                let at = if number.is_multiple_of(64) && !model.contains_key(&(step as u32)) {
                    // Somebody else chose the place.
                    places.take_at(step as u32, |_| 0);
                    step as u32
                } else {
                    places.take(|_| 0)
                };
                *places.get_mut(at) = step;
                assert_eq!(model.insert(at, step), None);
            } else if let Some(at) = model.keys().nth(number as usize % model.len().max(1)).copied() {
                model.remove(&at);
                places.free(at);
            }
            if step % 1000 == 0 {
                places.give_back(3, |_, _| true);
                assert_eq!(places.len(), model.len());
                assert!(places.iter().eq(model.iter().map(|(at, value)| (*at, value))));
            }
        }
    }
}
