//! Replies that wait: an acknowledgement leaves when every shard has taken what it promises.
//!
//! Invariants: the replies of one connection leave in the order in which they were made [MQTT-4.6.0-2].

use millrace_core::packet::PacketType;
use smallvec::SmallVec;

use super::connection::Conns;
use super::frame::Frame;
use super::io::{ConnId, ShardId};
use super::peers::{Peers, Waits};
use super::retained::FeedStart;

/// Who is waiting.
#[derive(Debug)]
pub(super) enum Reply {
    /// A client: encoded packets, and retained messages that follow them.
    Client {
        /// Its connection.
        conn: ConnId,
        /// The packets, each of which was a reply of its own.
        packets: SmallVec<[u8; 64]>,
        /// Retained messages for its new subscriptions.
        feeds: Vec<FeedStart>,
    },
    /// Another shard.
    Shard(ShardId, Frame),
}

impl Reply {
    /// One packet for a client.
    fn client(conn: ConnId, packet: &[u8]) -> Self {
        Self::Client { conn, packets: packet.into(), feeds: Vec::new() }
    }
}

struct Pending {
    waits: Waits,
    reply: Reply,
    /// Packets of the reply, and PUBACKs among them.
    count: u32,
    pubacks: u32,
}

/// The replies of one shard.
#[derive(Default)]
pub(super) struct Replies {
    queue: Vec<Pending>,
    /// What still waits while the queue is gone through.
    kept: Vec<Pending>,
    joins_id: u64,
}

/// Places that the queues keep when they are empty.
pub(super) const PLACES_KEPT: usize = 4096;

impl Replies {
    /// A number for the groups that one reply waits for.
    pub(super) const fn next_joins_id(&mut self) -> u64 {
        self.joins_id += 1;
        self.joins_id
    }

    /// Keeps a reply back.
    pub(super) fn hold(&mut self, conns: &mut Conns, waits: Waits, reply: Reply) {
        let (count, pubacks) = match &reply {
            Reply::Client { conn, packets, .. } => (1, count_packet(conns, *conn, packets)),
            Reply::Shard(..) => (0, 0),
        };
        self.queue.push(Pending { waits, reply, count, pubacks });
    }

    /// Keeps one packet for a client back. The packets of a burst wait together: what is made later waits for the same
    /// turn or for nothing, and may not overtake what was made before.
    pub(super) fn hold_packet(&mut self, conns: &mut Conns, waits: Waits, to: ConnId, packet: &[u8]) {
        let Some(Pending { waits: before, reply: Reply::Client { conn, packets, feeds }, count, pubacks }) =
            self.queue.last_mut()
        else {
            return self.hold(conns, waits, Reply::client(to, packet));
        };
        if *conn != to || !feeds.is_empty() || !before.cover(&waits) {
            return self.hold(conns, waits, Reply::client(to, packet));
        }
        packets.extend_from_slice(packet);
        *count += 1;
        *pubacks += count_packet(conns, to, packet);
    }

    /// A group that a reply waits for is known everywhere. The reply may be gone with its connection.
    pub(super) fn joined(&mut self, id: u64) {
        let waiting = |pending: &&mut Pending| pending.waits.joins > 0 && pending.waits.joins_id == id;
        if let Some(pending) = self.queue.iter_mut().find(waiting) {
            pending.waits.joins -= 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Moves the replies that may leave now to `ready`, in order; those of connections that are gone vanish.
    pub(super) fn release(&mut self, conns: &mut Conns, peers: &Peers, ready: &mut Vec<Reply>) {
        for pending in self.queue.drain(..) {
            let free = peers.satisfied(&pending.waits);
            match &pending.reply {
                Reply::Client { conn, .. } => match conns.get(*conn) {
                    None => {}
                    Some(state) if free && !state.blocked => {
                        state.pending -= pending.count;
                        state.pubacks -= pending.pubacks;
                        ready.push(pending.reply);
                    }
                    Some(state) => {
                        state.blocked = true;
                        self.kept.push(pending);
                    }
                },
                Reply::Shard(..) if free => ready.push(pending.reply),
                Reply::Shard(..) => self.kept.push(pending),
            }
        }
        for pending in &self.kept {
            if let Reply::Client { conn, .. } = &pending.reply
                && let Some(conn) = conns.get(*conn)
            {
                conn.blocked = false;
            }
        }
        std::mem::swap(&mut self.queue, &mut self.kept);
        self.kept.shrink_to(PLACES_KEPT);
    }
}

/// One more packet waits for a client; returns how many PUBACKs that is.
fn count_packet(conns: &mut Conns, to: ConnId, packet: &[u8]) -> u32 {
    let pubacks = u32::from(packet.first().is_some_and(|first| first >> 4 == PacketType::PubAck as u8));
    if let Some(conn) = conns.get(to) {
        conn.pending += 1;
        conn.pubacks += pubacks;
    }
    pubacks
}
