//! What rules read of events: each event with all its fields, for clients of versions 3.1.1 and 5.0, across shards.

mod messages;
mod world;

use std::time::Duration;

use millrace_tests::wire::{Connect, Version, build, property};
use world::{BEGAN, World};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// What ends every row.
fn end(event: &str, after_ms: u64) -> String {
    format!("\"timestamp\":{},\"node\":\"millrace@127.0.0.1\",\"event\":\"{event}\"}}", BEGAN + after_ms)
}

fn ada(version: Version) -> Connect {
    Connect { username: Some("ada".into()), ..Connect::new(version, "c1") }
}

/// An in-between part of rows about a connection.
fn connection(version: Version) -> String {
    let level = version as u8;
    format!(
        "\"peername\":\"10.0.0.7:4711\",\"sockname\":\"127.0.0.1:1883\",\"proto_name\":\"MQTT\",\"proto_ver\":{level}"
    )
}

#[test]
fn client_connected_tells_of_the_connect() {
    let mut world = World::new(&[r#"SELECT * FROM "$events/client_connected""#]);
    world.connect(&ada(V311).keep_alive(60));
    assert_eq!(
        world.rows(),
        [format!(
            "{{\"clientid\":\"c1\",\"username\":\"ada\",\"mountpoint\":null,{},\"keepalive\":60,\"clean_start\":true,\
             \"receive_maximum\":65535,\"expiry_interval\":0,\"is_bridge\":false,\"conn_props\":{{}},\
             \"connected_at\":{BEGAN},{}",
            connection(V311),
            end("client.connected", 0)
        )]
    );
    let connect = Connect::new(V5, "c2").resume().property(property::two(0x21, 20)).property(property::user("k", "v"));
    world.connect(&connect);
    assert_eq!(
        world.rows(),
        [format!(
            "{{\"clientid\":\"c2\",\"username\":null,\"mountpoint\":null,{},\"keepalive\":0,\"clean_start\":false,\
             \"receive_maximum\":20,\"expiry_interval\":3600,\"is_bridge\":false,\"conn_props\":{{\
             \"Session-Expiry-Interval\":3600,\"Receive-Maximum\":20,\"User-Property\":{{\"k\":\"v\"}},\
             \"User-Property-Pairs\":[{{\"key\":\"k\",\"value\":\"v\"}}]}},\"connected_at\":{BEGAN},{}",
            connection(V5),
            end("client.connected", 0)
        )]
    );
}

#[test]
fn a_mountpoint_and_an_old_bridge_are_told() {
    let rule = r#"SELECT mountpoint, is_bridge, proto_name, proto_ver FROM "$events/client/connected""#;
    let mut world = World::with(&[rule], |config| {
        config.listeners.get_mut("default").expect("it was made").mountpoint = "north/".into();
    });
    let mut bytes = Connect::new(Version::V31, "b").bytes();
    let level = 2 + 2 + "MQIsdp".len();
    bytes[level] |= 0x80;
    world.open(Version::V31, &bytes);
    assert_eq!(
        world.rows(),
        [r#"{"mountpoint":"north/","is_bridge":true,"proto_name":"MQIsdp","proto_ver":3}"#.to_owned()]
    );
}

#[test]
fn client_disconnected_says_why() {
    let mut world = World::new(&[r#"SELECT * FROM "$events/client_disconnected""#]);
    let row = |version, username: &str, reason: &str, properties: &str, after| {
        format!(
            "{{\"reason\":\"{reason}\",\"clientid\":\"c1\",\"username\":{username},{},\"disconn_props\":{properties},\
             \"disconnected_at\":{},{}",
            connection(version),
            BEGAN + after,
            end("client.disconnected", after)
        )
    };
    let client = world.connect(&ada(V311));
    world.send(client, &build::disconnect());
    assert_eq!(world.rows(), [row(V311, "\"ada\"", "normal", "{}", 0)]);

    let client = world.connect(&Connect::new(V5, "c1"));
    world.send(client, &build::disconnect_with(0x98, &property::string(0x1F, "bye")));
    assert_eq!(world.rows(), [row(V5, "null", "administrative_action", "{\"Reason-String\":\"bye\"}", 0)]);

    let client = world.connect(&ada(V5));
    world.lose(client);
    assert_eq!(world.rows(), [row(V5, "\"ada\"", "tcp_closed", "{}", 0)]);

    let client = world.connect(&ada(V311));
    world.connect(&ada(V311).resume());
    assert_eq!(world.rows(), [row(V311, "\"ada\"", "takeovered", "{}", 0)]);
    let _ = client;
    let client = world.connect(&ada(V5));
    assert_eq!(world.rows(), [row(V311, "\"ada\"", "discarded", "{}", 0)]);

    world.send(client, &build::subscribe(V5, 0, &[], &[("a", 0)]));
    assert_eq!(world.rows(), [row(V5, "\"ada\"", "protocol_error", "{}", 0)]);

    world.connect(&ada(V311).keep_alive(2));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.rows(), [row(V311, "\"ada\"", "keepalive_timeout", "{}", 3000)]);
}

#[test]
fn client_connack_tells_of_every_answer() {
    let mut world = World::new(&[r#"SELECT * FROM "$events/client_connack""#]);
    let row = |version, id: &str, reason: &str, clean: bool, properties: &str| {
        format!(
            "{{\"reason_code\":\"{reason}\",\"clientid\":\"{id}\",\"clean_start\":{clean},\"username\":\"ada\",{},\
             \"keepalive\":0,\"expiry_interval\":0,\"conn_props\":{properties},{}",
            connection(version),
            end("client.connack", 0)
        )
    };
    for version in [V311, V5] {
        world.connect(&ada(version));
        assert_eq!(world.rows(), [row(version, "c1", "success", true, "{}")]);
    }
    world.connect(&ada(V5).property(property::string(0x15, "magic")));
    let properties = "{\"Authentication-Method\":\"magic\"}";
    assert_eq!(world.rows(), [row(V5, "c1", "bad_authentication_method", true, properties)]);
    let long = "x".repeat(300);
    world.connect(&Connect { client_id: long.clone(), ..ada(V311) });
    assert_eq!(world.rows(), [row(V311, &long, "client_identifier_not_valid", true, "{}")]);

    // A malformed CONNECT: nothing is known of who it was, and version 3 gets no answer.
    let malformed = |version| Connect::new(version, "c").bytes_with_flags(0x01);
    world.open(V5, &malformed(V5));
    let [row] = &world.rows()[..] else { panic!("one row") };
    assert!(row.starts_with("{\"reason_code\":\"malformed_packet\",\"clientid\":\"\",\"clean_start\":null"), "{row}");
    world.open(V311, &malformed(V311));
    assert_eq!(world.rows(), [] as [String; 0]);
}

#[test]
fn client_ping_tells_of_each_pingreq() {
    let mut world = World::new(&[r#"SELECT * FROM "$events/client/ping""#]);
    for version in [V311, V5] {
        let client = world.connect(&ada(version).keep_alive(30));
        world.send(client, &build::pingreq());
        assert_eq!(
            world.rows(),
            [format!(
                "{{\"clientid\":\"c1\",\"username\":\"ada\",{},\"keepalive\":30,{}",
                connection(version),
                end("client.ping", 0)
            )]
        );
    }
}

#[test]
fn sessions_are_told_from_their_beginning_to_their_end() {
    let mut world = World::new(&[
        r#"SELECT * FROM "$events/session_created""#,
        r#"SELECT * FROM "$events/session_resumed""#,
        r#"SELECT * FROM "$events/session_terminated""#,
    ]);
    let begin = |event: &str, clean: bool, expiry: u32| {
        format!(
            "{{\"clientid\":\"c1\",\"username\":\"ada\",\"peerhost\":\"10.0.0.7\",\"clean_start\":{clean},\
             \"expiry_interval\":{expiry},{}",
            end(event, 0)
        )
    };
    let ended = |reason: &str, after| {
        format!(
            "{{\"reason\":\"{reason}\",\"clientid\":\"c1\",\"username\":\"ada\",{}",
            end("session.terminated", after)
        )
    };
    for (version, expiry) in [(V311, 7200), (V5, 3600)] {
        let client = world.connect(&ada(version));
        assert_eq!(world.rows(), [begin("session.created", true, 0)]);
        world.send(client, &build::disconnect());
        assert_eq!(world.rows(), [ended("normal", 0)]);

        world.connect(&ada(version));
        let client = world.connect(&ada(version).resume());
        assert_eq!(
            world.rows(),
            [begin("session.created", true, 0), ended("takeovered", 0), begin("session.created", false, expiry)]
        );
        world.lose(client);
        world.connect(&ada(version).resume());
        assert_eq!(world.rows(), [begin("session.resumed", false, expiry)]);
        let client = world.connect(&ada(version));
        assert_eq!(world.rows(), [ended("discarded", 0), begin("session.created", true, 0)]);
        world.lose(client);
        assert_eq!(world.rows(), [ended("tcp_closed", 0)]);
    }
    let expiring = ada(V5).property(property::four(0x11, 2));
    let client = world.connect(&expiring);
    world.lose(client);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.rows(), [begin("session.created", true, 2), ended("expired", 2000)]);
}

#[test]
fn subscriptions_are_told_one_filter_at_a_time() {
    let rules = [r#"SELECT * FROM "$events/session_subscribed""#, r#"SELECT * FROM "$events/session_unsubscribed""#];
    let mut world = World::with(&rules, |config| {
        config.listeners.get_mut("default").expect("it was made").mountpoint = "north/".into();
        config.mqtt.wildcard_subscription_available = false;
    });
    let row = |event: &str, topic: &str, qos: u8, name: &str, properties: &str| {
        format!(
            "{{\"clientid\":\"c1\",\"username\":\"ada\",\"peerhost\":\"10.0.0.7\",\"topic\":\"{topic}\",\"qos\":{qos},\
             \"{name}\":{properties},{}",
            end(event, 0)
        )
    };
    for version in [V311, V5] {
        let client = world.connect(&ada(version));
        let id = if version == V5 { property::var(0x0B, 7) } else { Vec::new() };
        let filters = [("a/b", 1), ("refused/#", 0), ("$share/g/c", 2)];
        world.send(client, &build::subscribe(version, 1, &id, &filters));
        let properties = if version == V5 { "{\"Subscription-Identifier\":7}" } else { "{}" };
        let subscribed = |topic, qos| row("session.subscribed", topic, qos, "sub_props", properties);
        assert_eq!(world.rows(), [subscribed("north/a/b", 1), subscribed("$share/g/north/c", 2)]);
        world.send(client, &build::unsubscribe(version, 2, &["a/b", "unknown"]));
        assert_eq!(world.rows(), [row("session.unsubscribed", "north/a/b", 1, "unsub_props", "{}")]);
    }
}

#[test]
fn one_rule_reads_several_events() {
    let mut world = World::new(&[
        r#"SELECT event, clientid FROM "$events/#" WHERE clientid = 'c1'"#,
        r#"SELECT event FROM "$events/client_connected", "$events/client_ping""#,
    ]);
    let client = world.connect(&ada(V5));
    world.send(client, &build::pingreq());
    let of = |event: &str| format!("{{\"event\":\"{event}\",\"clientid\":\"c1\"}}");
    let alone = |event: &str| format!("{{\"event\":\"{event}\"}}");
    assert_eq!(
        world.rows(),
        [
            of("session.created"),
            of("client.connected"),
            alone("client.connected"),
            of("client.connack"),
            of("client.ping"),
            alone("client.ping"),
        ]
    );
}
