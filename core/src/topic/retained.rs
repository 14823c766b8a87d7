//! RetainedTree: Topic Filters to the retained messages that match them, page by page.
//!
//! The messages are ordered by topic, level by level, so that all topics below one topic are neighbours. A filter is
//! answered by walking that order and by leaping over what cannot match: `plant/+/temp` leaps from plant to plant.
//!
//! Invariants: keys are topics with 0 for `/`, which no topic contains; the order of bytes is then the order of levels.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use smallvec::SmallVec;

use super::text::Text;
use crate::message::Message;
use crate::time::Millis;

mod walk;

use walk::{Step, Walk};

/// A topic with 0 for `/`.
type Key = Text<22>;
type KeyBuffer = SmallVec<[u8; 128]>;

/// What one message costs besides itself: its key, its pointer, and a share of the map around them.
const ENTRY_BYTES: usize = (size_of::<Key>() + size_of::<Message>()) * 3 / 2;

/// What it costs more if it expires.
const DEADLINE_BYTES: usize = size_of::<(Millis, Key)>() * 3 / 2;

/// The retained messages of a shard, by topic.
#[derive(Default)]
pub struct RetainedTree {
    messages: BTreeMap<Key, Message>,
    /// Those that expire, by when.
    deadlines: BTreeSet<(Millis, Key)>,
    bytes: usize,
}

/// How far a query has come: the last topic it has looked at. It stays good whatever is inserted or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    last: Option<Box<str>>,
}

impl Cursor {
    /// Before the first topic.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Behind `topic`, as [`Cursor::last`] has given it; for a cursor that comes from elsewhere.
    #[must_use]
    pub fn after(topic: &str) -> Self {
        Self { last: Some(topic.into()) }
    }

    /// The last topic that was looked at, if any was.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

impl RetainedTree {
    /// One without messages.
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: BTreeMap::new(), deadlines: BTreeSet::new(), bytes: 0 }
    }

    /// How many messages it holds, expired ones among them until [`RetainedTree::expire`] has come by.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What the messages and their places keep in memory, to be held against a limit.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Retains `message` for its topic (valid) and gives back the one it replaces. That an empty payload means removal
    /// is for the caller to know.
    pub fn insert(&mut self, message: Message) -> Option<Message> {
        let view = message.view();
        let expires_at = view.head.expires_at;
        let key = Key::new(&key_of(view.topic));
        let previous = self.remove_key(key.as_bytes());
        self.bytes += cost(&key, &message);
        if expires_at != Millis::NEVER {
            self.deadlines.insert((expires_at, key.clone()));
        }
        self.messages.insert(key, message);
        previous
    }

    /// Takes the message of `topic` out.
    pub fn remove(&mut self, topic: &str) -> Option<Message> {
        self.remove_key(&key_of(topic))
    }

    /// The message of `topic`, expired or not.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<&Message> {
        self.messages.get(&*key_of(topic))
    }

    /// Gives `each` the next messages that match `filter` and have not expired, in the order of their topics, and moves
    /// `cursor` on. It ends after `max_messages` given or `max_steps` topics looked at, at least one of each; true when
    /// there are no more.
    ///
    /// What is present from the first page to the last is given exactly once.
    pub fn page(
        &self,
        filter: &str,
        cursor: &mut Cursor,
        now: Millis,
        max_messages: usize,
        max_steps: usize,
        mut each: impl FnMut(&Message),
    ) -> bool {
        let walk = Walk::new(filter);
        let mut given = 0;
        let mut steps = 0;
        let mut last: Option<&Key> = None;
        // Where to go on, and whether a topic that is exactly there still counts.
        let (mut from, mut inclusive) = match cursor.last().map(key_of) {
            None => (walk.start(), true),
            Some(key) => match walk.step(&key) {
                Step::Match => (key, false),
                Step::Leap(to) => (to, true),
                Step::End => return true,
            },
        };
        let done = 'seek: loop {
            let bound = if inclusive { Bound::Included(&*from) } else { Bound::Excluded(&*from) };
            for (key, message) in self.messages.range::<[u8], _>((bound, Bound::Unbounded)) {
                let step = walk.step(key.as_bytes());
                if let Step::End = step {
                    break 'seek true;
                }
                steps += 1;
                last = Some(key);
                if let Step::Match = step
                    && !is_expired(message, now)
                {
                    each(message);
                    given += 1;
                }
                if given >= max_messages || steps >= max_steps {
                    break 'seek false;
                }
                if let Step::Leap(to) = step {
                    from = to;
                    inclusive = true;
                    continue 'seek;
                }
            }
            break true;
        };
        if let Some(key) = last {
            cursor.last = Some(topic_of(key.as_bytes()).into());
        }
        done
    }

    /// Removes what has expired, at most `max_steps` messages, and says how many those were.
    pub fn expire(&mut self, now: Millis, max_steps: usize) -> usize {
        let mut removed = 0;
        while removed < max_steps && self.next_expiry() <= now {
            let Some((_, key)) = self.deadlines.pop_first() else {
                break;
            };
            if let Some(message) = self.messages.remove(key.as_bytes()) {
                self.bytes -= cost(&key, &message);
            }
            removed += 1;
        }
        removed
    }

    /// When the next message expires, or [`Millis::NEVER`].
    #[must_use]
    pub fn next_expiry(&self) -> Millis {
        self.deadlines.first().map_or(Millis::NEVER, |first| first.0)
    }

    fn remove_key(&mut self, key: &[u8]) -> Option<Message> {
        let (key, message) = self.messages.remove_entry(key)?;
        self.bytes -= cost(&key, &message);
        let expires_at = message.view().head.expires_at;
        if expires_at != Millis::NEVER {
            self.deadlines.remove(&(expires_at, key));
        }
        Some(message)
    }
}

impl std::fmt::Debug for RetainedTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetainedTree")
            .field("messages", &self.messages.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

fn is_expired(message: &Message, now: Millis) -> bool {
    let expires_at = message.view().head.expires_at;
    expires_at != Millis::NEVER && expires_at <= now
}

fn cost(key: &Key, message: &Message) -> usize {
    let expires = message.view().head.expires_at != Millis::NEVER;
    message.bytes() + key.heap_bytes() + ENTRY_BYTES + usize::from(expires) * DEADLINE_BYTES
}

fn key_of(topic: &str) -> KeyBuffer {
    topic.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect()
}

fn topic_of(key: &[u8]) -> String {
    let bytes = key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte });
    String::from_utf8(bytes.collect()).expect("a key is a topic with 0 for `/`")
}

#[cfg(test)]
mod tests;
