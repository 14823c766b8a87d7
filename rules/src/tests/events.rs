//! Rules over events, and over messages and events together.

use millrace_core::codec::properties::Carrier;
use millrace_core::value::Value;

use super::config;
use crate::fields::{Event, EventField};
use crate::input::Given;
use crate::{EventView, Input, Outcome, Rows, Rules, Scratch};

fn row(sql: &str, event: Event, fields: &[(EventField, Given<'_>)]) -> String {
    let mut rules = match Rules::compile(&[("r", config(sql))]) {
        Ok(rules) => rules,
        Err(wrong) => return wrong[0].diagnostics.iter().map(|found| found.code).collect::<Vec<_>>().join(" "),
    };
    let mut scratch = Scratch::default();
    let input = Input::fields(EventView { event, unix_ms: 5, node: "n1", fields }, &mut scratch);
    let mut rows = Rows::default();
    match rules.get_mut(0).expect("one rule").evaluate(&input, &mut rows) {
        Outcome::Passed => rows.drain().map(|record| record.to_map().to_json()).collect::<Vec<_>>().join(" "),
        Outcome::NoResult => "none".to_owned(),
        Outcome::Failed(error) => error.code().to_owned(),
    }
}

const GONE: [(EventField, Given<'static>); 3] = [
    (EventField::ClientId, Given::Text("c1")),
    (EventField::Reason, Given::Text("keepalive_timeout")),
    (EventField::DisconnProps, Given::Properties(b"\x1f\x00\x03bye", Carrier::Disconnect)),
];

#[test]
fn an_event_has_its_own_fields() {
    let sql = "SELECT clientid, reason, disconn_props.'Reason-String' AS why, username, event, timestamp, node \
               FROM \"$events/client_disconnected\" WHERE reason != 'normal'";
    assert_eq!(
        row(sql, Event::ClientDisconnected, &GONE),
        "{\"clientid\":\"c1\",\"reason\":\"keepalive_timeout\",\"why\":\"bye\",\"username\":null,\
         \"event\":\"client.disconnected\",\"timestamp\":5,\"node\":\"n1\"}"
    );
    let sql = "SELECT payload FROM \"$events/client/disconnected\"";
    assert_eq!(row(sql, Event::ClientDisconnected, &GONE), "R0101", "it has no payload");
}

#[test]
fn a_rule_over_several_events_has_null_where_one_has_no_such_field() {
    let sql = "SELECT event, clientid, payload.t AS t, reason FROM \"t/#\", \"$events/client_disconnected\"";
    assert_eq!(
        row(sql, Event::ClientDisconnected, &GONE),
        "{\"event\":\"client.disconnected\",\"clientid\":\"c1\",\"t\":null,\"reason\":\"keepalive_timeout\"}"
    );
    let message = [
        (EventField::ClientId, Given::Text("c2")),
        (EventField::Topic, Given::Text("t/1")),
        (EventField::Payload, Given::Payload(b"{\"t\":4}")),
    ];
    assert_eq!(
        row(sql, Event::MessagePublish, &message),
        "{\"event\":\"message.publish\",\"clientid\":\"c2\",\"t\":4,\"reason\":null}"
    );
    assert_eq!(row(sql, Event::SessionCreated, &GONE), "none", "it was not asked for");
}

#[test]
fn wildcards_take_many_events() {
    let sql = "SELECT event FROM \"$events/session/+\"";
    assert_eq!(row(sql, Event::SessionSubscribed, &[]), "{\"event\":\"session.subscribed\"}");
    assert_eq!(row(sql, Event::SessionTerminated, &[]), "{\"event\":\"session.terminated\"}");
    assert_eq!(row(sql, Event::ClientConnected, &[]), "none");
}

#[test]
fn a_star_is_all_that_the_event_has() {
    let row = row(
        "SELECT * FROM \"$events/session_subscribed\"",
        Event::SessionSubscribed,
        &[(EventField::SubProps, Given::Value(Value::Map(Vec::new())))],
    );
    assert_eq!(
        row,
        "{\"clientid\":null,\"username\":null,\"peerhost\":null,\"topic\":null,\"qos\":null,\"sub_props\":{},\
         \"timestamp\":5,\"node\":\"n1\",\"event\":\"session.subscribed\"}"
    );
}

#[test]
fn metadata_names_the_rule() {
    assert_eq!(
        super::run("SELECT metadata.rule_id AS r, metadata FROM \"t\"", b""),
        "{\"r\":\"r\",\"metadata\":{\"rule_id\":\"r\"}}"
    );
}

#[test]
fn a_wrong_event_is_refused_with_the_nearest() {
    let wrong = Rules::compile(&[("r", config("SELECT * FROM \"$events/client_conected\""))]).expect_err("misspelt");
    let found = &wrong[0].diagnostics[0];
    assert_eq!(found.code, "R0105");
    assert_eq!(found.replacement.as_deref(), Some("\"$events/client_connected\""));
    assert_eq!(row("SELECT * FROM \"$bridges/mqtt:x\"", Event::MessagePublish, &[]), "R0105");
}

#[test]
fn the_switch_to_4_x_lets_missing_differ_from_present() {
    let mut old = config("SELECT 1 AS v FROM \"t\" WHERE payload.missing != 1");
    old.compat = crate::config::Compat::V4;
    let mut both = old.clone();
    both.sql = "SELECT 1 AS v FROM \"t\" WHERE payload.missing != payload.gone".to_owned();
    let new = config(&old.sql);
    for (config, outcome) in [(old, "{\"v\":1}"), (both, "none"), (new, "none")] {
        let mut rules = Rules::compile(&[("r", config)]).expect("good");
        let mut scratch = Scratch::default();
        let input = Input::publish(super::event("t", b"{\"a\":1}"), &mut scratch);
        assert_eq!(super::evaluate(&mut rules, &input), outcome);
    }
}

#[test]
fn a_rule_whose_rows_nobody_wants_computes_only_what_can_fail() {
    for (sql, payload, outcome) in [
        ("SELECT * FROM \"t\"", &b"\xff"[..], Outcome::Passed),
        ("SELECT payload.a AS a FROM \"t\" WHERE qos = 2", b"x", Outcome::NoResult),
        ("FOREACH payload DO item.a AS a INCASE item.a > 1", b"[{\"a\":1}]", Outcome::NoResult),
    ] {
        let sql = if sql.contains("FROM") { sql.to_owned() } else { format!("{sql} FROM \"t\"") };
        let mut rules = Rules::compile(&[("r", config(&sql))]).expect("good");
        let mut scratch = Scratch::default();
        let input = Input::publish(super::event("t", payload), &mut scratch);
        assert_eq!(rules.get_mut(0).expect("there").judge(&input), outcome, "{sql}");
    }
    let mut rules = Rules::compile(&[("r", config("SELECT payload.a AS a FROM \"t\""))]).expect("good");
    let mut scratch = Scratch::default();
    let input = Input::publish(super::event("t", b"x"), &mut scratch);
    assert!(matches!(rules.get_mut(0).expect("there").judge(&input), Outcome::Failed(_)));
}
