//! The worker against a scripted sink: slow, failing, half-accepting. The account balances at every sample.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use millrace_core::value::{Columns, Record, Value};

use super::{columns, record};
use crate::{Account, Buffering, Failure, Offered, Reason, Sink, SinkPort, SinkState, Sinks, Verdicts};

/// What a scripted sink saw and is to do.
#[derive(Default)]
struct Script {
    /// Rows by number: how often each was written.
    written: Mutex<BTreeMap<i64, u32>>,
    calls: Mutex<Vec<usize>>,
    down: AtomicBool,
    hang: AtomicBool,
}

type Act = fn(&Script, &[i64], &mut Verdicts) -> Result<(), Failure>;

struct Scripted {
    script: Arc<Script>,
    act: Act,
}

impl Sink for Scripted {
    fn open(&mut self) -> Result<(), Reason> {
        if self.script.down.load(Ordering::SeqCst) {
            return Err(Reason::new("down", "connection refused"));
        }
        Ok(())
    }

    fn write(&mut self, rows: &[Record], verdicts: &mut Verdicts) -> Result<(), Failure> {
        while self.script.hang.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        let numbers: Vec<i64> = rows
            .iter()
            .map(|row| match row.values().next() {
                Some(Value::Int(number)) => number,
                other => panic!("a row has a number, not {other:?}"),
            })
            .collect();
        self.script.calls.lock().expect("no panic").push(rows.len());
        (self.act)(&self.script, &numbers, verdicts)
    }

    fn close(&mut self) {}
}

impl Script {
    fn keep(&self, row: i64) {
        *self.written.lock().expect("no panic").entry(row).or_default() += 1;
    }
}

fn write_all(script: &Script, rows: &[i64], verdicts: &mut Verdicts) -> Result<(), Failure> {
    rows.iter().for_each(|row| script.keep(*row));
    verdicts.all_written(0..rows.len());
    Ok(())
}

fn quick() -> Buffering {
    Buffering { retry_min: Duration::from_millis(1), retry_max: Duration::from_millis(4), ..Buffering::default() }
}

fn start(act: Act, buffering: Buffering, shards: usize) -> (Arc<Script>, Sinks, Vec<SinkPort>) {
    let script = Arc::new(Script::default());
    let sink = Scripted { script: Arc::clone(&script), act };
    let sinks: Vec<(String, Buffering, Box<dyn Sink>)> = vec![("s".to_owned(), buffering, Box::new(sink))];
    let (sinks, ports) = Sinks::start_each(sinks, shards).expect("started");
    (script, sinks, ports.into_iter().flatten().collect())
}

/// A rows' source that numbers them.
fn row(columns: &Arc<Columns>, number: i64) -> Record {
    record(columns, &[Value::Int(number)])
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(5), "{what} did not come");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Samples the account until told to stop; gives the number of samples.
fn sampler(account: Arc<Account>, stop: Arc<AtomicBool>) -> thread::JoinHandle<u32> {
    thread::spawn(move || {
        let mut samples = 0;
        let mut before = account.snapshot();
        while !stop.load(Ordering::SeqCst) {
            let now = account.snapshot();
            assert!(now.is_balanced(), "{now:?}");
            assert!(now.accepted >= before.accepted && now.written >= before.written, "{now:?} after {before:?}");
            before = now;
            samples += 1;
            thread::yield_now();
        }
        samples
    })
}

/// Several shards publish `each` rows under the act; the result is checked against what the sink itself saw.
fn flood(act: Act, buffering: Buffering, shards: usize, each: i64) -> (crate::Snapshot, BTreeMap<i64, u32>) {
    let (script, sinks, ports) = start(act, buffering, shards);
    let account = Arc::clone(sinks.account("s").expect("there"));
    let stop = Arc::new(AtomicBool::new(false));
    let sampling = sampler(account, Arc::clone(&stop));
    let publishing: Vec<_> = ports
        .into_iter()
        .enumerate()
        .map(|(shard, mut port)| {
            thread::spawn(move || {
                let columns = columns(&["n"]);
                let mut dropped = 0;
                for number in 0..each {
                    let number = number * 100 + i64::try_from(shard).expect("few shards");
                    dropped += u64::from(port.offer(row(&columns, number)) == Offered::Dropped);
                    if number % 700 < 100 {
                        port.flush();
                    }
                    if number % 100_000 < 100 {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
                dropped
            })
        })
        .collect();
    let dropped: u64 = publishing.into_iter().map(|shard| shard.join().expect("no panic")).sum();
    let stopped = sinks.stop(Duration::from_secs(20)).remove(0);
    stop.store(true, Ordering::SeqCst);
    assert!(sampling.join().expect("every sample balances") > 0);
    let account = stopped.account;
    assert!(stopped.in_time && account.is_balanced(), "{account:?}");
    assert_eq!((account.queued, account.inflight, account.queued_bytes), (0, 0, 0), "{account:?}");
    assert_eq!(account.dropped_full, dropped);
    let offered = each * i64::try_from(shards).expect("few shards");
    assert_eq!(account.accepted, u64::try_from(offered).expect("positive"));
    assert_eq!(account.state, SinkState::Stopped);
    let written = script.written.lock().expect("no panic").clone();
    (account, written)
}

#[test]
fn every_row_of_every_shard_is_written_once() {
    let (account, written) = flood(write_all, quick(), 3, 5_000);
    assert_eq!(account.written + account.dropped_full, 15_000);
    assert_eq!(written.len() as u64, account.written);
    assert!(written.values().all(|times| *times == 1));
}

#[test]
fn a_slow_sink_costs_rows_only_by_the_policy_and_by_name() {
    let slow: Act = |script, rows, verdicts| {
        thread::sleep(Duration::from_millis(2));
        write_all(script, rows, verdicts)
    };
    let buffering = Buffering { buffer_rows: 256, ..quick() };
    let (account, written) = flood(slow, buffering, 2, 20_000);
    assert!(account.dropped_full > 0 && account.written > 0, "{account:?}");
    assert_eq!(account.written + account.dropped_full, 40_000);
    assert_eq!(written.len() as u64, account.written);
}

#[test]
fn rows_that_are_to_be_tried_again_are_and_bad_ones_are_rejected_with_the_reason() {
    let half: Act = |script, rows, verdicts| {
        let call = script.calls.lock().expect("no panic").len();
        for (index, row) in rows.iter().enumerate() {
            match (row / 100) % 5 {
                0 if call % 2 == 1 => verdicts.retry(index, Reason::new("busy", "try again")),
                1 => verdicts.rejected(index, Reason::new("type", "not a number: n/a")),
                // Left unsettled: tried again.
                2 if call % 3 == 0 => {}
                _ => {
                    script.keep(*row);
                    verdicts.written(index);
                }
            }
        }
        Ok(())
    };
    let (account, written) = flood(half, quick(), 2, 2_500);
    assert_eq!((account.rejected, account.written, account.dropped), (1_000, 4_000, 0), "{account:?}");
    assert!(account.retries > 0 && written.values().all(|times| *times == 1));
    assert_eq!(account.rejected_by_code, BTreeMap::from([("type", 1_000)]));
}

#[test]
fn a_batch_that_fails_for_one_row_is_halved_until_the_row_is_alone() {
    let one_bad: Act = |script, rows, verdicts| {
        if rows.iter().any(|row| *row % 8_300 == 4_200) {
            return Err(Failure::Split(Reason::new("constraint", "value too long")));
        }
        write_all(script, rows, verdicts)
    };
    let (account, written) = flood(one_bad, quick(), 1, 2_000);
    let bad = (0..2_000).filter(|n| n * 100 % 8_300 == 4_200).count() as u64;
    assert_eq!((account.rejected, account.written), (bad, 2_000 - bad), "{account:?}");
    assert!(written.values().all(|times| *times == 1), "a half that was written is not written again");
    assert_eq!(account.last_error.expect("said").reason.message, "value too long");
}

#[test]
fn a_sink_that_is_down_keeps_its_rows_until_it_is_back() {
    let flaky: Act = |script, rows, verdicts| {
        let calls = script.calls.lock().expect("no panic").len();
        match calls % 4 {
            1 => Err(Failure::Retry(Reason::new("timeout", "no answer"))),
            2 => Err(Failure::Reopen(Reason::new("closed", "connection reset"))),
            _ => write_all(script, rows, verdicts),
        }
    };
    let (script, sinks, mut ports) = start(flaky, quick(), 1);
    script.down.store(true, Ordering::SeqCst);
    let account = Arc::clone(sinks.account("s").expect("there"));
    let columns = columns(&["n"]);
    for number in 0..50 {
        assert_eq!(ports[0].offer(row(&columns, number)), Offered::Taken);
    }
    ports[0].flush();
    wait_until("retrying", || account.snapshot().retries >= 3);
    let now = account.snapshot();
    assert_eq!((now.state, now.written), (SinkState::Retrying, 0));
    assert_eq!(now.queued + now.inflight, 50);
    assert_eq!(now.oldest_unix_ms, Some(1_000));
    assert_eq!(now.last_error.expect("said").reason, Reason::new("down", "connection refused"));
    script.down.store(false, Ordering::SeqCst);
    wait_until("all written", || account.snapshot().written == 50);
    wait_until("ok", || account.state() == SinkState::Ok);
    assert_eq!(account.snapshot().oldest_unix_ms, None);
    assert!(sinks.stop(Duration::from_secs(5))[0].in_time);
}

#[test]
fn a_lone_row_is_written_when_its_time_has_come_and_a_full_batch_at_once() {
    let buffering = Buffering {
        batch: crate::batch::BatchLimits { rows: 10, bytes: 1 << 20, age: Duration::from_millis(100) },
        ..quick()
    };
    let (script, sinks, mut ports) = start(write_all, buffering, 2);
    let account = Arc::clone(sinks.account("s").expect("there"));
    let columns = columns(&["n"]);
    let started = Instant::now();
    ports[1].offer(row(&columns, 1));
    ports[1].flush();
    wait_until("the row", || account.snapshot().written == 1);
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(100), "the batch was not full: {waited:?}");
    for number in 2..32 {
        ports[0].offer(row(&columns, number));
    }
    ports[0].flush();
    wait_until("three batches", || account.snapshot().written == 31);
    assert_eq!(*script.calls.lock().expect("no panic"), [1, 10, 10, 10]);
    assert!(sinks.stop(Duration::from_secs(5))[0].in_time);
}

#[test]
fn memory_is_bounded_in_bytes_but_one_row_always_fits() {
    let buffering = Buffering { buffer_bytes: 10_000, ..quick() };
    let (script, sinks, mut ports) = start(write_all, buffering, 1);
    let columns = columns(&["n", "text"]);
    let big = "x".repeat(6_000);
    let large = |number| record(&columns, &[Value::Int(number), Value::text(&big)]);
    script.hang.store(true, Ordering::SeqCst);
    assert_eq!(ports[0].offer(large(0)), Offered::Taken);
    assert_eq!(ports[0].offer(large(1)), Offered::Dropped);
    ports[0].flush();
    let account = Arc::clone(sinks.account("s").expect("there"));
    wait_until("taken", || account.snapshot().inflight == 1);
    let huge = "x".repeat(20_000);
    assert_eq!(ports[0].offer(record(&columns, &[Value::Int(2), Value::text(&huge)])), Offered::Taken);
    assert_eq!(ports[0].offer(large(3)), Offered::Dropped);
    ports[0].flush();
    let now = account.snapshot();
    assert!(now.is_balanced());
    assert_eq!((now.accepted, now.dropped_full, now.queued, now.inflight), (4, 2, 1, 1));
    script.hang.store(false, Ordering::SeqCst);
    assert_eq!(sinks.stop(Duration::from_secs(5))[0].account.written, 2);
}

#[test]
fn rows_left_at_the_deadline_of_a_stop_are_counted() {
    let (script, sinks, mut ports) = start(write_all, quick(), 1);
    script.down.store(true, Ordering::SeqCst);
    let columns = columns(&["n"]);
    for number in 0..1_000 {
        ports[0].offer(row(&columns, number));
    }
    ports[0].flush();
    let stopped = sinks.stop(Duration::from_millis(50)).remove(0);
    assert!(stopped.in_time && stopped.account.is_balanced(), "{stopped:?}");
    assert_eq!((stopped.account.dropped_stopped, stopped.account.queued), (1_000, 0));
    assert_eq!(ports[0].offer(row(&columns, 1)), Offered::Dropped);
    ports[0].flush();
    let after = ports[0].account().snapshot();
    assert_eq!((after.dropped_stopped, after.accepted), (1_001, 1_001));
}

#[test]
fn a_sink_that_hangs_does_not_hang_the_stop() {
    let (script, sinks, mut ports) = start(write_all, quick(), 1);
    script.hang.store(true, Ordering::SeqCst);
    ports[0].offer(row(&columns(&["n"]), 1));
    ports[0].flush();
    let account = Arc::clone(sinks.account("s").expect("there"));
    wait_until("inflight", || account.snapshot().inflight == 1);
    let started = Instant::now();
    let stopped = sinks.stop(Duration::from_millis(20)).remove(0);
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(!stopped.in_time && stopped.account.is_balanced());
    assert_eq!(stopped.account.inflight, 1);
    script.hang.store(false, Ordering::SeqCst);
}
