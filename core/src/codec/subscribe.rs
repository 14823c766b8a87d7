//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (sections 3.8 to 3.11).
//!
//! Not here: whether a Topic Filter is legal; its own SUBACK code says that, so one bad filter spoils no other.

use crate::codec::Direction;
use crate::codec::error::{DecodeError, Field};
use crate::codec::properties::{Carrier, Properties};
use crate::codec::reasons;
use crate::codec::wire::{Reader, put_packet, put_packet_id, put_properties, put_str};
use crate::limits::FILTERS_PER_PACKET_MAX;
use crate::packet::{
    PacketType, ProtocolVersion, QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions, Unsubscribe,
};
use crate::reason_code::ReasonCode;

/// Decodes the body of a SUBSCRIBE.
pub fn decode(version: ProtocolVersion, body: &[u8]) -> Result<Subscribe<'_>, DecodeError> {
    let packet = PacketType::Subscribe;
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id(packet)?;
    let properties = properties(version, &mut reader, Carrier::Subscribe)?;
    let filters = filters(packet, &mut reader, |reader| {
        let filter = reader.str(Field::TopicFilter)?;
        let options = options(version, reader.u8(Field::SubscriptionOptions)?)?;
        if options.no_local && filter.starts_with("$share/") {
            return Err(DecodeError::NoLocalShared);
        }
        Ok((filter, options))
    })?;
    Ok(Subscribe { packet_id, properties, filters })
}

/// Decodes the body of an UNSUBSCRIBE.
pub fn decode_unsubscribe(version: ProtocolVersion, body: &[u8]) -> Result<Unsubscribe<'_>, DecodeError> {
    let packet = PacketType::Unsubscribe;
    let mut reader = Reader::new(body);
    Ok(Unsubscribe {
        packet_id: reader.packet_id(packet)?,
        properties: properties(version, &mut reader, Carrier::Unsubscribe)?,
        filters: filters(packet, &mut reader, |reader| reader.str(Field::TopicFilter))?,
    })
}

/// Decodes the body of a SUBACK.
pub fn decode_suback(version: ProtocolVersion, body: &[u8]) -> Result<SubAck<'_>, DecodeError> {
    let packet = PacketType::SubAck;
    let mut reader = Reader::new(body);
    Ok(SubAck {
        packet_id: reader.packet_id(packet)?,
        properties: properties(version, &mut reader, Carrier::SubAck)?,
        reason_codes: reason_codes(packet, &mut reader, |code| version.is_v5() || matches!(code, 0..=2 | 0x80))?,
    })
}

/// Decodes the body of an UNSUBACK, which has no codes in version 3.
pub fn decode_unsuback(version: ProtocolVersion, body: &[u8]) -> Result<SubAck<'_>, DecodeError> {
    let packet = PacketType::UnsubAck;
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id(packet)?;
    let properties = properties(version, &mut reader, Carrier::UnsubAck)?;
    let reason_codes = match version {
        ProtocolVersion::V5 => reason_codes(packet, &mut reader, |_| true)?,
        _ => Vec::new(),
    };
    reader.end(packet)?;
    Ok(SubAck { packet_id, properties, reason_codes })
}

/// Appends a SUBSCRIBE.
pub fn encode(version: ProtocolVersion, subscribe: &Subscribe<'_>, out: &mut Vec<u8>) {
    put_packet(out, PacketType::Subscribe.first_byte(), |out| {
        put_packet_id(out, subscribe.packet_id);
        put_properties(out, version, subscribe.properties.raw());
        for (filter, options) in &subscribe.filters {
            put_str(out, filter);
            out.push(match version {
                ProtocolVersion::V5 => options.bits(),
                _ => options.qos as u8,
            });
        }
    });
}

/// Appends an UNSUBSCRIBE.
pub fn encode_unsubscribe(version: ProtocolVersion, unsubscribe: &Unsubscribe<'_>, out: &mut Vec<u8>) {
    put_packet(out, PacketType::Unsubscribe.first_byte(), |out| {
        put_packet_id(out, unsubscribe.packet_id);
        put_properties(out, version, unsubscribe.properties.raw());
        for filter in &unsubscribe.filters {
            put_str(out, filter);
        }
    });
}

/// Appends a SUBACK; version 3 has one code for every failure.
pub fn encode_suback(version: ProtocolVersion, suback: &SubAck<'_>, out: &mut Vec<u8>) {
    put_packet(out, PacketType::SubAck.first_byte(), |out| {
        put_packet_id(out, suback.packet_id);
        put_properties(out, version, suback.properties.raw());
        out.extend(suback.reason_codes.iter().map(|code| match version.is_v5() || !code.is_error() {
            true => *code as u8,
            false => ReasonCode::UnspecifiedError as u8,
        }));
    });
}

/// Appends an UNSUBACK, in version 3 without codes.
pub fn encode_unsuback(version: ProtocolVersion, unsuback: &SubAck<'_>, out: &mut Vec<u8>) {
    put_packet(out, PacketType::UnsubAck.first_byte(), |out| {
        put_packet_id(out, unsuback.packet_id);
        if version.is_v5() {
            put_properties(out, version, unsuback.properties.raw());
            out.extend(unsuback.reason_codes.iter().map(|code| *code as u8));
        }
    });
}

fn properties<'a>(
    version: ProtocolVersion,
    reader: &mut Reader<'a>,
    carrier: Carrier,
) -> Result<Properties<'a>, DecodeError> {
    match version {
        ProtocolVersion::V5 => Properties::decode(reader, carrier),
        _ => Ok(Properties::EMPTY),
    }
}

/// Reads Topic Filters up to the end of the packet; memory grows with what was read, not with what is claimed.
fn filters<'a, T>(
    packet: PacketType,
    reader: &mut Reader<'a>,
    mut filter: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if reader.is_empty() {
        return Err(DecodeError::FiltersMissing { packet });
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        if filters.len() == FILTERS_PER_PACKET_MAX {
            return Err(DecodeError::FiltersTooMany { packet });
        }
        filters.push(filter(reader)?);
    }
    Ok(filters)
}

/// Version 3.1 calls the upper six bits unused, 3.1.1 and 5.0 judge them.
fn options(version: ProtocolVersion, bits: u8) -> Result<SubscriptionOptions, DecodeError> {
    let used = match version {
        ProtocolVersion::V5 => 0b0011_1111,
        _ => 0b0000_0011,
    };
    if bits & !used != 0 && version != ProtocolVersion::V31 {
        return Err(DecodeError::SubscriptionOptions { bits });
    }
    let bits = bits & used;
    Ok(SubscriptionOptions {
        qos: QoS::from_u8(bits & 0b11).ok_or(DecodeError::SubscriptionOptions { bits })?,
        no_local: bits & 1 << 2 != 0,
        retain_as_published: bits & 1 << 3 != 0,
        retain_handling: match bits >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling),
        },
    })
}

/// Reads the codes up to the end of the packet: at least one, and as many as one packet may ask for.
fn reason_codes(
    packet: PacketType,
    reader: &mut Reader<'_>,
    exists: impl Fn(u8) -> bool,
) -> Result<Vec<ReasonCode>, DecodeError> {
    let mut codes = Vec::with_capacity(reader.left());
    loop {
        let code = reader.u8(Field::ReasonCode)?;
        if !exists(code) {
            return Err(DecodeError::ReasonCode { packet, code });
        }
        codes.push(reasons::check(packet, Direction::ToClient, code)?);
        if reader.is_empty() {
            return Ok(codes);
        }
    }
}
