//! SUBSCRIBE and UNSUBSCRIBE: what matches, what is granted, what overlaps, what ends.

use std::time::Duration;

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{Client, Publish, VERSIONS, Version, ack, build, first, property, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

#[test]
fn suback_has_a_code_for_each_filter_in_order() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("suback", version);
        let mut client = Client::connect(broker, version, &id);
        let filters = [("a", 2), ("b/+", 0), ("c/#", 1), ("#", 2), ("d", 0)];
        let filters: Vec<(String, u8)> = filters.iter().map(|(filter, qos)| (format!("{id}/{filter}"), *qos)).collect();
        let filters: Vec<(&str, u8)> = filters.iter().map(|(f, q)| (f.as_str(), *q)).collect();
        client.send(&build::subscribe(version, 4711, &[], &filters));
        let answer = client.receive().suback(version, 0x90);
        assert_eq!(answer.id, 4711);
        assert_eq!(answer.codes, [2, 0, 1, 2, 0]);
    }
}

#[test]
fn one_bad_filter_does_not_spoil_the_others() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "mixed-filters");
    let answer = client.subscribe_all(&[], &[("mixed/a", 1), ("$share//x", 1), ("mixed/b", 2)]);
    assert_eq!(answer.codes.len(), 3);
    assert_eq!((answer.codes[0], answer.codes[2]), (1, 2));
    assert!(answer.codes[1] >= 0x80);
    client.publish(Publish::new("mixed/b", "served"));
    client.expect_payload("served");
}

#[test]
fn filters_match_as_the_specification_says() {
    let cases: &[(&str, &str, bool)] = &[
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/#", "sports", false),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("+", "finance", true),
        ("+/tennis/#", "sport/tennis/x/y", true),
        ("sport/+/player1", "sport/tennis/player1", true),
        ("sport/+/player1", "sport//player1", true),
        ("a//b", "a//b", true),
        ("a/+/b", "a//b", true),
        ("a//b", "a/b", false),
        ("/a", "a", false),
        ("a", "/a", false),
        ("a/", "a", false),
        ("a", "a/", false),
        ("ACCOUNTS", "Accounts", false),
        ("a b/ c", "a b/ c", true),
        ("café", "cafe\u{301}", false),
        ("🔑/+", "🔑/x", true),
        ("a/b/c/d/e/f/g/h/#", "a/b/c/d/e/f/g/h", true),
    ];
    // A broker of its own, since these topics and filters meet those of other tests.
    let broker = Broker::start();
    let mut publisher = Client::connect(&broker, V311, "match-publisher");
    let mut client = Client::connect(&broker, V5, "match");
    assert_eq!(client.subscribe("match/end", 0), 0);
    for (filter, topic, matches) in cases {
        assert_eq!(client.subscribe(filter, 0), 0, "{filter:?}");
        let payload = format!("{filter} {topic}");
        publisher.send(&Publish::new(topic, &payload).bytes(V311));
        publisher.send(&Publish::new("match/end", "end").bytes(V311));
        let mut got = Vec::new();
        loop {
            let delivery = client.expect_publish();
            if delivery.topic == "match/end" {
                break;
            }
            got.push((delivery.topic.clone(), delivery.text().to_owned()));
        }
        let wanted: Vec<(String, String)> = matches.then(|| ((*topic).to_owned(), payload)).into_iter().collect();
        assert_eq!(got, wanted, "{filter:?} against {topic:?}");
        client.unsubscribe(&[filter]);
    }
}

#[test]
fn leading_wildcards_do_not_match_dollar_topics() {
    // A broker of its own: `#` would hear all other tests.
    let broker = Setup::new().set("sys.interval=1s").start();
    for version in VERSIONS {
        let id = unique("dollar", version);
        let mut client = Client::connect(&broker, version, &id);
        client.subscribe_all(&[], &[("#", 0), ("+/#", 0), ("+/+/+", 0), ("+", 0)]);
        let mut publisher = Client::connect(&broker, version, &format!("{id}-publisher"));
        publisher.send_perhaps(&Publish::new(&format!("$dollar/{id}/x"), "hidden").bytes(version));
        let mut publisher = Client::connect(&broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&format!("{id}/end"), "end").qos(1, 0));
        assert_eq!(client.expect_payload("end").topic, format!("{id}/end"));
        client.expect_nothing();
        client.leave();
    }
    // $SYS itself speaks every second meanwhile.
    let mut listener = Client::connect(&broker, V311, "dollar-listener");
    listener.subscribe("$SYS/#", 0);
    let mut client = Client::connect(&broker, V311, "dollar-sys");
    client.subscribe_all(&[], &[("#", 0), ("+/#", 0)]);
    assert!(client.receive_within(Duration::from_millis(1500)).is_none());
    // Who asks for it hears it: what is kept first, then what is new.
    while listener.expect_publish().retain {}
}

#[test]
fn the_same_filter_replaces_its_subscription() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("replace", version);
        let mut client = Client::connect(broker, version, &id);
        for qos in [0, 2, 1] {
            assert_eq!(client.subscribe(&id, qos), qos);
            let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
            publisher.publish(Publish::new(&id, "one copy").qos(2, 0));
            let delivery = client.expect_payload("one copy");
            assert_eq!(delivery.qos, qos);
            client.acknowledge(&delivery);
            client.expect_nothing();
        }
    }
}

#[test]
fn no_message_is_lost_while_a_subscription_is_replaced() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("replace-live", version);
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&id, 0);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for round in 0..20_u16 {
            for number in 0..10 {
                let payload = (round * 10 + number).to_string();
                publisher.send(&Publish::new(&id, payload).bytes(version));
            }
            client.send(&build::subscribe(version, round + 1, &[], &[(&id, 0)]));
        }
        let (mut next, mut answers) = (0, 0);
        while next < 200 || answers < 20 {
            let packet = client.receive();
            if packet.kind() == 3 {
                assert_eq!(packet.publish(version).text(), next.to_string());
                next += 1;
            } else {
                answers += 1;
            }
        }
    }
}

#[test]
fn several_filters_in_one_packet_are_as_several_packets() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("several", version);
        let mut client = Client::connect(broker, version, &id);
        let (a, b) = (format!("{id}/a"), format!("{id}/b"));
        // The same filter twice: the later one holds.
        let answer = client.subscribe_all(&[], &[(&a, 0), (&b, 1), (&a, 2)]);
        assert_eq!(answer.codes, [0, 1, 2]);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for (topic, qos) in [(&a, 2), (&b, 1)] {
            publisher.publish(Publish::new(topic, "x").qos(2, 0));
            let delivery = client.expect_publish();
            assert_eq!((&delivery.topic, delivery.qos), (topic, qos));
            client.acknowledge(&delivery);
        }
        let answer = client.unsubscribe(&[&a, &b]);
        if version == V5 {
            assert_eq!(answer.codes, [0, 0]);
        } else {
            assert!(answer.codes.is_empty());
        }
        publisher.publish(Publish::new(&a, "x").qos(1, 0));
        publisher.publish(Publish::new(&b, "x").qos(1, 0));
        client.expect_nothing();
    }
}

#[test]
fn overlapping_subscriptions_deliver_with_the_highest_qos() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("overlap", version);
        let mut client = Client::connect(broker, version, &id);
        for (filter, qos) in [("#", 0), ("a/+", 2), ("a/b", 1)] {
            client.subscribe(&format!("{id}/{filter}"), qos);
        }
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&format!("{id}/a/b"), "once").qos(2, 0));
        let delivery = client.expect_payload("once");
        assert_eq!(delivery.qos, 2);
        client.acknowledge(&delivery);
        client.expect_nothing();
    }
}

#[test]
fn a_message_carries_the_identifiers_of_all_subscriptions_it_matches() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "identifiers");
    client.subscribe_all(&property::var(0x0B, 1), &[("identifiers/#", 0)]);
    client.subscribe_all(&property::var(0x0B, 268_435_455), &[("identifiers/a", 1)]);
    client.subscribe_all(&property::var(0x0B, 128), &[("identifiers/+", 0)]);
    client.subscribe_all(&[], &[("+/a", 0)]);
    let mut publisher = Client::connect(broker, V311, "identifiers-publisher");
    publisher.publish(Publish::new("identifiers/a", "one").qos(1, 0));
    let delivery = client.expect_payload("one");
    let mut identifiers = delivery.properties.numbers(0x0B);
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 128, 268_435_455]);
    client.acknowledge(&delivery);
    // Without an identifier the subscription has none.
    client.subscribe_all(&[], &[("identifiers/a", 1)]);
    publisher.publish(Publish::new("identifiers/a", "two"));
    let mut identifiers = client.expect_payload("two").properties.numbers(0x0B);
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 128]);
}

#[test]
fn no_local_keeps_own_messages_away() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "no-local");
    client.subscribe("no-local/a", 0x04);
    client.subscribe("no-local/b", 0x00);
    client.publish(Publish::new("no-local/a", "own"));
    client.publish(Publish::new("no-local/b", "own, wanted"));
    client.expect_payload("own, wanted");
    let mut other = Client::connect(broker, V5, "no-local-other");
    other.publish(Publish::new("no-local/a", "of another"));
    client.expect_payload("of another");
    client.expect_nothing();
}

#[test]
fn a_subscriber_gets_its_own_messages() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("echo", version);
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&id, 0);
        client.publish(Publish::new(&id, "echo"));
        client.expect_payload("echo");
    }
}

#[test]
fn unsubscribe_compares_filters_character_by_character() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("exact", version);
        let mut client = Client::connect(broker, version, &id);
        let topic = format!("{id}/a");
        client.subscribe(&topic, 0);
        for other in [format!("{id}/+"), format!("{id}/#"), format!("{id}/A"), format!("{topic}/")] {
            let answer = client.unsubscribe(&[&other]);
            if version == V5 {
                assert_eq!(answer.codes, [0x11], "{other}");
            }
        }
        client.publish(Publish::new(&topic, "still there"));
        client.expect_payload("still there");
        let answer = client.unsubscribe(&[&topic]);
        if version == V5 {
            assert_eq!(answer.codes, [0]);
        }
        client.publish(Publish::new(&topic, "gone"));
        client.expect_nothing();
    }
}

#[test]
fn unsuback_comes_with_its_identifier_even_for_an_unknown_filter() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let mut client = Client::connect(broker, version, &unique("unsuback", version));
        client.send(&build::unsubscribe(version, 31_000, &["never/subscribed", "nor/this"]));
        let answer = client.receive().suback(version, 0xB0);
        assert_eq!(answer.id, 31_000);
        let codes: &[u8] = if version == V5 { &[0x11, 0x11] } else { &[] };
        assert_eq!(answer.codes, codes);
    }
}

#[test]
fn unsuback_codes_come_in_the_order_of_the_filters() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "unsuback-order");
    client.subscribe("unsuback/b", 0);
    let answer = client.unsubscribe(&["unsuback/a", "unsuback/b", "unsuback/b"]);
    assert_eq!(answer.codes, [0x11, 0x00, 0x11]);
}

#[test]
fn what_was_started_before_unsubscribe_is_completed() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("complete", version);
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&id, 2);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "started").qos(2, 0));
        let delivery = client.expect_payload("started");
        client.unsubscribe(&[&id]);
        client.send(&ack(first::PUBREC, delivery.id));
        client.expect_ack(first::PUBREL, delivery.id);
        client.send(&ack(first::PUBCOMP, delivery.id));
        publisher.publish(Publish::new(&id, "later").qos(2, 0));
        client.expect_nothing();
    }
}

#[test]
fn a_publish_after_suback_is_never_missed() {
    let broker = Broker::shared();
    // Ids spread over the shards, so that most pairs of publisher and subscriber do not share one.
    for round in 0..40 {
        let topic = format!("prompt/{round}");
        let mut publisher = Client::connect(broker, V311, &format!("prompt-publisher-{round}"));
        let mut client = Client::connect(broker, V311, &format!("prompt-{round}"));
        client.subscribe(&topic, 0);
        publisher.send(&Publish::new(&topic, "now").bytes(V311));
        client.expect_payload("now");
    }
}

#[test]
fn a_connection_takes_many_subscriptions() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V311, "many");
    for chunk in 0..9 {
        let names: Vec<String> = (0..100).map(|n| format!("many/{chunk}/{n}/+")).collect();
        let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        assert_eq!(client.subscribe_all(&[], &filters).codes, [0; 100]);
    }
    let mut publisher = Client::connect(broker, V311, "many-publisher");
    for (chunk, number) in [(0, 0), (4, 57), (8, 99)] {
        publisher.publish(Publish::new(&format!("many/{chunk}/{number}/x"), "found"));
        assert_eq!(client.expect_payload("found").topic, format!("many/{chunk}/{number}/x"));
    }
}
