//! PINGREQ, PINGRESP, DISCONNECT and AUTH (sections 3.12 to 3.15).

use crate::codec::Direction;
use crate::codec::error::DecodeError;
use crate::codec::properties::{Carrier, Properties, Property};
use crate::codec::reasons;
use crate::codec::wire::{Reader, put_packet, put_properties};
use crate::packet::{Auth, Disconnect, PacketType, ProtocolVersion};
use crate::reason_code::ReasonCode;

/// A PINGREQ, whole.
pub const PINGREQ: [u8; 2] = [PacketType::PingReq.first_byte(), 0];
/// A PINGRESP, whole.
pub const PINGRESP: [u8; 2] = [PacketType::PingResp.first_byte(), 0];

/// Checks the body of a PINGREQ or PINGRESP, which is empty.
#[inline]
pub fn decode_empty(packet: PacketType, body: &[u8]) -> Result<(), DecodeError> {
    Reader::new(body).end(packet)
}

/// Decodes the body of a DISCONNECT. In 5.0 the Reason Code and the properties may be left out from behind.
pub fn decode_disconnect(
    version: ProtocolVersion,
    direction: Direction,
    body: &[u8],
) -> Result<Disconnect<'_>, DecodeError> {
    let packet = PacketType::Disconnect;
    let mut reader = Reader::new(body);
    let mut disconnect = Disconnect { reason_code: ReasonCode::Success, properties: Properties::EMPTY };
    if version.is_v5() && !reader.is_empty() {
        disconnect.reason_code = reasons::decode(&mut reader, packet, direction)?;
        if !reader.is_empty() {
            let carrier = match direction {
                Direction::ToServer => Carrier::Disconnect,
                Direction::ToClient => Carrier::DisconnectToClient,
            };
            disconnect.properties = Properties::decode(&mut reader, carrier)?;
        }
    }
    reader.end(packet)?;
    Ok(disconnect)
}

/// Appends a DISCONNECT in its shortest form.
pub fn encode_disconnect(version: ProtocolVersion, disconnect: &Disconnect<'_>, out: &mut Vec<u8>) {
    put_short(out, version, PacketType::Disconnect, disconnect.reason_code, disconnect.properties);
}

/// Decodes the body of an AUTH. Reason Code and properties may be left out only together.
pub fn decode_auth(direction: Direction, body: &[u8]) -> Result<Auth<'_>, DecodeError> {
    let packet = PacketType::Auth;
    if body.is_empty() {
        return Ok(Auth {
            reason_code: reasons::check(packet, direction, ReasonCode::Success as u8)?,
            properties: Properties::EMPTY,
        });
    }
    let mut reader = Reader::new(body);
    let auth = Auth {
        reason_code: reasons::decode(&mut reader, packet, direction)?,
        properties: Properties::decode(&mut reader, Carrier::Auth)?,
    };
    reader.end(packet)?;
    match auth.properties.get(Property::AuthenticationMethod) {
        Some(_) => Ok(auth),
        None => Err(DecodeError::AuthenticationMethodMissing { packet }),
    }
}

/// Appends an AUTH in its shortest form; nothing in version 3, which has none.
pub fn encode_auth(version: ProtocolVersion, auth: &Auth<'_>, out: &mut Vec<u8>) {
    if !version.is_v5() {
        return;
    }
    match (auth.reason_code, auth.properties.raw()) {
        (ReasonCode::Success, []) => out.extend_from_slice(&[PacketType::Auth.first_byte(), 0]),
        (reason_code, raw) => put_packet(out, PacketType::Auth.first_byte(), |out| {
            out.push(reason_code as u8);
            put_properties(out, version, raw);
        }),
    }
}

fn put_short(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    packet: PacketType,
    reason_code: ReasonCode,
    properties: Properties<'_>,
) {
    let first = packet.first_byte();
    match (version.is_v5(), reason_code, properties.raw()) {
        (false, ..) | (true, ReasonCode::Success, []) => out.extend_from_slice(&[first, 0]),
        (true, _, []) => out.extend_from_slice(&[first, 1, reason_code as u8]),
        (true, _, raw) => put_packet(out, first, |out| {
            out.push(reason_code as u8);
            put_properties(out, version, raw);
        }),
    }
}
