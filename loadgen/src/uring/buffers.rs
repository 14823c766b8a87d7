//! The receive buffers of one worker, and the ring through which the kernel gets them.
//!
//! Invariants: a buffer is the kernel's from `publish` on until a completion names it, and ours from then until it is
//! given back; the ring has an entry for each buffer, so it never overflows.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::sys;

/// The buffer group of received bytes.
pub(super) const GROUP: u16 = 0;

pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    bytes: usize,
    tail: u16,
    published: u16,
    /// Buffers that this thread holds.
    lent: u16,
}

impl Buffers {
    /// `count` buffers, a power of two, of `bytes` each; not yet known to a ring.
    pub(super) fn new(count: u16, bytes: usize) -> Self {
        assert!(count.is_power_of_two(), "the ring is indexed with a mask");
        let entries = allocate(entries_layout(count)).cast();
        let memory = allocate(memory_layout(count, bytes));
        let mut buffers = Self { entries, memory, count, bytes, tail: 0, published: 0, lent: 0 };
        for id in 0..count {
            buffers.provide(id);
        }
        buffers
    }

    pub(super) fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: the entries are page-aligned and outlive the ring, which is dropped first.
        unsafe { submitter.register_buf_ring_with_flags(self.entries.as_ptr() as u64, self.count, GROUP, 0) }?;
        self.publish();
        Ok(())
    }

    /// Makes what was given back visible to the kernel.
    pub(super) fn publish(&mut self) {
        if self.tail != self.published {
            self.published = self.tail;
            // SAFETY: the tail lies in the reserved field of the first entry, aligned to 2; only this thread writes
            // it, and the kernel reads it with an acquire load.
            let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
            tail.store(self.tail, Ordering::Release);
        }
    }

    /// A completion has brought this buffer.
    pub(super) fn lend(&mut self) {
        self.lent += 1;
        debug_assert!(self.lent <= self.count, "the kernel names only buffers that it has");
    }

    /// What lies in a buffer that was lent.
    pub(super) fn get(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < self.count && len <= self.bytes, "the kernel names buffers that it was given");
        // SAFETY: the buffer lies inside the memory, the kernel has written `len` bytes and is done with it.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(usize::from(id) * self.bytes), len) }
    }

    /// Gives a buffer back; the kernel sees it with the next `publish`.
    pub(super) fn give_back(&mut self, id: u16) {
        self.lent -= 1;
        self.provide(id);
    }

    fn provide(&mut self, id: u16) {
        // SAFETY: `id` is under `count`.
        let address = unsafe { self.memory.as_ptr().add(usize::from(id) * self.bytes) } as u64;
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is inside the ring, and the kernel does not read this entry: there are never more buffers
        // than entries. The setters leave the reserved field alone, which holds the tail in entry 0.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(address);
        entry.set_len(self.bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layouts; the ring that knew them is closed.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), entries_layout(self.count));
            dealloc(self.memory.as_ptr(), memory_layout(self.count, self.bytes));
        }
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: the layout has a size that is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

fn entries_layout(count: u16) -> Layout {
    Layout::array::<BufRingEntry>(usize::from(count))
        .and_then(|layout| layout.align_to(sys::page_size()))
        .expect("a small size, and pages are powers of two")
}

fn memory_layout(count: u16, bytes: usize) -> Layout {
    Layout::from_size_align(usize::from(count) * bytes, sys::page_size()).expect("a small size")
}
