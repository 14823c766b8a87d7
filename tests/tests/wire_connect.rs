//! CONNECT and CONNACK: what is accepted, what is refused, what is granted.

use std::time::{Duration, Instant};

use millrace_tests::broker::Broker;
use millrace_tests::wire::build::{self, packet, text};
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, Will, property, unique};

const V31: Version = Version::V31;
const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// A CONNECT body with a protocol name and level of choice.
fn connect_named(name: &str, level: u8) -> Vec<u8> {
    let mut body = text(name);
    body.extend([level, 2, 0, 0]);
    if level >= 5 {
        body.push(0);
    }
    body.extend(text("named"));
    packet(0x10, &body)
}

#[test]
fn every_version_connects_on_the_same_port() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let connect = Connect::new(version, &unique("same-port", version));
        let (mut client, answer) = Client::connect_with(broker, &connect);
        assert!(!answer.session_present);
        client.ping();
        client.leave();
    }
}

#[test]
fn first_packet_must_be_connect() {
    let broker = Broker::shared();
    for first in [
        build::pingreq(),
        Publish::new("before/connect", "x").bytes(V311),
        build::subscribe(V311, 1, &[], &[("before/connect", 0)]),
        build::disconnect(),
        packet(0xF0, &[]),
        packet(0x00, &[]),
    ] {
        let mut client = Client::open(broker, V311);
        client.send(&first);
        client.expect_close();
    }
}

#[test]
fn second_connect_is_a_protocol_error() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let connect = Connect::new(version, &unique("second-connect", version));
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.send(&connect.bytes());
        client.expect_disconnect(0x82);
    }
}

#[test]
fn unknown_protocol_name_is_refused() {
    let broker = Broker::shared();
    for name in ["", "mqtt", "MQTTX", "HTTP", "MQIsd"] {
        for level in [3, 4, 5] {
            let code = Client::refused(broker, V311, &connect_named(name, level));
            assert!(matches!(code, None | Some(1 | 0x84)), "{name} {level}: {code:?}");
        }
    }
}

#[test]
fn unknown_protocol_level_is_answered_by_name_and_closed() {
    let broker = Broker::shared();
    for (name, level) in [("MQTT", 6), ("MQTT", 2), ("MQTT", 0), ("MQIsdp", 7), ("MQTT", 127)] {
        let code = Client::refused(broker, V311, &connect_named(name, level));
        // A level over ours is answered in the form of our newest version.
        assert_eq!(code, Some(if level < 5 { 1 } else { 0x84 }), "{name} {level}");
    }
}

#[test]
fn reserved_connect_flag_must_be_zero() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let connect = Connect::new(version, &unique("reserved-flag", version));
        let code = Client::refused(broker, version, &connect.bytes_with_flags(connect.flags() | 1));
        assert!(code.is_none() || (version == V5 && code == Some(0x81)), "{code:?}");
    }
}

#[test]
fn fixed_header_flags_of_connect_must_be_zero() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let mut bytes = Connect::new(version, "header-flags").bytes();
        bytes[0] |= 0x02;
        let code = Client::refused(broker, version, &bytes);
        assert!(matches!(code, None | Some(0x81)), "{code:?}");
    }
}

#[test]
fn will_flags_without_a_will_are_refused() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let connect = Connect::new(version, "will-flags");
        for flags in [0x08, 0x10, 0x18, 0x20] {
            let code = Client::refused(broker, version, &connect.bytes_with_flags(connect.flags() | flags));
            assert!(code.is_none() || version == V5, "{flags:#04x}: {code:?}");
        }
        // Nor are there fields of a Will.
        let present = connect.clone().will(Will::new("will/flags", "x"));
        let code = Client::refused(broker, version, &present.bytes_with_flags(connect.flags()));
        assert!(code.is_none() || version == V5, "{code:?}");
    }
}

#[test]
fn will_qos_3_is_refused() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let connect = Connect::new(version, "will-qos-3").will(Will::new("will/qos3", "x").qos(3));
        let code = Client::refused(broker, version, &connect.bytes());
        assert!(code.is_none() || version == V5, "{code:?}");
    }
}

#[test]
fn will_flag_needs_will_topic_and_payload() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let connect = Connect::new(version, "will-absent");
        let _ = Client::refused(broker, version, &connect.bytes_with_flags(connect.flags() | 0x04));
        // A topic alone is not enough.
        let whole = connect.will(Will::new("will/absent", "x")).bytes();
        let mut bytes = whole[..whole.len() - 3].to_vec();
        bytes[1] -= 3;
        let _ = Client::refused(broker, version, &bytes);
    }
}

#[test]
fn user_name_and_password_follow_their_flags() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let plain = Connect::new(version, "credential-flags");
        let mut named = plain.clone();
        named.username = Some("user".to_owned());
        let mut both = named.clone();
        both.password = Some(b"secret".to_vec());
        // Said by the flags and absent.
        for flags in [0x80, 0xC0] {
            let _ = Client::refused(broker, version, &plain.bytes_with_flags(plain.flags() | flags));
        }
        let _ = Client::refused(broker, version, &named.bytes_with_flags(both.flags()));
        // Present and not said by the flags.
        for connect in [&named, &both] {
            let _ = Client::refused(broker, version, &connect.bytes_with_flags(plain.flags()));
        }
        let _ = Client::refused(broker, version, &both.bytes_with_flags(named.flags()));
        for connect in [&named, &both] {
            Client::connect_with(broker, connect).0.leave();
        }
    }
}

#[test]
fn password_without_user_name_is_for_version_5_only() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        let mut connect = Connect::new(version, &unique("lone-password", version));
        connect.password = Some(b"secret".to_vec());
        if version == V5 {
            Client::connect_with(broker, &connect).0.leave();
        } else {
            assert_eq!(Client::refused(broker, version, &connect.bytes()), None);
        }
    }
}

#[test]
fn payload_fields_come_in_their_order() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("field-order", version);
        let mut connect = Connect::new(version, &id).will(Will::new(&format!("{id}/will"), "gone"));
        connect.username = Some("user".to_owned());
        connect.password = Some(b"secret".to_vec());
        let mut watcher = Client::connect(broker, version, &format!("{id}-watcher"));
        watcher.subscribe(&format!("{id}/#"), 0);
        Client::connect_with(broker, &connect).0.vanish();
        let will = watcher.expect_payload("gone");
        assert_eq!(will.topic, format!("{id}/will"));
    }
}

#[test]
fn client_identifier_must_be_present_and_utf8() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let whole = Connect::new(version, "x").bytes();
        // Without the Client Identifier: three bytes less.
        let mut bytes = whole[..whole.len() - 3].to_vec();
        bytes[1] -= 3;
        let _ = Client::refused(broker, version, &bytes);
        let mut bytes = whole;
        *bytes.last_mut().expect("a packet has bytes") = 0xFF;
        let _ = Client::refused(broker, version, &bytes);
    }
}

#[test]
fn client_identifiers_of_1_to_23_letters_and_digits_are_accepted() {
    let broker = Broker::shared();
    for version in VERSIONS {
        for id in ["Z", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"] {
            Client::connect(broker, version, id).leave();
        }
    }
}

#[test]
fn long_and_odd_client_identifiers_are_accepted() {
    let broker = Broker::shared();
    for version in [V311, V5] {
        for id in ["a b/c+d#e$", "ключ-钥匙-🔑", &"n".repeat(200)] {
            Client::connect(broker, version, id).leave();
        }
    }
}

#[test]
fn empty_client_identifier_gets_a_unique_one_in_version_5() {
    let broker = Broker::shared();
    let mut assigned = Vec::new();
    let mut clients = Vec::new();
    for clean in [true, false, true] {
        let connect = Connect::new(V5, "").clean(clean);
        let (client, answer) = Client::connect_with(broker, &connect);
        assert!(!answer.session_present);
        let id = answer.properties.text(0x12).expect("an Assigned Client Identifier");
        assert!(!id.is_empty() && !assigned.contains(&id.to_owned()));
        assigned.push(id.to_owned());
        clients.push(client);
    }
    for client in &mut clients {
        client.ping();
    }
    // It is a client id like any other: whoever uses it takes the connection over.
    let (_client, _) = Client::connect_with(broker, &Connect::new(V5, &assigned[0]));
    clients[0].expect_disconnect(0x8E);
}

#[test]
fn empty_client_identifier_with_a_clean_session_works_in_3_1_1() {
    let broker = Broker::shared();
    let mut one = Client::connect(broker, V311, "");
    let mut two = Client::connect(broker, V311, "");
    one.ping();
    two.ping();
}

#[test]
fn empty_client_identifier_with_a_kept_session_is_rejected_in_3_1_1() {
    let broker = Broker::shared();
    let connect = Connect::new(V311, "").clean(false);
    assert_eq!(Client::refused(broker, V311, &connect.bytes()), Some(2));
}

#[test]
fn nothing_after_a_refused_connect_is_processed() {
    let broker = Broker::shared();
    let mut watcher = Client::connect(broker, V311, "refused-watcher");
    watcher.subscribe("refused/#", 0);
    let unknown_method = Connect::new(V5, "refused").property(property::string(0x15, "NO-SUCH-METHOD"));
    for (connect, code) in [(Connect::new(V311, "").clean(false), 2), (unknown_method, 0x8C)] {
        let mut bytes = connect.bytes();
        bytes.extend(Publish::new("refused/a", "never").bytes(connect.version));
        bytes.extend(build::subscribe(connect.version, 1, &[], &[("refused/a", 0)]));
        bytes.extend(build::pingreq());
        assert_eq!(Client::refused(broker, connect.version, &bytes), Some(code));
    }
    watcher.expect_nothing();
}

#[test]
fn packets_may_follow_connect_without_waiting() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("eager", version);
        let mut bytes = Connect::new(version, &id).bytes();
        bytes.extend(build::subscribe(version, 7, &[], &[(&id, 0)]));
        bytes.extend(Publish::new(&id, "at once").bytes(version));
        let mut client = Client::open(broker, version);
        client.send(&bytes);
        assert_eq!(client.receive().connack(version).code, 0);
        // A message may overtake the SUBACK of its subscription.
        let mut answers = [client.receive(), client.receive()];
        answers.sort_by_key(|packet| packet.kind());
        assert_eq!(answers[0].publish(version).text(), "at once");
        assert_eq!(answers[1].suback(version, 0x90).id, 7);
    }
}

#[test]
fn connect_may_come_byte_by_byte() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("drip", version);
        let mut client = Client::open(broker, version);
        for byte in Connect::new(version, &id).will(Will::new("drip/will", "x")).bytes() {
            client.send(&[byte]);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.receive().connack(version).code, 0);
        client.leave();
    }
}

#[test]
fn exactly_one_connack_comes_and_it_comes_first() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("one-connack", version);
        let (mut keeper, _) = Client::connect_with(broker, &Connect::new(version, &id).resume());
        keeper.subscribe(&id, 1);
        keeper.vanish();
        let mut publisher = Client::connect(broker, version, &format!("{id}-publisher"));
        publisher.publish(Publish::new(&id, "waiting").qos(1, 0));
        let (mut keeper, answer) = Client::connect_with(broker, &Connect::new(version, &id).resume());
        assert!(version == V31 || answer.session_present);
        let delivery = keeper.expect_payload("waiting");
        keeper.acknowledge(&delivery);
        keeper.ping();
        keeper.expect_nothing();
    }
}

#[test]
fn connack_of_version_5_says_what_is_granted() {
    let broker = Broker::shared();
    let (_client, answer) = Client::connect_with(broker, &Connect::new(V5, "granted"));
    let granted = &answer.properties;
    assert_eq!(granted.number(0x21), Some(1024), "Receive Maximum");
    assert_eq!(granted.number(0x22), Some(64), "Topic Alias Maximum");
    assert_eq!(granted.number(0x27), Some(1 << 20), "Maximum Packet Size");
    for (id, what) in [
        (0x25, "Retain Available"),
        (0x28, "Wildcard Subscription Available"),
        (0x29, "Subscription Identifiers Available"),
        (0x2A, "Shared Subscription Available"),
    ] {
        assert_ne!(granted.number(id), Some(0), "{what}");
    }
    assert_eq!(granted.number(0x24), None, "Maximum QoS is absent where QoS 2 is served");
    assert_eq!(granted.text(0x12), None, "no Assigned Client Identifier for one that has its own");
    assert_eq!(granted.text(0x15), None, "no Authentication Method without one in CONNECT");
    assert_eq!(granted.number(0x13), None, "the Keep Alive that was asked for is used");
}

#[test]
fn each_property_of_connect_stands_once_and_in_range() {
    let broker = Broker::shared();
    let refused = [
        ("Receive Maximum 0", property::two(0x21, 0)),
        ("Maximum Packet Size 0", property::four(0x27, 0)),
        ("Request Problem Information 2", property::byte(0x17, 2)),
        ("Request Response Information 2", property::byte(0x19, 2)),
        ("Session Expiry twice", [property::four(0x11, 1), property::four(0x11, 1)].concat()),
        ("Topic Alias Maximum twice", [property::two(0x22, 1), property::two(0x22, 1)].concat()),
        ("Authentication Data without a method", property::string(0x16, "data")),
        ("a property of PUBLISH", property::byte(0x01, 1)),
        ("an unknown property", vec![0x7F, 0]),
        ("a property cut short", vec![0x11, 0, 0]),
    ];
    for (what, property) in refused {
        let connect = Connect::new(V5, "odd-properties").property(property);
        let code = Client::refused(broker, V5, &connect.bytes());
        assert!(matches!(code, None | Some(0x81 | 0x82)), "{what}: {code:?}");
    }
}

#[test]
fn user_properties_of_connect_may_repeat() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "user-properties")
        .property(property::user("a", "1"))
        .property(property::user("a", "1"))
        .property(property::user("", ""));
    Client::connect_with(broker, &connect).0.leave();
}

#[test]
fn unknown_authentication_method_is_refused_by_name() {
    let broker = Broker::shared();
    let connect = Connect::new(V5, "auth-method").property(property::string(0x15, "NO-SUCH-METHOD"));
    assert_eq!(Client::refused(broker, V5, &connect.bytes()), Some(0x8C));
}

#[test]
fn auth_without_a_method_in_connect_is_a_protocol_error() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V5, "auth-uninvited");
    client.send(&packet(0xF0, &[&[0x19][..], &[5], &property::string(0x15, "ab")].concat()));
    client.expect_refusal(&[0x82, 0x8C]);
}

#[test]
fn response_information_is_not_sent_unasked() {
    let broker = Broker::shared();
    for asked in [None, Some(0)] {
        let mut connect = Connect::new(V5, "response-information");
        if let Some(value) = asked {
            connect = connect.property(property::byte(0x19, value));
        }
        let (client, answer) = Client::connect_with(broker, &connect);
        assert_eq!(answer.properties.text(0x1A), None);
        client.leave();
    }
}

#[test]
fn error_connack_has_no_session_and_closes() {
    let broker = Broker::shared();
    let id = "error-connack";
    let (client, _) = Client::connect_with(broker, &Connect::new(V5, id).resume());
    client.vanish();
    let connect = Connect::new(V5, id).resume().property(property::string(0x15, "NO-SUCH-METHOD"));
    let (mut client, answer) = Client::try_connect(broker, &connect);
    assert_eq!((answer.code, answer.session_present), (0x8C, false));
    client.expect_close();
    // The session of that client id has not suffered.
    let (_client, answer) = Client::connect_with(broker, &Connect::new(V5, id).resume());
    assert!(answer.session_present);
}

#[test]
fn keep_alive_lapses_after_one_and_a_half_times() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let connect = Connect::new(version, &unique("keep-alive", version)).keep_alive(1);
        let (mut client, _) = Client::connect_with(broker, &connect);
        let begun = Instant::now();
        client.expect_disconnect(0x8D);
        let lasted = begun.elapsed();
        assert!(lasted > Duration::from_millis(1400), "closed after {lasted:?}");
        assert!(lasted < Duration::from_secs(5), "closed after {lasted:?}");
    }
}

#[test]
fn any_packet_keeps_a_connection_alive() {
    let broker = Broker::shared();
    let mut clients: Vec<Client> = VERSIONS
        .into_iter()
        .map(|version| {
            let connect = Connect::new(version, &unique("kept-alive", version)).keep_alive(1);
            Client::connect_with(broker, &connect).0
        })
        .collect();
    for round in 0..4 {
        std::thread::sleep(Duration::from_millis(700));
        for client in &mut clients {
            if round % 2 == 0 {
                client.ping();
            } else {
                client.publish(Publish::new("kept/alive", "x").qos(1, 0));
            }
        }
    }
}

#[test]
fn keep_alive_zero_never_lapses() {
    let broker = Broker::shared();
    let mut client = Client::connect(broker, V311, "keep-alive-zero");
    std::thread::sleep(Duration::from_secs(2));
    client.ping();
}

#[test]
fn keep_alive_of_65535_is_taken() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let connect = Connect::new(version, &unique("keep-alive-max", version)).keep_alive(u16::MAX);
        let (mut client, _) = Client::connect_with(broker, &connect);
        client.ping();
    }
}

#[test]
fn pingreq_is_answered() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let mut client = Client::connect(broker, version, &unique("ping", version));
        client.send(&[build::pingreq(), build::pingreq()].concat());
        client.expect(0xD0, &[]);
        client.expect(0xD0, &[]);
    }
}

#[test]
fn connection_closes_after_disconnect_and_nothing_more_is_processed() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let id = unique("goodbye", version);
        let mut watcher = Client::connect(broker, version, &format!("{id}-watcher"));
        watcher.subscribe(&id, 0);
        let mut client = Client::connect(broker, version, &id);
        let mut bytes = build::disconnect();
        bytes.extend(Publish::new(&id, "too late").bytes(version));
        client.send(&bytes);
        client.expect_close();
        watcher.expect_nothing();
    }
}
