//! The program as a process: what it prints, writes and exits with, and what signals do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of its own, gone with the value.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-program-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("the temporary directory is writable");
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn millrace(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.current_dir(dir).args(args).env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    millrace(dir, args).stdin(Stdio::null()).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running broker on a free port; killed with the value.
struct Broker {
    dir: Dir,
    child: Child,
    port: String,
    banner: String,
    errors: BufReader<std::process::ChildStderr>,
}

impl Broker {
    fn start(config: &str) -> Self {
        let dir = Dir::new();
        dir.write("millrace.toml", config);
        let mut child = millrace(&dir.0, &["--set", "listeners.0.port=0", "--set", "shards=2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut banner = String::new();
        while !banner.contains("try: ") {
            let read = lines.read_line(&mut banner).expect("it prints text");
            assert!(read > 0, "it ended after {banner:?}");
        }
        let at = banner.find("127.0.0.1:").expect("it says where it listens") + "127.0.0.1:".len();
        let port = banner[at..].chars().take_while(char::is_ascii_digit).collect();
        Self { dir, child, port, banner, errors }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
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

    /// Reads standard error until a line has this.
    fn wait_for(&mut self, part: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.errors.read_line(&mut line).expect("it prints text");
            assert!(read > 0, "no {part:?} in\n{all}");
            all.push_str(&line);
            if line.contains(part) {
                return all;
            }
        }
    }

    fn client(&self, args: &[&str]) -> Output {
        let (verb, rest) = args.split_first().expect("a verb comes first");
        let args: Vec<&str> = [*verb, "-p", &self.port].into_iter().chain(rest.iter().copied()).collect();
        run(&self.dir.0, &args)
    }

    /// A client of version 5 on a bare socket, connected.
    fn connect(&self) -> TcpStream {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is possible");
        stream.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01i").expect("it reads");
        let mut head = [0; 2];
        stream.read_exact(&mut head).expect("CONNACK comes");
        assert_eq!(head[0], 0x20);
        let mut rest = vec![0; usize::from(head[1])];
        stream.read_exact(&mut rest).expect("all of CONNACK comes");
        assert_eq!(rest[1], 0, "the connection is accepted");
        stream
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_five_minutes() {
    let mut broker = Broker::start("");
    assert!(broker.banner.contains("rows of demo/# go to data/demo.sqlite"), "{}", broker.banner);
    let try_it = format!("try: millrace pub -p {} -t demo/a -m '{{\"t\":21.5}}'", broker.port);
    assert!(broker.banner.contains(&try_it), "{}", broker.banner);
    let sent = broker.client(&["pub", "-t", "demo/a", "-m", "{\"t\":21.5}", "-r", "-q", "1"]);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let got = broker.client(&["sub", "-t", "demo/#", "-C", "1", "-W", "10", "-v"]);
    assert_eq!(text(&got.stdout), "demo/a {\"t\":21.5}\n");
    broker.signal(Signal::TERM);
    let said = broker.wait_for("sink-stopped");
    assert!(said.contains("accepted=1 written=1 rejected=0 dropped=0"), "{said}");
    assert_eq!(broker.end(), Some(0));
    let written = std::fs::metadata(broker.dir.0.join("data/demo.sqlite")).expect("the row is on disk");
    assert!(written.len() > 0);
}

#[test]
fn clients_are_told_that_the_broker_stops() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut broker = Broker::start("");
        let mut client = broker.connect();
        broker.signal(signal);
        let mut words = [0; 3];
        client.read_exact(&mut words).expect("DISCONNECT comes");
        assert_eq!((words[0], words[2]), (0xE0, 0x8B));
        drop(client);
        assert_eq!(broker.end(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut broker = Broker::start("");
    // It does not close when told goodbye, so that the first signal has something to wait for.
    let client = broker.connect();
    broker.signal(Signal::TERM);
    broker.wait_for("stopping");
    broker.signal(Signal::TERM);
    assert_eq!(broker.end(), Some(130));
    drop(client);
}

#[test]
fn a_client_that_does_not_go_does_not_hold_the_stop_up() {
    let mut broker = Broker::start("");
    let client = broker.connect();
    let start = Instant::now();
    broker.signal(Signal::TERM);
    assert_eq!(broker.end(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop(client);
}

#[test]
fn a_reload_applies_what_it_can_and_says_what_it_cannot() {
    let mut broker = Broker::start("[mqtt]\nmaximum_qos = 2\n");
    broker.dir.write("millrace.toml", "engine = \"epoll\"\n[mqtt]\nmaximum_qos = 0\n");
    broker.signal(Signal::HUP);
    let said = broker.wait_for("config-reloaded");
    assert!(said.contains("reload ok: 0 added, 1 changed (mqtt.maximum_qos), 0 removed"), "{said}");
    assert!(said.contains("needs a restart: engine \"auto\" -> \"epoll\" (kept at \"auto\")"), "{said}");
    let refused = broker.client(&["pub", "-t", "a", "-m", "x", "-q", "1"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    broker.dir.write("millrace.toml", "[mqtt]\nmaximum_qso = 2\n");
    broker.signal(Signal::HUP);
    let said = broker.wait_for("config-reload-failed");
    assert!(said.contains("did you mean `maximum_qos`?"), "{said}");
    assert!(said.contains("1 error; the broker runs on with the config that it has"), "{said}");
    let taken = broker.client(&["pub", "-t", "a", "-m", "x"]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    broker.signal(Signal::TERM);
    assert_eq!(broker.end(), Some(0));
}

#[test]
fn two_brokers_do_not_share_a_directory_or_a_port() {
    let broker = Broker::start("");
    let second = run(&broker.dir.0, &["--set", "listeners.0.port=0"]);
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.starts_with("error[H0021]: data_dir data is in use by another broker, pid "), "{said}");
    let port = format!("listeners.0.port={}", broker.port);
    for args in [
        &["--set", "data_dir=other", "--set", &port][..],
        &["check-config", "--set", &port][..],
        &["doctor", "--set", &port][..],
    ] {
        let refused = run(&broker.dir.0, args);
        assert!(!refused.status.success());
        let said = text(&refused.stderr) + &text(&refused.stdout);
        assert!(said.contains("H0007") && said.contains("is in use by millrace, pid "), "{said}");
    }
    let offline = run(&broker.dir.0, &["check-config", "--offline", "--set", &port]);
    assert_eq!(text(&offline.stdout), "ok: millrace.toml\n");
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    let dir = Dir::new();
    dir.write("bad.toml", "shards = \"two\"\n");
    dir.write("rule.toml", "[rules.hot]\nsql = 'SELECT * FROM \"a\" WHERE payload.level = \"high\"'\n");
    let code = |args: &[&str]| run(&dir.0, args).status.code();
    assert_eq!(code(&["run", "--config", "bad.toml"]), Some(78));
    assert_eq!(code(&["check-config", "bad.toml"]), Some(78));
    assert_eq!(code(&["print-config", "--config", "bad.toml"]), Some(78));
    assert_eq!(code(&["check-config", "--offline"]), Some(0));
    assert_eq!(code(&["explain", "C0101"]), Some(0));
    assert_eq!(code(&["explain", "X"]), Some(2));
    assert_eq!(code(&["bogus"]), Some(2));
    assert_eq!(code(&["--version"]), Some(0));
    assert_eq!(code(&["pub", "--help"]), Some(0));
    assert_eq!(code(&["pub", "-p", "1", "-t", "a", "-m", "x"]), Some(69));
    let rule = run(&dir.0, &["run", "--config", "rule.toml"]);
    let said = text(&rule.stderr);
    assert!(said.contains("error[R0102]: rules.hot: ") && said.contains("--> rule.toml:2:"), "{said}");
    assert!(said.ends_with("1 error; nothing was started\n"), "{said}");
    let entries = std::fs::read_dir(&dir.0).expect("it is there").count();
    assert_eq!(entries, 2, "nothing is written before the config holds");
}
