//! Where one value or member name lies in the text, in eight bytes.

/// What lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A text without escapes.
    Plain,
    /// A text with escapes.
    Escaped,
    /// Values in turn.
    List,
    /// Names and values in turn.
    Map,
}

/// A value or a member name: kind, start and end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place(u64);

impl Place {
    /// Texts must be shorter than this; MQTT has none that are longer.
    pub(super) const END_MAX: usize = (1 << Self::BITS) - 1;
    const BITS: u32 = 28;

    /// `start`: the first byte, of a text behind its quote. `end`: the byte after the last, of a text that of its closing
    /// quote; of a list or map the place after everything inside it.
    #[inline(always)]
    pub(super) const fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self((kind as u64) << (2 * Self::BITS) | (start as u64) << Self::BITS | end as u64)
    }

    #[inline(always)]
    pub(super) const fn kind(self) -> Kind {
        match self.0 >> (2 * Self::BITS) {
            0 => Kind::Null,
            1 => Kind::True,
            2 => Kind::False,
            3 => Kind::Number,
            4 => Kind::Plain,
            5 => Kind::Escaped,
            6 => Kind::List,
            _ => Kind::Map,
        }
    }

    #[inline(always)]
    pub(super) const fn start(self) -> usize {
        (self.0 >> Self::BITS) as usize & Self::END_MAX
    }

    #[inline(always)]
    pub(super) const fn end(self) -> usize {
        self.0 as usize & Self::END_MAX
    }

    /// Whether it is a list or a map.
    #[inline(always)]
    pub(super) const fn holds_others(self) -> bool {
        self.0 >= (Kind::List as u64) << (2 * Self::BITS)
    }

    /// The same place with another end.
    #[inline(always)]
    pub(super) const fn ended(self, end: usize) -> Self {
        Self(self.0 & !(Self::END_MAX as u64) | end as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_gives_back_what_it_was_made_of() {
        let kinds =
            [Kind::Null, Kind::True, Kind::False, Kind::Number, Kind::Plain, Kind::Escaped, Kind::List, Kind::Map];
        for kind in kinds {
            for (start, end) in [(0, 0), (1, 2), (Place::END_MAX, Place::END_MAX), (0, Place::END_MAX)] {
                let place = Place::new(kind, start, end);
                assert_eq!((place.kind(), place.start(), place.end()), (kind, start, end));
                assert_eq!(place.holds_others(), matches!(kind, Kind::List | Kind::Map));
                let place = place.ended(7);
                assert_eq!((place.kind(), place.start(), place.end()), (kind, start, 7));
            }
        }
    }
}
