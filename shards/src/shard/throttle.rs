//! Throttle: so many lines a second, and how many were left out since the last one.

use millrace_core::time::Millis;

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throttle {
    second: u64,
    passed: u32,
    left_out: u64,
}

impl Throttle {
    /// Whether one more may pass, at most `most` a second; if so, how many could not since the last one.
    pub(super) fn pass(&mut self, now: Millis, most: u32) -> Option<u64> {
        let second = now.0 / 1000 + 1;
        if self.second != second {
            self.second = second;
            self.passed = 0;
        }
        if self.passed >= most {
            self.left_out += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_with_the_next_one() {
        let mut throttle = Throttle::default();
        let mut pass = |ms| throttle.pass(Millis(ms), 2);
        assert_eq!([pass(0), pass(10), pass(20), pass(999)], [Some(0), Some(0), None, None]);
        assert_eq!([pass(1000), pass(1001), pass(1002)], [Some(2), Some(0), None]);
        assert_eq!([pass(90_000), pass(90_000)], [Some(1), Some(0)]);
    }
}
