//! Bytes written by hand from the specification, and the packets that they are.

use super::*;
use crate::codec::properties::Properties;
use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Publish, QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    Unsubscribe, Will,
};
use crate::reason_code::ReasonCode;
use Direction::{ToClient, ToServer};
use ProtocolVersion::{V5, V31, V311};

pub(super) type Golden = (ProtocolVersion, Direction, &'static [u8], Packet<'static>);

const NONE: Properties<'static> = Properties::EMPTY;

const fn properties(raw: &'static [u8]) -> Properties<'static> {
    Properties::from_checked(raw)
}

fn ack(number: u16, reason_code: ReasonCode, properties: Properties<'static>) -> Ack<'static> {
    Ack { packet_id: id(number), reason_code, properties }
}

fn connect(version: ProtocolVersion) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        properties: NONE,
        client_id: "c1",
        will: None,
        username: None,
        password: None,
    }
}

fn publish() -> Publish<'static> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: None,
        properties: NONE,
        payload: b"hi",
    }
}

fn with_qos(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..Default::default() }
}

fn suback(properties: Properties<'static>, reason_codes: &[ReasonCode]) -> SubAck<'static> {
    SubAck { packet_id: id(10), properties, reason_codes: reason_codes.to_vec() }
}

/// Each packet in each version in the form that we write.
pub(super) fn golden() -> Vec<Golden> {
    let mut all = connects();
    all.extend(publishes());
    all.extend(acks());
    all.extend(subscriptions());
    all.extend(controls());
    all
}

fn connects() -> Vec<Golden> {
    let refusal = |reason_code| ConnAck { session_present: false, reason_code, properties: NONE };
    vec![
        (V31, ToServer, b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02c1", Packet::Connect(Box::new(connect(V31)))),
        (
            V31,
            ToServer,
            b"\x10\x10\x00\x06MQIsdp\x83\x02\x00\x3c\x00\x02c1",
            Packet::Connect(Box::new(Connect { bridge: true, ..connect(V31) })),
        ),
        (V311, ToServer, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02c1", Packet::Connect(Box::new(connect(V311)))),
        (
            V311,
            ToServer,
            b"\x10\x0e\x00\x04MQTT\x84\x00\x00\x00\x00\x02c1",
            Packet::Connect(Box::new(Connect { bridge: true, clean_start: false, keep_alive: 0, ..connect(V311) })),
        ),
        (
            V311,
            ToServer,
            b"\x10\x1c\x00\x04MQTT\x04\xee\xff\xff\x00\x00\x00\x01w\x00\x03bye\x00\x01u\x00\x03\x00\xff\x01",
            Packet::Connect(Box::new(Connect {
                keep_alive: 65_535,
                client_id: "",
                will: Some(Will { qos: QoS::AtLeastOnce, retain: true, properties: NONE, topic: "w", payload: b"bye" }),
                username: Some("u"),
                password: Some(b"\x00\xff\x01"),
                ..connect(V311)
            })),
        ),
        (V5, ToServer, b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02c1", Packet::Connect(Box::new(connect(V5)))),
        (
            V5,
            ToServer,
            b"\x10\x2f\x00\x04MQTT\x05\x56\x00\x3c\x08\x11\x00\x00\x00\x78\x21\x00\x0a\x00\x02c1\
              \x0c\x18\x00\x00\x00\x05\x26\x00\x01k\x00\x01v\x00\x03w/t\x00\x01!\x00\x01p",
            Packet::Connect(Box::new(Connect {
                properties: properties(b"\x11\x00\x00\x00\x78\x21\x00\x0a"),
                will: Some(Will {
                    qos: QoS::ExactlyOnce,
                    retain: false,
                    properties: properties(b"\x18\x00\x00\x00\x05\x26\x00\x01k\x00\x01v"),
                    topic: "w/t",
                    payload: b"!",
                }),
                password: Some(b"p"),
                ..connect(V5)
            })),
        ),
        (V31, ToClient, b"\x20\x02\x00\x00", Packet::ConnAck(refusal(ReasonCode::Success))),
        (V31, ToClient, b"\x20\x02\x00\x04", Packet::ConnAck(refusal(ReasonCode::BadUserNameOrPassword))),
        (
            V311,
            ToClient,
            b"\x20\x02\x01\x00",
            Packet::ConnAck(ConnAck { session_present: true, ..refusal(ReasonCode::Success) }),
        ),
        (V311, ToClient, b"\x20\x02\x00\x05", Packet::ConnAck(refusal(ReasonCode::NotAuthorized))),
        (V5, ToClient, b"\x20\x03\x00\x9f\x00", Packet::ConnAck(refusal(ReasonCode::ConnectionRateExceeded))),
        (
            V5,
            ToClient,
            b"\x20\x0a\x01\x00\x07\x12\x00\x01x\x13\x00\x1e",
            Packet::ConnAck(ConnAck {
                session_present: true,
                reason_code: ReasonCode::Success,
                properties: properties(b"\x12\x00\x01x\x13\x00\x1e"),
            }),
        ),
    ]
}

fn publishes() -> Vec<Golden> {
    let mut all: Vec<Golden> = Vec::new();
    for version in [V31, V311] {
        for direction in DIRECTIONS {
            all.push((version, direction, b"\x30\x07\x00\x03a/bhi", Packet::Publish(publish())));
            all.push((
                version,
                direction,
                b"\x3d\x09\x00\x03a/b\x12\x34hi",
                Packet::Publish(Publish {
                    dup: true,
                    qos: QoS::ExactlyOnce,
                    retain: true,
                    packet_id: Some(id(0x1234)),
                    ..publish()
                }),
            ));
        }
    }
    all.extend([
        (
            V5,
            ToServer,
            b"\x31\x06\x00\x03a/b\x00".as_slice(),
            Packet::Publish(Publish {
                retain: true,
                payload: b"",
                ..publish()
            }),
        ),
        (
            V5,
            ToServer,
            b"\x32\x0a\x00\x00\x00\x01\x03\x23\x00\x07hi",
            Packet::Publish(Publish {
                qos: QoS::AtLeastOnce,
                topic: "",
                packet_id: Some(id(1)),
                properties: properties(b"\x23\x00\x07"),
                ..publish()
            }),
        ),
        (
            V5,
            ToServer,
            b"\x30\x21\x00\x03a/b\x19\x01\x01\x02\x00\x00\x00\x0a\x03\x00\x01j\x08\x00\x01r\x09\x00\x01\x00\x26\x00\x01k\x00\x00hi",
            Packet::Publish(Publish {
                properties: properties(
                    b"\x01\x01\x02\x00\x00\x00\x0a\x03\x00\x01j\x08\x00\x01r\x09\x00\x01\x00\x26\x00\x01k\x00\x00",
                ),
                ..publish()
            }),
        ),
        (
            V5,
            ToClient,
            b"\x3a\x0f\x00\x03a/b\xff\xff\x05\x0b\x01\x0b\x80\x01hi",
            Packet::Publish(Publish {
                dup: true,
                qos: QoS::AtLeastOnce,
                packet_id: Some(id(65_535)),
                properties: properties(b"\x0b\x01\x0b\x80\x01"),
                ..publish()
            }),
        ),
    ]);
    all
}

fn acks() -> Vec<Golden> {
    let mut all: Vec<Golden> = Vec::new();
    for version in VERSIONS {
        for direction in DIRECTIONS {
            let plain = || ack(10, ReasonCode::Success, NONE);
            all.extend([
                (version, direction, b"\x40\x02\x00\x0a".as_slice(), Packet::PubAck(plain())),
                (version, direction, b"\x50\x02\x00\x0a", Packet::PubRec(plain())),
                (version, direction, b"\x62\x02\x00\x0a", Packet::PubRel(plain())),
                (version, direction, b"\x70\x02\x00\x0a", Packet::PubComp(plain())),
            ]);
        }
    }
    for direction in DIRECTIONS {
        let not_found = || ack(10, ReasonCode::PacketIdentifierNotFound, NONE);
        let reason = properties(b"\x1f\x00\x02no");
        all.extend([
            (
                V5,
                direction,
                b"\x40\x03\x00\x0a\x10".as_slice(),
                Packet::PubAck(ack(10, ReasonCode::NoMatchingSubscribers, NONE)),
            ),
            (
                V5,
                direction,
                b"\x50\x09\x00\x0a\x97\x05\x1f\x00\x02no",
                Packet::PubRec(ack(10, ReasonCode::QuotaExceeded, reason)),
            ),
            (V5, direction, b"\x62\x03\x00\x0a\x92", Packet::PubRel(not_found())),
            (V5, direction, b"\x70\x03\x00\x0a\x92", Packet::PubComp(not_found())),
        ]);
    }
    all
}

fn subscriptions() -> Vec<Golden> {
    let mut all: Vec<Golden> = Vec::new();
    for version in [V31, V311] {
        all.extend([
            (
                version,
                ToServer,
                b"\x82\x0c\x00\x0a\x00\x01#\x02\x00\x03a/+\x00".as_slice(),
                Packet::Subscribe(Subscribe {
                    packet_id: id(10),
                    properties: NONE,
                    filters: vec![("#", with_qos(QoS::ExactlyOnce)), ("a/+", with_qos(QoS::AtMostOnce))],
                }),
            ),
            (
                version,
                ToServer,
                b"\xa2\x0a\x00\x0a\x00\x01#\x00\x03a/+",
                Packet::Unsubscribe(Unsubscribe { packet_id: id(10), properties: NONE, filters: vec!["#", "a/+"] }),
            ),
            (
                version,
                ToClient,
                b"\x90\x06\x00\x0a\x00\x01\x02\x80",
                Packet::SubAck(suback(
                    NONE,
                    &[
                        ReasonCode::Success,
                        ReasonCode::GrantedQoS1,
                        ReasonCode::GrantedQoS2,
                        ReasonCode::UnspecifiedError,
                    ],
                )),
            ),
            (version, ToClient, b"\xb0\x02\x00\x0a", Packet::UnsubAck(suback(NONE, &[]))),
        ]);
    }
    all.extend([
        (
            V5,
            ToServer,
            b"\x82\x0a\x00\x0a\x03\x0b\x80\x01\x00\x01#\x2d".as_slice(),
            Packet::Subscribe(Subscribe {
                packet_id: id(10),
                properties: properties(b"\x0b\x80\x01"),
                filters: vec![(
                    "#",
                    SubscriptionOptions {
                        qos: QoS::AtLeastOnce,
                        no_local: true,
                        retain_as_published: true,
                        retain_handling: RetainHandling::DoNotSend,
                    },
                )],
            }),
        ),
        (
            V5,
            ToServer,
            b"\xa2\x06\x00\x0a\x00\x00\x01#",
            Packet::Unsubscribe(Unsubscribe { packet_id: id(10), properties: NONE, filters: vec!["#"] }),
        ),
        (
            V5,
            ToClient,
            b"\x90\x06\x00\x0a\x00\x01\x8f\xa2",
            Packet::SubAck(suback(
                NONE,
                &[
                    ReasonCode::GrantedQoS1,
                    ReasonCode::TopicFilterInvalid,
                    ReasonCode::WildcardSubscriptionsNotSupported,
                ],
            )),
        ),
        (
            V5,
            ToClient,
            b"\xb0\x09\x00\x0a\x04\x1f\x00\x01x\x00\x11",
            Packet::UnsubAck(suback(
                properties(b"\x1f\x00\x01x"),
                &[ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
            )),
        ),
    ]);
    all
}

fn controls() -> Vec<Golden> {
    let disconnect = |reason_code, properties| Packet::Disconnect(Disconnect { reason_code, properties });
    let mut all: Vec<Golden> = Vec::new();
    for version in VERSIONS {
        all.extend([
            (version, ToServer, b"\xc0\x00".as_slice(), Packet::PingReq),
            (version, ToClient, b"\xd0\x00", Packet::PingResp),
            (version, ToServer, b"\xe0\x00", disconnect(ReasonCode::Success, NONE)),
        ]);
    }
    all.extend([
        (
            V5,
            ToServer,
            b"\xe0\x07\x04\x05\x11\x00\x00\x00\x3c".as_slice(),
            disconnect(ReasonCode::DisconnectWithWill, properties(b"\x11\x00\x00\x00\x3c")),
        ),
        (V5, ToClient, b"\xe0\x01\x8e", disconnect(ReasonCode::SessionTakenOver, NONE)),
        (
            V5,
            ToClient,
            b"\xe0\x06\x9d\x04\x1c\x00\x01s",
            disconnect(ReasonCode::ServerMoved, properties(b"\x1c\x00\x01s")),
        ),
        (
            V5,
            ToServer,
            b"\xf0\x0a\x18\x08\x15\x00\x01m\x16\x00\x01\x00",
            Packet::Auth(Auth {
                reason_code: ReasonCode::ContinueAuthentication,
                properties: properties(b"\x15\x00\x01m\x16\x00\x01\x00"),
            }),
        ),
        (V5, ToClient, b"\xf0\x00", Packet::Auth(Auth { reason_code: ReasonCode::Success, properties: NONE })),
    ]);
    all
}

#[test]
fn golden_bytes_decode_to_their_packets() {
    for (version, direction, bytes, packet) in golden() {
        assert_eq!(decode(version, direction, bytes).as_ref(), Ok(&packet), "{bytes:02x?}");
    }
}

#[test]
fn packets_encode_to_their_golden_bytes() {
    for (version, _, bytes, packet) in golden() {
        assert_eq!(encoded(version, &packet), bytes, "{version}: {packet:?}");
    }
}

#[test]
fn every_packet_type_is_golden_in_every_version_that_has_it() {
    for version in VERSIONS {
        for number in 1..=15u8 {
            let known = golden().iter().any(|(v, _, bytes, _)| *v == version && bytes[0] >> 4 == number);
            assert_eq!(known, number != 15 || version == V5, "{number} in {version}");
        }
    }
}

#[test]
fn long_forms_of_5_0_are_understood_and_written_short() {
    let long: [(Direction, &[u8], &[u8]); 6] = [
        (ToServer, b"\x40\x03\x00\x0a\x00", b"\x40\x02\x00\x0a"),
        (ToServer, b"\x50\x04\x00\x0a\x00\x00", b"\x50\x02\x00\x0a"),
        (ToServer, b"\x62\x04\x00\x0a\x92\x00", b"\x62\x03\x00\x0a\x92"),
        (ToServer, b"\xe0\x01\x00", b"\xe0\x00"),
        (ToServer, b"\xe0\x02\x00\x00", b"\xe0\x00"),
        (ToClient, b"\xe0\x02\x8b\x00", b"\xe0\x01\x8b"),
    ];
    for (direction, bytes, short) in long {
        let packet = decode(V5, direction, bytes).expect("a legal form");
        assert_eq!(encoded(V5, &packet), short);
    }
}

#[test]
fn version_3_drops_what_it_cannot_carry() {
    let reason = properties(b"\x1f\x00\x02no");
    let dropped: [(Packet<'_>, &[u8]); 7] = [
        (
            Packet::ConnAck(ConnAck {
                session_present: false,
                reason_code: ReasonCode::QuotaExceeded,
                properties: reason,
            }),
            b"\x20\x02\x00\x03",
        ),
        (Packet::PubAck(ack(10, ReasonCode::QuotaExceeded, reason)), b"\x40\x02\x00\x0a"),
        (
            Packet::SubAck(suback(reason, &[ReasonCode::NotAuthorized, ReasonCode::GrantedQoS2])),
            b"\x90\x04\x00\x0a\x80\x02",
        ),
        (Packet::UnsubAck(suback(reason, &[ReasonCode::NoSubscriptionExisted])), b"\xb0\x02\x00\x0a"),
        (
            Packet::Subscribe(Subscribe {
                packet_id: id(10),
                properties: properties(b"\x0b\x01"),
                filters: vec![(
                    "#",
                    SubscriptionOptions {
                        qos: QoS::AtLeastOnce,
                        no_local: true,
                        retain_as_published: true,
                        retain_handling: RetainHandling::SendIfNew,
                    },
                )],
            }),
            b"\x82\x06\x00\x0a\x00\x01#\x01",
        ),
        (
            Packet::Disconnect(Disconnect { reason_code: ReasonCode::ServerShuttingDown, properties: reason }),
            b"\xe0\x00",
        ),
        (Packet::Auth(Auth { reason_code: ReasonCode::Success, properties: NONE }), b""),
    ];
    for (packet, bytes) in dropped {
        assert_eq!(encoded(V311, &packet), bytes, "{packet:?}");
    }
}

#[test]
fn session_present_is_unused_in_3_1() {
    let packet = Packet::ConnAck(ConnAck { session_present: true, reason_code: ReasonCode::Success, properties: NONE });
    assert_eq!(encoded(V31, &packet), b"\x20\x02\x00\x00");
    assert!(matches!(
        decode(V31, ToClient, b"\x20\x02\x01\x00"),
        Ok(Packet::ConnAck(ConnAck { session_present: false, .. }))
    ));
}

#[test]
fn in_3_1_the_length_takes_precedence_over_the_credential_flags() {
    let bytes = framed(0x10, b"\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x02c1\x00\x01u");
    let Ok(Packet::Connect(connect)) = receive(V31, &bytes) else {
        panic!("a legal CONNECT of 3.1");
    };
    assert_eq!((connect.username, connect.password), (Some("u"), None));
}

#[test]
fn in_3_1_dup_may_be_set_where_qos_1_is_and_later_it_may_not() {
    for bytes in [b"\x6a\x02\x00\x0a".as_slice(), b"\x8a\x06\x00\x0a\x00\x01#\x01", b"\xaa\x05\x00\x0a\x00\x01#"] {
        assert!(receive(V31, bytes).is_ok());
        for version in [V311, V5] {
            let error = receive(version, bytes).expect_err("a reserved flag");
            assert!(matches!(error, DecodeError::ReservedFlags { flags: 0b1010, .. }));
        }
    }
}
