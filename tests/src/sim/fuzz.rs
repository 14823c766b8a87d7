//! Fuzz: any bytes to whole connections of two shards; nothing may panic, and nothing may be left.

use millrace_core::codec;
use millrace_core::codec::properties::{Properties, PropertiesBuf, Property};
use millrace_core::packet::{
    Ack, Connect, Disconnect, Packet, PacketId, ProtocolVersion, Publish, QoS, RetainHandling, Subscribe,
    SubscriptionOptions, Unsubscribe, Will,
};
use millrace_core::reason_code::ReasonCode;

use super::Sim;
use super::network::LinkId;
use super::rng::Rng;

/// Feeds what a seed says. Panics with what is wrong.
#[must_use]
pub fn run(seed: u64) -> u64 {
    let mut sim = Sim::empty(seed);
    let mut open: Vec<LinkId> = Vec::new();
    let mut bytes_sent = 0;
    for _ in 0..sim.rng.between(50, 400) {
        if open.len() < 8 && sim.rng.chance(40) {
            let link = sim.network.connect(&mut sim.rng);
            open.push(link);
            if sim.rng.chance(90) {
                let connect = connect(&mut sim.rng);
                bytes_sent += feed(&mut sim, link, &connect);
            }
        }
        if open.is_empty() {
            continue;
        }
        let at = sim.rng.index(open.len());
        let link = open[at];
        let bytes = match sim.rng.below(10) {
            0 => (0..sim.rng.below(40)).map(|_| sim.rng.any() as u8).collect(),
            _ => packet(&mut sim.rng),
        };
        bytes_sent += feed(&mut sim, link, &bytes);
        if sim.rng.chance(70) {
            sim.network.read(link, 1 << 20);
        }
        match sim.rng.below(100) {
            0..3 => sim.network.reset(link),
            3..6 => sim.network.finish(link),
            6..8 => sim.network.vanish(link),
            _ => {}
        }
        if sim.network.links[link].is_over_for_client() || sim.network.links[link].vanished {
            sim.network.finish(link);
            open.swap_remove(at);
        }
        sim.now += sim.rng.pick(&[0, 0, 1, 100, 3000]);
        sim.step_all();
    }
    // Whoever does not read holds a connection as long as it likes; now all of them break.
    for link in 0..sim.network.links.len() {
        sim.network.reset(link);
    }
    sim.network.calm = true;
    sim.expire();
    bytes_sent
}

/// Sends bytes, mostly with something wrong about them.
fn feed(sim: &mut Sim, link: LinkId, bytes: &[u8]) -> u64 {
    let mut bytes = bytes.to_vec();
    while sim.rng.chance(35) && !bytes.is_empty() {
        let at = sim.rng.index(bytes.len());
        match sim.rng.below(6) {
            0 => bytes[at] ^= 1 << sim.rng.below(8),
            1 => bytes[at] = sim.rng.pick(&[0, 1, 0x7F, 0x80, 0xFF]),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, sim.rng.any() as u8),
            4 => bytes.extend_from_within(at..),
            _ => {
                bytes.remove(at);
            }
        }
    }
    let link = &mut sim.network.links[link];
    if !link.reset && !link.up_end && !link.vanished {
        link.up.extend(&bytes);
    }
    bytes.len() as u64
}

fn version(rng: &mut Rng) -> ProtocolVersion {
    rng.pick(&[ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5, ProtocolVersion::V5])
}

fn topic(rng: &mut Rng) -> &'static str {
    rng.pick(&[
        "a",
        "a/b",
        "a/b/c",
        "/",
        "//",
        "$SYS/x",
        "$delayed/1/a",
        "$delayed//",
        "$delayed/99999999999/x",
        "a/#",
        "",
    ])
}

fn filter(rng: &mut Rng) -> &'static str {
    rng.pick(&[
        "a",
        "a/b",
        "+",
        "#",
        "a/#",
        "+/+",
        "a/+/c",
        "$SYS/#",
        "$share/g/a/b",
        "$share/g/#",
        "$share/h/+/b",
        "$queue/a",
        "$queue/#",
        "$share/g",
        "$share//a",
        "$share/g/",
        "$queue/",
        "a#",
        "a+",
        "",
    ])
}

fn properties(rng: &mut Rng) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    let number = rng.pick(&[0, 1, 2, 10, 65_535, u32::MAX]);
    for _ in 0..rng.below(4) {
        match rng.below(14) {
            0 => properties.push_u32(Property::SessionExpiryInterval, number),
            1 => properties.push_u16(Property::ReceiveMaximum, number as u16),
            2 => properties.push_u32(Property::MaximumPacketSize, number),
            3 => properties.push_u16(Property::TopicAliasMaximum, number as u16),
            4 => properties.push_u32(Property::MessageExpiryInterval, number),
            5 => properties.push_u16(Property::TopicAlias, number as u16),
            6 => properties.push_var(Property::SubscriptionIdentifier, number % 268_435_456),
            7 => properties.push_u32(Property::WillDelayInterval, number),
            8 => properties.push_u8(Property::RequestProblemInformation, number as u8),
            9 => properties.push_str(Property::ContentType, "text"),
            10 => properties.push_str(Property::ResponseTopic, topic(rng)),
            11 => properties.push_bin(Property::CorrelationData, &[1, 2, 3]),
            12 => properties.push_u8(Property::PayloadFormatIndicator, number as u8),
            _ => properties.push_pair(Property::UserProperty, "a", "b"),
        };
    }
    properties
}

fn connect(rng: &mut Rng) -> Vec<u8> {
    let (own, wills) = (properties(rng), properties(rng));
    let payload = vec![0xC3; rng.pick(&[0, 1, 100, 70_000])];
    let will = rng.chance(40).then(|| Will {
        qos: QoS::from_u8(rng.below(3) as u8).expect("below 3"),
        retain: rng.chance(30),
        properties: wills.as_properties(),
        topic: topic(rng),
        payload: &payload,
    });
    let connect = Connect {
        version: version(rng),
        bridge: rng.chance(5),
        clean_start: rng.chance(50),
        keep_alive: rng.pick(&[0, 1, 60, 65_535]),
        properties: own.as_properties(),
        client_id: rng.pick(&["", "one", "two", "three", "four"]),
        will,
        username: rng.chance(20).then_some("user"),
        password: rng.chance(20).then_some(b"secret"),
    };
    let mut bytes = Vec::new();
    codec::encode(connect.version, &Packet::Connect(Box::new(connect)), &mut bytes);
    bytes
}

fn packet(rng: &mut Rng) -> Vec<u8> {
    let own = properties(rng);
    let properties = if rng.chance(50) { own.as_properties() } else { Properties::EMPTY };
    let packet_id = PacketId::new(rng.pick(&[1, 2, 3, 65_535])).expect("not 0");
    let qos = QoS::from_u8(rng.below(3) as u8).expect("below 3");
    let payload = vec![0x41; rng.pick(&[0, 1, 10, 5000])];
    let ack = Ack {
        packet_id,
        reason_code: rng.pick(&[ReasonCode::Success, ReasonCode::UnspecifiedError]),
        properties: Properties::EMPTY,
    };
    let options = SubscriptionOptions {
        qos,
        no_local: rng.chance(10),
        retain_as_published: rng.chance(30),
        retain_handling: rng.pick(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]),
    };
    let packet = match rng.below(20) {
        0..8 => Packet::Publish(Publish {
            dup: qos != QoS::AtMostOnce && rng.chance(20),
            qos,
            retain: rng.chance(30),
            topic: topic(rng),
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            properties,
            payload: &payload,
        }),
        8 => Packet::PubAck(ack),
        9 => Packet::PubRec(ack),
        10 => Packet::PubRel(ack),
        11 => Packet::PubComp(ack),
        12..16 => {
            let filters = (0..rng.between(1, 4)).map(|_| (filter(rng), options)).collect();
            Packet::Subscribe(Subscribe { packet_id, properties, filters })
        }
        16 => Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: vec![filter(rng), filter(rng)] }),
        17 => Packet::PingReq,
        18 => return connect(rng),
        _ => Packet::Disconnect(Disconnect {
            reason_code: rng.pick(&[ReasonCode::Success, ReasonCode::DisconnectWithWill]),
            properties,
        }),
    };
    let mut bytes = Vec::new();
    codec::encode(version(rng), &packet, &mut bytes);
    bytes
}
