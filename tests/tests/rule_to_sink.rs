//! The whole way of a row: SQL, closure, record, ring, batch, file.

use std::time::{Duration, Instant};

use millrace_core::packet::QoS;
use millrace_rules::{Input, Outcome, PublishEvent, Rows, RuleConfig, Rules, Scratch};
use millrace_sinks::{Offered, SinkConfig, Sinks};
use millrace_tests::broker::fresh_dir;

#[test]
fn a_publish_is_a_row_in_the_file_within_a_second() {
    let dir = fresh_dir("row");
    let config: SinkConfig = toml::from_str("kind = 'sqlite'\nfile = 'demo.sqlite'\ntable = 'demo'").expect("config");
    let (sinks, mut ports) = Sinks::start(&[("demo", config)], 1, &dir).expect("started");
    let sql = "SELECT clientid, topic, payload.t AS t, timestamp FROM \"demo/#\" WHERE payload.t > 0";
    let rule = RuleConfig { sql: sql.to_owned(), sinks: vec!["demo".to_owned()], ..RuleConfig::default() };
    let mut rules = Rules::compile(&[("demo", rule)]).expect("a good rule");
    let mut scratch = Scratch::default();
    let input = Input::publish(
        PublishEvent {
            id: 1,
            clientid: "c1",
            username: None,
            peerhost: std::net::Ipv4Addr::LOCALHOST.into(),
            topic: "demo/a",
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            payload: br#"{"t":21.5}"#,
            properties: b"",
            unix_ms: 1_000,
            node: "n1",
        },
        &mut scratch,
    );
    let mut rows = Rows::default();
    let rule = rules.get_mut(0).expect("one rule");
    assert_eq!(rule.evaluate(&input, &mut rows), Outcome::Passed);
    for row in rows.drain() {
        assert_eq!(ports[0][0].offer(row), Offered::Taken);
    }
    let published = Instant::now();
    ports[0][0].flush();
    let file = dir.join("demo.sqlite");
    let read = || -> rusqlite::Result<(String, String, f64, i64)> {
        rusqlite::Connection::open_with_flags(&file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?.query_row(
            "SELECT clientid, topic, t, timestamp FROM demo",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
    };
    let row = loop {
        if let Ok(row) = read() {
            break row;
        }
        assert!(published.elapsed() < Duration::from_secs(1), "the row did not come in time");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(row, ("c1".into(), "demo/a".into(), 21.5, 1_000));
    let stopped = sinks.stop(Duration::from_secs(5));
    let account = &stopped[0].account;
    assert!(stopped[0].in_time && account.is_balanced());
    assert_eq!((account.accepted, account.written), (1, 1));
    let _ = std::fs::remove_dir_all(&dir);
}
