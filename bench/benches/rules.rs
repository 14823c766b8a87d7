//! Rules over one message: the scan of its payload, the closures, the row.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_core::packet::QoS;
use millrace_rules::json::Json;
use millrace_rules::{Input, Outcome, PublishEvent, Rows, RuleConfig, Rules, Scratch};

/// As the broker has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a sensor sends: 200 bytes, the member that rules ask for in the middle.
const PAYLOAD: &[u8] = br#"{"device":"press-0042","seq":1048577,"line":"north/7","temp":36.6,"unit":"c","ok":true,"pos":{"x":12.75,"y":-3.5,"z":0},"tags":["a1","b2"],"volt":229.81,"fw":"2.14.0-rc1","at":1653561612345,"note":null}"#;

/// Name, text and outcome of each rule.
const RULES: [(&str, &str, Outcome); 9] = [
    ("two-columns", "SELECT payload.temp AS t, clientid FROM \"t/#\" WHERE payload.temp > 30", Outcome::Passed),
    ("foreach", "FOREACH payload.tags AS tag DO tag, clientid FROM \"t/#\"", Outcome::Passed),
    ("star", "SELECT * FROM \"t/#\"", Outcome::Passed),
    ("where-false", "SELECT payload.temp AS t, clientid FROM \"t/#\" WHERE payload.temp > 40", Outcome::NoResult),
    ("where-false-no-payload", "SELECT * FROM \"t/#\" WHERE qos = 0", Outcome::NoResult),
    ("no-payload", "SELECT clientid, topic, qos FROM \"t/#\"", Outcome::Passed),
    (
        "case",
        "SELECT CASE WHEN payload.temp > 100 THEN 'hot' WHEN payload.temp > 30 THEN 'warm' ELSE 'cold' END AS grade, \
         payload.temp * 1.8 + 32 AS f, payload.pos.x - payload.pos.y AS d, clientid FROM \"t/#\" WHERE payload.ok",
        Outcome::Passed,
    ),
    (
        "functions",
        "SELECT upper(payload.unit) AS unit, concat(clientid, '/', payload.seq) AS key, topic(2) AS level \
         FROM \"t/#\" WHERE payload.tags[2] = 'b2'",
        Outcome::Passed,
    ),
    ("payload-parsed", "SELECT json_decode(payload) AS p FROM \"t/#\"", Outcome::Passed),
];

const fn event() -> PublishEvent<'static> {
    PublishEvent {
        id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        clientid: "press-0042",
        username: Some("plant"),
        peerhost: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 17, 204)),
        topic: "t/north/7",
        qos: QoS::AtLeastOnce,
        retain: false,
        dup: false,
        payload: PAYLOAD,
        properties: b"",
        unix_ms: 1_800_000_000_000,
        node: "n1",
    }
}

fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rule");
    group.throughput(Throughput::Elements(1));
    for (name, sql, expected) in RULES {
        let config = RuleConfig { sql: sql.to_owned(), ..RuleConfig::default() };
        let mut rules = Rules::compile(&[("bench", config)]).expect("this is a rule");
        let rule = rules.get_mut(0).expect("there is one");
        let mut scratch = Scratch::default();
        let mut rows = Rows::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let outcome = rule.evaluate(&Input::publish(black_box(event()), &mut scratch), &mut rows);
                assert_eq!(outcome, expected);
                rows.drain().for_each(|row| drop(black_box(row)));
            });
        });
    }
    group.finish();
}

/// The work of the rule `two-columns` done otherwise, and no rule at all.
fn others(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("instead");
    group.throughput(Throughput::Elements(1));
    let mut scratch = Scratch::default();
    group.bench_function("no-rule", |bencher| {
        bencher.iter(|| black_box(Input::publish(black_box(event()), &mut scratch)).unix_ms());
    });
    // A tree of the whole payload, walked by name, and a map for the row.
    group.bench_function("tree-of-the-payload", |bencher| {
        bencher.iter(|| {
            let event = black_box(event());
            let tree: serde_json::Value = serde_json::from_slice(event.payload).expect("it is JSON");
            let temp = &tree["temp"];
            assert!(temp.as_f64().is_some_and(|temp| temp > 30.0));
            black_box(serde_json::json!({ "t": temp, "clientid": event.clientid }))
        });
    });
    // The same as a program of jq, run by the function of that name.
    let sql = "SELECT jq('select(.temp > 30) | {t: .temp}', payload) AS r, clientid FROM \"t/#\"".to_owned();
    let mut rules = Rules::compile(&[("jq", RuleConfig { sql, ..RuleConfig::default() })]).expect("this is a rule");
    let rule = rules.get_mut(0).expect("there is one");
    let mut rows = Rows::default();
    group.bench_function("jq", |bencher| {
        bencher.iter(|| {
            let outcome = rule.evaluate(&Input::publish(black_box(event()), &mut scratch), &mut rows);
            assert_eq!(outcome, Outcome::Passed);
            rows.drain().for_each(|row| drop(black_box(row)));
        });
    });
    group.finish();
}

/// Payloads by what takes the time in them.
fn payloads() -> [(&'static str, String); 5] {
    let numbers: Vec<_> = (0..400).map(|number| format!("{}.{number:03}", number * 37 % 100)).collect();
    let members: Vec<_> = (0..200).map(|number| format!("\"member-{number}\" : {{ \"value\" : {number} }}")).collect();
    [
        ("sensor", String::from_utf8(PAYLOAD.to_vec()).expect("JSON is text")),
        ("small", r#"{"temp":36.6}"#.to_owned()),
        ("numbers", format!("{{\"temp\":1,\"v\":[{}]}}", numbers.join(","))),
        ("members", format!("{{{},\"temp\":1}}", members.join(",\n  "))),
        ("text", format!("{{\"temp\":1,\"text\":\"{}\"}}", "Grüße aus dem Werk, \\\"Halle 7\\\". ".repeat(100))),
    ]
}

fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    for (name, payload) in payloads() {
        group.throughput(Throughput::Bytes(payload.len() as u64));
        let mut places = Vec::new();
        group.bench_function(BenchmarkId::new("scan", name), |bencher| {
            bencher.iter(|| Json::scan(black_box(&payload), &mut places).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, rules, others, json);
criterion_main!(benches);
