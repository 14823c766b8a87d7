//! Room: what a list keeps beyond what it holds, and when it lets go of it.

use std::collections::{BinaryHeap, VecDeque};

/// Entries for which a list or table always keeps room.
pub(crate) const ROOM_KEPT: usize = 256;

/// A list whose memory grows with its entries and does not shrink by itself.
pub(crate) trait List {
    fn entries(&self) -> usize;
    fn room(&self) -> usize;
    fn keep(&mut self, room: usize);
}

macro_rules! lists {
    ($($list:ident),*) => { $(
        impl<T> List for $list<T> {
            fn entries(&self) -> usize {
                self.len()
            }

            fn room(&self) -> usize {
                self.capacity()
            }

            fn keep(&mut self, room: usize) {
                self.shrink_to(room);
            }
        }
    )* };
}

lists!(Vec, VecDeque, BinaryHeap);

/// Makes a list smaller that once was much longer; whether it was.
pub(crate) fn shrink(list: &mut impl List) -> bool {
    let is_roomy = list.room() > ROOM_KEPT && list.room() / 4 > list.entries();
    if is_roomy {
        list.keep((list.entries() * 2).max(ROOM_KEPT));
    }
    is_roomy
}
