//! Where users of other rule engines fall: each trap by its number in the list of them, with what happens here.

use super::{condition, run, value};

#[test]
fn a_text_in_double_quotes_is_a_name() {
    assert_eq!(condition("payload.a = \"high\"", b"{\"a\":\"high\"}"), "R0102");
    assert_eq!(condition("payload.a = 'high'", b"{\"a\":\"high\"}"), "true");
    assert_eq!(condition("\"topic\" = 't/a'", b""), "true", "a name may stand in double quotes");
}

#[test]
fn foreach_without_do_gives_the_element_over_the_event() {
    let row = run("FOREACH payload.s FROM \"t/#\"", br#"{"s":[{"name":"a"}]}"#);
    assert!(
        row.contains("\"name\":\"a\"") && row.contains("\"item\":{\"name\":\"a\"}") && row.contains("\"topic\""),
        "{row}"
    );
}

#[test]
fn where_comes_first_unless_it_uses_a_name_of_the_fields() {
    let sql = |condition: &str| format!("SELECT payload.x AS x FROM \"t/#\" WHERE {condition}");
    assert_eq!(run(&sql("qos = 2"), b"no json"), "none", "nothing has failed");
    assert_eq!(run(&sql("x > 1 AND qos = 2"), b"no json"), "R0301");
    assert_eq!(run(&sql("qos = 2 AND x > 1"), b"no json"), "R0301", "x is computed before");
}

#[test]
fn missing_differs_from_nothing_and_there_is_one_null() {
    assert_eq!(condition("payload.gone != 1", b"{}"), "none");
    assert_eq!(condition("payload.gone = payload.lost", b"{}"), "true");
    assert_eq!(condition("payload.gone <= payload.lost", b"{}"), "true");
    assert_eq!(condition("payload.gone < payload.lost", b"{}"), "none");
    assert_eq!(condition("payload.gone =~ 't'", b"{}"), "none");
    assert_eq!(value("is_null(payload.n)", b"{\"n\":null}"), "true");
    assert_eq!(value("is_null(null)", b""), "true");
    assert_eq!(condition("payload.n IS NULL AND payload.gone = null", b"{\"n\":null}"), "true");
}

#[test]
fn numbers_keep_their_digits_and_kinds() {
    assert_eq!(value("str(20.2)", b""), "\"20.2\"");
    assert_eq!(value("str(0.1 + 0.2)", b""), "\"0.30000000000000004\"");
    assert_eq!(value("float2str(20.2, 17)", b""), "\"20.19999999999999928\"");
    assert_eq!(value("abs(-1.2)", b""), "1.2");
    assert_eq!(value("power(2, 10)", b""), "1024.0");
    assert_eq!(value("fmod(-32, 5)", b""), "-2.0");
    assert_eq!(value("int(-3.14)", b""), "-4");
    assert_eq!(condition("1 = 1.0 AND 10 / 2 = 5 AND 7 div 2 = 3 AND -7 mod 3 = -1", b""), "true");
}

#[test]
fn pieces_of_text_are_dropped_when_empty_unless_asked_for() {
    assert_eq!(value("split('a;;b', ';')", b""), "[\"a\",\"b\"]");
    assert_eq!(value("split('a;;b', ';', 'notrim')", b""), "[\"a\",\"\",\"b\"]");
    assert_eq!(value("split('a;;b', '; ', 'notrim')", b""), "[\"a;;b\"]");
    assert_eq!(value("split('a/b/ c', '/', 'leading')", b""), "[\"a\",\"b/ c\"]");
    assert_eq!(value("tokens(' a/b/ c', '/ ')", b""), "[\"a\",\"b\",\"c\"]");
}

#[test]
fn bits_count_from_one_and_half_a_byte_is_filled_up() {
    assert_eq!(value("subbits('abc', 9, 16, 'integer', 'signed', 'little')", b""), "25442");
    assert_eq!(value("subbits('abc', 9, 16, 'integer', 'signed', 'big')", b""), "25187");
    assert_eq!(value("subbits(hexstr2bin('9F4E58'), 1, 16, 'integer', 'signed', 'big')", b""), "-24754");
    assert_eq!(value("bin2hexstr(hexstr2bin('ABEF123'))", b""), "\"0ABEF123\"");
    assert_eq!(value("bin2hexstr(zip('hello world'))", b""), "\"CB48CDC9C95728CF2FCA490100\"");
}

#[test]
fn dots_in_a_key_nest_for_map_get_and_not_for_mget() {
    assert_eq!(value("map_get('a.b', payload.m)", br#"{"m":{"a":{"b":2}}}"#), "2");
    assert_eq!(value("mget('a.b', payload.m)", br#"{"m":{"a":{"b":2}}}"#), "null");
}

#[test]
fn random_values_follow_from_the_seed() {
    use crate::{Input, Rules, Scratch, State};
    let row = |seed| {
        let config = super::config("SELECT random() AS r, uuid_v4() AS u FROM \"t\"");
        let mut rules = Rules::compile(&[("r", config)]).expect("a rule");
        let mut scratch = Scratch::with_state(State::seeded(seed));
        super::evaluate(&mut rules, &Input::publish(super::event("t", b""), &mut scratch))
    };
    assert_eq!(row(1), row(1));
    assert_ne!(row(1), row(2));
}

#[test]
fn conditions_are_true_only_for_true() {
    assert_eq!(condition("payload.flag", b"{\"flag\":true}"), "true");
    assert_eq!(condition("payload.flag", b"{\"flag\":1}"), "none");
    assert_eq!(condition("NOT payload.flag", b"{\"flag\":1}"), "none");
    assert_eq!(condition("NOT (qos = 2 AND retain) AND qos NOT IN (0, 2)", b""), "true");
    assert_eq!(condition("true", b""), "true");
    assert_eq!(condition("true = 'true' AND '12' = 12", b""), "true");
    assert_eq!(condition("payload.a < payload.b", br#"{"a":"x","b":true}"#), "none", "unlike kinds have no order");
}
