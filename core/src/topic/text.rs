//! A text that never changes: short ones in place, long ones in one allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use triomphe::ThinArc;

/// Up to `N` bytes in place. With `N` 14 it takes 16 bytes, with 22 it takes 24.
#[derive(Clone)]
pub(super) enum Text<const N: usize> {
    Short { len: u8, bytes: [u8; N] },
    Long(ThinArc<(), u8>),
}

const _: () = assert!(size_of::<Text<14>>() == 16 && size_of::<Text<22>>() == 24);

impl<const N: usize> Text<N> {
    pub(super) fn new(text: &[u8]) -> Self {
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= N => {
                let mut bytes = [0; N];
                bytes[..text.len()].copy_from_slice(text);
                Self::Short { len, bytes }
            }
            _ => Self::Long(ThinArc::from_header_and_slice((), text)),
        }
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(text) => &text.slice,
        }
    }

    /// The text as a `str`; only for one that was made from a `str`.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("it was made from a str")
    }

    /// What it keeps outside itself: reference count, length, text.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(text) => 2 * size_of::<usize>() + text.slice.len(),
        }
    }
}

impl<const N: usize> Borrow<[u8]> for Text<N> {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialOrd for Text<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Text<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.as_bytes()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_lengths_come_back() {
        for len in 0..80 {
            let text = "abcdefghij".repeat(8)[..len].to_owned();
            assert_eq!(Text::<14>::new(text.as_bytes()).as_str(), text);
            assert_eq!(Text::<22>::new(text.as_bytes()).as_str(), text);
        }
        let long = "x".repeat(70_000);
        assert_eq!(Text::<22>::new(long.as_bytes()).as_str(), long);
    }
}
