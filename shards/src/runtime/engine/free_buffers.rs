//! FreeBuffers: receive buffers of the epoll engine, those that are free in a list.

use super::buffers::Chunks;
use super::{Buffer, Buffers};

/// Buffers with a free list.
pub(crate) struct FreeBuffers {
    pub(super) chunks: Chunks,
    pub(super) free: Vec<u16>,
}

impl FreeBuffers {
    pub(super) fn new() -> Self {
        let mut buffers = Self { chunks: Chunks::new(), free: Vec::new() };
        buffers.grow();
        buffers
    }

    pub(super) fn grow(&mut self) {
        if !self.chunks.is_full() {
            self.free.extend(self.chunks.grow());
        }
    }
}

impl Buffers for FreeBuffers {
    #[inline]
    fn bytes(&self, buffer: &Buffer) -> &[u8] {
        self.chunks.bytes(buffer)
    }

    #[inline]
    fn recycle(&mut self, buffer: Buffer) {
        self.chunks.take_back(&buffer);
        self.free.push(buffer.id);
    }

    fn give_back(&mut self) {
        if self.free.len() == usize::from(self.chunks.len()) {
            self.chunks.give_back();
        }
    }
}
