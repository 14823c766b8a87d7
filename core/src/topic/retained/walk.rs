//! What a filter makes of one topic in the order of topics: a match, a pass, or a leap over many.

use super::{KeyBuffer, key_of};

/// A filter, ready to be compared with keys.
pub(super) struct Walk {
    /// The filter with 0 for `/`.
    filter: KeyBuffer,
}

/// What to do about one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It matches; the next key is next.
    Match,
    /// No key before this one (which is beyond the present) matches.
    Leap(KeyBuffer),
    /// Neither this key nor any behind it matches.
    End,
}

impl Walk {
    pub(super) fn new(filter: &str) -> Self {
        Self { filter: key_of(filter) }
    }

    /// The first key that could match: the levels before the first wildcard.
    pub(super) fn start(&self) -> KeyBuffer {
        let mut start = KeyBuffer::new();
        for (at, level) in self.filter.split(|byte| *byte == 0).enumerate() {
            if matches!(level, b"+" | b"#") {
                break;
            }
            if at > 0 {
                start.push(0);
            }
            start.extend_from_slice(level);
        }
        start
    }

    pub(super) fn step(&self, key: &[u8]) -> Step {
        if key.first() == Some(&b'$') && matches!(self.filter.first(), Some(b'+' | b'#')) {
            // `%` is the byte behind `$` [MQTT-4.7.2-1].
            return Step::Leap(KeyBuffer::from_slice(b"%"));
        }
        // Where the level of the last `+` that stands for a level of the key ends in the key.
        let mut plus_end = None;
        let mut key_levels = Levels::new(key);
        for wanted in self.filter.split(|byte| *byte == 0) {
            if wanted == b"#" {
                return Step::Match;
            }
            let Some((start, end)) = key_levels.next() else {
                // The key is a parent of what could match; its children come right behind it.
                return Step::Leap(child(key, wanted));
            };
            if wanted == b"+" {
                plus_end = Some(end);
                continue;
            }
            match key[start..end].cmp(wanted) {
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Less => {
                    let mut to = KeyBuffer::from_slice(&key[..start]);
                    to.extend_from_slice(wanted);
                    return Step::Leap(to);
                }
                std::cmp::Ordering::Greater => return sibling(key, plus_end),
            }
        }
        if key_levels.next().is_none() {
            return Step::Match;
        }
        sibling(key, plus_end)
    }
}

/// The first key below `key` that could match the next level of the filter.
fn child(key: &[u8], wanted: &[u8]) -> KeyBuffer {
    let mut to = KeyBuffer::from_slice(key);
    to.push(0);
    if wanted != b"+" {
        to.extend_from_slice(wanted);
    }
    to
}

/// The next topic at the level that ends at `end`: behind all that is below it.
fn sibling(key: &[u8], end: Option<usize>) -> Step {
    end.map_or(Step::End, |end| {
        let mut to = KeyBuffer::from_slice(&key[..end]);
        to.push(1);
        Step::Leap(to)
    })
}

/// The levels of a key, as where they start and end.
struct Levels<'a> {
    key: &'a [u8],
    start: Option<usize>,
}

impl<'a> Levels<'a> {
    const fn new(key: &'a [u8]) -> Self {
        Self { key, start: Some(0) }
    }
}

impl Iterator for Levels<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.start?;
        let len = self.key[start..].iter().position(|byte| *byte == 0);
        self.start = len.map(|len| start + len + 1);
        Some((start, len.map_or(self.key.len(), |len| start + len)))
    }
}
