//! The Will: when it is sent, when it lapses, and what it carries.

use std::time::{Duration, Instant};

use millrace_tests::broker::Broker;
use millrace_tests::wire::{Client, Connect, Publish, VERSIONS, Version, Will, build, property, unique};

const V311: Version = Version::V311;
const V5: Version = Version::V5;

/// A client with a Will and somebody who waits for it.
fn with_will(version: Version, name: &str, change: impl Fn(Connect) -> Connect) -> (Client, Client, Connect) {
    let broker = Broker::shared();
    let id = unique(name, version);
    let mut watcher = Client::connect(broker, version, &format!("{id}-watcher"));
    watcher.subscribe(&id, 2);
    let connect = change(Connect::new(version, &id).will(Will::new(&id, "gone")));
    let (client, _) = Client::connect_with(broker, &connect);
    (client, watcher, connect)
}

#[test]
fn will_is_sent_when_the_connection_breaks() {
    for version in VERSIONS {
        let (client, mut watcher, connect) = with_will(version, "will-broken", |c| c);
        watcher.expect_nothing();
        client.vanish();
        let will = watcher.expect_payload("gone");
        assert_eq!(will.topic, connect.client_id);
        assert!(!will.retain && !will.dup);
        watcher.expect_nothing();
    }
}

#[test]
fn will_is_not_sent_after_a_normal_disconnect() {
    for version in VERSIONS {
        let (client, mut watcher, _) = with_will(version, "will-normal", |c| c);
        client.leave();
        watcher.expect_nothing();
    }
    let (mut client, mut watcher, _) = with_will(V5, "will-normal-0", |c| c);
    client.send(&build::disconnect_with(0, &[]));
    client.expect_close();
    watcher.expect_nothing();
}

#[test]
fn will_is_sent_after_a_disconnect_that_asks_for_it() {
    let (mut client, mut watcher, _) = with_will(V5, "will-asked", |c| c);
    client.send(&build::disconnect_with(0x04, &[]));
    client.expect_close();
    watcher.expect_payload("gone");
}

#[test]
fn will_is_sent_when_keep_alive_lapses() {
    for version in VERSIONS {
        let (mut client, mut watcher, _) = with_will(version, "will-keep-alive", |c| c.keep_alive(1));
        client.expect_disconnect(0x8D);
        watcher.expect_payload("gone");
    }
}

#[test]
fn will_is_sent_after_a_protocol_error() {
    for version in VERSIONS {
        let (mut client, mut watcher, connect) = with_will(version, "will-error", |c| c);
        client.send(&connect.bytes());
        client.expect_disconnect(0x82);
        watcher.expect_payload("gone");
    }
}

#[test]
fn will_has_its_qos() {
    for version in VERSIONS {
        for qos in 0..3 {
            let name = format!("will-qos-{qos}");
            let id = unique(&name, version);
            let will = Will::new(&id, "gone").qos(qos);
            let (client, mut watcher, _) = with_will(version, &name, |c| c.will(will.clone()));
            client.vanish();
            let delivery = watcher.expect_payload("gone");
            assert_eq!(delivery.qos, qos);
            watcher.acknowledge(&delivery);
        }
    }
}

#[test]
fn will_is_retained_only_when_it_says_so() {
    let broker = Broker::shared();
    for version in VERSIONS {
        for retain in [false, true] {
            let name = format!("will-retain-{retain}");
            let id = unique(&name, version);
            let mut will = Will::new(&id, "gone").qos(1);
            if retain {
                will = will.retain();
            }
            let (client, mut watcher, _) = with_will(version, &name, |c| c.will(will.clone()));
            client.vanish();
            assert!(!watcher.expect_payload("gone").retain);
            let mut later = Client::connect(broker, version, &format!("{id}-later"));
            later.subscribe(&id, 0);
            if retain {
                assert!(later.expect_payload("gone").retain);
            } else {
                later.expect_nothing();
            }
        }
    }
}

#[test]
fn will_is_gone_once_it_was_sent() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let (client, mut watcher, connect) = with_will(version, "will-once", |c| c.resume());
        client.vanish();
        watcher.expect_payload("gone");
        let mut second = connect.clone();
        second.will = None;
        Client::connect_with(broker, &second).0.vanish();
        watcher.expect_nothing();
    }
}

#[test]
fn no_will_no_message() {
    for version in VERSIONS {
        let (client, mut watcher, _) = with_will(version, "will-none", |mut connect| {
            connect.will = None;
            connect
        });
        client.vanish();
        watcher.expect_nothing();
    }
}

#[test]
fn will_of_a_refused_connect_is_never_sent() {
    let broker = Broker::shared();
    let mut watcher = Client::connect(broker, V5, "will-refused-watcher");
    watcher.subscribe("will-refused", 0);
    let connect = Connect::new(V5, "will-refused")
        .will(Will::new("will-refused", "gone"))
        .property(property::string(0x15, "NO-SUCH-METHOD"));
    assert_eq!(Client::refused(broker, V5, &connect.bytes()), Some(0x8C));
    watcher.expect_nothing();
}

#[test]
fn will_is_sent_when_another_connection_takes_over() {
    let broker = Broker::shared();
    for version in VERSIONS {
        let (mut client, mut watcher, connect) = with_will(version, "will-takeover", |c| c);
        let mut second = connect.clone();
        second.will = None;
        let (_second, _) = Client::connect_with(broker, &second);
        client.expect_disconnect(0x8E);
        watcher.expect_payload("gone");
        watcher.expect_nothing();
    }
}

/// A Will with a delay, and a session that outlives it.
fn delayed(name: &str, delay: u32, expiry: u32) -> (Client, Client, Connect) {
    let id = unique(name, V5);
    let will = Will::new(&id, "gone").property(property::four(0x18, delay));
    with_will(V5, name, |c| c.will(will.clone()).property(property::four(0x11, expiry)))
}

#[test]
fn will_waits_for_its_delay() {
    let (client, mut watcher, _) = delayed("will-delay", 2, 100);
    let begun = Instant::now();
    client.vanish();
    watcher.expect_payload("gone");
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(1800), "sent after {waited:?}");
    assert!(waited < Duration::from_secs(6), "sent after {waited:?}");
}

#[test]
fn will_is_not_sent_when_the_client_is_back_before_the_delay() {
    let broker = Broker::shared();
    let (client, mut watcher, connect) = delayed("will-back", 1, 100);
    client.vanish();
    let mut second = connect.clean(false);
    second.will = None;
    let (_second, answer) = Client::connect_with(broker, &second);
    assert!(answer.session_present);
    assert!(watcher.receive_within(Duration::from_millis(2500)).is_none());
}

#[test]
fn will_is_sent_when_the_session_ends_before_the_delay() {
    let (client, mut watcher, _) = delayed("will-session-end", 100, 1);
    client.vanish();
    watcher.expect_payload("gone");
}

#[test]
fn will_is_sent_when_a_clean_start_ends_the_session() {
    let broker = Broker::shared();
    let (client, mut watcher, connect) = delayed("will-clean-start", 100, 100);
    client.vanish();
    let mut second = connect;
    second.will = None;
    let (_second, answer) = Client::connect_with(broker, &second);
    assert!(!answer.session_present);
    watcher.expect_payload("gone");
}

#[test]
fn will_without_a_session_is_sent_at_once_whatever_its_delay() {
    let (client, mut watcher, _) = delayed("will-no-session", 100, 0);
    client.vanish();
    watcher.expect_payload("gone");
}

#[test]
fn will_carries_its_properties_in_order() {
    let id = unique("will-properties", V5);
    let will = Will::new(&id, "gone")
        .property(property::byte(0x01, 1))
        .property(property::four(0x02, 60))
        .property(property::string(0x03, "text/plain"))
        .property(property::string(0x08, "reply/here"))
        .property(property::string(0x09, [1, 2, 3]))
        .property(property::user("z", "1"))
        .property(property::user("a", "2"))
        .property(property::user("z", "1"));
    let (client, mut watcher, _) = with_will(V5, "will-properties", |c| c.will(will.clone()));
    client.vanish();
    let delivery = watcher.expect_payload("gone");
    assert_eq!(delivery.properties.number(0x01), Some(1));
    assert!(delivery.properties.number(0x02).is_some_and(|left| (50..=60).contains(&left)));
    assert_eq!(delivery.properties.text(0x03), Some("text/plain"));
    assert_eq!(delivery.properties.text(0x08), Some("reply/here"));
    assert_eq!(delivery.properties.binary(0x09), Some(&[1, 2, 3][..]));
    assert_eq!(delivery.properties.user(), [("z", "1"), ("a", "2"), ("z", "1")]);
    assert_eq!(delivery.properties.number(0x18), None, "the delay stays with the broker");
}

#[test]
fn will_may_be_empty() {
    for version in VERSIONS {
        let id = unique("will-empty", version);
        let (client, mut watcher, _) = with_will(version, "will-empty", |c| c.will(Will::new(&id, "")));
        client.vanish();
        watcher.expect_payload("");
    }
}

#[test]
fn will_reaches_other_sessions_and_no_sys_topic() {
    let broker = Broker::shared();
    let mut watcher = Client::connect(broker, V311, "will-sys-watcher");
    watcher.subscribe("$SYS/will-sys", 0);
    let mut client = Client::open(broker, V5);
    client.send(&Connect::new(V5, "will-sys").will(Will::new("$SYS/will-sys", "forged")).bytes());
    // Refused at CONNECT or dropped when it is due.
    if let Some(packet) = client.receive_or_close() {
        let code = packet.connack(V5).code;
        assert!(matches!(code, 0 | 0x87 | 0x90), "{code:#04x}");
    }
    client.vanish();
    watcher.expect_nothing();
    watcher.publish(Publish::new("will-sys/alive", "x").qos(1, 0));
}
