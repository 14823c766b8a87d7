//! Replies that wait: an acknowledgement leaves when every shard has taken what it promises.
//!
//! Invariants: the replies of one connection leave in the order in which they were made [MQTT-4.6.0-2].

use millrace_core::codec::acks::ShortAck;

use super::Shard;
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
        packets: Vec<u8>,
        /// Retained messages for its new subscriptions.
        feeds: Vec<FeedStart>,
    },
    /// Another shard.
    Shard(ShardId, Frame),
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

/// Acknowledgements that usually wait together.
const BURST_BYTES: usize = 64;
/// Places that the queues keep when they are empty.
const PLACES_KEPT: usize = 4096;

impl Replies {
    /// A number for the groups that one reply waits for.
    pub(super) const fn next_joins_id(&mut self) -> u64 {
        self.joins_id += 1;
        self.joins_id
    }

    /// Keeps a reply back; one to a client is one packet, and no PUBACK.
    pub(super) fn hold(&mut self, conns: &mut Conns, waits: Waits, reply: Reply) {
        let count = match &reply {
            Reply::Client { conn, .. } => {
                conns.at(conn.slot).pending += 1;
                1
            }
            Reply::Shard(..) => 0,
        };
        self.queue.push(Pending { waits, reply, count, pubacks: 0 });
    }

    /// Keeps an acknowledgement for a client back. Those of a burst wait together: what is made later waits for the same
    /// turn or for nothing, and may not overtake what was made before.
    pub(super) fn hold_ack(&mut self, conns: &mut Conns, waits: Waits, to: ConnId, ack: ShortAck) {
        let puback = u32::from(ack.is_puback());
        let state = conns.at(to.slot);
        state.pending += 1;
        state.pubacks += puback;
        if let Some(Pending { waits: before, reply: Reply::Client { conn, packets, feeds }, count, pubacks }) =
            self.queue.last_mut()
            && *conn == to
            && feeds.is_empty()
            && before.cover(&waits)
        {
            ack.put(packets);
            *count += 1;
            *pubacks += puback;
            return;
        }
        self.begin_burst(waits, to, ack, puback);
    }

    #[cold]
    fn begin_burst(&mut self, waits: Waits, to: ConnId, ack: ShortAck, pubacks: u32) {
        let mut packets = Vec::with_capacity(BURST_BYTES);
        ack.put(&mut packets);
        let reply = Reply::Client { conn: to, packets, feeds: Vec::new() };
        self.queue.push(Pending { waits, reply, count: 1, pubacks });
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
    fn release(&mut self, conns: &mut Conns, peers: &Peers, ready: &mut Vec<Reply>) {
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

impl Shard {
    /// Sends the replies that have nothing left to wait for.
    pub(super) fn release_replies(&mut self) {
        if !std::mem::take(&mut self.replies_due) || self.replies.is_empty() {
            return;
        }
        let mut ready = std::mem::take(&mut self.ready);
        self.replies.release(&mut self.conns, &self.peers, &mut ready);
        for reply in ready.drain(..) {
            match reply {
                Reply::Client { conn, packets, feeds } => {
                    self.append(conn.slot, &packets);
                    self.start_feeds(conn, feeds);
                    self.unpause_if_calm(conn);
                }
                Reply::Shard(to, frame) => self.peers.send(to, frame),
            }
        }
        ready.shrink_to(PLACES_KEPT);
        self.ready = ready;
    }
}
