//! FOREACH, DO and INCASE.

use super::run;

const SENSORS: &[u8] =
    br#"{"date":"2020-04-24","sensors":[{"name":"a","idx":0},{"name":"b","idx":1},{"name":"c","idx":2}]}"#;

fn foreach(sql: &str, payload: &[u8]) -> String {
    run(&format!("{sql} FROM \"t/#\""), payload)
}

#[test]
fn each_element_that_incase_lets_through_makes_a_row() {
    assert_eq!(
        foreach("FOREACH payload.sensors AS s DO clientid, s.name AS name, s.idx AS idx INCASE s.idx >= 1", SENSORS),
        "{\"clientid\":\"c_steve\",\"name\":\"b\",\"idx\":1} {\"clientid\":\"c_steve\",\"name\":\"c\",\"idx\":2}"
    );
    assert_eq!(foreach("FOREACH payload.sensors DO item.name AS n INCASE item.idx = 0", SENSORS), "{\"n\":\"a\"}");
    assert_eq!(foreach("FOREACH payload.sensors AS s DO s.name AS n INCASE s.idx > 9", SENSORS), "none");
}

#[test]
fn helpers_are_seen_by_where_incase_and_do() {
    assert_eq!(
        foreach(
            "FOREACH payload.date AS d, payload.sensors AS s DO d, s.idx AS i INCASE s.idx = 2 AND d =  '2020-04-24'",
            SENSORS
        ),
        "{\"d\":\"2020-04-24\",\"i\":2}"
    );
    let sql = "FOREACH payload.date AS d, payload.sensors AS s DO s.idx AS i FROM \"t/#\" WHERE d = 'x'";
    assert_eq!(run(sql, SENSORS), "none");
    let sql = "FOREACH payload.sensors AS s DO s.idx AS i FROM \"t/#\" WHERE s.idx = 1";
    assert_eq!(run(sql, SENSORS), "R0101", "there is no element yet");
}

#[test]
fn without_do_the_members_of_the_element_lie_over_the_event() {
    let rows = foreach("FOREACH payload.sensors AS s INCASE s.idx = 1", SENSORS);
    assert!(rows.contains("\"clientid\":\"c_steve\"") && rows.contains("\"s\":{\"name\":\"b\",\"idx\":1}"), "{rows}");
    assert!(rows.ends_with("\"name\":\"b\",\"idx\":1}"), "{rows}");
    let rows = foreach("FOREACH payload.l", br#"{"l":[{"topic":"mine","k":1,"k":2},5]}"#);
    let (first, second) = rows.split_once(" {").expect("two rows");
    assert!(first.contains("\"topic\":\"mine\"") && first.ends_with("\"k\":2}"), "{first}");
    assert!(second.contains("\"topic\":\"t/a\"") && second.ends_with("\"item\":5}"), "{second}");
}

#[test]
fn what_is_no_list_is_an_empty_one() {
    assert_eq!(foreach("FOREACH payload.date DO item", SENSORS), "none");
    assert_eq!(foreach("FOREACH payload.missing DO item", SENSORS), "none");
    assert_eq!(foreach("FOREACH payload.l DO item", b"{\"l\":[]}"), "none");
    assert_eq!(foreach("FOREACH qos DO item", b""), "R0111");
}

#[test]
fn lists_come_from_payloads_texts_ranges_and_functions() {
    assert_eq!(foreach("FOREACH payload AS p DO p.a AS a", b"[{\"a\":1},{\"a\":2}]"), "{\"a\":1} {\"a\":2}");
    assert_eq!(foreach("FOREACH payload AS p DO p", b"nonsense"), "R0301");
    assert_eq!(foreach("FOREACH payload.t DO item AS i", br#"{"t":"[7,8]"}"#), "{\"i\":7} {\"i\":8}");
    assert_eq!(foreach("FOREACH [1..3] AS i DO i * 10 AS v INCASE i != 2", b""), "{\"v\":10} {\"v\":30}");
    assert_eq!(foreach("FOREACH json_decode(payload) AS i DO i", b"[1]"), "{\"i\":1}");
    assert_eq!(foreach("FOREACH [qos, topic] DO item AS i", b""), "{\"i\":1} {\"i\":\"t/a\"}");
}

#[test]
fn a_failure_at_one_element_fails_them_all() {
    assert_eq!(
        foreach("FOREACH payload.l DO item + 1 AS v", br#"{"l":[1,"a",3]}"#),
        "{\"v\":2} {\"v\":\"a1\"} {\"v\":4}"
    );
    assert_eq!(foreach("FOREACH payload.l DO item - 1 AS v", br#"{"l":[1,"a",3]}"#), "R0302");
    assert_eq!(foreach("FOREACH payload.l DO item AS v INCASE item > 1", br#"{"l":[1,"a",3]}"#), "R0303");
}

#[test]
fn rows_of_one_message_have_a_bound() {
    let many = format!("[{}1]", "1,".repeat(10_000));
    assert_eq!(foreach("FOREACH payload DO item", many.as_bytes()), "R0312");
    assert_eq!(foreach("FOREACH payload DO item INCASE item = 2", many.as_bytes()), "none");
    let huge = format!("[{}1]", "1,".repeat(900_000));
    assert_eq!(foreach("FOREACH payload DO item INCASE item = 2", huge.as_bytes()), "R0309");
}

#[test]
fn the_last_field_is_the_list_and_has_a_plain_name() {
    assert_eq!(foreach("FOREACH * DO item", b""), "R0003");
    assert_eq!(foreach("FOREACH payload.a AS s.t DO item", b""), "R0003");
    assert_eq!(foreach("SELECT payload.a AS s DO s", b""), "R0003");
}

#[test]
fn rows_are_counted_also_when_nobody_wants_them() {
    use crate::{Input, Outcome, Rules, Scratch};
    let mut rules =
        Rules::compile(&[("r", super::config("FOREACH payload DO item INCASE item > 1 FROM \"t\""))]).expect("good");
    let rule = rules.get_mut(0).expect("there");
    let mut scratch = Scratch::default();
    assert_eq!(rule.judge(&Input::publish(super::event("t", b"[1,2,3]"), &mut scratch)), Outcome::Passed);
    assert_eq!(rule.rows(), 2);
}
