//! SQL in, row or error out.

mod language;

use millrace_core::packet::QoS;

use crate::{Input, Outcome, PublishEvent, Rows, RuleConfig, Rules, Scratch};

pub(crate) fn event<'a>(topic: &'a str, payload: &'a [u8]) -> PublishEvent<'a> {
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

pub(crate) fn config(sql: &str) -> RuleConfig {
    RuleConfig { sql: sql.to_owned(), sinks: vec![], enabled: true, description: String::new() }
}

/// The row as JSON, `none`, or the code of the failure; a rule that does not compile gives its codes.
pub(crate) fn run(sql: &str, payload: &[u8]) -> String {
    let mut rules = match Rules::compile(&[("r", config(sql))]) {
        Ok(rules) => rules,
        Err(wrong) => {
            return wrong[0].diagnostics.iter().map(|d| d.code).collect::<Vec<_>>().join(" ");
        }
    };
    let mut scratch = Scratch::default();
    let input = Input::publish(event("t/a", payload), &mut scratch);
    let mut rows = Rows::default();
    match rules.get_mut(0).expect("one rule").evaluate(&input, &mut rows) {
        Outcome::Passed => rows.drain().map(|record| record.to_map().to_json()).collect::<Vec<_>>().join(" "),
        Outcome::NoResult => "none".to_owned(),
        Outcome::Failed(error) => error.code().to_owned(),
    }
}
