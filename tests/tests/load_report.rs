//! Saved runs of the load generator: they tell again what they told, are compared, and become pages.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use millrace_tests::broker::{Broker, fresh_dir, load_program};
use serde_json::Value;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(load_program());
    command.args(arguments).stdin(Stdio::null());
    command
}

fn said(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program can be started")
}

/// A short run whose JSON is kept in a file.
#[track_caller]
fn keep(broker: &Broker, dir: &Path, name: &str, arguments: &[&str]) -> (PathBuf, String) {
    let file = dir.join(name);
    let output = program(arguments)
        .args(["-p", &broker.address().port().to_string(), "--json"])
        .arg(&file)
        .output()
        .expect("the program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (file, String::from_utf8(output.stdout).expect("tables are text"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A short conversation; the word behind --rate is the seventh.
fn talk() -> Vec<&'static str> {
    vec!["pairs", "-c", "3", "-q", "1", "--rate", "300", "-d", "2s"]
}

#[test]
fn a_saved_run_tells_what_it_told() {
    let broker = Broker::shared();
    let dir = fresh_dir("report");
    let files = |name: &str| ["csv", "hgrm", "html"].map(|kind| dir.join(name).with_extension(kind));
    let [csv, hgrm, html] = files("first");
    let mut arguments = talk();
    let pid = broker.pid().to_string();
    arguments.extend(["--expect", "lost=0", "--pid", &pid]);
    for (option, path) in [("--csv", &csv), ("--hgrm", &hgrm), ("--html", &html)] {
        arguments.extend([option, path.to_str().expect("it is text")]);
    }
    let (run, table) = keep(broker, &dir, "run.json", &arguments);
    let [csv_again, hgrm_again, html_again] = files("again");
    let again = program(&["report"])
        .arg(&run)
        .arg("--csv")
        .arg(&csv_again)
        .arg("--hgrm")
        .arg(&hgrm_again)
        .arg("--html")
        .arg(&html_again)
        .output()
        .expect("the program can be started");
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&again.stdout), table);
    assert_eq!(read(&csv_again), read(&csv));
    assert_eq!(read(&html_again), read(&html));
    assert_eq!(read(&dir.join("again.delivery.hgrm")), read(&dir.join("first.delivery.hgrm")));
    let saved: Value = serde_json::from_str(&read(&run)).expect("it is JSON");
    for point in saved["series"].as_array().expect("a list") {
        for name in ["latencies", "p50_ns", "p90_ns", "p99_ns", "p99_9_ns", "max_ns", "broker_rss_bytes"] {
            assert!(point[name].as_u64().is_some_and(|value| value > 0), "{name} in {point}");
        }
        assert!(point["broker_cores"].is_f64(), "{point}");
    }
    let path = run.to_str().expect("it is text");
    assert_eq!(said(&["report", path, "--expect", "lost=0"]).status.code(), Some(0));
    assert_eq!(said(&["report", path, "--expect", "p50<1us"]).status.code(), Some(99));
    assert_eq!(said(&["report", path, "--expect", "speed>5"]).status.code(), Some(2));
    std::fs::remove_dir_all(dir).expect("it is ours");
}

#[test]
fn what_is_no_saved_run_is_refused() {
    let dir = fresh_dir("report");
    let path = dir.join("other.json");
    for text in ["", "{}", "[1]", r#"{"schema":"other/1"}"#, r#"{"schema":"millrace-load/1","series":{}}"#] {
        std::fs::write(&path, text).expect("the folder is ours");
        let output = said(&["report", path.to_str().expect("it is text")]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "), "{text}");
    }
    assert_eq!(said(&["report", "/nonexistent.json"]).status.code(), Some(1));
    std::fs::remove_dir_all(dir).expect("it is ours");
}

#[test]
fn saved_runs_are_compared_and_gated() {
    let broker = Broker::shared();
    let dir = fresh_dir("compare");
    let (slow, _) = keep(broker, &dir, "slow.json", &talk());
    let mut arguments = talk();
    arguments[6] = "600";
    let (fast, _) = keep(broker, &dir, "fast.json", &arguments);
    let (slow, fast) = (slow.to_str().expect("it is text"), fast.to_str().expect("it is text"));

    let output =
        said(&["compare", slow, fast, "--expect", "rate>=1.9x", "--expect", "rate<=+110%", "--expect", "lost=0"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let line = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("{name} in {table}")).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(line("rate ")[4..], ["better"], "{table}");
    assert_eq!(line("lost ")[1..], ["0", "0", "1.000x", "same"], "{table}");
    assert!(table.contains("fast.json is not like ") && table.contains("rate per s 600 (not 300)"), "{table}");

    // Against itself everything is the same, for every way of grouping.
    for arguments in [&[slow, slow][..], &[slow, slow, "vs", slow], &[slow, slow, slow]] {
        let output = said(&[&["compare", "--json", "-"], arguments].concat());
        let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        for number in json["numbers"].as_array().expect("a list") {
            for (standing, ratio) in
                number["standings"].as_array().expect("a list").iter().zip(number["ratios"].as_array().expect("a list"))
            {
                assert_eq!((standing.as_str(), ratio.as_f64()), (Some("same"), Some(1.0)), "{number}");
            }
        }
    }

    assert_eq!(said(&["compare", slow, fast, "--expect", "rate<=1.03x"]).status.code(), Some(99));
    // Without --pid the broker was not measured: what is not known does not hold.
    assert_eq!(said(&["compare", slow, fast, "--expect", "cpu_us_per_message<=1.03x"]).status.code(), Some(99));
    assert_eq!(said(&["compare", slow, fast, "--expect", "speed<=1.03x"]).status.code(), Some(2));
    assert_eq!(said(&["compare", slow]).status.code(), Some(2));
    assert_eq!(said(&["compare", slow, "vs"]).status.code(), Some(2));
    assert_eq!(said(&["compare", slow, "/nonexistent.json"]).status.code(), Some(1));
    std::fs::remove_dir_all(dir).expect("it is ours");
}

#[test]
fn a_standstill_of_the_broker_is_in_the_series_and_on_the_page() {
    let broker = Broker::start();
    let dir = fresh_dir("stall");
    let page = dir.join("stall.html");
    let run =
        program(&["pairs", "-c", "5", "-q", "1", "--rate", "1k", "-d", "7s", "--warm-up", "0s", "--drain", "20s"])
            .args(["-p", &broker.address().port().to_string(), "--json", "-", "--html"])
            .arg(&page)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
    std::thread::sleep(Duration::from_millis(2500));
    broker.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    broker.signal(libc::SIGCONT);
    let output = run.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let series = report["series"].as_array().expect("a list");
    let number = |point: &Value, name: &str| point[name].as_u64().unwrap_or_else(|| panic!("{name} in {point}"));
    let still = series.iter().position(|point| number(point, "received_per_s") == 0);
    let still = still.unwrap_or_else(|| panic!("a second without messages in {series:#?}"));
    assert_eq!(number(&series[still], "latencies"), 0, "{series:#?}");
    // What was due while it stood still comes in the second after it.
    let after = series[still..].iter().find(|point| number(point, "latencies") > 0).expect("it went on");
    assert!(number(after, "max_ns") > 1_800_000_000 && number(after, "p50_ns") > 300_000_000, "{after:#}");
    let page = read(&page);
    assert!(page.contains("nothing arrived") && page.contains("<rect class=\"band\""), "the band of the standstill");
    std::fs::remove_dir_all(dir).expect("it is ours");
}

#[test]
fn hostile_names_stay_text_and_passwords_stay_secret() {
    let broker = Broker::shared();
    let dir = fresh_dir("hostile");
    let page = dir.join("run.html");
    let hostile = "<script>alert(1)</script>/%i";
    let mut arguments = talk();
    arguments.extend(["-t", hostile, "--prefix", "\"><img src=x>", "-u", "somebody", "-P", "hunter2"]);
    arguments.extend(["--html", page.to_str().expect("it is text")]);
    let (run, _) = keep(broker, &dir, "run.json", &arguments);
    let (page, run) = (read(&page), read(&run));
    assert_eq!((page.matches("<script").count(), page.matches("<img").count()), (1, 0));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;/%i"), "{page}");
    assert!(!page.contains("hunter2") && !run.contains("hunter2"));
    std::fs::remove_dir_all(dir).expect("it is ours");
}
