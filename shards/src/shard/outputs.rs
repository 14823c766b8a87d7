//! Outputs: which connections have something to send in this turn, and the buffers that they fill.

use super::connection::Conns;
use super::io::Output;
use crate::room::shrink;
use crate::send_buffer::SendBuffer;

/// Idle buffers, at most.
const BUFFERS_MAX: usize = 1024;
/// Idle buffers that a shard without traffic keeps.
const BUFFERS_KEPT: usize = 16;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Outputs {
    /// Slots whose connections are marked dirty. One that closed and came again within the turn is there twice.
    due: Vec<u32>,
    idle: Vec<SendBuffer>,
}

impl Outputs {
    /// The output of a connection, which goes out at the end of the turn.
    #[inline]
    pub(super) fn of<'a>(&mut self, conns: &'a mut Conns, slot: u32) -> &'a mut SendBuffer {
        let conn = conns.at(slot);
        if !conn.dirty {
            conn.dirty = true;
            self.due.push(slot);
            if conn.out.bytes.capacity() == 0 {
                self.lend(&mut conn.out);
            }
        }
        &mut conn.out
    }

    /// Not inlined: letting go of the old buffer is much code, and it is empty.
    #[inline(never)]
    fn lend(&mut self, out: &mut SendBuffer) {
        if let Some(buffer) = self.idle.pop() {
            *out = buffer;
        }
    }

    /// Whether nobody has anything to send.
    pub(super) const fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// The slots of those who have; to be [put back](Self::put_back).
    pub(super) fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.due)
    }

    /// As many buffers were sent; others take their places.
    pub(super) fn put_back(&mut self, mut due: Vec<u32>, sent: usize, out: &mut impl Output) {
        due.clear();
        self.due = due;
        for _ in self.idle.len()..BUFFERS_MAX.min(self.idle.len() + sent) {
            self.idle.push(out.buffer());
        }
    }

    /// Gives room back; `is_idle`: nothing was sent for a while. Whether there was any.
    pub(super) fn give_back(&mut self, is_idle: bool) -> bool {
        let gone = shrink(&mut self.due);
        if is_idle && self.idle.len() > BUFFERS_KEPT {
            self.idle.truncate(BUFFERS_KEPT);
            self.idle.shrink_to(BUFFERS_KEPT);
            return true;
        }
        gone
    }
}
