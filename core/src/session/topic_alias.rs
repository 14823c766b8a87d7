//! Topic aliases of one connection, in both directions (section 3.3.2.3.4).

use foldhash::fast::RandomState;
use std::hash::BuildHasher;

/// Aliases that the client set.
#[derive(Debug, Default)]
pub struct InboundAliases {
    topics: Vec<Box<str>>,
}

impl InboundAliases {
    /// Sets an alias from 1 to `maximum`; `false` if it is outside [MQTT-3.3.2-9].
    pub fn set(&mut self, alias: u16, topic: &str, maximum: u16) -> bool {
        if alias == 0 || alias > maximum {
            return false;
        }
        let index = usize::from(alias) - 1;
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, Box::default);
        }
        if *self.topics[index] != *topic {
            self.topics[index] = topic.into();
        }
        true
    }

    /// The topic of an alias.
    #[must_use]
    pub fn get(&self, alias: u16) -> Option<&str> {
        let topic = self.topics.get(usize::from(alias).checked_sub(1)?)?;
        (!topic.is_empty()).then_some(&**topic)
    }
}

/// What to write for a topic towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundAlias {
    /// The topic alone.
    None,
    /// The topic and this alias, which it gets thereby.
    Set(u16),
    /// The alias alone.
    Use(u16),
}

/// Aliases that we set: the first topics of a connection get one each.
#[derive(Debug)]
pub struct OutboundAliases {
    hashes: Vec<u64>,
    maximum: u16,
    hasher: RandomState,
    topics: Vec<Box<str>>,
}

impl OutboundAliases {
    /// At most `maximum` aliases.
    #[must_use]
    pub fn new(maximum: u16) -> Self {
        Self { hashes: Vec::new(), maximum, hasher: RandomState::default(), topics: Vec::new() }
    }

    /// What to write for this topic.
    pub fn of(&mut self, topic: &str) -> OutboundAlias {
        let hash = self.hasher.hash_one(topic);
        let known = self.hashes.iter().position(|known| *known == hash).filter(|at| *self.topics[*at] == *topic);
        if let Some(at) = known {
            return OutboundAlias::Use(at as u16 + 1);
        }
        if self.hashes.len() >= usize::from(self.maximum) {
            return OutboundAlias::None;
        }
        self.hashes.push(hash);
        self.topics.push(topic.into());
        OutboundAlias::Set(self.hashes.len() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_set_used_and_replaced_by_the_client() {
        let mut aliases = InboundAliases::default();
        assert!(aliases.set(3, "a/b", 4));
        assert_eq!(aliases.get(3), Some("a/b"));
        assert!(aliases.set(3, "c", 4));
        assert_eq!(aliases.get(3), Some("c"));
        assert_eq!((aliases.get(1), aliases.get(0), aliases.get(4)), (None, None, None));
        assert!(!aliases.set(5, "a", 4) && !aliases.set(0, "a", 4));
    }

    #[test]
    fn only_as_many_aliases_go_out_as_the_client_allows() {
        let mut aliases = OutboundAliases::new(2);
        assert_eq!(aliases.of("a"), OutboundAlias::Set(1));
        assert_eq!(aliases.of("b"), OutboundAlias::Set(2));
        assert_eq!(aliases.of("c"), OutboundAlias::None);
        assert_eq!(aliases.of("a"), OutboundAlias::Use(1));
    }
}
