//! The Rust library rumqttc talks through the broker in versions 3.1.1 and 5.0.

use std::time::Duration;

use millrace_tests::broker::Broker;
use rumqttc::{Client, Event, LastWill, MqttOptions, Packet, QoS, v5};

const PATIENCE: Duration = Duration::from_secs(15);
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn options(name: &str) -> MqttOptions {
    let address = Broker::shared().address();
    let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(30));
    options
}

/// The next PUBLISH that a connection of version 3.1.1 receives.
fn next(connection: &mut rumqttc::Connection) -> rumqttc::Publish {
    match until(connection, |packet| matches!(packet, Packet::Publish(_))) {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?} is no PUBLISH"),
    }
}

/// Turns a connection until a packet of this kind came.
fn until(connection: &mut rumqttc::Connection, wanted: impl Fn(&Packet) -> bool) -> Packet {
    loop {
        match connection.recv_timeout(PATIENCE).expect("something comes").expect("the connection stays") {
            Event::Incoming(packet) if wanted(&packet) => return packet,
            _ => {}
        }
    }
}

#[test]
fn rumqttc_3_1_1_publishes_and_receives_in_every_qos() {
    let (subscriber, mut inbox) = Client::new(options("rumqttc-sub"), 100);
    let (publisher, mut outbox) = Client::new(options("rumqttc-pub"), 100);
    std::thread::spawn(move || for _ in outbox.iter().take_while(Result::is_ok) {});
    for granted in QOS {
        let topic = format!("rumqttc/{}", granted as u8);
        subscriber.subscribe(&topic, granted).expect("it is queued");
        until(&mut inbox, |packet| matches!(packet, Packet::SubAck(_)));
        for qos in QOS {
            publisher.publish(&topic, qos, false, format!("{}", qos as u8)).expect("it is queued");
            let publish = next(&mut inbox);
            assert_eq!(publish.payload, format!("{}", qos as u8).as_bytes());
            assert_eq!(publish.qos as u8, (qos as u8).min(granted as u8));
        }
    }
    for number in 0..200 {
        publisher.publish("rumqttc/1", QoS::AtLeastOnce, false, number.to_string()).expect("it is queued");
    }
    for number in 0..200 {
        assert_eq!(next(&mut inbox).payload, number.to_string().as_bytes());
    }
}

#[test]
fn rumqttc_3_1_1_resumes_its_session_and_leaves_its_will() {
    let (watcher, mut watched) = Client::new(options("rumqttc-watcher"), 10);
    watcher.subscribe("rumqttc/will", QoS::AtLeastOnce).expect("it is queued");
    until(&mut watched, |packet| matches!(packet, Packet::SubAck(_)));
    let mut keep = options("rumqttc-keep");
    keep.set_clean_session(false);
    keep.set_last_will(LastWill::new("rumqttc/will", "gone", QoS::AtLeastOnce, false));
    {
        let (client, mut connection) = Client::new(keep.clone(), 10);
        client.subscribe("rumqttc/kept", QoS::ExactlyOnce).expect("it is queued");
        until(&mut connection, |packet| matches!(packet, Packet::SubAck(_)));
        // Dropped without DISCONNECT.
    }
    assert_eq!(next(&mut watched).payload, "gone".as_bytes());
    watcher.publish("rumqttc/kept", QoS::ExactlyOnce, false, "waited").expect("it is queued");
    until(&mut watched, |packet| matches!(packet, Packet::PubComp(_)));
    let (_client, mut connection) = Client::new(keep, 10);
    let Packet::ConnAck(answer) = until(&mut connection, |packet| matches!(packet, Packet::ConnAck(_))) else {
        panic!("CONNACK was expected");
    };
    assert!(answer.session_present);
    assert_eq!(next(&mut connection).payload, "waited".as_bytes());
}

#[test]
fn rumqttc_5_passes_properties() {
    let options = |name: &str| {
        let address = Broker::shared().address();
        let mut options = v5::MqttOptions::new(name, address.ip().to_string(), address.port());
        options.set_keep_alive(Duration::from_secs(30));
        options
    };
    let wait = |connection: &mut v5::Connection| loop {
        let event = connection.recv_timeout(PATIENCE).expect("something comes").expect("the connection stays");
        match event {
            v5::Event::Incoming(v5::mqttbytes::v5::Packet::Publish(publish)) => break Some(publish),
            v5::Event::Incoming(v5::mqttbytes::v5::Packet::SubAck(_)) => break None,
            _ => {}
        }
    };
    let (subscriber, mut inbox) = v5::Client::new(options("rumqttc5-sub"), 100);
    let (publisher, mut outbox) = v5::Client::new(options("rumqttc5-pub"), 100);
    std::thread::spawn(move || for _ in outbox.iter().take_while(Result::is_ok) {});
    subscriber.subscribe("rumqttc5/+", v5::mqttbytes::QoS::ExactlyOnce).expect("it is queued");
    assert!(wait(&mut inbox).is_none());
    for (number, qos) in
        [v5::mqttbytes::QoS::AtMostOnce, v5::mqttbytes::QoS::AtLeastOnce, v5::mqttbytes::QoS::ExactlyOnce]
            .into_iter()
            .enumerate()
    {
        let properties = v5::mqttbytes::v5::PublishProperties {
            content_type: Some("text/plain".to_owned()),
            response_topic: Some("rumqttc5/reply".to_owned()),
            correlation_data: Some(vec![0, 1].into()),
            user_properties: vec![("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
            message_expiry_interval: Some(60),
            ..Default::default()
        };
        publisher
            .publish_with_properties(format!("rumqttc5/{number}"), qos, false, "full", properties)
            .expect("it is queued");
        let publish = wait(&mut inbox).expect("a message");
        assert_eq!(publish.payload, "full".as_bytes());
        assert_eq!(publish.qos, qos);
        let got = publish.properties.expect("properties");
        assert_eq!(got.content_type.as_deref(), Some("text/plain"));
        assert_eq!(got.response_topic.as_deref(), Some("rumqttc5/reply"));
        assert_eq!(got.user_properties, [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]);
    }
}
