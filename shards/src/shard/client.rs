//! Clients: the sessions that live on this shard, found by Client Identifier.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use millrace_core::session::Session;
use millrace_core::slots::Slots;
use millrace_core::time::Millis;

use super::connection::NONE;
use super::slab::Slab;

/// Feeds of retained messages by their index; apart, because few clients have any.
#[derive(Default)]
pub(super) struct Feeds(pub(super) Vec<u32>);

/// A session and what ties it to this shard.
pub(super) struct Client {
    pub(super) session: Session,
    /// Its connection's slot, or [`NONE`].
    pub(super) conn: u32,
    /// Last match that saw it, and where in the list of matches it is.
    pub(super) stamp: u32,
    pub(super) at: u32,
    /// The mountpoint in front of its topics, 0 for none.
    pub(super) mountpoint: u16,
    /// Retained messages that are being fetched for it.
    pub(super) feeds: Option<Box<Feeds>>,
    /// It is a bridge that wants no message of its own back.
    pub(super) no_echo: bool,
    /// It had a connection, has none, and its session is kept.
    pub(super) away: bool,
    /// While it is away: when its session ends.
    pub(super) ends_at: Millis,
    /// While it is away: when its Will is due.
    pub(super) will_at: Millis,
    /// When its earliest timer fires, so that coming and going does not pile timers up.
    pub(super) timer_at: Millis,
}

impl Client {
    /// Whether it has a connection.
    pub(super) const fn is_online(&self) -> bool {
        self.conn != NONE
    }
}

/// All clients of one shard.
#[derive(Default)]
pub(super) struct Clients {
    slab: Slab<Client>,
    by_id: Slots<32>,
    hasher: RandomState,
}

impl Clients {
    /// The client of that name. Names of different mountpoints are different.
    pub(super) fn find(&self, client_id: &str, mountpoint: u16) -> Option<u32> {
        let hash = self.hasher.hash_one(client_id);
        let same = |index: u64| {
            self.slab
                .get(index as u32)
                .is_some_and(|client| *client.session.client_id == *client_id && client.mountpoint == mountpoint)
        };
        self.by_id.find(hash, same).map(|index| index as u32)
    }

    pub(super) fn insert(&mut self, session: Session, mountpoint: u16) -> u32 {
        let hash = self.hasher.hash_one(&*session.client_id);
        let index = self.slab.insert(Client {
            session,
            conn: NONE,
            stamp: 0,
            at: 0,
            mountpoint,
            feeds: None,
            no_echo: false,
            away: false,
            ends_at: Millis::NEVER,
            will_at: Millis::NEVER,
            timer_at: Millis::NEVER,
        });
        self.by_id.insert(hash, index.into());
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Client> {
        let hash = self.hasher.hash_one(&*self.slab.get(index)?.session.client_id);
        self.by_id.remove(hash, index.into());
        self.slab.remove(index)
    }

    /// Gives at most `pages` pages back that no client is on; returns how many went.
    pub(super) fn give_back(&mut self, pages: usize) -> usize {
        self.slab.give_back(pages)
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Client> {
        self.slab.get(index)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Client> {
        self.slab.get_mut(index)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.slab.iter()
    }

    /// The client, if it is still this one.
    pub(super) fn get_if(&mut self, (index, generation): (u32, u32)) -> Option<&mut Client> {
        self.slab.get_if(index, generation)
    }

    /// Index and generation.
    pub(super) fn identity(&self, index: u32) -> (u32, u32) {
        (index, self.slab.generation(index))
    }
}
