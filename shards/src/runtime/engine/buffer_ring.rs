//! The ring through which receive buffers go to the kernel.
//!
//! Invariants: the ring has an entry for each buffer that can exist, so it never overflows; what is given back becomes
//! visible to the kernel once a turn ([`BufferRing::publish`]).
#![allow(unsafe_code, reason = "the ring is memory shared with the kernel, which sets its own layout")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::buffers::{BUFFER_BYTES, BUFFERS_MAX, Chunks};
use super::{Buffer, Buffers};
use crate::runtime::sys;

/// The buffer group of received bytes.
pub(crate) const GROUP: u16 = 0;

/// Provided buffers of one shard.
pub(crate) struct BufferRing {
    chunks: Chunks,
    entries: NonNull<BufRingEntry>,
    /// Position of the next entry.
    tail: u16,
    /// Position that the kernel knows.
    published: u16,
    /// Buffers that this thread holds.
    lent: u16,
    /// Whether the kernel may still write: then the memory outlives this value.
    leak: bool,
}

impl BufferRing {
    /// The ring, with its first chunk, not yet known to any kernel ring.
    pub(crate) fn new() -> Self {
        // SAFETY: the layout has a size that is not zero.
        let memory = unsafe { alloc_zeroed(layout()) };
        let Some(entries) = NonNull::new(memory.cast()) else { handle_alloc_error(layout()) };
        let mut ring = Self { chunks: Chunks::new(), entries, tail: 0, published: 0, lent: 0, leak: false };
        ring.grow();
        ring
    }

    /// Tells a kernel ring about this one.
    pub(crate) fn register(&mut self, submitter: &io_uring::Submitter<'_>) -> io::Result<()> {
        // SAFETY: the entries are page-aligned, live as long as this value, and the engine unregisters them or leaks
        // this value before it is dropped.
        unsafe { submitter.register_buf_ring_with_flags(self.entries.as_ptr() as u64, BUFFERS_MAX, GROUP, 0) }?;
        self.publish();
        Ok(())
    }

    /// More buffers, up to the limit.
    pub(crate) fn grow(&mut self) {
        if !self.chunks.is_full() {
            for id in self.chunks.grow() {
                self.provide(id);
            }
        }
    }

    /// Number of buffers, and whether more are allowed.
    pub(crate) fn len(&self) -> u16 {
        self.chunks.len()
    }

    /// Buffers that the kernel has, once published.
    pub(crate) fn provided(&self) -> u16 {
        self.chunks.len() - self.lent
    }

    /// Makes what was given back visible to the kernel.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.tail != self.published {
            self.published = self.tail;
            // SAFETY: the entries are valid, and the tail lies in the reserved field of the first one, aligned to 2;
            // only this thread writes it and the kernel reads it with an acquire load.
            let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
            tail.store(self.tail, Ordering::Release);
        }
    }

    /// A completion brought this buffer.
    #[inline]
    pub(crate) fn lend(&mut self, id: u16, len: u32) -> Buffer {
        self.lent += 1;
        self.chunks.lend(id, len)
    }

    /// The kernel could not be stopped in time: its memory is never freed.
    pub(crate) fn leak(&mut self) {
        self.leak = true;
    }

    fn provide(&mut self, id: u16) {
        let address = self.chunks.address(id).as_ptr() as u64;
        let index = usize::from(self.tail & (BUFFERS_MAX - 1));
        // SAFETY: the index is inside the ring, and the entry is not between the kernel's head and the published
        // tail, as there are never more buffers than entries. The setters leave the reserved field alone, which holds
        // the tail in entry 0.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }
}

impl Buffers for BufferRing {
    #[inline]
    fn bytes(&self, buffer: &Buffer) -> &[u8] {
        self.chunks.bytes(buffer)
    }

    #[inline]
    fn recycle(&mut self, buffer: Buffer) {
        self.chunks.take_back(&buffer);
        self.lent -= 1;
        self.provide(buffer.id);
    }

    fn give_back(&mut self) {
        if self.lent == 0 {
            self.chunks.give_back();
        }
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        if self.leak {
            std::mem::forget(std::mem::replace(&mut self.chunks, Chunks::new()));
        } else {
            // SAFETY: allocated in `new` with the same layout, freed once, and no kernel ring knows it any more.
            unsafe { dealloc(self.entries.as_ptr().cast(), layout()) };
        }
    }
}

fn layout() -> Layout {
    Layout::array::<BufRingEntry>(usize::from(BUFFERS_MAX))
        .and_then(|layout| layout.align_to(sys::page_size()))
        .expect("a small size, and pages are powers of two")
}

const _: () = assert!(BUFFERS_MAX.is_power_of_two());
