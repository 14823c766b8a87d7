//! Peers: what goes to the other shards in this turn, and how far they have come.

use millrace_core::message::Lazy;
use smallvec::SmallVec;

use super::frame::{Batch, Frame, Purpose};
use super::io::{Output, ShardId};

/// A batch whose messages come to this size is closed; the next message begins another frame.
const BATCH_BYTES_MAX: usize = 128 * 1024;

/// Which shards must have taken which turn before a reply may leave.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    pub(super) shards: SmallVec<[u16; 4]>,
    pub(super) turn: u64,
    /// Answers of shared groups that are still out, and the number that they name.
    pub(super) joins: u16,
    pub(super) joins_id: u64,
}

impl Waits {
    pub(super) fn is_none(&self) -> bool {
        self.shards.is_empty() && self.joins == 0
    }

    /// Whether what waits for this has nothing else to wait for.
    #[inline]
    pub(super) fn cover(&self, other: &Self) -> bool {
        let covers = || match (&self.shards[..], &other.shards[..]) {
            // There is one shard as a rule.
            ([known], [wanted]) => known == wanted,
            (known, wanted) => wanted.iter().all(|shard| known.contains(shard)),
        };
        other.joins == 0 && (other.shards.is_empty() || self.turn >= other.turn && covers())
    }

    pub(super) fn add(&mut self, shard: ShardId, turn: u64) {
        self.turn = turn;
        if !self.shards.contains(&shard.0) {
            self.shards.push(shard.0);
        }
    }

    /// Adds what another one waits for in the same turn.
    pub(super) fn join(&mut self, other: &Self) {
        for shard in &other.shards {
            self.add(ShardId(*shard), other.turn);
        }
        self.joins += other.joins;
    }
}

#[derive(Default)]
struct Peer {
    batch: Batch,
    /// What the last batch came to: the next one will take about as much.
    batch_bytes: usize,
    frames: Vec<Frame>,
    marked: bool,
    taken: u64,
    owed: Option<u64>,
}

impl Peer {
    /// The batch is done; the next message begins another.
    fn close_batch(&mut self) -> Frame {
        self.batch_bytes = self.batch.bytes();
        Frame::Messages(Box::new(std::mem::take(&mut self.batch)))
    }
}

/// The other shards, as this one sees them.
pub(super) struct Peers {
    peers: Vec<Peer>,
    pub(super) turn: u64,
    touched: Vec<u16>,
    /// The turn in which a route was announced last.
    announced: u64,
}

impl Peers {
    pub(super) fn new(shards: u16) -> Self {
        Self { peers: (0..shards).map(|_| Peer::default()).collect(), turn: 1, touched: Vec::new(), announced: 0 }
    }

    fn touch(&mut self, to: ShardId) -> &mut Peer {
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.batch.is_empty() && peer.frames.is_empty() && !peer.marked && peer.owed.is_none() {
            self.touched.push(to.0);
        }
        peer
    }

    /// Sends a frame, after everything sent before.
    pub(super) fn send(&mut self, to: ShardId, frame: Frame) {
        let peer = self.touch(to);
        if !peer.batch.is_empty() {
            let batch = peer.close_batch();
            peer.frames.push(batch);
        }
        peer.frames.push(frame);
    }

    /// Sends a message.
    pub(super) fn message(&mut self, to: ShardId, purpose: Purpose, message: &Lazy<'_>) {
        let peer = self.touch(to);
        if peer.batch.is_empty() {
            peer.batch = Batch::with_capacity(peer.batch_bytes);
        }
        peer.batch.push(purpose, message);
        if peer.batch.whole() >= BATCH_BYTES_MAX {
            let batch = peer.close_batch();
            peer.frames.push(batch);
        }
    }

    /// Waits until the shard has taken everything sent to it in this turn.
    pub(super) fn wait_for(&mut self, to: ShardId, waits: &mut Waits) {
        self.touch(to).marked = true;
        waits.add(to, self.turn);
    }

    /// A route was announced to all others in this turn.
    pub(super) const fn announced(&mut self) {
        self.announced = self.turn;
    }

    /// Waits until all others know every route that was announced so far.
    pub(super) fn wait_for_routes(&mut self, except: ShardId, waits: &mut Waits) {
        for shard in 0..self.peers.len() {
            if shard != usize::from(except.0) && self.peers[shard].taken < self.announced {
                self.wait_for(ShardId(shard as u16), waits);
            }
        }
    }

    /// A mark came: it is answered at the end of the turn, when everything before it has been done.
    pub(super) fn owe(&mut self, to: ShardId, turn: u64) {
        self.touch(to).owed = Some(turn);
    }

    /// A shard has taken everything up to a turn.
    pub(super) fn taken(&mut self, by: ShardId, turn: u64) {
        let taken = &mut self.peers[usize::from(by.0)].taken;
        *taken = turn.max(*taken);
    }

    /// Whether all have taken what is waited for.
    pub(super) fn satisfied(&self, waits: &Waits) -> bool {
        waits.joins == 0 && waits.shards.iter().all(|shard| self.peers[usize::from(*shard)].taken >= waits.turn)
    }

    /// Everything of this turn goes out; `false` if some of it does not fit into a ring.
    pub(super) fn flush(&mut self, out: &mut impl Output) -> bool {
        let mut fits = true;
        for to in self.touched.drain(..) {
            let peer = &mut self.peers[usize::from(to)];
            let to = ShardId(to);
            for frame in peer.frames.drain(..) {
                fits &= out.frame(to, frame);
            }
            if !peer.batch.is_empty() {
                fits &= out.frame(to, peer.close_batch());
            }
            if std::mem::take(&mut peer.marked) {
                fits &= out.frame(to, Frame::Mark { turn: self.turn });
            }
            if let Some(turn) = peer.owed.take() {
                fits &= out.frame(to, Frame::Taken { turn });
            }
        }
        self.turn += 1;
        fits
    }
}
