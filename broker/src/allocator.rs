//! The allocator, and how it is asked to give back to the host what is free.
#![allow(unsafe_code, reason = "the allocator's own call has no safe face")]

/// Small allocations of many threads, which is what connections and sessions are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Collects what the calling thread has freed, and passes on what all threads have had free for a second. Visits the
/// pages of this thread that have room; with `thoroughly` all of its pages, and passes on what is free at once.
pub fn release(thoroughly: bool) {
    // SAFETY: it may be called at any time on any thread; it frees nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(thoroughly) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_survives_a_release() {
        let blocks: Vec<Box<[u8]>> = (0..10_000_usize).map(|n| vec![n as u8; 10 + n % 300].into()).collect();
        let kept: Vec<_> = blocks.into_iter().enumerate().filter(|(n, _)| n.is_multiple_of(3)).collect();
        release(false);
        release(true);
        assert!(kept.iter().all(|(n, block)| block.iter().all(|byte| *byte == *n as u8)));
    }
}
