//! The load generator's pages in a real browser: no error, charts that can be read, nothing of a run comes alive.
//!
//! `./tests/run browser` installs Chromium; the checks are in `tests/browser/` and are reported by line.
//! `MILLRACE_TEST_SHOTS` names a folder for pictures of the pages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use millrace_tests::broker::{Broker, fresh_dir, load_program};

/// Where `tests/run` keeps what it downloads.
fn cache() -> PathBuf {
    std::env::var_os("MILLRACE_TEST_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache/millrace-tests"),
        PathBuf::from,
    )
}

fn run(broker: &Broker, arguments: &[&str], page: &Path) -> Command {
    let mut command = Command::new(load_program());
    command.args(arguments).args(["-p", &broker.address().port().to_string(), "--html"]).arg(page);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    command
}

#[test]
fn pages_can_be_read_in_a_browser() {
    let dir = fresh_dir("page");
    let page = |name: &str| dir.join(name).with_extension("html");
    let broker = Broker::start();
    let pid = broker.pid().to_string();
    let stall = ["pairs", "-c", "5", "-q", "1", "--rate", "1k", "-d", "7s", "--drain", "20s", "--pid", &pid];
    let expect = ["--expect", "p99<5ms", "--expect", "lost=0"];
    let mut stalled = run(&broker, &[&stall[..], &expect].concat(), &page("stall")).spawn().expect("it can be started");
    std::thread::sleep(Duration::from_millis(3500));
    broker.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(2));
    broker.signal(libc::SIGCONT);
    assert_eq!(stalled.wait().expect("it ends").code(), Some(99));
    let conn = ["conn", "-c", "300", "-R", "300", "-d", "3s", "--warm-up", "0s"];
    assert!(run(&broker, &conn, &page("conn")).status().expect("it ends").success());
    let mixed = ["mixed", "-d", "3s", "--warm-up", "0s", "--rate", "400"];
    let streams = ["--stream", "fan-in --pubs 4 --subs 1 --name telemetry --weight 3", "--stream", "pairs -c 2 -q 1"];
    assert!(run(&broker, &[&mixed[..], &streams].concat(), &page("mixed")).status().expect("it ends").success());
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'/%i";
    let talk = ["pairs", "-c", "2", "--rate", "100", "-d", "2s", "--warm-up", "0s", "--prefix", "<b onclick=x>"];
    assert!(
        run(&broker, &[&talk[..], &["-t", hostile]].concat(), &page("hostile")).status().expect("it ends").success()
    );

    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/page_suite.mjs");
    let mut node = Command::new("node");
    node.arg(suite).args(["stall", "conn", "mixed", "hostile"].map(page));
    node.args(std::env::var_os("MILLRACE_TEST_SHOTS"));
    node.env("MILLRACE_NODE_MODULES", cache().join("node/node_modules"));
    let output = node.stdin(Stdio::null()).output().expect("./tests/run browser installs node");
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let held = said.lines().filter(|line| line.starts_with("ok ")).count();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && held == 13, "{held} of 13 checks hold:\n{said}{errors}");
    std::fs::remove_dir_all(dir).expect("it is ours");
}
