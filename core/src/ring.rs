//! Hands values from one thread to one other: a bounded ring, published and woken once a batch.
//!
//! A [`Producer`] stages values locally ([`Producer::try_push`]) and makes all of them visible with one store
//! ([`Producer::publish`]), which also tells whether the other side must be woken. How it is woken is the caller's
//! business: an eventfd, a message to its ring, a notified task.
//!
//! Runs on: any two threads, one for each end.
//! Invariants: what was pushed comes out once, in order, or is dropped with the ring; positions only grow and are
//! reduced to a slot by the mask; slots `head..tail` hold values, all others are uninitialised.
//! Not here: which rings there are (`shards/src/mesh.rs`, the sinks' worker).
#![allow(
    unsafe_code,
    reason = "values are written and read in uninitialised slots: 3 ns a value against 35 ns of a general queue"
)]

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// A ring of at least `capacity` values (rounded up to a power of two) and a [`Sleeper`] of its own.
#[must_use]
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    ring_for(capacity, &Sleeper::new())
}

/// A ring whose consumer sleeps on `sleeper`, which it may share with all other rings that it drains.
#[must_use]
pub fn ring_for<T>(capacity: usize, sleeper: &Sleeper) -> (Producer<T>, Consumer<T>) {
    let shared = Arc::new(Shared::new(capacity.max(1).next_power_of_two(), sleeper.clone()));
    let producer = Producer { shared: Arc::clone(&shared), staged: 0, published: 0, head_seen: 0 };
    let consumer = Consumer { shared, head: 0, tail_seen: 0 };
    (producer, consumer)
}

/// The end that gives.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Position after the last value pushed.
    staged: usize,
    /// Position after the last value that the consumer may see.
    published: usize,
    /// The consumer's position when it was last looked up.
    head_seen: usize,
}

impl<T> Producer<T> {
    /// Stages a value, or gives it back if the ring is full.
    ///
    /// # Errors
    /// The value itself, when there is no room for it.
    #[inline]
    pub fn try_push(&mut self, value: T) -> Result<(), T> {
        if self.staged.wrapping_sub(self.head_seen) == self.shared.capacity() {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            if self.staged.wrapping_sub(self.head_seen) == self.shared.capacity() {
                return Err(value);
            }
        }
        // SAFETY: this is the only producer, and `staged - head` is under the capacity, so the slot is not between
        // `head` and `tail`: the consumer does not look at it, and the Acquire load of `head` made its last read of
        // the slot happen before this write.
        unsafe { self.shared.slot(self.staged).write(MaybeUninit::new(value)) };
        self.staged = self.staged.wrapping_add(1);
        Ok(())
    }

    /// Makes everything pushed visible. True if the consumer sleeps and the caller must wake it; said once a sleep.
    #[inline]
    #[must_use = "a consumer that is asleep stays asleep unless the caller wakes it"]
    pub fn publish(&mut self) -> bool {
        self.release() && self.shared.sleeper.must_wake()
    }

    /// Makes everything pushed visible without asking whether the consumer sleeps; true if there was something.
    /// The caller looks at the [`Sleeper`] itself, after it has told the consumer by other means where to look.
    #[inline]
    pub fn release(&mut self) -> bool {
        let news = self.staged != self.published;
        if news {
            self.published = self.staged;
            self.shared.tail.0.store(self.staged, Ordering::Release);
        }
        news
    }

    /// Values in the ring, staged ones included; the consumer may have taken some since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.staged.wrapping_sub(self.shared.head.0.load(Ordering::Acquire))
    }

    /// Whether the consumer has taken everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the ring holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// Whether the other end is gone, so that nothing will be taken any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.shared.consumer_gone.load(Ordering::Acquire)
    }
}

impl<T> Drop for Producer<T> {
    /// What was staged becomes visible; a sleeping consumer is not woken by this.
    fn drop(&mut self) {
        self.release();
        self.shared.producer_gone.store(true, Ordering::Release);
    }
}

/// The end that takes.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Position of the next value.
    head: usize,
    /// The producer's position when it was last looked up.
    tail_seen: usize,
}

impl<T> Consumer<T> {
    /// Takes the oldest value.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        // SAFETY: this is the only consumer, and `head` is before a `tail` loaded with Acquire, so the producer has
        // written the slot and does not touch it again before it sees the store of `head` below.
        let value = unsafe { self.shared.slot(self.head).read().assume_init() };
        self.head = self.head.wrapping_add(1);
        self.shared.head.0.store(self.head, Ordering::Release);
        Some(value)
    }

    /// Values that wait; there may be more by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.tail.0.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the other end is gone and all it gave has been taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.producer_gone.load(Ordering::Acquire) && self.is_empty()
    }

    /// The flag to raise before this consumer sleeps.
    #[must_use]
    pub fn sleeper(&self) -> &Sleeper {
        &self.shared.sleeper
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.consumer_gone.store(true, Ordering::Release);
    }
}

/// Says that a consumer sleeps, so that producers wake it only then. One may serve many rings.
///
/// The consumer calls [`Sleeper::prepare`], looks at *all* its rings once more, sleeps only if they are empty, and
/// calls [`Sleeper::awake`] afterwards in any case. A wake may still come late; it must do no harm.
#[derive(Clone, Debug, Default)]
pub struct Sleeper(Arc<Padded<AtomicBool>>);

impl Sleeper {
    /// A consumer that is awake.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The consumer is about to sleep: from here on each batch is announced to it.
    pub fn prepare(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        // Either the consumer's next look at its rings sees what was published, or the producer sees the flag.
        fence(Ordering::SeqCst);
    }

    /// The consumer is up and looks at its rings by itself.
    pub fn awake(&self) {
        self.0.0.store(false, Ordering::SeqCst);
    }

    /// Whether the consumer must be woken, asked by a producer after it has published; true once a sleep.
    #[inline]
    #[must_use = "a consumer that is asleep stays asleep unless the caller wakes it"]
    pub fn must_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.0.load(Ordering::Relaxed) && self.0.0.swap(false, Ordering::SeqCst)
    }
}

/// Keeps what two threads write apart by two cache lines, as adjacent lines are fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

struct Shared<T> {
    /// Next position that the consumer takes; written by the consumer.
    head: Padded<AtomicUsize>,
    /// Next position that is not yet published; written by the producer.
    tail: Padded<AtomicUsize>,
    slots: NonNull<MaybeUninit<T>>,
    mask: usize,
    sleeper: Sleeper,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
}

// SAFETY: the slots are written by the one producer and read by the one consumer, ordered by `head` and `tail`; a
// value is owned by one side at a time, so `T: Send` is all that is asked.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above; the two ends reach it through an `Arc`.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(capacity: usize, sleeper: Sleeper) -> Self {
        debug_assert!(capacity.is_power_of_two());
        let slots: *mut [MaybeUninit<T>] = Box::into_raw(Box::<[T]>::new_uninit_slice(capacity));
        Self {
            head: Padded(AtomicUsize::new(0)),
            tail: Padded(AtomicUsize::new(0)),
            slots: NonNull::new(slots.cast()).expect("a box is never null"),
            mask: capacity - 1,
            sleeper,
            producer_gone: AtomicBool::new(false),
            consumer_gone: AtomicBool::new(false),
        }
    }

    fn capacity(&self) -> usize {
        self.mask + 1
    }

    #[inline]
    fn slot(&self, position: usize) -> *mut MaybeUninit<T> {
        // SAFETY: the mask keeps the index inside the allocation of `mask + 1` slots.
        unsafe { self.slots.as_ptr().add(position & self.mask) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = *self.tail.0.get_mut();
        let mut position = *self.head.0.get_mut();
        while position != tail {
            // SAFETY: both ends are gone, and slots from `head` to `tail` hold values that nobody has taken.
            unsafe { (*self.slot(position)).assume_init_drop() };
            position = position.wrapping_add(1);
        }
        let slots = std::ptr::slice_from_raw_parts_mut(self.slots.as_ptr(), self.capacity());
        // SAFETY: the pointer and length are those of the box that `new` took apart, and nothing else frees it.
        drop(unsafe { Box::from_raw(slots) });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests race threads and measure time")]

    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::thread;

    #[test]
    fn nothing_is_seen_before_it_is_published() {
        let (mut producer, mut consumer) = ring(4);
        producer.try_push(1).expect("room");
        producer.try_push(2).expect("room");
        assert_eq!(consumer.pop(), None);
        assert_eq!((producer.len(), consumer.len()), (2, 0));
        assert!(!producer.publish());
        assert_eq!(consumer.len(), 2);
        assert_eq!((consumer.pop(), consumer.pop(), consumer.pop()), (Some(1), Some(2), None));
        assert!(producer.is_empty());
    }

    #[test]
    fn a_full_ring_gives_the_value_back() {
        let (mut producer, mut consumer) = ring(3);
        assert_eq!(producer.capacity(), 4);
        for value in 0..4 {
            producer.try_push(value).expect("room");
        }
        assert_eq!(producer.try_push(4), Err(4));
        let _ = producer.publish();
        assert_eq!(consumer.pop(), Some(0));
        assert_eq!(producer.try_push(4), Ok(()));
        assert_eq!(producer.try_push(5), Err(5));
    }

    #[test]
    fn what_nobody_took_is_dropped_with_the_ring() {
        let value = Arc::new(());
        let (mut producer, mut consumer) = ring(8);
        for _ in 0..5 {
            producer.try_push(Arc::clone(&value)).expect("room");
        }
        let _ = producer.publish();
        producer.try_push(Arc::clone(&value)).expect("room");
        drop(consumer.pop());
        assert_eq!(Arc::strong_count(&value), 6);
        drop(consumer);
        assert!(producer.is_abandoned());
        drop(producer);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_consumer_outlives_its_producer_and_takes_the_rest() {
        let (mut producer, mut consumer) = ring(8);
        producer.try_push(7).expect("room");
        drop(producer);
        assert!(!consumer.is_finished());
        assert_eq!(consumer.pop(), Some(7));
        assert!(consumer.is_finished());
    }

    #[test]
    fn a_sleeper_is_woken_once_a_sleep_and_only_when_there_is_news() {
        let (mut producer, consumer) = ring(8);
        consumer.sleeper().prepare();
        assert!(!producer.publish());
        producer.try_push(1).expect("room");
        assert!(producer.publish());
        producer.try_push(2).expect("room");
        assert!(!producer.publish());
        consumer.sleeper().prepare();
        consumer.sleeper().awake();
        producer.try_push(3).expect("room");
        assert!(!producer.publish());
    }

    #[test]
    fn two_threads_lose_nothing_and_no_wake() {
        const VALUES: u64 = 300_000;
        let wakes = Arc::new(AtomicU64::new(0));
        let (mut producer, mut consumer) = ring::<Box<u64>>(64);
        let taker = {
            let wakes = Arc::clone(&wakes);
            thread::spawn(move || {
                let mut next = 0;
                while next < VALUES {
                    while let Some(value) = consumer.pop() {
                        assert_eq!(*value, next);
                        next += 1;
                    }
                    let before = wakes.load(Ordering::SeqCst);
                    consumer.sleeper().prepare();
                    if consumer.is_empty() && next < VALUES {
                        let start = std::time::Instant::now();
                        while wakes.load(Ordering::SeqCst) == before {
                            thread::park_timeout(std::time::Duration::from_millis(500));
                            assert!(start.elapsed().as_secs() < 20, "a wake was lost");
                        }
                    }
                    consumer.sleeper().awake();
                }
            })
        };
        let mut value = 0;
        while value < VALUES {
            for _ in 0..1 + value % 17 {
                if value < VALUES && producer.try_push(Box::new(value)).is_ok() {
                    value += 1;
                }
            }
            if producer.publish() {
                wakes.fetch_add(1, Ordering::SeqCst);
                taker.thread().unpark();
            }
        }
        taker.join().expect("the taker saw every value in order");
    }
}
