//! Any text: refused with places inside it, or compiled and run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_rules::rule::diagnose;
use millrace_rules::{Input, PublishEvent, Rows, RuleConfig, Rules, Scratch, State};

const PAYLOAD: &[u8] = br#"{"a":{"b":[1,2.5,"x",{"c":null}]},"t":"12","l":[1,2,3],"j":"[1,{\"k\":2}]"}"#;

fuzz_target!(|text: &str| {
    match diagnose(text) {
        Ok(_) => {
            let config = RuleConfig { sql: text.to_owned(), ..RuleConfig::default() };
            let mut rules = Rules::compile(&[("r", config)]).expect("the checker found nothing");
            let mut scratch = Scratch::with_state(State::seeded(1));
            let event = PublishEvent {
                id: 1,
                clientid: "c1",
                username: None,
                peerhost: std::net::Ipv4Addr::LOCALHOST.into(),
                topic: "t/a",
                qos: millrace_core::packet::QoS::AtLeastOnce,
                retain: false,
                dup: false,
                payload: PAYLOAD,
                properties: b"",
                unix_ms: 1_653_561_612_000,
                node: "n1",
            };
            let input = Input::publish(event, &mut scratch);
            let mut rows = Rows::default();
            let rule = rules.get_mut(0).expect("one rule");
            let _ = rule.judge(&input);
            let _ = rule.evaluate(&input, &mut rows);
            for record in rows.drain() {
                let _ = record.to_map().to_json();
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            for diagnostic in found {
                assert!(diagnostic.span.start <= diagnostic.span.end);
                assert!(diagnostic.span.end as usize <= text.len());
                let _ = diagnostic.render("r", text);
            }
        }
    }
});
