//! What rules read of messages: delivered, acknowledged, dropped.

use std::time::Duration;

use millrace_core::units::ByteSize;
use millrace_tests::wire::{Connect, Publish, ack, ack_with, build, first, property};

use super::world::{BEGAN, World};
use super::{V5, V311, end};

const DELIVERED: &str = r#"SELECT * FROM "$events/message_delivered""#;
const ACKED: &str = r#"SELECT * FROM "$events/message_acked""#;
const DROPPED: &str = r#"SELECT * FROM "$events/message_dropped""#;
const DELIVERY_DROPPED: &str = r#"SELECT * FROM "$events/delivery_dropped""#;

/// What a row says of one delivery, before and behind its properties.
fn delivery(from: &str, to: &str, qos: u8, retain: bool, payload: &str) -> String {
    format!(
        "\"from_clientid\":\"{from}\",\"from_username\":\"bob\",\"clientid\":\"{to}\",\"username\":\"ada\",\
         \"peerhost\":\"10.0.0.7\",\"topic\":\"t/a\",\"qos\":{qos},\"flags\":{{\"retain\":{retain},\"dup\":false}},\
         \"payload\":\"{payload}\""
    )
}

fn user(name: &str, connect: Connect) -> Connect {
    Connect { username: Some(name.into()), ..connect }
}

#[test]
fn message_delivered_names_both_ends_whichever_shards_they_are_on() {
    for (version, (here, there)) in [(V311, (0, 0)), (V311, (0, 1)), (V5, (1, 0)), (V5, (1, 1))] {
        let mut world = World::new(&[DELIVERED]);
        let (from, to) = (world.name_on(here, "from"), world.name_on(there, "to"));
        let publisher = world.connect(&user("bob", Connect::new(version, &from)));
        let subscriber = world.connect(&user("ada", Connect::new(version, &to)));
        world.subscribe(subscriber, "t/#", 1);
        let mut publish = Publish::new("t/a", "{\"x\":1}").qos(2, 5);
        let mut properties = "{}";
        if version == V5 {
            publish = publish.property(property::string(0x03, "json"));
            properties = "{\"Content-Type\":\"json\"}";
        }
        world.publish(publisher, &publish);
        let row = format!(
            "{{\"id\":\"ID\",{},\"pub_props\":{properties},\"publish_received_at\":{BEGAN},{}",
            delivery(&from, &to, 1, false, "{\\\"x\\\":1}"),
            end("message.delivered", 0)
        );
        assert_eq!(world.rows(), [row], "{version:?} from {here} to {there}");
    }
}

#[test]
fn a_message_has_one_identifier_from_publish_to_acknowledgement() {
    let mut world = World::new(&[
        r#"SELECT id FROM "t/#""#,
        r#"SELECT id FROM "$events/message_delivered""#,
        r#"SELECT id FROM "$events/message_acked""#,
        r#"SELECT id FROM "$events/message_dropped""#,
    ]);
    let (from, to) = (world.name_on(0, "from"), world.name_on(1, "to"));
    let publisher = world.connect(&Connect::new(V5, &from));
    let subscriber = world.connect(&Connect::new(V5, &to));
    world.subscribe(subscriber, "t/a", 1);
    world.publish(publisher, &Publish::new("t/a", "x").qos(1, 1));
    world.send(subscriber, &ack(first::PUBACK, 1));
    let rows = world.whole_rows();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| *row == rows[0]), "{rows:?}");
    world.publish(publisher, &Publish::new("t/b", "x").qos(1, 2));
    let others = world.whole_rows();
    assert!(others.len() == 2 && others[0] == others[1] && others[0] != rows[0], "{others:?}");
}

#[test]
fn a_message_that_waited_and_a_retained_one_still_name_their_publisher() {
    for version in [V311, V5] {
        let mut world = World::new(&[DELIVERED]);
        let (from, to) = (world.name_on(0, "from"), world.name_on(1, "to"));
        let publisher = world.connect(&user("bob", Connect::new(version, &from)));
        let connect = user("ada", Connect::new(version, &to).resume());
        let subscriber = world.connect(&connect);
        world.subscribe(subscriber, "t/a", 1);
        world.lose(subscriber);
        world.publish(publisher, &Publish::new("t/a", "kept").qos(1, 1).retain());
        assert_eq!(world.rows(), [] as [String; 0]);
        world.pass(Duration::from_secs(1));
        let subscriber = world.connect(&connect);
        let row = |retain, after| {
            format!(
                "{{\"id\":\"ID\",{},\"pub_props\":{{}},\"publish_received_at\":{BEGAN},{}",
                delivery(&from, &to, 1, retain, "kept"),
                end("message.delivered", after)
            )
        };
        assert_eq!(world.rows(), [row(false, 1000)]);
        world.subscribe(subscriber, "t/+", 1);
        assert_eq!(world.rows(), [row(true, 1000)]);
        // What is sent again has been told of.
        world.lose(subscriber);
        let subscriber = world.connect(&connect);
        assert_eq!(world.received(subscriber).iter().filter(|packet| packet.first >> 4 == 3).count(), 2);
        assert_eq!(world.rows(), [] as [String; 0]);
    }
}

#[test]
fn message_acked_tells_of_puback_and_pubrec_also_without_a_kept_session() {
    for version in [V311, V5] {
        for resume in [false, true] {
            let mut world = World::new(&[ACKED]);
            let (from, to) = (world.name_on(0, "from"), world.name_on(1, "to"));
            let publisher = world.connect(&user("bob", Connect::new(version, &from)));
            let connect = Connect::new(version, &to);
            let subscriber = world.connect(&user("ada", if resume { connect.resume() } else { connect }));
            world.subscribe(subscriber, "t/a", 2);
            let row = |qos, properties| {
                format!(
                    "{{\"id\":\"ID\",{},\"pub_props\":{{}},\"puback_props\":{properties},\
                     \"publish_received_at\":{BEGAN},{}",
                    delivery(&from, &to, qos, false, "x"),
                    end("message.acked", 0)
                )
            };
            world.publish(publisher, &Publish::new("t/a", "x").qos(1, 1));
            assert_eq!(world.rows(), [] as [String; 0]);
            let mut properties = "{}";
            if version == V5 {
                let reason = build::properties(V5, &property::string(0x1F, "thanks"));
                world.send(subscriber, &build::packet(0x40, &[&[0, 1, 0][..], &reason].concat()));
                properties = "{\"Reason-String\":\"thanks\"}";
            } else {
                world.send(subscriber, &ack(first::PUBACK, 1));
            }
            assert_eq!(world.rows(), [row(1, properties)]);
            world.send(subscriber, &ack(first::PUBACK, 1));
            assert_eq!(world.rows(), [] as [String; 0], "one that comes again is none");

            world.publish(publisher, &Publish::new("t/a", "x").qos(2, 2));
            world.send(subscriber, &ack(first::PUBREC, 2));
            assert_eq!(world.rows(), [row(2, "{}")]);
            world.send(subscriber, &ack(first::PUBREC, 2));
            world.send(subscriber, &ack(first::PUBCOMP, 2));
            assert_eq!(world.rows(), [] as [String; 0]);
        }
    }
}

#[test]
fn message_dropped_tells_of_messages_that_nobody_wants() {
    for version in [V311, V5] {
        // A rule that reads the message is no subscriber.
        let mut world = World::new(&[DROPPED, r#"SELECT 1 AS x FROM "read/#""#]);
        let publisher = world.connect(&user("bob", Connect::new(version, "p")));
        let row = |topic: &str, retain: bool| {
            format!(
                "{{\"id\":\"ID\",\"reason\":\"no_subscribers\",\"clientid\":\"p\",\"username\":\"bob\",\
                 \"peerhost\":\"10.0.0.7\",\"topic\":\"{topic}\",\"qos\":1,\"flags\":{{\"retain\":{retain},\
                 \"dup\":false}},\"payload\":\"x\",\"pub_props\":{{}},\"publish_received_at\":{BEGAN},{}",
                end("message.dropped", 0)
            )
        };
        world.publish(publisher, &Publish::new("t/a", "x").qos(1, 1));
        assert_eq!(world.rows(), [row("t/a", false)]);
        world.publish(publisher, &Publish::new("read/a", "x").qos(1, 1));
        assert_eq!(world.rows(), ["{\"x\":1}".to_owned(), row("read/a", false)]);
        // Somebody may come for a retained one.
        world.publish(publisher, &Publish::new("t/a", "x").qos(1, 1).retain());
        assert_eq!(world.rows(), [] as [String; 0]);
        let name = world.name_on(1, "s");
        let subscriber = world.connect(&Connect::new(version, &name));
        world.subscribe(subscriber, "t/b", 0);
        world.publish(publisher, &Publish::new("t/b", "x").qos(1, 1));
        assert_eq!(world.rows(), [] as [String; 0]);
    }
}

#[test]
fn message_dropped_tells_of_messages_that_are_refused() {
    let rule = r#"SELECT reason, topic, clientid, payload, flags.dup AS dup FROM "$events/message/dropped""#;
    let mut world = World::with(&[rule], |config| {
        config.mqtt.receive_maximum = 2;
        config.listeners.get_mut("default").expect("it was made").mountpoint = "north/".into();
    });
    let row = |reason: &str, topic: &str| {
        format!("{{\"reason\":\"{reason}\",\"topic\":\"{topic}\",\"clientid\":\"p\",\"payload\":\"x\",\"dup\":false}}")
    };
    let publisher = world.connect(&Connect::new(V311, "p"));
    world.publish(publisher, &Publish::new("$forbidden", "x").qos(1, 1));
    assert_eq!(world.rows(), [row("not_authorized", "$forbidden")]);
    let deep = "a/".repeat(200);
    world.publish(publisher, &Publish::new(&deep, "x").qos(1, 1));
    assert_eq!(world.rows(), [row("topic_name_invalid", &format!("north/{deep}"))]);

    let publisher = world.connect(&Connect::new(V5, "p"));
    let subscriber = world.connect(&Connect::new(V5, "s"));
    world.subscribe(subscriber, "a", 0);
    world.publish(publisher, &Publish::new("a", "x").qos(2, 1));
    world.publish(publisher, &Publish::new("a", "x").qos(2, 1).dup());
    assert_eq!(world.rows(), [] as [String; 0], "one that is sent again is not dropped");
    world.publish(publisher, &Publish::new("a", "x").qos(2, 1));
    assert_eq!(world.rows(), [row("packet_identifier_inuse", "north/a")]);
    world.publish(publisher, &Publish::new("a", "x").qos(2, 2));
    world.publish(publisher, &Publish::new("a", "x").qos(2, 3));
    assert_eq!(world.rows(), [row("receive_maximum_exceeded", "north/a")]);
}

#[test]
fn delivery_dropped_says_why() {
    for version in [V311, V5] {
        let mut world = World::with(&[DELIVERY_DROPPED], |config| config.sessions.queue_messages = 1);
        let (from, to) = (world.name_on(0, "from"), world.name_on(1, "to"));
        let publisher = world.connect(&user("bob", Connect::new(version, &from)));
        let subscriber = world.connect(&user("ada", Connect::new(version, &to).resume()));
        world.subscribe(subscriber, "t/a", 1);
        let row = |reason: &str, qos, payload, after| {
            format!(
                "{{\"id\":\"ID\",\"reason\":\"{reason}\",{},\"pub_props\":{{}},\"publish_received_at\":{BEGAN},{}",
                delivery(&from, &to, qos, false, payload),
                end("delivery.dropped", after)
            )
        };
        world.publish(publisher, &Publish::new("t/a", "x"));
        assert_eq!(world.rows(), [] as [String; 0]);
        world.lose(subscriber);
        world.publish(publisher, &Publish::new("t/a", "x"));
        assert_eq!(world.rows(), [row("qos0_msg", 0, "x", 0)]);
        world.publish(publisher, &Publish::new("t/a", "old").qos(1, 1));
        assert_eq!(world.rows(), [] as [String; 0]);
        world.publish(publisher, &Publish::new("t/a", "new").qos(1, 2));
        assert_eq!(world.rows(), [row("queue_full", 1, "old", 0)]);
    }
}

#[test]
fn delivery_dropped_tells_of_a_queue_that_keeps_the_oldest() {
    let rule = r#"SELECT reason, payload, clientid FROM "$events/delivery_dropped""#;
    let mut world = World::with(&[rule], |config| {
        config.sessions.queue_messages = 1;
        config.sessions.queue_full = millrace_shards::config::QueueFull::DropNewest;
    });
    let publisher = world.connect(&Connect::new(V311, "p"));
    let subscriber = world.connect(&Connect::new(V311, "s").resume());
    world.subscribe(subscriber, "t/a", 1);
    world.lose(subscriber);
    world.publish(publisher, &Publish::new("t/a", "old").qos(1, 1));
    world.publish(publisher, &Publish::new("t/a", "new").qos(1, 2));
    assert_eq!(world.rows(), [r#"{"reason":"queue_full","payload":"new","clientid":"s"}"#.to_owned()]);
}

#[test]
fn delivery_dropped_tells_what_version_5_drops() {
    let rule = r#"SELECT reason, from_clientid AS f, clientid AS c, payload FROM "$events/delivery_dropped""#;
    let mut world = World::new(&[rule]);
    let row = |reason: &str, from: &str, to: &str, payload: &str| {
        format!("{{\"reason\":\"{reason}\",\"f\":\"{from}\",\"c\":\"{to}\",\"payload\":\"{payload}\"}}")
    };
    let publisher = world.connect(&Connect::new(V5, "p"));
    // No Local, once for each message, also from the retained store.
    world.subscribe(publisher, "t/a", 0b100);
    for _ in 0..2 {
        world.publish(publisher, &Publish::new("t/a", "own"));
        assert_eq!(world.rows(), [row("no_local", "p", "p", "own")]);
    }
    world.publish(publisher, &Publish::new("t/b", "own").retain());
    world.subscribe(publisher, "t/b", 0b100);
    assert_eq!(world.rows(), [row("no_local", "p", "p", "own")]);

    let small = Connect::new(V5, "small").property(property::four(0x27, 100));
    let subscriber = world.connect(&small);
    world.subscribe(subscriber, "t/c", 0);
    let long = "x".repeat(200);
    world.publish(publisher, &Publish::new("t/c", &long));
    assert_eq!(world.rows(), [row("too_large", "p", "small", &long)]);

    let subscriber = world.connect(&Connect::new(V5, "later").resume());
    world.subscribe(subscriber, "t/d", 1);
    world.lose(subscriber);
    world.publish(publisher, &Publish::new("t/d", "x").qos(1, 1).property(property::four(0x02, 1)));
    world.pass(Duration::from_secs(2));
    world.connect(&Connect::new(V5, "later").resume());
    assert_eq!(world.rows(), [row("expired", "p", "later", "x")]);
}

#[test]
fn delivery_dropped_tells_of_a_client_that_reads_too_slowly() {
    let rule = r#"SELECT reason, payload FROM "$events/delivery_dropped""#;
    let mut world = World::with(&[rule], |config| config.sessions.output_bytes = ByteSize(64));
    let publisher = world.connect(&Connect::new(V311, "p"));
    let subscriber = world.connect(&Connect::new(V311, "s"));
    world.subscribe(subscriber, "t/a", 0);
    world.stall(subscriber);
    for payload in ["1".repeat(100), "2".into()] {
        world.publish(publisher, &Publish::new("t/a", payload));
    }
    assert_eq!(world.rows(), [r#"{"reason":"qos0_msg","payload":2}"#.replace(":2", ":\"2\"")]);
}

#[test]
fn a_message_of_a_delay_or_a_will_names_its_client() {
    let rule = r#"SELECT from_clientid AS f, from_username AS u, topic FROM "$events/message_delivered""#;
    let mut world = World::new(&[rule, r#"SELECT reason, username AS u FROM "$events/message_dropped""#]);
    let subscriber = world.connect(&Connect::new(V5, "s"));
    world.subscribe(subscriber, "t/#", 0);
    let will = millrace_tests::wire::Will::new("t/will", "gone");
    let publisher = world.connect(&user("bob", Connect::new(V311, "p").will(will)));
    world.publish(publisher, &Publish::new("$delayed/1/t/late", "x"));
    world.pass(Duration::from_secs(2));
    assert_eq!(world.rows(), [r#"{"f":"p","u":"bob","topic":"t/late"}"#.to_owned()]);
    world.lose(publisher);
    assert_eq!(world.rows(), [r#"{"f":"p","u":"bob","topic":"t/will"}"#.to_owned()]);
    // An error in PUBACK is an acknowledgement all the same.
    let mut world = World::new(&[r#"SELECT clientid FROM "$events/message_acked""#]);
    let subscriber = world.connect(&Connect::new(V5, "s"));
    world.subscribe(subscriber, "t/#", 1);
    world.publish(subscriber, &Publish::new("t/a", "x").qos(1, 1));
    world.send(subscriber, &ack_with(first::PUBACK, 1, 0x83));
    assert_eq!(world.rows(), [r#"{"clientid":"s"}"#.to_owned()]);
}
