//! A real SQLite file: values, columns that come later, bad rows, a full disk, a lock, a file that goes away.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::value::{Columns, Record, Value};
use rusqlite::Connection;

use super::TempDir;
use super::{columns, record};
use crate::config::SqliteConfig;
use crate::sink::Verdict;
use crate::sqlite::Sqlite;
use crate::{Failure, Offered, Sink, SinkConfig, Sinks, Verdicts};

fn config(file: &str, table: &str) -> SqliteConfig {
    toml::from_str(&format!("file = {file:?}\ntable = {table:?}")).expect("a config")
}

fn sink(dir: &TempDir) -> Sqlite {
    let mut sink = Sqlite::new(&config("rows.sqlite", "t"), &dir.0).expect("inside");
    sink.open().expect("opened");
    sink
}

fn database(dir: &TempDir) -> Connection {
    Connection::open(dir.0.join("rows.sqlite")).expect("the file")
}

/// The verdicts in a word each, or the failure.
fn write(sink: &mut Sqlite, rows: &[Record]) -> Result<Vec<String>, Failure> {
    let mut verdicts = Verdicts::default();
    verdicts.reset(rows.len());
    sink.write(rows, &mut verdicts)?;
    Ok(verdicts
        .drain()
        .map(|verdict| match verdict {
            Verdict::Written => "written".to_owned(),
            Verdict::Retry(reason) => format!("retry {reason}"),
            Verdict::Rejected(reason) => format!("rejected {reason}"),
        })
        .collect())
}

fn texts(database: &Connection, sql: &str) -> Vec<String> {
    let mut statement = database.prepare(sql).expect(sql);
    let rows = statement.query_map([], |row| row.get(0)).expect(sql);
    rows.collect::<Result<_, _>>().expect(sql)
}

fn ints(columns: &Arc<Columns>, numbers: std::ops::Range<i64>) -> Vec<Record> {
    numbers.map(|number| record(columns, &[Value::Int(number)])).collect()
}

#[test]
fn values_keep_their_kinds_and_new_columns_are_added() {
    let dir = TempDir::new();
    let mut sink = sink(&dir);
    let first = columns(&["a", "we\"ird, name"]);
    let second = columns(&["A", "b"]);
    let map = Value::Map(vec![("k".into(), Value::List(vec![Value::Bool(true)]))]);
    let rows = [
        record(&first, &[Value::Int(1), Value::text("it's \"quoted\"; --")]),
        record(&first, &[Value::Float(2.5), Value::Null]),
        record(&second, &[Value::Bool(true), Value::Bytes(vec![0xff, 0].into())]),
        record(&second, &[map, Value::text("")]),
    ];
    assert_eq!(write(&mut sink, &rows), Ok(vec!["written".to_owned(); 4]));
    let database = database(&dir);
    let all = "SELECT concat_ws('|', typeof(a), quote(a), quote(\"we\"\"ird, name\"), quote(b)) FROM t ORDER BY rowid";
    assert_eq!(
        texts(&database, all),
        [
            "integer|1|'it''s \"quoted\"; --'|NULL",
            "real|2.5|NULL|NULL",
            "integer|1|NULL|X'FF00'",
            "text|'{\"k\":[true]}'|NULL|''",
        ]
    );
    let mode = std::fs::metadata(dir.0.join("rows.sqlite")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(texts(&database, "PRAGMA journal_mode"), ["wal"]);
}

#[test]
fn rows_that_the_table_refuses_are_rejected_alone_with_the_servers_words() {
    let dir = TempDir::new();
    database(&dir)
        .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT NOT NULL CHECK (length(s) < 5))")
        .expect("made");
    let mut sink = sink(&dir);
    let two = columns(&["n", "s"]);
    let mut rows: Vec<_> = (0..100).map(|n| record(&two, &[Value::Int(n), Value::text("ok")])).collect();
    rows[10] = record(&two, &[Value::text("abc"), Value::text("ok")]);
    rows[20] = record(&two, &[Value::Int(20), Value::Null]);
    rows[30] = record(&two, &[Value::Int(30), Value::text("too long")]);
    rows[40] = record(&two, &[Value::Int(39), Value::text("ok")]);
    let verdicts = write(&mut sink, &rows).expect("the others are written");
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "written").count(), 96);
    for (row, words) in [
        (10, "type: datatype mismatch"),
        (20, "constraint: NOT NULL constraint failed: t.s"),
        (30, "constraint: CHECK constraint failed: length(s) < 5"),
        (40, "constraint: UNIQUE constraint failed: t.n"),
    ] {
        assert_eq!(verdicts[row], format!("rejected {words}"));
    }
    assert_eq!(texts(&database(&dir), "SELECT count(*) || '' FROM t"), ["96"]);
}

#[test]
fn a_constraint_that_ends_the_transaction_has_the_batch_halved() {
    let dir = TempDir::new();
    database(&dir).execute_batch("CREATE TABLE t (n INTEGER UNIQUE ON CONFLICT ROLLBACK)").expect("made");
    let config: SinkConfig = toml::from_str("kind = 'sqlite'\nfile = 'rows.sqlite'\ntable = 't'").expect("config");
    let (sinks, mut ports) = Sinks::start(&[("s", config)], 1, &dir.0).expect("started");
    let one = columns(&["n"]);
    let mut rows = ints(&one, 0..99);
    rows.push(record(&one, &[Value::Int(50)]));
    for row in rows {
        assert_eq!(ports[0][0].offer(row), Offered::Taken);
    }
    ports[0][0].flush();
    let account = sinks.stop(Duration::from_secs(10)).remove(0).account;
    assert_eq!((account.written, account.rejected), (99, 1), "{account:?}");
    assert_eq!(texts(&database(&dir), "SELECT count(*) || '' FROM t"), ["99"]);
}

#[test]
fn columns_that_sqlite_cannot_tell_apart_are_rejected_by_name() {
    let dir = TempDir::new();
    let mut sink = sink(&dir);
    let twice = columns(&["t", "T"]);
    let many: Vec<String> = (0..2_001).map(|n| format!("c{n}")).collect();
    let many = columns(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let good = columns(&["t"]);
    let rows = [
        record(&twice, &[Value::Int(1), Value::Int(2)]),
        record(&many, &vec![Value::Null; 2_001]),
        record(&good, &[Value::Int(3)]),
    ];
    let verdicts = write(&mut sink, &rows).expect("the good one is written");
    assert!(verdicts[0].starts_with("rejected column_name: two columns are called \"T\""), "{}", verdicts[0]);
    assert_eq!(verdicts[1], "rejected column_count: a table has at most 2000 columns");
    assert_eq!(verdicts[2], "written");
}

#[test]
fn a_file_without_room_loses_nothing_and_is_tried_again() {
    let dir = TempDir::new();
    let limited = |max_size: &str| {
        let config = SqliteConfig { max_size: Some(max_size.parse().expect("a size")), ..config("rows.sqlite", "t") };
        let mut sink = Sqlite::new(&config, &dir.0).expect("inside");
        sink.open().expect("opened");
        sink
    };
    let one = columns(&["n", "s"]);
    let text = "x".repeat(2_000);
    let rows: Vec<_> = (0..100).map(|n| record(&one, &[Value::Int(n), Value::text(&text)])).collect();
    let mut small = limited("80KiB");
    assert_eq!(write(&mut small, &rows[..1]), Ok(vec!["written".to_owned()]));
    for _ in 0..2 {
        match write(&mut small, &rows[1..]) {
            Err(Failure::Retry(reason)) => assert_eq!(reason.code, "disk_full", "{reason}"),
            other => panic!("nothing is known against the rows: {other:?}"),
        }
    }
    assert_eq!(texts(&database(&dir), "SELECT count(*) || '' FROM t"), ["1"]);
    assert_eq!(write(&mut limited("1MiB"), &rows[1..]), Ok(vec!["written".to_owned(); 99]));
    assert_eq!(texts(&database(&dir), "SELECT count(*) || '' FROM t"), ["100"]);
}

#[test]
fn a_locked_database_is_waited_for() {
    let dir = TempDir::new();
    let config: SinkConfig =
        toml::from_str("kind = 'sqlite'\nfile = 'rows.sqlite'\ntable = 't'\nretry_min = '5ms'").expect("config");
    let (sinks, mut ports) = Sinks::start(&[("s", config)], 2, &dir.0).expect("started");
    let account = Arc::clone(sinks.account("s").expect("there"));
    let one = columns(&["n"]);
    let wait = |written: u64, retries: u64| {
        let started = std::time::Instant::now();
        while account.snapshot().written < written || account.snapshot().retries < retries {
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", account.snapshot());
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    ports[0][0].offer(record(&one, &[Value::Int(0)]));
    ports[0][0].flush();
    wait(1, 0);
    let other = database(&dir);
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    for (shard, row) in ints(&one, 1..201).into_iter().enumerate() {
        assert_eq!(ports[shard % 2][0].offer(row), Offered::Taken);
    }
    ports.iter_mut().for_each(|shard| shard[0].flush());
    wait(1, 1);
    let held = account.snapshot();
    assert_eq!((held.written, held.queued + held.inflight), (1, 200), "{held:?}");
    assert_eq!(held.last_error.expect("said").reason.code, "locked");
    other.execute_batch("COMMIT").expect("unlocked");
    wait(201, 1);
    let account = sinks.stop(Duration::from_secs(5)).remove(0).account;
    assert!(account.is_balanced());
    let sum = texts(&other, "SELECT count(*) || ' ' || count(DISTINCT n) || ' ' || sum(n) FROM t");
    assert_eq!(sum, ["201 201 20100"]);
}

#[test]
fn a_table_that_is_dropped_and_a_file_that_is_deleted_are_made_again() {
    let dir = TempDir::new();
    let mut sink = sink(&dir);
    let one = columns(&["n"]);
    write(&mut sink, &ints(&one, 0..3)).expect("written");
    database(&dir).execute_batch("DROP TABLE t").expect("dropped");
    assert!(matches!(write(&mut sink, &ints(&one, 3..6)), Err(Failure::Retry(_))));
    write(&mut sink, &ints(&one, 3..6)).expect("the table is made again");
    for name in ["rows.sqlite", "rows.sqlite-wal", "rows.sqlite-shm"] {
        let _ = std::fs::remove_file(dir.0.join(name));
    }
    assert!(matches!(write(&mut sink, &ints(&one, 6..9)), Err(Failure::Reopen(_))));
    sink.open().expect("opened again");
    write(&mut sink, &ints(&one, 6..9)).expect("the file is made again");
    assert_eq!(texts(&database(&dir), "SELECT n || '' FROM t"), ["6", "7", "8"]);
}

#[test]
fn a_restart_goes_on_where_the_file_is() {
    let dir = TempDir::new();
    for run in 0..3 {
        let config: SinkConfig =
            toml::from_str("kind = 'sqlite'\nfile = 'sub/rows.sqlite'\ntable = 't'").expect("config");
        let (sinks, mut ports) = Sinks::start(&[("s", config)], 1, &dir.0).expect("started");
        for row in ints(&columns(&["n"]), run * 1_000..(run + 1) * 1_000) {
            assert_eq!(ports[0][0].offer(row), Offered::Taken);
        }
        drop(ports);
        let stopped = sinks.stop(Duration::from_secs(10)).remove(0);
        assert!(stopped.in_time, "{stopped:?}");
        assert_eq!(stopped.account.written, 1_000, "all that was accepted, though nobody flushed");
    }
    let database = Connection::open(dir.0.join("sub/rows.sqlite")).expect("the file");
    assert_eq!(texts(&database, "SELECT count(DISTINCT n) || '' FROM t"), ["3000"]);
}

#[test]
fn a_file_that_is_no_database_is_left_alone_and_tried_again() {
    let dir = TempDir::new();
    let text = "this is not a database, ".repeat(100);
    std::fs::write(dir.0.join("rows.sqlite"), &text).expect("written");
    let mut sink = Sqlite::new(&config("rows.sqlite", "t"), &dir.0).expect("inside");
    assert_eq!(sink.open().expect_err("no database").code, "damaged");
    assert_eq!(std::fs::read_to_string(dir.0.join("rows.sqlite")).expect("there"), text);
}

#[test]
fn the_file_stays_inside_data_dir() {
    let dir = TempDir::new();
    for outside in ["/etc/rows.sqlite", "../rows.sqlite", "a/../../b", "", "./x"] {
        assert!(Sqlite::new(&config(outside, "t"), &dir.0).is_err(), "{outside}");
    }
    for table in ["", "sqlite_master", "a\0b"] {
        let config = SqliteConfig { table: table.to_owned(), ..config("f", "t") };
        assert!(Sqlite::new(&config, &dir.0).is_err(), "{table}");
    }
    let elsewhere = TempDir::new();
    let link = |from: &Path, to: &str| std::os::unix::fs::symlink(from, dir.0.join(to)).expect("linked");
    link(&elsewhere.0, "out");
    link(&elsewhere.0.join("target.sqlite"), "link.sqlite");
    for file in ["out/rows.sqlite", "link.sqlite"] {
        let mut sink = Sqlite::new(&config(file, "t"), &dir.0).expect("looks fine");
        assert_eq!(sink.open().expect_err(file).code, "cannot_open");
    }
    assert_eq!(std::fs::read_dir(&elsewhere.0).expect("there").count(), 0);
}
