//! LevelTree: the paths of filters with wildcards, one node a level.
//!
//! `+` and `#` are fields of a node. Its other children are in one hash table that all nodes share, keyed by node and
//! level: a node without such children pays nothing for them, and one with a million of them never copies a million.
//!
//! Invariants: each node but the root leads to a filter; a topic costs one hash a level and one probe for each node
//! that its levels above have reached.

use smallvec::SmallVec;

use crate::places::Places;
use crate::slots::Slots;
use crate::topic::hash::TopicHash;
use crate::topic::text::Text;

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

/// Filters, each with a number that stands for it.
pub(super) struct LevelTree {
    /// The root first.
    nodes: Places<Node>,
    /// Children by level, `+` and `#` left out.
    children: Slots<32>,
}

struct Node {
    parent: u32,
    /// The child for `+`.
    plus: u32,
    /// The filter that has `#` below this node.
    many: u32,
    /// The filter that ends at this node.
    end: u32,
    /// Children that are not `+` or `#`.
    named: u32,
    level: Text<14>,
}

const _: () = assert!(size_of::<Node>() == 40);

impl Node {
    fn new(parent: u32, level: &[u8]) -> Self {
        Self { parent, plus: NONE, many: NONE, end: NONE, named: 0, level: Text::new(level) }
    }
}

impl LevelTree {
    pub(super) const fn new() -> Self {
        Self { nodes: Places::new(), children: Slots::new() }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Lets `filter` lead to `number`, which takes the place of what it led to.
    pub(super) fn insert(&mut self, hash: &TopicHash, filter: &str, number: u32) {
        if self.nodes.is_empty() {
            self.take_node(NONE, b"");
        }
        let mut at = ROOT;
        for level in filter.as_bytes().split(|byte| *byte == b'/') {
            match level {
                b"#" => {
                    self.nodes.get_mut(at).many = number;
                    return;
                }
                b"+" => {
                    if self.nodes.get(at).plus == NONE {
                        let child = self.take_node(at, level);
                        self.nodes.get_mut(at).plus = child;
                    }
                    at = self.nodes.get(at).plus;
                }
                _ => {
                    let level_hash = hash.of(level);
                    at = self.child(at, level, level_hash).unwrap_or_else(|| {
                        let child = self.take_node(at, level);
                        self.children.insert(TopicHash::below(level_hash, at), u64::from(child));
                        self.nodes.get_mut(at).named += 1;
                        child
                    });
                }
            }
        }
        self.nodes.get_mut(at).end = number;
    }

    /// Forgets `filter` and the nodes that led to it alone.
    pub(super) fn remove(&mut self, hash: &TopicHash, filter: &str) {
        if self.nodes.is_empty() {
            return;
        }
        let mut at = ROOT;
        let mut has_many = false;
        for level in filter.as_bytes().split(|byte| *byte == b'/') {
            let next = match level {
                b"#" => {
                    has_many = true;
                    break;
                }
                b"+" => Some(self.nodes.get(at).plus).filter(|plus| *plus != NONE),
                _ => self.child(at, level, hash.of(level)),
            };
            let Some(next) = next else {
                return;
            };
            at = next;
        }
        let node = self.nodes.get_mut(at);
        if has_many {
            node.many = NONE;
        } else {
            node.end = NONE;
        }
        self.prune(hash, at);
    }

    /// Gives `each` the numbers of all filters that `topic` matches.
    #[inline]
    pub(super) fn matches(&self, hash: &TopicHash, topic: &str, mut each: impl FnMut(u32)) {
        if self.is_empty() {
            return;
        }
        // Wildcards of the first level do not stand for what begins with `$` [MQTT-4.7.2-1].
        let mut wildcards = !topic.starts_with('$');
        let mut node = self.nodes.get(ROOT);
        if wildcards && node.many != NONE {
            each(node.many);
        }
        let mut at = ROOT;
        let mut levels = Levels::new(topic);
        // As long as there is one way down, nothing need be remembered.
        while let Some(level) = levels.next() {
            let plus = if wildcards { node.plus } else { NONE };
            wildcards = true;
            let named = if node.named > 0 { self.child(at, level, hash.of(level)).unwrap_or(NONE) } else { NONE };
            at = match (plus, named) {
                (NONE, NONE) => return,
                (only, NONE) | (NONE, only) => only,
                both => return self.matches_wide(hash, both, levels, each),
            };
            node = self.nodes.get(at);
            // Whether more levels follow or none: `sport/#` matches `sport` too.
            if node.many != NONE {
                each(node.many);
            }
        }
        if node.end != NONE {
            each(node.end);
        }
    }

    /// Goes on from two nodes that the levels before `levels` have reached.
    fn matches_wide(&self, hash: &TopicHash, (one, other): (u32, u32), levels: Levels<'_>, mut each: impl FnMut(u32)) {
        let mut here = SmallVec::<[u32; 16]>::from_slice(&[one, other]);
        let mut below = SmallVec::<[u32; 16]>::new();
        for level in levels {
            let mut level_hash = None;
            for at in here.drain(..) {
                let node = self.nodes.get(at);
                if node.many != NONE {
                    each(node.many);
                }
                if node.plus != NONE {
                    below.push(node.plus);
                }
                if node.named > 0 {
                    let level_hash = *level_hash.get_or_insert_with(|| hash.of(level));
                    below.extend(self.child(at, level, level_hash));
                }
            }
            std::mem::swap(&mut here, &mut below);
            if here.is_empty() {
                return;
            }
        }
        for at in here {
            let node = self.nodes.get(at);
            for number in [node.many, node.end] {
                if number != NONE {
                    each(number);
                }
            }
        }
    }

    pub(super) fn give_back(&mut self, pages: usize) -> usize {
        self.nodes.give_back(pages, |_, _| true)
    }

    pub(super) fn bytes(&self) -> usize {
        let levels: usize = self.nodes.iter().map(|(_, node)| node.level.heap_bytes()).sum();
        levels + self.nodes.bytes() + self.children.bytes()
    }

    /// Nodes that lead to a filter, the root among them.
    #[cfg(test)]
    pub(super) const fn nodes(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    fn child(&self, at: u32, level: &[u8], level_hash: u64) -> Option<u32> {
        let found = self.children.find(TopicHash::below(level_hash, at), |child| {
            let child = self.nodes.get(child as u32);
            child.parent == at && child.level.as_bytes() == level
        });
        found.map(|child| child as u32)
    }

    fn take_node(&mut self, parent: u32, level: &[u8]) -> u32 {
        let at = self.nodes.take(|_| Node::new(NONE, b""));
        *self.nodes.get_mut(at) = Node::new(parent, level);
        at
    }

    /// Frees the node at `at` and those above it that lead to no filter.
    fn prune(&mut self, hash: &TopicHash, mut at: u32) {
        loop {
            let node = self.nodes.get(at);
            if node.plus != NONE || node.many != NONE || node.end != NONE || node.named > 0 {
                return;
            }
            if at == ROOT {
                self.nodes.free(ROOT);
                return;
            }
            let parent = node.parent;
            if self.nodes.get(parent).plus == at {
                self.nodes.get_mut(parent).plus = NONE;
            } else {
                let key = TopicHash::below(hash.of(node.level.as_bytes()), parent);
                self.children.remove(key, u64::from(at));
                self.nodes.get_mut(parent).named -= 1;
            }
            self.nodes.get_mut(at).level = Text::new(b"");
            self.nodes.free(at);
            at = parent;
        }
    }
}

/// The levels of a topic. They are short, so that a plain loop finds their ends soonest.
struct Levels<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Levels<'a> {
    const fn new(topic: &'a str) -> Self {
        Self { rest: Some(topic.as_bytes()) }
    }
}

impl<'a> Iterator for Levels<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let Some(end) = rest.iter().position(|byte| *byte == b'/') else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = Some(&rest[end + 1..]);
        Some(&rest[..end])
    }
}
