//! The data types of MQTT (section 1.5): a cursor that reads them, functions that append them.
//!
//! Invariants: nothing is read by index; each read says how many bytes it takes and gets them or an error. What is
//! read borrows from the packet, so nothing is allocated for what a peer only claims.

use crate::codec::error::{DecodeError, Field};
use crate::codec::plain_topic::plain_topic;
use crate::limits::{FIELD_BYTES_MAX, REMAINING_LENGTH_MAX};
use crate::packet::{PacketId, PacketType, ProtocolVersion};

/// Reads the bytes of one packet from front to back.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the first of these bytes.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether everything was read.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes were not read yet.
    #[must_use]
    #[inline]
    pub const fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize, field: Field) -> Result<&'a [u8], DecodeError> {
        match self.bytes.split_at_checked(count) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(ends(field, count, self.bytes.len())),
        }
    }

    /// Everything that is left.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, field: Field) -> Result<u8, DecodeError> {
        match self.bytes {
            [first, rest @ ..] => {
                self.bytes = rest;
                Ok(*first)
            }
            [] => Err(ends(field, 1, 0)),
        }
    }

    /// Two Byte Integer (section 1.5.2).
    #[inline]
    pub fn u16(&mut self, field: Field) -> Result<u16, DecodeError> {
        match self.bytes.split_first_chunk() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(u16::from_be_bytes(*taken))
            }
            None => Err(ends(field, 2, self.bytes.len())),
        }
    }

    /// Four Byte Integer (section 1.5.3).
    #[inline]
    pub fn u32(&mut self, field: Field) -> Result<u32, DecodeError> {
        match self.bytes.split_first_chunk() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(u32::from_be_bytes(*taken))
            }
            None => Err(ends(field, 4, self.bytes.len())),
        }
    }

    /// Variable Byte Integer (section 1.5.5).
    #[inline]
    pub fn var(&mut self, field: Field) -> Result<u32, DecodeError> {
        match VarInt::parse(self.bytes, field)? {
            Some(VarInt { value, len }) => {
                self.bytes = &self.bytes[usize::from(len)..];
                Ok(value)
            }
            None => Err(ends(field, self.bytes.len() + 1, self.bytes.len())),
        }
    }

    /// Binary Data (section 1.5.6).
    #[inline]
    pub fn bin(&mut self, field: Field) -> Result<&'a [u8], DecodeError> {
        let len = self.u16(field)?;
        self.take(usize::from(len), field)
    }

    /// UTF-8 Encoded String (section 1.5.4).
    #[inline]
    pub fn str(&mut self, field: Field) -> Result<&'a str, DecodeError> {
        let bytes = self.bin(field)?;
        match memchr::memchr(0, bytes) {
            None => utf8(bytes, field),
            Some(at) => Err(null_character(field, at)),
        }
    }

    /// A string without wildcards, perhaps empty: a Topic Name, a Will Topic, a Response Topic.
    #[inline]
    pub fn topic(&mut self, field: Field) -> Result<&'a str, DecodeError> {
        let bytes = self.bin(field)?;
        if let Some(topic) = plain_topic(bytes) {
            return Ok(topic);
        }
        match memchr::memchr3(0, b'+', b'#', bytes) {
            None => utf8(bytes, field),
            Some(at) => Err(topic_character(field, bytes[at], at)),
        }
    }

    /// Packet Identifier (section 2.2.1).
    #[inline]
    pub fn packet_id(&mut self, packet: PacketType) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16(Field::PacketId)?).ok_or(DecodeError::PacketIdZero { packet })
    }

    /// Nothing may be left.
    #[inline]
    pub fn end(&self, packet: PacketType) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes { packet, left: saturated(left) }),
        }
    }
}

/// A Variable Byte Integer as it lies on the wire: the only place that reads one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarInt {
    /// What it says.
    pub value: u32,
    /// Its bytes.
    pub len: u8,
}

impl VarInt {
    /// Reads from the front of `bytes`; none if it goes on after their end and may still be legal.
    #[inline]
    pub fn parse(bytes: &[u8], field: Field) -> Result<Option<Self>, DecodeError> {
        match bytes {
            [low, ..] if *low < 0x80 => Ok(Some(Self { value: u32::from(*low), len: 1 })),
            _ => Self::parse_long(bytes, field),
        }
    }

    fn parse_long(bytes: &[u8], field: Field) -> Result<Option<Self>, DecodeError> {
        let mut value = 0;
        for (&byte, len) in bytes.iter().zip(1..=4) {
            value |= u32::from(byte & 0x7F) << (7 * (len - 1));
            if byte == 0 && len > 1 {
                return Err(DecodeError::VarIntNotShortest { field });
            }
            if byte < 0x80 {
                return Ok(Some(Self { value, len }));
            }
        }
        match bytes.len() {
            0..=3 => Ok(None),
            _ => Err(DecodeError::VarIntTooLong { field }),
        }
    }
}

#[inline]
fn utf8(bytes: &[u8], field: Field) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|error| DecodeError::NotUtf8 { field, at: saturated(error.valid_up_to()) })
}

#[cold]
fn ends(field: Field, needed: usize, left: usize) -> DecodeError {
    DecodeError::PacketEnds { field, needed: saturated(needed), left: saturated(left) }
}

#[cold]
fn null_character(field: Field, at: usize) -> DecodeError {
    DecodeError::NullCharacter { field, at: saturated(at) }
}

#[cold]
fn topic_character(field: Field, byte: u8, at: usize) -> DecodeError {
    match byte {
        0 => null_character(field, at),
        _ => DecodeError::TopicWildcard { field, found: char::from(byte), at: saturated(at) },
    }
}

/// A length for a message; what does not fit is never met, and would only be said wrongly.
pub(crate) fn saturated(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// How many bytes a Variable Byte Integer takes.
#[must_use]
#[inline]
pub const fn var_len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Appends a Variable Byte Integer.
///
/// # Panics
/// If it is over [`REMAINING_LENGTH_MAX`], which four bytes cannot say.
#[inline]
pub fn put_var(out: &mut Vec<u8>, value: u32) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        let (bytes, len) = var_bytes(value);
        out.extend_from_slice(&bytes[..len]);
    }
}

fn var_bytes(value: u32) -> ([u8; 4], usize) {
    assert!(value <= REMAINING_LENGTH_MAX, "sizes are checked against the largest packet before they are encoded");
    let len = var_len(value);
    let mut bytes = [0; 4];
    for (at, byte) in bytes[..len].iter_mut().enumerate() {
        let more = if at + 1 < len { 0x80 } else { 0 };
        *byte = (value >> (7 * at)) as u8 & 0x7F | more;
    }
    (bytes, len)
}

/// A length as [`put_var`] wants it.
///
/// # Panics
/// If it is over [`REMAINING_LENGTH_MAX`].
#[inline]
#[must_use]
pub fn wire_len(len: usize) -> u32 {
    assert!(
        len <= REMAINING_LENGTH_MAX as usize,
        "sizes are checked against the largest packet before they are encoded"
    );
    len as u32
}

/// What of these bytes one field can carry: all but what is over 65,535.
#[inline]
#[must_use]
pub fn bin_field(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(FIELD_BYTES_MAX)]
}

/// What of this text one field can carry: all but the characters that end over 65,535 bytes.
#[inline]
#[must_use]
pub fn str_field(text: &str) -> &str {
    match text.len() {
        0..=FIELD_BYTES_MAX => text,
        _ => &text[..text.floor_char_boundary(FIELD_BYTES_MAX)],
    }
}

/// Appends Binary Data, cut to what one field can carry.
#[inline]
pub fn put_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bin_field(bytes);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a UTF-8 Encoded String, cut to what one field can carry.
#[inline]
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bin(out, str_field(text).as_bytes());
}

/// Appends a Packet Identifier.
#[inline]
pub fn put_packet_id(out: &mut Vec<u8>, packet_id: PacketId) {
    out.extend_from_slice(&packet_id.get().to_be_bytes());
}

/// Appends encoded properties behind their length; nothing in version 3.
#[inline]
pub fn put_properties(out: &mut Vec<u8>, version: ProtocolVersion, encoded: &[u8]) {
    if version.is_v5() {
        put_var(out, wire_len(encoded.len()));
        out.extend_from_slice(encoded);
    }
}

/// Appends a packet whose length is known when its body has been written.
pub fn put_packet(out: &mut Vec<u8>, first: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[first, 0]);
    body(out);
    let remaining = wire_len(out.len() - start - 2);
    if remaining < 0x80 {
        out[start + 1] = remaining as u8;
    } else {
        let (bytes, len) = var_bytes(remaining);
        out.splice(start + 1..start + 2, bytes[..len].iter().copied());
    }
}
