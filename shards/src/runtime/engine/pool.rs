//! Output buffers that are used again, bounded in bytes.

use crate::room::shrink;
use crate::send_buffer::SendBuffer;

/// Bytes that lie idle at most.
const POOL_BYTES_MAX: usize = 16 << 20;
/// A larger buffer goes back to the allocator; sixteen messages of 4 KiB gathered for one connection still fit.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

#[derive(Default)]
pub(crate) struct Pool {
    idle: Vec<SendBuffer>,
    bytes: usize,
    /// The fewest that were idle since [`Pool::give_back`].
    fewest: usize,
}

impl Pool {
    /// An empty buffer, the one that was used last.
    #[inline]
    pub(crate) fn take(&mut self) -> SendBuffer {
        self.idle.pop().map_or_else(SendBuffer::default, |buffer| {
            self.bytes -= buffer.bytes.capacity();
            self.fewest = self.fewest.min(self.idle.len());
            buffer
        })
    }

    #[inline]
    pub(crate) fn put(&mut self, mut buffer: SendBuffer) {
        let bytes = buffer.bytes.capacity();
        if bytes != 0 && bytes <= BUFFER_BYTES_KEPT && self.bytes + bytes <= POOL_BYTES_MAX {
            buffer.clear();
            self.bytes += bytes;
            self.idle.push(buffer);
        }
    }

    /// Frees half of what nobody has wanted since the last call.
    pub(crate) fn give_back(&mut self) {
        for buffer in self.idle.drain(..self.fewest.div_ceil(2)) {
            self.bytes -= buffer.bytes.capacity();
        }
        shrink(&mut self.idle);
        self.fewest = self.idle.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_and_too_many_of_them_are_not_kept() {
        let mut pool = Pool::default();
        pool.put(Vec::with_capacity(BUFFER_BYTES_KEPT + 1).into());
        assert_eq!(pool.take().bytes.capacity(), 0);
        for _ in 0..1000 {
            pool.put(Vec::with_capacity(BUFFER_BYTES_KEPT).into());
        }
        assert_eq!(pool.idle.len(), POOL_BYTES_MAX / BUFFER_BYTES_KEPT);
        pool.put(Vec::from(*b"x").into());
        assert!(pool.take().is_empty());
    }

    #[test]
    fn what_nobody_wants_is_freed_and_what_is_in_use_stays() {
        let mut pool = Pool::default();
        for _ in 0..100 {
            pool.put(Vec::with_capacity(1000).into());
        }
        pool.give_back();
        assert_eq!(pool.idle.len(), 100, "they have only just come");
        let used: Vec<_> = (0..40).map(|_| pool.take()).collect();
        used.into_iter().for_each(|buffer| pool.put(buffer));
        pool.give_back();
        assert_eq!(pool.idle.len(), 70);
        for _ in 0..10 {
            pool.give_back();
        }
        assert_eq!((pool.idle.len(), pool.bytes), (0, 0));
    }
}
