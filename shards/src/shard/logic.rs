//! What the runtime drives: the inputs of a shard as a trait, so that the reactor can be tested with other logic.

use millrace_core::time::{Millis, Time};

use super::io::{Accepted, ConnId, Gone, Output, ShardId};

/// What a shard has done, so that the runtime can tell how busy it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Packets and messages that it has taken in.
    pub taken: u32,
    /// Connections that it has written to.
    pub writes: u32,
}

/// The synchronous inside of one shard: events in, verbs of [`Output`] out. It is built and used on its own thread.
pub trait Logic {
    /// What shards send each other.
    type Frame: Send + 'static;
    /// What other threads ask of a shard.
    type Control: Send + 'static;

    /// A listener accepted a connection. Nothing is received on it before the logic asks for it.
    fn accepted(&mut self, now: Time, accepted: Accepted, out: &mut impl Output<Self::Frame>);
    /// Bytes came. They are only borrowed.
    fn received(&mut self, now: Time, conn: ConnId, bytes: &[u8], out: &mut impl Output<Self::Frame>);
    /// The peer is gone; the runtime closes and frees the slot by itself.
    fn gone(&mut self, now: Time, conn: ConnId, how: Gone, out: &mut impl Output<Self::Frame>);
    /// The last send did not fit into the socket: `unsent` bytes wait in the runtime.
    fn stalled(&mut self, conn: ConnId, unsent: usize);
    /// The bytes that waited are out.
    fn drained(&mut self, now: Time, conn: ConnId, out: &mut impl Output<Self::Frame>);
    /// A socket that another shard handed over is here. Nothing is received on it before the logic asks for it.
    fn adopted(&mut self, now: Time, conn: ConnId, from: ShardId, token: u64, out: &mut impl Output<Self::Frame>);
    /// How many bytes of messages a frame brings.
    fn frame_bytes(_frame: &Self::Frame) -> usize {
        0
    }
    /// A mesh frame came.
    fn frame(&mut self, now: Time, from: ShardId, frame: Self::Frame, out: &mut impl Output<Self::Frame>);
    /// A turn begins: nothing has been handed over in it yet.
    fn turn_begins(&mut self) {}
    /// Everything that was sent to other shards so far is in their rings.
    fn turn_ended(&mut self) {}
    /// All frames have been handed over that lay in the rings when one of them was handed over first.
    fn mail_read(&mut self, _now: Time, _out: &mut impl Output<Self::Frame>) {}
    /// Nothing waits for room in a mesh ring any more.
    fn mesh_drained(&mut self, now: Time, out: &mut impl Output<Self::Frame>);
    /// Another thread asks for something.
    fn control(&mut self, now: Time, control: Self::Control, out: &mut impl Output<Self::Frame>);
    /// When [`Logic::turn`] is needed although nothing comes; [`Millis::NEVER`] for never.
    fn next_deadline(&self) -> Millis;
    /// The end of a turn: deadlines that have passed fire, then everything due goes out.
    fn turn(&mut self, now: Time, out: &mut impl Output<Self::Frame>);
    /// What it has done since it was asked last.
    fn take_work(&mut self) -> Work {
        Work::default()
    }
}
