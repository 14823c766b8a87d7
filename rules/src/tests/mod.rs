//! SQL in, row or error out.

mod codes;
mod diagnostics;
mod evaluation;
mod events;
mod foreach;
mod functions_any;
mod functions_bits;
mod functions_context;
mod functions_data;
mod functions_jq;
mod functions_kinds;
mod functions_maps;
mod functions_math;
mod functions_state;
mod functions_text;
mod functions_time;
mod fuzz;
mod fuzz_jq;
mod json;
mod language;
mod naming;
mod oracle;
mod paths;
mod payloads;
mod traps;

use millrace_core::packet::QoS;

use crate::{Input, Outcome, PublishEvent, Rows, RuleConfig, Rules, Scratch};

fn event<'a>(topic: &'a str, payload: &'a [u8]) -> PublishEvent<'a> {
    PublishEvent {
        id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        clientid: "c_steve",
        username: None,
        peerhost: std::net::Ipv4Addr::LOCALHOST.into(),
        topic,
        qos: QoS::AtLeastOnce,
        retain: true,
        dup: false,
        payload,
        properties: b"\x26\x00\x01k\x00\x01v",
        unix_ms: 1_653_561_612_000,
        node: "n1",
    }
}

fn config(sql: &str) -> RuleConfig {
    RuleConfig { sql: sql.to_owned(), ..RuleConfig::default() }
}

/// The row as JSON, `none`, or the code of the failure; a rule that does not compile gives its codes.
fn run(sql: &str, payload: &[u8]) -> String {
    let mut rules = match Rules::compile(&[("r", config(sql))]) {
        Ok(rules) => rules,
        Err(wrong) => {
            let codes: Vec<_> = wrong[0].diagnostics.iter().map(|found| found.code).collect();
            return codes.join(" ");
        }
    };
    let mut scratch = Scratch::default();
    let input = Input::publish(event("t/a", payload), &mut scratch);
    evaluate(&mut rules, &input)
}

fn evaluate(rules: &mut Rules, input: &Input<'_>) -> String {
    let mut rows = Rows::default();
    match rules.get_mut(0).expect("one rule").evaluate(input, &mut rows) {
        Outcome::Passed => {
            let rows: Vec<_> = rows.drain().map(|record| record.to_map().to_json()).collect();
            rows.join(" ")
        }
        Outcome::NoResult => "none".to_owned(),
        Outcome::Failed(error) => error.code().to_owned(),
    }
}

/// The value of one expression, as `run` gives it.
fn value(expression: &str, payload: &[u8]) -> String {
    let row = run(&format!("SELECT {expression} AS v FROM \"t/#\""), payload);
    row.strip_prefix("{\"v\":").and_then(|row| row.strip_suffix('}')).map_or(row.clone(), str::to_owned)
}

/// Each expression gives this value for this payload.
fn table(payload: &[u8], rows: &[(&str, &str)]) {
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|(expression, expected)| {
            let got = value(expression, payload);
            (got != *expected).then(|| format!("{expression}\n     is {got}\n    not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Whether the condition holds: `true`, `none`, or a code.
fn condition(condition: &str, payload: &[u8]) -> String {
    let row = run(&format!("SELECT 1 AS v FROM \"t/#\" WHERE {condition}"), payload);
    if row == "{\"v\":1}" { "true".to_owned() } else { row }
}
