//! Decode and encode control packets; the one place that asks for the protocol version.
//!
//! A connection reads a [`FixedHeader`], waits for [`FixedHeader::packet_len`] bytes and gives them to [`decode`].
//! What is decoded borrows from those bytes. A [`DecodeError`] ends the connection: bytes after it are never looked at.
//!
//! Not here: limits of one connection other than [`FixedHeader::check_size`], and what a packet means; see `session`.

pub mod acks;
pub mod connect;
pub mod control;
mod error;
mod header;
mod plain_topic;
pub mod properties;
pub mod publish;
pub mod reasons;
pub mod subscribe;
pub mod wire;

#[cfg(test)]
mod tests;

use std::fmt;

pub use error::{DecodeError, Field};
pub use header::FixedHeader;

use crate::packet::{Packet, PacketType, ProtocolVersion};
use acks::AckKind;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    ToServer,
    /// From the server.
    ToClient,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToServer => "to the server",
            Self::ToClient => "to a client",
        })
    }
}

/// Decodes one whole packet, fixed header included. CONNECT names its version itself.
pub fn decode(version: ProtocolVersion, direction: Direction, packet: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let (header, body) = split(packet)?;
    let packet_type = header.packet_type();
    check_direction(packet_type, version, direction)?;
    check_flags(packet_type, version, header.first)?;
    Ok(match packet_type {
        PacketType::Connect => Packet::Connect(Box::new(connect::decode(body)?)),
        PacketType::ConnAck => Packet::ConnAck(connect::decode_connack(version, body)?),
        PacketType::Publish => Packet::Publish(match direction {
            Direction::ToServer => publish::decode(version, header.first, body)?,
            Direction::ToClient => publish::decode_to_client(version, header.first, body)?,
        }),
        PacketType::PubAck => Packet::PubAck(acks::decode(version, AckKind::PubAck, body)?),
        PacketType::PubRec => Packet::PubRec(acks::decode(version, AckKind::PubRec, body)?),
        PacketType::PubRel => Packet::PubRel(acks::decode(version, AckKind::PubRel, body)?),
        PacketType::PubComp => Packet::PubComp(acks::decode(version, AckKind::PubComp, body)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe::decode(version, body)?),
        PacketType::SubAck => Packet::SubAck(subscribe::decode_suback(version, body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(subscribe::decode_unsubscribe(version, body)?),
        PacketType::UnsubAck => Packet::UnsubAck(subscribe::decode_unsuback(version, body)?),
        PacketType::PingReq => {
            control::decode_empty(packet_type, body)?;
            Packet::PingReq
        }
        PacketType::PingResp => {
            control::decode_empty(packet_type, body)?;
            Packet::PingResp
        }
        PacketType::Disconnect => Packet::Disconnect(control::decode_disconnect(version, direction, body)?),
        PacketType::Auth => Packet::Auth(control::decode_auth(direction, body)?),
    })
}

/// Header and body; the bytes must be one packet, no more and no less.
#[inline]
fn split(packet: &[u8]) -> Result<(FixedHeader, &[u8]), DecodeError> {
    let ends = |needed: usize| DecodeError::PacketEnds {
        field: Field::FixedHeader,
        needed: wire::saturated(needed),
        left: wire::saturated(packet.len()),
    };
    let header = FixedHeader::parse(packet)?.ok_or_else(|| ends(packet.len() + 1))?;
    let mut reader = wire::Reader::new(packet);
    reader.take(usize::from(header.header_len), Field::FixedHeader)?;
    let body = reader.take(header.remaining as usize, Field::Body)?;
    reader.end(header.packet_type())?;
    Ok((header, body))
}

/// Each type of packet belongs to one direction or to both, and AUTH to 5.0.
#[inline]
const fn check_direction(
    packet: PacketType,
    version: ProtocolVersion,
    direction: Direction,
) -> Result<(), DecodeError> {
    let allowed = match packet {
        PacketType::Publish | PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => {
            true
        }
        PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => {
            matches!(direction, Direction::ToServer)
        }
        PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => {
            matches!(direction, Direction::ToClient)
        }
        PacketType::Disconnect => version.is_v5() || matches!(direction, Direction::ToServer),
        PacketType::Auth if !version.is_v5() => {
            return Err(DecodeError::NoSuchPacket { packet, version });
        }
        PacketType::Auth => true,
    };
    match allowed {
        true => Ok(()),
        false => Err(DecodeError::WrongDirection { packet, direction }),
    }
}

/// Of the flags that [`FixedHeader::parse`] lets through, DUP outside PUBLISH belongs to 3.1 alone.
#[inline]
const fn check_flags(packet: PacketType, version: ProtocolVersion, first: u8) -> Result<(), DecodeError> {
    let flags = first & 0x0F;
    match (packet, version) {
        (PacketType::Publish, _) | (_, ProtocolVersion::V31) => Ok(()),
        _ if flags == packet.flags() => Ok(()),
        _ => Err(DecodeError::ReservedFlags { packet, flags }),
    }
}

/// Appends a packet of either direction. Version 3 drops what it cannot carry, AUTH as a whole; CONNECT is encoded in
/// the version that it names.
///
/// # Panics
/// If the packet would be over [`PACKET_BYTES_MAX`](crate::limits::PACKET_BYTES_MAX), or if a PUBLISH of QoS 1 or 2 has
/// no Packet Identifier; nothing that was decoded is so.
pub fn encode(version: ProtocolVersion, packet: &Packet<'_>, out: &mut Vec<u8>) {
    match packet {
        Packet::Connect(connect) => connect::encode(connect, out),
        Packet::ConnAck(connack) => connect::encode_connack(version, connack, out),
        Packet::Publish(publish) => publish::encode(version, publish, out),
        Packet::PubAck(ack) => acks::encode(version, AckKind::PubAck, ack, out),
        Packet::PubRec(ack) => acks::encode(version, AckKind::PubRec, ack, out),
        Packet::PubRel(ack) => acks::encode(version, AckKind::PubRel, ack, out),
        Packet::PubComp(ack) => acks::encode(version, AckKind::PubComp, ack, out),
        Packet::Subscribe(subscribe) => subscribe::encode(version, subscribe, out),
        Packet::SubAck(suback) => subscribe::encode_suback(version, suback, out),
        Packet::Unsubscribe(unsubscribe) => {
            subscribe::encode_unsubscribe(version, unsubscribe, out);
        }
        Packet::UnsubAck(unsuback) => subscribe::encode_unsuback(version, unsuback, out),
        Packet::PingReq => out.extend_from_slice(&control::PINGREQ),
        Packet::PingResp => out.extend_from_slice(&control::PINGRESP),
        Packet::Disconnect(disconnect) => control::encode_disconnect(version, disconnect, out),
        Packet::Auth(auth) => control::encode_auth(version, auth, out),
    }
}
