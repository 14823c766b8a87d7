//! CONNECT and CONNACK (sections 3.1 and 3.2): the one packet that names its own version, and its answer.

use crate::codec::Direction;
use crate::codec::error::{DecodeError, Field};
use crate::codec::properties::{Carrier, Properties, Property};
use crate::codec::reasons;
use crate::codec::wire::{Reader, put_bin, put_packet, put_properties, put_str};
use crate::packet::{ConnAck, Connect, PacketType, ProtocolVersion, QoS, Will};
use crate::reason_code::ReasonCode;

/// Bit 7 of the level, by which 3.1 and 3.1.1 bridges say what they are.
const BRIDGE: u8 = 0x80;

const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

/// The version that the body of a CONNECT names, as far as its first bytes are legal: so that what is wrong behind
/// them can be answered in a form that the client reads.
#[must_use]
pub fn version(body: &[u8]) -> Option<ProtocolVersion> {
    let (version, _) = level(&mut Reader::new(body)).ok()?;
    Some(version)
}

/// Decodes the body of a CONNECT.
pub fn decode(body: &[u8]) -> Result<Connect<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let (version, bridge) = level(&mut reader)?;
    let flags = reader.u8(Field::ConnectFlags)?;
    check_flags(version, flags)?;
    let keep_alive = reader.u16(Field::KeepAlive)?;
    let properties = match version {
        ProtocolVersion::V5 => connect_properties(&mut reader)?,
        _ => Properties::EMPTY,
    };
    let client_id = reader.str(Field::ClientId)?;
    let will = match flags & WILL {
        0 => None,
        _ => Some(will(version, flags, &mut reader)?),
    };
    // In 3.1 the Remaining Length takes precedence over these two flags.
    let present =
        |flag: u8, reader: &Reader<'_>| flags & flag != 0 && !(version == ProtocolVersion::V31 && reader.is_empty());
    let username = match present(USER_NAME, &reader) {
        true => Some(reader.str(Field::UserName)?),
        false => None,
    };
    let password = match present(PASSWORD, &reader) {
        true => Some(reader.bin(Field::Password)?),
        false => None,
    };
    reader.end(PacketType::Connect)?;
    Ok(Connect {
        version,
        bridge,
        clean_start: flags & CLEAN_START != 0,
        keep_alive,
        properties,
        client_id,
        will,
        username,
        password,
    })
}

/// Protocol Name and Protocol Version, which only fit together in three ways.
fn level(reader: &mut Reader<'_>) -> Result<(ProtocolVersion, bool), DecodeError> {
    let name = reader.bin(Field::ProtocolName)?;
    if !matches!(name, b"MQTT" | b"MQIsdp") {
        return Err(DecodeError::ProtocolName);
    }
    let level = reader.u8(Field::ProtocolLevel)?;
    let bridge = level & BRIDGE != 0;
    match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => Ok((ProtocolVersion::V31, bridge)),
        (b"MQTT", 4) => Ok((ProtocolVersion::V311, bridge)),
        (b"MQTT", 5) if !bridge => Ok((ProtocolVersion::V5, bridge)),
        _ => Err(DecodeError::ProtocolLevel { level }),
    }
}

/// What the flags say against each other. Version 3.1 ignores those of a Will that is not there, and bit 0.
fn check_flags(version: ProtocolVersion, flags: u8) -> Result<(), DecodeError> {
    if !version.is_v5() && flags & (USER_NAME | PASSWORD) == PASSWORD {
        return Err(DecodeError::PasswordWithoutUserName { version });
    }
    if version == ProtocolVersion::V31 {
        return Ok(());
    }
    if flags & 1 != 0 {
        return Err(DecodeError::ConnectFlagReserved);
    }
    if flags & WILL == 0 {
        if flags & 0b11 << WILL_QOS_SHIFT != 0 {
            return Err(DecodeError::WillQoSWithoutWill);
        }
        if flags & WILL_RETAIN != 0 {
            return Err(DecodeError::WillRetainWithoutWill);
        }
    }
    Ok(())
}

fn connect_properties<'a>(reader: &mut Reader<'a>) -> Result<Properties<'a>, DecodeError> {
    let properties = Properties::decode(reader, Carrier::Connect)?;
    let has = |property| properties.get(property).is_some();
    if has(Property::AuthenticationData) && !has(Property::AuthenticationMethod) {
        return Err(DecodeError::AuthenticationMethodMissing { packet: PacketType::Connect });
    }
    Ok(properties)
}

fn will<'a>(version: ProtocolVersion, flags: u8, reader: &mut Reader<'a>) -> Result<Will<'a>, DecodeError> {
    let qos = QoS::from_u8(flags >> WILL_QOS_SHIFT & 0b11).ok_or(DecodeError::WillQoS)?;
    let properties = match version {
        ProtocolVersion::V5 => Properties::decode(reader, Carrier::Will)?,
        _ => Properties::EMPTY,
    };
    let topic = reader.topic(Field::WillTopic)?;
    if topic.is_empty() {
        return Err(DecodeError::TopicEmpty { field: Field::WillTopic });
    }
    Ok(Will { qos, retain: flags & WILL_RETAIN != 0, properties, topic, payload: reader.bin(Field::WillPayload)? })
}

/// Appends a CONNECT in the version that it names.
pub fn encode(connect: &Connect<'_>, out: &mut Vec<u8>) {
    let version = connect.version;
    put_packet(out, PacketType::Connect.first_byte(), |out| {
        put_str(
            out,
            match version {
                ProtocolVersion::V31 => "MQIsdp",
                _ => "MQTT",
            },
        );
        out.push(version as u8 | if connect.bridge { BRIDGE } else { 0 });
        out.push(flags(connect));
        out.extend_from_slice(&connect.keep_alive.to_be_bytes());
        put_properties(out, version, connect.properties.raw());
        put_str(out, connect.client_id);
        if let Some(will) = &connect.will {
            put_properties(out, version, will.properties.raw());
            put_str(out, will.topic);
            put_bin(out, will.payload);
        }
        if let Some(username) = connect.username {
            put_str(out, username);
        }
        if let Some(password) = connect.password {
            put_bin(out, password);
        }
    });
}

fn flags(connect: &Connect<'_>) -> u8 {
    let will = match &connect.will {
        None => 0,
        Some(will) => {
            let retain = if will.retain { WILL_RETAIN } else { 0 };
            WILL | (will.qos as u8) << WILL_QOS_SHIFT | retain
        }
    };
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    flag(connect.clean_start, CLEAN_START)
        | will
        | flag(connect.username.is_some(), USER_NAME)
        | flag(connect.password.is_some(), PASSWORD)
}

/// Decodes the body of a CONNACK. Version 3.1 has no Session Present: the byte is unused.
pub fn decode_connack(version: ProtocolVersion, body: &[u8]) -> Result<ConnAck<'_>, DecodeError> {
    let packet = PacketType::ConnAck;
    let mut reader = Reader::new(body);
    let flags = match (reader.u8(Field::ConnectAcknowledgeFlags)?, version) {
        (_, ProtocolVersion::V31) => 0,
        (flags @ 0..=1, _) => flags,
        (flags, _) => return Err(DecodeError::ConnectAcknowledgeFlags { flags }),
    };
    let session_present = flags != 0;
    let code = reader.u8(Field::ReasonCode)?;
    let reason_code = match version {
        ProtocolVersion::V5 => reasons::check(packet, Direction::ToClient, code)?,
        _ => ReasonCode::from_v3_connect_return_code(code).ok_or(DecodeError::ReasonCode { packet, code })?,
    };
    if session_present && reason_code != ReasonCode::Success {
        return Err(DecodeError::SessionPresentInRefusal);
    }
    let properties = match version {
        ProtocolVersion::V5 => Properties::decode(&mut reader, Carrier::ConnAck)?,
        _ => Properties::EMPTY,
    };
    reader.end(packet)?;
    Ok(ConnAck { session_present, reason_code, properties })
}

/// Appends a CONNACK; for version 3 with the return code that the Reason Code becomes.
pub fn encode_connack(version: ProtocolVersion, connack: &ConnAck<'_>, out: &mut Vec<u8>) {
    let session_present = connack.session_present && version != ProtocolVersion::V31;
    put_packet(out, PacketType::ConnAck.first_byte(), |out| {
        out.push(u8::from(session_present));
        out.push(match version {
            ProtocolVersion::V5 => connack.reason_code as u8,
            _ => connack.reason_code.v3_connect_return_code(),
        });
        put_properties(out, version, connack.properties.raw());
    });
}
