//! Parts on their own: codec, topics, routes, rules.

use std::hint::black_box;
use std::sync::Arc;

use millrace_core::codec::publish::Delivery;
use millrace_core::codec::{self, Direction};
use millrace_core::packet::{ProtocolVersion, QoS};
use millrace_core::topic::trie::FilterTrie;
use millrace_core::topic::{ExactRoutes, RouteTable, ShardSet};
use millrace_rules::{Input, Outcome, PublishEvent, Rows, RuleConfig, Rules, Scratch};

use super::{Path, Round};
use crate::packets;

/// Packets, topics or messages of one round.
const EACH: usize = 1000;
/// Filters in the trie and in the table of routes.
const FILTERS: usize = 10_000;

pub(super) const DECODE_QOS_0: Path =
    decode("decode_publish_qos0", || decoding(QoS::AtMostOnce, ProtocolVersion::V311));
pub(super) const DECODE_QOS_1: Path =
    decode("decode_publish_qos1", || decoding(QoS::AtLeastOnce, ProtocolVersion::V311));
pub(super) const DECODE_QOS_2: Path =
    decode("decode_publish_qos2", || decoding(QoS::ExactlyOnce, ProtocolVersion::V311));
pub(super) const DECODE_V5: Path = decode("decode_publish_v5", || decoding(QoS::AtLeastOnce, ProtocolVersion::V5));

pub(super) const ENCODE_QOS_1: Path =
    Path { name: "encode_publish_qos1", operation: "a PUBLISH", operations: EACH as u64, prepare: encoding };
pub(super) const MATCH_EXACT: Path = Path {
    name: "topic_match_exact",
    operation: "a topic among 10,000 filters without wildcards",
    operations: EACH as u64,
    prepare: || matching(topic),
};
pub(super) const MATCH_WILDCARD: Path = Path {
    name: "topic_match_wildcard",
    operation: "a topic among 10,000 filters with a wildcard",
    operations: EACH as u64,
    prepare: || matching(|number| format!("plant/line-{}/+/{}", number % 100, number / 100)),
};
pub(super) const ROUTE: Path = Path {
    name: "route_lookup",
    operation: "a topic among 10,000 routes to 8 shards",
    operations: EACH as u64,
    prepare: routing,
};
pub(super) const RULE: Path = evaluate("rule_evaluate", "a message that becomes a row of six columns", rule);
pub(super) const RULE_THRESHOLD: Path =
    evaluate("rule_threshold", "200 bytes of JSON that become a row of two columns", threshold);
pub(super) const RULE_STAR: Path = evaluate("rule_star", "a message that becomes a row of all its fields", star);
pub(super) const RULE_JUDGED: Path = evaluate("rule_judged", "the same when nobody wants the row", judged);

const fn evaluate(name: &'static str, operation: &'static str, prepare: fn() -> Round) -> Path {
    Path { name, operation, operations: EACH as u64, prepare }
}

const fn decode(name: &'static str, prepare: fn() -> Round) -> Path {
    Path { name, operation: "a PUBLISH of 64 bytes", operations: EACH as u64, prepare }
}

/// A topic of the benches, different for each number.
fn topic(number: usize) -> String {
    format!("plant/line-{}/machine/{}", number % 100, number / 100)
}

fn decoding(qos: QoS, version: ProtocolVersion) -> Round {
    let packets: Vec<Vec<u8>> =
        (1..=EACH).map(|number| packets::publish(version, &topic(number), qos, number, &[b'x'; 64])).collect();
    Box::new(move |meter| {
        meter.run(|| {
            for packet in &packets {
                let packet = codec::decode(version, Direction::ToServer, black_box(packet));
                assert!(black_box(packet).is_ok());
            }
        });
    })
}

fn encoding() -> Round {
    let topics: Vec<String> = (0..EACH).map(topic).collect();
    let mut out = Vec::with_capacity(256 * EACH);
    Box::new(move |meter| {
        out.clear();
        meter.run(|| {
            for (number, topic) in topics.iter().enumerate() {
                let delivery = Delivery {
                    dup: false,
                    qos: QoS::AtLeastOnce,
                    retain: false,
                    packet_id: Some(packets::id(number + 1)),
                    topic,
                    topic_alias: None,
                    message_expiry: None,
                    subscription_ids: &[],
                    properties: &[],
                    payload: &[b'x'; 64],
                };
                black_box(delivery.encode(ProtocolVersion::V5, &mut out));
            }
        });
    })
}

fn matching(filter: fn(usize) -> String) -> Round {
    let mut trie = FilterTrie::with_seed(7);
    for number in 0..FILTERS {
        trie.entry(&filter(number), || number);
    }
    let topics: Vec<String> = (0..EACH).map(|number| topic(number * 7)).collect();
    Box::new(move |meter| {
        let found = meter.run(|| {
            let mut found = 0_usize;
            for topic in &topics {
                trie.matches(black_box(topic), |_| found += 1);
            }
            found
        });
        assert_eq!(found, EACH, "each topic has one filter");
    })
}

fn routing() -> Round {
    let mut routes = RouteTable::new(7, Arc::new(ExactRoutes::new(7)));
    for number in 0..FILTERS {
        routes.add(&topic(number), (number % 8) as u16);
    }
    for shard in 0..8 {
        routes.add(&format!("plant/line-{shard}/#"), shard);
    }
    let topics: Vec<String> = (0..EACH).map(|number| topic(number * 7)).collect();
    let mut set = ShardSet::new();
    Box::new(move |meter| {
        meter.run(|| {
            for topic in &topics {
                set.clear();
                routes.shards(black_box(topic), &mut set);
                black_box(set.len());
            }
        });
    })
}

/// The rule that the benches run.
pub(super) fn rules() -> [(&'static str, RuleConfig); 1] {
    let sql = "SELECT clientid, topic, payload.t AS t, payload.t * 1.8 + 32 AS f, upper(payload.unit) AS unit, \
               timestamp FROM \"plant/#\" WHERE payload.t > 0 AND payload.unit = 'c'";
    rules_of(sql)
}

fn rules_of(sql: &str) -> [(&'static str, RuleConfig); 1] {
    [("bench", RuleConfig { sql: sql.to_owned(), sinks: vec!["null".to_owned()], ..RuleConfig::default() })]
}

/// A payload that passes it.
pub(super) const PAYLOAD: &[u8] = br#"{"machine":"press-7","unit":"c","t":21.5,"tags":["a","b"],"seq":12345}"#;

/// What a sensor sends: 200 bytes, the member that rules ask for in the middle.
const READING: &[u8] = br#"{"device":"press-0042","seq":1048577,"line":"north/7","temp":36.6,"unit":"c","ok":true,"pos":{"x":12.75,"y":-3.5,"z":0},"tags":["a1","b2"],"volt":229.81,"fw":"2.14.0-rc1","at":1653561612345,"note":null}"#;

fn rule() -> Round {
    evaluating(&rules(), PAYLOAD, true)
}

fn threshold() -> Round {
    let sql = "SELECT payload.temp AS t, clientid FROM \"plant/#\" WHERE payload.temp > 30";
    evaluating(&rules_of(sql), READING, true)
}

fn star() -> Round {
    evaluating(&rules_of("SELECT * FROM \"plant/#\""), READING, true)
}

fn judged() -> Round {
    evaluating(&rules_of("SELECT * FROM \"plant/#\""), READING, false)
}

/// Runs one rule on one message after the other; `wanted`: somebody wants the rows.
fn evaluating(rules: &[(&str, RuleConfig)], payload: &'static [u8], wanted: bool) -> Round {
    let mut rules = Rules::compile(rules).expect("this is a rule");
    let mut scratch = Scratch::default();
    let mut rows = Rows::default();
    Box::new(move |meter| {
        let rule = rules.get_mut(0).expect("there is one");
        let passed = meter.run(|| {
            let mut passed = 0;
            for number in 0..EACH {
                let event = PublishEvent {
                    id: number as u128,
                    clientid: "press-7",
                    username: None,
                    peerhost: std::net::Ipv4Addr::LOCALHOST.into(),
                    topic: "plant/line-1/machine/7",
                    qos: QoS::AtLeastOnce,
                    retain: false,
                    dup: false,
                    payload,
                    properties: b"",
                    unix_ms: 1_800_000_000_000,
                    node: "n1",
                };
                let input = Input::publish(event, &mut scratch);
                let outcome = if wanted { rule.evaluate(&input, &mut rows) } else { rule.judge(&input) };
                passed += usize::from(outcome == Outcome::Passed);
                rows.drain().for_each(|row| drop(black_box(row)));
            }
            passed
        });
        assert_eq!(passed, EACH, "each message passes");
    })
}
