//! What payloads of all kinds make of a rule.

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
    for bad in [
        &b""[..],
        b"{\"a\":1",
        b"text",
        b"\xff",
        b"{\"a\":1}x",
        "[".repeat(100_000).as_bytes(),
    ] {
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
    assert_eq!(
        condition(
            "payload.a > 9223372036854775807",
            br#"{"a":9223372036854775808}"#
        ),
        "true"
    );
}

#[test]
fn work_for_one_message_is_bounded() {
    let big = "x".repeat(1 << 20);
    let doubled: String = (0..20)
        .map(|i| format!(", concat(a{i}, a{i}) AS a{}", i + 1))
        .collect();
    assert_eq!(
        run(
            &format!("SELECT payload AS a0{doubled} FROM \"t\""),
            big.as_bytes()
        ),
        "R0309"
    );
    let compares = vec!["payload = payload"; FUEL / big.len() + 1].join(" AND ");
    assert_eq!(condition(&compares, big.as_bytes()), "R0309");
    let columns: Vec<_> = (0..20).map(|i| format!("payload AS p{i}")).collect();
    assert_eq!(
        run(
            &format!("SELECT {} FROM \"t\"", columns.join(", ")),
            big.as_bytes()
        ),
        "R0308"
    );
}

#[test]
fn constants_that_would_be_large_are_refused_when_the_rule_is_compiled() {
    let text = "x".repeat(30_000);
    let joined = format!("concat('{text}', '{text}')");
    assert_eq!(value(&format!("strlen({joined})"), b""), "60000");
    let sql = format!("SELECT concat(a, a, a) AS b, '{text}' AS a FROM \"t\"");
    assert_eq!(run(&sql, b""), "R0101 R0101 R0101");
}
