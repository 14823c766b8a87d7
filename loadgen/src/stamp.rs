//! What each message carries in front of its payload, so that its receiver can account for it.
//!
//! ```text
//! 0      2     4           8                 16                24        28
//! | magic| tag | publisher | sequence        | intended (ns)   | lag (ns)|   big-endian
//!
//! 0      1     3         6          10              15    16
//! | magic| tag | publish.| sequence | intended      | lag |   the short one, for small payloads
//! ```
//!
//! Sequences of a publisher count from 0 without gaps. `intended` is when the message was due, `lag` how much later it
//! was handed to the kernel (at most 4.29 s is told). The short stamp counts time in units of 256 ns, which come round
//! after three days, and tells the lag with three digits of base 2.

/// Marks a payload of this program.
const MAGIC: u16 = 0x4D6C;
const MAGIC_SHORT: u8 = 0x6D;
/// No run sends so many messages; a payload that claims more is damaged.
const SEQUENCE_END: u64 = 1 << 48;
/// The unit of time of a short stamp, as a power of two nanoseconds, and how many bits of it are told.
const SHORT_UNIT: u32 = 8;
const SHORT_BITS: u32 = 40;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells runs apart, so that what another run left behind is not counted.
    pub(crate) tag: u16,
    pub(crate) publisher: u32,
    pub(crate) sequence: u64,
    /// Nanoseconds of the monotonic clock.
    pub(crate) intended: u64,
    pub(crate) lag: u32,
}

impl Stamp {
    /// Bytes on the wire.
    pub(crate) const BYTES: usize = 28;
    /// Bytes of the short one.
    pub(crate) const SHORT_BYTES: usize = 16;
    /// Publishers that a short one can tell apart.
    pub(crate) const SHORT_PUBLISHERS: u32 = 1 << 24;

    /// Writes the stamp over the front of a payload, which has room for it.
    #[inline]
    pub(crate) fn put(&self, payload: &mut [u8]) {
        let Some(bytes) = payload.first_chunk_mut::<{ Self::BYTES }>() else { return self.put_short(payload) };
        bytes[..2].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.tag.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.intended.to_be_bytes());
        bytes[24..].copy_from_slice(&self.lag.to_be_bytes());
    }

    fn put_short(&self, payload: &mut [u8]) {
        let bytes = payload.first_chunk_mut::<{ Self::SHORT_BYTES }>().expect("a plan refuses smaller payloads");
        bytes[0] = MAGIC_SHORT;
        bytes[1..3].copy_from_slice(&self.tag.to_be_bytes());
        bytes[3..6].copy_from_slice(&self.publisher.to_be_bytes()[1..]);
        bytes[6..10].copy_from_slice(&(self.sequence as u32).to_be_bytes());
        bytes[10..15].copy_from_slice(&(self.intended >> SHORT_UNIT).to_be_bytes()[3..]);
        bytes[15] = float(self.lag);
    }

    /// The stamp of a payload that has come now, if it has one.
    #[inline]
    pub(crate) fn read(payload: &[u8], now: u64) -> Option<Self> {
        let Some(bytes) = payload.first_chunk::<{ Self::BYTES }>() else { return Self::read_short(payload, now) };
        if bytes[..2] != MAGIC.to_be_bytes() {
            return None;
        }
        let stamp = Self {
            tag: u16::from_be_bytes(bytes[2..4].try_into().ok()?),
            publisher: u32::from_be_bytes(bytes[4..8].try_into().ok()?),
            sequence: u64::from_be_bytes(bytes[8..16].try_into().ok()?),
            intended: u64::from_be_bytes(bytes[16..24].try_into().ok()?),
            lag: u32::from_be_bytes(bytes[24..].try_into().ok()?),
        };
        (stamp.sequence < SEQUENCE_END).then_some(stamp)
    }

    /// Whether the second payload has the long stamp of the first, but with this sequence.
    #[inline]
    pub(crate) fn is_same_but_for_sequence(one: &[u8], other: &[u8], sequence: u64) -> bool {
        let stamps = one.first_chunk::<{ Self::BYTES }>().zip(other.first_chunk::<{ Self::BYTES }>());
        stamps.is_some_and(|(one, other)| {
            one[..8] == other[..8] && other[8..16] == sequence.to_be_bytes() && one[16..] == other[16..]
        })
    }

    fn read_short(payload: &[u8], now: u64) -> Option<Self> {
        let bytes: &[u8; Self::SHORT_BYTES] = payload.first_chunk()?;
        if bytes[0] != MAGIC_SHORT {
            return None;
        }
        let number =
            |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        // The time that was told is the last one that ends so; clocks of several machines may be a second apart.
        let latest = (now + 1_000_000_000) >> SHORT_UNIT;
        let since = latest.wrapping_sub(number(10..15)) & ((1 << SHORT_BITS) - 1);
        Some(Self {
            tag: number(1..3) as u16,
            publisher: number(3..6) as u32,
            sequence: number(6..10),
            intended: latest.saturating_sub(since) << SHORT_UNIT,
            lag: unfloat(bytes[15]),
        })
    }
}

/// A number as five bits of exponent and three of its digits, rounded down.
const fn float(number: u32) -> u8 {
    if number < 8 {
        return number as u8;
    }
    let exponent = 28 - number.leading_zeros();
    ((exponent + 1) << 3) as u8 | (number >> exponent & 7) as u8
}

const fn unfloat(byte: u8) -> u32 {
    match byte >> 3 {
        0 => byte as u32,
        exponent => (8 | byte as u32 & 7).wrapping_shl(exponent as u32 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { tag: 7, publisher: 123_456, sequence: SEQUENCE_END - 1, intended: 42, lag: u32::MAX };
        let mut payload = [b'x'; 100];
        stamp.put(&mut payload);
        assert!(payload[Stamp::BYTES..].iter().all(|byte| *byte == b'x'));
        assert_eq!(Stamp::read(&payload, 50), Some(stamp));
    }

    #[test]
    fn a_short_stamp_is_read_nearly_as_it_was_written() {
        let days = 86_400_000_000_000;
        for now in [1_000_000, days, 5 * days + 123_456_789] {
            for ago in [0, 300, 5_000_000, days] {
                let Some(intended) = u64::checked_sub(now, ago) else { continue };
                let lag = (ago / 3) as u32;
                let stamp = Stamp { tag: 7, publisher: 123_456, sequence: u64::from(u32::MAX), intended, lag };
                let mut payload = *b"....................abcd";
                stamp.put(&mut payload);
                assert_eq!(payload[Stamp::SHORT_BYTES..], *b"....abcd");
                let read = Stamp::read(&payload, now).expect("it is one");
                assert_eq!((read.tag, read.publisher, read.sequence), (stamp.tag, stamp.publisher, stamp.sequence));
                assert!(intended - read.intended < 256, "{intended} and {}", read.intended);
                assert!(read.lag <= lag && lag - read.lag <= lag / 8, "{lag} and {}", read.lag);
            }
        }
    }

    #[test]
    fn short_numbers_keep_their_size() {
        for number in (0..2000).chain([4095, 4096, 1 << 20, u32::MAX - 1, u32::MAX]) {
            let back = unfloat(float(number));
            assert!(back <= number && number - back <= number / 8, "{number} became {back}");
        }
    }

    #[test]
    fn foreign_payloads_have_no_stamp() {
        assert_eq!(Stamp::read(b"", 9), None);
        assert_eq!(Stamp::read(&[b'x'; 64], 9), None);
        assert_eq!(Stamp::read(&[0x4D; Stamp::BYTES - 1], 9), None);
        let mut damaged = [0; 28];
        Stamp { tag: 1, publisher: 0, sequence: SEQUENCE_END, intended: 0, lag: 0 }.put(&mut damaged);
        assert_eq!(Stamp::read(&damaged, 9), None);
    }
}
