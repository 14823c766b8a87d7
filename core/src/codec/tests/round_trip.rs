//! Legal packets of every kind come back as they were sent.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::codec::acks::{AckKind, encode_ack};
use crate::codec::properties::{Carrier, Entry, Kind, Properties, PropertiesBuf, Property, Range, TABLE, Value};
use crate::codec::publish::{Delivery, decode_to_client, forwardable};
use crate::codec::reasons;
use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, PacketType, Publish, QoS, RetainHandling, SubAck, Subscribe,
    SubscriptionOptions, Unsubscribe, Will,
};
use crate::reason_code::ReasonCode;

#[derive(Clone, Debug)]
enum Owned {
    U8(u8),
    U16(u16),
    U32(u32),
    Var(u32),
    Str(String),
    Bin(Vec<u8>),
    Pair(String, String),
}

fn value_of(entry: &Entry) -> BoxedStrategy<Owned> {
    let low = u32::from(entry.range == Range::NotZero);
    match (entry.kind, entry.range) {
        (Kind::U8, Range::Flag) => (0..=1u8).prop_map(Owned::U8).boxed(),
        (Kind::U8, _) => (low as u8..).prop_map(Owned::U8).boxed(),
        (Kind::U16, _) => (low as u16..).prop_map(Owned::U16).boxed(),
        (Kind::U32, _) => (low..).prop_map(Owned::U32).boxed(),
        (Kind::Var, _) => (low..=268_435_455).prop_map(Owned::Var).boxed(),
        (Kind::Str, _) => text().prop_map(Owned::Str).boxed(),
        (Kind::Topic, _) => topic().prop_map(Owned::Str).boxed(),
        (Kind::Bin, _) => binary().prop_map(Owned::Bin).boxed(),
        (Kind::Pair, _) => (text(), text()).prop_map(|(name, value)| Owned::Pair(name, value)).boxed(),
    }
}

/// Any legal properties of this carrier, in any order.
fn properties(carrier: Carrier) -> impl Strategy<Value = PropertiesBuf> {
    let rows: Vec<_> = TABLE
        .iter()
        .filter(|entry| carrier.may_carry(entry.property))
        .map(|entry| {
            let most = if carrier.may_repeat(entry.property) { 4 } else { 1 };
            let needed =
                entry.property == Property::AuthenticationMethod && matches!(carrier, Carrier::Auth | Carrier::Connect);
            let property = entry.property;
            let one = value_of(entry).prop_map(move |value| (property, value));
            proptest::collection::vec(one, usize::from(needed)..=most).boxed()
        })
        .collect();
    rows.prop_map(|rows| rows.concat()).prop_shuffle().prop_map(|all| {
        let mut buf = PropertiesBuf::new();
        for (property, value) in &all {
            buf.push(
                *property,
                match value {
                    Owned::U8(value) => Value::U8(*value),
                    Owned::U16(value) => Value::U16(*value),
                    Owned::U32(value) => Value::U32(*value),
                    Owned::Var(value) => Value::Var(*value),
                    Owned::Str(value) => Value::Str(value),
                    Owned::Bin(value) => Value::Bin(value),
                    Owned::Pair(name, value) => Value::Pair(name, value),
                },
            );
        }
        buf
    })
}

fn text() -> impl Strategy<Value = String> {
    "[a-z+#$\u{1}\u{feff}\u{ffff}\u{1f600}]{0,12}"
}

fn topic() -> impl Strategy<Value = String> {
    "[a-z/$ \u{feff}\u{1f600}]{1,24}"
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..160)
}

fn version() -> impl Strategy<Value = ProtocolVersion> {
    select(&VERSIONS[..])
}

fn direction() -> impl Strategy<Value = Direction> {
    select(&DIRECTIONS[..])
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(id)
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    let handling = select(&[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][..]);
    (qos(), any::<bool>(), any::<bool>(), handling).prop_map(|(qos, no_local, retain_as_published, retain_handling)| {
        SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }
    })
}

/// What version 3 does not have is not sent in it.
fn in_version(version: ProtocolVersion, properties: &PropertiesBuf) -> Properties<'_> {
    match version.is_v5() {
        true => properties.as_properties(),
        false => Properties::EMPTY,
    }
}

fn comes_back(version: ProtocolVersion, direction: Direction, packet: &Packet<'_>) -> Result<(), TestCaseError> {
    let bytes = encoded(version, packet);
    let decoded = decode(version, direction, &bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(packet));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn connect_comes_back(
        version in version(),
        flags in any::<(bool, bool, bool)>(),
        keep_alive: u16,
        client_id in text(),
        credentials in (proptest::option::of(text()), proptest::option::of(binary())),
        all in properties(Carrier::Connect),
        will in proptest::option::of((qos(), properties(Carrier::Will), topic(), binary())),
    ) {
        let (bridge, clean_start, retain) = flags;
        let (username, password) = credentials;
        let packet = Packet::Connect(Box::new(Connect {
            version,
            bridge: bridge && !version.is_v5(),
            clean_start,
            keep_alive,
            properties: in_version(version, &all),
            client_id: &client_id,
            will: will.as_ref().map(|(qos, properties, topic, payload)| Will {
                qos: *qos,
                retain,
                properties: in_version(version, properties),
                topic,
                payload,
            }),
            username: username.as_deref(),
            password: password.as_deref().filter(|_| version.is_v5() || username.is_some()),
        }));
        comes_back(version, Direction::ToServer, &packet)?;
        prop_assert_eq!(crate::codec::connect::version(body(&encoded(version, &packet))), Some(version));
    }

    #[test]
    fn connack_comes_back(
        version in version(),
        session_present: bool,
        code in select(reasons::allowed(PacketType::ConnAck, Direction::ToClient)),
        all in properties(Carrier::ConnAck),
    ) {
        let reason_code = match version {
            ProtocolVersion::V5 => code,
            _ => ReasonCode::from_v3_connect_return_code(code.v3_connect_return_code()).expect("one of six"),
        };
        let packet = Packet::ConnAck(ConnAck {
            session_present: session_present
                && version != ProtocolVersion::V31
                && reason_code == ReasonCode::Success,
            reason_code,
            properties: in_version(version, &all),
        });
        comes_back(version, Direction::ToClient, &packet)?;
    }

    #[test]
    fn publish_comes_back(
        version in version(),
        direction in direction(),
        flags in any::<(bool, bool)>(),
        qos in qos(),
        topic in topic(),
        number in packet_id(),
        from_client in properties(Carrier::Publish),
        from_server in properties(Carrier::PublishToClient),
        payload in binary(),
    ) {
        let all = match direction {
            Direction::ToServer => &from_client,
            Direction::ToClient => &from_server,
        };
        let packet = Packet::Publish(Publish {
            dup: flags.0 && qos != QoS::AtMostOnce,
            qos,
            retain: flags.1,
            topic: &topic,
            packet_id: Some(number).filter(|_| qos != QoS::AtMostOnce),
            properties: in_version(version, all),
            payload: &payload,
        });
        comes_back(version, direction, &packet)?;
    }

    #[test]
    fn acks_come_back(
        version in version(),
        direction in direction(),
        number in packet_id(),
        pick: proptest::sample::Index,
        carried in (
            properties(Carrier::PubAck),
            properties(Carrier::PubRec),
            properties(Carrier::PubRel),
            properties(Carrier::PubComp),
        ),
    ) {
        for (kind, all) in [
            (AckKind::PubAck, &carried.0),
            (AckKind::PubRec, &carried.1),
            (AckKind::PubRel, &carried.2),
            (AckKind::PubComp, &carried.3),
        ] {
            let allowed = reasons::allowed(kind.packet_type(), direction);
            let reason_code = match version {
                ProtocolVersion::V5 => allowed[pick.index(allowed.len())],
                _ => ReasonCode::Success,
            };
            let packet = |properties| {
                let ack = Ack { packet_id: number, reason_code, properties };
                match kind {
                    AckKind::PubAck => Packet::PubAck(ack),
                    AckKind::PubRec => Packet::PubRec(ack),
                    AckKind::PubRel => Packet::PubRel(ack),
                    AckKind::PubComp => Packet::PubComp(ack),
                }
            };
            comes_back(version, direction, &packet(in_version(version, all)))?;
            let mut quick = Vec::new();
            encode_ack(version, kind, number, reason_code, &mut quick);
            prop_assert_eq!(quick, encoded(version, &packet(Properties::EMPTY)));
        }
    }

    #[test]
    fn subscribe_and_unsubscribe_come_back(
        version in version(),
        number in packet_id(),
        asked in proptest::collection::vec((text(), options()), 1..20),
        carried in (properties(Carrier::Subscribe), properties(Carrier::Unsubscribe)),
    ) {
        let filters: Vec<_> = asked
            .iter()
            .map(|(filter, options)| match version {
                ProtocolVersion::V5 => (filter.as_str(), *options),
                _ => (filter.as_str(), SubscriptionOptions { qos: options.qos, ..Default::default() }),
            })
            .collect();
        let unsubscribe = Packet::Unsubscribe(Unsubscribe {
            packet_id: number,
            properties: in_version(version, &carried.1),
            filters: filters.iter().map(|(filter, _)| *filter).collect(),
        });
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: number,
            properties: in_version(version, &carried.0),
            filters,
        });
        comes_back(version, Direction::ToServer, &subscribe)?;
        comes_back(version, Direction::ToServer, &unsubscribe)?;
    }

    #[test]
    fn suback_and_unsuback_come_back(
        version in version(),
        number in packet_id(),
        granted in proptest::collection::vec(select(reasons::allowed(PacketType::SubAck, Direction::ToClient)), 1..20),
        ended in proptest::collection::vec(select(reasons::allowed(PacketType::UnsubAck, Direction::ToClient)), 1..20),
        carried in (properties(Carrier::SubAck), properties(Carrier::UnsubAck)),
    ) {
        let v5 = version.is_v5();
        let suback = Packet::SubAck(SubAck {
            packet_id: number,
            properties: in_version(version, &carried.0),
            reason_codes: granted
                .into_iter()
                .map(|code| if v5 || !code.is_error() { code } else { ReasonCode::UnspecifiedError })
                .collect(),
        });
        let unsuback = Packet::UnsubAck(SubAck {
            packet_id: number,
            properties: in_version(version, &carried.1),
            reason_codes: if v5 { ended } else { Vec::new() },
        });
        comes_back(version, Direction::ToClient, &suback)?;
        comes_back(version, Direction::ToClient, &unsuback)?;
    }

    #[test]
    fn disconnect_and_auth_come_back(
        direction in direction(),
        pick: proptest::sample::Index,
        carried in (properties(Carrier::Disconnect), properties(Carrier::DisconnectToClient)),
        method in properties(Carrier::Auth),
    ) {
        let of = |packet| {
            let allowed = reasons::allowed(packet, direction);
            allowed[pick.index(allowed.len())]
        };
        let all = match direction {
            Direction::ToServer => &carried.0,
            Direction::ToClient => &carried.1,
        };
        for properties in [Properties::EMPTY, all.as_properties()] {
            let reason_code = of(PacketType::Disconnect);
            comes_back(
                ProtocolVersion::V5,
                direction,
                &Packet::Disconnect(Disconnect { reason_code, properties }),
            )?;
        }
        let reason_code = of(PacketType::Auth);
        let properties = method.as_properties();
        comes_back(ProtocolVersion::V5, direction, &Packet::Auth(Auth { reason_code, properties }))?;
    }

    #[test]
    fn delivery_is_read_by_the_client_as_it_was_meant(
        version in version(),
        flags in any::<(bool, bool)>(),
        qos in qos(),
        topic in topic(),
        numbers in (packet_id(), packet_id()),
        topic_alias in proptest::option::of(1..=u16::MAX),
        message_expiry: Option<u32>,
        subscription_ids in proptest::collection::vec(1..=268_435_455u32, 0..4),
        all in properties(Carrier::Publish),
        payload in binary(),
        before in binary(),
    ) {
        let mut scratch = Vec::new();
        let properties = forwardable(all.as_properties(), &mut scratch);
        let delivery = Delivery {
            dup: flags.0 && qos != QoS::AtMostOnce,
            qos,
            retain: flags.1,
            packet_id: Some(numbers.0).filter(|_| qos != QoS::AtMostOnce),
            topic: &topic,
            topic_alias,
            message_expiry,
            subscription_ids: &subscription_ids,
            properties,
            payload: &payload,
        };
        let mut out = before.clone();
        let at = delivery.encode(version, &mut out);
        prop_assert_eq!(&out[..before.len()], &before);
        prop_assert_eq!(out.len() - before.len(), delivery.size(version));
        prop_assert_eq!(at.is_some(), qos != QoS::AtMostOnce);
        if let Some(at) = at {
            out[at..at + 2].copy_from_slice(&numbers.1.get().to_be_bytes());
        }
        let packet = &out[before.len()..];
        let publish = decode_to_client(version, packet[0], body(packet)).expect("legal");
        prop_assert_eq!(publish.topic, &topic);
        prop_assert_eq!(publish.packet_id, at.map(|_| numbers.1));
        prop_assert_eq!((publish.dup, publish.qos, publish.retain), (delivery.dup, qos, flags.1));
        prop_assert_eq!(publish.payload, payload);
        let met = publish.properties;
        if version.is_v5() {
            prop_assert_eq!(met.u16(Property::TopicAlias), topic_alias);
            prop_assert_eq!(met.u32(Property::MessageExpiryInterval), message_expiry);
            prop_assert!(met.subscription_ids().eq(subscription_ids.iter().copied()));
            let mut again = Vec::new();
            prop_assert_eq!(forwardable(met, &mut again), properties);
        } else {
            prop_assert!(met.is_empty());
        }
    }

    #[test]
    fn forwardable_keeps_all_that_travels_in_order(all in properties(Carrier::Publish)) {
        let all = all.as_properties();
        let stays = [Property::TopicAlias, Property::MessageExpiryInterval];
        let mut scratch = Vec::new();
        let kept = Properties::from_checked(forwardable(all, &mut scratch));
        prop_assert!(kept.iter().eq(all.iter().filter(|(property, _)| !stays.contains(property))));
    }
}

#[test]
fn forwardable_copies_only_around_what_stays_behind() {
    let inside = |raw: &[u8], kept: &[u8]| raw.as_ptr_range().contains(&kept.as_ptr());
    let middle = b"\x01\x01\x02\x00\x00\x00\x05\x03\x00\x01t";
    for (raw, kept, borrowed) in [
        (b"\x01\x01\x03\x00\x01t".as_slice(), b"\x01\x01\x03\x00\x01t".as_slice(), true),
        (b"\x02\x00\x00\x00\x05\x01\x01", b"\x01\x01", true),
        (b"\x01\x01\x23\x00\x05", b"\x01\x01", true),
        (middle, b"\x01\x01\x03\x00\x01t", false),
    ] {
        let mut scratch = b"left over".to_vec();
        let given = forwardable(Properties::from_checked(raw), &mut scratch);
        assert_eq!(given, kept);
        assert_eq!(inside(raw, given), borrowed);
    }
    assert_eq!(forwardable(Properties::from_checked(b"\x23\x00\x05"), &mut Vec::new()), b"");
}

#[test]
fn every_variable_byte_integer_comes_back() {
    use crate::codec::wire::{Reader, put_var, var_len};
    let edges = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455];
    for value in edges.into_iter().chain((0..268_435_455).step_by(99_991)) {
        let mut out = Vec::new();
        put_var(&mut out, value);
        assert_eq!(out.len(), var_len(value));
        let mut reader = Reader::new(&out);
        assert_eq!(reader.var(crate::codec::Field::PropertyLength), Ok(value));
        assert!(reader.is_empty());
        for end in 0..out.len() {
            assert!(Reader::new(&out[..end]).var(crate::codec::Field::PropertyLength).is_err());
        }
    }
}

#[test]
fn lengths_grow_with_the_packet_at_every_edge() {
    for len in [0, 120, 121, 122, 123, 16_376, 16_377, 16_378, 16_379, 2_097_144, 2_097_145, 2_097_146] {
        let payload = vec![7; len];
        let packet = Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "a/b",
            packet_id: None,
            properties: Properties::EMPTY,
            payload: &payload,
        });
        for version in VERSIONS {
            let bytes = encoded(version, &packet);
            let header = FixedHeader::parse(&bytes).expect("legal").expect("whole");
            assert_eq!(header.packet_len(), bytes.len());
            assert_eq!(receive(version, &bytes).as_ref(), Ok(&packet));
        }
    }
}
