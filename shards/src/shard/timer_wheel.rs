//! Timer wheel: thousands of deadlines for a few bytes each.
//!
//! One hashed wheel of 250 ms ticks. A timer is a plain value in the slot of its tick; nothing is ever searched or
//! cancelled: whoever is woken looks whether the deadline still stands and goes back to sleep if it moved.

use millrace_core::time::Millis;

/// Resolution of the wheel.
const TICK_MS: u64 = 250;
/// Slots, a power of two: 1,024 s in one round.
const SLOTS: usize = 4096;

/// Room for due timers that stays.
const DUE_KEPT: usize = 1024;

/// The wheel; `T` says what is due.
pub struct TimerWheel<T> {
    slots: Box<[Vec<(u64, T)>]>,
    occupied: [u64; SLOTS / 64],
    /// First tick that has not fired.
    next: u64,
    len: usize,
    due: Vec<(u64, T)>,
}

impl<T> TimerWheel<T> {
    /// An empty one whose first tick is that of `now`.
    #[must_use]
    pub fn new(now: Millis) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
            next: now.0 / TICK_MS,
            len: 0,
            due: Vec::new(),
        }
    }

    /// Wakes `timer` at `at` or within a tick after it. [`Millis::NEVER`] is never.
    pub fn insert(&mut self, at: Millis, timer: T) {
        if at == Millis::NEVER {
            return;
        }
        let tick = at.0.div_ceil(TICK_MS).max(self.next);
        let slot = tick as usize % SLOTS;
        self.slots[slot].push((tick, timer));
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// When something may be due; a slot may turn out to hold only timers of later rounds.
    #[must_use]
    pub fn next_deadline(&self) -> Millis {
        if self.len == 0 {
            return Millis::NEVER;
        }
        let start = self.next as usize % SLOTS;
        let mut word = start / 64;
        let mut bits = self.occupied[word] & (u64::MAX << (start % 64));
        for _ in 0..=SLOTS / 64 {
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                return Millis((self.next + ahead as u64) * TICK_MS);
            }
            word = (word + 1) % (SLOTS / 64);
            bits = self.occupied[word];
        }
        Millis::NEVER
    }

    /// The next timer that is due; call until `None`.
    pub fn pop(&mut self, now: Millis) -> Option<T> {
        loop {
            if let Some((_, timer)) = self.due.pop() {
                self.len -= 1;
                return Some(timer);
            }
            let tick = now.0 / TICK_MS;
            if self.next > tick {
                self.rest();
                return None;
            }
            // After a long pause one round is enough to see every slot.
            if tick - self.next >= SLOTS as u64 {
                self.next = tick - SLOTS as u64 + 1;
            }
            let slot = self.next as usize % SLOTS;
            if self.occupied[slot / 64] & (1 << (slot % 64)) != 0 {
                let timers = &mut self.slots[slot];
                let due = &mut self.due;
                due.extend(timers.extract_if(.., |(at, _)| *at <= tick));
                if timers.is_empty() {
                    self.occupied[slot / 64] &= !(1 << (slot % 64));
                    *timers = Vec::new();
                }
            }
            self.next += 1;
        }
    }

    /// Lets go of the room that a great many timers at once have needed.
    fn rest(&mut self) {
        if self.due.capacity() > DUE_KEPT {
            self.due = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_within_a_tick_of_their_deadline() {
        let mut wheel = TimerWheel::new(Millis(1_000_000));
        let deadlines: Vec<u64> = (0..2000).map(|i| 1_000_000 + i * 1_117).collect();
        for at in &deadlines {
            wheel.insert(Millis(*at), *at);
        }
        let mut fired = Vec::new();
        let mut now = 1_000_000;
        while fired.len() < deadlines.len() {
            let next = wheel.next_deadline().0;
            assert!(next >= now && next != u64::MAX);
            now = next.max(now + 1);
            while let Some(at) = wheel.pop(Millis(now)) {
                assert!(at <= now && now < at + 2 * TICK_MS, "{at} fired at {now}");
                fired.push(at);
            }
        }
        fired.sort_unstable();
        assert_eq!(fired, deadlines);
        assert_eq!(wheel.next_deadline(), Millis::NEVER);
    }

    #[test]
    fn many_timers_at_once_leave_no_room_behind() {
        let mut wheel = TimerWheel::new(Millis(0));
        for number in 0..100_000 {
            wheel.insert(Millis(1000), number);
        }
        assert_eq!(std::iter::from_fn(|| wheel.pop(Millis(1250))).count(), 100_000);
        assert!(wheel.due.capacity() <= DUE_KEPT);
        assert!(wheel.slots.iter().all(|slot| slot.capacity() == 0));
    }

    #[test]
    fn a_pause_of_many_rounds_loses_no_timer() {
        let mut wheel = TimerWheel::new(Millis(0));
        wheel.insert(Millis(10), 1);
        wheel.insert(Millis(5_000_000), 2);
        wheel.insert(Millis(900_000_000), 3);
        let mut fired = Vec::new();
        while let Some(timer) = wheel.pop(Millis(800_000_000)) {
            fired.push(timer);
        }
        fired.sort_unstable();
        assert_eq!(fired, [1, 2]);
        wheel.insert(Millis::NEVER, 4);
        assert_eq!(wheel.pop(Millis(900_000_500)), Some(3));
    }
}
