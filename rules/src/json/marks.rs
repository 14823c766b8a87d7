//! Where the tokens of a JSON text begin: 64 bytes at a time to one bit a byte.
//!
//! A mark is each quote that no backslash takes away, each of `{ } [ ] , :` outside of texts, and the first byte of
//! everything else outside of texts that is not blank. Walking the bits costs a few instructions a token however long
//! the tokens are; walking the bytes waits for each text before the next can begin.

#![allow(unsafe_code, reason = "vector instructions that every x86_64 has; called in one place")]

/// Bytes looked at together: one for each bit of the masks.
pub(super) const BLOCK: usize = 64;

/// One bit for each byte of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    /// `{ } [ ] , :`
    operators: u64,
    /// Space and everything below it.
    low: u64,
}

/// What one block must know of those before it.
#[derive(Debug)]
pub(super) struct Blocks<'t> {
    bytes: &'t [u8],
    /// Where the next block begins.
    next: usize,
    /// All bits set if a text is open.
    inside: u64,
    /// 1 if the next byte is taken away by a backslash.
    escaped: u64,
    /// 1 if the last byte belonged to a token that is no text and no operator.
    in_word: u64,
    /// The byte after the last backslash so far.
    backslash_end: usize,
}

impl<'t> Blocks<'t> {
    pub(super) const fn new(bytes: &'t [u8]) -> Self {
        Self { bytes, next: 0, inside: 0, escaped: 0, in_word: 0, backslash_end: 0 }
    }

    /// The byte after the last backslash in the blocks so far.
    pub(super) const fn backslash_end(&self) -> usize {
        self.backslash_end
    }

    /// Where the block that was loaded last begins.
    pub(super) const fn base(&self) -> usize {
        self.next.wrapping_sub(BLOCK)
    }

    /// Whether every block was loaded.
    pub(super) const fn are_done(&self) -> bool {
        self.next >= self.bytes.len()
    }

    /// The marks of the next block that has any; nothing at the end, or if a control character stands where none may.
    #[inline(never)]
    pub(super) fn load(&mut self) -> Option<u64> {
        while let Some(rest) = self.bytes.get(self.next..).filter(|rest| !rest.is_empty()) {
            let marks = match rest.first_chunk() {
                Some(block) => self.marks(block)?,
                None => {
                    let mut padded = [b' '; BLOCK];
                    padded[..rest.len()].copy_from_slice(rest);
                    self.marks(&padded)?
                }
            };
            if marks != 0 {
                return Some(marks);
            }
        }
        None
    }

    #[inline(always)]
    fn marks(&mut self, block: &[u8; BLOCK]) -> Option<u64> {
        let masks = masks(block);
        let mut quotes = masks.quotes;
        if masks.backslashes | self.escaped != 0 {
            quotes &= !self.escaped_by(masks.backslashes);
        }
        let inside = parity(quotes) ^ self.inside;
        if masks.low != 0 {
            let blanks = blanks(block);
            // In a text there may be spaces, outside of texts all four blanks.
            if (inside & masks.low & !blanks.spaces) | (!inside & masks.low & !blanks.all) != 0 {
                return None;
            }
        }
        let words = !(masks.operators | masks.low | quotes | inside);
        let word_starts = words & !((words << 1) | self.in_word);
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        self.in_word = words >> 63;
        self.next += BLOCK;
        Some(quotes | (masks.operators & !inside) | word_starts)
    }

    /// The bytes that a backslash before them takes away.
    #[inline(never)]
    fn escaped_by(&mut self, mut backslashes: u64) -> u64 {
        if backslashes != 0 {
            self.backslash_end = self.next + BLOCK - backslashes.leading_zeros() as usize;
        }
        let mut escaped = self.escaped;
        backslashes &= !escaped;
        self.escaped = 0;
        while backslashes != 0 {
            let lowest = backslashes & backslashes.wrapping_neg();
            let taken = lowest << 1;
            if taken == 0 {
                self.escaped = 1;
            }
            escaped |= taken;
            backslashes &= !(lowest | taken);
        }
        escaped
    }
}

/// Each bit: whether an odd number of the bits up to it, itself included, is set.
const fn parity(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    bits
}

struct Blanks {
    spaces: u64,
    /// Space, tab and the two ends of lines.
    all: u64,
}

#[cfg(target_arch = "x86_64")]
use sse2::{blanks, masks};
#[cfg(not(target_arch = "x86_64"))]
use words::{blanks, masks};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::{BLOCK, Blanks, Masks};

    #[inline]
    pub(super) fn masks(block: &[u8; BLOCK]) -> Masks {
        // SAFETY: SSE2 is a part of x86_64.
        unsafe { masks_of(block) }
    }

    #[inline]
    pub(super) fn blanks(block: &[u8; BLOCK]) -> Blanks {
        // SAFETY: SSE2 is a part of x86_64.
        unsafe { blanks_of(block) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn masks_of(block: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks::default();
        for (index, part) in block.as_chunks::<16>().0.iter().enumerate() {
            let bytes = load(part);
            // `[` and `{`, `]` and `}` differ in this bit alone.
            let folded = _mm_or_si128(bytes, all(0x20));
            let brackets = _mm_or_si128(equal(folded, b'{'), equal(folded, b'}'));
            let marks = _mm_or_si128(equal(bytes, b','), equal(bytes, b':'));
            let at = 16 * index;
            masks.quotes |= bits(equal(bytes, b'"')) << at;
            masks.backslashes |= bits(equal(bytes, b'\\')) << at;
            masks.operators |= bits(_mm_or_si128(brackets, marks)) << at;
            masks.low |= bits(_mm_cmpeq_epi8(_mm_min_epu8(bytes, all(b' ')), bytes)) << at;
        }
        masks
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn blanks_of(block: &[u8; BLOCK]) -> Blanks {
        let mut blanks = Blanks { spaces: 0, all: 0 };
        for (index, part) in block.as_chunks::<16>().0.iter().enumerate() {
            let bytes = load(part);
            let spaces = equal(bytes, b' ');
            let ends = _mm_or_si128(equal(bytes, b'\n'), equal(bytes, b'\r'));
            let every = _mm_or_si128(_mm_or_si128(spaces, equal(bytes, b'\t')), ends);
            blanks.spaces |= bits(spaces) << (16 * index);
            blanks.all |= bits(every) << (16 * index);
        }
        blanks
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(part: &[u8; 16]) -> __m128i {
        let halves = u128::from_le_bytes(*part);
        #[allow(clippy::cast_possible_truncation, reason = "the lower half, then the upper")]
        _mm_set_epi64x((halves >> 64) as i64, halves as i64)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn all(byte: u8) -> __m128i {
        _mm_set1_epi8(byte.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn equal(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, all(byte))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(bytes: __m128i) -> u64 {
        u64::from(_mm_movemask_epi8(bytes).cast_unsigned())
    }
}

/// The same without vector instructions, eight bytes in a word.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::{BLOCK, Blanks, Masks};

    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;

    pub(super) fn masks(block: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks::default();
        for (index, part) in block.as_chunks::<8>().0.iter().enumerate() {
            let bytes = u64::from_le_bytes(*part);
            let folded = bytes | (0x20 * ONES);
            let operators = equal(folded, b'{') | equal(folded, b'}') | equal(bytes, b',') | equal(bytes, b':');
            let at = 8 * index;
            masks.quotes |= bits(equal(bytes, b'"')) << at;
            masks.backslashes |= bits(equal(bytes, b'\\')) << at;
            masks.operators |= bits(operators) << at;
            // No carry leaves a byte: the upper bit is taken out before and put back after.
            let over = ((bytes & !HIGH) + (0x7f - b' ') as u64 * ONES) | bytes;
            masks.low |= bits(!over & HIGH) << at;
        }
        masks
    }

    pub(super) fn blanks(block: &[u8; BLOCK]) -> Blanks {
        let mut blanks = Blanks { spaces: 0, all: 0 };
        for (index, part) in block.as_chunks::<8>().0.iter().enumerate() {
            let bytes = u64::from_le_bytes(*part);
            let spaces = equal(bytes, b' ');
            let every = spaces | equal(bytes, b'\t') | equal(bytes, b'\n') | equal(bytes, b'\r');
            blanks.spaces |= bits(spaces) << (8 * index);
            blanks.all |= bits(every) << (8 * index);
        }
        blanks
    }

    /// The high bit of each byte that is this one.
    const fn equal(bytes: u64, byte: u8) -> u64 {
        let differs = bytes ^ (byte as u64 * ONES);
        !(((differs & !HIGH) + !HIGH) | differs) & HIGH
    }

    /// The high bits, side by side.
    const fn bits(high: u64) -> u64 {
        (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(block: &[u8; BLOCK], is: impl Fn(u8) -> bool) -> u64 {
        block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is(*byte)))
    }

    fn blocks() -> impl Iterator<Item = [u8; BLOCK]> {
        let mut state = 7_u64;
        (0..3_000).map(move |round| {
            std::array::from_fn(|at| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match round {
                    0..4 => (64 * round + at) as u8,
                    _ if state >> 63 == 0 => b"\"\\{}[],: \n\t\r\x1f\x21;Z|~\x7f\x80"[(state >> 32) as usize % 20],
                    _ => (state >> 40) as u8,
                }
            })
        })
    }

    #[test]
    fn every_byte_is_told_apart_in_every_place() {
        for block in blocks() {
            let expected = Masks {
                quotes: bits(&block, |byte| byte == b'"'),
                backslashes: bits(&block, |byte| byte == b'\\'),
                operators: bits(&block, |byte| b"{}[],:".contains(&byte)),
                low: bits(&block, |byte| byte <= b' '),
            };
            assert_eq!(masks(&block), expected, "{block:?}");
            assert_eq!(words::masks(&block), expected, "{block:?}");
            for found in [blanks(&block), words::blanks(&block)] {
                assert_eq!(found.spaces, bits(&block, |byte| byte == b' '));
                assert_eq!(found.all, bits(&block, |byte| b" \t\n\r".contains(&byte)));
            }
        }
    }

    #[test]
    fn a_mark_stands_at_each_token_wherever_the_blocks_end() {
        let text = br#"{"a":[1, true ,"x\"y\\"],"b\\\"":{}} nu"#;
        let plain: Vec<usize> = vec![0, 1, 3, 4, 5, 6, 7, 9, 14, 15, 22, 23, 24, 25, 31, 32, 33, 34, 35, 37];
        for before in 0..2 * BLOCK {
            let mut bytes = vec![b' '; before];
            bytes.extend_from_slice(text);
            let mut blocks = Blocks::new(&bytes);
            let mut found = Vec::new();
            while let Some(mut marks) = blocks.load() {
                while marks != 0 {
                    found.push(blocks.base() + marks.trailing_zeros() as usize - before);
                    marks &= marks - 1;
                }
            }
            assert_eq!(found, plain, "{before}");
        }
    }
}
