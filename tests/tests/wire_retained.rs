//! Retained messages: who gets which, with which flag, and when they go.

use std::time::Duration;

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Publish, VERSIONS, Version, property, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

fn retain(client: &mut Client, topic: &str, payload: &str, qos: u8) {
    // With QoS 0 a PINGRESP says that the broker has read it.
    client.publish(Publish::new(topic, payload).qos(qos, 0).retain());
    if qos == 0 {
        client.ping();
    }
}

#[test]
fn a_new_subscription_gets_the_last_retained_message() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained", version);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for qos in 0..3 {
            let topic = format!("{id}/{qos}");
            retain(&mut publisher, &topic, "old", 1);
            retain(&mut publisher, &topic, "new", qos);
        }
        // It outlives the session that published it.
        publisher.leave();
        for (number, granted) in [0, 1, 2].into_iter().enumerate() {
            let mut client = Client::connect(broker, version, &format!("{id}-{number}"));
            for qos in 0..3 {
                client.subscribe(&format!("{id}/{qos}"), granted);
                let delivery = client.expect_payload("new");
                assert!(delivery.retain && !delivery.dup);
                assert_eq!(delivery.qos, granted.min(qos));
                client.acknowledge(&delivery);
            }
            client.expect_nothing();
        }
    }
}

#[test]
fn a_wildcard_subscription_gets_every_matching_retained_message() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained-wild", version);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for topic in ["a", "a/b", "a/b/c", "d", "d/e"] {
            retain(&mut publisher, &format!("{id}/{topic}"), topic, 1);
        }
        for (filter, wanted) in [
            ("#", vec!["a", "a/b", "a/b/c", "d", "d/e"]),
            ("+", vec!["a", "d"]),
            ("a/#", vec!["a", "a/b", "a/b/c"]),
            ("+/+", vec!["a/b", "d/e"]),
            ("+/b/+", vec!["a/b/c"]),
            ("x/#", vec![]),
        ] {
            let mut client = Client::connect(broker, version, &id);
            client.subscribe(&format!("{id}/{filter}"), 0);
            let mut got: Vec<String> = (0..wanted.len())
                .map(|_| {
                    let delivery = client.expect_publish();
                    assert!(delivery.retain);
                    delivery.text().to_owned()
                })
                .collect();
            got.sort();
            assert_eq!(got, wanted, "{filter}");
            client.expect_nothing();
        }
    }
}

#[test]
fn a_live_message_has_retain_cleared() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained-live", version);
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&id, 1);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for qos in 0..2 {
            retain(&mut publisher, &id, "live", qos);
            let delivery = client.expect_payload("live");
            assert!(!delivery.retain);
            client.acknowledge(&delivery);
        }
    }
}

#[test]
fn an_empty_payload_removes_a_retained_message() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained-removed", version);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        retain(&mut publisher, &id, "kept", 1);
        let mut present = Client::connect(broker, version, &format!("{id}-present"));
        present.subscribe(&id, 0);
        present.expect_payload("kept");
        retain(&mut publisher, &id, "", 1);
        // Those who are there get it as any message.
        let delivery = present.expect_payload("");
        assert!(!delivery.retain);
        let mut later = Client::connect(broker, version, &format!("{id}-later"));
        later.subscribe(&id, 0);
        later.expect_nothing();
    }
}

#[test]
fn a_message_without_retain_leaves_the_retained_one_alone() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained-alone", version);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        retain(&mut publisher, &id, "kept", 1);
        publisher.publish(Publish::new(&id, "passing").qos(1, 0));
        publisher.publish(Publish::new(&id, "").qos(1, 0));
        publisher.publish(Publish::new(&format!("{id}/none"), "passing").qos(1, 0));
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&format!("{id}/#"), 0);
        assert!(client.expect_payload("kept").retain);
        client.expect_nothing();
    }
}

#[test]
fn subscribing_again_sends_retained_messages_again() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("retained-again", version);
        let mut client = Client::connect(broker, version, &id);
        retain(&mut client, &id, "again", 1);
        for _ in 0..3 {
            client.subscribe(&id, 0);
            assert!(client.expect_payload("again").retain);
        }
        client.expect_nothing();
    }
}

#[test]
fn retain_handling_decides_what_a_subscription_gets() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "retain-handling");
    retain(&mut client, "retain-handling", "kept", 1);
    // 1: only when the subscription is new.
    client.subscribe("retain-handling", 0x10);
    client.expect_payload("kept");
    client.subscribe("retain-handling", 0x10);
    client.expect_nothing();
    // 0: each time.
    client.subscribe("retain-handling", 0x00);
    client.expect_payload("kept");
    // 2: never.
    client.subscribe("retain-handling", 0x20);
    client.expect_nothing();
    client.unsubscribe(&["retain-handling"]);
    client.subscribe("retain-handling", 0x20);
    client.expect_nothing();
    client.unsubscribe(&["retain-handling"]);
    client.subscribe("retain-handling", 0x10);
    client.expect_payload("kept");
}

#[test]
fn retain_as_published_keeps_the_flag_of_live_messages() {
    let broker = Broker::shared();
    let mut kept = Client::connect(broker, V5, "as-published");
    kept.subscribe("as-published", 0x08);
    let mut cleared = Client::connect(broker, V5, "as-usual");
    cleared.subscribe("as-published", 0x00);
    let mut publisher = Client::connect(broker, V5, "as-published-publisher");
    publisher.publish(Publish::new("as-published", "flagged").retain());
    publisher.publish(Publish::new("as-published", "plain"));
    assert!(kept.expect_payload("flagged").retain);
    assert!(!kept.expect_payload("plain").retain);
    assert!(!cleared.expect_payload("flagged").retain);
    assert!(!cleared.expect_payload("plain").retain);
}

#[test]
fn a_retained_message_carries_the_subscription_identifier() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "retained-identifier");
    retain(&mut client, "retained-identifier", "kept", 0);
    client.subscribe_all(&property::var(0x0B, 42), &[("retained-identifier", 0)]);
    let delivery = client.expect_payload("kept");
    assert_eq!(delivery.properties.numbers(0x0B), [42]);
}

#[test]
fn a_retained_message_keeps_its_properties() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "retained-properties");
    let publish = Publish::new("retained-properties", "kept")
        .retain()
        .property(property::string(0x03, "text/plain"))
        .property(property::user("a", "1"))
        .property(property::user("a", "2"));
    client.publish(publish.qos(1, 0));
    client.subscribe("retained-properties", 0);
    let delivery = client.expect_payload("kept");
    assert_eq!(delivery.properties.text(0x03), Some("text/plain"));
    assert_eq!(delivery.properties.user(), [("a", "1"), ("a", "2")]);
}

#[test]
fn a_retained_message_expires() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "retained-expiry");
    for (topic, seconds) in [("retained-expiry/short", 1), ("retained-expiry/long", 100)] {
        let publish = Publish::new(topic, topic).retain().property(property::four(2, seconds));
        client.publish(publish.qos(1, 0));
    }
    std::thread::sleep(Duration::from_millis(2100));
    client.subscribe("retained-expiry/#", 0);
    let delivery = client.expect_payload("retained-expiry/long");
    let left = delivery.properties.number(2).expect("a Message Expiry Interval");
    assert!((90..=98).contains(&left), "{left} s are left of 100 after 2");
    client.expect_nothing();
}

#[test]
fn retained_messages_in_great_number_all_arrive() {
    const COUNT: usize = 3000;
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V311, "retained-flood-publisher");
    let mut bytes = Vec::new();
    for number in 0..COUNT {
        let topic = format!("retained-flood/{}/{number}", number % 10);
        bytes.extend(Publish::new(&topic, number.to_string()).retain().bytes(V311));
    }
    publisher.send(&bytes);
    publisher.ping();
    let mut client = Client::connect(broker, V311, "retained-flood");
    client.subscribe("retained-flood/#", 1);
    let mut seen = vec![false; COUNT];
    for _ in 0..COUNT {
        let delivery = client.expect_publish();
        assert!(delivery.retain);
        let number: usize = delivery.text().parse().expect("a number");
        assert!(!seen[number], "{number} came twice");
        seen[number] = true;
    }
    client.expect_nothing();
    // Leave the shared broker as it was.
    let mut bytes = Vec::new();
    for number in 0..COUNT {
        let topic = format!("retained-flood/{}/{number}", number % 10);
        bytes.extend(Publish::new(&topic, "").retain().bytes(V311));
    }
    publisher.send(&bytes);
    publisher.ping();
}
