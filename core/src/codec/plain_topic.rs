//! Plain topics: text of ASCII without NUL and wildcards, told in one look.
//!
//! Nearly every topic is. Topics are short: eight bytes at a time beat a search that has to start up, and a second look
//! for UTF-8 would cost as much as all the rest of decoding a PUBLISH.
#![allow(unsafe_code, reason = "what has been found to be ASCII need not be looked at again")]

const ONES: u64 = u64::MAX / 255;
const TOPS: u64 = ONES << 7;
const PLUSES: u64 = ONES * b'+' as u64;
const HASHES: u64 = ONES * b'#' as u64;

/// The text, if it is plain.
#[inline]
pub(super) fn plain_topic(bytes: &[u8]) -> Option<&str> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [b'x'; 8];
    last[..rest.len()].copy_from_slice(rest);
    let met = words.iter().fold(met(u64::from_le_bytes(last)), |all, word| all | met(u64::from_le_bytes(*word)));
    // SAFETY: no byte has its top bit set, so all are ASCII, which is UTF-8.
    (met & TOPS == 0).then(|| unsafe { std::str::from_utf8_unchecked(bytes) })
}

/// A top bit is set if some byte has one, or is NUL, `+` or `#`: taking one away from zero borrows. Bytes above such a one
/// may be set too.
const fn met(word: u64) -> u64 {
    word | word.wrapping_sub(ONES) | (word ^ PLUSES).wrapping_sub(ONES) | (word ^ HASHES).wrapping_sub(ONES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_at_each_place_is_judged_as_by_hand() {
        for len in 0..20 {
            assert!(plain_topic(&vec![b'/'; len]).is_some());
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    for fill in [1, b'"', b'$', b'*', b',', b'a', 127] {
                        let mut bytes = vec![fill; len];
                        bytes[at] = byte;
                        let plain = byte.is_ascii() && !matches!(byte, 0 | b'+' | b'#');
                        assert_eq!(plain_topic(&bytes), plain.then(|| std::str::from_utf8(&bytes).expect("ASCII")));
                    }
                }
            }
        }
    }
}
