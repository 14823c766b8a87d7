//! The seam between a shard and its runtime: who a connection is, and what a shard asks for.
//!
//! Inputs are methods of [`super::logic::Logic`]; outputs are the verbs of [`Output`]. The reactor implements it on an
//! engine, the simulator on queues.

use std::net::SocketAddr;

use super::frame::Frame;
use crate::send_buffer::SendBuffer;

/// A connection of one shard. A slot is used again, a generation never: a late event of an old tenant is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Index into the tables of the shard and of the engine.
    pub slot: u32,
    /// Which tenant of the slot.
    pub generation: u32,
}

/// One of the shards, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// A listener by its position in the config (order of names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// What is known of a connection when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The new connection.
    pub conn: ConnId,
    /// Which listener took it.
    pub listener: ListenerId,
    /// Who connected.
    pub peer: SocketAddr,
}

/// Why the transport of a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The peer closed in order (FIN).
    Closed,
    /// Reset, timed out or failed otherwise.
    Failed,
}

/// Tokens of [`Output::hand_over`] are smaller than this: they share 64 bits with who sends them.
pub const TOKEN_END: u64 = 1 << 44;

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// At once; unsent bytes are lost.
    Now,
    /// What was given to `send` goes out, then our half is shut; the peer has a bounded time (2 s) to take it and to
    /// close its half. What it still sends is read and forgotten, so that no reset overtakes our last packet.
    Linger,
}

/// What a shard asks of its runtime, `F` being what it sends to other shards. After `close` and `hand_over` the
/// connection is gone for the shard: no event with its id follows.
pub trait Output<F = Frame> {
    /// An empty buffer to encode into, from a pool.
    fn buffer(&mut self) -> SendBuffer;
    /// Gives a buffer back unsent.
    fn recycle(&mut self, buffer: SendBuffer);
    /// Sends it. At most one send is under way: after [`super::logic::Logic::stalled`] the shard calls this for
    /// the connection again only when [`super::logic::Logic::drained`] said so.
    fn send(&mut self, conn: ConnId, output: SendBuffer);
    /// Receives once: [`super::logic::Logic::received`] follows at most once, so that a hand-over cannot race with
    /// data.
    fn receive_once(&mut self, conn: ConnId);
    /// Receives until told otherwise.
    fn receive(&mut self, conn: ConnId);
    /// Stops receiving. What the kernel had already given is still delivered.
    fn pause(&mut self, conn: ConnId);
    /// Closes.
    fn close(&mut self, conn: ConnId, how: Close);
    /// Gives the socket to another shard, whose [`super::logic::Logic::adopted`] is called with the same token.
    /// Only while no receive and no send is under way, and with one of that shard's berths
    /// ([`crate::berths::Berths::take`]). The token is under [`TOKEN_END`]. The socket and frames to the same shard
    /// travel apart: either may come first. A socket that cannot be taken there is closed and counted.
    fn hand_over(&mut self, conn: ConnId, to: ShardId, token: u64);
    /// Puts a frame into the ring to another shard. It never fails and keeps its order: what does not fit waits here,
    /// and `false` says that something waits, so that the shard should pause who made it;
    /// [`super::logic::Logic::mesh_drained`] says when that is over.
    fn frame(&mut self, to: ShardId, frame: F) -> bool;
}
