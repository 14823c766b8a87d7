//! The fixed header: what kind of packet comes, and how many bytes of it.

use crate::codec::error::{DecodeError, Field};
use crate::codec::wire::VarInt;
use crate::packet::PacketType;

/// The fixed header of a packet (section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// Packet type and flags.
    pub first: u8,
    /// Its bytes, 2 to 5.
    pub header_len: u8,
    /// Remaining Length: the bytes that follow it.
    pub remaining: u32,
}

impl FixedHeader {
    /// Reads from the front of what was received; none if more bytes are needed.
    ///
    /// Flags are judged at the first byte and the length at each of its bytes, so that nothing is kept for a packet
    /// that is wrong already. What only the version can tell is left to [`decode`](crate::codec::decode).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let [first, rest @ ..] = bytes else {
            return Ok(None);
        };
        let first = *first;
        if !FIRST_BYTES[usize::from(first)] {
            return Err(wrong_first_byte(first));
        }
        Ok(VarInt::parse(rest, Field::RemainingLength)?.map(|length| Self {
            first,
            header_len: 1 + length.len,
            remaining: length.value,
        }))
    }

    /// The bytes of the whole packet.
    #[must_use]
    #[inline]
    pub const fn packet_len(&self) -> usize {
        self.header_len as usize + self.remaining as usize
    }

    /// The type of the packet.
    #[must_use]
    #[inline]
    pub const fn packet_type(&self) -> PacketType {
        PacketType::from_first_byte(self.first).expect("parse has refused packet type 0")
    }

    /// Refuses a packet that is larger than the connection allows.
    #[inline]
    pub const fn check_size(&self, limit: u32) -> Result<(), DecodeError> {
        let bytes = self.packet_len() as u32;
        if bytes > limit {
            return Err(DecodeError::PacketTooLarge { bytes, limit });
        }
        Ok(())
    }
}

/// Which first bytes some version allows.
static FIRST_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut first = 0;
    while first < 256 {
        allowed[first] = check_first_byte(first as u8).is_ok();
        first += 1;
    }
    allowed
};

/// Version 3.1 alone has DUP in PUBREL, SUBSCRIBE and UNSUBSCRIBE; later versions refuse it in `decode`.
const fn check_first_byte(first: u8) -> Result<(), DecodeError> {
    let Some(packet) = PacketType::from_first_byte(first) else {
        return Err(DecodeError::PacketTypeZero);
    };
    let flags = first & 0x0F;
    match packet {
        PacketType::Publish => check_publish_flags(first),
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe if flags & 0b0111 == packet.flags() => {
            Ok(())
        }
        _ if flags == packet.flags() => Ok(()),
        _ => Err(DecodeError::ReservedFlags { packet, flags }),
    }
}

/// QoS 3 does not exist, and QoS 0 is never sent again.
#[inline]
pub(crate) const fn check_publish_flags(first: u8) -> Result<(), DecodeError> {
    match first & 0b1110 {
        0b0110 | 0b1110 => Err(DecodeError::PublishQoS),
        0b1000 => Err(DecodeError::DupWithoutQoS),
        _ => Ok(()),
    }
}

#[cold]
fn wrong_first_byte(first: u8) -> DecodeError {
    check_first_byte(first).expect_err("the table was made by the same function")
}
