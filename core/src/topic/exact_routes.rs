//! ExactRoutes: which shards want which topics, as far as their filters have no wildcards. One table for all shards,
//! which any of them reads without a lock while others change it.
//!
//! A filter is kept as part of its hash, with the shard and how many of that shard's filters share that part: 8 bytes
//! instead of a text. Two filters of one hash cost a needless hand-over, which the shard that gets it finds out; a
//! route is never lost by them.
//!
//! Linear hashing: pages of seven slots, each with a chain of further ones; when the pages get full, one more is added
//! and takes its slots from one other. Whoever adds or removes a filter holds the lock of its part; that is at a
//! SUBSCRIBE, not on the path of a message.
//!
//! Invariants: a slot moves in three steps: it is copied, then the number of pages grows, then the original is cleared.
//! Whoever finds the number changed after a search searches again, so that no search misses a slot that was there all
//! the time. Only the last page of a chain is taken out of it. Pages are never fewer than they were.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use smallvec::SmallVec;

use super::hash::TopicHash;
use super::routes::{SHARDS_MAX, ShardSet};

const SHARD_BITS: u32 = SHARDS_MAX.ilog2();
const COUNT_BITS: u32 = 6;
const DATA_BITS: u32 = SHARD_BITS + COUNT_BITS;
const KEY: u64 = u64::MAX << DATA_BITS;
const SHARD: u64 = (1 << SHARD_BITS) - 1;
const ONE: u64 = 1 << SHARD_BITS;
/// A count that has come here stays, and with it the route: the filters it stands for are no longer known.
const COUNT_STUCK: u64 = (1 << COUNT_BITS) - 1;

/// Changes in one part hold up nobody in another one.
const PART_BITS: u32 = 5;
const SLOTS: usize = 7;
/// Slots that a page holds on average before there is one more page.
const SLOTS_WANTED: usize = 5;
/// Blocks of pages: four of one size, then four of twice that.
const BLOCKS: usize = 80;

/// Topic Filters without wildcards to the shards that want what matches them.
#[derive(Debug)]
pub struct ExactRoutes {
    hash: TopicHash,
    parts: Box<[Part]>,
}

/// What the answer of a search relied on.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    part: u8,
    changes: u64,
}

/// The filters whose hashes begin with the same bits.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    /// Filters that came or went.
    changes: AtomicU64,
    /// Pages that slots begin at.
    homes: AtomicU32,
    pages: Pages,
    /// Where the chains go on.
    further: Pages,
    writer: Mutex<Writer>,
}

/// What only those need to know who change something.
#[derive(Debug, Default)]
struct Writer {
    len: usize,
    /// Pages of [`Part::further`] that have been in use, and those of them that are not now.
    further: u32,
    free: Vec<u32>,
}

/// Pages that stay where they are while there come to be more of them.
#[derive(Debug)]
struct Pages([OnceLock<Box<[Page]>>; BLOCKS]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Page {
    /// Number of the next page of the chain in [`Part::further`], plus one; 0 at the end.
    next: AtomicU32,
    /// `key | count << SHARD_BITS | shard`; 0 is empty.
    slots: [AtomicU64; SLOTS],
}

impl ExactRoutes {
    /// An empty one, with a seed that clients must not know.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { hash: TopicHash::with_seed(seed), parts: (0..1 << PART_BITS).map(|_| Part::new()).collect() }
    }

    /// `shard` now wants what is published to `topic`.
    ///
    /// Whoever learns of this from another thread finds the shard.
    pub fn add(&self, topic: &str, shard: u16) {
        assert!(usize::from(shard) < SHARDS_MAX, "shards are below SHARDS_MAX");
        let hash = self.hash.of(topic.as_bytes());
        let part = &self.parts[part_of(hash)];
        let mut writer = part.writer();
        let wanted = key(hash) | u64::from(shard);
        let Some((slot, known)) = part.find(wanted) else {
            part.insert(&mut writer, wanted | ONE);
            part.changed();
            return;
        };
        if count(known) != COUNT_STUCK {
            slot.store(known + ONE, Ordering::Release);
        }
    }

    /// `shard` no longer wants what is published to `topic`, which it has wanted until now.
    pub fn remove(&self, topic: &str, shard: u16) {
        let hash = self.hash.of(topic.as_bytes());
        let part = &self.parts[part_of(hash)];
        let mut writer = part.writer();
        let wanted = key(hash) | u64::from(shard);
        match part.find(wanted) {
            Some((slot, known)) if count(known) == 1 => {
                slot.store(0, Ordering::Release);
                writer.len -= 1;
                part.trim(&mut writer, home(hash, part.homes.load(Ordering::Relaxed)));
                part.changed();
            }
            Some((slot, known)) if count(known) != COUNT_STUCK => slot.store(known - ONE, Ordering::Release),
            _ => {}
        }
    }

    /// Adds the shards that want `topic` to `into`, and seldom one that does not. The answer holds as long as
    /// [`Self::is_current`].
    #[inline]
    pub fn shards(&self, topic: &str, into: &mut ShardSet) -> Seen {
        let hash = self.hash.of(topic.as_bytes());
        let at = part_of(hash);
        let part = &self.parts[at];
        let seen = Seen { part: at as u8, changes: part.changes.load(Ordering::Acquire) };
        let key = key(hash);
        let mut homes = part.homes.load(Ordering::Acquire);
        loop {
            part.each(home(hash, homes), |slot| {
                let slot = slot.load(Ordering::Relaxed);
                if slot & KEY == key {
                    into.insert((slot & SHARD) as u16);
                }
            });
            // What was seen cleared is where it was moved to by now.
            fence(Ordering::Acquire);
            let now = part.homes.load(Ordering::Relaxed);
            if now == homes {
                return seen;
            }
            homes = now;
        }
    }

    /// Whether a search would find now what it found then.
    #[inline]
    #[must_use]
    pub fn is_current(&self, seen: Seen) -> bool {
        self.parts[usize::from(seen.part)].changes.load(Ordering::Acquire) == seen.changes
    }

    /// How many pairs of a filter and a shard there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.writer().len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Part {
    fn new() -> Self {
        Self {
            changes: AtomicU64::new(0),
            homes: AtomicU32::new(1),
            pages: Pages::new(),
            further: Pages::new(),
            writer: Mutex::default(),
        }
    }

    /// A panic leaves nothing half-done that the next one could not live with: a slot too many at most.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Visits the slots of a chain.
    #[inline]
    fn each<'a>(&'a self, home: u32, mut visit: impl FnMut(&'a AtomicU64)) {
        let Some(mut page) = self.pages.get(home) else { return };
        loop {
            page.slots.iter().for_each(&mut visit);
            match page.next.load(Ordering::Acquire) {
                0 => return,
                next => page = self.further.get(next - 1).expect("it was made before it was linked"),
            }
        }
    }

    /// The slot with the key and the shard of `wanted`, for who holds the lock.
    fn find(&self, wanted: u64) -> Option<(&AtomicU64, u64)> {
        let mut found = None;
        self.each(home(wanted, self.homes.load(Ordering::Relaxed)), |slot| {
            let known = slot.load(Ordering::Relaxed);
            if known & (KEY | SHARD) == wanted {
                found = Some((slot, known));
            }
        });
        found
    }

    fn insert(&self, writer: &mut Writer, slot: u64) {
        let homes = self.homes.load(Ordering::Relaxed);
        self.put(writer, home(slot, homes), slot);
        writer.len += 1;
        if writer.len > homes as usize * SLOTS_WANTED {
            self.split(writer, homes);
        }
    }

    /// Puts a slot into the first empty place of a chain.
    fn put(&self, writer: &mut Writer, home: u32, slot: u64) {
        let mut page = self.pages.get_or_make(home);
        loop {
            if let Some(empty) = page.slots.iter().find(|slot| slot.load(Ordering::Relaxed) == 0) {
                return empty.store(slot, Ordering::Release);
            }
            match page.next.load(Ordering::Relaxed) {
                0 => break,
                next => page = self.further.get_or_make(next - 1),
            }
        }
        let next = writer.free.pop().unwrap_or_else(|| {
            writer.further += 1;
            writer.further - 1
        });
        self.further.get_or_make(next).slots[0].store(slot, Ordering::Relaxed);
        page.next.store(next + 1, Ordering::Release);
    }

    /// Adds one more page behind the `homes` there are; its slots come from the chain of one other page, and what is
    /// left of that chain moves together.
    fn split(&self, writer: &mut Writer, homes: u32) {
        let from = homes - (1 << homes.ilog2());
        let (mut gone, mut left) = (SmallVec::<[&AtomicU64; 32]>::new(), SmallVec::<[&AtomicU64; 32]>::new());
        self.pages.get_or_make(homes);
        self.each(from, |slot| match slot.load(Ordering::Relaxed) {
            0 => left.push(slot),
            known if home(known, homes + 1) == homes => {
                self.put(writer, homes, known);
                gone.push(slot);
            }
            _ => left.push(slot),
        });
        // Pairs of an empty place at the front and a full one at the end.
        let (mut front, mut back) = (0, left.len());
        while front < back {
            if left[front].load(Ordering::Relaxed) != 0 {
                front += 1;
            } else if left[back - 1].load(Ordering::Relaxed) == 0 {
                back -= 1;
            } else {
                let moved = left[back - 1].load(Ordering::Relaxed);
                left[front].store(moved, Ordering::Release);
                gone.push(left[back - 1]);
                (front, back) = (front + 1, back - 1);
            }
        }
        self.homes.store(homes + 1, Ordering::Release);
        for slot in gone {
            slot.store(0, Ordering::Release);
        }
        self.trim(writer, from);
    }

    /// Takes empty pages off the end of a chain. A search that is in one of them has nothing left to find there.
    fn trim(&self, writer: &mut Writer, home: u32) {
        let Some(first) = self.pages.get(home) else { return };
        loop {
            let (mut before, mut last) = (None, first);
            loop {
                match last.next.load(Ordering::Relaxed) {
                    0 => break,
                    next => {
                        before = Some((last, next));
                        last = self.further.get_or_make(next - 1);
                    }
                }
            }
            let is_empty = last.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0);
            let Some((before, number)) = before.filter(|_| is_empty) else { return };
            before.next.store(0, Ordering::Release);
            writer.free.push(number - 1);
        }
    }
}

impl Pages {
    const fn new() -> Self {
        Self([const { OnceLock::new() }; BLOCKS])
    }

    #[inline]
    fn get(&self, number: u32) -> Option<&Page> {
        let (block, at, _) = place(number);
        self.0[block].get().map(|block| &block[at])
    }

    fn get_or_make(&self, number: u32) -> &Page {
        let (block, at, len) = place(number);
        &self.0[block].get_or_init(|| (0..len).map(|_| Page::default()).collect())[at]
    }
}

/// Block of a page, its place there, and how many pages that block has.
#[inline]
const fn place(number: u32) -> (usize, usize, usize) {
    let number = number as u64 + 4;
    let size = number.ilog2() - 2;
    let block = size as usize * 4 + (number >> size) as usize - 4;
    (block, (number & ((1 << size) - 1)) as usize, 1 << size)
}

/// The page at which slots of this hash begin, of so many.
#[inline]
const fn home(hash: u64, homes: u32) -> u32 {
    let hash = (hash >> DATA_BITS) as u32;
    let mask = u32::MAX >> homes.leading_zeros();
    let home = hash & mask;
    if home < homes { home } else { hash & (mask >> 1) }
}

/// The part of the hash that is kept. It may be 0: the count beside it is not.
#[inline]
const fn key(hash: u64) -> u64 {
    hash & KEY
}

#[inline]
const fn part_of(hash: u64) -> usize {
    (hash >> (u64::BITS - PART_BITS)) as usize
}

const fn count(slot: u64) -> u64 {
    slot >> SHARD_BITS & COUNT_STUCK
}

#[cfg(test)]
mod tests;
