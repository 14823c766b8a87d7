//! Subscribers: who gets the messages of one filter, be it one client or a million.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use millrace_core::packet::{QoS, SubscriptionOptions};
use smallvec::SmallVec;

const GROUP: u32 = 1 << 31;
const RULE: u32 = 1 << 30;
/// From this number on a table says where each one is; below it, looking at all of them is cheaper.
const INDEXED_FROM: usize = 64;

/// Room in the list that stays, as entries.
const ROOM_KEPT: usize = 64;
/// Tables of more entries are not made smaller: that takes a look at each entry at once.
const SHRUNK_MAX: usize = 16 * 1024;

/// One that gets the messages of a filter: a client of this shard, a shared group that lives here, or a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    target: u32,
    /// Subscription Identifier, 0 for none.
    pub(super) id: u32,
    pub(super) qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
}

/// What a [`Subscriber`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Client(u32),
    Group(u32),
    /// A rule: wants messages of this shard's own publishers only, and is no route for others.
    Rule(u32),
}

impl Target {
    const fn word(self) -> u32 {
        match self {
            Self::Client(client) => client,
            Self::Group(group) => group | GROUP,
            Self::Rule(rule) => rule | RULE,
        }
    }
}

impl Subscriber {
    pub(super) const fn client(client: u32, options: SubscriptionOptions, id: u32) -> Self {
        Self {
            target: Target::Client(client).word(),
            id,
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
        }
    }

    pub(super) const fn group(group: u32) -> Self {
        Self::inner(Target::Group(group))
    }

    pub(super) const fn rule(rule: u32) -> Self {
        Self::inner(Target::Rule(rule))
    }

    const fn inner(target: Target) -> Self {
        Self { target: target.word(), id: 0, qos: QoS::ExactlyOnce, no_local: false, retain_as_published: true }
    }

    #[inline]
    pub(super) const fn target(self) -> Target {
        match self.target & (GROUP | RULE) {
            0 => Target::Client(self.target),
            GROUP => Target::Group(self.target & !GROUP),
            _ => Target::Rule(self.target & !RULE),
        }
    }

    const fn is_rule(self) -> bool {
        self.target & (GROUP | RULE) == RULE
    }
}

/// All of one filter.
#[derive(Default)]
pub(super) struct Subscribers {
    list: SmallVec<[Subscriber; 1]>,
    places: Option<Box<Places>>,
}

/// By subscriber, where it is in the list; apart, because few filters have that many.
struct Places(HashMap<u32, u32, RandomState>);

impl Subscribers {
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscriber> {
        self.list.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether messages of other shards are wanted.
    pub(super) fn is_route(&self) -> bool {
        !self.list.iter().all(|known| known.is_rule())
    }

    /// Adds a subscriber or replaces what it was.
    pub(super) fn insert(&mut self, subscriber: Subscriber) {
        if let Some(at) = self.place(subscriber.target) {
            self.list[at] = subscriber;
            return;
        }
        self.list.push(subscriber);
        if let Some(places) = &mut self.places {
            places.0.insert(subscriber.target, self.list.len() as u32 - 1);
        } else if self.list.len() >= INDEXED_FROM {
            let places = self.list.iter().enumerate().map(|(at, known)| (known.target, at as u32));
            self.places = Some(Box::new(Places(places.collect())));
        }
    }

    /// Removes a subscriber; whether it was there.
    pub(super) fn remove(&mut self, target: Target) -> bool {
        let Some(at) = self.place(target.word()) else { return false };
        self.list.swap_remove(at);
        if let Some(places) = &mut self.places {
            places.0.remove(&target.word());
            if let Some(moved) = self.list.get(at) {
                places.0.insert(moved.target, at as u32);
            }
            if self.list.len() < INDEXED_FROM / 2 {
                self.places = None;
                self.list.shrink_to_fit();
            } else if self.list.len() * 4 < self.list.capacity() && self.list.capacity() > ROOM_KEPT {
                self.shrink();
            }
        }
        true
    }

    /// Most have gone: half of what is left would fit once more.
    #[cold]
    fn shrink(&mut self) {
        let room = self.list.len() * 3 / 2;
        let list = std::mem::replace(&mut self.list, SmallVec::with_capacity(room));
        self.list.extend(list);
        if let Some(places) = self.places.as_mut().filter(|_| room <= SHRUNK_MAX) {
            places.0.shrink_to(room);
        }
    }

    fn place(&self, target: u32) -> Option<usize> {
        match &self.places {
            Some(places) => places.0.get(&target).map(|at| *at as usize),
            None => self.list.iter().position(|known| known.target == target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_that_are_left_of_many_take_little_room() {
        let mut subscribers = Subscribers::default();
        for client in 0..100_000 {
            subscribers.insert(Subscriber::client(client, SubscriptionOptions::default(), 1));
        }
        for client in 1000..100_000 {
            assert!(subscribers.remove(Target::Client(client)));
        }
        assert!(subscribers.list.capacity() < 5000, "{}", subscribers.list.capacity());
        assert!(subscribers.places.as_ref().is_some_and(|places| places.0.capacity() < 10_000));
        assert!((0..1000).all(|client| subscribers.remove(Target::Client(client))));
        assert!(subscribers.is_empty() && subscribers.places.is_none());
    }

    #[test]
    fn any_of_many_comes_and_goes() {
        let mut subscribers = Subscribers::default();
        for client in 0..1000 {
            subscribers.insert(Subscriber::client(client, SubscriptionOptions::default(), 1));
            subscribers.insert(Subscriber::client(client, SubscriptionOptions::default(), client + 1));
        }
        subscribers.insert(Subscriber::rule(7));
        assert_eq!(subscribers.iter().count(), 1001);
        for client in (0..1000).step_by(3).chain((0..1000).rev()) {
            let known = subscribers.iter().any(|known| known.target() == Target::Client(client));
            assert_eq!(subscribers.remove(Target::Client(client)), known);
            assert!(subscribers.iter().all(|known| match known.target() {
                Target::Client(client) => known.id == client + 1,
                _ => true,
            }));
        }
        assert!(!subscribers.is_route() && !subscribers.is_empty());
        assert!(subscribers.remove(Target::Rule(7)) && subscribers.is_empty());
    }
}
