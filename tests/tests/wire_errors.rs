//! What breaks the rules is refused at its first byte, and nobody else suffers.

use millrace_tests::broker::Broker;
use millrace_tests::wire::build::{self, packet, text};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, Will, ack, first, property, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// Sends bytes on a fresh connection; the broker must end it, in version 5 with one of these reasons.
#[track_caller]
fn refused(version: Version, what: &str, bytes: &[u8], reasons: &[u8]) {
    let mut client = Client::connect(Broker::shared(), version, &format!("errors-{what}-{version:?}"));
    client.send(bytes);
    client.expect_refusal(reasons);
}

#[test]
fn packets_that_only_a_server_sends_are_refused() {
    for version in VERSIONS {
        refused(version, "connack", &packet(0x20, &[0, 0]), &[0x81, 0x82]);
        refused(version, "suback", &packet(0x90, &[0, 1, 0]), &[0x81, 0x82]);
        refused(version, "unsuback", &packet(0xB0, &[0, 1]), &[0x81, 0x82]);
        refused(version, "pingresp", &packet(0xD0, &[]), &[0x81, 0x82]);
        refused(version, "type-0", &packet(0x00, &[]), &[0x81, 0x82]);
    }
    refused(V311, "type-15", &packet(0xF0, &[]), &[]);
}

#[test]
fn reserved_flags_are_refused() {
    for version in [V311, V5] {
        for (what, bytes) in [
            ("puback", packet(0x41, &[0, 1])),
            ("pubrec", packet(0x51, &[0, 1])),
            ("pubrel-0", packet(0x60, &[0, 1])),
            ("pubrel-f", packet(0x6F, &[0, 1])),
            ("pubcomp", packet(0x72, &[0, 1])),
            ("pingreq", packet(0xC1, &[])),
            ("disconnect", packet(0xE1, &[])),
        ] {
            refused(version, what, &bytes, &[0x81]);
        }
        for first in [0x80, 0x83, 0x8F] {
            let mut bytes = build::subscribe(version, 1, &[], &[("a", 0)]);
            bytes[0] = first;
            refused(version, "subscribe", &bytes, &[0x81]);
        }
        for first in [0xA0, 0xA3, 0xAF] {
            let mut bytes = build::unsubscribe(version, 1, &["a"]);
            bytes[0] = first;
            refused(version, "unsubscribe", &bytes, &[0x81]);
        }
    }
    let auth = packet(0xF1, &[&[0x19][..], &[5], &property::string(0x15, "ab")].concat());
    refused(V5, "auth", &auth, &[0x81]);
}

#[test]
fn ill_formed_utf8_is_refused() {
    let bad: [&[u8]; 6] = [
        &[0xED, 0xA0, 0x80],
        &[0xED, 0xBF, 0xBF],
        &[0xC0, 0xAF],
        &[0xF8, 0x88, 0x80, 0x80, 0x80],
        &[b'a', 0xC3],
        &[0xFF],
    ];
    for version in VERSIONS {
        let properties = build::properties(version, &[]);
        for bytes in bad {
            let publish = packet(0x30, &[&text(bytes)[..], &properties, b"x"].concat());
            refused(version, "topic", &publish, &[0x81, 0x90]);
            let subscribe = packet(0x82, &[&[0, 1][..], &properties, &text(bytes), &[0]].concat());
            refused(version, "filter", &subscribe, &[0x81, 0x8F]);
            let unsubscribe = packet(0xA2, &[&[0, 1][..], &properties, &text(bytes)].concat());
            refused(version, "unfilter", &unsubscribe, &[0x81, 0x8F]);
        }
    }
}

#[test]
fn ill_formed_utf8_in_connect_is_refused() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let mark = |bytes: Vec<u8>| -> Vec<u8> {
            bytes.into_iter().map(|byte| if byte == b'~' { 0xFF } else { byte }).collect()
        };
        let id = Connect::new(version, "~");
        let will = Connect::new(version, "utf8").will(Will::new("will/~", "x"));
        let mut user = Connect::new(version, "utf8");
        user.username = Some("~".to_owned());
        for connect in [id, will, user] {
            let _ = Client::refused(broker, version, &mark(connect.bytes()));
        }
    }
}

#[test]
fn ill_formed_utf8_in_properties_is_refused() {
    for (what, property) in [
        ("content-type", property::string(0x03, [0xFF])),
        ("response-topic", property::string(0x08, [b'a', 0xFF])),
        ("user-name", [&[0x26][..], &text([0xFF]), &text("v")].concat()),
        ("user-value", [&[0x26][..], &text("n"), &text([0xED, 0xA0, 0x80])].concat()),
        ("user-null", [&[0x26][..], &text("n\0"), &text("v")].concat()),
    ] {
        let publish = Publish::new("utf8/property", "x").property(property);
        refused(V5, what, &publish.bytes(V5), &[0x81, 0x82, 0x90]);
    }
}

#[test]
fn the_null_character_is_refused() {
    let broker = Broker::shared();
    for version in VERSIONS {
        refused(version, "null-topic", &Publish::new("a\0b", "x").bytes(version), &[0x81, 0x90]);
        let subscribe = build::subscribe(version, 1, &[], &[("a\0b", 0)]);
        refused(version, "null-filter", &subscribe, &[0x81, 0x8F]);
        let _ = Client::refused(broker, version, &Connect::new(version, "a\0b").bytes());
    }
}

#[test]
fn zero_width_no_break_space_is_kept() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("bom", version);
        let topic = format!("{id}/\u{FEFF}x");
        let mut client = Client::connect(broker, version, &id);
        client.subscribe(&format!("{id}/#"), 0);
        client.publish(Publish::new(&topic, "kept"));
        assert_eq!(client.expect_payload("kept").topic, topic);
        client.unsubscribe(&[&format!("{id}/#")]);
        client.subscribe(&format!("{id}/x"), 0);
        client.publish(Publish::new(&topic, "not skipped"));
        client.expect_nothing();
    }
}

#[test]
fn packet_identifier_zero_is_refused() {
    for version in VERSIONS {
        let subscribe = build::subscribe(version, 0, &[], &[("a", 0)]);
        refused(version, "subscribe-0", &subscribe, &[0x81, 0x82]);
        refused(version, "unsubscribe-0", &build::unsubscribe(version, 0, &["a"]), &[0x81, 0x82]);
        for qos in [1, 2] {
            let publish = Publish::new("a", "x").qos(qos, 0).bytes(version);
            refused(version, "publish-0", &publish, &[0x81, 0x82]);
        }
        refused(version, "puback-0", &ack(first::PUBACK, 0), &[0x81, 0x82]);
    }
}

#[test]
fn publish_with_qos_3_is_refused() {
    for version in VERSIONS {
        let publish = Publish::new("a", "x").qos(3, 1).bytes(version);
        refused(version, "qos-3", &publish, &[0x81]);
    }
}

#[test]
fn dup_with_qos_0_is_refused() {
    for version in [V311, V5] {
        let publish = Publish::new("a", "x").dup().bytes(version);
        refused(version, "dup-0", &publish, &[0x81, 0x82]);
    }
}

#[test]
fn wildcards_in_a_topic_name_are_refused() {
    for version in VERSIONS {
        for topic in ["#", "+", "a/#", "a/+/b", "a#", "+a"] {
            let publish = Publish::new(topic, "x").bytes(version);
            refused(version, "wildcard", &publish, &[0x81, 0x82, 0x90]);
        }
    }
}

#[test]
fn an_empty_topic_name_is_refused() {
    for version in VERSIONS {
        let publish = Publish::new("", "x").bytes(version);
        refused(version, "empty-topic", &publish, &[0x81, 0x82, 0x90]);
    }
}

#[test]
fn subscribe_and_unsubscribe_need_a_filter() {
    for version in VERSIONS {
        refused(version, "no-filter", &build::subscribe(version, 1, &[], &[]), &[0x81, 0x82]);
        refused(version, "no-unfilter", &build::unsubscribe(version, 1, &[]), &[0x81, 0x82]);
    }
}

#[test]
fn reserved_bits_of_subscription_options_are_refused() {
    for (version, options) in [(V311, vec![0x03, 0x04, 0x80]), (V5, vec![0x03, 0x40, 0x80, 0xC0])] {
        for option in options {
            let subscribe = build::subscribe(version, 1, &[], &[("a", option)]);
            refused(version, "options", &subscribe, &[0x81, 0x82]);
        }
    }
    refused(V5, "retain-handling-3", &build::subscribe(V5, 1, &[], &[("a", 0x30)]), &[0x81, 0x82]);
}

#[test]
fn an_invalid_topic_filter_is_not_subscribed() {
    let broker = Broker::shared();
    for version in VERSIONS {
        for filter in ["", "a/#/b", "a#", "#a", "a+", "+a", "a/b+/c", "##", "a/##", "++"] {
            let mut client = Client::connect(broker, version, &unique("bad-filter", version));
            client.send(&build::subscribe(version, 9, &[], &[(filter, 0)]));
            let answer = client.receive_or_close();
            match answer {
                Some(packet) if packet.first == 0x90 => {
                    let codes = packet.suback(version, 0x90).codes;
                    let wanted = if version == V5 { 0x8F } else { 0x80 };
                    assert_eq!(codes, [wanted], "{filter:?}");
                }
                Some(packet) => {
                    let code = packet.disconnect().0;
                    assert!(matches!(code, 0x81 | 0x82 | 0x8F), "{filter:?}: {code:#04x}");
                }
                None => assert_ne!(version, V5, "{filter:?} closes without a reason"),
            }
        }
    }
}

#[test]
fn a_packet_that_ends_inside_a_field_is_refused() {
    for version in VERSIONS {
        let properties = build::properties(version, &[]);
        for (what, bytes) in [
            ("topic", packet(0x30, &[0, 9, b'a'])),
            ("topic-length", packet(0x30, &[0])),
            ("empty", packet(0x30, &[])),
            ("publish-id", packet(0x32, &[0, 1, b'a', 0])),
            ("puback", packet(0x40, &[0])),
            ("subscribe-id", packet(0x82, &[0])),
            ("filter", packet(0x82, &[&[0, 1][..], &properties, &[0, 5, b'a']].concat())),
            ("options", packet(0x82, &[&[0, 1][..], &properties, &text("a")].concat())),
            ("unfilter", packet(0xA2, &[&[0, 1][..], &properties, &[0, 5, b'a']].concat())),
        ] {
            refused(version, what, &bytes, &[0x81, 0x82]);
        }
    }
    for (what, bytes) in [
        ("property-length", packet(0x30, &[&text("a")[..], &[9, 1]].concat())),
        ("property-value", packet(0x30, &[&text("a")[..], &[3, 0x02, 0, 0]].concat())),
        ("long-length", packet(0x30, &[&text("a")[..], &[0xFF, 0xFF, 0xFF, 0xFF, 0x7F]].concat())),
    ] {
        refused(V5, what, &bytes, &[0x81]);
    }
}

#[test]
fn bytes_behind_the_end_of_a_packet_are_refused() {
    for version in [V311, V5] {
        refused(version, "pingreq", &packet(0xC0, &[0]), &[0x81, 0x82]);
    }
    refused(V311, "puback", &packet(0x40, &[0, 1, 0]), &[]);
    refused(V311, "disconnect", &packet(0xE0, &[0]), &[]);
    refused(V5, "puback", &packet(0x40, &[0, 1, 0, 0, 9]), &[0x81, 0x82]);
}

#[test]
fn a_remaining_length_of_five_bytes_is_refused() {
    for version in VERSIONS {
        refused(version, "length-5", &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01], &[0x81, 0x95]);
        refused(version, "length-ff", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], &[0x81, 0x95]);
    }
}

#[test]
fn an_over_long_length_never_smuggles_a_packet() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let id = unique("smuggled", version);
        let mut watcher = Client::connect(broker, version, &format!("{id}-watcher"));
        watcher.subscribe(&id, 0);
        let hidden = Publish::new(&id, "smuggled").bytes(version);
        let mut bytes = vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF];
        bytes.extend(&hidden);
        bytes.extend(&hidden);
        let mut client = Client::connect(broker, version, &id);
        client.send(&bytes);
        client.expect_refusal(&[0x81, 0x95]);
        watcher.expect_nothing();
    }
}

#[test]
fn properties_stand_once_and_where_they_belong() {
    let publish = |raw: Vec<u8>| Publish::new("odd/property", "x").property(raw).bytes(V5);
    for (what, bytes) in [
        ("unknown", publish(vec![0x7E, 0])),
        ("of-connect", publish(property::two(0x21, 1))),
        ("format-twice", publish([property::byte(1, 0), property::byte(1, 0)].concat())),
        ("format-2", publish(property::byte(1, 2))),
        ("expiry-twice", publish([property::four(2, 1), property::four(2, 1)].concat())),
        ("alias-twice", publish([property::two(0x23, 1), property::two(0x23, 1)].concat())),
        ("subscribe-expiry", build::subscribe(V5, 1, &property::four(2, 1), &[("a", 0)])),
        (
            "subscription-identifier-twice",
            build::subscribe(V5, 1, &[property::var(0x0B, 1), property::var(0x0B, 2)].concat(), &[("a", 0)]),
        ),
        ("subscription-identifier-0", build::subscribe(V5, 1, &property::var(0x0B, 0), &[("a", 0)])),
    ] {
        refused(V5, what, &bytes, &[0x81, 0x82]);
    }
}

#[test]
fn a_variable_byte_integer_is_in_its_shortest_form() {
    let long = packet(0x30, &[&text("a")[..], &[0x80, 0x00], b"x"].concat());
    refused(V5, "padded-zero", &long, &[0x81]);
    let padded = build::subscribe(V5, 1, &[0x0B, 0x81, 0x00], &[("a", 0)]);
    refused(V5, "padded-identifier", &padded, &[0x81]);
    refused(V5, "padded-length", &[0xC0, 0x80, 0x00], &[0x81]);
}

#[test]
fn a_subscription_identifier_from_a_client_is_refused() {
    let publish = Publish::new("a", "x").property(property::var(0x0B, 1));
    refused(V5, "identifier", &publish.bytes(V5), &[0x81, 0x82]);
}

#[test]
fn a_topic_alias_out_of_range_is_refused() {
    for alias in [0, 65, u16::MAX] {
        let publish = Publish::new("alias/range", "x").property(property::two(0x23, alias));
        refused(V5, "range", &publish.bytes(V5), &[0x94]);
    }
}

#[test]
fn an_unknown_topic_alias_is_refused() {
    let publish = Publish::new("", "x").property(property::two(0x23, 7));
    refused(V5, "unknown-alias", &publish.bytes(V5), &[0x82, 0x94]);
}

#[test]
fn a_response_topic_with_wildcards_is_refused() {
    for topic in ["reply/#", "reply/+/x"] {
        let publish = Publish::new("a", "x").property(property::string(0x08, topic));
        refused(V5, "response-topic", &publish.bytes(V5), &[0x81, 0x82, 0x90]);
    }
}

#[test]
fn a_payload_that_is_not_the_text_it_claims_is_refused() {
    let broker = Broker::shared();
    let mut watcher = Client::connect(broker, V5, "format-watcher");
    watcher.subscribe("format/#", 1);
    let mut client = Client::connect(broker, V5, "format");
    let bad = Publish::new("format/a", [0xFF, 0xFE]).qos(1, 5).property(property::byte(1, 1));
    client.send(&bad.bytes(V5));
    assert_eq!(client.receive().ack(V5, first::PUBACK).codes, [0x99]);
    // The connection stays, and text passes.
    let good = Publish::new("format/a", "text").qos(1, 0).property(property::byte(1, 1));
    assert_eq!(client.publish(good), 0);
    watcher.expect_payload("text");
}

#[test]
fn unknown_reason_codes_are_refused() {
    refused(V5, "puback", &build::ack_with(first::PUBACK, 1, 0x03), &[0x81, 0x82]);
    refused(V5, "disconnect", &packet(0xE0, &[0x03]), &[0x81, 0x82]);
}

#[test]
fn a_client_never_raises_its_expiry_from_zero_when_it_leaves() {
    let leave = build::disconnect_with(0, &property::four(0x11, 100));
    refused(V5, "expiry", &leave, &[0x82]);
}

#[test]
fn every_prefix_of_every_packet_waits_and_costs_nobody() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let mut bystander = Client::connect(broker, version, &unique("bystander", version));
        let packets = [
            Publish::new("prefix/a", "payload").qos(2, 1).bytes(version),
            build::subscribe(version, 2, &[], &[("prefix/+", 1)]),
            build::unsubscribe(version, 3, &["prefix/+"]),
            ack(first::PUBREL, 4),
        ];
        for bytes in packets {
            for end in 1..bytes.len() {
                let mut client = Client::connect(broker, version, &unique("prefix", version));
                client.send(&bytes[..end]);
                client.vanish();
            }
        }
        bystander.ping();
    }
}

#[test]
fn random_bytes_harm_nobody() {
    let broker = Broker::shared();
    let mut bystander = Client::connect(broker, V5, "random-bystander");
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    for round in 0..200_usize {
        let mut bytes = Vec::new();
        for _ in 0..=(round % 40) {
            bytes.extend(random());
        }
        let version = VERSIONS[round % 3];
        if round % 2 == 0 {
            let mut client = Client::open(broker, version);
            client.send_perhaps(&bytes);
            client.vanish();
        } else {
            let mut client = Client::connect(broker, version, "random");
            client.send_perhaps(&bytes);
            client.vanish();
        }
    }
    bystander.ping();
}
