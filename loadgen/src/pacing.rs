//! When each message is due: a schedule that is a function of its number, whatever the broker does.
//!
//! The messages of a worker are numbered; number `k` belongs to publisher `k mod publishers`. So what a publisher owes
//! is reckoned, never queued, and a message that could not leave keeps the time at which it was due.

/// The schedule of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: u64,
    end: u64,
    /// Nanoseconds between two messages of this worker.
    period: f64,
    publishers: u64,
    /// Messages of this worker at most.
    limit: u64,
}

impl Schedule {
    /// `rate` messages a second from `publishers` in turn, over `start..end`.
    pub(crate) fn new(start: u64, end: u64, rate: f64, publishers: u32, limit: Option<u64>) -> Self {
        assert!(rate > 0.0 && publishers > 0, "a plan without publishers has no schedule");
        Self { start, end, period: 1e9 / rate, publishers: u64::from(publishers), limit: limit.unwrap_or(u64::MAX) }
    }

    /// The same, begun a part of a period later, so that workers take turns.
    pub(crate) fn shifted(mut self, part: f64) -> Self {
        self.start += (self.period * part) as u64;
        self
    }

    /// Moves the end; nothing is due at or behind it.
    pub(crate) fn end_at(&mut self, end: u64) {
        self.end = end;
    }

    pub(crate) fn is_over(&self, due: u64) -> bool {
        due >= self.end
    }

    /// When message `number` is due.
    #[inline]
    pub(crate) fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * self.period) as u64
    }

    /// How many messages are due at `now`, never one at or behind the end.
    #[inline]
    pub(crate) fn count(&self, now: u64) -> u64 {
        let now = now.min(self.end.saturating_sub(1));
        if now < self.start {
            return 0;
        }
        let mut count = ((now - self.start) as f64 / self.period) as u64 + 1;
        // The division may be off by one either way; what `due` says counts.
        while count > 0 && self.due(count - 1) > now {
            count -= 1;
        }
        while self.due(count) <= now {
            count += 1;
        }
        count.min(self.limit)
    }

    /// The next time at which something becomes due, none if nothing ever does.
    pub(crate) fn next(&self, done: u64) -> Option<u64> {
        let due = self.due(done);
        (due < self.end && done < self.limit).then_some(due)
    }

    /// The publisher of message `number`, and which of its messages that is.
    #[inline]
    pub(crate) fn owner(&self, number: u64) -> (u32, u64) {
        ((number % self.publishers) as u32, number / self.publishers)
    }

    /// Of `count` messages, those of one publisher.
    #[inline]
    pub(crate) fn share(&self, count: u64, publisher: u32) -> u64 {
        (count + self.publishers - 1 - u64::from(publisher)) / self.publishers
    }

    /// When the `nth` message of a publisher is due that begins so much later than its turn; none if it is behind the
    /// end or the limit.
    pub(crate) fn due_later(&self, publisher: u32, nth: u64, wait: u64) -> Option<u64> {
        let due = self.due_of(publisher, nth) + wait;
        let number = nth * self.publishers + u64::from(publisher);
        (due < self.end && number < self.limit).then_some(due)
    }

    /// When the `nth` message of a publisher is due.
    #[inline]
    pub(crate) fn due_of(&self, publisher: u32, nth: u64) -> u64 {
        self.due(nth * self.publishers + u64::from(publisher))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_their_rate() {
        let schedule = Schedule::new(1_000, 1_000 + 1_000_000_000, 1000.0, 4, None);
        assert_eq!(schedule.count(999), 0);
        assert_eq!(schedule.count(1_000), 1);
        assert_eq!(schedule.count(1_000 + 999_999), 1);
        assert_eq!(schedule.count(1_000 + 1_000_000), 2);
        assert_eq!(schedule.count(u64::MAX), 1000);
        assert_eq!(schedule.next(1000), None);
        assert_eq!(schedule.next(3), Some(1_000 + 3_000_000));
    }

    #[test]
    fn a_number_is_due_exactly_when_it_counts() {
        for rate in [1.0, 3.0, 7.7, 49_999.0, 1e6] {
            let schedule = Schedule::new(123_456_789, u64::MAX, rate, 3, None);
            for number in [0, 1, 2, 10, 12_345, 9_999_999] {
                let due = schedule.due(number);
                assert_eq!(schedule.count(due), number + 1, "{rate} {number}");
                assert_eq!(schedule.count(due - 1), number, "{rate} {number}");
            }
        }
    }

    #[test]
    fn publishers_take_turns_and_owe_what_was_not_sent() {
        let schedule = Schedule::new(0, u64::MAX, 1e9, 3, None);
        assert_eq!((schedule.owner(0), schedule.owner(4)), ((0, 0), (1, 1)));
        for count in 0..20 {
            let shares: Vec<u64> = (0..3).map(|publisher| schedule.share(count, publisher)).collect();
            assert_eq!(shares.iter().sum::<u64>(), count);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
        assert_eq!(schedule.due_of(1, 2), schedule.due(7));
    }

    #[test]
    fn a_limit_ends_the_schedule() {
        let schedule = Schedule::new(0, u64::MAX, 1000.0, 5, Some(17));
        assert_eq!(schedule.count(u64::MAX - 1), 17);
        assert_eq!((schedule.next(17), schedule.next(16).is_some()), (None, true));
        assert_eq!((schedule.share(17, 1), schedule.share(17, 2)), (4, 3));
    }

    #[test]
    fn who_begins_later_ends_with_the_others() {
        let schedule = Schedule::new(0, 1_000_000_000, 10.0, 2, Some(7));
        assert_eq!(schedule.due_later(1, 0, 5), Some(100_000_005));
        assert_eq!(
            (schedule.due_later(0, 3, 300_000_000), schedule.due_later(0, 3, 400_000_000)),
            (Some(900_000_000), None)
        );
        assert_eq!(schedule.due_later(1, 3, 0), None, "that would be the eighth");
    }

    #[test]
    fn nothing_is_due_before_the_shifted_start() {
        let schedule = Schedule::new(0, u64::MAX, 1000.0, 1, None).shifted(0.5);
        assert_eq!((schedule.count(499_999), schedule.count(500_000)), (0, 1));
    }
}
