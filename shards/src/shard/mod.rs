//! Shard: events in, bytes and mesh frames out; synchronous, knows no socket and no clock.

use millrace_core::time::{Millis, Time};

pub mod frame;
pub mod io;
pub mod logic;

use frame::Frame;
use io::{Accepted, ConnId, Gone, Output, ShardId};

/// One shard of the broker.
pub struct Shard {}

#[allow(unused_variables, clippy::unused_self, reason = "the seam comes first")]
impl Shard {
    /// A listener accepted a connection.
    pub fn accepted(&mut self, now: Time, accepted: Accepted, out: &mut impl Output) {}
    /// Bytes came. They are only borrowed.
    pub fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut impl Output) {}
    /// The peer is gone; the runtime closes and frees the slot by itself.
    pub fn gone(&mut self, now: Time, conn: ConnId, how: Gone, out: &mut impl Output) {}
    /// The last send did not fit into the socket: `unsent` bytes wait in the runtime.
    pub fn stalled(&mut self, conn: ConnId, unsent: usize) {}
    /// The bytes that waited are out.
    pub fn drained(&mut self, now: Time, conn: ConnId, out: &mut impl Output) {}
    /// A socket that another shard handed over is here.
    pub fn adopted(
        &mut self,
        now: Time,
        conn: ConnId,
        from: ShardId,
        token: u64,
        out: &mut impl Output,
    ) {
    }
    /// A mesh frame came.
    pub fn frame(&mut self, now: Time, from: ShardId, frame: Frame, out: &mut impl Output) {}
    /// Nothing waits for room in a mesh ring any more.
    pub fn mesh_drained(&mut self, now: Time, out: &mut impl Output) {}
    /// When [`Shard::turn`] is needed although nothing comes; [`Millis::NEVER`] for never.
    pub fn next_deadline(&self) -> Millis {
        Millis::NEVER
    }
    /// The end of a turn: deadlines that have passed fire, then everything due goes out (`send`, `frame`).
    pub fn turn(&mut self, now: Time, out: &mut impl Output) {}
}
