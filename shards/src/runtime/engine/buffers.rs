//! Receive buffers: chunks that grow with need, and a ledger of whose each one is.
//!
//! Invariants: a buffer is the kernel's, ours, or (under epoll) free; giving one back twice is an assertion.
#![allow(unsafe_code, reason = "the kernel writes into the chunks, so they are raw memory, lent out buffer by buffer")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::Buffer;

/// Size of one buffer. Measured with pairs of clients: at 64 bytes a message 2 to 32 KiB cost the same; at 4 KiB a
/// message 32 KiB costs half of 8 KiB, because fewer messages lie across two buffers. Memory is touched only as far as
/// bytes come.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;
/// Buffers that are allocated at a time.
pub(crate) const CHUNK: u16 = 32;
/// Buffers at most.
pub(crate) const BUFFERS_MAX: u16 = 512;

/// With fewer buffers used since the last look their memory is given back; with more it would be wanted again at once.
const USED_MAX: u32 = 1000;

/// The memory and the ledger.
pub(crate) struct Chunks {
    chunks: Vec<NonNull<u8>>,
    /// How many buffers were lent since [`Chunks::give_back`], and whether any was since memory was given back.
    used: u32,
    touched: bool,
    /// By buffer: whether somebody on this thread holds it.
    lent: Vec<bool>,
}

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), used: 0, touched: false, lent: Vec::new() }
    }

    /// Number of buffers.
    pub(crate) fn len(&self) -> u16 {
        u16::try_from(self.lent.len()).expect("at most BUFFERS_MAX")
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= BUFFERS_MAX
    }

    /// Adds a chunk of buffers; says which ids are new.
    pub(crate) fn grow(&mut self) -> std::ops::Range<u16> {
        let first = self.len();
        // SAFETY: the layout has a size that is not zero.
        let memory = unsafe { alloc_zeroed(layout()) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout()) };
        self.chunks.push(memory);
        self.lent.resize(self.lent.len() + usize::from(CHUNK), false);
        first..self.len()
    }

    /// Where a buffer begins.
    pub(crate) fn address(&self, id: u16) -> NonNull<u8> {
        let chunk = self.chunks[usize::from(id / CHUNK)];
        // SAFETY: `id % CHUNK` is under CHUNK, so the offset is inside the chunk.
        unsafe { chunk.add(usize::from(id % CHUNK) * BUFFER_BYTES) }
    }

    /// Notes that this thread has the buffer now.
    pub(crate) fn lend(&mut self, id: u16, len: u32) -> Buffer {
        let lent = &mut self.lent[usize::from(id)];
        assert!(!*lent, "buffer {id} came although it was not given back");
        *lent = true;
        self.used = self.used.saturating_add(1);
        self.touched = true;
        assert!(len as usize <= BUFFER_BYTES, "a buffer holds {BUFFER_BYTES} bytes");
        Buffer { id, len }
    }

    /// Notes that this thread has it no more.
    pub(crate) fn take_back(&mut self, buffer: &Buffer) {
        let lent = &mut self.lent[usize::from(buffer.id)];
        assert!(*lent, "buffer {} was given back twice", buffer.id);
        *lent = false;
    }

    /// Gives the memory of all buffers back to the system if few have been used since the last call; they stay valid,
    /// and empty. Nobody must hold a buffer, nor the kernel have one filled that this thread has not seen yet.
    pub(crate) fn give_back(&mut self) {
        let busy = std::mem::take(&mut self.used) >= USED_MAX;
        if busy || !std::mem::take(&mut self.touched) {
            return;
        }
        debug_assert!(self.lent.iter().all(|lent| !lent), "a buffer is in use");
        for chunk in &self.chunks {
            // SAFETY: the chunk is anonymous memory of this size, aligned to pages, and nobody reads or writes it now;
            // afterwards it reads as zeros.
            unsafe { libc::madvise(chunk.as_ptr().cast(), layout().size(), libc::MADV_DONTNEED) };
        }
    }

    pub(crate) fn bytes(&self, buffer: &Buffer) -> &[u8] {
        assert!(self.lent[usize::from(buffer.id)], "only a lent buffer is read");
        // SAFETY: the buffer is lent to this thread, so the kernel does not write into it; `len` was checked against
        // the size of a buffer, and the memory was zeroed when it was allocated.
        unsafe { std::slice::from_raw_parts(self.address(buffer.id).as_ptr(), buffer.len as usize) }
    }

    /// The whole buffer, to read into.
    pub(crate) fn space(&mut self, id: u16) -> &mut [u8] {
        assert!(!self.lent[usize::from(id)], "only a free buffer is written");
        // SAFETY: nobody has the buffer, and the mutable borrow of the ledger keeps it so; the memory is initialised.
        unsafe { std::slice::from_raw_parts_mut(self.address(id).as_ptr(), BUFFER_BYTES) }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            // SAFETY: allocated in `grow` with the same layout, and freed once. Whoever let the kernel write into it
            // has ended that before.
            unsafe { dealloc(chunk.as_ptr(), layout()) };
        }
    }
}

fn layout() -> Layout {
    Layout::from_size_align(BUFFER_BYTES * usize::from(CHUNK), 4096).expect("a constant size")
}
