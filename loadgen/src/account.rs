//! Exact accounts of what a receiver got: lost, doubled and reordered messages are found, whatever their order.
//!
//! Invariants: `unique + missing = next` for a [`Stream`]; a message is counted as unique or doubled, never both.

/// Gaps that one stream remembers. Beyond it the oldest are written off: what still comes of them counts as doubled.
const GAPS_MAX: usize = 1 << 16;

/// What a message was to the one who got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// For the first time, and behind all before it.
    InOrder,
    /// For the first time, but after one that was sent later.
    Late,
    /// Once more.
    Again,
}

/// One publisher as one receiver sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// One past the highest sequence seen.
    next: u64,
    pub(crate) unique: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Ranges below `next` that have not come, first and last of each, ascending.
    gaps: Vec<(u64, u64)>,
}

impl Stream {
    /// A stream whose receiver came when `first` was sent: what was before it is not missed.
    pub(crate) fn from(first: u64) -> Self {
        Self { next: first, ..Self::default() }
    }

    #[inline]
    pub(crate) fn see(&mut self, sequence: u64) -> Seen {
        if sequence >= self.next {
            if sequence > self.next {
                self.gap(self.next, sequence - 1);
            }
            self.next = sequence + 1;
            self.unique += 1;
            return Seen::InOrder;
        }
        self.see_late(sequence)
    }

    /// So many more that were expected.
    #[inline]
    pub(crate) fn see_run(&mut self, count: u64) {
        self.next += count;
        self.unique += count;
    }

    #[cold]
    fn gap(&mut self, first: u64, last: u64) {
        if self.gaps.len() == GAPS_MAX {
            self.gaps.drain(..GAPS_MAX / 2);
        }
        self.gaps.push((first, last));
    }

    #[cold]
    fn see_late(&mut self, sequence: u64) -> Seen {
        let at = self.gaps.partition_point(|(_, last)| *last < sequence);
        let Some(&(first, last)) = self.gaps.get(at).filter(|(first, _)| *first <= sequence) else {
            self.doubled += 1;
            return Seen::Again;
        };
        match (sequence == first, sequence == last) {
            (true, true) => {
                self.gaps.remove(at);
            }
            (true, false) => self.gaps[at].0 = sequence + 1,
            (false, true) => self.gaps[at].1 = sequence - 1,
            (false, false) => {
                self.gaps[at].1 = sequence - 1;
                self.gaps.insert(at + 1, (sequence + 1, last));
            }
        }
        self.unique += 1;
        self.reordered += 1;
        Seen::Late
    }

    /// Sequences below the highest that have not come.
    pub(crate) fn missing(&self) -> u64 {
        self.gaps.iter().map(|(first, last)| last - first + 1).sum()
    }
}

/// What one receiver got of one publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) publisher: u32,
    pub(crate) subscriber: u32,
    pub(crate) unique: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
}

/// Which messages of one publisher a whole group has got: a bit for each, so that groups spread over workers can be
/// joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    /// All that came, again or not.
    pub(crate) received: u64,
}

impl Bits {
    /// Whether the sequence is new to those who share these bits.
    pub(crate) fn see(&mut self, sequence: u64) -> bool {
        self.received += 1;
        let word = usize::try_from(sequence / 64).unwrap_or(usize::MAX);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (sequence % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Takes in what others of the group have got.
    pub(crate) fn join(&mut self, other: &Self) {
        self.received += other.received;
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// As they were told by [`words`](Self::words).
    pub(crate) fn from_words(words: Vec<u64>, received: u64) -> Self {
        Self { words, received }
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn unique(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_of(sequences: impl IntoIterator<Item = u64>) -> Stream {
        let mut stream = Stream::default();
        for sequence in sequences {
            stream.see(sequence);
        }
        stream
    }

    #[test]
    fn messages_in_order_leave_nothing_to_say() {
        let stream = stream_of(0..1000);
        assert_eq!((stream.unique, stream.doubled, stream.reordered, stream.missing()), (1000, 0, 0, 0));
        assert!(stream.gaps.is_empty());
    }

    #[test]
    fn a_lost_message_is_missing() {
        let stream = stream_of([0, 1, 3, 4, 7]);
        assert_eq!((stream.unique, stream.missing()), (5, 3));
        assert_eq!((stream.doubled, stream.reordered), (0, 0));
    }

    #[test]
    fn a_late_message_is_reordered_and_not_missing() {
        let mut stream = stream_of([0, 2, 3]);
        assert_eq!(stream.see(1), Seen::Late);
        assert_eq!((stream.unique, stream.reordered, stream.missing()), (4, 1, 0));
        assert_eq!(stream.see(1), Seen::Again);
        assert_eq!((stream.unique, stream.doubled), (4, 1));
    }

    #[test]
    fn gaps_are_split_from_every_side() {
        let mut stream = stream_of([0, 10]);
        for (sequence, missing) in [(5, 8), (1, 7), (9, 6), (4, 5), (6, 4), (2, 3), (3, 2), (7, 1), (8, 0)] {
            assert_eq!(stream.see(sequence), Seen::Late, "{sequence}");
            assert_eq!(stream.missing(), missing, "after {sequence}");
        }
        assert_eq!((stream.unique, stream.reordered), (11, 9));
        for sequence in 0..11 {
            assert_eq!(stream.see(sequence), Seen::Again, "{sequence}");
        }
    }

    #[test]
    fn doubled_messages_are_told_from_reordered_ones() {
        let stream = stream_of([0, 1, 1, 0, 2, 2]);
        assert_eq!((stream.unique, stream.doubled, stream.reordered), (3, 3, 0));
    }

    #[test]
    fn whoever_comes_later_misses_nothing_before() {
        let mut stream = Stream::from(100);
        stream.see(100);
        stream.see(102);
        assert_eq!((stream.unique, stream.missing()), (2, 1));
    }

    #[test]
    fn the_account_of_a_stream_equals_that_of_a_plain_set() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..200 {
            let (mut stream, mut set) = (Stream::default(), std::collections::BTreeSet::new());
            let (mut doubled, mut reordered, mut highest) = (0, 0, None);
            for _ in 0..300 {
                let sequence = random() % 200;
                stream.see(sequence);
                if !set.insert(sequence) {
                    doubled += 1;
                } else if highest.is_some_and(|highest| sequence < highest) {
                    reordered += 1;
                }
                highest = highest.max(Some(sequence));
            }
            assert_eq!((stream.unique, stream.doubled, stream.reordered), (set.len() as u64, doubled, reordered));
            assert_eq!(stream.missing(), highest.map_or(0, |highest| highest + 1) - set.len() as u64);
        }
    }

    #[test]
    fn gaps_without_end_are_bounded() {
        let stream = stream_of((0..).step_by(2).take(3 * GAPS_MAX));
        assert!(stream.gaps.len() <= GAPS_MAX);
        assert_eq!(stream.unique, 3 * GAPS_MAX as u64);
    }

    #[test]
    fn a_group_finds_what_two_of_its_members_got() {
        let (mut one, mut two) = (Bits::default(), Bits::default());
        assert!(one.see(0) && one.see(2) && two.see(1) && two.see(2) && two.see(700));
        assert!(!two.see(1));
        one.join(&two);
        assert_eq!((one.unique(), one.received), (4, 6));
    }
}
