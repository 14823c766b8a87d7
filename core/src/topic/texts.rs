//! Topics and filters from a seed, for tests.

/// A seeded generator of texts from few levels, so that they often meet.
pub(super) struct Texts(pub(super) u64);

impl Texts {
    pub(super) fn number(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % below
    }

    fn text(&mut self, levels: &[&str]) -> String {
        let len = 1 + self.number(5);
        let mut text = Vec::new();
        for _ in 0..len {
            text.push(levels[self.number(levels.len() as u64) as usize]);
        }
        let mut text = text.join("/");
        if text.is_empty() {
            text.push('a');
        }
        if self.number(8) == 0 {
            text.insert(0, '$');
        }
        text
    }

    pub(super) fn topic(&mut self) -> String {
        self.text(&["a", "b", "", "ab", "a-level-of-some-length"])
    }

    pub(super) fn filter(&mut self) -> String {
        let mut filter = self.text(&["a", "b", "", "ab", "a-level-of-some-length", "+", "+", "+"]);
        if filter.starts_with("$+") {
            filter.remove(0);
        }
        match self.number(4) {
            0 => filter + "/#",
            1 if self.number(20) == 0 => "#".to_owned(),
            _ => filter,
        }
    }
}
