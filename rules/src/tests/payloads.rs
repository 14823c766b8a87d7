//! What payloads of all kinds make of a rule.

use millrace_core::value::Value;

use super::fuzz::Random;
use super::{condition, run, value};
use crate::input::FUEL;

#[test]
fn a_payload_is_text_when_it_is_utf8_and_bytes_otherwise() {
    assert_eq!(value("payload", "grün".as_bytes()), "\"grün\"");
    assert_eq!(value("payload", b""), "\"\"");
    assert_eq!(value("is_str(payload)", b"\xff\xfe"), "false");
    assert_eq!(condition("payload = 'on'", b"on"), "true");
    assert_eq!(condition("payload > 20", b"21.5"), "true");
    assert_eq!(condition("payload > 20", b"warm"), "R0303");
    assert_eq!(condition("payload = payload", b"\xff"), "true");
}

#[test]
fn a_payload_that_is_not_json_fails_only_rules_that_look_into_it() {
    for bad in [&b""[..], b"{\"a\":1", b"text", b"\xff", b"{\"a\":1}x", "[".repeat(100_000).as_bytes()] {
        assert_eq!(value("payload.a", bad), "R0301");
        assert_eq!(value("qos", bad), "1");
    }
    // Valid up to the member that was asked for is not enough: the outcome does not hang on the order of members.
    assert_eq!(value("payload.a", b"{\"a\":1,\"b\":}"), "R0301");
}

#[test]
fn json_that_is_no_map_has_no_members() {
    for other in ["1", "\"x\"", "null", "true", "[1,2]"] {
        assert_eq!(value("payload.a", other.as_bytes()), "null", "{other}");
    }
    assert_eq!(value("payload[2]", b"[1,2]"), "2");
}

#[test]
fn the_later_of_two_members_counts_and_huge_numbers_are_named() {
    assert_eq!(value("payload.a", br#"{"a":1,"a":2}"#), "2");
    assert_eq!(value("payload.a", br#"{"a":1e999}"#), "R0301");
    assert_eq!(value("payload.b", br#"{"a":1e999,"b":1}"#), "1");
    assert_eq!(condition("payload.a > 9223372036854775807", br#"{"a":9223372036854775808}"#), "true");
}

#[test]
fn a_member_that_is_asked_for_again_is_the_same_one() {
    let sql = "SELECT payload.a AS a, payload.a AS b, payload.b.a AS c, payload.a AS d, payload.x AS e, payload.b.a AS f, \
               payload.a AS g FROM \"t\"";
    for (payload, row) in [
        (r#"{"a":1,"b":{"a":2},"a":3}"#, r#"{"a":3,"b":3,"c":2,"d":3,"e":null,"f":2,"g":3}"#),
        (r#"{"a":1,"\u0061":4,"b":{"a":2}}"#, r#"{"a":4,"b":4,"c":2,"d":4,"e":null,"f":2,"g":4}"#),
        (r#"{"b":{"a":[1]}}"#, r#"{"a":null,"b":null,"c":[1],"d":null,"e":null,"f":[1],"g":null}"#),
    ] {
        assert_eq!(run(sql, payload.as_bytes()), row);
    }
}

#[test]
fn work_for_one_message_is_bounded() {
    let big = "x".repeat(1 << 20);
    let doubled: String = (0..20).map(|i| format!(", concat(a{i}, a{i}) AS a{}", i + 1)).collect();
    assert_eq!(run(&format!("SELECT payload AS a0{doubled} FROM \"t\""), big.as_bytes()), "R0309");
    let compares = vec!["payload = payload"; FUEL / big.len() + 1].join(" AND ");
    assert_eq!(condition(&compares, big.as_bytes()), "R0309");
    let wide = format!("{{{}\"a\":1}}", "\"k\":0,".repeat(100_000));
    let looks = vec!["payload.a = 1"; FUEL / 8 / 100_000 + 1].join(" AND ");
    assert_eq!(condition(&looks, wide.as_bytes()), "R0309");
    assert_eq!(condition("payload.a = 1", wide.as_bytes()), "true");
    let columns: Vec<_> = (0..20).map(|i| format!("payload AS p{i}")).collect();
    assert_eq!(run(&format!("SELECT {} FROM \"t\"", columns.join(", ")), big.as_bytes()), "R0308");
}

#[test]
fn constants_that_would_be_large_are_refused_when_the_rule_is_compiled() {
    let text = "x".repeat(30_000);
    let joined = format!("concat('{text}', '{text}')");
    assert_eq!(value(&format!("strlen({joined})"), b""), "60000");
    let sql = format!("SELECT concat(a, a, a) AS b, '{text}' AS a FROM \"t\"");
    assert_eq!(run(&sql, b""), "R0101 R0101 R0101");
}

#[test]
fn json_that_was_written_is_read_back_and_broken_json_never_panics() {
    let mut random = Random(11);
    for _ in 0..3_000 {
        let written = random_value(&mut random, 4).to_json();
        let read = value("payload[1]", format!("[{written}]").as_bytes());
        assert_eq!(read, written);
        let mut bytes = written.into_bytes();
        for _ in 0..3 {
            let at = random.below(bytes.len());
            bytes[at] = u8::try_from(random.below(256)).expect("a byte");
            let result = value("payload[1]", &[b"[", bytes.as_slice(), b"]"].concat());
            assert!(result != "none" && !result.is_empty());
        }
    }
}

fn random_value(random: &mut Random, depth: usize) -> Value<'static> {
    const TEXTS: [&str; 8] = ["", "a", "grün", "a\"b\\c", "\n\u{1}", "😀 and more than eight", "12345678", "1234567\""];
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::Int(i64::try_from(random.below(1 << 40)).expect("small") - (1 << 39)),
        3 => Value::Float(random.below(1 << 30) as f64 / 1024.0),
        4 => Value::text(TEXTS[random.below(TEXTS.len())]),
        5 => Value::List((0..random.below(4)).map(|_| random_value(random, depth - 1)).collect()),
        _ => Value::Map(
            (0..random.below(4))
                .map(|index| (format!("{}{index}", random.pick(&TEXTS)).into(), random_value(random, depth - 1)))
                .collect(),
        ),
    }
}
