//! A flat multi-map from hashes to small numbers: 8 bytes a slot, seven of ten to nine of ten slots full.
//!
//! A slot holds the upper bits of the hash (its key) above `DATA` bits of data; an empty one is 0. The table is cut by
//! the topmost key bits into segments that split and grow one by one: no insert moves more than `SEGMENT_MAX` slots,
//! and no time sees the whole table twice. Within a segment the slots are sorted by key with gaps between them, so a
//! look-up starts where the key would be in an even spread and ends at a gap or at the first greater key.
//!
//! Invariants of a segment: empty slots left out, keys ascend; a slot is never before its home; there is no gap
//! between a slot and its home.

/// A segment with more slots than this is split in two.
const SEGMENT_MAX: usize = 2048;
/// Segments that share this many topmost key bits are not split further: then their keys are equal.
const DEPTH_MAX: u32 = 20;
const HOMES_MIN: usize = 8;

/// Slots with `DATA` bits of data, at most 32.
pub struct Slots<const DATA: u32> {
    /// Segment of each value of the topmost `depth` key bits. Empty while the table is.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    len: usize,
}

struct Segment {
    /// Slots at their homes, then those that were pushed beyond the last home.
    slots: Vec<u64>,
    homes: usize,
    len: usize,
    depth: u32,
}

impl<const DATA: u32> Slots<DATA> {
    const DATA_MASK: u64 = (1 << DATA) - 1;

    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        assert!(DATA <= 32);
        Self { directory: Vec::new(), depth: 0, segments: Vec::new(), len: 0 }
    }

    /// How many slots are full.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives `wanted` the data of the slots with this hash until it answers true, and returns what it wanted.
    #[inline]
    pub fn find(&self, hash: u64, mut wanted: impl FnMut(u64) -> bool) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let key = Self::key(hash);
        let segment = &self.segments[self.segment_of(key)];
        for &slot in segment.slots.get(segment.home(key)..)? {
            if slot == 0 || slot > key | Self::DATA_MASK {
                return None;
            }
            if slot >= key && wanted(slot & Self::DATA_MASK) {
                return Some(slot & Self::DATA_MASK);
            }
        }
        None
    }

    /// Adds a slot.
    pub fn insert(&mut self, hash: u64, data: u64) {
        debug_assert!(data <= Self::DATA_MASK);
        if self.segments.is_empty() {
            self.segments.push(Segment::empty(0));
            self.directory.push(0);
        }
        let key = Self::key(hash);
        let at = loop {
            let at = self.segment_of(key);
            let segment = &self.segments[at];
            if segment.len < SEGMENT_MAX || segment.depth >= DEPTH_MAX {
                break at;
            }
            self.split(at, key);
        };
        let segment = &mut self.segments[at];
        if (segment.len + 1) * 8 > segment.homes * 7 {
            segment.spread(homes_for(segment.len + 1));
        }
        segment.insert(key | data);
        self.len += 1;
    }

    /// Replaces the data of the slot with this hash and the data `old`; false if there is none.
    pub fn replace(&mut self, hash: u64, old: u64, new: u64) -> bool {
        debug_assert!(new <= Self::DATA_MASK);
        let Some((segment, at)) = self.position(hash, old) else {
            return false;
        };
        self.segments[segment].slots[at] = Self::key(hash) | new;
        true
    }

    /// Removes the slot with this hash and this data; false if there is none.
    pub fn remove(&mut self, hash: u64, data: u64) -> bool {
        let Some((segment, at)) = self.position(hash, data) else {
            return false;
        };
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
            return true;
        }
        let segment = &mut self.segments[segment];
        segment.remove(at);
        if segment.len == 0 {
            segment.slots = Vec::new();
            segment.homes = 0;
        } else if segment.homes > HOMES_MIN && segment.len * 3 < segment.homes {
            segment.spread(homes_for(segment.len));
        }
        true
    }

    /// What it keeps in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots: usize = self.segments.iter().map(|s| s.slots.capacity()).sum();
        slots * size_of::<u64>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.directory.capacity() * size_of::<u32>()
    }

    /// The part of the hash that is kept, never 0.
    #[inline]
    const fn key(hash: u64) -> u64 {
        (hash & !Self::DATA_MASK) | (Self::DATA_MASK + 1)
    }

    #[inline]
    fn segment_of(&self, key: u64) -> usize {
        self.directory[(key >> 32 >> (32 - self.depth)) as usize] as usize
    }

    fn position(&self, hash: u64, data: u64) -> Option<(usize, usize)> {
        if self.len == 0 {
            return None;
        }
        let key = Self::key(hash);
        let at = self.segment_of(key);
        let segment = &self.segments[at];
        let home = segment.home(key);
        let found = segment
            .slots
            .get(home..)?
            .iter()
            .take_while(|slot| **slot != 0 && **slot <= key | Self::DATA_MASK)
            .position(|slot| *slot == key | data)?;
        Some((at, home + found))
    }

    /// Cuts the segment at `at`, where `key` belongs, in two by its next key bit.
    fn split(&mut self, at: usize, key: u64) {
        let depth = self.segments[at].depth;
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|s| [*s, *s]).collect();
            self.depth += 1;
        }
        let upper = u32::try_from(self.segments.len()).expect("segments have many slots each");
        let new = self.segments[at].split();
        self.segments.push(new);
        let covered = 1_usize << (self.depth - depth);
        let first = (key >> 32 >> (32 - depth)) as usize * covered;
        self.directory[first + covered / 2..first + covered].fill(upper);
    }
}

impl<const DATA: u32> Default for Slots<DATA> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const DATA: u32> std::fmt::Debug for Slots<DATA> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Segment {
    const fn empty(depth: u32) -> Self {
        Self { slots: Vec::new(), homes: 0, len: 0, depth }
    }

    /// Where a key would be if there were no others.
    #[inline]
    const fn home(&self, key: u64) -> usize {
        let below = ((key >> 32) as u32) << self.depth;
        ((below as u64 * self.homes as u64) >> 32) as usize
    }

    fn insert(&mut self, slot: u64) {
        let home = self.home(slot);
        let before = self.slots[home..].iter().take_while(|other| **other != 0 && **other < slot).count();
        let mut moved = slot;
        for other in &mut self.slots[home + before..] {
            std::mem::swap(other, &mut moved);
            if moved == 0 {
                break;
            }
        }
        if moved != 0 {
            self.push(moved);
        }
        self.len += 1;
    }

    fn remove(&mut self, mut at: usize) {
        while let Some(&next) = self.slots.get(at + 1) {
            if next == 0 || self.home(next) > at {
                break;
            }
            self.slots[at] = next;
            at += 1;
        }
        self.slots[at] = 0;
        self.len -= 1;
        if at >= self.homes {
            self.slots.truncate(at);
        }
    }

    /// Lays the slots out anew over this many homes.
    fn spread(&mut self, homes: usize) {
        let old = std::mem::take(&mut self.slots);
        self.lay_out(old.into_iter().filter(|slot| *slot != 0), homes);
    }

    /// Gives away the slots whose key bit after the first `depth` is set.
    fn split(&mut self) -> Self {
        let old = std::mem::take(&mut self.slots);
        let bit = 1 << (63 - self.depth);
        self.depth += 1;
        let mut upper = Self::empty(self.depth);
        for (segment, wanted) in [(self, 0), (&mut upper, bit)] {
            let slots = old.iter().copied().filter(|slot| *slot != 0 && slot & bit == wanted);
            let homes = homes_for(slots.clone().count());
            segment.lay_out(slots, homes);
        }
        upper
    }

    fn lay_out(&mut self, ascending: impl Iterator<Item = u64>, homes: usize) {
        self.homes = homes;
        self.slots = Vec::with_capacity(homes + 4);
        self.slots.resize(homes, 0);
        self.len = 0;
        let mut free = 0;
        for slot in ascending {
            let at = self.home(slot).max(free);
            if at < self.slots.len() {
                self.slots[at] = slot;
            } else {
                self.push(slot);
            }
            free = at + 1;
            self.len += 1;
        }
    }

    fn push(&mut self, slot: u64) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(16);
        }
        self.slots.push(slot);
    }
}

fn homes_for(len: usize) -> usize {
    (len * 10 / 7 + 1).max(HOMES_MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    impl<const DATA: u32> Slots<DATA> {
        fn check(&self) {
            let mut len = 0;
            for segment in &self.segments {
                let mut last = 0;
                let mut gap_after = None;
                for (at, slot) in segment.slots.iter().copied().enumerate() {
                    if slot == 0 {
                        gap_after = Some(at);
                        continue;
                    }
                    let home = segment.home(slot);
                    assert!(home <= at && gap_after.is_none_or(|gap| gap < home));
                    assert!(slot & !Self::DATA_MASK >= last & !Self::DATA_MASK);
                    last = slot;
                    len += 1;
                }
            }
            assert_eq!(len, self.len);
        }

        fn all(&self, hash: u64) -> Vec<u64> {
            let mut all = Vec::new();
            self.find(hash, |data| {
                all.push(data);
                false
            });
            all.sort_unstable();
            all
        }
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn it_holds_what_a_map_of_lists_holds() {
        let mut slots = Slots::<16>::new();
        let mut model = BTreeMap::<u64, Vec<u64>>::new();
        let mut state = 1;
        let mut len = 0_usize;
        for step in 0..60_000_u64 {
            let r = random(&mut state);
            // A few hashes come often, and all come from a small set, so that there are equal keys and removals.
            let n = if r.is_multiple_of(16) { r >> 8 & 3 } else { r >> 8 & 0x3FFF };
            let hash = random(&mut n.clone()) & !0xFFFF;
            let list = model.entry(hash).or_default();
            let growing = step < 30_000;
            if (r >> 4) % 4 < if growing { 3 } else { 1 } {
                slots.insert(hash, r >> 40 & 0xFF);
                list.push(r >> 40 & 0xFF);
                len += 1;
            } else if let Some(data) = list.pop() {
                assert!(slots.remove(hash, data));
                len -= 1;
            } else {
                assert!(!slots.remove(hash, 7));
            }
            if step % 1000 == 0 {
                slots.check();
                for (hash, list) in &model {
                    let mut list = list.clone();
                    list.sort_unstable();
                    assert_eq!(slots.all(*hash), list);
                }
            }
            assert_eq!(slots.len(), len);
        }
        for (hash, list) in model {
            for data in list {
                assert!(slots.remove(hash, data));
            }
        }
        assert_eq!((slots.len(), slots.bytes()), (0, 0));
    }

    #[test]
    fn equal_hashes_are_many_slots() {
        let mut slots = Slots::<16>::new();
        for data in 0..5000 {
            slots.insert(u64::MAX, data);
            slots.insert(0, data);
        }
        slots.check();
        assert_eq!(slots.all(u64::MAX).len(), 5000);
        assert!(slots.replace(0, 4999, 9999));
        assert!(!slots.replace(0, 4999, 9998));
        for data in (0..4999).chain([9999]) {
            assert!(slots.remove(0, data));
        }
        assert_eq!(slots.all(0), []);
        assert_eq!(slots.all(u64::MAX).len(), 5000);
    }

    #[test]
    fn a_slot_costs_at_most_twelve_bytes() {
        let mut slots = Slots::<16>::new();
        let mut state = 2;
        for n in 0..50_000 {
            slots.insert(random(&mut state), 1);
            if n > 100 {
                let each = slots.segments.iter().map(|s| s.slots.capacity()).sum::<usize>() * 8
                    + slots.segments.len() * size_of::<Segment>();
                assert!(each <= 12 * n + 600, "{each} bytes for {n}");
            }
        }
        assert!(slots.bytes() <= 12 * 50_000, "{}", slots.bytes());
    }
}
