//! Shared subscriptions: one member for each message, and what happens when it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_tests::broker::{Broker, Setup};
use millrace_tests::wire::{
    Client, Connect, PATIENCE, Publish, VERSIONS, Version, ack, ack_with, build, first, property, unique,
};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// Receives from whoever has something until `count` messages came; who got which.
fn gather(members: &mut [Client], count: usize) -> BTreeMap<String, Vec<usize>> {
    let mut got: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut left = count;
    let until = std::time::Instant::now() + PATIENCE;
    while left > 0 {
        assert!(std::time::Instant::now() < until, "{left} of {count} messages never came");
        for (number, member) in members.iter_mut().enumerate() {
            while let Some(packet) = member.receive_within(Duration::from_millis(5)) {
                let delivery = packet.publish(member.version());
                member.acknowledge_among(&delivery);
                got.entry(delivery.text().to_owned()).or_default().push(number);
                left = left.saturating_sub(1);
            }
        }
    }
    for member in members {
        member.expect_nothing();
    }
    got
}

#[test]
fn each_message_goes_to_one_member() {
    let broker = Broker::shared();
    for version in VERSIONS {
        for qos in 0..3 {
            let id = unique(&format!("share-{qos}"), version);
            let mut members: Vec<Client> = (0..3)
                .map(|number| {
                    let mut member = Client::connect(broker, version, &format!("{id}-{number}"));
                    assert_eq!(member.subscribe(&format!("$share/group/{id}/#"), 2), 2);
                    member
                })
                .collect();
            let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
            for number in 0..30 {
                publisher.publish(Publish::new(&format!("{id}/a"), number.to_string()).qos(qos, 0));
            }
            let got = gather(&mut members, 30);
            assert_eq!(got.len(), 30);
            assert!(got.values().all(|members| members.len() == 1));
            // Round robin is the default: nobody is left out.
            for member in 0..3 {
                let share = got.values().filter(|members| members[0] == member).count();
                assert_eq!(share, 10, "member {member}");
            }
        }
    }
}

#[test]
fn each_group_gets_its_copy() {
    let broker = Broker::shared();
    let mut clients: Vec<Client> = ["$share/one/groups/+", "$share/two/groups/+", "$queue/groups/+", "groups/a"]
        .iter()
        .enumerate()
        .map(|(number, filter)| {
            let mut client = Client::connect(broker, V5, &format!("groups-{number}"));
            assert_eq!(client.subscribe(filter, 1), 1, "{filter}");
            client
        })
        .collect();
    let mut publisher = Client::connect(broker, V311, "groups-publisher");
    publisher.publish(Publish::new("groups/a", "for each group").qos(1, 0));
    for client in &mut clients {
        let delivery = client.expect_payload("for each group");
        client.acknowledge(&delivery);
    }
}

#[test]
fn one_client_may_be_in_a_group_and_subscribe_plainly() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "both-ways");
    client.subscribe("$share/g/both-ways", 0);
    client.subscribe("both-ways", 0);
    client.publish(Publish::new("both-ways", "x"));
    client.expect_payload("x");
    client.expect_payload("x");
    client.expect_nothing();
    client.unsubscribe(&["both-ways"]);
    client.publish(Publish::new("both-ways", "y"));
    client.expect_payload("y");
    client.expect_nothing();
    assert_eq!(client.unsubscribe(&["$share/g/both-ways"]).codes, [0]);
    client.publish(Publish::new("both-ways", "z"));
    client.expect_nothing();
}

#[test]
fn each_copy_carries_the_identifier_of_its_subscription() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "share-identifier");
    client.subscribe_all(&property::var(0x0B, 7), &[("$share/g/share-identifier", 0)]);
    client.subscribe_all(&property::var(0x0B, 300), &[("share-identifier", 0)]);
    client.subscribe_all(&[], &[("$share/h/share-identifier", 0)]);
    client.publish(Publish::new("share-identifier", "x"));
    let mut identifiers: Vec<_> = (0..3).map(|_| client.expect_payload("x").properties.numbers(0x0B)).collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [vec![], vec![7], vec![300]]);
    client.expect_nothing();
}

#[test]
fn malformed_shared_filters_are_not_subscribed() {
    let broker = Broker::shared();
    for filter in
        ["$share/", "$share/g", "$share/g/", "$share//a", "$share/g+/a", "$share/g#/a", "$share/+/a", "$share/#"]
    {
        let mut client = Client::connect(broker, V5, "bad-share");
        client.send(&build::subscribe(V5, 1, &[], &[(filter, 0)]));
        let packet = client.receive();
        if packet.first == 0x90 {
            let codes = packet.suback(V5, 0x90).codes;
            assert!(codes[0] >= 0x80, "{filter}: {codes:02x?}");
        } else {
            let code = packet.disconnect().0;
            assert!(matches!(code, 0x81 | 0x82 | 0x8F), "{filter}: {code:#04x}");
        }
    }
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "share-no-local");
    client.send(&build::subscribe(V5, 1, &[], &[("$share/g/no-local", 0x04)]));
    client.expect_disconnect(0x82);
}

#[test]
fn a_shared_subscription_gets_no_retained_messages() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "share-retained");
    client.publish(Publish::new("share-retained", "kept").qos(1, 0).retain());
    client.subscribe("$share/g/share-retained", 0);
    client.expect_nothing();
    client.publish(Publish::new("share-retained", "").retain());
}

#[test]
fn a_member_gets_no_more_than_its_granted_qos() {
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V5, "share-qos-publisher");
    for granted in 0..3 {
        let mut member = Client::connect(broker, V5, &format!("share-qos-{granted}"));
        let topic = format!("share-qos/{granted}");
        assert_eq!(member.subscribe(&format!("$share/g/{topic}"), granted), granted);
        for qos in 0..3 {
            publisher.publish(Publish::new(&topic, "x").qos(qos, 0));
            let delivery = member.expect_payload("x");
            assert_eq!(delivery.qos, qos.min(granted));
            member.acknowledge(&delivery);
        }
    }
}

#[test]
fn unacknowledged_qos_1_passes_to_another_member_when_its_member_ends() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("share-pass", version);
        let filter = format!("$share/g/{id}");
        let mut first_member = Client::connect(broker, version, &format!("{id}-1"));
        first_member.subscribe(&filter, 1);
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        for number in 0..5 {
            publisher.publish(Publish::new(&id, number.to_string()).qos(1, 0));
        }
        for number in 0..5 {
            first_member.expect_payload(&number.to_string());
        }
        let mut second_member = Client::connect(broker, version, &format!("{id}-2"));
        second_member.subscribe(&filter, 1);
        first_member.vanish();
        let mut got: Vec<String> = (0..5)
            .map(|_| {
                let delivery = second_member.expect_publish();
                second_member.acknowledge(&delivery);
                delivery.text().to_owned()
            })
            .collect();
        got.sort();
        assert_eq!(got, ["0", "1", "2", "3", "4"]);
        second_member.expect_nothing();
    }
}

#[test]
fn qos_2_on_its_way_is_completed_with_the_same_member() {
    let broker = Broker::shared();
    let resume = Connect::new(V5, "share-complete-1").resume();
    let (mut member, _) = Client::connect_with(broker, &resume);
    member.subscribe("$share/g/share-complete", 2);
    let mut publisher = Client::connect(broker, V5, "share-complete-publisher");
    publisher.publish(Publish::new("share-complete", "mine").qos(2, 0));
    let before = member.expect_payload("mine");
    let mut other = Client::connect(broker, V5, "share-complete-2");
    other.subscribe("$share/g/share-complete", 2);
    member.vanish();
    other.expect_nothing();
    let (mut member, _) = Client::connect_with(broker, &resume);
    let after = member.expect_payload("mine");
    assert_eq!((after.id, after.dup), (before.id, true));
    member.acknowledge(&after);
    other.expect_nothing();
}

#[test]
fn qos_2_on_its_way_ends_with_the_session_of_its_member() {
    let broker = Broker::shared();
    let mut member = Client::connect(broker, V5, "share-end-1");
    member.subscribe("$share/g/share-end", 2);
    let mut publisher = Client::connect(broker, V5, "share-end-publisher");
    publisher.publish(Publish::new("share-end", "mine").qos(2, 0));
    member.expect_payload("mine");
    let mut other = Client::connect(broker, V5, "share-end-2");
    other.subscribe("$share/g/share-end", 2);
    member.vanish();
    other.expect_nothing();
}

#[test]
fn a_refused_shared_message_goes_to_nobody_else() {
    let broker = Broker::shared();
    let mut member = Client::connect(broker, V5, "share-refuse-1");
    member.subscribe("$share/g/share-refuse", 2);
    let mut publisher = Client::connect(broker, V5, "share-refuse-publisher");
    for (qos, kind) in [(1, first::PUBACK), (2, first::PUBREC)] {
        publisher.publish(Publish::new("share-refuse", "unwanted").qos(qos, 0));
        let delivery = member.expect_payload("unwanted");
        member.send(&ack_with(kind, delivery.id, 0x80));
    }
    member.ping();
    let mut other = Client::connect(broker, V5, "share-refuse-2");
    other.subscribe("$share/g/share-refuse", 2);
    member.vanish();
    other.expect_nothing();
}

#[test]
fn a_new_member_takes_part_and_one_that_unsubscribes_does_not() {
    let broker = Broker::shared();
    let mut members: Vec<Client> = (0..2)
        .map(|number| {
            let mut member = Client::connect(broker, V311, &format!("share-join-{number}"));
            member.subscribe("$share/g/share-join", 0);
            member
        })
        .collect();
    let mut publisher = Client::connect(broker, V311, "share-join-publisher");
    for number in 0..10 {
        publisher.publish(Publish::new("share-join", number.to_string()).qos(1, 0));
    }
    let got = gather(&mut members, 10);
    assert!(got.values().any(|m| m == &[0]) && got.values().any(|m| m == &[1]));
    members[0].unsubscribe(&["$share/g/share-join"]);
    for number in 0..10 {
        publisher.publish(Publish::new("share-join", number.to_string()).qos(1, 0));
    }
    let got = gather(&mut members, 10);
    assert!(got.values().all(|m| m == &[1]), "one that left still gets messages: {got:?}");
}

#[test]
fn messages_wait_for_a_group_whose_only_member_is_away() {
    let broker = Broker::shared();
    let resume = Connect::new(V5, "share-away").resume();
    let (mut member, _) = Client::connect_with(broker, &resume);
    member.subscribe("$share/g/share-away", 1);
    member.vanish();
    let mut publisher = Client::connect(broker, V5, "share-away-publisher");
    publisher.publish(Publish::new("share-away", "waits").qos(1, 0));
    let (mut member, _) = Client::connect_with(broker, &resume);
    let delivery = member.expect_payload("waits");
    member.send(&ack(first::PUBACK, delivery.id));
}

#[test]
fn the_strategy_of_a_group_is_configured() {
    let broker = Setup::new()
        .set("shared.groups.sticky=sticky")
        .set("shared.groups.topic=hash_topic")
        .set("shared.groups.client=hash_client")
        .start();
    for group in ["sticky", "topic", "client"] {
        let mut members: Vec<Client> = (0..4)
            .map(|number| {
                let mut member = Client::connect(&broker, V311, &format!("{group}-{number}"));
                member.subscribe(&format!("$share/{group}/{group}/+"), 0);
                member
            })
            .collect();
        let mut publisher = Client::connect(&broker, V311, &format!("{group}-publisher"));
        for round in 0..3 {
            for topic in 0..8 {
                let publish = Publish::new(&format!("{group}/{topic}"), format!("{topic}.{round}"));
                publisher.publish(publish.qos(1, 0));
            }
        }
        let got = gather(&mut members, 24);
        let of = |topic: u32, round: u32| got[&format!("{topic}.{round}")][0];
        let used: std::collections::BTreeSet<usize> = got.values().map(|m| m[0]).collect();
        if group == "topic" {
            for topic in 0..8 {
                assert!(of(topic, 0) == of(topic, 1) && of(topic, 1) == of(topic, 2));
            }
            assert!(used.len() > 1, "all eight topics went to one member");
        } else {
            assert_eq!(used.len(), 1, "{group} keeps to one member");
        }
    }
}
