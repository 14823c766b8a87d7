//! Packets of clients as bytes.

use millrace_core::codec;
use millrace_core::codec::properties::Properties;
use millrace_core::packet::{
    Ack, Connect, Disconnect, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe, SubscriptionOptions,
};
use millrace_core::reason_code::ReasonCode;

/// The version that all clients of the benches speak, unless a path says otherwise.
pub const VERSION: ProtocolVersion = ProtocolVersion::V311;

/// A Packet Identifier.
///
/// # Panics
/// If it is 0.
#[must_use]
pub fn id(number: usize) -> PacketId {
    u16::try_from(number).ok().and_then(PacketId::new).expect("benches count from 1 and not far")
}

/// Any packet.
#[must_use]
pub fn bytes(version: ProtocolVersion, packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode(version, packet, &mut out);
    out
}

/// CONNECT with Clean Start.
#[must_use]
pub fn connect(version: ProtocolVersion, client_id: &str) -> Vec<u8> {
    let connect = Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        properties: Properties::EMPTY,
        client_id,
        will: None,
        username: None,
        password: None,
    };
    bytes(version, &Packet::Connect(Box::new(connect)))
}

/// SUBSCRIBE with one filter.
#[must_use]
pub fn subscribe(version: ProtocolVersion, filter: &str, qos: QoS) -> Vec<u8> {
    let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
    let subscribe = Subscribe { packet_id: id(1), properties: Properties::EMPTY, filters: vec![(filter, options)] };
    bytes(version, &Packet::Subscribe(subscribe))
}

/// PUBLISH; the number is its Packet Identifier with QoS 1 and 2.
#[must_use]
pub fn publish(version: ProtocolVersion, topic: &str, qos: QoS, number: usize, payload: &[u8]) -> Vec<u8> {
    let packet_id = (qos != QoS::AtMostOnce).then(|| id(number));
    let publish = Publish { dup: false, qos, retain: false, topic, packet_id, properties: Properties::EMPTY, payload };
    bytes(version, &Packet::Publish(publish))
}

/// DISCONNECT.
#[must_use]
pub fn disconnect(version: ProtocolVersion) -> Vec<u8> {
    let disconnect = Disconnect { reason_code: ReasonCode::Success, properties: Properties::EMPTY };
    bytes(version, &Packet::Disconnect(disconnect))
}

/// What a client answers to the packets that were sent to it: PUBACK or PUBREC to PUBLISH, PUBREL to PUBREC, PUBCOMP to
/// PUBREL.
///
/// # Panics
/// If the bytes are not whole packets.
pub fn answer(version: ProtocolVersion, mut sent: &[u8], answers: &mut Vec<u8>) {
    let ack = |packet_id| Ack { packet_id, reason_code: ReasonCode::Success, properties: Properties::EMPTY };
    while !sent.is_empty() {
        let header = codec::FixedHeader::parse(sent).ok().flatten().expect("shards send whole packets");
        let (packet, rest) = sent.split_at(header.packet_len());
        let packet = codec::decode(version, codec::Direction::ToClient, packet).expect("shards send good packets");
        let answer = match &packet {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => Some(Packet::PubAck(ack(id))),
                (QoS::ExactlyOnce, Some(id)) => Some(Packet::PubRec(ack(id))),
                _ => None,
            },
            Packet::PubRec(received) => Some(Packet::PubRel(ack(received.packet_id))),
            Packet::PubRel(release) => Some(Packet::PubComp(ack(release.packet_id))),
            _ => None,
        };
        if let Some(answer) = answer {
            codec::encode(version, &answer, answers);
        }
        sent = rest;
    }
}
