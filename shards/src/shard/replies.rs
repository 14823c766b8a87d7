//! Replies that wait: an acknowledgement leaves when every shard has taken what it promises.
//!
//! Invariants: the replies of one connection leave in the order in which they were made [MQTT-4.6.0-2].

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::connection::Conns;
use super::frame::Frame;
use super::io::{ConnId, ShardId};
use super::peers::{Peers, Waits};
use super::retained::FeedStart;

/// Who is waiting.
#[derive(Debug)]
pub(super) enum Reply {
    /// A client: an encoded packet, and retained messages that follow it.
    Client {
        /// Its connection.
        conn: ConnId,
        /// The packet.
        packet: SmallVec<[u8; 16]>,
        /// Retained messages for its new subscriptions.
        feeds: Vec<FeedStart>,
    },
    /// Another shard.
    Shard(ShardId, Frame),
}

struct Pending {
    id: u64,
    waits: Waits,
    reply: Reply,
}

/// The replies of one shard.
#[derive(Default)]
pub(super) struct Replies {
    queue: VecDeque<Pending>,
    next: u64,
}

impl Replies {
    /// The number that the next reply will have.
    pub(super) const fn next_id(&self) -> u64 {
        self.next
    }

    /// Keeps a reply back.
    pub(super) fn hold(&mut self, conns: &mut Conns, waits: Waits, reply: Reply) {
        if let Reply::Client { conn, .. } = &reply
            && let Some(conn) = conns.get(*conn)
        {
            conn.pending = conn.pending.saturating_add(1);
        }
        self.queue.push_back(Pending { id: self.next, waits, reply });
        self.next += 1;
    }

    /// A group that the reply waits for is known everywhere.
    pub(super) fn joined(&mut self, id: u64) {
        if let Some(pending) = self.queue.iter_mut().find(|pending| pending.id == id) {
            pending.waits.joins -= 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Moves the replies that may leave now to `ready`, in order; those of connections that are gone vanish.
    pub(super) fn release(&mut self, conns: &mut Conns, peers: &Peers, ready: &mut Vec<Reply>) {
        let mut kept = VecDeque::new();
        for pending in self.queue.drain(..) {
            let free = peers.satisfied(&pending.waits);
            match &pending.reply {
                Reply::Client { conn, .. } => match conns.get(*conn) {
                    None => {}
                    Some(state) if free && !state.blocked => {
                        state.pending -= 1;
                        ready.push(pending.reply);
                    }
                    Some(state) => {
                        state.blocked = true;
                        kept.push_back(pending);
                    }
                },
                Reply::Shard(..) if free => ready.push(pending.reply),
                Reply::Shard(..) => kept.push_back(pending),
            }
        }
        for pending in &kept {
            if let Reply::Client { conn, .. } = &pending.reply
                && let Some(conn) = conns.get(*conn)
            {
                conn.blocked = false;
            }
        }
        self.queue = kept;
    }
}
