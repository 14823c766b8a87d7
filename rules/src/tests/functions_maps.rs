//! Functions of maps and lists, as tables.

use super::{table, value};

const PAYLOAD: &[u8] = br#"{
    "m":{"a":{"b":2,"n":null},"a.b":3,"t":"{\"x\":{\"y\":4}}","l":[1]},
    "ab":{"a":1,"b":2}, "l":[1,2,3,4], "mixed":["John",1.0,[1,2],{"a":1},null], "e":[], "text":"no json", "i":7, "n":null,
    "text_map":"{\"a\":1}", "z":0}"#;

#[test]
fn map_get_follows_dots_and_mget_does_not() {
    table(
        PAYLOAD,
        &[
            ("map_get('a', payload.ab)", "1"),
            ("map_get('a.b', payload.m)", "2"),
            ("mget('a.b', payload.m)", "3"),
            ("mget('a.b', json_decode('{\"a\":{\"b\":2}}'))", "null"),
            ("map_get('a.b', json_decode('{\"a\":{\"b\":2}}'))", "2"),
            ("map_get('data', json_decode('{\"msg\":\"hello\"}'))", "null"),
            ("map_get('data', json_decode('{\"msg\":\"hello\"}'), '')", "\"\""),
            ("map_get('data', payload.ab, payload.e)", "[]"),
            ("map_get('a.n', payload.m, 5)", "5"),
            ("map_get('a.b.c', payload.m, 5)", "5"),
            ("map_get('t.x.y', payload.m)", "4"),
            ("map_get('l.1', payload.m)", "null"),
            ("map_get('a', payload.n, 5)", "5"),
            ("map_get('a', payload.missing)", "null"),
            ("map_get('a', payload.text_map)", "1"),
            ("mget('a', payload.text_map)", "1"),
            ("mget('c', payload.ab, 'none')", "\"none\""),
            ("map_get('a', payload.text)", "R0307"),
            ("mget('a', payload.text)", "R0307"),
            ("mget('a', payload.l)", "R0306"),
            ("map_get(payload.i, payload.ab)", "R0306"),
            ("mget('a', 1)", "R0111"),
            ("mget('a')", "R0110"),
            ("map_get('a', payload.ab, 1, 2)", "R0110"),
        ],
    );
}

#[test]
fn map_put_follows_dots_and_mput_does_not() {
    table(
        PAYLOAD,
        &[
            ("map_new()", "{}"),
            ("map_put('c', 3, payload.ab)", r#"{"a":1,"b":2,"c":3}"#),
            ("map_put('a', 2, payload.ab)", r#"{"a":2,"b":2}"#),
            ("map_put('a.b', 1, map_new())", r#"{"a":{"b":1}}"#),
            ("map_put('a.b', 1, payload.ab)", r#"{"a":{"b":1},"b":2}"#),
            ("map_put('a.c', 9, map_get('a', payload.m))", r#"{"b":2,"n":null,"a":{"c":9}}"#),
            ("mput('a.b', 1, map_new())", r#"{"a.b":1}"#),
            ("mput('a', payload.l, payload.ab)", r#"{"a":[1,2,3,4],"b":2}"#),
            ("mput('b', null, payload.text_map)", r#"{"a":1,"b":null}"#),
            ("map_get('b', map_put('b', 1, json_decode('{\"a\": 1}')))", "1"),
            ("mput('a', 1, payload.text)", "R0307"),
            ("mput('a', 1, payload.n)", "R0306"),
            ("map_put(1, 1, map_new())", "R0111"),
            ("map_put('a', map_new())", "R0110"),
        ],
    );
}

#[test]
fn a_map_cannot_be_put_together_deeper_than_a_row_may_be() {
    let path = |names: usize| vec!["a"; names].join(".");
    assert!(value(&format!("map_put('{}', 1, map_new())", path(160)), b"").starts_with("{\"a\":{\"a\":"));
    assert_eq!(value(&format!("map_put('{}', 1, map_new())", path(161)), b""), "R0114");
    let nested = format!("map_put('{}', map_put('{}', 1, map_new()), map_new())", path(100), path(100));
    assert_eq!(value(&nested, b""), "R0114");
    assert_eq!(value(&format!("map_to_entries(map_put('{}', topic, map_new()))", path(160)), b""), "R0308");
    assert_eq!(value("map_put(payload, topic, map_new())", "a.".repeat(1 << 20).as_bytes()), "R0308");
}

#[test]
fn a_map_is_taken_apart() {
    table(
        PAYLOAD,
        &[
            ("map_keys(payload.ab)", r#"["a","b"]"#),
            ("map_values(payload.ab)", "[1,2]"),
            ("map_to_entries(payload.ab)", r#"[{"key":"a","value":1},{"key":"b","value":2}]"#),
            ("map_size(payload.ab)", "2"),
            ("map_size(map_new())", "0"),
            ("map_keys(pub_props.'User-Property')", r#"["k"]"#),
            ("map_to_redis_hset_args(payload.ab)", r#"["a","1","b","2"]"#),
            ("map_to_redis_hset_args(map_get('a', payload.m))", r#"["b","2"]"#),
            (
                "map_to_redis_hset_args(payload.m)",
                r#"["a","{\"b\":2,\"n\":null}","a.b","3","t","{\"x\":{\"y\":4}}","l","[1]"]"#,
            ),
            ("map_keys(payload.l)", "R0306"),
            ("map_values(payload.text_map)", "R0306"),
            ("map_size('a')", "R0111"),
            ("map_to_entries()", "R0110"),
            ("map_to_redis_hset_args(payload.n)", "R0306"),
        ],
    );
}

#[test]
fn json_value_reads_a_path_of_a_text() {
    table(
        PAYLOAD,
        &[
            ("json_value('{\"a\":[{\"b\":2}]}', 'a.1.b')", "2"),
            ("json_value(payload, 'm.a.b')", "2"),
            ("json_value(payload, 'l.-1')", "4"),
            ("json_value(payload, 'no.such')", "null"),
            ("json_value('{\"1\":\"one\"}', '1')", "\"one\""),
            ("json_value(payload.text, 'a')", "R0307"),
            ("json_value('x', 'a')", "R0114"),
            ("json_value(payload.ab, 'a')", "R0306"),
            ("json_value(payload)", "R0110"),
        ],
    );
}

#[test]
fn elements_of_lists_are_counted_from_1() {
    table(
        PAYLOAD,
        &[
            ("nth(2, payload.l)", "2"),
            ("nth(4, payload.l)", "4"),
            ("nth(0, payload.l)", "R0313"),
            ("nth(5, payload.l)", "R0313"),
            ("nth(-1, payload.l)", "R0313"),
            ("nth(1, payload.e)", "R0313"),
            ("nth(1, payload.n)", "R0306"),
            ("nth('1', payload.l)", "R0111"),
            ("nth(1.0, payload.l)", "R0111"),
            ("nth(1)", "R0110"),
            ("length(payload.l)", "4"),
            ("length(payload.e)", "0"),
            ("length(payload.text)", "R0306"),
            ("length('abc')", "R0111"),
            ("first(payload.l)", "1"),
            ("last(payload.l)", "4"),
            ("first(payload.e)", "R0313"),
            ("last(payload.e)", "R0313"),
            ("first(payload.ab)", "R0306"),
            ("last()", "R0110"),
            ("nth(payload.i - 5, payload.l)", "2"),
        ],
    );
}

#[test]
fn sublist_takes_from_the_beginning_or_from_a_position() {
    table(
        PAYLOAD,
        &[
            ("sublist(3, payload.l)", "[1,2,3]"),
            ("sublist(10, payload.l)", "[1,2,3,4]"),
            ("sublist(0, payload.l)", "[]"),
            ("sublist(2, 10, payload.l)", "[2,3,4]"),
            ("sublist(2, 2, payload.l)", "[2,3]"),
            ("sublist(5, 1, payload.l)", "[]"),
            ("sublist(9, 1, payload.l)", "[]"),
            ("sublist(0, 1, payload.l)", "R0115"),
            ("sublist(payload.z, 1, payload.l)", "R0313"),
            ("sublist(1, -1, payload.l)", "R0115"),
            ("sublist(-1, payload.l)", "R0115"),
            ("sublist(payload.z - 1, payload.l)", "R0313"),
            ("sublist(1, payload.n)", "R0306"),
            ("sublist(1, payload.i)", "R0306"),
            ("sublist(1, payload.l, payload.l)", "R0306"),
            ("sublist(1, 1, payload.n)", "R0306"),
            ("sublist('1', payload.l)", "R0111"),
            ("sublist(1)", "R0110"),
        ],
    );
}

#[test]
fn contains_looks_for_the_same_value() {
    table(
        PAYLOAD,
        &[
            ("contains(2, payload.l)", "true"),
            ("contains(2.0, payload.l)", "false"),
            ("contains('2', payload.l)", "false"),
            ("contains('John', payload.mixed)", "true"),
            ("contains(1.0, payload.mixed)", "true"),
            ("contains(sublist(2, payload.l), payload.mixed)", "true"),
            ("contains(json_decode('{\"a\":1}'), payload.mixed)", "true"),
            ("contains(null, payload.mixed)", "true"),
            ("contains(null, payload.l)", "false"),
            ("contains(1, payload.e)", "false"),
            ("contains(1, payload.n)", "R0306"),
            ("contains(1, 'a')", "R0111"),
            ("contains(1)", "R0110"),
        ],
    );
}
