//! Every limit is named in CONNACK where the protocol can, enforced, and costs nobody else.

use std::io::Write as _;
use std::time::{Duration, Instant};

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, Will, ack, build, first, property, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

#[test]
fn a_packet_over_maximum_packet_size_is_refused_at_its_header() {
    let mut broker = Setup::new().set("mqtt.max_packet_size=1KiB").start();
    for version in VERSIONS {
        let (mut client, answer) = Client::connect_with(&broker, &Connect::new(version, "size"));
        if version == V5 {
            assert_eq!(answer.properties.number(0x27), Some(1024));
        }
        // Exactly the limit passes, the fixed header included.
        let sized = |total: usize| {
            let head = Publish::new("size", vec![b'x'; 200]).qos(1, 1).bytes(version).len() - 200;
            let bytes = Publish::new("size", vec![b'x'; total - head]).qos(1, 1).bytes(version);
            assert_eq!(bytes.len(), total);
            bytes
        };
        client.send(&sized(1024));
        client.expect_ack(first::PUBACK, 1);
        client.send(&sized(1025));
        client.expect_refusal(&[0x95]);
        let mut client = Client::connect(&broker, version, "size");
        // Refused when the length is known: the bytes themselves never come.
        client.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        client.expect_refusal(&[0x95]);
    }
    broker.assert_alive();
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let broker = Setup::new().set("mqtt.max_packet_size=255MiB").start();
    let before = broker.resident_bytes();
    let mut clients: Vec<Client> = (0..50)
        .map(|number| {
            let mut client = Client::connect(&broker, V311, &format!("claim-{number}"));
            client.send(&[0x30, 0x80, 0x80, 0x80, 0x70, 0, 1, b'a']);
            client
        })
        .collect();
    let mut other = Client::connect(&broker, V311, "claim-other");
    other.ping();
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for 50 claims of 234 MB");
    clients.clear();
}

#[test]
fn a_large_first_packet_is_refused() {
    let broker = Setup::new().set("limits.connect_bytes=4KiB").start();
    for first in [0x10, 0x30] {
        let mut client = Client::open(&broker, V311);
        client.send(&[first, 0x80, 0x80, 0x80, 0x70]);
        assert!(!matches!(client.expect_end(), Some(0)));
    }
    let connect = Connect::new(V311, "large-connect").will(Will::new("w", &"x".repeat(5000)));
    assert_ne!(Client::refused(&broker, V311, &connect.bytes()), Some(0));
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let broker = Setup::new().set("limits.connect_timeout=1s").start();
    let begun = Instant::now();
    let mut silent = Client::open(&broker, V311);
    let mut slow = Client::open(&broker, V311);
    let connect = Connect::new(V311, "slow").bytes();
    // One byte now and then does not buy more time.
    slow.send(&connect[..1]);
    std::thread::sleep(Duration::from_millis(600));
    slow.send_perhaps(&connect[1..2]);
    assert_ne!(silent.expect_end(), Some(0));
    assert_ne!(slow.expect_end(), Some(0));
    let lasted = begun.elapsed();
    assert!(lasted > Duration::from_millis(900) && lasted < Duration::from_secs(6), "{lasted:?}");
}

#[test]
fn more_than_receive_maximum_unfinished_messages_are_refused() {
    let broker = Setup::new().set("mqtt.receive_maximum=3").start();
    let (mut client, answer) = Client::connect_with(&broker, &Connect::new(V5, "quota"));
    assert_eq!(answer.properties.number(0x21), Some(3));
    for id in 1..=3 {
        client.send(&Publish::new("quota", "x").qos(2, id).bytes(V5));
        client.expect_ack(first::PUBREC, id);
    }
    // All else goes on while the quota is used up, and what is finished makes room.
    client.ping();
    client.subscribe("quota/other", 0);
    client.send(&ack(first::PUBREL, 1));
    client.expect_ack(first::PUBCOMP, 1);
    client.send(&Publish::new("quota", "x").qos(2, 4).bytes(V5));
    client.expect_ack(first::PUBREC, 4);
    client.send(&Publish::new("quota", "x").qos(2, 5).bytes(V5));
    client.expect_disconnect(0x93);
}

#[test]
fn maximum_qos_is_told_and_held() {
    let broker = Setup::new().set("mqtt.maximum_qos=1").start();
    let (mut client, answer) = Client::connect_with(&broker, &Connect::new(V5, "max-qos"));
    assert_eq!(answer.properties.number(0x24), Some(1));
    // Any QoS may be subscribed.
    let granted = client.subscribe("max-qos", 2);
    assert!(granted <= 2, "{granted:#04x}");
    let mut publisher = Client::connect(&broker, V5, "max-qos-publisher");
    publisher.publish(Publish::new("max-qos", "one").qos(1, 0));
    let delivery = client.expect_payload("one");
    client.acknowledge(&delivery);
    client.send(&Publish::new("max-qos", "two").qos(2, 5).bytes(V5));
    client.expect_disconnect(0x9B);
    let connect = Connect::new(V5, "max-qos-will").will(Will::new("will", "x").qos(2));
    assert_eq!(Client::refused(&broker, V5, &connect.bytes()), Some(0x9B));
}

#[test]
fn retained_messages_may_be_switched_off() {
    let broker = Setup::new().set("mqtt.retain_available=false").start();
    let (mut client, answer) = Client::connect_with(&broker, &Connect::new(V5, "no-retain"));
    assert_eq!(answer.properties.number(0x25), Some(0));
    client.send(&Publish::new("no-retain", "x").retain().bytes(V5));
    client.expect_disconnect(0x9A);
    let connect = Connect::new(V5, "no-retain-will").will(Will::new("will", "x").retain());
    assert_eq!(Client::refused(&broker, V5, &connect.bytes()), Some(0x9A));
}

#[test]
fn wildcards_and_shared_subscriptions_may_be_switched_off() {
    let broker = Setup::new()
        .set("mqtt.wildcard_subscription_available=false")
        .set("mqtt.shared_subscription_available=false")
        .start();
    for (filter, property, code) in [("off/#", 0x28, 0xA2), ("off/+", 0x28, 0xA2), ("$share/g/off", 0x2A, 0x9E)] {
        let (mut client, answer) = Client::connect_with(&broker, &Connect::new(V5, "off"));
        assert_eq!(answer.properties.number(property), Some(0));
        client.send(&build::subscribe(V5, 1, &[], &[(filter, 0)]));
        let packet = client.receive();
        let said = match packet.first {
            0x90 => packet.suback(V5, 0x90).codes[0],
            _ => packet.disconnect().0,
        };
        assert_eq!(said, code, "{filter}");
        let mut client = Client::connect(&broker, V311, "off-v3");
        client.send(&build::subscribe(V311, 1, &[], &[(filter, 0)]));
        if let Some(packet) = client.receive_or_close() {
            assert_eq!(packet.suback(V311, 0x90).codes, [0x80], "{filter}");
        }
    }
}

#[test]
fn the_longest_keep_alive_is_told_and_used() {
    let broker = Setup::new().set("mqtt.max_keep_alive=1").start();
    for asked in [0, 60] {
        let connect = Connect::new(V5, "server-keep-alive").keep_alive(asked);
        let (mut client, answer) = Client::connect_with(&broker, &connect);
        assert_eq!(answer.properties.number(0x13), Some(1), "asked for {asked}");
        if asked != 0 {
            let begun = Instant::now();
            client.expect_disconnect(0x8D);
            assert!(begun.elapsed() < Duration::from_secs(6));
        }
    }
}

#[test]
fn client_identifiers_over_the_limit_are_refused_by_name() {
    let broker = Setup::new().set("mqtt.max_client_id_length=30").start();
    for version in VERSIONS {
        Client::connect(&broker, version, &"a".repeat(23)).leave();
        let connect = Connect::new(version, &"a".repeat(31));
        let code = if version == V5 { 0x85 } else { 2 };
        assert_eq!(Client::refused(&broker, version, &connect.bytes()), Some(code));
    }
}

#[test]
fn topics_over_the_limits_are_refused() {
    let broker = Setup::new().set("mqtt.max_topic_levels=8").set("mqtt.max_topic_length=100").start();
    let mut client = Client::connect(&broker, V5, "topic-limits");
    let deep = "a/".repeat(8);
    let long = "a".repeat(101);
    for filter in [deep.as_str(), long.as_str()] {
        let answer = client.subscribe_all(&[], &[(filter, 0)]);
        assert!(answer.codes[0] >= 0x80, "{filter}");
    }
    assert_eq!(client.subscribe(&"a".repeat(100), 0), 0);
    assert_eq!(client.subscribe("1/2/3/4/5/6/7/8", 0), 0);
    for topic in [deep.as_str(), long.as_str()] {
        let mut client = Client::connect(&broker, V5, "topic-limits");
        client.send(&Publish::new(topic, "x").qos(1, 1).bytes(V5));
        let packet = client.receive();
        let code = match packet.kind() {
            4 => packet.ack(V5, first::PUBACK).codes[0],
            _ => packet.disconnect().0,
        };
        assert!(matches!(code, 0x90 | 0x95 | 0x97), "{code:#04x}");
    }
}

#[test]
fn a_topic_of_65400_slashes_harms_nobody() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let mut other = Client::connect(broker, version, &unique("slashes-other", version));
        let mut client = Client::connect(broker, version, &unique("slashes", version));
        let topic = "/".repeat(65_400);
        client.send_perhaps(&build::subscribe(version, 1, &[], &[(&topic, 0)]));
        client.send_perhaps(&Publish::new(&topic, "x").bytes(version));
        other.ping();
    }
}

#[test]
fn subscriptions_over_the_limit_are_refused_by_name() {
    let broker = Setup::new().set("sessions.max_subscriptions=3").start();
    let mut client = Client::connect(&broker, V5, "many-subscriptions");
    for number in 0..3 {
        assert_eq!(client.subscribe(&format!("many/{number}"), 0), 0);
    }
    assert_eq!(client.subscribe("many/3", 0), 0x97);
    // One that it has may be changed, and one that goes makes room.
    assert_eq!(client.subscribe("many/0", 1), 1);
    client.unsubscribe(&["many/1"]);
    assert_eq!(client.subscribe("many/3", 0), 0);
}

#[test]
fn a_queue_holds_its_limit_and_the_oldest_go() {
    let broker = Setup::new().set("sessions.queue_messages=10").start();
    let resume = Connect::new(V5, "short-queue").resume();
    let (mut client, _) = Client::connect_with(&broker, &resume);
    client.subscribe("short-queue", 1);
    client.vanish();
    let mut publisher = Client::connect(&broker, V5, "short-queue-publisher");
    for number in 0..30 {
        publisher.publish(Publish::new("short-queue", number.to_string()).qos(1, 0));
    }
    let (mut client, _) = Client::connect_with(&broker, &resume);
    for number in 20..30 {
        let delivery = client.expect_payload(&number.to_string());
        client.acknowledge(&delivery);
    }
    client.expect_nothing();
}

#[test]
fn a_queue_may_drop_the_newest_instead() {
    let broker = Setup::new().set("sessions.queue_messages=10").set("sessions.queue_full=drop_newest").start();
    let resume = Connect::new(V311, "newest").resume();
    let (mut client, _) = Client::connect_with(&broker, &resume);
    client.subscribe("newest", 1);
    client.vanish();
    let mut publisher = Client::connect(&broker, V311, "newest-publisher");
    for number in 0..30 {
        publisher.publish(Publish::new("newest", number.to_string()).qos(1, 0));
    }
    let (mut client, _) = Client::connect_with(&broker, &resume);
    for number in 0..10 {
        let delivery = client.expect_payload(&number.to_string());
        client.acknowledge(&delivery);
    }
    client.expect_nothing();
}

#[test]
fn connections_over_the_limit_are_refused_by_name() {
    let broker = Setup::new().set("listeners.default.max_connections=4").set("shards=1").start();
    let clients: Vec<Client> = (0..4).map(|number| Client::connect(&broker, V5, &format!("crowd-{number}"))).collect();
    let code = Client::refused(&broker, V5, &Connect::new(V5, "crowd-4").bytes());
    assert!(matches!(code, None | Some(0x89 | 0x97)), "{code:?}");
    drop(clients);
    // Those who left make room.
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let mut client = Client::open(&broker, V5);
        client.send_perhaps(&Connect::new(V5, "crowd-5").bytes());
        if let Some(packet) = client.receive_or_close()
            && packet.connack(V5).code == 0
        {
            break;
        }
        assert!(Instant::now() < until, "no room after the others left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_client_that_reads_nothing_holds_bounded_memory_and_stops_nobody() {
    let mut broker = Setup::new().set("sessions.output_bytes=256KiB").start();
    let mut stuck = Client::connect(&broker, V311, "stuck");
    stuck.subscribe("stuck", 0);
    let mut reader = Client::connect(&broker, V311, "reader");
    reader.subscribe("stuck", 0);
    let mut publisher = Client::connect(&broker, V311, "stuck-publisher");
    let payload = "x".repeat(16 * 1024);
    publisher.publish(Publish::new("stuck", &payload).qos(1, 0));
    reader.expect_publish();
    let before = broker.resident_bytes();
    for _ in 0..4000 {
        publisher.send(&Publish::new("stuck", &payload).bytes(V311));
        reader.expect_publish();
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for one client that does not read");
    broker.assert_alive();
}

#[test]
fn a_slow_reader_gets_its_bytes_whole_and_in_order() {
    let broker = Broker::shared();
    let mut slow = Client::connect(broker, V311, "slow-reader");
    slow.subscribe("slow-reader", 1);
    let mut publisher = Client::connect(broker, V311, "slow-reader-publisher");
    // More than both socket buffers hold, sent before the first byte is read.
    let sizes: Vec<usize> = (0..60).map(|number| 1 + number * 997 % 30_000).collect();
    for (number, size) in sizes.iter().enumerate() {
        let mut payload = vec![u8::try_from(number).expect("60 messages"); *size];
        payload[0] = 0;
        publisher.publish(Publish::new("slow-reader", payload).qos(1, 0));
    }
    for (number, size) in sizes.iter().enumerate() {
        let delivery = slow.expect_publish();
        assert_eq!(delivery.payload.len(), *size, "message {number}");
        assert!(delivery.payload[1..].iter().all(|byte| usize::from(*byte) == number));
        slow.acknowledge(&delivery);
    }
}

#[test]
fn a_flood_of_half_packets_leaves_nothing_behind() {
    let mut broker = Setup::new().set("shards=2").start();
    let warm = |count: usize| {
        for number in 0..count {
            let mut client = Client::open(&broker, V311);
            let bytes = Connect::new(V311, "flood").bytes();
            let _ = client.stream().write_all(&bytes[..1 + number % bytes.len()]);
            if number % 3 == 0 {
                client.send_perhaps(&[0xFF; 7]);
            }
            client.vanish();
        }
    };
    warm(2000);
    std::thread::sleep(Duration::from_millis(500));
    let (descriptors, memory) = (broker.descriptors(), broker.resident_bytes());
    warm(2000);
    let until = Instant::now() + Duration::from_secs(8);
    while broker.descriptors() > descriptors + 8 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(broker.descriptors() <= descriptors + 8, "{} of {descriptors}", broker.descriptors());
    let grown = broker.resident_bytes().saturating_sub(memory);
    // Slots that were never used take their memory the first time, some 500 bytes each.
    assert!(grown < 6 << 20, "{grown} bytes stay of 2000 broken connections");
    Client::connect(&broker, V5, "after-flood").ping();
    broker.assert_alive();
}

#[test]
fn properties_in_great_number_are_refused_or_cheap() {
    let broker = Broker::shared();
    let mut other = Client::connect(broker, V5, "properties-other");
    let mut client = Client::connect(broker, V5, "properties-flood");
    let mut publish = Publish::new("properties-flood", "x").qos(1, 1);
    for _ in 0..20_000 {
        publish = publish.property(property::user("a", "b"));
    }
    let begun = Instant::now();
    client.send_perhaps(&publish.bytes(V5));
    let _ = client.receive_or_close();
    other.ping();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
