//! Functions of the event itself.

use super::{condition, evaluate, run, value};
use crate::fields::{Event, EventField};
use crate::{EventView, Given, Input, Rules, Scratch};

#[test]
fn the_fields_of_a_message_have_functions() {
    for (expression, expected) in [
        ("msgid()", "\"0123456789ABCDEF0123456789ABCDEF\""),
        ("clientid()", "\"c_steve\""),
        ("username()", "null"),
        ("clientip()", "\"127.0.0.1\""),
        ("peerhost()", "\"127.0.0.1\""),
        ("qos()", "1"),
        ("flags()", "{\"retain\":true,\"dup\":false}"),
        ("flag('retain')", "true"),
        ("flag('dup')", "false"),
        ("flag('sys')", "R0115"),
        ("flag(payload)", "null"),
        ("topic()", "\"t/a\""),
        ("payload()", "\"x\""),
    ] {
        assert_eq!(value(expression, b"x"), expected, "{expression}");
    }
    assert_eq!(condition("msgid() = id AND clientid() = clientid AND topic() = topic AND qos() = qos", b""), "true");
}

#[test]
fn levels_of_a_topic_count_from_one_and_empty_ones_count() {
    assert_eq!(value("topic(1)", b""), "\"t\"");
    assert_eq!(value("topic(2)", b""), "\"a\"");
    for nowhere in [0, 3, -1, i64::MAX] {
        assert_eq!(value(&format!("topic({nowhere})"), b""), "null");
    }
    let fields = [(EventField::Topic, Given::Text("/a//b"))];
    for (level, expected) in [(1, "\"\""), (2, "\"a\""), (3, "\"\""), (4, "\"b\""), (5, "null")] {
        assert_eq!(of_event(&format!("topic({level})"), &fields), format!("{{\"v\":{expected}}}"));
    }
}

#[test]
fn a_path_as_a_text_leads_into_the_payload() {
    let payload = br#"{"a":{"b":[10,{"c":true}],"1":"one"},"d.e":2}"#;
    for (path, expected) in [
        ("a.b.1", "10"),
        ("a.b.-1.c", "true"),
        ("a.b.2.c", "true"),
        ("a.1", "\"one\""),
        ("a.01", "null"),
        ("d.e", "null"),
        ("a.x.y", "null"),
        ("", "null"),
        ("..", "null"),
    ] {
        assert_eq!(value(&format!("payload('{path}')"), payload), expected, "{path}");
    }
    assert_eq!(value("payload(payload.p)", br#"{"p":"q","q":7}"#), "7");
    assert_eq!(value("payload('a')", b"no json"), "R0301");
    assert_eq!(value("payload(1)", b"{}"), "R0111");
    assert_eq!(condition("payload('a.b') > 1", br#"{"a":{"b":2}}"#), "true");
    assert_eq!(value(&format!("payload('{}')", ".".repeat(1000)), payload), "null");
}

#[test]
fn an_event_without_a_field_has_null_for_its_function() {
    let fields = [(EventField::ClientId, Given::Text("c1"))];
    for name in ["msgid()", "username()", "clientip()", "qos()", "flags()", "flag('dup')", "payload()", "payload('a')"]
    {
        assert_eq!(of_event(name, &fields), "{\"v\":null}", "{name}");
    }
    assert_eq!(of_event("clientid()", &fields), "{\"v\":\"c1\"}");
}

fn of_event(expression: &str, fields: &[(EventField, Given<'_>)]) -> String {
    let sql = format!("SELECT {expression} AS v FROM \"$events/client_connected\"");
    let mut rules = Rules::compile(&[("r", super::config(&sql))]).expect("a rule");
    let mut scratch = Scratch::default();
    let view = EventView { event: Event::ClientConnected, unix_ms: 1, node: "n1", fields };
    evaluate(&mut rules, &Input::fields(view, &mut scratch))
}

#[test]
fn lists_of_topic_filters_are_searched() {
    let payload = br#"{"f":[{"topic":"t/#","qos":1},{"topic":"t/a","qos":2},"u/+",{"qos":1},7]}"#;
    for (call, expected) in [
        ("contains_topic(payload.f, 't/a')", true),
        ("contains_topic(payload.f, 't/#')", true),
        ("contains_topic(payload.f, 't/b')", false),
        ("contains_topic(payload.f, 't/a', 2)", true),
        ("contains_topic(payload.f, 't/a', 1)", false),
        ("contains_topic(payload.f, 'u/+')", true),
        ("contains_topic(payload.f, 'u/+', 0)", false),
        ("contains_topic_match(payload.f, 't/b')", true),
        ("contains_topic_match(payload.f, 't/b', 1)", true),
        ("contains_topic_match(payload.f, 't/b', 2)", false),
        ("contains_topic_match(payload.f, 't/a', 2)", true),
        ("contains_topic_match(payload.f, 'u/x')", true),
        ("contains_topic_match(payload.f, 'v')", false),
    ] {
        assert_eq!(value(call, payload), expected.to_string(), "{call}");
    }
    assert_eq!(value("contains_topic(payload, 't')", b"[]"), "R0111");
}

#[test]
fn searching_a_list_of_filters_is_paid_for() {
    let filters: Vec<_> = (0..20_000).map(|number| format!("\"{number}{}\"", "/x".repeat(20))).collect();
    let payload = format!("{{\"f\":[{}]}}", filters.join(","));
    let sql = vec!["contains_topic_match(payload.f, 't')"; 40].join(" OR ");
    assert_eq!(run(&format!("SELECT 1 AS v FROM \"t\" WHERE {sql}"), payload.as_bytes()), "R0309");
}
