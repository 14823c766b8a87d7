//! What each message carries in front of its payload, so that its receiver can account for it.
//!
//! ```text
//! 0      2     4           8                 16                24        28
//! | magic| tag | publisher | sequence        | intended (ns)   | lag (ns)|   big-endian
//! ```
//!
//! Sequences of a publisher count from 0 without gaps. `intended` is when the message was due, `lag` how much later it
//! was handed to the kernel (at most 4.29 s is told).

/// Marks a payload of this program.
const MAGIC: u16 = 0x4D6C;
/// No run sends so many messages; a payload that claims more is damaged.
const SEQUENCE_END: u64 = 1 << 48;

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

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.tag.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.intended.to_be_bytes());
        bytes[24..].copy_from_slice(&self.lag.to_be_bytes());
        out.extend_from_slice(&bytes);
    }

    /// The stamp of a payload, if it has one.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = payload.first_chunk()?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp { tag: 7, publisher: 123_456, sequence: SEQUENCE_END - 1, intended: 42, lag: u32::MAX };
        let mut payload = Vec::new();
        stamp.write(&mut payload);
        assert_eq!(payload.len(), Stamp::BYTES);
        payload.extend_from_slice(b"filler");
        assert_eq!(Stamp::read(&payload), Some(stamp));
    }

    #[test]
    fn foreign_payloads_have_no_stamp() {
        assert_eq!(Stamp::read(b""), None);
        assert_eq!(Stamp::read(&[b'x'; 64]), None);
        assert_eq!(Stamp::read(&[0x4D; Stamp::BYTES - 1]), None);
        let mut damaged = Vec::new();
        Stamp { tag: 1, publisher: 0, sequence: SEQUENCE_END, intended: 0, lag: 0 }.write(&mut damaged);
        assert_eq!(Stamp::read(&damaged), None);
    }
}
