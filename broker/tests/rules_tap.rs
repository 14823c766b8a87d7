//! `millrace rules tap` against a running broker: what is shown, what is saved, who is let in.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = "shards = 2\n[listeners.default]\nport = 0\n[rules.hot]\n\
                      sql = 'SELECT payload.temp AS t, clientid FROM \"t/#\" WHERE payload.temp > 25'\n";

/// A running broker in a directory of its own; both gone with the value.
struct Broker {
    dir: PathBuf,
    child: Child,
    port: String,
}

impl Broker {
    fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("millrace-tap-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
        std::fs::write(dir.join("millrace.toml"), CONFIG).expect("the temporary directory is writable");
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace"))
            .current_dir(&dir)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let banner = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("127.0.0.1:")));
        let banner = banner.expect("it says where it listens").expect("it prints text");
        let at = banner.find("127.0.0.1:").expect("it was found") + "127.0.0.1:".len();
        let port = banner[at..].chars().take_while(char::is_ascii_digit).collect();
        Self { dir, child, port }
    }

    fn millrace(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.current_dir(&self.dir).args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.millrace(args).output().expect("the program starts")
    }

    fn publish(&self, topic: &str, payload: &str) {
        let sent = self.run(&["pub", "-p", &self.port, "-i", "dev", "-q", "1", "-t", topic, "-m", payload]);
        assert!(sent.status.success(), "{sent:?}");
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("data/control.sock")
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("the broker runs");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is possible");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A running tap; killed with the value.
struct Tap {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
}

impl Tap {
    /// Returns once samples are taken.
    fn start(broker: &Broker, args: &[&str]) -> Self {
        let mut command = broker.millrace(&[&["rules", "tap", "hot"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let err = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut tap = Self { child, out, err };
        let mut line = String::new();
        tap.err.read_line(&mut line).expect("it prints text");
        assert_eq!(line, "note: tapped hot\n");
        tap
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("it prints text");
        line
    }

    /// Waits for the end and gives the exit code.
    fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn samples_are_shown_and_saved_as_cases_that_hold() {
    let broker = Broker::start();
    let mut tap = Tap::start(&broker, &["--save", "cases.toml"]);
    broker.publish("t/1", "{\"temp\":31.5}");
    broker.publish("t/2", "{\"temp\":1}");
    broker.publish("t/3", "x'''\"");
    let lines: Vec<String> = (0..3).map(|_| tap.line()).collect();
    assert!(
        lines[0].ends_with("  hot  passed     t/1  dev  {\"t\": 31.5 float, \"clientid\": \"dev\" text}\n"),
        "{lines:?}"
    );
    assert!(lines[1].ends_with("  hot  no_result  t/2  dev  \"{\\\"temp\\\":1}\" text\n"), "{lines:?}");
    assert!(lines[2].contains("  hot  failed     t/3  dev  R0301: the payload is not JSON at byte 0"), "{lines:?}");
    // The broker stops, so the tap is over.
    kill_process(Pid::from_child(&broker.child), Signal::TERM).expect("it runs");
    assert_eq!(tap.end(), Some(0));
    let cases = broker.run(&["rules", "test", "cases.toml"]);
    let said = String::from_utf8_lossy(&cases.stdout).into_owned();
    assert!(cases.status.success() && said.ends_with("3 passed, 0 failed\n"), "{said}");
}

#[test]
fn a_tap_takes_only_what_it_wants_and_ends_in_time() {
    let broker = Broker::start();
    let mut tap = Tap::start(&broker, &["--outcome", "failed", "--limit", "5/s", "--duration", "2s", "--json"]);
    broker.publish("t/1", "{\"temp\":31.5}");
    broker.publish("t/1", "x");
    let mut rest = String::new();
    tap.out.read_to_string(&mut rest).expect("it prints text");
    assert_eq!(tap.end(), Some(0));
    let sample: serde_json::Value = serde_json::from_str(&rest).expect("one line of JSON");
    assert_eq!(
        (&sample["rule"], &sample["outcome"], &sample["code"]),
        (&"hot".into(), &"failed".into(), &"R0301".into())
    );
    assert_eq!((&sample["event"]["topic"], &sample["event"]["payload"]), (&"t/1".into(), &"x".into()));
}

#[test]
fn the_socket_is_for_the_same_user_and_refuses_what_is_no_request() {
    let mut broker = Broker::start();
    let mode = std::fs::metadata(broker.socket()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (request, said) in [
        ("nonsense\n", "this is not a request"),
        ("{\"tap\":{\"rules\":[],\"outcomes\":[\"failed\"],\"limit\":1}}\n", "a tap wants 1 to 1000 rules"),
        ("{\"tap\":{\"rules\":[\"a\"],\"outcomes\":[\"failed\"],\"limit\":0}}\n", "the limit is 1 to 1000"),
        ("{\"tap\":{\"rules\":[\"a\"],\"outcomes\":[\"broken\"],\"limit\":1}}\n", "unknown variant"),
    ] {
        let answer = broker.ask(request);
        assert!(answer.starts_with("{\"error\":{\"message\":\"") && answer.contains(said), "{answer}");
    }
    // More connections than there may be taps.
    let open: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(broker.socket()).expect("it listens")).collect();
    let start = Instant::now();
    while !broker.ask("{}\n").contains("8 connections are open already") {
        assert!(start.elapsed() < PATIENCE, "it takes any number of connections");
    }
    drop(open);
    kill_process(Pid::from_child(&broker.child), Signal::TERM).expect("it runs");
    assert_eq!(broker.child.wait().expect("it is our child").code(), Some(0));
    assert!(!broker.socket().exists());
    let nobody = broker.run(&["rules", "tap", "hot"]);
    assert_eq!(nobody.status.code(), Some(69), "{nobody:?}");
}
