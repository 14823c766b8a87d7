//! Bug classes that other brokers have had, each by name.

use super::golden::golden;
use super::*;
use crate::codec::properties::{Carrier, Kind, Properties, PropertiesBuf, Property, TABLE};
use crate::codec::{Field, publish};
use crate::limits::{CONNECT_BYTES_MAX, FILTERS_PER_PACKET_MAX, USER_PROPERTIES_MAX};
use crate::packet::PacketType;
use crate::reason_code::ReasonCode;
use Direction::{ToClient, ToServer};
use ProtocolVersion::{V5, V31, V311};

fn refused(version: ProtocolVersion, bytes: &[u8]) -> DecodeError {
    receive(version, bytes).expect_err("illegal")
}

#[test]
fn five_byte_integers_are_refused_at_the_fourth_byte() {
    let field = Field::RemainingLength;
    assert_eq!(FixedHeader::parse(b"\x30\x80\x80\x80\x80"), Err(DecodeError::VarIntTooLong { field }));
    assert_eq!(FixedHeader::parse(b"\x30\xff\xff\xff\xff\x01"), Err(DecodeError::VarIntTooLong { field }));
    assert_eq!(FixedHeader::parse(b"\x30\xff\xff\xff"), Ok(None));
    assert_eq!(
        refused(V5, &framed(0x30, b"\x00\x01t\x80\x80\x80\x80\x01")),
        DecodeError::VarIntTooLong { field: Field::PropertyLength }
    );
    assert_eq!(
        refused(V5, &framed(0x82, b"\x00\x0a\x06\x0b\xff\xff\xff\xff\x01\x00\x01#\x00")),
        DecodeError::VarIntTooLong { field: Field::Property(Property::SubscriptionIdentifier) }
    );
}

#[test]
fn integers_that_are_not_in_their_shortest_form_are_refused() {
    let field = Field::RemainingLength;
    for bytes in [b"\x30\x80\x00".as_slice(), b"\x30\xff\x00", b"\x30\x80\x80\x00", b"\x30\xff\xff\xff\x00"] {
        assert_eq!(FixedHeader::parse(bytes), Err(DecodeError::VarIntNotShortest { field }));
    }
    let error = refused(V5, &framed(0x30, b"\x00\x01t\x80\x00"));
    assert_eq!(error.statement(), Some("MQTT-1.5.5-1"));
    let identifier = refused(V5, &framed(0x30, b"\x00\x01t\x03\x81\x00\x01"));
    assert_eq!(identifier, DecodeError::VarIntNotShortest { field: Field::PropertyIdentifier });
}

#[test]
fn a_packet_smuggled_behind_another_is_never_looked_at() {
    let two = b"\x30\x03\x00\x01t\xc0\x00";
    assert!(matches!(refused(V311, two), DecodeError::TrailingBytes { packet: PacketType::Publish, left: 2 }));
    for (first, body) in [(0x40, b"\x00\x0a\xc0\x00".as_slice()), (0xc0, b"\xc0\x00"), (0xe0, b"\x00")] {
        assert!(matches!(refused(V311, &framed(first, body)), DecodeError::TrailingBytes { .. }));
    }
}

#[test]
fn a_length_is_not_believed_over_the_bytes() {
    let header = FixedHeader::parse(b"\x30\x80\x20\x00").expect("legal").expect("whole");
    assert_eq!((header.remaining, header.packet_len()), (4096, 4099));
    assert_eq!(
        refused(V311, b"\x30\x80\x20\x00"),
        DecodeError::PacketEnds { field: Field::Body, needed: 4096, left: 1 }
    );
    assert_eq!(
        refused(V5, &framed(0x30, b"\x00\x01t\x7f\x01\x01")),
        DecodeError::PacketEnds { field: Field::Properties, needed: 127, left: 2 }
    );
}

#[test]
fn every_golden_packet_cut_at_each_byte_is_unfinished() {
    for (version, direction, bytes, _) in golden() {
        for end in 0..bytes.len() {
            match FixedHeader::parse(&bytes[..end]) {
                Ok(None) => (),
                Ok(Some(header)) => assert_eq!(header.packet_len(), bytes.len()),
                Err(error) => panic!("{error}"),
            }
            assert!(decode(version, direction, &bytes[..end]).is_err());
        }
    }
}

/// Where the body of a SUBSCRIBE or UNSUBSCRIBE may end: behind each of its filters.
fn filter_ends(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<usize> {
    let (properties, sizes): (_, Vec<usize>) = match packet {
        Packet::Subscribe(subscribe) => {
            (subscribe.properties, subscribe.filters.iter().map(|(filter, _)| filter.len() + 3).collect())
        }
        Packet::Unsubscribe(unsubscribe) => {
            (unsubscribe.properties, unsubscribe.filters.iter().map(|filter| filter.len() + 2).collect())
        }
        _ => return Vec::new(),
    };
    let mut end = 2 + if version == V5 { 1 + properties.raw().len() } else { 0 };
    sizes
        .into_iter()
        .map(|size| {
            end += size;
            end
        })
        .collect()
}

fn reason_codes(packet: &Packet<'_>) -> usize {
    match packet {
        Packet::SubAck(suback) | Packet::UnsubAck(suback) => suback.reason_codes.len(),
        _ => 0,
    }
}

/// With the Remaining Length set right only what is optional at the end may be gone.
#[test]
fn every_golden_body_cut_at_each_byte_is_judged_by_its_own_length() {
    for (version, direction, bytes, packet) in golden() {
        let content = body(bytes);
        for end in 0..content.len() {
            let cut = framed(bytes[0], &content[..end]);
            let optional = match &packet {
                Packet::Publish(publish) => end >= content.len() - publish.payload.len(),
                Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) => {
                    version == V5 && matches!(end, 2 | 3)
                }
                Packet::Subscribe(_) | Packet::Unsubscribe(_) => filter_ends(&packet, version).contains(&end),
                Packet::SubAck(_) => end > content.len() - reason_codes(&packet),
                Packet::UnsubAck(_) => version == V5 && end > content.len() - reason_codes(&packet),
                Packet::Disconnect(_) => matches!(end, 0 | 1),
                Packet::Connect(connect) if connect.version == V31 => false,
                Packet::Auth(_) => end == 0 && direction == ToClient,
                _ => false,
            };
            let result = decode(version, direction, &cut);
            assert_eq!(result.is_ok(), optional, "{end} bytes of {packet:?}: {result:?}");
        }
    }
}

#[test]
fn a_240_mb_first_packet_is_refused_by_its_header() {
    let header = FixedHeader::parse(b"\x30\x80\x80\x80\x73").expect("legal").expect("whole");
    let error = header.check_size(CONNECT_BYTES_MAX).expect_err("too large");
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    assert_eq!(error.to_string(), "packet of 241172485 bytes is over the limit of 65536");
    let fits = FixedHeader::parse(b"\x10\x7f").expect("legal").expect("whole");
    assert_eq!(fits.check_size(129), Ok(()));
    assert!(fits.check_size(128).is_err());
}

#[test]
fn sixty_thousand_user_properties_end_at_the_limit() {
    let packet_with = |count: usize| {
        let mut properties = PropertiesBuf::new();
        for _ in 0..count {
            properties.push_pair(Property::UserProperty, "", "");
        }
        let mut body = b"\x00\x01t".to_vec();
        crate::codec::wire::put_properties(&mut body, V5, properties.as_properties().raw());
        framed(0x30, &body)
    };
    let error = refused(V5, &packet_with(60_000));
    assert_eq!(error, DecodeError::UserPropertiesTooMany);
    assert_eq!(error.reason_code(), ReasonCode::QuotaExceeded);
    assert!(receive(V5, &packet_with(USER_PROPERTIES_MAX)).is_ok());
    assert!(receive(V5, &packet_with(USER_PROPERTIES_MAX + 1)).is_err());
}

#[test]
fn filters_of_one_packet_end_at_the_limit() {
    for (first, filter) in [(0x82, b"\x00\x01#\x00".as_slice()), (0xa2, b"\x00\x01#")] {
        let with = |count| framed(first, &[b"\x00\x0a", filter.repeat(count).as_slice()].concat());
        assert!(receive(V311, &with(FILTERS_PER_PACKET_MAX)).is_ok());
        assert!(matches!(refused(V311, &with(FILTERS_PER_PACKET_MAX + 1)), DecodeError::FiltersTooMany { .. }));
        assert!(matches!(refused(V311, &with(0)), DecodeError::FiltersMissing { .. }));
    }
}

#[test]
fn a_topic_of_65535_slashes_is_just_long() {
    let topic = "/".repeat(65_535);
    let body = [b"\xff\xff", topic.as_bytes()].concat();
    assert_eq!(publish::decode(V311, 0x30, &body).expect("legal").topic, topic);
}

#[test]
fn every_topic_of_one_byte_is_a_topic_or_an_error() {
    for byte in 0..=255u8 {
        let packet = framed(0x30, &[0, 1, byte]);
        let legal = byte.is_ascii() && !b"\0+#".contains(&byte);
        assert_eq!(receive(V311, &packet).is_ok(), legal, "{byte:#x}");
    }
}

#[test]
fn an_empty_topic_needs_an_alias() {
    let bare = framed(0x30, b"\x00\x00");
    for version in [V31, V311] {
        let error = refused(version, &bare);
        assert_eq!(error.reason_code(), ReasonCode::TopicNameInvalid);
        assert_eq!(error.statement(), Some("MQTT-4.7.3-1"));
    }
    let error = refused(V5, &framed(0x30, b"\x00\x00\x00"));
    assert_eq!(error, DecodeError::TopicAndAliasMissing);
    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    assert!(receive(V5, &framed(0x30, b"\x00\x00\x03\x23\x00\x01")).is_ok());
    let alias_0 = refused(V5, &framed(0x30, b"\x00\x01t\x03\x23\x00\x00"));
    assert_eq!(alias_0.reason_code(), ReasonCode::TopicAliasInvalid);
}

#[test]
fn a_packet_of_the_other_side_is_refused_in_every_version() {
    for version in VERSIONS {
        for (_, direction, bytes, packet) in golden().into_iter().filter(|row| row.0 == version) {
            let other = match direction {
                ToServer => ToClient,
                ToClient => ToServer,
            };
            let both = match packet.packet_type() {
                PacketType::Publish
                | PacketType::PubAck
                | PacketType::PubRec
                | PacketType::PubRel
                | PacketType::PubComp
                | PacketType::Auth => true,
                PacketType::Disconnect => version == V5,
                _ => false,
            };
            if !both {
                let error = decode(version, other, bytes).expect_err("not of this side");
                assert!(matches!(error, DecodeError::WrongDirection { .. }));
                assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
            }
        }
    }
}

#[test]
fn each_first_byte_is_legal_or_names_its_statement() {
    let legal = |first: u8| match first >> 4 {
        0 => false,
        3 => !matches!(first & 0b1110, 0b0110 | 0b1110 | 0b1000),
        6 | 8 | 10 => first & 0b0111 == 0b0010,
        _ => first & 0x0F == 0,
    };
    for first in 0..=255 {
        let parsed = FixedHeader::parse(&[first]);
        assert_eq!(parsed.is_ok(), legal(first), "{first:#x}");
        if let Err(error) = parsed {
            assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
            assert_eq!(error.statement().is_none(), first < 0x10);
        }
    }
}

#[test]
fn auth_does_not_exist_before_5_0() {
    for version in [V31, V311] {
        for direction in DIRECTIONS {
            assert!(matches!(decode(version, direction, b"\xf0\x00"), Err(DecodeError::NoSuchPacket { .. })));
        }
    }
    assert!(matches!(refused(V5, b"\xf0\x00"), DecodeError::ReasonCode { code: 0, .. }));
    assert!(matches!(refused(V5, &framed(0xf0, b"\x18\x00")), DecodeError::AuthenticationMethodMissing { .. }));
}

#[test]
fn packet_identifier_0_is_refused_wherever_there_is_one() {
    for (first, body) in [
        (0x32, b"\x00\x01t\x00\x00".as_slice()),
        (0x40, b"\x00\x00"),
        (0x50, b"\x00\x00"),
        (0x62, b"\x00\x00"),
        (0x70, b"\x00\x00"),
        (0x82, b"\x00\x00\x00\x01#\x00"),
        (0xa2, b"\x00\x00\x00\x01#"),
    ] {
        assert!(matches!(refused(V311, &framed(first, body)), DecodeError::PacketIdZero { .. }));
    }
}

/// Each text of each packet from a client, with a hole for the text.
fn texts() -> Vec<(ProtocolVersion, u8, &'static [u8], &'static [u8])> {
    vec![
        (V311, 0x10, b"\x00\x04MQTT\x04\x02\x00\x3c", b""),
        (V311, 0x10, b"\x00\x04MQTT\x04\x06\x00\x3c\x00\x01c", b"\x00\x00"),
        (V311, 0x10, b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c", b""),
        (V311, 0x30, b"", b""),
        (V311, 0x82, b"\x00\x0a", b"\x00"),
        (V311, 0xa2, b"\x00\x0a", b""),
    ]
}

#[test]
fn text_is_utf_8_without_null_and_nothing_else_is_asked_of_it() {
    let refused: [&[u8]; 8] =
        [b"a\0b", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xc0\x80", b"\xff", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\x80"];
    let kept = ["\u{feff}x", "\u{1}\u{7f}", "\u{ffff}\u{fdd0}", " x ", "\u{1f600}"];
    let with = |(version, first, before, after): &(_, u8, &[u8], &[u8]), text: &[u8]| {
        let length = u16::try_from(text.len()).expect("short").to_be_bytes();
        (*version, framed(*first, &[before, length.as_slice(), text, after].concat()))
    };
    for row in texts() {
        for text in refused {
            let (version, packet) = with(&row, text);
            let error = receive(version, &packet).expect_err("not text");
            assert_eq!(error.reason_code(), ReasonCode::MalformedPacket);
            assert!(matches!(error.statement(), Some("MQTT-1.5.4-1" | "MQTT-1.5.4-2")));
        }
        for text in kept {
            let (version, packet) = with(&row, text.as_bytes());
            let decoded = receive(version, &packet).expect("legal text");
            assert_eq!(encoded(version, &decoded), packet, "kept to the byte");
        }
    }
    for entry in TABLE {
        let Some(carrier) = entry.carriers.first().copied() else {
            panic!("{} has no carrier", entry.name);
        };
        for text in refused {
            let mut buf = vec![entry.property as u8];
            crate::codec::wire::put_bin(&mut buf, text);
            match entry.kind {
                Kind::Str | Kind::Topic => (),
                Kind::Pair => buf.extend_from_slice(b"\x00\x00"),
                _ => continue,
            }
            assert!(Properties::check(&buf, carrier).is_err(), "{}", entry.name);
        }
    }
}

#[test]
fn wildcards_are_for_topic_filters() {
    for wildcard in ["+", "#", "a/+/b", "a#"] {
        let mut topic = Vec::new();
        crate::codec::wire::put_str(&mut topic, wildcard);
        let error = refused(V311, &framed(0x30, &topic));
        assert_eq!(error.reason_code(), ReasonCode::TopicNameInvalid);
        assert_eq!(error.statement(), Some("MQTT-3.3.2-2"));
        let will = [b"\x00\x04MQTT\x04\x06\x00\x00\x00\x01c", topic.as_slice(), b"\x00\x00"];
        assert_eq!(refused(V311, &framed(0x10, &will.concat())).statement(), Some("MQTT-4.7.0-1"));
        let mut response = PropertiesBuf::new();
        response.push_str(Property::ResponseTopic, wildcard);
        for carrier in [Carrier::Publish, Carrier::Will] {
            let error = Properties::check(response.as_properties().raw(), carrier)
                .expect_err("a Response Topic is a Topic Name");
            assert_eq!(error.statement(), Some("MQTT-3.3.2-14"));
        }
    }
}

/// The smallest legal encoding of each property.
fn least(property: Property) -> Vec<u8> {
    let value: &[u8] = match property.kind() {
        Kind::U8 | Kind::Var => &[1],
        Kind::U16 => &[0, 1],
        Kind::U32 => &[0, 0, 0, 1],
        Kind::Str | Kind::Topic | Kind::Bin => &[0, 0],
        Kind::Pair => &[0, 0, 0, 0],
    };
    [&[property as u8], value].concat()
}

#[test]
fn each_property_is_legal_exactly_where_the_table_says_and_as_often() {
    let carriers = TABLE.iter().find(|entry| entry.property == Property::UserProperty).expect("in the table").carriers;
    assert_eq!(carriers.len(), 16);
    for entry in TABLE {
        for &carrier in carriers {
            let once = least(entry.property);
            let allowed = entry.carriers.contains(&carrier);
            assert_eq!(Properties::check(&once, carrier).is_ok(), allowed, "{} in {carrier}", entry.name);
            if allowed {
                let repeats = entry.repeats_in.contains(&carrier);
                assert_eq!(
                    Properties::check(&once.repeat(2), carrier).is_ok(),
                    repeats,
                    "{} twice in {carrier}",
                    entry.name
                );
            }
        }
    }
    for identifier in 0..=0xFFu32 {
        let known = TABLE.iter().any(|entry| entry.property as u32 == identifier);
        assert_eq!(Property::from_identifier(identifier).is_some(), known);
    }
    assert_eq!(TABLE.len(), 27);
}

#[test]
fn values_out_of_range_are_protocol_errors() {
    for (carrier, raw) in [
        (Carrier::Publish, b"\x01\x02".as_slice()),
        (Carrier::Connect, b"\x17\x02"),
        (Carrier::Connect, b"\x19\xff"),
        (Carrier::Connect, b"\x21\x00\x00"),
        (Carrier::Connect, b"\x27\x00\x00\x00\x00"),
        (Carrier::Subscribe, b"\x0b\x00"),
        (Carrier::ConnAck, b"\x24\x02"),
        (Carrier::ConnAck, b"\x2a\x02"),
    ] {
        let error = Properties::check(raw, carrier).expect_err("out of range");
        assert!(matches!(error, DecodeError::PropertyValue { .. }));
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    }
}

#[test]
fn a_client_sends_no_subscription_identifier_in_publish() {
    let packet = framed(0x30, b"\x00\x01t\x02\x0b\x01");
    let error = refused(V5, &packet);
    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    assert_eq!(error.statement(), Some("MQTT-3.3.4-6"));
    assert!(decode(V5, ToClient, &packet).is_ok());
}

#[test]
fn connect_is_refused_by_the_flag_that_is_wrong() {
    let connect = |level: u8, flags: u8| {
        framed(0x10, &[b"\x00\x04MQTT".as_slice(), &[level, flags], b"\x00\x00\x00\x00\x01c"].concat())
    };
    for (flags, statement) in [
        (0b0000_0011, "MQTT-3.1.2-3"),
        (0b0000_1010, "MQTT-3.1.2-11"),
        (0b0010_0010, "MQTT-3.1.2-13"),
        (0b0001_1110, "MQTT-3.1.2-12"),
    ] {
        assert_eq!(refused(V5, &connect(5, flags)).statement(), Some(statement));
    }
    assert_eq!(refused(V311, &connect(4, 0b0100_0010)).statement(), Some("3.1.1 MQTT-3.1.2-22"));
}

#[test]
fn connect_of_an_unknown_version_says_in_which_to_answer() {
    let connect = |name: &[u8], level: u8| {
        let length = (name.len() as u16).to_be_bytes();
        framed(0x10, &[&length, name, &[level], b"\x02\x00\x00\x00\x01c"].concat())
    };
    for (name, level, answer) in [
        (b"MQTT".as_slice(), 0, V311),
        (b"MQTT", 3, V311),
        (b"MQTT", 6, V5),
        (b"MQTT", 0x85, V5),
        (b"MQIsdp", 4, V311),
        (b"MQTT", 127, V5),
    ] {
        let error = refused(V311, &connect(name, level));
        assert_eq!(error, DecodeError::ProtocolLevel { level });
        assert_eq!(error.reason_code(), ReasonCode::UnsupportedProtocolVersion);
        assert_eq!(error.answer_version(), Some(answer));
    }
    for name in [b"mqtt".as_slice(), b"", b"HTTP", b"MQTTX"] {
        let error = refused(V311, &connect(name, 4));
        assert_eq!(error, DecodeError::ProtocolName);
        assert_eq!(error.answer_version(), None);
    }
}

#[test]
fn bad_connects_with_will_properties_leave_nothing_behind() {
    let content = b"\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01c\x05\x18\x00\x00\x00\x05\x00\x01w\x00\x01p";
    assert!(receive(V5, &framed(0x10, content)).is_ok());
    for (at, byte) in [(14, 0x06), (15, 0x19), (15, 0x00), (21, b'+'), (22, 0xff)] {
        let mut damaged = content.to_vec();
        damaged[at] = byte;
        assert!(receive(V5, &framed(0x10, &damaged)).is_err(), "{at}");
    }
}

#[test]
fn authentication_data_needs_its_method() {
    let connect = |properties: &[u8]| {
        let mut content = b"\x00\x04MQTT\x05\x02\x00\x00".to_vec();
        crate::codec::wire::put_properties(&mut content, V5, properties);
        content.extend_from_slice(b"\x00\x01c");
        framed(0x10, &content)
    };
    assert!(receive(V5, &connect(b"\x15\x00\x01m\x16\x00\x01d")).is_ok());
    assert_eq!(refused(V5, &connect(b"\x16\x00\x01d")).reason_code(), ReasonCode::ProtocolError);
}

#[test]
fn subscription_options_are_judged_by_the_version() {
    let subscribe = |version: ProtocolVersion, filter: &str, bits: u8| {
        let mut content = b"\x00\x0a".to_vec();
        crate::codec::wire::put_properties(&mut content, version, b"");
        crate::codec::wire::put_str(&mut content, filter);
        content.push(bits);
        framed(0x82, &content)
    };
    for bits in 0..=255u8 {
        let qos = bits & 0b11 != 0b11;
        assert_eq!(receive(V31, &subscribe(V31, "a", bits)).is_ok(), qos);
        assert_eq!(receive(V311, &subscribe(V311, "a", bits)).is_ok(), bits < 3);
        let handling = bits >> 4 & 0b11 != 0b11;
        assert_eq!(receive(V5, &subscribe(V5, "a", bits)).is_ok(), qos && handling && bits < 0x40);
    }
    let shared = refused(V5, &subscribe(V5, "$share/g/a", 0b0100));
    assert_eq!(shared.statement(), Some("MQTT-3.8.3-4"));
}

#[test]
fn reason_codes_are_judged_by_packet_and_side() {
    for (direction, bytes) in [
        (ToServer, b"\x40\x03\x00\x0a\x92".as_slice()),
        (ToServer, b"\x62\x03\x00\x0a\x10"),
        (ToServer, b"\xe0\x01\x8e"),
        (ToServer, b"\xe0\x01\x03"),
        (ToClient, b"\xe0\x01\x04"),
        (ToClient, b"\x20\x03\x00\x01\x00"),
        (ToClient, b"\x90\x04\x00\x0a\x00\x03"),
        (ToClient, b"\xb0\x04\x00\x0a\x00\x01"),
    ] {
        let error = decode(V5, direction, bytes).expect_err("not its code");
        assert!(matches!(error, DecodeError::ReasonCode { .. }));
        assert!(error.statement().is_some());
    }
    assert!(matches!(decode(V311, ToClient, b"\x20\x02\x00\x06"), Err(DecodeError::ReasonCode { code: 6, .. })));
    assert!(matches!(decode(V311, ToClient, b"\x90\x03\x00\x0a\x87"), Err(DecodeError::ReasonCode { code: 0x87, .. })));
}

#[test]
fn fields_too_long_for_the_wire_are_cut_between_characters() {
    let long = "\u{e9}".repeat(40_000);
    let mut out = Vec::new();
    crate::codec::wire::put_str(&mut out, &long);
    assert_eq!(out.len(), 2 + 65_534);
    let mut reader = crate::codec::wire::Reader::new(&out);
    assert!(reader.str(Field::ClientId).is_ok() && reader.is_empty());
}

#[test]
fn messages_say_what_was_met_and_what_is_allowed() {
    for (error, message) in [
        (refused(V311, b"\x30\x03\x00\x05a"), "packet ends in Topic Name: 5 bytes are due, 1 are left"),
        (refused(V311, b"\x80\x00"), "flags of SUBSCRIBE are 0000, 0010 is due [MQTT-3.8.1-1]"),
        (refused(V311, b"\x30\x05\x00\x03a/#"), "Topic Name has the wildcard '#' at byte 2 [MQTT-3.3.2-2]"),
        (refused(V5, &framed(0x30, b"\x00\x01t\x02\x01\x02")), "Payload Format Indicator is 2, 0 and 1 are allowed"),
        (refused(V311, b"\x20\x02\x00\x00"), "CONNACK may not be sent to the server"),
        (
            refused(V5, &framed(0x30, b"\x00\x01t\x05\x11\x00\x00\x00\x01")),
            "Session Expiry Interval may not be in PUBLISH from a client",
        ),
    ] {
        assert_eq!(error.to_string(), message);
    }
}
