//! Sessions: what stays when a client goes, what is sent again when it is back, and when a session ends.

use std::time::Duration;

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Connect, Publish, SILENCE, VERSIONS, Version, ack, build, first, property, unique};

const V31: Version = Version::V31;
const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// Session Present as this version can say it: 3.1 has no such bit.
#[track_caller]
fn assert_present(version: Version, said: bool, wanted: bool) {
    assert_eq!(said, wanted && version != V31);
}

#[test]
fn session_present_says_whether_there_was_a_session() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("present", version);
        let resume = Connect::new(version, &id).resume();
        for (connect, wanted) in [
            (resume.clone(), false),
            (resume.clone(), true),
            (resume.clone(), true),
            (Connect::new(version, &id), false),
            (resume.clone(), false),
        ] {
            let (client, answer) = Client::connect_with(broker, &connect);
            assert_present(version, answer.session_present, wanted);
            client.leave();
        }
    }
}

#[test]
fn subscriptions_and_messages_wait_for_an_absent_client() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("absent", version);
        let resume = Connect::new(version, &id).resume();
        let (mut client, _) = Client::connect_with(broker, &resume);
        client.subscribe(&format!("{id}/#"), 2);
        client.leave();
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for number in 0..10_u8 {
            let qos = 1 + number % 2;
            let topic = format!("{id}/{qos}");
            publisher.publish(Publish::new(&topic, number.to_string()).qos(qos, 0));
        }
        let (mut client, answer) = Client::connect_with(broker, &resume);
        assert_present(version, answer.session_present, true);
        let mut last = [None, None, None];
        for _ in 0..10 {
            let delivery = client.expect_publish();
            assert!(!delivery.dup, "it was never sent before");
            let number: u8 = delivery.text().parse().expect("a number");
            let qos = usize::from(delivery.qos);
            assert_eq!(delivery.qos, 1 + number % 2);
            assert!(last[qos].is_none_or(|last| last < number), "out of order");
            last[qos] = Some(number);
            client.acknowledge_among(&delivery);
        }
        // The subscription itself is still there.
        publisher.publish(Publish::new(&format!("{id}/live"), "live"));
        client.expect_payload("live");
    }
}

#[test]
fn a_clean_start_discards_everything() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("clean", version);
        let (mut client, _) = Client::connect_with(broker, &Connect::new(version, &id).resume());
        client.subscribe(&id, 1);
        client.leave();
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "discarded").qos(1, 0));
        let (mut client, answer) = Client::connect_with(broker, &Connect::new(version, &id));
        assert!(!answer.session_present);
        publisher.publish(Publish::new(&id, "not subscribed").qos(1, 0));
        client.expect_nothing();
        client.leave();
        let (mut client, answer) = Client::connect_with(broker, &Connect::new(version, &id).resume());
        assert!(!answer.session_present);
        client.expect_nothing();
    }
}

#[test]
fn a_clean_session_ends_with_its_connection() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("clean-end", version);
        let (mut client, _) = Client::connect_with(broker, &Connect::new(version, &id));
        client.subscribe(&id, 1);
        client.vanish();
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "nobody").qos(1, 0));
        let (mut client, answer) = Client::connect_with(broker, &Connect::new(version, &id).clean(false));
        assert!(!answer.session_present);
        client.expect_nothing();
    }
}

#[test]
fn an_unacknowledged_message_is_sent_again_with_dup_and_its_identifier() {
    let broker = Broker::shared();
    for version in VERSIONS {
        for qos in [1, 2] {
            let id = unique(&format!("again-{qos}"), version);
            let resume = Connect::new(version, &id).resume();
            let (mut client, _) = Client::connect_with(broker, &resume);
            client.subscribe(&id, 2);
            let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
            for payload in ["one", "two", "three"] {
                publisher.publish(Publish::new(&id, payload).qos(qos, 0));
            }
            let first: Vec<_> = (0..3).map(|_| client.expect_publish()).collect();
            client.vanish();
            let (mut client, _) = Client::connect_with(broker, &resume);
            for before in first {
                let delivery = client.expect_payload(before.text());
                assert!(delivery.dup, "it was sent before");
                assert_eq!((delivery.id, delivery.qos), (before.id, before.qos));
                client.acknowledge_among(&delivery);
            }
            client.expect_nothing();
            client.vanish();
            let (mut client, _) = Client::connect_with(broker, &resume);
            client.expect_nothing();
        }
    }
}

#[test]
fn a_pubrel_is_sent_again_and_its_message_is_not() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("pubrel-again", version);
        let resume = Connect::new(version, &id).resume();
        let (mut client, _) = Client::connect_with(broker, &resume);
        client.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "released").qos(2, 0));
        let delivery = client.expect_payload("released");
        client.send(&ack(first::PUBREC, delivery.id));
        client.expect_ack(first::PUBREL, delivery.id);
        client.vanish();
        let (mut client, _) = Client::connect_with(broker, &resume);
        client.expect_ack(first::PUBREL, delivery.id);
        client.send(&ack(first::PUBCOMP, delivery.id));
        client.expect_nothing();
    }
}

#[test]
fn qos_2_from_a_client_stays_exactly_once_over_a_reconnect() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("once-reconnect", version);
        let mut watcher = Client::connect(broker, version, &format!("{id}-watcher"));
        watcher.subscribe(&id, 0);
        let resume = Connect::new(version, &id).resume();
        let (mut client, _) = Client::connect_with(broker, &resume);
        let publish = Publish::new(&id, "once").qos(2, 21);
        client.send(&publish.bytes(version));
        client.expect_ack(first::PUBREC, 21);
        client.vanish();
        let (mut client, _) = Client::connect_with(broker, &resume);
        client.send(&publish.dup().bytes(version));
        client.expect_ack(first::PUBREC, 21);
        client.send(&ack(first::PUBREL, 21));
        client.expect_ack(first::PUBCOMP, 21);
        watcher.expect_payload("once");
        watcher.expect_nothing();
    }
}

#[test]
fn a_session_is_resumed_in_another_version() {
    let broker = Broker::shared();
    for (from, to) in [(V311, V5), (V5, V311)] {
        let id = format!("versions-{from:?}-{to:?}");
        let (mut client, _) = Client::connect_with(broker, &Connect::new(from, &id).resume());
        client.subscribe(&id, 1);
        client.leave();
        let mut publisher = Client::connect(broker, V5, &format!("{id}-publisher"));
        let publish = Publish::new(&id, "kept").property(property::user("a", "b"));
        publisher.publish(publish.qos(1, 0));
        let (mut client, answer) = Client::connect_with(broker, &Connect::new(to, &id).resume());
        assert!(answer.session_present);
        let delivery = client.expect_payload("kept");
        client.acknowledge(&delivery);
    }
}

#[test]
fn qos_0_does_not_wait_for_an_absent_client() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("absent-0", version);
        let resume = Connect::new(version, &id).resume();
        let (mut client, _) = Client::connect_with(broker, &resume);
        client.subscribe(&id, 1);
        client.leave();
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "missed"));
        publisher.publish(Publish::new(&id, "kept").qos(1, 0));
        let (mut client, _) = Client::connect_with(broker, &resume);
        let delivery = client.expect_payload("kept");
        client.acknowledge(&delivery);
        client.expect_nothing();
    }
}

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "no-expiry").clean(false);
    let (mut client, _) = Client::connect_with(broker, &connect);
    client.subscribe("no-expiry", 1);
    client.vanish();
    let (_client, answer) = Client::connect_with(broker, &connect);
    assert!(!answer.session_present);
}

#[test]
fn a_session_lasts_until_its_expiry_has_passed() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "expiry").clean(false).property(property::four(0x11, 2));
    let (mut client, answer) = Client::connect_with(broker, &connect);
    assert!(!answer.session_present);
    client.subscribe("expiry", 1);
    client.vanish();
    let (client, answer) = Client::connect_with(broker, &connect);
    assert!(answer.session_present);
    client.vanish();
    std::thread::sleep(Duration::from_millis(3500));
    let (_client, answer) = Client::connect_with(broker, &connect);
    assert!(!answer.session_present);
}

#[test]
fn a_connected_session_never_expires() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "expiry-live").clean(false).property(property::four(0x11, 1));
    let (client, _) = Client::connect_with(broker, &connect);
    let mut clients = vec![client];
    // A clean session lasts as long as its connection in all versions.
    clients.extend(VERSIONS.map(|version| Client::connect(broker, version, &unique("expiry-live", version))));
    for client in &mut clients {
        client.subscribe("expiry-live", 0);
    }
    std::thread::sleep(Duration::from_millis(2500));
    clients[0].publish(Publish::new("expiry-live", "still here"));
    for client in &mut clients {
        client.expect_payload("still here");
    }
}

#[test]
fn disconnect_changes_the_expiry() {
    let broker = Broker::shared();
    for (at_connect, at_disconnect, kept) in [(100, 0, false), (1, 100, true), (100, 100, true)] {
        let id = format!("expiry-{at_connect}-{at_disconnect}");
        let connect = Connect::new(V5, &id).clean(false).property(property::four(0x11, at_connect));
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.send(&build::disconnect_with(0, &property::four(0x11, at_disconnect)));
        client.expect_close();
        std::thread::sleep(Duration::from_millis(if at_connect == 1 { 2200 } else { 100 }));
        let (_client, answer) = Client::connect_with(broker, &connect);
        assert_eq!(answer.session_present, kept, "{id}");
    }
}

#[test]
fn an_expiry_of_all_ones_is_taken() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "expiry-never").clean(false).property(property::four(0x11, u32::MAX));
    let (client, answer) = Client::connect_with(broker, &connect);
    // A shorter one that the broker grants instead is named.
    let granted = answer.properties.number(0x11);
    assert!(granted.is_none_or(|granted| granted > 3600), "{granted:?}");
    client.vanish();
    let (_client, answer) = Client::connect_with(broker, &connect);
    assert!(answer.session_present);
}

#[test]
fn retained_messages_are_no_part_of_a_session() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained-session", version);
        let mut publisher = Client::connect(broker, version, &id);
        publisher.publish(Publish::new(&id, "stays").qos(1, 0).retain());
        publisher.leave();
        Client::connect(broker, version, &id).leave();
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&id, 0);
        client.expect_payload("stays");
        client.publish(Publish::new(&id, "").retain());
    }
}

#[test]
fn a_message_expires_while_its_client_is_away() {
    let broker = Broker::shared();
    let resume = Connect::new(V5, "expired-away").resume();
    let (mut client, _) = Client::connect_with(broker, &resume);
    client.subscribe("expired-away", 1);
    client.vanish();
    let mut publisher = Client::connect(broker, V5, "expired-away-publisher");
    for (payload, seconds) in [("short", 1), ("long", 100)] {
        let publish = Publish::new("expired-away", payload).property(property::four(2, seconds));
        publisher.publish(publish.qos(1, 0));
    }
    std::thread::sleep(Duration::from_millis(2200));
    let (mut client, _) = Client::connect_with(broker, &resume);
    let delivery = client.expect_payload("long");
    let left = delivery.properties.number(2).expect("a Message Expiry Interval");
    assert!((90..=98).contains(&left), "{left} s are left of 100 after 2");
    client.expect_nothing();
}

#[test]
fn qos_2_is_completed_although_its_message_has_expired() {
    let broker = Broker::shared();
    let mut subscriber = Client::connect(broker, V5, "expired-flight-subscriber");
    subscriber.subscribe("expired-flight", 2);
    let mut publisher = Client::connect(broker, V5, "expired-flight");
    let publish = Publish::new("expired-flight", "short").property(property::four(2, 1)).qos(2, 8);
    publisher.send(&publish.bytes(V5));
    publisher.expect_ack(first::PUBREC, 8);
    std::thread::sleep(Duration::from_millis(2100));
    publisher.send(&ack(first::PUBREL, 8));
    publisher.expect_ack(first::PUBCOMP, 8);
    // A broker that passes it on before PUBREL has started in time and completes as well.
    if let Some(packet) = subscriber.receive_within(SILENCE) {
        let delivery = packet.publish(V5);
        subscriber.acknowledge(&delivery);
    }
    subscriber.expect_nothing();
}

#[test]
fn a_started_message_does_not_expire() {
    let broker = Broker::shared();
    let resume = Connect::new(V5, "started").resume();
    let (mut subscriber, _) = Client::connect_with(broker, &resume);
    subscriber.subscribe("started", 2);
    let mut publisher = Client::connect(broker, V5, "started-publisher");
    for qos in [1, 2] {
        let publish = Publish::new("started", format!("qos {qos}")).property(property::four(2, 1));
        publisher.publish(publish.qos(qos, 0));
        subscriber.expect_payload(&format!("qos {qos}"));
    }
    subscriber.vanish();
    std::thread::sleep(Duration::from_millis(2100));
    let (mut subscriber, _) = Client::connect_with(broker, &resume);
    for qos in [1, 2] {
        let delivery = subscriber.expect_payload(&format!("qos {qos}"));
        assert!(delivery.dup);
        subscriber.acknowledge_among(&delivery);
    }
}

#[test]
fn after_a_refusing_pubrec_the_identifier_is_new() {
    let broker = Broker::shared();
    let mut watcher = Client::connect(broker, V5, "refused-qos2-watcher");
    watcher.subscribe("refused-qos2", 0);
    let mut client = Client::connect(broker, V5, "refused-qos2");
    let bad = Publish::new("refused-qos2", [0xFF]).qos(2, 6).property(property::byte(1, 1));
    client.send(&bad.bytes(V5));
    assert_eq!(client.receive().ack(V5, first::PUBREC).codes, [0x99]);
    assert_eq!(client.publish(Publish::new("refused-qos2", "good").qos(2, 6)), 0);
    watcher.expect_payload("good");
    watcher.expect_nothing();
}

#[test]
fn no_more_than_receive_maximum_is_on_its_way() {
    let broker = Broker::shared();
    for qos in [1, 2] {
        let id = format!("receive-maximum-{qos}");
        let connect = Connect::new(V5, &id).property(property::two(0x21, 2));
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, V5, &format!("{id}-publisher"));
        for number in 0..5 {
            publisher.publish(Publish::new(&id, number.to_string()).qos(qos, 0));
        }
        let zero = client.expect_payload("0");
        let one = client.expect_payload("1");
        client.expect_nothing();
        // All else goes on: QoS 0, pings, subscriptions.
        publisher.publish(Publish::new(&id, "zero"));
        client.expect_payload("zero");
        client.ping();
        client.subscribe(&format!("{id}/more"), 0);
        // Each acknowledgement lets one more come, in order.
        client.acknowledge(&one);
        let two = client.expect_payload("2");
        client.expect_nothing();
        client.acknowledge(&zero);
        let three = client.expect_payload("3");
        client.acknowledge(&two);
        let four = client.expect_payload("4");
        client.acknowledge(&three);
        client.acknowledge(&four);
        client.expect_nothing();
    }
}

#[test]
fn a_refused_delivery_frees_its_place() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "freed").property(property::two(0x21, 1));
    let (mut client, _) = Client::connect_with(broker, &connect);
    client.subscribe("freed", 2);
    let mut publisher = Client::connect(broker, V5, "freed-publisher");
    for number in 0..4 {
        publisher.publish(Publish::new("freed", number.to_string()).qos(2, 0));
    }
    for number in 0..4 {
        let delivery = client.expect_payload(&number.to_string());
        client.expect_nothing();
        client.send(&build::ack_with(first::PUBREC, delivery.id, 0x80));
    }
    client.expect_nothing();
}
