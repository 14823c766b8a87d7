//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use crate::codec::Direction;
use crate::codec::error::DecodeError;
use crate::codec::properties::{Carrier, Properties};
use crate::codec::reasons;
use crate::codec::wire::{Reader, put_packet, put_packet_id, put_properties};
use crate::packet::{Ack, PacketId, PacketType, ProtocolVersion};
use crate::reason_code::ReasonCode;

/// Which of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named as in the specification")]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl AckKind {
    /// The packet type.
    #[must_use]
    #[inline]
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }

    const fn carrier(self) -> Carrier {
        match self {
            Self::PubAck => Carrier::PubAck,
            Self::PubRec => Carrier::PubRec,
            Self::PubRel => Carrier::PubRel,
            Self::PubComp => Carrier::PubComp,
        }
    }
}

/// Decodes the body. In 5.0 the Reason Code and the properties may be left out from behind.
#[inline]
pub fn decode(version: ProtocolVersion, kind: AckKind, body: &[u8]) -> Result<Ack<'_>, DecodeError> {
    let packet = kind.packet_type();
    let mut reader = Reader::new(body);
    let mut ack =
        Ack { packet_id: reader.packet_id(packet)?, reason_code: ReasonCode::Success, properties: Properties::EMPTY };
    if version.is_v5() && !reader.is_empty() {
        ack.reason_code = reasons::decode(&mut reader, packet, Direction::ToServer)?;
        if !reader.is_empty() {
            ack.properties = Properties::decode(&mut reader, kind.carrier())?;
        }
    }
    reader.end(packet)?;
    Ok(ack)
}

/// Appends an acknowledgement without properties: four bytes, in 5.0 five if the Reason Code says something.
#[inline]
pub fn encode_ack(
    version: ProtocolVersion,
    kind: AckKind,
    packet_id: PacketId,
    reason_code: ReasonCode,
    out: &mut Vec<u8>,
) {
    ack(version, kind, packet_id, reason_code).put(out);
}

/// An acknowledgement without properties.
#[derive(Clone, Copy, Debug)]
pub struct ShortAck {
    bytes: [u8; 5],
    len: u8,
}

impl ShortAck {
    /// Appends the packet.
    #[inline]
    pub fn put(self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.len);
        // Five bytes are appended with one store, four of them would take a call.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    /// Whether it is a PUBACK.
    #[must_use]
    #[inline]
    pub fn is_puback(self) -> bool {
        self.bytes[0] == PacketType::PubAck.first_byte()
    }
}

/// As [`encode_ack`], by itself.
#[must_use]
#[inline]
pub fn ack(version: ProtocolVersion, kind: AckKind, packet_id: PacketId, reason_code: ReasonCode) -> ShortAck {
    let first = kind.packet_type().first_byte();
    let [high, low] = packet_id.get().to_be_bytes();
    let remaining = if reason_code == ReasonCode::Success || !version.is_v5() { 2 } else { 3 };
    ShortAck { bytes: [first, remaining, high, low, reason_code as u8], len: 2 + remaining }
}

/// Appends an acknowledgement in its shortest form.
pub fn encode(version: ProtocolVersion, kind: AckKind, ack: &Ack<'_>, out: &mut Vec<u8>) {
    if ack.properties.is_empty() || !version.is_v5() {
        return encode_ack(version, kind, ack.packet_id, ack.reason_code, out);
    }
    put_packet(out, kind.packet_type().first_byte(), |out| {
        put_packet_id(out, ack.packet_id);
        out.push(ack.reason_code as u8);
        put_properties(out, version, ack.properties.raw());
    });
}
