//! PUBLISH and its acknowledgements: each QoS in both directions, in every pair of versions, in order, exactly once.

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Connect, Publish, SILENCE, VERSIONS, Version, ack, ack_with, first, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

#[test]
fn messages_pass_between_all_versions_with_the_lower_qos() {
    let broker = Broker::shared();
    for from in VERSIONS {
        for to in VERSIONS {
            let id = format!("matrix-{from:?}-{to:?}");
            let mut publisher = Client::connect(broker, from, &format!("{id}-publisher"));
            for granted in 0..3 {
                let topic = format!("{id}/{granted}");
                let mut subscriber = Client::connect(broker, to, &format!("{id}-{granted}"));
                assert_eq!(subscriber.subscribe(&topic, granted), granted);
                for qos in 0..3 {
                    let payload = format!("qos {qos}");
                    assert_eq!(publisher.publish(Publish::new(&topic, &payload).qos(qos, 0)), 0);
                    let delivery = subscriber.expect_payload(&payload);
                    assert_eq!(delivery.qos, qos.min(granted), "{id}: {qos} to {granted}");
                    assert_eq!(delivery.topic, topic);
                    assert!(!delivery.dup && !delivery.retain);
                    subscriber.acknowledge(&delivery);
                }
                subscriber.leave();
            }
        }
    }
}

/// Text of a length, each part of it different.
fn text(len: usize) -> String {
    let mut text: String = (0..len / 6 + 1).map(|place| format!("{place:06}")).collect();
    text.truncate(len);
    text
}

#[test]
fn payloads_of_any_size_arrive_whole_at_everybody() {
    const SIZES: [usize; 12] = [0, 1, 4095, 4096, 4097, 16_300, 16_384, 32_700, 32_768, 65_536, 100_000, 700_000];
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("sizes", version);
        let mut publisher = Client::connect(broker, version, &id);
        let mut subscribers: Vec<Client> = VERSIONS
            .into_iter()
            .flat_map(|theirs| [0, 2].map(|qos| (theirs, qos)))
            .map(|(theirs, qos)| {
                let mut subscriber = Client::connect(broker, theirs, &format!("{id}-{theirs:?}-{qos}"));
                subscriber.subscribe(&id, qos);
                subscriber
            })
            .collect();
        // Nobody reads before all of it has been sent, so that sockets are full and the rest waits.
        for size in SIZES {
            for qos in 0..2 {
                assert_eq!(publisher.publish(Publish::new(&id, text(size)).qos(qos, 0)), 0);
            }
        }
        for subscriber in &mut subscribers {
            for size in SIZES.into_iter().flat_map(|size| [size; 2]) {
                let delivery = subscriber.expect_payload(&text(size));
                subscriber.acknowledge(&delivery);
            }
        }
    }
}

#[test]
fn each_qos_gets_its_acknowledgement_with_its_packet_identifier() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("acks", version);
        let mut client = Client::connect(broker, version, &id);
        for packet_id in [1, 2, 255, 256, 4000, u16::MAX] {
            client.send(&Publish::new(&id, "x").qos(1, packet_id).bytes(version));
            client.expect_ack(first::PUBACK, packet_id);
            client.send(&Publish::new(&id, "x").qos(2, packet_id).bytes(version));
            client.expect_ack(first::PUBREC, packet_id);
            client.send(&ack(first::PUBREL, packet_id));
            client.expect_ack(first::PUBCOMP, packet_id);
        }
        client.send(&Publish::new(&id, "x").bytes(version));
        client.ping();
    }
}

#[test]
fn acknowledgements_come_in_the_order_of_their_packets() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("ack-order", version);
        let mut client = Client::connect(broker, version, &id);
        for qos in [1, 2] {
            let mut bytes = Vec::new();
            for packet_id in 1..=100 {
                bytes.extend(Publish::new(&id, "x").qos(qos, packet_id).bytes(version));
            }
            client.send(&bytes);
            for packet_id in 1..=100 {
                let kind = if qos == 1 { first::PUBACK } else { first::PUBREC };
                client.expect_ack(kind, packet_id);
            }
        }
        let mut bytes = Vec::new();
        for packet_id in 1..=100 {
            bytes.extend(ack(first::PUBREL, packet_id));
        }
        client.send(&bytes);
        for packet_id in 1..=100 {
            client.expect_ack(first::PUBCOMP, packet_id);
        }
    }
}

#[test]
fn a_publish_without_subscribers_is_acknowledged() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "lonely");
    for qos in [1, 2] {
        let code = client.publish(Publish::new("nobody/listens", "x").qos(qos, 0));
        assert!(matches!(code, 0 | 0x10), "{code:#04x}");
    }
}

#[test]
fn qos_2_is_delivered_once_however_often_it_is_sent() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("once", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 0);
        let mut client = Client::connect(broker, version, &id);
        let publish = Publish::new(&id, "once").qos(2, 10);
        client.send(&publish.bytes(version));
        client.expect_ack(first::PUBREC, 10);
        for _ in 0..3 {
            client.send(&publish.clone().dup().bytes(version));
            client.expect_ack(first::PUBREC, 10);
        }
        // A broker may pass it on before or after PUBREL, but once.
        client.send(&ack(first::PUBREL, 10));
        client.expect_ack(first::PUBCOMP, 10);
        subscriber.expect_payload("once");
        subscriber.expect_nothing();
        // From here on the identifier is a new message, whatever DUP says.
        client.send(&publish.dup().bytes(version));
        client.expect_ack(first::PUBREC, 10);
        client.send(&ack(first::PUBREL, 10));
        client.expect_ack(first::PUBCOMP, 10);
        subscriber.expect_payload("once");
        subscriber.expect_nothing();
    }
}

#[test]
fn qos_1_with_the_same_identifier_is_a_new_message_after_its_puback() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("again", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 0);
        let mut client = Client::connect(broker, version, &id);
        let publish = Publish::new(&id, "again").qos(1, 3);
        for bytes in [publish.bytes(version), publish.dup().bytes(version)] {
            client.send(&bytes);
            client.expect_ack(first::PUBACK, 3);
            subscriber.expect_payload("again");
        }
    }
}

#[test]
fn dup_is_not_passed_on() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("dup", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 2);
        let mut client = Client::connect(broker, version, &id);
        for qos in [1, 2] {
            client.publish(Publish::new(&id, "seen before").qos(qos, 0).dup());
            let delivery = subscriber.expect_payload("seen before");
            assert!(!delivery.dup, "DUP says that this packet was sent before");
            subscriber.acknowledge(&delivery);
        }
    }
}

#[test]
fn identifiers_of_unacknowledged_deliveries_differ() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("identifiers", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, version, &id);
        for qos in [1, 2] {
            for _ in 0..20 {
                publisher.publish(Publish::new(&id, "x").qos(qos, 0));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let delivery = subscriber.expect_publish();
            assert!(!delivery.dup);
            assert!(seen.insert(delivery.id), "{} is used twice", delivery.id);
        }
    }
}

#[test]
fn an_identifier_is_free_again_after_its_acknowledgement() {
    let broker = Broker::shared();
    let mut subscriber = Client::connect(broker, V311, "wrap-subscriber");
    subscriber.subscribe("wrap", 1);
    let mut publisher = Client::connect(broker, V311, "wrap");
    // Far more messages than identifiers that are ever in use at once.
    for number in 0..300 {
        publisher.send(&Publish::new("wrap", number.to_string()).bytes(V311));
        publisher.publish(Publish::new("wrap", number.to_string()).qos(1, 0));
        for qos in [0, 1] {
            let delivery = subscriber.expect_payload(&number.to_string());
            assert_eq!(delivery.qos, qos);
            subscriber.acknowledge(&delivery);
        }
    }
}

#[test]
fn pubrel_follows_pubrec_with_the_same_identifier() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("pubrel", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, version, &id);
        publisher.publish(Publish::new(&id, "two steps").qos(2, 0));
        let delivery = subscriber.expect_payload("two steps");
        assert_eq!((delivery.qos, delivery.dup), (2, false));
        subscriber.send(&ack(first::PUBREC, delivery.id));
        subscriber.expect_ack(first::PUBREL, delivery.id);
        // A second PUBREC is answered the same way; the message itself never comes again.
        subscriber.send(&ack(first::PUBREC, delivery.id));
        subscriber.expect_ack(first::PUBREL, delivery.id);
        subscriber.send(&ack(first::PUBCOMP, delivery.id));
        subscriber.expect_nothing();
    }
}

#[test]
fn pubrels_come_in_the_order_of_their_pubrecs() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("pubrel-order", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, version, &id);
        for number in 0..20 {
            publisher.publish(Publish::new(&id, number.to_string()).qos(2, 0));
        }
        let mut deliveries: Vec<_> = (0..20).map(|_| subscriber.expect_publish()).collect();
        // An order of its own, not that of the identifiers.
        deliveries.reverse();
        deliveries.swap(3, 15);
        let pubrecs: Vec<u8> = deliveries.iter().flat_map(|d| ack(first::PUBREC, d.id)).collect();
        subscriber.send(&pubrecs);
        for delivery in &deliveries {
            subscriber.expect_ack(first::PUBREL, delivery.id);
        }
        let pubcomps: Vec<u8> = deliveries.iter().flat_map(|d| ack(first::PUBCOMP, d.id)).collect();
        subscriber.send(&pubcomps);
        subscriber.ping();
    }
}

#[test]
fn unknown_identifiers_in_acknowledgements_do_no_harm() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let mut client = Client::connect(broker, version, &unique("unknown-acks", version));
        client.send(&ack(first::PUBACK, 77));
        client.send(&ack(first::PUBCOMP, 77));
        client.ping();
        client.send(&ack(first::PUBREL, 78));
        let answer = client.receive().ack(version, first::PUBCOMP);
        assert_eq!(answer.id, 78);
        if version == V5 {
            assert_eq!(answer.codes, [0x92]);
        }
    }
    let mut client = Client::connect(broker, V5, "unknown-pubrec");
    client.send(&ack(first::PUBREC, 79));
    let answer = client.receive().ack(V5, first::PUBREL);
    assert_eq!((answer.id, answer.codes), (79, vec![0x92]));
    client.ping();
}

#[test]
fn a_refusing_acknowledgement_ends_a_delivery() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "refusing").resume();
    let (mut subscriber, _) = Client::connect_with(broker, &connect);
    subscriber.subscribe("refusing", 2);
    let mut publisher = Client::connect(broker, V5, "refusing-publisher");
    for (qos, kind) in [(1, first::PUBACK), (2, first::PUBREC)] {
        publisher.publish(Publish::new("refusing", "unwanted").qos(qos, 0));
        let delivery = subscriber.expect_payload("unwanted");
        subscriber.send(&ack_with(kind, delivery.id, 0x83));
    }
    // No PUBREL comes for what was refused, and nothing is sent again later.
    subscriber.ping();
    subscriber.vanish();
    let (mut subscriber, answer) = Client::connect_with(broker, &connect);
    assert!(answer.session_present);
    subscriber.expect_nothing();
}

#[test]
fn nothing_is_sent_again_within_a_connection() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("patience", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, version, &id);
        for qos in [1, 2] {
            publisher.publish(Publish::new(&id, "wait").qos(qos, 0));
            subscriber.expect_payload("wait");
        }
        assert!(subscriber.receive_within(4 * SILENCE).is_none());
    }
}

#[test]
fn order_is_kept_for_each_qos() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("order", version);
        let mut subscribers: Vec<Client> = (0..3)
            .map(|number| {
                let mut client = Client::connect(broker, version, &format!("{id}-{number}"));
                client.subscribe(&format!("{id}/#"), 2);
                client
            })
            .collect();
        for qos in 0..3 {
            let topic = format!("{id}/{qos}");
            let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
            let mut bytes = Vec::new();
            for number in 1..=300 {
                let publish = Publish::new(&topic, number.to_string());
                bytes.extend(publish.qos(qos, number).bytes(version));
            }
            for number in 1..=300 {
                if qos == 2 {
                    bytes.extend(ack(first::PUBREL, number));
                }
            }
            publisher.send(&bytes);
            for subscriber in &mut subscribers {
                for number in 1..=300 {
                    let delivery = subscriber.expect_payload(&number.to_string());
                    assert_eq!((delivery.qos, delivery.topic.as_str()), (qos, topic.as_str()));
                    subscriber.acknowledge_among(&delivery);
                }
            }
        }
    }
}

#[test]
fn payloads_of_all_sizes_arrive_whole() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("sizes", version);
        let mut subscriber = Client::connect(broker, version, &format!("{id}-subscriber"));
        subscriber.subscribe(&id, 1);
        let mut publisher = Client::connect(broker, version, &id);
        for size in [0, 1, 100, 127, 128, 2000, 2048, 4096, 16_383, 16_384, 65_536, 300_000, 1_000_000] {
            let payload: Vec<u8> = (0..size).map(|at: u32| at.to_le_bytes()[0] ^ 0x5A).collect();
            publisher.publish(Publish::new(&id, &payload).qos(1, 0));
            let delivery = subscriber.expect_publish();
            assert!(delivery.payload == payload, "{size} bytes came as {}", delivery.payload.len());
            subscriber.acknowledge(&delivery);
        }
    }
}

#[test]
fn packets_may_come_in_pieces_of_one_byte() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("pieces", version);
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&id, 0);
        let mut bytes = Publish::new(&id, "first").qos(1, 1).bytes(version);
        bytes.extend(Publish::new(&id, "second").bytes(version));
        for byte in bytes {
            client.send(&[byte]);
        }
        let mut payloads = Vec::new();
        for _ in 0..3 {
            let packet = client.receive();
            if packet.kind() == 3 {
                payloads.push(packet.publish(version).text().to_owned());
            }
        }
        assert_eq!(payloads, ["first", "second"]);
    }
}

#[test]
fn a_client_never_writes_to_sys() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("sys-writer", version);
        let mut watcher = Client::connect(broker, version, &format!("{id}-watcher"));
        watcher.subscribe(&format!("$SYS/{id}"), 0);
        let mut client = Client::connect(broker, version, &id);
        client.send(&Publish::new(&format!("$SYS/{id}"), "forged").qos(1, 1).bytes(version));
        // Acknowledged or closed; version 5 says why.
        if let Some(packet) = client.receive_or_close() {
            match packet.kind() {
                4 => {
                    let answer = packet.ack(version, first::PUBACK);
                    assert_eq!(answer.id, 1);
                    assert!(version != V5 || matches!(answer.codes[0], 0x87 | 0x90), "{answer:?}");
                }
                _ => assert!(matches!(packet.disconnect().0, 0x87 | 0x90), "{packet:02x?}"),
            }
        }
        watcher.expect_nothing();
    }
}
