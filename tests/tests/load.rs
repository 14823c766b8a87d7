//! The load generator against a running broker: what it says is exact, and its exit codes can be relied upon.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use millrace_tests::broker::{Broker, load_program};
use serde_json::Value;

/// Runs a scenario against the broker; every run is short.
fn load(broker: &Broker, arguments: &[&str]) -> Output {
    command(broker, arguments).output().expect("the program can be started")
}

fn command(broker: &Broker, arguments: &[&str]) -> Command {
    let mut command = Command::new(load_program());
    command.args(arguments).args(["-p", &broker.address().port().to_string()]).stdin(Stdio::null());
    command
}

/// The report of a run that ended with this code.
#[track_caller]
fn report(broker: &Broker, arguments: &[&str], code: i32) -> Value {
    let output = load(broker, &[arguments, &["--json", "-"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in the report of {arguments:?}"))
}

#[track_caller]
fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
}

#[track_caller]
fn assert_exact(report: &Value) {
    for name in ["lost", "doubled", "reordered", "foreign", "unsent"] {
        assert_eq!(number(report, &format!("/messages/{name}")), 0, "{name} in {report:#}");
    }
    assert_eq!(report["errors"], serde_json::json!({}), "{report:#}");
}

#[test]
fn pairs_of_each_qos_are_accounted_for_exactly() {
    let broker = Broker::shared();
    for (qos, version) in [("0", "3"), ("1", "4"), ("2", "5"), ("0", "5"), ("2", "3")] {
        let arguments = ["pairs", "-c", "20", "-q", qos, "-V", version, "--rate", "2k", "-L", "2000", "-s", "64"];
        let report = report(broker, &[&arguments[..], &["--expect", "lost=0", "--expect", "doubled=0"]].concat(), 0);
        assert_exact(&report);
        assert_eq!(number(&report, "/messages/sent"), 2000);
        assert_eq!(number(&report, "/messages/received"), 2000);
        assert_eq!(number(&report, "/messages/acked"), if qos == "0" { 0 } else { 2000 });
        assert_eq!(number(&report, "/connections/ready"), 40);
    }
}

#[test]
fn the_closed_loop_sends_exactly_what_is_asked_for() {
    let broker = Broker::shared();
    for qos in ["0", "1", "2"] {
        for arguments in [
            &["pairs", "-c", "10"][..],
            &["fan-in", "--pubs", "10", "--subs", "2", "-F", "5"],
            &["fan-out", "--pubs", "2", "--subs", "20", "-F", "5"],
            &["shared", "--pubs", "5", "--subs", "4", "-F", "5"],
        ] {
            let copies = match arguments[0] {
                "fan-in" => 2,
                "fan-out" => 20,
                _ => 1,
            };
            let report = report(broker, &[arguments, &["-q", qos, "-L", "3000", "-s", "64"]].concat(), 0);
            assert_exact(&report);
            assert_eq!(number(&report, "/messages/sent"), 3000, "{arguments:?}");
            assert_eq!(number(&report, "/messages/received"), 3000 * copies, "{arguments:?}");
        }
    }
}

#[test]
fn idle_connections_stand_beside_those_that_talk() {
    let broker = Broker::shared();
    let arguments = ["pairs", "-c", "5", "--idle", "101", "--rate", "1k", "-L", "500", "--workers", "2"];
    let report = report(broker, &arguments, 0);
    assert_exact(&report);
    assert_eq!((number(&report, "/connections/ready"), number(&report, "/messages/received")), (111, 500));
}

#[test]
fn messages_wait_for_subscribers_that_are_away() {
    let broker = Broker::shared();
    for (qos, version) in [("1", "5"), ("2", "4")] {
        let report = report(broker, &["offline", "-c", "10", "--each", "50", "-q", qos, "-V", version], 0);
        assert_exact(&report);
        assert_eq!(number(&report, "/messages/received"), 500);
        assert_eq!(number(&report, "/connections/returned"), 10);
        assert_eq!(number(&report, "/connections/resumed"), 10, "every session was kept");
    }
}

#[test]
fn retained_messages_reach_everyone_and_are_taken_back() {
    let broker = Broker::shared();
    let report = report(broker, &["retained", "--topics", "200", "--subs", "10", "--pubs", "3"], 0);
    assert_exact(&report);
    assert_eq!((number(&report, "/messages/sent"), number(&report, "/messages/received")), (200, 2000));
    let tag = number(&report, "/config/tag");
    // Whoever subscribes now gets nothing of it.
    let filter = format!("load/{tag:04x}/#");
    let later = load(broker, &["sub", "-c", "1", "-t", &filter, "-d", "300ms", "--warm-up", "0s"]);
    let table = String::from_utf8_lossy(&later.stdout);
    assert!(table.contains("received 0 "), "{table}");
}

#[test]
fn everyone_returns_from_a_storm() {
    let broker = Broker::shared();
    let storm = ["reconnect", "-c", "100", "-t", "storm/%i", "--rounds", "3"];
    let fresh = report(broker, &storm, 0);
    assert_eq!((number(&fresh, "/connections/returned"), number(&fresh, "/connections/resumed")), (300, 0));
    assert_eq!(number(&fresh, "/latency/reconnect/count"), 300);
    let kept = report(broker, &[&storm[..], &["-C", "false", "-x", "30", "-R", "1k"]].concat(), 0);
    assert_eq!((number(&kept, "/connections/returned"), number(&kept, "/connections/resumed")), (300, 300));
    for report in [fresh, kept] {
        assert_eq!(report["errors"], serde_json::json!({}), "{report:#}");
        assert_eq!((number(&report, "/connections/failed"), number(&report, "/connections/dropped")), (0, 0));
    }
}

#[test]
fn an_expectation_that_does_not_hold_ends_with_99() {
    let broker = Broker::shared();
    let base = ["pairs", "-c", "2", "--rate", "100", "-d", "300ms", "--warm-up", "0s"];
    let held = report(broker, &[&base[..], &["--expect", "p50<10s", "--expect", "lost=0"]].concat(), 0);
    assert_eq!(held["expectations"][1]["held"], true);
    let broken = report(broker, &[&base[..], &["--expect", "lost=0", "--expect", "p50<1us"]].concat(), 99);
    assert_eq!(broken["expectations"][0]["held"], true);
    assert_eq!(broken["expectations"][1]["held"], false);
    assert!(broken["expectations"][1]["met"].as_f64().is_some_and(|met| met > 1000.0), "{broken:#}");
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let broker = Broker::shared();
    assert_eq!(load(broker, &["pairs", "--expect", "speed>5"]).status.code(), Some(2));
    assert_eq!(load(broker, &["pairs", "-t", "same"]).status.code(), Some(2));
    let nobody = Command::new(load_program())
        .args(["conn", "-c", "2", "-p", "1", "-d", "100ms"])
        .output()
        .expect("the program can be started");
    assert_eq!(nobody.status.code(), Some(1));
    let table = String::from_utf8_lossy(&nobody.stdout);
    assert!(table.contains("Connection refused"), "{table}");
}

#[test]
fn the_report_has_its_published_shape() {
    let broker = Broker::shared();
    let pid = broker.pid().to_string();
    let arguments = ["pairs", "-c", "5", "-q", "1", "--rate", "500", "-d", "2s", "--warm-up", "100ms", "--pid", &pid];
    let report = report(broker, &arguments, 0);
    assert_eq!(report["schema"], "millrace-load/1");
    assert_eq!(report["config"]["scenario"], "pairs");
    assert_eq!(report["config"]["loop"], "open");
    for latency in ["delivery", "delivery_sent", "ack", "connect"] {
        let latency = &report["latency"][latency];
        let values: Vec<u64> = ["min_ns", "p50_ns", "p90_ns", "p95_ns", "p99_ns", "p99_9_ns", "p99_99_ns", "max_ns"]
            .iter()
            .map(|name| number(latency, &format!("/{name}")))
            .collect();
        // A value within a bucket may be named by the bucket's end.
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1] + pair[1] / 500), "{latency:#}");
        assert!(values[0] > 0 && latency["hdr_v2_base64"].is_string(), "{latency:#}");
    }
    assert_eq!(number(&report, "/latency/delivery/count"), 1000);
    assert_eq!(number(&report, "/broker/pid"), u64::from(broker.pid()));
    assert!(report["broker"]["cpu_us_per_message"].as_f64().is_some_and(|us| us > 0.0), "{report:#}");
    assert!(report["verdict"]["valid"].is_boolean());
    let series = report["series"].as_array().expect("a list");
    assert!((2..=3).contains(&series.len()), "{series:?}");
}

#[test]
fn files_for_other_programs_are_written() {
    let broker = Broker::shared();
    let dir = millrace_tests::broker::fresh_dir("load");
    let (csv, hgrm) = (dir.join("run.csv"), dir.join("run.hgrm"));
    let output = command(broker, &["pairs", "-c", "2", "--rate", "200", "-d", "1s", "--warm-up", "0s"])
        .arg("--csv")
        .arg(&csv)
        .arg("--hgrm")
        .arg(&hgrm)
        .output()
        .expect("the program can be started");
    assert!(output.status.success());
    let table = String::from_utf8_lossy(&output.stdout);
    for word in ["pairs", "sent 200", "lost 0", "delivery", "from the intended time"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    let csv = std::fs::read_to_string(csv).expect("it was written");
    assert!(csv.starts_with("second,sent_per_s,") && csv.lines().count() >= 2, "{csv}");
    let distribution = std::fs::read_to_string(dir.join("run.delivery.hgrm")).expect("it was written");
    assert!(distribution.contains("#[Max") && distribution.contains("200]"), "{distribution}");
    std::fs::remove_dir_all(dir).expect("it is ours");
}

#[test]
fn a_standstill_of_the_broker_is_in_the_latencies_of_every_message_due_in_it() {
    let broker = Broker::start();
    let arguments =
        ["pairs", "-c", "5", "-q", "1", "--rate", "1k", "-d", "4s", "--warm-up", "0s", "--json", "-", "--drain", "20s"];
    let run = command(&broker, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let run = run.expect("the program can be started");
    std::thread::sleep(Duration::from_millis(1500));
    broker.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    broker.signal(libc::SIGCONT);
    let output = run.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_exact(&report);
    assert_eq!(number(&report, "/messages/sent"), 4000);
    let max = number(&report, "/latency/delivery/max_ns");
    assert!((1_800_000_000..4_000_000_000).contains(&max), "{max} ns");
    // Half of all messages were due while it stood still: a quarter of all waited for over a second.
    let p80 = number(&report, "/latency/delivery/p90_ns");
    assert!(p80 > 1_000_000_000, "{p80} ns");
}

#[test]
fn an_interrupted_run_still_reports_exactly() {
    let broker = Broker::shared();
    let arguments = ["pairs", "-c", "5", "-q", "1", "--rate", "1k", "-d", "60s", "--json", "-"];
    let run = command(broker, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let run = run.expect("the program can be started");
    std::thread::sleep(Duration::from_millis(2500));
    millrace_tests::process::signal(run.id(), libc::SIGINT).expect("our child can be signalled");
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["interrupted"], true);
    assert_eq!(number(&report, "/messages/lost"), 0, "{report:#}");
    assert!(number(&report, "/messages/sent") > 0);
}

#[test]
fn a_broker_that_dies_ends_the_run_as_failed() {
    let broker = Broker::start();
    let arguments = ["pairs", "-c", "5", "-q", "1", "--rate", "1k", "-d", "60s", "--json", "-"];
    let run = command(&broker, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let run = run.expect("the program can be started");
    std::thread::sleep(Duration::from_millis(2500));
    broker.signal(libc::SIGKILL);
    let output = run.wait_with_output().expect("it ends long before its time");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(number(&report, "/connections/dropped"), 10);
    assert!(number(&report, "/measured/duration_ns") < 30_000_000_000);
}

#[test]
fn a_dry_run_connects_nowhere_and_says_what_is_missing() {
    let broker = Broker::shared();
    let output = load(broker, &["pairs", "-c", "1k", "--rate", "10k", "--dry-run"]);
    let plan = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{plan}");
    assert!(plan.contains("2,000 connections") && plan.contains("110,000"), "{plan}");
    let output = load(broker, &["conn", "-c", "200k", "--ifaddr", "127.0.0.2", "--dry-run"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error[L0004]") && said.contains("--ifaddr 127.0.0.2-127.0.0.16"), "{said}");
}
