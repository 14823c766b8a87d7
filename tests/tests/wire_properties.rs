//! What version 5 adds to a message and to a connection: properties, aliases, sizes, reasons.

use std::time::Duration;

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Connect, Publish, Received, VERSIONS, Version, ack, build, first, property};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

fn full(topic: &str) -> Publish {
    Publish::new(topic, "payload")
        .property(property::user("z", "first"))
        .property(property::byte(0x01, 1))
        .property(property::string(0x03, "application/json"))
        .property(property::user("a", "second"))
        .property(property::string(0x08, "reply/to/me"))
        .property(property::string(0x09, [0, 255, 0]))
        .property(property::user("z", "first"))
        .property(property::user("", ""))
}

#[test]
fn properties_of_a_message_pass_unaltered_and_in_order() {
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V5, "unaltered-publisher");
    for granted in 0..3 {
        let mut subscriber = Client::connect(broker, V5, &format!("unaltered-{granted}"));
        subscriber.subscribe("unaltered", granted);
        for qos in 0..3 {
            publisher.publish(full("unaltered").qos(qos, 0));
            let delivery = subscriber.expect_payload("payload");
            assert_eq!(delivery.properties.number(0x01), Some(1));
            assert_eq!(delivery.properties.text(0x03), Some("application/json"));
            assert_eq!(delivery.properties.text(0x08), Some("reply/to/me"));
            assert_eq!(delivery.properties.binary(0x09), Some(&[0, 255, 0][..]));
            assert_eq!(delivery.properties.user(), [("z", "first"), ("a", "second"), ("z", "first"), ("", "")]);
            assert_eq!(delivery.properties.number(0x02), None);
            assert_eq!(delivery.properties.number(0x23), None);
            subscriber.acknowledge(&delivery);
        }
    }
}

#[test]
fn properties_do_not_reach_clients_of_version_3() {
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V5, "stripped-publisher");
    for version in [Version::V31, V311] {
        let mut subscriber = Client::connect(broker, version, &format!("stripped-{version:?}"));
        subscriber.subscribe("stripped", 0);
        publisher.publish(full("stripped"));
        subscriber.expect_payload("payload");
    }
}

#[test]
fn message_expiry_is_counted_down() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "countdown").property(property::two(0x21, 1));
    let (mut subscriber, _) = Client::connect_with(broker, &connect);
    subscriber.subscribe("countdown", 1);
    let mut publisher = Client::connect(broker, V5, "countdown-publisher");
    for payload in ["at once", "kept waiting"] {
        let publish = Publish::new("countdown", payload).property(property::four(2, 100));
        publisher.publish(publish.qos(1, 0));
    }
    let delivery = subscriber.expect_payload("at once");
    assert!(delivery.properties.number(2).is_some_and(|left| (98..=100).contains(&left)));
    std::thread::sleep(Duration::from_millis(2100));
    subscriber.acknowledge(&delivery);
    let delivery = subscriber.expect_payload("kept waiting");
    let left = delivery.properties.number(2).expect("a Message Expiry Interval");
    assert!((90..=98).contains(&left), "{left} s are left of 100 after 2");
}

#[test]
fn an_expired_message_is_not_started() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "expired").property(property::two(0x21, 1));
    let (mut subscriber, _) = Client::connect_with(broker, &connect);
    subscriber.subscribe("expired", 1);
    let mut publisher = Client::connect(broker, V5, "expired-publisher");
    publisher.publish(Publish::new("expired", "first").qos(1, 0));
    let delivery = subscriber.expect_payload("first");
    let short = Publish::new("expired", "short").property(property::four(2, 1));
    publisher.publish(short.qos(1, 0));
    publisher.publish(Publish::new("expired", "last").qos(1, 0));
    std::thread::sleep(Duration::from_millis(2100));
    subscriber.acknowledge(&delivery);
    let delivery = subscriber.expect_payload("last");
    subscriber.acknowledge(&delivery);
}

#[test]
fn a_client_may_use_every_topic_alias_it_was_granted() {
    let broker = Broker::shared();
    let mut subscriber = Client::connect(broker, V311, "alias-in-subscriber");
    subscriber.subscribe("alias-in/#", 0);
    let mut client = Client::connect(broker, V5, "alias-in");
    for alias in 1..=64 {
        let topic = format!("alias-in/{alias}");
        client.send(&Publish::new(&topic, "named").property(property::two(0x23, alias)).bytes(V5));
        assert_eq!(subscriber.expect_payload("named").topic, topic);
    }
    for alias in (1..=64).rev() {
        client.send(&Publish::new("", "by alias").property(property::two(0x23, alias)).bytes(V5));
        assert_eq!(subscriber.expect_payload("by alias").topic, format!("alias-in/{alias}"));
    }
    // Given again it names another topic from then on.
    client.send(&Publish::new("alias-in/new", "renamed").property(property::two(0x23, 5)).bytes(V5));
    client.send(&Publish::new("", "by alias").qos(1, 1).property(property::two(0x23, 5)).bytes(V5));
    assert_eq!(subscriber.expect_payload("renamed").topic, "alias-in/new");
    assert_eq!(subscriber.expect_payload("by alias").topic, "alias-in/new");
}

#[test]
fn topic_aliases_end_with_their_connection() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "alias-end").resume();
    let (mut client, _) = Client::connect_with(broker, &connect);
    client.send(&Publish::new("alias-end/a", "x").property(property::two(0x23, 1)).bytes(V5));
    client.ping();
    client.vanish();
    let (mut client, answer) = Client::connect_with(broker, &connect);
    assert!(answer.session_present);
    client.send(&Publish::new("", "x").property(property::two(0x23, 1)).bytes(V5));
    client.expect_refusal(&[0x82, 0x94]);
}

/// Receives with aliases as a client must: learns those that come with a topic, looks up the others.
fn receive_aliased(client: &mut Client, maximum: u32, known: &mut [String]) -> (String, String, bool) {
    let delivery = client.expect_publish();
    let alias = delivery.properties.number(0x23);
    let topic = match alias {
        None => delivery.topic.clone(),
        Some(alias) => {
            assert!((1..=maximum).contains(&alias), "alias {alias} of {maximum}");
            let slot = &mut known[alias as usize];
            if !delivery.topic.is_empty() {
                slot.clone_from(&delivery.topic);
            }
            slot.clone()
        }
    };
    assert!(!topic.is_empty(), "no topic and no alias that was given");
    client.acknowledge(&delivery);
    (topic, delivery.text().to_owned(), delivery.topic.is_empty())
}

#[test]
fn aliases_towards_a_client_stay_within_what_it_allows() {
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V311, "alias-out-publisher");
    for maximum in [1_u16, 3, 100] {
        let id = format!("alias-out-{maximum}");
        let connect = Connect::new(V5, &id).property(property::two(0x22, maximum));
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.subscribe(&format!("{id}/#"), 1);
        let mut known = vec![String::new(); usize::from(maximum) + 1];
        let mut shortened = 0;
        for round in 0..60 {
            let topic = format!("{id}/a/rather/long/topic/{}", round % 5);
            publisher.publish(Publish::new(&topic, round.to_string()).qos(round % 2, 0));
            let (got, payload, short) = receive_aliased(&mut client, u32::from(maximum), &mut known);
            assert_eq!((got, payload), (topic, round.to_string()));
            shortened += u32::from(short);
        }
        assert!(maximum < 5 || shortened > 0, "aliases are used where they are allowed");
    }
}

#[test]
fn a_client_that_allows_no_alias_gets_none() {
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V5, "alias-none-publisher");
    for (number, maximum) in [None, Some(0)].into_iter().enumerate() {
        let mut connect = Connect::new(V5, &format!("alias-none-{number}"));
        if let Some(maximum) = maximum {
            connect = connect.property(property::two(0x22, maximum));
        }
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.subscribe("alias-none", 0);
        for _ in 0..20 {
            publisher.publish(Publish::new("alias-none", "x").property(property::two(0x23, 1)));
            let delivery = client.expect_payload("x");
            assert_eq!(delivery.topic, "alias-none");
            assert_eq!(delivery.properties.number(0x23), None);
        }
    }
}

#[test]
fn no_packet_is_larger_than_the_client_takes() {
    let broker = Broker::shared();
    let mut publisher = Client::connect(broker, V5, "maximum-size-publisher");
    for qos in 0..3 {
        let id = format!("maximum-size-{qos}");
        let connect = Connect::new(V5, &id).property(property::four(0x27, 60)).property(property::two(0x21, 1));
        let (mut client, answer) = Client::connect_with(broker, &connect);
        assert!(answer.properties.0.len() < 20);
        client.subscribe(&id, qos);
        for payload in ["small".to_owned(), "x".repeat(100), "x".repeat(50), "also small".to_owned()] {
            publisher.publish(Publish::new(&id, payload).qos(qos, 0));
        }
        // What is too large counts as sent: it takes no place in the window.
        for payload in ["small", "also small"] {
            let packet = client.receive();
            assert!(packet.body.len() + 2 <= 60);
            let delivery = packet.publish(V5);
            assert_eq!(delivery.text(), payload);
            client.acknowledge(&delivery);
        }
        client.expect_nothing();
    }
}

/// All bytes of a packet: type, Remaining Length, body.
fn size(packet: &Received) -> usize {
    build::packet(packet.first, &packet.body).len()
}

/// Connects and provokes each answer of an acknowledgement that has something to explain; gives back what came, and
/// the DISCONNECT that ends it.
fn explained(connect: &Connect) -> (Vec<Received>, Received) {
    let id = &connect.client_id;
    let (mut client, _) = Client::connect_with(Broker::shared(), connect);
    let not_utf8 = |qos, id| Publish::new("explained", [0xFF]).qos(qos, id).property(property::byte(1, 1)).bytes(V5);
    let mut answers = Vec::new();
    for (bytes, first) in [
        (not_utf8(1, 5), first::PUBACK),
        (not_utf8(2, 6), first::PUBREC),
        (ack(first::PUBREC, 9), first::PUBREL),
        (ack(first::PUBREL, 9), first::PUBCOMP),
        (build::subscribe(V5, 3, &[], &[("$share//a", 0)]), 0x90),
        (build::unsubscribe(V5, 4, &["never"]), 0xB0),
    ] {
        client.send(&bytes);
        let packet = client.receive();
        assert_eq!(packet.first, first, "{id}: {packet:02x?}");
        let answer = match packet.kind() {
            9 | 11 => packet.suback(V5, first),
            _ => packet.ack(V5, first),
        };
        let code = answer.codes[0];
        assert!(code >= 0x80 || (first, code) == (0xB0, 0x11), "{id}: {packet:02x?} has nothing to explain");
        assert_eq!(answer.properties.user(), [], "{id}: a User Property of the broker's own");
        answers.push(packet);
    }
    client.send(&Publish::new("a/#", "x").bytes(V5));
    let last = client.receive();
    assert!(last.disconnect().0 >= 0x80);
    client.expect_close();
    (answers, last)
}

/// Whether a packet has a Reason String.
fn has_reason(packet: &Received) -> bool {
    let properties = match packet.kind() {
        2 => packet.connack(V5).properties,
        9 | 11 => packet.suback(V5, packet.first).properties,
        14 => packet.disconnect().1,
        _ => packet.ack(V5, packet.first).properties,
    };
    properties.text(0x1F).is_some()
}

#[test]
fn reasons_are_left_out_where_the_packet_would_be_too_large() {
    let (answers, last) = explained(&Connect::new(V5, "reasons-whole"));
    // The broker explains itself in these; in the others the code says all.
    for packet in answers.iter().filter(|packet| matches!(packet.kind(), 4 | 5)).chain([&last]) {
        assert!(has_reason(packet) && size(packet) > 30, "{packet:02x?}");
    }
    for maximum in [30, 40, 60, 80] {
        let id = format!("reasons-{maximum}");
        let (answers, last) = explained(&Connect::new(V5, &id).property(property::four(0x27, maximum)));
        for packet in answers.iter().chain([&last]) {
            assert!(size(packet) <= maximum as usize, "{maximum}: {packet:02x?}");
            assert!(maximum > 30 || !has_reason(packet), "{packet:02x?}");
        }
    }
}

#[test]
fn a_refusal_is_no_larger_than_the_client_takes() {
    let broker = Broker::shared();
    let answer = |maximum: Option<u32>| {
        let mut connect = Connect::new(V5, "refusal-size").property(property::string(0x15, "NO-SUCH-METHOD"));
        if let Some(maximum) = maximum {
            connect = connect.property(property::four(0x27, maximum));
        }
        let mut client = Client::open(broker, V5);
        client.send(&connect.bytes());
        let packet = client.receive_or_close();
        if let Some(packet) = &packet {
            assert_eq!(packet.connack(V5).code, 0x8C);
            client.expect_close();
        }
        packet
    };
    let whole = answer(None).expect("a CONNACK");
    assert!(has_reason(&whole));
    for maximum in [5, 20, 40, 60] {
        let packet = answer(Some(maximum)).expect("a CONNACK without a reason fits");
        assert!(size(&packet) <= maximum as usize && !has_reason(&packet), "{maximum}: {packet:02x?}");
    }
    let large = answer(Some(1000)).expect("a CONNACK");
    assert_eq!(large, whole);
    // Where not even that fits the connection just ends.
    assert_eq!(answer(Some(4)), None);
}

#[test]
fn a_client_that_cannot_take_an_answer_is_let_go() {
    let broker = Broker::shared();
    // A CONNACK that accepts is too large.
    for (id, maximum) in [("answer-size", 8), ("", 30)] {
        let connect = Connect::new(V5, id).property(property::four(0x27, maximum));
        assert_eq!(Client::refused(broker, V5, &connect.bytes()), Some(0x95), "{id:?} with {maximum}");
    }
    // A SUBACK or UNSUBACK is.
    let names: Vec<String> = (0..40).map(|number| format!("answer-size/{number}")).collect();
    let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for bytes in [build::subscribe(V5, 1, &[], &filters), build::unsubscribe(V5, 1, &names)] {
        let connect = Connect::new(V5, "answer-size").property(property::four(0x27, 40));
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.send(&bytes);
        client.expect_disconnect(0x95);
    }
}

#[test]
fn reasons_are_only_where_they_are_wanted() {
    let wanted = |value| explained(&Connect::new(V5, "reasons-wanted").property(property::byte(0x17, value)));
    let (answers, last) = wanted(0);
    for packet in &answers {
        assert!(!has_reason(packet), "{packet:02x?}");
    }
    // DISCONNECT may have one all the same.
    assert!(has_reason(&last));
    let (answers, _) = wanted(1);
    assert!(answers.iter().any(has_reason));
    // The User Properties of a message are its own.
    let broker = Broker::shared();
    let (mut client, _) =
        Client::connect_with(broker, &Connect::new(V5, "reasons-message").property(property::byte(0x17, 0)));
    client.subscribe("reasons-message", 0);
    client.publish(Publish::new("reasons-message", "x").property(property::user("a", "b")));
    assert_eq!(client.expect_payload("x").properties.user(), [("a", "b")]);
}

#[test]
fn user_properties_are_taken_on_every_packet() {
    let broker = Broker::shared();
    let user = property::user("trace", "1");
    let connect = Connect::new(V5, "user-everywhere").property(user.clone());
    let (mut client, _) = Client::connect_with(broker, &connect);
    client.send(&build::subscribe(V5, 1, &user, &[("user-everywhere", 2)]));
    assert_eq!(client.receive().suback(V5, 0x90).codes, [2]);
    client.send(&Publish::new("user-everywhere", "x").qos(2, 2).property(user.clone()).bytes(V5));
    let mut answered = 0;
    while answered < 3 {
        let packet = client.receive();
        let with_user = |first: u8, id: u16| {
            let body = [&id.to_be_bytes()[..], &[0], &build::properties(V5, &user)].concat();
            build::packet(first, &body)
        };
        match packet.kind() {
            3 => {
                let id = packet.publish(V5).id;
                client.send(&with_user(first::PUBREC, id));
            }
            5 => client.send(&with_user(first::PUBREL, 2)),
            6 => {
                let id = packet.ack(V5, first::PUBREL).id;
                client.send(&with_user(first::PUBCOMP, id));
                answered += 1;
            }
            7 => answered += 2,
            other => panic!("packet type {other}"),
        }
    }
    let body = [&[0, 3][..], &build::properties(V5, &user), &build::text("user-everywhere")].concat();
    client.send(&build::packet(0xA2, &body));
    assert_eq!(client.receive().suback(V5, 0xB0).codes, [0]);
    client.send(&build::disconnect_with(0, &user));
    client.expect_close();
}

#[test]
fn a_disconnect_of_the_broker_says_why_and_sets_no_expiry() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let mut client = Client::connect(broker, version, &format!("why-{version:?}"));
        client.send(&Publish::new("why/#", "x").bytes(version));
        if version == V5 {
            let (code, properties) = client.receive().disconnect();
            assert!(matches!(code, 0x81 | 0x82 | 0x90), "{code:#04x}");
            assert_eq!(properties.number(0x11), None);
            if let Some(reason) = properties.text(0x1F) {
                assert!(!reason.is_empty());
            }
        }
        client.expect_close();
    }
}
