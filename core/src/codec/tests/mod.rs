//! What holds for every packet: golden bytes, round trips, and no harm from any bytes.

mod fuzz;
mod golden;
mod hostile;
mod round_trip;

use crate::codec::{DecodeError, Direction, FixedHeader, decode, encode};
use crate::packet::{Packet, PacketId, ProtocolVersion};

const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];
const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not 0")
}

fn encoded(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(version, packet, &mut out);
    out
}

/// A packet with this first byte, and the Remaining Length that the body asks for.
fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::codec::wire::put_packet(&mut out, first, |out| out.extend_from_slice(body));
    out
}

/// Decodes as the server does.
fn receive(version: ProtocolVersion, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    decode(version, Direction::ToServer, bytes)
}

fn body(packet: &[u8]) -> &[u8] {
    let header = FixedHeader::parse(packet).expect("legal header").expect("whole header");
    &packet[usize::from(header.header_len)..]
}
